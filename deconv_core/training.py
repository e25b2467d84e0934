"""The one training loop, used by the command line, the dashboard and the tests alike.

A run lives in a job folder (see `deconv_core.jobs`): beside its status and log, `results/` holds `history.csv`, the
last state, the best model with its card, and after every epoch the same few held-out pictures as rebuilt by then.
The batch of step n depends on the seed and n alone, so a run that was stopped or killed and then resumed ends as an
unbroken one would have.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import platform
import time
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from deconv_core.errors import DeconvError, JobError, ModelError
from deconv_core.files import write_json, write_whole
from deconv_core.jobs import JobFolder, check_resume

if TYPE_CHECKING:
    from deconv_core.picture_set import PictureSet

OBJECTIVES = ("reconstruct", "restore")
OPTIMIZERS = ("adam", "adamw", "sgd")
SCHEDULES = ("cosine", "constant")
PRECISIONS = ("float32", "bfloat16")
_BICUBIC = "bicubic"  # what super-resolution is measured with; DISTORTIONS blur before they reduce
_VALIDATION_PICTURES = 16
_VALIDATION_SIDE = 256
_SHOWN_PICTURES = 4
_SHOWN_SIDE = 160
_SAVE_EVERY_SECONDS = 30.0


@dataclass(frozen=True)
class TrainSettings:
    """Everything that decides the outcome of a run, written to `settings.json`.

    Attributes:
        data: A SOURCE (see `deconv_core.sources`).
        include: File-name pattern within the source.
        architecture: A key of ARCHITECTURES.
        arguments: Arguments of its builder.
        objective: `reconstruct` (target = input) or `restore` (degraded in, clean out).
        degradations: For `restore`: kind -> (lowest, highest) severity; one kind is drawn for every patch. Kinds are
            those of DISTORTIONS, and `bicubic`: reduced so many times and enlarged again, both bicubic.
        loss: A key of LOSSES.
        optimizer: One of OPTIMIZERS.
        learning_rate: Its highest rate.
        schedule: `cosine` falls to zero over the run, `constant` does not.
        patch_size: Side of the square training patches in pixels; smaller pictures make smaller patches.
        batch_size: Patches per step.
        epochs: A unit of reporting; an epoch has `steps_per_epoch` steps.
        steps_per_epoch: 0 means as many as use one patch of every picture.
        patience: End when validation PSNR has not risen for so many epochs; 0 never ends early.
        start_from: A trained model (name or file) whose weights are taken over before training, or "".
        precision: What the steps are computed in. `bfloat16` halves the time where the processor has instructions for
            it; weights, validation and the saved model stay float32.
        seed: Decides weights, patches and degradations.
        name, label, licence, note: For the card.
        within_roots: Open nothing outside `roots.page_roots(data)`; for requests that come through a page.
    """

    data: str
    include: str = "*"
    architecture: str = "photo"
    arguments: Mapping[str, Any] = field(default_factory=dict)
    objective: str = "reconstruct"
    degradations: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    loss: str = "charbonnier"
    optimizer: str = "adam"
    learning_rate: float = 2e-3
    schedule: str = "cosine"
    patch_size: int = 96
    batch_size: int = 16
    epochs: int = 20
    steps_per_epoch: int = 0
    patience: int = 0
    start_from: str = ""
    precision: str = "float32"
    seed: int = 0
    name: str = ""
    label: str = ""
    licence: str = "Apache-2.0"
    note: str = ""
    within_roots: bool = field(default=False, repr=False)  # no part of a run's outcome, nor of a name made from it

    def check(self) -> None:
        """Raise DeconvError for the first setting that cannot work; reads no data."""
        from deconv_core.distortions import DISTORTIONS
        from deconv_core.losses import loss
        from deconv_core.models import architecture

        architecture(self.architecture)
        choices = {"objective": OBJECTIVES, "optimizer": OPTIMIZERS, "schedule": SCHEDULES, "precision": PRECISIONS}
        for option, valid in choices.items():
            if getattr(self, option) not in valid:
                raise DeconvError(f"--{option} got '{getattr(self, option)}'; choose one of {', '.join(valid)}.")
        for kind, (low, high) in self.degradations.items():
            if kind not in (*DISTORTIONS, _BICUBIC):
                raise DeconvError(f"--degradations got '{kind}'; choose among {', '.join(DISTORTIONS)}, {_BICUBIC}.")
            if not 0 <= low <= high <= 5:
                raise DeconvError(f"--degradations got {kind}:{low:g}-{high:g}; severities rise from 0 to 5.")
        if self.objective == "restore" and not self.degradations:
            raise DeconvError("--objective restore needs --degradations, for example white_noise:1-4,jpeg:1-4.")
        for option in ("patch_size", "batch_size", "epochs", "learning_rate"):
            if not getattr(self, option) > 0:
                raise DeconvError(f"--{option.replace('_', '-')} got {getattr(self, option)}; expected more than 0.")
        for option in ("steps_per_epoch", "patience", "seed"):
            if getattr(self, option) < 0:
                raise DeconvError(f"--{option.replace('_', '-')} got {getattr(self, option)}; expected 0 or more.")
        if self.patch_size < loss(self.loss).smallest_patch:
            raise DeconvError(
                f"--loss {self.loss} needs patches of {loss(self.loss).smallest_patch} pixels at least; "
                f"--patch-size is {self.patch_size}."
            )

    @property
    def model_name(self) -> str:
        """The name given, or one made from the settings."""
        return self.name or f"{self.architecture}_{hashlib.sha256(repr(self).encode()).hexdigest()[:6]}"


@dataclass(frozen=True)
class Progress:
    """What a run tells its caller after every step: steps done, steps in all, epoch, and the last epoch's line."""

    step: int
    steps: int
    epoch: int
    message: str


def train(
    settings: TrainSettings,
    folder: Path | str,
    *,
    resume: bool = False,
    wait_turn: bool = False,
    low_priority: bool = False,
    command: str = "",
    report: Callable[[Progress], None] = lambda progress: None,
) -> dict[str, Any]:
    """Train a model into `folder` and return its card; the best epoch (by validation PSNR) becomes the model.

    Args:
        settings: What to do.
        folder: Job folder, made if missing; must be empty of an earlier run unless `resume`.
        resume: Go on from the last saved state. `settings` must be those stored in the folder.
        wait_turn: Wait until no other job of this workspace works.
        command: The command line to write on the card.
        low_priority: Let everything else on this machine go first.
        report: Called after every step.

    Returns:
        The card, also in `folder/results/NAME.json` beside `NAME.keras`.

    Raises:
        DeconvError: Settings or data cannot work, the folder holds another run, or there is nothing to resume.
        JobError: Another process works in the folder, or the loss became NaN.
        KeyboardInterrupt: The run was asked to end early; state and best model are saved.
    """
    settings.check()
    folder = Path(folder)
    check_resume(folder, resume, begun=True)
    with JobFolder(folder, kind="train", wait_turn=wait_turn, low_priority=low_priority) as job:
        write_json(job.folder / "settings.json", asdict(settings))
        card = _Run(settings, job, command).go(report)
        job.finish_message(f"validation PSNR {card['validation']['psnr']:.2f} dB")
    return card


class _Run:
    """One run at work: data, model and optimiser, and the loop over them."""

    def __init__(self, settings: TrainSettings, job: JobFolder, command: str):
        import keras

        from deconv_core.models import architecture

        self.settings, self.job = settings, job
        self.results = job.results
        self.model_file = self.results / f"{settings.model_name}.keras"
        keras.utils.set_random_seed(settings.seed)
        row = architecture(settings.architecture)
        self.model = row.build(**settings.arguments)

        job.status("reading pictures")
        found = _read(settings, int(self.model.input_shape[-1]))
        for name, reason in found.rejected:
            job.log(f"left out {name}: {reason}")
        if found.left_out:
            job.log(f"{found.left_out} more pictures did not fit into memory and were left out by the seed")
        pictures, held_out = _split(found, settings.seed)
        job.log(f"{len(pictures)} pictures to train on, {len(held_out)} held out, digest {found.digest[:12]}")
        self.make_batch = _batch_maker(pictures, settings, row.stride)
        self.steps_per_epoch = settings.steps_per_epoch or max(1, len(pictures) // settings.batch_size)
        self.total = self.steps_per_epoch * settings.epochs

        state = self.results / "state.npz"
        fresh = not state.exists()
        if fresh:
            _first_weights(self.model, settings, self.make_batch)
        self.optimizer = _optimizer(settings, self.total)
        self.optimizer.build(self.model.trainable_variables)
        self.validation = _Validation(self.model, held_out, settings, row.stride)
        self.card = _card(settings, row, self.model, found, len(self.validation.clean), command)
        self.step, self.history, self.losses, self.best = 0, [], [], -np.inf
        if fresh:
            self.validation.show(self.results / "pictures", rebuilt=False)
        else:
            self.step, self.history, self.losses, self.best = _load_state(state, self.model, self.optimizer)
            job.log(f"resumed at step {self.step} of {self.total}")

    def go(self, report: Callable[[Progress], None]) -> dict[str, Any]:
        """Train to the end, an early end, or a stop; returns the card of the best model."""
        from deconv_core.models.saving import read_card

        take_step = _compiled_step(self.model, self.optimizer, self.settings)
        first_step, began = self.step, time.monotonic()
        saved = began
        message = "first epoch"
        try:
            for degraded, clean in self._batches():
                if self.job.should_stop():
                    raise KeyboardInterrupt
                self.losses.append(take_step(degraded, clean))
                self.step += 1
                now = time.monotonic()
                pace = (self.step - first_step) / max(now - began, 1e-9)
                if self.step % self.steps_per_epoch == 0:
                    message = self._end_epoch(pace)
                    saved = time.monotonic()
                elif now - saved > _SAVE_EVERY_SECONDS:
                    self._save_state()
                    saved = time.monotonic()
                self.job.status(message, self.step, self.total)
                report(Progress(self.step, self.total, self.step // self.steps_per_epoch, message))
                if self._out_of_patience():
                    self.job.log(f"ended early: no better for {self.settings.patience} epochs")
                    break
        except KeyboardInterrupt:
            self._save_state()
            if not self.model_file.exists():
                self._save_if_best(self.validation.scores(), epoch=self.step // self.steps_per_epoch)
            raise
        return read_card(self.model_file)

    def _batches(self):
        """The batches from the present step on, made ahead of time beside the training."""
        import tensorflow as tf

        shape = self.make_batch(0)[0].shape

        def load(step):
            parts = tf.numpy_function(self.make_batch, [step], (tf.float32, tf.float32))
            return [tf.ensure_shape(part, shape) for part in parts]

        steps = tf.data.Dataset.range(self.step, self.total)
        return steps.map(load, num_parallel_calls=2, deterministic=True).prefetch(8)

    def _end_epoch(self, pace: float) -> str:
        """Validate, keep the model if it is the best so far, show the held-out pictures, save the state."""
        epoch = self.step // self.steps_per_epoch
        loss = float(np.mean(self.losses))
        if not np.isfinite(loss):
            raise JobError(
                f"The loss became {loss} in epoch {epoch}; the best model so far is kept. Lower --learning-rate."
            )
        self.losses.clear()
        scores = self.validation.scores()
        speed = pace * self.settings.batch_size
        told = {f"validation_{name}" if name == "loss" else name: value for name, value in scores.items()}
        self.history.append({"epoch": epoch, "step": self.step, "loss": loss, **told, "patches_per_second": speed})
        self._save_if_best(scores, epoch)
        self.validation.show(self.results / "pictures", epoch=epoch)
        _write_history(self.results / "history.csv", self.history)
        self._save_state()
        message = (
            f"epoch {epoch}/{self.settings.epochs}: loss {loss:.5f}, validation PSNR {scores['psnr']:.2f} dB, "
            f"SSIM {scores['ssim']:.4f}, {speed:.0f} patches/s"
        )
        self.job.log(message)
        return message

    def _save_if_best(self, scores: Mapping[str, float], epoch: int) -> None:
        from deconv_core.models.saving import save_model

        if scores["psnr"] > self.best:
            self.best = scores["psnr"]
            self.card["validation"] = {**self.card["validation"], **scores, "epoch": epoch}
            save_model(self.model, self.model_file, self.card)

    def _save_state(self) -> None:
        self.losses[:] = [float(loss) for loss in self.losses]
        if not np.isfinite(self.losses).all():
            return  # the last good state stays; the end of the epoch reports the loss
        progress = {"step": self.step, "best": self.best, "history": self.history, "losses": self.losses}
        _save_state(self.results / "state.npz", self.model, self.optimizer, progress)

    def _out_of_patience(self) -> bool:
        if not self.settings.patience or not self.history or self.step % self.steps_per_epoch:
            return False
        best = max(range(len(self.history)), key=lambda number: self.history[number]["psnr"])
        return len(self.history) - 1 - best >= self.settings.patience


@dataclass(frozen=True)
class Estimate:
    """What a run will take, before it starts.

    Attributes:
        parameters: Trainable numbers.
        memory_bytes: Weights, optimiser and activations of one step (the pictures themselves come on top).
        steps: Steps in all.
        seconds_per_step: Measured here by a few real steps.
        seconds: For the whole run.
    """

    parameters: int
    memory_bytes: int
    steps: int
    seconds_per_step: float
    seconds: float


def estimate(settings: TrainSettings, num_pictures: int, *, num_steps: int = 3) -> Estimate:
    """Measure a few real steps of the run on made-up patches; reads none of the data.

    Args:
        settings: What is planned.
        num_pictures: Pictures in the source; decides the steps of an epoch where `steps_per_epoch` is 0.
        num_steps: Steps to measure, after one to warm up.
    """
    import keras

    from deconv_core.models import architecture

    settings.check()
    row = architecture(settings.architecture)
    model = row.build(**settings.arguments)
    side = max(row.stride, settings.patch_size // row.stride * row.stride)
    rng = np.random.default_rng(settings.seed)
    noise = rng.integers(0, 256, (4, side, side, int(model.input_shape[-1]))).astype(np.uint8)
    make_batch = _batch_maker(list(noise), settings, row.stride)
    optimizer = _optimizer(settings, 1000)
    optimizer.build(model.trainable_variables)
    take_step = _compiled_step(model, optimizer, settings)
    float(take_step(*make_batch(0)))
    began = time.perf_counter()
    for number in range(num_steps):
        float(take_step(*make_batch(number + 1)))
    each = (time.perf_counter() - began) / num_steps
    inside = keras.Model(model.inputs, [layer.output for layer in model.layers[1:]])
    shapes = inside.compute_output_shape((settings.batch_size, side, side, int(model.input_shape[-1])))
    activations = sum(int(np.prod(shape)) for shape in shapes)
    parameters = int(model.count_params())
    # Weights, their gradient and two moments; every activation once forward and once for its gradient.
    memory = 4 * (4 * parameters + 2 * activations)
    steps = settings.epochs * (settings.steps_per_epoch or max(1, num_pictures // settings.batch_size))
    return Estimate(parameters, memory, steps, each, each * steps)


def _split(found, seed: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Training pictures and held-out pictures; the source's own test set is used where it has one."""
    if found.held_out:
        return found.pictures, found.held_out
    count = min(_VALIDATION_PICTURES, max(1, len(found.pictures) // 4))
    chosen = set(np.random.default_rng([seed, 1]).permutation(len(found.pictures))[:count].tolist())
    if len(found.pictures) == 1:
        return found.pictures, found.pictures
    train = [picture for number, picture in enumerate(found.pictures) if number not in chosen]
    return train, [found.pictures[number] for number in sorted(chosen)]


def _batch_maker(pictures, settings: TrainSettings, stride: int):
    """A function from the step's number to (degraded, clean), float32 in [0, 1]."""

    smallest = min(min(picture.shape[:2]) for picture in pictures)
    side = min(settings.patch_size, smallest) // stride * stride
    if not side:
        raise DeconvError(f"The smallest picture has a side of {smallest} pixels; this model needs {stride} at least.")
    kinds = list(settings.degradations)

    def make(step):
        rng = np.random.default_rng([settings.seed, 2, int(step)])
        clean = np.empty((settings.batch_size, side, side, pictures[0].shape[-1]), np.float32)
        for number in range(settings.batch_size):
            picture = pictures[rng.integers(len(pictures))]
            top, left = (int(rng.integers(size - side + 1)) for size in picture.shape[:2])
            patch = picture[top : top + side, left : left + side]
            if settings.architecture != "article":  # digits are not mirrored or turned
                patch = patch[:, ::-1] if rng.random() < 0.5 else patch
                patch = np.rot90(patch, int(rng.integers(4)))
            clean[number] = patch
        clean *= np.float32(1 / 255)
        if settings.objective == "reconstruct":
            return clean, clean
        degraded = np.empty_like(clean)
        for number, patch in enumerate(clean):
            kind = kinds[rng.integers(len(kinds))]
            low, high = settings.degradations[kind]
            severity = float(rng.uniform(low, high))
            degraded[number] = _degraded(patch, kind, severity, seed=int(rng.integers(2**31)))
        return degraded, clean

    return make


def _degraded(picture: np.ndarray, kind: str, severity: float, *, seed: int) -> np.ndarray:
    from deconv_core.distortions import distort
    from deconv_core.images import resize_bicubic

    if kind != _BICUBIC:
        return distort(picture, kind, severity, seed=seed)
    height, width = picture.shape[:2]
    factor = max(1.0, severity)
    small = resize_bicubic(picture, max(1, round(height / factor)), max(1, round(width / factor)))
    again = resize_bicubic(np.round(np.clip(small, 0, 1) * 255) / 255, height, width)
    return (np.round(np.clip(again, 0, 1) * 255) / 255).astype(np.float32)


def batch_maker_for(settings: TrainSettings) -> Callable[[int], tuple[np.ndarray, np.ndarray]]:
    """The function from a step's number to its batch that a run with these settings would use; reads the pictures."""
    from deconv_core.models import architecture

    row = architecture(settings.architecture)
    channels = int(row.build(**settings.arguments).input_shape[-1])
    pictures, _ = _split(_read(settings, channels), settings.seed)
    return _batch_maker(pictures, settings, row.stride)


def _read(settings: TrainSettings, channels: int) -> PictureSet:
    from deconv_core.picture_set import read_pictures
    from deconv_core.roots import page_roots

    roots = page_roots(settings.data) if settings.within_roots else None
    return read_pictures(settings.data, channels=channels, include=settings.include, allowed_roots=roots)


def _first_weights(model, settings: TrainSettings, make_batch) -> None:
    """The weights a run starts from: another model's, or our own first guess."""
    from deconv_core.models.saving import load_model

    if settings.start_from:
        _take_over(model, load_model(settings.start_from).keras_model)
    elif settings.architecture == "photo":
        _initialise_linear_path(model, make_batch, steps=200)


def _initialise_linear_path(model, make_batch, steps: int) -> None:
    """Start the linear path at the principal components of 8x8 patches, so training starts from their quality."""
    encode, decode, fold = (model.get_layer(name) for name in ("linear_encode", "linear_decode", "fold"))
    unfold = type(fold)(2)
    features = []
    for step in range(-steps, 0):
        clean = make_batch(2**40 + step)[1]
        folded = unfold(fold(clean - 0.5)).numpy().reshape(-1, encode.kernel.shape[2] * 4)
        features.append(folded[:: max(1, len(folded) // 500)])
    features = np.concatenate(features).astype(np.float64)
    _, vectors = np.linalg.eigh(features.T @ features / len(features))
    components = vectors[:, ::-1][:, : encode.kernel.shape[-1]]
    encode.kernel.assign(components.reshape(encode.kernel.shape))
    decode.kernel.assign(components.T.reshape(decode.kernel.shape))


def _take_over(model, trained) -> None:
    def build(network):
        return [(type(layer).__name__, [tuple(weight.shape) for weight in layer.weights]) for layer in network.layers]

    if build(model) != build(trained):
        raise ModelError(
            "--start-from names a model of another architecture; give the same --architecture and --arguments."
        )
    model.set_weights(trained.get_weights())


def _optimizer(settings: TrainSettings, steps: int):
    import keras

    rate = settings.learning_rate
    if settings.schedule == "cosine":
        rate = keras.optimizers.schedules.CosineDecay(rate, steps)
    if settings.optimizer == "sgd":
        return keras.optimizers.SGD(rate, momentum=0.9, nesterov=True, global_clipnorm=1.0)
    kinds = {"adam": keras.optimizers.Adam, "adamw": keras.optimizers.AdamW}
    return kinds[settings.optimizer](rate, global_clipnorm=1.0)


def _compiled_step(model, optimizer, settings: TrainSettings):
    """One step of training as one graph: (degraded, clean) -> the loss before the step."""
    import tensorflow as tf

    from deconv_core.losses import loss

    function = loss(settings.loss).make()

    @tf.function(autograph=False, jit_compile=False)
    def take_step(degraded, clean):
        with tf.GradientTape() as tape, _computing_in(model, settings.precision):
            value = function(clean, tf.cast(model(degraded, training=True), tf.float32))
        optimizer.apply(tape.gradient(value, model.trainable_variables), model.trainable_variables)
        return value

    return take_step


@contextmanager
def _computing_in(model, precision: str):
    """The model's layers compute in `precision` while they are traced; their weights are float32 throughout."""
    import keras

    former = [layer.dtype_policy for layer in model.layers]
    if precision == "bfloat16":
        for layer in model.layers:
            layer.dtype_policy = keras.DTypePolicy("mixed_bfloat16")
    try:
        yield
    finally:
        for layer, policy in zip(model.layers, former, strict=True):
            layer.dtype_policy = policy


class _Validation:
    """Scores of the model on the held-out pictures, cut to one size, and the few of them that are shown."""

    def __init__(self, model, held_out, settings: TrainSettings, stride: int):
        from deconv_core.images import crop_centre
        from deconv_core.losses import loss
        from deconv_core.models.inference import Reconstructor

        side = min(_VALIDATION_SIDE, *(min(picture.shape[:2]) for picture in held_out))
        self.clean = np.stack([crop_centre(picture, side, side) for picture in held_out]).astype(np.float32) / 255
        self.degraded = self.clean
        if settings.objective == "restore":
            rng = np.random.default_rng([settings.seed, 3])
            kinds = list(settings.degradations)
            self.degraded = self.clean.copy()
            for number, picture in enumerate(self.clean):
                kind = kinds[number % len(kinds)]
                severity = float(rng.uniform(*settings.degradations[kind]))
                self.degraded[number] = _degraded(picture, kind, severity, seed=number)
        self.reconstructor = Reconstructor(model, {"stride": stride})
        self.loss = loss(settings.loss).make()

    def scores(self) -> dict[str, float]:
        from deconv_core.metrics.psnr import mean_psnr, psnr
        from deconv_core.metrics.ssim import ssim

        self.rebuilt = self.reconstructor.reconstruct(self.degraded)
        return {
            "psnr": mean_psnr(psnr(self.clean, self.rebuilt)),
            "ssim": float(ssim(self.clean, self.rebuilt).mean()),
            "loss": float(self.loss(self.clean, self.rebuilt)),
        }

    def show(self, folder: Path, *, rebuilt: bool = True, epoch: int = 0) -> None:
        """Write the shown pictures side by side: `epoch_0007.png`, or before training `reference.png`, `input.png`."""
        folder.mkdir(exist_ok=True)
        if rebuilt:
            _write_strip(folder / f"epoch_{epoch:04d}.png", self.rebuilt)
        else:
            _write_strip(folder / "reference.png", self.clean)
            _write_strip(folder / "input.png", self.degraded)


def _write_strip(path: Path, batch: np.ndarray) -> None:
    from deconv_core.images import crop_centre, encode_png

    side = min(_SHOWN_SIDE, *batch.shape[1:3])
    shown = [crop_centre(picture, side, side) for picture in batch[:_SHOWN_PICTURES]]
    write_whole(path, encode_png(np.concatenate(shown, axis=1)))


def _card(settings: TrainSettings, row, model, found, num_held_out: int, command: str) -> dict[str, Any]:
    import keras
    import tensorflow as tf

    code = model.get_layer("code").output.shape
    return {
        "name": settings.model_name,
        "label": settings.label or settings.model_name,
        "architecture": settings.architecture,
        "arguments": dict(settings.arguments),
        "objective": settings.objective,
        "degradations": {kind: list(span) for kind, span in settings.degradations.items()},
        "loss": settings.loss,
        "channels": int(model.input_shape[-1]),
        "stride": row.stride,
        "code_layer": "code",
        "code_channels": int(code[-1]),
        "parameters": int(model.count_params()),
        "value_range": [0.0, 1.0],
        "trained_on": settings.note or settings.data,
        "pictures": len(found.pictures),
        "data_digest": found.digest,
        "trained_at": f"{datetime.now(UTC):%Y-%m-%d}",
        "command": command,
        "seed": settings.seed,
        "epochs": settings.epochs,
        "versions": {"python": platform.python_version(), "tensorflow": tf.__version__, "keras": keras.__version__},
        "validation": {"set": "held out from the same source", "images": num_held_out, "psnr": None, "ssim": None},
        "measures": {},
        "laws": {},
        "licence": settings.licence,
    }


def _save_state(path: Path, model, optimizer, progress: Mapping[str, Any]) -> None:
    """Weights, optimiser and progress in one file, replaced atomically."""
    arrays = {f"weight_{i}": weight.numpy() for i, weight in enumerate(model.weights)}
    arrays |= {f"optimizer_{i}": np.asarray(variable) for i, variable in enumerate(optimizer.variables)}
    beside = path.with_suffix(".part.npz")
    np.savez(beside, progress=json.dumps(progress), **arrays)
    beside.replace(path)


def _load_state(path: Path, model, optimizer) -> tuple[int, list[dict], list[float], float]:
    with np.load(path, allow_pickle=False) as state:
        for i, weight in enumerate(model.weights):
            weight.assign(state[f"weight_{i}"])
        for i, variable in enumerate(optimizer.variables):
            variable.assign(state[f"optimizer_{i}"])
        progress = json.loads(str(state["progress"]))
    return progress["step"], progress["history"], progress["losses"], progress["best"]


def _write_history(path: Path, history: list[dict]) -> None:
    lines = io.StringIO()
    writer = csv.DictWriter(lines, fieldnames=list(history[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(history)
    write_whole(path, lines.getvalue())


def settings_from(stored: Mapping[str, Any]) -> TrainSettings:
    """Settings read back from `settings.json`; unknown entries are refused."""
    known = {entry.name for entry in fields(TrainSettings)}
    unknown = set(stored) - known
    if unknown:
        raise JobError(f"settings.json holds {', '.join(sorted(unknown))}, which this version does not know.")
    spans = {
        kind: tuple(map(float, span)) for kind, span in stored.get("degradations", {}).items()
    }  # JSON has no tuples
    return TrainSettings(**{**stored, "degradations": spans})
