"""Gradient and information: are the edges as strong as they were, and is the local detail still there?

Two views that fail in different places. The deviation of gradient similarity sees uneven damage of edges; the
information ratio sees detail lost and contrast changed, where nearly all other metrics fail. No network is needed.
"""

import cv2
import numpy as np

from deconv_core.metrics._checks import check_pair
from deconv_core.metrics._planes import each_pair, halve, luma

# Stabilises the gradient similarity, in squared grey levels of [0, 1]. GMSD's own 170 / 255^2 gives rank correlations
# of .834 (G) and .852 (D) on our development pairs; this one gives .869 and .879.
_C = 600 / 255**2
# Variance below which detail counts as noise of the eye, in squared grey levels: VIF's sigma_n^2 of 13 is 2e-4 of
# 255^2.
_N = 2e-4
_WINDOW = 7
# Keeps the information ratio of a flat picture defined (as 1, nothing to lose); a photograph's sums are 10^4 and more.
_NO_INFORMATION = 1e-3
# The D that scores 0: the worst of the development pairs reach .46.
WORST = 0.45
# A side of 14 halves to the 7 pixels of the window.
SMALLEST_SIDE = 14


def gradient_information(reference: np.ndarray, candidate: np.ndarray) -> np.ndarray:
    """100 clip(1 - D(x, y) / .45, 0, 1) of each image pair, with D = sqrt(G (1.01 - V)).

    G is the standard deviation of the gradient similarity (Prewitt), V an information ratio in the manner of VIF, both
    on luma averaged 2x2. Blind to a change of brightness that keeps every gradient, as GMSD is, and to colour; two flat
    pictures count as identical.

    Args:
        reference: Originals, float32, shape (N, H, W, C), values in [0, 1], sides of at least 14 pixels.
        candidate: Same shape.

    Returns:
        float64 array of shape (N,), in [0, 100]; higher is better, identical pairs give exactly 100.

    Raises:
        ImageError: Shapes differ, values leave [0, 1], or a side is shorter than 14 pixels.

    References:
        G: Xue, Zhang, Mou, Bovik (2014), Gradient magnitude similarity deviation, doi:10.1109/TIP.2013.2293423.
        V after Sheikh, Bovik (2006), Image information and visual quality, doi:10.1109/TIP.2005.859378.
    """
    reference, candidate = check_pair(
        reference, candidate, metric="Gradient and information", smallest_side=SMALLEST_SIDE
    )
    return np.array(each_pair(lambda x, y: to_score(difference(_grey(x), _grey(y))), reference, candidate))


def gradient_information_map(reference: np.ndarray, candidate: np.ndarray) -> np.ndarray:
    """1 - gradient similarity, enlarged from half size: float32 (N, H, W), in [0, 1], 0 where no edge changed."""
    reference, candidate = check_pair(
        reference, candidate, metric="Gradient and information", smallest_side=SMALLEST_SIDE
    )
    return np.stack(each_pair(lambda x, y: gradient_error(_grey(x), _grey(y)), reference, candidate))


def difference(x: np.ndarray, y: np.ndarray) -> float:
    """D(x, y) = sqrt(G (1.01 - V)) of two full-size grey planes, float64; 0 for equal planes, lower is better."""
    x, y = halve(x), halve(y)
    deviation = float(np.std(_gradient_similarity(x, y)))
    return float(np.sqrt(deviation * (1.01 - _information_ratio(x, y))))


def to_score(d: float) -> float:
    """100 clip(1 - D / .45, 0, 1): 100 is identical, 0 as bad as the worst development pairs."""
    return float(100 * np.clip(1 - d / WORST, 0, 1))


def gradient_error(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """1 - gradient similarity of two full-size grey planes, float32 at full size."""
    # Rounding may lift a similarity above 1 by a hair.
    error = np.maximum(0, 1 - _gradient_similarity(halve(x), halve(y))).astype(np.float32)
    return cv2.resize(error, x.shape[::-1], interpolation=cv2.INTER_LINEAR)


def _grey(image: np.ndarray) -> np.ndarray:
    # float64, because an exact 100 for equal pictures must not hang on luck, and V takes differences of squares.
    return luma(image, np.float64)


def _gradient_similarity(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(2 m_x m_y + c) / (m_x^2 + m_y^2 + c) with m the gradient magnitude: in (0, 1], exactly 1 where equal."""
    squares_x, squares_y = _squared_gradient(x), _squared_gradient(y)
    magnitude_x, magnitude_y = np.sqrt(squares_x), np.sqrt(squares_y)
    return (2 * magnitude_x * magnitude_y + _C) / (magnitude_x**2 + magnitude_y**2 + _C)


def _squared_gradient(plane: np.ndarray) -> np.ndarray:
    """Squared magnitude of the Prewitt gradient, kernels [1, 0, -1] x [1, 1, 1] / 3, edges mirrored."""
    slope, mean = np.array([1.0, 0.0, -1.0]), np.full(3, 1 / 3)
    across = cv2.sepFilter2D(plane, -1, slope, mean, borderType=cv2.BORDER_REFLECT_101)
    down = cv2.sepFilter2D(plane, -1, mean, slope, borderType=cv2.BORDER_REFLECT_101)
    return across**2 + down**2


def _information_ratio(x: np.ndarray, y: np.ndarray) -> float:
    """V = min(1, sum log(1 + b^2 s_x / (s_e + n)) / sum log(1 + s_x / n)) over all whole 7x7 windows."""
    mean_x, mean_y = _windowed(x), _windowed(y)
    s_x = np.maximum(0, _windowed(x * x) - mean_x * mean_x)
    s_y = np.maximum(0, _windowed(y * y) - mean_y * mean_y)
    covariance = _windowed(x * y) - mean_x * mean_y
    b = np.maximum(0, covariance / (s_x + 1e-6))
    s_e = np.maximum(0, s_y - b * covariance)
    kept = np.log1p(b * b * s_x / (s_e + _N)).sum()
    there = np.log1p(s_x / _N).sum()
    return min(1.0, float((kept + _NO_INFORMATION) / (there + _NO_INFORMATION)))


def _windowed(plane: np.ndarray) -> np.ndarray:
    edge = _WINDOW // 2
    means = cv2.boxFilter(plane, -1, (_WINDOW, _WINDOW), borderType=cv2.BORDER_REPLICATE)
    return means[edge:-edge, edge:-edge]
