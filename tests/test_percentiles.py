"""Percentiles within a set, and within the bundled one."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from deconv_core import percentiles
from deconv_core.comparison import CompareSettings, compare, read_result
from deconv_core.errors import DeconvError
from deconv_core.metrics import METRICS, recipe
from deconv_core.percentiles import QUANTILES_FILE, against_reference, make_quantiles, reference_set, within


def test_a_percentile_is_the_share_that_is_no_better_whichever_way_the_metric_counts():
    frame = pd.DataFrame({"psnr": [20, 30, np.inf, np.nan], "gmsd": [0.3, 0.1, 0.1, 0.2]}, index=[4, 5, 6, 7])
    found = within(frame, ["psnr", "gmsd"])
    assert found.index.tolist() == [4, 5, 6, 7]
    np.testing.assert_allclose(found["psnr"], [100 / 3, 200 / 3, 100, np.nan])
    np.testing.assert_allclose(found["gmsd"], [25, 100, 100, 50])


def test_a_column_that_is_not_there_is_refused():
    with pytest.raises(DeconvError, match="lacks ssim"):
        within(pd.DataFrame({"psnr": [1.0]}), ["ssim"])


def test_the_bundled_set_is_small_and_says_how_it_was_made():
    assert QUANTILES_FILE.stat().st_size <= 100_000
    found = reference_set()
    assert found["images"] == 10
    assert found["rows"] > 700
    assert len(found["distortions"]) == 16
    assert found["commands"][0].startswith("python -m deconv_core compare --data samples")
    assert "metrics" not in found


def stored():
    return json.loads(QUANTILES_FILE.read_text(encoding="utf-8"))["metrics"]


def test_the_bundled_set_is_that_of_the_present_metrics():
    assert {key: made["version"] for key, made in stored().items()} == {key: METRICS[key].version for key in stored()}
    # These judge a picture without its reference and came after the set was scored: they have no place in it yet.
    assert set(METRICS) - set(stored()) == {"deconv_quality", "deconv_quality_control", "detail"}
    assert against_reference("deconv_quality", [50.0]) is None


@pytest.mark.parametrize("key", [key for key in stored() if not METRICS[key].needs_model])
def test_better_scores_stand_higher_in_the_bundled_set(key):
    row, made = METRICS[key], stored()[key]
    quantiles = np.array(made["quantiles"])
    places = against_reference(key, quantiles, made)
    assert (np.diff(places) >= 0).all()
    # Many may share the worst score: all of them are no better than it.
    assert places[0] == pytest.approx(100 * np.mean(quantiles == quantiles[0]), abs=1.01)
    assert places[-1] == 100
    beyond = 1 if row.higher_is_better else -1
    found = against_reference(key, [row.identity, quantiles[0] - beyond, quantiles[-1] + beyond, np.nan], made)
    np.testing.assert_array_equal(found, [100, 0, 100, np.nan])


def test_the_middle_of_the_bundled_set_stands_in_the_middle():
    middle = stored()["psnr"]["quantiles"][50]
    assert against_reference("psnr", [middle])[0] == pytest.approx(50, abs=0.6)


def test_another_version_or_model_gets_no_percentile():
    assert against_reference("psnr", [30.0], recipe("psnr")) is not None
    assert against_reference("psnr", [30.0], {**recipe("psnr"), "version": 99}) is None
    made = stored()["deconv"]
    same = {**recipe("deconv"), "version": made["version"], "model_digest": made["model_digest"]}
    assert against_reference("deconv", [50.0], same) is not None
    assert against_reference("deconv", [50.0], {**same, "model_digest": "0" * 64}) is None
    assert against_reference("deconv", [50.0]) is None  # without a recipe nobody knows the model
    assert against_reference("mine", [50.0], {"version": 1, "model_digest": None}) is None


def test_quantiles_are_scores_of_the_set(tmp_path, monkeypatch):
    data = CompareSettings("samples", include="c*", metrics=("psnr", "gmsd"), distortions=("jpeg",))
    compare(data, tmp_path / "run", command="python -m deconv_core compare")
    found = read_result(tmp_path / "run")
    made = make_quantiles(found)
    assert (made["images"], made["rows"]) == (3, 15)
    values = made["metrics"]["gmsd"]["quantiles"]
    assert len(values) == 101
    assert values[0] == pytest.approx(found.frame["gmsd"].max(), rel=1e-5)  # lower is better: the worst comes first
    assert values[-1] == pytest.approx(found.frame["gmsd"].min(), rel=1e-5)

    path = percentiles.write_quantiles([tmp_path / "run"], tmp_path / "quantiles.json")
    written = json.loads(path.read_text())
    assert written["metrics"] == made["metrics"]
    assert written["commands"] == ["python -m deconv_core compare", "python -m deconv_core.percentiles run"]
    # The set against itself: every score stands where it stands within the set, up to the steps between 15 scores.
    monkeypatch.setattr(percentiles, "QUANTILES_FILE", path)
    percentiles._stored.cache_clear()
    try:
        places = against_reference("gmsd", found.frame["gmsd"], found.recipes["gmsd"])
        np.testing.assert_allclose(places, within(found.frame, ["gmsd"])["gmsd"], atol=100 / 15)
    finally:
        percentiles._stored.cache_clear()


def test_changed_metrics_take_the_place_of_the_earlier_ones(tmp_path):
    data = CompareSettings("samples", include="c*", metrics=("psnr", "gmsd"), distortions=("jpeg",))
    compare(data, tmp_path / "all")
    compare(replace(data, metrics=("psnr", "mdsi")), tmp_path / "new")
    compare(replace(data, seed=1), tmp_path / "other")
    path = percentiles.write_quantiles([tmp_path / "all", tmp_path / "new"], tmp_path / "quantiles.json")
    assert list(json.loads(path.read_text())["metrics"]) == ["psnr", "gmsd", "mdsi"]
    with pytest.raises(DeconvError, match="differ in pictures"):
        percentiles.write_quantiles([tmp_path / "all", tmp_path / "other"], tmp_path / "quantiles.json")
    with pytest.raises(DeconvError, match="got none"):
        percentiles.write_quantiles([])


def test_an_unfinished_comparison_makes_no_quantiles(tmp_path):
    def interrupt(done, total):
        raise KeyboardInterrupt

    data = CompareSettings("samples", include="c*", metrics=("psnr",), distortions=("jpeg",))
    with pytest.raises(KeyboardInterrupt):
        compare(data, tmp_path / "run", report=interrupt)
    with pytest.raises(DeconvError, match="not finished"):
        make_quantiles(read_result(tmp_path / "run"))
