"""Exact search: every query against every vector, in blocks. The reference for all other indexes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from vicino.indexes.base import Index
from vicino.vectors import distances, top_k

__all__ = ["Exact"]

_CELLS = 1 << 24  # scores held at a time: 64 MB
_SIEVED = 2_000  # vectors from which on a rough look first is faster
_BLOCK = 8_192  # rows in float64 at a time


class Exact(Index):
    """Blocked brute force over dense or sparse rows; ties go to the earlier row.

    >>> Exact().build([[1.0, 0.0], [0.0, 1.0]], ["east", "north"]).search([[1.0, 2.0]], k=1).top()
    [('north', 0.8944271802902222)]
    """

    family: ClassVar[str] = "exact"
    capabilities: ClassVar[frozenset[str]] = frozenset({"exact", "sparse", "change"})

    def __init__(self, *, similarity: str = "cosine") -> None:
        self.similarity = similarity

    _squares: tuple[NDArray[Any], NDArray[np.float32]] | None = None  # of which vectors, and their squared lengths
    _room: NDArray[np.float32] | None = None  # the rows, and free places after them for more

    def _build(self, vectors: Any) -> None:
        self._room = None
        self.vectors_ = vectors if self.similarity == "cosine" else vectors.copy()  # unit rows are a copy already

    def _add(self, vectors: Any) -> None:
        n, more = self.vectors_.shape[0], vectors.shape[0]
        if hasattr(vectors, "tocsr"):
            from scipy.sparse import vstack

            self.vectors_ = vstack([self.vectors_, vectors], format="csr")
            return
        if self._room is None or len(self._room) < n + more:
            self._room = np.empty((n + more + n // 4, self.vectors_.shape[1]), dtype=np.float32)
            self._room[:n] = self.vectors_
        self._room[n : n + more] = vectors
        self.vectors_ = self._room[: n + more]

    def _remove(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """The last rows move to the free places, so that it costs what it removes."""
        n = self.vectors_.shape[0]
        left = n - len(rows)
        was = np.arange(left)
        free = rows[rows < left]
        was[free] = np.setdiff1d(np.arange(left, n), rows)
        if hasattr(self.vectors_, "tocsr"):
            self.vectors_ = self.vectors_[was]
        else:
            self._room = self.vectors_ if self._room is None else self._room
            self.vectors_[free] = self.vectors_[was[free]]
            self.vectors_ = self.vectors_[:left]
        return was

    def _search(
        self,
        queries: Any,
        k: int,
        allow: NDArray[np.int64] | None,
        effort: int | None,  # noqa: ARG002 - exact has no effort
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        vectors = self.vectors_ if allow is None else self.vectors_[allow]
        n, k = vectors.shape[0], min(k, vectors.shape[0])
        rows = np.empty((queries.shape[0], k), dtype=np.int64)
        scores = np.empty((queries.shape[0], k), dtype=np.float32)
        if k:
            step = max(1, _CELLS // n)
            for begin in range(0, queries.shape[0], step):
                part = slice(begin, begin + step)
                rows[part], scores[part] = self._best(queries[part], vectors, k)
        return (rows if allow is None else allow[rows]), scores

    def _best(self, queries: Any, vectors: Any, k: int) -> tuple[NDArray[Any], NDArray[Any]]:
        if self.similarity != "euclidean" or hasattr(vectors, "tocsr") or vectors.shape[0] < _SIEVED:
            return top_k(self._scores(queries, vectors), k)
        return self._sieved(queries, vectors, k)

    def _sieved(self, queries: NDArray[Any], vectors: NDArray[Any], k: int) -> tuple[NDArray[Any], NDArray[Any]]:
        """Euclidean: a float32 product leaves the few that can be among the nearest, for all that it may err; those in float64.

        |a - b|² = |a|² + |b|² - 2ab, and a product of d numbers in float32 errs by d ε |a| |b| at most.
        """
        squares = self._squares_of(vectors)
        sieve = queries @ vectors.T
        sieve *= -2
        sieve += squares
        lengths = np.linalg.norm(queries.astype(np.float64), axis=1)
        longest = float(np.sqrt(squares.max()))
        err = 2 * (vectors.shape[1] + 4) * float(np.finfo(np.float32).eps) * (lengths + longest) * longest
        borders = np.partition(sieve, k - 1, axis=1)[:, k - 1] + 2 * err
        rows = np.empty((len(queries), k), dtype=np.int64)
        scores = np.empty((len(queries), k), dtype=np.float32)
        for at, border in enumerate(borders):
            near = np.flatnonzero(sieve[at] <= border)
            best, found = top_k(self._scores(queries[at : at + 1], vectors[near]), k)
            rows[at], scores[at] = near[best[0]], found[0]
        return rows, scores

    def _squares_of(self, vectors: NDArray[Any]) -> NDArray[np.float32]:
        """The squared lengths of all rows, remembered for the vectors of this index."""
        known = self._squares
        if known is None or known[0] is not vectors:
            found = np.concatenate(
                [np.square(part, dtype=np.float64).sum(axis=1) for part in np.array_split(vectors, 1 + len(vectors) // _BLOCK)]
            )
            self._squares = known = (vectors, found.astype(np.float32))
        return known[1]

    def _scores(self, queries: Any, vectors: Any) -> NDArray[np.float32]:
        if self.similarity == "euclidean":
            return -distances(queries, vectors)
        products = queries @ vectors.T
        return np.asarray(products.toarray() if hasattr(products, "toarray") else products)

    def _arrays(self) -> dict[str, Any]:
        return {"vectors": self.vectors_}

    def _restore(self, arrays: Mapping[str, Any]) -> None:
        self.vectors_ = arrays["vectors"]

    @property
    def nbytes(self) -> int:
        stored = self.vectors_
        if hasattr(stored, "indptr"):
            return int(stored.data.nbytes + stored.indices.nbytes + stored.indptr.nbytes)
        return int(stored.nbytes if self._room is None else self._room.nbytes)
