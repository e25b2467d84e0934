"""Compare metrics in a real browser: a small comparison is run, points are lassoed, a disagreement is opened."""

import re

import pytest

pytestmark = [pytest.mark.browser, pytest.mark.slow]

_WAIT = 180_000  # milliseconds; the process loads TensorFlow at low priority on a busy machine


def _expect_no_trouble(page):
    from playwright.sync_api import expect

    expect(page.get_by_test_id("stException")).to_have_count(0)
    assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"]


def _keep_only(page, label: str, kept: set[str]) -> None:
    """Switch off every pill of a group but these."""
    group = page.get_by_test_id("stButtonGroup").filter(has_text=label)
    for text in group.get_by_role("button").all_inner_texts():
        if text.strip() not in kept:
            group.get_by_role("button", name=text.strip(), exact=True).click()


def _lasso(page, left: float, top: float, right: float, bottom: float) -> None:
    """Draw around a part of the plot, in shares of its size."""
    plot = page.locator(".js-plotly-plot .nsewdrag").first
    plot.scroll_into_view_if_needed()
    box = plot.bounding_box()

    def at(across: float, down: float) -> tuple[float, float]:
        return box["x"] + across * box["width"], box["y"] + down * box["height"]

    page.mouse.move(*at(left, top))
    page.mouse.down()
    for corner in ((right, top), (right, bottom), (left, bottom), (left, top)):
        page.mouse.move(*at(*corner), steps=8)
    page.mouse.up()


def test_a_small_comparison_is_run_lassoed_and_a_disagreement_opened(dashboard, open_page):
    from playwright.sync_api import expect

    page = open_page(f"{dashboard}/compare_metrics", viewport={"width": 1440, "height": 1000})
    expect(page.get_by_role("heading", name="Compare metrics")).to_be_visible(timeout=_WAIT)
    candidates = page.get_by_test_id("stMetric").filter(has_text="Candidates")
    expect(candidates).to_contain_text("800", timeout=_WAIT)
    _keep_only(page, "Distortions", {"Gaussian blur", "JPEG", "White noise"})
    _keep_only(page, "Severities", {"1", "3", "5"})
    count = page.get_by_role("spinbutton", name="Pictures, at most")
    count.fill("2")
    count.press("Enter")
    expect(candidates).to_contain_text("18", timeout=_WAIT)
    name = page.get_by_label("Name", exact=True)
    name.fill("Browser <b>test</b>")
    name.press("Enter")
    expect(page.get_by_test_id("stMetric").filter(has_text="Time")).to_contain_text("about", timeout=_WAIT)
    page.get_by_role("button", name="Start comparing").click()

    expect(page).to_have_url(re.compile(r"job=\d{8}-\d{6}-compare-browser-b-test-b"), timeout=_WAIT)
    expect(page.get_by_role("heading", name="Browser <b>test</b>")).to_be_visible(timeout=_WAIT)
    expect(page.get_by_text("Finished", exact=True)).to_be_visible(timeout=3 * _WAIT)
    expect(page.get_by_text("18 candidates: 2 pictures, 3 distortions")).to_be_visible(timeout=_WAIT)
    _expect_no_trouble(page)

    expect(page.get_by_text("No points chosen")).to_be_visible(timeout=_WAIT)
    _lasso(page, 0.02, 0.02, 0.98, 0.98)
    expect(page.get_by_text("18 candidates chosen")).to_be_visible(timeout=_WAIT)
    tiles = page.get_by_role("group", name="Chosen candidates").get_by_role("button")
    expect(tiles).to_have_count(12, timeout=_WAIT)  # the rest is on the next page
    tiles.nth(1).click()
    expect(page.get_by_role("combobox", name="Picture B")).to_contain_text("Image to judge", timeout=_WAIT)
    expect(page.get_by_text("Error maps in the viewer")).to_be_visible(timeout=_WAIT)
    expect(page).to_have_url(re.compile(r"view=scatter.*pick=\d+"), timeout=_WAIT)
    _expect_no_trouble(page)
    address = page.url

    page.get_by_role("radio", name="Disagreements").click()
    page.get_by_role("button", name="Open in the viewer").first.click(timeout=_WAIT)
    expect(page.get_by_text("Choose what the two sides of the viewer show")).to_be_visible(timeout=_WAIT)
    first, second = (page.get_by_role("combobox", name=f"Picture {side}").input_value() for side in "AB")
    assert first != second
    expect(page).to_have_url(re.compile(r"view=disagreements.*place=1"), timeout=_WAIT)
    _expect_no_trouble(page)

    # The address of a view is enough for another browser, and on a phone nothing sticks out.
    other = open_page(address, viewport={"width": 390, "height": 844})
    expect(other.get_by_text("Error maps in the viewer")).to_be_visible(timeout=_WAIT)
    _expect_no_trouble(other)


def test_an_address_without_a_run_is_told(dashboard, open_page):
    from playwright.sync_api import expect

    page = open_page(f"{dashboard}/compare_metrics?job=20200101-000000-compare-gone")
    expect(page.get_by_test_id("stAlert")).to_contain_text("is not there", timeout=_WAIT)
    page.get_by_role("button", name="All runs, and a new one").click()
    expect(page.get_by_role("button", name="Start comparing")).to_be_visible(timeout=_WAIT)
    _expect_no_trouble(page)
