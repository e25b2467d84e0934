"""Rows of an audit on their way to the disk: typed columns, Parquet parts that are there as a whole or not at all.

A part is written beside and renamed, so a killed run leaves at worst a nameless draft. Parts that cannot be read all
the same (a full or failing disk) are put aside when a run is resumed, and their pictures measured again. A part says by
which recipe it was measured; a run takes over only those of its own recipe.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deconv_core.audit.measure import FACTS, VALUES
from deconv_core.files import write_whole

if TYPE_CHECKING:
    import pyarrow as pa

MEASURED, MODEL = "measured", "model"
MODEL_VALUES = ("reconstruction", "low_quality")
# What a finished table says of every picture before the checks; the grid has served its purpose by then.
FACT_COLUMNS = tuple(dict.fromkeys(("image", "status", "reason", *(name for name in FACTS if name != "grid"))))
_KEYS = ("number", "image", "bytes", "modified", "digest")
_ROWS, _SECONDS = 16_384, 2.0
_RECIPE = b"recipe"
_FEW_VALUES = ("status", "reason", "format", "mode", "width", "height", "bits", "orientation", "model_reason", "issues")


def schema(kind: str) -> pa.Schema:
    """The columns of a part of this kind."""
    import pyarrow as pa

    types = {"text": pa.string(), "binary": pa.binary()}
    if kind == MEASURED:
        columns = {name: types.get(word) or getattr(pa, word)() for name, word in FACTS.items()}
        columns |= dict.fromkeys(VALUES, pa.float32())
    else:
        columns = {name: types.get(FACTS[name]) or getattr(pa, FACTS[name])() for name in _KEYS}
        columns |= {"model_reason": pa.string(), **dict.fromkeys(MODEL_VALUES, pa.float32())}
    return pa.schema(columns)


def folder_of(results: Path) -> Path:
    """Where the parts of an audit lie."""
    return results / "parts"


def list_parts(results: Path, kind: str) -> list[Path]:
    """The parts of one kind in the order in which they were written."""
    return sorted(folder_of(results).glob(f"{kind}-*.parquet"))


def read_parts(
    results: Path, kind: str, columns: Sequence[str] | None = None, *, recipe: str | None = None
) -> pa.Table:
    """All rows written so far; parts that cannot be read are left out, and with a recipe those of any other."""
    import pyarrow as pa

    found = (read_part(path, kind, columns, recipe=recipe) for path in list_parts(results, kind))
    tables = [table for table in found if table is not None]
    wanted = schema(kind)
    if columns is not None:
        wanted = pa.schema([wanted.field(name) for name in columns])
    return pa.concat_tables(tables) if tables else wanted.empty_table()


def read_part(
    path: Path, kind: str, columns: Sequence[str] | None = None, *, recipe: str | None = None
) -> pa.Table | None:
    """One part, or None where it is damaged, has other columns, is gone, or was measured by another recipe."""
    import pyarrow as pa
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as file:
            if not file.schema_arrow.equals(schema(kind)):
                return None
            if recipe is not None and (file.schema_arrow.metadata or {}).get(_RECIPE) != recipe.encode():
                return None
            table = file.read(columns=list(columns) if columns is not None else None, use_threads=False)
            return table.replace_schema_metadata(None)
    except (pa.ArrowException, OSError):
        return None


def put_damaged_aside(results: Path) -> list[str]:
    """Rename what cannot be read, so that its pictures are measured again; the names of what was found."""
    found = []
    folder = folder_of(results)
    for draft in folder.glob(".*.parquet.*"):
        draft.unlink(missing_ok=True)
    for kind in (MEASURED, MODEL):
        for path in list_parts(results, kind):
            if read_part(path, kind) is None:
                path.replace(path.with_name(f"{path.name}.damaged"))
                found.append(path.name)
    return found


class PartWriter:
    """Gathers rows and writes them as parts: the first at once, then at most every two seconds, the last at the end.

    Used in a `with` statement, which writes what has gathered also where the work is broken off.

    Args:
        results: The job's `results/` folder.
        kind: MEASURED or MODEL.
        recipe: Identity of what is measured and how, written into every part.
    """

    def __init__(self, results: Path, kind: str, recipe: str = "") -> None:
        self._folder, self._kind, self._recipe = folder_of(results), kind, recipe
        self._folder.mkdir(parents=True, exist_ok=True)
        last = [path.name for path in self._folder.glob(f"{kind}-*.parquet*")]
        self._next = 1 + max((int(name.split("-")[1].split(".")[0]) for name in last), default=-1)
        self._rows: list[Mapping[str, Any]] = []
        self._tables: list[pa.Table] = []
        self._count, self._written = 0, float("-inf")

    def __enter__(self) -> PartWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self.flush()

    def add(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Take in rows; they are on the disk when `flush` has returned, or soon."""
        self._rows.extend(rows)
        self._count += len(rows)
        self._maybe_write()

    def add_columns(self, columns: Mapping[str, Any]) -> None:
        """As `add`, for rows that are columns already; columns that a part does not have are passed over."""
        import pyarrow as pa

        wanted = schema(self._kind)
        arrays = [pa.array(columns[field.name]).cast(field.type) for field in wanted]
        self._tables.append(pa.Table.from_arrays(arrays, schema=wanted))
        self._count += len(arrays[0])
        self._maybe_write()

    def _maybe_write(self) -> None:
        if self._count >= _ROWS or time.monotonic() - self._written >= _SECONDS:
            self.flush()

    def flush(self) -> None:
        """Write what has gathered."""
        import pyarrow as pa

        if not self._count:
            return
        tables = [*self._tables, *([as_table(self._rows, self._kind)] if self._rows else [])]
        name = f"{self._kind}-{self._next:08d}.parquet"
        table = pa.concat_tables(tables).replace_schema_metadata({_RECIPE: self._recipe.encode()})
        write_table(table, self._folder / name)
        self._rows, self._tables, self._count = [], [], 0
        self._next += 1
        self._written = time.monotonic()


def as_table(rows: Iterable[Mapping[str, Any]], kind: str) -> pa.Table:
    """Rows as a typed table."""
    import pyarrow as pa

    rows = list(rows)
    wanted = schema(kind)
    columns = [pa.array([row[field.name] for row in rows], field.type) for field in wanted]
    return pa.Table.from_arrays(columns, schema=wanted)


def write_table(table: pa.Table, path: Path, **options: Any) -> None:
    """Write a Parquet file that appears complete or not at all.

    Raises:
        DeconvError: It could not be written.
    """
    import pyarrow as pa
    from pyarrow import parquet

    sink = pa.BufferOutputStream()
    # Dictionaries only where the same values come again and again; to look for them takes most of the time elsewhere.
    few = [name for name in table.column_names if name in _FEW_VALUES]
    parquet.write_table(table, sink, compression="zstd", compression_level=1, use_dictionary=few, **options)
    write_whole(path, sink.getvalue())
