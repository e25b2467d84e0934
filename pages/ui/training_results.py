"""What a training run has to show: curves, the held-out pictures after every epoch, and at its end the model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import streamlit as st

from deconv_core.figures import plot_config, training_curves
from deconv_core.jobs import JobState
from deconv_core.models.saving import read_card
from deconv_core.publishing import job_model, publish
from pages.ui import cached
from pages.ui.inputs import plain
from pages.ui.model_checks import look_quickly, show_checks
from pages.ui.viewer import Shot, viewer

if TYPE_CHECKING:
    import pandas as pd

CURVES = ("loss", "psnr", "ssim")


def history(folder: Path) -> pd.DataFrame | None:
    """The epochs of a run so far; None while there is none."""
    import pandas as pd

    try:
        frame = pd.read_csv(folder / "results" / "history.csv")
    except (OSError, ValueError):  # not there yet, or damaged
        return None
    return frame if len(frame) and {"epoch", *CURVES} <= set(frame) else None


def show_progress(name: str, job: JobState) -> None:
    """Curves and pictures as far as the run has come."""
    frame = history(job.folder)
    if frame is None:
        st.caption("Curves and pictures follow after the first epoch." if job.active else "It ended before an epoch.")
        return
    last = frame.iloc[-1]
    with st.container(horizontal=True, gap="medium"):
        st.metric("Epoch", f"{last['epoch']:.0f}", width="content")
        st.metric("Validation PSNR", f"{last['psnr']:.2f} dB", _gain(frame, "psnr", 2), width="content")
        st.metric("Validation SSIM", f"{last['ssim']:.4f}", _gain(frame, "ssim", 4), width="content")
        st.metric("Speed", f"{last['patches_per_second']:,.0f} patches/s", width="content")
    for column, measure in zip(st.columns(3), CURVES, strict=True):
        with column:
            lines = {"training": frame} if measure == "loss" else {"validation": frame}
            if measure == "loss" and "validation_loss" in frame:
                lines["validation"] = frame.assign(loss=frame["validation_loss"])
            st.plotly_chart(
                training_curves(lines, measure),
                config=plot_config(measure),
                key=f"{name}_curve_{measure}",
            )
    _pictures(name, job)


def _gain(frame: pd.DataFrame, measure: str, digits: int) -> str | None:
    """What was gained since the first epoch; nothing while it is too little to be written."""
    gain = round(float(frame[measure].iloc[-1] - frame[measure].iloc[0]), digits)
    return f"{gain:+.{digits}f} since epoch 1" if gain else None


def _pictures(name: str, job: JobState) -> None:
    folder = job.folder / "results" / "pictures"
    strips = sorted(path for path in folder.glob("epoch_*.png"))
    reference, given = folder / "reference.png", folder / "input.png"
    if not strips or not reference.is_file():
        return
    st.markdown("**Held-out pictures, recovered after every epoch**")
    state, key, kept = st.session_state, f"{name}_epoch", f"{name}_epoch_chosen"
    chosen = strips[-1]
    if len(strips) > 1:
        # It follows the run until the visitor looks at an earlier epoch. A slider whose end moves forgets its value, so
        # that is kept apart.
        state[key] = min(state.get(kept) or len(strips), len(strips))
        place = st.slider("Epoch", 1, len(strips), key=key, on_change=_keep_epoch, args=(key, kept, len(strips)))
        chosen = strips[place - 1]
    number = int(chosen.stem.removeprefix("epoch_"))
    shots = [
        Shot("reference", "Held-out pictures", reference.read_bytes()),
        Shot("recovered", f"Recovered after epoch {number}", chosen.read_bytes()),
    ]
    if given.is_file() and given.read_bytes() != shots[0].png:
        shots.append(Shot("input", "As the model was shown them", given.read_bytes()))
    viewer(shots, key=f"{name}_viewer", height=300)


def _keep_epoch(key: str, kept: str, newest: int) -> None:
    value = st.session_state[key]
    st.session_state[kept] = None if value >= newest else value


def show_outcome(name: str, job: JobState) -> None:
    """After the end: what the model can do, and publishing it."""
    file = job_model(job.folder)
    if file is None:
        if job.state != "waiting":
            st.caption("There is no model to publish: the run ended before it had one.")
        return
    card = read_card(file)
    validation = card.get("validation") or {}
    st.subheader("The model", anchor=False)
    if validation.get("psnr") is not None:
        st.markdown(
            f"The best one is kept: epoch {validation.get('epoch', '?')}, validation PSNR {validation['psnr']:.2f} dB, "
            f"SSIM {validation['ssim']:.4f}, {card['parameters']:,} parameters, {card['bytes'] / 2**20:.2f} MiB."
        )
    _publish(name, job, file, card)
    show_checks(name, file, card, at_once=job.state == "finished")


def _publish(name: str, job: JobState, file: Path, card: Mapping[str, Any]) -> None:
    with st.form(f"{name}_publish_form"):
        label = st.text_input("Publish it as", value=job.name[:60], max_chars=60, key=f"{name}_publish_name")
        pressed = st.form_submit_button("Publish", icon=":material/publish:", type="primary")
        st.caption("It then stands in every list of models here, with its card. The run stays as it is.")
    if pressed:
        look_quickly(file, card)  # so that what it found is on the published card too
        publish(job.folder, label, label=label)
    mine = [card for card in cached.cards() if card.get("run") == job.folder.name and not card["reason"]]
    for published in mine:
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(f":material/check: Published as **{plain(published['label'])}** ({plain(published['name'])})")
            if st.button("Score an image with it", key=f"{name}_score_{published['name']}", icon=":material/compare:"):
                st.session_state.pop("score_link_read", None)
                sample = "digit_1" if published.get("architecture") == "article" else "coffee"
                st.switch_page("pages/score_images.py", query_params={"sample": sample, "model": published["name"]})
