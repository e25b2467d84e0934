"""What only the whole set can tell: copies, sizes unlike the rest, outliers of the reconstruction, and the flags."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from deconv_core.audit.checks import CHECKS, flag
from deconv_core.audit.copies import nearest_earlier
from deconv_core.audit.pixels import GRID

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

_MAD_TO_SIGMA = 1.4826


def add_set_columns(frame: pd.DataFrame, *, copies: bool = True) -> None:
    """Add, in place, the columns of the checks that compare pictures with the set; rows are in the set's order.

    Args:
        frame: With `status`, `digest`, `format`, `bytes`, `width`, `height`, and for copies `hash` and `grid`; with
            `reconstruction` where a model took part.
        copies: Also look for near duplicates, which takes longest; without it their columns stay empty.
    """
    readable = (frame["status"] == "ok").to_numpy()
    frame["unreadable"] = (~readable).astype(np.float32)
    frame["odd_size"] = _doublings(np.sqrt(frame["width"].astype(np.float64) * frame["height"]).to_numpy(), readable)
    frame["unusual_bytes"] = _unusual_bytes(frame, readable)
    frame["exact_duplicate"], frame["exact_duplicate_of"] = _exact(frame["digest"], readable)
    distance = np.full(len(frame), np.nan, np.float32)
    place = np.full(len(frame), -1, np.int64)
    if copies:
        chosen = np.flatnonzero(readable & ~(frame["exact_duplicate"] == 1).to_numpy())
        grids = np.frombuffer(b"".join(frame["grid"].iloc[chosen]), np.uint8).reshape(-1, GRID * GRID * 3)
        found, places = nearest_earlier(frame["hash"].to_numpy()[chosen], grids)
        distance[chosen] = found
        place[chosen] = np.where(places >= 0, chosen[places], -1)
    frame["near_duplicate"], frame["near_duplicate_of"] = distance, place
    if "reconstruction" in frame:
        frame["reconstruction_outlier"] = robust_distance(frame["reconstruction"].to_numpy())


def _doublings(values: np.ndarray, usable: np.ndarray) -> np.ndarray:
    """|log2(value / median of the usable)|, NaN where not usable."""
    result = np.full(len(values), np.nan, np.float32)
    usable = usable & (values > 0)
    if usable.any():
        result[usable] = np.abs(np.log2(values[usable] / np.median(values[usable])))
    return result


def _unusual_bytes(frame: pd.DataFrame, readable: np.ndarray) -> np.ndarray:
    pixels = frame["width"].to_numpy(np.float64) * frame["height"].to_numpy(np.float64)
    density = frame["bytes"].to_numpy(np.float64) / np.maximum(pixels, 1)
    result = np.full(len(frame), np.nan, np.float32)
    kinds = frame["format"].to_numpy()
    for kind in np.unique(kinds[readable].astype(str)):
        chosen = readable & (kinds == kind)
        result[chosen] = _doublings(density, chosen)[chosen]
    return result


def _exact(digests: pd.Series, readable: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(1 for a later copy, place of the first) of each picture."""
    import pandas as pd

    codes = pd.factorize(digests)[0]
    first = np.full(codes.max() + 1 if len(codes) else 0, -1, np.int64)
    places = np.flatnonzero(readable)
    first[codes[places[::-1]]] = places[::-1]
    flags, of = np.zeros(len(codes), np.float32), np.full(len(codes), -1, np.int64)
    later = places[first[codes[places]] != places]
    flags[later] = 1
    of[later] = first[codes[later]]
    flags[~readable] = np.nan
    return flags, of


def robust_distance(values: np.ndarray) -> np.ndarray:
    """|value - median| in units of 1.4826 times the median absolute deviation; NaN where there are fewer than eight."""
    values = np.asarray(values, np.float64)
    known = np.isfinite(values)
    result = np.full(len(values), np.nan, np.float32)
    if known.sum() < 8:
        return result
    middle = np.median(values[known])
    spread = _MAD_TO_SIGMA * np.median(np.abs(values[known] - middle))
    result[known] = np.abs(values[known] - middle) / max(spread, 1e-6)
    return result


def issues(frame: pd.DataFrame, checks: Iterable[str], thresholds: Mapping[str, float] | None = None) -> pa.Array:
    """The names of the checks that flag each row, as a list column."""
    import pyarrow as pa

    flagged = flag(frame, checks, thresholds)
    keys = [key for key in CHECKS if key in flagged]
    table = np.stack([flagged[key] for key in keys], axis=1) if keys else np.zeros((len(frame), 0), bool)
    rows, columns = np.nonzero(table)
    offsets = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=len(frame)))]).astype(np.int32)
    names = pa.DictionaryArray.from_arrays(pa.array(columns, pa.int32()), pa.array(keys, pa.string()))
    return pa.ListArray.from_arrays(pa.array(offsets), names.cast(pa.string()))
