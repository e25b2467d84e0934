"""How well does the score without a reference agree with people? How it was calibrated, and what it reaches.

    python benchmarks/quality.py split SCORES.csv IMAGES --out folds.csv --list train.csv
    python -m deconv_core train --data train.csv ...                      (see deconv_core/models/zoo/recipes.sh)
    python benchmarks/quality.py features folds.csv IMAGES --out features.npz
    python benchmarks/quality.py choose folds.csv features.npz
    python benchmarks/quality.py calibrate folds.csv features.npz --out deconv_core/metrics/calibrated
    python benchmarks/quality.py laws deconv_core/metrics/calibrated
    python benchmarks/quality.py speed

`split` shares photographs with human scores out into five folds. Photographs of one scene stay together, because a
model that has seen the scene with another exposure has half seen the answer; each subset is spread evenly. `choose`
compares settings by cross-validation within four folds; `calibrate` fits on these four and measures on the fifth, which
nothing else has looked at: the figures on the cards are its.
"""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import click
import cv2
import numpy as np
import pandas as pd
from scipy.sparse.csgraph import connected_components

NUM_FOLDS = 5
HELD_OUT = 4
# Which of the three subsets a photograph comes from tells most of its score (about .6 of SRCC by itself). A score that
# learns to tell subsets apart is no better within one, so the subsets' means are drawn together to this share of their
# distance before the fit. Chosen, with width and ridge, within the four folds.
SUBSET_SHARE = 0.5
# Plain colours that take part in the calibration as the worst pictures.
NUM_BLANKS = 200
# More than there are: every photograph of the four folds takes part in every answer.
MOST_LANDMARKS = 5000
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


# ------------------------------------------------------------------------------------------------------------- features


@main.command()
@click.argument("folds_csv", type=click.Path(path_type=Path, exists=True))
@click.argument("images", type=click.Path(path_type=Path, exists=True))
@click.option("--model", default="quality_restore", show_default=True, help="Name or file of the network.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Arrays network and control, .npz.")
def features(folds_csv: Path, images: Path, model: str, out: Path) -> None:
    """Residual statistics of every photograph, with the network and with a Gaussian in its place."""
    from deconv_core.images import read_image
    from deconv_core.metrics.deconv_quality_control import GaussianBlur
    from deconv_core.models.saving import load_model
    from deconv_core.residual_statistics import statistics_of

    names = pd.read_csv(folds_csv)["image"].tolist()
    ways = {"network": load_model(model), "control": GaussianBlur()}
    rows = {way: [] for way in ways}
    with click.progressbar(names) as bar:
        for name in bar:
            picture = read_image(images / name).pixels[None]
            for way, rebuilder in ways.items():
                rows[way].append(statistics_of(picture, rebuilder)[0])
    np.savez(out, **{way: np.stack(found) for way, found in rows.items()})


# --------------------------------------------------------------------------------------------------------- calibration


@main.command()
@click.argument("folds_csv", type=click.Path(path_type=Path, exists=True))
@click.argument("features_npz", type=click.Path(path_type=Path, exists=True))
def choose(folds_csv: Path, features_npz: Path) -> None:
    """Width and ridge of the kernel, by cross-validation within the four folds that are not held out."""
    frame, arrays = _read(folds_csv, features_npz)
    inside = frame["fold"] != HELD_OUT
    for width in (0.05, 0.1, 0.2, 0.3, 0.6):
        for ridge in (0.03, 0.1, 0.3):
            predicted = _cross_validated(frame, arrays["network"], width, ridge)
            told = ", ".join(f"{key} {value:.4f}" for key, value in figures(frame[inside], predicted[inside]).items())
            click.echo(f"width {width:g}, ridge {ridge:g}: {told}")


@main.command()
@click.argument("folds_csv", type=click.Path(path_type=Path, exists=True))
@click.argument("features_npz", type=click.Path(path_type=Path, exists=True))
@click.option("--width", default=0.2, show_default=True)
@click.option("--ridge", default=0.1, show_default=True)
@click.option("--resamples", default=1000, show_default=True)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder for the two files and their cards.")
def calibrate(folds_csv: Path, features_npz: Path, width: float, ridge: float, resamples: int, out: Path) -> None:
    """Fit the score and its control on four folds, measure both on the fifth, and write them with their cards."""
    from deconv_core.calibrated_metrics import save_calibration
    from deconv_core.calibration import fit, spans
    from deconv_core.metrics.deconv_quality_control import GaussianBlur
    from deconv_core.models.saving import load_model, read_card
    from deconv_core.residual_statistics import VERSION, statistics_names, statistics_of

    frame, arrays = _read(folds_csv, features_npz)
    inside = (frame["fold"] != HELD_OUT).to_numpy()
    scores, held_out = frame["mos"].to_numpy(), frame[~inside]
    fitted, predicted = {}, {}
    for way, rebuilder in (("network", load_model("quality_restore")), ("control", GaussianBlur())):
        blank = statistics_of(blank_pictures(), rebuilder)
        targets = drawn_together(frame[inside])
        made = fit(
            np.concatenate([arrays[way][inside], blank]),
            np.concatenate([targets, np.full(len(blank), targets.min())]),
            standard=arrays[way][inside],
            names=statistics_names(),
            width=width,
            ridge=ridge,
            most_landmarks=MOST_LANDMARKS,
        )
        across = _cross_validated(frame, arrays[way], width, ridge)[inside]
        slope, offset = _on_scale(across, scores[inside])
        across = np.clip(slope * across + offset, 0, 1)
        fitted[way] = replace(
            made,
            weights=slope * made.weights,
            offset=slope * made.offset + offset,
            spans=spans(across, scores[inside]),
            card={"range": [0.0, 1.0]},
        )
        predicted[way] = fitted[way].predict(arrays[way][~inside])
    means = frame[inside].groupby("subset")["mos"].mean()
    predicted["subset alone"] = held_out["subset"].map(means).to_numpy()
    predicted["shuffled"] = fit(
        arrays["network"][inside],
        np.random.default_rng(0).permutation(scores[inside]),
        names=statistics_names(),
        width=width,
        ridge=ridge,
        most_landmarks=MOST_LANDMARKS,
    ).predict(arrays["network"][~inside])
    measured = with_intervals(held_out, predicted, resamples)
    low, high = fitted["network"].interval(predicted["network"])
    covered = float(((held_out["mos"] >= low) & (held_out["mos"] <= high)).mean())
    shared = (frame["scene"].map(frame["scene"].value_counts()) > 1).mean()
    facts = {
        "feature_kind": "residuals",
        "statistics_version": VERSION,
        "range": [0.0, 1.0],
        "higher_is_better": True,
        "count": int(inside.sum()),
        "width": width,
        "ridge": ridge,
        "subset_share": SUBSET_SHARE,
        "calibrated_on": {
            "data_set": "BIQ2021",
            "what": "four fifths of 5,421 photographs of its training split (Ahmed and Asif, 2022), 30 observers each",
        },
        "blank_pictures": f"{NUM_BLANKS} plain colours take part as the worst pictures; nobody was asked about them",
        "calibrated_at": f"{datetime.now(UTC):%Y-%m-%d}",
        "command": "python benchmarks/quality.py calibrate folds.csv features.npz",
        "held_out": {
            "count": len(held_out),
            "scenes": int(held_out["scene"].nunique()),
            "share_a_scene_with_calibration": 0.0,
            "interval_covers": covered,
            **measured,
        },
        "near_duplicates": (
            f"{shared:.1%} of the photographs share a scene with another; a scene is never on both sides of the split."
        ),
        "use": (
            "Photographs from cameras and phones at the size of a screen. Sorting good from bad ones among many of all "
            "kinds; much less sure among photographs that are all good. Not for drawings, screens, scans or "
            "pictures meant to be soft or dark."
        ),
    }
    out.mkdir(parents=True, exist_ok=True)
    network = read_card("quality_restore")
    own = {"model": network["name"], "model_digest": network["digest"], "trained_on": network["trained_on"]}
    for way, name, label, more in (
        ("network", "deconv_quality", "Deconvolution quality", own),
        ("control", "deconv_quality_control", "Deconvolution quality without the network", {}),
    ):
        card = {**facts, **more, "label": label}
        saved = save_calibration(replace(fitted[way], card=card), out, name)
        click.echo(f"{name}: {saved['bytes']:,} bytes")
    for key, value in measured.items():
        click.echo(f"{key}: {value}")
    click.echo(f"The interval covers {covered:.1%} of the held-out scores.")


@main.command()
@click.option("--count", default=32, show_default=True, help="Photographs of 512 x 512.")
def speed(count: int) -> None:
    """Photographs of 512 x 512 per second, from pixels to score; the mark is 25 on two cores."""
    import time

    from peers import machine

    from deconv_core.metrics import METRICS
    from deconv_core.samples import photographs

    pictures = np.tile(photographs(20, 256), (-(-count // 20), 2, 2, 1))[:count]
    click.echo(machine())
    for key in ("deconv_quality", "deconv_quality_control", "detail"):
        METRICS[key].function(None, pictures[:4])
        began = time.perf_counter()
        METRICS[key].function(None, pictures)
        click.echo(f"{key}: {count / (time.perf_counter() - began):.1f} images/s")


@main.command()
@click.argument("folder", type=click.Path(path_type=Path, exists=True))
def laws(folder: Path) -> None:
    """Put the scores without a reference to the sanity laws, and write what was found on their cards in FOLDER."""
    import json

    from deconv_core.metrics.laws import check_many

    for key, report in check_many(["deconv_quality", "deconv_quality_control", "detail"]).items():
        click.echo(f"{key}: {'obeys every law' if report.passed else ' '.join(report.failed)}")
        card = folder / f"{key}.json"
        if card.exists():
            found = json.loads(card.read_text(encoding="utf-8")) | {"laws": {key: report.as_json()}}
            card.write_text(json.dumps(found, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def figures(frame: pd.DataFrame, predicted: np.ndarray) -> dict[str, float]:
    """SRCC within each subset, their mean, SRCC and PLCC of all together."""
    from deconv_core.agreement import plcc, srcc

    scores, subset = frame["mos"].to_numpy(), frame["subset"].to_numpy(dtype=object)
    found = {name: srcc(predicted[subset == name], scores[subset == name]) for name in sorted(set(subset))}
    found["within"] = float(np.mean(list(found.values())))
    return found | {"pooled": srcc(predicted, scores), "plcc": plcc(predicted, scores)}


def with_intervals(frame: pd.DataFrame, predicted: dict[str, np.ndarray], resamples: int) -> dict[str, dict]:
    """The figures of every prediction, and of the network less its control, each as [value, low, high].

    Scenes are drawn with replacement within each subset, all photographs of a scene together.
    """
    own = {way: figures(frame, values) for way, values in predicted.items()}
    rng = np.random.default_rng(0)
    scene = frame["scene"].to_numpy()
    members = {one: np.flatnonzero(scene == one) for one in np.unique(scene)}
    groups = [np.unique(scene[(frame["subset"] == name).to_numpy()]) for name in sorted(frame["subset"].unique())]
    drawn = {way: [] for way in predicted}
    for _ in range(resamples):
        rows = np.concatenate([members[one] for group in groups for one in rng.choice(group, len(group))])
        part = frame.iloc[rows]
        for way, values in predicted.items():
            drawn[way].append(figures(part, values[rows]))
    found = {}
    for way, values in own.items():
        found[way] = {key: [value, *_interval([draw[key] for draw in drawn[way]])] for key, value in values.items()}
    apart = [
        {key: first[key] - second[key] for key in first}
        for first, second in zip(drawn["network"], drawn["control"], strict=True)
    ]
    found["network less control"] = {
        key: [own["network"][key] - own["control"][key], *_interval([draw[key] for draw in apart])] for key in apart[0]
    }
    return {
        way: {key: [None if np.isnan(number) else round(number, 4) for number in row] for key, row in rows.items()}
        for way, rows in found.items()
    }


def _interval(values: list[float]) -> list[float]:
    return np.nanquantile(values, [0.025, 0.975]).tolist() if np.isfinite(values).any() else [np.nan, np.nan]


def blank_pictures() -> np.ndarray:
    """Plain colours, black and white among them: nobody is asked to rate them, and no photograph is like them."""
    rng = np.random.default_rng(0)
    colours = rng.integers(0, 256, (NUM_BLANKS, 3))
    colours[: NUM_BLANKS // 4] = np.linspace(0, 255, NUM_BLANKS // 4).round()[:, None]  # greys
    return np.broadcast_to((colours / 255).astype(np.float32)[:, None, None], (NUM_BLANKS, 128, 128, 3)).copy()


def drawn_together(frame: pd.DataFrame, share: float = SUBSET_SHARE) -> np.ndarray:
    """Human scores with the means of the subsets drawn together to a share of their distance from the whole's mean."""
    scores = frame["mos"].to_numpy()
    means = frame.groupby("subset")["mos"].transform("mean").to_numpy()
    return scores - (1 - share) * (means - scores.mean())


def _on_scale(predicted: np.ndarray, scores: np.ndarray) -> tuple[float, float]:
    """Slope and offset that bring predictions back to the scale of human scores, by least squares."""
    slope, offset = np.polyfit(predicted, scores, 1)
    return float(slope), float(offset)


def _cross_validated(frame: pd.DataFrame, values: np.ndarray, width: float, ridge: float) -> np.ndarray:
    """Predictions of every fold but the held-out one from the others; NaN for the held-out one."""
    from deconv_core.calibration import fit
    from deconv_core.residual_statistics import statistics_names

    fold = frame["fold"].to_numpy()
    predicted = np.full(len(frame), np.nan)
    for number in range(NUM_FOLDS):
        if number == HELD_OUT:
            continue
        inside = (fold != number) & (fold != HELD_OUT)
        fitted = fit(
            values[inside],
            drawn_together(frame[inside]),
            names=statistics_names(),
            width=width,
            ridge=ridge,
            most_landmarks=MOST_LANDMARKS,
        )
        predicted[fold == number] = fitted.predict(values[fold == number])
    return predicted


def _read(folds_csv: Path, features_npz: Path) -> tuple[pd.DataFrame, dict[str, np.ndarray]]:
    with np.load(features_npz) as stored:
        return pd.read_csv(folds_csv), {name: stored[name] for name in stored.files}


if __name__ == "__main__":
    main()
