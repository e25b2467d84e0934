"""Rows of an audit as its table reads them: of a finished audit, or of the parts that one at work has written so far.

Numbers, names and status of all rows are in memory; everything else is read for the rows asked for, and only the
columns asked for.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from deconv_core.audit.checks import CHECKS
from deconv_core.audit.measure import FACTS, VALUES
from deconv_core.audit.parts import FACT_COLUMNS, MEASURED, MODEL, MODEL_VALUES, list_parts, read_part
from deconv_core.audit.whole import issues
from deconv_core.errors import DeconvError

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

_UNSEEN = ("hash", "grid")  # of use to the run alone; not among the numbers


class Rows(Protocol):
    """Where the rows come from."""

    numbers: pd.DataFrame
    names: pa.Array
    status: pa.Array
    columns: list[str]

    def take(self, places: np.ndarray, columns: Sequence[str]) -> pa.Table:
        """These columns of the rows at these places, in this order."""


class FinishedRows:
    """Rows of `images.parquet`."""

    def __init__(self, path: Path) -> None:
        import pyarrow as pa
        import pyarrow.types as types
        from pyarrow import parquet

        self._path = path
        try:
            self._file = parquet.ParquetFile(path, memory_map=True)
            schema = self._file.schema_arrow
            numeric = [entry.name for entry in schema if types.is_floating(entry.type) or types.is_integer(entry.type)]
            self.numbers = _light(self._file.read([name for name in numeric if name not in _UNSEEN]).to_pandas())
            texts = self._file.read(columns=["image", "status"])
        except (pa.ArrowException, OSError, KeyError) as error:
            raise self._damaged(error) from error
        self.names = texts.column("image").combine_chunks()
        self.status = texts.column("status").combine_chunks()
        sizes = [self._file.metadata.row_group(number).num_rows for number in range(self._file.num_row_groups)]
        self._starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        self._lock = threading.Lock()  # one reader of the file at a time: the table is shared by all visitors
        self.columns = list(schema.names)

    def take(self, places: np.ndarray, columns: Sequence[str]) -> pa.Table:
        import pyarrow as pa

        held = _held(self, places, columns)
        left = [name for name in columns if name not in held]
        if left:
            try:
                table = self._read(places, left)
            except (pa.ArrowException, OSError) as error:
                raise self._damaged(error) from error
            held |= {name: table.column(name) for name in left}
        return pa.table({name: held[name] for name in columns})

    def _read(self, places: np.ndarray, columns: list[str]) -> pa.Table:
        def read(group: int) -> pa.Table:
            with self._lock:
                return self._file.read_row_group(group, columns=columns, use_threads=False).select(columns)

        return _gathered(places, self._starts, read, self._file.schema_arrow.empty_table().select(columns))

    def _damaged(self, error: Exception) -> DeconvError:
        reason = (str(error).splitlines() or [""])[0][:150]
        return DeconvError(
            f"{self._path.name} is not readable ({reason}); delete it and resume the audit, which makes it again."
        )


class RowsAtWork:
    """Rows of the parts written so far, with what can be told of the set before its end.

    A picture that was measured more than once counts as it was measured last. What was measured by another recipe than
    the run's, as before an older audit was resumed, does not count.
    """

    def __init__(self, results: Path, settings: Mapping[str, Any], known: Mapping[str, Part]) -> None:
        import pandas as pd
        import pyarrow as pa

        from deconv_core.audit.outcome import complete
        from deconv_core.audit.recipes import read_begun
        from deconv_core.audit.run import settings_from

        checks = settings_from(dict(settings)).chosen_checks()
        by = read_begun(results).get("parts", {})
        self.parts = {}
        for kind in (MEASURED, MODEL):
            for path in list_parts(results, kind):
                part = known.get(path.name)
                if part is None or part.recipe != by.get(kind):
                    part = Part.read(path, kind, by.get(kind))
                if part is not None:
                    self.parts[path.name] = part
        measured = [part for part in self.parts.values() if part.kind == MEASURED]
        self._measured = measured
        self._model = [part for part in self.parts.values() if part.kind == MODEL]
        every = {name: _joined(measured, name) for name in (*_NUMBERS, *VALUES)}
        keys = _joined(measured, "key", np.int64)
        last = np.flatnonzero(~pd.Series(keys).duplicated(keep="last").to_numpy())
        # Where each row comes from: a row of all parts one after another.
        self._origin = last[np.argsort(every["number"][last], kind="stable")]
        texts = [pa.concat_arrays([getattr(part, name) for part in measured] or [pa.array([], pa.string())])
                 for name in ("names", "status", "format")]  # fmt: skip
        self.names, self.status, kinds = (text.take(pa.array(self._origin)) for text in texts)
        frame = pd.DataFrame({name: values[self._origin] for name, values in every.items()})
        frame["image"] = keys[self._origin]  # stand for the names where only equality counts
        frame["digest"] = _joined(measured, "digest", np.int64)[self._origin]
        frame["status"], frame["format"] = self.status.to_pandas(), kinds.to_pandas()
        self._rebuilt = self._find_model_rows(frame)
        complete(frame, checks, copies=False)
        self._of = {
            key: frame[CHECKS[key].neighbour_column].to_numpy() for key in checks if CHECKS[key].neighbour_column
        }
        numeric = [*_NUMBERS, *(key for key in checks if key in frame), "brightness", "contrast", "quality_risk"]
        self.numbers = _light(frame[numeric].copy())
        self.columns = list(FACT_COLUMNS)
        for key in checks:
            self.columns += [key, *filter(None, [CHECKS[key].neighbour_column])]
        self.columns += ["brightness", "contrast", "quality_risk", "issues"]

    def _find_model_rows(self, frame: pd.DataFrame) -> np.ndarray:
        """For each row the place of its row among those of the model, -1 where there is none; adds the values."""
        import pandas as pd

        found = pd.DataFrame({name: _joined(self._model, name, np.int64) for name in ("key", "digest")})
        found["place"] = np.arange(len(found))
        found = found.drop_duplicates(["key", "digest"], keep="last")
        # By content too: a picture that has changed since keeps nothing of what the model made of it before.
        matched = frame[["image", "digest"]].merge(
            found, how="left", left_on=["image", "digest"], right_on=["key", "digest"], validate="many_to_one"
        )
        place = matched["place"].fillna(-1).to_numpy(np.int64)
        for name in MODEL_VALUES:
            values = np.append(_joined(self._model, name), np.float32(np.nan))
            frame[name] = values[place]
        return place

    def take(self, places: np.ndarray, columns: Sequence[str]) -> pa.Table:
        import pyarrow as pa

        held = _held(self, places, columns)
        left = [name for name in columns if name not in held and name in FACTS]
        if left:
            table = self._read(places, left)
            held |= {name: table.column(name) for name in left}
        if "reason" in held and "reason" in columns:
            held["reason"] = self._with_model_reasons(places, held["reason"])
        for key, of in self._of.items():
            found = of[places]
            held[CHECKS[key].neighbour_column] = self.names.take(pa.array(np.maximum(found, 0), mask=found < 0))
        if "issues" in columns:
            held["issues"] = issues(self.numbers.iloc[places], CHECKS)
        return pa.table({name: held[name] for name in columns})

    def _read(self, places: np.ndarray, columns: list[str]) -> pa.Table:
        import pyarrow as pa

        def read(number: int) -> pa.Table:
            path = self._measured[number].path
            table = read_part(path, MEASURED, columns)
            if table is None:
                raise DeconvError(f"{path.name} cannot be read any more; resume the audit, which makes it again.")
            return table

        none = pa.table({name: pa.array([], pa.string()) for name in columns})
        return _gathered(self._origin[places], _starts(self._measured), read, none)

    def _with_model_reasons(self, places: np.ndarray, reasons: pa.ChunkedArray) -> pa.Array:
        """A picture that was read but could not be rebuilt says so in the one column of reasons."""
        import pyarrow as pa

        starts = _starts(self._model)
        told = reasons.to_pylist()
        for number, place in enumerate(self._rebuilt[places]):
            if place >= 0:
                owner = int(np.searchsorted(starts, place, side="right")) - 1
                told[number] = self._model[owner].reasons[int(place - starts[owner])].as_py() or told[number]
        return pa.array(told, pa.string())


_NUMBERS = tuple(name for name, kind in FACTS.items() if kind not in ("text", "binary") and name not in _UNSEEN)


class Part:
    """What is kept in memory of one part: its numbers, names and marks of its contents."""

    def __init__(self, path: Path, kind: str, recipe: str | None, table: pa.Table) -> None:
        import pyarrow as pa

        self.path, self.kind, self.recipe = path, kind, recipe
        self.names = table.column("image").combine_chunks()
        self.key = np.array([hash(name) for name in self.names.to_pylist()], np.int64)
        self.digest = np.array([hash(digest) for digest in table.column("digest").to_pylist()], np.int64)
        numeric = (*_NUMBERS, *VALUES) if kind == MEASURED else MODEL_VALUES
        self.numbers = {name: table.column(name).to_numpy() for name in numeric}
        empty = pa.array([], pa.string())
        self.status, self.format, self.reasons = empty, empty, empty
        if kind == MEASURED:
            self.status, self.format = (table.column(name).combine_chunks() for name in ("status", "format"))
        else:
            self.reasons = table.column("model_reason").combine_chunks()

    @classmethod
    def read(cls, path: Path, kind: str, recipe: str | None) -> Part | None:
        """A part from its file; None where it cannot be read, or was measured by another recipe than this."""
        facts = ("image", "digest", "status", "format", *_NUMBERS, *VALUES)
        columns = facts if kind == MEASURED else ("image", "digest", "model_reason", *MODEL_VALUES)
        table = read_part(path, kind, columns, recipe=recipe)
        return None if table is None else cls(path, kind, recipe, table)


def _starts(parts: Sequence[Part]) -> np.ndarray:
    """Where each part begins among the rows of all of them one after another, and where the last one ends."""
    return np.concatenate([[0], np.cumsum([len(part.key) for part in parts])]).astype(np.int64)


def _gathered(places: np.ndarray, starts: np.ndarray, read: Callable[[int], pa.Table], none: pa.Table) -> pa.Table:
    """Rows at places among those of several tables one after another, in the order asked for.

    Args:
        places: int64, shape (N,).
        starts: Where each table begins.
        read: Reads a table by its number; only those that are needed, and once.
        none: What is given where no row is asked for.
    """
    import pyarrow as pa

    owners = np.searchsorted(starts, places, side="right") - 1
    parts, order = [], []
    for owner in np.unique(owners).tolist():
        chosen = np.flatnonzero(owners == owner)
        parts.append(read(owner).take(pa.array(places[chosen] - starts[owner])))
        order.append(chosen)
    return pa.concat_tables(parts).take(pa.array(np.argsort(np.concatenate(order), kind="stable"))) if parts else none


def _joined(parts: Sequence[Part], name: str, kind: type = np.float32) -> np.ndarray:
    """One column of all parts, one after another."""
    found = [part.numbers[name] if name in part.numbers else getattr(part, name) for part in parts]
    return np.concatenate(found) if found else np.array([], kind)


def _held(rows: Rows, places: np.ndarray, columns: Sequence[str]) -> dict[str, Any]:
    """Those of the columns that are in memory."""
    import pyarrow as pa

    held: dict[str, Any] = {}
    for name in columns:
        if name in rows.numbers:
            held[name] = pa.array(rows.numbers[name].to_numpy()[places], from_pandas=False)
        elif name in ("image", "status"):
            held[name] = (rows.names if name == "image" else rows.status).take(pa.array(places))
    return held


def _light(frame: pd.DataFrame) -> pd.DataFrame:
    """Numbers in four bytes where that loses nothing that matters."""
    for name, kind in frame.dtypes.items():
        if kind == np.float64:
            frame[name] = frame[name].astype(np.float32)
    return frame
