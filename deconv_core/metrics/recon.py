"""The reconstruction scores: what a model R = D(E(.)) makes of the pictures, compared with PSNR, SSIM and in its code.

With x the true picture and y the picture to judge: `recon_true` compares R(y) with x, `recon_pair` R(y) with R(x), and
`recon_self` R(y) with y. A grey model sees luma, a colour model sees a grey picture repeated; the comparison is made in
the model's channels.
"""

from collections.abc import Callable

import numpy as np

from deconv_core.errors import ModelError
from deconv_core.metrics._checks import check_batch, check_model, check_pair
from deconv_core.metrics.ms_ssim import SMALLEST_SIDE as MS_SSIM_SIDE
from deconv_core.metrics.ms_ssim import ms_ssim, ms_ssim_map
from deconv_core.metrics.psnr import psnr, psnr_map
from deconv_core.metrics.remembered import remembered
from deconv_core.metrics.ssim import WINDOW, ssim, ssim_map

# Energy of the reference's code below which it counts as flat; codes of photographs reach 10^2 and more.
_FLAT_CODE = 1e-8


def recon_true_psnr(reference: np.ndarray, candidate: np.ndarray, *, model: object) -> np.ndarray:
    """PSNR of R(y) with x, in decibels: how much of the true picture comes back from the picture to judge?

    The method as first described. Not infinite for y = x (it is then the model's own quality), and a lightly noised y
    can beat x, because the model removes the noise.

    Args:
        reference: Originals x, float32, shape (N, H, W, C), values in [0, 1].
        candidate: Pictures y, same shape.
        model: Anything with `reconstruct(batch)`.

    Returns:
        float64 array of shape (N,); higher is better.

    Raises:
        ImageError: Shapes differ, or values leave [0, 1].
        ModelError: The model cannot reconstruct.
    """
    return _true(psnr, "recon_true_psnr", reference, candidate, model)


def recon_true_ssim(reference: np.ndarray, candidate: np.ndarray, *, model: object) -> np.ndarray:
    """SSIM of R(y) with x: arguments and errors as `recon_true_psnr`; float64 (N,) in [-1, 1], higher is better."""
    return _true(ssim, "recon_true_ssim", reference, candidate, model, WINDOW)


def recon_pair_psnr(reference: np.ndarray, candidate: np.ndarray, *, model: object) -> np.ndarray:
    """PSNR of R(y) with R(x), in decibels: how different are the pictures to the model?

    Infinite for y = x and falling with damage, but blind to whatever R throws away.

    Args:
        reference: Originals x, float32, shape (N, H, W, C), values in [0, 1].
        candidate: Pictures y, same shape.
        model: Anything with `reconstruct(batch)`.

    Returns:
        float64 array of shape (N,); higher is better, identical pairs give infinity.

    Raises:
        ImageError: Shapes differ, or values leave [0, 1].
        ModelError: The model cannot reconstruct.
    """
    return _pair(psnr, "recon_pair_psnr", reference, candidate, model)


def recon_pair_ssim(reference: np.ndarray, candidate: np.ndarray, *, model: object) -> np.ndarray:
    """SSIM of R(y) with R(x): arguments and errors as `recon_pair_psnr`; float64 (N,) in [-1, 1], higher is better."""
    return _pair(ssim, "recon_pair_ssim", reference, candidate, model, WINDOW)


def recon_pair_ms_ssim(reference: np.ndarray, candidate: np.ndarray, *, model: object) -> np.ndarray:
    """Multi-scale SSIM of R(y) with R(x), sides of at least 161 pixels; float64 (N,) in [0, 1], higher is better."""
    return _pair(ms_ssim, "recon_pair_ms_ssim", reference, candidate, model, MS_SSIM_SIDE)


def recon_pair_code(reference: np.ndarray, candidate: np.ndarray, *, model: object) -> np.ndarray:
    """Relative distance of the codes E(x) and E(y): how different are the pictures inside the model?

    sqrt(sum (E(x) - E(y))^2 / (sum (E(x) - m)^2 + 1e-8)), with m the mean of E(x) over all places, channel by channel.
    A distance of 1 is a change as large as all the variation in the reference's code. Flat references give large
    values.

    Args:
        reference: Originals x, float32, shape (N, H, W, C), values in [0, 1].
        candidate: Pictures y, same shape.
        model: Anything with `encode(batch)` that returns codes of shape (N, h, w, c).

    Returns:
        float64 array of shape (N,), 0 and more; lower is better, identical pairs give exactly 0.

    Raises:
        ImageError: Shapes differ, or values leave [0, 1].
        ModelError: The model cannot encode, or its codes have another shape.
    """
    code_x, code_y = _codes(reference, candidate, model)
    spread = np.square(code_x - code_x.mean(axis=(1, 2), keepdims=True)).sum(axis=(1, 2, 3))
    return np.sqrt(np.square(code_x - code_y).sum(axis=(1, 2, 3)) / (spread + _FLAT_CODE))


def recon_self_psnr(reference: np.ndarray | None, candidate: np.ndarray, *, model: object) -> np.ndarray:
    """PSNR of R(y) with y, in decibels: how far is the picture from what the model knows?

    Never a measure of quality: an ordinary autoencoder finds blur and black frames easy, so they score high.

    Args:
        reference: Not used; None is welcome.
        candidate: Pictures y, float32, shape (N, H, W, C), values in [0, 1].
        model: Anything with `reconstruct(batch)`.

    Returns:
        float64 array of shape (N,); higher is nearer to what the model knows.

    Raises:
        ImageError: Values leave [0, 1].
        ModelError: The model cannot reconstruct.
    """
    return _self(psnr, "recon_self_psnr", candidate, model)


def recon_self_ssim(reference: np.ndarray | None, candidate: np.ndarray, *, model: object) -> np.ndarray:
    """SSIM of R(y) with y: arguments, errors and warning as `recon_self_psnr`; float64 (N,) in [-1, 1]."""
    return _self(ssim, "recon_self_ssim", candidate, model, WINDOW)


def recon_true_psnr_map(reference: np.ndarray, candidate: np.ndarray, *, model: object) -> np.ndarray:
    """Absolute error of R(y) against x at each pixel: float32 (N, H, W)."""
    return _true(psnr_map, "recon_true_psnr", reference, candidate, model)


def recon_true_ssim_map(reference: np.ndarray, candidate: np.ndarray, *, model: object) -> np.ndarray:
    """1 - local SSIM of R(y) with x: float32 (N, H, W)."""
    return _true(ssim_map, "recon_true_ssim", reference, candidate, model, WINDOW)


def recon_pair_psnr_map(reference: np.ndarray, candidate: np.ndarray, *, model: object) -> np.ndarray:
    """Absolute difference of R(y) and R(x) at each pixel: float32 (N, H, W), 0 where they agree."""
    return _pair(psnr_map, "recon_pair_psnr", reference, candidate, model)


def recon_pair_ssim_map(reference: np.ndarray, candidate: np.ndarray, *, model: object) -> np.ndarray:
    """1 - local SSIM of R(y) with R(x): float32 (N, H, W), 0 where they agree."""
    return _pair(ssim_map, "recon_pair_ssim", reference, candidate, model, WINDOW)


def recon_pair_ms_ssim_map(reference: np.ndarray, candidate: np.ndarray, *, model: object) -> np.ndarray:
    """1 - local multi-scale SSIM of R(y) with R(x): float32 (N, H, W), 0 where they agree."""
    return _pair(ms_ssim_map, "recon_pair_ms_ssim", reference, candidate, model, MS_SSIM_SIDE)


def recon_pair_code_map(reference: np.ndarray, candidate: np.ndarray, *, model: object) -> np.ndarray:
    """Root-mean-square difference of the codes over their channels, enlarged by repetition: float32 (N, H, W)."""
    height, width = np.asarray(candidate).shape[1:3]
    code_x, code_y = _codes(reference, candidate, model)
    error = np.sqrt(np.square(code_x - code_y).mean(axis=-1)).astype(np.float32)
    # The code of a padded picture may reach beyond it: its blocks are as many pixels as the ratio, rounded up.
    rows, columns = -(-height // error.shape[1]), -(-width // error.shape[2])
    return error.repeat(rows, axis=1).repeat(columns, axis=2)[:, :height, :width]


def recon_self_psnr_map(reference: np.ndarray | None, candidate: np.ndarray, *, model: object) -> np.ndarray:
    """Absolute difference of R(y) and y at each pixel: float32 (N, H, W)."""
    return _self(psnr_map, "recon_self_psnr", candidate, model)


def recon_self_ssim_map(reference: np.ndarray | None, candidate: np.ndarray, *, model: object) -> np.ndarray:
    """1 - local SSIM of R(y) with y: float32 (N, H, W)."""
    return _self(ssim_map, "recon_self_ssim", candidate, model, WINDOW)


def _true(
    compare: Callable, name: str, reference: np.ndarray, candidate: np.ndarray, model: object, side: int = 1
) -> np.ndarray:
    reference, candidate = check_pair(reference, candidate, metric=name, smallest_side=side)
    check_model(model, metric=name)
    model = remembered(model)
    return compare(model.as_seen(reference), model.reconstruct(model.as_seen(candidate)))


def _pair(
    compare: Callable, name: str, reference: np.ndarray, candidate: np.ndarray, model: object, side: int = 1
) -> np.ndarray:
    reference, candidate = check_pair(reference, candidate, metric=name, smallest_side=side)
    check_model(model, metric=name)
    model = remembered(model)
    return compare(model.reconstruct(model.as_seen(reference)), model.reconstruct(model.as_seen(candidate)))


def _self(compare: Callable, name: str, candidate: np.ndarray, model: object, side: int = 1) -> np.ndarray:
    candidate = check_batch(candidate, metric=name, role="candidate", smallest_side=side)
    check_model(model, metric=name)
    model = remembered(model)
    seen = model.as_seen(candidate)
    return compare(seen, model.reconstruct(seen))


def _codes(reference: np.ndarray, candidate: np.ndarray, model: object) -> tuple[np.ndarray, np.ndarray]:
    name = "recon_pair_code"
    reference, candidate = check_pair(reference, candidate, metric=name)
    check_model(model, metric=name, needs=("encode",))
    model = remembered(model)
    codes = [model.encode(model.as_seen(batch)).astype(np.float64) for batch in (reference, candidate)]
    if codes[0].ndim != 4 or codes[0].shape != codes[1].shape:
        raise ModelError(
            f"{name} needs codes of shape (N, height, width, channels); encode() gave {codes[0].shape}. "
            "Use a convolutional model."
        )
    return codes[0], codes[1]
