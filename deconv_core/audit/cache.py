"""Measurements kept from one audit to the next, by content and recipe, in one SQLite file of the workspace.

Two tables: `files` tells the digest of a file by its place, size and time of change, so that an unchanged file need not
even be read; `rows` holds what was measured on a content by a recipe (what is measured, its version, the model). A file
changed within two seconds of being measured is not trusted by its time alone, since clocks of disks are coarse.
The cache only ever saves time: where it cannot be opened or is damaged, everything is measured again.
"""

from __future__ import annotations

import contextlib
import sqlite3
import struct
import time
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

_SETTLED_NS = 2_000_000_000
_AT_ONCE = 500
_PATIENCE_SECONDS = 5.0
_PENDING = 1000
_PAGES_KIB = 32_768  # of the data base held in memory
_TEXTS = ("status", "reason", "format", "mode", "model_reason")
_WHOLE = ("width", "height", "bits", "orientation")
_NO_DATA_BASE = (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT)
# ValueError: among others what SQLite cannot hold as text.
_DAMAGED = (sqlite3.Error, struct.error, ValueError)


class Cache:
    """The measurements of one recipe.

    Args:
        path: The SQLite file; made if it is missing. None keeps nothing.
        recipe: Identity of what is measured and how.
        values: Names of the numbers in a row.
        read_only: Only look up; nothing is made, nothing repaired.
    """

    def __init__(self, path: Path | None, recipe: str, values: Sequence[str], *, read_only: bool = False) -> None:
        self._recipe, self._values = recipe, tuple(values)
        self._layout = struct.Struct(f"<4iQH{len(self._values)}f")
        self._base: sqlite3.Connection | None = None
        self._files: list[tuple[str, int, int, str]] = []
        self._contents: list[tuple[str, str, bytes]] = []
        if path is None:
            return
        if read_only:
            with contextlib.suppress(sqlite3.Error, OSError):
                self._base = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", timeout=_PATIENCE_SECONDS, uri=True)
            return
        with contextlib.suppress(sqlite3.Error, OSError):
            try:
                self._base = self._open(path)
            except sqlite3.Error as error:
                # Others use it too: a lock or a full disk is no reason to take from them what was measured.
                if getattr(error, "sqlite_errorcode", 0) & 0xFF not in _NO_DATA_BASE:
                    raise
                for ending in ("", "-wal", "-shm"):
                    path.with_name(path.name + ending).unlink(missing_ok=True)
                self._base = self._open(path)

    @staticmethod
    def _open(path: Path) -> sqlite3.Connection:
        base = sqlite3.connect(path, timeout=_PATIENCE_SECONDS, isolation_level=None)
        try:
            base.execute("PRAGMA journal_mode=WAL")
            base.execute("PRAGMA synchronous=OFF")
            base.execute(f"PRAGMA cache_size=-{_PAGES_KIB}")
            base.execute(
                "CREATE TABLE IF NOT EXISTS files (place TEXT PRIMARY KEY, bytes INTEGER, modified INTEGER, "
                "digest TEXT) WITHOUT ROWID"
            )
            base.execute(
                "CREATE TABLE IF NOT EXISTS rows (recipe TEXT, digest TEXT, content BLOB, "
                "PRIMARY KEY (recipe, digest)) WITHOUT ROWID"
            )
        except BaseException:
            base.close()
            raise
        return base

    def _pack(self, row: Mapping[str, Any]) -> bytes:
        grid = row.get("grid", b"")
        whole = (row.get(name, 0) for name in _WHOLE)
        numbers = (row[name] for name in self._values)
        text = "\0".join(row.get(name, "").replace("\0", "?") for name in _TEXTS)
        return self._layout.pack(*whole, row.get("hash", 0), len(grid), *numbers) + grid + text.encode()

    def _unpack(self, content: bytes) -> dict[str, Any]:
        *whole, bits, length = (found := self._layout.unpack_from(content))[: len(_WHOLE) + 2]
        end = self._layout.size + length
        texts = content[end:].decode().split("\0")
        return {
            **dict(zip(_WHOLE, whole, strict=True)),
            "hash": bits,
            "grid": content[self._layout.size : end],
            **dict(zip(self._values, found[len(_WHOLE) + 2 :], strict=True)),
            **dict(zip(_TEXTS, texts, strict=True)),
        }

    def close(self) -> None:
        if self._base is not None:
            self.flush()
            self._base.close()
            self._base = None

    def columns(self, contents: Sequence[bytes]) -> dict[str, Any]:
        """Packed rows as columns, all at once; row by row would take most of the time of a second run."""
        fixed = self._layout.size
        kinds = [(name, "<i4") for name in _WHOLE] + [("hash", "<u8"), ("length", "<u2")]
        kinds += [(name, "<f4") for name in self._values]
        table = np.frombuffer(b"".join(content[:fixed] for content in contents), kinds)
        ends = [fixed + length for length in table["length"].tolist()]
        tails = [content[end:] for content, end in zip(contents, ends, strict=True)]
        split = {tail: tail.decode().split("\0") for tail in set(tails)}  # the same few, again and again
        texts = [split[tail] for tail in tails]
        return {
            **{name: table[name] for name in (*_WHOLE, "hash", *self._values)},
            "grid": [content[fixed:end] for content, end in zip(contents, ends, strict=True)],
            **dict(zip(_TEXTS, map(list, zip(*texts, strict=True)), strict=True)),
        }

    def find(self, files: Sequence[tuple[str, int | None, int]]) -> dict[int, tuple[str, bytes, int]]:
        """What is known of files: position in `files` -> digest, packed row, bytes.

        Args:
            files: (place, bytes, modified) each; bytes are None where only reading would tell.
        """
        found: dict[int, tuple[str, bytes, int]] = {}
        if self._base is None:
            return found
        self.flush()
        try:
            for start in range(0, len(files), _AT_ONCE):
                part = files[start : start + _AT_ONCE]
                marks = ",".join("?" * len(part))
                rows = self._base.execute(
                    "SELECT f.place, f.bytes, f.modified, f.digest, r.content FROM files f JOIN rows r "
                    f"ON r.digest = f.digest AND r.recipe = ? WHERE f.place IN ({marks})",
                    (self._recipe, *(place for place, _, _ in part)),
                )
                known = {place: rest for place, *rest in rows}
                for number, (place, size, modified) in enumerate(part, start):
                    row = known.get(place)
                    if row is not None and modified and row[1] == modified and size in (row[0], None):
                        found[number] = (row[2], row[3], row[0])
        except _DAMAGED:
            return {}
        return found

    def find_contents(self, digests: Sequence[str]) -> dict[str, dict[str, Any]]:
        """What is known of contents: digest -> row."""
        if self._base is None:
            return {}
        self.flush()
        found: dict[str, dict[str, Any]] = {}
        try:
            for start in range(0, len(digests), _AT_ONCE):
                part = digests[start : start + _AT_ONCE]
                marks = ",".join("?" * len(part))
                query = f"SELECT digest, content FROM rows WHERE recipe = ? AND digest IN ({marks})"
                for digest, content in self._base.execute(query, (self._recipe, *part)):
                    found[digest] = self._unpack(content)
        except _DAMAGED:
            return {}
        return found

    def keep(self, files: Sequence[tuple[str, int, int, str]], rows: Mapping[str, Mapping[str, Any]]) -> None:
        """Remember files (place, bytes, modified, digest) and rows by digest; on the disk after some, or `flush`."""
        if self._base is None:
            return
        settled = time.time_ns() - _SETTLED_NS
        self._files += [file for file in files if file[3] and 0 < file[2] < settled]
        self._contents += [(self._recipe, digest, self._pack(row)) for digest, row in rows.items() if digest]
        if max(len(self._files), len(self._contents)) >= _PENDING:
            self.flush()

    def _insert(self, table: str, rows: list[tuple[Any, ...]]) -> None:
        # Many rows in one statement: with one for each, threads at work would be asked for the interpreter every time.
        for start in range(0, len(rows), _AT_ONCE):
            some = rows[start : start + _AT_ONCE]
            marks = ",".join([f"({','.join('?' * len(some[0]))})"] * len(some))
            self._base.execute(f"INSERT OR REPLACE INTO {table} VALUES {marks}", list(chain.from_iterable(some)))

    def flush(self) -> None:
        """Write what has gathered; a full disk or a lock is no error, it is then not remembered."""
        if self._base is None or not (self._files or self._contents):
            return
        try:
            self._base.execute("BEGIN")
            self._insert("files", self._files)
            self._insert("rows", self._contents)
            self._base.execute("COMMIT")
        except _DAMAGED:
            # Left open, the transaction would have every later one fail.
            with contextlib.suppress(sqlite3.Error):
                self._base.rollback()
        finally:
            self._files, self._contents = [], []
