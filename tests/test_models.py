"""Architectures and inference: shapes, named layers, saving, learning, and sizes from one pixel up."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from deconv_core.errors import ImageError, ModelError
from deconv_core.models import ARCHITECTURES, architecture
from deconv_core.models.inference import BUCKET, Reconstructor
from deconv_core.models.layers import DepthToSpace, DivisiveNormalisation, SpaceToDepth
from deconv_core.models.photo import DECODERS

SMALL = {"width": 8, "deep_width": 8, "blocks": 1, "code_channels": 8}


def photo(**arguments):
    keras.utils.set_random_seed(1)
    return architecture("photo").build(**(SMALL | arguments))


def with_noise(model, seed=3):
    """Layers that start at zero get weights, so that every path takes part."""
    rng = np.random.default_rng(seed)
    model.set_weights([w + 0.05 * rng.standard_normal(w.shape).astype(np.float32) ** 2 for w in model.get_weights()])
    return model


BLOCKS = ("encode_2", "encode_4", "decode_2", "decode_block")  # of the small one


def test_article_is_the_introductory_network_with_its_two_mends():
    model = architecture("article").build()
    kinds = [type(layer).__name__ for layer in model.layers]
    assert kinds == ["InputLayer", "Conv2D", "MaxPooling2D", "UpSampling2D", "Conv2D"]
    assert model.get_layer("encode_1").filters == 32
    assert model.compute_output_shape((1, 28, 28, 1)) == (1, 28, 28, 1)
    assert model.get_layer("code").compute_output_shape((1, 28, 28, 32)) == (1, 14, 14, 32)


def test_the_network_as_usually_printed_cannot_reach_its_target():
    """The reason for the mends: without padding and pooling 28x28 comes out as 50x50."""
    printed = keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            keras.layers.Conv2D(32, 3),
            keras.layers.UpSampling2D(2),
            keras.layers.Conv2D(1, 3),
        ]
    )
    assert printed.output_shape == (None, 50, 50, 1)


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("normalisation", ["none", "divisive"])
@pytest.mark.parametrize("channels", [1, 3])
def test_photo_gives_back_its_input_shape_and_a_code_at_one_eighth(decoder, normalisation, channels):
    model = photo(decoder=decoder, normalisation=normalisation, channels=channels)
    assert model.compute_output_shape((2, 40, 24, channels)) == (2, 40, 24, channels)
    reconstructor = Reconstructor(model, {"stride": 8})
    batch = np.random.default_rng(0).random((2, 40, 24, channels), np.float32)
    assert reconstructor.encode(batch).shape == (2, 5, 3, 8)
    assert reconstructor.reconstruct(batch).shape == batch.shape


@pytest.mark.parametrize("decoder", DECODERS)
def test_ten_steps_lower_the_loss(decoder):
    model = photo(decoder=decoder, normalisation="divisive")
    batch = np.random.default_rng(0).random((4, 32, 32, 3), np.float32)
    model.compile("adam", "mse", jit_compile=False)
    losses = [float(model.train_on_batch(batch, batch)) for _ in range(10)]
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("key", ARCHITECTURES)
def test_saved_and_loaded_again_the_output_is_the_same(key, tmp_path):
    model = with_noise(architecture(key).build())
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras", safe_mode=True)
    batch = np.random.default_rng(0).random((1, 16, 16, model.input_shape[-1]), np.float32)
    np.testing.assert_array_equal(model(batch), again(batch))


def test_only_rectified_blocks_end_in_a_relu():
    names = {flag: {layer.name for layer in photo(rectified=flag).layers} for flag in (False, True)}
    assert names[True] - names[False] == {f"{part}_relu" for part in BLOCKS}
    assert {f"{part}_add" for part in BLOCKS} < names[False]


def test_wrong_arguments_are_refused_in_words():
    with pytest.raises(ModelError, match="Unknown decoder 'magic'; choose one of subpixel, transposed, resize"):
        architecture("photo").build(decoder="magic")
    with pytest.raises(ModelError, match="depth"):
        architecture("photo").build(depth=3)
    with pytest.raises(ModelError, match="Unknown architecture 'vgg'; choose one of article, photo"):
        architecture("vgg")


def test_folding_is_what_tensorflow_calls_space_to_depth_and_unfolding_undoes_it():
    batch = np.random.default_rng(0).random((2, 12, 8, 3), np.float32)
    folded = SpaceToDepth(4)(batch)
    np.testing.assert_array_equal(folded, tf.nn.space_to_depth(batch, 4))
    np.testing.assert_array_equal(DepthToSpace(4)(folded), batch)
    np.testing.assert_array_equal(DepthToSpace(2)(folded), tf.nn.depth_to_space(folded, 2))


def test_divisive_normalisation_follows_its_formula_and_its_inverse_multiplies():
    batch = np.random.default_rng(0).normal(size=(1, 2, 2, 3)).astype(np.float32)
    layer = DivisiveNormalisation()
    divided = np.asarray(layer(batch))
    energy = np.sqrt(1 + 1e-6 + 0.1 * batch**2)  # gamma starts at 0.1 on the diagonal, beta at 1
    np.testing.assert_allclose(divided, batch / energy, rtol=1e-5)
    np.testing.assert_allclose(DivisiveNormalisation(inverse=True)(batch), batch * energy, rtol=1e-5)


@pytest.fixture(scope="module")
def reconstructor():
    return Reconstructor(with_noise(photo()), {"stride": 8, "name": "small"})


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (3, 2), (7, 9), (31, 33), (64, 64), (65, 130)])
def test_any_size_comes_back_in_its_own_size(reconstructor, size):
    batch = np.random.default_rng(0).random((1, *size, 3), np.float32)
    rebuilt = reconstructor.reconstruct(batch)
    assert rebuilt.shape == batch.shape
    assert rebuilt.dtype == np.float32
    assert 0 <= rebuilt.min() <= rebuilt.max() <= 1


def test_padding_reflects_where_it_can_and_repeats_edges_where_it_cannot(reconstructor):
    batch = np.random.default_rng(0).random((1, 40, 40, 3), np.float32)
    reflected = np.pad(batch, ((0, 0), (0, 24), (0, 24), (0, 0)), mode="reflect")
    np.testing.assert_allclose(
        reconstructor.reconstruct(batch), reconstructor.reconstruct(reflected)[:, :40, :40], atol=1e-6
    )
    tiny = batch[:, :5, :5]
    repeated = np.pad(tiny, ((0, 0), (0, BUCKET - 5), (0, BUCKET - 5), (0, 0)), mode="edge")
    np.testing.assert_allclose(
        reconstructor.reconstruct(tiny), reconstructor.reconstruct(repeated)[:, :5, :5], atol=1e-6
    )


def test_neighbours_in_the_batch_change_nothing(reconstructor):
    batch = np.random.default_rng(0).random((20, 48, 48, 3), np.float32)
    together = reconstructor.reconstruct(batch)
    alone = np.concatenate([reconstructor.reconstruct(picture[None]) for picture in batch])
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_encoder_and_decoder_taken_apart_make_the_whole(reconstructor):
    batch = np.random.default_rng(0).random((2, 64, 96, 3), np.float32)
    rebuilt = reconstructor.decode(reconstructor.encode(batch), 64, 96)
    np.testing.assert_allclose(rebuilt, reconstructor.reconstruct(batch), atol=1e-5)


def test_a_wrong_batch_is_refused_in_words(reconstructor):
    with pytest.raises(ImageError, match=r"needs pictures as \(N, H, W, 3\); got \(1, 8, 8, 1\)"):
        reconstructor.reconstruct(np.zeros((1, 8, 8, 1), np.float32))
    with pytest.raises(ImageError, match=r"got \(0, 8, 8, 3\)"):
        reconstructor.reconstruct(np.zeros((0, 8, 8, 3), np.float32))
