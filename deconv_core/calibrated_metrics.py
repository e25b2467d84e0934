"""Metrics made by calibration: kept in the workspace, read back with care, used by name like any other metric.

A calibrated metric is `metrics/NAME.json`, its card, and `metrics/NAME-DIGEST.npz` (`NAME.npz` where it is bundled),
plain arrays that are checked when they are read: a file that is too large, not the one its card describes, or holds
anything but these arrays is refused.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import re
import zipfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np

from deconv_core.calibration import Calibration, calibrate
from deconv_core.errors import DeconvError
from deconv_core.files import write_whole
from deconv_core.workspace import folder as workspace_folder
from deconv_core.workspace import workspace

if TYPE_CHECKING:
    from deconv_core.agree_command import Outcome
    from deconv_core.metrics import Metric

FEATURES = ("metrics", "residuals")
# Rebuilds pictures for `residuals` where no other model is named.
RESIDUAL_MODEL = "quality_restore"

_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
# What a stranger's file may unpack to, and its card may weigh.
_MOST_BYTES, _MOST_CARD_BYTES = 64 * 2**20, 2**20
_ARRAYS = ("mean", "scale", "low", "high", "landmarks", "weights", "spans")


# -------------------------------------------------------------------------------------------------------- save and load


def save_calibration(calibration: Calibration, folder: Path, name: str) -> dict[str, Any]:
    """Write `NAME-DIGEST.npz` and its card `NAME.json`, and return the card.

    The card names the digest of its arrays and is replaced last, in one step: whoever is killed in between leaves the
    metric of that name as it was.

    Raises:
        DeconvError: The folder cannot be written.
    """
    buffer = io.BytesIO()
    arrays = {name: getattr(calibration, name) for name in _ARRAYS}
    arrays["landmarks"] = calibration.landmarks.astype(np.float16)  # which is what they were rounded to
    np.savez_compressed(buffer, **arrays)
    content = buffer.getvalue()
    card = {
        "name": name,
        "label": name,
        **calibration.card,
        "names": list(calibration.names),
        "offset": calibration.offset,
        "width": calibration.width,
        "digest": hashlib.sha256(content).hexdigest(),
        "bytes": len(content),
    }
    try:
        text = json.dumps(card, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    except ValueError as error:
        raise DeconvError(f"The card of '{name}' cannot be written ({error}); give plain, finite values.") from error
    path = folder / f"{name}.json"
    try:
        # Only what this card replaces: another process may be about to name a file of its own.
        old = _arrays_file(path, read_calibration_card(path))
    except DeconvError:  # none, or damaged
        old = path.with_suffix(".npz")
    new = _digest_file(path, card["digest"])
    write_whole(new, content)
    write_whole(path, text)
    if old != new:
        with suppress(OSError):
            old.unlink()
    return card


def load_calibration(path: Path) -> Calibration:
    """A calibration, by the path of its card `NAME.json` or of `NAME.npz`; a file that does not fit is refused.

    Raises:
        DeconvError: Missing, too large, not the file its card describes, or arrays that do not fit together.
    """
    card = read_calibration_card(path)
    if not _arrays_file(path, card).exists():  # replaced in this very moment
        card = read_calibration_card(path)
    path = _arrays_file(path, card)
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise DeconvError(f"'{path.name}' has more than {_MOST_BYTES:,} bytes; that is no calibration of ours.")
        content = path.read_bytes()
        if hashlib.sha256(content).hexdigest() != card["digest"]:
            raise DeconvError(f"'{path.name}' is not the file that its card describes; calibrate again.")
        arrays = _arrays(content)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, NotImplementedError) as error:
        if isinstance(error, DeconvError):
            raise
        raise DeconvError(f"'{path.name}' cannot be read ({error}); calibrate again.") from error
    names = tuple(card["names"])
    fitting = (
        arrays["landmarks"].shape[1:] == (len(names),) and arrays["weights"].shape == arrays["landmarks"].shape[:1]
    )
    fitting &= all(arrays[key].shape == (len(names),) for key in ("mean", "scale", "low", "high"))
    fitting &= arrays["spans"].ndim == 2 and arrays["spans"].shape[1:] == (3,) and len(arrays["spans"]) > 0
    if not fitting or not all(np.isfinite(array).all() for array in arrays.values()) or (arrays["scale"] <= 0).any():
        raise DeconvError(f"The arrays of '{path.name}' do not fit its card; calibrate again.")
    return Calibration(names, **arrays, offset=float(card["offset"]), width=float(card["width"]), card=card)


def read_calibration_card(path: Path) -> dict[str, Any]:
    """The card of a calibration, by the path of its `.json` or `.npz` file.

    Raises:
        DeconvError: Missing or damaged.
    """
    path = path.with_suffix(".json")
    try:
        if path.stat().st_size > _MOST_CARD_BYTES:
            raise DeconvError(f"The card '{path.name}' has more than {_MOST_CARD_BYTES:,} bytes; calibrate again.")
        card = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise DeconvError(f"The card '{path.name}' cannot be read ({error}); calibrate again.") from error
    needed = {"names": list, "digest": str, "offset": float, "width": float, "range": list, "name": str, "label": str}
    for key, kind in needed.items():
        if not isinstance(card, dict) or not isinstance(card.get(key), kind):
            raise DeconvError(f"The card '{path.name}' has no usable '{key}'; calibrate again.")
    numbers = [card["offset"], card["width"], *card["range"]]
    if card["name"] != path.stem or len(card["range"]) != 2 or not all(_is_number(value) for value in numbers):
        raise DeconvError(f"The card '{path.name}' is not that of a calibration; calibrate again.")
    if not all(isinstance(name, str) for name in card["names"]):
        raise DeconvError(f"The card '{path.name}' is not that of a calibration; calibrate again.")
    return card


def _digest_file(path: Path, digest: str) -> Path:
    return path.with_name(f"{path.stem}-{digest[:12]}.npz")


def _arrays_file(path: Path, card: Mapping[str, Any]) -> Path:
    """The arrays of a card: named by their digest, or like the card where they came without one."""
    if re.fullmatch(r"[0-9a-f]{64}", card["digest"]):
        named = _digest_file(path, card["digest"])
        if named.exists() or not path.with_suffix(".npz").exists():
            return named
    return path.with_suffix(".npz")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _arrays(content: bytes) -> dict[str, np.ndarray]:
    """The arrays of a file of ours: these names, plain numbers, no larger unpacked than is allowed."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = archive.infolist()
        if sorted(member.filename for member in members) != sorted(f"{name}.npy" for name in _ARRAYS):
            raise ValueError(f"it holds {len(members)} other members than those of a calibration")
        if sum(member.file_size for member in members) > _MOST_BYTES:
            raise ValueError(f"it unpacks to more than {_MOST_BYTES:,} bytes")
        found = {}
        for name in _ARRAYS:
            with archive.open(f"{name}.npy") as file:
                data = file.read(_MOST_BYTES + 1)
            array = np.lib.format.read_array(io.BytesIO(data), allow_pickle=False)
            if array.dtype.kind != "f":
                raise ValueError(f"its {name} holds {array.dtype}, not numbers")
            found[name] = array.astype(np.float32 if name == "landmarks" else np.float64)
    return found


def check_name(name: str) -> None:
    """Refuse a name that a calibrated metric cannot have.

    Raises:
        DeconvError: It is that of a metric of ours, or has other characters than a key has.
    """
    from deconv_core.metrics import METRICS

    if not _NAME.fullmatch(name):
        raise DeconvError(
            f"--calibrate got '{name[:60]}'; expected a name of small letters, digits and _, such as my_score."
        )
    if name in METRICS:
        raise DeconvError(f"--calibrate got '{name}', which is a metric of its own; choose another name.")


# ------------------------------------------------------------------------------------------------- rows of their own


def saved_folder() -> Path:
    """Where this installation keeps its calibrated metrics; not made by asking."""
    return workspace() / "metrics"


def list_saved() -> list[dict[str, Any]]:
    """The cards of all calibrated metrics here, by name; one that cannot be read has `reason` instead."""
    cards = []
    for name in saved_names():
        try:
            cards.append({"reason": "", **read_calibration_card(saved_folder() / f"{name}.json")})
        except DeconvError as error:
            cards.append({"name": name, "label": name, "reason": str(error)})
    return cards


def saved_names() -> list[str]:
    """The names of all calibrated metrics here, whether they can be read or not."""
    return [path.stem for path in sorted(saved_folder().glob("*.json")) if _NAME.fullmatch(path.stem)]


def saved_card(name: str) -> dict[str, Any]:
    """The card of a calibrated metric of this workspace; raises DeconvError where there is none."""
    return read_calibration_card(saved_folder() / f"{name}.json")


def saved_metric(name: str) -> Metric | None:
    """The row of a calibrated metric of this workspace, as if it stood in the table; None where there is none.

    It brings its own models, so `needs_model` is False. The file is read again only when its card has changed.

    Raises:
        DeconvError: The file is damaged, or made with a metric or model that is not here in that version.
    """
    path = saved_folder() / f"{name}.json"
    if not _NAME.fullmatch(name) or not path.is_file():
        return None
    return _row(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=32)
def _row(path: Path, changed: int) -> Metric:
    from deconv_core.metrics import Metric

    found = load_calibration(path)
    card = found.card
    features = card.get("feature_kind")
    if features == "metrics":
        score, needs_reference, smallest = _of_metrics(found)
    elif features == "residuals":
        score, needs_reference, smallest = _of_residuals(found)
    else:
        raise DeconvError(f"The card '{path.name}' names the features '{features}'; calibrate again.")
    low, high = found.range
    data_set = str((card.get("calibrated_on") or {}).get("data_set") or "a table of scores")
    reached = card.get("cross_validated") or {}
    return Metric(
        card["name"],
        card["label"],
        score,
        "",
        low,
        high if high > low else low + 1,
        bool(card.get("higher_is_better", True)),
        identity=None,
        good=f"predicted human score on the scale of {data_set}, {low:g} to {high:g}",
        version=1,
        smallest_side=smallest,
        needs_reference=needs_reference,
        recipe={
            "convention": f"kernel ridge regression of {len(found.names)} features, file {card['digest'][:12]}",
            "colour_space": "as the features",
            "window": "as the features",
            "resize": "none",
        },
        warning=(
            f"Calibrated on {card.get('count', 0):,} human scores of {data_set}: "
            f"SRCC {reached.get('srcc', math.nan):.2f} on contents left out; elsewhere it is a guess."
        ),
        own_model=str(card.get("model") or ""),
        card=card,
    )


def _of_metrics(found: Calibration) -> tuple[Callable, bool, int]:
    """The scoring function of a calibration on metrics, whether it needs references, and the smallest side."""
    from deconv_core.metrics import METRICS

    others = [key for key in found.names if key not in METRICS]
    if others:
        raise DeconvError(
            f"'{found.card['name']}' is made from {', '.join(others)[:200]}, which is no metric of this version; "
            "calibrate again."
        )
    rows = [METRICS[key] for key in found.names]
    for key in found.names:
        _check_recipe(key, found.card)

    def model():
        return _model(found.card) if found.card.get("model") else None

    def score(reference: np.ndarray | None, candidate: np.ndarray) -> np.ndarray:
        from deconv_core.scoring import score_batch

        scores = score_batch(candidate if reference is None else reference, candidate, found.names, model=model())
        return found.predict(np.stack([scores[key] for key in found.names], axis=1))

    return score, any(row.needs_reference for row in rows), max(row.smallest_side for row in rows)


def _check_recipe(key: str, card: Mapping[str, Any]) -> None:
    """Refuse a calibration on a metric that is made in another way now than it was then."""
    from deconv_core.metrics import METRICS, recipe
    from deconv_core.models.saving import read_card
    from deconv_core.scoring import DECONV_MODEL

    stored = (card.get("recipes") or {}).get(key) or {}
    if not stored.get("computed_here", True):  # a column of the table, which the card says
        return
    model = None
    if METRICS[key].needs_model:
        named = read_card(DECONV_MODEL) if key == "deconv" else {"name": card.get("model"), "digest": None}
        if key != "deconv":
            named["digest"] = card.get("model_digest")
        model = SimpleNamespace(card=named, digest=named["digest"])
    if stored.get("hash") != recipe(key, model)["hash"]:
        raise DeconvError(
            f"'{card['name']}' was calibrated on {key} as it was made then, and it is made in another way now; "
            "calibrate again."
        )


def _of_residuals(found: Calibration) -> tuple[Callable, bool, int]:
    from deconv_core.residual_statistics import SMALLEST_SIDE, VERSION, statistics_names, statistics_of

    if found.card.get("statistics_version") != VERSION or found.names != statistics_names():
        raise DeconvError(
            f"'{found.card['name']}' was calibrated on other residual statistics than those of this version; "
            "calibrate again."
        )

    def score(reference: np.ndarray | None, candidate: np.ndarray) -> np.ndarray:
        return found.predict(statistics_of(candidate, _model(found.card)))

    return score, False, SMALLEST_SIDE


def _model(card: Mapping[str, Any]) -> Any:
    """The model that a calibration was made with, and no other of that name."""
    from deconv_core.models.saving import load_model

    model = load_model(card["model"])
    if model.digest != card.get("model_digest"):
        raise DeconvError(
            f"'{card['name']}' was calibrated with another version of the model '{card['model']}'; calibrate again."
        )
    return model


# ---------------------------------------------------------------------------------------------- from a table of scores


def calibrate_outcome(
    outcome: Outcome,
    name: str,
    *,
    on: str = "metrics",
    model_name: str | None = None,
    images: str | Path | None = None,
    resamples: int = 1000,
    folds: int = 5,
    seed: int = 0,
    command: str = "",
    report: Callable[[str, int, int], None] = lambda step, done, total: None,
) -> dict[str, Any]:
    """Make the metric `name` of this workspace from an agreement: its metrics, or a model's residuals, and its scores.

    Args:
        outcome: From `agree_command.compute`.
        name: Of the new metric; one of that name that is there already is replaced.
        on: `metrics` (those of the agreement) or `residuals` (what a model could not rebuild of each picture).
        model_name: The model: for `metrics` that of the recon_* scores, for `residuals` the one that rebuilds.
        images: Folder with the pictures, where they are not beside the table; for `residuals`.
        resamples, folds, seed: See `calibrate`.
        command: For the card.
        report: Called with what is being done, and how much of it is done.

    Returns:
        The card: `cross_validated`, `learning_curve`, `needs`, ... (see `calibrate`), and where it comes from.

    Raises:
        DeconvError: The name or the features cannot be used, or there are too few scores.
    """
    check_name(name)
    if on not in FEATURES:
        raise DeconvError(f"--calibrate-on got '{on}'; choose one of {', '.join(FEATURES)}.")
    table = outcome.plan.scores
    scores = outcome.rows[table.column("mos")].to_numpy(np.float64, na_value=np.nan)
    if on == "metrics":
        names, features, facts = _metric_features(outcome, model_name)
    else:
        names, features, facts = _residual_features(outcome, np.isfinite(scores), model_name, images, report)
    higher = outcome.found.direction.higher_is_better
    found = calibrate(
        features,
        scores,
        _contents(outcome),
        names=names,
        higher_is_better=higher is not False,
        folds=folds,
        resamples=resamples,
        seed=seed,
        report=lambda step: report(step, 0, 0),
    )
    card = {
        **found.card,
        "feature_kind": on,
        **facts,
        "calibrated_on": {"data_set": table.data_set or Path(str(table.folder or "")).name, "digest": table.digest},
        "calibrated_at": f"{datetime.now(UTC):%Y-%m-%d}",
        "command": command,
    }
    return save_calibration(replace(found, card=card), workspace_folder("metrics"), name)


def as_text(card: Mapping[str, Any]) -> str:
    """A card for a terminal: what it reaches on contents left out, against what, and what more scores would bring."""
    reached, single = card["cross_validated"], card["best_single"]
    apart = single["low"] > 0 or single["high"] < 0
    lines = [
        f"Calibrated metric '{card['name']}' on {card['count']:,} scores of {card['contents']:,} contents.",
        f"On contents left out: SRCC {reached['srcc']:.3f} (95 % interval {reached['srcc_low']:.3f} to "
        f"{reached['srcc_high']:.3f}), PLCC {reached['plcc']:.3f}, RMSE {reached['rmse']:.4g}.",
        f"The best feature alone, {single['name']}: SRCC {single['srcc']:.3f}. The difference of "
        f"{single['difference']:+.3f} (95 % interval {single['low']:+.3f} to {single['high']:+.3f}) "
        f"{'is more than chance' if apart else 'may be chance'}.",
        f"With the scores shuffled: {card['shuffled']:+.3f}.",
        f"Learning: {card['needs']}",
    ]
    if card.get("note"):
        lines.append(card["note"])
    lines.append(f"Use it by its name: python -m deconv_core score PICTURES --metrics {card['name']}")
    return "\n".join(lines)


def _contents(outcome: Outcome) -> np.ndarray:
    """Which content each row shows: the table's column, else its reference, else the row by itself."""
    from deconv_core.agree_command import paired_references

    table = outcome.plan.scores
    for role in ("content", "reference"):
        column = table.column(role)
        if column is not None and column in outcome.rows:
            return outcome.rows[column].astype(str).to_numpy()
    paired = paired_references(outcome.plan)
    if paired is not None:
        return np.array(paired)
    return np.arange(len(outcome.rows)).astype(str)


def _metric_features(outcome: Outcome, model_name: str | None) -> tuple[list[str], np.ndarray, dict[str, Any]]:
    from deconv_core.metrics import METRICS, is_metric
    from deconv_core.scoring import DEFAULT_MODEL

    keys = [*outcome.plan.read, *outcome.plan.missing]
    names = [key for key in keys if key in METRICS]
    # One could be made from the very metric that it replaces, and each may change without notice.
    calibrated = [key for key in keys if key not in METRICS and is_metric(key)]
    if not names:
        told = "calibrated metrics or columns of this table" if calibrated else "only columns of this table"
        raise DeconvError(
            f"A calibration needs metrics that can be computed for new pictures; {', '.join(keys)} are {told}. "
            "Name some with --metrics, for example psnr,ssim,gmsd."
        )
    notes = []
    if calibrated:
        notes.append(f"Left out, because they are calibrated themselves: {', '.join(calibrated)}.")
    if others := [key for key in keys if key not in names and key not in calibrated]:
        notes.append(f"Left out, because they are only columns of the table: {', '.join(others)}.")
    if read := [key for key in names if key in outcome.plan.read]:
        notes.append(f"Read from the table, whose recipe may differ from ours: {', '.join(read)}.")
    facts: dict[str, Any] = {"recipes": {key: outcome.recipes.get(key, {}) for key in names}, "note": " ".join(notes)}
    if any(METRICS[key].needs_model for key in names):
        from deconv_core.models.saving import read_card

        card = read_card(model_name or DEFAULT_MODEL)
        facts |= {"model": card["name"], "model_digest": card["digest"], "trained_on": card.get("trained_on", "")}
    return names, outcome.rows[names].to_numpy(np.float64), facts


def _residual_features(
    outcome: Outcome,
    rated: np.ndarray,
    model_name: str | None,
    images: str | Path | None,
    report: Callable[[str, int, int], None],
) -> tuple[list[str], np.ndarray, dict[str, Any]]:
    from deconv_core.errors import ImageError
    from deconv_core.human_scores import find_pictures
    from deconv_core.images import read_image
    from deconv_core.models.saving import load_model
    from deconv_core.residual_statistics import VERSION, statistics_names, statistics_of

    model = load_model(model_name or RESIDUAL_MODEL)
    pictures = outcome.plan.pictures or find_pictures(outcome.plan.scores, images)
    features = np.full((len(rated), len(statistics_names())), np.nan)
    wanted = [place for place in np.flatnonzero(rated).tolist() if pictures.candidates[place] is not None]
    if not wanted:
        raise DeconvError("Not one picture of the table was found. Name their folder with --images.")
    unread = 0
    for done, place in enumerate(wanted):
        report("rebuilding pictures", done, len(wanted))
        try:
            features[place] = statistics_of(read_image(pictures.candidates[place]).pixels[None], model)[0]
        except ImageError:
            unread += 1
    facts = {
        "model": model.name,
        "model_digest": model.digest,
        "trained_on": model.card.get("trained_on", ""),
        "statistics_version": VERSION,
        "note": f"{unread} pictures could not be read or are smaller than 64 pixels." if unread else "",
    }
    return list(statistics_names()), features, facts
