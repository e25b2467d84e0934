"""The command line: what it writes, where, and with which exit status."""

import csv
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from PIL import Image

from deconv_core import __version__
from deconv_core.__main__ import main
from deconv_core.distortions import DISTORTIONS, distort, distort_all
from deconv_core.images import read_image
from deconv_core.metrics import METRICS, recipe
from deconv_core.tables import read_recipes

ROOT = Path(__file__).resolve().parent.parent
SMALL = ["--argument", "width=8", "--argument", "deep_width=8", "--argument", "blocks=1"]


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """An empty workspace, and the folder of pictures as the place to be."""
    folder = tmp_path / "home"
    monkeypatch.setenv("DECONV_HOME", str(folder))
    monkeypatch.chdir(tmp_path)
    return folder


@pytest.fixture
def pictures(tmp_path):
    """references/a.png and b.png, and candidates that belong to them by name; 48 x 40 pixels."""
    for number, name in enumerate("ab"):
        pixels = picture(number)
        save(pixels, tmp_path / "references" / f"{name}.png")
        save(distort(pixels, "gaussian_blur", 3), tmp_path / "candidates" / f"{name}_blur.png")
    return tmp_path


def picture(seed: int, height: int = 40, width: int = 48) -> np.ndarray:
    """Smooth in large and rough in small, 8 bits."""
    rng = np.random.default_rng(seed)
    coarse = rng.random((height // 8, width // 8, 3)).repeat(8, axis=0).repeat(8, axis=1)
    return (np.round((0.7 * coarse + 0.3 * rng.random((height, width, 3))) * 255) / 255).astype(np.float32)


def save(pixels: np.ndarray, path: Path) -> Path:
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(np.round(pixels * 255).astype(np.uint8)).save(path)
    return path


def run(*words, status: int = 0):
    """Run a command in this process; an unexpected exception is a failure of its own."""
    words = [str(word) for word in words]
    result = CliRunner().invoke(main, words, prog_name="python -m deconv_core", catch_exceptions=False)
    assert result.exit_code == status, f"{words}\n{result.output}"
    return result


def refused(*words) -> str:
    """Run a wrong request: status 2, nothing on stdout, one line on stderr."""
    result = run(*words, status=2)
    assert result.stdout == ""
    assert result.stderr.startswith("deconv_core: ")
    assert result.stderr.endswith("\n")
    assert result.stderr.count("\n") == 1, result.stderr
    return result.stderr


def outside(*words, folder: Path, home: Path) -> subprocess.CompletedProcess:
    """Run a command as a person does: another process, another folder."""
    environment = {**os.environ, "DECONV_HOME": str(home), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "deconv_core", *map(str, words)]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)


# ------------------------------------------------------------------------------------------------------- in general


def test_help_names_every_command():
    shown = run("--help").stdout
    for name in main.commands:
        assert f"\n  {name}" in shown
    assert run("-h").stdout == shown


def test_version_is_told():
    assert __version__ in run("--version").stdout


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["scor"], "No such command 'scor'. Did you mean 'score'? See: python -m deconv_core --help"),
        (["--verbose"], "No such option '--verbose'"),
        (["score"], "Missing argument 'CANDIDATES...'. See: python -m deconv_core score --help"),
        (["score", "a.png", "--mismatch", "stretch"], "'stretch' is not one of 'refuse', 'resize', 'crop'"),
        (["score", "a.png", "--background", "pink"], "'pink' is not one of 'white', 'black'"),
        (["degrade", "a.png", "--type", "jpeg", "--severity", "much", "--out", "b.png"], "'much' is not a valid float"),
        (["degrade", "a.png", "--type", "jpeg", "--severity", "1"], "Missing option '--out'"),
        (["models", "shwo"], "No such command 'shwo'. Did you mean 'show'?"),
    ],
)
def test_requests_that_cannot_be_read_are_refused_in_one_line(words, sentence):
    assert sentence in refused(*words)


# ---------------------------------------------------------------------------------------------------------- degrade


@pytest.mark.parametrize("kind", DISTORTIONS)
def test_degrade_writes_what_the_core_computes(kind, pictures):
    source = pictures / "references" / "a.png"
    result = run("degrade", source, "--type", kind, "--severity", 4, "--seed", 3, "--out", "worse.png")
    expected = distort(read_image(source).pixels, kind, 4, seed=3)
    np.testing.assert_array_equal(read_image("worse.png").pixels, expected)
    assert result.stdout == ""
    assert result.stderr == "worse.png\n"


def test_degrade_combines_two_in_their_order(pictures):
    source = pictures / "references" / "a.png"
    words = ["--type", "white_noise", "--severity", 2, "--type", "gaussian_blur", "--severity", 1.5]
    run("degrade", source, *words, "--seed", 7, "--out", "worse.png")
    steps = [("white_noise", 2), ("gaussian_blur", 1.5)]
    expected = distort_all(read_image(source).pixels, steps, seed=7)
    np.testing.assert_array_equal(read_image("worse.png").pixels, expected)
    swapped = distort_all(read_image(source).pixels, steps[::-1], seed=7)
    assert np.abs(expected - swapped).max() > 0.02, "the test would not notice a change of order"


def test_degrade_repeats_with_its_seed_and_differs_with_another(pictures):
    for seed, out in ((1, "first.png"), (1, "again.png"), (2, "other.png")):
        words = ["--type", "white_noise", "--severity", 3, "--seed", seed, "--out", out]
        run("degrade", pictures / "references" / "a.png", *words)
    first, again, other = (Path(name).read_bytes() for name in ("first.png", "again.png", "other.png"))
    assert first == again
    assert first != other


def test_degrade_leaves_a_grey_picture_grey(tmp_path):
    Image.fromarray(np.full((20, 20), 90, np.uint8)).save("grey.png")
    run("degrade", "grey.png", "--type", "contrast", "--severity", 2, "--out", "worse.png")
    assert read_image("worse.png").pixels.shape == (20, 20, 1)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--type", "rain", "--severity", 1, "--out", "b.png"], "rain"),
        (["--type", "jpeg", "--severity", 6, "--out", "b.png"], "from 0 (unchanged) to 5 (severe)"),
        (["--type", "jpeg", "--severity", "nan", "--out", "b.png"], "from 0 (unchanged) to 5 (severe)"),
        (["--type", "jpeg", "--severity", -1, "--out", "b.png"], "from 0 (unchanged) to 5 (severe)"),
        (["--type", "jpeg", "--type", "webp", "--severity", 1, "--out", "b.png"], "one severity for each type"),
        (["--type", "jpeg", "--severity", 1, "--out", "b.jpg"], "expected a .png file"),
        (["--type", "jpeg", "--severity", 1, "--out", "none/b.png"], "does not exist"),
    ],
)
def test_degrade_refuses_wrong_requests_and_writes_nothing(words, sentence, pictures):
    before = sorted(pictures.rglob("*"))
    assert sentence in refused("degrade", pictures / "references" / "a.png", *words)
    assert sorted(pictures.rglob("*")) == before


def test_degrade_names_the_picture_that_cannot_be_read(pictures):
    Path("text.png").write_text("not a picture")
    assert "text.png" in refused("degrade", "text.png", "--type", "jpeg", "--severity", 1, "--out", "b.png")
    assert "none.png" in refused("degrade", "none.png", "--type", "jpeg", "--severity", 1, "--out", "b.png")


# ------------------------------------------------------------------------------------------------------------ score


def scores(*words, metrics: str = "psnr,ssim", status: int = 0) -> pd.DataFrame:
    run("score", *words, "--metrics", metrics, "--out", "scores.parquet", status=status)
    return pd.read_parquet("scores.parquet")


def test_score_prints_one_block_for_each_candidate(pictures):
    shown = run("score", "candidates", "--reference", "references", "--metrics", "psnr,ssim").stdout
    lines = shown.splitlines()
    assert lines[0] == "a_blur.png against a.png"
    assert lines[1].split()[0] == "psnr"
    assert lines[1].endswith(" dB")
    assert lines[2].split()[0] == "ssim"
    assert lines[3] == "b_blur.png against b.png"
    assert len(lines) == 6
    assert sorted(file.name for file in pictures.iterdir()) == ["candidates", "references"], "files were left behind"


def test_score_gives_the_metrics_own_values(pictures):
    frame = scores("candidates/a_blur.png", "--reference", "references/a.png")
    reference, candidate = (
        read_image(pictures / name).pixels[None] for name in ("references/a.png", "candidates/a_blur.png")
    )
    assert list(frame.columns) == ["candidate", "reference", "status", "reason", "psnr", "ssim"]
    assert frame.loc[0, "psnr"] == pytest.approx(METRICS["psnr"].function(reference, candidate)[0], rel=1e-12)
    assert frame.loc[0, "ssim"] == pytest.approx(METRICS["ssim"].function(reference, candidate)[0], rel=1e-6)


def test_score_pairs_folders_by_name_and_never_by_order(pictures):
    (pictures / "candidates" / "a_blur.png").rename(pictures / "candidates" / "b-very-blurred.png")
    (pictures / "candidates" / "b_blur.png").rename(pictures / "candidates" / "a again.png")
    frame = scores("candidates", "--reference", "references")
    assert list(zip(frame["candidate"], frame["reference"], strict=True)) == [
        ("a again.png", "a.png"),
        ("b-very-blurred.png", "b.png"),
    ]


def test_score_takes_one_reference_for_all_whatever_the_names(pictures):
    frame = scores("candidates/a_blur.png", "candidates/b_blur.png", "--reference", "references/a.png")
    assert list(frame["reference"]) == ["a.png", "a.png"]
    assert list(frame["status"]) == ["ok", "ok"]


def test_what_cannot_be_scored_becomes_a_row_with_its_reason_and_status_stays_0(pictures):
    save(picture(5), pictures / "candidates" / "stranger.png")
    (pictures / "candidates" / "a_broken.png").write_text("not a picture")
    save(picture(0, 32, 32), pictures / "candidates" / "a_small.png")
    save(picture(1), pictures / "references" / "twice.png")
    save(picture(1), pictures / "references" / "twice.bmp")
    save(picture(1), pictures / "candidates" / "twice_blur.png")
    frame = scores("candidates", "--reference", "references").set_index("candidate")
    assert frame["status"].to_dict() == {
        "a_blur.png": "ok",
        "b_blur.png": "ok",
        "a_broken.png": "unreadable",
        "a_small.png": "mismatch",
        "stranger.png": "unpaired",
        "twice_blur.png": "ambiguous",
    }
    wrong = frame[frame["status"] != "ok"]
    assert wrong[["psnr", "ssim"]].isna().all(axis=None)
    assert (wrong["reason"].str.len() > 0).all()
    assert "32x32" in wrong.loc["a_small.png", "reason"]
    assert "48x40" in wrong.loc["a_small.png", "reason"]
    assert {"twice.png", "twice.bmp"} <= set(wrong.loc["twice_blur.png", "reason"].rstrip(".").replace(",", "").split())


@pytest.mark.parametrize("mismatch", ["resize", "crop"])
def test_sizes_are_made_equal_only_on_request_and_the_row_says_how(mismatch, pictures):
    save(picture(0, 32, 32), pictures / "candidates" / "a_small.png")
    frame = scores("candidates/a_small.png", "--reference", "references", "--mismatch", mismatch)
    assert frame.loc[0, "status"] == "ok"
    assert np.isfinite(frame.loc[0, "psnr"])
    assert mismatch in frame.loc[0, "reason"]


def test_transparency_is_composited_on_the_colour_asked_for(tmp_path):
    Image.new("RGBA", (16, 16), (0, 0, 0, 0)).save("clear.png")
    Image.new("RGB", (16, 16), "white").save("white.png")
    words = ["clear.png", "--reference", "white.png"]
    assert scores(*words, metrics="psnr").loc[0, "psnr"] == np.inf
    assert scores(*words, "--background", "black", metrics="psnr").loc[0, "psnr"] == 0


def test_status_is_1_when_nothing_could_be_scored(pictures):
    Path("text.png").write_text("not a picture")
    words = ["score", "text.png", "--reference", "references/a.png", "--metrics", "psnr"]
    result = run(*words, "--out", "t.csv", status=1)
    assert result.stderr.splitlines()[-1].startswith("deconv_core: None of 1 images could be scored")
    with Path("t.csv").open(newline="") as file:
        assert [row["status"] for row in csv.DictReader(file)] == ["unreadable"]
    assert "text.png" in run(*words, status=1).stdout


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["candidates", "--reference", "references", "--metrics", "psnr,sharpness"], "no metric 'sharpness'"),
        (["candidates", "--reference", "references", "--metrics", ","], "expected keys separated by commas"),
        (["candidates", "--metrics", "psnr"], "psnr cannot be computed without a reference"),
        (["candidates", "--reference", "references", "--model", "nosuch", "--metrics", "psnr"], "nosuch"),
        (["candidates", "--reference", "references", "--model", "nosuch"], "nosuch"),
        (["missing", "--reference", "references", "--metrics", "psnr"], "'missing'"),
        (["candidates", "--reference", "missing", "--metrics", "psnr"], "missing"),
        (["empty", "--reference", "references", "--metrics", "psnr"], "holds no picture"),
        (["candidates", "--reference", "references", "--out", "t.xlsx"], "choose .csv, .parquet or .json"),
        (["candidates", "--reference", "references", "--out", "none/t.csv"], "does not exist"),
    ],
)
def test_score_refuses_wrong_requests_before_work_starts(words, sentence, pictures, monkeypatch):
    from deconv_core import scoring

    def work(*arguments, **options):
        pytest.fail("scoring began")

    monkeypatch.setattr(scoring, "score_pairs", work)
    (pictures / "empty").mkdir()
    assert sentence in refused("score", *words)


@pytest.mark.slow
def test_every_metric_that_applies_is_computed_by_default_and_says_how(pictures):
    save(picture(2, 176, 176), pictures / "large.png")
    save(distort(picture(2, 176, 176), "jpeg", 3), pictures / "large_jpeg.png")
    run("score", "large_jpeg.png", "--reference", "large.png", "--out", "t.parquet")
    frame = pd.read_parquet("t.parquet")
    assert list(frame.columns[4:]) == list(METRICS)
    assert np.isfinite(frame[list(METRICS)]).all(axis=None)
    recipes = read_recipes("t.parquet")
    assert list(recipes) == list(METRICS)
    for key, row in METRICS.items():
        if not row.needs_model:
            assert recipes[key] == recipe(key)
    assert recipes["deconv"]["model"] == "grey_denoise"
    assert recipes["recon_pair_psnr"]["model"] == "photo_large"
    assert len(recipes["recon_pair_psnr"]["model_digest"]) == 64


def test_without_a_reference_only_what_needs_none_is_computed(pictures):
    run("score", "candidates", "--out", "t.parquet")
    frame = pd.read_parquet("t.parquet")
    assert list(frame.columns[4:]) == [row.key for row in METRICS.values() if not row.needs_reference]
    assert list(frame["reference"]) == ["", ""]


def test_too_small_for_a_window_is_empty_and_said(pictures):
    frame = scores("candidates/a_blur.png", "--reference", "references", metrics="psnr,ms_ssim")
    assert frame.loc[0, "status"] == "ok"
    assert np.isnan(frame.loc[0, "ms_ssim"])
    assert "161" in frame.loc[0, "reason"]
    frame = scores("candidates/a_blur.png", "--reference", "references", metrics="ms_ssim", status=1)
    assert frame.loc[0, "status"] == "too_small"


@pytest.mark.parametrize("ending", [".csv", ".parquet", ".json"])
def test_tables_hold_the_same_numbers_and_recipes_in_every_form(ending, pictures):
    run("score", "candidates", "--reference", "references", "--metrics", "psnr,ssim,psnr", "--out", f"t{ending}")
    if ending == ".json":
        rows = json.loads(Path("t.json").read_text())["records"]
    else:
        rows = (pd.read_csv if ending == ".csv" else pd.read_parquet)(f"t{ending}").to_dict("records")
    expected = scores("candidates", "--reference", "references")
    assert list(rows[0]) == ["candidate", "reference", "status", "reason", "psnr", "ssim"]
    for row, number in zip(rows, range(2), strict=True):
        assert row["psnr"] == pytest.approx(expected.loc[number, "psnr"], rel=1e-12)
        assert row["ssim"] == pytest.approx(expected.loc[number, "ssim"], rel=1e-12)
    assert read_recipes(f"t{ending}") == {key: recipe(key) for key in ("psnr", "ssim")}
    assert Path("t.csv.json").exists() == (ending == ".csv")


def test_names_that_begin_like_formulas_are_harmless_in_csv(pictures):
    (pictures / "candidates" / "a_blur.png").rename(pictures / "candidates" / "=HYPERLINK(1).png")
    words = ["candidates/=HYPERLINK(1).png", "--reference", "references/a.png", "--metrics", "psnr"]
    run("score", *words, "--out", "t.csv")
    with Path("t.csv").open(newline="") as file:
        cells = list(csv.reader(file))[1]
    assert cells[0] == "'=HYPERLINK(1).png"
    assert float(cells[4]) > 0


# ----------------------------------------------------------------------------------------------------------- models


def test_models_are_listed_with_the_quality_on_their_cards():
    from deconv_core.models.saving import list_models

    shown = run("models", "list").stdout.splitlines()
    assert len(shown) == len(list_models())
    for line, card in zip(shown, list_models(), strict=True):
        assert line.split()[0] == card["name"]
        assert f"{card['validation']['psnr']:.2f} dB" in line
        assert card["label"] in line
    assert run("models").stdout.splitlines() == shown


def test_the_models_that_scores_need_are_bundled():
    shown = run("models").stdout
    assert "grey_denoise" in shown
    assert "photo_large" in shown


def test_models_show_prints_the_card_as_json():
    card = json.loads(run("models", "show", "photo_large").stdout)
    assert card["name"] == "photo_large"
    assert len(card["digest"]) == 64
    assert "nosuch" in refused("models", "show", "nosuch")


def crafted(path: Path) -> Path:
    """A zip in the shape of a Keras file whose one layer would run code from a string."""
    layer = {"class_name": "Lambda", "config": {"name": "run", "function": ["4wEAAAA=", None, None]}, "name": "run"}
    config = {"class_name": "Sequential", "config": {"name": "bad", "layers": [layer]}, "module": "keras"}
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("metadata.json", json.dumps({"keras_version": "3.15.0"}))
        archive.writestr("config.json", json.dumps(config))
        archive.writestr("model.weights.h5", b"\x89HDF\r\n\x1a\n")
    return path


def test_import_refuses_a_crafted_file_and_adds_nothing(tmp_path, home):
    assert "crafted.keras" in refused("models", "import", crafted(tmp_path / "crafted.keras"))
    assert "Lambda" in refused("models", "import", tmp_path / "crafted.keras", "--name", "harmless")
    assert not list(home.rglob("*.keras"))
    assert "none.keras" in refused("models", "import", "none.keras")


# ------------------------------------------------------------------------------------------------------------ train


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """A job folder with a tiny network after two epochs."""
    folder = tmp_path_factory.mktemp("trained")
    for number in range(6):
        save(picture(number, 48, 48), folder / "pictures" / f"{number}.png")
    words = ["train", "--data", folder / "pictures", *SMALL, "--patch-size", 32, "--batch-size", 4]
    words += ["--steps-per-epoch", 3, "--epochs", 2, "--name", "tiny", "--seed", 4, "--out", folder / "job"]
    result = run(*words)
    assert "tiny.keras: held-out PSNR " in result.stdout
    assert [line.split(":")[0] for line in result.stderr.splitlines()] == ["epoch 1/2", "epoch 2/2"]
    return folder / "job"


@pytest.mark.slow
def test_train_fills_a_job_folder(trained):
    assert json.loads((trained / "status.json").read_text())["state"] == "finished"
    settings = json.loads((trained / "settings.json").read_text())
    assert settings["arguments"] == {"width": 8, "deep_width": 8, "blocks": 1}
    assert (settings["epochs"], settings["seed"], settings["name"]) == (2, 4, "tiny")
    card = json.loads((trained / "results" / "tiny.json").read_text())
    assert card["command"].startswith("python -m deconv_core ")
    assert (trained / "results" / "tiny.keras").stat().st_size == card["bytes"]


@pytest.mark.slow
def test_train_refuses_a_folder_in_use_unless_it_resumes(trained):
    words = ["train", "--data", trained.parent / "pictures", *SMALL, "--epochs", 1, "--out", trained]
    result = run(*words, status=2)
    assert "--resume" in result.stderr
    assert result.stderr.count("\n") == 1
    result = run("train", "--data", "ignored", "--resume", "--out", trained)
    assert "tiny.keras: held-out PSNR " in result.stdout, (
        "the stored settings are used, and a finished run stays finished"
    )


@pytest.mark.slow
def test_train_with_nothing_to_resume_says_so(trained, tmp_path):
    result = run("train", "--data", trained.parent / "pictures", "--resume", "--out", tmp_path / "job", status=2)
    assert "Nothing to resume" in result.stderr


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--architecture", "unet"], "choose one of article, photo"),
        (["--objective", "draw"], "choose one of reconstruct, restore"),
        (["--loss", "huge"], "choose one of charbonnier"),
        (["--objective", "restore"], "needs --degradations"),
        (["--objective", "restore", "--degradations", "rain:1-2"], "'rain'"),
        (["--objective", "restore", "--degradations", "jpeg:low-high"], "expected KIND:LOW-HIGH"),
        (["--epochs", "0"], "expected more than 0"),
        (["--argument", "width"], "expected name=value"),
    ],
)
def test_train_refuses_wrong_settings_before_it_makes_a_folder(words, sentence, tmp_path):
    assert sentence in refused("train", "--data", "samples", *words, "--out", tmp_path / "job")
    assert not (tmp_path / "job").exists()


@pytest.mark.slow
def test_a_trained_model_can_be_imported_listed_and_used(trained, pictures, home):
    shown = run("models", "import", trained / "results" / "tiny.keras", "--name", "mine").stdout
    assert shown.startswith("mine: ")
    assert "mine" in run("models").stdout
    frame = scores("candidates", "--reference", "references", "--model", "mine", metrics="recon_pair_psnr")
    assert (frame["recon_pair_psnr"] > 0).all()
    assert read_recipes("scores.parquet")["recon_pair_psnr"]["model"] == "mine"


# -------------------------------------------------------------------------------------------------- as a person does


def test_commands_work_in_another_process_and_folder(pictures, home):
    first = outside(
        *["degrade", "references/a.png", "--type", "jpeg", "--severity", 3, "--out", "a_jpeg.png"],
        folder=pictures,
        home=home,
    )
    assert (first.returncode, first.stdout, first.stderr) == (0, "", "a_jpeg.png\n")
    words = ["score", "a_jpeg.png", "--reference", "references/a.png", "--metrics", "psnr,ssim,ms_ssim"]
    second = outside(*words, folder=pictures, home=home)
    assert second.returncode == 0
    assert second.stderr == ""
    assert second.stdout.splitlines()[0] == "a_jpeg.png against a.png"


def test_a_wrong_request_is_status_2_and_one_line_in_another_process(pictures, home):
    done = outside("score", "candidates", "--metrics", "nosuch", folder=pictures, home=home)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert "Traceback" not in done.stderr


def test_failed_work_is_status_1_in_another_process(pictures, home):
    Path("text.png").write_text("not a picture")
    done = outside(
        *["score", "text.png", "--reference", "references/a.png", "--metrics", "psnr"], folder=pictures, home=home
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
