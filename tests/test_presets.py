"""Presets: they work as they are, and the command line made of them means the same settings."""

from dataclasses import replace

import numpy as np
import pytest

from deconv_core import presets
from deconv_core.errors import DeconvError
from deconv_core.presets import PRESETS, check_data, command_words, model_name, settings_for, suggest, time_words
from deconv_core.survey import Survey
from deconv_core.training import TrainSettings


def found(*sizes: tuple[int, int], channels: int = 3, held_out: int = 0) -> Survey:
    """A survey of one picture for each (width, height)."""
    counted = {size: sizes.count(size) for size in sizes}
    pixels = np.zeros((4, 4, channels), np.uint8)
    return Survey(
        len(sizes), held_out, 0, (), counted, {"PNG": len(sizes)}, {channels: len(sizes)}, 9, "0" * 64, (("a", pixels),)
    )  # fmt: skip


def parsed(words: list[str], monkeypatch) -> TrainSettings:
    """The settings with which the command would train."""
    from click.testing import CliRunner

    from deconv_core import training
    from deconv_core.__main__ import main

    seen = []

    def fake(settings, out, **options):
        seen.append(settings)
        return {"name": "m", "validation": {"psnr": 1.0, "ssim": 1.0, "loss": 0.1}}

    monkeypatch.setattr(training, "train", fake)
    result = CliRunner().invoke(main, ["train", *words, "--out", "somewhere"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return seen[0]


@pytest.mark.parametrize("key", PRESETS)
def test_every_preset_passes_the_check_and_builds(key):
    from deconv_core.models import architecture

    settings = settings_for(key, "samples", 10)
    settings.check()
    assert presets.total_steps(settings, 10) >= 500
    model = architecture(settings.architecture).build(**settings.arguments)
    assert model.get_layer("code") is not None


@pytest.mark.parametrize("key", PRESETS)
def test_the_command_of_a_preset_means_its_settings(key, monkeypatch):
    settings = replace(settings_for(key, "samples", 10), name="mine", label="Mine", note="Ten pictures", seed=3)
    assert parsed(command_words(settings), monkeypatch) == settings


def test_the_command_carries_everything_that_was_changed(monkeypatch):
    settings = TrainSettings(
        data="/data/my photographs", architecture="photo",
        arguments={"channels": 1, "decoder": "transposed", "normalisation": "divisive", "code_channels": 7},
        objective="restore", degradations={"jpeg": (1.0, 4.0), "white_noise": (0.5, 2.5)}, loss="ms_ssim_l1",
        optimizer="adamw", learning_rate=0.00035, schedule="constant", patch_size=128, batch_size=5, epochs=7,
        steps_per_epoch=11, patience=2, seed=42, name="a-b", label="It's <b>mine</b>; rm -rf", note="x, 3 pictures",
        within_roots=True,
    )  # fmt: skip
    assert parsed(command_words(settings), monkeypatch) == settings


def test_the_article_preset_uses_every_digit_once_in_an_epoch():
    settings = settings_for("article", "mnist", 60_000)
    assert settings.steps_per_epoch == 60_000 // 32
    assert (settings.epochs, settings.batch_size, settings.loss) == (10, 32, "binary_crossentropy")
    assert settings_for("article", "samples", 10).steps_per_epoch == presets.FEWEST_STEPS


def test_small_grey_pictures_suggest_the_article_network():
    assert suggest(found((28, 28), (28, 28), channels=1)) == "article"
    assert suggest(found((28, 28), (32, 32), channels=3)) == "tiny"
    assert suggest(found((512, 400), channels=1)) == "tiny"


@pytest.mark.parametrize(
    ("pictures", "change", "words"),
    [
        (found((5, 400)), {}, "The smallest side is 5 pixels, but this network needs patches of 8"),
        (found((30, 400)), {"loss": "ms_ssim_l1"}, "needs patches of 44 pixels; the smallest picture allows 24"),
        (found((64, 64), held_out=1), {}, "holds no picture that can be read"),
        (found((64, 64)), {"epochs": 0}, "--epochs got 0"),
    ],
)
def test_settings_that_cannot_work_with_the_pictures_are_refused(pictures, change, words):
    with pytest.raises(DeconvError, match=words):
        check_data(replace(settings_for("tiny", "x", 1), **change), pictures)
    check_data(settings_for("tiny", "x", 1), found((64, 64)))


def test_cost_depends_on_what_a_step_does_and_on_nothing_else():
    settings = settings_for("tiny", "samples", 10)
    assert presets.cost_key(settings) == presets.cost_key(replace(settings, seed=9, epochs=99, data="digits"))
    assert presets.cost_key(settings) != presets.cost_key(replace(settings, batch_size=9))


def test_a_name_for_files_comes_out_of_any_words():
    assert model_name("  My <b>cats</b>! ") == "my-b-cats-b"
    assert len(model_name("x" * 200)) == 60
    with pytest.raises(DeconvError, match="leaves no name"):
        model_name("/../")


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.2, "1 s"), (45, "45 s"), (150, "2.5 min"), (1800, "30 min"), (7300, "2 h 2 min"), (400_000, "4.6 days")],
)
def test_time_in_words(seconds, words):
    assert time_words(seconds) == words


def test_an_unknown_preset_is_refused():
    with pytest.raises(DeconvError, match="no preset 'huge'; choose one of article"):
        settings_for("huge", "samples", 1)
