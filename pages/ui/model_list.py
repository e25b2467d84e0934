"""The list of models with their main numbers, and what can be done with one of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import streamlit as st

from deconv_core.errors import DeconvError
from deconv_core.models.capacity import code_share
from deconv_core.publishing import delete_model, model_zip, rename_model
from pages.ui import cached
from pages.ui.inputs import plain
from pages.ui.model_card import model_card
from pages.ui.model_checks import show_capacity, show_checks, show_laws

_ORIGINS = {"bundled": "came with this software", "workspace": "your own"}


def show_models(name: str) -> None:
    """A table of all models, then one of them in detail."""
    cards = cached.cards()
    if not cards:
        st.markdown("There is no model here. Train one, or import one.")
        return
    st.dataframe(_table(cards), hide_index=True, height="content", column_config=_COLUMNS)
    names = [card["name"] for card in cards]
    key = f"{name}_chosen"
    if st.session_state.get(key) not in names:
        st.session_state[key] = names[-1] if cards[-1]["origin"] == "workspace" else names[0]
    labels = {card["name"]: f"{card.get('label') or card['name']} ({card['name']})" for card in cards}
    chosen = st.selectbox("Look at one", names, format_func=labels.get, key=key, persist_state="session")
    card = next(card for card in cards if card["name"] == chosen)
    if card["reason"]:
        st.caption(plain(f"It cannot be used: {card['reason']}"))
    _actions(name, card)
    if card["reason"]:
        return
    if card["origin"] == "workspace":
        show_checks(name, Path(card["path"]), card, at_once=False)
    else:
        show_capacity(card)
        show_laws(card)


_COLUMNS = {
    "PSNR, dB": st.column_config.NumberColumn(format="%.2f", help="Validation, higher is better."),
    "SSIM": st.column_config.NumberColumn(format="%.4f", help="Validation, higher is better."),
    "Parameters": st.column_config.NumberColumn(format="localized"),
    "Code": st.column_config.NumberColumn(format="%.3f", help="Numbers in the code for each number in the picture."),
}


def _table(cards: list[dict[str, Any]]):
    import pandas as pd

    rows = []
    for card in cards:
        validation = card.get("validation") or {}
        laws = [found for found in (card.get("laws") or {}).values() if isinstance(found, Mapping)]
        held = f"{sum(bool(found.get('passed')) for found in laws)} of {len(laws)}" if laws else "not tried"
        rows.append(
            {
                "Name": card["name"],
                "What": str(card.get("label") or card["name"]),
                "From": _ORIGINS[card["origin"]],
                "PSNR, dB": validation.get("psnr"),
                "SSIM": validation.get("ssim"),
                "Parameters": card.get("parameters"),
                "Code": code_share(card),
                "Laws held": held,
                "Trained to": card.get("objective", ""),
                "Trained on": str(card.get("trained_on", "")),
                "Can be used": "no" if card["reason"] else "yes",
            }
        )
    return pd.DataFrame(rows)


def _actions(name: str, card: Mapping[str, Any]) -> None:
    state = st.session_state
    own, usable = card["origin"] == "workspace", not card["reason"]
    with st.container(horizontal=True):
        if usable and st.button("Card", key=f"{name}_card", icon=":material/description:"):
            model_card(card)
        if usable:
            st.download_button(
                "Download",
                lambda: model_zip(card["path"]),
                f"{card['name']}.zip",
                "application/zip",
                key=f"{name}_zip",
                on_click="ignore",
                icon=":material/download:",
                help="The .keras file and its card, in a zip file.",
            )
            if st.button("Score an image with it", key=f"{name}_score", icon=":material/compare:"):
                state.pop("score_link_read", None)
                sample = "digit_1" if card.get("architecture") == "article" else "coffee"
                st.switch_page("pages/score_images.py", query_params={"sample": sample, "model": card["name"]})
        if own and usable:
            with st.popover("Rename", icon=":material/edit:"):
                st.text_input("New name", card.get("label") or card["name"], 60, key=f"{name}_new_name_{card['name']}")
                st.button("Rename it", key=f"{name}_rename", on_click=_rename, args=(name, card["name"]))
        if own:
            with st.popover("Delete", icon=":material/delete:"):
                st.markdown(f"{plain(card.get('label') or card['name'])} goes for good: its file and its card.")
                st.button("Delete this model", key=f"{name}_delete", on_click=_delete, args=(name, card["name"]))
    refused = state.pop(f"{name}_refused", "")
    if refused:
        st.error(plain(refused))


def _rename(name: str, model: str) -> None:
    """Before the page runs again: a callback must not raise, so a refusal is kept for the screen."""
    state = st.session_state
    wanted = state[f"{name}_new_name_{model}"]
    try:
        state[f"{name}_chosen"] = rename_model(model, wanted, label=wanted)["name"]
    except DeconvError as error:
        state[f"{name}_refused"] = str(error)


def _delete(name: str, model: str) -> None:
    try:
        delete_model(model)
    except DeconvError as error:
        st.session_state[f"{name}_refused"] = str(error)
