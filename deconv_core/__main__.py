"""The command line: `python -m deconv_core COMMAND`.

Exit status 0: done; 2: the request was wrong (one line on stderr); 1: the work failed. Progress goes to stderr,
results to stdout or `--out`. Nothing heavy is imported before a command needs it, so `--help` answers at once.
"""

from __future__ import annotations

import os
from contextlib import contextmanager

import click

from deconv_core import __version__, own_process
from deconv_core.commands.agree import agree
from deconv_core.commands.audit import audit
from deconv_core.commands.compare import compare
from deconv_core.commands.degrade import degrade
from deconv_core.commands.models import models
from deconv_core.commands.score import score
from deconv_core.commands.train import train
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


for command in (score, degrade, models, train, compare, agree, audit):
    main.add_command(command)


if __name__ == "__main__":
    own_process.declare()
    main()
