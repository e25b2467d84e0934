"""Compare metrics: which metric agrees with which, and which with people."""

import streamlit as st

from deconv_core.errors import DeconvError
from pages.ui import cached
from pages.ui.comparison_plan import plan
from pages.ui.comparison_result import show_result
from pages.ui.frame import frame
from pages.ui.inputs import plain
from pages.ui.job_panel import job_in_address, list_runs, offer_leaving

NAME = "compare_metrics"
MODES = {"pictures": "Distortions on pictures", "people": "Human scores"}

state = st.session_state


def take_mode() -> str:
    """Which half of the page: as the address says, else as it was last chosen; written to the address."""
    key = f"{NAME}_mode"
    asked = st.query_params.get("mode")
    if asked in MODES and state.get(f"{NAME}_mode_read") != asked:
        state[key] = state[f"{NAME}_mode_read"] = asked
    mode = st.segmented_control(
        "Compare metrics by", list(MODES), format_func=MODES.get, default="pictures", required=True, key=key,
        persist_state="session", on_change=st.query_params.clear, label_visibility="collapsed",
    )  # fmt: skip
    state[f"{NAME}_mode_read"] = st.query_params["mode"] = mode
    return mode


def show_pictures_half() -> None:
    """Runs that make pictures worse on purpose: plan one, or look at one."""
    offer_leaving(NAME, "All runs, and a new one")
    try:
        folder = job_in_address("compare")
        if folder is None:
            st.query_params.from_dict({"mode": "pictures"})
            plan(NAME)
        else:
            show_result(NAME, folder)
    except DeconvError as error:
        st.error(plain(error))
    list_runs(NAME, "compare")


frame(
    "Compare metrics",
    "Which metric agrees with which, where do they contradict each other, and which of them agrees with people? "
    "Measured on your own pictures, or on scores that people gave.",
)
if take_mode() == "pictures":
    show_pictures_half()
else:
    from pages.ui.people import show_people

    show_people(NAME)
cached.warm_up()
