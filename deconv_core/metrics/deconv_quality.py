"""The score without a reference: what does a photograph look like to people, judged by what a network cannot rebuild?

A small network trained to restore leaves noise, blocks and fine detail in e = y - R(y); statistics of e and of the
picture around it are calibrated on human scores of photographs (see `residual_statistics` and `calibration`). The
answer is a predicted mean opinion score. Its card, in `calibrated/`, says what it was calibrated on and how far it is
to be trusted; `deconv_quality_control` is the same without the network.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from deconv_core.calibrated_metrics import load_calibration
from deconv_core.calibration import Calibration
from deconv_core.metrics._checks import check_batch
from deconv_core.metrics.remembered import remembered
from deconv_core.quality_reasons import Reason, reasons
from deconv_core.residual_statistics import SMALLEST_SIDE, as_viewed, residual_statistics, statistics_of

# The network that the calibration was made with; its statistics mean nothing to any other.
MODEL = "quality_restore"
FOLDER = Path(__file__).parent / "calibrated"
# Squares that are judged by themselves for the map: a quarter of the shorter side, half of it apart.
_TILES = 4


@dataclass(frozen=True)
class Judgement:
    """A score with what it rests on.

    Attributes:
        score: Predicted mean opinion score, 0 to 1.
        low, high: Where the human score of 95 % of photographs with such a prediction lies.
        reasons: The kinds of statistics that moved it most away from the mean photograph, strongest first.
    """

    score: float
    low: float
    high: float
    reasons: tuple[Reason, ...]


def deconv_quality(reference: np.ndarray | None, candidate: np.ndarray) -> np.ndarray:
    """Predicted mean opinion score of each photograph, 0 to 1, from what the bundled network cannot rebuild of it.

    Made for photographs as cameras and phones give them, at the size of a screen: larger ones are reduced first (see
    `residual_statistics.as_viewed`). It knows no reference: a picture that is meant to be soft or dark gets the score
    of a soft or dark one.

    Args:
        reference: Not used; None is welcome.
        candidate: Photographs, float32, shape (N, H, W, C), values in [0, 1], sides of at least 64 pixels.

    Returns:
        float64 array of shape (N,), in [0, 1]; higher is better.

    Raises:
        ImageError: Values leave [0, 1], or a side is shorter than 64 pixels.
        ModelError: The bundled network is missing or damaged.
    """
    candidate = check_batch(candidate, metric="deconv_quality", role="candidate", smallest_side=SMALLEST_SIDE)
    return calibration().predict(statistics_of(candidate, _network()))


def deconv_quality_map(reference: np.ndarray | None, candidate: np.ndarray) -> np.ndarray:
    """1 - the score that each neighbourhood gets by itself, with the colours and the light of the whole photograph.

    Returns:
        float32 (N, H, W), 0 (best) to 1.
    """
    candidate = check_batch(candidate, metric="deconv_quality", role="candidate", smallest_side=SMALLEST_SIDE)
    return map_of(calibration(), candidate, _network())


def map_of(found: Calibration, candidate: np.ndarray, model: object) -> np.ndarray:
    """The map of any calibration on residual statistics, with what `model` makes of the pictures."""
    pictures = as_viewed(candidate)
    rebuilt = model.reconstruct(remembered(model).as_seen(pictures))
    size = candidate.shape[2], candidate.shape[1]
    return np.stack([_map(found, *pair, size) for pair in zip(pictures, rebuilt, strict=True)])


def judge(candidate: np.ndarray) -> list[Judgement]:
    """Each photograph's score with its interval and what moved it; arguments and errors as `deconv_quality`."""
    candidate = check_batch(candidate, metric="deconv_quality", role="candidate", smallest_side=SMALLEST_SIDE)
    found = calibration()
    features = statistics_of(candidate, _network())
    scores = found.predict(features)
    low, high = found.interval(scores)
    return [
        Judgement(float(score), float(least), float(most), reasons(found, row))
        for score, least, most, row in zip(scores, low, high, features, strict=True)
    ]


@cache
def calibration() -> Calibration:
    """The bundled calibration, with its card."""
    return load_calibration(FOLDER / "deconv_quality.npz")


def _network():
    from deconv_core.models.saving import load_model

    return load_model(MODEL)


def _map(found: Calibration, picture: np.ndarray, rebuilt: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    import cv2

    whole = residual_statistics(picture[None], rebuilt[None])[0]
    height, width = picture.shape[:2]
    side = max(SMALLEST_SIDE, min(height, width) // _TILES)
    rows, columns = (
        np.linspace(0, length - side, max(1, round(2 * length / side) - 1)).astype(int) for length in (height, width)
    )
    tiles = [np.s_[top : top + side, left : left + side] for top in rows for left in columns]
    features = residual_statistics(
        np.stack([picture[tile] for tile in tiles]), np.stack([rebuilt[tile] for tile in tiles])
    )
    of_the_whole = [
        place for place, name in enumerate(found.names) if name.startswith(("exposure:", "colour:", "blocks:"))
    ]
    features[:, of_the_whole] = whole[of_the_whole]
    scores = found.predict(features).reshape(len(rows), len(columns)).astype(np.float32)
    return np.clip(1 - cv2.resize(scores, size, interpolation=cv2.INTER_LINEAR), 0, 1)
