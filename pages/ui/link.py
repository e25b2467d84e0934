"""The view of the page as a link: every choice for a sample picture, checked when it comes back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from deconv_core.distortions import DISTORTIONS, MAX_SEVERITY
from deconv_core.inspection import check_example

MAX_SEED = 10**6
NO_MAPS = "none"


def view_from(
    params: Mapping[str, str],
    models: Sequence[str],
    tabs: Sequence[str],
    maps: Sequence[str],
    others: Mapping[str, Sequence[str | int]] | None = None,
) -> tuple[dict[str, Any], list[str]]:
    """Choices out of the query of a link, and the names of those that make no sense and are ignored.

    Args:
        params: The query, as it came; anybody may have written it.
        models: Names of the models there are.
        tabs: Names of the tabs.
        maps: Keys of the error maps.
        others: Further choices by name, with what can be chosen.

    Returns:
        Name -> checked value, and the refused names. Names that mean nothing here are passed over.
    """
    readers: dict[str, Callable[[str], Any]] = {
        "sample": check_example,
        "kind": _one_of(DISTORTIONS),
        "severity": _severity,
        "second": _one_of(DISTORTIONS),
        "second_severity": _severity,
        "seed": _seed,
        "model": _one_of(models),
        "tab": _one_of(tabs),
        "maps": lambda text: [] if text == NO_MAPS else [_one_of(maps)(key) for key in text.split(",") if key],
    } | {name: _one_of(choices) for name, choices in (others or {}).items()}
    view, refused = {}, []
    for name, read in readers.items():
        if name in params:
            try:
                view[name] = read(str(params[name])[:200])
            except (ValueError, OverflowError):
                refused.append(name)
    return view, refused


def query_of(view: Mapping[str, Any]) -> dict[str, str]:
    """The query that `view_from` reads back; empty choices are left out."""
    query = {}
    for name, value in view.items():
        if value is None or value == "":
            continue
        if isinstance(value, list):
            query[name] = ",".join(value) or NO_MAPS
        else:
            query[name] = f"{value:g}" if isinstance(value, float) else str(value)
    return query


def _one_of(choices) -> Callable[[str], Any]:
    by_text = {str(choice): choice for choice in choices}

    def read(text: str) -> Any:
        if text not in by_text:
            raise ValueError(text)
        return by_text[text]

    return read


def _severity(text: str) -> float:
    value = float(text)
    if not 0 <= value <= MAX_SEVERITY:  # also refuses "nan"
        raise ValueError(text)
    return round(value, 1)


def _seed(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or int(text) > MAX_SEED:
        raise ValueError(text)
    return int(text)
