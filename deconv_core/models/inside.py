"""What is inside a model: what each layer still knows of a picture, and what one activation answers to.

Two views, both through the model's own layers. A *readout* is the best linear map (ridge regression, fitted once on
sample photographs) from one layer's activations back to the pixels: what can be read from the layer by the simplest
means, so its error is an upper bound on what the layer has lost. A *projection* sends a single activation back through
the transposed layers to the pixels (Zeiler and Fergus 2014, doi:10.1007/978-3-319-10590-1_53; Simonyan et al. 2014,
arXiv:1312.6034).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from deconv_core.errors import ModelError

if TYPE_CHECKING:
    from deconv_core.models.inference import Reconstructor

RULES = ("gradient", "deconvnet")
_NEIGHBOURS = 3  # rows and columns of activations around a block that its readout may use
_SAMPLES = 12_000  # blocks a readout is fitted on at most
_RIDGE = 1e-4  # times the mean variance of an activation
_PICTURE_LAYERS = ("Rescaling", "InputLayer")


@dataclass(frozen=True)
class Depth:
    """One layer of the encoder that can be looked at.

    Attributes:
        name: The layer's name in the model.
        kind: Its class.
        factor: Pixels per activation along one side.
        channels: Activations per place.
        numbers: Activations divided by the numbers of the picture.
        is_code: Whether it is the code, which the model's own decoder reads.
    """

    name: str
    kind: str
    factor: int
    channels: int
    numbers: float
    is_code: bool


def depths(model: Reconstructor) -> list[Depth]:
    """The encoder's layers from the picture to the code, those that carry a result on (not bare linear parts of one).

    Raises:
        ModelError: The model has no code layer, or its encoder does not halve sizes evenly.
    """
    import keras

    code = model.code_layer
    encoder = keras.Model(model.keras_model.inputs[0], code.output)
    layers = [layer for layer in encoder.layers if _carries_on(layer) or layer.name == code.name]
    side = 8 * max(8, model.stride)
    shapes = keras.Model(encoder.inputs[0], [layer.output for layer in layers]).compute_output_shape(
        (1, side, side, model.channels)
    )
    found = []
    for layer, shape in zip(layers, shapes if isinstance(shapes, list) else [shapes], strict=True):
        if len(shape) != 4 or not shape[1] or side % shape[1]:
            raise ModelError(
                f"Layer '{layer.name}' of model '{model.name}' makes {shape[1:]} from {side} pixels; only layers whose "
                "size divides the picture's can be read. Choose another model."
            )
        factor, channels = side // shape[1], int(shape[-1])
        numbers = channels / (factor**2 * model.channels)
        found.append(Depth(layer.name, type(layer).__name__, factor, channels, numbers, layer.name == code.name))
    return found


def _carries_on(layer: Any) -> bool:
    import keras

    kind = type(layer).__name__
    if kind in _PICTURE_LAYERS or len(layer.output.shape) != 4:
        return False
    if isinstance(layer, keras.layers.Conv2D | keras.layers.DepthwiseConv2D | keras.layers.SeparableConv2D):
        return layer.activation is not keras.activations.linear
    return kind in ("ReLU", "Activation", "LeakyReLU", "PReLU", "ELU") or "Pooling" in kind or kind == "SpaceToDepth"


def activations(model: Reconstructor, batch: np.ndarray, names: Sequence[str]) -> dict[str, np.ndarray]:
    """What the named layers make of a batch.

    Args:
        model: The model.
        batch: float32, (N, H, W, channels), values in [0, 1]; H and W multiples of the model's stride.
        names: Layers.

    Returns:
        Name -> float32 (N, h, w, channels of the layer).
    """
    import keras

    outputs = [model.keras_model.get_layer(name).output for name in names]
    made = keras.Model(model.keras_model.inputs[0], outputs)(batch, training=False)
    made = made if isinstance(made, list | tuple) else [made]
    return {name: value.numpy() for name, value in zip(names, made, strict=True)}


@dataclass(frozen=True)
class Readout:
    """The best linear map from the activations of one layer, 3 x 3 places at a time, to the pixels they cover.

    Attributes:
        depth: The layer.
        weights: float32, (9 * channels + 1, factor^2 * picture channels); the last row is the constant.
    """

    depth: Depth
    weights: np.ndarray

    def read(self, values: np.ndarray) -> np.ndarray:
        """Pictures from the layer's activations (N, h, w, channels): float32 (N, H, W, picture channels) in [0, 1]."""
        num, rows, columns, _ = values.shape
        factor = self.depth.factor
        blocks = _neighbourhoods(values).reshape(num * rows * columns, -1) @ self.weights[:-1] + self.weights[-1]
        blocks = blocks.reshape(num, rows, columns, factor, factor, -1)
        pictures = blocks.transpose(0, 1, 3, 2, 4, 5).reshape(num, rows * factor, columns * factor, -1)
        return np.clip(pictures, 0, 1).astype(np.float32)


def fit_readouts(model: Reconstructor, pictures: np.ndarray, *, seed: int = 0) -> list[Readout]:
    """Fit one readout for each of the encoder's layers.

    Args:
        model: The model.
        pictures: float32, (N, H, W, channels), values in [0, 1]; H and W multiples of the stride.
        seed: Decides which blocks are used where there are more than 12,000.

    Returns:
        One readout per layer of `depths`, in order.

    Raises:
        ModelError: As `depths`.
    """
    found = depths(model)
    made = activations(model, pictures, [depth.name for depth in found])
    readouts = []
    for depth in found:
        values = made[depth.name]
        chosen = _chosen(int(np.prod(values.shape[:3])), seed)
        inputs = _neighbourhoods(values).reshape(-1, _NEIGHBOURS**2 * depth.channels)[chosen]
        targets = _blocks(pictures, depth.factor)[chosen]
        readouts.append(Readout(depth, _ridge(inputs, targets)))
    return readouts


def _chosen(count: int, seed: int) -> np.ndarray:
    if count <= _SAMPLES:
        return np.arange(count)
    return np.sort(np.random.default_rng(seed).choice(count, _SAMPLES, replace=False))


def _neighbourhoods(values: np.ndarray) -> np.ndarray:
    """(N, h, w, 9 * channels): every place with its eight neighbours, edges repeated."""
    reach = _NEIGHBOURS // 2
    padded = np.pad(values, ((0, 0), (reach, reach), (reach, reach), (0, 0)), mode="edge")
    _, rows, columns, _ = values.shape
    parts = [
        padded[:, down : down + rows, across : across + columns]
        for down in range(_NEIGHBOURS)
        for across in range(_NEIGHBOURS)
    ]
    return np.concatenate(parts, axis=-1)


def _blocks(pictures: np.ndarray, factor: int) -> np.ndarray:
    """(blocks, factor^2 * channels), row by row."""
    num, height, width, channels = pictures.shape
    split = pictures.reshape(num, height // factor, factor, width // factor, factor, channels)
    return split.transpose(0, 1, 3, 2, 4, 5).reshape(-1, factor * factor * channels)


def _ridge(inputs: np.ndarray, targets: np.ndarray) -> np.ndarray:
    inputs, targets = inputs.astype(np.float64), targets.astype(np.float64)
    centre, goal = inputs.mean(axis=0), targets.mean(axis=0)
    inputs, targets = inputs - centre, targets - goal
    gram = inputs.T @ inputs / len(inputs)
    # A channel that never answers has no variance; the ridge keeps the system solvable.
    strength = _RIDGE * max(float(np.trace(gram)) / len(gram), 1e-12)
    weights = np.linalg.solve(gram + strength * np.eye(len(gram)), inputs.T @ targets / len(inputs))
    return np.vstack([weights, goal - centre @ weights]).astype(np.float32)


def reading_pictures(model: Reconstructor) -> np.ndarray:
    """What readouts are fitted on: sixteen sample photographs, or drawn digits for the network of digits."""
    from deconv_core.images import to_channels
    from deconv_core.samples import digits, photographs

    if model.card.get("architecture") == "article":
        return to_channels(digits(64, seed=2), model.channels)
    side = 176 // model.stride * model.stride
    return to_channels(photographs(16, side), model.channels)


def read_depths(model: Reconstructor, readouts: Sequence[Readout], picture: np.ndarray) -> list[dict[str, Any]]:
    """One picture as read from each layer, and as the model's own decoder rebuilds it.

    Args:
        model: The model.
        readouts: As `fit_readouts` made them.
        picture: float32, (H, W, channels), values in [0, 1]; H and W multiples of the stride.

    Returns:
        From the picture to the code, then the decoder: `name`, `label`, `words` and `pixels` (float32, like `picture`).
    """
    made = activations(model, picture[None], [readout.depth.name for readout in readouts])
    rows = []
    for readout in readouts:
        depth = readout.depth
        rows.append(
            {
                "name": depth.name,
                "label": "Code, read linearly" if depth.is_code else depth.name,
                "words": f"{depth.channels} channels, one place per {depth.factor} × {depth.factor} pixels: "
                f"{100 * depth.numbers:.0f} % of the picture's numbers.",
                "pixels": readout.read(made[depth.name])[0],
            }
        )
    rebuilt = model.reconstruct(picture[None])[0]
    words = "What the model itself makes of its code."
    return [*rows, {"name": "decoder", "label": "Code, own decoder", "words": words, "pixels": rebuilt}]


@dataclass(frozen=True)
class Projection:
    """One activation sent back to the pixels.

    Attributes:
        value: The activation.
        pixels: float32 (H, W, channels), signed: how strongly each pixel value raises (above 0) or lowers it.
        box: (top, left, bottom, right) of what it can see at all, in pixels, bottom and right exclusive; None where
            nothing reaches it.
    """

    value: float
    pixels: np.ndarray
    box: tuple[int, int, int, int] | None


def project(
    model: Reconstructor,
    picture: np.ndarray,
    layer: str,
    place: tuple[int, int],
    channel: int,
    *,
    rule: str = "gradient",
) -> Projection:
    """Send one activation back through the transposed layers to the pixels.

    Every convolution is passed by its transpose. The rules differ at a rectifier: `gradient` lets through what the
    rectifier let through on the way in, so the result is the exact derivative; `deconvnet` lets through what is
    positive on the way back, and shows a pattern rather than a derivative.

    Args:
        model: The model.
        picture: float32, (H, W, channels), values in [0, 1]; H and W multiples of the stride.
        layer: One of `depths`.
        place: Row and column of the activation.
        channel: Its channel.
        rule: One of RULES.

    Raises:
        ModelError: No such layer, place, channel or rule.
    """
    import tensorflow as tf

    if rule not in RULES:
        raise ModelError(f"A projection got the rule '{rule}'; choose one of {', '.join(RULES)}.")
    network = _up_to(model, layer, rule)
    pixels = tf.constant(picture[None], tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(pixels)
        values = network(pixels, training=False)
        row, column = place
        if not (0 <= row < values.shape[1] and 0 <= column < values.shape[2] and 0 <= channel < values.shape[3]):
            raise ModelError(
                f"Layer '{layer}' has {values.shape[1]} x {values.shape[2]} places and {values.shape[3]} channels; "
                f"got place {tuple(place)} and channel {channel}. Choose one inside."
            )
        value = values[0, row, column, channel]
    back = tape.gradient(value, pixels).numpy()[0]
    reached = np.argwhere(np.abs(back).max(axis=-1) > 0)
    box = None
    if len(reached):
        (top, left), (bottom, right) = reached.min(axis=0), reached.max(axis=0) + 1
        box = (int(top), int(left), int(bottom), int(right))
    return Projection(float(value), back, box)


def _up_to(model: Reconstructor, layer: str, rule: str) -> Any:
    """The model from the picture to one layer, its rectifiers going back by the rule."""
    import keras

    try:
        output = model.keras_model.get_layer(layer).output
    except ValueError as error:
        raise ModelError(f"Model '{model.name}' has no layer '{layer}'; choose one of its encoder's.") from error
    network = keras.Model(model.keras_model.inputs[0], output)
    if rule == "gradient":
        return network
    backwards = _positive_backwards()

    def replaced(old: Any) -> Any:
        if isinstance(old, keras.layers.ReLU):
            return keras.layers.Activation(backwards, name=old.name)
        new = old.__class__.from_config(old.get_config())
        if getattr(old, "activation", None) is keras.activations.relu:
            new.activation = backwards
        return new

    copy = keras.models.clone_model(network, clone_function=replaced)
    copy.set_weights(network.get_weights())
    return copy


def _positive_backwards() -> Any:
    import tensorflow as tf

    @tf.custom_gradient
    def rectifier(values):
        return tf.nn.relu(values), tf.nn.relu

    return rectifier


def kernel_layers(model: Reconstructor) -> list[str]:
    """Names of the layers whose kernels are larger than one pixel, encoder first."""
    import keras

    convolutions = (keras.layers.Conv2D, keras.layers.Conv2DTranspose)
    layers = model.keras_model.layers
    return [layer.name for layer in layers if isinstance(layer, convolutions) and max(layer.kernel_size) > 1]


def kernels(model: Reconstructor, layer: str) -> np.ndarray:
    """The kernels of a convolution or transposed convolution, in pixels where they face the picture.

    Args:
        model: The model.
        layer: One of `kernel_layers`.

    Returns:
        float32 (tiles, kh, kw, channels). Where only a folding stands between the layer and the picture, one tile per
        filter, unfolded, with the picture's channels. Otherwise one channel and one tile for each pair of an input and
        an output channel, the strongest first.

    Raises:
        ModelError: No such layer, or one without such kernels.
    """
    if layer not in kernel_layers(model):
        raise ModelError(
            f"Model '{model.name}' has no convolution '{layer}'; choose one of {', '.join(kernel_layers(model))}."
        )
    found = model.keras_model.get_layer(layer)
    values = np.asarray(found.kernel, np.float32)
    if type(found).__name__ == "Conv2DTranspose":
        values = values.swapaxes(2, 3)  # to (kh, kw, in, out)
    rows, columns = values.shape[:2]
    for outer, neighbours in ((2, _parents), (3, _children)):
        fold = _fold_between(found, neighbours)
        if fold and values.shape[outer] == model.channels * fold**2:
            tiles = np.moveaxis(values, 5 - outer, 0)  # one tile for each channel of the other side
            tiles = tiles.reshape(-1, rows, columns, fold, fold, model.channels)
            return tiles.transpose(0, 1, 3, 2, 4, 5).reshape(-1, rows * fold, columns * fold, model.channels)
    tiles = values.reshape(rows, columns, -1).transpose(2, 0, 1)[..., None]
    return tiles[np.argsort(-np.square(tiles).sum(axis=(1, 2, 3)), kind="stable")]


def kernel_sheet(tiles: np.ndarray, count: int) -> np.ndarray:
    """The first `count` kernels side by side, each stretched to its own range around grey.

    Args:
        tiles: As `kernels` gives them.
        count: How many at most.

    Returns:
        float32 (H, W, 1 or 3) in [0, 1]; rows of eight, one pixel of grey between them.
    """
    tiles = tiles[:count]
    _, rows, columns, channels = tiles.shape
    across = min(8, len(tiles))
    sheet = np.full((-(-len(tiles) // across) * (rows + 1) + 1, across * (columns + 1) + 1, channels), 0.5, np.float32)
    for number, tile in enumerate(tiles):
        top, left = number // across * (rows + 1) + 1, number % across * (columns + 1) + 1
        largest = max(float(np.abs(tile).max()), 1e-12)
        sheet[top : top + rows, left : left + columns] = 0.5 + 0.5 * tile / largest
    return sheet


def _fold_between(layer: Any, neighbours: Any) -> int:
    """The fold between a layer and the picture on one side: 1 for none, 0 where more than that stands between."""
    fold, ahead, seen = 1, list(neighbours(layer)), set()
    while ahead:
        each = ahead.pop()
        if each.name in seen:
            continue
        seen.add(each.name)
        kind = type(each).__name__
        if kind in ("SpaceToDepth", "DepthToSpace") and fold == 1:
            fold = int(each.block)
        elif kind not in (*_PICTURE_LAYERS, "Add", "ZeroPadding2D"):
            return 0
        ahead.extend(neighbours(each))
    return fold


def _parents(layer: Any) -> list[Any]:
    tensors = layer.input if isinstance(layer.input, list) else [layer.input]
    found = [tensor._keras_history.operation for tensor in tensors]
    return [each for each in found if each is not layer]


def _children(layer: Any) -> list[Any]:
    return [node.operation for node in layer._outbound_nodes]
