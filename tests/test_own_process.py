"""What a command sets for the whole process it sets in a process of its own only."""

import gc
import os
import subprocess
import sys
import types
from pathlib import Path

import pytest
from click.testing import CliRunner

from deconv_core import own_process
from deconv_core.__main__ import main
from deconv_core.audit.cluster import connected
from deconv_core.audit.model import _keep_to_worker_threads

ROOT = Path(__file__).resolve().parents[1]


def test_an_audit_inside_another_program_leaves_its_collector_alone(tmp_path, monkeypatch):
    monkeypatch.setenv("DECONV_HOME", str(tmp_path / "home"))
    before = gc.get_threshold(), gc.get_freeze_count()
    done = CliRunner().invoke(main, ["audit", "samples", "--checks", "dark", "--out", str(tmp_path / "job")])
    assert done.exit_code == 0, done.output
    assert (gc.get_threshold(), gc.get_freeze_count()) == before


def test_the_command_line_s_own_process_looks_for_circles_less_often(tmp_path):
    code = (
        "import atexit, gc, runpy\n"
        "atexit.register(lambda: print(gc.get_threshold()[0], gc.get_freeze_count() > 0))\n"
        "runpy.run_module('deconv_core', run_name='__main__')"
    )
    words = ["audit", "samples", "--checks", "dark", "--out", str(tmp_path / "job")]
    environment = {**os.environ, "DECONV_HOME": str(tmp_path / "home"), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code, *words], env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "20000 True"


@pytest.fixture
def told(monkeypatch) -> list[tuple[str, int]]:
    """What TensorFlow was told about its threads."""
    found: list[tuple[str, int]] = []
    threading = types.SimpleNamespace(
        set_intra_op_parallelism_threads=lambda number: found.append(("within", number)),
        set_inter_op_parallelism_threads=lambda number: found.append(("side by side", number)),
    )
    config = types.SimpleNamespace(threading=threading)
    monkeypatch.setitem(sys.modules, "tensorflow", types.SimpleNamespace(config=config))
    return found


def test_threads_inside_another_program_leave_its_tensorflow_alone(told):
    with connected("here", threads=3) as client:
        client.submit(_keep_to_worker_threads, pure=False).result()
    assert told == []


def test_in_a_process_of_its_own_tensorflow_keeps_to_the_worker_s_threads(told, monkeypatch):
    monkeypatch.setattr(own_process, "_ours", True)
    with connected("here", threads=3) as client:
        client.submit(_keep_to_worker_threads, pure=False).result()
    assert told == [("within", 1), ("side by side", 3)]


def test_a_worker_that_is_a_process_keeps_to_its_threads(told):
    from distributed import LocalCluster

    with (
        LocalCluster(
            n_workers=1, threads_per_worker=2, processes=False, protocol="tcp", host="127.0.0.1",
            dashboard_address=":0", silence_logs=50,
        ) as cluster,
        connected(cluster.scheduler_address) as client,
    ):  # fmt: skip
        client.submit(_keep_to_worker_threads, pure=False).result()
    assert told == [("within", 1), ("side by side", 2)]
