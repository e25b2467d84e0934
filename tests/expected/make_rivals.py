"""Make rivals.json: what piq (PyTorch Image Quality) answers for the rivals on a few colour pictures made by code.

It needs PyTorch and piq, which this project does not, so the answers are stored. In an environment of their own:

    pip install torch==2.13.0 numpy && pip install --no-deps piq==0.8.0
    python tests/expected/make_rivals.py > tests/expected/rivals.json

The answers are those of double precision. piq imports torchvision for its learned metrics only; an empty stand-in is
enough for those used here.
"""

import datetime
import json
import platform
import sys
import warnings
from importlib.metadata import version
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

# Sides that are even and odd; that are made smaller by 2, by 2 (rounded down from 2.5), and by 3.
SIZES = {"small": (176, 208), "odd": (177, 193), "halved": (384, 512), "half_to_even": (640, 641), "third": (643, 656)}
DAMAGES = ("noised", "blurred", "contrast", "blocks", "colour", "colourless", "inverted", "opposite")
LARGE_DAMAGES = ("noised", "colour")


def picture_pair(height: int, width: int, damage: str) -> tuple[np.ndarray, np.ndarray]:
    """Colour pictures (H, W, 3) of 8 bits: waves, edges and a ramp; and the same, damaged."""
    rows, columns = np.mgrid[:height, :width].astype(np.float64)
    waves = np.sin(columns / 5 + rows / 40) * np.cos(rows / 9)
    board = (rows // 24 + columns // 17) % 2
    disc = ((rows - height / 2) ** 2 + (columns - width / 3) ** 2) < (min(height, width) / 4) ** 2
    x = np.stack(
        [
            0.35 + 0.2 * waves + 0.15 * board + 0.2 * disc,
            0.3 + 0.15 * waves + 0.2 * rows / height + 0.1 * board,
            0.5 - 0.2 * disc + 0.2 * columns / width + 0.1 * np.cos(columns / 3),
        ],
        axis=-1,
    )
    rng = np.random.default_rng(20)
    noise = rng.random(x.shape) - 0.5
    x = x + 0.02 * noise
    if damage == "noised":
        y = np.roll(x, 1, axis=1) + 0.2 * noise[::-1]
    elif damage == "blurred":
        y = (x + sum(np.roll(x, step, axis=axis) for step in (-2, -1, 1, 2) for axis in (0, 1))) / 9
    elif damage == "contrast":
        y = 0.45 + 1.3 * (x - 0.45)
    elif damage == "blocks":
        y = x[(np.arange(height) // 6 * 6)][:, np.arange(width) // 6 * 6]
    elif damage == "colour":
        y = x[..., [2, 0, 1]]
    elif damage == "colourless":
        y = np.repeat(x.mean(axis=-1, keepdims=True), 3, axis=-1)
    elif damage == "inverted":
        y = 1 - x
    else:
        # Red squares on black turned into green waves: similarities below 0, whose powers are complex. A flat green
        # would not do: FSIM's phase congruency of it is rounding noise in piq.
        x = board[..., None] * np.array([1.0, 0.0, 0.0])
        y = (0.9 + 0.1 * waves)[..., None] * np.array([0.0, 1.0, 0.0])
    return tuple(np.rint(255 * np.clip(image, 0, 1)).astype(np.uint8) for image in (x, y))


def main() -> None:
    """Print the stored file."""
    from make_piq import StandIn

    torchvision, models = StandIn("torchvision"), StandIn("torchvision.models")
    torchvision.models, models.inception = models, StandIn("torchvision.models.inception")
    sys.modules |= {"torchvision": torchvision, "torchvision.models": models}
    sys.modules["torchvision.models.inception"] = models.inception

    import piq
    import torch

    # Of a grey picture piq says that it is made into three equal channels.
    warnings.simplefilter("ignore")
    functions = {
        "gmsd": piq.gmsd,
        "mdsi": piq.mdsi,
        "haarpsi": piq.haarpsi,
        "vsi": piq.vsi,
        "fsim": lambda y, x: piq.fsim(y, x, chromatic=False),
        "fsimc": piq.fsim,
        "vif": piq.vif_p,
    }
    values = {}
    for name, size in SIZES.items():
        for damage in DAMAGES if max(size) < 256 else LARGE_DAMAGES:
            x, y = (torch.from_numpy(np.moveaxis(image, -1, 0)[None] / 255.0) for image in picture_pair(*size, damage))
            # piq names the damaged picture first.
            values[f"{name}, {damage}"] = {key: float(function(y, x)) for key, function in functions.items()}
            if damage == "noised":
                x, y = x[:, :1], y[:, :1]
                grey = {key: float(function(y, x)) for key, function in functions.items() if key != "fsimc"}
                values[f"{name}, {damage}, grey"] = grey
    made_by = {
        "command": "python tests/expected/make_rivals.py > tests/expected/rivals.json",
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "versions": {"python": platform.python_version()} | {name: version(name) for name in ("piq", "torch", "numpy")},
    }
    print(json.dumps({"made_by": made_by, "values": values}, indent=2))


if __name__ == "__main__":
    main()
