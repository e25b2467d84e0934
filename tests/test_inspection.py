"""Looking at one pair again and again: recalled answers, scores, maps, sheets, commands."""

import io
import math
import shlex
import threading
import zipfile

import numpy as np
import pytest
from PIL import Image

from deconv_core import inspection
from deconv_core.errors import DeconvError
from deconv_core.images import to_uint8
from deconv_core.inspection import Recall, Recalling
from deconv_core.metrics import METRICS


class Halving:
    """A stand-in for a network: counts its work, and halves what it sees."""

    channels, stride, digest, name = 3, 8, "d", "halving"

    def __init__(self):
        self.calls = 0

    def reconstruct(self, batch):
        self.calls += 1
        return batch / 2

    def encode(self, batch):
        return batch[:, ::8, ::8]


def picture(height=40, width=48, seed=0):
    return np.random.default_rng(seed).random((height, width, 3), np.float32)


def test_recalled_answers_are_the_models_own_and_computed_once():
    model = Halving()
    recalling = Recalling(model, Recall())
    batch = picture()[None]
    for _ in range(3):
        np.testing.assert_array_equal(recalling.reconstruct(batch.copy()), batch / 2)
    assert model.calls == 1
    recalling.reconstruct(picture(seed=1)[None])
    assert model.calls == 2
    np.testing.assert_array_equal(recalling.encode(batch), batch[:, ::8, ::8])
    assert recalling.stride == 8


def test_models_that_share_a_recall_never_get_each_others_answers():
    recall, other = Recall(), Halving()
    other.digest = "e"
    first, second = Recalling(Halving(), recall), Recalling(other, recall)
    first.reconstruct(picture()[None])
    second.reconstruct(picture()[None])
    assert other.calls == 1


def test_recall_stays_within_its_bytes_and_forgets_the_oldest():
    one = np.zeros(1000, np.uint8)
    recall = Recall(max_bytes=2500)
    for key in "abc":
        recall.once((key,), one.copy)
    assert recall.num_bytes == 2000
    computed = []
    recall.once(("c",), lambda: computed.append("c") or one.copy())
    recall.once(("a",), lambda: computed.append("a") or one.copy())
    assert computed == ["a"]
    recall.once(("large",), lambda: np.zeros(3000, np.uint8))
    assert recall.num_bytes <= 2500


def test_recalled_answers_cannot_be_written_into():
    answer = Recalling(Halving(), Recall()).reconstruct(picture()[None])
    with pytest.raises(ValueError, match="read-only"):
        answer[...] = 0


def test_recall_counts_its_bytes_right_under_many_threads():
    recall = Recall(max_bytes=50_000)

    def work(seed):
        for key in np.random.default_rng(seed).integers(0, 100, 300):
            assert recall.once((str(key),), lambda key=key: np.full(1000, key, np.uint8))[0] == key

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert recall.num_bytes == sum(answer.nbytes for answer in recall._answers.values()) <= 50_000


def test_tokens_follow_content_shape_and_type():
    image = picture()
    assert inspection.token(image) == inspection.token(image.copy())
    others = [image[:, ::-1], image.reshape(48, 40, 3), image.astype(np.float64), image + np.float32(1e-6)]
    assert len({inspection.token(other) for other in [image, *others]}) == 5


def test_scores_of_a_pair_are_those_of_the_table_of_metrics():
    x, y = picture(200, 180), picture(200, 180, seed=1)
    model = Halving()
    scores = inspection.score_pair(x, y, ("psnr", "ssim", "recon_pair_psnr", "deconv"), model=model)
    assert scores["psnr"] == METRICS["psnr"].function(x[None], y[None])[0]
    assert scores["recon_pair_psnr"] == pytest.approx(scores["psnr"] + 20 * math.log10(2), abs=1e-4)
    assert math.isnan(scores["deconv"])  # its model was not given
    assert model.calls == 2  # R(x) and R(y), although two metrics asked


def test_what_is_too_small_has_no_number_and_is_named():
    scores = inspection.score_pair(picture(9, 9), picture(9, 9, seed=1), ("psnr", "ssim"))
    assert math.isfinite(scores["psnr"])
    assert math.isnan(scores["ssim"])
    assert inspection.too_small(("psnr", "ssim"), (9, 12)) == (
        "No number for SSIM: the picture is 12 × 9 pixels, up to 11 are needed each way."
    )
    assert inspection.too_small(("psnr",), (9, 12)) == ""
    assert inspection.too_small(("ssim", "ssim_luma", "ms_ssim"), (9, 12)).startswith("No number for 3 scores: ")


@pytest.mark.parametrize("key", inspection.map_keys())
def test_every_map_is_as_large_as_the_picture_and_has_a_scale(key):
    class Grey(Halving):
        channels = 1

    found = inspection.error_map(
        key, picture(170, 165), picture(170, 165, seed=1), model=Halving(), deconv_model=Grey()
    )
    assert found.shape == (170, 165)
    assert inspection.map_scale(key)[0] > 0


def test_reduced_pictures_keep_their_proportions_and_mean():
    image = picture(400, 300)
    smaller = inspection.reduce(image, 30_000)
    assert smaller.shape[0] * smaller.shape[1] <= 30_000
    assert smaller.shape[0] / smaller.shape[1] == pytest.approx(4 / 3, rel=0.01)
    assert smaller.mean() == pytest.approx(image.mean(), abs=2e-3)
    assert inspection.reduce(image, 120_000) is image
    assert inspection.reduce_side(image, 100).shape == (100, 75, 3)
    assert inspection.reduce_side(picture(500, 1), 100).shape == (100, 1, 3)


def test_code_sheet_shows_the_channels_that_vary_most():
    code = np.zeros((4, 6, 5), np.float32)
    code[..., 3] = np.arange(24).reshape(4, 6)
    code[0, 0, 1] = 0.5
    sheet = inspection.code_sheet(code, count=2)
    assert sheet.shape == (4, 13)
    np.testing.assert_allclose(sheet[:, :6], code[..., 3] / 23, atol=1e-6)
    assert sheet[0, 7] == 1
    assert np.all(sheet[:, 6] == 0.5)


def test_ladder_begins_at_identical_and_gets_worse():
    frame = inspection.ladder(
        inspection.example_picture("coffee").pixels, "jpeg", (0, 2, 5), ("psnr", "ssim", "deconv")
    )
    assert list(frame.columns) == ["distortion", "severity", "psnr", "ssim"]  # no model for deconv
    assert frame["psnr"][0] == math.inf
    assert frame["ssim"].is_monotonic_decreasing
    curves = inspection.as_curves(frame)
    assert len(curves) == 5  # the infinite one cannot be drawn
    assert set(curves.columns) == {"metric", "severity", "value"}


def test_zip_holds_the_pictures_and_depends_on_them_alone():
    image = picture()
    data = inspection.pictures_zip({"reference.png": image})
    assert data == inspection.pictures_zip({"reference.png": image})
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        np.testing.assert_array_equal(Image.open(archive.open("reference.png")), to_uint8(image))


def test_commands_are_safe_to_paste():
    command = inspection.score_command("judged.png", "a b; rm -rf ~'.png", "photo_large", mismatch="crop")
    words = shlex.split(command)
    assert words[4:7] == ["judged.png", "--reference", "a b; rm -rf ~'.png"]
    assert "--mismatch crop" in command
    assert shlex.split(inspection.score_command("-rf.png", "x.png", ""))[4] == "./-rf.png"
    assert inspection.degrade_command("x.png", [("jpeg", 3.0)], 7, "y.png") == (
        "python -m deconv_core degrade x.png --type jpeg --severity 3 --out y.png"
    )
    assert "--seed 7" in inspection.degrade_command("x.png", [("white_noise", 2.5)], 7, "y.png")


def test_commands_repeat_what_the_page_shows(tmp_path, monkeypatch):
    from click.testing import CliRunner

    from deconv_core.__main__ import main
    from deconv_core.distortions import distort_all
    from deconv_core.images import encode_png, read_image

    monkeypatch.chdir(tmp_path)
    reference = inspection.example_picture("camera").pixels
    steps = (("white_noise", 2.5), ("jpeg", 1.0))
    (tmp_path / "reference.png").write_bytes(encode_png(reference))
    words = shlex.split(inspection.degrade_command("reference.png", steps, 3, "judged.png"))[3:]
    assert CliRunner().invoke(main, words, catch_exceptions=False).exit_code == 0
    shown = distort_all(reference, steps, seed=3)
    np.testing.assert_array_equal(read_image(tmp_path / "judged.png").pixels, shown)


def test_broken_laws_are_one_sentence():
    laws = {
        "recon_pair_ssim": {
            "passed": False,
            "failed": ["..."],
            "laws": {
                "identity": {"passed": True},
                "monotone": {"passed": False, "inversions": {"jpeg": 9, "contrast": 1}, "compared": 1600},
            },
        },
        "recon_pair_psnr": {"passed": True, "failed": [], "laws": {}},
    }
    assert inspection.broken_laws({"laws": laws}, ("recon_pair_psnr", "recon_pair_ssim")) == (
        "Fails a sanity law: more damage scored better in 10 of 1,600 steps (SSIM)."
    )
    laws["recon_pair_ssim"]["laws"]["identity"] = laws["recon_pair_ssim"]["laws"]["blank"] = {"passed": False}
    assert inspection.broken_laws({"laws": laws}, ("recon_pair_ssim",)) == (
        "Fails sanity laws: identical pictures are not best; more damage scored better in 10 of 1,600 steps; "
        "a blank picture scores as well."
    )
    assert inspection.broken_laws({}, ("psnr",)) == ""


def test_ranges_and_scores_in_words():
    assert inspection.range_words(METRICS["deconv"]) == "0 to 100, higher is better; identical pictures get 100"
    assert inspection.range_words(METRICS["psnr"]).startswith("0 dB and up, higher is better")
    assert "depends on the model" in inspection.range_words(METRICS["recon_true_psnr"])
    assert inspection.score_words(METRICS["psnr"], math.inf) == "identical"
    assert inspection.score_words(METRICS["psnr"], math.nan) == "no number"


@pytest.mark.parametrize("key", inspection.DIGIT_KEYS)
def test_drawn_digits_are_examples(key):
    assert inspection.example_picture(key).pixels.shape == (28, 28, 1)
    assert inspection.check_example(key) == key


def test_unknown_example_is_refused():
    with pytest.raises(DeconvError, match="There is no sample"):
        inspection.check_example("../x")
    with pytest.raises(DeconvError):
        inspection.example_picture("digit_99")


def test_the_pace_of_more_work_is_slower_and_a_pace_of_none_is_nothing():
    assert inspection.pace([]) == 0
    assert 0 < inspection.pace(["psnr"]) < inspection.pace(["psnr", "vsi", "vif", "fsimc", "mdsi"], ["jpeg2000"])


def test_worst_patches_are_squares_of_a_grid_worst_first():
    error = np.zeros((70, 100), np.float32)
    error[32:64, 64:96] = 0.5
    error[64:, 96:] = 0.25  # the corner is smaller than the others
    error[0, 0] = 1
    patches = inspection.worst_patches(error, side=32, count=3)
    assert [(patch.top, patch.left, patch.height, patch.width) for patch in patches] == [
        (32, 64, 32, 32),
        (64, 96, 6, 4),
        (0, 0, 32, 32),
    ]
    assert [patch.error for patch in patches] == pytest.approx([0.5, 0.25, 1 / 1024])
    assert inspection.worst_patches(np.zeros((70, 100))) == []
    assert len(inspection.worst_patches(error, side=32)) == 3  # no error, no patch


def test_frames_are_drawn_in_colour_and_leave_the_inside_alone():
    grey = np.full((80, 90, 1), 0.5, np.float32)
    drawn = inspection.framed(grey, [inspection.Patch(10, 20, 48, 48, 0.1)])
    assert drawn.shape == (80, 90, 3)
    assert tuple(np.round(drawn[10, 50] * 255)) == (255, 190, 60)
    assert np.allclose(drawn[40:50, 40:60], 128 / 255, atol=1 / 255)
    assert np.array_equal(inspection.framed(drawn, []), drawn)


def test_scores_of_one_picture_alone_are_never_drawn_without_their_warning():
    words = inspection.not_quality(["psnr", "recon_self_psnr", "detail", "recon_self_ssim", "no_metric"])
    assert words.count("Not a measure of quality") == 1
    assert "Recovered with itself, PSNR; Recovered with itself, SSIM: Not" in words
    assert "Detail: A measure of detail, not of quality" in words
    assert inspection.not_quality(["psnr", "deconv"]) == ""
