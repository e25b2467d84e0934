"""What was understood of a table of human scores, what to compare with them, and the start of the run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import streamlit as st

from deconv_core.agree_command import direction_of
from deconv_core.agree_result import metric_label
from deconv_core.calibrated_metrics import list_saved
from deconv_core.direction import direction_words, metric_direction, plain_name
from deconv_core.errors import DeconvError
from deconv_core.human_scores import NO_COLUMN, sheet_names
from deconv_core.metrics import METRICS, metric
from deconv_core.roots import check_inside_roots
from deconv_core.scoring import DEFAULT_MODEL
from deconv_core.sources import list_files
from pages.ui import cached
from pages.ui.inputs import choose_model, plain
from pages.ui.job_panel import start_job
from pages.ui.people_source import ScoresSource, add_pictures

if TYPE_CHECKING:
    from deconv_core.agree_command import Plan
    from deconv_core.human_scores import HumanScores

_ROLES = {
    "mos": "Human score",
    "candidate": "Image to judge",
    "reference": "Reference",
    "content": "Content (what a picture shows)",
}
_USUAL = ("psnr", "ssim", "ms_ssim", "deconv", "deconv_control")
_USUAL_WITHOUT_REFERENCE = ("deconv_quality", "deconv_quality_control", "recon_self_ssim")
_FIRST_SHEET = "the first that holds a table"
_NO_SPLIT = "(no split)"
_MOST_GROUPS = 60
_PREVIEW_ROWS = 200
_WIDTH = 220


@dataclass(frozen=True)
class _Choice:
    """What was chosen on the page, as `agree_command.prepare` takes it."""

    source: ScoresSource
    sheet: str | None
    columns: Mapping[str, str]
    mos: str
    group: str | None
    metrics: Sequence[str]
    references: Path | None = None

    @property
    def request(self) -> tuple[tuple[str, Any], ...]:
        images = self.source.images
        return (
            ("scores", self.mos),
            ("metrics", tuple(self.metrics)),
            ("group", self.group),
            ("columns", tuple(self.columns.items())),
            ("images", str(images) if images else None),
            ("references", str(self.references) if self.references else None),
            ("sheet", self.sheet),
        )

    def words(self) -> list[str]:
        """What follows `python -m deconv_core agree`; joined by =, for a column's name may begin with a dash."""
        words = [str(self.source.place), f"--scores={self.mos}", f"--metrics={','.join(self.metrics)}"]
        words += [f"--column={role}={column}" for role, column in self.columns.items()]
        for option, value in (
            *(("group", self.group), ("images", self.source.images), ("references", self.references)),
            ("sheet", self.sheet),
        ):
            if value:
                words.append(f"--{option}={value}")
        return words


def plan(name: str, source: ScoresSource) -> None:
    """Show what was understood, let it be overruled, and start."""
    sheet = _choose_sheet(name, source)
    guessed = cached.human_scores(str(source.place), source.stamp, sheet, ())
    numeric = _numeric(guessed)
    if not numeric:
        raise DeconvError(
            f"'{source.label}' holds no column of numbers; expected one with human scores (such as mos), one row per "
            "picture. Choose another table."
        )
    st.subheader("What was recognised", anchor=False)
    about = f"**{plain(source.label)}**: {len(guessed.frame):,} rows, {len(guessed.frame.columns)} columns"
    st.markdown(f"{about}. Recognised as {plain(guessed.data_set)}." if guessed.data_set else f"{about}.")
    columns = _choose_columns(name, source, guessed, numeric)
    if columns is None:
        return
    table = cached.human_scores(str(source.place), source.stamp, sheet, tuple(columns.items()))
    mos = table.column("mos")
    if mos is None or mos not in _numeric(table):
        raise DeconvError(f"Column '{mos}' holds no numbers; choose one of {', '.join(_numeric(table))}.")
    _show_notes(table)
    with st.expander("The table as it is read"):
        st.dataframe(table.frame.head(_PREVIEW_ROWS), hide_index=True, height=260)

    st.subheader("What to compare with people", anchor=False)
    metrics, group = _choose_metrics(name, source, table, mos), _choose_group(name, source, table)
    if not metrics:
        st.markdown("Choose at least one metric.")
        return
    ready = {plain_name(column) for column in _ready(table, mos)}
    computed = [key for key in metrics if plain_name(key) not in ready]
    references, card = None, None
    if computed:
        source, references = _choose_pictures(name, source, table, computed)
        if any(metric(key).needs_model and key != "deconv" for key in computed):
            card = choose_model(f"{name}_people", cached.cards(), DEFAULT_MODEL)
    choice = _Choice(source, sheet, columns, mos, group, metrics, references)
    found = cached.agree_plan(str(source.place), source.stamp, choice.request)
    _check_links(found, source)
    _show_pictures(found)
    direction = _choose_direction(name, source, found)
    given = st.text_input(
        "Name", value=source.label[:60], max_chars=60, key=f"{name}_people_name_{_mark(source)}", width=300
    )
    if direction is None:
        st.markdown("**Say first which scores are better**; without it no sign of a correlation can be trusted.")
        return
    if st.button("Compare with people", type="primary", key=f"{name}_people_start", icon=":material/play_arrow:"):
        words = [*choice.words(), *([f"--direction={direction}"] if direction != "found" else [])]
        words += [f"--model={card['name']}"] if card else []
        label = " ".join(given.split()).lstrip("-") or "Human scores"
        start_job("agree", words, name=label, quick=not found.missing)
    if found.missing:
        pictures = sum(path is not None for path in found.pictures.candidates)
        metrics_word = "metric" if len(found.missing) == 1 else "metrics"
        st.caption(
            f"Up to {pictures:,} pictures are scored with {len(found.missing)} {metrics_word}. You can close the page: "
            "the run goes on, and its result is in the list below."
        )
    else:
        st.caption("Every metric is in the table, so this takes seconds and needs no pictures.")


def _mark(source: ScoresSource) -> str:
    """For the keys of widgets that belong to one table."""
    import hashlib

    return hashlib.sha256(f"{source.place}\n{source.stamp}".encode()).hexdigest()[:10]


def _numeric(table: HumanScores) -> list[str]:
    import pandas as pd

    return [str(column) for column in table.frame.columns if pd.api.types.is_numeric_dtype(table.frame[column])]


def _ready(table: HumanScores, mos: str) -> list[str]:
    """Columns of numbers that can be compared as they are; a comma would end a name on the command line."""
    taken = {table.column(role) for role in ("std", "low", "high", "level")} | {mos}
    return [column for column in _numeric(table) if column not in taken and "," not in column]


def _choose_sheet(name: str, source: ScoresSource) -> str | None:
    sheets = sheet_names(source.place) if source.place.is_file() else []
    if len(sheets) < 2:
        return None
    chosen = st.selectbox(
        f"The file has {len(sheets)} sheets; read", [_FIRST_SHEET, *sheets],
        key=f"{name}_people_sheet_{_mark(source)}", width=340,
    )  # fmt: skip
    return None if chosen == _FIRST_SHEET else chosen


def _choose_columns(
    name: str, source: ScoresSource, guessed: HumanScores, numeric: Sequence[str]
) -> dict[str, str] | None:
    """Role -> column where the visitor overrules the guess; None while there is no column of human scores."""
    derived = {
        told.column
        for told in guessed.roles.values()
        if told.why.startswith(("from the names in", "the square root of"))
    }
    own = [str(column) for column in guessed.frame.columns if column not in derived]
    chosen: dict[str, str] = {}
    with st.container(horizontal=True, gap="small"):
        for role, label in _ROLES.items():
            guess = guessed.roles.get(role)
            options = [column for column in own if column in numeric] if role == "mos" else [*own, NO_COLUMN]
            if guess is not None and guess.column not in options:
                options.insert(0, guess.column)
            default = guess.column if guess else None if role == "mos" else NO_COLUMN
            with st.container(width=_WIDTH):
                column = st.selectbox(
                    label, options, index=options.index(default) if default in options else None,
                    key=f"{name}_people_{role}_{_mark(source)}", placeholder="Choose its column",
                    format_func=lambda column: "(none)" if column == NO_COLUMN else column,
                )  # fmt: skip
                told = f"Guessed: {guess.why}." if guess else "No column is named like it."
                st.caption(plain("As you say." if column != default else told))
            if column is not None and column != default:
                chosen[role] = column
            if role == "mos" and column is None:
                return _ask_for_scores(numeric)
    return chosen


def _ask_for_scores(numeric: Sequence[str]) -> None:
    st.markdown(plain(f"No column is named like human scores. Say which one holds them: {', '.join(numeric)}."))


def _show_notes(table: HumanScores) -> None:
    """Other columns that were recognised, and repairs."""
    others = [
        f"{role}: column '{told.column}' ({told.why})" for role, told in table.roles.items() if role not in _ROLES
    ]
    lines = ([f"Also recognised: {'; '.join(others)}."] if others else []) + list(table.notes)
    if lines:
        st.markdown("\n".join(f"- {plain(line)}" for line in lines))


def _choose_metrics(name: str, source: ScoresSource, table: HumanScores, mos: str) -> list[str]:
    ready = _ready(table, mos)
    names = {plain_name(column) for column in ready}
    own = [card["name"] for card in list_saved() if not card["reason"]]
    computable = [key for key in (*METRICS, *own) if plain_name(key) not in names] if table.column("candidate") else []
    if not ready and not computable:
        raise DeconvError(
            f"'{source.label}' holds human scores but no metric, and no column names the pictures. Add columns with "
            "metrics, or say above which column names the image to judge and bring the pictures along."
        )
    usual = [column for column in ready if metric_direction(column) is not None]
    if not usual:
        first = _USUAL if table.column("reference") or source.uploaded else _USUAL_WITHOUT_REFERENCE
        usual = [key for key in first if key in computable] or ready[:6]

    def words(key: str) -> str:
        return f"{key} (in the table)" if key in ready else f"{metric_label(key)} (computed)"

    chosen = st.multiselect(
        "Metrics", [*ready, *computable], default=usual, format_func=words,
        key=f"{name}_people_metrics_{_mark(source)}_{plain_name(mos)}",
        help="Columns of the table are compared as they are. What is computed needs the pictures.",
    )  # fmt: skip
    if not computable:
        st.caption("More metrics can be computed where the table names its pictures.")
    return chosen


def _choose_group(name: str, source: ScoresSource, table: HumanScores) -> str | None:
    frame = table.frame
    kinds = table.column("distortion")
    options = [
        str(column)
        for column in frame.columns
        if column == kinds or (frame[column].dtype == object and 1 < frame[column].nunique() <= _MOST_GROUPS)
    ]
    if not options:
        return None
    chosen = st.selectbox(
        "Look at each kind by itself", [_NO_SPLIT, *options], index=options.index(kinds) + 1 if kinds in options else 0,
        key=f"{name}_people_group_{_mark(source)}", width=300,
    )  # fmt: skip
    return None if chosen == _NO_SPLIT else chosen


def _choose_pictures(
    name: str, source: ScoresSource, table: HumanScores, computed: Sequence[str]
) -> tuple[ScoresSource, Path | None]:
    """The source with the folder of its pictures, and the folder of references where the table names none."""
    here = source.place if source.place.is_dir() else source.place.parent
    if not source.uploaded or not _holds_pictures(here):
        source = add_pictures(name, source)
    if table.column("reference") or not any(metric(key).needs_reference for key in computed):
        return source, None
    images = source.images or here
    if not images.is_dir():
        return source, None
    inside = [images, *sorted(path for path in images.rglob("*") if path.is_dir())] if source.uploaded else []
    if inside:
        folders = [path for path in inside if any(file.is_file() for file in path.iterdir())]
        chosen = st.selectbox(
            "References are the pictures in", folders, index=None, width=340, placeholder="Choose a folder",
            key=f"{name}_people_references_{_mark(source)}",
            format_func=lambda path: path.relative_to(images).as_posix() if path != images else "the upload itself",
            help="The table names no reference, so they are paired by their names.",
        )  # fmt: skip
        return source, chosen
    place = st.text_input(
        "Folder of the references, paired by name", key=f"{name}_people_references", persist_state="session"
    ).strip()
    return source, check_inside_roots(place, source.roots) if place else None


def _holds_pictures(folder: Path) -> bool:
    try:
        return bool(list_files(folder))
    except DeconvError:
        return False


def _check_links(found: Plan, source: ScoresSource) -> None:
    """A page must not show what lies outside its folders, also not by way of a link."""
    if found.pictures is None:
        return
    for path in {*found.pictures.candidates, *found.pictures.references} - {None}:
        if path.is_symlink():
            check_inside_roots(path, source.roots)


def _show_pictures(found: Plan) -> None:
    """Which pictures were found and paired, and every one that does not fit, before anything runs."""
    pictures = found.pictures
    if pictures is None:
        return
    paired = sum(None not in pair for pair in zip(pictures.candidates, pictures.references, strict=True))
    with st.container(horizontal=True, gap="medium"):
        for label, number in (
            ("Rows", len(pictures.candidates)),
            ("Pictures found", sum(path is not None for path in pictures.candidates)),
            ("With a reference", paired),
            ("Do not fit", len(found.problems)),
            ("Files no row names", len(pictures.unused)),
        ):
            st.metric(label, f"{number:,}", width="content")
    if found.problems:
        with st.expander(f"{len(found.problems):,} that do not fit", expanded=True):
            shown = found.problems[:_PREVIEW_ROWS]
            st.dataframe(
                {
                    "Image to judge": [problem.candidate for problem in shown],
                    "Reference": [problem.reference for problem in shown],
                    "What": [problem.status for problem in shown],
                    "Why": [problem.reason for problem in shown],
                },
                hide_index=True,
                height="content" if len(shown) < 8 else 260,
            )
            if len(found.problems) > len(shown):
                st.caption(f"The first {len(shown)}; the rest is in problems.csv of the run.")
    with st.expander("How pictures are paired"):
        scores = found.scores.frame[found.scores.column("mos")].tolist()
        rows = list(zip(pictures.candidates, pictures.references, scores, strict=True))[:_PREVIEW_ROWS]
        st.dataframe(
            {
                "Image to judge": [_name(candidate) for candidate, _, _ in rows],
                "Reference": [_name(reference) for _, reference, _ in rows],
                "Human score": [score for _, _, score in rows],
            },
            hide_index=True,
            height=260,
        )


def _name(path: Path | None) -> str:
    return "" if path is None else f"{path.parent.name}/{path.name}"


def _choose_direction(name: str, source: ScoresSource, found: Plan) -> str | None:
    """ "higher" or "lower" as the visitor says, "found" where that is what was found, None where it is not known."""
    told = direction_of(found)
    words = {True: "higher", False: "lower"}
    known = words.get(told.higher_is_better)
    chosen = st.segmented_control(
        "Which human scores are better?", ["higher", "lower"], default=known, format_func=str.capitalize,
        key=f"{name}_people_direction_{_mark(source)}_{plain_name(found.scores.column('mos') or '')}_{known}",
        required=known is not None,
    )  # fmt: skip
    if chosen == known and chosen is not None:
        later = " It is asked again once metrics are computed." if "alone" in told.why and found.missing else ""
        st.caption(plain(f"Found: {told.words}. {told.why} {told.contradiction}{later}"))
        return "found"
    if chosen is None:
        st.caption(plain(told.why))
        return None
    against = direction_of(found, chosen == "higher").contradiction
    st.caption(plain(f"As you say: {direction_words(chosen == 'higher')}. {against}"))
    return chosen
