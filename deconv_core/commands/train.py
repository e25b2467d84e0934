"""`train`: a model from pictures."""

from __future__ import annotations

import json
from pathlib import Path

import click

from deconv_core.commands.options import command_line
from deconv_core.errors import DeconvError


def _arguments(_context, _parameter, values: tuple[str, ...]) -> dict[str, object]:
    """`name=value` pairs; numbers become numbers."""
    pairs = {}
    for text in values:
        name, equals, value = text.partition("=")
        if not equals:
            raise DeconvError(f"--argument got '{text}'; expected name=value, for example code_channels=32.")
        pairs[name] = int(value) if value.isdigit() else value
    return pairs


def _degradations(_context, _parameter, value: str | None) -> dict[str, tuple[float, float]]:
    """`white_noise:1-4,jpeg:2` -> {"white_noise": (1, 4), "jpeg": (2, 2)}."""
    spans = {}
    for part in (value or "").split(","):
        if not part.strip():
            continue
        kind, _, span = part.strip().partition(":")
        low, _, high = span.partition("-")
        try:
            spans[kind] = (float(low), float(high or low))
        except ValueError as error:
            raise DeconvError(f"--degradations got '{part}'; expected KIND:LOW-HIGH, for example jpeg:1-4.") from error
    return spans


@click.command()
@click.option("--data", required=True, help="Folder, CSV with an image column, .npz with x_train, or: samples, digits.")
@click.option("--include", default="*", show_default=True, help="File-name pattern within the data.")
@click.option("--architecture", default="photo", show_default=True, help="article or photo.")
@click.option("--argument", "arguments", multiple=True, callback=_arguments, help="name=value for the architecture.")
@click.option("--objective", default="reconstruct", show_default=True, help="reconstruct or restore.")
@click.option("--degradations", callback=_degradations, help="For restore: KIND:LOW-HIGH severities, comma-separated.")
@click.option(
    "--loss", default=None, help="charbonnier, mse, mae, binary_crossentropy, ssim, ms_ssim_l1 or reconstruction."
)
@click.option("--optimizer", default="adam", show_default=True, help="adam, adamw or sgd.")
@click.option("--learning-rate", type=float, default=None, help="Its highest rate.  [default: by architecture]")
@click.option("--schedule", default="cosine", show_default=True, help="cosine or constant.")
@click.option("--patch-size", default=96, show_default=True, help="Side of the training patches, pixels.")
@click.option("--batch-size", type=int, default=None, help="Patches per step.  [default: by architecture]")
@click.option("--epochs", type=int, default=None, help="Epochs.  [default: by architecture]")
@click.option("--steps-per-epoch", type=int, default=0, help="Steps per epoch; 0 means every picture once.")
@click.option("--patience", type=int, default=0, help="End after so many epochs without progress; 0: never.")
@click.option("--precision", default="float32", show_default=True, help="float32, or bfloat16 for faster steps.")
@click.option("--start-from", default="", help="Take over the weights of this model (name or file).")
@click.option("--seed", default=0, show_default=True)
@click.option("--name", default="", help="Name of the model.")
@click.option("--label", default="", help="Name on screen.")
@click.option("--note", default="", help="What the data are, for the card.")
@click.option("--within-roots", is_flag=True, help="Open nothing outside the folders that pages may open.")
@click.option("--wait-turn", is_flag=True, help="Wait until no other job of this workspace is at work.")
@click.option("--low-priority", is_flag=True, help="Let everything else on this machine go first.")
@click.option("--resume", is_flag=True, help="Go on with the run in --out; its stored settings are used.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Job folder.")
def train(resume, out, wait_turn, low_priority, **options) -> None:
    """Train a convolution-deconvolution model."""
    from deconv_core.jobs import stderr_is_log
    from deconv_core.models import architecture
    from deconv_core.training import TrainSettings, settings_from, train

    if resume and (out / "settings.json").exists():
        settings = settings_from(json.loads((out / "settings.json").read_text(encoding="utf-8")))
    else:
        usual = dict(architecture(options["architecture"]).training)
        given = {name: value for name, value in options.items() if value is not None}
        settings = TrainSettings(**(usual | given))

    shown = 0

    def progress(now) -> None:
        nonlocal shown
        if now.epoch > shown and not stderr_is_log():
            shown = now.epoch
            click.echo(now.message, err=True)

    card = train(
        settings,
        out,
        resume=resume,
        wait_turn=wait_turn,
        low_priority=low_priority,
        command=command_line(out),
        report=progress,
    )
    validation = card["validation"]
    click.echo(
        f"{out / 'results' / card['name']}.keras: held-out PSNR {validation['psnr']:.2f} dB, "
        f"SSIM {validation['ssim']:.4f}, loss {validation['loss']:.5f}"
    )
