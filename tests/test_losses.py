"""Losses: least for equal batches, growing with damage, gradients checked against finite differences."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from deconv_core.errors import DeconvError
from deconv_core.losses import LOSSES, loss, reconstruction_loss

TRAINED_HERE = "reconstruction"


@pytest.fixture(scope="module")
def encoder_decoder():
    keras.utils.set_random_seed(2)
    picture = keras.Input((None, None, 3))
    code = keras.layers.Conv2D(8, 4, strides=4, activation="softplus", name="code")(picture)
    return keras.Model(picture, keras.layers.Conv2DTranspose(3, 4, strides=4)(code))


@pytest.fixture(params=LOSSES)
def function(request, encoder_decoder):
    return reconstruction_loss(encoder_decoder) if request.param == TRAINED_HERE else LOSSES[request.param].make()


def pictures(seed=0, channels=3):
    """Smooth pictures away from 0 and 1, where binary cross-entropy has its clip."""
    import cv2

    noise = np.random.default_rng(seed).random((2, 48, 48, channels)).astype(np.float32)
    return np.stack([cv2.GaussianBlur(p, (0, 0), 2).reshape(p.shape) for p in noise]) * 0.8 + 0.1


def test_loss_is_least_for_equal_batches_and_grows_with_noise(function):
    clean = pictures()
    noise = np.random.default_rng(1).normal(size=clean.shape).astype(np.float32)
    values = [float(function(clean, np.clip(clean + amount * noise, 0.01, 0.99))) for amount in (0, 0.02, 0.05, 0.1)]
    assert values == sorted(values)
    assert values[0] < values[1]


def test_gradient_equals_finite_differences(function):
    clean = tf.constant(pictures(0), tf.float32)
    rebuilt = tf.constant(pictures(3), tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(rebuilt)
        value = function(clean, rebuilt)
    gradient = tape.gradient(value, rebuilt)
    # Mostly uphill, so that the slope stands far above the rounding of float32, but not along the gradient itself.
    uphill = np.sign(gradient.numpy())
    direction = np.where(np.random.default_rng(4).random(uphill.shape) < 0.8, uphill, -0.5 * uphill)
    slope = float(tf.reduce_sum(gradient * direction))
    step = 2e-3
    ahead, behind = (float(function(clean, rebuilt + sign * step * direction)) for sign in (1, -1))
    assert slope == pytest.approx((ahead - behind) / (2 * step), rel=0.02, abs=1e-5)


@pytest.mark.parametrize("key", ["charbonnier", "mse", "mae", "ssim", "ms_ssim_l1"])
def test_equal_batches_cost_nothing(key):
    assert float(LOSSES[key].make()(pictures(), pictures())) == pytest.approx(0, abs=1e-6)


def test_closed_forms():
    clean, rebuilt = np.zeros((1, 8, 8, 1), np.float32), np.full((1, 8, 8, 1), 0.5, np.float32)
    assert float(LOSSES["mse"].make()(clean, rebuilt)) == pytest.approx(0.25)
    assert float(LOSSES["mae"].make()(clean, rebuilt)) == pytest.approx(0.5)
    assert float(LOSSES["binary_crossentropy"].make()(clean, rebuilt)) == pytest.approx(np.log(2))
    assert float(LOSSES["charbonnier"].make()(clean, rebuilt)) == pytest.approx(np.sqrt(0.25 + 1e-6) - 1e-3)


def test_ssim_loss_is_one_minus_our_own_metric():
    from deconv_core.metrics import METRICS

    clean, rebuilt = pictures(0), pictures(1)
    expected = 1 - METRICS["ssim"].function(clean, rebuilt).mean()
    assert float(LOSSES["ssim"].make()(clean, rebuilt)) == pytest.approx(expected, abs=1e-4)


def test_reconstruction_loss_takes_grey_pictures_too(encoder_decoder):
    assert float(reconstruction_loss(encoder_decoder)(pictures(0, 1), pictures(1, 1))) > 0


def test_unknown_loss_lists_the_names():
    with pytest.raises(DeconvError, match="--loss got 'magic'; choose one of charbonnier, mse"):
        loss("magic")
