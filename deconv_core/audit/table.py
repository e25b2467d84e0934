"""The results of an audit, read page by page: counts, histograms and rows, of a finished audit or of one at work.

Numbers of all rows are held in memory (four bytes each, about 100 MB for a million pictures), so thresholds, filters
and sorting answer at once; everything else (reasons, digests, formats) is read for the rows of a page alone, and only
the columns asked for. Of an audit at work, only the parts written since the last reading are read.

`AuditTable.stamp(folder)` changes whenever there is something new to read: use it as the key of a cache.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from deconv_core.audit.checks import CHECKS, Check, flag
from deconv_core.audit.measure import FACTS, VALUES
from deconv_core.audit.parts import MEASURED, MODEL, MODEL_VALUES, list_parts, read_part
from deconv_core.errors import DeconvError

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

_SORTABLE_TEXT = ("image", "status", "format", "mode")
_UNSEEN = ("hash", "grid")  # of use to the run alone; not among the numbers
_REMEMBERED = 64  # answers of the checks, one byte per picture each


@dataclass(frozen=True)
class Filter:
    """Which rows are meant; all conditions together.

    Attributes:
        flagged: Only rows that at least one of these checks flags.
        passed: True for rows that no check flags, False for rows that at least one flags, None for both.
        text: Only names that contain this, whatever the case.
        images: Only these names; None for all.
        thresholds: Check -> threshold that counts instead of the default.
    """

    flagged: tuple[str, ...] = ()
    passed: bool | None = None
    text: str = ""
    images: frozenset[str] | None = None
    thresholds: Mapping[str, float] = field(default_factory=dict)


class AuditTable:
    """The table of an audit.

    Args:
        folder: The job folder of the audit.
        earlier: An earlier reading of the same folder; what it has read of an audit at work is not read again.

    Attributes:
        finished: Whether the whole set was measured; before, copies and outliers are not yet known.
        checks: Keys of the checks that were made, in order.
        settings: As in `settings.json`.
        summary: As in `summary.json`; empty before the end.
        numbers: Data frame of every numeric column, one row per picture in the set's order.
        names: Names of the pictures, a pyarrow array in the same order.
        columns: Names of all columns.

    Raises:
        DeconvError: The folder holds no audit, or its table is damaged.
    """

    def __init__(self, folder: Path | str, earlier: AuditTable | None = None) -> None:
        self.folder = Path(folder)
        self.settings = _read_json(self.folder / "settings.json")
        if not self.settings:
            raise DeconvError(f"'{self.folder.name}' holds no audit; start one, or choose another folder.")
        results = self.folder / "results"
        self.finished = (results / "images.parquet").exists()
        self.summary = _read_json(results / "summary.json") if self.finished else {}
        self._rows: _Rows
        if self.finished:
            self._rows = _Finished(results / "images.parquet")
        else:
            known = earlier._rows.parts if earlier is not None and isinstance(earlier._rows, _AtWork) else {}
            self._rows = _AtWork(results, self.settings, known)
        self.numbers, self.names, self.columns = self._rows.numbers, self._rows.names, self._rows.columns
        self.checks = tuple(key for key in CHECKS if key in self.numbers)
        self._flags: dict[tuple[str, float | None], np.ndarray] = {}

    @staticmethod
    def stamp(folder: Path | str) -> tuple[Any, ...]:
        """A small value that differs whenever the results have changed."""
        results = Path(folder) / "results"
        try:
            status = (results / "images.parquet").stat()
            return (status.st_mtime_ns, status.st_size, status.st_ino)
        except OSError:
            return (len(list_parts(results, MEASURED)), len(list_parts(results, MODEL)))

    # Counting

    @property
    def count(self) -> int:
        """How many pictures there are, or were measured so far."""
        return len(self.numbers)

    def count_status(self) -> dict[str, int]:
        """Status -> number of pictures."""
        return {entry["values"].as_py(): entry["counts"].as_py() for entry in self._rows.status.value_counts()}

    def flagged(self, check: str, threshold: float | None = None) -> np.ndarray:
        """Which rows a check flags, as a boolean array that is only to be read."""
        key = (check, threshold)
        if key not in self._flags:
            row = self._check(check)
            while len(self._flags) >= _REMEMBERED:
                self._flags.pop(next(iter(self._flags), key), None)
            found = row.flags(self.numbers[check].to_numpy(), threshold)
            found.flags.writeable = False
            self._flags[key] = found
        return self._flags[key]

    def counts(self, thresholds: Mapping[str, float] | None = None) -> dict[str, int]:
        """Check -> number of pictures that it flags."""
        thresholds = thresholds or {}
        return {key: int(self.flagged(key, thresholds.get(key)).sum()) for key in self.checks}

    def histogram(
        self, column: str, bins: int = 40, low: float | None = None, high: float | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """(counts, edges) of a numeric column; values beyond the edges count in the outermost bins.

        Args:
            column: A check or another numeric column.
            bins: How many.
            low, high: Edges; without them, the range of the finite values.
        """
        return histogram(self.numbers[column].to_numpy(), bins, low, high)

    def threshold_at(self, check: str, percent: float) -> float:
        """The threshold at which a check flags about so many percent of the pictures that have a value.

        Raises:
            DeconvError: The check was not made, only says yes or no, or the percentage is none.
        """
        row = self._check(check)
        if row.flags_when == "set" or not 0 <= percent <= 100:
            raise DeconvError(
                f"{row.label} has no threshold at {percent} %; expected a check with a scale, 0 to 100 %."
            )
        values = self._known(check)
        if not len(values):
            return row.threshold
        return float(np.percentile(values, 100 - percent if row.flags_when == "above" else percent))

    def share_flagged(self, check: str, threshold: float | None = None) -> float:
        """Percent of the pictures with a value that a check flags."""
        known = np.isfinite(self.numbers[check].to_numpy()).sum()
        return 100.0 * float(self.flagged(check, threshold).sum()) / max(1, int(known))

    def percentile(self, check: str, value: float) -> float:
        """Where a value stands within the set: percent of the pictures with a value that are no better, 100 the best.

        NaN where there is no value, and for a check that only says yes or no.
        """
        row = self._check(check)
        if row.flags_when == "set" or not np.isfinite(value):
            return float("nan")
        values, value = self._known(check), np.float32(value)
        no_better = values >= value if row.flags_when == "above" else values <= value
        return 100.0 * float(no_better.mean()) if len(values) else float("nan")

    def _known(self, column: str) -> np.ndarray:
        values = self.numbers[column].to_numpy()
        return values[np.isfinite(values)]

    # Rows

    def select(self, chosen: Filter | None = None) -> np.ndarray:
        """Places of the rows that a filter leaves, in the set's order."""
        chosen = chosen or Filter()
        keep = np.ones(self.count, bool)
        if chosen.flagged:
            keep &= np.logical_or.reduce([self.flagged(key, chosen.thresholds.get(key)) for key in chosen.flagged])
        if chosen.passed is not None:
            some = np.zeros(self.count, bool)
            for key in self.checks:
                some |= self.flagged(key, chosen.thresholds.get(key))
            keep &= ~some if chosen.passed else some
        if chosen.text:
            import pyarrow.compute as compute

            found = compute.match_substring(self.names, chosen.text, ignore_case=True)
            keep &= found.to_numpy(zero_copy_only=False).astype(bool)
        if chosen.images is not None:
            import pyarrow as pa
            import pyarrow.compute as compute

            wanted = pa.array(sorted(chosen.images), self.names.type)
            keep &= compute.is_in(self.names, wanted).to_numpy(zero_copy_only=False).astype(bool)
        return np.flatnonzero(keep)

    def order(
        self, places: np.ndarray, sort: str = "number", descending: bool = False, *, risk: np.ndarray | None = None
    ) -> np.ndarray:
        """The places sorted by a column; rows without a value come last, ties stay in the set's order.

        Args:
            places: What is to be sorted.
            sort: A check, another number, or image, status, format or mode.
            descending: The largest first.
            risk: Quality risk of every row of the table that counts instead of the one made with the usual points.

        Raises:
            DeconvError: No such column, or one that has no order.
        """
        if sort in self.numbers:
            known = risk if risk is not None and sort == "quality_risk" else self.numbers[sort].to_numpy()
            values = known[places].astype(np.float64)
            missing = np.isnan(values)
            ranked = np.argsort(np.where(missing, np.inf, -values if descending else values), kind="stable")
            return places[ranked]
        if sort not in _SORTABLE_TEXT:
            raise DeconvError(f"The table cannot be sorted by '{sort}'; choose a check, a number or the name.")
        import pyarrow as pa
        import pyarrow.compute as compute

        values = self._rows.take(places, [sort]).column(0).combine_chunks()
        table = pa.table({"value": values, "place": pa.array(np.arange(len(places)))})
        keys = [("value", "descending" if descending else "ascending"), ("place", "ascending")]
        return places[compute.sort_indices(table, sort_keys=keys).to_numpy()]

    def page(
        self,
        sort: str = "number",
        descending: bool = False,
        filter: Filter | None = None,
        offset: int = 0,
        limit: int = 50,
        columns: Sequence[str] | None = None,
    ) -> pd.DataFrame:
        """Some rows as a data frame; its index holds their places.

        Args:
            sort, descending: See `order`.
            filter: See `Filter`; None for all rows.
            offset, limit: Which of them.
            columns: Which columns; None for all.
        """
        places = self.order(self.select(filter), sort, descending)[offset : offset + limit]
        return self.rows(places, columns)

    def rows(self, places: np.ndarray, columns: Sequence[str] | None = None) -> pd.DataFrame:
        """The rows at these places, in this order; quickest with no more columns than are needed."""
        names = list(columns) if columns is not None else self.columns
        frame = self._rows.take(np.asarray(places, np.int64), names).to_pandas()
        frame.index = list(places)
        return frame

    def row(self, image: str) -> dict[str, Any]:
        """Everything about one picture; `issues` is a list.

        Raises:
            DeconvError: No picture has this name.
        """
        return self._rows.take(np.array([self.place(image)]), self.columns).to_pylist()[0]

    def place(self, image: str) -> int:
        """The row of a picture.

        Raises:
            DeconvError: No picture has this name.
        """
        return int(self.places([image])[0])

    def places(self, images: Sequence[str]) -> np.ndarray:
        """The rows of pictures, int64, in their order; the names are gone through once for all of them.

        Raises:
            DeconvError: No picture has one of these names.
        """
        import pyarrow as pa
        import pyarrow.compute as compute

        wanted = pa.array(list(dict.fromkeys(images)), self.names.type)
        found = np.flatnonzero(compute.is_in(self.names, wanted).to_numpy(zero_copy_only=False))
        known = dict(zip(self.names.take(pa.array(found)).to_pylist(), found, strict=True))
        lacking = next((image for image in images if image not in known), None)
        if lacking is not None:
            raise DeconvError(f"The audit holds no picture named {lacking[:120]!r}; take a name from its table.")
        return np.array([known[image] for image in images], np.int64)

    def worst(
        self,
        check: str,
        count: int = 4,
        threshold: float | None = None,
        *,
        risk: np.ndarray | None = None,
        columns: Sequence[str] | None = None,
    ) -> pd.DataFrame:
        """The rows that a check flags most clearly; where it says only yes, those with the highest quality risk.

        Args:
            check: Its key.
            count: At most so many.
            threshold: What counts instead of the default.
            risk: As in `order`.
            columns: As in `rows`.
        """
        row = self._check(check)
        places = np.flatnonzero(self.flagged(check, threshold))
        if row.flags_when == "set":
            places = self.order(places, "quality_risk", descending=True, risk=risk)
        else:
            places = self.order(places, check, descending=row.flags_when == "above")
        return self.rows(places[:count], columns)

    def _check(self, key: str) -> Check:
        if key not in self.checks:
            raise DeconvError(f"The check '{key}' was not made; this audit holds {', '.join(self.checks)}.")
        return CHECKS[key]


def histogram(
    values: np.ndarray, bins: int, low: float | None = None, high: float | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """(counts, edges) of the finite ones of some values; see `AuditTable.histogram`."""
    values = values[np.isfinite(values)]
    low = low if low is not None else float(values.min(initial=np.inf))
    high = high if high is not None else float(values.max(initial=-np.inf))
    if not np.isfinite([low, high]).all() or high <= low:
        high, low = (low + 1, low) if np.isfinite(low) else (1.0, 0.0)
    edges = np.linspace(low, high, bins + 1)
    counts, _ = np.histogram(np.clip(values, low, high), edges)
    return counts, edges


class _Rows(Protocol):
    """Where the rows come from."""

    numbers: pd.DataFrame
    names: pa.Array
    status: pa.Array
    columns: list[str]

    def take(self, places: np.ndarray, columns: Sequence[str]) -> pa.Table:
        """These columns of the rows at these places, in this order."""


class _Finished:
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
        import pyarrow as pa

        groups = np.searchsorted(self._starts, places, side="right") - 1
        parts, order = [], []
        for group in np.unique(groups):
            chosen = np.flatnonzero(groups == group)
            with self._lock:
                read = self._file.read_row_group(int(group), columns=columns, use_threads=False)
            parts.append(read.select(columns).take(pa.array(places[chosen] - self._starts[group])))
            order.append(chosen)
        if not parts:
            return self._file.schema_arrow.empty_table().select(columns)
        return pa.concat_tables(parts).take(pa.array(np.argsort(np.concatenate(order), kind="stable")))

    def _damaged(self, error: Exception) -> DeconvError:
        reason = (str(error).splitlines() or [""])[0][:150]
        return DeconvError(
            f"{self._path.name} is not readable ({reason}); delete it and resume the audit, which makes it again."
        )


class _AtWork:
    """Rows of the parts written so far, with what can be told of the set before its end.

    A picture that was measured more than once counts as it was measured last. What was measured by another recipe than
    the run's, as before an older audit was resumed, does not count.
    """

    def __init__(self, results: Path, settings: Mapping[str, Any], known: Mapping[str, _Part]) -> None:
        import pandas as pd
        import pyarrow as pa

        from deconv_core.audit.recipes import read_begun
        from deconv_core.audit.run import settings_from

        checks = settings_from(dict(settings)).chosen_checks()
        by = read_begun(results).get("parts", {})
        self.parts = {}
        for kind in (MEASURED, MODEL):
            for path in list_parts(results, kind):
                part = known.get(path.name)
                if part is None or part.recipe != by.get(kind):
                    part = _Part.read(path, kind, by.get(kind))
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
        self._add_set_columns(frame, checks)
        self._of = {
            key: frame[CHECKS[key].neighbour_column].to_numpy() for key in checks if CHECKS[key].neighbour_column
        }
        numeric = [*_NUMBERS, *(key for key in checks if key in frame), "brightness", "contrast", "quality_risk"]
        self.numbers = _light(frame[numeric].copy())
        self.columns = ["image", "status", "reason", *(name for name in FACTS if name not in _FIRST)]
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

    @staticmethod
    def _add_set_columns(frame: pd.DataFrame, checks: Sequence[str]) -> None:
        from deconv_core.audit.risk import risk
        from deconv_core.audit.whole import add_set_columns

        add_set_columns(frame, copies=False)
        frame["quality_risk"] = risk(frame[[key for key in checks if key in frame]])

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
            keys = [key for key in CHECKS if key in self.numbers]
            flagged = flag(self.numbers.iloc[places], keys)
            held["issues"] = pa.array(
                [[key for key in keys if flagged[key][row]] for row in range(len(places))], pa.list_(pa.string())
            )
        return pa.table({name: held[name] for name in columns})

    def _read(self, places: np.ndarray, columns: list[str]) -> pa.Table:
        import pyarrow as pa

        starts = np.concatenate([[0], np.cumsum([len(part.key) for part in self._measured])]).astype(np.int64)
        origin = self._origin[places]
        owners = np.searchsorted(starts, origin, side="right") - 1
        parts, order = [], []
        for owner in np.unique(owners):
            chosen = np.flatnonzero(owners == owner)
            path = self._measured[owner].path
            table = read_part(path, MEASURED, columns)
            if table is None:
                raise DeconvError(f"{path.name} cannot be read any more; resume the audit, which makes it again.")
            parts.append(table.take(pa.array(origin[chosen] - starts[owner])))
            order.append(chosen)
        if not parts:
            return pa.table({name: pa.array([], pa.string()) for name in columns})
        return pa.concat_tables(parts).take(pa.array(np.argsort(np.concatenate(order), kind="stable")))

    def _with_model_reasons(self, places: np.ndarray, reasons: pa.ChunkedArray) -> pa.Array:
        """A picture that was read but could not be rebuilt says so in the one column of reasons."""
        import pyarrow as pa

        starts = np.concatenate([[0], np.cumsum([len(part.key) for part in self._model])]).astype(np.int64)
        told = reasons.to_pylist()
        for number, place in enumerate(self._rebuilt[places]):
            if place >= 0:
                owner = int(np.searchsorted(starts, place, side="right")) - 1
                told[number] = self._model[owner].reasons[int(place - starts[owner])].as_py() or told[number]
        return pa.array(told, pa.string())


_FIRST = ("image", "status", "reason", "grid")
_NUMBERS = tuple(name for name, kind in FACTS.items() if kind not in ("text", "binary") and name not in _UNSEEN)


class _Part:
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
    def read(cls, path: Path, kind: str, recipe: str | None) -> _Part | None:
        """A part from its file; None where it cannot be read, or was measured by another recipe than this."""
        facts = ("image", "digest", "status", "format", *_NUMBERS, *VALUES)
        columns = facts if kind == MEASURED else ("image", "digest", "model_reason", *MODEL_VALUES)
        table = read_part(path, kind, columns, recipe=recipe)
        return None if table is None else cls(path, kind, recipe, table)


def _joined(parts: Sequence[_Part], name: str, kind: type = np.float32) -> np.ndarray:
    """One column of all parts, one after another."""
    found = [part.numbers[name] if name in part.numbers else getattr(part, name) for part in parts]
    return np.concatenate(found) if found else np.array([], kind)


def _held(rows: _Rows, places: np.ndarray, columns: Sequence[str]) -> dict[str, Any]:
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


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
