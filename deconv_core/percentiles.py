"""Where does a score stand? As a percentile within a set, and within the bundled reference set.

A raw value says little by itself: is an NLPD of 0.2 much? A percentile says what share of other damaged pictures is no
better; 100 is the best of the set, whichever way the metric counts.

The bundled set is the sample photographs under every distortion and severity. It ships as quantiles, no pictures, made
by two commands that `quantiles.json` names and that anybody can run again:

    python -m deconv_core compare --data samples --out FOLDER
    python -m deconv_core.percentiles FOLDER

`deconv_quality`, its control and `detail` judge a picture alone and are not in the set yet: they have no percentile.
Where metrics are new or have changed, a comparison with `--metrics` of those alone, named after the first one, will do.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from deconv_core.errors import DeconvError
from deconv_core.files import write_whole

if TYPE_CHECKING:
    import pandas as pd

    from deconv_core.comparison import Comparison

QUANTILES_FILE = Path(__file__).with_name("quantiles.json")
# Enough that reading between two of them is off by half a percent at most.
LEVELS = 101
_DIGITS = 6


def within(frame: pd.DataFrame, metrics: Sequence[str]) -> pd.DataFrame:
    """The percentile of every score within its own table.

    Args:
        frame: One row per picture, a column per metric.
        metrics: Columns.

    Returns:
        Same index, one column per metric: per cent of the scored rows that are no better, above 0 to 100 (the best;
        equal scores share it); NaN where there is no score.

    Raises:
        DeconvError: A column is missing.

    Example:
        >>> import pandas as pd
        >>> within(pd.DataFrame({"psnr": [20.0, 30.0, 30.0, 40.0]}), ["psnr"])["psnr"].tolist()
        [25.0, 75.0, 75.0, 100.0]
    """
    import pandas as pd

    from deconv_core.relations import direction

    missing = [key for key in metrics if key not in frame]
    if missing:
        raise DeconvError(f"The table lacks {', '.join(missing)}; choose among {', '.join(map(str, frame.columns))}.")
    worth = pd.DataFrame({key: frame[key].astype("float64") * direction(key) for key in metrics}, index=frame.index)
    return worth.rank(method="max", pct=True) * 100


def against_reference(
    metric_key: str, values: Sequence[float] | np.ndarray, recipe: Mapping[str, Any] | None = None
) -> np.ndarray | None:
    """The percentile of scores within the bundled reference set.

    Args:
        metric_key: Key of the metric.
        values: Scores, shape (N,).
        recipe: What made them, as from `scoring.recipes`; without it the present version, and no model.

    Returns:
        float64 (N,): per cent of the bundled set that is no better, 0 to 100; NaN for a NaN. None where the set says
        nothing about such scores: another metric, another version of it, or another model.
    """
    stored = _stored()["metrics"].get(metric_key)
    if stored is None or _maker(metric_key, recipe) != (stored["version"], stored["model_digest"]):
        return None
    from deconv_core.relations import direction

    sign = direction(metric_key)
    quantiles, levels = _steps(tuple(sign * value for value in stored["quantiles"]))
    worth = np.asarray(values, np.float64) * sign
    found = np.interp(worth, quantiles, levels, left=0.0, right=100.0)
    return np.where(np.isnan(worth), np.nan, found)


def reference_set() -> dict[str, Any]:
    """What the bundled set is: `images`, `rows`, `distortions`, `severities`, `seed`, `commands`, `versions`."""
    return {key: value for key, value in _stored().items() if key != "metrics"}


def make_quantiles(comparison: Comparison) -> dict[str, Any]:
    """The quantiles of a finished comparison, as in `quantiles.json`: of each metric with scores, from worst to best.

    Raises:
        DeconvError: The comparison is not finished.
    """
    from deconv_core.relations import direction

    if not comparison.summary:
        raise DeconvError(f"The comparison in '{comparison.folder.name}' is not finished; resume it first.")
    scored = comparison.scored
    metrics = {}
    for key in comparison.metrics:
        worth = np.sort(scored[key].dropna().to_numpy(np.float64) * direction(key))
        if worth.size:
            # Existing scores, not mixtures of two: an infinite PSNR stays what it is.
            places = np.round(np.linspace(0, worth.size - 1, LEVELS)).astype(int)
            recipe = comparison.recipes[key]
            metrics[key] = {
                "version": recipe["version"],
                "model_digest": recipe["model_digest"],
                "quantiles": [float(f"{value:.{_DIGITS}g}") for value in worth[places] * direction(key)],
            }
    settings, summary = comparison.settings, comparison.summary
    return {
        "images": summary["images"],
        "rows": len(scored),
        "distortions": list(settings.distortions),
        "severities": list(settings.severities),
        "seed": settings.seed,
        "commands": [summary["command"]],
        "versions": summary["versions"],
        "metrics": metrics,
    }


def write_quantiles(folders: Sequence[Path | str], path: Path | str = QUANTILES_FILE) -> Path:
    """Write the quantiles of the comparisons in these job folders; returns the file.

    Several are of use when only some metrics have changed: a later one's metrics take the place of an earlier one's.

    Raises:
        DeconvError: None is given, one is not finished, or they are not of the same pictures made worse alike.
    """
    from deconv_core.comparison import read_result

    if not folders:
        raise DeconvError("Quantiles need the job folder of a finished comparison; got none.")
    found = [read_result(folder) for folder in folders]
    contents = [make_quantiles(comparison) for comparison in found]
    shown = {
        (comparison.summary["fingerprint"], *(str(content[key]) for key in ("distortions", "severities", "seed")))
        for comparison, content in zip(found, contents, strict=True)
    }
    if len(shown) > 1:
        raise DeconvError("These comparisons differ in pictures, distortions, severities or seed; make them alike.")
    content = contents[-1]
    content["commands"] = [
        *(part["commands"][0] for part in contents),
        f"python -m deconv_core.percentiles {' '.join(comparison.folder.name for comparison in found)}",
    ]
    metrics = {key: value for part in contents for key, value in part["metrics"].items()}
    del content["metrics"]
    # One line per metric: a change shows in a diff as what it is.
    lines = ",\n".join(f'  "{key}": {json.dumps(value)}' for key, value in metrics.items())
    head = json.dumps(content, indent=1)[:-2]
    path = Path(path)
    write_whole(path, f'{head},\n "metrics": {{\n{lines}\n }}\n}}\n')
    _stored.cache_clear()
    return path


@cache
def _stored() -> dict[str, Any]:
    if not QUANTILES_FILE.exists():
        return {"metrics": {}}
    return json.loads(QUANTILES_FILE.read_text(encoding="utf-8"))


@cache
def _steps(stored: tuple[float, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Rising quantiles, each once, and the share of the set that is no better."""
    quantiles, first = np.unique(np.array(stored)[::-1], return_index=True)
    levels = np.linspace(100, 0, len(stored))[first]
    known = np.isfinite(quantiles)
    return quantiles[known], levels[known]


def _maker(key: str, recipe: Mapping[str, Any] | None) -> tuple[Any, Any]:
    from deconv_core.metrics import recipe as present

    made = present(key) if recipe is None else recipe
    return made.get("version"), made.get("model_digest")


if __name__ == "__main__":
    print(write_quantiles(sys.argv[1:]))
