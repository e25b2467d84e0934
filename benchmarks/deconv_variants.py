"""Does a network in `deconv` add to a classical filter? The variants the definition was chosen from, side by side.

    python benchmarks/deconv_variants.py --pairs PAIRS.csv [--resamples 1000]

PAIRS.csv holds `reference`, `distorted` (beside it, or as given), `mos`, and `type` where only blur and compression are
to be looked at too. Every variant is one rule over two distances, D(x, y) as shown and D(R'(x), R'(y)) as rebuilt. The
network and the Gaussians pass the same settings: threshold, weight, and the kind of mean. Prints SRCC, and for the
variant as it is shipped the difference from the best classical one, with an interval from resampling the references.
"""

from __future__ import annotations

import argparse
import itertools
import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import cv2
import numpy as np
import pandas as pd
from peers import machine
from scipy.stats import spearmanr

SIGMAS = (1.2, 1.6, 2.0)
THRESHOLDS = (14, 20, 28)
MEANS = {"geometric": 0, "arithmetic": 1, "square": 2}
WEIGHTS = (0.5, 0.6, 0.75, 0.85)
COMPRESSION_AND_BLUR = ("gaussian blur", "jpeg", "jpeg2000")
SHIPPED = ("network", 20, "square", 0.75)


def distances(table: pd.DataFrame, folder: Path) -> dict[tuple, np.ndarray]:
    """D of every pair for every front end: ("as shown",), (front, threshold)."""
    from deconv_core.images import read_image
    from deconv_core.metrics._planes import luma
    from deconv_core.metrics.gradient_information import difference
    from deconv_core.models.saving import load_model
    from deconv_core.scoring import DECONV_MODEL

    model = load_model(DECONV_MODEL)

    def views(file: str) -> dict[tuple, np.ndarray]:
        # float32 moves no rank correlation by more than 1e-4, and takes half the time.
        grey = luma(read_image(folder / file).pixels)
        edge = cv2.BORDER_REFLECT_101
        smooth = {f"Gaussian {sigma:g}": cv2.GaussianBlur(grey, (0, 0), sigma, borderType=edge) for sigma in SIGMAS}
        rebuilt = model.reconstruct(np.clip(grey, 0, 1)[None, ..., None])
        smooth["network"] = np.clip(np.asarray(rebuilt)[0, ..., 0], 0, 1)
        put_back = {
            (front, threshold): _put_back(grey, plane, threshold)
            for front, plane in smooth.items()
            for threshold in THRESHOLDS
        }
        return {("as shown",): grey} | put_back

    references = {file: views(file) for file in table.reference.unique()}
    found: dict[tuple, list[float]] = {}
    for row in table.itertuples():
        candidate = views(row.distorted)
        for key, plane in references[row.reference].items():
            found.setdefault(key, []).append(difference(plane, candidate[key]))
    return {key: np.array(values) for key, values in found.items()}


def _put_back(grey: np.ndarray, smooth: np.ndarray, threshold: float) -> np.ndarray:
    lost, noise = grey - smooth, np.float32((threshold / 255) ** 2)
    strength = cv2.boxFilter(lost * lost, -1, (3, 3), borderType=cv2.BORDER_REFLECT_101)
    return smooth + lost * np.maximum(0, strength - noise) / np.maximum(strength, noise)


def together(shown: np.ndarray, rebuilt: np.ndarray, power: int, weight: float) -> np.ndarray:
    """Weighted mean of two distances; power 0 is the geometric one."""
    if power == 0:
        return shown ** (1 - weight) * rebuilt**weight
    return ((1 - weight) * shown**power + weight * rebuilt**power) ** (1 / power)


def srcc(distance: np.ndarray, mos: np.ndarray) -> float:
    return float(-spearmanr(distance, mos)[0])


def interval(
    first: np.ndarray, second: np.ndarray, mos: np.ndarray, reference: np.ndarray, resamples: int
) -> tuple[float, float]:
    """95 % interval of the difference of both SRCCs, over references drawn with replacement."""
    rng = np.random.default_rng(0)
    rows = [np.flatnonzero(reference == name) for name in np.unique(reference)]
    differences = []
    for _ in range(resamples):
        drawn = np.concatenate([rows[i] for i in rng.integers(0, len(rows), len(rows))])
        differences.append(srcc(first[drawn], mos[drawn]) - srcc(second[drawn], mos[drawn]))
    return tuple(np.percentile(differences, [2.5, 97.5]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=Path, required=True)
    parser.add_argument("--resamples", type=int, default=1000)
    options = parser.parse_args()
    table = pd.read_csv(options.pairs)
    found = distances(table, options.pairs.parent)
    shown = found.pop(("as shown",))
    variants = {
        (*front, mean, weight): together(shown, rebuilt, MEANS[mean], weight)
        for (front, rebuilt), mean, weight in itertools.product(found.items(), MEANS, WEIGHTS)
    }
    print(f"{machine()}; {len(table)} pairs, {table.reference.nunique()} references, {len(variants)} variants")
    sets = {"all pairs": np.full(len(table), True)}
    if "type" in table:
        sets["blur and compression"] = table.type.isin(COMPRESSION_AND_BLUR).to_numpy()
    for name, chosen in sets.items():
        mos, reference = table.mos.to_numpy()[chosen], table.reference.to_numpy()[chosen]
        rated = {key: srcc(distance[chosen], mos) for key, distance in variants.items()}
        ours = {key: value for key, value in rated.items() if key[0] == "network"}
        classical = {key: value for key, value in rated.items() if key[0] != "network"}
        best = max(classical, key=classical.__getitem__)
        low, high = interval(variants[SHIPPED][chosen], variants[best][chosen], mos, reference, options.resamples)
        print(f"\n{name} ({chosen.sum()}): front end, threshold of 255, mean, weight of the rebuilt view")
        print(f"  as shown alone, no front end            {srcc(shown[chosen], mos):.4f}")
        for label, rows in (("network", ours), ("classical", classical)):
            for key in sorted(rows, key=rows.__getitem__, reverse=True)[:5]:
                print(f"  {label:<10}{', '.join(map(str, key)):<36}{rows[key]:.4f}")
        gap = rated[SHIPPED] - rated[best]
        print(f"  shipped {rated[SHIPPED]:.4f}; less the best classical one {gap:+.4f} [{low:+.4f}, {high:+.4f}]")


if __name__ == "__main__":
    main()
