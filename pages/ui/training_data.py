"""Which pictures to learn from: bundled, uploaded, on the server, or a known data set; and what was found there."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from deconv_core.errors import DeconvError
from deconv_core.images import encode_png
from deconv_core.jobs import list_jobs
from deconv_core.named_sets import FETCHED_NAMES
from deconv_core.roots import allowed_roots
from deconv_core.sources import EXTENSIONS
from deconv_core.uploads import forget_upload, keep_uploads
from pages.ui import cached
from pages.ui.inputs import plain

if TYPE_CHECKING:
    from deconv_core.survey import Survey

BUNDLED = {"samples": "Bundled photographs", "digits": "Drawn digits"}
KINDS = {**BUNDLED, "upload": "Your own pictures", "server": "On the server", "named": "Known data sets"}
NAMED = {"mnist": "MNIST", "fashion_mnist": "Fashion-MNIST", "cifar10": "CIFAR-10"}
FILE_TYPES = [ending.removeprefix(".") for ending in (*EXTENSIONS, ".zip", ".tar", ".gz", ".tgz", ".npz", ".parquet")]
MAX_SESSION_BYTES = 4 * 2**30
_REPORT_SECONDS = 0.3
_LISTED = 1000


@dataclass(frozen=True)
class Source:
    """Where pictures come from: the SOURCE, what to call it, and the folders a page may open it in."""

    place: str
    note: str
    roots: Sequence[Path] | None = None


def choose_source(name: str, *, label: str = "Pictures to learn from") -> Source | None:
    """Widgets for every kind of source; None while something is missing, which is said."""
    kind = st.segmented_control(
        label, list(KINDS), format_func=KINDS.get, default="samples", required=True, key=f"{name}_source",
        persist_state="session",
    )  # fmt: skip
    if kind in BUNDLED:
        return Source(kind, BUNDLED[kind])
    if kind == "upload":
        return _uploaded(name)
    if kind == "server":
        return _on_the_server(name)
    chosen = st.selectbox("Data set", list(NAMED), format_func=NAMED.get, key=f"{name}_named", persist_state="session")
    assert chosen in FETCHED_NAMES
    asked = f"{name}_fetch_{chosen}"
    if not st.session_state.get(asked):
        st.caption("It is fetched over the network the first time, from the servers that Keras names, and then kept.")
        if not st.button(f"Fetch {NAMED[chosen]}", key=f"{name}_fetch", icon=":material/download:"):
            return None
        st.session_state[asked] = True
    return Source(chosen, NAMED[chosen])


def _on_the_server(name: str) -> Source | None:
    place = st.text_input(
        "Folder, picture, tar, zip, CSV, Parquet or .npz on this machine, or an address",
        key=f"{name}_place",
        persist_state="session",
        placeholder="~/photographs, or https://, s3://, gs://, az://, hf://",
    ).strip()
    roots = allowed_roots()
    st.caption(plain(f"May be opened here: {', '.join(map(str, roots)) or 'no folder'}."))
    if not place:
        return None
    if "://" not in place and "::" not in place:
        place = str(Path(place).expanduser())
    return Source(place, Path(place.rstrip("/")).name or place, roots)


def _uploaded(name: str) -> Source | None:
    """Files go to the workspace at once, and the widget that held them in memory is replaced by an empty one."""
    state = st.session_state
    turn = state.setdefault("train_upload_turn", 0)
    files = st.file_uploader(
        "Pictures, a zip or tar of pictures, or one .npz or Parquet file",
        type=FILE_TYPES,
        accept_multiple_files=True,
        key=f"{name}_upload_{turn}",
        help="They are kept in the workspace on this machine, where a run can be resumed from them.",
    )
    if files:
        used = state.get("train_uploaded_bytes", 0) + sum(file.size for file in files)
        if used > MAX_SESSION_BYTES:
            raise DeconvError(
                f"This visit has uploaded {used / 2**30:.1f} GiB, at most {MAX_SESSION_BYTES / 2**30:.0f} are taken. "
                "Put larger sets into a folder of the server."
            )
        with st.spinner("Keeping the pictures"):
            kept = keep_uploads((file.name, file) for file in files)
        state["train_uploaded_bytes"] = used
        state["train_upload"] = (str(kept.folder), kept.num_files, kept.num_bytes, kept.refused)
        state["train_upload_turn"] = turn + 1
        st.rerun()
    if "train_upload" not in state:
        st.caption("Nothing here yet. At most 200 MB for each file; larger sets belong into a folder of the server.")
        return None
    folder, num_files, num_bytes, refused = state["train_upload"]
    if not Path(folder).is_dir():
        del state["train_upload"]
        st.caption("The pictures uploaded before have been deleted meanwhile; upload them again.")
        return None
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(f"{num_files} files with {num_bytes / 2**20:.1f} MiB are kept in the workspace.")
        if st.button("Delete them", key=f"{name}_forget", type="tertiary"):
            if any(job.active and folder in job.command for job in list_jobs()):
                raise DeconvError("A run is learning from these pictures; stop it before they are deleted.")
            forget_upload(folder)
            cached.forget_survey(folder)
            del state["train_upload"]
            st.rerun()
    if refused:
        with st.expander(f"{len(refused)} files were not kept"):
            _reasons(refused)
    return Source(folder, f"{num_files} uploaded pictures", [Path(folder)])


def look_at(name: str, source: Source) -> Survey:
    """Read through a source once and tell what was found."""
    place = st.empty()
    found = cached.survey(source.place, roots=source.roots, report=_reporter(place))
    place.empty()
    show_survey(name, source, found)
    return found


def _reporter(place) -> Callable[[int], None]:
    last = 0.0

    def report(done: int) -> None:
        nonlocal last
        if time.monotonic() - last > _REPORT_SECONDS:
            last = time.monotonic()
            place.caption(f"Looking at the pictures: {done:,} so far")

    return report


def show_survey(name: str, source: Source, found: Survey) -> None:
    """Counts, sizes, thumbnails, what cannot be read and why, and the fingerprint."""
    with st.container(horizontal=True, gap="medium", vertical_alignment="bottom"):
        st.metric("Pictures", f"{found.count:,}", width="content")
        st.metric("Cannot be read", f"{found.num_unreadable:,}", width="content")
        st.metric("Size", f"{found.bytes / 2**20:,.1f} MiB", width="content")
        if source.place not in KINDS and source.place not in FETCHED_NAMES:
            st.button(
                "Look again", key=f"{name}_again", on_click=cached.forget_survey, args=(source.place,), type="tertiary"
            )
    if found.thumbnails:
        with st.container(horizontal=True, gap="small"):
            for file, pixels in found.thumbnails:
                with st.container(width=72):
                    st.image(encode_png(pixels / 255), width=72, alt=file[:100])
    st.caption(plain(_words(found)))
    if found.unreadable:
        with st.expander(f"{found.num_unreadable:,} files cannot be read"):
            _reasons(found.unreadable)


def _words(found: Survey) -> str:
    sizes = [f"{width} × {height} ({count:,})" for (width, height), count in list(found.sizes.items())[:4]]
    more = len(found.sizes) - len(sizes)
    colours = {1: "grey", 3: "colour"}
    parts = [
        f"Sizes in pixels: {', '.join(sizes)}{f' and {more:,} more' if more > 0 else ''}" if sizes else "",
        ", ".join(f"{count:,} {colours.get(depth, depth)}" for depth, count in found.channels.items()),
        ", ".join(f"{count:,} {kind}" for kind, count in found.formats.items() if kind != "NPY"),
        f"{found.held_out:,} kept for testing by the source itself" if found.held_out else "",
        f"Fingerprint {found.digest[:16]}",
    ]
    return ". ".join(part for part in parts if part) + "."


def _reasons(rows: Sequence[tuple[str, str]]) -> None:
    shown = list(rows)[:_LISTED]
    st.dataframe(
        {"File": [file for file, _ in shown], "Reason": [reason for _, reason in shown]},
        hide_index=True,
        height="content" if len(shown) < 10 else 320,
    )
