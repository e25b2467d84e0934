"""Explore models: the inside of a model, the map of pictures, transposed convolution by hand."""

from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def page(tmp_path, monkeypatch):
    monkeypatch.setenv("DECONV_HOME", str(tmp_path))
    return AppTest.from_file(str(ROOT / "app.py"), default_timeout=180).run().switch_page("pages/explore_models.py")


def opened(page, tab, **state):
    page.session_state["explore_models_tab"] = tab
    for key, value in state.items():
        page.session_state[f"explore_models_{key}"] = value
    page.run()
    assert not page.exception
    assert page.title[0].value == "Explore models"
    return page


def words(page):
    return " ".join(element.value for element in [*page.markdown, *page.caption])


def test_every_layer_is_read_and_the_decoder_comes_last(page):
    said = words(opened(page, "inside", inside_model="photo_small"))
    assert said.index("**fold**") < said.index("encode") < said.index("Code, own decoder")


def test_an_activation_goes_back_to_the_pixels(page):
    said = words(opened(page, "inside", inside_model="photo_small", inside_view="projection"))
    assert "Click a place of the map" in said
    assert "Grey: pixels that do not matter to it" in said


def test_kernels_that_face_the_picture_say_so(page):
    said = words(opened(page, "inside", inside_model="photo_small", inside_view="kernels"))
    assert "32 of 32 kernels of 12 × 12" in said


def test_the_map_lays_out_the_bundled_photographs(page):
    opened(page, "latent", latent_model="photo_small")
    page.button(key="explore_models_latent_go").click().run()
    assert not page.exception
    assert "of what varies is in this plane" in words(page)


def test_the_map_of_a_folder_that_may_have_changed_is_not_kept_for_good():
    from pages.ui import cached

    assert cached.latent_map._info.ttl == 600  # seconds


def test_by_hand_shows_the_identity_and_that_the_transpose_is_no_inverse(page):
    said = words(opened(page, "hand"))
    assert "The adjoint identity" in said
    assert "K keeps 9 of 36 directions" in said
    page.slider(key="explore_models_hand_stride").set_value(1).run()
    assert "K keeps 36 of 36 directions" in words(page)


def test_a_kernel_larger_than_the_picture_is_told(page):
    opened(page, "hand", hand_side=4, hand_padding=0)
    page.selectbox(key="explore_models_hand_kernel").set_value("Gaussian 5 × 5").run()
    assert not page.exception
    assert "smaller than" in page.error[0].value or "larger" in page.error[0].value
