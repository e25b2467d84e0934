"""Which metrics agree with each other, and where do they not? Correlations with intervals, and pairs of pictures.

Metrics are turned so that higher is better before anything is compared: a positive correlation means that both call
the same pictures better. Pictures made from one reference are alike, so intervals come from drawing whole references
again. Disagreements are looked for in ranks: a metric's percentile within the table, so that no unit matters.
Of a table with more than `MOST_ROWS` rows, whole references are drawn by the seed: time and memory stay bounded.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from deconv_core.agreement import ALL, FEWEST, finite, interval, krcc, plcc, resample_pairs, srcc
from deconv_core.errors import DeconvError

if TYPE_CHECKING:
    import pandas as pd

    from deconv_core.comparison import Comparison

KINDS = ("equal", "order")
COEFFICIENTS = ("srcc", "krcc", "plcc")
# With so many rows the intervals are as narrow as anybody needs, and every disagreement has hundreds like it.
MOST_ROWS = 20_000
CORRELATION_COLUMNS = (
    *("group", "first", "second", "count"),
    *(f"{name}{end}" for name in COEFFICIENTS for end in ("", "_low", "_high")),
)
DISAGREEMENT_COLUMNS = ("kind", "row_a", "row_b", "first_a", "first_b", "second_a", "second_b", "strength")

# Two pictures count as equal for a metric when no more than this share of the table lies between them.
_EQUAL_SHARE = 0.01
_MOST_NEIGHBOURS = 200
_ROWS_AT_ONCE = 2000  # held against all their neighbours in one piece of memory
# Rows at either end of the rank difference that are held against each other; up to so many rows nothing is missed.
_EXTREMES = 1500
# Partners kept for each row: enough to choose varied pairs from.
_PARTNERS = 16


def drawn(frame: pd.DataFrame, seed: int = 0, most: int | None = None) -> pd.DataFrame:
    """The rows that are related with one another: all, or of a larger table those of references drawn by the seed.

    Args:
        frame: One row per picture, with `image`, its reference.
        seed: Decides which references are drawn.
        most: At most so many rows, but one reference at least; `MOST_ROWS` unless given.

    Returns:
        The frame itself, or a part of it in the same order with the same index: every row of the references drawn.

    Raises:
        DeconvError: The column is missing.
    """
    most = MOST_ROWS if most is None else most
    _check(frame, ["image"])
    if len(frame) <= most:
        return frame
    images, number, counts = np.unique(frame["image"].to_numpy(), return_inverse=True, return_counts=True)
    order = np.random.default_rng(seed).permutation(len(images))
    kept = order[: max(1, int(np.searchsorted(np.cumsum(counts[order]), most, side="right")))]
    return frame[np.isin(number, kept)]


def drawn_words(frame: pd.DataFrame, seed: int = 0) -> str:
    """One sentence on what `drawn` has left out; "" where it takes all rows."""
    part = drawn(frame, seed)
    if len(part) == len(frame):
        return ""
    return (
        f"Correlations and disagreements are those of {part['image'].nunique():,} of the "
        f"{frame['image'].nunique():,} pictures ({len(part):,} of {len(frame):,} candidates), drawn by the seed."
    )


def correlations(
    frame: pd.DataFrame,
    metrics: Sequence[str],
    *,
    group: str | None = None,
    resamples: int = 200,
    seed: int = 0,
) -> pd.DataFrame:
    """SRCC, KRCC and PLCC of every pair of metrics, with 95 % bootstrap intervals.

    Args:
        frame: One row per picture: a column per metric (NaN where there is no score), and `image`, its reference.
        metrics: Columns; fewer than two have no correlations.
        group: A column to split by as well, such as `distortion`.
        resamples: Draws of the references; 0 leaves the intervals empty.
        seed: Decides the draws, and of a table beyond `MOST_ROWS` the references (see `drawn`).

    Returns:
        `group` ("all", then each value of the column), `first`, `second`, `count` (rows with both scores), then
        `srcc`, `srcc_low`, `srcc_high`, and so `krcc` and `plcc`: in [-1, 1], positive where both metrics call the same
        pictures better. NaN where a metric has a single value; no interval with a single reference.

    Raises:
        DeconvError: A column is missing.
    """
    import pandas as pd

    _check(frame, [*metrics, "image", *([group] if group else [])])
    frame = drawn(frame, seed)
    parts = {ALL: frame}
    if group:
        parts |= {str(name): part for name, part in frame.groupby(group, sort=False) if str(name) not in ("", ALL)}
    rows = []
    for name, part in parts.items():
        rows += [{"group": name, **row} for row in _correlations(part, list(dict.fromkeys(metrics)), resamples, seed)]
    return pd.DataFrame(rows, columns=list(CORRELATION_COLUMNS))


def disagreements(
    frame: pd.DataFrame,
    first: str,
    second: str,
    *,
    kind: str = "equal",
    count: int = 20,
    within_image: bool = False,
    seed: int = 0,
) -> pd.DataFrame:
    """Pairs of pictures on which two metrics disagree most, best first and varied.

    No row comes twice, and no picture or pair of distortions fills the list, as long as there are others.

    Args:
        frame: One row per picture: both metrics, `image` and, if there is one, `distortion`.
        first: Metric that calls both equal (kind "equal"), or that calls `row_a` the better one (kind "order").
        second: Metric that finds them far apart, `row_a` the better one (kind "equal"), or that calls `row_b` better
            (kind "order").
        kind: "equal" or "order".
        count: At most so many pairs.
        within_image: Only pairs of one reference, where people can judge most easily.
        seed: Decides of a table beyond `MOST_ROWS` the references (see `drawn`).

    Returns:
        `kind`, `row_a`, `row_b` (labels of the frame's index), the four scores `first_a`, `first_b`, `second_a`,
        `second_b`, and `strength` in (0, 1]: the share of the table that lies between the two for `second` (less that
        for `first`), or for kind "order" the smaller of both shares.

    Raises:
        DeconvError: Another kind, one metric twice, or a column is missing.
    """
    import pandas as pd

    if kind not in KINDS:
        raise DeconvError(f"kind got '{kind}'; choose one of {', '.join(KINDS)}.")
    if first == second:
        raise DeconvError(f"A disagreement needs two metrics; got {first} twice.")
    _check(frame, [first, second, "image"])
    known = drawn(frame, seed).dropna(subset=[first, second])
    columns = list(DISAGREEMENT_COLUMNS)
    if len(known) < 2:
        return pd.DataFrame(columns=columns)
    ranks = [_percentiles(known[key].to_numpy(np.float64) * direction(key)) for key in (first, second)]
    images = known["image"].to_numpy()
    groups = _groups(images) if within_image else [np.arange(len(known))]
    found = []
    for places in groups:
        sides = ranks[0][places], ranks[1][places]
        a, b, strength = _equal_pairs(*sides, len(known)) if kind == "equal" else _reversed_pairs(*sides)
        found.append((places[a], places[b], strength))
    a, b, strength = (np.concatenate(part) for part in zip(*found, strict=True))
    order = np.argsort(-strength, kind="stable")
    kinds = known["distortion"].to_numpy() if "distortion" in known else np.full(len(known), "")
    chosen = _varied(a[order], b[order], images, kinds, count)
    a, b, strength = (part[order][chosen] for part in (a, b, strength))
    labels = known.index.to_numpy()
    values = {
        f"{name}_{side}": known[key].to_numpy(np.float64)[rows]
        for name, key in (("first", first), ("second", second))
        for side, rows in (("a", a), ("b", b))
    }
    return pd.DataFrame(
        {"kind": kind, "row_a": labels[a], "row_b": labels[b], **values, "strength": strength}, columns=columns
    )


def disagreement_table(comparison: Comparison, pairs: Sequence[tuple[str, str]], *, count: int = 20) -> pd.DataFrame:
    """The disagreements of several pairs of metrics and of both kinds in one table.

    Returns:
        `first`, `second`, the columns of `disagreements`, and for either side what the picture is: `image_a`,
        `distortion_a`, `severity_a`, `image_b`, ...
    """
    import pandas as pd

    what = ["image", "distortion", "severity"]
    described = [f"{name}_{side}" for side in "ab" for name in what]
    seed = comparison.settings.seed
    parts = [pd.DataFrame(columns=["first", "second", *DISAGREEMENT_COLUMNS, *described])]
    for first, second in pairs:
        for kind in KINDS:
            found = disagreements(comparison.scored, first, second, kind=kind, count=count, seed=seed)
            for side in "ab":
                rows = comparison.frame.loc[found[f"row_{side}"].to_numpy(int), what].reset_index(drop=True)
                found = pd.concat([found, rows.add_suffix(f"_{side}")], axis=1)
            found.insert(0, "first", first)
            found.insert(1, "second", second)
            parts.append(found)
    filled = [part for part in parts if len(part)]
    return pd.concat(filled, ignore_index=True) if filled else parts[0]


def reason(comparison: Comparison, row: int) -> str:
    """What happened to one picture of a comparison, in one line, from its maps and bands (see `explain`)."""
    from deconv_core.errors import ImageError
    from deconv_core.explain import describe

    try:
        return describe(*comparison.pair(row)).sentences[0]
    except ImageError as error:
        return str(error)


def pair_reason(comparison: Comparison, first: str, second: str, pair: Mapping[str, Any]) -> str:
    """One disagreement in words: what either metric says, and what was done to either picture.

    Args:
        comparison: Where the rows are.
        first, second: The metrics, as for `disagreements`.
        pair: A row of `disagreements`.
    """
    from deconv_core.metrics import metric
    from deconv_core.scoring import show

    one, other = metric(first), metric(second)
    first_a, first_b = show(one, pair["first_a"]), show(one, pair["first_b"])
    second_a, second_b = show(other, pair["second_a"]), show(other, pair["second_b"])
    if pair["kind"] == "equal":
        said = f"{one.label} puts A and B side by side ({first_a} and {first_b}), {other.label} A far above B "
        said += f"({second_a} against {second_b})."
    else:
        said = f"{one.label} calls A better ({first_a} against {first_b}), "
        said += f"{other.label} B ({second_b} against {second_a})."
    words = [_without_stop(reason(comparison, int(pair[f"row_{side}"]))) for side in "ab"]
    return f"{said} A: {words[0]}. B: {words[1]}."


def direction(key: str) -> float:
    """1 where a higher score is better or nothing is known, -1 where a lower one is."""
    from deconv_core.direction import metric_direction
    from deconv_core.metrics import metric

    try:
        higher = metric(key).higher_is_better
    except DeconvError:
        higher = metric_direction(key)
    return -1.0 if higher is False else 1.0


# ------------------------------------------------------------------------------------------------------- correlations


def _correlations(frame: pd.DataFrame, metrics: Sequence[str], resamples: int, seed: int) -> list[dict[str, Any]]:
    columns = {key: frame[key].to_numpy(np.float64) * direction(key) for key in metrics}
    images = frame["image"].to_numpy()
    rows = {}
    for place, first in enumerate(metrics):
        for second in metrics[place + 1 :]:
            x, y = columns[first], columns[second]
            known = ~(np.isnan(x) | np.isnan(y))
            x, y = x[known], y[known]
            row = dict.fromkeys(CORRELATION_COLUMNS[1:], float("nan"))
            row |= {"first": first, "second": second, "count": int(known.sum())}
            if known.sum() >= FEWEST:
                row |= {"srcc": srcc(x, y), "krcc": krcc(x, y), "plcc": plcc(_linear(x, first), _linear(y, second))}
            rows[first, second] = row
    if resamples:
        for names, known in _alike(columns):
            if known.sum() < FEWEST or len(set(images[known])) < 2:
                continue
            values = {name: columns[name][known] for name in names}
            drawn = resample_pairs(values, images[known], resamples=resamples, seed=seed)
            numbers = {name: number for number, name in enumerate(names)}
            for (first, second), row in rows.items():
                if first in numbers and second in numbers and row["count"] == known.sum():
                    for name in COEFFICIENTS:
                        low, high = interval(drawn[name][:, numbers[first], numbers[second]])
                        row |= {f"{name}_low": low, f"{name}_high": high}
    return list(rows.values())


def _alike(columns: Mapping[str, np.ndarray]) -> Iterator[tuple[list[str], np.ndarray]]:
    """Metrics that have scores for the same rows, and for any two such sets both together with their common rows."""
    sets: dict[bytes, list[str]] = {}
    for name, column in columns.items():
        sets.setdefault(np.isnan(column).tobytes(), []).append(name)
    groups = list(sets.values())
    for place, names in enumerate(groups):
        yield names, ~np.isnan(columns[names[0]])
        for others in groups[place + 1 :]:
            known = ~(np.isnan(columns[names[0]]) | np.isnan(columns[others[0]]))
            yield [*names, *others], known


def _linear(values: np.ndarray, key: str) -> np.ndarray:
    """Finite values for PLCC; caps are those of the metric's own direction."""
    sign = direction(key)
    return sign * finite(sign * values, key)[0]


# ------------------------------------------------------------------------------------------------------ disagreements


def _percentiles(worth: np.ndarray) -> np.ndarray:
    """Rank as a share of the table, 0 to 1, equal values alike."""
    from scipy.stats import rankdata

    return (rankdata(worth) - 1) / max(1, len(worth) - 1)


def _groups(images: np.ndarray) -> list[np.ndarray]:
    _, number = np.unique(images, return_inverse=True)
    order = np.argsort(number, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(number[order])) + 1)


def _equal_pairs(first: np.ndarray, second: np.ndarray, table: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Places (a, b) and strength: neighbours in the first ranks, far apart in the second, where a is the better.

    The rows may be a part of the table; ranks are shares of all its `table` rows, and so is what counts as equal.
    """
    count = len(first)
    if count < 2:
        return np.zeros(0, int), np.zeros(0, int), np.zeros(0)
    order = np.argsort(first, kind="stable")
    one, other = first[order], second[order]
    steps = min(max(1, round(_EQUAL_SHARE * table)), _MOST_NEIGHBOURS, count - 1)
    found = []
    for start in range(0, count, _ROWS_AT_ONCE):
        rows = np.arange(start, min(start + _ROWS_AT_ONCE, count))
        # Row i against the rows i + 1 ... i + steps; beyond the end nothing.
        neighbours = rows[:, None] + np.arange(1, steps + 1)
        inside = neighbours < count
        neighbours = np.minimum(neighbours, count - 1)
        near = one[neighbours] - one[rows, None]
        far = other[neighbours] - other[rows, None]
        equal = inside & (near <= _EQUAL_SHARE + 1 / table)
        a, b, strength = _best_partners(np.where(equal, np.abs(far) - near, -1.0))
        found.append((rows[a], neighbours[a, b], strength))
    a, b, strength = (np.concatenate(part) for part in zip(*found, strict=True))
    swapped = other[a] < other[b]
    a, b = np.where(swapped, b, a), np.where(swapped, a, b)
    return order[a], order[b], strength


def _reversed_pairs(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Places (a, b) and strength: a is the better one in the first ranks, b in the second."""
    order = np.argsort(second - first, kind="stable")
    # Of a pair with strength s, the two rank differences lie 2 s apart: strong pairs come from the two ends.
    a, b = order[:_EXTREMES], order[-_EXTREMES:]
    strength = np.minimum(first[a][:, None] - first[b], second[b] - second[a][:, None])
    row, column, strength = _best_partners(strength)
    return a[row], b[column], strength


def _best_partners(strength: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The strongest few columns of every row of a table, where they are above zero."""
    kept = min(_PARTNERS, strength.shape[1])
    columns = np.argpartition(-strength, kept - 1, axis=1)[:, :kept]
    rows = np.repeat(np.arange(len(strength)), kept)
    columns = columns.ravel()
    values = strength[rows, columns]
    above = values > 0
    return rows[above], columns[above], values[above]


def _varied(a: np.ndarray, b: np.ndarray, images: np.ndarray, kinds: np.ndarray, count: int) -> list[int]:
    """Places of pairs to show, in the order they come: every row once, pictures and pairs of distortions in turn."""
    chosen: list[int] = []
    rows: set[int] = set()
    per_image: Counter[Any] = Counter()
    per_kind: Counter[Any] = Counter()
    # First as varied as can be; what then is missing is filled with less variety.
    for most_images, most_kinds in ((2, 2), (2, 4), (2, count), (4, count), (count, count)):
        for place, (one, other) in enumerate(zip(a.tolist(), b.tolist(), strict=True)):
            if len(chosen) >= count:
                break
            pictures = {images[one], images[other]}
            pair = frozenset((kinds[one], kinds[other]))
            if one in rows or other in rows or per_kind[pair] >= most_kinds:
                continue
            if any(per_image[picture] >= most_images for picture in pictures):
                continue
            chosen.append(place)
            rows |= {one, other}
            per_image.update(pictures)
            per_kind[pair] += 1
    return sorted(chosen)


def _without_stop(sentence: str) -> str:
    return sentence[:-1] if sentence.endswith(".") else sentence


def _check(frame: pd.DataFrame, columns: Sequence[str]) -> None:
    missing = [column for column in columns if column not in frame]
    if missing:
        raise DeconvError(
            f"The table lacks {', '.join(missing)}; it has {', '.join(map(str, frame.columns))}. Choose among these."
        )
