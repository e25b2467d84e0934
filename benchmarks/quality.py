"""How well does the score without a reference agree with people? The split it is measured on, and the measurement.

    python benchmarks/quality.py split SCORES.csv IMAGES --out folds.csv

`split` shares photographs with human scores out into five folds. Photographs of one scene stay together, because a
model that has seen the scene with another exposure has half seen the answer; each subset is spread evenly.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import click
import cv2
import numpy as np
import pandas as pd
from scipy.sparse.csgraph import connected_components

NUM_FOLDS = 5
HELD_OUT = 4
# Similarity of 16 x 16 thumbnails, chosen by looking at pairs on either side of it. Outlines agree less than whole
# pictures do: any two photographs of a sky over a dark field are alike as a whole.
_SIDE = 16
_ALIKE, _OUTLINE_ALIKE = 0.85, 0.7
# Photographs taken one after the other are often one scene with other settings of the camera: less is asked of them.
_NEXT_TO = 12
_NEIGHBOUR_ALIKE, _NEIGHBOUR_OUTLINE_ALIKE = 0.85, 0.5


@click.group()
def main() -> None:
    """The score without a reference: its folds and its figures."""


@main.command()
@click.argument("scores", type=click.Path(path_type=Path, exists=True))
@click.argument("images", type=click.Path(path_type=Path, exists=True))
@click.option("--seed", default=0, show_default=True)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="CSV: image, subset, mos, scene, fold.")
@click.option("--list", "listing", type=click.Path(path_type=Path), help="CSV of what R may be trained on.")
@click.option("--pattern", default="ss03_", show_default=True, help="How the names of that list begin.")
def split(scores: Path, images: Path, seed: int, out: Path, listing: Path | None, pattern: str) -> None:
    """Five folds with every scene in one of them; the last is the held-out fifth."""
    frame = pd.read_csv(scores)
    subset = frame["subset"].to_numpy(dtype=object)
    with ThreadPoolExecutor() as pool:
        thumbnails = np.array(list(pool.map(_thumbnail, [images / name for name in frame["image"]])))
    frame["scene"] = scenes(thumbnails, subset, frame["image"].str.extract(r"_(\d+)")[0].astype(int).to_numpy())
    frame["fold"] = folds(frame["scene"].to_numpy(), subset, seed)
    frame.to_csv(out, index=False)
    if listing is not None:
        usable = frame[(frame["fold"] != HELD_OUT) & frame["image"].str.startswith(pattern)]
        pd.DataFrame({"image": [str((images / name).resolve()) for name in usable["image"]]}).to_csv(
            listing, index=False
        )
    shared = frame["scene"].map(frame["scene"].value_counts()) > 1
    click.echo(f"{len(frame)} photographs, {frame['scene'].nunique()} scenes, seed {seed}")
    table = frame.groupby("subset")["fold"].value_counts().unstack()
    table["scenes"] = frame.groupby("subset")["scene"].nunique()
    table["share a scene"] = shared.groupby(frame["subset"]).mean().map("{:.1%}".format)
    click.echo(table.to_string())


def scenes(thumbnails: np.ndarray, subset: np.ndarray, number: np.ndarray) -> np.ndarray:
    """The scene of every photograph, as a number: photographs linked by a chain of alike ones share it.

    Args:
        thumbnails: Grey, shape (N, 16, 16), 0 to 255.
        subset: Subset of every photograph.
        number: Running number within the subset.
    """
    # Logarithms make a change of exposure nearly an offset, which the correlation takes no notice of.
    light = np.log(thumbnails.astype(np.float64) + 8)
    rows, columns = light.mean(axis=2, keepdims=True), light.mean(axis=1, keepdims=True)
    whole = _correlation(light)
    outline = _correlation(light - rows - columns + light.mean(axis=(1, 2), keepdims=True))
    neighbours = (np.abs(number[:, None] - number[None]) <= _NEXT_TO) & (subset[:, None] == subset[None])
    alike = (whole > _ALIKE) & (outline > _OUTLINE_ALIKE)
    alike |= neighbours & ((outline > _NEIGHBOUR_OUTLINE_ALIKE) | (whole > _NEIGHBOUR_ALIKE))
    return connected_components(alike)[1]


def folds(scene: np.ndarray, subset: np.ndarray, seed: int) -> np.ndarray:
    """A fold for every photograph: scenes in random order, large ones first, each to where its subset is rarest."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(scene.max() + 1)
    sizes = np.bincount(scene)
    order = order[np.argsort(-sizes[order], kind="stable")]
    members = {name: np.bincount(scene[subset == name], minlength=len(sizes)) for name in np.unique(subset)}
    filled = {name: np.zeros(NUM_FOLDS) for name in members}
    fold_of_scene = np.empty(len(sizes), int)
    for one in order:
        main_subset = max(members, key=lambda name: members[name][one])
        chosen = int(np.argmin(filled[main_subset]))
        fold_of_scene[one] = chosen
        for name, counts in members.items():
            filled[name][chosen] += counts[one]
    return fold_of_scene[scene]


def _thumbnail(path: Path) -> np.ndarray:
    grey = cv2.imread(str(path), cv2.IMREAD_REDUCED_GRAYSCALE_4)
    return cv2.resize(grey, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)


def _correlation(pictures: np.ndarray) -> np.ndarray:
    flat = pictures.reshape(len(pictures), -1)
    flat = flat - flat.mean(axis=1, keepdims=True)
    flat /= np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-6)
    similar = flat @ flat.T
    np.fill_diagonal(similar, 0)
    return similar


if __name__ == "__main__":
    main()
