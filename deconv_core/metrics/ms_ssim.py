"""Multi-scale SSIM: are the patterns the same at five sizes, from one pixel to sixteen?

Damage too fine for the coarse scales and damage too coarse for the fine ones both count, with weights found by asking
people. Per colour channel, averaged, as tf.image.ssim_multiscale does.
"""

import numpy as np

from deconv_core.metrics._checks import check_pair
from deconv_core.metrics._planes import each_plane, halve, to_full_size
from deconv_core.metrics.ssim import local_ssim

# Wang, Simoncelli, Bovik (2003), section 3.2: importance of the scales, finest first.
WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
# Four halvings, rounded up, must leave the 11 pixels of the window.
SMALLEST_SIDE = 161


def ms_ssim(reference: np.ndarray, candidate: np.ndarray) -> np.ndarray:
    """Multi-scale SSIM of each image pair over five scales, per channel, averaged over channels.

    A scale whose mean contrast-structure is negative counts as 0, as in tf.image (Wang's own code leaves that case
    open). An odd side is mirrored by one pixel before it is halved, as both do.

    Args:
        reference: Originals, float32, shape (N, H, W, C), values in [0, 1], sides of at least 161 pixels.
        candidate: Same shape.

    Returns:
        float64 array of shape (N,), in [0, 1]; higher is better, identical pairs give exactly 1.

    Raises:
        ImageError: Shapes differ, values leave [0, 1], or a side is shorter than 161 pixels.

    References:
        Wang, Simoncelli, Bovik (2003), Multiscale structural similarity for image quality assessment,
        doi:10.1109/ACSSC.2003.1292216. Original code: msssim.m at https://ece.uwaterloo.ca/~z70wang/research/iwssim/
    """
    reference, candidate = check_pair(reference, candidate, metric="MS-SSIM", smallest_side=SMALLEST_SIDE)
    return np.mean(each_plane(over_scales, reference, candidate), axis=1)


def ms_ssim_map(reference: np.ndarray, candidate: np.ndarray) -> np.ndarray:
    """1 - product of the local values of all scales, each to its weight: float32 (N, H, W), 0 where nothing changed.

    The metric takes the product of the scales' means; this takes it at each pixel, so its mean is close to, not equal
    to, 1 - MS-SSIM.
    """
    reference, candidate = check_pair(reference, candidate, metric="MS-SSIM", smallest_side=SMALLEST_SIDE)
    return np.stack([np.mean(maps, axis=0) for maps in each_plane(map_over_scales, reference, candidate)])


def over_scales(x: np.ndarray, y: np.ndarray) -> float:
    """MS-SSIM of two planes."""
    value = 1.0
    for scale, weight in enumerate(WEIGHTS):
        if scale:
            x, y = halve(_even(x)), halve(_even(y))
        similarity, structure = local_ssim(x, y)
        part = similarity if scale == len(WEIGHTS) - 1 else structure
        value *= max(0.0, float(part.mean(dtype=np.float64))) ** weight
    return value


def map_over_scales(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """1 - weighted product of the local values of two planes, float32 with their height and width."""
    height, width = x.shape
    value = np.ones((height, width), np.float32)
    for scale, weight in enumerate(WEIGHTS):
        if scale:
            x, y = halve(_even(x)), halve(_even(y))
        similarity, structure = local_ssim(x, y)
        part = similarity if scale == len(WEIGHTS) - 1 else structure
        local = to_full_size(np.maximum(part, 0) ** np.float32(weight), *x.shape)
        value *= local.repeat(2**scale, axis=0).repeat(2**scale, axis=1)[:height, :width]
    return np.maximum(0, 1 - value)


def _even(plane: np.ndarray) -> np.ndarray:
    return np.pad(plane, ((0, plane.shape[0] % 2), (0, plane.shape[1] % 2)), mode="symmetric")
