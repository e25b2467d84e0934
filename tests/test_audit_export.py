"""What people choose for an audit and what leaves it: words, review, drift, lists, tables, script, report."""

import csv
import io
import json
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from deconv_core.audit.checks import CHECKS
from deconv_core.audit.drift import compare_audits
from deconv_core.audit.export import csv_file, list_bytes, move_script, parquet_file, report_file, split
from deconv_core.audit.review import (
    Choice,
    Review,
    Threshold,
    draw_surprise,
    miss_rate,
    read_surprise,
    read_thresholds,
    save_thresholds,
    threshold_values,
)
from deconv_core.audit.run import AuditSettings, run_audit
from deconv_core.audit.table import AuditTable
from deconv_core.audit.words import evidence, paragraph
from deconv_core.errors import DeconvError
from deconv_core.images import to_uint8
from deconv_core.samples import photographs


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("DECONV_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("DASK_SCHEDULER_ADDRESS", raising=False)


def file_bytes(pixels: np.ndarray, kind: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()


def write_audited(box: Path) -> Path:
    """Ten photographs, a copy, a near copy, a dark, a flat and a broken one, with a name that a shell would run."""
    data = box / "data"
    (data / "sub").mkdir(parents=True)
    for number, pixels in enumerate(photographs(10, 160)):
        (data / f"photo {number}.png").write_bytes(file_bytes(to_uint8(pixels)))
    first = to_uint8(photographs(1, 160)[0])
    (data / "sub" / "z copy.png").write_bytes((data / "photo 0.png").read_bytes())
    (data / "sub" / "z near.jpg").write_bytes(file_bytes(first, "JPEG", quality=80))
    (data / "$(touch owned) 'dark'.png").write_bytes(file_bytes(first // 12))
    (data / "=1+1.png").write_bytes(file_bytes(np.full((50, 50, 3), 99, np.uint8)))
    (data / "<b>broken.png").write_bytes(b"nothing")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DECONV_HOME", str(box / "home"))
        run_audit(AuditSettings(str(data)), box / "job", command="python -m deconv_core audit data --out job")
    return box / "job"


@pytest.fixture(scope="module")
def audited(tmp_path_factory) -> Path:
    return write_audited(tmp_path_factory.mktemp("audited"))


# Words


def test_copies_name_their_original(audited):
    table = AuditTable(audited)
    assert table.row("sub/z copy.png")["exact_duplicate_of"] == "photo 0.png"
    near = table.row("sub/z near.jpg")
    assert near["near_duplicate_of"] == "photo 0.png"
    assert near["near_duplicate"] < CHECKS["near_duplicate"].threshold
    told = evidence(near)
    assert told["near_duplicate"].startswith("Like photo 0.png")


def test_what_was_found_is_told_in_a_paragraph(audited):
    told = paragraph(AuditTable(audited))
    assert told.startswith("15 pictures; ")
    assert "have at least one issue" in told


def test_an_issue_of_most_of_the_set_is_told_first(audited):
    told = paragraph(AuditTable(audited), {"dark": 255})
    assert "Most of the set is affected by “Dark”" in told


# Review


def test_decisions_are_kept_and_taken_back_one_by_one(tmp_path):
    (tmp_path / "results").mkdir()
    review = Review(tmp_path)
    for image, decision in (("a", "keep"), ("b", "drop"), ("a", "unsure")):
        review.decide(image, decision)
    assert Review(tmp_path).decisions == {"b": "drop", "a": "unsure"}
    assert review.undo() == "a"
    assert Review(tmp_path).decisions == {"a": "keep", "b": "drop"}
    assert [review.undo(), review.undo(), review.undo()] == ["b", "a", None]
    assert Review(tmp_path).decisions == {}
    with pytest.raises(DeconvError, match="cannot be 'maybe'"):
        review.decide("a", "maybe")


def test_of_two_people_each_takes_back_the_own_decision(tmp_path):
    (tmp_path / "results").mkdir()
    first = Review(tmp_path)
    first.decide("a", "keep")
    first.decide("b", "keep")
    second = Review(tmp_path)
    second.decide("c", "drop")
    second.decide("b", "drop")
    assert first.undo() == "b"
    assert Review(tmp_path).decisions == {"a": "keep", "c": "drop", "b": "drop"}
    later = Review(tmp_path)
    assert later.undo("a") == "a"
    assert later.undo("never") is None
    assert later.decisions == Review(tmp_path).decisions == {"c": "drop", "b": "drop"}


def test_decisions_written_before_undo_told_a_name_are_read(tmp_path):
    (tmp_path / "results").mkdir()
    lines = [{"image": "a", "decision": "keep"}, {"image": "a", "decision": "drop"}, {"undo": True}]
    (tmp_path / "results" / "review.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    assert Review(tmp_path).decisions == {"a": "keep"}


def test_a_decision_cut_short_by_a_kill_spoils_nothing(tmp_path):
    (tmp_path / "results").mkdir()
    review = Review(tmp_path)
    review.decide("line\nbreak", "drop")
    with (tmp_path / "results" / "review.jsonl").open("ab") as file:
        file.write(b'{"image": "b", "deci')
    again = Review(tmp_path)
    again.decide("c", "keep")
    assert Review(tmp_path).decisions == {"line\nbreak": "drop", "c": "keep"}
    assert again.counts() == {"keep": 1, "drop": 1, "unsure": 0}


def test_thresholds_are_saved_with_the_set_and_reset(tmp_path):
    (tmp_path / "results").mkdir()
    save_thresholds(tmp_path, {"dark": Threshold(50.0), "blurry": Threshold(1.2, 5.0)})
    assert read_thresholds(tmp_path) == {"dark": Threshold(50.0), "blurry": Threshold(1.2, 5.0)}
    assert threshold_values(tmp_path) == {"dark": 50.0, "blurry": 1.2}
    save_thresholds(tmp_path, {})
    assert read_thresholds(tmp_path) == {}
    with pytest.raises(DeconvError, match="expected a check with a scale"):
        save_thresholds(tmp_path, {"exact_duplicate": Threshold(1.0)})
    (tmp_path / "results" / "thresholds.json").write_text('{"dark": 3}')
    assert read_thresholds(tmp_path) == {}


def test_a_surprise_is_drawn_from_what_passed_the_same_every_time(audited):
    table = AuditTable(audited)
    names = draw_surprise(audited, table, 6, seed=3)
    assert draw_surprise(audited, table, 6, seed=3) == names
    assert len(set(names)) == len(names)
    assert all(not table.row(name)["issues"] for name in names)
    assert read_surprise(audited)["images"] == names


def test_the_interval_of_the_miss_rate_is_that_of_clopper_and_pearson():
    from scipy.stats import binomtest

    sample_drawn = {"images": [str(number) for number in range(30)], "passes": 1000}
    decisions = {str(number): "drop" if number < 4 else "keep" for number in range(25)} | {"28": "unsure"}
    found = miss_rate(sample_drawn, decisions)
    expected = binomtest(4, 25).proportion_ci(method="exact")
    assert (found.judged, found.missed, found.rate) == (25, 4, 0.16)
    assert (found.low, found.high) == (pytest.approx(expected.low), pytest.approx(expected.high))
    assert np.isnan(miss_rate(sample_drawn, {}).rate)


# Drift


def write_audit(tmp_path: Path, name: str, count: int, darker: float, seed: int) -> AuditTable:
    generator = np.random.default_rng(seed)
    (tmp_path / name).mkdir()
    for number in range(count):
        pixels = generator.integers(0, 256, (24, 24, 3)) * (1 - darker)
        (tmp_path / name / f"{number}.png").write_bytes(file_bytes(pixels.astype(np.uint8)))
    run_audit(AuditSettings(str(tmp_path / name)), tmp_path / f"{name} job")
    return AuditTable(tmp_path / f"{name} job")


def test_drift_names_what_changed_and_is_silent_about_the_rest(tmp_path):
    first = write_audit(tmp_path, "first", 40, 0, 1)
    same = write_audit(tmp_path, "same", 40, 0, 2)
    darker = write_audit(tmp_path, "darker", 40, 0.5, 3)
    calm = compare_audits(first, same)
    assert "look alike" in calm.paragraph
    found = compare_audits(first, darker)
    row = found.columns.set_index("column").loc["brightness"]
    assert (row["ks"], row["larger"], row["size"]) == (1, 0, "large")
    assert "lower" in row["sentence"]
    assert found.matched == 40


def test_the_statistics_of_drift_are_those_of_scipy(tmp_path):
    from scipy.stats import ks_2samp, mannwhitneyu

    first, second = (write_audit(tmp_path, name, 30, 0.1 * seed, seed) for name, seed in (("a", 1), ("b", 2)))
    row = compare_audits(first, second).columns.set_index("column").loc["contrast"]
    one, other = first.numbers["contrast"], second.numbers["contrast"]
    assert row["ks"] == pytest.approx(ks_2samp(one, other).statistic)
    assert row["larger"] == pytest.approx(mannwhitneyu(other, one).statistic / (len(one) * len(other)))


# What leaves


def test_decisions_count_more_than_checks(audited):
    table = AuditTable(audited)
    clean, bad = split(table)
    assert sorted([*clean, *bad]) == sorted(table.names.to_pylist())
    assert {"<b>broken.png", "sub/z copy.png"} <= set(bad)
    choice = Choice(decisions={"sub/z copy.png": "keep", "photo 1.png": "drop", "gone": "drop"})
    clean, bad = split(table, choice)
    assert "sub/z copy.png" in clean
    assert "photo 1.png" in bad
    assert set(split(table, Choice(checks=("exact_duplicate",)))[1]) == {"<b>broken.png", "sub/z copy.png"}


def test_a_list_has_one_name_per_line_whatever_the_name():
    assert list_bytes(["a\nb", "c\\d", "é"]).decode().splitlines() == ["a\\nb", "c\\\\d", "é"]


def test_csv_cells_that_a_spreadsheet_would_run_are_defused(audited):
    rows = list(csv.DictReader(io.StringIO(csv_file(AuditTable(audited)).decode())))
    names = [row["image"] for row in rows]
    assert "'=1+1.png" in names
    assert "=1+1.png" not in names
    assert "place" not in rows[0]
    found = next(row for row in rows if row["image"] == "sub/z copy.png")
    assert "exact_duplicate" in found["issues"].split()


def test_parquet_holds_the_rules(audited):
    from deconv_core.tables import read_recipes

    path = audited / "export.parquet"
    path.write_bytes(parquet_file(AuditTable(audited), Choice(thresholds={"dark": 20})))
    assert read_recipes(path)["dark"]["threshold"] == 20
    assert len(pd.read_parquet(path)) == 15


def test_the_script_moves_what_is_bad_and_runs_nothing_that_a_name_says(audited, tmp_path):
    import shutil

    table = AuditTable(audited)
    data = Path(table.settings["data"])
    copy = tmp_path / "it's a copy"
    shutil.copytree(data, copy)
    names = ["$(touch owned) 'dark'.png", "sub/z copy.png", "=1+1.png"]
    script = move_script(table, names, str(tmp_path / 'target "$(touch owned)"'))
    script = script.decode().replace(str(data), "SOURCE")
    assert script.count("\nmove ") == 3
    (tmp_path / "move.sh").write_text(script.replace("SOURCE", str(tmp_path / "plain")))
    shutil.move(copy, tmp_path / "plain")
    done = subprocess.run(["sh", "move.sh"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "3 of 3 moved" in done.stdout
    target = tmp_path / 'target "$(touch owned)"'
    assert sorted(path.relative_to(target).as_posix() for path in target.rglob("*.png")) == sorted(names)
    assert not (tmp_path / "owned").exists()
    again = subprocess.run(["sh", "move.sh"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "0 of 3 moved" in again.stdout
    assert "not there" in again.stderr


@pytest.mark.parametrize("name", ["a} b", "${x", 'it\'s "$(touch owned)" `id` \\'])
def test_the_script_takes_every_target_and_another_by_its_variable(audited, tmp_path, name):
    import os
    import shutil

    table = AuditTable(audited)
    data = table.settings["data"]
    script = move_script(table, ["photo 1.png"], str(tmp_path / name)).decode().replace(data, str(tmp_path / "data"))
    (tmp_path / "move.sh").write_text(script)
    for target, environment in ((tmp_path / name, {}), (tmp_path / "other }", {"TARGET": str(tmp_path / "other }")})):
        shutil.copytree(data, tmp_path / "data", dirs_exist_ok=True)
        subprocess.run(["sh", "move.sh"], cwd=tmp_path, env={**os.environ, **environment}, check=True)
        assert [path.name for path in target.iterdir()] == ["photo 1.png"]
    assert not (tmp_path / "owned").exists()


def test_members_of_an_archive_are_not_moved(tmp_path):
    run_audit(AuditSettings("samples"), tmp_path / "job")
    with pytest.raises(DeconvError, match=r"cannot be moved one by one\. 1 picture is not moved: 1 inside an archive"):
        move_script(AuditTable(tmp_path / "job"), ["coffee"])


def test_the_report_stands_alone_and_escapes_names(audited, tmp_path):
    path = report_file(audited, tmp_path / "report.html")
    text = path.read_text()
    assert "<b>broken" not in text
    assert "&lt;b&gt;broken.png" in text
    assert "http://" not in text.replace("http://www.w3.org", "")
    assert text.count("data:image/jpeg") >= 4
    assert path.stat().st_size < 1_000_000
    assert json.loads((audited / "results" / "summary.json").read_text())["command"] in text
