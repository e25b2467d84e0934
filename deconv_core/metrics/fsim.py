"""Feature similarity (FSIM, with colour FSIMc): are the features there that phases agree upon, and are they as strong?

Phase congruency finds edges, lines and corners whatever their contrast; it is compared, together with the gradient, and
weighs every place.
"""

import math
from functools import lru_cache

import cv2
import numpy as np
import scipy.fft

from deconv_core.metrics._checks import check_pair
from deconv_core.metrics._planes import each_pair
from deconv_core.metrics._similarity import (
    SCHARR,
    block_means,
    colour_planes,
    enlarged,
    gradient,
    unlikeness,
    viewing_factor,
)

# Zhang et al. (2011), section IV.B: phase congruency lies in [0, 1], gradient and colour on grey levels up to 255.
T1 = 0.85
T2 = 160 / 255**2
T3 = T4 = 200 / 255**2
LAMBDA = 0.03
# Luma and the colour differences I and Q (NTSC), four digits as in piq; the authors' code has three.
_YIQ = np.array([[0.299, 0.587, 0.114], [0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]])
# Kovesi's phase congruency as FeatureSIM.m sets it: log-Gabor filters at 4 scales, the shortest wave of 6 pixels, and 4
# orientations; noise is what stays below the mean plus 2 deviations, eased by 1.7.
_SCALES = 4
_ORIENTATIONS = 4
_SHORTEST_WAVE = 6
_SIGMA_F = 0.55
_DELTA_THETA = 1.2
_NOISE_DEVIATIONS = 2.0
_NOISE_EASED = 1.7
# Butterworth low-pass that keeps the corners of the spectrum out.
_CUTOFF = 0.45
_ORDER = 15
_EPS = float(np.finfo(np.float32).eps)
SMALLEST_SIDE = _SHORTEST_WAVE


def fsim(reference: np.ndarray, candidate: np.ndarray) -> np.ndarray:
    """FSIM of each image pair on luma.

    With f = round(shorter side / 256), halves to even: averages of whole f x f blocks; the picture continues as a
    torus for phase congruency and with zeros for the gradient. As in piq; the authors' code places the averages
    elsewhere for f above 2 and rounds halves up.

    Args:
        reference: Originals, float32, shape (N, H, W, C), values in [0, 1], sides of at least 6 pixels.
        candidate: Same shape.

    Returns:
        float64 array of shape (N,), in [0, 1]; higher is better, identical pairs give exactly 1.

    Raises:
        ImageError: Shapes differ, values leave [0, 1], or a side is shorter than 6 pixels.

    References:
        Zhang, Zhang, Mou, Zhang (2011), FSIM: a feature similarity index for image quality assessment,
        doi:10.1109/TIP.2011.2109730. Original code: FeatureSIM.m at
        https://www4.comp.polyu.edu.hk/~cslzhang/IQA/FSIM/FSIM.htm

    Example:
        >>> ramp = np.tile(np.linspace(0, 1, 16), (1, 16, 1))[..., None]
        >>> fsim(ramp, ramp)
        array([1.])
    """
    reference, candidate = check_pair(reference, candidate, metric="FSIM", smallest_side=SMALLEST_SIDE)
    return np.array(each_pair(lambda x, y: _pooled(*_local(x, y, False)), reference, candidate))


def fsim_map(reference: np.ndarray, candidate: np.ndarray) -> np.ndarray:
    """1 - similarity, weighted by phase congruency: float32 (N, H, W), 0 where nothing changed.

    Weights have a mean of 1 over the picture: strong features can exceed 1, and the mean of the map is 1 - FSIM, but
    for enlarging.
    """
    reference, candidate = check_pair(reference, candidate, metric="FSIM", smallest_side=SMALLEST_SIDE)
    return np.stack(each_pair(lambda x, y: _error_map(x, y, False), reference, candidate))


def fsimc(reference: np.ndarray, candidate: np.ndarray) -> np.ndarray:
    """FSIMc of each image pair: FSIM times the similarity of the colour differences I and Q, to the power 0.03.

    A grey picture has no colour that could differ: it scores as with `fsim`. Where opposite colours make the product
    negative its absolute value counts, as in piq; the authors' code takes the real part of the complex power, 0.4 %
    less at such a pixel. The rest, arguments and errors are those of `fsim`.

    Returns:
        float64 array of shape (N,), in [0, 1]; higher is better, identical pairs give exactly 1.
    """
    reference, candidate = check_pair(reference, candidate, metric="FSIMc", smallest_side=SMALLEST_SIDE)
    return np.array(each_pair(lambda x, y: _pooled(*_local(x, y, True)), reference, candidate))


def fsimc_map(reference: np.ndarray, candidate: np.ndarray) -> np.ndarray:
    """`fsim_map` with colour: float32 (N, H, W), 0 where nothing changed."""
    reference, candidate = check_pair(reference, candidate, metric="FSIMc", smallest_side=SMALLEST_SIDE)
    return np.stack(each_pair(lambda x, y: _error_map(x, y, True), reference, candidate))


def _pooled(similarity: np.ndarray, weight: np.ndarray) -> float:
    return float(np.multiply(similarity, weight).sum(dtype=np.float64) / weight.sum(dtype=np.float64))


def _error_map(x: np.ndarray, y: np.ndarray, colour: bool) -> np.ndarray:
    similarity, weight = _local(x, y, colour)
    return enlarged((1 - similarity) * (weight / weight.mean(dtype=np.float64)), x)


def _local(x: np.ndarray, y: np.ndarray, colour: bool) -> tuple[np.ndarray, np.ndarray]:
    """S_L = S_PC S_G, times (S_I S_Q)^lambda in colour, and its weight PC_m."""
    planes_x, planes_y = _planes(x, colour), _planes(y, colour)
    pc_x, pc_y = phase_congruency(planes_x[0]), phase_congruency(planes_y[0])
    similarity = 1 - unlikeness(pc_x, pc_y, T1)
    similarity *= 1 - unlikeness(gradient(planes_x[0], SCHARR), gradient(planes_y[0], SCHARR), T2)
    if len(planes_x) == 3:
        chroma = (1 - unlikeness(planes_x[1], planes_y[1], T3)) * (1 - unlikeness(planes_x[2], planes_y[2], T4))
        similarity *= np.abs(chroma) ** np.float32(LAMBDA)
    return similarity, np.maximum(pc_x, pc_y)


def _planes(image: np.ndarray, colour: bool) -> list[np.ndarray]:
    small = block_means(image, viewing_factor(*image.shape[:2]))
    if image.shape[-1] == 1:
        return [np.ascontiguousarray(small.reshape(small.shape[:2]))]
    return colour_planes(small, _YIQ if colour else _YIQ[:1])


def phase_congruency(plane: np.ndarray) -> np.ndarray:
    """Phase congruency of a plane (H, W), float32 in (0, 1]: where waves of all lengths agree upon their phase.

    A flat plane has 1 everywhere, by the constants that keep the fraction defined; where the mean is not taken off
    first, as in piq, it has rounding noise instead, and FSIM with a flat picture is off by up to .01.
    """
    # Filters are 0 for the mean: taking it off first saves digits, and leaves exact zeros of a flat plane.
    plane = plane - np.float32(cv2.mean(plane)[0])
    spectrum = scipy.fft.fft2(plane)
    energy, amplitudes = (np.full(plane.shape, _EPS, np.float32) for _ in range(2))
    for filters, noise in _filters(*plane.shape):
        # Even and odd response, real and imaginary part, one pair per scale.
        responses = scipy.fft.ifft2(filters * spectrum, overwrite_x=True)
        amplitude = np.abs(responses)
        amplitudes += amplitude.sum(axis=0)
        # Turned by the mean phase, the parts are A cos and A sin of the deviation from it.
        mean = responses.sum(axis=0)
        mean /= np.abs(mean) + _EPS
        responses *= np.conj(mean)
        agreement = responses.real.sum(axis=0)
        agreement -= np.abs(responses.imag).sum(axis=0)
        # Half the pixels of the shortest wave are taken for noise; of an even number, the lower of the middle two.
        middle = (plane.size - 1) // 2
        agreement -= np.float32(noise) * np.partition(amplitude[0], middle, axis=None)[middle]
        energy += np.maximum(agreement, 0)
    energy /= amplitudes
    return energy


@lru_cache(maxsize=4)
def _filters(height: int, width: int) -> list[tuple[np.ndarray, float]]:
    """For each orientation: transfer functions (scales, H, W), and the noise threshold over the median amplitude."""
    down, across = _frequencies(height)[:, None], _frequencies(width)[None]
    radius = np.hypot(down, across)
    theta = np.arctan2(-across, down)
    low_pass = 1 / (1 + (radius / _CUTOFF) ** (2 * _ORDER))
    radius[0, 0] = 1
    bands = []
    for scale in range(_SCALES):
        frequency = 1 / (_SHORTEST_WAVE * 2**scale)
        band = np.exp(-(np.log(radius / frequency) ** 2) / (2 * math.log(_SIGMA_F) ** 2)) * low_pass
        band[0, 0] = 0
        bands.append(band)
    theta_sigma = math.pi / (_ORIENTATIONS * _DELTA_THETA)
    table = []
    for orientation in range(_ORIENTATIONS):
        turned = theta - orientation * math.pi / _ORIENTATIONS
        distance = np.abs(np.arctan2(np.sin(turned), np.cos(turned)))
        filters = np.stack(bands) * np.exp(-(distance**2) / (2 * theta_sigma**2))
        # Noise power is the mean squared amplitude at the shortest wave, median / ln 2, over the filter's own; what the
        # sum over the scales makes of it has a Rayleigh distribution.
        own = (filters[0] ** 2).sum()
        summed = (scipy.fft.ifft2(filters.sum(axis=0)).real ** 2).sum() * height * width
        tau = math.sqrt(summed / own / math.log(2))
        threshold = tau * (math.sqrt(math.pi / 2) + _NOISE_DEVIATIONS * math.sqrt(2 - math.pi / 2)) / _NOISE_EASED
        filters = filters.astype(np.float32)
        filters.setflags(write=False)
        table.append((filters, threshold))
    return table


def _frequencies(length: int) -> np.ndarray:
    """Cycles per pixel in the order of fft, as FeatureSIM.m has them: an odd length is divided by one less."""
    return np.fft.ifftshift(np.arange(-(length // 2), (length + 1) // 2) / (length - length % 2))
