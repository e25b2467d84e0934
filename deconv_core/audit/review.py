"""What people decide about the pictures of an audit, what they chose for it, and how many bad ones slipped through.

Decisions are lines appended to `results/review.jsonl`, so nothing is lost and everything can be undone; thresholds lie
in `results/thresholds.json`, points of the quality risk in `results/weights.json`, the sample that "surprise me" drew
in `results/surprise.json`. All of it belongs to the data set: the next audit of the same source takes it over, see
`deconv_core.audit.earlier`.
"""

from __future__ import annotations

import csv
import json
import os
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from deconv_core.audit.checks import CHECKS
from deconv_core.audit.risk import check_weights, set_risk
from deconv_core.audit.table import AuditTable, Filter
from deconv_core.errors import DeconvError
from deconv_core.files import write_json

DECISIONS = ("keep", "drop", "unsure")
_STRATA = 4


@dataclass(frozen=True)
class Choice:
    """What counts when pictures are told good from bad, and ranked.

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
    """The thresholds, decisions and points that are saved with an audit."""
    return Choice(thresholds=threshold_values(folder), decisions=Review(folder).decisions, weights=read_weights(folder))


class Review:
    """The decisions about one audit.

    Args:
        folder: The job folder of the audit.

    Attributes:
        decisions: Name -> `keep`, `drop` or `unsure`, in the order in which they were taken.
    """

    def __init__(self, folder: Path | str) -> None:
        self._path = Path(folder) / "results" / "review.jsonl"
        self._history: list[tuple[str, str]] = []  # what was decided and not taken back, in order
        self.decisions: dict[str, str] = {}
        try:
            lines = self._path.read_bytes().splitlines()
        except OSError:
            lines = []
        for line in lines:
            self._replay(line)

    def _replay(self, line: bytes) -> None:
        try:
            entry = json.loads(line)
        except ValueError:
            return  # the last line of a process that was killed
        if not isinstance(entry, dict):
            return
        if isinstance(entry.get("undo"), str):
            self._take_back(entry["undo"], entry.get("decision"))
        elif entry.get("undo") is True:  # as written at first: whatever came last
            self._take_back()
        elif isinstance(entry.get("image"), str) and entry.get("decision") in DECISIONS:
            self._set(entry["image"], entry["decision"])

    def _set(self, image: str, decision: str) -> None:
        self._history.append((image, decision))
        self.decisions.pop(image, None)
        self.decisions[image] = decision

    def _last(self, image: str | None = None, decision: str | None = None) -> int | None:
        """Place of the last decision (about this picture, of this kind) in the history."""
        for place in reversed(range(len(self._history))):
            found = self._history[place]
            if image in (None, found[0]) and decision in (None, found[1]):
                return place
        return None

    def _take_back(self, image: str | None = None, decision: str | None = None) -> None:
        place = self._last(image, decision)
        if place is None:
            return
        image, _ = self._history.pop(place)
        self.decisions.pop(image, None)
        before = self._last(image)
        if before is not None:
            self.decisions[image] = self._history[before][1]

    def decide(self, image: str, decision: str) -> None:
        """Write down a decision; a later one about the same picture counts instead.

        Raises:
            DeconvError: Another word than keep, drop and unsure, or the file cannot be written.
        """
        _check_decision(decision)
        self._append({"image": image, "decision": decision, "time": round(time.time())})
        self._set(image, decision)

    def decide_all(self, decisions: Mapping[str, str]) -> None:
        """Write down many decisions at once, as `decide`.

        Raises:
            DeconvError: Another word than keep, drop and unsure, or the file cannot be written.
        """
        for decision in set(decisions.values()):
            _check_decision(decision)
        now = round(time.time())
        self._append(*({"image": image, "decision": decision, "time": now} for image, decision in decisions.items()))
        for image, decision in decisions.items():
            self._set(image, decision)

    def undo(self, image: str | None = None) -> str | None:
        """Take the last decision back; the name of its picture, or None where there is none.

        The line names what is taken back, so a decision that someone else took meanwhile stays.

        Args:
            image: Take back the last decision about this picture, so that of two people each undoes the own ones.

        Raises:
            DeconvError: The file cannot be written.
        """
        place = self._last(image)
        if place is None:
            return None
        image, decision = self._history[place]
        self._append({"undo": image, "decision": decision, "time": round(time.time())})
        self._take_back(image, decision)
        return image

    def counts(self) -> dict[str, int]:
        """keep, drop, unsure -> number of pictures."""
        counted = Counter(self.decisions.values())
        return {decision: counted[decision] for decision in DECISIONS}

    def progress(self, images: list[str]) -> tuple[int, int]:
        """(decided, all) of these pictures."""
        return sum(image in self.decisions for image in images), len(images)

    def _append(self, *entries: Mapping[str, Any]) -> None:
        if not entries:
            return
        lines = b"".join(json.dumps(entry).encode() + b"\n" for entry in entries)
        try:
            # One write of whole lines: two visitors at once do not mix theirs. A line that a kill cut short is ended.
            with self._path.open("ab") as file:
                start = b"" if not file.tell() or _ends_line(self._path) else b"\n"
                file.write(start + lines)
        except OSError as error:
            raise DeconvError(
                f"The decision could not be written ({error.strerror}); check the job folder and its space."
            ) from error


def _check_decision(decision: str) -> None:
    if decision not in DECISIONS:
        raise DeconvError(f"A picture cannot be '{decision}'; choose one of {', '.join(DECISIONS)}.")


def _ends_line(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"


def read_decisions(path: Path | str) -> dict[str, str]:
    """The decisions of a CSV file with the columns `image` and `decision`, such as an exported table that was edited.

    Returns:
        Name -> decision, of the lines that hold one.

    Raises:
        DeconvError: No such file, other columns, or another word than keep, drop and unsure.
    """
    path = Path(path)
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.DictReader(file)
            if not {"image", "decision"} <= set(rows.fieldnames or ()):
                raise DeconvError(
                    f"'{path.name}' has the columns {', '.join(rows.fieldnames or ()) or '(none)'}; expected image and "
                    "decision among them."
                )
            found = {row["image"] or "": (row["decision"] or "").strip().lower() for row in rows}
    except OSError as error:
        raise DeconvError(f"'{path.name}' cannot be read ({error.strerror}); check the path.") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise DeconvError(f"'{path.name}' is no readable CSV ({error}); save it as UTF-8 text.") from error
    found = {name: decision for name, decision in found.items() if decision}
    for decision in set(found.values()):
        _check_decision(decision)
    return found


def of_the_set(decisions: Mapping[str, str], table: AuditTable) -> dict[str, str]:
    """Those decisions of a CSV file that are about pictures of an audit, by their names in it."""
    # Our own CSV puts an apostrophe before what a spreadsheet would run.
    names = list(decisions)
    plain = [name.removeprefix("'") for name in names]
    known, undone = table.find(names) >= 0, table.find(plain) >= 0
    return {
        (name if is_known else other): decisions[name]
        for name, other, is_known, is_other in zip(names, plain, known, undone, strict=True)
        if is_known or is_other
    }


# Thresholds


@dataclass(frozen=True)
class Threshold:
    """A threshold chosen for a set.

    Attributes:
        value: In the unit of the check.
        percent: The share of pictures it was chosen to flag, or None where the value itself was chosen.
    """

    value: float
    percent: float | None = None


def read_thresholds(folder: Path | str) -> dict[str, Threshold]:
    """The thresholds saved with an audit, by check; those left at their default are not in it."""
    try:
        content = json.loads((Path(folder) / "results" / "thresholds.json").read_bytes())
        found = {}
        for key, entry in content.items():
            percent = entry.get("percent")
            if key in CHECKS and CHECKS[key].flags_when != "set":
                found[key] = Threshold(float(entry["value"]), None if percent is None else float(percent))
    except (OSError, ValueError, TypeError, AttributeError, KeyError):
        return {}
    return found


def save_thresholds(folder: Path | str, thresholds: Mapping[str, Threshold]) -> None:
    """Save the thresholds of an audit; an empty mapping resets all.

    Raises:
        DeconvError: An unknown check, one without a scale, a value that is no number, or a folder that is read-only.
    """
    for key, chosen in thresholds.items():
        if key not in CHECKS or CHECKS[key].flags_when == "set" or not np.isfinite(chosen.value):
            raise DeconvError(f"'{key}' cannot have the threshold {chosen.value}; expected a check with a scale.")
    content = {key: {"value": chosen.value, "percent": chosen.percent} for key, chosen in thresholds.items()}
    write_json(Path(folder) / "results" / "thresholds.json", content)


def find_shares(folder: Path | str, table: AuditTable) -> None:
    """Let saved thresholds that were chosen by a share flag that share of the pictures there are now.

    Raises:
        DeconvError: They cannot be written.
    """
    saved = read_thresholds(folder)
    found = {
        key: Threshold(table.threshold_at(key, chosen.percent), chosen.percent)
        for key, chosen in saved.items()
        if chosen.percent is not None and key in table.checks
    }
    if found:
        save_thresholds(folder, {**saved, **found})


def threshold_values(folder: Path | str) -> dict[str, float]:
    """Check -> saved threshold, as tables, risk and exports take them."""
    return {key: chosen.value for key, chosen in read_thresholds(folder).items()}


# Points of the quality risk


def read_weights(folder: Path | str) -> dict[str, float]:
    """Check -> points of the quality risk saved with an audit; those left at their default are not in it."""
    try:
        content = json.loads((Path(folder) / "results" / "weights.json").read_bytes())
        found = {key: float(value) for key, value in content.items()}
        check_weights(found)
    except (OSError, ValueError, TypeError, AttributeError):  # a DeconvError is a ValueError
        return {}
    return found


def save_weights(folder: Path | str, weights: Mapping[str, float]) -> None:
    """Save the points of the quality risk of an audit; an empty mapping resets all.

    Raises:
        DeconvError: An unknown check, points below 0 or none, or a folder that is read-only.
    """
    check_weights(weights)
    write_json(Path(folder) / "results" / "weights.json", {key: float(value) for key, value in weights.items()})


# Surprise me


@dataclass(frozen=True)
class MissRate:
    """How many of the pictures that passed are bad all the same, judged on a sample.

    Attributes:
        passes: Pictures that passed.
        sampled, judged, missed: Of the sample: all, those decided keep or drop, those decided drop.
        rate, low, high: Estimated share of bad ones among the passes, with its 95 % interval (Clopper and Pearson);
            NaN while nothing was judged.
    """

    passes: int
    sampled: int
    judged: int
    missed: int
    rate: float
    low: float
    high: float


def draw_surprise(
    folder: Path | str,
    table: AuditTable,
    count: int = 40,
    *,
    seed: int = 0,
    thresholds: Mapping[str, float] | None = None,
    weights: Mapping[str, float] | None = None,
) -> list[str]:
    """Draw pictures from those that passed all checks, and keep the sample in the job folder.

    Stratified: as many from each quarter of the passes by quality risk as is its share, so that near misses and clear
    passes are both there, and the sample still stands for all passes. Shuffled, so that its order tells nothing.

    Args:
        folder: The job folder.
        table: The audit's table.
        count: How many, if so many passed.
        seed: Decides which.
        thresholds, weights: Those that count instead of the defaults.

    Returns:
        Their names.
    """
    thresholds = dict(thresholds or {})
    passes = table.select(Filter(passed=True, thresholds=thresholds))
    generator = np.random.default_rng(seed)
    risk = set_risk(table, Choice(thresholds=thresholds, weights=weights or {}))
    ranked = passes[np.argsort(risk[passes], kind="stable")]
    chosen: list[int] = []
    wanted = min(count, len(ranked))
    # Of a count that four does not divide, samples and strata are rounded alike: none has fewer than is drawn from it.
    for number in range(_STRATA):
        first, last = (len(ranked) * border // _STRATA for border in (number, number + 1))
        size = wanted * (number + 1) // _STRATA - wanted * number // _STRATA
        chosen.extend(generator.choice(ranked[first:last], size, replace=False).tolist())
    names = [table.names[place].as_py() for place in generator.permutation(np.array(chosen, np.int64))]
    content = {
        "images": names,
        "passes": len(passes),
        "seed": seed,
        "thresholds": thresholds,
        "pictures": table.count,
        "fingerprint": table.summary.get("fingerprint", ""),
    }
    write_json(Path(folder) / "results" / "surprise.json", content)
    return names


def read_surprise(folder: Path | str) -> dict[str, Any]:
    """The sample drawn last; empty where there is none.

    Returns:
        `images` (names), `passes`, `seed`, `thresholds`, and, in samples of today, `pictures` and `fingerprint` of the
        set from which it was drawn.
    """
    try:
        content = json.loads((Path(folder) / "results" / "surprise.json").read_bytes())
        images = [name for name in content["images"] if isinstance(name, str)]
        thresholds = {str(key): float(value) for key, value in content.get("thresholds", {}).items()}
        numbers = {"passes": int(content.get("passes", 0)), "seed": int(content.get("seed", 0))}
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return {}
    return {**content, "images": images, "thresholds": thresholds, **numbers}


def outdated(sample: Mapping[str, Any], table: AuditTable, thresholds: Mapping[str, float] | None = None) -> str:
    """Why a sample no longer stands for what passes now; "" where it does.

    Args:
        sample: As `read_surprise` gives it.
        table: The audit's table.
        thresholds: Those that count now instead of the defaults.
    """
    thresholds, drawn = thresholds or {}, sample["thresholds"]
    moved = [
        key
        for key in table.checks
        if CHECKS[key].flags_when != "set"
        and drawn.get(key, CHECKS[key].threshold) != thresholds.get(key, CHECKS[key].threshold)
    ]
    if moved:
        row = CHECKS[moved[0]]
        then, now = (
            f"{chosen.get(row.key, row.threshold):.{row.digits}f} {row.unit}".strip() for chosen in (drawn, thresholds)
        )
        more = f" and of {len(moved) - 1} more" if len(moved) > 1 else ""
        return (
            f"The threshold of “{row.label}”{more} was changed since these were drawn (from {then} to {now}), so other "
            "pictures pass now; draw others."
        )
    known = (sample.get("pictures"), sample.get("fingerprint"))
    if known != (None, None) and known != (table.count, table.summary.get("fingerprint", "")):
        return "The set was other when these were drawn: pictures have come, gone or changed since; draw others."
    return ""


def miss_rate(sample: Mapping[str, Any], decisions: Mapping[str, str]) -> MissRate:
    """What the decisions so far tell about the passes; pictures decided `unsure` are left out.

    Example:
        >>> found = miss_rate({"images": ["a", "b"], "passes": 50}, {"a": "keep", "b": "drop"})
        >>> found.rate, found.judged
        (0.5, 2)
    """
    from scipy.stats import beta

    judged = [decisions[image] for image in sample["images"] if decisions.get(image) in ("keep", "drop")]
    missed, count = judged.count("drop"), len(judged)
    low = high = rate = float("nan")
    if count:
        rate = missed / count
        low = 0.0 if missed == 0 else float(beta.ppf(0.025, missed, count - missed + 1))
        high = 1.0 if missed == count else float(beta.ppf(0.975, missed + 1, count - missed))
    return MissRate(int(sample.get("passes", 0)), len(sample["images"]), count, missed, rate, low, high)
