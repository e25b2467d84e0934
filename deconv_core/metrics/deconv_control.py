"""The deconvolution score without its network: the same two views, rebuilt by a plain Gaussian blur.

Always shown beside `deconv`. On our development pairs the two agree with people equally well within their intervals.
"""

import cv2
import numpy as np

from deconv_core.metrics._checks import check_pair
from deconv_core.metrics._planes import each_pair, luma
from deconv_core.metrics.deconv import put_detail_back, two_views, two_views_map
from deconv_core.metrics.gradient_information import SMALLEST_SIDE

# Pixels; the best of 1.2, 1.6, 2, 2.5 and 3 on the development pairs, with the threshold and the weight of `deconv`.
SIGMA = 2.0


def deconv_control(reference: np.ndarray, candidate: np.ndarray) -> np.ndarray:
    """100 clip(1 - sqrt((D(x, y)^2 + 3 D(R'(x), R'(y))^2) / 4) / .45, 0, 1), with a Gaussian (sigma 2) for P.

    Everything else is as in `deconv`.

    Args:
        reference: Originals, float32, shape (N, H, W, C), values in [0, 1], sides of at least 14 pixels.
        candidate: Same shape.

    Returns:
        float64 array of shape (N,), in [0, 100]; higher is better, identical pairs give exactly 100.

    Raises:
        ImageError: Shapes differ, values leave [0, 1], or a side is shorter than 14 pixels.
    """
    reference, candidate = check_pair(reference, candidate, metric="deconv_control", smallest_side=SMALLEST_SIDE)
    return np.array(each_pair(lambda x, y: two_views(_with_rebuilt(x), _with_rebuilt(y)), reference, candidate))


def deconv_control_map(reference: np.ndarray, candidate: np.ndarray) -> np.ndarray:
    """The map of `deconv` with a Gaussian (sigma 2) for P: float32 (N, H, W), 0 where no edge changed."""
    reference, candidate = check_pair(reference, candidate, metric="deconv_control", smallest_side=SMALLEST_SIDE)
    return np.stack(each_pair(lambda x, y: two_views_map(_with_rebuilt(x), _with_rebuilt(y)), reference, candidate))


def _with_rebuilt(image: np.ndarray) -> np.ndarray:
    grey = luma(image, np.float64)
    smooth = cv2.GaussianBlur(grey, (0, 0), SIGMA, borderType=cv2.BORDER_REFLECT_101)
    return np.stack([grey, put_detail_back(grey, smooth)], axis=-1)
