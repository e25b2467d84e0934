"""Two audits compared: do the pictures of one set differ from those of the other, in what, and by how much?

For every number that both audits hold: the two-sample Kolmogorov-Smirnov test, whose statistic D is also the size of
the difference (the largest distance between the two cumulative shares, 0 to 1), and the chance that a picture of the
second set has a larger value than one of the first (0.5: none is larger). With many pictures the smallest differences
become significant, so the words follow D and not p. p-values are adjusted for the number of columns (Holm).

Pictures that both hold under one name, as before and after a treatment, are also compared one by one: how many got
better and worse, and the median of the differences with a 95 % interval that supposes no distribution (order
statistics, the inverted sign test).

Only what was measured alike is compared: other models, working sizes, metrics or versions would differ by themselves.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from deconv_core.agreement import wilson
from deconv_core.audit.checks import CHECKS
from deconv_core.audit.recipes import difference, recipes_of
from deconv_core.audit.risk import risk
from deconv_core.audit.table import AuditTable
from deconv_core.audit.words import lower
from deconv_core.errors import DeconvError
from deconv_core.files import write_json
from deconv_core.tables import json_bytes

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

SIGNIFICANT = 0.05
# D from which a difference is called so.
SIZES = ((0.4, "large"), (0.2, "clear"), (0.1, "small"), (0.0, "hardly any"))
_AT_MOST = 100_000  # values of a column; drawn by a fixed seed beyond
_SMALLEST = 8
_LEVEL = 0.05
_CONTENTS_AT_MOST = 200_000  # matched pictures whose digests are read
# They say how far a picture is from what a model knows, not how good it is: more is neither better nor worse.
_NEITHER = ("reconstruction", "reconstruction_outlier", "brightness", "contrast", "width", "height", "bytes")
_OTHERS = {
    "brightness": ("Mean brightness", "of 255"),
    "contrast": ("Spread of brightness", "of 255"),
    "width": ("Width", "px"),
    "height": ("Height", "px"),
    "bytes": ("File size", "bytes"),
    "quality_risk": ("Quality risk", "points"),
}


_PAIR_WORDS = "Better is away from what a check flags, worse is towards it."
_COLUMN_WORDS = (
    "KS distance (Kolmogorov-Smirnov): 0 alike to 1 apart. p: the chance of at least such a distance between two "
    "samples of one set, adjusted for the number of rows (Holm). Second larger: the chance that of two pictures, one "
    "of each set, that of the second has the larger value."
)


@dataclass(frozen=True)
class Drift:
    """What was found.

    Attributes:
        columns: One row per number: `column`, `label`, `unit`, `count_first`, `count_second`, `median_first`,
            `median_second`, `ks`, `p_value` (adjusted), `larger` (chance that the second set's value is larger),
            `size` (in a word), `sentence`; the largest difference first.
        shares: One row per check: `check`, `label`, `share_first`, `share_second` (percent flagged), `difference`
            (percentage points), `low`, `high` (its 95 % interval, Newcombe 1998).
        matched: Pictures that both sets hold under one name (or, where none is, one name but for its ending), as
            before and after a treatment.
        paragraph: The whole in plain words.
        left_out: What is not compared and why, a sentence each.
        pairs: The matched pictures one by one, a row per number: `column`, `label`, `unit`, `count`, `better`, `worse`
            (NaN where more is neither), `higher`, `lower`, `same`, `cleared` (flagged in the first alone), `raised`
            (flagged in the second alone), `median_difference` (second less first), `low`, `high` (its 95 % interval,
            NaN for fewer than six), `sentence`; empty where none is matched.
    """

    columns: pd.DataFrame
    shares: pd.DataFrame
    matched: int
    paragraph: str
    left_out: tuple[str, ...]
    pairs: pd.DataFrame


def compare_audits(
    first: AuditTable,
    second: AuditTable,
    *,
    thresholds: Mapping[str, float] | None = None,
    weights: Mapping[str, float] | None = None,
    seed: int = 0,
) -> Drift:
    """Compare two audits.

    Args:
        first: What it is compared with, such as the training set, or the set before.
        second: The new one.
        thresholds: Check -> threshold, the same for both; the defaults without it.
        weights: Check -> points of the quality risk, the same for both; the defaults without it.
        seed: Draws the values that are compared where there are more than 100,000.

    Raises:
        DeconvError: They have no number in common, or too few pictures.
    """
    import pandas as pd

    thresholds = thresholds or {}
    checks, others, left_out = _comparable(first, second)
    one, other = (_numbers(table, checks, others, thresholds, weights) for table in (first, second))
    rows = []
    for number, name in enumerate(one):
        if name in CHECKS and CHECKS[name].flags_when == "set":
            continue
        row = _column(name, one[name], other[name], np.random.default_rng([seed, number]))
        if row is not None:
            rows.append(row)
    if not rows:
        raise DeconvError(
            f"The two audits hold {first.count} and {second.count} pictures and no number that can be compared; "
            f"expected at least {_SMALLEST} readable pictures in each. {' '.join(left_out)}".strip()
        )
    columns = pd.DataFrame(rows)
    columns["p_value"] = _holm(columns["p_value"].to_numpy())
    columns["size"] = [_size(ks, p) for ks, p in zip(columns["ks"], columns["p_value"], strict=True)]
    columns["sentence"] = [_sentence(row) for row in columns.to_dict("records")]
    columns = columns.sort_values("ks", ascending=False, kind="stable", ignore_index=True)
    shares = _shares(first, second, checks, thresholds)
    places = _match(first, second)
    pairs = _pairs(one, other, places, thresholds)
    told = [_paragraph(columns, shares), _matched_words(first, second, places, pairs)]
    return Drift(columns, shares, len(places[0]), " ".join(filter(None, told)), tuple(left_out), pairs)


def _comparable(first: AuditTable, second: AuditTable) -> tuple[list[str], list[str], list[str]]:
    """(checks, other columns, sentences about what is left out)."""
    made = [recipes_of(table) for table in (first, second)]
    left_out, checks = [], []
    unlike: dict[str, list[str]] = {}  # in what the recipes differ -> labels
    for key in CHECKS:
        label = CHECKS[key].label
        if key not in first.checks and key not in second.checks:
            continue
        if key not in first.checks or key not in second.checks:
            which = "first" if key in first.checks else "second"
            left_out.append(f"“{label}” is left out: only the {which} audit made this check.")
        elif CHECKS[key].of_set and not (first.finished and second.finished):
            left_out.append(f"“{label}” is left out until both audits have come to their end.")
        elif why := difference(key, *made):
            unlike.setdefault(why, []).append(f"“{label}”")
        else:
            checks.append(key)
    others = []
    for name, (label, _) in _OTHERS.items():
        if name == "quality_risk":
            others += [name] if checks else []
        elif why := difference(name, *made):
            unlike.setdefault(why, []).append(f"“{label}”")
        elif name in first.numbers and name in second.numbers:
            others.append(name)
    for why, labels in unlike.items():
        are = "is" if len(labels) == 1 else "are"
        left_out.append(
            f"{', '.join(labels)} {are} left out, since the audits and not the pictures would differ: {why}."
        )
    if set(first.checks) != set(checks) or set(second.checks) != set(checks):
        left_out.append(f"The quality risk is counted over the {len(checks)} checks that both made alike.")
    return checks, others, left_out


def _numbers(
    table: AuditTable,
    checks: list[str],
    others: list[str],
    thresholds: Mapping[str, float],
    weights: Mapping[str, float] | None,
) -> dict[str, np.ndarray]:
    """Column -> values, NaN where there is none."""
    found = {name: table.numbers[name].to_numpy(np.float64) for name in checks}
    readable = table.numbers["unreadable"].to_numpy() == 0
    for name in others:
        if name == "quality_risk":
            values = risk(table.numbers[checks], weights, thresholds)
        else:
            values = table.numbers[name].to_numpy()
        found[name] = np.where(readable, values.astype(np.float64), np.nan)
    return found


def _column(name: str, first: np.ndarray, second: np.ndarray, generator: np.random.Generator) -> dict | None:
    from scipy.stats import ks_2samp, rankdata

    pair = []
    for values in (first, second):
        values = values[np.isfinite(values)]
        if len(values) < _SMALLEST:
            return None
        pair.append(generator.choice(values, _AT_MOST, replace=False) if len(values) > _AT_MOST else values)
    one, other = pair
    test = ks_2samp(one, other, method="asymp")
    ranks = rankdata(np.concatenate([one, other]))[len(one) :]
    larger = (ranks.sum() - len(other) * (len(other) + 1) / 2) / (len(one) * len(other))
    label, unit = _words(name)
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


def _words(name: str) -> tuple[str, str]:
    """(label, unit) of a column."""
    return (CHECKS[name].label, CHECKS[name].unit) if name in CHECKS else _OTHERS[name]


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


def _shares(first: AuditTable, second: AuditTable, checks: list[str], thresholds: Mapping[str, float]) -> pd.DataFrame:
    import pandas as pd

    rows = []
    for key in checks:
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
    names = ["check", "label", "share_first", "share_second", "difference", "low", "high"]
    return pd.DataFrame(rows, columns=names)


def _paragraph(columns: pd.DataFrame, shares: pd.DataFrame) -> str:
    told = []
    strong = columns[(columns["p_value"] < SIGNIFICANT) & (columns["ks"] >= SIZES[1][0])]
    if strong.empty:
        told.append("The two sets look alike: no measured property differs clearly.")
    else:
        listed = [f"{lower(label)} ({size})" for label, size in zip(strong["label"], strong["size"], strict=True)]
        told.append(f"The two sets differ in {', '.join(listed[:5])}{' and more' if len(listed) > 5 else ''}.")
    changed = shares[(shares["low"] > 0) | (shares["high"] < 0)]
    if not changed.empty:
        row = changed.loc[changed["difference"].abs().idxmax()]
        told.append(
            f"Most changed is the share of “{row['label']}”: from {row['share_first']:.1f} % to "
            f"{row['share_second']:.1f} % ({row['difference']:+.1f} points, 95 % interval {row['low']:+.1f} to "
            f"{row['high']:+.1f})."
        )
    return " ".join(told)


def write_drift(folder: Path | str, found: Drift, first: AuditTable, second: AuditTable) -> Path:
    """Write a comparison into `results/` of the second audit: `drift.json` with every number, `drift.html` to read.

    Returns:
        The HTML file.

    Raises:
        DeconvError: They cannot be written.
    """
    from deconv_core.report import Section, write_report

    results = Path(folder) / "results"
    tables = {name: getattr(found, name) for name in ("columns", "shares", "pairs")}
    facts = {"paragraph": found.paragraph, "left_out": list(found.left_out), "matched": found.matched}
    sources = {
        words: {name: table.summary.get(name) for name in ("data", "images", "fingerprint", "command", "versions")}
        for words, table in (("first", first), ("second", second))
    }
    write_json(
        results / "drift.json",
        {**sources, **facts, **{name: json.loads(json_bytes(table))["records"] for name, table in tables.items()}},
    )
    sections = [
        Section("Not compared", "\n\n".join(found.left_out)) if found.left_out else None,
        Section("Pictures of one name, before and after", _PAIR_WORDS, table=_changed(found.pairs))
        if found.matched
        else None,
        Section("Share of pictures that are flagged", "Both by the same thresholds.", table=_flagged(found.shares)),
        Section("What was measured, the largest difference first", _COLUMN_WORDS, table=_measured(found.columns)),
    ]
    return write_report(
        results / "drift.html",
        title=f"{_named(first)} and {_named(second)} compared",
        lead=found.paragraph,
        sections=[section for section in sections if section is not None],
        command=str(second.summary.get("command", "")),
        facts={
            f"{words} set": f"{_named(table)}, {table.count:,} pictures, fingerprint {table.summary.get('fingerprint')}"
            for words, table in (("First", first), ("Second", second))
        },
    )


def _changed(pairs: pd.DataFrame) -> pd.DataFrame:
    """A sentence for everything that changed, and one for all the rest."""
    import pandas as pd

    is_same = (pairs["same"] == pairs["count"]) & (pairs["cleared"] + pairs["raised"] == 0)
    told = pairs.loc[~is_same, "sentence"].tolist()
    if is_same.any():
        told.append(f"The same in all pictures: {', '.join(map(lower, pairs.loc[is_same, 'label']))}.")
    return pd.DataFrame({"what changed": told})


def _flagged(shares: pd.DataFrame) -> pd.DataFrame:
    import pandas as pd

    shown = shares[(shares["share_first"] > 0) | (shares["share_second"] > 0)]
    shown = shown.sort_values("difference", key=np.abs, ascending=False, kind="stable")
    change = [f"{row.difference:+.1f} ({row.low:+.1f} to {row.high:+.1f})" for row in shown.itertuples()]
    return pd.DataFrame(
        {
            "issue": shown["label"].tolist(),
            "first set, %": shown["share_first"].round(1).tolist(),
            "second set, %": shown["share_second"].round(1).tolist(),
            "change in points (95 % interval)": change,
        }
    )


def _measured(columns: pd.DataFrame) -> pd.DataFrame:
    units = [f"{row.label}, {row.unit}" if row.unit else row.label for row in columns.itertuples()]
    names = {
        "median_first": "median, first",
        "median_second": "median, second",
        "ks": "KS distance",
        "p_value": "p",
        "larger": "second larger",
    }
    shown = columns[list(names)].rename(columns=names)
    shown.insert(0, "measured", units)
    return shown


def _named(table: AuditTable) -> str:
    return Path(str(table.settings["data"])).name


# Before and after


def _match(first: AuditTable, second: AuditTable) -> tuple[np.ndarray, np.ndarray]:
    """Places in the first and in the second of the pictures that have one name in both."""
    import pyarrow.compute as compute

    names = first.names, second.names
    found = _places(*names)
    if len(found[0]):
        return found
    # A treatment often writes another format.
    return _places(*(compute.replace_substring_regex(part, r"\.[^./]*$", "") for part in names))


def _places(first: pa.Array, second: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    import pandas as pd

    one, other = (pd.Series(part.to_pandas()) for part in (first, second))
    one, other = (part[~part.duplicated(keep=False)] for part in (one, other))
    places = pd.Series(one.index, index=one.to_numpy()).reindex(other.to_numpy()).to_numpy(np.float64)
    known = np.isfinite(places)
    return places[known].astype(np.int64), other.index.to_numpy()[known]


def _pairs(
    first: Mapping[str, np.ndarray],
    second: Mapping[str, np.ndarray],
    places: tuple[np.ndarray, np.ndarray],
    thresholds: Mapping[str, float],
) -> pd.DataFrame:
    import pandas as pd

    rows = []
    for name in first:
        one, other = first[name][places[0]], second[name][places[1]]
        known = np.isfinite(one) & np.isfinite(other)
        if known.any():
            crossed = _crossed(name, one, other, thresholds.get(name))
            rows.append(_pair_row(name, one[known], other[known], crossed))
    names = ["column", "label", "unit", "count", "better", "worse", "higher", "lower", "same", "cleared", "raised"]
    return pd.DataFrame(rows, columns=[*names, "median_difference", "low", "high", "sentence"])


def _crossed(name: str, one: np.ndarray, other: np.ndarray, threshold: float | None) -> tuple[int, int]:
    """(pictures that a check no longer flags, pictures that it flags now)."""
    if name not in CHECKS:
        return 0, 0
    before, after = (CHECKS[name].flags(values, threshold) for values in (one, other))
    return int((before & ~after).sum()), int((after & ~before).sum())


def _pair_row(name: str, one: np.ndarray, other: np.ndarray, crossed: tuple[int, int]) -> dict:
    label, unit = _words(name)
    change = other - one
    # Numbers are held with seven digits.
    change[np.abs(change) <= 1e-6 * np.maximum(np.abs(one), np.abs(other))] = 0
    higher, lower = int((change > 0).sum()), int((change < 0).sum())
    row = CHECKS.get(name)
    better = worse = float("nan")
    if name not in _NEITHER:
        high_is_bad = row is None or row.flags_when in ("above", "set")
        better, worse = (lower, higher) if high_is_bad else (higher, lower)
    found = {"column": name, "label": label, "unit": unit, "count": len(change), "better": better, "worse": worse}
    found |= {"higher": higher, "lower": lower, "same": len(change) - higher - lower}
    found |= dict(zip(("cleared", "raised"), crossed, strict=True))
    found |= dict(zip(("median_difference", "low", "high"), median_interval(change), strict=True))
    return found | {"sentence": _pair_sentence(found)}


def median_interval(values: np.ndarray) -> tuple[float, float, float]:
    """The median and its 95 % interval by order statistics, which supposes no distribution; NaN for the interval of
    fewer than six values.

    Example:
        >>> median_interval(np.arange(1.0, 11.0))
        (5.5, 2.0, 9.0)
    """
    from scipy.stats import binom

    count = len(values)
    rank = int(binom.ppf(_LEVEL / 2, count, 0.5))
    if rank < 1:
        return float(np.median(values)), float("nan"), float("nan")
    ordered = np.partition(values, [rank - 1, count - rank])
    return float(np.median(values)), float(ordered[rank - 1]), float(ordered[count - rank])


def _pair_sentence(row: Mapping) -> str:
    is_set = row["column"] in CHECKS and CHECKS[row["column"]].flags_when == "set"
    if row["same"] == row["count"] and not row["cleared"] and not row["raised"]:
        return f"{row['label']}: the same in all {row['count']:,} pictures."
    up, down = ("got better", "got worse") if row["better"] == row["better"] else ("went up", "went down")
    first, second = (row["better"], row["worse"]) if up == "got better" else (row["higher"], row["lower"])
    told = f"{row['label']}: of {row['count']:,} pictures {first:,} {up}, {second:,} {down}, {row['same']:,} stayed"
    if not is_set:
        unit = f" {row['unit']}" if row["unit"] else ""
        told += f"; the median change is {_signed(row['median_difference'])}{unit}"
        if np.isfinite(row["low"]):
            told += f" (95 % interval {_signed(row['low'])} to {_signed(row['high'])})"
    if row["cleared"] or row["raised"]:
        told += f"; {row['cleared']:,} are no longer flagged, {row['raised']:,} are flagged now"
    return f"{told}."


def _signed(value: float) -> str:
    return "0" if value == 0 else f"{value:+,.0f}" if abs(value) >= 100 else f"{value:+.3g}"


def _matched_words(
    first: AuditTable, second: AuditTable, places: tuple[np.ndarray, np.ndarray], pairs: pd.DataFrame
) -> str:
    count = len(places[0])
    if not count:
        return ""
    told = f"{count:,} of {second.count:,} pictures have the same name in both"
    if count <= _CONTENTS_AT_MOST:
        one, other = (
            table.rows(part, ["digest"])["digest"].to_numpy()
            for table, part in zip((first, second), places, strict=True)
        )
        same = int(((one == other) & (one != "")).sum())
        told += f", {same:,} of them the very same content" if same else ", none of them the same content"
        if same == count:
            return f"{told}."
    told = [f"{told}. As before and after:"]
    rows = pairs[pairs["better"].notna() & (pairs["same"] < pairs["count"])]
    risks = rows[rows["column"] == "quality_risk"]
    told += risks["sentence"].tolist()
    rest = rows[rows["column"] != "quality_risk"]
    if not rest.empty:
        told.append(rest.loc[((rest["better"] - rest["worse"]).abs() / rest["count"]).idxmax(), "sentence"])
    return " ".join(told) if len(told) > 1 else told[0].replace(" As before and after:", "")
