"""The audit itself: every picture of a source through every check, in a job folder, on threads or on a Dask cluster.

Cheap checks first, for all pictures; the model afterwards. Results are written as they come, as Parquet parts in
`results/parts/`; at the end they become `results/images.parquet` with the columns that only the whole set can tell:
`image`, `status`, `reason`, what the file says, a column per check, `issues` (list of check names), `quality_risk`.
`results/summary.json` sums up; lists, CSV, script and report stand beside it (see `export`). A run that was stopped or
killed goes on with `resume`, and ends with the same table.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
import time
from array import array
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass, fields, replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from deconv_core.audit import earlier
from deconv_core.audit import measure as measuring
from deconv_core.audit.cache import Cache
from deconv_core.audit.checks import CHECKS, choose_checks
from deconv_core.audit.cluster import HERE, Needs, checked, connected, is_local, refuse_unseen, spread
from deconv_core.audit.measure import VALUES, blank_row, measure_chunk, wrong_extension
from deconv_core.audit.outcome import collect, complete, final_table, summarise
from deconv_core.audit.parts import (
    MEASURED,
    MODEL,
    MODEL_VALUES,
    PartWriter,
    list_parts,
    put_damaged_aside,
    read_part,
    write_table,
)
from deconv_core.audit.portions import held, pieces, weight
from deconv_core.audit.recipes import model_facts, recipes, write_begun
from deconv_core.errors import DeconvError
from deconv_core.files import write_json
from deconv_core.jobs import JobFolder, check_resume
from deconv_core.memory import peak_memory
from deconv_core.named_sets import NAMES
from deconv_core.places import Item
from deconv_core.roots import page_roots
from deconv_core.sources import count, iterate
from deconv_core.workspace import folder as workspace_folder

MAX_SIDE = 256
# Pictures at once, the first time and at most: for the workers, and for a look into the cache.
_FIRST_PORTION, _PORTION = 4, 64
_FIRST_LOOK_UP, _LOOK_UP = 64, 8000
_MODEL_PORTION = 8
_COUNT_AFTER_SECONDS = 3.0
_ROW_GROUP = 2_048  # what a page reads for one row


@dataclass(frozen=True)
class AuditSettings:
    """Everything that decides the outcome of an audit, written to `settings.json`.

    Attributes:
        data: A SOURCE (see `deconv_core.sources`).
        include: File-name pattern within the source.
        checks: Keys of CHECKS; empty for all that can be made.
        model: Name or file of a model for the reconstruction checks, or "".
        quality: Key of a metric that needs no reference and predicts quality, or "".
        max_side: Longer side, in pixels, to which pictures are reduced for the reconstruction; 0 leaves them whole.
        scheduler: Address of a Dask scheduler, or "here" for threads in this process; "" for
            DASK_SCHEDULER_ADDRESS or, without it, threads. What comes through a page cannot name one.
        seed: Decides which pictures "surprise me" draws.
        within_roots: Open nothing outside `roots.page_roots(data)`; for requests that come through a page.
    """

    data: str
    include: str = "*"
    checks: tuple[str, ...] = ()
    model: str = ""
    quality: str = ""
    max_side: int = MAX_SIDE
    scheduler: str = ""
    seed: int = 0
    within_roots: bool = False

    def check(self) -> None:
        """Raise DeconvError for the first setting that cannot work; reads no data."""
        if self.quality:
            from deconv_core.metrics import metric

            row = metric(self.quality)
            if row.needs_reference or not np.isfinite([row.low, row.high]).all():
                raise DeconvError(
                    f"--quality got '{self.quality}', which needs a reference or has no fixed scale; "
                    "choose a calibrated metric that needs none, such as deconv_quality."
                )
        self.chosen_checks()
        if self.within_roots and self.scheduler not in ("", HERE):
            raise DeconvError(
                f"--scheduler got '{self.scheduler}' together with --within-roots; what a scheduler sends is run, so a "
                "page cannot name one. Set DASK_SCHEDULER_ADDRESS where the server is started."
            )
        if self.max_side < 0 or 0 < self.max_side < 32:
            raise DeconvError(f"--max-side got {self.max_side}; expected 32 or more, or 0 for whole pictures.")
        if self.seed < 0:
            raise DeconvError(f"--seed got {self.seed}; expected 0 or more.")

    def chosen_checks(self) -> tuple[str, ...]:
        """The checks that will be made, in the table's order."""
        return choose_checks(self.checks or None, model=bool(self.model), quality=bool(self.quality))

    def needed(self) -> AuditSettings:
        """The same without the model and the metric that none of the chosen checks needs."""
        chosen = {key for key in self.chosen_checks() if CHECKS[key].needs_model}
        quality = self.quality if "low_quality" in chosen else ""
        rebuilds = bool(chosen - {"low_quality"})
        if quality and not rebuilds:
            from deconv_core.metrics import metric

            rebuilds = metric(quality).needs_model
        return replace(self, model=self.model if rebuilds else "", quality=quality)


@dataclass(frozen=True)
class Progress:
    """What an audit tells its caller as it goes: pictures done in this stage, pictures in all (0: not known yet)."""

    stage: str
    done: int
    total: int
    message: str


def settings_from(content: dict[str, Any]) -> AuditSettings:
    """Settings as read from `settings.json`.

    Raises:
        DeconvError: They are not those of an audit.
    """
    names = {entry.name for entry in fields(AuditSettings)}
    if not isinstance(content, dict) or "data" not in content or set(content) - names:
        raise DeconvError("settings.json does not hold the settings of an audit; start a new one.")
    return AuditSettings(**{**content, "checks": tuple(content.get("checks", ()))})


def run_audit(
    settings: AuditSettings,
    folder: Path | str,
    *,
    resume: bool = False,
    wait_turn: bool = False,
    low_priority: bool = False,
    command: str = "",
    report: Callable[[Progress], None] = lambda progress: None,
    choose: Callable[[Path], None] = lambda folder: None,
) -> dict[str, Any]:
    """Audit a source into a job folder and return the summary, also in `results/summary.json`.

    Args:
        settings: What to do.
        folder: Job folder, made if missing; must be empty of an earlier run unless `resume`.
        resume: Go on with what is there: pictures that were measured and have not changed are not measured again.
        wait_turn: Wait until no other job of this workspace works.
        low_priority: Let everything else on this machine go first.
        command: The command line, for summary and report.
        report: Called about once a second.
        choose: Called with the folder once all is measured, before lists and report are written, to save in it what a
            person chose beforehand.

    Raises:
        DeconvError: Settings or source cannot work, the folder holds another run, or there is nothing to resume.
        JobError: Another process works in the folder, or no scheduler answers.
        KeyboardInterrupt: The run was asked to end early; what was done is kept.
    """
    settings.check()
    settings = replace(settings, data=_located(settings.data))
    folder = Path(folder)
    check_resume(folder, resume)
    with JobFolder(folder, kind="audit", wait_turn=wait_turn, low_priority=low_priority) as job:
        write_json(job.folder / "settings.json", asdict(settings))
        summary = _Run(settings, job, command, report, choose).go(resume)
        job.finish_message(_sentence(summary))
    return summary


class _Run:
    """One audit at work."""

    def __init__(
        self,
        settings: AuditSettings,
        job: JobFolder,
        command: str,
        report: Callable[[Progress], None],
        choose: Callable[[Path], None],
    ) -> None:
        self.settings, self.job, self.command, self.report, self.choose = settings, job, command, report, choose
        self.results = job.results
        self.began = time.time()
        self.total = 0  # pictures in the source, 0 while not known
        self.reused = 0
        self.worked_on: Counter[str] = Counter()  # stage -> pictures that this process itself has worked on
        self.names = array("q")  # hashes of the names in the source's order: 8 bytes each instead of the name
        self.listed = threading.Event()  # all names are known
        self.work = settings.needed()
        self.has_model = bool(self.work.model or self.work.quality)
        self.workers, self.client = ExitStack(), None
        self.is_local = is_local(settings.scheduler)
        # Bytes that are no text, which the cache could not hold, are written out.
        self.root = settings.data.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
        self.model_arguments = (self.work.model, self.work.quality, self.work.max_side)
        self.model_facts: dict[str, Any] = model_facts(self.work) if self.has_model else {}
        self.model_recipe = self._model_recipe() if self.has_model else ""
        self.checks = settings.chosen_checks()
        self.recipes = recipes(self.checks, settings, self.model_facts)  # of the columns

    def go(self, resume: bool) -> dict[str, Any]:
        for name in put_damaged_aside(self.results):
            self.job.log(f"{name} was damaged; its pictures are measured again")
        if resume and (told := earlier.go_on(self.job.folder, self.recipes)):
            self.job.log(told)
        write_begun(self.results, {MEASURED: measuring.RECIPE, MODEL: self.model_recipe}, self.recipes)
        if not resume:
            earlier.begin(self.job.folder, self.settings.data, self.settings.include, self.recipes)
        items = items_of(self.settings)  # refuses what is no source, at once
        threading.Thread(target=self._count, name="count", daemon=True).start()
        with self.workers:
            self._measure(items)
            if not self.names:
                raise DeconvError(f"'{self.settings.data}' holds no picture named like '{self.settings.include}'.")
            if self.has_model:
                _ModelPart(self).go()
        return self._finish()

    def spread(self, work, portions: Iterator[list[Any]], *arguments: Any, failed) -> Iterator[list[dict[str, Any]]]:
        """`spread`, on workers that are looked for once there is something to do."""
        first = next(portions, None)
        if first is None:
            return
        if self.client is None:
            self.client = self.workers.enter_context(connected(self.settings.scheduler))
        if not self.is_local:
            arguments, work = (work, self._needs(), *arguments), checked
        found = spread(self.client, work, chain([first], portions), *arguments, failed=failed, tick=self.tick)
        with closing(found):
            for rows in found:
                if not self.is_local:
                    refuse_unseen(rows)
                yield rows

    def _needs(self) -> Needs:
        data = self.settings.data
        model = self.work.model if self.has_model else ""
        return Needs(data if Path(data).exists() else "", model, self.model_facts.get("model", ""))

    # One picture after the other

    def _measure(self, items: Iterator[Item]) -> None:
        done = self._done()
        # Workers look contents up themselves, if they are threads of this process: a cluster may not see the file.
        arguments = (_cache_file(),) if self.is_local else ()
        tell = self.teller("checks", len(done), lambda: self.total)
        with (
            closing(Cache(_cache_file(), measuring.RECIPE, VALUES)) as cache,
            PartWriter(self.results, MEASURED, measuring.RECIPE) as writer,
        ):
            unknown = self._known(self._entries(items, done), cache, writer, tell)
            portions = pieces(unknown, _FIRST_PORTION, _PORTION, weight)
            with closing(self.spread(measure_chunk, portions, *arguments, failed=_failed)) as measured:
                for rows in measured:
                    writer.add(rows)
                    cache.keep(
                        [(self._place(row["image"]), row["bytes"], row["modified"], row["digest"]) for row in rows],
                        {row["digest"]: row for row in rows if row["status"] == "ok" and "reused" not in row},
                    )
                    tell(len(rows), sum("reused" in row for row in rows))

    def _entries(self, items: Iterator[Item], done: dict[int, tuple[int, int]]) -> Iterator[tuple[int, int, Item]]:
        """(number, modified, item) of what is not yet measured as it is now; remembers every name."""
        remember = self.names.append
        for number, item in enumerate(items):
            name = hash(item.name)
            remember(name)
            if done:
                size, modified = done.get(name, (None, None))
                # What is known before reading is compared with what was known then; some sizes only reading tells.
                if modified == item.modified and item.size in (size, None):
                    continue
            yield number, item.modified, item
        self.listed.set()

    def _known(self, entries, cache: Cache, writer: PartWriter, tell) -> Iterator[tuple[int, int, Item]]:
        """Passes on what has to be measured, and writes what an earlier audit measured on the same unchanged file."""
        for some in pieces(entries, _FIRST_LOOK_UP, _LOOK_UP, held):
            found = cache.find([(self._place(item.name), item.size, changed) for _, changed, item in some])
            if found:
                known = [some[place] for place in found]
                digests, contents, sizes = zip(*found.values(), strict=True)
                columns = cache.columns(contents)
                columns |= {
                    # The same content may have been measured under another name.
                    "wrong_extension": [
                        wrong_extension(item.name, format)
                        for (*_, item), format in zip(known, columns["format"], strict=True)
                    ],
                    "number": [number for number, _, _ in known],
                    "image": [item.name for *_, item in known],
                    "bytes": list(sizes),
                    "modified": [changed for _, changed, _ in known],
                    "digest": list(digests),
                    "place": [item.place() for *_, item in known],
                }
                writer.add_columns(columns)
                tell(len(known), len(known))
            self.tick()
            yield from (entry for place, entry in enumerate(some) if place not in found)

    def _done(self) -> dict[int, tuple[int, int]]:
        """Hash of name -> (bytes, modified) of what was read by this recipe; the latest row of a name counts.

        Parts of another recipe (an older version) do not count, nor does what could not be read at all: the network or
        a permission may be there again.
        """
        done: dict[int, tuple[int, int]] = {}
        for name, digest, size, modified in self.rows(MEASURED, measuring.RECIPE, "digest", "bytes", "modified"):
            if digest:
                done[hash(name)] = size, modified
            else:
                done.pop(hash(name), None)
        return done

    def rows(self, kind: str, recipe: str, *columns: str) -> Iterator[tuple[Any, ...]]:
        for path in list_parts(self.results, kind):
            table = read_part(path, kind, ["image", *columns], recipe=recipe)
            if table is not None:
                yield from zip(*(table.column(name).to_pylist() for name in ("image", *columns)), strict=True)

    def _model_recipe(self) -> str:
        """Identity of what the model's part measures: digests of model and metric, and the working size."""
        facts = json.dumps(self.model_facts, sort_keys=True, default=str)
        return "model " + hashlib.sha256(facts.encode()).hexdigest()[:32]

    # At the end

    def _finish(self) -> dict[str, Any]:
        self.job.status("comparing the pictures with one another")
        by = (measuring.RECIPE, self.model_recipe)
        frame = collect(self.results, self.names, model=self.has_model, recipes=by)
        complete(frame, self.checks)
        table = final_table(frame, self.checks, self.recipes)
        summary = summarise(frame, self.checks, self.settings, self.command, self.recipes)
        # Time and speed are those of this process and of what it did itself, not of what it took over.
        seconds, measured = time.time() - self.began, max(self.worked_on.values(), default=0)
        summary |= {
            "reused": self.reused,
            "measured": measured,
            "seconds": round(seconds, 2),
            "images_per_second": round(measured / max(seconds, 1e-9), 2),
            "peak_memory_bytes": peak_memory(),
        }
        write_json(self.results / "summary.json", summary)
        # Its presence says that the audit is finished; what follows is made from it, and can be made again.
        write_table(table, self.results / "images.parquet", row_group_size=_ROW_GROUP)
        del frame, table
        self._write_results()
        return summary

    def _write_results(self) -> None:
        from deconv_core.audit import export
        from deconv_core.audit.report import at_the_end
        from deconv_core.audit.table import AuditTable

        self.job.status("writing lists, tables and report")
        table = AuditTable(self.job.folder)
        earlier.finish(self.job.folder, table)
        self.choose(self.job.folder)
        try:
            told = export.write_results(self.job.folder, table, num_pictures=at_the_end(table.count))
        except Exception as error:  # what was measured is written; what is made of it can be made again
            reason = (str(error).splitlines() or [""])[0][:200] or type(error).__name__
            told = [f"lists, tables or report are lacking ({reason}); make them with: audit --outputs-only"]
        for sentence in told:
            self.job.log(sentence)

    # Small things

    def _place(self, name: str) -> str:
        return f"{self.root}\0{name}"

    def _count(self) -> None:
        """Count in the background where names and headers tell, for the remaining time."""
        if self.listed.wait(_COUNT_AFTER_SECONDS):  # there are so few that all are known by now
            return
        total = count(self.settings.data, include=self.settings.include, allowed_roots=roots_of(self.settings))
        if total and not self.listed.is_set():
            self.total = total

    def tick(self) -> None:
        if self.job.should_stop():
            raise KeyboardInterrupt

    def teller(self, stage: str, done: int, of: Callable[[], int]) -> Callable[..., None]:
        told = float("-inf")

        def tell(more: int, reused: int = 0) -> None:
            nonlocal done, told
            done += more
            self.reused += reused if stage == "checks" else 0
            self.worked_on[stage] += more - reused
            total = of() or (len(self.names) if self.listed.is_set() else 0)
            total = max(total, done) if total else 0
            message = f"{stage}: {done:,}{f' of {total:,}' if total else ''} pictures"
            self.job.status(message, done, total, stage=stage, skipped=reused)
            if time.monotonic() - told >= 1:
                told = time.monotonic()
                self.report(Progress(stage, done, total, message))

        return tell


class _ModelPart:
    """The model's part of an audit: every picture that could be read, unless it is known what the model says of it."""

    def __init__(self, run: _Run):
        self._run = run
        self._readable = self._find_readable()  # hash of name -> digest of content
        self._done = self._find_done()
        names = set(run.names)
        self._known = len(self._done & names)
        self._total = sum(name in names for name in self._readable)
        self._tell = run.teller("model", self._known, lambda: self._total)

    def go(self) -> None:
        from deconv_core.audit.model import model_chunk

        if self._known == self._total:
            return
        run = self._run
        with (
            closing(Cache(_cache_file(), run.model_recipe, MODEL_VALUES)) as cache,
            PartWriter(run.results, MODEL, run.model_recipe) as writer,
        ):
            portions = pieces(self._unknown(cache, writer), 1, _MODEL_PORTION, weight)
            with closing(run.spread(model_chunk, portions, *run.model_arguments, failed=self._failed)) as seen:
                for rows in seen:
                    writer.add(rows)
                    cache.keep([], {row["digest"]: row for row in rows if not row["model_reason"]})
                    self._tell(len(rows))

    def _find_readable(self) -> dict[int, str]:
        found: dict[int, str] = {}
        for name, status, digest in self._run.rows(MEASURED, measuring.RECIPE, "status", "digest"):
            if status == "ok":
                found[hash(name)] = digest
            else:
                found.pop(hash(name), None)
        return found

    def _find_done(self) -> set[int]:
        # By content: what the model said of a picture of that name before it changed is nothing worth.
        rows = self._run.rows(MODEL, self._run.model_recipe, "digest", "model_reason")
        return {hash(name) for name, digest, reason in rows if not reason and self._readable.get(hash(name)) == digest}

    def _entries(self) -> Iterator[tuple[int, int, str, Item]]:
        """(number, modified, digest, item) of what the model has not seen in this audit."""
        for number, item in enumerate(items_of(self._run.settings)):
            name = hash(item.name)
            digest = self._readable.get(name)
            if digest is not None and name not in self._done:
                yield number, item.modified, digest, item

    def _unknown(self, cache: Cache, writer: PartWriter) -> Iterator[tuple[int, int, str, Item]]:
        """Passes on what no earlier audit had the model look at either, and writes what it said of the others."""
        from deconv_core.audit.model import blank_model_row

        for some in pieces(self._entries(), _FIRST_LOOK_UP, _LOOK_UP, held):
            found = cache.find_contents([digest for _, _, digest, _ in some])
            rows = []
            for number, changed, digest, item in some:
                if digest in found:
                    row = blank_model_row(item, number, changed, digest)
                    rows.append(row | {name: found[digest][name] for name in ("model_reason", *MODEL_VALUES)})
                else:
                    yield number, changed, digest, item
            if rows:
                writer.add(rows)
                self._tell(len(rows), len(rows))
            self._run.tick()

    @staticmethod
    def _failed(entry: tuple[int, int, str, Item], reason: str) -> dict[str, Any]:
        from deconv_core.audit.model import blank_model_row

        number, changed, digest, item = entry
        return blank_model_row(item, number, changed, digest) | {"model_reason": reason}


def items_of(settings: AuditSettings) -> Iterator[Item]:
    """The pictures of an audit's source, as `sources.iterate` gives them.

    Raises:
        DeconvError: As `sources.iterate`.
    """
    return iterate(settings.data, include=settings.include, allowed_roots=roots_of(settings))


def roots_of(settings: AuditSettings) -> tuple[Path, ...] | None:
    """The folders outside of which an audit opens nothing; None where the shell asked for it."""
    return page_roots(settings.data) if settings.within_roots and settings.data not in NAMES else None


def _sentence(summary: dict[str, Any]) -> str:
    from deconv_core.audit.words import lower

    most = max(summary["counts"].items(), key=lambda entry: entry[1], default=("", 0))
    told = f"{summary['images']:,} pictures, {summary['flagged']:,} with an issue"
    return f"{told}, most often: {lower(CHECKS[most[0]].label)} ({most[1]:,})" if most[1] else told


def _failed(entry: tuple[int, int, Item], reason: str) -> dict[str, Any]:
    number, modified, item = entry
    return blank_row(item, number, modified) | {"reason": reason}


def _located(data: str) -> str:
    """A SOURCE as it can be found from any folder, links resolved."""
    if data in NAMES or "://" in data or "::" in data:
        return data
    try:
        return str((Path(data) if os.path.lexists(data) else Path(data).expanduser()).resolve())
    except (OSError, ValueError, RuntimeError):  # no path at all, which is told when it is opened
        return data


def _cache_file() -> Path | None:
    try:
        return workspace_folder("data") / "audit-cache.sqlite"
    except DeconvError:
        return None
