"""Where each check draws its line: a histogram, a threshold that can be moved, and the gallery of either side of it."""

from __future__ import annotations

from functools import partial

import numpy as np
import streamlit as st

from deconv_core.audit.checks import CHECKS
from deconv_core.audit.earlier import taken_over
from deconv_core.audit.review import Threshold, read_thresholds, save_thresholds
from deconv_core.audit.words import lower, threshold_words
from deconv_core.figures import plot_config, threshold_histogram
from pages.ui.audit_data import EVERYTHING, Audit, guarded, read, share_words
from pages.ui.audit_evidence import open_image
from pages.ui.audit_grid import page_of, show_grid
from pages.ui.inputs import plain

BINS = 60
GRID = "sides"
_STEPS = 200
VALUE, SHARE = "value", "share"
FLAGGED, PASSED = "flagged", "passed"
NEAREST, WORST = "nearest", "worst"


def show_thresholds(name: str, audit: Audit) -> None:
    """One check at a time."""
    st.fragment(_show)(name, audit)


def _show(name: str, audit: Audit) -> None:
    # A fragment runs again with what it was given at first; what is saved is read anew each time.
    audit = read(audit.folder) or audit
    if st.session_state.get(f"{name}_view") != "thresholds":  # a picture was pressed: it is shown in another view
        st.rerun()
    checks = [key for key in audit.table.checks if CHECKS[key].flags_when != "set"]
    if not checks:
        st.markdown("The checks of this audit only say yes or no; there is no threshold to move.")
        return
    state, saved = st.session_state, read_thresholds(audit.folder)
    if state.get(f"{name}_check") not in checks:
        counts = audit.table.counts(audit.thresholds)
        state[f"{name}_check"] = max(checks, key=lambda key: counts[key])
    with st.container(horizontal=True, vertical_alignment="bottom"):
        key = st.selectbox(
            "Check", checks, key=f"{name}_check", persist_state="session", width=340,
            format_func=lambda key: CHECKS[key].label,  # labels must not change, or the browser's choice is forgotten
        )  # fmt: skip
        way = st.segmented_control(
            "Set it by", [VALUE, SHARE], format_func={VALUE: "Value", SHARE: "Percentile"}.get, default=VALUE,
            required=True, key=f"{name}_way", persist_state="session",
        )  # fmt: skip
        if saved:
            st.button(
                "Reset all", key=f"{name}_reset_all", icon=":material/undo:", on_click=_save,
                args=(name, audit, {}), help="Every check goes back to its usual threshold.",
            )  # fmt: skip
    st.caption(plain(CHECKS[key].rule))
    if saved:
        changed = ", ".join(lower(CHECKS[check].label) for check in saved)
        st.caption(plain(f"Changed and saved with this audit: {changed}. {taken_over(audit.folder)}"))
    values = audit.table.numbers[key].to_numpy(np.float64)
    if not np.isfinite(values).any():
        st.markdown("No picture of this audit has a value for this check yet.")
        return
    _move(name, audit, key, way)
    threshold = audit.threshold(key)
    _show_histogram(name, audit, key, threshold)
    _show_sides(name, audit, key, threshold)
    told = st.session_state.pop(f"{name}_told", "")
    if told:
        st.error(plain(told))


def _move(name: str, audit: Audit, key: str, way: str) -> None:
    """The slider; what it says is saved with the audit."""
    row, table, state = CHECKS[key], audit.table, st.session_state
    threshold = audit.threshold(key)
    widget = f"{name}_threshold_{way}_{key}"
    if way == SHARE:
        chosen = read_thresholds(audit.folder).get(key)
        share = chosen.percent if chosen else None
        if share is None or table.threshold_at(key, share) != threshold:  # of a set at work it holds until more comes
            share = table.share_flagged(key, threshold)
        state[widget] = round(min(100.0, share), 1)
        st.slider(
            "Flagged are the worst of the set (%)", 0.0, 100.0, step=0.1, format="%.1f %%", key=widget,
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
    _to_first(name)
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


def _show_sides(name: str, audit: Audit, key: str, threshold: float) -> None:
    """All pictures on one side of the threshold, page by page."""
    flagged = audit.table.flagged(key, threshold)
    values = audit.table.numbers[key].to_numpy(np.float64)
    sides = {FLAGGED: np.flatnonzero(flagged), PASSED: np.flatnonzero(np.isfinite(values) & ~flagged)}
    with st.container(horizontal=True, vertical_alignment="bottom"):
        side = st.segmented_control(
            "Show", [FLAGGED, PASSED], format_func={FLAGGED: "Flagged", PASSED: "Passed"}.get, default=FLAGGED,
            required=True, key=f"{name}_side", persist_state="session", on_change=_to_first, args=(name,),
        )  # fmt: skip
        order = st.segmented_control(
            "First come", [NEAREST, WORST], required=True, default=NEAREST, key=f"{name}_side_order",
            format_func={NEAREST: "The nearest to the threshold", WORST: "The worst"}.get,
            persist_state="session", on_change=_to_first, args=(name,),
        )  # fmt: skip
    places = sides[side]
    if not len(places):
        st.caption("No picture is flagged." if side == FLAGGED else "Every picture is flagged.")
        return
    if order == NEAREST:
        places = places[np.argsort(np.abs(values[places] - threshold), kind="stable")]
        st.caption("The threshold stands right where the first of the flagged are bad and the first that passed good.")
    else:
        places = audit.table.order(places, key, descending=CHECKS[key].flags_when == "above")
    show_grid(name, audit, places, key, key=GRID, on_press=partial(_open, name, key, side), label=side.capitalize())


def _open(name: str, key: str, side: str, image: str) -> None:
    """One picture large, among those that the gallery shows by this check."""
    state = st.session_state
    state[f"{name}_issue"] = key if side == FLAGGED else EVERYTHING
    state[f"{name}_sort"], state[f"{name}_order"], state[f"{name}_text"] = key, "first", ""
    open_image(name, image)


def _to_first(name: str) -> None:
    st.session_state[page_of(name, GRID)] = 1
