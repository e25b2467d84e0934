"""The story: one PSNR with many faces, a code made narrower, and the shipped files."""

import json

import numpy as np
import pytest

from deconv_core.errors import DeconvError
from deconv_core.metrics import METRICS
from deconv_core.metrics.psnr import psnr
from deconv_core.models.saving import load_model
from deconv_core.samples import sample
from deconv_core.story import narrowed, same_psnr
from pages.ui import story


@pytest.fixture(scope="module")
def picture():
    return sample("coffee").pixels[100:228, 100:228]


def test_faces_differ_and_have_one_psnr(picture):
    faces = same_psnr(picture, 24.0, ("contrast", "white_noise", "gaussian_blur"))
    for face in faces:
        assert face.psnr == pytest.approx(24.0, abs=0.02)
        assert float(psnr(picture[None], face.pixels[None])[0]) == face.psnr
    assert float(psnr(faces[0].pixels[None], faces[1].pixels[None])[0]) < 24


def test_a_psnr_that_cannot_be_reached_is_told(picture):
    with pytest.raises(DeconvError, match=r"a PSNR of 1 dB cannot be reached"):
        same_psnr(picture, 1.0, ("gaussian_blur",))


def test_the_whole_code_gives_what_the_model_gives_and_less_of_it_gives_less(picture):
    model = load_model("photo_small")
    rows = narrowed(model, picture, (1, 4, 12))
    np.testing.assert_allclose(rows[-1].pixels, model.reconstruct(picture[None])[0], atol=1e-5)
    assert rows[0].psnr < rows[1].psnr < rows[2].psnr
    assert rows[2].share == pytest.approx(12 / 192)


def test_more_channels_than_the_code_has_are_refused(picture):
    with pytest.raises(DeconvError, match="has 12 channels"):
        narrowed(load_model("photo_small"), picture, (13,))


def test_the_shipped_story_is_whole_and_small():
    told = story.read_story()
    files = [face["picture"] for face in told["faces"]] + [row["picture"] for row in told["bottleneck"]["rows"]]
    files += [found["picture"] for found in told["audit"]["found"]] + [told["reference"], told["bottleneck"]["picture"]]
    for name in files:
        assert (story.FOLDER / name).stat().st_size > 500
    assert sum(path.stat().st_size for path in story.FOLDER.iterdir()) < 800_000
    values = [face["scores"]["psnr"] for face in told["faces"]]
    assert max(values) - min(values) < 0.05
    numbers = [row["psnr"] for row in told["bottleneck"]["rows"]]
    assert numbers == sorted(numbers)
    assert json.dumps(told)


def test_the_audit_shown_is_what_an_audit_finds_today(tmp_path, monkeypatch):
    monkeypatch.setenv("DECONV_HOME", str(tmp_path))
    found = story._audit(lambda name, pixels: f"{name}.webp")
    assert story.read_story()["audit"] == found  # else run `python -m pages.ui.story` again


def test_the_agreement_shown_has_controls_losses_and_intervals():
    told = story.read_story()["agreement"]
    assert told["version"] == METRICS["deconv"].version  # else run `python -m pages.ui.story` again
    assert told["worst"]
    rows = {row["metric"]: row for row in told["rows"]}
    assert {"deconv", "deconv_control", "psnr", "ssim"} <= set(rows)
    assert all(row["srcc_low"] <= row["srcc"] <= row["srcc_high"] for row in rows.values())
