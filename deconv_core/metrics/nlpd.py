"""Normalised Laplacian pyramid distance (NLPD): how far apart are the pictures after the first steps of seeing?

Each level of a Laplacian pyramid takes the local mean off, then is divided by the local amplitude around it, as in the
retina and beyond; what is left is compared.
"""

import cv2
import numpy as np

from deconv_core.metrics._checks import check_pair
from deconv_core.metrics._planes import each_pair, luma
from deconv_core.metrics._similarity import enlarged

# Laparra et al. (2016): filters and constants fitted to photographs of the McGill set, as printed in NLP_dist.m. For
# each level, finest first: sigma, and the weights of neighbours (row offset, column offset) in MATLAB's conv2, which
# turns a filter round.
_SIGMAS = (0.0248, 0.0185, 0.0179, 0.0191, 0.0220, 0.2782)
_NEIGHBOURS = (
    {(-1, 0): 0.1011, (0, -1): 0.1493, (0, 1): 0.1460, (0, 2): 0.0072, (1, 0): 0.1015},
    {(-1, 0): 0.0757, (0, -1): 0.1986, (0, 1): 0.1846, (1, 0): 0.0837},
    {(-1, 0): 0.0477, (0, -1): 0.2138, (0, 1): 0.2243, (1, 0): 0.0467},
    {(0, -1): 0.2503, (0, 1): 0.2616},
    {(0, -1): 0.2598, (0, 1): 0.2552},
    {(0, -1): 0.2215, (0, 1): 0.0717},
)
LEVELS = len(_SIGMAS)
# Burt and Adelson (1983).
_LOW_PASS = np.array([0.05, 0.25, 0.4, 0.25, 0.05])
# Leaves two pixels at the fifth level: a shorter side would make the sixth the same as the fifth.
SMALLEST_SIDE = 17


def nlpd(reference: np.ndarray, candidate: np.ndarray) -> np.ndarray:
    """NLPD of each image pair on luma: root mean squared difference of each of six levels, averaged. Lower is better.

    As NLP_dist.m computes it: mirrored edges on the way down, repeated ones on the way up, zeros around a level for the
    amplitude of neighbours. The sixth level is the remaining low-pass picture, so that brightness counts too. Blind to
    colour.

    Args:
        reference: Originals, float32, shape (N, H, W, C), values in [0, 1], sides of at least 17 pixels.
        candidate: Same shape.

    Returns:
        float64 array of shape (N,), 0 or more; lower is better, identical pairs give exactly 0.

    Raises:
        ImageError: Shapes differ, values leave [0, 1], or a side is shorter than 17 pixels.

    References:
        Laparra, Ballé, Berardino, Simoncelli (2016), Perceptual image quality assessment using a normalized Laplacian
        pyramid, doi:10.2352/ISSN.2470-1173.2016.16.HVEI-103. Original code: NLP_dist.m at
        https://www.cns.nyu.edu/~lcv/NLPyr/

    Example:
        >>> ramp = np.tile(np.linspace(0, 1, 32), (1, 32, 1))[..., None]
        >>> nlpd(ramp, ramp)
        array([0.])
    """
    reference, candidate = check_pair(reference, candidate, metric="NLPD", smallest_side=SMALLEST_SIDE)
    return np.array(each_pair(_nlpd, reference, candidate))


def nlpd_map(reference: np.ndarray, candidate: np.ndarray) -> np.ndarray:
    """Absolute difference in the normalised pyramid, averaged over its six levels: float32 (N, H, W), 0 for no error.

    Coarse levels are enlarged to the picture.
    """
    reference, candidate = check_pair(reference, candidate, metric="NLPD", smallest_side=SMALLEST_SIDE)
    return np.stack(
        each_pair(
            lambda x, y: np.mean([enlarged(np.abs(level), x) for level in _differences(x, y)], axis=0),
            reference,
            candidate,
        )
    )


def _nlpd(x: np.ndarray, y: np.ndarray) -> float:
    return float(np.mean([np.sqrt(np.mean(level * level, dtype=np.float64)) for level in _differences(x, y)]))


def _differences(x: np.ndarray, y: np.ndarray) -> list[np.ndarray]:
    return [a - b for a, b in zip(_normalised(luma(x)), _normalised(luma(y)), strict=True)]


def _normalised(plane: np.ndarray) -> list[np.ndarray]:
    """y = z / (sigma + sum of weighted |z| around) of every level z of the Laplacian pyramid."""
    levels = []
    for number, (sigma, neighbours) in enumerate(zip(_SIGMAS, _NEIGHBOURS, strict=True)):
        z = plane
        if number < LEVELS - 1:
            plane = _shrunk(z)
            z = z - _grown(plane, *z.shape)
        amplitude = cv2.filter2D(np.abs(z), -1, _kernel(neighbours), borderType=cv2.BORDER_CONSTANT)
        amplitude += np.float32(sigma)
        levels.append(z / amplitude)
    return levels


def _kernel(neighbours: dict[tuple[int, int], float]) -> np.ndarray:
    """The weights for OpenCV, which does not turn a filter round: the one to the right looks to the left."""
    kernel = np.zeros((5, 5))
    for (row, column), weight in neighbours.items():
        kernel[2 - row, 2 - column] = weight
    return kernel


def _shrunk(plane: np.ndarray) -> np.ndarray:
    """Low-pass with mirrored edges (the edge twice), then every second pixel, the first among them."""
    low = cv2.sepFilter2D(plane, -1, _LOW_PASS, _LOW_PASS, borderType=cv2.BORDER_REFLECT)
    return np.ascontiguousarray(low[::2, ::2])


def _grown(plane: np.ndarray, height: int, width: int) -> np.ndarray:
    """Twice the size by zeros between the pixels and the same low-pass; edges repeated by one pixel."""
    padded = cv2.copyMakeBorder(plane, 1, 1, 1, 1, cv2.BORDER_REPLICATE)
    spread = np.zeros((2 * padded.shape[0], 2 * padded.shape[1]), np.float32)
    spread[::2, ::2] = 4 * padded
    low = cv2.sepFilter2D(spread, -1, _LOW_PASS, _LOW_PASS, borderType=cv2.BORDER_CONSTANT)
    return low[2 : 2 + height, 2 : 2 + width]
