"""How much of the bare training speed does the training loop keep, with data, validation, live pictures and status?

    python benchmarks/training.py [--data SOURCE] [--steps 600] [--objective restore]

Trains the photograph network through `deconv_core.training.train` (reading, cropping, distorting, validation, live
pictures, saved states and models included) and, in the same process, calls Keras's own `train_on_batch` on arrays that
are ready. Prints patches/s of both and the ratio, and the rate at which batches can be made at all.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
from peers import machine


def bare(settings, steps: int) -> float:
    """Seconds per step of `train_on_batch` with the same model, batch and loss."""
    import keras

    from deconv_core.losses import loss
    from deconv_core.models import architecture

    model = architecture(settings.architecture).build(**settings.arguments)
    optimizer = keras.optimizers.Adam(settings.learning_rate, global_clipnorm=1.0)
    model.compile(optimizer, loss(settings.loss).make(), jit_compile=False)
    side = settings.patch_size
    batch = np.random.default_rng(0).random((settings.batch_size, side, side, 3), np.float32)
    for _ in range(3):
        model.train_on_batch(batch, batch)
    began = time.perf_counter()
    for _ in range(steps):
        model.train_on_batch(batch, batch)
    return (time.perf_counter() - began) / steps


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="samples")
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--objective", default="reconstruct", choices=["reconstruct", "restore"])
    options = parser.parse_args()

    from deconv_core.training import TrainSettings, batch_maker_for, train

    epochs = 3
    settings = TrainSettings(
        data=options.data,
        objective=options.objective,
        degradations={"white_noise": (1, 4), "jpeg": (1, 4), "gaussian_blur": (1, 3)},
        epochs=epochs,
        steps_per_epoch=options.steps // epochs,
        name="benchmark",
    )
    before = bare(settings, options.steps // 4)
    times: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        train(settings, Path(folder) / "job", report=lambda now: times.append(time.perf_counter()))
    after = bare(settings, options.steps // 4)
    # The first steps compile the graph; the bare loop was warm, too. Every epoch's end is inside.
    ours = (times[-1] - times[4]) / (len(times) - 5)
    alone = (before + after) / 2  # half of it before and half after, so that a machine that tires is no excuse

    make = batch_maker_for(settings)
    make(0)
    began = time.perf_counter()
    for step in range(20):
        make(step)
    making = (time.perf_counter() - began) / 20

    size = settings.batch_size
    print(f"{machine()}; {options.objective}, batch {size} of {settings.patch_size}x{settings.patch_size}")
    print(f"  bare train_on_batch   {size / alone:8.1f} patches/s (before and after, averaged)")
    print(f"  the training loop     {size / ours:8.1f} patches/s, everything included")
    print(f"  ratio                 {alone / ours:8.2f}   (mark: 0.9)")
    print(f"  making batches alone  {size / making:8.1f} patches/s on one thread")


if __name__ == "__main__":
    main()
