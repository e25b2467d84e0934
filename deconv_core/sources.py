"""Where pictures come from: a SOURCE named in one word or path becomes a sequence of named pictures.

A SOURCE is a folder, a CSV with an image column, a `.npz` with `x_train`, or a name (`samples`, `digits`).
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path

import numpy as np

from deconv_core.errors import DeconvError, ImageError

EXTENSIONS = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp", ".gif")
NAMES = ("samples", "digits")
_IMAGE_COLUMNS = ("image", "file", "filename", "file_name", "path", "name")


@dataclass
class PictureSet:
    """Pictures read into memory as 8-bit arrays, with what was found on the way.

    Attributes:
        pictures: uint8 arrays (H, W, channels), sizes may differ.
        names: One per picture.
        held_out: Pictures that the source itself keeps for testing (`x_test` of a `.npz`), or none.
        rejected: (name, reason) of every file that could not be read.
        digest: SHA-256 over the names and contents that were read, so the same set gives the same digest.
    """

    pictures: list[np.ndarray] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    held_out: list[np.ndarray] = field(default_factory=list)
    rejected: list[tuple[str, str]] = field(default_factory=list)
    digest: str = ""


def list_files(source: str | Path, include: str = "*") -> list[Path]:
    """The picture files of a folder (searched with its subfolders) or of a CSV's image column, sorted by name.

    Raises:
        DeconvError: Nothing is there, or the CSV has no image column.
    """
    path = Path(source)
    if path.is_dir():
        files = sorted(p for p in path.rglob("*") if p.suffix.lower() in EXTENSIONS and p.is_file())
    elif path.suffix.lower() == ".csv" and path.is_file():
        files = list(_csv_files(path))
    elif path.is_file():
        files = [path]
    else:
        raise DeconvError(
            f"'{source}' is neither a folder, a file nor one of {', '.join(NAMES)}. Give a folder of pictures, "
            "a CSV with an image column or a .npz with x_train."
        )
    files = [p for p in files if fnmatch(p.name, include)]
    if not files:
        raise DeconvError(
            f"'{source}' holds no picture named like '{include}'; expected {', '.join(EXTENSIONS)} files."
        )
    return files


def _csv_files(path: Path) -> Iterator[Path]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = csv.DictReader(file)
        fields = {name.strip().lower(): name for name in rows.fieldnames or ()}
        column = next((fields[name] for name in _IMAGE_COLUMNS if name in fields), None)
        if column is None:
            raise DeconvError(
                f"'{path.name}' has the columns {', '.join(fields) or '(none)'}; "
                f"expected one named {', '.join(_IMAGE_COLUMNS)}."
            )
        for row in rows:
            if row[column]:
                yield path.parent / row[column]


def read_pictures(source: str | Path, *, channels: int, include: str = "*", largest_side: int = 768) -> PictureSet:
    """Read a whole SOURCE into memory for training; a broken file becomes a row of `rejected`, never an exception.

    Args:
        source: See the module's docstring.
        channels: 1 or 3; pictures are converted.
        include: A file-name pattern such as `ss03_*.jpg`.
        largest_side: Longer sides are cropped to their centre, which bounds memory.

    Raises:
        DeconvError: The source does not exist or holds not one readable picture.
    """
    from deconv_core.images import read_image, to_channels, to_uint8

    found = PictureSet()
    digest = hashlib.sha256()
    if str(source) == "digits":
        from deconv_core.samples import digits

        drawn = to_uint8(to_channels(digits(10_000, seed=0), channels))
        found.pictures, found.held_out = list(drawn[:9_000]), list(drawn[9_000:])
        found.names = [f"digit_{number}" for number in range(9_000)]
        digest.update(drawn.tobytes())
    elif str(source) == "samples":
        from deconv_core.samples import SAMPLES, sample

        for key in SAMPLES:
            pixels = to_uint8(to_channels(sample(key).pixels, channels))
            found.pictures.append(pixels)
            found.names.append(key)
            digest.update(pixels.tobytes())
    elif str(source).endswith(".npz"):
        train, test = _read_npz(Path(source))
        convert = to_channels if channels == 3 else lambda pixels, _: pixels if pixels.shape[-1] == 1 else None
        found.pictures = [convert(picture, channels) for picture in train]
        found.held_out = [convert(picture, channels) for picture in test]
        found.names = [f"x_train[{number}]" for number in range(len(train))]
        digest.update(train.tobytes())
    else:
        for path in list_files(source, include):
            try:
                picture = read_image(path, channels=channels)
            except ImageError as error:
                found.rejected.append((path.name, str(error)))
                continue
            found.pictures.append(_centre(to_uint8(picture.pixels), largest_side))
            found.names.append(path.name)
            digest.update(picture.digest.encode())
    if not found.pictures:
        reasons = "; ".join(reason for _, reason in found.rejected[:3])
        raise DeconvError(f"None of the pictures of '{source}' could be read: {reasons}")
    found.digest = digest.hexdigest()
    return found


def _centre(pixels: np.ndarray, side: int) -> np.ndarray:
    top, left = (max(0, (size - side) // 2) for size in pixels.shape[:2])
    return np.ascontiguousarray(pixels[top : top + side, left : left + side])


def _read_npz(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """x_train and x_test (possibly empty) as uint8 (N, H, W, C)."""
    if not path.is_file():
        raise DeconvError(f"'{path}' does not exist; expected a .npz file with x_train.")
    try:
        with np.load(path, allow_pickle=False) as archive:
            if "x_train" not in archive:
                raise DeconvError(f"'{path.name}' holds {', '.join(archive.files)}; expected an array named x_train.")
            arrays = [archive[name] if name in archive else archive["x_train"][:0] for name in ("x_train", "x_test")]
    except (OSError, ValueError) as error:
        if isinstance(error, DeconvError):
            raise
        raise DeconvError(f"'{path.name}' is not a readable .npz file ({error}); save it with numpy.savez.") from error
    for array in arrays:
        if array.dtype != np.uint8 or array.ndim not in (3, 4):
            raise DeconvError(
                f"'{path.name}' holds {array.dtype} arrays of shape {array.shape}; "
                "expected uint8 (N, H, W) or (N, H, W, C)."
            )
    return tuple(array[..., None] if array.ndim == 3 else array for array in arrays)
