"""Which two pictures, and which model: the choices of the page that scores one pair."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import streamlit as st

from deconv_core import inspection
from deconv_core.samples import SAMPLES
from deconv_core.scoring import DECONV_MODEL, DEFAULT_MODEL, SizeMismatch
from pages.ui import cached
from pages.ui.cached import Pair, Subject
from pages.ui.inputs import choose_model, distortion_steps, example_buttons, own_files, plain
from pages.ui.model_card import model_card

DIGIT_MODEL = "article"
WORSE, OTHER = "Made worse", "Another picture"
# Larger uploads are worked on with WORK_PIXELS unless asked otherwise: a megapixel takes two seconds of a core.
QUICK_PIXELS = 2_000_000
WORK_PIXELS = 1_000_000
MAX_PIXELS = 50_000_000

Files = Mapping[str, tuple[str, bytes]]


@dataclass(frozen=True)
class Choice:
    """Everything the visitor chose, ready to be scored."""

    pair: Pair
    reference_key: str
    reference: Subject
    candidate: Subject
    steps: tuple[tuple[str, float], ...]  # damage done on the spot; none for a second upload
    seed: int
    kind: str  # damage whose severity curves are drawn
    mismatch: str
    note: str  # what was done to bring both to one size

    @property
    def background(self) -> str:
        return st.session_state.get("score_images_background", "white")

    @property
    def is_shareable(self) -> bool:
        """Whether a link can say it all: samples only."""
        return bool(self.steps) and (self.reference_key in SAMPLES or self.reference_key in inspection.DIGIT_KEYS)


def choose_pair(name: str) -> Choice | None:
    """Samples in a row, then three columns of choices; None while something is missing.

    What is missing is said on the screen: nothing chosen yet, or sizes that differ.
    """
    st.markdown("**Take a sample** with one click, or bring your own pictures.")
    example_buttons(name, st.session_state.get("score_reference"), partial(_take_example, name))
    first, second, third = st.columns(3, gap="large")
    with first:
        st.markdown("**Reference**")
        files = own_files(name)
    _follow_files(name, files)
    reference_key = st.session_state.get("score_reference")
    if reference_key is None:
        with second:
            st.markdown("Choose a picture: scores, error maps and words follow at once.")
        return None
    with first:
        if files:
            reference_key = _choose_original(name, reference_key, files)
        reference = _read(name, reference_key, files)
        _tell(reference)
    with second:
        st.markdown("**Image to judge**")
        candidate, steps, seed = _choose_candidate(name, reference_key, reference, files)
        if candidate.digest and candidate.digest == reference.digest:
            own = candidate.name == reference.name
            st.caption(
                f"{'This is the reference itself' if own else 'Both files hold the same bytes'}, so every comparison "
                "finds it perfect. Choose another picture, or make the reference worse."
            )
    with third:
        st.markdown("**Model**")
        card, deconv_card = _choose_models(name)
        _offer_reading(name, reference, candidate)
    mismatch = "refuse"
    if reference.pixels.shape[:2] != candidate.pixels.shape[:2]:
        mismatch = _settle_sizes(name)
    try:
        x, y, x_token, y_token, note = cached.fitted(reference, candidate, mismatch)
    except SizeMismatch as error:
        st.error(plain(error))
        return None
    if note:
        st.caption(plain(note))
    pair = Pair(x, y, x_token, y_token, card, deconv_card)
    kind = st.session_state.get(f"{name}_kind", "jpeg")
    return Choice(pair, reference_key, reference, candidate, steps, seed, kind, mismatch, note)


def _take_example(name: str, key: str) -> None:
    state = st.session_state
    state["score_reference"] = key
    state[f"{name}_source"] = WORSE
    # Photograph models know nothing of digits, and the introductory network nothing of photographs.
    if (key in inspection.DIGIT_KEYS) != (state.get(f"{name}_model") == DIGIT_MODEL):
        state[f"{name}_model"] = DIGIT_MODEL if key in inspection.DIGIT_KEYS else DEFAULT_MODEL


def _follow_files(name: str, files: Files) -> None:
    """A new upload is looked at at once, a removed one no longer."""
    state = st.session_state
    new = [file for file in files if file not in state.get("score_known_files", [])]
    state["score_known_files"] = list(files)
    if new:
        if state.get("score_reference") not in files:
            state["score_reference"] = new[0]
        state[f"{name}_source"] = OTHER if len(files) > 1 else WORSE
    if state.get("score_reference") not in (*files, *SAMPLES, *inspection.DIGIT_KEYS):
        state["score_reference"] = next(iter(files), None)


def _choose_original(name: str, reference_key: str, files: Files) -> str:
    options = list(files) if reference_key in files else [reference_key, *files]
    st.session_state[f"{name}_reference"] = reference_key
    chosen = st.selectbox(
        "Which picture is the original",
        options,
        key=f"{name}_reference",
        format_func=lambda key: files[key][0] if key in files else inspection.example_label(key),
    )
    st.session_state["score_reference"] = chosen
    return chosen


def _choose_candidate(
    name: str, reference_key: str, reference: Subject, files: Files
) -> tuple[Subject, tuple[tuple[str, float], ...], int]:
    source = WORSE
    if files:
        st.session_state.setdefault(f"{name}_source", OTHER if len(files) > 1 else WORSE)
        source = st.segmented_control(
            "What to judge",
            [WORSE, OTHER],
            required=True,
            key=f"{name}_source",
            persist_state="session",
            label_visibility="collapsed",
        )
    if source == WORSE:
        steps, seed = distortion_steps(name)
        return cached.distorted(reference.token, steps, seed, reference.pixels), steps, seed
    if st.session_state.get(f"{name}_other") not in files:
        st.session_state[f"{name}_other"] = next((key for key in files if key != reference_key), next(iter(files)))
    other = st.selectbox(
        "Which picture to judge", list(files), key=f"{name}_other", format_func=lambda key: files[key][0]
    )
    candidate = _read(name, other, files)
    _tell(candidate)
    return candidate, (), 0


def _choose_models(name: str) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    cards = cached.cards()
    card = choose_model(name, cards, DEFAULT_MODEL)
    if card is not None:
        validation = card.get("validation") or {}
        if "psnr" in validation:
            st.caption(f"{card['parameters']:,} parameters, {validation['psnr']:.1f} dB on pictures it has not seen.")
        if st.button("About this model", key=f"{name}_card", icon=":material/info:"):
            model_card(card)
    broken = [str(entry["name"]) for entry in cards if entry["reason"]]
    if broken:
        st.caption(plain(f"Not usable: {', '.join(broken)}. Why: python -m deconv_core models list"))
    deconv_card = next((entry for entry in cards if entry["name"] == DECONV_MODEL and not entry["reason"]), None)
    if deconv_card is None:
        st.caption("The grey model of the deconvolution score is not installed, so that score has no number.")
    return card, deconv_card


def _offer_reading(name: str, *subjects: Subject) -> None:
    """Choices on how files are read, shown only where they make a difference."""
    notes = " ".join(note for subject in subjects for note in subject.notes)
    if "Transparency" in notes:
        st.segmented_control(
            "Behind transparent pixels",
            ["white", "black"],
            default="white",
            required=True,
            key=f"{name}_background",
            persist_state="session",
        )
    if "for working" in notes or not st.session_state.get(f"{name}_reduce", True):
        st.toggle(
            "Work at reduced size",
            value=True,
            key=f"{name}_reduce",
            persist_state="session",
            help="Scores, pictures and maps are those of the reduced pictures. Without it every pixel is scored, which "
            "for 12 megapixels takes about half a minute at each change, and up to 5 GB of memory; pictures and maps "
            "are still shown reduced.",
        )


def _settle_sizes(name: str) -> str:
    words = {
        "refuse": "Do not compare",
        "resize": "Resize the image to judge",
        "crop": "Crop both to their common centre",
    }
    return st.segmented_control(
        "The sizes differ",
        list(words),
        format_func=words.get,
        default="refuse",
        required=True,
        key=f"{name}_mismatch",
        persist_state="session",
    )


def _read(name: str, key: str, files: Files) -> Subject:
    if key not in files:
        return cached.example(key)
    file_name, data = files[key]
    work_pixels = WORK_PIXELS if st.session_state.get(f"{name}_reduce", True) else 0
    background = st.session_state.get(f"{name}_background", "white")
    return cached.upload(key, background, MAX_PIXELS, QUICK_PIXELS, work_pixels, file_name, data)


def _tell(subject: Subject) -> None:
    st.text(f"{subject.name}, {subject.size}")
    for note in subject.notes:
        st.caption(plain(note))
