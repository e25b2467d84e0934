"""Publishing, renaming, deleting and taking away models of one's own; bundled ones stay as they are."""

import io
import json
import zipfile

import pytest

from deconv_core.errors import DeconvError, ModelError
from deconv_core.models.saving import ZOO, list_models, load_model, read_card
from deconv_core.publishing import delete_model, job_model, model_zip, publish, rename_model
from deconv_core.workspace import folder

CARD = {
    "label": "Run", "architecture": "article", "arguments": {"filters": 2}, "objective": "reconstruct", "channels": 1,
    "stride": 2, "code_channels": 2, "trained_on": "digits", "validation": {"psnr": 20.0, "ssim": 0.9},
    "capacity": {"verdict": "between"}, "laws": {"recon_pair_psnr": {"passed": True, "failed": []}},
}  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A job folder with a model."""
    from deconv_core.models import architecture
    from deconv_core.models.saving import save_model

    job = tmp_path_factory.mktemp("jobs") / "20260101-train-mine"
    save_model(architecture("article").build(filters=2), job / "results" / "mine.keras", CARD)
    return job


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("DECONV_HOME", str(tmp_path))
    return tmp_path


def own() -> list[str]:
    return [card["name"] for card in list_models() if card["origin"] == "workspace"]


def test_a_published_model_stands_in_the_list_with_the_card_of_its_run(made, home):
    card = publish(made, "My  Cats!", label="My  Cats!")
    assert card["name"] == "my-cats"
    assert own() == ["my-cats"]
    read = read_card("my-cats")
    assert read["label"] == "My Cats!"
    assert read["run"] == made.name
    assert (read["capacity"], read["laws"]) == (CARD["capacity"], CARD["laws"])
    assert load_model("my-cats").channels == 1
    assert sorted(path.name for path in folder("models").iterdir()) == ["my-cats.json", "my-cats.keras"]


def test_a_taken_name_is_refused_and_nothing_changes(made, home):
    publish(made, "mine", label="First")
    with pytest.raises(ModelError, match="There is a model 'mine' already"):
        publish(made, "mine", label="Second")
    assert read_card("mine")["label"] == "First"


def test_a_bundled_name_is_refused(made, home):
    with pytest.raises(ModelError, match="'photo_large' is a bundled model"):
        publish(made, "photo_large")
    assert own() == []


def test_bundled_models_can_neither_be_renamed_nor_deleted(home):
    before = sorted((path.name, path.stat().st_mtime_ns) for path in ZOO.iterdir())
    with pytest.raises(ModelError, match="comes with this software"):
        delete_model("photo_large")
    with pytest.raises(ModelError, match="comes with this software"):
        rename_model("photo_large", "mine")
    assert sorted((path.name, path.stat().st_mtime_ns) for path in ZOO.iterdir()) == before


@pytest.mark.parametrize("name", ["../escape", "/etc/passwd", "", "A", "nothing-here"])
def test_names_that_are_no_models_are_refused(name, home):
    with pytest.raises(ModelError):
        delete_model(name)


def test_renaming_keeps_the_file_and_frees_the_old_name(made, home):
    digest = publish(made, "before")["digest"]
    card = rename_model("before", "After all", label="After all")
    assert own() == ["after-all"]
    assert (card["name"], card["label"], card["digest"]) == ("after-all", "After all", digest)
    assert load_model("after-all").digest == digest
    rename_model("after-all", "after-all", label="Only the label")
    assert read_card("after-all")["label"] == "Only the label"


def test_renaming_to_a_taken_name_keeps_both(made, home):
    publish(made, "one")
    publish(made, "two")
    with pytest.raises(ModelError, match="There is a model 'two' already"):
        rename_model("one", "two")
    assert own() == ["one", "two"]


def test_deleting_takes_file_card_and_traces(made, home):
    publish(made, "gone")
    (folder("models") / ".gone.check").write_text("{}")
    delete_model("gone")
    assert list(folder("models").iterdir()) == []


def test_the_zip_holds_a_model_that_works_elsewhere(made, home, tmp_path_factory):
    publish(made, "travels")
    with zipfile.ZipFile(io.BytesIO(model_zip(folder("models") / "travels.keras"))) as archive:
        assert sorted(archive.namelist()) == ["travels.json", "travels.keras"]
        elsewhere = tmp_path_factory.mktemp("elsewhere")
        archive.extractall(elsewhere)
    assert load_model(elsewhere / "travels.keras").name == "travels"
    with pytest.raises(ModelError, match="cannot be packed"):
        model_zip(folder("models") / "missing.keras")


def test_a_run_without_a_model_cannot_be_published(home, tmp_path):
    (tmp_path / "job" / "results").mkdir(parents=True)
    assert job_model(tmp_path / "job") is None
    with pytest.raises(ModelError, match="has no model yet"):
        publish(tmp_path / "job", "mine")


def test_a_file_that_is_not_its_cards_cannot_be_published(made, home, tmp_path):
    results = tmp_path / "job" / "results"
    results.mkdir(parents=True)
    for path in (made / "results").iterdir():
        (results / path.name).write_bytes(path.read_bytes())
    card = json.loads((results / "mine.json").read_text())
    (results / "mine.json").write_text(json.dumps({**card, "digest": "0" * 64}))
    with pytest.raises(DeconvError, match="not the file its card describes"):
        publish(tmp_path / "job", "mine")
    assert own() == []
