"""Review: one picture after another, one key each; and passes drawn by chance, to estimate what was missed."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import streamlit as st

from deconv_core.audit.earlier import taken_over
from deconv_core.audit.review import draw_surprise, miss_rate, outdated, read_surprise
from deconv_core.audit.table import Filter
from deconv_core.audit.words import evidence_columns, short
from deconv_core.errors import DeconvError, ImageError
from pages.ui import cached
from pages.ui.audit_data import ANY, DONE_WORDS, EVERYTHING, Audit, guarded, issue_words, issues
from pages.ui.audit_evidence import show_image
from pages.ui.inputs import plain
from pages.ui.sorter import Card, Choice, sorter

LONGEST_QUEUE = 5000
SURPRISE = "surprise"
_VIEW_PIXELS = 1_000_000
_SAMPLES = (20, 40, 100, 200)
_CHOICES = (
    Choice("keep", "Keep", "k", DONE_WORDS["keep"], "This picture is good"),
    Choice("drop", "Drop", "d", DONE_WORDS["drop"], "This picture goes to the bad list"),
    Choice("unsure", "Unsure", "u", DONE_WORDS["unsure"], "The checks decide"),
)


def show_review(name: str, audit: Audit) -> None:
    """Choose what to go through, then go."""
    st.fragment(_show)(name, audit.folder, audit)


def _show(name: str, folder, audit: Audit) -> None:
    # A fragment runs again with what it was given at first; decisions are read anew each time.
    audit = replace(audit)
    queue_name = _choose_queue(name, audit)
    queue = _queue(name, audit, queue_name)
    if not queue:
        if queue_name != SURPRISE:
            st.markdown("No picture is like that, so there is nothing to go through.")
        return
    _show_progress(audit, queue)
    place = sorter(
        queue, lambda image: _card(audit, image), _CHOICES, key=f"{name}_sorter",
        queue_name=f"{audit.token} {queue_name} {len(queue)}", height=460, label="Pictures to review",
        decide=lambda image, value: _decide(name, audit, image, value),
        undo=lambda: _undo(name, audit),
        end="That was the last one. What you decided is saved; lists and report follow it.",
    )  # fmt: skip
    if queue_name == SURPRISE:
        _show_miss_rate(audit)
    told = st.session_state.pop(f"{name}_told", "")
    if told:
        st.error(plain(told))
    if place < len(queue) and st.toggle(
        "Look closely: zoom, neighbours, error map, every value", key=f"{name}_closely", persist_state="session"
    ):
        show_image(name, audit, queue[place], decide=False)


def _choose_queue(name: str, audit: Audit) -> str:
    found = [issue for issue in issues(audit) if issue != EVERYTHING]
    options = [*found, SURPRISE]
    state = st.session_state
    if state.get(f"{name}_queue") not in options:
        state[f"{name}_queue"] = ANY
    with st.container(horizontal=True, vertical_alignment="bottom"):
        chosen = st.selectbox(
            "Go through", options, key=f"{name}_queue", persist_state="session", width=340,
            format_func=lambda key: "Surprise me: passes drawn by chance" if key == SURPRISE
            else f"{issue_words(key)}, riskiest first",
        )  # fmt: skip
        if chosen == SURPRISE:
            st.selectbox("How many", _SAMPLES, index=1, key=f"{name}_sample", persist_state="session", width=120)
            drawn = bool(read_surprise(audit.folder))
            st.button(
                "Draw others" if drawn else "Draw", key=f"{name}_draw", icon=":material/casino:", on_click=_draw,
                args=(name, audit), type="secondary" if drawn else "primary",
            )  # fmt: skip
        else:
            st.toggle("Only those without a decision", key=f"{name}_open", persist_state="session")
    if chosen == SURPRISE:
        st.caption(
            "Pictures that no check flags, drawn by chance from all levels of risk. What you drop among them tells how "
            "many bad pictures the checks have missed."
        )
    return chosen


def _draw(name: str, audit: Audit) -> None:
    before = read_surprise(audit.folder)
    seed = before["seed"] + 1 if before else int(audit.settings.get("seed", 0))
    count = st.session_state.get(f"{name}_sample", 40)
    guarded(
        name,
        lambda: draw_surprise(
            audit.folder, audit.table, count, seed=seed, thresholds=audit.thresholds, weights=audit.weights
        ),
    )


def _queue(name: str, audit: Audit, queue_name: str) -> list[str]:
    """Names in their order. It is fixed when it is chosen: a picture that is decided about keeps its place."""
    if queue_name == SURPRISE:
        drawn = read_surprise(audit.folder).get("images", [])
        known = {audit.name(place) for place in audit.table.select(Filter(images=frozenset(drawn)))}
        return [image for image in drawn if image in known]
    state, kept = st.session_state, f"{name}_queue_kept"
    is_open = bool(state.get(f"{name}_open"))
    ranked_by = (tuple(sorted(chosen.items())) for chosen in (audit.thresholds, audit.weights))
    wanted = (audit.token, queue_name, is_open, *ranked_by)
    if kept not in state or state[kept][0] != wanted:
        found = audit.table.select(audit.filter(queue_name))
        places = audit.table.order(found, "quality_risk", descending=True, risk=audit.risk)
        decided = audit.review.decisions if is_open else {}
        names = []
        for place in places:
            image = audit.name(place)
            if image not in decided:
                names.append(image)
            if len(names) == LONGEST_QUEUE:
                break
        state[kept] = (wanted, names)
    queue = state[kept][1]
    if len(queue) == LONGEST_QUEUE:
        st.caption(f"The {LONGEST_QUEUE:,} riskiest of them; those without a decision follow when these are done.")
    return queue


def _card(audit: Audit, image: str) -> Card:
    row = audit.table.row(image, [*evidence_columns(audit.table.checks), "digest"])
    facts = audit.facts(row) or ["No check flags it."]
    decision = audit.review.decisions.get(image, "")
    try:
        picture, changed = cached.audit_picture(str(audit.folder), image, row["digest"], _VIEW_PIXELS, audit.table)
    except ImageError as error:
        return Card(None, short(image), facts, decision, str(error))
    return Card(picture, short(image), [changed, *facts] if changed else facts, decision)


def _decide(name: str, audit: Audit, image: str, value: str) -> None:
    guarded(name, audit.review.decide, image, value)
    if audit.review.decisions.get(image) == value:
        st.session_state.setdefault(f"{name}_mine_{audit.token}", []).append(image)


def _undo(name: str, audit: Audit) -> str | None:
    """Of two people at one set each takes back what they decided themselves; then whatever came last."""
    mine = st.session_state.get(f"{name}_mine_{audit.token}")
    try:
        return audit.review.undo(mine.pop() if mine else None)
    except DeconvError as error:
        st.session_state[f"{name}_told"] = str(error)
        return None


def _show_progress(audit: Audit, queue: list[str]) -> None:
    done, total = audit.review.progress(queue)
    counts = audit.review.counts()
    st.progress(
        done / total,
        text=f"{done:,} of {total:,} decided here. In the whole set: {counts['keep']:,} kept, "
        f"{counts['drop']:,} dropped, {counts['unsure']:,} unsure.",
    )
    told = taken_over(audit.folder)
    if told:
        st.caption(plain(told))


def _show_miss_rate(audit: Audit) -> None:
    sample = read_surprise(audit.folder)
    stale = outdated(sample, audit.table, audit.thresholds)
    if stale:
        st.warning(plain(stale), icon=":material/casino:")
        return
    found = miss_rate(sample, audit.review.decisions)
    if math.isnan(found.rate):
        st.caption("Keep or drop the first of them, and the estimate stands here.")
        return
    low, high = (int(np.round(share * found.passes)) for share in (found.low, found.high))
    with st.container(horizontal=True, gap="medium"):
        st.metric("Missed, estimated", f"{found.rate:.1%}", width="content")
        st.metric("95 % interval", f"{found.low:.1%} to {found.high:.1%}", width="content")
        st.metric("Judged", f"{found.judged:,} of {found.sampled:,}", width="content")
    st.caption(
        f"Of {found.judged:,} passes that were judged you dropped {found.missed:,}. Among all {found.passes:,} passes "
        f"that would be {low:,} to {high:,} bad pictures. Judge more of them and the interval shrinks."
    )
