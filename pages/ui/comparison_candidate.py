"""One candidate of a comparison: every score with its percentiles, and the pictures with their error maps."""

from __future__ import annotations

import math
from typing import Any

import streamlit as st

from deconv_core.inspection import Patch, map_scale
from pages.ui import cached
from pages.ui.cached import Pair
from pages.ui.comparison_data import Result, label, value_words
from pages.ui.inputs import plain
from pages.ui.pictures import FIRST_MAPS, show_pictures
from pages.ui.thumbnails import Tile, thumbnails
from pages.ui.viewer import Shot

_PATCH_SIDE = 48  # pixels


def show_candidate(name: str, result: Result, row: int) -> None:
    """Pictures, maps and scores of a row."""
    line = result.found.frame.iloc[row]
    with st.container(horizontal=True, vertical_alignment="center"):
        st.subheader(plain(result.candidate_words(row)), anchor=False, width="stretch")
        st.button("Close", key=f"{name}_close", icon=":material/close:", on_click=_close, args=(name,), type="tertiary")
    pair = pair_of(result, row)
    sentences = cached.explanation(pair)
    notes = [*sentences, str(line["reason"])]
    if any(notes):
        st.markdown(plain(" ".join(filter(None, notes))))
    left, right = st.columns([3, 2], gap="large")
    with left:
        key = _map_in_view(name)
        marked, patches = cached.worst_patches(pair, key, _PATCH_SIDE) if key else (b"", [])
        more = [Shot("patches", "Worst patches", marked, "Frames around the patches named below.")] if patches else []
        show_pictures(name, pair, more)
    with right:
        _show_scores(result, row)
    if patches:
        _show_patches(name, key, patches)
    if pair.card is None and any(key.startswith("recon_") for key in result.keys):
        st.caption("The model of this run is no longer here, so what it made of the pictures cannot be shown.")


def _map_in_view(name: str) -> str:
    """The first error map that is chosen for the viewer, "" for none."""
    return next(iter(st.session_state.get(f"{name}_maps", FIRST_MAPS)), "")


def _show_patches(name: str, key: str, patches: list[tuple[Patch, bytes]]) -> None:
    """The patches with the largest error, reference and candidate side by side."""
    unit = map_scale(key)[1]
    st.markdown(f"**Worst patches** by the error map of {plain(label(key))}")
    thumbnails(
        [
            Tile(
                str(number),
                picture,
                label=f"{patch.error:.3f} ({unit})",
                note=f"from {patch.left}, {patch.top}",
                mark=str(number),
                hint=f"Patch {number}: columns from {patch.left}, rows from {patch.top}",
            )
            for number, (patch, picture) in enumerate(patches, start=1)
        ],
        key=f"{name}_patches", label="Worst patches", side=150, on_press=lambda _: None,
    )  # fmt: skip
    st.caption(
        f"Squares of {_PATCH_SIDE} pixels, reference left and candidate right, enlarged three times. In the viewer, "
        "“Worst patches” shows where they lie."
    )


def _close(name: str) -> None:
    st.session_state[f"{name}_pick"] = None


def pair_of(result: Result, row: int) -> Pair:
    """The pictures of a row with the models of the run, for the viewer and the maps."""
    reference, candidate, reference_token, candidate_token = cached.run_pair(result.token, row, result.found)
    return Pair(
        reference, candidate, reference_token, candidate_token, card=result.card(), deconv_card=result.card("deconv")
    )


def _show_scores(result: Result, row: int) -> None:
    """Raw value, percentile within this run, percentile within the reference set."""
    import pandas as pd

    line = result.found.frame.iloc[row]
    within = cached.run_percentiles(result.token, result.found).iloc[row]
    keys = [key for key in result.keys if not math.isnan(line[key])]
    against = [_against_reference(result, key, line[key]) for key in keys]
    st.table(
        pd.DataFrame(
            {
                "Metric": [plain(label(key)) for key in keys],
                "Score": [plain(value_words(key, line[key])).replace(" ", "\u00a0") for key in keys],
                "This run": [_percentile_words(within[key]) for key in keys],
                "Bundled": [_percentile_words(value) for value in against],
            }
        ),
        border="horizontal",
        hide_index=True,
    )
    st.caption(
        "Percentiles: per cent of the candidates that are no better, 100 for the best; among all of this run, and "
        "among damaged versions of the bundled photographs."
        + (" A dash: the score was made in another way or with another model there." if None in against else "")
    )


def _percentile_words(value: float | None) -> str:
    return "–" if value is None or math.isnan(value) else f"{value:.0f}"


def _against_reference(result: Result, key: str, value: Any) -> float | None:
    from deconv_core.percentiles import against_reference

    found = against_reference(key, [float(value)], recipe=result.found.recipes.get(key))
    return None if found is None else float(found[0])
