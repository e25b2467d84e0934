"""Distortions: each ladder gets worse at every step, a seed repeats, and the stated strength is the real one."""

import numpy as np
import pytest

from deconv_core.distortions import DISTORTIONS, distort, distort_all
from deconv_core.errors import DeconvError, ImageError
from deconv_core.images import to_channels, to_uint8
from deconv_core.samples import photographs

LADDER = np.linspace(0.25, 5, 20)
SEEDED = {"white_noise", "colour_noise", "impulse_noise", "block_loss"}


def _mse(reference, candidate):
    return float(np.mean((reference.astype(np.float64) - candidate) ** 2))


def _psnr(reference, candidate):
    return -10 * np.log10(_mse(reference, candidate))


@pytest.fixture(scope="module")
def crops():
    return photographs(3)


def test_the_table_has_the_published_kinds():
    assert set(DISTORTIONS) >= {
        *("gaussian_blur", "motion_blur", "lens_blur", "white_noise", "colour_noise", "impulse_noise", "jpeg"),
        *("jpeg2000", "webp", "contrast", "brightness", "saturation", "colour_quantisation", "resampling"),
        *("banding", "block_loss"),
    }
    assert all(key == row.key for key, row in DISTORTIONS.items())
    assert {key for key, row in DISTORTIONS.items() if row.seeded} == SEEDED
    assert len({row.label for row in DISTORTIONS.values()}) == len(DISTORTIONS)


@pytest.mark.parametrize(
    ("key", "channels"),
    [
        (key, channels)
        for key, row in DISTORTIONS.items()
        for channels in (1, 3)
        if channels == 3 or not row.needs_colour
    ],
)
def test_psnr_falls_at_every_one_of_twenty_steps(crops, key, channels):
    for crop in crops:
        reference = to_uint8(to_channels(crop, channels)) / np.float32(255)
        scores = [_psnr(reference, distort(reference, key, severity)) for severity in LADDER]
        assert np.all(np.diff(scores) < 0), np.round(scores, 2)
        assert scores[0] > 26, "the first step is mild"
        assert scores[-1] < 33, "the last step is severe"


@pytest.mark.slow
@pytest.mark.parametrize("key", DISTORTIONS)
def test_psnr_falls_along_the_ladder_for_all_twenty_photographs(key):
    for index, crop in enumerate(photographs()):
        if DISTORTIONS[key].needs_colour and not np.ptp(crop, axis=-1).any():
            continue
        scores = [_psnr(crop, distort(crop, key, severity)) for severity in LADDER]
        assert np.all(np.diff(scores) < 0), (index, np.round(scores, 2))


@pytest.mark.parametrize("key", DISTORTIONS)
def test_severity_zero_only_rounds(key):
    pixels = np.random.default_rng(0).random((9, 7, 3), dtype=np.float32)
    expected = to_uint8(pixels) / np.float32(255)
    np.testing.assert_array_equal(distort(pixels, key, 0), expected)
    assert DISTORTIONS[key].describe(0) == "unchanged"


@pytest.mark.parametrize("key", DISTORTIONS)
@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 1, 1), (2, 3, 3), (1, 40, 1), (17, 33, 3), (5, 1, 3), (40, 16, 1)])
def test_any_shape_comes_back_in_eight_bit_steps(key, shape):
    pixels = np.random.default_rng(1).random(shape, dtype=np.float32)
    before = pixels.copy()
    for severity in (0.1, 2.5, 5):
        result = distort(pixels, key, severity)
        assert result.shape == shape
        assert result.dtype == np.float32
        np.testing.assert_array_equal(result, to_uint8(result) / np.float32(255))
    np.testing.assert_array_equal(pixels, before)


@pytest.mark.parametrize("key", DISTORTIONS)
def test_a_seed_repeats_and_another_differs_only_for_random_kinds(crops, key):
    first, again, other = (distort(crops[0], key, 3, seed=seed) for seed in (4, 4, 5))
    np.testing.assert_array_equal(first, again)
    assert np.array_equal(first, other) == (key not in SEEDED)


@pytest.mark.parametrize("key", DISTORTIONS)
def test_the_strength_moves_one_way_through_the_published_levels(key):
    row = DISTORTIONS[key]
    assert [row.strength(severity) for severity in range(1, 6)] == list(row.levels)
    strengths = [row.strength(severity) for severity in LADDER]
    steps = np.diff(strengths)
    assert np.all(steps > 0) or np.all(steps < 0), strengths
    assert len({row.describe(severity) for severity in range(6)}) == 6


def test_describe_names_number_and_unit():
    assert DISTORTIONS["gaussian_blur"].describe(3) == "sigma 2.00 px"
    assert DISTORTIONS["jpeg"].describe(5) == "quality 8"
    assert DISTORTIONS["webp"].describe(4) == "quality 10"
    assert DISTORTIONS["webp"].describe(3.9) == "quality 11.5"


@pytest.mark.parametrize("key", DISTORTIONS)
def test_grey_as_three_channels_stays_grey_where_channels_are_treated_alike(key):
    grey = np.repeat(photographs(6, 64)[5][..., :1], 3, axis=-1)
    result = distort(grey, key, 3)
    if key not in {"white_noise", "colour_noise"}:  # these draw one field per channel
        assert np.ptp(result, axis=-1).max() <= 2 / 255


def test_colours_keep_their_order():
    # Red, green and blue patches: a codec that mixed up the channel order would swap the first and the last.
    patches = np.repeat(np.repeat(np.eye(3, dtype=np.float32)[None] * 0.6 + 0.2, 32, axis=0), 32, axis=1)
    for key in DISTORTIONS:
        result = distort(patches, key, 1)
        for channel in range(3):
            middle = result[8:24, channel * 32 + 8 : channel * 32 + 24].reshape(-1, 3)
            assert np.median(middle, axis=0).argmax() == channel, key


def test_gaussian_blur_is_scipys():
    ndimage = pytest.importorskip("scipy.ndimage")
    pixels = np.random.default_rng(2).random((60, 70, 3), dtype=np.float32)
    rounded = distort(pixels, "gaussian_blur", 0)
    expected = ndimage.gaussian_filter(rounded.astype(np.float64), (2, 2, 0), mode="reflect", truncate=4)
    assert np.abs(distort(pixels, "gaussian_blur", 3) - expected).max() <= 0.5001 / 255


@pytest.mark.parametrize("key", ["gaussian_blur", "motion_blur", "lens_blur"])
def test_a_blur_spreads_a_point_as_far_as_it_states(key):
    point = np.zeros((101, 101, 1), np.float32)
    point[50, 50] = 1
    row = DISTORTIONS[key]
    # The function behind the row, because a point spread this thin would vanish in 8 bits.
    spread = row.apply(point, row.levels[4], np.random.default_rng(0))[..., 0].astype(np.float64)
    assert spread.sum() == pytest.approx(1, abs=1e-4)
    axis = np.arange(101) - 50.0
    x, y = spread.sum(axis=0) @ axis, spread.sum(axis=1) @ axis
    assert (x, y) == (pytest.approx(0, abs=1e-3), pytest.approx(0, abs=1e-3))
    variance_x, variance_y = spread.sum(axis=0) @ axis**2, spread.sum(axis=1) @ axis**2
    if key == "motion_blur":  # even movement over 24 px: length² / 12; sharing among pixels adds at most 1/4 per axis
        assert variance_x + variance_y == pytest.approx(24**2 / 12, abs=0.6)
        covariance = axis @ spread @ axis
        assert np.rad2deg(np.arctan2(-2 * covariance, variance_x - variance_y) / 2) == pytest.approx(20, abs=1)
    else:  # disc of radius r: r² / 4 per axis
        expected = {"gaussian_blur": 5**2, "lens_blur": 7**2 / 4}[key]
        assert variance_x == pytest.approx(expected, rel=0.02)
        assert variance_y == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize("key", ["white_noise", "colour_noise"])
def test_noise_has_the_stated_sigma(key):
    flat = np.full((256, 256, 3), 0.5, np.float32)
    noise = (distort(flat, key, 3, seed=7) - np.float32(128 / 255)) * 255
    assert noise.std() == pytest.approx(20, rel=0.02)
    assert abs(noise.mean()) < 0.5
    neighbours = np.corrcoef(noise[:, :-1].ravel(), noise[:, 1:].ravel())[0, 1]
    # White: none. Coloured: exp(-1 / (4 sigma²)) for a Gaussian of sigma 1.5.
    expected = 0 if key == "white_noise" else np.exp(-1 / (4 * 1.5**2))
    assert neighbours == pytest.approx(expected, abs=0.02)


def test_impulses_and_blocks_have_the_stated_share():
    flat = np.full((320, 320, 3), 0.25, np.float32)
    hit = np.any(distort(flat, "impulse_noise", 4) != distort(flat, "impulse_noise", 0), axis=-1)
    assert hit.mean() == pytest.approx(0.12, abs=0.005)
    lost = np.any(distort(flat, "block_loss", 3) != distort(flat, "block_loss", 0), axis=-1)
    assert lost.mean() == pytest.approx(0.14, abs=0.5 / 400)
    blocks = lost.reshape(20, 16, 20, 16).mean(axis=(1, 3))
    assert set(np.unique(blocks)) == {0, 1}


@pytest.mark.parametrize("key", ["impulse_noise", "block_loss"])
def test_a_stronger_loss_holds_the_weaker_one(key):
    flat = np.full((128, 128, 3), 0.25, np.float32)
    rounded = distort(flat, key, 0)
    weak, strong = (np.any(distort(flat, key, severity) != rounded, axis=-1) for severity in (2, 4))
    assert weak.sum() < strong.sum()
    assert not np.any(weak & ~strong)


def test_colours_and_tones_are_counted(crops):
    for severity, colours, tones in ((1, 64, 20), (3, 16, 10), (5, 4, 2)):
        reduced = to_uint8(distort(crops[0], "colour_quantisation", severity)).reshape(-1, 3)
        assert len(np.unique(reduced, axis=0)) == colours
        banded = to_uint8(distort(crops[0], "banding", severity)).reshape(-1, 3)
        assert [len(np.unique(banded[:, channel])) for channel in range(3)] == [tones] * 3


def test_tones_move_as_stated():
    pixels = photographs(1)[0]
    dark = distort(pixels, "brightness", 3)
    np.testing.assert_allclose(dark, pixels * 0.6, atol=0.5001 / 255)
    flat = distort(pixels, "contrast", 5)
    assert flat.std() == pytest.approx(pixels.std() * 0.25, rel=0.03)
    grey = distort(pixels, "saturation", 5)
    np.testing.assert_allclose(grey, np.repeat(to_channels(pixels, 1), 3, axis=-1), atol=0.5001 / 255)


def test_two_distortions_are_applied_in_order(crops):
    steps = [("gaussian_blur", 2), ("white_noise", 3)]
    both = distort_all(crops[0], steps, seed=3)
    assert _mse(crops[0], both) > max(_mse(crops[0], distort(crops[0], *step, seed=3)) for step in steps)
    np.testing.assert_array_equal(both, distort_all(crops[0], steps, seed=3))
    assert not np.array_equal(both, distort_all(crops[0], steps[::-1], seed=3))
    np.testing.assert_array_equal(distort_all(crops[0], steps[:1], seed=3), distort(crops[0], *steps[0], seed=3))
    np.testing.assert_array_equal(distort_all(crops[0], []), crops[0])


def test_the_same_kind_twice_does_not_repeat_its_noise():
    flat = np.full((64, 64, 1), 0.5, np.float32)
    twice = distort_all(flat, [("white_noise", 2), ("white_noise", 2)])
    # Two independent fields of sigma 10 add up to 14.1; one field twice would give 20.
    assert ((twice - np.float32(128 / 255)) * 255).std() == pytest.approx(10 * np.sqrt(2), rel=0.05)


def test_wrong_requests_are_one_sentence():
    pixels = np.zeros((4, 4, 3), np.float32)
    with pytest.raises(DeconvError, match=r"'blur' is not known; choose one of gaussian_blur, motion_blur"):
        distort(pixels, "blur", 1)
    for severity in (-0.1, 5.1, float("nan"), "x"):
        with pytest.raises(DeconvError, match=r"expected a number from 0 .* to 5"):
            distort(pixels, "jpeg", severity)
    with pytest.raises(DeconvError, match="seed is -1"):
        distort(pixels, "jpeg", 1, seed=-1)
    with pytest.raises(ImageError, match=r"got \(2, 4, 4, 3\)"):
        distort(np.zeros((2, 4, 4, 3)), "jpeg", 1)
    with pytest.raises(DeconvError, match="'nothing' is not known"):
        distort_all(pixels, [("jpeg", 1), ("nothing", 1)])


@pytest.mark.parametrize(("key", "side", "limit"), [("jpeg", 65_501, 65500), ("webp", 16_384, 16383)])
def test_pictures_beyond_a_format_are_one_sentence(key, side, limit):
    with pytest.raises(ImageError, match=f"at most {limit} pixels a side"):
        distort(np.zeros((1, side, 1), np.float32), key, 1)
