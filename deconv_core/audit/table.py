"""The results of an audit, read page by page: counts, histograms and rows, of a finished audit or of one at work.

Numbers of all rows are held in memory (four bytes each, about 100 MB for a million pictures), so thresholds, filters
and sorting answer at once; everything else (reasons, digests, formats) is read for the rows of a page alone, and only
the columns asked for. Of an audit at work, only the parts written since the last reading are read.

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
from deconv_core.audit.rows import FinishedRows, Rows, RowsAtWork
from deconv_core.errors import DeconvError

if TYPE_CHECKING:
    import pandas as pd

_SORTABLE_TEXT = ("image", "status", "format", "mode")
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
        self._rows: Rows
        if self.finished:
            self._rows = FinishedRows(results / "images.parquet")
        else:
            known = earlier._rows.parts if earlier is not None and isinstance(earlier._rows, RowsAtWork) else {}
            self._rows = RowsAtWork(results, self.settings, known)
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
        values = self.known(check)
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
        values, value = self.known(check), np.float32(value)
        no_better = values >= value if row.flags_when == "above" else values <= value
        return 100.0 * float(no_better.mean()) if len(values) else float("nan")

    def known(self, column: str) -> np.ndarray:
        """The finite values of a numeric column."""
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

    def rows(self, places: np.ndarray, columns: Sequence[str] | None = None) -> pd.DataFrame:
        """The rows at these places, in this order; quickest with no more columns than are needed."""
        names = list(columns) if columns is not None else self.columns
        frame = self._rows.take(np.asarray(places, np.int64), names).to_pandas()
        frame.index = list(places)
        return frame

    def row(self, image: str, columns: Sequence[str] | None = None) -> dict[str, Any]:
        """One picture; `issues` is a list.

        Args:
            image: Its name.
            columns: As in `rows`.

        Raises:
            DeconvError: No picture has this name.
        """
        names = list(columns) if columns is not None else self.columns
        return self._rows.take(np.array([self.place(image)]), names).to_pylist()[0]

    def place(self, image: str) -> int:
        """The row of a picture.

        Raises:
            DeconvError: No picture has this name.
        """
        return int(self.places([image])[0])

    def places(self, images: Sequence[str]) -> np.ndarray:
        """As `find`, of names that the table holds.

        Raises:
            DeconvError: No picture has one of these names.
        """
        found = self.find(images)
        for image, place in zip(images, found, strict=True):
            if place < 0:
                raise DeconvError(f"The audit holds no picture named {image[:120]!r}; take a name from its table.")
        return found

    def find(self, images: Sequence[str]) -> np.ndarray:
        """The row of every name, int64, -1 for names that the table does not hold; one look-up for all of them."""
        import pyarrow as pa
        import pyarrow.compute as compute

        if not len(images):
            return np.empty(0, np.int64)
        # Names are data: one that is no text is no name of the table.
        texts = [name.encode("utf-8", "backslashreplace").decode() for name in images]
        found = compute.index_in(pa.array(texts, self.names.type), value_set=self.names)
        return found.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)

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


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
