"""Bradley-Terry scores against published examples, another optimiser, and judges whose strengths are known."""

import numpy as np
import pytest
from scipy.optimize import minimize

from deconv_core.bradley_terry import circular_triads, count_wins, fit, fit_within_groups, preference
from deconv_core.errors import DeconvError

# Games of the 1987 season, Eastern division of the American League: row beat column. Agresti (2002), Categorical data
# analysis, second edition, section 10.6; Milwaukee, Detroit, Toronto, New York, Boston, Cleveland, Baltimore.
BASEBALL = np.array(
    [
        [0, 7, 9, 7, 7, 9, 11],
        [6, 0, 7, 5, 11, 9, 9],
        [4, 6, 0, 7, 7, 8, 12],
        [6, 8, 6, 0, 6, 7, 10],
        [6, 2, 6, 7, 0, 7, 12],
        [4, 4, 5, 6, 6, 0, 6],
        [2, 4, 1, 3, 1, 7, 0],
    ]
)
# Citations among Biometrika, Communications in Statistics, JASA and JRSS B: row was cited by column. Stigler (1994).
CITATIONS = np.array([[0, 730, 498, 221], [33, 0, 68, 17], [320, 813, 0, 142], [284, 276, 325, 0]])


def test_baseball_of_1987_as_published():
    found = fit(BASEBALL, bias_reduced=False)
    # Agresti, table 10.11, third column: against Baltimore, to two digits; standard errors are "about 0.3".
    assert np.round(found.scores - found.scores[-1], 2).tolist() == [1.58, 1.44, 1.29, 1.25, 1.11, 0.68, 0.0]
    errors = [(high - low) / (2 * 1.96) for _, low, high in (found.difference(team, 6) for team in range(6))]
    assert np.round(errors, 1).tolist() == [0.3] * 6
    assert found.scores.sum() == pytest.approx(0, abs=1e-12)


def test_citations_of_statistics_journals_as_published():
    found = fit(CITATIONS, bias_reduced=False)
    # Turner and Firth (2012), section 2: against Biometrika, with their standard errors.
    for journal, (score, error) in {1: (-2.9491, 0.1025), 2: (-0.4796, 0.0606), 3: (0.2690, 0.0708)}.items():
        estimate, low, high = found.difference(journal, 0)
        assert estimate == pytest.approx(score, abs=5e-5)
        assert (high - low) / (2 * 1.959964) == pytest.approx(error, abs=5e-5)


@pytest.mark.parametrize("wins", [BASEBALL, np.array([[0, 4, 2], [0, 0, 3], [1, 0, 0]])], ids=["baseball", "few"])
def test_bias_reduction_maximises_the_penalised_likelihood(wins):
    n = wins + wins.T

    def negative(free):
        scores = np.append(free, -free.sum())
        p = preference(scores[:, None] - scores[None, :])
        weights = n * p * (1 - p)
        information = np.diag(weights.sum(axis=1)) - weights
        return -(wins * np.log(p)).sum() - 0.5 * np.linalg.slogdet(information[:-1, :-1])[1]

    best = minimize(negative, np.zeros(len(wins) - 1), tol=1e-12).x
    # The optimiser's own finite differences are good to about 1e-6.
    assert fit(wins).scores == pytest.approx(np.append(best, -best.sum()), abs=1e-5)


def simulated(strengths, per_pair, generator):
    """Answers of judges who follow the model: every pair `per_pair` times."""
    size = len(strengths)
    wins = np.zeros((size, size))
    for i in range(size):
        for j in range(i):
            wins[i, j] = generator.binomial(per_pair, preference(strengths[i] - strengths[j]))
            wins[j, i] = per_pair - wins[i, j]
    return wins


@pytest.mark.parametrize(("per_pair", "spread"), [(30, 1.0), (10, 0.7)])
def test_known_strengths_lie_in_the_interval_95_times_in_100(per_pair, spread):
    generator = np.random.default_rng(20)
    num_draws, size = 600, 6
    inside = 0
    for _ in range(num_draws):
        strengths = generator.normal(0, spread, size)
        strengths -= strengths.mean()
        found = fit(simulated(strengths, per_pair, generator))
        item = generator.integers(size)  # one a draw: items of one draw depend on one another
        inside += found.low[item] <= strengths[item] <= found.high[item]
    # Three standard deviations of a binomial share of 0.95.
    assert inside / num_draws == pytest.approx(0.95, abs=3 * np.sqrt(0.95 * 0.05 / num_draws))


def test_intervals_of_few_answers_hold_the_truth_at_least_as_often():
    generator = np.random.default_rng(21)
    num_draws, size = 300, 8
    inside = 0
    for _ in range(num_draws):
        strengths = generator.normal(0, 1, size)
        strengths -= strengths.mean()
        found = fit(simulated(strengths, 1, generator))
        item = generator.integers(size)
        inside += found.low[item] <= strengths[item] <= found.high[item]
    assert inside / num_draws > 0.95 - 3 * np.sqrt(0.95 * 0.05 / num_draws)


def test_an_item_that_always_wins_has_a_finite_score_and_a_wide_interval():
    wins = np.array([[0, 5, 5], [0, 0, 3], [0, 2, 0]])
    found = fit(wins)
    assert np.isfinite(found.scores).all()
    assert found.scores.argmax() == 0
    assert found.high[0] - found.low[0] > found.high[1] - found.low[1]
    with pytest.raises(DeconvError, match="infinite"):
        fit(wins, bias_reduced=False)


def test_items_that_no_answer_links_have_no_score():
    wins = np.zeros((5, 5))
    wins[0, 1], wins[1, 0], wins[1, 2], wins[3, 4] = 2, 1, 1, 4
    found = fit(wins)
    assert np.isfinite(found.scores[:3]).all()
    assert np.isnan(found.scores[3:]).all()
    assert np.isnan(found.low[3:]).all()
    assert np.isnan(fit(np.zeros((3, 3))).scores).all()


def test_scores_are_the_same_in_any_order():
    order = np.random.default_rng(3).permutation(7)
    assert fit(BASEBALL[np.ix_(order, order)]).scores == pytest.approx(fit(BASEBALL).scores[order], abs=1e-9)


def test_groups_put_blocks_that_were_never_compared_on_one_scale():
    generator = np.random.default_rng(5)
    conditions = np.array([1.5, 0.5, -0.5, -1.5])
    blocks = 3
    truth = np.tile(conditions, blocks) + generator.normal(0, 0.3, 4 * blocks)
    wins = np.zeros((12, 12))
    for block in range(blocks):
        part = slice(4 * block, 4 * block + 4)
        wins[part, part] = simulated(truth[part], 12, generator)
    found = fit_within_groups(wins, np.tile(np.arange(4), blocks), group_spread=0.5)
    assert np.corrcoef(found.scores, truth)[0, 1] > 0.95
    assert found.scores.sum() == pytest.approx(0, abs=1e-9)
    # Without anything in common the blocks cannot be told apart, with answers alone the assumption fades.
    tight = fit_within_groups(wins, np.tile(np.arange(4), blocks), group_spread=0.01).scores.reshape(blocks, 4)
    assert np.ptp(tight, axis=0).max() < 0.02
    assert np.ptp(found.scores.reshape(blocks, 4), axis=0).max() > 0.1


def test_groups_maximise_what_they_say():
    wins = np.array([[0, 3, 0, 0], [1, 0, 0, 0], [0, 0, 0, 2], [0, 0, 2, 0]])
    groups = np.array([0, 1, 0, 1])

    def negative(scores):
        p = preference(scores[:, None] - scores[None, :])
        deviation = np.concatenate([scores[groups == group] - scores[groups == group].mean() for group in (0, 1)])
        return -(wins * np.log(p)).sum() + (deviation**2).sum() / (2 * 0.5**2) + (scores**2).sum() / (2 * 3**2)

    best = minimize(negative, np.zeros(4), tol=1e-12).x
    assert fit_within_groups(wins, groups).scores == pytest.approx(best - best.mean(), abs=1e-5)


def test_circles_are_counted_once():
    pairs = [("a", "b"), ("b", "c"), ("c", "a"), ("a", "d"), ("b", "d"), ("c", "d")]
    assert circular_triads(pairs) == (1, 4)
    assert circular_triads([("a", "b"), ("b", "c")]) == (0, 0)
    assert circular_triads([("a", "b"), ("b", "c"), ("a", "c"), ("c", "a")]) == (1, 1)  # the last answer counts


def test_a_judge_by_chance_makes_a_circle_in_a_quarter_of_the_triads():
    generator = np.random.default_rng(8)
    circular = total = 0
    for _ in range(200):
        pairs = [(i, j) if generator.random() < 0.5 else (j, i) for i in range(6) for j in range(i)]
        found = circular_triads(pairs)
        circular, total = circular + found[0], total + found[1]
    # 20 triads of six items each; triads of one judge are pairwise independent, so the binomial spread holds.
    assert total == 200 * 20
    assert circular / total == pytest.approx(0.25, abs=3 * np.sqrt(0.25 * 0.75 / total))


@pytest.mark.parametrize(
    ("wins", "match"),
    [(np.zeros((2, 3)), "shape"), (np.zeros((1, 1)), "shape"), (np.array([[0, -1], [1, 0]]), "negative")],
)
def test_wrong_tables_are_refused(wins, match):
    with pytest.raises(DeconvError, match=match):
        fit(wins)
    with pytest.raises(DeconvError, match="groups"):
        fit_within_groups(np.zeros((3, 3)), [0, 1])


def test_wins_are_counted_by_winner_and_loser():
    wins = count_wins([(0, 1), (0, 1), (2, 0)], 3)
    assert wins.tolist() == [[0, 2, 0], [0, 0, 0], [1, 0, 0]]
    assert count_wins([], 2).tolist() == [[0, 0], [0, 0]]
