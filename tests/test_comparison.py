"""A data set under every distortion with every metric: the table, what is in it, and how a broken run goes on."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from deconv_core import comparison, jobs, relations
from deconv_core.comparison import ROW_COLUMNS, CompareSettings, compare, damage_seed, read_result, settings_from
from deconv_core.distortions import DISTORTIONS, distort
from deconv_core.errors import DeconvError, JobError
from deconv_core.images import read_image
from deconv_core.metrics import METRICS, recipe
from deconv_core.scoring import Models, score_batch
from deconv_core.tables import read_recipes, write_table

ROOT = Path(__file__).resolve().parents[1]
KEYS = ("psnr", "ssim", "gmsd")
KINDS = ("jpeg", "white_noise", "saturation")


def picture(seed: int, height: int = 48, width: int = 56, channels: int = 3) -> np.ndarray:
    """Smooth in large and rough in small, 8 bits."""
    rng = np.random.default_rng(seed)
    coarse = rng.random((height // 8, width // 8, channels)).repeat(8, axis=0).repeat(8, axis=1)
    return np.round((0.7 * coarse + 0.3 * rng.random((height, width, channels))) * 255).astype(np.uint8)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Three pictures in colour, a grey one, one too small for SSIM, and a file that is none."""
    folder = tmp_path_factory.mktemp("pictures")
    for number in range(3):
        Image.fromarray(picture(number)).save(folder / f"{number}.png")
    Image.fromarray(picture(5, channels=1)[..., 0]).save(folder / "grey.png")
    Image.fromarray(picture(6, 8, 8)).save(folder / "small.png")
    (folder / "broken.png").write_bytes(b"no picture")
    return folder


def settings(data, **more):
    given = {"metrics": KEYS, "distortions": KINDS, "severities": (1.0, 4.0), "seed": 7}
    return CompareSettings(str(data), **{**given, **more})


@pytest.fixture(scope="module")
def finished(pictures, tmp_path_factory):
    folder = tmp_path_factory.mktemp("jobs") / "run"
    summary = compare(settings(pictures), folder, command="python -m deconv_core compare --data pictures")
    return folder, summary


def test_every_picture_has_a_row_for_every_distortion_and_severity(finished):
    folder, summary = finished
    found = read_result(folder)
    frame = found.frame
    assert list(frame.columns) == [*ROW_COLUMNS, *KEYS]
    assert list(frame["image"].unique()) == ["0.png", "1.png", "2.png", "broken.png", "grey.png", "small.png"]
    one = frame[frame["image"] == "1.png"]
    assert list(zip(one["distortion"], one["severity"], strict=True)) == [(kind, s) for kind in KINDS for s in (1, 4)]
    assert found.metrics == KEYS
    assert summary["images"] == 6
    assert summary["rows"] == len(frame) == 5 * 6 + 1
    assert summary["unreadable"] == 1
    assert summary["images_per_second"] > 0
    assert summary["peak_memory_bytes"] > 2**20
    assert found.summary == json.loads(json.dumps(summary))
    assert jobs.read(folder).state == "finished"


def test_scores_are_those_of_the_pair_that_a_row_gives_back(finished):
    found = read_result(finished[0])
    for row in found.scored.index:
        reference, candidate = found.pair(row)
        scores = score_batch(reference[None], candidate[None], [key for key in KEYS if found.frame[key].notna()[row]])
        for key, values in scores.items():
            assert found.frame[key][row] == pytest.approx(values[0], rel=1e-12)


def test_the_reference_is_the_file_and_the_damage_that_of_distort(finished, pictures):
    found = read_result(finished[0])
    frame = found.frame
    row = int(frame.index[(frame["image"] == "2.png") & (frame["distortion"] == "white_noise")][1])
    reference, candidate = found.pair(row)
    np.testing.assert_array_equal(reference, read_image(pictures / "2.png").pixels)
    seed = damage_seed(7, "2.png", "white_noise")
    assert frame["seed"][row] == seed
    np.testing.assert_array_equal(candidate, distort(reference, "white_noise", 4.0, seed=seed))


def test_what_cannot_be_scored_says_why(finished):
    found = read_result(finished[0])
    frame = found.frame.set_index("image")
    broken = frame.loc["broken.png"]
    assert (broken["status"], broken["distortion"]) == ("unreadable", "")
    assert "broken.png" in broken["reason"]
    assert np.isnan(broken["severity"])
    grey = frame.loc["grey.png"].set_index("distortion")
    assert (grey.loc["saturation", "status"] == "unchanged").all()
    assert grey.loc["saturation", list(KEYS)].isna().all(axis=None)
    assert (grey.loc["jpeg", "status"] == "ok").all()
    small = frame.loc["small.png"]
    assert set(small["status"]) == {"ok"}
    assert small["ssim"].isna().all()
    assert small[["psnr", "gmsd"]].notna().all(axis=None)
    assert small["reason"].str.contains("ssim left empty").all()
    with pytest.raises(DeconvError, match="has no picture"):
        found.pair(int(found.frame.index[found.frame["status"] == "unreadable"][0]))
    with pytest.raises(DeconvError, match="no row 99"):
        found.pair(99)


def test_a_picture_too_small_for_every_metric_has_a_status_of_its_own(pictures, tmp_path):
    data = settings(pictures, include="small.png", metrics=("ssim",), distortions=("jpeg",))
    summary = compare(data, tmp_path / "run")
    assert summary["statuses"] == {"too_small": 2}
    assert (tmp_path / "run" / "results" / "report.html").exists()


def test_large_pictures_are_reduced_and_say_so(tmp_path):
    data = tmp_path / "large.png"
    Image.fromarray(picture(1, 800, 1600)).save(data)
    compare(settings(data, metrics=("psnr",), distortions=("brightness",)), tmp_path / "run")
    found = read_result(tmp_path / "run")
    reference, _ = found.pair(0)
    assert 0.99 < reference[..., 0].size / comparison.WORKING_PIXELS <= 1
    assert found.frame["reason"][0] == "Reduced from 1600 x 800 to 1414 x 707 pixels (width x height)."
    assert found.frame["psnr"].notna().all()


def test_tables_recipes_and_report_lie_beside_each_other(finished):
    results = finished[0] / "results"
    frame = read_result(finished[0]).frame
    assert read_recipes(results / "scores.csv") == {key: recipe(key) for key in KEYS}
    text = pd.read_csv(results / "scores.csv", keep_default_na=False, na_values=[""])
    np.testing.assert_allclose(text["psnr"], frame["psnr"])
    relations = pd.read_parquet(results / "correlations.parquet")
    assert list(relations["group"].unique()) == ["all", *KINDS]
    pairs = pd.read_parquet(results / "disagreements.parquet")
    assert {"first", "second", "kind", "image_a", "severity_b"} <= set(pairs.columns)
    assert list(frame["image"][pairs["row_a"]]) == list(pairs["image_a"])
    report = (results / "report.html").read_text(encoding="utf-8")
    assert "python -m deconv_core compare --data pictures" in report
    assert "broken.png" in report


def test_what_was_done_is_kept_when_a_run_ends_early_and_the_rest_gives_the_same_table(finished, pictures, tmp_path):
    folder = tmp_path / "run"

    def interrupt(done, total):
        if done >= 8:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        compare(settings(pictures), folder, report=interrupt)
    assert jobs.read(folder).state == "stopped"
    part = read_result(folder)
    assert 0 < len(part.frame) < len(read_result(finished[0]).frame)
    assert part.summary == {}
    assert part.recipes == {key: recipe(key) for key in KEYS}
    part.pair(0)

    seen = []
    compare(settings_from(json.loads((folder / "settings.json").read_text())), folder, resume=True,
            report=lambda done, total: seen.append(done))  # fmt: skip
    pd.testing.assert_frame_equal(read_result(folder).frame, read_result(finished[0]).frame)
    assert seen[-1] == 36
    # A second time there is nothing to do, and nothing changes.
    compare(settings(pictures), folder, resume=True)
    pd.testing.assert_frame_equal(read_result(folder).frame, read_result(finished[0]).frame)
    assert read_result(folder).summary["fingerprint"] == finished[1]["fingerprint"]


def test_many_parts_become_one(finished, pictures, tmp_path, monkeypatch):
    monkeypatch.setattr(comparison, "_PART_SECONDS", 0.0)
    monkeypatch.setattr(comparison, "_MOST_PARTS", 3)
    compare(settings(pictures), tmp_path / "run")
    assert len(list((tmp_path / "run" / "results" / "parts").iterdir())) <= 4
    pd.testing.assert_frame_equal(read_result(tmp_path / "run").frame, read_result(finished[0]).frame)


def test_rows_made_by_another_version_of_a_metric_are_not_mixed(pictures, tmp_path):
    folder = tmp_path / "run"
    compare(settings(pictures, include="0.png"), folder)
    part = next((folder / "results" / "parts").iterdir())
    changed = {key: recipe(key) for key in KEYS}
    changed["ssim"] = {**changed["ssim"], "version": 99}
    write_table(pd.read_parquet(part), part, changed)
    with pytest.raises(DeconvError, match="recipe of ssim has changed"):
        compare(settings(pictures, include="0.png"), folder, resume=True)


def test_a_picture_that_changed_between_its_distortions_is_refused(tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    Image.fromarray(picture(1)).save(data / "a.png")
    folder = tmp_path / "run"

    def interrupt(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        compare(settings(data), folder, report=interrupt)
    before = read_result(folder)
    assert before.frame["distortion"].unique().tolist() == ["jpeg"]
    reference, _ = before.pair(0)
    Image.fromarray(picture(2)).save(data / "a.png")
    with pytest.raises(DeconvError, match=r"'a.png' has changed since 1 of its 3 distortions"):
        compare(settings(data), folder, resume=True)
    np.testing.assert_array_equal(read_result(folder).pair(0)[0], reference)
    Image.fromarray(picture(1)).save(data / "a.png")
    compare(settings(data), folder, resume=True)
    assert len(read_result(folder).scored) == 6


def test_a_large_run_relates_a_part_of_its_rows_and_says_so(pictures, tmp_path, monkeypatch):
    monkeypatch.setattr(relations, "MOST_ROWS", 8)
    summary = compare(settings(pictures, include="?.png", distortions=("jpeg", "white_noise")), tmp_path / "run")
    assert summary["rows"] == 12
    assert summary["related_rows"] == 8
    words = "those of 2 of the 3 pictures (8 of 12 candidates), drawn by the seed."
    assert words in summary["findings"]
    assert words in (tmp_path / "run" / "results" / "report.html").read_text(encoding="utf-8")
    table = pd.read_parquet(tmp_path / "run" / "results" / "correlations.parquet")
    assert table.loc[table["group"] == "all", "count"].tolist() == [8, 8, 8]


def test_the_seed_draws_the_pictures_and_the_damage(pictures, tmp_path):
    tables = []
    for number, seed in enumerate((1, 1, 2)):
        data = settings(pictures, seed=seed, include="?.png", max_images=2, metrics=("psnr",))
        compare(data, tmp_path / str(number))
        tables.append(read_result(tmp_path / str(number)).frame)
    assert tables[0]["image"].nunique() == 2
    pd.testing.assert_frame_equal(tables[0], tables[1])
    noise = [table["psnr"][table["distortion"] == "white_noise"].to_numpy() for table in tables]
    assert not np.array_equal(noise[0], noise[2])


def test_seeds_belong_to_picture_and_distortion():
    # Stored: a resumed run on another machine must make the same damage.
    assert damage_seed(0, "a.png", "white_noise") == 2520143453
    seeds = {damage_seed(seed, image, kind) for seed in (0, 1) for image in "ab" for kind in DISTORTIONS}
    assert len(seeds) == 4 * len(DISTORTIONS)


def test_a_run_of_a_page_reads_nothing_outside_the_roots(pictures, tmp_path, monkeypatch):
    inside = tmp_path / "inside"
    inside.mkdir()
    (inside / "own.png").write_bytes((pictures / "0.png").read_bytes())
    (inside / "list.csv").write_text(f"image\nown.png\n{pictures / '1.png'}\n")
    monkeypatch.setenv("DECONV_DATA_ROOTS", str(inside))
    compare(settings(inside / "list.csv", within_roots=True), tmp_path / "job")
    frame = read_result(tmp_path / "job").frame
    assert set(frame.loc[frame["status"] == "ok", "image"]) == {"own.png"}
    assert "lies outside the folders" in frame.loc[frame["status"] == "unreadable", "reason"].item()
    with pytest.raises(DeconvError, match="outside the folders"):
        compare(settings(pictures, within_roots=True), tmp_path / "other")


def test_the_page_starts_comparisons_within_the_roots():
    from pages.ui.comparison_plan import Plan
    from pages.ui.training_data import Source

    def words(*roots) -> list[str]:
        return Plan(Source("place", "name", *roots), "name", 2, KEYS, KINDS, (1.0,), 0).words()

    assert "--within-roots" in words([])
    assert "--within-roots" not in words()  # bundled pictures


def test_pictures_of_one_name_are_told_apart(pictures, tmp_path):
    archive = tmp_path / "twice.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.write(pictures / "0.png", "0.png")
        with pytest.warns(UserWarning, match="Duplicate name"):
            file.write(pictures / "1.png", "0.png")
    compare(settings(archive, metrics=("psnr",), distortions=("jpeg",)), tmp_path / "run")
    frame = read_result(tmp_path / "run").frame
    assert list(frame["image"]) == ["0.png", "0.png", "0.png (2)"]
    assert list(frame["status"]) == ["ok", "ok", "unreadable"]


class Counting:
    """A model that rebuilds by darkening and counts the pictures it sees."""

    channels = 3
    digest = "0"

    def __init__(self):
        self.pictures = 0

    def reconstruct(self, batch):
        self.pictures += len(batch)
        return batch * np.float32(0.9)


def test_a_reference_that_comes_again_is_rebuilt_once():
    x = (picture(3) / np.float32(255)).astype(np.float32)
    reference = np.broadcast_to(x, (2, *x.shape))
    model = Counting()
    models = Models(model)
    keys = ["recon_pair_psnr", "recon_true_psnr", "recon_self_psnr"]
    together = []
    for severity in (1, 3):
        batch = np.stack([distort(x, kind, severity) for kind in ("jpeg", "brightness")])
        together.append(score_batch(reference, batch, keys, model=models))
    assert model.pictures == 1 + 2 * 2
    alone = score_batch(reference, batch, keys, model=Counting())
    for key in keys:
        np.testing.assert_array_equal(together[1][key], alone[key])


def test_with_models_the_table_holds_what_score_gives(tmp_path):
    data = settings("samples", include="chelsea", metrics=("deconv", "recon_pair_ssim"), distortions=("jpeg",))
    compare(data, tmp_path / "run")
    found = read_result(tmp_path / "run")
    from deconv_core.scoring import default_model

    model = default_model(found.metrics)
    reference, candidate = found.pair(1)
    scores = score_batch(reference[None], candidate[None], found.metrics, model=model)
    for key, values in scores.items():
        assert found.frame[key][1] == pytest.approx(values[0], rel=1e-5)
    assert found.recipes["recon_pair_ssim"]["model_digest"] == model.digest
    assert found.summary["model"]["name"] == "photo_large"


@pytest.mark.parametrize(
    ("more", "word"),
    [
        ({"distortions": ("rain",)}, "--distortions got 'rain'"),
        ({"severities": (0.0,)}, "--severities got 0"),
        ({"severities": (6.0,)}, "--severities got 6"),
        ({"severities": ()}, "--severities got none"),
        ({"max_images": -1}, "--max-images got -1"),
        ({"metrics": ("beauty",)}, "no metric 'beauty'"),
    ],
)
def test_settings_that_cannot_work_are_refused_before_anything_is_made(pictures, tmp_path, more, word):
    with pytest.raises(DeconvError, match=word):
        compare(settings(pictures, **more), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_folders_and_sources_that_do_not_fit_are_refused(finished, pictures, tmp_path):
    with pytest.raises(DeconvError, match="already holds a run"):
        compare(settings(pictures), finished[0])
    with pytest.raises(DeconvError, match="Nothing to resume"):
        compare(settings(pictures), tmp_path / "none", resume=True)
    with pytest.raises(DeconvError, match=r"no picture named like '\*\.bmp'"):
        compare(settings(pictures, include="*.bmp"), tmp_path / "empty")
    with pytest.raises(DeconvError, match="None of the pictures"):
        compare(settings(pictures, include="broken*"), tmp_path / "broken")
    with pytest.raises(DeconvError, match="holds no comparison"):
        read_result(tmp_path)
    with pytest.raises(JobError, match="colour, which this version"):
        settings_from({**dataclasses.asdict(settings("a")), "colour": 1})


def test_what_is_left_open_is_written_out():
    complete = CompareSettings("samples", severities=(3, 1)).complete()
    assert complete.metrics == tuple(METRICS)
    assert complete.distortions == tuple(DISTORTIONS)
    assert complete.severities == (1.0, 3.0)
    assert settings_from(json.loads(json.dumps(dataclasses.asdict(complete)))) == complete


@pytest.mark.slow
def test_killed_and_resumed_it_ends_with_the_table_of_an_unbroken_run(tmp_path):
    """From the shell: killed after its first part, resumed, and held against a run in one go."""
    plan = ["--data", "samples", "--include", "c*", "--severities", "1,3", "--metrics", "psnr,ssim,fsim", "--seed", "5"]

    def begin(folder, *more):
        command = [sys.executable, "-m", "deconv_core", "compare", *plan, "--out", str(folder), *more]
        return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    whole, broken = tmp_path / "whole", tmp_path / "broken"
    process = begin(broken)
    try:
        end = time.monotonic() + 200
        while not list((broken / "results" / "parts").glob("*.parquet")):
            assert process.poll() is None
            assert time.monotonic() < end, "no part was written"
            time.sleep(0.02)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
    assert 0 < len(read_result(broken).frame) < 3 * 16 * 2
    assert jobs.read(broken).state == "lost"
    for process in (begin(broken, "--resume"), begin(whole)):
        said, problem = process.communicate(timeout=400)
        assert process.returncode == 0, problem
        assert "96 rows from 3 pictures" in said
        assert "images/s, peak memory" in said
    pd.testing.assert_frame_equal(read_result(broken).frame, read_result(whole).frame)
