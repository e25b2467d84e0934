"""Every metric answers the same questions, in one parametrised file; what is particular to one follows below."""

import json
import math

import cv2
import numpy as np
import pytest

from deconv_core.errors import DeconvError, ImageError, ModelError
from deconv_core.metrics import METRICS, Metric, Remembered, capped, mean_psnr, metric, recipe
from deconv_core.models.saving import read_card
from deconv_core.samples import photographs

SIDE = 176
KEYS = list(METRICS)
# The exact best value for identical pictures is promised by all but those that compare R(y) with an original.
EXACT = [key for key in KEYS if METRICS[key].identity is not None]
PIXEL_PAIRS = [key for key in KEYS if not METRICS[key].needs_model]


class BlurModel:
    """The smallest honest reconstructor: 8 x 8 averages for a code, a Gaussian blur for a reconstruction."""

    def __init__(self, channels: int | None = None, sigma: float = 1.0) -> None:
        if channels is not None:
            self.channels = channels
        self.sigma = sigma
        self.digest = "0" * 64
        self.card = {"name": "blur"}
        self.calls: list[str] = []

    def reconstruct(self, batch: np.ndarray) -> np.ndarray:
        self.calls.append("reconstruct")
        return np.stack([cv2.GaussianBlur(image, (0, 0), self.sigma).reshape(image.shape) for image in batch])

    def encode(self, batch: np.ndarray) -> np.ndarray:
        self.calls.append("encode")
        num, height, width, channels = batch.shape
        padded = np.pad(batch, ((0, 0), (0, -height % 8), (0, -width % 8), (0, 0)), mode="edge")
        return padded.reshape(num, -(-height // 8), 8, -(-width // 8), 8, channels).mean(axis=(2, 4))


def model_for(key: str) -> BlurModel:
    return BlurModel(channels=1 if key == "deconv" else None)


def score(key: str, reference: np.ndarray | None, candidate: np.ndarray) -> np.ndarray:
    options = {"model": model_for(key)} if METRICS[key].needs_model else {}
    return METRICS[key].function(reference, candidate, **options)


def error_map(key: str, reference: np.ndarray, candidate: np.ndarray) -> np.ndarray:
    options = {"model": model_for(key)} if METRICS[key].needs_model else {}
    return METRICS[key].map_function(reference, candidate, **options)


def worth(key: str, scores: np.ndarray) -> np.ndarray:
    return scores if METRICS[key].higher_is_better else -scores


def pictures(count: int = 3, channels: int = 3) -> np.ndarray:
    batch = photographs(count, SIDE)
    return batch if channels == 3 else batch[..., :1].copy()


def noised(batch: np.ndarray, sigma: float, seed: int = 5) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.clip(batch + sigma * rng.normal(size=batch.shape), 0, 1).astype(np.float32)


def blurred(batch: np.ndarray, sigma: float) -> np.ndarray:
    return np.stack([cv2.GaussianBlur(image, (0, 0), sigma).reshape(image.shape) for image in batch])


# --- the table


@pytest.mark.parametrize("key", KEYS)
def test_a_row_says_all_that_a_screen_needs(key):
    row = METRICS[key]
    assert isinstance(row, Metric)
    assert row.key == key
    assert row.label
    assert row.good
    assert row.version >= 1
    assert row.low < row.high
    assert row.control is None or row.control in METRICS
    assert row.control is not None or not row.needs_model, "a score with a model stands beside one without"
    if row.control:
        assert not METRICS[row.control].needs_model
    assert set(row.recipe) == {"convention", "colour_space", "window", "resize"}


def test_labels_are_distinct():
    assert len({row.label for row in METRICS.values()}) == len(METRICS)


@pytest.mark.parametrize("key", ["recon_self_psnr", "recon_self_ssim"])
def test_self_reconstruction_is_never_called_quality(key):
    assert "Not a measure of quality" in METRICS[key].warning
    assert METRICS[key].control == key.removeprefix("recon_self_")


def test_an_unknown_metric_is_refused():
    with pytest.raises(DeconvError, match="no metric 'snr'; expected one of deconv"):
        metric("snr")


# --- the same questions for all


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("key", EXACT)
def test_identical_pictures_get_exactly_the_best_value(key, channels):
    batch = pictures(channels=channels)
    row = METRICS[key]
    scores = score(key, batch, batch.copy())
    assert scores.tolist() == [row.identity] * len(batch)
    if key == "vif":
        # Alone in this: more contrast than in the reference counts as more information.
        assert (score(key, 0.5 * batch, 0.6 * batch) > row.identity).all()
    else:
        assert row.identity == (row.high if row.higher_is_better else row.low)
    assert not error_map(key, batch, batch.copy()).any()


@pytest.mark.parametrize("key", [key for key in KEYS if key.startswith("recon_true")])
def test_recovered_with_true_is_the_models_own_quality_for_identical_pictures(key):
    batch = pictures()
    assert METRICS[key].identity is None
    assert (score(key, batch, batch) < METRICS[key].high).all()
    assert "do not get the best value" in METRICS[key].warning


@pytest.mark.parametrize("key", [key for key in KEYS if METRICS[key].needs_reference])
@pytest.mark.parametrize("damage", ["noise", "blur"])
def test_scores_get_worse_with_damage(key, damage):
    batch = pictures()
    make = (lambda strength: noised(batch, 0.04 * strength)) if damage == "noise" else (lambda s: blurred(batch, s))
    scores = np.stack([worth(key, score(key, batch, make(strength))) for strength in (1, 2, 4)])
    assert (np.diff(scores, axis=0) < 0).all()


@pytest.mark.parametrize("key", [key for key in KEYS if key.startswith("recon_self")])
def test_self_reconstruction_finds_blur_easy_and_noise_hard(key):
    batch = pictures()
    assert (score(key, None, blurred(batch, 3)) > score(key, None, batch)).all()
    assert (score(key, None, noised(batch, 0.1)) < score(key, None, batch)).all()


@pytest.mark.parametrize("key", [key for key in KEYS if METRICS[key].needs_reference])
def test_scores_never_rise_with_a_change_of_brightness(key):
    batch = pictures() * np.float32(0.8)
    row = METRICS[key]
    if key.startswith(("gradient", "deconv", "vif")):
        # Stated in their docstrings: a change of brightness that keeps every gradient is not seen.
        tolerance = 1e-6 if key == "vif" else 0.2
        assert score(key, batch, batch + np.float32(0.125)) == pytest.approx(row.identity, abs=tolerance)
        return
    scores = np.stack([worth(key, score(key, batch, batch + np.float32(step))) for step in (0.0, 0.1, 0.2)])
    assert (scores[1:] < scores[:-1]).all()


@pytest.mark.parametrize("key", KEYS)
def test_scores_stay_in_their_range(key):
    batch = pictures()
    row = METRICS[key]
    rng = np.random.default_rng(11)
    others = [1 - batch, np.zeros_like(batch), np.ones_like(batch), rng.random(batch.shape, dtype=np.float32)]
    for other in others:
        scores = score(key, batch, other)
        assert np.isfinite(scores).all() or row.identity == math.inf or row.high == math.inf
        assert (scores >= row.low).all()
        assert (scores <= row.high).all()


@pytest.mark.parametrize("key", KEYS)
def test_a_batch_gives_the_scores_of_its_pictures(key):
    reference = pictures(4)
    candidate = noised(reference, 0.05)
    together = score(key, reference, candidate)
    alone = [score(key, reference[[i]], candidate[[i]])[0] for i in range(4)]
    assert together.shape == (4,)
    assert together.dtype == np.float64
    assert together.tolist() == alone
    assert score(key, reference[::-1].copy(), candidate[::-1].copy())[::-1].tolist() == alone


@pytest.mark.parametrize("key", KEYS)
def test_large_pictures_on_several_threads_score_as_alone(key):
    reference = np.stack([np.tile(image, (2, 3, 1)) for image in pictures(2)])
    candidate = noised(reference, 0.05)
    assert score(key, reference, candidate).tolist() == [
        score(key, reference[[i]], candidate[[i]])[0] for i in range(2)
    ]


@pytest.mark.parametrize("key", KEYS)
def test_eight_bit_sixteen_bit_and_float_pictures_agree(key):
    rng = np.random.default_rng(3)
    codes = rng.integers(0, 256, (2, 2, SIDE, SIDE, 3), dtype=np.uint8)
    floats = (codes / 255).astype(np.float32)
    expected = score(key, floats[0], floats[1])
    assert score(key, codes[0], codes[1]) == pytest.approx(expected, rel=1e-6)
    wide = codes.astype(np.uint16) * 257
    assert score(key, wide[0], wide[1]) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("key", KEYS)
def test_flat_pictures_have_a_score(key):
    batch = np.full((2, SIDE, SIDE, 3), 0.25, np.float32)
    scores = score(key, batch, np.full_like(batch, 0.75))
    assert not np.isnan(scores).any()
    if METRICS[key].identity is not None:
        assert score(key, batch, batch.copy()).tolist() == [METRICS[key].identity] * 2


@pytest.mark.parametrize("key", KEYS)
def test_the_smallest_picture_is_scored_and_a_smaller_one_refused(key):
    side = METRICS[key].smallest_side
    rng = np.random.default_rng(4)
    batch = rng.random((1, side, side + 1, 3), dtype=np.float32)
    assert np.isfinite(score(key, batch, 1 - batch)).all()
    assert error_map(key, batch, 1 - batch).shape == (1, side, side + 1)
    if side > 1:
        small = batch[:, : side - 1]
        with pytest.raises(ImageError, match=rf"at least {side} x {side} pixels; the \w+ has {side - 1} x {side + 1}"):
            score(key, small, small)


# What people think of a neighbourhood need not fall with noise: that map is tested with the score, in test_quality.
@pytest.mark.parametrize("key", [key for key in KEYS if not key.startswith("deconv_quality")])
def test_maps_have_the_size_of_the_picture_and_point_at_the_damage(key):
    batch = pictures(2)[:, :171, :173].copy()
    damaged = batch.copy()
    damaged[:, 60:100, 20:60] = noised(batch, 0.25)[:, 60:100, 20:60]
    found = error_map(key, batch, damaged)
    assert found.shape == (2, 171, 173)
    assert found.dtype == np.float32
    assert np.isfinite(found).all()
    assert (found >= 0).all()
    if METRICS[key].identity is None:
        found = found - error_map(key, batch, batch)
    inside, outside = found[:, 60:100, 20:60].mean(axis=(1, 2)), found[:, :, 110:].mean(axis=(1, 2))
    assert (inside > 3 * np.abs(outside)).all()


@pytest.mark.parametrize("key", KEYS)
def test_wrong_input_is_refused_in_one_sentence(key):
    batch = pictures(1)
    with pytest.raises(ImageError, match=r"shape \(N, height, width, 1 or 3\); the \w+ has shape \(176, 176, 3\)"):
        score(key, batch[0], batch[0])
    with pytest.raises(ImageError, match=r"needs finite values; the \w+ holds NaN or infinity"):
        score(key, batch * np.float32(np.nan), batch * np.float32(np.nan))
    with pytest.raises(ImageError, match=r"values in \[0, 1\]; the \w+ reaches from 0 to 255"):
        score(key, *[np.round(np.linspace(0, 255, batch.size)).reshape(batch.shape).astype(np.float32)] * 2)
    with pytest.raises(ImageError, match=r"needs float values in \[0, 1\], uint8 or uint16; the \w+ has type int64"):
        score(key, *[np.zeros(batch.shape, np.int64)] * 2)
    if METRICS[key].needs_reference:
        with pytest.raises(ImageError, match=r"one shape; got \(1, 176, 176, 3\) and \(1, 176, 170, 3\)"):
            score(key, batch, batch[:, :, :170])


@pytest.mark.parametrize("key", [key for key in KEYS if METRICS[key].needs_model])
def test_a_missing_model_is_refused_in_one_sentence(key):
    batch = pictures(1)
    with pytest.raises(ModelError, match=rf"{key} needs a model with \w+\(\); none arrived"):
        METRICS[key].function(batch, batch, model=None)
    with pytest.raises(ModelError, match=r"object has no \w+\(\)"):
        METRICS[key].function(batch, batch, model=object())


@pytest.mark.parametrize("key", KEYS)
def test_input_is_left_as_it_was(key):
    reference, candidate = pictures(2), noised(pictures(2), 0.05)
    before = reference.copy(), candidate.copy()
    score(key, reference, candidate)
    error_map(key, reference, candidate)
    assert np.array_equal(reference, before[0])
    assert np.array_equal(candidate, before[1])


# --- recipes


@pytest.mark.parametrize("key", KEYS)
def test_a_recipe_is_json_with_a_hash_that_follows_its_content(key):
    made = recipe(key, BlurModel())
    assert json.loads(json.dumps(made)) == made
    assert made["version"] == METRICS[key].version
    assert recipe(key, BlurModel()) == made
    other = BlurModel()
    other.digest = "1" * 64
    assert (recipe(key, other)["hash"] != made["hash"]) == METRICS[key].needs_model
    if METRICS[key].own_model:
        assert made["model"] == METRICS[key].own_model
        assert made["model_digest"] == read_card(METRICS[key].own_model)["digest"]
    else:
        assert made["model_digest"] == ("0" * 64 if METRICS[key].needs_model else None)


def test_recipes_differ_between_metrics():
    assert len({recipe(key)["hash"] for key in KEYS}) == len(KEYS)


# --- PSNR in means


def test_identical_pairs_count_as_100_db_in_means():
    assert capped(np.array([math.inf, 30.0, 120.0])).tolist() == [100.0, 30.0, 100.0]
    assert mean_psnr(np.array([math.inf, 20.0])) == 60.0


# --- models


def test_ten_scores_cost_one_pass_per_picture():
    reference, candidate = pictures(2), noised(pictures(2), 0.05)
    model = BlurModel()
    seen = Remembered(model)
    for key in KEYS:
        if METRICS[key].needs_model:
            METRICS[key].function(reference, candidate, model=Remembered(BlurModel(1)) if key == "deconv" else seen)
    assert sorted(model.calls) == ["encode", "encode", "reconstruct", "reconstruct"]


def test_a_remembered_model_never_mixes_up_arrays_and_forgets_old_ones():
    model = BlurModel()
    seen = Remembered(model)
    expected = {}
    for number in range(30):
        batch = np.full((1, 8, 8, 1), number / 30, np.float32)
        expected[number] = seen.reconstruct(batch).mean()
        del batch
    assert expected == pytest.approx({number: number / 30 for number in range(30)}, abs=1e-6)
    assert len(model.calls) == 30
    assert len(seen._answers) <= 12


def test_a_remembered_model_passes_the_rest_on():
    assert Remembered(BlurModel()).digest == "0" * 64
    with pytest.raises(AttributeError, match="stride"):
        _ = Remembered(BlurModel()).stride


def test_a_grey_model_sees_luma_and_a_colour_model_sees_grey_repeated():
    colour = pictures(2)
    grey = (colour.astype(np.float64) @ [0.299, 0.587, 0.114]).astype(np.float32)[..., None]
    damaged, grey_damaged = 1 - colour, 1 - grey
    function = METRICS["recon_pair_psnr"].function
    assert function(colour, damaged, model=BlurModel(1)) == pytest.approx(
        function(grey, grey_damaged, model=BlurModel(1)), rel=1e-5
    )
    assert function(grey, grey_damaged, model=BlurModel(3)) == pytest.approx(
        function(grey, grey_damaged, model=BlurModel(1)), rel=1e-5
    )


def test_deconv_refuses_a_colour_model():
    batch = pictures(1)
    with pytest.raises(ModelError, match=r"deconv needs a grey model \(1 channel\); this one has 3"):
        METRICS["deconv"].function(batch, batch, model=BlurModel(3))


def test_deconv_with_a_gaussian_for_a_model_is_its_own_control():
    reference, candidate = pictures(3), noised(pictures(3), 0.06)

    class Gaussian(BlurModel):
        def reconstruct(self, batch):
            return np.stack([cv2.GaussianBlur(image, (0, 0), 2)[..., None] for image in batch])

    found = METRICS["deconv"].function(reference, candidate, model=Gaussian(1))
    assert found == pytest.approx(METRICS["deconv_control"].function(reference, candidate), abs=1e-3)


def test_codes_of_another_shape_are_refused():
    class Flat(BlurModel):
        def encode(self, batch):
            return batch.mean(axis=(1, 2))

    with pytest.raises(ModelError, match=r"codes of shape \(N, height, width, channels\); encode\(\) gave \(1, 3\)"):
        METRICS["recon_pair_code"].function(pictures(1), pictures(1), model=Flat())
