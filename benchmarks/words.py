"""Word vectors: as good as gensim's, and at what cost, on the same words of the same file.

    python benchmarks/words.py --data DIR [--tokens 1000000 5000000 0] [--families sg cbow fasttext] [--seeds 3] [--threads 2]

Prints one JSON object. Each contestant runs in a process of its own, in turn, once for each seed: it reads a file of text (one
sentence a line, words parted by spaces), learns 100 dimensions in 5 epochs, window 5, 5 negatives, words that come 5 times, and
answers the same questions by the same code; fasttext is skip-gram with n-grams of 3 to 6 characters. 0 tokens are all there are.
"reading" is from the file to numbers (gensim: building the vocabulary), "learning" the epochs (gensim reads the file again in
each). CPU seconds are those of all threads; what compiled code costs to load, or at first to compile, is measured before and
stands apart. "busy" is the load of the machine as each run began: other work on the same cores makes wall-clock times longer, and
CPU times a little.

Each of gensim's threads counts only what it read itself towards the fall of the rate, so that within an epoch the rate of two
falls half as far as is meant (`get_next_alpha` in its word2vec_corpusfile.pyx): they learn at 1.1 times the mean rate. CBOW wants
more than either and shows it, so that ours is given the same mean ("vicino_alpha").
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from rounds import machine, ratio
from vicino.data.corpus import Corpus, Rules, read_corpus
from vicino.metrics.similarity import paired_cosine, spearman
from vicino.vectors import normalise

DIM, WINDOW, NEGATIVE, EPOCHS, MIN_COUNT = 100, 5, 5, 5, 5
ALPHA = {"sg": 0.025, "cbow": 0.05, "fasttext": 0.025}  # as word2vec.c and fastText begin
VICINO_ALPHA = ALPHA | {"cbow": 0.055}
FREQUENT = 30_000  # words among which an analogy is solved
SETS = ("wordsim353", "men")
FAMILIES = {"sg": "skip-gram", "cbow": "CBOW", "fasttext": "skip-gram with subwords"}
PARTS = ("reading", "learning", "whole")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="holds enwiki-2015-slice/, wordsim/ and google-analogies/")
    parser.add_argument("--tokens", type=int, nargs="+", default=[1_000_000, 5_000_000, 0])
    parser.add_argument("--families", nargs="+", default=list(FAMILIES), choices=list(FAMILIES))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(one(options.data, **json.loads(options.one))))
        return
    with tempfile.TemporaryDirectory() as folder:
        files = dict(texts(options.data / "enwiki-2015-slice", options.tokens, Path(folder)))
        results = [contest(family, path, options) for family in options.families for path in files.values()]
    parameters = {"dim": DIM, "window": WINDOW, "negative": NEGATIVE, "epochs": EPOCHS, "min_count": MIN_COUNT}
    rates = {"alpha": ALPHA, "vicino_alpha": VICINO_ALPHA}
    report = {
        "benchmark": "words",
        "machine": machine() | {"gensim": gensim_version()},
        "parameters": parameters | rates | {"threads": options.threads, "seeds": options.seeds},
        "results": results,
        "growth": growth(results),
    }
    print(json.dumps(report, indent=1))


def texts(source: Path, sizes: Sequence[int], folder: Path) -> Iterator[tuple[int, Path]]:
    """Files of the first so many words, one sentence a line, as both contestants read them."""
    told("reading and cutting the text")
    corpus = read_corpus(source, Rules(min_count=1))
    for size in sizes:
        path = folder / f"{size or 'all'}.txt"
        end = int(np.searchsorted(corpus.offsets, size)) if size else len(corpus)
        with path.open("w", encoding="utf-8") as file:
            file.writelines(lines(corpus, min(end, len(corpus))))
        yield size, path


def lines(corpus: Corpus, end: int) -> Iterator[str]:
    terms = corpus.vocabulary.terms
    for sentence in range(end):
        yield " ".join([terms[word] for word in corpus[sentence].tolist()]) + "\n"


def contest(family: str, path: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Both contestants, seed by seed; whoever began a round ends the next."""
    runs: dict[str, list[dict[str, Any]]] = {"vicino": [], "gensim": []}
    for seed in range(1, options.seeds + 1):
        for name in list(runs) if seed % 2 else reversed(list(runs)):
            told(f"{family}, {path.stem} tokens, seed {seed}: {name} (load {os.getloadavg()[0]:.1f})")
            asked = {"name": name, "path": str(path), "family": family, "seed": seed, "threads": options.threads}
            command = [sys.executable, __file__, "--data", str(options.data), "--one", json.dumps(asked)]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            runs[name].append(json.loads(done.stdout))
            told(done.stdout)
    return {
        "family": family,
        **shared(runs),
        **{name: summary(each) for name, each in runs.items()},
        "gensim/vicino": ratios(runs),
    }


def shared(runs: dict[str, list[dict[str, Any]]]) -> dict[str, int]:
    """The words that both learn; a contest over two vocabularies would be none."""
    sizes = {(run["tokens"], run["vocabulary"]) for each in runs.values() for run in each}
    if len(sizes) != 1:
        raise SystemExit(f"the contestants do not read the same words: {sizes}")
    tokens, vocabulary = sizes.pop()
    return {"tokens": tokens, "vocabulary": vocabulary}


def summary(runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """[median, lowest, highest] over the seeds."""
    names = [name for name in runs[0] if name not in ("tokens", "vocabulary")]
    spans = {name: [run[name] for run in runs] for name in names}
    return {name: [round(each(values), 4) for each in (statistics.median, min, max)] for name, values in spans.items()}


def ratios(runs: dict[str, list[dict[str, Any]]]) -> dict[str, dict[str, float]]:
    """How many times gensim takes, seed by seed."""
    names = [f"{part}_{clock}" for part in PARTS for clock in ("cpu", "wall")] + ["peak_mb"]
    return {name: ratio([run[name] for run in runs["gensim"]], [run[name] for run in runs["vicino"]]) for name in names}


def growth(results: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """What `growth.py` draws: CPU seconds and memory against tokens, of each contestant."""
    panels = []
    for measure, y in (("whole_cpu", "CPU seconds"), ("peak_mb", "MB")):
        for family in dict.fromkeys(result["family"] for result in results):
            sizes = [result for result in results if result["family"] == family]
            lines = {name: [[each["tokens"], each[name][measure][0]] for each in sizes] for name in ("vicino", "gensim")}
            panels.append({"title": FAMILIES[family], "x": "tokens", "y": y, "lines": lines})
    return panels


# ---- one contestant, in a process of its own


def one(data: Path, *, name: str, path: str, family: str, seed: int, threads: int) -> dict[str, Any]:
    busy = os.getloadavg()[0]
    clocks: dict[str, float] = {}
    learn: Callable[..., Any] = {"vicino": ours, "gensim": theirs}[name]
    tokens, words, vectors = learn(Path(path), family, seed, threads, clocks)
    clocks |= {f"whole_{clock}": clocks[f"reading_{clock}"] + clocks[f"learning_{clock}"] for clock in ("cpu", "wall")}
    peak = peak_mb()
    quality = {each: similarity(data / "wordsim" / f"{each}.tsv", words, vectors) for each in SETS}
    analogy = analogies(data / "google-analogies" / "questions-words.txt", words, vectors)
    return {
        "tokens": tokens, "vocabulary": len(words), **clocks, "peak_mb": peak, "busy": busy, **quality, "analogies": analogy
    }  # fmt: skip


def ours(path: Path, family: str, seed: int, threads: int, clocks: dict[str, float]) -> Any:
    from vicino.encoders import FastText, Word2Vec

    sizes = {"vector_size": DIM, "window": WINDOW, "negative": NEGATIVE, "epochs": EPOCHS}
    kind = FastText if family == "fasttext" else Word2Vec
    model = kind(**sizes, sg=int(family != "cbow"), alpha=VICINO_ALPHA[family], seed=seed, threads=threads)
    with clock("compiling", clocks):
        model.clone().set_params(epochs=1).fit(["a few words", "to compile for"])
    with clock("reading", clocks):
        corpus = read_corpus(path, Rules(min_count=MIN_COUNT), threads=threads)
    with clock("learning", clocks):
        model.fit(corpus)
    return int(model.counts_.sum()), corpus.vocabulary.terms, model.vectors_


def theirs(path: Path, family: str, seed: int, threads: int, clocks: dict[str, float]) -> Any:
    from gensim.models import FastText, Word2Vec

    sizes = {"vector_size": DIM, "window": WINDOW, "negative": NEGATIVE, "min_count": MIN_COUNT}
    kind = FastText if family == "fasttext" else Word2Vec
    model = kind(**sizes, sg=int(family != "cbow"), alpha=ALPHA[family], seed=seed, workers=threads)
    with clock("reading", clocks):
        model.build_vocab(corpus_file=str(path))
    with clock("learning", clocks):
        model.train(corpus_file=str(path), total_words=model.corpus_total_words, epochs=EPOCHS)
    counts = [model.wv.get_vecattr(word, "count") for word in model.wv.index_to_key]
    return int(sum(counts)), model.wv.index_to_key, model.wv.vectors


@contextmanager
def clock(name: str, clocks: dict[str, float]) -> Iterator[None]:
    cpu, wall = time.process_time(), time.perf_counter()
    yield
    clocks[f"{name}_cpu"], clocks[f"{name}_wall"] = time.process_time() - cpu, time.perf_counter() - wall


# ---- how good


def similarity(path: Path, words: Sequence[str], vectors: np.ndarray) -> float:
    """Spearman's correlation of cosines with what people say, over the pairs whose words are both known."""
    row = {word: number for number, word in enumerate(words)}
    with path.open(encoding="utf-8") as file:
        pairs = [
            (each["word1"].lower(), each["word2"].lower(), float(each["score"])) for each in csv.DictReader(file, delimiter="\t")
        ]
    known = [(row[left], row[right], score) for left, right, score in pairs if left in row and right in row]
    left, right, scores = (np.array(each) for each in zip(*known, strict=True))
    return spearman(paired_cosine(vectors[left], vectors[right]), scores)


def analogies(path: Path, words: Sequence[str], vectors: np.ndarray) -> float:
    """The share of a : b :: c : ? that 3CosAdd solves among the most frequent words, of those that they can answer."""
    row = {word: number for number, word in enumerate(words[:FREQUENT])}
    units = normalise(vectors[:FREQUENT])
    lines = (line.lower().split() for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith(":"))
    asked = np.array([[row[word] for word in line] for line in lines if all(word in row for word in line)])
    right = 0
    for some in np.array_split(asked, len(asked) // 1000 + 1):
        a, b, c, answer = some.T
        scores = (units[b] - units[a] + units[c]) @ units.T
        np.put_along_axis(scores, some[:, :3], -np.inf, axis=1)
        right += int((scores.argmax(axis=1) == answer).sum())
    return right / len(asked)


def peak_mb() -> float:
    """The most memory this process ever held; getrusage would count what its parent held before."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def gensim_version() -> str:
    from importlib.metadata import version

    return version("gensim")


def told(what: str) -> None:
    print(what, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
