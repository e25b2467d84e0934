"""The command line: `python -m deconv_core COMMAND`.

Exit status 0: done; 2: the request was wrong (one line on stderr); 1: the work failed. Progress goes to stderr,
results to stdout or `--out`. Nothing heavy is imported before a command needs it, so `--help` answers at once.
"""

from __future__ import annotations

import json
import os
import sys
from contextlib import contextmanager
from pathlib import Path

import click

from deconv_core import __version__
from deconv_core.errors import DeconvError, JobError


class _OneLine(click.UsageError):
    """A request that click refuses, told in one line; click itself takes four."""

    def show(self, file=None) -> None:
        message = self.format_message()
        message += "" if message.endswith((".", "?")) else "."
        command = self.ctx.command_path if self.ctx else "python -m deconv_core"
        click.echo(f"deconv_core: {message} See: {command} --help", err=True)


class _Commands(click.Group):
    """Turns the core's errors, and click's, into one line on stderr and the right exit status."""

    def make_context(self, info_name, args, parent=None, **options):
        words = list(args)
        with _told_in_one_line():
            context = super().make_context(info_name, args, parent, **options)
        context.obj = words  # as typed, for a card
        return context

    def invoke(self, context: click.Context):
        try:
            with _told_in_one_line():
                return super().invoke(context)
        except DeconvError as error:
            click.echo(f"deconv_core: {error}", err=True)
            context.exit(1 if isinstance(error, JobError) else 2)
        except KeyboardInterrupt:
            click.echo("deconv_core: stopped on request; what was done is kept.", err=True)
            context.exit(1)


@contextmanager
def _told_in_one_line():
    try:
        yield
    except click.exceptions.NoArgsIsHelpError:
        raise  # a bare `python -m deconv_core` prints the help
    except click.UsageError as error:
        raise _OneLine(error.format_message(), error.ctx) from error


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="deconv_core")
def main() -> None:
    """Judge images by reconstruction: encode, recover by deconvolution, compare."""
    # stderr is for progress and for our own sentence; TensorFlow would greet there. Set it to 0 to hear all of it.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def _comma_list(_context, _parameter, value: str | None) -> list[str] | None:
    if value is None:
        return None
    parts = [part.strip() for part in value.split(",") if part.strip()]
    if not parts:
        raise DeconvError(f"--metrics got '{value}'; expected keys separated by commas, for example psnr,ssim.")
    return list(dict.fromkeys(parts))  # one column each


@main.command()
@click.argument("candidates", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--reference", type=click.Path(path_type=Path), help="Reference file, or a folder paired by name.")
@click.option("--model", "model_name", default=None, help="Model for the recon_* scores (see: models list).")
@click.option("--metrics", callback=_comma_list, help="Keys, separated by commas; all that apply without it.")
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


@main.command()
@click.argument("image", type=click.Path(path_type=Path))
@click.option("--type", "kinds", multiple=True, required=True, help="Kind of distortion; give it twice to combine two.")
@click.option("--severity", "severities", multiple=True, type=float, required=True, help="0 to 5, one for each --type.")
@click.option("--seed", default=0, show_default=True, help="Decides noise and lost blocks.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="PNG file to write.")
def degrade(image, kinds, severities, seed, out) -> None:
    """Make an image worse in a known way."""
    from deconv_core import tables
    from deconv_core.distortions import distort_all
    from deconv_core.images import encode_png, read_image

    if len(kinds) != len(severities):
        raise DeconvError(f"Got {len(kinds)} --type and {len(severities)} --severity; give one severity for each type.")
    if out.suffix.lower() != ".png":
        raise DeconvError(f"--out got '{out.name}'; expected a .png file, so that nothing else is lost.")
    tables.check_folder(out)
    pixels = distort_all(read_image(image).pixels, list(zip(kinds, severities, strict=True)), seed=seed)
    out.write_bytes(encode_png(pixels))
    click.echo(f"{out}", err=True)


@main.group(invoke_without_command=True)
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


@main.command()
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
@click.option("--start-from", default="", help="Take over the weights of this model (name or file).")
@click.option("--seed", default=0, show_default=True)
@click.option("--name", default="", help="Name of the model.")
@click.option("--label", default="", help="Name on screen.")
@click.option("--note", default="", help="What the data are, for the card.")
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
        command=_command_line(out),
        report=progress,
    )
    validation = card["validation"]
    click.echo(
        f"{out / 'results' / card['name']}.keras: held-out PSNR {validation['psnr']:.2f} dB, "
        f"SSIM {validation['ssim']:.4f}, loss {validation['loss']:.5f}"
    )


def _roles(_context, _parameter, values: tuple[str, ...]) -> dict[str, str]:
    """`ROLE=COLUMN` pairs."""
    pairs = {}
    for text in values:
        role, equals, column = text.partition("=")
        if not equals or not column:
            raise DeconvError(f"--column got '{text}'; expected ROLE=COLUMN, for example candidate=image.")
        pairs[role.strip()] = column.strip()
    return pairs


@main.command()
@click.argument("table", type=click.Path(path_type=Path))
@click.option("--scores", help="Column of human scores; guessed by its name without it.")
@click.option("--metrics", callback=_comma_list, help="Columns, or metrics to compute; all columns that are metrics.")
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
        files = agree_command.write(outcome, out, command=_command_line(out))
        click.echo(f"{files[0]} and {len(files) - 1} files beside it", err=True)


def _command_line(out: Path) -> str:
    """The command as typed, with the folders of this machine left out: a card travels."""
    import shlex

    words = ["python", "-m", "deconv_core"]
    for word in click.get_current_context().find_root().obj:
        words.append(Path(word).name if "/" in word else word)
    return shlex.join(words)


if __name__ == "__main__":
    main()
