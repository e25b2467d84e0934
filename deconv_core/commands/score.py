"""`score`: a table of scores for images, with or without references."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from deconv_core.commands.options import comma_list
from deconv_core.errors import JobError


@click.command()
@click.argument("candidates", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--reference", type=click.Path(path_type=Path), help="Reference file, or a folder paired by name.")
@click.option("--model", "model_name", default=None, help="Model for the recon_* scores (see: models list).")
@click.option("--metrics", callback=comma_list, help="Keys, separated by commas; all that apply without it.")
@click.option(
    "--mismatch",
    type=click.Choice(["refuse", "resize", "crop"]),
    default="refuse",
    show_default=True,
    help="What to do when a candidate's size differs from its reference's.",
)
@click.option(
    "--background",
    type=click.Choice(["white", "black"]),
    default="white",
    show_default=True,
    help="Colour behind transparent pixels.",
)
@click.option("--out", type=click.Path(path_type=Path), help="Write the table as .csv, .parquet or .json.")
def score(candidates, reference, model_name, metrics, mismatch, background, out) -> None:
    """Score images (files or folders) against references, or on their own where no reference is given."""
    from deconv_core import scoring, tables
    from deconv_core.models.saving import read_card

    if model_name:
        read_card(model_name)  # an unknown name is told even where no metric asks for the model
    if out is not None:
        tables.check_extension(out)
        tables.check_folder(out)
    pairs, problems = scoring.find_pairs(candidates, reference)
    keys = scoring.choose_metrics(metrics, with_reference=reference is not None)
    model = scoring.default_model(keys, model_name)

    def progress(done: int) -> None:
        if len(pairs) > 20 and sys.stderr.isatty():
            click.echo(f"\r{done} of {len(pairs)}", nl=done == len(pairs), err=True)

    frame = scoring.score_pairs(
        pairs, keys, model=model, mismatch=mismatch, background=background, problems=problems, report=progress
    )
    recipes = scoring.recipes(keys, model)
    if out is not None:
        tables.write_table(frame, out, recipes)
        click.echo(f"{len(frame)} rows in {out}", err=True)
    else:
        click.echo(scoring.as_text(frame))
    if not (frame["status"] == "ok").any():
        raise JobError(f"None of {len(frame)} images could be scored; the reasons stand in the table.")
