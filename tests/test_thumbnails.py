"""What the grid of thumbnails sends to the browser, and what it takes from there."""

import json

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from deconv_core.images import encode_png, encode_webp
from pages.ui import thumbnails


def _page(pictures):
    from pages.ui.thumbnails import Tile, thumbnails

    tiles = [
        Tile(f"{place}<b>", picture, "1.5 px", "Blurry", "Dropped", "a<b>.png")
        for place, picture in enumerate(pictures)
    ]
    thumbnails(tiles, key="grid", on_press=lambda name: None, chosen="1<b>", side=90)


def sent(pictures):
    app = AppTest.from_function(_page, kwargs={"pictures": pictures}, default_timeout=60).run()
    assert not app.exception
    return json.loads(app.get("bidi_component")[0].proto.json)


def grey(value):
    return np.full((4, 6, 3), value, np.float32)


def test_tiles_carry_addresses_and_not_the_pictures():
    found = sent([encode_webp(grey(0.2)), encode_png(grey(0.4)), None])
    first, second, none = found["tiles"]
    assert first["url"].endswith(".webp")
    assert second["url"].endswith(".png")
    assert (none["url"], none["missing"]) == ("", "no picture")
    assert (first["key"], first["hint"], first["mark"]) == ("0<b>", "a<b>.png", "Dropped")
    assert (found["chosen"], found["side"]) == ("1<b>", 90)


def test_a_file_of_another_kind_is_refused(monkeypatch):
    monkeypatch.setattr(thumbnails.runtime, "exists", lambda: True)
    with pytest.raises(ValueError, match="expected a PNG, JPEG or WebP"):
        thumbnails.published(b"<svg onload=alert(1)>", "grid/0")
