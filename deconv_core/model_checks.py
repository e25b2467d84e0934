"""What is found out about a finished model and written on its card: a quick look here, the full check beside.

The quick look takes seconds: the capacity panel, and the sanity laws on few and small photographs in few steps, marked
as such. The full check is the command `models measure`, run as a process of its own that lets everything else go first.
"""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deconv_core.errors import JobError
from deconv_core.jobs import process_started
from deconv_core.models.saving import read_card

QUICK_PHOTOGRAPHS, QUICK_STEPS, QUICK_SIDE = 3, 6, 128
# MS-SSIM needs larger pictures than a quick look has.
QUICK_KEYS = (
    *("recon_true_psnr", "recon_true_ssim", "recon_pair_psnr", "recon_pair_ssim", "recon_pair_code"),
    *("recon_self_psnr", "recon_self_ssim"),
)


@dataclass(frozen=True)
class CheckState:
    """A full check: whether it runs, whether its result is on the card, its command, and its last line of output."""

    running: bool
    done: bool
    command: str
    last_line: str


def quick_look(file: Path | str) -> dict[str, Any]:
    """Measure capacity and try the sanity laws in a small way; both are written on the card.

    Laws of a full check stay where they are.

    Returns:
        The new card; `laws` of a quick look hold `quick: {"photographs", "steps", "side"}`.

    Raises:
        ModelError: The model cannot be loaded.
    """
    from deconv_core.metrics.laws import check_many
    from deconv_core.models.capacity import capacity, trial_pictures
    from deconv_core.models.saving import load_model, update_card

    file = Path(file)
    model = load_model(file)
    facts: dict[str, Any] = {"capacity": capacity(model)}
    if not is_fully_checked(model.card):
        trial = trial_pictures(model.card, QUICK_PHOTOGRAPHS)[:, :QUICK_SIDE, :QUICK_SIDE].copy()
        quick = {"photographs": len(trial), "steps": QUICK_STEPS, "side": trial.shape[1]}
        reports = check_many(QUICK_KEYS, model=model, photographs=trial, steps=QUICK_STEPS)
        facts["laws"] = {key: {**report.as_json(), "quick": quick} for key, report in reports.items()}
    return update_card(file, **facts)


def is_fully_checked(card: Mapping[str, Any]) -> bool:
    """Whether the card holds sanity laws that were tried in full."""
    laws = card.get("laws")
    return bool(laws) and isinstance(laws, Mapping) and not any("quick" in found for found in laws.values())


def full_check_command(file: Path | str) -> list[str]:
    """The words after `python` that try the laws in full and measure the model on pictures that need no download."""
    card = read_card(file)
    data = "digits" if card.get("architecture") == "article" else "samples"
    own = str(card.get("trained_on", "")).startswith(("samples", "Bundled")) and data == "samples"
    name = f"{data}, which it was trained on" if own else data
    return ["-m", "deconv_core", "models", "measure", str(Path(file)), "--data", data, "--data-name", name]


def start_full_check(file: Path | str) -> None:
    """Start the full check as a process that lets everything else go first.

    Raises:
        JobError: It runs already, or cannot be started.
        ModelError: There is no such model.
    """
    file = Path(file)
    if check_state(file).running:
        raise JobError(f"'{file.stem}' is being checked already; wait until that is done.")
    words = full_check_command(file)
    root = Path(__file__).resolve().parents[1]
    nice = [shutil.which("nice"), "-n", "10"] if shutil.which("nice") else []
    try:
        with _mark(file, ".log").open("wb") as log:
            process = subprocess.Popen(
                [*nice, sys.executable, *words],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=root,
                start_new_session=True,
            )
        mark = {"id": process.pid, "started": process_started(process.pid), "command": shlex.join(["python", *words])}
        _mark(file, ".check").write_text(json.dumps(mark), encoding="utf-8")
    except OSError as error:
        raise JobError(f"The check of '{file.stem}' could not be started ({error.strerror}); make room.") from error
    threading.Thread(target=process.wait, name=f"wait-{process.pid}", daemon=True).start()


def check_state(file: Path | str) -> CheckState:
    """How far the full check of a model is."""
    file = Path(file)
    try:
        mark = json.loads(_mark(file, ".check").read_text(encoding="utf-8"))
        number, started, command = int(mark["id"]), str(mark["started"]), str(mark["command"])
    except (OSError, ValueError, KeyError, TypeError):
        number, started, command = 0, "", ""
    running = number > 0 and process_started(number) == started
    try:
        lines = _mark(file, ".log").read_text(encoding="utf-8", errors="replace").strip().splitlines()
    except OSError:
        lines = []
    return CheckState(running, is_fully_checked(read_card(file)), command, lines[-1] if lines and not running else "")


def _mark(file: Path, suffix: str) -> Path:
    """Beside the model, hidden, with an ending that no list of models looks for."""
    return file.with_name(f".{file.stem}{suffix}")
