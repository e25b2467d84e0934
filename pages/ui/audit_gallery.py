"""All pictures as pages of thumbnails, sorted by any score or by risk, filtered by issue; a press shows one large."""

from __future__ import annotations

from functools import partial

import numpy as np
import streamlit as st

from deconv_core.audit.checks import CHECKS
from deconv_core.audit.review import save_weights
from deconv_core.audit.risk import default_weights
from deconv_core.audit.words import short
from deconv_core.errors import DeconvError
from pages.ui.audit_data import EVERYTHING, Audit, guarded, issue_words, issues
from pages.ui.audit_evidence import open_image, show_image
from pages.ui.audit_grid import page_of, show_grid
from pages.ui.inputs import plain

RISK = "quality_risk"
GRID = "gallery"
_OTHERS = {
    RISK: "Quality risk",
    "number": "Order of the source",
    "image": "Name",
    "bytes": "File size",
    "width": "Width",
}


def show_gallery(name: str, audit: Audit) -> None:
    """Choices, then one page of thumbnails; or one picture large."""
    places = _choose(name, audit)
    chosen = st.session_state.get(f"{name}_chosen")
    if chosen is not None:
        _show_large(name, audit, chosen, places)
        return
    if not len(places):
        st.markdown("No picture is like that; choose another issue, or another text.")
        return
    show_grid(
        name, audit, places, st.session_state[f"{name}_sort"], key=GRID, on_press=partial(open_image, name),
        label="Pictures of the set",
    )  # fmt: skip
    with st.expander("How the quality risk is made"):
        _choose_weights(name, audit)


def _choose(name: str, audit: Audit) -> np.ndarray:
    """Places of the pictures wanted, in the order wanted."""
    state = st.session_state
    scores = [key for key in audit.table.checks if CHECKS[key].flags_when != "set"]
    sorts = [RISK, *scores, *(key for key in _OTHERS if key != RISK)]
    found = list(issues(audit))
    for thing, options in (("issue", found), ("sort", sorts)):
        if state.get(f"{name}_{thing}") not in options:
            state[f"{name}_{thing}"] = options[0]
    with st.container(horizontal=True, vertical_alignment="bottom"):
        issue = st.selectbox(
            "Show", found, key=f"{name}_issue", persist_state="session", on_change=_to_first, args=(name,),
            format_func=issue_words,
        )  # fmt: skip
        sort = st.selectbox(
            "Sort by", sorts, key=f"{name}_sort", persist_state="session", on_change=_to_first, args=(name,),
            format_func=lambda key: _OTHERS.get(key) or CHECKS[key].label,
        )  # fmt: skip
        order = st.selectbox(
            "Order", ["first", "last"], key=f"{name}_order", persist_state="session", on_change=_to_first, args=(name,),
            format_func=partial(_order_words, sort),
        )  # fmt: skip
        text = st.text_input(
            "Name contains", key=f"{name}_text", persist_state="session", on_change=_to_first, args=(name,)
        )
    places = audit.table.select(audit.filter(issue or EVERYTHING, text.strip()))
    descending = _worst_is_high(sort) == (order == "first")
    return audit.table.order(places, sort, descending, risk=audit.risk if sort == RISK else None)


def _worst_is_high(sort: str) -> bool:
    if sort in CHECKS:
        return CHECKS[sort].flags_when == "above"
    return sort in (RISK, "bytes", "width")


def _order_words(sort: str, order: str) -> str:
    first = order == "first"
    if sort == RISK or sort in CHECKS:
        return "Worst first" if first else "Best first"
    if sort in ("bytes", "width"):
        return "Largest first" if first else "Smallest first"
    return "Forwards" if first else "Backwards"


def _to_first(name: str) -> None:
    st.session_state[page_of(name, GRID)] = 1
    st.session_state[f"{name}_chosen"] = None


def _show_large(name: str, audit: Audit, image: str, places: np.ndarray) -> None:
    try:
        here = audit.table.place(image)
    except DeconvError as error:
        st.error(plain(error))
        st.button("Back to the pictures", key=f"{name}_close", on_click=_show_image, args=(name, None))
        return
    found = np.flatnonzero(places == here)
    at = int(found[0]) if len(found) else -1
    with st.container(horizontal=True, vertical_alignment="center"):
        st.button(
            "Back to the pictures", key=f"{name}_close", icon=":material/grid_view:", on_click=_show_image,
            args=(name, None),
        )  # fmt: skip
        for label, icon, shortcut, there, usable in (
            ("Previous", ":material/arrow_back:", "Left", at - 1, at > 0),
            ("Next", ":material/arrow_forward:", "Right", at + 1, 0 <= at < len(places) - 1),
        ):
            other = audit.name(places[there]) if usable else None
            st.button(
                label, key=f"{name}_{label}", icon=icon, disabled=not usable, on_click=_show_image, args=(name, other),
                shortcut=shortcut,
            )  # fmt: skip
        if at >= 0:
            st.caption(f"{at + 1:,} of {len(places):,}", width="content")
    st.subheader(plain(short(image)), anchor=False)
    show_image(name, audit, image)


def _show_image(name: str, image: str | None) -> None:
    st.session_state[f"{name}_chosen"] = image


def _choose_weights(name: str, audit: Audit) -> None:
    """The points of every check; what is changed is saved with the set and counts in every view."""
    import pandas as pd

    st.caption(
        "A plain sum, at most 100: the points of every check times how far the value has gone. At the threshold that "
        "is half of the points, at twice the way nearly all of them; a check that only says yes counts fully. Points "
        "that you change are saved with this audit, and count wherever its quality risk is shown."
    )
    usual, state = default_weights(), st.session_state
    keys = list(audit.table.checks)
    now = {key: audit.weights.get(key, usual[key]) for key in keys}
    rows = pd.DataFrame({"check": [CHECKS[key].label for key in keys], "points": list(now.values())}, index=keys)
    turn = state.get(f"{name}_weights_turn", 0)
    edited = st.data_editor(
        rows, key=f"{name}_weights_{audit.folder.name}_{turn}", hide_index=True, disabled=["check"], height=300,
        column_config={
            "check": "Check",
            "points": st.column_config.NumberColumn("Points", min_value=0, max_value=100, format="%.0f", required=True),
        },
    )  # fmt: skip
    wanted = {key: float(value) for key, value in edited["points"].items() if 0 <= value <= 100}
    if wanted != now:
        _save_weights(name, audit, {key: value for key, value in wanted.items() if value != usual[key]})
        st.rerun()
    if audit.weights:
        st.button(
            "Usual points", key=f"{name}_weights_reset", icon=":material/undo:", on_click=_save_weights,
            args=(name, audit, {}),
        )  # fmt: skip


def _save_weights(name: str, audit: Audit, weights: dict[str, float]) -> None:
    guarded(name, save_weights, audit.folder, weights)
    # The editor holds its own edits: another one begins at what is saved.
    st.session_state[f"{name}_weights_turn"] = st.session_state.get(f"{name}_weights_turn", 0) + 1
