"""The peer of graphs.py: PecanPy's walks and gensim's Word2Vec. Run by graphs.py, by a Python that has PecanPy.

    python graphs_peer.py '{"edges": "edges.tsv", "out": "vectors.npz", "p": 1, "q": 1, ...}'

PecanPy compiles anew at each call. So a call for one step of one walk a node is measured first, and taken off the walking.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def main() -> None:
    asked = json.loads(sys.argv[1])
    os.environ["NUMBA_NUM_THREADS"] = str(asked["threads"])  # what PecanPy is told of workers only reaches gensim
    import numpy as np
    from gensim.models import Word2Vec
    from pecanpy import pecanpy

    clocks: dict[str, float] = {}
    plain = asked["p"] == asked["q"] == 1
    kind = pecanpy.FirstOrderUnweighted if plain else pecanpy.SparseOTF
    graph = kind(p=asked["p"], q=asked["q"], workers=asked["threads"], random_state=asked["seed"])
    graph.read_edg(asked["edges"], weighted=False, directed=False, delimiter="\t")
    with clock("compiling", clocks):
        graph.simulate_walks(num_walks=1, walk_length=1)
    with clock("walking", clocks):
        walks = graph.simulate_walks(num_walks=asked["num_walks"], walk_length=asked["walk_length"] - 1)  # it counts steps
    for each in ("cpu", "wall"):
        clocks[f"walking_{each}"] -= clocks[f"compiling_{each}"]
    sizes = {"vector_size": asked["dim"], "window": asked["window"], "negative": asked["negative"], "epochs": asked["epochs"]}
    with clock("learning", clocks):
        model = Word2Vec(
            walks, **sizes, alpha=asked["alpha"], sg=1, sample=0, min_count=0, workers=asked["threads"], seed=asked["seed"]
        )
    np.savez(asked["out"], names=np.array(model.wv.index_to_key), vectors=model.wv.vectors)
    versions = {name: importlib.metadata.version(name) for name in ("pecanpy", "gensim", "numba", "numpy")}
    print(json.dumps({**clocks, "peak_mb": peak_mb(), "versions": versions}))


@contextmanager
def clock(name: str, clocks: dict[str, float]) -> Iterator[None]:
    cpu, wall = time.process_time(), time.perf_counter()
    yield
    clocks[f"{name}_cpu"], clocks[f"{name}_wall"] = time.process_time() - cpu, time.perf_counter() - wall


def peak_mb() -> float:
    status: Any = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


if __name__ == "__main__":
    main()
