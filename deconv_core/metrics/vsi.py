"""Visual saliency-induced index (VSI): is the picture the same where the eye looks, and does it still look there?

A saliency map (SDSP: band-pass, centre, warm colours) weighs every place, and its change counts as damage, beside
gradients and colours.
"""

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

# Zhang et al. (2014), section IV.B: saliency lies in [0, 1], gradient and colour on grey levels up to 255.
C1 = 1.27
C2 = 386 / 255**2
C3 = 130 / 255**2
ALPHA = 0.4
BETA = 0.02
_LMN = np.array([[0.06, 0.63, 0.27], [0.30, 0.04, -0.35], [0.34, -0.60, 0.17]])
# SDSP, Zhang, Gu, Li (2013): centre frequency and bandwidth of the log-Gabor filter, spread of the bias to the centre
# in pixels, spread of the bias to warm colours; the picture is brought to 256 x 256 pixels.
_OMEGA_0 = 0.021
_SIGMA_F = 1.34
_SIGMA_D = 145.0
_SIGMA_C = 0.001
_SIDE = 256
# sRGB to XYZ, D65 in and the white of D50 out, as in the authors' code.
_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
_WHITE = np.array([[0.9642119944211994], [1.0], [0.8251882845188288]])
# The three pixels of the Scharr operator.
SMALLEST_SIDE = 3
_EPS = float(np.finfo(np.float32).eps)


def vsi(reference: np.ndarray, candidate: np.ndarray) -> np.ndarray:
    """VSI of each image pair.

    With f = round(shorter side / 256), halves to even: f x f averages, edges repeated; zeros around the picture for the
    gradient. A grey picture counts as three equal channels. As in piq, which places the averages (f even) one pixel
    beside those of the authors' code. Two flat pictures draw the eye nowhere and count as identical.

    Args:
        reference: Originals, float32, shape (N, H, W, C), values in [0, 1], sides of at least 3 pixels.
        candidate: Same shape.

    Returns:
        float64 array of shape (N,), in [0, 1]; higher is better, identical pairs give exactly 1.

    Raises:
        ImageError: Shapes differ, values leave [0, 1], or a side is shorter than 3 pixels.

    References:
        Zhang, Shen, Li (2014), VSI: a visual saliency-induced index for perceptual image quality assessment,
        doi:10.1109/TIP.2014.2346028. Original code: https://sse.tongji.edu.cn/linzhang/IQA/VSI/VSI.htm

    Example:
        >>> ramp = np.tile(np.linspace(0, 1, 16), (1, 16, 1))[..., None]
        >>> vsi(ramp, ramp)
        array([1.])
    """
    reference, candidate = check_pair(reference, candidate, metric="VSI", smallest_side=SMALLEST_SIDE)
    return np.array(each_pair(_vsi, reference, candidate))


def vsi_map(reference: np.ndarray, candidate: np.ndarray) -> np.ndarray:
    """1 - similarity, weighted by saliency: float32 (N, H, W), 0 where nothing changed.

    Weights have a mean of 1 over the picture: what draws the eye can exceed 1, and the mean of the map is 1 - VSI, but
    for enlarging.
    """
    reference, candidate = check_pair(reference, candidate, metric="VSI", smallest_side=SMALLEST_SIDE)
    return np.stack(each_pair(_error_map, reference, candidate))


def _vsi(x: np.ndarray, y: np.ndarray) -> float:
    similarity, weight = _local(x, y)
    kept = float(np.multiply(similarity, weight).sum(dtype=np.float64))
    return (kept + _EPS) / (float(weight.sum(dtype=np.float64)) + _EPS)


def _error_map(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    similarity, weight = _local(x, y)
    weight = weight / max(float(weight.mean(dtype=np.float64)), _EPS)
    return enlarged((1 - similarity) * weight, x)


def _local(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """S = S_VS S_G^alpha S_C^beta and its weight VS_m, equations 4 to 8."""
    (vs_x, l_x, m_x, n_x), (vs_y, l_y, m_y, n_y) = _seen(x), _seen(y)
    similarity = 1 - unlikeness(vs_x, vs_y, C1)
    similarity *= (1 - unlikeness(gradient(l_x, SCHARR), gradient(l_y, SCHARR), C2)) ** np.float32(ALPHA)
    colour = (1 - unlikeness(m_x, m_y, C3)) * (1 - unlikeness(n_x, n_y, C3))
    # Opposite colours give a negative product, whose power is complex: its real part counts.
    turned = np.where(colour < 0, np.float32(np.cos(np.pi * BETA)), np.float32(1))
    similarity *= np.abs(colour) ** np.float32(BETA) * turned
    return similarity, np.maximum(vs_x, vs_y)


def _seen(image: np.ndarray) -> list[np.ndarray]:
    """Saliency and the channels L, M, N, all averaged to viewing size."""
    if image.shape[-1] == 1:
        image = np.repeat(image, 3, axis=-1)
    factor = viewing_factor(*image.shape[:2])
    saliency = _averaged(_saliency(image), factor)
    return [saliency, *colour_planes(_averaged(image, factor), _LMN)]


def _averaged(image: np.ndarray, factor: int) -> np.ndarray:
    if factor > 1:
        before, after = factor // 2, (factor - 1) // 2
        image = cv2.copyMakeBorder(image, before, after, before, after, cv2.BORDER_REPLICATE)
    return block_means(image, factor)


def _saliency(image: np.ndarray) -> np.ndarray:
    """SDSP saliency of an RGB picture, in [0, 1]; 0 everywhere for a flat one."""
    small = cv2.resize(np.ascontiguousarray(image), (_SIDE, _SIDE), interpolation=cv2.INTER_LINEAR)
    lab = _lab(small)
    band_pass, centre = _sdsp_filters()
    # The filter is 0 for the mean: taking it off first saves digits.
    spectrum = scipy.fft.rfft2(lab - lab.mean(axis=(1, 2), keepdims=True))
    spectrum *= band_pass
    filtered = scipy.fft.irfft2(spectrum, s=(_SIDE, _SIDE), overwrite_x=True)
    found = np.sqrt((filtered * filtered).sum(axis=0))
    low, high = lab[1:].min(axis=(1, 2), keepdims=True), lab[1:].max(axis=(1, 2), keepdims=True)
    warm = ((lab[1:] - low) / (high - low + _EPS)) ** 2
    found *= 1 - np.exp(warm.sum(axis=0) * np.float32(-1 / _SIGMA_C**2))
    found *= centre
    found = _stretched(found, *image.shape[:2])
    low, high = found.min(), found.max()
    return (found - low) / (high - low + _EPS)


def _lab(image: np.ndarray) -> np.ndarray:
    """CIE L*a*b* (3, H, W) of an sRGB picture, float32."""
    # float64 within: a* and b* of a picture without colour are small differences, which the saliency stretches.
    image = image.astype(np.float64)
    linear = np.where(image <= 0.04045, image / 12.92, ((image + 0.055) / 1.055) ** 2.4)
    x = cv2.transform(linear, _XYZ / _WHITE)
    f_x, f_y, f_z = cv2.split(np.where(x > 0.008856, np.cbrt(x), (903.3 * x + 16) / 116))
    return np.stack([116 * f_y - 16, 500 * (f_x - f_y), 200 * (f_y - f_z)]).astype(np.float32)


def _stretched(plane: np.ndarray, height: int, width: int) -> np.ndarray:
    """Linear interpolation that puts the outermost values onto the outermost pixels, which OpenCV does not offer."""
    for axis, length in enumerate((height, width)):
        position = np.linspace(0, _SIDE - 1, length)
        first = np.minimum(position.astype(int), _SIDE - 2)
        share = (position - first).astype(np.float32)
        share = share[:, None] if axis == 0 else share
        before, after = plane.take(first, axis=axis), plane.take(first + 1, axis=axis)
        after -= before
        after *= share
        after += before
        plane = after
    return plane


@lru_cache(maxsize=1)
def _sdsp_filters() -> tuple[np.ndarray, np.ndarray]:
    """Transfer function of the log-Gabor filter over the half plane of rfft2, and the bias to the centre."""
    rows, columns = np.fft.fftfreq(_SIDE)[:, None], np.fft.rfftfreq(_SIDE)[None]
    radius = np.hypot(rows, columns)
    inside = np.where(radius <= 0.5, radius, 0)
    inside[0, 0] = 1
    # Beyond half a cycle per pixel the radius counts as 0, where the log-Gabor filter is 0.
    with np.errstate(divide="ignore"):
        band_pass = np.exp(-(np.log(inside / _OMEGA_0) ** 2) / (2 * _SIGMA_F**2))
    band_pass[0, 0] = 0
    offsets = np.arange(_SIDE) - _SIDE // 2 + 1
    centre = np.exp(-(offsets[:, None] ** 2 + offsets[None] ** 2) / _SIGMA_D**2)
    tables = band_pass.astype(np.float32), centre.astype(np.float32)
    for table in tables:
        table.setflags(write=False)
    return tables
