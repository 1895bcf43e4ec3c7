"""Mining hard negatives for 100,000 pairs: minutes and memory, part by part.

    python benchmarks/mining.py --data DIR [--pairs 100000] [--threads 2]

Prints one JSON object. Paragraphs of Wikipedia lose a sentence, which asks for the rest. BM25 and an LSA of 256 dimensions rank
all paragraphs for each question, fused; of the first 100, what LSA finds nearer than .95 of the answer's nearness, and near
copies of the answer, are left out. The time of making vectors is that of LSA, and a transformer's has to be added.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ingest import paragraphs
from rounds import machine
from vicino.data.known_items import known_items
from vicino.encoders.counts import LSA
from vicino.retrieval import from_recipe, parse
from vicino.training.candidates import with_negatives
from vicino.training.material import as_pairs
from vicino.training.recipe import TextRecipe
from vicino.training.searchable import Searchable


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="the folder that holds enwiki-2015-slice/")
    parser.add_argument("--pairs", type=int, default=100_000)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    seconds: dict[str, float] = {}

    @contextmanager
    def part(name: str) -> Iterator[None]:
        print(f"{name} ...", file=sys.stderr)
        began = time.perf_counter()
        yield
        seconds[name] = round(time.perf_counter() - began, 1)

    from threadpoolctl import threadpool_limits

    with threadpool_limits(options.threads):
        with part("reading"):
            made = known_items(paragraphs(options.data, options.pairs), limit=options.pairs)
        examples = as_pairs(made)
        with part("BM25"):
            lexical = from_recipe(parse("bm25")).build(made.documents).search
        with part("LSA, and vectors"):
            dense = Searchable(LSA().fit([one.content for one in made.documents]), made.documents)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        with part("mining"):
            _, told = with_negatives(examples, dense, lexical, TextRecipe())
    print(
        json.dumps(
            {
                "benchmark": "mining",
                "machine": machine(),
                "parameters": {"threads": options.threads},
                "pairs": len(examples),
                "documents": len(made.documents),
                "mined": told,
                "seconds": seconds,
                "peak_mb": {
                    "before": round(before / 1024),
                    "after": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
                },
            },
            indent=1,
        )
    )


if __name__ == "__main__":
    main()
