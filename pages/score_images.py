"""Score images: one picture against its original, by reconstruction, beside PSNR and SSIM."""

import streamlit as st

from deconv_core import inspection
from deconv_core.errors import DeconvError
from deconv_core.metrics import METRICS
from pages.ui import cached
from pages.ui.choices import WORSE, Choice, choose_pair
from pages.ui.downloads import show_downloads
from pages.ui.frame import frame
from pages.ui.how_it_works import KERNELS, STRIDES, show_how_it_works
from pages.ui.inputs import plain
from pages.ui.link import query_of, view_from
from pages.ui.pictures import show_pictures
from pages.ui.plots import ACROSS, AGAINST, PLOTS, show_plots
from pages.ui.quality import show_quality
from pages.ui.scores import PRIMARY, show_headline, show_recovered, show_table

NAME = "score_images"
TABS = {
    "metrics": "All metrics",
    "alone": "Without a reference",
    "plots": "Plots",
    "how": "How it works",
    "download": "Download",
}
# What can be chosen inside a tab; it goes into the link while the tab is open.
INSIDE = {
    "plots": {"plot": list(PLOTS), "scatter_y": AGAINST, "scatter_x": ACROSS},
    "how": {"kernel": KERNELS, "stride": STRIDES},
}

state = st.session_state


def take_link() -> None:
    """Take over the view of a link, once per visit; from then on the address follows the page."""
    if state.get("score_link_read"):
        return
    state["score_link_read"] = True
    models = [card["name"] for card in cached.cards() if not card["reason"]]
    view, refused = view_from(
        st.query_params.to_dict(), models, list(TABS), inspection.map_keys(), INSIDE["plots"] | INSIDE["how"]
    )
    if "sample" in view:
        state["score_reference"] = view.pop("sample")
        state[f"{NAME}_source"] = WORSE
    for name, value in view.items():
        state[f"{NAME}_{name}"] = value
    if refused:
        st.caption(f"Some of this link makes no sense here and is ignored: {', '.join(refused)}.")


def view_of(choice: Choice) -> dict[str, str] | None:
    """The view as the query of a link; None with uploads, which no link can hold."""
    if not choice.is_shareable:
        return None
    view = {"sample": choice.reference_key, "seed": choice.seed}
    for place, (kind, severity) in zip(("", "second"), choice.steps, strict=False):
        view |= {place or "kind": kind, f"{place}_severity".strip("_"): float(severity)}
    view |= {"model": state.get(f"{NAME}_model"), "tab": state.get(f"{NAME}_tab"), "maps": state.get(f"{NAME}_maps")}
    view |= {name: state.get(f"{NAME}_{name}") for name in INSIDE.get(view["tab"], ())}
    return query_of(view)


def commands_of(choice: Choice) -> list[str]:
    """The command lines that repeat the scores."""
    reference, judged = (
        subject.name if subject.digest else "judged.png" for subject in (choice.reference, choice.candidate)
    )
    if choice.is_shareable:
        reference = "reference.png"
    model = choice.pair.card["name"] if choice.pair.card else ""
    commands = [inspection.degrade_command(reference, choice.steps, choice.seed, judged)] if choice.steps else []
    settings = {"mismatch": choice.mismatch, "background": choice.background}
    return [*commands, inspection.score_command(judged, reference, model, **settings)]


def show(choice: Choice) -> None:
    """Everything that follows from the choices, the quick and important things first."""
    pair = choice.pair
    recipes = cached.recipes(pair)
    scores = cached.scores(pair, PRIMARY)
    words = st.empty()
    lacking = inspection.too_small(PRIMARY, pair.reference.shape)
    if lacking:
        st.markdown(lacking)
    show_headline(scores, pair, recipes)
    left, right = st.columns([2, 1], gap="large")
    with right:
        show_recovered(scores, pair, recipes)
    with left:
        show_pictures(NAME, pair)
    sentences = cached.explanation(pair)
    if sentences:
        words.markdown(f"**In words:** {plain(' '.join(sentences))}")
    tab = st.segmented_control(
        "Look closer", list(TABS), format_func=TABS.get, key=f"{NAME}_tab", persist_state="session"
    )
    query = view_of(choice)
    st.query_params.from_dict(query or {})
    if tab in ("metrics", "download"):
        others = cached.scores(pair, [key for key in METRICS if key not in PRIMARY])
        everything = {key: (scores | others)[key] for key in METRICS}
    if tab == "metrics":
        show_table(everything, recipes)
    elif tab == "alone":
        show_quality(NAME, pair)
    elif tab == "plots":
        show_plots(NAME, pair, choice.kind, choice.seed)
    elif tab == "how":
        show_how_it_works(NAME, pair)
    elif tab == "download":
        names = (choice.candidate.name, choice.reference.name)
        show_downloads(
            NAME, pair, everything, recipes, names=names, note=choice.note, query=query, commands=commands_of(choice)
        )


frame(
    "Score images",
    "How good is a picture, and what was lost? Take a reference and an image to judge; a network encodes and decodes "
    "both, and what comes back is compared.",
)
try:
    take_link()
    choice = choose_pair(NAME)
    if choice is not None:
        show(choice)
except DeconvError as error:
    st.error(plain(error))
cached.warm_up()
