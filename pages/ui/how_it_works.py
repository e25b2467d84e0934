"""Encoding and decoding step by step on the visitor's own picture, and what transposed convolution is."""

from __future__ import annotations

import numpy as np
import streamlit as st

from deconv_core import inspection, transposed
from deconv_core.errors import DeconvError
from deconv_core.figures import colour_map
from deconv_core.images import encode_png, to_channels
from deconv_core.metrics import METRICS
from pages.ui import cached
from pages.ui.cached import Pair
from pages.ui.inputs import plain

_STEP_SIDE = 215
_OWN = "Own numbers"
KERNELS = (*transposed.KERNELS, _OWN)
STRIDES = range(1, 5)


def show_how_it_works(name: str, pair: Pair) -> None:
    """The three steps of the method, the checkerboard meter, and the adjoint."""
    if pair.card is None:
        st.caption("No model is installed, so there is nothing to take apart.")
    else:
        _steps(name, pair)
        show_checkerboard(pair.reference_token, pair.reference, pair.card)
    st.divider()
    _transposed(name, pair)


def _large_png(pixels: np.ndarray) -> bytes:
    """Small pictures with their pixels as squares: a browser would smear them."""
    return encode_png(inspection.enlarged(np.asarray(pixels, np.float32), 2 * _STEP_SIDE))


def _steps(name: str, pair: Pair) -> None:
    st.markdown("#### Encode, decode, compare")
    pictures = {"Image to judge": pair.candidate, "Reference": pair.reference}
    chosen = st.segmented_control(
        "Picture", list(pictures), default="Image to judge", required=True, key=f"{name}_steps", persist_state="session"
    )
    model = cached.model(pair.card)
    seen = to_channels(inspection.reduce(pictures[chosen], cached.VIEW_PIXELS), model.channels)
    code = model.encode(seen[None])[0]
    rebuilt = inspection.rebuild(model, seen)
    error = inspection.error_map("psnr", seen, rebuilt)
    score = inspection.score_pair(seen, rebuilt, ("psnr",))["psnr"]
    share = code.size / seen.size
    sheet = inspection.code_sheet(code)
    size = " × ".join(map(str, (seen.shape[1], seen.shape[0], seen.shape[2])))
    shown = (
        ("1. The picture x", _large_png(seen), f"{size} numbers, as the model sees it."),
        (
            "2. Its code E(x)",
            _large_png(sheet),
            f"{code.shape[1]} × {code.shape[0]} × {code.shape[2]} numbers, {100 * share:.0f} % of the "
            f"picture's. Convolution and pooling made it; the {min(16, code.shape[2])} channels that vary most, each "
            "stretched to its own range.",
        ),
        ("3. Recovered D(E(x))", _large_png(rebuilt), "Deconvolution of the code alone."),
        (
            "4. The difference",
            _large_png(colour_map(error, 0, inspection.map_scale("psnr")[0]).astype(np.float32) / 255),
            "What the code could not keep: black is none, pale yellow is "
            f"{inspection.map_scale('psnr')[0]:g} of full range. "
            f"PSNR {inspection.score_words(METRICS['psnr'], score)}, higher is better.",
        ),
    )
    with st.container(horizontal=True, gap="medium"):
        for heading, png, caption in shown:
            with st.container(width=_STEP_SIDE):
                st.markdown(f"**{heading}**")
                st.image(png, width="stretch", alt=heading)
                st.caption(caption)


def show_checkerboard(token: str, pixels: np.ndarray, card: dict) -> None:
    """How much of a model's error on one picture repeats with the periods of its decoder."""
    st.markdown("#### Checkerboard meter of the decoder")
    try:
        found = cached.checkerboard(token, card["digest"], pixels, card)
    except DeconvError as error:
        st.caption(plain(error))
        return
    st.markdown(plain(found["verdict"]))
    if found["shares"]:
        st.dataframe(
            {
                "Repeats every (pixels)": list(found["shares"]),
                "Share of the error's deviation (%)": [f"{share:.2f}" for share in found["shares"].values()],
                "What chance would make (%)": [f"{found['floors'][period]:.2f}" for period in found["shares"]],
            },
            hide_index=True,
            height="content",
            width="content",
        )
    st.caption(
        "A decoder that enlarges by a stride can leave a pattern with that period. Lower is better; measured on this "
        "picture with the chosen model."
    )


def _transposed(name: str, pair: Pair) -> None:
    import pandas as pd

    st.markdown("#### What transposed convolution is: the adjoint, not the inverse")
    st.markdown(
        "A convolution K turns a picture x into a code: each code value is one sum of products of the kernel with one "
        "window. Its transpose Kᵀ, called deconvolution in networks, goes back: each code value places a copy of the "
        "kernel, weighted by that value, and copies that overlap are added. So an output pixel is a sum over **all "
        "placements that reach it**, and not one sum of products, as it is sometimes written."
    )
    with st.container(horizontal=True, vertical_alignment="top", gap="large"):
        with st.container(width=_STEP_SIDE):
            chosen = st.selectbox("Kernel", KERNELS, index=3, key=f"{name}_kernel", persist_state="session")
            stride = st.slider("Stride", STRIDES[0], STRIDES[-1], 2, key=f"{name}_stride", persist_state="session")
        with st.container(width=2 * _STEP_SIDE):
            # Each named kernel has an editor of its own, so that choosing another shows its numbers.
            start = transposed.KERNELS.get(chosen, np.array([[0.0, 1, 0], [1, 2, 1], [0, 1, 0]]))
            edited = st.data_editor(
                pd.DataFrame(start, columns=[str(column + 1) for column in range(start.shape[1])]),
                hide_index=True,
                key=f"{name}_cells_{chosen}",
            )
            kernel = edited.to_numpy(float)
            st.caption("Any cell of the kernel can be changed.")
    with st.container(horizontal=True, vertical_alignment="top", gap="medium"):
        plane = to_channels(inspection.reduce_side(pair.reference, inspection.LADDER_SIDE), 1)[..., 0]
        adjoint = transposed.adjoint_gap(plane, kernel, stride)
        code = transposed.convolve(plane, kernel, stride)
        inverse = transposed.inverse_gap(plane, kernel, stride)
        pictures = (
            ("x", plane, f"The reference in grey, {plane.shape[1]} × {plane.shape[0]}."),
            ("K x", inspection.stretched(code), f"Its code, {code.shape[1]} × {code.shape[0]}, stretched to be seen."),
            (
                "Kᵀ K x",
                np.clip(inverse.scale * inverse.returned, 0, 1),
                f"Back again, times the best factor {inverse.scale:.3g}: off by {100 * inverse.relative_error:.0f} %.",
            ),
            (
                "Copies per pixel",
                inspection.stretched(transposed.overlap_count((16, 16), kernel.shape, stride).astype(float)),
                "How many copies of the kernel reach each pixel of a 16 × 16 corner; uneven counts make checkerboards.",
            ),
        )
        for heading, pixels, caption in pictures:
            with st.container(width=_STEP_SIDE):
                st.markdown(f"**{heading}**")
                st.image(_large_png(pixels), width="stretch", alt=heading)
                st.caption(caption)
    st.markdown(
        f"**The adjoint identity**, with a random code y: ⟨K x, y⟩ = {adjoint.in_code:.6f} and ⟨x, Kᵀ y⟩ = "
        f"{adjoint.in_picture:.6f}. They differ by {adjoint.relative:.1e} of their size, which is rounding. "
        f"It holds for every kernel; being the inverse would mean that KᵀK x is x, and that is off by "
        f"{100 * inverse.relative_error:.0f} % here."
    )
    middle = plane.shape[0] // 2, plane.shape[1] // 2
    reached = transposed.contributions(middle, plane.shape, kernel.shape, stride)
    st.caption(
        f"The pixel in the middle of the picture is the sum of {len(reached)} products: one for each copy of the "
        "kernel that reaches it."
    )
