"""Judge images, run by Streamlit's own test tool: studies, names, results, the album, wrong addresses and events."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

from deconv_core import album, judging
from pages.ui.judge_pairs import _addresses, _take

ROOT = Path(__file__).resolve().parent.parent
PAGE = "pages/judge_images.py"
WICKED = "<b>wild</b> [name](http://x) :smile:"


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("DECONV_HOME", str(tmp_path))
    return tmp_path


def picture(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).random((32, 40, 3)).astype(np.float32)


def make_study(question: str = "closer") -> judging.Study:
    conditions = [("jpeg", 2), ("jpeg", 4), ("gaussian_blur", 2), ("gaussian_blur", 4)]
    contents = [(WICKED, picture(1)), ("second", picture(2))]
    return judging.create_study(WICKED, contents, conditions, question=question, num_trials=16)


def judge_all(study: judging.Study, name: str) -> None:
    """The milder one is preferred; pairs with a known answer are answered rightly."""
    for number, trial in enumerate(judging.start_judge(study, name).trials):
        left, right = (study.stimuli[key].severity for key in (trial.left, trial.right))
        judging.record_answer(study, name, number, "left" if left <= right else "right", 2.0)


def opened(**query: str) -> AppTest:
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=200).run()
    app.switch_page(PAGE)
    app.session_state["judge_images_metrics"] = ["psnr", "ssim"]  # without a network, for speed
    for name, value in query.items():
        app.query_params[name] = value
    return app.run()


def texts(app: AppTest) -> str:
    return " ".join(element.value for kind in (app.markdown, app.caption, app.subheader) for element in kind)


def test_a_study_is_made_judged_under_a_name_and_left(home):
    app = opened()
    assert app.title[0].value == "Judge images"
    assert "A new study" in texts(app)
    app.multiselect(key="judge_images_samples").set_value(["camera"])
    app.text_input(key="judge_images_name").set_value(WICKED)
    app.button(key="judge_images_make").click().run()
    assert not app.exception
    [study] = judging.list_studies()
    assert app.query_params["study"] == study.key
    assert study.contents == ("Cameraman (grey)",)
    [name] = [box for box in app.text_input if box.key.startswith("judge_images_judge_")]
    assert name.value == "Judge 1"
    name.set_value(WICKED)
    next(button for button in app.button if button.label == "Start judging").click().run()
    assert not app.exception
    assert app.query_params["judge"] == WICKED
    assert judging.read_progress(study, WICKED).done == 0
    assert "<b>wild" not in texts(app)  # the signs are escaped: text, not HTML
    app.button(key="judge_images_pause").click().run()
    assert "judge" not in app.query_params
    assert [button.label for button in app.button if "0 of 20" in button.label]
    app.button(key="judge_images_leave").click().run()
    assert "study" not in app.query_params
    assert app.button(key=f"judge_images_open_{study.key}")


def test_uploads_are_judged(home):
    app = opened()
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)).save(file, "PNG")
    app.file_uploader[0].set_value([("mine <b>.png", file.getvalue(), "image/png")]).run()
    app.multiselect(key="judge_images_samples").set_value([]).run()
    app.button(key="judge_images_make").click().run()
    assert not app.exception
    assert judging.list_studies()[0].contents == ("mine <b>.png",)


def test_a_study_of_nothing_is_refused_in_words(home):
    app = opened()
    app.multiselect(key="judge_images_kinds").set_value(["jpeg"])
    app.session_state["judge_images_severities"] = [2]
    app.button(key="judge_images_make").click().run()
    assert not app.exception
    assert "at least two" in app.error[0].value
    assert judging.list_studies() == []


def test_results_rank_judges_metrics_and_partings(home):
    study = make_study()
    judge_all(study, WICKED)
    app = opened(study=study.key, view="results")
    assert not app.exception
    assert not app.error
    ranking, rates, ranks = (json.loads(chart.proto.spec) for chart in app.get("plotly_chart"))
    assert "higher is preferred" in ranking["layout"]["xaxis"]["title"]["text"]
    order = ranking["layout"]["yaxis"]["ticktext"]  # from the bottom up
    assert {word.split(", ")[1] for word in order[2:]} == {"severity 2"}
    assert "higher is better" in rates["layout"]["xaxis"]["title"]["text"]
    assert "higher is better" in ranks["layout"]["xaxis"]["title"]["text"]
    judges = app.dataframe[1].value
    assert judges["Judge"].tolist() == [WICKED]
    assert judges["Known answers"].tolist() == ["2 of 2"]
    assert "agree judgements.csv --scores mos" in app.code[0].value
    assert "Where people and metrics part" in texts(app)


def test_judges_who_miss_a_known_answer_can_be_left_out(home):
    study = make_study()
    judge_all(study, "Anna")
    for number, trial in enumerate(judging.start_judge(study, "Careless").trials):
        judging.record_answer(study, "Careless", number, "right" if trial.left.endswith("_reference") else "left")
    judging.start_judge(study, "Absent")
    app = opened(study=study.key, view="results")
    assert "24 answers of 2 judges" in texts(app)
    app.toggle(key="judge_images_leave_out").set_value(True).run()
    assert "12 answers of 1 judge:" in texts(app)


def test_results_without_answers_say_what_is_missing(home):
    app = opened(study=make_study().key, view="results")
    assert "Nothing is judged yet" in texts(app)
    assert not app.get("plotly_chart")


def test_the_end_is_told_and_can_be_undone(home):
    study = make_study("better")
    judge_all(study, "Anna")
    app = opened(study=study.key, judge="Anna")
    assert "All 16 pairs are judged" in app.success[0].value
    app.button(key="judge_images_undo_last").click().run()
    assert judging.read_progress(study, "Anna").done == 15
    assert not app.success
    judging.record_answer(study, "Anna", 15, "left")
    app.run()
    app.button(key="judge_images_to_results").click().run()
    assert app.query_params["view"] == "results"
    assert "The ranking" in texts(app)


def test_a_wrong_score_goes_into_the_album_with_a_note(home):
    study = make_study()
    # The worse one is preferred everywhere, so every metric contradicts.
    for number, trial in enumerate(judging.start_judge(study, "Anna").trials):
        left, right = (study.stimuli[key].severity for key in (trial.left, trial.right))
        judging.record_answer(study, "Anna", number, "left" if left >= right else "right", 2.0)
    app = opened(study=study.key, view="results")
    app.text_area(key="judge_images_case_note").set_value(WICKED)
    next(button for button in app.button if button.label == "Put it into the album").click().run()
    assert not app.exception
    [case] = album.list_cases()
    assert (case.metric, case.note) == ("psnr", WICKED)
    assert set(case.pictures) == {"reference", "preferred", "other"}
    assert case.scores["preferred"]["psnr"] < case.scores["other"]["psnr"]
    app = opened(view="album")
    assert "Wrong scores" in texts(app)
    assert "<b>wild" not in texts(app)  # the signs are escaped: text, not HTML
    app.button(key="judge_images_album_delete").click().run()
    assert album.list_cases() == []
    assert "The album is empty" in texts(app)


@pytest.mark.parametrize("query", [{"study": "../../x"}, {"study": "20200101-000000-gone-0000", "view": "<b>"}])
def test_an_address_of_no_study_is_told_with_a_way_back(home, query):
    app = opened(**query)
    assert not app.exception
    assert "not there" in app.error[0].value
    app.button(key="judge_images_back").click().run()
    assert "A new study" in texts(app)


def test_a_study_is_deleted_after_a_second_press(home):
    study = make_study()
    app = opened(study=study.key, view="results")
    app.button(key="judge_images_delete").click().run()
    assert not app.exception
    assert judging.list_studies() == []
    assert "A new study" in texts(app)


@pytest.mark.parametrize(
    "events",
    [None, "x", {"id": 1}, [None, 3, "x", [], {}], [{"id": "1", "trial": 0, "choice": "left"}],
     [{"id": 1, "trial": "0", "choice": "left"}], [{"id": 1, "trial": 0, "choice": "middle"}],
     [{"id": 1, "trial": 7, "choice": "left"}], [{"id": 1, "trial": -1, "choice": "left"}],
     [{"id": 1, "trial": 0, "undo": True}]],
)  # fmt: skip
def test_events_that_make_no_sense_keep_nothing(home, events):
    study = make_study()
    judging.start_judge(study, "Anna")
    _take(study, "Anna", events, 0)
    assert judging.read_progress(study, "Anna").done == 0


def test_events_that_arrive_again_count_once(home):
    study = make_study()
    judging.start_judge(study, "Anna")
    events = [
        {"id": 10, "trial": 0, "choice": "left", "seconds": 1.5},
        {"id": 11, "trial": 1, "choice": "right", "seconds": float("nan")},
        {"id": 12, "trial": 1, "undo": True},
        {"id": 13, "trial": 1, "choice": "left"},
    ]
    assert _take(study, "Anna", events[:2], 0) == 11
    assert _take(study, "Anna", events, 11) == 13
    assert _take(study, "Anna", events, 13) == 13
    assert _take(study, "Anna", events, 0) == 13  # a page opened anew has forgotten what it took
    progress = judging.read_progress(study, "Anna")
    assert [answer["choice"] for answer in progress.answers] == ["left", "left"]


def test_what_the_browser_gets_betrays_nothing(home, monkeypatch):
    study = make_study()
    progress = judging.start_judge(study, "Anna")
    sent = {}
    monkeypatch.setattr("pages.ui.judge_pairs.published", lambda data, place: sent.setdefault(data, place))
    addresses = [_addresses(study, progress, number) for number in range(progress.total)]
    # Every showing is a file of its own, the perfect picture of a catch trial too, and its place names no picture.
    assert len(sent) == 3 * progress.total
    assert {place.rpartition("/")[2] for row in addresses for place in row} == {"0", "1", "2"}
    catch = next(number for number, trial in enumerate(progress.trials) if trial.kind == "catch")
    shown = list(sent)[3 * catch : 3 * catch + 3]
    pixels = [np.asarray(Image.open(io.BytesIO(data))) for data in shown]
    assert sum(np.array_equal(pixels[place], pixels[2]) for place in (0, 1)) == 1
    study = make_study("better")
    assert len(_addresses(study, judging.start_judge(study, "Anna"), 0)) == 2
