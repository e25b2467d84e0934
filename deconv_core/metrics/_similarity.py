"""Steps that the rivals share: how unlike two maps are, gradients, and averages over blocks of pixels."""

import cv2
import numpy as np

# Slope and smoothing of the Prewitt and the Scharr operator, rows before columns or the other way round.
PREWITT = (np.array([-1.0, 0.0, 1.0]), np.array([1.0, 1.0, 1.0]) / 3)
SCHARR = (np.array([-1.0, 0.0, 1.0]), np.array([3.0, 10.0, 3.0]) / 16)

# The shorter side, in pixels, to which MDSI, VSI and FSIM bring a picture.
_VIEWED_SIDE = 256


def unlikeness(a: np.ndarray, b: np.ndarray, c: float) -> np.ndarray:
    """1 - (2 a b + c) / (a^2 + b^2 + c), written as (a - b)^2 / (a^2 + b^2 + c).

    Exactly 0 where a = b, never below 0, and with all its digits where a and b are nearly equal.
    """
    difference = a - b
    difference *= difference
    total = a * a
    total += b * b
    total += np.float32(c)
    difference /= total
    return difference


def gradient(plane: np.ndarray, operator: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """Magnitude of the gradient of a plane, zeros around it as in MATLAB's conv2(..., 'same')."""
    slope, smooth = operator
    across = cv2.sepFilter2D(plane, -1, slope, smooth, borderType=cv2.BORDER_CONSTANT)
    down = cv2.sepFilter2D(plane, -1, smooth, slope, borderType=cv2.BORDER_CONSTANT)
    # cv2.magnitude rounds differently from one place in memory to another, and equal pictures would differ.
    across *= across
    down *= down
    across += down
    return np.sqrt(across, out=across)


def viewing_factor(height: int, width: int) -> int:
    """How many times a picture is made smaller: round(shorter side / 256), halves to even, at least 1."""
    return max(1, round(min(height, width) / _VIEWED_SIDE))


def block_means(image: np.ndarray, factor: int) -> np.ndarray:
    """Averages of whole blocks of factor x factor pixels; what is left over on the right and below is left out."""
    if factor == 1:
        return image
    height, width = image.shape[0] // factor, image.shape[1] // factor
    whole = image[: height * factor, : width * factor]
    return cv2.resize(whole, (width, height), interpolation=cv2.INTER_AREA)


def half_size(image: np.ndarray) -> np.ndarray:
    """Averages of 2 x 2 pixels; zeros complete an odd last row or column, as in MATLAB's conv2(..., 'same')."""
    height, width = image.shape[:2]
    if height % 2 or width % 2:
        image = cv2.copyMakeBorder(image, 0, height % 2, 0, width % 2, cv2.BORDER_CONSTANT, value=0)
    return block_means(image, 2)


def colour_planes(image: np.ndarray, weights: np.ndarray) -> list[np.ndarray]:
    """One contiguous plane per row of `weights`, each a weighted sum of red, green and blue."""
    return list(cv2.split(cv2.transform(np.ascontiguousarray(image), weights)))


def enlarged(error_map: np.ndarray, image: np.ndarray) -> np.ndarray:
    """A map brought to the height and width of the picture, float32, straight lines between its values."""
    height, width = image.shape[:2]
    return cv2.resize(error_map.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
