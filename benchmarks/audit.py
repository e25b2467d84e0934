"""Audits measured: speed beside CleanVision and plain decoding, recall, many pictures, workers, kills.

    python benchmarks/audit.py speed --data FOLDER [--include 'ss0*.jpg'] [--count 2000] [--model photo_small]
    python benchmarks/audit.py recall --data FOLDER [--include 'ss03_*.jpg'] [--count 200] [--seed 1]
    python benchmarks/audit.py many [--count 100000]
    python benchmarks/audit.py workers --data FOLDER [--count 200] [--model photo_small]
    python benchmarks/audit.py kill --data FOLDER [--count 2000] [--kills 10]

Marks: without a model at least 6 times CleanVision 0.3.7 with its default checks and at least half of Pillow's plain
decoding on the same cores; with the model at a working size of 256 pixels at least CleanVision's rate; blur of sigma 2,
4 and 6 found in 95 % of the cases at 5 % false alarms at most; 100,000 pictures below 1.5 GiB, within 10 % of the time
per picture at 5,000, and again in 5 % of the time; two workers at least 1.6 times one; after kills the same table.
CleanVision is installed into an environment of its own first. Ends with status 1 if a mark is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from fnmatch import fnmatchcase
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from peers import ROOT, machine

PEER = "cleanvision==0.3.7"
MAX_SIDE = 256
_PEER_SCRIPT = """
import sys, time
from cleanvision import Imagelab
if __name__ == "__main__":
    began = time.perf_counter()
    lab = Imagelab(data_path=sys.argv[1])
    lab.find_issues(n_jobs=int(sys.argv[2]), verbose=False)
    print("SECONDS", time.perf_counter() - began)
"""


def cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def load() -> str:
    """How busy the machine is besides."""
    return f"load average {os.getloadavg()[0]:.1f}"


def take(data: str, include: str, count: int, folder: Path, seed: int = 0) -> list[Path]:
    """Copy `count` files of a folder, drawn by the seed, into another one."""
    files = sorted(path for path in Path(data).iterdir() if fnmatchcase(path.name, include) and path.is_file())
    chosen = sorted(random.Random(seed).sample(files, min(count, len(files))))
    folder.mkdir(parents=True)
    return [Path(shutil.copy(path, folder / path.name)) for path in chosen]


# What an audit imports as it goes; CleanVision's imports are not counted either.
_OURS_SCRIPT = """
import runpy, sys
import cv2, distributed, pandas, pyarrow.parquet
if "--model" in sys.argv:
    import tensorflow
runpy.run_module("deconv_core", run_name="__main__")
"""


def audit(data: Path, out: Path, home: Path, *more: str, whole: bool = False) -> dict:
    """One audit by the command line; its summary, with the wall-clock time of the command.

    Unless the `whole` command counts, what it imports is there before its clock starts.
    """
    how = ["-m", "deconv_core"] if whole else ["-c", _OURS_SCRIPT]
    words = [sys.executable, *how, "audit", str(data), "--out", str(out), *more]
    began = time.perf_counter()
    subprocess.run(words, cwd=ROOT, env={**os.environ, "DECONV_HOME": str(home)}, check=True, capture_output=True)
    summary = json.loads((out / "results" / "summary.json").read_text())
    return summary | {"wall": time.perf_counter() - began}


def peer_python() -> Path:
    """The interpreter of an environment that holds CleanVision alone."""
    folder = Path(tempfile.gettempdir()) / "deconv_lab_peers" / PEER.replace("=", "")
    python = folder / "bin" / "python"
    if not (folder / "done").exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "-q", PEER], check=True)
        (folder / "done").touch()
    return python


def cleanvision_seconds(data: Path) -> float:
    """CleanVision with its default checks and as many processes as there are cores; imports are not counted."""
    command = [str(peer_python()), "-c", _PEER_SCRIPT, str(data), str(cores())]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return float(told.split("SECONDS")[1])


def pillow_seconds(files: list[Path]) -> float:
    """Plain decoding with Pillow in threads, which release the interpreter while they decode."""
    from PIL import Image

    def decode(path: Path) -> None:
        with Image.open(path) as image:
            image.load()

    began = time.perf_counter()
    with ThreadPoolExecutor(cores()) as pool:
        for _ in pool.map(decode, files):
            pass
    return time.perf_counter() - began


def speed(options: argparse.Namespace, box: Path) -> bool:
    """Pictures per second of all four, in turn, so that a busy moment hits them alike."""
    files = take(options.data, options.include, options.count, box / "data")
    works: dict[str, Callable[[int], float]] = {
        "Pillow, decoding alone": lambda _: pillow_seconds(files),
        "ours, no model": lambda number: audit(box / "data", box / f"a{number}", box / f"home{number}")["seconds"],
        f"{PEER}": lambda _: cleanvision_seconds(box / "data"),
    }
    if options.model:
        extra = ("--model", options.model, "--max-side", str(MAX_SIDE))
        works[f"ours, {options.model} at {MAX_SIDE} px"] = lambda number: audit(
            box / "data", box / f"m{number}", box / f"homem{number}", *extra
        )["seconds"]
    peer_python()
    times = {name: [] for name in works}
    for number in range(options.repeat):
        for name, work in works.items():
            times[name].append(work(number))
    rates = {name: len(files) / statistics.median(seconds) for name, seconds in times.items()}
    print(f"{len(files)} pictures; median of {options.repeat}; {load()}\n")
    for name, rate in rates.items():
        print(f"{name:32}{rate:10.1f} pictures/s")
    pillow, ours, peer, *model = rates.values()
    met = [ours >= 6 * peer, ours >= 0.5 * pillow, *(rate >= peer for rate in model)]
    print(f"\nours / CleanVision {ours / peer:.2f} (mark 6), ours / Pillow {ours / pillow:.2f} (mark 0.5)", end="")
    print("".join(f", with model / CleanVision {rate / peer:.2f} (mark 1)" for rate in model))
    return all(met)


def recall(options: argparse.Namespace, box: Path) -> bool:
    """For every check a set made bad on purpose, beside the pictures as they are."""
    from deconv_core.audit.trial import as_text, trial

    files = take(options.data, options.include, options.count, box / "data", options.seed)
    found = trial(files, seed=options.seed)
    print(f"{len(files)} pictures\n")
    print(as_text(found))
    blur = found[found["made by"].str.startswith("Gaussian blur")]
    return bool((blur["recall"] >= 0.95).all() and (blur["false_alarms"] <= 0.05).all())


def small_pictures(folder: Path, count: int) -> None:
    """Small JPEGs, all different in bytes and pixels: a smooth random field each."""
    import cv2

    folder.mkdir(parents=True)
    generator = np.random.default_rng(0)
    for number in range(count):
        coarse = generator.integers(0, 256, (8, 8, 3), np.uint8)
        pixels = cv2.resize(coarse, (64, 64), interpolation=cv2.INTER_CUBIC)
        place = folder / f"{number // 1000:03d}"
        if number % 1000 == 0:
            place.mkdir()
        (place / f"{number:06d}.jpg").write_bytes(cv2.imencode(".jpg", pixels)[1].tobytes())


def many(options: argparse.Namespace, box: Path) -> bool:
    """Memory, time per picture at two sizes, and the second run."""
    rows = []
    for count in (min(5000, options.count), options.count):
        data, home = box / f"small{count}", box / f"home{count}"
        small_pictures(data, count)
        time.sleep(3)  # files changed a moment ago are not trusted by their time
        first = audit(data, box / f"first{count}", home, whole=True)
        again = audit(data, box / f"again{count}", home, whole=True)
        rows.append((count, first, again))
        print(
            f"{count:>8,} pictures: {1000 * first['seconds'] / count:.3f} ms each, peak "
            f"{first['peak_memory_bytes'] / 2**20:.0f} MiB, again in {again['wall']:.1f} s of {first['wall']:.1f} s "
            f"({again['wall'] / first['wall']:.1%}), {again['reused']:,} reused; {load()}"
        )
    (count, first, again), (few, before, _) = rows[-1], rows[0]
    growth = (first["seconds"] / count) / (before["seconds"] / few) - 1
    print(f"time per picture {growth:+.1%} against {few:,}")
    return growth <= 0.1 and first["peak_memory_bytes"] < 1.5 * 2**30 and again["wall"] <= 0.05 * first["wall"]


def workers(options: argparse.Namespace, box: Path) -> bool:
    """The model's part on one worker process and on two, one thread each."""
    from distributed import LocalCluster

    take(options.data, options.include, options.count, box / "data")
    more = ("--model", options.model or "photo_small", "--checks", "reconstruction")
    os.environ["PYTHONPATH"] = str(ROOT)
    times = {}
    for count in (1, 2):
        with LocalCluster(n_workers=count, threads_per_worker=1, processes=True, dashboard_address=None) as cluster:
            address = ("--scheduler", cluster.scheduler_address)
            # Once to load TensorFlow in every worker, then again on what is new to the cache.
            audit(box / "data", box / f"warm{count}", box / f"warm-home{count}", *more, *address)
            times[count] = audit(box / "data", box / f"job{count}", box / f"home{count}", *more, *address)["seconds"]
        print(f"{count} worker{'s' * (count > 1)}: {times[count]:.1f} s; {load()}")
    print(f"two are {times[1] / times[2]:.2f} times one (mark 1.6)")
    return times[1] / times[2] >= 1.6


def kill(options: argparse.Namespace, box: Path) -> bool:
    """kill -9 at random moments, then a look at whether anything differs from an unbroken run."""
    import pandas as pd

    take(options.data, options.include, options.count, box / "data")
    generator = random.Random(options.seed)
    whole = audit(box / "data", box / "whole", box / "home-whole")
    out, left = box / "job", 0
    for number in range(options.kills):
        words = [sys.executable, "-m", "deconv_core", "audit", str(box / "data"), "--out", str(out)]
        words += ["--resume"] if (out / "settings.json").exists() else []
        # A new cache each time, or the last kills would only meet runs that have nothing left to measure.
        environment = {**os.environ, "DECONV_HOME": str(box / f"home{number}")}
        process = subprocess.Popen(
            words, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        time.sleep(generator.uniform(0.2, 1.2 * whole["wall"] / 2))
        left += process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.wait()
    audit(box / "data", out, box / "home-last", *(["--resume"] if (out / "settings.json").exists() else []))
    tables = [pd.read_parquet(folder / "results" / "images.parquet") for folder in (box / "whole", out)]
    same = tables[0].equals(tables[1])
    print(f"{options.kills} kills, {left} of them at work; the final tables are {'equal' if same else 'DIFFERENT'}")
    return same


def main() -> int:
    """Run one of them; 0 if its marks are met."""
    works = {"speed": speed, "recall": recall, "many": many, "workers": workers, "kill": kill}
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], epilog=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("work", choices=works)
    parser.add_argument("--data", help="a folder of photographs")
    parser.add_argument("--include", default="*", help="file-name pattern")
    parser.add_argument("--count", type=int, help="pictures")
    parser.add_argument("--model", default="", help="add the model's part")
    parser.add_argument("--repeat", type=int, default=1, help="runs of each, of which the median counts")
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    if options.work != "many" and not options.data:
        parser.error("--data is needed: a folder of photographs")
    options.count = (
        options.count or {"speed": 2000, "recall": 200, "many": 100_000, "workers": 200, "kill": 2000}[options.work]
    )
    print(machine())
    with tempfile.TemporaryDirectory(prefix="audit-benchmark-") as box:
        met = works[options.work](options, Path(box))
    print("all marks met" if met else "a mark was MISSED")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
