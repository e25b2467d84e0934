"""Inside a model: what each layer still knows, one activation sent back to the pixels, kernels, checkerboards."""

from __future__ import annotations

import numpy as np
import streamlit as st

from deconv_core import inspection
from deconv_core.figures import depth_curve, place_map, plot_config
from deconv_core.images import encode_png
from deconv_core.inspection import example_label
from deconv_core.metrics import METRICS
from deconv_core.models.inside import RULES
from deconv_core.samples import SAMPLES
from deconv_core.scoring import DEFAULT_MODEL
from pages.ui import cached
from pages.ui.how_it_works import show_checkerboard
from pages.ui.inputs import choose_model, example_buttons, own_files, plain
from pages.ui.viewer import Shot, viewer

SIDE = 256  # pixels: the middle of the picture that is worked on
VIEWS = {
    "depths": "What each layer still knows",
    "projection": "One activation, back to pixels",
    "kernels": "Kernels",
    "checkerboard": "Checkerboard meter",
}
MEASURES = ("psnr", "ssim", "deconv")
_RULE_WORDS = {"gradient": "Exact derivative", "deconvnet": "Deconvolutional network"}
_TILES = 64


def show_inside(name: str) -> None:
    """Choose a model and a picture, then one of the views."""
    card = choose_model(f"{name}_inside", cached.cards(), DEFAULT_MODEL, label="Model", help="The one to look into.")
    if card is None:
        return
    subject = _choose_picture(f"{name}_inside")
    view = st.segmented_control(
        "Look at", list(VIEWS), format_func=VIEWS.get, default="depths", required=True, key=f"{name}_inside_view",
        persist_state="session",
    )  # fmt: skip
    square = cached.inside_square(subject.token, card["channels"], card["stride"], SIDE, subject.pixels)
    if min(square.shape[:2]) < 2 * card["stride"]:
        st.markdown(
            f"This picture has {square.shape[1]} × {square.shape[0]} usable pixels; the model needs at least "
            f"{2 * card['stride']} on each side. Choose a larger picture."
        )
        return
    if view == "depths":
        _depths(name, card, subject.token, square)
    elif view == "projection":
        _projection(name, card, subject.token, square)
    elif view == "kernels":
        _kernels(name, card)
    else:
        show_checkerboard(subject.token, square, card)


def _choose_picture(name: str) -> cached.Subject:
    state = st.session_state
    key = f"{name}_example"
    with st.popover("Choose the picture", icon=":material/image:"):
        example_buttons(name, state.get(key, next(iter(SAMPLES))), lambda chosen: state.update({key: chosen}))
        files = own_files(name)
        if files:
            options = {"": "The sample above"} | {file: title for file, (title, _) in files.items()}
            st.selectbox("Picture", list(options), format_func=options.get, key=f"{name}_file")
    chosen = state.get(f"{name}_file")
    if chosen in files:
        title, data = files[chosen]
        return cached.upload(chosen, "white", 50_000_000, 2_000_000, 1_000_000, title, data)
    sample = state.get(key, next(iter(SAMPLES)))
    st.caption(f"Picture: {example_label(sample)}. Its middle, at most {SIDE} × {SIDE} pixels, is worked on.")
    return cached.example(sample)


def _depths(name: str, card: dict, token: str, square: np.ndarray) -> None:
    with st.spinner("Reading every layer"):
        rows = cached.depths_read(card["name"], card["digest"], token, square)
    measure = st.segmented_control(
        "Measure", MEASURES, format_func=lambda key: METRICS[key].label, default="psnr", required=True,
        key=f"{name}_inside_measure", persist_state="session",
    )  # fmt: skip
    st.plotly_chart(
        depth_curve(rows, measure),
        config=plot_config(f"depth_{measure}"),
        alt=f"{METRICS[measure].label} of the picture read from each layer, from the picture to the code",
    )
    st.caption(
        "From left to right: deeper into the encoder. Each point is the picture as the best linear map reads it from "
        "that layer alone, three by three places at a time; the map was fitted on sixteen sample photographs, not on "
        "this picture. A low point does not prove that the layer lost something: it may hold it in a form that no "
        "linear map reads. The last point is the model's own decoder, which may use what a linear map cannot."
        + (
            " In this architecture a linear path leads past the layers straight to the code, which may therefore know "
            "more than the layers before it."
            if card["architecture"] == "photo"
            else ""
        )
    )
    with st.container(horizontal=True, gap="medium"):
        for row in rows:
            with st.container(width=158):
                st.image(row["png"], width="stretch", alt=f"The picture read from {row['name']}")
                st.markdown(f"**{plain(row['label'])}**")
                st.caption(
                    f"{row['words']} PSNR {inspection.score_words(METRICS['psnr'], row['psnr'])}, "
                    f"SSIM {inspection.score_words(METRICS['ssim'], row['ssim'])}."
                )


def _projection(name: str, card: dict, token: str, square: np.ndarray) -> None:
    state = st.session_state
    found = cached.inside_depths(card["name"], card["digest"])
    layers = {depth.name: depth for depth in found}
    with st.container(horizontal=True, vertical_alignment="bottom"):
        layer = st.selectbox(
            "Layer", list(layers), index=min(1, len(layers) - 1), key=f"{name}_inside_layer", persist_state="session",
            format_func=lambda key: f"{key}: {layers[key].channels} channels, {layers[key].factor} px per place",
        )  # fmt: skip
        depth = layers.get(layer) or found[0]
        channel_key = f"{name}_inside_channel_{depth.name}"
        channel = st.number_input(
            f"Channel, 0 to {depth.channels - 1}", 0, depth.channels - 1, key=channel_key, step=1,
            persist_state="session",
        )  # fmt: skip
        rule = st.segmented_control(
            "Rule at rectifiers", list(RULES), format_func=_RULE_WORDS.get, default="gradient", required=True,
            key=f"{name}_inside_rule", persist_state="session",
        )  # fmt: skip
    values = cached.inside_values(card["name"], card["digest"], token, depth.name, square)[..., int(channel)]
    strongest = np.unravel_index(int(np.abs(values).argmax()), values.shape)
    place_key = f"{name}_inside_place_{card['name']}_{token}_{depth.name}_{channel}"
    place = state.get(place_key, tuple(int(number) for number in strongest))
    left, right = st.columns([2, 3], gap="large")
    with left:
        st.markdown("**Click a place of the map**")
        chart = f"{place_key}_map"

        def take() -> None:
            points = state[chart]["selection"]["points"]
            if points:
                column, row = int(points[0]["x"]), int(points[0]["y"])
                if 0 <= row < values.shape[0] and 0 <= column < values.shape[1]:
                    state[place_key] = (row, column)

        st.plotly_chart(
            place_map(values, place), config=plot_config("activations"), key=chart, on_select=take,
            selection_mode="points", alt=f"Activations of channel {channel} of {depth.name}",
        )  # fmt: skip
    made = cached.inside_projection(card["name"], card["digest"], token, depth.name, place, int(channel), rule, square)
    with left:
        st.image(encode_png(_framed(square, made.box)), width=220, alt="The picture with a frame")
        st.caption("The frame: all that this activation can see." if made.box else "It sees nothing here.")
    with right:
        part = _around(made.box, square.shape)
        viewer(
            [
                Shot("projection", "Back in pixels", encode_png(inspection.signed(made.pixels[part]))),
                Shot("picture", "The same part of the picture", encode_png(square[part])),
            ],
            key=f"{name}_inside_viewer",
            height=380,
        )
        st.caption(
            f"Channel {channel} of {plain(depth.name)} answers {made.value:.3g} at row {place[0]}, column {place[1]}. "
            + (
                "Grey: pixels that do not matter to it. Lighter: a higher value here raises the answer; darker: lowers "
                "it. The largest effect is stretched to black or white."
                if made.box
                else "Nothing reaches it: a rectifier on its way is shut, so no pixel changes it. Choose another place."
            )
        )
    st.caption(
        "The activation is sent back through the transpose of every convolution. With the exact derivative a rectifier "
        "passes back what it passed on the way in; the deconvolutional network of Zeiler and Fergus (2014) passes what "
        "is positive on the way back, and shows a pattern instead of a derivative."
    )


def _around(box: tuple[int, int, int, int] | None, shape: tuple[int, ...]) -> tuple[slice, slice]:
    """The part of the picture to show: what is framed with as much again around it."""
    if box is None:
        return slice(0, shape[0]), slice(0, shape[1])
    top, left, bottom, right = box
    reach = max(bottom - top, right - left, 16) // 2
    return slice(max(0, top - reach), bottom + reach), slice(max(0, left - reach), right + reach)


def _framed(square: np.ndarray, box: tuple[int, int, int, int] | None) -> np.ndarray:
    if box is None:
        return square
    top, left, bottom, right = box
    framed = np.repeat(square, 3, axis=-1) if square.shape[-1] == 1 else square.copy()
    colour = np.array([1.0, 0.75, 0.0], np.float32)
    for rows, columns in (
        (slice(top, top + 1), slice(left, right)),
        (slice(bottom - 1, bottom), slice(left, right)),
        (slice(top, bottom), slice(left, left + 1)),
        (slice(top, bottom), slice(right - 1, right)),
    ):
        framed[rows, columns] = colour
    return framed


def _kernels(name: str, card: dict) -> None:
    layers = cached.inside_kernel_layers(card["name"], card["digest"])
    if not layers:
        st.markdown("This model has no convolution with a kernel larger than one pixel.")
        return
    layer = st.selectbox("Layer", layers, key=f"{name}_inside_kernel_layer", persist_state="session")
    sheet, shape = cached.inside_kernel_sheet(card["name"], card["digest"], layer, _TILES)
    st.image(sheet, width=560, alt=f"Kernels of {layer}")
    count, rows, columns, channels = shape
    facing = channels > 1 or rows > 5
    st.caption(
        f"{min(_TILES, count)} of {count:,} kernels of {rows} × {columns}, each stretched to its own range; grey is 0. "
        + (
            "This layer faces the picture: these are the patterns its filters look for, or paint, in pixels."
            if facing
            else "One tile for each pair of an input and an output channel, the strongest first."
        )
    )
