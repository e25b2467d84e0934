"""Visual information fidelity in the pixel domain (VIFp): how much of the original's information is still there?

Local variances at four scales tell how much an eye with some noise of its own could learn from the original, and how
much of it from the candidate.
"""

from functools import lru_cache, partial

import cv2
import numpy as np

from deconv_core.metrics._checks import check_pair
from deconv_core.metrics._planes import each_pair, luma, over_tiles

# Sheikh and Bovik (2006); vifp_mscale.m: variance of the noise of the eye, for grey levels up to 255.
N = 2 / 255**2
# Below the first a variance counts as none; the second keeps the ratio of flat pictures defined. Both are piq's, who
# takes logarithms to the base of 10.
_NO_VARIANCE = 1e-8 / 255**2
_NO_INFORMATION = 1e-8 * np.log(10)
# Sides of the Gaussian windows, finest scale first; sigma is a fifth of the side.
_WINDOWS = (17, 9, 5, 3)
# Leaves one window at the coarsest scale.
SMALLEST_SIDE = 41


def vif(reference: np.ndarray, candidate: np.ndarray) -> np.ndarray:
    """VIFp of each image pair on luma.

    Above 1 where the candidate has more contrast than the reference, and not symmetric. Blind to brightness that is
    added, and to colour. A flat reference has no information that could be lost and gives 1 whatever the candidate.
    As in piq and, but for constants of 1e-8, in the authors' code; whole windows only.

    Args:
        reference: Originals, float32, shape (N, H, W, C), values in [0, 1], sides of at least 41 pixels.
        candidate: Same shape.

    Returns:
        float64 array of shape (N,), 0 or more; higher is better, identical pairs give exactly 1.

    Raises:
        ImageError: Shapes differ, values leave [0, 1], or a side is shorter than 41 pixels.

    References:
        Sheikh, Bovik (2006), Image information and visual quality, doi:10.1109/TIP.2005.859378. Original code:
        vifp_mscale.m at https://live.ece.utexas.edu/research/Quality/VIF.htm

    Example:
        >>> ramp = np.tile(np.linspace(0, 1, 64), (1, 64, 1))[..., None]
        >>> vif(ramp, ramp)
        array([1.])
    """
    reference, candidate = check_pair(reference, candidate, metric="VIF", smallest_side=SMALLEST_SIDE)
    return np.array(each_pair(_vif, reference, candidate))


def vif_map(reference: np.ndarray, candidate: np.ndarray) -> np.ndarray:
    """Information lost at each place, all scales together: float32 (N, H, W), 0 where nothing was lost.

    1 is as much as a place of this reference holds on average. Information gained by contrast is not shown.
    """
    reference, candidate = check_pair(reference, candidate, metric="VIF", smallest_side=SMALLEST_SIDE)
    return np.stack(each_pair(_lost_map, reference, candidate))


def _vif(x: np.ndarray, y: np.ndarray) -> float:
    kept_sum = there_sum = _NO_INFORMATION
    for kept, there in _information(x, y):
        kept_sum += float(kept.sum(dtype=np.float64))
        there_sum += float(there.sum(dtype=np.float64))
    return kept_sum / there_sum


def _lost_map(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    height, width = x.shape[:2]
    lost, mean = np.zeros((height, width), np.float32), _NO_INFORMATION
    first, step = 0, 1
    for scale, (kept, there) in enumerate(_information(x, y)):
        half = _WINDOWS[scale] // 2
        # Where the first window's centre lies in the picture: pictures shrink by whole windows, then by two.
        if scale:
            first, step = first + half * step, 2 * step
        centre = first + half * step
        place = np.array([[1 / step, 0, -centre / step], [0, 1 / step, -centre / step]])
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        fallen = np.maximum(0, there - kept)
        # A place at a coarse scale stands for step x step pixels.
        spread = cv2.warpAffine(fallen, place, (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE)
        lost += spread / np.float32(step**2)
        mean += float(there.mean(dtype=np.float64)) / step**2
    return lost / np.float32(mean)


def _information(x: np.ndarray, y: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """For each scale: information kept, log(1 + g^2 s_x / (s_v + n)), and there, log(1 + s_x / n), at whole windows."""
    # float64: variances far below n are differences of squares up to 1.
    x, y = luma(x, np.float64), luma(y, np.float64)
    scales = []
    for scale, side in enumerate(_WINDOWS):
        window, edge = _window(side), side // 2
        if scale:
            x, y = (_filtered(plane, window)[edge:-edge:2, edge:-edge:2].copy() for plane in (x, y))
        scales.append(over_tiles(partial(_tile_information, window), x, y, edge))
    return scales


def _tile_information(window: np.ndarray, x: np.ndarray, y: np.ndarray, kept: np.ndarray, there: np.ndarray) -> None:
    """Fill both kinds of information of one tile."""
    height, width = x.shape
    edge = len(window) // 2
    stack = np.empty((5, height, width))
    stack[0], stack[1] = x, y
    for plane, (a, b) in zip(stack[2:], ((x, x), (y, y), (x, y)), strict=True):
        np.multiply(a, b, out=plane)
    # Neighbours in the stack reach into each other's outermost rows, which are cut off.
    stack = _filtered(stack.reshape(-1, width), window).reshape(stack.shape)
    mean_x, mean_y, s_x, s_y, s_xy = stack[:, edge:-edge]
    s_x -= mean_x * mean_x
    s_y -= mean_y * mean_y
    s_xy -= mean_x * mean_y
    none = s_x < _NO_VARIANCE
    s_x[none] = s_xy[none] = 0
    np.maximum(s_xy, 0, out=s_xy)
    # g = s_xy / s_x, and g^2 s_x = g s_xy; for equal pictures g is exactly 1 and s_v exactly 0.
    explained = s_xy / np.maximum(s_x, _NO_VARIANCE)
    explained *= s_xy
    s_y -= explained
    s_v = np.maximum(s_y, 0, out=s_y)
    s_v += N
    explained /= s_v
    explained += 1
    s_x /= N
    s_x += 1
    kept[:] = np.log(explained, out=explained)[:, edge:-edge]
    there[:] = np.log(s_x, out=s_x)[:, edge:-edge]


def _filtered(plane: np.ndarray, window: np.ndarray) -> np.ndarray:
    return cv2.sepFilter2D(plane, -1, window, window, borderType=cv2.BORDER_REPLICATE)


@lru_cache(maxsize=len(_WINDOWS))
def _window(side: int) -> np.ndarray:
    """One axis of a Gaussian window, float64, sigma a fifth of the side."""
    offsets = np.arange(-(side // 2), side // 2 + 1)
    window = np.exp(-(offsets**2) / (2 * (side / 5) ** 2))
    window /= window.sum()
    window.setflags(write=False)
    return window
