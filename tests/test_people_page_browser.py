"""Human scores in a real browser: an untidy table is brought, understood, compared, and its agreement read."""

import re

import numpy as np
import pandas as pd
import pytest
from scipy.stats import kendalltau, spearmanr

pytestmark = [pytest.mark.browser, pytest.mark.slow]

_WAIT = 120_000  # milliseconds; a process is started at low priority on a busy machine


def messy() -> pd.DataFrame:
    """One empty column, mixed case in names, rows without a score, kinds and contents in the file names."""
    rng = np.random.default_rng(0)
    quality = rng.uniform(size=60)
    frame = pd.DataFrame(
        {
            "Image_Name": [
                f"{'iI'[row % 2]}{row % 6 + 1:02d}_{row % 3 + 1:02d}_{row // 18 + 1}.bmp" for row in range(60)
            ],
            "MOS": (1 + 7 * quality + 0.5 * rng.normal(size=60)).round(5),
            " ": "",
            "PSNR": 20 + 20 * quality + rng.normal(size=60),
            "Ssim": quality + 0.4 * rng.normal(size=60),
        }
    )
    frame.loc[[3, 9], "MOS"] = np.nan
    return frame


def _expect_no_trouble(page):
    from playwright.sync_api import expect

    expect(page.get_by_test_id("stException")).to_have_count(0)
    assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"]


def test_a_messy_table_is_brought_and_its_agreement_read(dashboard, open_page, tmp_path):
    from playwright.sync_api import expect

    frame = messy()
    frame.to_csv(tmp_path / "Ratings.tsv", sep="\t", index=False)
    page = open_page(f"{dashboard}/compare_metrics?mode=people")
    page.set_default_timeout(_WAIT)
    expect(page.get_by_role("heading", name="Human scores")).to_be_visible(timeout=_WAIT)
    page.locator("input[type=file]").first.set_input_files(tmp_path / "Ratings.tsv")
    start = page.get_by_role("button", name="Compare with people")
    expect(start).to_be_visible(timeout=_WAIT)
    expect(page.get_by_text("1 empty column without a name left out")).to_be_visible()
    expect(page.get_by_text("2 of 60 rows have no score in 'MOS'")).to_be_visible()
    expect(page.get_by_text("Found: higher is better.")).to_be_visible()
    assert "job=" not in page.url  # nothing runs before it is asked for
    _expect_no_trouble(page)
    start.click()

    expect(page.get_by_role("heading", name="For pictures like these trust psnr")).to_be_visible(timeout=_WAIT)
    expect(page).to_have_url(re.compile(r"job=\d{8}-\d{6}-agree-ratings-tsv"))
    expect(page.get_by_text("Take it with you")).to_be_visible(timeout=_WAIT)
    with page.expect_download() as download:
        page.get_by_role("button", name="Agreement (CSV)").click()
    table = pd.read_csv(download.value.path(), dtype={"group": str})
    rated = frame[frame["MOS"].notna()]
    for metric, column in (("psnr", "PSNR"), ("ssim", "Ssim")):
        row = table[(table["metric"] == metric) & (table["group"] == "all")].iloc[0]
        assert row["srcc"] == pytest.approx(spearmanr(rated[column], rated["MOS"]).statistic, abs=1e-12)
        assert row["krcc"] == pytest.approx(kendalltau(rated[column], rated["MOS"]).statistic, abs=1e-12)
    assert table["group"].unique().tolist() == ["all", "01", "02", "03"]
    plot = page.locator(".js-plotly-plot").nth(1)
    plot.scroll_into_view_if_needed()
    point = plot.locator(".scatterlayer .point").nth(30)
    expect(point).to_be_visible(timeout=_WAIT)
    point.click(force=True)
    expect(page.get_by_text(re.compile(r"human score [\d.]+; PSNR [\d.]+, SSIM"))).to_be_visible(timeout=_WAIT)
    _expect_no_trouble(page)

    other = open_page(page.url, viewport={"width": 390, "height": 844})  # the address is a link to the run
    expect(other.get_by_role("heading", name="For pictures like these trust psnr")).to_be_visible(timeout=_WAIT)
    _expect_no_trouble(other)


def test_a_table_without_numbers_is_told_in_one_sentence(dashboard, open_page, tmp_path):
    from playwright.sync_api import expect

    (tmp_path / "words.csv").write_text("image,opinion\na.png,good\nb.png,bad\n")
    page = open_page(f"{dashboard}/compare_metrics?mode=people")
    page.set_default_timeout(_WAIT)
    expect(page.get_by_role("heading", name="Human scores")).to_be_visible(timeout=_WAIT)
    page.locator("input[type=file]").first.set_input_files(tmp_path / "words.csv")
    expect(page.get_by_test_id("stAlert")).to_contain_text("holds no column of numbers", timeout=_WAIT)
    expect(page.get_by_role("button", name="Compare with people")).to_have_count(0)
    page.get_by_role("button", name="Remove").click()
    expect(page.get_by_test_id("stAlert")).to_have_count(0, timeout=_WAIT)
    _expect_no_trouble(page)
