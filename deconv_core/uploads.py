"""What users bring, kept in the workspace's `data/`: uploaded files, and what was fetched from addresses.

Every set lies in a folder named by its content, so the same upload is kept once. Names on disk are made safe; archives
are unpacked under the rules of `archives`. There is a limit for one file, for one upload and for `data/` as a whole.
"""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import tempfile
import time
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from deconv_core.archives import Limits, is_archive, list_members, shown, size_text
from deconv_core.errors import DeconvError, ImageError
from deconv_core.sources import EXTENSIONS
from deconv_core.survey import Fingerprint
from deconv_core.workspace import folder

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

_TABLES = (".npz", ".parquet")
_CHUNK = 2**20
_INCOMING = ".incoming-"
_STALE_SECONDS = 6 * 3600
_PART_LENGTH = 100  # characters of a name on disk, leaving room under the usual 255 bytes for other scripts


@dataclass(frozen=True)
class UploadLimits:
    """What may be brought in.

    Attributes:
        file_bytes: Of one uploaded file.
        upload_bytes: Of all files of one call, before unpacking.
        quota_bytes: Of everything in the workspace's `data/`.
        archive: For archives among them.
    """

    file_bytes: int = 2 * 2**30
    upload_bytes: int = 4 * 2**30
    quota_bytes: int = 50 * 2**30
    archive: Limits = field(default_factory=lambda: Limits(files=200_000, file_bytes=2**29, total_bytes=8 * 2**30))


@dataclass(frozen=True)
class Upload:
    """An upload that was kept.

    Attributes:
        folder: Where its files are; a SOURCE.
        num_files: Files kept, those out of archives included.
        num_bytes: Their size together.
        refused: (name, reason) of what was not kept.
    """

    folder: Path
    num_files: int
    num_bytes: int
    refused: tuple[tuple[str, str], ...]


def keep_uploads(
    files: Iterable[tuple[str, bytes | BinaryIO]], *, limits: UploadLimits | None = None, also: Sequence[str] = ()
) -> Upload:
    """Write uploaded files to `data/DIGEST/` of the workspace; all of them or, after an error, none.

    Args:
        files: (name, content) of pictures and archives of pictures, or of one `.npz` or Parquet file alone. Contents
            are read in pieces and only once.
        limits: See `UploadLimits`.
        also: Endings of further files to keep, such as `.csv`, from archives too.

    Raises:
        DeconvError: A limit is exceeded, the disk is full, an archive is not to be trusted, or nothing usable came.
    """
    limits = limits or UploadLimits()
    with _incoming() as incoming:
        keeper = _Keeper(incoming, limits, tuple(also))
        for name, content in files:
            keeper.take(name, io.BytesIO(content) if isinstance(content, bytes | bytearray | memoryview) else content)
        if keeper.tables and keeper.num_files > 1:
            raise DeconvError(
                f"Got {shown(keeper.tables[0])} together with other files; expected pictures and archives of pictures, "
                "or one .npz or Parquet file alone."
            )
        if not keeper.num_files:
            reasons = "; ".join(reason for _, reason in keeper.refused[:3]) or "no file came"
            raise DeconvError(f"The upload holds no picture: {reasons}")
        target = folder("data") / keeper.fingerprint.hexdigest()[:20]
        _publish(incoming, target)
    return Upload(target, keeper.num_files, keeper.num_bytes, tuple(keeper.refused))


def forget_upload(upload: Path | str) -> None:
    """Delete a folder that `keep_uploads` made.

    Raises:
        DeconvError: It is not one.
    """
    path = Path(upload)
    if path.is_symlink() or path.resolve().parent != folder("data").resolve() or not path.is_dir():
        raise DeconvError(f"'{path}' is no folder of kept data in this workspace; only such folders are deleted here.")
    shutil.rmtree(path)


def fetch(address: str, system: AbstractFileSystem, path: str, limits: Limits) -> Path:
    """Copy a file from an fsspec file system into `data/`, unless the same version of it lies there already.

    Raises:
        DeconvError: It cannot be fetched, or there is no room for it.
    """
    try:
        about = system.info(path)
    except Exception as error:  # every file system has its own errors
        raise DeconvError(f"'{shown(address)}' could not be fetched ({_line(error)}); check the address.") from error
    marks = {str(key).lower(): str(value) for key, value in about.items()}
    version = next((marks[key] for key in ("etag", "mtime", "lastmodified", "last_modified") if key in marks), "")
    digest = hashlib.sha256(f"{address}\0{about.get('size')}\0{version}".encode()).hexdigest()[:20]
    target = folder("data") / f"fetched-{digest}"
    kept = target / safe_name(path.rstrip("/").rpartition("/")[2].partition("?")[0])
    if version and kept.is_file():
        return kept
    room = min(limits.total_bytes, _room(UploadLimits().quota_bytes))
    with _incoming() as incoming:
        copied = incoming / kept.name
        try:
            with system.open(path, "rb") as source, copied.open("wb") as file:
                for piece in iter(lambda: source.read(_CHUNK), b""):
                    room -= len(piece)
                    if room < 0:
                        raise _full(UploadLimits().quota_bytes)
                    file.write(piece)
        except DeconvError:
            raise
        except Exception as error:
            raise DeconvError(f"'{shown(address)}' could not be fetched ({_line(error)}); try again.") from error
        if not version:
            shutil.rmtree(target, ignore_errors=True)  # without a mark nobody can tell whether the old copy is current
        _publish(incoming, target)
    return kept


def safe_name(name: str) -> str:
    """A file name without folder, control characters and characters with a meaning, at most 100 characters long.

    Letters of every script stay. Names that had to be cut get part of their digest, so that they stay different.

    Example:
        >>> safe_name("../a b<c>.png")
        'a b_c_.png'
    """
    name = name.replace("\\", "/").rpartition("/")[2]
    text = "".join(
        letter if letter.isalnum() or letter in " ._-()[]+,=@~" or unicodedata.category(letter)[0] == "M" else "_"
        for letter in unicodedata.normalize("NFC", name)
    )
    text = text.strip(" ").lstrip(".-~") or "file"
    if len(text) > _PART_LENGTH or len(text.encode()) > 200:
        stem, dot, suffix = text.rpartition(".")
        suffix = dot + suffix if dot and len(suffix) <= 8 else ""
        digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:8]
        short = (stem or text).encode()[:60].decode("utf-8", "ignore")
        text = f"{short}~{digest}{suffix}"
    return text


class _Keeper:
    """Takes one upload after another into a folder and counts."""

    def __init__(self, incoming: Path, limits: UploadLimits, also: tuple[str, ...] = ()):
        self.fingerprint, self.refused, self.tables = Fingerprint(), [], []
        self.num_files = self.num_bytes = self._uploaded = 0
        self._folder, self._limits, self._also = incoming, limits, also
        self._room = _room(limits.quota_bytes)
        self._files: set[str] = set()
        self._folders: set[str] = set()

    def take(self, name: str, content: BinaryIO) -> None:
        lower = name.lower()
        if is_archive(lower):
            self._unpack(name, content)
        elif lower.endswith((*EXTENSIONS, *_TABLES, *self._also)):
            if lower.endswith(_TABLES) and not lower.endswith(self._also):
                self.tables.append(name)
            self._write(safe_name(name), self._pieces(name, content))
        else:
            expected = ", ".join(dict.fromkeys((*EXTENSIONS, ".zip", ".tar", ".tar.gz", *_TABLES, *self._also)))
            self.refused.append((name, f"{shown(name)} is of no known kind; expected {expected}."))

    def _pieces(self, name: str, content: BinaryIO) -> Iterator[bytes]:
        size = 0
        for piece in iter(lambda: content.read(_CHUNK), b""):
            size += len(piece)
            self._uploaded += len(piece)
            if size > self._limits.file_bytes:
                raise DeconvError(
                    f"{shown(name)} has more than the {size_text(self._limits.file_bytes)} allowed for one uploaded "
                    "file; make it smaller, or put it into a folder of the server."
                )
            if self._uploaded > self._limits.upload_bytes:
                raise DeconvError(
                    f"The upload has more than the {size_text(self._limits.upload_bytes)} allowed at once; "
                    "bring it in parts, or put it into a folder of the server."
                )
            yield piece

    def _unpack(self, name: str, content: BinaryIO) -> None:
        suffix = ".zip" if name.lower().endswith(".zip") else ".tar"
        packed = self._folder / f"{_INCOMING}archive{suffix}"
        room = self._room
        self._copy(packed, self._pieces(name, content))
        self._room = room  # the archive itself does not stay
        try:
            for member in list_members(packed, wanted=self._is_wanted, limits=self._limits.archive):
                try:
                    data = member.read()
                except ImageError as error:
                    reason = str(error).replace(packed.name, shown(name))
                    self.refused.append((f"{name}/{member.name}".replace(packed.name, name), reason))
                    continue
                parts = [safe_name(part) for part in member.name.split("/")]
                self._write("/".join(parts), iter([data]))
        except DeconvError as error:
            raise DeconvError(str(error).replace(packed.name, shown(name))) from error
        finally:
            packed.unlink(missing_ok=True)

    def _is_wanted(self, name: str) -> bool:
        return name.lower().endswith((*EXTENSIONS, *self._also))

    def _write(self, name: str, pieces: Iterable[bytes]) -> None:
        head, slash, last = name.rpartition("/")
        stem, dot, suffix = last.rpartition(".")
        number = 1
        # Compared without regard to case, so that any disk can hold the set.
        while name.casefold() in self._files or name.casefold() in self._folders:
            number += 1
            name = f"{head}{slash}{stem} ({number}){dot}{suffix}"
        parents = {parent.as_posix().casefold() for parent in Path(name).parents} - {"."}
        if parents & self._files:
            self.refused.append((name, f"{shown(name)} lies in a folder that is also a file; it is not kept."))
            return
        self._files.add(name.casefold())
        self._folders |= parents
        path = self._folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        size, digest = self._copy(path, pieces)
        self.num_files += 1
        self.num_bytes += size
        self.fingerprint.add(name, digest)

    def _copy(self, path: Path, pieces: Iterable[bytes]) -> tuple[int, str]:
        size, digest = 0, hashlib.sha256()
        try:
            with path.open("xb") as file:
                for piece in pieces:
                    self._room -= len(piece)
                    if self._room < 0:
                        raise _full(self._limits.quota_bytes)
                    file.write(piece)
                    digest.update(piece)
                    size += len(piece)
        except OSError as error:
            if isinstance(error, DeconvError):
                raise
            raise DeconvError(
                f"The upload could not be written ({error.strerror}); make room on the disk of the workspace."
            ) from error
        return size, digest.hexdigest()


def _room(quota: int) -> int:
    """Bytes that may still be added to `data/`."""
    data = folder("data")
    used = 0
    for place, _, names in os.walk(data):
        for name in names:
            try:
                used += (Path(place) / name).lstat().st_size
            except OSError:  # deleted meanwhile
                continue
    return min(quota - used, shutil.disk_usage(data).free)


def _full(quota: int) -> DeconvError:
    return DeconvError(
        f"The workspace's data folder is full (at most {size_text(quota)}, and what the disk has); "
        "delete data sets that are no longer needed."
    )


@contextmanager
def _incoming() -> Iterator[Path]:
    """A folder beside the kept ones that is gone afterwards, whatever happens."""
    data = folder("data")
    for stale in data.glob(f"{_INCOMING}*"):
        with suppress(FileNotFoundError):
            if time.time() - stale.stat().st_mtime > _STALE_SECONDS:  # left behind by a process that was killed
                shutil.rmtree(stale, ignore_errors=True)
    incoming = Path(tempfile.mkdtemp(prefix=_INCOMING, dir=data))
    try:
        yield incoming
    finally:
        shutil.rmtree(incoming, ignore_errors=True)


def _publish(incoming: Path, target: Path) -> None:
    try:
        incoming.rename(target)
    except OSError:
        if not target.is_dir():  # somebody else brought the same meanwhile: theirs is as good
            raise


def _line(error: Exception) -> str:
    return (str(error).splitlines() or [""])[0].rstrip(". ")[:150] or type(error).__name__
