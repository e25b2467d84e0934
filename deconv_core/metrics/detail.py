"""How much fine detail is in the picture: the mean absolute residual of a network that restores.

What a small network cannot rebuild is detail, grain and noise alike. More of it goes with better photographs as long
as these differ in sharpness, and with worse ones as soon as they differ in noise: it is a measure of detail, and it is
never called quality.
"""

from __future__ import annotations

import numpy as np

from deconv_core.metrics._checks import check_batch
from deconv_core.metrics.deconv_quality import MODEL
from deconv_core.metrics.psnr import psnr_map
from deconv_core.metrics.remembered import remembered


def detail(reference: np.ndarray | None, candidate: np.ndarray) -> np.ndarray:
    """Mean of |y - R(y)| over pixels and channels, in steps of 8 bits, with R the bundled restoring network.

    Args:
        reference: Not used; None is welcome.
        candidate: Pictures y, float32, shape (N, H, W, C), values in [0, 1].

    Returns:
        float64 array of shape (N,), 0 to 255; more is more detail, or more noise.

    Raises:
        ImageError: Values leave [0, 1].
        ModelError: The bundled network is missing or damaged.
    """
    seen, rebuilt = _rebuilt(candidate)
    return 255 * np.abs(seen - rebuilt).mean(axis=(1, 2, 3), dtype=np.float64)


def detail_map(reference: np.ndarray | None, candidate: np.ndarray) -> np.ndarray:
    """|y - R(y)| at each pixel, averaged over the channels: float32 (N, H, W), in units of the value range."""
    return psnr_map(*_rebuilt(candidate))


def _rebuilt(candidate: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    from deconv_core.models.saving import load_model

    candidate = check_batch(candidate, metric="detail", role="candidate")
    model = remembered(load_model(MODEL))
    seen = model.as_seen(candidate)
    return seen, model.reconstruct(seen)
