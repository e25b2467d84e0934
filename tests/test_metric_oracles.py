"""Outsiders on the metrics: closed forms, slow plain loops, scikit-image, tf.image, and stored answers of piq."""

import json
import math
from pathlib import Path

import cv2
import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from deconv_core.distortions import distort
from deconv_core.metrics import METRICS
from deconv_core.metrics import gradient_information as gi_function
from deconv_core.metrics._planes import gaussian_window, halve, luma
from deconv_core.samples import photographs
from tests.expected.make_piq import picture_pair

PIQ = json.loads((Path(__file__).parent / "expected" / "piq.json").read_text())["values"]
GAUSSIAN = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}


def score(key: str, reference: np.ndarray, candidate: np.ndarray) -> np.ndarray:
    return METRICS[key].function(reference, candidate)


def damaged_pairs(size: int = 192) -> tuple[np.ndarray, np.ndarray]:
    """Eight photographs, each damaged in its own way, from invisible to severe."""
    steps = [("gaussian_blur", 1), ("white_noise", 3), ("jpeg", 5), ("contrast", 4)] * 2
    reference = photographs(8, size)
    candidate = [distort(x, key, level, seed=1) for x, (key, level) in zip(reference, steps, strict=True)]
    return reference, np.stack(candidate)


# --- PSNR


@pytest.mark.parametrize(("error", "decibels"), [(0.1, 20.0), (1.0, 0.0), (0.5, 20 * math.log10(2))])
def test_psnr_of_a_constant_error(error, decibels):
    black = np.zeros((1, 8, 8, 3), np.float32)
    assert score("psnr", black, black + np.float32(error)) == pytest.approx(decibels, abs=1e-6)


def test_psnr_counts_one_changed_value_among_all():
    reference = np.zeros((1, 10, 10, 3), np.float32)
    candidate = reference.copy()
    candidate[0, 4, 4, 1] = 1
    assert score("psnr", reference, candidate) == pytest.approx(10 * math.log10(300), abs=1e-9)


def test_psnr_equals_scikit_image():
    reference, candidate = damaged_pairs()
    expected = [peak_signal_noise_ratio(x, y, data_range=1) for x, y in zip(reference, candidate, strict=True)]
    assert score("psnr", reference, candidate) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(("channel", "weight"), [(0, 65.481), (1, 128.553), (2, 24.966)])
def test_psnr_y_weighs_a_channel_as_rgb2ycbcr_does(channel, weight):
    reference = np.zeros((1, 8, 8, 3), np.float32)
    candidate = reference.copy()
    candidate[..., channel] = 0.5
    assert score("psnr_y", reference, candidate) == pytest.approx(20 * math.log10(255 / (0.5 * weight)), abs=1e-6)


def test_psnr_y_of_grey_and_of_the_same_picture_in_colour_agree():
    reference, candidate = (batch[..., :1] for batch in damaged_pairs())
    colour = [np.repeat(batch, 3, axis=-1) for batch in (reference, candidate)]
    assert score("psnr_y", reference, candidate) == pytest.approx(score("psnr_y", *colour), rel=1e-9)


# --- SSIM


def slow_ssim(x: np.ndarray, y: np.ndarray, window: np.ndarray, sample: float = 1.0) -> np.ndarray:
    """SSIM of two planes at every whole window, straight from the definition, variances about the window's own mean."""
    size = len(window)
    out = np.empty((x.shape[0] - size + 1, x.shape[1] - size + 1))
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            a, b = x[i : i + size, j : j + size], y[i : i + size, j : j + size]
            m_x, m_y = (window * a).sum(), (window * b).sum()
            v_x, v_y = sample * (window * (a - m_x) ** 2).sum(), sample * (window * (b - m_y) ** 2).sum()
            v_xy = sample * (window * (a - m_x) * (b - m_y)).sum()
            out[i, j] = (2 * m_x * m_y + 1e-4) * (2 * v_xy + 9e-4) / ((m_x**2 + m_y**2 + 1e-4) * (v_x + v_y + 9e-4))
    return out


def gaussian_2d() -> np.ndarray:
    axis = np.exp(-((np.arange(11) - 5.0) ** 2) / 4.5)
    return np.outer(axis, axis) / axis.sum() ** 2


def test_the_gaussian_window_sums_to_one_and_is_fspecial():
    window = gaussian_window(11, 1.5).astype(np.float64)
    assert window.sum() == pytest.approx(1, abs=1e-9)
    assert np.outer(window, window) == pytest.approx(gaussian_2d(), abs=1e-8)


@pytest.mark.parametrize("key", ["ssim", "ssim_luma", "ssim_wang2004", "ssim_uniform"])
def test_ssim_equals_a_slow_loop(key):
    rng = np.random.default_rng(7)
    reference = rng.random((1, 24, 31, 3), dtype=np.float32)
    candidate = np.clip(reference + 0.2 * rng.normal(size=reference.shape), 0, 1).astype(np.float32)
    window, sample = (np.full((7, 7), 1 / 49), 49 / 48) if key == "ssim_uniform" else (gaussian_2d(), 1.0)
    if key in ("ssim", "ssim_uniform"):
        pairs = [(reference[0, ..., c], candidate[0, ..., c]) for c in range(3)]
    else:
        pairs = [(reference[0] @ [0.299, 0.587, 0.114], candidate[0] @ [0.299, 0.587, 0.114])]
    local = np.mean([slow_ssim(x.astype(float), y.astype(float), window, sample) for x, y in pairs], axis=0)
    assert score(key, reference, candidate) == pytest.approx(local.mean(), abs=1e-6)
    edge = len(window) // 2
    found = METRICS[key].map_function(reference, candidate)[0]
    assert found[edge:-edge, edge:-edge] == pytest.approx(1 - local, abs=2e-5)


def test_ssim_equals_scikit_image():
    reference, candidate = damaged_pairs()
    pairs = list(zip(reference, candidate, strict=True))
    gaussian = [structural_similarity(x, y, data_range=1, channel_axis=-1, **GAUSSIAN) for x, y in pairs]
    assert score("ssim", reference, candidate) == pytest.approx(gaussian, abs=1e-5)
    uniform = [structural_similarity(x, y, data_range=1, channel_axis=-1) for x, y in pairs]
    assert score("ssim_uniform", reference, candidate) == pytest.approx(uniform, abs=1e-5)


@pytest.mark.parametrize("level", [0.004, 0.02, 0.5, 0.98])
def test_ssim_of_nearly_flat_pictures_does_not_cancel(level):
    rng = np.random.default_rng(8)
    # One half is the opposite tone, so that no offset suits all of the picture.
    reference = np.full((1, 150, 300, 1), level, np.float32)
    reference[:, :, 140:] = 1 - level
    candidate = np.clip(reference + 0.01 * rng.normal(size=reference.shape), 0, 1).astype(np.float32)
    x, y = (batch[0, ..., 0].astype(np.float64) for batch in (reference, candidate))
    expected = structural_similarity(x, y, data_range=1, **GAUSSIAN)
    assert score("ssim", reference, candidate) == pytest.approx(expected, abs=3e-6)


@pytest.mark.slow
@pytest.mark.parametrize("size", [(192, 192), (177, 203)])
def test_ssim_and_ms_ssim_equal_tf_image(size):
    import tensorflow as tf

    reference, candidate = (batch[:, : size[0], : size[1]] for batch in damaged_pairs(208))
    single = tf.image.ssim(reference, candidate, 1.0).numpy()
    assert score("ssim", reference, candidate) == pytest.approx(single, abs=2e-4)
    multi = tf.image.ssim_multiscale(reference, candidate, 1.0).numpy()
    assert score("ms_ssim", reference, candidate) == pytest.approx(multi, abs=2e-4)
    greys = [np.stack([luma(image) for image in batch])[..., None] for batch in (reference, candidate)]
    multi = tf.image.ssim_multiscale(*greys, 1.0).numpy()
    assert score("ms_ssim_luma", reference, candidate) == pytest.approx(multi, abs=2e-4)


@pytest.mark.parametrize("name", list(PIQ))
def test_ssim_equals_piq(name):
    x, y = (image[None, ..., None] for image in picture_pair(*PIQ[name]["size"]))
    assert score("ssim", x, y) == pytest.approx(PIQ[name]["ssim"], abs=1e-5)
    assert score("ssim_wang2004", x, y) == pytest.approx(PIQ[name]["ssim_downsampled"], abs=1e-5)


@pytest.mark.parametrize("name", ["small", "even_factor"])
def test_ms_ssim_equals_piq(name):
    # An odd side is left out: piq repeats its first row and column, msssim.m and tf.image mirror the last ones.
    x, y = (image[None, ..., None] for image in picture_pair(*PIQ[name]["size"]))
    assert score("ms_ssim", x, y) == pytest.approx(PIQ[name]["ms_ssim"], abs=1e-5)


@pytest.mark.parametrize(("side", "factor"), [(383, 1), (384, 2), (639, 2), (640, 3), (1024, 4)])
def test_wang2004_downsamples_as_matlab_does(side, factor):
    rng = np.random.default_rng(9)
    reference = cv2.GaussianBlur(rng.random((side, side + 5), dtype=np.float32), (0, 0), 2)
    candidate = cv2.GaussianBlur(rng.random((side, side + 5), dtype=np.float32), (0, 0), 2)

    def viewed(plane: np.ndarray) -> np.ndarray:
        # imfilter(img, ones(f) / f^2, 'symmetric', 'same'): the window reaches (f - 1) // 2 back and f // 2 ahead.
        back = (factor - 1) // 2
        padded = np.pad(plane.astype(np.float64), (back, factor - 1 - back), mode="symmetric")
        shifted = [padded[i : i + side, j : j + side + 5] for i in range(factor) for j in range(factor)]
        return np.mean(shifted, axis=0)[::factor, ::factor]

    expected = structural_similarity(viewed(reference), viewed(candidate), data_range=1, **GAUSSIAN)
    found = score("ssim_wang2004", reference[None, ..., None], candidate[None, ..., None])
    assert found == pytest.approx(expected, abs=1e-6)


# --- gradient and information


def slow_difference(x: np.ndarray, y: np.ndarray) -> float:
    """D of two grey planes by loops over pixels and windows."""
    height, width = x.shape[0] // 2, x.shape[1] // 2
    x, y = (p[: 2 * height, : 2 * width].reshape(height, 2, width, 2).mean(axis=(1, 3)) for p in (x, y))
    kernel = np.array([[1.0, 0.0, -1.0]] * 3) / 3

    def magnitude(plane: np.ndarray) -> np.ndarray:
        padded, out = np.pad(plane, 1, mode="reflect"), np.empty_like(plane)
        for i in range(height):
            for j in range(width):
                block = padded[i : i + 3, j : j + 3]
                out[i, j] = math.hypot((block * kernel).sum(), (block * kernel.T).sum())
        return out

    m_x, m_y, c = magnitude(x), magnitude(y), 600 / 255**2
    deviation = ((2 * m_x * m_y + c) / (m_x**2 + m_y**2 + c)).std()
    kept = there = 0.0
    for i in range(height - 6):
        for j in range(width - 6):
            a, b = x[i : i + 7, j : j + 7], y[i : i + 7, j : j + 7]
            s_x, s_y, cov = a.var(), b.var(), ((a - a.mean()) * (b - b.mean())).mean()
            gain = max(0.0, cov / (s_x + 1e-6))
            kept += math.log(1 + gain**2 * s_x / (max(0.0, s_y - gain * cov) + 2e-4))
            there += math.log(1 + s_x / 2e-4)
    return math.sqrt(deviation * (1.01 - min(1.0, kept / there)))


@pytest.mark.parametrize("index", range(4))
def test_gradient_information_and_control_equal_slow_loops(index):
    reference, candidate = (batch[[index], 20:81, 30:87] for batch in damaged_pairs())
    greys = [batch[0].astype(np.float64) @ [0.299, 0.587, 0.114] for batch in (reference, candidate)]
    shown = slow_difference(*greys)
    assert score("gradient_information", reference, candidate) == pytest.approx(
        100 * max(0, 1 - shown / 0.45), abs=2e-3
    )

    def rebuilt(grey: np.ndarray) -> np.ndarray:
        smooth = cv2.GaussianBlur(grey, (0, 0), 2)
        lost = np.pad(grey - smooth, 1, mode="reflect")
        out, v = smooth.copy(), (20 / 255) ** 2
        for i in range(grey.shape[0]):
            for j in range(grey.shape[1]):
                s = (lost[i : i + 3, j : j + 3] ** 2).mean()
                out[i, j] += lost[i + 1, j + 1] * max(0.0, s - v) / max(s, v)
        return out

    both = math.sqrt((shown**2 + 3 * slow_difference(*[rebuilt(grey) for grey in greys]) ** 2) / 4)
    assert score("deconv_control", reference, candidate) == pytest.approx(100 * max(0, 1 - both / 0.45), abs=2e-3)


@pytest.mark.parametrize("name", list(PIQ))
def test_half_size_gradients_equal_piq(name):
    from deconv_core.metrics.gradient_information import _squared_gradient

    # piq holds the third of its Prewitt kernel in float32, which is 3e-8 too large.
    for index, image in enumerate(picture_pair(*PIQ[name]["size"])):
        magnitude = np.sqrt(_squared_gradient(halve(image / 255)))[1:-1, 1:-1]
        assert magnitude.mean() == pytest.approx(PIQ[name]["gradient_mean"][index], rel=1e-7)
        assert magnitude.max() == pytest.approx(PIQ[name]["gradient_max"][index], rel=1e-7)


def test_gradient_information_sees_contrast_that_ssim_forgives():
    reference = photographs(4, 192)
    lower = np.stack([distort(image, "contrast", 4) for image in reference])
    blurred = np.stack([distort(image, "gaussian_blur", 1) for image in reference])
    assert (gi_function(reference, lower) < 95).all()
    assert (gi_function(reference, lower) < gi_function(reference, reference)).all()
    assert np.isfinite(gi_function(reference, blurred)).all()


# --- codes


def test_recon_pair_code_of_a_hand_made_code():
    class Means:
        def reconstruct(self, batch):
            return batch

        def encode(self, batch):
            return batch.reshape(len(batch), 2, 8, 2, 8, 1).mean(axis=(2, 4))

    reference = np.zeros((1, 16, 16, 1), np.float32)
    reference[:, :8] = 1  # code 1 1 0 0: mean .5, spread 4 x .25 = 1
    candidate = reference.copy()
    candidate[:, :8, :8] = 0.5  # code .5 1 0 0: squared distance .25
    found = METRICS["recon_pair_code"].function(reference, candidate, model=Means())
    assert found == pytest.approx(0.5, abs=1e-6)
