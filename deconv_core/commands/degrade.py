"""`degrade`: an image made worse in a known way."""

from __future__ import annotations

from pathlib import Path

import click

from deconv_core.errors import DeconvError


@click.command()
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
