"""What leaves an audit: lists, tables, a script that moves files, a report.

Nothing here deletes or moves a file; the script is for a person to read and run. A decision of the review counts more
than any check: `keep` makes a picture clean, `drop` makes it bad; `unsure` leaves it to the checks.
"""

from __future__ import annotations

import io
import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from deconv_core.audit.checks import CHECKS
from deconv_core.audit.review import DECISIONS, MissRate, Review, miss_rate, read_surprise, threshold_values
from deconv_core.audit.risk import risk
from deconv_core.audit.table import AuditTable
from deconv_core.audit.words import evidence, paragraph
from deconv_core.errors import DeconvError

if TYPE_CHECKING:
    import pandas as pd

_INTERNAL = ("place", "hash")
_PER_CHECK, _RISKIEST, _LISTED = 12, 50, 200
_PICTURES_PER_IMAGE = 0.5  # about 12 KB each, so 1,000 pictures make some 6 MB


@dataclass(frozen=True)
class Choice:
    """What counts when pictures are told good from bad.

    Attributes:
        checks: Checks that make a picture bad; None for all that were made.
        thresholds: Check -> threshold that counts instead of the default.
        decisions: Name -> keep, drop or unsure.
        weights: Check -> points of the quality risk that count instead of the default.
    """

    checks: tuple[str, ...] | None = None
    thresholds: Mapping[str, float] = field(default_factory=dict)
    decisions: Mapping[str, str] = field(default_factory=dict)
    weights: Mapping[str, float] = field(default_factory=dict)


def saved_choice(folder: Path | str) -> Choice:
    """The thresholds and decisions that are saved in a job folder."""
    return Choice(thresholds=threshold_values(folder), decisions=Review(folder).decisions)


def split(table: AuditTable, choice: Choice | None = None) -> tuple[list[str], list[str]]:
    """(clean, bad) names, in the set's order; what cannot be read is always bad, unless a person said keep."""
    choice = choice or Choice()
    bad = _bad(table, choice)
    names = table.names.to_pylist()
    return (
        [name for name, is_bad in zip(names, bad, strict=True) if not is_bad],
        [name for name, is_bad in zip(names, bad, strict=True) if is_bad],
    )


def _bad(table: AuditTable, choice: Choice) -> np.ndarray:
    bad = np.zeros(table.count, bool)
    for key in {"unreadable", *(table.checks if choice.checks is None else choice.checks)}:
        bad |= table.flagged(key, choice.thresholds.get(key))
    for image, decision in choice.decisions.items():
        if decision in ("keep", "drop"):
            try:
                bad[table.place(image)] = decision == "drop"
            except DeconvError:  # the picture is gone from the set
                continue
    return bad


def list_bytes(names: Sequence[str]) -> bytes:
    """Names, one per line; a line break within a name is written as an escape, since a line is a name."""
    lines = (name.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r") for name in names)
    return "".join(f"{line}\n" for line in lines).encode("utf-8", "backslashreplace")


def frame(table: AuditTable, choice: Choice | None = None) -> pd.DataFrame:
    """The whole table as it stands after review: with `issues` and `quality_risk` by the thresholds chosen, `decision`
    and `bad`."""
    import pandas as pd

    choice = choice or Choice()
    result = table.rows(np.arange(table.count), [name for name in table.columns if name not in _INTERNAL])
    flagged = {key: table.flagged(key, choice.thresholds.get(key)) for key in table.checks}
    keys = list(flagged)
    marks = np.stack([flagged[key] for key in keys], axis=1) if keys else np.zeros((len(result), 0), bool)
    result["issues"] = [[keys[place] for place in np.flatnonzero(row)] for row in marks]
    result["quality_risk"] = risk(result[list(table.checks)], choice.weights, choice.thresholds)
    result["decision"] = pd.Series([choice.decisions.get(name, "") for name in result["image"]], index=result.index)
    result["bad"] = _bad(table, choice)
    return result


def csv_file(table: AuditTable, choice: Choice | None = None) -> bytes:
    """`frame` as CSV, cells that a spreadsheet would run made harmless; issues separated by spaces."""
    from deconv_core.tables import csv_bytes

    content = frame(table, choice)
    content["issues"] = [" ".join(keys) for keys in content["issues"]]
    return csv_bytes(content)


def parquet_file(table: AuditTable, choice: Choice | None = None) -> bytes:
    """`frame` as Parquet, with rule, version and threshold of every check in its metadata."""
    import pyarrow as pa
    from pyarrow import parquet

    from deconv_core.tables import RECIPES_KEY

    choice = choice or Choice()
    content = pa.Table.from_pandas(frame(table, choice), preserve_index=False)
    recipes = {
        key: {
            "version": CHECKS[key].version,
            "rule": CHECKS[key].rule,
            "unit": CHECKS[key].unit,
            "threshold": choice.thresholds.get(key, CHECKS[key].threshold),
        }
        for key in table.checks
    }
    content = content.replace_schema_metadata({**(content.schema.metadata or {}), RECIPES_KEY: json.dumps(recipes)})
    sink = io.BytesIO()
    parquet.write_table(content, sink, compression="zstd")
    return sink.getvalue()


_SCRIPT = """#!/bin/sh
# Moves {count} pictures out of a data set, to a folder beside it; made by: python -m deconv_core audit
# It deletes nothing and overwrites nothing. Read it, then run it with: sh move.sh
# Another place: TARGET=/some/folder sh move.sh
set -eu
source={source}
beside={target}
target="${{TARGET:-$beside}}"
moved=0
move() {{
    if [ ! -e "$source/$1" ]; then
        echo "not there: $1" >&2
    elif [ -e "$target/$1" ]; then
        echo "already in the target: $1" >&2
    else
        mkdir -p -- "$(dirname -- "$target/$1")"
        mv -- "$source/$1" "$target/$1"
        moved=$((moved + 1))
    fi
}}
{moves}
echo "$moved of {count} moved to $target"
"""


def move_script(table: AuditTable, images: Sequence[str], target: str = "") -> bytes:
    """A shell script that moves these pictures out of the folder they lie in; run by a person, or not at all.

    Args:
        table: The audit.
        images: Names of the pictures, usually the bad ones.
        target: Folder to move them to; by default one beside the source, named after it with `-bad`.

    Raises:
        DeconvError: The source is no folder of files (members of archives cannot be moved).
    """
    source = Path(table.settings["data"]).expanduser().absolute()
    if not source.is_dir():
        raise DeconvError(
            f"'{source.name}' is not a folder, so its pictures cannot be moved one by one; use the list of clean ones."
        )
    wanted = set(images)
    places = np.array([place for place, name in enumerate(table.names.to_pylist()) if name in wanted], np.int64)
    lines = []
    for name, where in table.rows(places, ["image", "place"]).itertuples(index=False):
        # The name in the table may have escapes for bytes that are no text; the place holds the real one.
        path = Path(json.loads(where)[0]) if where else source / name
        try:
            inside = path.absolute().relative_to(source)
        except ValueError:
            continue  # never anything outside of the source
        if ".." not in inside.parts:
            lines.append(f"move {shlex.quote(str(inside))}")
    beside = target or str(source.with_name(f"{source.name}-bad"))
    text = _SCRIPT.format(
        count=len(lines),
        source=shlex.quote(str(source)),
        target=shlex.quote(beside),
        moves="\n".join(lines),
    )
    return text.encode("utf-8", "surrogateescape")


def report_file(
    folder: Path | str, path: Path | str | None = None, *, table: AuditTable | None = None, choice: Choice | None = None
) -> Path:
    """Write the HTML report: summary, issues with their rules and worst pictures, the riskiest, review, what cannot be
    read. It opens offline and has at most 10 MB per 1,000 pictures of the set.

    Args:
        folder: The job folder.
        path: The file; by default `results/report.html`.
        table: The audit's table, if it is read already.
        choice: What counts; by default what is saved in the folder.
    """
    from deconv_core.report import write_report

    folder = Path(folder)
    table = table or AuditTable(folder)
    choice = choice or saved_choice(folder)
    return write_report(
        path or folder / "results" / "report.html",
        title=f"Audit of {Path(str(table.settings['data'])).name}",
        lead=paragraph(table, choice.thresholds),
        sections=_sections(folder, table, choice),
        command=str(table.summary.get("command", "")),
        facts=_facts(table, choice),
    )


def _facts(table: AuditTable, choice: Choice) -> dict[str, object]:
    from deconv_core import __version__

    clean, bad = split(table, choice)
    kept = ("images", "readable", "formats", "bytes", "model", "quality", "fingerprint")
    facts = {name: table.summary[name] for name in kept if table.summary.get(name)}
    return {**facts, "clean": len(clean), "bad": len(bad), "Deconv Lab": __version__}


def _sections(folder: Path, table: AuditTable, choice: Choice) -> list:
    import pandas as pd

    from deconv_core.report import Section

    counts = table.counts(choice.thresholds)
    ranked = sorted((key for key in counts if counts[key]), key=lambda key: -counts[key])
    rows = [
        {
            "issue": CHECKS[key].label,
            "pictures": counts[key],
            "share, %": round(100 * counts[key] / max(1, table.count), 2),
            "flagged": _limit(key, choice),
        }
        for key in (*ranked, *(key for key in counts if not counts[key]))
    ]
    sections = [Section("Issues", table=pd.DataFrame(rows))]
    decided = {decision: list(choice.decisions.values()).count(decision) for decision in DECISIONS}
    if any(decided.values()):
        told = ", ".join(f"{count:,} {decision}" for decision, count in decided.items())
        sections.append(Section("Review", f"Decided by people: {told}. {_misses(folder, choice)}".strip()))
    room = max(24, int(table.count * _PICTURES_PER_IMAGE))
    per_check = max(1, min(_PER_CHECK, room // (len(ranked) + 1)))
    for key in ranked:
        sections.append(_check_section(folder, table, key, counts[key], per_check, choice))
    sections.append(_riskiest(folder, table, choice, per_check))
    return sections


def _limit(key: str, choice: Choice) -> str:
    check = CHECKS[key]
    if check.flags_when == "set":
        return "where it is so"
    value = choice.thresholds.get(key, check.threshold)
    return f"{check.flags_when} {value:.{check.digits}f} {check.unit}".strip()


def _misses(folder: Path, choice: Choice) -> str:
    sample = read_surprise(folder)
    found: MissRate | None = miss_rate(sample, choice.decisions) if sample else None
    if found is None or not found.judged:
        return ""
    return (
        f"Of {found.judged:,} pictures drawn from the {found.passes:,} that passed, {found.missed:,} were dropped: an "
        f"estimated {found.rate:.1%} of the passes are bad (95 % interval {found.low:.1%} to {found.high:.1%})."
    )


def _check_section(folder: Path, table: AuditTable, key: str, count: int, per_check: int, choice: Choice):
    from deconv_core.report import Section

    check = CHECKS[key]
    worst = table.worst(key, _LISTED if key == "unreadable" else per_check, choice.thresholds.get(key))
    text = f"{check.rule}\n\n{count:,} of {table.count:,} pictures. The most pronounced:"
    if key == "unreadable":
        return Section(check.label, text, table=worst[["image", "reason"]])
    groups = []
    for row in worst.to_dict("records"):
        told = evidence(row, choice.thresholds).get(key, "")
        names = [row["image"]]
        if check.neighbour_column:
            names.append(row[check.neighbour_column])
        groups.append((told, names))
    return Section(check.label, text, pictures=_groups(folder, table, groups))


def _riskiest(folder: Path, table: AuditTable, choice: Choice, count: int):
    from deconv_core.report import Section

    values = risk(table.numbers[list(table.checks)], choice.weights, choice.thresholds)
    places = np.argsort(-values, kind="stable")[:_RISKIEST]
    rows = table.rows(places, ["image", *(name for name in table.columns if name in (*CHECKS, "reason"))])
    rows["quality risk"] = values[places].round(1)
    marks = {key: table.flagged(key, choice.thresholds.get(key))[places] for key in table.checks}
    rows["issues"] = [
        ", ".join(CHECKS[key].label.lower() for key in marks if marks[key][number]) for number in range(len(rows))
    ]
    shown = [(f"risk {row['quality risk']:.0f}: {row['issues']}", [row["image"]]) for row in rows.to_dict("records")]
    return Section(
        "Highest quality risk",
        "A plain sum: every check adds its points as far as its value has gone, 100 at most.",
        table=rows[["image", "quality risk", "issues"]],
        pictures=_groups(folder, table, shown[:count]),
    )


def _groups(folder: Path, table: AuditTable, groups: Sequence[tuple[str, Sequence[str]]]) -> list:
    import cv2

    from deconv_core.audit.thumbnails import thumbnails
    from deconv_core.report import Pictures

    names = list(dict.fromkeys(name for _, members in groups for name in members if name))
    small = thumbnails(folder, names, table)
    made = []
    for caption, members in groups:
        shots = []
        for name in members:
            data = small.get(name) if name else None
            if data is not None:
                shots.append((name, cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)))
        if shots:
            made.append(Pictures(shots, caption))
    return made
