"""Peak signal-to-noise ratio: how small is the mean squared error, on a logarithmic scale?

It answers for noise-like damage of one and the same picture; it knows nothing about what the eye forgives.
"""

import numpy as np

from deconv_core.metrics._checks import check_pair
from deconv_core.metrics._planes import each_pair

# Where a mean over many pictures counts an identical pair (whose PSNR is infinite). 8-bit pictures of one megapixel
# that differ by one step in one pixel of one channel reach 113 dB; nobody sees a difference beyond 60.
CAP = 100.0


def psnr(reference: np.ndarray, candidate: np.ndarray) -> np.ndarray:
    """Peak signal-to-noise ratio of each image pair, in decibels, over all channels together.

    Identical pairs give infinity: show it as "identical", and use `mean_psnr` for averages, which counts it as 100 dB.

    Args:
        reference: Originals, float32, shape (N, H, W, C), values in [0, 1].
        candidate: Same shape. The peak is 1.

    Returns:
        float64 array of shape (N,); higher is better.

    Raises:
        ImageError: Shapes differ, or values leave [0, 1].

    References:
        10 log10(1 / mean((x - y)^2)); the same value as skimage.metrics.peak_signal_noise_ratio with data_range=1.

    Example:
        >>> psnr(np.zeros((1, 8, 8, 1)), np.full((1, 8, 8, 1), 0.1)).round(1)
        array([20.])
    """
    reference, candidate = check_pair(reference, candidate, metric="PSNR")
    return decibels(each_pair(_squared_error, reference, candidate))


def psnr_map(reference: np.ndarray, candidate: np.ndarray) -> np.ndarray:
    """Absolute error at each pixel, averaged over the channels: float32 (N, H, W), 0 where nothing changed."""
    reference, candidate = check_pair(reference, candidate, metric="PSNR")
    return np.abs(reference - candidate).mean(axis=-1, dtype=np.float32)


def decibels(squared_error: np.ndarray | list[float]) -> np.ndarray:
    """Mean squared errors (peak 1) as float64 decibels; 0 becomes infinity.

    Example:
        >>> decibels([0.0, 1.0, 0.01])
        array([inf,  0., 20.])
    """
    with np.errstate(divide="ignore"):
        return np.abs(10 * np.log10(1 / np.asarray(squared_error, dtype=np.float64)))


def capped(values: np.ndarray, cap: float = CAP) -> np.ndarray:
    """PSNR values in decibels, those above `cap` (identical pairs among them) counted as `cap`.

    Example:
        >>> capped(np.array([30.0, np.inf]))
        array([ 30., 100.])
    """
    return np.minimum(np.asarray(values, dtype=np.float64), cap)


def mean_psnr(values: np.ndarray, cap: float = CAP) -> float:
    """Mean of PSNR values in decibels with identical pairs counted as `cap`, so that one of them cannot hide the rest.

    Example:
        >>> mean_psnr(np.array([30.0, np.inf]))
        65.0
    """
    return float(capped(values, cap).mean())


def _squared_error(x: np.ndarray, y: np.ndarray) -> float:
    difference = x.astype(np.float64)
    difference -= y
    return np.einsum("ijk,ijk->", difference, difference) / difference.size
