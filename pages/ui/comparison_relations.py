"""Which metrics agree, how surely, and the pictures about which two of them disagree most."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from deconv_core.figures import plot_config, relation_dots
from deconv_core.relations import drawn, drawn_words
from pages.ui import cached
from pages.ui.cached import VIEW_PIXELS, Pair
from pages.ui.comparison_candidate import pair_of
from pages.ui.comparison_data import Result, kind_words, label, value_words
from pages.ui.comparison_scatter import choose_two
from pages.ui.inputs import plain
from pages.ui.thumbnails import Tile, thumbnails
from pages.ui.viewer import Legend, Shot, viewer

COEFFICIENTS = {
    "srcc": "SRCC, order (Spearman)",
    "krcc": "KRCC, order of pairs (Kendall)",
    "plcc": "PLCC, straight line (Pearson)",
}
GROUPS = {"all": "All distortions together", "distortion": "Each distortion"}
DISAGREEMENTS = {"equal": "Equal or far apart?", "order": "Which is better?"}
# What the second and the first metric do, as they are chosen.
_ROLES = {"equal": ("Finds them far apart", "Calls them equal"), "order": ("Prefers B", "Prefers A")}
_EXPLAINED = {
    "equal": "Two candidates with the same score by the first metric and far apart by the second, the clearest first. "
    "Open one and judge by eye: which metric is right?",
    "order": "Two candidates of which the first metric prefers A and the second B, the clearest first. Open one and "
    "judge by eye: which metric is right?",
}
_PER_PAGE = 5
_SIDE = 160


def show_correlations(name: str, result: Result) -> None:
    """One metric against all others with intervals, and every pair as a table."""
    state = st.session_state
    if state.get(f"{name}_metric") not in result.keys:
        state[f"{name}_metric"] = result.usual[0]
    with st.container(horizontal=True, vertical_alignment="bottom"):
        metric = st.selectbox(
            "Metric", result.keys, key=f"{name}_metric", format_func=label, persist_state="session", width=300
        )
        coefficient = st.selectbox(
            "Coefficient", list(COEFFICIENTS), key=f"{name}_coefficient", format_func=COEFFICIENTS.get,
            persist_state="session", width=300,
        )  # fmt: skip
        by = st.segmented_control(
            "Over", list(GROUPS), format_func=GROUPS.get, default="all", required=True, key=f"{name}_by",
            persist_state="session",
        )  # fmt: skip
    others = [key for key in result.keys if key != metric]
    if by == "all":
        table = cached.run_correlations(result.token, tuple(result.keys), False, result.found)
        mine, names = _against(table, metric)
        findings = result.found.summary.get("findings")
        if findings:
            st.markdown(f"**In words:** {plain(findings)}")
        else:
            _say_extremes(table, coefficient)
        st.markdown(f"**{plain(label(metric))} against the others**")
    else:
        if state.get(f"{name}_other") not in others:
            state[f"{name}_other"] = next((key for key in result.usual if key != metric), others[0])
        other = st.selectbox(
            "Against", others, key=f"{name}_other", format_func=label, persist_state="session", width=300
        )
        table = cached.run_correlations(result.token, (metric, other), True, result.found)
        mine, names = table, [kind_words(kind) for kind in table["group"]]
        st.markdown(f"**{plain(label(metric))} against {plain(label(other))}, by distortion**")
    st.plotly_chart(
        relation_dots(mine, coefficient, names),
        config=plot_config(f"{coefficient}_{metric}"),
        key=f"{name}_dots",
        alt=f"{coefficient.upper()} of {label(metric)} with 95 % intervals",
    )
    related = drawn(result.scored, result.found.settings.seed)
    images = related["image"].nunique()
    few = " So few pictures say little about others." if images < 10 else ""
    st.caption(
        "Metrics where lower is better are turned round first. 1: the same order (PLCC: a straight line); 0: nothing "
        f"in common. The lines are 95 % intervals from resampling the {images:,} "
        f"{'picture' if images == 1 else 'pictures'} with all that was made of them.{few}"
    )
    _say_drawn(result)
    with st.expander("All pairs, all coefficients, with intervals", expanded=by != "all"):
        _show_table(table, by)


def _say_drawn(result: Result) -> None:
    words = drawn_words(result.scored, result.found.settings.seed)
    if words:
        st.caption(plain(words))


def _against(table, metric: str):
    """The rows of one metric, and the names of the other one in each."""
    mine = table[(table["first"] == metric) | (table["second"] == metric)]
    others = mine["first"].where(mine["first"] != metric, mine["second"])
    return mine, [label(key) for key in others]


def _say_extremes(table, coefficient: str) -> None:
    known = table.dropna(subset=[coefficient])
    if len(known) < 2:
        return
    most, least = known.loc[known[coefficient].idxmax()], known.loc[known[coefficient].idxmin()]

    def words(row) -> str:
        low, high = row[f"{coefficient}_low"], row[f"{coefficient}_high"]
        return (
            f"**{plain(label(row['first']))}** and **{plain(label(row['second']))}** "
            f"({plain(f'{row[coefficient]:.2f}, {low:.2f} to {high:.2f}')})"
        )

    st.markdown(f"{words(most)} agree most, {words(least)} least.")


def _show_table(table, by: str) -> None:
    def span(row, coefficient: str) -> str:
        return f"{row[coefficient]:.3f} ({row[f'{coefficient}_low']:.3f} to {row[f'{coefficient}_high']:.3f})"

    rows = table.sort_values("srcc", ascending=False, kind="stable")
    columns = {} if by == "all" else {"Distortion": [kind_words(kind) for kind in rows["group"]]}
    columns |= {"First": [label(key) for key in rows["first"]], "Second": [label(key) for key in rows["second"]]}
    for coefficient in COEFFICIENTS:
        columns[coefficient.upper()] = [span(row, coefficient) for _, row in rows.iterrows()]
    st.dataframe(
        columns | {"Candidates": rows["count"].tolist()}, hide_index=True, height=min(420, 36 * len(rows) + 40)
    )


def show_disagreements(name: str, result: Result) -> None:
    """Pairs of candidates, best first, each with what both metrics say and why; one of them opened in the viewer."""
    state = st.session_state
    with st.container(horizontal=True, vertical_alignment="bottom"):
        order = st.segmented_control(
            "Kind of disagreement", list(DISAGREEMENTS), format_func=DISAGREEMENTS.get, default="equal", required=True,
            key=f"{name}_order", persist_state="session",
        )  # fmt: skip
        one_image = st.toggle(
            "Of one reference only", value=True, key=f"{name}_one", persist_state="session",
            help="Two candidates made from one reference are the easiest to judge by eye.",
        )  # fmt: skip
    x, y = choose_two(name, result, *_ROLES[order], swap=True)
    if x == y:
        st.markdown("This is one metric twice; choose another one.")
        return
    asked = (x, y, order, one_image)
    if state.setdefault(f"{name}_asked", asked) != asked:  # another question: what was open belongs to the last one
        state[f"{name}_asked"], state[f"{name}_place"] = asked, None
    found = cached.run_disagreements(result.token, y, x, order, one_image, result.found)
    if not len(found):
        st.caption("These two metrics do not disagree in this way about any pair of these candidates.")
        return
    st.caption(_EXPLAINED[order])
    _say_drawn(result)
    opened = state.get(f"{name}_place")
    if opened is not None and not 1 <= opened <= len(found):
        opened = None
    pages = -(-len(found) // _PER_PAGE)
    if opened is None:
        key = f"{name}_list_{'_'.join(map(str, asked))}"
        page = min(state.get(key, 1), pages)
        for place in range((page - 1) * _PER_PAGE, min(page * _PER_PAGE, len(found))):
            _show_line(name, result, found.iloc[place], place, y, x)
        if pages > 1:
            st.pagination(pages, key=key, persist_state="page")
    else:
        _show_opened(name, result, found.iloc[opened - 1], opened, len(found), y, x)


def _show_line(name: str, result: Result, row, place: int, first: str, second: str) -> None:
    rows = int(row["row_a"]), int(row["row_b"])
    with st.container(border=True, key=f"{name}_line_{place}"), st.container(horizontal=True, gap="medium"):
        with st.container(width=290):
            thumbnails(
                [
                    Tile(
                        letter,
                        cached.run_thumbnail(result.token, number, _SIDE, result.found),
                        label=result.candidate_words(number),
                        mark=letter,
                    )
                    for letter, number in zip("AB", rows, strict=True)
                ],
                key=f"{name}_pair_{place}", label=f"Disagreement {place + 1}", side=120,
                on_press=lambda _: _open(name, place + 1),
            )  # fmt: skip
        with st.container(width="stretch"):
            st.markdown(_verdicts(row, first, second))
            st.caption(_reason(result, row))
            st.button("Open in the viewer", key=f"{name}_open_{place}", on_click=_open, args=(name, place + 1))


def _reason(result: Result, row) -> str:
    """What happened to either candidate, in one line."""
    words = {side: cached.run_reason(result.token, int(row[f"row_{side}"]), result.found) for side in "ab"}
    return "  \n".join(f"{side.upper()}: {plain(said)}" for side, said in words.items())


def _open(name: str, place: int | None) -> None:
    st.session_state[f"{name}_place"] = place


def _verdicts(row, first: str, second: str) -> str:
    lines = [
        f"**{plain(label(key))}**: A {plain(value_words(key, row[f'{role}_a']))}, "
        f"B {plain(value_words(key, row[f'{role}_b']))}"
        for role, key in (("first", first), ("second", second))
    ]
    return "  \n".join(lines)


def _show_opened(name: str, result: Result, row, place: int, count: int, first: str, second: str) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        st.button(
            "All disagreements", key=f"{name}_back", on_click=_open, args=(name, None), icon=":material/arrow_back:"
        )
        st.button("Previous", key=f"{name}_before", on_click=_open, args=(name, place - 1), disabled=place <= 1)
        st.button("Next", key=f"{name}_after", on_click=_open, args=(name, place + 1), disabled=place >= count)
        st.caption(f"{place} of {count}")
    numbers = int(row["row_a"]), int(row["row_b"])
    st.markdown(_verdicts(row, first, second))
    st.markdown(_reason(result, row))
    shots: list[Shot] = []
    maps: list[Shot] = []
    references: dict[str, Shot] = {}
    for letter, number in zip("AB", numbers, strict=True):
        pair, words = pair_of(result, number), result.candidate_words(number)
        made = cached.png(pair.candidate_token, VIEW_PIXELS, pair.candidate)
        shots.append(Shot(f"candidate_{letter}", words, made))
        if pair.reference_token not in references:
            made = cached.png(pair.reference_token, VIEW_PIXELS, pair.reference)
            image = Path(str(result.found.frame["image"].iloc[number])).name
            references[pair.reference_token] = Shot(f"reference_{letter}", f"Reference: {image}", made)
        maps += _maps(pair, letter, words, (first, second))
    viewer([*shots, *references.values(), *maps], key=f"{name}_disagreement", height=480)
    st.caption(
        "Choose what the two sides of the viewer show. Error maps are black where nothing changed, all on one scale."
    )


def _maps(pair: Pair, letter: str, words: str, keys: tuple[str, str]) -> list[Shot]:
    from deconv_core import inspection
    from deconv_core.figures import map_legend

    shots = []
    for key in keys:
        made = cached.map_png(pair, key) if key in inspection.map_keys() else None
        if made is not None:
            top, unit = inspection.map_scale(key)
            legend = map_legend(0, top, unit)
            shots.append(
                Shot(
                    f"map_{letter}_{key}",
                    f"{label(key)}, error map: {words}",
                    made,
                    legend=Legend(legend["low"], legend["high"], legend["unit"], legend["colours"]),
                )
            )
    return shots
