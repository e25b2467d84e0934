"""Audit data set, run by Streamlit's own test tool: planning, every view of a finished audit, and wrong requests."""

import io
import json
import shutil
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

from deconv_core import jobs
from deconv_core.audit.checks import CHECKS
from deconv_core.audit.review import (
    Review,
    Threshold,
    draw_surprise,
    read_thresholds,
    read_weights,
    save_thresholds,
    save_weights,
)
from deconv_core.audit.run import AuditSettings, run_audit
from deconv_core.audit.table import AuditTable
from pages.ui.audit_plan import Plan
from pages.ui.cached import AuditTables
from pages.ui.job_panel import progress_words
from pages.ui.training_data import Source

ROOT = Path(__file__).resolve().parent.parent
AUDIT = "pages/audit_dataset.py"
WICKED = "<b>wild [name](http) *$x^2$* :smile:.png"


def png(pixels) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.asarray(pixels, np.uint8)).save(file, "PNG")
    return file.getvalue()


def patches(generator) -> np.ndarray:
    """A sharp picture with little noise, which hardly any check flags."""
    pixels = np.zeros((96, 96, 3)) + generator.integers(60, 190, 3)
    for _ in range(24):
        top, left = generator.integers(0, 88, 2)
        height, width = generator.integers(8, 40, 2)
        pixels[top : top + height, left : left + width] = generator.integers(20, 236, 3)
    return np.clip(pixels + generator.normal(0, 2, pixels.shape), 0, 255).astype(np.uint8)


def fill(folder: Path) -> None:
    """Thirty good ones, six dark ones, a copy, a file cut short, one with a wicked name."""
    folder.mkdir(parents=True)
    generator = np.random.default_rng(3)
    for number in range(36):
        pixels = patches(generator)
        is_dark = number >= 30
        name = f"{'dark' if is_dark else 'good'}_{number:02d}.png"
        (folder / name).write_bytes(png(pixels // 12 if is_dark else pixels))
    (folder / "z_copy.png").write_bytes((folder / "good_00.png").read_bytes())
    (folder / "z_short.png").write_bytes((folder / "good_01.png").read_bytes()[:200])
    (folder / WICKED).write_bytes((folder / "dark_30.png").read_bytes() + b"\0")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A workspace with a set and a finished audit of it, to be copied by each test."""
    place = tmp_path_factory.mktemp("audited")
    fill(place / "data" / "set")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DECONV_HOME", str(place))
        checks = tuple(key for key in CHECKS if key not in ("low_quality", "reconstruction"))  # patches are hard
        settings = AuditSettings(str(place / "data" / "set"), checks=checks, model="photo_small")
        run_audit(settings, place / "jobs" / "20260102-030405-audit-a")
    return place


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("DECONV_HOME", str(tmp_path))
    monkeypatch.delenv("DECONV_DATA_ROOTS", raising=False)
    return tmp_path


@pytest.fixture
def folder(finished, home):
    """The job folder of the finished audit, in a workspace of its own; its pictures stay where they were."""
    target = home / "jobs" / "20260102-030405-audit-a"
    shutil.copytree(finished / "jobs" / target.name, target)
    (target / "command.json").write_text(
        json.dumps({"kind": "audit", "name": WICKED, "arguments": ["audit", "set"], "created": 1.7e9})
    )
    return target


@pytest.fixture
def starts(monkeypatch, folder):
    """What the page would have started, instead of processes."""
    asked = []

    def start(kind, arguments, *, name):
        asked.append((kind, list(arguments), name))
        return folder

    monkeypatch.setattr(jobs, "start", start)
    return asked


def opened(**query: str) -> AppTest:
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=300).run()
    app.switch_page(AUDIT)
    for name, value in query.items():
        app.query_params[name] = value
    return app.run()


def shown(folder: Path, view: str) -> AppTest:
    app = opened(job=folder.name, view=view)
    assert not app.exception
    assert app.title[0].value == "Audit data set"
    return app


def numbers(app: AppTest) -> dict[str, str]:
    return {metric.label: metric.value for metric in app.metric}


def texts(app: AppTest) -> str:
    assert not app.exception
    parts = (*app.markdown, *app.caption, *app.error)
    return "\n".join(part.value for part in parts).replace("\\", "").replace("\u2060", "")


def sent(app: AppTest, kind: str) -> list[dict]:
    """What the components of the page were given, those that have this entry."""
    found = [json.loads(part.proto.json) for part in app.get("bidi_component")]
    return [data for data in found if kind in data]


def press(app: AppTest, key: str) -> AppTest:
    app.button(key=f"audit_dataset_{key}").click().run()
    assert not app.exception
    return app


# Planning


def test_start_asks_for_the_command_that_was_chosen(home, starts):
    fill(home / "data" / "mine")
    app = opened()
    app.segmented_control(key="audit_dataset_source").set_value("server").run()
    app.text_input(key="audit_dataset_place").set_value(str(home / "data" / "mine")).run()
    assert "39 pictures found" in texts(app)
    app.selectbox(key="audit_dataset_model").set_value("").run()
    checks = [key for key in CHECKS if CHECKS[key].family == "light"]
    app.pills(key=f"audit_dataset_checks_light_{len(checks)}").set_value(["dark"]).run()
    app.text_input(key="audit_dataset_include").set_value("*.png").run()
    press(app, "start")
    [(kind, words, name)] = starts
    assert kind == "audit"
    assert words[0] == str(home / "data" / "mine")
    assert "--within-roots" in words
    assert "--include=*.png" in words
    assert not [word for word in words if word.startswith("--model")]
    [chosen] = [word for word in words if word.startswith("--checks=")]
    assert "dark" in chosen
    assert "low_contrast" not in chosen
    assert {"--wait-turn", "--low-priority"} <= set(words)
    assert name == "mine"


def test_an_upload_is_audited_within_the_roots_too(home):
    uploaded = Plan(Source(str(home / "data" / "abc"), "3 uploaded pictures", [home / "data" / "abc"]), tuple(CHECKS))
    assert "--within-roots" in uploaded.words()


def test_nobody_may_name_a_scheduler(home, starts, monkeypatch):
    app = opened()
    assert not [box for box in (*app.text_input, *app.checkbox) if "cluster" in box.label or "Dask" in box.label]
    monkeypatch.setenv("DASK_SCHEDULER_ADDRESS", "tcp://scheduler:8786")
    for ticked in (True, False):
        app = opened()
        box = app.checkbox(key="audit_dataset_cluster")
        assert "scheduler" in box.label
        box.set_value(ticked).run()
        press(app, "start")
    asked = [[word for word in words if "scheduler" in word] for _, words, _ in starts]
    assert asked == [[], ["--scheduler=threads"]]


def test_a_model_whose_checks_are_left_out_is_not_run(home):
    source = Source("samples", "Bundled photographs")
    cheap = tuple(key for key in CHECKS if not CHECKS[key].needs_model)
    for checks, expected in ((cheap, []), ((*cheap, "reconstruction"), ["--model=photo_small"])):
        words = Plan(source, checks, model="photo_small", quality="deconv_quality").words()
        assert [word for word in words if word.startswith(("--model", "--quality"))] == expected


def test_all_checks_and_a_model_are_what_is_usual(home, starts):
    app = opened()
    assert app.table[0].value["Check"].tolist() == [row.label for row in CHECKS.values() if row.key != "low_quality"]
    press(app, "start")
    [(_, words, _)] = starts
    assert words[:2] == ["samples", "--model=photo_large"]


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("/etc", "May be opened here"),
        ("{home}/data/empty", "holds no picture"),
        ("{home}/data/none", "neither a folder"),
        ("{home}/data/notes.txt", "of no known kind"),
        ("file:///etc/passwd", "not an address that can be read"),
        ("https://", "not an address that can be read"),
    ],
)
def test_wrong_sources_are_one_clear_sentence(home, place, words):
    (home / "data" / "empty").mkdir(parents=True)
    (home / "data" / "notes.txt").write_text("nothing")
    app = opened()
    app.segmented_control(key="audit_dataset_source").set_value("server").run()
    app.text_input(key="audit_dataset_place").set_value(place.format(home=home)).run()
    assert len(app.error) == 1
    assert words in texts(app)
    assert "Start the audit" not in [button.label for button in app.button]


@pytest.mark.parametrize("name", ["nothing", "../data", ".queue", "\x00"])
def test_an_address_of_no_audit_is_one_clear_sentence(home, name):
    app = opened(job=name)
    assert len(app.error) == 1
    assert "is not there" in texts(app)


def test_a_run_of_another_kind_is_refused_in_one_sentence(folder):
    (folder / "command.json").write_text(json.dumps({"kind": "train", "name": "x", "arguments": []}))
    app = opened(job=folder.name)
    assert len(app.error) == 1
    assert "a training" in texts(app)


def test_a_waiting_audit_has_no_views_yet(home):
    folder = home / "jobs" / "20260102-030405-audit-new"
    (folder / "results").mkdir(parents=True)
    (folder / "command.json").write_text(json.dumps({"kind": "audit", "name": "x", "arguments": []}))
    app = opened(job=folder.name)
    assert "nothing to look at" in texts(app)
    assert not app.segmented_control


def test_progress_without_a_known_total_says_what_is_done(home):
    running = jobs.JobState(home, "audit", "x", "running", done=1234)
    assert progress_words(running) == "1,234 pictures so far, of a number not known yet"
    assert progress_words(replace(running, total=5000, seconds_left=30.0)).startswith("1,234 of 5,000 pictures, about ")


def test_an_audit_at_work_says_that_the_model_follows(folder, monkeypatch):
    (folder / "results" / "images.parquet").unlink()
    for stage, told in (("checks", True), ("model", False)):
        at_work = replace(jobs.read(folder), state="running", done=3, total=39, stage=stage, message="3 of 39")
        monkeypatch.setattr(jobs, "read", lambda _, state=at_work: state)
        app = shown(folder, "summary")
        assert ("the model comes after them" in texts(app)) == told
        assert "39 pictures so far" in texts(app)


def test_of_an_audit_at_work_one_table_is_kept_and_read_on(folder, home):
    (folder / "results" / "images.parquet").unlink()
    tables = AuditTables(max_entries=1)
    first = tables.get(folder, "one")
    assert tables.get(folder, "one") is first
    again = tables.get(folder, "another")
    assert again is not first
    assert again._rows.parts
    assert all(part is first._rows.parts[name] for name, part in again._rows.parts.items())
    other = home / "jobs" / "20260103-000000-audit-b"
    shutil.copytree(folder, other)
    tables.get(other, "its own")
    assert tables.get(folder, "another") is not again  # only so many are kept


def test_a_table_that_takes_long_to_read_holds_up_no_other_audit(home, monkeypatch):
    began, go_on = threading.Event(), threading.Event()

    def reading(folder, *_):
        if folder.name == "slow":
            began.set()
            go_on.wait(60)
        return folder

    monkeypatch.setattr("deconv_core.audit.table.AuditTable", reading)
    tables = AuditTables()
    slow, other = (threading.Thread(target=tables.get, args=(home / name, "token")) for name in ("slow", "other"))
    slow.start()
    assert began.wait(30)
    other.start()
    other.join(20)
    is_held_up = other.is_alive()
    go_on.set()
    slow.join()
    other.join()
    assert not is_held_up


# Views


def test_summary_tells_how_many_and_what_is_wrong(folder):
    app = shown(folder, "summary")
    found = numbers(app)
    assert (found["Pictures"], found["Cannot be read"]) == ("39", "1")
    assert "39 pictures; " in texts(app)
    assert "**Dark** 7 (18 %)" in texts(app)
    assert "**Exact duplicate** 1 (2.6 %)" in texts(app)
    assert "Nothing found for: " in texts(app)
    assert "earlier version" not in texts(app)
    assert app.dataframe[0].value["File"].tolist() == ["z_short.png"]
    for data in sent(app, "tiles"):
        assert 1 <= len(data["tiles"]) <= 4
    assert WICKED not in "\n".join(part.value for part in (*app.markdown, *app.caption))


def test_summary_says_how_good_the_set_is(folder):
    app = shown(folder, "summary")
    table = AuditTable(folder)
    assert numbers(app)["Median quality risk"] == f"{np.median(table.numbers['quality_risk']):.0f} of 100"
    assert "Half of the pictures have a quality risk of" in texts(app)


def test_a_set_with_nothing_readable_is_summed_up_without_numbers_of_quality(home):
    data = home / "data" / "broken"
    data.mkdir(parents=True)
    (data / "none.png").write_bytes(b"nothing")
    job = home / "jobs" / "20260104-000000-audit-d"
    run_audit(AuditSettings(str(data), checks=("dark", "low_quality"), quality="deconv_quality"), job)
    app = shown(job, "summary")
    assert numbers(app)["Cannot be read"] == "1"
    assert "Median predicted quality" not in numbers(app)


def test_the_risk_of_the_set_is_made_once_for_the_summary(folder, monkeypatch):
    from deconv_core.audit import risk

    made = []
    usual = risk.set_risk
    monkeypatch.setattr(risk, "set_risk", lambda *arguments: made.append(1) or usual(*arguments))
    save_thresholds(folder, {"dark": Threshold(41.5)})  # chosen by no other test: nothing is kept of it
    app = shown(folder, "summary")
    app.run()
    assert len(made) == 1


def test_one_picture_of_the_table_is_read_with_no_more_than_is_shown(folder, monkeypatch):
    asked = []
    usual = AuditTable.row
    monkeypatch.setattr(
        AuditTable, "row", lambda table, image, columns=None: asked.append(columns) or usual(table, image, columns)
    )
    app = shown(folder, "review")
    app.toggle(key="audit_dataset_closely").set_value(True).run()
    assert not app.exception
    assert asked
    assert all(columns and not {"place", "mode", "issues"} & set(columns) for columns in asked)


def test_choices_taken_over_from_an_earlier_audit_are_named(folder, home):
    earlier = home / "jobs" / "20260101-000000-audit-first"
    shutil.copytree(folder, earlier)
    save_thresholds(earlier, {"dark": Threshold(20.0)})
    note = {"folder": str(earlier), "decisions": 3}
    (folder / "results" / "taken_over.json").write_text(json.dumps(note))
    save_thresholds(folder, {"dark": Threshold(20.0)})
    for view in ("summary", "thresholds", "review"):
        assert "Taken over from the earlier audit of this set" in texts(shown(folder, view))


def test_what_an_earlier_version_measured_is_told(folder):
    path = folder / "results" / "summary.json"
    summary = json.loads(path.read_text())
    summary["recipes"]["dark"]["version"] = 0
    path.write_text(json.dumps(summary))
    assert "Measured by an earlier version, which counted otherwise: dark." in texts(shown(folder, "summary"))


def test_a_summary_that_lacks_numbers_is_shown_without_them(folder):
    summary = json.loads((folder / "results" / "summary.json").read_text())
    (folder / "results" / "summary.json").write_text(json.dumps({"images": summary["images"]}))
    assert "Speed" not in numbers(shown(folder, "summary"))


def test_an_issue_that_affects_most_of_the_set_is_shown(folder):
    save_thresholds(folder, {"dark": Threshold(250.0)})
    app = shown(folder, "summary")
    assert "Most of the set is affected by" in texts(app)
    assert "**Dark** 38 (97 %)" in texts(app)
    assert "Flagged below 250 of 255. The usual threshold is below 80 of 255." in texts(app)


def test_show_all_opens_the_gallery_with_this_issue(folder):
    app = press(shown(folder, "summary"), "all_dark")
    assert app.query_params["view"] == "gallery"
    assert app.selectbox(key="audit_dataset_issue").value == "dark"
    [grid] = sent(app, "tiles")
    assert len(grid["tiles"]) == 7
    assert {"Dropped"}.isdisjoint(tile["mark"] for tile in grid["tiles"])


def test_a_threshold_is_saved_counted_and_reset(folder):
    app = shown(folder, "thresholds")
    app.selectbox(key="audit_dataset_check").set_value("dark").run()
    assert numbers(app)["Flagged"] == "7 (18 %)"
    app.slider(key="audit_dataset_threshold_value_dark").set_value(0.0).run()
    assert numbers(app)["Flagged"] == "0"
    assert read_thresholds(folder)["dark"].value == 0
    assert "No picture is flagged." in texts(app)
    assert not sent(app, "tiles")
    app = shown(folder, "summary")  # another visit
    assert "dark," in texts(app).partition("Nothing found for: ")[2] + ","
    app = shown(folder, "thresholds")
    app.selectbox(key="audit_dataset_check").set_value("dark").run()
    press(app, "reset")
    assert numbers(app)["Flagged"] == "7 (18 %)"
    assert read_thresholds(folder) == {}


def test_the_threshold_filters_the_gallery_of_both_sides(folder):
    app = shown(folder, "thresholds")
    app.selectbox(key="audit_dataset_check").set_value("dark").run()

    def gallery() -> list[str]:
        return [tile["key"] for data in sent(app, "tiles") for tile in data["tiles"]]

    dark = [name for name in AuditTable(folder).names.to_pylist() if "dark" in name or name == WICKED]
    assert sorted(gallery()) == sorted(dark)
    app.segmented_control(key="audit_dataset_side").set_value("passed").run()
    assert len(gallery()) == 31  # all but those and the one that cannot be read
    app.slider(key="audit_dataset_threshold_value_dark").set_value(0.0).run()
    assert len(gallery()) == 38
    values = AuditTable(folder).numbers["dark"].to_numpy()
    table = AuditTable(folder)
    assert [table.place(name) for name in gallery()[:3]] == np.argsort(values, kind="stable")[:3].tolist()
    app.segmented_control(key="audit_dataset_side_order").set_value("worst").run()
    assert len(gallery()) == 38


def test_a_threshold_can_be_set_by_the_share_of_pictures(folder):
    app = shown(folder, "thresholds")
    app.selectbox(key="audit_dataset_check").set_value("blurry").run()
    app.segmented_control(key="audit_dataset_way").set_value("share").run()
    app.slider(key="audit_dataset_threshold_share_blurry").set_value(50.0).run()
    assert not app.exception
    saved = read_thresholds(folder)["blurry"]
    assert saved.percent == 50
    assert app.slider(key="audit_dataset_threshold_share_blurry").value == 50
    flagged = AuditTable(folder).flagged("blurry", saved.value).sum()
    assert 15 <= flagged <= 19
    press(app, "reset_all")
    assert read_thresholds(folder) == {}


def test_the_share_shown_is_that_of_these_pictures(folder):
    table = AuditTable(folder)
    save_thresholds(folder, {"blurry": Threshold(table.threshold_at("blurry", 40), 5.0)})  # 5 % when there were fewer
    app = shown(folder, "thresholds")
    app.selectbox(key="audit_dataset_check").set_value("blurry").run()
    app.segmented_control(key="audit_dataset_way").set_value("share").run()
    assert 35 <= app.slider(key="audit_dataset_threshold_share_blurry").value <= 45


def test_gallery_sorts_filters_and_pages(folder):
    app = shown(folder, "gallery")
    [grid] = sent(app, "tiles")
    assert len(grid["tiles"]) == 39
    assert grid["tiles"][0]["label"].startswith("risk ")
    app.selectbox(key="audit_dataset_sort").set_value("dark").run()
    first = sent(app, "tiles")[0]["tiles"][0]
    assert first["hint"].startswith(("dark_", "<b>wild"))
    app.selectbox(key="audit_dataset_order").set_value("last").run()
    assert sent(app, "tiles")[0]["tiles"][0]["hint"].startswith("good_")
    app.text_input(key="audit_dataset_text").set_value("wild").run()
    [tile] = sent(app, "tiles")[0]["tiles"]
    assert tile["hint"] == WICKED  # data: the component never reads it as HTML
    app.text_input(key="audit_dataset_text").set_value("nothing like it").run()
    assert "No picture is like that" in texts(app)


def test_points_are_saved_with_the_set_and_count_in_every_view(folder):
    usual = [tile["key"] for tile in sent(shown(folder, "gallery"), "tiles")[0]["tiles"]]
    save_weights(folder, dict.fromkeys(CHECKS, 0.0) | {"exact_duplicate": 60.0})
    app = shown(folder, "gallery")
    assert sent(app, "tiles")[0]["tiles"][0]["key"] == "z_copy.png"
    app.session_state["audit_dataset_chosen"] = "z_copy.png"
    app.run()
    assert "**Quality risk 60 of 100**" in texts(app)
    assert sent(shown(folder, "review"), "cards")[0]["cards"][0]["key"] == "z_copy.png"  # riskiest first
    app = press(shown(folder, "gallery"), "weights_reset")
    assert read_weights(folder) == {}
    assert [tile["key"] for tile in sent(app, "tiles")[0]["tiles"]] == usual
    assert usual[0] != "z_copy.png"


def test_what_was_chosen_for_one_audit_does_not_reach_the_next(folder, home):
    other = home / "jobs" / "20260103-000000-audit-b"
    shutil.copytree(folder, other)
    save_weights(folder, {"dark": 1.0})
    app = shown(folder, "gallery")
    app.selectbox(key="audit_dataset_sort").set_value("dark").run()
    app.text_input(key="audit_dataset_text").set_value("wild").run()
    assert len(sent(app, "tiles")[0]["tiles"]) == 1
    app.query_params["job"], app.query_params["view"] = other.name, "gallery"
    app.run()
    assert app.text_input(key="audit_dataset_text").value == ""
    assert app.selectbox(key="audit_dataset_sort").value == "quality_risk"
    assert len(sent(app, "tiles")[0]["tiles"]) == 39
    assert not [button for button in app.button if button.key == "audit_dataset_weights_reset"]


def test_one_picture_shows_its_evidence_and_its_neighbour(folder):
    app = shown(folder, "gallery")
    app.session_state["audit_dataset_chosen"] = "z_copy.png"
    app.run()
    [view] = sent(app, "pictures")
    labels = [picture["label"] for picture in view["pictures"]]
    assert labels[:2] == ["This picture", "Earlier one: the same bytes"]
    assert view["pictures"][1]["caption"] == "good_00.png"
    assert "**Exact duplicate**: The same bytes as good_00.png." in texts(app)
    assert CHECKS["exact_duplicate"].rule in texts(app)
    assert "Error map of the model" in labels
    app.segmented_control(key="audit_dataset_decision").set_value("drop").run()
    assert Review(folder).decisions == {"z_copy.png": "drop"}
    press(app, "close")
    assert {tile["key"]: tile["mark"] for tile in sent(app, "tiles")[0]["tiles"]}["z_copy.png"] == "Dropped"


def test_values_stand_beside_their_percentile_in_the_set(folder):
    app = shown(folder, "gallery")
    app.session_state["audit_dataset_chosen"] = "good_05.png"
    app.run()
    rows = app.table[0].value.set_index("Check")["Percentile here"]
    table = AuditTable(folder)
    dark = table.numbers["dark"].to_numpy()
    share = 100 * np.mean(dark[np.isfinite(dark)] <= dark[table.place("good_05.png")])
    assert rows["Dark"] == f"{share:.0f}"
    assert rows["Exact duplicate"] == "–"
    bundled = app.table[0].value.set_index("Check")["In the reference set"]
    assert 0 <= int(bundled["Dark"]) <= 100
    assert bundled["Odd size"] == "–"  # of this set alone


def test_a_picture_that_changed_is_shown_as_changed(folder, home):
    data = home / "data" / "copied"
    shutil.copytree(json.loads((folder / "settings.json").read_text())["data"], data)
    job = home / "jobs" / "20260104-000000-audit-c"
    run_audit(AuditSettings(str(data), checks=("dark",)), job)
    (data / "good_07.png").write_bytes(png(patches(np.random.default_rng(99))))
    app = shown(job, "gallery")
    marks = {tile["key"]: tile["mark"] for tile in sent(app, "tiles")[0]["tiles"]}
    assert marks["good_07.png"] == "Changed since"
    assert marks["good_08.png"] == ""
    app.session_state["audit_dataset_chosen"] = "good_07.png"
    app.run()
    assert "it has changed since the audit" in texts(app)


def test_what_cannot_be_read_shows_its_reason_instead(folder):
    app = shown(folder, "gallery")
    app.session_state["audit_dataset_chosen"] = "z_short.png"
    app.run()
    assert "**Unreadable or cut short**: " in texts(app)
    assert not sent(app, "pictures")


def test_review_goes_through_the_riskiest_and_remembers(folder):
    app = shown(folder, "review")
    [desk] = sent(app, "cards")
    assert desk["total"] == AuditTable(folder).summary["flagged"]
    assert [choice["key"] for choice in desk["choices"]] == ["k", "d", "u"]
    assert all(card["facts"] for card in desk["cards"])
    Review(folder).decide(desk["cards"][0]["key"], "keep")
    app.run()
    [again] = sent(app, "cards")
    assert again["cards"][0]["decision"] == "keep"
    assert "1 kept, 0 dropped" in app.get("progress")[0].proto.text
    app.toggle(key="audit_dataset_open").set_value(True).run()
    assert sent(app, "cards")[0]["total"] == desk["total"] - 1


def test_surprise_me_draws_passes_and_estimates_what_was_missed(folder):
    app = shown(folder, "review")
    app.selectbox(key="audit_dataset_queue").set_value("surprise").run()
    press(app, "draw")
    [desk] = sent(app, "cards")
    table = AuditTable(folder)
    passes = {name for name in table.names.to_pylist() if not table.row(name)["issues"]}
    assert {card["key"] for card in desk["cards"]} <= passes
    assert "the estimate stands here" in texts(app)
    review = Review(folder)
    review.decide(desk["cards"][0]["key"], "drop")
    review.decide(desk["cards"][1]["key"], "keep")
    app.run()
    assert numbers(app)["Missed, estimated"] == "50.0%"
    assert numbers(app)["95 % interval"] == "1.3% to 98.7%"  # Clopper and Pearson for 1 of 2


def test_an_estimate_does_not_outlive_its_thresholds(folder):
    drawn = draw_surprise(folder, AuditTable(folder), 6)
    Review(folder).decide(drawn[0], "drop")
    app = shown(folder, "review")
    app.selectbox(key="audit_dataset_queue").set_value("surprise").run()
    assert "Missed, estimated" in numbers(app)
    save_thresholds(folder, {"dark": Threshold(20.0)})
    app = shown(folder, "review")
    app.selectbox(key="audit_dataset_queue").set_value("surprise").run()
    assert "Missed, estimated" not in numbers(app)
    assert any("draw others" in told.value for told in app.warning)


def test_two_audits_are_compared_in_plain_words(finished, folder, home):
    other = home / "jobs" / "20260101-000000-audit-b"
    (home / "darker").mkdir()
    for path in sorted((finished / "data" / "set").glob("good_*.png"))[:12]:
        (home / "darker" / path.name).write_bytes(png(np.asarray(Image.open(path)) // 4))
    run_audit(AuditSettings(str(home / "darker"), model="photo_small", max_side=64), other)
    app = shown(folder, "compare")
    assert "The two sets differ in" in texts(app)
    assert "12 " in texts(app)
    pairs, shares = (found.value for found in app.table[:2])
    dark = pairs.set_index("What").loc["Dark \\(of 255\\)"]  # escaped for the screen
    # From the darker set to this one all twelve have become lighter.
    assert dark["Better, worse, same"] == "12, 0, 0"
    assert dark["Flags gone, new"] == "12, 0"
    assert "Dark" in shares["Issue"].tolist()
    assert "Reconstruction outlier" not in "".join(pairs["What"])
    assert "64" in texts(app)  # the working size of the model was another one, and so it is said
    [chart] = app.get("plotly_chart")
    assert [trace["name"] for trace in json.loads(chart.proto.spec)["data"]] == ["First set", "This set"]


def test_alone_an_audit_cannot_be_compared(folder):
    assert "no other audit" in texts(shown(folder, "compare"))


def test_export_counts_and_offers_every_file(folder):
    Review(folder).decide("good_05.png", "drop")
    app = shown(folder, "export")
    flagged = AuditTable(folder).summary["flagged"]
    assert numbers(app)["Bad"].startswith(f"{flagged + 1} ")
    assert "1 drop" in texts(app)
    assert [button.label for button in app.get("download_button")] == [
        *("Clean list", "Bad list", "CSV", "Recipes", "Parquet", "Move script", "HTML report")
    ]
    assert f"It moves {flagged + 1} bad pictures" in texts(app)
    app.pills(key="audit_dataset_bad_checks").set_value([]).run()
    assert numbers(app)["Bad"].startswith("2 ")  # the one that was dropped, and what cannot be read


def test_the_script_is_made_when_it_is_asked_for(folder, monkeypatch):
    monkeypatch.setattr("deconv_core.audit.moving.moves", lambda *_: pytest.fail("made on sight"))
    assert "Move script" in [button.label for button in shown(folder, "export").get("download_button")]


def test_a_set_that_is_gone_still_shows_what_was_found(folder, home, monkeypatch):
    settings = json.loads((folder / "settings.json").read_text())
    settings["data"] = str(home / "gone")
    (folder / "settings.json").write_text(json.dumps(settings))
    draw_surprise(folder, AuditTable(folder), 5)
    for view in ("summary", "gallery", "review", "export"):
        shown(folder, view)
