"""Transposed convolution by hand: a small picture and a kernel that can be edited, and every number in between."""

from __future__ import annotations

import numpy as np
import streamlit as st

from deconv_core import inspection, transposed
from deconv_core.errors import DeconvError
from deconv_core.figures import matrix_figure, plot_config
from deconv_core.images import encode_png
from pages.ui.inputs import plain

_PICTURES = {
    "A point": lambda side: _at(side, {(side // 2, side // 2): 1.0}),
    "An edge": lambda side: np.tile((np.arange(side) >= side // 2).astype(float), (side, 1)),
    "A ramp": lambda side: np.add.outer(np.arange(side), np.arange(side)) / (2 * side - 2),
    "A checkerboard": lambda side: (np.add.outer(np.arange(side), np.arange(side)) % 2).astype(float),
}
_WIDTH = 250


def show_by_hand(name: str) -> None:
    """Picture, kernel, stride and padding; then the matrix, its transpose, and what both do."""
    st.markdown(
        "A convolution is a matrix K: it takes the pixels of a picture, row by row, and gives the numbers of a code. "
        "**Transposed convolution is that matrix turned over, Kᵀ.** It leads back to the size of the picture, but it "
        "does not undo K. Change any number and see."
    )
    with st.container(horizontal=True, vertical_alignment="bottom"):
        side = st.slider("Side of the picture (pixels)", 4, 8, 6, key=f"{name}_hand_side", persist_state="session")
        stride = st.slider("Stride", 1, 3, 2, key=f"{name}_hand_stride", persist_state="session")
        padding = st.slider("Padding (zeros on each side)", 0, 2, 1, key=f"{name}_hand_padding",
                            persist_state="session")  # fmt: skip
    with st.container(horizontal=True, vertical_alignment="top", gap="large"):
        with st.container(width=2 * _WIDTH - 60):
            start = st.selectbox("Picture x", list(_PICTURES), key=f"{name}_hand_picture", persist_state="session")
            picture = _edited(_PICTURES[start](side), f"{name}_hand_x_{start}_{side}")
        with st.container(width=260):
            chosen = st.selectbox(
                "Kernel", list(transposed.KERNELS), index=1, key=f"{name}_hand_kernel", persist_state="session"
            )
            kernel = _edited(transposed.KERNELS[chosen], f"{name}_hand_k_{chosen}")
    try:
        _show(name, picture, kernel, stride, padding)
    except DeconvError as error:
        st.error(plain(error))


def _at(side: int, values: dict[tuple[int, int], float]) -> np.ndarray:
    plane = np.zeros((side, side))
    for place, value in values.items():
        plane[place] = value
    return plane


def _edited(values: np.ndarray, key: str) -> np.ndarray:
    import pandas as pd

    columns = [str(number + 1) for number in range(values.shape[1])]
    frame = st.data_editor(pd.DataFrame(np.round(values, 4), columns=columns), hide_index=True, key=key)
    return frame.to_numpy(float)


def _show(name: str, picture: np.ndarray, kernel: np.ndarray, stride: int, padding: int) -> None:
    code = transposed.convolve(picture, kernel, stride, padding)
    back = transposed.transpose_convolve(code, kernel, stride, padding, picture.shape)
    matrix = transposed.convolution_matrix(picture.shape, kernel, stride, padding)
    best = transposed.least_squares_back(picture, kernel, stride, padding)
    inverse = transposed.inverse_gap(picture, kernel, stride, padding)
    even = transposed.overlaps_evenly(kernel.shape, stride)
    overlap = transposed.overlap_count(picture.shape, kernel.shape, stride, padding)
    shown = (
        ("x", picture, f"The picture: {picture.shape[0]} × {picture.shape[1]} numbers."),
        ("K x", code, f"The code: {code.shape[0]} × {code.shape[1]} numbers."),
        ("Kᵀ K x", back, f"Back by the transpose: off by {100 * inverse.relative_error:.0f} % at the best scale."),
        (
            "Best way back",
            best.returned,
            f"By the pseudo-inverse: off by {100 * best.relative_error:.0f} %. K keeps {best.rank} of {picture.size} "
            "directions.",
        ),
        (
            "Copies per pixel",
            overlap.astype(float),
            "How many copies of the kernel reach each pixel. "
            + ("Even away from the borders." if even else "Uneven: a checkerboard that a network has to unlearn."),
        ),
    )
    with st.container(horizontal=True, gap="medium"):
        for heading, values, caption in shown:
            with st.container(width=_WIDTH - 85):
                st.markdown(f"**{heading}**")
                st.image(_png(values), width="stretch", alt=heading)
                st.caption(caption)
                with st.popover("Numbers", key=f"{name}_hand_numbers_{heading}"):
                    st.dataframe(np.round(values, 3), hide_index=True)
    adjoint = transposed.adjoint_gap(picture, kernel, stride, padding)
    st.markdown(
        f"**The adjoint identity**, with a random code y: ⟨K x, y⟩ = {adjoint.in_code:.6f} and ⟨x, Kᵀ y⟩ = "
        f"{adjoint.in_picture:.6f}; they differ by {adjoint.relative:.1e} of their size, which is rounding. It holds "
        "for every picture, kernel, stride and padding. Being the inverse would mean that Kᵀ K x is x."
    )
    left, right = st.columns(2, gap="large")
    with left:
        st.markdown(f"**K**, {matrix.shape[0]} × {matrix.shape[1]}: one row for each number of the code")
        st.plotly_chart(matrix_figure(matrix), config=plot_config("K"), key=f"{name}_hand_matrix", alt="The matrix K")
    with right:
        st.markdown(f"**Kᵀ**, {matrix.shape[1]} × {matrix.shape[0]}: one row for each pixel")
        st.plotly_chart(
            matrix_figure(matrix.T), config=plot_config("K_transposed"), key=f"{name}_hand_transposed",
            alt="The same matrix with rows and columns changed over",
        )  # fmt: skip
    st.caption(
        "Every row of K holds the kernel once, where its window lies. Every row of Kᵀ holds what reaches one pixel: a "
        "sum over all copies of the kernel that lie on it, and not one sum of products."
    )


def _png(values: np.ndarray) -> bytes:
    return encode_png(inspection.enlarged(inspection.stretched(values), 2 * _WIDTH).astype(np.float32))
