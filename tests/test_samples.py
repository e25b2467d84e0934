"""Samples: nothing is downloaded, every licence is stated, and digits look like digits."""

import socket

import numpy as np
import pytest

from deconv_core import samples
from deconv_core.errors import DeconvError, ImageError
from deconv_core.samples import SAMPLES, digit_labels, digits, photographs, sample


@pytest.mark.parametrize("key", SAMPLES)
def test_every_sample_can_be_shown_and_states_its_terms(key, monkeypatch):
    monkeypatch.setattr(socket, "socket", lambda *_, **__: pytest.fail("a sample asked for the network"))
    samples._sample.cache_clear()
    picture = sample(key)
    height, width, channels = picture.pixels.shape
    assert 256 <= max(height, width) <= 512
    assert channels == (1 if "(grey)" in SAMPLES[key].label else 3)
    assert picture.pixels.dtype == np.float32
    assert 0 <= picture.pixels.min() < picture.pixels.max() <= 1
    assert SAMPLES[key].licence in {"CC0 1.0", "Public domain"}
    assert SAMPLES[key].source


def test_samples_begin_with_colour():
    channels = [sample(key).pixels.shape[-1] for key in SAMPLES]
    assert len(channels) >= 8
    assert channels == sorted(channels, reverse=True)


def test_a_sample_is_the_same_every_time_and_safe_to_change():
    first = sample("coffee")
    digest = first.digest
    first.pixels[:] = 0
    again = sample("coffee")
    assert again.pixels.max() > 0.5
    assert again.digest == digest
    assert len({sample(key).digest for key in SAMPLES}) == len(SAMPLES)


def test_the_astronaut_is_the_published_picture():
    data = pytest.importorskip("skimage.data")
    np.testing.assert_array_equal(sample("astronaut").pixels, data.astronaut() / np.float32(255))


def test_unknown_samples_list_the_choices():
    with pytest.raises(DeconvError, match=r"'lena' is not known; choose one of chelsea, coffee"):
        sample("lena")


def test_a_missing_file_is_told_and_not_downloaded(tmp_path, monkeypatch):
    monkeypatch.setattr(samples, "_data_folder", lambda: tmp_path)
    samples._sample.cache_clear()
    with pytest.raises(ImageError, match=r"chelsea\.png is missing"):
        sample("chelsea")


def test_photographs_are_varied():
    crops = photographs()
    assert crops.shape == (20, 192, 192, 3)
    assert crops.dtype == np.float32
    flat = crops.reshape(20, -1)
    flat = flat - flat.mean(axis=1, keepdims=True)
    flat /= np.linalg.norm(flat, axis=1, keepdims=True)
    assert (flat @ flat.T - np.eye(20)).max() < 0.8, "two crops are nearly the same"
    assert crops.std(axis=(1, 2, 3)).min() > 0.04, "a crop is nearly flat"
    colourful = np.ptp(crops, axis=-1).max(axis=(1, 2)) > 0.1
    assert 10 <= colourful.sum() < 20, "colour and grey are both there"


def test_photographs_do_not_overlap_much():
    for (key, x, y), (other, u, v) in [
        (a, b) for index, a in enumerate(samples._CROPS) for b in samples._CROPS[:index] if a[0] == b[0]
    ]:
        assert key == other
        height, width = sample(key).pixels.shape[:2]
        shared = max(0, 192 - abs(x - u) * (width - 192)) * max(0, 192 - abs(y - v) * (height - 192))
        assert shared < 0.35 * 192**2, (key, x, y, u, v)


@pytest.mark.parametrize("size", [1, 64, 192, 256])
def test_photographs_of_any_allowed_size(size):
    crops = photographs(4, size)
    assert crops.shape == (4, size, size, 3)
    np.testing.assert_array_equal(crops, photographs(20, size)[:4])


@pytest.mark.parametrize(("count", "size"), [(0, 192), (21, 192), (20, 257), (20, 0)])
def test_photographs_outside_their_range_are_refused(count, size):
    with pytest.raises(DeconvError, match=r"count from 1 to 20 and size from 1 to 256"):
        photographs(count, size)


def test_digits_look_like_mnist():
    images = digits(300, seed=1)
    assert images.shape == (300, 28, 28, 1)
    assert images.dtype == np.float32
    assert images.min() == 0 and images.max() == 1
    np.testing.assert_array_equal(images, np.rint(images * 255) / np.float32(255))
    ink = images[..., 0] > 0.2
    for axis in (1, 2):
        place = ink.any(axis=axis)
        extent = 28 - place[:, ::-1].argmax(axis=1) - place.argmax(axis=1)
        assert extent.max() <= 22
        assert extent.min() >= 3
    height = ink.any(axis=2).sum(axis=1)
    assert 14 < np.median(height) <= 21
    # Centre of mass within the pixel of jitter that is drawn, and half a pixel for rounding.
    mass = images[..., 0].sum(axis=(1, 2))
    for axis in (1, 2):
        centre = images[..., 0].sum(axis=3 - axis) @ np.arange(28) / mass
        assert np.abs(centre - 13.5).max() < 1.5
    assert 0.05 < images.mean() < 0.25
    assert not ink[:, [0, -1]].any() and not ink[:, :, [0, -1]].any(), "no digit touches the edge"


def test_digits_vary_and_repeat():
    images = digits(200, seed=2)
    np.testing.assert_array_equal(images, digits(200, seed=2))
    assert not np.array_equal(images, digits(200, seed=3))
    assert len(np.unique(images.reshape(200, -1), axis=0)) == 200
    assert digits(0).shape == (0, 28, 28, 1)


def test_labels_tell_the_digits():
    images, labels = digits(600, seed=4).reshape(600, -1), digit_labels(600, seed=4)
    assert set(labels) == set(range(10))
    # The nearest mean of one half names most of the other half; guessing would name a tenth.
    means = np.stack([images[:300][labels[:300] == label].mean(axis=0) for label in range(10)])
    nearest = ((images[300:, None] - means) ** 2).sum(axis=-1).argmin(axis=1)
    assert np.mean(nearest == labels[300:]) > 0.8


def test_negative_counts_are_refused():
    with pytest.raises(DeconvError, match="got count=-1 and seed=0"):
        digits(-1)
