"""What to audit: pictures, checks, model, calibrated quality; and the start."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import streamlit as st

from deconv_core.audit.checks import CHECKS, FAMILIES
from deconv_core.audit.words import threshold_words
from deconv_core.errors import DeconvError
from deconv_core.named_sets import NAMES
from deconv_core.scoring import DEFAULT_MODEL
from pages.ui import cached
from pages.ui.inputs import plain
from pages.ui.job_panel import start_job
from pages.ui.training_data import Source, choose_source

NONE = ""
QUALITY_CHECK = "low_quality"
HERE = "threads"  # what --scheduler takes for this machine


@dataclass(frozen=True)
class Plan:
    """An audit as chosen on the page."""

    source: Source
    checks: Sequence[str]
    model: str = NONE
    quality: str = NONE
    include: str = "*"
    cluster: bool = True

    @property
    def possible(self) -> list[str]:
        """The checks that can be made with what was chosen."""
        return [row.key for row in CHECKS.values() if can_make(row.key, self.model, self.quality)]

    def words(self) -> list[str]:
        """What follows `python -m deconv_core audit`: always within the roots, for a page is open to many."""
        place = self.source.place
        words = [f"./{place}" if place.startswith("-") else place]
        made = [key for key in self.possible if key in self.checks]
        if made != self.possible:
            words.append(f"--checks={','.join(made)}")
        for option, value, usual in (
            ("--model", self.model if any(_is_of_model(key) for key in made) else NONE, NONE),
            ("--quality", self.quality if QUALITY_CHECK in made else NONE, NONE),
            ("--include", self.include, "*"),
            ("--scheduler", "" if self.cluster else HERE, ""),
        ):
            if value != usual:
                words.append(f"{option}={value}")  # one word: a value that begins with a dash is still a value
        return [*words, "--within-roots"]


def _is_of_model(key: str) -> bool:
    return CHECKS[key].needs_model and key != QUALITY_CHECK


def can_make(key: str, model: str, quality: str) -> bool:
    """Whether a check has what it needs."""
    return not CHECKS[key].needs_model or bool(quality if key == QUALITY_CHECK else model)


def plan(name: str) -> None:
    """Choose everything, start."""
    st.subheader("Pictures", anchor=False)
    source = choose_source(name, label="Pictures to audit")
    if source is None or not _look(source):
        return
    st.subheader("Checks", anchor=False)
    chosen = _choose(name, source)
    with st.expander("What each check measures, and when it flags a picture"):
        show_rules(chosen.possible)
    if not set(chosen.checks) & set(chosen.possible):
        st.markdown("Choose at least one check.")
        return
    if st.button("Start the audit", type="primary", key=f"{name}_start", icon=":material/play_arrow:"):
        start_job("audit", chosen.words(), name=source.note)
    st.caption(
        "The first findings are on screen after a few seconds: the quick checks come first, the model afterwards. "
        "The audit goes on when this page is closed. Your pictures are only read, never changed, moved or deleted."
    )


def _look(source: Source) -> bool:
    """Whether there is anything to audit, told in one line; not more than a moment is spent on it."""
    if "://" in source.place or "::" in source.place:
        cached.audit_address(source.place)  # refuses what is none
        return True
    if source.place in NAMES:
        return True
    count, complete = cached.audit_count(source.place, source.roots)
    if not count:
        raise DeconvError(f"'{source.place}' holds no picture; choose a folder, archive or table with pictures in it.")
    pictures = "picture" if count == 1 else "pictures"
    st.caption(f"{count:,} {pictures} found." if complete else f"More than {count:,} {pictures} found.")
    return True


def _choose(name: str, source: Source) -> Plan:
    first, second = st.columns(2, gap="small")
    with first:
        model = _choose_model(name)
    with second:
        quality = _choose_quality(name)
    with st.expander("More: single checks, name pattern"):
        chosen = []
        for family, title in FAMILIES.items():
            keys = [key for key, row in CHECKS.items() if row.family == family and can_make(key, model, quality)]
            if keys:
                chosen += st.pills(
                    title, keys, selection_mode="multi", default=keys, key=f"{name}_checks_{family}_{len(keys)}",
                    format_func=lambda key: CHECKS[key].label, persist_state="session",
                )  # fmt: skip
        left, right = st.columns(2, gap="large")
        include = left.text_input(
            "File-name pattern", "*", key=f"{name}_include", persist_state="session", help="Such as holiday_*.jpg"
        ).strip()
        cluster = _choose_cluster(name, right)
    return Plan(source, chosen, model, quality, include or "*", cluster)


def _choose_cluster(name: str, place) -> bool:
    """Whether to work on the cluster whose scheduler the server was told; nobody else may name one.

    What a scheduler sends is run on this machine, so its address is for whoever started the server to choose.
    """
    address = os.environ.get("DASK_SCHEDULER_ADDRESS", "")
    if not address:
        return True
    return place.checkbox(
        plain(f"Spread the work over the cluster at {address}"), value=True, key=f"{name}_cluster",
        persist_state="session", help="Its workers must see the pictures under the same path.",
    )  # fmt: skip


def _choose_model(name: str) -> str:
    usable = {card["name"]: card for card in cached.cards() if not card["reason"]}
    return st.selectbox(
        "Model", [NONE, *usable], index=1 + list(usable).index(DEFAULT_MODEL) if DEFAULT_MODEL in usable else 0,
        key=f"{name}_model", persist_state="session",
        format_func=lambda model: str(usable[model].get("label") or model) if model else "None: quick checks only",
        help="It rebuilds every picture. What it cannot rebuild is unlike what it has learned: often something that "
        "does not belong into the set.",
    )  # fmt: skip


def _choose_quality(name: str) -> str:
    names = cached.quality_metrics()
    return st.selectbox(
        "Predicted quality", [NONE, *names], key=f"{name}_quality", persist_state="session",
        format_func=lambda metric: names[metric] if metric else "None",
        help="What people would say of each picture, from 0 (bad) to 100 (excellent), predicted by the bundled score "
        "without a reference, or by a metric of your own that was calibrated on human scores (page Compare metrics). "
        "It takes longer than the other checks.",
    )  # fmt: skip


def show_rules(keys: Sequence[str]) -> None:
    """A table of checks: what is measured, and the usual threshold."""
    rows = [CHECKS[key] for key in keys]
    st.table(
        {
            "Check": [row.label for row in rows],
            "Flagged": [threshold_words(row.key, row.threshold) for row in rows],
            "What is measured": [row.rule for row in rows],
        },
        hide_index=True,
    )
