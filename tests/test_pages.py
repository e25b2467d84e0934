"""Every page of the dashboard, run by Streamlit's own test tool, and the frame they share."""

import io
import json
import tomllib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

from deconv_core.inspection import map_keys
from pages.ui import example, inputs
from pages.ui.frame import PAGES, PRODUCT
from pages.ui.inputs import plain
from pages.ui.link import query_of, view_from
from pages.ui.scores import PRIMARY

ROOT = Path(__file__).resolve().parent.parent
SCORE = "pages/score_images.py"
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


def png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def noise(height: int, width: int, seed: int) -> bytes:
    return png(np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8))


def score_page(**query: str) -> AppTest:
    """The page for scoring as a link opens it."""
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=120)
    app.run()
    app.switch_page(SCORE)
    for name, value in query.items():
        app.query_params[name] = value
    return app.run()


def upload(*files: tuple[str, bytes]) -> AppTest:
    app = score_page()
    return app.file_uploader[0].set_value([(name, data, "image/png") for name, data in files]).run()


def numbers(app: AppTest) -> dict[str, str]:
    """Label -> value of the headline scores."""
    assert not app.exception
    return {metric.label: metric.value for metric in app.metric[:6]}


def test_scoring_begins_by_saying_what_to_do():
    app = start(SCORE)
    assert any(text.value.startswith("Choose a picture") for text in app.markdown)
    assert not app.metric


def test_one_click_on_a_sample_shows_every_score():
    app = start(SCORE)
    app.button(key="score_images_example_coffee").click().run()
    assert app.title[0].value == "Score images"
    assert len(app.metric) == len(PRIMARY)
    assert "no number" not in [metric.value for metric in app.metric]
    app = score_page(sample="coffee", tab="metrics")
    assert {"Metric", "Score", "What is good"} <= set(app.table[0].value.columns)
    assert {"Metric", "Range and direction", "Key", "Recipe"} <= set(app.dataframe[0].value.columns)
    assert any("Not a measure of quality" in caption.value for caption in app.caption)


def test_more_damage_scores_lower():
    app = score_page(sample="astronaut", kind="gaussian_blur", severity="1")
    mild = numbers(app)
    app.slider(key="score_images_severity").set_value(4.0).run()
    severe = numbers(app)
    assert float(severe["Deconvolution score"]) < float(mild["Deconvolution score"])
    assert float(severe["SSIM"]) < float(mild["SSIM"])


def test_link_restores_the_view_and_follows_it():
    view = {"sample": "camera", "kind": "white_noise", "severity": "2.5", "second": "jpeg", "second_severity": "1"}
    app = score_page(**view, seed="7", tab="download")
    assert app.selectbox(key="score_images_kind").value == "white_noise"
    assert app.slider(key="score_images_severity").value == 2.5
    assert app.selectbox(key="score_images_second").value == "jpeg"
    assert app.number_input(key="score_images_seed").value == 7
    assert {name: app.query_params[name] for name in view} == view
    commands = app.code[-1].value
    assert "degrade reference.png --type white_noise --severity 2.5 --type jpeg --severity 1 --seed 7" in commands
    assert "score judged.png --reference reference.png" in commands


def test_hostile_link_is_ignored_and_said_so():
    app = score_page(sample="../../etc/passwd", severity="nan", seed="-1", model="<b>x</b>", tab="plots")
    assert not app.exception
    assert not app.metric
    assert any("severity" in caption.value and "ignored" in caption.value for caption in app.caption)


def test_link_goes_there_and_back():
    view = {"sample": "coffee", "kind": "jpeg", "severity": 2.5, "seed": 3, "maps": ["psnr", "ssim"], "tab": "plots"}
    back, refused = view_from(query_of(view), ["photo_large"], ["plots"], map_keys())
    assert back == view
    assert refused == []
    view = {"sample": "coffee", "maps": [], "tab": "plots", "plot": "scatter", "stride": 3}
    choices = {"plot": ["severity", "scatter"], "stride": range(1, 5)}
    assert view_from(query_of(view), [], ["plots"], map_keys(), choices) == (view, [])
    assert view_from({"plot": "pie", "stride": "9"}, [], [], [], choices) == ({}, ["plot", "stride"])


def test_a_link_opens_what_was_chosen_inside_a_tab():
    app = score_page(sample="digit_1", model="article", tab="how", kernel="Own numbers", stride="3", maps="none")
    assert app.selectbox(key="score_images_kernel").value == "Own numbers"
    assert app.slider(key="score_images_stride").value == 3
    assert app.multiselect(key="score_images_maps").value == []
    assert {"kernel", "stride", "maps"} <= set(app.query_params)


@pytest.mark.parametrize("severity", ["nan", "inf", "-1", "5.1", "", "1e400", "9" * 5000])
def test_link_refuses_impossible_severities(severity):
    assert view_from({"severity": severity}, [], [], []) == ({}, ["severity"])


@pytest.mark.parametrize("seed", ["-1", "1.5", "²", "10000000", "0x10"])
def test_link_refuses_impossible_seeds(seed):
    assert view_from({"seed": seed}, [], [], []) == ({}, ["seed"])


@pytest.mark.slow
def test_plots_have_words_on_every_axis():
    app = score_page(sample="camera", kind="jpeg", severity="3", tab="plots")
    curves = json.loads(app.get("plotly_chart")[0].proto.spec)
    assert "severity" in curves["layout"]["xaxis"]["title"]["text"]
    assert "higher is better" in curves["layout"]["yaxis"]["title"]["text"]
    app.session_state["score_images_plot"] = "spectrum"
    assert len(app.run().get("plotly_chart")) == 3
    app.session_state["score_images_plot"] = "scatter"
    app.run()
    assert not app.exception
    scatter = json.loads(app.get("plotly_chart")[0].proto.spec)
    assert len(scatter["data"]) >= 14  # one group of points for each kind of damage
    assert "PSNR (dB), higher is better" in scatter["layout"]["xaxis"]["title"]["text"]


def test_how_it_works_shows_the_adjoint_and_not_an_inverse():
    app = score_page(sample="camera", kind="jpeg", severity="3", tab="how")
    assert not app.exception
    assert not app.error
    text = " ".join(markdown.value for markdown in app.markdown)
    assert "adjoint identity" in text
    assert "all placements that reach it" in text


def test_model_card_is_one_click_away():
    app = score_page(sample="camera")
    app.button(key="score_images_card").click().run()
    assert not app.exception
    assert "Parameters" in [metric.label for metric in app.metric]
    assert "Licence" in app.table[0].value.index


def test_digits_come_with_what_cannot_be_scored():
    app = start(SCORE)
    app.button(key="score_images_example_digit_1").click().run()
    assert numbers(app)["MS-SSIM"] == "no number"
    assert any("28 × 28 pixels" in caption.value for caption in app.caption)


def test_wrong_file_is_one_sentence():
    app = upload(("notes *bold* <b>.png", b"this is text"))
    assert not app.exception
    assert len(app.error) == 1
    assert app.error[0].value.startswith(plain("notes *bold* <b>.png is not a picture in a known format"))
    assert not app.metric


def test_sizes_that_differ_are_refused_with_a_way_on():
    app = upload(("a.png", noise(200, 300, 1)), ("b.png", noise(180, 300, 2)))
    assert "200" in app.error[0].value
    assert not app.metric
    app.session_state["score_images_mismatch"] = "crop"
    app.run()
    assert not app.error
    assert len(app.metric) == len(PRIMARY)
    assert any("300x180" in caption.value for caption in app.caption)


def test_identical_files_are_said_to_be_identical():
    data = noise(200, 200, 3)
    app = upload(("a.png", data), ("b.png", data))
    assert numbers(app)["PSNR"] == "identical"
    assert numbers(app)["Deconvolution score"] == "100.00"
    assert any("Both files hold the same bytes" in caption.value for caption in app.caption)
    app.selectbox(key="score_images_other").set_value(app.selectbox(key="score_images_reference").value).run()
    assert any("This is the reference itself" in caption.value for caption in app.caption)
    assert any("identical to the reference" in text.value for text in app.markdown)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (5, 5), (13, 31), (161, 37)])
def test_tiny_and_odd_pictures_get_what_can_be_computed(height, width):
    app = upload(("a.png", noise(height, width, 4)), ("b.png", noise(height, width, 5)))
    assert not app.exception
    assert not app.error
    assert numbers(app)["PSNR"].endswith("dB")
    assert numbers(app)["MS-SSIM"] == "no number"


def test_too_many_pixels_are_refused_before_they_are_decoded():
    app = upload(("large.png", png(np.zeros((8000, 8000), np.uint8))))
    assert len(app.error) == 1
    assert "megapixels" in app.error[0].value


def test_files_beyond_the_cap_are_left_out_with_a_sentence(monkeypatch):
    monkeypatch.setattr(inputs, "MAX_FILES", 1)
    app = upload(("a.png", noise(64, 64, 6)), ("b.png", noise(64, 64, 7)))
    assert any(caption.value.startswith("1 of 2 files are left out") for caption in app.caption)


@pytest.mark.parametrize(
    "text", ["**bold**", ":red[x]", "<b>x</b>", "$x^2$", "![x](http://x/y.png)", "a\n# b", ":smile:"]
)
def test_text_from_outside_loses_its_markdown(text):
    """No sign that Markdown reads is left without a backslash, and no line begins another block."""
    shown = plain(text)
    assert "\n" not in shown
    bare = shown.replace("\\\\", "")
    for sign in "*[]<>$!#_`":
        assert all(bare[place - 1] == "\\" for place, letter in enumerate(bare) if letter == sign), shown
    assert ":smile" not in shown
    assert ":red" not in shown


def test_example_of_the_overview_says_how_it_was_made():
    card = example.read_example()
    assert card["made_by"] == "python -m pages.ui.example"
    assert set(card["scores"]) == set(card["recipes"])
    assert sum(file.stat().st_size for file in example.FOLDER.iterdir()) < 200_000
    app = start()
    assert app.metric[0].label == "Deconvolution score"


@pytest.mark.slow
def test_example_of_the_overview_is_what_the_models_say_today():
    from deconv_core.distortions import distort_all
    from deconv_core.inspection import example_picture, score_pair
    from deconv_core.models.saving import load_model

    card = example.read_example()
    reference = example_picture(example.SAMPLE).pixels
    judged = distort_all(reference, example.STEPS, seed=example.SEED)
    models = {"model": load_model("photo_large"), "deconv_model": load_model("grey_denoise")}
    for key, value in score_pair(reference, judged, example.KEYS, **models).items():
        # Float32 networks differ in the last digits between processors; WebP is decoded alike everywhere.
        assert value == pytest.approx(card["scores"][key], rel=1e-3), key


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
