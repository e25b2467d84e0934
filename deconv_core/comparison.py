"""Metrics over a whole data set: every picture made worse in every way and degree, and judged by every metric.

A run lives in a job folder (see `deconv_core.jobs`). `results/references/` holds the pictures as they were worked on,
`results/parts/` the rows as they come; at the end `results/` gets the whole table, what follows from it, and a report.
The damage of a picture depends on its name, the distortion and the seed alone, so a run that was stopped or killed and
then resumed ends with the table of an unbroken one, and any damaged picture can be made again from its row.
"""

from __future__ import annotations

import hashlib
import heapq
import json
import platform
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from deconv_core.errors import DeconvError, ImageError, JobError
from deconv_core.files import write_json, write_whole
from deconv_core.jobs import JobFolder, check_resume
from deconv_core.memory import peak_memory

if TYPE_CHECKING:
    import pandas as pd

    from deconv_core.models.inference import Reconstructor
    from deconv_core.places import Item

SEVERITIES = (1.0, 2.0, 3.0, 4.0, 5.0)
# Larger pictures are reduced to this many pixels before anything else: time and memory grow with the pixels.
WORKING_PIXELS = 1_000_000
ROW_COLUMNS = ("image", "distortion", "severity", "seed", "status", "reason")

# As many damaged versions of one picture are scored together as fit into this many pixels.
_PIXELS_AT_ONCE = 2_500_000
# What was done since the last part is lost when the process is killed.
_PART_SECONDS = 3.0
# More parts than this are made one: whoever watches reads them all.
_MOST_PARTS = 40
_SECONDS = "seconds"  # column of the parts: time that a row took


@dataclass(frozen=True)
class CompareSettings:
    """Everything that decides the outcome of a run, written to `settings.json`.

    Attributes:
        data: A SOURCE (see `deconv_core.sources`).
        include: File-name pattern within the source.
        model: Name of the model for the recon_* scores; "" means the default one.
        metrics: Keys; none means all that apply.
        distortions: Keys of DISTORTIONS; none means all.
        severities: Above 0, up to 5.
        max_images: At most so many pictures, drawn by the seed; 0 takes all.
        seed: Decides noise, lost blocks and which pictures are drawn.
        within_roots: Open nothing outside `roots.page_roots(data)`; for requests that come through a page.
    """

    data: str
    include: str = "*"
    model: str = ""
    metrics: Sequence[str] = ()
    distortions: Sequence[str] = ()
    severities: Sequence[float] = SEVERITIES
    max_images: int = 0
    seed: int = 0
    within_roots: bool = False

    def check(self) -> None:
        """Raise DeconvError for the first setting that cannot work; reads no data."""
        from deconv_core.distortions import DISTORTIONS, MAX_SEVERITY
        from deconv_core.scoring import choose_metrics

        choose_metrics(self.metrics or None)
        for key in self.distortions:
            if key not in DISTORTIONS:
                raise DeconvError(f"--distortions got '{key}'; choose among {', '.join(DISTORTIONS)}.")
        if not self.severities:
            raise DeconvError("--severities got none; expected numbers above 0 and up to 5, for example 1,3,5.")
        for severity in self.severities:
            if not 0 < severity <= MAX_SEVERITY:
                raise DeconvError(f"--severities got {severity:g}; expected numbers above 0 and up to 5.")
        for option in ("max_images", "seed"):
            if getattr(self, option) < 0:
                raise DeconvError(f"--{option.replace('_', '-')} got {getattr(self, option)}; expected 0 or more.")

    def complete(self) -> CompareSettings:
        """The same with what was left open written out, so that a later version resumes with the same choice."""
        from deconv_core.distortions import DISTORTIONS
        from deconv_core.scoring import choose_metrics

        return CompareSettings(
            self.data,
            self.include,
            self.model,
            tuple(choose_metrics(self.metrics or None)),
            tuple(dict.fromkeys(self.distortions)) or tuple(DISTORTIONS),
            tuple(sorted({float(severity) for severity in self.severities})),
            self.max_images,
            self.seed,
            self.within_roots,
        )


def settings_from(stored: Mapping[str, Any]) -> CompareSettings:
    """Settings read back from `settings.json`; unknown entries are refused."""
    unknown = set(stored) - {entry.name for entry in fields(CompareSettings)}
    if unknown:
        raise JobError(f"settings.json holds {', '.join(sorted(unknown))}, which this version does not know.")
    return CompareSettings(**{key: tuple(value) if isinstance(value, list) else value for key, value in stored.items()})


def compare(
    settings: CompareSettings,
    folder: Path | str,
    *,
    resume: bool = False,
    wait_turn: bool = False,
    low_priority: bool = False,
    command: str = "",
    report: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any]:
    """Score a data set under every distortion with every metric, into `folder`, and return the summary.

    Args:
        settings: What to do.
        folder: Job folder, made if missing; must be empty of an earlier run unless `resume`.
        resume: Go on with the run in the folder; `settings` must be those stored there.
        wait_turn: Wait until no other job of this workspace works.
        low_priority: Let everything else on this machine go first.
        command: The command line to write into summary and report.
        report: Called with the rows done and the rows in all.

    Returns:
        The summary, also in `results/summary.json`: `images`, `unreadable`, `rows`, `statuses`, `seconds`,
        `images_per_second` (damaged pictures scored per second of work), `peak_memory_bytes` (of this process),
        `fingerprint` (of the source), `findings` (in words), `related_rows` (with which correlations and disagreements
        were found, see `relations.drawn`), `recipes`, `command`, `versions`, ...

    Raises:
        DeconvError: Settings or data cannot work, the folder holds another run, or there is nothing to resume.
        JobError: Another process works in the folder.
        KeyboardInterrupt: The run was asked to end early; what was done is kept.
    """
    settings.check()
    folder = Path(folder)
    check_resume(folder, resume)
    with JobFolder(folder, kind="compare", wait_turn=wait_turn, low_priority=low_priority) as job:
        settings = settings.complete()
        write_json(folder / "settings.json", asdict(settings))
        summary = _Run(settings, job, command).go(report)
        job.finish_message(
            f"{summary['rows']} rows from {summary['images']} pictures, {summary['images_per_second']:.2f} images/s"
        )
    return summary


@dataclass(frozen=True)
class Comparison:
    """What a run has found, or has found so far.

    Attributes:
        frame: One row per image, distortion and severity, in that order, index 0, 1, ...: `image`, `distortion`,
            `severity`, `seed`, `status`, `reason`, then one column per metric. `status` is `ok`; `unchanged` (the
            distortion leaves this picture as it is), `too_small` (for every metric), both without scores; or
            `unreadable`, a single row for the whole picture.
        metrics: Keys of the metrics, in order.
        settings: Of the run, complete.
        summary: As from `compare`; empty while it runs.
        recipes: Key -> recipe.
        folder: The job folder.
    """

    frame: pd.DataFrame
    metrics: tuple[str, ...]
    settings: CompareSettings
    summary: dict[str, Any]
    recipes: dict[str, Any]
    folder: Path = field(repr=False)

    @property
    def scored(self) -> pd.DataFrame:
        """The rows with status `ok`, with their row numbers as index."""
        return self.frame[self.frame["status"] == "ok"]

    def reference(self, row_number: int) -> np.ndarray:
        """The reference of a row as it was worked on, float32 (H, W, C) in [0, 1].

        Raises:
            DeconvError: There is no such row, its picture could not be read, or the folder has lost it.
        """
        from deconv_core.images import read_image

        if not 0 <= row_number < len(self.frame):
            raise DeconvError(f"There is no row {row_number}; expected 0 to {len(self.frame) - 1}.")
        row = self.frame.iloc[row_number]
        if not row["distortion"]:
            raise DeconvError(f"Row {row_number} has no picture ({row['status']}: {row['reason']}).")
        return read_image(_reference_file(self.folder / "results", row["image"])).pixels

    def pair(self, row_number: int) -> tuple[np.ndarray, np.ndarray]:
        """Reference and candidate of a row, float32 (H, W, C), exactly as they were scored.

        Raises:
            DeconvError: As for `reference`.
        """
        from deconv_core.distortions import distort

        reference = self.reference(row_number)
        row = self.frame.iloc[row_number]
        return reference, distort(reference, row["distortion"], float(row["severity"]), seed=int(row["seed"]))


def read_result(folder: Path | str) -> Comparison:
    """The result in a job folder; of a run at work or stopped, what is there so far.

    Raises:
        DeconvError: The folder holds no comparison, or its files are damaged.
    """
    folder = Path(folder)
    stored = _read_json(folder / "settings.json")
    if stored is None:
        raise DeconvError(f"'{folder.name}' holds no comparison yet; expected settings.json in it. Start a run first.")
    settings = settings_from(stored)
    table = folder / "results" / "scores.parquet"
    if table.exists():
        frame, recipes = _read_table(table)
    else:
        frame, recipes = _read_parts(folder / "results", settings)
    keys = tuple(key for key in frame.columns if key not in ROW_COLUMNS)
    return Comparison(
        frame, keys, settings, _read_json(folder / "results" / "summary.json") or {}, recipes, folder.absolute()
    )


def damage_seed(seed: int, image: str, distortion: str) -> int:
    """The seed of a picture's damage, 0 to 2^32 - 1; the same on every machine and in every run.

    All severities share it: a stronger step then holds the weaker one (see `distortions`), so that a severity curve
    never turns back by the luck of where the noise fell. Pictures and distortions are independent of each other.

    Example:
        >>> damage_seed(0, "a.png", "white_noise") == damage_seed(0, "b.png", "white_noise")
        False
    """
    return int.from_bytes(hashlib.sha256(f"{seed}\0{image}\0{distortion}".encode()).digest()[:4])


class _Run:
    """One run at work."""

    def __init__(self, settings: CompareSettings, job: JobFolder, command: str):
        from deconv_core.scoring import default_model, recipes
        from deconv_core.survey import Fingerprint

        self.settings, self.job, self.command = settings, job, command
        self.results = job.results
        for name in ("parts", "references"):
            (self.results / name).mkdir(exist_ok=True)
        job.status("loading the model")
        self.model = default_model(settings.metrics, settings.model or None)
        self.recipes = recipes(settings.metrics, self.model)
        job.status("looking at the pictures")
        self.chosen = _chosen(settings)
        self.fingerprint = Fingerprint()
        self.rows: list[dict[str, Any]] = []
        self.finished = self._earlier()
        self.written = time.monotonic()

    def _earlier(self) -> set[tuple[str, str]]:
        """(image, distortion) of what an earlier process has done; an unreadable picture counts with distortion ""."""
        frame, recipes = _read_parts(self.results, self.settings)
        if len(frame) and recipes != json.loads(json.dumps(self.recipes)):
            changed = ", ".join(key for key in self.recipes if recipes.get(key) != self.recipes[key])
            raise DeconvError(
                f"The recipe of {changed} has changed since this run began, so its rows would not belong together; "
                "start a new run."
            )
        return set(zip(frame["image"], frame["distortion"], strict=True))

    def go(self, report: Callable[[int, int], None]) -> dict[str, Any]:
        """Score what is left to do, then write tables, summary and report."""
        settings = self.settings
        per_image = len(settings.distortions) * len(settings.severities)
        count = len(self.chosen) if self.chosen is not None else sum(1 for _ in _items(settings))
        if not count:
            raise DeconvError(
                f"'{settings.data}' holds no picture named like '{settings.include}'; choose another source."
            )
        total, done = count * per_image, 0
        names = _Names()
        try:
            for number, item in enumerate(self._items(), start=1):
                name = names.unique(item.name)
                for finished in self._score_image(item, name):
                    self.job.status(f"picture {number} of {count}", done + finished, total)
                    report(done + finished, total)
                done += per_image
                self.job.status(f"picture {number} of {count}", done, total)
                report(done, total)
        finally:
            self._write_part()
        self.job.status("writing tables and report")
        return self._finish()

    def _items(self) -> Iterator[Item]:
        return iter(self.chosen) if self.chosen is not None else _items(self.settings)

    def _score_image(self, item: Item, name: str) -> Iterator[int]:
        """Add the rows of one picture, one distortion after another; yields how many rows are done."""
        severities = self.settings.severities
        left = [key for key in self.settings.distortions if (name, key) not in self.finished]
        if (name, "") in self.finished or not left:
            self.fingerprint.add(item.name, _digest(item))
            return
        began = time.perf_counter()
        try:
            picture = item.read()
            self.fingerprint.add(item.name, picture.digest)
            reference, note = _work_on(picture.pixels)
        except ImageError as error:
            self.fingerprint.add(item.name, _digest(item))
            self.job.log(f"left out {name}: {error}")
            self._add({"image": name, "status": "unreadable", "reason": str(error)}, began)
            return
        self._keep_reference(name, reference)
        judge = _Judge(reference, self.settings.metrics, self.model)
        for place, key in enumerate(left):
            if self.job.should_stop():
                raise KeyboardInterrupt
            seed = damage_seed(self.settings.seed, name, key)
            rows = judge.rows(key, severities, seed)
            seconds = time.perf_counter() - began
            for row in rows:
                row |= {"image": name, "seed": seed, "reason": " ".join([note, row["reason"]]).strip()}
                self.rows.append({**row, _SECONDS: seconds / len(rows)})
            began = time.perf_counter()
            if time.monotonic() - self.written > _PART_SECONDS:
                self._write_part()
            yield (len(self.settings.distortions) - len(left) + place + 1) * len(severities)

    def _keep_reference(self, name: str, reference: np.ndarray) -> None:
        """Write the reference, or refuse one that differs from that of the rows already there."""
        from deconv_core.images import read_image

        file = _reference_file(self.results, name)
        done = sum((name, key) in self.finished for key in self.settings.distortions)
        if done and file.exists():
            if not np.array_equal(read_image(file).pixels, reference):
                raise DeconvError(
                    f"'{name}' has changed since {done} of its {len(self.settings.distortions)} distortions were "
                    "scored, so its rows would not belong together; start a new run."
                )
            return
        _write_reference(self.results, name, reference)

    def _add(self, row: dict[str, Any], began: float) -> None:
        empty = {"distortion": "", "severity": np.nan, "seed": 0}
        self.rows.append({**empty, **row, _SECONDS: time.perf_counter() - began})

    def _write_part(self) -> None:
        """Keep what was done since the last part; a part never cuts a group of (image, distortion)."""
        import pandas as pd

        from deconv_core.tables import write_table

        self.written = time.monotonic()
        if not self.rows:
            return
        frame = pd.DataFrame(self.rows, columns=[*ROW_COLUMNS, *self.settings.metrics, _SECONDS])
        earlier = sorted((self.results / "parts").glob("*.parquet"))
        number = 1 + max((int(path.stem) for path in earlier), default=0)
        if len(earlier) >= _MOST_PARTS:
            frame = pd.concat([_read_parts(self.results, self.settings, seconds=True)[0], frame], ignore_index=True)
        else:
            earlier = []
        write_table(_typed(frame, self.settings), self.results / "parts" / f"{number:06d}.parquet", self.recipes)
        # Killed here, a run has some rows twice; they are read once.
        for path in earlier:
            path.unlink()
        self.rows.clear()

    def _finish(self) -> dict[str, Any]:
        from deconv_core import relations
        from deconv_core.tables import write_table

        frame, _ = _read_parts(self.results, self.settings, seconds=True)
        seconds = float(frame.pop(_SECONDS).sum())
        statuses = {str(key): int(count) for key, count in frame["status"].value_counts().items()}
        made = int((frame["distortion"] != "").sum())
        summary = {
            "images": int(frame["image"].nunique()),
            "unreadable": statuses.get("unreadable", 0),
            "rows": len(frame),
            "statuses": statuses,
            "seconds": round(seconds, 3),
            "images_per_second": round(made / seconds, 4) if seconds else 0.0,
            "peak_memory_bytes": peak_memory(),
            "working_pixels": WORKING_PIXELS,
            "fingerprint": self.fingerprint.hexdigest(),
            "settings": asdict(self.settings),
            "model": None if self.model is None else {"name": self.model.name, "digest": self.model.digest},
            "recipes": self.recipes,
            "command": self.command,
            "versions": versions(),
            "machine": platform.machine(),
        }
        if made == 0:
            reasons = "; ".join(frame["reason"].head(3))
            raise DeconvError(f"None of the pictures of '{self.settings.data}' could be read: {reasons}")
        for ending in (".parquet", ".csv"):
            write_table(frame, self.results / f"scores{ending}", self.recipes)
        found = Comparison(
            frame, tuple(self.settings.metrics), self.settings, summary, self.recipes, self.job.folder.absolute()
        )
        summary["findings"] = self._relate(found)
        summary["related_rows"] = len(relations.drawn(found.scored, self.settings.seed))
        summary["peak_memory_bytes"] = peak_memory()
        write_json(self.results / "summary.json", summary)
        return summary

    def _relate(self, found: Comparison) -> str:
        """Correlations, disagreements and the report; returns what they say in a few sentences."""
        from deconv_core import comparison_report, relations, severity

        keys = [key for key in found.metrics if found.scored[key].notna().any()]
        settings = self.settings
        table = relations.correlations(found.scored, keys, group="distortion", seed=settings.seed)
        self._write_tables("correlations", table)
        self.job.status("looking for disagreements")
        pairs = relations.disagreement_table(found, comparison_report.compared_pairs(keys))
        self._write_tables("disagreements", pairs)
        self.job.status("writing the report")
        comparison_report.write(found, table, pairs, self.results / "report.html")
        return comparison_report.findings(found, table, severity.broken_steps(found.scored, keys))

    def _write_tables(self, name: str, frame: pd.DataFrame) -> None:
        from deconv_core.tables import write_table

        for ending in (".parquet", ".csv"):
            write_table(frame, self.results / f"{name}{ending}", self.recipes)


class _Judge:
    """All damaged versions of one reference, scored; what the models make of the reference is computed once."""

    def __init__(self, reference: np.ndarray, keys: Sequence[str], model: Reconstructor | None):
        from deconv_core.scoring import Models

        self._reference, self._keys = reference, keys
        self._models = Models(model)
        self._batches: dict[int, np.ndarray] = {}
        self._at_once = max(1, _PIXELS_AT_ONCE // reference[..., 0].size)

    def rows(self, distortion: str, severities: Sequence[float], seed: int) -> list[dict[str, Any]]:
        """One row per severity: `distortion`, `severity`, `status`, `reason` and the scores."""
        from deconv_core.distortions import distort
        from deconv_core.metrics import metric

        smallest = min(self._reference.shape[:2])
        small = [key for key in self._keys if smallest < metric(key).smallest_side]
        status, reason = "ok", ""
        if small:
            needed = max(metric(key).smallest_side for key in small)
            reason = f"{', '.join(small)} left empty: smaller than their window (up to {needed} px)."
            status = "too_small" if len(small) == len(self._keys) else "ok"
        rows, waiting = [], []
        for severity in severities:
            candidate = distort(self._reference, distortion, severity, seed=seed)
            row = {"distortion": distortion, "severity": severity, "status": status, "reason": reason}
            rows.append(row)
            if np.array_equal(candidate, self._reference):
                row |= {"status": "unchanged", "reason": "This distortion leaves the picture as it is."}
            elif status == "ok":
                waiting.append((row, candidate))
        for start in range(0, len(waiting), self._at_once):
            part = waiting[start : start + self._at_once]
            scores = self._score(np.stack([candidate for _, candidate in part]))
            for place, (row, _) in enumerate(part):
                row |= {key: float(values[place]) for key, values in scores.items()}
        return rows

    def _score(self, candidates: np.ndarray) -> dict[str, np.ndarray]:
        from deconv_core.scoring import score_batch

        # The same array object again and again: the models recognise it and do not look twice.
        reference = self._batches.setdefault(len(candidates), np.broadcast_to(self._reference, candidates.shape))
        return score_batch(reference, candidates, self._keys, model=self._models)


class _Names:
    """Names of pictures, each once: a second `a.png` becomes `a.png (2)`."""

    def __init__(self) -> None:
        self._seen: dict[str, int] = {}

    def unique(self, name: str) -> str:
        self._seen[name] = self._seen.get(name, 0) + 1
        return name if self._seen[name] == 1 else self.unique(f"{name} ({self._seen[name]})")


def _items(settings: CompareSettings) -> Iterator[Item]:
    from deconv_core.roots import page_roots
    from deconv_core.sources import iterate

    roots = page_roots(settings.data) if settings.within_roots else None
    return iterate(settings.data, include=settings.include, allowed_roots=roots)


def _chosen(settings: CompareSettings) -> list[Item] | None:
    """The pictures that the seed draws, in the source's order; None for all of them."""
    if not settings.max_images:
        return None

    def rank(entry: tuple[int, Item]) -> bytes:
        return hashlib.sha256(f"{settings.seed} {entry[1].name}".encode()).digest()

    drawn = heapq.nsmallest(settings.max_images, enumerate(_items(settings)), key=rank)
    return [item for _, item in sorted(drawn, key=lambda entry: entry[0])]


def _digest(item: Item) -> str:
    try:
        return item.digest()
    except ImageError:
        return ""


def _work_on(pixels: np.ndarray) -> tuple[np.ndarray, str]:
    """A picture as it is worked on: 8 bits, at most WORKING_PIXELS; and what was done to it, in a sentence or ""."""
    import cv2

    from deconv_core.images import to_uint8

    height, width, channels = pixels.shape
    note = ""
    if height * width > WORKING_PIXELS:
        scale = (WORKING_PIXELS / (height * width)) ** 0.5
        size = (max(1, int(width * scale)), max(1, int(height * scale)))
        pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA).reshape(size[1], size[0], channels)
        note = f"Reduced from {width} x {height} to {size[0]} x {size[1]} pixels (width x height)."
    return np.divide(to_uint8(pixels), np.float32(255), dtype=np.float32), note


def _reference_file(results: Path, image: str) -> Path:
    # Names come from outside and may hold anything; a digest is a safe file name and needs no index.
    return results / "references" / f"{hashlib.sha256(image.encode('utf-8', 'backslashreplace')).hexdigest()[:24]}.png"


def _write_reference(results: Path, image: str, pixels: np.ndarray) -> None:
    from deconv_core.images import encode_png

    write_whole(_reference_file(results, image), encode_png(pixels))


def _read_parts(
    results: Path, settings: CompareSettings, *, seconds: bool = False
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Rows of all parts in their final order, and the recipes; without parts an empty table and no recipes."""
    import pandas as pd

    columns = [*ROW_COLUMNS, *settings.metrics, _SECONDS]
    frames, recipes = _read_part_files(results / "parts")
    frame = pd.concat(frames, ignore_index=True) if frames else _typed(pd.DataFrame(columns=columns), settings)
    frame = frame.drop_duplicates(["image", "distortion", "severity"])
    # Parts keep the order of the source; only what one picture got in two processes may have to be put in order.
    images = {name: place for place, name in enumerate(frame["image"].drop_duplicates())}
    kinds = {key: place for place, key in enumerate(settings.distortions)}
    order = np.lexsort([frame["severity"], frame["distortion"].map(kinds).fillna(-1), frame["image"].map(images)])
    frame = frame.iloc[order].reset_index(drop=True)
    return (frame if seconds else frame.drop(columns=_SECONDS)), recipes


def _read_part_files(folder: Path) -> tuple[list[pd.DataFrame], dict[str, Any]]:
    """Every part, the oldest first; begins again where parts were made one meanwhile."""
    frames, recipes = [], {}
    for path in sorted(folder.glob("*.parquet")):
        try:
            frame, recipes = _read_table(path)
        except DeconvError:
            if path.exists():
                raise
            return _read_part_files(folder)
        frames.append(frame)
    return frames, recipes


def _read_table(path: Path) -> tuple[pd.DataFrame, dict[str, Any]]:
    import pandas as pd

    from deconv_core.tables import read_recipes

    try:
        return pd.read_parquet(path), read_recipes(path)
    except (OSError, ValueError) as error:
        raise DeconvError(f"{path.name} cannot be read ({type(error).__name__}); start a new run.") from error


def _typed(frame: pd.DataFrame, settings: CompareSettings) -> pd.DataFrame:
    """The same column types in every part, also where a part holds unreadable pictures alone."""
    texts = dict.fromkeys(("image", "distortion", "status", "reason"), "str")
    numbers = dict.fromkeys(("severity", *settings.metrics, _SECONDS), "float64")
    return frame.astype({**texts, "seed": "int64", **numbers})


def versions() -> dict[str, str]:
    """Package -> version of what makes numbers here."""
    from importlib.metadata import PackageNotFoundError, version

    from deconv_core import __version__

    found = {"deconv_core": __version__, "python": platform.python_version()}
    for package in ("numpy", "scipy", "opencv-python-headless", "tensorflow", "keras", "pandas"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _read_json(path: Path) -> dict[str, Any] | None:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise DeconvError(f"{path.name} cannot be read ({type(error).__name__}); start a new run.") from error
    if not isinstance(content, dict):
        raise DeconvError(f"{path.name} holds no settings; start a new run.")
    return content
