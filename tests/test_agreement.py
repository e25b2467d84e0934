"""Agreement with human scores: against SciPy, closed forms, plain loops, and shapes a curve must cope with."""

import itertools

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from deconv_core.agreement import (
    ALL,
    COLUMNS,
    Fit,
    advice,
    agreement,
    as_text,
    best_curve,
    content_folds,
    finite,
    fit_curve,
    interval,
    krcc,
    leave_content_out,
    p_value,
    plcc,
    resample,
    srcc,
    wilson,
)
from deconv_core.direction import Direction, detect_direction, metric_direction
from deconv_core.errors import DeconvError

# ------------------------------------------------------------------------------------------------------- correlations


def lists(kind: str, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    first = rng.normal(size=200)
    second = first + rng.normal(size=200)
    if kind == "tied":
        return np.round(first), np.round(2 * second)
    if kind == "tiny":
        return 1e-4 * first, -1e-9 * second
    if kind == "shifted":
        return first + 1e6, second
    if kind == "infinite":
        first[[3, 50, 77]] = np.inf
    return first, second


@pytest.mark.parametrize("kind", ["plain", "tied", "tiny", "shifted"])
def test_correlations_are_those_of_scipy(kind):
    first, second = lists(kind, np.random.default_rng(1))
    assert srcc(first, second) == pytest.approx(stats.spearmanr(first, second).statistic, abs=1e-12)
    assert krcc(first, second) == pytest.approx(stats.kendalltau(first, second).statistic, abs=1e-12)
    # A shift by 1e6 costs six digits in any double; SciPy's own error is of that size.
    tolerance = 1e-9 if kind == "shifted" else 1e-12
    assert plcc(first, second) == pytest.approx(stats.pearsonr(first, second).statistic, abs=tolerance)


def test_infinities_are_ranked_and_counted_as_100_decibels():
    first, second = lists("infinite", np.random.default_rng(2))
    assert srcc(first, second) == pytest.approx(stats.spearmanr(first, second).statistic, abs=1e-12)
    assert np.isnan(plcc(first, second))
    capped, note = finite(first, "psnr")
    assert (capped[[3, 50, 77]] == 100).all()
    assert note == "3 infinite values count as 100 dB for PLCC."
    others, note = finite(np.array([1.0, np.inf, 5.0, -np.inf]), "mine")
    assert others.tolist() == [1, 5, 5, 1]
    assert "most extreme" in note
    assert finite(np.array([1.0, 2.0]), "psnr")[1] == ""


def test_correlations_of_closed_form():
    steps = np.arange(1.0, 6)
    found = [srcc(steps, steps**3), krcc(steps, np.exp(steps)), plcc(steps, 2 * steps)]
    assert found == pytest.approx([1, 1, 1], abs=1e-15)
    found = [srcc(steps, -steps), krcc(steps, 1 / steps), plcc(steps, 7 - 2 * steps)]
    assert found == pytest.approx([-1, -1, -1], abs=1e-15)
    # One exchange among five: 1 - 6 sum(d^2) / (n (n^2 - 1)), and one of ten pairs discordant.
    assert srcc(steps, steps[[1, 0, 2, 3, 4]]) == pytest.approx(1 - 6 * 2 / (5 * 24))
    assert krcc(steps, steps[[1, 0, 2, 3, 4]]) == pytest.approx((9 - 1) / 10)


def test_missing_numbers_are_left_out_in_pairs_and_single_values_have_no_correlation():
    first, second = np.array([1, 2, np.nan, 4, 5]), np.array([1, np.nan, 3, 5, 4])
    assert srcc(first, second) == srcc(first[[0, 3, 4]], second[[0, 3, 4]]) == pytest.approx(0.5)
    for correlation in (srcc, krcc, plcc):
        assert np.isnan(correlation(np.ones(4), np.arange(4.0)))
        assert np.isnan(correlation(np.ones(1), np.ones(1)))
        with pytest.raises(DeconvError, match=r"got \(4,\) and \(3,\)"):
            correlation(np.ones(4), np.ones(3))


# ---------------------------------------------------------------------------------------------------------- the curve


def logistic(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


SHAPES = {
    "linear": lambda x: x,
    "logistic": lambda x: logistic(6 * x),
    "steep": lambda x: logistic(30 * (x - 0.2)),
    "saturated": lambda x: 1 - np.exp(-8 * (x + 1)),
    "exponential": lambda x: np.exp(3 * x),
    "root": lambda x: np.cbrt(x),
    "cube": lambda x: x**3,
    "step": lambda x: (x > 0.1).astype(float),
}


def shaped(number: int) -> tuple[np.ndarray, np.ndarray]:
    """A random monotone shape with noise: any scale, either direction, even, crowded or tied values."""
    rng = np.random.default_rng([7, number])
    names = list(SHAPES)
    x = [
        lambda: rng.uniform(-1, 1, 80),
        lambda: np.clip(rng.normal(0, 0.4, 80), -1, 1),
        lambda: 1 - 2 * rng.beta(0.4, 4, 80),  # crowded at one end, as SSIM is
        lambda: np.round(rng.uniform(-1, 1, 80) * 3) / 3,
    ][number % 4]()
    y = SHAPES[names[number % len(names)]](x)
    y = (y - y.mean()) / (y.std() or 1) + rng.choice([0, 0.05, 0.3, 1]) * rng.normal(size=80)
    if number % 3 == 0:
        y = np.round(2 * y) / 2
    scale = 10 ** rng.uniform(-4, 4)
    return scale * rng.choice([-1, 1]) * x + rng.choice([0, 100]) * scale, 10 * y + 50


def check_fit(fit: Fit, x: np.ndarray, y: np.ndarray) -> None:
    raw = abs(stats.pearsonr(x, y).statistic)
    assert np.isfinite(fit.parameters).all()
    assert raw - 1e-6 <= fit.plcc <= 1
    assert fit.plcc == pytest.approx(stats.pearsonr(fit.predict(x), y).statistic, abs=1e-9)
    assert fit.rmse == pytest.approx(np.sqrt(np.mean((fit.predict(x) - y) ** 2)), rel=1e-9)
    # Least squares: the error is what the correlation leaves.
    assert fit.rmse == pytest.approx(y.std() * np.sqrt(1 - fit.plcc**2), rel=1e-4, abs=1e-5 * y.std())
    assert bool(fit.reason) == (fit.kind == "linear")


@pytest.mark.parametrize("number", range(48))
def test_curves_fit_whatever_the_shape_scale_and_direction(number):
    x, y = shaped(number)
    for parameters in (4, 5):
        check_fit(fit_curve(x, y, parameters=parameters), x, y)


@pytest.mark.slow
def test_curves_fit_a_thousand_random_monotone_shapes():
    for number in range(1000):
        x, y = shaped(number)
        fit, four, five = best_curve(x, y)
        check_fit(four, x, y)
        check_fit(five, x, y)
        assert fit.monotone, number
        assert five.plcc >= four.plcc - 1e-6, number


@pytest.mark.parametrize("scale", [1e-4, 1, 1e5])
@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.parametrize("noise", [0, 0.1, 0.5])
@pytest.mark.parametrize("slope", [0.5, 3, 12])
def test_no_other_logistic_is_better(scale, sign, noise, slope):
    """The curve that made the data is one of those that could be found: what was found is at least as good."""
    rng = np.random.default_rng([3, int(10 * noise), slope == 12])
    x = rng.normal(size=150)
    truth = logistic(slope * (x - 0.3))
    y = 20 + 60 * truth + noise * 60 * truth.std() * rng.normal(size=150)
    for parameters in (4, 5):
        fit = fit_curve(sign * scale * x, y, parameters=parameters)
        assert fit.plcc >= stats.pearsonr(truth, y).statistic - 1e-7
        assert fit.kind == f"logistic{parameters}"


def test_parameters_are_those_of_the_formula_in_the_metrics_own_units():
    x = np.linspace(10, 50, 400)
    y = 20 + (80 - 20) / (1 + np.exp(-0.3 * (x - 30)))
    fit = fit_curve(x, y, parameters=4)
    assert fit.parameters == pytest.approx((20, 80, 30, 0.3), rel=1e-5)
    y = 70 * (0.5 - 1 / (1 + np.exp(0.5 * (x - 28)))) + 0.4 * x + 15
    fit = fit_curve(x, y, parameters=5)
    assert fit.parameters == pytest.approx((70, 0.5, 28, 0.4, 15), rel=1e-4)
    across, up = fit.curve(5)
    assert across.tolist() == [10, 20, 30, 40, 50]
    assert up == pytest.approx(70 * (0.5 - 1 / (1 + np.exp(0.5 * (across - 28)))) + 0.4 * across + 15, abs=1e-3)


def test_where_a_logistic_cannot_help_the_line_is_given_and_said():
    x = np.linspace(0, 1, 30)
    for parameters in (4, 5):
        fit = fit_curve(x, 3 - 2 * x, parameters=parameters)
        assert fit.kind == "linear"
        assert "no better than the straight line" in fit.reason
        assert fit.parameters == pytest.approx((-2, 3))
    few = fit_curve(x[:4], np.array([1.0, 2, 2, 5]), parameters=5)
    assert few.kind == "linear"
    assert "too few for 5 parameters" in few.reason
    flat = fit_curve(np.ones(9), np.arange(9.0))
    assert np.isnan(flat.plcc)
    assert flat.predict(np.ones(2)).tolist() == [4, 4]
    assert "metric has one value only" in flat.reason
    assert "human score has one value only" in fit_curve(np.arange(9.0), np.ones(9)).reason


def test_a_curve_that_turns_back_is_not_used():
    x = np.linspace(-1, 1, 200)
    y = logistic(8 * x) - 0.35 * x
    fit, four, five = best_curve(x, y)
    assert not five.monotone
    assert five.plcc > four.plcc
    assert fit.kind == four.kind == "logistic4"
    assert "turns back" in fit.reason


def test_a_curve_refuses_what_it_cannot_fit():
    with pytest.raises(DeconvError, match="got 2"):
        fit_curve(np.arange(2.0), np.arange(2.0))
    with pytest.raises(DeconvError, match="infinite"):
        fit_curve(np.array([1, 2, np.inf]), np.arange(3.0))
    with pytest.raises(DeconvError, match="choose 4 or 5"):
        fit_curve(np.arange(9.0), np.arange(9.0), parameters=3)


# ---------------------------------------------------------------------------------------------------------- resampling


def plain_resamples(x, y, contents, resamples, seed):
    """The same draws, each resample written out row by row and given to SciPy."""
    names = np.unique(contents)
    drawn = np.random.default_rng(seed).integers(len(names), size=(resamples, len(names)))
    for draw in drawn:
        rows = np.concatenate([np.flatnonzero(contents == names[place]) for place in draw])
        yield (
            stats.spearmanr(x[rows], y[rows]).statistic,
            stats.kendalltau(x[rows], y[rows]).statistic,
            stats.pearsonr(x[rows], y[rows]).statistic,
        )


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("alone", [False, True])
def test_resamples_are_those_written_out_row_by_row(tied, alone):
    rng = np.random.default_rng(5)
    y = rng.normal(size=60)
    x = y + rng.normal(size=60)
    if tied:
        x, y = np.round(x), np.round(2 * y)
    contents = np.arange(60) if alone else np.array(list("abcdefg"))[rng.integers(7, size=60)]
    drawn = resample({"x": x, "y": y}, y, contents, resamples=25, seed=11)
    expected = np.array(list(plain_resamples(x, y, contents, 25, 11)))
    assert np.stack([drawn.srcc["x"], drawn.krcc["x"], drawn.plcc["x"]], axis=1) == pytest.approx(expected, abs=1e-10)
    assert drawn.srcc["y"] == pytest.approx(np.ones(25))


def test_resamples_of_a_metric_do_not_depend_on_its_company():
    rng = np.random.default_rng(6)
    y, contents = rng.normal(size=40), np.arange(40) % 8
    columns = {"a": y + rng.normal(size=40), "b": rng.normal(size=40)}
    both, alone = (resample(part, y, contents, resamples=20, seed=1) for part in (columns, {"b": columns["b"]}))
    assert (both.srcc["b"] == alone.srcc["b"]).all()


def test_intervals_are_wider_when_contents_rather_than_rows_are_drawn():
    rng = np.random.default_rng(8)
    contents = np.repeat(np.arange(8), 25)
    shift = rng.normal(size=8)[contents]  # every content has its own offset: its rows are alike
    y = rng.normal(size=200)
    x = y + 2 * shift
    wide, narrow = (
        np.ptp(interval(resample({"x": x}, y, group, resamples=400).srcc["x"])) for group in (contents, np.arange(200))
    )
    assert wide > 1.2 * narrow


def test_intervals_cover_the_truth_as_often_as_they_say():
    rng = np.random.default_rng(9)
    truth = 6 / np.pi * np.arcsin(0.6 / 2)  # Spearman's rho of a normal pair with r = 0.6
    covered = 0
    for _ in range(100):
        x = rng.normal(size=150)
        y = 0.6 * x + 0.8 * rng.normal(size=150)
        low, high = interval(resample({"x": x}, y, np.arange(150), resamples=300, kendall=False).srcc["x"])
        covered += low <= truth <= high
    assert 88 <= covered <= 100  # 95 of 100, within three standard errors below


def test_p_values_and_intervals_of_known_lists():
    values = np.linspace(0.01, 1, 100)
    assert p_value(values) == pytest.approx(2 / 101)
    assert p_value(np.linspace(-1, 1, 101)) == 1
    assert np.isnan(p_value(np.full(5, np.nan)))
    low, high = interval(np.arange(1001.0))
    assert (low, high) == pytest.approx((25, 975))
    assert np.isnan(interval(np.array([1, np.nan, np.nan, np.nan]))).all()


# ------------------------------------------------------------------------------------------------------------ held out


def test_no_content_is_in_two_folds():
    contents = np.array(list("aabbbccddddeffgghhiijjkk"))
    fold = content_folds(contents, 4, seed=0)
    assert set(fold) == {0, 1, 2, 3}
    for name in set(contents):
        assert len(set(fold[contents == name])) == 1
    assert np.bincount(fold).max() - np.bincount(fold).min() <= 4
    assert len(set(content_folds(contents, 30))) == 11


def test_held_out_contents_are_predicted_by_curves_that_never_saw_them():
    rng = np.random.default_rng(4)
    x, contents = rng.uniform(-1, 1, 200), np.arange(200) % 10
    y = logistic(5 * x)
    left = leave_content_out(x, y, contents)
    assert left.predicted == pytest.approx(y, abs=1e-4)
    assert left.folds["count"].tolist() == [20] * 10
    # A content with scores of its own cannot be foreseen: only curves fitted on it know of them.
    y = np.where(contents == 3, y + 5, y)
    left = leave_content_out(x, y, contents)
    assert (y - left.predicted)[contents == 3].min() > 4.5


# ----------------------------------------------------------------------------------------------------------- the table


def rated(count: int = 120, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    quality = rng.uniform(size=count)
    return pd.DataFrame(
        {
            "mos": 1 + 8 * logistic(6 * (quality - 0.5)) + 0.2 * rng.normal(size=count),
            "psnr": 20 + 20 * quality + 2 * rng.normal(size=count),
            "ssim": quality + 0.5 * rng.normal(size=count),
            "lpips": 1 - quality + 0.05 * rng.normal(size=count),
            "mine": -3 * quality + 0.05 * rng.normal(size=count),
            "kind": np.array(["blur", "noise", "jpeg"])[np.arange(count) % 3],
            "source": np.array([f"i{place:02d}" for place in np.arange(count) // 3 % 10]),
        }
    )


def test_the_table_holds_what_the_functions_say():
    frame = rated()
    found = agreement(frame, "mos", ["psnr", "lpips"], group="kind", content="source", resamples=50)
    assert list(found.table.columns) == list(COLUMNS)
    promised = ["metric", "group", "count", "srcc", "krcc", "plcc_raw", "plcc_logistic", "rmse_logistic"]
    assert list(COLUMNS[:8]) == promised
    assert {"srcc_low", "srcc_high"} <= set(COLUMNS)
    assert list(zip(found.table["group"], found.table["metric"], strict=True)) == list(
        itertools.product([ALL, "blur", "jpeg", "noise"], ["psnr", "lpips"])
    )
    blur = frame[frame["kind"] == "blur"]
    row = found.table[(found.table["metric"] == "lpips") & (found.table["group"] == "blur")].iloc[0]
    assert row["count"] == 40
    assert row["srcc"] == pytest.approx(-srcc(blur["lpips"], blur["mos"]))  # lower is better: they agree
    assert row["krcc"] == pytest.approx(-krcc(blur["lpips"], blur["mos"]))
    assert row["plcc_raw"] == pytest.approx(-plcc(blur["lpips"], blur["mos"]))
    fit, four, five = best_curve(blur["lpips"].to_numpy(), blur["mos"].to_numpy())
    assert (row["plcc_logistic"], row["rmse_logistic"], row["fit"]) == (fit.plcc, fit.rmse, fit.kind)
    assert (row["plcc_logistic4"], row["plcc_logistic5"]) == (four.plcc, five.plcc)
    assert found.fits["lpips", "blur"] == fit
    assert (found.table["srcc_low"] <= found.table["srcc"]).all()
    assert (found.table["srcc"] <= found.table["srcc_high"]).all()
    overall = found.table[found.table["group"] == ALL]
    assert (overall["plcc_held_out"] > 0.7).all()
    assert (overall["rmse_held_out"] > overall["rmse_logistic"]).all()


def test_one_seed_gives_one_table():
    frame = rated()
    first, again, other = (
        agreement(frame, "mos", ["psnr", "ssim"], content="source", resamples=40, seed=seed) for seed in (1, 1, 2)
    )
    pd.testing.assert_frame_equal(first.table, again.table)
    pd.testing.assert_frame_equal(first.significance, again.significance)
    assert not (first.table["srcc_low"] == other.table["srcc_low"]).all()


def test_outliers_are_judged_by_the_scores_own_spread_where_it_is_given():
    frame = rated()
    plain = agreement(frame, "mos", ["psnr"], resamples=0, folds=0)
    errors = plain.fits["psnr", ALL].predict(frame["psnr"]) - frame["mos"]
    row = plain.table.iloc[0]
    assert row["outlier_ratio"] == pytest.approx((errors.abs() > 2 * errors.std(ddof=0)).mean())
    for spread, expected in ((1e-6, 1.0), (1e6, 0.0)):
        told = agreement(frame.assign(sd=spread), "mos", ["psnr"], std="sd", resamples=0, folds=0)
        assert told.table.iloc[0]["outlier_ratio"] == expected


def test_too_few_rows_leave_a_row_with_a_reason():
    frame = rated(30)
    frame.loc[2:, "ssim"] = np.nan
    frame.loc[28:, "kind"] = "rare"
    found = agreement(frame, "mos", ["psnr", "ssim"], group="kind", resamples=20)
    row = found.table[(found.table["metric"] == "ssim") & (found.table["group"] == ALL)].iloc[0]
    assert row["count"] == 2
    assert np.isnan(row["srcc"])
    assert row["note"] == "Only 2 rows have both numbers; 3 are needed."
    rare = found.table[(found.table["metric"] == "psnr") & (found.table["group"] == "rare")].iloc[0]
    assert rare["count"] == 2
    assert "3 are needed" in rare["note"]


def test_rows_without_a_human_score_or_a_metric_take_no_part():
    frame = rated()
    frame.loc[:9, "mos"] = np.nan
    frame.loc[10:14, "psnr"] = np.nan
    frame.loc[15, "psnr"] = np.inf
    found = agreement(frame, "mos", ["psnr", "ssim"], resamples=20, content="source")
    assert found.table["count"].tolist() == [105, 110]
    assert found.notes[0] == "10 of 120 rows have no human score and take no part."
    assert "1 infinite value counts as 100 dB" in found.table.iloc[0]["note"]
    assert np.isfinite(found.table["plcc_raw"]).all()
    assert found.significance["count"].tolist() == [105, 105]


def test_significance_is_paired_and_has_a_direction():
    frame = rated(300)
    frame["twin"] = frame["psnr"] * 2
    found = agreement(frame, "mos", ["psnr", "ssim", "lpips", "twin"], content="source", resamples=200)
    table = found.significance.set_index(["metric", "against"])
    worse, better = table.loc["ssim", "psnr"], table.loc["lpips", "psnr"]
    assert worse["high"] < 0 < better["low"]
    assert worse["significant"]
    assert better["significant"]
    assert better["p_value"] == pytest.approx(2 / 201)
    # A copy is never better, in no resample: the pairing makes the difference zero.
    assert table.loc["twin", "psnr"][["difference", "low", "high"]].tolist() == [0, 0, 0]
    assert (
        table.loc[
            "twin",
            "psnr",
        ]["p_value"]
        == 1
    )
    assert ("psnr", "lpips") in table.index  # against the best of all


def test_agreement_refuses_columns_it_cannot_use():
    frame = rated()
    with pytest.raises(DeconvError, match="'vif' is not there; the table has mos, psnr"):
        agreement(frame, "mos", ["vif"])
    with pytest.raises(DeconvError, match="'kind' holds no numbers"):
        agreement(frame, "mos", ["kind"])
    with pytest.raises(DeconvError, match="holds no human score"):
        agreement(frame.assign(mos=np.nan), "mos", ["psnr"])
    with pytest.raises(DeconvError, match="at least one column"):
        agreement(frame, "mos", [])
    twice = pd.concat([frame, frame[["psnr"]]], axis=1)
    with pytest.raises(DeconvError, match="is there 2 times"):
        agreement(twice, "mos", ["psnr"])


def test_a_group_called_all_is_not_the_whole():
    frame = rated().assign(kind=lambda table: table["kind"].replace("blur", "all"))
    found = agreement(frame, "mos", ["psnr"], group="kind", resamples=0, folds=0)
    assert found.table.set_index("group")["count"].to_dict() == {"all": 120, "all (group)": 40, "jpeg": 40, "noise": 40}


def test_numbers_of_groups_are_in_their_order():
    frame = rated().assign(kind=np.arange(120) % 12 + 1.0)
    found = agreement(frame, "mos", ["psnr"], group="kind", resamples=0, folds=0)
    assert found.table["group"].tolist() == [ALL, *(str(number) for number in range(1, 13))]


# ----------------------------------------------------------------------------------------------------------- direction


def test_direction_is_found_from_name_and_numbers():
    frame = rated()
    columns = {"psnr": frame["psnr"], "lpips": frame["lpips"]}
    found = detect_direction("mos", frame["mos"], columns)
    assert (found.higher_is_better, found.contradiction) == (True, "")
    assert "agree" in found.why
    found = detect_direction("dmos", 10 - frame["mos"], columns)
    assert (found.higher_is_better, found.contradiction) == (False, "")
    assert detect_direction("score", 10 - frame["mos"], columns).higher_is_better is False
    assert detect_direction("DMOS_realigned", frame["mos"], {}).higher_is_better is False
    assert detect_direction("MeanOpinionScore", frame["mos"], {}).higher_is_better is True
    unknown = detect_direction("value", frame["mos"], {"mine": frame["mine"]})
    assert unknown.higher_is_better is None
    assert unknown.words == "direction unknown"


def test_contradictions_are_told_and_the_user_has_the_last_word():
    frame = rated()
    columns = {"psnr": frame["psnr"]}
    found = detect_direction("dmos", frame["mos"], columns)  # as in KADID-10k
    assert found.higher_is_better is True
    assert "suggests that lower is better, but the numbers say the opposite" in found.contradiction
    told = detect_direction("mos", frame["mos"], columns, given=False)
    assert told.higher_is_better is False
    assert "check the direction" in told.contradiction
    assert detect_direction("mos", frame["mos"], columns, given=True).contradiction == ""
    known = detect_direction("dmos", frame["mos"], columns, known=Direction(True, "KADID-10k's scores rise."))
    assert (known.higher_is_better, known.why, known.contradiction) == (True, "KADID-10k's scores rise.", "")


def test_metrics_are_known_by_any_spelling():
    assert metric_direction("MS-SSIM") is True
    assert metric_direction("Psnr") is True
    assert metric_direction("NIQE") is False
    assert metric_direction("deconv") is True
    assert metric_direction("mine") is None


def test_falling_scores_and_falling_metrics_agree_with_a_positive_sign():
    frame = rated()
    frame["dmos"] = 10 - frame["mos"]
    rising = agreement(frame, "mos", ["psnr", "lpips", "mine"], resamples=30).table
    falling = agreement(frame, "dmos", ["psnr", "lpips", "mine"], resamples=30).table
    assert falling["srcc"].tolist() == pytest.approx(rising["srcc"].tolist())
    assert (rising["srcc"] > 0.7).all()
    assert (falling["srcc_low"] > 0.5).all()
    assert falling["metric_direction"].tolist() == [
        *("higher is better", "lower is better", "lower is better, guessed from the scores")
    ]
    wrong = agreement(frame, "dmos", ["psnr"], higher_is_better=True, resamples=0)
    assert wrong.table.iloc[0]["srcc"] < -0.7
    assert "check the direction" in wrong.notes[-1]


# --------------------------------------------------------------------------------------------------------------- words


def test_advice_names_the_best_how_much_better_and_what_it_costs():
    frame = rated(300)
    found = agreement(frame, "mos", ["psnr", "ssim", "lpips"], content="source", resamples=200)
    best = found.table.set_index("metric").loc["lpips"]
    text = advice(found, milliseconds={"lpips": 41.0})
    assert text.startswith("For pictures like these trust lpips at 41 ms per image: it reaches SRCC ")
    assert f"{best['srcc']:.3f} (95 % interval {best['srcc_low']:.3f} to {best['srcc_high']:.3f})" in text
    assert "ahead of psnr by +0." in text
    assert text.count(".\n") == 0
    assert text.endswith(".")
    without = advice(found, contaminated={"lpips": "lpips was trained on this set."})
    assert without.startswith("For pictures like these trust psnr")
    assert "lpips left out" in without


def test_advice_does_not_make_a_winner_of_chance():
    frame = rated(60)
    rng = np.random.default_rng(1)
    frame["other"] = frame["psnr"] + 0.5 * rng.normal(size=60)
    found = agreement(frame, "mos", ["psnr", "other"], content="source", resamples=200)
    assert "cannot be told apart from it" in advice(found)
    chance = frame.assign(psnr=rng.normal(size=60))
    assert advice(agreement(chance, "mos", ["psnr"], resamples=200)).startswith("None of these metrics agrees")
    few = agreement(frame[:2], "mos", ["psnr"], resamples=10)
    assert "too few rows" in advice(few)


def test_the_text_shows_three_digits_the_direction_and_every_note():
    frame = rated()
    frame.loc[0, "mos"] = np.nan
    found = agreement(frame, "mos", ["psnr", "mine"], content="source", resamples=30)
    text = as_text(found)
    row = found.table.iloc[0]
    line = next(line for line in text.splitlines() if line.startswith("psnr"))
    assert f"{row['srcc']:.3f}   {row['srcc_low']:.3f} to {row['srcc_high']:.3f}" in line
    assert f"{row['krcc']:.3f}" in line
    assert text.startswith("Human scores: higher is better.")
    assert "1 of 120 rows" in text
    assert "mine: lower is better, guessed from the scores." in text


def test_wilson_is_that_of_scipy():
    expected = stats.binomtest(3, 40).proportion_ci(method="wilson")
    assert wilson(3 / 40, 40) == (pytest.approx(expected.low), pytest.approx(expected.high))
