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
@click.option("--calibrate", default="", help="Make a metric of this name from the features and the human scores.")
@click.option(
    "--calibrate-on",
    type=click.Choice(["metrics", "residuals"]),
    default="metrics",
    show_default=True,
    help="Make it from the metrics that are compared, or from what --model cannot rebuild of each picture.",
)
@click.option("--wait-turn", is_flag=True, help="Wait until no other job of this workspace is at work.")
@click.option("--low-priority", is_flag=True, help="Let everything else on this machine go first.")
@click.option("--resume", is_flag=True, help="Go on with the run in --out; scores it had computed are taken over.")
@click.option(
    "--reuse", type=click.Path(path_type=Path), help="Job folder whose scores of the same pictures are taken over."
)
@click.option("--out", type=click.Path(path_type=Path), help="Job folder for tables, curves and the report.")
def agree(
    table,
    direction,
    model_name,
    resamples,
    seed,
    calibrate,
    calibrate_on,
    out,
    resume,
    wait_turn,
    low_priority,
    reuse,
    **request,
) -> None:
    """Compare metrics with the human scores of a table, or of a known data set's folder."""
    from deconv_core import agree_command, calibrated_metrics

    if resamples < 0:
        raise DeconvError(f"--resamples got {resamples}; expected 0 or more.")
    if out is None and (resume or wait_turn or low_priority or reuse):
        raise DeconvError(
            "--resume, --reuse, --wait-turn and --low-priority belong to a job folder; name it with --out."
        )
    if calibrate:
        calibrated_metrics.check_name(calibrate)

    def tell(line: str) -> None:
        click.echo(line, err=True)

    def progress(done: int, total: int) -> None:
        if sys.stderr.isatty():
            click.echo(f"\r{done} of {total}", nl=done == total, err=True)

    options = {
        "higher_is_better": None if direction is None else direction == "higher",
        "model_name": model_name,
        "resamples": resamples,
        "seed": seed,
        "report": progress,
    }
    if out is None:
        plan = agree_command.prepare(table, **request)
        for line in plan.lines:
            tell(line)
        outcome = agree_command.compute(plan, **options)
        click.echo(outcome.text)
        if calibrate:
            card = calibrated_metrics.calibrate_outcome(
                outcome,
                calibrate,
                on=calibrate_on,
                model_name=model_name,
                images=request["images"],
                resamples=resamples,
                seed=seed,
                command=command_line(table),
                report=lambda step, done, total: progress(done, total) if total else None,
            )
            click.echo(calibrated_metrics.as_text(card))
        return
    outcome = agree_command.run(
        table,
        out,
        resume=resume,
        wait_turn=wait_turn,
        low_priority=low_priority,
        reuse=reuse,
        command=command_line(out),
        calibrate=calibrate,
        calibrate_on=calibrate_on,
        tell=tell,
        **options,
        **request,
    )
    click.echo(outcome.text)
    if calibrate:
        click.echo(calibrated_metrics.as_text(calibrated_metrics.saved_card(calibrate)))
    click.echo(f"{out / 'results' / 'agreement.csv'} and what stands beside it", err=True)
