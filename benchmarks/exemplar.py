"""Exemplar scoring: how fast it is, that its SVM is scikit-learn's LinearSVC, and what it is worth beside cosine.

    python benchmarks/exemplar.py --data DIR [--work DIR] [--vectors FILE.npy --queries FILE.npy] [--part speed] [--threads 1]

Prints one JSON object. `speed` is of single queries against --vectors (by default made ones: 100,000 of 384 dimensions that lean
one way), `agreement` of the ranking of Cranfield's documents, by MiniLM, with LinearSVC's, and `quality` nDCG@10 on SciFact,
Cranfield and CACM with bootstrap intervals, each candidate against cosine by a paired randomisation test, corrected over all of a
data set (Holm). Nothing was chosen by these judgements: C, shrinkage and feedback are given in steps, and all steps are shown.
What was embedded stays in --work; a run that was stopped goes on there.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import kendalltau

from rounds import machine
from units import Units
from vicino import metrics
from vicino.evaluation.measure import Bench
from vicino.evaluation.tasks import open_task
from vicino.learning.exemplar import Moments, lda, svm
from vicino.metrics import significance
from vicino.metrics.ranking import judge
from vicino.retrieval import from_recipe, parse
from vicino.vectors import normalise

DATA_SETS = ("scifact", "cranfield", "cacm")
COSINE = "minilm"
SVMS = tuple(f"minilm:svm(C={C})" for C in (0.01, 0.1, 1, 10))
LDAS = tuple(f"minilm:lda(shrinkage={share})" for share in (0.02, 0.1, 0.5))
FEEDBACK = ("minilm:svm(C=0.1,feedback=3)", "minilm:lda(shrinkage=0.1,feedback=3)")
CANDIDATES = (COSINE, *SVMS, "minilm:svm(C=0.1,balanced=false)", *LDAS, *FEEDBACK)
METRIC = "nDCG@10"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="the folder that holds scifact/, cranfield/ and cacm/")
    parser.add_argument("--work", type=Path, default=Path("bench-out/exemplar"))
    parser.add_argument("--vectors", type=Path, help="(n, d) float32, searched for speed")
    parser.add_argument("--queries", type=Path, help="(q, d) float32")
    parser.add_argument("--asked", type=int, default=50, help="queries that are timed")
    parser.add_argument("--part", choices=("speed", "agreement", "quality"), action="append")
    parser.add_argument("--set", choices=DATA_SETS, action="append", help="of quality")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()

    import torch
    from threadpoolctl import threadpool_limits

    torch.set_num_threads(options.threads)
    options.work.mkdir(parents=True, exist_ok=True)
    units = Units(options.work)
    parts: Mapping[str, Callable[[], dict[str, Any]]] = {
        "speed": lambda: speed(*vectors(options.vectors, options.queries), options.asked),
        "agreement": lambda: agreement(options.data / "cranfield"),
        "quality": lambda: {
            name: units.unit(f"quality-{name}", lambda name=name: quality(options.data / name, options.work / "cache"))
            for name in options.set or DATA_SETS
        },
    }
    with threadpool_limits(options.threads):
        results = {name: parts[name]() if name == "quality" else units.unit(name, parts[name]) for name in options.part or parts}
    print(json.dumps({"benchmark": "exemplar", "machine": machine(), "threads": options.threads, "results": results}, indent=1))


def vectors(held: Path | None, asked: Path | None) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """What is searched and what is asked, as unit rows."""
    if held is not None and asked is not None:
        return normalise(np.load(held)), normalise(np.load(asked))
    rng = np.random.default_rng(0)
    axes = np.geomspace(1, 0.05, 384).astype(np.float32)
    rows = rng.standard_normal((101_000, 384), dtype=np.float32) * axes
    rows[:, 0] += 2
    return normalise(rows[:100_000]), normalise(rows[100_000:])


def speed(held: NDArray[np.float32], asked: NDArray[np.float32], many: int) -> dict[str, Any]:
    """Milliseconds of single queries, from the query's vector to the ten best; the first few are not counted."""
    began = time.perf_counter()
    moments = Moments.of(held)
    counting = time.perf_counter() - began
    decorrelate, residuals, active = lda(moments), list[float](), list[int]()

    def by_svm(query: NDArray[np.float32]) -> NDArray[Any]:
        made = svm(held, query[None], moments=moments)
        residuals.append(made.residual)
        active.append(len(made.active))
        return made.weights.astype(np.float32)

    ways: Mapping[str, Callable[[NDArray[np.float32]], NDArray[Any]]] = {
        "cosine": lambda query: query,
        "lda": lambda query: decorrelate(query[None])[0],
        "svm": by_svm,
    }
    spent: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for number, query in enumerate(asked[: many + 3]):
        for name, weigh in ways.items():
            began, worked = time.perf_counter(), time.process_time()
            scores = held @ weigh(query)
            np.argpartition(scores, -10)[-10:]
            if number >= 3:
                spent[name].append((1000 * (time.perf_counter() - began), 1000 * (time.process_time() - worked)))
    return {
        "vectors": list(held.shape),
        "queries": many,
        "covariance_seconds": round(counting, 2),
        "milliseconds": {name: _shares([wall for wall, _ in each]) for name, each in spent.items()},
        "cpu_milliseconds": {name: _shares([cpu for _, cpu in each]) for name, each in spent.items()},
        "svm": {"largest_kkt_residual": float(f"{max(residuals):.1e}"), "active_share": round(np.mean(active) / len(held), 4)},
    }


def _shares(spent: Sequence[float]) -> dict[str, float]:
    return {f"p{share}": round(float(np.percentile(spent, share)), 1) for share in (50, 95)}


def agreement(folder: Path) -> dict[str, Any]:
    """Kendall's tau of whole rankings with those of LinearSVC, for the steps of C; the first twenty queries."""
    from sklearn.svm import LinearSVC

    task = open_task(folder)
    made: Any = from_recipe(parse(COSINE)).build(task.documents)
    held = made.index_.vectors_
    asked = normalise(made.encoder_.encode_query([query.text for query in task.queries[:20]]))
    moments, labels = Moments.of(held), np.repeat([1, 0], [1, len(held)])
    found = {}
    for C in (0.01, 0.1, 1.0, 10.0):
        for balanced in (True, False):
            taus, residuals = [], []
            for query in asked:
                ours = svm(held, query[None], C=C, balanced=balanced, moments=moments)
                rows = np.vstack([query[None], held]).astype(np.float64)
                weight = "balanced" if balanced else None
                peer = LinearSVC(C=C, class_weight=weight, dual=False, tol=1e-8, max_iter=100_000).fit(rows, labels)
                taus.append(kendalltau(held @ ours.weights, held @ peer.coef_[0]).statistic)
                residuals.append(ours.residual)
            found[f"C={C:g}, {'balanced' if balanced else 'as LinearSVC'}"] = {
                "lowest_kendall": round(float(min(taus)), 5),
                "largest_kkt_residual": float(f"{max(residuals):.1e}"),
            }
    return {"documents": len(held), "queries": len(asked), "by": found}


def quality(folder: Path, cache: Path) -> dict[str, Any]:
    """The metric of every candidate with its interval, and its difference to cosine with a corrected p."""
    task = open_task(folder)
    metric = metrics.parse(METRIC)
    bench = Bench(task, metric, cache=cache)
    values = {name: metric(judge(bench.measure(parse(name)).hits.ids, task.rows)) for name in CANDIDATES}
    others = [name for name in CANDIDATES if name != COSINE]
    p = significance.holm([significance.randomisation_test(values[name], values[COSINE]) for name in others])
    differences = {
        name: {"difference": _rounded(significance.bootstrap_difference(values[name], values[COSINE])), "p": round(each, 4)}
        for name, each in zip(others, p, strict=True)
    }
    return {
        "documents": len(task.documents),
        "queries": len(task.queries),
        "metric": METRIC,
        "candidates": {
            name: {"mean": _rounded(significance.bootstrap_interval(each)), **differences.get(name, {})}
            for name, each in values.items()
        },
    }


def _rounded(interval: Sequence[float]) -> list[float]:
    return [round(float(each), 4) for each in interval]


if __name__ == "__main__":
    main()
