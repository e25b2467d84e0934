"""What leaves an audit: lists, tables, a script that moves files, a report; and the command that does the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import streamlit as st

from deconv_core import jobs
from deconv_core.audit import export
from deconv_core.audit.checks import CHECKS
from deconv_core.errors import DeconvError
from pages.ui.audit_data import Audit, share_words
from pages.ui.inputs import plain


def show_export(name: str, audit: Audit) -> None:
    """What counts as bad, then a button for every file."""
    table = audit.table
    choice = _choose(name, audit)
    clean, bad = export.split(table, choice)
    with st.container(horizontal=True, gap="medium"):
        st.metric("Clean", share_words(len(clean), table.count), width="content")
        st.metric("Bad", share_words(len(bad), table.count), width="content")
    if not table.finished:
        st.caption("The audit has not come to its end: only the pictures that are checked so far are in these files.")
    st.markdown("**Lists and tables**")
    with st.container(horizontal=True):
        _offer(name, "Clean list", lambda: export.list_bytes(clean), "clean.txt", "text/plain")
        _offer(name, "Bad list", lambda: export.list_bytes(bad), "bad.txt", "text/plain")
        _offer(name, "CSV", lambda: export.csv_file(table, choice), "audit.csv", "text/csv")
        _offer(
            name, "Parquet", lambda: export.parquet_file(table, choice), "audit.parquet",
            "application/vnd.apache.parquet",
        )  # fmt: skip
    st.caption(
        "Lists hold one name per line. Tables hold one row per picture with every value, its issues, your decision and "
        "whether it counts as bad; Parquet also holds the rule and threshold of every check."
    )
    st.markdown("**A script that moves the bad pictures**")
    try:
        script = export.move_script(table, bad)
    except DeconvError as error:
        st.caption(plain(error))
    else:
        _offer(name, "Move script", lambda: script, "move.sh", "text/x-shellscript")
        st.caption(
            "It moves the bad pictures into a folder beside the set, deletes nothing and overwrites nothing. Read it, "
            "then run it yourself; nothing is moved from here."
        )
    st.markdown("**Report**")
    _offer_report(name, audit, choice)
    st.markdown("**The same audit in a shell**")
    st.code(jobs.read(audit.folder).command or "Not known.", language="bash", wrap_lines=True)


def _choose(name: str, audit: Audit) -> export.Choice:
    checks = list(audit.table.checks)
    chosen = st.pills(
        "Issues that make a picture bad", checks, selection_mode="multi", default=checks,
        key=f"{name}_bad_checks", format_func=lambda key: CHECKS[key].label, persist_state="session",
    )  # fmt: skip
    counts = audit.review.counts()
    decided = ", ".join(f"{count:,} {word}" for word, count in counts.items() if count)
    st.caption(
        f"Your decisions count more than any check: what you keep is clean, what you drop is bad ({decided or 'none'} "
        "so far). What cannot be read is always bad."
    )
    weights = st.session_state.get(f"{name}_weights", {})
    return export.Choice(tuple(chosen), audit.thresholds, audit.review.decisions, weights)


def _offer(name: str, label: str, make: Callable[[], bytes], file: str, kind: str) -> None:
    st.download_button(
        label, make, file, kind, key=f"{name}_save_{file}", on_click="ignore", icon=":material/download:"
    )


def _offer_report(name: str, audit: Audit, choice: export.Choice) -> None:
    def make() -> bytes:
        path = audit.folder / "results" / "report.html"
        return Path(export.report_file(audit.folder, path, table=audit.table, choice=choice)).read_bytes()

    _offer(name, "HTML report", make, "report.html", "text/html")
    st.caption(
        "One file with everything in it: it opens without a network, can be printed, and stays below 10 MB for each "
        "1,000 pictures. It is made when you press the button."
    )
