"""Judge images: people choose between two pictures, and metrics are measured against them."""

import streamlit as st

from deconv_core.errors import DeconvError
from deconv_core.judging import Study
from pages.ui import cached
from pages.ui.frame import frame
from pages.ui.inputs import plain
from pages.ui.judge_album import show_album
from pages.ui.judge_results import show_results
from pages.ui.judge_study import NAME, offer_new, open_address, show_judging, show_list, show_way_out, study_in_address

VIEWS = {"judge": "Judge", "results": "Results"}
BEGINNINGS = {"studies": "Studies", "album": "Album of wrong scores"}


def choose_view(views: dict[str, str]) -> str:
    """A switch between views that the address holds, so that a link opens the same one."""
    key = f"{NAME}_view"
    asked = st.query_params.get("view")
    st.session_state[key] = asked if asked in views else next(iter(views))

    def follow() -> None:
        st.query_params["view"] = st.session_state[key]

    return st.segmented_control(
        "View", list(views), format_func=views.get, required=True, key=key, on_change=follow,
        label_visibility="collapsed",
    )  # fmt: skip


def show_study(study: Study) -> None:
    """One study: judging it, or its results."""
    st.subheader(plain(study.name), anchor=False)
    with st.container(horizontal=True, vertical_alignment="center"):
        view = choose_view(VIEWS)
        show_way_out(study)
    if view == "results":
        show_results(study)
    else:
        show_judging(study)


frame(
    "Judge images",
    "Which of two pictures is better? Answer with one key; your eyes become a ranking, and every metric is measured "
    "against it.",
)
try:
    study = study_in_address()
    if study is not None:
        show_study(study)
    elif choose_view(BEGINNINGS) == "album":
        show_album(f"{NAME}_album")
    else:
        show_list()
        offer_new()
except DeconvError as error:
    st.error(plain(error))
    if "study" in st.query_params:
        st.button("All studies", key=f"{NAME}_back", on_click=open_address, icon=":material/arrow_back:")
cached.warm_up()
