"""Two models on the same pictures: paired differences, their interval, and what is told about them."""

import cv2
import numpy as np
import pytest

from deconv_core.errors import DeconvError, ImageError
from deconv_core.metrics.psnr import psnr
from deconv_core.model_comparison import compare_models, rebuild_pair, take_pictures


class Fake:
    """A model that adds the same value everywhere, or blurs."""

    def __init__(self, shift=0.0, sigma=0.0, channels=3):
        self.shift, self.sigma, self.channels = shift, sigma, channels

    def reconstruct(self, batch):
        assert batch.shape[-1] == self.channels
        if self.sigma:
            batch = np.stack([cv2.GaussianBlur(one, (0, 0), self.sigma).reshape(one.shape) for one in batch])
        return np.clip(batch + self.shift, 0, 1).astype(np.float32)


@pytest.fixture
def pictures():
    rng = np.random.default_rng(0)
    return {f"p{number}": rng.uniform(0.3, 0.7, (24, 20, 3)).astype(np.float32) for number in range(8)}


def test_differences_are_those_worked_out_by_hand(pictures):
    # A constant error e has a PSNR of -20 log10(e): 20 dB for 0.1, 26.02 dB for 0.05.
    found = compare_models(Fake(0.1), Fake(0.05), pictures)
    np.testing.assert_allclose(found.table["first"], 20, atol=1e-4)
    np.testing.assert_allclose(found.table["difference"], 20 * np.log10(2), atol=1e-4)
    assert found.low == pytest.approx(found.mean, abs=1e-4)
    assert found.sentence.startswith("The second model is better by 6.02 dB PSNR on average (95 % interval +6.02")
    assert "better on 8 and worse on 0 of 8" in found.sentence


def test_trading_places_turns_the_sign(pictures):
    one, other = (compare_models(*pair, pictures) for pair in ((Fake(0.1), Fake(sigma=1)), (Fake(sigma=1), Fake(0.1))))
    assert one.mean == pytest.approx(-other.mean)
    assert (one.low, one.high) == (pytest.approx(-other.high), pytest.approx(-other.low))


def test_no_clear_difference_is_said_so():
    rng = np.random.default_rng(1)
    # Bright pictures are spoiled by the one model, dark ones by the other.
    pictures = {f"p{n}": np.full((16, 16, 3), 0.98 if n % 2 else 0.02, np.float32) for n in range(8)}
    pictures |= {"q": rng.uniform(0.3, 0.7, (16, 16, 3)).astype(np.float32)}
    found = compare_models(Fake(0.1), Fake(-0.1), pictures)
    assert found.low < 0 < found.high
    assert found.sentence.startswith("No clear difference")


def test_pictures_that_changed_most_come_first(pictures):
    pictures["flat"] = np.full((24, 20, 3), 0.5, np.float32)  # a blur does not touch it
    found = compare_models(Fake(0.02), Fake(sigma=2), pictures)
    sizes = found.table["difference"].abs().to_numpy()
    assert (np.diff(sizes[np.isfinite(sizes)]) <= 0).all()
    assert found.table["image"][0] == "flat"
    assert np.isnan(found.low)
    assert "perfectly" in found.sentence


def test_equal_models_do_not_differ_even_where_both_are_perfect(pictures):
    found = compare_models(Fake(), Fake(), pictures)
    assert (found.table["difference"] == 0).all()
    assert found.mean == 0
    assert found.sentence.startswith("No clear difference")


def test_a_grey_and_a_colour_model_meet_on_luma(pictures):
    found = compare_models(Fake(0.1), Fake(0.1, channels=1), pictures)
    assert found.grey
    np.testing.assert_allclose(found.table["difference"], 0, atol=1e-4)
    clean, first, second = rebuild_pair(Fake(0.1), Fake(0.1, channels=1), pictures["p0"])
    assert clean.shape == first.shape == second.shape == (24, 20, 1)


def test_damage_is_done_before_the_models_and_compared_with_the_clean_picture(pictures):
    damage = (("white_noise", 3.0),)
    found = compare_models(Fake(), Fake(0.001), pictures, damage=damage, seed=4)
    clean, first, _ = rebuild_pair(Fake(), Fake(), pictures["p0"], damage=damage, seed=5)
    expected = float(psnr(clean[None], first[None])[0])
    assert expected < 30
    assert found.table.set_index("image").loc["p0", "first"] == pytest.approx(expected)


def test_few_pictures_get_no_interval(pictures):
    found = compare_models(Fake(0.1), Fake(0.05), dict(list(pictures.items())[:2]))
    assert np.isnan(found.low)
    assert np.isnan(found.high)
    assert "too few pictures to say how sure" in found.sentence


def test_small_pictures_are_left_out_with_the_reason(pictures):
    pictures["dot"] = np.zeros((5, 5, 3), np.float32)
    found = compare_models(Fake(0.1), Fake(0.05), pictures, measure="ssim")
    assert found.skipped == (("dot", "smaller than the 11 pixels that SSIM needs"),)
    assert len(found.table) == 8
    with pytest.raises(DeconvError, match="no picture on which the models could be compared"):
        compare_models(Fake(), Fake(), {"dot": pictures["dot"]}, measure="ssim")
    with pytest.raises(DeconvError, match="cannot be compared by 'beauty'"):
        compare_models(Fake(), Fake(), pictures, measure="beauty")


def test_pictures_are_taken_up_to_the_limit_and_broken_ones_told():
    class Item:
        def __init__(self, name, size):
            self.name, self.size = name, size

        def read(self):
            if not self.size:
                raise ImageError("is broken")
            return type("Picture", (), {"pixels": np.zeros((*self.size, 3), np.float32)})

    items = [Item("a", (8, 900)), Item("b", None), Item("c", (8, 8)), Item("d", (8, 8))]
    pictures, broken = take_pictures(items, max_pictures=2, largest_side=512)
    assert {name: pixels.shape for name, pixels in pictures.items()} == {"a": (8, 512, 3), "c": (8, 8, 3)}
    assert broken == [("b", "is broken")]
