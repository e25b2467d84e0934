"""Score images in a real browser: sample, slider, uploads, download, a link on a fresh server, a wrong file."""

import re
from urllib.parse import urlsplit

import cv2
import numpy as np
import pytest
from conftest import ROOT, running_dashboard
from PIL import Image

pytestmark = [pytest.mark.browser, pytest.mark.slow]

_WAIT = 60_000  # milliseconds; the first click of a fresh server loads TensorFlow on a busy machine


def _photograph(height, width, seed):
    """Something like a photograph: smooth forms and a little noise, uint8."""
    generator = np.random.default_rng(seed)
    small = generator.random((height // 100 + 2, width // 100 + 2, 3)).astype(np.float32)
    forms = cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC) * 200 + 20
    return np.clip(forms + generator.normal(0, 3, (height, width, 1)), 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def large_jpeg(tmp_path_factory):
    """12 megapixels, stored lying on its side: the flag says to turn it upright."""
    path = tmp_path_factory.mktemp("files") / "holiday <b>photo.jpg"
    flags = Image.Exif()
    flags[0x0112] = 6
    Image.fromarray(_photograph(3000, 4000, 1)).save(path, quality=90, exif=flags)
    return path


@pytest.fixture(scope="module")
def wide_png(tmp_path_factory):
    """RGB with 16 bits per channel whose low bytes matter."""
    path = tmp_path_factory.mktemp("files") / "wide.png"
    values = _photograph(300, 400, 2).astype(np.uint16) * 256 + 77
    assert cv2.imwrite(str(path), values)
    return path


def _score(page, label="Deconvolution score"):
    return page.get_by_test_id("stMetric").filter(has_text=label).first.get_by_test_id("stMetricValue")


def _expect_scores(page):
    from playwright.sync_api import expect

    expect(_score(page)).to_have_text(re.compile(r"^\d+\.\d\d$"), timeout=_WAIT)
    expect(page.get_by_text("Recovered with itself", exact=True).first).to_be_visible(timeout=_WAIT)
    expect(page.locator(".stage")).to_be_visible(timeout=_WAIT)


def _expect_no_trouble(page):
    from playwright.sync_api import expect

    expect(page.get_by_test_id("stException")).to_have_count(0)
    assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"]


def test_sample_slider_download_and_link(dashboard, open_page, tmp_path, tmp_path_factory):
    from playwright.sync_api import expect

    page = open_page(f"{dashboard}/score_images")
    expect(page.get_by_role("heading", name="Score images")).to_be_visible(timeout=_WAIT)
    expect(page.get_by_test_id("stMetric")).to_have_count(0)
    page.get_by_role("button", name="Coffee cup").click()
    _expect_scores(page)
    mild = float(_score(page).inner_text())

    slider = page.get_by_role("slider", name="Severity")
    slider.focus()
    page.keyboard.press("End")
    expect(_score(page)).not_to_have_text(f"{mild:.2f}", timeout=_WAIT)
    severe = _score(page).inner_text()
    assert float(severe) < mild
    expect(page).to_have_url(re.compile("severity=5(&|$)"))

    page.get_by_role("radio", name="Download").click()
    with page.expect_download() as download:
        page.get_by_role("button", name="CSV").click()
    table = tmp_path / "scores.csv"
    download.value.save_as(table)
    assert table.read_text(encoding="utf-8").startswith('"candidate","reference","status","reason","deconv"')
    with page.expect_download() as download:
        page.get_by_role("button", name="All pictures").click()
    assert download.value.suggested_filename == "pictures.zip"

    link = page.get_by_test_id("stCode").filter(has_text="sample=coffee").inner_text().replace("\n", "").strip()
    _expect_no_trouble(page)
    with running_dashboard(ROOT / "app.py", tmp_path_factory.mktemp("fresh")) as address:
        parts = urlsplit(link)
        again = open_page(f"{address}{parts.path}?{parts.query}")
        _expect_scores(again)
        expect(_score(again)).to_have_text(severe)
        expect(again.get_by_role("radio", name="Download")).to_be_checked()
        expect(again).to_have_title("Score images · Deconv Lab")
        _expect_no_trouble(again)


def test_uploads_large_wide_and_wrong(dashboard, open_page, large_jpeg, wide_png, tmp_path):
    from playwright.sync_api import expect

    page = open_page(f"{dashboard}/score_images")
    chooser = page.locator("input[type=file]")
    chooser.set_input_files(large_jpeg)
    _expect_scores(page)
    expect(page.get_by_text("Orientation flag 6 applied.")).to_be_visible()
    expect(page.get_by_text("Reduced from 3000 × 4000")).to_be_visible()  # upright: height before was 3000
    expect(page.locator("b", has_text="photo")).to_have_count(0)  # the name is text, not HTML
    _expect_no_trouble(page)

    page.get_by_role("button", name=re.compile("^Remove holiday")).click()
    chooser.set_input_files(wide_png)
    expect(page.get_by_text("16 bits per channel, kept in full")).to_be_visible(timeout=_WAIT)
    _expect_scores(page)

    wrong = tmp_path / "letter.png"
    wrong.write_bytes(b"Dear Sir or Madam")
    page.get_by_role("button", name=re.compile("^Remove wide")).click()
    chooser.set_input_files(wrong)
    expect(page.get_by_test_id("stAlert")).to_contain_text("letter.png is not a picture", timeout=_WAIT)
    expect(page.get_by_test_id("stMetric")).to_have_count(0)
    _expect_no_trouble(page)


@pytest.mark.parametrize("width", [360, 2560])
def test_page_fits_any_width(dashboard, open_page, width):
    page = open_page(f"{dashboard}/score_images?sample=camera&tab=how", viewport={"width": width, "height": 844})
    _expect_scores(page)
    _expect_no_trouble(page)
