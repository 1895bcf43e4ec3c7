"""Mining hard negatives for 100,000 pairs: minutes and memory, part by part, each encoder in a process of its own.

    python benchmarks/mining.py --data DIR --work FOLDER [--encoders lsa minilm] [--pairs 100000] [--threads 2]

Prints one JSON object. The first sentence of a paragraph of Wikipedia asks for it. BM25 and the encoder (an LSA of 256
dimensions, or all-MiniLM-L6-v2) rank all paragraphs for each question, fused; of the first 100, what the encoder finds nearer
than .95 of the answer's nearness, and near copies of the answer, are left out. MiniLM's vectors of the paragraphs are those of
`benchmarks/paragraphs.py`, kept in FOLDER; how long they take is told by 2,000 of them that are made again.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

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

AGAIN = 2_000  # paragraphs


class Parts:
    """Seconds of each part."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        print(f"{name} ...", file=sys.stderr)
        began = time.perf_counter()
        yield
        self.seconds[name] = time.perf_counter() - began


class Timed:
    """An encoder that tells how long the questions take, and whose vectors of the paragraphs may be kept."""

    def __init__(self, encoder: Any, parts: Parts, kept: NDArray[np.float32] | None = None) -> None:
        self.space, self._encoder, self._parts, self._kept = encoder.space, encoder, parts, kept

    def encode_document(self, items: list[str], /, **options: bool) -> NDArray[np.float32]:
        if self._kept is None:
            return self._encoder.encode_document(items, **options)
        self._encoder.encode_document(items[:AGAIN], **options)
        return self._kept

    def encode_query(self, items: list[str], /, **options: bool) -> NDArray[np.float32]:
        with self._parts.part("vectors of questions"):
            return self._encoder.encode_query(items, **options)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="the folder that holds enwiki-2015-slice/")
    parser.add_argument("--work", type=Path, required=True, help="where paragraphs and their vectors are kept")
    parser.add_argument("--encoders", nargs="+", choices=("lsa", "minilm"), default=["lsa", "minilm"])
    parser.add_argument("--pairs", type=int, default=100_000)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        found = pool.map(partial(mined, options), options.encoders, chunksize=1)
    told = {"threads": options.threads, "pairs": options.pairs}
    results = dict(zip(options.encoders, found, strict=True))
    print(json.dumps({"benchmark": "mining", "machine": machine(), "parameters": told, "results": results}, indent=1))


def mined(options: argparse.Namespace, name: str) -> dict[str, Any]:
    """What was mined, how long each part took, and the memory of the process."""
    import torch
    from threadpoolctl import threadpool_limits

    torch.set_num_threads(options.threads)
    parts = Parts()
    texts, _ = paragraphs.chosen(options.data, options.work, options.pairs, 1_000)
    documents = [Document(str(at), text) for at, text in enumerate(texts)]
    names = [one.id for one in documents]
    questions = [text.partition(". ")[0] for text in texts]
    examples = Examples("pairs", questions, texts, query_ids=names, document_ids=names)
    kept = None
    if name == "minilm":
        kept, _ = paragraphs.paragraph_vectors(options.data, options.work, options.pairs, threads=options.threads)
    with threadpool_limits(options.threads):
        with parts.part("BM25's index"):
            lexical = from_recipe(parse("bm25")).build(documents).search
        with parts.part("vectors of paragraphs"):
            encoder = LSA().fit(texts) if kept is None else encoders.make("minilm")
            dense = Searchable(Timed(encoder, parts, kept), documents)
        with parts.part("ranking and choosing"):
            _, told = with_negatives(examples, dense, lexical, TextRecipe())
    parts.seconds["ranking and choosing"] -= parts.seconds["vectors of questions"]
    return {
        "mined": told,
        "embedded": len(texts) if kept is None else len(texts[:AGAIN]),
        "seconds": {each: round(long, 1) for each, long in parts.seconds.items()},
        "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }


if __name__ == "__main__":
    main()
