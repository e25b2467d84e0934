"""How every metric answers to more damage over the whole set, and the sanity laws it holds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import streamlit as st

from deconv_core.figures import plot_config, spread_curves
from deconv_core.inspection import not_quality
from deconv_core.metrics import METRICS
from pages.ui import cached
from pages.ui.comparison_data import Result, kind_words, label
from pages.ui.inputs import plain

if TYPE_CHECKING:
    import pandas as pd

_MOST_CURVES = 8
_FIRST_CURVES = 4
# Key -> heading and what the law asks.
LAWS = {
    "identity": ("Identity", "Identical pictures get exactly the best value."),
    "monotone": ("Monotone", "The score never gets better along ladders of blur, noise, JPEG and contrast."),
    "blank": ("Blank", "A blank picture is never the best answer."),
    "batch": ("Batch", "Neither batch size nor neighbours change a score."),
    "type": ("8-bit", "8-bit and float pictures get the same score."),
}
_HOLDS = {True: "✓ holds", False: "✗ fails"}


def show_curves(name: str, result: Result) -> None:
    """Curves of the chosen metrics under one distortion, and every order that is broken anywhere."""
    spread, broken = cached.run_spread(result.token, result.found)
    state = st.session_state
    if state.get(f"{name}_of") not in result.kinds:
        state[f"{name}_of"] = result.kinds[0]
    key = f"{name}_curves"
    kept = [metric for metric in state.get(key, ()) if metric in result.keys]
    state[key] = kept if state.get(f"{key}_of") == result.found.folder.name else _first_curves(result)
    state[f"{key}_of"] = result.found.folder.name
    with st.container(horizontal=True, vertical_alignment="bottom"):
        kind = st.selectbox(
            "Distortion", result.kinds, key=f"{name}_of", format_func=kind_words, persist_state="session", width=220
        )
        chosen = st.multiselect(
            "Metrics", result.keys, key=key, format_func=label, persist_state="session", max_selections=_MOST_CURVES
        )
    rows = spread[(spread["distortion"] == kind) & spread["metric"].isin(chosen)]
    rows = rows.sort_values("metric", key=lambda keys: keys.map({key: place for place, key in enumerate(chosen)}))
    if not len(rows):
        st.caption("Choose at least one metric.")
    else:
        st.plotly_chart(
            spread_curves(rows, metrics=result.rows),
            config=plot_config(f"severity_{kind}"), key=f"{name}_severity_plot",
            alt=f"Scores against the severity of {kind_words(kind)}: median and quartiles over the pictures",
        )  # fmt: skip
        st.caption(
            f"{kind_words(kind)} over {rows['count'].max():,} pictures: the line is the median, the band holds the "
            "middle half of the pictures. All metrics are brought to one scale: 1 is what identical pictures get (or "
            "the mildest median, where that depends on the model), 0 the worst quartile of the curve. A cross marks a "
            f"median that rises with more damage. {not_quality(chosen)}"
        )
    _show_broken(broken)


def _first_curves(result: Result) -> list[str]:
    usual = list(result.usual) if len(result.keys) > 1 else list(result.keys)
    return list(dict.fromkeys([*usual, *result.keys]))[:_FIRST_CURVES]


def _show_broken(broken: pd.DataFrame) -> None:
    st.markdown("**Where more damage scored better**")
    steps = int(broken["steps"].sum())
    if not steps:
        st.caption("With one severity there are no steps to look at.")
        return
    bad = broken[broken["broken"] > 0]
    faultless = [label(key) for key in broken["metric"].unique() if key not in set(bad["metric"])]
    if faultless:
        st.caption(plain(f"Never, in any step of any picture: {', '.join(faultless)}."))
    if not len(bad):
        return
    bad = bad.assign(share=100 * bad["broken"] / bad["steps"]).sort_values("share", ascending=False, kind="stable")
    st.dataframe(
        {
            "Metric": [label(key) for key in bad["metric"]],
            "Distortion": [kind_words(kind) for kind in bad["distortion"]],
            "Share": bad["share"].tolist(),
            "Steps": [f"{row.broken:,} of {row.steps:,}" for row in bad.itertuples()],
            "Pictures": bad["pictures"].tolist(),
            "Most in": bad["worst"].tolist(),
        },
        hide_index=True,
        height=min(420, 36 * len(bad) + 40),
        column_config={
            "Share": st.column_config.ProgressColumn("Steps that rise", min_value=0, max_value=100, format="%.0f %%"),
            "Steps": st.column_config.Column("Number", help="From one severity of a picture to its next one."),
            "Pictures": st.column_config.NumberColumn("Pictures", help="With at least one such step."),
        },
    )


def show_laws(name: str, result: Result) -> None:
    """The card of each metric: which law it holds, measured beforehand or now, and how it did on these pictures."""
    _, broken = cached.run_spread(result.token, result.found)
    plain_keys = tuple(key for key in result.keys if key in METRICS and not METRICS[key].needs_model)
    with st.spinner("Trying the laws on a few small photographs"):
        reports: dict[str, Mapping[str, Any]] = dict(cached.quick_laws(plain_keys))
    for model_key in ("model", "deconv"):
        stored = (result.card(model_key) or {}).get("laws") or {}
        reports |= {key: found for key, found in stored.items() if key in result.keys and isinstance(found, Mapping)}
    here = broken.groupby("metric")[["broken", "steps"]].sum()
    rows = []
    for key in result.keys:
        laws = reports.get(key, {}).get("laws") or {}
        cells = {head: _HOLDS.get((laws.get(law) or {}).get("passed"), "not tried") for law, (head, _) in LAWS.items()}
        rows.append({"Metric": label(key), **cells, "Here": _rises(here, key)})
    st.dataframe(
        {column: [row[column] for row in rows] for column in rows[0]},
        hide_index=True,
        height="content",
        column_config={
            **{head: st.column_config.Column(head, help=asks) for head, asks in LAWS.values()},
            "Here": st.column_config.Column(
                "Steps that rise here",
                help="On these pictures: steps from one severity to the next in which more damage scored better.",
            ),
        },
    )
    st.markdown("\n".join(f"- **{head}**: {asks}" for head, asks in LAWS.values()))
    st.caption(
        "A score should hold every law before it is called a measure of quality. Scores made with a bundled model were "
        "tried on twenty photographs in twenty steps of blur, noise, JPEG and contrast; the others just now on four "
        "photographs in six steps, so what holds here may still fail in a full check."
    )
    _show_failures(reports)


def _rises(here: pd.DataFrame, key: str) -> str:
    if key not in here.index or not here.loc[key, "steps"]:
        return "no steps"
    return f"{int(here.loc[key, 'broken']):,} of {int(here.loc[key, 'steps']):,}"


def _show_failures(reports: Mapping[str, Mapping[str, Any]]) -> None:
    failed = {key: " ".join(map(str, found.get("failed") or [])) for key, found in reports.items()}
    failed = {key: sentences for key, sentences in failed.items() if sentences}
    if failed:
        st.markdown("**What failed**")
        st.markdown("\n".join(f"- {plain(label(key))}: {plain(sentences)}" for key, sentences in failed.items()))
    facts = {
        key: [str(law["sentence"]) for law in (found.get("laws") or {}).values() if law.get("passed") is None]
        for key, found in reports.items()
    }
    if any(facts.values()):
        with st.expander("What is no law but good to know: swapping the pictures, a shift by a pixel, brightness"):
            st.markdown(
                "\n".join(f"- {plain(label(key))}: {plain(' '.join(said))}" for key, said in facts.items() if said)
            )
