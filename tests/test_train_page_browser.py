"""Train model in a real browser: a tiny model on the samples, watched, stopped, resumed, published and used."""

import re
import time

import pytest

pytestmark = [pytest.mark.browser, pytest.mark.slow]

_WAIT = 120_000  # milliseconds; a training process loads TensorFlow at low priority on a busy machine


def _number(page, label: str) -> float:
    value = page.get_by_test_id("stMetric").filter(has_text=label).first.get_by_test_id("stMetricValue").inner_text()
    return float(re.sub(r"[^\d.]", "", value))


def _expect_no_trouble(page):
    from playwright.sync_api import expect

    expect(page.get_by_test_id("stException")).to_have_count(0)
    assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"]


def test_a_tiny_model_is_trained_stopped_resumed_published_and_used(dashboard, open_page):
    from playwright.sync_api import expect

    page = open_page(f"{dashboard}/train_model")
    expect(page.get_by_role("heading", name="Train model")).to_be_visible(timeout=_WAIT)
    expect(page.get_by_test_id("stMetric").filter(has_text="Memory of a step")).to_be_visible(timeout=_WAIT)
    assert _number(page, "Pictures") == 10
    name = page.get_by_label("Name", exact=True)
    name.fill("Browser <b>test</b>")
    name.press("Enter")
    page.get_by_text("More: network").click()
    steps = page.get_by_role("spinbutton", name="Steps in an epoch")
    steps.fill("80")
    steps.press("Enter")
    expect(page.get_by_test_id("stMetric").filter(has_text="Steps")).to_contain_text("800", timeout=_WAIT)
    page.get_by_role("button", name="Start training").click()

    stop = page.get_by_role("button", name="Stop this run")
    expect(stop).to_be_visible(timeout=_WAIT)
    expect(page).to_have_url(re.compile(r"[?&]job=\d{8}-\d{6}-train-browser-b-test-b"))
    expect(page.get_by_role("heading", name="Browser <b>test</b>")).to_be_visible()  # the name is text, not HTML
    expect(page.locator(".js-plotly-plot")).to_have_count(3, timeout=_WAIT)
    first = _number(page, "Epoch")
    expect(page.get_by_test_id("stMetric").filter(has_text="Epoch").first).not_to_have_text(
        re.compile(rf"Epoch\s*{first:.0f}$"), timeout=_WAIT
    )  # the curves move on by themselves
    stop.click()
    asked = time.monotonic()
    resume = page.get_by_role("button", name="Resume")
    expect(resume).to_be_visible(timeout=_WAIT)
    # Two seconds for the stop, the rest for a busy machine and the page's own look at the folder.
    assert time.monotonic() - asked < 20
    stopped_at = _number(page, "Epoch")
    assert first < stopped_at < 10
    _expect_no_trouble(page)

    other = open_page(page.url, viewport={"width": 390, "height": 844})  # another visitor sees the same run
    expect(other.get_by_role("button", name="Resume")).to_be_visible(timeout=_WAIT)
    assert _number(other, "Epoch") == stopped_at
    _expect_no_trouble(other)

    resume.click()
    expect(stop).to_be_visible(timeout=_WAIT)
    expect(page.get_by_text("Finished", exact=True)).to_be_visible(timeout=2 * _WAIT)
    assert _number(page, "Epoch") == 10
    expect(page.get_by_text("White noise that comes back")).to_be_visible(timeout=_WAIT)
    slider = page.get_by_role("slider", name="Epoch")
    slider.focus()
    page.keyboard.press("Home")
    expect(page.get_by_role("combobox", name="Picture B")).to_contain_text("Recovered after epoch 1", timeout=_WAIT)
    page.get_by_role("textbox", name="Publish it as").fill("From the browser")
    page.get_by_role("button", name="Publish", exact=True).click()
    expect(page.get_by_text("Published as")).to_be_visible(timeout=_WAIT)
    _expect_no_trouble(page)

    page.get_by_role("button", name="Score an image with it").click()
    expect(page.get_by_role("heading", name="Score images")).to_be_visible(timeout=_WAIT)
    expect(page.get_by_text("Recovered with itself", exact=True).first).to_be_visible(timeout=_WAIT)
    expect(page).to_have_url(re.compile("model=from-the-browser"), timeout=_WAIT)
    _expect_no_trouble(page)


def test_a_refresh_of_an_address_without_a_run_is_told(dashboard, open_page):
    from playwright.sync_api import expect

    page = open_page(f"{dashboard}/train_model?job=20200101-000000-train-gone")
    expect(page.get_by_test_id("stAlert")).to_contain_text("is not there", timeout=_WAIT)
    page.get_by_role("button", name="All runs, and a new one").click()
    expect(page.get_by_role("button", name="Start training")).to_be_visible(timeout=_WAIT)
    _expect_no_trouble(page)


@pytest.mark.parametrize("width", [360, 2560])
def test_explore_models_fits_any_width(dashboard, open_page, width):
    from playwright.sync_api import expect

    page = open_page(f"{dashboard}/explore_models", viewport={"width": width, "height": 844})
    expect(page.get_by_test_id("stDataFrame").first).to_be_visible(timeout=_WAIT)
    _expect_no_trouble(page)
    page.get_by_role("radio", name="Compare two").click()
    expect(page.get_by_text("Where they differ most")).to_be_visible(timeout=_WAIT)
    _expect_no_trouble(page)
