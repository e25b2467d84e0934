"""Audit data set in a real browser: from five hundred uploaded files to a report that opens without a network."""

import io
import re

import numpy as np
import pytest
from PIL import Image

pytestmark = [pytest.mark.browser, pytest.mark.slow]

_WAIT = 120_000  # milliseconds; the audit's process begins at low priority on a busy machine
_COUNT = 500
_WICKED = "zz <img src=x onerror=alert(1)> **b** $x$.png"


def _files() -> list[dict]:
    """Pictures as the browser's file dialogue gives them: textures, ten dark ones, a broken one, copies."""
    generator = np.random.default_rng(7)
    made = []
    for number in range(_COUNT - 3):
        pixels = generator.integers(40, 220, (12, 12, 3)).astype(np.uint8)
        if number < 10:
            pixels //= 16
        file = io.BytesIO()
        Image.fromarray(pixels).resize((96, 96), Image.Resampling.BICUBIC).save(file, "PNG")
        made.append({"name": f"texture_{number:03d}.png", "mimeType": "image/png", "buffer": file.getvalue()})
    made.append({"name": "copy.png", "mimeType": "image/png", "buffer": made[20]["buffer"]})
    made.append({"name": "broken.png", "mimeType": "image/png", "buffer": made[21]["buffer"][:300]})
    made.append({"name": _WICKED, "mimeType": "image/png", "buffer": made[22]["buffer"] + b"\0"})
    return made


def _number(page, label: str) -> str:
    return page.get_by_test_id("stMetric").filter(has_text=label).first.get_by_test_id("stMetricValue").inner_text()


def _view(page, label: str) -> None:
    page.get_by_role("radio", name=label, exact=True).click()


def _expect_no_trouble(page) -> None:
    from playwright.sync_api import expect

    expect(page.get_by_test_id("stException")).to_have_count(0)
    assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"]


def test_from_five_hundred_uploaded_files_to_a_report_opened_offline(dashboard, open_page, tmp_path):
    from playwright.sync_api import expect

    page = open_page(f"{dashboard}/audit_dataset")
    page.get_by_role("radio", name="Your own pictures").click()
    page.locator("input[type=file]").first.set_input_files(_files())
    expect(page.get_by_text(f"{_COUNT} files with")).to_be_visible(timeout=5 * _WAIT)
    page.get_by_role("combobox", name="Model").click()
    page.get_by_role("option", name="None: quick checks only").click()
    page.get_by_role("button", name="Start the audit").click()

    expect(page).to_have_url(re.compile(r"[?&]job=\d{8}-\d{6}-audit-"), timeout=_WAIT)
    expect(page.get_by_text("Finished", exact=True)).to_be_visible(timeout=_WAIT)
    expect(page.get_by_test_id("stMetric").filter(has_text="With an issue")).to_be_visible(timeout=_WAIT)
    assert _number(page, "Pictures") == str(_COUNT)
    assert _number(page, "Cannot be read") == "1"
    expect(page.get_by_text("Exact duplicate", exact=True).first).to_be_visible()
    _expect_no_trouble(page)

    _view(page, "Thresholds")
    page.get_by_role("combobox", name="Check").click()
    page.get_by_role("option", name="Dark").click()
    flagged = page.get_by_test_id("stMetric").filter(has_text="Flagged").first
    expect(flagged).to_contain_text("10 (", timeout=_WAIT)
    page.get_by_role("slider", name=re.compile("Flagged below")).focus()
    page.keyboard.press("End")
    expect(flagged).not_to_contain_text("10 (", timeout=_WAIT)
    page.get_by_role("button", name="Reset all").click()
    expect(flagged).to_contain_text("10 (", timeout=_WAIT)

    tiles = page.locator("button.tile")
    expect(tiles).to_have_count(10, timeout=_WAIT)  # the gallery below follows the threshold
    tiles.first.click()
    expect(page.get_by_role("heading", name=re.compile("texture_00"))).to_be_visible(timeout=_WAIT)
    expect(page.get_by_text("of 10", exact=False).first).to_be_visible()  # and goes on by it in the large view
    page.get_by_role("button", name="Back to the pictures").click()
    expect(tiles).to_have_count(10, timeout=_WAIT)
    page.get_by_role("combobox", name="Show").click()
    page.get_by_role("option", name="All pictures").click()
    expect(tiles).to_have_count(min(48, _COUNT), timeout=_WAIT)
    page.get_by_role("textbox", name="Name contains").fill("onerror")
    page.keyboard.press("Enter")
    expect(tiles).to_have_count(1, timeout=_WAIT)
    tiles.first.click()
    expect(page.get_by_role("heading", name=re.compile("onerror"))).to_be_visible(timeout=_WAIT)
    expect(page.get_by_text("Near duplicate: Like texture_022.png")).to_be_visible(timeout=_WAIT)
    expect(page.get_by_role("group", name="Picture viewer").locator(".tag").first).to_be_visible(timeout=_WAIT)
    expect(page.get_by_role("combobox", name="Picture B")).to_contain_text("Earlier one", timeout=_WAIT)
    _expect_no_trouble(page)

    _view(page, "Review")
    expect(page.locator(".sorter .place")).to_have_text(re.compile(r"^1 of \d+$"), timeout=_WAIT)
    for key, words in (("k", "1 kept, 0 dropped"), ("d", "1 kept, 1 dropped"), ("u", "1 dropped, 1 unsure")):
        page.keyboard.press(key)
        expect(page.get_by_text(re.compile(words))).to_be_visible(timeout=_WAIT)
    page.keyboard.press("z")
    expect(page.get_by_text(re.compile("1 kept, 1 dropped, 0 unsure"))).to_be_visible(timeout=_WAIT)
    expect(page.locator(".sorter .place")).to_have_text(re.compile(r"^3 of \d+$"))
    page.keyboard.press("ArrowLeft")
    expect(page.locator(".sorter .mark")).to_have_text("Dropped")
    _expect_no_trouble(page)

    _view(page, "Export")
    with page.expect_download(timeout=_WAIT) as bad:
        page.get_by_role("button", name="Bad list").click()
    assert "texture_000.png" in bad.value.path().read_text(encoding="utf-8")
    with page.expect_download(timeout=_WAIT) as report:
        page.get_by_role("button", name="HTML report").click()
    file = tmp_path / "report.html"
    report.value.save_as(file)
    assert file.stat().st_size < 10e6
    _expect_no_trouble(page)

    page.context.set_offline(True)
    page.goto(file.as_uri())
    expect(page.get_by_role("heading", name=re.compile("Audit of"))).to_be_visible()
    expect(page.get_by_text("10 (2.0%)").or_(page.get_by_text("Dark")).first).to_be_visible()
    loaded = page.evaluate("[...document.images].map((image) => image.complete && image.naturalWidth > 0)")
    assert loaded
    assert all(loaded)
    page.context.set_offline(False)
