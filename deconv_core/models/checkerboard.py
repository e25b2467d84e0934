"""Checkerboard meter: how much of a decoder's error repeats with the period of its upsampling.

A decoder that enlarges by a stride treats the pixels of one block differently, and the difference repeats from block
to block. In the spectrum of the error such a pattern stands in single lines, at multiples of 1 / period, above whatever
the neighbouring frequencies hold. On the artefact: Odena, Dumoulin, Olah (2016), "Deconvolution and checkerboard
artifacts", doi:10.23915/distill.00003. The measure is ours.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from deconv_core.errors import ImageError

NEIGHBOURS = 3  # frequencies on each side of a line that tell what would stand there without a pattern
SMALLEST_BLOCKS = 2 * NEIGHBOURS + 2  # across the picture: lines stand so many frequencies apart
SIGNIFICANT = 3.0  # standard deviations of the neighbours' mean power
VISIBLE_PER_CENT = 5.0  # of the error's deviation; below it the pattern drowns in the rest of the error


def checkerboard(model: Any, images: np.ndarray) -> dict[str, Any]:
    """Share of the reconstruction error that repeats with each period of the decoder.

    A period counts only what is its own: what repeats every 2 pixels is not counted again under 4.

    Args:
        model: Anything with `reconstruct(batch)` and `stride`, such as a `Reconstructor`.
        images: float32, shape (N, H, W, channels), values in [0, 1]; H and W at least 10 times the stride.

    Returns:
        `shares`: period in pixels -> share in per cent of the error's standard deviation; `floors`: period -> what this
        many pixels would show by chance, in the same unit; `stride`; `verdict`: one sentence.

    Raises:
        ImageError: Wrong shape, or pictures too small.
    """
    if images.ndim != 4 or not images.size:
        raise ImageError(f"The checkerboard meter needs pictures as (N, H, W, channels); got {images.shape}.")
    stride = int(model.stride)
    smallest = (SMALLEST_BLOCKS + 2) * stride
    if min(images.shape[1:3]) < smallest:
        raise ImageError(
            f"The checkerboard meter needs pictures of at least {smallest}x{smallest} pixels for stride {stride}; "
            f"got {images.shape[1:3]}. Take larger ones."
        )
    error = model.reconstruct(images).astype(np.float64) - images
    shares, floors = periodic_shares(error[:, stride:-stride, stride:-stride], stride)
    return {"shares": shares, "floors": floors, "stride": stride, "verdict": _verdict(shares, floors)}


def periodic_shares(error: np.ndarray, stride: int) -> tuple[dict[int, float], dict[int, float]]:
    """`checkerboard` on an error that is already there.

    With P the power spectrum averaged over pictures and channels, without its mean: for the lines l of one period,
    share = 100 sqrt(sum_l max(P(l) - B(l), 0) / sum P), B(l) the mean over the frequencies around the line. The sum is
    cut at zero as a whole, not line by line, which would turn noise into a pattern.

    Args:
        error: Shape (N, H, W, channels); cut to multiples of `stride`, so that lines fall on whole frequencies.
        stride: Pixels after which the decoder repeats itself.

    Returns:
        Period -> share, and period -> the share that `SIGNIFICANT` standard deviations of chance would make, in per
        cent of the error's standard deviation. Both are 0 for an error that is constant.
    """
    _, height, width, _ = error.shape
    height, width = height // stride * stride, width // stride * stride
    error = error[:, :height, :width]
    error = error - error.mean(axis=(1, 2), keepdims=True)
    power = (np.abs(np.fft.fft2(error, axes=(1, 2))) ** 2).mean(axis=(0, 3))
    total = power.sum()
    pictures = error.shape[0]  # channels of a picture err together, so they do not count as more evidence
    excess: dict[int, float] = {period: 0.0 for period in range(2, stride + 1) if stride % period == 0}
    variance = dict.fromkeys(excess, 0.0)
    for down in range(stride):
        for across in range(stride):
            period = math.lcm(stride // math.gcd(down, stride), stride // math.gcd(across, stride))
            if period == 1:
                continue
            line, around = _line(power, down * height // stride, across * width // stride)
            excess[period] += line - around
            variance[period] += around**2 / pictures  # power of noise deviates by as much as its mean
    if total <= 0:
        return dict.fromkeys(excess, 0.0), dict.fromkeys(excess, 0.0)
    # Lines of a real signal come in mirrored pairs that deviate together, hence the 2.
    floors = {period: 100 * math.sqrt(SIGNIFICANT * math.sqrt(2 * v) / total) for period, v in variance.items()}
    return {period: 100 * math.sqrt(max(value, 0.0) / total) for period, value in excess.items()}, floors


def _line(power: np.ndarray, row: int, column: int) -> tuple[float, float]:
    """Power at one frequency, and the mean of those around it (the row and column of frequency 0 stay out)."""
    height, width = power.shape
    rows = (row + np.arange(-NEIGHBOURS, NEIGHBOURS + 1)) % height
    columns = (column + np.arange(-NEIGHBOURS, NEIGHBOURS + 1)) % width
    window = power[np.ix_(rows, columns)]
    # A line on an axis is compared along that axis alone: edges of pictures pile power up there.
    if row == 0:
        window = window[NEIGHBOURS : NEIGHBOURS + 1]
    elif column == 0:
        window = window[:, NEIGHBOURS : NEIGHBOURS + 1]
    line = power[row, column]
    return float(line), float((window.sum() - line) / (window.size - 1))


def _verdict(shares: Mapping[int, float], floors: Mapping[int, float]) -> str:
    if not shares:
        return "The model does not enlarge, so there is nothing that could repeat."
    period = max(shares, key=lambda key: shares[key])
    share = shares[period]
    if share <= floors[period]:
        return "No pattern of the decoder's strides stands out of the error."
    strength = "can be visible" if share >= VISIBLE_PER_CENT else "is far too weak to be seen"
    return f"A pattern repeating every {period} pixels makes {share:.2g} % of the error's deviation: it {strength}."
