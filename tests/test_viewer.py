"""What the picture viewer sends to the browser, and what it refuses."""

import io
import json

import numpy as np
import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

from pages.ui.viewer import Legend, Shot, viewer


def _png(height=4, width=6, value=0):
    file = io.BytesIO()
    Image.fromarray(np.full((height, width, 3), value, np.uint8)).save(file, "PNG")
    return file.getvalue()


def _page(shots):
    from pages.ui.viewer import viewer

    viewer(shots, key="pictures", height=300)


def _sent(app):
    assert not app.exception
    return json.loads(app.get("bidi_component")[0].proto.json)


def _run(shots):
    return AppTest.from_function(_page, kwargs={"shots": shots}, default_timeout=60).run()


def test_viewer_sends_names_sizes_and_legends():
    legend = Legend(0, 0.5, "of 1", ("#000000", "#ff0000"))
    sent = _sent(
        _run([Shot("a", "First", _png(4, 6), caption="Say <b>this</b>."), Shot("m", "Map", _png(8, 8), "", legend)])
    )
    assert (sent["key"], sent["height"]) == ("pictures", 300)
    first, second = sent["pictures"]
    assert (first["width"], first["height"]) == (6, 4)
    assert first["caption"] == "Say <b>this</b>."
    assert first["legend"] is None
    assert second["legend"] == {"low": 0, "high": 0.5, "unit": "of 1", "colours": ["#000000", "#ff0000"]}


def test_viewer_sends_addresses_and_not_the_pictures():
    first, second = _sent(_run([Shot("a", "First", _png(value=1)), Shot("b", "Second", _png(value=2))]))["pictures"]
    assert first["url"].endswith(".png")
    assert len(first["url"]) < 200
    assert first["url"] != second["url"]


def test_viewer_keeps_the_address_of_a_picture_that_did_not_change():
    before = _sent(_run([Shot("a", "First", _png(value=1))]))["pictures"][0]
    after = _sent(_run([Shot("a", "First", _png(value=1)), Shot("b", "Second", _png(value=2))]))["pictures"][0]
    assert before["url"] == after["url"]


def test_viewer_refuses_an_empty_list():
    with pytest.raises(ValueError, match="at least one"):
        viewer([], key="none")


def test_viewer_refuses_two_pictures_of_one_key():
    with pytest.raises(ValueError, match="Rename the repeated one"):
        viewer([Shot("a", "First", _png()), Shot("a", "Second", _png())], key="twice")


@pytest.mark.parametrize("data", [b"", b"\xff\xd8\xff\xe0 a JPEG", _png()[:20]])
def test_viewer_refuses_what_is_no_png(data):
    with pytest.raises(ValueError, match="'a' is no PNG file"):
        viewer([Shot("a", "First", data)], key="wrong")


@pytest.mark.parametrize("colours", [(), ("#000000",), ("#000000", "red"), ("#000000", "#fff; background: url(x)")])
def test_legend_refuses_colours_in_another_form(colours):
    with pytest.raises(ValueError, match="written as #rrggbb"):
        Legend(0, 1, "", colours)
