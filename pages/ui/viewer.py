"""The one picture viewer: slider, side by side, flicker and difference, with zoom and place that stay.

How pictures are looked at (way of comparing, which is A and which B, zoom, place) is kept in the browser under the
viewer's key: a rerun with other pictures changes the pictures and nothing else. The server only sends them; it learns
nothing back.
"""

import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import streamlit as st
from streamlit import runtime

_HERE = Path(__file__).parent
_COLOUR = re.compile(r"#[0-9a-fA-F]{6}")
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True)
class Legend:
    """What the colours of an error map stand for.

    Args:
        low: Value of the first colour.
        high: Value of the last colour; larger values are drawn as this one.
        unit: Shown after the numbers, such as "dB"; may be empty.
        colours: At least two colours "#rrggbb", evenly spaced from low to high.
    """

    low: float
    high: float
    unit: str
    colours: Sequence[str]

    def __post_init__(self) -> None:
        if len(self.colours) < 2 or not all(_COLOUR.fullmatch(colour) for colour in self.colours):
            raise ValueError(
                f"A legend got the colours {list(self.colours)}, but needs at least two written as #rrggbb."
                " Give them in this form."
            )


@dataclass(frozen=True)
class Shot:
    """One picture for the viewer.

    Args:
        key: Tells the picture apart from the others; a choice of pictures is remembered by it.
        label: Short name, shown on the picture. Plain text, never read as Markdown or HTML.
        png: The picture as a PNG file.
        caption: One sentence below the viewer while the picture is shown. Plain text.
        legend: For a coloured map, what its colours mean.
    """

    key: str
    label: str
    png: bytes
    caption: str = ""
    legend: Legend | None = None


_component = st.components.v2.component(
    "deconv_lab_viewer",
    html=(_HERE / "viewer.html").read_text(encoding="utf-8"),
    css=(_HERE / "viewer.css").read_text(encoding="utf-8"),
    js=(_HERE / "viewer.js").read_text(encoding="utf-8"),
)


def viewer(pictures: Sequence[Shot], *, key: str, height: int = 480) -> None:
    """Show pictures for comparing, with the zoom and the place the visitor last had in the viewer of this key.

    Positions and the zoom are counted in pixels of the first picture; others are drawn at its size. With one picture
    there is nothing to compare, and only zoom and read-out are offered.

    Args:
        pictures: At least one; the first two are A and B until the visitor chooses others.
        key: Name of this viewer. Viewers with one key on several pages share zoom, place and choice.
        height: Height of the picture area in CSS pixels; narrow screens use less.

    Raises:
        ValueError: No picture, two with one key, or data that is no PNG file.
    """
    if not pictures:
        raise ValueError("The viewer got no pictures, but needs at least one. Leave it out while there are none.")
    keys = [picture.key for picture in pictures]
    if len(set(keys)) != len(keys):
        raise ValueError(f"The viewer got the picture keys {keys}, but needs different ones. Rename the repeated one.")
    _component(
        key=key,
        data={"key": key, "height": height, "pictures": [_described(picture, key) for picture in pictures]},
    )


def _described(picture: Shot, viewer_key: str) -> dict[str, object]:
    width, height = _png_size(picture)
    legend = picture.legend
    return {
        "key": picture.key,
        "label": picture.label,
        "caption": picture.caption,
        "url": _published(picture.png, f"{viewer_key}/{picture.key}"),
        "width": width,
        "height": height,
        "legend": legend
        and {"low": legend.low, "high": legend.high, "unit": legend.unit, "colours": list(legend.colours)},
    }


def _png_size(picture: Shot) -> tuple[int, int]:
    """Width and height from the header of a PNG file."""
    if picture.png[:8] != _PNG_SIGNATURE or len(picture.png) < 24:
        raise ValueError(f"The picture {picture.key!r} is no PNG file. Encode it with deconv_core.images.encode_png.")
    return struct.unpack(">II", picture.png[16:24])


def _published(png: bytes, place: str) -> str:
    """The address under which this server hands out the picture, as `st.image` does it.

    The address follows from the content, so a picture that did not change is not sent again.
    """
    if not runtime.exists():  # a page run as a plain script
        return ""
    return runtime.get_instance().media_file_mgr.add(png, "image/png", f"viewer/{place}")
