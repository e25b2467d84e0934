"""Transposed convolution is the adjoint of convolution (matrices, TensorFlow, hand counts), and not its inverse."""

import numpy as np
import pytest

from deconv_core import transposed
from deconv_core.errors import DeconvError, ImageError

SETTINGS = [
    ((7, 9), (3, 3), 1, 0),
    ((8, 8), (3, 3), 2, 1),
    ((9, 6), (2, 4), 2, 0),
    ((5, 5), (4, 3), 3, 2),
    ((1, 8), (1, 5), 2, 2),
]


@pytest.mark.parametrize(("shape", "size", "stride", "padding"), SETTINGS)
def test_both_directions_are_one_matrix_and_its_transpose(shape, size, stride, padding):
    generator = np.random.default_rng(1)
    image, kernel = generator.normal(size=shape), generator.normal(size=size)
    matrix = transposed.convolution_matrix(shape, kernel, stride, padding)
    code = transposed.convolve(image, kernel, stride, padding)
    assert code.shape == transposed.code_shape(shape, size, stride, padding)
    np.testing.assert_allclose(code.ravel(), matrix @ image.ravel(), atol=1e-12)
    y = generator.normal(size=code.shape)
    back = transposed.transpose_convolve(y, kernel, stride, padding, shape)
    np.testing.assert_allclose(back.ravel(), matrix.T @ y.ravel(), atol=1e-12)


@pytest.mark.parametrize(("shape", "size", "stride", "padding"), SETTINGS)
def test_convolution_is_a_plain_sum_of_products_per_window(shape, size, stride, padding):
    generator = np.random.default_rng(2)
    image, kernel = generator.normal(size=shape), generator.normal(size=size)
    padded = np.pad(image, padding)
    code = transposed.convolve(image, kernel, stride, padding)
    for row, column in np.ndindex(*code.shape):
        window = padded[row * stride : row * stride + size[0], column * stride : column * stride + size[1]]
        assert code[row, column] == pytest.approx(np.sum(window * kernel), abs=1e-12)


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("mode", ["VALID", "SAME"])
def test_tensorflow_computes_the_same_pair(stride, mode):
    import tensorflow as tf

    generator = np.random.default_rng(3)
    kernel = generator.normal(size=(3, 3)).astype(np.float32)
    # With an odd kernel and these sizes, "SAME" is one pixel of padding on each side.
    side = 3 * stride + 1 if mode == "SAME" else 12
    padding = 1 if mode == "SAME" else 0
    image = generator.random((side, side)).astype(np.float32)
    filters = kernel[..., None, None]
    expected = tf.nn.conv2d(image[None, ..., None], filters, stride, mode).numpy()[0, ..., 0]
    code = transposed.convolve(image, kernel, stride, padding)
    np.testing.assert_allclose(code, expected, atol=1e-5)
    y = generator.normal(size=code.shape).astype(np.float32)
    theirs = tf.nn.conv2d_transpose(y[None, ..., None], filters, (1, side, side, 1), stride, mode).numpy()[0, ..., 0]
    np.testing.assert_allclose(
        transposed.transpose_convolve(y, kernel, stride, padding, (side, side)), theirs, atol=1e-5
    )
    gap = transposed.adjoint_gap(image, kernel, stride, padding, code=y)
    assert gap.in_code == pytest.approx(float(np.sum(expected * y)), abs=1e-4)
    assert gap.in_picture == pytest.approx(float(np.sum(image * theirs)), abs=1e-4)


def test_a_keras_layer_computes_the_transpose():
    import keras

    generator = np.random.default_rng(4)
    layer = keras.layers.Conv2DTranspose(1, 3, strides=2, padding="valid", use_bias=False)
    code = generator.normal(size=(1, 4, 5, 1)).astype(np.float32)
    theirs = np.asarray(layer(code))[0, ..., 0]
    kernel = np.asarray(layer.kernel)[..., 0, 0]
    np.testing.assert_allclose(transposed.transpose_convolve(code[0, ..., 0], kernel, 2), theirs, atol=1e-6)


@pytest.mark.parametrize("name", transposed.KERNELS)
@pytest.mark.parametrize(("stride", "padding"), [(1, 0), (1, 1), (2, 0), (2, 1), (3, 2)])
def test_the_two_inner_products_agree_for_every_kernel(name, stride, padding):
    image = np.random.default_rng(5).random((31, 40))
    gap = transposed.adjoint_gap(image, transposed.KERNELS[name], stride, padding)
    assert abs(gap.in_code) > 1e-3
    assert gap.relative < 1e-10
    # A mirrored kernel is the classical mistake: unless it is its own mirror image, the products come apart.
    mirrored = transposed.KERNELS[name][::-1, ::-1]
    if not np.array_equal(mirrored, transposed.KERNELS[name]):
        code = np.random.default_rng(0).standard_normal(transposed.convolve(image, mirrored, stride, padding).shape)
        wrong = transposed.transpose_convolve(code, mirrored, stride, padding, image.shape)
        assert np.sum(image * wrong) != pytest.approx(gap.in_code, rel=1e-3)


def test_the_transpose_is_not_the_inverse():
    image = np.random.default_rng(6).random((32, 32))
    for name, kernel in transposed.KERNELS.items():
        for stride in (1, 2):
            gap = transposed.inverse_gap(image, kernel, stride, padding=kernel.shape[0] // 2)
            if name == "One pixel" and stride == 1:
                # The one kernel here whose transpose is its inverse: it changes nothing.
                assert gap.relative_error == 0
                assert gap.psnr == np.inf
            else:
                assert gap.relative_error > 0.05, name
                assert gap.psnr < 35
            assert gap.returned.shape == image.shape


def test_the_best_factor_is_the_best():
    image = np.random.default_rng(7).random((16, 16))
    gap = transposed.inverse_gap(image, transposed.KERNELS["Gaussian 3 × 3"], 2)
    for scale in (0.99 * gap.scale, 1.01 * gap.scale):
        assert np.linalg.norm(scale * gap.returned - image) / np.linalg.norm(image) > gap.relative_error


@pytest.mark.parametrize(
    ("size", "stride", "even"), [(4, 2, True), (2, 2, True), (6, 3, True), (3, 2, False), (5, 3, False)]
)
def test_overlaps_are_even_inside_only_if_the_stride_divides_the_kernel(size, stride, even):
    counts = transposed.overlap_count((40, 40), size, stride)
    inside = counts[10:28, 10:28]
    assert (len(np.unique(inside)) == 1) == even


def test_overlaps_of_a_3_by_3_kernel_with_stride_2_by_hand():
    np.testing.assert_array_equal(
        transposed.overlap_count((5, 5), 3, 2),
        [[1, 1, 2, 1, 1], [1, 1, 2, 1, 1], [2, 2, 4, 2, 2], [1, 1, 2, 1, 1], [1, 1, 2, 1, 1]],
    )


@pytest.mark.parametrize(("shape", "size", "stride", "padding"), SETTINGS)
def test_a_pixel_is_the_sum_of_its_contributions(shape, size, stride, padding):
    generator = np.random.default_rng(8)
    kernel = generator.normal(size=size)
    code = generator.normal(size=transposed.code_shape(shape, size, stride, padding))
    picture = transposed.transpose_convolve(code, kernel, stride, padding, shape)
    counts = transposed.overlap_count(shape, size, stride, padding)
    for position in np.ndindex(*shape):
        pairs = transposed.contributions(position, shape, size, stride, padding)
        assert len(pairs) == counts[position]
        assert picture[position] == pytest.approx(sum(code[y] * kernel[k] for y, k in pairs), abs=1e-12)


def test_kernels_cannot_be_changed_for_everyone():
    with pytest.raises(ValueError, match="read-only"):
        transposed.KERNELS["Sharpen"][0, 0] = 1


def test_wrong_requests_are_refused_in_words():
    image, kernel = np.zeros((8, 8)), np.ones((3, 3))
    with pytest.raises(
        ImageError, match=r"one channel: the picture must be \(height, width\); got the shape \(8, 8, 3\)"
    ):
        transposed.convolve(np.zeros((8, 8, 3)), kernel)
    with pytest.raises(ImageError, match=r"does not fit a picture \(2, 8\)"):
        transposed.convolve(image[:2], kernel)
    with pytest.raises(DeconvError, match="stride=0"):
        transposed.convolve(image, kernel, stride=0)
    with pytest.raises(DeconvError, match="padding=-1"):
        transposed.transpose_convolve(image, kernel, padding=-1)
    with pytest.raises(DeconvError, match="Fill every cell"):
        transposed.convolve(image, np.array([[1.0, np.nan]]))
    with pytest.raises(ImageError, match=r"has a code \(4, 4\).*got a code \(8, 8\)"):
        transposed.transpose_convolve(image, kernel, 2, 1, (8, 8))
    with pytest.raises(ImageError, match="leaves no picture"):
        transposed.transpose_convolve(np.ones((1, 1)), kernel, 1, 2)
    with pytest.raises(ImageError, match="at most 4000000"):
        transposed.convolution_matrix((64, 64), kernel)
    with pytest.raises(ImageError, match=r"\(8, 0\) is outside"):
        transposed.contributions((8, 0), (8, 8), 3)


def test_the_pseudo_inverse_is_the_best_way_back_and_the_transpose_is_not():
    rng = np.random.default_rng(4)
    image, kernel = rng.random((6, 6)), rng.standard_normal((3, 3))
    found = transposed.least_squares_back(image, kernel, stride=2, padding=1)
    matrix = transposed.convolution_matrix((6, 6), kernel, 2, 1)
    expected = np.linalg.lstsq(matrix, matrix @ image.ravel(), rcond=None)[0].reshape(6, 6)
    np.testing.assert_allclose(found.returned, expected, atol=1e-10)
    np.testing.assert_allclose(
        transposed.convolve(found.returned, kernel, 2, 1), transposed.convolve(image, kernel, 2, 1), atol=1e-10
    )
    assert found.rank == 9
    assert found.relative_error < transposed.inverse_gap(image, kernel, 2, 1).relative_error


def test_one_pixel_loses_nothing():
    found = transposed.least_squares_back(np.arange(16.0).reshape(4, 4), np.ones((1, 1)))
    assert (found.rank, round(found.relative_error, 12)) == (16, 0)


@pytest.mark.parametrize(("size", "stride"), [((2, 2), 2), ((3, 3), 2), ((4, 4), 2), ((3, 3), 3), ((4, 3), 2)])
def test_evenness_is_what_the_counts_say(size, stride):
    counts = transposed.overlap_count((25, 25), size, stride)[6:18, 6:18]
    assert transposed.overlaps_evenly(size, stride) == (counts.min() == counts.max())
