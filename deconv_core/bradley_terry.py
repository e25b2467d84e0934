"""Paired comparisons to a scale: the model of Bradley and Terry, with intervals.

Who is preferred to whom, counted, becomes one number per item in log-odds: an item one unit above another is preferred
to it with a chance of 73 %, two units 88 %. Only differences mean anything, so scores are centred on zero.

References:
    R. A. Bradley, M. E. Terry (1952), Rank analysis of incomplete block designs: I, doi:10.1093/biomet/39.3-4.324.
    D. Firth (1993), Bias reduction of maximum likelihood estimates, doi:10.1093/biomet/80.1.27.
    H. Turner, D. Firth (2012), Bradley-Terry models in R: the BradleyTerry2 package, doi:10.18637/jss.v048.i09.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from deconv_core.errors import DeconvError

FEWEST_ITEMS = 2
_NORMAL_95 = 1.959963984540054  # two-sided 95 % of the normal distribution
_LARGEST_STEP = 2.0  # log-odds per iteration; a full Newton step may overshoot where a side always wins
_MAX_ITERATIONS = 500
_CLOSE_ENOUGH = 1e-10


@dataclass(frozen=True)
class Strengths:
    """Scores of a Bradley-Terry model.

    Attributes:
        scores: Log-odds, float64, shape (N,), higher is preferred; they add up to zero over the items that are known.
            NaN for items that no chain of comparisons links to the largest group: they cannot be placed.
        covariance: Of the scores, shape (N, N); NaN where a score is.
    """

    scores: np.ndarray
    covariance: np.ndarray

    @property
    def low(self) -> np.ndarray:
        """Lower ends of the 95 % intervals (Wald)."""
        return self.scores - _NORMAL_95 * np.sqrt(np.diag(self.covariance))

    @property
    def high(self) -> np.ndarray:
        """Upper ends of the 95 % intervals (Wald)."""
        return self.scores + _NORMAL_95 * np.sqrt(np.diag(self.covariance))

    def difference(self, first: int, second: int) -> tuple[float, float, float]:
        """How far `first` stands above `second`: estimate and 95 % interval, in log-odds."""
        estimate = float(self.scores[first] - self.scores[second])
        c = self.covariance
        spread = _NORMAL_95 * float(np.sqrt(c[first, first] + c[second, second] - 2 * c[first, second]))
        return estimate, estimate - spread, estimate + spread


def preference(difference: np.ndarray | float) -> np.ndarray | float:
    """Chance of being preferred at a difference of scores.

    Example:
        >>> round(float(preference(1.0)), 2)
        0.73
    """
    from scipy.special import expit

    return expit(difference)


def count_wins(pairs: Sequence[tuple[int, int]], num_items: int) -> np.ndarray:
    """Pairs (preferred, other) as a table: entry [i, j] tells how often i was preferred to j."""
    wins = np.zeros((num_items, num_items))
    if len(pairs):
        winners, losers = np.asarray(pairs).T
        np.add.at(wins, (winners, losers), 1)
    return wins


def fit(wins: np.ndarray, *, bias_reduced: bool = True) -> Strengths:
    """Fit the scores of a Bradley-Terry model to counted preferences.

    By default Firth's bias reduction is used: the likelihood is multiplied by the root of the determinant of the
    information (Jeffreys' prior). It has no setting, keeps scores finite for an item that always or never won, and
    matters less the more answers there are. Without it this is plain maximum likelihood.

    Args:
        wins: Entry [i, j] tells how often i was preferred to j; shape (N, N), no negative entry. The diagonal is not
            looked at.
        bias_reduced: False for plain maximum likelihood, as in the published examples.

    Returns:
        Scores and covariance (inverse Fisher information). The intervals take every answer for independent.

    Raises:
        DeconvError: No square table of counts, or, without bias reduction, an item or group that always or never won,
            whose score is infinite.

    Example:
        >>> fit(np.array([[0, 3], [1, 0]]), bias_reduced=False).scores.round(4)
        array([ 0.5493, -0.5493])
    """
    wins = _checked(wins)
    known = _largest_group(wins)
    n = wins + wins.T
    inside = np.ix_(known, known)
    w, n = wins[inside], n[inside]
    if not bias_reduced and known.sum() > 1 and not _is_strongly_connected(w):
        raise DeconvError(
            "One item, or a group of items, won or lost every comparison with the others, so its maximum likelihood "
            "score is infinite. Collect more answers, or use bias_reduced=True."
        )
    scores = np.zeros(len(w))
    for _ in range(_MAX_ITERATIONS):
        p = _chances(scores)
        inverse = _information_inverse(n * p * (1 - p))
        residual = w - n * p
        if bias_reduced:
            # Leverage of one comparison of i with j, times how many there are; Firth adds it as half wins.
            spread = np.diag(inverse)[:, None] + np.diag(inverse)[None, :] - 2 * inverse
            residual = residual + n * p * (1 - p) * spread * (0.5 - p)
        step = inverse @ residual.sum(axis=1)
        step *= min(1.0, _LARGEST_STEP / max(np.abs(step).max(initial=0.0), 1e-300))
        scores = scores + step
        scores -= scores.mean()
        if np.abs(step).max(initial=0.0) < _CLOSE_ENOUGH:
            break
    p = _chances(scores)
    return _spread_out(scores, _information_inverse(n * p * (1 - p)), known)


def fit_within_groups(
    wins: np.ndarray, groups: Sequence[int], *, group_spread: float = 0.5, overall_spread: float = 3.0
) -> Strengths:
    """Scores of items that are alike in groups and are mostly compared within blocks, such as pictures of one scene.

    Items of two scenes are never compared directly, so nothing but an assumption puts them on one scale. Here it is:
    items of one group (such as all pictures with JPEG at severity 3) differ by a normal deviation of standard deviation
    `group_spread` around the score of their group, and all scores lie around zero with `overall_spread`. The result is
    the most probable set of scores; with many answers the assumption fades, with few it decides.

    Args:
        wins: As in `fit`.
        groups: Group of each item, whole numbers, shape (N,).
        group_spread: Standard deviation inside a group, in log-odds.
        overall_spread: Standard deviation of all scores, in log-odds.

    Returns:
        Scores, centred, and the covariance of the normal approximation around them; every item has a score.
    """
    w = _checked(wins)
    groups = np.asarray(groups)
    if groups.shape != (len(w),):
        raise DeconvError(f"groups got {groups.size} entries for {len(w)} items; give one for each item.")
    same = (groups[:, None] == groups[None, :]).astype(float)
    within = np.eye(len(w)) - same / same.sum(axis=1, keepdims=True)
    penalty = within / group_spread**2 + np.eye(len(w)) / overall_spread**2
    n = w + w.T
    scores = np.zeros(len(w))
    for _ in range(_MAX_ITERATIONS):
        p = _chances(scores)
        step = np.linalg.solve(_laplacian(n * p * (1 - p)) + penalty, (w - n * p).sum(axis=1) - penalty @ scores)
        step *= min(1.0, _LARGEST_STEP / max(np.abs(step).max(), 1e-300))
        scores = scores + step
        if np.abs(step).max() < _CLOSE_ENOUGH:
            break
    p = _chances(scores)
    centre = np.eye(len(w)) - 1 / len(w)
    covariance = centre @ np.linalg.inv(_laplacian(n * p * (1 - p)) + penalty) @ centre
    return Strengths(scores - scores.mean(), covariance)


def circular_triads(preferred: Sequence[tuple[object, object]]) -> tuple[int, int]:
    """How often three items were each compared with the others, and how often the answers went in a circle.

    A circle (a over b, b over c, c over a) contradicts any ranking. A judge who answers by chance makes one in a
    quarter of the triads (Kendall and Babington Smith, 1940, doi:10.1093/biomet/31.3-4.324).

    Args:
        preferred: Pairs (preferred, other) of one judge; where a pair came more than once, the last one counts.

    Returns:
        (circular triads, all triads).

    Example:
        >>> circular_triads([("a", "b"), ("b", "c"), ("c", "a")])
        (1, 1)
    """
    winner: dict[frozenset[object], object] = {frozenset(pair): pair[0] for pair in preferred if pair[0] != pair[1]}
    neighbours: dict[object, set[object]] = {}
    order: dict[object, int] = {}
    for pair in winner:
        first, second = pair
        neighbours.setdefault(first, set()).add(second)
        neighbours.setdefault(second, set()).add(first)
    for item in neighbours:
        order[item] = len(order)
    circular = total = 0
    for item, others in neighbours.items():
        for first, second in combinations([other for other in others if order[other] > order[item]], 2):
            if second in neighbours[first]:
                total += 1
                winners = {winner[frozenset(pair)] for pair in ((item, first), (item, second), (first, second))}
                circular += len(winners) == 3
    return circular, total


def _checked(wins: np.ndarray) -> np.ndarray:
    wins = np.array(wins, dtype=np.float64)
    if wins.ndim != 2 or wins.shape[0] != wins.shape[1] or len(wins) < FEWEST_ITEMS:
        raise DeconvError(f"wins got the shape {wins.shape}; expected (N, N) with N of {FEWEST_ITEMS} or more items.")
    np.fill_diagonal(wins, 0)
    if not np.isfinite(wins).all() or (wins < 0).any():
        raise DeconvError("wins holds a negative or missing count; give how often each item was preferred to each.")
    return wins


def _chances(scores: np.ndarray) -> np.ndarray:
    from scipy.special import expit

    return expit(scores[:, None] - scores[None, :])


def _laplacian(weights: np.ndarray) -> np.ndarray:
    return np.diag(weights.sum(axis=1)) - weights


def _information_inverse(weights: np.ndarray) -> np.ndarray:
    """The inverse information of scores that add up to zero: the pseudo-inverse of the weighted Laplacian."""
    size = len(weights)
    ones = np.full((size, size), 1 / size)
    # The constant is the only direction without information; filled up, the matrix can be inverted and is taken back.
    scale = max(float(weights.sum()) / size, 1e-300)
    return np.linalg.inv(_laplacian(weights) + scale * ones) - ones / scale


def _largest_group(wins: np.ndarray) -> np.ndarray:
    """Whether each item belongs to the largest set that comparisons link; the first of equally large ones."""
    from scipy.sparse.csgraph import connected_components

    _, labels = connected_components(wins + wins.T > 0, directed=False)
    return labels == np.bincount(labels).argmax()


def _is_strongly_connected(wins: np.ndarray) -> bool:
    """Whether everyone beat everyone through some chain: Ford's condition for a finite maximum."""
    from scipy.sparse.csgraph import connected_components

    return connected_components(wins > 0, directed=True, connection="strong")[0] == 1


def _spread_out(scores: np.ndarray, covariance: np.ndarray, known: np.ndarray) -> Strengths:
    size = len(known)
    all_scores, all_covariance = np.full(size, np.nan), np.full((size, size), np.nan)
    if known.sum() > 1:  # a single item was compared with nothing
        all_scores[known] = scores
        all_covariance[np.ix_(known, known)] = covariance
    return Strengths(all_scores, all_covariance)
