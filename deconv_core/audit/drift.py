"""Two audits compared: do the pictures of one set differ from those of the other, in what, and by how much?

For every number that both audits hold: the two-sample Kolmogorov-Smirnov test, whose statistic D is also the size of
the difference (the largest distance between the two cumulative shares, 0 to 1), and the chance that a picture of the
second set has a larger value than one of the first (0.5: none is larger). With many pictures the smallest differences
become significant, so the words follow D and not p. p-values are adjusted for the number of columns (Holm).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from deconv_core.agreement import wilson
from deconv_core.audit.checks import CHECKS
from deconv_core.audit.table import AuditTable
from deconv_core.errors import DeconvError

if TYPE_CHECKING:
    import pandas as pd

SIGNIFICANT = 0.05
# D from which a difference is called so.
SIZES = ((0.4, "large"), (0.2, "clear"), (0.1, "small"), (0.0, "hardly any"))
_AT_MOST = 100_000  # values of a column; drawn by a fixed seed beyond
_SMALLEST = 8
_OTHERS = {
    "brightness": ("Mean brightness", "of 255"),
    "contrast": ("Spread of brightness", "of 255"),
    "width": ("Width", "px"),
    "height": ("Height", "px"),
    "bytes": ("File size", "bytes"),
    "quality_risk": ("Quality risk", "points"),
}


@dataclass(frozen=True)
class Drift:
    """What was found.

    Attributes:
        columns: One row per number: `column`, `label`, `unit`, `count_first`, `count_second`, `median_first`,
            `median_second`, `ks`, `p_value` (adjusted), `larger` (chance that the second set's value is larger),
            `size` (in a word), `sentence`; the largest difference first.
        shares: One row per check: `check`, `label`, `share_first`, `share_second` (percent flagged), `difference`
            (percentage points), `low`, `high` (its 95 % interval, Newcombe 1998).
        matched: Pictures that both sets hold under one name, as before and after a treatment.
        paragraph: The whole in plain words.
    """

    columns: pd.DataFrame
    shares: pd.DataFrame
    matched: int
    paragraph: str


def compare_audits(
    first: AuditTable, second: AuditTable, *, thresholds: Mapping[str, float] | None = None, seed: int = 0
) -> Drift:
    """Compare two audits.

    Args:
        first: What it is compared with, such as the training set, or the set before.
        second: The new one.
        thresholds: Check -> threshold, the same for both; the defaults without it.
        seed: Draws the values that are compared where there are more than 100,000.

    Raises:
        DeconvError: They have no number in common, or too few pictures.
    """
    import pandas as pd
    import pyarrow.compute as compute

    names = [key for key in (*CHECKS, *_OTHERS) if key in first.numbers and key in second.numbers]
    names = [key for key in names if key not in CHECKS or CHECKS[key].flags_when != "set"]
    rows = []
    for number, name in enumerate(names):
        row = _column(name, first, second, np.random.default_rng([seed, number]))
        if row is not None:
            rows.append(row)
    if not rows:
        raise DeconvError(
            f"The two audits hold {first.count} and {second.count} pictures and no number that can be compared; "
            f"expected at least {_SMALLEST} readable pictures in each."
        )
    columns = pd.DataFrame(rows)
    columns["p_value"] = _holm(columns["p_value"].to_numpy())
    columns["size"] = [_size(ks, p) for ks, p in zip(columns["ks"], columns["p_value"], strict=True)]
    columns["sentence"] = [_sentence(row) for row in columns.to_dict("records")]
    columns = columns.sort_values("ks", ascending=False, kind="stable", ignore_index=True)
    shares = _shares(first, second, thresholds or {})
    matched = int(compute.sum(compute.is_in(second.names, first.names)).as_py() or 0)
    return Drift(columns, shares, matched, _paragraph(columns, shares, matched, second.count))


def _column(name: str, first: AuditTable, second: AuditTable, generator: np.random.Generator) -> dict | None:
    from scipy.stats import ks_2samp, rankdata

    pair = []
    for table in (first, second):
        values = table.numbers[name].to_numpy(np.float64)
        if name not in CHECKS:
            values = values[table.numbers["unreadable"].to_numpy() == 0]
        values = values[np.isfinite(values)]
        if len(values) < _SMALLEST:
            return None
        pair.append(generator.choice(values, _AT_MOST, replace=False) if len(values) > _AT_MOST else values)
    one, other = pair
    test = ks_2samp(one, other, method="asymp")
    ranks = rankdata(np.concatenate([one, other]))[len(one) :]
    larger = (ranks.sum() - len(other) * (len(other) + 1) / 2) / (len(one) * len(other))
    label, unit = (CHECKS[name].label, CHECKS[name].unit) if name in CHECKS else _OTHERS[name]
    return {
        "column": name,
        "label": label,
        "unit": unit,
        "count_first": len(one),
        "count_second": len(other),
        "median_first": float(np.median(one)),
        "median_second": float(np.median(other)),
        "ks": float(test.statistic),
        "p_value": float(test.pvalue),
        "larger": float(larger),
    }


def _holm(values: np.ndarray) -> np.ndarray:
    order = np.argsort(values)
    adjusted = np.maximum.accumulate(values[order] * (len(values) - np.arange(len(values))))
    result = np.empty(len(values))
    result[order] = np.minimum(adjusted, 1)
    return result


def _size(ks: float, p_value: float) -> str:
    if p_value >= SIGNIFICANT:
        return "none that can be told from chance"
    return next(word for limit, word in SIZES if ks >= limit)


def _sentence(row: Mapping) -> str:
    unit = f" {row['unit']}" if row["unit"] else ""
    values = f"median {_number(row['median_first'])} in the first, {_number(row['median_second'])}{unit} in the second"
    if row["p_value"] >= SIGNIFICANT:
        return f"{row['label']}: no difference that could not be chance ({values})."
    way = "higher" if row["larger"] > 0.5 else "lower"
    chance = max(row["larger"], 1 - row["larger"])
    return (
        f"{row['label']}: {row['size']} difference; {values}. In {chance:.0%} of all pairs of pictures the one of the "
        f"second set is {way}."
    )


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _shares(first: AuditTable, second: AuditTable, thresholds: Mapping[str, float]) -> pd.DataFrame:
    import pandas as pd

    rows = []
    for key in first.checks:
        if key not in second.checks:
            continue
        counted = [
            (int(table.flagged(key, thresholds.get(key)).sum()), max(1, table.count)) for table in (first, second)
        ]
        (one, count_one), (other, count_other) = counted
        share_one, share_other = one / count_one, other / count_other
        low_one, high_one = wilson(share_one, count_one)
        low_other, high_other = wilson(share_other, count_other)
        difference = share_other - share_one
        rows.append(
            {
                "check": key,
                "label": CHECKS[key].label,
                "share_first": 100 * share_one,
                "share_second": 100 * share_other,
                "difference": 100 * difference,
                "low": 100 * (difference - np.hypot(share_other - low_other, high_one - share_one)),
                "high": 100 * (difference + np.hypot(high_other - share_other, share_one - low_one)),
            }
        )
    return pd.DataFrame(rows)


def _paragraph(columns: pd.DataFrame, shares: pd.DataFrame, matched: int, count: int) -> str:
    told = []
    strong = columns[(columns["p_value"] < SIGNIFICANT) & (columns["ks"] >= SIZES[1][0])]
    if strong.empty:
        told.append("The two sets look alike: no measured property differs clearly.")
    else:
        listed = [f"{label.lower()} ({size})" for label, size in zip(strong["label"], strong["size"], strict=True)]
        told.append(f"The two sets differ in {', '.join(listed[:5])}{' and more' if len(listed) > 5 else ''}.")
    changed = shares[(shares["low"] > 0) | (shares["high"] < 0)]
    if not changed.empty:
        row = changed.loc[changed["difference"].abs().idxmax()]
        told.append(
            f"Most changed is the share of “{row['label']}”: from {row['share_first']:.1f} % to "
            f"{row['share_second']:.1f} % ({row['difference']:+.1f} points, 95 % interval {row['low']:+.1f} to "
            f"{row['high']:+.1f})."
        )
    if matched:
        told.append(f"{matched:,} of {count:,} pictures have the same name in both.")
    return " ".join(told)
