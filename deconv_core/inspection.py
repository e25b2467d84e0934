"""One pair of pictures under the magnifying glass: what the page for scoring images needs, and a notebook may want.

Scores, error maps on fixed scales, the code as a picture, ladders of damage and the commands that repeat it all. The
batches of `scoring` are for many pictures; here one pair is looked at again and again while one setting changes, so a
model's answers are recalled by content.
"""

from __future__ import annotations

import hashlib
import io
import math
import shlex
import threading
import time
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from deconv_core.distortions import DISTORTIONS
from deconv_core.errors import DeconvError
from deconv_core.images import Picture, encode_png, to_channels, to_uint8
from deconv_core.metrics import METRICS, Metric, Remembered
from deconv_core.samples import SAMPLES, digits, sample

if TYPE_CHECKING:
    import pandas as pd

# Error maps are drawn from 0 to this value, the same for every picture, so that maps can be compared.
MAP_TOPS: dict[str, tuple[float, str]] = {
    "psnr": (0.25, "of full range"),
    "ssim": (1.0, "1 - SSIM"),
    "deconv": (0.25, "1 - gradient similarity"),
    "code": (1.0, "units of the code"),
    "quality": (1.0, "1 - score of the neighbourhood"),
    "detail": (0.1, "of full range"),
}
# Drawn digits, for models that know nothing else: key -> number in `digits(NUM_DIGITS)`.
NUM_DIGITS = 3
DIGIT_KEYS = tuple(f"digit_{number}" for number in range(1, NUM_DIGITS + 1))
# Pictures of a ladder are reduced to this longest side: eighty candidates must not take minutes.
LADDER_SIDE = 256
_SHEET_GAP = 1


class Recall:
    """Room for what models answered lately, shared by models and threads; the oldest answers go first.

    Args:
        max_bytes: Most bytes kept; an answer larger than that is not kept at all.
    """

    def __init__(self, max_bytes: int = 512 * 2**20) -> None:
        self.max_bytes = max_bytes
        self.num_bytes = 0
        self._answers: OrderedDict[tuple[str, ...], np.ndarray] = OrderedDict()
        self._lock = threading.Lock()

    def once(self, key: tuple[str, ...], answer: Callable[[], np.ndarray]) -> np.ndarray:
        """The answer kept under `key`, computed if it is not there; read-only, for others may hold it too."""
        with self._lock:
            if key in self._answers:
                self._answers.move_to_end(key)
                return self._answers[key]
        made = answer()  # outside the lock: others must not wait for a network
        made.setflags(write=False)
        with self._lock:
            if key not in self._answers and made.nbytes <= self.max_bytes:
                self._answers[key] = made
                self.num_bytes += made.nbytes
            while self.num_bytes > self.max_bytes:
                _, gone = self._answers.popitem(last=False)
                self.num_bytes -= gone.nbytes
        return made


class Recalling:
    """A model that recalls its answers by the content of the pictures; everything else is passed on.

    Args:
        model: A `Reconstructor`.
        recall: Where answers are kept.
    """

    def __init__(self, model: Any, recall: Recall) -> None:
        self.model = model
        self._recall = recall

    def __getattr__(self, name: str) -> Any:
        return getattr(self.model, name)

    def reconstruct(self, batch: np.ndarray) -> np.ndarray:
        """R(batch) of the model."""
        return self._recall.once(self._key("reconstruct", batch), lambda: np.array(self.model.reconstruct(batch)))

    def encode(self, batch: np.ndarray) -> np.ndarray:
        """E(batch) of the model."""
        return self._recall.once(self._key("encode", batch), lambda: np.array(self.model.encode(batch)))

    def _key(self, question: str, batch: np.ndarray) -> tuple[str, ...]:
        return question, str(self.model.digest), str(self.model.name), token(batch)


def token(pixels: np.ndarray) -> str:
    """A short name for the content of an array: equal arrays, and only they, have equal tokens."""
    pixels = np.ascontiguousarray(pixels)
    content = hashlib.sha256(f"{pixels.dtype}{pixels.shape}".encode())  # processors have instructions for it
    content.update(pixels.data)
    return content.hexdigest()[:32]


def example_picture(key: str) -> Picture:
    """A picture that needs no file: a photograph of `SAMPLES`, or a drawn digit of `DIGIT_KEYS`.

    Raises:
        DeconvError: No such example.
    """
    if key not in DIGIT_KEYS:
        return sample(key)
    pixels = digits(NUM_DIGITS)[DIGIT_KEYS.index(key)]
    return Picture(pixels, f"{key}.png", token(pixels), "PNG", 8, "L", ("Drawn by this software, 28 × 28 pixels.",))


def example_label(key: str) -> str:
    """The name of an example on screen."""
    return SAMPLES[key].label if key in SAMPLES else f"Drawn digit {DIGIT_KEYS.index(key) + 1}"


def reduce(pixels: np.ndarray, max_pixels: int) -> np.ndarray:
    """The picture (H, W, C) made smaller by area averaging until it has at most `max_pixels`; unchanged if it has."""
    height, width = pixels.shape[:2]
    if height * width <= max_pixels:
        return pixels
    scale = math.sqrt(max_pixels / (height * width))
    return _resized(pixels, max(1, int(height * scale)), max(1, int(width * scale)))


def reduce_side(pixels: np.ndarray, longest: int) -> np.ndarray:
    """The picture (H, W, C) made smaller by area averaging until no side is longer than `longest`."""
    height, width = pixels.shape[:2]
    if max(height, width) <= longest:
        return pixels
    scale = longest / max(height, width)
    return _resized(pixels, max(1, round(height * scale)), max(1, round(width * scale)))


def _resized(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    import cv2

    smaller = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA).reshape(height, width, -1)
    return np.clip(smaller, 0, 1, out=smaller)


def score_pair(
    reference: np.ndarray,
    candidate: np.ndarray,
    keys: Sequence[str],
    *,
    model: Any | None = None,
    deconv_model: Any | None = None,
) -> dict[str, float]:
    """Scores of one pair.

    Args:
        reference: float32, shape (H, W, C), values in [0, 1].
        candidate: Same shape.
        keys: Metrics.
        model: For the recon_* scores.
        deconv_model: For `deconv`.

    Returns:
        Key -> score; NaN where a model is missing or the pictures are smaller than the metric's window.
    """
    batches = np.ascontiguousarray(reference)[None], np.ascontiguousarray(candidate)[None]
    asked = _asked(model), _asked(deconv_model)
    scores = {}
    for key in keys:
        row = METRICS[key]
        chosen = asked[key == "deconv"]
        if min(reference.shape[:2]) < row.smallest_side or (row.needs_model and chosen is None):
            scores[key] = math.nan
        else:
            options = {"model": chosen} if row.needs_model else {}
            scores[key] = float(row.function(*batches, **options)[0])
    return scores


def pace(
    keys: Sequence[str], kinds: Sequence[str] = (), *, model: Any | None = None, deconv_model: Any | None = None
) -> float:
    """Seconds per megapixel that scoring one more damaged picture takes on this machine, measured on a sample.

    The reference is taken as known already, as it is to a comparison that damages one picture in many ways.

    Args:
        keys: Metrics.
        kinds: Distortions; the mean time of making one is added.
        model: For the recon_* scores.
        deconv_model: For `deconv`.
    """
    from deconv_core.distortions import distort

    reference = example_picture("coffee").pixels
    warm, *timed = (distort(reference, "brightness", severity) for severity in (1, 2, 3))
    models = {"model": model, "deconv_model": deconv_model}
    seconds = 0.0
    if keys:
        score_pair(reference, warm, keys, **models)  # the first call compiles, and rebuilds the reference
        tries = []
        for candidate in timed:  # the quicker one: what else this machine does is not meant
            began = time.perf_counter()
            score_pair(reference, candidate, keys, **models)
            tries.append(time.perf_counter() - began)
        seconds += min(tries)
    if kinds:
        began = time.perf_counter()
        for kind in kinds:
            distort(reference, kind, 3)
        seconds += (time.perf_counter() - began) / len(kinds)
    return seconds / (reference.shape[0] * reference.shape[1] / 1e6)


def error_map(
    key: str,
    reference: np.ndarray,
    candidate: np.ndarray,
    *,
    model: Any | None = None,
    deconv_model: Any | None = None,
) -> np.ndarray | None:
    """The error map of one metric for one pair: float32 (H, W); None where the metric cannot be computed."""
    row = METRICS[key]
    chosen = _asked(deconv_model if key == "deconv" else model)
    cannot = row.map_function is None or (row.needs_model and chosen is None)
    if cannot or min(reference.shape[:2]) < row.smallest_side:
        return None
    options = {"model": chosen} if row.needs_model else {}
    return row.map_function(np.ascontiguousarray(reference)[None], np.ascontiguousarray(candidate)[None], **options)[0]


@dataclass(frozen=True)
class Patch:
    """A square of a picture with its mean error, in the unit of the map it comes from."""

    top: int
    left: int
    height: int
    width: int
    error: float


def worst_patches(error: np.ndarray, *, side: int = 48, count: int = 6) -> list[Patch]:
    """The squares of a grid with the largest mean error, worst first; those without an error are left out.

    Args:
        error: Error map, shape (H, W), 0 for no error.
        side: Of the squares, in pixels; those at the right and lower edge may be smaller.
        count: At most so many.
    """
    height, width = error.shape
    tops, lefts = np.arange(0, height, side), np.arange(0, width, side)
    heights, widths = np.minimum(side, height - tops), np.minimum(side, width - lefts)
    sums = np.add.reduceat(np.add.reduceat(error.astype(np.float64), tops, axis=0), lefts, axis=1)
    means = sums / np.outer(heights, widths)
    order = np.argsort(-means, axis=None, kind="stable")[:count]
    found = []
    for row, column in zip(*np.unravel_index(order, means.shape), strict=True):
        if means[row, column] > 0:
            size = int(heights[row]), int(widths[column])
            found.append(Patch(int(tops[row]), int(lefts[column]), *size, float(means[row, column])))
    return found


def framed(pixels: np.ndarray, patches: Sequence[Patch]) -> np.ndarray:
    """The picture in colour with a numbered frame around every patch."""
    import cv2

    colour = pixels if pixels.shape[-1] == 3 else np.repeat(pixels, 3, axis=-1)
    drawn = to_uint8(colour).copy()
    for number, patch in enumerate(patches, start=1):
        first, last = (patch.left, patch.top), (patch.left + patch.width - 1, patch.top + patch.height - 1)
        for thickness, shade in ((3, (0, 0, 0)), (1, (255, 190, 60))):
            cv2.rectangle(drawn, first, last, shade, thickness)
            place = (patch.left + 4, patch.top + 14)
            cv2.putText(drawn, str(number), place, cv2.FONT_HERSHEY_SIMPLEX, 0.45, shade, thickness, cv2.LINE_AA)
    return drawn.astype(np.float32) / 255


def map_scale(key: str) -> tuple[float, str]:
    """Value of the lightest colour of a metric's error map, and its unit."""
    for ending in ("psnr", "ssim", "code", "quality", "detail"):
        if ending in key:
            return MAP_TOPS[ending]
    return MAP_TOPS["deconv"]


def map_keys() -> list[str]:
    """The metrics that have an error map."""
    return [row.key for row in METRICS.values() if row.map_function is not None]


def rebuild(model: Any, pixels: np.ndarray) -> np.ndarray:
    """R of one picture (H, W, C), in the model's channels."""
    return model.reconstruct(to_channels(pixels, model.channels)[None])[0]


def too_small(keys: Sequence[str], shape: Sequence[int]) -> str:
    """One sentence on the metrics whose window is larger than the picture, "" if there is none."""
    small = [METRICS[key] for key in keys if min(shape[:2]) < METRICS[key].smallest_side]
    if not small:
        return ""
    names = f"{len(small)} scores" if len(small) > 2 else " and ".join(row.label for row in small)
    needed = max(row.smallest_side for row in small)
    return f"No number for {names}: the picture is {shape[1]} × {shape[0]} pixels, up to {needed} are needed each way."


def score_words(row: Metric, value: float) -> str:
    """A score for the screen: `31.42 dB`, `0.9312`, `identical` for an infinite PSNR, `no number` where none is."""
    from deconv_core.scoring import show

    return "no number" if math.isnan(value) else show(row, value)


def range_words(row: Metric) -> str:
    """Range and direction: "0 to 100, higher is better; identical pictures get 100"."""
    unit = f" {row.unit}" if row.unit else ""
    span = f"{row.low:g}{unit} and up" if math.isinf(row.high) else f"{row.low:g} to {row.high:g}{unit}"
    words = f"{span}, {'higher' if row.higher_is_better else 'lower'} is better"
    if not row.needs_reference:
        return f"{words}; looks at one picture alone"
    if row.identity is None:
        return f"{words}; what identical pictures get depends on the model"
    best = "“identical”" if math.isinf(row.identity) else f"{row.identity:g}"
    return f"{words}; identical pictures get {best}"


def not_quality(keys: Iterable[str]) -> str:
    """What to mind where scores of one picture alone are drawn: their warnings, each once with their names; or ""."""
    by_warning: dict[str, list[str]] = {}
    for key in dict.fromkeys(keys):
        row = METRICS.get(key)
        if row is not None and row.warning and not row.needs_reference:
            by_warning.setdefault(row.warning, []).append(row.label)
    return " ".join(f"{'; '.join(labels)}: {warning}" for warning, labels in by_warning.items())


def score_table(candidate: str, reference: str, scores: Mapping[str, float], reason: str = "") -> pd.DataFrame:
    """The scores of one pair as the table that the `score` command writes."""
    import pandas as pd

    return pd.DataFrame(
        [{"candidate": candidate, "reference": reference, "status": "ok", "reason": reason, **scores}],
        columns=["candidate", "reference", "status", "reason", *scores],
    )


def broken_laws(card: Mapping[str, Any], keys: Sequence[str]) -> str:
    """One sentence on the sanity laws that scores made with a model break; "" if they hold, or were never tried.

    Args:
        card: The model's card; its `laws` come from `metrics.laws`.
        keys: Metrics that stand together on the screen. A law that only some of them break names these.
    """
    reports = {key: found for key in keys if isinstance(found := (card.get("laws") or {}).get(key), Mapping)}
    broken: dict[str, dict[str, Mapping[str, Any]]] = {}  # law -> key -> what was found
    for key, found in reports.items():
        if found.get("passed") is not False:
            continue
        laws = {name: law for name, law in (found.get("laws") or {}).items() if isinstance(law, Mapping)}
        failed = {name: law for name, law in laws.items() if law.get("passed") is False} or {"": {}}
        for name, law in failed.items():
            broken.setdefault(name, {})[key] = law
    parts = []
    for name, by_key in broken.items():
        words = _law_words(name, list(by_key.values()))
        if len(by_key) < len(reports):
            words += f" ({', '.join(METRICS[key].label.split(', ')[-1] for key in by_key)})"
        parts.append(words)
    return f"Fails {'sanity laws' if len(parts) > 1 else 'a sanity law'}: {'; '.join(parts)}." if parts else ""


def _law_words(name: str, found: Sequence[Mapping[str, Any]]) -> str:
    if name == "monotone" and all(isinstance(law.get("inversions"), Mapping) for law in found):
        rises, compared = max(
            (sum(count for count in law["inversions"].values() if isinstance(count, int)), law.get("compared", 0))
            for law in found
        )
        return f"more damage scored better in {'up to ' if len(found) > 1 else ''}{rises:,} of {compared:,} steps"
    known = {
        "identity": "identical pictures are not best",
        "monotone": "more damage can score better",
        "blank": "a blank picture scores as well",
        "batch": "the score depends on the neighbours in a batch",
        "type": "8-bit and float pictures score differently",
    }
    return known.get(name, "a law does not hold")


# The code, and ladders of damage


def code_sheet(code: np.ndarray, count: int = 16) -> np.ndarray:
    """The strongest channels of a code side by side, as a picture.

    Args:
        code: Shape (h, w, c).
        count: Most channels shown; those that vary most come first.

    Returns:
        float32 (rows, columns) in [0, 1]; every channel is stretched from its own least to its own largest value, which
        shows what it answers to, not how strongly. The lines between channels are mid-grey.
    """
    chosen = np.argsort(-code.std(axis=(0, 1)), kind="stable")[:count]
    columns = math.ceil(math.sqrt(len(chosen)))
    rows = math.ceil(len(chosen) / columns)
    height, width = code.shape[:2]
    sheet = np.full((rows * (height + _SHEET_GAP) - _SHEET_GAP, columns * (width + _SHEET_GAP) - _SHEET_GAP), 0.5)
    for number, channel in enumerate(chosen):
        values = code[..., channel].astype(np.float64)
        low, high = values.min(), values.max()
        top, left = number // columns * (height + _SHEET_GAP), number % columns * (width + _SHEET_GAP)
        sheet[top : top + height, left : left + width] = (values - low) / (high - low) if high > low else 0.5
    return sheet.astype(np.float32)


def ladder(
    reference: np.ndarray,
    kind: str,
    severities: Sequence[float],
    keys: Sequence[str],
    *,
    model: Any | None = None,
    deconv_model: Any | None = None,
    seed: int = 0,
) -> pd.DataFrame:
    """Scores of one picture made worse in one way, step by step.

    Args:
        reference: float32, shape (H, W, C), values in [0, 1]; rounded to 8 bits first.
        kind: Key of a distortion.
        severities: 0 to 5.
        keys: Metrics.
        model: For the recon_* scores.
        deconv_model: For `deconv`.
        seed: Fixes the random kinds.

    Returns:
        One row per severity: `distortion`, `severity`, one column per metric that has numbers here.
    """
    import pandas as pd

    from deconv_core.distortions import distort

    reference = to_uint8(reference).astype(np.float32) / np.float32(255)  # so that severity 0 changes nothing
    candidates = np.stack([distort(reference, kind, severity, seed=seed) for severity in severities])
    references = np.repeat(reference[None], len(candidates), axis=0)
    asked = _asked(model), _asked(deconv_model)
    columns: dict[str, Any] = {"distortion": kind, "severity": list(severities)}
    for key in keys:
        row = METRICS[key]
        chosen = asked[key == "deconv"]
        if min(reference.shape[:2]) >= row.smallest_side and (chosen is not None or not row.needs_model):
            columns[key] = row.function(references, candidates, **({"model": chosen} if row.needs_model else {}))
    return pd.DataFrame(columns)


def as_curves(frame: pd.DataFrame) -> pd.DataFrame:
    """A ladder as `metric`, `severity`, `value`, one row per number, as `figures.severity_curves` takes it.

    An infinite PSNR (the unchanged picture) cannot be drawn and is left out.
    """
    keys = [column for column in frame.columns if column in METRICS]
    long = frame.melt(id_vars=["severity"], value_vars=keys, var_name="metric", value_name="value")
    return long[np.isfinite(long["value"])].reset_index(drop=True)


# What can be taken away


def pictures_zip(pictures: Mapping[str, np.ndarray]) -> bytes:
    """PNG files, by name, in one zip; the same pictures give the same bytes."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for name, pixels in pictures.items():
            # A fixed date: the file depends on its content alone.
            archive.writestr(zipfile.ZipInfo(name, date_time=(2000, 1, 1, 0, 0, 0)), encode_png(pixels))
    return target.getvalue()


def degrade_command(image: str, steps: Sequence[tuple[str, float]], seed: int, out: str) -> str:
    """The command that makes the distorted picture again."""
    words = ["python", "-m", "deconv_core", "degrade", image]
    for kind, severity in steps:
        words += ["--type", kind, "--severity", f"{severity:g}"]
    if any(DISTORTIONS[kind].seeded for kind, _ in steps):
        words += ["--seed", str(seed)]
    return _command([*words, "--out", out])


def score_command(
    candidate: str, reference: str, model: str, *, mismatch: str = "refuse", background: str = "white"
) -> str:
    """The command that makes the table of scores again."""
    words = ["python", "-m", "deconv_core", "score", candidate, "--reference", reference]
    if model:
        words += ["--model", model]
    if mismatch != "refuse":
        words += ["--mismatch", mismatch]
    if background != "white":
        words += ["--background", background]
    return _command([*words, "--out", "scores.csv"])


def _command(words: Sequence[str]) -> str:
    # A file whose name begins like an option is given as ./name.
    return shlex.join(f"./{word}" if word.startswith("-") and "." in word else word for word in words)


def _asked(model: Any | None) -> Remembered | None:
    return None if model is None else Remembered(model)


def check_example(key: str) -> str:
    """The key itself if there is such an example.

    Raises:
        DeconvError: There is none.
    """
    if key not in SAMPLES and key not in DIGIT_KEYS:
        raise DeconvError(f"There is no sample {key!r}; choose one of {', '.join((*SAMPLES, *DIGIT_KEYS))}.")
    return key


def stretched(values: np.ndarray) -> np.ndarray:
    """Values brought to [0, 1], least to largest, so that they can be seen; mid-grey where all are equal."""
    low, high = float(values.min()), float(values.max())
    return np.full(values.shape, 0.5, np.float32) if high == low else ((values - low) / (high - low)).astype(np.float32)


def signed(values: np.ndarray) -> np.ndarray:
    """Values of either sign as grey: 0 is mid-grey, the largest size is black or white."""
    largest = float(np.abs(values).max())
    return (0.5 + 0.5 * values / largest).astype(np.float32) if largest else np.full(values.shape, 0.5, np.float32)


def enlarged(pixels: np.ndarray, side: int) -> np.ndarray:
    """A small picture with every pixel repeated until it is about `side` wide, so that a browser shows squares."""
    times = max(1, side // max(pixels.shape[:2]))
    return pixels.repeat(times, axis=0).repeat(times, axis=1)
