"""Anomalies: does what is far from its neighbours turn out to be what people marked?"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vicino.data.marked_rows import read_marked_rows
from vicino.encoders import Encoder
from vicino.errors import InputError, UnknownName
from vicino.evaluation.suite.base import Contender, Outcome, Task
from vicino.evaluation.suite.contenders import contender, encoded, fingerprint_of, fitted, parted
from vicino.evaluation.suite.pairs import told_apart

__all__ = ["DETECTORS", "anomalies"]

NEIGHBOURS = 20
_MOST = 20_000  # rows: more tell no more

Scores = NDArray[np.float64]


def anomalies(path: Path, *, columns: Mapping[str, str] | None = None, split: str | None = None, seed: int = 0) -> Task:
    """Rows of which some are marked as anomalies, as `vicino.data.marked_rows` reads them: are they scored above the others?

    Nothing is told while scoring, as in the unsupervised setting of ADBench (Han et al. 2022). Of rows of numbers, each column
    divided by its spread, a candidate is one of DETECTORS: "distance" from the middle of all, "knn", the mean distance to the 20
    nearest, "lof" (Breunig et al. 2000), "iforest" (Liu et al. 2008). Of texts it is an encoder with a detector, "minilm:lof";
    knn where none is said. Raises InputError where nothing, or everything, is marked, and what reading raises.
    """
    if split is not None:
        raise InputError("rows with marks are not parted: all are scored together", mend="leave --split out")
    read = read_marked_rows(path, columns=columns)
    rows = np.sort(np.random.default_rng(seed).permutation(len(read))[:_MOST])
    truth = read.marked[rows].astype(np.float64)
    if truth.all() or not truth.any():
        raise InputError(
            f"{path} marks {'all' if truth.all() else 'none'} of its rows: there is nothing to tell", mend="mark some: 1"
        )
    few = [f"{_MOST:,} of {len(read):,} rows are asked, drawn by chance"] if len(read) > _MOST else []
    if read.numbers is not None:
        items: Any = _standardised(read.numbers[rows])
        ladder = tuple(DETECTORS)
        prepare = partial(_of_numbers, items, seed)
    else:
        items = [read.texts[row] for row in rows.tolist()]
        ladder = ("length", "tfidf", "lsa:knn", "minilm:knn")
        prepare = partial(_of_texts, items, seed)
    measures = told_apart(truth)
    return Task(
        kind="anomalies",
        name=path.resolve().name,
        about=f"{len(truth):,} rows, of which {int(truth.sum()):,} are marked ({truth.mean():.1%})",
        unit="rows",
        size=len(truth),
        measures=measures,
        shown=("ROC-AUC", "AP"),
        ladder=ladder,
        prepare=prepare,
        fingerprint=fingerprint_of(items, truth),
        seed=seed,
        notes=(*read.notes, *few),
    )


# Detectors ------------------------------------------------------------------------------------------------------------


def _distance(vectors: Any, seed: int) -> Scores:
    del seed
    if hasattr(vectors, "tocsr"):
        middle = np.asarray(vectors.mean(axis=0)).ravel()
        squares = np.asarray(vectors.multiply(vectors).sum(axis=1)).ravel()
        return np.asarray(squares - 2 * (vectors @ middle) + middle @ middle, dtype=np.float64)
    return np.asarray(np.linalg.norm(vectors - np.median(vectors, axis=0), axis=1), dtype=np.float64)


def _knn(vectors: Any, seed: int) -> Scores:
    from sklearn.neighbors import NearestNeighbors

    del seed
    k = min(NEIGHBOURS, vectors.shape[0] - 1)
    return np.asarray(NearestNeighbors(n_neighbors=k).fit(vectors).kneighbors()[0].mean(axis=1))  # of others than itself


def _lof(vectors: Any, seed: int) -> Scores:
    import warnings

    from sklearn.neighbors import LocalOutlierFactor

    del seed
    with warnings.catch_warnings():  # of many equal rows, whose density has no bound
        warnings.simplefilter("ignore", UserWarning)
        found = LocalOutlierFactor(n_neighbors=min(NEIGHBOURS, vectors.shape[0] - 1)).fit(vectors)
    return np.asarray(-found.negative_outlier_factor_, dtype=np.float64)


def _iforest(vectors: Any, seed: int) -> Scores:
    from sklearn.ensemble import IsolationForest

    return np.asarray(-IsolationForest(random_state=seed).fit(vectors).score_samples(vectors), dtype=np.float64)


DETECTORS: Mapping[str, Callable[[Any, int], Scores]] = {
    "distance": _distance,
    "knn": _knn,
    "lof": _lof,
    "iforest": _iforest,
}


# Candidates -----------------------------------------------------------------------------------------------------------


def _of_numbers(vectors: NDArray[np.float64], seed: int, name: str) -> Contender:
    if name not in DETECTORS:
        listing = f"There are: {', '.join(DETECTORS)}"
        raise UnknownName.among(name, DETECTORS, kind="detector", listing=listing)
    return Contender(lambda: {"scores": DETECTORS[name](vectors, seed)}, name == "distance", identity=f"detector {name} {seed}")


def _of_texts(texts: Sequence[str], seed: int, name: str) -> Contender:
    stem, detector = parted(name, tuple(DETECTORS))
    detector = detector or "knn"

    def length() -> Outcome:
        sizes = np.log1p([len(text) for text in texts])
        return {"scores": np.abs(sizes - np.median(sizes))}

    def answer(encoder: Encoder) -> Outcome:
        vectors, rows = encoded(fitted(encoder, list(dict.fromkeys(texts))), texts)
        return {"scores": DETECTORS[detector](vectors[rows], seed)}

    return contender(stem, {"length": length}, answer, how=f"{detector} {seed}")


def _standardised(numbers: NDArray[np.float64]) -> NDArray[np.float64]:
    spread = numbers.std(axis=0)
    scaled: NDArray[np.float64] = (numbers - numbers.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    return scaled
