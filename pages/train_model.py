"""Train model: from pictures to a model of one's own, watched while it learns."""

from functools import partial

import streamlit as st

from deconv_core import jobs
from deconv_core.errors import DeconvError
from deconv_core.presets import command_words
from pages.ui import cached
from pages.ui.frame import frame
from pages.ui.inputs import plain
from pages.ui.job_panel import job_in_address, list_runs, offer_leaving, start_job, watch_job
from pages.ui.training_data import choose_source, look_at
from pages.ui.training_results import show_outcome, show_progress
from pages.ui.training_settings import choose_settings, show_estimate

NAME = "train_model"


def plan() -> None:
    """Data, settings, cost, start."""
    st.subheader("Pictures", anchor=False)
    source = choose_source(NAME)
    if source is None:
        return
    found = look_at(NAME, source)
    if not found.count:
        st.markdown("There is no picture that can be read; choose another source.")
        return
    st.subheader("Settings", anchor=False)
    settings = choose_settings(NAME, source, found)
    cost = st.container()
    pressed = st.button("Start training", type="primary", key=f"{NAME}_start", icon=":material/play_arrow:")
    if pressed:
        start_job("train", command_words(settings), name=settings.label)
    with cost:
        show_estimate(settings, found, others=sum(job.active for job in jobs.list_jobs()))


frame(
    "Train model",
    "Let a network learn to take your own pictures apart and put them together again, watch it learn, and keep what it "
    "learned as a model for every page.",
)
offer_leaving(NAME, "All runs, and a new one")
try:
    folder = job_in_address("train")
    if folder is None:
        plan()
    else:
        state = watch_job(NAME, folder, partial(show_progress, NAME))
        if not state.active:
            show_outcome(NAME, state)
except DeconvError as error:
    st.error(plain(error))
list_runs(NAME, "train")
cached.warm_up()
