"""The files of the story, computed beforehand: `python -m pages.ui.story AGREEMENT` makes them again.

AGREEMENT is the folder that `python benchmarks/agreement.py --pairs PAIRS.csv --out FOLDER` left, for the screen on
human scores. Needs the bundled models. Run it whenever they change.
"""

from __future__ import annotations

import json
import sys
import tempfile
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from deconv_core.scoring import DEFAULT_MODEL

FOLDER = Path(__file__).with_name("story")
CARD = FOLDER / "story.json"
SAMPLE, DECIBELS = "astronaut", 25.0
FACES = ("contrast", "gaussian_blur", "white_noise")
FACE_SCORES = ("psnr", "ssim", "deconv")
BOTTLENECK_SAMPLE, BOTTLENECK_MODEL = "coffee", DEFAULT_MODEL
CHANNELS = (1, 2, 4, 8, 16, 32, 48)
# What is planted into the small set, and the check that has to find it.
PLANTED = {
    "blurry": ("rocket", (("gaussian_blur", 3.0),)),
    "noisy": ("coffee", (("white_noise", 3.5),)),
    "dark": ("camera", (("brightness", 5.0),)),
    "blocky": ("astronaut", (("jpeg", 5.0),)),
    "low_contrast": ("chelsea", (("contrast", 5.0),)),
}
AGREEMENT_ROWS = (
    *("deconv", "deconv_control", "gradient_information", "gmsd", "haarpsi", "mdsi", "ms_ssim", "fsim", "vsi"),
    *("ssim", "psnr", "recon_true_psnr", "recon_pair_psnr", "recon_true_ssim", "recon_pair_ssim"),
)
_SIDE = 360


def make(agreement: Path) -> dict[str, Any]:
    """Compute the story, write its files, and return its card."""
    from deconv_core import inspection
    from deconv_core.distortions import DISTORTIONS
    from deconv_core.images import encode_webp
    from deconv_core.models.saving import load_model
    from deconv_core.scoring import DECONV_MODEL
    from deconv_core.story import narrowed, same_psnr

    FOLDER.mkdir(exist_ok=True)
    for old in FOLDER.glob("*.webp"):
        old.unlink()

    def keep(name: str, pixels: np.ndarray) -> str:
        (FOLDER / f"{name}.webp").write_bytes(encode_webp(inspection.reduce_side(pixels, _SIDE), 86))
        return f"{name}.webp"

    def middle(key: str) -> np.ndarray:
        from deconv_core.images import crop_centre

        pixels = inspection.example_picture(key).pixels
        side = min(_SIDE, *pixels.shape[:2]) // 8 * 8
        return np.ascontiguousarray(crop_centre(pixels, side, side))

    judge = load_model(DECONV_MODEL)
    reference = middle(SAMPLE)
    faces = [
        {
            "label": DISTORTIONS[face.kind].label,
            "strength": DISTORTIONS[face.kind].describe(face.severity),
            "picture": keep(f"face_{face.kind}", face.pixels),
            "scores": inspection.score_pair(reference, face.pixels, FACE_SCORES, deconv_model=judge),
        }
        for face in same_psnr(reference, DECIBELS, FACES)
    ]
    picture = middle(BOTTLENECK_SAMPLE)
    rows = [
        {
            "channels": row.channels,
            "share": row.share,
            "psnr": row.psnr,
            "picture": keep(f"code_{row.channels}", row.pixels),
        }
        for row in narrowed(load_model(BOTTLENECK_MODEL), picture, CHANNELS)
    ]
    card = {
        "made_by": "python -m pages.ui.story AGREEMENT",
        "reference": keep("reference", reference),
        "sample": inspection.example_label(SAMPLE),
        "faces": faces,
        "bottleneck": {"picture": keep("picture", picture), "rows": rows, "model": BOTTLENECK_MODEL},
        "agreement": _agreement(agreement),
        "audit": _audit(keep),
    }
    CARD.write_text(json.dumps(card, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return card


def _agreement(folder: Path) -> dict[str, Any]:
    """The metrics worth a row, and the kinds of distortion on which the score does worst; both need every number."""
    import pandas as pd

    from deconv_core.metrics import METRICS

    table = pd.read_csv(folder / "agreement.csv", keep_default_na=False, na_values=[""])
    table = table[table["model"].isna() | (table["model"] == DEFAULT_MODEL)]
    whole = table[table["group"] == "all"].set_index("metric")
    kinds = table[(table["group"] != "all") & (table["metric"] == "deconv")].sort_values("srcc").head(2)
    numbers = ("srcc", "srcc_low", "srcc_high", "count")
    return {
        "date": f"{date.today():%Y-%m-%d}",
        "command": "python benchmarks/agreement.py --pairs PAIRS.csv",
        "version": METRICS["deconv"].version,
        "rows": [{"metric": key, **{name: float(whole.loc[key, name]) for name in numbers}} for key in AGREEMENT_ROWS],
        "worst": [{"group": str(row.group), "srcc": float(row.srcc)} for row in kinds.itertuples()],
    }


def _audit(keep: Any) -> dict[str, Any]:
    """A small set with faults that we planted, audited as any other."""
    from deconv_core import inspection
    from deconv_core.audit.checks import CHECKS
    from deconv_core.audit.run import AuditSettings, run_audit
    from deconv_core.audit.table import AuditTable
    from deconv_core.audit.words import evidence, paragraph
    from deconv_core.distortions import distort_all
    from deconv_core.images import encode_png
    from deconv_core.samples import SAMPLES

    with tempfile.TemporaryDirectory() as place:
        source = Path(place) / "pictures"
        source.mkdir()
        for key in SAMPLES:
            (source / f"{key}.png").write_bytes(encode_png(inspection.example_picture(key).pixels))
        for check, (key, steps) in PLANTED.items():
            made = distort_all(inspection.example_picture(key).pixels, steps)
            (source / f"{key}_{check}.png").write_bytes(encode_png(made))
        (source / "copy_of_chelsea.png").write_bytes((source / "chelsea.png").read_bytes())
        (source / "broken.png").write_bytes((source / "chelsea.png").read_bytes()[:4000])
        run_audit(AuditSettings(str(source)), Path(place) / "audit")
        table = AuditTable(Path(place) / "audit")
        found = []
        for check, (key, _) in PLANTED.items():
            image = f"{key}_{check}.png"
            row = table.row(image)
            if check not in list(row["issues"]):
                raise SystemExit(f"The audit did not find that {image} is {check}; change what is planted.")
            pixels = inspection.example_picture(key).pixels
            made = distort_all(pixels, PLANTED[check][1])
            found.append(
                {
                    "image": image,
                    "label": CHECKS[check].label,
                    "words": evidence(row)[check],
                    "picture": keep(f"audit_{check}", made),
                }
            )
        return {"count": table.count, "words": paragraph(table), "found": found}


def read_story() -> dict[str, Any]:
    """The story as it was shipped."""
    return json.loads(CARD.read_text(encoding="utf-8"))


if __name__ == "__main__":
    made = make(Path(sys.argv[1]))
    print(json.dumps({"faces": made["faces"], "audit": made["audit"]["words"]}, indent=1))
