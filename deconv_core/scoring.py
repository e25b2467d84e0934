"""Many pictures times many metrics: one table, one row per candidate, one column per metric."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from deconv_core.errors import DeconvError, ImageError
from deconv_core.images import Picture, crop_centre, read_image, resize_bicubic, to_channels
from deconv_core.metrics import METRICS, Metric, Remembered, metric, recipe

if TYPE_CHECKING:
    import pandas as pd

    from deconv_core.models.inference import Reconstructor

# `deconv` belongs to one bundled model; every other model gives the recon_* scores.
DECONV_MODEL = "grey_denoise"
DEFAULT_MODEL = "photo_large"
MISMATCHES = ("refuse", "resize", "crop")
# Pictures of one size are scored together, as many as fit into this many pixels.
_PIXELS_PER_BATCH = 4 * 512 * 512


@dataclass(frozen=True)
class Pair:
    """A candidate and its reference, as files or as pictures already read; no reference means None.

    `candidate_name` and `reference_name` stand in the table; without them, the files' own names.
    """

    candidate: Path | Picture
    reference: Path | Picture | None = None
    candidate_name: str = ""
    reference_name: str = ""

    @property
    def names(self) -> tuple[str, str]:
        candidate = self.candidate_name or _text(self.candidate.name)
        return candidate, self.reference_name or ("" if self.reference is None else _text(self.reference.name))


@dataclass(frozen=True)
class Problem:
    """A file that takes no part in scoring, and why; it becomes a row of the table."""

    candidate: str
    reference: str
    status: str
    reason: str


def choose_metrics(keys: Iterable[str] | None, *, with_reference: bool = True) -> list[str]:
    """The keys asked for, checked; without any, every metric that can be computed.

    Raises:
        DeconvError: A key is unknown, or needs a reference where there is none.
    """
    if keys is None:
        return [row.key for row in METRICS.values() if with_reference or not row.needs_reference]
    chosen = [metric(key).key for key in keys]
    lacking = [key for key in chosen if metric(key).needs_reference and not with_reference]
    if lacking:
        raise DeconvError(f"{', '.join(lacking)} cannot be computed without a reference; give --reference.")
    return chosen


def default_model(keys: Sequence[str], name: str | None = None) -> Reconstructor | None:
    """The model for the recon_* scores among `keys`: the named one, or the bundled default; None if none is needed."""
    from deconv_core.models.saving import load_model

    if not any(_needs_chosen_model(metric(key)) for key in keys):
        return None
    return load_model(name or DEFAULT_MODEL)


class Models:
    """The models of one task at scoring, each of which remembers what it made of the batches it saw last.

    Given to `score_batch` instead of a bare model, so that a reference which comes again and again (the same array
    object) is rebuilt once. Let go of it with the reference.

    Args:
        chosen: For the recon_* scores.
    """

    def __init__(self, chosen: Reconstructor | None):
        self.chosen = None if chosen is None else Remembered(chosen)

    @cached_property
    def deconv(self) -> Remembered:
        """The bundled model of the deconvolution score."""
        from deconv_core.models.saving import load_model

        return Remembered(load_model(DECONV_MODEL), channels=1)


def score_batch(
    reference: np.ndarray, candidate: np.ndarray, keys: Sequence[str], *, model: Reconstructor | Models | None = None
) -> dict[str, np.ndarray]:
    """Every metric of one batch of equally large pairs; a model sees each picture once.

    Args:
        reference: float32, shape (N, H, W, C), values in [0, 1].
        candidate: Same shape.
        keys: Metrics.
        model: For the recon_* scores; `Models` to have it remember over several calls.

    Returns:
        Key -> float64 array of shape (N,); NaN where the pictures are smaller than the metric's window.
    """
    models = model if isinstance(model, Models) else Models(model)
    scores = {}
    for key in keys:
        row = metric(key)
        if min(reference.shape[1:3]) < row.smallest_side:
            scores[key] = np.full(len(reference), np.nan)
        elif not row.needs_model:
            scores[key] = row.function(reference, candidate)
        elif _needs_chosen_model(row):
            if models.chosen is None:
                raise DeconvError(f"{key} needs a model; name one of those that 'models list' shows.")
            scores[key] = row.function(reference, candidate, model=models.chosen)
        else:
            scores[key] = row.function(reference, candidate, model=models.deconv)
    return scores


def score_pairs(
    pairs: Sequence[Pair],
    keys: Sequence[str] | None = None,
    *,
    model: Reconstructor | None = None,
    mismatch: str = "refuse",
    background: str = "white",
    problems: Sequence[Problem] = (),
    report: Callable[[int], None] = lambda done: None,
) -> pd.DataFrame:
    """Score pairs of pictures; whatever cannot be scored becomes a row with its reason, never an exception.

    Args:
        pairs: What to score, read one batch at a time.
        keys: Metrics; all that apply without it.
        model: For the recon_* scores.
        mismatch: When sizes differ: `refuse` the pair, `resize` the candidate to the reference (bicubic), or `crop`
            both to their common size from the centre.
        background: Colour behind transparent pixels, `white` or `black`.
        problems: Rows to append, such as the files that found no partner.
        report: Called with the number of pairs done.

    Returns:
        One row per pair, in order, then the problems: `candidate`, `reference`, `status` (`ok`, `unreadable`,
        `mismatch`, ...), `reason`, then one column per metric. Nothing is written to disk.
    """
    import pandas as pd

    if mismatch not in MISMATCHES:
        raise DeconvError(f"mismatch got '{mismatch}'; choose one of {', '.join(MISMATCHES)}.")
    if keys is None:
        keys = choose_metrics(None, with_reference=any(pair.reference is not None for pair in pairs))
    rows: list[dict[str, Any]] = []
    waiting: list[tuple[int, np.ndarray, np.ndarray]] = []

    def flush() -> None:
        if waiting:
            numbers, originals, candidates = zip(*waiting, strict=True)
            scores = score_batch(np.stack(originals), np.stack(candidates), keys, model=model)
            for place, number in enumerate(numbers):
                rows[number] |= {key: float(values[place]) for key, values in scores.items()}
            waiting.clear()
            report(len(rows))

    references = _References(background)
    for number, pair in enumerate(pairs):
        candidate_name, reference_name = pair.names
        row = {"candidate": candidate_name, "reference": reference_name, "status": "ok", "reason": ""}
        rows.append(row)
        try:
            candidate = _pixels(pair.candidate, background)
            reference = candidate if pair.reference is None else references.pixels(pair.reference)
            reference, candidate, note = fit_pair(reference, candidate, mismatch)
        except ImageError as error:
            row |= {"status": _status(error), "reason": _text(str(error))}
            continue
        small = [key for key in keys if min(reference.shape[:2]) < metric(key).smallest_side]
        if small:
            needed = max(metric(key).smallest_side for key in small)
            note = f"{note} {', '.join(small)} left empty: smaller than their window (up to {needed} px).".strip()
        if small and len(small) == len(keys):
            row["status"] = "too_small"
        row["reason"] = note
        if waiting and (
            waiting[0][1].shape != reference.shape or (len(waiting) + 1) * reference[..., 0].size > _PIXELS_PER_BATCH
        ):
            flush()
        waiting.append((number, reference, candidate))
    flush()
    rows.extend(vars(problem) for problem in problems)
    return pd.DataFrame(rows, columns=["candidate", "reference", "status", "reason", *keys])


def fit_pair(
    reference: np.ndarray, candidate: np.ndarray, mismatch: str = "refuse"
) -> tuple[np.ndarray, np.ndarray, str]:
    """One pair (H, W, C) with equal shapes, and a note on what was done to get there.

    A grey picture beside a coloured one is repeated over the channels; sizes are settled as `mismatch` says.

    Raises:
        SizeMismatch: Sizes differ and `mismatch` is `refuse`.
    """
    notes = []
    if reference.shape[2] != candidate.shape[2]:
        reference, candidate = to_channels(reference, 3), to_channels(candidate, 3)
        notes.append("The grey picture was repeated over three channels.")
    if reference.shape[:2] != candidate.shape[:2]:
        ours, theirs = _size(reference), _size(candidate)
        if mismatch == "refuse":
            raise SizeMismatch(
                f"The image to judge is {theirs}, the reference {ours} (width x height); expected equal sizes. "
                "Choose to resize the image to judge, or to crop both to their common centre."
            )
        if mismatch == "resize":
            candidate = np.clip(resize_bicubic(candidate, *reference.shape[:2]), 0, 1)
            notes.append(f"The image to judge was resized from {theirs} to {ours} (bicubic).")
        else:
            height, width = (min(sides) for sides in zip(reference.shape[:2], candidate.shape[:2], strict=True))
            reference, candidate = crop_centre(reference, height, width), crop_centre(candidate, height, width)
            notes.append(f"Both were cropped to their common centre, {_size(reference)}.")
    return reference, candidate, " ".join(notes)


class SizeMismatch(ImageError):
    """The two pictures of a pair differ in size."""


def find_pairs(candidates: Sequence[Path], reference: Path | None) -> tuple[list[Pair], list[Problem]]:
    """Files and folders named on the command line -> pairs, and the files that found no partner or too many.

    Args:
        candidates: Files or folders.
        reference: One file for all candidates, a folder paired by name, or None.

    Raises:
        DeconvError: A path does not exist, or a folder holds no pictures.
    """
    from deconv_core.pairing import pair_files
    from deconv_core.sources import list_files

    def named(path: Path) -> dict[Path, str]:
        """Files of a folder (or the file itself) -> their names, with the subfolder where there is one."""
        names = {file: file.name for file in list_files(path)}
        if path.is_dir():
            names = {file: file.relative_to(path).as_posix() for file in names}
        return {file: _text(name) for file, name in names.items()}

    files = {file: name for path in candidates for file, name in named(path).items()}
    if reference is None:
        return [Pair(file, None, name) for file, name in files.items()], []
    if reference.is_file():
        return [Pair(file, reference, name) for file, name in files.items()], []
    references = named(reference)
    pairing = pair_files(files, references)
    pairs = [Pair(candidate, chosen, files[candidate], references[chosen]) for candidate, chosen in pairing.pairs]
    problems = [
        Problem(files[file], "", "unpaired", "No reference has a matching name.")
        for file in pairing.unmatched_candidates
    ]
    for file, choices in pairing.ambiguous:
        names = ", ".join(references[choice] for choice in choices)
        problems.append(Problem(files[file], "", "ambiguous", f"Several references match: {names}."))
    return pairs, problems


def recipes(keys: Sequence[str], model: Reconstructor | None = None) -> dict[str, Any]:
    """The recipe of every metric, by key, with the digest of the model it used."""
    from deconv_core.models.saving import load_model

    def made_with(row: Metric) -> Reconstructor | None:
        if not row.needs_model:
            return None
        return model if _needs_chosen_model(row) else load_model(DECONV_MODEL)

    return {key: recipe(key, made_with(metric(key))) for key in keys}


def as_text(frame: pd.DataFrame) -> str:
    """The table for a terminal: one block of lines per picture, since there are more metrics than fit in a line."""
    lines = []
    for row in frame.to_dict("records"):
        against = f" against {row['reference']}" if row["reference"] else ""
        state = "" if row["status"] == "ok" else f": {row['status']}"
        lines.append(f"{row['candidate']}{against}{state}")
        if row["reason"]:
            lines.append(f"  {row['reason']}")
        if row["status"] == "ok":
            lines.extend(f"  {key:<22}{show(metric(key), row[key]):>14}" for key in frame.columns[4:])
    return "\n".join(lines)


def show(row: Metric, value: float) -> str:
    """A score in words: `31.42 dB`, `0.9312`, `identical` for an infinite PSNR, `-` where there is none."""
    if np.isnan(value):
        return "-"
    if np.isinf(value):
        return "identical"
    digits = 2 if row.unit == "dB" or row.high == 100 else 4
    return f"{value:.{digits}f} {row.unit}".strip()


def _needs_chosen_model(row: Metric) -> bool:
    return row.needs_model and row.key != "deconv"


def _text(name: str) -> str:
    """A file's name as text that any table can hold; bytes that are no UTF-8 are written as escapes."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8")


def _pixels(source: Path | Picture, background: str) -> np.ndarray:
    return source.pixels if isinstance(source, Picture) else read_image(source, background=background).pixels


def _status(error: ImageError) -> str:
    return "mismatch" if isinstance(error, SizeMismatch) else "unreadable"


class _References:
    """Reads references and keeps the last file: many candidates of one reference usually follow each other."""

    def __init__(self, background: str):
        self._background = background
        self._path: Path | None = None
        self._kept: np.ndarray | None = None

    def pixels(self, source: Path | Picture) -> np.ndarray:
        if isinstance(source, Picture):
            return source.pixels
        if source != self._path or self._kept is None:
            self._path, self._kept = source, None  # a file that cannot be read leaves nothing behind
            self._kept = _pixels(source, self._background)
        return self._kept


def _size(pixels: np.ndarray) -> str:
    return f"{pixels.shape[1]}x{pixels.shape[0]}"
