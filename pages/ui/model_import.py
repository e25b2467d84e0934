"""Take in a `.keras` file from outside: checked before Keras sees it, and a plain report of what was looked at."""

from __future__ import annotations

import tempfile
from pathlib import Path

import streamlit as st

from deconv_core.models.saving import import_model
from deconv_core.presets import model_name
from deconv_core.uploads import safe_name
from pages.ui import cached
from pages.ui.inputs import plain


def show_import(name: str) -> None:
    """Upload, check, report."""
    st.markdown(
        "A model from outside is a program. The file is therefore checked layer by layer against a list of harmless "
        "ones **before** Keras opens it, and loaded for the first time in a process with limits, which writes it anew."
    )
    turn = st.session_state.setdefault("import_turn", 0)
    file = st.file_uploader(
        "A .keras file of Keras 3: one picture in, one of the same size out", type=["keras"], key=f"{name}_file_{turn}"
    )
    wanted = st.text_input("Name here", key=f"{name}_import_name", placeholder="the file's own name", max_chars=60)
    if st.button("Check and import", key=f"{name}_import", type="primary", disabled=file is None):
        stem = safe_name(file.name).removesuffix(".keras") or "model"
        with (
            tempfile.TemporaryDirectory() as box,
            st.spinner("Checking the file, then loading it in a limited process"),
        ):
            copy = Path(box, f"{stem}.keras")
            copy.write_bytes(file.getbuffer())
            card = import_model(copy, name=model_name(wanted) if wanted.strip() else None)
        st.session_state[f"{name}_imported"] = card["name"]
        st.session_state["import_turn"] = turn + 1  # an empty widget: the file leaves memory
        st.rerun()
    imported = st.session_state.get(f"{name}_imported")
    card = next((card for card in cached.cards() if card["name"] == imported), None)
    if card is not None and not card["reason"]:
        _report(card)


def _report(card) -> None:
    st.markdown(f":material/check: **{plain(card['name'])}** was taken in and stands in every list of models.")
    for sentence in card.get("checks", []):
        st.markdown(f":material/check: {plain(sentence)}")
    for note in card.get("notes", []):
        st.markdown(f":material/info: {plain(note)}")
    layers = ", ".join(f"{count} {kind}" for kind, count in (card.get("layers") or {}).items())
    colours = "colour pictures" if card["channels"] == 3 else "grey pictures"
    st.caption(
        plain(
            f"{card['parameters']:,} parameters, {colours}, sizes in multiples of {card['stride']} (others padded), "
            f"code layer: {card.get('code_layer') or 'none found'}. Layers: {layers}. How it was trained is not "
            "known, so its capacity and the sanity laws come next, under Models."
        )
    )
