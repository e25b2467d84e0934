"""Scores on the screen: each number with its direction, what is good, its recipe, its control and its warning."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from deconv_core.inspection import broken_laws, range_words, score_words
from deconv_core.metrics import METRICS
from pages.ui.cached import Pair
from pages.ui.inputs import plain

HEADLINE = {
    "deconv": "Deconvolution score",
    "deconv_control": "Control: no network",
    "gradient_information": "Gradient, information",
    "psnr": "PSNR",
    "ssim": "SSIM",
    "ms_ssim": "MS-SSIM",
}
# Name, what is compared with what, key -> label.
_RECOVERED = (
    (
        "Recovered with recovered",
        "what the model makes of the one and of the other",
        {"recon_pair_psnr": "PSNR", "recon_pair_ssim": "SSIM"},
    ),
    (
        "Recovered with true",
        "what it makes of the image to judge, beside the reference",
        {"recon_true_psnr": "PSNR", "recon_true_ssim": "SSIM"},
    ),
    (
        "Recovered with itself",
        "what it makes of the image to judge, beside that image",
        {"recon_self_psnr": "PSNR", "recon_self_ssim": "SSIM"},
    ),
)
PRIMARY = (*HEADLINE, *(key for _, _, keys in _RECOVERED for key in keys))


def show_headline(scores: Mapping[str, float], pair: Pair, recipes: Mapping[str, Any]) -> None:
    """The deconvolution score with its control, and the metrics that need no network."""
    with st.container(horizontal=True, gap="medium"):
        for key, label in HEADLINE.items():
            _number(label, key, scores, recipes, beside=key == "deconv")
    st.caption(
        f"Higher is better for all. The first three run from 0 to 100: {METRICS['deconv'].good}. {_added(scores)} "
        f"PSNR: {METRICS['psnr'].good}. SSIM and MS-SSIM, up to 1: {METRICS['ssim'].good}. "
        "The question marks hold the recipes."
    )
    _mind(scores, pair.deconv_card, tuple(HEADLINE))


def show_recovered(scores: Mapping[str, float], pair: Pair, recipes: Mapping[str, Any]) -> None:
    """The three reconstruction scores, each with its control under it and its warning."""
    if pair.card is None:
        st.caption("Reconstruction scores need a model.")
        return
    for heading, what, keys in _RECOVERED:
        st.markdown(f"**{heading}**: {what}")
        with st.container(horizontal=True, gap="large"):
            for key, label in keys.items():
                _number(label, key, scores, recipes)
        _mind(scores, pair.card, tuple(keys))


def _number(
    label: str, key: str, scores: Mapping[str, float], recipes: Mapping[str, Any], *, beside: bool = False
) -> None:
    """One number with its control under it, unless that stands beside it."""
    row, made = METRICS[key], recipes[key]
    words = [
        f"{row.label}: {range_words(row)}. What is good: {row.good}.",
        f"Recipe: {made['convention']}; {made['window']}.",
        f"Version {row.version}, recipe {made['hash']}.",
    ]
    st.metric(
        label,
        score_words(row, scores[key]),
        f"control: {score_words(METRICS[row.control], scores[row.control])}" if row.control and not beside else None,
        delta_color="off",
        delta_arrow="off",
        help=plain(" ".join(words)),
        width="content",
    )


def _added(scores: Mapping[str, float]) -> str:
    if math.isnan(scores["deconv"]):  # the model is missing or the picture too small
        return ""
    return (
        "The control puts a plain blur in the place of the network, which here makes a difference of "
        f"{scores['deconv'] - scores['deconv_control']:+.2f}."
    )


def _mind(scores: Mapping[str, float], card: Mapping[str, Any] | None, keys: Sequence[str]) -> None:
    """What to mind when reading these scores, in one caption."""
    measured = [key for key in keys if not math.isnan(scores[key])]
    sentences = METRICS[keys[0]].warning, broken_laws(card or {}, measured)
    if any(sentences):
        st.caption(plain(" ".join(filter(None, sentences))))


def show_table(scores: Mapping[str, float], recipes: Mapping[str, Any]) -> None:
    """Every metric with what is good in a table that wraps on a phone; range, key and recipe below."""
    import pandas as pd

    rows = [METRICS[key] for key in scores]
    words = {row.key: score_words(row, scores[row.key]) for row in rows}
    controls = [f" (control: {words[row.control]})" if row.control else "" for row in rows]
    st.table(
        pd.DataFrame(
            {
                "Metric": [plain(row.label) for row in rows],
                "Score": [plain(words[row.key] + control) for row, control in zip(rows, controls, strict=True)],
                "What is good": [plain(row.good) for row in rows],
            }
        ),
        border="horizontal",
        hide_index=True,
    )
    with st.expander("Range, direction, key and recipe of each"):
        st.dataframe(
            pd.DataFrame(
                {
                    "Metric": [row.label for row in rows],
                    "Range and direction": [range_words(row) for row in rows],
                    "Key": [row.key for row in rows],
                    "Recipe": [recipes[row.key]["hash"] for row in rows],
                    "Mind": [row.warning for row in rows],
                }
            ),
            hide_index=True,
            height="content",
        )
    with st.expander("Recipes: how each number is made"):
        st.json({key: recipes[key] for key in scores}, expanded=1)


def plain_score(key: str, value: float) -> str:
    """A score in words, by its key."""
    return score_words(METRICS[key], value)
