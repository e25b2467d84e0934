"""What a comparison with human scores has found: advice, tables, the scatter with its curve, downloads."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import streamlit as st

from deconv_core import agree_result
from deconv_core.agree_report import FILE, interval_words, scatter
from deconv_core.agree_result import ALL, AgreeResult, metric_label
from deconv_core.errors import ImageError
from deconv_core.figures import agreement_intervals, plot_config
from deconv_core.inspection import not_quality
from deconv_core.jobs import JobState
from pages.ui import cached
from pages.ui.inputs import plain
from pages.ui.people_calibrate import show_calibration
from pages.ui.viewer import Shot, viewer

if TYPE_CHECKING:
    import pandas as pd

PARTS = {
    "scatter": "Scores and metrics",
    "furthest": "Where they disagree",
    "groups": "By kind",
    "held_out": "New contents",
    "published": "Published",
    "problems": "What took no part",
}
_ALL = "(all)"
_LISTED = 500
_FURTHEST = 50
_FOUR = st.column_config.NumberColumn(format="%.4g")
_THREE = st.column_config.NumberColumn(format="%.3f")
_HEADINGS: dict[str, Any] = {
    "SRCC": st.column_config.NumberColumn(format="%.3f", help="Spearman: does the order agree? 1 is the best."),
    "KRCC": st.column_config.NumberColumn(format="%.3f", help="Kendall: how many more pairs are ordered alike?"),
    "PLCC raw": st.column_config.NumberColumn(format="%.3f", help="Pearson: do the numbers lie on a line?"),
    "PLCC logistic 4": st.column_config.NumberColumn(
        format="%.3f", help="After a logistic curve with 4 parameters was fitted, or the line where it is no help."
    ),
    "PLCC logistic 5": st.column_config.NumberColumn(
        format="%.3f", help="After the curve of Sheikh, Sabir and Bovik with 5 parameters."
    ),
    "RMSE": st.column_config.NumberColumn(
        format="%.4g", help="Root mean squared distance from the curve, in units of the human scores. Lower is better."
    ),
    "Outlier ratio": st.column_config.NumberColumn(
        format="%.3f",
        help="Share of pictures further from the curve than twice the standard deviation of their score (of all "
        "distances, where the table gives none). Lower is better.",
    ),
    "Milliseconds per picture": st.column_config.NumberColumn(format="%.3g", help="Measured here."),
    "Difference of SRCC": st.column_config.NumberColumn(format="%+.3f"),
    "p": st.column_config.NumberColumn(
        format="%.3g", help="Of no difference: paired bootstrap over contents, two-sided, not corrected for the number."
    ),
    "RMSE, all contents": st.column_config.NumberColumn(format="%.4g"),
    "RMSE, contents not seen": st.column_config.NumberColumn(format="%.4g"),
}


def show_agreement(name: str, job: JobState) -> None:
    """The result of a run that has ended; nothing to show is said."""
    found = cached.agree_result(job.folder)
    if found is None:
        st.caption("There is no result: the run ended before it had one.")
        return
    st.subheader(plain(found.advice), anchor=False)
    st.markdown(plain(found.direction_words()))
    for sentence in (found.settings.get("contaminated") or {}).values():
        st.markdown(f":material/warning: {plain(sentence)}")
    _show_overview(found)
    part = st.segmented_control(
        "Look at", [key for key in PARTS if _has(found, key)], format_func=PARTS.get, default="scatter", required=True,
        key=f"{name}_people_part", label_visibility="collapsed",
    )  # fmt: skip
    if part == "scatter":
        st.fragment(_show_scatter)(name, found)
    elif part == "furthest":
        st.fragment(_show_furthest)(name, found)
    elif part == "groups":
        _show_groups(found)
    elif part == "held_out":
        _show_held_out(found)
    elif part == "published":
        _show_published(found)
    elif part == "problems":
        _show_problems(found)
    show_calibration(name, job, found)
    _show_downloads(name, job, found)


def _has(found: AgreeResult, part: str) -> bool:
    return {
        "scatter": True,
        "furthest": bool(found.fits),
        "groups": bool(found.groups),
        "held_out": bool(len(found.held_out)),
        "published": bool(len(found.published)),
        "problems": bool(len(found.problems)) or bool(found.settings.get("notes")),
    }[part]


def _show_overview(found: AgreeResult) -> None:
    st.plotly_chart(agreement_intervals(found.overall()), config=plot_config("agreement"), key="people_agreement_plot")
    st.caption(plain(f"{interval_words(found)} {not_quality(found.metrics)}"))
    _table(agree_result.metrics_table(found), "How well each metric agrees with people")
    rivals = agree_result.rivals_table(found)
    if len(rivals):
        _table(rivals, "Differences, and whether they are more than chance")


def _table(frame: pd.DataFrame, title: str) -> None:
    st.markdown(f"**{title}**")
    first = next(iter(frame.columns), "")
    numbers = {column: _THREE for column in frame.columns if frame[column].dtype.kind == "f"}
    fixed = {first: st.column_config.TextColumn(pinned=True, width=170)}
    if "Against" in frame:
        fixed["Against"] = st.column_config.TextColumn(width="medium")
    st.dataframe(
        frame,
        hide_index=True,
        height="content" if len(frame) < 14 else 480,
        column_config={**numbers, **{key: row for key, row in _HEADINGS.items() if key in frame}, **fixed},
    )


def _show_scatter(name: str, found: AgreeResult) -> None:
    with st.container(horizontal=True):
        metric = st.selectbox("Metric", found.metrics, format_func=metric_label, key=f"{name}_people_metric", width=280)
        marked = _ALL
        if found.groups:
            marked = st.selectbox("Kind", [_ALL, *found.groups], key=f"{name}_people_marked", width=280)
    part = ALL if marked == _ALL else marked
    event = st.plotly_chart(
        scatter(found, metric, group=part, named=True),
        config=plot_config(f"{metric}_against_people"),
        key=f"{name}_people_scatter_{metric}_{found.groups.index(marked) if marked != _ALL else ''}",
        on_select="rerun",
        selection_mode="points",
    )
    st.caption(plain(f"{_curve_words(found, metric, part)} {not_quality([metric])}"))
    points = event.selection.points if event else []
    places = [_place(point["customdata"]) for point in points if point.get("customdata") is not None]
    if not places:
        words = "Press a point to see its picture." if found.pictures is not None else "Press a point to see its row."
        st.caption(words)
        return
    _show_row(name, found, places[0])


def _place(told: Any) -> int:
    """The row of a pressed point; the browser tells a list of one as {"0": row}."""
    if isinstance(told, dict):
        told = list(told.values())
    return int(told[0] if isinstance(told, list) else told)


def _curve_words(found: AgreeResult, metric: str, group: str) -> str:
    fit = found.fits.get((metric, group))
    if fit is None:
        return "Too few pictures for a curve."
    kind = {"logistic4": "logistic with 4 parameters", "logistic5": "logistic with 5 parameters", "linear": "line"}
    row = found.table[(found.table["metric"] == metric) & (found.table["group"] == group)].iloc[0]
    return (
        f"SRCC {row['srcc']:.3f}, PLCC {fit.plcc:.3f} along the curve ({kind[fit.kind]}); a picture lies "
        f"{fit.rmse:.3g} from it (root mean square, in units of the human scores). {fit.reason}"
    )


def _show_row(name: str, found: AgreeResult, place: int) -> None:
    """The picture of a row, or at least its numbers."""
    row, called = found.rows.iloc[place], found.names()[place]
    values = [f"{metric_label(key)} {row[key]:.4g}" for key in found.metrics if row[key] == row[key]]
    st.markdown(f"**{plain(called)}**: human score {row[found.scores]:.4g}; {plain(', '.join(values))}.")
    reference, candidate = found.picture(place)
    if candidate is None:
        if found.pictures is not None:
            st.caption("Its picture is not where it was.")
        return
    shots = []
    try:
        if reference is not None:
            shots.append(Shot("reference", "Reference", _png(reference)))
        shots.append(Shot("judged", "Image to judge", _png(candidate), caption=called))
    except ImageError as error:
        st.caption(plain(error))
        return
    viewer(shots, key=f"{name}_people_viewer", height=420)


def _show_furthest(name: str, found: AgreeResult) -> None:
    """The pictures that a metric misjudges most, as a list; pressing one shows it."""
    metric = st.selectbox("Metric", found.metrics, format_func=metric_label, key=f"{name}_people_far_metric", width=280)
    rows = agree_result.furthest(found, metric, _FURTHEST)
    event = st.dataframe(
        rows.drop(columns="row").rename(
            columns={
                "name": "Image to judge",
                "score": "Human score",
                "expected": "Expected by the metric",
                "difference": "Difference",
            }
        ),
        hide_index=True,
        height=320,
        key=f"{name}_people_far_{metric}",
        on_select="rerun",
        selection_mode="single-row",
        column_config={
            "Human score": _FOUR,
            "Expected by the metric": _FOUR,
            "Difference": st.column_config.NumberColumn(format="%+.4g"),
        },
    )
    st.caption(
        "Pictures whose human score lies furthest from the fitted curve: people saw something there that the metric "
        "did not, or the other way round. Mark a row to see its picture."
    )
    chosen = event.selection.rows if event else []
    if chosen:
        _show_row(name, found, int(rows["row"].iloc[chosen[0]]))


def _png(path: Path) -> bytes:
    return cached.file_png(str(path), path.stat().st_mtime_ns, cached.VIEW_PIXELS)


def _show_groups(found: AgreeResult) -> None:
    frame = agree_result.groups_table(found)
    _table(frame, f"SRCC within each {plain(found.settings.get('group') or 'group')}")
    st.caption(
        "Within one kind of damage metrics agree more easily; a metric that is good within every kind and poor over "
        "all of them rates kinds of damage differently from people. Intervals are in agreement.csv."
    )


def _show_held_out(found: AgreeResult) -> None:
    _table(agree_result.held_out_table(found), "On contents that the curve has not seen")
    st.caption(
        "The curve is fitted without some contents and asked about these, until each was asked once. A PLCC that falls "
        "far below the first column means that the curve knows these pictures rather than people."
    )


def _show_published(found: AgreeResult) -> None:
    _table(agree_result.published_table(found), f"Published for {plain(found.settings.get('data_set', ''))}")
    st.caption(
        "Published numbers differ because settings differ (window, colour, size); none is chosen here. A metric that "
        "was trained on human scores has seen what people say, sometimes about these very pictures."
    )


def _show_problems(found: AgreeResult) -> None:
    notes = found.settings.get("notes") or []
    if notes:
        st.markdown("\n".join(f"- {plain(note)}" for note in notes))
    if len(found.problems):
        shown = found.problems.head(_LISTED)
        shown = shown.rename(
            columns={"candidate": "Image to judge", "reference": "Reference", "status": "What", "reason": "Why"}
        )
        _table(shown, f"{len(found.problems):,} rows and files")
        if len(found.problems) > len(shown):
            st.caption(f"The first {len(shown)}; all of them are in problems.csv.")


def _show_downloads(name: str, job: JobState, found: AgreeResult) -> None:
    st.markdown("**Take it with you**")
    results = found.folder / "results"
    with st.container(horizontal=True):
        for file, label in (
            (FILE, "Report (HTML)"),
            ("agreement.csv", "Agreement (CSV)"),
            ("agreement.parquet", "Agreement (Parquet)"),
            ("significance.csv", "Differences (CSV)"),
            ("rows.parquet", "Every picture (Parquet)"),
        ):
            if (results / file).is_file():
                st.download_button(
                    label, (results / file).read_bytes(), f"{job.folder.name}_{file}",
                    key=f"{name}_people_save_{file}", on_click="ignore", icon=":material/download:",
                )  # fmt: skip
    report = "The report is one file that works without a network. " if (results / FILE).is_file() else ""
    st.caption(f"{report}The address of this page is a link to this run.")
