"""Train model and Explore models, run by Streamlit's own test tool: every state a run can be in, and wrong requests."""

import io
import json
import zipfile
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from deconv_core import jobs
from deconv_core.images import encode_png
from deconv_core.models.saving import list_models, read_card

ROOT = Path(__file__).resolve().parent.parent
TRAIN, EXPLORE = "pages/train_model.py", "pages/explore_models.py"
WICKED = "<b>wild</b> [name](http://x)"


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("DECONV_HOME", str(tmp_path))
    monkeypatch.delenv("DECONV_DATA_ROOTS", raising=False)
    return tmp_path


@pytest.fixture
def starts(monkeypatch):
    """What the page would have started, instead of processes."""
    asked = []

    def start(kind, arguments, *, name):
        asked.append((kind, list(arguments), name))
        return job_folder(Path(jobs.workspace_folder("jobs")), state="finished")

    monkeypatch.setattr(jobs, "start", start)
    return asked


def job_folder(
    place: Path, *, state: str, name: str = "Mine", epochs: int = 3, model: bool = False, process=None
) -> Path:
    """A job folder as a training leaves it."""
    folder = place / f"20260102-030405-train-{state}"
    pictures = folder / "results" / "pictures"
    pictures.mkdir(parents=True)
    command = {"kind": "train", "name": name, "arguments": ["train", "--data", "samples"], "created": 1.7e9}
    status = {"state": state, "done": epochs * 10, "total": 100, "message": "epoch", "process": process}
    (folder / "command.json").write_text(json.dumps(command))
    (folder / "status.json").write_text(json.dumps(status))
    (folder / "log.txt").write_text(f"{name} begins\n")
    rows = [f"{n},{n * 10},{1 / n},{20 + n},{0.8 + n / 100},99.5" for n in range(1, epochs + 1)]
    if rows:
        text = "\n".join(["epoch,step,loss,psnr,ssim,patches_per_second", *rows, ""])
        (folder / "results" / "history.csv").write_text(text)
    rng = np.random.default_rng(0)
    for file in ("reference", "input", *(f"epoch_{n:04d}" for n in range(1, epochs + 1))):
        (pictures / f"{file}.png").write_bytes(encode_png(rng.random((16, 32, 3)).astype(np.float32)))
    if model:
        from deconv_core.models import architecture
        from deconv_core.models.saving import save_model

        card = {
            "label": name, "architecture": "article", "arguments": {"filters": 2}, "objective": "reconstruct",
            "channels": 1, "stride": 2, "code_channels": 2, "trained_on": "digits", "code_layer": "code",
            "validation": {"psnr": 23.0, "ssim": 0.83, "epoch": 3}, "measures": {}, "laws": {},
        }  # fmt: skip
        save_model(architecture("article").build(filters=2), folder / "results" / "mine.keras", card)
    return folder


def opened(page: str, **query: str) -> AppTest:
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=200).run()
    app.switch_page(page)
    for name, value in query.items():
        app.query_params[name] = value
    return app.run()


def numbers(app: AppTest) -> dict[str, str]:
    return {metric.label: metric.value for metric in app.metric}


def texts(app: AppTest) -> str:
    assert not app.exception
    return "\n".join(part.value for part in (*app.markdown, *app.caption, *app.error))


# Planning a run


def test_the_samples_are_found_and_the_cost_is_measured(home):
    app = opened(TRAIN)
    assert app.title[0].value == "Train model"
    found = numbers(app)
    assert (found["Pictures"], found["Cannot be read"], found["Steps"]) == ("10", "0", "600")
    assert found["Time"].startswith("about ")
    assert int(found["Parameters"].replace(",", "")) > 10_000
    assert "Fingerprint" in texts(app)
    assert "No run yet" in texts(app)


def test_start_asks_for_the_command_that_was_chosen(home, starts):
    app = opened(TRAIN)
    app.text_input(key="train_model_tiny_name").set_value("--out Evil").run()
    app.number_input(key="train_model_tiny_epochs").set_value(2).run()
    app.selectbox(key="train_model_tiny_loss").set_value("mse").run()
    app.button(key="train_model_start").click().run()
    [(kind, words, name)] = starts
    assert (kind, name) == ("train", "out Evil")
    told = dict(pairwise(words))
    assert (told["--data"], told["--epochs"], told["--loss"], told["--name"]) == ("samples", "2", "mse", "out-evil")
    assert words[-2:] == ["--wait-turn", "--low-priority"]
    assert "--out" not in words
    assert app.query_params["job"].endswith("train-finished")
    assert not app.exception


def test_restoring_names_its_damage(home, starts):
    app = opened(TRAIN)
    app.selectbox(key="train_model_tiny_objective").set_value("restore").run()
    app.multiselect(key="train_model_tiny_kinds").set_value(["jpeg"]).run()
    app.button(key="train_model_start").click().run()
    words = starts[0][1]
    assert words[words.index("--degradations") + 1] == "jpeg:1-4"
    assert words[words.index("--objective") + 1] == "restore"


def test_nothing_can_start_without_damage_to_undo(home, starts):
    app = opened(TRAIN)
    app.selectbox(key="train_model_tiny_objective").set_value("restore").run()
    app.multiselect(key="train_model_tiny_kinds").set_value([]).run()
    assert "needs \\-\\-degradations" in app.error[0].value
    assert "Start training" not in [button.label for button in app.button]


def test_digits_suggest_the_article_network(home):
    app = opened(TRAIN)
    app.segmented_control(key="train_model_source").set_value("digits").run()
    assert app.segmented_control(key="train_model_preset").value == "article"
    assert numbers(app)["Pictures"] == "10,000"
    assert "28 × 28" in texts(app)


def test_uploads_are_kept_in_the_workspace_and_leave_the_widget(home):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        rng = np.random.default_rng(1)
        for number in range(3):
            archive.writestr(f"in/{number}.png", encode_png(rng.random((40, 50, 3)).astype(np.float32)))
        archive.writestr("in/<b>bad.png", b"no picture")
        archive.writestr("../up.png", encode_png(rng.random((40, 50, 3)).astype(np.float32)))
    app = opened(TRAIN)
    app.segmented_control(key="train_model_source").set_value("upload").run()
    app.file_uploader[0].set_value([("mine.zip", packed.getvalue(), "application/zip")]).run()
    assert not app.exception
    assert not app.file_uploader[0].value  # what was uploaded is no longer held in memory
    if app.error:  # the archive as a whole may be refused for the entry that leads out of it
        assert "up" in app.error[0].value
        assert not list(home.rglob("*.png"))
        return
    assert numbers(app)["Pictures"] == "3"
    assert numbers(app)["Cannot be read"] == "1"
    assert len(list((home / "data").rglob("*.png"))) == 4
    assert not (home / "up.png").exists()
    app.button(key="train_model_forget").click().run()
    assert not list((home / "data").rglob("*.png"))


@pytest.mark.parametrize(
    ("place", "words"),
    [("/etc", "lies outside the folders"), ("file:///etc/passwd", "file://"), ("https://x::s3://y", "")],
)
def test_places_that_may_not_be_opened_are_refused_in_one_sentence(home, place, words):
    app = opened(TRAIN)
    app.segmented_control(key="train_model_source").set_value("server").run()
    app.text_input(key="train_model_place").set_value(place).run()
    assert not app.exception
    assert len(app.error) == 1
    assert words in app.error[0].value.replace("\\", "").replace("\u2060", "")
    assert "Start training" not in [button.label for button in app.button]


def test_a_folder_with_a_broken_picture_is_counted_and_told(home):
    folder = home / "pics"
    folder.mkdir()
    for number in range(2):
        (folder / f"{number}.png").write_bytes(encode_png(np.full((64, 64, 3), number / 2, np.float32)))
    (folder / "broken.png").write_bytes(b"nothing")
    app = opened(TRAIN)
    app.segmented_control(key="train_model_source").set_value("server").run()
    app.text_input(key="train_model_place").set_value(str(folder)).run()
    found = numbers(app)
    assert (found["Pictures"], found["Cannot be read"]) == ("2", "1")
    assert app.dataframe[0].value["File"].tolist() == ["broken.png"]


# Watching a run


def test_a_finished_run_shows_its_curves_its_model_and_publishes_it(home):
    folder = job_folder(home / "jobs", state="finished", name=WICKED, model=True)
    app = opened(TRAIN, job=folder.name)
    found = numbers(app)
    assert (found["Epoch"], found["Validation PSNR"], found["Speed"]) == ("3", "23.00 dB", "100 patches/s")
    assert "Finished" in texts(app)
    assert WICKED not in texts(app)  # only with its signs disarmed
    assert app.slider(key="train_model_epoch").value == 3
    card = read_card(folder / "results" / "mine.keras")  # the quick look was taken and stands on the card
    assert 0 <= card["capacity"]["noise_kept"] <= 1
    assert "quick" in card["laws"]["recon_pair_psnr"]
    assert "Sanity laws (a quick look)" in texts(app)
    app.text_input(key="train_model_publish_name").set_value("Published one")
    next(button for button in app.button if button.label == "Publish").click().run()
    assert "Published as" in texts(app)
    [published] = [card for card in list_models() if card["origin"] == "workspace"]
    assert (published["name"], published["label"]) == ("published-one", "Published one")
    assert published["capacity"] == card["capacity"]
    assert published["laws"] == card["laws"]
    next(button for button in app.button if button.label == "Publish").click().run()
    assert "There is a model 'published" in texts(app).replace("\\", "")


def test_the_slider_follows_the_run_until_an_earlier_epoch_is_looked_at(home):
    folder = job_folder(home / "jobs", state="stopped")
    app = opened(TRAIN, job=folder.name)
    assert app.slider(key="train_model_epoch").value == 3

    def another(number):
        picture = (folder / "results" / "pictures" / "epoch_0001.png").read_bytes()
        (folder / "results" / "pictures" / f"epoch_{number:04d}.png").write_bytes(picture)

    another(4)
    app.run()
    assert app.slider(key="train_model_epoch").value == 4
    app.slider(key="train_model_epoch").set_value(2).run()
    another(5)
    app.run()
    assert app.slider(key="train_model_epoch").value == 2
    app.slider(key="train_model_epoch").set_value(5).run()
    another(6)
    app.run()
    assert app.slider(key="train_model_epoch").value == 6


def test_a_lost_run_says_so_and_can_be_resumed(home, monkeypatch):
    folder = job_folder(home / "jobs", state="running", process={"id": 2**22 + 1, "started": "never"})
    asked = []
    monkeypatch.setattr(jobs, "resume", lambda place: asked.append(Path(place)))
    app = opened(TRAIN, job=folder.name)
    assert "**Lost**" in texts(app)
    assert "can be resumed" in texts(app)
    app.button(key="train_model_resume").click().run()
    assert asked == [folder]
    assert not app.exception


def test_a_refused_request_is_told(home, monkeypatch):
    folder = job_folder(home / "jobs", state="stopped")
    from deconv_core.errors import JobError

    def refuse(place):
        raise JobError("It cannot <b>be</b>.")

    monkeypatch.setattr(jobs, "resume", refuse)
    app = opened(TRAIN, job=folder.name)
    app.button(key="train_model_resume").click().run()
    assert app.error[0].value == "It cannot \\<b\\>be\\</b\\>\\."


def test_a_run_that_failed_early_or_is_damaged_still_shows(home):
    folder = job_folder(home / "jobs", state="failed", epochs=0)
    (folder / "results" / "history.csv").write_text("")
    app = opened(TRAIN, job=folder.name)
    assert "**Failed**" in texts(app)
    assert "There is no model to publish" in texts(app)
    (folder / "status.json").write_text("{")
    (folder / "results" / "history.csv").write_text("epoch,loss\n1,x\n")
    app.run()
    assert "Its folder is damaged" in texts(app)


def test_a_deleted_run_leaves_the_page_at_its_beginning(home):
    folder = job_folder(home / "jobs", state="stopped")
    app = opened(TRAIN, job=folder.name)
    app.button(key="train_model_delete").click().run()
    assert not folder.exists()
    assert not app.exception
    assert "job" not in app.query_params
    assert "No run yet" in texts(app)


@pytest.mark.parametrize("name", ["nothing", "../models", ".queue", "a/b", "\x00", "x" * 400])
def test_an_address_of_no_run_is_refused_in_one_sentence(home, name):
    app = opened(TRAIN, job=name)
    assert not app.exception
    assert len(app.error) == 1
    assert "is not there" in app.error[0].value


def test_all_runs_are_listed_and_open_by_a_click(home):
    for state in ("finished", "stopped", "failed"):
        job_folder(home / "jobs", state=state, name=f"{state} {WICKED}", epochs=1)
    app = opened(TRAIN)
    assert WICKED not in texts(app)
    folder = "20260102-030405-train-stopped"
    app.button(key=f"train_model_open_{folder}").click().run()
    assert app.query_params["job"] == folder
    assert "**Stopped**" in texts(app)
    app.button(key="train_model_leave").click().run()
    assert "job" not in app.query_params


def test_too_many_waiting_runs_are_refused(home, starts, monkeypatch):
    from pages.ui import job_panel

    monkeypatch.setattr(job_panel, "MAX_WAITING", 0)
    app = opened(TRAIN)
    app.button(key="train_model_start").click().run()
    assert not starts
    assert "stop one of them first" in app.error[0].value


# Explore models


def test_the_list_holds_all_models_with_their_numbers(home):
    app = opened(EXPLORE)
    assert not app.exception
    table = app.dataframe[0].value.set_index("Name")
    assert {"article", "photo_large", "photo_small"} <= set(table.index)
    assert table.loc["photo_large", "Parameters"] == 401_600
    assert table.loc["photo_large", "Code"] == 0.25
    labels = [button.label for button in app.button]
    assert "Card" in labels
    assert "Delete this model" not in labels  # it came with this software


def test_own_models_can_be_renamed_and_deleted(home):
    from deconv_core.publishing import publish

    publish(job_folder(home / "jobs", state="finished", model=True), "first", label=WICKED)
    app = opened(EXPLORE)
    assert app.selectbox(key="explore_models_chosen").value == "first"
    assert WICKED not in texts(app)
    app.text_input(key="explore_models_new_name_first").set_value("photo_large")
    app.button(key="explore_models_rename").click().run()
    assert "is a bundled model" in app.error[0].value
    app.text_input(key="explore_models_new_name_first").set_value("Second")
    app.button(key="explore_models_rename").click().run()
    assert not app.exception
    assert app.selectbox(key="explore_models_chosen").value == "second"
    assert read_card("second")["label"] == "Second"
    app.button(key="explore_models_delete").click().run()
    assert not app.exception
    assert not [card for card in list_models() if card["origin"] == "workspace"]


def test_two_models_are_compared_on_the_samples(home):
    app = opened(EXPLORE)
    app.segmented_control(key="explore_models_tab").set_value("compare").run()
    assert not app.exception
    app.selectbox(key="explore_models_second").set_value("photo_small").run()
    found = numbers(app)
    assert found["Pictures"] == "10"
    assert found["Mean difference"].startswith("-")  # the small code is the worse one
    assert "is worse by" in texts(app)
    assert len(app.dataframe[0].value) == 10
    app.selectbox(key="explore_models_first").set_value("photo_small").run()
    assert "one model twice" in texts(app)


def test_curves_of_runs_are_laid_over_each_other(home):
    for state in ("finished", "stopped"):
        job_folder(home / "jobs", state=state)
    app = opened(EXPLORE)
    app.segmented_control(key="explore_models_tab").set_value("curves").run()
    assert not app.exception
    assert len(app.multiselect(key="explore_models_runs").value) == 2
    [chart] = app.get("plotly_chart")
    assert len(json.loads(chart.proto.spec)["data"]) == 2


def test_a_file_that_is_no_model_is_refused_in_one_sentence(home):
    app = opened(EXPLORE)
    app.segmented_control(key="explore_models_tab").set_value("import").run()
    app.file_uploader[0].set_value([("wicked.keras", b"\x89HDF\r\n\x1a\n", "application/zip")]).run()
    app.button(key="explore_models_import").click().run()
    assert not app.exception
    assert len(app.error) == 1
    assert "wicked" in app.error[0].value
    assert not [card for card in list_models() if card["origin"] == "workspace"]


def test_the_card_of_an_own_model_tells_its_capacity_and_that_its_laws_were_a_quick_look(home):
    from deconv_core.model_checks import quick_look
    from deconv_core.publishing import publish

    folder = job_folder(home / "jobs", state="finished", model=True)
    quick_look(folder / "results" / "mine.keras")
    publish(folder, "mine")
    app = opened(EXPLORE)
    app.button(key="explore_models_card").click().run()
    assert "This was a quick look" in texts(app)
    assert texts(app).count("Does it copy everything?") == 2  # on the page and on the card
