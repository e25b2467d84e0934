"""Structural similarity (SSIM): are local brightness, contrast and pattern the same?

Wang 2004's Gaussian window (11 pixels, sigma 1.5) on each colour channel, averaged; no downsampling. The same numbers
as tf.image.ssim and as scikit-image with Gaussian weights and population covariance.
"""

import cv2
import numpy as np

from deconv_core.metrics._checks import check_pair
from deconv_core.metrics._planes import each_pair, gaussian_window, planes, to_full_size

# Wang et al. (2004), section III.C: (K1 L)^2 and (K2 L)^2 with K1 = .01, K2 = .03 and range L = 1.
C1 = 0.01**2
C2 = 0.03**2
WINDOW = 11
SIGMA = 1.5


def ssim(reference: np.ndarray, candidate: np.ndarray) -> np.ndarray:
    """SSIM of each image pair, Gaussian window 11 with sigma 1.5, per channel, averaged over channels.

    Only windows that lie wholly inside the picture count. Negative where patterns are inverted. Other conventions give
    other numbers for the same pictures: `ssim_luma`, `ssim_wang2004` and `ssim_uniform` are those.

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
    return np.array(each_pair(_mean_ssim, reference, candidate))


def ssim_map(reference: np.ndarray, candidate: np.ndarray) -> np.ndarray:
    """1 - local SSIM, averaged over channels: float32 (N, H, W), 0 where nothing changed, at most 2.

    The outermost five pixels have no whole window around them and repeat their inner neighbour.
    """
    reference, candidate = check_pair(reference, candidate, metric="SSIM", smallest_side=WINDOW)
    return np.stack(each_pair(_error_map, reference, candidate))


def local_ssim(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Luminance times contrast-structure, and contrast-structure alone, of two planes over all whole windows.

    Both planes are float32 (H, W); the answers are float32 (H - 10, W - 10). SSIM needs the sum of the two variances
    only, so four filters do. Values are moved to [-.5, .5] first: variances do not change, and mean(x^2) - mean(x)^2
    keeps two more bits.
    """
    half = np.float32(0.5)
    x, y = x - half, y - half
    mean_x, mean_y = _windowed(x), _windowed(y)
    product = x * y
    x *= x
    y *= y
    x += y
    means = mean_x * mean_y
    squares = mean_x * mean_x
    squares += mean_y * mean_y
    # contrast-structure: (2 cov + C2) / (var_x + var_y + C2)
    structure = _windowed(product)
    structure -= means
    structure *= 2
    structure += np.float32(C2)
    variances = _windowed(x)
    variances -= squares
    variances += np.float32(C2)
    structure /= variances
    # luminance, the half put back: (m_x + .5)(m_y + .5) = m_x m_y + (m_x + m_y) / 2 + .25
    shift = mean_x + mean_y
    shift += np.float32(0.5 + C1)
    means *= 2
    means += shift
    squares += shift
    means /= squares
    means *= structure
    return means, structure


def mean_over_planes(x: list[np.ndarray], y: list[np.ndarray]) -> float:
    """Mean SSIM of matching planes."""
    return float(np.mean([local_ssim(*pair)[0].mean(dtype=np.float64) for pair in zip(x, y, strict=True)]))


def _windowed(plane: np.ndarray) -> np.ndarray:
    """Gaussian-weighted local means over the windows inside the plane."""
    window = gaussian_window(WINDOW, SIGMA)
    edge = WINDOW // 2
    return cv2.sepFilter2D(plane, -1, window, window, borderType=cv2.BORDER_REPLICATE)[edge:-edge, edge:-edge]


def _mean_ssim(x: np.ndarray, y: np.ndarray) -> float:
    return mean_over_planes(planes(x), planes(y))


def _error_map(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    similarity = np.mean([local_ssim(*pair)[0] for pair in zip(planes(x), planes(y), strict=True)], axis=0)
    return to_full_size(1 - similarity, *x.shape[:2])
