"""Haar wavelet-based perceptual similarity (HaarPSI): are fine edges there, where coarse edges draw the eye?

Two fine scales of Haar wavelets give the similarity, a third, coarser one the weight of each place.
"""

import cv2
import numpy as np

from deconv_core.metrics._checks import check_pair
from deconv_core.metrics._planes import each_pair
from deconv_core.metrics._similarity import colour_planes, enlarged, half_size, unlikeness

# Reisenhofer et al. (2018), section 3: C = 30 for grey levels up to 255, alpha = 4.2.
C = 30 / 255**2
ALPHA = 4.2
# Luma and the colour differences I and Q (NTSC), four digits as in piq; the authors' code has three.
_YIQ = np.array([[0.299, 0.587, 0.114], [0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]])
# The coarsest wavelet has 8 pixels at half size.
SMALLEST_SIDE = 16
_BEST = 1 / (1 + np.exp(-ALPHA))


def haarpsi(reference: np.ndarray, candidate: np.ndarray) -> np.ndarray:
    """HaarPSI of each image pair.

    At half size (2 x 2 averages; an odd last row or column is completed with zeros), zeros around the picture; colour
    by the similarity of 2 x 2 averages of I and Q. A grey picture has no colour term. All as in piq and in the authors'
    code.

    Args:
        reference: Originals, float32, shape (N, H, W, C), values in [0, 1], sides of at least 16 pixels.
        candidate: Same shape.

    Returns:
        float64 array of shape (N,), in [0, 1]; higher is better, identical pairs give exactly 1.

    Raises:
        ImageError: Shapes differ, values leave [0, 1], or a side is shorter than 16 pixels.

    References:
        Reisenhofer, Bosse, Kutyniok, Wiegand (2018), A Haar wavelet-based perceptual similarity index for image quality
        assessment, doi:10.1016/j.image.2017.11.001. Original code: https://github.com/rgcda/haarpsi

    Example:
        >>> ramp = np.tile(np.linspace(0, 1, 16), (1, 16, 1))[..., None]
        >>> haarpsi(ramp, ramp)
        array([1.])
    """
    reference, candidate = check_pair(reference, candidate, metric="HaarPSI", smallest_side=SMALLEST_SIDE)
    return np.array(each_pair(_haarpsi, reference, candidate))


def haarpsi_map(reference: np.ndarray, candidate: np.ndarray) -> np.ndarray:
    """1 - similarity, weighted as in the score: float32 (N, H, W), 0 where nothing changed.

    Weights have a mean of 1 over the picture, so that a place with strong coarse edges can exceed 1.
    """
    reference, candidate = check_pair(reference, candidate, metric="HaarPSI", smallest_side=SMALLEST_SIDE)
    return np.stack(each_pair(_error_map, reference, candidate))


def _haarpsi(x: np.ndarray, y: np.ndarray) -> float:
    """(logit(sum l(HS) W / sum W) / alpha)^2 with l(s) = 1 / (1 + exp(-alpha s)).

    Written with the shortfall d of the weighted mean below l(1), which is 0 for equal pictures and gives exactly 1:
    logit(l(1) - d) = alpha + log(1 - d / l(1)) - log(1 + d / (1 - l(1))).
    """
    total = shortfall = 0.0
    for error, weight in _terms(x, y):
        total += float(weight.sum(dtype=np.float64))
        # l(1) - l(1 - e) = l(1) (1 - l(1)) u / (1 + (1 - l(1)) u) with u = exp(alpha e) - 1
        u = np.expm1(np.float32(ALPHA) * error)
        u /= 1 + np.float32(1 - _BEST) * u
        u *= weight
        shortfall += float(u.sum(dtype=np.float64))
    # Black beside black has no weights, and nothing that changed.
    d = _BEST * (1 - _BEST) * shortfall / max(total, np.finfo(np.float64).tiny)
    return float((1 + (np.log1p(-d / _BEST) - np.log1p(d / (1 - _BEST))) / ALPHA) ** 2)


def _error_map(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    terms = _terms(x, y)
    weight = np.sum([weight for _, weight in terms], axis=0)
    error = np.sum([error * weight for error, weight in terms], axis=0)
    return enlarged(error / max(float(weight.mean(dtype=np.float64)), np.finfo(np.float32).tiny), x)


def _terms(x: np.ndarray, y: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """1 - similarity and its weight, for edges across, edges down, and colour."""
    planes_x, planes_y = _planes(x), _planes(y)
    terms = []
    for across in (False, True):
        a, b = ([np.abs(_haar(planes[0], 2**scale, across)) for scale in (1, 2, 3)] for planes in (planes_x, planes_y))
        terms.append(((unlikeness(a[0], b[0], C) + unlikeness(a[1], b[1], C)) / 2, np.maximum(a[2], b[2])))
    if len(planes_x) == 3:
        a, b = ([np.abs(_two_by_two(plane)) for plane in planes[1:]] for planes in (planes_x, planes_y))
        weight = (terms[0][1] + terms[1][1]) / 2
        terms.append(((unlikeness(a[0], b[0], C) + unlikeness(a[1], b[1], C)) / 2, weight))
    return terms


def _planes(image: np.ndarray) -> list[np.ndarray]:
    half = half_size(image)
    return [half.reshape(half.shape[:2])] if image.shape[-1] == 1 else colour_planes(half, _YIQ)


def _haar(plane: np.ndarray, size: int, across: bool) -> np.ndarray:
    """Response of a Haar wavelet of size x size pixels, divided by its size; zeros around the picture."""
    flat = np.full(size, 1 / size)
    step = np.repeat([1.0, -1.0], size // 2)
    kernels = (step, flat) if across else (flat, step)
    anchor = (size // 2 - 1, size // 2 - 1)
    return cv2.sepFilter2D(plane, -1, *kernels, anchor=anchor, borderType=cv2.BORDER_CONSTANT)


def _two_by_two(plane: np.ndarray) -> np.ndarray:
    """Mean of each pixel and its neighbours to the right and below, zeros beyond the edge."""
    halves = np.array([0.5, 0.5])
    return cv2.sepFilter2D(plane, -1, halves, halves, anchor=(0, 0), borderType=cv2.BORDER_CONSTANT)
