"""What a source holds: how many pictures, of which sizes and formats, what is broken, and what identifies the set."""

from __future__ import annotations

import hashlib
import heapq
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from deconv_core.archives import Limits
from deconv_core.errors import ImageError
from deconv_core.places import Item
from deconv_core.sources import iterate

NUM_THUMBNAILS = 12
THUMBNAIL_SIDE = 96

_LISTED_PROBLEMS = 1000


class Fingerprint:
    """The identity of a set of named contents, whatever the order in which they come.

    Example:
        >>> one, other = Fingerprint(), Fingerprint()
        >>> one.add("a", "00"); one.add("b", "01")
        >>> other.add("b", "01"); other.add("a", "00")
        >>> one.hexdigest() == other.hexdigest()
        True
    """

    def __init__(self) -> None:
        self._sum = self._count = 0

    def add(self, name: str, digest: str) -> None:
        """Take in one item; an item without readable content has the digest ""."""
        # A sum needs no list of all items, and unlike XOR it tells one copy from three.
        self._sum += int.from_bytes(hashlib.sha256(f"{name}\0{digest}".encode()).digest())
        self._count += 1

    def hexdigest(self) -> str:
        """64 hexadecimal digits."""
        return hashlib.sha256(f"{self._count} {self._sum % 2**256:x}".encode()).hexdigest()


@dataclass(frozen=True)
class Survey:
    """What a source holds.

    Attributes:
        count: Pictures that can be read, `held_out` among them.
        held_out: Pictures that the source itself keeps for testing.
        num_unreadable: Files that cannot be read.
        unreadable: (name, reason) of the first thousand of them.
        sizes: (width, height) -> number of pictures, most frequent first.
        formats: Format as found in the content -> number.
        channels: 1 or 3 -> number.
        bytes: Of all files as stored; arrays count their values.
        digest: The same for the same names and contents, in whatever order.
        thumbnails: (name, uint8 (h, w, C), longer side at most 96) of up to 12 pictures drawn at random, always the
            same ones.
    """

    count: int
    held_out: int
    num_unreadable: int
    unreadable: tuple[tuple[str, str], ...]
    sizes: Mapping[tuple[int, int], int]
    formats: Mapping[str, int]
    channels: Mapping[int, int]
    bytes: int
    digest: str
    thumbnails: tuple[tuple[str, np.ndarray], ...]


def survey(
    source: str | Path,
    *,
    include: str = "*",
    allowed_roots: Sequence[Path] | None = None,
    limits: Limits | None = None,
    report: Callable[[int], None] = lambda done: None,
) -> Survey:
    """Read every picture of a source once and tell what is there; a source without pictures has the count 0.

    Args:
        source: See the module's docstring; the other options as for `iterate`.
        report: Called with the number of files seen so far; may raise to end it.

    Raises:
        DeconvError: As `iterate`.
    """
    fingerprint = Fingerprint()
    sizes, formats, channels, unreadable = Counter(), Counter(), Counter(), []
    count = held_out = num_unreadable = total = 0
    chosen: list[tuple[int, int, str, np.ndarray]] = []
    items = iterate(source, include=include, allowed_roots=allowed_roots, limits=limits)
    for number, item in enumerate(items, start=1):
        try:
            picture = item.read()
        except ImageError as error:
            num_unreadable += 1
            if len(unreadable) < _LISTED_PROBLEMS:
                unreadable.append((item.name, str(error)))
            fingerprint.add(item.name, digest_if_readable(item))
            total += item.size or 0
        else:
            height, width, depth = picture.pixels.shape
            count += 1
            held_out += item.held_out
            sizes[width, height] += 1
            formats[picture.format] += 1
            channels[depth] += 1
            total += item.size if item.size is not None else height * width * depth
            fingerprint.add(item.name, picture.digest)
            rank = drawn_rank(0, item.name)
            if len(chosen) < NUM_THUMBNAILS or rank < -chosen[0][0]:
                heapq.heappush(chosen, (-rank, number, item.name, _thumbnail(picture.pixels)))
                if len(chosen) > NUM_THUMBNAILS:
                    heapq.heappop(chosen)
        report(number)
    return Survey(
        count,
        held_out,
        num_unreadable,
        tuple(unreadable),
        dict(sizes.most_common()),
        dict(formats.most_common()),
        dict(channels.most_common()),
        total,
        fingerprint.hexdigest(),
        tuple((name, pixels) for _, _, name, pixels in sorted(chosen, key=lambda entry: entry[1])),
    )


def fingerprint(
    source: str | Path,
    *,
    include: str = "*",
    allowed_roots: Sequence[Path] | None = None,
    limits: Limits | None = None,
) -> str:
    """The digest of `survey`, without decoding anything."""
    result = Fingerprint()
    for item in iterate(source, include=include, allowed_roots=allowed_roots, limits=limits):
        result.add(item.name, digest_if_readable(item))
    return result.hexdigest()


def digest_if_readable(item: Item) -> str:
    """The digest of an item's content, "" where it cannot be read."""
    try:
        return item.digest()
    except ImageError:
        return ""


def drawn_rank(seed: int, name: str) -> int:
    """A number that orders names as if by chance, the same every time."""
    return int.from_bytes(hashlib.sha256(f"{seed} {name}".encode()).digest()[:8])


def _thumbnail(pixels: np.ndarray) -> np.ndarray:
    import cv2

    from deconv_core.images import to_uint8

    height, width, channels = pixels.shape
    scale = THUMBNAIL_SIDE / max(height, width)
    if scale < 1:
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA).reshape(size[1], size[0], channels)
    return to_uint8(pixels)
