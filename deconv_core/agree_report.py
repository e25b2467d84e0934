"""A comparison with human scores as one HTML file that needs nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from deconv_core import agree_result
from deconv_core.agree_result import AgreeResult, metric_label
from deconv_core.errors import ImageError
from deconv_core.figures import agreement_intervals, opinion_scatter
from deconv_core.report import Pictures, Section, write_report

if TYPE_CHECKING:
    import plotly.graph_objects as go

FILE = "report.html"
_SCATTERS = 4
_MOST_NAMED_POINTS = 1000
_EXAMPLES = 4
_LISTED = 100


def write_agree_report(found: AgreeResult) -> Path:
    """Write `results/report.html` from what is in the job folder.

    Raises:
        DeconvError: The file cannot be written.
    """
    settings = found.settings
    warnings = [str(sentence) for sentence in (settings.get("contaminated") or {}).values()]
    overall = found.overall()
    sections = [
        Section(
            "Which metric agrees with people",
            "\n\n".join([found.direction_words(), *warnings, interval_words(found)]),
            agreement_intervals(overall),
            agree_result.metrics_table(found).drop(columns=["Note", "Of the metric"]),
        )
    ]
    rivals = agree_result.rivals_table(found)
    if len(rivals):
        words = (
            "Paired bootstrap over contents, the same draws for both metrics; p is two-sided and not corrected for the "
            "number of comparisons."
        )
        sections.append(Section("Differences, and whether they are more than chance", words, table=rivals))
    sections.append(
        Section(
            "Human scores against metrics",
            "One point per picture, with the curve that was fitted: the logistic with 5 parameters, or that with 4 "
            "where the first turns back within the data, or a line where neither helps.",
            [scatter(found, key) for key in found.metrics[:_SCATTERS]],
        )
    )
    examples = _examples(found)
    if examples:
        label = metric_label(found.metrics[0])
        words = f"The pictures that lie furthest from the curve of {label}, the metric that agrees best."
        sections.append(Section(f"Where {label} and people disagree most", words, pictures=examples))
    if found.groups:
        title = f"Within each {settings.get('group') or 'group'}"
        sections.append(Section(title, "SRCC of each metric.", table=agree_result.groups_table(found)))
    if len(found.held_out):
        words = "The curve is fitted without some contents and asked about these, until each was asked once."
        sections.append(Section("New contents", words, table=agree_result.held_out_table(found)))
    if len(found.published):
        words = "Published numbers differ because settings differ (window, colour, size); none is chosen here."
        title = f"Published for {settings.get('data_set') or 'this set'}"
        sections.append(Section(title, words, table=agree_result.published_table(found)))
    notes = [str(note) for note in settings.get("notes") or []]
    told = overall[overall["note"] != ""]
    notes += [f"{metric_label(row['metric'])}: {row['note']}" for row in told.to_dict("records")]
    if notes or len(found.problems):
        table = found.problems.head(_LISTED) if len(found.problems) else None
        more = len(found.problems) - _LISTED
        told = [*notes, *([f"The first {_LISTED} of {len(found.problems)} follow."] if more > 0 else [])]
        sections.append(
            Section("What was repaired, and what took no part", "\n\n".join(told), table=table, folded=True)
        )
    return write_report(
        found.folder / "results" / FILE,
        title="Metrics and human scores",
        lead=found.advice,
        sections=sections,
        command=str(settings.get("command") or ""),
        facts={
            "Rows": len(found.rows),
            "Pictures compared": int(overall["count"].max()),
            "Contents": int(overall["contents"].max()),
            "Data set": settings.get("data_set") or "-",
            "Human score": found.scores,
            "Digest of the table": str(settings.get("scores_digest") or "-")[:16],
            "Resamples": settings.get("resamples"),
            "Seed": settings.get("seed"),
            **{f"Version of {name}": number for name, number in (settings.get("versions") or {}).items()},
        },
    )


def interval_words(found: AgreeResult) -> str:
    """What SRCC asks, of how many pictures, and where its intervals come from."""
    overall, settings = found.overall(), found.settings
    count, contents = int(overall["count"].max()), int(overall["contents"].max())
    drawn = f"the {contents:,} contents" if settings.get("content") else "single pictures"
    intervals = (
        f"Intervals hold 95 % of {settings['resamples']:,} resamples of {drawn}."
        if settings.get("resamples")
        else "No intervals were asked for."
    )
    return (
        "SRCC asks whether a metric puts pictures in the order in which people put them: 1 is the same order, 0 has "
        f"nothing to do with it. {count:,} pictures. {intervals}"
    )


def scatter(found: AgreeResult, metric: str, *, group: str = agree_result.ALL, named: bool | None = None) -> go.Figure:
    """Human scores against a metric with the curve of a group, whose points stand out.

    Args:
        found: The result.
        metric: One of its metrics.
        group: One of its groups, or "all".
        named: Whether points tell their picture; without it, where there are few enough for a file.
    """
    fit = found.fits.get((metric, group))
    better = (found.settings.get("direction") or {}).get("higher_is_better")
    direction = "" if better is None else f", {'higher' if better else 'lower'} is better"
    row = found.table[(found.table["metric"] == metric) & (found.table["group"] == group)].iloc[0]
    named = len(found.rows) <= _MOST_NAMED_POINTS if named is None else named
    return opinion_scatter(
        found.rows,
        metric,
        found.scores,
        curve=fit.curve() if fit else None,
        names=found.names() if named else None,
        group=found.settings.get("group"),
        highlight=None if group == agree_result.ALL else group,
        metric_title=f"{metric_label(metric)}, {row['metric_direction']}",
        scores_title=f"{found.scores} (human score{direction})",
    )


def _examples(found: AgreeResult) -> list[Pictures]:
    """The pictures furthest from the curve of the best metric, where they can be shown."""
    from deconv_core.images import read_image

    if found.pictures is None or not found.metrics:
        return []
    metric, made = found.metrics[0], []
    for row in agree_result.furthest(found, metric, 4 * _EXAMPLES).to_dict("records"):
        reference, candidate = found.picture(int(row["row"]))
        if candidate is None:
            continue
        try:
            shots = [("image to judge", read_image(candidate).pixels)]
            if reference is not None:
                shots.insert(0, ("reference", read_image(reference).pixels))
        except ImageError:
            continue
        made.append(Pictures(shots, f"{row['name']}: human score {row['score']:.4g}, expected {row['expected']:.4g}"))
        if len(made) == _EXAMPLES:
            break
    return made
