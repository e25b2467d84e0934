"""A comparison as its views need it: the table, and words for its metrics and candidates."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from deconv_core.distortions import DISTORTIONS
from deconv_core.errors import DeconvError
from deconv_core.inspection import score_words
from deconv_core.metrics import Metric, metric
from pages.ui import cached

if TYPE_CHECKING:
    import pandas as pd

    from deconv_core.comparison import Comparison

KIND_LABELS = {key: row.label for key, row in DISTORTIONS.items()}
# Shown first where a view needs two metrics: a score that rebuilds, and a familiar one.
_FIRST = ("recon_pair_psnr", "recon_pair_ssim", "deconv", "recon_self_ssim", "gradient_information", "ssim")
_SECOND = ("psnr", "ssim", "ms_ssim", "deconv_control")


@dataclass(frozen=True)
class Result:
    """What a run has found so far.

    Attributes:
        token: Changes whenever more was found.
        found: The table with its settings and recipes; shared by all visitors, only to be read.
    """

    token: str
    found: Comparison

    @cached_property
    def scored(self) -> pd.DataFrame:
        """The rows that have scores, row numbers as index."""
        return self.found.scored

    @cached_property
    def keys(self) -> list[str]:
        """The metrics that gave a number at least once."""
        return [key for key in self.found.metrics if np.isfinite(self.scored[key].to_numpy(float)).any()]

    @cached_property
    def rows(self) -> dict[str, Metric]:
        """Key -> row of the metrics that are still here, for axes and directions."""
        return {key: row for key in self.keys if (row := row_of(key))}

    @property
    def usual(self) -> tuple[str, str]:
        """Two metrics to begin with; needs two."""
        first = next((key for key in _FIRST if key in self.keys), self.keys[0])
        second = next((key for key in (*_SECOND, *self.keys) if key in self.keys and key != first), first)
        return first, second

    @property
    def kinds(self) -> list[str]:
        """The distortions that left rows with scores."""
        there = set(self.scored["distortion"])
        return [key for key in self.found.settings.distortions if key in there]

    def has(self, row: object) -> bool:
        """Whether there is a scored row of this number."""
        return isinstance(row, int) and row in self.scored.index

    def candidate_words(self, row: int) -> str:
        """The candidate of a row in words; names come from outside."""
        line = self.found.frame.iloc[row]
        return f"{Path(str(line['image'])).name}, {kind_words(line['distortion'])} {line['severity']:g}"

    def card(self, model_key: str = "model") -> Mapping[str, Any] | None:
        """The card of the model behind the recon_* scores, or with "deconv" behind `deconv`; None where it is gone."""
        digests = {
            recipe.get("model_digest")
            for key, recipe in self.found.recipes.items()
            if isinstance(recipe, Mapping) and (key == "deconv" if model_key == "deconv" else key.startswith("recon_"))
        } - {None, ""}
        return next((card for card in cached.cards() if not card["reason"] and card["digest"] in digests), None)


def read(folder: Path) -> Result | None:
    """The result in a job folder; None while no candidate is scored."""
    if not (folder / "settings.json").is_file():
        return None
    result = Result(*cached.run_scores(folder))
    return result if result.keys else None


def row_of(key: str) -> Metric | None:
    """The row of a metric, of the table or calibrated here; None for one that is no longer here."""
    try:
        return metric(key)
    except DeconvError:
        return None


def label(key: str) -> str:
    """Name of a metric on screen; one that is no longer here keeps its key."""
    row = row_of(key)
    return row.label if row else key.replace("_", " ")


def value_words(key: str, value: float) -> str:
    """A score with its unit."""
    row = row_of(key)
    if row:
        return score_words(row, float(value))
    return "no number" if math.isnan(value) else f"{value:.4g}"


def kind_words(kind: str) -> str:
    """Name of a distortion on screen."""
    return KIND_LABELS.get(kind, str(kind).replace("_", " "))
