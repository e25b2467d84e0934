"""Pictures on their way to the workers, in pieces: few at first, so that results come soon, and never much memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from deconv_core.places import Item

_PIECE_BYTES = 8 * 2**20


def pieces(
    entries: Iterator[tuple[Any, ...]], first: int, most: int, weigh: Callable[[Item], int]
) -> Iterator[list[tuple[Any, ...]]]:
    """Entries, whose last part is an item, in pieces: `first` at first, then twice as many each time up to `most`.

    A piece ends early where its items weigh 8 MiB.
    """
    piece, total, wanted = [], 0, first
    for entry in entries:
        piece.append(entry)
        total += weigh(entry[-1])
        if len(piece) >= wanted or total >= _PIECE_BYTES:
            yield piece
            piece, total, wanted = [], 0, min(2 * wanted, most)
    if piece:
        yield piece


def held(item: Item) -> int:
    """Bytes that an item itself holds in memory."""
    origin = item.origin
    if isinstance(origin, str):
        return 0
    if isinstance(origin, bytes):
        return len(origin)
    return origin.nbytes if isinstance(origin, np.ndarray) else len(getattr(origin, "data", None) or b"")


def weight(item: Item) -> int:
    """Bytes that an item will take, as far as they are known."""
    return held(item) if item.size is None else item.size
