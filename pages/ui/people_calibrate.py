"""A metric of one's own: made from the metrics of a comparison, or a model's residuals, and its human scores."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from deconv_core.agree_result import AgreeResult, metric_label
from deconv_core.calibrated_metrics import RESIDUAL_MODEL, check_name, saved_names
from deconv_core.calibration import FEWEST_CONTENTS, FEWEST_ROWS
from deconv_core.figures import learning_curve, plot_config
from deconv_core.jobs import JobState
from deconv_core.metrics import is_metric
from pages.ui import cached
from pages.ui.inputs import choose_model, plain
from pages.ui.job_panel import start_job

_MADE_FROM = {"metrics": "The metrics above", "residuals": "What a model cannot rebuild of each picture"}


def show_calibration(name: str, job: JobState, found: AgreeResult) -> None:
    """The card of the metric that a run made, and a form that makes one."""
    card = _card(job)
    st.subheader("Calibrate", anchor=False)
    if card is not None:
        _show_card(card)
    else:
        st.markdown(
            "Make a metric of your own: it learns from these human scores how to weigh the metrics, is judged on "
            "contents that it has not seen, and can then be used by its name wherever metrics are chosen."
        )
    with st.expander("Make another one" if card is not None else "Make a metric", expanded=False):
        _ask(name, job, found)


def _card(job: JobState) -> dict[str, Any] | None:
    try:
        card = json.loads((job.folder / "results" / "calibration.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):  # none was made, or it is damaged
        return None
    return card if isinstance(card, dict) and "cross_validated" in card else None


def _ask(name: str, job: JobState, found: AgreeResult) -> None:
    rated, contents = int(found.overall()["count"].max()), int(found.overall()["contents"].max())
    if rated < FEWEST_ROWS or contents < FEWEST_CONTENTS:
        st.caption(
            f"It needs at least {FEWEST_ROWS} pictures of {FEWEST_CONTENTS} contents; here are {rated} of {contents}."
        )
        return
    usable = [key for key in found.metrics if is_metric(key)]
    kinds = [*(["metrics"] if usable else []), *(["residuals"] if found.pictures is not None else [])]
    if not kinds:
        st.caption("It needs metrics that can be computed for new pictures, or the pictures themselves; here are none.")
        return
    kind = st.segmented_control(
        "Made from", kinds, default=kinds[0], format_func=_MADE_FROM.get, required=True, key=f"{name}_people_features"
    )
    words = _words(job)
    model = None
    if kind == "metrics":
        st.caption(plain(f"{', '.join(map(metric_label, usable))}."))
    elif not any(word.startswith("--model") for word in words):
        model = choose_model(f"{name}_people_residuals", cached.cards(), RESIDUAL_MODEL)
    with st.form(f"{name}_people_calibrate", border=False):
        called = st.text_input(
            "Its name", value="my_score", max_chars=40, width=300, help="Small letters, digits and _, such as my_score."
        ).strip()
        pressed = st.form_submit_button("Calibrate", type="primary", icon=":material/tune:")
    if pressed:
        check_name(called)
        if called in saved_names() and st.session_state.get(f"{name}_people_replace") != called:
            st.session_state[f"{name}_people_replace"] = called
            st.markdown(
                plain(f"There is a metric {called} already. Press again to replace it, or choose another name.")
            )
            return
        words += [f"--calibrate={called}", f"--calibrate-on={kind}", f"--reuse={job.folder}"]
        words += [f"--model={model['name']}"] if model else []
        quick = kind == "metrics" and not found.settings.get("computed")
        start_job("agree", words, name=f"{called} from {job.name}"[:60], quick=quick)


def _words(job: JobState) -> list[str]:
    """What followed `agree` in the command of a run, but for what belongs to that run alone."""
    words: list[str] = []
    given: Sequence[str] = shlex.split(job.command)[4:]
    skip = False
    for word in given:
        if skip or word in ("--wait-turn", "--low-priority", "--resume"):
            skip = False
        elif word == "--out":
            skip = True
        elif not word.startswith(("--calibrate", "--reuse")):
            words.append(word)
    return words


def _show_card(card: Mapping[str, Any]) -> None:
    reached, single = card["cross_validated"], card["best_single"]
    st.markdown(
        f":material/check: **{plain(card.get('name', ''))}** is now a metric: choose it by this name on this page, or "
        "with `--metrics` in a shell."
    )
    with st.container(horizontal=True, gap="medium"):
        st.metric("SRCC on contents left out", _number(reached["srcc"]), width="content")
        st.metric("PLCC on contents left out", _number(reached["plcc"]), width="content")
        st.metric(f"Best alone: {metric_label(str(single['name']))}", _number(single["srcc"]), width="content")
        st.metric("With shuffled scores", _number(card["shuffled"]), width="content")
    apart = (single.get("low") or 0) > 0 or (single.get("high") or 0) < 0
    st.caption(
        plain(
            f"SRCC has a 95 % interval of {_number(reached['srcc_low'])} to {_number(reached['srcc_high'])}; RMSE "
            f"{reached['rmse']:.4g}, in units of the human scores. The difference from the best metric alone "
            f"({single['difference']:+.3f}, 95 % interval {_number(single['low'])} to {_number(single['high'])}) "
            f"{'is more than chance' if apart else 'may be chance'}. With the scores dealt out by chance nothing "
            "should be left; what stands there is luck."
        )
    )
    if len(card.get("learning_curve") or []) > 1:
        st.plotly_chart(
            learning_curve(card["learning_curve"]), config=plot_config("learning_curve"), key="people_learning_curve"
        )
    st.caption(plain(f"What more scores would bring: {card.get('needs', '')} {card.get('note', '')}"))
    st.download_button(
        "Card (JSON)", json.dumps(card, indent=1), f"{card.get('name', 'metric')}.json", "application/json",
        on_click="ignore", icon=":material/download:", key="people_save_card",
    )  # fmt: skip


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
