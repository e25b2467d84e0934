"""The story on its page: five screens, forth and back, an address for each, one file of all."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import expect
from streamlit.testing.v1 import AppTest

from pages.ui.story import read_story
from pages.ui.story_screens import SCREENS, story_html

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def page(tmp_path, monkeypatch):
    monkeypatch.setenv("DECONV_HOME", str(tmp_path))
    return AppTest.from_file(str(ROOT / "app.py"), default_timeout=120).run().switch_page("pages/tell_story.py")


def test_next_and_back_walk_through_the_story(page):
    page.run()
    assert page.title[0].value == "The story"
    assert page.button(key="tell_story_back").disabled
    for screen in SCREENS:
        assert not page.exception
        assert page.header[0].value == screen.title
        if not page.button(key="tell_story_next").disabled:
            page.button(key="tell_story_next").click().run()
    assert page.button(key="tell_story_next").disabled
    page.button(key="tell_story_back").click().run()
    assert page.header[0].value == SCREENS[-2].title


def test_a_link_leads_to_a_screen_and_a_wrong_one_to_the_first(page):
    page.query_params["screen"] = "3"
    page.run()
    assert page.header[0].value == SCREENS[2].title
    page.query_params["screen"] = "<b>9"
    page.run()
    assert page.header[0].value == SCREENS[0].title
    assert "no such screen; the story has 5" in page.caption[0].value


def test_the_slider_changes_what_comes_back(page):
    page.query_params["screen"] = "2"
    page.run()
    back = [each.value for each in page.markdown if each.value.startswith("**What came back**")]
    page.select_slider(key="tell_story_channels").set_value(2).run()
    assert not page.exception
    narrower = [each.value for each in page.markdown if each.value.startswith("**What came back**")]
    assert len(back) == len(narrower) == 1
    assert "25.0 %" in back[0]
    assert "1.0 %" in narrower[0]


def test_speaker_notes_come_with_their_toggle(page):
    page.run()
    assert SCREENS[0].notes not in [each.value for each in page.caption]
    page.toggle(key="tell_story_notes").set_value(True).run()
    assert SCREENS[0].notes in [each.value for each in page.caption]


def test_all_five_are_one_file_that_asks_for_nothing():
    html = story_html(read_story()).decode()
    for screen in SCREENS:
        assert screen.title in html
    assert not re.search(r"<(?:script|link|img|iframe)\b[^>]*(?:src|href)=.?(?:https?:)?//", html)


@pytest.mark.browser
def test_the_whole_story_in_a_browser(dashboard, open_page):
    page = open_page(dashboard)
    page.get_by_role("button", name="Show me in three minutes").click()
    for number, screen in enumerate(SCREENS, start=1):
        expect(page.get_by_role("heading", name=screen.title)).to_be_visible(timeout=30_000)
        expect(page.get_by_text(f"{number} of 5")).to_be_visible(timeout=30_000)
        expect(page.get_by_text("Traceback")).to_have_count(0)
        if number < 5:
            page.get_by_role("button", name="Next").click()
    expect(page.get_by_text("Deconvolution score").first).to_be_visible(timeout=60_000)
    assert "screen=5" in page.url
