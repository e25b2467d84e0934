"""Sets of pictures known by a name."""

import sys
import types

import numpy as np
import pytest

from deconv_core.errors import DeconvError
from deconv_core.picture_set import read_pictures
from deconv_core.sources import iterate
from deconv_core.survey import survey


def test_samples_need_no_file():
    found = survey("samples")
    assert (found.count, found.num_unreadable, found.held_out) == (10, 0, 0)
    assert found.digest == survey("samples").digest


@pytest.mark.slow
def test_digits_need_no_file():
    found = read_pictures("digits", channels=1)
    assert (len(found.pictures), len(found.held_out), found.names[0]) == (9000, 1000, "digit_0")


def fake_keras(monkeypatch, load):
    keras = types.SimpleNamespace(datasets=types.SimpleNamespace(cifar10=types.SimpleNamespace(load_data=load)))
    monkeypatch.setitem(sys.modules, "keras", keras)


def test_a_set_known_to_keras_is_fetched_by_its_name(monkeypatch):
    pictures = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3), np.uint8)
    fake_keras(monkeypatch, lambda: ((pictures[:3], None), (pictures[3:], None)))
    found = read_pictures("cifar10", channels=3)
    np.testing.assert_array_equal(found.pictures, pictures[:3])
    np.testing.assert_array_equal(found.held_out, pictures[3:])


def test_without_a_network_a_name_says_what_to_do(monkeypatch):
    def fail():
        raise Exception("URL fetch failure on https://example.org: None -- Name or service not known")

    fake_keras(monkeypatch, fail)
    with pytest.raises(DeconvError, match=r"'cifar10' could not be fetched .*give a local .npz file with x_train"):
        list(iterate("cifar10"))
