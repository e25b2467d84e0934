"""How to learn: a preset, and behind "More" everything it stands for."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import streamlit as st

from deconv_core.distortions import DISTORTIONS, MAX_SEVERITY
from deconv_core.losses import LOSSES
from deconv_core.models import ARCHITECTURES
from deconv_core.presets import (
    PRESETS,
    USUAL_DEGRADATIONS,
    check_data,
    cost_key,
    model_name,
    settings_for,
    suggest,
    time_words,
    total_steps,
)
from deconv_core.training import OPTIMIZERS, SCHEDULES
from pages.ui import cached
from pages.ui.inputs import plain
from pages.ui.training_data import Source

if TYPE_CHECKING:
    from deconv_core.survey import Survey
    from deconv_core.training import TrainSettings

_OBJECTIVES = {
    "reconstruct": "Reconstruct what it is shown",
    "restore": "Restore damaged pictures",
}
_DECODERS = {
    "subpixel": "Convolution, then depth to space",
    "transposed": "Transposed convolution",
    "resize": "Enlarge, then convolution",
}
_NORMALISATIONS = {"none": "None", "divisive": "Divisive, learned (GDN)"}
_OPTIMIZERS = {"adam": "Adam", "adamw": "AdamW", "sgd": "SGD with momentum"}
_SCHEDULES = {"cosine": "Falls to zero along a cosine", "constant": "Stays"}
_COLOURS = {3: "Colour", 1: "Grey"}


def choose_settings(name: str, source: Source, found: Survey) -> TrainSettings:
    """A preset, changed where the visitor wants it, for this source; checked against what was found."""
    state = st.session_state
    key = f"{name}_preset"
    # Another kind of picture asks for another network, until the visitor has chosen one.
    if state.get(f"{name}_suggested_for") != source.place:
        state[f"{name}_suggested_for"] = source.place
        state[key] = suggest(found)
    chosen = st.segmented_control(
        "Preset", list(PRESETS), format_func=lambda row: PRESETS[row].label, required=True, key=key,
        persist_state="session",
    )  # fmt: skip
    st.caption(PRESETS[chosen].summary)
    settings = settings_for(chosen, source.place, found.count)
    if set(found.channels) == {1}:
        settings = replace(settings, arguments={**settings.arguments, "channels": 1})
    label = st.text_input(
        "Name", value=f"My {PRESETS[chosen].label.lower()} model", max_chars=60, key=f"{name}_{chosen}_name",
        persist_state="session",
    )  # fmt: skip
    with st.expander("More: network, objective, loss, optimiser, patches, epochs, seed", key=f"{name}_more"):
        settings = _more(f"{name}_{chosen}", settings)
    label = " ".join(label.split()).lstrip("-")
    settings = replace(
        settings, name=model_name(label), label=label, note=f"{source.note}, {found.count:,} pictures",
        within_roots=source.roots is not None,
    )  # fmt: skip
    check_data(settings, found)
    return settings


def _more(name: str, settings: TrainSettings) -> TrainSettings:
    first, second, third = st.columns(3, gap="large")
    with first:
        st.markdown("**Network**")
        architecture = _pick("Architecture", {key: row.label for key, row in ARCHITECTURES.items()}, settings, name)
        row = ARCHITECTURES[architecture]
        st.caption(row.summary)
        given = settings.arguments if architecture == settings.architecture else {}
        arguments = _arguments(f"{name}_{architecture}", architecture, given, settings.arguments.get("channels", 3))
    with second:
        st.markdown("**Aim**")
        objective = _pick("Objective", _OBJECTIVES, settings, name)
        degradations = _degradations(name) if objective == "restore" else {}
        loss = _pick("Loss", {key: row.label for key, row in LOSSES.items()}, settings, name)
    with third:
        st.markdown("**Steps**")
        optimizer = _pick("Optimizer", {key: _OPTIMIZERS[key] for key in OPTIMIZERS}, settings, name)
        rate = st.number_input(
            "Learning rate", 1e-6, 1.0, settings.learning_rate, 1e-4, "%.5f", key=f"{name}_rate",
            persist_state="session",
        )  # fmt: skip
        schedule = _pick("Schedule", {key: _SCHEDULES[key] for key in SCHEDULES}, settings, name)
        numbers = {
            field: _count(label, low, high, getattr(settings, field), f"{name}_{field}", words)
            for field, label, low, high, words in (
                ("patch_size", "Patch size, pixels", 8, 512, "Side of the squares cut from the pictures."),
                ("batch_size", "Batch size, patches", 1, 256, "Patches seen in every step."),
                ("epochs", "Epochs", 1, 10_000, "After each one the model is tried on held-out pictures."),
                ("steps_per_epoch", "Steps in an epoch", 1, 100_000, "Times the batch size: patches in an epoch."),
                ("patience", "Early end after so many epochs", 0, 1000, "Without a better PSNR; 0 never ends early."),
                ("seed", "Seed", 0, 10**6, "The same seed gives the same model on the same machine."),
            )
        }
    return replace(
        settings, architecture=architecture, arguments=arguments, objective=objective, degradations=degradations,
        loss=loss, optimizer=optimizer, learning_rate=rate, schedule=schedule, **numbers,
    )  # fmt: skip


def _arguments(name: str, architecture: str, given: dict[str, Any], channels: int) -> dict[str, Any]:
    colour = st.segmented_control(
        "Pictures as", list(_COLOURS), format_func=_COLOURS.get, default=given.get("channels", channels),
        required=True, key=f"{name}_channels", persist_state="session",
    )  # fmt: skip
    if architecture == "article":
        filters = _count("Filters", 1, 512, given.get("filters", 32), f"{name}_filters", "Channels of the code.")
        return {"channels": colour, "filters": filters}
    from deconv_core.models.photo import DECODERS, NORMALISATIONS

    decoder = st.selectbox(
        "Decoder", DECODERS, format_func=_DECODERS.get, key=f"{name}_decoder", persist_state="session",
        help="How it enlarges. Transposed convolutions can leave a checkerboard; its meter stands on the card.",
    )  # fmt: skip
    normalisation = st.selectbox(
        "Normalisation", NORMALISATIONS, format_func=_NORMALISATIONS.get, key=f"{name}_normalisation",
        persist_state="session",
    )  # fmt: skip
    sizes = {
        field: _count(label, 1, 512, given.get(field, usual), f"{name}_{field}", words)
        for field, label, usual, words in (
            ("code_channels", "Bottleneck, channels", 32, "Numbers kept of every 8 × 8 pixels; 192 would keep all."),
            ("width", "Width at a quarter of the size", 32, "Channels."),
            ("deep_width", "Width at an eighth of the size", 64, "Channels."),
            ("blocks", "Blocks on each side", 2, "Residual blocks at an eighth of the size."),
        )
    }
    return {"channels": colour, "decoder": decoder, "normalisation": normalisation, **sizes}


def _degradations(name: str) -> dict[str, tuple[float, float]]:
    kinds = st.multiselect(
        "Damage to undo", list(DISTORTIONS), default=list(USUAL_DEGRADATIONS), key=f"{name}_kinds",
        format_func=lambda key: DISTORTIONS[key].label, persist_state="session",
        help="One kind is drawn for every patch, with a severity from its range.",
    )  # fmt: skip
    return {
        kind: st.slider(
            DISTORTIONS[kind].label, 0.0, MAX_SEVERITY, USUAL_DEGRADATIONS.get(kind, (1.0, 3.0)), 0.5, "%.1f",
            key=f"{name}_severity_{kind}", persist_state="session",
        )
        for kind in kinds
    }  # fmt: skip


def _pick(label: str, options: dict[str, str], settings: TrainSettings, name: str) -> str:
    """A select box for the field of that name."""
    field = label.lower()
    return st.selectbox(
        label.replace("Optimizer", "Optimiser"), list(options), index=list(options).index(getattr(settings, field)),
        format_func=options.get, key=f"{name}_{field}", persist_state="session",
    )  # fmt: skip


def _count(label: str, low: int, high: int, value: int, key: str, words: str) -> int:
    return st.number_input(label, low, high, value, 1, key=key, help=words, persist_state="session")


def show_estimate(settings: TrainSettings, found: Survey, *, others: int) -> None:
    """Parameters, memory and time, from a few real steps on this machine.

    Args:
        settings: What is planned.
        found: What it learns from.
        others: Runs at work or waiting.
    """
    steps = total_steps(settings, found.count)
    with st.spinner("Measuring a few steps on this machine"):
        cost = cached.estimate(cost_key(settings), settings)
    with st.container(horizontal=True, gap="medium"):
        st.metric("Time", f"about {time_words(cost.seconds_per_step * steps)}", width="content")
        st.metric("Steps", f"{steps:,}", width="content")
        st.metric("Parameters", f"{cost.parameters:,}", width="content")
        st.metric("Memory of a step", f"{cost.memory_bytes / 2**20:,.0f} MiB", width="content")
    st.caption(
        f"Measured on this machine with patches like these: {cost.seconds_per_step * 1000:.0f} ms for a step. Starting "
        "(some ten seconds), reading the pictures and trying the model after every epoch come on top."
        + (plain(f" Runs before it: {others}; it waits for its turn.") if others else "")
    )
