"""Static vectors distilled from MiniLM, and taught by the documents, beside MiniLM itself and counting words.

    python benchmarks/static.py --data DIR [--threads 1] [--rounds 5] [--sample 128]

Prints one JSON object. Of each set the static encoder reads all documents in every round, and MiniLM a sample of them, in turn;
then all answer the questions. Distilling is done once for each set, whose documents weigh the tokens; "taught" has then learnt
from pairs of these documents' own titles and sentences, and saw no question, at three seeds, of which means are told; it reads as
fast, for it is as large a table.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from rounds import alternate, machine, ratio
from vicino import encoders
from vicino.encoders.base import Encoder
from vicino.encoders.static import Static
from vicino.encoders.transformer import Transformer
from vicino.evaluation.tasks import RetrievalTask, open_task
from vicino.learning.loop import Plan
from vicino.metrics.significance import bootstrap_difference
from vicino.retrieval import from_recipe, parse
from vicino.training.bases import recipe_for
from vicino.training.searchable import Searchable, values
from vicino.training.text import train_text

SETS = ("cranfield", "cacm")
SEEDS = (0, 1, 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="the folder that holds cranfield/ and cacm/")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--sample", type=int, default=128, help="documents that MiniLM reads in a round")
    options = parser.parse_args()
    import torch
    from threadpoolctl import threadpool_limits

    torch.set_num_threads(options.threads)
    told = {name: getattr(options, name) for name in ("threads", "rounds", "sample")}
    with threadpool_limits(options.threads):
        results = {name: contest(options.data / name, options.rounds, options.sample) for name in SETS}
    print(json.dumps({"benchmark": "static", "machine": machine(), "parameters": told, "results": results}, indent=1))


def contest(source: Path, rounds: int, sample: int) -> dict[str, Any]:
    """All encoders over one set."""
    task = open_task(source)
    print(f"{task.name} ...", file=sys.stderr)
    texts = [one.content for one in task.documents]
    some = texts[:: max(1, len(texts) // sample)][:sample]
    minilm = Transformer()
    began = time.perf_counter()
    static = Static().fit(texts)
    distilled = time.perf_counter() - began
    for each in (static, minilm):
        each.encode(some[:8])
    seconds = alternate({"static": lambda: static.encode(texts), "minilm": lambda: minilm.encode(some)}, rounds)
    each = {"static": [one / len(texts) for one in seconds["static"]], "minilm": [one / len(some) for one in seconds["minilm"]]}
    taught = [taught_by(source, static, seed) for seed in SEEDS]
    each_seed = [found_by(encoder, task) for encoder, _ in taught]
    found = {"static": found_by(static, task), "taught": np.mean(each_seed, axis=0), "minilm": found_by(minilm, task)}
    found["bm25"] = values(from_recipe(parse("bm25")).build(task.documents).search(task.queries, 10), task)
    beside = {
        each: {
            name: bootstrap_difference(found[each], found[name], groups=task.groups, seed=0)
            for name in ("static", "minilm", "bm25")
            if name != each
        }
        for each in ("static", "taught")
    }
    return {
        "documents": len(texts),
        "questions": len(task.queries),
        "seconds_to_distil": round(distilled, 1),
        "seconds_to_teach": round(statistics.median(spent for _, spent in taught), 1),
        "documents_a_second": {name: round(1 / statistics.median(one), 1) for name, one in each.items()},
        "times_faster": ratio(each["minilm"], each["static"]),
        "taught_seeds": [round(float(one.mean()), 4) for one in each_seed],
        "ndcg@10": {name: round(float(one.mean()), 4) for name, one in found.items()},
        **{
            f"{each}_beside": {name: [round(x, 4) for x in (one.mean, one.low, one.high)] for name, one in others.items()}
            for each, others in beside.items()
        },
    }


def taught_by(source: Path, static: Static, seed: int) -> tuple[Encoder, float]:
    """The encoder after it learnt from documents without questions, with the usual recipe; seconds, judging included."""
    with tempfile.TemporaryDirectory() as folder:
        base = static.save(Path(folder) / "base")
        began = time.perf_counter()
        out = train_text(
            source, Path(folder) / "taught", base=str(base), unlabelled=True, recipe=recipe_for(str(base), seed=seed)
        )
        if isinstance(out, Plan):
            raise SystemExit("a plan came back")
        return encoders.load(out.path), time.perf_counter() - began


def found_by(encoder: Encoder, task: RetrievalTask) -> Any:
    """nDCG@10 of each question."""
    return values(Searchable(encoder, task.documents).search(task.queries, 10), task)


if __name__ == "__main__":
    main()
