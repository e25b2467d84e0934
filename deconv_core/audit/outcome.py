"""From the parts of an audit to its outcome: rows of the whole set, the table as it leaves, the summary."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from deconv_core.audit.checks import CHECKS
from deconv_core.audit.parts import FACT_COLUMNS, MEASURED, MODEL, MODEL_VALUES, read_parts
from deconv_core.audit.recipes import recipes
from deconv_core.comparison import versions
from deconv_core.survey import Fingerprint

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from deconv_core.audit.run import AuditSettings


def collect(
    results: Path,
    names: Sequence[int] | None = None,
    *,
    model: bool = True,
    recipes: tuple[str | None, str | None] = (None, None),
) -> pd.DataFrame:
    """All rows measured so far, in the source's order, each picture once, with the model's columns where there are any.

    Args:
        results: The `results/` folder.
        names: Hashes of the names now in the source, in order; pictures that are gone are left out. None keeps all.
        model: Whether to look for the model's rows.
        recipes: Take only what was measured, and what the model measured, by these; None takes the latest there is.
    """
    import pandas as pd

    frame = read_parts(results, MEASURED, recipe=recipes[0]).to_pandas(strings_to_categorical=False)
    frame = frame.drop_duplicates("image", keep="last")
    if names is not None:
        places = pd.Series(np.arange(len(names)), index=np.asarray(names, np.int64))
        places = places[~places.index.duplicated()]
        frame["number"] = frame["image"].map(hash).map(places)
        frame = frame[frame["number"].notna()].astype({"number": np.int64})
    frame = frame.sort_values("number", kind="stable", ignore_index=True)
    if model:
        # By content as well: what the model said of an earlier picture of that name does not count.
        keys = ["image", "digest"]
        found = read_parts(results, MODEL, [*keys, "model_reason", *MODEL_VALUES], recipe=recipes[1]).to_pandas()
        frame = frame.merge(found.drop_duplicates(keys, keep="last"), on=keys, how="left", validate="one_to_one")
        # One column of reasons: a picture that was read but could not be rebuilt says so there.
        reasons = frame.pop("model_reason").fillna("")
        frame["reason"] = np.where(reasons != "", reasons, frame["reason"])
        for name in MODEL_VALUES:
            frame[name] = frame[name].astype(np.float32)
    return frame


def complete(frame: pd.DataFrame, checks: tuple[str, ...], *, copies: bool = True) -> None:
    """Add, in place, what the whole set tells, and the quality risk."""
    from deconv_core.audit.risk import risk
    from deconv_core.audit.whole import add_set_columns

    add_set_columns(frame, copies=copies and "near_duplicate" in checks)
    frame["quality_risk"] = risk(frame[[key for key in checks if key in frame]])


def final_table(frame: pd.DataFrame, checks: tuple[str, ...], made: Mapping[str, Any] | None = None) -> pa.Table:
    """The table as it leaves: without the checks that were not chosen, names of neighbours instead of their places.

    Args:
        frame: As `collect` and `complete` leave it.
        checks: The checks that were chosen.
        made: Recipes of the columns, for the metadata.
    """
    import pyarrow as pa

    from deconv_core.audit.whole import issues
    from deconv_core.tables import RECIPES_KEY

    columns: dict[str, pa.Array] = {}
    images = pa.array(frame["image"], pa.string())
    for name in FACT_COLUMNS:
        columns[name] = pa.array(frame[name])
    for key in checks:
        columns[key] = pa.array(frame[key].to_numpy(np.float32))
        of = CHECKS[key].neighbour_column
        if of:
            places = frame[of].to_numpy()
            columns[of] = images.take(pa.array(np.maximum(places, 0), mask=places < 0))
    columns |= {name: pa.array(frame[name]) for name in ("brightness", "contrast", "quality_risk")}
    columns["issues"] = issues(frame, checks)
    return pa.table(columns).replace_schema_metadata({RECIPES_KEY: json.dumps(dict(made or recipes(checks))).encode()})


def summarise(
    frame: pd.DataFrame, checks: tuple[str, ...], settings: AuditSettings, command: str, made: Mapping[str, Any]
) -> dict[str, Any]:
    """Counts for people and programs; nothing in it depends on the clock."""
    from deconv_core.audit.checks import flag

    flagged = flag(frame, checks)
    some = np.zeros(len(frame), bool)
    for values in flagged.values():
        some |= values
    fingerprint = Fingerprint()
    for name, digest in zip(frame["image"].tolist(), frame["digest"].tolist(), strict=True):
        fingerprint.add(name, digest)
    return {
        "data": settings.data,
        "images": len(frame),
        "readable": int((frame["status"] == "ok").sum()),
        "flagged": int(some.sum()),
        "bytes": int(frame["bytes"].sum()),
        "formats": {str(key): int(count) for key, count in frame["format"].value_counts().items() if key},
        "counts": {key: int(values.sum()) for key, values in flagged.items()},
        "checks": list(checks),
        "thresholds": {key: CHECKS[key].threshold for key in checks if CHECKS[key].flags_when != "set"},
        "fingerprint": fingerprint.hexdigest(),
        "model": settings.model,
        "quality": settings.quality,
        "max_side": settings.max_side,
        "seed": settings.seed,
        "command": command,
        "recipes": dict(made),
        "versions": versions(),
    }
