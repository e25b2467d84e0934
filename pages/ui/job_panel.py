"""Start, watch and stop a job folder: the same view for every visitor, kept in the address."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import streamlit as st

from deconv_core import jobs
from deconv_core.errors import JobError
from deconv_core.jobs import JobState
from deconv_core.presets import time_words
from deconv_core.workspace import folder as workspace_folder
from pages.ui.inputs import plain

MAX_WAITING = 20
_QUERY = "job"
_TICK_SECONDS = 1.5
_LIST_SECONDS = 4.0
_FOLDER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,150}")
_WORDS = {
    "waiting": "Waiting for its turn",
    "running": "Running",
    "finished": "Finished",
    "stopped": "Stopped",
    "failed": "Failed",
    "lost": "Lost",
}
_ICONS = {
    "waiting": ":material/hourglass_empty:",
    "running": ":material/play_arrow:",
    "finished": ":material/check:",
    "stopped": ":material/pause:",
    "failed": ":material/error:",
    "lost": ":material/help:",
}


@dataclass(frozen=True)
class JobWords:
    """What the panel says about jobs of one kind.

    Args:
        what: "a ...", for an address that names one on another page.
        unit: What its progress counts, in the plural.
        stop: What becomes of the work when it is stopped.
        resume: Where it goes on.
        delete: What goes with the folder, and what stays.
    """

    what: str
    unit: str
    stop: str
    resume: str
    delete: str


WORDS = {
    "train": JobWords(
        "a training",
        "steps",
        "What was learned is kept, and the run can be resumed.",
        "It goes on from the last saved step.",
        "The run, its curves and pictures go for good. A model that was published stays.",
    ),
    "compare": JobWords(
        "a comparison of metrics",
        "candidates",
        "What was scored is kept and can be looked at, and the run can be resumed.",
        "It goes on with the candidates that are not scored yet.",
        "The run, its scores and its report go for good. The pictures it was made from stay.",
    ),
    "agree": JobWords(
        "a comparison with human scores",
        "pictures",
        "What was scored is kept, and the run can be resumed.",
        "It goes on with the pictures that are not scored yet.",
        "The run, its tables and its report go for good. The human scores and a metric that was calibrated stay.",
    ),
    "audit": JobWords(
        "an audit",
        "pictures",
        "What was checked is kept and can be looked at, and the run can be resumed.",
        "It goes on with the pictures that are not checked yet.",
        "The run, its findings and its report go for good. The pictures themselves are not touched.",
    ),
}


def start_job(kind: str, arguments: Sequence[str], *, name: str, quick: bool = False) -> None:
    """Start a job and turn the page to it.

    Args:
        kind: A key of WORDS.
        arguments: What follows the command.
        name: What the visitor calls it.
        quick: It takes seconds, so it need not wait until others have ended.

    Raises:
        JobError: Too many wait already, or it cannot be started.
    """
    waiting = sum(job.active for job in jobs.list_jobs())
    if waiting >= MAX_WAITING:
        raise JobError(f"{waiting} runs are at work or waiting, at most {MAX_WAITING} may; stop one of them first.")
    patience = [] if quick else ["--wait-turn", "--low-priority"]
    folder = jobs.start(kind, [*arguments, *patience], name=name)
    st.query_params[_QUERY] = folder.name
    st.rerun()


def job_in_address(kind: str = "") -> Path | None:
    """The job folder that the address names; None for none.

    Args:
        kind: What this page shows, a key of WORDS; "" takes any. A folder too damaged to tell its kind is taken.

    Raises:
        JobError: It names one that is not there, or one of another kind.
    """
    asked = st.query_params.get(_QUERY)
    if not asked:
        return None
    folder = workspace_folder("jobs") / asked
    if not _FOLDER.fullmatch(asked) or not folder.is_dir():
        raise JobError("The run of this address is not there; it may have been deleted. Choose one of the list.")
    if kind:
        found = jobs.read(folder).kind
        if found not in (kind, ""):
            raise JobError(
                f"The run of this address is {WORDS[found].what if found in WORDS else 'of another kind'}, and this "
                f"page shows {WORDS[kind].what}; choose one of the list."
            )
    return folder


def offer_leaving(name: str, label: str) -> None:
    """A button that turns the page from a job back to its beginning, where the address names one."""
    if _QUERY in st.query_params:
        st.button(label, key=f"{name}_leave", on_click=leave_job, icon=":material/arrow_back:")


def leave_job() -> None:
    """Turn the page back from a job to its beginning."""
    if _QUERY in st.query_params:
        del st.query_params[_QUERY]


def list_runs(name: str, kind: str) -> None:
    """The runs of the workspace, newest first, each with a button that opens it; looked at again while one works.

    Nothing while the address names one of them.
    """
    if _QUERY in st.query_params:
        return
    st.subheader("Runs", anchor=False)
    active = any(job.active for job in jobs.list_jobs())
    st.fragment(_list_runs, run_every=_LIST_SECONDS if active else None)(name, kind)


def _list_runs(name: str, kind: str) -> None:
    found = [job for job in jobs.list_jobs() if job.kind in (kind, "")]
    if not found:
        st.caption("No run yet. A run stays here until it is deleted, also when the server is started again.")
        return
    shown = found[: st.session_state.get(f"{name}_shown_runs", 10)]
    for job in shown:
        with st.container(horizontal=True, vertical_alignment="center", border=True):
            st.markdown(f"{_ICONS[job.state]} **{plain(job.name[:60])}**", width=260)
            st.caption(f"{_WORDS[job.state]}, {progress_words(job)}. Begun {_when(job.created)}.", width="stretch")
            if st.button("Open", key=f"{name}_open_{job.folder.name}"):
                st.query_params[_QUERY] = job.folder.name
                st.rerun()
    if len(found) > len(shown) and st.button(f"All {len(found)} runs", key=f"{name}_all_runs", type="tertiary"):
        st.session_state[f"{name}_shown_runs"] = len(found)
        st.rerun()


def watch_job(name: str, folder: Path, show_results: Callable[[JobState], None]) -> JobState:
    """Show a job, again and again while it is at work; once it ends the whole page runs once more, and no more.

    Args:
        name: Prefix of the widgets' keys.
        folder: The job folder.
        show_results: Draws what is in `results/`.

    Returns:
        The state with which the page was drawn.
    """
    first = jobs.read(folder)
    st.subheader(plain(first.name), anchor=False)

    def draw() -> None:
        # A fragment runs alone, so what it finds changed for the rest of the page makes the whole page run once.
        if not folder.is_dir():
            st.rerun()
        now = jobs.read(folder)
        if first.active != now.active:
            st.rerun()
        _show_state(name, now)
        show_results(now)
        if now.active:
            with st.expander("Log, and the command that does the same", key=f"{name}_log"):
                _show_log(now)

    st.fragment(draw, run_every=_TICK_SECONDS if first.active else None)()
    return first


def _show_state(name: str, job: JobState) -> None:
    words = "Stopping" if job.stopping else _WORDS[job.state]
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(
            f"{_ICONS[job.state]} **{words}** {plain(f'({job.message})') if job.message else ''}", width="stretch"
        )
        _show_buttons(name, job)
    if job.state != "finished":
        st.progress(min(1.0, job.done / job.total) if job.total else 0.0, text=progress_words(job))
    if job.problem:
        st.caption(plain(f"Its folder is damaged: {job.problem}."))
    refused = st.session_state.pop(f"{name}_refused", "")
    if refused:
        st.error(plain(refused))


def _show_buttons(name: str, job: JobState) -> None:
    of_kind = WORDS.get(job.kind, WORDS["train"])
    if job.active:
        st.button(
            "Stop this run", key=f"{name}_stop", on_click=_asked, args=(name, jobs.request_stop, job),
            disabled=job.stopping, icon=":material/stop:", help=of_kind.stop,
        )  # fmt: skip
        return
    if job.state != "finished" and job.command:
        st.button(
            "Resume", key=f"{name}_resume", on_click=_asked, args=(name, jobs.resume, job), type="primary",
            icon=":material/play_arrow:", help=of_kind.resume,
        )  # fmt: skip
    with st.popover("Log and command", icon=":material/article:", width="content"):
        _show_log(job)
    with st.popover("Delete", icon=":material/delete:"):
        st.markdown(of_kind.delete)
        st.button("Delete this run", key=f"{name}_delete", on_click=_delete, args=(name, job))


def _show_log(job: JobState) -> None:
    if job.command:
        st.code(job.command, language="bash", wrap_lines=True)
    st.code(job.log or "Nothing yet.", language=None, wrap_lines=True, height=220)


def _asked(name: str, what: Callable[[Path], object], job: JobState) -> None:
    """Before the page runs again: a callback must not raise, so a refusal is kept for the screen."""
    try:
        what(job.folder)
    except JobError as error:
        st.session_state[f"{name}_refused"] = str(error)


def _delete(name: str, job: JobState) -> None:
    _asked(name, jobs.delete, job)
    if not job.folder.exists():
        leave_job()


def progress_words(job: JobState) -> str:
    """How far a job is and how long it will take, in the units of its kind."""
    unit = WORDS.get(job.kind, WORDS["train"]).unit
    if not job.total and not job.done:
        return "nothing done yet" if job.active else "nothing done"
    if not job.total:
        return f"{job.done:,} {unit} so far, of a number not known yet" if job.active else f"{job.done:,} {unit}"
    left = f", about {time_words(job.seconds_left)} left" if job.seconds_left is not None else ""
    return f"{job.done:,} of {job.total:,} {unit}{left}"


def _when(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds):%Y-%m-%d %H:%M}"
