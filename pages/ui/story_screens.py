"""The five screens of the story: one thought each, in big type."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import streamlit as st

from deconv_core import inspection
from deconv_core.distortions import DISTORTIONS
from deconv_core.figures import agreement_intervals, plot_config
from deconv_core.inspection import example_label
from deconv_core.metrics import METRICS
from deconv_core.samples import SAMPLES
from deconv_core.scoring import DECONV_MODEL
from pages.ui import cached
from pages.ui.cached import Pair
from pages.ui.inputs import own_files, plain
from pages.ui.story import DECIBELS, FOLDER


@dataclass(frozen=True)
class Screen:
    """One screen: its thought as a title, and what the speaker may say."""

    title: str
    notes: str


SCREENS = (
    Screen(
        f"One PSNR of {DECIBELS:g} dB, three pictures no one would call equal",
        "Let people choose first: which one would you send to a customer? Then read the PSNR aloud: it is the same for "
        "all three. PSNR adds up squared differences and does not ask where they are or what they do to the picture. "
        "SSIM tells them apart, in an order of its own; the deconvolution score in another. Which order is right is "
        "the question of screen 3.",
    ),
    Screen(
        "Take a picture apart, and put it together again",
        "Move the slider from right to left. An encoder made of convolution and pooling squeezes the picture into a "
        "few channels; a decoder made of transposed convolution, called deconvolution, recovers it. What survives a "
        "narrow passage is what the network takes for the picture; what is lost first is fine texture. The score "
        "compares what came back.",
    ),
    Screen(
        "Does it agree with people? Measured, with our losses",
        "Every dot is the rank correlation with human scores, the line its 95 % interval; further right is better. "
        "The control is the same comparison with a plain filter in place of the network: the distance between the "
        "two is what the network adds. Say it as it is: today the filter does as well. The pictures are a synthetic "
        "stand-in for TID2013: distortions made anew on its kind of photographs, with its published scores.",
    ),
    Screen(
        "The same idea finds the bad pictures in a data set",
        "The faults were planted by us and found by the checks; each comes with its value and its threshold, so nobody "
        "has to believe a black box. On thousands of pictures it works the same way, and can be stopped and resumed.",
    ),
    Screen(
        "Now your own picture",
        "Take a picture from the room. It stays on this machine. Damage it and watch the three numbers part ways; then "
        "open the full page for the maps of where it was lost.",
    ),
)
_STYLE = """
<style>
.st-key-story_screen h2 { font-size: clamp(1.5rem, 3.2vw, 3rem); line-height: 1.15; padding-top: 0; }
.st-key-story_screen [data-testid="stMarkdownContainer"] p { font-size: clamp(1.05rem, 1.5vw, 1.5rem); }
.st-key-story_screen [data-testid="stCaptionContainer"] p { font-size: clamp(0.95rem, 1.1vw, 1.15rem); }
</style>
"""
_KINDS = ("jpeg", "gaussian_blur", "white_noise", "contrast")


def show_screen(name: str, number: int, told: dict[str, Any]) -> None:
    """Draw one screen.

    Args:
        name: Prefix of the widgets' keys.
        number: 1 to 5.
        told: As `story.read_story` gives it.
    """
    st.html(_STYLE)
    with st.container(key="story_screen"):
        st.header(SCREENS[number - 1].title, anchor=False)
        if number == 1:
            _one_psnr(told)
        elif number == 2:
            _round_trip(name, told)
        elif number == 3:
            _agreement(told)
        elif number == 4:
            _audit(told)
        else:
            _yours(name)


def _shown(key: str, value: float) -> str:
    return f"{METRICS[key].label} {inspection.score_words(METRICS[key], value)}"


def _one_psnr(told: dict[str, Any]) -> None:
    columns = st.columns(4, gap="medium")
    with columns[0]:
        st.image(FOLDER / told["reference"], width="stretch", alt="The original")
        st.markdown("**The original**")
    for column, face in zip(columns[1:], told["faces"], strict=True):
        with column:
            st.image(FOLDER / face["picture"], width="stretch", alt=face["label"])
            st.markdown(f"**{_shown('psnr', face['scores']['psnr'])}**")
            st.caption(
                f"{face['label']}, {face['strength']}. {_shown('ssim', face['scores']['ssim'])}; "
                f"{_shown('deconv', face['scores']['deconv'])} of 100."
            )


def _round_trip(name: str, told: dict[str, Any]) -> None:
    rows = told["bottleneck"]["rows"]
    counts = [row["channels"] for row in rows]
    kept = st.select_slider(
        "Channels of the code that may pass", counts, value=counts[-1], key=f"{name}_channels", persist_state="session"
    )
    row = rows[counts.index(kept)]
    left, right = st.columns(2, gap="medium")
    with left:
        st.image(FOLDER / told["bottleneck"]["picture"], width="stretch", alt="The picture")
        st.markdown("**The picture**")
    with right:
        st.image(FOLDER / row["picture"], width="stretch", alt="What came back")
        st.markdown(
            f"**What came back** from {100 * row['share']:.1f} % of its numbers: {_shown('psnr', row['psnr'])}."
        )


def _agreement(told: dict[str, Any]) -> None:
    import pandas as pd

    found = told["agreement"]
    table = pd.DataFrame(found["rows"])
    st.plotly_chart(
        agreement_intervals(table), config=plot_config("agreement"),
        alt="Rank correlation of every metric with human scores, with 95 % intervals",
    )  # fmt: skip
    st.markdown(_agreement_words(found))
    st.caption(_agreement_source(found))


def _agreement_words(found: dict[str, Any]) -> str:
    rows = {row["metric"]: row for row in found["rows"]}
    ours, control = rows["deconv"], rows["deconv_control"]
    words = (
        f"The deconvolution score reaches {ours['srcc']:.3f}; the same comparison without a network "
        f"{control['srcc']:.3f}; SSIM {rows['ssim']['srcc']:.3f}; PSNR {rows['psnr']['srcc']:.3f}."
    )
    if ours["srcc"] <= control["srcc"]:
        words += " So here the network adds nothing to a plain filter."
    if found["worst"]:
        kinds = " and ".join(f"{plain(each['group'])} ({each['srcc']:.2f})" for each in found["worst"])
        words += f" Where it is weakest: {kinds}."
    return words


def _agreement_source(found: dict[str, Any]) -> str:
    return (
        f"SRCC with the mean opinion scores of {int(found['rows'][0]['count'])} pairs, a synthetic stand-in for "
        f"TID2013; measured {found['date']}. 1 would be perfect agreement in rank."
    )


def _audit(told: dict[str, Any]) -> None:
    found = told["audit"]
    st.markdown(plain(found["words"]))
    columns = st.columns(len(found["found"]), gap="small")
    for column, each in zip(columns, found["found"], strict=True):
        with column:
            st.image(FOLDER / each["picture"], width="stretch", alt=each["image"])
            st.markdown(f"**{each['label']}**")
            st.caption(plain(each["words"]))
    st.caption("The bundled photographs, and copies of them with faults planted by us.")


def _yours(name: str) -> None:
    files = own_files(f"{name}_own")
    options = {key: example_label(key) for key in SAMPLES} | {key: title for key, (title, _) in files.items()}
    with st.container(horizontal=True, vertical_alignment="bottom"):
        usual = list(options)[-1] if files else next(iter(options))
        key = f"{name}_picture_{len(files)}"
        chosen = st.selectbox(
            "Picture", list(options), index=list(options).index(usual), format_func=options.get, key=key
        )
        kind = st.selectbox(
            "Damage", _KINDS, format_func=lambda each: DISTORTIONS[each].label, key=f"{name}_kind",
            persist_state="session",
        )  # fmt: skip
        severity = st.slider("Severity", 0.0, 5.0, 3.0, 0.5, key=f"{name}_severity", persist_state="session")
    if chosen in files:
        title, data = files[chosen]
        subject = cached.upload(chosen, "white", 50_000_000, 400_000, 400_000, title, data)
    else:
        subject = cached.example(chosen)
    worse = cached.distorted(subject.token, ((kind, severity),), 0, subject.pixels)
    left, right = st.columns(2, gap="medium")
    for column, each, words in ((left, subject, "The picture"), (right, worse, "Made worse")):
        with column:
            st.image(cached.png(each.token, 400_000, each.pixels), width="stretch", alt=words)
            st.markdown(f"**{words}**")
    judge = next((card for card in cached.cards() if card["name"] == DECONV_MODEL and not card["reason"]), None)
    pair = Pair(subject.pixels, worse.pixels, subject.token, worse.token, None, judge)
    with st.spinner("Scoring"):  # the first time the network is loaded, while the pictures already stand
        scores = cached.scores(pair, ("deconv", "ssim", "psnr"))
    with st.container(horizontal=True, gap="large"):
        for metric, value in scores.items():
            if np.isfinite(value) or metric == "psnr":
                st.metric(METRICS[metric].label, inspection.score_words(METRICS[metric], value), width="content")
    st.page_link("pages/score_images.py", label="Open the full page", icon=":material/compare:")


def story_html(told: dict[str, Any]) -> bytes:
    """All five screens as one HTML file that opens without a network."""
    import pandas as pd

    from deconv_core.images import read_image
    from deconv_core.report import Pictures, Section, render

    def picture(file: str) -> np.ndarray:
        return read_image(FOLDER / file).pixels

    faces = [(f"{face['label']}: {_shown('psnr', face['scores']['psnr'])}", picture(face["picture"])) for face in
             told["faces"]]  # fmt: skip
    details = " ".join(
        f"{face['label']}: {_shown('ssim', face['scores']['ssim'])}, {_shown('deconv', face['scores']['deconv'])}."
        for face in told["faces"]
    )
    rows = [
        (f"{row['channels']} channels: {_shown('psnr', row['psnr'])}", picture(row["picture"]))
        for row in told["bottleneck"]["rows"]
    ]
    found = told["agreement"]
    audit = [(each["label"], picture(each["picture"])) for each in told["audit"]["found"]]
    bodies = (
        Section(SCREENS[0].title, details, pictures=[Pictures([("Original", picture(told["reference"])), *faces])]),
        Section(
            SCREENS[1].title,
            "A picture rebuilt from ever more channels of its code.",
            pictures=[Pictures([*rows, ("The picture", picture(told["bottleneck"]["picture"]))])],
        ),
        Section(
            SCREENS[2].title,
            f"{_agreement_words(found)}\n\n{_agreement_source(found)}",
            figure=agreement_intervals(pd.DataFrame(found["rows"])),
        ),
        Section(
            SCREENS[3].title,
            " ".join([told["audit"]["words"], *(each["words"] for each in told["audit"]["found"])]),
            pictures=[Pictures(audit)],
        ),
        Section(SCREENS[4].title, "Start the dashboard and open Score images."),
    )
    facts = {"Measured": found["date"], "Made with": "the bundled models and sample photographs"}
    lead = "Judging pictures by reconstruction: what the familiar measures miss, and what this one does about it."
    return render(title="Deconv Lab, the story", lead=lead, sections=bodies, command="", facts=facts).encode()
