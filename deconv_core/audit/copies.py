"""Near duplicates among many pictures, from 64-bit hashes, without comparing all pairs.

Two hashes that differ in at most seven of 64 bits have, among four bands of 16 bits, one in which they differ in at
most one bit. Every band is sorted once and asked for its own value and the sixteen values beside it; only pictures that
meet there are compared. Equal hashes are one entry, so a thousand alike pictures cost no more than one.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

MAX_DISTANCE = 7  # bits; what four bands with one free bit each find for certain
GRID_DISTANCE = 20.0  # mean absolute difference of the colour grids, of 255 at equal brightness, of alike colours
_BANDS, _BITS = 4, 16
_PAIRS_AT_ONCE = 2_000_000


def nearest_earlier(hashes: np.ndarray, grids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The most alike earlier picture of each.

    Args:
        hashes: uint64, shape (N,), in the order of the set.
        grids: uint8, shape (N, G), colours on a coarse grid; pairs whose colours differ by more than GRID_DISTANCE on
            average are no duplicates, whatever their hashes say.

    Returns:
        (distance, place): float32 bits from 0 to 7, NaN where no earlier picture is that near; int64 place of that
        picture, the first of the nearest, -1 where there is none.
    """
    count = len(hashes)
    distance, place = np.full(count, np.nan, np.float32), np.full(count, -1, np.int64)
    if count < 2:
        return distance, place
    best = np.full(count, np.iinfo(np.int64).max)  # distance * count + place of the earlier one: one number to minimise
    for first, second, bits in _pairs(np.asarray(hashes, np.uint64)):
        alike = _alike(grids, first, second)
        first, second, bits = first[alike], second[alike], bits[alike]
        np.minimum.at(best, second, bits.astype(np.int64) * count + first)
    found = best < np.iinfo(np.int64).max
    distance[found] = best[found] // count
    place[found] = best[found] % count
    return distance, place


def _alike(grids: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    one, other = grids[first].astype(np.float32), grids[second].astype(np.float32)
    # A darker or lighter copy is still a copy: the lighter of the two is taken down to the other, by half at most.
    means = one.mean(axis=1, keepdims=True) + 1, other.mean(axis=1, keepdims=True) + 1
    one *= np.clip(means[1] / means[0], 0.5, 1)
    other *= np.clip(means[0] / means[1], 0.5, 1)
    return np.abs(one - other).mean(axis=1) <= GRID_DISTANCE


def _pairs(hashes: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """(earlier, later, differing bits) of pictures that may be near duplicates; some pairs come more than once."""
    order = np.argsort(hashes, kind="stable")
    in_order = hashes[order]
    starts = np.flatnonzero(np.concatenate([[True], in_order[1:] != in_order[:-1]]))
    unique, firsts = in_order[starts], order[starts]
    sizes = np.diff(np.append(starts, len(hashes)))

    # Equal hashes: each with the one before it and with the first, which is near enough to all.
    same = np.flatnonzero(in_order[1:] == in_order[:-1])
    if len(same):
        yield order[same], order[same + 1], np.zeros(len(same), np.uint8)
        group = np.repeat(np.arange(len(starts)), sizes)[same + 1]
        yield firsts[group], order[same + 1], np.zeros(len(same), np.uint8)

    for left, right in _meetings(unique):
        bits = np.bitwise_count(unique[left] ^ unique[right])
        near = bits <= MAX_DISTANCE
        left, right, bits = left[near], right[near], bits[near]
        # Of two groups of equal hashes, every member of the one that comes later meets the other's first member.
        for one, other in ((left, right), (right, left)):
            for chosen in _portions(sizes[other]):
                others = other[chosen]
                repeats = sizes[others]
                total = int(repeats.sum())
                within = np.arange(total) - np.repeat(np.cumsum(repeats) - repeats, repeats)
                later = order[np.repeat(starts[others], repeats) + within]
                earlier = np.repeat(firsts[one[chosen]], repeats)
                good = earlier < later
                yield earlier[good], later[good], np.repeat(bits[chosen], repeats)[good]


def _portions(sizes: np.ndarray) -> Iterator[slice]:
    """Slices whose sizes add up to about _PAIRS_AT_ONCE at most, or that hold a single entry."""
    ends = np.cumsum(sizes)
    start = 0
    while start < len(sizes):
        before = ends[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, before + _PAIRS_AT_ONCE, side="right")))
        yield slice(start, stop)
        start = stop


def _meetings(unique: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Places of unique hashes that share a band but for one bit, each pair of places with left < right."""
    for band in range(_BANDS):
        keys = ((unique >> np.uint64(band * _BITS)) & np.uint64(0xFFFF)).astype(np.int64)
        order = np.argsort(keys, kind="stable")
        in_order = keys[order]
        bounds = np.searchsorted(in_order, np.arange(2**_BITS + 1))
        for flip in (0, *(1 << bit for bit in range(_BITS))):
            asked = keys ^ flip
            low, high = bounds[asked], bounds[asked + 1]
            sizes = high - low
            for chosen in _portions(sizes):
                repeats = sizes[chosen]
                total = int(repeats.sum())
                if not total:
                    continue
                left = np.repeat(np.arange(chosen.start, chosen.start + len(repeats)), repeats)
                within = np.arange(total) - np.repeat(np.cumsum(repeats) - repeats, repeats)
                right = order[np.repeat(low[chosen], repeats) + within]
                good = left < right
                yield left[good], right[good]
