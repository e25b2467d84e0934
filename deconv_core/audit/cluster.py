"""Dask for audits: threads in this process, or a cluster by address, with one code; work goes out in bounded portions.

A portion that fails is tried again by Dask. One that kills its worker again and again is taken apart until the picture
that does it stands alone; that one becomes a row, and all others are measured.
"""

from __future__ import annotations

import logging
import os
import queue
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from deconv_core.archives import shown
from deconv_core.errors import DeconvError, JobError

if TYPE_CHECKING:
    from distributed import Client

HERE = "here"
RETRIES = 2
_CONNECT_SECONDS = 15
_POLL_SECONDS = 0.2
_ASK_SECONDS = 3.0
_HIDDEN = "127.0.0.1:0"


def num_threads() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def is_local(address: str = "") -> bool:
    """Whether `connected` works with threads in this process: asked to by HERE, or because there is no scheduler."""
    return address == HERE or not (address or os.environ.get("DASK_SCHEDULER_ADDRESS", ""))


@contextmanager
def connected(address: str = "", *, threads: int | None = None) -> Iterator[Client]:
    """A Dask client: of the scheduler at `address` or `DASK_SCHEDULER_ADDRESS`, else of threads in this process.

    A scheduler is trusted as this program itself is: what it sends is run.

    Raises:
        JobError: No scheduler answers there, or it has no workers.
    """
    import dask
    from distributed import Client, LocalCluster

    if is_local(address):
        # Dask always starts web servers for its state; here they have nothing to show and no one outside to show it to.
        quiet = {"distributed.scheduler.http.routes": [], "distributed.worker.http.routes": []}
        with (
            dask.config.set(quiet),
            LocalCluster(
                n_workers=1,
                threads_per_worker=threads or num_threads(),
                processes=False,
                dashboard_address=_HIDDEN,
                worker_dashboard_address=_HIDDEN,
                scheduler_kwargs={"dashboard": False},
                memory_limit=0,
                silence_logs=logging.CRITICAL,
            ) as cluster,
            Client(cluster, set_as_default=False) as client,
        ):
            yield client
        return
    address = address or os.environ["DASK_SCHEDULER_ADDRESS"]
    try:
        client = Client(address, timeout=_CONNECT_SECONDS, set_as_default=False)
    except (OSError, ValueError, TimeoutError) as error:
        raise JobError(
            f"No Dask scheduler answers at '{address}'; start one with 'dask scheduler', or leave --scheduler out."
        ) from error
    with client:
        try:
            client.wait_for_workers(1, timeout=_CONNECT_SECONDS)
        except TimeoutError as error:
            raise JobError(
                f"The scheduler at '{address}' has no workers; start one with 'dask worker {address}'."
            ) from error
        yield client


@dataclass(frozen=True)
class Needs:
    """What every worker of a cluster must see as this machine does, or nothing that it tells can be believed.

    Attributes:
        source: A file or folder, "" for none.
        model: A model by name or file, "" for none.
        digest: Of that model.
    """

    source: str = ""
    model: str = ""
    digest: str = ""

    def check(self) -> None:
        """Raise JobError, on the worker, for the first thing that it lacks."""
        if self.source and not os.path.exists(self.source):  # noqa: PTH110 - for every portion
            raise JobError(_not_seen(_worker_name(), self.source))
        if self.model and _digest_here(self.model) != self.digest:
            raise JobError(
                f"The Dask worker {_worker_name()} lacks the model '{self.model}', or has another one of that name; "
                "every worker must have the same. What was done is kept."
            )


def _worker_name() -> str:
    from distributed import get_worker

    try:
        return f"at {get_worker().address}"
    except ValueError:
        return "of this process"


def _digest_here(model: str) -> str:
    # Asked anew for every portion: a card is small, and a model that was lacking may have been copied here since.
    from deconv_core.models.saving import read_card

    try:
        return read_card(model)["digest"]
    except DeconvError:
        return ""


def checked(
    portion: list[Any], work: Callable[..., list[dict[str, Any]]], needs: Needs, *arguments: Any
) -> list[dict[str, Any]]:
    """`work(portion, *arguments)` on a worker that has what is needed.

    A row with a reason, whose file the worker cannot open, names both as `unseen`; see `refuse_unseen`.

    Args:
        portion: Entries whose last part is the picture, an `Item`.

    Raises:
        JobError: It has not.
    """
    needs.check()
    rows = work(portion, *arguments)
    for (*_, item), row in zip(portion, rows, strict=True):
        if (row.get("reason") or row.get("model_reason")) and (file := item.file()) and not _can_open(file):
            row["unseen"] = (_worker_name(), file)
    return rows


def refuse_unseen(rows: list[dict[str, Any]]) -> None:
    """Tell files that a worker cannot open from files that cannot be opened at all; the latter are rows like others.

    Raises:
        JobError: This machine can open a file that a worker could not: that says nothing about the picture.
    """
    for row in rows:
        worker, file = row.get("unseen", ("", ""))
        if file and _can_open(file):
            raise JobError(_not_seen(worker, file))


def _can_open(file: str) -> bool:
    try:
        return os.access(file, os.R_OK)
    except ValueError:  # no path at all
        return False


def _not_seen(worker: str, file: str) -> str:
    return (
        f"The Dask worker {worker} does not see '{shown(file)}'; every worker must see the pictures under the same "
        "path, and be allowed to read them. What was done is kept."
    )


class _Sealed:
    """A portion that Dask does not look into for results of other tasks, picture by picture."""

    __slots__ = ("entries",)

    def __init__(self, entries: list[Any]) -> None:
        self.entries = entries


def _work_on(portion: _Sealed, work: Callable[..., list[dict[str, Any]]], *arguments: Any) -> list[dict[str, Any]]:
    return work(portion.entries, *arguments)


def spread(
    client: Client,
    work: Callable[..., list[dict[str, Any]]],
    portions: Iterator[list[Any]],
    *arguments: Any,
    failed: Callable[[Any, str], dict[str, Any]],
    tick: Callable[[], None] = lambda: None,
) -> Iterator[list[dict[str, Any]]]:
    """Send portions to the workers and yield what comes back, in any order; never more than twice the threads are out.

    Args:
        client: See `connected`.
        work: `work(portion, *arguments)` returns one row per entry of the portion.
        portions: Drawn only when there is room for one.
        arguments: Sent with every portion.
        failed: `failed(entry, reason)` makes the row of an entry that cannot be worked on.
        tick: Called several times a second; may raise to end.

    Raises:
        DeconvError: The work itself raised it, which no other portion would fare better with.
        JobError: The scheduler is gone, or the workers lack this program.
    """
    done: queue.SimpleQueue = queue.SimpleQueue()
    out: dict[str, tuple[Any, list[Any]]] = {}

    def submit(portion: list[Any]) -> None:
        future = client.submit(_work_on, _Sealed(portion), work, *arguments, pure=False, retries=RETRIES)
        out[future.key] = (future, portion)
        future.add_done_callback(lambda future: done.put(future.key))

    again: list[list[Any]] = []
    more = True
    asked, most = float("-inf"), 0
    try:
        while more or out or again:
            if time.monotonic() - asked > _ASK_SECONDS:  # workers come and go; the scheduler is not asked at every step
                asked, most = time.monotonic(), room(client)
            while len(out) < most and (again or more):
                portion = again.pop() if again else next(portions, None)
                if portion is None:
                    more = False
                else:
                    submit(portion)
            tick()
            if not out:
                continue
            try:
                key = done.get(timeout=_POLL_SECONDS)
            except queue.Empty:
                _check_alive(client)
                continue
            future, portion = out.pop(key)
            if future.status == "finished":
                yield future.result()
                continue
            if future.status in ("cancelled", "lost"):
                again.append(portion)
                continue
            error = future.exception()
            if isinstance(error, DeconvError):
                raise error
            if isinstance(error, ImportError):
                raise JobError(
                    f"The Dask workers cannot do this work ({str(error)[:150]}); install the same version of this "
                    "program where they run."
                ) from error
            if len(portion) > 1:
                again.extend([entry] for entry in portion)
            else:
                yield [failed(portion[0], _told(error))]
    finally:
        for future, _ in out.values():
            future.cancel()


def room(client: Client) -> int:
    """How many portions may be out at once."""
    return max(4, 2 * sum(client.nthreads().values()))


def _check_alive(client: Client) -> None:
    if client.status not in ("running", "connecting"):
        raise JobError("The Dask scheduler is gone; start it again and resume. What was done is kept.")


def _told(error: BaseException | None) -> str:
    from distributed.scheduler import KilledWorker

    if isinstance(error, KilledWorker):
        return "It ended the worker that read it, several times; it was left out."
    return f"It could not be worked on ({type(error).__name__}: {str(error)[:150]})."
