"""The command as typed, without the folders of this machine."""

from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from deconv_core.commands.options import command_line


@pytest.mark.parametrize(
    ("word", "kept"),
    [
        ("/data/pics", "pics"),
        ("/data/a=b/pics", "pics"),
        ("--images=/data/pics", "--images=pics"),
        ("--images=/data/a=b/pics/", "--images=pics"),
        ("https://host/a.zip", "https://host/a.zip"),
        ("--data=s3://bucket/a/b", "--data=s3://bucket/a/b"),
        ("--metrics=psnr,ssim", "--metrics=psnr,ssim"),
    ],
)
def test_folders_are_left_out_and_addresses_stay(word, kept):
    told = []

    @click.command()
    def command():
        click.get_current_context().obj = [word]
        told.append(command_line(Path("out")))

    CliRunner().invoke(command, catch_exceptions=False)
    assert told == [f"python -m deconv_core {kept}"]
