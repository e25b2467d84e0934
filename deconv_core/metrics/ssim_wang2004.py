"""SSIM as Wang's own ssim.m computes it: on luma, first made about 256 pixels small, as seen from a usual distance.

This is the number most papers on image quality give. Libraries that leave the downsampling out give lower ones.
"""

import cv2
import numpy as np

from deconv_core.metrics._checks import check_pair
from deconv_core.metrics._planes import each_pair, luma
from deconv_core.metrics.ssim import WINDOW, mean_ssim, ssim_error

# The side, in pixels, to which ssim.m brings the shorter side of a picture.
_VIEWED_SIDE = 256


def ssim_wang2004(reference: np.ndarray, candidate: np.ndarray) -> np.ndarray:
    """SSIM of each image pair on luma after Wang's automatic downsampling.

    With f = round(shorter side / 256), halves rounded up as MATLAB does: f x f averages with mirrored border, every
    f-th pixel kept, then the Gaussian window. Up to 383 pixels nothing is downsampled. piq takes blocks from the corner
    and rounds halves to even, so it differs where f is odd or the side is 640 pixels; ssim.m is followed here.

    Args:
        reference: Originals, float32, shape (N, H, W, C), values in [0, 1], sides of at least 11 pixels.
        candidate: Same shape.

    Returns:
        float64 array of shape (N,), in [-1, 1]; higher is better, identical pairs give exactly 1.

    Raises:
        ImageError: Shapes differ, values leave [0, 1], or a side is shorter than the window.

    References:
        Wang et al. (2004), doi:10.1109/TIP.2003.819861. Original code: ssim.m at
        https://ece.uwaterloo.ca/~z70wang/research/ssim/ (on grey levels as they come, not rounded after rgb2gray).
    """
    reference, candidate = check_pair(reference, candidate, metric="SSIM of Wang 2004", smallest_side=WINDOW)
    return np.array(each_pair(lambda x, y: mean_ssim(_viewed(x), _viewed(y)), reference, candidate))


def ssim_wang2004_map(reference: np.ndarray, candidate: np.ndarray) -> np.ndarray:
    """1 - local SSIM of the downsampled luma, enlarged to the picture: float32 (N, H, W), 0 where nothing changed."""
    reference, candidate = check_pair(reference, candidate, metric="SSIM of Wang 2004", smallest_side=WINDOW)
    height, width = reference.shape[1:3]

    def error_map(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return cv2.resize(ssim_error(_viewed(x), _viewed(y)), (width, height), interpolation=cv2.INTER_LINEAR)

    return np.stack(each_pair(error_map, reference, candidate))


def _viewed(image: np.ndarray) -> np.ndarray:
    """Luma as ssim.m sees it: imfilter(ones(f) / f^2, 'symmetric', 'same'), then every f-th pixel."""
    plane = luma(image)
    factor = max(1, int(min(plane.shape) / _VIEWED_SIDE + 0.5))
    if factor == 1:
        return plane
    # MATLAB puts the centre of an even window before its middle.
    anchor = ((factor - 1) // 2, (factor - 1) // 2)
    averaged = cv2.blur(plane, (factor, factor), anchor=anchor, borderType=cv2.BORDER_REFLECT)
    return np.ascontiguousarray(averaged[::factor, ::factor])
