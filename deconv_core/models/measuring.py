"""What a trained model can do, measured on pictures it has not seen; the numbers go onto its card."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from deconv_core.images import resize_bicubic
from deconv_core.metrics.psnr import capped, psnr
from deconv_core.metrics.ssim import ssim
from deconv_core.models.inference import Reconstructor
from deconv_core.scoring import DECONV_MODEL

# The customary tests of restoration: degraded, clipped and rounded to 8 bits.
_METER_PICTURES = 64  # for the checkerboard meter: many large pictures lower the floor of chance
TESTS = ("noise_15", "noise_25", "noise_50", "jpeg_10", "jpeg_30", "blur_1.6", "x2")


def measure_model(model: Reconstructor, pictures: Sequence[np.ndarray]) -> dict[str, float]:
    """PSNR (dB) and SSIM of the model, averaged over pictures.

    Args:
        model: What to measure; a grey model is measured on luma.
        pictures: uint8 arrays (H, W, C) in the model's channels, sizes may differ.

    Returns:
        `reconstruct_psnr` and `reconstruct_ssim` of R(x) with x; for a model trained to restore also `NAME_before`,
        `NAME_after` (dB, output rounded to 8 bits) for every name in TESTS.
    """
    clean = [np.divide(picture, np.float32(255), dtype=np.float32) for picture in pictures]
    rebuilt = [model.reconstruct(picture[None])[0] for picture in clean]
    measures = {
        "reconstruct_psnr": _mean(psnr, clean, rebuilt),
        "reconstruct_ssim": _mean(ssim, clean, rebuilt),
    }
    if model.card.get("objective") != "restore":
        return measures
    for name in TESTS:
        degraded = [degrade_for_test(picture, name, seed=number) for number, picture in enumerate(clean)]
        restored = [np.round(model.reconstruct(picture[None])[0] * 255) / np.float32(255) for picture in degraded]
        measures[f"{name}_before"] = _mean(psnr, clean, degraded)
        measures[f"{name}_after"] = _mean(psnr, clean, restored)
    return measures


def degrade_for_test(picture: np.ndarray, name: str, *, seed: int) -> np.ndarray:
    """One picture (H, W, C) float32 made worse as the test `name` says: `noise_25` is white noise of sigma 25/255,
    `jpeg_10` quality 10, `blur_1.6` a Gaussian of 1.6 px with reflected borders, `x2` bicubic down and up again."""
    import cv2

    kind, _, strength = name.partition("_")
    if kind == "noise":
        noise = np.random.default_rng(seed).standard_normal(picture.shape)
        worse = picture + noise * float(strength) / 255
    elif kind == "jpeg":
        colours = np.round(picture[..., ::-1] * 255).astype(np.uint8)
        _, data = cv2.imencode(".jpg", colours, [cv2.IMWRITE_JPEG_QUALITY, int(strength)])
        flag = cv2.IMREAD_COLOR if picture.shape[2] == 3 else cv2.IMREAD_GRAYSCALE
        worse = cv2.imdecode(data, flag).reshape(picture.shape)[..., ::-1] / 255
    elif kind == "blur":
        worse = cv2.GaussianBlur(picture, (0, 0), float(strength), borderType=cv2.BORDER_REFLECT)
    else:
        height, width = picture.shape[:2]
        small = resize_bicubic(picture, (height + 1) // 2, (width + 1) // 2)
        worse = resize_bicubic(np.round(np.clip(small, 0, 1) * 255) / 255, height, width)
    worse = worse.reshape(picture.shape)
    return (np.round(np.clip(worse, 0, 1) * 255) / 255).astype(np.float32)


def write_measures(name: str, data: str, *, data_name: str) -> dict[str, Any]:
    """Measure the model called `name` on the pictures of a SOURCE and write the result on its card.

    The card gains `measures[data_name]` (see `measure_model`), `checkerboard` (see `checkerboard.py`) and `laws`: for
    each score the model takes part in, whether it passed the sanity laws, and the sentences of those that failed.

    Returns:
        The new card.
    """
    from deconv_core.metrics import METRICS
    from deconv_core.metrics.laws import check_many
    from deconv_core.models.checkerboard import checkerboard
    from deconv_core.models.saving import load_model, update_card
    from deconv_core.picture_set import read_pictures
    from deconv_core.samples import digits, photographs

    model = load_model(name)
    found = read_pictures(data, channels=model.channels)
    pictures = found.held_out or found.pictures
    trial = digits(20, seed=1) if model.card["architecture"] == "article" else photographs(20, 176)
    grey_denoiser = model.name == DECONV_MODEL
    keys = [row.key for row in METRICS.values() if row.needs_model and (row.key == "deconv") == grey_denoiser]
    keys = [key for key in keys if min(trial.shape[1:3]) >= METRICS[key].smallest_side]
    reports = check_many(keys, model=model, photographs=trial)
    laws = {key: report.as_json() for key, report in reports.items()}
    measures = {**model.card.get("measures", {}), data_name: measure_model(model, pictures)}
    side = min(min(picture.shape[:2]) for picture in pictures)
    crops = np.stack([picture[:side, :side] for picture in pictures[:_METER_PICTURES]]).astype(np.float32) / 255
    return update_card(name, measures=measures, checkerboard=checkerboard(model, crops), laws=laws)


def describe_layers(model: Reconstructor, height: int = 512, width: int = 512) -> list[dict[str, Any]]:
    """Name, kind and output shape of every layer for a picture of the given size: the architecture as plain data."""
    import keras

    layers = [layer for layer in model.keras_model.layers if not isinstance(layer, keras.layers.InputLayer)]
    inside = keras.Model(model.keras_model.inputs, [layer.output for layer in layers])
    shapes = inside.compute_output_shape((1, height, width, model.channels))
    rows = [{"name": "picture", "kind": "Input", "shape": (height, width, model.channels)}]
    for layer, shape in zip(layers, shapes, strict=True):
        rows.append({"name": layer.name, "kind": type(layer).__name__, "shape": tuple(shape[1:])})
    return rows


def _mean(metric: Callable, references: Sequence[np.ndarray], candidates: Sequence[np.ndarray]) -> float:
    pairs = zip(references, candidates, strict=True)
    values = [float(metric(reference[None], candidate[None])[0]) for reference, candidate in pairs]
    return round(float(capped(np.array(values)).mean()), 4)  # an infinite PSNR counts as 100 dB
