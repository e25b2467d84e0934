"""Numbers that describe a picture and what a model could not rebuild of it: features of a score without reference.

With R a model and e = y - R(y): a model trained to restore leaves noise, blocks and fine detail in e, in shares that
tell a sharp photograph from a blurred or a noisy one. Around e stand the same numbers of y itself, and of its colours
and exposure. They are put to no use here: `deconv_core.calibration` turns them into a score.

After A. Mittal, A. K. Moorthy, A. C. Bovik (2012), No-reference image quality assessment in the spatial domain,
doi:10.1109/TIP.2012.2214050 (normalised luma and products of neighbours), and D. Hasler, S. Süsstrunk (2003), Measuring
colorfulness in natural images, doi:10.1117/12.477378.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache, reduce

import cv2
import numpy as np

from deconv_core.errors import ImageError
from deconv_core.images import LUMA

VERSION = 1
NUM_SCALES = 4
# Three halvings leave 8 pixels, which a window of 7 still looks at.
SMALLEST_SIDE = 64
# Shorter side in pixels at which larger pictures are judged, and from which on they are reduced to it.
_VIEWED_SIDE, _REDUCED_FROM = 512, 768
_WINDOW = 7
# Root mean squares below this, in units of the value range, are rounding to 8 bits (0.29 steps) and less.
_FLOOR = 0.25 / 255
# Local energies are sorted on a grid of every fourth pixel: the order statistics of 16,384 places in 512 x 512.
_GRID = 4
_LAGS = {"right": (0, 1), "below": (1, 0), "diagonal": (1, 1), "two_right": (0, 2), "two_below": (2, 0)}
_SHARES = (0.02, 0.1, 0.25, 0.5, 0.75, 0.9, 0.98)


def statistics_of(pictures: np.ndarray, model: object) -> np.ndarray:
    """`residual_statistics` of pictures at the size they are judged at, and of what a model makes of them.

    Args:
        pictures: float32, shape (N, H, W, C), values in [0, 1], at least 64 pixels each way.
        model: Anything with `reconstruct(batch)`, and `channels` where it takes one kind only.

    Returns:
        float64, shape (N, len(statistics_names())).
    """
    from deconv_core.metrics.remembered import Remembered

    pictures = as_viewed(pictures)
    seen = Remembered(model).as_seen(pictures)
    # One picture at a time: its numbers then cannot depend on its neighbours, not even by rounding.
    return _on_threads(lambda one, shown: _described(one, model.reconstruct(shown[None])), pictures, seen)


def as_viewed(pictures: np.ndarray) -> np.ndarray:
    """Pictures as people see them on a screen: those with more than 768 pixels each way are averaged down to 512.

    Human scores belong to a size: seen whole on a screen, a photograph of 4,000 pixels is sharper than its pixels.

    Args:
        pictures: float32, shape (N, H, W, C).

    Returns:
        The same array, or a smaller one with the shorter side at 512 pixels.
    """
    height, width = pictures.shape[1:3]
    if min(height, width) <= _REDUCED_FROM:
        return pictures
    factor = _VIEWED_SIDE / min(height, width)
    size = (round(width * factor), round(height * factor))
    smaller = [cv2.resize(picture, size, interpolation=cv2.INTER_AREA) for picture in pictures]
    return np.clip(np.stack(smaller).reshape(len(pictures), size[1], size[0], -1), 0, 1)


def statistics_names() -> tuple[str, ...]:
    """The name of every number that `residual_statistics` returns, in order: `family:what@scale`."""
    return _names()


def residual_statistics(pictures: np.ndarray, rebuilt: np.ndarray) -> np.ndarray:
    """Describe each picture of a batch and its residual e = y - R(y), at full, half, quarter and eighth size.

    Per scale: moments, shape and neighbours of e; the same of luma normalised by its local contrast; local strength of
    e and of y by their order statistics, evenness and ratio; colour of e. Once: exposure, colour and 8-pixel blocks.

    Args:
        pictures: float32, shape (N, H, W, C), C is 1 or 3, values in [0, 1], at least 64 pixels each way.
        rebuilt: R of the pictures, same shape, or grey beside coloured pictures.

    Returns:
        float64, shape (N, len(statistics_names())), every number finite.

    Raises:
        ImageError: Shapes do not fit, or the pictures are too small.
    """
    if pictures.shape[:3] != rebuilt.shape[:3]:
        raise ImageError(
            f"Residual statistics need pictures and what a model made of them; got {pictures.shape} and "
            f"{rebuilt.shape}. Pair them again."
        )
    return _on_threads(lambda one, made: _described(one, made[None]), pictures, rebuilt)


def _on_threads(function: Callable, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """`function` of every pair of pictures, several at a time, stacked."""
    if first.ndim != 4 or min(first.shape[1:3]) < SMALLEST_SIDE:
        raise ImageError(
            f"Residual statistics need pictures (N, H, W, C) of at least {SMALLEST_SIDE} pixels each way; got "
            f"{first.shape}. Enlarge them, or leave them out."
        )
    # The first one alone: TensorFlow traces a network at its first call, and would in every thread at once.
    answers = [function(first[0], second[0])]
    if len(first) > 1:
        with ThreadPoolExecutor(min(len(first) - 1, 2 * (os.cpu_count() or 1))) as pool:
            answers += pool.map(function, first[1:], second[1:])
    return np.stack(answers)


def _described(picture: np.ndarray, rebuilt: np.ndarray) -> np.ndarray:
    """The numbers of one picture (H, W, C); `rebuilt` is a batch of one."""
    return np.fromiter(_numbers(picture, np.asarray(rebuilt, np.float32)[0]).values(), np.float64)


@cache
def _names() -> tuple[str, ...]:
    blank = np.zeros((SMALLEST_SIDE, SMALLEST_SIDE, 3), np.float32)
    return tuple(_numbers(blank, blank))


def _numbers(picture: np.ndarray, rebuilt: np.ndarray) -> dict[str, float]:
    """Name -> number for one picture (H, W, C)."""
    from deconv_core.metrics._planes import halve  # here, because the table of metrics imports this module

    luma, red_green, yellow_blue = _opponents(picture)
    seen, seen_red_green, seen_yellow_blue = _opponents(rebuilt)
    found = _exposure_and_colour(luma, red_green, yellow_blue, picture)
    residual = luma - seen
    found |= _blocks(luma, "blocks:picture")
    found |= _blocks(residual, "blocks:residual")
    of_colour = [red_green - seen_red_green, yellow_blue - seen_yellow_blue]
    for scale in range(NUM_SCALES):
        if scale:
            luma, residual = halve(luma), halve(residual)
            of_colour = [halve(plane) for plane in of_colour]
        found |= _one_scale(luma, residual, of_colour, f"@{scale}")
    return found


def _opponents(picture: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Luma, red less green, and yellow less blue, each float32 (H, W); a grey picture has no colour."""
    if picture.shape[-1] == 1:
        plane = np.ascontiguousarray(picture[..., 0])
        return plane, np.zeros_like(plane), np.zeros_like(plane)
    picture = np.ascontiguousarray(picture)
    return tuple(cv2.transform(picture, np.array([row], np.float32)) for row in (LUMA, (1, -1, 0), (0.5, 0.5, -1)))


def _one_scale(luma: np.ndarray, residual: np.ndarray, of_colour: list[np.ndarray], at: str) -> dict[str, float]:
    mean, deviation = _local(luma)
    strength = np.sqrt(np.maximum(_box(residual * residual), 0))  # running sums may end below 0
    normalised = (luma - mean) / (deviation + np.float32(1 / 255))
    found = {
        **_shape(residual, f"residual:{{}}{at}"),
        **_shape(normalised, f"texture:{{}}{at}"),
        **_order(strength, f"residual:local_{{}}{at}"),
        **_order(deviation, f"contrast:local_{{}}{at}"),
    }
    grid = np.s_[_GRID // 2 :: _GRID, _GRID // 2 :: _GRID]
    of_residual, of_picture = (np.log(np.maximum(plane[grid], _FLOOR)) for plane in (strength, deviation))
    share = of_residual - of_picture
    parts = zip(("low", "middle", "high"), _order_statistics(share, (0.1, 0.5, 0.9)).values(), strict=True)
    found |= {f"share:{name}{at}": float(value) for name, value in parts}
    found[f"share:mean{at}"], found[f"share:spread{at}"] = float(share.mean()), float(share.std())
    found[f"share:follows_contrast{at}"] = _correlation(of_residual, of_picture)
    # What is kept: how much of the picture's own variation the model passes on.
    found[f"share:follows_picture{at}"] = _correlation(residual[::2, ::2], (luma - mean)[::2, ::2])
    found |= _evenness(of_residual, f"residual:{{}}{at}")
    found |= _evenness(of_picture, f"contrast:{{}}{at}")
    for name, plane in zip(("red_green", "yellow_blue"), of_colour, strict=True):
        energy = _inner(plane, plane) / plane.size
        found[f"colour_residual:{name}{at}"] = 0.5 * np.log(energy + _FLOOR**2)
        found[f"colour_residual:{name}_neighbours{at}"] = _neighbours(plane, energy, 0, 1)
    rising = np.abs(cv2.Sobel(luma, cv2.CV_32F, 1, 0, ksize=3)) + np.abs(cv2.Sobel(luma, cv2.CV_32F, 0, 1, ksize=3))
    bending = np.abs(cv2.Laplacian(luma, cv2.CV_32F))
    for name, plane in (("edges", rising), ("curvature", bending)):
        for part, value in _order_statistics(plane[1::2, 1::2], (0.5, 0.9, 0.99, 0.999)).items():
            found[f"sharpness:{name}_{part:g}{at}"] = float(np.log(value + _FLOOR))
    return found


def _shape(plane: np.ndarray, name: str) -> dict[str, float]:
    """Size, asymmetry, tails and neighbours of one plane; every number but the size is free of it."""
    square = plane * plane
    size = plane.size
    second = float(square.sum(dtype=np.float64)) / size
    scale = max(second, _FLOOR**2)
    absolute = float(np.abs(plane).sum(dtype=np.float64)) / size
    third = _inner(square, plane) / size
    fourth = _inner(square, square) / size
    found = {
        name.format("mean"): float(plane.sum(dtype=np.float64)) / size / scale**0.5,
        name.format("strength"): 0.5 * np.log(scale),
        # One for two values, sqrt(2 / pi) for a Gaussian, less for heavy tails: a generalised Gaussian's shape.
        name.format("peakedness"): absolute / scale**0.5,
        name.format("skewness"): float(np.clip(third / scale**1.5, -20, 20)),
        name.format("tails"): float(np.log(max(fourth / scale**2, 1.0))),
    }
    for lag, (down, right) in _LAGS.items():
        found[name.format(lag)] = _neighbours(plane, second, down, right)
    product = plane[:, :-1] * plane[:, 1:]
    positive = np.maximum(product, 0)
    both = _inner(product, product) + size * scale**2 * 1e-6
    found[name.format("product_side")] = _inner(positive, positive) / both
    found[name.format("product_peakedness")] = float(np.abs(product).sum(dtype=np.float64)) / (both * size) ** 0.5
    return found


def _neighbours(plane: np.ndarray, energy: float, down: int, right: int) -> float:
    """Correlation of the plane with itself moved by some pixels; 0 for a flat one."""
    height, width = plane.shape
    first, second = plane[: height - down, : width - right], plane[down:, right:]
    return _inner(first, second) / first.size / max(energy, _FLOOR**2)


def _order(strength: np.ndarray, name: str) -> dict[str, float]:
    ordered = _order_statistics(strength[_GRID // 2 :: _GRID, _GRID // 2 :: _GRID], _SHARES)
    return {name.format(f"{part:g}"): float(np.log(value + _FLOOR)) for part, value in ordered.items()}


def _order_statistics(plane: np.ndarray, shares: tuple[float, ...]) -> dict[float, np.floating]:
    """Share -> the value that this share of the plane's values lies below; a fraction of the cost of sorting."""
    places = [int(share * (plane.size - 1)) for share in shares]
    ordered = np.partition(plane, places, axis=None)
    return dict(zip(shares, ordered[places], strict=True))


def _evenness(logarithm: np.ndarray, name: str) -> dict[str, float]:
    """How a local strength (its logarithm, on the grid) is spread over a 4 x 4 division of the picture."""
    tiles = cv2.resize(logarithm, (4, 4), interpolation=cv2.INTER_AREA)
    whole = float(tiles.mean())
    return {
        name.format("strongest_tile"): float(tiles.max()) - whole,
        name.format("weakest_tile"): float(tiles.min()) - whole,
        name.format("centre"): float(tiles[1:3, 1:3].mean()) - whole,
        name.format("lower_half"): float(tiles[2:].mean()) - whole,
        name.format("spread"): float(logarithm.std()),
    }


def _exposure_and_colour(
    luma: np.ndarray, red_green: np.ndarray, yellow_blue: np.ndarray, picture: np.ndarray
) -> dict[str, float]:
    grid = np.s_[::2, ::2]
    ordered = _order_statistics(luma[grid], (0.01, 0.1, 0.5, 0.9, 0.99))
    found = {f"exposure:{part:g}": float(value) for part, value in ordered.items()}
    counts = cv2.calcHist([luma], [0], None, [64], [0, 1.0001]).ravel() / luma.size
    found["exposure:mean"] = float(luma.mean(dtype=np.float64))
    found["exposure:spread"] = float(luma.std(dtype=np.float64))
    found["exposure:entropy"] = float(-(counts * np.log2(counts + 1e-12)).sum())
    # Square roots of shares: a hundredth of the picture burnt out is seen, a second hundredth hardly.
    found["exposure:dark"] = float(np.sqrt(counts[:2].sum()))
    found["exposure:burnt"] = float(np.sqrt(counts[-2:].sum()))
    found["exposure:fullest"] = float(np.sqrt(counts.max()))
    found["exposure:centre"] = float(cv2.resize(luma, (4, 4), interpolation=cv2.INTER_AREA)[1:3, 1:3].mean())
    red_green, yellow_blue = red_green[grid], yellow_blue[grid]
    spreads = float(red_green.std(dtype=np.float64)), float(yellow_blue.std(dtype=np.float64))
    means = float(red_green.mean(dtype=np.float64)), float(yellow_blue.mean(dtype=np.float64))
    found |= {"colour:red_green": means[0], "colour:yellow_blue": means[1]}
    found |= {"colour:red_green_spread": spreads[0], "colour:yellow_blue_spread": spreads[1]}
    found["colour:colourfulness"] = float(np.hypot(*spreads) + 0.3 * np.hypot(*means))
    found["colour:correlation"] = _correlation(red_green, yellow_blue)
    found["colour:cast"] = float(np.hypot(*means))
    channels = [picture[grid][..., channel] for channel in range(picture.shape[-1])]
    saturation = reduce(np.maximum, channels) - reduce(np.minimum, channels)
    found["colour:saturation"] = float(saturation.mean(dtype=np.float64))
    found["colour:saturation_spread"] = float(saturation.std(dtype=np.float64))
    return found


def _blocks(plane: np.ndarray, name: str) -> dict[str, float]:
    """Steps at every eighth pixel against the steps between: JPEG's blocks, in both directions."""
    found = {}
    for direction, turned in (("across", plane), ("down", plane.T)):
        steps = np.abs(turned[:, 1:] - turned[:, :-1]).mean(axis=0, dtype=np.float64)
        steps = steps[: len(steps) // 8 * 8].reshape(-1, 8).mean(axis=0)
        found[f"{name}_{direction}"] = float(np.log((steps[7] + _FLOOR) / (steps[:7].mean() + _FLOOR)))
    return found


def _local(luma: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation over 7 x 7 pixels, mirrored at the border."""
    mean = _box(luma)
    variance = _box(luma * luma) - mean * mean
    return mean, np.sqrt(np.maximum(variance, 0, out=variance))


def _box(plane: np.ndarray) -> np.ndarray:
    return cv2.blur(plane, (_WINDOW, _WINDOW), borderType=cv2.BORDER_REFLECT_101)


def _inner(first: np.ndarray, second: np.ndarray) -> float:
    """Sum of products of two planes. Not by BLAS, whose threads would wait for each other in the threads of a batch."""
    return float(np.einsum("ij,ij->", first, second))


def _correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Pearson's r of two planes; 0 where one side does not vary."""
    first, second = (part - part.mean(dtype=np.float64).astype(part.dtype) for part in (first, second))
    energies = _inner(first, first), _inner(second, second)
    if min(energies) <= first.size * _FLOOR**2:
        return 0.0
    return _inner(first, second) / (energies[0] * energies[1]) ** 0.5
