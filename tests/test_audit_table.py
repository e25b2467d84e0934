"""The table of an audit as pages read it: little at a time, the same at work as at the end, damage in one sentence."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from deconv_core.audit import rows as module
from deconv_core.audit.measure import RECIPE
from deconv_core.audit.parts import MEASURED, MODEL, PartWriter, list_parts, read_part, read_parts
from deconv_core.audit.run import AuditSettings, run_audit
from deconv_core.audit.table import AuditTable
from deconv_core.errors import DeconvError
from tests.test_audit import encoded, write_set


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """An audit of forty pictures with a dark one, a copy and a broken file."""
    box = tmp_path_factory.mktemp("table")
    data = write_set(box / "data", 37)
    (data / "dark.png").write_bytes(encoded(np.full((40, 40, 3), 9, np.uint8)))
    (data / "zz copy.png").write_bytes((data / "0003.png").read_bytes())
    (data / "zz broken.png").write_bytes(b"nothing")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DECONV_HOME", str(box / "home"))
        run_audit(AuditSettings(str(data)), box / "job")
    return box / "job"


@pytest.fixture
def at_work(finished, tmp_path) -> Path:
    """The same audit before its end, in five parts."""
    folder = tmp_path / "job"
    shutil.copytree(finished, folder)
    (folder / "results" / "images.parquet").unlink()
    whole = read_parts(folder / "results", MEASURED)
    shutil.rmtree(folder / "results" / "parts")
    writer = PartWriter(folder / "results", MEASURED, RECIPE)
    for rows in np.array_split(np.arange(40), 5):
        writer.add(whole.take(rows).to_pylist())
        writer.flush()
    return folder


def test_an_audit_at_work_gives_the_rows_of_the_finished_one(finished, at_work):
    whole, part = AuditTable(finished), AuditTable(at_work)
    assert (whole.finished, part.finished) == (True, False)
    assert part.columns == whole.columns
    left_out = {"near_duplicate", "near_duplicate_of", "issues", "quality_risk"}  # told by the whole set alone
    columns = [name for name in whole.columns if name not in left_out]
    places = np.array([39, 0, 17, 38, 5])
    expected, found = whole.rows(places, columns), part.rows(places, columns)
    assert found.map(repr).equals(expected.map(repr))
    assert part.row("dark.png")["issues"]
    assert part.row("zz copy.png")["exact_duplicate_of"] == "0003.png"


def test_only_new_parts_are_read(at_work, monkeypatch):
    asked = []

    def reading(path, kind, *arguments, **options):
        asked.append(path.name)
        return read_part(path, kind, *arguments, **options)

    monkeypatch.setattr(module, "read_part", reading)
    parts = list_parts(at_work / "results", MEASURED)
    parts[-1].rename(at_work / "aside")
    first = AuditTable(at_work)
    assert (len(asked), first.count) == (4, 32)
    (at_work / "aside").rename(parts[-1])
    again = AuditTable(at_work, first)
    assert asked[4:] == [parts[-1].name]
    assert again.count == 40
    assert again.numbers.equals(AuditTable(at_work).numbers)


def test_of_a_picture_that_changed_the_model_has_said_nothing(at_work):
    table = AuditTable(at_work)
    rows = table.rows(np.arange(2), ["number", "image", "bytes", "modified", "digest"]).to_dict("records")
    rows[1]["digest"] = "of what it held before"
    values = {"model_reason": "", "reconstruction": 30.0, "low_quality": float("nan")}
    writer = PartWriter(at_work / "results", MODEL)
    writer.add([row | values for row in rows])
    writer.flush()
    (at_work / "settings.json").write_text(
        (at_work / "settings.json").read_text().replace('"model": ""', '"model": "photo_small"')
    )
    found = AuditTable(at_work, table).numbers["reconstruction"]
    assert found[0] == 30
    assert np.isnan(found[1:]).all()


def test_rows_read_no_more_than_was_asked_for(finished, monkeypatch):
    table = AuditTable(finished)
    asked = []
    read = table._rows._read

    def reading(places, columns):
        asked.append(columns)
        return read(places, columns)

    monkeypatch.setattr(table._rows, "_read", reading)
    table.rows(np.arange(9), ["image", "status", "dark", "quality_risk"])
    assert asked == []  # in memory already
    table.rows(np.arange(9), ["image", "dark", "digest"])
    assert asked == [["digest"]]


def test_many_names_are_found_in_their_order(finished):
    table = AuditTable(finished)
    names = ["zz copy.png", "0000.png", "dark.png", "0000.png"]
    assert [table.names[int(place)].as_py() for place in table.places(names)] == names
    with pytest.raises(DeconvError, match="holds no picture named 'nobody'"):
        table.places(["dark.png", "nobody"])


def test_a_percentile_says_what_share_is_no_better(finished):
    table = AuditTable(finished)
    values = np.sort(table.numbers["dark"].dropna().to_numpy())
    assert table.percentile("dark", values[-1]) == 100  # the brightest is the best of the set
    assert table.percentile("dark", values[0]) == pytest.approx(100 / len(values))
    assert table.percentile("light", np.nanmin(table.numbers["light"])) == 100  # here low is good
    assert np.isnan(table.percentile("dark", float("nan")))
    assert np.isnan(table.percentile("exact_duplicate", 1.0))


def test_the_worst_follow_the_risk_that_counts(finished):
    table = AuditTable(finished)
    [flagged] = np.flatnonzero(table.flagged("exact_duplicate"))
    risk = np.zeros(table.count, np.float32)
    risk[7] = 100
    assert table.order(np.arange(table.count), "quality_risk", descending=True, risk=risk)[0] == 7
    assert table.worst("exact_duplicate", risk=risk)["image"].tolist() == [table.names[int(flagged)].as_py()]


def test_a_damaged_table_is_one_sentence(finished, tmp_path):
    folder = tmp_path / "job"
    shutil.copytree(finished, folder)
    path = folder / "results" / "images.parquet"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(DeconvError, match="resume the audit"):
        AuditTable(folder)
