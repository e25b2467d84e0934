"""`audit`: the bad pictures of a data set, with evidence."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
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

    asked = {name: options.pop(name) for name in ("thresholds", "points", "decisions", "surprise", "compare_with")}
    other = asked.pop("compare_with")
    if outputs_only and not (out / "results" / "images.parquet").exists():
        raise DeconvError(f"'{out.name}' holds no finished audit; leave --outputs-only out, or go on with --resume.")
    settings = _settings(data, checks, scheduler, resume or outputs_only, out, options)
    # What cannot be done is refused before anything is measured.
    choices = _read_choices(settings.chosen_checks(), **asked)
    if other is not None:
        _table(other)
    if outputs_only:
        _choose(choices, out)
        _write_results(out)
    else:
        _run(settings, resume, wait_turn, low_priority, out, choices)
    if outputs_only or not choices.is_empty:
        _tell(out)
    if other is not None:
        _compare(out, other)


def _settings(data, checks, scheduler, stored: bool, out, options):
    """Those of the audit in the folder, or those asked for."""
    from dataclasses import replace

    from deconv_core.audit.run import AuditSettings, settings_from

    if stored and (out / "settings.json").exists():
        settings = settings_from(json.loads((out / "settings.json").read_text(encoding="utf-8")))
        # Where it is done may change, what is done may not.
        return replace(settings, scheduler=scheduler) if scheduler else settings
    if not data:
        raise click.UsageError("Missing argument 'SOURCE'.")
    return AuditSettings(data=data, checks=tuple(checks or ()), scheduler=scheduler, **options)


def _run(settings, resume, wait_turn, low_priority, out, choices) -> None:
    from functools import partial

    from deconv_core.audit.checks import CHECKS
    from deconv_core.audit.run import run_audit
    from deconv_core.jobs import stderr_is_log

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
        choose=partial(_choose, choices),
    )
    for key, count in sorted(summary["counts"].items(), key=lambda entry: -entry[1]):
        if count:
            click.echo(f"{CHECKS[key].label:<36}{count:>9,}{count / summary['images']:>8.1%}")
    click.echo(f"{out / 'results' / 'images.parquet'}: {summary['images']:,} pictures, {summary['flagged']:,} flagged")
    click.echo(f"{out / 'results'}: report.html, images.csv, clean.txt, bad.txt, move.sh where files can be moved")


@dataclass(frozen=True)
class _Choices:
    """What a person chooses for an audit, as on its page; thresholds by a share get their value from its pictures."""

    thresholds: dict
    points: dict[str, float]
    decisions: dict[str, str]
    surprise: int | None

    @property
    def is_empty(self) -> bool:
        """Whether nothing is chosen."""
        return not (self.thresholds or self.points or self.decisions or self.surprise)


def _read_choices(checks, *, thresholds, points, decisions, surprise) -> _Choices:
    from deconv_core.audit.review import read_decisions
    from deconv_core.audit.risk import check_weights

    found = {key: float(text) for key, text in _assigned("points", points or [], allow_percent=False)}
    check_weights(found)
    decided = {} if decisions is None else read_decisions(decisions)
    return _Choices(_thresholds(checks, thresholds or []), found, decided, surprise)


def _choose(choices: _Choices, out: Path) -> None:
    """Save what was chosen, once all pictures are measured."""
    from deconv_core.audit import review

    if choices.is_empty:
        return
    table = _table(out)
    if choices.thresholds:
        review.save_thresholds(out, {**review.read_thresholds(out), **choices.thresholds})
        review.find_shares(out, table)
    if choices.points:
        review.save_weights(out, {**review.read_weights(out), **choices.points})
    if choices.decisions:
        taken = review.of_the_set(choices.decisions, table)
        review.Review(out).decide_all(taken)
        unknown = len(choices.decisions) - len(taken)
        click.echo(f"Decisions taken over: {len(taken):,}; names that are not in the audit: {unknown:,}")
    if choices.surprise:
        choice, drawn = review.saved_choice(out), review.read_surprise(out)
        seed = drawn["seed"] + 1 if drawn else int(table.settings.get("seed", 0))
        sample = {"seed": seed, "thresholds": choice.thresholds, "weights": choice.weights}
        for name in review.draw_surprise(out, table, choices.surprise, **sample):
            click.echo(name)


def _write_results(out: Path) -> None:
    from deconv_core.audit import export

    for sentence in export.write_results(out, _table(out)):
        click.echo(sentence, err=True)


def _tell(out: Path) -> None:
    """How many are clean and bad by what was chosen, and how many of the bad ones were probably missed."""
    from deconv_core.audit import export, report, review

    table, choice = _table(out), review.saved_choice(out)
    is_bad = export.bad(table, choice)
    click.echo(f"{out / 'results'}: {int((~is_bad).sum()):,} clean, {int(is_bad.sum()):,} bad")
    if told := report.miss_sentence(out, table, choice):
        click.echo(told)


def _compare(out: Path, other: Path) -> None:
    from deconv_core.audit.drift import compare_audits, write_drift
    from deconv_core.audit.review import saved_choice

    first, table, choice = _table(other), _table(out), saved_choice(out)
    found = compare_audits(first, table, thresholds=choice.thresholds, weights=choice.weights)
    path = write_drift(out, found, first, table)
    for line in (found.paragraph, *found.left_out, *found.pairs["sentence"], *found.columns["sentence"], path):
        click.echo(line)


def _table(folder: Path):
    from deconv_core.audit.table import AuditTable

    return AuditTable(folder)


def _thresholds(checks, words: list[str]) -> dict:
    """`dark=60` as a value, `blurry=5%` as the share that is to be flagged, its value still to be found."""
    from deconv_core.audit.checks import CHECKS
    from deconv_core.audit.review import Threshold
    from deconv_core.errors import DeconvError

    found = {}
    with_scale = [key for key in checks if CHECKS[key].flags_when != "set"]
    for key, text in _assigned("thresholds", words, allow_percent=True):
        if key not in with_scale:
            raise DeconvError(
                f"--thresholds got '{key}'; expected a check with a scale that is made here: {', '.join(with_scale)}."
            )
        share = float(text[:-1]) if text.endswith("%") else None
        if share is not None and not 0 <= share <= 100:
            raise DeconvError(f"--thresholds got '{key}={text}'; expected a share from 0% to 100%.")
        found[key] = Threshold(float(text)) if share is None else Threshold(CHECKS[key].threshold, share)
    return found


def _assigned(option: str, words: list[str], *, allow_percent: bool) -> list[tuple[str, str]]:
    """`a=1` as ("a", "1"), the number being one."""
    from deconv_core.errors import DeconvError

    found = []
    for word in words:
        key, _, text = word.partition("=")
        try:
            number = float(text.strip().removesuffix("%") if allow_percent else text)
        except ValueError:
            number = math.nan
        if not math.isfinite(number):
            share = " or 5%" if allow_percent else ""
            raise DeconvError(f"--{option} got '{word}'; expected a check and a number, such as dark=60{share}.")
        found.append((key.strip(), text.strip()))
    return found
