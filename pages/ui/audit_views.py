"""One audit: how far it is, what it found so far in several views, and the address of exactly this view."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import streamlit as st

from deconv_core.jobs import JobState
from pages.ui import audit_data, cached
from pages.ui.audit_compare import show_drift
from pages.ui.audit_data import Audit
from pages.ui.audit_export import show_export
from pages.ui.audit_gallery import GRID as GALLERY
from pages.ui.audit_gallery import show_gallery
from pages.ui.audit_review import show_review
from pages.ui.audit_summary import show_summary
from pages.ui.audit_thresholds import GRID as SIDES
from pages.ui.audit_thresholds import show_thresholds
from pages.ui.inputs import plain
from pages.ui.job_panel import watch_job
from pages.ui.link import view_from

VIEWS: dict[str, tuple[str, Callable[[str, Audit], None]]] = {
    "summary": ("Summary", show_summary),
    "thresholds": ("Thresholds", show_thresholds),
    "gallery": ("Gallery", show_gallery),
    "review": ("Review", show_review),
    "compare": ("Compare", show_drift),
    "export": ("Export", show_export),
}


# What the views keep in the session about the audit they show, and not about how the visitor likes to look at audits.
OF_ONE_AUDIT = (
    "chosen", "issue", "sort", "order", "text", "check", "side", "queue", "open", "other", "drift_column",
    "bad_checks", f"{GALLERY}_page", f"{SIDES}_page",
)  # fmt: skip


def show_audit(name: str, folder: Path) -> None:
    """The run, then what it has found so far.

    Raises:
        DeconvError: Its files are damaged.
    """
    audit = audit_data.read(folder)
    state = watch_job(name, folder, lambda job: _show_news(name, job, audit))
    if audit is None:
        if not state.active:
            st.caption("No picture was checked, so there is nothing to look at.")
        return
    _take_view(name, folder)
    told = st.session_state.pop(f"{name}_told", "")
    if told:
        st.error(plain(told))
    view = st.segmented_control(
        "View", list(VIEWS), format_func=lambda key: VIEWS[key][0], required=True,
        key=f"{name}_view", persist_state="session", label_visibility="collapsed",
    )  # fmt: skip
    st.query_params.from_dict({"job": folder.name, "view": view})
    VIEWS[view][1](name, audit)


def _show_news(name: str, job: JobState, audit: Audit | None) -> None:
    """While the run is at work: the first findings come by themselves, later ones when they are asked for."""
    if not job.active:
        return
    found, shown = cached.audit_stamp(job.folder), audit.token if audit else ""
    if audit and job.stage == "checks" and (audit.settings.get("model") or audit.settings.get("quality")):
        st.caption("The time is that of the quick checks; the model comes after them and takes longer.")
    if found and not shown:
        st.rerun()
    if not found:
        st.caption("Findings follow after the first pictures, and can be looked at while the audit goes on.")
    elif found != shown:
        if st.button("Take in what came since", key=f"{name}_news", icon=":material/refresh:"):
            st.rerun()
    else:
        st.caption("Everything that is checked so far is shown below.")


def _take_view(name: str, folder: Path) -> None:
    """Take over the view of the address once for each run; from then on the address follows the page."""
    state = st.session_state
    if state.get(f"{name}_view_of") == folder.name:
        return
    for thing in OF_ONE_AUDIT:  # what was picked in another run means nothing here
        state.pop(f"{name}_{thing}", None)
    state[f"{name}_view_of"] = folder.name
    view, _ = view_from(st.query_params.to_dict(), [], [], [], {"view": list(VIEWS)})
    state[f"{name}_view"] = view.get("view", "summary")
