"""Document vectors of 20 Newsgroups: as good as gensim's, and at what cost; beside what simpler vectors give.

    python benchmarks/doc2vec.py --data DIR [--ways dbow dbow+words dm dm_concat] [--epochs 20] [--seeds 3] [--threads 2]

Prints one JSON object. Documents are without headers and quotes, cut at 10,000 words (gensim reads no more), and in random order:
the file is sorted by class, which would cost gensim much and vicino, that reads in another order each epoch, nothing. Each
contestant runs in a process of its own, in turn, once for each seed: it reads a file with a document a line, learns 100
dimensions, window 5, 5 negatives, words that come 5 times, and infers the vectors of the test documents. "accuracy" is that of a
logistic regression on the vectors of training, asked of the inferred ones. CPU seconds are those of all threads; what compiled
code costs to load, or at first to compile, is measured before and stands apart.
"""

from __future__ import annotations

import argparse
import json
import lzma
import os
import random
import statistics
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from rounds import machine, ratio
from topics import read
from vicino.data.text import Analyzer
from words import clock, gensim_version, told

DIM, WINDOW, NEGATIVE, MIN_COUNT, ALPHA = 100, 5, 5, 5, 0.025
LONGEST = 10_000  # words
WAYS: dict[str, dict[str, int]] = {
    "dbow": {"dm": 0},
    "dbow+words": {"dm": 0, "dbow_words": 1},
    "dm": {"dm": 1},
    "dm_concat": {"dm": 1, "dm_concat": 1},
}
BASELINES = {
    "tfidf": "tfidf(min_count=5)",
    "lsa": f"lsa(n_components={DIM},min_count=5)",
    "lda": f"lda(n_components={DIM},min_count=5,seed=SEED,threads=THREADS)",
    "mean of word2vec": f"word2vec(vector_size={DIM},min_count=5,seed=SEED,threads=THREADS)",
}
FIGURES = ("reading_cpu", "learning_cpu", "learning_wall", "inferring_cpu", "inferring_wall", "accuracy")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="the folder that holds 20newsgroups/")
    parser.add_argument("--ways", nargs="+", default=list(WAYS), choices=list(WAYS))
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--documents", type=int, help="learn from so many only: a trial")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(one(options.data, **json.loads(options.one))))
        return
    with tempfile.TemporaryDirectory() as folder:
        corpus = write_texts(options, Path(folder))
        runs = contest(options, folder)
    parameters = {"dim": DIM, "window": WINDOW, "negative": NEGATIVE, "min_count": MIN_COUNT, "alpha": ALPHA}
    report = {
        "benchmark": "doc2vec",
        "machine": machine() | {"gensim": gensim_version()},
        "parameters": parameters | {"epochs": options.epochs, "threads": options.threads, "seeds": options.seeds},
        "corpus": corpus,
        "median, lowest, highest": {name: summary(each) for name, each in runs.items()},
        "gensim/vicino": {way: against(runs[f"vicino {way}"], runs[f"gensim {way}"]) for way in options.ways},
    }
    print(json.dumps(report, indent=1))


def write_texts(options: argparse.Namespace, folder: Path) -> dict[str, int]:
    """A document a line, words parted by spaces, and its class in a file beside; documents without words are not asked for."""
    sizes = {}
    for part in ("train", "test"):
        source = options.data / "20newsgroups" / f"{part}.jsonl.xz"
        with lzma.open(source, "rt", encoding="utf-8") as lines:
            labels = [json.loads(line)["label"] for line in lines]
        terms = Analyzer().terms
        rows = [(" ".join(terms(text)[:LONGEST]), label) for text, label in zip(read(source), labels, strict=True)]
        rows = [row for row in rows if row[0]]
        random.Random(0).shuffle(rows)
        rows = rows[: options.documents]
        (folder / f"{part}.txt").write_text("".join(f"{text}\n" for text, _ in rows), encoding="utf-8")
        (folder / f"{part}.json").write_text(json.dumps([label for _, label in rows]))
        sizes |= {f"{part}_documents": len(rows), f"{part}_words": sum(text.count(" ") + 1 for text, _ in rows)}
    return sizes


def contest(options: argparse.Namespace, folder: str) -> dict[str, list[dict[str, float]]]:
    """All contestants, seed by seed; whoever began a round ends the next."""
    names = [f"{who} {way}" for way in options.ways for who in ("vicino", "gensim")] + list(BASELINES)
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    for seed in range(1, options.seeds + 1):
        for name in names if seed % 2 else reversed(names):
            asked = {"folder": folder, "name": name, "epochs": options.epochs, "seed": seed, "threads": options.threads}
            command = [sys.executable, __file__, "--data", str(options.data), "--one", json.dumps(asked)]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            runs[name].append(json.loads(done.stdout))
            told(f"seed {seed}, {name} (load {os.getloadavg()[0]:.1f}): {done.stdout.strip()}")
    return runs


def summary(runs: list[dict[str, float]]) -> dict[str, list[float]]:
    """[median, lowest, highest] over the seeds."""
    spans = {name: [run[name] for run in runs] for name in runs[0]}
    return {name: [round(each(values), 4) for each in (statistics.median, min, max)] for name, values in spans.items()}


def against(ours: list[dict[str, float]], theirs: list[dict[str, float]]) -> dict[str, Any]:
    """How many times gensim takes, seed by seed, and whether it was reached what was asked for."""

    def median(runs: list[dict[str, float]], name: str) -> float:
        return statistics.median(run[name] for run in runs)

    times = {name: ratio([run[name] for run in theirs], [run[name] for run in ours]) for name in FIGURES[:-1]}
    return times | {
        "three_times_less_cpu": median(theirs, "learning_cpu") >= 3 * median(ours, "learning_cpu"),
        "accuracy_no_lower": median(ours, "accuracy") >= median(theirs, "accuracy") - 0.01,
    }


# ---- one contestant, in a process of its own


def one(data: Path, *, folder: str, name: str, epochs: int, seed: int, threads: int) -> dict[str, float]:  # noqa: ARG001
    place, clocks = Path(folder), dict.fromkeys(FIGURES[:-1], 0.0)
    new = (place / "test.txt").read_text(encoding="utf-8").splitlines()
    who, _, way = name.partition(" ")
    if name in BASELINES:
        learnt, inferred = baseline(name, place / "train.txt", new, seed, threads, clocks)
    elif who == "vicino":
        learnt, inferred = ours(WAYS[way], place / "train.txt", new, epochs, seed, threads, clocks)
    else:
        learnt, inferred = theirs(WAYS[way], place / "train.txt", new, epochs, seed, threads, clocks)
    classes = [np.array(json.loads((place / f"{part}.json").read_text())) for part in ("train", "test")]
    return clocks | {"accuracy": probe(learnt, inferred, *classes)}


def ours(way: dict[str, int], path: Path, new: list[str], epochs: int, seed: int, threads: int, clocks: dict[str, float]) -> Any:
    from vicino.encoders.documents import Doc2Vec

    sizes = {"vector_size": DIM, "window": WINDOW, "negative": NEGATIVE, "min_count": MIN_COUNT, "alpha": ALPHA}
    model = Doc2Vec(**sizes, **way, epochs=epochs, seed=seed, threads=threads)
    with clock("compiling", clocks):
        model.clone().set_params(epochs=1, min_count=1).fit(["a few words", "to compile for"]).encode("words")
    with clock("reading", clocks):
        corpus = model._corpus(path)
    with clock("learning", clocks):
        model.fit(corpus)
    with clock("inferring", clocks):
        inferred = model.encode(new)
    return model.document_vectors_, inferred


def theirs(
    way: dict[str, int], path: Path, new: list[str], epochs: int, seed: int, threads: int, clocks: dict[str, float]
) -> Any:
    from gensim.models import Doc2Vec

    sizes = {"vector_size": DIM, "window": WINDOW, "negative": NEGATIVE, "min_count": MIN_COUNT, "alpha": ALPHA}
    model = Doc2Vec(**sizes, **way, epochs=epochs, seed=seed, workers=threads)
    with clock("reading", clocks):
        model.build_vocab(corpus_file=str(path))
    total = {"total_examples": model.corpus_count, "total_words": model.corpus_total_words}
    with clock("learning", clocks):
        model.train(corpus_file=str(path), epochs=epochs, **total)
    with clock("inferring", clocks):
        inferred = np.array([model.infer_vector(text.split()) for text in new])
    return model.dv.vectors, inferred


def baseline(name: str, path: Path, new: list[str], seed: int, threads: int, clocks: dict[str, float]) -> Any:
    from vicino import encoders

    model = encoders.make(BASELINES[name].replace("SEED", str(seed)).replace("THREADS", str(threads)))
    texts = path.read_text(encoding="utf-8").splitlines()
    with clock("learning", clocks):  # reading, and for some compiling, is in it
        model.fit(texts)
    with clock("inferring", clocks):
        inferred = model.encode(new)
    return model.encode(texts), inferred


def probe(learnt: Any, inferred: Any, classes: np.ndarray, asked: np.ndarray) -> float:
    """The accuracy of a logistic regression on standardised columns (of TF-IDF, as it is)."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    sparse = hasattr(learnt, "indptr")
    model = LogisticRegression(C=10 if sparse else 0.1, max_iter=500)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # 500 steps are enough
        return float((model if sparse else make_pipeline(StandardScaler(), model)).fit(learnt, classes).score(inferred, asked))


if __name__ == "__main__":
    main()
