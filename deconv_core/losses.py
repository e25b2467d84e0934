"""What training minimises: one number from two batches, differentiable in TensorFlow.

Every loss takes `(clean, rebuilt)`, float tensors (N, H, W, C) with values around [0, 1], and returns a scalar: 0 for
equal batches (binary cross-entropy: its least value), growing with damage.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from deconv_core.errors import DeconvError

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

    Function = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]

# Zhao et al. (2017), "Loss functions for image restoration with neural networks", doi:10.1109/TCI.2016.2644865: the
# share of the structural term. Three of the five scales, so that patches of 44 pixels are enough.
_STRUCTURE_SHARE = 0.84
_SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001)
# The model by whose eyes `reconstruction` looks, and the share of plain error that keeps what it cannot see.
RECONSTRUCTION_MODEL = "photo_large"
_PLAIN_SHARE = 0.1


@dataclass(frozen=True)
class Loss:
    """A row of LOSSES: key, name on screen, smallest patch side in pixels, and a maker of the function."""

    key: str
    label: str
    smallest_patch: int
    make: Callable[[], Function]


def _charbonnier() -> Function:
    import tensorflow as tf

    return lambda clean, rebuilt: tf.reduce_mean(tf.sqrt(tf.square(rebuilt - clean) + 1e-6)) - 1e-3


def _mse() -> Function:
    import tensorflow as tf

    return lambda clean, rebuilt: tf.reduce_mean(tf.square(rebuilt - clean))


def _mae() -> Function:
    import tensorflow as tf

    return lambda clean, rebuilt: tf.reduce_mean(tf.abs(rebuilt - clean))


def _binary_crossentropy() -> Function:
    import tensorflow as tf

    def loss(clean, rebuilt):
        rebuilt = tf.clip_by_value(rebuilt, 1e-7, 1 - 1e-7)
        return -tf.reduce_mean(clean * tf.math.log(rebuilt) + (1 - clean) * tf.math.log(1 - rebuilt))

    return loss


def _ssim() -> Function:
    import tensorflow as tf

    return lambda clean, rebuilt: 1 - tf.reduce_mean(tf.image.ssim(clean, rebuilt, max_val=1.0))


def _ms_ssim_l1() -> Function:
    import tensorflow as tf

    weights = [weight / sum(_SCALE_WEIGHTS) for weight in _SCALE_WEIGHTS]

    def loss(clean, rebuilt):
        structure = tf.image.ssim_multiscale(clean, rebuilt, max_val=1.0, power_factors=weights)
        plain = tf.reduce_mean(tf.abs(rebuilt - clean))
        return _STRUCTURE_SHARE * (1 - tf.reduce_mean(structure)) + (1 - _STRUCTURE_SHARE) * plain

    return loss


def _reconstruction() -> Function:
    from deconv_core.models.saving import load_model

    return reconstruction_loss(load_model(RECONSTRUCTION_MODEL).keras_model)


def reconstruction_loss(model: keras.Model) -> Function:
    """Our reconstruction distance as a loss: mean |R(rebuilt) - R(clean)|, plus a tenth of the plain error.

    R is a frozen model, so that training is told what survives R's round trip; the plain term keeps what R throws
    away from drifting. Grey pictures are repeated for a colour model, colour is turned to luma for a grey one.

    Args:
        model: A Keras model whose stride divides the patches.
    """
    import tensorflow as tf

    channels = int(model.input_shape[-1])

    def seen(batch):
        if batch.shape[-1] == channels:
            return batch
        return tf.repeat(batch, 3, axis=-1) if channels == 3 else tf.image.rgb_to_grayscale(batch)

    def loss(clean, rebuilt):
        apart = model(seen(rebuilt), training=False) - tf.stop_gradient(model(seen(clean), training=False))
        return tf.reduce_mean(tf.abs(apart)) + _PLAIN_SHARE * tf.reduce_mean(tf.abs(rebuilt - clean))

    return loss


LOSSES: Mapping[str, Loss] = {
    row.key: row
    for row in (
        Loss("charbonnier", "Charbonnier (smooth mean absolute error)", 1, _charbonnier),
        Loss("mse", "Mean squared error", 1, _mse),
        Loss("mae", "Mean absolute error", 1, _mae),
        Loss("binary_crossentropy", "Binary cross-entropy", 1, _binary_crossentropy),
        Loss("ssim", "1 - SSIM", 11, _ssim),
        Loss("ms_ssim_l1", "MS-SSIM with mean absolute error", 44, _ms_ssim_l1),
        Loss("reconstruction", "Reconstruction distance (as the large photograph model sees it)", 8, _reconstruction),
    )
}


def loss(key: str) -> Loss:
    """The table's row for `key`; raises DeconvError with the valid names."""
    if key not in LOSSES:
        raise DeconvError(f"--loss got '{key}'; choose one of {', '.join(LOSSES)}.")
    return LOSSES[key]
