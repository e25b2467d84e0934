"""The example of the overview, computed beforehand: `python -m pages.ui.example` makes its files again.

Needs the bundled models. Run it whenever they change.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

FOLDER = Path(__file__).with_name("example")
CARD = FOLDER / "example.json"
SAMPLE, STEPS, SEED = "coffee", (("webp", 4.0),), 0
KEYS = ("deconv", "deconv_control", "psnr", "ssim", "recon_pair_psnr", "recon_pair_ssim")
PICTURES = {
    "reference": "Reference",
    "judged": "Image to judge",
    "recovered": "Image to judge, encoded and recovered",
    "map": "Where edges changed",
}
_SIDE = 320  # pixels, longest; the four files together stay below 200 kB


def make() -> dict[str, Any]:
    """Compute the example, write its files, and return what is in its card."""
    from deconv_core import inspection
    from deconv_core.distortions import DISTORTIONS, distort_all
    from deconv_core.explain import describe
    from deconv_core.figures import colour_map
    from deconv_core.images import encode_webp
    from deconv_core.metrics import METRICS, recipe
    from deconv_core.models.saving import load_model
    from deconv_core.scoring import DECONV_MODEL, DEFAULT_MODEL

    reference = inspection.example_picture(SAMPLE).pixels
    judged = distort_all(reference, STEPS, seed=SEED)
    models = {"model": load_model(DEFAULT_MODEL), "deconv_model": load_model(DECONV_MODEL)}
    scores = inspection.score_pair(reference, judged, KEYS, **models)
    errors = inspection.error_map("deconv", reference, judged, **models)
    pictures = {
        "reference": reference,
        "judged": judged,
        "recovered": inspection.rebuild(models["model"], judged),
        "map": colour_map(errors, 0, inspection.map_scale("deconv")[0]).astype(np.float32) / 255,
    }
    FOLDER.mkdir(exist_ok=True)
    for name, pixels in pictures.items():
        small = inspection.reduce_side(pixels, _SIDE)
        (FOLDER / f"{name}.webp").write_bytes(encode_webp(small, 88))
    card = {
        "made_by": "python -m pages.ui.example",
        "query": {"sample": SAMPLE, "kind": STEPS[0][0], "severity": f"{STEPS[0][1]:g}", "seed": str(SEED)},
        "done": (
            f"{inspection.example_label(SAMPLE)}, made worse by {DISTORTIONS[STEPS[0][0]].label} "
            f"({DISTORTIONS[STEPS[0][0]].describe(STEPS[0][1])})"
        ),
        "words": list(describe(reference, judged).sentences),
        "scores": scores,
        "recipes": {
            key: recipe(key, models["deconv_model" if key == "deconv" else "model"]) for key in KEYS if key in METRICS
        },
    }
    CARD.write_text(json.dumps(card, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return card


def read_example() -> dict[str, Any]:
    """The card of the example as it was shipped."""
    return json.loads(CARD.read_text(encoding="utf-8"))


if __name__ == "__main__":
    print(json.dumps(make()["scores"], indent=1))
