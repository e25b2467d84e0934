"""One quality risk per picture, a plain sum: the points of every check times how far its value has gone.

How far a value has gone is a number e from 0 to 1: with u the way from the good end of the check to the value, in
units of the way to the threshold, e = u^4 / (1 + u^4). That is 0 at the good end, 0.06 half way, 0.5 at the threshold
and 0.94 at twice the way. A check that only says yes counts fully. The sum of points times e, at most 100, is the risk.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from deconv_core.audit.checks import CHECKS, Check
from deconv_core.errors import DeconvError

if TYPE_CHECKING:
    import pandas as pd

    from deconv_core.audit.review import Choice
    from deconv_core.audit.table import AuditTable

LARGEST = 100.0


def default_weights() -> dict[str, float]:
    """Check -> points, as the table of checks states them."""
    return {row.key: row.weight for row in CHECKS.values()}


def check_weights(weights: Mapping[str, float]) -> None:
    """Make sure that points can be used.

    Raises:
        DeconvError: They are those of an unknown check, negative or not finite.
    """
    for key, weight in weights.items():
        if key not in CHECKS or not 0 <= weight < float("inf"):
            raise DeconvError(f"The weight of '{key}' is {weight}; expected a known check and 0 points or more.")


def extent(check: Check, values: np.ndarray, threshold: float | None = None) -> np.ndarray:
    """How far values of a check have gone, e in the module's docstring; 0 where there is no value.

    Example:
        >>> extent(CHECKS["dark"], np.array([255.0, 80.0])).tolist()
        [0.0, 0.5]
    """
    values = np.asarray(values, np.float64)
    if check.flags_when == "set":
        return (values == 1).astype(np.float64)
    limit = check.threshold if threshold is None else threshold
    good = check.low if check.flags_when == "above" else check.high
    way = limit - good
    with np.errstate(invalid="ignore", over="ignore"):
        share = np.clip((values - good) / (way if abs(way) > 1e-9 else np.copysign(1e-9, way)), 0, 1e6)
    share *= share
    share *= share
    return np.nan_to_num(share / (1 + share))


def contributions(
    frame: pd.DataFrame, weights: Mapping[str, float] | None = None, thresholds: Mapping[str, float] | None = None
) -> pd.DataFrame:
    """Points that every check adds to the risk of every row: the columns of `frame` that are checks with a weight.

    Raises:
        DeconvError: A weight is unknown, negative or not finite.
    """
    import pandas as pd

    weights, thresholds = default_weights() | dict(weights or {}), thresholds or {}
    check_weights(weights)
    columns = {
        key: weight * extent(CHECKS[key], frame[key].to_numpy(), thresholds.get(key))
        for key, weight in weights.items()
        if key in frame and weight
    }
    return pd.DataFrame(columns, index=frame.index)


def risk(
    frame: pd.DataFrame, weights: Mapping[str, float] | None = None, thresholds: Mapping[str, float] | None = None
) -> np.ndarray:
    """The quality risk of every row, float32 from 0 (nothing found) to 100; see the module's docstring."""
    points = contributions(frame, weights, thresholds)
    return np.minimum(points.to_numpy().sum(axis=1), LARGEST).astype(np.float32)


def set_risk(table: AuditTable, choice: Choice) -> np.ndarray:
    """The quality risk of every picture of an audit by the points and thresholds that count for it.

    The one risk of pages, review, samples and reports. The column `quality_risk` of the finished table is the same by
    the default points and thresholds.
    """
    return risk(table.numbers[list(table.checks)], choice.weights, choice.thresholds)
