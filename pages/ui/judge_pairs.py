"""Two pictures to judge, one key per answer: the next pair is in the browser before the answer is on the disk."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import streamlit as st

from deconv_core import judging
from deconv_core.judging import Progress, Study
from pages.ui.thumbnails import published

_HERE = Path(__file__).parent
_BEHIND, _AHEAD = 2, 4  # pairs sent beside the one whose turn it is
_SLOTS = 8  # more than are sent at once; older pictures give up their place

_component = st.components.v2.component(
    "deconv_lab_judge_pairs",
    html=(_HERE / "judge_pairs.html").read_text(encoding="utf-8"),
    css=(_HERE / "judge_pairs.css").read_text(encoding="utf-8"),
    js=(_HERE / "judge_pairs.js").read_text(encoding="utf-8"),
)


@st.fragment
def judge_pairs(study: Study, judge: str) -> None:
    """Show the pair whose turn it is, keep what was answered; the page runs again when the last pair is judged.

    Only this part of the page runs after an answer. What the browser gets to know of a pair is its pictures alone.
    """
    state = st.session_state
    identity = hashlib.sha256(f"{study.key}\0{judge}".encode()).hexdigest()[:16]
    key, taken_key = f"judge_images_pairs_{identity}", f"judge_images_taken_{identity}"
    before = judging.read_progress(study, judge)
    told = (state.get(key) or {}).get("events")
    state[taken_key] = _take(study, judge, told, state.get(taken_key, 0))
    progress = judging.read_progress(study, judge)
    around = range(max(0, progress.done - _BEHIND), min(progress.total, progress.done + _AHEAD + 1))
    _component(
        key=key,
        data={
            "identity": identity,
            "question": judging.QUESTIONS[study.question],
            "reference": study.question == "closer",
            "done": progress.done,
            "total": progress.total,
            "taken": state[taken_key],
            "pairs": {str(number): _addresses(study, progress, number) for number in around},
        },
        on_events_change=lambda: None,
    )
    if progress.is_finished and not before.is_finished:
        st.rerun()


def _addresses(study: Study, progress: Progress, number: int) -> list[str]:
    """Addresses of A, B and, where it is shown, the reference."""
    trial = progress.trials[number]
    keys = [trial.left, trial.right]
    if study.question == "closer":
        keys.append(study.reference(trial.content))
    found = []
    for place, key in enumerate(keys):
        # Addresses follow from the content. A few bytes after the end of the file, which nobody reads, make every
        # showing an address of its own: a catch trial's perfect picture must not have that of the reference.
        salt = f"{study.key} {progress.judge} {number} {place}".encode()
        file = study.picture(key).read_bytes() + hashlib.sha256(salt).digest()
        found.append(published(file, f"judge/{number % _SLOTS}/{place}"))
    return found


def _take(study: Study, judge: str, events: Any, taken: int) -> int:
    """Keep what the browser tells, each event once; it may tell anything, so everything is checked."""
    for event in events if isinstance(events, list) else ():
        number = event.get("id") if isinstance(event, dict) else None
        if not isinstance(number, int) or number <= taken or not isinstance(event.get("trial"), int):
            continue
        if event.get("undo") is True:
            judging.undo_answer(study, judge, event["trial"])
        elif event.get("choice") in judging.SIDES:
            seconds = event.get("seconds")
            seconds = float(seconds) if isinstance(seconds, int | float) else None
            judging.record_answer(study, judge, event["trial"], event["choice"], seconds)
        taken = number
    return taken
