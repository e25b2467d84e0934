"""Correlations among metrics, and the pairs of pictures on which they disagree."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from deconv_core import relations
from deconv_core.errors import DeconvError
from deconv_core.relations import CORRELATION_COLUMNS, correlations, direction, disagreements, drawn, drawn_words


def table(seed=0, images=8, versions=15):
    """PSNR and SSIM agree by and large; GMSD, where lower is better, follows SSIM."""
    rng = np.random.default_rng(seed)
    count = images * versions
    quality = rng.normal(size=count)
    frame = pd.DataFrame(
        {
            "image": np.repeat([f"{number}.png" for number in range(images)], versions),
            "distortion": np.tile(["blur", "noise", "jpeg"], count // 3),
            "psnr": 30 + 4 * quality + rng.normal(size=count),
            "ssim": 0.8 + 0.1 * quality + 0.05 * rng.normal(size=count),
        }
    )
    frame["gmsd"] = 0.3 - 0.2 * frame["ssim"] + 0.01 * rng.normal(size=count)
    return frame


# ------------------------------------------------------------------------------------------------------- correlations


def test_coefficients_equal_scipy_with_the_sign_turned_where_lower_is_better():
    frame = table()
    found = correlations(frame, ["psnr", "ssim", "gmsd"], group="distortion", resamples=0)
    assert list(found.columns) == list(CORRELATION_COLUMNS)
    assert list(found["group"].unique()) == ["all", "blur", "noise", "jpeg"]
    assert len(found) == 4 * 3
    for row in found.to_dict("records"):
        part = frame if row["group"] == "all" else frame[frame["distortion"] == row["group"]]
        x, y = part[row["first"]], part[row["second"]]
        sign = direction(row["first"]) * direction(row["second"])
        assert row["count"] == len(part)
        assert row["srcc"] == pytest.approx(sign * stats.spearmanr(x, y).statistic, abs=1e-12)
        assert row["krcc"] == pytest.approx(sign * stats.kendalltau(x, y).statistic, abs=1e-12)
        assert row["plcc"] == pytest.approx(sign * stats.pearsonr(x, y).statistic, abs=1e-12)
    assert (found["srcc"] > 0.5).all()


def test_intervals_are_those_of_whole_references_drawn_again():
    frame = table(seed=3).assign(psnr=lambda frame: frame["psnr"].round(0))  # with ties
    found = correlations(frame, ["psnr", "gmsd"], resamples=60, seed=5).iloc[0]
    images = frame["image"].unique()
    rng = np.random.default_rng(5)
    drawn = {"srcc": [], "krcc": [], "plcc": []}
    for places in rng.integers(len(images), size=(60, len(images))):
        part = pd.concat([frame[frame["image"] == images[place]] for place in places])
        drawn["srcc"].append(stats.spearmanr(part["psnr"], -part["gmsd"]).statistic)
        drawn["krcc"].append(stats.kendalltau(part["psnr"], -part["gmsd"]).statistic)
        drawn["plcc"].append(stats.pearsonr(part["psnr"], -part["gmsd"]).statistic)
    for name, values in drawn.items():
        low, high = np.quantile(values, [0.025, 0.975])
        assert found[f"{name}_low"] == pytest.approx(low, abs=1e-12)
        assert found[f"{name}_high"] == pytest.approx(high, abs=1e-12)


def test_the_seed_decides_the_intervals_and_a_single_reference_has_none():
    frame = table()
    first, same, other = (correlations(frame, ["psnr", "ssim"], resamples=50, seed=seed) for seed in (1, 1, 2))
    pd.testing.assert_frame_equal(first, same)
    assert first["srcc_low"][0] != other["srcc_low"][0]
    single = correlations(frame.assign(image="one"), ["psnr", "ssim"])
    assert np.isfinite(single["srcc"][0])
    assert np.isnan(single["srcc_low"][0])


def test_missing_scores_cost_their_rows_only():
    frame = table().assign(vif=lambda frame: frame["ssim"].where(frame.index % 4 != 0))
    frame.loc[3, "psnr"] = np.inf  # identical: the best there is
    found = correlations(frame, ["psnr", "ssim", "vif"], resamples=100).set_index(["first", "second"])
    assert found["count"].to_dict() == {("psnr", "ssim"): 120, ("psnr", "vif"): 90, ("ssim", "vif"): 90}
    known = frame[frame["vif"].notna()]
    expected = correlations(known, ["psnr", "ssim", "vif"], resamples=100).set_index(["first", "second"])
    pd.testing.assert_series_equal(found.loc[("psnr", "vif")], expected.loc[("psnr", "vif")])
    assert found.notna().all(axis=None)


def test_a_constant_metric_has_no_correlation():
    found = correlations(table().assign(vsi=1.0), ["psnr", "vsi"])
    assert found[["srcc", "krcc", "plcc", "srcc_low"]].isna().all(axis=None)


def test_a_column_that_is_not_there_is_refused_and_one_metric_alone_has_no_correlations():
    with pytest.raises(DeconvError, match="lacks vif"):
        correlations(table(), ["psnr", "vif"])
    assert correlations(table(), ["psnr"], group="distortion").empty


# ------------------------------------------------------------------------------------------------------ disagreements


def percentiles(values):
    return (stats.rankdata(values) - 1) / (len(values) - 1)


def test_the_best_reversal_is_the_best_of_all_pairs():
    frame = table(seed=1)
    found = disagreements(frame, "psnr", "gmsd", kind="order")
    one, other = percentiles(frame["psnr"]), percentiles(-frame["gmsd"])
    every = np.minimum(one[:, None] - one, other - other[:, None])
    assert found["strength"][0] == pytest.approx(every.max())
    assert found["strength"].is_monotonic_decreasing
    for row in found.to_dict("records"):
        assert row["first_a"] > row["first_b"]
        assert row["second_a"] > row["second_b"]  # GMSD: lower is better, so B is
        assert row["first_a"] == frame["psnr"][row["row_a"]]
        assert row["second_b"] == frame["gmsd"][row["row_b"]]
        assert row["strength"] == pytest.approx(every[row["row_a"], row["row_b"]])


def test_pairs_called_equal_are_next_to_each_other_in_one_metric_and_far_apart_in_the_other():
    frame = table(seed=2, images=40)
    found = disagreements(frame, "psnr", "ssim", kind="equal")
    one, other = percentiles(frame["psnr"]), percentiles(frame["ssim"])
    near = np.abs(one[:, None] - one)
    far = np.where(near <= 0.01 + 1 / len(frame), other[:, None] - other - near, -1)
    assert found["strength"][0] == pytest.approx(far.max())
    assert len(found) == 20
    assert (near[found["row_a"], found["row_b"]] < 0.013).all()
    assert (found["second_a"] > found["second_b"]).all()


@pytest.mark.parametrize("kind", ["equal", "order"])
def test_no_picture_and_no_row_fills_the_list(kind):
    rng = np.random.default_rng(4)
    frame = table(seed=4, images=30)
    loud = frame["image"] == "7.png"  # one picture on which the two have nothing in common
    frame.loc[loud, "ssim"] = rng.permutation(np.linspace(0, 1, loud.sum()))
    found = disagreements(frame, "psnr", "ssim", kind=kind)
    rows = [*found["row_a"], *found["row_b"]]
    assert len(found) == 20
    assert len(set(rows)) == 40
    assert frame["image"][rows].value_counts().max() <= 4


def test_pairs_of_one_reference_can_be_asked_for():
    frame = table(seed=5)
    found = disagreements(frame, "psnr", "ssim", kind="order", within_image=True)
    assert len(found) > 5
    assert (frame["image"][found["row_a"]].to_numpy() == frame["image"][found["row_b"]].to_numpy()).all()


def test_rows_without_scores_take_no_part_and_labels_of_the_index_are_kept():
    frame = table().set_index(np.arange(1000, 1120))
    frame.loc[1000:1050, "ssim"] = np.nan
    found = disagreements(frame, "psnr", "ssim")
    assert min(found[["row_a", "row_b"]].min()) > 1050
    assert disagreements(frame.iloc[:1], "psnr", "ssim").empty


def test_metrics_that_agree_have_no_reversal():
    frame = table().assign(ssim=lambda frame: frame["psnr"] / 50)
    assert disagreements(frame, "psnr", "ssim", kind="order").empty


def test_of_one_reference_too_equal_means_a_hundredth_of_the_whole_table():
    rng = np.random.default_rng(7)
    frame = pd.DataFrame({"image": np.repeat(np.arange(200), 5), "psnr": rng.random(1000), "ssim": rng.random(1000)})
    found = disagreements(frame, "psnr", "ssim", kind="equal", within_image=True)
    one, other, images = percentiles(frame["psnr"]), percentiles(frame["ssim"]), frame["image"].to_numpy()
    near = np.abs(one[found["row_a"]] - one[found["row_b"]])
    assert len(found) == 20
    assert (near <= 0.01 + 1 / len(frame)).all()
    gaps = np.abs(one[:, None] - one)
    every = np.where((images[:, None] == images) & (gaps <= 0.011), other[:, None] - other - gaps, -1)
    assert found["strength"][0] == pytest.approx(every.max())


def test_of_a_large_table_whole_references_are_drawn_by_the_seed(monkeypatch):
    frame = table(images=40).set_index(np.arange(1000, 1600))
    monkeypatch.setattr(relations, "MOST_ROWS", 100)
    part = drawn(frame, seed=3)
    assert len(part) == 90  # six references of 15 versions
    assert part["image"].value_counts().tolist() == [15] * 6
    pd.testing.assert_frame_equal(part, frame.loc[part.index])
    pd.testing.assert_frame_equal(part, drawn(frame, seed=3))
    assert set(part["image"]) != set(drawn(frame, seed=4)["image"])
    found = correlations(frame, ["psnr", "ssim"], group="distortion", resamples=20, seed=3)
    assert found["count"].tolist() == [90, 30, 30, 30]
    for kind in ("equal", "order"):
        pairs = disagreements(frame, "psnr", "ssim", kind=kind, seed=3)
        assert len(pairs) > 0
        assert set(pairs["row_a"]) | set(pairs["row_b"]) <= set(part.index)
    assert drawn_words(frame, 3).endswith("6 of the 40 pictures (90 of 600 candidates), drawn by the seed.")
    assert drawn_words(part, 3) == ""
    assert drawn(part, 3) is part
    assert drawn(frame, most=5)["image"].nunique() == 1


@pytest.mark.parametrize(
    ("arguments", "word"),
    [(("psnr", "psnr"), "twice"), (("psnr", "nlpd"), "lacks nlpd"), (("psnr", "ssim", "odd"), "one of equal, order")],
)
def test_what_cannot_be_compared_is_refused(arguments, word):
    first, second, *kind = arguments
    with pytest.raises(DeconvError, match=word):
        disagreements(table(), first, second, **({"kind": kind[0]} if kind else {}))
