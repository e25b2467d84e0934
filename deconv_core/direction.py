"""Which way do human scores count? Told, or found from the column's name and from metrics whose direction is known.

MOS is a mean opinion score and rises with quality; DMOS is usually a difference and falls with it, but not always
(KADID-10k calls its rising scores "dmos"). So the name alone never decides where the numbers can be asked.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

# Metrics that tables hold and this project does not compute, or computes under another spelling.
_HIGHER = ("psnr", "ssim", "msssim", "fsim", "fsimc", "vif", "vifp", "haarpsi", "vsi", "uqi", "uiqi", "topiqfr")
_LOWER = ("mse", "rmse", "mae", "lpips", "dists", "pieapp", "gmsd", "mdsi", "niqe", "brisque", "piqe", "nlpd")
KNOWN = (*_HIGHER, "ssimulacra2", *_LOWER)
# A median rank correlation that says something about the direction.
_CLEAR = 0.2


@dataclass(frozen=True)
class Direction:
    """Which way the human scores count, and how that is known.

    Attributes:
        higher_is_better: None where nothing tells; numbers are then shown with the sign they come with.
        why: One sentence.
        contradiction: One sentence where name, numbers or the user's word disagree; "" otherwise.
    """

    higher_is_better: bool | None
    why: str
    contradiction: str = ""

    @property
    def sign(self) -> float:
        """-1 where lower is better, otherwise 1."""
        return -1.0 if self.higher_is_better is False else 1.0

    @property
    def words(self) -> str:
        """ "higher is better", "lower is better" or "direction unknown"."""
        return direction_words(self.higher_is_better)


def direction_words(higher_is_better: bool | None) -> str:
    """ "higher is better", "lower is better" or "direction unknown"."""
    if higher_is_better is None:
        return "direction unknown"
    return f"{'higher' if higher_is_better else 'lower'} is better"


def plain_name(name: str) -> str:
    """Letters and digits in lower case, so that `MS-SSIM`, `ms_ssim` and `MS SSIM` are one name."""
    return re.sub(r"[^a-z0-9]", "", name.casefold())


def metric_direction(key: str) -> bool | None:
    """Whether more of a metric is better; None for a name that is not known.

    Example:
        >>> metric_direction("PSNR"), metric_direction("lpips"), metric_direction("column_7")
        (True, False, None)
    """
    from deconv_core.metrics import METRICS, is_metric, metric

    name = plain_name(key)
    for row in METRICS.values():
        if plain_name(row.key) == name:
            return row.higher_is_better
    if is_metric(key):
        return metric(key).higher_is_better
    if name in _LOWER:
        return False
    return True if name in KNOWN else None


def detect_direction(
    name: str,
    scores: np.ndarray,
    metrics: Mapping[str, np.ndarray],
    *,
    given: bool | None = None,
    known: Direction | None = None,
) -> Direction:
    """Find out which way human scores count.

    Args:
        name: Name of their column.
        scores: Human scores, shape (N,); NaN where there is none.
        metrics: Name -> values of the same rows; only those with a known direction are asked.
        given: The user's word, which decides.
        known: What the data set's own documentation says, which decides where the user says nothing.

    Returns:
        A `Direction`; where two sources disagree, `contradiction` says so.
    """
    from_name = _from_name(name)
    from_data, evidence = _from_data(scores, metrics)
    if given is not None or known is not None:
        decided = given if given is not None else known.higher_is_better
        why = "As told." if given is not None else known.why
        contradiction = ""
        if from_data not in (None, decided):
            contradiction = f"Taken as {direction_words(decided)}, but {evidence}: check the direction."
        return Direction(decided, why, contradiction)
    if from_data is not None:
        if from_name is None:
            return Direction(from_data, f"From the numbers: {evidence}.")
        if from_name == from_data:
            return Direction(from_data, f"The name '{name}' and the numbers agree: {evidence}.")
        return Direction(
            from_data,
            f"From the numbers: {evidence}.",
            f"The name '{name}' suggests that {direction_words(from_name)}, but the numbers say the opposite "
            f"({evidence}); the numbers are followed. Set the direction if that is wrong.",
        )
    if from_name is not None:
        why = f"From the name '{name}' alone" + (f"; {evidence}." if evidence else "; no known metric can confirm it.")
        return Direction(from_name, why)
    return Direction(
        None, f"Neither the name '{name}' nor a known metric tells the direction; set it to be sure of the signs."
    )


def _from_name(name: str) -> bool | None:
    words = set(re.findall(r"[a-z]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).casefold()))
    if words & {"dmos", "difference", "degradation", "impairment", "jnd"}:
        return False
    return True if words & {"mos", "opinion", "quality", "rating", "ratings"} else None


def _from_data(scores: np.ndarray, metrics: Mapping[str, np.ndarray]) -> tuple[bool | None, str]:
    from deconv_core.agreement import srcc
    from deconv_core.metrics import METRICS

    found = {}
    for key, values in metrics.items():
        better = metric_direction(key)
        # A metric that is no measure of quality on its own (recon_self_*) is no witness.
        if better is None or (key in METRICS and METRICS[key].identity is None):
            continue
        value = srcc(values, scores)
        if not np.isnan(value):
            found[key] = value if better else -value
    if not found:
        return None, ""
    middle = float(np.median(list(found.values())))
    strongest = max(found, key=lambda key: abs(found[key]))
    value = found[strongest]
    if abs(middle) < _CLEAR or np.sign(value) != np.sign(middle):
        return None, f"known metrics do not tell ({strongest}: SRCC {value:.2f})"
    return middle > 0, f"scores {'rise' if value > 0 else 'fall'} with the quality that {strongest} sees ({value:+.2f})"
