"""Human scores: bring a table, see what was understood of it, compare metrics with people."""

from __future__ import annotations

import streamlit as st

from deconv_core.errors import DeconvError
from pages.ui.inputs import plain
from pages.ui.job_panel import job_in_address, list_runs, offer_leaving, watch_job
from pages.ui.people_plan import plan
from pages.ui.people_result import show_agreement
from pages.ui.people_source import choose_scores


def show_people(name: str) -> None:
    """The half of a page about human scores: plan a run, or look at one.

    Args:
        name: Prefix of the widgets' keys.
    """
    offer_leaving(name, "All runs, and a new one")
    try:
        folder = job_in_address("agree")
        if folder is None:
            st.subheader("Human scores", anchor=False)
            source = choose_scores(name)
            if source is not None:
                plan(name, source)
        else:
            job = watch_job(name, folder, lambda _: None)
            if not job.active:
                show_agreement(name, job)
    except DeconvError as error:
        st.error(plain(error))
    list_runs(name, "agree")
