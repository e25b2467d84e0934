"""Training as a process of its own: killed at any moment and resumed, started twice, stopped, its status damaged."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from deconv_core import jobs

ROOT = Path(__file__).resolve().parents[1]
pytestmark = pytest.mark.slow
SMALL = [
    "--argument",
    "width=8",
    "--argument",
    "deep_width=8",
    "--argument",
    "blocks=1",
    "--argument",
    "code_channels=8",
]
PLAN = [*SMALL, "--patch-size", "32", "--batch-size", "4", "--name", "small", "--seed", "3"]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    for number in range(6):
        blocks = rng.integers(0, 256, (12, 12, 3)).astype(np.uint8)
        Image.fromarray(blocks.repeat(8, axis=0).repeat(8, axis=1)).save(folder / f"{number}.png")
    return folder


def begin(pictures, job, epochs, *more, steps=40):
    words = ["--data", pictures, "--epochs", epochs, "--steps-per-epoch", steps, *PLAN, "--out", job, *more]
    command = [sys.executable, "-m", "deconv_core", "train", *map(str, words)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def finish(process):
    """Its exit status, once it has ended by itself."""
    process.communicate(timeout=120)
    return process.returncode


def wait_for(condition, seconds=90):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.02)


def done(job):
    try:
        return json.loads((job / "status.json").read_text())["done"]
    except (FileNotFoundError, KeyError):
        return 0


def weights(job):
    with np.load(job / "results" / "state.npz") as state:
        return {name: state[name] for name in state.files if name.startswith("weight_")}


def test_killed_at_random_moments_and_resumed_it_ends_as_an_unbroken_run(pictures, tmp_path):
    unbroken, broken = tmp_path / "unbroken", tmp_path / "broken"
    assert finish(begin(pictures, unbroken, 5)) == 0
    rng = np.random.default_rng(11)
    for kill in range(3):
        process = begin(pictures, broken, 5, *(["--resume"] if kill else []))
        reached = done(broken)
        if kill:  # the first process dies at any moment, even before its first step; later ones after some progress
            wait_for(lambda it=process, before=reached: it.poll() is not None or done(broken) != before)
        time.sleep(float(rng.uniform(0, 1.5)))
        process.kill()
        process.communicate()
        if (broken / "settings.json").exists():
            assert jobs.read(broken).state in ("lost", "finished")
        else:
            assert not kill
            assert finish(begin(pictures, broken, 5)) == 0
    assert finish(begin(pictures, broken, 5, "--resume")) == 0
    assert jobs.read(broken).state == "finished"
    for name, weight in weights(unbroken).items():
        np.testing.assert_allclose(weight, weights(broken)[name], atol=1e-5)


def test_a_stop_in_the_middle_of_an_epoch_leaves_a_model_that_loads(pictures, tmp_path):
    from deconv_core.models.saving import load_model

    job = tmp_path / "job"
    process = begin(pictures, job, 1000, steps=100_000)
    wait_for(lambda: done(job) > 5)
    jobs.request_stop(job)
    assert finish(process) == 1
    assert jobs.read(job).state == "stopped"
    assert 5 < done(job) < 100_000
    assert load_model(job / "results" / "small.keras").channels == 3


def test_two_processes_do_not_train_in_one_folder_and_a_damaged_status_is_survived(pictures, tmp_path):
    job = tmp_path / "job"
    first = begin(pictures, job, 1000, steps=100_000)
    try:
        wait_for(lambda: done(job) > 2)
        second = begin(pictures, job, 1000, "--resume")
        _, said = second.communicate(timeout=60)
        assert second.returncode == 1
        assert "already running" in said
        (job / "status.json").write_text('{"state": "fin')
        assert jobs.read(job).state == "running"
        wait_for(lambda: jobs.read(job).problem == "")  # the next report mends it
    finally:
        os.kill(first.pid, signal.SIGKILL)
        first.communicate()
    assert jobs.read(job).state == "lost"
