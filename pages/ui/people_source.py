"""Where human scores come from: an upload that is kept in the workspace, or a table or data set on the server."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import streamlit as st

from deconv_core.errors import DeconvError
from deconv_core.human_scores import TABLE_ENDINGS
from deconv_core.jobs import list_jobs
from deconv_core.roots import allowed_roots, check_inside_roots
from deconv_core.score_layouts import LAYOUTS, recognise
from deconv_core.sources import EXTENSIONS
from deconv_core.uploads import Upload, forget_upload, keep_uploads
from pages.ui.inputs import plain

KINDS = {"upload": "Your own table", "server": "On the server"}
# LIVE keeps its scores in .mat files.
_TABLES = (*TABLE_ENDINGS, ".mat")
_ARCHIVES = (".zip", ".tar", ".gz", ".tgz")
MAX_SESSION_BYTES = 4 * 2**30
_LISTED = 200


@dataclass(frozen=True)
class ScoresSource:
    """A table of human scores, or the folder of a known data set, and where its pictures may lie.

    Attributes:
        place: The table or the folder.
        label: What to call it.
        roots: Folders that a page may open for it.
        images: Folder of pictures, where they are not beside the table.
        uploaded: Whether it was uploaded, so that its folder holds nothing else.
    """

    place: Path
    label: str
    roots: Sequence[Path]
    images: Path | None = None
    uploaded: bool = False

    @property
    def stamp(self) -> str:
        """Changes when the files change."""
        files = [self.place] if self.place.is_file() else [*sorted(self.place.glob("*")), self.place]
        return " ".join(f"{file.stat().st_mtime_ns}" for file in files[:_LISTED] if file.exists())


def choose_scores(name: str) -> ScoresSource | None:
    """Widgets for every kind of source; None while something is missing, which is said."""
    kind = st.segmented_control(
        "Scores that people gave", list(KINDS), format_func=KINDS.get, default="upload", required=True,
        key=f"{name}_people_source", persist_state="session", label_visibility="collapsed",
    )  # fmt: skip
    return _uploaded(name) if kind == "upload" else _on_the_server(name)


def _on_the_server(name: str) -> ScoresSource | None:
    place = st.text_input(
        "A table of scores, or the folder of a data set",
        key=f"{name}_people_place",
        persist_state="session",
        placeholder="~/studies/ratings.csv, or ~/kadid10k",
    ).strip()
    roots = allowed_roots()
    known = ", ".join(row.data_set for row in LAYOUTS.values())
    st.caption(plain(f"Known by their folder: {known}. They are read where they lie and stay there."))
    st.caption(plain(f"May be opened here: {', '.join(map(str, roots)) or 'no folder'}."))
    if not place:
        return None
    found = check_inside_roots(place, roots)
    if found.is_dir():
        for file in found.iterdir():
            if file.is_symlink():
                check_inside_roots(file, roots)
    return ScoresSource(found, found.name, roots)


def _uploaded(name: str) -> ScoresSource | None:
    kept = _keep(
        f"{name}_people",
        "A table of scores, with its pictures if there are any",
        [ending.removeprefix(".") for ending in (*_TABLES, *EXTENSIONS, *_ARCHIVES)],
        "CSV, TSV, Excel or Parquet with one row per picture. Pictures and references come as files or in a zip; they "
        "are only needed for metrics that the table does not hold yet.",
    )
    if kept is None:
        _explain()
        return None
    folder = kept.folder
    source = ScoresSource(folder, folder.name, [folder], uploaded=True)
    known = recognise(folder)
    if known is not None:
        return replace(source, label=known.data_set)
    tables = sorted(file for file in folder.rglob("*") if file.suffix.lower() in TABLE_ENDINGS)
    if not tables:
        raise DeconvError(
            f"Among the {kept.num_files} uploaded files is no table of scores; expected one that ends in "
            f"{', '.join(TABLE_ENDINGS)}. Remove them, and choose the table together with its pictures."
        )
    table = tables[0]
    if len(tables) > 1:
        table = st.selectbox(
            "Table", tables, format_func=lambda file: file.relative_to(folder).as_posix(), key=f"{name}_people_table"
        )
    return replace(source, place=table, label=table.name)


def add_pictures(name: str, source: ScoresSource) -> ScoresSource:
    """Ask for pictures that did not come with the table; the source with their folder, if there is one."""
    if source.uploaded:
        kept = _keep(
            f"{name}_people_pictures",
            "Pictures and references that the table names",
            [ending.removeprefix(".") for ending in (*EXTENSIONS, *_ARCHIVES)],
            "A zip keeps the folders that the table's names may begin with.",
        )
        return source if kept is None else replace(source, images=kept.folder, roots=[*source.roots, kept.folder])
    place = st.text_input(
        "Folder of the pictures", key=f"{name}_people_images", persist_state="session",
        placeholder="beside the table, unless you name another one",
    ).strip()  # fmt: skip
    return replace(source, images=check_inside_roots(place, source.roots)) if place else source


def _keep(key: str, label: str, endings: Sequence[str], hint: str) -> Upload | None:
    """An uploader whose files go to the workspace at once; afterwards what is kept, and a button to remove it."""
    state = st.session_state
    upload: Upload | None = state.get(f"{key}_kept")
    if upload is not None and not upload.folder.is_dir():
        del state[f"{key}_kept"]
        upload = None
        st.caption("The files uploaded before have been deleted meanwhile; upload them again.")
    if upload is None:
        turn = state.setdefault(f"{key}_turn", 0)
        files = st.file_uploader(
            label, type=list(dict.fromkeys(endings)), accept_multiple_files=True, key=f"{key}_upload_{turn}", help=hint
        )
        if not files:
            return None
        used = state.get("people_uploaded_bytes", 0) + sum(file.size for file in files)
        if used > MAX_SESSION_BYTES:
            raise DeconvError(
                f"This visit has uploaded {used / 2**30:.1f} GiB, at most {MAX_SESSION_BYTES / 2**30:.0f} are taken. "
                "Put larger sets into a folder of the server."
            )
        with st.spinner("Keeping the files"):
            state[f"{key}_kept"] = keep_uploads(((file.name, file) for file in files), also=_TABLES)
        state["people_uploaded_bytes"] = used
        state[f"{key}_turn"] = turn + 1
        st.rerun()
    with st.container(horizontal=True, vertical_alignment="center"):
        files = "One file" if upload.num_files == 1 else f"{upload.num_files:,} files"
        st.caption(f"{files} with {upload.num_bytes / 2**20:.2f} MiB kept in the workspace.", width="content")
        if st.button("Remove", key=f"{key}_forget", type="tertiary", icon=":material/close:"):
            if any(job.active and str(upload.folder) in job.command for job in list_jobs()):
                raise DeconvError("A run is reading these files; stop it before they are deleted.")
            forget_upload(upload.folder)
            del state[f"{key}_kept"]
            st.rerun()
    if upload.refused:
        with st.expander(f"{len(upload.refused)} files were not kept"):
            shown = upload.refused[:_LISTED]
            st.dataframe(
                {"File": [file for file, _ in shown], "Reason": [reason for _, reason in shown]}, hide_index=True
            )
    return upload


def _explain() -> None:
    with st.expander("What such a table looks like"):
        st.markdown(
            "One row per picture that people judged, under a header. Only the score itself is needed; the more of the "
            "rest is there, the more can be said."
        )
        st.dataframe(
            {
                "image": ["harbour_blur_2.png", "harbour_jpeg_4.png", "garden_blur_1.png"],
                "reference": ["harbour.png", "harbour.png", "garden.png"],
                "type": ["blur", "jpeg", "blur"],
                "mos": [3.9, 1.7, 4.6],
                "my_metric": [0.81, 0.44, 0.93],
            },
            hide_index=True,
        )
        st.caption(
            "A score may rise with quality (MOS) or fall with it (DMOS): which of both is found out and shown before "
            "anything runs. Columns with a metric are compared as they are; other metrics are computed from pictures "
            "that you bring along. Untidy tables are fine: empty columns, missing rows, decimal commas, several sheets."
        )
