"""Past one machine: what the same ingest takes on a Ray cluster of one, two and three nodes.

    python benchmarks/scale.py --data DIR [--documents 4000] [--nodes 1 2 3] [--work FOLDER]

Prints one JSON object. The nodes are Ray's own, each with a processor and a store of its own, but all on this machine: with fewer
cores than nodes they share them, and more nodes cannot be faster than there are cores; "cores" says how many there are. "nodes":
passages a second with MiniLM, from the first block that is committed to the last ("while it runs"), and in all, Ray's own start
and the models' included. "here" is the same ingest in one process with one thread. "reader": documents a second that the process
which reads the source compares, cuts and spools, the part that is not shared out. "commit": milliseconds of one block's commit.
FOLDER keeps what was measured: a run that was stopped goes on there.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # as Ray has it for a worker with one processor

from ingest import paragraphs
from rounds import machine
from units import Units
from vicino.retrieval.ingest import Source, ingest
from vicino.scale.cluster import library
from vicino.scale.jobs import spread
from vicino.store.changes import read_changes
from vicino.store.collection import Collection

BLOCK = 128  # passages: some thirty blocks
MEMORY = 100 << 20  # bytes of each node's store
OPTIONS: dict[str, Any] = {"recipe": "minilm", "cut": "whole"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="the folder that holds enwiki-2015-slice/")
    parser.add_argument("--documents", type=int, default=4000)
    parser.add_argument("--nodes", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--work", type=Path, help="where measured numbers are kept")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        work = options.work or home / "work"
        work.mkdir(parents=True, exist_ok=True)
        unit, source = Units(work).unit, Source("wiki", list(paragraphs(options.data, options.documents)))
        report = {
            "benchmark": "scale",
            "machine": machine(),
            "documents": options.documents,
            "block": BLOCK,
            "here": unit("here", lambda: here(home, source)),
            "nodes": {str(n): unit(f"nodes-{n}", lambda n=n: on_nodes(n, home, source)) for n in options.nodes},
            "reader": unit("reader", lambda: reader(options.data)),
            "commit": unit("commit", lambda: commit(home, source)),
        }
    print(json.dumps(report, indent=1))


def here(home: Path, source: Source) -> dict[str, Any]:
    """One process, one thread, without Ray; the model is open before."""
    ingest(home, "warm", Source("warm", list(source.documents)[:BLOCK]), **OPTIONS)
    summary = ingest(home, "here", source, batch=BLOCK, **OPTIONS)
    return {"passages_a_second": round(summary.passages / summary.seconds, 1)}


def on_nodes(count: int, home: Path, source: Source) -> dict[str, Any]:
    """An ingest by a cluster of `count` nodes that listens to this machine alone."""
    ray = library()
    from ray.cluster_utils import Cluster

    each = {"num_cpus": 1, "object_store_memory": MEMORY, "node_ip_address": "127.0.0.1", "include_dashboard": False}
    nodes = Cluster(initialize_head=True, head_node_args=each)
    done: list[tuple[float, int]] = []

    def write(work: Any, batches: Any) -> Iterator[int]:
        for passages in spread("ray")(work, batches):
            done.append((time.perf_counter(), passages))
            yield passages

    try:
        for _ in range(count - 1):
            nodes.add_node(**each)
        ray.init(address=nodes.address, log_to_driver=False, logging_level="ERROR")
        summary = ingest(home, f"nodes-{count}", source, batch=BLOCK, write=write, **OPTIONS)
    finally:
        ray.shutdown()
        nodes.shutdown()
    (first, head), (last, _) = done[0], done[-1]
    return {
        "passages": summary.passages,
        "passages_a_second_while_it_runs": round((summary.passages - head) / (last - first), 1),
        "passages_a_second_in_all": round(summary.passages / summary.seconds, 1),
    }


def reader(data: Path) -> dict[str, Any]:
    """The first pass alone, over documents in memory."""
    documents = list(paragraphs(data, 20_000))
    began = time.perf_counter()
    with read_changes(documents, cut="auto", known={}) as changes:
        passages = changes.passages
        sum(1 for _ in changes)
    seconds = time.perf_counter() - began
    return {"documents": len(documents), "passages": passages, "documents_a_second": round(len(documents) / seconds)}


def commit(home: Path, source: Source) -> dict[str, Any]:
    """What a block takes beside its encoding, into a collection that holds `documents` already."""
    there = Collection.open(home, "here") if (home / "here").exists() else None
    if there is None:  # "here" was measured by an earlier run
        ingest(home, "here", source, **OPTIONS)
    extra = Source("more", list(source.documents)[: 8 * BLOCK])
    summary = ingest(home, "here", extra, batch=BLOCK)
    return {"milliseconds_a_block": round(1000 * (summary.seconds - summary.encoding_seconds) / 8, 1)}


if __name__ == "__main__":
    main()
