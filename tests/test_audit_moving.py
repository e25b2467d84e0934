"""The script that moves pictures: what it moves from wherever it lies, what it leaves, names that a shell would run."""

import csv
import json
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from deconv_core.audit.export import split
from deconv_core.audit.moving import FILE, count_kinds, move_script, moves
from deconv_core.audit.run import AuditSettings, run_audit
from deconv_core.audit.table import AuditTable
from deconv_core.errors import DeconvError
from tests.test_audit_export import broken_set, write_audited


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("DECONV_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("DASK_SCHEDULER_ADDRESS", raising=False)


@pytest.fixture(scope="module")
def audited(tmp_path_factory) -> Path:
    return write_audited(tmp_path_factory.mktemp("audited"))


def test_the_script_moves_what_is_bad_and_runs_nothing_that_a_name_says(audited, tmp_path):
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


# Wherever the pictures lie


def run_script(script: bytes, place: Path, **environment) -> str:
    (place / "move.sh").write_bytes(script)
    words = {**os.environ, **environment}
    return subprocess.run(["sh", "move.sh"], cwd=place, env=words, capture_output=True, text=True, check=True).stdout


def test_a_shard_is_not_moved_with_its_good_pictures(tmp_path):
    from tests.test_sources import write_tar

    (tmp_path / "data").mkdir()
    write_tar(tmp_path / "data" / "s-0.tar", broken_set())
    run_audit(AuditSettings(str(tmp_path / "data")), tmp_path / "job")
    table = AuditTable(tmp_path / "job")
    _, bad_names = split(table)
    assert len(bad_names) == 2
    found = moves(table, bad_names)
    assert found.lines == ()
    assert found.sentence.startswith("2 pictures are not moved: 2 inside an archive or table")
    with pytest.raises(DeconvError, match="Use the list of clean ones"):
        move_script(table, bad_names)
    assert not (tmp_path / "job" / "results" / "move.sh").exists()


def test_what_the_script_cannot_move_is_counted_in_it(audited):
    table = AuditTable(audited)
    place = table.rows(np.arange(table.count), ["image", "place"]).set_index("image")["place"]
    outside = json.dumps(["/somewhere/else.png"])
    member = json.dumps([str(Path(table.settings["data"]) / "s.tar"), 10, 512, 10, 0, None])
    changed = {"photo 1.png": outside, "photo 2.png": member, "photo 3.png": json.dumps(["https://x.org/a", "address"])}

    class Elsewhere(AuditTable):
        def rows(self, places, columns=None):
            rows = super().rows(places, columns)
            names = (self.names[int(where)].as_py() for where in places)
            rows["place"] = [changed.get(name, place[name]) for name in names]
            return rows

    script = move_script(Elsewhere(audited), [*changed, "photo 4.png"]).decode()
    assert script.count("\nmove ") == 1
    assert "\ntake " not in script
    told = next(line for line in script.splitlines() if "not moved" in line)
    assert told.startswith("# 3 pictures are not moved: 1 outside of the folder, 1 inside an archive")
    assert "1 at an address" in told
    kinds = count_kinds(Elsewhere(audited), np.arange(table.count))
    inside = next(kind for kind in kinds if kind.startswith("inside"))
    assert kinds == {FILE: 13, inside: 1, "at an address": 1}


def test_kinds_are_told_whatever_the_name(audited, monkeypatch):
    table = AuditTable(audited)
    places = [json.dumps([name]) for name in ('a, "address', "b]", 'c"', "d", "e")] + ["", None]
    monkeypatch.setattr(AuditTable, "rows", lambda *_: pd.DataFrame({"place": places}))
    assert count_kinds(table, np.arange(7)) == {FILE: 5, "whose place is not known": 2}


@pytest.mark.parametrize("within_roots", [False, True])
def test_files_behind_a_linked_folder_are_moved(tmp_path, monkeypatch, within_roots):
    monkeypatch.setenv("DECONV_DATA_ROOTS", str(tmp_path))
    (tmp_path / "real").mkdir()
    for name, data in broken_set().items():
        (tmp_path / "real" / name).write_bytes(data)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    run_audit(AuditSettings(str(tmp_path / "link"), within_roots=within_roots), tmp_path / "job")
    told = run_script((tmp_path / "job" / "results" / "move.sh").read_bytes(), tmp_path, TARGET=str(tmp_path / "out"))
    assert "2 of 2 moved" in told
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["cut.png", "text.png"]
    assert [path.name for path in (tmp_path / "real").iterdir()] == ["good.png"]


def test_files_of_a_csv_list_are_moved_from_wherever_they_lie(tmp_path):
    names = {"beside.png": tmp_path / "lists", "../it's elsewhere/$(touch owned).png": tmp_path / "it's elsewhere"}
    for name, folder in names.items():
        folder.mkdir()
        (folder / Path(name).name).write_bytes(b"no picture")
    (tmp_path / "lists" / "good.png").write_bytes(broken_set()["good.png"])
    with (tmp_path / "lists" / "list.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["image"], ["good.png"], *([name] for name in names), ["gone.png"]])
    run_audit(AuditSettings(str(tmp_path / "lists" / "list.csv")), tmp_path / "job")
    script = (tmp_path / "job" / "results" / "move.sh").read_bytes()
    assert b"1 whose place is not known" in script
    assert "2 of 2 moved" in run_script(script, tmp_path)
    target = tmp_path / "lists" / "list-bad"
    moved = sorted(path.relative_to(target).as_posix() for path in target.rglob("*.png"))
    assert moved == sorted(["beside.png", f"{tmp_path}/it's elsewhere/$(touch owned).png".lstrip("/")])
    assert not (tmp_path / "owned").exists()
    assert (tmp_path / "lists" / "good.png").exists()
