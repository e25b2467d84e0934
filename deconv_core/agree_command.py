"""From a table with human scores to an agreement and its files: what `agree` does, for the command line and for pages.

In three steps, so that everything doubtful can be shown before anything is computed: `prepare` reads and understands,
`compute` fills in metrics that the table lacks and compares, `write` leaves tables that need nothing else to be read
(`agree_result` reads them back). `run` does all three in a job folder that can be watched, stopped and resumed.
"""

from __future__ import annotations

import json
import math
import platform
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from deconv_core.agreement import Agreement, advice, agreement, as_text
from deconv_core.direction import Direction, detect_direction, metric_direction, plain_name
from deconv_core.errors import DeconvError, JobError
from deconv_core.files import write_json
from deconv_core.human_scores import HumanScores, Pictures, find_pictures, read_scores, resolve_column
from deconv_core.jobs import JobFolder, check_resume, stderr_is_log
from deconv_core.scoring import Problem

if TYPE_CHECKING:
    import pandas as pd

    from deconv_core.models.inference import Reconstructor
    from deconv_core.scoring import Pair

# Compared where a table brings pictures and no metric, and none is asked for.
_USUAL = ("psnr", "ssim")
_TIMED_PAIRS = 4
_SHOWN = 10
# A stop waits for no more than these, and a process that is killed loses no more than the scores of these seconds.
_PAIRS_AT_ONCE = 8
_KEEP_SECONDS = 5.0
# Written after everything else: where it is, there is a result.
_DONE_MARK = "curves.json"


@dataclass(frozen=True)
class Plan:
    """What is going to be compared, before anything is computed.

    Attributes:
        scores: The table, understood; its `mos` role is the column of human scores that was chosen.
        read: Metric -> column of the table that holds it.
        missing: Metrics that have to be computed from pictures.
        pictures: Where these are; None where nothing has to be computed and no folder of pictures was named.
        group: Column to split by, or None.
    """

    scores: HumanScores
    read: dict[str, str]
    missing: list[str]
    pictures: Pictures | None
    group: str | None

    @property
    def lines(self) -> list[str]:
        """What to show before anything runs: guesses, repairs, pictures, and the first of what does not fit."""
        lines = [*self.scores.guesses(), *self.scores.notes]
        if self.pictures is not None:
            lines.append(self.pictures.summary)
        problems = self.problems
        for problem in problems[:_SHOWN]:
            named = f"{problem.candidate} ({problem.reference})" if problem.reference else problem.candidate
            lines.append(f"{problem.status}: {named or 'a row without a name'}. {problem.reason}")
        if len(problems) > _SHOWN:
            lines.append(f"... and {len(problems) - _SHOWN} more that do not fit.")
        return lines

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Rows and files that do not fit together."""
        return self.scores.problems if self.pictures is None else self.pictures.problems


@dataclass(frozen=True)
class Outcome:
    """An agreement with what stands beside it.

    Attributes:
        plan: What it was made from.
        rows: The table with every metric, one row per picture: every number of `found` follows from it.
        found: The agreement.
        published: Numbers that others published for these metrics on this data set; empty where it is not known.
        contaminated: Metric -> sentence, for metrics made with what they are judged on.
        milliseconds: Metric -> measured time per image, for those that were computed here.
        recipes: Metric -> how its numbers were made, or from where they were read.
        unscored: Pictures that were found and could not be scored, with the reason.
    """

    plan: Plan
    rows: pd.DataFrame
    found: Agreement
    published: pd.DataFrame
    contaminated: dict[str, str]
    milliseconds: dict[str, float] = field(default_factory=dict)
    recipes: dict[str, Any] = field(default_factory=dict)
    unscored: tuple[Problem, ...] = ()

    @property
    def advice(self) -> str:
        """One sentence: which metric to trust for pictures like these, by how much, at what cost."""
        return advice(self.found, milliseconds=self.milliseconds, contaminated=self.contaminated)

    @property
    def text(self) -> str:
        """All of it for a terminal."""
        lines = [self.advice, as_text(self.found), *self.contaminated.values()]
        lines += [f"{problem.status}: {problem.candidate}. {problem.reason}" for problem in self.unscored[:_SHOWN]]
        if len(self.unscored) > _SHOWN:
            lines.append(f"... and {len(self.unscored) - _SHOWN} more that could not be scored.")
        for row in self.published.to_dict("records"):
            trained = (
                f"made with human scores: {row['trained_on']}" if row["trained_on_scores"] else "no human scores used"
            )
            to = f" to {row['srcc_to']:.4g}" if np.isfinite(row["srcc_to"] or np.nan) else ""
            number = f"SRCC {row['srcc']:.4g}{to}"
            lines.append(f"Published for {row['data_set']}: {row['label']} {number} ({trained}; {row['source']}).")
        return "\n".join(lines)


def prepare(
    source: str | Path,
    *,
    scores: str | None = None,
    metrics: Sequence[str] | None = None,
    group: str | None = None,
    columns: Mapping[str, str | None] | None = None,
    images: str | Path | None = None,
    references: str | Path | None = None,
    sheet: str | None = None,
) -> Plan:
    """Read and understand a table, and find the pictures that are needed; nothing is computed.

    Args:
        source: Table or folder of a known data set (see `human_scores.read_scores`).
        scores: Column of human scores; guessed by its name without it.
        metrics: Columns of the table, or metrics to compute from pictures; without any, every column named like a
            metric, or PSNR and SSIM where there is none.
        group: Column to split by, or a role such as `distortion`.
        columns: Role -> column, to overrule guesses.
        images: Folder with the pictures, where they are not beside the table.
        references: Folder with the references, where the table does not name them.
        sheet: Sheet of an Excel file.

    Raises:
        DeconvError: A column or metric is unknown, no column holds human scores, or pictures that are needed are not
            there.
    """
    import pandas as pd

    from deconv_core.calibrated_metrics import saved_names
    from deconv_core.metrics import METRICS

    known = [*METRICS, *saved_names()]
    table = read_scores(source, sheet=sheet, columns={**(columns or {}), "mos": scores})
    mos = table.column("mos")
    numeric = [column for column in table.frame.columns if pd.api.types.is_numeric_dtype(table.frame[column])]
    if mos is None:
        told = ", ".join(numeric) or "(no column holds numbers)"
        raise DeconvError(f"No column is named like human scores; name one with --scores: {told}.")
    if mos not in numeric:
        raise DeconvError(f"Column '{mos}' holds no numbers; choose one of {', '.join(numeric) or '(none)'}.")
    split = None
    if group:
        split = table.column(group) if group in table.roles else resolve_column(table.frame, group)
    own = {plain_name(str(column)): str(column) for column in reversed(table.frame.columns)}
    usable = [column for column in numeric if column != mos]
    if metrics is None:
        metrics = [column for column in usable if metric_direction(column) is not None] or list(_USUAL)
    read, missing = {}, []
    for name in metrics:
        column = name if name in usable else own.get(plain_name(name))
        key = next((key for key in known if plain_name(key) == plain_name(name)), name)
        if column in usable:
            read[key] = column
        elif key in known:
            missing.append(key)
        else:
            raise DeconvError(
                f"'{name}' is neither a column of numbers nor a metric; choose among the columns "
                f"{', '.join(usable) or '(none)'} "
                f"and the metrics {', '.join(known)}."
            )
    pictures = None
    if missing:
        try:
            pictures = find_pictures(table, images, references=references)
        except DeconvError as error:
            raise DeconvError(f"{', '.join(missing)} must be computed from pictures. {error}") from error
        _check_pictures(table, pictures, missing)
    elif images is not None or references is not None:
        pictures = find_pictures(table, images, references=references)  # to look at, and for their contents
    return Plan(table, read, missing, pictures, split)


def paired_references(plan: Plan) -> list[str] | None:
    """The reference file that each row was paired with, "" where it has none; None where rows were not paired.

    Where no column tells which rows show one content, versions of one reference do.
    """
    if plan.pictures is None or not any(plan.pictures.references):
        return None
    return ["" if path is None else str(path.absolute()) for path in plan.pictures.references]


def direction_of(plan: Plan, higher_is_better: bool | None = None) -> Direction:
    """Which way the human scores count, as far as it is known before anything is computed.

    Args:
        plan: From `prepare`; the metrics that its table holds are asked.
        higher_is_better: The user's word, which decides.
    """
    frame, mos = plan.scores.frame, plan.scores.column("mos")
    rated = frame[frame[mos].notna()]
    metrics = {key: rated[column].to_numpy(np.float64) for key, column in plan.read.items()}
    return detect_direction(
        mos, rated[mos].to_numpy(np.float64), metrics, given=higher_is_better, known=plan.scores.direction
    )


def compute(
    plan: Plan,
    *,
    higher_is_better: bool | None = None,
    model_name: str | None = None,
    resamples: int = 1000,
    folds: int = 10,
    seed: int = 0,
    report: Callable[[int, int], None] = lambda done, total: None,
    parts: Sequence[Path] = (),
) -> Outcome:
    """Compute the metrics that are missing, and compare all of them with the human scores.

    Args:
        plan: From `prepare`.
        higher_is_better: Direction of the human scores where the user states it.
        model_name: Model for the recon_* scores.
        resamples, folds, seed: See `agreement.agreement`.
        report: Called with the numbers of pictures done and to do; may raise KeyboardInterrupt to end the work.
        parts: Folders with scores that were kept: what was computed with the same metrics for the same pictures is
            taken over. New scores are kept in the first one.

    Raises:
        DeconvError: A column cannot be used.
        JobError: Not one picture could be scored.
    """
    from deconv_core import scoring
    from deconv_core.published import contamination, published_table

    table = plan.scores
    mos = table.column("mos")
    rows = table.frame.copy()
    clash = [column for column in rows.columns if column in plan.missing]
    rows = rows.rename(columns={column: f"{column} (not numbers)" for column in clash})
    # A metric goes by its key; the table's own spelling stays in the recipe.
    rows = rows.rename(columns={column: key for key, column in plan.read.items()})
    roles = {role: found.column for role, found in table.roles.items()}
    recipes: dict[str, Any] = {key: {"read_from": column, "computed_here": False} for key, column in plan.read.items()}
    model = scoring.default_model(plan.missing, model_name) if plan.missing else None
    milliseconds: dict[str, float] = {}
    unscored: list[Problem] = []
    if plan.missing:
        made_here = scoring.recipes(plan.missing, model)
        numbers, unscored = _score(plan, rows[mos].notna().to_numpy(), model, report, _Parts(parts, made_here))
        rows = rows.assign(**numbers)
        milliseconds = _measure(plan, model)
        recipes |= made_here
    keys = [*plan.read, *plan.missing]
    content = roles.get("content") or roles.get("reference")
    if content is None and (paired := paired_references(plan)) is not None:
        content = "paired reference"
        while content in rows:
            content += "_"
        rows[content] = paired
    found = agreement(
        rows,
        mos,
        keys,
        group=plan.group,
        content=content,
        std=roles.get("std"),
        higher_is_better=higher_is_better,
        known_direction=table.direction,
        resamples=resamples,
        folds=folds,
        seed=seed,
    )
    contaminated = {}
    for key in keys:
        card = _card(key, model if key in plan.missing else None)
        sentence = contamination(key, table.data_set, card=card, scores_digest=table.digest)
        if sentence:
            contaminated[key] = sentence
    beside = published_table(keys, table.data_set) if table.data_set else published_table([])
    return Outcome(plan, rows, found, beside, contaminated, milliseconds, recipes, tuple(unscored))


def run(
    source: str | Path,
    folder: str | Path,
    *,
    higher_is_better: bool | None = None,
    model_name: str | None = None,
    resamples: int = 1000,
    seed: int = 0,
    resume: bool = False,
    wait_turn: bool = False,
    low_priority: bool = False,
    command: str = "",
    reuse: Path | None = None,
    calibrate: str = "",
    calibrate_on: str = "metrics",
    tell: Callable[[str], None] = lambda line: None,
    report: Callable[[int, int], None] = lambda done, total: None,
    **request: Any,
) -> Outcome:
    """Compare metrics with human scores in a job folder: `prepare`, `compute` and `write`, watched and resumable.

    Args:
        source: As for `prepare`.
        folder: Job folder.
        higher_is_better, model_name, resamples, seed: As for `compute`.
        resume: Go on with the run in the folder; what it had computed is taken over.
        wait_turn, low_priority: See `jobs.JobFolder`.
        command: For `settings.json`.
        reuse: Job folder of another run whose scores are taken over where pictures and metrics are the same.
        calibrate: Name of a metric to make from what was compared; its card is `results/calibration.json`.
        calibrate_on: Features to make it from, see `calibrated_metrics.calibrate_outcome`.
        tell: Called with every line that should be read before anything is computed.
        report: Called with the numbers of pictures done and to do.
        request: Further options of `prepare`.

    Raises:
        DeconvError: The request cannot be met, or the folder holds a run already (or none to resume).
        JobError: Not one picture could be scored, or another process works in the folder.
        KeyboardInterrupt: An end was asked for.
    """
    from deconv_core.agree_report import write_agree_report
    from deconv_core.agree_result import read_result

    folder = Path(folder)
    if reuse is not None and not reuse.is_dir():
        raise DeconvError(f"--reuse got '{reuse}', which is no job folder; name one, or leave it out.")
    if calibrate:
        from deconv_core.calibrated_metrics import check_name

        check_name(calibrate)
    check_resume(folder, resume)
    with JobFolder(folder, kind="agree", wait_turn=wait_turn, low_priority=low_priority) as job:
        job.status("reading the table")
        plan = prepare(source, **request)
        for line in plan.lines:
            tell(line)
            if not stderr_is_log():
                job.log(line)
        # What an earlier run left is no result of this one.
        (job.results / _DONE_MARK).unlink(missing_ok=True)
        write_json(folder / "settings.json", _plain(_plan_settings(plan, command)))
        parts = job.results / "parts"
        if not resume:
            shutil.rmtree(parts, ignore_errors=True)

        def progress(done: int, total: int) -> None:
            report(done, total)
            job.status(f"scored {done:,} of {total:,} pictures", done, total)
            if job.should_stop():
                raise KeyboardInterrupt

        if plan.missing:
            job.status("scoring pictures")
        else:
            rated = int(plan.scores.frame[plan.scores.column("mos")].notna().sum())
            job.status("comparing with the human scores", 0, rated)
        outcome = compute(
            plan,
            higher_is_better=higher_is_better,
            model_name=model_name,
            resamples=resamples,
            seed=seed,
            report=progress,
            parts=[parts, *([reuse / "results" / "parts"] if reuse is not None else [])],
        )
        job.status("writing tables and the report")
        write(outcome, folder, command=command)
        write_agree_report(read_result(folder))
        if not plan.missing:
            job.status(None, rated, rated)
        if calibrate:
            from deconv_core.calibrated_metrics import calibrate_outcome

            def step(message: str, done: int, total: int) -> None:
                job.status(f"calibrating: {message}", done, total) if total else job.status(f"calibrating: {message}")
                if job.should_stop():
                    raise KeyboardInterrupt

            card = calibrate_outcome(
                outcome,
                calibrate,
                on=calibrate_on,
                model_name=model_name,
                images=request.get("images"),
                resamples=resamples,
                seed=seed,
                command=command,
                report=step,
            )
            write_json(job.results / "calibration.json", _plain(card))
        number = len(plan.read) + len(plan.missing)
        told = f"{number} {'metric' if number == 1 else 'metrics'} compared with {len(outcome.rows):,} rows"
        job.finish_message(f"{told}; {calibrate} calibrated" if calibrate else told)
    return outcome


def write(outcome: Outcome, folder: str | Path, *, command: str = "") -> list[Path]:
    """Write everything under a folder: `settings.json` and, in `results/`, tables as CSV and Parquet.

    `agreement` is the table itself; `significance`, `held_out`, `published` and `problems` stand beside it where they
    hold anything, `curves.json` has the fitted curves, `rows.parquet` the numbers that all of it follows from, and
    `pictures.parquet` where the picture and the reference of each row are, if they were looked for. `curves.json` is
    the last, and gone while the others are replaced: where it is, all of them are of one run.

    Returns:
        The files, the agreement first.

    Raises:
        DeconvError: The folder cannot be written.
    """
    import pandas as pd

    from deconv_core.tables import write_table

    folder = Path(folder)
    results = folder / "results"
    try:
        results.mkdir(parents=True, exist_ok=True)
        (results / _DONE_MARK).unlink(missing_ok=True)
    except OSError as error:
        raise DeconvError(f"'{folder}' cannot be made ({error.strerror}); choose another folder for --out.") from error
    found = outcome.found
    files = write_table(found.table, results / "agreement.csv", outcome.recipes)
    files += write_table(found.table, results / "agreement.parquet", outcome.recipes)
    held_out = [frame.assign(metric=key) for key, frame in found.held_out.items()]
    beside = {
        "significance": found.significance,
        "held_out": pd.concat(held_out, ignore_index=True) if held_out else pd.DataFrame(),
        "published": outcome.published,
        "problems": pd.DataFrame([vars(problem) for problem in [*outcome.plan.problems, *outcome.unscored]]),
    }
    for name, frame in beside.items():
        if len(frame):
            files += write_table(frame, results / f"{name}.csv")
            files += write_table(frame, results / f"{name}.parquet")
    files += write_table(outcome.rows, results / "rows.parquet", outcome.recipes)
    pictures = outcome.plan.pictures
    if pictures is not None:
        paths = {"candidate": pictures.candidates, "reference": pictures.references}
        named = {
            name: ["" if path is None else str(path.absolute()) for path in column] for name, column in paths.items()
        }
        files += write_table(pd.DataFrame(named), results / "pictures.parquet")
    curves = [
        {"metric": metric, "group": group, **vars(fit) | {"parameters": list(fit.parameters)}}
        for (metric, group), fit in found.fits.items()
    ]
    for path, content in ((folder / "settings.json", settings(outcome, command)), (results / _DONE_MARK, curves)):
        write_json(path, _plain(content))
        files.append(path)
    return files


def settings(outcome: Outcome, command: str = "") -> dict[str, Any]:
    """What is needed to do it again, and what was understood of the table."""
    found = outcome.found
    return {
        **_plan_settings(outcome.plan, command),
        "direction": {
            "higher_is_better": found.direction.higher_is_better,
            "why": found.direction.why,
            "contradiction": found.direction.contradiction,
        },
        **found.settings,
        "notes": [*outcome.plan.scores.notes, *found.notes],
        "contaminated": outcome.contaminated,
        "milliseconds_per_image": outcome.milliseconds,
        "advice": outcome.advice,
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in ("numpy", "scipy", "pandas")},
        },
    }


def _plan_settings(plan: Plan, command: str) -> dict[str, Any]:
    """What is known before anything is computed."""
    table = plan.scores
    return {
        "kind": "agree",
        "command": command,
        "data_set": table.data_set,
        "scores_digest": table.digest,
        "columns": {role: {"column": told.column, "why": told.why} for role, told in table.roles.items()},
        "scores": table.column("mos"),
        "group": plan.group,
        "read": plan.read,
        "computed": plan.missing,
        "notes": list(table.notes),
    }


def _check_pictures(table: HumanScores, pictures: Pictures, keys: Sequence[str]) -> None:
    from deconv_core.metrics import metric

    found = sum(path is not None for path in pictures.candidates)
    if not found:
        first = pictures.problems[0].reason if pictures.problems else "The table is empty."
        raise DeconvError(
            f"{', '.join(keys)} must be computed from pictures, and none of {len(pictures.candidates)} was found "
            f"({first}). Name the folder that holds them (--images)."
        )
    lacking = [key for key in keys if metric(key).needs_reference]
    paired = sum(None not in pair for pair in zip(pictures.candidates, pictures.references, strict=True))
    if lacking and not paired:
        raise DeconvError(
            f"{', '.join(lacking)} need references, and no row has one. Name the column (--column reference=NAME) "
            "or their folder (--references)."
        )


def _score(
    plan: Plan, rated: np.ndarray, model: Reconstructor | None, report: Callable[[int, int], None], kept: _Parts
) -> tuple[dict[str, np.ndarray], list[Problem]]:
    """The missing metrics of every row that has a human score and its pictures, NaN elsewhere; and what failed."""
    from deconv_core import scoring
    from deconv_core.metrics import metric

    needs = any(metric(key).needs_reference for key in plan.missing)
    pairs = {
        place: scoring.Pair(candidate, reference)
        for place, (candidate, reference) in enumerate(
            zip(plan.pictures.candidates, plan.pictures.references, strict=True)
        )
        if rated[place] and candidate is not None and (reference is not None or not needs)
    }
    found = kept.read(pairs)
    if found:
        report(len(found), len(pairs))
    left = [place for place in pairs if place not in found]
    try:
        for start in range(0, len(left), _PAIRS_AT_ONCE):
            places = left[start : start + _PAIRS_AT_ONCE]
            scored = scoring.score_pairs([pairs[place] for place in places], plan.missing, model=model)
            for place, row in zip(places, scored.to_dict("records"), strict=True):
                found[place] = row
                kept.add(place, pairs[place], row)
            report(len(found), len(pairs))
    finally:
        kept.write()
    failed = [row for row in found.values() if row["status"] != "ok"]
    if len(failed) == len(pairs):
        reason = failed[0]["reason"] if failed else "no row has both a human score and its pictures"
        raise JobError(f"None of {len(pairs)} pictures could be scored ({reason}).")
    numbers = {key: np.full(len(rated), np.nan) for key in plan.missing}
    for place, row in found.items():
        for key in plan.missing:
            numbers[key][place] = np.nan if row[key] is None else row[key]
    return numbers, [Problem(row["candidate"], row["reference"], row["status"], row["reason"]) for row in failed]


class _Parts:
    """Scores kept while they are computed, as small tables: a run that was stopped or killed does only the rest.

    Each table carries the recipes of its metrics and each row the size and time of its two files; where any of these is
    another one now, the scores are computed again.
    """

    def __init__(self, folders: Sequence[Path], recipes: Mapping[str, Any]):
        self._folders, self._recipes = folders, recipes
        self._rows: list[dict[str, Any]] = []
        self._written = time.monotonic()

    def read(self, pairs: Mapping[int, Pair]) -> dict[int, dict[str, Any]]:
        """Place in the table -> row of scores, for those pairs that were scored before."""
        import pandas as pd

        from deconv_core.tables import json_bytes, read_recipes

        found: dict[int, dict[str, Any]] = {}
        files = [file for folder in self._folders for file in sorted(folder.glob("*.parquet"))]
        if not files:
            return found
        recipes = json.loads(json_bytes(pd.DataFrame(), self._recipes))["recipes"]
        marks = {place: _mark(pair) for place, pair in pairs.items()}
        for file in files:
            try:
                if read_recipes(file) != recipes:
                    continue
                rows = pd.read_parquet(file).to_dict("records")
            except (DeconvError, OSError, ValueError):  # cut short by whatever ended the process
                continue
            for row in rows:
                place, mark = row.pop("place"), row.pop("mark")
                if place in marks and marks[place] == mark:
                    found[place] = row
        return found

    def add(self, place: int, pair: Pair, row: Mapping[str, Any]) -> None:
        """Remember a row; written to disk now and then."""
        if not self._folders:
            return
        self._rows.append({"place": place, "mark": _mark(pair), **row})
        if time.monotonic() - self._written > _KEEP_SECONDS:
            self.write()

    def write(self) -> None:
        """Put what was remembered since the last time on the disk."""
        import pandas as pd

        from deconv_core.tables import write_table

        if not self._rows:
            return
        self._folders[0].mkdir(parents=True, exist_ok=True)
        write_table(pd.DataFrame(self._rows), self._folders[0] / f"{time.time_ns()}.parquet", self._recipes)
        self._rows, self._written = [], time.monotonic()


def _mark(pair: Pair) -> str:
    """What tells whether the files of a pair are still those that were scored."""
    marks = []
    for path in (pair.candidate, pair.reference):
        try:
            about = path.stat() if path is not None else None
        except OSError:
            about = None
        marks.append("" if about is None else f"{path.absolute()} {about.st_size} {about.st_mtime_ns}")
    return "\n".join(marks)


def _measure(plan: Plan, model: Reconstructor | None) -> dict[str, float]:
    """Milliseconds per image of each computed metric, on the first pairs of one size, after a run to warm up."""
    from deconv_core import scoring
    from deconv_core.errors import ImageError
    from deconv_core.images import read_image

    references, candidates = [], []
    for candidate, reference in zip(plan.pictures.candidates, plan.pictures.references, strict=True):
        if candidate is None or (reference is None and candidates):
            continue
        try:
            one = read_image(candidate).pixels
            other = one if reference is None else read_image(reference).pixels
            other, one, _ = scoring.fit_pair(other, one)
        except ImageError:
            continue
        if candidates and one.shape != candidates[0].shape:
            break
        references.append(other)
        candidates.append(one)
        if len(candidates) == _TIMED_PAIRS:
            break
    if not candidates:
        return {}
    first, second = np.stack(references), np.stack(candidates)
    found = {}
    for key in plan.missing:
        scoring.score_batch(first, second, [key], model=model)
        start = time.perf_counter()
        scoring.score_batch(first, second, [key], model=model)
        found[key] = 1000 * (time.perf_counter() - start) / len(candidates)
    return found


def _card(key: str, model: Reconstructor | None) -> Mapping[str, Any] | None:
    """The card of a calibrated metric, of the model behind a metric, or of both; None where there is none."""
    from deconv_core import scoring
    from deconv_core.errors import ModelError
    from deconv_core.metrics import is_metric, metric
    from deconv_core.models.saving import read_card

    if not is_metric(key):
        return None
    row = metric(key)
    own = scoring.DECONV_MODEL if key == "deconv" else row.own_model
    if own:
        try:
            return {**read_card(own), **row.card}
        except ModelError:
            return row.card
    return model.card if row.needs_model and model is not None else row.card


def _plain(value: Any) -> Any:
    """The same for JSON, which has no word for a number that is none."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
