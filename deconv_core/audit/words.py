"""What an audit found, in plain words, for pages, reports and the shell alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from deconv_core.audit.checks import CHECKS
from deconv_core.audit.table import AuditTable, Filter

MOST = 0.5  # share of the set from which an issue is one of the whole set rather than of single pictures
NAME_LENGTH = 100


def paragraph(
    table: AuditTable,
    thresholds: Mapping[str, float] | None = None,
    weights: Mapping[str, float] | None = None,
    *,
    risk: np.ndarray | None = None,
) -> str:
    """How many pictures, how many with an issue, the three most frequent issues, and how good the set is; what hits
    most of the set comes first and is called so.

    Args:
        table: The audit's table.
        thresholds, weights: Those that count instead of the defaults.
        risk: The quality risk of every picture by these, if it is known already (see `risk.set_risk`).
    """
    from deconv_core.audit.review import Choice
    from deconv_core.audit.risk import set_risk

    thresholds = dict(thresholds or {})
    count = table.count
    if not count:
        return "No picture has been measured yet."
    if risk is None:
        risk = set_risk(table, Choice(thresholds=thresholds, weights=weights or {}))
    counts = {key: number for key, number in table.counts(thresholds).items() if number}
    bad = len(table.select(Filter(passed=False, thresholds=thresholds)))
    so_far = "" if table.finished else " so far"
    if not bad:
        return f"{_pictures(count)}{so_far}; no check flags any of them. {_how_good(table, risk)}"
    sentences = [f"{_pictures(count)}{so_far}; {bad:,} ({bad / count:.1%}) have at least one issue."]
    ranked = sorted(counts, key=lambda key: -counts[key])
    most = [key for key in ranked if counts[key] > MOST * count]
    if most:
        told = " and ".join(f"“{CHECKS[key].label}” ({counts[key] / count:.0%})" for key in most)
        sentences.append(f"Most of the set is affected by {told}: look whether that is a property of the set.")
    rest = [key for key in ranked if key not in most][:3]
    if rest:
        told = ", ".join(f"{lower(CHECKS[key].label)} ({counts[key]:,})" for key in rest)
        sentences.append(f"Most frequent{' otherwise' if most else ''}: {told}.")
    broken = counts.get("unreadable", 0)
    if broken and "unreadable" not in rest:
        sentences.append(f"{broken:,} cannot be read.")
    sentences.append(_how_good(table, risk))
    return " ".join(sentences)


def _how_good(table: AuditTable, risk: np.ndarray) -> str:
    """The set as a whole in one sentence or two: its quality risk, and what a model says where one took part."""
    middle, worst = np.percentile(risk, [50, 95])
    told = [
        f"Half of the pictures have a quality risk of {middle:.0f} or less (of 100), one in twenty {worst:.0f} or more."
    ]
    for key, words in (("low_quality", "predicted quality"), ("reconstruction", "PSNR of the reconstruction")):
        if key not in table.numbers:
            continue
        values = table.numbers[key].to_numpy()
        values = values[np.isfinite(values)]
        if len(values):
            low, middle = np.percentile(values, [5, 50])
            row = CHECKS[key]
            told.append(
                f"Half have a {words} of {middle:.{row.digits}f} {row.unit} or more (higher is better), one in twenty "
                f"has {low:.{row.digits}f} {row.unit} or less."
            )
    return " ".join(told)


def evidence(row: Mapping[str, object], thresholds: Mapping[str, float] | None = None) -> dict[str, str]:
    """Why the checks flag one picture: check -> sentence with value, threshold, reason or neighbour.

    Args:
        row: As `AuditTable.row` gives it, with at least the `evidence_columns`.
        thresholds: Those that count instead of the defaults.
    """
    thresholds = thresholds or {}
    found = {}
    for key, check in CHECKS.items():
        value = row.get(key)
        if value is None or not check.flags(np.array([value]), thresholds.get(key))[0]:
            continue
        told = check.sentence(float(value), thresholds.get(key))
        if key == "unreadable":
            told = str(row.get("reason") or "It could not be read.")
        elif key == "wrong_extension":
            told = f"The content is {row.get('format')}."
        elif key == "orientation_flag":
            told = f"EXIF orientation {row.get('orientation')}."
        elif key == "exact_duplicate":
            told = f"The same bytes as {row.get(check.neighbour_column)}."
        elif key == "near_duplicate":
            told = f"Like {row.get(check.neighbour_column)}: {told}."
        elif key in ("odd_size", "odd_aspect"):
            told = f"{row.get('width')} x {row.get('height')} pixels: {told}."
        elif key == "unusual_bytes":
            told = f"{row.get('bytes'):,} bytes as {row.get('format')}: {told}."
        found[key] = told
    return found


def evidence_columns(checks: Sequence[str]) -> list[str]:
    """The columns that `evidence` of these checks is told from."""
    neighbours = [column for key in checks if (column := CHECKS[key].neighbour_column)]
    return ["image", *checks, *neighbours, "reason", "format", "orientation", "width", "height", "bytes"]


def threshold_words(key: str, threshold: float) -> str:
    """Where a check draws its line.

    Example:
        >>> threshold_words("dark", 80), threshold_words("exact_duplicate", 1)
        ('below 80 of 255', 'when it is so')
    """
    row = CHECKS[key]
    if row.flags_when == "set":
        return "when it is so"
    return f"{row.flags_when} {threshold:.{row.digits}f} {row.unit}".strip()


def _pictures(count: int) -> str:
    return "1 picture" if count == 1 else f"{count:,} pictures"


def lower(label: str) -> str:
    """A label within a sentence: `Blocky JPEG` as `blocky JPEG`."""
    return label[:1].lower() + label[1:]


def short(text: object, length: int = NAME_LENGTH) -> str:
    """Text on one line, without what would turn the line around or hide in it; a long one keeps its end.

    Example:
        >>> short("folder/file.png", 10)
        '…/file.png'
    """
    line = "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in str(text))
    return line if len(line) <= length else f"…{line[1 - length :]}"
