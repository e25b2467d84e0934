"""The album of wrong scores: keep a case with a note from any page, look through them, take them away."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
import streamlit as st

from deconv_core import album
from deconv_core.inspection import score_words
from deconv_core.metrics import METRICS
from pages.ui.inputs import plain
from pages.ui.viewer import Shot, viewer

_ROLES = {"preferred": "Preferred", "other": "Other", "candidate": "Image to judge", "reference": "Reference"}


@dataclass(frozen=True)
class Kept:
    """What a page has at hand for a case; see `deconv_core.album.keep_case`."""

    pictures: Mapping[str, np.ndarray]
    metric: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    scores: Mapping[str, Mapping[str, float]] = field(default_factory=dict)


def offer_case(name: str, kept: Kept) -> None:
    """A button that asks for a note and puts the pictures into the album.

    Args:
        name: Prefix of the widgets' keys.
        kept: The case; more pages than one may offer cases.
    """
    with st.popover("The metric is wrong here", icon=":material/bookmark_add:"):
        with st.form(f"{name}_form", border=False, clear_on_submit=True):
            note = st.text_area(
                "Why? (may stay empty)", key=f"{name}_note", max_chars=album.LONGEST_NOTE, height=100,
                placeholder="The face is gone, yet the score is high.",
            )  # fmt: skip
            wanted = st.form_submit_button("Put it into the album", type="primary")
        if wanted:
            album.keep_case(kept.pictures, metric=kept.metric, note=note, labels=kept.labels, scores=kept.scores)
            st.markdown("Kept. The album is on the page Judge images.")


def show_album(name: str) -> None:
    """All cases, one open at a time, with a download of everything."""
    cases = album.list_cases()
    st.subheader("Wrong scores", anchor=False)
    if not cases:
        st.markdown(
            "The album is empty. In the results of a study, **The metric is wrong here** puts a pair of pictures, its "
            "scores and a note of yours into it."
        )
        return
    by_key = {case.key: case for case in cases}

    def words(key: str) -> str:
        case = by_key[key]
        label = METRICS[case.metric].label if case.metric in METRICS else case.metric or "No metric named"
        return f"{label}: {' '.join(case.note.split())[:60] or 'without a note'}"

    if st.session_state.get(f"{name}_chosen") not in by_key:
        st.session_state.pop(f"{name}_chosen", None)
    case = by_key[
        st.selectbox(
            f"Case, {len(cases)} in all, the newest first", list(by_key), format_func=words, key=f"{name}_chosen"
        )
    ]
    # In this order, so that the two that are at odds stand side by side.
    roles = [role for role in _ROLES if role in case.pictures]
    viewer(
        [Shot(role, case.labels.get(role, _ROLES[role]), case.pictures[role].read_bytes()) for role in roles],
        key=f"{name}_viewer",
        height=420,
    )
    if case.note:
        st.markdown(plain(case.note))
    lines = [_line(case, role) for role in roles if case.scores.get(role)]
    for line in lines:
        st.markdown(line)
    st.caption(f"Kept on {datetime.fromtimestamp(case.created):%d %B %Y, %H:%M}.")
    with st.container(horizontal=True):
        st.download_button(
            f"All {len(cases)} (zip)" if len(cases) > 1 else "Take it away (zip)",
            lambda: album.album_zip(cases), "album.zip", "application/zip", key=f"{name}_save", on_click="ignore",
            icon=":material/download:",
        )  # fmt: skip
        st.button(
            "Take this case out", key=f"{name}_delete", icon=":material/delete:", on_click=album.delete_case,
            args=(case.key,),
        )  # fmt: skip


def _line(case: album.Case, role: str) -> str:
    scores = case.scores[role]
    told = [
        f"{METRICS[key].label} {score_words(METRICS[key], value)}" for key, value in scores.items() if key in METRICS
    ]
    return plain(f"{case.labels.get(role, _ROLES[role])}: {', '.join(told)}.")
