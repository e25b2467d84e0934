"""Explore models: what is here, how good it is, which of two is better, and models from outside."""

import streamlit as st

from deconv_core.errors import DeconvError
from pages.ui import cached
from pages.ui.by_hand import show_by_hand
from pages.ui.frame import frame
from pages.ui.inputs import plain
from pages.ui.latent_view import show_latent_map
from pages.ui.model_compare import show_comparison
from pages.ui.model_import import show_import
from pages.ui.model_inside import show_inside
from pages.ui.model_list import show_models
from pages.ui.run_curves import show_run_curves

NAME = "explore_models"
TABS = {
    "models": ("Models", show_models),
    "compare": ("Compare two", show_comparison),
    "inside": ("Inside", show_inside),
    "latent": ("Map of pictures", show_latent_map),
    "hand": ("Transposed by hand", show_by_hand),
    "curves": ("Curves of runs", show_run_curves),
    "import": ("Import", show_import),
}

frame(
    "Explore models",
    "The models of this installation, those that came with it and your own: how good they are, what they let through, "
    "and which of two rebuilds your pictures better.",
)
tab = st.segmented_control(
    "View", list(TABS), format_func=lambda key: TABS[key][0], default="models", required=True, key=f"{NAME}_tab",
    persist_state="session", label_visibility="collapsed",
)  # fmt: skip
try:
    TABS[tab][1](NAME)
except DeconvError as error:
    st.error(plain(error))
cached.warm_up()
