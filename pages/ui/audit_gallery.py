"""All pictures as pages of thumbnails, sorted by any score or by risk, filtered by issue; a press shows one large."""

from __future__ import annotations

from functools import partial

import numpy as np
import streamlit as st

from deconv_core.audit.checks import CHECKS
from deconv_core.audit.risk import default_weights
from deconv_core.errors import DeconvError
from pages.ui import cached
from pages.ui.audit_data import EVERYTHING, Audit, issue_words, issues, short, tiles
from pages.ui.audit_evidence import open_image, show_image
from pages.ui.inputs import plain
from pages.ui.thumbnails import thumbnails

PAGE_SIZES = (48, 96, 192)
RISK = "quality_risk"
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
    page, size = _choose_page(name, len(places))
    shown = places[(page - 1) * size : page * size]
    rows = audit.table.rows(shown)
    rows[RISK] = _risk(name, audit)[shown]
    thumbnails(
        tiles(audit, rows, st.session_state[f"{name}_sort"]), key=f"{name}_grid", side=140,
        on_press=partial(open_image, name),
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
    if sort == RISK:
        risk = _risk(name, audit)
        return places[np.argsort(-risk[places] if descending else risk[places], kind="stable")]
    return audit.table.order(places, sort, descending)


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
    st.session_state[f"{name}_page"] = 1
    st.session_state[f"{name}_chosen"] = None


def _choose_page(name: str, count: int) -> tuple[int, int]:
    state, key = st.session_state, f"{name}_page"
    with st.container(horizontal=True, vertical_alignment="bottom"):
        size = st.selectbox("On a page", PAGE_SIZES, key=f"{name}_page_size", persist_state="session", width=110)
        pages = -(-count // size)
        state[key] = min(max(1, state.get(key, 1)), pages)
        page = st.number_input(f"Page, of {pages:,}", 1, pages, key=key, persist_state="session", width=150)
        first = (page - 1) * size + 1
        st.markdown(f"Pictures {first:,} to {min(count, first + size - 1):,} of {count:,}")
    return page, size


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


def _risk(name: str, audit: Audit) -> np.ndarray:
    """The quality risk of every picture, by the points of this visit and the thresholds of the set."""
    weights = {**_usual(audit), **st.session_state.get(f"{name}_weights", {})}
    thresholds = tuple(sorted(audit.thresholds.items()))
    return cached.audit_risk(audit.token, tuple(sorted(weights.items())), thresholds, audit.table)


def _usual(audit: Audit) -> dict[str, float]:
    return {key: weight for key, weight in default_weights().items() if key in audit.table.checks}


def _choose_weights(name: str, audit: Audit) -> None:
    """The points of every check, to be changed for this visit."""
    import pandas as pd

    st.caption(
        "A plain sum, at most 100: the points of every check times how far the value has gone. At the threshold that "
        "is half of the points, at twice the way nearly all of them; a check that only says yes counts fully. Change "
        "the points and the pictures are ranked anew, on this screen only."
    )
    usual, state = _usual(audit), st.session_state
    now = {**usual, **state.get(f"{name}_weights", {})}
    rows = pd.DataFrame({"check": [CHECKS[key].label for key in now], "points": list(now.values())}, index=list(now))
    turn = state.get(f"{name}_weights_turn", 0)
    edited = st.data_editor(
        rows, key=f"{name}_weights_{turn}", hide_index=True, disabled=["check"], height=300,
        column_config={
            "check": "Check",
            "points": st.column_config.NumberColumn("Points", min_value=0, max_value=100, format="%.0f", required=True),
        },
    )  # fmt: skip
    wanted = {key: float(value) for key, value in edited["points"].items() if 0 <= value <= 100}
    if wanted != now:
        state[f"{name}_weights"] = wanted
        st.rerun()
    if wanted != usual and st.button("Usual points", key=f"{name}_weights_reset", icon=":material/undo:"):
        state[f"{name}_weights"] = {}
        state[f"{name}_weights_turn"] = turn + 1
        st.rerun()
