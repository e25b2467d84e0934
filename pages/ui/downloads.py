"""What a visitor can take away: the table, the pictures, the link, the commands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode, urlsplit, urlunsplit

import streamlit as st

from deconv_core import inspection, tables
from pages.ui import cached
from pages.ui.cached import Pair


def show_downloads(
    name: str,
    pair: Pair,
    scores: Mapping[str, float],
    recipes: Mapping[str, Any],
    *,
    names: tuple[str, str],
    note: str,
    query: Mapping[str, str] | None,
    commands: Sequence[str],
) -> None:
    """Buttons for the files, the link for samples, and the command lines.

    Args:
        name: Prefix of the widgets' keys.
        pair: The pictures.
        scores: Key -> score.
        recipes: Key -> recipe.
        names: Of the image to judge and of the reference, for the table.
        note: What was done to the pictures before they were scored.
        query: The view as a query; None when it holds uploads, which no link can carry.
        commands: What repeats this view in a shell.
    """
    table = inspection.score_table(*names, scores, note)
    st.markdown("**Scores with their recipes**")
    with st.container(horizontal=True):
        for label, data, ending, mime in (
            ("CSV", tables.csv_bytes(table, recipes), "csv", "text/csv"),
            ("Parquet", tables.parquet_bytes(table, recipes), "parquet", "application/vnd.apache.parquet"),
            ("JSON", tables.json_bytes(table, recipes), "json", "application/json"),
        ):
            st.download_button(
                label,
                data,
                f"scores.{ending}",
                mime,
                key=f"{name}_save_{ending}",
                on_click="ignore",
                icon=":material/download:",
            )
    st.caption("Parquet and JSON hold the recipes; CSV has no place for them.")
    st.markdown("**Pictures**")
    pictures = {"reference.png": pair.reference, "judged.png": pair.candidate}
    rebuilt = cached.rebuilt(pair)
    if rebuilt is not None:
        pictures |= {"reference_recovered.png": rebuilt[0], "judged_recovered.png": rebuilt[1]}
    st.download_button(
        "All pictures (zip)",
        lambda: inspection.pictures_zip(pictures),
        "pictures.zip",
        "application/zip",
        key=f"{name}_save_zip",
        on_click="ignore",
        icon=":material/download:",
    )
    st.caption("Reference, image to judge and what the model makes of both: PNG, 8 bits per channel.")
    st.markdown("**This view as a link**")
    if query is None:
        st.caption("A link can hold only sample pictures; uploads stay on this machine.")
    else:
        here = urlsplit(st.context.url or "")
        st.code(urlunsplit((here.scheme, here.netloc, here.path, urlencode(query), "")), language=None, wrap_lines=True)
    st.markdown("**The same in a shell**")
    st.code("\n".join(commands), language="bash", wrap_lines=True)
    st.caption("reference.png is in the zip file above; an upload goes by its own name.")
