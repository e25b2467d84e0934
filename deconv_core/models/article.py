"""The introductory convolution - pooling - upsampling - convolution network for small grey pictures."""

import keras


def article(*, channels: int = 1, filters: int = 32) -> keras.Model:
    """The network by which autoencoders with deconvolution are usually introduced, mended so that it can train.

    As usually printed (Conv2D 32, UpSampling2D, Conv2D 1, no padding, no pooling) a 28x28 picture comes out as
    50x50, and no loss against the picture itself can be computed. Two mends, no more: `same` padding, and the pooling
    layer that the method speaks of and the printed code lacks. Training as given: Adam, binary cross-entropy,
    10 epochs, batch 32, target = input.

        picture -> conv 3x3, ReLU -> max-pool 2 = code -> upsample 2 -> conv 3x3, sigmoid -> picture

    | part   | shape               |
    |--------|---------------------|
    | input  | (H, W, channels)    |
    | code   | (H/2, W/2, filters) |
    | output | (H, W, channels)    |

    Height and width must be even; pixel values lie in [0, 1]. With 32 filters the code holds eight times as many
    numbers as the picture: this network could copy, and nearly does.

    Args:
        channels: 1 for grey, 3 for RGB.
        filters: Width of the encoder.
    """
    picture = keras.Input((None, None, channels), name="picture")
    x = keras.layers.Conv2D(filters, 3, padding="same", activation="relu", name="encode_1")(picture)
    code = keras.layers.MaxPooling2D(2, name="code")(x)
    x = keras.layers.UpSampling2D(2, name="decode_1")(code)
    rebuilt = keras.layers.Conv2D(channels, 3, padding="same", activation="sigmoid", name="decode_2")(x)
    return keras.Model(picture, rebuilt, name="article")
