"""Two models on the same pictures: the paired difference, how sure it is, and the pictures that changed most."""

from __future__ import annotations

import math

import streamlit as st

from deconv_core.distortions import DISTORTIONS, MAX_SEVERITY
from deconv_core.model_comparison import MAX_PICTURES, MEASURES
from deconv_core.scoring import DEFAULT_MODEL
from pages.ui import cached
from pages.ui.inputs import NO_SECOND, plain
from pages.ui.training_data import BUNDLED, Source, choose_source
from pages.ui.viewer import Shot, viewer


def show_comparison(name: str) -> None:
    """Choose two models and pictures, then table and viewer."""
    usable = {card["name"]: card for card in cached.cards() if not card["reason"]}
    if len(usable) < 2:
        st.markdown("Two models are needed; train or import one.")
        return
    first, second, damage, measure = _choose(name, usable)
    source = choose_source(f"{name}_data", label="Pictures")
    if source is None:
        return
    if first == second:
        st.markdown("This is one model twice; choose another one.")
        return
    pair = [(usable[model]["name"], usable[model]["digest"]) for model in (first, second)]
    with st.spinner("Rebuilding every picture with both models"):
        found = cached.model_comparison(*pair, source.place, measure, damage, source.roots)
    labels = {role: str(usable[model].get("label") or model) for role, model in (("first", first), ("second", second))}
    st.markdown(f"**{plain(labels['second'])}** against **{plain(labels['first'])}**: {plain(found.sentence)}")
    unit, digits = ("dB", 2) if measure == "psnr" else ("", 4)
    with st.container(horizontal=True, gap="medium"):
        st.metric("Mean difference", f"{found.mean:+.{digits}f} {unit}".strip(), width="content")
        if not math.isnan(found.low):
            st.metric(
                "95 % interval", f"{found.low:+.{digits}f} to {found.high:+.{digits}f} {unit}".strip(), width="content"
            )
        st.metric("Pictures", f"{len(found.table):,}", width="content")
    notes = [
        "Differences are second minus first; above 0 the second is better. The interval comes from "
        "resampling the pictures two thousand times.",
        *(
            f"{labels[role]} has learned from these very pictures."
            for role, model in (("first", first), ("second", second))
            if source.place in BUNDLED and str(usable[model].get("trained_on", "")).startswith(source.note)
        ),
        "Compared on luma, for one of the models is grey." if found.grey else "",
        f"{len(found.skipped)} pictures were left out ({found.skipped[0][1]})." if found.skipped else "",
        f"The first {MAX_PICTURES} pictures are used." if len(found.table) >= MAX_PICTURES else "",
    ]
    st.caption(plain(" ".join(filter(None, notes))))
    _show_pictures(name, found.table, pair, source, damage, labels, measure)


def _choose(name: str, usable: dict) -> tuple[str, str, tuple[tuple[str, float], ...], str]:
    names = list(usable)
    state = st.session_state
    others = [model for model in names if model != DEFAULT_MODEL]
    for role, usual in (("first", DEFAULT_MODEL if DEFAULT_MODEL in usable else names[0]), ("second", others[-1])):
        if state.get(f"{name}_{role}") not in usable:
            state[f"{name}_{role}"] = usual
    with st.container(horizontal=True, vertical_alignment="bottom"):
        first, second = (
            st.selectbox(
                label, names, key=f"{name}_{role}", persist_state="session",
                format_func=lambda model: str(usable[model].get("label") or model),
            )
            for role, label in (("first", "First model"), ("second", "Second model"))
        )  # fmt: skip
        measure = st.selectbox(
            "Measure", list(MEASURES), format_func=MEASURES.get, key=f"{name}_measure", persist_state="session",
            help="Of what the model makes of a picture, beside the clean picture. Higher is better.",
        )  # fmt: skip
        kind = st.selectbox(
            "Damage first", [NO_SECOND, *DISTORTIONS], key=f"{name}_kind", persist_state="session",
            format_func=lambda key: DISTORTIONS[key].label if key in DISTORTIONS else "None",
            help="For models that restore: they are shown damaged pictures and compared with the clean ones.",
        )  # fmt: skip
    damage: tuple[tuple[str, float], ...] = ()
    if kind in DISTORTIONS:
        severity = st.slider(
            "Severity", 0.0, MAX_SEVERITY, 3.0, 0.5, "%.1f", key=f"{name}_severity", persist_state="session"
        )
        damage = ((kind, severity),)
    return first, second, damage, measure


def _show_pictures(name: str, table, pair, source: Source, damage, labels: dict[str, str], measure: str) -> None:
    left, right = st.columns([1, 1], gap="large")
    with left:
        st.markdown("**Where they differ most**")
        number = "%.2f" if measure == "psnr" else "%.4f"
        st.dataframe(
            table,
            hide_index=True,
            height=min(420, 36 * (len(table) + 1)),
            column_config={
                "image": "Picture",
                "first": st.column_config.NumberColumn(f"First, {MEASURES[measure]}", format=number),
                "second": st.column_config.NumberColumn(f"Second, {MEASURES[measure]}", format=number),
                "difference": st.column_config.NumberColumn("Difference", format=f"%+{number[1:]}"),
            },
        )
    with right:
        key = f"{name}_image"
        images = list(table["image"])
        if st.session_state.get(key) not in images:
            st.session_state[key] = images[0]
        image = st.selectbox("Picture, those that differ most first", images, key=key)
        made = cached.rebuilt_by_both(*pair, source.place, image, damage, source.roots)
        shots = [
            Shot("first", labels["first"][:40], made["first"]),
            Shot("second", labels["second"][:40], made["second"]),
            Shot("clean", "Clean picture", made["clean"]),
        ]
        viewer(shots, key=f"{name}_viewer", height=380)
