"""How long does a visitor wait? A fresh server and a real Chromium; clicks on samples, and a severity that changes.

    python benchmarks/clicks.py [--servers 3] [--clicks 5] [--training]

Marks, on two cores: the page stands within 2 s, every score within 6 s of the first click on a fresh server and within
1.5 s of later ones on another sample, and everything is drawn again within 1 s when the severity changes. Times are
taken in the browser, from the press of the button or key to the frame in which the page is at rest with all its new
numbers. With `--training` a model is trained meanwhile, as the Train page starts it; a later click on a sample may then
take 3 s, and the other marks do not count. Ends with status 1 if a mark is missed.
"""

from __future__ import annotations

import argparse
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from peers import machine

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
FIRST = "astronaut"  # 512 x 512, colour
LATER = ("retina", "hubble", "coffee", "chelsea", "camera", "brick", "gravel", "grass", "rocket")
MARKS = {
    "page opened, its title stands": 2.0,
    "first click on a sample": 6.0,
    "click on another sample": 1.5,
    "severity changed": 1.0,
}
MARKS_WHILE_TRAINING = {"click on another sample": 3.0}
# The numbers of the page as one text, and whether it is at rest: nothing runs, nothing is greyed out, pictures are in.
_WATCH = """
window.watched = {
  scores: () => [...document.querySelectorAll('[data-testid="stMetricValue"]')].map(e => e.innerText).join(' '),
  rests: () => document.querySelector('[data-testid="stApp"]')?.dataset.testScriptState === 'notRunning'
    && !document.querySelector('[data-stale="true"]') && [...document.images].every(e => e.complete),
};
for (const kind of ['pointerdown', 'keydown'])
  window.addEventListener(kind, () => { window.watched.began = performance.now(); }, true);
"""
_NEW_SCORES = """before => watched.began && watched.scores() !== before
  && watched.scores().split(' ').length > 1 && performance.now() - watched.began"""
_AT_REST = "before => watched.rests() && watched.scores() !== before && performance.now() - watched.began"


@contextmanager
def training(wanted: bool) -> Iterator[None]:
    """Meanwhile, a training that does not end by itself: a process of low priority, as the Train page makes it."""
    if not wanted:
        yield
        return
    with tempfile.TemporaryDirectory() as folder:
        words = ["train", "--data", "samples", "--epochs", "100000", "--low-priority", "--out", f"{folder}/job"]
        log = Path(folder, "stderr")
        with log.open("w") as stderr:
            process = subprocess.Popen([sys.executable, "-m", "deconv_core", *words], cwd=ROOT, stderr=stderr)
        while "epoch 1/" not in log.read_text():  # until it works at full speed
            if process.poll() is not None:
                sys.exit(f"The training ended before its first epoch: {log.read_text()}")
            time.sleep(0.5)
        try:
            yield
        finally:
            process.terminate()
            process.wait()


@contextmanager
def chromium() -> Iterator:
    """The installed browser, as the tests start it."""
    from playwright.sync_api import sync_playwright

    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if path is None:
        sys.exit("No Chromium was found; install one named chromium, chromium-browser or google-chrome.")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-dev-shm-usage"])
        yield browser
        browser.close()


def measured(page, act: Callable[[], None]) -> tuple[float, float]:
    """Seconds from the press in `act` until the headline scores are new, and until all of the page is."""
    before = page.evaluate("watched.scores()")
    page.evaluate("watched.began = 0")
    act()
    shown = page.wait_for_function(_NEW_SCORES, arg=before, timeout=120_000).json_value()
    rests = page.wait_for_function(_AT_REST, arg=before, timeout=120_000).json_value()
    return shown / 1000, rests / 1000


def visit(browser, address: str, clicks: int, times: dict[str, list[tuple[float, float]]]) -> None:
    """One visitor of a fresh server."""
    from deconv_core.inspection import example_label

    page = browser.new_page(viewport={"width": 1440, "height": 900})
    page.add_init_script(_WATCH)

    def sample(key: str):
        name = re.compile(rf"^{re.escape(example_label(key).removesuffix(' (grey)'))}$")
        return page.get_by_role("button", name=name)

    page.goto(f"{address}/score_images", wait_until="commit")
    opened = page.wait_for_function(
        "document.querySelector('h1')?.innerText.includes('Score images') && performance.now()", timeout=60_000
    ).json_value()
    times["page opened, its title stands"].append((opened / 1000, opened / 1000))
    sample(FIRST).wait_for()
    times["first click on a sample"].append(measured(page, sample(FIRST).click))
    time.sleep(3)  # whatever the page prepares behind the scenes comes to its end, as it does for a visitor who reads
    for key in LATER[:clicks]:
        times["click on another sample"].append(measured(page, sample(key).click))
        time.sleep(1)
    slider = page.get_by_test_id("stSlider").filter(has_text="Severity").first.get_by_role("slider")
    for _ in range(min(clicks, 5)):  # from 3 down to 0.5: by half a step each, so that the picture is never the same
        times["severity changed"].append(measured(page, lambda: slider.press("PageDown")))
        time.sleep(1)
    page.close()


def main() -> int:
    """Print the table; 0 if every mark is met."""
    from conftest import running_dashboard

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--servers", type=int, default=3, help="fresh servers, one first click each")
    parser.add_argument("--clicks", type=int, default=5, help="later clicks and changes of severity on each server")
    parser.add_argument("--training", action="store_true", help="train a model meanwhile")
    options = parser.parse_args()
    marks = MARKS_WHILE_TRAINING if options.training else MARKS
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in MARKS}
    with chromium() as browser, training(options.training):
        print(f"{machine()}; Chromium {browser.version}")
        for _ in range(options.servers):
            with tempfile.TemporaryDirectory() as home, running_dashboard(ROOT / "app.py", Path(home)) as address:
                visit(browser, address, min(options.clicks, len(LATER)), times)
    print(f"{'seconds, median (longest)':<32}{'headline scores':>18}{'everything':>18}{'mark':>7}")
    missed = False
    for name in MARKS:
        mark = marks.get(name, float("inf"))
        columns = [f"{statistics.median(part):.2f} ({max(part):.2f})" for part in zip(*times[name], strict=True)]
        met = statistics.median(rests for _, rests in times[name]) <= mark
        missed |= not met
        wanted = f"{mark:.1f}" if name in marks else "-"
        print(f"{name:<32}{columns[0]:>18}{columns[1]:>18}{wanted:>7} {'' if met else 'MISSED'}")
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
