"""Texts with classes: told by what is learnt from others of their class, and found by k-means without being told."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vicino.data.examples import Examples, read_examples, splits_in
from vicino.data.formats import kind_of
from vicino.data.rows import TABLES, Columns, column_names, recognise
from vicino.errors import InputError, UnknownName
from vicino.evaluation.labelled import LabelledTask
from vicino.evaluation.suite.base import Contender, Counts, Measure, Outcome, Task, mean_of
from vicino.evaluation.suite.contenders import contender, encoded, fingerprint_of, fitted
from vicino.metrics import resampled
from vicino.metrics.neighbours import vote
from vicino.metrics.values import Values
from vicino.vectors import top_k

__all__ = ["classes", "clusters", "labelled_texts", "silhouettes"]

NEIGHBOURS = 20
LADDER = ("tfidf", "lsa", "minilm")
_PROBED, _CLUSTERED = 10_000, 10_000  # items: more tell no more
_BLOCK = 512
_STARTS = 10

Rows = NDArray[np.int64]


def classes(path: Path, *, columns: Mapping[str, str] | None = None, split: str | None = None, seed: int = 0) -> Task:
    """Texts with a class, as of a table with text and label: are those that are asked told by what was learnt from others?

    "linear" is a logistic regression on frozen vectors, the usual probe (Alain and Bengio 2016), "kNN" the vote of the 20 nearest
    by cosine. A folder with a train split is learnt from there, and its `split` (None: test, else dev) is asked; of a single
    table a fifth of each class is asked. "majority" tells everything as the commonest class. Encoders that have not learnt learn
    from the texts to learn from. Raises InputError for one class, and what `vicino.data.examples.read_examples` raises.
    """
    learn, asked, notes = _sides(path, columns, split, seed)
    names, numbers = np.unique([*learn[1], *asked[1]], return_inverse=True)
    own, truth = numbers[: len(learn[0])].astype(np.int64), numbers[len(learn[0]) :].astype(np.int64)

    def right(told: str, summary: str) -> Measure:
        return mean_of(summary, lambda outcome: (outcome[told] == truth).astype(np.float64))

    measures = {
        "linear": right("linear", f"share told rightly by logistic regression on {_PROBED:,} texts at most (accuracy)"),
        "kNN": right("kNN", f"share told rightly by the {NEIGHBOURS} nearest by cosine; of as many votes the nearest decides"),
        "macro-F1": Measure("of the linear probe: rare classes count as frequent ones", partial(_macro_f1, truth, len(names))),
    }
    return Task(
        kind="classes",
        name=path.resolve().name,
        about=f"{len(truth):,} texts are asked, {len(own):,} are learnt from, of {len(names):,} classes",
        unit="texts",
        size=len(truth),
        measures=measures,
        shown=tuple(measures),
        ladder=("majority", *LADDER),
        prepare=partial(_teller, learn[0], own, asked[0], seed),
        fingerprint=fingerprint_of(learn[0], asked[0], numbers),
        seed=seed,
        notes=notes,
    )


def clusters(path: Path, *, columns: Mapping[str, str] | None = None, split: str | None = None, seed: int = 0) -> Task:
    """Texts with a class: does k-means on unit vectors, with as many clusters as there are classes, find them again?

    The best of ten starts; intervals are over texts, the clusters being what they are. "silhouette" is that of the classes
    themselves, by cosine: how much nearer texts are to their own class than to the next (Rousseeuw 1987). "chance" puts every
    text somewhere. Raises InputError for one class, and what `vicino.data.examples.read_examples` raises.
    """
    texts, labels, notes = labelled_texts(path, columns, split)
    if len(texts) > _CLUSTERED:
        notes = (*notes, f"{_CLUSTERED:,} of {len(texts):,} texts are asked, drawn by chance")
        rows = np.sort(np.random.default_rng(seed).permutation(len(texts))[:_CLUSTERED]).tolist()
        texts, labels = [texts[row] for row in rows], [labels[row] for row in rows]
    names, truth = np.unique(labels, return_inverse=True)
    if len(names) < 2:
        raise InputError(f"all texts of {path} are of one class: there is nothing to find", mend="give two classes or more")

    def agreed(field: str, summary: str) -> Measure:
        return Measure(summary, lambda outcome, counts: getattr(resampled.clustered(truth, outcome["clusters"], counts), field))

    measures = {
        "V-measure": agreed("v_measure", "harmonic mean of homogeneity and completeness"),
        "ARI": agreed("ari", "adjusted Rand index: 0 by chance, 1 at most"),
        "purity": agreed("purity", "share of texts in the commonest class of their cluster"),
        "silhouette": mean_of("of the classes themselves, by cosine: from -1 to 1", lambda outcome: outcome["silhouette"]),
        "NMI": agreed("v_measure", "mutual information over the mean of the entropies: the same number as the V-measure"),
    }
    return Task(
        kind="clusters",
        name=path.resolve().name,
        about=f"{len(texts):,} texts of {len(names):,} classes, that nobody is told",
        unit="texts",
        size=len(texts),
        measures=measures,
        shown=("V-measure", "ARI", "purity", "silhouette"),
        ladder=("chance", *LADDER),
        prepare=partial(_finder, texts, truth.astype(np.int64), seed),
        fingerprint=fingerprint_of(texts, truth),
        seed=seed,
        notes=notes,
    )


def labelled_texts(
    path: Path, columns: Mapping[str, str] | None, split: str | None
) -> tuple[list[str], list[str], tuple[str, ...]]:
    """Texts, the class of each, and what was read as what: of a table, or of a folder's `split` (None: test, else dev, else
    train)."""
    there = splits_in(path)
    chosen = split or next((name for name in ("test", "dev", "validation") if name in there), "train")
    examples = _read(path, columns, chosen)
    return list(examples.anchors), _names(examples), (*examples.notes, *((f"the split {chosen}",) if there else ()))


Side = tuple[list[str], list[str]]


def _sides(path: Path, columns: Mapping[str, str] | None, split: str | None, seed: int) -> tuple[Side, Side, tuple[str, ...]]:
    """Texts and classes that are learnt from, and that are asked."""
    there = splits_in(path)
    if "train" in there and len(there) > 1 and split != "train":
        learn = _read(path, columns, "train")
        texts, labels, notes = labelled_texts(path, columns, split)
        asked = np.repeat([False, True], [len(learn), len(texts)])
        texts, labels = [*learn.anchors, *texts], [*_names(learn), *labels]
    else:
        texts, labels, notes = labelled_texts(path, columns, split)
        asked = None
    task = LabelledTask.of(texts, labels, asked=asked, unseen=False, seed=seed)
    sides = ((list(task.learn), list(task.learn_labels)), (list(task.asked), list(task.asked_labels)))
    return *sides, (*notes, *task.notes)


def _read(path: Path, columns: Mapping[str, str] | None, split: str) -> Examples:
    examples = read_examples(path, columns=columns or _guessed(path, split), split=split)
    if examples.kind != "classes":
        mend = "say which columns: --columns text=COLUMN,label=COLUMN"
        raise InputError(f"{path} holds {examples.kind}, not texts with classes", mend=mend)
    return examples


def _guessed(path: Path, split: str) -> Mapping[str, str] | None:
    """Which column is the text, where a title beside it could make them a pair."""
    if path.is_dir():
        there = {file.name.partition(".")[0]: file for file in sorted(path.iterdir()) if kind_of(file.name) in TABLES}
        if split not in there:
            raise UnknownName.among(split, there, kind="split")
        path = there[split]
    names = column_names(path)
    text = recognise(Columns(), names).text if names else None
    return {"text": text} if text else None  # without columns `read_examples` says what is wrong


def _names(examples: Examples) -> list[str]:
    numbers = [] if examples.labels is None else examples.labels.tolist()
    return [examples.class_names[number] for number in numbers]


def _macro_f1(truth: Rows, n: int, outcome: Outcome, counts: Counts) -> Values:
    every = np.arange(n)
    return resampled.f1_scores(truth[:, None] == every, outcome["linear"][:, None] == every, counts)[1]


# Candidates -----------------------------------------------------------------------------------------------------------


def _teller(learn: Sequence[str], own: Rows, asked: Sequence[str], seed: int, name: str) -> Contender:
    def majority() -> Outcome:
        told = np.full(len(asked), np.bincount(own).argmax(), dtype=np.int64)
        return {"linear": told, "kNN": told}

    def answer(encoder: Any) -> Outcome:
        vectors, rows = encoded(fitted(encoder, list(learn)), [*learn, *asked])
        known, told = vectors[rows[: len(learn)]], vectors[rows[len(learn) :]]
        return {"linear": _linear(known, own, told, seed), "kNN": _voted(known, own, told)}

    return contender(name, {"majority": majority}, answer, how=f"probe {NEIGHBOURS} {seed}")


def _linear(known: Any, own: Rows, told: Any, seed: int) -> Rows:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    rows = np.sort(np.random.default_rng(seed).permutation(len(own))[:_PROBED])
    if len(np.unique(own[rows])) < 2:
        raise InputError("a linear probe of one class tells nothing", mend="learn from two classes or more")
    sparse = hasattr(known, "tocsr")  # of unit rows as they are, for centred they would fill the memory
    steps = [] if sparse else [StandardScaler()]
    model = make_pipeline(*steps, LogisticRegression(C=10.0 if sparse else 0.1, max_iter=200))
    with warnings.catch_warnings():  # the steps are part of the protocol
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(known[rows], own[rows])
    found: Rows = model.predict(told)
    return found


def _voted(known: Any, own: Rows, told: Any) -> Rows:
    found = []
    for start in range(0, told.shape[0], _BLOCK):
        cosines = told[start : start + _BLOCK] @ known.T
        dense = cosines.toarray() if hasattr(cosines, "toarray") else cosines
        found.append(vote(own[top_k(dense, min(NEIGHBOURS, len(own)))[0]]))
    return np.concatenate(found)


def _finder(texts: Sequence[str], truth: Rows, seed: int, name: str) -> Contender:
    k = int(truth.max()) + 1

    def chance() -> Outcome:
        random = np.random.default_rng(seed)
        return {"clusters": random.integers(k, size=len(texts)), "silhouette": np.zeros(len(texts))}

    def answer(encoder: Any) -> Outcome:
        vectors, rows = encoded(fitted(encoder, list(dict.fromkeys(texts))), texts)
        items = vectors[rows]
        return {"clusters": _clustered(items, k, seed), "silhouette": silhouettes(items, truth)}

    return contender(name, {"chance": chance}, answer, how=f"k-means {k} {seed}")


def _clustered(items: Any, k: int, seed: int) -> Rows:
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():  # of fewer different vectors than classes, which the measures tell
        warnings.simplefilter("ignore", ConvergenceWarning)
        return np.asarray(KMeans(k, n_init=_STARTS, random_state=seed).fit_predict(items), dtype=np.int64)


def silhouettes(items: Any, truth: Rows) -> NDArray[np.float64]:
    """(n,): from -1 to 1, by the mean cosine distance to each class, which needs no distances between all pairs.

    The mean distance of an item to a class is one less its product with the class's mean, for vectors of length one.
    """
    k = int(truth.max()) + 1
    sizes = np.bincount(truth, minlength=k).astype(np.float64)
    of_class = np.zeros((k, len(truth)), dtype=np.float32)
    of_class[truth, np.arange(len(truth))] = 1.0
    sums = of_class @ items  # (k, d)
    dense = sums.toarray() if hasattr(sums, "toarray") else np.asarray(sums)
    products = np.asarray(items @ dense.T, dtype=np.float64)  # (n, k): with all of a class together
    rows = np.arange(len(truth))
    lengths = np.asarray(items.multiply(items).sum(axis=1)).ravel() if hasattr(items, "multiply") else (items * items).sum(axis=1)
    others = sizes[truth] - 1
    own = 1 - (products[rows, truth] - lengths) / np.maximum(others, 1)
    apart = 1 - products / sizes
    apart[rows, truth] = np.inf
    near = apart.min(axis=1)
    found = (near - own) / np.maximum(np.maximum(own, near), 1e-12)
    return np.where(others > 0, np.clip(found, -1, 1), 0.0)
