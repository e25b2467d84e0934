"""How much does the score `deconv` cost, beside the bare forward passes of its network that it needs?

    python benchmarks/deconv.py [--pairs 8] [--repeat 7]

One pair of pictures needs two passes: the reference and the candidate. Prints pairs/s and the ratio.
"""

from __future__ import annotations

import argparse
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
from peers import interleaved, machine

MARK = 2.5
HEIGHT, WIDTH = 384, 512


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=8)
    parser.add_argument("--repeat", type=int, default=7)
    options = parser.parse_args()

    from deconv_core.metrics import METRICS
    from deconv_core.models.saving import load_model
    from deconv_core.scoring import DECONV_MODEL

    model = load_model(DECONV_MODEL)
    rng = np.random.default_rng(0)
    # The cost does not depend on what the pictures show; both batches are in the score's own range and type.
    reference = rng.random((options.pairs, HEIGHT, WIDTH, 3), dtype=np.float32)
    candidate = rng.random((options.pairs, HEIGHT, WIDTH, 3), dtype=np.float32)
    greys = [np.ascontiguousarray(batch[..., :1]) for batch in (reference, candidate)]

    def score() -> np.ndarray:
        return METRICS["deconv"].function(reference, candidate, model=model)

    def passes() -> list[np.ndarray]:
        return [model.reconstruct(batch) for batch in greys]

    time_score, time_passes = interleaved(score, passes, repeat=options.repeat)
    print(f"{machine()}; model {model.name}, {options.pairs} pairs {WIDTH}x{HEIGHT} in colour, two passes each")
    print(f"  deconv             {options.pairs / time_score:7.1f} pairs/s")
    print(f"  the bare passes    {options.pairs / time_passes:7.1f} pairs/s")
    print(f"  ratio              {time_score / time_passes:7.2f}   (mark: at most {MARK})")


if __name__ == "__main__":
    main()
