"""`models`: list, show, import and measure models."""

from __future__ import annotations

import json
from pathlib import Path

import click


@click.group(invoke_without_command=True)
@click.pass_context
def models(context) -> None:
    """List, show or import models."""
    if context.invoked_subcommand is None:
        context.invoke(list_command)


@models.command("list")
def list_command() -> None:
    """One line for every model."""
    from deconv_core.models.saving import list_models

    for card in list_models():
        validation = card.get("validation") or {}
        quality = f"{validation['psnr']:.2f} dB" if validation.get("psnr") else "-"
        click.echo(f"{card['name']:<24} {quality:>9}  {card.get('reason') or card.get('label', '')}")


@models.command()
@click.argument("name")
def show(name: str) -> None:
    """The whole card of a model, as JSON."""
    from deconv_core.models.saving import read_card

    click.echo(json.dumps(read_card(name), indent=2, ensure_ascii=False))


@models.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--name", default=None, help="Name in the list; the file's own name without it.")
def import_command(file: Path, name: str | None) -> None:
    """Check a .keras file from outside, rewrite it in a guarded process and add it to the workspace."""
    from deconv_core.models.saving import import_model

    card = import_model(file, name=name)
    click.echo(f"{card['name']}: {card['parameters']} parameters, {card['channels']} channels")


@models.command()
@click.argument("name")
@click.option("--data", required=True, help="Test pictures the model was not trained on; digits for digits drawn here.")
@click.option("--data-name", default="", help="What to call them on the card.")
def measure(name: str, data: str, data_name: str) -> None:
    """Measure a model on test pictures, try the sanity laws on its scores, and write both on its card."""
    from deconv_core.models.measuring import write_measures

    card = write_measures(name, data, data_name=data_name or Path(data).name)
    click.echo(json.dumps({"measures": card["measures"], "laws": card["laws"]}, indent=2, ensure_ascii=False))
