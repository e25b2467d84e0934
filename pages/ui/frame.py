"""The frame of every page: name of the browser's tab, menu, title and purpose."""

from pathlib import Path

import streamlit as st

PRODUCT = "Deconv Lab"

# File, name in the menu, icon. A page is listed once its job works. The icons are in the font Streamlit brings along.
PAGES = (
    ("app.py", "Overview", ":material/home:"),
    ("pages/tell_story.py", "The story", ":material/slideshow:"),
    ("pages/score_images.py", "Score images", ":material/compare:"),
    ("pages/compare_metrics.py", "Compare metrics", ":material/scatter_plot:"),
    ("pages/train_model.py", "Train model", ":material/model_training:"),
    ("pages/audit_dataset.py", "Audit data set", ":material/rule:"),
    ("pages/judge_images.py", "Judge images", ":material/how_to_vote:"),
    ("pages/explore_models.py", "Explore models", ":material/category:"),
)

_ICON = str(Path(__file__).with_name("icon.svg"))


def frame(title: str, purpose: str) -> None:
    """Begin a page: set the tab, draw the menu, write the title and what the page is for.

    The first call of every page, for app.py does not run before the others.

    Args:
        title: Name of the page, as in the menu.
        purpose: One plain sentence that tells what can be done here.
    """
    st.set_page_config(
        page_title=PRODUCT if title == PRODUCT else f"{title} · {PRODUCT}", page_icon=_ICON, layout="wide"
    )
    with st.sidebar:
        st.markdown(f"**{PRODUCT}**")
        for file, label, icon in PAGES:
            st.page_link(file, label=label, icon=icon, width="stretch")
    st.title(title, anchor=False)
    st.markdown(purpose)
