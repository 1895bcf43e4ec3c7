"""The default ladder of `vicino compare` on three judged collections: the tables of the README.

    python benchmarks/ladder.py --data DIR [--names scifact,cranfield,cacm]

Prints one JSON object. SciFact's test queries are also reported without those that share a relevant document with its train
split ("clean"): nothing here trains on it, but whoever does should compare with these.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from rounds import machine
from vicino import progress, workbench
from vicino.evaluation.compare import Candidate, Comparison
from vicino.evaluation.tasks import RetrievalTask, open_task
from vicino.metrics.significance import bootstrap_interval

TARGETS = {
    ("scifact", "bm25"): "0.660 ± 0.005",
    ("cranfield", "bm25"): "0.344 ± 0.005",
    ("cacm", "bm25"): "0.416 ± 0.005",
    ("scifact", "minilm"): "0.645 ± 0.005",
    ("scifact", "bm25+minilm:tuned"): "at least 0.710",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="the folder that holds scifact/, cranfield/, cacm/")
    parser.add_argument("--names", default="scifact,cranfield,cacm")
    options = parser.parse_args()
    results = {}
    with progress.bars():
        for name in options.names.split(","):
            print(f"{name} ...", file=sys.stderr)
            began = time.monotonic()
            task = open_task(options.data / name, split="test")
            comparison = workbench.compare(task, cache=False)
            results[name] = {**described(name, comparison), "seconds": round(time.monotonic() - began, 1)}
    print(json.dumps({"benchmark": "ladder", "machine": machine(), "results": results}, indent=1))


def described(name: str, comparison: Comparison) -> dict[str, Any]:
    task = comparison.task
    clean = clean_queries(task)
    return {
        "documents": len(task.documents),
        "queries": len(task.queries),
        "clean_queries": int(clean.sum()),
        "notes": list(task.notes),
        "verdict": comparison.verdict.sentence,
        "baseline": comparison.baseline,
        "pick": comparison.verdict.pick,
        "candidates": [row(name, candidate, comparison, clean) for candidate in comparison.candidates],
    }


def clean_queries(task: RetrievalTask) -> np.ndarray:
    """Which queries share no relevant document with the train split."""
    taught = {document for grades in task.train.values() for document, grade in grades.items() if grade > 0}
    return np.array([not any(grade > 0 and document in taught for document, grade in row.items()) for row in task.rows])


def row(name: str, candidate: Candidate, comparison: Comparison, clean: np.ndarray) -> dict[str, Any]:
    if candidate.found is None or candidate.metrics is None or candidate.values is None:
        return {"name": candidate.name, "error": candidate.error}
    contest = candidate.against_baseline
    p50, p95 = np.percentile(candidate.found.query_ms, [50, 95])
    return {
        "name": candidate.name,
        "metrics": {metric: [round(number, 4) for number in interval] for metric, interval in candidate.metrics.items()},
        "clean": None if clean.all() else [round(number, 4) for number in bootstrap_interval(candidate.values[clean])],
        "target": TARGETS.get((name, candidate.name)),
        "wins_ties_losses": None if contest is None else list(contest.tally),
        "p": None if contest is None else contest.p,
        "documents_per_second": round(len(comparison.task.documents) / candidate.found.build_seconds, 1),
        "ms_per_query": {"p50": round(float(p50), 3), "p95": round(float(p95), 3)},
        "index_bytes": candidate.found.index_bytes,
        "tokens_cut": None if candidate.truncation is None else round(candidate.truncation.share, 4),
        "weights": None if candidate.tuning is None else {"final": candidate.tuning.final, "folds": candidate.tuning.folds},
    }


if __name__ == "__main__":
    main()
