"""Pictures judged by people, two at a time: studies, their trials, and answers that survive whatever happens.

A study is a folder of the workspace: the pictures, and one file of answers for each judge. Every answer is one line,
written and forced to the disk before the next pair is asked for, so a closed browser or a killed server costs at most
the answer on its way. Nothing is ever rewritten: undoing an answer is a line too.

Judges choose one of two (forced choice); there is no third answer. Where two pictures cannot be told apart, answers
fall either way and the intervals of the scores say so.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from deconv_core.distortions import DISTORTIONS, distort
from deconv_core.errors import DeconvError
from deconv_core.files import write_whole
from deconv_core.images import encode_png, read_image
from deconv_core.inspection import reduce_side
from deconv_core.workspace import folder as workspace_folder

if TYPE_CHECKING:
    import pandas as pd

QUESTIONS = {
    "closer": "Which of these two is closer to the reference?",
    "better": "Which of these two looks better?",
}
SIDES = ("left", "right")
LARGEST_SIDE = 320  # pixels: three such pictures stand side by side on a laptop, one screen pixel per picture pixel
MOST_PICTURES = 400
FEWEST_TRIALS, MOST_TRIALS = 8, 300
# The judge sees the untouched picture beside one that nobody takes for it.
CATCH_DAMAGE = ("gaussian_blur", 5.0)
_CATCH_SHARE = _REPEAT_SHARE = 0.1
_FEWEST_CHECKS = 2
_REPEAT_DISTANCE = 3  # trials between a pair and its repetition, at least
_STUDY = re.compile(r"[0-9]{8}-[0-9]{6}-[a-z0-9-]{1,80}")
_NAME_LENGTH = 60
_LONGEST_SECONDS = 24 * 3600.0  # whoever takes longer has done something else meanwhile


@dataclass(frozen=True)
class Stimulus:
    """One picture that is judged.

    Attributes:
        key: Name within the study, also the stem of its file.
        content: Number of the reference it was made from.
        distortion: A key of `DISTORTIONS`; "" for the reference itself, "catch" for the one nobody takes for it.
        severity: 0 to 5.
    """

    key: str
    content: int
    distortion: str
    severity: float

    @property
    def condition(self) -> str:
        """What was done to the picture, as one text: the same for all references."""
        return f"{self.distortion} {self.severity:g}"


@dataclass(frozen=True)
class Trial:
    """Two pictures of one content, to be judged.

    Attributes:
        kind: `main` counts for the scores; `catch` has a known answer; `repeat` is an earlier one with sides changed.
        left, right: Keys of the stimuli.
        repeats: Number of the trial that is repeated, else None.
    """

    kind: str
    content: int
    left: str
    right: str
    repeats: int | None = None


@dataclass(frozen=True)
class Study:
    """What is judged, by which question."""

    folder: Path
    name: str
    question: str
    seed: int
    num_trials: int
    contents: tuple[str, ...]
    stimuli: Mapping[str, Stimulus]
    created: float

    @property
    def key(self) -> str:
        """The study's name in addresses."""
        return self.folder.name

    @property
    def conditions(self) -> list[str]:
        """What was done to the pictures, in the order in which it was chosen."""
        return list(dict.fromkeys(row.condition for row in self.judged))

    @property
    def judged(self) -> list[Stimulus]:
        """The stimuli that get scores: all but the references and the pictures of catch trials."""
        return [row for row in self.stimuli.values() if row.distortion in DISTORTIONS]

    def picture(self, key: str) -> Path:
        """The file of a stimulus."""
        return self.folder / "pictures" / f"{key}.png"

    def reference(self, content: int) -> str:
        """Key of a content's reference."""
        return f"{content:02d}_reference"


@dataclass(frozen=True)
class Progress:
    """How far a judge is."""

    judge: str
    trials: tuple[Trial, ...]
    answers: tuple[Mapping[str, Any], ...]  # one per trial judged, in order

    @property
    def done(self) -> int:
        """Trials judged; also the number of the next one."""
        return len(self.answers)

    @property
    def total(self) -> int:
        """Trials in all."""
        return len(self.trials)

    @property
    def is_finished(self) -> bool:
        """Whether nothing is left to judge."""
        return self.done >= self.total


# -------------------------------------------------------------------------------------------------------------- studies


def create_study(
    name: str,
    contents: Sequence[tuple[str, np.ndarray]],
    conditions: Sequence[tuple[str, float]],
    *,
    question: str = "closer",
    num_trials: int = 20,
    seed: int = 0,
) -> Study:
    """Make the pictures of a study and keep them in the workspace.

    Args:
        name: For lists; any text.
        contents: (name, pixels) of each reference, float32 (H, W, C) in [0, 1]. Those with a side beyond `LARGEST_SIDE`
            are reduced first, so that judges see every pixel that metrics see.
        conditions: (distortion, severity) that every reference gets.
        question: A key of `QUESTIONS`; the reference is shown for `closer` only.
        num_trials: Trials for each judge, repetitions and catch trials among them.
        seed: Decides random damage, and with the judge's name the pairs, their order and their sides.

    Raises:
        DeconvError: Fewer than two conditions, or fewer than two that change some picture, no content, too many
            pictures or trials, or a wrong key.
    """
    conditions = list(dict.fromkeys((kind, float(severity)) for kind, severity in conditions))
    _check_request(contents, conditions, question, num_trials)
    home = _home()
    draft = home / f".draft-{secrets.token_hex(6)}"
    try:
        (draft / "pictures").mkdir(parents=True)
        (draft / "answers").mkdir()
        stimuli: list[Stimulus] = []
        for number, (_, pixels) in enumerate(contents):
            pixels = reduce_side(pixels, LARGEST_SIDE)
            steps = [("", 0.0), ("catch", CATCH_DAMAGE[1]), *conditions]
            for kind, severity in steps:
                if not _changes(kind, pixels):
                    continue
                stem = "reference" if not kind else kind if kind == "catch" else f"{kind}_{severity:g}"
                stimuli.append(Stimulus(f"{number:02d}_{stem}", number, kind, severity))
                damage = CATCH_DAMAGE[0] if kind == "catch" else kind or "jpeg"  # severity 0 leaves it as it is
                made = distort(pixels, damage, severity, seed=seed + number)
                (draft / "pictures" / f"{stimuli[-1].key}.png").write_bytes(encode_png(made))
        facts = {
            "name": " ".join(name.split())[:_NAME_LENGTH] or "Study",
            "question": question,
            "seed": int(seed),
            "num_trials": int(num_trials),
            "contents": [" ".join(label.split())[:_NAME_LENGTH] for label, _ in contents],
            "stimuli": [asdict(row) for row in stimuli],
            "created": time.time(),
        }
        (draft / "study.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
        return open_study(_place(draft, facts["name"]).name)
    except OSError as error:
        raise DeconvError(
            f"The study cannot be kept ({error.strerror}); make room on the disk of the workspace."
        ) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def open_study(key: str) -> Study:
    """The study of this key.

    Raises:
        DeconvError: There is none, or it is damaged.
    """
    folder = _home() / key
    if not _STUDY.fullmatch(key) or not (folder / "study.json").is_file():
        raise DeconvError("The study of this address is not there; it may have been deleted. Choose one of the list.")
    try:
        facts = json.loads((folder / "study.json").read_text(encoding="utf-8"))
        stimuli = {row["key"]: Stimulus(**row) for row in facts["stimuli"]}
        return Study(
            folder,
            str(facts["name"]),
            str(facts["question"]),
            int(facts["seed"]),
            int(facts["num_trials"]),
            tuple(map(str, facts["contents"])),
            stimuli,
            float(facts["created"]),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DeconvError(f"The study '{key}' cannot be read ({error}); delete its folder {folder}.") from error


def list_studies() -> list[Study]:
    """All studies that can be read, the newest first."""
    found = []
    for path in _home().iterdir():
        if _STUDY.fullmatch(path.name):
            try:
                found.append(open_study(path.name))
            except DeconvError:  # damaged: told to whoever opens its address
                continue
    return sorted(found, key=lambda study: study.created, reverse=True)


def delete_study(study: Study) -> None:
    """Delete a study with all its answers."""
    shutil.rmtree(open_study(study.key).folder)


def read_pixels(study: Study, key: str) -> np.ndarray:
    """The pixels of a stimulus or reference, float32 (H, W, C) in [0, 1]."""
    return read_image(study.picture(key)).pixels


# --------------------------------------------------------------------------------------------------------------- trials


def plan_trials(study: Study, judge: str) -> tuple[Trial, ...]:
    """The trials of one judge: decided by the study's seed and the judge's name alone.

    The first pairs link all conditions with one another; of the later ones, every second completes a triad of pictures,
    and the others are those met least so far. Catch trials and repetitions are a tenth each, at least two where there
    is room. A study with fewer pairs gives fewer trials.
    """
    generator = np.random.default_rng([study.seed, *hashlib.sha256(_judge_name(judge).encode()).digest()[:16]])
    checks = max(_FEWEST_CHECKS, round(study.num_trials * _CATCH_SHARE))
    repeats = max(_FEWEST_CHECKS, round(study.num_trials * _REPEAT_SHARE))
    pairs = _choose_pairs(study, study.num_trials - checks - repeats, generator)

    def sides(first: str, second: str) -> tuple[str, str]:
        return (first, second) if generator.random() < 0.5 else (second, first)

    trials = [Trial("main", study.stimuli[first].content, *sides(first, second)) for first, second in pairs]
    # Never the very first, so that a judge has seen what the others look like.
    for content in generator.permutation(max(len(study.contents), checks))[:checks] % len(study.contents):
        shown = sides(study.reference(int(content)), f"{content:02d}_catch")
        trials.insert(int(generator.integers(1, len(trials) + 1)), Trial("catch", int(content), *shown))
    early = [trial for trial in trials if trial.kind == "main"][: max(1, len(pairs) // 2)]
    for number in generator.permutation(len(early))[:repeats]:
        again = early[int(number)]
        place = trials.index(again)  # found anew each time, for every repetition moves what comes after it
        spot = int(generator.integers(min(place + _REPEAT_DISTANCE + 1, len(trials)), len(trials) + 1))
        trials.insert(spot, Trial("repeat", again.content, again.right, again.left, place))
    return tuple(_renumbered(trials))


def _choose_pairs(study: Study, count: int, generator: np.random.Generator) -> list[tuple[str, str]]:
    """Pairs of stimuli of one content, each at most once: those that link conditions first, then the least used."""
    by_content: dict[int, list[Stimulus]] = {}
    for row in study.judged:
        by_content.setdefault(row.content, []).append(row)
    places = {condition: place for place, condition in enumerate(study.conditions)}
    pairs = [pair for rows in by_content.values() for pair in combinations(rows, 2)]
    pairs = [pairs[place] for place in generator.permutation(len(pairs))]
    ends = np.array([[places[a.condition], places[b.condition]] for a, b in pairs])
    content = np.array([a.content for a, _ in pairs])
    group = np.arange(len(places))  # conditions that are linked already share a number
    met = np.zeros((len(places), len(places)))
    seen, shown = np.zeros(len(places)), np.zeros(len(study.contents))
    free = np.ones(len(pairs), bool)
    neighbours: dict[str, set[str]] = {row.key: set() for row in study.judged}
    chosen: list[tuple[str, str]] = []
    for number in range(min(count, len(pairs))):
        i, j = ends.T
        cost = 1000.0 * (group[i] == group[j]) + 100 * met[i, j] + 10 * (seen[i] + seen[j]) + 5 * shown[content]
        if number % 2 and len(set(group)) == 1:
            # Every second pair completes three pictures, each compared with the others: only those can show a circle.
            cost -= 500.0 * np.array([bool(neighbours[a.key] & neighbours[b.key]) for a, b in pairs])
        cost[~free] = np.inf
        best = int(cost.argmin())  # pairs were shuffled, so the first of equals is a random one
        a, b = ends[best]
        free[best] = False
        met[a, b] += 1
        met[b, a] += 1
        seen[[a, b]] += 1
        shown[content[best]] += 1
        group[group == group[b]] = group[a]
        first, second = (row.key for row in pairs[best])
        neighbours[first].add(second)
        neighbours[second].add(first)
        chosen.append((first, second))
    return chosen


def _renumbered(trials: list[Trial]) -> list[Trial]:
    """Repetitions, inserted one by one, name their first showing by its final number."""
    firsts = {(row.left, row.right): place for place, row in enumerate(trials) if row.kind == "main"}
    return [
        row if row.repeats is None else Trial(row.kind, row.content, row.left, row.right, firsts[row.right, row.left])
        for row in trials
    ]


# -------------------------------------------------------------------------------------------------------------- answers


def start_judge(study: Study, judge: str) -> Progress:
    """The progress of a judge; a new one gets a plan, which is kept with the answers.

    Raises:
        DeconvError: No name, or a disk that cannot be written.
    """
    judge = _judge_name(judge)
    path = _answers_file(study, judge)
    if _read_log(path) is None:
        plan = {
            "judge": judge,
            "started": time.time(),
            "trials": [asdict(trial) for trial in plan_trials(study, judge)],
        }
        write_whole(path, json.dumps(plan, ensure_ascii=True) + "\n")
        _force_folder(path.parent)
    return read_progress(study, judge)


def read_progress(study: Study, judge: str) -> Progress:
    """How far a judge is, out of the file alone; lines that a crash tore are passed over.

    Raises:
        DeconvError: This judge has not begun.
    """
    judge = _judge_name(judge)
    log = _read_log(_answers_file(study, judge))
    if log is None:
        raise DeconvError(f"'{judge}' has not begun to judge this study; start first.")
    plan, lines = log
    trials = tuple(Trial(**row) for row in plan["trials"])
    answers: list[dict[str, Any]] = []
    for line in lines:
        if "undo" in line:
            # Names the trial it takes back, so that a repeated line takes back no second one.
            if answers and line["undo"] == len(answers) - 1:
                answers.pop()
        elif line.get("trial") == len(answers) < len(trials) and line.get("choice") in SIDES:
            answers.append(line)
    return Progress(judge, trials, tuple(answers))


def record_answer(study: Study, judge: str, trial: int, choice: str, seconds: float | None = None) -> bool:
    """Keep an answer on the disk.

    Args:
        trial: Number of the trial that was answered.
        choice: `left` or `right`.
        seconds: From showing the pair to the answer; kept where it makes sense.

    Returns:
        Whether it was kept: False for a trial that is not the next one, such as an answer that arrives twice.

    Raises:
        DeconvError: Another choice, a judge who has not begun, or a disk that cannot be written.
    """
    if choice not in SIDES:
        raise DeconvError(f"choice got '{choice}'; expected one of {', '.join(SIDES)}.")
    progress = read_progress(study, judge)
    if trial != progress.done or progress.is_finished:
        return False
    shown = progress.trials[trial]
    pictures = (shown.left, shown.right)
    line = {
        "trial": trial,
        "choice": choice,
        "preferred": pictures[SIDES.index(choice)],
        "other": pictures[1 - SIDES.index(choice)],
        "seconds": round(float(seconds), 3) if seconds is not None and 0 <= seconds < _LONGEST_SECONDS else None,
        "at": round(time.time(), 3),
    }
    _append(_answers_file(study, progress.judge), line)
    return True


def undo_answer(study: Study, judge: str, trial: int | None = None) -> bool:
    """Take back the last answer; with `trial`, only if it is the answer to that one. Returns whether there was one."""
    progress = read_progress(study, judge)
    if not progress.done or (trial is not None and trial != progress.done - 1):
        return False
    _append(_answers_file(study, progress.judge), {"undo": progress.done - 1, "at": round(time.time(), 3)})
    return True


def list_judges(study: Study) -> list[Progress]:
    """Everybody who has begun, in the order of their beginning."""
    found = []
    for path in (study.folder / "answers").glob("*.jsonl"):
        log = _read_log(path)
        if log is not None:
            found.append((float(log[0].get("started", 0)), read_progress(study, log[0]["judge"])))
    return [progress for _, progress in sorted(found, key=lambda row: row[0])]


def answers_table(study: Study) -> pd.DataFrame:
    """Every answer that stands: one row per judge and trial.

    Returns:
        `judge`, `trial` (counted from 1), `kind`, `content`, `left`, `right`, `choice`, `preferred`, `other`,
        `seconds`, `repeats` (number of the repeated trial, or missing).
    """
    import pandas as pd

    rows = []
    for progress in list_judges(study):
        for trial, answer in zip(progress.trials, progress.answers, strict=False):
            rows.append(
                {
                    "judge": progress.judge,
                    "trial": answer["trial"] + 1,
                    "kind": trial.kind,
                    "content": study.contents[trial.content],
                    "left": trial.left,
                    "right": trial.right,
                    "choice": answer["choice"],
                    "preferred": answer["preferred"],
                    "other": answer["other"],
                    "seconds": np.nan if answer.get("seconds") is None else float(answer["seconds"]),
                    "repeats": np.nan if trial.repeats is None else trial.repeats + 1.0,
                }
            )
    columns = ("judge", "trial", "kind", "content", "left", "right", "choice", "preferred", "other", "seconds")
    return pd.DataFrame(rows, columns=[*columns, "repeats"])


def free_judge_name(study: Study) -> str:
    """A name that nobody has yet: "Judge 1", "Judge 2", ..."""
    taken = {progress.judge for progress in list_judges(study)}
    return next(name for number in range(1, len(taken) + 2) if (name := f"Judge {number}") not in taken)


# ------------------------------------------------------------------------------------------------------------ the small


def _check_request(
    contents: Sequence[tuple[str, np.ndarray]],
    conditions: Sequence[tuple[str, float]],
    question: str,
    num_trials: int,
) -> None:
    if question not in QUESTIONS:
        raise DeconvError(f"question got '{question}'; choose one of {', '.join(QUESTIONS)}.")
    if not contents:
        raise DeconvError("A study got no picture; choose at least one reference.")
    if len(conditions) < 2:
        raise DeconvError(f"A study got {len(conditions)} kinds of damage and severity; it compares at least two.")
    wrong = [kind for kind, severity in conditions if kind not in DISTORTIONS or not 0 < severity <= 5]
    if wrong:
        raise DeconvError(f"Damage got {', '.join(wrong)}; expected keys of DISTORTIONS with a severity in (0, 5].")
    for label, pixels in contents:
        kept = sum(_changes(kind, pixels) for kind, _ in conditions)
        if kept < 2:
            raise DeconvError(
                f"'{label}' is grey and only {kept} of the {len(conditions)} kinds of damage and severity change it; "
                "leave it out, or choose at least two that need no colour."
            )
    if len(contents) * len(conditions) > MOST_PICTURES:
        raise DeconvError(
            f"{len(contents)} references with {len(conditions)} conditions are {len(contents) * len(conditions)} "
            f"pictures; at most {MOST_PICTURES} can be judged in one study. Choose fewer."
        )
    if not FEWEST_TRIALS <= num_trials <= MOST_TRIALS:
        raise DeconvError(f"num_trials got {num_trials}; choose {FEWEST_TRIALS} to {MOST_TRIALS}.")


def _changes(kind: str, pixels: np.ndarray) -> bool:
    """Whether a kind of damage can change a picture: a grey one stays as it is where colour is needed."""
    return kind not in DISTORTIONS or not DISTORTIONS[kind].needs_colour or pixels.shape[-1] > 1


def _home() -> Path:
    path = workspace_folder("data") / "judgements"
    path.mkdir(exist_ok=True)
    return path


def _place(draft: Path, name: str) -> Path:
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40].strip("-") or "study"
    target = draft.parent / f"{time.strftime('%Y%m%d-%H%M%S')}-{slug}-{secrets.token_hex(2)}"
    draft.rename(target)
    _force_folder(target.parent)
    return target


def _judge_name(judge: str) -> str:
    name = " ".join(str(judge).split())[:_NAME_LENGTH]
    if not name:
        raise DeconvError("The name of a judge is empty; type one, or take the one that is offered.")
    return name


def _answers_file(study: Study, judge: str) -> Path:
    """Named by a digest: names of people are any text, and upper and lower case are two people."""
    return study.folder / "answers" / f"{hashlib.sha256(judge.encode()).hexdigest()[:20]}.jsonl"


def _read_log(path: Path) -> tuple[dict[str, Any], list[dict[str, Any]]] | None:
    """The plan and the lines after it; None where no judge has begun. Lines that are no JSON were torn by a crash."""
    try:
        text = path.read_bytes().decode("utf-8", "replace")
    except FileNotFoundError:
        return None
    lines = []
    for line in text.split("\n"):
        try:
            found = json.loads(line)
        except ValueError:
            continue
        if isinstance(found, dict):
            lines.append(found)
    if not lines or "trials" not in lines[0]:
        return None
    return lines[0], lines[1:]


def _append(path: Path, line: Mapping[str, Any]) -> None:
    try:
        _write_line(path, line)
    except OSError as error:
        raise _unwritten(error) from error


def _write_line(path: Path, line: Mapping[str, Any]) -> None:
    """Append one line and wait until it is on the disk; a torn line before it is closed first."""
    data = (json.dumps(line, ensure_ascii=True) + "\n").encode()
    with path.open("ab+") as file:
        if file.tell():
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":
                data = b"\n" + data
        file.write(data)  # append mode: always at the end, whoever else writes
        file.flush()
        os.fsync(file.fileno())


def _force_folder(path: Path) -> None:
    """Make a new name in a folder durable, where the system can do so."""
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError:  # Windows opens no folders
        return
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _unwritten(error: OSError) -> DeconvError:
    return DeconvError(f"The answer could not be kept ({error.strerror}); make room on the disk of the workspace.")
