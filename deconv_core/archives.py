"""Archives from anywhere, listed and read without unpacking them and without trusting what they say.

Zip and tar (also `.tar.gz`) alike become a sequence of `Member`s. A member that could do harm (absolute name, `..`,
link, device, second member of one name, an archive inside the archive, too large, packed too tightly) is listed with
the reason and cannot be read; names are data and are never used as paths here. An archive that breaks a limit as a
whole is refused before any of it is read (zip) or as soon as it does (tar).
"""

from __future__ import annotations

import gzip
import os
import re
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np

from deconv_core.errors import DeconvError, ImageError

SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz")
MAX_NAME = 1024  # characters; longer names serve no one and swell tables and pages

_NESTED = (*SUFFIXES, ".tar.bz2", ".tar.xz", ".tar.zst", ".7z", ".rar")
_STORED, _DEFLATED, _TAR, _PACKED_TAR = 0, 8, -1, -2
_RATIO_FROM = 16 * 2**20  # bytes; below this no ratio does harm, and flat pictures do shrink a thousandfold
_DIRECTORY_BYTES = 2**29  # of a zip's list of contents, which is held in memory while it is counted
_HEADER_BYTES = 2**20  # of one tar header with its long names and attributes
_CHUNK = 2**20
_LOCAL_HEADER = struct.Struct("<4s5H3L2H")
_ENTRY = struct.Struct("<4s24x3H12x")
_END = struct.Struct("<4s4H2LH")
_END64 = struct.Struct("<4sQ2H2L4Q")


@dataclass(frozen=True)
class Limits:
    """What a source may ask of this machine.

    Attributes:
        files: Members, pictures or not.
        file_bytes: Of one file, unpacked.
        total_bytes: Of all members of an archive, unpacked.
        ratio: Unpacked to packed bytes, for a member and for an archive of more than 16 MiB unpacked.
    """

    files: int = 2_000_000
    file_bytes: int = 2**30
    total_bytes: int = 2**40
    ratio: float = 200.0


@dataclass(frozen=True)
class Member:
    """One file of an archive; can be sent to another process that sees the same disk.

    Attributes:
        name: Its name with `/` between folders, cleaned of `.` and doubled slashes; data, not a path.
        size: Bytes unpacked, as the archive states them; they are checked when it is read.
        refused: Why it cannot be read, or "".
        archive: The file that holds it.
    """

    name: str
    size: int
    refused: str
    archive: Path
    offset: int = 0
    packed: int = 0
    method: int = _TAR
    crc: int = 0
    data: bytes | None = field(default=None, repr=False)

    @property
    def is_behind_others(self) -> bool:
        """Whether there is no way to it but through what comes before, as in a `.tar.gz`; see `read_in_order`."""
        return self.method == _PACKED_TAR and self.data is None and not self.refused

    def read(self, stream: BinaryIO | None = None) -> bytes:
        """The member's bytes, no more than its stated size.

        Args:
            stream: What is unpacked of a `.tar.gz`, if it is open already.

        Raises:
            ImageError: It was refused, or the archive is damaged here.
        """
        if self.refused:
            raise ImageError(self.refused)
        if self.data is not None:
            return self.data
        try:
            if stream is not None:
                content = self._read_from(stream)
            else:
                with self.archive.open("rb") as file:
                    content = self._read_from(gzip.GzipFile(fileobj=file) if self.is_behind_others else file)
        except (OSError, struct.error, zlib.error, EOFError) as error:
            reason = getattr(error, "strerror", None) or "the packed bytes are damaged"
            raise self._damaged(reason) from error
        if len(content) != self.size:
            is_zip = self.method in (_STORED, _DEFLATED)
            raise self._damaged("its stated size is wrong" if is_zip else "the archive ends within it")
        return content

    def _read_from(self, file: BinaryIO) -> bytes:
        file.seek(self.offset)
        return file.read(self.size) if self.method in (_TAR, _PACKED_TAR) else self._unzip(file)

    def _unzip(self, file: BinaryIO) -> bytes:
        signature, *_, name_length, extra_length = _LOCAL_HEADER.unpack(file.read(_LOCAL_HEADER.size))
        if signature != b"PK\3\4":
            raise self._damaged("its header is missing")
        file.seek(name_length + extra_length, os.SEEK_CUR)
        content = file.read(self.packed)
        if self.method == _DEFLATED:
            unpacker = zlib.decompressobj(-zlib.MAX_WBITS)
            # One byte more than stated is enough to see a lie, and all that a lie can cost.
            content = unpacker.decompress(content, self.size + 1)
        if len(content) == self.size and zlib.crc32(content) != self.crc:
            raise self._damaged("its checksum is wrong")
        return content

    def _damaged(self, reason: str) -> ImageError:
        return ImageError(
            f"{shown(self.name)} in {shown(self.archive.name)} cannot be unpacked ({reason}); pack the archive again."
        )


def read_in_order(members: Sequence[Member]) -> Iterator[bytes]:
    """The bytes of members of one `.tar.gz`, which is gone through once for all of them.

    Args:
        members: Of one archive, in its order.

    Raises:
        ImageError: The archive is damaged, or gone.
    """
    first = members[0]
    try:
        with first.archive.open("rb") as file, gzip.GzipFile(fileobj=file) as unpacked:
            for member in members:
                yield member.read(unpacked)
    except OSError as error:
        raise first._damaged(error.strerror or "the packed bytes are damaged") from error


def is_archive(path: str | Path) -> bool:
    """Whether the name is that of an archive read here."""
    return str(path).lower().endswith(SUFFIXES)


def list_members(
    path: Path, *, wanted: Callable[[str], bool] = lambda name: True, limits: Limits | None = None
) -> Iterator[Member]:
    """The files of an archive in its own order: those whose name is `wanted`, and all that had to be refused.

    A tar that is damaged on the way ends with one refused member that carries the archive's own name, so what came
    before is kept. Members of a `.tar.gz` carry their bytes, because there is no way back in such a stream.

    Args:
        path: The archive, on disk.
        wanted: Asked with the cleaned name; unwanted members are counted and passed over.
        limits: See `Limits`.

    Raises:
        DeconvError: Not an archive, or one that breaks a limit as a whole.
    """
    limits = limits or Limits()
    try:
        with path.open("rb") as file:
            start = file.read(4)
            file.seek(0)
            if path.suffix.lower() in (".zip", ".npz"):
                yield from _zip_members(path, file, wanted, limits)
            elif start[:2] == b"\x1f\x8b":
                yield from _tar_members(path, _Forward(gzip.GzipFile(fileobj=file), path, limits, file), wanted, limits)
            else:
                yield from _tar_members(path, _Forward(file, path, limits), wanted, limits)
    except OSError as error:
        if isinstance(error, DeconvError):
            raise
        raise DeconvError(
            f"'{shown(path.name)}' cannot be read ({error.strerror or error}); check the path and its permissions."
        ) from error


def shown(name: str) -> str:
    """A name fit for a sentence: what cannot be printed becomes `?`, and the middle of a very long name is left out."""
    text = "".join(letter if letter.isprintable() else "?" for letter in name)
    return text if len(text) <= 120 else f"{text[:60]}…{text[-50:]}"


def size_text(count: int) -> str:
    """A number of bytes in words.

    Example:
        >>> size_text(3 * 2**20)
        '3 MiB'
    """
    for unit, name in ((2**40, "TiB"), (2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")):
        if count >= unit:
            return f"{count / unit:.3g} {name}"
    return f"{count} bytes"


def too_large(name: str, size: int, limit: int) -> str:
    """The sentence for a file beyond the limit for one file."""
    return (
        f"{shown(name)} has {size_text(size)}, more than the {size_text(limit)} allowed for one file; make it smaller."
    )


def clean_name(name: str) -> tuple[str, str]:
    """(cleaned name, why it is refused or "") of a name out of an archive or a list.

    Example:
        >>> clean_name("./a//b.png")
        ('a/b.png', '')
    """
    # Bytes that are no UTF-8 arrive as lone surrogates, which no table, page or file could hold.
    text = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    parts = [part for part in name.split("/") if part not in ("", ".")]
    cleaned = "/".join(part for part in text.split("/") if part not in ("", ".")) or "(no name)"
    if len(cleaned) > MAX_NAME:
        return shown(cleaned), f"{shown(cleaned)} has a name of {len(cleaned)} characters; at most {MAX_NAME} are read."
    if name.startswith(("/", "\\")) or re.match(r"[A-Za-z]:[\\/]", name):
        return cleaned, f"{shown(name)} has an absolute name; pack the archive with relative names."
    if ".." in parts or ".." in name.split("\\"):
        return cleaned, f"{shown(name)} has a name that leads out of its folder; pack the archive without '..'."
    return cleaned, ""


class _Names:
    """Refuses the second member of a name and everything beyond the number of files allowed."""

    def __init__(self, path: Path, limits: Limits):
        self._path, self._limits = path, limits
        self._seen: set[int] = set()
        self._repeats: dict[str, int] = {}
        self.count = 0

    def check(self, raw: str) -> tuple[str, str]:
        self.count += 1
        if self.count > self._limits.files:
            raise DeconvError(
                f"'{shown(self._path.name)}' holds more than {self._limits.files} files; split it into several."
            )
        name, reason = clean_name(raw)
        # Hashes rather than names keep a million of them small; they are random in every process, so not to be forged.
        if hash(name) in self._seen:
            self._repeats[name] = self._repeats.get(name, 1) + 1
            reason = reason or f"{shown(name)} is in the archive more than once; the first of them is read."
            return f"{name} ({self._repeats[name]})", reason
        self._seen.add(hash(name))
        return name, reason


def _refuse_content(name: str, size: int, packed: int | None, limits: Limits) -> str:
    """Reason for which a plain file is not read, or ""."""
    if size > limits.file_bytes:
        return too_large(name, size, limits.file_bytes)
    if packed is not None and size > _RATIO_FROM and size > limits.ratio * packed:
        return (
            f"{shown(name)} unpacks to {size / max(1, packed):.0f} times its packed size, more than the "
            f"{limits.ratio:g} times allowed; such a file is made to fill memory."
        )
    return ""


def _is_nested(name: str) -> bool:
    return name.lower().endswith(_NESTED)


_NESTED_REASON = "{} is an archive inside an archive, which is not opened; give it on its own."


# Zip


def _zip_members(path: Path, file: BinaryIO, wanted: Callable[[str], bool], limits: Limits) -> Iterator[Member]:
    broken = f"'{shown(path.name)}' is not a readable {path.suffix.lower()} file ({{}}); pack it again."
    try:
        directory = _check_directory(path, file, limits)
        entries = zipfile.ZipFile(file).infolist()
    except (zipfile.BadZipFile, zipfile.LargeZipFile, struct.error, NotImplementedError, ValueError) as error:
        if isinstance(error, DeconvError):
            raise
        raise DeconvError(broken.format(str(error).rstrip("."))) from error
    _check_overlap(path, entries, directory)
    total, packed = sum(entry.file_size for entry in entries), os.fstat(file.fileno()).st_size
    _check_total(path, total, packed, limits)

    names = _Names(path, limits)
    for entry in entries:
        if entry.is_dir() or _is_apple_double(entry.filename):
            continue
        name, reason = names.check(entry.filename)
        kind = stat.S_IFMT(entry.external_attr >> 16)
        if not reason and kind not in (0, stat.S_IFREG):
            reason = f"{shown(name)} is a {'link' if kind == stat.S_IFLNK else 'device'}, not a file; it is not read."
        if not reason and _is_nested(name):
            reason = _NESTED_REASON.format(shown(name))
        if not reason and not wanted(name):
            continue
        if not reason and entry.flag_bits & 0x1:
            reason = f"{shown(name)} is encrypted; pack the archive without a password."
        if not reason and entry.compress_type not in (_STORED, _DEFLATED):
            reason = f"{shown(name)} is packed by method {entry.compress_type}; expected a zip packed by 'deflate'."
        reason = reason or _refuse_content(name, entry.file_size, entry.compress_size, limits)
        stored = entry.compress_type == _STORED
        if not reason and (
            entry.compress_size > limits.file_bytes or (stored and entry.compress_size != entry.file_size)
        ):
            reason = f"{shown(name)} has a stated size that cannot be true; pack the archive again."
        yield Member(
            name,
            entry.file_size,
            reason,
            path,
            entry.header_offset,
            entry.compress_size,
            entry.compress_type,
            entry.CRC,
        )


def _is_apple_double(name: str) -> bool:
    """The attributes that macOS packs beside every file, under the file's own name with a prefix."""
    return name.startswith("__MACOSX/") or name.rpartition("/")[2].startswith("._")


def count_zip(path: Path, *, wanted: Callable[[str], bool], limits: Limits | None = None) -> int:
    """How many wanted files a zip lists, from its list of contents alone.

    Raises:
        DeconvError: It lists more files than allowed.
        zipfile.BadZipFile, struct.error, OSError: It is not a readable zip.
    """
    limits = limits or Limits()
    with path.open("rb") as file:
        _, directory = _read_directory(path, file, limits)
    return sum(wanted(name.decode("utf-8", "replace")) for name in _raw_names(path, directory, limits))


def _check_directory(path: Path, file: BinaryIO, limits: Limits) -> int:
    """Count the entries before `zipfile` makes an object of each; return where the list of contents begins."""
    start, directory = _read_directory(path, file, limits)
    for _ in _raw_names(path, directory, limits):
        pass
    return start


def _read_directory(path: Path, file: BinaryIO, limits: Limits) -> tuple[int, bytes]:
    """(where it begins, the list of contents)"""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - 65535 - _END.size))
    tail = file.read()
    place = tail.rfind(b"PK\5\6")
    if place < 0 or len(tail) - place < _END.size:
        raise zipfile.BadZipFile("its list of contents is missing, as if cut short")
    *_, length, _, comment = _END.unpack_from(tail, place)
    if place + _END.size + comment != len(tail):
        raise zipfile.BadZipFile("something follows its list of contents")
    end = size - len(tail) + place
    if tail[max(0, place - 20) : place][:4] == b"PK\6\7":
        end -= 20 + _END64.size
        file.seek(max(0, end))
        signature, *_, length, _ = _END64.unpack(file.read(_END64.size))
        if signature != b"PK\6\6":
            raise zipfile.BadZipFile("its list of contents is damaged")
    if not 0 <= length <= end:
        raise zipfile.BadZipFile("its list of contents is damaged")
    if length > _DIRECTORY_BYTES:
        raise DeconvError(f"'{shown(path.name)}' lists more files than can be held; split it into several.")
    file.seek(end - length)
    return end - length, file.read(length)


def _raw_names(path: Path, directory: bytes, limits: Limits) -> Iterator[bytes]:
    position = count = 0
    while position + _ENTRY.size <= len(directory):
        signature, name, extra, note = _ENTRY.unpack_from(directory, position)
        if signature != b"PK\1\2":
            raise zipfile.BadZipFile("its list of contents is damaged")
        count += 1
        if count > limits.files:
            raise DeconvError(f"'{shown(path.name)}' holds more than {limits.files} files; split it into several.")
        position += _ENTRY.size
        yield directory[position : position + name]
        position += name + extra + note


def _check_overlap(path: Path, entries: list[zipfile.ZipInfo], directory: int) -> None:
    """Members that share bytes are how a small zip states petabytes; no honest packer writes them."""
    starts = np.fromiter((entry.header_offset for entry in entries), np.float64, len(entries))
    sizes = np.fromiter((entry.compress_size for entry in entries), np.float64, len(entries))
    order = np.argsort(starts, kind="stable")
    starts, ends = starts[order], (starts + sizes)[order] + _LOCAL_HEADER.size
    if (starts < 0).any() or (ends[:-1] > starts[1:]).any() or (ends[-1:] > directory).any():
        raise DeconvError(
            f"'{shown(path.name)}' has members that share the same bytes; such an archive is made to fill memory "
            "and is not opened. Pack it again."
        )


def _check_total(path: Path, total: int, packed: int, limits: Limits) -> None:
    if total > limits.total_bytes:
        raise DeconvError(
            f"'{shown(path.name)}' unpacks to more than the {size_text(limits.total_bytes)} allowed; "
            "split it into several."
        )
    if total > _RATIO_FROM and total > limits.ratio * packed:
        raise DeconvError(
            f"'{shown(path.name)}' unpacks to {total / max(1, packed):.0f} times its size, more than the "
            f"{limits.ratio:g} times allowed; such an archive is made to fill memory and is not opened."
        )


# Tar


class _Forward:
    """A file for `tarfile` that only moves forward, in small steps, and counts what it unpacks."""

    def __init__(self, file: BinaryIO, path: Path, limits: Limits, packed: BinaryIO | None = None):
        self._file, self._path, self._limits, self._packed = file, path, limits, packed
        self._position = 0
        self.last = b""

    def tell(self) -> int:
        return self._position

    def read(self, size: int) -> bytes:
        if not 0 <= size <= _HEADER_BYTES:
            raise tarfile.ReadError("a header states an impossible length")
        self.last = data = self._file.read(size)
        self._position += len(data)
        if self._packed is not None:
            _check_total(self._path, self._position, self._packed.tell(), self._limits)
        return data

    def seek(self, position: int) -> None:
        # A header that leads backwards would send the reader round in circles.
        if position < self._position:
            raise tarfile.ReadError("a header leads backwards")
        if self._packed is None:
            self._position = self._file.seek(position)
            return
        while self._position < position:
            if not self.read(min(_CHUNK, position - self._position)):
                break

    def read_content(self, size: int) -> bytes:
        """A member's bytes from here, of which `size` was checked against the limits."""
        parts = []
        while size and (part := self.read(min(_CHUNK, size))):
            parts.append(part)
            size -= len(part)
        return b"".join(parts)


def _tar_members(path: Path, file: _Forward, wanted: Callable[[str], bool], limits: Limits) -> Iterator[Member]:
    names = _Names(path, limits)
    total, headers, archive = 0, 0, None
    while True:
        try:
            if archive is None:
                archive = tarfile.TarFile(fileobj=file, mode="r")
            entry = archive.next()
            archive.members.clear()  # the reader would keep every header it has seen
            if entry is None:
                # The end is a block of zeros, or nothing at all; the reader also ends in silence at a damaged header.
                if file.last.strip(b"\0"):
                    raise tarfile.ReadError("a header is damaged")
                return
            headers += 1
            if headers > limits.files:
                raise DeconvError(f"'{shown(path.name)}' holds more than {limits.files} files; split it into several.")
            member = _tar_member(path, entry, file, names, wanted, limits)
        except (tarfile.TarError, zlib.error, EOFError, OSError, OverflowError, RecursionError, ValueError) as error:
            if isinstance(error, DeconvError):
                raise
            reason = "headers within headers" if isinstance(error, RecursionError) else str(error).rstrip(".")
            if not names.count:
                raise DeconvError(
                    f"'{shown(path.name)}' is not a readable tar archive ({reason}); expected .tar or .tar.gz."
                ) from error
            told = f"{shown(path.name)} is damaged or cut short after {names.count} files ({reason}); pack it again."
            yield Member(path.name, 0, told, path)
            return
        if entry.isreg() and entry.sparse is None:
            total += max(0, entry.size)
        if total > limits.total_bytes:
            _check_total(path, total, total, limits)
        if member is not None:
            yield member


def _tar_member(path, entry: tarfile.TarInfo, file: _Forward, names, wanted, limits: Limits) -> Member | None:
    if entry.isdir() or _is_apple_double(entry.name):
        return None
    name, reason = names.check(entry.name)
    if not reason and (not entry.isreg() or entry.sparse is not None or entry.size < 0):
        kind = "link" if entry.islnk() or entry.issym() else "device or special entry"
        reason = f"{shown(name)} is a {kind}, not a plain file; it is not read."
    if not reason and _is_nested(name):
        reason = _NESTED_REASON.format(shown(name))
    if not reason and not wanted(name):
        return None
    reason = reason or _refuse_content(name, entry.size, None, limits)
    data, method = None, _TAR
    if file._packed is not None:
        method = _PACKED_TAR
        if not reason:
            data = file.read_content(entry.size)
            if len(data) != entry.size:
                raise tarfile.ReadError(f"{shown(name)} is cut short")
    return Member(name, entry.size, reason, path, entry.offset_data, entry.size, method, 0, data)
