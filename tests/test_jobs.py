"""Job folders: what is told of a process that works, ends, is stopped, waits or is killed; and damaged folders."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from deconv_core import jobs
from deconv_core.errors import DeconvError, JobError

ROOT = Path(__file__).resolve().parents[1]
# Stands in for a command such as train: counts steps, saves each, goes on from the saved one.
WORK = """
    import sys, time
    from pathlib import Path
    from deconv_core.jobs import JobFolder

    words = sys.argv[1:]
    option = lambda name, other: words[words.index(name) + 1] if name in words else other
    steps, pause = int(option("--steps", 5)), float(option("--pause", 0.05))
    if "--wrong" in words:
        sys.exit("work: --wrong is wrong")
    try:
        with JobFolder(option("--out", ""), kind="work", wait_turn="--turn" in words) as job:
            saved = job.results / "step.txt"
            done = int(saved.read_text()) if saved.exists() and "--resume" in words else 0
            with open(job.folder.parent / "order.txt", "a") as file:
                file.write(f"begin {job.folder.name} {time.time()}\\n")
            if "--crash" in words:
                raise RuntimeError("a line\\nand <b>another</b>")
            for step in range(done + 1, steps + 1):
                if job.should_stop():
                    raise KeyboardInterrupt
                time.sleep(pause)
                draft = saved.with_suffix(".part")
                draft.write_text(str(step))
                draft.replace(saved)
                job.status(f"step {step}", step, steps)
            job.log("worked")
            with open(job.folder.parent / "order.txt", "a") as file:
                file.write(f"end {job.folder.name} {time.time()}\\n")
    except KeyboardInterrupt:
        sys.exit("stopped")
    except ValueError as error:
        sys.exit(str(error))
"""


@pytest.fixture
def work(tmp_path, monkeypatch):
    """The stand-in command as the program that jobs run, and an empty workspace; no process outlives the test."""
    script = tmp_path / "work.py"
    script.write_text(textwrap.dedent(WORK))
    monkeypatch.setattr(jobs, "PROGRAM", (str(script),))
    monkeypatch.setattr(jobs, "KINDS", ("work",))
    monkeypatch.setenv("DECONV_HOME", str(tmp_path / "home"))
    yield script
    for path in filter(Path.is_file, (tmp_path / "home" / "jobs").glob("*/process.json")):
        number, started = json.loads(path.read_text()).values()
        if started and jobs.process_started(number) == started:
            with suppress(ProcessLookupError):  # it ended just now
                os.kill(number, signal.SIGKILL)


def wait_for(condition: Callable[[], object], seconds: float = 20) -> object:
    end = time.monotonic() + seconds
    while not (result := condition()):
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)
    return result


def wait_state(folder: Path, *states: str, seconds: float = 20) -> jobs.JobState:
    def look():
        state = jobs.read(folder)
        return state if state.state in states else None

    return wait_for(look, seconds)


def process_of(folder: Path) -> int:
    return json.loads((folder / "process.json").read_text())["id"]


def at_work(folder: Path) -> bool:
    return jobs.read(folder).state == "running" and jobs.read(folder).done > 0


def kill(folder: Path) -> None:
    number = process_of(folder)
    os.kill(number, signal.SIGKILL)
    wait_for(lambda: jobs.process_started(number) is None)


def test_a_job_runs_to_its_end_and_tells_how_far_it_is(work):
    folder = jobs.start("work", ["--steps", "40", "--pause", "0.05"], name="My first <run>")
    assert folder.parent == jobs.workspace_folder("jobs")
    assert folder.name.endswith("-work-my-first-run")
    assert jobs.read(folder).state in ("waiting", "running")
    state = wait_for(lambda: jobs.read(folder).seconds_left is not None and jobs.read(folder))
    assert state.state == "running"
    assert 0 < state.done < state.total == 40
    assert 0 < state.seconds_left < 10
    state = wait_state(folder, "finished", "failed", "lost")
    assert (state.state, state.done, state.total, state.name) == ("finished", 40, 40, "My first <run>")
    assert state.log.endswith("worked")
    assert state.command == f"python {work} work --steps 40 --pause 0.05 --out {folder}"
    assert not state.problem
    assert jobs.list_jobs() == [state]


def test_a_finished_child_leaves_no_trace_in_the_table_of_processes(work):
    folder = jobs.start("work", ["--steps", "1"], name="short")
    number = process_of(folder)
    wait_state(folder, "finished")
    wait_for(lambda: not any(thread.name == f"wait-{number}" for thread in threading.enumerate()))
    with pytest.raises(ProcessLookupError):
        os.kill(number, 0)


def test_the_time_left_is_that_of_the_stage_and_leaves_out_what_was_taken_over(tmp_path, monkeypatch):
    now = 1_800_000_000.0
    monkeypatch.setattr(time, "time", lambda: now)
    left = []
    with jobs.JobFolder(tmp_path / "job", kind="audit") as job:
        for passed, done, total, more in (
            (1, 10, 100, {"stage": "checks"}),
            (10, 60, 100, {"stage": "checks", "skipped": 40}),  # ten steps in ten seconds, and forty more for free
            (1, 1, 50, {"stage": "model"}),
            (8, 5, 50, {"stage": "model"}),
        ):
            now += passed
            job.status("at work", done, total, **more)
            status = json.loads((job.folder / "status.json").read_text())
            assert (status["done"], status["total"], status["stage"]) == (done, total, more["stage"])
            left.append(
                jobs._seconds_left(status | {"updated": datetime.fromtimestamp(now, UTC).isoformat()}, done, total)
            )
    assert left == [None, pytest.approx(40), None, pytest.approx(90)]


def test_a_killed_job_is_lost_and_resumes_where_it_was(work):
    rng = np.random.default_rng(0)
    folder = jobs.start("work", ["--steps", "30", "--pause", "0.04"], name="killed")
    before = 0
    for _ in range(5):
        time.sleep(float(rng.uniform(0, 0.6)))
        kill(folder)
        state = jobs.read(folder)
        assert state.state == "lost"
        assert "gone" in state.message
        assert state.seconds_left is None
        saved = folder / "results" / "step.txt"
        assert not saved.exists() or int(saved.read_text()) >= before
        before = int(saved.read_text()) if saved.exists() else 0
        jobs.resume(folder)
        assert jobs.read(folder).active
    assert wait_state(folder, "finished", "failed").state == "finished"
    assert (folder / "results" / "step.txt").read_text() == "30"


def test_stop_is_heeded_within_two_seconds_and_resume_goes_on(work):
    folder = jobs.start("work", ["--steps", "1000", "--pause", "0.01"], name="stopped")
    wait_for(lambda: at_work(folder))
    asked = time.monotonic()
    jobs.request_stop(folder)
    state = wait_state(folder, "stopped", seconds=2)
    assert time.monotonic() - asked < 2
    assert not state.stopping
    assert not (folder / "stop").exists()
    done = int((folder / "results" / "step.txt").read_text())
    jobs.resume(folder)
    wait_for(lambda: at_work(folder) and jobs.read(folder).done > done)
    jobs.request_stop(folder)
    wait_state(folder, "stopped")
    with pytest.raises(JobError, match="is stopped; only a job that waits or runs"):
        jobs.request_stop(folder)


def test_a_request_to_stop_made_before_the_process_got_ready_is_heeded(work):
    folder = jobs.start("work", ["--steps", "1000", "--pause", "0.01"], name="early")
    jobs.request_stop(folder)
    wait_state(folder, "stopped", seconds=5)


def test_a_terminate_signal_stops_a_job_properly(work):
    folder = jobs.start("work", ["--steps", "1000", "--pause", "0.01"], name="terminated")
    wait_for(lambda: at_work(folder))
    os.kill(process_of(folder), signal.SIGTERM)
    assert wait_state(folder, "stopped", "lost", seconds=2).state == "stopped"


def test_a_job_that_throws_is_failed_with_its_reason(work):
    folder = jobs.start("work", ["--crash"], name="crash")
    state = wait_state(folder, "failed", "lost")
    assert state.message == "RuntimeError: a line\nand <b>another</b>"
    assert "Traceback" in state.log


def test_a_job_that_refuses_its_arguments_is_failed_with_its_last_line(work):
    folder = jobs.start("work", ["--wrong"], name="wrong")
    state = wait_state(folder, "failed")
    assert state.message == "work: --wrong is wrong"


def test_two_processes_cannot_work_in_one_folder(work):
    folder = jobs.start("work", ["--steps", "1000", "--pause", "0.01"], name="one")
    wait_for(lambda: at_work(folder))
    second = subprocess.run(
        [sys.executable, str(work), "work", "--steps", "3", "--resume", "--out", str(folder)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        timeout=30,
        check=False,
    )
    assert second.returncode == 1
    assert f"is already running as process {process_of(folder)}" in second.stderr
    assert jobs.read(folder).state == "running"
    with pytest.raises(JobError, match="already"):
        jobs.resume(folder)


def test_of_many_who_resume_at_one_moment_one_succeeds(work):
    folder = jobs.start("work", ["--steps", "1000", "--pause", "0.02"], name="race")
    wait_for(lambda: at_work(folder))
    kill(folder)
    barrier, results = threading.Barrier(6), []

    def press():
        barrier.wait()
        try:
            jobs.resume(folder)
            results.append("started")
        except JobError as error:
            results.append(str(error))

    threads = [threading.Thread(target=press) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results.count("started") == 1
    assert all("already" in result for result in results if result != "started")
    wait_for(lambda: at_work(folder))


def test_jobs_started_at_one_moment_get_folders_of_their_own(work):
    folders = []
    threads = [
        threading.Thread(target=lambda: folders.append(jobs.start("work", ["--steps", "1"], name="same")))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(folders)) == 4
    for folder in folders:
        wait_state(folder, "finished")
    assert {state.folder for state in jobs.list_jobs()} == set(folders)


def test_three_jobs_work_one_after_another_in_the_order_they_came(work):
    folders = []
    for number in range(3):
        folders.append(jobs.start("work", ["--turn", "--steps", "10", "--pause", "0.03"], name=f"number {number}"))
        wait_for(lambda: (jobs.workspace_folder("jobs") / ".queue").is_dir())
        # Its ticket, so that the order is known.
        wait_for(lambda: jobs.read(folders[-1]).message != "starting")
    assert any(jobs.read(folder).message == "waiting for its turn" for folder in folders[1:])
    for folder in folders:
        wait_state(folder, "finished")
    lines = (folders[0].parent / "order.txt").read_text().splitlines()
    told = [tuple(line.split()[:2]) for line in sorted(lines, key=lambda line: float(line.split()[2]))]
    assert told == [(word, folder.name) for folder in folders for word in ("begin", "end")]


def test_a_waiting_job_goes_on_when_the_one_at_work_is_killed(work):
    first = jobs.start("work", ["--turn", "--steps", "1000", "--pause", "0.02"], name="first")
    wait_for(lambda: at_work(first))
    second = jobs.start("work", ["--turn", "--steps", "5"], name="second")
    third = jobs.start("work", ["--turn", "--steps", "5"], name="third")
    wait_for(lambda: jobs.read(second).message == jobs.read(third).message == "waiting for its turn")
    kill(second)
    assert jobs.read(second).state == "lost"
    assert jobs.read(third).state == "waiting"
    kill(first)
    wait_state(third, "finished", seconds=5)


def test_a_waiting_job_can_be_stopped(work):
    first = jobs.start("work", ["--turn", "--steps", "1000", "--pause", "0.02"], name="first")
    wait_for(lambda: at_work(first))
    second = jobs.start("work", ["--turn"], name="second")
    wait_for(lambda: jobs.read(second).message == "waiting for its turn")
    jobs.request_stop(second)
    wait_state(second, "stopped", seconds=2)
    assert jobs.read(first).state == "running"


def test_another_process_with_the_same_id_is_not_taken_for_the_job(work):
    folder = jobs.start("work", ["--steps", "1000", "--pause", "0.02"], name="reused")
    wait_for(lambda: at_work(folder))
    kill(folder)
    here = {"id": os.getpid(), "started": "another boot 12345"}
    for file, content in (("status.json", {"state": "running", "process": here}), ("process.json", here)):
        (folder / file).write_text(json.dumps(content))
    assert jobs.read(folder).state == "lost"
    here["started"] = jobs.process_started(os.getpid())
    (folder / "process.json").write_text(json.dumps(here))
    assert jobs.read(folder).state == "running"  # the same id with the true time is taken for it
    (folder / "process.json").unlink()


def test_the_start_of_a_process_is_told_until_its_end():
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    started = jobs.process_started(process.pid)
    assert started == jobs.process_started(process.pid)
    assert started != jobs.process_started(os.getpid())
    process.communicate(b"\n")
    assert jobs.process_started(process.pid) is None
    child = subprocess.Popen([sys.executable, "-c", ""])
    # Dead and not yet buried: still in the table of processes, and yet gone.
    wait_for(lambda: jobs.process_started(child.pid) is None)
    child.wait()


DAMAGES = {
    "empty": b"",
    "half": b'{"state": "runn',
    "a list": b"[1, 2]",
    "a number": b"7",
    "no text": b"\xff\xfe\x00\x81",
    "deep": b"[" * 100_000,
    "unknown state": b'{"state": "dancing"}',
    "state is a list": b'{"state": ["running"]}',
    "large": b" " * (2**20 + 1),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_status_is_told_and_the_list_stands(work, damage):
    good = jobs.start("work", ["--steps", "1"], name="good")
    bad = jobs.start("work", ["--steps", "1"], name="bad")
    for folder in (good, bad):
        wait_state(folder, "finished")
    wait_for(lambda: jobs.process_started(process_of(bad)) is None)
    (bad / "status.json").write_bytes(DAMAGES[damage])
    states = {state.folder: state for state in jobs.list_jobs()}
    assert states[good].state == "finished"
    assert states[bad].state == "lost"
    assert "status.json" in states[bad].problem
    assert states[bad].name == "bad"


def test_odd_values_in_a_status_do_no_harm(work):
    folder = jobs.start("work", ["--steps", "1"], name="odd")
    wait_state(folder, "finished")
    wait_for(lambda: jobs.process_started(process_of(folder)) is None)
    for values in (
        '{"state": "finished", "done": "many", "total": -3, "message": ["x"], "updated": 5}',
        '{"state": "finished", "done": NaN, "total": Infinity, "began": "x", "updated": "yesterday"}',
        '{"state": "running", "done": 1e300, "total": true, "process": "me"}',
        '{"state": "running", "process": {"id": "7", "started": []}}',
        '{"state": "running", "process": {"id": -1, "started": "x"}}',
    ):
        (folder / "status.json").write_text(values)
        state = jobs.read(folder)
        assert (state.done, state.total, state.seconds_left) == (0, 0, None)
        assert isinstance(state.message, str)
        assert state.state in ("finished", "lost")


def test_a_folder_without_anything_or_with_folders_for_files_is_listed(work):
    place = jobs.workspace_folder("jobs")
    (place / "nothing").mkdir()
    for name in ("status.json", "command.json", "process.json", "log.txt", "stop"):
        (place / "folders" / name).mkdir(parents=True)
    states = jobs.list_jobs()
    assert {state.name for state in states} == {"nothing", "folders"}
    assert all(state.state == "lost" and state.problem and not state.command for state in states)
    for state in states:
        with pytest.raises(JobError, match="does not tell its command"):
            jobs.resume(state.folder)


def test_a_status_damaged_during_the_work_is_replaced_by_the_next(work):
    folder = jobs.start("work", ["--steps", "60", "--pause", "0.05"], name="hurt")
    wait_for(lambda: at_work(folder))
    (folder / "status.json").write_bytes(b'{"sta')
    state = jobs.read(folder)
    assert state.state == "running"
    assert state.active
    assert wait_state(folder, "finished").problem == ""


def test_a_job_typed_in_a_shell_is_read_and_resumed_alike(work, tmp_path):
    place = tmp_path / "elsewhere"
    place.mkdir()
    words = ["work", "--steps", "100", "--pause", "0.03", "--out", "job"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen([sys.executable, str(work), *words], cwd=place, env=environment) as process:
        wait_for(lambda: (place / "job" / "status.json").exists() and at_work(place / "job"))
        process.kill()
    state = jobs.read(place / "job")
    assert (state.state, state.kind, state.name) == ("lost", "work", "job")
    (place / "job").rename(place / "moved")
    (place / "moved" / "stop").touch()
    jobs.resume(place / "moved")
    state = wait_state(place / "moved", "finished")
    assert state.done == 100
    assert not (place / "job").exists()


def test_an_old_stop_file_does_not_stop_a_job_typed_in_a_shell(tmp_path):
    (tmp_path / "job").mkdir()
    (tmp_path / "job" / "stop").touch()
    with jobs.JobFolder(tmp_path / "job", kind="work") as job:
        assert not job.should_stop()
    assert jobs.read(tmp_path / "job").state == "finished"


def test_a_job_is_deleted_only_when_it_rests_and_only_in_the_workspace(work, tmp_path):
    folder = jobs.start("work", ["--steps", "1000", "--pause", "0.02"], name="delete")
    wait_for(lambda: at_work(folder))
    with pytest.raises(JobError, match="is at work"):
        jobs.delete(folder)
    jobs.request_stop(folder)
    wait_state(folder, "stopped")
    outside = tmp_path / "outside"
    outside.mkdir()
    link = folder.parent / "link"
    link.symlink_to(outside)
    for wrong in (outside, link, folder / "results", folder.parent, folder.parent / ".queue", folder.parent / "x"):
        with pytest.raises(JobError, match="no job folder of this workspace"):
            jobs.delete(wrong)
    jobs.delete(folder)
    assert not folder.exists()
    assert outside.exists()
    assert [state.name for state in jobs.list_jobs()] == ["link"]


@pytest.mark.parametrize(
    ("kind", "arguments", "match"),
    [
        ("rm", [], "'rm' is no kind of job; choose one of work"),
        ("work", ["--out", "/tmp"], "cannot hold --out"),
        ("work", ["--out=/tmp"], "cannot hold --out=/tmp"),
        ("work", ["--resume"], "cannot hold --resume"),
        ("work", ["a\0b"], "zero character"),
    ],
)
def test_what_cannot_be_started_is_refused_and_leaves_nothing(work, kind, arguments, match):
    with pytest.raises(JobError, match=match):
        jobs.start(kind, arguments, name="x")
    assert jobs.list_jobs() == []


def test_arguments_reach_the_process_as_they_are(work):
    odd = ["--name", "a b'; touch x\n$(id)", "--data", "folder/naïve 图.zip"]
    folder = jobs.start("work", ["--steps", "1", *odd], name="../../etc")
    assert folder.parent == jobs.workspace_folder("jobs")
    assert wait_state(folder, "finished").command.startswith(f"python {work} work --steps 1 --name 'a b'\"'\"'; touch")


def test_status_is_written_rarely_however_often_it_is_told(tmp_path, monkeypatch):
    written = []
    with jobs.JobFolder(tmp_path / "job", kind="work") as job:
        job.status("begin", 0, 100_000)
        monkeypatch.setattr(jobs, "write_json", lambda path, content: written.append(content["done"]))
        began = time.perf_counter()
        for step in range(10_000):
            job.status("at it", step, 100_000)
            job.should_stop()
        elapsed = time.perf_counter() - began
        monkeypatch.undo()
    assert len(written) <= 1 + elapsed / 0.5
    assert jobs.read(tmp_path / "job").done == 9_999


def test_a_status_that_cannot_be_written_does_not_end_the_work(tmp_path, monkeypatch, capsys):
    def no_room(path, content):
        raise DeconvError("status.json could not be written (No space left on device).")

    with jobs.JobFolder(tmp_path / "job", kind="work") as job:
        monkeypatch.setattr(jobs, "write_json", no_room)
        job.status("still here", 1, 2)
        monkeypatch.undo()
    assert "No space left" in capsys.readouterr().err
    assert jobs.read(tmp_path / "job").state == "finished"


def test_low_priority_lets_others_go_first(tmp_path):
    code = (
        "import os, sys\nfrom deconv_core.jobs import JobFolder\n"
        "with JobFolder(sys.argv[1], kind='x', low_priority=True): print(os.nice(0))"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "job")], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert int(answer.stdout) >= 10


def test_the_tail_of_a_log_is_shortened_and_made_printable(tmp_path):
    (tmp_path / "log.txt").write_bytes(
        b"first\n" + b"x" * 40_000 + b"\nstep 1\rstep 2\r\x1b[31mred\x1b[0m\nbell\x07 \xff\nlast\n"
    )
    lines = jobs.read(tmp_path).log.splitlines()
    assert lines == ["red", "bell? \ufffd", "last"]


def test_a_log_line_is_one_line(tmp_path):
    with jobs.JobFolder(tmp_path / "job", kind="x") as job:
        job.log("left out a\nb.png: \udcff")
    (line,) = (tmp_path / "job" / "log.txt").read_text().splitlines()
    assert line.endswith("left out a b.png: \\udcff")
