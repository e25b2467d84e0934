"""What leaves an audit: lists, tables, a script that moves files, a report; and the command that does the same."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import streamlit as st

from deconv_core import jobs
from deconv_core.audit import export, moving
from deconv_core.audit.checks import CHECKS
from deconv_core.audit.report import report_file
from deconv_core.audit.review import Choice
from deconv_core.audit.words import short
from deconv_core.errors import DeconvError
from pages.ui import cached
from pages.ui.audit_data import Audit, share_words
from pages.ui.inputs import plain


def show_export(name: str, audit: Audit) -> None:
    """What counts as bad, then a button for every file; each is made when its button is pressed."""
    table = audit.table
    choice = _choose(name, audit)
    is_bad = export.bad(table, choice)
    with st.container(horizontal=True, gap="medium"):
        st.metric("Clean", share_words(int((~is_bad).sum()), table.count), width="content")
        st.metric("Bad", share_words(int(is_bad.sum()), table.count), width="content")
    if not table.finished:
        st.caption("The audit has not come to its end: only the pictures that are checked so far are in these files.")
    st.markdown("**Lists and tables**")
    with st.container(horizontal=True):
        for label, are_bad in (("Clean list", False), ("Bad list", True)):
            make = partial(export.names_file, table, choice, are_bad=are_bad)
            _offer(name, label, make, f"{label.split()[0].lower()}.txt", "text/plain")
        _offer(name, "CSV", partial(export.csv_file, table, choice), "audit.csv", "text/csv")
        _offer(name, "Recipes", partial(export.recipes_file, table, choice), "audit.csv.json", "application/json")
        _offer(
            name, "Parquet", partial(export.parquet_file, table, choice), "audit.parquet",
            "application/vnd.apache.parquet",
        )  # fmt: skip
    st.caption(
        "Lists hold one name per line. Tables hold one row per picture with every value, its issues, your decision and "
        "whether it counts as bad; the rule, version and threshold of every check are in Parquet, and for the CSV in "
        "the recipes."
    )
    st.markdown("**A script that moves the bad pictures**")
    _offer_script(name, audit, np.flatnonzero(is_bad))
    st.markdown("**Report**")
    _offer_report(name, audit, choice)
    st.markdown("**The same audit in a shell**")
    st.code(jobs.read(audit.folder).command or "Not known.", language="bash", wrap_lines=True)


def _offer_script(name: str, audit: Audit, bad: np.ndarray) -> None:
    if not len(bad):
        st.caption("No picture is bad, so there is nothing to move.")
        return
    kinds = cached.audit_kinds(audit.token, hashlib.sha256(bad.tobytes()).hexdigest(), bad, audit.table)
    can_move = kinds.pop(moving.FILE, 0)
    left_out = moving.Moves((), kinds).sentence
    if not can_move:
        st.caption(plain(f"{left_out} Use the list of the clean ones."))
        return

    def make() -> bytes:
        try:
            return moving.move_script(audit.table, audit.table.rows(bad, ["image"])["image"].tolist())
        except DeconvError as error:  # none of them lies in the folder: a script that says so and does nothing
            return f"# {short(error, 1000)}\n".encode()

    _offer(name, "Move script", make, "move.sh", "text/x-shellscript")
    st.caption(
        f"It moves {can_move:,} bad pictures into a folder beside the set, deletes nothing and overwrites nothing. "
        f"{plain(left_out)} Read it, then run it yourself; nothing is moved from here."
    )


def _choose(name: str, audit: Audit) -> Choice:
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
    return replace(audit.choice, checks=tuple(chosen))


def _offer(name: str, label: str, make: Callable[[], bytes], file: str, kind: str) -> None:
    st.download_button(
        label, make, file, kind, key=f"{name}_save_{file}", on_click="ignore", icon=":material/download:"
    )


def _offer_report(name: str, audit: Audit, choice: Choice) -> None:
    def make() -> bytes:
        path = audit.folder / "results" / "report.html"
        return Path(report_file(audit.folder, path, table=audit.table, choice=choice)).read_bytes()

    _offer(name, "HTML report", make, "report.html", "text/html")
    st.caption(
        "One file with everything in it: it opens without a network, can be printed, and stays below 10 MB for each "
        "1,000 pictures. It is made when you press the button."
    )
