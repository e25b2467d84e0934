"""An album of cases in which a metric is wrong: the pictures, what the metrics said, and a person's note.

Any page can keep a case with one call; cases lie in the workspace, one folder each, and leave it as a zip.
"""

from __future__ import annotations

import io
import json
import re
import secrets
import shutil
import time
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from deconv_core.errors import DeconvError
from deconv_core.images import encode_png
from deconv_core.workspace import folder as workspace_folder

ROLES = ("reference", "preferred", "other", "candidate")
LONGEST_NOTE = 2000  # characters
_CASE = re.compile(r"[0-9]{8}-[0-9]{6}-[0-9a-f]{6}")
_FACTS = "case.json"


@dataclass(frozen=True)
class Case:
    """One case of the album.

    Attributes:
        key: Name of its folder.
        metric: Key of the metric that is said to be wrong; "" for none in particular.
        note: What a person wrote, as written.
        pictures: Role (one of `ROLES`) -> file.
        labels: Role -> what the picture is.
        scores: Role -> metric -> score.
        created: Seconds since 1970.
    """

    key: str
    metric: str
    note: str
    pictures: Mapping[str, Path]
    labels: Mapping[str, str]
    scores: Mapping[str, Mapping[str, float]]
    created: float


def keep_case(
    pictures: Mapping[str, np.ndarray],
    *,
    metric: str = "",
    note: str = "",
    labels: Mapping[str, str] | None = None,
    scores: Mapping[str, Mapping[str, float]] | None = None,
) -> Case:
    """Put a case into the album.

    Args:
        pictures: Role -> pixels, float32 (H, W, C) in [0, 1]. `reference` with `candidate` for a score that is wrong by
            itself; `preferred` (by a person) with `other` for two that a metric orders wrongly.
        metric: Key of the metric that is wrong.
        note: Why; at most `LONGEST_NOTE` characters are kept.
        labels: Role -> what the picture is, such as "JPEG, severity 3".
        scores: Role -> metric -> score.

    Raises:
        DeconvError: An unknown role, no picture, or a disk that cannot be written.
    """
    unknown = [role for role in pictures if role not in ROLES]
    if unknown or not pictures:
        raise DeconvError(f"A case got the pictures {list(pictures)}; expected some of {', '.join(ROLES)}.")
    home = _home()
    key = f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(3)}"
    draft = home / f".draft-{key}"
    facts = {
        "metric": metric,
        "note": note.strip()[:LONGEST_NOTE],
        "pictures": list(pictures),
        "labels": {role: str(label) for role, label in (labels or {}).items()},
        "scores": {
            role: {name: _jsonable(value) for name, value in row.items()} for role, row in (scores or {}).items()
        },
        "created": time.time(),
    }
    try:
        draft.mkdir()
        for role, pixels in pictures.items():
            (draft / f"{role}.png").write_bytes(encode_png(pixels))
        (draft / _FACTS).write_text(json.dumps(facts, indent=1, allow_nan=False) + "\n", encoding="utf-8")
        draft.rename(home / key)
    except OSError as error:
        raise DeconvError(
            f"The case cannot be kept ({error.strerror}); make room on the disk of the workspace."
        ) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return read_case(key)


def read_case(key: str) -> Case:
    """One case.

    Raises:
        DeconvError: It is not there or cannot be read.
    """
    folder = _home() / key
    if not _CASE.fullmatch(key) or not folder.is_dir():
        raise DeconvError("This case is not in the album; it may have been deleted.")
    try:
        facts = json.loads((folder / _FACTS).read_text(encoding="utf-8"))
        return Case(
            key,
            str(facts["metric"]),
            str(facts["note"]),
            {role: folder / f"{role}.png" for role in facts["pictures"] if role in ROLES},
            {str(role): str(label) for role, label in facts["labels"].items()},
            {role: {name: float(value) for name, value in row.items()} for role, row in facts["scores"].items()},
            float(facts["created"]),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DeconvError(f"The case '{key}' cannot be read ({error}); delete its folder {folder}.") from error


def list_cases() -> list[Case]:
    """All cases that can be read, the newest first."""
    found = []
    for path in _home().iterdir():
        if _CASE.fullmatch(path.name):
            try:
                found.append(read_case(path.name))
            except DeconvError:  # damaged by hand; the others are shown
                continue
    return sorted(found, key=lambda case: case.created, reverse=True)


def delete_case(key: str) -> None:
    """Take a case out of the album.

    Raises:
        DeconvError: There is none of this key.
    """
    shutil.rmtree(_home() / read_case(key).key)


def album_zip(cases: Sequence[Case]) -> bytes:
    """A table of the cases (`album.csv`) and their pictures, one folder each."""
    import pandas as pd

    from deconv_core.tables import csv_bytes

    rows = []
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:
        for case in cases:
            when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(case.created))
            row: dict[str, object] = {"case": case.key, "kept": when, "metric": case.metric, "note": case.note}
            for role, path in case.pictures.items():
                archive.write(path, f"{case.key}/{path.name}")
                row |= {role: f"{case.key}/{path.name}", f"{role}_is": case.labels.get(role, "")}
                row |= {f"{role}_{name}": value for name, value in case.scores.get(role, {}).items()}
            rows.append(row)
        archive.writestr("album.csv", csv_bytes(pd.DataFrame(rows)))
    return packed.getvalue()


def _home() -> Path:
    path = workspace_folder("data") / "album"
    path.mkdir(exist_ok=True)
    return path


def _jsonable(value: float) -> float | str:
    """JSON has no infinity and no NaN; as text `float` reads them back."""
    return float(value) if np.isfinite(value) else str(float(value))
