"""What people chose for a data set counts for its next audit: thresholds, points of the quality risk, decisions.

The workspace remembers, for every source, the folders in which it was audited. A new audit looks there for the last one
in which somebody chose anything. Thresholds and points are copied when it begins, and can be changed or reset like any
others. Decisions follow when all is measured, since they belong to contents and not to names: a picture that was
renamed keeps its decision, one that was changed is open again. `results/taken_over.json` says what came from where.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from deconv_core.audit.review import Review, places_of, read_thresholds, read_weights
from deconv_core.audit.table import AuditTable
from deconv_core.errors import DeconvError
from deconv_core.files import write_json
from deconv_core.sources import NAMES
from deconv_core.workspace import folder as workspace_folder

_CHOSEN = ("thresholds.json", "weights.json", "review.jsonl")
_REMEMBERED = 50  # folders of one source


def begin(folder: Path, data: str, include: str) -> None:
    """Remember that a source is audited in a folder, and copy thresholds and points from the audit before.

    An audit must never fail for this: what cannot be read or written is left out.
    """
    with contextlib.suppress(DeconvError, OSError, ValueError):
        file = _register(data, include)
        known = _folders(file)
        write_json(file, {"data": data, "folders": [*known, str(folder)][-_REMEMBERED:]})
        source = _last_with_choices(known, folder)
        results = folder / "results"
        if source is None or (results / "taken_over.json").exists():
            return
        for name in _CHOSEN[:2]:
            if (source / "results" / name).exists() and not (results / name).exists():
                shutil.copyfile(source / "results" / name, results / name)
        write_json(results / "taken_over.json", {"folder": str(source)})


def take_decisions(folder: Path, table: AuditTable) -> None:
    """Take over the decisions of the audit that `begin` found, once; those taken in this one meanwhile count more."""
    note = _read(folder)
    if not note or "decisions" in note:
        return
    with contextlib.suppress(DeconvError, OSError, ValueError):
        source = Path(note["folder"])
        taken, gone = _decisions(AuditTable(source), Review(source).decisions, table)
        review = Review(folder)
        taken = {image: decision for image, decision in taken.items() if image not in review.decisions}
        review.decide_all(taken)
        write_json(folder / "results" / "taken_over.json", {**note, "decisions": len(taken), "open": gone})


def taken_over(folder: Path | str) -> str:
    """Where thresholds, points and decisions of an audit came from, in a sentence; "" where nothing was taken over."""
    note = _read(Path(folder))
    if not note:
        return ""
    source = Path(note["folder"])
    counts = (
        (len(read_thresholds(source)), "threshold", "thresholds"),
        (int(bool(read_weights(source))), "the points of the quality risk", ""),
        (int(note.get("decisions", 0)), "decision", "decisions"),
    )
    told = [one if not many else f"{count:,} {one if count == 1 else many}" for count, one, many in counts if count]
    still = int(note.get("open", 0))
    ending = f" {still:,} decided there have changed or are gone, and count for nothing here." if still else ""
    if not told and not ending:
        return ""
    listed = f"{', '.join(told[:-1])} and {told[-1]}" if len(told) > 1 else "".join(told) or "Nothing"
    return f"Taken over from the earlier audit of this set, {_name(source)}: {listed}.{ending}"


def _decisions(before: AuditTable, decided: Mapping[str, str], now: AuditTable) -> tuple[dict[str, str], int]:
    """(name -> decision for the pictures of today, how many decisions fit none of them)."""
    places = places_of(before, list(decided))
    images = [name for name, place in zip(decided, places, strict=True) if place >= 0]
    contents = before.rows(places[places >= 0], ["digest"])["digest"].tolist()
    wanted = set(contents) - {""}
    today: dict[str, list[str]] = {}
    if wanted:
        for name, digest in zip(
            now.names.to_pylist(), now.rows(np.arange(now.count), ["digest"])["digest"], strict=True
        ):
            if digest in wanted:
                today.setdefault(digest, []).append(name)
    taken: dict[str, str] = {}
    for image, digest in zip(images, contents, strict=True):
        names = today.get(digest, [])
        if image in names:
            taken[image] = decided[image]
        elif len(names) == 1:  # renamed; of several copies none is surely meant
            taken.setdefault(names[0], decided[image])
    return taken, len(decided) - len(taken)


def _register(data: str, include: str) -> Path:
    place = data if data in NAMES or "://" in data else str(Path(data).expanduser().resolve())
    home = workspace_folder("data") / "audits"
    home.mkdir(exist_ok=True)
    return home / f"{hashlib.sha256(json.dumps([place, include]).encode()).hexdigest()[:32]}.json"


def _folders(file: Path) -> list[str]:
    try:
        found = json.loads(file.read_bytes())["folders"]
        return [name for name in found if isinstance(name, str)]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def _last_with_choices(folders: list[str], own: Path) -> Path | None:
    for name in reversed(folders):
        results = Path(name) / "results"
        if Path(name) != own and any((results / file).exists() for file in _CHOSEN):
            return Path(name)
    return None


def _read(folder: Path) -> dict[str, Any]:
    try:
        note = json.loads((folder / "results" / "taken_over.json").read_bytes())
    except (OSError, ValueError):
        return {}
    return note if isinstance(note, dict) and isinstance(note.get("folder"), str) else {}


def _name(folder: Path) -> str:
    try:
        name = json.loads((folder / "command.json").read_bytes())["name"]
    except (OSError, ValueError, KeyError, TypeError):
        name = ""
    return f"“{str(name or folder.name)[:80]}”"
