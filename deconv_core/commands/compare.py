"""`compare`: many metrics over a data set made worse on purpose."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from deconv_core.commands.options import comma_list, command_line
from deconv_core.errors import DeconvError


def _numbers(context, parameter, value: str) -> tuple[float, ...]:
    """`1,3,5` as numbers."""
    try:
        return tuple(float(word) for word in comma_list(context, parameter, value))
    except ValueError as error:
        raise DeconvError(
            f"--{parameter.name} got '{value}'; expected numbers above 0 and up to 5, for example 1,3,5."
        ) from error


@click.command()
@click.option("--data", required=True, help="A picture, folder, zip, tar, CSV, Parquet, .npz, address, or: samples.")
@click.option("--include", default="*", show_default=True, help="File-name pattern within the data.")
@click.option("--model", default="", help="Model for the recon_* scores (see: models list).")
@click.option("--metrics", callback=comma_list, help="Keys, separated by commas; all that apply without it.")
@click.option("--distortions", callback=comma_list, help="Kinds, separated by commas; all of them without it.")
@click.option("--severities", default="1,2,3,4,5", show_default=True, callback=_numbers, help="Above 0, up to 5.")
@click.option("--max-images", default=0, show_default=True, help="At most so many pictures, drawn by the seed; 0: all.")
@click.option("--seed", default=0, show_default=True, help="Decides noise, lost blocks and which pictures are drawn.")
@click.option("--within-roots", is_flag=True, help="Open nothing outside the folders that pages may open.")
@click.option("--wait-turn", is_flag=True, help="Wait until no other job of this workspace is at work.")
@click.option("--low-priority", is_flag=True, help="Let everything else on this machine go first.")
@click.option("--resume", is_flag=True, help="Go on with the run in --out; its stored settings are used.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Job folder.")
def compare(resume, out, wait_turn, low_priority, **options) -> None:
    """Compare metrics over a data set: every picture under every distortion, and which metrics agree."""
    from deconv_core.comparison import CompareSettings, compare, settings_from
    from deconv_core.jobs import stderr_is_log

    if resume and (out / "settings.json").exists():
        settings = settings_from(json.loads((out / "settings.json").read_text(encoding="utf-8")))
    else:
        settings = CompareSettings(**{name: () if value is None else value for name, value in options.items()})

    def progress(done: int, total: int) -> None:
        if sys.stderr.isatty() and not stderr_is_log():
            click.echo(f"\r{done} of {total}", nl=done == total, err=True)

    summary = compare(
        settings,
        out,
        resume=resume,
        wait_turn=wait_turn,
        low_priority=low_priority,
        command=command_line(out),
        report=progress,
    )
    unread = f" ({summary['unreadable']} could not be read)" if summary["unreadable"] else ""
    click.echo(
        f"{out / 'results'}: {summary['rows']} rows from {summary['images']} pictures{unread}, "
        f"{summary['images_per_second']:.2f} images/s, peak memory {summary['peak_memory_bytes'] / 2**20:.0f} MiB"
    )
