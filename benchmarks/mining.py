"""Mining hard negatives for 100,000 pairs: minutes and memory, part by part.

    python benchmarks/mining.py --data DIR --work FOLDER [--encoder lsa|minilm] [--pairs 100000] [--threads 2]

Prints one JSON object. The first sentence of a paragraph of Wikipedia asks for it. BM25 and the encoder (an LSA of 256
dimensions, or all-MiniLM-L6-v2) rank all paragraphs for each question, fused; of the first 100, what the encoder finds nearer
than .95 of the answer's nearness, and near copies of the answer, are left out. MiniLM's vectors of the paragraphs are those of
`benchmarks/paragraphs.py`, kept in FOLDER: the run that makes them has their time in "vectors". "mining" embeds the questions.
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

import numpy as np
from numpy.typing import NDArray

import paragraphs
from rounds import machine
from vicino import encoders
from vicino.data.examples import Examples
from vicino.data.records import Document
from vicino.encoders.counts import LSA
from vicino.retrieval import from_recipe, parse
from vicino.training.candidates import with_negatives
from vicino.training.recipe import TextRecipe
from vicino.training.searchable import Searchable


class Kept:
    """all-MiniLM-L6-v2, whose vectors of the paragraphs are kept."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._options, self._encoder = options, encoders.make("minilm")
        self.space = self._encoder.space

    def encode_document(self, items: list[str], /, **_: bool) -> NDArray[np.float32]:
        told = self._options
        return paragraphs.paragraph_vectors(told.data, told.work, len(items), threads=told.threads)[0]

    def encode_query(self, items: list[str], /, **options: bool) -> NDArray[np.float32]:
        return self._encoder.encode_query(items, **options)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="the folder that holds enwiki-2015-slice/")
    parser.add_argument("--work", type=Path, required=True, help="where paragraphs and their vectors are kept")
    parser.add_argument("--encoder", choices=("lsa", "minilm"), default="lsa")
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
            texts, _ = paragraphs.chosen(options.data, options.work, options.pairs, 1_000)
            documents = [Document(str(at), text) for at, text in enumerate(texts)]
            names = [one.id for one in documents]
            questions = [text.partition(". ")[0] for text in texts]
            examples = Examples("pairs", questions, texts, query_ids=names, document_ids=names)
        with part("BM25"):
            lexical = from_recipe(parse("bm25")).build(documents).search
        with part("vectors"):
            encoder = LSA().fit(texts) if options.encoder == "lsa" else Kept(options)
            dense = Searchable(encoder, documents)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        with part("mining"):
            _, told = with_negatives(examples, dense, lexical, TextRecipe())
    print(
        json.dumps(
            {
                "benchmark": "mining",
                "machine": machine(),
                "parameters": {"threads": options.threads, "encoder": options.encoder},
                "pairs": len(examples),
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
