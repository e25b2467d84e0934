"""PSNR on luma as papers on super-resolution give it: how small is the error, colour left out?

Those papers use the studio-swing luma of MATLAB's rgb2ycbcr, which spans 219 of 255 steps: the same error scores about
1.3 dB higher than on full-range luma. Compare such numbers only with each other.
"""

import cv2
import numpy as np

from deconv_core.metrics._checks import check_pair
from deconv_core.metrics._planes import each_pair
from deconv_core.metrics.psnr import decibels

# ITU-R BT.601, 8 bits: Y = 16 + 65.481 R + 128.553 G + 24.966 B. The offset cancels in a difference.
_STUDIO_LUMA = np.array([[65.481, 128.553, 24.966]]) / 255


def psnr_y(reference: np.ndarray, candidate: np.ndarray) -> np.ndarray:
    """PSNR of each image pair on BT.601 studio-swing luma, in decibels.

    The luma is not rounded to 8 bits and no border is cut off (papers often cut as many pixels as the scale factor:
    crop before calling). A grey picture counts as one with three equal channels.

    Args:
        reference: Originals, float32, shape (N, H, W, C), values in [0, 1].
        candidate: Same shape. The peak is 1, that is 255 steps, although luma spans 219 of them.

    Returns:
        float64 array of shape (N,); higher is better, identical pairs give infinity.

    Raises:
        ImageError: Shapes differ, or values leave [0, 1].

    References:
        MATLAB rgb2ycbcr; calculate_psnr(test_y_channel=True) of BasicSR.

    Example:
        >>> psnr_y(np.zeros((1, 8, 8, 3)), np.full((1, 8, 8, 3), 0.1)).round(2)
        array([21.32])
    """
    reference, candidate = check_pair(reference, candidate, metric="PSNR-Y")
    return decibels(each_pair(_squared_error, reference, candidate))


def psnr_y_map(reference: np.ndarray, candidate: np.ndarray) -> np.ndarray:
    """Absolute error of studio-swing luma at each pixel: float32 (N, H, W), 0 where luma did not change."""
    reference, candidate = check_pair(reference, candidate, metric="PSNR-Y")
    return np.abs(np.stack(each_pair(_difference, reference, candidate))).astype(np.float32)


def _difference(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    difference = x.astype(np.float64)
    difference -= y
    if difference.shape[-1] == 1:
        return difference[..., 0] * _STUDIO_LUMA.sum()
    return cv2.transform(difference, _STUDIO_LUMA)


def _squared_error(x: np.ndarray, y: np.ndarray) -> float:
    return float(np.square(_difference(x, y)).mean())
