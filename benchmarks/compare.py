"""Every metric over a data set under 14 distortions: pictures per second, peak memory, and how soon the result opens.

    .venv/bin/python benchmarks/compare.py --data FOLDER

The marks: less than 2 GiB of memory, the result read within 2 s, disagreements among 10,000 rows found within 1 s.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pandas as pd
from peers import ROOT, machine, seconds

from deconv_core.comparison import read_result
from deconv_core.relations import KINDS, disagreements

LEFT_OUT = ("colour_quantisation", "banding")
MEMORY_BYTES = 2 * 2**30
OPEN_SECONDS = 2.0
FIND_SECONDS = 1.0


def main() -> int:
    """Print the figures; 0 if every mark is met."""
    from deconv_core.distortions import DISTORTIONS

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="samples", help="a SOURCE, such as a folder of photographs")
    parser.add_argument("--max-images", type=int, default=0, help="0 takes all")
    parser.add_argument("--out", type=Path, help="keep the run here, or go on with the one that is there")
    given = parser.parse_args()

    with tempfile.TemporaryDirectory() as temporary:
        folder = given.out or Path(temporary) / "run"
        kinds = ",".join(key for key in DISTORTIONS if key not in LEFT_OUT)
        words = ["--data", given.data, "--distortions", kinds, "--max-images", str(given.max_images)]
        more = ["--resume"] if (folder / "settings.json").exists() else []
        # A process of its own: its peak memory is the run's and nobody else's.
        command = [sys.executable, "-m", "deconv_core", "compare", *words, "--out", str(folder), *more]
        began = time.perf_counter()
        subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        whole = time.perf_counter() - began
        summary = json.loads((folder / "results" / "summary.json").read_text(encoding="utf-8"))
        opened = seconds(lambda: read_result(folder))

    rng = np.random.default_rng(0)
    many = pd.DataFrame(
        {"image": np.repeat(np.arange(200), 50), "psnr": rng.random(10_000), "ssim": rng.random(10_000)}
    )
    found = max(seconds(lambda kind=kind: disagreements(many, "psnr", "ssim", kind=kind)) for kind in KINDS)
    rows = 200_000
    huge = pd.DataFrame(
        {"image": np.repeat(np.arange(rows // 80), 80), "psnr": rng.random(rows), "ssim": rng.random(rows)}
    )
    tracemalloc.start()
    for kind in KINDS:
        disagreements(huge, "psnr", "ssim", kind=kind)
    held = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    print(machine())
    print(f"{summary['images']} pictures, {summary['rows']} damaged versions, {len(summary['recipes'])} metrics")
    print(f"scoring        {summary['images_per_second']:8.2f} images/s; {whole:.0f} s with tables and report")
    print(f"peak memory    {summary['peak_memory_bytes'] / 2**20:8.0f} MiB, mark {MEMORY_BYTES / 2**20:.0f}")
    print(f"result opened  {opened:8.3f} s, mark {OPEN_SECONDS:g}")
    print(f"disagreements  {found:8.3f} s for 10,000 rows, mark {FIND_SECONDS:g}")
    print(f"               {held / 2**20:8.0f} MiB for {rows:,} rows")
    met = summary["peak_memory_bytes"] < MEMORY_BYTES and opened <= OPEN_SECONDS and found <= FIND_SECONDS
    print("Every mark is met." if met else "A mark is missed.")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
