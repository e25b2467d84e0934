"""Residual statistics: finite for every picture, free of neighbours and types, and moved the way their names say."""

import numpy as np
import pytest

from deconv_core.distortions import distort
from deconv_core.errors import ImageError
from deconv_core.metrics.deconv_quality_control import GaussianBlur
from deconv_core.residual_statistics import as_viewed, residual_statistics, statistics_names, statistics_of
from deconv_core.samples import photographs

SIDE = 160


def of(picture: np.ndarray) -> dict[str, float]:
    return dict(zip(statistics_names(), statistics_of(picture[None], GaussianBlur())[0].tolist(), strict=True))


def test_names_are_distinct_and_say_group_and_scale():
    names = statistics_names()
    assert len(set(names)) == len(names) > 200
    assert {name.partition(":")[0] for name in names} == {
        *("exposure", "colour", "blocks", "residual", "texture", "contrast", "share", "colour_residual", "sharpness")
    }
    per_scale = [sum(name.endswith(f"@{scale}") for name in names) for scale in range(4)]
    assert len(set(per_scale)) == 1


@pytest.mark.parametrize(
    "picture",
    [
        np.zeros((64, 64, 3), np.float32),
        np.ones((65, 90, 3), np.float32),
        np.full((64, 200, 1), 0.5, np.float32),
        np.indices((70, 64)).sum(axis=0, dtype=np.float32)[..., None] % 2,
    ],
    ids=["black", "white", "grey", "chequered"],
)
def test_every_number_is_finite(picture):
    for rebuilt in (picture, picture * 0.9, np.zeros_like(picture)):
        assert np.isfinite(residual_statistics(picture[None], rebuilt[None])).all()


def test_strength_of_a_known_residual():
    """Luma of 0.5 less a rebuilt 0.4 leaves 0.1 everywhere, at every scale."""
    picture = np.full((1, 64, 64, 1), 0.5, np.float32)
    found = dict(zip(statistics_names(), residual_statistics(picture, picture - np.float32(0.1))[0], strict=True))
    for scale in range(4):
        assert found[f"residual:strength@{scale}"] == pytest.approx(np.log(0.1), abs=1e-5)
        assert found[f"residual:peakedness@{scale}"] == pytest.approx(1, abs=1e-5)
    assert found["exposure:mean"] == pytest.approx(0.5, abs=1e-6)


def test_white_noise_is_gaussian_and_has_no_neighbours():
    rng = np.random.default_rng(3)
    noise = rng.normal(0, 0.05, (1, 256, 256, 1)).astype(np.float32)
    picture = np.full_like(noise, 0.5) + noise
    found = dict(zip(statistics_names(), residual_statistics(picture, picture - noise)[0], strict=True))
    assert found["residual:strength@0"] == pytest.approx(np.log(0.05), abs=0.02)
    assert found["residual:peakedness@0"] == pytest.approx(np.sqrt(2 / np.pi), abs=0.01)
    assert found["residual:tails@0"] == pytest.approx(np.log(3), abs=0.03)
    for lag in ("right", "below", "diagonal", "two_right", "two_below"):
        assert abs(found[f"residual:{lag}@0"]) < 0.02
    # Averages of 2 x 2 independent values have half the deviation.
    assert found["residual:strength@1"] == pytest.approx(np.log(0.025), abs=0.03)


def test_blocks_are_seen_where_they_are():
    [picture] = photographs(1, SIDE)
    found, blocky = of(picture), of(distort(picture, "jpeg", 5))
    for direction in ("across", "down"):
        assert blocky[f"blocks:picture_{direction}"] > found[f"blocks:picture_{direction}"] + 0.2


def test_blur_and_noise_move_sharpness_apart():
    [picture] = photographs(1, SIDE)
    blurred, found, noisy = (
        of(distort(picture, "gaussian_blur", 3)),
        of(picture),
        of(distort(picture, "white_noise", 3)),
    )
    for name in ("residual:strength@0", "sharpness:curvature_0.5@0", "residual:local_0.5@0"):
        assert blurred[name] < found[name] < noisy[name]
    assert blurred["texture:right@0"] > found["texture:right@0"] > noisy["texture:right@0"]


def test_a_picture_is_described_alone_as_among_others():
    pictures = photographs(3, SIDE)
    together = statistics_of(pictures, GaussianBlur())
    alone = np.concatenate([statistics_of(picture[None], GaussianBlur()) for picture in pictures])
    np.testing.assert_array_equal(together, alone)


def test_grey_pictures_have_no_colour():
    [picture] = photographs(1, SIDE)
    grey = picture[..., :1]
    once, thrice = of(grey), of(np.repeat(grey, 3, axis=-1))
    for name, value in once.items():
        if name.startswith("colour:"):
            assert value == pytest.approx(0, abs=1e-6)
        # Luma weights sum to one within rounding only, which is amplified where next to nothing is left.
        assert thrice[name] == pytest.approx(value, abs=0.02), name


def test_large_pictures_are_judged_at_the_size_of_a_screen():
    large = np.random.default_rng(0).random((1, 1024, 1536, 3), dtype=np.float32)
    assert as_viewed(large).shape == (1, 512, 768, 3)
    small = large[:, :768]
    assert as_viewed(small) is small


def test_pictures_that_are_too_small_are_refused():
    picture = np.zeros((1, 63, 200, 3), np.float32)
    with pytest.raises(ImageError, match=r"at least 64 pixels each way.*\(1, 63, 200, 3\)"):
        residual_statistics(picture, picture)
