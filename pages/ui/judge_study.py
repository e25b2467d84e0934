"""Studies on the screen: the list, a new one, and the way to judge one under one's own name."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import numpy as np
import streamlit as st

from deconv_core import judging
from deconv_core.distortions import DISTORTIONS
from deconv_core.errors import DeconvError
from deconv_core.inspection import example_label
from deconv_core.judging import FEWEST_TRIALS, MOST_TRIALS, QUESTIONS, Study
from deconv_core.samples import SAMPLES
from pages.ui import cached
from pages.ui.inputs import own_files, plain
from pages.ui.judge_pairs import judge_pairs

NAME = "judge_images"
_FIRST_SAMPLES = ["astronaut", "coffee", "chelsea", "rocket"]
_FIRST_DISTORTIONS = ["jpeg", "gaussian_blur", "white_noise", "contrast"]
_FIRST_SEVERITIES = [2, 4]
_SECONDS_PER_PAIR = 6  # what people take, for the estimate beside the number of trials
_MOST_PIXELS = 50_000_000  # of an upload, before it is made smaller


def study_in_address() -> Study | None:
    """The study that the address names; None for none.

    Raises:
        DeconvError: It names one that is not there.
    """
    key = st.query_params.get("study")
    return judging.open_study(key) if key else None


def open_address(study: Study | None = None, judge: str = "", view: str = "") -> None:
    """Turn the page to a study, to a judge's place in it or one of its views, or back to the list."""
    query = {"study": study.key if study else "", "judge": judge, "view": view}
    st.query_params.from_dict({name: value for name, value in query.items() if value})


def show_list() -> None:
    """Every study with how far it is, and the way into it."""
    studies = judging.list_studies()
    if not studies:
        return
    st.subheader("Studies", anchor=False)
    for study in studies[:50]:
        judges = judging.list_judges(study)
        answers = sum(progress.done for progress in judges)
        with st.container(border=True, horizontal=True, vertical_alignment="center"):
            with st.container(gap=None):
                st.markdown(f"**{plain(study.name)}**")
                st.caption(
                    f"{QUESTIONS[study.question]} {_count(len(study.contents), 'picture')}, "
                    f"{len(study.conditions)} conditions; {_count(len(judges), 'judge')}, {_count(answers, 'answer')}; "
                    f"{datetime.fromtimestamp(study.created):%d %B %Y, %H:%M}"
                )
            st.button(
                "Open", key=f"{NAME}_open_{study.key}", on_click=open_address, args=(study,), width=90,
                help=plain(study.name),
            )  # fmt: skip
    if len(studies) > 50:
        st.caption(f"The newest 50 of {len(studies)} studies are shown; the address of any other opens it.")


def offer_new() -> None:
    """Choose pictures, damage and question; a press makes the study and turns the page to it."""
    st.subheader("A new study", anchor=False)
    left, right = st.columns(2, gap="large")
    with left:
        samples = st.multiselect(
            "Sample pictures",
            list(SAMPLES),
            default=_FIRST_SAMPLES,
            key=f"{NAME}_samples",
            format_func=example_label,
            persist_state="session",
        )
        files = own_files(NAME)
        name = st.text_input("Name of the study", "My study", key=f"{NAME}_name", max_chars=60, persist_state="session")
    with right:
        question = st.radio(
            "Question",
            list(QUESTIONS),
            format_func=QUESTIONS.get,
            captions=["With the reference between them.", "Without a reference."],
            key=f"{NAME}_question",
            persist_state="session",
        )
        kinds = st.multiselect(
            "Kinds of damage",
            list(DISTORTIONS),
            default=_FIRST_DISTORTIONS,
            key=f"{NAME}_kinds",
            format_func=lambda key: DISTORTIONS[key].label,
            persist_state="session",
        )
        severities = st.pills(
            "Severities",
            [1, 2, 3, 4, 5],
            selection_mode="multi",
            default=_FIRST_SEVERITIES,
            key=f"{NAME}_severities",
            persist_state="session",
            help="1 is just visible, 5 severe. Every picture gets every kind of damage at each of these.",
        )
        num_trials = st.slider(
            "Pairs for each judge", FEWEST_TRIALS, MOST_TRIALS, 20, key=f"{NAME}_num_trials", persist_state="session",
            help="A tenth of them, two at least, have a known answer, and as many are shown again with sides changed.",
        )  # fmt: skip
        seed = st.number_input(
            "Seed", 0, 10**6, 0, key=f"{NAME}_seed", persist_state="session",
            help="Decides random damage and, with a judge's name, the pairs, their order and their sides.",
        )  # fmt: skip
    conditions = [(kind, float(severity)) for kind in kinds for severity in sorted(severities)]
    pictures = (len(samples) + len(files)) * len(conditions)
    minutes = num_trials * _SECONDS_PER_PAIR / 60
    st.caption(
        f"{_count(len(samples) + len(files), 'picture')} under {_count(len(conditions), 'condition')} are {pictures} "
        f"pictures to judge. {num_trials} pairs take about {minutes:.0f} min. Pictures with a side above "
        f"{judging.LARGEST_SIDE} px are made smaller first: so judges see, side by side, every pixel the metrics see."
    )
    if st.button("Make the study", type="primary", key=f"{NAME}_make", icon=":material/how_to_vote:"):
        with st.spinner("Making the pictures"):
            contents = [(example_label(key), cached.example(key).pixels) for key in samples]
            contents += [(file_name, _read(file_id, file_name, data)) for file_id, (file_name, data) in files.items()]
            study = judging.create_study(
                name, contents, conditions, question=question, num_trials=num_trials, seed=int(seed)
            )
        open_address(study)
        st.rerun()


def show_way_out(study: Study) -> None:
    """The way back: from a judge's place to the study, else to the list of studies."""
    judge = st.query_params.get("judge", "")
    if not judge or st.query_params.get("view") == "results":
        st.button("All studies", key=f"{NAME}_leave", on_click=open_address, icon=":material/arrow_back:")
        return
    st.button(
        "Pause", key=f"{NAME}_pause", icon=":material/pause:", on_click=open_address, args=(study,),
        help="Leaves the pictures. Every answer is kept already; go on at any time.",
    )  # fmt: skip
    st.markdown(f"Judge: **{plain(judge)}**", width="content")


def show_judging(study: Study) -> None:
    """Ask for a name, or go on where the judge of the address stopped."""
    judge = st.query_params.get("judge", "")
    if not judge:
        _ask_for_name(study)
        return
    progress = judging.start_judge(study, judge)
    if progress.is_finished:
        st.success(f"All {progress.total} pairs are judged and kept. Thank you.", icon=":material/check:")
        st.button(
            "See the results", type="primary", key=f"{NAME}_to_results", on_click=open_address,
            args=(study, judge, "results"),
        )  # fmt: skip
        st.button(
            "Undo the last answer", key=f"{NAME}_undo_last", type="tertiary", on_click=judging.undo_answer,
            args=(study, progress.judge, progress.total - 1),
        )  # fmt: skip
        return
    judge_pairs(study, progress.judge)
    st.caption(
        "Every answer is kept at once, and this address leads back to this place. There is no third answer: where both "
        "look alike, take either; answers that fall both ways widen the intervals of the results."
    )


def _ask_for_name(study: Study) -> None:
    judges = judging.list_judges(study)
    pausing = [progress for progress in judges if not progress.is_finished]
    with st.form(f"{NAME}_who", border=True):
        judge = st.text_input(
            "Your name, or any name", judging.free_judge_name(study), key=f"{NAME}_judge_{study.key}_{len(judges)}",
            max_chars=60, help="It keeps your answers apart from those of others. The same name goes on where it was.",
        )  # fmt: skip
        if st.form_submit_button("Start judging", type="primary"):
            progress = judging.start_judge(study, judge)
            open_address(study, progress.judge)
            st.rerun()
    if pausing:
        st.markdown("**Go on where somebody stopped**")
        with st.container(horizontal=True):
            for place, progress in enumerate(pausing[:20]):
                st.button(
                    f"{plain(progress.judge)}: {progress.done} of {progress.total}",
                    key=f"{NAME}_resume_{place}", on_click=open_address, args=(study, progress.judge),
                    icon=":material/play_arrow:",
                )  # fmt: skip
    finished = [progress for progress in judges if progress.is_finished]
    if finished:
        st.caption(plain(f"Done: {', '.join(progress.judge for progress in finished)}."))


def _read(file_id: str, name: str, data: bytes) -> np.ndarray:
    # Two megapixels are plenty for what is shown with 320 pixels a side.
    return cached.upload(file_id, "white", _MOST_PIXELS, 2_000_000, 1_000_000, name, data).pixels


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def delete_button(study: Study) -> None:
    """Delete the study, after a second press."""
    with st.popover("Delete this study", icon=":material/delete:"):
        judges: Mapping[str, int] = {progress.judge: progress.done for progress in judging.list_judges(study)}
        st.markdown(f"The pictures and all {sum(judges.values())} answers go for good.")
        if st.button("Delete it", key=f"{NAME}_delete", type="primary"):
            try:
                judging.delete_study(study)
            except OSError as error:
                raise DeconvError(f"The study could not be deleted ({error.strerror}); try again.") from error
            open_address(None)
            st.rerun()
