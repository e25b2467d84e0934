"""`agree` from the shell: what it reads, computes, prints and writes; published numbers; contamination."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from PIL import Image

from deconv_core.__main__ import main
from deconv_core.agree_command import compute, prepare
from deconv_core.agreement import COLUMNS, krcc, srcc
from deconv_core.distortions import distort
from deconv_core.errors import DeconvError
from deconv_core.metrics import METRICS, psnr, ssim
from deconv_core.published import DATA_SETS, PUBLISHED, contamination, name_of_data_set, published, published_table
from deconv_core.tables import read_recipes


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("DECONV_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*words, status: int = 0):
    result = CliRunner().invoke(main, ["agree", *map(str, words)], prog_name="deconv_core", catch_exceptions=False)
    assert result.exit_code == status, f"{words}\n{result.output}"
    return result


def refused(*words) -> str:
    result = run(*words, status=2)
    assert result.stdout == ""
    return result.stderr


def messy_table(path: Path, count: int = 60) -> pd.DataFrame:
    """Tab separated, one empty column, mixed case, missing rows, kinds and contents in the file names."""
    rng = np.random.default_rng(0)
    quality = rng.uniform(size=count)
    frame = pd.DataFrame(
        {
            "Image_Name": [
                f"{'iI'[row % 2]}{row % 6 + 1:02d}_{row % 3 + 1:02d}_{row // 18 + 1}.bmp" for row in range(count)
            ],
            "MOS": (1 + 7 * quality + 0.5 * rng.normal(size=count)).round(5),
            " ": "",
            "PSNR": 20 + 20 * quality + rng.normal(size=count),
            "ssim": quality + 0.4 * rng.normal(size=count),
            "Mine": 100 - 30 * quality,
        }
    )
    frame.loc[[3, 9], "MOS"] = np.nan
    frame.loc[5, "Mine"] = np.nan
    frame.to_csv(path, sep="\t", index=False)
    return frame


# ------------------------------------------------------------------------------------------------------ ready columns


def test_a_messy_table_is_understood_printed_and_written(tmp_path):
    frame = messy_table(tmp_path / "scores.tsv")
    words = ["scores.tsv", "--scores", "mos", "--metrics", "psnr,ssim,mine", "--group", "distortion"]
    result = run(*words, "--resamples", 60, "--out", "job/one")
    rated = frame[frame["MOS"].notna()]
    lines = result.stdout.splitlines()
    for name, column, sign in (("psnr", "PSNR", 1), ("ssim", "ssim", 1), ("mine", "Mine", -1)):
        line = next(line for line in lines if line.startswith(f"{name} ") and " all " in line)
        assert f"{sign * srcc(rated[column], rated['MOS']):.3f}" in line
        assert f"{sign * krcc(rated[column], rated['MOS']):.3f}" in line
    assert lines[0].startswith("For pictures like these trust ")
    assert "Human scores: higher is better." in result.stdout
    assert "2 of 60 rows" in result.stderr  # told before anything is computed
    assert "content: column 'content' (from the names in 'Image_Name'" in result.stderr

    results = tmp_path / "job" / "one" / "results"
    table = pd.read_csv(results / "agreement.csv", dtype={"group": str}, keep_default_na=False, na_values={"srcc": ""})
    assert list(table.columns) == list(COLUMNS)
    assert table["group"].tolist() == ["all"] * 3 + ["01"] * 3 + ["02"] * 3 + ["03"] * 3
    stored = pd.read_parquet(results / "agreement.parquet")
    for column in ("metric", "group", "count", "fit", "note"):
        assert stored[column].tolist() == table[column].tolist()
    for column in ("srcc", "krcc", "plcc_raw", "plcc_logistic", "rmse_logistic", "srcc_low", "srcc_high"):
        assert stored[column].tolist() == pytest.approx(table[column].astype(float).tolist(), rel=1e-12)
    rows = pd.read_parquet(results / "rows.parquet")
    first = table.iloc[0]
    assert first["srcc"] == pytest.approx(srcc(rows["psnr"], rows["MOS"]))
    assert read_recipes(results / "agreement.csv")["psnr"] == {"read_from": "PSNR", "computed_here": False}
    settings = json.loads((tmp_path / "job" / "one" / "settings.json").read_text())
    assert settings["kind"] == "agree"
    assert settings["direction"]["higher_is_better"] is True
    assert settings["columns"]["mos"] == {"column": "MOS", "why": "as told"}
    assert settings["command"].startswith("python -m deconv_core")
    assert (settings["seed"], settings["resamples"], settings["group"]) == (0, 60, "distortion")
    assert len(json.loads((results / "curves.json").read_text())) == 12
    assert {"metric", "against", "p_value", "low", "high"} <= set(pd.read_csv(results / "significance.csv").columns)


def test_every_column_named_like_a_metric_is_read_without_being_asked(tmp_path):
    messy_table(tmp_path / "scores.tsv")
    result = run("scores.tsv", "--scores", "MOS", "--resamples", 0)
    heads = [line.split()[0] for line in result.stdout.splitlines() if " all " in line]
    assert heads == ["psnr", "ssim"]


def test_the_same_request_gives_the_same_numbers(tmp_path):
    messy_table(tmp_path / "scores.tsv")
    words = ["scores.tsv", "--scores", "mos", "--resamples", 40]
    assert run(*words).stdout == run(*words).stdout != run(*words, "--seed", 1).stdout


def test_two_metrics_of_one_order_are_called_so(tmp_path):
    frame = messy_table(tmp_path / "scores.tsv").drop(columns=["ssim", "Mine"])
    frame.assign(mse=10 ** (-frame["PSNR"] / 10)).to_csv(tmp_path / "both.csv", index=False)
    told = run("both.csv", "--scores", "mos", "--resamples", 40).stdout.splitlines()[0]
    assert told.endswith("puts the pictures in the same order.")


def test_direction_is_shown_and_the_users_word_counts(tmp_path):
    frame = messy_table(tmp_path / "scores.tsv")
    frame.assign(MOS=10 - frame["MOS"]).rename(columns={"MOS": "score"}).to_csv(tmp_path / "dmos.csv", index=False)
    told = run("dmos.csv", "--scores", "score", "--resamples", 0).stdout
    assert "Human scores: lower is better. From the numbers" in told
    wrong = run("dmos.csv", "--scores", "score", "--direction", "higher", "--resamples", 0).stdout
    assert "Human scores: higher is better. As told." in wrong
    assert "check the direction" in wrong
    assert "None of these metrics agrees" in wrong


def test_wrong_requests_are_told_in_one_line(tmp_path):
    messy_table(tmp_path / "scores.tsv")
    assert "'none.tsv' is not there" in refused("none.tsv", "--scores", "mos")
    assert "Column 'nothing' is not in the table" in refused("scores.tsv", "--scores", "nothing")
    assert "'odd' is neither a column of numbers nor a metric" in refused(
        "scores.tsv", "--scores", "mos", "--metrics", "odd"
    )
    told = refused("scores.tsv", "--scores", "mos", "--metrics", "ms_ssim")
    assert "ms_ssim must be computed from pictures" in told
    assert "expected ROLE=COLUMN" in refused("scores.tsv", "--column", "candidate")
    assert "Column 'Image_Name' holds no numbers" in refused("scores.tsv", "--scores", "Image_Name")
    (tmp_path / "plain.csv").write_text("a,b\n1,2\n")
    assert "name one with --scores: a, b" in refused("plain.csv")
    assert "--resamples got -1" in refused("scores.tsv", "--scores", "mos", "--resamples", -1)


# ----------------------------------------------------------------------------------------------------------- computing


@pytest.fixture
def pictures(tmp_path):
    """Three references, each in four severities of blur, with scores that fall with the severity."""
    rows = []
    for number in range(3):
        rng = np.random.default_rng(number)
        coarse = rng.random((8, 8, 3)).repeat(8, axis=0).repeat(8, axis=1)
        pixels = (np.round((0.7 * coarse + 0.3 * rng.random((64, 64, 3))) * 255) / 255).astype(np.float32)
        save(pixels, tmp_path / "set" / "true" / f"R{number}.png")
        for severity in (1, 2, 3, 4):
            name = f"r{number}_blur_{severity}.png"
            save(distort(pixels, "gaussian_blur", severity), tmp_path / "set" / "out" / name)
            rows.append((name, f"r{number}.PNG", 9 - 2 * severity + 0.1 * number, severity))
    frame = pd.DataFrame(rows, columns=["dist", "ref", "mos", "level"])
    frame.to_csv(tmp_path / "set" / "scores.csv", index=False)
    return frame


def save(pixels: np.ndarray, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.round(pixels * 255).astype(np.uint8)).save(path)


def load(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path), np.float32)[None] / np.float32(255)


def test_missing_metrics_are_computed_from_the_pictures(tmp_path, pictures):
    result = run("set/scores.csv", "--scores", "mos", "--metrics", "psnr,ssim", "--resamples", 20, "--out", "job")
    assert "12 of 12 pictures found, 12 of them with a reference; 0 files are named by no row." in result.stderr
    rows = pd.read_parquet(tmp_path / "job" / "results" / "rows.parquet")
    for row in rows.iloc[[0, 7]].to_dict("records"):
        pair = [load(tmp_path / "set" / "true" / row["ref"].upper().replace("PNG", "png"))]
        pair.append(load(tmp_path / "set" / "out" / row["dist"]))
        assert row["psnr"] == pytest.approx(psnr(*pair)[0])
        assert row["ssim"] == pytest.approx(ssim(*pair)[0])
    recipes = read_recipes(tmp_path / "job" / "results" / "agreement.csv")
    assert recipes["psnr"]["version"] == METRICS["psnr"].version
    assert "ms per image" in result.stdout


def test_only_what_is_missing_is_computed_and_unrated_rows_are_not_read(tmp_path, pictures):
    frame = pictures.assign(psnr=np.arange(12.0))
    frame.loc[0, "mos"] = np.nan
    (tmp_path / "set" / "out" / frame["dist"][0]).write_bytes(b"no picture")
    (tmp_path / "set" / "out" / frame["dist"][5]).unlink()
    frame.to_csv(tmp_path / "set" / "scores.csv", index=False)
    plan = prepare("set/scores.csv", scores="mos", metrics=["psnr", "ssim"])
    assert (plan.read, plan.missing) == ({"psnr": "psnr"}, ["ssim"])
    assert [problem.status for problem in plan.problems] == ["missing"]
    outcome = compute(plan, resamples=20)
    assert outcome.rows["psnr"].tolist() == list(range(12))
    assert outcome.rows["ssim"].isna().tolist() == [place in (0, 5) for place in range(12)]
    assert outcome.found.table["count"].tolist() == [11, 10]
    assert set(outcome.milliseconds) == {"ssim"}


def test_psnr_and_ssim_are_computed_where_the_table_has_no_metric(pictures):
    plan = prepare("set/scores.csv")
    assert plan.missing == ["psnr", "ssim"]
    assert plan.scores.roles["mos"].why == "by its name"


def test_pictures_that_are_not_there_are_told_before_anything_runs(tmp_path, pictures):
    (tmp_path / "else").mkdir()
    save(np.zeros((8, 8, 3)), tmp_path / "else" / "x.png")
    with pytest.raises(DeconvError, match="none of 12 was found"):
        prepare("set/scores.csv", images="else")
    pictures.drop(columns="ref").to_csv(tmp_path / "set" / "scores.csv", index=False)
    with pytest.raises(DeconvError, match="need references, and no row has one"):
        prepare("set/scores.csv", images="set/out")
    plan = prepare("set/scores.csv", images="set/out", references="set/true")
    assert plan.pictures.summary.startswith("12 of 12 pictures found, 12 of them with a reference")


def test_a_known_data_set_is_judged_from_its_folder(tmp_path, pictures):
    folder = tmp_path / "tid2013"
    lines = []
    for row in pictures.to_dict("records"):
        name = f"i{int(row['dist'][1]) + 1:02d}_08_{row['level']}.bmp"
        source = tmp_path / "set" / "out" / row["dist"]
        save(load(source)[0], folder / "distorted_images" / name.upper())
        lines.append(f"{row['mos']:.2f} {name}\n")
    for number in range(3):
        save(load(tmp_path / "set" / "true" / f"R{number}.png")[0], folder / "reference_images" / f"I0{number + 1}.BMP")
    (folder / "mos_with_names.txt").write_text("".join(lines))
    result = run("tid2013", "--resamples", 20, "--group", "distortion")
    assert "TID2013's scores are mean opinion scores from 0 to 9, higher is better." in result.stdout
    assert "Gaussian blur" in result.stdout
    assert "Published for TID2013: PSNR SRCC 0.6869 (no human scores used; chaofengc/IQA-PyTorch" in result.stdout


# ---------------------------------------------------------------------------------------------------------- job folders


WORDS = ("set/scores.csv", "--scores", "mos", "--metrics", "psnr,ssim", "--resamples", 20)


@pytest.fixture
def scored(monkeypatch):
    """Names of the candidates that were really scored, in order."""
    from deconv_core import scoring

    names, real = [], scoring.score_pairs

    def score_pairs(pairs, keys, **options):
        names.extend(pair.candidate.name for pair in pairs)
        return real(pairs, keys, **options)

    monkeypatch.setattr(scoring, "score_pairs", score_pairs)
    monkeypatch.setattr("deconv_core.agree_command._PAIRS_AT_ONCE", 2)
    monkeypatch.setattr("deconv_core.agree_command._KEEP_SECONDS", 0.0)
    return names


def stop_after(monkeypatch, count: int) -> None:
    """Ask for the end of a run once so many pictures are scored, as the page does."""
    from deconv_core.jobs import JobFolder

    real = JobFolder.status

    def status(self, message=None, done=None, total=None, **options):
        real(self, message, done, total, **options)
        if done == count and total:
            (self.folder / "stop").touch()

    monkeypatch.setattr(JobFolder, "status", status)
    monkeypatch.setattr("deconv_core.jobs._STOP_CHECK_SECONDS", 0.0)


def test_a_job_folder_tells_how_far_it_is_and_how_it_ended(tmp_path, pictures):
    run(*WORDS, "--out", "job")
    status = json.loads((tmp_path / "job" / "status.json").read_text())
    assert (status["state"], status["done"], status["total"]) == ("finished", 12, 12)
    assert "12 of 12 pictures found" in (tmp_path / "job" / "log.txt").read_text()
    results = tmp_path / "job" / "results"
    assert (results / "report.html").read_text(encoding="utf-8").count("<html") == 1
    paths = pd.read_parquet(results / "pictures.parquet")
    assert Path(paths["candidate"][5]).name == pictures["dist"][5]
    assert "already holds a run" in refused(*WORDS, "--out", "job")
    assert "Nothing to resume in 'other'" in refused(*WORDS, "--out", "other", "--resume")
    assert "belong to a job folder" in refused(*WORDS, "--resume")
    assert "which is no job folder" in refused(*WORDS, "--out", "other", "--reuse", "nowhere")


def test_a_stopped_run_does_only_the_rest_when_resumed(tmp_path, pictures, scored, monkeypatch):
    whole = run(*WORDS, "--out", "whole").stdout
    assert scored == pictures["dist"].tolist()
    scored.clear()
    with monkeypatch.context() as patch:
        stop_after(patch, 6)
        assert "stopped on request" in run(*WORDS, "--out", "job", status=1).stderr
    assert json.loads((tmp_path / "job" / "status.json").read_text())["state"] == "stopped"
    assert not (tmp_path / "job" / "results" / "agreement.csv").exists()
    assert scored == pictures["dist"].tolist()[:6]
    # The last part was cut short by whatever ended the process: its picture is scored again.
    last = max((tmp_path / "job" / "results" / "parts").iterdir())
    last.write_bytes(last.read_bytes()[:100])
    # A picture that has changed since is scored again as well.
    changed = tmp_path / "set" / "out" / pictures["dist"][0]
    changed.write_bytes(changed.read_bytes() + b"\0")
    scored.clear()
    resumed = run(*WORDS, "--out", "job", "--resume").stdout
    assert scored == [pictures["dist"][place] for place in (0, 5, 6, 7, 8, 9, 10, 11)]
    # Everything but the measured milliseconds is the same.
    assert resumed.splitlines()[1:] == whole.splitlines()[1:]


def test_scores_of_another_run_are_taken_over_where_the_metrics_are_the_same(pictures, scored):
    first = run(*WORDS, "--out", "first").stdout
    scored.clear()
    assert run(*WORDS, "--out", "second", "--reuse", "first").stdout.splitlines()[1:] == first.splitlines()[1:]
    assert scored == []
    run(*WORDS[:3], "--metrics", "psnr", "--resamples", 0, "--out", "third", "--reuse", "first")
    assert scored == pictures["dist"].tolist()


def test_a_wrong_request_fails_the_job_with_its_sentence(tmp_path):
    messy_table(tmp_path / "scores.tsv")
    run("scores.tsv", "--scores", "nothing", "--out", "job", status=2)
    status = json.loads((tmp_path / "job" / "status.json").read_text())
    assert status["state"] == "failed"
    assert "Column 'nothing' is not in the table" in status["message"]


def test_pictures_that_cannot_be_scored_are_told_and_counted(tmp_path, pictures):
    (tmp_path / "set" / "out" / pictures["dist"][2]).write_bytes(b"no picture")
    result = run(*WORDS, "--out", "job")
    assert f"unreadable: {pictures['dist'][2]}." in result.stdout
    problems = pd.read_csv(tmp_path / "job" / "results" / "problems.csv")
    assert problems["status"].tolist() == ["unreadable"]
    assert pd.read_csv(tmp_path / "job" / "results" / "agreement.csv")["count"].tolist() == [11, 11]


# ----------------------------------------------------------------------------------------------------------- published


def test_published_numbers_have_a_source_and_say_whether_people_took_part():
    assert len(PUBLISHED) == 56  # as many as the table they come from has
    for row in PUBLISHED:
        assert 0 < row.srcc < 1
        assert row.source
        assert row.data_set in DATA_SETS
        assert row.trained_on_scores == bool(row.trained_on)
    ours = {row.metric for row in PUBLISHED} & set(METRICS)
    assert {"psnr", "ssim", "ms_ssim"} <= ours


def test_published_numbers_are_found_by_any_spelling():
    assert [row.srcc for row in published("SSIM", "tid2013")] == [0.6269, 0.72, 0.7552]
    assert [row.srcc for row in published("MS-SSIM", "KADID10k")] == [0.8020]
    assert [row.srcc for row in published("ssimulacra2", "TID2013")] == [0.8194]
    assert [(row.srcc, row.srcc_to) for row in published("niqe")] == [(0.27, 0.36)]
    labels = [row.label for row in published("vifp", "TID2013")]
    assert labels == ["VIF (pixel domain)", "VIF (wavelets)"]  # two measures under one name: the label tells
    assert published("deconv") == []
    assert published("psnr", "my own study") == []
    table = published_table(["psnr", "lpips"], "csiq")
    assert table[["label", "trained_on_scores", "srcc"]].to_numpy().tolist() == [
        ["PSNR", False, 0.8087],
        ["LPIPS (AlexNet)", True, 0.9233],
    ]
    assert published_table([]).empty


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("tid2013_scores.tsv", "TID2013"),
        ("KADID-10k", "KADID-10k"),
        ("kadid10k", "KADID-10k"),
        ("live_subset_dmos", "LIVE"),
        ("biq2021", "BIQ2021"),
        ("ss03 photographs of BIQ2021 (from Unsplash)", "BIQ2021"),
        ("delivery", ""),
        ("pictures that live on disk", ""),
        ("LIVE in the Wild", ""),
        ("tid2013 and csiq", ""),
        ("", ""),
    ],
)
def test_data_sets_are_recognised_by_name(text, name):
    assert name_of_data_set(text) == name


def test_contamination_follows_from_the_card_alone():
    card = {"trained_on": "ss03 photographs of BIQ2021 (from Unsplash)", "data_digest": "abc"}
    assert contamination("psnr", "TID2013") == ""
    assert contamination("recon_pair_psnr", "TID2013", card=card) == ""
    assert "trained on pictures of BIQ2021" in contamination("recon_pair_psnr", "biq2021", card=card)
    assert "not on their human scores" in contamination("recon_pair_psnr", "", card=card, data_digest="abc")
    calibrated = card | {"calibrated_on": {"data_set": "TID2013", "digest": "123"}}
    assert "calibrated on human scores of TID2013" in contamination("mine", "tid2013", card=calibrated)
    assert "calibrated on human scores" in contamination("mine", "", card=calibrated, scores_digest="123")
    assert contamination("mine", "CSIQ", card=calibrated, scores_digest="124") == ""
    assert "made with human scores of KADID-10k" in contamination("topiq_fr", "KADID-10k")
    assert contamination("topiq_fr", "CSIQ") == ""
    assert contamination("mine", "our study", card={"trained_on": "unknown", "data_digest": ""}) == ""


def test_a_contaminated_metric_is_told_and_not_recommended(tmp_path):
    frame = messy_table(tmp_path / "scores.tsv")
    frame.rename(columns={"Mine": "topiq_fr"}).assign(topiq_fr=frame["MOS"]).to_csv(tmp_path / "kadid.csv", index=False)
    result = run("kadid.csv", "--scores", "mos", "--resamples", 60)
    assert result.stdout.startswith("For pictures like these trust psnr")
    assert "topiq_fr left out" in result.stdout.splitlines()[0]
    assert "topiq_fr was made with human scores of KADID-10k, the set judged here" in result.stdout
