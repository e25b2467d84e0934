"""A map of pictures by their codes: pictures that the encoder describes alike lie close together."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from deconv_core.errors import DeconvError, ImageError

if TYPE_CHECKING:
    import pandas as pd

    from deconv_core.models.inference import Reconstructor
    from deconv_core.places import Item

MAX_POINTS = 10_000
SIDE = 128  # pixels: every picture is cut to a square and brought to this side first
_BATCH = 64
_THUMBNAIL = 48


@dataclass(frozen=True)
class LatentMap:
    """Where each picture lies.

    Attributes:
        frame: Columns `image`, `x`, `y`: the first two principal components of the codes, in standard deviations of
            the first. One row per picture.
        shares: Share of the codes' variance along x and along y, 0 to 1.
        thumbnails: Name -> small square WebP.
        broken: (name, reason) of what could not be read.
        left_out: Whether the source held more than was asked for.
    """

    frame: pd.DataFrame
    shares: tuple[float, float]
    thumbnails: dict[str, bytes]
    broken: list[tuple[str, str]] = field(default_factory=list)
    left_out: bool = False


def latent_map(
    model: Reconstructor,
    items: Iterable[Item],
    *,
    max_points: int = MAX_POINTS,
    report: Callable[[int], None] = lambda done: None,
) -> LatentMap:
    """Encode pictures and lay their codes out in two dimensions.

    A picture is cut to its central square and brought to 128 x 128 pixels (smaller ones are enlarged). Its code is
    described by the mean and the standard deviation of each channel over all places, so where something stands in the
    picture does not matter; these are standardised and turned to their principal components.

    Args:
        model: The model whose encoder is used.
        items: As `sources.iterate` gives them.
        max_points: No more pictures than these are read.
        report: Called with the number of pictures done.

    Raises:
        DeconvError: Fewer than three pictures could be read.
    """
    import pandas as pd

    names: list[str] = []
    features: list[np.ndarray] = []
    squares: list[np.ndarray] = []
    found = LatentMap(pd.DataFrame(), (0.0, 0.0), {})
    left_out = False
    for item in items:
        if len(names) >= max_points:
            left_out = True
            break
        try:
            square = _square(item.read().pixels, model.channels)
        except ImageError as error:
            found.broken.append((item.name, str(error)))
            continue
        names.append(item.name)
        squares.append(square)
        found.thumbnails[item.name] = _thumbnail(square)
        if len(squares) == _BATCH:
            features.append(describe(model, np.stack(squares)))
            squares.clear()
            report(len(names))
    if squares:
        features.append(describe(model, np.stack(squares)))
    if len(names) < 3:
        raise DeconvError(f"A map needs three pictures at least; {len(names)} could be read. Choose a larger set.")
    places, shares = principal(np.concatenate(features))
    frame = pd.DataFrame({"image": names, "x": places[:, 0], "y": places[:, 1]})
    return LatentMap(frame, shares, found.thumbnails, found.broken, left_out)


def describe(model: Reconstructor, batch: np.ndarray) -> np.ndarray:
    """Mean and standard deviation of each code channel over all places: (N, H, W, channels) -> (N, 2 * channels)."""
    codes = model.encode(batch).astype(np.float64)
    codes = codes.reshape(len(codes), -1, codes.shape[-1])
    return np.concatenate([codes.mean(axis=1), codes.std(axis=1)], axis=1)


def principal(features: np.ndarray) -> tuple[np.ndarray, tuple[float, float]]:
    """The first two principal components of standardised features.

    Args:
        features: (N, D), N at least 2. Columns that do not vary take no part.

    Returns:
        Places (N, 2), centred, in standard deviations of the first component, each component turned so that its largest
        weight is positive; and the share of the variance along each.
    """
    spread = features.std(axis=0)
    alive = spread > 1e-9 * max(float(np.abs(features).max()), 1e-30)
    if not alive.any():
        return np.zeros((len(features), 2)), (0.0, 0.0)
    standard = (features[:, alive] - features[:, alive].mean(axis=0)) / spread[alive]
    values, vectors = np.linalg.eigh(standard.T @ standard / len(standard))
    order = np.argsort(values)[::-1][:2]
    vectors = vectors[:, order]
    vectors = vectors * np.sign(vectors[np.abs(vectors).argmax(axis=0), np.arange(vectors.shape[1])])
    places = standard @ vectors
    if places.shape[1] == 1:
        places = np.column_stack([places, np.zeros(len(places))])
    shares = np.append(values[order], 0.0)[:2] / values.sum()
    return places / places[:, 0].std(), (float(shares[0]), float(shares[1]))


def _square(pixels: np.ndarray, channels: int) -> np.ndarray:
    import cv2

    from deconv_core.images import crop_centre, to_channels

    side = min(pixels.shape[:2])
    square = to_channels(crop_centre(pixels, side, side), channels)
    way = cv2.INTER_AREA if side > SIDE else cv2.INTER_LINEAR
    return cv2.resize(square, (SIDE, SIDE), interpolation=way).reshape(SIDE, SIDE, channels)


def _thumbnail(square: np.ndarray) -> bytes:
    import cv2

    from deconv_core.images import encode_webp

    small = cv2.resize(square, (_THUMBNAIL, _THUMBNAIL), interpolation=cv2.INTER_AREA)
    return encode_webp(small.reshape(_THUMBNAIL, _THUMBNAIL, -1), 75)
