"""Checks that every metric makes before it computes: shapes, types, range, size, and the model if it needs one."""

from collections.abc import Sequence

import numpy as np

from deconv_core.errors import ImageError, ModelError

# Rounding of float32 resampling and of a network's last layer; anything further out is another range.
RANGE_SLACK = 1e-6


def check_batch(batch: np.ndarray, *, metric: str, role: str, smallest_side: int = 1) -> np.ndarray:
    """One batch of pictures as float32 (N, H, W, C) in [0, 1].

    Integers are scaled by their type (uint8 by 255, uint16 by 65535) and never by their content. A float32 array comes
    back as the same object, so that `Remembered` recognises it.

    Args:
        batch: Pictures, shape (N, H, W, C), C is 1 or 3; float in [0, 1], uint8 or uint16.
        metric: Name used in messages.
        role: "reference" or "candidate", used in messages.
        smallest_side: Smallest height and width that the metric can answer for, in pixels.

    Raises:
        ImageError: Shape, type, values or size are not usable.
    """
    batch = np.asarray(batch)
    if batch.ndim != 4 or batch.shape[-1] not in (1, 3) or 0 in batch.shape:
        raise ImageError(
            f"{metric} needs batches of shape (N, height, width, 1 or 3); the {role} has shape {batch.shape}. "
            "Add the missing axes, for example image[None]."
        )
    height, width = batch.shape[1:3]
    if min(height, width) < smallest_side:
        raise ImageError(
            f"{metric} needs pictures of at least {smallest_side} x {smallest_side} pixels; the {role} has "
            f"{height} x {width}. Use larger pictures, or leave this metric out."
        )
    if batch.dtype in (np.uint8, np.uint16):
        return batch.astype(np.float32) / np.float32(np.iinfo(batch.dtype).max)
    if batch.dtype.kind != "f":
        raise ImageError(
            f"{metric} needs float values in [0, 1], uint8 or uint16; the {role} has type {batch.dtype}. "
            "Convert it first, dividing by the largest value of its type."
        )
    low, high = float(batch.min()), float(batch.max())
    if not (np.isfinite(low) and np.isfinite(high)):
        raise ImageError(
            f"{metric} needs finite values; the {role} holds NaN or infinity. Repair the picture before scoring it."
        )
    if low < -RANGE_SLACK or high > 1 + RANGE_SLACK:
        raise ImageError(
            f"{metric} needs values in [0, 1]; the {role} reaches from {low:g} to {high:g}. "
            "Divide by the largest value of its type, or clip it."
        )
    return batch.astype(np.float32, copy=False)


def check_pair(
    reference: np.ndarray, candidate: np.ndarray, *, metric: str, smallest_side: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    """Both batches as `check_batch` returns them, of one shape.

    Raises:
        ImageError: The shapes differ, or one batch is not usable.
    """
    reference, candidate = np.asarray(reference), np.asarray(candidate)
    if reference.shape != candidate.shape:
        raise ImageError(
            f"{metric} needs two batches of one shape; got {reference.shape} and {candidate.shape}. "
            "Resize one of them, or pair the files again."
        )
    return (
        check_batch(reference, metric=metric, role="reference", smallest_side=smallest_side),
        check_batch(candidate, metric=metric, role="candidate", smallest_side=smallest_side),
    )


def check_model(model: object, *, metric: str, needs: Sequence[str] = ("reconstruct",)) -> None:
    """Refuse a model that lacks one of the methods in `needs`.

    Raises:
        ModelError: No model, or one without such a method.
    """
    missing = [name for name in needs if not callable(getattr(model, name, None))]
    if missing:
        arrived = "none arrived" if model is None else f"{type(model).__name__} has no {missing[0]}()"
        raise ModelError(
            f"{metric} needs a model with {' and '.join(f'{name}()' for name in needs)}; {arrived}. "
            "Pass model=, for example a bundled one from deconv_core.models.saving.load_model."
        )
