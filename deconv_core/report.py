"""Findings as one HTML file that needs nothing else: it opens without a network, in light and dark, and prints.

Everything that arrives is data: text is escaped, figures travel as JSON, pictures as WebP inside the file. plotly.js
(about 5 MB) is put in once, and only where there is a figure.
"""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from deconv_core.errors import DeconvError
from deconv_core.files import write_whole

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

THUMBNAIL_SIDE = 240
_TEMPLATE = Path(__file__).with_name("report.html.j2")
_QUALITY = 80


@dataclass(frozen=True)
class Pictures:
    """Pictures side by side that belong together.

    Attributes:
        shots: (label, pixels): arrays (H, W, C) in [0, 1] or uint8, C is 1 or 3, larger ones are reduced; or the bytes
            of a small JPEG file, which go in as they are.
        caption: What they show.
        side: Longer side in the file, pixels.
    """

    shots: Sequence[tuple[str, np.ndarray | bytes]]
    caption: str = ""
    side: int = THUMBNAIL_SIDE


@dataclass(frozen=True)
class Section:
    """One part of a report, in this order: heading, text, figure, table, pictures.

    Attributes:
        title: Its heading.
        text: Paragraphs, separated by an empty line; plain text.
        figure: A plotly figure without background and font colour, as those of `figures`, or several for a grid.
        table: Numbers are written with four digits (whole ones as they are) and aligned right; a missing one as "-".
        pictures: Groups of pictures.
        folded: Shown only on request, and in print.
    """

    title: str
    text: str = ""
    figure: go.Figure | Sequence[go.Figure] | None = None
    table: pd.DataFrame | None = None
    pictures: Sequence[Pictures] = ()
    folded: bool = False


def write_report(
    path: Path | str,
    *,
    title: str,
    lead: str,
    sections: Sequence[Section],
    command: str,
    facts: Mapping[str, Any],
) -> Path:
    """Write a report.

    Args:
        path: The file, ending in .html; it appears complete or not at all.
        title: Heading of the whole.
        lead: What was found, in a sentence or two.
        sections: In order.
        command: The command line that makes it again, or "".
        facts: What was done with what: name -> value, such as counts, versions and the seed.

    Returns:
        The file.

    Raises:
        DeconvError: Another ending, or a file that cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() != ".html":
        raise DeconvError(f"{path.name} is no name for a report; choose one that ends in .html.")
    content = render(title=title, lead=lead, sections=sections, command=command, facts=facts)
    write_whole(path, content)
    return path


def render(*, title: str, lead: str, sections: Sequence[Section], command: str, facts: Mapping[str, Any]) -> str:
    """The HTML of `write_report`."""
    import jinja2

    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = environment.from_string(_TEMPLATE.read_text(encoding="utf-8"))
    prepared = [_prepared(section, number) for number, section in enumerate(sections, start=1)]
    has_figures = any(section["figures"] for section in prepared)
    if has_figures:
        from plotly.offline import get_plotlyjs
    return template.render(
        title=title,
        paragraphs=_paragraphs(lead),
        facts=[(str(name), _cell(value)) for name, value in facts.items()],
        command=command,
        sections=prepared,
        plotly_js=get_plotlyjs() if has_figures else "",
    )


def _prepared(section: Section, number: int) -> dict[str, Any]:
    figures = () if section.figure is None else section.figure
    return {
        "id": f"section-{number}",
        "title": section.title,
        "paragraphs": _paragraphs(section.text),
        "figures": [_figure(figure) for figure in (figures if isinstance(figures, list | tuple) else [figures])],
        "table": None if section.table is None else _table(section.table),
        "pictures": [
            {"caption": group.caption, "shots": [_shot(label, pixels, group.side) for label, pixels in group.shots]}
            for group in section.pictures
        ],
        "folded": section.folded,
    }


def _figure(figure: go.Figure) -> dict[str, Any]:
    # Inside a script element nothing but "<" could end it; in JSON it stands in texts only.
    content = figure.to_json().replace("<", "\\u003c")
    return {"json": content, "height": int(figure.layout.height or 400), "title": figure.layout.title.text or ""}


def _paragraphs(text: str) -> list[str]:
    return [part.strip() for part in re.split(r"\n\s*\n", text) if part.strip()]


def _table(frame: pd.DataFrame) -> dict[str, Any]:
    import pandas as pd

    numeric = [pd.api.types.is_numeric_dtype(kind) and not pd.api.types.is_bool_dtype(kind) for kind in frame.dtypes]
    columns = [[_cell(cell) for cell in frame.iloc[:, place]] for place in range(frame.shape[1])]
    return {
        "head": list(zip(map(str, frame.columns), numeric, strict=True)),
        "rows": [list(zip(row, numeric, strict=True)) for row in zip(*columns, strict=True)],
    }


def _cell(value: Any) -> str:
    """A value in words: four digits, thousands apart, "-" where there is none."""
    import pandas as pd

    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_cell(item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(_cell, value))
    if value is None or value is pd.NA or value is pd.NaT:
        return "-"
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, int | np.integer):
        return f"{value:,}"
    if isinstance(value, float | np.floating):
        if math.isnan(value):
            return "-"
        if math.isinf(value):
            return "∞" if value > 0 else "-∞"
        return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.4g}"
    return str(value)


def _shot(label: str, pixels: np.ndarray | bytes, side: int) -> dict[str, Any]:
    if isinstance(pixels, bytes):
        return _jpeg_shot(label, pixels)
    import cv2

    from deconv_core.images import encode_webp

    pixels = np.asarray(pixels)
    if pixels.dtype == np.uint8:
        pixels = np.divide(pixels, np.float32(255), dtype=np.float32)
    height, width = pixels.shape[:2]
    scale = min(1.0, side / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    if scale < 1:
        channels = pixels.shape[2] if pixels.ndim == 3 else 1
        pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA).reshape(size[1], size[0], channels)
    data = base64.b64encode(encode_webp(pixels, _QUALITY)).decode()
    return {"label": label, "uri": f"data:image/webp;base64,{data}", "width": size[0], "height": size[1]}


def _jpeg_shot(label: str, data: bytes) -> dict[str, Any]:
    from deconv_core.images import open_header

    header = open_header(data, name=label)
    uri = f"data:image/jpeg;base64,{base64.b64encode(data).decode()}"
    return {"label": label, "uri": uri, "width": header.width, "height": header.height}
