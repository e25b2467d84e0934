"""The audit in one paragraph, and one tile for every issue with its count and its worst examples."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from deconv_core.audit.checks import CHECKS
from deconv_core.audit.earlier import taken_over
from deconv_core.audit.recipes import difference, recipes, recipes_of
from deconv_core.audit.table import Filter
from deconv_core.audit.thumbnails import small_pictures
from deconv_core.audit.words import lower, paragraph, short, threshold_words
from pages.ui.audit_data import ANY, Audit, share_words, tiles, value_words
from pages.ui.audit_evidence import open_image
from pages.ui.audit_gallery import GRID
from pages.ui.audit_grid import page_of
from pages.ui.inputs import plain
from pages.ui.thumbnails import thumbnails

EXAMPLES = 4
_LISTED = 1000


def show_summary(name: str, audit: Audit) -> None:
    """How many, how good, what is wrong."""
    table = audit.table
    counts = table.counts(audit.thresholds)
    flagged = len(table.select(audit.filter(ANY)))
    statuses = table.count_status()
    st.markdown(plain(paragraph(table, audit.thresholds, audit.weights, risk=audit.risk)))
    for told in (taken_over(audit.folder), _older_words(audit)):
        if told:
            st.caption(plain(told))
    with st.container(horizontal=True, gap="medium"):
        st.metric("Pictures", f"{table.count:,}", width="content")
        st.metric("With an issue", share_words(flagged, table.count), width="content")
        st.metric("Cannot be read", f"{table.count - statuses.get('ok', 0):,}", width="content")
        st.metric(
            "Median quality risk", f"{np.median(audit.risk):.0f} of 100", width="content",
            help="Half of the pictures have no more. 0: no check found anything; 100: the worst.",
        )  # fmt: skip
        quality = table.known("low_quality") if "low_quality" in table.numbers else np.array([])
        if len(quality):
            st.metric(
                "Median predicted quality", value_words("low_quality", float(np.median(quality))), width="content",
                help="What people would say of the picture in the middle; 0 is the worst end of their scale, 100 the "
                "best.",
            )  # fmt: skip
        if table.summary.get("bytes"):
            st.metric("Size", size_words(table.summary["bytes"]), width="content")
        if table.summary.get("images_per_second", 0) >= 1:  # hardly any where all was known from an earlier audit
            st.metric("Speed", f"{table.summary['images_per_second']:,.0f} pictures/s", width="content")
    if not table.finished:
        st.caption("Near duplicates are looked for at the end; what is compared with the rest of the set may change.")
    found = sorted((key for key in counts if counts[key]), key=lambda key: -counts[key])
    worst = {key: _worst(audit, key) for key in found}
    small_pictures(audit.folder, [image for rows in worst.values() for image in rows["image"]], table)  # all at once
    for left, right in zip(found[::2], [*found[1::2], None], strict=False):
        for column, key in zip(st.columns(2, gap="medium"), (left, right), strict=True):
            if key:
                with column:
                    _show_issue(name, audit, key, counts[key], worst[key])
    nothing = [lower(CHECKS[key].label) for key in counts if not counts[key]]
    if nothing:
        st.caption(f"Nothing found for: {', '.join(nothing)}.")
    _show_unreadable(audit)
    _show_facts(audit)


def _older_words(audit: Audit) -> str:
    """What was measured in another way than today's rules and thresholds suppose."""
    written, present = recipes_of(audit.table), recipes(audit.table.checks)
    older = [key for key in audit.table.checks if difference(key, written, present)]
    if not older:
        return ""
    listed = ", ".join(lower(CHECKS[key].label) for key in older[:4])
    listed += f" and {len(older) - 4} more" if len(older) > 4 else ""
    return f"Measured by an earlier version, which counted otherwise: {listed}. Audit the set again to rely on it."


def _worst(audit: Audit, key: str) -> pd.DataFrame:
    return audit.table.worst(key, EXAMPLES, audit.thresholds.get(key), risk=audit.risk, columns=["image"])


def _show_issue(name: str, audit: Audit, key: str, count: int, worst: pd.DataFrame) -> None:
    row = CHECKS[key]
    with st.container(border=True):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(f"**{row.label}** {plain(share_words(count, audit.table.count))}", width="stretch")
            st.button("Show all", key=f"{name}_all_{key}", type="tertiary", on_click=_open_issue, args=(name, key))
        thumbnails(
            tiles(audit, worst.index.to_numpy(), key, note=False), key=f"{name}_worst_{key}", columns=EXAMPLES,
            on_press=partial(open_image, name), label=f"Worst examples: {row.label}",
        )  # fmt: skip
        limit = "" if row.flags_when == "set" else f" Flagged {threshold_words(key, audit.threshold(key))}."
        if key in audit.thresholds:
            limit += f" The usual threshold is {threshold_words(key, row.threshold)}."
        st.caption(plain(f"{row.rule.split('. ')[0].rstrip('.')}.{limit}"))


def _open_issue(name: str, issue: str) -> None:
    state = st.session_state
    state[f"{name}_view"] = "gallery"
    state[f"{name}_issue"] = issue
    state[f"{name}_sort"] = issue if CHECKS[issue].flags_when != "set" else "quality_risk"
    state[page_of(name, GRID)] = 1
    state[f"{name}_chosen"] = None


def _show_unreadable(audit: Audit) -> None:
    places = audit.table.select(Filter(flagged=("unreadable",))) if "unreadable" in audit.table.checks else np.array([])
    if not len(places):
        return
    files = "file" if len(places) == 1 else "files"
    with st.expander(f"{len(places):,} {files} that cannot be read, and why"):
        rows = audit.table.rows(places[:_LISTED], ["image", "reason"])
        st.dataframe(
            {
                "File": [short(image) for image in rows["image"]],
                "Reason": [short(text, 300) for text in rows["reason"]],
            },
            hide_index=True,
            height="content" if len(rows) < 10 else 320,
        )


def _show_facts(audit: Audit) -> None:
    """What was audited, and with what: enough to tell two audits apart."""
    settings: Any = audit.settings
    summary = audit.table.summary
    words = [
        f"Source: {short(settings['data'])}",
        f"pattern {settings['include']}" if settings.get("include", "*") != "*" else "",
        f"model: {settings['model']}" if settings.get("model") else "no model",
        f"predicted quality: {settings['quality']}" if settings.get("quality") else "",
        ", ".join(f"{count:,} {kind}" for kind, count in summary.get("formats", {}).items()),
        f"fingerprint {summary['fingerprint'][:16]}" if summary.get("fingerprint") else "",
    ]
    st.caption(plain(f"{'; '.join(filter(None, words))}."))


def size_words(count: int) -> str:
    """Bytes for people."""
    return f"{count / 2**30:,.1f} GiB" if count >= 2**30 else f"{count / 2**20:,.1f} MiB"
