"""The checkerboard meter finds planted patterns of known strength, and none in noise."""

from types import SimpleNamespace

import numpy as np
import pytest

from deconv_core.errors import ImageError
from deconv_core.models.checkerboard import checkerboard, periodic_shares


def wave(size, period, deviation):
    """A cosine along the rows, of the given period and standard deviation."""
    return np.sqrt(2) * deviation * np.cos(2 * np.pi * np.arange(size) / period)[None, None, :, None]


@pytest.mark.parametrize("period", [2, 4, 8])
def test_planted_pattern_is_measured(period):
    rng = np.random.default_rng(period)
    error = rng.normal(0, 0.02, (4, 256, 256, 1))
    amplitude = 0.002 / (np.sqrt(2) if period == 2 else 1)  # at period 2 the cosine is ±1, not a wave
    shares, floors = periodic_shares(error + wave(256, period, amplitude), 8)
    # 0.002 beside 0.02; the noise on the line itself moves that by a tenth at most (its floor is about 1 %).
    assert shares[period] == pytest.approx(100 * 0.1 / np.sqrt(1.01), rel=0.1)
    assert shares[period] > 3 * floors[period]
    assert all(shares[other] < floors[other] for other in shares if other != period)


def test_noise_has_no_pattern():
    for seed in range(20):
        error = np.random.default_rng(seed).normal(0, 1, (3, 160, 176, 3))
        shares, floors = periodic_shares(error, 8)
        assert all(shares[period] <= floors[period] for period in (2, 4, 8))


def test_steep_spectrum_has_no_pattern():
    """Errors of photographs have far more power at low frequencies; that alone is no checkerboard."""
    rng = np.random.default_rng(5)
    down, across = np.meshgrid(np.fft.fftfreq(256), np.fft.fftfreq(256), indexing="ij")
    falling = 1 / np.maximum(np.hypot(down, across), 1 / 256)
    error = np.fft.ifft2(np.fft.fft2(rng.normal(0, 1, (4, 256, 256)), axes=(1, 2)) * falling, axes=(1, 2)).real
    shares, floors = periodic_shares(error[..., None], 8)
    assert all(shares[period] <= floors[period] for period in (2, 4, 8))


def test_only_a_pattern_gives_all_of_the_deviation():
    checker = np.indices((64, 64)).sum(axis=0) % 2 - 0.5
    shares, _ = periodic_shares(checker[None, ..., None], 4)
    assert shares == pytest.approx({2: 100.0, 4: 0.0}, abs=1e-6)


def test_constant_error_has_no_pattern():
    assert periodic_shares(np.full((1, 64, 64, 1), 0.25), 4) == ({2: 0.0, 4: 0.0}, {2: 0.0, 4: 0.0})


def test_periods_are_those_that_divide_the_stride():
    shares, _ = periodic_shares(np.random.default_rng(0).normal(size=(1, 120, 120, 1)), 6)
    assert list(shares) == [2, 3, 6]


def test_model_is_asked_and_the_verdict_names_the_period():
    rng = np.random.default_rng(1)
    images = rng.uniform(0, 1, (2, 160, 160, 1)).astype(np.float32)
    noise = rng.normal(0, 0.01, images.shape)
    model = SimpleNamespace(
        stride=4, reconstruct=lambda batch: (batch + noise + wave(160, 4, 0.003)).astype(np.float32)
    )
    report = checkerboard(model, images)
    assert report["stride"] == 4
    assert report["shares"][4] == pytest.approx(100 * 0.3 / np.sqrt(1.09), rel=0.05)
    assert report["verdict"].startswith("A pattern repeating every 4 pixels makes 29 %")
    plain = SimpleNamespace(stride=4, reconstruct=lambda batch: (batch + noise).astype(np.float32))
    assert checkerboard(plain, images)["verdict"] == "No pattern of the decoder's strides stands out of the error."


def test_model_without_stride_has_nothing_to_repeat():
    model = SimpleNamespace(stride=1, reconstruct=lambda batch: batch)
    report = checkerboard(model, np.zeros((1, 32, 32, 1), np.float32))
    assert report["shares"] == {}
    assert "does not enlarge" in report["verdict"]


def test_small_or_flat_input_is_refused():
    model = SimpleNamespace(stride=8, reconstruct=lambda batch: batch)
    with pytest.raises(ImageError, match="at least 80x80 pixels for stride 8; got \\(79, 200\\)"):
        checkerboard(model, np.zeros((1, 79, 200, 3), np.float32))
    with pytest.raises(ImageError, match="needs pictures as \\(N, H, W, channels\\); got \\(200, 200, 3\\)"):
        checkerboard(model, np.zeros((200, 200, 3), np.float32))


def test_pattern_is_found_in_the_smallest_pictures():
    rng = np.random.default_rng(2)
    images = np.zeros((50, 28, 28, 1), np.float32)
    error = rng.normal(0, 0.01, images.shape) + wave(28, 2, 0.003 / np.sqrt(2))
    report = checkerboard(
        SimpleNamespace(stride=2, reconstruct=lambda batch: (batch + error).astype(np.float32)), images
    )
    assert report["shares"][2] == pytest.approx(100 * 0.3 / np.sqrt(1.09), rel=0.05)
