"""What a photograph is worth without a reference: the predicted human score, why, where, and how far to trust it."""

from __future__ import annotations

import streamlit as st

from deconv_core.figures import map_legend
from deconv_core.inspection import broken_laws, map_scale
from deconv_core.metrics import METRICS
from deconv_core.quality_reasons import in_words
from deconv_core.residual_statistics import SMALLEST_SIDE
from pages.ui import cached
from pages.ui.cached import VIEW_PIXELS, Pair
from pages.ui.inputs import plain
from pages.ui.viewer import Legend, Shot, viewer


def show_quality(name: str, pair: Pair) -> None:
    """Both pictures of a pair, each judged by itself."""
    if min(pair.reference.shape[:2]) < SMALLEST_SIDE:
        st.caption(f"Judging without a reference needs pictures of at least {SMALLEST_SIDE} pixels each way.")
        return
    roles = {
        "reference": ("Reference", pair.reference_token, pair.reference),
        "candidate": ("Image to judge", pair.candidate_token, pair.candidate),
    }
    shots = []
    for column, (role, (label, token, pixels)) in zip(st.columns(2, gap="large"), roles.items(), strict=True):
        found = cached.quality(token, pixels)
        with column:
            _numbers(label, found)
        top, unit = map_scale("deconv_quality")
        legend = map_legend(0, top, unit)
        shots += [
            Shot(role, label, cached.png(token, VIEW_PIXELS, pixels)),
            Shot(
                f"{role}_quality",
                f"{label}: where quality is lost",
                cached.quality_map_png(token, pixels),
                "Each neighbourhood judged by itself, with the light and colours of the whole. Black is best.",
                Legend(legend["low"], legend["high"], legend["unit"], legend["colours"]),
            ),
        ]
    viewer([shots[2], shots[3], shots[0], shots[1]], key=f"{name}_quality_viewer", height=420)
    with st.expander("How far to trust it"):
        st.markdown(plain_card(cached.quality_card()))
    mind = broken_laws(cached.quality_card(), ["deconv_quality"]), METRICS["deconv_quality"].warning
    st.caption(plain(" ".join(filter(None, mind))))


def _numbers(label: str, found: cached.Quality) -> None:
    """Score with its interval and control, detail, and the reasons."""
    judged = found.judgement
    st.markdown(f"**{label}**, looked at alone")
    with st.container(horizontal=True, gap="large"):
        st.metric(
            "Quality, 0 to 1",
            f"{judged.score:.2f}",
            f"control: {found.control:.2f}",
            delta_color="off",
            delta_arrow="off",
            help=plain(
                f"Predicted mean opinion score, higher is better: {METRICS['deconv_quality'].good}. The control is the "
                "same with a plain blur in the place of the network."
            ),
            width="content",
        )
        st.metric(
            "Detail, 0 to 255",
            f"{found.detail:.2f}",
            help=plain(f"Mean absolute residual of the network, in steps of 8 bits. {METRICS['detail'].warning}"),
            width="content",
        )
    st.caption(
        f"People rated 95 of 100 photographs with such a score between {judged.low:.2f} and {judged.high:.2f}. "
        + plain(in_words(judged.reasons) or "No kind of statistic stands out.")
    )


def plain_card(card: dict) -> str:
    """What the card of the score says about itself, as Markdown; numbers only, no text from outside."""
    held_out = card["held_out"]
    network, control, apart = (held_out[key] for key in ("network", "control", "network less control"))

    def told(row: list[float]) -> str:
        return f"{row[0]:.3f} [{row[1]:.3f}, {row[2]:.3f}]"

    lines = [
        f"Calibrated on {card['count']:,} photographs with human scores ({plain(card['calibrated_on']['data_set'])}); "
        f"measured on {held_out['count']:,} others of {held_out['scenes']:,} scenes, none of which it had seen. "
        "SRCC with 95 % intervals:",
        "",
        "| | network | control |",
        "|---|---|---|",
    ]
    names = {
        "within": "**mean within the three subsets** (the figure that counts)",
        "ss01": "within ss01: scenes shot with many settings",
        "ss02": "within ss02: everyday photographs",
        "ss03": "within ss03: mostly good photographs",
        "pooled": "all together",
    }
    for key, words in names.items():
        lines.append(f"| {words} | {told(network[key])} | {told(control[key])} |")
    chance = "no more than chance" if apart["within"][1] <= 0 else "more than chance"
    value, low, high = apart["within"]
    lines += [
        "",
        f"The control is the same without the network, which adds {value:+.3f} [{low:+.3f}, {high:+.3f}] within the "
        f"subsets: {chance}. Knowing only which subset a photograph comes from already gives "
        f"{held_out['subset alone']['pooled'][0]:.3f} for all together. {plain(card['near_duplicates'])} The interval "
        f"beside a score covered {held_out['interval_covers']:.0%} of these photographs. {plain(card['use'])}",
    ]
    return "\n".join(lines)
