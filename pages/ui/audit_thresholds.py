"""Where each check draws its line: a histogram, a threshold that can be moved, and what falls on either side."""

from __future__ import annotations

from functools import partial

import numpy as np
import streamlit as st

from deconv_core.audit.checks import CHECKS
from deconv_core.audit.review import Threshold, read_thresholds, save_thresholds
from deconv_core.figures import plot_config, threshold_histogram
from pages.ui.audit_data import Audit, guarded, share_words, tiles
from pages.ui.audit_evidence import open_image
from pages.ui.audit_plan import threshold_words
from pages.ui.inputs import plain
from pages.ui.thumbnails import thumbnails

BINS = 60
NEIGHBOURS = 6
_STEPS = 200
VALUE, SHARE = "value", "share"


def show_thresholds(name: str, audit: Audit) -> None:
    """One check at a time."""
    checks = [key for key in audit.table.checks if CHECKS[key].flags_when != "set"]
    if not checks:
        st.markdown("The checks of this audit only say yes or no; there is no threshold to move.")
        return
    state, saved = st.session_state, read_thresholds(audit.folder)
    if state.get(f"{name}_check") not in checks:
        state[f"{name}_check"] = checks[0]
    with st.container(horizontal=True, vertical_alignment="bottom"):
        key = st.selectbox(
            "Check", checks, key=f"{name}_check", persist_state="session", width=340,
            format_func=lambda key: CHECKS[key].label,  # labels must not change, or the browser's choice is forgotten
        )  # fmt: skip
        way = st.segmented_control(
            "Set it by", [VALUE, SHARE], format_func={VALUE: "Value", SHARE: "Share of pictures"}.get, default=VALUE,
            required=True, key=f"{name}_way", persist_state="session",
        )  # fmt: skip
        if saved:
            st.button(
                "Reset all", key=f"{name}_reset_all", icon=":material/undo:", on_click=_save,
                args=(name, audit, {}), help="Every check goes back to its usual threshold.",
            )  # fmt: skip
    st.caption(plain(CHECKS[key].rule))
    if saved:
        st.caption(f"Changed in this audit: {', '.join(CHECKS[check].label.lower() for check in saved)}.")
    values = audit.table.numbers[key].to_numpy(np.float64)
    if not np.isfinite(values).any():
        st.markdown("No picture of this audit has a value for this check yet.")
        return
    _move(name, audit, key, way)
    threshold = audit.threshold(key)
    _show_histogram(name, audit, key, threshold)
    _show_sides(name, audit, key, values, threshold)


def _move(name: str, audit: Audit, key: str, way: str) -> None:
    """The slider; what it says is saved with the audit."""
    row, table, state = CHECKS[key], audit.table, st.session_state
    threshold = audit.threshold(key)
    widget = f"{name}_threshold_{way}_{key}"
    if way == SHARE:
        share = table.share_flagged(key, threshold)
        state[widget] = round(min(100.0, share), 1)
        st.slider(
            "Share of pictures that are flagged", 0.0, 100.0, step=0.1, format="%.1f %%", key=widget,
            on_change=_moved, args=(name, audit, key, way, widget),
        )  # fmt: skip
    else:
        low, high, step = _span(audit, key)
        state[widget] = float(np.clip(threshold, low, high))
        st.slider(
            f"Flagged {row.flags_when}{f' ({row.unit})' if row.unit else ''}", low, high, step=step,
            format=f"%.{row.digits}f", key=widget, on_change=_moved, args=(name, audit, key, way, widget),
        )  # fmt: skip
    count = int(table.flagged(key, threshold).sum())
    with st.container(horizontal=True, gap="medium", vertical_alignment="bottom"):
        st.metric("Flagged", share_words(count, table.count), width="content")
        st.metric("Threshold", threshold_words(key, threshold), width="content")
        if key in audit.thresholds:
            others = {other: chosen for other, chosen in read_thresholds(audit.folder).items() if other != key}
            st.button(
                f"Reset to {threshold_words(key, row.threshold)}", key=f"{name}_reset", icon=":material/undo:",
                on_click=_save, args=(name, audit, others),
            )  # fmt: skip


def _span(audit: Audit, key: str) -> tuple[float, float, float]:
    """Ends and step of the slider: where a threshold makes sense, and wherever there are pictures."""
    row = CHECKS[key]
    values = audit.table.numbers[key].to_numpy(np.float64)
    values = values[np.isfinite(values)]
    step = max(10.0**-row.digits, 10.0 ** np.floor(np.log10((row.high - row.low) / _STEPS)))
    low = min(row.low, float(values.min()), audit.threshold(key))
    high = max(row.high, float(np.percentile(values, 99.5)), audit.threshold(key))
    return float(np.floor(low / step) * step), float(np.ceil(high / step) * step), float(step)


def _moved(name: str, audit: Audit, key: str, way: str, widget: str) -> None:
    value = float(st.session_state[widget])
    chosen = Threshold(value) if way == VALUE else Threshold(audit.table.threshold_at(key, value), value)
    _save(name, audit, {**read_thresholds(audit.folder), key: chosen})


def _save(name: str, audit: Audit, thresholds: dict[str, Threshold]) -> None:
    guarded(name, save_thresholds, audit.folder, thresholds)


def _show_histogram(name: str, audit: Audit, key: str, threshold: float) -> None:
    row = CHECKS[key]
    low, high, _ = _span(audit, key)
    counts, edges = audit.table.histogram(key, BINS, low, high)
    worse = "higher is worse" if row.flags_when == "above" else "lower is worse"
    title = f"{row.label}{f' ({row.unit})' if row.unit else ''}<br>{worse}"  # in two lines it fits a phone
    st.plotly_chart(
        threshold_histogram(edges, counts, threshold=threshold, flags_when=row.flags_when, title=title),
        config=plot_config(f"threshold_{key}"),
        key=f"{name}_histogram",
    )


def _show_sides(name: str, audit: Audit, key: str, values: np.ndarray, threshold: float) -> None:
    """The pictures nearest to the threshold: where it is decided whether it stands right."""
    flagged = audit.table.flagged(key, threshold)
    known = np.isfinite(values)
    distance = np.abs(values - threshold)
    for title, side, words in (
        ("Just flagged", flagged, "No picture is flagged."),
        ("Just passed", known & ~flagged, "Every picture is flagged."),
    ):
        places = np.flatnonzero(side)
        st.markdown(f"**{title}**")
        if not len(places):
            st.caption(words)
            continue
        nearest = places[np.argsort(distance[places], kind="stable")[:NEIGHBOURS]]
        thumbnails(
            tiles(audit, audit.table.rows(nearest), key, note=False), key=f"{name}_{title}", side=110,
            on_press=partial(open_image, name), label=title,
        )  # fmt: skip
    st.caption("These are nearest to the threshold. It stands right where the upper row is bad and the lower one good.")
