"""Tell the story: five screens for people who have three minutes, computed beforehand, without typing or a network."""

import streamlit as st

from pages.ui import cached
from pages.ui.frame import frame
from pages.ui.story import read_story
from pages.ui.story_screens import SCREENS, show_screen, story_html

NAME = "tell_story"
_QUERY = "screen"

frame("The story", "Five screens, three minutes: what the familiar measures miss, and what this one does about it.")


def turn(number: int) -> None:
    """Go to a screen; the address follows, so that a link leads there."""
    st.query_params[_QUERY] = str(number)


asked = st.query_params.get(_QUERY, "1")
number = int(asked) if asked.isdecimal() and 1 <= int(asked) <= len(SCREENS) else 1
if asked != str(number):
    st.caption(f"There is no such screen; the story has {len(SCREENS)}.")
told = read_story()
show_screen(NAME, number, told)

with st.container(horizontal=True, vertical_alignment="center", key=f"{NAME}_steps"):
    st.button(
        "Back", key=f"{NAME}_back", on_click=turn, args=(number - 1,), disabled=number == 1,
        icon=":material/arrow_back:",
    )  # fmt: skip
    st.markdown(f"**{number}** of {len(SCREENS)}", width="content")
    st.button(
        "Next", key=f"{NAME}_next", on_click=turn, args=(number + 1,), disabled=number == len(SCREENS),
        icon=":material/arrow_forward:", type="primary",
    )  # fmt: skip
    notes = st.toggle("Speaker notes", key=f"{NAME}_notes", persist_state="session")
    st.download_button(
        "All five as one file",
        lambda: story_html(told),
        "deconv_lab_story.html",
        "text/html",
        key=f"{NAME}_download",
        icon=":material/download:",
        help="One HTML file that opens without a network and prints to PDF.",
    )
if notes:
    st.caption(SCREENS[number - 1].notes)
cached.warm_up()
