"""What leaves an audit: lists, tables, a script that moves files, a report.

Nothing here deletes or moves a file; the script is for a person to read and run. A decision of the review counts more
than any check: `keep` makes a picture clean, `drop` makes it bad; `unsure` leaves it to the checks.

`write_results` puts all of it into the job folder, so that the shell has what the page offers.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import shlex
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from deconv_core.audit.checks import CHECKS
from deconv_core.audit.earlier import taken_over
from deconv_core.audit.recipes import recipes_of
from deconv_core.audit.review import (
    DECISIONS,
    Choice,
    MissRate,
    miss_rate,
    outdated,
    places_of,
    read_surprise,
    saved_choice,
)
from deconv_core.audit.risk import set_risk
from deconv_core.audit.table import AuditTable
from deconv_core.audit.words import evidence, lower, paragraph
from deconv_core.errors import DeconvError
from deconv_core.files import write_whole

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

_INTERNAL = ("place", "hash", "grid")
_SCORES = ("quality_risk", "reconstruction", "low_quality")  # with a percentile beside them
_PIECE = 20_000  # rows in memory at once, as text
_PER_CHECK, _RISKIEST, _LISTED = 12, 50, 200
_PICTURES_PER_IMAGE = 0.5  # about 12 KB each, so 1,000 pictures make some 6 MB
# Pictures in the report of a run that has just ended, per picture of the set: a few hundredths of the run's time.
_AT_THE_END, _FEWEST, _MOST = 0.015, 24, 300
_NAME_LENGTH = 200
_SIDE = 192  # pixels; another one than on the page, which looks for itself whether a picture has changed since
_FACTS = {
    "Readable": "readable",
    "Formats": "formats",
    "Bytes": "bytes",
    "Model": "model",
    "Metric of predicted quality": "quality",
    "Seed": "seed",
    "Fingerprint": "fingerprint",
}


def split(table: AuditTable, choice: Choice | None = None) -> tuple[list[str], list[str]]:
    """(clean, bad) names, in the set's order; what cannot be read is always bad, unless a person said keep."""
    is_bad = bad(table, choice)
    return tuple(table.names.filter(_mask(mask)).to_pylist() for mask in (~is_bad, is_bad))


def bad(table: AuditTable, choice: Choice | None = None) -> np.ndarray:
    """Which pictures are bad, as a boolean array in the set's order; see `split`."""
    choice = choice or Choice()
    result = np.zeros(table.count, bool)
    for key in {"unreadable", *(table.checks if choice.checks is None else choice.checks)}:
        result |= table.flagged(key, choice.thresholds.get(key))
    decided = {image: decision for image, decision in choice.decisions.items() if decision in ("keep", "drop")}
    places = places_of(table, list(decided))
    known = places >= 0  # the others are gone from the set
    result[places[known]] = np.array([decision == "drop" for decision in decided.values()], bool)[known]
    return result


def _mask(values: np.ndarray) -> pa.Array:
    import pyarrow as pa

    return pa.array(values)


def names_file(table: AuditTable, choice: Choice | None = None, *, are_bad: bool) -> bytes:
    """The list of the bad pictures, or of the clean ones; see `list_bytes`."""
    return list_bytes(split(table, choice)[int(are_bad)])


def list_bytes(names: Sequence[str]) -> bytes:
    """Names, one per line; a line break within a name is written as an escape, since a line is a name."""
    lines = (name.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r") for name in names)
    return "".join(f"{line}\n" for line in lines).encode("utf-8", "backslashreplace")


# Tables


def frame(table: AuditTable, choice: Choice | None = None) -> pd.DataFrame:
    """The whole table as it stands after review: with `issues` and `quality_risk` by what counts for the set, where
    scores stand within it (`..._percentile`, 100 is the best), `decision` and `bad`."""
    import pandas as pd

    return pd.concat([piece.to_pandas() for piece in _pieces(table, choice or Choice())], ignore_index=True)


def _pieces(table: AuditTable, choice: Choice) -> Iterator[pa.Table]:
    """`frame` in pieces, so that a million pictures never lie in memory as text."""
    import pandas as pd
    import pyarrow as pa

    from deconv_core.audit.whole import issues

    risk, is_bad = set_risk(table, choice), bad(table, choice)
    numbers = {
        "quality_risk": risk,
        **{key: table.numbers[key].to_numpy() for key in _SCORES[1:] if key in table.numbers},
    }
    ranks = {}
    for key, values in numbers.items():
        worth = pd.Series(-values if key == "quality_risk" else values)
        ranks[f"{key}_percentile"] = (100 * worth.rank(method="max", pct=True)).to_numpy(np.float32)
    names = [name for name in table.columns if name not in _INTERNAL]
    for start in range(0, max(1, table.count), _PIECE):
        places = np.arange(start, min(start + _PIECE, table.count))
        rows = table.rows(places, names).reset_index(drop=True)
        rows["quality_risk"] = risk[places]
        flagged = issues(rows, table.checks, choice.thresholds)
        found = pa.Table.from_pandas(rows.drop(columns="issues"), preserve_index=False).append_column("issues", flagged)
        for name, values in ranks.items():
            found = found.append_column(name, pa.array(values[places]))
        decided = [choice.decisions.get(name, "") for name in rows["image"]] if choice.decisions else [""] * len(rows)
        found = found.append_column("decision", pa.array(decided, pa.string()))
        yield found.append_column("bad", pa.array(is_bad[places])).replace_schema_metadata(None)


def csv_file(table: AuditTable, choice: Choice | None = None) -> bytes:
    """`frame` as CSV, cells that a spreadsheet would run made harmless; issues separated by spaces."""
    return b"".join(_csv(table, choice or Choice()))


def _csv(table: AuditTable, choice: Choice) -> Iterator[bytes]:
    from deconv_core.tables import csv_of_arrow

    return (csv_of_arrow(piece, header=not number) for number, piece in enumerate(_pieces(table, choice)))


def parquet_file(table: AuditTable, choice: Choice | None = None) -> bytes:
    """`frame` as Parquet, with the recipes of its columns in its metadata."""
    from pyarrow import parquet

    from deconv_core.tables import RECIPES_KEY

    choice = choice or Choice()
    sink, writer = io.BytesIO(), None
    for piece in _pieces(table, choice):
        if writer is None:
            made = json.dumps(_recipes(table, choice)).encode()
            writer = parquet.ParquetWriter(sink, piece.schema.with_metadata({RECIPES_KEY: made}), compression="zstd")
        writer.write_table(piece)
    writer.close()
    return sink.getvalue()


def recipes_file(table: AuditTable, choice: Choice | None = None) -> bytes:
    """What belongs beside the CSV, as JSON: column -> recipe, as `tables.read_recipes` reads it."""
    return (json.dumps(_recipes(table, choice or Choice()), indent=1) + "\n").encode()


def _recipes(table: AuditTable, choice: Choice) -> dict[str, Any]:
    """Recipes of the columns by what counts for the set now."""
    found = {key: dict(entry) for key, entry in recipes_of(table).items()}
    for key, value in choice.thresholds.items():
        if key in found:
            found[key]["threshold"] = value
    points = {key: value for key, value in choice.weights.items() if key in table.checks}
    risk = found.setdefault("quality_risk", {})
    risk["points"] = {**risk.get("points", {}), **points}
    risk["thresholds"] = {key: entry["threshold"] for key, entry in found.items() if "threshold" in entry}
    rule = "Percent of the set's pictures with a value that are no better, 100 is the best."
    found |= {f"{key}_percentile": {"rule": rule} for key in _SCORES if key in found}
    found["bad"] = {
        "rule": "Flagged by one of the checks or unreadable, unless decided keep; or decided drop.",
        "checks": list(table.checks if choice.checks is None else choice.checks),
    }
    made = {name: table.summary.get(name) for name in ("command", "seed", "versions", "fingerprint")}
    return {**found, "audit": made}


# The script


@dataclass(frozen=True)
class Moves:
    """What a script can move.

    Attributes:
        lines: One command per picture.
        left_out: Why pictures cannot be moved -> how many.
    """

    lines: tuple[str, ...]
    left_out: Mapping[str, int]

    @property
    def sentence(self) -> str:
        """How many are left out, and why; "" where none is."""
        if not self.left_out:
            return ""
        told = ", ".join(f"{count:,} {reason}" for reason, count in self.left_out.items())
        total = sum(self.left_out.values())
        return f"{total:,} {'picture is' if total == 1 else 'pictures are'} not moved: {told}."


_INSIDE = "inside an archive or table (only the whole file could be moved, with its good pictures)"
_FETCHED = "at an address"
_UNKNOWN = "whose place is not known"
_OUTSIDE = "outside of the folder"

_SCRIPT = """#!/bin/sh
# Moves {count} pictures out of a data set, to a folder beside it; made by: python -m deconv_core audit
{told}# It deletes nothing and overwrites nothing. Read it, then run it with: sh move.sh
# Another place: TARGET=/some/folder sh move.sh
set -eu
source={source}
beside={target}
target="${{TARGET:-$beside}}"
moved=0
move() {{
    take "$source/$1" "$1"
}}
take() {{
    if [ ! -e "$1" ] && [ ! -L "$1" ]; then
        echo "not there: $1" >&2
    elif [ -e "$target/$2" ] || [ -L "$target/$2" ]; then
        echo "already in the target: $2" >&2
    else
        mkdir -p -- "$(dirname -- "$target/$2")"
        mv -- "$1" "$target/$2"
        moved=$((moved + 1))
    fi
}}
{moves}
echo "$moved of {count} moved to $target"
"""


def moves(table: AuditTable, images: Sequence[str]) -> Moves:
    """Which of these pictures a script can move, and why not the others.

    Only a file of its own can be moved: out of the folder that was audited, or wherever a CSV or Parquet file names it.
    """
    source, root = _source(table)
    is_folder = source == root
    # A folder that was reached through links holds files under both of its names.
    roots = dict.fromkeys([str(root), os.path.realpath(root)] if is_folder else [str(root)])
    places = places_of(table, images)
    rows = table.rows(np.sort(places[places >= 0]), ["image", "place"])
    lines, left_out = [], Counter()
    for name, where in zip(rows["image"].tolist(), rows["place"].tolist(), strict=True):
        path, reason = _file_of(name, where, str(root) if is_folder else "")
        inside = next((path[len(top) + 1 :] for top in roots if path.startswith(f"{top}/")), "")
        if inside and ".." not in inside.split("/"):
            lines.append(f"move {shlex.quote(inside)}")
        elif path and not is_folder:
            lines.append(f"take {shlex.quote(path)} {shlex.quote(os.path.normpath(path).lstrip('/'))}")
        else:
            left_out[reason or _OUTSIDE] += 1
    return Moves(tuple(lines), dict(left_out))


def _source(table: AuditTable) -> tuple[Path, Path]:
    """(what was audited, the folder in which its files lie)."""
    source = Path(os.path.abspath(Path(str(table.settings["data"])).expanduser()))  # noqa: PTH100 - links stay
    return source, source if source.is_dir() else source.parent


def _file_of(name: str, where: str | None, folder: str) -> tuple[str, str]:
    """(the picture's own file, or "" and why there is none)."""
    try:
        # The name in the table may have escapes for bytes that are no text; the place holds the real one.
        parts = json.loads(where) if where else []
    except ValueError:
        parts = []
    if len(parts) == 1 and isinstance(parts[0], str):
        path = parts[0]
        return (path if os.path.isabs(path) else os.path.join(os.getcwd(), path)), ""  # noqa: PTH109, PTH117, PTH118
    if parts:
        return "", _FETCHED if "address" in parts[1:2] else _INSIDE
    # Refused before it was opened, such as a file that is too large.
    path = f"{folder}/{name}" if folder else ""
    return (path, "") if path and os.path.lexists(path) else ("", _UNKNOWN)


def move_script(table: AuditTable, images: Sequence[str], target: str = "", *, found: Moves | None = None) -> bytes:
    """A shell script that moves these pictures out of the folder they lie in; run by a person, or not at all.

    Args:
        table: The audit.
        images: Names of the pictures, usually the bad ones.
        target: Folder to move them to; by default one beside the source, named after it with `-bad`.
        found: As from `moves`, if it is known already.

    Raises:
        DeconvError: None of them can be moved (members of archives, addresses).
    """
    found = found or moves(table, images)
    source, root = _source(table)
    if images and not found.lines:
        raise DeconvError(
            f"The pictures of '{source.name}' cannot be moved one by one. {found.sentence} Use the list of clean ones."
        )
    beside = target or str(source.with_name(f"{source.name if source == root else source.stem}-bad"))
    told = f"# {found.sentence}\n" if found.left_out else ""
    text = _SCRIPT.format(
        count=len(found.lines),
        told=told,
        source=shlex.quote(str(root)),
        target=shlex.quote(beside),
        moves="\n".join(found.lines),
    )
    return text.encode("utf-8", "surrogateescape")


# Everything at once


def write_results(
    folder: Path | str,
    table: AuditTable | None = None,
    choice: Choice | None = None,
    *,
    report: bool = True,
    num_pictures: int | None = None,
) -> list[str]:
    """Write into `results/` what the page offers: `clean.txt`, `bad.txt`, `images.csv` with its recipes in
    `images.csv.json`, `move.sh` where files can be moved, `report.html`.

    Args:
        folder: The job folder of a finished audit.
        table, choice: Its table and what counts, if they are known already; by default what is saved in the folder.
        report: Whether to write the report, which takes longest.
        num_pictures: About how many pictures it shows; see `report_file`.

    Returns:
        Sentences about what could not be written as asked for, such as pictures that the script cannot move.

    Raises:
        DeconvError: The folder holds no audit, or cannot be written.
    """
    folder = Path(folder)
    table, choice = table or AuditTable(folder), choice or saved_choice(folder)
    results, told = folder / "results", []
    clean, bad_ones = split(table, choice)
    contents = {"clean.txt": list_bytes(clean), "bad.txt": list_bytes(bad_ones)}
    contents |= {"images.csv.json": recipes_file(table, choice), "images.csv": _csv(table, choice)}
    found = moves(table, bad_ones)
    if found.left_out:
        told.append(found.sentence)
    try:
        contents["move.sh"] = move_script(table, bad_ones, found=found)
    except DeconvError:
        with contextlib.suppress(OSError):
            (results / "move.sh").unlink()  # of another time
    for name, content in contents.items():
        write_whole(results / name, content)
    if report:
        report_file(folder, table=table, choice=choice, num_pictures=num_pictures)
    return told


def at_the_end(count: int) -> int:
    """How many pictures a report may show that is written at the end of a run over `count` pictures."""
    return int(np.clip(_AT_THE_END * count, _FEWEST, _MOST))


# The report


def report_file(
    folder: Path | str,
    path: Path | str | None = None,
    *,
    table: AuditTable | None = None,
    choice: Choice | None = None,
    num_pictures: int | None = None,
) -> Path:
    """Write the HTML report: summary, issues with their rules and worst pictures, the riskiest, review, what cannot be
    read, how it was measured. It opens offline and has at most 10 MB per 1,000 pictures of the set.

    Args:
        folder: The job folder.
        path: The file; by default `results/report.html`.
        table: The audit's table, if it is read already.
        choice: What counts; by default what is saved in the folder.
        num_pictures: About how many pictures it shows; by default as many as the size allows.
    """
    from deconv_core.report import write_report

    folder = Path(folder)
    table = table or AuditTable(folder)
    choice = choice or saved_choice(folder)
    return write_report(
        path or folder / "results" / "report.html",
        title=f"Audit of {Path(str(table.settings['data'])).name}",
        lead=paragraph(table, choice.thresholds, choice.weights),
        sections=_sections(folder, table, choice, num_pictures),
        command=str(table.summary.get("command", "")),
        facts=_facts(table, choice),
    )


def _facts(table: AuditTable, choice: Choice) -> dict[str, object]:
    is_bad = bad(table, choice)
    summary = table.summary
    facts: dict[str, object] = {"Pictures": table.count, "Clean": int((~is_bad).sum()), "Bad": int(is_bad.sum())}
    facts |= {words: summary[name] for words, name in _FACTS.items() if summary.get(name) not in ("", None, {})}
    made = recipes_of(table)
    for key in ("reconstruction", "low_quality"):
        recipe = made.get(key, {})
        digest = recipe.get("model_digest") or (recipe.get("quality") or {}).get("model_digest")
        if digest:
            facts[f"Model of “{CHECKS[key].label}”, SHA-256"] = digest
        if recipe.get("max_side"):
            facts["Longer side shown to the model, px"] = recipe["max_side"]
    versions = summary.get("versions") or {}
    told = {"Versions": ", ".join(f"{name} {number}" for name, number in versions.items())} if versions else {}
    return {**facts, **told}


def _sections(folder: Path, table: AuditTable, choice: Choice, num_pictures: int | None) -> list:
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
    decided = Counter(choice.decisions.values())
    told = ", ".join(f"{decided[decision]:,} {decision}" for decision in DECISIONS) if decided else ""
    texts = (
        taken_over(folder),
        f"Decided by people: {told}. {miss_sentence(folder, table, choice)}".strip() if told else "",
    )
    if any(texts):
        sections.append(Section("Review", "\n\n".join(filter(None, texts))))
    room = max(24, int(table.count * _PICTURES_PER_IMAGE)) if num_pictures is None else num_pictures
    per_check = max(1, min(_PER_CHECK, room // (len(ranked) + 1)))
    risk = set_risk(table, choice)
    groups = _worst(table, [key for key in ranked if key != "unreadable"], per_check, choice, risk)
    riskiest = _riskiest(table, choice, risk)
    shown = [(caption, [image]) for caption, image in riskiest.pop("captions")[:per_check]]
    small = _small(folder, table, [name for group in (*groups.values(), shown) for _, names in group for name in names])
    for key in ranked:
        sections.append(_check_section(table, key, counts[key], groups.get(key), small))
    sections.append(
        Section(
            "Highest quality risk",
            "A plain sum: every check adds its points as far as its value has gone, 100 at most.",
            table=pd.DataFrame(riskiest),
            pictures=_pictures(shown, small),
        )
    )
    sections.append(_measured(table, choice))
    return sections


def _limit(key: str, choice: Choice) -> str:
    check = CHECKS[key]
    if check.flags_when == "set":
        return "where it is so"
    value = choice.thresholds.get(key, check.threshold)
    return f"{check.flags_when} {value:.{check.digits}f} {check.unit}".strip()


def miss_sentence(folder: Path | str, table: AuditTable, choice: Choice) -> str:
    """What the decisions about the sample of passes tell: the estimated miss rate with its interval, or that it was
    drawn for other thresholds; "" while nothing is judged."""
    sample = read_surprise(folder)
    found: MissRate | None = miss_rate(sample, choice.decisions) if sample else None
    if found is None or not found.judged:
        return ""
    why = outdated(sample, table, choice.thresholds)
    if why:
        return f"What was judged of pictures that passed no longer tells how many bad ones are missed. {why}"
    return (
        f"Of {found.judged:,} pictures drawn from the {found.passes:,} that passed, {found.missed:,} were dropped: an "
        f"estimated {found.rate:.1%} of the passes are bad (95 % interval {found.low:.1%} to {found.high:.1%})."
    )


def _worst(
    table: AuditTable, keys: Sequence[str], count: int, choice: Choice, risk: np.ndarray
) -> dict[str, list[tuple[str, list[str]]]]:
    """Check -> (evidence, the picture and what it is like) of those that it flags most clearly."""
    found = {
        key: table.worst(key, count, choice.thresholds.get(key), risk=risk, columns=["image"]).index for key in keys
    }
    neighbours = [CHECKS[key].neighbour_column for key in keys if CHECKS[key].neighbour_column]
    columns = ["image", *keys, *neighbours, "reason", "format", "orientation", "width", "height", "bytes"]
    places = sorted({int(place) for index in found.values() for place in index})
    rows = dict(zip(places, table.rows(np.array(places, np.int64), columns).to_dict("records"), strict=True))
    groups: dict[str, list[tuple[str, list[str]]]] = {}
    for key, index in found.items():
        near = CHECKS[key].neighbour_column
        shown = [rows[int(place)] for place in index]
        groups[key] = [
            (
                evidence(row, choice.thresholds).get(key, ""),
                [name for name in (row["image"], row[near] if near else None) if isinstance(name, str)],
            )
            for row in shown
        ]
    return groups


def _check_section(
    table: AuditTable, key: str, count: int, groups: list[tuple[str, list[str]]] | None, small: Mapping[str, bytes]
):
    from deconv_core.report import Section

    check = CHECKS[key]
    text = f"{check.rule}\n\n{count:,} of {table.count:,} pictures."
    if groups is None:
        rows = table.worst(key, _LISTED, columns=["image", "reason"])
        rows["image"], rows["reason"] = rows["image"].map(_line), rows["reason"].map(_line)
        return Section(check.label, text, table=rows)
    return Section(check.label, f"{text} The most pronounced:", pictures=_pictures(groups, small))


def _riskiest(table: AuditTable, choice: Choice, risk: np.ndarray) -> dict[str, list]:
    """The columns of the list of the riskiest, and `captions`: (words, name) of those that can be shown."""
    places = np.argsort(-risk, kind="stable")[:_RISKIEST]
    marks = {key: table.flagged(key, choice.thresholds.get(key))[places] for key in table.checks}
    names = table.names.take(_mask(places)).to_pylist()
    issues = [", ".join(lower(CHECKS[key].label) for key in marks if marks[key][row]) for row in range(len(places))]
    readable = ~table.flagged("unreadable")[places]
    values = [round(float(risk[place]), 1) for place in places]
    return {
        "image": [_line(name) for name in names],
        "quality risk": values,
        "issues": issues,
        "captions": [
            (f"risk {value:.0f}: {told}", name)
            for value, told, name, is_readable in zip(values, issues, names, readable, strict=True)
            if is_readable
        ],
    }


def _measured(table: AuditTable, choice: Choice):
    """How every column came about, for whoever wants to make it again."""
    import pandas as pd

    from deconv_core.report import Section

    made = _recipes(table, choice)
    rows = [
        {
            "check": CHECKS[key].label,
            "version": str(made.get(key, {}).get("version", CHECKS[key].version)),
            "flagged": _limit(key, choice),
            "points of risk": made["quality_risk"]["points"].get(key, CHECKS[key].weight),
            "rule": CHECKS[key].rule,
        }
        for key in table.checks
    ]
    return Section("How it was measured", table=pd.DataFrame(rows), folded=True)


def _small(folder: Path, table: AuditTable, names: Sequence[str]) -> dict[str, bytes]:
    """Small JPEG files of pictures, once each; without those that cannot be read."""
    from deconv_core.audit.thumbnails import thumbnails

    wanted = list(dict.fromkeys(names))
    known = places_of(table, wanted) >= 0
    found = thumbnails(folder, [name for name, there in zip(wanted, known, strict=True) if there], table, side=_SIDE)
    return {name: data for name, data in found.items() if data is not None}


def _pictures(groups: Sequence[tuple[str, Sequence[str]]], small: Mapping[str, bytes]) -> list:
    from deconv_core.report import Pictures

    made = []
    for caption, members in groups:
        shots = [(_line(name), small[name]) for name in members if name in small]
        if shots:
            made.append(Pictures(shots, _line(caption)))
    return made


def _line(text: str) -> str:
    """On one line, without what would turn the line around or hide in it; a long one keeps its end."""
    line = "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)
    return line if len(line) <= _NAME_LENGTH else f"…{line[1 - _NAME_LENGTH :]}"
