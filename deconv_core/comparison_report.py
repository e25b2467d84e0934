"""The report of a comparison: which metrics agree, which fall with damage, and where two contradict each other."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from deconv_core.agreement import ALL
from deconv_core.report import Pictures, Section, write_report

if TYPE_CHECKING:
    import pandas as pd

    from deconv_core.comparison import Comparison

# The score that stands in front, and those it is held against, as far as they were computed.
_HEADLINES = ("deconv", "recon_pair_ssim", "recon_pair_psnr", "gradient_information")
_FAMILIAR = ("psnr", "ssim")
_CURVES = (*_FAMILIAR, "deconv", "deconv_control", "recon_pair_ssim")
_MOST_CURVES = 5
_MOST_POINTS = 10_000
_PAIRS_SHOWN = 6
_PROBLEMS_SHOWN = 20


def compared_pairs(metrics: Sequence[str]) -> list[tuple[str, str]]:
    """The pairs of metrics whose disagreements a run writes down: the headline score and the familiar ones."""
    usual = _usual(metrics)
    return [(second, first) for place, first in enumerate(usual) for second in usual[place + 1 :]]


def findings(comparison: Comparison, relations: pd.DataFrame, broken: pd.DataFrame) -> str:
    """What a run found, in a few sentences.

    Args:
        comparison: A finished run.
        relations: As from `relations.correlations`; may be empty.
        broken: As from `severity.broken_steps`.
    """
    from deconv_core.relations import drawn_words

    sentences = []
    overall = relations[relations["group"] == ALL]
    usual = _usual(comparison.metrics)
    if len(overall):
        head = usual[0]
        mine = _towards(overall, head)
        # A score is like its own control by making, and some scores are shown as no measure of quality.
        rivals = [key for key in mine["other"] if key in _judges(comparison.metrics) and key != _control(head)]
        mine = mine[mine["other"].isin(rivals)] if rivals else mine
        ordered = mine.sort_values("srcc", ascending=False, kind="stable")
        best, worst = ordered.iloc[0], ordered.iloc[-1]
        sentences.append(
            f"{_label(head)} orders these pictures most like {_label(best['other'])} (SRCC {_with_interval(best)}) and "
            f"least like {_label(worst['other'])} ({_with_interval(worst)})."
            if len(ordered) > 1
            else f"{_label(head)} and {_label(best['other'])} agree with an SRCC of {_with_interval(best)}."
        )
    judges = _judges(comparison.metrics) or list(comparison.metrics)
    steps = broken[broken["metric"].isin(judges)].groupby("metric", sort=False)[["broken", "steps"]].sum()
    steps = steps[steps["steps"] > 0]
    if len(steps):
        never = [key for key in steps.index if steps["broken"][key] == 0]
        share = (steps["broken"] / steps["steps"]).sort_values(ascending=False, kind="stable")
        if never:
            names = "; ".join(_label(key) for key in never[:6]) + (
                f"; and {len(never) - 6} more" if len(never) > 6 else ""
            )
            sentences.append(f"More damage never scored better with: {names}.")
        if share.iloc[0] > 0:
            sentences.append(
                f"It did most often with {_label(share.index[0])}: in {100 * share.iloc[0]:.1f} % of the steps from "
                "one severity to the next."
            )
    words = drawn_words(comparison.scored, comparison.settings.seed)
    if words:
        sentences.append(words)
    sentences.append(
        "Which of them is right, only people can say: agreement among metrics is no proof of quality. "
        "Compare with human scores before you trust one."
    )
    return " ".join(sentences)


def write(
    comparison: Comparison,
    relations: pd.DataFrame,
    contradictions: pd.DataFrame,
    path: Path | str,
) -> Path:
    """Write the report of a finished run.

    Args:
        comparison: The run.
        relations: As from `relations.correlations` with `group="distortion"`; may be empty.
        contradictions: Rows of `relations.disagreements` with the columns `first` and `second`; may be empty.
        path: Ends in .html.
    """
    from deconv_core.severity import broken_steps

    scored = comparison.scored
    keys = [key for key in comparison.metrics if scored[key].notna().any()]
    broken = broken_steps(scored, keys)
    lead = findings(comparison, relations, broken)
    sections = [
        *_agreement_sections(relations, keys),
        _curves(comparison, keys),
        _sanity(comparison, broken, keys),
        *_scatters(scored, keys),
        *_contradictions(comparison, contradictions),
        _levels(comparison, keys),
        *_problems(comparison),
        _recipes(comparison),
    ]
    return write_report(
        path,
        title=f"Metrics compared on {_name(comparison.settings.data)}",
        lead=lead,
        sections=sections,
        command=comparison.summary["command"],
        facts=_facts(comparison),
    )


def _facts(comparison: Comparison) -> dict[str, Any]:
    summary, settings = comparison.summary, comparison.settings
    model = summary["model"]
    unread = f" ({summary['unreadable']} could not be read)" if summary["unreadable"] else ""
    return {
        "Pictures": f"{summary['images']:,}{unread}",
        "Damaged versions": f"{summary['rows'] - summary['unreadable']:,}",
        "Distortions": ", ".join(_kind(key) for key in settings.distortions),
        "Severities": ", ".join(f"{severity:g}" for severity in settings.severities),
        "Model": f"{model['name']}, digest {model['digest'][:12]}" if model else "none",
        "Seed": settings.seed,
        "Time": f"{summary['seconds']:,.0f} s of work, {summary['images_per_second']:.2f} images/s",
        "Peak memory": f"{summary['peak_memory_bytes'] / 2**20:,.0f} MiB",
        "Source": f"{_name(settings.data)}, fingerprint {summary['fingerprint'][:12]}",
        "Versions": ", ".join(f"{name} {number}" for name, number in summary["versions"].items()),
    }


def _agreement_sections(relations: pd.DataFrame, keys: Sequence[str]) -> list[Section]:
    import pandas as pd

    from deconv_core.figures import relation_dots

    overall = relations[relations["group"] == ALL]
    if not len(overall):
        return []
    usual = _usual(keys)
    head = usual[0]
    mine = _towards(overall, head)
    table = pd.DataFrame({"metric": [_label(key) for key in keys]})
    for other in usual:
        found = {row["other"]: _with_interval(row) for _, row in _towards(overall, other).iterrows()}
        table[f"SRCC with {_label(other)}"] = [found.get(key, "-") for key in keys]
    sections = [
        Section(
            f"Which metrics agree with {_label(head)}",
            "SRCC asks whether two metrics put the pictures in the same order: 1 is the same order, 0 no relation. "
            "Every metric is turned so that higher is better. The 95 % intervals come from drawing whole references "
            "again.",
            figure=relation_dots(mine, "srcc", [_label(key) for key in mine["other"]]).update_xaxes(
                title="SRCC, 95 % interval"
            ),
            table=table,
        )
    ]
    kinds = [kind for kind in relations["group"].unique() if kind != ALL]
    if kinds:
        split = pd.DataFrame({"distortion": [_kind(kind) for kind in kinds]})
        for other in usual[1:]:
            rows = {
                kind: _towards(relations[relations["group"] == kind], head).set_index("other").loc[other]
                for kind in kinds
            }
            split[f"{_label(head)} with {_label(other)}"] = [_with_interval(rows[kind]) for kind in kinds]
        sections.append(
            Section(
                "By distortion",
                "SRCC among the versions with one kind of damage. Metrics that agree overall may part ways here.",
                table=split,
            )
        )
    return sections


def _curves(comparison: Comparison, keys: Sequence[str]) -> Section:
    from deconv_core.figures import spread_curves
    from deconv_core.severity import spread

    chosen = [key for key in _CURVES if key in keys] or list(keys)
    table = spread(comparison.scored, chosen[:_MOST_CURVES])
    figures = []
    for kind in comparison.settings.distortions:
        rows = table[table["distortion"] == kind]
        if len(rows):
            figure = spread_curves(rows.sort_values("metric", key=lambda names: names.map(chosen.index), kind="stable"))
            figures.append(figure.update_layout(title={"text": _kind(kind), "x": 0}, margin={"t": 44}))
    return Section(
        "Severity curves",
        "The median over the pictures as a line, the middle half of them as a band, on one scale: 1 is what identical "
        "pictures get, 0 the worst quartile of the curve. A cross marks a median that rises with more damage.",
        figure=figures,
    )


def _sanity(comparison: Comparison, broken: pd.DataFrame, keys: Sequence[str]) -> Section:
    import pandas as pd

    cards = _law_cards(comparison)
    rows = []
    for key in keys:
        mine = broken[broken["metric"] == key]
        steps, rising = int(mine["steps"].sum()), int(mine["broken"].sum())
        most = mine.sort_values("broken", ascending=False, kind="stable")["distortion"].iloc[0] if rising else None
        rows.append(
            {
                "metric": _label(key),
                "rising steps": rising,
                "of": steps,
                "share": f"{100 * rising / steps:.1f} %" if steps else "-",
                "most with": _kind(most) if most else "-",
                "laws on the model's card": cards.get(key, "no card"),
            }
        )
    return Section(
        "Sanity: does the score fall when damage grows?",
        "Steps from one severity of a picture to its next in which more damage scored better. The laws on a model's "
        "card were tried on twenty photographs in twenty steps of blur, noise, JPEG and contrast, with identical and "
        "blank pictures.",
        table=pd.DataFrame(rows),
    )


def _law_cards(comparison: Comparison) -> dict[str, str]:
    """Key -> what the cards of the models in use say about the laws."""
    from deconv_core.errors import DeconvError
    from deconv_core.models.saving import read_card

    found = {}
    for key, recipe in comparison.recipes.items():
        if not recipe.get("model"):
            continue
        try:
            card = read_card(recipe["model"])
        except DeconvError:  # a model that has since been removed
            continue
        report = (card.get("laws") or {}).get(key)
        if card.get("digest") == recipe["model_digest"] and isinstance(report, Mapping):
            failed = [name for name, law in report.get("laws", {}).items() if law.get("passed") is False]
            found[key] = "all hold" if not failed else f"fails: {', '.join(failed)}"
    return found


def _scatters(scored: pd.DataFrame, keys: Sequence[str]) -> list[Section]:
    from deconv_core.distortions import DISTORTIONS
    from deconv_core.figures import linked_scatter

    usual = _usual(keys)
    if len(usual) < 2:
        return []
    drawn = scored
    note = ""
    if len(scored) > _MOST_POINTS:
        drawn = scored.sample(_MOST_POINTS, random_state=0).sort_index()
        note = f" {_MOST_POINTS:,} of {len(scored):,} points are drawn."
    labels = {key: row.label for key, row in DISTORTIONS.items()}
    figures = [linked_scatter(drawn, other, usual[0], labels=labels) for other in usual[1:3]]
    for figure in figures:
        figure.update_layout(dragmode="zoom")
    return [
        Section(
            f"{_label(usual[0])} against {' and '.join(_label(key) for key in usual[1:3])}",
            "Every point is a damaged picture; stronger damage has larger points. Points of one height that lie far "
            f"apart are pictures that one metric calls equal and the other does not.{note}",
            figure=figures,
        )
    ]


def _contradictions(comparison: Comparison, table: pd.DataFrame) -> list[Section]:
    from deconv_core.relations import pair_reason

    words = {
        "equal": "{first} sees no difference, {second} a large one",
        "order": "{first} and {second} the other way round",
    }
    sections = []
    for (first, second, kind), rows in table.groupby(["first", "second", "kind"], sort=False):
        shown = rows.head(_PAIRS_SHOWN)
        groups = []
        for pair in shown.to_dict("records"):
            shots = []
            for side in "ab":
                reference, candidate = comparison.pair(int(pair[f"row_{side}"]))
                line = comparison.frame.iloc[int(pair[f"row_{side}"])]
                name = f"{side.upper()}: {_kind(line['distortion'])} {line['severity']:g}"
                shots += [(f"reference of {side.upper()}", reference), (name, candidate)]
            if shots[0][1] is shots[2][1] or np.array_equal(shots[0][1], shots[2][1]):
                shots = [("reference", shots[0][1]), shots[1], shots[3]]
            groups.append(Pictures(shots, pair_reason(comparison, first, second, pair)))
        if groups:
            title = words[kind].format(first=_label(first), second=_label(second))
            sections.append(
                Section(
                    title,
                    f"The strongest {len(groups)} of the pairs found, every damaged picture in one of them only.",
                    pictures=groups,
                )
            )
    return sections


def _levels(comparison: Comparison, keys: Sequence[str]) -> Section:
    import pandas as pd

    from deconv_core.percentiles import against_reference, reference_set

    rows = []
    for key in keys:
        values = comparison.scored[key].dropna().to_numpy(float)
        low, middle, high = np.quantile(values, [0.05, 0.5, 0.95], method="nearest")
        place = against_reference(key, [middle], comparison.recipes.get(key))
        rows.append(
            {
                "metric": _label(key),
                "direction": "higher is better" if _higher(key) else "lower is better",
                "lowest 5 %": _value(key, low),
                "median": _value(key, middle),
                "highest 5 %": _value(key, high),
                "median's place in the bundled set": "-" if place is None else f"{place[0]:.0f} %",
            }
        )
    bundled = reference_set()
    about = f" ({bundled['rows']:,} damaged versions of {bundled['images']} sample photographs)" if bundled else ""
    return Section(
        "What the scores were",
        "The last column says what share of the bundled reference set"
        f'{about} is no better than the median here; "-" where that set knows another version of the metric or model.',
        table=pd.DataFrame(rows),
    )


def _problems(comparison: Comparison) -> list[Section]:
    import pandas as pd

    frame = comparison.frame
    rows = frame[(frame["status"] != "ok") | (frame["reason"] != "")]
    if not len(rows):
        return []
    groups = rows.groupby(["image", "status", "reason"], sort=False).size().reset_index(name="rows")
    more = len(groups) - _PROBLEMS_SHOWN
    counts = ", ".join(
        f"{count:,} {status.replace('_', ' ')}" for status, count in frame["status"].value_counts().items()
    )
    text = f"Rows by status: {counts}."
    if more > 0:
        text += f" The first {_PROBLEMS_SHOWN} notes; {more} more stand in scores.csv."
    table = pd.DataFrame(groups.head(_PROBLEMS_SHOWN)).rename(columns={"image": "picture", "reason": "note"})
    return [Section("What was left out or changed", text, table=table)]


def _recipes(comparison: Comparison) -> Section:
    import pandas as pd

    columns = ("version", "convention", "colour_space", "window", "resize", "model", "hash")
    rows = [
        {"metric": _label(key), "key": key, **{name: recipe.get(name) for name in columns}}
        for key, recipe in comparison.recipes.items()
    ]
    table = pd.DataFrame(rows).rename(columns={"colour_space": "colour"}).astype({"version": "str"})
    return Section(
        "Recipes", "How every number was made; the hash changes with anything in it.", table=table, folded=True
    )


def _usual(metrics: Sequence[str]) -> list[str]:
    """The headline score first, then the familiar ones; whatever there is where none of them was computed."""
    head = next((key for key in _HEADLINES if key in metrics), None)
    chosen = [key for key in (head, *_FAMILIAR) if key in metrics]
    rest = [key for key in metrics if key not in chosen]
    return [*chosen, *rest[: max(0, 3 - len(chosen))]]


def _judges(metrics: Sequence[str]) -> list[str]:
    """The metrics that compare with a reference and need no warning."""
    from deconv_core.errors import DeconvError
    from deconv_core.metrics import metric

    chosen = []
    for key in metrics:
        try:
            row = metric(key)
        except DeconvError:
            chosen.append(key)
            continue
        if row.needs_reference and not row.warning:
            chosen.append(key)
    return chosen


def _control(key: str) -> str | None:
    from deconv_core.errors import DeconvError
    from deconv_core.metrics import metric

    try:
        return metric(key).control
    except DeconvError:
        return None


def _towards(relations: pd.DataFrame, key: str) -> pd.DataFrame:
    """The relations of one metric, the other one in the column `other`."""
    mine = relations[(relations["first"] == key) | (relations["second"] == key)]
    return mine.assign(other=mine["second"].where(mine["first"] == key, mine["first"]))


def _with_interval(row: Mapping[str, Any], name: str = "srcc") -> str:
    value, low, high = (row[f"{name}{end}"] for end in ("", "_low", "_high"))
    if math.isnan(value):
        return "-"
    return f"{value:.3f}" if math.isnan(low) else f"{value:.3f} [{low:.3f}, {high:.3f}]"


def _label(key: str) -> str:
    from deconv_core.errors import DeconvError
    from deconv_core.metrics import metric

    try:
        return metric(key).label
    except DeconvError:
        return key


def _higher(key: str) -> bool:
    from deconv_core.relations import direction

    return direction(key) > 0


def _value(key: str, value: float) -> str:
    from deconv_core.metrics import metric
    from deconv_core.scoring import show

    return show(metric(key), value)


def _kind(key: str) -> str:
    from deconv_core.distortions import DISTORTIONS

    return DISTORTIONS[key].label if key in DISTORTIONS else str(key)


def _name(source: str) -> str:
    """A source without the folders of this machine: reports travel."""
    return source if "://" in source else Path(source).name or source
