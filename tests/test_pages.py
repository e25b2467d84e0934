"""Every page of the dashboard, run by Streamlit's own test tool, and the frame they share."""

import tomllib
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from pages.ui.frame import PAGES, PRODUCT

ROOT = Path(__file__).resolve().parent.parent
TITLES = {file: PRODUCT if file == "app.py" else label for file, label, _ in PAGES}


def start(page: str = "app.py") -> AppTest:
    """The dashboard as a first visitor gets it, on one of its pages. The menu leads there from app.py."""
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=120).run()
    if page != "app.py":
        app.switch_page(page).run()
    return app


@pytest.mark.parametrize("page", TITLES)
def test_every_page_opens_under_its_title(page):
    app = start(page)
    assert not app.exception
    assert app.title[0].value == TITLES[page]


@pytest.mark.parametrize("page", TITLES)
def test_every_page_draws_the_whole_menu(page):
    labels = [link.proto.label for link in start(page).sidebar.get("page_link")]
    assert labels == [label for _, label, _ in PAGES]


def test_menu_lists_the_pages_there_are():
    files = {"app.py"} | {f"pages/{path.name}" for path in (ROOT / "pages").glob("*.py")}
    assert {file for file, _, _ in PAGES} == files


def test_settings_keep_the_dashboard_private():
    settings = tomllib.loads((ROOT / ".streamlit" / "config.toml").read_text(encoding="utf-8"))
    assert settings["server"]["address"] == "localhost"
    assert settings["browser"]["gatherUsageStats"] is False
    assert settings["client"]["showSidebarNavigation"] is False


@pytest.mark.browser
def test_overview_opens_in_a_browser_under_its_own_name(dashboard, open_page):
    from playwright.sync_api import expect

    page = open_page(dashboard)
    expect(page.get_by_role("heading", name=PRODUCT)).to_be_visible()
    expect(page).to_have_title(PRODUCT)
    expect(page.get_by_role("link", name="Overview")).to_have_count(1)  # our menu, and not Streamlit's beside it


@pytest.mark.browser
@pytest.mark.parametrize("width", [360, 390, 1440, 2560])
def test_overview_never_scrolls_sideways(dashboard, open_page, width):
    from playwright.sync_api import expect

    page = open_page(dashboard, viewport={"width": width, "height": 900})
    expect(page.get_by_role("heading", name=PRODUCT)).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
