"""The report of an audit: one HTML file with summary, issues, worst pictures, review, and how it was measured."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from deconv_core.audit.checks import CHECKS
from deconv_core.audit.earlier import taken_over
from deconv_core.audit.export import bad, column_recipes
from deconv_core.audit.recipes import recipes_of
from deconv_core.audit.review import (
    DECISIONS,
    Choice,
    MissRate,
    miss_rate,
    outdated,
    read_surprise,
    saved_choice,
)
from deconv_core.audit.risk import set_risk
from deconv_core.audit.table import AuditTable
from deconv_core.audit.words import evidence, evidence_columns, lower, paragraph, short, threshold_words

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


def at_the_end(count: int) -> int:
    """How many pictures a report may show that is written at the end of a run over `count` pictures."""
    return int(np.clip(_AT_THE_END * count, _FEWEST, _MOST))


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
    risk = set_risk(table, choice)
    return write_report(
        path or folder / "results" / "report.html",
        title=f"Audit of {Path(str(table.settings['data'])).name}",
        lead=paragraph(table, choice.thresholds, choice.weights, risk=risk),
        sections=_sections(folder, table, choice, risk, num_pictures),
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


def _sections(folder: Path, table: AuditTable, choice: Choice, risk: np.ndarray, num_pictures: int | None) -> list:
    import pandas as pd

    from deconv_core.report import Section

    counts = table.counts(choice.thresholds)
    ranked = sorted((key for key in counts if counts[key]), key=lambda key: -counts[key])
    rows = [
        {
            "issue": CHECKS[key].label,
            "pictures": counts[key],
            "share, %": round(100 * counts[key] / max(1, table.count), 2),
            "flagged": threshold_words(key, choice.thresholds.get(key, CHECKS[key].threshold)),
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
    places = sorted({int(place) for index in found.values() for place in index})
    records = table.rows(np.array(places, np.int64), evidence_columns(keys)).to_dict("records")
    rows = dict(zip(places, records, strict=True))
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
        for name in ("image", "reason"):
            rows[name] = rows[name].map(partial(short, length=_NAME_LENGTH))
        return Section(check.label, text, table=rows)
    return Section(check.label, f"{text} The most pronounced:", pictures=_pictures(groups, small))


def _riskiest(table: AuditTable, choice: Choice, risk: np.ndarray) -> dict[str, list]:
    """The columns of the list of the riskiest, and `captions`: (words, name) of those that can be shown."""
    import pyarrow as pa

    places = np.argsort(-risk, kind="stable")[:_RISKIEST]
    marks = {key: table.flagged(key, choice.thresholds.get(key))[places] for key in table.checks}
    names = table.names.take(pa.array(places)).to_pylist()
    issues = [", ".join(lower(CHECKS[key].label) for key in marks if marks[key][row]) for row in range(len(places))]
    readable = ~table.flagged("unreadable")[places]
    values = [round(float(risk[place]), 1) for place in places]
    return {
        "image": [short(name, _NAME_LENGTH) for name in names],
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

    made = column_recipes(table, choice)
    rows = [
        {
            "check": CHECKS[key].label,
            "version": str(made.get(key, {}).get("version", CHECKS[key].version)),
            "flagged": threshold_words(key, choice.thresholds.get(key, CHECKS[key].threshold)),
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
    known = table.find(wanted) >= 0
    found = thumbnails(folder, [name for name, there in zip(wanted, known, strict=True) if there], table, side=_SIDE)
    return {name: data for name, data in found.items() if data is not None}


def _pictures(groups: Sequence[tuple[str, Sequence[str]]], small: Mapping[str, bytes]) -> list:
    from deconv_core.report import Pictures

    made = []
    for caption, members in groups:
        shots = [(short(name, _NAME_LENGTH), small[name]) for name in members if name in small]
        if shots:
            made.append(Pictures(shots, short(caption, _NAME_LENGTH)))
    return made
