"""Reranking: vicino's CrossEncoder in turn with sentence-transformers' `CrossEncoder.predict` at its defaults; one model.

    python benchmarks/rerank.py --data DIR [--threads 2] [--rounds 5] [--queries 10] [--depth 100]

Prints one JSON object. The candidates are the first hundred of BM25 for queries of SciFact's test split: a claim beside an
abstract. The model is MiniLM with a last layer of random weights, by a fixed seed: what it says is nothing, how fast it says it
is as a trained one would. Each query's candidates are one call, as in a search. Times are wall-clock, so ratios are what to
read; how far both orders agree stands beside them (Kendall's tau-b of all candidates, and the share of the first ten).
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import kendalltau

from rounds import alternate, machine, ratio
from vicino.encoders.transformer.crossing import CrossEncoder, trainable_pairs
from vicino.encoders.transformer.sources import MINILM
from vicino.evaluation.tasks import open_task
from vicino.retrieval import from_recipe, parse

SEED = 0
OURS, THEIRS = "vicino", "sentence-transformers"
Pairs = Sequence[tuple[str, str]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="the folder that holds scifact/")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--queries", type=int, default=10)
    parser.add_argument("--depth", type=int, default=100)
    options = parser.parse_args()

    import torch

    torch.set_num_threads(options.threads)
    asked = candidates(options.data / "scifact", options.queries, options.depth)
    with tempfile.TemporaryDirectory() as folder:
        trainable_pairs(MINILM, limit=None, dropout=0.0, seed=SEED).save(Path(folder))
        ours = CrossEncoder(model=folder)
        rerankers = {OURS: ours.predict, THEIRS: _peer(folder).predict}
        results = contest(asked, rerankers, options.rounds)
        arithmetic = {OURS: ours.arithmetic, THEIRS: "float32"}
    report = {
        "benchmark": "rerank",
        "machine": machine(),
        "parameters": {
            "model": MINILM,
            "limit": ours.limit,
            "seed": SEED,
            **{k: v for k, v in vars(options).items() if k != "data"},
        },
        "arithmetic": arithmetic,
        "results": results,
    }
    print(json.dumps(report, indent=1))


def candidates(folder: Path, queries: int, depth: int) -> list[Pairs]:
    """For each query, in the order of the data, the pairs of it with what BM25 finds first."""
    task = open_task(folder, split="test")
    contents = {document.id: document.content for document in task.documents}
    chosen = task.queries[:queries]
    hits = from_recipe(parse("bm25")).build(task.documents).search(chosen, depth)
    return [[(query.text, contents[name]) for name, _ in hits.top(row)] for row, query in enumerate(chosen)]


def _peer(folder: str) -> Any:
    import sentence_transformers
    from transformers.utils import logging

    logging.disable_progress_bar()
    return sentence_transformers.CrossEncoder(folder, device="cpu")


def contest(asked: list[Pairs], rerankers: Mapping[str, Callable[[Pairs], np.ndarray]], rounds: int) -> dict[str, Any]:
    """Both score the candidates of all queries in every round, a call a query."""
    scores: dict[str, list[np.ndarray]] = {}

    def run(name: str) -> None:
        scores[name] = [rerankers[name](pairs) for pairs in asked]
        print(f"{name}: {sum(map(len, asked))} pairs", file=sys.stderr)

    for predict in rerankers.values():  # first calls are slower
        predict(asked[0][:10])
    seconds = alternate({name: lambda name=name: run(name) for name in rerankers}, rounds)
    pairs = sum(map(len, asked))
    both = list(zip(scores[OURS], scores[THEIRS], strict=True))
    return {
        "queries": len(asked),
        "pairs": pairs,
        "documents_a_second": {name: round(pairs / statistics.median(each), 1) for name, each in seconds.items()},
        "milliseconds_a_query": {name: round(1000 * statistics.median(each) / len(asked), 1) for name, each in seconds.items()},
        "times_faster": ratio(seconds[THEIRS], seconds[OURS]),
        "agreement": {
            "kendall_tau": round(float(np.mean([kendalltau(a, b).statistic for a, b in both])), 4),
            "first_ten_in_common": round(float(np.mean([_first_ten(a, b) for a, b in both])), 3),
            "largest_difference_in_spreads": round(float(max(np.abs(a - b).max() / b.std() for a, b in both)), 4),
        },
    }


def _first_ten(left: np.ndarray, right: np.ndarray) -> float:
    return len(set(np.argsort(-left)[:10]) & set(np.argsort(-right)[:10])) / min(10, len(left))


if __name__ == "__main__":
    main()
