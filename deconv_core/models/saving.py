"""A model on disk: `NAME.keras` and its card `NAME.json`. Save, verify, list, load, and take in files from outside.

A file from outside is first checked without Keras (`verify_file`, see `checking.py`), then loaded once in a child
process with limits on memory and time, which writes it anew; only that new file is ever loaded here.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from hashlib import file_digest
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deconv_core.errors import DeconvError, ModelError
from deconv_core.files import write_whole
from deconv_core.models.checking import (
    ALLOWED_LAYERS,
    CONFIG,
    METADATA,
    WEIGHTS,
    verify_file,
    verify_layers,
)
from deconv_core.workspace import folder, workspace

if TYPE_CHECKING:
    from deconv_core.models.inference import Reconstructor

__all__ = [
    "ALLOWED_LAYERS",
    "Limits",
    "import_model",
    "list_models",
    "load_model",
    "read_card",
    "save_model",
    "update_card",
    "verify_file",
]

ZOO = Path(__file__).resolve().parent / "zoo"
MAX_CARD_BYTES = 1 << 20
MAX_STRIDE = 64
KEEP_LOADED = 8  # models held in memory at once

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,59}")
_NEEDED = {"name": str, "digest": str, "channels": int, "stride": int}


@dataclass(frozen=True)
class Limits:
    """What the child process that first loads a foreign file may use.

    Attributes:
        memory_bytes: Address space, of which TensorFlow alone takes about 2.5 GiB.
        cpu_seconds: Processor time.
        wall_seconds: Time on the clock.
    """

    memory_bytes: int = 6 << 30
    cpu_seconds: int = 120
    wall_seconds: float = 180.0


# ------------------------------------------------------------------------------------------------------------ save


def save_model(model: Any, path: str | Path, card: Mapping[str, Any]) -> dict[str, Any]:
    """Write `NAME.keras` and `NAME.json`, each in one step, and return the finished card.

    Optimiser and loss are left out, and nothing of the clock goes in: the same weights give the same bytes.

    Args:
        model: A functional or sequential Keras model of layers on the allow-list.
        path: Ends in `.keras`; the card goes beside it.
        card: What is known about the model. `name`, `digest`, `bytes`, `parameters` and `versions` are filled in here.

    Raises:
        ModelError: The path does not end in `.keras`, the model holds a layer that would be refused when read, or the
            card is no JSON.
    """
    import keras

    path = Path(path)
    if path.suffix != ".keras":
        raise ModelError(f"A model is saved as NAME.keras; got '{path.name}'. Change the ending.")
    # The same layers without optimiser and loss.
    plain = keras.Model(model.input, model.output, name=model.name) if model.compiled else model
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".saving_", dir=path.parent) as box:
        file = Path(box, path.name)
        plain.save(file)
        _settle(file)
        versions = {
            "python": platform.python_version(),
            "tensorflow": metadata.version("tensorflow"),
            "keras": metadata.version("keras"),
        }
        return _publish(file, path, {**card, "versions": versions})


def _settle(file: Path) -> None:
    """Write the archive again without dates and memory addresses, so that equal models are equal files."""
    numbers: dict[int, int] = {}

    def renumber(entry: dict[str, Any]) -> dict[str, Any]:
        if entry.get("class_name") == "DTypePolicy":  # equal ones are shared or not as it happens
            entry.pop("shared_object_id", None)
        elif "shared_object_id" in entry:
            entry["shared_object_id"] = numbers.setdefault(entry["shared_object_id"], len(numbers) + 1)
        return entry

    with zipfile.ZipFile(file) as archive:
        members = {name: archive.read(name) for name in (METADATA, CONFIG, WEIGHTS)}
    version = json.loads(members[METADATA])["keras_version"]
    members[METADATA] = json.dumps({"keras_version": version}).encode()
    members[CONFIG] = json.dumps(json.loads(members[CONFIG], object_hook=renumber)).encode()
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name), data)  # dated 1980, stored as Keras stores


def _publish(file: Path, path: Path, card: Mapping[str, Any]) -> dict[str, Any]:
    """Check a finished file, then move it and its card to their place."""
    report = verify_file(file)
    done = {
        **card,
        "name": path.stem,
        "digest": report["digest"],
        "bytes": report["bytes"],
        "parameters": report["parameters"],
    }
    text = _card_text(path.stem, done)
    write_whole(path, file.read_bytes())
    write_whole(path.with_suffix(".json"), text)
    return done


def update_card(name_or_path: str | Path, **facts: Any) -> dict[str, Any]:
    """Add to a model's card, or replace there, what was found out after saving (`measures`, `laws`, ...).

    Returns:
        The new card, as it reads back from the file.

    Raises:
        ModelError: No such model, a fact that belongs to the file (`name`, `digest`, `bytes`, `parameters`), or one
            that is no JSON.
    """
    path = _locate(name_or_path)
    fixed = sorted({"name", "digest", "bytes", "parameters"} & set(facts))
    if fixed:
        raise ModelError(
            f"The card of '{path.stem}' takes {', '.join(fixed)} from its file; save the model again instead."
        )
    write_whole(path.with_suffix(".json"), _card_text(path.stem, {**read_card(path), **facts}))
    return read_card(path)


def _card_text(name: str, card: Mapping[str, Any]) -> str:
    try:
        return json.dumps(card, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    except (TypeError, ValueError) as error:
        raise ModelError(
            f"The card of '{name}' cannot be written as JSON ({error}); give plain, finite values."
        ) from error


# ---------------------------------------------------------------------------------------------------- find and load


def read_card(name_or_path: str | Path) -> dict[str, Any]:
    """The card of a model, by name (bundled, then the workspace's) or by the path of its `.keras` or `.json` file.

    Raises:
        ModelError: No such model, no card beside it, or a card that is damaged.
    """
    path = _locate(name_or_path).with_suffix(".json")
    try:
        if path.stat().st_size > MAX_CARD_BYTES:
            raise ModelError(f"The card '{path.name}' has more than {MAX_CARD_BYTES:,} bytes; save the model again.")
        card = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ModelError(
            f"'{path.stem}.keras' has no card '{path.name}' beside it. "
            "Take the file in with: python -m deconv_core models import FILE"
        ) from error
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise ModelError(f"The card '{path.name}' cannot be read ({error}); save or import the model again.") from error
    if not isinstance(card, dict):
        raise ModelError(f"The card '{path.name}' is not a JSON object; save or import the model again.")
    for key, kind in _NEEDED.items():
        if not isinstance(card.get(key), kind) or isinstance(card.get(key), bool):
            raise ModelError(
                f"The card '{path.name}' has no usable '{key}' (got {card.get(key)!r:.60}, expected {kind.__name__}); "
                "save or import the model again."
            )
    if card["name"] != path.stem:
        raise ModelError(f"The card '{path.name}' is that of '{card['name']}'; rename the files back.")
    return card


def list_models() -> list[dict[str, Any]]:
    """All models here, bundled ones first: each card with `path`, `origin` ("bundled" or "workspace") and `reason`.

    `reason` is "" for a model that can be used, else the sentence that says what is wrong; such an entry may hold
    nothing else than `name` and `label`. Files are compared with their cards by size here, by digest when loaded.
    """
    models: list[dict[str, Any]] = []
    for origin, place in _places():
        for stem in sorted({file.stem for file in place.glob("*.*") if file.suffix in (".keras", ".json")}):
            if stem.startswith(".") or any(model["name"] == stem for model in models):
                continue
            path = place / f"{stem}.keras"
            entry: dict[str, Any] = {"name": stem, "label": stem, "reason": ""}
            try:
                entry |= read_card(path)
                if not path.is_file():
                    entry["reason"] = f"The file '{path.name}' is missing beside its card."
                elif entry.get("bytes", path.stat().st_size) != path.stat().st_size:
                    entry["reason"] = f"The file '{path.name}' is not the one its card describes; import it again."
            except ModelError as error:
                entry["reason"] = str(error)
            models.append({**entry, "path": str(path), "origin": origin})
    return models


def load_model(name_or_path: str | Path) -> Reconstructor:
    """A model ready for work, by name or by path. The same object is given out again while its card stays the same.

    The file's digest must be the one on the card, and the file must pass `verify_file`, bundled or not.

    Raises:
        ModelError: No such model, a file that is not the card's, or one that is refused.
    """
    path = _locate(name_or_path)
    return _load(str(path), json.dumps(read_card(path), sort_keys=True))


@lru_cache(maxsize=KEEP_LOADED)
def _load(path: str, card_text: str) -> Reconstructor:
    from deconv_core.models.inference import Reconstructor

    card = json.loads(card_text)
    with tempfile.TemporaryDirectory(prefix="deconv_load_") as box:
        # What is checked is what is loaded, even if the file is exchanged meanwhile.
        copy = Path(box, Path(path).name)
        try:
            shutil.copyfile(path, copy)
        except OSError as error:
            raise ModelError(f"'{copy.name}' cannot be read ({error.strerror}); import the model again.") from error
        with copy.open("rb") as file:
            digest = file_digest(file, "sha256").hexdigest()
        if digest != card["digest"]:
            raise ModelError(
                f"'{copy.name}' has the digest {digest[:12]}…, its card says {card['digest'][:12]}…. "
                "The file is not the one that was saved; import or train the model again."
            )
        verify_file(copy)
        return Reconstructor(_load_keras(copy), card)


def _load_keras(path: Path) -> Any:
    import keras

    from deconv_core.models import layers  # noqa: F401 - registers our layers

    with warnings.catch_warnings(record=True) as remarks:
        warnings.simplefilter("always")
        try:
            model = keras.saving.load_model(path, compile=False, safe_mode=True)
        except Exception as error:  # Keras raises nearly anything for files that do not fit together
            detail = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
            raise ModelError(
                f"Keras cannot load '{path.name}' ({detail}). Save the model again with Keras 3."
            ) from error
    if any("freshly-initialized" in str(remark.message) for remark in remarks):
        raise ModelError(f"'{path.name}' lacks the weights of some of its layers; save the model again with Keras 3.")
    return model


def _places() -> tuple[tuple[str, Path], ...]:
    return ("bundled", ZOO), ("workspace", workspace() / "models")


def _locate(name_or_path: str | Path) -> Path:
    """The `.keras` path that is meant; by name it must exist."""
    if isinstance(name_or_path, Path) or re.search(r"[/\\]|\.(keras|json)$", name_or_path):
        path = Path(name_or_path)
        if path.suffix not in (".keras", ".json"):
            raise ModelError(f"'{path.name}' is not a model; give a name or a path that ends in .keras.")
        return path.with_suffix(".keras")
    if _NAME.fullmatch(name_or_path):
        for _, place in _places():
            if (place / f"{name_or_path}.keras").is_file():
                return place / f"{name_or_path}.keras"
    names = [model["name"] for model in list_models() if not model["reason"]]
    raise ModelError(f"There is no model '{name_or_path[:80]}'; choose one of {', '.join(names) or '(none here yet)'}.")


# ---------------------------------------------------------------------------------------------- files from outside


def import_model(path: str | Path, *, name: str | None = None, limits: Limits | None = None) -> dict[str, Any]:
    """Take in a `.keras` file from outside: check it, load and rewrite it in a limited child, add it to the workspace.

    The child frees height and width where the layers allow it, tries the model on a small picture, and finds the
    stride and the code layer: the one named `code`, else the smallest activation through which everything passes.

    Args:
        path: A file that anyone may have made.
        name: Name here; without one, the file's name. Reduced to a-z, 0-9, "_" and "-", at most 60 characters; a
            number is added where the workspace has another model of that name.
        limits: What the child may use.

    Returns:
        The card.

    Raises:
        ModelError: The file is refused, the name belongs to a bundled model, or the child met a limit; one sentence.
    """
    path, limits = Path(path), limits or Limits()
    given = verify_layers(path)
    wanted = _clean_name(path.stem if name is None else name)
    with tempfile.TemporaryDirectory(prefix="deconv_import_") as box:
        copy = Path(box, path.name if re.fullmatch(r"[\w. ()-]{1,100}\.keras", path.name) else "model.keras")
        shutil.copyfile(path, copy)
        facts = _run_child(copy, limits)
        made = Path(box, "made", "made.keras")
        if not made.is_file() or made.is_symlink():
            raise ModelError(f"'{path.name}' could not be rewritten; save the model again with Keras 3.")
        stem = _free_name(wanted, given["digest"])
        return _publish(made, folder("models") / f"{stem}.keras", _foreign_card(path, stem, given, facts))


def _clean_name(text: str) -> str:
    """Lower case, other signs become "-"; refuses what leaves nothing, or a bundled model's name."""
    name = re.sub(r"[^a-z0-9_-]+", "-", text.lower()).strip("-_")[:60].rstrip("-_")
    if not name:
        raise ModelError(f"'{text[:60]}' leaves no name for the model; give one of letters, digits, '-' and '_'.")
    if any((ZOO / f"{name}{suffix}").exists() for suffix in (".keras", ".json")):
        raise ModelError(f"'{name}' is a bundled model and stays as it is; import the file under another name.")
    return name


def _free_name(name: str, source_digest: str) -> str:
    """The name itself, or with a number where another model has it; the same file imported again keeps its name."""
    place, number, candidate = folder("models"), 1, name
    while (place / f"{candidate}.keras").exists() or (place / f"{candidate}.json").exists():
        with contextlib.suppress(ModelError):
            if read_card(place / f"{candidate}.keras").get("source_digest") == source_digest:
                break
        number += 1
        candidate = f"{name[: 59 - len(str(number))]}-{number}"
    return candidate


def _foreign_card(path: Path, name: str, given: Mapping[str, Any], facts: Mapping[str, Any]) -> dict[str, Any]:
    """What is known about a model of unknown making. The child's words are taken as plain numbers and short texts."""
    code_layer = facts.get("code_layer")
    return {
        "name": name,
        "label": path.stem[:60],
        "architecture": "imported",
        "arguments": {},
        "objective": "reconstruct",
        "degradations": [],
        "loss": "",
        "channels": int(facts["channels"]),
        "stride": int(facts["stride"]),
        "code_channels": int(facts["code_channels"]),
        "code_layer": None if code_layer is None else str(code_layer)[:200],
        "value_range": [0.0, 1.0],
        "trained_on": "unknown",
        "data_digest": "",
        "trained_at": "",
        "command": "python -m deconv_core models import FILE",
        "seed": None,
        "epochs": None,
        "steps": None,
        "versions": {str(key)[:20]: str(value)[:20] for key, value in dict(facts["versions"]).items()},
        "validation": {},
        "measures": {},
        "laws": {},
        "licence": "unknown",
        "source_file": path.name[:200],
        "source_digest": given["digest"],
        "layers": given["layers"],
        "checks": given["checks"],
        "notes": [str(note)[:400] for note in list(facts["notes"])[:10]],
    }


def _run_child(copy: Path, limits: Limits) -> dict[str, Any]:
    """Start the child, wait within the limits, and turn whatever happens into facts or one sentence."""
    box = copy.parent
    kept = ("PATH", "LANG", "LC_ALL", "SYSTEMROOT", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
    root = str(Path(__file__).resolve().parents[2])
    environment = {key: os.environ[key] for key in kept if key in os.environ} | {
        "PYTHONPATH": os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")])),
        "PYTHONSAFEPATH": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "HOME": str(box),
        "TMPDIR": str(box),
        "KERAS_HOME": str(box),
        "KERAS_BACKEND": "tensorflow",
        "CUDA_VISIBLE_DEVICES": "-1",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        # Arenas and threads take address space by the number of cores, which the limit would then punish.
        "MALLOC_ARENA_MAX": "2",
        "OMP_NUM_THREADS": "2",
        "TF_NUM_INTRAOP_THREADS": "2",
        "TF_NUM_INTEROP_THREADS": "1",
        "HDF5_PLUGIN_PATH": "::",
    }
    command = [sys.executable, "-m", "deconv_core.models.saving", str(copy), str(limits.memory_bytes)]
    command.append(str(limits.cpu_seconds))
    with Path(box, "log.txt").open("wb") as log:
        child = subprocess.Popen(
            command,
            cwd=box,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            status = child.wait(limits.wall_seconds)
        except subprocess.TimeoutExpired:
            raise ModelError(
                f"Loading '{copy.name}' took longer than {limits.wall_seconds:g} s and was stopped; "
                "the model is too large or built to stall. Import a smaller one."
            ) from None
        finally:
            _end(child)
    facts = _read_facts(Path(box, "facts.json"))
    if facts and "error" in facts:
        raise ModelError(str(facts["error"])[:1000])
    if status == 0 and facts:
        return facts
    if -status == getattr(signal, "SIGXCPU", None):
        raise ModelError(
            f"Loading '{copy.name}' used more than {limits.cpu_seconds} s of processor time and was stopped; "
            "the model is too large or built to stall. Import a smaller one."
        )
    raise ModelError(
        f"Loading '{copy.name}' ended with status {status}, most likely because {limits.memory_bytes / 2**30:.3g} GiB "
        "of memory did not suffice. Import a smaller model."
    )


def _end(child: subprocess.Popen) -> None:
    """End the child and whatever it started."""
    if child.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            if hasattr(os, "killpg"):
                os.killpg(child.pid, signal.SIGKILL)
            else:
                child.kill()
        child.wait()


def _read_facts(path: Path) -> dict[str, Any] | None:
    try:
        if path.is_symlink() or path.stat().st_size > MAX_CARD_BYTES:
            return None
        facts = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return facts if isinstance(facts, dict) else None


# ------------------------------------------------------------------------------------------------ inside the child


def _child(arguments: list[str]) -> int:
    """`python -m deconv_core.models.saving FILE MEMORY CPU`: check, load, adapt, try, rewrite; facts go to a file."""
    copy, memory_bytes, cpu_seconds = Path(arguments[0]), int(arguments[1]), int(arguments[2])
    _limit(memory_bytes, cpu_seconds)
    try:
        facts = _adapt(copy)
    except DeconvError as error:
        facts = {"error": str(error)}
    except MemoryError:
        facts = {
            "error": f"Loading '{copy.name}' needs more than the {memory_bytes / 2**30:.3g} GiB of memory it may use. "
            "Import a smaller model."
        }
    copy.with_name("facts.json").write_text(json.dumps(facts), encoding="utf-8")
    return 1 if "error" in facts else 0


def _limit(memory_bytes: int, cpu_seconds: int) -> None:
    try:
        import resource
    except ImportError:  # Windows has only the clock
        return
    for kind, soft, hard in (
        (resource.RLIMIT_CPU, cpu_seconds, cpu_seconds + 5),
        (resource.RLIMIT_AS, memory_bytes, memory_bytes),
        (resource.RLIMIT_FSIZE, 2 << 30, 2 << 30),
        (resource.RLIMIT_CORE, 0, 0),
    ):
        with contextlib.suppress(ValueError, OSError):  # macOS knows no limit on address space
            resource.setrlimit(kind, (soft, hard))


def _adapt(copy: Path) -> dict[str, Any]:
    verify_file(copy)
    model = _load_keras(copy)
    import keras
    import numpy as np

    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise ModelError(
            f"'{copy.name}' has {len(model.inputs)} inputs and {len(model.outputs)} outputs; "
            "expected one picture in and one picture out."
        )
    channels = int(model.inputs[0].shape[-1])
    free, tensors = _free_size(keras.Model(model.inputs[0], model.outputs[0], name=model.name), copy.name)
    stride = _find_stride(free, channels, copy.name)
    whole = -(-48 // stride)
    height, width = max(3, whole) * stride, (max(3, whole) + 1) * stride
    free, code_layer, code_channels = _find_code(free, tensors, (1, height, width, channels))
    rows, columns = np.mgrid[0:height, 0:width]
    pattern = 0.5 + 0.4 * np.sin(rows / 9.0) * np.cos(columns / 7.0)
    picture = np.repeat(pattern[None, ..., None], channels, axis=-1).astype(np.float32)
    answer = np.asarray(free(picture, training=False))
    if answer.shape != picture.shape:
        raise ModelError(
            f"'{copy.name}' gives {answer.shape} for a picture of {picture.shape}; expected the same shape."
        )
    if not np.isfinite(answer).all():
        raise ModelError(f"'{copy.name}' answers a plain picture with values that are not numbers; train it again.")
    notes = []
    if code_layer is None:
        notes.append(
            "Connections skip every layer, so encoder and decoder cannot be taken apart; the code is not shown."
        )
    if answer.min() < -0.5 or answer.max() > 1.5:
        notes.append(
            f"On a test pattern in [0, 1] it answers with {answer.min():.2f} to {answer.max():.2f}: it was probably "
            "trained on another range of values, and its scores mean little here."
        )
    card = save_model(free, copy.with_name("made") / "made.keras", {"channels": channels, "stride": stride})
    return {
        "channels": channels,
        "stride": stride,
        "code_layer": code_layer,
        "code_channels": code_channels,
        "versions": card["versions"],
        "notes": notes,
    }


def _free_size(model: Any, file_name: str) -> tuple[Any, dict[str, Any]]:
    """The same layers on an input of any height and width, and each layer's output by name."""
    import keras

    tensors: dict[str, Any] = {}

    def call(layer, *args, **kwargs):
        tensors[layer.name] = layer(*args, **kwargs)
        return tensors[layer.name]

    def open_inputs(tree: Any) -> None:
        """Inner models have inputs of their own."""
        if isinstance(tree, dict):
            settings = tree.get("config")
            if tree.get("class_name") == "InputLayer" and len(settings["batch_shape"]) == 4:
                settings["batch_shape"] = (None, None, None, settings["batch_shape"][-1])
            for value in tree.values():
                open_inputs(value)
        elif isinstance(tree, list | tuple):
            for value in tree:
                open_inputs(value)

    try:
        settings = model.get_config()
        open_inputs(settings)
        opened = keras.Model.from_config(settings)
        opened.set_weights(model.get_weights())
        picture = keras.Input(tuple(opened.inputs[0].shape[1:]), name=opened.inputs[0].name)
        free = keras.models.clone_model(
            opened, input_tensors=picture, clone_function=lambda layer: layer, call_function=call
        )
        if free.output_shape[1:3] != (None, None):
            raise ValueError("the output keeps its size")
    except (ValueError, TypeError, AttributeError) as error:
        size = tuple(model.inputs[0].shape[1:3])
        raise ModelError(
            f"'{file_name}' works on pictures of {size} alone; expected a model for any height and width. "
            "Build it on Input((None, None, channels)), without Flatten, Reshape and Dense on the picture's size."
        ) from error
    return free, tensors


def _find_stride(model: Any, channels: int, file_name: str) -> int:
    """The smallest number such that all its multiples come out with the size they went in."""

    def gives(height: int, width: int) -> tuple | None:
        try:
            return tuple(model.compute_output_shape((1, height, width, channels)))
        except Exception:  # sizes that do not divide make layers raise in their own ways
            return None

    for stride in range(1, MAX_STRIDE + 1):
        first = max(3, -(-48 // stride))
        sizes = [(stride * number, stride * (number + 1)) for number in range(first, first + 4)]
        if all(gives(height, width) == (1, height, width, channels) for height, width in sizes):
            return stride
    raise ModelError(
        f"'{file_name}' gives {gives(192, 192)} for a picture of (1, 192, 192, {channels}), and no size up to "
        f"multiples of {MAX_STRIDE} comes out as it went in. Expected output and input of one shape: use "
        "padding='same', and as much upsampling as pooling."
    )


def _find_code(model: Any, tensors: dict[str, Any], shape: tuple[int, ...]) -> tuple[Any, str | None, int]:
    """The model (with a named layer after the code where an inner model ends in it), the code layer, its channels."""
    import keras

    passes = [name for name in _bottlenecks(model) if name in tensors and len(tensors[name].shape) == 4]
    if not passes:
        return model, None, 0
    if "code" in passes:
        chosen = "code"
    else:
        probe = keras.Model(model.inputs, [tensors[name] for name in passes])
        shapes = probe.compute_output_shape(shape)
        shapes = [shapes] if isinstance(shapes, tuple) else shapes
        elements = [int(side[1]) * int(side[2]) * int(side[3]) for side in shapes]
        # The last of equals: after the activation, not before it.
        chosen = max((-size, place, name) for place, (size, name) in enumerate(zip(elements, passes, strict=True)))[2]
    code_channels = int(tensors[chosen].shape[-1])
    if not isinstance(model.get_layer(chosen), keras.Model):
        return model, chosen, code_channels
    name = "code" if chosen != "code" else "code_out"

    def call(layer, *args, **kwargs):
        output = layer(*args, **kwargs)
        return keras.layers.Identity(name=name)(output) if layer.name == chosen else output

    picture = keras.Input(tuple(model.inputs[0].shape[1:]), name=model.inputs[0].name)
    named = keras.models.clone_model(
        model, input_tensors=picture, clone_function=lambda layer: layer, call_function=call
    )
    return named, name, code_channels


def _bottlenecks(model: Any) -> list[str]:
    """Layers through which every way from input to output leads, in order; neither the first nor the last."""
    config = model.get_config()
    followers: dict[str, set[str]] = {entry["name"]: set() for entry in config["layers"]}
    calls: dict[str, int] = {entry["name"]: len(entry["inbound_nodes"]) for entry in config["layers"]}
    for entry in config["layers"]:
        for producer in _producers(entry["inbound_nodes"]):
            followers[producer].add(entry["name"])
    first, last = _end_name(config["input_layers"]), _end_name(config["output_layers"])

    def leads_around(blocked: str) -> bool:
        waiting, seen = [first], {first, blocked}
        while waiting:
            name = waiting.pop()
            if name == last:
                return True
            waiting += [follower for follower in followers[name] if follower not in seen]
            seen |= followers[name]
        return False

    return [name for name in followers if name not in (first, last) and calls[name] == 1 and not leads_around(name)]


def _producers(tree: Any) -> list[str]:
    """Names of the layers whose tensors appear in a node."""
    if isinstance(tree, Mapping):
        if "keras_history" in tree:
            return [tree["keras_history"][0]]
        return [name for value in tree.values() for name in _producers(value)]
    if isinstance(tree, list | tuple):
        return [name for value in tree for name in _producers(value)]
    return []


def _end_name(value: Any) -> str:
    while not isinstance(value, str):
        value = value[0]
    return value


if __name__ == "__main__":
    sys.exit(_child(sys.argv[1:]))
