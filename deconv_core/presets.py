"""Ready-made settings for training, and the command line that a set of settings stands for.

A preset is a plain mapping of `training.TrainSettings` fields, so everything in it can be changed before the start.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from deconv_core.errors import DeconvError

if TYPE_CHECKING:
    from deconv_core.survey import Survey
    from deconv_core.training import TrainSettings

# A mix of damage that restoring models are usually asked for; mild to strong.
USUAL_DEGRADATIONS: Mapping[str, tuple[float, float]] = MappingProxyType(
    {"white_noise": (1.0, 3.0), "jpeg": (1.0, 4.0), "gaussian_blur": (0.5, 2.5)}
)
# Steps of an epoch never fall below this: an epoch over ten pictures would be over before anything was learned.
FEWEST_STEPS = 50


@dataclass(frozen=True)
class Preset:
    """A starting point for training.

    Attributes:
        key: Name in code.
        label: Name on screen.
        summary: One sentence: for what, and how long.
        settings: Fields of `TrainSettings`; `steps_per_epoch` 0 means that the number of pictures decides.
    """

    key: str
    label: str
    summary: str
    settings: Mapping[str, Any]


PRESETS: Mapping[str, Preset] = MappingProxyType(
    {
        row.key: row
        for row in (
            Preset(
                "article",
                "Article",
                "The introductory network as usually printed, for small grey pictures such as digits: 10 epochs, "
                "batches of 32, binary cross-entropy.",
                {
                    "architecture": "article",
                    "arguments": {"channels": 1},
                    "loss": "binary_crossentropy",
                    "optimizer": "adam",
                    "learning_rate": 1e-3,
                    "schedule": "constant",
                    "patch_size": 28,
                    "batch_size": 32,
                    "epochs": 10,
                    "steps_per_epoch": 0,
                },
            ),
            Preset(
                "tiny",
                "Tiny",
                "A small photograph network for a first look: done within about a minute.",
                {
                    "architecture": "photo",
                    "arguments": {"width": 16, "deep_width": 32, "blocks": 1, "code_channels": 16},
                    "loss": "charbonnier",
                    "optimizer": "adam",
                    "learning_rate": 2e-3,
                    "schedule": "cosine",
                    "patch_size": 64,
                    "batch_size": 8,
                    "epochs": 10,
                    "steps_per_epoch": 60,
                },
            ),
            Preset(
                "small",
                "Small",
                "A useful photograph network: minutes to a quarter of an hour.",
                {
                    "architecture": "photo",
                    "arguments": {"width": 24, "deep_width": 48, "blocks": 1, "code_channels": 24},
                    "loss": "charbonnier",
                    "optimizer": "adam",
                    "learning_rate": 2e-3,
                    "schedule": "cosine",
                    "patch_size": 96,
                    "batch_size": 16,
                    "epochs": 20,
                    "steps_per_epoch": 150,
                },
            ),
            Preset(
                "medium",
                "Medium",
                "The size of the bundled photograph models: an hour or more, best with hundreds of pictures.",
                {
                    "architecture": "photo",
                    "arguments": {"width": 32, "deep_width": 64, "blocks": 2, "code_channels": 32},
                    "loss": "charbonnier",
                    "optimizer": "adam",
                    "learning_rate": 2e-3,
                    "schedule": "cosine",
                    "patch_size": 128,
                    "batch_size": 16,
                    "epochs": 40,
                    "steps_per_epoch": 500,
                },
            ),
        )
    }
)


def preset(key: str) -> Preset:
    """The table's row for `key`; raises DeconvError with the valid names."""
    if key not in PRESETS:
        raise DeconvError(f"There is no preset '{key}'; choose one of {', '.join(PRESETS)}.")
    return PRESETS[key]


def suggest(found: Survey) -> str:
    """The preset that suits what was found: `article` for small grey pictures, else `tiny`."""
    sides = [min(size) for size in found.sizes]
    small = bool(sides) and max(sides) <= 64
    return "article" if small and set(found.channels) == {1} else "tiny"


def settings_for(key: str, data: str, num_pictures: int) -> TrainSettings:
    """The settings of a preset for a source.

    Args:
        key: A key of PRESETS.
        data: The SOURCE.
        num_pictures: Pictures in it; decides the steps of an epoch where the preset leaves them open.
    """
    from deconv_core.training import TrainSettings

    chosen = dict(preset(key).settings)
    if not chosen["steps_per_epoch"]:
        chosen["steps_per_epoch"] = max(FEWEST_STEPS, num_pictures // chosen["batch_size"])
    return TrainSettings(data=data, **chosen)


def check_data(settings: TrainSettings, found: Survey) -> None:
    """Raise DeconvError where the settings cannot work with the pictures that were found; reads nothing."""
    from deconv_core.losses import loss
    from deconv_core.models import architecture

    settings.check()
    if found.count - found.held_out < 1:
        raise DeconvError("The source holds no picture that can be read; choose another one.")
    smallest = min(min(size) for size in found.sizes)
    stride = architecture(settings.architecture).stride
    side = min(settings.patch_size, smallest) // stride * stride
    if not side:
        raise DeconvError(
            f"The smallest side is {min(settings.patch_size, smallest)} pixels, but this network needs patches of "
            f"{stride} at least; leave out the smallest pictures, or choose larger patches."
        )
    needed = loss(settings.loss).smallest_patch
    if side < needed:
        raise DeconvError(
            f"The loss '{loss(settings.loss).label}' needs patches of {needed} pixels; the smallest picture allows "
            f"{side}. Choose another loss, or larger pictures."
        )


def command_words(settings: TrainSettings) -> list[str]:
    """What follows `python -m deconv_core train` for these settings, word by word and without `--out`.

    Fields that stand at their default are left out, except those whose default depends on the architecture.
    """
    from deconv_core.training import TrainSettings

    plain = TrainSettings(data="")
    by_architecture = ("architecture", "loss", "batch_size", "epochs", "learning_rate")
    words = ["--data", settings.data]
    for name in (
        *("include", "architecture", "objective", "loss", "optimizer", "learning_rate", "schedule", "patch_size"),
        *("batch_size", "epochs", "steps_per_epoch", "patience", "start_from", "seed", "name", "label", "note"),
    ):
        value = getattr(settings, name)
        if name in by_architecture or value != getattr(plain, name):
            words += [f"--{name.replace('_', '-')}", f"{value:g}" if isinstance(value, float) else str(value)]
    for name, value in settings.arguments.items():
        words += ["--argument", f"{name}={value}"]
    if settings.within_roots:
        words.append("--within-roots")
    if settings.objective == "restore":
        words += ["--degradations", degradations_word(settings.degradations)]
    return words


def degradations_word(degradations: Mapping[str, Sequence[float]]) -> str:
    """`{"jpeg": (1, 4)}` -> `jpeg:1-4`, as `--degradations` takes it."""
    return ",".join(f"{kind}:{low:g}-{high:g}" for kind, (low, high) in degradations.items())


def model_name(text: str) -> str:
    """A name for files out of a person's words: `My cats!` -> `my-cats`.

    Raises:
        DeconvError: Nothing is left of it.
    """
    name = re.sub(r"[^a-z0-9_-]+", "-", text.lower()).strip("-_")[:60].rstrip("-_")
    if not name:
        raise DeconvError(
            f"'{' '.join(text.split())[:60]}' leaves no name for a model; give one with letters a to z or digits."
        )
    return name


def total_steps(settings: TrainSettings, num_pictures: int) -> int:
    """Steps of the whole run, as `training.train` counts them."""
    per_epoch = settings.steps_per_epoch or max(1, num_pictures // settings.batch_size)
    return settings.epochs * per_epoch


def cost_key(settings: TrainSettings) -> str:
    """What the cost of one step depends on, as one text: two settings with the same key need not be measured twice."""
    names = ("architecture", "arguments", "objective", "degradations", "loss", "optimizer", "patch_size", "batch_size")
    return repr([getattr(settings, name) for name in names])


def time_words(seconds: float) -> str:
    """A length of time as people say it.

    Example:
        >>> time_words(45), time_words(150), time_words(7300)
        ('45 s', '2.5 min', '2 h 2 min')
    """
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    minutes = seconds / 60
    if minutes < 90:
        return f"{minutes:.1f} min" if minutes < 10 else f"{minutes:.0f} min"
    hours, rest = divmod(round(minutes), 60)
    return f"{hours} h {rest} min" if hours < 48 else f"{hours / 24:.1f} days"
