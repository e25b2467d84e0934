"""What is measured on one picture, quickly: its file, and by `pixels` what its pixels tell.

A picture is decoded once. Plain JPEG goes through simplejpeg, which is the quickest and refuses whatever is not in
order; everything else goes through Pillow or, where bits, transparency or colour modes need care, through
`images.read_image`. The pixels are those that `read_image` gives, rounded to 8 bits.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from deconv_core.audit.cache import Cache
from deconv_core.audit.pixels import Look, conclude, look
from deconv_core.errors import ImageError
from deconv_core.images import MAX_PIXELS, SUFFIXES, open_header, orient, read_image, to_uint8
from deconv_core.memory import keep_freed_memory
from deconv_core.places import Item

VERSION = 3  # raised with every change of what is measured
RECIPE = f"measured {VERSION}"

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
    if data[:3] == _JPEG and (pixels := _decode_jpeg(data)) is not None:
        # Where no word of it stands in the file, nothing can ask for another orientation.
        flag = open_header(data, name=name).flag if b"Exif" in data or b"rientation" in data else 1
        return Decoded(pixels, "JPEG", "L" if pixels.ndim == 2 else "RGB", 8, flag, flag)
    header = open_header(data, name=name)
    plain = header.bits == 8 and header.mode in ("L", "RGB") and not header.has_transparency
    if plain and header.format != "TIFF":
        pixels = header.load()
        return Decoded(pixels, header.format, header.mode, 8, header.orientation, header.flag)
    picture = read_image(data, name=name)
    pixels = to_uint8(picture.pixels)
    pixels = pixels[..., 0] if pixels.shape[2] == 1 else pixels
    return Decoded(np.ascontiguousarray(pixels), picture.format, picture.mode, picture.bit_depth, 1, header.flag)


def upright(decoded: Decoded) -> np.ndarray:
    """The pixels, shape (H, W, 1 or 3), turned as the orientation flag asks."""
    pixels = decoded.pixels
    return orient(pixels if pixels.ndim == 3 else pixels[..., None], decoded.orientation)


def _decode_jpeg(data: bytes) -> np.ndarray | None:
    """A grey or colour JPEG that is whole in every respect; None for any other, at which Pillow has to look."""
    from simplejpeg import decode_jpeg, decode_jpeg_header

    try:
        height, width, colours, _ = decode_jpeg_header(data)
        if colours not in _COLOURS or height * width > MAX_PIXELS:
            return None
        pixels = decode_jpeg(data, _COLOURS[colours])
    except (ValueError, MemoryError):
        return None
    return pixels if colours != "Gray" else pixels[..., 0]


_JPEG = b"\xff\xd8\xff"
_COLOURS = {"Gray": "GRAY", "YCbCr": "RGB"}


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
        "place": item.place(),
        **dict.fromkeys(VALUES, np.nan),
    }


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
    stem, _, ending = name.rpartition("/")[2].rpartition(".")
    claimed = SUFFIXES.get(f".{ending.lower()}") if stem else None
    return float(claimed is not None and claimed != format)


def measure_chunk(entries: Sequence[tuple[int, int, Item]], cache_file: Path | None = None) -> list[dict[str, object]]:
    """The rows of many pictures, with the facts of FACTS and the numbers of VALUES. Runs wherever Dask sends it.

    Whatever is wrong with a picture becomes a row as well. A row whose content was measured before, under whatever
    name, is marked `reused`.

    Args:
        entries: What to measure: (number in the source, time of change in nanoseconds since 1970 or 0, item) each.
        cache_file: File of earlier measurements on this machine, or None.
    """
    import cv2

    # Dask's threads share the cores; OpenCV's own would only fight with them.
    if cv2.getNumThreads() != 1:
        cv2.setNumThreads(1)
    keep_freed_memory()
    rows = [blank_row(item, number, modified) for number, modified, item in entries]
    contents: list[bytes | None] = []
    for row, (_, _, item) in zip(rows, entries, strict=True):
        contents.append(_tried(row, _read, row, item))
    with closing(Cache(cache_file, RECIPE, VALUES, read_only=True)) as cache:
        known = cache.find_contents([row["digest"] for row in rows if row["digest"]])
    seen: list[tuple[dict[str, object], dict[str, object]]] = []
    looks: list[Look] = []
    for place, (row, (_, _, item)) in enumerate(zip(rows, entries, strict=True)):
        data, contents[place] = contents[place], None
        if data is None:
            continue
        found = known.get(row["digest"])
        if found is not None:
            row |= {name: found[name] for name in row if name in found}
            row |= {"wrong_extension": wrong_extension(item.name, found["format"]), "reused": True}
            continue
        looked = _tried(row, _look, item, data)
        if looked is not None:
            seen.append((row, looked[0]))
            looks.append(looked[1])
    for (row, facts), numbers in zip(seen, conclude(looks), strict=True):
        row |= {"status": "ok", **facts, **numbers}
    return rows


def _tried(row: dict[str, object], work: Callable, *arguments: object):
    """What the work gives, or None with the reason in the row: one picture never ends an audit."""
    try:
        return work(*arguments)
    except ImageError as error:
        row["reason"] = str(error)
    except Exception as error:
        row["reason"] = f"It could not be measured ({type(error).__name__}: {str(error)[:150]})."
    return None


def _read(row: dict[str, object], item: Item) -> bytes:
    data = item.content()
    row["bytes"] = item.size if item.size is not None else len(data)
    row["digest"] = digest_of(item, data)
    return data


def digest_of(item: Item, data: bytes) -> str:
    """SHA-256 of the content that an item gave, as `Item.digest`; the PNG file of an array is not its content."""
    return item.digest() if isinstance(item.origin, np.ndarray) else hashlib.sha256(data).hexdigest()


def _look(item: Item, data: bytes) -> tuple[dict[str, object], Look]:
    decoded = decode(data, PurePosixPath(item.name).name)
    return describe(decoded, item.name), look(decoded.pixels, decoded.orientation)
