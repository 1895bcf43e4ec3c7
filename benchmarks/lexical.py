"""BM25: as good as an exact one, and how fast beside bm25s on the same tokens.

    python benchmarks/lexical.py --data DIR [--threads 2] [--rounds 5] [--paragraphs 50000]

Prints one JSON object. "quality": nDCG@10 and the overlap of the ten best with a straightforward float64 BM25, which is written
out below. "speed": queries a second in turn with bm25s's numba backend (its fastest) and its default one, all answering the same
integer queries from the same integer documents, compilation done beforehand. Times are wall-clock, so ratios are what to read.
"""

from __future__ import annotations

import argparse
import copy
import json
import lzma
import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import csc_array

from rounds import alternate, machine, ratio
from vicino.data.judged import read_queries
from vicino.data.text import Analyzer, TokenIds, encode_corpus
from vicino.evaluation.tasks import RetrievalTask, open_task
from vicino.metrics import parse
from vicino.metrics.ranking import judge
from vicino.retrieval.bm25 import BM25

K1, B, K = 1.2, 0.75, 10
ANALYZERS = {
    "plain": Analyzer(min_length=2),  # \w+ of two characters and more, case folded: the words behind the published figures
    "stemmed": Analyzer(min_length=2, stopwords="english", stemmer="english"),
}
PUBLISHED = {"scifact": 0.660, "cranfield": 0.344, "cacm": 0.416}
PARAGRAPH = 100  # characters that a paragraph has at least
QUERIES = 3000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="the folder that holds scifact/, enwiki-2015-slice/ ...")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--paragraphs", type=int, nargs="+", default=[50_000, 300_000])
    options = parser.parse_args()
    os.environ["NUMBA_NUM_THREADS"] = str(options.threads)  # read when bm25s first imports numba
    started = time.perf_counter()
    BM25().build(np.array([0], np.int32), np.array([0, 1]), 1).search([np.array([0])], 1)
    loading = time.perf_counter() - started
    report = {
        "benchmark": "lexical",
        "machine": machine(),
        "parameters": {"k1": K1, "b": B, "variant": "lucene", "k": K, "threads": options.threads, "rounds": options.rounds},
        "analyzers": {name: analyzer.to_json() for name, analyzer in ANALYZERS.items()},
        "compile_or_load_seconds": round(loading, 2),
        "quality": {
            name: quality(open_task(options.data / name, split="test"), expected) for name, expected in PUBLISHED.items()
        },
        "speed": list(speeds(options)),
    }
    print(json.dumps(report, indent=1))


# ---- quality


def quality(task: RetrievalTask, published: float) -> dict[str, Any]:
    """nDCG@10 of the plain and the stemmed analysis, each beside the exact ranking of the same tokens."""
    told(f"quality on {task.name}")
    analysed = {name: judged_ranking(task, analyzer) for name, analyzer in ANALYZERS.items()}
    return {"documents": len(task.documents), "queries": len(task.queries), "published": published, **analysed}


def judged_ranking(task: RetrievalTask, analyzer: Analyzer) -> dict[str, float]:
    corpus = encode_corpus((document.content for document in task.documents), analyzer)
    queries = asked([query.text for query in task.queries], analyzer, corpus)
    ids = np.array([document.id for document in task.documents] + [None], dtype=object)  # row -1 is padding
    found = built(corpus).search(queries, K)[0]
    expected = exact_rows(corpus, queries)
    ndcg = parse(f"nDCG@{K}")
    values = {name: ndcg(judge(ids[rows], task.rows)).mean() for name, rows in (("vicino", found), ("exact", expected))}
    return {name: round(float(value), 4) for name, value in values.items()} | {"overlap": overlap(found, expected)}


def exact_rows(corpus: TokenIds, queries: Sequence[np.ndarray]) -> np.ndarray:
    """The ten best rows by a BM25 as the textbook has it, every score of every document, in float64."""
    n_rows, n_terms = len(corpus), len(corpus.vocabulary)
    rows = np.repeat(np.arange(n_rows), corpus.lengths)
    counts = csc_array((np.ones(len(rows)), (rows, corpus.ids)), shape=(n_rows, n_terms))
    counts.sum_duplicates()
    df = np.diff(counts.indptr)
    idf = np.log(1 + (n_rows - df + 0.5) / (df + 0.5))
    norms = K1 * (1 - B + B * corpus.lengths / corpus.lengths.mean())
    weights = np.repeat(idf, df) * counts.data / (counts.data + norms[counts.indices])
    best = np.full((len(queries), K), -1)
    for query, answer in zip(queries, best, strict=True):
        scores = np.zeros(n_rows)
        for term in query[query >= 0]:
            span = slice(counts.indptr[term], counts.indptr[term + 1])
            scores[counts.indices[span]] += weights[span]
        order = np.argsort(-scores, kind="stable")[:K]
        order = order[scores[order] > 0]
        answer[: len(order)] = order
    return best


def overlap(found: np.ndarray, expected: np.ndarray) -> float:
    """The mean share of the expected rows that were found, over the queries that have any."""
    shares = [np.isin(best[best >= 0], rows).mean() for rows, best in zip(found, expected, strict=True) if best[0] >= 0]
    return round(float(np.mean(shares)), 4)


# ---- speed


def speeds(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    task = open_task(options.data / "scifact", split="test")
    claims = [query.text for query in read_queries(options.data / "scifact")]
    texts = [document.content for document in task.documents]
    for analyzer in ANALYZERS:
        yield speed("scifact", texts, {"claims": claims}, analyzer, options)
    paragraphs, titles, sentences = wikipedia(options.data / "enwiki-2015-slice")
    for wanted in options.paragraphs:
        chosen = spread(paragraphs, wanted)
        for analyzer in ANALYZERS:
            yield speed("enwiki", chosen, {"titles": titles, "first sentences": sentences}, analyzer, options)


def speed(
    name: str, texts: Sequence[str], query_sets: dict[str, list[str]], analysis: str, options: argparse.Namespace
) -> dict[str, Any]:
    told(f"speed on {len(texts):,} texts of {name}, {analysis}")
    analyzer = ANALYZERS[analysis]
    started = time.perf_counter()
    corpus = encode_corpus(texts, analyzer)
    analysing = time.perf_counter() - started
    engine, building = timed(lambda: built(corpus))
    rival, rival_building = timed(lambda: bm25s_index(corpus))
    results = {}
    for title, queries in query_sets.items():
        ids = asked(spread(queries, QUERIES), analyzer, corpus)
        results[title] = contest(engine, rival, ids, exact_rows(corpus, ids[:200]), options)
    return {
        "corpus": name,
        "documents": len(corpus),
        "tokens": len(corpus.ids),
        "analyzer": analysis,
        "analysis_mb_per_second": round(sum(map(len, texts)) / 1e6 / analysing, 1),
        "build_seconds": {"vicino": round(building, 3), "bm25s": round(rival_building, 3)},
        "index_bytes": {
            "vicino": engine.nbytes,
            "bm25s": sum(rival.scores[part].nbytes for part in ("data", "indices", "indptr")),
        },
        "queries": results,
    }


def contest(
    engine: BM25, rival: Any, queries: list[np.ndarray], expected: np.ndarray, options: argparse.Namespace
) -> dict[str, Any]:
    """Queries a second of all three, in turn; bm25s's default backend answers a tenth of them, for it is slow."""
    lists = [query[query >= 0].tolist() or [0] for query in queries]
    some = lists[::10]
    default = copy.copy(rival)
    default.backend = "numpy"
    contestants: dict[str, Callable[[], Any]] = {
        "vicino": lambda: engine.search(queries, K, threads=options.threads)[0],
        "bm25s numba": lambda: retrieve(rival, lists, options.threads),
        "bm25s default": lambda: retrieve(default, some, 0),
    }
    found = {name: contestant() for name, contestant in contestants.items()}  # compiles and warms up
    seconds = alternate(contestants, options.rounds)
    seconds["bm25s default"] = [each * len(lists) / len(some) for each in seconds["bm25s default"]]
    return {
        "queries": len(queries),
        "mean_terms": round(sum(map(len, queries)) / len(queries), 1),
        "queries_per_second": {name: round(len(queries) / float(np.median(each))) for name, each in seconds.items()},
        "times_faster_than_bm25s_numba": ratio(seconds["bm25s numba"], seconds["vicino"]),
        "times_faster_than_bm25s_default": ratio(seconds["bm25s default"], seconds["vicino"]),
        "overlap_with_exact": {name: overlap(found[name][: len(expected)], expected) for name in ("vicino", "bm25s numba")},
    }


def bm25s_index(corpus: TokenIds) -> Any:
    import bm25s

    engine = bm25s.BM25(k1=K1, b=B, method="lucene", backend="numba")
    lists = [ids.tolist() for ids in corpus]
    engine.index((lists, {term: number for number, term in enumerate(corpus.vocabulary)}), show_progress=False)
    return engine


def retrieve(engine: Any, queries: list[list[int]], threads: int) -> np.ndarray:
    rows: np.ndarray = engine.retrieve(queries, k=K, show_progress=False, n_threads=threads).documents
    return rows


# ---- shared


def built(corpus: TokenIds) -> BM25:
    return BM25(k1=K1, b=B).build(corpus.ids, corpus.offsets, len(corpus.vocabulary))


def asked(texts: list[str], analyzer: Analyzer, corpus: TokenIds) -> list[np.ndarray]:
    return list(encode_corpus(texts, analyzer, corpus.vocabulary, grow=False))


def wikipedia(folder: Path) -> tuple[list[str], list[str], list[str]]:
    """The paragraphs of all articles, and of each its title and the first sentence of its first paragraph."""
    paragraphs, titles, sentences = [], [], []
    for shard in sorted(folder.glob("part-*.jsonl.xz")):
        with lzma.open(shard, "rt", encoding="utf-8") as lines:
            for article in map(json.loads, lines):
                own = [paragraph for paragraph in article["text"].split("\n") if len(paragraph) >= PARAGRAPH]
                if own:
                    paragraphs += own
                    titles.append(article["title"])
                    sentences.append(re.split(r"(?<=[.!?])\s", own[0], maxsplit=1)[0])
    return paragraphs, titles, sentences


def spread(items: Sequence[str], n: int) -> list[str]:
    """At most `n` of the items, evenly from first to last."""
    return [items[at] for at in np.linspace(0, len(items) - 1, min(n, len(items))).astype(int)]


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    began = time.perf_counter()
    done = work()
    return done, time.perf_counter() - began


def told(what: str) -> None:
    print(what, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
