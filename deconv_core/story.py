"""What a first visitor is shown: one PSNR with many faces, and a picture rebuilt from ever less of its code."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from deconv_core.distortions import DISTORTIONS, MAX_SEVERITY, distort
from deconv_core.errors import DeconvError
from deconv_core.metrics.psnr import psnr

if TYPE_CHECKING:
    from deconv_core.models.inference import Reconstructor

_STEPS = 40  # halvings of the severity: far below one step of 8 bits


@dataclass(frozen=True)
class Face:
    """One picture with the PSNR that was asked for.

    Attributes:
        kind: Key of DISTORTIONS.
        severity: 0 to 5.
        pixels: float32 (H, W, C), rounded to 8 bits.
        psnr: Decibels; as near to what was asked for as 8 bits and the kind allow.
    """

    kind: str
    severity: float
    pixels: np.ndarray
    psnr: float


def same_psnr(reference: np.ndarray, decibels: float, kinds: Sequence[str], *, seed: int = 0) -> list[Face]:
    """Damage one picture in several ways, each just strong enough for one and the same PSNR.

    Args:
        reference: float32, (H, W, C), values in [0, 1].
        decibels: The PSNR to reach.
        kinds: Keys of DISTORTIONS whose PSNR falls with the severity.
        seed: For kinds that draw.

    Raises:
        DeconvError: A kind cannot reach this PSNR on this picture.
    """
    return [_face(reference, decibels, kind, seed) for kind in kinds]


def _face(reference: np.ndarray, decibels: float, kind: str, seed: int) -> Face:
    def made(severity: float) -> Face:
        pixels = distort(reference, kind, severity, seed=seed)
        return Face(kind, severity, pixels, float(psnr(reference[None], pixels[None])[0]))

    weak, strong = 0.0, MAX_SEVERITY
    best = made(strong)
    if best.psnr > decibels:
        raise DeconvError(
            f"{DISTORTIONS[kind].label} at its strongest leaves {best.psnr:.1f} dB; a PSNR of {decibels:g} dB cannot be"
            " reached. Ask for a higher PSNR, or for another kind of damage."
        )
    for _ in range(_STEPS):
        middle = made((weak + strong) / 2)
        if abs(middle.psnr - decibels) < abs(best.psnr - decibels):
            best = middle
        if middle.psnr > decibels:
            weak = middle.severity
        else:
            strong = middle.severity
    return best


@dataclass(frozen=True)
class Bottleneck:
    """A picture rebuilt from a part of its code.

    Attributes:
        channels: Code channels that were kept.
        share: Numbers kept, divided by the numbers of the picture.
        pixels: float32 (H, W, channels), values in [0, 1].
        psnr: Decibels, beside the picture.
    """

    channels: int
    share: float
    pixels: np.ndarray
    psnr: float


def narrowed(model: Reconstructor, picture: np.ndarray, counts: Sequence[int]) -> list[Bottleneck]:
    """Encode a picture, keep only the code channels that vary most, and recover it from them.

    A channel that is left out is replaced by its mean over the picture, one number.

    Args:
        model: The model.
        picture: float32, (H, W, channels), values in [0, 1].
        counts: How many channels to keep, each from 1 to those of the code.

    Raises:
        DeconvError: More channels are asked for than the code has, or fewer than one.
    """
    code = model.encode(picture[None])
    total = code.shape[-1]
    if not all(1 <= count <= total for count in counts):
        raise DeconvError(f"The code of '{model.name}' has {total} channels; {list(counts)} cannot all be kept.")
    order = np.argsort(-code.std(axis=(0, 1, 2)), kind="stable")
    mean = np.broadcast_to(code.mean(axis=(1, 2), keepdims=True), code.shape)
    height, width = picture.shape[:2]
    rows = []
    for count in counts:
        kept = np.array(mean)
        kept[..., order[:count]] = code[..., order[:count]]
        pixels = model.decode(kept, height, width)[0]
        share = count * code.shape[1] * code.shape[2] / picture.size
        rows.append(Bottleneck(count, share, pixels, float(psnr(picture[None], pixels[None])[0])))
    return rows
