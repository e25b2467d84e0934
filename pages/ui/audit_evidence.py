"""One picture large, with the evidence: values, thresholds, rules, neighbours, what the model made of it."""

from __future__ import annotations

import math
from typing import Any

import streamlit as st

from deconv_core.audit.checks import CHECKS
from deconv_core.audit.recipes import recipes_of
from deconv_core.audit.reference import percentile, reference_set
from deconv_core.audit.review import DECISIONS
from deconv_core.audit.risk import contributions
from deconv_core.audit.words import evidence_columns, lower, short, threshold_words
from deconv_core.errors import DeconvError, ImageError
from deconv_core.figures import map_legend
from deconv_core.inspection import map_scale
from pages.ui import cached
from pages.ui.audit_data import DONE_WORDS, Audit, guarded, value_words
from pages.ui.cached import VIEW_PIXELS
from pages.ui.inputs import plain
from pages.ui.viewer import Legend, Shot, viewer

_NEIGHBOUR_WORDS = {"exact_duplicate": "the same bytes", "near_duplicate": "looks alike"}


def open_image(name: str, image: str) -> None:
    """Turn the page to one picture."""
    st.session_state[f"{name}_view"] = "gallery"
    st.session_state[f"{name}_chosen"] = image


def show_image(name: str, audit: Audit, image: str, *, decide: bool = True) -> None:
    """Viewer, evidence, all values."""
    row = audit.table.row(image, [*evidence_columns(audit.table.checks), "status", "digest", "bits"])
    left, right = st.columns([3, 2], gap="large")
    with left:
        _show_pictures(name, audit, row)
    with right:
        if decide:
            _show_decision(name, audit, image)
        _show_evidence(audit, row)
    with st.expander("Every value of this picture"):
        _show_values(audit, row)


def _show_pictures(name: str, audit: Audit, row: dict[str, Any]) -> None:
    """The picture, those it is like, and what the model made of it: in the one viewer."""
    folder, table = str(audit.folder), audit.table
    shots, lacking = [], []
    for key, label, image, digest in _pictures(audit, row):
        try:
            png, changed = cached.audit_picture(folder, image, digest, VIEW_PIXELS, table)
        except ImageError as error:
            lacking.append(str(error))
            continue
        shots.append(Shot(key, label, png, short(image)))
        if changed:
            lacking.append(f"{short(image)}: {changed[0].lower()}{changed[1:]}")
    if shots and shots[0].key == "image" and audit.settings.get("model"):
        shots += _rebuilt(audit, row)
    if shots:
        viewer(shots, key=f"{name}_viewer", height=460)
    for sentence in lacking:
        st.caption(plain(sentence))


def _pictures(audit: Audit, row: dict[str, Any]) -> list[tuple[str, str, str, str]]:
    """(key, label, name, digest) of the picture and of those it is like."""
    found = [("image", "This picture", row["image"], row["digest"])]
    for check, words in _NEIGHBOUR_WORDS.items():
        other = row.get(CHECKS[check].neighbour_column) if check in audit.table.checks else None
        if other:
            try:
                found.append((check, f"Earlier one: {words}", other, audit.table.row(other, ["digest"])["digest"]))
            except DeconvError:  # gone since
                continue
    return found


def _rebuilt(audit: Audit, row: dict[str, Any]) -> list[Shot]:
    wanted = audit.settings["model"]
    card = next((card for card in cached.cards() if card["name"] == wanted and not card["reason"]), None)
    if card is None or row["status"] != "ok":
        return []
    max_side = int(audit.settings.get("max_side", 0))
    try:
        seen, made, coloured = cached.audit_rebuilt(
            str(audit.folder), row["image"], row["digest"], max_side, card["digest"], audit.table, card
        )
    except DeconvError:  # too small for the model, or gone, which is said already
        return []
    shots = [
        Shot("rebuilt", "As the model rebuilt it", made),
        Shot("seen", "As the model was shown it", seen, "Reduced, as in the audit."),
    ]
    if coloured is not None:
        top, unit = map_scale("recon_self_psnr")
        legend = map_legend(0, top, unit)
        colours = Legend(legend["low"], legend["high"], legend["unit"], legend["colours"])
        shots.insert(0, Shot("map", "Error map of the model", coloured, "Black is no error.", colours))
    return shots


def _show_decision(name: str, audit: Audit, image: str) -> None:
    key, state = f"{name}_decision", st.session_state
    state[key] = audit.review.decisions.get(image)
    st.segmented_control(
        "Your decision", list(DECISIONS), format_func=str.capitalize, key=key,
        on_change=_decide, args=(name, key, audit, image),
    )  # fmt: skip


def _decide(name: str, key: str, audit: Audit, image: str) -> None:
    chosen = st.session_state[key]
    if chosen in DONE_WORDS:
        guarded(name, audit.review.decide, image, chosen)


def _show_evidence(audit: Audit, row: dict[str, Any]) -> None:
    evidence = audit.evidence(row)
    if not evidence:
        st.markdown("**No check flags this picture.**")
    for key, told in evidence.items():
        st.markdown(f"**{CHECKS[key].label}**: {plain(told)}")
        st.caption(plain(CHECKS[key].rule))
    place = audit.table.place(row["image"])
    frame = audit.table.numbers.iloc[[place]][list(audit.table.checks)]
    points = contributions(frame, audit.weights, audit.thresholds).iloc[0]
    parts = [(lower(CHECKS[key].label), value) for key, value in points.sort_values(ascending=False).items()]
    named = [f"{label} {value:.0f}" for label, value in parts if value >= 0.5]
    others = 100 * float((audit.risk < audit.risk[place]).mean())
    st.markdown(f"**Quality risk {audit.risk[place]:.0f} of 100**, higher than in {others:.0f} % of the set")
    told = f"Points: {', '.join(named[:6])}." if named else "No check adds a point worth naming."
    st.caption(plain(f"{told} By the points saved with this audit." if audit.weights else told))


def _show_values(audit: Audit, row: dict[str, Any]) -> None:
    keys = [key for key in audit.table.checks if key != "unreadable"]
    recipes = recipes_of(audit.table)
    st.table(
        {
            "Check": [CHECKS[key].label for key in keys],
            "Value": [plain(value_words(key, row[key])) for key in keys],
            "Percentile here": [_rank_words(audit.table.percentile(key, row[key])) for key in keys],
            "In the reference set": [_rank_words(percentile(key, row[key], recipes.get(key, {}))) for key in keys],
            "Flagged": [threshold_words(key, audit.threshold(key)) for key in keys],
        },
        border="horizontal",
        hide_index=True,
    )
    st.caption(
        "The percentile says what share of this set is no better by this check; 100 is the best of it. The reference "
        f"set is bundled: {reference_set()['images']:,} pictures, sample photographs as they are and damaged in every "
        "way and strength. Checks that compare a picture with its own set have no place in another one."
    )
    st.text(
        f"{row['width']} × {row['height']} pixels, {row['format'] or 'no format'}, {row['bytes']:,} bytes, "
        f"{row['bits']} bits per channel, SHA-256 {row['digest'] or 'none'}"
    )


def _rank_words(percentile: float) -> str:
    return "–" if math.isnan(percentile) else f"{percentile:.0f}"
