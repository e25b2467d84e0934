"""Where pictures come from: a SOURCE named in one word, path or address becomes a sequence of named pictures.

A SOURCE is a picture, a folder (with its subfolders), a zip or tar, a CSV with an image column, a Parquet file with
image bytes, a `.npz` with `x_train`, a name (`samples`, `digits`, and `mnist`, `fashion_mnist`, `cifar10`, which Keras
fetches), or an address (https, s3, gs, az, hf). A folder without pictures is read through the tar, Parquet and `.npz`
files in it. A name wins over a folder of that name; write `./samples` for the folder.

Pictures are read one by one and only when asked for, so memory does not grow with their number, and a broken one is an
`Item` whose reading fails, never the end of the rest.
"""

from __future__ import annotations

import csv
import hashlib
import heapq
import json
import os
import stat
import struct
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from fnmatch import fnmatchcase
from functools import lru_cache
from json.encoder import encode_basestring_ascii
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np

from deconv_core.archives import Limits, Member, clean_name, count_zip, is_archive, list_members, shown, too_large
from deconv_core.errors import DeconvError, ImageError

if TYPE_CHECKING:
    from deconv_core.images import Picture

EXTENSIONS = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp", ".gif")
NAMES = ("samples", "digits", "mnist", "fashion_mnist", "cifar10")
_NAMED_COUNTS = {"samples": 10, "digits": 10_000, "mnist": 70_000, "fashion_mnist": 70_000, "cifar10": 60_000}
FETCHED_NAMES = ("mnist", "fashion_mnist", "cifar10")
# Protocol of an address -> the package that fsspec needs for it.
PROTOCOLS = {"https": "aiohttp", "s3": "s3fs", "gs": "gcsfs", "az": "adlfs", "hf": "huggingface_hub"}
TRAINING_BYTES = 4 * 2**30
NUM_THUMBNAILS = 12
THUMBNAIL_SIDE = 96

_IMAGE_COLUMNS = ("image", "file", "filename", "file_name", "path", "name")
_PARQUET_NAMES = ("file_name", "filename", "path", "name", "key", "__key__", "id")
_SHARDS = (".tar", ".tar.gz", ".tgz", ".parquet", ".npz")
_PARQUET_ROWS = 16  # rows held at once
_PARQUET_BUFFER = 2**20  # bytes of a column read ahead; without it a whole row group would be held
_ROW_GROUP_BYTES = 4 * 2**30
_LISTED_PROBLEMS = 1000


@dataclass(frozen=True, eq=False)
class Item:
    """A picture that is there but not yet read; can be sent to another process that sees the same disk.

    Attributes:
        name: Its name within the source, with `/` between folders. Data from outside: escape it where it is shown.
        size: Bytes of the file as stored, None where it is not known without reading or is no file.
        held_out: True for what the source itself keeps for testing (`x_test`).
        refused: Why it cannot be read although it is there, or "".
        modified: When the file that is or holds it was changed, nanoseconds since 1970; 0 where that is not known.
        inside: For a picture that was read on the way, its place in the file that holds it.
    """

    name: str
    size: int | None = None
    held_out: bool = False
    refused: str = ""
    origin: Any = field(default=None, repr=False)
    limit: int = Limits.file_bytes
    modified: int = 0
    inside: Row | Entry | None = field(default=None, repr=False)

    def read(self, *, channels: int | None = None, background: str = "white") -> Picture:
        """Decode the picture; see `images.read_image`.

        Raises:
            ImageError: It was refused, is missing, damaged, too large or no picture.
        """
        from deconv_core.images import Picture, read_image, to_channels

        content = self._content()
        if isinstance(content, np.ndarray):
            pixels = np.divide(content, np.float32(255), dtype=np.float32)
            mode = "L" if pixels.shape[-1] == 1 else "RGB"
            if channels is not None:
                pixels = to_channels(pixels, channels)
            return Picture(pixels, self.name, _array_digest(content), "NPY", 8, mode)
        return read_image(content, name=PurePosixPath(self.name).name, channels=channels, background=background)

    def content(self) -> bytes:
        """The file's bytes; an array comes as a PNG.

        Raises:
            ImageError: It was refused, is missing, cannot be read or exceeds the limit for one file.
        """
        content = self._content()
        if isinstance(content, np.ndarray):
            from deconv_core.images import encode_png

            return encode_png(content / np.float32(255))
        return content

    def _content(self) -> bytes | np.ndarray:
        if self.refused:
            raise ImageError(self.refused)
        if isinstance(self.origin, bytes | np.ndarray):
            return self.origin
        if isinstance(self.origin, Member | _Remote | Row | Entry):
            return self.origin.read()
        try:
            with open(self.origin, "rb") as file:  # noqa: PTH123 - text, as folders give it, or a path
                size = os.fstat(file.fileno()).st_size
                if size > self.limit:
                    raise ImageError(too_large(self.name, size, self.limit))
                return file.read(size)
        except (OSError, ValueError) as error:  # ValueError: a zero byte inside the path
            if isinstance(error, ImageError):
                raise
            reason = getattr(error, "strerror", None) or "not a path"
            raise ImageError(f"{shown(self.name)} cannot be read ({reason}); check the path.") from error

    def digest(self) -> str:
        """SHA-256 of the content, hexadecimal: of the file's bytes, or of an array's shape and values."""
        content = self._content()
        return _array_digest(content) if isinstance(content, np.ndarray) else hashlib.sha256(content).hexdigest()

    def place(self) -> str:
        """Where `reopen` finds it again without reading the source from its start, as JSON; "" where it was refused.

        A list: the file, archive or address first, then what leads to the picture within it. A file of its own, and
        nothing else, has one element alone.
        """
        origin = self.inside or self.origin
        if self.refused:
            return ""
        if isinstance(origin, str | Path):
            return f"[{encode_basestring_ascii(str(origin))}]"  # json.dumps, ten times as fast
        if isinstance(origin, Member):
            member = [origin.size, origin.offset, origin.packed, origin.method, origin.crc]
            return json.dumps([str(origin.archive), *member])
        if isinstance(origin, Row):
            return json.dumps([str(origin.path), "row", origin.group, origin.row])
        if isinstance(origin, Entry):
            return json.dumps([str(origin.source), "array", origin.key, origin.index])
        return json.dumps([origin.address, "address"]) if isinstance(origin, _Remote) else ""


@dataclass(frozen=True)
class Row:
    """The place of a picture in a Parquet file: row group, and row within the group."""

    path: Path
    group: int
    row: int

    def read(self) -> bytes:
        """The bytes; only its row group is read, and not further than needed.

        Raises:
            ImageError: There is no such row any more.
        """
        import pyarrow
        from pyarrow import parquet

        try:
            with parquet.ParquetFile(self.path, buffer_size=_PARQUET_BUFFER) as file:
                column, _ = _parquet_columns(self.path, file.schema_arrow)
                left = self.row
                for batch in file.iter_batches(_PARQUET_ROWS, row_groups=[self.group], columns=[column]):
                    if left < len(batch):
                        value = batch.column(0)[left].as_py()
                        data = value.get("bytes") if isinstance(value, dict) else value
                        if data is not None:
                            return data
                        break
                    left -= len(batch)
        except (pyarrow.ArrowException, OSError, IndexError, DeconvError) as error:
            raise _gone(self.path) from error
        raise _gone(self.path)


@dataclass(frozen=True)
class Entry:
    """The place of a picture in an array of a `.npz`, or in a set known by name (`key` is then "")."""

    source: Path | str
    key: str
    index: int

    def read(self) -> np.ndarray:
        """The array (H, W, C), uint8.

        Raises:
            ImageError: There is no such entry any more.
        """
        try:
            if not self.key:
                return _named_array(str(self.source), self.index)
            with zipfile.ZipFile(self.source) as archive, archive.open(f"{self.key}.npy") as file:
                shape = _npy_shape(Path(self.source), self.key, file, archive.getinfo(f"{self.key}.npy").file_size)
                length = int(np.prod(shape[1:]))
                file.seek(self.index * length, os.SEEK_CUR)
                return np.frombuffer(file.read(length), np.uint8).reshape(shape[1:])
        except (OSError, ValueError, LookupError, EOFError, zipfile.BadZipFile, NotImplementedError) as error:
            raise _gone(Path(self.source)) from error


def _gone(path: Path) -> ImageError:
    return ImageError(f"{shown(path.name)} has changed since this picture was found in it; look through it again.")


def _array_digest(pixels: np.ndarray) -> str:
    return hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes()).hexdigest()


def reopen(place: str, name: str, *, roots: Sequence[Path] | None = None) -> Item:
    """The picture behind an `Item.place()`, to be read; nothing is opened yet.

    Args:
        place: As `Item.place()` gave it.
        name: The name of the picture.
        roots: Folders outside of which nothing is opened (see `page_roots`), None for the shell.

    Raises:
        ImageError: The place is none, or lies outside the roots.
    """
    try:
        source, *rest = json.loads(place)
        kind, *numbers = rest if rest and isinstance(rest[0], str) else ["member" if rest else "file", *rest]
        if kind == "address":
            open_address(source)
            return Item(name, origin=_Remote(source, name, Limits.file_bytes))
        if kind == "array" and source in NAMES:
            return Item(name, origin=Entry(source, *numbers))
        path = Path(source) if roots is None else check_inside_roots(source, roots)
        if kind == "row":
            return Item(name, origin=Row(path, *numbers))
        if kind == "array":
            return Item(name, origin=Entry(path, *numbers))
        if kind == "member":
            size, offset, packed, method, crc = numbers
            return Item(name, size, origin=Member(name, size, "", path, offset, packed, method, crc))
        if kind == "file":
            return Item(name, origin=path)
    except DeconvError as error:
        raise ImageError(str(error)) from error
    except (TypeError, ValueError):
        pass
    raise ImageError(f"Where {shown(name)} lies is not known; look through its source again.")


class Fingerprint:
    """The identity of a set of named contents, whatever the order in which they come.

    Example:
        >>> one, other = Fingerprint(), Fingerprint()
        >>> one.add("a", "00"); one.add("b", "01")
        >>> other.add("b", "01"); other.add("a", "00")
        >>> one.hexdigest() == other.hexdigest()
        True
    """

    def __init__(self) -> None:
        self._sum = self._count = 0

    def add(self, name: str, digest: str) -> None:
        """Take in one item; an item without readable content has the digest ""."""
        # A sum needs no list of all items, and unlike XOR it tells one copy from three.
        self._sum += int.from_bytes(hashlib.sha256(f"{name}\0{digest}".encode()).digest())
        self._count += 1

    def hexdigest(self) -> str:
        """64 hexadecimal digits."""
        return hashlib.sha256(f"{self._count} {self._sum % 2**256:x}".encode()).hexdigest()


# Walking through a source


def iterate(
    source: str | Path,
    *,
    include: str = "*",
    allowed_roots: Sequence[Path] | None = None,
    limits: Limits | None = None,
) -> Iterator[Item]:
    """The pictures of a SOURCE one after another, in an order that is the same every time.

    Args:
        source: See the module's docstring.
        include: File-name pattern such as `ss03_*.jpg`, held against the name with and without its folder.
        allowed_roots: Folders outside of which nothing is opened (see `allowed_roots()`), for requests that come
            through a page; None for the shell, where only links out of a folder are refused.
        limits: For archives and single files.

    Raises:
        DeconvError: At once: the source does not exist, lies outside the roots, or is of no known kind. On the way: an
            archive breaks a limit, or a table is damaged.
    """
    limits = limits or Limits()
    text = str(source)
    if text in NAMES:
        items = _named(text)
    elif "://" in text or "::" in text:
        items = _remote(text, limits)
    else:
        path = Path(source) if allowed_roots is None else check_inside_roots(source, allowed_roots)
        items = _local(path, _Roots(allowed_roots), limits)
    if include == "*":
        return items
    # A shard that cannot be read must not be passed over because it is not called like the pictures in it.
    return (item for item in items if _matches(item.name, include) or (item.refused and isinstance(item.origin, str)))


def _matches(name: str, include: str) -> bool:
    return include == "*" or fnmatchcase(name, include) or fnmatchcase(name.rpartition("/")[2], include)


def _is_picture(name: str) -> bool:
    return name.lower().endswith(EXTENSIONS) and not name.rpartition("/")[2].startswith("._")


def _is_shard(name: str) -> bool:
    return name.lower().endswith(_SHARDS)


def _local(path: Path, roots: _Roots, limits: Limits) -> Iterator[Item]:
    name = path.name.lower()
    if path.is_dir():
        return _folder_items(path, roots, limits)
    if not path.is_file():
        raise DeconvError(
            f"'{path}' is neither a folder, a file nor one of {', '.join(NAMES)}. Give a picture, a folder, a zip or "
            "tar, a CSV with an image column, a Parquet file with image bytes or a .npz with x_train."
        )
    if is_archive(name):
        return _archive_items(path, limits)
    if name.endswith(".csv"):
        return _csv_items(path, roots, limits)
    if name.endswith(".parquet"):
        return _parquet_items(path, roots, limits)
    if name.endswith(".npz"):
        return _npz_items(path, limits)
    if name.endswith(EXTENSIONS):
        return iter([_file_item(path, path.name, limits)])
    raise DeconvError(
        f"'{shown(path.name)}' is of no known kind; expected a picture ({', '.join(EXTENSIONS)}), .zip, .tar, .tar.gz, "
        ".csv, .parquet or .npz."
    )


def _file_item(path: str | Path, name: str, limits: Limits) -> Item:
    # Of many files paths are handed on as text: objects take longer to make than the files to find.
    cleaned = name if name.isascii() else _as_text(name)
    try:
        status = os.stat(path)  # noqa: PTH116 - a hundred thousand times
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a path"
        return Item(cleaned, refused=f"{shown(cleaned)} cannot be read ({reason}); check the path.")
    if not stat.S_ISREG(status.st_mode):
        return Item(
            cleaned, refused=f"{shown(cleaned)} is a device, or a folder that cannot be opened; it is not read."
        )
    if status.st_size > limits.file_bytes:
        return Item(cleaned, status.st_size, refused=too_large(cleaned, status.st_size, limits.file_bytes))
    return Item(cleaned, status.st_size, False, "", path, limits.file_bytes, status.st_mtime_ns)


def _as_text(name: str) -> str:
    # Bytes that are no UTF-8 arrive as lone surrogates, which no table, page or file could hold.
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _folder_items(folder: Path, roots: _Roots, limits: Limits) -> Iterator[Item]:
    inside = folder.resolve()
    has_pictures = False
    for path, name, linked in _walk(folder, _is_picture):
        has_pictures = has_pictures or _is_picture(name)
        if linked and not roots.may_open(Path(path), inside):
            yield Item(name, refused=f"{shown(name)} is a link that leads out of the folder; it is not followed.")
        elif linked and Path(path).is_dir():
            continue  # what it leads to lies inside and is met there
        else:
            yield _file_item(path, name, limits)
    if has_pictures:
        return
    for place, name, linked in _walk(folder, _is_shard):
        path = Path(place)
        if path.is_file() and (not linked or roots.may_open(path, inside)):
            try:
                for item in _local(path, roots, limits):
                    yield replace(item, name=f"{_as_text(name)}/{item.name}")
            except DeconvError as error:  # one damaged file never stops the others
                yield Item(_as_text(name), refused=str(error), origin=place)


def _walk(folder: Path, wanted: Callable[[str], bool]) -> Iterator[tuple[str, str, bool]]:
    """(path, name within the folder, is a link) of the wanted files, of links to folders and of closed folders.

    Sorted by name; links are not followed.
    """
    stack = [("", iter(_listing(folder)))]
    while stack:
        prefix, entries = stack[-1]
        entry = next(entries, None)
        if entry is None:
            stack.pop()
            continue
        name, linked = prefix + entry.name, entry.is_symlink()
        if entry.is_dir(follow_symlinks=False):
            try:
                stack.append((f"{name}/", iter(_listing(Path(entry.path)))))
            except DeconvError:
                yield entry.path, name, False
        elif wanted(entry.name) or (linked and entry.is_dir()):
            yield entry.path, name, linked


def _listing(folder: Path) -> list[os.DirEntry]:
    try:
        with os.scandir(folder) as listing:
            return sorted(listing, key=lambda entry: entry.name)
    except OSError as error:
        raise DeconvError(f"'{folder}' cannot be opened ({error.strerror}); check its permissions.") from error


def _archive_items(path: Path, limits: Limits) -> Iterator[Item]:
    modified = _changed(path)
    for member in list_members(path, wanted=_is_picture, limits=limits):
        yield Item(member.name, member.size, refused=member.refused, origin=member, modified=modified)


def _changed(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def _csv_items(path: Path, roots: _Roots, limits: Limits) -> Iterator[Item]:
    seen: Counter[str] = Counter()
    for number, name in _csv_names(path):
        if not name:
            yield Item(f"{path.name}, line {number}", refused=f"Line {number} of {path.name} names no picture.")
            continue
        seen[name] += 1
        if seen[name] > 1:
            reason = f"{shown(name)} is listed more than once in {shown(path.name)}; the first line of it is used."
            yield Item(f"{name} ({seen[name]})", refused=reason)
        else:
            yield _listed_item(path, name, roots, limits)


def _listed_item(table: Path, name: str, roots: _Roots, limits: Limits) -> Item:
    """A picture that a table names by its path, relative to the table's folder."""
    target = table.parent / name
    if roots.limited and not roots.may_open(target, table.parent.resolve()):
        reason = f"{shown(name)} lies outside the folders that may be opened; put it beside {shown(table.name)}."
        return Item(_as_text(name), refused=reason)
    return _file_item(target, name, limits)


def _csv_names(path: Path) -> Iterator[tuple[int, str]]:
    """(line number, text of the image column) of every row."""
    told = f"'{shown(path.name)}' is not a readable CSV ({{}}); save it as comma-separated UTF-8 text."
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.DictReader(file)
            fields = {name.strip().lower(): name for name in rows.fieldnames or ()}
            column = next((fields[name] for name in _IMAGE_COLUMNS if name in fields), None)
            if column is None:
                raise DeconvError(
                    f"'{shown(path.name)}' has the columns {shown(', '.join(fields)) or '(none)'}; "
                    f"expected one named {', '.join(_IMAGE_COLUMNS)}."
                )
            for row in rows:
                yield rows.line_num, (row[column] or "").strip()
    except UnicodeDecodeError as error:
        raise DeconvError(told.format("it is not UTF-8")) from error
    except csv.Error as error:
        raise DeconvError(told.format(error)) from error


def _parquet_items(path: Path, roots: _Roots, limits: Limits) -> Iterator[Item]:
    import pyarrow
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path, buffer_size=_PARQUET_BUFFER) as file:
            column, name_column = _parquet_columns(path, file.schema_arrow)
            for number in range(file.num_row_groups):
                if file.metadata.row_group(number).total_byte_size > _ROW_GROUP_BYTES:
                    raise DeconvError(
                        f"'{shown(path.name)}' has a row group of more than {_ROW_GROUP_BYTES / 2**30:g} GiB; "
                        "write it with smaller row groups."
                    )
            columns = [column] if name_column is None else [column, name_column]
            before, seen, modified = 0, set(), _changed(path)
            for group in range(file.num_row_groups):
                row = 0
                for batch in file.iter_batches(_PARQUET_ROWS, row_groups=[group], columns=columns):
                    names = batch.column(name_column) if name_column else [None] * len(batch)
                    for value, name in zip(batch.column(column), names, strict=True):
                        given, number = name and name.as_py(), before + row
                        item = _parquet_item(path, value.as_py(), given, number, seen, column, roots, limits)
                        if isinstance(item.origin, bytes):
                            item = replace(item, modified=modified, inside=Row(path, group, row))
                        yield item
                        row += 1
                before += row
    except (pyarrow.ArrowException, OSError) as error:
        if isinstance(error, DeconvError):
            raise
        reason = (str(error).splitlines() or [""])[0][:150]
        raise DeconvError(f"'{shown(path.name)}' is not a readable Parquet file ({reason}); write it again.") from error


def _parquet_columns(path: Path, schema) -> tuple[str, str | None]:
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


def _parquet_item(path: Path, value, name, row: int, seen: set[int], column: str, roots, limits) -> Item:
    given = name
    if isinstance(value, dict):
        given = given or value.get("path")
        data = value.get("bytes")
        if data is None and value.get("path"):
            return _listed_item(path, value["path"], roots, limits)
    else:
        data = value
    label = clean_name(given)[0] if given else f"{column}[{row}]"
    if hash(label) in seen:  # many writers leave the same name in every row
        label = f"{label} [{row}]"
    seen.add(hash(label))
    if data is None:
        return Item(label, refused=f"Row {row} of {shown(path.name)} holds no picture.")
    if len(data) > limits.file_bytes:
        return Item(label, len(data), refused=too_large(label, len(data), limits.file_bytes))
    return Item(label, len(data), origin=data)


def _npz_items(path: Path, limits: Limits) -> Iterator[Item]:
    """x_train and then x_test, read picture by picture out of the packed file."""
    members = {member.name: member for member in list_members(path, limits=limits)}
    if "x_train.npy" not in members:
        names = ", ".join(name.removesuffix(".npy") for name in members)
        raise DeconvError(f"'{shown(path.name)}' holds {shown(names) or 'nothing'}; expected an array named x_train.")
    return _npz_pictures(path, members, limits)


def _npz_pictures(path: Path, members: Mapping[str, Member], limits: Limits) -> Iterator[Item]:
    try:
        with zipfile.ZipFile(path) as archive:
            for key in ("x_train", "x_test"):
                if f"{key}.npy" not in members:
                    continue
                with archive.open(f"{key}.npy") as file:
                    yield from _npy_pictures(path, key, file, members[f"{key}.npy"].size)
    except (OSError, ValueError, zipfile.BadZipFile, EOFError, NotImplementedError) as error:
        if isinstance(error, DeconvError):
            raise
        raise DeconvError(
            f"'{shown(path.name)}' is not a readable .npz file ({error}); save it with numpy.savez."
        ) from error


def _npy_pictures(path: Path, key: str, file, size: int) -> Iterator[Item]:
    shape = _npy_shape(path, key, file, size)
    length, modified = int(np.prod(shape[1:])), _changed(path)
    for number in range(shape[0]):
        data = file.read(length)
        if len(data) < length:
            raise DeconvError(f"'{shown(path.name)}' ends within {key}[{number}]; save it again.")
        pixels = np.frombuffer(data, np.uint8).reshape(shape[1:])
        item = _array_item(f"{key}[{number}]", pixels, Entry(path, key, number), key == "x_test")
        yield replace(item, modified=modified)


def _npy_shape(path: Path, key: str, file, size: int) -> tuple[int, int, int, int]:
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


def _array_item(name: str, pixels: np.ndarray, inside: Entry, held_out: bool = False) -> Item:
    return Item(name, None, held_out, origin=pixels, inside=inside)


def _named(name: str) -> Iterator[Item]:
    from deconv_core.samples import SAMPLES

    if name == "samples":
        for number, key in enumerate(SAMPLES):
            yield _array_item(key, _named_array(name, number), Entry(name, "", number))
    elif name == "digits":
        for number, picture in enumerate(_drawn_digits()):
            held_out = number >= 9_000
            label = f"digit_{number - 9_000 if held_out else number}"
            yield _array_item(label, picture, Entry(name, "", number), held_out)
    else:
        train, test = _fetch_named(name)
        for key, pictures, before in (("x_train", train, 0), ("x_test", test, len(train))):
            for number, picture in enumerate(pictures):
                entry = Entry(name, "", before + number)
                yield _array_item(f"{key}[{number}]", np.atleast_3d(picture), entry, key == "x_test")


def _named_array(name: str, index: int) -> np.ndarray:
    """One picture of a set known by name, uint8 (H, W, C)."""
    if name == "samples":
        from deconv_core.images import to_uint8
        from deconv_core.samples import SAMPLES, sample

        return to_uint8(sample(tuple(SAMPLES)[index]).pixels)
    if name == "digits":
        return _drawn_digits()[index]
    train, test = _fetch_named(name)
    return np.atleast_3d(train[index] if index < len(train) else test[index - len(train)])


@lru_cache(1)
def _drawn_digits() -> np.ndarray:
    from deconv_core.images import to_uint8
    from deconv_core.samples import digits

    drawn = to_uint8(digits(10_000, seed=0))
    drawn.flags.writeable = False
    return drawn


def _fetch_named(name: str) -> tuple[np.ndarray, np.ndarray]:
    """The pictures to learn from, and those kept for testing."""
    import keras

    try:
        (train, _), (test, _) = getattr(keras.datasets, name).load_data()
        return train, test
    except Exception as error:  # Keras raises a bare Exception where the network fails
        reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(". ")[:150]
        raise DeconvError(
            f"'{name}' could not be fetched ({reason}). Connect to the network, or give a local .npz file with x_train."
        ) from error


# Addresses


@dataclass(frozen=True)
class _Remote:
    """A file at an address; opened anew for every reading, so that it can be sent to another process."""

    address: str
    name: str
    limit: int

    def read(self) -> bytes:
        import fsspec

        try:
            with fsspec.open(self.address, "rb") as file:
                data = file.read(self.limit + 1)
        except Exception as error:  # every file system has its own errors
            raise ImageError(f"{shown(self.name)} could not be fetched ({_first_line(error)}); try again.") from error
        if len(data) > self.limit:
            raise ImageError(too_large(self.name, len(data), self.limit))
        return data


def open_address(address: str) -> tuple[Any, str]:
    """The fsspec file system of an address, and the path within it.

    Raises:
        DeconvError: Another protocol than https, s3, gs, az and hf, a chained address, or a package is missing.
    """
    protocol, separator, rest = address.partition("://")
    if "::" in address or not separator or protocol not in PROTOCOLS or not rest:
        raise DeconvError(
            f"'{shown(address)}' is not an address that can be read; expected "
            f"{', '.join(f'{name}://' for name in PROTOCOLS)} and no chain with '::'."
        )
    try:
        import fsspec

        return fsspec.core.url_to_fs(address)
    except ImportError as error:
        package = PROTOCOLS[protocol]
        raise DeconvError(
            f"{protocol}:// addresses need the Python package {package}, which is not installed; "
            f"install it with: pip install {package}."
        ) from error
    except Exception as error:
        raise DeconvError(f"'{shown(address)}' could not be opened ({_first_line(error)}); check it.") from error


def _remote(address: str, limits: Limits) -> Iterator[Item]:
    system, path = open_address(address)
    name = path.rstrip("/").rpartition("/")[2] or path
    lower = name.lower().partition("?")[0]
    if lower.endswith(".csv"):
        raise DeconvError(f"'{shown(address)}' is a CSV; fetch it, and give the folder or archive with its pictures.")
    if lower.endswith(EXTENSIONS):
        return iter([Item(name, origin=_Remote(address, name, limits.file_bytes))])
    if is_archive(lower) or lower.endswith((".parquet", ".npz")):
        from deconv_core.uploads import fetch

        kept = fetch(address, system, path, limits)
        return _local(kept, _Roots([kept.parent]), limits)
    return _remote_folder(address, system, path, limits)


def _remote_folder(address: str, system, root: str, limits: Limits) -> Iterator[Item]:
    try:
        found = system.find(root, detail=True)
    except Exception as error:
        raise DeconvError(f"'{shown(address)}' could not be listed ({_first_line(error)}); check it.") from error
    if not found:
        raise DeconvError(f"'{shown(address)}' holds nothing; check the address.")
    if len(found) > limits.files:
        raise DeconvError(f"'{shown(address)}' holds more than {limits.files} files; give one of its folders.")
    prefix = root.rstrip("/") + "/"
    for path in sorted(found):
        if _is_picture(path):
            name = clean_name(path.removeprefix(prefix))[0]
            size = found[path].get("size")
            yield Item(
                name, size if isinstance(size, int) else None, modified=_remote_change(found[path]),
                origin=_Remote(system.unstrip_protocol(path), name, limits.file_bytes),
            )  # fmt: skip


def _remote_change(about: Mapping[str, Any]) -> int:
    """When a file at an address was changed, as its listing says; nanoseconds since 1970, 0 where it does not."""
    for key in ("mtime", "LastModified", "last_modified", "updated", "modified"):
        value = about.get(key)
        try:
            value = datetime.fromisoformat(value) if isinstance(value, str) else value
            if isinstance(value, datetime):
                return int(value.timestamp() * 1e9)
            if isinstance(value, int | float) and not isinstance(value, bool) and value > 0:
                return int(value * 1e9)
        except (ValueError, OverflowError, OSError):
            continue
    return 0


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [""])[0].rstrip(". ")[:150] or type(error).__name__


# Which folders may be opened


def allowed_roots() -> tuple[Path, ...]:
    """The folders whose content may be opened through a page: `DECONV_DATA_ROOTS`, or the workspace and the home.

    The variable holds folders separated by `:` (`;` on Windows); set but empty it allows none.
    """
    from deconv_core.workspace import workspace

    stated = os.environ.get("DECONV_DATA_ROOTS")
    if stated is None:
        return (workspace().resolve(), Path.home().resolve())
    return tuple(Path(part).expanduser().resolve() for part in stated.split(os.pathsep) if part.strip())


def check_inside_roots(path: str | Path, roots: Sequence[Path] | None = None) -> Path:
    """The path with its links resolved, if it lies in one of `roots` (by default `allowed_roots()`).

    Raises:
        DeconvError: It does not; whether it exists is not told.
    """
    roots = allowed_roots() if roots is None else roots
    try:
        resolved = Path(path).expanduser().resolve()
        inside = any(resolved.is_relative_to(Path(root).resolve()) for root in roots)
    except (OSError, ValueError, RuntimeError):  # a loop of links, a zero byte, an unknown user
        inside = False
    if not inside:
        raise DeconvError(
            f"'{shown(str(path))}' lies outside the folders that may be opened here "
            f"({', '.join(map(str, roots)) or 'none'}); choose one of these, or have DECONV_DATA_ROOTS set otherwise."
        )
    return resolved


def page_roots(source: str | Path) -> tuple[Path, ...]:
    """The folders that a job started by a page may open for its source: `allowed_roots()`, and the upload it works on.

    Uploads, and what was fetched from an address, lie in the workspace, which need not be among the allowed roots.
    """
    from deconv_core.workspace import workspace

    kept = (workspace() / "data").resolve()
    if "://" in str(source):
        return (*allowed_roots(), kept)
    try:
        own = Path(source).expanduser().resolve().relative_to(kept).parts
    except (OSError, ValueError, RuntimeError):
        own = ()
    return (*allowed_roots(), kept / own[0]) if own else allowed_roots()


class _Roots:
    """Where the files of one source may lie."""

    def __init__(self, roots: Sequence[Path] | None):
        self.limited = roots is not None
        if roots is None:
            # The shell is not limited, but a link out of a folder may have come with somebody else's data.
            roots = allowed_roots() if os.environ.get("DECONV_DATA_ROOTS") is not None else ()
        self._roots = [Path(root).resolve() for root in roots]

    def may_open(self, path: Path, beside: Path) -> bool:
        """Whether what the path leads to lies in `beside` or in a root."""
        try:
            target = path.resolve()
        except (OSError, ValueError, RuntimeError):
            return False
        return any(target.is_relative_to(root) for root in ([*self._roots] if self.limited else [*self._roots, beside]))


# What was found


def count(source: str | Path, *, include: str = "*", allowed_roots: Sequence[Path] | None = None) -> int | None:
    """About how many pictures `iterate` will give, from names and headers alone; None where they do not tell.

    What will be refused may be counted or not. Nothing is raised: whoever iterates meets what is wrong.
    """
    try:
        if str(source) in NAMES:
            return _NAMED_COUNTS[str(source)] if include == "*" else None
        if "://" in str(source) or "::" in str(source):
            return None
        path = Path(source) if allowed_roots is None else check_inside_roots(source, allowed_roots)
        if not path.is_dir():
            return _count_file(path, include)
        pictures = matching = 0
        for _, name, _ in _walk(path, _is_picture):
            pictures += 1
            matching += _matches(name, include)
        if pictures:
            return matching
        shards = ((Path(shard), name) for shard, name, _ in _walk(path, _is_shard))
        counts = [_count_file(shard, include, f"{name}/") for shard, name in shards if shard.is_file()]
    except (DeconvError, OSError, ValueError, LookupError, EOFError, struct.error, zipfile.BadZipFile):
        return None
    return None if None in counts else sum(counts)


def _count_file(path: Path, include: str, prefix: str = "") -> int | None:
    name = path.name.lower()
    if name.endswith(".zip"):
        return count_zip(path, wanted=lambda name: _is_picture(name) and _matches(prefix + name, include))
    if name.endswith(".tar"):
        return sum(_matches(prefix + member.name, include) for member in list_members(path, wanted=_is_picture))
    if name.endswith(".csv"):
        return sum(_matches(entry, include) for _, entry in _csv_names(path))
    if name.endswith(".parquet") and include == "*":
        from pyarrow import parquet

        return parquet.read_metadata(path).num_rows
    if name.endswith(".npz") and include == "*":
        with zipfile.ZipFile(path) as archive:
            sizes = {entry.filename: entry.file_size for entry in archive.infolist()}
            total = 0
            for key in ("x_train", "x_test"):
                if f"{key}.npy" in sizes:
                    with archive.open(f"{key}.npy") as file:
                        total += _npy_shape(path, key, file, sizes[f"{key}.npy"])[0]
            return total
    return 1 if name.endswith(EXTENSIONS) else None


@dataclass(frozen=True)
class Survey:
    """What a source holds.

    Attributes:
        count: Pictures that can be read, `held_out` among them.
        held_out: Pictures that the source itself keeps for testing.
        num_unreadable: Files that cannot be read.
        unreadable: (name, reason) of the first thousand of them.
        sizes: (width, height) -> number of pictures, most frequent first.
        formats: Format as found in the content -> number.
        channels: 1 or 3 -> number.
        bytes: Of all files as stored; arrays count their values.
        digest: The same for the same names and contents, in whatever order.
        thumbnails: (name, uint8 (h, w, C), longer side at most 96) of up to 12 pictures drawn at random, always the
            same ones.
    """

    count: int
    held_out: int
    num_unreadable: int
    unreadable: tuple[tuple[str, str], ...]
    sizes: Mapping[tuple[int, int], int]
    formats: Mapping[str, int]
    channels: Mapping[int, int]
    bytes: int
    digest: str
    thumbnails: tuple[tuple[str, np.ndarray], ...]


def survey(
    source: str | Path,
    *,
    include: str = "*",
    allowed_roots: Sequence[Path] | None = None,
    limits: Limits | None = None,
    report: Callable[[int], None] = lambda done: None,
) -> Survey:
    """Read every picture of a source once and tell what is there; a source without pictures has the count 0.

    Args:
        source: See the module's docstring; the other options as for `iterate`.
        report: Called with the number of files seen so far; may raise to end it.

    Raises:
        DeconvError: As `iterate`.
    """
    fingerprint = Fingerprint()
    sizes, formats, channels, unreadable = Counter(), Counter(), Counter(), []
    count = held_out = num_unreadable = total = 0
    chosen: list[tuple[int, int, str, np.ndarray]] = []
    items = iterate(source, include=include, allowed_roots=allowed_roots, limits=limits)
    for number, item in enumerate(items, start=1):
        try:
            picture = item.read()
        except ImageError as error:
            num_unreadable += 1
            if len(unreadable) < _LISTED_PROBLEMS:
                unreadable.append((item.name, str(error)))
            fingerprint.add(item.name, _digest_of_broken(item))
            total += item.size or 0
        else:
            height, width, depth = picture.pixels.shape
            count += 1
            held_out += item.held_out
            sizes[width, height] += 1
            formats[picture.format] += 1
            channels[depth] += 1
            total += item.size if item.size is not None else height * width * depth
            fingerprint.add(item.name, picture.digest)
            rank = _rank(0, item.name)
            if len(chosen) < NUM_THUMBNAILS or rank < -chosen[0][0]:
                heapq.heappush(chosen, (-rank, number, item.name, _thumbnail(picture.pixels)))
                if len(chosen) > NUM_THUMBNAILS:
                    heapq.heappop(chosen)
        report(number)
    return Survey(
        count,
        held_out,
        num_unreadable,
        tuple(unreadable),
        dict(sizes.most_common()),
        dict(formats.most_common()),
        dict(channels.most_common()),
        total,
        fingerprint.hexdigest(),
        tuple((name, pixels) for _, _, name, pixels in sorted(chosen, key=lambda entry: entry[1])),
    )


def fingerprint(
    source: str | Path,
    *,
    include: str = "*",
    allowed_roots: Sequence[Path] | None = None,
    limits: Limits | None = None,
) -> str:
    """The digest of `survey`, without decoding anything."""
    result = Fingerprint()
    for item in iterate(source, include=include, allowed_roots=allowed_roots, limits=limits):
        result.add(item.name, _digest_of_broken(item))
    return result.hexdigest()


def _digest_of_broken(item: Item) -> str:
    try:
        return item.digest()
    except ImageError:
        return ""


def _rank(seed: int, name: str) -> int:
    """A number that orders names as if by chance, the same every time."""
    return int.from_bytes(hashlib.sha256(f"{seed} {name}".encode()).digest()[:8])


def _thumbnail(pixels: np.ndarray) -> np.ndarray:
    import cv2

    from deconv_core.images import to_uint8

    height, width, channels = pixels.shape
    scale = THUMBNAIL_SIDE / max(height, width)
    if scale < 1:
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA).reshape(size[1], size[0], channels)
    return to_uint8(pixels)


# All of it in memory, for training


@dataclass
class PictureSet:
    """Pictures read into memory as 8-bit arrays, with what was found on the way.

    Attributes:
        pictures: uint8 arrays (H, W, channels), sizes may differ.
        names: One per picture.
        held_out: Pictures that the source itself keeps for testing (`x_test` of a `.npz`), or none.
        rejected: (name, reason) of every file that could not be read.
        left_out: Number of files that did not fit into the memory allowed; those drawn last are not even decoded.
        digest: Of the whole source, as in `Survey`, also where not all of it fits.
    """

    pictures: list[np.ndarray] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    held_out: list[np.ndarray] = field(default_factory=list)
    rejected: list[tuple[str, str]] = field(default_factory=list)
    left_out: int = 0
    digest: str = ""


def read_pictures(
    source: str | Path,
    *,
    channels: int,
    include: str = "*",
    largest_side: int = 768,
    max_bytes: int = TRAINING_BYTES,
    seed: int = 0,
    allowed_roots: Sequence[Path] | None = None,
    report: Callable[[int], None] = lambda done: None,
) -> PictureSet:
    """Read a whole SOURCE into memory for training; a broken file becomes a row of `rejected`, never an exception.

    Args:
        source: See the module's docstring.
        channels: 1 or 3; pictures are converted.
        include: A file-name pattern such as `ss03_*.jpg`.
        largest_side: Longer sides are cropped to their centre, pixels.
        max_bytes: Memory for the pictures. Of a larger set a part is kept that `seed` draws, and the others counted.
        seed: See `max_bytes`.
        allowed_roots: As for `iterate`.
        report: Called with the number of files seen so far; may raise to end it.

    Raises:
        DeconvError: The source does not exist or holds not one readable picture.
    """
    found, fingerprint = PictureSet(), Fingerprint()
    kept: list[tuple[int, int, str, bool, np.ndarray]] = []  # a heap with the last in rank on top
    used, last_rank = 0, None
    for number, item in enumerate(iterate(source, include=include, allowed_roots=allowed_roots), start=1):
        rank = _rank(seed, item.name)
        try:
            if last_rank is not None and rank >= last_rank:
                fingerprint.add(item.name, item.digest())
                found.left_out += 1
            else:
                pixels, digest = _read_8bit(item, channels, largest_side)
                fingerprint.add(item.name, digest)
                heapq.heappush(kept, (-rank, number, item.name, item.held_out, pixels))
                used += pixels.nbytes
        except ImageError as error:
            found.rejected.append((item.name, str(error)))
            fingerprint.add(item.name, _digest_of_broken(item))
        while used > max_bytes and len(kept) > 1:
            rank, *_, pixels = heapq.heappop(kept)
            last_rank = -rank
            used -= pixels.nbytes
            found.left_out += 1
        report(number)
    for _, _, name, held_out, pixels in sorted(kept, key=lambda entry: entry[1]):
        if held_out:
            found.held_out.append(pixels)
        else:
            found.pictures.append(pixels)
            found.names.append(name)
    if not found.pictures:
        reasons = "; ".join(reason for _, reason in found.rejected[:3])
        if found.rejected:
            raise DeconvError(f"None of the pictures of '{source}' could be read: {reasons}")
        raise _no_pictures(source, include)
    found.digest = fingerprint.hexdigest()
    return found


def _read_8bit(item: Item, channels: int, largest_side: int) -> tuple[np.ndarray, str]:
    """(pixels, digest of the content)"""
    from deconv_core.images import to_uint8

    if isinstance(item.origin, np.ndarray) and item.origin.shape[-1] == channels:
        return _centre(item.origin, largest_side), item.digest()
    picture = item.read(channels=channels)
    return _centre(to_uint8(picture.pixels), largest_side), picture.digest


def _centre(pixels: np.ndarray, side: int) -> np.ndarray:
    from deconv_core.images import crop_centre

    return np.ascontiguousarray(crop_centre(pixels, side, side))


# Files on disk, for pairing by name


def list_files(source: str | Path, include: str = "*") -> list[Path]:
    """The picture files of a folder (searched with its subfolders) or of a CSV's image column, sorted by name.

    Raises:
        DeconvError: Nothing is there, or the CSV has no image column.
    """
    path = Path(source)
    if path.is_dir():
        files = [Path(found) for found, _, _ in _walk(path, _is_picture) if Path(found).is_file()]
    elif path.suffix.lower() == ".csv" and path.is_file():
        files = [path.parent / name for _, name in _csv_names(path) if name]
    elif path.is_file():
        files = [path]
    else:
        raise DeconvError(
            f"'{source}' is neither a folder nor a file. Give a picture, a folder of pictures or a CSV with an image "
            "column."
        )
    files = [found for found in files if _matches(found.name, include)]
    if not files:
        raise _no_pictures(source, include)
    return files


def _no_pictures(source: str | Path, include: str) -> DeconvError:
    return DeconvError(f"'{source}' holds no picture named like '{include}'; expected {', '.join(EXTENSIONS)} files.")
