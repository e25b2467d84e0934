"""Severity curves of a whole set of pictures: their middle, their spread, and where more damage scored better.

Works on the table of a comparison: one row per picture, distortion and severity, one column per metric.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from deconv_core.errors import DeconvError
from deconv_core.metrics.laws import TIE

if TYPE_CHECKING:
    import pandas as pd

QUARTILES = (0.25, 0.5, 0.75)


def spread(frame: pd.DataFrame, metrics: Sequence[str]) -> pd.DataFrame:
    """Median and quartiles of each metric over the pictures, by distortion and severity.

    Args:
        frame: Columns `image`, `distortion`, `severity`, and one for each metric.
        metrics: Keys.

    Returns:
        `distortion`, `metric`, `severity`, `count`, `low`, `median`, `high`: the numbers behind it are finite, for a
        PSNR of identical pictures has no place among quartiles. Severities without a number are left out.

    Raises:
        DeconvError: A column is missing.
    """
    import pandas as pd

    _check(frame, metrics)
    long = frame.melt(["distortion", "severity"], list(metrics), var_name="metric", value_name="value")
    long = long[np.isfinite(long["value"].astype(float))]
    groups = long.groupby(["distortion", "metric", "severity"], sort=False, observed=True)["value"]
    low, median, high = (groups.quantile(place) for place in QUARTILES)
    found = pd.DataFrame({"count": groups.size(), "low": low, "median": median, "high": high}).reset_index()
    return found.sort_values(["distortion", "metric", "severity"], kind="stable", ignore_index=True)


def broken_steps(
    frame: pd.DataFrame, metrics: Sequence[str], higher_is_better: Mapping[str, bool] | None = None
) -> pd.DataFrame:
    """How often more damage scored better: steps from one severity of a picture to its next one.

    A difference below `metrics.laws.TIE`, relative to the larger of 1 and the score, is a tie and breaks nothing.

    Args:
        frame: As for `spread`.
        metrics: Keys.
        higher_is_better: Direction by key; `relations.direction` tells it for those that are missing.

    Returns:
        `metric`, `distortion`, `steps` (both ends have a number), `broken`, `pictures` (with a broken step), `worst`
        (name of the picture with the largest rise; "" if none). Kinds with fewer than two severities have no steps.

    Raises:
        DeconvError: A column is missing.
    """
    import pandas as pd

    _check(frame, metrics)
    rows: list[dict[str, Any]] = []
    for distortion, part in frame.groupby("distortion", sort=False, observed=True):
        tables = part.set_index(["image", "severity"])[list(metrics)].astype(float).unstack("severity")
        for key in metrics:
            table = tables[key].sort_index(axis=1)
            values = table.to_numpy(float) * (1 if _higher(key, higher_is_better) else -1)
            first, second = values[:, :-1], values[:, 1:]
            known = ~(np.isnan(first) | np.isnan(second))
            with np.errstate(invalid="ignore"):  # identical twice: infinite minus infinite, a tie
                rise = np.where(known & (first != second), second - first, 0.0)
                size = np.fmax(1.0, np.fmin(np.abs(first), np.abs(second)))
            broken = known & (rise > TIE * np.where(np.isfinite(size), size, 1.0))
            largest = np.where(broken, rise, 0.0).max(axis=1, initial=0.0)
            rows.append(
                {
                    "metric": key,
                    "distortion": distortion,
                    "steps": int(known.sum()),
                    "broken": int(broken.sum()),
                    "pictures": int(broken.any(axis=1).sum()),
                    "worst": str(table.index[largest.argmax()]) if broken.any() else "",
                }
            )
    columns = ["metric", "distortion", "steps", "broken", "pictures", "worst"]
    return pd.DataFrame(rows, columns=columns)


def _higher(key: str, given: Mapping[str, bool] | None) -> bool:
    from deconv_core.relations import direction

    return given[key] if given is not None and key in given else direction(key) > 0


def _check(frame: pd.DataFrame, metrics: Sequence[str]) -> None:
    missing = [column for column in ("image", "distortion", "severity", *metrics) if column not in frame]
    if missing:
        raise DeconvError(
            f"A table for severity curves got the columns {', '.join(map(str, frame.columns))}, but needs also "
            f"{', '.join(missing)}. Give the table that `compare` writes."
        )
