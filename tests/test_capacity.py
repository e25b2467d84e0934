"""The capacity panel: it tells a model that copies from one that blurs, and warns where blank pictures score best."""

import cv2
import numpy as np
import pytest

from deconv_core.models.capacity import capacity, code_share, trial_pictures


class Fake:
    """A model that does what `answer` does."""

    def __init__(self, answer, channels=3, **card):
        self.channels, self._answer = channels, answer
        self.card = {"channels": channels, "stride": 8, "code_channels": 48, **card}

    def reconstruct(self, batch):
        return np.clip(self._answer(batch), 0, 1).astype(np.float32)


def blurred(batch, sigma):
    return np.stack([cv2.GaussianBlur(picture, (0, 0), sigma).reshape(picture.shape) for picture in batch])


@pytest.fixture(scope="module")
def pictures():
    return trial_pictures({"channels": 3}, 6)


def test_a_copier_is_found(pictures):
    found = capacity(Fake(lambda batch: batch), pictures)
    assert found["verdict"] == "copies"
    assert found["noise_kept"] == 1
    assert set(found["kept"].values()) == {1.0}
    assert found["warnings"][0].startswith("It copies: 100% of white noise comes back")


def test_a_blurrer_is_found(pictures):
    found = capacity(Fake(lambda batch: blurred(batch, 12)), pictures)
    assert found["verdict"] == "blurs"
    assert found["noise_kept"] < 0.05
    assert any(sentence.startswith("It blurs everything") for sentence in found["warnings"])


def test_a_model_that_answers_with_one_colour_blurs_everything(pictures):
    found = capacity(Fake(lambda batch: np.full_like(batch, 0.5)), pictures)
    assert found["verdict"] == "blurs"
    # The noise drawn has a variance of 1/12 but for chance: a tenth of a per cent for so many values.
    assert found["noise_kept"] == pytest.approx(0, abs=0.005)
    assert set(found["kept"].values()) == {0.0}


def test_a_light_blur_loses_fine_texture_and_is_no_collapse(pictures):
    found = capacity(Fake(lambda batch: blurred(batch, 1.2)), pictures)
    assert found["verdict"] == "between"
    assert found["kept"]["fine"] < found["kept"]["detail"] < found["kept"]["forms"]
    # What a blur lets through of white noise follows from its kernel: 1 - |1 - H|^2 over all frequencies.
    kernel = cv2.getGaussianKernel(15, 1.2)
    transfer = np.abs(np.fft.fft2(kernel @ kernel.T, (256, 256)))
    assert found["noise_kept"] == pytest.approx(1 - np.mean((1 - transfer) ** 2), abs=0.02)


def test_blank_and_blurred_pictures_that_score_best_are_told(pictures):
    found = capacity(Fake(lambda batch: blurred(batch, 1.2)), pictures)
    assert (found["blank_wins"], found["blurred_wins"]) == (6, 6)
    assert any("blank for 6 of 6 and blurred for 6 of 6" in sentence for sentence in found["warnings"])

    def afraid_of_blanks(batch):
        """Rebuilds what has texture, and spoils what has none."""
        flat = batch.std(axis=(1, 2, 3), keepdims=True) < 0.02
        return np.where(flat, 1 - batch, batch * 0.9)

    found = capacity(Fake(afraid_of_blanks), pictures)
    assert found["blank_wins"] < 6


def test_the_answer_is_plain_json_without_infinities(pictures):
    import json

    json.dumps(capacity(Fake(lambda batch: batch), pictures), allow_nan=False)


def test_code_share_counts_numbers():
    assert code_share({"code_channels": 48, "stride": 8, "channels": 3}) == 0.25
    assert code_share({"code_channels": 32, "stride": 2, "channels": 1}) == 8
    assert code_share({"code_channels": 0, "stride": 2, "channels": 1}) is None


def test_digits_are_for_the_introductory_network():
    assert trial_pictures({"architecture": "article", "channels": 1}, 3).shape == (3, 28, 28, 1)
    assert trial_pictures({"architecture": "photo", "channels": 1}, 3).shape == (3, 176, 176, 1)


@pytest.mark.slow
def test_bundled_models_neither_copy_nor_collapse():
    from deconv_core.models.saving import load_model

    large, small = (capacity(load_model(name)) for name in ("photo_large", "photo_small"))
    assert (large["verdict"], small["verdict"]) == ("between", "between")
    # No more of white noise can come back through a linear code than the code has numbers; a little for the bias.
    for found in (large, small):
        assert found["noise_kept"] == pytest.approx(found["code_share"], abs=0.05)
    assert large["kept"]["fine"] > small["kept"]["fine"]
