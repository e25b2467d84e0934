"""Pages of thumbnails: the pictures of an audit in any choice and order; a press shows one large."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import streamlit as st

from pages.ui.audit_data import Audit, tiles
from pages.ui.thumbnails import thumbnails

PAGE_SIZES = (48, 96, 192)


def show_grid(
    name: str, audit: Audit, places: np.ndarray, column: str, *, key: str, on_press: Callable[[str], None], label: str
) -> None:
    """One page of thumbnails, and which one.

    Args:
        name: Prefix of the widgets' keys.
        audit: The audit.
        places: Rows of its table, in the order wanted; at least one.
        column: What stands below each picture.
        key: Tells grids of one page apart.
        on_press: Gets the name of a picture that was pressed.
        label: What the pictures are, for those who do not see them.
    """
    state, count = st.session_state, len(places)
    page_key = page_of(name, key)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        size = st.selectbox("On a page", PAGE_SIZES, key=f"{name}_{key}_page_size", persist_state="session", width=110)
        pages = -(-count // size)
        state[page_key] = min(max(1, state.get(page_key, 1)), pages)
        page = st.number_input(f"Page, of {pages:,}", 1, pages, key=page_key, persist_state="session", width=150)
        first = (page - 1) * size
        st.markdown(f"Pictures {first + 1:,} to {min(count, first + size):,} of {count:,}")
    shown = places[first : first + size]
    thumbnails(tiles(audit, shown, column), key=f"{name}_{key}_grid", side=140, on_press=on_press, label=label)


def page_of(name: str, key: str) -> str:
    """The session's key of the page that a grid shows, for whoever turns it back to the first."""
    return f"{name}_{key}_page"
