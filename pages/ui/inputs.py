"""Widgets that return plain values, and text that came from outside made safe for the screen."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import streamlit as st

from deconv_core.distortions import DISTORTIONS, MAX_SEVERITY
from deconv_core.inspection import DIGIT_KEYS, example_label
from deconv_core.samples import SAMPLES
from pages.ui import cached

MAX_SESSION_BYTES = 400 * 2**20
MAX_FILES = 20
FILE_TYPES = ("png", "jpg", "jpeg", "webp", "tif", "tiff", "bmp", "gif")
NO_SECOND = "none"
# Signs that Markdown, or Streamlit's own marks (:icon:, $formula$), would read.
_MARKS = re.compile(r"([\\`*_{}\[\]()<>#+\-.!|~$&=^\"'@])")


def plain(text: object) -> str:
    """Text from outside (file names, cards) for a place that reads Markdown: shown as it is, on one line."""
    line = " ".join(str(text).split())
    # A word joiner, which is invisible, keeps ":name:" from becoming a sign and "https:" from becoming a link.
    return re.sub(r":(?=\S)", ":\u2060", _MARKS.sub(r"\\\1", line))


def example_buttons(name: str, chosen: str | None, take: Callable[[str], None]) -> None:
    """One picture button per example, in a row that wraps; `take` gets the key of a pressed one before the rerun."""
    import base64

    rules = []
    keys = (*SAMPLES, *DIGIT_KEYS)
    with st.container(horizontal=True, gap="small", key=f"{name}_examples"):
        for key in keys:
            widget = f"{name}_example_{key}"
            image = base64.b64encode(cached.thumbnail(key)).decode()
            rules.append(f".st-key-{widget} button {{ background-image: url(data:image/webp;base64,{image}); }}")
            if key == chosen:
                rules.append(f".st-key-{widget} button {{ outline: 3px solid #1b83a1; }}")
            label = example_label(key).removesuffix(" (grey)")
            st.button(label, key=widget, width=_THUMBNAIL, on_click=take, args=(key,))
    st.html(f"<style>{_EXAMPLE_STYLE.replace('NAME', name)}{''.join(rules)}</style>")


_THUMBNAIL = 66  # pixels: thirteen of them fill one row of a laptop's screen
_EXAMPLE_STYLE = f"""
.st-key-NAME_examples {{ gap: 0.45rem; }}
.st-key-NAME_examples button {{
  width: {_THUMBNAIL}px; height: {_THUMBNAIL}px; padding: 0; align-items: flex-end; overflow: hidden;
  background-size: cover; background-position: center; outline-offset: 2px;
}}
.st-key-NAME_examples button :is(div, span) {{ width: 100%; }}
.st-key-NAME_examples button p {{
  display: block; width: 100%; margin: 0; padding: 2px 1px; box-sizing: border-box; font-size: 0.68rem;
  line-height: 1.1; color: #ffffff; background: rgba(0, 0, 0, 0.7); text-align: center; white-space: normal;
}}
"""


def own_files(name: str) -> dict[str, tuple[str, bytes]]:
    """Uploaded files: id -> (name, bytes), kept for the session, also when the visitor was on another page.

    Files beyond the caps are left out and said so in one sentence.
    """
    kept_key = "score_files"
    kept = st.session_state.setdefault(kept_key, {})

    def take() -> None:
        st.session_state[kept_key] = {
            file.file_id: (file.name, file.getvalue()) for file in st.session_state[f"{name}_upload"] or ()
        }

    st.file_uploader(
        "Your own pictures",
        type=list(FILE_TYPES),
        accept_multiple_files=True,
        key=f"{name}_upload",
        on_change=take,
        help="PNG, JPEG, WebP, TIFF, BMP or GIF, 8 or 16 bit. They stay on this machine and are forgotten when the "
        "browser's tab is closed.",
    )
    if kept and not st.session_state.get(f"{name}_upload"):
        st.caption("Kept from your last visit to this page:")
        st.text(", ".join(file_name for file_name, _ in kept.values()))
        if st.button("Remove them", key=f"{name}_remove", type="tertiary"):
            st.session_state[kept_key] = {}
            st.rerun()
    total, taken = 0, {}
    for file_id, (file_name, data) in kept.items():
        total += len(data)
        if len(taken) < MAX_FILES and total <= MAX_SESSION_BYTES:
            taken[file_id] = (file_name, data)
    if len(taken) < len(kept):
        st.caption(
            f"{len(kept) - len(taken)} of {len(kept)} files are left out: at most {MAX_FILES} files with "
            f"{MAX_SESSION_BYTES / 2**20:.0f} MB together are kept. Remove some, or use the command line for folders."
        )
    return taken


def distortion_steps(name: str) -> tuple[tuple[tuple[str, float], ...], int]:
    """One or two kinds of damage with their severities, and the seed."""
    steps = [_step(f"{name}_kind", f"{name}_severity", "Kind of damage", "Severity", "jpeg", 3.0, list(DISTORTIONS))]
    second = _step(
        f"{name}_second",
        f"{name}_second_severity",
        "And a second kind",
        "Severity of the second",
        NO_SECOND,
        2.0,
        [NO_SECOND, *DISTORTIONS],
    )
    if second is not None:
        steps.append(second)
    seed = st.session_state.get(f"{name}_seed", 0)
    if any(DISTORTIONS[kind].seeded for kind, _ in steps):
        seed = _number(f"{name}_seed")
    return tuple(steps), int(seed)


def _number(key: str) -> int:
    st.session_state.setdefault(key, 0)
    return st.number_input(
        "Seed",
        min_value=0,
        max_value=10**6,
        step=1,
        key=key,
        persist_state="session",
        help="The same seed gives the same noise and the same lost blocks.",
    )


def _step(
    kind_key: str,
    severity_key: str,
    label: str,
    severity_label: str,
    kind: str,
    severity: float,
    options: Sequence[str],
) -> tuple[str, float] | None:
    st.session_state.setdefault(kind_key, kind)
    st.session_state.setdefault(severity_key, severity)
    chosen = st.selectbox(
        label,
        options,
        key=kind_key,
        persist_state="session",
        format_func=lambda key: DISTORTIONS[key].label if key in DISTORTIONS else "None",
    )
    if chosen not in DISTORTIONS:
        return None
    row = DISTORTIONS[chosen]
    value = st.slider(
        severity_label,
        0.0,
        MAX_SEVERITY,
        step=0.1,
        format="%.1f",
        key=severity_key,
        persist_state="session",
        help="0 is unchanged, 1 just visible, 5 severe.",
    )
    st.caption(f"Strength: {row.describe(value)}.")
    return chosen, value


def choose_model(
    name: str,
    cards: Sequence[dict[str, Any]],
    default: str,
    *,
    label: str = "Model for the reconstruction scores",
    help: str = "It encodes and decodes both pictures. The deconvolution score always uses its own grey model.",
) -> dict[str, Any] | None:
    """A select box of the models that can be used; gives the card, None where there is none."""
    usable = {card["name"]: card for card in cards if not card["reason"]}
    if not usable:
        st.caption("No model is installed, so only scores without a network are shown.")
        return None
    key = f"{name}_model"
    if st.session_state.get(key) not in usable:
        st.session_state[key] = default if default in usable else next(iter(usable))
    chosen = st.selectbox(
        label,
        list(usable),
        key=key,
        persist_state="session",
        format_func=lambda model: str(usable[model].get("label") or model),
        help=help,
    )
    return usable[chosen]
