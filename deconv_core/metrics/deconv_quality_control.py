"""The score without a reference, without its network: the same statistics of what a plain Gaussian blur removes.

Always shown beside `deconv_quality`: the difference of the two is what the network adds.
"""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np

from deconv_core.calibrated_metrics import load_calibration
from deconv_core.calibration import Calibration
from deconv_core.metrics._checks import check_batch
from deconv_core.metrics.deconv_quality import FOLDER, map_of
from deconv_core.residual_statistics import SMALLEST_SIDE, statistics_of

# Pixels. The calibration was fitted to what this blur removes: another one needs another calibration, so that it is
# not shared with the control of `deconv`, whose blur stands in for another network.
SIGMA = 1.2


class GaussianBlur:
    """A blur of `SIGMA` in the place of a network."""

    def reconstruct(self, batch: np.ndarray) -> np.ndarray:
        """The batch (N, H, W, C), every picture blurred."""
        return np.stack([cv2.GaussianBlur(picture, (0, 0), SIGMA).reshape(picture.shape) for picture in batch])


def deconv_quality_control(reference: np.ndarray | None, candidate: np.ndarray) -> np.ndarray:
    """Predicted mean opinion score of each photograph, 0 to 1, with a Gaussian (sigma 1.2) in the network's place.

    Calibrated on the same human scores in the same way; everything else is as in `deconv_quality`.

    Args:
        reference: Not used; None is welcome.
        candidate: Photographs, float32, shape (N, H, W, C), values in [0, 1], sides of at least 64 pixels.

    Returns:
        float64 array of shape (N,), in [0, 1]; higher is better.

    Raises:
        ImageError: Values leave [0, 1], or a side is shorter than 64 pixels.
    """
    name = "deconv_quality_control"
    candidate = check_batch(candidate, metric=name, role="candidate", smallest_side=SMALLEST_SIDE)
    return calibration().predict(statistics_of(candidate, GaussianBlur()))


def deconv_quality_control_map(reference: np.ndarray | None, candidate: np.ndarray) -> np.ndarray:
    """1 - the score of each neighbourhood, as `deconv_quality_map`: float32 (N, H, W), 0 (best) to 1."""
    name = "deconv_quality_control"
    candidate = check_batch(candidate, metric=name, role="candidate", smallest_side=SMALLEST_SIDE)
    return map_of(calibration(), candidate, GaussianBlur())


@cache
def calibration() -> Calibration:
    """The bundled calibration, with its card."""
    return load_calibration(FOLDER / "deconv_quality_control.npz")
