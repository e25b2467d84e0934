"""The table of checks: what each one measures, in which unit, when it flags a picture, and what is shown as evidence.

A check is a column of the audit's table under its own key. `flags_when` says how the column is read: `above` the
threshold, `below` it, or `set` (0 or 1). A missing value (NaN) means that the check does not apply, and never flags.
Thresholds can be changed after the run without measuring anything again.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from deconv_core.errors import DeconvError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

FAMILIES = {
    "file": "The file",
    "copy": "Copies",
    "sharpness": "Sharpness, noise, compression",
    "light": "Light and colour",
    "shape": "Size and shape",
    "model": "Reconstruction and quality",
}


@dataclass(frozen=True)
class Check:
    """One row of the table.

    Attributes:
        key: Column name, and name on the command line.
        label: Name on screen.
        unit: Of the value; "" where it is a plain number or 0 and 1.
        rule: What is measured and when it flags, in full sentences.
        threshold: The default.
        flags_when: `above`, `below` or `set`.
        low, high: Range over which a threshold can sensibly be moved.
        evidence: What to show beside the value: columns of the table, or `map` (the error map of the model),
            `neighbour` (the picture named in `neighbour_column`).
        family: A key of FAMILIES.
        weight: Points in the quality risk, see `risk`.
        needs_model: Whether it comes with a model only.
        of_set: Whether it compares pictures with the rest of the set, so that it is known only at the end of a run.
        digits: Decimals worth showing.
        version: Raised when what is measured changes; tables say it, and audits of different ones are not compared.
    """

    key: str
    label: str
    unit: str
    rule: str
    threshold: float
    flags_when: str
    low: float
    high: float
    evidence: tuple[str, ...]
    family: str
    weight: float
    needs_model: bool = False
    of_set: bool = False
    digits: int = 2
    version: int = 1
    neighbour_column: str = ""

    def flags(self, values: np.ndarray, threshold: float | None = None) -> np.ndarray:
        """Which values are flagged, as a boolean array; the threshold itself is not flagged."""
        import numpy as np

        values = np.asarray(values, np.float64)
        if self.flags_when == "set":
            return values == 1
        limit = self.threshold if threshold is None else threshold
        with np.errstate(invalid="ignore"):
            return values > limit if self.flags_when == "above" else values < limit

    def sentence(self, value: float, threshold: float | None = None) -> str:
        """Value and threshold in words, such as `2.31 px, flagged above 1.50 px`; "" where there is no value."""
        if value is None or math.isnan(value):
            return ""
        if self.flags_when == "set":
            return "yes" if value == 1 else "no"
        limit = self.threshold if threshold is None else threshold
        unit = f" {self.unit}" if self.unit else ""
        return f"{value:.{self.digits}f}{unit}, flagged {self.flags_when} {limit:.{self.digits}f}{unit}"


_ROWS = (
    Check(
        "unreadable",
        "Unreadable or cut short",
        "",
        "The file could not be read and decoded to its end; the reason stands beside it.",
        1,
        "set",
        0,
        1,
        ("reason",),
        "file",
        100,
        digits=0,
    ),
    Check(
        "wrong_extension",
        "Name says another format",
        "",
        "The ending of the file's name belongs to another format than its content.",
        1,
        "set",
        0,
        1,
        ("format",),
        "file",
        10,
        digits=0,
    ),
    Check(
        "orientation_flag",
        "Orientation flag",
        "",
        "The file asks viewers to turn or mirror it (EXIF orientation 2 to 8). Programs that ignore the flag train on "
        "pictures that lie on their side.",
        1,
        "set",
        0,
        1,
        ("orientation",),
        "file",
        5,
        digits=0,
    ),
    Check(
        "unusual_bytes",
        "Unusual file size for its pixels",
        "doublings",
        "How often the bytes per pixel have to be doubled or halved to reach the median of the set's files of the same "
        "format. Flagged above the threshold.",
        2.5,
        "above",
        0,
        8,
        ("bytes", "format"),
        "file",
        10,
        of_set=True,
    ),
    Check(
        "exact_duplicate",
        "Exact duplicate",
        "",
        "The file's bytes are those of an earlier picture (equal SHA-256). The first of them is not flagged, nor are "
        "files that cannot be read.",
        1,
        "set",
        0,
        1,
        ("neighbour",),
        "copy",
        60,
        of_set=True,
        digits=0,
        neighbour_column="exact_duplicate_of",
    ),
    Check(
        "near_duplicate",
        "Near duplicate",
        "bits",
        "Differing bits of 64 between the perceptual hash (pHash) of the picture and that of the most alike earlier "
        "one, if the colours on a 4 x 4 grid are alike as well but for brightness. Flagged below the threshold; exact "
        "duplicates are left to their own check.",
        5,
        "below",
        0,
        8,
        ("neighbour",),
        "copy",
        40,
        of_set=True,
        digits=0,
        neighbour_column="near_duplicate_of",
    ),
    Check(
        "blurry",
        "Blurry",
        "px",
        "Width (Gaussian sigma) of the picture's sharpest edges, from how much their slope falls when the picture is "
        "smoothed once more; or 0.7 times the mean width across the direction in which the edges are softest, if that "
        "is more, because motion blurs one direction only. Measured with the longer side reduced by whole numbers to "
        "at most 1,024 pixels. Flagged above the threshold.",
        1.45,
        "above",
        0,
        6,
        ("value",),
        "sharpness",
        50,
        version=2,
    ),
    Check(
        "noisy",
        "Noisy",
        "of 255",
        "Standard deviation of the noise in grey levels, from the second differences (Immerkaer 1996) of the block of "
        "16 x 16 pixels that is rougher than a fifth of the others. Blocks that are nearly black or white do not "
        "count. Measured on evenly spaced blocks of the middle 1,024 x 1,024 pixels. Flagged above the threshold.",
        4,
        "above",
        0,
        40,
        ("value",),
        "sharpness",
        35,
    ),
    Check(
        "blocky",
        "Blocky JPEG",
        "levels",
        "By how many grey levels the mean step across the borders of 8 x 8 blocks exceeds the mean step elsewhere, "
        "wherever the borders lie; steps of more than 24 levels count as 24. Measured on a band in the picture's "
        "middle. Flagged above the threshold.",
        1.3,
        "above",
        0,
        8,
        ("value",),
        "sharpness",
        30,
    ),
    Check(
        "low_information",
        "Low information",
        "bits",
        "Entropy of the grey levels: 0 bits for one flat tone, 8 bits at most. Flagged below the threshold.",
        4.5,
        "below",
        0,
        8,
        ("value",),
        "light",
        40,
    ),
    Check(
        "dark",
        "Dark",
        "of 255",
        "The grey level that 95 % of the pixels do not exceed: even the bright parts are dark. Flagged below the "
        "threshold.",
        80,
        "below",
        0,
        255,
        ("value",),
        "light",
        35,
        digits=0,
    ),
    Check(
        "light",
        "Light",
        "of 255",
        "The grey level that only 5 % of the pixels stay below: even the dark parts are light. Flagged above the "
        "threshold.",
        160,
        "above",
        0,
        255,
        ("value",),
        "light",
        35,
        digits=0,
    ),
    Check(
        "low_contrast",
        "Low contrast",
        "levels",
        "Distance between the grey levels that 2 % and 98 % of the pixels stay below. Flagged below the threshold.",
        70,
        "below",
        0,
        255,
        ("value",),
        "light",
        30,
        digits=0,
    ),
    Check(
        "clipped",
        "Clipped",
        "%",
        "Share of the pixels that are quite black (0 or 1) or quite white (254 or 255). Flagged above the threshold.",
        25,
        "above",
        0,
        100,
        ("value",),
        "light",
        20,
        digits=1,
    ),
    Check(
        "dull",
        "Faded colours",
        "",
        "Colourfulness by Hasler and Suesstrunk (2003): 0 without colour, 15 slightly, 33 moderately, 59 quite "
        "colourful. Flagged below the threshold; pictures without any colour are left to the check for grey ones.",
        10.5,
        "below",
        0,
        60,
        ("value",),
        "light",
        10,
        digits=1,
    ),
    Check(
        "uneven_light",
        "Uneven light",
        "doublings",
        "How often the light doubles from the darkest to the brightest place: the range of a smooth surface (of second "
        "degree) through the brightest levels of 8 x 8 parts, times the share of their variation that the surface "
        "explains. Flagged above the threshold.",
        2.4,
        "above",
        0,
        7,
        ("value",),
        "light",
        10,
        version=2,
    ),
    Check(
        "grey_as_colour",
        "Grey stored as colour",
        "levels",
        "Largest difference between the colour channels of one pixel, for files with three channels; where it is more "
        "than 8 levels, of 64 x 64 pixels alone. Flagged below the threshold.",
        3,
        "below",
        0,
        8,
        ("value",),
        "light",
        10,
        digits=0,
    ),
    Check(
        "odd_size",
        "Odd size",
        "doublings",
        "How often the side (root of width times height) has to be doubled or halved to reach the set's median. "
        "Flagged above the threshold.",
        1.5,
        "above",
        0,
        6,
        ("width", "height"),
        "shape",
        15,
        of_set=True,
    ),
    Check(
        "odd_aspect",
        "Odd aspect ratio",
        "",
        "Longer side over shorter side. Flagged above the threshold.",
        3,
        "above",
        1,
        10,
        ("width", "height"),
        "shape",
        15,
    ),
    Check(
        "reconstruction",
        "Hard to reconstruct",
        "dB",
        "PSNR of the picture as the model rebuilds it against the picture itself. It says how far the picture is from "
        "what the model knows, not how good it is: blurred and black pictures are easy. Flagged below the threshold.",
        22,
        "below",
        10,
        50,
        ("map",),
        "model",
        10,
        needs_model=True,
        digits=1,
    ),
    Check(
        "reconstruction_outlier",
        "Reconstruction outlier",
        "deviations",
        "Distance of the reconstruction (dB) from the set's median, in robust standard deviations (1.4826 times the "
        "median absolute deviation), in either direction; sets of fewer than eight have none. Flagged above the "
        "threshold.",
        3.5,
        "above",
        0,
        10,
        ("map",),
        "model",
        15,
        needs_model=True,
        of_set=True,
    ),
    Check(
        "low_quality",
        "Low predicted quality",
        "%",
        "What people would say about the picture as a calibrated metric predicts it, in percent of its scale: 0 is the "
        "worst end, 100 the best. Flagged below the threshold.",
        35,
        "below",
        0,
        100,
        ("value",),
        "model",
        40,
        needs_model=True,
        digits=0,
    ),
)

CHECKS: dict[str, Check] = {row.key: row for row in _ROWS}


def check(key: str) -> Check:
    """The row of one check.

    Raises:
        DeconvError: No check has this key.
    """
    if key not in CHECKS:
        raise DeconvError(f"There is no check '{key}'; choose among {', '.join(CHECKS)}.")
    return CHECKS[key]


def choose_checks(keys: Iterable[str] | None, *, model: bool, quality: bool) -> tuple[str, ...]:
    """The checks asked for, in the table's order; without any, all that can be made.

    `unreadable` is always among them: what could not be read is never passed over in silence.

    Raises:
        DeconvError: A key is unknown, or needs a model or a calibrated metric where there is none.
    """
    possible = [row.key for row in _ROWS if not row.needs_model or (quality if row.key == "low_quality" else model)]
    if keys is None:
        return tuple(possible)
    chosen = {check(key).key for key in keys} | {"unreadable"}
    for key in chosen - set(possible):
        lacking = "a calibrated metric (--quality)" if key == "low_quality" else "a model (--model)"
        raise DeconvError(f"The check '{key}' needs {lacking}; give one, or leave the check out.")
    return tuple(key for key in possible if key in chosen)


def flag(
    frame: pd.DataFrame, keys: Iterable[str], thresholds: Mapping[str, float] | None = None
) -> dict[str, np.ndarray]:
    """Which rows each check flags: key -> boolean array, for the keys that are columns of the frame."""
    thresholds = thresholds or {}
    return {key: CHECKS[key].flags(frame[key].to_numpy(), thresholds.get(key)) for key in keys if key in frame.columns}
