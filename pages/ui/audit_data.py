"""What every view of an audit works on: its table, what was chosen and decided for it, and words about its pictures."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import streamlit as st

from deconv_core.audit.checks import CHECKS
from deconv_core.audit.review import Choice, Review, read_weights, threshold_values
from deconv_core.audit.table import AuditTable, Filter
from deconv_core.audit.thumbnails import CHANGED, small_pictures
from deconv_core.audit.words import evidence, short
from deconv_core.errors import DeconvError
from pages.ui import cached
from pages.ui.thumbnails import Tile

DONE_WORDS = {"keep": "Kept", "drop": "Dropped", "unsure": "Unsure"}
ANY, NONE_FOUND, EVERYTHING = "any", "passed", "all"


@dataclass(frozen=True)
class Audit:
    """One audit as a run of the page sees it."""

    folder: Path
    token: str
    table: AuditTable
    thresholds: Mapping[str, float] = field(default_factory=dict)
    weights: Mapping[str, float] = field(default_factory=dict)

    @cached_property
    def review(self) -> Review:
        """The decisions."""
        return Review(self.folder)

    @property
    def settings(self) -> Mapping[str, Any]:
        """As the audit was asked for."""
        return self.table.settings

    def threshold(self, check: str) -> float:
        """The threshold that counts."""
        return self.thresholds.get(check, CHECKS[check].threshold)

    def filter(self, issue: str, text: str = "") -> Filter:
        """Which pictures an issue means: a check, ANY, NONE_FOUND or EVERYTHING."""
        passed = {ANY: False, NONE_FOUND: True}.get(issue)
        flagged = (issue,) if issue in CHECKS else ()
        return Filter(flagged=flagged, passed=passed, text=text, thresholds=self.thresholds)

    def name(self, place: int) -> str:
        """The name of the picture at a place of the table."""
        return self.table.names[int(place)].as_py()

    def evidence(self, row: Mapping[str, Any]) -> dict[str, str]:
        """Why checks flag a row, by the thresholds that count now: check -> sentence."""
        return {key: short(told, 300) for key, told in evidence(row, self.thresholds).items() if key in CHECKS}

    def facts(self, row: Mapping[str, Any]) -> list[str]:
        """One line for every check that flags a row."""
        return [f"{CHECKS[key].label}: {told}" for key, told in self.evidence(row).items()]

    @cached_property
    def risk(self) -> np.ndarray:
        """The quality risk of every picture, by the thresholds and points saved with the set: the one of all views."""
        weights, thresholds = (tuple(sorted(chosen.items())) for chosen in (self.weights, self.thresholds))
        return cached.audit_risk(self.token, weights, thresholds, self.table)

    @property
    def choice(self) -> Choice:
        """What tells good pictures from bad, and ranks them: all that is saved with the set."""
        return Choice(thresholds=self.thresholds, decisions=self.review.decisions, weights=self.weights)

    def issues_of(self, places: np.ndarray) -> list[list[str]]:
        """The checks that flag each of these rows."""
        found: list[list[str]] = [[] for _ in places]
        for key in self.table.checks:
            for number in np.flatnonzero(self.table.flagged(key, self.thresholds.get(key))[places]):
                found[number].append(key)
        return found


def read(folder: Path) -> Audit | None:
    """What an audit has found so far; None before its first pictures."""
    found = cached.audit_table(folder)
    if found is None or not found[1].count:
        return None
    return Audit(folder, *found, threshold_values(folder), read_weights(folder))


def tiles(audit: Audit, places: np.ndarray, column: str, *, note: bool = True) -> list[Tile]:
    """Thumbnails of rows, with the value of a column and what is wrong with them."""
    in_memory = column if column in audit.table.numbers else "image"
    rows = audit.table.rows(places, list(dict.fromkeys(["image", "status", in_memory])))
    if column == "quality_risk":
        rows[column] = audit.risk[places]
    pictures = small_pictures(audit.folder, rows["image"].tolist(), audit.table)
    notes = audit.issues_of(places) if note else [[] for _ in places]
    made = []
    for row, keys in zip(rows.to_dict("records"), notes, strict=True):
        small = pictures[row["image"]]
        marks = [DONE_WORDS.get(audit.review.decisions.get(row["image"], ""), "")]
        if small.told == CHANGED:
            marks.append("Changed since")
        made.append(
            Tile(
                row["image"],
                small.jpeg,
                # A check that only says yes would say the same below every picture.
                short(row["image"].rpartition("/")[2]) if _says_yes(column) else value_words(column, row.get(column)),
                ", ".join(CHECKS[key].label for key in keys),
                ", ".join(filter(None, marks)),
                short(row["image"]),
                "cannot be read" if row["status"] != "ok" else short(small.told or "no picture", 80),
            )
        )
    return made


def _says_yes(column: str) -> bool:
    return column in CHECKS and CHECKS[column].flags_when == "set"


def value_words(column: str, value: Any) -> str:
    """A number of a column with its unit; file and name columns as they are."""
    if column == "image" or value is None:
        return ""
    if column == "quality_risk":
        return f"risk {value:.0f}"
    if column == "number":
        return ""
    if column not in CHECKS:
        if isinstance(value, float):
            return "–" if math.isnan(value) else f"{value:,.0f}"
        return f"{value:,}" if isinstance(value, int) else str(value)
    row = CHECKS[column]
    if math.isnan(float(value)):
        return "–"
    if row.flags_when == "set":
        return "yes" if float(value) == 1 else "no"
    return f"{float(value):.{row.digits}f} {row.unit}".strip()


def share_words(count: int, total: int) -> str:
    """`12 (0.6 %)`, and `0` for none."""
    if not count:
        return "0"
    share = 100 * count / total
    digits = 0 if share >= 10 else 1 if share >= 0.1 else 2
    return f"{count:,} ({share:.{digits}f} %)"


def issue_words(issue: str) -> str:
    """The name of a filter on screen."""
    return {ANY: "Any issue", NONE_FOUND: "No issue", EVERYTHING: "All pictures"}.get(issue) or CHECKS[issue].label


def issues(audit: Audit) -> Sequence[str]:
    """What can be filtered by: the checks that found something, most first."""
    counts = audit.table.counts(audit.thresholds)
    return [EVERYTHING, ANY, NONE_FOUND, *sorted((key for key in counts if counts[key]), key=lambda key: -counts[key])]


def guarded(name: str, what: Callable[..., object], *arguments: Any) -> None:
    """Before the page runs again: a callback must not raise, so a refusal is kept for the screen."""
    try:
        what(*arguments)
    except DeconvError as error:
        st.session_state[f"{name}_told"] = str(error)
