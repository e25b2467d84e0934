"""Read, check and convert pictures: the one loader that pages, commands, training and audits share.

Every picture becomes float32 in [0, 1], scaled by the type stored in the file and never by its content, so a dark
picture stays dark. What was decided on the way (orientation, transparency, first frame) is told in `Picture.notes`.
"""

from __future__ import annotations

import hashlib
import io
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NoReturn

import numpy as np

from deconv_core.errors import ImageError

if TYPE_CHECKING:
    from PIL.ImageFile import ImageFile

LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601, the weights of JPEG and of most published grey metrics
FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF")
BACKGROUNDS = {"white": 1.0, "black": 0.0}
MAX_PIXELS = 100_000_000

SUFFIXES = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".webp": "WEBP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".bmp": "BMP",
    ".gif": "GIF",
}
_ORIENTATION = 0x0112
_BITS, _PHOTOMETRIC, _PLANAR, _EXTRA_SAMPLES, _SAMPLE_FORMAT = 258, 262, 284, 338, 339
# No picture needs more: four 16-bit channels, and room for colour profiles and thumbnails.
_BYTES_PER_PIXEL, _SPARE_BYTES = 8, 64 * 2**20


@dataclass(frozen=True)
class Picture:
    """A decoded picture and what is worth knowing about its file.

    Attributes:
        pixels: float32, shape (H, W, C), values in [0, 1]; C is 1 (grey) or 3 (RGB).
        name: The file's name without its folder.
        digest: SHA-256 of the file's bytes, hexadecimal.
        format: One of FORMATS, found from the content.
        bit_depth: Bits per channel in the file.
        mode: Colour mode in the file as Pillow names it ("RGB", "P", "CMYK", "I;16", ...).
        notes: One plain sentence for each decision taken while reading.
    """

    pixels: np.ndarray
    name: str
    digest: str
    format: str
    bit_depth: int
    mode: str
    notes: tuple[str, ...] = ()


def read_image(
    source: str | Path | bytes | BinaryIO,
    *,
    name: str | None = None,
    channels: int | None = None,
    background: str = "white",
    max_pixels: int = MAX_PIXELS,
) -> Picture:
    """Read one picture from a path, from bytes or from an open binary file.

    Orientation flags are applied, transparency is composited on `background`, palettes and CMYK become RGB, and of
    several frames or pages the first is read. Embedded colour profiles are not applied: values are read as sRGB.

    Args:
        source: Path, the file's bytes, or an open binary file (read from its beginning where it can seek).
        name: Name for messages and tables; by default the file's own name, without its folder.
        channels: 1 for luma, 3 for RGB, None to keep grey files grey and coloured files coloured.
        background: "white" or "black", shown where the picture is transparent.
        max_pixels: Largest height times width, checked in the file's header before anything is decoded.

    Returns:
        A `Picture` with float32 pixels of shape (H, W, C) in [0, 1].

    Raises:
        ImageError: The file is missing, empty, cut short, too large, or not a picture of a known format.
    """
    if background not in BACKGROUNDS:
        raise ImageError(f"background {background!r} is not known; choose one of {', '.join(BACKGROUNDS)}.")
    if channels not in (None, 1, 3):
        raise ImageError(f"channels={channels!r} is not known; choose 1 (grey), 3 (RGB) or None (as in the file).")
    data, name = _read_bytes(source, name, max_pixels)
    shown = "".join(letter if letter.isprintable() else "?" for letter in name)
    if not data:
        raise ImageError(f"{shown} is empty (0 bytes); a picture was expected, so copy or export the file again.")

    image, kind = _open(data, shown, max_pixels)
    notes = []
    claimed = SUFFIXES.get(Path(name).suffix.lower())
    if claimed not in (None, kind):
        notes.append(f"The file's name says {claimed}, its content is {kind}; read as {kind}.")
    mode, bits = image.mode, _bit_depth(image, kind, data)
    if mode in ("I", "F"):
        raise ImageError(
            f"{shown} holds {'floating-point' if mode == 'F' else '32-bit or signed'} values, whose white is not "
            "stated in the file; 8 or 16 bits per channel were expected, so export it again as such."
        )
    # Everything a decoder may throw at a broken file is translated at this border; the cause is kept.
    try:
        if _has_more_frames(image):
            notes.append("Only the first frame or page is read.")
        orientation = _orientation(image, kind, notes)
        _note_profile(image, notes)
        if bits == 16 and mode not in ("I;16", "I;16B", "I;16L"):
            values, alpha = _decode_wide_colour(data, image, kind, shown)
        else:
            values, alpha = _decode_by_pillow(image, kind, bits, notes)
    except ImageError:
        raise
    except Exception as error:
        _refuse_broken(shown, kind, error)

    if orientation != 1:
        values = orient(values, orientation)
        alpha = None if alpha is None else orient(alpha, orientation)
    if bits > 8:
        notes.append(f"{bits} bits per channel, kept in full and scaled by {2**bits - 1}.")
    pixels = _composite(values, alpha, background, notes)
    if channels is not None and pixels.shape[-1] != channels:
        notes.append("Colour reduced to luma." if channels == 1 else "Grey repeated in three channels.")
        pixels = to_channels(pixels, channels)
    digest = hashlib.sha256(data).hexdigest()
    return Picture(np.ascontiguousarray(pixels), name, digest, kind, bits, mode, tuple(notes))


@dataclass(frozen=True)
class Header:
    """What a picture's header says, before anything is decoded.

    Attributes:
        format, bits, mode: As in `Picture`.
        width, height: As stored, not turned by the orientation flag.
        flag: EXIF orientation, 1 (upright) to 8.
        orientation: The part of `flag` that is still to be applied by `orient` to pixels from `load`.
        has_transparency: Whether a transparent colour is stated; modes with an alpha channel say so themselves.
    """

    format: str
    mode: str
    bits: int
    width: int
    height: int
    flag: int
    orientation: int
    has_transparency: bool
    image: ImageFile

    def load(self) -> np.ndarray:
        """Decode the picture as Pillow stores it, uint8 for 8-bit modes; (H, W) or (H, W, channels).

        Raises:
            ImageError: It is damaged or cut short.
        """
        try:
            self.image.load()
            return np.asarray(self.image)
        except Exception as error:  # any decoder error: translated here, the cause kept
            _refuse_broken("The picture", self.format, error)


def open_header(data: bytes, *, name: str = "image", max_pixels: int = MAX_PIXELS) -> Header:
    """Read a picture's header alone; for whoever needs its 8-bit values faster than `read_image` gives floats.

    Raises:
        ImageError: As `read_image`, for all that the header can tell.
    """
    shown = "".join(letter if letter.isprintable() else "?" for letter in name)
    if not data:
        raise ImageError(f"{shown} is empty (0 bytes); a picture was expected, so copy or export the file again.")
    image, kind = _open(data, shown, max_pixels)
    flag = _orientation_flag(image, kind)
    left = 1 if kind == "TIFF" else flag  # Pillow and OpenCV both turn TIFF pictures themselves
    transparent = image.info.get("transparency") is not None
    bits = _bit_depth(image, kind, data)
    return Header(kind, image.mode, bits, *image.size, flag, left, transparent, image)


def to_channels(pixels: np.ndarray, channels: int) -> np.ndarray:
    """Return pixels with 1 (luma, BT.601) or 3 (grey repeated) channels on the last axis; unchanged where they fit.

    Args:
        pixels: Array of any rank whose last axis has length 1 or 3.
        channels: 1 or 3.

    Returns:
        Array of the same rank and float type; the input itself when nothing is to do.

    Raises:
        ImageError: The last axis or `channels` is neither 1 nor 3.

    Example:
        >>> to_channels(np.ones((2, 2, 1), np.float32), 3).shape
        (2, 2, 3)
    """
    pixels = np.asarray(pixels)
    if channels not in (1, 3) or pixels.ndim == 0 or pixels.shape[-1] not in (1, 3):
        raise ImageError(
            f"Cannot bring pixels of shape {pixels.shape} to {channels!r} channels; expected 1 or 3 on the last axis."
        )
    if pixels.shape[-1] == channels:
        return pixels
    if channels == 3:
        return np.repeat(pixels, 3, axis=-1)
    weights = np.asarray(LUMA, pixels.dtype if pixels.dtype.kind == "f" else np.float64)
    # The weights add up to 1 only within rounding, so white could end a hair above it.
    return np.minimum(pixels @ weights[:, None], pixels.max(axis=-1, keepdims=True))


def to_uint8(pixels: np.ndarray) -> np.ndarray:
    """Round values in [0, 1] to the nearest of 256 steps; values outside are clipped.

    Example:
        >>> to_uint8(np.array([0.0, 0.5, 1.2])).tolist()
        [0, 128, 255]
    """
    scaled = np.multiply(pixels, 255.0, dtype=np.float32)
    np.rint(scaled, out=scaled)
    return np.clip(scaled, 0, 255, out=scaled).astype(np.uint8)


def crop_centre(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """The middle of a picture (H, W, C), at most `height` x `width`; a view."""
    top, left = max(0, (pixels.shape[0] - height) // 2), max(0, (pixels.shape[1] - width) // 2)
    return pixels[top : top + height, left : left + width]


def resize_bicubic(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resize a picture (H, W, C) as Pillow does, bicubic with antialiasing; float32, may pass [0, 1] beside edges."""
    from PIL import Image

    planes = [Image.fromarray(np.ascontiguousarray(plane, np.float32)) for plane in np.moveaxis(pixels, 2, 0)]
    resized = [np.asarray(plane.resize((width, height), Image.Resampling.BICUBIC)) for plane in planes]
    return np.stack(resized, axis=2)


def encode_png(pixels: np.ndarray) -> bytes:
    """Encode pixels of shape (H, W), (H, W, 1) or (H, W, 3) in [0, 1] as an 8-bit PNG; quick rather than small.

    Raises:
        ImageError: The shape is not that of one picture.
    """
    import cv2

    # Run lengths alone are quicker than looking for repeats, which photographs hardly have, and no larger.
    options = [cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE]
    return _encode(pixels, ".png", options)


def encode_webp(pixels: np.ndarray, quality: int = 85) -> bytes:
    """Encode pixels as `encode_png` takes them as a lossy WebP (quality 1 to 100): for thumbnails, never for scores."""
    import cv2

    return _encode(pixels, ".webp", [cv2.IMWRITE_WEBP_QUALITY, quality])


def _encode(pixels: np.ndarray, extension: str, options: list[int]) -> bytes:
    import cv2

    kind = extension[1:].upper()
    if pixels.ndim not in (2, 3) or (pixels.ndim == 3 and pixels.shape[-1] not in (1, 3)) or 0 in pixels.shape:
        raise ImageError(f"A {kind} needs one picture of shape (H, W, 1) or (H, W, 3); got {pixels.shape}.")
    values = to_uint8(pixels)
    if values.ndim == 3 and values.shape[-1] == 3:
        values = values[..., ::-1]  # OpenCV keeps blue first
    done, encoded = cv2.imencode(extension, np.ascontiguousarray(values), options)
    if not done:
        raise ImageError(f"A picture of shape {pixels.shape} could not be written as {kind}; make it smaller.")
    return encoded.tobytes()


def _read_bytes(source: str | Path | bytes | BinaryIO, name: str | None, max_pixels: int) -> tuple[bytes, str]:
    if isinstance(source, bytes | bytearray | memoryview):
        return bytes(source), name or "image"
    if isinstance(source, str | Path):
        path = Path(source)
        name = name or path.name
        try:
            size = path.stat().st_size
            if path.is_file() and size > max_pixels * _BYTES_PER_PIXEL + _SPARE_BYTES:
                raise ImageError(
                    f"{name} is a file of {size / 2**20:.0f} MiB, more than any picture of "
                    f"{max_pixels / 1e6:g} megapixels needs; make it smaller."
                )
            return path.read_bytes(), name
        except FileNotFoundError as error:
            raise ImageError(f"{name} was not found; check the path.") from error
        except IsADirectoryError as error:
            raise ImageError(f"{name} is a folder; the path of one picture was expected.") from error
        except (OSError, ValueError) as error:  # ValueError: a zero byte inside the path
            if isinstance(error, ImageError):
                raise
            reason = getattr(error, "strerror", None) or "not a path"
            raise ImageError(f"{name!r} cannot be read ({reason}); check the path and its permissions.") from error
    if name is None:
        name = Path(str(getattr(source, "name", "") or "image")).name
    if source.seekable():
        source.seek(0)
    return source.read(), name


def _open(data: bytes, shown: str, max_pixels: int) -> tuple[ImageFile, str]:
    """Read the header only, and refuse what is no picture or too large."""
    # The formats' own readers are called rather than Image.open, whose pixel limit is a setting of the whole process.
    from PIL import (  # noqa: F401 - importing a plugin registers its format
        BmpImagePlugin,
        GifImagePlugin,
        Image,
        JpegImagePlugin,
        PngImagePlugin,
        TiffImagePlugin,
        WebPImagePlugin,
    )

    for kind in FORMATS:
        reader, accepts = Image.OPEN[kind]
        if accepts is None or accepts(data[:16]) is not True:
            continue
        try:
            image = reader(io.BytesIO(data), "")
        except Image.DecompressionBombError as error:
            raise ImageError(
                f"{shown} states a size beyond {max_pixels / 1e6:g} megapixels; make the picture smaller."
            ) from error
        except Exception as error:  # any decoder error: translated here, the cause kept
            _refuse_broken(shown, kind, error)
        width, height = image.size
        if width * height > max_pixels:
            raise ImageError(
                f"{shown} has {width} × {height} pixels ({width * height / 1e6:.1f} megapixels), more than the "
                f"{max_pixels / 1e6:g} megapixels allowed; make it smaller."
            )
        return image, kind
    raise ImageError(
        f"{shown} is not a picture in a known format; expected PNG, JPEG, WebP, TIFF, BMP or GIF, "
        "so export it as one of these."
    )


def _refuse_broken(shown: str, kind: str, error: Exception) -> NoReturn:
    if isinstance(error, MemoryError):
        raise ImageError(f"{shown} does not fit into memory; make the picture smaller.") from error
    reason = (str(error).splitlines() or [""])[0].strip(" .")[:100]
    raise ImageError(
        f"{shown} begins like a {kind} picture but is damaged or cut short"
        f"{f' ({reason})' if reason else ''}; copy or export the file again."
    ) from error


def _bit_depth(image: ImageFile, kind: str, data: bytes) -> int:
    if kind == "PNG":
        return data[24]  # the header chunk comes first: 8 bytes signature, 8 chunk head, 4 width, 4 height
    if kind == "TIFF":
        return max(image.tag_v2.get(_BITS, (1,)))
    return 1 if image.mode == "1" else 8


def _has_more_frames(image: ImageFile) -> bool:
    try:
        return bool(getattr(image, "is_animated", False))
    except Exception:  # a second frame that is broken is still one that is not read
        return True


def _orientation(image: ImageFile, kind: str, notes: list[str]) -> int:
    """The EXIF orientation that is still to be applied, 1 where there is none."""
    flag = _orientation_flag(image, kind, notes)
    if flag == 1:
        return 1
    notes.append(f"Orientation flag {flag} applied.")
    return 1 if kind == "TIFF" else flag  # Pillow and OpenCV both turn TIFF pictures themselves


def _orientation_flag(image: ImageFile, kind: str, notes: list[str] | None = None) -> int:
    try:
        flag = image.tag_v2.get(_ORIENTATION, 1) if kind == "TIFF" else image.getexif().get(_ORIENTATION, 1)
    except Exception:
        # A damaged EXIF block is common in otherwise good files; the pixels do not depend on it.
        if notes is not None:
            notes.append("The EXIF block is damaged; orientation taken as upright.")
        return 1
    return int(flag) if flag in range(2, 9) else 1


def _note_profile(image: ImageFile, notes: list[str]) -> None:
    profile = image.info.get("icc_profile") or b""
    if profile and b"sRGB" not in profile and "sRGB".encode("utf-16-be") not in profile:
        notes.append("The embedded colour profile is not sRGB and is not applied.")


def _decode_wide_colour(data: bytes, image: ImageFile, kind: str, shown: str) -> tuple[np.ndarray, np.ndarray | None]:
    """16-bit pictures with more than one channel, which Pillow would cut to 8 bits."""
    import cv2

    image.load()  # OpenCV passes over missing or damaged parts in silence, Pillow does not
    premultiplied = opaque = False
    if kind == "TIFF":
        tags = image.tag_v2
        if tags.get(_PLANAR, 1) != 1 or tags.get(_PHOTOMETRIC) != 2 or set(tags.get(_SAMPLE_FORMAT, (1,))) != {1}:
            raise ImageError(
                f"{shown} is a 16-bit TIFF whose channels are not interleaved RGB; "
                "export it as RGB with interleaved channels, or as PNG."
            )
        extra = tags.get(_EXTRA_SAMPLES, (2,))[0]
        premultiplied, opaque = extra == 1, extra == 0
    values = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if values is None or values.dtype != np.uint16 or values.ndim != 3:
        raise ImageError(
            f"{shown} is a damaged or unusual 16-bit {kind}; copy the file again, or export it as 16-bit RGB PNG."
        )
    alpha = None
    if values.shape[-1] == 4 and not opaque:
        alpha = _unit(values[..., 3:], 65535)
    grey = kind == "PNG" and data[25] == 4
    colours = _unit(values[..., :1] if grey else values[..., 2::-1], 65535)
    if premultiplied:
        colours = np.divide(colours, alpha, out=np.zeros_like(colours), where=alpha > 0)
        np.minimum(colours, 1.0, out=colours)
    return colours, alpha


def _decode_by_pillow(image: ImageFile, kind: str, bits: int, notes: list[str]) -> tuple[np.ndarray, np.ndarray | None]:
    image.load()
    mode = image.mode
    transparency = image.info.get("transparency")
    if mode.startswith("I;16"):
        values = np.asarray(image)[..., None]
        alpha = None
        if isinstance(transparency, int):
            alpha = (values != transparency).astype(np.float32)
        values = _unit(values, 2**bits - 1)
        # Pillow turns white-is-zero round for 8 bits but not for 16.
        if kind == "TIFF" and image.tag_v2.get(_PHOTOMETRIC) == 0:
            values = 1.0 - values
        return values, alpha
    if mode in ("1", "L"):
        values = np.asarray(image.convert("L"))[..., None]
        alpha = None
        if isinstance(transparency, int):
            # The transparent grey is stated in the file's own few bits, the pixels are spread over 8 already.
            steps = 255 // (2**bits - 1) if kind == "PNG" else 1
            alpha = (values != transparency * steps).astype(np.float32)
        return _unit(values, 255), alpha
    if mode in ("LA", "La"):
        values = np.asarray(image.convert("LA"))
        return _unit(values[..., :1], 255), _unit(values[..., 1:], 255)
    if mode in ("RGBA", "RGBa", "PA") or transparency is not None:
        values = np.asarray(image.convert("RGBA"))
        return _unit(values[..., :3], 255), _unit(values[..., 3:], 255)
    if mode == "CMYK":
        notes.append("Converted from CMYK to RGB without a colour profile.")
    elif mode == "LAB":
        notes.append("Converted from CIELAB to sRGB.")
        return _unit(_lab_to_rgb(image), 255), None
    return _unit(np.asarray(image if mode == "RGB" else image.convert("RGB")), 255), None


def _lab_to_rgb(image: ImageFile) -> np.ndarray:
    from PIL import ImageCms

    transform = ImageCms.buildTransform(ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB"), "LAB", "RGB")
    return np.asarray(ImageCms.applyTransform(image, transform))


def _unit(values: np.ndarray, white: int) -> np.ndarray:
    """Divide by white in float32: the correctly rounded k/white, which a product with 1/white is not."""
    return np.divide(values, np.float32(white), dtype=np.float32)


def orient(values: np.ndarray, flag: int) -> np.ndarray:
    """Undo an EXIF orientation flag (1 to 8) on an array of shape (H, W) or (H, W, C)."""
    if flag >= 5:
        values = values.swapaxes(0, 1)
    if flag in (3, 4, 7, 8):
        values = values[::-1]
    if flag in (2, 3, 6, 7):
        values = values[:, ::-1]
    return values


def _composite(values: np.ndarray, alpha: np.ndarray | None, background: str, notes: list[str]) -> np.ndarray:
    if alpha is None:
        return values
    if math.isclose(float(alpha.min()), 1.0):
        notes.append("The transparency channel is opaque everywhere and was left out.")
        return values
    notes.append(f"Transparency composited on {background}.")
    # Written so that opaque pixels keep their exact value.
    return np.clip(values * alpha + np.float32(BACKGROUNDS[background]) * (1 - alpha), 0.0, 1.0)
