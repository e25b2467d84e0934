"""One comparison: how far it is, what it found in several views, and the address of exactly this view."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import streamlit as st

from deconv_core import inspection
from deconv_core.jobs import JobState
from pages.ui import comparison_data
from pages.ui.comparison_curves import show_curves, show_laws
from pages.ui.comparison_data import Result
from pages.ui.comparison_downloads import show_downloads
from pages.ui.comparison_relations import COEFFICIENTS, DISAGREEMENTS, GROUPS, show_correlations, show_disagreements
from pages.ui.comparison_scatter import show_scatter
from pages.ui.inputs import plain
from pages.ui.job_panel import watch_job
from pages.ui.link import query_of, view_from

VIEWS = {
    "scatter": "Scatter",
    "correlations": "Which agree",
    "disagreements": "Disagreements",
    "severity": "Severity curves",
    "laws": "Sanity laws",
    "download": "Download",
}
_SHOW = {
    "scatter": show_scatter,
    "correlations": show_correlations,
    "disagreements": show_disagreements,
    "severity": show_curves,
    "laws": show_laws,
}
# What can be chosen inside a view; it goes into the address while the view is open.
_INSIDE = {
    "scatter": ("x", "y", "pick"),
    "correlations": ("metric", "coefficient", "by"),
    "disagreements": ("x", "y", "order", "place"),
    "severity": ("of",),
}


def show_result(name: str, folder: Path) -> None:
    """The run, then what it has found so far.

    Raises:
        DeconvError: Its files are damaged.
    """
    result = comparison_data.read(folder)
    count = len(result.scored) if result else 0
    state = watch_job(name, folder, lambda job: _show_news(name, job, count))
    if result is None:
        if not state.active:
            st.caption("No candidate was scored, so there is nothing to look at.")
        return
    _show_facts(result)
    if len(result.keys) < 2:
        st.caption("With one metric there is nothing to compare; severity curves, laws and downloads are there.")
    _take_view(name, folder, result)
    views = list(VIEWS) if len(result.keys) > 1 else ["severity", "laws", "download"]
    key = f"{name}_view"
    if st.session_state.get(key) not in views:
        st.session_state[key] = views[0]
    view = st.segmented_control(
        "View", views, format_func=VIEWS.get, required=True, key=key, persist_state="session",
        label_visibility="collapsed",
    )  # fmt: skip
    if view == "download":
        show_downloads(name, state, result)
    else:
        _SHOW[view](name, result)
    _write_address(name, folder, view)


def _show_news(name: str, job: JobState, shown: int) -> None:
    """While the run is at work: the first results come by themselves, later ones when they are asked for."""
    if not job.active:
        return
    result = comparison_data.read(job.folder)
    there = len(result.scored) if result else 0
    if there and not shown:
        st.rerun()
    if not there:
        st.caption("Results follow after the first candidates, and can be looked at while the run goes on.")
    elif there > shown:
        if st.button(f"Take in {there - shown:,} new candidates", key=f"{name}_news", icon=":material/refresh:"):
            st.rerun()
    else:
        st.caption(f"Shown below: the {shown:,} candidates that are scored so far.")


def _show_facts(result: Result) -> None:
    frame, settings = result.found.frame, result.found.settings
    counts = frame["status"].value_counts()
    images, kinds = result.scored["image"].nunique(), len(result.kinds)
    words = [
        f"{len(result.scored):,} candidates: {images:,} {'picture' if images == 1 else 'pictures'}, {kinds} "
        f"{'distortion' if kinds == 1 else 'distortions'}, severities "
        + ", ".join(f"{severity:g}" for severity in settings.severities)
    ]
    models = {recipe.get("model") for recipe in result.found.recipes.values() if isinstance(recipe, dict)} - {None, ""}
    words += [f"{'Models' if len(models) > 1 else 'Model'}: {', '.join(sorted(map(str, models)))}"] if models else []
    left_out = {
        "unchanged": "stay as they were under their distortion and are not scored",
        "too_small": "are too small for every metric",
        "unreadable": "pictures cannot be read",
    }
    words += [f"{counts[status]:,} {text}" for status, text in left_out.items() if status in counts]
    st.caption(plain(f"{'. '.join(words)}."))


def _take_view(name: str, folder: Path, result: Result) -> None:
    """Take over the view of the address once for each run; from then on the address follows the page."""
    state = st.session_state
    if state.get(f"{name}_view_of") == folder.name:
        return
    if f"{name}_view_of" in state:  # what was picked in another run means nothing here
        for thing in ("pick", "rows", "place"):
            state.pop(f"{name}_{thing}", None)
    state[f"{name}_view_of"] = folder.name
    keys = result.keys
    choices: dict[str, Any] = {
        "view": list(VIEWS),
        **dict.fromkeys(("x", "y", "metric"), keys),
        "coefficient": list(COEFFICIENTS),
        "by": list(GROUPS),
        "order": list(DISAGREEMENTS),
        "of": result.kinds,
        "pick": result.scored.index.tolist(),
        "place": range(1, 21),
    }
    view, refused = view_from(st.query_params.to_dict(), [], [], inspection.map_keys(), choices)
    for thing, value in view.items():
        state[f"{name}_{thing}"] = value
    refused = [thing for thing in refused if thing in choices or thing == "maps"]
    if refused:
        st.caption(plain(f"Some of this address makes no sense here and is ignored: {', '.join(refused)}."))


def _write_address(name: str, folder: Path, view: str) -> None:
    inside = {thing: st.session_state.get(f"{name}_{thing}") for thing in _INSIDE.get(view, ())}
    if inside.get("pick") is not None or inside.get("place") is not None:
        inside["maps"] = st.session_state.get(f"{name}_maps")
    st.query_params.from_dict({"mode": "pictures", "job": folder.name, "view": view, **query_of(inside)})
