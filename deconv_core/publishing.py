"""Models of one's own: publish what a training job made, rename, delete, take away.

Bundled models are never touched. A model is placed under its name in one step that fails where the name is taken, so
two visitors who publish at once never overwrite one another.
"""

from __future__ import annotations

import io
import os
import re
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from deconv_core.errors import DeconvError, ModelError
from deconv_core.files import write_json
from deconv_core.models.saving import ZOO, read_card, verify_file
from deconv_core.presets import model_name
from deconv_core.workspace import folder

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,59}")
_MAX_LABEL = 60


def job_model(job: Path | str) -> Path | None:
    """The model file that a training job has made so far, or None."""
    files = [path for path in (Path(job) / "results").glob("*.keras") if not path.name.startswith(".")]
    files = [path for path in files if path.with_suffix(".json").is_file()]
    return max(files, key=lambda path: path.stat().st_mtime, default=None)


def publish(job: Path | str, name: str, *, label: str = "") -> dict[str, Any]:
    """Copy the model of a training job to the workspace's models, with its card.

    Args:
        job: The job folder; a stopped run has its best model so far.
        name: What it shall be called; becomes lower case, other signs become "-".
        label: Name on screen; `name` as given without it.

    Returns:
        The card of the published model.

    Raises:
        ModelError: No model there yet, a file that is not its card's, or a name that is taken.
    """
    found = job_model(job)
    if found is None:
        raise ModelError(f"'{Path(job).name}' has no model yet; let it finish one epoch, or stop it.")
    card = read_card(found)
    if verify_file(found)["digest"] != card["digest"]:
        raise ModelError(f"'{found.name}' is not the file its card describes; resume the run, and publish again.")
    return _place(found, model_name(name), {**card, "label": _label(label or name), "run": Path(job).name})


def rename_model(name: str, new_name: str, *, label: str = "") -> dict[str, Any]:
    """Give a model of the workspace another name; returns its card.

    Raises:
        ModelError: A bundled model, no such model, or a name that is taken.
    """
    file = own_model(name)
    card = {**read_card(file), "label": _label(label or new_name)}
    target = model_name(new_name)
    if target == name:
        write_json(file.with_suffix(".json"), card)
        return card
    renamed = _place(file, target, card)
    _remove(file)
    return renamed


def delete_model(name: str) -> None:
    """Delete a model of the workspace, file and card.

    Raises:
        ModelError: A bundled model, or no such model.
    """
    _remove(own_model(name))


def own_model(name: str) -> Path:
    """The file of a model of the workspace.

    Raises:
        ModelError: A bundled model, which stays as it is, or no such model.
    """
    if not _NAME.fullmatch(name):
        raise ModelError(f"'{name[:60]}' is no name of a model; it has only a-z, 0-9, '-' and '_'.")
    if _is_bundled(name):
        raise ModelError(f"'{name}' comes with this software and stays as it is; publish a model of your own instead.")
    path = folder("models") / f"{name}.keras"
    if not path.is_file() and not path.with_suffix(".json").is_file():
        raise ModelError(f"There is no model '{name}' in the workspace; it may have been renamed or deleted.")
    return path


def model_zip(file: Path | str) -> bytes:
    """A zip with the `.keras` file and its card, for taking away.

    Raises:
        ModelError: One of the two is missing.
    """
    file = Path(file)
    packed = io.BytesIO()
    try:
        with zipfile.ZipFile(packed, "w") as archive:
            for path in (file, file.with_suffix(".json")):
                archive.write(path, path.name)
    except OSError as error:
        raise ModelError(f"'{file.stem}' cannot be packed ({error.strerror}); import or train it again.") from error
    return packed.getvalue()


def _is_bundled(name: str) -> bool:
    return any((ZOO / f"{name}{suffix}").exists() for suffix in (".keras", ".json"))


def _label(text: str) -> str:
    return " ".join(text.split())[:_MAX_LABEL]


def _place(file: Path, name: str, card: Mapping[str, Any]) -> dict[str, Any]:
    """Put a copy of a model file and its card under a free name."""
    if _is_bundled(name):
        raise ModelError(f"'{name}' is a bundled model and stays as it is; choose another name.")
    place = folder("models")
    target, draft = place / f"{name}.keras", place / f".{name}.{os.getpid()}.keras.new"
    card = {**card, "name": name}
    try:
        draft.write_bytes(file.read_bytes())
        if target.with_suffix(".json").exists():
            raise FileExistsError
        os.link(draft, target)  # fails where the name is taken, also by somebody in this very moment
    except FileExistsError:
        raise ModelError(f"There is a model '{name}' already; choose another name, or delete that one first.") from None
    except OSError as error:
        raise ModelError(f"'{name}' could not be written ({error.strerror}); make room on the disk.") from error
    finally:
        draft.unlink(missing_ok=True)
    try:
        write_json(target.with_suffix(".json"), card)
    except DeconvError as error:
        target.unlink(missing_ok=True)
        raise ModelError(str(error)) from error
    return card


def _remove(file: Path) -> None:
    # The card first: a file without one is never offered. The last two are left by a check (see `model_checks`).
    traces = (file.with_name(f".{file.stem}{suffix}") for suffix in (".check", ".log"))
    for path in (file.with_suffix(".json"), file, *traces):
        with suppress(FileNotFoundError):
            path.unlink()
