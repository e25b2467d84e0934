"""Our own Keras layers, registered once under the package name `deconv_core`."""

import keras
from keras import ops

PACKAGE = "deconv_core"


@keras.saving.register_keras_serializable(package=PACKAGE)
class SpaceToDepth(keras.layers.Layer):
    """Fold blocks of pixels into channels: (N, H, W, C) -> (N, H / block, W / block, block² C).

    Loses nothing: `DepthToSpace` unfolds it exactly. Channel order as in `tf.nn.space_to_depth`; written as one
    transposition, which on a CPU is about four times faster than that operation.

    Args:
        block: Side of the square block; height and width must be divisible by it.
    """

    def __init__(self, block: int, **kwargs):
        super().__init__(**kwargs)
        self.block = block

    def call(self, inputs):
        batch, height, width, channels = ops.shape(inputs)
        block, channels = self.block, inputs.shape[-1]
        x = ops.reshape(inputs, (batch, height // block, block, width // block, block * channels))
        x = ops.transpose(x, (0, 1, 3, 2, 4))
        return ops.reshape(x, (batch, height // block, width // block, block * block * channels))

    def compute_output_shape(self, input_shape):
        batch, height, width, channels = input_shape
        shrink = [None if side is None else side // self.block for side in (height, width)]
        return (batch, *shrink, channels * self.block**2)

    def get_config(self):
        return {**super().get_config(), "block": self.block}


@keras.saving.register_keras_serializable(package=PACKAGE)
class DepthToSpace(keras.layers.Layer):
    """Unfold channels into blocks of pixels: (N, H, W, block² C) -> (N, block H, block W, C).

    The sub-pixel step of Shi et al. (2016), doi:10.1109/CVPR.2016.207; after a convolution it equals a transposed
    convolution whose kernel is as wide as its stride times the kernel of that convolution. Inverse of `SpaceToDepth`.

    Args:
        block: Side of the square block; the number of channels must be divisible by its square.
    """

    def __init__(self, block: int, **kwargs):
        super().__init__(**kwargs)
        self.block = block

    def call(self, inputs):
        batch, height, width, _ = ops.shape(inputs)
        block, channels = self.block, inputs.shape[-1] // self.block**2
        x = ops.reshape(inputs, (batch, height, width, block, block * channels))
        x = ops.transpose(x, (0, 1, 3, 2, 4))
        return ops.reshape(x, (batch, height * block, width * block, channels))

    def compute_output_shape(self, input_shape):
        batch, height, width, channels = input_shape
        if channels % self.block**2:
            raise ValueError(
                f"DepthToSpace({self.block}) needs a multiple of {self.block**2} channels; got {channels}."
            )
        grow = [None if side is None else side * self.block for side in (height, width)]
        return (batch, *grow, channels // self.block**2)

    def get_config(self):
        return {**super().get_config(), "block": self.block}


@keras.saving.register_keras_serializable(package=PACKAGE)
class DivisiveNormalisation(keras.layers.Layer):
    """Divide each channel by the pooled energy of all channels at the same place (GDN), or multiply (inverse).

    y_i = x_i / sqrt(beta_i + sum_j gamma_ij x_j²); the inverse multiplies by that root. Starts near the identity.
    Ballé, Laparra, Simoncelli (2016), "Density modeling of images using a generalized normalization transformation".

    Args:
        inverse: Multiply instead of divide (for the decoder).
    """

    def __init__(self, inverse: bool = False, **kwargs):
        super().__init__(**kwargs)
        self.inverse = inverse

    def build(self, input_shape):
        channels = input_shape[-1]
        positive = keras.constraints.NonNeg()
        self.beta = self.add_weight(shape=(channels,), initializer="ones", constraint=positive, name="beta")
        self.gamma = self.add_weight(
            shape=(channels, channels), initializer=keras.initializers.Identity(0.1), constraint=positive, name="gamma"
        )

    def call(self, inputs):
        energy = ops.matmul(ops.square(inputs), self.gamma) + self.beta + 1e-6
        return inputs * ops.sqrt(energy) if self.inverse else inputs * ops.rsqrt(energy)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "inverse": self.inverse}
