"""Human scores on the page, run by Streamlit's own test tool: what is understood, what is refused, what a run shows."""

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import kendalltau, spearmanr
from streamlit.testing.v1 import AppTest

from deconv_core import jobs
from deconv_core.agree_command import run
from deconv_core.images import encode_png

ROOT = Path(__file__).resolve().parent.parent
PAGE = "pages/compare_metrics.py"
WICKED = "<b>wild</b> [name](http://x)"


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("DECONV_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("DECONV_DATA_ROOTS", str(tmp_path / "open"))
    (tmp_path / "open").mkdir()
    return tmp_path


@pytest.fixture
def starts(monkeypatch):
    """What the page would have started, instead of processes."""
    asked = []

    def start(kind, arguments, *, name):
        asked.append((kind, list(arguments), name))
        folder = jobs.workspace_folder("jobs") / "20260102-030405-agree-started"
        (folder / "results").mkdir(parents=True, exist_ok=True)
        command = {"kind": kind, "name": name, "arguments": [kind, *arguments], "created": 1.7e9}
        (folder / "command.json").write_text(json.dumps(command))
        (folder / "status.json").write_text(json.dumps({"state": "failed", "message": "not started in a test"}))
        return folder

    monkeypatch.setattr(jobs, "start", start)
    return asked


def opened(**query: str) -> AppTest:
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=200).run()
    app.switch_page(PAGE)
    for name, value in {"mode": "people", **query}.items():
        app.query_params[name] = value
    app.run()
    assert app.title[0].value == "Compare metrics"
    return app


def uploaded(*files: tuple[str, bytes]) -> AppTest:
    app = opened()
    return app.file_uploader[0].set_value([(name, data, "application/octet-stream") for name, data in files]).run()


def on_the_server(place: Path | str) -> AppTest:
    app = opened()
    app.segmented_control(key="compare_metrics_people_source").set_value("server").run()
    return app.text_input(key="compare_metrics_people_place").set_value(str(place)).run()


def labelled(widgets, label: str):
    [found] = [widget for widget in widgets if widget.label == label]
    return found


def texts(app: AppTest) -> str:
    assert not app.exception
    # Signs of Markdown are told by a backslash, and colons by an invisible word joiner: neither is for the reader.
    shown = "\n".join(part.value for part in (*app.markdown, *app.caption, *app.error, *app.subheader))
    return shown.replace("\\", "").replace("\u2060", "")


def buttons(app: AppTest) -> list[str]:
    return [button.label for button in app.button]


def messy(count: int = 60) -> pd.DataFrame:
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
        }
    )
    frame.loc[[3, 9], "MOS"] = np.nan
    return frame


def as_csv(frame: pd.DataFrame) -> bytes:
    return frame.to_csv(index=False).encode()


def picture(seed: int, side: int = 48) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (rng.random((side // 8, side // 8, 3)).repeat(8, axis=0).repeat(8, axis=1)).astype(np.float32)


def pairs_zip() -> tuple[bytes, pd.DataFrame]:
    """Two references in four strengths of noise; one picture is missing, one is there twice."""
    rows, held = [], io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        for number in range(2):
            pixels = picture(number)
            archive.writestr(f"ref/r{number}.png", encode_png(pixels))
            for level in range(1, 5):
                rng = np.random.default_rng([number, level])
                noisy = np.clip(pixels + 0.05 * level * rng.normal(size=pixels.shape), 0, 1).astype(np.float32)
                name = f"d{number}_{level}.png"
                rows.append((name, f"r{number}.png", 5.5 - level + 0.1 * number))
                if (number, level) != (1, 4):
                    archive.writestr(f"out/{name}", encode_png(noisy))
                if (number, level) == (0, 1):
                    archive.writestr(f"again/{name}", encode_png(noisy))
    return held.getvalue(), pd.DataFrame(rows, columns=["dist", "ref", "mos"])


# Understanding a table


def test_a_messy_table_is_understood_and_starts_the_command(home, starts):
    app = uploaded(("scores.tsv", messy().to_csv(sep="\t", index=False).encode()))
    told = texts(app)
    assert "scores.tsv: 60 rows" in told.replace("*", "")
    assert "1 empty column without a name left out" in told
    assert "2 of 60 rows have no score in 'MOS'" in told
    assert "Found: higher is better. The name 'MOS' and the numbers agree" in told
    assert labelled(app.selectbox, "Human score").value == "MOS"
    assert labelled(app.selectbox, "Image to judge").value == "Image_Name"
    assert labelled(app.multiselect, "Metrics").value == ["PSNR", "ssim"]
    app.button(key="compare_metrics_people_start").click().run()
    [(kind, words, name)] = starts
    assert (kind, name) == ("agree", "scores.tsv")
    assert Path(words[0]).read_bytes().startswith(b"Image_Name")
    assert words[1:] == ["--scores=MOS", "--metrics=PSNR,ssim", "--group=distortion"]  # nothing to wait for
    assert app.query_params["job"] == "20260102-030405-agree-started"


def test_guesses_and_direction_can_be_overruled(home, starts):
    app = uploaded(("scores.csv", as_csv(messy().assign(other=lambda frame: 10 - frame["MOS"]))))
    labelled(app.selectbox, "Human score").set_value("other").run()
    assert "As you say." in texts(app)
    assert "Found: lower is better. From the numbers" in texts(app)
    labelled(app.selectbox, "Image to judge").set_value("-").run()
    labelled(app.segmented_control, "Which human scores are better?").set_value("higher").run()
    assert "Taken as higher is better, but" in texts(app)
    app.button(key="compare_metrics_people_start").click().run()
    words = starts[0][1]
    assert {"--scores=other", "--column=mos=other", "--column=candidate=-", "--direction=higher"} <= set(words)


def test_an_unclear_direction_is_asked_for_before_anything_starts(home, starts):
    rng = np.random.default_rng(1)
    frame = pd.DataFrame({"score": rng.uniform(size=40), "feature": rng.uniform(size=40)})
    app = uploaded(("study.csv", as_csv(frame)))
    labelled(app.multiselect, "Metrics").set_value(["feature"]).run()
    assert "Neither the name 'score' nor a known metric tells the direction" in texts(app)
    assert "Say first which scores are better" in texts(app)
    assert "Compare with people" not in buttons(app)
    labelled(app.segmented_control, "Which human scores are better?").set_value("lower").run()
    app.button(key="compare_metrics_people_start").click().run()
    assert "--direction=lower" in starts[0][1]


def test_sheets_of_an_excel_file_can_be_chosen(home, starts):
    held = io.BytesIO()
    with pd.ExcelWriter(held) as book:
        pd.DataFrame({"About": ["a study", None]}).to_excel(book, sheet_name="About", index=False)
        messy().to_excel(book, sheet_name="First", index=False)
        messy(30).rename(columns={"MOS": "rating"}).to_excel(book, sheet_name="Second", index=False)
    app = uploaded(("book.xlsx", held.getvalue()))
    assert "Read from sheet 'First'; not read: About, Second." in texts(app)
    labelled(app.selectbox, "The file has 3 sheets; read").set_value("Second").run()
    assert labelled(app.selectbox, "Human score").value == "rating"
    app.button(key="compare_metrics_people_start").click().run()
    assert "--sheet=Second" in starts[0][1]


def test_names_from_outside_are_shown_as_they_are(home, starts):
    frame = messy().rename(columns={"PSNR": WICKED, "MOS": "mos"})
    app = uploaded((f"{WICKED}.csv".replace("/", ""), as_csv(frame)))
    assert not app.exception
    shown = "\n".join(part.value for part in (*app.markdown, *app.caption))
    assert "<b>" not in shown
    assert "[name](" not in shown


@pytest.mark.parametrize(
    ("files", "told"),
    [
        ([("words.csv", b"image,opinion\na.png,good\nb.png,bad\n")], "holds no column of numbers"),
        ([("plain.csv", b"first,second\n1,2\n3,4\n")], "No column is named like human scores"),
        ([("scores.csv", b"mos\n1\n2\n3\n")], "holds human scores but no metric, and no column names the pictures"),
        ([("scores.csv", b"image,mos,psnr\n")], "holds no rows below its header"),
        ([("scores.xlsx", b"PK no workbook")], "is not a readable .xlsx file"),
        ([("a.png", encode_png(picture(0)))], "is no table of scores"),
    ],
)
def test_what_cannot_be_used_is_told_in_one_sentence(home, starts, files, told):
    app = uploaded(*files)
    assert told in texts(app)
    assert "Compare with people" not in buttons(app)
    labelled(app.button, "Remove").click().run()
    assert app.file_uploader[0].label.startswith("A table of scores")


def test_a_table_without_its_pictures_asks_for_them(home, starts):
    _, frame = pairs_zip()
    app = uploaded(("scores.csv", as_csv(frame)))
    assert "psnr, ssim, ms_ssim, deconv, deconv_control must be computed from pictures" in texts(app)
    assert [uploader.label for uploader in app.file_uploader] == ["Pictures and references that the table names"]
    content, _ = pairs_zip()
    app.file_uploader[0].set_value([("pictures.zip", content, "application/zip")]).run()
    labelled(app.multiselect, "Metrics").set_value(["psnr"]).run()
    numbers = {metric.label: metric.value for metric in app.metric}
    assert (numbers["Rows"], numbers["Pictures found"], numbers["With a reference"]) == ("8", "6", "6")
    [listed] = [table.value for table in app.dataframe if "Why" in table.value]
    assert listed[["Image to judge", "What"]].to_numpy().tolist() == [
        ["d0_1.png", "ambiguous"],
        ["d1_4.png", "missing"],
    ]
    app.button(key="compare_metrics_people_start").click().run()
    words = starts[0][1]
    assert words[-2:] == ["--wait-turn", "--low-priority"]
    assert any(word.startswith(f"--images={home}") for word in words)


def test_the_server_opens_only_its_folders(home, starts):
    (home / "closed").mkdir()
    (home / "closed" / "scores.csv").write_bytes(as_csv(messy()))
    assert "lies outside the folders" in texts(on_the_server(home / "closed" / "scores.csv"))
    content, frame = pairs_zip()
    folder = home / "open" / "set"
    zipfile.ZipFile(io.BytesIO(content)).extractall(folder)
    (folder / "scores.csv").write_bytes(as_csv(frame))
    app = on_the_server(folder / "scores.csv")
    assert "Compare with people" in buttons(app)
    (home / "closed" / "secret.png").write_bytes(encode_png(picture(5)))
    (folder / "out" / "d1_4.png").symlink_to(home / "closed" / "secret.png")
    labelled(app.multiselect, "Metrics").set_value(["psnr"]).run()
    app = on_the_server(folder / "scores.csv")
    labelled(app.multiselect, "Metrics").set_value(["ssim"]).run()
    assert "lies outside the folders" in texts(app)
    assert "Compare with people" not in buttons(app)


# What a run shows


def finished(home: Path, source: Path, **options) -> str:
    """A job folder that `agree` has filled; its name."""
    folder = jobs.workspace_folder("jobs") / "20260102-030405-agree-done"
    run(source, folder, resamples=40, command="python -m deconv_core agree", **options)
    words = ["agree", str(source), "--scores=mos", "--wait-turn"]
    (folder / "command.json").write_text(
        json.dumps({"kind": "agree", "name": WICKED, "arguments": words, "created": 1.7e9})
    )
    return folder.name


def test_a_result_is_read_on_the_page(home, starts):
    frame = messy()
    source = home / "open" / "tid2013.csv"
    source.write_bytes(as_csv(frame))
    app = opened(job=finished(home, source, scores="mos", group="distortion"))
    told = texts(app)
    assert app.subheader[1].value.startswith("For pictures like these trust psnr")
    assert "Human scores: higher is better." in told
    rated = frame[frame["MOS"].notna()]
    shown = app.dataframe[0].value
    assert shown["Metric"].tolist() == ["PSNR", "SSIM"]
    for name, column in (("PSNR", "PSNR"), ("SSIM", "ssim")):
        row = shown[shown["Metric"] == name].iloc[0]
        assert row["SRCC"] == pytest.approx(spearmanr(rated[column], rated["MOS"]).statistic, abs=1e-12)
        assert row["KRCC"] == pytest.approx(kendalltau(rated[column], rated["MOS"]).statistic, abs=1e-12)
        assert " to " in row["SRCC, 95 % interval"]
    assert app.dataframe[1].value["Verdict"].tolist() == ["agrees better"]
    part = app.segmented_control(key="compare_metrics_people_part")
    assert len(part.options) == 6
    for choice, heading in (
        ("furthest", "Expected by the metric"),
        ("groups", "Best"),
        ("held_out", "PLCC, contents not seen"),
        ("published", "Trained on human scores"),
    ):
        app.segmented_control(key="compare_metrics_people_part").set_value(choice).run()
        assert heading in app.dataframe[2].value.columns
    app.segmented_control(key="compare_metrics_people_part").set_value("problems").run()
    assert "2 of 60 rows have no human score" in texts(app)
    saved = [button.label for button in app.get("download_button")]
    assert saved == [
        "Report (HTML)",
        "Agreement (CSV)",
        "Agreement (Parquet)",
        "Differences (CSV)",
        "Every picture (Parquet)",
    ]


def test_a_contaminated_metric_is_marked(home, starts):
    source = home / "open" / "kadid.csv"
    source.write_bytes(as_csv(messy().assign(topiq_fr=lambda frame: frame["MOS"])))
    app = opened(job=finished(home, source, scores="mos"))
    assert "topiq_fr was made with human scores of KADID-10k, the set judged here" in texts(app)
    assert "trust psnr" in app.subheader[1].value


def test_calibrating_starts_a_run_that_takes_the_scores_over(home, starts):
    source = home / "open" / "study.csv"
    source.write_bytes(as_csv(messy()))
    app = opened(job=finished(home, source, scores="mos"))
    labelled(app.text_input, "Its name").set_value("Not A Name")
    labelled(app.button, "Calibrate").click().run()
    assert "expected a name of small letters" in texts(app)
    labelled(app.text_input, "Its name").set_value("from_people")
    labelled(app.button, "Calibrate").click().run()
    words = starts[0][1]
    assert words[:2] == [str(source), "--scores=mos"]
    assert words[2:4] == ["--calibrate=from_people", "--calibrate-on=metrics"]
    assert words[4].startswith("--reuse=")
    assert len(words) == 5


def test_the_card_of_a_calibrated_metric_is_shown(home, starts):
    source = home / "open" / "study.csv"
    source.write_bytes(as_csv(messy()))
    app = opened(job=finished(home, source, scores="mos", calibrate="from_people"))
    told = texts(app)
    assert "from_people is now a metric" in told.replace("*", "")
    numbers = {metric.label: float(metric.value) for metric in app.metric}
    assert numbers["SRCC on contents left out"] > 0.7
    assert abs(numbers["With shuffled scores"]) < 0.5
    assert "What more scores would bring" in told


def test_a_run_without_a_result_says_so(home, starts):
    app = uploaded(("scores.csv", as_csv(messy())))
    app.button(key="compare_metrics_people_start").click().run()
    assert "There is no result: the run ended before it had one." in texts(app)
    assert "Take it with you" not in texts(app)


def test_a_damaged_result_is_told(home, starts):
    source = home / "open" / "study.csv"
    source.write_bytes(as_csv(messy()))
    name = finished(home, source, scores="mos")
    (jobs.workspace_folder("jobs") / name / "results" / "agreement.parquet").write_bytes(b"no table")
    assert "holds no readable result" in texts(opened(job=name))
