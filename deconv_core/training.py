"""The one training loop, used by the command line, the dashboard and the tests alike.

A run lives in a folder: `settings.json`, `status.json` (replaced atomically), `log.txt` and `results/` with
`history.csv`, the last state and the best model. The batch of step n depends on the seed and n alone, so a run that
was stopped or killed and then resumed ends as an unbroken one would have.
"""

from __future__ import annotations

import hashlib
import json
import platform
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from deconv_core.errors import DeconvError, JobError, ModelError

OBJECTIVES = ("reconstruct", "restore")
SCHEDULES = ("cosine", "constant")
LOSSES: Mapping[str, str] = {
    "charbonnier": "Charbonnier (a smooth mean absolute error)",
    "mse": "Mean squared error",
    "mae": "Mean absolute error",
    "binary_crossentropy": "Binary cross-entropy",
}
_VALIDATION_PICTURES = 16
_VALIDATION_SIDE = 256
_SAVE_EVERY_SECONDS = 60.0


@dataclass(frozen=True)
class TrainSettings:
    """Everything that decides the outcome of a run, written to `settings.json`.

    Attributes:
        data: A SOURCE (see `deconv_core.sources`).
        include: File-name pattern within the source.
        architecture: A key of ARCHITECTURES.
        arguments: Arguments of its builder.
        objective: `reconstruct` (target = input) or `restore` (degraded in, clean out).
        degradations: For `restore`: kind -> (lowest, highest) severity; one kind is drawn for every patch.
        loss: A key of LOSSES.
        learning_rate: Highest rate of Adam.
        schedule: `cosine` falls to zero over the run, `constant` does not.
        patch_size: Side of the square training patches in pixels; pictures at most this large are used whole.
        batch_size: Patches per step.
        epochs: A unit of reporting; an epoch has `steps_per_epoch` steps.
        steps_per_epoch: 0 means every picture once.
        start_from: A trained model (name or file) whose weights are taken over before training, or "".
        seed: Decides weights, patches and degradations.
        name, label, licence, note: For the card.
    """

    data: str
    include: str = "*"
    architecture: str = "photo"
    arguments: Mapping[str, Any] = field(default_factory=dict)
    objective: str = "reconstruct"
    degradations: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    loss: str = "charbonnier"
    learning_rate: float = 2e-3
    schedule: str = "cosine"
    patch_size: int = 96
    batch_size: int = 16
    epochs: int = 20
    steps_per_epoch: int = 0
    start_from: str = ""
    seed: int = 0
    name: str = ""
    label: str = ""
    licence: str = "Apache-2.0"
    note: str = ""

    def check(self) -> None:
        """Raise DeconvError for the first setting that cannot work; reads no data."""
        from deconv_core.distortions import DISTORTIONS
        from deconv_core.models import architecture

        architecture(self.architecture)
        for option, value, valid in (
            ("objective", self.objective, OBJECTIVES),
            ("loss", self.loss, LOSSES),
            ("schedule", self.schedule, SCHEDULES),
        ):
            if value not in valid:
                raise DeconvError(f"--{option} got '{value}'; choose one of {', '.join(valid)}.")
        for kind in self.degradations:
            if kind not in DISTORTIONS:
                raise DeconvError(f"--degradations got '{kind}'; choose among {', '.join(DISTORTIONS)}.")
        if self.objective == "restore" and not self.degradations:
            raise DeconvError("--objective restore needs --degradations, for example white_noise:1-4,jpeg:1-4.")
        for option in ("patch_size", "batch_size", "epochs", "learning_rate"):
            if not getattr(self, option) > 0:
                raise DeconvError(f"--{option.replace('_', '-')} got {getattr(self, option)}; expected more than 0.")


@dataclass(frozen=True)
class Progress:
    """What a run tells its caller after every step: steps done, steps in all, epoch, and the last history row."""

    step: int
    steps: int
    epoch: int
    message: str


def train(
    settings: TrainSettings,
    folder: Path | str,
    *,
    resume: bool = False,
    command: str = "",
    report: Callable[[Progress], None] = lambda progress: None,
) -> dict[str, Any]:
    """Train a model into `folder` and return its card; the best epoch (by validation PSNR) becomes the model.

    Args:
        settings: What to do.
        folder: Job folder, made if missing; must be empty of an earlier run unless `resume`.
        resume: Go on from the last saved state with the settings stored in the folder.
        command: The command line to write on the card.
        report: Called after every step; may raise to end the run (the state is saved first).

    Returns:
        The card, also in `folder/results/NAME.json` beside `NAME.keras`.

    Raises:
        DeconvError: Settings or data cannot work.
        JobError: The folder holds another run, there is nothing to resume, or the loss became NaN.
    """
    settings.check()
    folder = Path(folder)
    results = folder / "results"
    state_file = results / "state.npz"
    if resume and not state_file.exists():
        raise JobError(f"Nothing to resume in '{folder}': it has no saved state. Start without --resume.")
    if not resume and (folder / "settings.json").exists():
        raise JobError(f"'{folder}' already holds a run. Choose another folder, or go on with --resume.")
    results.mkdir(parents=True, exist_ok=True)
    _write_json(folder / "settings.json", asdict(settings))
    job = _Job(folder)
    try:
        card = _run(settings, job, results, state_file, resume, command, report)
    except KeyboardInterrupt:
        job.status("stopped", "stopped on request; go on with --resume")
        raise
    except Exception as error:
        job.status("failed", str(error))
        raise
    job.status("finished", f"validation PSNR {card['validation']['psnr']:.2f} dB")
    return card


def _run(settings, job, results, state_file, resume, command, report) -> dict[str, Any]:
    import keras
    import tensorflow as tf

    from deconv_core.models import architecture
    from deconv_core.models.saving import load_model, read_card, save_model
    from deconv_core.sources import read_pictures

    keras.utils.set_random_seed(settings.seed)
    row = architecture(settings.architecture)
    model = row.build(**settings.arguments)
    channels = int(model.input_shape[-1])

    job.status("running", "reading pictures")
    found = read_pictures(settings.data, channels=channels, include=settings.include)
    for name, reason in found.rejected:
        job.log(f"left out {name}: {reason}")
    pictures, held_out = _split(found, settings.seed)
    job.log(f"{len(pictures)} pictures to train on, {len(held_out)} held out, digest {found.digest[:12]}")
    make_batch = _batch_maker(pictures, settings, row.stride)

    if settings.start_from:
        _take_over(model, load_model(settings.start_from).keras_model)
    elif settings.architecture == "photo":
        _initialise_linear_path(model, make_batch, steps=200)

    steps_per_epoch = settings.steps_per_epoch or max(1, len(pictures) // settings.batch_size)
    total = steps_per_epoch * settings.epochs
    rate = settings.learning_rate
    if settings.schedule == "cosine":
        rate = keras.optimizers.schedules.CosineDecay(rate, total)
    optimizer = keras.optimizers.Adam(rate, global_clipnorm=1.0)
    optimizer.build(model.trainable_variables)
    loss_function = _loss(settings.loss)

    @tf.function(autograph=False, jit_compile=False)
    def step_function(degraded, clean):
        with tf.GradientTape() as tape:
            loss = loss_function(clean, model(degraded, training=True))
        optimizer.apply(tape.gradient(loss, model.trainable_variables), model.trainable_variables)
        return loss

    validation = _Validation(model, held_out, settings, row.stride)
    start, history, losses, best = 0, [], [], -np.inf
    if resume:
        start, history, losses, best = _load_state(state_file, model, optimizer)
        job.log(f"resumed at step {start} of {total}")

    def save_state(step):
        losses[:] = [float(loss) for loss in losses]  # the losses of an unfinished epoch go on in the next process
        _save_state(state_file, model, optimizer, step=step, best=best, history=history, losses=losses)

    shape = make_batch(0)[0].shape

    def load(step):
        return [
            tf.ensure_shape(part, shape) for part in tf.numpy_function(make_batch, [step], (tf.float32, tf.float32))
        ]

    data = tf.data.Dataset.range(start, total).map(load, num_parallel_calls=2, deterministic=True)
    began = saved = time.monotonic()
    step, message = start, ""
    card = _card(settings, row, model, found, len(validation.clean), command)
    model_file = results / f"{card['name']}.keras"
    try:
        for degraded, clean in data.prefetch(4):
            losses.append(step_function(degraded, clean))
            step += 1
            epoch = step // steps_per_epoch
            if step % steps_per_epoch == 0:
                loss = float(np.mean(losses))
                losses.clear()
                if not np.isfinite(loss):
                    raise JobError(
                        f"The loss became {loss} in epoch {epoch}; the best model so far is kept. "
                        "Lower --learning-rate."
                    )
                scores = validation.scores()
                history.append({"epoch": epoch, "step": step, "loss": loss, **scores})
                _write_history(results / "history.csv", history)
                speed = (step - start) * settings.batch_size / (time.monotonic() - began)
                message = (
                    f"epoch {epoch}/{settings.epochs}: loss {loss:.5f}, validation PSNR {scores['psnr']:.2f} dB, "
                    f"SSIM {scores['ssim']:.4f}, {speed:.0f} patches/s"
                )
                job.log(message)
                if scores["psnr"] > best:
                    best = scores["psnr"]
                    card["validation"] = {**card["validation"], **scores, "epoch": epoch}
                    save_model(model, model_file, card)
                save_state(step)
                saved = time.monotonic()
                job.status("running", message, step, total)
            elif time.monotonic() - saved > _SAVE_EVERY_SECONDS:
                save_state(step)
                saved = time.monotonic()
                job.status("running", f"step {step} of {total}", step, total)
            report(Progress(step, total, epoch, message))
    except KeyboardInterrupt:
        save_state(step)
        raise
    return read_card(model_file)


class _Job:
    """The files by which a run speaks to whoever watches it."""

    def __init__(self, folder: Path):
        self.folder = folder

    def status(self, state: str, message: str, done: int = 0, total: int = 0) -> None:
        when = datetime.now(UTC).isoformat(timespec="seconds")
        status = {"state": state, "done": done, "total": total, "message": message, "updated": when}
        _write_json(self.folder / "status.json", status)

    def log(self, line: str) -> None:
        with (self.folder / "log.txt").open("a", encoding="utf-8") as file:
            file.write(f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} {line}\n")


def _split(found, seed: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Training pictures and held-out pictures; the source's own test set is used where it has one."""
    if found.held_out:
        return found.pictures, found.held_out
    count = min(_VALIDATION_PICTURES, max(1, len(found.pictures) // 10))
    chosen = set(np.random.default_rng([seed, 1]).permutation(len(found.pictures))[:count].tolist())
    if len(found.pictures) == 1:
        return found.pictures, found.pictures
    train = [picture for number, picture in enumerate(found.pictures) if number not in chosen]
    return train, [found.pictures[number] for number in sorted(chosen)]


def _batch_maker(pictures, settings: TrainSettings, stride: int):
    """A function from the step's number to (degraded, clean), float32 in [0, 1]."""
    from deconv_core.distortions import distort

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
            degraded[number] = distort(patch, kind, severity, seed=int(rng.integers(2**31)))
        return degraded, clean

    return make


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
    shapes = [tuple(weight.shape) for weight in model.weights]
    if shapes != [tuple(weight.shape) for weight in trained.weights]:
        raise ModelError(
            "--start-from names a model of another architecture; give the same --architecture and --arguments."
        )
    model.set_weights(trained.get_weights())


def _loss(name: str):
    import tensorflow as tf

    def charbonnier(clean, rebuilt):
        return tf.reduce_mean(tf.sqrt(tf.square(rebuilt - clean) + 1e-6))

    def binary_crossentropy(clean, rebuilt):
        rebuilt = tf.clip_by_value(rebuilt, 1e-7, 1 - 1e-7)
        return -tf.reduce_mean(clean * tf.math.log(rebuilt) + (1 - clean) * tf.math.log(1 - rebuilt))

    return {
        "charbonnier": charbonnier,
        "mse": lambda clean, rebuilt: tf.reduce_mean(tf.square(rebuilt - clean)),
        "mae": lambda clean, rebuilt: tf.reduce_mean(tf.abs(rebuilt - clean)),
        "binary_crossentropy": binary_crossentropy,
    }[name]


class _Validation:
    """Scores of the model on the held-out pictures, cut to one size."""

    def __init__(self, model, held_out, settings: TrainSettings, stride: int):
        from deconv_core.distortions import distort
        from deconv_core.models.inference import Reconstructor

        side = min(_VALIDATION_SIDE, *(min(picture.shape[:2]) for picture in held_out))
        tops = [((picture.shape[0] - side) // 2, (picture.shape[1] - side) // 2) for picture in held_out]
        self.clean = np.stack([p[y : y + side, x : x + side] for p, (y, x) in zip(held_out, tops, strict=True)]) / 255
        self.clean = self.clean.astype(np.float32)
        self.degraded = self.clean
        if settings.objective == "restore":
            rng = np.random.default_rng([settings.seed, 3])
            kinds = list(settings.degradations)
            self.degraded = self.clean.copy()
            for number, picture in enumerate(self.clean):
                kind = kinds[number % len(kinds)]
                severity = float(rng.uniform(*settings.degradations[kind]))
                self.degraded[number] = distort(picture, kind, severity, seed=number)
        self.reconstructor = Reconstructor(model, {"stride": stride})

    def scores(self) -> dict[str, float]:
        from deconv_core.metrics.psnr import psnr
        from deconv_core.metrics.ssim import ssim

        rebuilt = self.reconstructor.reconstruct(self.degraded)
        return {"psnr": float(psnr(self.clean, rebuilt).mean()), "ssim": float(ssim(self.clean, rebuilt).mean())}


def _card(settings: TrainSettings, row, model, found, num_held_out: int, command: str) -> dict[str, Any]:
    import keras
    import tensorflow as tf

    code = model.get_layer("code").output.shape
    name = settings.name or f"{settings.architecture}_{hashlib.sha256(repr(settings).encode()).hexdigest()[:6]}"
    return {
        "name": name,
        "label": settings.label or name,
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


def _save_state(path: Path, model, optimizer, **progress) -> None:
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
    lines = [",".join(history[0]), *(",".join(str(value) for value in row.values()) for row in history)]
    beside = path.with_suffix(".part")
    beside.write_text("\n".join(lines) + "\n", encoding="utf-8")
    beside.replace(path)


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    beside = path.with_name(path.name + ".part")
    beside.write_text(json.dumps(content, indent=2), encoding="utf-8")
    beside.replace(path)


def settings_from(stored: Mapping[str, Any]) -> TrainSettings:
    """Settings read back from `settings.json`; unknown entries are refused."""
    known = {entry.name for entry in fields(TrainSettings)}
    unknown = set(stored) - known
    if unknown:
        raise JobError(f"settings.json holds {', '.join(sorted(unknown))}, which this version does not know.")
    return TrainSettings(**stored)
