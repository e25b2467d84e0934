"""Shared by the benchmarks: the machine they ran on, timing, and peers installed beside the project, not into it."""

from __future__ import annotations

import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))  # a script started by its path finds deconv_core from any folder


def machine() -> str:
    """The processor's name and how many cores this process may use."""
    import os

    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        name = next(
            (line.split(":")[1].strip() for line in info.read_text().splitlines() if "model name" in line), name
        )
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{name}, {cores} cores, Python {platform.python_version()}"


def seconds(work: Callable[[], object], repeat: int = 5) -> float:
    """The median time of `work` over `repeat` runs, after one run to warm up."""
    work()
    times = []
    for _ in range(repeat):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def interleaved(*works: Callable[[], object], repeat: int = 7) -> list[float]:
    """Median times of several works run in turn, so that a busy moment of the machine hits them alike."""
    for work in works:
        work()
    times: list[list[float]] = [[] for _ in works]
    for _ in range(repeat):
        for row, work in zip(times, works, strict=True):
            began = time.perf_counter()
            work()
            row.append(time.perf_counter() - began)
    return [statistics.median(row) for row in times]


def install(*packages: str) -> None:
    """Install packages into a folder of their own in the temporary directory and make them importable here.

    Without their dependencies: what they share with the project (NumPy) must be the project's.
    """
    folder = Path(tempfile.gettempdir()) / "deconv_lab_peers" / "-".join(packages).replace("=", "")
    if not folder.exists():
        command = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(folder), *packages]
        subprocess.run(command, check=True)
    sys.path.append(str(folder))
