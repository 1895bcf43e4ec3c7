"""What the nearest vectors of known class say: votes of k neighbours, the nearest other, the ranking of all.

Vectors are (n, d) rows, compared by cosine; labels are (n,) whole numbers from 0. Everything gives one value an item, so that
`vicino.metrics.significance` can say what it is worth.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vicino.errors import DimensionMismatch, InputError
from vicino.metrics.ranking import Judged, average_precision
from vicino.metrics.values import Values
from vicino.vectors import as_vectors, normalise, top_k

__all__ = ["class_average_precision", "knn_classes", "nearest", "recall_at_1", "vote"]

_CELLS = 2**24  # cosines in memory at once: 64 MB

Rows = NDArray[np.int64]


def nearest(known: ArrayLike, asked: ArrayLike, k: int) -> Rows:
    """The rows of the k nearest of `known` to each of `asked`, nearest first: (n, d), (m, d) -> (m, min(k, n)).

    Of equally near ones that with the smaller row comes first. Raises what `vicino.vectors.as_vectors` raises, and InputError
    for a k below 1.

    >>> nearest([[1, 0], [0, 1], [1, 1]], [[2, 0.1]], 2).tolist()
    [[0, 2]]
    """
    return np.concatenate([top_k(cosines, k)[0] for _, cosines in _blocks(known, asked)])


def vote(classes: ArrayLike) -> Rows:
    """What most of k neighbours are; of as many, what the nearest of them is: (m, k), nearest first -> (m,).

    Raises InputError for another shape, or without neighbours.

    >>> vote([[2, 0, 0], [2, 0, 1], [1, 0, 0]]).tolist()
    [0, 2, 0]
    """
    told = np.asarray(classes)
    if told.ndim != 2 or not told.shape[1] or told.dtype.kind not in "iu":
        raise InputError(f"classes of shape {told.shape} are no neighbours' (m, k)", mend="give the classes of k neighbours")
    votes = np.zeros(told.shape, dtype=np.int64)  # of each neighbour's class
    for column in range(told.shape[1]):
        votes += told == told[:, column : column + 1]
    best: Rows = told[np.arange(len(told)), votes.argmax(axis=1)]  # the first, and so the nearest, of the greatest
    return best


def knn_classes(known: ArrayLike, labels: ArrayLike, asked: ArrayLike, k: int = 20) -> Rows:
    """The class of each of `asked` by its k nearest of `known`, whose `labels` are given: (m,).

    Raises what `nearest` raises, and DimensionMismatch for as many vectors as not labels.

    >>> knn_classes([[1, 0], [0.9, 0.1], [0, 1]], [0, 0, 1], [[1, 0.2], [0.1, 1]], k=1).tolist()
    [0, 1]
    """
    rows = nearest(known, asked, k)
    return vote(_as_labels(labels, np.shape(known)[0])[rows])


def recall_at_1(vectors: ArrayLike, labels: ArrayLike) -> Values:
    """1 where the nearest other vector is of the same class, else 0: (n, d) and (n,) -> (n,).

    The usual measure of metric learning (Jégou et al. 2011; Song et al. 2016). An item whose class no other has counts 0. Raises
    what `knn_classes` raises, and InputError for fewer than two items.

    >>> recall_at_1([[1, 0], [1, 0.1], [0, 1]], [0, 0, 1]).tolist()
    [1.0, 1.0, 0.0]
    """
    classes = _as_labels(labels, np.shape(vectors)[0])
    if len(classes) < 2:
        raise InputError("the nearest other of one item is none", mend="give at least two items")
    found = np.empty(len(classes))
    for rows, cosines in _blocks(vectors, vectors):
        cosines[np.arange(len(rows)), rows] = -np.inf
        found[rows] = classes[cosines.argmax(axis=1)] == classes[rows]
    return found


def class_average_precision(
    known: ArrayLike, labels: ArrayLike, asked: ArrayLike, asked_labels: ArrayLike, *, themselves: ArrayLike | None = None
) -> Values:
    """Of each asked the average precision of all that is known, ranked by cosine, where its own class is relevant: (m,).

    Their mean is the mean average precision of retrieval by class. Where the asked are among the known, `themselves` (m,) are
    their rows there, which are left out. Raises what `knn_classes` raises.

    >>> class_average_precision([[1, 0], [0.8, 0.6], [0, 1]], [0, 1, 0], [[1, 0]], [0]).round(4).tolist()
    [0.8333]
    """
    classes = _as_labels(labels, np.shape(known)[0])
    own = _as_labels(asked_labels, np.shape(asked)[0])
    out = None if themselves is None else _as_labels(themselves, len(own))
    found = np.empty(len(own))
    for rows, cosines in _blocks(known, asked):
        if out is not None:
            cosines[np.arange(len(rows)), out[rows]] = np.inf
        order = np.argsort(-cosines, axis=1, kind="stable")[:, 0 if out is None else 1 :]
        gains = (classes[order] == own[rows][:, None]).astype(np.float64)
        every = np.ones(gains.shape, dtype=np.bool_)
        relevant = gains.sum(axis=1).astype(np.int64)
        found[rows] = average_precision(Judged(gains, every, every, np.sort(gains)[:, ::-1], relevant))
    return found


def _blocks(known: ArrayLike, asked: ArrayLike) -> Iterator[tuple[Rows, NDArray[np.float32]]]:
    """The rows of some of the asked, and their cosines with all that is known."""
    left = as_vectors(known)
    right = normalise(as_vectors(asked, dim=left.shape[1]))
    left = normalise(left)
    if not len(left):
        raise InputError("there are no vectors of known class", mend="give at least one")
    step = max(1, _CELLS // len(left))
    for at in range(0, max(len(right), 1), step):
        rows = np.arange(at, min(at + step, len(right)))
        yield rows, right[rows] @ left.T


def _as_labels(labels: ArrayLike, n: int) -> Rows:
    array = np.asarray(labels)
    if array.ndim != 1 or len(array) != n:
        raise DimensionMismatch(f"{n} vectors and labels of shape {array.shape}", mend="give one class for each vector")
    if array.dtype.kind not in "iu":
        raise InputError(f"labels of type {array.dtype}", mend="number the classes: np.unique(labels, return_inverse=True)[1]")
    return array.astype(np.int64)
