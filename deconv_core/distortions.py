"""Make a picture worse on purpose: sixteen kinds of damage with a strength from 0 (unchanged) to 5 (severe).

Each kind publishes its strength at the severities 1 to 5 and is interpolated between them, so a ladder of twenty steps
gets worse at every step. Random kinds draw one field from the seed and scale it, so a stronger step holds the weaker.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from deconv_core.errors import DeconvError, ImageError
from deconv_core.images import LUMA, to_uint8

MAX_SEVERITY = 5.0
MOTION_ANGLE_DEGREES = 20.0
BLOCK_SIDE = 16  # pixels; the macroblock of MPEG and H.264
COLOURED_NOISE_SIGMA = 1.5  # pixels


@dataclass(frozen=True)
class Distortion:
    """One kind of damage.

    Attributes:
        key: Name in code, tables and commands.
        label: Name on screen.
        family: "blur", "noise", "compression", "tone", "detail" or "loss".
        start: Strength just above severity 0; at 0 itself the picture is unchanged.
        levels: The published strengths at the severities 1, 2, 3, 4 and 5.
        wording: Format of the strength in words, with its unit; `{0}` stands for the number.
        apply: Function of (pixels, strength, random generator) that returns pixels of the same shape.
        seeded: Whether the seed changes the outcome.
        needs_colour: Whether grey pictures stay unchanged.
        digits: Decimals to which the strength is rounded before use; 0 for whole numbers such as a quality.
    """

    key: str
    label: str
    family: str
    start: float
    levels: tuple[float, float, float, float, float]
    wording: str
    apply: Callable[[np.ndarray, float, np.random.Generator], np.ndarray]
    seeded: bool = False
    needs_colour: bool = False
    digits: int = 4

    def strength(self, severity: float) -> float:
        """Physical strength at a severity in (0, 5], in the unit that `describe` names."""
        _check_severity(severity)
        return round(float(np.interp(severity, range(6), (self.start, *self.levels))), self.digits)

    def describe(self, severity: float) -> str:
        """The strength in words, with its unit, such as "sigma 2.0 px"."""
        if _check_severity(severity) == 0:
            return "unchanged"
        return self.wording.format(self.strength(severity))


def distort(pixels: np.ndarray, key: str, severity: float, *, seed: int = 0) -> np.ndarray:
    """Return the picture damaged in one way, as an 8-bit file would hold it.

    Args:
        pixels: float32, shape (H, W, C), values in [0, 1]; C is 1 or 3.
        key: A key of `DISTORTIONS`.
        severity: 0 (only rounded to 8 bits) to 5; the strength behind it is told by `DISTORTIONS[key].describe`.
        seed: Fixes the random kinds; the same seed scales the same noise field at every severity.

    Returns:
        float32, same shape, every value k / 255.

    Raises:
        DeconvError: Unknown key, severity outside 0 to 5, or a negative seed.
        ImageError: The shape is not that of one picture.

    Example:
        >>> distort(np.full((8, 8, 3), 0.5, np.float32), "brightness", 2).max().round(3)
        np.float32(0.376)
    """
    distortion = _distortion(key)
    severity = _check_severity(severity)
    pixels = _check_pixels(pixels)
    if not isinstance(seed, int | np.integer) or seed < 0:
        raise DeconvError(f"seed is {seed!r}; expected a whole number of 0 or more.")
    pixels = _round(pixels)
    if severity == 0 or (distortion.needs_colour and pixels.shape[-1] == 1):
        return pixels
    generator = np.random.default_rng([int(seed), zlib.crc32(key.encode())])
    return _round(distortion.apply(pixels, distortion.strength(severity), generator))


def distort_all(pixels: np.ndarray, steps: Sequence[tuple[str, float]], *, seed: int = 0) -> np.ndarray:
    """Apply several distortions one after the other; each step has its own seed, the first one `seed` itself.

    Args:
        pixels: As in `distort`.
        steps: Pairs of key and severity, applied in this order; none leaves the picture only rounded to 8 bits.
        seed: Fixes all random kinds.

    Returns:
        float32, same shape, every value k / 255.
    """
    for key, severity in steps:  # refuse a wrong second step before the first one costs time
        _distortion(key)
        _check_severity(severity)
    pixels = _round(_check_pixels(pixels))
    for index, (key, severity) in enumerate(steps):
        pixels = distort(pixels, key, severity, seed=seed + 1_000_003 * index)
    return pixels


def _distortion(key: str) -> Distortion:
    if key not in DISTORTIONS:
        raise DeconvError(f"Distortion {key!r} is not known; choose one of {', '.join(DISTORTIONS)}.")
    return DISTORTIONS[key]


def _check_severity(severity: float) -> float:
    try:
        value = float(severity)
    except (TypeError, ValueError):
        value = float("nan")
    if not 0 <= value <= MAX_SEVERITY:
        raise DeconvError(f"severity is {severity!r}; expected a number from 0 (unchanged) to 5 (severe).")
    return value


def _check_pixels(pixels: np.ndarray) -> np.ndarray:
    pixels = np.asarray(pixels)
    if pixels.ndim != 3 or pixels.shape[-1] not in (1, 3) or 0 in pixels.shape:
        raise ImageError(
            f"A distortion needs one picture of shape (H, W, 1) or (H, W, 3); got {pixels.shape}. "
            "Pass the pictures of a batch one by one."
        )
    return pixels


def _round(pixels: np.ndarray) -> np.ndarray:
    return np.divide(to_uint8(pixels), np.float32(255), dtype=np.float32)


def _filter(pixels: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    import cv2

    return cv2.filter2D(pixels, cv2.CV_32F, kernel, borderType=cv2.BORDER_REFLECT).reshape(pixels.shape)


def _gaussian_blur(pixels: np.ndarray, sigma: float, generator: np.random.Generator) -> np.ndarray:
    import cv2

    side = 2 * int(np.ceil(4 * sigma)) + 1
    return cv2.GaussianBlur(pixels, (side, side), sigma, borderType=cv2.BORDER_REFLECT).reshape(pixels.shape)


def _motion_blur(pixels: np.ndarray, length: float, generator: np.random.Generator) -> np.ndarray:
    """A straight even movement: the line is sampled densely, each sample shared among its four pixels."""
    angle = np.deg2rad(MOTION_ANGLE_DEGREES)
    along = (np.arange(400) + 0.5) / 400 * length - length / 2
    x, y = along * np.cos(angle), -along * np.sin(angle)
    radius = int(np.ceil(length / 2)) + 1
    kernel = np.zeros((2 * radius + 1, 2 * radius + 1), np.float32)
    left, top = np.floor(x).astype(int), np.floor(y).astype(int)
    right_share, bottom_share = x - left, y - top
    for row, row_share in ((top, 1 - bottom_share), (top + 1, bottom_share)):
        for column, column_share in ((left, 1 - right_share), (left + 1, right_share)):
            np.add.at(kernel, (row + radius, column + radius), row_share * column_share)
    return _filter(pixels, kernel / kernel.sum())


def _lens_blur(pixels: np.ndarray, radius: float, generator: np.random.Generator) -> np.ndarray:
    """An even disc, the picture of a point out of focus; border pixels count by the share the disc covers."""
    half, fine = int(np.ceil(radius - 0.5)), 16
    place = (np.arange((2 * half + 1) * fine) + 0.5) / fine - half - 0.5
    inside = (place[:, None] ** 2 + place[None, :] ** 2 <= radius**2).astype(np.float32)
    kernel = inside.reshape(2 * half + 1, fine, 2 * half + 1, fine).sum(axis=(1, 3))
    return _filter(pixels, kernel / kernel.sum())


def _white_noise(pixels: np.ndarray, sigma: float, generator: np.random.Generator) -> np.ndarray:
    return pixels + generator.standard_normal(pixels.shape, dtype=np.float32) * np.float32(sigma / 255)


def _colour_noise(pixels: np.ndarray, sigma: float, generator: np.random.Generator) -> np.ndarray:
    """Blotches instead of grains: white noise through a Gaussian, brought back to unit variance by its exact gain."""
    field = generator.standard_normal(pixels.shape, dtype=np.float32)
    field = _gaussian_blur(field, COLOURED_NOISE_SIGMA, generator)
    gain = 1 / (2 * np.sqrt(np.pi) * COLOURED_NOISE_SIGMA)  # root of the sum of squares of the 2-D kernel
    return pixels + field * np.float32(sigma / 255 / gain)


def _impulse_noise(pixels: np.ndarray, percent: float, generator: np.random.Generator) -> np.ndarray:
    order = generator.random(pixels.shape[:2], dtype=np.float32)
    salt = generator.random(pixels.shape[:2], dtype=np.float32) < 0.5
    return np.where((order < percent / 100)[..., None], salt[..., None].astype(np.float32), pixels)


def _jpeg(pixels: np.ndarray, quality: float, generator: np.random.Generator) -> np.ndarray:
    import cv2

    values = to_uint8(pixels)[..., ::-1]  # OpenCV keeps blue first; both ends agree, so grey is not touched
    done, encoded = False, None
    if max(pixels.shape) <= 65500:  # what libjpeg can write
        done, encoded = cv2.imencode(".jpg", np.ascontiguousarray(values), [cv2.IMWRITE_JPEG_QUALITY, int(quality)])
    if not done:
        raise ImageError(f"A picture of shape {pixels.shape} cannot be written as JPEG; at most 65500 pixels a side.")
    decoded = cv2.imdecode(encoded, cv2.IMREAD_COLOR if pixels.shape[-1] == 3 else cv2.IMREAD_GRAYSCALE)
    return _from_uint8(decoded.reshape(pixels.shape)[..., ::-1])


def _jpeg2000(pixels: np.ndarray, ratio: float, generator: np.random.Generator) -> np.ndarray:
    # Each resolution halves the picture; more of them than the shorter side allows is an error.
    resolutions = min(6, int(np.log2(min(pixels.shape[:2]))) + 1)
    return _through_pillow(
        pixels,
        "JPEG2000",
        quality_mode="rates",
        quality_layers=[ratio],
        irreversible=True,
        codeblock_size=(64, 8),  # small blocks let small pictures be cut to the wanted size in finer steps
        num_resolutions=resolutions,
        no_jp2=True,
        mct=int(pixels.shape[-1] == 3),
    )


def _webp(pixels: np.ndarray, quality: float, generator: np.random.Generator) -> np.ndarray:
    if max(pixels.shape) > 16383:
        raise ImageError(f"A picture of shape {pixels.shape} cannot be written as WebP; at most 16383 pixels a side.")
    return _through_pillow(pixels, "WEBP", quality=quality, method=1)


def _through_pillow(pixels: np.ndarray, kind: str, **settings: object) -> np.ndarray:
    """Write and read again in memory; a grey picture comes back grey."""
    from PIL import Image

    values = to_uint8(pixels)
    image = Image.fromarray(values if values.shape[-1] == 3 else values[..., 0])
    stream = io.BytesIO()
    image.save(stream, kind, **settings)
    decoded = Image.open(stream, formats=[kind])
    decoded = decoded if decoded.mode == image.mode else decoded.convert(image.mode)
    return _from_uint8(np.asarray(decoded).reshape(pixels.shape))


def _from_uint8(values: np.ndarray) -> np.ndarray:
    return np.divide(values, np.float32(255), dtype=np.float32)


def _contrast(pixels: np.ndarray, percent: float, generator: np.random.Generator) -> np.ndarray:
    """Towards the picture's own mean luma, so that its brightness stays."""
    middle = np.float32(_luma(pixels).mean(dtype=np.float64))
    return middle + (pixels - middle) * np.float32(1 - percent / 100)


def _brightness(pixels: np.ndarray, percent: float, generator: np.random.Generator) -> np.ndarray:
    return pixels * np.float32(1 - percent / 100)


def _saturation(pixels: np.ndarray, percent: float, generator: np.random.Generator) -> np.ndarray:
    luma = _luma(pixels)
    return luma + (pixels - luma) * np.float32(1 - percent / 100)


def _luma(pixels: np.ndarray) -> np.ndarray:
    return pixels if pixels.shape[-1] == 1 else (pixels @ np.array(LUMA, np.float32))[..., None]


def _colour_quantisation(pixels: np.ndarray, num_colours: float, generator: np.random.Generator) -> np.ndarray:
    values = to_uint8(pixels)
    if values.shape[-1] == 3 and not np.ptp(values, axis=-1).any():  # a grey picture in three channels is still grey
        return np.repeat(_palette(values[..., :1], num_colours), 3, axis=-1)
    return _palette(values, num_colours)


def _palette(values: np.ndarray, num_colours: float) -> np.ndarray:
    """A palette grown by splitting the group of colours with the largest squared error at its mean.

    A palette of n + 1 colours splits one group of the palette of n, so the error cannot fall while colours are taken
    away. Wan, Prusinkiewicz, Wong (1990), "Variance-based color image quantization for frame buffer display".
    """
    shape, channels = values.shape, values.shape[-1]
    shift = 3 if channels == 3 else 0  # 32 steps per channel decide the groups; their means use the full values
    values = values.reshape(-1, channels)
    bins = np.zeros(len(values), np.int32)
    for channel in range(channels):
        bins = bins * (256 >> shift) + (values[:, channel] >> shift)
    counts = np.bincount(bins, minlength=(256 >> shift) ** channels)
    used = np.flatnonzero(counts)
    weights = counts[used].astype(np.float64)
    sums = np.stack([np.bincount(bins, values[:, channel], len(counts))[used] for channel in range(channels)], -1)
    means = sums / weights[:, None]

    groups = [np.arange(len(used))]
    spreads = [_spread(means, weights, groups[0])]
    while len(groups) < num_colours and max(spread.max() for spread in spreads) > 0:
        worst = int(np.argmax([spread.sum() for spread in spreads]))
        group, axis = groups[worst], int(np.argmax(spreads[worst]))
        middle = np.average(means[group, axis], weights=weights[group])
        low = means[group, axis] <= middle
        halves = [group[low], group[~low]]
        groups[worst : worst + 1] = halves
        spreads[worst : worst + 1] = [_spread(means, weights, half) for half in halves]
    palette = np.zeros((len(counts), channels), np.float32)
    for group in groups:
        palette[used[group]] = sums[group].sum(axis=0) / weights[group].sum() / 255
    return palette[bins].reshape(shape)


def _spread(means: np.ndarray, weights: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Sum of squared distances from the group's mean, per channel; exactly 0 for a single colour."""
    if len(group) < 2:
        return np.zeros(means.shape[-1])
    share = weights[group]
    distance = means[group] - share @ means[group] / share.sum()
    return share @ distance**2


def _resampling(pixels: np.ndarray, factor: float, generator: np.random.Generator) -> np.ndarray:
    """Reduced after an antialiasing blur, then enlarged again by cubic interpolation."""
    import cv2

    height, width = pixels.shape[:2]
    small = (max(1, round(width / factor)), max(1, round(height / factor)))
    # Half the factor is the blur below which a stronger reduction could, by luck of the sampling places, hurt less.
    soft = _gaussian_blur(pixels, 0.5 * factor, generator)
    reduced = cv2.resize(soft, small, interpolation=cv2.INTER_LINEAR)
    return cv2.resize(reduced, (width, height), interpolation=cv2.INTER_CUBIC).reshape(pixels.shape)


def _banding(pixels: np.ndarray, num_tones: float, generator: np.random.Generator) -> np.ndarray:
    """Fewer tones in every channel, chosen for the channel, so that soft gradients break into bands."""
    values = to_uint8(pixels)
    channels = [_palette(values[..., channel, None], num_tones) for channel in range(values.shape[-1])]
    return np.concatenate(channels, axis=-1)


def _block_loss(pixels: np.ndarray, percent: float, generator: np.random.Generator) -> np.ndarray:
    """Whole blocks replaced by mid-grey, at least one; a stronger loss keeps the blocks of a weaker one lost."""
    height, width = pixels.shape[:2]
    rows, columns = -(-height // BLOCK_SIDE), -(-width // BLOCK_SIDE)
    num_lost = max(1, round(percent / 100 * rows * columns))
    lost = np.zeros(rows * columns, bool)
    lost[generator.permutation(rows * columns)[:num_lost]] = True
    mask = lost.reshape(rows, columns).repeat(BLOCK_SIDE, 0).repeat(BLOCK_SIDE, 1)[:height, :width, None]
    return np.where(mask, np.float32(128 / 255), pixels)


# The strengths at severity 1 to 5 run from just visible to severe, in the spirit of KADID-10k (Lin, Hosu, Saupe 2019).
DISTORTIONS: dict[str, Distortion] = {
    row.key: row
    for row in (
        Distortion(
            "gaussian_blur", "Gaussian blur", "blur", 0.3, (0.7, 1.2, 2, 3.2, 5), "sigma {0:.2f} px", _gaussian_blur
        ),
        Distortion(
            "motion_blur",
            "Motion blur",
            "blur",
            0.5,
            (3, 6, 10, 16, 24),
            f"length {{0:.1f}} px at {MOTION_ANGLE_DEGREES:g}°",
            _motion_blur,
        ),
        Distortion("lens_blur", "Lens blur", "blur", 0.5, (1, 1.8, 3, 4.5, 7), "radius {0:.2f} px", _lens_blur),
        Distortion(
            "white_noise",
            "White noise",
            "noise",
            0,
            (5, 10, 20, 35, 60),
            "sigma {0:.1f} of 255",
            _white_noise,
            seeded=True,
        ),
        Distortion(
            "colour_noise",
            "Coloured noise",
            "noise",
            0,
            (5, 10, 20, 35, 60),
            f"sigma {{0:.1f}} of 255, grains of {COLOURED_NOISE_SIGMA:g} px",
            _colour_noise,
            seeded=True,
        ),
        Distortion(
            "impulse_noise",
            "Impulse noise",
            "noise",
            0,
            (0.5, 2, 5, 12, 25),
            "{0:.2f} % of the pixels black or white",
            _impulse_noise,
            seeded=True,
        ),
        Distortion("jpeg", "JPEG", "compression", 95, (60, 36, 22, 14, 8), "quality {0:.0f}", _jpeg, digits=0),
        Distortion(
            "jpeg2000", "JPEG 2000", "compression", 6, (16, 32, 50, 75, 110), "compression 1 : {0:.0f}", _jpeg2000
        ),
        Distortion("webp", "WebP", "compression", 95, (70, 45, 25, 10, 0), "quality {0:.3g}", _webp),
        Distortion(
            "contrast", "Lower contrast", "tone", 0, (15, 30, 45, 60, 75), "{0:.0f} % of the contrast lost", _contrast
        ),
        Distortion("brightness", "Darker", "tone", 0, (10, 25, 40, 55, 70), "{0:.0f} % of the light lost", _brightness),
        Distortion(
            "saturation",
            "Less saturated",
            "tone",
            0,
            (20, 40, 60, 80, 100),
            "{0:.0f} % of the colour lost",
            _saturation,
            needs_colour=True,
        ),
        Distortion(
            "colour_quantisation",
            "Fewer colours",
            "detail",
            128,
            (64, 32, 16, 8, 4),
            "{0:.0f} colours",
            _colour_quantisation,
            digits=0,
        ),
        Distortion(
            "resampling", "Resampling", "detail", 1.1, (1.5, 2, 3, 4.5, 7), "reduced {0:.2f} times", _resampling
        ),
        Distortion(
            "banding", "Banding", "detail", 32, (20, 14, 10, 6, 2), "{0:.0f} tones per channel", _banding, digits=0
        ),
        Distortion(
            "block_loss",
            "Blocks lost",
            "loss",
            0,
            (4, 8, 14, 22, 35),
            f"{{0:.1f}} % of the {BLOCK_SIDE} px blocks",
            _block_loss,
            seeded=True,
        ),
    )
}
