"""Restricted searches: what a planned index finds and takes where only a share of the rows may be answers.

    python benchmarks/filtered.py --data DIR --work FOLDER [--with hnsw] [--recall 0.99] [--count 100000] [--queries 300]

Prints one JSON object. Over vectors of Wikipedia paragraphs (benchmarks/paragraphs.py), an index is chosen for a recall by
`vicino.indexes.choose`; then each share of the rows is allowed, at random, or the rows least like the question ("against"), and
each question is asked alone: as planned, exactly over the allowed rows, and in the graph whatever the plan says. Recall@10 is
against exact search over the allowed rows; times are medians over the questions, of one thread.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from paragraphs import paragraph_vectors
from rounds import machine
from vicino.data.records import Hits
from vicino.indexes.choose import choose
from vicino.indexes.planned import Planned

SHARES = (0.001, 0.01, 0.05, 0.1, 0.2, 0.5, 0.9)
K = 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="the folder that holds enwiki-2015-slice/")
    parser.add_argument("--work", type=Path, required=True, help="where the vectors are kept")
    parser.add_argument("--with", dest="family", default="hnsw", help="an index, such as hnsw(m=32)")
    parser.add_argument("--recall", type=float, default=0.99)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--queries", type=int, default=300)
    options = parser.parse_args()
    vectors, queries = paragraph_vectors(options.data, options.work)
    with threadpool_limits(1):
        index, chosen = planned(vectors[: options.count], queries, options.family, options.recall)
        found = restricted(index, vectors[: options.count], queries[: options.queries])
    size = {"vectors": options.count, "dim": vectors.shape[1], "queries": options.queries}
    print(json.dumps({"machine": machine(), **size, "plan": chosen, "restricted": found}, indent=1))


def planned(
    vectors: NDArray[np.float32], queries: NDArray[np.float32], family: str, recall: float
) -> tuple[Planned, dict[str, Any]]:
    """The index that is chosen for this recall, and what is known of it."""
    import faiss

    faiss.omp_set_num_threads(1)
    began = time.perf_counter()
    choice = choose(vectors, queries, recall=recall, families=[family])
    index = choice.index
    if choice.plan is None or not isinstance(index, Planned):
        raise SystemExit(f"{family} has no recall of {recall}: {choice.to_json()}")
    seconds = round(time.perf_counter() - began, 1)
    return index, {**choice.plan.to_json(), "measured": dict(index.recall_ or {}), "seconds": seconds}


def restricted(index: Planned, vectors: NDArray[np.float32], queries: NDArray[np.float32]) -> list[dict[str, Any]]:
    """Each share of the rows at random, and half of them, those least like the questions."""
    rng = np.random.default_rng(0)
    every = np.arange(len(vectors)).astype(str)
    found = []
    for share in SHARES:
        rows = np.sort(rng.choice(len(vectors), max(K, int(share * len(vectors))), replace=False))
        found.append({"share": share, "allowed": "at random", **_compared(index, vectors, queries, rows, every)})
        print(json.dumps(found[-1]), file=sys.stderr)
    middle = queries.mean(axis=0)
    against = np.argsort(vectors @ middle)[: len(vectors) // 2]
    found.append({"share": 0.5, "allowed": "against", **_compared(index, vectors, queries, np.sort(against), every)})
    return found


def _compared(
    index: Planned, vectors: NDArray[np.float32], queries: NDArray[np.float32], rows: NDArray[np.int64], every: NDArray[np.str_]
) -> dict[str, Any]:
    """The plan, exactly, and in the graph: recall and seconds a question of each."""
    allow = frozenset(every[rows].tolist())
    truth = _asked(lambda query: index.search(query, K, allow=allow), queries, index, worth=len(vectors))
    as_planned = _asked(lambda query: index.search(query, K, allow=allow), queries, index, worth=index.worth)
    graph = _asked(lambda query: index.search(query, K, allow=allow), queries, index, worth=0)
    best = vectors[rows]
    kth = np.array([np.partition(best @ query, len(best) - K)[len(best) - K] for query in queries])
    return {
        "planned": _numbers(as_planned, vectors, queries, kth) | {"how": as_planned[0][0].how},
        "exact": _numbers(truth, vectors, queries, kth),
        "graph": _numbers(graph, vectors, queries, kth) | {"how": graph[0][0].how},
    }


def _asked(
    search: Callable[[NDArray[np.float32]], Hits], queries: NDArray[np.float32], index: Planned, *, worth: int
) -> tuple[list[Hits], float]:
    """Each question alone: the hits, and the median of the seconds."""
    held, index.worth = index.worth, worth
    hits, seconds = [], []
    try:
        search(queries[:1])  # the filter is looked up once
        for query in queries:
            began = time.perf_counter()
            hits.append(search(query[None]))
            seconds.append(time.perf_counter() - began)
    finally:
        index.worth = held
    return hits, float(np.median(seconds))


def _numbers(
    asked: tuple[list[Hits], float], vectors: NDArray[np.float32], queries: NDArray[np.float32], kth: NDArray[np.float32]
) -> dict[str, float]:
    """Recall@10 (an answer as near as the tenth counts) and queries a second."""
    hits, seconds = asked
    right = [
        np.count_nonzero(vectors[[int(name) for name in each.ids[0] if name is not None]] @ query >= worst - 1e-5)
        for each, query, worst in zip(hits, queries, kth, strict=True)
    ]
    return {"recall": round(float(np.mean(right)) / K, 4), "queries_per_second": round(1 / seconds, 1)}


if __name__ == "__main__":
    main()
