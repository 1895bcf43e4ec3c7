"""Topics of 20 Newsgroups: how good, and how fast, beside gensim, scikit-learn and tomotopy.

    python benchmarks/topics.py --data DIR [--topics 50] [--seeds 3] [--threads 2] [--documents N]

Prints one JSON object. All learn from the same counts of the same words (the training documents without quotes), in turn, a
round for each seed, and each with `threads` threads where it can use them. What is timed is learning alone: CPU seconds of all
threads and child processes, and wall-clock seconds. Two numbers judge whoever made the topics, both from their (topics, words)
matrix and nothing else: the document-completion perplexity of `vicino.learning.topics.perplexity` on the test documents (lower is
better; `own prior` infers mixtures with the model's alpha instead of 0.1 for all), and the mean NPMI of the ten best words of
each topic, by the training documents that hold them (higher is better).
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import lzma
import os
import resource
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy.sparse import csr_array
from threadpoolctl import threadpool_limits

from rounds import machine, ratio
from vicino.data.text import Analyzer, Vocabulary, encode_corpus
from vicino.learning.counts import halves
from vicino.learning.topics import Recipe, perplexity, train
from vicino.metrics.coherence import npmi

ANALYZER = Analyzer(stopwords="english", min_length=3)
FEWEST, LARGEST_SHARE = 10, 0.2  # documents that a word stands in, at least and at most
QUOTES = (">", "|", ":")
PEERS = ("gensim", "scikit-learn", "tomotopy")
OURS, RIVAL = "vicino batch, 50 passes", "gensim, 10 passes"


@dataclass(frozen=True)
class Task:
    """What is learnt from (also as gensim and tomotopy want it), and the two halves of what is scored."""

    terms: list[str]
    counts: csr_array
    bags: list[list[tuple[int, int]]]
    observed: csr_array
    held: csr_array
    topics: int
    threads: int


class Found(NamedTuple):
    """A (topics, words) matrix, and the alpha of its model."""

    topics: np.ndarray
    alpha: np.ndarray


Learning = Callable[[], Found]
Contestant = Callable[[Task, int], Learning]  # sets up, and returns what is timed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="the folder that holds 20newsgroups/")
    parser.add_argument("--topics", type=int, default=50)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--documents", type=int, help="learn from so many only: a trial")
    options = parser.parse_args()
    task = newsgroups(options)
    started = time.perf_counter()
    for learner in ("batch", "scvb0", "online"):
        train(task.counts[:50], Recipe(2, learner=learner, passes=1))
    loading = time.perf_counter() - started
    load = [os.getloadavg()[0]]
    rounds: dict[str, list[dict[str, float]]] = {name: [] for name in CONTESTANTS}
    with threadpool_limits(options.threads), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tomotopy on seeds and threads
        for seed in range(options.seeds):
            for name in list(CONTESTANTS) if seed % 2 == 0 else reversed(list(CONTESTANTS)):
                rounds[name].append(measured(name, task, seed))
            load.append(os.getloadavg()[0])
    report = {
        "benchmark": "topics",
        "machine": machine(),
        "peers": {peer: importlib.metadata.version(peer) for peer in PEERS},
        "load_average_before_and_after_each_round": [round(value, 1) for value in load],
        "parameters": {"topics": options.topics, "seeds": options.seeds, "threads": options.threads},
        "corpus": {
            "documents": task.counts.shape[0],
            "words": len(task.terms),
            "tokens": int(task.counts.sum()),
            "held_out_documents": task.held.shape[0],
        },
        "compile_or_load_seconds": round(loading, 2),
        "results": {name: {figure: spread(values, figure) for figure in values[0]} for name, values in rounds.items()},
        "cpu_times_less_than": {
            name: ratio([each["cpu"] for each in values], [each["cpu"] for each in rounds[OURS]])
            for name, values in rounds.items()
            if not name.startswith("vicino")
        },
        "target": verdict(rounds[OURS], rounds[RIVAL]),
    }
    print(json.dumps(report, indent=1))


def measured(name: str, task: Task, seed: int) -> dict[str, float]:
    learn = CONTESTANTS[name](task, seed)
    wall, cpu = time.perf_counter(), cpu_seconds()
    found = learn()
    wall, cpu = time.perf_counter() - wall, cpu_seconds() - cpu
    best = np.argsort(-found.topics, axis=1)[:, :10]
    figures = {
        "cpu": cpu,
        "wall": wall,
        "perplexity": perplexity(found.topics, task.observed, task.held),
        "perplexity_own_prior": perplexity(found.topics, task.observed, task.held, alpha=found.alpha.astype(np.float32)),
        "npmi": float(npmi(best, task.counts).mean()),
    }
    print(f"seed {seed}, {name}: " + ", ".join(f"{k} {v:.4g}" for k, v in figures.items()), file=sys.stderr, flush=True)
    return figures


def cpu_seconds() -> float:
    """Of this process with its threads, and of children that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def spread(values: Sequence[dict[str, float]], figure: str) -> dict[str, float]:
    digits = 4 if figure == "npmi" else 2
    found = [each[figure] for each in values]
    return {name: round(f(found), digits) for name, f in (("median", statistics.median), ("lowest", min), ("highest", max))}


def verdict(ours: Sequence[dict[str, float]], theirs: Sequence[dict[str, float]]) -> dict[str, Any]:
    """Whether five times less CPU bought no worse topics, by the medians."""

    def median(values: Sequence[dict[str, float]], figure: str) -> float:
        return statistics.median(each[figure] for each in values)

    return {
        "of": OURS,
        "beside": RIVAL,
        "five_times_less_cpu": median(theirs, "cpu") >= 5 * median(ours, "cpu"),
        "perplexity_no_worse": median(ours, "perplexity") <= median(theirs, "perplexity"),
        "coherence_no_worse": median(ours, "npmi") >= median(theirs, "npmi"),
    }


# ---- data


def newsgroups(options: argparse.Namespace) -> Task:
    texts = {split: read(options.data / "20newsgroups" / f"{split}.jsonl.xz") for split in ("train", "test")}
    learnt = texts["train"][: options.documents]
    corpus = encode_corpus(learnt, ANALYZER)
    in_documents = np.bincount(bags_of(learnt, corpus.vocabulary).indices, minlength=len(corpus.vocabulary))
    kept = np.flatnonzero((in_documents >= FEWEST) & (in_documents <= LARGEST_SHARE * len(learnt)))
    vocabulary = Vocabulary(corpus.vocabulary.terms[word] for word in kept)
    counts = bags_of(learnt, vocabulary)
    observed, held = halves(bags_of(texts["test"], vocabulary), seed=0)
    bags = [
        list(zip(counts.indices[start:end].tolist(), counts.data[start:end].astype(int).tolist(), strict=True))
        for start, end in zip(counts.indptr[:-1], counts.indptr[1:], strict=True)
    ]
    return Task(vocabulary.terms, counts, bags, observed, held, options.topics, options.threads)


def read(file: Path) -> list[str]:
    """The texts without the lines that quote somebody."""
    with lzma.open(file, "rt", encoding="utf-8") as lines:
        texts = [json.loads(line)["text"] for line in lines]
    return ["\n".join(line for line in text.split("\n") if not line.startswith(QUOTES)) for text in texts]


def bags_of(texts: list[str], vocabulary: Vocabulary) -> csr_array:
    tokens = encode_corpus(texts, ANALYZER, vocabulary, grow=False)
    known = tokens.ids >= 0
    offsets = np.concatenate([[0], np.cumsum(known)])[tokens.offsets]
    ones = np.ones(offsets[-1], np.float32)
    counts = csr_array((ones, tokens.ids[known], offsets), shape=(len(texts), len(vocabulary)))
    counts.sum_duplicates()
    return counts


# ---- contestants


def vicino(learner: str, **params: Any) -> Contestant:
    def contestant(task: Task, seed: int) -> Learning:
        recipe = Recipe(task.topics, learner=learner, seed=seed, threads=task.threads, **params)

        def learn() -> Found:
            topics, _ = train(task.counts, recipe)
            return Found(topics.distributions, topics.prior)

        return learn

    return contestant


def gensim(passes: int, kind: str = "LdaModel", **params: Any) -> Contestant:
    def contestant(task: Task, seed: int) -> Learning:
        from gensim import models

        own = {"workers": task.threads} if kind == "LdaMulticore" else {}
        words = dict(enumerate(task.terms))

        def learn() -> Found:
            model = getattr(models, kind)(
                task.bags, num_topics=task.topics, id2word=words, passes=passes, random_state=seed, **own, **params
            )
            return Found(model.get_topics(), model.alpha)

        return learn

    return contestant


def scikit_learn(passes: int, **params: Any) -> Contestant:
    def contestant(task: Task, seed: int) -> Learning:
        from joblib.externals.loky import get_reusable_executor
        from sklearn.decomposition import LatentDirichletAllocation

        model = LatentDirichletAllocation(
            task.topics, learning_method="online", max_iter=passes, random_state=seed, n_jobs=task.threads, **params
        )
        counts = task.counts.astype(np.float64)

        def learn() -> Found:
            model.fit(counts)
            get_reusable_executor().shutdown(wait=True)  # so that the CPU seconds of its processes are known
            return Found(model.components_, np.full(task.topics, model.doc_topic_prior_))

        return learn

    return contestant


def tomotopy(iterations: int) -> Contestant:
    def contestant(task: Task, seed: int) -> Learning:
        import tomotopy as tp

        model = tp.LDAModel(k=task.topics, alpha=0.1, eta=0.01, seed=seed + 1)
        for bag in task.bags:
            if bag:
                model.add_doc([task.terms[word] for word, count in bag for _ in range(count)])

        def learn() -> Found:
            model.train(iterations, workers=task.threads)
            column = {term: number for number, term in enumerate(model.used_vocabs)}
            order = [column[term] for term in task.terms]
            rows = np.array([model.get_topic_word_dist(topic) for topic in range(task.topics)])
            return Found(rows[:, order], np.asarray(model.alpha))

        return learn

    return contestant


CONTESTANTS: dict[str, Contestant] = {
    OURS: vicino("batch"),
    "vicino scvb0, 1 pass": vicino("scvb0", passes=1, chunksize=256),
    "vicino scvb0, 10 passes": vicino("scvb0", passes=10),
    "vicino online, 10 passes": vicino("online", passes=10, chunksize=256),
    "gensim, 1 pass": gensim(1),
    RIVAL: gensim(10),
    "gensim, 10 passes, the priors of vicino online": gensim(10, alpha=0.1, eta=0.5, chunksize=256),
    "gensim multicore, 10 passes": gensim(10, "LdaMulticore"),
    "scikit-learn online, 10 passes": scikit_learn(10),
    "scikit-learn online, 10 passes, the priors of vicino online": scikit_learn(
        10, doc_topic_prior=0.1, topic_word_prior=0.5, batch_size=256
    ),
    "tomotopy, 200 iterations": tomotopy(200),
    "tomotopy, 1000 iterations": tomotopy(1000),
}

if __name__ == "__main__":
    main()
