"""What several commands share: options read from one word, and the command as it was typed."""

from __future__ import annotations

from pathlib import Path

import click

from deconv_core.errors import DeconvError


def comma_list(_context, parameter, value: str | None) -> list[str] | None:
    """A click callback: `a,b` as ["a", "b"], each word once; None stays None."""
    if value is None:
        return None
    parts = [part.strip() for part in value.split(",") if part.strip()]
    if not parts:
        raise DeconvError(
            f"--{parameter.name} got '{value}'; expected keys separated by commas, for example psnr,ssim."
        )
    return list(dict.fromkeys(parts))  # one column each


def command_line(out: Path) -> str:
    """The command as typed, with the folders of this machine left out: a card travels."""
    import shlex

    words = ["python", "-m", "deconv_core"]
    words += [_without_folders(word) for word in click.get_current_context().find_root().obj]
    return shlex.join(words)


def _without_folders(word: str) -> str:
    """`/data/pics` as `pics` and `--images=/data/pics` as `--images=pics`; addresses stay."""
    option, sign, value = word.partition("=")
    if "/" not in word or "://" in word:
        return word
    if sign and "/" not in option:
        return f"{option}={Path(value).name}"
    return Path(word).name
