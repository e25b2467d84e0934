"""What was chosen for a data set counts for its next audit; what is chosen in the shell is checked before the work."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from deconv_core.audit import earlier, export
from deconv_core.audit.earlier import taken_over
from deconv_core.audit.review import (
    Review,
    Threshold,
    read_thresholds,
    read_weights,
    save_thresholds,
    save_weights,
    saved_choice,
)
from deconv_core.audit.run import AuditSettings, run_audit
from deconv_core.audit.table import AuditTable
from deconv_core.images import encode_png
from deconv_core.samples import photographs


@pytest.fixture(autouse=True)
def data(tmp_path, monkeypatch) -> Path:
    """Ten photographs of falling brightness."""
    monkeypatch.setenv("DECONV_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("DASK_SCHEDULER_ADDRESS", raising=False)
    folder = tmp_path / "data"
    folder.mkdir()
    for number, pixels in enumerate(photographs(10, 48)):
        (folder / f"{number}.png").write_bytes(encode_png(pixels * np.float32(1 - number / 20)))
    return folder


def audit(data: Path, name: str, **options) -> Path:
    run_audit(AuditSettings(str(data)), data.parent / name, **options)
    return data.parent / name


def change_recipe(folder: Path, key: str, **change) -> None:
    path = folder / "results" / "summary.json"
    summary = json.loads(path.read_text())
    summary["recipes"][key] |= change
    path.write_text(json.dumps(summary))


def test_thresholds_of_what_is_measured_otherwise_are_left_out_and_told(data):
    first = audit(data, "first")
    save_thresholds(first, {"dark": Threshold(33.0), "uneven_light": Threshold(85.0), "blurry": Threshold(2.0, 30.0)})
    change_recipe(first, "uneven_light", version=1)
    change_recipe(first, "blurry", measured_by="measured 1")
    second = audit(data, "second")
    assert read_thresholds(second) == {"dark": Threshold(33.0)}
    told = taken_over(second)
    assert ": 1 threshold. " in told
    assert "left out: uneven light (version 1 in the first, 2 in the second), blurry (measurement measured 1" in told


def test_an_audit_that_goes_on_resets_thresholds_of_what_it_measured_otherwise_before(data):
    job = audit(data, "job")
    saved = {"dark": Threshold(33.0), "uneven_light": Threshold(85.0)}
    save_thresholds(job, saved)
    audit(data, "job", resume=True)
    assert read_thresholds(job) == saved
    change_recipe(job, "uneven_light", version=1)
    audit(data, "job", resume=True)
    assert read_thresholds(job) == {"dark": Threshold(33.0)}
    assert "are reset: uneven light (version 1 in the first, 2 in the second)" in (job / "log.txt").read_text()


def test_a_threshold_of_a_check_that_is_not_made_is_left_out_and_told(data):
    first = audit(data, "first")
    save_thresholds(first, {"dark": Threshold(33.0), "blurry": Threshold(2.0)})
    run_audit(AuditSettings(str(data), checks=("dark",)), data.parent / "second")
    assert list(read_thresholds(data.parent / "second")) == ["dark"]
    assert "blurry (not made in the second)" in taken_over(data.parent / "second")


def test_a_threshold_by_share_flags_that_share_of_the_new_pictures(data):
    first = audit(data, "first")
    table = AuditTable(first)
    save_thresholds(first, {"dark": Threshold(table.threshold_at("dark", 30), 30.0), "light": Threshold(10.0)})
    for path in list(data.iterdir())[:6]:
        path.unlink()
    table = AuditTable(audit(data, "second"))
    saved = read_thresholds(data.parent / "second")
    assert saved == {"dark": Threshold(table.threshold_at("dark", 30), 30.0), "light": Threshold(10.0)}
    assert saved["dark"] != read_thresholds(first)["dark"]


def stop_at_once(progress) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("emptied", [False, True])
def test_an_audit_that_came_to_no_end_hides_nothing_of_the_one_before(data, emptied):
    first = audit(data, "first")
    save_thresholds(first, {"dark": Threshold(33.0)})
    Review(first).decide("3.png", "drop")
    with pytest.raises(KeyboardInterrupt):
        audit(data, "stopped", report=stop_at_once)
    stopped = data.parent / "stopped"
    assert read_thresholds(stopped)
    assert not (stopped / "results" / "images.parquet").exists()
    if emptied:
        save_thresholds(stopped, {})
    third = audit(data, "third")
    assert saved_choice(third).thresholds == {"dark": 33.0}
    assert saved_choice(third).decisions == {"3.png": "drop"}
    assert "“first”" in taken_over(third)


def test_what_was_only_reset_hides_nothing_but_what_was_taken_over_and_reset_stays_reset(data):
    first, between = audit(data, "first"), audit(data, "between")
    save_thresholds(first, {"dark": Threshold(33.0)})
    save_thresholds(between, {})
    third = audit(data, "third")
    assert saved_choice(third).thresholds == {"dark": 33.0}
    save_thresholds(third, {})
    assert saved_choice(audit(data, "fourth")).thresholds == {}


def test_what_is_told_of_the_audit_before_is_what_was_taken_over(data):
    first = audit(data, "first")
    save_thresholds(first, {"dark": Threshold(33.0)})
    Review(first).decide("3.png", "drop")
    second = audit(data, "second")
    told = taken_over(second)
    assert "“first”: 1 threshold and 1 decision." in told
    save_thresholds(first, {"dark": Threshold(33.0), "light": Threshold(9.0)})
    save_weights(first, {"dark": 7})
    assert taken_over(second) == told
    note = json.loads((second / "results" / "taken_over.json").read_text())
    assert note["thresholds"] == {"dark": 33.0}


def test_decisions_of_an_audit_that_is_gone_stop_nothing(data, monkeypatch):
    first = audit(data, "first")
    save_thresholds(first, {"dark": Threshold(33.0)})

    def gone(*_):
        raise OSError("gone")

    monkeypatch.setattr(earlier, "_decisions", gone)
    second = audit(data, "second")
    monkeypatch.undo()
    monkeypatch.setenv("DECONV_HOME", str(data.parent / "home"))
    assert saved_choice(second).thresholds == {"dark": 33.0}
    assert saved_choice(audit(data, "third")).thresholds == {"dark": 33.0}
    assert "“second”" in taken_over(data.parent / "third")


# The shell


def shell(*words) -> Result:
    from deconv_core.__main__ import main

    return CliRunner().invoke(main, ["audit", *map(str, words)], prog_name="deconv_core", catch_exceptions=False)


@pytest.mark.parametrize(
    ("option", "value", "told"),
    [
        ("--thresholds", "drak=60", "expected a check with a scale"),
        ("--thresholds", "unreadable=1", "expected a check with a scale"),
        ("--thresholds", "low_quality=5%", "expected a check with a scale"),
        ("--thresholds", "dark=101%", "from 0% to 100%"),
        ("--thresholds", "dark=nan", "such as dark=60 or 5%"),
        ("--points", "drak=5", "known check"),
        ("--points", "dark=-5", "0 points or more"),
        ("--decisions", "lacking.csv", "cannot be read"),
        ("--decisions", "other.csv", "expected image and decision"),
        ("--compare-with", "lacking", "holds no audit"),
    ],
)
def test_what_cannot_be_done_is_refused_before_anything_is_measured(data, monkeypatch, option, value, told):
    monkeypatch.chdir(data.parent)
    Path("other.csv").write_text("picture,verdict\n0.png,drop\n")
    done = shell(data, "--out", "job", option, value)
    assert done.exit_code == 2
    assert told in done.output
    assert not Path("job").exists()


def test_choices_in_the_shell_are_saved_before_the_report_is_written_once(data, tmp_path, monkeypatch):
    written = []
    write = export.write_results

    def writing(folder, *arguments, **options):
        written.append(saved_choice(folder))
        return write(folder, *arguments, **options)

    monkeypatch.setattr(export, "write_results", writing)
    (tmp_path / "decided.csv").write_text("image,decision\n9.png,drop\ngone.png,drop\n")
    first = audit(data, "first")
    job, decided = tmp_path / "job", ("--decisions", tmp_path / "decided.csv")
    done = shell(
        data, "--out", job, "--thresholds", "dark=20%,light=9", "--points", "dark=90", *decided,
        "--compare-with", first, "--surprise", 2,
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert "Decisions taken over: 1; names that are not in the audit: 1" in done.output
    [_, choice] = written
    assert choice.thresholds == {"dark": AuditTable(job).threshold_at("dark", 20), "light": 9.0}
    assert (choice.decisions, choice.weights) == ({"9.png": "drop"}, {"dark": 90.0})
    assert read_weights(job) == {"dark": 90.0}
    assert "9.png" in (job / "results" / "bad.txt").read_text().splitlines()
    assert (job / "results" / "drift.html").exists()
    assert (job / "results" / "surprise.json").exists()
