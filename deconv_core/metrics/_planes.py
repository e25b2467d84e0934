"""Steps that several metrics share: luma, halving, windows, and one loop over the pictures of a batch."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

import cv2
import numpy as np

# ITU-R BT.601 weights of red, green and blue in luma, as in MATLAB's rgb2gray and in deconv_core.images.
LUMA = (0.299, 0.587, 0.114)

# OpenCV and NumPy release the interpreter while they work, so threads help; starting them costs about 0.1 ms.
_PIXELS_WORTH_A_THREAD = 100_000
# Height and width, in pixels, of the tiles that are worked on at once.
_TILE = (64, 512)


def each_pair(function: Callable, reference: np.ndarray, candidate: np.ndarray) -> list:
    """`function(x, y)` for every pair of pictures (H, W, C), in order; on several threads where that pays.

    Every picture is computed by itself, so the answers cannot depend on its neighbours or on the number of threads.
    """
    return _on_threads(function, list(zip(reference, candidate, strict=True)))


def each_plane(function: Callable, reference: np.ndarray, candidate: np.ndarray) -> list[list]:
    """`function(x, y)` for every pair of channels (H, W): one list per picture with an answer per channel."""
    channels = reference.shape[-1]
    pairs = [(x[..., c], y[..., c]) for x, y in zip(reference, candidate, strict=True) for c in range(channels)]
    # OpenCV filters contiguous planes twice as fast.
    answers = _on_threads(lambda x, y: function(np.ascontiguousarray(x), np.ascontiguousarray(y)), pairs)
    return [answers[first : first + channels] for first in range(0, len(answers), channels)]


def over_tiles(function: Callable, x: np.ndarray, y: np.ndarray, edge: int) -> tuple[np.ndarray, np.ndarray]:
    """Two float32 planes of local values, each (H - 2 edge, W - 2 edge), computed tile by tile.

    `function(x, y, first, second)` gets two tiles with `edge` more pixels on every side and fills its two answers. A
    tile stays in the processor's cache, which makes this several times faster than whole planes.
    """
    height, width = x.shape[0] - 2 * edge, x.shape[1] - 2 * edge
    first, second = np.empty((2, height, width), np.float32)
    for top in range(0, height, _TILE[0]):
        for left in range(0, width, _TILE[1]):
            inside = np.s_[top : top + _TILE[0], left : left + _TILE[1]]
            around = np.s_[top : top + _TILE[0] + 2 * edge, left : left + _TILE[1] + 2 * edge]
            function(x[around], y[around], first[inside], second[inside])
    return first, second


def luma(image: np.ndarray, dtype: type = np.float32) -> np.ndarray:
    """Grey plane (H, W) of a picture (H, W, C): BT.601 luma on the full range, a single channel as it is."""
    if image.shape[-1] == 1:
        return np.ascontiguousarray(image[..., 0], dtype=dtype)
    return cv2.transform(np.ascontiguousarray(image, dtype=dtype), np.array([LUMA]))


def halve(plane: np.ndarray) -> np.ndarray:
    """Averages of 2x2 blocks; an odd last row or column is left out."""
    height, width = plane.shape[0] // 2 * 2, plane.shape[1] // 2 * 2
    plane = plane[:height, :width]
    rows = plane[::2] + plane[1::2]
    return (rows[:, ::2] + rows[:, 1::2]) * plane.dtype.type(0.25)


@lru_cache(maxsize=8)
def gaussian_window(size: int, sigma: float) -> np.ndarray:
    """One axis of a Gaussian window (MATLAB's fspecial), float32, read-only, summing to one within 1e-9.

    Rounding the weights to float32 leaves their sum 3e-8 off one, and a variance taken as mean(x^2) - mean(x)^2
    inherits that times x^2. The outermost weights, which float32 resolves most finely, take up the rest.
    """
    offsets = np.arange(size) - (size - 1) / 2
    exact = np.exp(-(offsets**2) / (2 * sigma**2))
    window = (exact / exact.sum()).astype(np.float32)
    rest = (1 - window.sum(dtype=np.float64)) / 2
    window[[0, -1]] += np.float32(rest)
    window.setflags(write=False)
    return window


def to_full_size(error_map: np.ndarray, height: int, width: int) -> np.ndarray:
    """A map over the valid area, its edge values repeated until it has the picture's size again, float32."""
    rows, columns = height - error_map.shape[0], width - error_map.shape[1]
    padding = ((rows // 2, rows - rows // 2), (columns // 2, columns - columns // 2))
    return np.pad(error_map, padding, mode="edge").astype(np.float32)


def _on_threads(function: Callable, pairs: list[tuple[np.ndarray, np.ndarray]]) -> list:
    workers = min(len(pairs), os.cpu_count() or 1)
    if workers < 2 or pairs[0][0].size < _PIXELS_WORTH_A_THREAD:
        return [function(x, y) for x, y in pairs]
    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(lambda pair: function(*pair), pairs))
