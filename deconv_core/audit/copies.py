"""Near duplicates among many pictures, from 64-bit hashes, without comparing all pairs.

Two hashes that differ in at most seven of 64 bits have, among four bands of 16 bits, one in which they differ in at
most one bit. Every band is sorted once and asked for its own value and the sixteen values beside it; only pictures that
meet there are compared. Pictures with equal hashes and alike colours are one family, of which only the first meets
others, so a thousand alike pictures cost little more than one.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

MAX_DISTANCE = 7  # bits; what four bands with one free bit each find for certain
GRID_DISTANCE = 20.0  # mean absolute difference of the colour grids, of 255 at equal brightness, of alike colours
_BANDS, _BITS = 4, 16
_PAIRS_AT_ONCE = 2_000_000
_FAMILIES = 64


def nearest_earlier(hashes: np.ndarray, grids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The most alike earlier picture of each.

    Args:
        hashes: uint64, shape (N,), in the order of the set.
        grids: uint8, shape (N, G), colours on a coarse grid; pairs whose colours differ by more than GRID_DISTANCE on
            average are no duplicates, whatever their hashes say.

    Returns:
        (distance, place): float32 bits from 0 to 7, NaN where no earlier picture is that near; int64 place of that
        picture, the first of the nearest, -1 where there is none. Of pictures with equal hashes and alike colours the
        first one stands for all.
    """
    count = len(hashes)
    distance, place = np.full(count, np.nan, np.float32), np.full(count, -1, np.int64)
    if count < 2:
        return distance, place
    hashes = np.asarray(hashes, np.uint64)
    best = np.full(count, np.iinfo(np.int64).max)  # distance * count + place of the earlier one: one number to minimise

    def keep(first: np.ndarray, second: np.ndarray) -> None:
        alike = _alike(grids, first, second)
        first, second = first[alike], second[alike]
        bits = np.bitwise_count(hashes[first] ^ hashes[second]).astype(np.int64)
        np.minimum.at(best, second, bits * count + first)

    heads = _families(hashes, grids)
    members = np.argsort(heads, kind="stable")
    firsts, starts, sizes = np.unique(heads[members], return_index=True, return_counts=True)
    later = np.flatnonzero(heads != np.arange(count))
    keep(heads[later], later)
    for left, right in _meetings(hashes[firsts]):
        # Every member of either family meets the first of the other.
        for one, other in ((left, right), (right, left)):
            for chosen in _portions(sizes[other]):
                others = other[chosen]
                later = members[_ranges(starts[others], sizes[others])]
                earlier = np.repeat(firsts[one[chosen]], sizes[others])
                good = earlier < later
                keep(earlier[good], later[good])
    found = best < np.iinfo(np.int64).max
    distance[found] = best[found] // count
    place[found] = best[found] % count
    return distance, place


def _families(hashes: np.ndarray, grids: np.ndarray) -> np.ndarray:
    """For each picture the first one with an equal hash and alike colours, itself if there is none before it.

    Beyond _FAMILIES different colours for one hash, as blank pages may have, the rest is put to the first of them.
    """
    order = np.argsort(hashes, kind="stable")
    group = np.cumsum(np.concatenate([[0], hashes[order][1:] != hashes[order][:-1]]))
    heads = np.empty(len(hashes), np.int64)
    heads[order] = order[np.searchsorted(group, group)]
    rest = np.arange(len(hashes))  # places in `order`
    for _ in range(_FAMILIES):
        if not len(rest):
            break
        is_first = np.concatenate([[True], group[rest][1:] != group[rest][:-1]])
        head = order[rest[is_first]][np.cumsum(is_first) - 1]
        alike = is_first.copy()
        others = ~is_first
        alike[others] = _alike(grids, head[others], order[rest[others]])
        heads[order[rest[alike]]] = head[alike]
        rest = rest[~alike]
    return heads


def _alike(grids: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    one, other = grids[first].astype(np.float32), grids[second].astype(np.float32)
    # A darker or lighter copy is still a copy: the lighter of the two is taken down to the other, by half at most.
    means = one.mean(axis=1, keepdims=True) + 1, other.mean(axis=1, keepdims=True) + 1
    one *= np.clip(means[1] / means[0], 0.5, 1)
    other *= np.clip(means[0] / means[1], 0.5, 1)
    return np.abs(one - other).mean(axis=1) <= GRID_DISTANCE


def _ranges(starts: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """start, start + 1 ... of each range, one after the other."""
    return np.arange(int(sizes.sum())) + np.repeat(starts - (np.cumsum(sizes) - sizes), sizes)


def _portions(sizes: np.ndarray) -> Iterator[slice]:
    """Slices whose sizes add up to about _PAIRS_AT_ONCE at most, or that hold a single entry."""
    ends = np.cumsum(sizes)
    start = 0
    while start < len(sizes):
        before = ends[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, before + _PAIRS_AT_ONCE, side="right")))
        yield slice(start, stop)
        start = stop


def _meetings(hashes: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Places (left < right) of hashes that differ in at most MAX_DISTANCE bits; some pairs come more than once."""
    for band in range(_BANDS):
        keys = ((hashes >> np.uint64(band * _BITS)) & np.uint64(0xFFFF)).astype(np.int64)
        order = np.argsort(keys, kind="stable")
        bounds = np.searchsorted(keys[order], np.arange(2**_BITS + 1))
        for flip in (0, *(1 << bit for bit in range(_BITS))):
            asked = keys ^ flip
            low, sizes = bounds[asked], bounds[asked + 1] - bounds[asked]
            for chosen in _portions(sizes):
                left = np.repeat(np.arange(chosen.start, chosen.start + len(sizes[chosen])), sizes[chosen])
                right = order[_ranges(low[chosen], sizes[chosen])]
                near = np.bitwise_count(hashes[left] ^ hashes[right]) <= MAX_DISTANCE
                near &= left < right
                yield left[near], right[near]
