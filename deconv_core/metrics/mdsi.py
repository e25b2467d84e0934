"""Mean deviation similarity index (MDSI): is the damage to edges and colours uneven over the picture?

A relative of GMSD that looks at colour too, and at the gradient of the two pictures' mean, which tells whether an edge
was lost or added.
"""

import cv2
import numpy as np

from deconv_core.metrics._checks import check_pair
from deconv_core.metrics._planes import each_pair
from deconv_core.metrics._similarity import (
    PREWITT,
    block_means,
    colour_planes,
    enlarged,
    gradient,
    unlikeness,
    viewing_factor,
)

# Nafchi et al. (2016), section III, for grey levels up to 255; C3 = 4 C1 = 10 C2.
C1 = 140 / 255**2
C2 = 55 / 255**2
C3 = 550 / 255**2
ALPHA = 0.6
# Powers of the similarity (q) and of the deviation (o).
_Q = 0.25
_O = 0.25
# Luminance and the two chromaticity channels H and M, equations 1 and 2.
_LHM = np.array([[0.2989, 0.5870, 0.1140], [0.30, 0.04, -0.35], [0.34, -0.60, 0.17]])
# The three pixels of the Prewitt operator.
SMALLEST_SIDE = 3


def mdsi(reference: np.ndarray, candidate: np.ndarray) -> np.ndarray:
    """MDSI of each image pair, gradient and chromaticity similarity added ("sum"). Lower is better.

    With f = round(shorter side / 256), halves to even: f x f averages, zeros around the picture, as in piq and in the
    authors' code. A grey picture counts as three equal channels. The fourth root at the end makes small damage look
    large: one pixel of 256 x 256 that is one step of 255 off scores 0.01.

    Args:
        reference: Originals, float32, shape (N, H, W, C), values in [0, 1], sides of at least 3 pixels.
        candidate: Same shape.

    Returns:
        float64 array of shape (N,), in [0, 1]; lower is better, identical pairs give exactly 0.

    Raises:
        ImageError: Shapes differ, values leave [0, 1], or a side is shorter than 3 pixels.

    References:
        Nafchi, Shahkolaei, Hedjam, Cheriet (2016), Mean deviation similarity index: efficient and reliable
        full-reference image quality evaluator, doi:10.1109/ACCESS.2016.2604042. Original code:
        https://www.mathworks.com/matlabcentral/fileexchange/59809

    Example:
        >>> ramp = np.tile(np.linspace(0, 1, 16), (1, 16, 1))[..., None]
        >>> mdsi(ramp, ramp)
        array([0.])
    """
    reference, candidate = check_pair(reference, candidate, metric="MDSI", smallest_side=SMALLEST_SIDE)
    return np.array(each_pair(lambda x, y: _deviation(_error(x, y)), reference, candidate))


def mdsi_map(reference: np.ndarray, candidate: np.ndarray) -> np.ndarray:
    """|1 - gradient-chromaticity similarity| at the picture's size: float32 (N, H, W), 0 where nothing changed.

    At most 2; the similarity itself may leave [0, 1], which is why the distance from 1 is shown.
    """
    reference, candidate = check_pair(reference, candidate, metric="MDSI", smallest_side=SMALLEST_SIDE)
    return np.stack(each_pair(lambda x, y: enlarged(np.abs(_error(x, y)), x), reference, candidate))


def _error(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """1 - GCS, with GCS = alpha GS + (1 - alpha) CS of equation 9."""
    (l_x, h_x, m_x), (l_y, h_y, m_y) = _lhm(x), _lhm(y)
    g_x, g_y, g_f = (gradient(plane, PREWITT) for plane in (l_x, l_y, (l_x + l_y) * np.float32(0.5)))
    # GS = similarity(R, D) + similarity(D, F) - similarity(R, F) with F the mean of both: a lost edge counts for more
    # than an added one.
    error = unlikeness(g_x, g_y, C1)
    error += unlikeness(g_y, g_f, C2)
    error -= unlikeness(g_x, g_f, C2)
    error *= np.float32(ALPHA)
    # 1 - CS, one fraction for both channels
    total = h_x * h_x
    for plane in (h_y, m_x, m_y):
        total += plane * plane
    total += np.float32(C3)
    h_x -= h_y
    m_x -= m_y
    h_x *= h_x
    m_x *= m_x
    h_x += m_x
    h_x /= total
    h_x *= np.float32(1 - ALPHA)
    error += h_x
    return error


def _deviation(error: np.ndarray) -> float:
    """(mean |GCS^q - mean GCS^q|)^o; the root of a negative GCS is complex.

    Taken from t = 1 - GCS^q, because nearly identical pictures differ from 1 by less than float32 resolves beside 1.
    """
    similarity = 1 - error
    root = np.sqrt(np.abs(similarity))
    fourth = np.sqrt(root)
    # 1 - s^(1/4) = (1 - s) / ((1 + s^(1/2)) (1 + s^(1/4)))
    t = error / ((1 + root) * (1 + fourth))
    negative = similarity < 0
    if not negative.any():
        return float(np.abs(t - np.float32(cv2.mean(t)[0])).mean(dtype=np.float64)) ** _O
    t = t.astype(np.complex64)
    t[negative] = 1 - fourth[negative] * np.exp(1j * np.pi * _Q)
    return float(np.abs(t - t.mean(dtype=np.complex128)).mean()) ** _O


def _lhm(image: np.ndarray) -> list[np.ndarray]:
    height, width = image.shape[:2]
    factor = viewing_factor(height, width)
    if image.shape[-1] == 1:
        image = np.repeat(image, 3, axis=-1)
    if factor > 1:
        before, after = (factor - 1) // 2, factor // 2
        image = cv2.copyMakeBorder(image, before, after, before, after, cv2.BORDER_CONSTANT, value=0)
    return colour_planes(block_means(image, factor), _LHM)
