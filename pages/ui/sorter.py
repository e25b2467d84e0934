"""One picture after another, decided by one key each: quick enough for thousands, without waiting for the server.

The browser shows the next picture at once and tells the server what was decided; the server answers with the pictures
that follow. Every decision carries a number, so that none is lost or counted twice when several come together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import streamlit as st

from pages.ui.thumbnails import published

BEHIND, AHEAD = 2, 10  # pictures sent around the place that is looked at
_HERE = Path(__file__).parent


@dataclass(frozen=True)
class Choice:
    """What can be decided about a picture.

    Args:
        value: Told when it is chosen.
        label: On the button.
        key: The letter that chooses it.
        done: Stands on a picture that was decided so.
        hint: Shown while the pointer rests on the button.
    """

    value: str
    label: str
    key: str
    done: str
    hint: str = ""


@dataclass(frozen=True)
class Card:
    """One picture to decide about. All text is plain text, never read as Markdown or HTML.

    Args:
        picture: A PNG, JPEG or WebP file, or None where there is none.
        label: Its name.
        facts: One line each, below the picture.
        decision: What was decided about it, or "".
        missing: Stands in the place of a picture that is not there.
    """

    picture: bytes | None
    label: str
    facts: Sequence[str] = ()
    decision: str = ""
    missing: str = "no picture"


_component = st.components.v2.component(
    "deconv_lab_sorter",
    html=(_HERE / "sorter.html").read_text(encoding="utf-8"),
    css=(_HERE / "sorter.css").read_text(encoding="utf-8"),
    js=(_HERE / "sorter.js").read_text(encoding="utf-8"),
)


def sorter(
    queue: Sequence[str],
    card: Callable[[str], Card],
    choices: Sequence[Choice],
    *,
    key: str,
    queue_name: str,
    decide: Callable[[str, str], None],
    undo: Callable[[], str | None],
    label: str = "Pictures to decide about",
    end: str = "That was the last one.",
    height: int = 480,
) -> int:
    """Show the picture whose turn it is, with a button and a key for every choice.

    Args:
        queue: Pictures by name, in the order in which they come.
        card: Gives the card of a picture; asked for the few around the place that is looked at.
        choices: What can be decided.
        key: Name of this sorter.
        queue_name: Tells queues apart: another one begins at its first picture.
        decide: Called with a picture and the value that was chosen, before the page runs again.
        undo: Takes back the last decision and gives its picture, None where there is none.
        label: What this is, for those who do not see it.
        end: Said after the last picture.
        height: Height of the picture area in CSS pixels; low screens use less.

    Returns:
        The place in the queue that is looked at; its length after the last picture.
    """
    state = st.session_state
    kept = state.setdefault(f"{key}_at", {"queue": queue_name, "place": 0, "applied": 0})
    if kept["queue"] != queue_name:
        kept |= {"queue": queue_name, "place": 0}

    def told() -> None:
        _apply(state[key].get("told"), kept, list(queue), {choice.value for choice in choices}, decide, undo)

    place = min(kept["place"], len(queue))
    around = range(max(0, place - BEHIND), min(len(queue), place + AHEAD + 1))
    _component(
        key=key,
        data={
            "queue": queue_name,
            "place": place,
            "applied": kept["applied"],
            "total": len(queue),
            "cards": [_described(number, queue[number], card(queue[number]), key) for number in around],
            "choices": [vars(choice) for choice in choices],
            "label": label,
            "end": end,
            "height": height,
        },
        on_told_change=told,
    )
    return place


def _described(place: int, name: str, card: Card, key: str) -> dict[str, Any]:
    return {
        "place": place,
        "key": name,
        "url": published(card.picture, f"{key}/{place % (BEHIND + AHEAD + 1)}") if card.picture else "",
        "label": card.label,
        "facts": list(card.facts),
        "decision": card.decision,
        "missing": card.missing,
    }


def _apply(
    told: Any,
    kept: dict[str, Any],
    queue: Sequence[str],
    values: set[str],
    decide: Callable[[str, str], None],
    undo: Callable[[], str | None],
) -> None:
    """Do what the browser tells, each event once; it may tell anything, so everything is checked."""
    if not isinstance(told, dict) or told.get("queue") != kept["queue"] or not isinstance(told.get("events"), list):
        return
    names = set(queue)
    for event in told["events"]:
        number = event.get("number") if isinstance(event, dict) else None
        if not isinstance(number, int) or number <= kept["applied"]:
            continue
        kept["applied"] = number
        image, value = str(event.get("image")), str(event.get("value"))
        if event.get("act") == "decide" and image in names and value in values:
            decide(image, value)
        if event.get("act") == "undo":
            undone = undo()
            kept["place"] = queue.index(undone) if undone in names else kept["place"]
        elif isinstance(told.get("place"), int):
            kept["place"] = min(max(told["place"], 0), len(queue))
