"""A picture that is there but not yet read, and the place where it is found again without looking for it."""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from json.encoder import encode_basestring_ascii
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np

from deconv_core.addresses import Remote, open_address
from deconv_core.archives import Limits, Member, read_in_order, shown, too_large
from deconv_core.errors import DeconvError, ImageError
from deconv_core.headers import DAMAGED_NPZ, PARQUET_BUFFER, PARQUET_ROWS, npy_shape, parquet_bytes, parquet_columns
from deconv_core.named_sets import NAMES, named_array
from deconv_core.roots import check_inside_roots

if TYPE_CHECKING:
    from deconv_core.images import Picture


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
        if isinstance(self.origin, Member | Remote | Row | Entry):
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

    def file(self) -> str:
        """Path of the file on this machine that has to be opened to read it, "" for none."""
        origin = self.origin
        if isinstance(origin, Member):
            return str(origin.archive)
        if isinstance(origin, Row):
            return str(origin.path)
        if isinstance(origin, Entry):
            return str(origin.source) if origin.key else ""
        return str(origin) if isinstance(origin, str | Path) and not self.refused else ""

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
        return json.dumps([origin.address, "address"]) if isinstance(origin, Remote) else ""


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
        return next(_read_rows([self]))


def _read_rows(rows: Sequence[Row]) -> Iterator[bytes]:
    """The bytes of rows of one file, in its order; every row group is gone through once."""
    import pyarrow
    from pyarrow import parquet

    path = rows[0].path
    try:
        with parquet.ParquetFile(path, buffer_size=PARQUET_BUFFER) as file:
            column, _ = parquet_columns(path, file.schema_arrow)
            for group, wanted in groupby(rows, key=lambda row: row.group):
                batches = file.iter_batches(PARQUET_ROWS, row_groups=[group], columns=[column])
                before, batch = 0, ()
                for row in wanted:
                    while batch is not None and row.row >= before + len(batch):
                        before += len(batch)
                        batch = next(batches, None)
                    data = None if batch is None else parquet_bytes(batch.column(0)[row.row - before])
                    if data is None:
                        raise _gone(path)
                    yield data
    except (pyarrow.ArrowException, OSError, IndexError, ValueError) as error:
        if isinstance(error, ImageError):
            raise
        raise _gone(path) from error


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
        return next(_read_entries([self]))


def _read_entries(entries: Sequence[Entry]) -> Iterator[np.ndarray]:
    """The arrays of entries of one array, in its order; a packed one is gone through once."""
    source, key = entries[0].source, entries[0].key
    try:
        if not key:
            for entry in entries:
                yield named_array(str(source), entry.index)
            return
        with zipfile.ZipFile(source) as archive, archive.open(f"{key}.npy") as file:
            shape = npy_shape(Path(source), key, file, archive.getinfo(f"{key}.npy").file_size)
            length, at = int(np.prod(shape[1:])), 0
            for entry in entries:
                file.seek((entry.index - at) * length, os.SEEK_CUR)
                yield np.frombuffer(file.read(length), np.uint8).reshape(shape[1:])
                at = entry.index + 1
    except (LookupError, *DAMAGED_NPZ) as error:
        raise _gone(Path(source)) from error


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
            return Item(name, origin=Remote(source, name, Limits.file_bytes))
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


def in_one_pass(items: Iterable[Item]) -> Iterator[Item]:
    """The same pictures, those that lie in one packed file read in one pass through it; in another order.

    To read one picture out of a `.tar.gz`, a `.npz` or a row group of a Parquet file takes all that comes before it;
    for many of them it is gone through once. Files of their own, members of other archives and addresses come as they
    are and are read by whoever asks. What was read on the way holds its content, so take one after the other; what
    could not be read is refused with the reason.
    """
    groups: dict[tuple[Any, ...], list[Item]] = {}
    for item in items:
        origin = item.origin
        if isinstance(origin, Member) and origin.is_behind_others:
            groups.setdefault((read_in_order, origin.archive), []).append(item)
        elif isinstance(origin, Row):
            groups.setdefault((_read_rows, origin.path), []).append(item)
        elif isinstance(origin, Entry):
            groups.setdefault((_read_entries, origin.source, origin.key), []).append(item)
        else:
            yield item
    for (read, *_), found in groups.items():
        found.sort(key=lambda item: _order(item.origin))
        contents = read([item.origin for item in found])
        for number, item in enumerate(found):
            try:
                yield replace(item, origin=next(contents))
            except ImageError:
                # What is damaged or gone here need not be so further on: each for itself.
                yield from map(_read_alone, found[number:])
                break


def _order(origin: Member | Row | Entry) -> tuple[int, ...]:
    if isinstance(origin, Member):
        return (origin.offset,)
    return (origin.group, origin.row) if isinstance(origin, Row) else (origin.index,)


def _read_alone(item: Item) -> Item:
    try:
        return replace(item, origin=item.origin.read())
    except ImageError as error:
        return replace(item, refused=str(error))
