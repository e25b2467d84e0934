"""`audit`: the bad pictures of a data set, with evidence."""

from __future__ import annotations

import json
from pathlib import Path

import click

from deconv_core import own_process
from deconv_core.commands.options import comma_list, command_line


@click.command()
@click.argument("data", metavar="SOURCE", required=False, default="")
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
@click.option("--thresholds", callback=comma_list, help="Save with the set, such as dark=60,blurry=5%.")
@click.option("--points", callback=comma_list, help="Points of the quality risk, saved with the set: blurry=80,dark=0.")
@click.option(
    "--decisions",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Save with the set the decisions of a CSV with the columns image and decision (keep, drop, unsure).",
)
@click.option(
    "--surprise", type=click.IntRange(1), help="Draw so many pictures that passed, to estimate the miss rate."
)
@click.option("--compare-with", type=click.Path(path_type=Path), help="Tell how this set differs from that audit's.")
@click.option("--outputs-only", is_flag=True, help="Measure nothing; write lists, tables and report in --out anew.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Job folder.")
def audit(data, checks, scheduler, resume, wait_turn, low_priority, outputs_only, out, **options) -> None:
    """Find what is wrong with the pictures of a data set.

    SOURCE may be left out with --resume and --outputs-only: the audit in --out knows it.
    """
    from deconv_core.errors import DeconvError

    chosen = {name: options.pop(name) for name in ("thresholds", "points", "decisions", "surprise", "compare_with")}
    if outputs_only:
        if not (out / "results" / "images.parquet").exists():
            raise DeconvError(
                f"'{out.name}' holds no finished audit; leave --outputs-only out, or go on with --resume."
            )
    else:
        _run(data, checks, scheduler, resume, wait_turn, low_priority, out, options)
    if outputs_only or any(value is not None for value in chosen.values()):
        _choose(out, outputs_only, **chosen)


def _run(data, checks, scheduler, resume, wait_turn, low_priority, out, options) -> None:
    from dataclasses import replace

    from deconv_core.audit.checks import CHECKS
    from deconv_core.audit.run import AuditSettings, run_audit, settings_from
    from deconv_core.jobs import stderr_is_log

    if resume and (out / "settings.json").exists():
        settings = settings_from(json.loads((out / "settings.json").read_text(encoding="utf-8")))
        if scheduler:  # where it is done may change, what is done may not
            settings = replace(settings, scheduler=scheduler)
    elif not data:
        raise click.UsageError("Missing argument 'SOURCE'.")
    else:
        settings = AuditSettings(data=data, checks=tuple(checks or ()), scheduler=scheduler, **options)

    own_process.look_for_circles_less_often()

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
    click.echo(f"{out / 'results'}: report.html, images.csv, clean.txt, bad.txt, move.sh where files can be moved")


def _choose(out: Path, outputs_only: bool, *, thresholds, points, decisions, surprise, compare_with) -> None:
    """What a person chooses for a finished audit, as on its page; then the results as they stand with it."""
    from deconv_core.audit import export, report, review
    from deconv_core.audit.table import AuditTable

    table = AuditTable(out)
    if thresholds is not None:
        review.save_thresholds(out, {**review.read_thresholds(out), **_thresholds(table, thresholds)})
    if points is not None:
        found = {key: float(value) for key, value in _assigned("points", points, allow_percent=False)}
        review.save_weights(out, {**review.read_weights(out), **found})
    if decisions is not None:
        taken, unknown = review.read_decisions(decisions, table)
        review.Review(out).decide_all(taken)
        click.echo(f"{len(taken):,} decisions taken over from {decisions.name}, {unknown:,} names not in the audit")
    choice = review.saved_choice(out)
    if surprise is not None:
        drawn = review.read_surprise(out)
        seed = drawn["seed"] + 1 if drawn else int(table.settings.get("seed", 0))
        for name in review.draw_surprise(
            out, table, surprise, seed=seed, thresholds=choice.thresholds, weights=choice.weights
        ):
            click.echo(name)
    if outputs_only or thresholds is not None or points is not None or decisions is not None:
        for sentence in export.write_results(out, table, choice):
            click.echo(sentence, err=True)
        is_bad = export.bad(table, choice)
        click.echo(f"{out / 'results'}: {int((~is_bad).sum()):,} clean, {int(is_bad.sum()):,} bad")
        if told := report.miss_sentence(out, table, choice):
            click.echo(told)
    if compare_with is not None:
        _compare(out, table, compare_with, choice)


def _compare(out: Path, table, other: Path, choice) -> None:
    from deconv_core.audit.drift import compare_audits, write_drift
    from deconv_core.audit.table import AuditTable

    first = AuditTable(other)
    found = compare_audits(first, table, thresholds=choice.thresholds, weights=choice.weights)
    path = write_drift(out, found, first, table)
    for line in (found.paragraph, *found.left_out, *found.pairs["sentence"], *found.columns["sentence"], path):
        click.echo(line)


def _thresholds(table, words: list[str]):
    """`dark=60` as a value, `blurry=5%` as the value that flags so many percent of the pictures."""
    from deconv_core.audit.review import Threshold

    found = {}
    for key, text in _assigned("thresholds", words, allow_percent=True):
        if text.endswith("%"):
            share = float(text[:-1])
            found[key] = Threshold(table.threshold_at(key, share), share)
        else:
            found[key] = Threshold(float(text))
    return found


def _assigned(option: str, words: list[str], *, allow_percent: bool) -> list[tuple[str, str]]:
    """`a=1` as ("a", "1"), the number being one."""
    from deconv_core.errors import DeconvError

    found = []
    for word in words:
        key, _, text = word.partition("=")
        try:
            float(text.removesuffix("%") if allow_percent else text)
        except ValueError as error:
            share = " or 5%" if allow_percent else ""
            raise DeconvError(
                f"--{option} got '{word}'; expected a check and a number, such as dark=60{share}."
            ) from error
        found.append((key.strip(), text.strip()))
    return found
