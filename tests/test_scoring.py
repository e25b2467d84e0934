"""Tables of scores: order, notes, what happens to files that cannot be scored, ladders."""

import numpy as np
import pytest
from PIL import Image

from deconv_core import scoring
from deconv_core.errors import DeconvError, ImageError
from deconv_core.images import Picture
from deconv_core.metrics import METRICS
from deconv_core.scoring import Pair, Problem, SizeMismatch, fit_pair, score_pairs

CHEAP = ["psnr", "ssim"]


def picture(seed=0, height=40, width=48, channels=3, name=None):
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, channels)).astype(np.float32) / 255
    return Picture(pixels, name or f"{seed}.png", f"{seed:064d}", "PNG", 8, "RGB", ())


def save(path, seed=0, height=40, width=48):
    Image.fromarray((picture(seed, height, width).pixels * 255).round().astype(np.uint8)).save(path)
    return path


class Halving:
    """A tiny reconstructor: averages 2x2 blocks and repeats them."""

    channels, digest, card, name = 3, "0" * 64, {"name": "halving"}, "halving"

    def __init__(self):
        self.passes = 0

    def encode(self, batch):
        n, h, w, c = batch.shape
        return batch.reshape(n, h // 2, 2, w // 2, 2, c).mean((2, 4))

    def reconstruct(self, batch):
        self.passes += len(batch)
        return self.encode(batch).repeat(2, axis=1).repeat(2, axis=2)


def test_rows_keep_the_order_of_the_pairs_whatever_their_sizes():
    pairs = [Pair(picture(n, 40 + 8 * (n % 3), 48), picture(n + 100, 40 + 8 * (n % 3), 48)) for n in range(12)]
    frame = score_pairs(pairs, CHEAP)
    assert list(frame.columns) == ["candidate", "reference", "status", "reason", *CHEAP]
    assert list(frame.candidate) == [f"{n}.png" for n in range(12)]
    for pair, row in zip(pairs, frame.itertuples(), strict=True):
        alone = METRICS["psnr"].function(pair.reference.pixels[None], pair.candidate.pixels[None])[0]
        assert row.psnr == alone


def test_a_broken_file_is_a_row_with_its_reason_and_stops_nothing(tmp_path):
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnot a picture")
    good = save(tmp_path / "good.png")
    frame = score_pairs([Pair(tmp_path / "broken.png", good), Pair(good, good)], CHEAP)
    assert list(frame.status) == ["unreadable", "ok"]
    assert "broken.png" in frame.reason[0]
    assert np.isnan(frame.psnr[0])
    assert frame.psnr[1] == np.inf


def test_a_broken_reference_is_reported_for_every_candidate(tmp_path):
    (tmp_path / "broken.png").write_bytes(b"")
    pairs = [Pair(save(tmp_path / f"{n}.png", n), tmp_path / "broken.png") for n in range(3)]
    assert list(score_pairs(pairs, CHEAP).status) == ["unreadable"] * 3


def test_sizes_that_differ_are_refused_unless_a_way_is_chosen():
    pair = Pair(picture(0, 40, 48), picture(1, 60, 48))
    refused = score_pairs([pair], CHEAP).iloc[0]
    assert refused.status == "mismatch"
    assert "48x40" in refused.reason
    assert "48x60" in refused.reason
    resized = score_pairs([pair], CHEAP, mismatch="resize").iloc[0]
    assert resized.status == "ok"
    assert "resized from 48x40 to 48x60" in resized.reason
    cropped = score_pairs([pair], CHEAP, mismatch="crop").iloc[0]
    centre = METRICS["psnr"].function(pair.reference.pixels[None, 10:50], pair.candidate.pixels[None])[0]
    assert cropped.psnr == centre
    with pytest.raises(DeconvError, match="choose one of refuse, resize, crop"):
        score_pairs([pair], CHEAP, mismatch="stretch")


def test_fit_pair_repeats_grey_beside_colour_and_raises_for_sizes():
    grey, colour = picture(0, channels=1).pixels, picture(1).pixels
    reference, candidate, note = fit_pair(colour, grey)
    assert reference.shape == candidate.shape == colour.shape
    assert "repeated" in note
    with pytest.raises(SizeMismatch, match="expected equal sizes"):
        fit_pair(colour, colour[:20])


def test_pictures_smaller_than_a_window_get_the_metrics_that_fit():
    row = score_pairs([Pair(picture(0, 9, 9), picture(1, 9, 9))], CHEAP).iloc[0]
    assert row.status == "ok"
    assert np.isfinite(row.psnr)
    assert np.isnan(row.ssim)
    assert "ssim" in row.reason
    assert score_pairs([Pair(picture(0, 9, 9), picture(1, 9, 9))], ["ssim"]).status[0] == "too_small"


def test_problems_become_rows_at_the_end():
    frame = score_pairs([Pair(picture(0), picture(1))], CHEAP, problems=[Problem("lone.png", "", "unpaired", "why")])
    assert list(frame.status) == ["ok", "unpaired"]
    assert frame.reason[1] == "why"


def test_without_reference_only_what_needs_none_is_computed():
    keys = scoring.choose_metrics(None, with_reference=False)
    assert keys
    assert not any(METRICS[key].needs_reference for key in keys)
    with pytest.raises(DeconvError, match="psnr cannot be computed without a reference"):
        scoring.choose_metrics(["psnr"], with_reference=False)
    row = score_pairs([Pair(picture(0))], ["recon_self_psnr"], model=Halving()).iloc[0]
    assert row.reference == ""
    assert np.isfinite(row.recon_self_psnr)


def test_a_model_sees_every_picture_once_however_many_scores_it_gives():
    model = Halving()
    keys = [key for key in METRICS if key.startswith("recon_") and "ms_ssim" not in key]
    score_pairs([Pair(picture(0), picture(1))], keys, model=model)
    assert model.passes == 2


def test_folders_are_paired_by_name_and_the_rest_is_listed(tmp_path):
    references, candidates = tmp_path / "references", tmp_path / "candidates"
    references.mkdir()
    candidates.mkdir()
    for name in ("img1.png", "img10.png"):
        save(references / name)
    for name in ("img1_blur.png", "img10_blur.png", "other.png"):
        save(candidates / name)
    pairs, problems = scoring.find_pairs([candidates], references)
    assert {(pair.candidate.name, pair.reference.name) for pair in pairs} == {
        ("img1_blur.png", "img1.png"),
        ("img10_blur.png", "img10.png"),
    }
    assert [(problem.candidate, problem.status) for problem in problems] == [("other.png", "unpaired")]
    with pytest.raises(DeconvError, match="neither a folder"):
        scoring.find_pairs([tmp_path / "nothing"], None)


def test_files_of_one_name_in_two_subfolders_can_be_told_apart(tmp_path):
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        save(tmp_path / folder / "x.png")
    pairs, _ = scoring.find_pairs([tmp_path], save(tmp_path / "one" / "x.png"))
    assert [pair.names[0] for pair in pairs] == ["one/x.png", "two/x.png"]


def test_a_name_that_is_no_utf8_is_a_row_like_any_other(tmp_path):
    path = tmp_path / "bad\udcff.png"
    save(tmp_path / "good.png").rename(path)
    frame = score_pairs([Pair(path, path)], CHEAP)
    assert list(frame.status) == ["ok"]
    assert frame.candidate[0] == "bad\\udcff.png"


def test_scores_are_shown_in_words():
    assert scoring.show(METRICS["psnr"], np.inf) == "identical"
    assert scoring.show(METRICS["psnr"], 31.416) == "31.42 dB"
    assert scoring.show(METRICS["ssim"], 0.93123) == "0.9312"
    assert scoring.show(METRICS["ssim"], np.nan) == "-"


def test_identical_files_and_a_picture_as_its_own_reference_give_the_best_values():
    same = picture(3)
    row = score_pairs([Pair(same, same)], ["psnr", "ssim", "gradient_information"]).iloc[0]
    assert (row.psnr, row.ssim, row.gradient_information) == (np.inf, 1.0, 100.0)


def test_unreadable_is_an_image_error_and_foreign_errors_surface(monkeypatch):
    def broken(*_args, **_kwargs):
        raise RuntimeError("a bug, not a bad file")

    monkeypatch.setattr(scoring, "read_image", broken)
    with pytest.raises(RuntimeError, match="a bug"):
        score_pairs([Pair(scoring.Path("a.png"), scoring.Path("b.png"))], CHEAP)
    assert issubclass(ImageError, DeconvError)
