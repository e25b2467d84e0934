"""How fast is a model's reconstruction, beside `model.predict` picture by picture and beside OpenVINO?

    python benchmarks/reconstruction.py [--model photo_large] [--repeat 7]

Prints images/s and ratios. The peer OpenVINO is installed into a folder of its own; it computes with the same weights,
in float32, on the same cores, in its latency and its throughput mode; the better of the two counts.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
from peers import install, interleaved, machine, seconds

NUM_SIZES = 60
NUM_AT_ONE_SIZE = 16


def photographs(sizes: list[tuple[int, int]], channels: int) -> list[np.ndarray]:
    """Crops of the sample photographs, one of each size, mirrored where a sample is too small."""
    from deconv_core.images import to_channels
    from deconv_core.samples import SAMPLES, sample

    sources = [to_channels(sample(key).pixels, channels) for key in SAMPLES]
    pictures = []
    for number, (height, width) in enumerate(sizes):
        source = sources[number % len(sources)]
        missing = [(0, max(0, side - have)) for side, have in zip((height, width), source.shape[:2], strict=True)]
        source = np.pad(source, [*missing, (0, 0)], mode="symmetric")
        pictures.append(np.ascontiguousarray(source[:height, :width], np.float32))
    return pictures


def resident_megabytes() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def many_sizes(model, repeat: int) -> None:
    rng = np.random.default_rng(0)
    sizes = [tuple(int(side) for side in rng.integers(96, 640, 2)) for _ in range(NUM_SIZES)]
    pictures = photographs(sizes, model.channels)
    stride = model.stride

    def ours():
        for picture in pictures:
            model.reconstruct(picture[None])

    def predict():
        for picture in pictures:
            height, width = picture.shape[:2]
            padded = np.pad(picture, ((0, -height % stride), (0, -width % stride), (0, 0)), mode="reflect")
            model.keras_model.predict(padded[None], verbose=0)

    time_ours = seconds(ours, repeat)
    before = resident_megabytes()
    for _ in range(3):
        ours()
    after = resident_megabytes()
    time_predict = seconds(predict, 1)
    print(f"{NUM_SIZES} pictures of {NUM_SIZES} sizes, 96 to 640 px:")
    print(f"  deconv_core        {NUM_SIZES / time_ours:7.1f} images/s")
    print(f"  model.predict      {NUM_SIZES / time_predict:7.1f} images/s (second pass over the same sizes)")
    print(f"  ratio              {time_predict / time_ours:7.2f}   (mark: 3)")
    print(f"  memory over three more passes: {before:.0f} -> {after:.0f} MB")


def one_size(model, repeat: int) -> None:
    install("openvino", "openvino-telemetry")
    import openvino

    pictures = np.stack(photographs([(512, 512)] * NUM_AT_ONE_SIZE, model.channels))
    with tempfile.TemporaryDirectory() as folder:
        model.keras_model.export(folder, verbose=False)
        converted = openvino.convert_model(folder)
    converted.reshape([1, 512, 512, model.channels])
    core = openvino.Core()
    float32 = {"INFERENCE_PRECISION_HINT": "f32"}
    latency = core.compile_model(converted, "CPU", float32 | {"PERFORMANCE_HINT": "LATENCY"})
    throughput = core.compile_model(converted, "CPU", float32 | {"PERFORMANCE_HINT": "THROUGHPUT"})
    queue = openvino.AsyncInferQueue(throughput)
    rebuilt = np.empty_like(pictures)

    def collect(request, number):
        rebuilt[number] = np.clip(request.get_output_tensor(0).data[0], 0, 1)

    queue.set_callback(collect)

    def one_by_one():
        return np.concatenate([np.clip(latency(picture[None])[0], 0, 1) for picture in pictures])

    def streams():
        for number, picture in enumerate(pictures):
            queue.start_async({0: picture[None]}, number)
        queue.wait_all()
        return rebuilt

    def ours():
        return model.reconstruct(pictures)

    difference = max(np.abs(ours() - one_by_one()).max(), np.abs(ours() - streams()).max())
    times = interleaved(ours, one_by_one, streams, repeat=repeat)
    rates = [NUM_AT_ONE_SIZE / time for time in times]
    print(f"{NUM_AT_ONE_SIZE} pictures 512x512, float32, largest difference {difference:.1e}:")
    for name, rate in zip(("deconv_core", "OpenVINO latency", "OpenVINO throughput"), rates, strict=True):
        print(f"  {name:<20}{rate:6.1f} images/s")
    print(f"  ratio to the better {rates[0] / max(rates[1:]):6.2f}   (mark: 1)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="photo_large")
    parser.add_argument("--repeat", type=int, default=7)
    options = parser.parse_args()

    from deconv_core.models.saving import load_model

    model = load_model(options.model)
    print(f"{machine()}; model {model.name}, {model.card['parameters']:,} parameters")
    many_sizes(model, max(1, options.repeat // 2))
    one_size(model, options.repeat)


if __name__ == "__main__":
    main()
