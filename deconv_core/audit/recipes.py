"""How the columns of an audit came about: rule, version and threshold of every check, and the model with its digest.

A run writes them into `results/recipes.json` when it begins. They travel in the metadata of `images.parquet`, in
`summary.json` and beside every CSV. Two audits can be compared in a column only where its recipes agree, see
`difference`; where a version was not written down, as in the oldest audits, they do not.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deconv_core.audit.checks import CHECKS
from deconv_core.audit.measure import RECIPE
from deconv_core.audit.risk import LARGEST, default_weights
from deconv_core.files import write_json

if TYPE_CHECKING:
    from deconv_core.audit.run import AuditSettings
    from deconv_core.audit.table import AuditTable

UNKNOWN = "unknown"  # stands for a version that nobody wrote down; agrees with none
_MODEL_VERSION = 2  # raised with every change of what the model's part measures
# What makes a number another one; label, rule and threshold only tell what it is and what follows from it.
_IDENTITY = ("version", "measured_by", "model_version", "model", "model_digest", "max_side", "quality")
_WORDS = {
    "version": "version",
    "measured_by": "measurement",
    "model_version": "version of the model's part",
    "model": "model",
    "max_side": "working size",
}


def model_facts(settings: AuditSettings) -> dict[str, Any]:
    """What decides the numbers of the model's part: working size, digest of the model, recipe of the metric.

    Raises:
        DeconvError: No such model or metric.
    """
    facts: dict[str, Any] = {"max_side": settings.max_side, "version": _MODEL_VERSION}
    if settings.model:
        from deconv_core.models.saving import read_card

        facts["model"] = read_card(settings.model)["digest"]
    if settings.quality:
        from deconv_core.scoring import recipes as recipes_of_metrics

        facts["quality"] = recipes_of_metrics([settings.quality])[settings.quality]
    return facts


def recipes(
    checks: Iterable[str], settings: AuditSettings | None = None, facts: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Column -> recipe.

    Args:
        checks: Keys of the checks that were made.
        settings: Of the audit; without it nothing is said about the model.
        facts: As from `model_facts`, where a model or metric took part.
    """
    checks, facts = tuple(checks), facts or {}
    found: dict[str, Any] = {}
    for key in checks:
        row = CHECKS[key]
        found[key] = {"label": row.label, "rule": row.rule, "unit": row.unit, "flags_when": row.flags_when}
        if row.flags_when != "set":
            found[key]["threshold"] = row.threshold
        found[key] |= {"version": row.version, "measured_by": RECIPE}
        if row.needs_model:
            found[key]["model_version"] = _MODEL_VERSION
        if row.needs_model and settings is not None:
            if key == "low_quality":
                found[key]["quality"] = facts.get("quality", {"key": settings.quality})
            else:
                found[key] |= {"model": settings.model, "max_side": settings.max_side}
                found[key] |= {"model_digest": facts["model"]} if "model" in facts else {}
    found |= {name: {"measured_by": RECIPE} for name in ("brightness", "contrast")}
    found["quality_risk"] = {
        "rule": f"Sum over the checks of points times e = u^4 / (1 + u^4), at most {LARGEST:.0f}; u is the way of the "
        "value from the check's good end in units of the way to its threshold, e = 1 where a check says yes.",
        "points": {key: points for key, points in default_weights().items() if key in checks},
    }
    return found


def write_begun(results: Path, parts: Mapping[str, str], made: Mapping[str, Any]) -> None:
    """Write down by what a run measures, before it does.

    Args:
        results: Its `results/` folder.
        parts: Kind of part -> identity of what it is measured by, as its parts say.
        made: Recipes of the columns.
    """
    write_json(results / "recipes.json", {"parts": dict(parts), "columns": dict(made)})


def read_begun(results: Path) -> dict[str, Any]:
    """`parts` and `columns` as `write_begun` takes them; empty in audits that wrote nothing down."""
    try:
        content = json.loads((results / "recipes.json").read_bytes())
    except (OSError, ValueError):
        return {}
    is_whole = isinstance(content, dict) and all(isinstance(content.get(name), dict) for name in ("parts", "columns"))
    return content if is_whole else {}


def recipes_of(table: AuditTable) -> dict[str, Any]:
    """The recipes of an audit's columns; where none were written down, those of its settings in UNKNOWN versions."""
    from deconv_core.audit.run import settings_from

    written = table.summary.get("recipes") if table.finished else read_begun(table.folder / "results").get("columns")
    if isinstance(written, Mapping):
        return dict(written)
    found = recipes(table.checks, settings_from(table.settings))
    return {
        name: entry | dict.fromkeys({"version", "measured_by"} & entry.keys(), UNKNOWN) for name, entry in found.items()
    }


def difference(column: str, first: Mapping[str, Any], second: Mapping[str, Any]) -> str:
    """In what two recipes of a column differ so that its numbers cannot be compared, in words; "" where they agree.

    What only one of them tells, such as a digest that older audits did not write down, is no difference.
    """
    one, other = (entry.get(column, {}) for entry in (first, second))
    if UNKNOWN in (one.get("measured_by"), other.get("measured_by")):
        return "not both tell by which version they were measured"
    told = [
        _told(name, one[name], other[name])
        for name in _IDENTITY
        if name in one and name in other and not _alike(one[name], other[name])
    ]
    if "model_digest" in one and one.get("model_digest") == other.get("model_digest"):
        return " and ".join(words for words in told if not words.startswith(_WORDS["model"]))  # another name alone
    return " and ".join(told)


def _alike(one: Any, other: Any) -> bool:
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return all(one[name] == other[name] for name in set(one) & set(other))
    return bool(one == other)


def _told(name: str, one: Any, other: Any) -> str:
    if name == "quality":
        first, second = (str(entry.get("key", "")) for entry in (one, other))
        if first != second:
            return f"metric {first} in the first, {second} in the second"
        return f"two versions of the metric {first}"
    if name == "model_digest":
        return f"two models under one name (SHA-256 {str(one)[:8]} and {str(other)[:8]})"
    if name == "max_side":
        one, other = (f"{side} px" if side else "whole pictures" for side in (one, other))
    return f"{_WORDS[name]} {one} in the first, {other} in the second"
