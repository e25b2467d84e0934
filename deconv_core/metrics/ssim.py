"""Structural similarity (SSIM): are local brightness, contrast and pattern the same?

Wang 2004's Gaussian window (11 pixels, sigma 1.5) on each colour channel, averaged; no downsampling. The same numbers
as tf.image.ssim and as scikit-image with Gaussian weights and population covariance.
"""

import cv2
import numpy as np

from deconv_core.metrics._checks import check_pair
from deconv_core.metrics._planes import each_plane, gaussian_window, over_tiles, to_full_size

# Wang et al. (2004), section III.C: (K1 L)^2 and (K2 L)^2 with K1 = .01, K2 = .03 and range L = 1.
C1 = 0.01**2
C2 = 0.03**2
WINDOW = 11
SIGMA = 1.5
_EDGE = WINDOW // 2


def ssim(reference: np.ndarray, candidate: np.ndarray) -> np.ndarray:
    """SSIM of each image pair, Gaussian window 11 with sigma 1.5, per channel, averaged over channels.

    Only windows that lie wholly inside the picture count. Negative where patterns are inverted. Other conventions give
    other numbers for the same pictures: `ssim_luma`, `ssim_wang2004` and `ssim_uniform` are those. tf.image.ssim means
    the same but loses digits in float32, up to 8e-4 on flat, nearly identical pictures; scikit-image in float64 and
    this function agree within 1e-6.

    Args:
        reference: Originals, float32, shape (N, H, W, C), values in [0, 1], sides of at least 11 pixels.
        candidate: Same shape.

    Returns:
        float64 array of shape (N,), in [-1, 1]; higher is better, identical pairs give exactly 1.

    Raises:
        ImageError: Shapes differ, values leave [0, 1], or a side is shorter than the window.

    References:
        Wang, Bovik, Sheikh, Simoncelli (2004), Image quality assessment: from error visibility to structural
        similarity, doi:10.1109/TIP.2003.819861. Original code: https://ece.uwaterloo.ca/~z70wang/research/ssim/

    Example:
        >>> ramp = np.tile(np.linspace(0, 1, 16), (1, 16, 1))[..., None]
        >>> ssim(ramp, ramp)
        array([1.])
        >>> bool(ssim(ramp, 1 - ramp)[0] < 0)
        True
    """
    reference, candidate = check_pair(reference, candidate, metric="SSIM", smallest_side=WINDOW)
    return np.mean(each_plane(mean_ssim, reference, candidate), axis=1)


def ssim_map(reference: np.ndarray, candidate: np.ndarray) -> np.ndarray:
    """1 - local SSIM, averaged over channels: float32 (N, H, W), 0 where nothing changed, at most 2.

    The outermost five pixels have no whole window around them and repeat their inner neighbour.
    """
    reference, candidate = check_pair(reference, candidate, metric="SSIM", smallest_side=WINDOW)
    return np.stack([np.mean(maps, axis=0) for maps in each_plane(ssim_error, reference, candidate)])


def local_ssim(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Luminance times contrast-structure, and contrast-structure alone, of two planes over all whole windows.

    Both planes are float32 (H, W); the answers are float32 (H - 10, W - 10).
    """
    return over_tiles(_tile_ssim, x, y, _EDGE)


def mean_ssim(x: np.ndarray, y: np.ndarray) -> float:
    """Mean SSIM of two planes."""
    return float(local_ssim(x, y)[0].mean(dtype=np.float64))


def ssim_error(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """1 - local SSIM of two planes, float32 (H, W); rounding above 1 counts as no error."""
    return to_full_size(np.maximum(0, 1 - local_ssim(x, y)[0]), *x.shape)


def _tile_ssim(x: np.ndarray, y: np.ndarray, similarity: np.ndarray, structure: np.ndarray) -> None:
    """Fill the local values of one tile, by way of p = x + y and q = x - y.

    2 cov(x, y) = (var p - var q) / 2 and var x + var y = (var p + var q) / 2, the same for the means: four filters, as
    one call on a stack, and few steps after them. Equal tiles have q = 0 and give exactly 1.

    A variance taken as mean(p^2) - mean(p)^2 cancels badly in float32: against C2, bright flat areas would be 1e-5 off
    (tf.image computes so, and is up to 8e-4 off on nearly identical photographs). So the tile's own mean is taken off
    p first, which changes no variance, and put back for the luminance.
    """
    height, width = x.shape
    stack = np.empty((4, height, width), np.float32)
    np.add(x, y, out=stack[0])
    np.subtract(x, y, out=stack[1])
    shift = np.float32(cv2.mean(stack[0])[0])
    stack[0] -= shift
    np.multiply(stack[:2], stack[:2], out=stack[2:])
    window = gaussian_window(WINDOW, SIGMA)
    stack = cv2.sepFilter2D(stack.reshape(-1, width), -1, window, window, borderType=cv2.BORDER_REPLICATE)
    # Neighbours in the stack reach five rows into each other: those rows are cut off here, and the columns without a
    # whole window at the end, because steps over whole rows are three times as fast.
    mean_p, mean_q, var_p, var_q = stack.reshape(4, height, width)[:, _EDGE:-_EDGE]
    # contrast-structure: (2 cov + C2) / (var_x + var_y + C2)
    mean_q *= mean_q
    var_q -= mean_q
    var_p -= mean_p * mean_p
    var_p += np.float32(2 * C2)
    contrast = var_p - var_q
    var_p += var_q
    contrast /= var_p
    # luminance: (2 m_x m_y + C1) / (m_x^2 + m_y^2 + C1)
    mean_p += shift
    mean_p *= mean_p
    mean_p += np.float32(2 * C1)
    luminance = np.subtract(mean_p, mean_q, out=var_q)
    mean_p += mean_q
    luminance /= mean_p
    luminance *= contrast
    structure[:] = contrast[:, _EDGE:-_EDGE]
    similarity[:] = luminance[:, _EDGE:-_EDGE]
