"""Is this file a Keras model made of plain layers, and nothing else? Answered before Keras sees it.

A `.keras` file is a zip of three members: `metadata.json`, `config.json` (the layers) and `model.weights.h5`. All three
come from whoever made the file, so all three are hostile until checked. Nothing is guessed to be harmless: a layer, a
setting of a layer or a kind of object that is not listed here is refused. TensorFlow and Keras are never imported.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import stat
import struct
import tempfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from deconv_core.errors import ModelError

CONFIG, METADATA, WEIGHTS = "config.json", "metadata.json", "model.weights.h5"

# Ten to a hundred times what a useful model here needs, and little enough for a small server to survive.
MAX_MEMBER_BYTES = {CONFIG: 4 << 20, METADATA: 64 << 10, WEIGHTS: 1 << 30}
MAX_FILE_BYTES = sum(MAX_MEMBER_BYTES.values())
MAX_RATIO = 100  # Keras stores without compression; float weights deflate by a tenth, repetitive JSON by 40
MAX_DIRECTORY_BYTES = 4096  # of the zip: three entries take about 200
MAX_DEPTH = 64  # of the JSON: a plain graph reaches 13, each nested model adds 4
MAX_LAYERS = 2000
MAX_PARAMETERS = 200_000_000
MAX_FILTERS = 8192
MAX_UNITS = 65536
MAX_SIDE = 8192  # of a fixed input, in pixels
MAX_ELEMENTS = 1 << 28  # in any shape that a config states
MAX_NODES = 20_000  # groups and datasets in the weights


def _listed(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_PLAIN = _listed("""
    InputLayer Conv2D SeparableConv2D DepthwiseConv2D Conv2DTranspose Dense
    MaxPooling2D AveragePooling2D GlobalAveragePooling2D GlobalMaxPooling2D UpSampling2D ZeroPadding2D Cropping2D
    Add Subtract Multiply Average Maximum Minimum Concatenate
    BatchNormalization LayerNormalization GroupNormalization UnitNormalization RMSNormalization
    Activation ReLU LeakyReLU PReLU ELU Softmax Identity Rescaling Reshape Flatten
    Dropout SpatialDropout2D GaussianNoise GaussianDropout ActivityRegularization
""")
_OURS = ("SpaceToDepth", "DepthToSpace", "DivisiveNormalisation")
_ARITHMETIC = ("Add", "Subtract", "Multiply", "Divide", "TrueDivide", "Negative", "Clip", "Maximum", "Minimum")

# kind -> (module, registered_name) as Keras 3 writes them; both must match: Keras looks up either.
ALLOWED_LAYERS: dict[str, tuple[tuple[str, str | None], ...]] = {
    **dict.fromkeys(_PLAIN, (("keras.layers", None),)),
    **{kind: (("deconv_core.models.layers", f"deconv_core>{kind}"),) for kind in _OURS},
    "Functional": (("keras.src.models.functional", "Functional"),),
    "Sequential": (("keras", None), ("keras.models", None)),
}
for _kind in _ARITHMETIC:  # `x * 2 + 1` in a functional model
    ALLOWED_LAYERS[_kind] = (*ALLOWED_LAYERS.get(_kind, ()), ("keras.src.ops.numpy", _kind))

_ACTIVATION_LAYERS = ("ReLU", "LeakyReLU", "PReLU", "ELU", "Softmax")
_ACTIVATIONS = frozenset(
    _listed("""
        celu elu exponential gelu hard_sigmoid hard_silu hard_swish hard_tanh leaky_relu linear log_sigmoid log_softmax
        mish relu relu6 selu sigmoid silu soft_shrink softmax softplus softsign squareplus swish tanh tanh_shrink
    """)
)
_PARTS = {  # suffix of the setting -> (module, allowed classes); all take plain numbers and words
    "initializer": (
        "keras.initializers",
        frozenset(
            _listed("""Zeros Ones Constant Identity IdentityInitializer GlorotNormal GlorotUniform HeNormal HeUniform
            LecunNormal LecunUniform Orthogonal OrthogonalInitializer RandomNormal RandomUniform TruncatedNormal
            VarianceScaling""")
        ),
    ),
    "regularizer": ("keras.regularizers", frozenset(["L1", "L2", "L1L2", "OrthogonalRegularizer"])),
    "constraint": ("keras.constraints", frozenset(["MaxNorm", "MinMaxNorm", "NonNeg", "NonNegative", "UnitNorm"])),
}
_DTYPES = frozenset(["float16", "bfloat16", "float32", "float64", "mixed_float16", "mixed_bfloat16"])
_CODE_OBJECTS = frozenset(["__lambda__", "Lambda", "TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer"])
_VALUE_OBJECTS = frozenset(["__tensor__", "__numpy__", "__bytes__", "__slice__", "__ellipsis__", "__typespec__"])


# ---------------------------------------------------------------------------------------------- settings of a layer


def _is_whole(value: Any, low: int, high: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and abs(value) < 1e9


def _whole(low: int, high: int) -> Callable[[Any], bool]:
    return lambda value: _is_whole(value, low, high)


def _wholes(low: int, high: int, *, depth: int = 1) -> Callable[[Any], bool]:
    """A whole number, or a list (of lists, for `depth` 2) of at most four."""

    def check(value: Any, depth: int = depth) -> bool:
        if isinstance(value, list):
            return depth > 0 and 1 <= len(value) <= 4 and all(check(part, depth - 1) for part in value)
        return _is_whole(value, low, high)

    return check


def _words(*words: str) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, str) and value in words


def _numbers(value: Any) -> bool:
    return _is_number(value) or (isinstance(value, list) and len(value) <= MAX_FILTERS and all(map(_is_number, value)))


def _flag(value: Any) -> bool:
    return isinstance(value, bool)


def _nothing(value: Any) -> bool:
    return value is None


def _any(*checks: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: any(check(value) for check in checks)


def _is_shape(value: Any) -> bool:
    """A list of sizes, None where free, whose stated sizes multiply to something a machine can hold."""
    if not isinstance(value, list) or not 1 <= len(value) <= 6:
        return False
    if not all(side is None or _is_whole(side, 1, MAX_ELEMENTS) for side in value):
        return False
    return math.prod(side for side in value if side is not None) <= MAX_ELEMENTS


def _is_target_shape(value: Any) -> bool:
    return isinstance(value, list) and _is_shape([None if side == -1 else side for side in value])


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= 200 and value.isprintable()


_POSITIVE = _wholes(1, 64)
_SETTINGS: dict[str, Callable[[Any], bool]] = {
    "name": _is_name,
    "trainable": _flag,
    "filters": _whole(1, MAX_FILTERS),
    "units": _whole(1, MAX_UNITS),
    "kernel_size": _POSITIVE,
    "strides": _any(_POSITIVE, _nothing),
    "pool_size": _POSITIVE,
    "size": _POSITIVE,
    "dilation_rate": _POSITIVE,
    "depth_multiplier": _whole(1, 64),
    "block": _whole(1, 64),
    "inverse": _flag,
    "groups": _whole(-1, MAX_FILTERS),
    "padding": _any(_words("valid", "same"), _wholes(0, 1024, depth=2)),
    "cropping": _wholes(0, 1024, depth=2),
    "output_padding": _any(_wholes(0, 64), _nothing),
    "data_format": _words("channels_last"),
    "interpolation": _words("nearest", "bilinear", "bicubic", "lanczos3", "lanczos5"),
    "use_bias": _flag,
    "keepdims": _flag,
    "axis": _wholes(-4, 4),
    "shared_axes": _any(_wholes(1, 4), _nothing),
    "center": _flag,
    "scale": _any(_flag, _numbers),  # a switch for normalisations, numbers for Rescaling
    "offset": _numbers,
    "synchronized": _flag,
    "renorm": lambda value: value is False,
    "renorm_clipping": _nothing,
    "rms_scaling": _flag,
    "quantization_config": _nothing,
    "noise_shape": _any(_wholes(1, MAX_FILTERS), _nothing),
    "seed": _any(_whole(-(2**31), 2**63), _nothing),
    "target_shape": _is_target_shape,
    "batch_shape": _is_shape,
    "sparse": lambda value: value is False,
    "ragged": lambda value: value is False,
    "optional": lambda value: value is False,
    "max_value": _any(_is_number, _nothing),
    "x_min": _any(_is_number, _nothing),
    "x_max": _any(_is_number, _nothing),
    **dict.fromkeys(
        _listed("momentum epsilon renorm_momentum negative_slope threshold alpha rate stddev l1 l2"), _is_number
    ),
}


@dataclass
class _Tally:
    """What the walk through a config has met so far."""

    kinds: Counter = field(default_factory=Counter)
    parameters: int = 0


def verify_file(path: str | Path) -> dict[str, Any]:
    """Check a `.keras` file without loading it: archive, layers and settings, sizes, weights.

    Args:
        path: A file that anyone may have made.

    Returns:
        A report of plain data: `file`, `bytes`, `digest` (SHA-256 of the file), `keras_version`, `layers` (kind ->
        count), `num_layers`, `parameters` (from the weights' shapes, optimiser left out), `estimated_parameters` (from
        the config), `input_channels`, `input_size` ([height, width], None where free), `members` (name -> bytes) and
        `checks` (sentences: what was looked at).

    Raises:
        ModelError: Anything that is not listed as harmless; one sentence says what and what to do.
    """
    return _verify(path, weights=True)


def verify_layers(path: str | Path) -> dict[str, Any]:
    """`verify_file` without opening the weights: pure Python, for a parent that leaves HDF5 to a limited child."""
    return _verify(path, weights=False)


def _verify(path: str | Path, *, weights: bool) -> dict[str, Any]:
    path = Path(path)
    with _open(path) as file:
        size = file.seek(0, 2)
        _refuse_other_formats(path, file, size)
        digest = _digest(file)
        try:
            with zipfile.ZipFile(file) as archive:
                members = _check_members(path.name, archive)
                metadata = _parse(path.name, METADATA, archive.read(METADATA))
                config = _parse(path.name, CONFIG, archive.read(CONFIG))
                version = _keras_version(path.name, metadata)
                tally, batch_shape = check_config(config, file_name=path.name)
                parameters = _check_weights(path.name, archive, members[WEIGHTS]) if weights else None
        except ModelError:
            raise
        except (zipfile.BadZipFile, zlib.error, struct.error, OSError, EOFError, RuntimeError, ValueError) as error:
            raise ModelError(f"'{path.name}' is a damaged .keras file ({error}). Save the model again.") from error
    checks = [
        f"Archive: exactly {', '.join(sorted(members))}, plain files, no links, sizes within limits.",
        f"Config: {sum(tally.kinds.values())} layers, every one of them and each of its settings on the allow-list.",
        "No Lambda, no custom class, no serialised function; any optimiser and loss are named, never loaded.",
        f"Sizes: about {tally.parameters:,} parameters by the config, at most {MAX_PARAMETERS:,} are accepted.",
    ]
    if weights:
        checks.append("Weights: plain numbers stored inside the file; no links, external or virtual data, no filters.")
    return {
        "file": path.name,
        "bytes": size,
        "digest": digest,
        "keras_version": version,
        "layers": dict(sorted(tally.kinds.items())),
        "num_layers": sum(tally.kinds.values()),
        "parameters": parameters,
        "estimated_parameters": tally.parameters,
        "input_channels": batch_shape[-1],
        "input_size": batch_shape[1:3],
        "members": members,
        "checks": checks,
    }


# ------------------------------------------------------------------------------------------------------ the archive


def _open(path: Path) -> BinaryIO:
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            kind = "a TensorFlow SavedModel folder" if (path / "saved_model.pb").exists() else "a folder"
            raise ModelError(
                f"'{path.name}' is {kind}; only a single .keras file is accepted: model.save('NAME.keras')."
            )
        if not stat.S_ISREG(mode):
            raise ModelError(f"'{path.name}' is not a regular file; give the path of a .keras file.")
        return path.open("rb")
    except OSError as error:
        raise ModelError(f"'{path}' cannot be read ({error.strerror}); give the path of a .keras file.") from error


def _refuse_other_formats(path: Path, file: BinaryIO, size: int) -> None:
    """One clear sentence for each of the usual mistakes, then the strict shape of a zip of three members."""
    if size > MAX_FILE_BYTES:
        raise ModelError(f"'{path.name}' has {size:,} bytes; at most {MAX_FILE_BYTES:,} are accepted.")
    file.seek(0)
    start = file.read(8)
    how = "open it where it was made and call model.save('NAME.keras')"
    if start.startswith(b"\x89HDF"):
        raise ModelError(f"'{path.name}' is an HDF5 file (the old .h5 format), which may carry code; {how}.")
    if len(start) > 1 and start[0] == 0x80 and start[1] <= 5:
        raise ModelError(f"'{path.name}' is a Python pickle, which runs code when it is opened; {how}.")
    if start.startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"7z\xbc\xaf")):
        raise ModelError(
            f"'{path.name}' is a packed archive, not a .keras file; unpack it and give the .keras file in it."
        )
    if not start.startswith(b"PK"):
        raise ModelError(f"'{path.name}' is not a .keras file (a zip is expected, it starts with {start!r}); {how}.")
    if path.suffix != ".keras":
        raise ModelError(f"'{path.name}' does not end in .keras; only Keras's own format is accepted: {how}.")
    # Before zipfile builds an object for each entry: the end record, where Keras's three entries need 200 bytes.
    end_size, locator_size = 22, 20
    file.seek(max(0, size - end_size - locator_size))
    locator, end = file.read(locator_size), file.read(end_size)
    plain = start.startswith(b"PK\x03\x04") and end.startswith(b"PK\x05\x06") and len(end) == end_size
    if not plain or locator.startswith(b"PK\x06\x07"):  # the second would send zipfile to another directory
        raise ModelError(
            f"'{path.name}' is a zip that Keras did not write (cut off, or data before or after it); {how}."
        )
    _, _, _, entries, directory_size, directory_start, _ = struct.unpack("<HHHHIIH", end[4:])
    if directory_size > MAX_DIRECTORY_BYTES or entries > 16:
        raise ModelError(f"'{path.name}' is a zip of {entries} files, not a Keras model of three; {how}.")
    if directory_start + directory_size + end_size != size:
        raise ModelError(
            f"'{path.name}' is a zip whose parts do not add up to the file, so Keras did not write it; {how}."
        )


def _digest(file: BinaryIO) -> str:
    file.seek(0)
    return hashlib.file_digest(file, "sha256").hexdigest()


def _check_members(file_name: str, archive: zipfile.ZipFile) -> dict[str, int]:
    """Names, kinds and declared sizes, all from the directory: nothing is unpacked here."""
    infos = archive.infolist()
    names = [info.filename for info in infos]
    for name in names:
        parts = re.split(r"[/\\]", name)
        if ".." in parts or name.startswith(("/", "\\")) or re.match(r"[A-Za-z]:", name):
            raise ModelError(f"'{file_name}' holds a member whose path leads elsewhere ({name[:80]!r}); refused.")
    if len(set(names)) != len(names):
        raise ModelError(
            f"'{file_name}' holds two members of one name ({', '.join(sorted(set(names)))[:200]}); refused."
        )
    if set(names) != set(MAX_MEMBER_BYTES):
        if any(name.endswith("data.pkl") for name in names):
            raise ModelError(f"'{file_name}' is a PyTorch file, which is a pickle; only Keras models are accepted.")
        extra = sorted(set(names) - set(MAX_MEMBER_BYTES)) or "too little"
        raise ModelError(
            f"'{file_name}' is a zip but not a plain Keras 3 model: it holds {str(extra)[:200]}; expected exactly "
            f"{', '.join(sorted(MAX_MEMBER_BYTES))}. Save the model with Keras 3."
        )
    for info in infos:
        mode = info.external_attr >> 16
        if stat.S_IFMT(mode) not in (0, stat.S_IFREG):
            raise ModelError(f"'{file_name}' holds a link or special file as {info.filename}; refused.")
        if info.flag_bits & 0x1:
            raise ModelError(f"'{file_name}' is encrypted ({info.filename}); save it without a password.")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ModelError(f"'{file_name}' packs {info.filename} in an unusual way; save it again with Keras 3.")
        if info.file_size > MAX_MEMBER_BYTES[info.filename]:
            raise ModelError(
                f"'{file_name}': {info.filename} unpacks to {info.file_size:,} bytes; "
                f"at most {MAX_MEMBER_BYTES[info.filename]:,} are accepted."
            )
        if info.file_size > MAX_RATIO * max(info.compress_size, 1):
            ratio = info.file_size / max(info.compress_size, 1)
            raise ModelError(
                f"'{file_name}': {info.filename} unpacks to {ratio:.0f} times its size, as a zip bomb does; "
                f"at most {MAX_RATIO} times is accepted."
            )
    return {info.filename: info.file_size for info in infos}


# ------------------------------------------------------------------------------------------------------- the config


def _parse(file_name: str, member: str, data: bytes) -> dict[str, Any]:
    """JSON with limits: depth is counted before parsing, keys may not repeat, numbers are finite."""

    def unique(pairs):
        table = dict(pairs)
        if len(table) != len(pairs):
            raise ValueError("a key appears twice in one object")
        return table

    def no_constant(text):
        raise ValueError(f"{text} is not a number")

    try:
        text = data.decode("utf-8")
        if _json_depth(text) > MAX_DEPTH:
            raise ValueError(f"nested deeper than {MAX_DEPTH} levels")
        value = json.loads(text, object_pairs_hook=unique, parse_constant=no_constant)
        if not isinstance(value, dict):
            raise ValueError("an object is expected")
    except (ValueError, RecursionError) as error:
        raise ModelError(f"'{file_name}': {member} cannot be used ({error}). Save the model again.") from error
    return value


def _json_depth(text: str) -> int:
    depth = deepest = 0
    # Strings are taken as wholes, so that brackets inside them do not count.
    for match in re.finditer(r'"(?:[^"\\]|\\.)*"|[\[{]|[\]}]', text, re.DOTALL):
        sign = match.group()
        if sign in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif sign in "]}":
            depth -= 1
    return deepest


def _keras_version(file_name: str, metadata: dict[str, Any]) -> str:
    version = metadata.get("keras_version")
    if not isinstance(version, str) or not re.fullmatch(r"\d{1,3}\.\d{1,4}(\.[0-9A-Za-z.+-]{1,20})?", version):
        raise ModelError(f"'{file_name}': metadata.json names no Keras version; save the model with Keras 3.")
    if not version.startswith("3."):
        raise ModelError(f"'{file_name}' was written by Keras {version}; load it there and save it with Keras 3.")
    return version


def check_config(config: dict[str, Any], *, file_name: str = "config") -> tuple[_Tally, list[int | None]]:
    """Walk a model's parsed config against the allow-list; the tally of layers and the input's shape come back.

    Raises:
        ModelError: Names the layer and the setting.
    """
    try:
        _refuse_code(config)
        _check_compile(config.get("compile_config"))
        tally = _Tally()
        if config.get("class_name") not in ("Functional", "Sequential"):
            raise ModelError(
                f"the model is a {_show(config.get('module'))}.{_show(config.get('class_name'))}; "
                "only functional and sequential models of plain layers are accepted"
            )
        _check_layer({**config, "compile_config": None}, tally, in_shape=None, top=True)
        batch_shape = _input_shape(config)
    except ModelError as error:
        raise ModelError(f"'{file_name}' is refused: {error}.") from None
    return tally, batch_shape


def _show(value: Any) -> str:
    text = value if isinstance(value, str) else repr(value)
    return "".join(sign if sign.isprintable() else "?" for sign in text[:60])


def _objects(tree: Any) -> Iterator[dict[str, Any]]:
    """Every JSON object in a tree, without recursion."""
    waiting = [tree]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            yield value
            waiting.extend(value.values())
        elif isinstance(value, list):
            waiting.extend(value)


def _refuse_code(config: dict[str, Any]) -> None:
    """Wherever it stands, even where Keras would not look: code, functions, foreign classes."""
    for entry in _objects(config):
        kind, module, inner = entry.get("class_name"), entry.get("module"), entry.get("config")
        if kind is None and module is None:
            continue
        if not isinstance(kind, str):
            raise ModelError(f"it holds an object of the class {_show(kind)}; save the model again with Keras 3")
        name = inner.get("name") if isinstance(inner, dict) else None
        where = f" (layer '{_show(name)}')" if isinstance(name, str) else ""
        if kind in _CODE_OBJECTS:
            raise ModelError(f"it holds a {_show(kind)}{where}, which carries code; replace it by plain layers")
        if kind == "function":
            raise ModelError(
                f"it names a function of {_show(module)} ({_show(inner)}); "
                "name built-in activations and losses by a word, or save the model without compiling it"
            )
        if kind in _VALUE_OBJECTS:
            raise ModelError(f"it holds a value of kind {_show(kind)}, which no plain layer needs")
        if kind == "__keras_tensor__":
            continue
        known = isinstance(module, str) and (module == "keras" or module.startswith(("keras.", "deconv_core.")))
        if not known:
            raise ModelError(
                f"'{_show(module)}.{_show(kind)}'{where} is not a plain Keras class; "
                "only layers on the allow-list are accepted, so rebuild the model from them"
            )


def _check_compile(compiled: Any) -> None:
    """Never loaded, for models are loaded uncompiled; still only built-in losses and the like may stand there."""
    for entry in _objects(compiled):
        if "class_name" not in entry:
            continue
        kind, module = entry["class_name"], _show(entry.get("module"))
        if module != "keras" and not re.match(r"keras\.(optimizers|losses|metrics)(\.|$)", module):
            raise ModelError(f"its compile settings name {module}.{_show(kind)}; save the model without compiling it")
        if entry.get("registered_name") not in (None, kind):
            raise ModelError(f"its compile settings name a custom class {_show(entry['registered_name'])}")


_LAYER_KEYS = frozenset(
    _listed("module class_name config registered_name build_config compile_config name inbound_nodes shared_object_id")
)


def _check_layer(
    entry: Any, tally: _Tally, *, in_shape: list | None, top: bool = False, nodes: list | None = None
) -> int | None:
    """One layer or nested model; returns its number of output channels where that follows from the config."""
    if not isinstance(entry, dict) or not isinstance(entry.get("config"), dict):
        raise ModelError("a layer is not written as Keras 3 writes it; save the model again with Keras 3")
    kind, settings = entry.get("class_name"), entry["config"]
    name = settings.get("name")
    where = f"layer '{_show(name)}' ({_show(kind)})"
    places = ALLOWED_LAYERS.get(kind, ()) if isinstance(kind, str) else ()
    if not places:
        raise ModelError(
            f"{where} is not on the allow-list (module {_show(entry.get('module'))}); rebuild the model from "
            "convolutions, pooling, upsampling, normalisation and activations"
        )
    if (entry.get("module"), entry.get("registered_name")) not in places:
        raise ModelError(
            f"{where} claims module {_show(entry.get('module'))} and registered name "
            f"{_show(entry.get('registered_name'))}; expected {places[0][0]} and {places[0][1]}"
        )
    if set(entry) - _LAYER_KEYS:
        raise ModelError(f"{where} has unknown entries {_show(sorted(set(entry) - _LAYER_KEYS))}")
    if entry.get("compile_config"):
        raise ModelError(f"{where} is a compiled model inside a model; save it without compiling the inner one")
    if "shared_object_id" in entry and not _is_whole(entry["shared_object_id"], 0, 2**64):
        raise ModelError(f"{where} has a broken shared_object_id")
    if not _is_name(name) or entry.get("name", name) != name:
        raise ModelError(f"{where} has no usable name")
    tally.kinds[kind] += 1
    if sum(tally.kinds.values()) > MAX_LAYERS:
        raise ModelError(f"it has more than {MAX_LAYERS} layers")
    build_shape = _check_build(entry.get("build_config"), where)
    if kind == "Functional":
        return _check_functional(settings, tally, where)
    if kind == "Sequential":
        return _check_sequential(settings, tally, where, in_shape or build_shape)
    for key, value in settings.items():
        _check_setting(key, value, where)
    if kind == "InputLayer":
        return settings.get("batch_shape", [None])[-1]
    channels = in_shape[-1] if in_shape else (build_shape[-1] if build_shape else None)
    if build_shape and in_shape and build_shape[-1] != in_shape[-1] and kind not in (*_ARITHMETIC, "Concatenate"):
        raise ModelError(f"{where} is built for {build_shape[-1]} channels and given {in_shape[-1]}")
    tally.parameters += _count_parameters(kind, settings, channels, in_shape or build_shape, where)
    if tally.parameters > MAX_PARAMETERS:
        raise ModelError(
            f"up to {where} it needs {tally.parameters:,} parameters; at most {MAX_PARAMETERS:,} are accepted"
        )
    return _output_channels(kind, settings, [shape for _, shape in nodes] if nodes else [in_shape or build_shape])


def _check_setting(key: str, value: Any, where: str) -> None:
    suffix = key.rsplit("_", 1)[-1]
    if key == "activation":
        good = _is_activation(value, where)
    elif suffix in _PARTS:
        good = _is_part(suffix, value)
    elif key == "dtype":
        good = _is_dtype(value)
    elif key in _SETTINGS:
        good = _SETTINGS[key](value)
    else:
        raise ModelError(f"{where} has a setting '{_show(key)}' that is not on the list; save the model with Keras 3")
    if not good:
        raise ModelError(f"{where} has {_show(key)} = {_show(value)}, which is out of range or not plain")


def _is_object(value: Any, module: str, kinds) -> bool:
    return (
        isinstance(value, dict)
        and set(value) <= {"module", "class_name", "config", "registered_name", "shared_object_id"}
        and value.get("module") == module
        and isinstance(value.get("class_name"), str)
        and value["class_name"] in kinds
        and value.get("registered_name") in (None, value["class_name"])
        and isinstance(value.get("config"), dict)
        and (value.get("shared_object_id") is None or _is_whole(value["shared_object_id"], 0, 2**64))
    )


def _is_part(suffix: str, value: Any) -> bool:
    """An initialiser, regulariser or constraint: nothing, a word, or a listed class with plain settings."""
    if value is None:
        return True
    module, kinds = _PARTS[suffix]
    if isinstance(value, str):
        return value.replace("_", "").lower() in {kind.lower() for kind in kinds}
    return _is_object(value, module, kinds) and all(
        re.fullmatch(r"[a-z_0-9]{1,30}", key)
        and (
            plain is None
            or isinstance(plain, bool)
            or _is_whole(plain, -(2**31), 2**63)
            or _numbers(plain)
            or _is_word(plain)
        )
        for key, plain in value["config"].items()
    )


def _is_word(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch(r"[a-z_]{1,30}", value) is not None


def _is_dtype(value: Any) -> bool:
    if isinstance(value, str):
        return value in _DTYPES
    return (
        _is_object(value, "keras", ("DTypePolicy",))
        and set(value["config"]) == {"name"}
        and isinstance(value["config"]["name"], str)
        and value["config"]["name"] in _DTYPES
    )


def _is_activation(value: Any, where: str) -> bool:
    if value is None or isinstance(value, str):
        return value is None or value in _ACTIVATIONS
    if not _is_object(value, "keras.layers", _ACTIVATION_LAYERS):
        return False
    for key, plain in value["config"].items():
        if key == "activation":
            return False
        _check_setting(key, plain, where)
    return True


def _check_build(build: Any, where: str) -> list | None:
    """The shapes a layer was built for: Keras builds from them, so they are limited like any other size."""
    if not build:
        return None
    if not isinstance(build, dict) or set(build) - {"input_shape"}:
        raise ModelError(f"{where} has build settings that are not plain; save the model again with Keras 3")
    shape = build["input_shape"]
    if shape is None or _is_shape(shape):
        return shape
    if isinstance(shape, list) and len(shape) <= 64 and shape and all(map(_is_shape, shape)):
        return shape[0]
    raise ModelError(f"{where} was built for the shape {_show(shape)}, which is out of range")


def _check_functional(settings: dict[str, Any], tally: _Tally, where: str) -> int | None:
    if set(settings) - {"name", "trainable", "layers", "input_layers", "output_layers", "dtype"}:
        raise ModelError(f"{where} has settings that a functional model has not")
    for key in ("trainable", "dtype"):
        if key in settings:
            _check_setting(key, settings[key], where)
    layers = settings.get("layers")
    if not isinstance(layers, list) or not layers or len(layers) > MAX_LAYERS:
        raise ModelError(f"{where} has no usable list of layers")
    outputs: dict[str, int | None] = {}
    claims: list[tuple[str, list, str]] = []
    for entry in layers:
        nodes = _check_nodes(entry)
        in_shape = nodes[0][1] if nodes else None
        channels = _check_layer(entry, tally, in_shape=in_shape, nodes=nodes)
        name = entry["config"]["name"]
        if name in outputs:
            raise ModelError(f"{where} has two layers named '{_show(name)}'")
        outputs[name] = channels
        claims += [(producer, shape, name) for producer, shape in nodes]
    for producer, shape, consumer in claims:
        if producer not in outputs:
            raise ModelError(
                f"layer '{_show(consumer)}' takes its input from '{_show(producer)}', which does not exist"
            )
        # What a layer says it is given must be what the other one gives, or the sizes above would be worth nothing.
        if outputs[producer] is not None and shape[-1] is not None and outputs[producer] != shape[-1]:
            raise ModelError(
                f"layer '{_show(consumer)}' expects {shape[-1]} channels from '{_show(producer)}', "
                f"which gives {outputs[producer]}"
            )
    for key in ("input_layers", "output_layers"):
        ends = _tensor_names(settings.get(key), where)
        if not set(ends) <= set(outputs):
            raise ModelError(f"{where} names {key} that do not exist")
    return outputs[_tensor_names(settings["output_layers"], where)[0]]


def _tensor_names(value: Any, where: str) -> list[str]:
    """`["name", 0, 0]`, or a list or table of such."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list) and len(value) == 3 and isinstance(value[0], str):
        value = [value]
    if not isinstance(value, list) or not 1 <= len(value) <= 16 or not all(_is_history(part) for part in value):
        raise ModelError(f"{where} does not say plainly which layers are its inputs and outputs")
    return [part[0] for part in value]


def _is_history(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 3
        and isinstance(value[0], str)
        and _is_whole(value[1], 0, MAX_LAYERS)
        and _is_whole(value[2], 0, 16)
    )


def _check_nodes(entry: Any) -> list[tuple[str, list]]:
    """The calls of a layer: tensors by name, numbers, nothing else. Returns (producer, stated shape) of each tensor."""
    calls = entry.get("inbound_nodes") if isinstance(entry, dict) else None
    settings = entry.get("config") if isinstance(entry, dict) else None
    where = f"layer '{_show(settings.get('name') if isinstance(settings, dict) else None)}'"
    if not isinstance(calls, list) or len(calls) > 64:
        raise ModelError(f"{where} is not connected as Keras 3 writes it; save the model again with Keras 3")
    tensors: list[tuple[str, list]] = []

    def argument(value: Any) -> None:
        if value is None or isinstance(value, bool) or _is_number(value):
            return
        if isinstance(value, list) and len(value) <= 64:
            for part in value:
                argument(part)
            return
        inner = value.get("config") if isinstance(value, dict) else None
        if (
            not isinstance(inner, dict)
            or set(value) != {"class_name", "config"}
            or value["class_name"] != "__keras_tensor__"
            or set(inner) != {"shape", "dtype", "keras_history"}
            or not _is_shape(inner["shape"])
            or not (isinstance(inner["dtype"], str) and inner["dtype"] in _DTYPES)
            or not _is_history(inner["keras_history"])
        ):
            raise ModelError(f"{where} is called with {_show(value)}; only tensors and numbers are accepted")
        tensors.append((inner["keras_history"][0], inner["shape"]))

    for call in calls:
        if not isinstance(call, dict) or set(call) != {"args", "kwargs"} or not isinstance(call["args"], list):
            raise ModelError(f"{where} is not connected as Keras 3 writes it; save the model again with Keras 3")
        if not isinstance(call["kwargs"], dict) or set(call["kwargs"]) - {"training", "mask"}:
            raise ModelError(
                f"{where} is called with options {_show(call['kwargs'])}; only training and mask may stand"
            )
        if not all(value is None or isinstance(value, bool) for value in call["kwargs"].values()):
            raise ModelError(f"{where} is called with options {_show(call['kwargs'])}, which are not plain")
        argument(call["args"])
    return tensors


def _check_sequential(settings: dict[str, Any], tally: _Tally, where: str, in_shape: list | None) -> int | None:
    if set(settings) - {"name", "trainable", "dtype", "layers", "build_input_shape"}:
        raise ModelError(f"{where} has settings that a sequential model has not")
    for key in ("trainable", "dtype"):
        if key in settings:
            _check_setting(key, settings[key], where)
    build_shape = settings.get("build_input_shape")
    if build_shape is not None and not _is_shape(build_shape):
        raise ModelError(f"{where} was built for the shape {_show(build_shape)}, which is out of range")
    layers = settings.get("layers")
    if not isinstance(layers, list) or not layers or len(layers) > MAX_LAYERS:
        raise ModelError(f"{where} has no usable list of layers")
    shape = in_shape or build_shape
    for entry in layers:
        if isinstance(entry, dict) and entry.get("inbound_nodes"):
            raise ModelError(f"{where} is sequential and yet connects its layers")
        channels = _check_layer(entry, tally, in_shape=shape)
        # Only the channels are followed; heights and widths stay free here.
        shape = None if channels is None else [None, None, None, channels]
    return shape[-1] if shape else None


def _count_parameters(kind: str, settings: dict[str, Any], channels: Any, shape: list | None, where: str) -> int:
    """Numbers to be stored for one layer, from its settings and the channels it is given."""
    if kind not in _WEIGHTED:
        return 0
    if not _is_whole(channels, 1, MAX_ELEMENTS):
        raise ModelError(f"{where} does not say how many channels it is given; save the model after building it")
    kernel = settings.get("kernel_size", 1)
    area = math.prod(kernel) if isinstance(kernel, list) else kernel**2
    multiplier = settings.get("depth_multiplier", 1)
    filters = settings.get("filters", settings.get("units", 1))
    match kind:
        case "Conv2D" | "Conv2DTranspose" | "Dense":
            return area * channels * filters // max(1, settings.get("groups", 1)) + filters
        case "SeparableConv2D":
            return area * channels * multiplier + channels * multiplier * filters + filters
        case "DepthwiseConv2D":
            return area * channels * multiplier + channels * multiplier
        case "DivisiveNormalisation":
            return channels * channels + channels
        case "PReLU":
            shared = settings.get("shared_axes") or []
            shared = shared if isinstance(shared, list) else [shared]
            return math.prod(side or 1 for axis, side in enumerate(shape[1:], 1) if axis not in shared)
        case "LayerNormalization" | "RMSNormalization":
            axes = settings.get("axis", -1)
            axes = axes if isinstance(axes, list) else [axes]
            return 2 * math.prod(shape[axis] or 1 for axis in axes if -len(shape) <= axis < len(shape))
        case _:
            return 4 * channels


_WEIGHTED = frozenset(
    _listed("""
    Conv2D Conv2DTranspose Dense SeparableConv2D DepthwiseConv2D DivisiveNormalisation PReLU BatchNormalization
    LayerNormalization RMSNormalization GroupNormalization""")
)


def _output_channels(kind: str, settings: dict[str, Any], shapes: list[list | None]) -> int | None:
    """Channels that come out, None where they depend on more than channels."""
    if kind in ("Conv2D", "Conv2DTranspose", "SeparableConv2D"):
        return settings.get("filters")
    if kind == "Dense":
        return settings.get("units")
    given = [shape[-1] for shape in shapes if shape]
    if not given or not all(_is_whole(channels, 1, MAX_ELEMENTS) for channels in given):
        return None
    match kind:
        case "DepthwiseConv2D":
            return given[0] * settings.get("depth_multiplier", 1)
        case "SpaceToDepth":
            return given[0] * settings.get("block", 1) ** 2
        case "DepthToSpace":
            return given[0] // settings.get("block", 1) ** 2
        case "Concatenate":
            last = settings.get("axis", -1) in (-1, len(shapes[0]) - 1)
            return sum(given) if last else given[0]
        case "Reshape":
            last = (settings.get("target_shape") or [-1])[-1]
            return last if last > 0 else None
        case "Flatten":
            sides = shapes[0][1:]
            return math.prod(sides) if all(sides) else None
        case _:
            return max(given)  # pictures of one channel spread over those of many


def _input_shape(config: dict[str, Any]) -> list[int | None]:
    """The shape of the one picture that goes in, (None, height, width, channels)."""
    settings = config["config"]
    if config["class_name"] == "Functional":
        names = _tensor_names(settings["input_layers"], "the model")
        if len(names) != 1:
            raise ModelError(f"it takes {len(names)} inputs; a model here takes one picture and gives one picture")
        if len(_tensor_names(settings["output_layers"], "the model")) != 1:
            raise ModelError("it gives several outputs; a model here takes one picture and gives one picture")
        entry = next(layer for layer in settings["layers"] if layer["config"]["name"] == names[0])
        shape = entry["config"].get("batch_shape")
    else:
        first = settings["layers"][0]
        shape = first["config"].get("batch_shape") or settings.get("build_input_shape")
    if not isinstance(shape, list) or len(shape) != 4 or shape[-1] not in (1, 3):
        raise ModelError(f"its input has the shape {_show(shape)}; expected (None, height, width, 1 or 3)")
    if any(side is not None and side > MAX_SIDE for side in shape[1:3]):
        raise ModelError(f"its input has the shape {_show(shape)}; sides of at most {MAX_SIDE} pixels are accepted")
    return shape


# ------------------------------------------------------------------------------------------------------ the weights


def _check_weights(file_name: str, archive: zipfile.ZipFile, size: int) -> int:
    """Walk the HDF5 file inside; returns the number of parameters, the optimiser's left out."""
    with tempfile.TemporaryFile() as weights:
        with archive.open(WEIGHTS) as member:
            while block := member.read(1 << 20):
                weights.write(block)
        if weights.tell() != size:
            raise ModelError(f"'{file_name}': {WEIGHTS} has another size than it declares; save the model again.")
        weights.seek(0)
        if weights.read(8) != b"\x89HDF\r\n\x1a\n":
            raise ModelError(f"'{file_name}': {WEIGHTS} is not an HDF5 file; save the model again with Keras 3.")
        import h5py

        try:
            # A file object without a name: whatever the file asks for, there is no folder to look in.
            with h5py.File(weights, "r") as root:
                return _walk_weights(root, size)
        except ModelError as error:
            raise ModelError(f"'{file_name}' is refused: its weights hold {error}.") from None
        except (OSError, RuntimeError, KeyError, ValueError, TypeError, RecursionError) as error:
            raise ModelError(
                f"'{file_name}': {WEIGHTS} is damaged ({_show(str(error))}); save the model again."
            ) from error


def _walk_weights(root: Any, size: int) -> int:
    import h5py

    parameters = stored = 0
    seen: set[Any] = {h5py.h5o.get_info(root.id).addr}
    waiting: list[tuple[str, Any]] = [("", root)]
    while waiting:
        path, group = waiting.pop()
        if len(group.attrs) > 16:
            raise ModelError(f"too many attributes at '{_show(path)}'")
        for name in group:
            where = f"{path}/{name}"
            link = group.get(name, getlink=True)
            if not isinstance(link, h5py.HardLink):
                kind = "an external link" if isinstance(link, h5py.ExternalLink) else "a link"
                raise ModelError(f"{kind} at '{_show(where)}'")
            item = group[name]
            address = h5py.h5o.get_info(item.id).addr
            if address in seen:
                raise ModelError(f"one object under two names at '{_show(where)}'")
            seen.add(address)
            if len(seen) > MAX_NODES or where.count("/") > MAX_DEPTH:
                raise ModelError(f"more than {MAX_NODES:,} entries or {MAX_DEPTH} levels")
            if isinstance(item, h5py.Group):
                waiting.append((where, item))
            elif isinstance(item, h5py.Dataset):
                stored += _check_dataset(item, where)
                if stored > size:
                    raise ModelError(f"more data than the file has bytes, at '{_show(where)}'")
                # Whole numbers are the state of dropout's random generators, not parameters.
                if not where.startswith("/optimizer/") and item.dtype.kind in "fV":
                    parameters += item.size
            else:
                raise ModelError(f"a type definition at '{_show(where)}'")
    if parameters > MAX_PARAMETERS:
        raise ModelError(f"{parameters:,} parameters; at most {MAX_PARAMETERS:,} are accepted")
    return parameters


def _check_dataset(item: Any, where: str) -> int:
    """Plain numbers, unfiltered, in one piece inside this very file; returns their bytes."""
    import h5py

    half = item.dtype.kind == "V" and item.dtype.itemsize == 2 and item.dtype.fields is None  # bfloat16
    if item.dtype.kind not in "fiub" and not half:
        raise ModelError(f"values of type {_show(str(item.dtype))} at '{_show(where)}'")
    layout = item.id.get_create_plist().get_layout()
    if item.external or item.is_virtual or layout not in (h5py.h5d.CONTIGUOUS, h5py.h5d.COMPACT):
        raise ModelError(f"external, virtual or chunked data at '{_show(where)}'")
    if item.id.get_create_plist().get_nfilters():
        raise ModelError(f"filtered data at '{_show(where)}'")
    if item.shape is None or len(item.attrs) > 16:
        raise ModelError(f"an empty entry at '{_show(where)}'")
    if item.id.get_storage_size() != item.size * item.dtype.itemsize:
        raise ModelError(f"a size without the data for it at '{_show(where)}'")
    return item.size * item.dtype.itemsize
