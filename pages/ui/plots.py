"""The plots of one pair: severity curves, reconstruction scores against PSNR and SSIM, spectra."""

from __future__ import annotations

import streamlit as st

from deconv_core import inspection
from deconv_core.distortions import DISTORTIONS
from deconv_core.figures import (
    plot_config,
    score_scatter,
    severity_curves,
    spectrum_2d,
    spectrum_figure,
    transfer_figure,
)
from deconv_core.metrics import METRICS
from deconv_core.spectrum import SMALLEST_SIDE
from pages.ui import cached
from pages.ui.cached import Pair

_CURVE_STEPS = tuple(step / 2 for step in range(11))
_SCATTER_STEPS = (1.0, 2.0, 3.0, 4.0, 5.0)
_CURVES = (
    *("deconv", "deconv_control", "gradient_information", "psnr", "ssim", "ms_ssim"),
    *("recon_pair_psnr", "recon_pair_ssim", "recon_true_psnr", "recon_true_ssim", "recon_self_psnr", "recon_self_ssim"),
)
PLOTS = {"severity": "Severity", "scatter": "Score against score", "spectrum": "Spectrum"}
AGAINST = ("deconv", "recon_pair_psnr", "recon_pair_ssim", "recon_true_psnr", "recon_true_ssim", "recon_self_ssim")
ACROSS = ("psnr", "ssim", "ms_ssim", "deconv_control")


def show_plots(name: str, pair: Pair, kind: str, seed: int) -> None:
    """Draw one plot at a time: each costs work of its own."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        which = st.segmented_control(
            "Plot",
            list(PLOTS),
            format_func=PLOTS.get,
            default="severity",
            required=True,
            key=f"{name}_plot",
            persist_state="session",
        )
        file_format = st.segmented_control(
            "The camera of a plot saves", ["svg", "png"], format_func=str.upper, default="svg", required=True,
            key=f"{name}_format", persist_state="session",
        )  # fmt: skip
    small = inspection.reduce_side(pair.reference, inspection.LADDER_SIDE)
    size = f"{small.shape[1]} × {small.shape[0]} pixels"
    if which == "severity":
        _severity(pair, kind, seed, size, file_format)
    elif which == "scatter":
        _scatter(name, pair, seed, size, file_format)
    else:
        _spectrum(pair, file_format)


def _severity(pair: Pair, kind: str, seed: int, size: str, file_format: str) -> None:
    label = DISTORTIONS[kind].label
    with st.spinner("Scoring eleven severities"):
        frame = cached.ladder(pair.reference_token, pair.models_key, kind, _CURVE_STEPS, _CURVES, seed, pair)
    st.plotly_chart(
        severity_curves(inspection.as_curves(frame)),
        config=plot_config(f"severity_{kind}", file_format),
        key="score_images_severity_plot",
    )
    st.caption(
        f"{label}, from unchanged to severe, on a copy of the reference of {size}. All scores are brought to one "
        "scale: 1 is what identical pictures get (or, where no reference is needed, the unchanged one), 0 the worst of "
        "this curve. A good score never rises on the way; where one does, a cross marks it. PSNR has no end, so its "
        f"curves start at the mildest damage. {inspection.not_quality(_CURVES)}"
    )


def _scatter(name: str, pair: Pair, seed: int, size: str, file_format: str) -> None:
    keys = tuple(key for key in AGAINST if pair.card or not METRICS[key].needs_model or key == "deconv")
    with st.container(horizontal=True):
        y = st.selectbox(
            "Up", keys, key=f"{name}_scatter_y", format_func=lambda key: METRICS[key].label, persist_state="session"
        )
        x = st.selectbox(
            "Across",
            ACROSS,
            key=f"{name}_scatter_x",
            format_func=lambda key: METRICS[key].label,
            persist_state="session",
        )
    import pandas as pd

    asked = (*dict.fromkeys((*keys, *ACROSS)),)
    bar = st.progress(0.0, text="Making the reference worse in every way")
    parts = []
    for number, kind in enumerate(DISTORTIONS, start=1):
        parts.append(cached.ladder(pair.reference_token, pair.models_key, kind, _SCATTER_STEPS, asked, seed, pair))
        bar.progress(number / len(DISTORTIONS), text=f"{DISTORTIONS[kind].label}: {number} of {len(DISTORTIONS)}")
    bar.empty()
    frame = pd.concat(parts, ignore_index=True)
    if x not in frame or y not in frame:
        st.caption(inspection.too_small([x, y], pair.reference.shape) or "This score needs a model that is missing.")
        return
    labels = {key: row.label for key, row in DISTORTIONS.items()}
    st.plotly_chart(
        score_scatter(frame, x, y, labels=labels),
        config=plot_config(f"{y}_against_{x}", file_format),
        key="score_images_scatter_plot",
    )
    st.caption(
        f"{len(DISTORTIONS)} kinds of damage, severities 1 to 5 (larger points are stronger), on a copy of the "
        f"reference of {size}. Where points of one height lie far apart, the two scores "
        f"disagree about how bad the damage is. {inspection.not_quality((x, y))}"
    )


def _spectrum(pair: Pair, file_format: str) -> None:
    if min(pair.reference.shape[:2]) < SMALLEST_SIDE:
        st.caption(f"A spectrum needs at least {SMALLEST_SIDE} pixels each way; this picture is smaller.")
        return
    found = cached.spectra(pair.key, pair)
    st.markdown("**How strong each pattern size is**")
    st.plotly_chart(
        spectrum_figure(found["radial"]), config=plot_config("spectrum", file_format), key="score_images_spectrum_plot"
    )
    left, right = st.columns(2)
    with left:
        st.markdown("**What is kept of the reference**")
        st.plotly_chart(
            transfer_figure(found["transfer"]), config=plot_config("transfer", file_format), key="score_images_transfer"
        )
    with right:
        st.markdown("**The error by direction**")
        st.plotly_chart(
            spectrum_2d(found["plane"]), config=plot_config("error_spectrum", file_format), key="score_images_plane"
        )
    st.caption(
        "Left is coarse, right is fine: a period of 2 px is the finest pattern a picture can hold. The error is the "
        "image to judge minus the reference. In the two-dimensional spectrum the middle is coarse and the rim fine; "
        "a bright cross or grid comes from blocks or repeated patterns."
    )
