"""The training loop: what it writes, that its seed reproduces, that it resumes, and what it refuses."""

import json
from dataclasses import asdict, replace

import numpy as np
import pytest
from PIL import Image

from deconv_core.errors import DeconvError, JobError, ModelError
from deconv_core.models.saving import load_model
from deconv_core.training import TrainSettings, settings_from, train

SMALL = {"width": 8, "deep_width": 8, "blocks": 1, "code_channels": 8}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Twelve smooth pictures and one broken file."""
    import cv2

    path = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    for number in range(12):
        noise = cv2.GaussianBlur(rng.random((64, 64, 3)).astype(np.float32), (0, 0), 3)
        noise = (noise - noise.min()) / (noise.max() - noise.min())
        Image.fromarray((noise * 255).astype(np.uint8)).save(path / f"{number:02d}.png")
    (path / "broken.png").write_bytes(b"not a picture")
    return path


@pytest.fixture
def settings(folder):
    return TrainSettings(
        data=str(folder),
        arguments=SMALL,
        patch_size=32,
        batch_size=4,
        epochs=3,
        steps_per_epoch=4,
        name="small",
        seed=5,
    )


def weights(job):
    with np.load(job / "results" / "state.npz") as state:
        return {name: state[name] for name in state.files if name.startswith("weight_")}


def test_a_run_leaves_a_model_a_card_a_history_and_its_status(settings, tmp_path):
    steps = []
    card = train(settings, tmp_path / "job", command="the command", report=lambda now: steps.append(now.step))
    assert steps == list(range(1, 13))
    assert json.loads((tmp_path / "job/status.json").read_text())["state"] == "finished"
    assert settings_from(json.loads((tmp_path / "job/settings.json").read_text())) == settings
    assert json.loads((tmp_path / "job/status.json").read_text())["done"] == 12
    assert {file.name for file in (tmp_path / "job/results/pictures").iterdir()} == {
        "reference.png", "input.png", "epoch_0001.png", "epoch_0002.png", "epoch_0003.png",
    }  # fmt: skip
    history = (tmp_path / "job/results/history.csv").read_text().splitlines()
    assert history[0] == "epoch,step,loss,psnr,ssim,validation_loss,patches_per_second"
    assert len(history) == 4
    assert card == json.loads((tmp_path / "job/results/small.json").read_text())
    assert card["command"] == "the command"
    assert card["pictures"] == 12
    assert (card["channels"], card["stride"], card["code_channels"], card["seed"]) == (3, 8, 8, 5)
    assert card["validation"]["psnr"] == max(float(line.split(",")[3]) for line in history[1:])
    log = (tmp_path / "job/log.txt").read_text()
    assert "left out broken.png" in log


def test_the_saved_model_gives_the_validation_score_on_its_card(settings, tmp_path):
    from deconv_core.models.saving import load_model
    from deconv_core.picture_set import read_pictures
    from deconv_core.training import _split, _Validation

    card = train(settings, tmp_path / "job")
    model = load_model(tmp_path / "job/results/small.keras")
    _, held_out = _split(read_pictures(settings.data, channels=3), settings.seed)
    scores = _Validation(model.keras_model, held_out, settings, 8).scores()
    assert scores["psnr"] == pytest.approx(card["validation"]["psnr"], abs=1e-5)


def test_the_same_seed_ends_with_the_same_model_and_another_does_not(settings, tmp_path):
    first = train(settings, tmp_path / "first")
    second = train(settings, tmp_path / "second")
    other = train(replace(settings, seed=6), tmp_path / "other")
    assert first["validation"]["psnr"] == pytest.approx(second["validation"]["psnr"], abs=1e-5)
    assert first["validation"]["psnr"] != other["validation"]["psnr"]
    for name, weight in weights(tmp_path / "first").items():
        np.testing.assert_allclose(weight, weights(tmp_path / "second")[name], atol=1e-5)


def test_a_stopped_run_resumed_ends_as_an_unbroken_one(settings, tmp_path):
    train(settings, tmp_path / "unbroken")

    def stop(now):
        if now.step == 6:  # in the middle of the second epoch
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(settings, tmp_path / "broken", report=stop)
    assert json.loads((tmp_path / "broken/status.json").read_text())["state"] == "stopped"
    seen = []
    train(settings, tmp_path / "broken", resume=True, report=lambda now: seen.append(now.step))
    assert seen[0] == 7
    for name, weight in weights(tmp_path / "unbroken").items():
        np.testing.assert_allclose(weight, weights(tmp_path / "broken")[name], atol=1e-5)
    histories = [
        np.loadtxt(tmp_path / job / "results/history.csv", delimiter=",", skiprows=1) for job in ("unbroken", "broken")
    ]
    np.testing.assert_allclose(*(history[:, :6] for history in histories), atol=1e-4)


def test_restoring_learns_to_take_noise_away(settings, tmp_path):
    restore = replace(settings, objective="restore", degradations={"white_noise": (4, 4)}, epochs=4, steps_per_epoch=40)
    card = train(restore, tmp_path / "job")
    noise_alone = -20 * np.log10(35 / 255)
    assert card["validation"]["psnr"] > noise_alone + 3


def test_the_linear_path_starts_at_the_principal_components(settings, tmp_path):
    """Before any training the photo network is the projection onto the leading components of 8x8 patches."""
    from deconv_core.models import architecture
    from deconv_core.picture_set import read_pictures
    from deconv_core.training import _batch_maker, _initialise_linear_path

    pictures = read_pictures(settings.data, channels=3).pictures
    make = _batch_maker(pictures, settings, 8)
    model = architecture("photo").build(**(SMALL | {"code_channels": 192}))
    _initialise_linear_path(model, make, steps=20)
    batch = make(0)[1]
    np.testing.assert_allclose(model(batch), batch, atol=1e-4)  # all 192 components: nothing is lost
    fewer = architecture("photo").build(**SMALL)
    _initialise_linear_path(fewer, make, steps=20)

    def patches(pictures):
        return (pictures - 0.5).reshape(-1, 4, 8, 4, 8, 3).transpose(0, 1, 3, 2, 4, 5).reshape(-1, 192)

    seen = np.concatenate([patches(make(2**40 - step)[1]) for step in range(1, 21)]).astype(np.float64)
    components = np.linalg.eigh(seen.T @ seen)[1][:, -8:]
    projected = patches(batch) @ components @ components.T
    np.testing.assert_allclose(patches(np.asarray(fewer(batch))), projected, atol=1e-4)


def test_digits_train_the_article_network(tmp_path):
    from deconv_core.samples import digits

    arrays = (digits(300, seed=0)[..., 0] * 255).round().astype(np.uint8)
    np.savez(tmp_path / "digits.npz", x_train=arrays[:260], x_test=arrays[260:])
    settings = TrainSettings(
        data=str(tmp_path / "digits.npz"), architecture="article", loss="binary_crossentropy",
        learning_rate=1e-3, batch_size=32, epochs=3, patch_size=28, name="digits",
    )  # fmt: skip
    card = train(settings, tmp_path / "job")
    history = np.loadtxt(tmp_path / "job/results/history.csv", delimiter=",", skiprows=1)
    assert history[-1, 2] < history[0, 2]
    assert card["validation"]["images"] == 40


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"loss": "magic"}, "--loss got 'magic'; choose one of charbonnier"),
        ({"optimizer": "lion"}, "--optimizer got 'lion'; choose one of adam"),
        ({"loss": "ms_ssim_l1", "patch_size": 32}, "--loss ms_ssim_l1 needs patches of 44 pixels"),
        ({"degradations": {"jpeg": (4, 2)}}, "severities rise from 0 to 5"),
        ({"patience": -1}, "--patience got -1"),
        ({"objective": "dream"}, "--objective got 'dream'"),
        ({"objective": "restore"}, "needs --degradations"),
        ({"objective": "restore", "degradations": {"rain": (1, 2)}}, "--degradations got 'rain'"),
        ({"epochs": 0}, "--epochs got 0"),
        ({"architecture": "vgg"}, "Unknown architecture 'vgg'"),
    ],
)
def test_wrong_settings_are_refused_before_any_work(settings, tmp_path, change, words):
    with pytest.raises(DeconvError, match=words):
        train(replace(settings, **change), tmp_path / "job")
    assert not (tmp_path / "job").exists()


def test_a_run_of_a_page_reads_nothing_outside_the_roots(settings, folder, tmp_path, monkeypatch):
    inside = tmp_path / "inside"
    inside.mkdir()
    (inside / "list.csv").write_text(f"image\n{folder / '00.png'}\n")
    monkeypatch.setenv("DECONV_DATA_ROOTS", str(inside))
    asked = replace(settings, data=str(inside / "list.csv"), within_roots=True)
    with pytest.raises(DeconvError, match="lies outside the folders that may be opened"):
        train(asked, tmp_path / "job")
    assert replace(asked, name="").model_name == replace(asked, name="", within_roots=False).model_name


def test_a_folder_holds_one_run(settings, tmp_path):
    with pytest.raises(DeconvError, match="Nothing to resume"):
        train(settings, tmp_path / "job", resume=True)
    train(replace(settings, epochs=1), tmp_path / "job")
    with pytest.raises(DeconvError, match="already holds a run"):
        train(settings, tmp_path / "job")


def test_a_loss_that_explodes_ends_the_run_as_failed_and_keeps_the_best_model(settings, tmp_path, monkeypatch):
    from deconv_core import training

    real = training._batch_maker

    def poisoned(*arguments):
        make = real(*arguments)
        return lambda step: tuple(part * np.float32(np.nan if 8 <= step < 2**39 else 1) for part in make(step))

    monkeypatch.setattr(training, "_batch_maker", poisoned)
    with pytest.raises(JobError, match="loss became nan"):
        train(settings, tmp_path / "job")
    assert json.loads((tmp_path / "job/status.json").read_text())["state"] == "failed"
    assert (tmp_path / "job/results/small.keras").exists()


def test_settings_come_back_from_their_file_as_they_were(settings):
    restore = replace(settings, objective="restore", degradations={"jpeg": (1.0, 4.0)})
    stored = json.loads(json.dumps(asdict(restore)))
    assert settings_from(stored) == restore
    assert settings_from(stored).model_name == restore.model_name


def test_an_early_end_comes_when_validation_no_longer_rises(settings, tmp_path, monkeypatch):
    from deconv_core import training

    scores = iter([20.0, 21.0, 20.5, 20.9, 25.0, 26.0])

    def falling(self):
        self.rebuilt = self.clean
        return {"psnr": next(scores), "ssim": 0.5, "loss": 0.1}

    monkeypatch.setattr(training._Validation, "scores", falling)
    card = train(replace(settings, epochs=6, patience=2), tmp_path / "job")
    assert card["validation"]["epoch"] == 2
    assert len((tmp_path / "job/results/history.csv").read_text().splitlines()) == 5


def test_a_stop_before_the_first_epoch_ends_leaves_a_model_that_loads(settings, tmp_path):
    from deconv_core.models.saving import load_model

    def stop(now):
        if now.step == 2:
            (tmp_path / "job/stop").touch()

    with pytest.raises(KeyboardInterrupt):
        train(replace(settings, steps_per_epoch=5000), tmp_path / "job", report=stop)
    assert json.loads((tmp_path / "job/status.json").read_text())["state"] == "stopped"
    batch = np.full((1, 16, 16, 3), 0.5, np.float32)
    assert load_model(tmp_path / "job/results/small.keras").reconstruct(batch).shape == batch.shape


def test_the_estimate_counts_parameters_and_steps_and_measures_time(settings):
    from deconv_core.models import architecture
    from deconv_core.training import estimate

    found = estimate(replace(settings, steps_per_epoch=0), num_pictures=40)
    assert found.parameters == architecture("photo").build(**SMALL).count_params()
    assert found.steps == 3 * 10
    assert found.seconds == pytest.approx(found.steps * found.seconds_per_step)
    assert found.seconds_per_step > 0
    assert found.memory_bytes > 16 * found.parameters


def test_unknown_stored_settings_are_refused():
    with pytest.raises(JobError, match="colour"):
        settings_from({"data": "x", "colour": 1})


def test_bfloat16_steps_leave_a_float32_model_that_learned(settings, tmp_path):
    card = train(replace(settings, precision="bfloat16"), tmp_path / "run")
    exact = train(settings, tmp_path / "exact")
    model = load_model(tmp_path / "run" / "results" / "small.keras").keras_model
    assert {layer.dtype_policy.name for layer in model.layers} == {"float32"}
    assert card["validation"]["psnr"] == pytest.approx(exact["validation"]["psnr"], abs=0.5)
    assert card["validation"]["loss"] != exact["validation"]["loss"]


def test_an_unknown_precision_is_told():
    with pytest.raises(DeconvError, match="--precision got 'half'; choose one of float32, bfloat16"):
        TrainSettings("samples", precision="half").check()


def test_weights_of_another_structure_are_refused_even_where_their_shapes_fit(settings, tmp_path):
    card = train(replace(settings, epochs=1), tmp_path / "first")
    file = tmp_path / "first" / "results" / f"{card['name']}.keras"
    other = replace(settings, start_from=str(file), arguments={**SMALL, "rectified": 1})
    with pytest.raises(ModelError, match="another architecture"):
        train(other, tmp_path / "second")


def test_bicubic_is_what_restoration_is_measured_with():
    from deconv_core.models.measuring import degrade_for_test
    from deconv_core.training import _degraded

    picture = np.random.default_rng(6).random((48, 64, 3)).astype(np.float32)
    np.testing.assert_array_equal(_degraded(picture, "bicubic", 2.0, seed=0), degrade_for_test(picture, "x2", seed=0))
