"""The pictures of a pair in the one viewer: as they are, as recovered, and their error maps on fixed scales."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from deconv_core import inspection
from deconv_core.figures import map_legend
from deconv_core.metrics import METRICS
from pages.ui import cached
from pages.ui.cached import VIEW_PIXELS, Pair
from pages.ui.viewer import Legend, Shot, viewer

FIRST_MAPS = ["psnr", "ssim", "deconv"]


def show_pictures(name: str, pair: Pair, more: Sequence[Shot] = ()) -> None:
    """Reference, image to judge, both recovered, the error maps chosen below the viewer, and what else is given."""
    key = f"{name}_maps"
    st.session_state.setdefault(key, list(FIRST_MAPS))
    shots = [
        Shot("reference", "Reference", cached.png(pair.reference_token, VIEW_PIXELS, pair.reference)),
        Shot("candidate", "Image to judge", cached.png(pair.candidate_token, VIEW_PIXELS, pair.candidate)),
    ]
    if pair.card is not None:
        for role, label, token, pixels in (
            ("reference", "Reference, recovered", pair.reference_token, pair.reference),
            ("candidate", "Image to judge, recovered", pair.candidate_token, pair.candidate),
        ):
            made = cached.rebuilt_png(token, pair.card["digest"], VIEW_PIXELS, pixels, pair.card)
            shots.append(Shot(f"{role}_recovered", label, made))
    missing = []
    for metric_key in st.session_state[key]:
        row = METRICS[metric_key]
        made = cached.map_png(pair, metric_key)
        if made is None:
            missing.append(row.label)
            continue
        top, unit = inspection.map_scale(metric_key)
        legend = map_legend(0, top, unit)
        shots.append(
            Shot(
                f"map_{metric_key}",
                f"Error map: {row.label}",
                made,
                "Black is no error; the scale is the same for every picture.",
                Legend(legend["low"], legend["high"], legend["unit"], legend["colours"]),
            )
        )
    viewer([*shots, *more], key=f"{name}_viewer", height=500)
    st.multiselect(
        "Error maps in the viewer",
        inspection.map_keys(),
        key=key,
        persist_state="session",
        format_func=lambda metric_key: METRICS[metric_key].label,
    )
    if missing:
        st.caption(f"No error map for {', '.join(missing)}: the picture is too small or the model is missing.")
    if pair.reference.shape[0] * pair.reference.shape[1] > VIEW_PIXELS:
        small = inspection.reduce(pair.reference, VIEW_PIXELS)
        st.caption(
            f"Scores are of all {pair.reference.shape[1]} × {pair.reference.shape[0]} pixels; pictures and maps are "
            f"shown at {small.shape[1]} × {small.shape[0]}."
        )
