"""The map of pictures by their codes."""

import numpy as np
import pytest
from PIL import Image
from scipy.linalg import svd

from deconv_core.errors import DeconvError
from deconv_core.models import ARCHITECTURES, latent
from deconv_core.models.inference import Reconstructor
from deconv_core.sources import iterate


@pytest.fixture(scope="module")
def model():
    network = ARCHITECTURES["photo"].build(width=8, deep_width=8, blocks=1, code_channels=8)
    from deconv_core.training import _initialise_linear_path

    rng = np.random.default_rng(0)

    def batch(step):
        made = rng.random((4, 32, 32, 3)).astype(np.float32)
        return made, made

    _initialise_linear_path(network, batch, steps=20)
    return Reconstructor(network, {"stride": 8, "code_layer": "code", "name": "small"})


def test_principal_components_are_those_of_a_singular_value_decomposition():
    features = np.random.default_rng(1).standard_normal((50, 6)) @ np.diag([5, 3, 1, 1, 1, 0.0])
    features[:, 1] += features[:, 0]
    places, shares = latent.principal(features)
    standard = (features - features.mean(axis=0))[:, :5] / features.std(axis=0)[:5]
    left, values, _ = svd(standard, full_matrices=False)
    expected = left[:, :2] * values[:2]
    expected /= expected[:, 0].std()
    np.testing.assert_allclose(np.abs(places), np.abs(expected), atol=1e-8)
    np.testing.assert_allclose(shares, values[:2] ** 2 / (values**2).sum(), atol=1e-10)


def test_pictures_of_two_kinds_lie_apart_and_a_broken_one_is_told(model, tmp_path):
    rng = np.random.default_rng(2)
    for number in range(12):
        plain = np.full((64, 80, 3), 40 + 3 * number, np.uint8)
        busy = rng.integers(0, 256, (70, 64, 3)).astype(np.uint8)
        Image.fromarray(plain).save(tmp_path / f"plain_{number}.png")
        Image.fromarray(busy).save(tmp_path / f"busy_{number}.png")
    (tmp_path / "broken.png").write_bytes(b"no picture")
    found = latent.latent_map(model, iterate(str(tmp_path)))
    assert [name for name, _ in found.broken] == ["broken.png"]
    assert len(found.frame) == 24
    assert set(found.thumbnails) == set(found.frame["image"])
    busy = found.frame["image"].str.startswith("busy")
    x = found.frame["x"]
    assert max(x[busy]) < min(x[~busy]) or max(x[~busy]) < min(x[busy])


def test_no_more_points_than_asked_for(model, tmp_path):
    for number in range(5):
        Image.fromarray(np.full((32, 32), 50 * number, np.uint8)).save(tmp_path / f"{number}.png")
    found = latent.latent_map(model, iterate(str(tmp_path)), max_points=4)
    assert len(found.frame) == 4
    assert found.left_out


def test_too_few_pictures_are_told(model, tmp_path):
    Image.fromarray(np.zeros((32, 32), np.uint8)).save(tmp_path / "one.png")
    with pytest.raises(DeconvError, match="three pictures at least; 1 could be read"):
        latent.latent_map(model, iterate(str(tmp_path)))


def test_pictures_that_are_all_alike_lie_in_one_place():
    places, shares = latent.principal(np.ones((4, 3)))
    assert not places.any()
    assert shares == (0.0, 0.0)
