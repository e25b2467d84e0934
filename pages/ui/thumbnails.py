"""A grid of small pictures that can be pressed, walked through with the arrow keys, and marked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import streamlit as st
from streamlit import runtime

_HERE = Path(__file__).parent
_TYPES = {b"\x89PNG": "image/png", b"\xff\xd8\xff": "image/jpeg", b"RIFF": "image/webp"}


@dataclass(frozen=True)
class Tile:
    """One small picture. All text is plain text, never read as Markdown or HTML.

    Args:
        key: Told when it is pressed; different for every tile of a grid.
        picture: A PNG, JPEG or WebP file, or None where there is none.
        label: First line below it.
        note: Second line below it.
        mark: Short word on the picture.
        hint: Shown while the pointer rests on it.
        missing: Stands in the place of a picture that is not there.
    """

    key: str
    picture: bytes | None
    label: str = ""
    note: str = ""
    mark: str = ""
    hint: str = ""
    missing: str = "no picture"


_component = st.components.v2.component(
    "deconv_lab_thumbnails",
    html=(_HERE / "thumbnails.html").read_text(encoding="utf-8"),
    css=(_HERE / "thumbnails.css").read_text(encoding="utf-8"),
    js=(_HERE / "thumbnails.js").read_text(encoding="utf-8"),
)


def thumbnails(
    tiles: Sequence[Tile],
    *,
    key: str,
    on_press: Callable[[str], None],
    label: str = "Pictures",
    chosen: str | None = None,
    side: int = 128,
    columns: int | None = None,
) -> None:
    """Show tiles in rows that fill the width.

    Args:
        tiles: What to show.
        key: Name of this grid.
        on_press: Gets the key of a pressed tile before the page runs again.
        label: What the pictures are, for those who do not see them.
        chosen: Key of the tile that is marked as chosen.
        side: Least width of a tile in CSS pixels; as many as fit stand in a row.
        columns: So many in a row instead, as wide as they become.
    """

    def pressed() -> None:
        asked = st.session_state[key].get("pressed")
        # The browser may name anything; only what was drawn counts.
        if isinstance(asked, str) and any(tile.key == asked for tile in tiles):
            on_press(asked)

    _component(
        key=key,
        data={
            "tiles": [
                {
                    "key": tile.key,
                    "url": published(tile.picture, f"{key}/{place}") if tile.picture else "",
                    "label": tile.label,
                    "note": tile.note,
                    "mark": tile.mark,
                    "hint": tile.hint,
                    "missing": tile.missing,
                }
                for place, tile in enumerate(tiles)
            ],
            "chosen": chosen,
            "label": label,
            "side": side,
            "columns": columns or 0,
        },
        on_pressed_change=pressed,
    )


def published(picture: bytes, place: str) -> str:
    """The address under which this server hands out the picture; it follows from the content."""
    if not runtime.exists():  # a page run as a plain script
        return ""
    kind = next((kind for start, kind in _TYPES.items() if picture.startswith(start)), None)
    if kind is None:
        raise ValueError(
            f"A thumbnail begins with {picture[:4]!r}; expected a PNG, JPEG or WebP file. Encode it first."
        )
    return runtime.get_instance().media_file_mgr.add(picture, kind, f"thumbnails/{place}")
