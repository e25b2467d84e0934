"""Spectra of pictures: how strong each frequency is, how much of it survives, and what was lost or added in each band.

Frequencies are in cycles per pixel (0 is the mean, 0.5 the finest pattern along a row, 0.707 the finest along a
diagonal); their inverse, the period in pixels, is the size of the pattern. Powers are in squared units of the value
range, so that the spectrum of a picture adds up to its variance.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np

from deconv_core.errors import ImageError

if TYPE_CHECKING:
    import pandas as pd

SMALLEST_SIDE = 8
# Powers below this (one millionth of an 8-bit step, squared) are rounding of the arithmetic, not picture.
_FLOOR = (1e-6 / 255) ** 2


@dataclass(frozen=True)
class Band:
    """One octave of pattern sizes: `low <= frequency < high` in cycles per pixel."""

    key: str
    name: str
    low: float
    high: float

    @property
    def sizes(self) -> str:
        """The pattern sizes in words, such as "2-4 px"."""
        if self.low == 0:
            return f"over {1 / self.high:.0f} px"
        return f"{max(2.0, 1 / self.high):.0f}-{1 / self.low:.0f} px"

    @property
    def label(self) -> str:
        """Name and sizes, for legends: "fine texture, 2-4 px"."""
        return f"{self.name}, {self.sizes}"


# Diagonal frequencies above 0.5 belong to the finest band, so that the bands cover the whole plane.
BANDS: dict[str, Band] = {
    band.key: band
    for band in (
        Band("fine", "fine texture", 1 / 4, 1.0),
        Band("detail", "detail", 1 / 8, 1 / 4),
        Band("shapes", "shapes", 1 / 16, 1 / 8),
        Band("forms", "large forms", 0.0, 1 / 16),
    )
}


# The parts (band, low, high) that get a transfer of their own. Large forms span several octaves, and a strong blur
# takes only the smaller ones: one transfer for all would count the difference as added.
_PARTS = (
    ("fine", 1 / 4, 1.0),
    ("detail", 1 / 8, 1 / 4),
    ("shapes", 1 / 16, 1 / 8),
    ("forms", 1 / 32, 1 / 16),
    ("forms", 0.0, 1 / 32),
)
# A patch holds so little of slower waves than this that a transfer could be fitted to noise: four patches are joined.
_FEW_WAVES = 1 / 16


def power_spectrum(image: np.ndarray, *, window: bool = True) -> np.ndarray:
    """Power at each frequency of a picture, zero frequency in the middle.

    The mean is taken out first, and a Hann window fades the borders, because the Fourier transform takes a picture for
    an endless tiling and would see its edges as bright crosses. Colour channels are averaged.

    Args:
        image: Picture, shape (H, W) or (H, W, C); at least 8 pixels each way.
        window: False leaves the borders as they are; the powers then add up to the variance exactly.

    Returns:
        float64 array (H, W). Its sum is the window-weighted mean of the squared differences from the mean.

    Raises:
        ImageError: Wrong number of dimensions, a side below 8 pixels, or values that are not finite.
    """
    planes = _planes(image)
    total = np.zeros(planes.shape[1:])
    for spectrum, scale in _transforms(planes, window):
        total += _unfold(np.abs(spectrum) ** 2, planes.shape[2]) * scale
    return np.fft.fftshift(total / len(planes))


def log_power_spectrum(image: np.ndarray, *, window: bool = True) -> np.ndarray:
    """`power_spectrum` in decibels relative to full range squared (0 dB is a power of 1), not below -200 dB."""
    return 10 * np.log10(np.maximum(power_spectrum(image, window=window), 1e-20))


def radial_spectrum(image: np.ndarray, *, num_bins: int | None = None, window: bool = True) -> pd.DataFrame:
    """Power by frequency, whatever the direction.

    Args:
        image: Picture, shape (H, W) or (H, W, C).
        num_bins: Rings of equal width between 0 and 0.707 cycles per pixel; by default as fine as the picture allows,
            at most 128.
        window: As in `power_spectrum`.

    Returns:
        One row per ring: `frequency` (cycles per pixel, its middle), `period` (pixels), `power` (mean power of its
        frequencies times their number in the whole plane: a density per square cycle per pixel), `energy` (sum of its
        powers; over all rings, the variance).

    Raises:
        ImageError: As in `power_spectrum`.
    """
    import pandas as pd

    planes = _planes(image)
    rings = _Rings(planes.shape[1], planes.shape[2], num_bins)
    energy = sum(rings.total(np.abs(spectrum) ** 2) * scale for spectrum, scale in _transforms(planes, window))
    energy = energy / len(planes)
    table = pd.DataFrame(
        {
            "frequency": rings.middle,
            "period": 1 / rings.middle,
            "power": energy / np.maximum(rings.count, 1) * planes.shape[1] * planes.shape[2],
            "energy": energy,
        }
    )
    return table[rings.count > 0].reset_index(drop=True)


def radial_spectra(pictures: Mapping[str, np.ndarray], *, num_bins: int | None = None) -> pd.DataFrame:
    """Radial spectra of several pictures as one long table, ready to be drawn.

    Args:
        pictures: Name -> picture, such as reference, candidate, error (candidate minus reference), reconstruction.
        num_bins: As in `radial_spectrum`.

    Returns:
        Columns `picture`, `frequency` (cycles per pixel), `period` (pixels), `power_db` (decibels; full range squared
        per square cycle per pixel is 0 dB).
    """
    import pandas as pd

    parts = []
    for name, picture in pictures.items():
        table = radial_spectrum(picture, num_bins=num_bins)
        table.insert(0, "picture", name)
        # Density has units of energy per square cycle per pixel; the floor keeps an error of zero drawable.
        table["power_db"] = 10 * np.log10(np.maximum(table["power"], _FLOOR))
        parts.append(table.drop(columns=["power", "energy"]))
    return pd.concat(parts, ignore_index=True)


def transfer_ratio(reference: np.ndarray, candidate: np.ndarray, *, num_bins: int | None = None) -> pd.DataFrame:
    """How much of each frequency of the reference is still in the candidate: a measured transfer function (MTF).

    Built on the cross-spectrum: only what moves with the reference counts, so noise does not pass for detail, as it
    would in a quotient of two power spectra. Damage in one part of the picture shows as a part of the loss.

    Args:
        reference: Picture, shape (H, W) or (H, W, C).
        candidate: Same shape.
        num_bins: As in `radial_spectrum`.

    Returns:
        One row per ring: `frequency`, `period`, `transfer` (1 kept, 0 gone, above 1 amplified; NaN where the reference
        has nothing), `coherence` (0 to 1: the share of the candidate's power that the reference explains).

    Raises:
        ImageError: Shapes differ, or as in `power_spectrum`.

    References:
        Bendat and Piersol (2010), Random Data, chapter 6: frequency response and coherence from spectra.
    """
    import pandas as pd

    _check_pair(reference, candidate)
    planes_reference, planes_candidate = _planes(reference), _planes(candidate)
    rings = _Rings(planes_reference.shape[1], planes_reference.shape[2], num_bins)
    own, other, cross = np.zeros(rings.num_bins), np.zeros(rings.num_bins), np.zeros(rings.num_bins, complex)
    pairs = zip(_transforms(planes_reference, True), _transforms(planes_candidate, True), strict=True)
    for (x, scale), (y, _) in pairs:
        own += rings.total(np.abs(x) ** 2) * scale
        other += rings.total(np.abs(y) ** 2) * scale
        product = np.conj(x) * y
        cross += (rings.total(product.real) + 1j * rings.total(product.imag)) * scale
    known = own > _FLOOR
    with np.errstate(divide="ignore", invalid="ignore"):
        transfer = np.where(known, cross.real / own, np.nan)
        coherence = np.where(known & (other > _FLOOR), np.abs(cross) ** 2 / (own * other), 0.0)
    table = pd.DataFrame(
        {
            "frequency": rings.middle,
            "period": 1 / rings.middle,
            "transfer": transfer,
            "coherence": np.clip(coherence, 0, 1),
        }
    )
    return table[rings.count > 0].reset_index(drop=True)


def band_energies(reference: np.ndarray, candidate: np.ndarray) -> pd.DataFrame:
    """Energy of each band in both pictures, and the error split into what was lost, boosted and added.

    In every patch (16 pixels; 32 for large forms) and band, the candidate is fitted as `transfer * reference + rest`.
    The rest is `added` (noise, blocks, ringing); the missing part of the reference is `lost` where the transfer is
    below 1 and `boosted` where it is above (sharpening, more contrast). The three add up to the error. The mean is
    left out.

    Args:
        reference: Picture, shape (H, W) or (H, W, C); colours are averaged over channels.
        candidate: Same shape.

    Returns:
        One row per band in `BANDS` (index: its key): `label`, `reference`, `candidate`, `error`, `lost`, `boosted`,
        `added` (mean squares per pixel; each column adds up to the variance of that picture).

    Raises:
        ImageError: Shapes differ, or as in `power_spectrum`.
    """
    import pandas as pd

    _check_pair(reference, candidate)
    maps = [band_maps(x, y) for x, y in zip(_planes(reference), _planes(candidate), strict=True)]
    rows = []
    for key, band in BANDS.items():
        row: dict[str, str | float] = {"band": key, "label": band.label}
        for column in ("reference", "candidate", "error", "lost", "boosted", "added"):
            row[column] = float(np.mean([getattr(plane[key], column).mean() for plane in maps]))
        rows.append(row)
    return pd.DataFrame(rows).set_index("band")


@dataclass(frozen=True)
class BandMap:
    """Energies of one band in each patch (rows, columns): mean squares per pixel.

    Lost + boosted + added = error; `kept` is the reference's energy that is still in the candidate.
    """

    reference: np.ndarray
    candidate: np.ndarray
    error: np.ndarray
    lost: np.ndarray
    boosted: np.ndarray
    added: np.ndarray
    kept: np.ndarray


def band_maps(reference: np.ndarray, candidate: np.ndarray) -> dict[str, BandMap]:
    """Band energies of two single-channel pictures in a grid of patches, as in `patch_grid`.

    Args:
        reference: Picture, shape (H, W), at least 8 pixels each way.
        candidate: Same shape.

    Returns:
        Band key -> energies per patch. A band that a small picture cannot hold has zeros.
    """
    grid = patch_grid(*reference.shape)
    parts: dict[str, list[BandMap]] = {key: [] for key in BANDS}
    for (key, low, _), x, y in zip(_PARTS, _split(reference, grid), _split(candidate, grid), strict=True):
        parts[key].append(_fit(x, y, grid, low))
    names = [field.name for field in fields(BandMap)]
    return {key: BandMap(*(sum(getattr(fit, name) for fit in fits) for name in names)) for key, fits in parts.items()}


def _fit(x: np.ndarray, y: np.ndarray, grid: tuple[int, int], low: float) -> BandMap:
    """Energies of one part of both pictures, and those of the error, per patch."""
    import cv2

    if low < _FEW_WAVES:
        rows, columns = (patches // 2 for patches in grid)
        halved = _fit(x, y, (rows, columns), _FEW_WAVES)
        return BandMap(*(np.kron(getattr(halved, field.name), np.ones((2, 2))) for field in fields(BandMap)))
    products = cv2.merge([x * x, x * y, y * y])
    own, cross, other = cv2.split(cv2.resize(products, grid[::-1], interpolation=cv2.INTER_AREA).astype(np.float64))
    known = own > _FLOOR
    transfer = np.where(known, cross / np.where(known, own, 1.0), 0.0)
    error = np.maximum(own - 2 * cross + other, 0.0)
    explained = np.minimum((1 - transfer) ** 2 * own, error)
    lost, boosted = np.where(transfer < 1, explained, 0.0), np.where(transfer < 1, 0.0, explained)
    return BandMap(own, other, error, lost, boosted, error - explained, np.clip(transfer, 0, 1) ** 2 * own)


def patch_grid(height: int, width: int) -> tuple[int, int]:
    """Rows and columns of patches: about 16 pixels each, 6 to 96 of them, a multiple of six each way."""
    rows, columns = (6 * min(16, max(1, round(side / 96))) for side in (height, width))
    return rows, columns


def _split(plane: np.ndarray, grid: tuple[int, int]) -> list[np.ndarray]:
    """The picture in each of `_PARTS`, coarse ones on coarser grids with the mean squares of the full size.

    The cosine transform continues a picture by its mirror image, so borders make no false frequencies; its lowest
    coefficients alone give the same picture on fewer pixels.
    """
    from scipy.fft import dctn, idctn

    height, width = plane.shape
    coefficients = dctn(np.asarray(plane, np.float32), norm="ortho")
    coefficients[0, 0] = 0  # the mean is brightness, no pattern
    squared = (np.arange(height, dtype=np.float32)[:, None] / (2 * height)) ** 2
    squared = squared + (np.arange(width, dtype=np.float32)[None, :] / (2 * width)) ** 2
    parts = []
    for _, low, high in _PARTS:
        # Pooling into patches needs at least two pixels per patch.
        rows, columns = (
            min(side, max(math.ceil(2 * side * high), 2 * patches))
            for side, patches in zip((height, width), grid, strict=True)
        )
        radius = squared[:rows, :columns]
        kept = coefficients[:rows, :columns] * ((radius >= low**2) & (radius < high**2))
        kept *= np.float32(math.sqrt(rows * columns / (height * width)))
        parts.append(idctn(kept, norm="ortho", overwrite_x=True))
    return parts


class _Rings:
    """Rings of equal width in the half plane that a real transform returns."""

    def __init__(self, height: int, width: int, num_bins: int | None) -> None:
        if num_bins is not None and num_bins < 1:
            raise ImageError(f"A radial spectrum got num_bins={num_bins}; give at least 1.")
        self.num_bins = num_bins or min(128, max(4, min(height, width) // 2))
        top = math.sqrt(0.5)
        radius = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None, :])
        self.index = np.minimum((radius / top * self.num_bins).astype(np.intp), self.num_bins - 1).ravel()
        self.middle = (np.arange(self.num_bins) + 0.5) * top / self.num_bins
        # Columns other than the first (and the last of an even width) stand for their mirror images too.
        weight = np.full(width // 2 + 1, 2.0)
        weight[0] = 1.0
        if width % 2 == 0:
            weight[-1] = 1.0
        self.weight = np.broadcast_to(weight, radius.shape).ravel().copy()
        self.weight[0] = 0.0  # the mean is not part of the spectrum
        self.count = np.bincount(self.index, self.weight, self.num_bins)

    def total(self, values: np.ndarray) -> np.ndarray:
        return np.bincount(self.index, self.weight * values.ravel(), self.num_bins)


def _transforms(planes: np.ndarray, window: bool) -> Iterator[tuple[np.ndarray, float]]:
    """Transform of each plane and the factor that turns squared magnitudes into powers (Parseval)."""
    from scipy.fft import rfft2

    height, width = planes.shape[1:]
    weights = np.ones((height, width))
    if window:
        # Half-sample offset: no row is multiplied by zero, so nothing of a small picture is thrown away.
        rows, columns = (np.sin(np.pi * (np.arange(side) + 0.5) / side) ** 2 for side in (height, width))
        weights = rows[:, None] * columns[None, :]
    squares = np.sum(weights**2)
    for plane in planes:
        # Windowed value = weight * (value - mean): this mean leaves the zero frequency empty.
        mean = np.sum(plane * weights) / np.sum(weights)
        yield rfft2((plane - mean) * weights), 1 / (height * width * squares)


def _unfold(half: np.ndarray, width: int) -> np.ndarray:
    """The whole plane of a real picture's powers from its right half."""
    left = half[:, 1 : (width + 1) // 2]
    left = np.roll(left[::-1, ::-1], 1, axis=0)
    return np.concatenate([half, left], axis=1)


def _planes(image: np.ndarray) -> np.ndarray:
    """(H, W) or (H, W, C) -> (C, H, W) float64, checked."""
    array = np.asarray(image)
    if array.ndim == 2:
        array = array[..., None]
    if array.ndim != 3 or array.shape[2] == 0:
        raise ImageError(f"A spectrum needs one picture (H, W) or (H, W, C); got the shape {np.shape(image)}.")
    if min(array.shape[:2]) < SMALLEST_SIDE:
        raise ImageError(
            f"A spectrum needs at least {SMALLEST_SIDE} pixels each way; got {array.shape[0]} x {array.shape[1]}."
            " Use a larger picture."
        )
    planes = np.moveaxis(array, 2, 0).astype(np.float64)
    if not np.isfinite(planes).all():
        raise ImageError("A spectrum needs finite values; got NaN or infinity. Replace them before the call.")
    return planes


def _check_pair(reference: np.ndarray, candidate: np.ndarray) -> None:
    if np.shape(reference) != np.shape(candidate):
        raise ImageError(
            f"Spectra of a pair need one shape; got {np.shape(reference)} and {np.shape(candidate)}."
            " Resize one of them, or pair the files again."
        )
