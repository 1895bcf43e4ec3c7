"""The evidence for the evidence: what full studies found, how often they would be wrong, what they cost, what silver is worth.

    python benchmarks/evidence.py --data DIR --work FOLDER [--parts study,alarms,cost,silver] [--sets scifact,...]
                                  [--studies 1000] [--threads 1] [--write docs/evidence.md] > docs/figures/evidence.json
    python benchmarks/evidence.py --figures docs/figures/evidence.json --write docs/evidence.md      writes the page alone

Prints one JSON object. Work is kept in FOLDER by units: what was stopped goes on there.

study: `vicino compare --study full` on scifact, cranfield, cacm, and on conala, 20newsgroups and stsb read as retrieval (see
evidence_sets.py). alarms: drawn studies of candidates whose true quality is known (see evidence_alarms.py). cost: SciFact with
five candidates, by the sum of their own building and searching; again from the cache; and the bootstrap. silver: known items of
the same documents held against what people judged.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

import evidence_alarms
from evidence_page import page
from evidence_sets import SETS, opened
from rounds import machine
from units import Units
from vicino import progress
from vicino.data.judged import is_beir
from vicino.evaluation.compare import Candidate, Comparison
from vicino.evaluation.silver import calibrate
from vicino.evaluation.study import study
from vicino.metrics.significance import bootstrap_intervals
from vicino.retrieval import from_recipe, parse
from vicino.retrieval.fused import Fused

JUDGED = ("scifact", "cranfield", "cacm")
FIVE = ("bm25", "tfidf", "lsa", "minilm", "bm25+minilm:tuned")
RANKED = ("bm25", "bm25(stemmer=english)", "tfidf", "lsa", "minilm", "bm25+minilm", "bm25+minilm:tuned")
DEPTH = 200  # answers that `compare` keeps of a query
PARTS = ("study", "alarms", "cost", "silver")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="the folder that holds scifact/, cranfield/ ...")
    parser.add_argument("--work", type=Path, help="a folder for what is done")
    parser.add_argument("--parts", default=",".join(PARTS))
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--studies", type=int, default=1000)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--figures", type=Path, help="write the page from these, and measure nothing")
    parser.add_argument("--write", type=Path, help="where the page goes")
    options = parser.parse_args()
    if options.figures is None:
        plain = measured(options)
        print(json.dumps(plain, indent=1))
    else:
        plain = json.loads(options.figures.read_text(encoding="utf-8"))
    if options.write is not None:
        options.write.write_text(page(plain), encoding="utf-8")


def measured(options: argparse.Namespace) -> dict[str, Any]:
    if options.data is None or options.work is None:
        sys.exit("give --data and --work, or --figures")
    options.work.mkdir(parents=True, exist_ok=True)
    limited(options.threads)
    units, sets = Units(options.work), [name for name in options.sets.split(",") if name]
    made: dict[str, Callable[[], Any]] = {
        "study": lambda: {name: units.unit(f"study-{name}", lambda name=name: studied(options, name)) for name in sets},
        "alarms": lambda: evidence_alarms.alarms(units, options.studies),
        "cost": lambda: units.unit("cost", lambda: cost(options)),
        "silver": lambda: {
            name: units.unit(f"silver-{name}", lambda name=name: silver(options, name)) for name in sets if name in JUDGED
        },
    }
    parts = options.parts.split(",")
    with threadpool_limits(options.threads), progress.bars():
        found = {name: made[name]() for name in PARTS if name in parts}
    return {"benchmark": "evidence", "machine": machine(), "threads": options.threads, **found}


def limited(threads: int) -> None:
    import torch

    torch.set_num_threads(threads)


# What full studies found ----------------------------------------------------------------------------------------------------


def studied(options: argparse.Namespace, name: str) -> dict[str, Any]:
    task = opened(options.data, name)
    began = time.monotonic()
    comparison, _ = study(task, cache=options.work / "cache")
    told = comparison.study
    return {
        "documents": len(task.documents),
        "queries": len(task.queries),
        "units": comparison.units,
        "judged": is_beir(options.data / name),
        "notes": list(task.notes),
        "metric": comparison.metric_names[0],
        "verdict": comparison.verdict.sentence,
        "pick": comparison.verdict.pick,
        "combination": told.combination,
        "sentence": told.sentence,
        "answers": [dict(vars(answer)) | {"skipped": dict(answer.skipped)} for answer in told.answers],
        "candidates": {candidate.name: row(candidate, comparison) for candidate in comparison.candidates},
        "study_seconds": round(time.monotonic() - began, 1),
    }


def row(candidate: Candidate, comparison: Comparison) -> dict[str, Any]:
    if candidate.metrics is None or candidate.found is None:
        return {"error": candidate.error}
    return {
        "interval": [round(number, 4) for number in candidate.metrics[comparison.metric_names[0]]],
        "build_seconds": round(candidate.found.build_seconds, 2),
        "ms_per_query": round(float(np.median(candidate.found.query_ms)), 3),
        "index_bytes": candidate.found.index_bytes,
    }


# What comparing costs -------------------------------------------------------------------------------------------------------


def cost(options: argparse.Namespace) -> dict[str, Any]:
    """The first comparison in seconds by the sum of what its candidates take alone, and the second, from its cache."""
    folder = options.data / "scifact"
    own = alone(options)
    home = options.work / f"cost-home-{os.getpid()}"
    asked = ["compare", str(folder), "--with", ",".join(FIVE), "--json", "--quiet"]
    first, second = (called(asked, home, options.threads) for _ in range(2))
    return {
        "candidates": list(FIVE),
        "own": own,
        "own_seconds": round(sum(own.values()), 2),
        "first_seconds": first,
        "ratio": round(first / sum(own.values()), 3),
        "second_seconds": second,
        "bootstrap": bootstrap(),
    }


def alone(options: argparse.Namespace) -> dict[str, float]:
    """Seconds of each candidate's own building and searching, what they share counted once; reading data is not among them."""
    task = opened(options.data, "scifact")
    seconds, built = {}, {}
    for name in FIVE[:-1]:
        retriever = from_recipe(parse(name))
        retriever.warm_up()
        began = time.perf_counter()
        built[name] = retriever.build(task.documents)
        seconds[f"{name}, building"] = time.perf_counter() - began
    parts = [built[name] for name in FIVE[-1].removesuffix(":tuned").split("+")]
    built[FIVE[-1]] = Fused.of_built(parts, task.documents, method="convex", weights=[0.5, 0.5])
    for name, retriever in built.items():
        began = time.perf_counter()
        retriever.search(task.queries, DEPTH)
        seconds[f"{name}, searching"] = time.perf_counter() - began
    return {name: round(each, 3) for name, each in seconds.items()}


def called(arguments: list[str], home: Path, threads: int) -> float:
    """Seconds of a call of the command line, from its start to its end."""
    env = os.environ | {"VICINO_HOME": str(home), "OMP_NUM_THREADS": str(threads), "NUMBA_NUM_THREADS": str(threads)}
    began = time.perf_counter()
    subprocess.run(
        [sys.executable, "-c", "from vicino.cli import main; main()", *arguments], env=env, check=True, capture_output=True
    )
    return round(time.perf_counter() - began, 2)


def bootstrap(rounds: int = 5) -> dict[str, Any]:
    """Seconds of the intervals of ten systems on a thousand queries, by ten thousand resamples."""
    values = np.random.default_rng(0).random((10, 1000))
    bootstrap_intervals(values[:, :50], resamples=100)
    wall, processor = [], []
    for _ in range(rounds):
        began = time.perf_counter(), time.process_time()
        bootstrap_intervals(values, resamples=10_000)
        wall.append(time.perf_counter() - began[0])
        processor.append(time.process_time() - began[1])
    return {"seconds": round(statistics.median(wall), 3), "cpu_seconds": round(statistics.median(processor), 3), "rounds": rounds}


# What silver is worth -------------------------------------------------------------------------------------------------------


def silver(options: argparse.Namespace, name: str) -> dict[str, Any]:
    task = opened(options.data, name)
    return calibrate(task, candidates=RANKED, cache=options.work / "cache").to_json()


if __name__ == "__main__":
    main()
