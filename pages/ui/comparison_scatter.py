"""Any two metrics against each other; points that are clicked or lassoed are shown as pictures."""

from __future__ import annotations

import numpy as np
import streamlit as st

from deconv_core.figures import linked_scatter, plot_config
from deconv_core.inspection import not_quality
from pages.ui import cached
from pages.ui.comparison_candidate import show_candidate
from pages.ui.comparison_data import KIND_LABELS, Result, kind_words, label, value_words
from pages.ui.thumbnails import Tile, thumbnails

PER_PAGE = 12
_THUMBNAIL_SIDE = 160
_SELECT = 262  # pixels: two of them stand side by side in the column of the plot


def show_scatter(name: str, result: Result) -> None:
    """The plot, beside it the pictures of the chosen points, below it the one that was picked."""
    state = st.session_state
    left, right = st.columns([3, 2], gap="large")
    with left:
        x, y = choose_two(name, result, "Across", "Up")
        key = f"{name}_scatter_{x}_{y}"
        rows = [row for row in state.get(f"{name}_rows", ()) if result.has(row)]
        # Points that were chosen in another plot are marked in this one; those chosen here the browser marks itself.
        elsewhere = rows if state.get(f"{name}_rows_from") != key else ()
        st.plotly_chart(
            linked_scatter(result.found.frame, x, y, labels=KIND_LABELS, chosen=elsewhere, metrics=result.rows),
            config={**plot_config(f"{y}_against_{x}"), "modeBarButtonsToRemove": ["select2d"]},
            key=key,
            on_select=lambda: _take_selection(name, result, key),
            selection_mode=("points", "lasso", "box"),
            alt=f"{label(y)} against {label(x)} of every candidate, coloured by distortion",
        )
        st.caption(
            "Every point is one candidate; larger points are stronger damage. Click a point, or draw around several, "
            "to see the pictures. Click a name below the plot to hide a distortion. Points of one height that lie far "
            f"apart are candidates about which the two disagree. {_without_place(result, x, y)} "
            f"{not_quality((x, y))}"
        )
    with right:
        _show_chosen(name, result, rows, x, y)
    picked = state.get(f"{name}_pick")
    if result.has(picked):
        show_candidate(name, result, picked)
    elif picked is not None:
        state[f"{name}_pick"] = None


def choose_two(name: str, result: Result, first: str, second: str, *, swap: bool = False) -> tuple[str, str]:
    """Two metrics, kept for the session under the names "x" and "y"; with `swap` a button lets them change places.

    Args:
        name: Prefix of the widgets' keys.
        result: The run.
        first: What the metric "x" is for; it is drawn second.
        second: What the metric "y" is for.
        swap: Whether there is such a button.
    """
    state = st.session_state
    usual_y, usual_x = result.usual
    for axis, usual in (("x", usual_x), ("y", usual_y)):
        if state.get(f"{name}_{axis}") not in result.keys:
            state[f"{name}_{axis}"] = usual
    options = {"options": result.keys, "format_func": label, "persist_state": "session", "width": _SELECT}
    with st.container(horizontal=True, vertical_alignment="bottom"):
        y = st.selectbox(second, key=f"{name}_y", **options)
        if swap:
            st.button(
                "Swap", key=f"{name}_swap", on_click=_swap, args=(name,), icon=":material/swap_horiz:", type="tertiary"
            )
        x = st.selectbox(first, key=f"{name}_x", **options)
    return x, y


def _swap(name: str) -> None:
    state = st.session_state
    state[f"{name}_x"], state[f"{name}_y"] = state[f"{name}_y"], state[f"{name}_x"]


def _take_selection(name: str, result: Result, key: str) -> None:
    """Before the page runs again: the row numbers of the chosen points. They come from the browser, so are checked."""
    state = st.session_state
    points = (state.get(key) or {}).get("selection", {}).get("points", [])
    rows = []
    for point in points:
        data = point.get("customdata") or [None]
        row = data[0] if isinstance(data, list) else None
        if result.has(row):
            rows.append(row)
    rows = list(dict.fromkeys(rows))
    state[f"{name}_rows"], state[f"{name}_rows_from"] = rows, key
    if len(rows) == 1:
        state[f"{name}_pick"] = rows[0]


def _without_place(result: Result, x: str, y: str) -> str:
    missing = int((~np.isfinite(result.scored[[x, y]].to_numpy(float)).all(axis=1)).sum())
    return f"{missing:,} candidates have no place here: a score of theirs is no number." if missing else ""


def _show_chosen(name: str, result: Result, rows: list[int], x: str, y: str) -> None:
    if not rows:
        st.markdown("**No points chosen**")
        st.caption("Click a point, or hold the button down and draw around some; their pictures appear here.")
        return
    state = st.session_state
    st.markdown(f"**{len(rows):,} {'candidate' if len(rows) == 1 else 'candidates'} chosen**")
    order = state.get(f"{name}_sort")
    if order not in result.keys:
        order = state[f"{name}_sort"] = y
    if len(rows) > 1:
        order = st.selectbox(
            "Worst first by", result.keys, key=f"{name}_sort", format_func=label, persist_state="session"
        )
    worth = cached.run_percentiles(result.token, result.found)[order].to_numpy()
    rows = sorted(rows, key=lambda row: (worth[row], row))
    pages = -(-len(rows) // PER_PAGE)
    key = f"{name}_page_{hash((tuple(rows), order))}"  # another choice begins with its first page
    page = min(state.get(key, 1), pages)
    with st.spinner("Making the pictures", show_time=False):
        tiles = [_tile(result, row, order) for row in rows[(page - 1) * PER_PAGE : page * PER_PAGE]]
    thumbnails(
        tiles, key=f"{name}_tiles", label="Chosen candidates", side=104, chosen=str(state.get(f"{name}_pick")),
        on_press=lambda pressed: state.update({f"{name}_pick": int(pressed)}),
    )  # fmt: skip
    if pages > 1:
        st.pagination(pages, key=key, max_visible_pages=5)
    if len(rows) > 1:
        st.caption("Press a picture to see it below, beside its reference and with its error maps.")


def _tile(result: Result, row: int, order: str) -> Tile:
    line = result.found.frame.iloc[row]
    return Tile(
        str(row),
        cached.run_thumbnail(result.token, row, _THUMBNAIL_SIDE, result.found),
        label=f"{kind_words(line['distortion'])} {line['severity']:g}",
        note=value_words(order, line[order]),
        hint=str(line["image"])[:120],
    )
