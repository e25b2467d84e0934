"""SSIM of 16 RGB pictures of 512 x 384 pixels: ours beside tf.image and scikit-image, values and time in one process.

    python benchmarks/ssim.py [--repeat 5]

Marks: at least 1.5 times the pictures per second of tf.image.ssim and 5 times those of scikit-image with Gaussian
weights, within 1e-5 of scikit-image and 2e-4 of tf.image. Ends with status 1 if one is missed.
"""

import argparse
import os
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from deconv_core.distortions import DISTORTIONS, distort
from deconv_core.metrics import METRICS
from deconv_core.samples import photographs

COUNT, HEIGHT, WIDTH = 16, 384, 512


def main() -> int:
    """Print the comparison; 0 if every mark is met."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeat", type=int, default=5, help="runs of each, of which the fastest counts")
    repeat = parser.parse_args().repeat

    import tensorflow as tf
    from skimage.metrics import structural_similarity

    reference, candidate = pictures()
    x, y = tf.constant(reference), tf.constant(candidate)
    compiled = {
        "ssim": tf.function(lambda: tf.image.ssim(x, y, 1.0)),
        "ms_ssim": tf.function(lambda: tf.image.ssim_multiscale(x, y, 1.0)),
    }
    settings = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}

    def skimage() -> np.ndarray:
        pairs = zip(reference, candidate, strict=True)
        return np.array([structural_similarity(a, b, data_range=1, channel_axis=-1, **settings) for a, b in pairs])

    print(
        f"{processor()}, {os.cpu_count()} cores; {COUNT} RGB pictures of {WIDTH} x {HEIGHT}; fastest of {repeat} runs"
    )
    met = True
    for key, peers in {
        "ssim": {
            "tf.image.ssim": (lambda: tf.image.ssim(reference, candidate, 1.0).numpy(), 1.5, 2e-4),
            "tf.image.ssim in tf.function": (lambda: compiled["ssim"]().numpy(), 1.5, 2e-4),
            "skimage structural_similarity": (skimage, 5.0, 1e-5),
        },
        "ms_ssim": {
            "tf.image.ssim_multiscale": (
                lambda: tf.image.ssim_multiscale(reference, candidate, 1.0).numpy(),
                1.5,
                2e-4,
            ),
            "tf.image.ssim_multiscale in tf.function": (lambda: compiled["ms_ssim"]().numpy(), 1.5, 2e-4),
        },
    }.items():
        functions = {key: lambda key=key: METRICS[key].function(reference, candidate)}
        functions |= {name: peer[0] for name, peer in peers.items()}
        values, seconds = measure(functions, repeat)
        print(f"\n{'':42}{'mean':>9}{'pictures/s':>12}{'ours is':>10}{'mark':>7}{'differs by':>13}{'mark':>9}")
        print(f"{'ours: ' + key:42}{values[key].mean():9.5f}{COUNT / seconds[key]:12.1f}")
        for name, (_, times, tolerance) in peers.items():
            ratio = seconds[name] / seconds[key]
            gap = float(np.abs(values[name] - values[key]).max())
            met &= ratio >= times and gap <= tolerance
            print(
                f"{name:42}{values[name].mean():9.5f}{COUNT / seconds[name]:12.1f}{ratio:9.1f}x{times:6.1f}x"
                f"{gap:13.1e}{tolerance:9.0e}"
            )

    one, other = (np.tile(batch[:1, :256, :256], (1, 2, 2, 1)) for batch in (reference, candidate))
    keys = [key for key, row in METRICS.items() if not row.needs_model]
    _, seconds = measure({key: lambda key=key: METRICS[key].function(one, other) for key in keys}, repeat)
    print("\nOne RGB pair of 512 x 512, ms: " + ", ".join(f"{key} {1000 * seconds[key]:.1f}" for key in keys))
    print(f"All {len(keys)} metrics without a model: {1000 * sum(seconds.values()):.0f} ms")
    print("\nEvery mark is met." if met else "\nA mark is missed.")
    return 0 if met else 1


def pictures() -> tuple[np.ndarray, np.ndarray]:
    """Photographs mirrored to the size, each damaged in its own way."""
    crops = photographs(COUNT, 256)
    wide = np.concatenate([crops, crops[:, :, ::-1]], axis=2)
    reference = np.concatenate([wide, wide[:, ::-1][:, : HEIGHT - 256]], axis=1)
    kinds = list(DISTORTIONS)
    damaged = [distort(image, kinds[i % len(kinds)], 1 + i % 5, seed=i) for i, image in enumerate(reference)]
    return np.ascontiguousarray(reference), np.stack(damaged)


def measure(functions: dict[str, Callable], repeat: int) -> tuple[dict[str, np.ndarray], dict[str, float]]:
    """Answers, and the fastest of `repeat` runs of each in seconds; they take turns, so that a busy moment hits all."""
    values = {name: function() for name, function in functions.items()}
    seconds = dict.fromkeys(functions, float("inf"))
    for _ in range(repeat):
        for name, function in functions.items():
            start = time.perf_counter()
            function()
            seconds[name] = min(seconds[name], time.perf_counter() - start)
    return values, seconds


def processor() -> str:
    """Name of the CPU."""
    listed = Path("/proc/cpuinfo")
    names = (
        [line.split(":")[1].strip() for line in listed.read_text().splitlines() if line.startswith("model name")]
        if (listed.exists())
        else []
    )
    return names[0] if names else platform.processor() or platform.machine()


if __name__ == "__main__":
    sys.exit(main())
