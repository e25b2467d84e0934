"""Sets of pictures that are known by a name and need no file: bundled, drawn, or fetched by Keras."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import numpy as np

from deconv_core.errors import DeconvError

NAMES = ("samples", "digits", "mnist", "fashion_mnist", "cifar10")
NUM_PICTURES = {"samples": 10, "digits": 10_000, "mnist": 70_000, "fashion_mnist": 70_000, "cifar10": 60_000}
FETCHED_NAMES = ("mnist", "fashion_mnist", "cifar10")


def named_pictures(name: str) -> Iterator[tuple[str, np.ndarray, bool]]:
    """(name, uint8 (H, W, C), is kept for testing) of every picture of a set.

    Raises:
        DeconvError: The set cannot be fetched.
    """
    from deconv_core.samples import SAMPLES

    if name == "samples":
        for number, key in enumerate(SAMPLES):
            yield key, named_array(name, number), False
    elif name == "digits":
        for number, picture in enumerate(_drawn_digits()):
            held_out = number >= 9_000
            yield f"digit_{number - 9_000 if held_out else number}", picture, held_out
    else:
        train, test = _fetch(name)
        for key, pictures in (("x_train", train), ("x_test", test)):
            for number, picture in enumerate(pictures):
                yield f"{key}[{number}]", np.atleast_3d(picture), key == "x_test"


def named_array(name: str, index: int) -> np.ndarray:
    """One picture of a set known by name, uint8 (H, W, C)."""
    if name == "samples":
        from deconv_core.images import to_uint8
        from deconv_core.samples import SAMPLES, sample

        return to_uint8(sample(tuple(SAMPLES)[index]).pixels)
    if name == "digits":
        return _drawn_digits()[index]
    train, test = _fetch(name)
    return np.atleast_3d(train[index] if index < len(train) else test[index - len(train)])


@lru_cache(1)
def _drawn_digits() -> np.ndarray:
    from deconv_core.images import to_uint8
    from deconv_core.samples import digits

    drawn = to_uint8(digits(10_000, seed=0))
    drawn.flags.writeable = False
    return drawn


def _fetch(name: str) -> tuple[np.ndarray, np.ndarray]:
    """The pictures to learn from, and those kept for testing."""
    import keras

    try:
        (train, _), (test, _) = getattr(keras.datasets, name).load_data()
        return train, test
    except Exception as error:  # Keras raises a bare Exception where the network fails
        reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(". ")[:150]
        raise DeconvError(
            f"'{name}' could not be fetched ({reason}). Connect to the network, or give a local .npz file with x_train."
        ) from error
