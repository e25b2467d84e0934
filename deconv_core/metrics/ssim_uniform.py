"""SSIM with scikit-image's defaults: a flat 7x7 window and sample covariance, per channel, averaged."""

import cv2
import numpy as np

from deconv_core.metrics._checks import check_pair
from deconv_core.metrics._planes import each_pair, planes, to_full_size
from deconv_core.metrics.ssim import C1, C2

WINDOW = 7
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
    return np.array(
        each_pair(
            lambda x, y: float(np.mean([local.mean(dtype=np.float64) for local in _local_planes(x, y)])),
            reference,
            candidate,
        )
    )


def ssim_uniform_map(reference: np.ndarray, candidate: np.ndarray) -> np.ndarray:
    """1 - local SSIM, averaged over channels: float32 (N, H, W), 0 where nothing changed; three outer pixels repeat."""
    reference, candidate = check_pair(reference, candidate, metric="SSIM with a flat window", smallest_side=WINDOW)
    height, width = reference.shape[1:3]

    def error_map(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return to_full_size(1 - np.mean(_local_planes(x, y), axis=0), height, width)

    return np.stack(each_pair(error_map, reference, candidate))


def _local_planes(x: np.ndarray, y: np.ndarray) -> list[np.ndarray]:
    return [_local(*pair) for pair in zip(planes(x), planes(y), strict=True)]


def _local(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    # Running sums of a flat window collect rounding errors: they are kept in float64.
    x, y = x - 0.5, y - 0.5
    mean_x, mean_y = _windowed(x), _windowed(y)
    means, squares = mean_x * mean_y, mean_x**2 + mean_y**2
    shift = mean_x + mean_y + 0.5
    luminance = (2 * means + shift + C1) / (squares + shift + C1)
    covariance = 2 * _SAMPLE * (_windowed(x * y) - means)
    variances = _SAMPLE * (_windowed(x * x + y * y) - squares)
    return luminance * (covariance + C2) / (variances + C2)


def _windowed(plane: np.ndarray) -> np.ndarray:
    edge = WINDOW // 2
    means = cv2.boxFilter(plane, cv2.CV_64F, (WINDOW, WINDOW), borderType=cv2.BORDER_REPLICATE)
    return means[edge:-edge, edge:-edge]
