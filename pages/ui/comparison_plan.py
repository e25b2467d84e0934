"""What to compare: pictures, how they are made worse, metrics, model; what that costs, and the start."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import streamlit as st

from deconv_core import jobs
from deconv_core.calibrated_metrics import saved_names
from deconv_core.comparison import WORKING_PIXELS
from deconv_core.distortions import DISTORTIONS
from deconv_core.metrics import METRICS
from deconv_core.presets import time_words
from deconv_core.scoring import DEFAULT_MODEL
from pages.ui import cached
from pages.ui.comparison_data import label, row_of
from pages.ui.inputs import choose_model, plain
from pages.ui.job_panel import start_job
from pages.ui.training_data import Source, choose_source, look_at

if TYPE_CHECKING:
    from deconv_core.survey import Survey

USUAL_METRICS = (
    *("deconv", "deconv_control", "recon_pair_psnr", "recon_pair_ssim", "recon_self_ssim"),
    *("psnr", "ssim", "ms_ssim", "gmsd"),
)
SEVERITIES = (1, 2, 3, 4, 5)
_USUAL_IMAGES = 24
_MOST_IMAGES = 100_000


@dataclass(frozen=True)
class Plan:
    """A comparison as chosen on the page."""

    source: Source
    name: str
    num_images: int
    metrics: Sequence[str]
    distortions: Sequence[str]
    severities: Sequence[float]
    seed: int
    card: dict[str, Any] | None = field(default=None)

    @property
    def num_candidates(self) -> int:
        return self.num_images * len(self.distortions) * len(self.severities)

    def words(self) -> list[str]:
        """What follows `python -m deconv_core compare`."""
        words = ["--data", self.source.place, "--metrics", ",".join(self.metrics)]
        words += ["--distortions", ",".join(self.distortions)]
        words += ["--severities", ",".join(f"{severity:g}" for severity in self.severities)]
        words += ["--max-images", str(self.num_images), "--seed", str(self.seed)]
        words += ["--within-roots"] if self.source.roots is not None else []
        return [*words, "--model", self.card["name"]] if self.card else words


def plan(name: str) -> None:
    """Choose everything, see what it costs, start."""
    st.subheader("Pictures", anchor=False)
    source = choose_source(name, label="References, which are made worse on purpose")
    if source is None:
        return
    found = look_at(name, source)
    if not found.count:
        st.markdown("There is no picture that can be read; choose another source.")
        return
    st.subheader("What to compare", anchor=False)
    chosen, lacking = _choose(name, source, found)
    if lacking:
        st.markdown(lacking)
        return
    cost = st.container()
    if st.button("Start comparing", type="primary", key=f"{name}_start", icon=":material/play_arrow:"):
        start_job("compare", chosen.words(), name=chosen.name)
    with cost:
        _show_cost(chosen, found)


def _choose(name: str, source: Source, found: Survey) -> tuple[Plan, str]:
    """The plan, and one sentence on what it still lacks."""
    calibrated = [own for own in saved_names() if row_of(own) and row_of(own).needs_reference]
    metrics = st.multiselect(
        "Metrics", [*METRICS, *calibrated], default=list(USUAL_METRICS), key=f"{name}_metrics", persist_state="session",
        format_func=label,
        help="Scores that rebuild the picture stand beside familiar ones. What is not computed now cannot be looked at "
        "later.",
    )  # fmt: skip
    kinds = st.pills(
        "Distortions", list(DISTORTIONS), selection_mode="multi", default=list(DISTORTIONS), key=f"{name}_kinds",
        persist_state="session", format_func=lambda key: DISTORTIONS[key].label,
    )  # fmt: skip
    severities = st.pills(
        "Severities (1 just visible, 5 severe)", SEVERITIES, selection_mode="multi", default=SEVERITIES,
        key=f"{name}_severities", persist_state="session",
    )  # fmt: skip
    card = None
    with st.container(horizontal=True, vertical_alignment="bottom"):
        num_images = st.number_input(
            "Pictures, at most", 1, _MOST_IMAGES, min(found.count, _USUAL_IMAGES), key=f"{name}_{source.place}_images",
            persist_state="session", width=170, help="Drawn by the seed where the source holds more.",
        )  # fmt: skip
        seed = st.number_input(
            "Seed", 0, 10**6, 0, key=f"{name}_seed", persist_state="session", width=120,
            help="Fixes the noise, the lost blocks and which pictures are drawn.",
        )  # fmt: skip
        if any(key.startswith("recon_") for key in metrics):
            with st.container(width=330):
                card = choose_model(name, cached.cards(), DEFAULT_MODEL)
        given = st.text_input(
            "Name", value=f"{source.note}"[:60], max_chars=60, key=f"{name}_{source.place}_name",
            persist_state="session", width=260,
        )  # fmt: skip
    called = " ".join(given.split()).lstrip("-") or "Comparison"
    images = min(int(num_images), found.count)
    chosen = Plan(source, called, images, metrics, kinds, sorted(severities), int(seed), card)
    lacking = [
        words
        for words, missing in (
            ("at least one metric (two, to see which agree)", not metrics),
            ("at least one distortion", not kinds),
            ("at least one severity", not severities),
        )
        if missing
    ]
    return chosen, f"Choose {' and '.join(lacking)}." if lacking else ""


def _show_cost(chosen: Plan, found: Survey) -> None:
    """How many candidates, and about how long."""
    with st.container(horizontal=True, gap="medium"):
        st.metric("Candidates", f"{chosen.num_candidates:,}", width="content")
        place = st.empty()
    counts = " × ".join(
        f"{count:,} {word if count == 1 else words}"
        for count, word, words in (
            (chosen.num_images, "picture", "pictures"),
            (len(chosen.distortions), "distortion", "distortions"),
            (len(chosen.severities), "severity", "severities"),
        )
    )
    place.metric("Time", "…", width="content")
    with st.spinner("Measuring how long one takes here"):
        seconds = cached.pace(chosen.metrics, chosen.distortions, chosen.card)
    pixels = sum(min(width * height, WORKING_PIXELS) * count for (width, height), count in found.sizes.items())
    megapixels = pixels / max(1, sum(found.sizes.values())) / 1e6
    place.metric("Time", f"about {time_words(seconds * megapixels * chosen.num_candidates)}", width="content")
    others = sum(job.active for job in jobs.list_jobs())
    st.caption(
        plain(
            f"{counts}, each judged by {len(chosen.metrics)} {'metrics' if len(chosen.metrics) > 1 else 'metric'}. "
            "Measured on this machine; results can be looked at while it runs."
            + (f" Runs before it: {others}; it waits for its turn." if others else "")
        )
    )
