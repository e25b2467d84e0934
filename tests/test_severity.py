"""Severity curves of a set: quartiles, and steps in which more damage scored better."""

import numpy as np
import pandas as pd
import pytest

from deconv_core.errors import DeconvError
from deconv_core.severity import broken_steps, spread


def table(**columns: list[float]) -> pd.DataFrame:
    """Two pictures under blur at three severities, a row each."""
    return pd.DataFrame(
        {
            "image": ["a", "a", "a", "b", "b", "b"],
            "distortion": "gaussian_blur",
            "severity": [1.0, 2.0, 3.0, 1.0, 2.0, 3.0],
            **columns,
        }
    )


def test_spread_is_the_quartiles_of_every_severity():
    found = spread(table(psnr=[40, 30, 20, 44, 34, 24]), ["psnr"])
    assert found["severity"].tolist() == [1, 2, 3]
    assert found["median"].tolist() == [42, 32, 22]
    assert found["low"].tolist() == [41, 31, 21]
    assert found["high"].tolist() == [43, 33, 23]
    assert found["count"].tolist() == [2, 2, 2]


def test_spread_leaves_out_what_is_no_finite_number():
    found = spread(table(psnr=[np.inf, 30, 20, 44, np.nan, np.nan], ssim=[np.nan] * 6), ["psnr", "ssim"])
    assert found["metric"].tolist() == ["psnr"] * 3
    assert found["median"].tolist() == [44, 30, 20]
    assert found["count"].tolist() == [1, 1, 1]


def test_a_step_is_broken_where_more_damage_scored_better():
    found = broken_steps(table(psnr=[40, 41, 20, 44, 34, 35], gmsd=[0.1, 0.2, 0.3, 0.3, 0.2, 0.1]), ["psnr", "gmsd"])
    psnr, gmsd = found.to_dict("records")
    assert (psnr["steps"], psnr["broken"], psnr["pictures"]) == (4, 2, 2)
    assert (gmsd["steps"], gmsd["broken"], gmsd["pictures"], gmsd["worst"]) == (4, 2, 1, "b")  # lower is better


def test_the_picture_with_the_largest_rise_is_named():
    [row] = broken_steps(table(psnr=[40, 41, 20, 44, 34, 39]), ["psnr"]).to_dict("records")
    assert row["worst"] == "b"


def test_ties_and_missing_scores_break_nothing():
    same = table(psnr=[np.inf, np.inf, 20, 44, np.nan, 40], ssim=[0.9, 0.9 + 1e-9, 0.9, 0.8, 0.7, 0.6])
    psnr, ssim = broken_steps(same, ["psnr", "ssim"]).to_dict("records")
    assert (psnr["steps"], psnr["broken"], psnr["worst"]) == (2, 0, "")
    assert (ssim["steps"], ssim["broken"]) == (4, 0)


def test_a_rise_to_infinity_is_broken():
    [row] = broken_steps(table(psnr=[40, np.inf, 30, 44, 34, 24]), ["psnr"]).to_dict("records")
    assert (row["broken"], row["worst"]) == (1, "a")


def test_one_severity_has_no_steps():
    [row] = broken_steps(table(psnr=[1] * 6).query("severity == 1"), ["psnr"]).to_dict("records")
    assert (row["steps"], row["broken"], row["pictures"]) == (0, 0, 0)


def test_a_direction_can_be_given_for_columns_that_are_no_metric():
    rising = table(badness=[1, 2, 3, 1, 2, 3])
    assert broken_steps(rising, ["badness"], {"badness": False})["broken"].tolist() == [0]
    assert broken_steps(rising, ["badness"], {"badness": True})["broken"].tolist() == [4]


@pytest.mark.parametrize("work", [spread, broken_steps])
def test_missing_columns_are_named(work):
    with pytest.raises(DeconvError, match="needs also severity, vsi"):
        work(table(psnr=[1] * 6).drop(columns="severity"), ["psnr", "vsi"])
