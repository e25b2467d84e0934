"""What several tests share: the dashboard as a running server, and a real browser to look at it."""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

ROOT = Path(__file__).resolve().parent.parent
_CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome")
_HERE = {"localhost", "127.0.0.1"}


@contextmanager
def running_dashboard(script: Path, home: Path) -> Iterator[str]:
    """Run `streamlit run SCRIPT` with our settings until the block ends; gives its address."""
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port = probe.getsockname()[1]
    log = home / "server.log"
    with log.open("wb") as output:
        server = subprocess.Popen(
            [sys.executable, "-m", "streamlit", "run", script, "--server.port", str(port), "--server.headless", "true"],
            cwd=ROOT,  # where our .streamlit/config.toml is
            env={**os.environ, "DECONV_HOME": str(home), "PYTHONPATH": str(ROOT)},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    address = f"http://localhost:{port}"
    try:
        _wait_for_health(address, server, log)
        yield address
    finally:
        server.terminate()
        try:
            server.wait(timeout=20)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _wait_for_health(address: str, server: subprocess.Popen, log: Path, timeout_seconds: float = 60) -> None:
    end = time.monotonic() + timeout_seconds
    while time.monotonic() < end:
        if server.poll() is not None:
            break
        try:
            with urllib.request.urlopen(f"{address}/_stcore/health", timeout=2) as answer:
                if answer.status == 200:
                    return
        except (urllib.error.URLError, TimeoutError, ConnectionError):
            time.sleep(0.2)
    pytest.fail(f"The dashboard did not start:\n{log.read_text(errors='replace')}", pytrace=False)


@pytest.fixture(scope="session")
def dashboard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of app.py, served with an empty workspace."""
    with running_dashboard(ROOT / "app.py", tmp_path_factory.mktemp("workspace")) as address:
        yield address


@pytest.fixture(scope="session")
def chromium():
    """A headless Chromium; the test is skipped where none is installed, or fails if DECONV_REQUIRE_BROWSER is 1."""
    path = next(filter(None, map(shutil.which, _CHROMIUM_NAMES)), None)
    if path is None:
        message = f"No browser for this test: none of {', '.join(_CHROMIUM_NAMES)} is installed."
        if os.environ.get("DECONV_REQUIRE_BROWSER") == "1":
            pytest.fail(message, pytrace=False)
        pytest.skip(message)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=path,
            args=[
                "--no-sandbox",  # containers have no user namespaces
                "--disable-gpu",
                "--disable-dev-shm-usage",
                "--disable-background-networking",
                "--disable-component-update",
                "--no-first-run",
            ],
        )
        yield browser
        browser.close()


@pytest.fixture
def open_page(chromium) -> Iterator[Callable]:
    """Open an address in a fresh browser profile: `open_page(address, **options of browser.new_context)`.

    At the end of the test, no page may have asked another machine for anything or have thrown an error in its scripts.
    """
    contexts, troubles = [], []

    def watch(request) -> None:
        parts = urlsplit(request.url)
        if parts.scheme in ("http", "https", "ws", "wss") and parts.hostname not in _HERE:
            troubles.append(f"asked {request.url}")

    def open_address(address: str, **options):
        context = chromium.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
        contexts.append(context)
        context.set_default_timeout(30_000)
        page = context.new_page()
        page.on("request", watch)
        page.on("pageerror", lambda error: troubles.append(f"script error: {error}"))
        page.goto(address)
        return page

    yield open_address
    for context in contexts:
        context.close()
    assert not troubles, troubles
