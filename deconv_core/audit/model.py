"""The model's part of an audit: how well each picture is rebuilt, and the quality that a calibrated metric predicts.

Pictures are taken one by one, never in batches, so that a number never depends on its neighbours or on where a run was
broken off. Each worker loads the model once.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np

from deconv_core import own_process
from deconv_core.audit.measure import decode, digest_of, upright
from deconv_core.audit.pixels import reduced
from deconv_core.errors import DeconvError, ImageError
from deconv_core.images import read_image, to_channels
from deconv_core.memory import keep_freed_memory
from deconv_core.places import Item

if TYPE_CHECKING:
    from deconv_core.models.inference import Reconstructor

_LOADING = threading.Lock()


def working_picture(pixels: np.ndarray, max_side: int) -> np.ndarray:
    """The picture as the model sees it: averages over k x k pixels, no side longer than `max_side` (0: as it is).

    Args:
        pixels: uint8, shape (H, W, 1 or 3), upright.
        max_side: In pixels; the smallest whole k that gets there is taken.

    Returns:
        float32, shape (h, w, 1 or 3), values in [0, 1].
    """
    if max_side:
        small = reduced(np.ascontiguousarray(pixels), max_side)
        pixels = small.reshape(*small.shape[:2], -1)
    return np.divide(pixels, np.float32(255), dtype=np.float32)


def load(name: str) -> Reconstructor:
    """The model by name or path, loaded once per process.

    In a process of a Dask worker's own, or of the command's own, TensorFlow then keeps to the worker's threads.
    """
    from deconv_core.models.saving import load_model

    with _LOADING:
        _keep_to_worker_threads()
        return load_model(name)


def _keep_to_worker_threads() -> None:
    from distributed import get_worker

    try:
        worker = get_worker()
    except ValueError:  # not in a worker
        return
    # A worker of threads in a program that does other things as well must not slow down what that does with TensorFlow.
    if worker.address.startswith("inproc://") and not own_process.is_ours():
        return
    import tensorflow as tf

    try:
        # Several pictures side by side, each on one core, lose less than one picture spread over all cores.
        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(worker.state.nthreads)
    except RuntimeError:  # it is at work already
        return


def reconstruction(pixels: np.ndarray, model: Any) -> float:
    """PSNR in dB of the picture as rebuilt against itself, in the model's channels; pixels float32 (H, W, C)."""
    from deconv_core.metrics.psnr import capped
    from deconv_core.metrics.recon import recon_self_psnr

    batch = to_channels(pixels, model.channels)[None]
    return float(capped(recon_self_psnr(None, batch, model=model))[0])


def quality(pixels: np.ndarray, key: str, model: Any) -> float:
    """What the metric `key`, which needs no reference, says about the whole picture, in percent of its scale.

    0 is the worst end of the metric's range and 100 the best; NaN where the picture is smaller than its window.
    """
    from deconv_core.metrics import metric
    from deconv_core.scoring import score_batch

    row = metric(key)
    if min(pixels.shape[:2]) < row.smallest_side:
        return float("nan")
    score = float(score_batch(pixels[None], pixels[None], [key], model=model)[key][0])
    share = (score - row.low) / (row.high - row.low)
    return 100 * (share if row.higher_is_better else 1 - share)


def model_chunk(
    entries: Sequence[tuple[int, int, str, Item]], model_name: str, quality_key: str, max_side: int
) -> list[dict[str, Any]]:
    """The model's rows of many pictures: (number, modified, digest, item) each. Runs wherever Dask sends it."""
    keep_freed_memory()
    model = load(model_name) if model_name else None
    rows = []
    for number, modified, digest, item in entries:
        row = blank_model_row(item, number, modified, digest)
        rows.append(row)
        try:
            data, file_name = item.content(), PurePosixPath(item.name).name
            row["digest"] = digest_of(item, data)
            if model is not None:
                pixels = upright(decode(data, file_name))
                row["reconstruction"] = reconstruction(working_picture(pixels, max_side), model)
            if quality_key:
                row["low_quality"] = quality(read_image(data, name=file_name).pixels, quality_key, model)
        except ImageError as error:
            row["model_reason"] = str(error)
        except DeconvError:
            raise
        except Exception as error:  # one picture never ends an audit
            row["model_reason"] = f"The model could not be run on it ({type(error).__name__}: {str(error)[:150]})."
    return rows


def blank_model_row(item: Item, number: int, modified: int, digest: str) -> dict[str, Any]:
    """The model's row of a picture that it has not seen."""
    return {
        "number": number,
        "image": item.name,
        "bytes": item.size or 0,
        "modified": modified,
        "digest": digest,
        "model_reason": "",
        "reconstruction": np.nan,
        "low_quality": np.nan,
    }
