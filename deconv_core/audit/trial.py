"""How far the checks can be trusted: pictures made bad on purpose, beside the same pictures as they are.

For every check one or more kinds of damage of a stated strength, most of them from `distortions`. Recall is the share
of damaged pictures that the check flags, the false-alarm rate the share of undamaged ones. Take pictures that are good
to begin with; what people would call a fault already counts as a false alarm here.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from deconv_core.audit.checks import CHECKS
from deconv_core.audit.measure import measure_chunk
from deconv_core.audit.whole import add_set_columns
from deconv_core.distortions import DISTORTIONS, distort
from deconv_core.images import read_image, to_uint8
from deconv_core.places import Item

if TYPE_CHECKING:
    import pandas as pd

_QUALITY = 92  # of the JPEG that a damaged picture is saved as
_BATCH = 25


@dataclass(frozen=True)
class Damage:
    """One way to make a picture bad.

    Attributes:
        check: The check that should notice.
        label: What is done, in words.
        apply: (pixels float32 (H, W, 3), generator) -> the file's bytes and its ending.
    """

    check: str
    label: str
    apply: Callable[[np.ndarray, np.random.Generator], tuple[bytes, str]]


def jpeg(pixels: np.ndarray, quality: int = _QUALITY) -> bytes:
    """Pixels (H, W, 3) in [0, 1] as a JPEG file."""
    import cv2

    values = np.ascontiguousarray(to_uint8(pixels)[..., ::-1])
    return cv2.imencode(".jpg", values, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


def _saved(change: Callable[[np.ndarray, np.random.Generator], np.ndarray]):
    return lambda pixels, generator: (jpeg(np.clip(change(pixels, generator), 0, 1)), ".jpg")


def _distorted(key: str, severity: float):
    return _saved(lambda pixels, generator: distort(pixels, key, severity, seed=int(generator.integers(2**31))))


def _blurred(sigma: float):
    return _saved(lambda pixels, generator: DISTORTIONS["gaussian_blur"].apply(pixels, sigma, generator))


def _ramp(pixels: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    return pixels * np.linspace(1, 0.1, pixels.shape[1], dtype=np.float32)[:, None]


def _turned(pixels: np.ndarray, generator: np.random.Generator) -> tuple[bytes, str]:
    import io

    from PIL import Image

    exif = Image.Exif()
    exif[0x0112] = int(generator.integers(2, 9))
    buffer = io.BytesIO()
    Image.fromarray(to_uint8(pixels)).save(buffer, "JPEG", quality=_QUALITY, exif=exif)
    return buffer.getvalue(), ".jpg"


def _cut(pixels: np.ndarray, generator: np.random.Generator) -> tuple[bytes, str]:
    data = jpeg(pixels)
    return data[: int(len(data) * generator.uniform(0.1, 0.95))], ".jpg"


def _strip(pixels: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    return pixels[: max(1, pixels.shape[0] // 4)]


def _small(pixels: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    import cv2

    return cv2.resize(pixels, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA)


def _half(pixels: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    import cv2

    return cv2.resize(pixels, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)


def _padded(pixels: np.ndarray, generator: np.random.Generator) -> tuple[bytes, str]:
    """A comment of 2 MB, as some cameras leave a second picture behind the first."""
    data = jpeg(pixels)
    comment = b"".join(b"\xff\xfe\xff\xff" + bytes(65533) for _ in range(32))
    return data[:2] + comment + data[2:], ".jpg"


DAMAGES = (
    Damage("blurry", "Gaussian blur, sigma 2 px", _blurred(2)),
    Damage("blurry", "Gaussian blur, sigma 4 px", _blurred(4)),
    Damage("blurry", "Gaussian blur, sigma 6 px", _blurred(6)),
    Damage("blurry", "Lens blur, radius 4.5 px", _distorted("lens_blur", 4)),
    Damage("blurry", "Motion blur, 24 px", _distorted("motion_blur", 5)),
    Damage("noisy", "White noise, sigma 10 of 255", _distorted("white_noise", 2)),
    Damage("noisy", "White noise, sigma 20 of 255", _distorted("white_noise", 3)),
    Damage("noisy", "Impulse noise, 5 %", _distorted("impulse_noise", 3)),
    Damage("blocky", "JPEG, quality 22", _distorted("jpeg", 3)),
    Damage("blocky", "JPEG, quality 8", _distorted("jpeg", 5)),
    Damage("low_information", "4 colours left", _distorted("colour_quantisation", 5)),
    Damage("dark", "70 % of the light lost", _distorted("brightness", 5)),
    Damage("light", "70 % of the shadow lost", _saved(lambda x, generator: 1 - distort(1 - x, "brightness", 5))),
    Damage("low_contrast", "75 % of the contrast lost", _distorted("contrast", 5)),
    Damage("clipped", "Contrast times 4", _saved(lambda x, generator: (x - 0.5) * 4 + 0.5)),
    Damage("dull", "80 % of the colour lost", _distorted("saturation", 4)),
    Damage("grey_as_colour", "All colour lost", _distorted("saturation", 5)),
    Damage("uneven_light", "90 % of the light lost towards one side", _saved(_ramp)),
    Damage("odd_aspect", "A strip, a quarter high", _saved(_strip)),
    Damage("odd_size", "A quarter of the size", _saved(_small)),
    Damage("unusual_bytes", "2 MB of comment", _padded),
    Damage("orientation_flag", "EXIF orientation 2 to 8", _turned),
    Damage("wrong_extension", "A JPEG named .png", lambda x, generator: (jpeg(x), ".png")),
    Damage("unreadable", "Cut off at 10 to 95 %", _cut),
    Damage("exact_duplicate", "The same file again", lambda x, generator: (b"", "")),
    Damage("near_duplicate", "Half the size", _saved(_half)),
    Damage("near_duplicate", "JPEG, quality 22", _distorted("jpeg", 3)),
    Damage("near_duplicate", "25 % darker", _distorted("brightness", 2)),
)


def trial(files: Sequence[Path], *, seed: int = 0, damages: Sequence[Damage] = DAMAGES) -> pd.DataFrame:
    """Measure pictures as they are and damaged.

    For the checks that compare with the set, one picture in ten is replaced by a damaged one (copies: added), because a
    whole set of them would not be unusual.

    Args:
        files: Good pictures.
        seed: For random damage and for which pictures are replaced.
        damages: What to try.

    Returns:
        One row per damage: `check`, `made by`, `pictures` (damaged ones), `recall`, `false_alarms` (of the check on the
        undamaged pictures), both from 0 to 1.
    """
    import pandas as pd

    clean = [(path.name, path.read_bytes()) for path in files]
    base = _measured(clean)
    rows = []
    for number, damage in enumerate(damages):
        check, generator = CHECKS[damage.check], np.random.default_rng([seed, number])
        few = check.of_set
        chosen = sorted(
            random.Random(seed + number).sample(range(len(clean)), max(1, len(clean) // 10) if few else len(clean))
        )
        made = [_damaged(clean[place], damage, generator) for place in chosen]
        bad = _measured(made)
        if few:
            copies = check.family == "copy"
            kept = base if copies else base.drop(index=chosen)
            both = pd.concat([kept, bad], ignore_index=True)
            add_set_columns(both, copies=damage.check == "near_duplicate")
            flagged = check.flags(both[damage.check].to_numpy())
            hits, alarms = flagged[len(kept) :], flagged[: len(kept)]
        else:
            add_set_columns(bad, copies=False)
            hits, alarms = check.flags(bad[damage.check].to_numpy()), _flags(base, damage.check)
        rows.append(
            {
                "check": damage.check,
                "made by": damage.label,
                "pictures": len(made),
                "recall": float(hits.mean()),
                "false_alarms": float(alarms.mean()),
            }
        )
    return pd.DataFrame(rows)


def as_text(found: pd.DataFrame) -> str:
    """The table in Markdown."""
    lines = ["| check | made bad by | recall | false alarms |", "| --- | --- | --- | --- |"]
    for row in found.to_dict("records"):
        label = CHECKS[row["check"]].label
        lines.append(f"| {label} | {row['made by']} | {row['recall']:.1%} | {row['false_alarms']:.1%} |")
    return "\n".join(lines)


def _flags(frame: pd.DataFrame, check: str) -> np.ndarray:
    frame = frame.copy()
    add_set_columns(frame, copies=False)
    return CHECKS[check].flags(frame[check].to_numpy())


def _damaged(picture: tuple[str, bytes], damage: Damage, generator: np.random.Generator) -> tuple[str, bytes]:
    name, data = picture
    changed, ending = damage.apply(read_image(data, channels=3).pixels, generator)
    return f"damaged {Path(name).stem}{ending or Path(name).suffix}", changed or data


def _measured(pictures: Sequence[tuple[str, bytes]]) -> pd.DataFrame:
    import pandas as pd

    entries = [(place, 0, Item(name, len(data), origin=data)) for place, (name, data) in enumerate(pictures)]
    rows = []
    for start in range(0, len(entries), _BATCH):
        rows.extend(measure_chunk(entries[start : start + _BATCH]))
    return pd.DataFrame(rows)
