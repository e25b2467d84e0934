"""What the head of a Parquet file, or of an array in a `.npz`, says about the pictures in it."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from deconv_core.archives import shown
from deconv_core.errors import DeconvError

if TYPE_CHECKING:
    import pyarrow

PARQUET_ROWS = 16  # rows held at once
PARQUET_BUFFER = 2**20  # bytes of a column read ahead; without it a whole row group would be held
# What reading an array of a damaged `.npz` raises.
DAMAGED_NPZ = (OSError, ValueError, EOFError, NotImplementedError, zipfile.BadZipFile, zlib.error)

_PARQUET_NAMES = ("file_name", "filename", "path", "name", "key", "__key__", "id")


def parquet_columns(path: Path, schema: pyarrow.Schema) -> tuple[str, str | None]:
    """The column with the pictures, and the one with their names."""
    import pyarrow.types as types

    def holds_pictures(kind) -> bool:
        if types.is_struct(kind):
            return any(part.name == "bytes" and holds_pictures(part.type) for part in kind)
        return types.is_binary(kind) or types.is_large_binary(kind) or types.is_fixed_size_binary(kind)

    found = [entry.name for entry in schema if holds_pictures(entry.type)]
    if not found:
        raise DeconvError(
            f"'{shown(path.name)}' has the columns {shown(', '.join(schema.names))}; expected one with image bytes "
            "(binary, or a struct of bytes and path as Hugging Face writes it)."
        )
    texts = {entry.name for entry in schema if types.is_string(entry.type) or types.is_large_string(entry.type)}
    column = next((name for name in ("image", "img", "picture") if name in found), found[0])
    return column, next((name for name in _PARQUET_NAMES if name in texts), None)


def parquet_bytes(value: pyarrow.Scalar) -> bytes | None:
    """The bytes of a picture, as they are or in a struct of bytes and path; None where there are none."""
    import pyarrow

    if isinstance(value, pyarrow.StructScalar):
        value = value["bytes"] if value.is_valid else None
    return None if value is None else value.as_py()


def parquet_path(value: pyarrow.Scalar) -> str:
    """What a struct of bytes and path says as the path; "" where it says nothing."""
    import pyarrow

    is_struct = isinstance(value, pyarrow.StructScalar) and value.is_valid
    return parquet_text(value["path"]) if is_struct and "path" in value else ""


def parquet_text(value: pyarrow.Scalar | None) -> str:
    """A text; bytes that are no UTF-8 are written out, as no table, page or file could hold them."""
    import pyarrow

    if not isinstance(value, pyarrow.StringScalar | pyarrow.LargeStringScalar) or not value.is_valid:
        return ""
    return value.as_buffer().to_pybytes().decode("utf-8", "backslashreplace")


def npy_shape(path: Path, key: str, file: BinaryIO, size: int) -> tuple[int, int, int, int]:
    """(N, H, W, C) as the header of the array states it; the file stands at the first picture afterwards."""
    from numpy.lib import format as npy

    version = npy.read_magic(file)
    header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, fortran, dtype = header(file)
    good = dtype == np.uint8 and len(shape) in (3, 4) and not fortran and (len(shape) == 3 or shape[3] in (1, 3))
    if not good:
        raise DeconvError(
            f"'{shown(path.name)}' holds {dtype} arrays of shape {shape}{' in Fortran order' if fortran else ''}; "
            "expected uint8 (N, H, W), (N, H, W, 1) or (N, H, W, 3)."
        )
    shape = (*shape, 1) if len(shape) == 3 else shape
    length = int(np.prod(shape[1:], dtype=object))
    if not length or length * shape[0] > size:
        raise DeconvError(f"'{shown(path.name)}' states {key} of shape {shape}, which is more than it holds.")
    return shape
