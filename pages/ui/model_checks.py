"""What a model lets through, and which sanity laws its scores hold: a quick look at once, all of it on request."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import streamlit as st

from deconv_core.metrics import METRICS
from deconv_core.model_checks import check_state, is_fully_checked, start_full_check
from deconv_core.models.saving import read_card
from deconv_core.spectrum import BANDS
from pages.ui import cached
from pages.ui.inputs import plain

_TICK_SECONDS = 3.0


def show_checks(name: str, file: Path, card: Mapping[str, Any], *, at_once: bool) -> None:
    """Capacity and sanity laws of a model of one's own, from its card.

    Args:
        name: Prefix of the widgets' keys.
        file: The model's file.
        card: Its card.
        at_once: Take the quick look without being asked.
    """
    st.markdown("**Does it copy everything? Does it blur everything?**")
    if "capacity" not in card:
        asked = at_once or st.button(
            "Take a quick look", key=f"{name}_look", help="Capacity, and the sanity laws on a few small photographs."
        )
        if not asked:
            st.caption("Not looked at yet.")
            return
        look_quickly(file, card)
        card = read_card(file)
    show_capacity(card)
    show_laws(card)
    state = check_state(file)
    if state.running:
        _await_check(file)
    elif not is_fully_checked(card):
        if state.last_line:
            st.caption(plain(f"The full check ended without a result: {state.last_line}"))
        if st.button("Check in full", key=f"{name}_full", help="Twenty photographs, twenty steps: some minutes."):
            start_full_check(file)
            st.rerun()


def look_quickly(file: Path, card: Mapping[str, Any]) -> None:
    """Put capacity and a small trial of the laws on a card that lacks them; takes seconds."""
    if "capacity" not in card:
        with st.spinner("Trying it on noise, blank and blurred pictures, and on the laws a score should hold"):
            cached.quick_look(str(file), card["digest"])


def _await_check(file: Path) -> None:
    def look() -> None:
        state = check_state(file)
        if not state.running:
            st.rerun()
        st.caption("The full check is running beside everything else; it takes some minutes.")
        st.code(state.command, language="bash", wrap_lines=True)

    st.fragment(look, run_every=_TICK_SECONDS)()


def show_capacity(card: Mapping[str, Any]) -> None:
    """The capacity panel of a card; nothing where it was not measured."""
    found = card.get("capacity")
    if not isinstance(found, Mapping):
        return
    warnings = found.get("warnings", [])
    for sentence in found.get("sentences", []):
        icon = ":material/warning:" if sentence in warnings else ":material/check:"
        st.markdown(f"{icon} {plain(sentence)}")
    kept = found.get("kept") or {}
    with st.container(horizontal=True, gap="medium"):
        st.metric("White noise that comes back", f"{found['noise_kept']:.0%}", width="content")
        for key, band in BANDS.items():
            if key in kept:
                st.metric(f"{band.label}", f"{kept[key]:.0%}", width="content")
    st.caption(
        f"Shares that come back through the model, of {found['pictures']} pictures and of white noise, where nothing "
        "can be guessed. A model that copies lets noise pass; one that blurs loses fine texture and detail first."
    )


def show_laws(card: Mapping[str, Any]) -> None:
    """The sanity laws of a card: how many scores hold them, and the sentences of those that do not."""
    laws = {key: found for key, found in (card.get("laws") or {}).items() if isinstance(found, Mapping)}
    if not laws:
        st.caption("The sanity laws have not been tried on this model yet.")
        return
    quick = next((found["quick"] for found in laws.values() if "quick" in found), None)
    held = sum(bool(found.get("passed")) for found in laws.values())
    st.markdown(f"**Sanity laws{' (a quick look)' if quick else ''}**: {held} of {len(laws)} scores hold every law.")
    if quick:
        st.caption(
            f"Tried on {quick['photographs']} pictures of {quick['side']} pixels in {quick['steps']} steps of each "
            "ladder. What breaks a law here breaks it; what holds here may still break one in the full check."
        )
    with st.expander("Which score breaks which law"):
        for key, found in laws.items():
            label = METRICS[key].label if key in METRICS else key
            told = "holds every law" if found.get("passed") else " ".join(found.get("failed") or ["breaks a law"])
            st.markdown(f"**{plain(label)}**: {plain(told)}")
