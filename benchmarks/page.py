"""The map in a real browser: how long 100,000 points take from opening its address until they are drawn.

    python benchmarks/page.py [--points 100000] [--rounds 7] [--vectors FILE.npy]

Prints one JSON object. A live server has a collection of so many documents with drawn vectors of 384 dimensions (as MiniLM's), or
those of a file; Chromium without a window and without a graphics card opens /map with an empty cache each time, so that page,
coordinates and colours come anew. Time ends with the first picture that shows all points. `first_ms` is the very first opening,
when the server draws the map; `measured_ms` is then when the share of neighbours kept is there too. Wants the built page (make
page), Chromium and playwright.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from rounds import machine
from serve import listening
from vicino.data.records import Document
from vicino.retrieval.ingest import Source, ingest

DIM, GROUPS = 384, 12
SERVER = """
import sys
from pathlib import Path
from vicino.server.running import serve
from vicino.server.settings import Settings
serve(Settings(port=0, home=Path(sys.argv[1])), told=lambda address: print(address, flush=True))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--points", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--vectors", type=Path, help="of 100,000 passages, say, as benchmarks/ann_sets.py makes them")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        make(home, options.points, options.vectors)
        with listening([sys.executable, "-c", SERVER, str(home)]) as address:
            opened = rounds(address, options.points, options.rounds)
    print(json.dumps({"benchmark": "page", "machine": machine(), "points": options.points, **opened}, indent=1))


def make(home: Path, count: int, file: Path | None) -> None:
    """Documents of a dozen groups, whose vectors lie around a middle each, or are those of the file."""
    generator = np.random.default_rng(0)
    groups = generator.integers(GROUPS, size=count)
    middles = 4 * generator.standard_normal((GROUPS, DIM))
    drawn = (middles[groups] + generator.standard_normal((count, DIM))).astype(np.float32)
    vectors = drawn if file is None else np.load(file, mmap_mode="r")[:count]
    np.save(home / "v.npy", vectors)
    (home / "v.npy.json").write_text(json.dumps({"ids": [str(number) for number in range(count)]}), encoding="utf-8")
    documents = [
        Document(str(number), f"Point {number}.", metadata={"group": f"group {group}"}) for number, group in enumerate(groups)
    ]
    ingest(home / "collections", "points", Source("made", documents), recipe=f"ready(path={home / 'v.npy'})", cut="whole")


def rounds(address: str, count: int, number: int) -> dict[str, Any]:
    """Milliseconds until all points are drawn, each time in a browser that knows nothing; the first makes the map too."""
    from playwright.sync_api import sync_playwright

    url = f"{address}/map?collection=points&method=pca&colour=group"
    spent, measured = [], 0.0
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"])
        for _ in range(number + 1):
            page = chromium.new_context(viewport={"width": 1280, "height": 860}).new_page()
            began = time.perf_counter()
            page.goto(url, wait_until="commit")
            page.locator(f'canvas[data-map="first"][data-drawn="{count}"]').wait_for(timeout=120_000)
            page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")  # it is seen
            spent.append(1000 * (time.perf_counter() - began))
            if not measured:
                page.get_by_label("Share of neighbours kept").wait_for(timeout=120_000)
                measured = 1000 * (time.perf_counter() - began)
            page.context.close()
        version = chromium.version
        chromium.close()
    first, later = spent[0], spent[1:]
    told = {"median": round(statistics.median(later)), "lowest": round(min(later)), "highest": round(max(later))}
    opened = {"first_ms": round(first), "measured_ms": round(measured), "visible_ms": told}
    return {"chromium": version, "rounds": number, **opened}


if __name__ == "__main__":
    main()
