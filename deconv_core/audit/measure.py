"""What is measured on one picture, quickly: its file, and one pass over its grey plane in whole numbers.

A picture is decoded once. Plain 8-bit JPEG goes through OpenCV, which is the quickest, after Pillow has read the header
and the end of the file was seen; everything else goes through Pillow or, where bits, transparency or colour modes need
care, through `images.read_image`. The pixels are those that `read_image` gives, rounded to 8 bits.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePath, PurePosixPath
from typing import TYPE_CHECKING

import numpy as np

from deconv_core.archives import Member
from deconv_core.audit.cache import Cache
from deconv_core.errors import ImageError
from deconv_core.images import SUFFIXES, open_header, orient, read_image, to_uint8
from deconv_core.sources import Item

if TYPE_CHECKING:
    from PIL import Image

VERSION = 1  # raised with every change of what is measured
RECIPE = f"measured {VERSION}"
WORK_SIDE = 1024  # pixels of the longer side on which blur is measured
CROP_SIDE = 1024  # pixels of the centre on which noise and blocks are measured, never reduced
GRID = 4
_HASH_SIDE, _HASH_LOW = 32, 8
_BLOCK = 16

# name -> what it is; the columns that one picture alone decides. Numbers are float32, NaN where there is none.
FACTS = {
    "number": "int64",
    "image": "text",
    "bytes": "int64",
    "modified": "int64",
    "digest": "text",
    "status": "text",
    "reason": "text",
    "format": "text",
    "mode": "text",
    "width": "int32",
    "height": "int32",
    "bits": "int16",
    "orientation": "int16",
    "hash": "uint64",
    "grid": "binary",
    "place": "text",
}
VALUES = (
    "wrong_extension",
    "orientation_flag",
    "blurry",
    "noisy",
    "blocky",
    "low_information",
    "dark",
    "light",
    "low_contrast",
    "clipped",
    "dull",
    "uneven_light",
    "grey_as_colour",
    "odd_aspect",
    "brightness",
    "contrast",
)


@dataclass(frozen=True)
class Decoded:
    """An 8-bit picture as stored (not turned by its orientation flag) and what its header says.

    Attributes:
        pixels: uint8, shape (H, W) or (H, W, 3).
        format, mode, bits: As in `images.Picture`.
        orientation: EXIF flag still to be applied, 1 for none.
        flag: EXIF flag in the file, applied or not.
    """

    pixels: np.ndarray
    format: str
    mode: str
    bits: int
    orientation: int
    flag: int


def decode(data: bytes, name: str) -> Decoded:
    """Decode a picture to 8 bits, as quickly as its kind allows.

    Raises:
        ImageError: As `images.read_image`.
    """
    header = open_header(data, name=name)
    plain = header.bits == 8 and header.mode in ("L", "RGB") and not header.has_transparency
    if plain and header.format == "JPEG" and _is_complete(data):
        pixels = _decode_jpeg(data, header.mode)
        if pixels is not None and pixels.shape[:2] == (header.height, header.width):
            return Decoded(pixels, "JPEG", header.mode, 8, header.orientation, header.flag)
    if plain and header.format != "TIFF":
        pixels = header.load()
        return Decoded(pixels, header.format, header.mode, 8, header.orientation, header.flag)
    picture = read_image(data, name=name)
    pixels = to_uint8(picture.pixels)
    pixels = pixels[..., 0] if pixels.shape[2] == 1 else pixels
    return Decoded(np.ascontiguousarray(pixels), picture.format, picture.mode, picture.bit_depth, 1, header.flag)


def _is_complete(data: bytes) -> bool:
    # OpenCV fills what is missing with grey and says nothing. Pillow looks closer at files without this end.
    return data.rstrip(b"\0")[-2:] == b"\xff\xd9"


def _decode_jpeg(data: bytes, mode: str) -> np.ndarray | None:
    import cv2

    flags = cv2.IMREAD_GRAYSCALE if mode == "L" else cv2.IMREAD_COLOR_RGB
    return cv2.imdecode(np.frombuffer(data, np.uint8), flags | cv2.IMREAD_IGNORE_ORIENTATION)


def measure(
    item: Item, number: int = 0, modified: int = 0, *, data: bytes | None = None, cache: Cache | None = None
) -> dict[str, object]:
    """One row of the table: the facts of FACTS and the numbers of VALUES; whatever is wrong becomes a row as well.

    Args:
        item: What to read.
        number: Its place in the source.
        modified: When its file was changed, nanoseconds since 1970, 0 where not known.
        data: Its bytes, if they were read already.
        cache: Where the same content may have been measured before, under whatever name; such a row is marked `reused`.
    """
    row = blank_row(item, number, modified)
    try:
        if data is None:
            data = item.content()
        row["bytes"] = item.size if item.size is not None else len(data)
        row["digest"] = digest = hashlib.sha256(data).hexdigest()
        known = cache.find_contents([digest]).get(digest) if cache is not None else None
        if known is not None:
            known["wrong_extension"] = wrong_extension(item.name, known["format"])
            return row | {name: known[name] for name in row if name in known} | {"reused": True}
        decoded = decode(data, PurePosixPath(item.name).name)
        row |= {"status": "ok", **describe(decoded, item.name), **statistics(decoded)}
    except ImageError as error:
        row["reason"] = str(error)
    except Exception as error:  # one picture never ends an audit; what it was stands in the table
        row["reason"] = f"It could not be measured ({type(error).__name__}: {str(error)[:150]})."
    return row


def blank_row(item: Item, number: int, modified: int) -> dict[str, object]:
    """The row of a picture of which nothing is known yet."""
    return {
        "number": number,
        "image": item.name,
        "bytes": item.size or 0,
        "modified": modified,
        "digest": "",
        "status": "unreadable",
        "reason": "",
        "format": "",
        "mode": "",
        "width": 0,
        "height": 0,
        "bits": 0,
        "orientation": 0,
        "hash": 0,
        "grid": b"",
        "place": place_of(item),
        **dict.fromkeys(VALUES, np.nan),
    }


def place_of(item: Item) -> str:
    """Where to find the picture again at once, as JSON: a file's path or the place within an archive; else ""."""
    if isinstance(item.origin, PurePath):
        return json.dumps([str(item.origin)])
    if isinstance(item.origin, Member) and item.origin.data is None and not item.refused:
        member = item.origin
        return json.dumps(
            [str(member.archive), member.size, member.offset, member.packed, member.method, member.crc],
        )
    return ""


def describe(decoded: Decoded, name: str) -> dict[str, object]:
    """What the header and the name say."""
    height, width = decoded.pixels.shape[:2]
    if decoded.orientation >= 5:
        height, width = width, height
    return {
        "format": decoded.format,
        "mode": decoded.mode,
        "width": width,
        "height": height,
        "bits": decoded.bits,
        "orientation": decoded.flag,
        "wrong_extension": wrong_extension(name, decoded.format),
        "orientation_flag": float(decoded.flag != 1),
        "odd_aspect": max(width, height) / min(width, height),
    }


def wrong_extension(name: str, format: str) -> float:
    """1 where the name says another format than the content, else 0. The one value that a content does not decide."""
    claimed = SUFFIXES.get(PurePosixPath(name.lower()).suffix)
    return float(claimed is not None and claimed != format)


def statistics(decoded: Decoded) -> dict[str, object]:
    """Everything that is measured on the pixels."""
    import cv2

    pixels = np.ascontiguousarray(decoded.pixels)
    grey = pixels if pixels.ndim == 2 else cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    work = reduced(grey, WORK_SIDE)
    half = cv2.resize(work, (max(1, work.shape[1] // 2), max(1, work.shape[0] // 2)), interpolation=cv2.INTER_AREA)
    small = cv2.resize(half, (64, 64), interpolation=cv2.INTER_AREA)
    centre = _centre(grey, CROP_SIDE)
    grain = noise(centre)
    return {
        **tones(grey),
        **colours(pixels),
        "blurry": edge_width(work, half, noise=0.0 if work is not grey or np.isnan(grain) else grain),
        "noisy": grain,
        "blocky": blockiness(centre),
        "uneven_light": unevenness(small),
        **marks(pixels, small, decoded.orientation),
    }


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
    return np.ascontiguousarray(plane[top : top + side, left : left + side])


_LEVELS = np.arange(256.0)


def tones(grey: np.ndarray) -> dict[str, object]:
    """Percentiles, entropy and clipping from the histogram of every second pixel both ways (all of a small picture)."""
    import cv2

    step = 1 if grey.size <= 256 * 256 else 2
    some = np.ascontiguousarray(grey[::step, ::step])
    counts = cv2.calcHist([some], [0], None, [256], [0, 256]).ravel().astype(np.float64)
    total = counts.sum()
    below = np.cumsum(counts) / total
    level = {share: float(np.searchsorted(below, share)) for share in (0.02, 0.05, 0.95, 0.98)}
    share = counts[counts > 0] / total
    mean = float(counts @ _LEVELS / total)
    spread = float(np.sqrt(max(0.0, counts @ (_LEVELS - mean) ** 2 / total)))
    return {
        "low_information": float(-(share * np.log2(share)).sum()) + 0.0,
        "dark": level[0.95],
        "light": level[0.05],
        "low_contrast": level[0.98] - level[0.02],
        "clipped": 100.0 * float(counts[[0, 1, 254, 255]].sum() / total),
        "brightness": mean,
        "contrast": spread,
    }


def colours(pixels: np.ndarray) -> dict[str, object]:
    """Colourfulness, and how far the channels differ at most; nothing for a grey file.

    References:
        Hasler and Suesstrunk (2003), Measuring colourfulness in natural images, doi:10.1117/12.477378.
    """
    if pixels.ndim == 2:
        return {}
    step = max(1, round(max(pixels.shape[:2]) / 64))
    red, green, blue = np.ascontiguousarray(pixels[::step, ::step].reshape(-1, 3).T).astype(np.float32)
    first, second = red - green, (red + green) / 2 - blue
    middle = (float(first.mean()), float(second.mean()))
    spread = max(0.0, float(first @ first + second @ second) / len(first) - middle[0] ** 2 - middle[1] ** 2)
    difference = float(max(np.abs(first).max(), np.abs(red - blue).max()))
    if difference <= 8:  # perhaps grey: look at every pixel
        red, green, blue = (pixels[..., place].astype(np.int16) for place in range(3))
        difference = float(max(np.abs(red - green).max(), np.abs(red - blue).max(), np.abs(green - blue).max()))
    dull = np.nan if difference < 3 else float(np.sqrt(spread) + 0.3 * np.hypot(*middle))
    return {"grey_as_colour": difference, "dull": dull}


def edge_width(grey: np.ndarray, half: np.ndarray | None = None, *, noise: float = 0.0) -> float:
    """Gaussian sigma, in pixels, of the sharpest strong edges; NaN where there is no edge.

    The slope of an edge of width s falls by sqrt((s^2 + b^2) / (s^2 + a^2)) between the scales a and b; s follows.
    Edges are looked for at the coarser scale, where their slope has to stand out, so noise does not pass for sharpness.
    The sharpest quarter of them decides, so a soft background does not count as long as the subject is sharp.

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
    slopes = np.abs(coarse_x) + np.abs(coarse_y)
    # Borders are mirrored, which hides edges there and makes none.
    counts = np.bincount(slopes.ravel() >> 2)
    limit = 4 * int(np.searchsorted(np.cumsum(counts), (1 - _STRONG_SHARE) * slopes.size))
    slopes[[0, -1]] = slopes[:, [0, -1]] = 0  # the border is mirrored and says nothing
    places = np.flatnonzero(slopes >= max(limit, _WEAKEST))
    if len(places) < 16:
        return float("nan")
    rows, columns = np.divmod(places[:: -(-len(places) // _EDGES)], slopes.shape[1])
    x, y = (slope[rows, columns].astype(np.float32) / 2 for slope in (coarse_x, coarse_y))  # per pixel of the whole
    fine = np.maximum(_steepest(grey, 2 * rows, 2 * columns) - _NOISE_GAIN * noise * noise, 0)
    ratio = _at(fine / (x * x + y * y), _SHARPEST)
    if ratio <= 1.01:
        return _WIDEST
    width = float(np.sqrt(max(0.0, _COARSE - ratio * _FINE) / (ratio - 1)))
    return min(_WIDEST, width + _CROWDED * width * width)


def _steepest(grey: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Largest squared slope (Sobel, in eighths of a level per pixel) of the 2 x 2 pixels from each place on."""
    around = np.arange(-1, 3)
    window = (around[:, None] * grey.shape[1] + around).reshape(4, 4, 1)
    # The places last: long rows of numbers, which takes a fifth of the time.
    near = grey.ravel()[window + (rows * grey.shape[1] + columns)].astype(np.float32)
    across = near[:, 2:] - near[:, :-2]
    along = near[2:] - near[:-2]
    x = across[:-2] + 2 * across[1:-1] + across[2:]
    y = along[:, :-2] + 2 * along[:, 1:-1] + along[:, 2:]
    return (x * x + y * y).reshape(4, -1).max(axis=0)


def _at(values: np.ndarray, share: float) -> float:
    """The value below which this share of the values lies; np.percentile takes ten times as long for a few of them."""
    place = int(share * (len(values) - 1))
    return float(np.partition(values, place)[place])


_STRONG_SHARE = 0.03
_EDGES = 1500  # places looked at, evenly chosen
_SHARPEST = 0.75  # share of the edges, from soft to sharp
# Variances in pixels: the Sobel step (a difference over two pixels, whose box has 4 / 12); at half the size the same
# step (4 / 3), the averages of 2 x 2 (1 / 4) and the box of 3 x 3 (4 times 8 / 12).
_FINE = 1 / 3
_COARSE = 4 / 3 + 1 / 4 + 8 / 3
_WEAKEST = 16  # sum of the two slopes at half the size, in eighths of a grey level per pixel
# Squared slope per squared unit of noise: 12 for each Sobel answer, and half as much again for the largest of four.
_NOISE_GAIN = 36.0
# Edges of photographs are not alone, so wide ones look narrower; fitted to photographs blurred with sigma 1, 2 and 4.
_CROWDED = 0.125
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
    if part.size > 256 * 256:  # every second band of blocks will do
        part = np.ascontiguousarray(part.reshape(bands, _BLOCK, -1)[::2]).reshape(-1, part.shape[1])
    second = np.array([1, -2, 1], np.float32)
    answer = cv2.sepFilter2D(part, cv2.CV_16S, second, second)  # at most 16 * 255, so eight times as much still fits
    size = (columns, len(part) // _BLOCK)
    found = cv2.resize(np.abs(answer) << 3, size, interpolation=cv2.INTER_AREA).ravel().astype(np.float32)
    level = cv2.resize(part, size, interpolation=cv2.INTER_AREA).ravel()
    found = found[(level > 12) & (level < 243)]
    if len(found) < 4:
        return float("nan")
    return _at(found, 0.2) * float(np.sqrt(np.pi / 2)) / 6 / 8


def blockiness(grey: np.ndarray) -> float:
    """Steps across the borders of 8 x 8 blocks less the steps elsewhere, in grey levels, averaged over both directions.

    Steps beyond 24 levels count as 24, so that edges of things do not decide. All eight places of the grid are tried.
    """
    import cv2

    if min(grey.shape) < 40:
        return float("nan")
    if grey.size > 256 * 256:  # half of it will do: the middle, from a place that keeps the grid
        grey = grey[grey.shape[0] // 4 : grey.shape[0] // 4 * 3]
    found = []
    for axis in (0, 1):
        first = grey[1:] if axis else grey[:, 1:]
        second = grey[:-1] if axis else grey[:, :-1]
        steps = cv2.min(cv2.absdiff(first, second), 24)
        line = cv2.reduce(steps, 1 if axis else 0, cv2.REDUCE_SUM, dtype=cv2.CV_32S).ravel().astype(np.float64)
        line = line[: len(line) // 8 * 8].reshape(-1, 8).mean(axis=0) / (grey.shape[1] if axis else grey.shape[0])
        best = int(np.argmax(line))
        others = (line.sum() - line[best]) / 7
        found.append(line[best] - others)
    return float(np.mean(found))


def unevenness(grey: np.ndarray) -> float:
    """See the check `uneven_light`; a small version of the picture will do."""
    import cv2

    coarse = cv2.resize(grey, (_SURFACE, _SURFACE), interpolation=cv2.INTER_AREA).ravel().astype(np.float64)
    spread = coarse.var()
    if spread < 1e-9:
        return 0.0
    surface, solve = _surface()
    fitted = surface @ (solve @ coarse)
    explained = max(0.0, 1 - (coarse - fitted).var() / spread)
    return float(100 * np.ptp(fitted) / 255 * explained)


_SURFACE = 16


@lru_cache(maxsize=1)
def _surface() -> tuple[np.ndarray, np.ndarray]:
    y, x = (axis.ravel() for axis in np.mgrid[-1 : 1 : _SURFACE * 1j, -1 : 1 : _SURFACE * 1j])
    surface = np.stack([np.ones_like(x), x, y, x * y, x * x, y * y], axis=1)
    return surface, np.linalg.pinv(surface)


def marks(pixels: np.ndarray, small: np.ndarray, orientation: int) -> dict[str, object]:
    """What near duplicates are found by: the perceptual hash of a small grey picture, and a coarse grid of colours."""
    import cv2
    from PIL import Image

    step = max(1, min(pixels.shape[:2]) // 32)
    grid = cv2.resize(np.ascontiguousarray(pixels[::step, ::step]), (GRID, GRID), interpolation=cv2.INTER_AREA)
    grid = grid if grid.ndim == 3 else np.repeat(grid[..., None], 3, axis=2)
    if orientation != 1:
        small = np.ascontiguousarray(orient(small[..., None], orientation)[..., 0])
        grid = np.ascontiguousarray(orient(grid, orientation))
    return {"hash": perceptual_hash(Image.fromarray(small)), "grid": grid.tobytes()}


def perceptual_hash(image: Image.Image) -> int:
    """pHash of a grey Pillow image as 64 bits, equal to `imagehash.phash` with only the coefficients that it keeps."""
    from PIL import Image

    pixels = np.asarray(image.resize((_HASH_SIDE, _HASH_SIDE), Image.Resampling.LANCZOS), np.float64)
    cosines = _cosines()
    low = cosines @ pixels @ cosines.T
    bits = (low > np.median(low)).ravel()
    return int.from_bytes(np.packbits(bits).tobytes())


@lru_cache(maxsize=1)
def _cosines() -> np.ndarray:
    place, frequency = np.arange(_HASH_SIDE), np.arange(_HASH_LOW)
    return 2 * np.cos(np.pi * frequency[:, None] * (2 * place + 1) / (2 * _HASH_SIDE))


def measure_chunk(entries: Sequence[tuple[int, int, Item]], cache_file: Path | None = None) -> list[dict[str, object]]:
    """The rows of many pictures: (number, modified, item) each. Runs wherever Dask sends it.

    Args:
        entries: What to measure.
        cache_file: File of earlier measurements on this machine, or None.
    """
    import cv2

    # Dask's threads share the cores; OpenCV's own would only fight with them.
    if cv2.getNumThreads() != 1:
        cv2.setNumThreads(1)
    with closing(Cache(cache_file, RECIPE, VALUES, read_only=True)) as cache:
        return [measure(item, number, modified, cache=cache) for number, modified, item in entries]
