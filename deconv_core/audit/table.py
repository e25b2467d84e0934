"""The results of an audit, read page by page: counts, histograms and rows, of a finished audit or of one at work.

Numbers of all rows are held in memory (four bytes each, about 100 MB for a million pictures), so thresholds, filters
and sorting answer at once; everything else (reasons, digests, formats) is read for the rows of a page alone.

`AuditTable.stamp(folder)` changes whenever there is something new to read: use it as the key of a cache.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from deconv_core.audit.checks import CHECKS, Check
from deconv_core.audit.parts import MEASURED, MODEL, list_parts
from deconv_core.errors import DeconvError

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

_SORTABLE_TEXT = ("image", "status", "format", "mode")


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

    Attributes:
        finished: Whether the whole set was measured; before, copies and outliers are not yet known.
        checks: Keys of the checks that were made, in order.
        settings: As in `settings.json`.
        summary: As in `summary.json`; empty before the end.
        numbers: Data frame of every numeric column, one row per picture in the set's order.
        names: Names of the pictures, a pyarrow array in the same order.

    Raises:
        DeconvError: The folder holds no audit.
    """

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)
        self.settings = _read_json(self.folder / "settings.json")
        if not self.settings:
            raise DeconvError(f"'{self.folder.name}' holds no audit; start one, or choose another folder.")
        results = self.folder / "results"
        self._path = results / "images.parquet"
        self.finished = self._path.exists()
        self.summary = _read_json(results / "summary.json") if self.finished else {}
        self._whole: pa.Table | None = None
        self._groups: dict[int, pa.Table] = {}
        if self.finished:
            self._read_finished()
        else:
            self._read_running(results)
        self.checks = tuple(key for key in CHECKS if key in self.numbers)
        self._places: dict[str, int] | None = None

    @staticmethod
    def stamp(folder: Path | str) -> tuple[Any, ...]:
        """A small value that differs whenever the results have changed."""
        results = Path(folder) / "results"
        try:
            status = (results / "images.parquet").stat()
            return (status.st_mtime_ns, status.st_size, status.st_ino)
        except OSError:
            return (len(list_parts(results, MEASURED)), len(list_parts(results, MODEL)))

    def _read_finished(self) -> None:
        import pyarrow.types as types
        from pyarrow import parquet

        self._file = parquet.ParquetFile(self._path, memory_map=True)
        schema = self._file.schema_arrow
        numeric = [entry.name for entry in schema if types.is_floating(entry.type) or types.is_integer(entry.type)]
        table = self._file.read(columns=[name for name in numeric if name != "hash"])
        self.numbers = _light(table.to_pandas())
        texts = self._file.read(columns=["image", "status"])
        self.names = texts.column("image").combine_chunks()
        self._status = texts.column("status").combine_chunks()
        sizes = [self._file.metadata.row_group(number).num_rows for number in range(self._file.num_row_groups)]
        self._starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        self.columns = list(schema.names)

    def _read_running(self, results: Path) -> None:
        import pyarrow as pa

        from deconv_core.audit.run import collect, complete, final_table, settings_from

        checks = settings_from(self.settings).chosen_checks()
        frame = collect(results)
        complete(frame, checks, copies=False)
        table = final_table(frame, checks)
        self._whole = table
        numeric = [
            entry.name for entry in table.schema if pa.types.is_floating(entry.type) or pa.types.is_integer(entry.type)
        ]
        self.numbers = _light(table.select([name for name in numeric if name != "hash"]).to_pandas())
        self.names = table.column("image").combine_chunks()
        self._status = table.column("status").combine_chunks()
        self.columns = table.column_names

    # Counting

    @property
    def count(self) -> int:
        """How many pictures there are, or were measured so far."""
        return len(self.numbers)

    def count_status(self) -> dict[str, int]:
        """Status -> number of pictures."""
        return {entry["values"].as_py(): entry["counts"].as_py() for entry in self._status.value_counts()}

    def flagged(self, check: str, threshold: float | None = None) -> np.ndarray:
        """Which rows a check flags, as a boolean array."""
        return self._check(check).flags(self.numbers[check].to_numpy(), threshold)

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
        values = self.numbers[column].to_numpy(np.float64)
        values = values[np.isfinite(values)]
        low = low if low is not None else float(values.min(initial=np.inf))
        high = high if high is not None else float(values.max(initial=-np.inf))
        if not np.isfinite([low, high]).all() or high <= low:
            high, low = (low + 1, low) if np.isfinite(low) else (1.0, 0.0)
        edges = np.linspace(low, high, bins + 1)
        counts, _ = np.histogram(np.clip(values, low, high), edges)
        return counts, edges

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
        values = self.numbers[check].to_numpy(np.float64)
        values = values[np.isfinite(values)]
        if not len(values):
            return row.threshold
        return float(np.percentile(values, 100 - percent if row.flags_when == "above" else percent))

    def share_flagged(self, check: str, threshold: float | None = None) -> float:
        """Percent of the pictures with a value that a check flags."""
        known = np.isfinite(self.numbers[check].to_numpy(np.float64)).sum()
        return 100.0 * float(self.flagged(check, threshold).sum()) / max(1, int(known))

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

    def order(self, places: np.ndarray, sort: str = "number", descending: bool = False) -> np.ndarray:
        """The places sorted by a column; rows without a value come last, ties stay in the set's order.

        Raises:
            DeconvError: No such column, or one that has no order.
        """
        if sort in self.numbers:
            values = self.numbers[sort].to_numpy()[places].astype(np.float64)
            missing = np.isnan(values)
            ranked = np.argsort(np.where(missing, np.inf, -values if descending else values), kind="stable")
            return places[ranked]
        if sort not in _SORTABLE_TEXT:
            raise DeconvError(f"The table cannot be sorted by '{sort}'; choose a check, a number or the name.")
        import pyarrow as pa
        import pyarrow.compute as compute

        values = (self.names if sort == "image" else self._texts([sort])).take(pa.array(places))
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
        """The rows at these places, in this order."""
        frame = self._take(np.asarray(places, np.int64), columns).to_pandas()
        frame.index = list(places)
        return frame

    def row(self, image: str) -> dict[str, Any]:
        """Everything about one picture; `issues` is a list.

        Raises:
            DeconvError: No picture has this name.
        """
        place = self.place(image)
        return self._take(np.array([place]), None).to_pylist()[0]

    def place(self, image: str) -> int:
        """The row of a picture.

        Raises:
            DeconvError: No picture has this name.
        """
        import pyarrow.compute as compute

        place = compute.index(self.names, image).as_py()
        if place < 0:
            raise DeconvError(f"The audit holds no picture named {image[:120]!r}; take a name from its table.")
        return place

    def worst(self, check: str, count: int = 4, threshold: float | None = None) -> pd.DataFrame:
        """The rows that a check flags most clearly; where it says only yes, those with the highest quality risk."""
        row = self._check(check)
        places = np.flatnonzero(self.flagged(check, threshold))
        if row.flags_when == "set":
            places = self.order(places, "quality_risk", descending=True)
        else:
            places = self.order(places, check, descending=row.flags_when == "above")
        return self.rows(places[:count])

    def _check(self, key: str) -> Check:
        if key not in self.checks:
            raise DeconvError(f"The check '{key}' was not made; this audit holds {', '.join(self.checks)}.")
        return CHECKS[key]

    def _texts(self, columns: Sequence[str]) -> pa.Array:
        table = self._whole.select(columns) if self._whole is not None else self._file.read(columns=list(columns))
        return table.column(0).combine_chunks()

    def _take(self, places: np.ndarray, columns: Sequence[str] | None) -> pa.Table:
        import pyarrow as pa

        names = list(columns) if columns is not None else self.columns
        if self._whole is not None:
            return self._whole.select(names).take(pa.array(places))
        groups = np.searchsorted(self._starts, places, side="right") - 1
        parts, order = [], []
        for group in np.unique(groups):
            chosen = np.flatnonzero(groups == group)
            read = self._file.read_row_group(int(group), columns=names)
            parts.append(read.select(names).take(pa.array(places[chosen] - self._starts[group])))
            order.append(chosen)
        if not parts:
            return self._file.schema_arrow.empty_table().select(names)
        table = pa.concat_tables(parts)
        return table.take(pa.array(np.argsort(np.concatenate(order), kind="stable")))


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
