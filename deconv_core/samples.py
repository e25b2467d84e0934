"""Pictures that need no download: photographs out of the scikit-image package, and digits drawn here.

Only photographs under CC0 or in the public domain are used; each row of `SAMPLES` names its licence and origin.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from deconv_core.errors import DeconvError, ImageError
from deconv_core.images import Picture, read_image, to_channels, to_uint8

SAMPLE_SIDE = 512  # pixels, largest height and width of a sample
MAX_CROP = 256  # pixels, beyond which the crops of `photographs` would overlap too much
DIGIT_SIDE = 28
_GLYPH_SIZE = 96  # pixels of the font; large against the 28 pixels drawn, so that shrinking smooths the edges


@dataclass(frozen=True)
class Sample:
    """A photograph that can be chosen with one click.

    Attributes:
        key: Name in code and links.
        label: Name on screen.
        licence: Terms under which the photograph may be shown and shared.
        source: Who made it, and where it comes from.
        file: File name in the data folder of scikit-image.
        reduced: True if the whole picture is made smaller, False if its middle is cut out.
    """

    key: str
    label: str
    licence: str
    source: str
    file: str
    reduced: bool = False


# Terms as stated by scikit-image for each of its pictures (docstrings of skimage.data, version 0.26). Pictures of that
# package without stated terms, or with "no known copyright restrictions" alone, are left out.
SAMPLES: dict[str, Sample] = {
    row.key: row
    for row in (
        Sample("chelsea", "Cat", "CC0 1.0", "Stéfan van der Walt, by way of scikit-image", "chelsea.png"),
        Sample("coffee", "Coffee cup", "CC0 1.0", "Rachel Michetti, Pikolo Espresso Bar", "coffee.png"),
        Sample("astronaut", "Astronaut", "Public domain", "NASA Great Images, Eileen Collins", "astronaut.png"),
        Sample("rocket", "Rocket at dusk", "Public domain", "SpaceX Photos, DSCOVR on Falcon 9", "rocket.jpg"),
        Sample("retina", "Retina", "CC0 1.0", "Mikael Häggström, Wikimedia Commons", "retina.jpg", reduced=True),
        Sample(
            "hubble", "Deep field", "Public domain", "NASA, HubbleSite, eXtreme Deep Field", "hubble_deep_field.jpg"
        ),
        Sample("camera", "Cameraman (grey)", "CC0 1.0", "Lav Varshney, by way of scikit-image", "camera.png"),
        Sample("brick", "Brick wall (grey)", "CC0 1.0", "CC0Textures, Bricks25", "brick.png"),
        Sample("gravel", "Gravel (grey)", "CC0 1.0", "CC0Textures, Gravel04", "gravel.png"),
        Sample("grass", "Grass (grey)", "CC0 1.0", "linolafett, DeviantArt, Grass 01", "grass.png"),
    )
}

# Where `photographs` cuts: sample, and the place of the crop from 0 (left, top) to 1 (right, bottom). Chosen by eye for
# variety (faces, texture, lettering, gradients, night) before any metric was run on them.
_CROPS = (
    ("astronaut", 0.50, 0.00),
    ("coffee", 0.50, 0.35),
    ("chelsea", 0.15, 0.20),
    ("rocket", 0.53, 1.00),
    ("retina", 0.00, 0.45),
    ("camera", 0.45, 0.15),
    ("hubble", 0.20, 0.25),
    ("brick", 0.50, 0.50),
    ("astronaut", 0.00, 0.10),
    ("coffee", 0.00, 0.00),
    ("chelsea", 1.00, 0.80),
    ("grass", 0.50, 0.50),
    ("astronaut", 1.00, 0.05),
    ("camera", 1.00, 1.00),
    ("gravel", 0.50, 0.50),
    ("rocket", 0.00, 0.75),
    ("astronaut", 0.40, 1.00),
    ("coffee", 1.00, 1.00),
    ("retina", 0.95, 0.30),
    ("astronaut", 1.00, 0.95),
)


def sample(key: str) -> Picture:
    """Return a sample photograph, at most 512 pixels high and wide; the same values every time.

    Grey photographs have one channel. The digest is that of the 8-bit values, because no file holds this very crop.

    Raises:
        DeconvError: No sample has this key.
        ImageError: The installed scikit-image lacks the file; nothing is ever downloaded.

    Example:
        >>> sample("astronaut").pixels.shape
        (512, 512, 3)
    """
    if key not in SAMPLES:
        raise DeconvError(f"Sample {key!r} is not known; choose one of {', '.join(SAMPLES)}.")
    picture = _sample(key)
    return replace(picture, pixels=picture.pixels.copy())


@lru_cache(maxsize=len(SAMPLES))
def _sample(key: str) -> Picture:
    import cv2

    row = SAMPLES[key]
    path = _data_folder() / row.file
    if not path.is_file():
        raise ImageError(f"{row.file} is missing in the installed scikit-image; install requirements.txt again.")
    picture = read_image(path)
    pixels, notes = picture.pixels, list(picture.notes)
    height, width, channels = pixels.shape
    if row.reduced:
        scale = SAMPLE_SIDE / max(height, width)
        size = (round(width * scale), round(height * scale))
        pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA).reshape(size[1], size[0], channels)
        notes.append(f"Reduced from {width} × {height} pixels.")
    elif max(height, width) > SAMPLE_SIDE:
        side_y, side_x = min(height, SAMPLE_SIDE), min(width, SAMPLE_SIDE)
        top, left = (height - side_y) // 2, (width - side_x) // 2
        pixels = pixels[top : top + side_y, left : left + side_x]
        notes.append(f"The middle of {width} × {height} pixels.")
    values = to_uint8(pixels)
    pixels = np.divide(values, np.float32(255), dtype=np.float32)
    digest = hashlib.sha256(repr(values.shape).encode() + values.tobytes()).hexdigest()
    return replace(picture, pixels=pixels, name=f"{key}.png", digest=digest, notes=tuple(notes))


def _data_folder() -> Path:
    # Found by path: the functions of skimage.data may download what they miss, and importing them is slow.
    from importlib.util import find_spec

    spec = find_spec("skimage")
    if spec is None or not spec.submodule_search_locations:
        raise ImageError("The sample photographs come with scikit-image, which is missing; install requirements.txt.")
    return Path(next(iter(spec.submodule_search_locations))) / "data"


def photographs(count: int = 20, size: int = 192) -> np.ndarray:
    """Varied crops of the sample photographs, grey ones repeated in three channels; always the same, in this order.

    Args:
        count: 1 to 20.
        size: Height and width in pixels, 1 to 256.

    Returns:
        float32, shape (count, size, size, 3), values k / 255.

    Raises:
        DeconvError: `count` or `size` is outside its range.
    """
    if not 1 <= count <= len(_CROPS) or not 1 <= size <= MAX_CROP:
        raise DeconvError(
            f"photographs(count={count}, size={size}) is not possible; "
            f"choose count from 1 to {len(_CROPS)} and size from 1 to {MAX_CROP}."
        )
    crops = np.empty((count, size, size, 3), np.float32)
    for index, (key, across, down) in enumerate(_CROPS[:count]):
        pixels = _sample(key).pixels
        top, left = round(down * (pixels.shape[0] - size)), round(across * (pixels.shape[1] - size))
        crops[index] = to_channels(pixels[top : top + size, left : left + size], 3)
    return crops


def digits(count: int, seed: int = 0) -> np.ndarray:
    """Draw digits in the manner of MNIST: white on black, about 20 pixels high, their centre of mass in the middle.

    Slant, turn, weight, width, size and place vary at random. Which digit each one is tells `digit_labels`.

    Args:
        count: Number of digits, 0 or more.
        seed: The same seed gives the same digits.

    Returns:
        float32, shape (count, 28, 28, 1), values k / 255.

    Raises:
        DeconvError: `count` or `seed` is negative.
    """
    import cv2

    labels = digit_labels(count, seed)
    generator = np.random.default_rng([seed, 1])
    images = np.empty((count, DIGIT_SIDE, DIGIT_SIDE, 1), np.float32)
    fine = 3  # drawn three times larger, then averaged
    for index, label in enumerate(labels):
        glyph, hull, centre = _glyph(int(label), int(generator.integers(0, 6)))
        slant, turn = generator.uniform(-0.15, 0.4), np.deg2rad(generator.uniform(-10, 10))
        rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        stretch = np.diag([generator.uniform(0.85, 1.25), 1.0])
        matrix = rotation @ np.array([[1.0, -slant], [0.0, 1.0]]) @ stretch
        extent = np.ptp(hull @ matrix.T, axis=0)
        matrix *= generator.uniform(17, 20) / extent.max()
        middle = (DIGIT_SIDE - 1) / 2 + generator.uniform(-1, 1, size=2)
        # Pixel centres of the fine grid lie at fine * x + (fine - 1) / 2.
        shift = fine * (middle - matrix @ centre) + (fine - 1) / 2
        affine = np.concatenate([fine * matrix, shift[:, None]], axis=1)
        side = DIGIT_SIDE * fine
        large = cv2.warpAffine(glyph, affine, (side, side), flags=cv2.INTER_AREA)
        images[index, ..., 0] = large.reshape(DIGIT_SIDE, fine, DIGIT_SIDE, fine).mean(axis=(1, 3))
    return np.divide(to_uint8(images), np.float32(255), dtype=np.float32)


def digit_labels(count: int, seed: int = 0) -> np.ndarray:
    """Which digits `digits(count, seed)` draws: int64, shape (count,), values 0 to 9."""
    if count < 0 or seed < 0:
        raise DeconvError(f"digits needs count and seed of 0 or more; got count={count} and seed={seed}.")
    return np.random.default_rng([seed, 0]).integers(0, 10, count)


@lru_cache(maxsize=64)
def _glyph(label: int, weight: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A digit drawn large: its picture in [0, 1], the corners of its hull (x, y), and its centre of mass (x, y)."""
    import cv2
    from PIL import Image, ImageDraw, ImageFont

    canvas = Image.new("L", (_GLYPH_SIZE * 2, _GLYPH_SIZE * 2))
    font = ImageFont.load_default(_GLYPH_SIZE)
    place = (_GLYPH_SIZE // 2, _GLYPH_SIZE // 2)
    ImageDraw.Draw(canvas).text(place, str(label), fill=255, font=font, stroke_width=weight)
    picture = np.asarray(canvas, np.float32) / np.float32(255)
    rows, columns = np.nonzero(picture > 0.5)
    hull = cv2.convexHull(np.stack([columns, rows], axis=1).astype(np.int32))[:, 0].astype(np.float64)
    mass = picture.sum(dtype=np.float64)
    axis = np.arange(picture.shape[0], dtype=np.float64)
    return picture, hull, np.array([picture.sum(axis=0) @ axis, picture.sum(axis=1) @ axis]) / mass
