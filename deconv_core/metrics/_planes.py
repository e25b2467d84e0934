"""Steps that several metrics share: luma, halving, windows, and one loop over the pictures of a batch."""

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

import cv2
import numpy as np

# ITU-R BT.601 weights of red, green and blue in luma, as in MATLAB's rgb2gray and in deconv_core.images.
LUMA = (0.299, 0.587, 0.114)

# OpenCV and NumPy release the interpreter while they work, so threads help; starting them costs about 0.1 ms.
_PIXELS_WORTH_A_THREAD = 100_000


def each_pair(function: Callable, reference: np.ndarray, candidate: np.ndarray) -> list:
    """`function(x, y)` for every pair of pictures (H, W, C), in order; on several threads where that pays.

    Every picture is computed by itself, so the answers cannot depend on its neighbours or on the number of threads.
    """
    pairs: Iterable = zip(reference, candidate, strict=True)
    workers = min(len(reference), os.cpu_count() or 1)
    if workers < 2 or reference[0].size < _PIXELS_WORTH_A_THREAD:
        return [function(x, y) for x, y in pairs]
    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(lambda pair: function(*pair), pairs))


def planes(image: np.ndarray) -> list[np.ndarray]:
    """The channels of a picture (H, W, C) as contiguous planes (H, W): OpenCV filters those twice as fast."""
    return [np.ascontiguousarray(image[..., channel]) for channel in range(image.shape[-1])]


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
