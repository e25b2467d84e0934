"""Gradient magnitude similarity deviation (GMSD): is the damage to edges uneven over the picture?

Edges are compared pixel by pixel at half size, and the spread of the similarity is the score: people mind damage that
sits in some places more than the same amount spread everywhere.
"""

import cv2
import numpy as np

from deconv_core.metrics._checks import check_pair
from deconv_core.metrics._planes import each_pair, luma
from deconv_core.metrics._similarity import PREWITT, enlarged, gradient, half_size, unlikeness

# Xue et al. (2014), section III.A: c = 170 for grey levels up to 255.
C = 170 / 255**2
# The three pixels of the Prewitt operator, at half size.
SMALLEST_SIDE = 6


def gmsd(reference: np.ndarray, candidate: np.ndarray) -> np.ndarray:
    """GMSD of each image pair: the standard deviation of the similarity of gradient magnitudes. Lower is better.

    On luma averaged 2 x 2 (an odd last row or column is completed with zeros), Prewitt operator with zeros around the
    picture, population deviation; all as in piq and, but for std2's n - 1, in the authors' code. Blind to colour. A
    change that meets every edge alike, such as brightness, is hardly seen: only the frame of zeros shows it.

    Args:
        reference: Originals, float32, shape (N, H, W, C), values in [0, 1], sides of at least 6 pixels.
        candidate: Same shape.

    Returns:
        float64 array of shape (N,), in [0, 0.5]; lower is better, identical pairs give exactly 0.

    Raises:
        ImageError: Shapes differ, values leave [0, 1], or a side is shorter than 6 pixels.

    References:
        Xue, Zhang, Mou, Bovik (2014), Gradient magnitude similarity deviation: a highly efficient perceptual image
        quality index, doi:10.1109/TIP.2013.2293423. Original code: GMSD.m at
        https://www4.comp.polyu.edu.hk/~cslzhang/IQA/GMSD/GMSD.htm

    Example:
        >>> ramp = np.tile(np.linspace(0, 1, 16), (1, 16, 1))[..., None]
        >>> gmsd(ramp, ramp)
        array([0.])
    """
    reference, candidate = check_pair(reference, candidate, metric="GMSD", smallest_side=SMALLEST_SIDE)
    # The deviation of 1 - similarity is that of the similarity.
    return np.array(each_pair(lambda x, y: float(cv2.meanStdDev(_error(x, y))[1].item()), reference, candidate))


def gmsd_map(reference: np.ndarray, candidate: np.ndarray) -> np.ndarray:
    """1 - gradient similarity, enlarged from half size: float32 (N, H, W), in [0, 1], 0 where no edge changed."""
    reference, candidate = check_pair(reference, candidate, metric="GMSD", smallest_side=SMALLEST_SIDE)
    return np.stack(each_pair(lambda x, y: enlarged(_error(x, y), x), reference, candidate))


def _error(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """1 - (2 m_r m_d + c) / (m_r^2 + m_d^2 + c) at half size."""
    m_r, m_d = (gradient(half_size(luma(image)), PREWITT) for image in (x, y))
    return unlikeness(m_r, m_d, C)
