"""SSIM on luma: the Gaussian window of Wang 2004 on the grey picture, colour left out, no downsampling."""

import numpy as np

from deconv_core.metrics._checks import check_pair
from deconv_core.metrics._planes import each_pair, luma
from deconv_core.metrics.ssim import WINDOW, mean_ssim, ssim_error


def ssim_luma(reference: np.ndarray, candidate: np.ndarray) -> np.ndarray:
    """SSIM of each image pair on BT.601 luma, Gaussian window 11 with sigma 1.5, no downsampling.

    Blind to changes of hue that keep the luma. The luma is not rounded to 8 bits.

    Args:
        reference: Originals, float32, shape (N, H, W, C), values in [0, 1], sides of at least 11 pixels.
        candidate: Same shape.

    Returns:
        float64 array of shape (N,), in [-1, 1]; higher is better, identical pairs give exactly 1.

    Raises:
        ImageError: Shapes differ, values leave [0, 1], or a side is shorter than the window.

    References:
        Wang et al. (2004), doi:10.1109/TIP.2003.819861; ssim_index.m without its later downsampling.
    """
    reference, candidate = check_pair(reference, candidate, metric="SSIM on luma", smallest_side=WINDOW)
    return np.array(each_pair(lambda x, y: mean_ssim(luma(x), luma(y)), reference, candidate))


def ssim_luma_map(reference: np.ndarray, candidate: np.ndarray) -> np.ndarray:
    """1 - local SSIM of luma: float32 (N, H, W), 0 where nothing changed; the five outermost pixels repeat."""
    reference, candidate = check_pair(reference, candidate, metric="SSIM on luma", smallest_side=WINDOW)
    return np.stack(each_pair(lambda x, y: ssim_error(luma(x), luma(y)), reference, candidate))
