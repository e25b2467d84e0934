"""Convolution-deconvolution networks for photographs of any size."""

import keras
from keras import layers

from deconv_core.models.layers import DepthToSpace, DivisiveNormalisation, SpaceToDepth

DECODERS = ("subpixel", "transposed", "resize")
NORMALISATIONS = ("none", "divisive")


def photo(
    *,
    channels: int = 3,
    width: int = 32,
    deep_width: int = 64,
    blocks: int = 2,
    code_channels: int = 32,
    decoder: str = "subpixel",
    normalisation: str = "none",
    rectified: bool = False,
) -> keras.Model:
    """Encoder and decoder with a code at 1/8 resolution and a linear path that can start from principal components.

        picture -> fold 4x4 -> conv, block -> stride 2 -> blocks -> 1x1 --+
                      \\----------- linear, 8x8 patches -------------------(+)= code
        code -> 1x1 -> blocks -> up 2 -> block -> up 4 --+
          \\-------- linear, back to 8x8 patches --------(+)= picture

    | part   | shape                     |
    |--------|---------------------------|
    | input  | (H, W, channels)          |
    | code   | (H/8, W/8, code_channels) |
    | output | (H, W, channels)          |

    Height and width must be divisible by 8; pixel values lie in [0, 1] and are centred inside. No connection skips
    the code, so encoder and decoder can be taken apart at the layer `code`. The output is not clipped.

    Args:
        channels: 1 for grey, 3 for RGB.
        width: Channels at 1/4 resolution.
        deep_width: Channels at 1/8 resolution.
        blocks: Residual blocks at 1/8 resolution, on each side.
        code_channels: Channels of the code: 64 * channels would keep every number.
        decoder: How the decoder enlarges: `subpixel` (convolution, then depth to space; Shi et al. 2016),
            `transposed` (transposed convolution with a kernel of twice the stride) or `resize` (nearest upsampling,
            then convolution; Odena et al. 2016, doi:10.23915/distill.00003).
        normalisation: `none`, or `divisive` (Ballé et al. 2016) after the encoder's and decoder's widest layers.
        rectified: A ReLU after the sum of each residual block, as the first models had it. Without one (Lim et al.
            2017, arXiv:1707.02921) no channel can fall silent for good, and wide networks learn where they stalled.
    """
    if decoder not in DECODERS:
        raise ValueError(f"Unknown decoder '{decoder}'; choose one of {', '.join(DECODERS)}.")
    if normalisation not in NORMALISATIONS:
        raise ValueError(f"Unknown normalisation '{normalisation}'; choose one of {', '.join(NORMALISATIONS)}.")
    block = _rectified_block if rectified else _residual_block
    divide = normalisation == "divisive"

    picture = keras.Input((None, None, channels), name="picture")
    centred = layers.Rescaling(1.0, offset=-0.5, name="centre")(picture)
    folded = SpaceToDepth(4, name="fold")(centred)
    x = layers.Conv2D(width, 3, padding="same", activation="relu", name="encode_1")(folded)
    x = block(x, width, "encode_2")
    x = layers.Conv2D(deep_width, 2, strides=2, activation="relu", name="encode_3")(x)
    x = DivisiveNormalisation(name="encode_divide")(x) if divide else x
    for number in range(blocks):
        x = block(x, deep_width, f"encode_{number + 4}")
    x = layers.Conv2D(code_channels, 1, kernel_initializer="zeros", name="encode_out")(x)
    linear = layers.Conv2D(code_channels, 2, strides=2, use_bias=False, name="linear_encode")(folded)
    code = layers.Add(name="code")([x, linear])

    x = layers.Conv2D(deep_width, 1, activation="relu", name="decode_1")(code)
    for number in range(blocks):
        x = block(x, deep_width, f"decode_{number + 2}")
    x = DivisiveNormalisation(inverse=True, name="decode_multiply")(x) if divide else x
    x = _enlarge(x, width, 2, decoder, "decode_up2", activation="relu")
    x = block(x, width, "decode_block")
    linear = layers.Conv2D(64 * channels, 1, name="linear_decode")(code)
    if decoder == "subpixel":  # one unfolding serves both paths
        x = layers.Conv2D(16 * channels, 3, padding="same", kernel_initializer="zeros", name="decode_up4")(x)
        x = layers.Add(name="decode_sum")([x, DepthToSpace(2, name="linear_unfold")(linear)])
        x = DepthToSpace(4, name="unfold")(x)
    else:
        x = _enlarge(x, channels, 4, decoder, "decode_up4", kernel_initializer="zeros")
        linear = DepthToSpace(4, name="unfold")(DepthToSpace(2, name="linear_unfold")(linear))
        x = layers.Add(name="decode_sum")([x, linear])
    rebuilt = layers.Rescaling(1.0, offset=0.5, name="uncentre")(x)
    return keras.Model(picture, rebuilt, name="photo")


def _residual_block(x, filters, name):
    """Two convolutions added to what came in."""
    y = layers.Conv2D(filters, 3, padding="same", activation="relu", name=f"{name}_a")(x)
    y = layers.Conv2D(filters, 3, padding="same", name=f"{name}_b")(y)
    return layers.Add(name=f"{name}_add")([x, y])


def _rectified_block(x, filters, name):
    """The same, then a ReLU."""
    return layers.ReLU(name=f"{name}_relu")(_residual_block(x, filters, name))


def _enlarge(x, filters, factor, decoder, name, **options):
    """Enlarge by `factor` in the way the decoder's name says."""
    if decoder == "subpixel":
        x = layers.Conv2D(filters * factor**2, 1, name=name, **options)(x)
        return DepthToSpace(factor, name=f"{name}_unfold")(x)
    if decoder == "transposed":
        return layers.Conv2DTranspose(filters, 2 * factor, strides=factor, padding="same", name=name, **options)(x)
    x = layers.UpSampling2D(factor, name=f"{name}_resize")(x)
    return layers.Conv2D(filters, factor + 1, padding="same", name=name, **options)(x)
