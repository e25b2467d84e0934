"""The card of a model: what it is, what it was trained on, how good it is, and which sanity laws it holds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from deconv_core.errors import DeconvError
from deconv_core.figures import architecture_figure, plot_config
from deconv_core.metrics import METRICS
from pages.ui import cached
from pages.ui.inputs import plain
from pages.ui.model_checks import show_capacity

_OBJECTIVES = {
    "reconstruct": "give back the picture it was shown",
    "restore": "give back the clean picture when shown a degraded one",
}


@st.dialog("Model card", width="large")
def model_card(card: Mapping[str, Any]) -> None:
    """Show one card in a dialog; TensorFlow is needed only for the drawing, which comes last."""
    st.markdown(f"### {plain(card.get('label') or card['name'])}")
    validation = card.get("validation") or {}
    with st.container(horizontal=True, gap="large"):
        st.metric("Parameters", f"{card['parameters']:,}", width="content")
        if "psnr" in validation:
            st.metric("Validation PSNR", f"{validation['psnr']:.2f} dB", width="content")
            st.metric("Validation SSIM", f"{validation['ssim']:.4f}", width="content")
        st.metric("Size of the file", f"{card['bytes'] / 2**20:.1f} MiB", width="content")
    facts = {
        "Trained to": _OBJECTIVES.get(card.get("objective"), card.get("objective")),
        "Trained on": card.get("trained_on"),
        "Trained at": card.get("trained_at"),
        "Validated on": f"{validation.get('images', '?')} patches or pictures, {validation.get('set', '')}",
        "Pictures": "grey, one channel" if card["channels"] == 1 else "colour, three channels",
        "Code": f"{card['code_channels']} channels for every {card['stride']} × {card['stride']} pixels",
        "Degradations seen": _degradations(card.get("degradations")),
        "Loss": card.get("loss"),
        "Licence": card.get("licence"),
        "Digest": card["digest"][:16],
    }
    st.table({name: plain(value) for name, value in facts.items() if value}, border="horizontal", hide_header=True)
    if card.get("command"):
        st.caption("Made by this command")
        st.code(card["command"], language="bash", wrap_lines=True)
    _measures(card)
    if "capacity" in card:
        st.markdown("**Does it copy everything? Does it blur everything?**")
        show_capacity(card)
    _laws(card)
    try:
        chosen = cached.model(card)
        rows = cached.layers(card["name"], card["digest"], 28 if card["architecture"] == "article" else 512, chosen)
        st.plotly_chart(
            architecture_figure(rows), config=plot_config(f"{card['name']}_architecture"), theme="streamlit"
        )
        st.caption("Point at a block to see its layers.")
    except DeconvError as error:
        st.caption(plain(error))


def _degradations(given: Any) -> str:
    if not isinstance(given, Mapping):
        return ""
    return ", ".join(f"{kind} {span[0]:g} to {span[1]:g}" for kind, span in given.items())


def _measures(card: Mapping[str, Any]) -> None:
    for data, numbers in (card.get("measures") or {}).items():
        if isinstance(numbers, Mapping):
            st.caption(f"Measured on {plain(data)}")
            st.dataframe(
                {
                    "Measure": [name.replace("_", " ") for name in numbers],
                    "Value": [
                        f"{value:.4g}" if isinstance(value, int | float) else str(value) for value in numbers.values()
                    ],
                },
                hide_index=True,
                height="content",
            )
    verdict = (card.get("checkerboard") or {}).get("verdict")
    if verdict:
        st.caption(f"Checkerboard meter: {plain(verdict)}")


def _laws(card: Mapping[str, Any]) -> None:
    laws = {key: found for key, found in (card.get("laws") or {}).items() if isinstance(found, Mapping)}
    if not laws:
        st.caption("The sanity laws have not been tried on this model yet.")
        return
    held = [key for key, found in laws.items() if found.get("passed")]
    st.markdown(f"**Sanity laws**: {len(held)} of {len(laws)} scores made with this model hold every law.")
    if any("quick" in found for found in laws.values()):
        st.caption("This was a quick look: what holds here may still break a law in the full check.")
    for key, found in laws.items():
        label = METRICS[key].label if key in METRICS else plain(key)
        if key in held:
            st.caption(f"{label}: holds every law.")
        else:
            st.caption(f"{label}: {plain(' '.join(found.get('failed') or ['breaks a law.']))}")
