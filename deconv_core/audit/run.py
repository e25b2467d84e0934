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
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from deconv_core.archives import Member, is_archive
from deconv_core.audit import earlier
from deconv_core.audit import measure as measuring
from deconv_core.audit.cache import Cache
from deconv_core.audit.checks import CHECKS, choose_checks
from deconv_core.audit.cluster import connected, is_local, spread
from deconv_core.audit.measure import VALUES, blank_row, measure_chunk, wrong_extension
from deconv_core.audit.parts import (
    MEASURED,
    MODEL,
    MODEL_VALUES,
    PartWriter,
    list_parts,
    put_damaged_aside,
    read_part,
    read_parts,
    write_table,
)
from deconv_core.audit.recipes import model_facts, recipes
from deconv_core.comparison import peak_memory, versions
from deconv_core.errors import DeconvError
from deconv_core.files import write_json
from deconv_core.jobs import JobFolder, check_resume
from deconv_core.sources import NAMES, Fingerprint, Item, allowed_roots, iterate
from deconv_core.workspace import folder as workspace_folder

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa
    from distributed import Client

MAX_SIDE = 256
_PORTION, _PORTION_BYTES, _FIRST_PORTIONS = 64, 8 * 2**20, (4, 8, 16, 32)
_MODEL_PORTION = 8
_LOOK_UP = 1000
_ROW_GROUP = 20_000


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
        scheduler: Address of a Dask scheduler; "" for threads in this process, or DASK_SCHEDULER_ADDRESS.
        seed: Decides which pictures "surprise me" draws.
        within_roots: Open nothing outside `sources.allowed_roots()`; for requests that come through a page.
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
        if self.max_side < 0 or 0 < self.max_side < 32:
            raise DeconvError(f"--max-side got {self.max_side}; expected 32 or more, or 0 for whole pictures.")
        if self.seed < 0:
            raise DeconvError(f"--seed got {self.seed}; expected 0 or more.")

    def chosen_checks(self) -> tuple[str, ...]:
        """The checks that will be made, in the table's order."""
        return choose_checks(self.checks or None, model=bool(self.model), quality=bool(self.quality))


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

    Raises:
        DeconvError: Settings or source cannot work, the folder holds another run, or there is nothing to resume.
        JobError: Another process works in the folder, or no scheduler answers.
        KeyboardInterrupt: The run was asked to end early; what was done is kept.
    """
    settings.check()
    folder = Path(folder)
    check_resume(folder, resume)
    with JobFolder(folder, kind="audit", wait_turn=wait_turn, low_priority=low_priority) as job:
        write_json(job.folder / "settings.json", asdict(settings))
        if not resume:
            earlier.begin(job.folder, settings.data, settings.include)
        summary = _Run(settings, job, command, report).go()
        job.finish_message(_sentence(summary))
    return summary


class _Run:
    """One audit at work."""

    def __init__(self, settings: AuditSettings, job: JobFolder, command: str, report: Callable[[Progress], None]):
        self.settings, self.job, self.command, self.report = settings, job, command, report
        self.results = job.results
        self.began = time.time()
        self.total = 0
        self.reused = 0
        self.names: list[int] = []  # hashes of the names in the source's order: 8 bytes each instead of the name
        self.has_model = bool(settings.model or settings.quality)
        self.model_recipe = ""
        self.model_facts: dict[str, Any] = {}

    def go(self) -> dict[str, Any]:
        for name in put_damaged_aside(self.results):
            self.job.log(f"{name} was damaged; its pictures are measured again")
        self.model_recipe = self._model_recipe() if self.has_model else ""
        counting = threading.Thread(target=self._count, name="count", daemon=True)
        items = self._items()  # refuses what is no source, at once
        counting.start()
        with connected(self.settings.scheduler) as client:
            self._measure(client, items)
            self.total = len(self.names)
            if not self.total:
                raise DeconvError(f"'{self.settings.data}' holds no picture named like '{self.settings.include}'.")
            if self.has_model:
                self._run_model(client)
        return self._finish()

    def _items(self) -> Iterator[Item]:
        return items_of(self.settings)

    # One picture after the other

    def _measure(self, client: Client, items: Iterator[Item]) -> None:
        done = self._done(MEASURED, measuring.RECIPE)
        cache = Cache(_cache_file(), measuring.RECIPE, VALUES)
        writer = PartWriter(self.results, MEASURED, measuring.RECIPE)
        # Workers look contents up themselves, if they are threads of this process: a cluster may not see the file.
        arguments = (_cache_file(),) if is_local(self.settings.scheduler) else ()
        tell = self._teller("checks", 0, len(done))
        try:
            fresh = self._entries(items, done)
            unknown = self._known(fresh, cache, writer, tell)
            portions = _portions((number, modified, item) for number, modified, item in unknown)
            for rows in spread(client, measure_chunk, portions, *arguments, failed=_failed, tick=self._tick):
                writer.add(rows)
                self.reused += sum("reused" in row for row in rows)
                cache.keep(
                    [(self._place(row["image"]), row["bytes"], row["modified"], row["digest"]) for row in rows],
                    {row["digest"]: row for row in rows if row["status"] == "ok" and "reused" not in row},
                )
                tell(len(rows))
        finally:
            writer.flush()
            cache.close()

    def _entries(self, items: Iterator[Item], done: set[int]) -> Iterator[tuple[int, int, Item]]:
        """(number, modified, item) of what is not yet measured as it is now; remembers every name."""
        modified = _Modified()
        for number, item in enumerate(items):
            self.names.append(hash(item.name))
            changed = modified(item)
            if hash((item.name, item.size or 0, changed)) not in done:
                yield number, changed, item

    def _known(self, entries, cache: Cache, writer: PartWriter, tell) -> Iterator[tuple[int, int, Item]]:
        """Passes on what has to be measured, and writes what an earlier audit measured on the same unchanged file."""
        for some in _in_pieces(entries, _LOOK_UP):
            found = cache.find([(self._place(item.name), item.size or 0, changed) for _, changed, item in some])
            if found:
                known = [some[place] for place in found]
                digests, contents = zip(*found.values(), strict=True)
                columns = cache.columns(contents)
                columns |= {
                    # The same content may have been measured under another name.
                    "wrong_extension": [
                        wrong_extension(item.name, format)
                        for (*_, item), format in zip(known, columns["format"], strict=True)
                    ],
                    "number": [number for number, _, _ in known],
                    "image": [item.name for *_, item in known],
                    "bytes": [item.size or 0 for *_, item in known],
                    "modified": [changed for _, changed, _ in known],
                    "digest": list(digests),
                    "place": [item.place() for *_, item in known],
                }
                writer.add_columns(columns)
                self.reused += len(known)
                tell(len(known))
            self._tick()
            yield from (entry for place, entry in enumerate(some) if place not in found)

    def _done(self, kind: str, recipe: str) -> set[int]:
        """What is there by this recipe; parts of another (a metric calibrated anew, an older version) do not count."""
        done: set[int] = set()
        for path in list_parts(self.results, kind):
            table = read_part(path, kind, ["image", "bytes", "modified"], recipe=recipe)
            if table is not None:
                columns = (table.column(name).to_pylist() for name in table.column_names)
                done.update(map(hash, zip(*columns, strict=True)))
        return done

    def _run_model(self, client: Client) -> None:
        from deconv_core.audit.model import blank_model_row, model_chunk

        usable: dict[int, str] = {}
        table = read_parts(self.results, MEASURED, ["image", "status", "digest"], recipe=measuring.RECIPE)
        for batch in table.to_batches():
            columns = (batch.column(name).to_pylist() for name in ("image", "status", "digest"))
            usable |= {hash(name): digest for name, status, digest in zip(*columns, strict=True) if status == "ok"}
        del table
        done = self._done(MODEL, self.model_recipe)
        cache = Cache(_cache_file(), self.model_recipe, MODEL_VALUES)
        writer = PartWriter(self.results, MODEL, self.model_recipe)
        tell = self._teller("model", self.total, len(done))
        modified = _Modified()

        def entries() -> Iterator[tuple[int, int, str, Item]]:
            items = self._items()
            for number, item in enumerate(items):
                digest = usable.get(hash(item.name))
                changed = modified(item)
                if digest is not None and hash((item.name, item.size or 0, changed)) not in done:
                    yield number, changed, digest, item

        def unknown() -> Iterator[tuple[int, int, str, Item]]:
            for some in _in_pieces(entries(), _LOOK_UP):
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
                    tell(len(rows))
                self._tick()

        def failed(entry, reason: str) -> dict[str, Any]:
            number, changed, digest, item = entry
            return blank_model_row(item, number, changed, digest) | {"model_reason": reason}

        settings = self.settings
        arguments = (settings.model, settings.quality, settings.max_side)
        try:
            portions = _in_pieces(unknown(), _MODEL_PORTION)
            for rows in spread(client, model_chunk, portions, *arguments, failed=failed, tick=self._tick):
                writer.add(rows)
                cache.keep([], {row["digest"]: row for row in rows if not row["model_reason"]})
                tell(len(rows))
        finally:
            writer.flush()
            cache.close()

    def _model_recipe(self) -> str:
        """Identity of what the model's part measures: digests of model and metric, and the working size."""
        facts = self.model_facts = model_facts(self.settings)
        return "model " + hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()[:32]

    # At the end

    def _finish(self) -> dict[str, Any]:
        self.job.status("comparing the pictures with one another")
        by = (measuring.RECIPE, self.model_recipe)
        frame = collect(self.results, self.names, model=self.has_model, recipes=by)
        checks = self.settings.chosen_checks()
        complete(frame, checks)
        made = recipes(checks, self.settings, self.model_facts)
        table = final_table(frame, checks, made)
        summary = summarise(frame, checks, self.settings, self.command, made)
        seconds = time.time() - self.began
        summary |= {
            "reused": self.reused,
            "seconds": round(seconds, 2),
            "images_per_second": round(len(frame) / max(seconds, 1e-9), 2),
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
        from deconv_core.audit.table import AuditTable

        self.job.status("writing lists, tables and report")
        table = AuditTable(self.job.folder)
        earlier.take_decisions(self.job.folder, table)
        for sentence in export.write_results(self.job.folder, table, num_pictures=export.at_the_end(table.count)):
            self.job.log(sentence)

    # Small things

    def _place(self, name: str) -> str:
        return f"{self._root}\0{name}"

    @property
    def _root(self) -> str:
        data = self.settings.data
        return data if data in NAMES or "://" in data else os.path.abspath(data)  # noqa: PTH100 - links stay as they are

    def _count(self) -> None:
        """Count in the background where that is cheap, for the remaining time."""
        data = self.settings.data
        path = Path(data)
        cheap = (
            data in ("samples", "digits") or path.is_dir() or path.suffix.lower() in (".zip", ".csv", ".npz", ".tar")
        )
        if "://" in data or data in NAMES[2:] or not cheap or (is_archive(data) and path.suffix == ".gz"):
            return
        try:
            self.total = sum(1 for _ in self._items())
        except DeconvError:
            return  # the run itself meets it and tells

    def _tick(self) -> None:
        if self.job.should_stop():
            raise KeyboardInterrupt

    def _teller(self, stage: str, before: int, already: int) -> Callable[[int], None]:
        done, told = already, float("-inf")
        words = {"checks": "checks", "model": "model"}[stage]

        def tell(more: int) -> None:
            nonlocal done, told
            done += more
            total = max(self.total, done) if self.total else 0
            of = f" of {total:,}" if total else ""
            message = f"{words}: {done:,}{of} pictures"
            self.job.status(message, before + done, total * (2 if self.has_model else 1))
            if time.monotonic() - told >= 1:
                told = time.monotonic()
                self.report(Progress(stage, done, total, message))

        return tell


def items_of(settings: AuditSettings) -> Iterator[Item]:
    """The pictures of an audit's source, as `sources.iterate` gives them.

    Raises:
        DeconvError: As `sources.iterate`.
    """
    roots = allowed_roots() if settings.within_roots and settings.data not in NAMES else None
    return iterate(settings.data, include=settings.include, allowed_roots=roots)


def collect(
    results: Path,
    names: list[int] | None = None,
    *,
    model: bool = True,
    recipes: tuple[str | None, str | None] = (None, None),
) -> pd.DataFrame:
    """All rows measured so far, in the source's order, each picture once, with the model's columns where there are any.

    Args:
        results: The `results/` folder.
        names: Hashes of the names now in the source, in order; pictures that are gone are left out. None keeps all.
        model: Whether to look for the model's rows.
        recipes: Take only what was measured, and what the model measured, by these; None takes the latest there is.
    """
    import pandas as pd

    frame = read_parts(results, MEASURED, recipe=recipes[0]).to_pandas(strings_to_categorical=False)
    frame = frame.drop_duplicates("image", keep="last")
    if names is not None:
        places = pd.Series(np.arange(len(names)), index=names)
        places = places[~places.index.duplicated()]
        frame["number"] = frame["image"].map(hash).map(places)
        frame = frame[frame["number"].notna()].astype({"number": np.int64})
    frame = frame.sort_values("number", kind="stable", ignore_index=True)
    if model:
        columns = ["image", "model_reason", *MODEL_VALUES]
        found = read_parts(results, MODEL, columns, recipe=recipes[1]).to_pandas().drop_duplicates("image", keep="last")
        frame = frame.merge(found, on="image", how="left", validate="one_to_one")
        # One column of reasons: a picture that was read but could not be rebuilt says so there.
        reasons = frame.pop("model_reason").fillna("")
        frame["reason"] = np.where(reasons != "", reasons, frame["reason"])
        for name in MODEL_VALUES:
            frame[name] = frame[name].astype(np.float32)
    return frame


def complete(frame: pd.DataFrame, checks: tuple[str, ...], *, copies: bool = True) -> None:
    """Add, in place, what the whole set tells, and the quality risk."""
    from deconv_core.audit.risk import risk
    from deconv_core.audit.whole import add_set_columns

    add_set_columns(frame, copies=copies and "near_duplicate" in checks)
    frame["quality_risk"] = risk(frame[[key for key in checks if key in frame]])


def final_table(frame: pd.DataFrame, checks: tuple[str, ...], made: Mapping[str, Any] | None = None) -> pa.Table:
    """The table as it leaves: without the checks that were not chosen, names of neighbours instead of their places.

    Args:
        frame: As `collect` and `complete` leave it.
        checks: The checks that were chosen.
        made: Recipes of the columns, for the metadata.
    """
    import pyarrow as pa

    from deconv_core.audit.whole import issues
    from deconv_core.tables import RECIPES_KEY

    columns: dict[str, pa.Array] = {}
    images = pa.array(frame["image"], pa.string())
    for name in ("image", "status", "reason", *(name for name in measuring.FACTS if name not in _FIRST)):
        columns[name] = pa.array(frame[name])
    for key in checks:
        columns[key] = pa.array(frame[key].to_numpy(np.float32))
        of = CHECKS[key].neighbour_column
        if of:
            places = frame[of].to_numpy()
            columns[of] = images.take(pa.array(np.maximum(places, 0), mask=places < 0))
    columns |= {name: pa.array(frame[name]) for name in ("brightness", "contrast", "quality_risk")}
    columns["issues"] = issues(frame, checks)
    return pa.table(columns).replace_schema_metadata({RECIPES_KEY: json.dumps(dict(made or recipes(checks))).encode()})


_FIRST = ("image", "status", "reason", "grid")  # the grid served its purpose


def summarise(
    frame: pd.DataFrame, checks: tuple[str, ...], settings: AuditSettings, command: str, made: Mapping[str, Any]
) -> dict[str, Any]:
    """Counts for people and programs; nothing in it depends on the clock."""
    from deconv_core.audit.checks import flag

    flagged = flag(frame, checks)
    some = np.zeros(len(frame), bool)
    for values in flagged.values():
        some |= values
    fingerprint = Fingerprint()
    for name, digest in zip(frame["image"].tolist(), frame["digest"].tolist(), strict=True):
        fingerprint.add(name, digest)
    return {
        "data": settings.data,
        "images": len(frame),
        "readable": int((frame["status"] == "ok").sum()),
        "flagged": int(some.sum()),
        "bytes": int(frame["bytes"].sum()),
        "formats": {str(key): int(count) for key, count in frame["format"].value_counts().items() if key},
        "counts": {key: int(values.sum()) for key, values in flagged.items()},
        "checks": list(checks),
        "thresholds": {key: CHECKS[key].threshold for key in checks if CHECKS[key].flags_when != "set"},
        "fingerprint": fingerprint.hexdigest(),
        "model": settings.model,
        "quality": settings.quality,
        "max_side": settings.max_side,
        "seed": settings.seed,
        "command": command,
        "recipes": dict(made),
        "versions": versions(),
    }


def _sentence(summary: dict[str, Any]) -> str:
    most = max(summary["counts"].items(), key=lambda entry: entry[1], default=("", 0))
    told = f"{summary['images']:,} pictures, {summary['flagged']:,} with an issue"
    return f"{told}, most often: {CHECKS[most[0]].label.lower()} ({most[1]:,})" if most[1] else told


class _Modified:
    """When the file behind an item was changed, nanoseconds since 1970; 0 where that is not known."""

    def __init__(self) -> None:
        self._archive: tuple[Path | None, int] = (None, 0)

    def __call__(self, item: Item) -> int:
        origin = item.origin
        if isinstance(origin, Member):
            if origin.archive != self._archive[0]:
                self._archive = (origin.archive, _changed(origin.archive))
            return self._archive[1]
        return _changed(origin) if isinstance(origin, Path) else 0


def _changed(path: Path) -> int:
    try:
        return os.stat(path).st_mtime_ns  # noqa: PTH116 - a hundred thousand times
    except (OSError, ValueError):
        return 0


def _failed(entry: tuple[int, int, Item], reason: str) -> dict[str, Any]:
    number, modified, item = entry
    return blank_row(item, number, modified) | {"reason": reason}


def _portions(entries: Iterator[tuple[int, int, Item]]) -> Iterator[list[tuple[int, int, Item]]]:
    """Small ones first, so that rows are seen soon; then up to 64 pictures or 8 MiB."""
    sizes = deque(_FIRST_PORTIONS)
    portion, held, wanted = [], 0, sizes.popleft()
    for entry in entries:
        portion.append(entry)
        held += entry[2].size or 0
        if len(portion) >= wanted or held >= _PORTION_BYTES:
            yield portion
            portion, held, wanted = [], 0, sizes.popleft() if sizes else _PORTION
    if portion:
        yield portion


def _in_pieces(entries: Iterator[Any], size: int) -> Iterator[list[Any]]:
    piece: list[Any] = []
    for entry in entries:
        piece.append(entry)
        if len(piece) == size:
            yield piece
            piece = []
    if piece:
        yield piece


def _cache_file() -> Path | None:
    try:
        return workspace_folder("data") / "audit-cache.sqlite"
    except DeconvError:
        return None
