"""Features + human scores -> a predicted human score, kept as a metric of its own with a card that says how good it is.

The features are metrics that are already there, or the residual statistics of a model (`residual_statistics`). The
prediction is kernel ridge regression: the scores of calibration pictures with similar features, weighed by likeness.
Nothing here is tuned on what it is judged by: every number on the card comes from contents that were left out, and a
run with the scores shuffled stands beside it. `calibrated_metrics` keeps the result and gives it a name.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from deconv_core.errors import DeconvError

# With less than this, the choice of settings is a guess and the card says nothing that would hold.
FEWEST_ROWS, FEWEST_CONTENTS = 30, 5
CONFIDENCE = 0.95

# z-scores beyond this are outliers of the calibration set.
_CLIP = 5.0
# Kernel exp(-width |u - v|^2 / features) and ridge, the choice that cross-validation has.
_WIDTHS = (0.05, 0.15, 0.3, 0.6, 1.2)
_RIDGES = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0)
# Settings are chosen on at most so many rows, and at most so many of them become landmarks of the final kernel.
_ROWS_FOR_CHOICE = 500
_FOLDS_FOR_CHOICE = 3
_MOST_LANDMARKS = 1500
_BINS = 10
_SIZES = (50, 100, 200, 500, 1000, 2000, 5000)


@dataclass(frozen=True)
class Calibration:
    """A fitted mapping from features to a human score.

    Attributes:
        names: Names of the F features, in order.
        mean, scale: Of each feature over the calibration set, float64 (F,).
        low, high: Smallest and largest z-score seen; features beyond count as these, so that a picture outside of what
            was calibrated is judged as the nearest one inside.
        landmarks: z-scores of the calibration pictures that answers are made of, float32 (M, F).
        weights: Of the landmarks, float64 (M,).
        offset: Mean human score.
        width: Of the kernel exp(-width |u - v|^2 / F).
        spans: Rows of (predicted score, lowest and highest difference of the human score from it that 95 % of held-out
            pictures around it kept to), float64 (B, 3).
        card: What it was made from and how good it is, JSON-able.
    """

    names: tuple[str, ...]
    mean: np.ndarray
    scale: np.ndarray
    low: np.ndarray
    high: np.ndarray
    landmarks: np.ndarray
    weights: np.ndarray
    offset: float
    width: float
    spans: np.ndarray
    card: Mapping[str, Any] = field(default_factory=dict)

    def predict(self, features: np.ndarray) -> np.ndarray:
        """Predicted human scores, float64 (N,), within the range of the scale; NaN where a feature is missing.

        Args:
            features: float, shape (N, F), in the order of `names`; infinite decibels count as in `agreement.finite`.
        """
        features = np.asarray(features, np.float64)
        if features.ndim != 2 or features.shape[1] != len(self.names):
            raise DeconvError(
                f"This calibration takes {len(self.names)} features per picture; got an array of shape "
                f"{features.shape}. Give them in the order of its names."
            )
        known = ~np.isnan(features).any(axis=1)
        answer = np.full(len(features), np.nan)
        if known.any():
            u = self.standardised(features[known])
            answer[known] = self.of_standardised(u)
        return answer

    def standardised(self, features: np.ndarray) -> np.ndarray:
        """z-scores of features without NaN, float32 (N, F), within what the calibration saw."""
        with np.errstate(invalid="ignore"):
            u = (np.asarray(features, np.float64) - self.mean) / self.scale
        return np.clip(u, self.low, self.high).astype(np.float32)

    def of_standardised(self, u: np.ndarray) -> np.ndarray:
        """Predicted human scores of z-scores."""
        # One picture at a time: BLAS adds up in another order for another number of rows.
        raw = np.array([float(_kernel(one[None], self.landmarks, self.width)[0] @ self.weights) for one in u])
        low, high = self.range
        return np.clip(self.offset + raw, low, high)

    def interval(self, predicted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Where the human score of 95 % of pictures with such a prediction lies: two float64 arrays (N,)."""
        predicted = np.asarray(predicted, np.float64)
        low, high = self.range
        below = np.interp(predicted, self.spans[:, 0], self.spans[:, 1])
        above = np.interp(predicted, self.spans[:, 0], self.spans[:, 2])
        return np.clip(predicted + below, low, high), np.clip(predicted + above, low, high)

    def effects(self, features: np.ndarray) -> dict[str, float]:
        """How far each group of features moves one picture's score from where it would be with their usual values.

        A group is what stands before the colon of a name, or the whole name. Effects need not add up to the score.

        Args:
            features: One picture's, shape (F,), without NaN.
        """
        u = self.standardised(np.asarray(features)[None])
        groups = [name.partition(":")[0] for name in self.names]
        kinds = list(dict.fromkeys(groups))
        usual = np.repeat(u, len(kinds), axis=0)
        for row, kind in enumerate(kinds):
            usual[row, [group == kind for group in groups]] = 0
        moved = self.of_standardised(u)[0] - self.of_standardised(usual)
        return dict(zip(kinds, moved.tolist(), strict=True))

    @property
    def range(self) -> tuple[float, float]:
        """Ends of the human scale."""
        low, high = self.card.get("range", (-math.inf, math.inf))
        return float(low), float(high)


# -------------------------------------------------------------------------------------------------------------- fitting


def calibrate(
    features: np.ndarray,
    scores: np.ndarray,
    contents: np.ndarray,
    *,
    names: Sequence[str],
    scale_range: tuple[float, float] | None = None,
    higher_is_better: bool = True,
    folds: int = 5,
    resamples: int = 1000,
    seed: int = 0,
    report: Callable[[str], None] = lambda step: None,
) -> Calibration:
    """Fit human scores from features, and measure on contents left out how well that works.

    Args:
        features: float (N, F); rows with NaN are left out, infinities count as the most extreme finite value.
        scores: Human scores (N,); rows without one are left out.
        contents: Which content (reference, scene) each row shows, (N,): a content is never on both sides of a split.
        names: Of the features.
        scale_range: Ends of the human scale; the smallest and largest score seen without it.
        higher_is_better: Direction of the human scores.
        folds: Of the cross-validation.
        resamples: Draws for the intervals.
        seed: Decides folds, draws and landmarks.
        report: Called with what is being done.

    Returns:
        The calibration, with a card that holds `count`, `contents`, `width`, `ridge`, `cross_validated` (SRCC, PLCC and
        RMSE of held-out contents, SRCC with its interval), `best_single` (the best feature alone, and by how much it is
        beaten), `shuffled` (SRCC after the scores were dealt out by chance), `learning_curve` and `needs` (a sentence).

    Raises:
        DeconvError: Fewer than 30 usable rows or 5 contents, or scores that are all one.
    """
    from deconv_core.agreement import content_folds, plcc, resample, srcc
    from deconv_core.agreement import interval as percentile_interval

    x, y, contents, left_out = _usable(features, scores, contents)
    fold = content_folds(contents, folds, seed)
    predicted = np.full(len(y), np.nan)
    for number in np.unique(fold):
        report(f"cross-validation, part {number + 1} of {fold.max() + 1}")
        inside = fold != number
        width, ridge = _choose(x[inside], y[inside], contents[inside], seed)
        fitted = fit(x[inside], y[inside], names=names, width=width, ridge=ridge, seed=seed)
        predicted[~inside] = fitted.predict(x[~inside])
    sign = 1.0 if higher_is_better else -1.0
    singles = {name: x[:, place] for place, name in enumerate(names) if np.ptp(x[:, place]) > 0}
    agreeing = {name: abs(srcc(values, y)) for name, values in singles.items()}
    best = max(agreeing, key=agreeing.__getitem__)
    drawn = resample(
        {"": predicted, best: singles[best] * np.sign(srcc(singles[best], y) or 1)},
        y,
        contents,
        resamples=resamples,
        seed=seed,
        kendall=False,
    )
    low, high = percentile_interval(drawn.srcc[""])
    difference = percentile_interval(drawn.srcc[""] - drawn.srcc[best])
    report("learning curve")
    width, ridge = _choose(x, y, contents, seed)
    curve = _learning_curve(x, y, contents, fold, width, ridge, seed)
    report("the same with shuffled scores")
    shuffled = _shuffled(x, y, contents, fold, width, ridge, seed)
    fitted = fit(x, y, names=names, width=width, ridge=ridge, seed=seed)
    ends = (float(y.min()), float(y.max())) if scale_range is None else tuple(map(float, scale_range))
    cross_validated = {
        "folds": int(fold.max() + 1),
        "srcc": float(srcc(predicted, y)),
        "srcc_low": low,
        "srcc_high": high,
        "plcc": float(plcc(predicted, y)),
        "rmse": float(np.sqrt(np.mean((predicted - y) ** 2))),
    }
    card = {
        "count": len(y),
        "contents": len(np.unique(contents)),
        "left_out": left_out,
        "features": list(names),
        "range": list(ends),
        "higher_is_better": bool(sign > 0),
        "width": width,
        "ridge": ridge,
        "seed": seed,
        "cross_validated": cross_validated,
        "best_single": {
            "name": best,
            "srcc": float(agreeing[best]),
            "difference": float(srcc(predicted, y) - agreeing[best]),
            "low": difference[0],
            "high": difference[1],
        },
        "shuffled": shuffled,
        "learning_curve": curve,
        "needs": _needs(curve),
    }
    return replace(fitted, spans=spans(predicted, y), card=card)


def fit(
    features: np.ndarray,
    scores: np.ndarray,
    *,
    names: Sequence[str],
    width: float,
    ridge: float,
    seed: int = 0,
    most_landmarks: int = _MOST_LANDMARKS,
    standard: np.ndarray | None = None,
) -> Calibration:
    """Kernel ridge regression with settings that are already chosen; its spans are empty and its card is bare.

    Args:
        features: float (N, F), finite.
        scores: Human scores (N,), finite.
        names: Of the features.
        width: Of the kernel exp(-width |u - v|^2 / F), u and v z-scores.
        ridge: What is added to the kernel's diagonal; more is smoother.
        seed: Decides which rows become landmarks where there are too many.
        most_landmarks: Rows that answers are made of; more cost time and space.
        standard: Rows that z-scores are relative to, where they are not all of `features`.
    """
    standard = features if standard is None else standard
    mean, scale = standard.mean(axis=0), standard.std(axis=0)
    scale = np.where(scale > 1e-9 * np.maximum(np.abs(mean), 1e-9), scale, 1.0)
    u = np.clip((features - mean) / scale, -_CLIP, _CLIP)
    # Kept in half precision: weights are fitted to the rounded landmarks, so that nothing is lost by it.
    u = u.astype(np.float16).astype(np.float32)
    offset = float(scores.mean())
    target = scores - offset
    if len(u) <= most_landmarks:
        landmarks = u
        kernel = _kernel(u, u, width)
        kernel[np.diag_indices(len(u))] += ridge
        right = target
    else:
        landmarks = u[np.sort(np.random.default_rng(seed).choice(len(u), most_landmarks, replace=False))]
        across = _kernel(u, landmarks, width)
        kernel = across.T @ across + ridge * _kernel(landmarks, landmarks, width)
        kernel[np.diag_indices(len(kernel))] += 1e-6 * len(u)
        right = across.T @ target
    weights = _solve(kernel, right)
    low, high = (np.asarray(end, np.float64) for end in (landmarks.min(axis=0), landmarks.max(axis=0)))
    empty = np.array([[offset, -math.inf, math.inf]])
    return Calibration(tuple(names), mean, scale, low, high, landmarks, weights, offset, float(width), empty)


def spans(predicted: np.ndarray, scores: np.ndarray, confidence: float = CONFIDENCE) -> np.ndarray:
    """How far human scores lie from held-out predictions, by the height of the prediction.

    Predictions are cut into ten parts of equal count (fewer where there are few); each part gives its quantiles with
    the finite-sample correction of split conformal prediction (Vovk et al. 2005; Lei et al. 2018,
    doi:10.1080/01621459.2017.1307116), so that a new picture is covered at least as often as stated, on average.

    Returns:
        float64 (B, 3): middle of the part, lowest and highest difference of the human score from the prediction.
    """
    order = np.argsort(predicted, kind="stable")
    errors = (scores - predicted)[order]
    rows = []
    for part in np.array_split(np.arange(len(order)), max(1, min(_BINS, len(order) // 40))):
        share = min(1.0, (1 + confidence) / 2 * (1 + 1 / len(part)))
        low, high = np.quantile(errors[part], [1 - share, share])
        rows.append((float(np.median(predicted[order][part])), float(low), float(high)))
    return np.array(rows)


def _usable(
    features: np.ndarray, scores: np.ndarray, contents: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """Rows that have everything, infinite features brought to the most extreme finite ones; and how many were left."""
    x, y, contents = np.array(features, np.float64), np.asarray(scores, np.float64), np.asarray(contents)
    if x.ndim != 2 or y.shape != (len(x),) or contents.shape != y.shape:
        raise DeconvError(
            f"A calibration needs features (N, F), scores (N,) and contents (N,); got {x.shape}, {y.shape} and "
            f"{contents.shape}. Pair the rows again."
        )
    for column in x.T:
        known = column[np.isfinite(column)]
        if known.size:
            np.clip(column, known.min(), known.max(), out=column)
    usable = np.isfinite(y) & np.isfinite(x).all(axis=1)
    x, y, contents = x[usable], y[usable], contents[usable]
    if len(y) < FEWEST_ROWS or len(np.unique(contents)) < FEWEST_CONTENTS:
        raise DeconvError(
            f"A calibration needs at least {FEWEST_ROWS} pictures with a human score and every feature, of at least "
            f"{FEWEST_CONTENTS} contents; got {len(y)} of {len(np.unique(contents))}. Collect more scores."
        )
    if not (np.ptp(x, axis=0) > 0).any():
        raise DeconvError(
            f"Every feature is the same for all {len(y)} pictures, and nothing tells them apart; choose other metrics."
        )
    if np.ptp(y) == 0:
        raise DeconvError(f"All {len(y)} human scores are {y[0]:g}; there is nothing to fit. Check the column.")
    return x, y, contents, int((~usable).sum())


def _choose(x: np.ndarray, y: np.ndarray, contents: np.ndarray, seed: int) -> tuple[float, float]:
    """Width and ridge with the smallest squared error on contents left out, from the grid above."""
    from deconv_core.agreement import content_folds

    rng = np.random.default_rng([seed, 1])
    few = _few(contents, rng)
    x, y, contents = x[few], y[few], contents[few]
    fold = content_folds(contents, _FOLDS_FOR_CHOICE, seed)
    errors = np.zeros((len(_WIDTHS), len(_RIDGES)))
    for number in np.unique(fold):
        inside = fold != number
        mean, scale = x[inside].mean(axis=0), x[inside].std(axis=0)
        u = np.clip((x - mean) / np.where(scale > 0, scale, 1), -_CLIP, _CLIP).astype(np.float32)
        target = y[inside] - y[inside].mean()
        for place, width in enumerate(_WIDTHS):
            values, vectors = np.linalg.eigh(_kernel(u[inside], u[inside], width))
            turned = vectors.T @ target
            across = _kernel(u[~inside], u[inside], width) @ vectors
            for other, ridge in enumerate(_RIDGES):
                left = y[~inside] - y[inside].mean() - across @ (turned / (np.maximum(values, 0) + ridge))
                errors[place, other] += float(left @ left)
    # Among settings within a thousandth of the best, the smoothest.
    close = np.argwhere(errors <= errors.min() * 1.001).tolist()
    place, other = min(close, key=lambda cell: (cell[0], -cell[1]))
    return float(_WIDTHS[place]), float(_RIDGES[other])


def _few(contents: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Rows to choose settings on: whole contents by chance, of a large one only as much as leaves room for others.

    Single rows by chance could all show the one content that most of a table shows.
    """
    if len(contents) <= _ROWS_FOR_CHOICE:
        return np.arange(len(contents))
    taken: list[np.ndarray] = []
    most = _ROWS_FOR_CHOICE // _FOLDS_FOR_CHOICE
    for content in rng.permutation(np.unique(contents)):
        rows = np.flatnonzero(contents == content)
        taken.append(rng.choice(rows, most, replace=False) if len(rows) > most else rows)
        if sum(map(len, taken)) >= _ROWS_FOR_CHOICE:
            break
    return np.sort(np.concatenate(taken))


def _learning_curve(
    x: np.ndarray, y: np.ndarray, contents: np.ndarray, fold: np.ndarray, width: float, ridge: float, seed: int
) -> list[dict[str, float]]:
    """Agreement on held-out contents when only so many scores had been collected: whole contents, drawn by chance."""
    from deconv_core.agreement import srcc

    smallest = int(min((fold != number).sum() for number in np.unique(fold)))
    rng = np.random.default_rng([seed, 2])
    rows = []
    for size in [*(size for size in _SIZES if size < 0.95 * smallest), smallest]:
        predicted = np.full(len(y), np.nan)
        for number in np.unique(fold):
            inside = np.flatnonzero(fold != number)
            order = rng.permutation(np.unique(contents[inside]))
            rank = {content: place for place, content in enumerate(order.tolist())}
            inside = inside[np.argsort([rank[content] for content in contents[inside].tolist()], kind="stable")][:size]
            if np.ptp(y[inside]) > 0:
                fitted = fit(x[inside], y[inside], names=("",) * x.shape[1], width=width, ridge=ridge, seed=seed)
                predicted[fold == number] = fitted.predict(x[fold == number])
        rows.append({"count": size, "srcc": float(srcc(predicted, y))})
    return rows


def _shuffled(
    x: np.ndarray, y: np.ndarray, contents: np.ndarray, fold: np.ndarray, width: float, ridge: float, seed: int
) -> float:
    """SRCC on held-out contents after the scores were dealt out by chance: 0 but for luck, or something leaks."""
    from deconv_core.agreement import srcc

    mixed = np.random.default_rng([seed, 3]).permutation(y)
    predicted = np.full(len(y), np.nan)
    for number in np.unique(fold):
        inside = fold != number
        fitted = fit(x[inside], mixed[inside], names=("",) * x.shape[1], width=width, ridge=ridge, seed=seed)
        # Means of the folds differ by chance, and against them the left-out ones differ the other way.
        predicted[~inside] = fitted.predict(x[~inside]) - fitted.offset
    return float(srcc(predicted, mixed))


def _needs(curve: Sequence[Mapping[str, float]]) -> str:
    """What more scores would bring, in a sentence, from the last two points of the learning curve."""
    told = ", ".join(f"{row['count']:,.0f} scores give SRCC {row['srcc']:.2f}" for row in curve)
    if len(curve) < 2:
        return f"{told.capitalize()}; too few to tell what more would bring."
    first, last = curve[-2], curve[-1]
    doublings = math.log2(last["count"] / first["count"])
    gain = (last["srcc"] - first["srcc"]) / max(doublings, 0.25)
    hope = f"twice as many would bring about {gain:+.02f}" if gain > 0.01 else "more would bring little"
    return f"{told}; {hope}."


def _kernel(u: np.ndarray, v: np.ndarray, width: float) -> np.ndarray:
    """exp(-width |u - v|^2 / F), float64 (N, M)."""
    squares = np.einsum("nf,nf->n", u, u)[:, None] + np.einsum("mf,mf->m", v, v) - 2 * (u @ v.T)
    return np.exp(np.maximum(squares, 0).astype(np.float64) * (-width / u.shape[1]))


def _solve(kernel: np.ndarray, right: np.ndarray) -> np.ndarray:
    from scipy.linalg import cho_factor, cho_solve

    return cho_solve(cho_factor(kernel, lower=True, overwrite_a=True, check_finite=False), right)
