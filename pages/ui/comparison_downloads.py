"""What can be taken away from a comparison: tables, report, the address of this view, the command."""

from __future__ import annotations

from urllib.parse import urlencode, urlsplit, urlunsplit

import streamlit as st

from deconv_core import tables
from deconv_core.jobs import JobState
from pages.ui.comparison_data import Result


def show_downloads(name: str, job: JobState, result: Result) -> None:
    """Buttons for the files, the link and the command line."""
    results = job.folder / "results"
    st.markdown("**Every candidate with every score**")
    with st.container(horizontal=True):
        for ending, mime, encode in (
            ("csv", "text/csv", tables.csv_bytes),
            ("parquet", "application/vnd.apache.parquet", tables.parquet_bytes),
            ("json", "application/json", tables.json_bytes),
        ):
            st.download_button(
                {"csv": "CSV", "parquet": "Parquet", "json": "JSON"}[ending],
                # Made when asked for, from what is shown: a run at work has no whole table yet.
                lambda encode=encode: encode(result.found.frame, result.found.recipes),
                f"{job.folder.name}.{ending}", mime, key=f"{name}_save_{ending}", on_click="ignore",
                icon=":material/download:",
            )  # fmt: skip
    st.caption("One row per candidate. Parquet and JSON hold the recipes of the scores; CSV has no place for them.")
    st.markdown("**Report**")
    report = results / "report.html"
    if report.is_file():
        st.download_button(
            "Report (HTML)", report.read_bytes, f"{job.folder.name}.html", "text/html", key=f"{name}_save_report",
            on_click="ignore", icon=":material/download:",
        )  # fmt: skip
        st.caption("One file with figures, tables and pictures that opens without a network, for sending and printing.")
    else:
        st.caption("It is written when the run is finished.")
    st.markdown("**This run as a link**")
    here = urlsplit(st.context.url or "")
    query = urlencode({"mode": "pictures", "job": job.folder.name})
    st.code(urlunsplit((here.scheme, here.netloc, here.path, query, "")), language=None, wrap_lines=True)
    st.caption(
        "While you look at a view, the address of this page holds exactly that view: copy it from your browser to show "
        "it to somebody on this machine."
    )
    if job.command:
        st.markdown("**The same in a shell**")
        st.code(job.command, language="bash", wrap_lines=True)
        st.caption("Files, settings and recipes of the run lie in:")
        st.code(str(job.folder), language=None, wrap_lines=True)
