"""`agree`: metrics against human scores."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from deconv_core.commands.options import comma_list, command_line
from deconv_core.errors import DeconvError


def _roles(_context, _parameter, values: tuple[str, ...]) -> dict[str, str]:
    """`ROLE=COLUMN` pairs."""
    pairs = {}
    for text in values:
        role, equals, column = text.partition("=")
        if not equals or not column:
            raise DeconvError(f"--column got '{text}'; expected ROLE=COLUMN, for example candidate=image.")
        pairs[role.strip()] = column.strip()
    return pairs


@click.command()
@click.argument("table", type=click.Path(path_type=Path))
@click.option("--scores", help="Column of human scores; guessed by its name without it.")
@click.option("--metrics", callback=comma_list, help="Columns, or metrics to compute; all columns that are metrics.")
@click.option("--group", help="Column to split by, for example the kind of distortion.")
@click.option("--direction", type=click.Choice(["higher", "lower"]), help="Which human scores are better.")
@click.option("--column", "columns", multiple=True, callback=_roles, help="ROLE=COLUMN, to overrule a guess.")
@click.option("--images", type=click.Path(path_type=Path), help="Folder of the pictures, if not beside the table.")
@click.option("--references", type=click.Path(path_type=Path), help="Folder of references, paired by name.")
@click.option("--sheet", help="Sheet of an Excel file.")
@click.option("--model", "model_name", default=None, help="Model for the recon_* scores (see: models list).")
@click.option("--resamples", default=1000, show_default=True, help="Draws for the intervals; 0 for none.")
@click.option("--seed", default=0, show_default=True, help="Decides the draws.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder for the tables and settings.json.")
def agree(table, direction, model_name, resamples, seed, out, **request) -> None:
    """Compare metrics with the human scores of a table, or of a known data set's folder."""
    from deconv_core import agree_command

    if resamples < 0:
        raise DeconvError(f"--resamples got {resamples}; expected 0 or more.")
    plan = agree_command.prepare(table, **request)
    for line in plan.lines:
        click.echo(line, err=True)

    def progress(done: int, total: int) -> None:
        if sys.stderr.isatty():
            click.echo(f"\r{done} of {total}", nl=done == total, err=True)

    outcome = agree_command.compute(
        plan,
        higher_is_better=None if direction is None else direction == "higher",
        model_name=model_name,
        resamples=resamples,
        seed=seed,
        report=progress,
    )
    click.echo(outcome.text)
    if out is not None:
        files = agree_command.write(outcome, out, command=command_line(out))
        click.echo(f"{files[0]} and {len(files) - 1} files beside it", err=True)
