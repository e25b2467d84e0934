"""The sanity laws: what a metric, with its model, must do before it may be called a score of quality on screen.

1. Identical pictures get the exact best value.
2. The score never gets better along a ladder of growing blur, noise, JPEG compression or loss of contrast.
3. A blank picture is never the best answer.
4. Neither batch size nor neighbours change a score.
5. Neither does the type in which the same pixels arrive.

What a metric does when the pictures trade places, when one is moved by a pixel, when it gets brighter, and whether a
blank picture beats a lightly damaged one, is not a law: it is stated, so that nobody is surprised.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from deconv_core.distortions import DISTORTIONS, MAX_SEVERITY, distort
from deconv_core.metrics import Metric, metric, remembered
from deconv_core.samples import photographs as sample_photographs

LADDERS = ("gaussian_blur", "white_noise", "jpeg", "contrast")
STEPS = 20
# Largest relative difference between a batch and its pictures one by one, and between 8-bit and float input.
SAME = 1e-5
# Pixels. MS-SSIM needs 161.
_SIDE = 176
# A rise below this, relative to the larger of 1 and the score, is rounding of float32 and counts as a tie.
TIE = 1e-6
_LIGHT = ("gaussian_blur", "white_noise")


@dataclass(frozen=True)
class Law:
    """One law, or one fact, and what was found.

    Attributes:
        name: "identity", "monotone", "blank", "batch", "type"; "blank_against_light_damage", "symmetry", "shift" and
            "brightness" for facts.
        passed: Whether it holds; None for a fact.
        sentence: What was found, for the screen.
        details: Numbers behind the sentence, JSON-able.
    """

    name: str
    passed: bool | None
    sentence: str
    details: dict[str, object]


@dataclass(frozen=True)
class LawReport:
    """The report card of one metric: all laws and facts, and whether every law holds."""

    key: str
    version: int
    laws: tuple[Law, ...]

    @property
    def passed(self) -> bool:
        return all(law.passed is not False for law in self.laws)

    @property
    def failed(self) -> list[str]:
        """One sentence for each broken law."""
        return [law.sentence for law in self.laws if law.passed is False]

    def as_json(self) -> dict[str, object]:
        """For a model's card: `passed`, `failed` (sentences), `laws` by name."""
        return {
            "passed": self.passed,
            "failed": self.failed,
            "version": self.version,
            "laws": {law.name: {"passed": law.passed, "sentence": law.sentence, **law.details} for law in self.laws},
        }


def check_laws(
    key: str | Metric,
    *,
    model: object | None = None,
    photographs: np.ndarray | None = None,
    steps: int = STEPS,
    ladders: Sequence[str] = LADDERS,
) -> LawReport:
    """Put a metric, with its model, to every law.

    Args:
        key: Key of a metric, or a row of its own for one that is not in the table.
        model: For metrics that need one.
        photographs: References, float32 (N, H, W, 3) in [0, 1]; twenty bundled crops of 176 x 176 pixels without it.
        steps: Steps of each ladder, the strongest last; the untouched picture is one more, at its start.
        ladders: Kinds of distortion to climb.

    Returns:
        The report; `passed` and `failed` sum it up.

    Raises:
        DeconvError: Unknown metric or distortion.
        ImageError: The photographs are not usable by this metric.
    """
    row = key if isinstance(key, Metric) else metric(key)
    return check_many([row], model=model, photographs=photographs, steps=steps, ladders=ladders)[row.key]


def check_many(
    keys: Sequence[str | Metric],
    *,
    model: object | None = None,
    photographs: np.ndarray | None = None,
    steps: int = STEPS,
    ladders: Sequence[str] = LADDERS,
) -> dict[str, LawReport]:
    """`check_laws` for several metrics at once: every picture is damaged, and seen by the model, only once.

    Returns:
        Key -> report, in the order of `keys`. Arguments and errors are those of `check_laws`.
    """
    if photographs is None:
        photographs = sample_photographs(20, _SIDE)
    pictures = _eight_bit(photographs)
    seeing = None if model is None else remembered(model)
    judges = [_Judge(key if isinstance(key, Metric) else metric(key), seeing) for key in keys]
    climbed = _climb(judges, pictures, ladders, steps)
    light = [np.stack([distort(picture, ladder, 1.0) for picture in pictures]) for ladder in _LIGHT]
    noisy = np.stack([distort(picture, "white_noise", 2.0) for picture in pictures])
    blurred = np.stack([distort(picture, "gaussian_blur", 2.0) for picture in pictures])
    return {
        judge.row.key: LawReport(
            judge.row.key,
            judge.row.version,
            (
                _identity(judge, pictures),
                _monotone(judge, ladder_scores, steps),
                *_blank(judge, pictures, light),
                _batch(judge, pictures, noisy),
                _type(judge, pictures, blurred),
                _symmetry(judge, pictures, blurred),
                _shift(judge, pictures),
                _brightness(judge, pictures),
            ),
        )
        for judge, ladder_scores in zip(judges, climbed, strict=True)
    }


class _Judge:
    """Scores of batches, with the direction of the metric taken into account."""

    def __init__(self, row: Metric, model: object | None) -> None:
        self.row = row
        self.model = model
        self.best = row.high if row.higher_is_better else row.low

    def scores(self, reference: np.ndarray, candidate: np.ndarray) -> np.ndarray:
        """One score per pair; a model that remembers sees a batch once, however many metrics ask."""
        options = {"model": self.model} if self.row.needs_model else {}
        return np.asarray(self.row.function(reference, candidate, **options), dtype=np.float64)

    def worth(self, scores: np.ndarray) -> np.ndarray:
        """Scores turned so that higher is better."""
        return scores if self.row.higher_is_better else -scores

    def show(self, score: float) -> str:
        """A score in words."""
        if math.isinf(score):
            return "infinite"
        return f"{score:.4g}{' ' + self.row.unit if self.row.unit else ''}"


def _climb(
    judges: Sequence[_Judge], pictures: np.ndarray, ladders: Sequence[str], steps: int
) -> list[dict[str, np.ndarray]]:
    """For each judge: ladder -> scores of shape (steps + 1, N), the untouched pictures first."""
    climbed = [{ladder: np.empty((steps + 1, len(pictures))) for ladder in ladders} for _ in judges]
    for ladder in ladders:
        for step in range(steps + 1):
            severity = MAX_SEVERITY * step / steps
            damaged = np.stack([distort(picture, ladder, severity) for picture in pictures])
            for judge, scores in zip(judges, climbed, strict=True):
                scores[ladder][step] = judge.scores(pictures, damaged)
    return climbed


def _identity(judge: _Judge, pictures: np.ndarray) -> Law:
    scores = judge.scores(pictures, pictures.copy())
    wrong = np.flatnonzero(scores != judge.best)
    details = {"best": _number(judge.best), "wrong": len(wrong), "pictures": len(pictures)}
    if not len(wrong):
        return Law("identity", True, "Identical pictures get exactly the best value.", details)
    sentence = (
        f"Identical pictures do not get the best value: {judge.show(scores[wrong[0]])} instead of "
        f"{judge.show(judge.best)} for photograph {wrong[0] + 1}, and so for {len(wrong)} of {len(pictures)}."
    )
    return Law("identity", False, sentence, details)


def _monotone(judge: _Judge, climbed: dict[str, np.ndarray], steps: int) -> Law:
    inversions: dict[str, int] = {}
    first, worst = "", 0.0
    compared = 0
    for ladder, scores in climbed.items():
        worth = judge.worth(scores)
        # Infinity minus infinity is no step at all: the picture did not change.
        with np.errstate(invalid="ignore"):
            rises = np.where(worth[1:] == worth[:-1], 0.0, worth[1:] - worth[:-1])
        # Written so that a score that is no number is found too.
        found = np.argwhere(~(rises <= TIE * np.maximum(1, np.abs(worth[:-1]))))
        inversions[ladder] = len(found)
        compared += rises.size
        if len(found):
            worst = max(worst, float(np.nanmax(rises)))
        if len(found) and not first:
            step, picture = found[0]
            severity = [MAX_SEVERITY * (step + more) / steps for more in (0, 1)]
            told = [DISTORTIONS[ladder].describe(value) for value in severity]
            first = (
                f"{DISTORTIONS[ladder].label} of photograph {picture + 1}: {judge.show(scores[step, picture])} at "
                f"{told[0]}, but {judge.show(scores[step + 1, picture])} at {told[1]}"
            )
    total = sum(inversions.values())
    details = {"inversions": inversions, "compared": compared, "largest_rise": _number(worst)}
    if not total:
        return Law("monotone", True, f"The score never gets better with more damage ({compared} steps).", details)
    sentence = f"More damage gave a better score in {total} of {compared} steps; first seen with {first}."
    return Law("monotone", False, sentence, details)


def _blank(judge: _Judge, pictures: np.ndarray, light: Sequence[np.ndarray]) -> tuple[Law, Law]:
    """The law that the photograph beats every blank picture; and whether a lightly damaged one does, as a fact."""
    blanks = {
        "black": np.zeros_like(pictures),
        "white": np.ones_like(pictures),
        "grey": np.full_like(pictures, 128 / 255),
        "mean-coloured": _eight_bit(np.broadcast_to(pictures.mean(axis=(1, 2), keepdims=True), pictures.shape)),
    }
    blank_worth = {name: judge.worth(judge.scores(pictures, blank)) for name, blank in blanks.items()}
    own = judge.worth(judge.scores(pictures, pictures.copy()))
    wins = {name: int(np.count_nonzero(~(worth < own))) for name, worth in blank_worth.items()}
    damaged = np.min([judge.worth(judge.scores(pictures, batch)) for batch in light], axis=0)
    near = int(np.count_nonzero(~(np.max(list(blank_worth.values()), axis=0) < damaged)))
    fact = Law(
        "blank_against_light_damage",
        None,
        f"A blank picture beats a lightly blurred or noised photograph for {near} of {len(pictures)}.",
        {"wins": near, "pictures": len(pictures)},
    )
    details = {"wins": wins, "pictures": len(pictures)}
    if not any(wins.values()):
        return Law("blank", True, "A blank picture never scores as well as the photograph.", details), fact
    name = max(wins, key=wins.__getitem__)
    sentence = f"A blank {name} picture scores at least as well as the photograph for {wins[name]} of {len(pictures)}."
    return Law("blank", False, sentence, details), fact


def _batch(judge: _Judge, pictures: np.ndarray, damaged: np.ndarray) -> Law:
    together = judge.scores(pictures, damaged)
    alone = np.concatenate([judge.scores(pictures[[i]], damaged[[i]]) for i in range(len(pictures))])
    turned = judge.scores(pictures[::-1].copy(), damaged[::-1].copy())[::-1]
    gap = max(_gap(together, alone), _gap(together, turned))
    details = {"largest_difference": gap, "allowed": SAME}
    if gap <= SAME:
        return Law("batch", True, "A picture scores the same alone, in a batch, and among other neighbours.", details)
    sentence = f"Scores depend on the batch: they differ by {gap:.2g}, relative, from those of the pictures one by one."
    return Law("batch", False, sentence, details)


def _type(judge: _Judge, pictures: np.ndarray, damaged: np.ndarray) -> Law:
    floats = judge.scores(pictures, damaged)
    eight_bit = judge.scores(*(np.rint(batch * 255).astype(np.uint8) for batch in (pictures, damaged)))
    gap = _gap(floats, eight_bit)
    details = {"largest_difference": gap, "allowed": SAME}
    if gap <= SAME:
        return Law("type", True, "8-bit and float pictures get the same score.", details)
    return Law("type", False, f"8-bit and float pictures get scores that differ by {gap:.2g}, relative.", details)


def _symmetry(judge: _Judge, pictures: np.ndarray, damaged: np.ndarray) -> Law:
    gap = _gap(judge.scores(pictures, damaged), judge.scores(damaged, pictures))
    symmetric = gap <= SAME
    sentence = (
        "Reference and image to judge may trade places."
        if symmetric
        else f"Reference and image to judge may not trade places: scores differ by up to {gap:.2g}, relative."
    )
    return Law("symmetry", None, sentence, {"symmetric": symmetric, "largest_difference": gap})


def _shift(judge: _Judge, pictures: np.ndarray) -> Law:
    score = float(np.median(judge.scores(pictures[:, :, :-1].copy(), pictures[:, :, 1:].copy())))
    return Law("shift", None, f"Moved by one pixel, photographs score {judge.show(score)} (median).", _median(score))


def _brightness(judge: _Judge, pictures: np.ndarray) -> Law:
    brighter = _eight_bit(np.clip(pictures * 1.1, 0, 1))
    score = float(np.median(judge.scores(pictures, brighter)))
    return Law(
        "brightness", None, f"Made 10 % brighter, photographs score {judge.show(score)} (median).", _median(score)
    )


def _eight_bit(pictures: np.ndarray) -> np.ndarray:
    """Every value as k / 255, so that a ladder's first step changes nothing but what it should."""
    return np.rint(np.asarray(pictures) * 255).astype(np.float32) / np.float32(255)


def _gap(first: np.ndarray, second: np.ndarray) -> float:
    """Largest difference relative to the larger of 1 and the value; equal infinities do not differ."""
    if not np.array_equal(np.isfinite(first), np.isfinite(second)):
        return math.inf
    finite = np.isfinite(first)
    if not finite.any():
        return 0.0
    return float(np.max(np.abs(first - second)[finite] / np.maximum(1, np.abs(first[finite]))))


def _median(score: float) -> dict[str, object]:
    return {"median": _number(score)}


def _number(value: float) -> float | str:
    """JSON knows no infinity."""
    return float(value) if math.isfinite(value) else str(value)
