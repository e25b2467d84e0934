"""Where do a picture's values stand within the bundled reference set? As a percentile, 100 the best.

The set is that of `deconv_core.percentiles`: the sample photographs, here as they are and under every distortion and
severity. It ships as quantiles, no pictures, which anybody can make again (some minutes):

    python -m deconv_core.audit.reference

Checks that only say yes, and those that compare a picture with its own set, have no place in another one.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from deconv_core.audit.checks import CHECKS
from deconv_core.files import write_whole

QUANTILES_FILE = Path(__file__).with_name("quantiles.json")
COMMAND = "python -m deconv_core.audit.reference"
_LEVELS = 101
_DIGITS = 6
_QUALITY = "deconv_quality"


def percentile(check: str, value: float, recipe: Mapping[str, Any]) -> float:
    """Percent of the bundled set that is no better by a check, 100 the best.

    Args:
        check: Its key.
        value: What was measured.
        recipe: How, as `recipes.recipes_of` tells of the audit's column.

    Returns:
        NaN where there is no value, or the set was measured in another way.
    """
    from deconv_core.audit.recipes import difference

    stored = _stored()["checks"].get(check)
    if stored is None or not np.isfinite(value) or difference(check, {check: stored["recipe"]}, {check: recipe}):
        return float("nan")
    sign = -1.0 if CHECKS[check].flags_when == "above" else 1.0
    worth = sign * np.array(stored["quantiles"])  # from worst to best
    # The share of the quantiles that are no better: exact at each of them, and no finer than one percent.
    return 100.0 * float(np.searchsorted(worth, sign * _rounded(value), side="right")) / len(worth)


def reference_set() -> dict[str, Any]:
    """What the bundled set is: `images`, `command`, `fingerprint`."""
    return {key: value for key, value in _stored().items() if key != "checks"}


def make_quantiles(folder: Path | str) -> dict[str, Any]:
    """The quantiles of a finished audit, as in `quantiles.json`."""
    from deconv_core.audit.recipes import recipes_of
    from deconv_core.audit.table import AuditTable

    table = AuditTable(folder)
    recipes = recipes_of(table)
    checks = {}
    for key in table.checks:
        row = CHECKS[key]
        if row.flags_when == "set" or row.of_set:
            continue
        values = table.numbers[key].to_numpy(np.float64)
        values = np.sort(values[np.isfinite(values)])[:: -1 if row.flags_when == "above" else 1]
        if len(values):
            places = np.round(np.linspace(0, len(values) - 1, _LEVELS)).astype(int)
            checks[key] = {"recipe": recipes[key], "quantiles": [_rounded(value) for value in values[places]]}
    return {
        "images": table.count,
        "command": COMMAND,
        "fingerprint": table.summary["fingerprint"],
        "checks": checks,
    }


def main() -> None:
    """Make the set, audit it, and write its quantiles into the package."""
    from deconv_core.audit.run import AuditSettings, run_audit
    from deconv_core.scoring import DEFAULT_MODEL

    with tempfile.TemporaryDirectory() as box:
        os.environ["DECONV_HOME"] = box  # what was measured before may be from before a change
        _write_set(Path(box) / "set")
        settings = AuditSettings(str(Path(box) / "set"), model=DEFAULT_MODEL, quality=_QUALITY)
        run_audit(settings, Path(box) / "job")
        content = make_quantiles(Path(box) / "job")
    checks = content.pop("checks")
    # One line per check: a change shows in a diff as what it is.
    lines = ",\n".join(f'  "{key}": {json.dumps(value)}' for key, value in checks.items())
    write_whole(QUANTILES_FILE, f'{json.dumps(content, indent=1)[:-2]},\n "checks": {{\n{lines}\n }}\n}}\n')
    print(QUANTILES_FILE)


def _write_set(folder: Path) -> None:
    from deconv_core.distortions import DISTORTIONS, MAX_SEVERITY, distort
    from deconv_core.errors import DeconvError
    from deconv_core.images import encode_png
    from deconv_core.samples import SAMPLES, sample

    folder.mkdir()
    for name in SAMPLES:
        pixels = sample(name).pixels
        (folder / f"{name}.png").write_bytes(encode_png(pixels))
        for kind in DISTORTIONS:
            for severity in range(1, int(MAX_SEVERITY) + 1):
                try:
                    damaged = distort(pixels, kind, severity)
                except DeconvError:  # what needs colours is not for grey pictures
                    break
                (folder / f"{name} {kind} {severity}.png").write_bytes(encode_png(damaged))


def _rounded(value: float) -> float:
    """As quantiles are stored; a value that is compared with them has to be rounded alike, or it misses its own."""
    return float(f"{float(value):.{_DIGITS}g}")


@cache
def _stored() -> dict[str, Any]:
    return json.loads(QUANTILES_FILE.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
