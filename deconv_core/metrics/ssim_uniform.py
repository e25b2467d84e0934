"""SSIM with scikit-image's defaults: a flat 7x7 window and sample covariance, per channel, averaged."""

import cv2
import numpy as np

from deconv_core.metrics._checks import check_pair
from deconv_core.metrics._planes import each_plane, over_tiles, to_full_size
from deconv_core.metrics.ssim import C1, C2

WINDOW = 7
_EDGE = WINDOW // 2
# Sample covariance divides by one less than the number of pixels in the window.
_SAMPLE = WINDOW**2 / (WINDOW**2 - 1)


def ssim_uniform(reference: np.ndarray, candidate: np.ndarray) -> np.ndarray:
    """SSIM of each image pair with a flat 7x7 window and sample covariance, averaged over channels.

    What `skimage.metrics.structural_similarity(..., data_range=1, channel_axis=-1)` answers when nothing else is set.

    Args:
        reference: Originals, float32, shape (N, H, W, C), values in [0, 1], sides of at least 7 pixels.
        candidate: Same shape.

    Returns:
        float64 array of shape (N,), in [-1, 1]; higher is better, identical pairs give exactly 1.

    Raises:
        ImageError: Shapes differ, values leave [0, 1], or a side is shorter than the window.

    References:
        Wang et al. (2004), doi:10.1109/TIP.2003.819861; settings of scikit-image 0.26.
    """
    reference, candidate = check_pair(reference, candidate, metric="SSIM with a flat window", smallest_side=WINDOW)
    return np.mean(each_plane(_mean, reference, candidate), axis=1)


def ssim_uniform_map(reference: np.ndarray, candidate: np.ndarray) -> np.ndarray:
    """1 - local SSIM, averaged over channels: float32 (N, H, W), 0 where nothing changed; three outer pixels repeat."""
    reference, candidate = check_pair(reference, candidate, metric="SSIM with a flat window", smallest_side=WINDOW)
    return np.stack([np.mean(maps, axis=0) for maps in each_plane(_error, reference, candidate)])


def _mean(x: np.ndarray, y: np.ndarray) -> float:
    return float(_local(x, y).mean(dtype=np.float64))


def _error(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return to_full_size(np.maximum(0, 1 - _local(x, y)), *x.shape)


def _local(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return over_tiles(_tile_ssim, x, y, _EDGE)[0]


def _tile_ssim(x: np.ndarray, y: np.ndarray, similarity: np.ndarray, structure: np.ndarray) -> None:
    # The running sums of a flat window collect rounding errors: they are kept in float64.
    x, y = x.astype(np.float64), y.astype(np.float64)
    mean_x, mean_y = _windowed(x), _windowed(y)
    means, squares = mean_x * mean_y, mean_x**2 + mean_y**2
    covariance = 2 * _SAMPLE * (_windowed(x * y) - means)
    variances = _SAMPLE * (_windowed(x * x + y * y) - squares)
    np.divide(covariance + C2, variances + C2, out=structure, casting="same_kind")
    np.multiply((2 * means + C1) / (squares + C1), structure, out=similarity, casting="same_kind")


def _windowed(plane: np.ndarray) -> np.ndarray:
    means = cv2.boxFilter(plane, -1, (WINDOW, WINDOW), borderType=cv2.BORDER_REPLICATE)
    return means[_EDGE:-_EDGE, _EDGE:-_EDGE]
