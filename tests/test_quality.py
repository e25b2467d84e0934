"""The score without a reference: stored values, an interval around the score, reasons, a map, and an honest card."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from deconv_core.distortions import distort
from deconv_core.errors import ImageError
from deconv_core.metrics import METRICS
from deconv_core.metrics.deconv_quality import MODEL, calibration, deconv_quality, deconv_quality_map, judge
from deconv_core.metrics.deconv_quality_control import GaussianBlur, deconv_quality_control
from deconv_core.metrics.deconv_quality_control import calibration as control_calibration
from deconv_core.metrics.detail import detail, detail_map
from deconv_core.models.saving import load_model
from deconv_core.quality_reasons import in_words
from deconv_core.residual_statistics import statistics_of
from deconv_core.samples import photographs

EXPECTED = json.loads((Path(__file__).parent / "expected" / "quality.json").read_text(encoding="utf-8"))
SIDE = 192


@pytest.fixture(scope="module")
def pictures() -> np.ndarray:
    return photographs(4, SIDE)


@pytest.mark.parametrize("key", EXPECTED["values"])
def test_stored_values(key, pictures):
    """Made by the command in the file; another processor rounds the network's sums differently."""
    found = METRICS[key].function(None, pictures)
    np.testing.assert_allclose(found, EXPECTED["values"][key], atol=2e-3 * max(1, np.max(EXPECTED["values"][key])))


@pytest.mark.parametrize(
    ("found", "rebuilder"),
    [(calibration, lambda: load_model(MODEL)), (control_calibration, GaussianBlur)],
    ids=["network", "control"],
)
def test_what_cannot_be_rebuilt_is_as_in_the_photographs_of_the_calibration(found, rebuilder):
    """Statistics of another network, or of another blur, lie elsewhere than those that the calibration was fitted to.

    How the residual's size is shared among its scales tells them apart best: with a blur of 1.5 or of 2 pixels instead
    of 1.2, it lies 0.65 and 1.24 standard deviations from the mean.
    """
    features = statistics_of(photographs(12, SIDE), rebuilder())
    away = np.abs(((features - found().mean) / found().scale).mean(axis=0))
    kinds = np.array([name.partition(":")[0] for name in found().names])
    assert away[kinds == "share"].mean() < 0.5
    assert away[kinds == "residual"].mean() < 0.6


def test_strong_blur_is_seen(pictures):
    blurred = np.stack([distort(picture, "gaussian_blur", 3) for picture in pictures])
    assert (deconv_quality(None, blurred) < deconv_quality(None, pictures) - 0.1).all()
    assert (detail(None, blurred) < detail(None, pictures) / 2).all()


def test_a_blank_picture_is_worse_than_a_photograph(pictures):
    blanks = np.stack([np.full((SIDE, SIDE, 3), value, np.float32) for value in (0, 128 / 255, 1)])
    for score in (deconv_quality, deconv_quality_control):
        assert score(None, blanks).max() < score(None, pictures).min()


def test_the_reference_is_not_looked_at(pictures):
    np.testing.assert_array_equal(deconv_quality(None, pictures), deconv_quality(1 - pictures, pictures))


def test_detail_is_the_mean_absolute_residual(pictures):
    residual = np.abs(pictures - load_model(MODEL).reconstruct(pictures))
    np.testing.assert_allclose(detail(None, pictures), 255 * residual.mean(axis=(1, 2, 3)), rtol=1e-5)
    np.testing.assert_allclose(detail_map(None, pictures), residual.mean(axis=-1), atol=1e-5)


def test_detail_rises_with_noise_and_is_never_called_quality(pictures):
    noisy = np.stack([distort(picture, "white_noise", 3) for picture in pictures])
    assert (detail(None, noisy) > 2 * detail(None, pictures)).all()
    row = METRICS["detail"]
    assert "quality" not in row.label.lower() + row.good.lower()
    assert "not of quality" in row.warning


def test_a_judgement_has_an_interval_and_reasons(pictures):
    blurred = np.stack([distort(picture, "gaussian_blur", 4) for picture in pictures])
    for judged, score in zip(judge(blurred), deconv_quality(None, blurred), strict=True):
        assert judged.score == score
        assert 0 <= judged.low < judged.score < judged.high <= 1
        effects = [abs(reason.effect) for reason in judged.reasons]
        assert effects == sorted(effects, reverse=True)
        words = in_words(judged.reasons)
        assert "Lowered most by" in words
        assert "little fine detail" in words


def test_the_map_shows_where_a_picture_is_blurred(pictures):
    half = pictures.copy()
    half[:, :, : SIDE // 2] = np.stack([distort(picture, "gaussian_blur", 4) for picture in pictures])[
        :, :, : SIDE // 2
    ]
    found = deconv_quality_map(None, half)
    assert found.shape == half.shape[:3]
    assert found.dtype == np.float32
    assert found.min() >= 0
    assert found.max() <= 1
    assert (found[:, :, : SIDE // 4].mean(axis=(1, 2)) > found[:, :, -SIDE // 4 :].mean(axis=(1, 2)) + 0.05).all()


def test_large_photographs_are_judged_at_the_size_of_a_screen(pictures):
    large = np.repeat(np.repeat(pictures[:1], 8, axis=1), 8, axis=2)  # 1,536 pixels, reduced to 512
    once = np.stack([np.clip(picture, 0, 1) for picture in large])
    assert deconv_quality(None, once).shape == (1,)
    assert deconv_quality_map(None, once).shape == (1, 8 * SIDE, 8 * SIDE)


@pytest.mark.parametrize("found", [calibration, control_calibration], ids=["network", "control"])
def test_the_card_tells_the_honest_reading(found):
    card = found().card
    held_out = card["held_out"]
    assert held_out["network"]["within"][0] >= 0.60
    assert held_out["network"]["pooled"][0] >= 0.70
    low, high = held_out["network less control"]["within"][1:]
    assert low < held_out["network less control"]["within"][0] < high
    assert 0.5 < held_out["subset alone"]["pooled"][0] < held_out["network"]["pooled"][0]
    low, high = held_out["shuffled"]["within"][1:]
    assert low < 0 < high
    assert 0.93 < held_out["interval_covers"] < 0.98
    assert card["calibrated_on"]["data_set"] == "BIQ2021"
    assert "scene" in card["near_duplicates"]
    assert "Not for" in card["use"]
    assert card["laws"]


def test_the_control_is_told_beside_the_score():
    card = calibration().card
    readme = (Path(__file__).resolve().parent.parent / "README.md").read_text(encoding="utf-8")
    for key in ("network", "control"):
        value, low, high = (f"{number:.3f}".lstrip("0") for number in card["held_out"][key]["within"])
        assert f"{value} [{low}, {high}]" in readme


def test_files_are_small():
    folder = Path(__file__).resolve().parent.parent / "deconv_core" / "metrics" / "calibrated"
    assert sum(file.stat().st_size for file in folder.iterdir()) < 6 * 2**20


def test_small_pictures_are_refused():
    with pytest.raises(ImageError, match="deconv_quality needs pictures of at least 64 x 64"):
        deconv_quality(None, np.zeros((1, 63, 64, 3), np.float32))
    assert math.isfinite(detail(None, np.zeros((1, 8, 8, 3), np.float32))[0])
