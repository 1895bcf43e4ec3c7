"""Claims of word vectors, judged by what people say of pairs of words: paired by pair, the same text and seeds for all."""

from __future__ import annotations

import csv
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from claims_evidence import RESAMPLES, Lab, Trial, Values, plain
from claims_figures import swivel_speed
from vicino.data.corpus import Corpus, Rules, read_corpus
from vicino.metrics.similarity import paired_cosine, spearman
from words import texts

TOKENS = {"5 million words": 5_000_000, "26 million words": 0}  # 0: all there are
PAIRS = ("men", "mturk771", "wordsim353", "rg65")
DIM, MIN_COUNT, WINDOW = 100, 5, 5
ALPHA = {"sg": 0.025, "cbow": 0.05}  # as word2vec.c begins


def frequency(lab: Lab) -> dict[str, Any]:
    """Skip-gram and CBOW on pairs of rare and of frequent words: thirds, by how often the rarer word of a pair comes."""
    trials = []
    for label in TOKENS:
        told = judged_by_people(lab, label, ("sg", "cbow"))
        cuts = np.quantile(told["counts"], [1 / 3, 2 / 3])
        bands = np.searchsorted(cuts, told["counts"], side="right")
        for band, name, first, other in ((2, "frequent", "cbow", "sg"), (0, "rare", "sg", "cbow")):
            mine = bands == band
            limit = f"{'at most' if band == 0 else 'over'} {cuts[0] if band == 0 else cuts[1]:,.0f} times"
            trials.append(contrast(f"{label}, {name} ({limit})", told, mine, (first, other)))
        trials.append(interaction(label, told, bands))
    return plain(trials)


def swivel(lab: Lab) -> dict[str, Any]:
    """GloVe and Swivel, each by its defaults: quality here, and the time from benchmarks/swivel.py."""
    label = "5 million words"
    told = judged_by_people(lab, label, ("glove", "swivel"))
    trials = [contrast(label, told, np.ones(len(told["counts"]), bool), ("glove", "swivel"))]
    kept = plain(trials)
    return {**kept, "rows": [*kept["rows"], *swivel_speed(lab)]}


def judged_by_people(lab: Lab, label: str, families: tuple[str, ...]) -> dict[str, Any]:
    """For all pairs that every family knows: people's score as a rank within its set, how often the rarer word comes, and the
    cosines of each family, (seeds, pairs)."""
    units = {
        (family, seed): lab.unit(f"words-{TOKENS[label]}-{family}-{seed}", lambda f=family, s=seed: taught(lab, label, f, s))
        for family in families
        for seed in range(lab.seeds)
    }
    first = units[families[0], 0]
    found = {family: np.array([units[family, seed]["cosines"] for seed in range(lab.seeds)]) for family in families}
    return {"scores": np.array(first["scores"]), "counts": np.array(first["counts"]), **found}


def taught(lab: Lab, label: str, family: str, seed: int) -> dict[str, Any]:
    """One family on one text: the cosines of people's pairs."""
    from vicino.encoders import GloVe, Swivel, Word2Vec

    kinds: dict[str, Callable[[], Any]] = {
        "sg": lambda: Word2Vec(vector_size=DIM, window=WINDOW, sg=1, alpha=ALPHA["sg"], seed=seed, threads=lab.threads),
        "cbow": lambda: Word2Vec(vector_size=DIM, window=WINDOW, sg=0, alpha=ALPHA["cbow"], seed=seed, threads=lab.threads),
        "glove": lambda: GloVe(vector_size=DIM, seed=seed, threads=lab.threads),
        "swivel": lambda: Swivel(vector_size=DIM, seed=seed, threads=lab.threads),
    }
    corpus = of_words(lab, TOKENS[label])
    model = kinds[family]().fit(corpus)
    rows, scores = known_pairs(lab.data / "wordsim", corpus)
    vectors, counts = model.vectors_, np.asarray(corpus.counts)
    cosines = paired_cosine(vectors[rows[:, 0]], vectors[rows[:, 1]])
    return {"cosines": cosines.tolist(), "scores": scores.tolist(), "counts": counts[rows].min(axis=1).tolist()}


def of_words(lab: Lab, tokens: int) -> Corpus:
    """The first so many words of Wikipedia as numbers."""
    file = lab.work / f"{tokens or 'all'}.txt"
    if not file.exists():
        with tempfile.TemporaryDirectory(dir=lab.work) as folder:
            for _, path in texts(lab.data / "enwiki-2015-slice", [tokens], Path(folder)):
                path.replace(file)
    return read_corpus(file, Rules(min_count=MIN_COUNT), threads=lab.threads)


def known_pairs(folder: Path, corpus: Corpus) -> tuple[NDArray[np.intp], Values]:
    """Pairs of known words, (n, 2), and people's scores as ranks from 0 to 1 within each set: their scales differ."""
    rows, scores = [], []
    for name in PAIRS:
        with (folder / f"{name}.tsv").open(encoding="utf-8") as file:
            told = [
                (row["word1"].lower(), row["word2"].lower(), float(row["score"])) for row in csv.DictReader(file, delimiter="\t")
            ]
        known = [(corpus.vocabulary.get(left), corpus.vocabulary.get(right), score) for left, right, score in told]
        known = [each for each in known if min(each[:2]) >= 0]
        values = np.array([score for _, _, score in known])
        ranks = (np.searchsorted(np.sort(values), values) + np.searchsorted(np.sort(values), values, side="right")) / 2
        rows += [each[:2] for each in known]
        scores += (ranks / len(values)).tolist()
    return np.array(rows, dtype=np.intp), np.array(scores)


def correlation(told: dict[str, Any], family: str, rows: NDArray[Any]) -> float:
    """Spearman's correlation, the mean over seeds."""
    return float(np.mean([spearman(cosines[rows], told["scores"][rows]) for cosines in told[family]]))


def contrast(data: str, told: dict[str, Any], mine: NDArray[np.bool_], two: tuple[str, str]) -> Trial:
    """The first family against the second on some pairs, which are drawn anew."""
    rows = np.flatnonzero(mine)
    means = [correlation(told, family, rows) for family in two]
    shown = f"{two[0]} {means[0]:.3f}, {two[1]} {means[1]:.3f}"

    def difference(some: NDArray[Any]) -> float:
        return correlation(told, two[0], some) - correlation(told, two[1], some)

    draws = resampled(difference, [rows])
    return Trial(data, shown, "Spearman", len(rows), estimate=means[0] - means[1], draws=draws, seeds=len(told[two[0]]))


def interaction(label: str, told: dict[str, Any], bands: NDArray[np.intp]) -> Trial:
    """Whether skip-gram's lead is larger on rare words than on frequent ones."""
    rare, frequent = (np.flatnonzero(bands == band) for band in (0, 2))

    def lead(rows: NDArray[Any]) -> float:
        return correlation(told, "sg", rows) - correlation(told, "cbow", rows)

    found = lead(rare), lead(frequent)
    draws = resampled(lead, [rare]) - resampled(lead, [frequent], seed=1)
    shown = f"skip-gram's lead on rare words {found[0]:+.3f}, on frequent ones {found[1]:+.3f}"
    n, seeds = len(rare) + len(frequent), len(told["sg"])
    return Trial(label, shown, "Spearman", n, estimate=found[0] - found[1], draws=draws, seeds=seeds)


def resampled(statistic: Callable[[NDArray[Any]], float], rows: list[NDArray[Any]], seed: int = 0) -> Values:
    """A statistic of rows drawn with replacement."""
    random = np.random.default_rng(seed)
    return np.array([statistic(random.choice(rows[0], len(rows[0]))) for _ in range(RESAMPLES)])
