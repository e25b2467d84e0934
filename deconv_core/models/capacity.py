"""Capacity: does a model copy whatever it is shown, or blur everything away?

An autoencoder that copies finds no picture odd, and one that blurs everything finds blank pictures best. Neither is
visible in its validation score. Measured here: how much of white noise comes back (nothing in noise can be guessed, so
what returns was copied), how much of each pattern size of photographs comes back, and whether blank or blurred pictures
come back better than the photographs themselves, which would make "recovered with itself" a false judge.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from deconv_core.distortions import distort
from deconv_core.metrics.psnr import psnr
from deconv_core.samples import digits, photographs

NUM_PICTURES = 20
SIDE = 176  # pixels
# Shares of what was shown that comes back.
COPIES, COPIES_MUCH = 0.9, 0.5
BLURS_FINE, BLURS_ALL = 0.1, 0.5
_BLUR = 2.5  # severity
_SEED = 0


def trial_pictures(card: Mapping[str, Any], num_pictures: int = NUM_PICTURES) -> np.ndarray:
    """Pictures to try a model on, float32 (N, H, W, channels): drawn digits for the introductory network, else crops
    of the bundled photographs."""
    from deconv_core.images import to_channels

    channels = int(card["channels"])
    if card.get("architecture") == "article" and channels == 1:
        return digits(num_pictures, seed=1)
    return np.stack([to_channels(picture, channels) for picture in photographs(num_pictures, SIDE)])


def capacity(model: Any, pictures: np.ndarray | None = None) -> dict[str, Any]:
    """What a model lets through.

    Args:
        model: A `Reconstructor`.
        pictures: float32, shape (N, H, W, channels), values in [0, 1]; `trial_pictures` of its card without it.

    Returns:
        Plain values: `noise_psnr` (dB, R of white noise with the noise), `noise_kept` (0 to 1: share of the noise's
        variance that came back), `code_share` (numbers in the code per number in the picture, None where the code is
        not known), `picture_psnr` (dB), `blank_psnr` (dB, of guessing each picture's mean colour), `kept` (band ->
        share of it that comes back), `blank_wins`, `blurred_wins` (pictures of which a blank or blurred version comes
        back better than the picture itself), `pictures`, `verdict` ("copies", "blurs" or "between"), `sentences` and
        `warnings` (a subset of the sentences).
    """
    pictures = trial_pictures(model.card) if pictures is None else pictures
    rebuilt = model.reconstruct(pictures)
    noise = np.random.default_rng(_SEED).random(pictures[:4].shape, np.float32)
    noise_rebuilt = model.reconstruct(noise)
    # 1 - error / variance of the noise, which is 1 / 12: a guess of middle grey gets 0, a copy 1.
    noise_kept = float(np.clip(1 - 12 * np.mean((noise_rebuilt - noise) ** 2, dtype=np.float64), 0, 1))
    means = np.broadcast_to(pictures.mean(axis=(1, 2), keepdims=True), pictures.shape)
    blank = np.ascontiguousarray(means, np.float32)
    blurred = np.stack([distort(picture, "gaussian_blur", _BLUR) for picture in pictures])
    own = psnr(pictures, rebuilt)
    found: dict[str, Any] = {
        "noise_psnr": _rounded(float(psnr(noise, noise_rebuilt).mean())),
        "noise_kept": _rounded(noise_kept, 4),
        "code_share": code_share(model.card),
        "picture_psnr": _rounded(float(own.mean())),
        "blank_psnr": _rounded(float(psnr(pictures, blank).mean())),
        "kept": _kept(pictures, rebuilt),
        "blank_wins": int(np.count_nonzero(psnr(blank, model.reconstruct(blank)) >= own)),
        "blurred_wins": int(np.count_nonzero(psnr(blurred, model.reconstruct(blurred)) >= own)),
        "pictures": len(pictures),
    }
    return found | _judge(found)


def code_share(card: Mapping[str, Any]) -> float | None:
    """Numbers in a model's code for each number in its picture; None where the code is not known."""
    code, stride, channels = (card.get(key) for key in ("code_channels", "stride", "channels"))
    return _rounded(code / (stride**2 * channels), 4) if code and stride and channels else None


def _kept(pictures: np.ndarray, rebuilt: np.ndarray) -> dict[str, float]:
    """Share of each band of pattern sizes that comes back: 1 - error / what was there, over all pictures."""
    from deconv_core.spectrum import BANDS, SMALLEST_SIDE, band_energies

    if min(pictures.shape[1:3]) < SMALLEST_SIDE:
        return {}
    tables = [band_energies(x, y) for x, y in zip(pictures, rebuilt, strict=True)]
    kept = {}
    for key in BANDS:
        there = sum(float(table.loc[key, "reference"]) for table in tables)
        lost = sum(float(table.loc[key, "error"]) for table in tables)
        if there > 0:
            kept[key] = _rounded(max(0.0, 1 - lost / there), 4)
    return kept


def _judge(found: Mapping[str, Any]) -> dict[str, Any]:
    noise, kept, count = found["noise_kept"], found["kept"], found["pictures"]
    good, bad = [], []
    share = f" Its code holds {found['code_share']:.2g} numbers for each of the picture." if found["code_share"] else ""
    verdict = "between"
    if noise >= COPIES:
        verdict = "copies"
        bad.append(
            f"It copies: {noise:.0%} of white noise comes back, so damage passes through and its reconstruction "
            f"says little about a picture.{share}"
        )
    elif noise >= COPIES_MUCH:
        bad.append(f"It copies much: {noise:.0%} of white noise comes back.{share}")
    else:
        good.append(f"It does not copy: of white noise, where nothing can be guessed, {noise:.0%} comes back.{share}")
    gain = found["picture_psnr"] - found["blank_psnr"]
    fine, shapes = kept.get("fine"), kept.get("shapes")
    if gain < 1 or (shapes is not None and shapes < BLURS_ALL):
        verdict = "blurs"
        bad.append(
            f"It blurs everything: what comes back is {gain:.1f} dB better than one flat colour for each picture"
            + (f", and of shapes of 8 to 16 pixels {shapes:.0%} returns." if shapes is not None else ".")
        )
    elif fine is not None and fine < BLURS_FINE:
        bad.append(f"Fine texture is lost: of patterns of 2 to 4 pixels {fine:.0%} comes back, of shapes {shapes:.0%}.")
    elif fine is not None:
        good.append(f"It keeps {fine:.0%} of patterns of 2 to 4 pixels and {shapes:.0%} of those of 8 to 16 pixels.")
    else:
        good.append(f"What comes back is {gain:.1f} dB better than one flat colour for each picture.")
    wins = {"blank": found["blank_wins"], "blurred": found["blurred_wins"]}
    if any(wins.values()):
        told = " and ".join(f"{kind} for {number} of {count}" for kind, number in wins.items() if number)
        bad.append(
            f"Pictures with less in them come back better than the originals ({told}): recovered with itself is no "
            "measure of quality with this model."
        )
    return {"verdict": verdict, "sentences": [*bad, *good], "warnings": bad}


def _rounded(value: float, digits: int = 2) -> float:
    """For a card, which is JSON and knows no infinity; 120 dB is more than any difference in 8 bits."""
    return round(min(value, 120.0), digits) if math.isfinite(value) else 120.0
