"""`audit`: the bad pictures of a data set, with evidence."""

from __future__ import annotations

import json
from pathlib import Path

import click

from deconv_core.commands.options import comma_list, command_line


@click.command()
@click.argument("data", metavar="SOURCE")
@click.option("--include", default="*", show_default=True, help="File-name pattern within the source.")
@click.option("--checks", callback=comma_list, help="Checks, comma-separated.  [default: all that can be made]")
@click.option("--model", default="", help="Also rebuild every picture with this model (name or file).")
@click.option("--quality", default="", help="A calibrated metric that needs no reference, for predicted quality.")
@click.option(
    "--max-side", default=256, show_default=True, help="Longer side for the model, pixels; 0: whole pictures."
)
@click.option("--scheduler", default="", help="Dask scheduler such as tcp://host:8786, or: here.")
@click.option("--seed", default=0, show_default=True, help="Decides which passes 'surprise me' draws.")
@click.option("--within-roots", is_flag=True, help="Open nothing outside the folders that pages may open.")
@click.option("--wait-turn", is_flag=True, help="Wait until no other job of this workspace is at work.")
@click.option("--low-priority", is_flag=True, help="Let everything else on this machine go first.")
@click.option("--resume", is_flag=True, help="Go on with the audit in --out; its stored settings are used.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Job folder.")
def audit(data, checks, scheduler, resume, wait_turn, low_priority, out, **options) -> None:
    """Find what is wrong with the pictures of a data set."""
    from dataclasses import replace

    from deconv_core.audit.checks import CHECKS
    from deconv_core.audit.run import AuditSettings, run_audit, settings_from
    from deconv_core.jobs import stderr_is_log

    if resume and (out / "settings.json").exists():
        settings = settings_from(json.loads((out / "settings.json").read_text(encoding="utf-8")))
        if scheduler:  # where it is done may change, what is done may not
            settings = replace(settings, scheduler=scheduler)
    else:
        settings = AuditSettings(data=data, checks=tuple(checks or ()), scheduler=scheduler, **options)

    def progress(now) -> None:
        if not stderr_is_log():
            click.echo(now.message, err=True)

    summary = run_audit(
        settings,
        out,
        resume=resume,
        wait_turn=wait_turn,
        low_priority=low_priority,
        command=command_line(out),
        report=progress,
    )
    for key, count in sorted(summary["counts"].items(), key=lambda entry: -entry[1]):
        if count:
            click.echo(f"{CHECKS[key].label:<36}{count:>9,}{count / summary['images']:>8.1%}")
    click.echo(f"{out / 'results' / 'images.parquet'}: {summary['images']:,} pictures, {summary['flagged']:,} flagged")
