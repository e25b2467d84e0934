"""A script that moves pictures out of a data set; a person reads it and runs it, or not at all.

Only a file of its own can be moved: what lies in an archive or a table, or at an address, is counted and left alone.
"""

from __future__ import annotations

import json
import os
import re
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from deconv_core.audit.table import AuditTable
from deconv_core.errors import DeconvError


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


FILE = "files of their own"
_INSIDE = "inside an archive or table (only the whole file could be moved, with its good pictures)"
_FETCHED = "at an address"
_UNKNOWN = "whose place is not known"
_OUTSIDE = "outside of the folder"
_PIECE = 100_000  # places in memory at once
_PLAIN = re.compile(r'\["(/[^"\\]*)"\]').fullmatch  # the place of a file whose path JSON writes as it is

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
    places = table.find(images)
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


def count_kinds(table: AuditTable, places: np.ndarray) -> dict[str, int]:
    """Where pictures lie, told from the ends of what is written down of each: kind -> how many; quick for a million.

    Args:
        table: The audit.
        places: Rows of its table.

    Returns:
        `FILE` for files of their own, which can be moved; otherwise why a picture cannot be, as in `Moves.left_out`.
    """
    import pyarrow as pa
    import pyarrow.compute as compute

    found: Counter[str] = Counter()
    for start in range(0, len(places), _PIECE):
        where = pa.array(table.rows(places[start : start + _PIECE], ["place"])["place"], pa.string())
        ends = ('"]', ', "address"]', "]")  # of a list of one text, of an address, of any list
        count = {end: compute.sum(compute.ends_with(where, end)).as_py() or 0 for end in ends}
        found[FILE] += count['"]'] - count[', "address"]']
        found[_FETCHED] += count[', "address"]']
        found[_INSIDE] += count["]"] - count['"]']
        found[_UNKNOWN] += len(where) - count["]"]
    return {kind: number for kind, number in found.items() if number}


def _source(table: AuditTable) -> tuple[Path, Path]:
    """(what was audited, the folder in which its files lie)."""
    source = Path(os.path.abspath(Path(str(table.settings["data"])).expanduser()))  # noqa: PTH100 - links stay
    return source, source if source.is_dir() else source.parent


def _file_of(name: str, where: str | None, folder: str) -> tuple[str, str]:
    """(the picture's own file, or "" and why there is none)."""
    if plain := _PLAIN(where or ""):  # nearly all; as JSON they take five times as long
        return plain[1], ""
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
