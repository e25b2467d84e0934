"""Make piq.json: what piq (PyTorch Image Quality) answers for a few pictures made by code.

It needs PyTorch and piq, which this project does not, so the answers are stored. In an environment of their own:

    pip install torch==2.13.0 numpy && pip install --no-deps piq==0.8.0
    python tests/expected/make_piq.py > tests/expected/piq.json

piq imports torchvision for its learned metrics only; an empty stand-in is enough for those used here.
"""

import datetime
import json
import platform
import sys
from importlib.metadata import version
from types import ModuleType

import numpy as np

SIZES = {"small": (176, 208), "even_factor": (512, 544), "odd_side": (177, 193)}


def picture_pair(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Grey pictures (H, W) of 8 bits: waves, edges and a ramp; then lower in contrast, shifted a little and noised."""
    rows, columns = np.mgrid[:height, :width].astype(np.float64)
    x = (
        0.5
        + 0.2 * np.sin(columns / 5) * np.cos(rows / 9)
        + 0.15 * ((rows // 24 + columns // 17) % 2)
        + 0.1 * rows / height
    )
    rng = np.random.default_rng(20)
    y = 0.5 + 0.8 * (np.roll(x, 1, axis=1) - 0.5) + 0.12 * (rng.random((height, width)) - 0.5)
    return tuple(np.rint(255 * np.clip(image, 0, 1)).astype(np.uint8) for image in (x, y))


class StandIn(ModuleType):
    """A module that has an empty class for every name."""

    def __getattr__(self, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {})


def main() -> None:
    """Print the stored file."""
    torchvision, models = StandIn("torchvision"), StandIn("torchvision.models")
    torchvision.models, models.inception = models, StandIn("torchvision.models.inception")
    sys.modules |= {"torchvision": torchvision, "torchvision.models": models}
    sys.modules["torchvision.models.inception"] = models.inception

    import piq
    import torch
    from piq.functional import gradient_map, prewitt_filter

    values = {}
    for name, size in SIZES.items():
        x, y = (torch.from_numpy(image[None, None] / 255.0) for image in picture_pair(*size))
        kernels = torch.stack([prewitt_filter(), prewitt_filter().transpose(-1, -2)]).to(x)
        half_x, half_y = (torch.nn.functional.avg_pool2d(image, 2) for image in (x, y))
        m_x, m_y = (gradient_map(image, kernels) for image in (half_x, half_y))
        values[name] = {
            "size": size,
            "ssim_downsampled": float(piq.ssim(x, y, data_range=1.0, downsample=True)),
            "ssim": float(piq.ssim(x, y, data_range=1.0, downsample=False)),
            "ms_ssim": float(piq.multi_scale_ssim(x, y, data_range=1.0)),
            # Half-size gradient magnitude without the border, which piq pads with zeros.
            "gradient_mean": [float(m[..., 1:-1, 1:-1].mean()) for m in (m_x, m_y)],
            "gradient_max": [float(m[..., 1:-1, 1:-1].max()) for m in (m_x, m_y)],
        }
    made_by = {
        "command": "python tests/expected/make_piq.py > tests/expected/piq.json",
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "versions": {"python": platform.python_version()} | {name: version(name) for name in ("piq", "torch", "numpy")},
    }
    print(json.dumps({"made_by": made_by, "values": values}, indent=2))


if __name__ == "__main__":
    main()
