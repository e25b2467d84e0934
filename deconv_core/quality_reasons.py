"""Why a photograph got its score: the kinds of residual statistics that moved it most, in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from deconv_core.calibration import Calibration

# What moves a score by less is not worth a word, on a scale from 0 to 1.
_SMALLEST = 0.005
# z-scores from which on a statistic is called above or below, and far above or below, what is usual.
_ABOVE, _FAR_ABOVE = 0.5, 1.5


@dataclass(frozen=True)
class Reason:
    """One kind of statistics and what it did to a score.

    Attributes:
        kind: Group of statistics, as before the colon of their names.
        effect: Score with the picture's own values less the score with those of the mean photograph.
        value: z-score of the statistic that stands for the group.
        text: In words.
    """

    kind: str
    effect: float
    value: float
    text: str


# Group -> statistics that may stand for it (the one furthest from usual does) -> words for more and for less of it.
_WORDS: Mapping[str, Mapping[str, tuple[str, str]]] = {
    "residual": {
        "strength@0": ("much fine detail or noise that the network cannot rebuild", "little fine detail"),
        "strength@1": ("much detail at half size that the network cannot rebuild", "little detail at half size"),
        "strongest_tile@0": ("fine detail in some places only", "the same amount of fine detail everywhere"),
    },
    "share": {
        "middle@0": ("much of the local contrast is noise or finest detail", "local contrast without finest detail"),
        "follows_picture@0": ("detail is too fine for the network", "what the network cannot rebuild looks like noise"),
    },
    "texture": {
        "right@0": ("smooth texture, as after blur or noise reduction", "crisp or noisy texture"),
        "peakedness@1": ("even texture", "sparse texture: plain areas between edges"),
    },
    "contrast": {
        "local_0.5@0": ("strong local contrast", "weak local contrast"),
        "local_0.98@1": ("strong contrast at its strongest places", "weak contrast even at its strongest places"),
    },
    "sharpness": {
        "edges_0.99@0": ("sharp edges", "soft edges"),
        "curvature_0.999@0": ("very sharp points and lines", "no sharp points or lines"),
    },
    "colour_residual": {
        "red_green@0": ("strong colour noise or colour detail", "little colour noise or colour detail"),
        "yellow_blue@0": ("strong colour noise or colour detail", "little colour noise or colour detail"),
    },
    "exposure": {
        "mean": ("bright overall", "dark overall"),
        "spread": ("a wide range of tones", "a narrow range of tones"),
        "dark": ("large black areas", "hardly any black"),
        "burnt": ("large burnt-out areas", "hardly any burnt-out white"),
    },
    "colour": {
        "colourfulness": ("strong colours", "pale colours"),
        "cast": ("a cast of one colour", "neutral colours on average"),
    },
    "blocks": {
        "picture_across": ("steps at the borders of 8-pixel blocks", "no steps at the borders of 8-pixel blocks"),
        "residual_across": ("steps at the borders of 8-pixel blocks", "no steps at the borders of 8-pixel blocks"),
    },
}


def reasons(calibration: Calibration, features: np.ndarray) -> tuple[Reason, ...]:
    """The groups of statistics that moved one photograph's score, strongest first; those that hardly did left out.

    Args:
        calibration: Made with `residual_statistics`.
        features: Of one photograph, shape (F,).
    """
    values = dict(zip(calibration.names, calibration.standardised(features[None])[0].tolist(), strict=True))
    found = []
    for kind, effect in calibration.effects(features).items():
        if kind in _WORDS and abs(effect) >= _SMALLEST:
            name = max(_WORDS[kind], key=lambda name: abs(values[f"{kind}:{name}"]))
            value = values[f"{kind}:{name}"]
            found.append(Reason(kind, effect, value, _text(_WORDS[kind][name], value, effect)))
    return tuple(sorted(found, key=lambda reason: -abs(reason.effect)))


def in_words(found: tuple[Reason, ...], count: int = 3) -> str:
    """The strongest reasons in one sentence or two, "" where nothing stands out."""
    raised = [reason.text for reason in found[:count] if reason.effect > 0]
    lowered = [reason.text for reason in found[:count] if reason.effect < 0]
    parts = []
    if raised:
        parts.append(f"Raised most by {'; '.join(raised)}.")
    if lowered:
        parts.append(f"Lowered most by {'; '.join(lowered)}.")
    return " ".join(parts)


def _text(words: tuple[str, str], value: float, effect: float) -> str:
    degree = "about as usual: " if abs(value) < _ABOVE else "" if abs(value) < _FAR_ABOVE else "far from usual: "
    return f"{degree}{words[0] if value >= 0 else words[1]} ({effect:+.2f})"
