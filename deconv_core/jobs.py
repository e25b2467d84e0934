"""Long work: a job folder, and the process that fills it by running a command that a person can type.

A folder holds `settings.json` (written by the command), `status.json` (replaced as a whole, never half written),
`command.json`, `log.txt`, `results/`, and `stop`, a file that asks for an end. `JobFolder` is for the process that does
the work; `start`, `resume`, `request_stop`, `read`, `list_jobs` and `delete` are for whoever watches.

Two facts come from the kernel and never from a guess: who works in a folder (a lock on it, and the process id with its
start time, since ids are given again), and whose turn it is (locks in the queue, which a killed process gives up).
Everything else in a folder may be damaged or missing; it is then reported, and the list of jobs still stands.
"""

from __future__ import annotations

import errno
import fcntl
import json
import math
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from deconv_core.errors import DeconvError, JobError
from deconv_core.files import write_json
from deconv_core.workspace import folder as workspace_folder

KINDS = ("train", "compare", "agree", "audit")
STATES = ("waiting", "running", "finished", "stopped", "failed")
PROGRAM = ("-m", "deconv_core")

_LOCK, _QUEUE, _TURN = ".lock", ".queue", ".turn"
_STARTED_BY = "DECONV_JOB_FOLDER"  # set for a process that `start` or `resume` made
_STOP_CHECK_SECONDS = 0.2
_STATUS_SECONDS = 0.5
_TURN_SECONDS = 0.3
_LOCK_SECONDS = 2.0
_LOW_PRIORITY = 10
_MAX_JSON_BYTES = 2**20
_LOG_BYTES = 16 * 2**10
_LOG_LINES = 100


@dataclass(frozen=True)
class JobState:
    """What a job folder tells at one moment.

    Attributes:
        folder: The job folder.
        kind: `train`, ... or "" where the folder does not tell.
        name: As given by the user; data, to be escaped where it is shown.
        state: `waiting`, `running`, `finished`, `stopped`, `failed`, or `lost`: it was at work and its process is gone.
        done: Steps done.
        total: Steps in all, 0 where not known.
        message: One sentence.
        stage: What `done` and `total` belong to, or "" where the work has one stage alone.
        seconds_left: Estimate from the steps done since the process began, or None.
        stopping: An end was asked for and is awaited.
        updated: Seconds since 1970 when the status was written, or None.
        created: Seconds since 1970 when the folder was made.
        command: The command line for copying, or "".
        log: The last lines of the log.
        problem: What is damaged in the folder, or "".
    """

    folder: Path
    kind: str
    name: str
    state: str
    done: int = 0
    total: int = 0
    message: str = ""
    stage: str = ""
    seconds_left: float | None = None
    stopping: bool = False
    updated: float | None = None
    created: float = 0.0
    command: str = ""
    log: str = ""
    problem: str = ""

    @property
    def active(self) -> bool:
        """Whether a process works on it or waits for its turn."""
        return self.state in ("waiting", "running")


# Inside the process that does the work


class JobFolder:
    """The job folder as seen by the process that works in it; a context manager.

    Entering takes the folder for this process alone, waits for its turn if asked to, and says `running`. Leaving
    says how it ended: `finished`; `stopped` after `KeyboardInterrupt`, or if the end was asked for; `failed` after any
    other exception, which goes on to the caller. A terminate signal counts as a request to stop, a second one ends the
    process.

    Args:
        folder: Made if missing.
        kind: The command, for a folder that `start` did not make.
        wait_turn: Wait until no other job of this workspace that waits its turn is at work. Enter before heavy
            imports: what waits should be small.
        low_priority: Let everything else on this machine go first.

    Raises:
        JobError: Another process works in the folder, or it cannot be written.
        KeyboardInterrupt: An end was asked for while it waited.

    Example:
        >>> import tempfile
        >>> with JobFolder(tempfile.mkdtemp() + "/job", kind="train") as job:
        ...     for step in range(3):
        ...         if job.should_stop():
        ...             break
        ...         job.status(f"step {step + 1} of 3", step + 1, 3)
        >>> read(job.folder).state
        'finished'
    """

    def __init__(
        self, folder: Path | str, *, kind: str = "", wait_turn: bool = False, low_priority: bool = False
    ) -> None:
        self.folder = Path(folder).absolute()
        self.results = self.folder / "results"
        self._kind, self._wait_turn, self._low_priority = kind, wait_turn, low_priority
        self._process = {"id": os.getpid(), "started": process_started(os.getpid())}
        self._locks: list[int] = []
        self._ticket: Path | None = None
        self._stopping, self._stop_checked = False, -math.inf
        self._status: dict[str, Any] = {}
        self._written = -math.inf
        self._final_message: str | None = None
        self._former_handler: Any = None

    def __enter__(self) -> JobFolder:
        try:
            self.results.mkdir(parents=True, exist_ok=True)
            self._take_folder()
        except OSError as error:
            raise JobError(
                f"The job folder '{self.folder}' cannot be written ({error.strerror}); choose another one."
            ) from error
        try:
            if os.environ.get(_STARTED_BY) != str(self.folder):
                # Typed by a person: a request that an earlier process left unanswered is not meant for this one.
                with suppress(OSError):
                    (self.folder / "stop").unlink()
            if _read_command(self.folder)[1]:
                words = [word for word in sys.argv[1:] if word != "--resume"]
                _write_command(self.folder, self._kind, self.folder.name, words)
            if threading.current_thread() is threading.main_thread():
                self._former_handler = signal.signal(signal.SIGTERM, self._terminate)
            if self._low_priority:
                os.nice(max(0, _LOW_PRIORITY - os.nice(0)))
            earlier = _read_json(self.folder / "status.json")[0]
            self._status = {"done": _count(earlier.get("done")), "total": _count(earlier.get("total"))}
            if self._wait_turn:
                self._await_turn()
            self._status |= {"began": time.time(), "first_done": None}
            self.status("started", state="running")
        except BaseException as error:
            self.__exit__(type(error), error, error.__traceback__)
            raise
        return self

    def __exit__(self, kind, error, trace) -> None:
        try:
            # The state comes last: whoever sees it may count on the rest.
            if error is not None and not isinstance(error, KeyboardInterrupt | DeconvError):
                self._append("".join(traceback.format_exception(kind, error, trace)))
            with suppress(OSError):
                (self.folder / "stop").unlink()
            if error is None and not self._stopping:
                self.status(self._final_message, state="finished")
            elif error is None or isinstance(error, KeyboardInterrupt):
                self.status(self._final_message or "stopped on request; it can be resumed", state="stopped")
            else:
                told = str(error) or kind.__name__
                self.status(told if isinstance(error, DeconvError) else f"{kind.__name__}: {told}", state="failed")
        finally:
            if self._former_handler is not None:
                signal.signal(signal.SIGTERM, self._former_handler)
            if self._ticket is not None:
                self._ticket.unlink(missing_ok=True)
            for lock in reversed(self._locks):
                os.close(lock)
            self._locks.clear()

    def status(
        self,
        message: str | None = None,
        done: int | None = None,
        total: int | None = None,
        *,
        state: str = "running",
        stage: str = "",
        skipped: int = 0,
    ) -> None:
        """Tell how far the work is. Cheap to call at every step: written at most twice a second, or when state or
        total change.

        Args:
            message: One sentence; None keeps the last one.
            done, total: Steps; None keeps the last ones.
            state: One of STATES.
            stage: What the steps belong to. Where it changes, `done` begins anew, and so does the time they take.
            skipped: How many of the steps since the last call were taken over rather than done: they took no time.
        """
        if state not in STATES:
            raise JobError(f"A job cannot be '{state}'; expected one of {', '.join(STATES)}.")
        now = time.time()
        if stage and stage != self._status.get("stage"):
            self._status |= {"stage": stage, "first_done": None}
        changed = state != self._status.get("state") or (total is not None and total != self._status.get("total"))
        given = {"state": state, "done": done, "total": total, "message": message}
        self._status |= {key: value for key, value in given.items() if value is not None}
        if done is not None and self._status.get("first_done") is None:
            # The first report comes after the first step or chunk; what is before it took no time of this process.
            self._status |= {"first_done": done, "began": now}
        elif skipped:
            self._status["first_done"] += skipped
        if not changed and now - self._written < _STATUS_SECONDS:
            return
        self._written = now
        self._status["updated"] = datetime.now(UTC).isoformat(timespec="milliseconds")
        self._status["process"] = self._process
        try:
            write_json(self.folder / "status.json", self._status)
        except DeconvError as error:
            # Hours of work are worth more than the news of them.
            print(error, file=sys.stderr)

    def finish_message(self, message: str) -> None:
        """The sentence that stands in the status when the work has ended well, or was stopped."""
        self._final_message = message

    def log(self, line: str) -> None:
        """Add one line with its time to `log.txt`; line breaks within it become spaces."""
        self._append(f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} {' '.join(line.splitlines())}\n")

    def _append(self, text: str) -> None:
        try:
            with (self.folder / "log.txt").open("a", encoding="utf-8", errors="backslashreplace") as file:
                file.write(text)
        except OSError as error:
            print(f"log.txt could not be written: {error.strerror}", file=sys.stderr)

    def should_stop(self) -> bool:
        """Whether an end was asked for; looks at the disk at most five times a second."""
        now = time.monotonic()
        if not self._stopping and now - self._stop_checked >= _STOP_CHECK_SECONDS:
            self._stop_checked = now
            self._stopping = _exists(self.folder / "stop")
        return self._stopping

    def _terminate(self, *_) -> None:
        self._stopping = True
        signal.signal(signal.SIGTERM, signal.SIG_DFL)

    def _take_folder(self) -> None:
        lock = _open_lock(self.folder)
        if not _await_lock(lock):
            os.close(lock)
            process = _read_json(self.folder / "status.json")[0].get("process")
            number = process.get("id") if isinstance(process, dict) else None
            raise JobError(
                f"'{self.folder}' is already running{f' as process {number}' if number else ''}; "
                "wait until it ends, stop it, or choose another folder."
            )
        self._locks.append(lock)

    def _await_turn(self) -> None:
        """First come, first served: a ticket in the queue, held by a lock, and one lock for the work itself."""
        queue = workspace_folder("jobs") / _QUEUE
        queue.mkdir(exist_ok=True)
        while True:
            ticket = queue / f"{time.time_ns():020d}-{os.getpid()}"
            lock = os.open(ticket, os.O_RDWR | os.O_CREAT, 0o644)
            fcntl.flock(lock, fcntl.LOCK_EX)
            # Between making and locking it, another process may have taken it for a dead one's and removed it.
            if os.fstat(lock).st_nlink:
                break
            os.close(lock)
        self._ticket = ticket
        self._locks.append(lock)
        turn = os.open(queue / _TURN, os.O_RDWR | os.O_CREAT, 0o644)
        self._locks.append(turn)
        while _is_someone_before(ticket) or not _try_lock(turn):
            self.status("waiting for its turn", state="waiting")
            if self.should_stop():
                raise KeyboardInterrupt
            time.sleep(_TURN_SECONDS)


def check_resume(folder: Path, resume: bool, *, begun: bool = False) -> None:
    """Refuse to write over a run, and to go on where there is none.

    Args:
        folder: The job folder that was asked for.
        resume: Whether the run in it is to go on.
        begun: Going on needs the `settings.json` of a run that has begun; without it the folder is enough.

    Raises:
        DeconvError: The folder holds a run and `resume` is not given, or the other way round.
    """
    holds_run = (folder / "settings.json").exists()
    if not resume and holds_run:
        raise DeconvError(f"'{folder.name}' already holds a run. Choose another folder, or go on with --resume.")
    if resume and not (holds_run if begun else folder.is_dir()):
        raise DeconvError(f"Nothing to resume in '{folder.name}': it holds no run. Start without --resume.")


def stderr_is_log() -> bool:
    """Whether `start` or `resume` made this process: what it prints to stderr then stands in its `log.txt` already."""
    return _STARTED_BY in os.environ


def _is_someone_before(ticket: Path) -> bool:
    for other in sorted(path for path in ticket.parent.iterdir() if path.name != _TURN and path.name < ticket.name):
        try:
            lock = os.open(other, os.O_RDWR)
        except FileNotFoundError:
            continue
        try:
            if not _try_lock(lock):
                return True
            other.unlink(missing_ok=True)  # its process is gone
        finally:
            os.close(lock)
    return False


def _open_lock(folder: Path) -> int:
    return os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o644)


def _exists(path: Path) -> bool:
    return os.path.exists(path)  # noqa: PTH110 - a folder without permissions is no error here


def _await_lock(lock: int) -> bool:
    """Whether the lock could be had soon: who ends, starts a process or merely looks holds it for an instant."""
    end = time.monotonic() + _LOCK_SECONDS
    while not _try_lock(lock):
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def _try_lock(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


# From outside


def start(kind: str, arguments: Sequence[str], *, name: str) -> Path:
    """Make a job folder in the workspace and start the command that fills it, as a process of its own.

    Args:
        kind: One of KINDS.
        arguments: What follows `python -m deconv_core KIND`, word by word and without `--out`; never seen by a shell.
        name: What the user calls it.

    Returns:
        The job folder.

    Raises:
        JobError: Another kind, arguments that are not for the caller to give, or a process that cannot be started.
    """
    words = [str(word) for word in arguments]
    if kind not in KINDS:
        raise JobError(f"'{kind}' is no kind of job; choose one of {', '.join(KINDS)}.")
    reserved = [word for word in words if word.partition("=")[0] in ("--out", "--resume")]
    if reserved or any("\0" in word for word in words):
        raise JobError(
            f"The arguments of a job cannot hold {reserved[0] if reserved else 'a zero character'}; leave it out."
        )
    jobs = workspace_folder("jobs")
    draft = Path(tempfile.mkdtemp(prefix=".new-", dir=jobs))
    lock = _open_lock(draft)
    try:
        _try_lock(lock)  # whoever looks before the process is there sees a folder at work
        write_json(draft / "status.json", {"state": "waiting", "done": 0, "total": 0, "message": "starting"})
        _write_command(draft, kind, name, [kind, *words])
        folder = _place(draft, kind, name)
        _spawn(folder, _read_command(folder)[0])
    except OSError as error:
        raise JobError(f"A job folder cannot be made in '{jobs}' ({error.strerror}); make room on the disk.") from error
    finally:
        os.close(lock)
        shutil.rmtree(draft, ignore_errors=True)
    return folder


def resume(folder: Path | str) -> Path:
    """Start the command of a job again, with `--resume`; a request to stop is withdrawn.

    Raises:
        JobError: It is at work, or the folder does not tell its command.
    """
    folder = Path(folder).absolute()
    state = read(folder)
    lock = _open_lock(folder)
    try:
        # Looked at again while no other server can start it.
        if state.active or not _await_lock(lock) or (state := _read(folder, is_locked=False)).active:
            raise JobError(f"'{state.name}' is waiting or running already; stop it first, or wait until it ends.")
        command, problem = _read_command(folder)
        if problem:
            raise JobError(f"'{folder}' does not tell its command ({problem}); start a new job.")
        (folder / "stop").unlink(missing_ok=True)
        status = {"state": "waiting", "done": state.done, "total": state.total, "message": "starting again"}
        write_json(folder / "status.json", status)
        _spawn(folder, command, "--resume")
    finally:
        os.close(lock)
    return folder


def request_stop(folder: Path | str) -> None:
    """Ask a job to end; it does so within two seconds, keeps what was done and can be resumed.

    Raises:
        JobError: It is neither waiting nor running.
    """
    folder = Path(folder)
    state = read(folder)
    if not state.active:
        raise JobError(f"'{state.name}' is {state.state}; only a job that waits or runs can be stopped.")
    (folder / "stop").touch()


def delete(folder: Path | str) -> None:
    """Delete a job of this workspace with everything in it.

    Raises:
        JobError: It is at work, or lies elsewhere.
    """
    folder = Path(folder).absolute()
    jobs = workspace_folder("jobs")
    inside = not folder.is_symlink() and folder.is_dir() and folder.resolve().parent == jobs.resolve()
    if not inside or folder.name.startswith("."):
        raise JobError(f"'{folder}' is no job folder of this workspace; only such folders are deleted here.")
    state = read(folder)
    lock = _open_lock(folder)
    try:
        if state.active or not _await_lock(lock):
            raise JobError(f"'{state.name}' is at work; stop it before it is deleted.")
        # Renamed first: a half deleted job is then never listed.
        gone = jobs / f".deleted-{folder.name}-{time.time_ns()}"
        folder.rename(gone)
        shutil.rmtree(gone, ignore_errors=True)
    finally:
        os.close(lock)


def list_jobs() -> list[JobState]:
    """All jobs of the workspace, the newest first; a damaged one is among them and says so."""
    states = []
    for path in workspace_folder("jobs").iterdir():
        if path.is_dir() and not path.name.startswith("."):
            try:
                states.append(read(path))
            except JobError:  # deleted meanwhile
                continue
    return sorted(states, key=lambda state: (state.created, state.folder.name), reverse=True)


def read(folder: Path | str) -> JobState:
    """What a job folder tells now, whatever the condition of its files.

    Raises:
        JobError: There is no such folder.
    """
    folder = Path(folder).absolute()
    if not folder.is_dir():
        raise JobError(f"'{folder}' is no job folder; it may have been deleted.")
    return _read(folder)


def _read(folder: Path, *, is_locked: bool | None = None) -> JobState:
    """`is_locked` is given by a caller who holds the lock."""
    command, command_problem = _read_command(folder)
    found, problem = _read_json(folder / "status.json")
    state = found.get("state")
    if not problem and state not in STATES:
        problem = f"status.json holds the state {state!r}"
    starter = _read_json(folder / "process.json")[0]
    log = _log_tail(folder / "log.txt")
    message = found.get("message")
    message = message if isinstance(message, str) else ""
    stage = found.get("stage")
    if problem or state in ("waiting", "running"):
        process = found.get("process")
        if _is_alive(process) or _is_alive(starter) or (_is_locked(folder) if is_locked is None else is_locked):
            state = "running" if problem else state
        else:
            # It may have ended between the two looks; its last word is then newer than the first look.
            again, _ = _read_json(folder / "status.json")
            if again != found and again.get("state") in STATES:
                return _read(folder, is_locked=is_locked)
            if problem:
                state, message = "lost", "How it ended is not known. What was done is kept, and it can be resumed."
            elif isinstance(process, dict):
                state, message = "lost", "Its process is gone. What was done is kept, and it can be resumed."
            else:
                state, message = "lost", "Its process was gone before its work began. It can be resumed."
    done, total = _count(found.get("done")), _count(found.get("total"))
    return JobState(
        folder=folder,
        kind=command.get("kind") or "",
        name=command.get("name") or folder.name,
        state=state,
        done=done,
        total=total,
        message=message,
        stage=stage if isinstance(stage, str) else "",
        seconds_left=_seconds_left(found, done, total) if state == "running" else None,
        stopping=state in ("waiting", "running") and _exists(folder / "stop"),
        updated=_moment(found.get("updated")),
        created=_number(command.get("created")) or _made(folder),
        command=shlex.join(["python", *PROGRAM, *_words(folder, command)]) if command else "",
        log=log,
        problem="; ".join(filter(None, (problem, command_problem))),
    )


def process_started(number: int) -> str | None:
    """A mark of when the process with this id began, or None if there is none (a dead one not yet buried included)."""
    try:
        # The command's name stands in brackets and may itself hold brackets and spaces.
        fields = Path(f"/proc/{number}/stat").read_text(errors="replace").rpartition(")")[2].split()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except FileNotFoundError:
        if Path("/proc/self/stat").exists():
            return None
    except (ProcessLookupError, PermissionError):
        return None
    else:
        return None if fields[0] in ("Z", "X") else f"{boot} {fields[19]}"
    shown = subprocess.run(
        ["ps", "-o", "stat=,lstart=", "-p", str(number)], capture_output=True, text=True, check=False
    )
    status, _, began = shown.stdout.strip().partition(" ")
    return began.strip() if shown.returncode == 0 and began and not status.startswith("Z") else None


def _is_alive(process: Any) -> bool:
    """Whether the process written down still runs: the id alone may have been given to another one."""
    if not isinstance(process, dict):
        return False
    number, started = process.get("id"), process.get("started")
    return isinstance(number, int) and number > 0 and bool(started) and process_started(number) == started


def _is_locked(folder: Path) -> bool:
    """Whether a process holds the folder: also one of another container, whose ids mean nothing here."""
    try:
        lock = os.open(folder / _LOCK, os.O_RDWR)
    except OSError:
        return False
    try:
        return not _try_lock(lock)
    finally:
        os.close(lock)


def _place(draft: Path, kind: str, name: str) -> Path:
    """Give the finished draft a name of its own: date, kind and the user's words."""
    words = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40].strip("-")
    stem = "-".join(filter(None, (f"{datetime.now():%Y%m%d-%H%M%S}", kind, words)))
    for number in range(1, 1000):
        folder = draft.parent / (stem if number == 1 else f"{stem}-{number}")
        try:
            return draft.rename(folder)
        except OSError as error:
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR):
                raise
    raise JobError(f"A thousand jobs are called '{stem}'; wait a second.")


def _words(folder: Path, command: Mapping[str, Any]) -> list[str]:
    """The command's words, with the folder where it lies now."""
    words = [word for word in command["arguments"] if not word.startswith("--out=")]
    if "--out" in words:
        place = words.index("--out")
        del words[place : place + 2]
    return [*words, "--out", str(folder)]


def _spawn(folder: Path, command: Mapping[str, Any], *more: str) -> None:
    root = str(Path(__file__).resolve().parents[1])
    paths = [root, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    environment = {**os.environ, _STARTED_BY: str(folder), "PYTHONPATH": os.pathsep.join(paths)}
    place = command.get("place")
    try:
        with (folder / "log.txt").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, *PROGRAM, *_words(folder, command), *more],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment,
                cwd=place if isinstance(place, str) and Path(place).is_dir() else None,
                start_new_session=True,  # Ctrl-C at the server is not meant for it
            )
    except (OSError, ValueError) as error:
        write_json(folder / "status.json", {"state": "failed", "message": "Its process could not be started."})
        raise JobError(f"The job '{folder.name}' could not be started ({error}); make room and try again.") from error
    write_json(folder / "process.json", {"id": process.pid, "started": process_started(process.pid)})
    threading.Thread(target=_await_end, args=(folder, process), name=f"wait-{process.pid}", daemon=True).start()


def _await_end(folder: Path, process: subprocess.Popen) -> None:
    """Bury the child, and speak for one that refused its command line before it came to its folder."""
    status = process.wait()
    if status <= 0 or not folder.is_dir():
        return
    lock = _open_lock(folder)
    try:
        if _try_lock(lock) and not _read_json(folder / "status.json")[0].get("process"):
            last = _log_tail(folder / "log.txt").rpartition("\n")[2]
            write_json(folder / "status.json", {"state": "failed", "message": last or f"It ended with {status}."})
    except (DeconvError, OSError):  # deleted meanwhile
        pass
    finally:
        os.close(lock)


def _write_command(folder: Path, kind: str, name: str, words: Sequence[str]) -> None:
    write_json(
        folder / "command.json",
        {
            "kind": kind,
            "name": name,
            "arguments": list(words),
            "place": str(Path.cwd()),  # what relative paths among the arguments are relative to
            "created": time.time(),
        },
    )


def _read_command(folder: Path) -> tuple[dict[str, Any], str]:
    found, problem = _read_json(folder / "command.json")
    words = found.get("arguments", [])
    for key, kind in (("kind", str), ("name", str), ("arguments", list)):
        if not problem and not isinstance(found.get(key), kind):
            problem = f"command.json lacks its {key}"
    if not problem and not all(isinstance(word, str) for word in words):
        problem = "command.json holds arguments that are no text"
    return ({}, problem) if problem else (found, "")


def _read_json(path: Path) -> tuple[dict[str, Any], str]:
    """(content, problem): an empty dictionary and one sentence where the file cannot be used."""
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_JSON_BYTES + 1)
        if len(data) > _MAX_JSON_BYTES:
            return {}, f"{path.name} is far too large"
        content = json.loads(data)
    except FileNotFoundError:
        return {}, f"{path.name} is missing"
    except OSError as error:
        return {}, f"{path.name} cannot be read ({error.strerror})"
    except (ValueError, RecursionError):
        return {}, f"{path.name} is damaged"
    return (content, "") if isinstance(content, dict) else ({}, f"{path.name} is damaged")


def _number(value: Any) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e15
    return float(value) if is_number else None


def _count(value: Any) -> int:
    return max(0, int(_number(value) or 0))


def _moment(value: Any) -> float | None:
    try:
        return datetime.fromisoformat(value).timestamp()
    except (TypeError, ValueError, OverflowError, OSError):
        return None


def _made(folder: Path) -> float:
    try:
        return folder.stat().st_mtime
    except OSError:
        return 0.0


def _seconds_left(found: Mapping[str, Any], done: int, total: int) -> float | None:
    began, first, updated = _number(found.get("began")), _number(found.get("first_done")), _moment(found.get("updated"))
    if began is None or first is None or updated is None or not first < done <= total:
        return None
    if updated <= began:
        return None
    at_update = (total - done) * (updated - began) / (done - first)
    return max(0.0, at_update - max(0.0, time.time() - updated))


def _log_tail(path: Path) -> str:
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - _LOG_BYTES))
            text = file.read(_LOG_BYTES).decode("utf-8", "replace")
    except OSError:
        return ""
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text.replace("\r\n", "\n"))
    lines = [line.rstrip().rpartition("\r")[2] for line in text.split("\n")]  # a progress bar writes over itself
    if size > _LOG_BYTES:
        lines = lines[1:]
    lines = ["".join(letter if letter.isprintable() or letter == "\t" else "?" for letter in line) for line in lines]
    return "\n".join(lines[-_LOG_LINES:]).strip("\n")
