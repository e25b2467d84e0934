"""Where this installation keeps what it makes: imported models, job folders, fetched data, calibrated metrics."""

import os
from pathlib import Path

from deconv_core.errors import DeconvError

FOLDERS = ("models", "jobs", "data", "metrics")


def workspace() -> Path:
    """The workspace folder: `DECONV_HOME`, or `workspace/` beside `app.py`. Not created by asking."""
    home = os.environ.get("DECONV_HOME", "").strip()
    return Path(home).expanduser().resolve() if home else Path(__file__).resolve().parents[1] / "workspace"


def folder(name: str) -> Path:
    """One of the workspace's folders (`models`, `jobs`, `data`, `metrics`), made if it is missing.

    Raises:
        DeconvError: Another name, or a place that cannot be written.
    """
    if name not in FOLDERS:
        raise DeconvError(f"The workspace has no folder '{name}'; choose one of {', '.join(FOLDERS)}.")
    path = workspace() / name
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DeconvError(
            f"The workspace folder {path} cannot be made ({error.strerror}). "
            "Set DECONV_HOME to a folder that can be written."
        ) from error
    return path
