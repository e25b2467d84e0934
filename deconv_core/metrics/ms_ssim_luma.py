"""Multi-scale SSIM on luma, as Wang, Simoncelli and Bovik gave it in 2003: five scales of the grey picture."""

import numpy as np

from deconv_core.metrics._checks import check_pair
from deconv_core.metrics._planes import each_pair, luma
from deconv_core.metrics.ms_ssim import SMALLEST_SIDE, map_over_scales, over_scales


def ms_ssim_luma(reference: np.ndarray, candidate: np.ndarray) -> np.ndarray:
    """Multi-scale SSIM of each image pair on BT.601 luma.

    Args:
        reference: Originals, float32, shape (N, H, W, C), values in [0, 1], sides of at least 161 pixels.
        candidate: Same shape. The luma is not rounded to 8 bits.

    Returns:
        float64 array of shape (N,), in [0, 1]; higher is better, identical pairs give exactly 1.

    Raises:
        ImageError: Shapes differ, values leave [0, 1], or a side is shorter than 161 pixels.

    References:
        Wang, Simoncelli, Bovik (2003), doi:10.1109/ACSSC.2003.1292216; the "product" method of msssim.m, with a
        negative scale counted as 0.
    """
    reference, candidate = check_pair(reference, candidate, metric="MS-SSIM on luma", smallest_side=SMALLEST_SIDE)
    return np.array(each_pair(lambda x, y: over_scales(luma(x), luma(y)), reference, candidate))


def ms_ssim_luma_map(reference: np.ndarray, candidate: np.ndarray) -> np.ndarray:
    """1 - product of the local values of all scales of luma: float32 (N, H, W), 0 where nothing changed."""
    reference, candidate = check_pair(reference, candidate, metric="MS-SSIM on luma", smallest_side=SMALLEST_SIDE)
    return np.stack(each_pair(lambda x, y: map_over_scales(luma(x), luma(y)), reference, candidate))
