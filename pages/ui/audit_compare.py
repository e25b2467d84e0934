"""This audit beside another one: in what the two sets differ, in plain words."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import streamlit as st

from deconv_core import jobs
from deconv_core.audit.checks import CHECKS
from deconv_core.audit.table import histogram
from deconv_core.figures import overlaid_histograms, plot_config
from pages.ui import audit_data, cached
from pages.ui.audit_data import Audit
from pages.ui.audit_gallery import RISK
from pages.ui.inputs import plain

_BINS = 40


def show_drift(name: str, audit: Audit) -> None:
    """Choose the other audit, then paragraph, shares of issues, numbers, one histogram."""
    others = {
        job.folder.name: job
        for job in jobs.list_jobs()
        if job.kind == "audit" and job.folder.name != audit.folder.name and cached.audit_stamp(job.folder)
    }
    if not others:
        st.markdown(
            "There is no other audit to compare with. Audit a second set, or the same one before and after a change, "
            "and it can be chosen here."
        )
        return
    state = st.session_state
    if state.get(f"{name}_other") not in others:
        state[f"{name}_other"] = next(iter(others))
    other = st.selectbox(
        "Compare with (the first set; this audit is the second)", list(others), key=f"{name}_other",
        persist_state="session", format_func=lambda key: f"{others[key].name[:60]} ({key[:15]})",
    )  # fmt: skip
    first = audit_data.read(others[other].folder)
    if first is None:
        st.markdown("That audit holds no picture; choose another one.")
        return
    # Both by what counts for this audit, the quality risk included.
    first = replace(first, thresholds=audit.thresholds, weights=audit.weights)
    thresholds, weights = (tuple(sorted(chosen.items())) for chosen in (audit.thresholds, audit.weights))
    found = cached.audit_drift(first.token, audit.token, thresholds, weights, first.table, audit.table)
    st.markdown(plain(found.paragraph))
    if not (first.table.finished and audit.table.finished):
        st.caption("One of the two audits has not come to its end; this is what is known so far.")
    if found.left_out:
        st.caption(plain(" ".join(found.left_out)))
    _show_pairs(found.pairs)
    _show_shares(found.shares)
    _show_columns(name, first, audit, found.columns)


def _show_pairs(pairs: pd.DataFrame) -> None:
    """What became of each picture that both sets hold."""
    shown = pairs[pairs["same"] < pairs["count"]]
    if pairs.empty:
        return
    st.markdown("**Pictures that both sets hold, one by one**")
    if shown.empty:
        st.caption(f"All {pairs['count'].max():,} of them are the same in both by everything that was measured.")
        return
    order = (shown["cleared"] + shown["raised"]).sort_values(ascending=False, kind="stable").index
    shown = shown.loc[order]
    st.table(
        pd.DataFrame(
            {
                "What": [plain(f"{row.label} ({row.unit})" if row.unit else row.label) for row in shown.itertuples()],
                "Better, worse, same": [_moved(row) for row in shown.itertuples()],
                "Flags gone, new": [f"{row.cleared:,}, {row.raised:,}" for row in shown.itertuples()],
                "Median change, 95 % interval": [_change(row) for row in shown.itertuples()],
            }
        ),
        border="horizontal",
        hide_index=True,
    )
    st.caption("From the first set to this one. Where more is neither better nor worse, up and down are counted.")


def _moved(row) -> str:
    if np.isnan(row.better):
        return f"{row.higher:,} up, {row.lower:,} down, {row.same:,}"
    return f"{row.better:,.0f}, {row.worse:,.0f}, {row.same:,}"


def _change(row) -> str:
    check = CHECKS.get(row.column)
    if check is not None and check.flags_when == "set":
        return "–"
    digits = check.digits if check is not None else 0 if row.column in ("width", "height", "bytes") else 1
    values = [round(value, digits) for value in (row.median_difference, row.low, row.high)]
    told = [f"{value:+,.{digits}f}" if value else "0" for value in values]
    return told[0] if np.isnan(row.low) else f"{told[0]} ({told[1]} to {told[2]})"


def _show_shares(shares: pd.DataFrame) -> None:
    shown = shares[(shares["share_first"] > 0) | (shares["share_second"] > 0)]
    if shown.empty:
        st.caption("No check flags a picture in either set.")
        return
    st.markdown("**Share of pictures that are flagged**")
    order = shown["difference"].abs().sort_values(ascending=False).index
    shown = shown.loc[order]
    st.table(
        pd.DataFrame(
            {
                "Issue": list(shown["label"]),
                "First set": [f"{value:.1f} %" for value in shown["share_first"]],
                "This set": [f"{value:.1f} %" for value in shown["share_second"]],
                "Change, 95 % interval (points)": [
                    f"{row.difference:+.1f} ({row.low:+.1f} to {row.high:+.1f})" for row in shown.itertuples()
                ],
            }
        ),
        border="horizontal",
        hide_index=True,
    )
    st.caption("Both by the thresholds of this audit. Where the interval holds 0, the change may be chance.")


def _show_columns(name: str, first: Audit, audit: Audit, columns: pd.DataFrame) -> None:
    st.markdown("**What was measured, the largest difference first**")
    labels = dict(zip(columns["column"], columns["label"], strict=True))
    chosen = st.selectbox(
        "Look at", list(labels), format_func=labels.get, key=f"{name}_drift_column", label_visibility="collapsed"
    )
    row = columns.set_index("column").loc[chosen]
    st.markdown(plain(row["sentence"]))
    histograms = {}
    values = [_values(part, chosen) for part in (first, audit)]
    both = np.concatenate([part[np.isfinite(part)] for part in values])
    low, high = np.percentile(both, [0.5, 99.5])
    for words, part in zip(("First set", "This set"), values, strict=True):
        histograms[words] = histogram(part, _BINS, float(low), float(high))
    unit = f" ({row['unit']})" if row["unit"] else ""
    direction = ""
    if chosen in CHECKS:
        direction = "<br>higher is worse" if CHECKS[chosen].flags_when == "above" else "<br>lower is worse"
    st.plotly_chart(
        overlaid_histograms(histograms, title=f"{row['label']}{unit}{direction}"),
        config=plot_config(f"drift_{chosen}"),
        key=f"{name}_drift_plot",
    )
    with st.expander("All numbers as a table"):
        st.dataframe(
            columns[["label", "unit", "median_first", "median_second", "ks", "p_value", "larger"]],
            hide_index=True,
            column_config={
                "label": "What",
                "unit": "Unit",
                "median_first": st.column_config.NumberColumn("Median, first", format="%.4g"),
                "median_second": st.column_config.NumberColumn("Median, this", format="%.4g"),
                "ks": st.column_config.NumberColumn("KS distance (0 alike, 1 apart)", format="%.3f"),
                "p_value": st.column_config.NumberColumn("p (Holm)", format="%.3g"),
                "larger": st.column_config.NumberColumn("This one higher, share of pairs", format="%.2f"),
            },
        )


def _values(audit: Audit, column: str) -> np.ndarray:
    return audit.risk if column == RISK else audit.table.numbers[column].to_numpy(np.float64)
