"""Inside a model: layers in order, readouts, projections back to the pixels, kernels in pixels."""

import keras
import numpy as np
import pytest

from deconv_core.errors import ModelError
from deconv_core.models import ARCHITECTURES, inside
from deconv_core.models.inference import Reconstructor
from deconv_core.models.layers import SpaceToDepth


def small_photo(**options):
    keras.utils.set_random_seed(3)
    model = ARCHITECTURES["photo"].build(width=8, deep_width=8, blocks=1, code_channels=16, **options)
    return Reconstructor(model, {"stride": 8, "code_layer": "code", "name": "small"})


@pytest.fixture(scope="module")
def model():
    return small_photo()


@pytest.fixture(scope="module")
def pictures():
    rng = np.random.default_rng(0)
    coarse = rng.random((4, 6, 8, 3)).astype(np.float32)
    return np.repeat(np.repeat(coarse, 8, axis=1), 8, axis=2)


def test_depths_go_from_the_picture_to_the_code(model):
    found = inside.depths(model)
    assert found[0].name == "fold"
    assert (found[0].factor, found[0].channels, found[0].numbers) == (4, 48, 1.0)
    assert found[-1].is_code
    assert [depth.factor for depth in found] == sorted(depth.factor for depth in found)
    assert [depth.is_code for depth in found].count(True) == 1


def test_activations_of_the_code_are_what_the_encoder_makes(model, pictures):
    made = inside.activations(model, pictures, ["encode_1", "code"])
    np.testing.assert_allclose(made["code"], model.encode(pictures), atol=1e-5)
    folded = SpaceToDepth(4)(pictures - 0.5)
    by_hand = model.keras_model.get_layer("encode_1")(folded).numpy()
    np.testing.assert_allclose(made["encode_1"], by_hand, atol=1e-5)


def test_a_layer_that_keeps_everything_is_read_without_loss(model, pictures):
    readouts = inside.fit_readouts(model, pictures)
    assert [readout.depth.name for readout in readouts] == [depth.name for depth in inside.depths(model)]
    values = inside.activations(model, pictures, ["fold"])["fold"]
    np.testing.assert_allclose(readouts[0].read(values), pictures, atol=5e-3)


def test_a_readout_is_the_least_squares_solution(model):
    pictures = np.random.default_rng(1).random((2, 32, 48, 3)).astype(np.float32)
    readout = next(each for each in inside.fit_readouts(model, pictures) if each.depth.is_code)
    values = inside.activations(model, pictures, ["code"])["code"]
    padded = np.pad(values, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="edge")
    rows = []
    targets = []
    for number in range(2):
        for row in range(4):
            for column in range(6):
                rows.append(np.append(padded[number, row : row + 3, column : column + 3].ravel(), 1))
                targets.append(pictures[number, 8 * row : 8 * row + 8, 8 * column : 8 * column + 8].ravel())
    rows, targets = np.array(rows, np.float64), np.array(targets)
    best = np.mean((rows @ np.linalg.lstsq(rows, targets, rcond=None)[0] - targets) ** 2)
    found = np.mean((rows @ readout.weights - targets) ** 2)
    assert best <= found + 1e-9
    assert found < np.var(targets, axis=0).mean()


def test_the_gradient_projection_is_the_derivative(pictures):
    model = small_photo()
    picture = pictures[0].astype(np.float64)
    awake = inside.activations(model, pictures[:1], ["encode_1"])["encode_1"][0, 3, 4]
    channel = int(awake.argmax())  # a rectifier that is shut lets nothing back
    found = inside.project(model, pictures[0], "encode_1", (3, 4), channel)
    assert found.value == pytest.approx(float(awake[channel]), rel=1e-5)
    network = keras.Model(model.keras_model.inputs[0], model.keras_model.get_layer("encode_1").output)
    step = 1e-2
    for place in ((12, 17, 0), (13, 16, 2), (14, 19, 1)):
        up, down = picture.copy(), picture.copy()
        up[place] += step
        down[place] -= step
        both = network(np.stack([up, down]).astype(np.float32), training=False).numpy()[:, 3, 4, channel]
        assert found.pixels[place] == pytest.approx((both[0] - both[1]) / (2 * step), abs=2e-3)
    top, left, bottom, right = found.box
    assert (top, left, bottom, right) == (8, 12, 20, 24)  # 3 x 3 places of 4 x 4 pixels around row 3, column 4


def test_the_transposed_layers_are_the_adjoint_of_the_linear_ones(pictures):
    """<J u, v> = <u, J^T v> for the derivative J of a layer, by the projection and by a step forwards."""
    model = small_photo()
    rng = np.random.default_rng(2)
    change = rng.standard_normal(pictures[0].shape).astype(np.float32)
    found = inside.project(model, pictures[0], "fold", (2, 5), 7)
    network = keras.Model(model.keras_model.inputs[0], model.keras_model.get_layer("fold").output)
    moved = network(np.stack([pictures[0] + change, pictures[0]]), training=False).numpy()[:, 2, 5, 7]
    assert float((found.pixels * change).sum()) == pytest.approx(float(moved[0] - moved[1]), abs=1e-5)


def test_deconvnet_lets_only_what_is_positive_through(pictures):
    picture = keras.Input((None, None, 1))
    x = keras.layers.Conv2D(2, 1, activation="relu", use_bias=False, name="first")(picture)
    code = keras.layers.Conv2D(1, 1, use_bias=False, name="code")(x)
    network = keras.Model(picture, code)
    network.get_layer("first").set_weights([np.array([[[[1.0, 1.0]]]])])
    network.get_layer("code").set_weights([np.array([[[[2.0], [-3.0]]]])])
    model = Reconstructor(network, {"stride": 1, "code_layer": "code", "name": "two"})
    ones = np.ones((3, 3, 1), np.float32)
    assert inside.project(model, ones, "code", (1, 1), 0).pixels[1, 1, 0] == pytest.approx(-1)
    assert inside.project(model, ones, "code", (1, 1), 0, rule="deconvnet").pixels[1, 1, 0] == pytest.approx(2)


def test_a_place_outside_is_refused_in_words(model, pictures):
    with pytest.raises(ModelError, match=r"has 6 x 8 places and 16 channels; got place \(6, 0\)"):
        inside.project(model, pictures[0], "code", (6, 0), 0)
    with pytest.raises(ModelError, match="has no layer 'nowhere'"):
        inside.project(model, pictures[0], "nowhere", (0, 0), 0)
    with pytest.raises(ModelError, match="choose one of gradient, deconvnet"):
        inside.project(model, pictures[0], "code", (0, 0), 0, rule="guided")


@pytest.mark.parametrize("decoder", ["subpixel", "transposed", "resize"])
def test_kernels_that_face_the_picture_are_shown_in_its_pixels(decoder):
    model = small_photo(decoder=decoder)
    names = inside.kernel_layers(model)
    first, linear = (inside.kernels(model, name) for name in ("encode_1", "linear_encode"))
    assert first.shape == (8, 12, 12, 3)
    assert linear.shape == (16, 8, 8, 3)
    assert inside.kernels(model, "encode_2_a").shape == (64, 3, 3, 1)
    last = inside.kernels(model, "decode_up4")
    assert last.shape[-1] == (3 if decoder != "none" else 1)
    assert names[0] == "encode_1"


def test_an_unfolded_kernel_answers_most_to_itself(model):
    """The pixels of a filter, laid under it as a picture, give its own energy."""
    tiles = inside.kernels(model, "linear_encode")
    kernel = model.keras_model.get_layer("linear_encode")
    for number in (0, 5):
        folded = SpaceToDepth(4)(tiles[number][None])
        assert float(kernel(folded)[0, 0, 0, number]) == pytest.approx(float((tiles[number] ** 2).sum()), rel=1e-5)


def test_the_last_row_is_what_the_model_itself_rebuilds(model, pictures):
    readouts = inside.fit_readouts(model, pictures)
    rows = inside.read_depths(model, readouts, pictures[1])
    assert [row["name"] for row in rows] == [*(depth.name for depth in inside.depths(model)), "decoder"]
    np.testing.assert_allclose(rows[-1]["pixels"], model.reconstruct(pictures[1:2])[0], atol=1e-6)
    assert all(row["pixels"].shape == pictures[1].shape for row in rows)


def test_a_sheet_of_kernels_keeps_their_signs():
    tiles = np.zeros((9, 2, 2, 1), np.float32)
    tiles[:, 0, 0] = 3
    tiles[:, 1, 1] = -1.5
    sheet = inside.kernel_sheet(tiles, 9)
    assert sheet.shape == (7, 25, 1)
    assert sheet[1, 1, 0] == 1
    assert sheet[2, 2, 0] == 0.25
    assert sheet[0, 0, 0] == 0.5
