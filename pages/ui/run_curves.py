"""Training curves of several runs laid over each other."""

from __future__ import annotations

from datetime import datetime

import streamlit as st

from deconv_core import jobs
from deconv_core.figures import TRAINING_MEASURES, plot_config, training_curves
from pages.ui.training_results import history

_FIRST = 4


def _when(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds):%d %b %H:%M}"


def show_run_curves(name: str) -> None:
    """Choose runs and a measure; one line for each run."""
    runs, labels = {}, {}
    for job in jobs.list_jobs():
        frame = history(job.folder)
        if frame is not None:
            runs[job.folder.name] = frame
            label = f"{job.name} ({_when(job.created)})"
            labels[job.folder.name] = f"{label}, {job.folder.name}" if label in labels.values() else label
    if not runs:
        st.markdown("No run has finished an epoch yet. Train a model first.")
        return
    with st.container(horizontal=True, vertical_alignment="bottom"):
        chosen = st.multiselect(
            "Runs", list(runs), default=list(runs)[:_FIRST], key=f"{name}_runs", persist_state="session",
            format_func=lambda folder: labels.get(folder, folder),
        )  # fmt: skip
        measure = st.selectbox(
            "Measure", list(TRAINING_MEASURES), index=1, format_func=TRAINING_MEASURES.get, key=f"{name}_curve_measure",
            persist_state="session",
        )  # fmt: skip
    histories = {labels[folder]: runs[folder] for folder in chosen if folder in runs}
    if not histories:
        st.caption("Choose at least one run.")
        return
    st.plotly_chart(training_curves(histories, measure), config=plot_config(measure), key=f"{name}_curves")
    st.caption(
        "Losses of different kinds, and validation on different pictures, cannot be compared with each other. Runs on "
        "the same pictures with the same seed hold out the same ones."
    )
