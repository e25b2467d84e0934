"""What the pixels of a picture tell: how sharp, noisy, bright and colourful it is, and what copies are found by.

In two steps. `look` goes over one picture's pixels in whole numbers, in few calls that leave the interpreter free for
other threads, and keeps what is small: counts of grey levels, a tiny version, a few colours. `conclude` turns what was
kept of many pictures into their numbers at once; a number never depends on the pictures beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from deconv_core.images import orient

WORK_SIDE = 1024  # pixels of the longer side on which blur is measured
CROP_SIDE = 1024  # pixels of the centre on which noise and blocks are measured, never reduced
GRID = 4
TINY = 32
_COLOUR_SIDE = 64
_BLOCK = 16
_ENOUGH = 128 * 512  # pixels from which averages are taken; more of them would hardly change a thing


@dataclass(frozen=True)
class Look:
    """What is kept of a picture.

    Attributes:
        counts: float32, shape (256,): how many pixels (of part of a large picture) have each grey level.
        tiny: uint8, shape (32, 32): the grey picture, turned as its orientation flag asks.
        colours: uint8, three planes of shape (64, 64): pixels on an even grid; None for a grey file.
        grid: uint8, shape (4, 4, 3): mean colours on a coarse grid, turned likewise.
        values: Numbers that are known already, by their names.
    """

    counts: np.ndarray
    tiny: np.ndarray
    colours: np.ndarray | None
    grid: np.ndarray
    values: dict[str, float]


def look(pixels: np.ndarray, orientation: int = 1) -> Look:
    """Look at one picture: uint8, shape (H, W) or (H, W, 3), not yet turned by its EXIF orientation."""
    import cv2

    pixels = np.ascontiguousarray(pixels)
    grey = pixels if pixels.ndim == 2 else cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    work = reduced(grey, WORK_SIDE)
    half = cv2.resize(work, (max(1, work.shape[1] // 2), max(1, work.shape[0] // 2)), interpolation=cv2.INTER_AREA)
    tiny = cv2.resize(half, (TINY, TINY), interpolation=cv2.INTER_AREA)
    some = cv2.resize(pixels, (_COLOUR_SIDE, _COLOUR_SIDE), interpolation=cv2.INTER_NEAREST)
    grid = cv2.resize(some, (GRID, GRID), interpolation=cv2.INTER_AREA)
    grid = grid if grid.ndim == 3 else np.repeat(grid[..., None], 3, axis=2)
    if orientation != 1:
        tiny, grid = orient(tiny, orientation), orient(grid, orientation)
    centre = _centre(grey, CROP_SIDE)
    grain = noise(centre)
    values = {
        "blurry": edge_width(work, half, noise=0.0 if work is not grey or np.isnan(grain) else grain),
        "noisy": grain,
        "blocky": blockiness(centre),
    }
    colours = None
    if pixels.ndim == 3:
        colours = cv2.split(some)
        values["grey_as_colour"] = channel_difference(pixels, colours)
    return Look(count_levels(grey), tiny, colours, grid, values)


def conclude(looks: Sequence[Look]) -> list[dict[str, object]]:
    """The numbers of many pictures: those that were known, `tones`, `colourfulness`, `unevenness`, `hash`, `grid`."""
    if not looks:
        return []
    tiny = np.stack([look.tiny for look in looks])
    columns = tones(np.stack([look.counts for look in looks])) | {"uneven_light": unevenness(tiny)}
    hashes = perceptual_hashes(tiny).tolist()
    rows = [
        {**look.values, **dict(zip(columns, numbers, strict=True)), "hash": bits, "grid": look.grid.tobytes()}
        for look, bits, *numbers in zip(looks, hashes, *(values.tolist() for values in columns.values()), strict=True)
    ]
    coloured = [place for place, look in enumerate(looks) if look.colours is not None]
    if coloured:
        found = colourfulness(np.array([looks[place].colours for place in coloured])[..., ::2, ::2]).tolist()
        for place, value in zip(coloured, found, strict=True):
            # What has no colour at all is left to the check for grey pictures.
            rows[place]["dull"] = value if rows[place]["grey_as_colour"] >= 3 else np.nan
    return rows


def reduced(plane: np.ndarray, side: int) -> np.ndarray:
    """Averages over k x k pixels with the smallest whole k that brings the longer side to `side` or below."""
    import cv2

    factor = -(-max(plane.shape[:2]) // side)
    if factor <= 1:
        return plane
    size = (max(1, plane.shape[1] // factor), max(1, plane.shape[0] // factor))
    return cv2.resize(plane[: size[1] * factor, : size[0] * factor], size, interpolation=cv2.INTER_AREA)


def _centre(plane: np.ndarray, side: int) -> np.ndarray:
    # The place within the 8 x 8 blocks is kept; borders of blocks are looked for at all eight places anyway.
    top, left = max(0, plane.shape[0] - side) // 2, max(0, plane.shape[1] - side) // 2
    return plane[top : top + side, left : left + side]


# Light


def count_levels(grey: np.ndarray) -> np.ndarray:
    """How many pixels have each of the 256 levels, float32; of a large picture every k-th row and column will do."""
    import cv2

    step = int(max(1, 2 * grey.size / _ENOUGH) ** 0.5)
    # Whole rows need not be copied, so they come first.
    some = grey[:: step * step] if step < 4 else np.ascontiguousarray(grey[:: 2 * step, :: step // 2])
    return cv2.calcHist([some], [0], None, [256], [0, 256]).ravel()


_LEVELS = np.arange(256.0)


def tones(counts: np.ndarray) -> dict[str, np.ndarray]:
    """Percentiles, entropy, clipping, mean and spread, float64 (N,) each, from counts of levels, shape (N, 256)."""
    total = counts.sum(axis=1, keepdims=True, dtype=np.float64)
    shares = counts / total
    below = np.cumsum(shares, axis=1)
    level = {share: (below < share).sum(axis=1).astype(np.float64) for share in (0.02, 0.05, 0.95, 0.98)}
    mean = (shares * _LEVELS).sum(axis=1)
    variance = (shares * (_LEVELS - mean[:, None]) ** 2).sum(axis=1)
    return {
        "low_information": 0.0 - (shares * np.log2(np.where(shares > 0, shares, 1))).sum(axis=1),
        "dark": level[0.95],
        "light": level[0.05],
        "low_contrast": level[0.98] - level[0.02],
        "clipped": 100 * shares[:, [0, 1, 254, 255]].sum(axis=1),
        "brightness": mean,
        "contrast": np.sqrt(variance),
    }


def unevenness(tiny: np.ndarray) -> np.ndarray:
    """See the check `uneven_light`; tiny pictures, shape (N, 32, 32), will do; float64, shape (N,)."""
    side = TINY // _PARTS
    parts = tiny.reshape(-1, _PARTS, side, _PARTS, side).max(axis=(2, 4)).reshape(-1, _PARTS * _PARTS, 1)
    light = np.log2(parts + 4.0)  # four levels more, or black would count without end
    surface, solve = _surface()
    fitted = surface @ (solve @ light)
    spread = light.var(axis=(1, 2))
    explained = np.maximum(0, 1 - (light - fitted).var(axis=(1, 2)) / np.maximum(spread, 1e-9))
    return np.where(spread < 1e-9, 0.0, np.ptp(fitted, axis=(1, 2)) * explained)


_PARTS = 8


@lru_cache(maxsize=1)
def _surface() -> tuple[np.ndarray, np.ndarray]:
    y, x = (axis.ravel() for axis in np.mgrid[-1 : 1 : _PARTS * 1j, -1 : 1 : _PARTS * 1j])
    surface = np.stack([np.ones_like(x), x, y, x * y, x * x, y * y], axis=1)
    return surface, np.linalg.pinv(surface)


# Colour


def channel_difference(pixels: np.ndarray, some: Sequence[np.ndarray]) -> float:
    """Largest difference between the channels of one pixel, of the planes `some` of a part where it is large there."""
    import cv2

    def largest(planes: Sequence[np.ndarray]) -> float:
        return max(cv2.norm(planes[one], planes[other], cv2.NORM_INF) for one, other in ((0, 1), (0, 2), (1, 2)))

    difference = largest(some)
    return difference if difference > 8 else largest(cv2.split(pixels))  # perhaps grey: look at every pixel


def colourfulness(colours: np.ndarray) -> np.ndarray:
    """Colourfulness of pixels, uint8, shape (N, 3, H, W); float32, shape (N,).

    References:
        Hasler and Suesstrunk (2003), Measuring colourfulness in natural images, doi:10.1117/12.477378.
    """
    red, green, blue = colours.reshape(len(colours), 3, -1).swapaxes(0, 1).astype(np.float32)
    opponents = np.stack([red - green, (red + green) / 2 - blue])
    means = opponents.mean(axis=2)
    spread = opponents.var(axis=2).sum(axis=0)
    return np.sqrt(spread) + 0.3 * np.hypot(*means)


# Sharpness, noise, compression


def edge_width(grey: np.ndarray, half: np.ndarray | None = None, *, noise: float = 0.0) -> float:
    """Gaussian sigma, in pixels, of the sharpest strong edges; NaN where there is no edge.

    The slope of an edge of width s falls by sqrt((s^2 + b^2) / (s^2 + a^2)) between the scales a and b; s follows.
    Edges are looked for at the coarser scale, where their slope has to stand out, so noise does not pass for sharpness.
    The sharpest quarter of them decides, so a soft background does not count as long as the subject is sharp. Motion
    leaves the edges along its way sharp, so the width across the softest direction of all edges together counts too.

    Args:
        grey: uint8, shape (H, W).
        half: The same at half the size (averages of 2 x 2), if it is there already.
        noise: Standard deviation of the noise in grey levels, whose share in the slopes is taken off.

    References:
        Zhuo and Sim (2011), Defocus map estimation from a single image, doi:10.1016/j.patcog.2011.03.009.
    """
    import cv2

    if min(grey.shape) < 16:
        return float("nan")
    if half is None:
        half = cv2.resize(grey, (grey.shape[1] // 2, grey.shape[0] // 2), interpolation=cv2.INTER_AREA)
    coarse_x, coarse_y = cv2.spatialGradient(cv2.blur(half, (3, 3)))
    # In half levels per pixel; what is steeper than 255 of them is strong enough not to be told apart.
    slopes = cv2.add(cv2.convertScaleAbs(coarse_x, alpha=0.25), cv2.convertScaleAbs(coarse_y, alpha=0.25))
    some = slopes[1:-1:2]  # the border is mirrored and says nothing; of edges, every second row will do
    counts = np.cumsum(cv2.calcHist([some[::4]], [0], None, [256], [0, 256]))
    limit = int(np.searchsorted(counts, (1 - _STRONG_SHARE) * counts[-1]))
    some[:, [0, -1]] = 0
    places = np.flatnonzero(some >= max(limit, _WEAKEST))
    if len(places) < 16:
        return float("nan")
    rows, columns = np.divmod(places[:: -(-len(places) // _EDGES)], slopes.shape[1])
    rows = 2 * rows + 1
    places = rows * slopes.shape[1] + columns
    coarse = np.stack([coarse_x.ravel()[places], coarse_y.ravel()[places]]).astype(np.float32) / 2  # per whole pixel
    fine = _slopes(grey, 2 * rows, 2 * columns)
    steepest = np.maximum(np.square(fine).sum(axis=0).max(axis=0) - 3 * _NOISE_GAIN * noise * noise, 0)
    width = _width(_at(steepest / np.square(coarse).sum(axis=0), _SHARPEST))
    width += _CROWDED * width * width
    across = _softest(fine.reshape(2, -1), coarse, _NOISE_GAIN * noise * noise)
    return min(_WIDEST, max(width, _SOFTEST * _width(across)))


def _slopes(grey: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Sobel answers (eighths of a level per pixel) of the 2 x 2 pixels from each place on: float32, (2, 4, places)."""
    around = np.arange(-1, 3)
    window = (around[:, None] * grey.shape[1] + around).reshape(4, 4, 1)
    # The places last: long rows of numbers, which takes a fifth of the time.
    near = grey.ravel()[window + (rows * grey.shape[1] + columns)].astype(np.int16)
    across = near[:, 2:] - near[:, :-2]
    along = near[2:] - near[:-2]
    x = across[:-2] + 2 * across[1:-1] + across[2:]
    y = along[:, :-2] + 2 * along[:, 1:-1] + along[:, 2:]
    return np.stack([x, y]).reshape(2, 4, -1).astype(np.float32)


def _softest(fine: np.ndarray, coarse: np.ndarray, noise: float) -> float:
    """Least ratio of squared slopes, fine to coarse, over all directions; infinite where all edges run one way.

    That is the smaller root of det(F - r C) = 0 with the structure tensors F and C of slopes of shape (2, places).
    """
    f, c = fine @ fine.T / fine.shape[1] - noise * np.eye(2), coarse @ coarse.T / coarse.shape[1]
    whole = c[0, 0] * c[1, 1] - c[0, 1] ** 2
    if whole < _ONE_WAY * (c[0, 0] + c[1, 1]) ** 2:
        return float("inf")
    middle = (f[0, 0] * c[1, 1] + f[1, 1] * c[0, 0] - 2 * f[0, 1] * c[0, 1]) / (2 * whole)
    return float(middle - np.sqrt(max(0.0, middle**2 - (f[0, 0] * f[1, 1] - f[0, 1] ** 2) / whole)))


def _width(ratio: float) -> float:
    """Gaussian sigma, in pixels, from the ratio of squared slopes, fine to coarse."""
    return float(np.sqrt(max(0.0, _COARSE - ratio * _FINE) / (ratio - 1))) if ratio > 1.01 else _WIDEST


def _at(values: np.ndarray, share: float) -> float:
    """The value below which this share of the values lies; np.percentile takes ten times as long for a few of them."""
    place = int(share * (len(values) - 1))
    return float(np.partition(values, place)[place])


_STRONG_SHARE = 0.03
_EDGES = 500  # places looked at, evenly chosen
_SHARPEST = 0.75  # share of the edges, from soft to sharp
# Variances in pixels: the Sobel step (a difference over two pixels, whose box has 4 / 12); at half the size the same
# step (4 / 3), the averages of 2 x 2 (1 / 4) and the box of 3 x 3 (4 times 8 / 12).
_FINE = 1 / 3
_COARSE = 4 / 3 + 1 / 4 + 8 / 3
_WEAKEST = 4  # sum of the two slopes at half the size, in half levels per pixel
_NOISE_GAIN = 12.0  # squared Sobel answer per squared unit of noise; of both, half as much again in the largest of four
# Edges of photographs are not alone, so wide ones look narrower; fitted to photographs blurred with sigma 1, 2 and 4.
_CROWDED = 0.125
# Most edges are softer than the sharpest quarter, so less of their width counts; fitted to sharp photographs.
_SOFTEST = 0.7
_ONE_WAY = 0.01
_WIDEST = 12.0


def noise(grey: np.ndarray) -> float:
    """Standard deviation of the noise in grey levels, from the smoothest blocks; NaN where all is black or white.

    References:
        Immerkaer (1996), Fast noise variance estimation, doi:10.1006/cviu.1996.0060.
    """
    import cv2

    bands, columns = (side // _BLOCK for side in grey.shape)
    if min(bands, columns) < 2:
        return float("nan")
    part = grey[: bands * _BLOCK, : columns * _BLOCK]
    step = min(max(1, part.size // _ENOUGH), bands // 2)
    if step > 1:  # every second, third ... band of blocks will do
        part = np.concatenate([part[top : top + _BLOCK] for top in range(0, len(part), step * _BLOCK)])
        bands = len(part) // _BLOCK
    answer = cv2.sepFilter2D(part, cv2.CV_16S, _SECOND, _SECOND)
    np.abs(answer, out=answer)
    sums = answer.reshape(bands, _BLOCK, -1).sum(axis=1, dtype=np.int32).reshape(bands, columns, _BLOCK).sum(axis=2)
    level = part[_BLOCK // 2 :: _BLOCK].reshape(bands, columns, _BLOCK).mean(axis=2)  # of the row in the middle
    found = sums[(level > 12) & (level < 243)]
    if len(found) < 4:
        return float("nan")
    return _at(found, 0.2) / _BLOCK**2 * float(np.sqrt(np.pi / 2)) / 6


_SECOND = np.array([1, -2, 1], np.float32)


def blockiness(grey: np.ndarray) -> float:
    """Steps across the borders of 8 x 8 blocks less the steps elsewhere, in grey levels, averaged over both directions.

    Steps beyond 24 levels count as 24, so that edges of things do not decide. All eight places of the grid are tried.
    """
    import cv2

    if min(grey.shape) < 40:
        return float("nan")
    rows = max(40, min(len(grey), _ENOUGH // grey.shape[1]))  # the middle of a large picture will do
    grey = grey[(len(grey) - rows) // 2 :][:rows]
    found = 0.0
    for axis in (0, 1):
        first = grey[1:] if axis else grey[:, 1:]
        second = grey[:-1] if axis else grey[:, :-1]
        steps = cv2.min(cv2.absdiff(first, second), 24)
        line = cv2.reduce(steps, 1 if axis else 0, cv2.REDUCE_SUM, dtype=cv2.CV_32S).ravel()
        line = line[: len(line) // 8 * 8].reshape(-1, 8).mean(axis=0) / (grey.shape[1] if axis else len(grey))
        best = line.max()
        found += best - (line.sum() - best) / 7
    return float(found) / 2


# Copies


def perceptual_hashes(tiny: np.ndarray) -> np.ndarray:
    """pHash of grey pictures, shape (N, 32, 32), as uint64: what `imagehash.phash` finds on the same pixels.

    Its library takes them one by one and works out all 1,024 coefficients, of which 64 are kept.
    """
    cosines = _cosines()
    low = (cosines @ tiny @ cosines.T).reshape(len(tiny), -1)
    bits = low > np.median(low, axis=1, keepdims=True)
    return np.packbits(bits, axis=1).view(">u8").ravel().astype(np.uint64)


@lru_cache(maxsize=1)
def _cosines() -> np.ndarray:
    place, frequency = np.arange(TINY), np.arange(8)
    return 2 * np.cos(np.pi * frequency[:, None] * (2 * place + 1) / (2 * TINY))
