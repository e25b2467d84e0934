"""Judge images in a real browser: ten pairs by keyboard, away, a killed server, back, the ranking."""

import json
import re
import time

import pytest
from conftest import ROOT, running_dashboard

pytestmark = [pytest.mark.browser, pytest.mark.slow]

_WAIT = 90_000  # milliseconds; the first click of a fresh server loads TensorFlow on a busy machine


def _expect_pair(page, number: int) -> None:
    from playwright.sync_api import expect

    expect(page.locator(".count")).to_have_text(f"Pair {number} of 20", timeout=_WAIT)
    expect(page.locator(".pane .frame > img:not(.over)")).to_have_count(3, timeout=_WAIT)
    expect(page.locator(".choose").first).to_be_enabled(timeout=_WAIT)
    page.wait_for_timeout(200)  # nobody answers a pair that has only just come; the page does not believe such keys


def _expect_no_trouble(page) -> None:
    from playwright.sync_api import expect

    expect(page.get_by_test_id("stException")).to_have_count(0)
    assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"]


def _kept(home) -> list[dict]:
    [file] = home.glob("data/judgements/*/answers/*.jsonl")
    return [json.loads(line) for line in file.read_text().splitlines()[1:]]


def test_ten_pairs_by_keyboard_away_and_back_on_a_fresh_server(open_page, tmp_path):
    from playwright.sync_api import expect

    with running_dashboard(ROOT / "app.py", tmp_path) as address:
        page = open_page(f"{address}/judge_images", viewport={"width": 1440, "height": 900})
        page.set_default_timeout(_WAIT)
        page.get_by_role("textbox", name="Name of the study").fill("Browser <b>test</b>")
        page.get_by_role("button", name="Make the study").click()
        page.get_by_role("textbox", name="Your name, or any name").fill("Anna <b>B</b>")
        page.get_by_role("button", name="Start judging").click()
        _expect_pair(page, 1)
        expect(page.locator("b", has_text="B")).to_have_count(0)  # the name is text, not HTML
        html = page.evaluate("document.documentElement.outerHTML") + page.evaluate(
            "[...document.querySelectorAll('*')].map((one) => one.shadowRoot?.innerHTML ?? '').join()"
        )
        assert not re.search(r"jpeg|blur|noise|contrast|catch", html, re.IGNORECASE)  # judges judge blind

        for number, key in enumerate(
            ["ArrowLeft", "ArrowRight", "1", "2", "a", "b", "ArrowLeft", "1", "2", "b"], start=1
        ):
            page.keyboard.press(key)
            _expect_pair(page, number + 1)
        page.keyboard.press("u")
        _expect_pair(page, 10)
        page.keyboard.down(" ")
        expect(page.locator(".frame .over").first).to_be_visible()
        page.keyboard.up(" ")
        expect(page.locator(".frame .over").first).to_be_hidden()
        page.locator(".choose[data-choice=right]").click()
        _expect_pair(page, 11)
        place = page.url.removeprefix(address)
        _expect_no_trouble(page)
        expected = [
            "left",
            "right",
            "left",
            "right",
            "left",
            "right",
            "left",
            "left",
            "right",
            "right",
            "undo",
            "right",
        ]
        end = time.monotonic() + _WAIT / 1000
        while len(_kept(tmp_path)) < len(expected) and time.monotonic() < end:
            page.wait_for_timeout(200)
        assert [line.get("choice", "undo") for line in _kept(tmp_path)] == expected
        page.goto("about:blank")

    with running_dashboard(ROOT / "app.py", tmp_path) as address:
        again = open_page(f"{address}{place}", viewport={"width": 390, "height": 844})
        again.set_default_timeout(_WAIT)
        _expect_pair(again, 11)
        _expect_no_trouble(again)
        for number in range(11, 21):
            again.locator(".choose").first.click()
            if number < 20:
                _expect_pair(again, number + 1)
        expect(again.get_by_text("All 20 pairs are judged and kept")).to_be_visible(timeout=_WAIT)
        again.get_by_role("button", name="See the results").click()
        expect(again.get_by_role("heading", name="The ranking")).to_be_visible(timeout=_WAIT)
        expect(again.get_by_text("Out of 16 answers of 1 judge")).to_be_visible(timeout=_WAIT)
        expect(again.get_by_role("heading", name="Take it away")).to_be_visible(timeout=2 * _WAIT)
        expect(again.locator(".js-plotly-plot").first).to_be_visible(timeout=_WAIT)
        _expect_no_trouble(again)
        assert sum("choice" in line for line in _kept(tmp_path)) == 21
