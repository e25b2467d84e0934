"""All pictures of a source in memory, for training."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from deconv_core.errors import DeconvError, ImageError
from deconv_core.places import Item
from deconv_core.sources import iterate, no_pictures
from deconv_core.survey import Fingerprint, digest_if_readable, drawn_rank

TRAINING_BYTES = 4 * 2**30


@dataclass
class PictureSet:
    """Pictures read into memory as 8-bit arrays, with what was found on the way.

    Attributes:
        pictures: uint8 arrays (H, W, channels), sizes may differ.
        names: One per picture.
        held_out: Pictures that the source itself keeps for testing (`x_test` of a `.npz`), or none.
        rejected: (name, reason) of every file that could not be read.
        left_out: Number of files that did not fit into the memory allowed; those drawn last are not even decoded.
        digest: Of the whole source, as in `Survey`, also where not all of it fits.
    """

    pictures: list[np.ndarray] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    held_out: list[np.ndarray] = field(default_factory=list)
    rejected: list[tuple[str, str]] = field(default_factory=list)
    left_out: int = 0
    digest: str = ""


def read_pictures(
    source: str | Path,
    *,
    channels: int,
    include: str = "*",
    largest_side: int = 768,
    max_bytes: int = TRAINING_BYTES,
    seed: int = 0,
    allowed_roots: Sequence[Path] | None = None,
    report: Callable[[int], None] = lambda done: None,
) -> PictureSet:
    """Read a whole SOURCE into memory for training; a broken file becomes a row of `rejected`, never an exception.

    Args:
        source: See the module's docstring.
        channels: 1 or 3; pictures are converted.
        include: A file-name pattern such as `ss03_*.jpg`.
        largest_side: Longer sides are cropped to their centre, pixels.
        max_bytes: Memory for the pictures. Of a larger set a part is kept that `seed` draws, and the others counted.
        seed: See `max_bytes`.
        allowed_roots: As for `iterate`.
        report: Called with the number of files seen so far; may raise to end it.

    Raises:
        DeconvError: The source does not exist or holds not one readable picture.
    """
    found, fingerprint = PictureSet(), Fingerprint()
    kept: list[tuple[int, int, str, bool, np.ndarray]] = []  # a heap with the last in rank on top
    used, last_rank = 0, None
    for number, item in enumerate(iterate(source, include=include, allowed_roots=allowed_roots), start=1):
        rank = drawn_rank(seed, item.name)
        try:
            if last_rank is not None and rank >= last_rank:
                fingerprint.add(item.name, item.digest())
                found.left_out += 1
            else:
                pixels, digest = _read_8bit(item, channels, largest_side)
                fingerprint.add(item.name, digest)
                heapq.heappush(kept, (-rank, number, item.name, item.held_out, pixels))
                used += pixels.nbytes
        except ImageError as error:
            found.rejected.append((item.name, str(error)))
            fingerprint.add(item.name, digest_if_readable(item))
        while used > max_bytes and len(kept) > 1:
            rank, *_, pixels = heapq.heappop(kept)
            last_rank = -rank
            used -= pixels.nbytes
            found.left_out += 1
        report(number)
    for _, _, name, held_out, pixels in sorted(kept, key=lambda entry: entry[1]):
        if held_out:
            found.held_out.append(pixels)
        else:
            found.pictures.append(pixels)
            found.names.append(name)
    if not found.pictures:
        reasons = "; ".join(reason for _, reason in found.rejected[:3])
        if found.rejected:
            raise DeconvError(f"None of the pictures of '{source}' could be read: {reasons}")
        raise no_pictures(source, include)
    found.digest = fingerprint.hexdigest()
    return found


def _read_8bit(item: Item, channels: int, largest_side: int) -> tuple[np.ndarray, str]:
    """(pixels, digest of the content)"""
    from deconv_core.images import to_uint8

    if isinstance(item.origin, np.ndarray) and item.origin.shape[-1] == channels:
        return _centre(item.origin, largest_side), item.digest()
    picture = item.read(channels=channels)
    return _centre(to_uint8(picture.pixels), largest_side), picture.digest


def _centre(pixels: np.ndarray, side: int) -> np.ndarray:
    from deconv_core.images import crop_centre

    return np.ascontiguousarray(crop_centre(pixels, side, side))
