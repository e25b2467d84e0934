"""The sanity laws, on a metric that keeps them and on some that break one each."""

import dataclasses
import json

import cv2
import numpy as np
import pytest

from deconv_core.errors import DeconvError
from deconv_core.metrics import METRICS, Metric
from deconv_core.metrics.laws import LADDERS, check_laws, check_many
from deconv_core.models.saving import load_model
from deconv_core.samples import photographs


def few() -> np.ndarray:
    return photographs(4, 96)


def planted(function, **changes) -> Metric:
    """A metric of our own, in [0, 1], higher is better unless changed."""
    row = dataclasses.replace(METRICS["psnr"], key="planted", function=function, unit="", low=0, high=1, identity=1.0)
    return dataclasses.replace(row, **changes)


def law(report, name):
    return next(found for found in report.laws if found.name == name)


def closeness(reference, candidate):
    reference, candidate = (np.asarray(b) / (255 if b.dtype == np.uint8 else 1) for b in (reference, candidate))
    return 1 - np.abs(reference - candidate).mean(axis=(1, 2, 3), dtype=np.float64)


@pytest.mark.slow
def test_psnr_keeps_every_law_on_twenty_photographs_and_twenty_steps():
    report = check_laws("psnr")
    assert report.passed, report.failed
    assert law(report, "monotone").details["compared"] == 20 * 20 * len(LADDERS)


@pytest.mark.slow
@pytest.mark.parametrize("key", ["gradient_information", "deconv_control"])
def test_our_own_scores_keep_every_law(key):
    report = check_laws(key)
    assert report.passed, report.failed


@pytest.mark.slow
def test_the_headline_with_its_network_keeps_every_law_where_it_is_hardest():
    # JPEG is where a rebuilt view loses sight of a damage: a geometric mean of the views turns around here.
    report = check_laws("deconv", model=load_model("grey_denoise"), ladders=("jpeg",))
    assert report.passed, report.failed


def test_a_sound_metric_passes_and_its_report_is_json():
    report = check_laws("psnr", photographs=few(), steps=5)
    assert report.passed
    assert report.failed == []
    card = json.loads(json.dumps(report.as_json(), allow_nan=False))
    assert card["passed"] is True
    assert card["failed"] == []
    assert set(card["laws"]) == {
        "identity", "monotone", "blank", "blank_against_light_damage", "batch", "type", "symmetry", "shift",
        "brightness",
    }  # fmt: skip
    assert card["laws"]["symmetry"]["symmetric"] is True
    assert card["laws"]["shift"]["passed"] is None


def test_a_metric_that_prefers_blur_is_found_out():
    def smoothness(reference, candidate):
        batch = np.asarray(candidate) / (255 if candidate.dtype == np.uint8 else 1)
        return 1 - np.abs(np.diff(batch, axis=1)).mean(axis=(1, 2, 3), dtype=np.float64)

    report = check_laws(planted(smoothness), photographs=few(), steps=5)
    assert not report.passed
    assert law(report, "identity").passed is False
    assert "Identical pictures do not get the best value" in report.failed[0]
    sentence = law(report, "monotone").sentence
    assert sentence.startswith("More damage gave a better score in ")
    assert "Gaussian blur of photograph 1: " in sentence
    assert "at unchanged, but" in sentence
    assert law(report, "monotone").details["inversions"]["gaussian_blur"] == 20
    assert law(report, "blank").passed is False
    assert "black picture scores at least as well as the photograph for 4 of 4" in law(report, "blank").sentence


def test_self_reconstruction_breaks_the_laws_and_recovered_pairs_keep_them():
    class Blur:
        def reconstruct(self, batch):
            return np.stack([cv2.GaussianBlur(image, (0, 0), 1).reshape(image.shape) for image in batch])

    reports = check_many(["recon_self_psnr", "recon_pair_psnr"], model=Blur(), photographs=few(), steps=4)
    assert list(reports) == ["recon_self_psnr", "recon_pair_psnr"]
    assert reports["recon_pair_psnr"].passed, reports["recon_pair_psnr"].failed
    broken = {found.name for found in reports["recon_self_psnr"].laws if found.passed is False}
    assert {"identity", "monotone", "blank"} <= broken


def test_the_model_sees_every_batch_once_however_many_metrics_ask():
    class Counting:
        calls = 0

        def reconstruct(self, batch):
            self.calls += 1
            return batch

    few_metrics, many_metrics = Counting(), Counting()
    check_many(["recon_pair_psnr"], model=few_metrics, photographs=few(), steps=2, ladders=("contrast",))
    keys = ["recon_pair_psnr", "recon_pair_ssim", "recon_true_psnr", "recon_true_ssim"]
    check_many(keys, model=many_metrics, photographs=few(), steps=2, ladders=("contrast",))
    # The ladder's three rungs are shared; copies and single pictures of the other laws are seen by each metric anew.
    alone = few_metrics.calls
    assert many_metrics.calls <= 4 * alone - 3 * 3


def test_a_lower_is_better_metric_is_judged_by_its_own_direction():
    def distance(reference, candidate):
        return 1 - closeness(reference, candidate)

    row = planted(distance, higher_is_better=False, identity=0.0)
    report = check_laws(row, photographs=few(), steps=4, ladders=("gaussian_blur", "contrast"))
    assert report.passed, report.failed
    wrong = check_laws(dataclasses.replace(row, higher_is_better=True), photographs=few(), steps=4)
    assert law(wrong, "monotone").passed is False


def test_scores_that_depend_on_neighbours_are_found_out():
    def relative(reference, candidate):
        scores = closeness(reference, candidate)
        return scores / scores.max()

    report = check_laws(planted(relative), photographs=few(), steps=2)
    assert law(report, "batch").passed is False
    assert "Scores depend on the batch" in law(report, "batch").sentence


def test_scores_that_depend_on_the_type_are_found_out():
    def confused(reference, candidate):
        return closeness(reference.astype(np.float32), candidate.astype(np.float32))

    report = check_laws(planted(confused), photographs=few(), steps=2)
    assert law(report, "type").passed is False
    assert "8-bit and float pictures get scores that differ" in law(report, "type").sentence


def test_a_score_that_is_no_number_breaks_the_ladder():
    def broken(reference, candidate):
        scores = closeness(reference, candidate)
        return np.where(scores < 0.97, np.nan, scores)

    report = check_laws(planted(broken), photographs=few(), steps=4)
    assert law(report, "monotone").passed is False


def test_an_unknown_metric_is_refused():
    with pytest.raises(DeconvError, match="no metric 'beauty'"):
        check_laws("beauty")
