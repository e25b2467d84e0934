"""Does a metric agree with people? Correlations with human scores, fitted curves, intervals, significance, advice.

SRCC (Spearman) and KRCC (Kendall's tau-b) ask whether the order agrees; PLCC (Pearson) asks whether the numbers lie on
a line, raw and after a logistic curve has been fitted, because people's scales saturate at both ends. Pictures made
from one reference are alike, so intervals come from drawing whole references (contents) again, never single rows.

Sign: in tables every correlation is turned so that a positive one means that metric and people agree on what is better,
whichever way each of the two counts. The plain functions `srcc`, `krcc` and `plcc` turn nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from deconv_core.errors import DeconvError

if TYPE_CHECKING:
    import pandas as pd

    from deconv_core.direction import Direction

ALL = "all"
COLUMNS = (
    *("metric", "group", "count", "srcc", "krcc", "plcc_raw", "plcc_logistic", "rmse_logistic"),
    *("srcc_low", "srcc_high", "krcc_low", "krcc_high", "plcc_raw_low", "plcc_raw_high"),
    *("plcc_logistic4", "plcc_logistic5", "fit", "outlier_ratio", "plcc_held_out", "rmse_held_out"),
    *("contents", "metric_direction", "note"),
)
SIGNIFICANCE_COLUMNS = ("metric", "against", "group", "count", "difference", "low", "high", "p_value", "significant")
BASELINES = ("psnr", "ssim")
FEWEST = 3
# Below this many contents a bootstrap interval is a guess, and the table says so.
_FEW_CONTENTS = 5
# Differences of SRCC that are written as 0.000.
_SAME = 5e-4
_CONFIDENCE = 0.95
# A logistic that raises PLCC by less than this over the straight line is no help.
_NO_HELP = 1e-6
# Starts of a fit: slopes from a straight line (over the whole range the sigmoid rises by less than a thousandth of its
# height) to a steep rise (from 10 to 90 % within a tenth of the middle half of the rows: a steeper one would be a step
# that follows the noise between two rows), midpoints at quantiles of the metric.
_FLATTEST = 1e-3
_STEEPEST = 44.0
_SLOPES = 20
_MIDPOINTS = np.array([0, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 1])
_ROWS_IN_SEARCH = 600
_PEAKS = 12
_REFINED = 2
# Elements of a block of resamples: small enough for the processor's cache.
_BLOCK = 300_000
# Kendall's tau is resampled from all pairs of rows; beyond this many rows it gets no interval.
_MOST_ROWS_FOR_PAIRS = 20_000
# ... and from all pairs of contents.
_MOST_CONTENTS_FOR_PAIRS = 1000


# ------------------------------------------------------------------------------------------------------- correlations


def srcc(first: np.ndarray, second: np.ndarray) -> float:
    """Spearman's rank correlation: does the order agree? Ties share their mean rank.

    Args:
        first: Numbers, shape (N,); infinities rank as they should, rows with a NaN on either side are left out.
        second: Same shape.

    Returns:
        -1 to 1; NaN with fewer than two rows, or where one side has a single value.

    Example:
        >>> srcc(np.array([1, 2, 3, 4]), np.array([1, 4, 9, np.inf]))
        1.0
    """
    from scipy.stats import rankdata

    first, second = _without_missing(first, second)
    if first.size < 2:
        return float("nan")
    return _pearson(rankdata(first), rankdata(second))


def krcc(first: np.ndarray, second: np.ndarray) -> float:
    """Kendall's tau-b: of all pairs of rows, how many more are ordered alike than oppositely? Corrected for ties.

    Args:
        first: Numbers, shape (N,); infinities are ordered as they should be, rows with a NaN are left out.
        second: Same shape.

    Returns:
        -1 to 1; NaN with fewer than two rows, or where one side has a single value.

    Example:
        >>> round(krcc(np.array([1, 2, 3, 4]), np.array([1, 3, 2, 4])), 3)
        0.667
    """
    from scipy.stats import kendalltau

    first, second = _without_missing(first, second)
    if first.size < 2:
        return float("nan")
    # The p value is not used; asked for asymptotically, it costs nothing.
    return float(kendalltau(first, second, method="asymptotic").statistic)


def plcc(first: np.ndarray, second: np.ndarray) -> float:
    """Pearson's linear correlation of two arrays of finite numbers; rows with a NaN on either side are left out.

    Returns:
        -1 to 1; NaN with fewer than two rows, where one side has a single value, or with infinities (see `finite`).

    Example:
        >>> plcc(np.array([1.0, 2.0, 3.0]), np.array([30.0, 20.0, 10.0]))
        -1.0
    """
    first, second = _without_missing(first, second)
    if first.size < 2 or not (np.isfinite(first).all() and np.isfinite(second).all()):
        return float("nan")
    return _pearson(first, second)


def finite(values: np.ndarray, key: str = "") -> tuple[np.ndarray, str]:
    """Values that a linear correlation can use, and a note on what was done to the infinite ones.

    Decibels count as 100 dB at most, as everywhere here (`metrics.CAP`); infinities of anything else count as the most
    extreme finite value on their side.

    Example:
        >>> finite(np.array([30.0, np.inf]), "psnr")
        (array([ 30., 100.]), '1 infinite value counts as 100 dB for PLCC.')
    """
    from deconv_core.metrics import CAP, METRICS, capped

    values = np.asarray(values, dtype=np.float64)
    infinite = np.isinf(values)
    count = int(infinite.sum())
    if not count:
        return values, ""
    number = f"{count} infinite value{'' if count == 1 else 's'}"
    verb = "counts" if count == 1 else "count"
    if (key in METRICS and METRICS[key].unit == "dB") or "psnr" in key.lower():
        return capped(values), f"{number} {verb} as {CAP:g} dB for PLCC."
    known = values[np.isfinite(values)]
    if not known.size:
        return np.where(infinite, np.nan, values), f"{number}, and none finite: no PLCC."
    return (
        np.clip(values, known.min(), known.max()),
        f"{number} {verb} as the most extreme finite one for PLCC.",
    )


# ----------------------------------------------------------------------------------------------------------- the curve


@dataclass(frozen=True)
class Fit:
    """A curve from metric to human score.

    Attributes:
        kind: "logistic4", "logistic5" or "linear".
        parameters: b1, b2, ... in the units of the metric and the scores:
            logistic4: b1 + (b2 - b1) / (1 + exp(-b4 (x - b3))), the VQEG's, with b4 the slope and b3 the midpoint;
            logistic5: b1 (1/2 - 1 / (1 + exp(b2 (x - b3)))) + b4 x + b5, that of Sheikh, Sabir and Bovik (2006);
            linear: b1 x + b2.
        plcc: Correlation of the fitted with the human scores, never below |raw PLCC| - 1e-6.
        rmse: Root mean squared difference, in units of the human scores.
        low, high: Range of the metric that was fitted; beyond it the curve is a guess.
        monotone: Whether the curve keeps one direction over that range.
        reason: Why the line stands in for a logistic, in a sentence; "" otherwise.

    References:
        H. R. Sheikh, M. F. Sabir, A. C. Bovik (2006), A statistical evaluation of recent full reference image quality
        assessment algorithms, doi:10.1109/TIP.2006.881959. VQEG (2000), Final report from the Video Quality Experts
        Group on the validation of objective models of video quality assessment.
    """

    kind: str
    parameters: tuple[float, ...]
    plcc: float
    rmse: float
    low: float
    high: float
    monotone: bool = True
    reason: str = ""

    def predict(self, values: np.ndarray) -> np.ndarray:
        """Human scores that the curve expects for metric values, float64 of the same shape."""
        x = np.asarray(values, dtype=np.float64)
        b = self.parameters
        if self.kind == "linear":
            return b[0] * x + b[1]
        from scipy.special import expit

        if self.kind == "logistic4":
            return b[0] + (b[1] - b[0]) * expit(b[3] * (x - b[2]))
        # 1/2 - 1/(1 + e^z) = expit(z) - 1/2
        return b[0] * (expit(b[1] * (x - b[2])) - 0.5) + b[3] * x + b[4]

    def curve(self, points: int = 200) -> tuple[np.ndarray, np.ndarray]:
        """The curve over the fitted range, for plotting: metric values and human scores, each of shape (points,)."""
        x = np.linspace(self.low, self.high, points)
        return x, self.predict(x)


def fit_curve(values: np.ndarray, scores: np.ndarray, *, parameters: int = 5) -> Fit:
    """Fit a logistic curve from metric to human score by least squares; the straight line where it cannot help.

    Both sides are z-scored first, so a metric of scale 1e-4 or one where lower is better is no special case. For any
    slope and midpoint the best of the remaining parameters follow in closed form (variable projection), which leaves
    two to search: from a grid of starts that reaches from the straight line to a step, the best ones are refined.

    Args:
        values: Metric, finite, shape (N,); rows with a NaN on either side are left out.
        scores: Human scores, same shape.
        parameters: 4 or 5; see `Fit`.

    Returns:
        A `Fit`; with fewer rows than parameters plus one, or a single value on either side, the line and a reason.

    Raises:
        DeconvError: Another number of parameters, fewer than 3 rows, or infinite values.

    Example:
        >>> x = np.linspace(0, 1, 50)
        >>> fit = fit_curve(x, 1 / (1 + np.exp(-20 * (x - 0.4))))
        >>> fit.kind, round(fit.plcc, 6)
        ('logistic5', 1.0)
    """
    if parameters not in (4, 5):
        raise DeconvError(f"parameters got {parameters}; choose 4 or 5.")
    return _fits(values, scores, (parameters,))[0]


def best_curve(values: np.ndarray, scores: np.ndarray) -> tuple[Fit, Fit, Fit]:
    """The curve to use, and the 4- and the 5-parameter fit it was chosen from (see `fit_curve`).

    The 5-parameter curve is used where it keeps one direction over the data, else the 4-parameter one, which always
    does: a mapping that calls the better metric value worse is none.
    """
    four, five = _fits(values, scores, (4, 5))
    if five.monotone:
        return five, four, five
    reason = "The 5-parameter curve turns back within the data, so the 4-parameter fit is used."
    return replace(four, reason=f"{reason} {four.reason}".strip()), four, five


def _fits(values: np.ndarray, scores: np.ndarray, asked: Sequence[int]) -> list[Fit]:
    """Fits with 4 or 5 parameters, each the straight line where it cannot help."""
    x, y = _without_missing(values, scores)
    if x.size < FEWEST:
        raise DeconvError(f"A curve needs {FEWEST} rows with metric and human score; got {x.size}.")
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise DeconvError("A curve needs finite values; got infinite ones. Cap them first (see agreement.finite).")
    line = _fit_line(x, y)
    if np.isnan(line.plcc):
        return [line for _ in asked]
    found = []
    mean, spread = x.mean(), x.std()
    z = (x - mean) / spread
    four = None
    for parameters in asked:
        if x.size <= parameters:
            why = f"{x.size} rows are too few for {parameters} parameters; the straight line is given."
            found.append(replace(line, reason=why))
            continue
        four = four or _search(z, y, 4)
        # Starting from the four parameters' best, five are never worse.
        slope, midpoint = four if parameters == 4 else _search(z, y, 5, also=[four])
        fit = _assemble(x, y, mean, spread, slope, midpoint, parameters)
        # Written so that a NaN is no help either.
        if not fit.plcc > line.plcc + _NO_HELP:
            why = f"The {parameters}-parameter logistic does no better than the straight line, which is given."
            fit = replace(line, reason=why)
        found.append(fit)
    return found


def _fit_line(x: np.ndarray, y: np.ndarray) -> Fit:
    raw = _pearson(x, y)
    if np.isnan(raw):
        side = "metric" if np.ptp(x) == 0 else "human score"
        reason = f"The {side} has one value only; no curve can be fitted."
        return _fit("linear", (0.0, float(y.mean())), x, y, reason)
    slope = raw * y.std() / x.std()
    return _fit("linear", (slope, y.mean() - slope * x.mean()), x, y)


def _fit(kind: str, parameters: Sequence[float], x: np.ndarray, y: np.ndarray, reason: str = "") -> Fit:
    numbers = tuple(float(number) for number in parameters)
    fit = Fit(kind, numbers, float("nan"), float("nan"), float(x.min()), float(x.max()), reason=reason)
    predicted = fit.predict(x)
    steps = np.diff(fit.predict(np.unique(np.concatenate([x, np.linspace(fit.low, fit.high, 1000)]))))
    # Rounding may turn a flat stretch back by a hair.
    hair = 1e-9 * max(np.ptp(predicted), 1e-300)
    return replace(
        fit,
        plcc=_pearson(predicted, y),
        rmse=float(np.sqrt(np.mean((predicted - y) ** 2))),
        monotone=bool((steps >= -hair).all() or (steps <= hair).all()),
    )


class _Projection:
    """What is left of the scores when, for one slope and midpoint, all other parameters are at their best."""

    def __init__(self, z: np.ndarray, y: np.ndarray, parameters: int):
        self.z = z
        self.five = parameters == 5
        self.norm = float(z @ z)
        # A sigmoid whose own part is shorter than this is a constant (or a line) and its rounding.
        self.nothing = z.size * (1e-20 if not self.five else 1e-24)
        self.rising = np.sign(z @ (y - y.mean())) or 1.0
        self.y = self._rest(_standard(y))

    def _rest(self, column: np.ndarray) -> np.ndarray:
        """The part of the column (shape (..., N)) that a constant, and for five parameters a line, cannot explain."""
        rest = column - column.mean(axis=-1, keepdims=True)
        return rest - (rest @ self.z / self.norm)[..., None] * self.z if self.five else rest

    def gains(self, slopes: np.ndarray, midpoints: np.ndarray) -> np.ndarray:
        """How much of the scores' squared length the sigmoid explains, for each pair of slope and midpoint."""
        from scipy.special import expit

        rest = self._rest(expit(slopes[:, None] * (self.z - midpoints[:, None])))
        inner = rest @ self.y
        if not self.five:
            inner = np.maximum(inner * self.rising, 0)  # four parameters: never against the metric's own direction
        length = np.einsum("kn,kn->k", rest, rest)
        usable = length > self.nothing
        return np.where(usable, inner**2 / np.where(usable, length, 1), 0)

    def residual(self, theta: np.ndarray) -> np.ndarray:
        """Scores minus their best explanation; theta is (log slope, midpoint)."""
        _, rest, amplitude = self._explain(theta)
        return self.y - amplitude * rest

    def jacobian(self, theta: np.ndarray) -> np.ndarray:
        """Derivatives of the residual, (N, 2), without the change of the amplitude (Kaufman 1975, BIT 15)."""
        sigmoid, rest, amplitude = self._explain(theta)
        slope = np.exp(theta[0])
        bell = slope * sigmoid * (1 - sigmoid)
        changes = self._rest(np.stack([bell * (self.z - theta[1]), -bell]))
        unit = rest / (np.sqrt(rest @ rest) or 1.0)
        return (-amplitude * (changes - (changes @ unit)[:, None] * unit)).T

    def _explain(self, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
        from scipy.special import expit

        sigmoid = expit(np.exp(theta[0]) * (self.z - theta[1]))
        rest = self._rest(sigmoid)
        length, inner = rest @ rest, rest @ self.y
        against = not self.five and inner * self.rising < 0
        return sigmoid, rest, 0.0 if against or length <= self.nothing else float(inner / length)


def _search(
    z: np.ndarray, y: np.ndarray, parameters: int, also: Sequence[tuple[float, float]] = ()
) -> tuple[float, float]:
    """Slope and midpoint (both for z-scored values) of the best sigmoid found; `also` holds further starts."""
    from scipy.optimize import least_squares

    few = np.arange(z.size)
    if z.size > _ROWS_IN_SEARCH:  # rows at even steps in order of the metric are enough to find where to start
        few = np.argsort(z, kind="stable")[np.linspace(0, z.size - 1, _ROWS_IN_SEARCH).astype(int)]
    reach, middle_half = np.ptp(z), np.subtract(*np.quantile(z, [0.75, 0.25]))
    steps = np.geomspace(min(_FLATTEST / reach, 1e-3), _STEEPEST / max(middle_half, 1e-4 * reach), _SLOPES)
    slopes, midpoints = (grid.ravel() for grid in np.meshgrid(steps, np.quantile(z, _MIDPOINTS), indexing="ij"))
    centre, scale = z[few].mean(), z[few].std() or 1.0
    coarse = _Projection((z[few] - centre) / scale, y[few], parameters)
    places = _peaks(coarse.gains(slopes * scale, (midpoints - centre) / scale).reshape(_SLOPES, -1))
    table = np.array([*also, *((slopes[place], midpoints[place]) for place in places)])
    table[:, 0] = np.log(table[:, 0])
    full = _Projection(z, y, parameters)
    gains = full.gains(np.exp(table[:, 0]), table[:, 1])
    starts = table[np.argsort(-gains, kind="stable")[:_REFINED]]
    low = np.array([np.log(steps[0]), z.min() - 2 * reach])
    high = np.array([np.log(steps[-1]), z.max() + 2 * reach])
    options = {"jac": full.jacobian, "bounds": (low, high), "max_nfev": 60, "ftol": 1e-12, "xtol": 1e-9, "gtol": 1e-12}
    ends = [least_squares(full.residual, np.clip(start, low, high), **options).x for start in starts]
    table = np.concatenate([table, ends])
    best = table[int(np.argmax(full.gains(np.exp(table[:, 0]), table[:, 1])))]
    return float(np.exp(best[0])), float(best[1])


def _peaks(gains: np.ndarray) -> list[int]:
    """Places of the grid that no neighbour beats, best first, and the best straight line (the first slope)."""
    padded = np.pad(gains, 1, constant_values=-1)
    height, width = gains.shape
    around = [padded[i : i + height, j : j + width] for i in range(3) for j in range(3) if (i, j) != (1, 1)]
    top = np.flatnonzero((gains >= np.max(around, axis=0)).ravel())
    top = top[np.argsort(-gains.ravel()[top], kind="stable")]
    _, first = np.unique(gains.ravel()[top], return_index=True)  # a plateau counts once
    return list(dict.fromkeys([*(int(top[place]) for place in sorted(first)[:_PEAKS]), int(np.argmax(gains[0]))]))


def _assemble(
    x: np.ndarray, y: np.ndarray, mean: float, spread: float, slope: float, midpoint: float, parameters: int
) -> Fit:
    """Solve for the linear parameters and bring everything back to the units of metric and scores."""
    from scipy.special import expit

    z = (x - mean) / spread
    sigmoid = expit(slope * (z - midpoint))
    # A column of tiny spread (a very gentle slope) is scaled up, or the solver drops it.
    centre, size = sigmoid.mean(), sigmoid.std() or 1.0
    columns = [np.ones_like(z), (sigmoid - centre) / size] + ([z] if parameters == 5 else [])
    solution, *_ = np.linalg.lstsq(np.stack(columns, axis=1), y, rcond=1e-13)
    amplitude = solution[1] / size
    base = solution[0] - amplitude * centre
    steep, middle = slope / spread, mean + midpoint * spread
    if parameters == 4:
        return _fit("logistic4", (base, base + amplitude, middle, steep), x, y)
    gentle = solution[2] / spread
    return _fit("logistic5", (amplitude, steep, middle, gentle, base + amplitude / 2 - gentle * mean), x, y)


def _standard(values: np.ndarray) -> np.ndarray:
    return (values - values.mean()) / (values.std() or 1.0)


# ---------------------------------------------------------------------------------------------------------- resampling


@dataclass(frozen=True)
class Resamples:
    """Correlations of many metrics with the human scores over resamples of the contents.

    Attributes:
        srcc, krcc, plcc: metric -> float64 (resamples,), NaN where a resample has a single value. The resamples are
            the same for every metric, so differences of two metrics are paired. Too many rows for tau-b: all NaN.
    """

    srcc: dict[str, np.ndarray]
    krcc: dict[str, np.ndarray]
    plcc: dict[str, np.ndarray]


def resample(
    metrics: Mapping[str, np.ndarray],
    scores: np.ndarray,
    contents: np.ndarray,
    *,
    resamples: int = 1000,
    seed: int = 0,
    kendall: bool = True,
) -> Resamples:
    """Bootstrap by content: draw as many contents as there are, with replacement, each with all of its rows.

    Exact for every resample, ties included: a resample is a weight per row, ranks follow from cumulated weights, and
    Pearson's and Kendall's coefficients from sums over contents and over pairs of contents.

    Args:
        metrics: Name -> values of shape (N,), without NaN; infinities are ranked, and capped for PLCC (see `finite`).
        scores: Human scores, shape (N,), finite.
        contents: Which content each row shows, shape (N,), any values that can be compared.
        resamples: How many.
        seed: Decides the draws, whatever metrics are asked for.
        kendall: Whether to resample tau-b as well, whose cost grows with the square of the rows.
    """
    names = list(metrics)
    _, content = np.unique(np.asarray(contents), return_inverse=True)
    number = int(content.max()) + 1
    # Rows of one content side by side: sums over contents are then sums over stretches.
    order = np.argsort(content, kind="stable")
    content, y = content[order], np.asarray(scores, np.float64)[order]
    columns = {name: np.asarray(metrics[name], np.float64)[order] for name in names}
    counts = _draws(number, resamples, seed)
    ranks = {name: np.empty(resamples) for name in names}
    places = {name: _places(column) for name, column in columns.items()}
    y_places = _places(y)
    block = max(1, _BLOCK // y.size)
    for start in range(0, resamples, block):
        weights = counts[start : start + block].take(content, axis=1)
        total = weights.sum(axis=1)
        y_rank = _weighted_ranks(weights, y_places)
        y_rank -= (np.einsum("bn,bn->b", weights, y_rank) / total)[:, None]
        weighted = weights * y_rank
        y_length = np.einsum("bn,bn->b", weighted, y_rank)
        for name in names:
            x_rank = _weighted_ranks(weights, places[name])
            together = np.einsum("bn,bn->b", weighted, x_rank)
            mean = np.einsum("bn,bn->b", weights, x_rank) / total
            np.multiply(x_rank, x_rank, out=x_rank)
            x_length = np.einsum("bn,bn->b", weights, x_rank) - total * mean**2
            ranks[name][start : start + block] = _ratio(together, x_length, y_length, y.size**3 * 1e-12)
    starts = np.flatnonzero(np.diff(content, prepend=-1))
    linear = {name: _resampled_pearson(finite(values, name)[0], y, starts, counts) for name, values in columns.items()}
    if kendall and y.size <= _MOST_ROWS_FOR_PAIRS and number <= _MOST_CONTENTS_FOR_PAIRS:
        tau = _resampled_kendall(columns, y, starts, counts)
    else:
        tau = {name: np.full(resamples, np.nan) for name in names}
    return Resamples(ranks, tau, linear)


def resample_pairs(
    metrics: Mapping[str, np.ndarray], contents: np.ndarray, *, resamples: int = 200, seed: int = 0
) -> dict[str, np.ndarray]:
    """`resample` for every metric against every other at once, from the same draws.

    Args:
        metrics: As for `resample`, M of them.
        contents: As for `resample`.
        resamples: How many.
        seed: Decides the draws.

    Returns:
        "srcc", "krcc" and "plcc" -> float64 (resamples, M, M), symmetric, in the order of `metrics`; NaN where a
        resample has a single value. Too many rows for tau-b: all NaN.
    """
    from scipy.stats import rankdata

    _, content = np.unique(np.asarray(contents), return_inverse=True)
    number = int(content.max()) + 1
    order = np.argsort(content, kind="stable")
    content = content[order]
    columns = {name: np.asarray(values, np.float64)[order] for name, values in metrics.items()}
    counts = _draws(number, resamples, seed)
    rows, width = content.size, len(columns)
    places = [_places(column) for column in columns.values()]
    products = np.empty((resamples, width, width))
    block = max(1, _BLOCK // rows)
    for start in range(0, resamples, block):
        weights = counts[start : start + block].take(content, axis=1)
        ranks = np.stack([_weighted_ranks(weights, place) for place in places], axis=1)
        means = np.einsum("bmn,bn->bm", ranks, weights) / weights.sum(axis=1)[:, None]
        ranks -= means[..., None]
        products[start : start + block] = (ranks * weights[:, None]) @ ranks.transpose(0, 2, 1)
    starts = np.flatnonzero(np.diff(content, prepend=-1))
    found = {"srcc": _correlation_matrices(products, rows**3 * 1e-12)}

    values = np.stack([finite(column, name)[0] for name, column in columns.items()])
    bad = ~np.isfinite(values).all(axis=1)
    values = np.stack([np.zeros(rows) if unfit else _standard(row) for row, unfit in zip(values, bad, strict=True)])
    ends = np.append(starts[1:], rows)
    parts = [values[:, begin:end] for begin, end in zip(starts, ends, strict=True)]
    sums = counts @ np.stack([part.sum(axis=1) for part in parts])
    squares = np.einsum("bc,cmk->bmk", counts, np.stack([part @ part.T for part in parts]), optimize=True)
    total = (counts @ (ends - starts))[:, None, None]
    found["plcc"] = _correlation_matrices(squares - sums[:, :, None] * sums[:, None, :] / total, rows * 1e-12)

    signs = np.zeros((resamples, width, width))
    if rows <= _MOST_ROWS_FOR_PAIRS and number <= _MOST_CONTENTS_FOR_PAIRS:
        dense = np.stack([rankdata(column, method="dense").astype(np.int32) for column in columns.values()])
        for place, (begin, end) in enumerate(zip(starts, ends, strict=True)):
            # Sums of at most a few million ones and minus ones: float32 holds them exactly.
            ordered = np.sign(dense[:, begin:end, None] - dense[:, None, :]).astype(np.float32)
            against = np.stack(
                [
                    (part := ordered[:, :, first:last].reshape(width, -1)) @ part.T
                    for first, last in zip(starts, ends, strict=True)
                ]
            )
            drawn = (counts @ against.reshape(number, -1).astype(np.float64)).reshape(resamples, width, width)
            signs += counts[:, place, None, None] * drawn
    found["krcc"] = _correlation_matrices(signs, 0.5)
    return found


def _correlation_matrices(products: np.ndarray, nothing: float) -> np.ndarray:
    """Inner products of M columns (B, M, M) divided by their lengths."""
    lengths = np.einsum("bmm->bm", products)
    return _ratio(products, lengths[:, :, None], lengths[:, None, :], nothing)


def interval(values: np.ndarray, confidence: float = _CONFIDENCE) -> tuple[float, float]:
    """Percentile interval of resampled values; NaN where fewer than half of the resamples gave a value."""
    known = values[np.isfinite(values)]
    if known.size * 2 < values.size or not known.size:
        return float("nan"), float("nan")
    low, high = np.quantile(known, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def wilson(share: float, count: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share (E. B. Wilson 1927, doi:10.1080/01621459.1927.10502953).

    Args:
        share: What was found, 0 to 1.
        count: Of how many, 1 or more.

    Example:
        >>> [round(end, 3) for end in wilson(0.5, 10)]
        [0.237, 0.763]
    """
    z = 1.959963984540054
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * np.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    return max(0.0, float(middle - half)), min(1.0, float(middle + half))


def p_value(differences: np.ndarray) -> float:
    """Two-sided p of "no difference" from resampled differences: twice the smaller side of zero, at least 1/(B + 1)."""
    known = differences[np.isfinite(differences)]
    if not known.size:
        return float("nan")
    smaller = min((known <= 0).sum(), (known >= 0).sum())
    return float(min(1.0, 2 * (smaller + 1) / (known.size + 1)))


def _draws(contents: int, resamples: int, seed: int) -> np.ndarray:
    """How often each content is drawn in each resample: float64 (resamples, contents), rows sum to contents."""
    drawn = np.random.default_rng(seed).integers(contents, size=(resamples, contents))
    drawn += np.arange(resamples)[:, None] * contents
    counts = np.bincount(drawn.ravel(), minlength=resamples * contents)
    return counts.reshape(resamples, contents).astype(np.float64)


def _places(column: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The order of a column and, for each row, where its stretch of equal values begins and ends in that order."""
    order = np.argsort(column, kind="stable")
    ordered = column[order]
    first = np.searchsorted(ordered, column, side="left")
    last = np.searchsorted(ordered, column, side="right")
    return order, first, last


def _weighted_ranks(weights: np.ndarray, places: tuple[np.ndarray, np.ndarray, np.ndarray]) -> np.ndarray:
    """Mean ranks less one half, (resamples, N), as if every row were there as many times as its weight says."""
    order, first, last = places
    below = np.zeros((weights.shape[0], weights.shape[1] + 1))
    np.cumsum(weights.take(order, axis=1), axis=1, out=below[:, 1:])
    ranks = below.take(first, axis=1)
    ranks += below.take(last, axis=1)
    ranks *= 0.5
    return ranks


def _ratio(together: np.ndarray, first: np.ndarray, second: np.ndarray, nothing: float) -> np.ndarray:
    usable = (first > nothing) & (second > nothing)
    lengths = np.sqrt(np.where(usable, first, 1) * np.where(usable, second, 1))
    return np.where(usable, np.clip(together / lengths, -1, 1), np.nan)


def _resampled_pearson(x: np.ndarray, y: np.ndarray, starts: np.ndarray, counts: np.ndarray) -> np.ndarray:
    if not np.isfinite(x).all():
        return np.full(len(counts), np.nan)
    x, y = _standard(x), _standard(y)
    parts = np.stack([np.ones_like(x), x, y, x * x, y * y, x * y])
    total, sx, sy, sxx, syy, sxy = (counts @ np.add.reduceat(parts, starts, axis=1).T).T
    return _ratio(sxy - sx * sy / total, sxx - sx**2 / total, syy - sy**2 / total, x.size * 1e-12)


def _resampled_kendall(
    columns: Mapping[str, np.ndarray], y: np.ndarray, starts: np.ndarray, counts: np.ndarray
) -> dict[str, np.ndarray]:
    """tau-b of a resample is a ratio of quadratic forms in the drawn counts, one sum per pair of contents."""
    from scipy.stats import rankdata

    # Whole numbers: infinities can be compared but not subtracted.
    ranks = {name: rankdata(column, method="dense").astype(np.int32) for name, column in columns.items()}
    y_ranks = rankdata(y, method="dense").astype(np.int32)
    number = len(starts)
    concordant = {name: np.empty((number, number)) for name in columns}
    untied = {name: np.empty((number, number)) for name in columns}
    y_untied = np.empty((number, number))
    ends = np.append(starts[1:], y.size)
    for place, (begin, end) in enumerate(zip(starts, ends, strict=True)):
        y_signs = _signs(y_ranks, begin, end)
        y_untied[place] = _per_content(np.abs(y_signs), starts)
        for name, column in ranks.items():
            signs = _signs(column, begin, end)
            concordant[name][place] = _per_content(signs * y_signs, starts)
            untied[name][place] = _per_content(np.abs(signs), starts)

    def form(matrix: np.ndarray) -> np.ndarray:
        return np.einsum("bk,bk->b", counts @ matrix, counts)

    y_length = form(y_untied)
    return {name: _ratio(form(concordant[name]), form(untied[name]), y_length, 0.5) for name in columns}


def _signs(ranks: np.ndarray, begin: int, end: int) -> np.ndarray:
    """Sign of every difference between the rows of one content and all rows: int8 (rows of the content, N)."""
    return np.sign(ranks[begin:end, None] - ranks, dtype=np.int32).astype(np.int8)


def _per_content(signs: np.ndarray, starts: np.ndarray) -> np.ndarray:
    return np.add.reduceat(signs.sum(axis=0, dtype=np.int32), starts)


# --------------------------------------------------------------------------------------------- held-out contents


@dataclass(frozen=True)
class HeldOut:
    """How well curves fitted on some contents predict the human scores of others.

    Attributes:
        predicted: Predicted human score of every row, float64 (N,); NaN where nothing could be fitted.
        folds: One row per fold: `fold`, `contents`, `count`, `srcc`, `plcc`, `rmse`, of predicted and human scores.
    """

    predicted: np.ndarray
    folds: pd.DataFrame


def content_folds(contents: np.ndarray, folds: int = 10, seed: int = 0) -> np.ndarray:
    """Split rows into folds so that no content is in two of them: int64 (N,), 0 .. folds - 1.

    With no more contents than folds, every content is a fold of its own; otherwise contents are dealt out by chance,
    the largest first, each to the fold that has the fewest rows.
    """
    names, content, sizes = np.unique(np.asarray(contents), return_inverse=True, return_counts=True)
    if len(names) <= folds:
        return content.astype(np.int64)
    order = np.random.default_rng(seed).permutation(len(names))
    order = order[np.argsort(-sizes[order], kind="stable")]
    filled = np.zeros(folds, dtype=np.int64)
    fold_of = np.empty(len(names), dtype=np.int64)
    for place in order:
        fold_of[place] = int(np.argmin(filled))
        filled[fold_of[place]] += sizes[place]
    return fold_of[content]


def leave_content_out(
    values: np.ndarray, scores: np.ndarray, contents: np.ndarray, *, folds: int = 10, seed: int = 0
) -> HeldOut:
    """Fit the curve without some contents and predict them, until every row has been predicted once.

    Args:
        values: Metric, finite, shape (N,).
        scores: Human scores, finite, same shape.
        contents: Which content each row shows, same shape.
        folds: At most this many fits.
        seed: Decides which contents share a fold.
    """
    import pandas as pd

    fold = content_folds(contents, folds, seed)
    predicted = np.full(len(values), np.nan)
    rows = []
    contents = np.asarray(contents)
    for number in np.unique(fold):
        test = fold == number
        if (~test).sum() >= FEWEST:
            predicted[test] = best_curve(values[~test], scores[~test])[0].predict(values[test])
        mine, theirs = predicted[test], scores[test]
        error = float(np.sqrt(np.mean((mine - theirs) ** 2)))
        number_of_contents = len(np.unique(contents[test]))
        rows.append((int(number), number_of_contents, int(test.sum()), srcc(mine, theirs), plcc(mine, theirs), error))
    return HeldOut(predicted, pd.DataFrame(rows, columns=["fold", "contents", "count", "srcc", "plcc", "rmse"]))


# ------------------------------------------------------------------------------------------------------ the whole table


@dataclass(frozen=True)
class Agreement:
    """What metrics and people have in common.

    Attributes:
        table: One row per group and metric, columns `COLUMNS`, group "all" first. Correlations are positive where
            metric and people agree on what is better. `outlier_ratio` is the share of rows whose distance from the
            curve exceeds twice the standard deviation given for the row's score, or, where none is given, twice the
            standard deviation of all distances. `plcc_held_out` and `rmse_held_out` are for contents the curve has not
            seen. Rows with too little to compute hold NaN and say why in `note`.
        significance: One row per group, metric and metric `against` it: difference of SRCC with its 95 % interval and
            the two-sided p value of a paired bootstrap by content; p values are not corrected for their number.
        fits: (metric, group) -> the curve behind `plcc_logistic` and `rmse_logistic`.
        held_out: Metric -> fold by fold numbers over all rows.
        direction: Which way the human scores count.
        notes: Sentences on what was left out, guessed or doubtful.
        settings: What is needed to compute it again: seed, resamples, confidence, folds, columns.
    """

    table: pd.DataFrame
    significance: pd.DataFrame
    fits: dict[tuple[str, str], Fit]
    held_out: dict[str, pd.DataFrame]
    direction: Direction
    notes: tuple[str, ...]
    settings: dict[str, Any]


def agreement(
    frame: pd.DataFrame,
    scores: str,
    metrics: Sequence[str],
    *,
    group: str | None = None,
    content: str | None = None,
    std: str | None = None,
    higher_is_better: bool | None = None,
    known_direction: Direction | None = None,
    resamples: int = 1000,
    folds: int = 10,
    seed: int = 0,
) -> Agreement:
    """Compare metrics with human scores, over all rows and per group.

    Args:
        frame: One row per picture.
        scores: Column of human scores; rows without one take no part.
        metrics: Columns of metrics; a row without a value takes no part in that metric alone. Infinities are ranked,
            and capped for PLCC (see `finite`).
        group: Column to split by, for example the kind of distortion.
        content: Column that names the reference of each row; without it every row is a content of its own.
        std: Column with the standard deviation of each human score, for the outlier ratio.
        higher_is_better: Direction of the human scores where the user states it.
        known_direction: Direction as the data set documents it.
        resamples: For the intervals; 0 for none.
        folds: For predictions of held-out contents; 0 for none.
        seed: Decides resamples and folds.

    Raises:
        DeconvError: A column is missing, appears twice or holds no numbers; no row has a human score.
    """
    import pandas as pd

    from deconv_core.direction import detect_direction, direction_words, metric_direction

    metrics = list(dict.fromkeys(metrics))
    if not metrics:
        raise DeconvError("No metric to compare was named; give at least one column of numbers.")
    numbers = {name: _numbers(frame, name) for name in [scores, *metrics, *([std] if std else [])]}
    for name in filter(None, (group, content)):
        _check_column(frame, name)
    rated = np.isfinite(numbers[scores])
    notes = []
    if not rated.any():
        raise DeconvError(f"Column '{scores}' holds no human score; choose another column.")
    if not rated.all():
        notes.append(f"{int((~rated).sum())} of {rated.size} rows have no human score and take no part.")
    numbers = {name: column[rated] for name, column in numbers.items()}
    y = numbers[scores]
    contents = _labels(frame[content], rated) if content else np.arange(y.size)
    if content and (unnamed := int((contents == "").sum())):
        notes.append(f"{unnamed} rows name no reference; they count as one content.")
    if not content and resamples:
        notes.append("No column names the references, so intervals draw single rows and may be too narrow.")
    direction = detect_direction(
        scores, y, {name: numbers[name] for name in metrics}, given=higher_is_better, known=known_direction
    )
    if direction.contradiction:
        notes.append(direction.contradiction)

    signs, words = {}, {}
    for name in metrics:
        better = metric_direction(name)
        guessed = better is None
        if guessed:
            found = srcc(numbers[name], y) * direction.sign
            better = None if np.isnan(found) else found >= 0
        signs[name] = direction.sign * (-1.0 if better is False else 1.0)
        words[name] = direction_words(better) + (", guessed from the scores" if guessed and better is not None else "")

    parts = [(ALL, np.ones(y.size, dtype=bool))]
    if group:
        labels = _labels(frame[group], rated)
        # A group that has the name of the whole keeps apart from it.
        parts += [(f"{label} (group)" if label == ALL else label, labels == label) for label in _natural(labels)]
    table, significance, fits, held_out = [], [], {}, {}
    for label, inside in parts:
        columns = {name: numbers[name][inside] for name in metrics}
        spread = numbers[std][inside] if std else None
        rows, curves = _part(columns, y[inside], contents[inside], spread, signs, warn_of_few=resamples > 0)
        if resamples:
            resampled = _resampled(columns, y[inside], contents[inside], resamples, seed)
            _write_intervals(rows, resampled, signs)
            tested = _differences(columns, y[inside], contents[inside], rows, resampled, signs, resamples, seed)
            significance += [row | {"group": label} for row in tested]
        for name, row in rows.items():
            table.append(row | {"metric": name, "group": label, "metric_direction": words[name]})
            if name in curves:
                fits[name, label] = curves[name]
        if label == ALL and folds:
            for name in curves:
                known = ~np.isnan(columns[name])
                if rows[name]["contents"] < 2:
                    continue
                values = finite(columns[name], name)[0][known]
                left = leave_content_out(values, y[known], contents[known], folds=folds, seed=seed)
                held_out[name] = left.folds
                if np.isfinite(left.predicted).any():
                    place = next(row for row in table if row["metric"] == name)
                    place["plcc_held_out"] = plcc(left.predicted, y[known])
                    place["rmse_held_out"] = float(np.sqrt(np.nanmean((left.predicted - y[known]) ** 2)))
    settings = {
        "scores": scores,
        "metrics": metrics,
        "group": group,
        "content": content,
        "std": std,
        "resamples": resamples,
        "confidence": _CONFIDENCE,
        "folds": folds,
        "seed": seed,
    }
    return Agreement(
        pd.DataFrame(table, columns=list(COLUMNS)),
        pd.DataFrame(significance, columns=list(SIGNIFICANCE_COLUMNS)),
        fits,
        held_out,
        direction,
        tuple(notes),
        settings,
    )


def _part(
    columns: Mapping[str, np.ndarray],
    y: np.ndarray,
    contents: np.ndarray,
    spread: np.ndarray | None,
    signs: Mapping[str, float],
    *,
    warn_of_few: bool,
) -> tuple[dict[str, dict[str, Any]], dict[str, Fit]]:
    """The table's rows of one group, and the curves."""
    rows, fits = {}, {}
    for name, column in columns.items():
        known = ~np.isnan(column)
        values, theirs = column[known], y[known]
        row = dict.fromkeys(COLUMNS, float("nan")) | {"fit": "", "note": "", "count": int(known.sum())}
        row["contents"] = len(np.unique(contents[known]))
        rows[name] = row
        if known.sum() < FEWEST:
            row["note"] = f"Only {int(known.sum())} rows have both numbers; {FEWEST} are needed."
            continue
        linear, note = finite(values, name)
        row["srcc"] = signs[name] * srcc(values, theirs)
        row["krcc"] = signs[name] * krcc(values, theirs)
        row["plcc_raw"] = signs[name] * plcc(linear, theirs)
        notes = [note]
        if np.isfinite(linear).all():
            fit, four, five = best_curve(linear, theirs)
            fits[name] = fit
            notes.append(fit.reason)
            errors = fit.predict(linear) - theirs
            limit = 2 * (np.full(errors.shape, errors.std()) if spread is None else spread[known])
            judged = np.isfinite(limit)
            row |= {"plcc_logistic": fit.plcc, "rmse_logistic": fit.rmse, "fit": fit.kind}
            row |= {"plcc_logistic4": four.plcc, "plcc_logistic5": five.plcc}
            if judged.any():
                row["outlier_ratio"] = float((np.abs(errors) > limit)[judged].mean())
        if warn_of_few and row["contents"] < _FEW_CONTENTS:
            notes.append(f"{row['contents']} contents are too few for an interval to be relied on.")
        row["note"] = " ".join(filter(None, notes))
    return rows, fits


def _resampled(
    columns: Mapping[str, np.ndarray], y: np.ndarray, contents: np.ndarray, resamples: int, seed: int
) -> list[tuple[list[str], np.ndarray, Resamples]]:
    """Resamples of all metrics; those with the same rows together: (names, rows, resamples)."""
    alike: dict[bytes, list[str]] = {}
    for name, column in columns.items():
        alike.setdefault(np.isnan(column).tobytes(), []).append(name)
    found = []
    for names in alike.values():
        known = ~np.isnan(columns[names[0]])
        if known.sum() >= FEWEST and len(np.unique(contents[known])) > 1:
            values = {name: columns[name][known] for name in names}
            drawn = resample(values, y[known], contents[known], resamples=resamples, seed=seed)
            found.append((names, known, drawn))
    return found


def _write_intervals(
    rows: Mapping[str, dict[str, Any]],
    resampled: list[tuple[list[str], np.ndarray, Resamples]],
    signs: Mapping[str, float],
) -> None:
    for names, _, drawn in resampled:
        for name in names:
            for column, values in (("srcc", drawn.srcc), ("krcc", drawn.krcc), ("plcc_raw", drawn.plcc)):
                low, high = interval(signs[name] * values[name])
                rows[name] |= {f"{column}_low": low, f"{column}_high": high}


def _differences(
    columns: Mapping[str, np.ndarray],
    y: np.ndarray,
    contents: np.ndarray,
    rows: Mapping[str, dict[str, Any]],
    resampled: list[tuple[list[str], np.ndarray, Resamples]],
    signs: Mapping[str, float],
    resamples: int,
    seed: int,
) -> list[dict[str, Any]]:
    """Each metric against PSNR, SSIM and the best of all, on the rows that both have."""
    usable = [name for name in columns if np.isfinite(rows[name]["srcc"])]
    if not usable:
        return []
    best = max(usable, key=lambda name: rows[name]["srcc"])
    found = []
    for against in dict.fromkeys([*(name for name in usable if _plain(name) in BASELINES), best]):
        for name in usable:
            if name == against:
                continue
            common = ~(np.isnan(columns[name]) | np.isnan(columns[against]))
            drawn = next((one for names, _, one in resampled if name in names and against in names), None)
            if drawn is None:
                if common.sum() < FEWEST or len(np.unique(contents[common])) < 2:
                    continue
                both = {key: columns[key][common] for key in (name, against)}
                drawn = resample(both, y[common], contents[common], resamples=resamples, seed=seed, kendall=False)
            mine, other = (signs[key] * srcc(columns[key][common], y[common]) for key in (name, against))
            differences = signs[name] * drawn.srcc[name] - signs[against] * drawn.srcc[against]
            low, high = interval(differences)
            p = p_value(differences)
            row = {"metric": name, "against": against, "count": int(common.sum()), "difference": mine - other}
            found.append(row | {"low": low, "high": high, "p_value": p, "significant": p < 1 - _CONFIDENCE})
    return found


# --------------------------------------------------------------------------------------------------------------- words


def as_text(found: Agreement) -> str:
    """The table for a terminal: correlations to three digits, intervals beside SRCC, notes below."""
    table = found.table
    width = max([6, *(len(str(name)) for name in table["metric"])])
    wide = max([5, *(len(str(name)) for name in table["group"])])
    heads = ["metric".ljust(width), "group".ljust(wide), "count".rjust(6), "SRCC".rjust(6), "95 % interval".rjust(15)]
    heads += ["KRCC".rjust(6), "PLCC raw".rjust(8), "fitted".rjust(6), "RMSE".rjust(8), "outliers".rjust(8), "curve"]
    lines = [f"Human scores: {found.direction.words}. {found.direction.why}", "  ".join(heads)]
    for row in table.to_dict("records"):
        low, high = row["srcc_low"], row["srcc_high"]
        span = "-" if np.isnan(low) else f"{low:.3f} to {high:.3f}"
        cells = [str(row["metric"]).ljust(width), str(row["group"]).ljust(wide), f"{row['count']:6d}"]
        cells += [_digits(row["srcc"], 6), span.rjust(15), _digits(row["krcc"], 6), _digits(row["plcc_raw"], 8)]
        cells += [_digits(row["plcc_logistic"], 6), _short(row["rmse_logistic"]).rjust(8)]
        cells += [_digits(row["outlier_ratio"], 8), row["fit"] or "-"]
        lines.append("  ".join(cells))
    overall = found.significance[found.significance["group"] == ALL]
    shown = set()
    for row in overall[overall["against"].map(_plain).isin(BASELINES)].to_dict("records"):
        pair = frozenset((row["metric"], row["against"]))
        if pair in shown:
            continue
        shown.add(pair)
        lines.append(f"{row['metric']} against {row['against']}: SRCC {_difference(row)}.")
    for row in table.to_dict("records"):
        if row["note"]:
            lines.append(f"{row['metric']}, {row['group']}: {row['note']}")
    for name, word in dict(zip(table["metric"], table["metric_direction"], strict=True)).items():
        if "guessed" in word or "unknown" in word:
            lines.append(f"{name}: {word}.")
    return "\n".join([*lines, *found.notes])


def advice(
    found: Agreement,
    *,
    milliseconds: Mapping[str, float] | None = None,
    contaminated: Mapping[str, str] | None = None,
) -> str:
    """One sentence: which metric to trust for pictures like these, by how much, at what cost.

    Args:
        found: The agreement over all rows.
        milliseconds: Metric -> measured time per image; said where it is known.
        contaminated: Metric -> sentence, for metrics made with the pictures or scores that are judged here; such a
            metric is recommended only if there is no other.

    Returns:
        The sentence; where nothing can be recommended, why.
    """
    milliseconds, contaminated = milliseconds or {}, {key: text for key, text in (contaminated or {}).items() if text}
    overall = found.table[(found.table["group"] == ALL) & np.isfinite(found.table["srcc"])]
    clean = overall[~overall["metric"].isin(list(contaminated))]
    ranked = (clean if len(clean) else overall).sort_values("srcc", ascending=False, kind="stable")
    if ranked.empty:
        return "No metric can be recommended: too few rows have both a metric and a human score."
    best = ranked.iloc[0]
    name = best["metric"]
    if best["srcc"] <= 0 or best["srcc_low"] <= 0:
        return f"None of these metrics agrees with these human scores: the best, {name}, reaches {_interval(best)}."

    def cost(key: str) -> str:
        return f" at {milliseconds[key]:.3g} ms per image" if key in milliseconds else ""

    left_out = (
        "" if not contaminated or not len(clean) else f" ({', '.join(contaminated)} left out: made with this set)"
    )
    caution = f", but {contaminated[name].rstrip('.')}" if name in contaminated else ""
    if len(ranked) == 1:
        return f"Of the one metric compared, {name} reaches {_interval(best)}{cost(name)}{left_out}{caution}."
    second = ranked.iloc[1]["metric"]
    row = _against(found, second, name)
    if row is None:
        gap = f", ahead of {second} by {best['srcc'] - ranked.iloc[1]['srcc']:.3f}"
    elif row["significant"]:
        gap = f", ahead of {second} by {_difference(row)}"
    elif max(abs(row[end]) for end in ("difference", "low", "high")) < _SAME:
        gap = f", and {second}{cost(second)} puts the pictures in the same order"
    else:
        gap = f", though {second}{cost(second)} cannot be told apart from it: {_difference(row)}"
    return f"For pictures like these trust {name}{cost(name)}: it reaches {_interval(best)}{gap}{left_out}{caution}."


def _against(found: Agreement, metric: str, against: str) -> dict[str, Any] | None:
    """The difference of two metrics over all rows, as a positive number where `against` is ahead."""
    table = found.significance
    here = table[(table["group"] == ALL) & (table["metric"] == metric) & (table["against"] == against)]
    if here.empty:
        return None
    row = here.iloc[0].to_dict()
    return row | {"difference": -row["difference"], "low": -row["high"], "high": -row["low"]}


def _interval(row: Mapping[str, Any]) -> str:
    span = "" if np.isnan(row["srcc_low"]) else f" (95 % interval {row['srcc_low']:.3f} to {row['srcc_high']:.3f})"
    return f"SRCC {row['srcc']:.3f}{span}"


def _difference(row: Mapping[str, Any]) -> str:
    return f"{row['difference']:+.3f} (95 % interval {row['low']:+.3f} to {row['high']:+.3f}, p = {row['p_value']:.3g})"


def _digits(value: float, width: int) -> str:
    return ("-" if np.isnan(value) else f"{value:.3f}").rjust(width)


def _short(value: float) -> str:
    return "-" if np.isnan(value) else f"{value:.4g}"


# ------------------------------------------------------------------------------------------------------------ the small


def _plain(name: str) -> str:
    from deconv_core.direction import plain_name

    return plain_name(str(name))


def _pearson(first: np.ndarray, second: np.ndarray) -> float:
    """Pearson's r of finite numbers; NaN where one side has a single value."""
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return float("nan")
    # Scaled by the largest deviation first, so that neither 1e-200 nor 1e200 leaves the range of doubles.
    first, second = first - first.mean(), second - second.mean()
    first, second = first / np.abs(first).max(), second / np.abs(second).max()
    r = float(first @ second / np.sqrt((first @ first) * (second @ second)))
    return max(-1.0, min(1.0, r))


def _without_missing(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    first, second = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if first.shape != second.shape or first.ndim != 1:
        raise DeconvError(
            f"A correlation needs two lists of one length; got {first.shape} and {second.shape}. Pair the rows again."
        )
    known = ~(np.isnan(first) | np.isnan(second))
    return first[known], second[known]


def _check_column(frame: pd.DataFrame, name: str) -> None:
    count = list(frame.columns).count(name)
    if count != 1:
        columns = ", ".join(str(column) for column in frame.columns)
        found = "is not there" if count == 0 else f"is there {count} times"
        raise DeconvError(f"Column '{name}' {found}; the table has {columns}.")


def _numbers(frame: pd.DataFrame, name: str) -> np.ndarray:
    import pandas as pd

    _check_column(frame, name)
    if not pd.api.types.is_numeric_dtype(frame[name]) or pd.api.types.is_bool_dtype(frame[name]):
        example = next((repr(cell) for cell in frame[name] if isinstance(cell, str)), str(frame[name].dtype))
        raise DeconvError(f"Column '{name}' holds no numbers (such as {example}); choose a column of numbers.")
    return frame[name].to_numpy(dtype=np.float64, na_value=np.nan)


def _labels(column: pd.Series, rows: np.ndarray) -> np.ndarray:
    """Cells as text, "" where there is none; a whole number is written without its .0."""
    return np.array([_label(cell) for cell in column[rows]], dtype=object)


def _label(cell: object) -> str:
    if cell is None or cell != cell:
        return ""
    return str(int(cell)) if isinstance(cell, float) and cell.is_integer() else str(cell)


def _natural(labels: np.ndarray) -> list[str]:
    """Distinct labels but "", numbers in their order (2 before 10)."""
    import re

    def key(label: str) -> list[tuple[bool, int, str]]:
        return [(not part.isdigit(), int(part) if part.isdigit() else 0, part) for part in re.split(r"(\d+)", label)]

    return sorted({label for label in labels if label}, key=key)
