"""A model at work: any height and width in, the same out, one compiled function for all of them."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cache, cached_property
from typing import Any

import numpy as np

from deconv_core.errors import ImageError, ModelError

# Sizes are rounded up to multiples of this, so that a thousand different sizes cost a few dozen compiled kernels.
BUCKET = 32
# At most this many pixels (one picture at least) go through the network in one call: bounds memory, and larger
# batches are no faster. Calls run side by side, which fills the gaps between the layers of a network.
PIXELS_PER_CALL = 512 * 512
NUM_CALLS_AT_ONCE = 4


class Reconstructor:
    """E, D and R = D(E(.)) of one loaded model. Only read after it is made, so threads and visitors may share it.

    Attributes:
        keras_model: The whole functional model, input (N, H, W, channels), output of the same shape.
        card: The model's card.
        channels: 1 for grey, 3 for RGB.
        stride: Height and width inside the network are multiples of this.
        digest: SHA-256 of the model's file, as on the card ("" for a model never saved).
    """

    def __init__(self, keras_model, card: Mapping[str, Any]):
        self.keras_model = keras_model
        self.card = dict(card)
        self.channels = int(keras_model.input_shape[-1])
        self.stride = int(self.card.get("stride", 8))
        self.digest = str(self.card.get("digest", ""))
        self.name = str(self.card.get("name", keras_model.name))

    def reconstruct(self, batch: np.ndarray) -> np.ndarray:
        """R(batch): encode, decode, clip to [0, 1].

        Pictures are padded by reflection up to the bucket of their own size (edges repeated where a picture is too
        small to reflect) and cropped back, so a result never depends on the other pictures of the batch.

        Args:
            batch: float32, shape (N, H, W, channels), values in [0, 1], any height and width from 1 up.

        Returns:
            float32, same shape.

        Raises:
            ImageError: The batch has another number of channels or dimensions.
        """
        self._check(batch)
        _, height, width, _ = batch.shape
        padded = _pad(batch, BUCKET * self.stride // np.gcd(BUCKET, self.stride))
        return _run(self._whole, padded)[:, :height, :width]

    def encode(self, batch: np.ndarray) -> np.ndarray:
        """E(batch): the code, float32, shape (N, ceil(H / stride), ceil(W / stride), code channels) or as built."""
        self._check(batch)
        padded = _pad(batch, self.stride)
        return _run(self._encoder, padded)

    def decode(self, codes: np.ndarray, height: int, width: int) -> np.ndarray:
        """D(codes), cropped to (height, width) and clipped to [0, 1]."""
        return _run(self._decoder, codes)[:, :height, :width]

    def _check(self, batch: np.ndarray) -> None:
        if batch.ndim != 4 or batch.shape[-1] != self.channels or not batch.size:
            raise ImageError(
                f"Model '{self.name}' needs pictures as (N, H, W, {self.channels}); got {batch.shape}. "
                f"Convert them with images.to_channels(pixels, {self.channels})."
            )

    @cached_property
    def _whole(self):
        return _compile(self.keras_model, self.channels, clip=True)

    @cached_property
    def _encoder(self):
        import keras

        model = keras.Model(self.keras_model.inputs, self.code_layer.output)
        return _compile(model, self.channels, clip=False)

    @cached_property
    def _decoder(self):
        import keras

        model = keras.Model(self.code_layer.output, self.keras_model.outputs)
        return _compile(model, int(self.code_layer.output.shape[-1]), clip=True)

    @property
    def code_layer(self) -> Any:
        """The Keras layer between E and D.

        Raises:
            ModelError: The model has none of the name on its card.
        """
        name = self.card.get("code_layer", "code")
        try:
            return self.keras_model.get_layer(name)
        except ValueError as error:
            raise ModelError(
                f"Model '{self.name}' has no layer named '{name}', so it cannot be taken apart."
            ) from error


def _compile(model, channels: int, *, clip: bool):
    """One graph for every size; traced once, at the first call."""
    import tensorflow as tf

    @tf.function(input_signature=[tf.TensorSpec((None, None, None, channels), tf.float32)], autograph=False)
    def call(batch):
        output = model(batch, training=False)
        return tf.clip_by_value(output, 0.0, 1.0) if clip else output

    return call


def _pad(batch: np.ndarray, multiple: int) -> np.ndarray:
    """Pad below and to the right up to the next multiple, by reflection where the picture is large enough."""
    for axis in (1, 2):
        size = batch.shape[axis]
        missing = -size % multiple
        if missing:
            widths = [(0, missing) if axis == other else (0, 0) for other in range(4)]
            batch = np.pad(batch, widths, mode="reflect" if missing < size else "edge")
    return batch


def _run(function, batch: np.ndarray) -> np.ndarray:
    """`function` of a batch, piece by piece."""
    batch = np.ascontiguousarray(batch, np.float32)
    step = max(1, PIXELS_PER_CALL // (batch.shape[1] * batch.shape[2]))
    parts = [batch[start : start + step] for start in range(0, len(batch), step)]
    if len(parts) == 1:
        return function(batch).numpy()
    return np.concatenate(list(_pool().map(lambda part: function(part).numpy(), parts)))


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(NUM_CALLS_AT_ONCE, thread_name_prefix="reconstruct")
