"""Reports: one file, everything in it, nothing run that came from outside."""

import re

import numpy as np
import pandas as pd
import pytest

from deconv_core.errors import DeconvError
from deconv_core.figures import score_scatter
from deconv_core.report import Pictures, Section, render, write_report

EVIL = '<script>alert("x")</script><img src=x onerror=alert(1)>'


def figure(name="blur"):
    frame = pd.DataFrame({"psnr": [20.0, 30.0], "ssim": [0.5, 0.9], "distortion": [name, name]})
    return score_scatter(frame, "psnr", "ssim")


def html(*sections, **more):
    given = {
        "title": "Findings",
        "lead": "All is well.",
        "command": "python -m deconv_core compare",
        "facts": {"Seed": 7},
    }
    return render(sections=sections, **{**given, **more})


def test_a_report_holds_what_it_was_given():
    table = pd.DataFrame({"metric": ["PSNR", "SSIM"], "count": [12345, 7], "score": [31.41592, np.nan]})
    picture = np.zeros((300, 600, 3), np.float32)
    text = html(
        Section("Tables", "First.\n\nSecond.", table=table),
        Section("Pictures", pictures=[Pictures([("reference", picture), ("A", picture[..., :1])], "Two pictures.")]),
        Section("Recipes", "Long.", folded=True),
    )
    for piece in (
        "<title>Findings</title>",
        "All is well.",
        "<dt>Seed</dt><dd>7</dd>",
        "<p>First.</p>",
        "<p>Second.</p>",
    ):
        assert piece in text
    assert '<td class="number">12,345</td>' in text
    assert '<td class="number">31.42</td>' in text
    assert '<td class="number">-</td>' in text
    assert text.count("data:image/webp;base64,") == 2
    assert 'width="240" height="120"' in text
    assert "<details>" in text
    assert "python -m deconv_core compare" in text


def test_without_figures_a_report_is_small_and_with_them_the_library_is_in_it_once():
    small = html(Section("Words", "Only."))
    assert len(small) < 20_000
    large = html(Section("One", figure=figure()), Section("Two", figure=[figure(), figure()]))
    assert large.count("plotly.js v") <= 3  # the banner and its own mentions
    assert 4e6 < len(large) < 7e6
    assert large.count('<script type="application/json">') == 3


def test_text_from_outside_stays_text():
    table = pd.DataFrame({EVIL: [EVIL]})
    picture = np.zeros((8, 8, 3), np.uint8)
    text = html(
        Section(EVIL, EVIL, figure=figure(EVIL), table=table, pictures=[Pictures([(EVIL, picture)], EVIL)]),
        title=EVIL, lead=EVIL, command=EVIL, facts={EVIL: EVIL},
    )  # fmt: skip
    assert "<script>alert" not in text
    assert "<img src=x" not in text
    assert text.count("&lt;script&gt;alert(") >= 10
    assert re.search(r"\\u003cscript(>|\\u003e)alert\(", text)  # inside the figure's JSON


def test_pictures_take_ten_kilobytes_each_at_most():
    rng = np.random.default_rng(0)
    coarse = rng.random((60, 12, 12, 3)).astype(np.float32)
    groups = [Pictures([("", tile.repeat(16, 0).repeat(16, 1))], "name", side=160) for tile in coarse]
    assert len(html(Section("All", pictures=groups))) < 60 * 10_000


@pytest.mark.parametrize("value", ["scores.pdf", "scores"])
def test_another_ending_is_refused(value, tmp_path):
    with pytest.raises(DeconvError, match=r"ends in \.html"):
        write_report(tmp_path / value, title="", lead="", sections=[], command="", facts={})


def test_a_folder_that_is_not_there_is_told(tmp_path):
    with pytest.raises(DeconvError, match="could not be written"):
        write_report(tmp_path / "no" / "report.html", title="", lead="", sections=[], command="", facts={})


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_report_opens_without_a_network_draws_its_figures_and_fits_a_phone(open_page, tmp_path, scheme):
    picture = np.full((64, 64, 3), 0.5, np.float32)
    path = write_report(
        tmp_path / "report.html",
        title="Findings",
        lead=EVIL,
        sections=[
            Section("Plot", figure=[figure(EVIL), figure()]),
            Section("Pictures", pictures=[Pictures([("A", picture), ("B", picture)], "Two.")]),
            Section("Table", table=pd.DataFrame({f"column {number}": [1.5] for number in range(12)})),
        ],
        command="python -m deconv_core compare",
        facts={"Seed": 7},
    )
    page = open_page(path.as_uri(), color_scheme=scheme, viewport={"width": 390, "height": 800}, offline=True)
    page.wait_for_function("document.querySelectorAll('.plot .main-svg').length >= 2")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.evaluate("[...document.images].every(image => image.naturalWidth > 0)")
    ink = page.evaluate("getComputedStyle(document.querySelector('.plot .xtitle')).fill")
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    ink, paper = (sum(map(int, re.findall(r"\d+", colour)[:3])) for colour in (ink, paper))
    assert (ink > paper) == (scheme == "dark")
    assert abs(ink - paper) > 400
