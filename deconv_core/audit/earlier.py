"""What people chose for a data set counts for its next audit: thresholds, points of the quality risk, decisions.

The workspace remembers, for every source, the folders in which it was audited. A new audit looks there for the last one
that came to its end and in which somebody chose anything. Thresholds and points are copied when it begins, and can be
changed or reset like any others; thresholds of checks that measure otherwise by now are left out. The rest follows when
all is measured: thresholds chosen by a share of the set are found anew, and decisions are taken over by contents and
not by names, so a picture that was renamed keeps its decision, and one that was changed is open again.
`results/taken_over.json` says what came from where, as it was then.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from deconv_core.audit.checks import CHECKS
from deconv_core.audit.recipes import difference, recipes_of
from deconv_core.audit.review import (
    Review,
    Threshold,
    find_shares,
    read_thresholds,
    read_weights,
    save_thresholds,
    save_weights,
)
from deconv_core.audit.table import AuditTable
from deconv_core.audit.words import lower
from deconv_core.errors import DeconvError
from deconv_core.files import write_json
from deconv_core.workspace import folder as workspace_folder

_REMEMBERED = 50  # folders of one source


def begin(folder: Path, data: str, include: str, made: Mapping[str, Any]) -> None:
    """Remember that a source is audited in a folder, and take thresholds and points from the audit before.

    An audit must never fail for this: what cannot be read or written is left out.

    Args:
        folder: The job folder of the new audit.
        data, include: Its source, as `settings.json` names it: wherever it is asked for, by one name.
        made: Its recipes, see `recipes.recipes`.
    """
    with contextlib.suppress(DeconvError, OSError, ValueError):
        file = _register(data, include)
        known = _folders(file)
        write_json(file, {"data": data, "folders": [*known, str(folder)][-_REMEMBERED:]})
        source = next((Path(name) for name in reversed(known) if Path(name) != folder and _has_choices(name)), None)
        if source is None:
            return
        thresholds, left_out = _fitting(source, made)
        weights = read_weights(source)
        if thresholds:
            save_thresholds(folder, thresholds)
        if weights:
            save_weights(folder, weights)
        note = {"folder": str(source), "name": _name(source), "weights": weights, "left_out": left_out}
        note["thresholds"] = {key: chosen.value for key, chosen in thresholds.items()}
        write_json(folder / "results" / "taken_over.json", note)


def go_on(folder: Path, made: Mapping[str, Any]) -> str:
    """Leave out, of an audit that goes on, the thresholds of what was measured otherwise before; which and why, or "".

    Args:
        folder: Its job folder, as the run before left it.
        made: Its recipes now.
    """
    with contextlib.suppress(DeconvError, OSError, ValueError):
        thresholds, left_out = _fitting(folder, made)
        if left_out:
            save_thresholds(folder, thresholds)
            return f"thresholds of what was measured otherwise (first) than now (second) are reset: {_told(left_out)}"
    return ""


def _fitting(source: Path, made: Mapping[str, Any]) -> tuple[dict[str, Threshold], dict[str, str]]:
    """(thresholds of an audit that mean the same by these recipes, check -> why not of the others)."""
    thresholds, left_out = read_thresholds(source), {}
    before = recipes_of(AuditTable(source)) if thresholds else {}
    for key in list(thresholds):
        why = difference(key, before, made) if key in made else "not made in the second"
        if why:
            left_out[key] = why
            del thresholds[key]
    return thresholds, left_out


def finish(folder: Path, table: AuditTable) -> None:
    """What can be told once all is measured: thresholds chosen by a share, and the decisions of the audit before.

    Decisions are taken over once; those taken in this audit meanwhile count more. As in `begin`, nothing fails for it.
    """
    with contextlib.suppress(DeconvError, OSError, ValueError):
        find_shares(folder, table)
        note = _read(folder)
        if not note or "decisions" in note:
            return
        taken, gone = {}, 0
        with contextlib.suppress(DeconvError, OSError, ValueError):  # it may be gone by now
            source = Path(note["folder"])
            taken, gone = _decisions(AuditTable(source), Review(source).decisions, table)
        review = Review(folder)
        taken = {image: decision for image, decision in taken.items() if image not in review.decisions}
        review.decide_all(taken)
        write_json(folder / "results" / "taken_over.json", {**note, "decisions": len(taken), "open": gone})


def taken_over(folder: Path | str) -> str:
    """Where thresholds, points and decisions of an audit came from, in sentences; "" where nothing was taken over."""
    note = _read(Path(folder))
    if not note:
        return ""
    counts = (
        (len(note.get("thresholds", ())), "threshold", "thresholds"),
        (int(bool(note.get("weights"))), "the points of the quality risk", ""),
        (int(note.get("decisions", 0)), "decision", "decisions"),
    )
    told = [one if not many else f"{count:,} {one if count == 1 else many}" for count, one, many in counts if count]
    endings = []
    if still := int(note.get("open", 0)):
        endings.append(f"{still:,} decided there have changed or are gone, and count for nothing here.")
    if left_out := _told(note.get("left_out", {})):
        endings.append(f"Thresholds of what that audit (the first) measured otherwise were left out: {left_out}.")
    if not told and not endings:
        return ""
    listed = f"{', '.join(told[:-1])} and {told[-1]}" if len(told) > 1 else "".join(told) or "nothing"
    name = note.get("name") or _name(Path(note["folder"]))
    return " ".join([f"Taken over from the earlier audit of this set, {name}: {listed}.", *endings])


def _told(left_out: Mapping[str, str]) -> str:
    return ", ".join(f"{lower(CHECKS[key].label)} ({why})" for key, why in left_out.items() if key in CHECKS)


def _decisions(before: AuditTable, decided: Mapping[str, str], now: AuditTable) -> tuple[dict[str, str], int]:
    """(name -> decision for the pictures of today, how many decisions fit none of them)."""
    places = before.find(list(decided))
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
    home = workspace_folder("data") / "audits"
    home.mkdir(exist_ok=True)
    return home / f"{hashlib.sha256(json.dumps([data, include]).encode()).hexdigest()[:32]}.json"


def _folders(file: Path) -> list[str]:
    try:
        found = json.loads(file.read_bytes())["folders"]
        return [name for name in found if isinstance(name, str)]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def _has_choices(folder: str) -> bool:
    """Whether an audit has come to its end and holds what people chose, or what they reset of what it took over."""
    results = Path(folder) / "results"
    if not (results / "images.parquet").exists():
        return False
    note = _read(Path(folder))
    return (
        "decisions" in note
        if note
        else bool(read_thresholds(folder) or read_weights(folder) or Review(folder).decisions)
    )


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
