"""Compare metrics, run by Streamlit's own test tool: plans, every view of a run, addresses, and wrong requests."""

import json
import os
import shutil
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from deconv_core import jobs, relations
from deconv_core.comparison import CompareSettings, compare
from deconv_core.images import encode_png
from deconv_core.samples import photographs
from pages.ui import comparison_data, comparison_scatter
from pages.ui.job_panel import WORDS

ROOT = Path(__file__).resolve().parent.parent
COMPARE = "pages/compare_metrics.py"
NAME = "compare_metrics"
WICKED = "<b>wild *[name](x)*.png"
VIEWS = ("scatter", "correlations", "disagreements", "severity", "laws", "download")


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """A finished run over two small pictures, one of them with a wicked name."""
    place = tmp_path_factory.mktemp("compared")
    pictures = place / "pictures"
    pictures.mkdir()
    for name, pixels in zip(("a.png", WICKED), photographs(2, 96), strict=True):
        (pictures / name).write_bytes(encode_png(pixels))
    settings = CompareSettings(
        str(pictures), metrics=("psnr", "ssim", "gmsd"), severities=(1, 3, 5),
        distortions=("gaussian_blur", "jpeg", "white_noise", "brightness"),
    )  # fmt: skip
    compare(settings, place / "20260102-030405-compare-small")
    return place / "20260102-030405-compare-small"


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("DECONV_HOME", str(tmp_path))
    monkeypatch.delenv("DECONV_DATA_ROOTS", raising=False)
    (tmp_path / "jobs").mkdir()
    return tmp_path


@pytest.fixture
def run(home, finished) -> Path:
    """The finished run in a workspace of its own."""
    return Path(shutil.copytree(finished, home / "jobs" / finished.name))


@pytest.fixture
def starts(monkeypatch, run):
    """What the page would have started, instead of processes."""
    asked = []

    def start(kind, arguments, *, name):
        asked.append((kind, list(arguments), name))
        return run

    monkeypatch.setattr(jobs, "start", start)
    return asked


def opened(**query: str) -> AppTest:
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=300).run()
    app.switch_page(COMPARE)
    for name, value in query.items():
        app.query_params[name] = value
    return app.run()


def texts(app: AppTest) -> str:
    assert not app.exception
    return "\n".join(part.value for part in (*app.markdown, *app.caption, *app.error)).replace("\\", "")


@pytest.mark.parametrize("view", ["correlations", "disagreements"])
def test_a_large_run_says_that_a_part_of_it_is_related(run, monkeypatch, view):
    words = "those of 1 of the 2 pictures (12 of 24 candidates), drawn by the seed."
    assert words not in texts(opened(job=run.name, view=view))
    monkeypatch.setattr(relations, "MOST_ROWS", 12)
    assert words in texts(opened(job=run.name, view=view))


def numbers(app: AppTest) -> dict[str, str]:
    return {metric.label: metric.value for metric in app.metric}


# Planning a run


def test_the_plan_counts_candidates_and_starts_what_was_chosen(home, starts):
    app = opened()
    assert app.title[0].value == "Compare metrics"
    assert numbers(app)["Candidates"] == "800"
    app.multiselect(key=f"{NAME}_metrics").set_value(["psnr", "gmsd"])
    app.button_group(key=f"{NAME}_kinds").set_value(["jpeg", "webp"])
    app.button_group(key=f"{NAME}_severities").set_value([5, 2])
    app.number_input(key=f"{NAME}_samples_images").set_value(3).run()
    assert numbers(app)["Candidates"] == "12"
    assert numbers(app)["Time"].startswith("about ")
    assert "3 pictures × 2 distortions × 2 severities, each judged by 2 metrics" in texts(app)
    app.text_input(key=f"{NAME}_samples_name").set_value("--out Evil")
    app.button(key=f"{NAME}_start").click().run()
    [(kind, words, name)] = starts
    assert (kind, name) == ("compare", "out Evil")
    told = dict(pairwise(words))
    assert (told["--data"], told["--metrics"], told["--distortions"]) == ("samples", "psnr,gmsd", "jpeg,webp")
    assert (told["--severities"], told["--max-images"], told["--seed"]) == ("2,5", "3", "0")
    assert "--model" not in words  # none of the metrics uses it
    assert "--out" not in words


@pytest.mark.parametrize(
    ("widget", "missing"), [("metrics", "one metric"), ("kinds", "one distortion"), ("severities", "one severity")]
)
def test_nothing_chosen_is_one_sentence_and_no_start(home, widget, missing):
    app = opened()
    chooser = app.multiselect if widget == "metrics" else app.button_group
    chooser(key=f"{NAME}_{widget}").set_value([]).run()
    assert f"Choose at least {missing}" in texts(app)
    assert "Start comparing" not in [button.label for button in app.button]


def test_a_folder_without_pictures_is_said(home):
    (home / "empty").mkdir()
    app = opened()
    app.segmented_control(key=f"{NAME}_source").set_value("server").run()
    app.text_input(key=f"{NAME}_place").set_value(str(home / "empty")).run()
    assert "There is no picture that can be read" in texts(app)
    assert "Start comparing" not in [button.label for button in app.button]


# Looking at a run


@pytest.mark.parametrize("view", VIEWS)
def test_every_view_of_a_finished_run_is_drawn_and_kept_in_the_address(run, view):
    app = opened(job=run.name, view=view)
    assert not app.error
    assert "24 candidates: 2 pictures, 4 distortions, severities 1, 3, 5" in texts(app)
    assert "ignored" not in texts(app)
    assert WICKED not in "\n".join(part.value for part in (*app.markdown, *app.caption))
    assert app.query_params["view"] == view
    assert app.query_params["job"] == run.name


def test_the_address_brings_back_the_view(run):
    app = opened(job=run.name, view="scatter", x="gmsd", y="ssim", pick="16")
    assert app.selectbox(key=f"{NAME}_x").value == "gmsd"
    assert app.selectbox(key=f"{NAME}_y").value == "ssim"
    assert [heading.value for heading in app.subheader][-1] == "a\\.png, JPEG 3"
    scores = app.table[0].value
    assert scores["Metric"].tolist() == ["PSNR", "SSIM", "GMSD"]
    assert scores["Score"].iloc[0].endswith("dB")
    assert all(0 <= float(value) <= 100 for value in scores["This run"])
    assert {name: app.query_params[name] for name in ("x", "y", "pick")} == {"x": "gmsd", "y": "ssim", "pick": "16"}


def test_a_wrong_address_is_ignored_and_said(run):
    app = opened(job=run.name, view="pie", x="../etc", pick="99999", of="<b>")
    assert "ignored: view, x, of, pick" in texts(app)
    assert app.segmented_control(key=f"{NAME}_view").value == "scatter"


def test_the_scatter_marks_row_numbers_and_names_its_axes(run):
    app = opened(job=run.name, view="scatter", x="psnr", y="gmsd")
    figure = json.loads(app.get("plotly_chart")[0].proto.spec)
    assert "PSNR (dB), higher is better" in figure["layout"]["xaxis"]["title"]["text"]
    assert "lower is better" in figure["layout"]["yaxis"]["title"]["text"]
    rows = [point[0] for trace in figure["data"] for point in trace["customdata"]]
    assert sorted(rows) == list(range(24))


def test_correlations_over_everything_and_by_distortion(run):
    app = opened(job=run.name, view="correlations", metric="gmsd")
    assert "orders these pictures most like" in texts(app)
    assert len(app.dataframe[0].value) == 3
    app.segmented_control(key=f"{NAME}_by").set_value("distortion").run()
    assert app.dataframe[0].value["Distortion"].tolist().count("JPEG") == 1
    assert len(app.dataframe[0].value) == 4
    assert app.query_params["by"] == "distortion"


def test_a_disagreement_opens_and_closes(run):
    app = opened(job=run.name, view="disagreements", x="psnr", y="gmsd", order="order")
    app.toggle(key=f"{NAME}_one").set_value(False).run()
    before = texts(app)
    assert "**GMSD**: A " in before
    app.button(key=f"{NAME}_open_0").click().run()
    assert "Choose what the two sides of the viewer show" in texts(app)
    assert app.query_params["place"] == "1"
    app.button(key=f"{NAME}_back").click().run()
    assert texts(app) == before
    app.button(key=f"{NAME}_swap").click().run()
    assert app.selectbox(key=f"{NAME}_y").value == "psnr"


def test_one_metric_twice_is_one_sentence(run):
    app = opened(job=run.name, view="disagreements", x="psnr", y="psnr")
    assert "one metric twice" in texts(app)


def test_laws_are_told_for_every_metric(run):
    app = opened(job=run.name, view="laws")
    laws = app.dataframe[0].value
    assert laws["Metric"].tolist() == ["PSNR", "SSIM", "GMSD"]
    assert laws["Identity"].tolist() == ["✓ holds"] * 3
    assert all(words.endswith(" of 16") for words in laws["Here"])


def test_downloads_name_the_command_and_the_report(run):
    write_state(run, "finished")
    app = opened(job=run.name, view="download")
    labels = [button.label for button in app.get("download_button")]
    assert labels == ["CSV", "Parquet", "JSON", "Report (HTML)"]
    assert f"python -m deconv_core compare --data samples --out {run}" in [code.value for code in app.code]


# States of a run


def test_a_run_that_has_not_begun_says_what_follows(home):
    folder = home / "jobs" / "20260102-030405-compare-new"
    folder.mkdir()
    write_state(folder, "running")
    app = opened(job=folder.name)
    assert "Results follow after the first candidates" in texts(app)
    assert "Stop this run" in [button.label for button in app.button]


def test_a_run_at_work_shows_what_is_there(run):
    for file in ("scores.parquet", "summary.json", "correlations.parquet", "report.html"):
        (run / "results" / file).unlink()
    write_state(run, "running")
    app = opened(job=run.name, view="correlations")
    assert "Shown below: the 24 candidates that are scored so far" in texts(app)
    assert "agree most" in texts(app)
    app.segmented_control(key=f"{NAME}_view").set_value("download").run()
    assert "written when the run is finished" in texts(app)


def test_a_stopped_run_without_a_candidate_says_so(home):
    folder = home / "jobs" / "20260102-030405-compare-none"
    folder.mkdir()
    write_state(folder, "stopped")
    assert "No candidate was scored" in texts(opened(job=folder.name))


def test_a_run_that_is_gone_or_of_another_kind_is_one_sentence(home):
    app = opened(job="20200101-000000-compare-gone")
    assert len(app.error) == 1
    assert "is not there" in texts(app)
    folder = home / "jobs" / "20260102-030405-train-x"
    folder.mkdir()
    write_state(folder, "finished", kind="train")
    app = opened(job=folder.name)
    assert len(app.error) == 1
    assert "is a training, and this page shows a comparison of metrics" in texts(app)


def test_a_damaged_run_is_one_sentence(run):
    (run / "results" / "scores.parquet").write_bytes(b"nothing")
    app = opened(job=run.name)
    assert len(app.error) == 1
    assert "cannot be read" in texts(app)


def test_changing_the_half_leaves_the_run(run):
    app = opened(job=run.name, view="severity")
    app.segmented_control(key=f"{NAME}_mode").set_value("people").run()
    assert not app.exception
    assert app.query_params["mode"] == "people"
    assert "job" not in app.query_params


# Parts


def test_the_chosen_points_come_checked_from_the_browser(run, monkeypatch):
    result = comparison_data.read(run)
    points = [{"customdata": data} for data in ([3, 1, "a"], [3, 1, "a"], [10**9, 1, "x"], ["5"], None, [7.5], [8])]
    state = {"plot": {"selection": {"points": points}}}
    monkeypatch.setattr(comparison_scatter.st, "session_state", state)
    comparison_scatter._take_selection(NAME, result, "plot")
    assert state[f"{NAME}_rows"] == [3, 8]
    assert f"{NAME}_pick" not in state
    state["plot"] = {"selection": {"points": points[:1]}}
    comparison_scatter._take_selection(NAME, result, "plot")
    assert state[f"{NAME}_pick"] == 3


def test_every_kind_of_job_has_words_of_its_own():
    assert set(WORDS) == set(jobs.KINDS)
    assert len({words.what for words in WORDS.values()}) == len(WORDS)
    assert WORDS["compare"].unit == "candidates"


def write_state(folder: Path, state: str, kind: str = "compare") -> None:
    """A job folder in a state; one at work belongs to this very process."""
    process = {"id": os.getpid(), "started": jobs.process_started(os.getpid())} if state == "running" else None
    command = {"kind": kind, "name": "Mine", "arguments": [kind, "--data", "samples"], "created": 1.7e9}
    (folder / "command.json").write_text(json.dumps(command))
    (folder / "status.json").write_text(
        json.dumps({"state": state, "done": 24, "total": 48, "message": "picture", "process": process})
    )


def test_the_fixture_is_a_run_of_two_pictures(finished):
    frame = comparison_data.read(finished).found.frame
    assert set(frame["image"]) == {"a.png", WICKED}
    assert np.isfinite(frame[["ssim", "gmsd"]].to_numpy()).all()
