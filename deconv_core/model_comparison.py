"""Two models on the same pictures: which rebuilds them better, by how much, how sure that is, and where they differ."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from deconv_core.errors import DeconvError, ImageError

if TYPE_CHECKING:
    import pandas as pd

    from deconv_core.places import Item

MEASURES = {"psnr": "PSNR", "ssim": "SSIM"}
MAX_PICTURES = 200
LARGEST_SIDE = 512
RESAMPLES = 2000
_UNITS = {"psnr": "dB", "ssim": ""}
_SMALLEST_SIDE = {"psnr": 1, "ssim": 11}


@dataclass(frozen=True)
class Comparison:
    """What was found; differences are second minus first, so above 0 the second model is better.

    Attributes:
        table: One row per picture: `image`, `first`, `second`, `difference`, sorted by how much changed, most first.
        measure: A key of MEASURES.
        mean: Mean difference.
        low, high: 95 % interval of the mean by bootstrap over the pictures; NaN for fewer than three.
        skipped: (name, reason) of pictures that were left out.
        grey: Both were compared on luma, because one of the models is grey.
        sentence: The result in words.
    """

    table: pd.DataFrame
    measure: str
    mean: float
    low: float
    high: float
    skipped: tuple[tuple[str, str], ...]
    grey: bool
    sentence: str


def take_pictures(
    items: Iterable[Item], *, max_pictures: int = MAX_PICTURES, largest_side: int = LARGEST_SIDE
) -> tuple[dict[str, np.ndarray], list[tuple[str, str]]]:
    """The first pictures of a source, name -> float32 (H, W, C) cut to their middle, and (name, reason) of broken ones.

    Args:
        items: As `sources.iterate` gives them.
        max_pictures: No more than these are read.
        largest_side: Longer sides are cropped, pixels.
    """
    pictures, broken = {}, []
    for item in items:
        if len(pictures) >= max_pictures:
            break
        try:
            pixels = item.read().pixels
        except ImageError as error:
            broken.append((item.name, str(error)))
            continue
        top, left = (max(0, (size - largest_side) // 2) for size in pixels.shape[:2])
        pictures[item.name] = np.ascontiguousarray(pixels[top : top + largest_side, left : left + largest_side])
    return pictures, broken


def compare_models(
    first: Any,
    second: Any,
    pictures: dict[str, np.ndarray],
    *,
    measure: str = "psnr",
    damage: Sequence[tuple[str, float]] = (),
    seed: int = 0,
    report: Callable[[int], None] = lambda done: None,
) -> Comparison:
    """Rebuild every picture with both models and compare with the clean picture, pair by pair.

    Where one model is grey, both are compared on luma.

    Args:
        first, second: `Reconstructor`s.
        pictures: Name -> float32 (H, W, C) in [0, 1].
        measure: A key of MEASURES.
        damage: (kind, severity) done to every picture before the models see it; none compares plain reconstruction.
        seed: Decides noise in the damage, and the bootstrap's draws.
        report: Called with the number of pictures done; may raise to end it.

    Raises:
        DeconvError: No picture can be compared, or the measure is not known.
    """
    import pandas as pd

    from deconv_core.metrics import METRICS

    if measure not in MEASURES:
        raise DeconvError(f"Models cannot be compared by '{measure}'; choose one of {', '.join(MEASURES)}.")
    function = METRICS[measure].function
    grey = min(first.channels, second.channels) == 1
    rows, skipped = [], []
    for number, (name, pixels) in enumerate(pictures.items(), start=1):
        if min(pixels.shape[:2]) < _SMALLEST_SIDE[measure]:
            skipped.append((name, f"smaller than the {_SMALLEST_SIDE[measure]} pixels that {MEASURES[measure]} needs"))
        else:
            clean, one, other = rebuild_pair(first, second, pixels, damage=damage, seed=seed + number)
            scores = [float(function(clean[None], made[None])[0]) for made in (one, other)]
            rows.append((name, *scores))
        report(number)
    if not rows:
        reason = f" ({skipped[0][0]}: {skipped[0][1]})" if skipped else ""
        raise DeconvError(f"There is no picture on which the models could be compared{reason}; choose others.")
    table = pd.DataFrame(rows, columns=["image", "first", "second"])
    # Two perfect answers differ by nothing, though infinity minus infinity is no number.
    same = table["second"] == table["first"]
    with np.errstate(invalid="ignore"):
        table["difference"] = np.where(same, 0.0, table["second"] - table["first"])
    mean, low, high = _interval(table["difference"].to_numpy(float), seed)
    order = table["difference"].abs().sort_values(ascending=False, kind="stable").index
    sentence = _sentence(table["difference"].to_numpy(float), mean, low, high, measure)
    return Comparison(table.loc[order].reset_index(drop=True), measure, mean, low, high, tuple(skipped), grey, sentence)


def rebuild_pair(
    first: Any, second: Any, pixels: np.ndarray, *, damage: Sequence[tuple[str, float]] = (), seed: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(clean, rebuilt by the first, rebuilt by the second), in one number of channels: luma where one model is grey.

    Args:
        first, second: `Reconstructor`s.
        pixels: float32 (H, W, C) in [0, 1].
        damage: As in `compare_models`.
        seed: Decides noise in the damage.
    """
    from deconv_core.distortions import distort_all
    from deconv_core.images import to_channels

    seen = distort_all(pixels, damage, seed=seed) if damage else pixels
    channels = min(first.channels, second.channels)
    made = []
    for model in (first, second):
        batch = np.ascontiguousarray(to_channels(seen, model.channels)[None], np.float32)
        made.append(to_channels(model.reconstruct(batch)[0], channels))
    return to_channels(pixels, channels), made[0], made[1]


def _interval(differences: np.ndarray, seed: int) -> tuple[float, float, float]:
    """Mean and its 95 % percentile interval over resampled pictures."""
    mean = float(differences.mean())
    if len(differences) < 3 or not np.isfinite(differences).all():
        return mean, float("nan"), float("nan")
    draws = np.random.default_rng([seed, 7]).integers(0, len(differences), (RESAMPLES, len(differences)))
    low, high = np.quantile(differences[draws].mean(axis=1), [0.025, 0.975])
    return mean, float(low), float(high)


def _sentence(differences: np.ndarray, mean: float, low: float, high: float, measure: str) -> str:
    unit = f" {_UNITS[measure]}" if _UNITS[measure] else ""
    better, worse = int((differences > 0).sum()), int((differences < 0).sum())
    counts = f"It is better on {better} and worse on {worse} of {len(differences)} pictures"
    digits = 2 if measure == "psnr" else 4
    if not np.isfinite(mean):
        return f"A model rebuilds a picture perfectly, so the mean difference has no size. The second model: {counts}."
    by = f"by {abs(mean):.{digits}f}{unit} {MEASURES[measure]} on average"
    if np.isnan(low):
        return (
            f"The second model is {'better' if mean > 0 else 'worse'} {by}; too few pictures to say how sure. {counts}."
        )
    span = f"95 % interval {low:+.{digits}f} to {high:+.{digits}f}{unit}"
    if low > 0 or high < 0:
        return f"The second model is {'better' if mean > 0 else 'worse'} {by} ({span}). {counts}."
    return f"No clear difference: the second model is {mean:+.{digits}f}{unit} on average ({span}). {counts}."
