"""The rivals without training, ours beside piq: values and time in one process, and the time of one large picture.

    python benchmarks/rivals.py [--repeat 5]

Marks: on 16 RGB pictures of 512 x 384 at least as fast as piq (PyTorch on the same cores, its best number of threads
left to it), each value within 1e-3 of piq's, relative; one pair of 1080 x 800 within 0.2 s. piq lacks NLPD. Ends with
status 1 if a mark is missed. piq and PyTorch's build for processors are installed into a folder of their own first.
"""

import argparse
import sys
import warnings
from pathlib import Path
from types import ModuleType

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from peers import install, interleaved, machine
from ssim import COUNT, HEIGHT, WIDTH, pictures

from deconv_core.metrics import METRICS

KEYS = ("gmsd", "mdsi", "haarpsi", "vsi", "fsim", "fsimc", "vif", "nlpd")
# torch's exact version is that of the build for processors; the rest is what importing it needs.
PEERS = ("torch==2.13.0", "piq==0.8.0", "sympy", "mpmath", "networkx", "jinja2", "filelock", "fsspec")
LARGE = (800, 1080)
LARGE_SECONDS = 0.2
CLOSE = 1e-3


class StandIn(ModuleType):
    """A module that has an empty class for every name: piq imports torchvision for metrics that are not used here."""

    def __getattr__(self, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {})


def main() -> int:
    """Print the comparison; 0 if every mark is met."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeat", type=int, default=5, help="runs of each, of which the median counts")
    repeat = parser.parse_args().repeat

    install(*PEERS)
    for name in ("torchvision", "torchvision.models", "torchvision.models.inception"):
        sys.modules[name] = StandIn(name)
    sys.modules["torchvision"].models = sys.modules["torchvision.models"]
    sys.modules["torchvision.models"].inception = sys.modules["torchvision.models.inception"]
    import piq
    import torch

    warnings.simplefilter("ignore")
    functions = {
        "gmsd": piq.gmsd,
        "mdsi": piq.mdsi,
        "haarpsi": piq.haarpsi,
        "vsi": piq.vsi,
        "fsim": lambda y, x, reduction: piq.fsim(y, x, chromatic=False, reduction=reduction),
        "fsimc": piq.fsim,
        "vif": piq.vif_p,
    }
    reference, candidate = pictures()
    x, y = (torch.from_numpy(np.moveaxis(batch, -1, 1).copy()) for batch in (reference, candidate))
    large = [np.tile(batch[:1], (1, 3, 3, 1))[:, : LARGE[0], : LARGE[1]].copy() for batch in (reference, candidate)]

    print(f"{machine()}; piq {piq.__version__}, torch {torch.__version__} with {torch.get_num_threads()} threads")
    print(f"{COUNT} RGB pictures of {WIDTH} x {HEIGHT}, all in one call; median of {repeat} runs in turn\n")
    print(f"{'':10}{'mean':>9}{'piq':>9}{'differs by':>12}{'ours, s':>10}{'piq, s':>10}{'ours is':>10}", end="")
    print(f"{'one of ' + str(LARGE[1]) + ' x ' + str(LARGE[0]) + ', s':>24}")
    met = True
    for key in KEYS:
        ours = METRICS[key].function
        values = ours(reference, candidate)
        works = [lambda ours=ours: ours(reference, candidate), lambda ours=ours: ours(*large)]
        if key in functions:
            with torch.inference_mode():
                theirs = functions[key]
                # piq names the damaged picture first.
                expected = theirs(y, x, reduction="none").numpy().astype(np.float64).ravel()
                own, once, peer = interleaved(
                    *works, lambda theirs=theirs: theirs(y, x, reduction="none"), repeat=repeat
                )
            gap = float(np.max(np.abs(values - expected) / np.maximum(np.abs(expected), 1e-12)))
            met &= gap <= CLOSE and own <= peer
            beside = f"{expected.mean():9.5f}{gap:12.1e}{own:10.3f}{peer:10.3f}{peer / own:9.1f}x"
        else:
            own, once = interleaved(*works, repeat=repeat)
            beside = f"{'-':>9}{'-':>12}{own:10.3f}{'-':>10}{'-':>10}"
        met &= once <= LARGE_SECONDS
        print(f"{key:10}{values.mean():9.5f}{beside}{once:24.3f}")
    print("\nEvery mark is met." if met else "\nA mark is missed.")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
