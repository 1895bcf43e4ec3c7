"""Neighbourhoods of items: two are near where the same users met them."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from vicino.data.interactions import Interactions
from vicino.errors import InputError
from vicino.progress import track
from vicino.retrieval.recommenders.base import Float32, Recommender, Rows, weighted

if TYPE_CHECKING:
    from scipy.sparse import csr_array

__all__ = ["ItemKNN"]

_BLOCK = 1 << 23  # similarities in memory at a time


class ItemKNN(Recommender):
    """Scores an item by the sum of its similarities to what a user met: those of its `neighbours` nearest items only.

    The similarity of two items is x·y / (|x| |y| + `shrinkage`) of their columns, a cosine that is small where few users tell.
    Deshpande and Karypis 2004, "Item-based top-N recommendation algorithms"; shrinkage as Bell and Koren 2007.

    >>> seen = Interactions.of(["ann", "ann", "bob", "bob", "eve"], ["tea", "figs", "tea", "figs", "tea"])
    >>> ItemKNN(shrinkage=0).fit(seen).recommend("eve", 1).ids.tolist()
    [['figs']]
    """

    family = "item-knn"
    grid = tuple({"neighbours": n, "shrinkage": s} for n in (50, 200) for s in (0.0, 10.0, 50.0))

    def __init__(self, *, neighbours: int = 100, shrinkage: float = 10.0, weighting: str = "binary") -> None:
        self.neighbours = neighbours
        self.shrinkage = shrinkage
        self.weighting = weighting

    def _fit(self, interactions: Interactions) -> None:  # noqa: ARG002 - the history says it all
        from scipy.sparse import vstack

        if self.neighbours < 1 or not 0 <= self.shrinkage < np.inf:
            raise InputError(
                f"neighbours={self.neighbours} and shrinkage={self.shrinkage} cannot be",
                mend="give neighbours of 1 or more, such as 100, and a shrinkage of 0 or more, such as 10",
            )
        met = weighted(self.history_, self.weighting)
        columns = met.T.tocsr()
        lengths = np.sqrt(np.asarray((columns * columns).sum(axis=1), np.float32))
        blocks = track(_blocks(columns, met), "finding neighbours", unit="blocks of items")
        self.similarities_: csr_array = vstack([self._nearest(columns, met, lengths, block) for block in blocks], format="csr")

    def _nearest(self, columns: csr_array, met: csr_array, lengths: Float32, block: slice) -> csr_array:
        """The rows of similarities of a block of items, of each row only the largest; of equal ones those of the first items."""
        from scipy.sparse import csr_array

        shared = csr_array(columns[block] @ met)
        shared.sort_indices()
        rows = np.repeat(np.arange(block.start, block.stop), np.diff(shared.indptr))
        values = shared.data / (lengths[rows] * lengths[shared.indices] + np.float32(self.shrinkage))
        kept = rows != shared.indices  # nobody is a neighbour of itself
        for start, end in zip(shared.indptr[:-1].tolist(), shared.indptr[1:].tolist(), strict=True):
            own = np.where(kept[start:end], values[start:end], 0)
            if len(own) > self.neighbours:
                border = np.partition(own, -self.neighbours)[-self.neighbours]
                better = own > border
                better[np.flatnonzero(own == border)[: self.neighbours - np.count_nonzero(better)]] = True
                kept[start:end] &= better
        places = rows[kept] - block.start, shared.indices[kept]
        return csr_array((values[kept], places), shape=shared.shape, dtype=np.float32)

    def _scores(self, rows: Rows) -> Float32:
        found = weighted(self.history_[rows], self.weighting) @ self.similarities_.T
        return np.asarray(found.toarray(), np.float32)

    def _similar(self, row: int) -> Float32:
        return np.asarray(self.similarities_[[row]].toarray()[0], np.float32)

    def _arrays(self) -> dict[str, Any]:
        return {"similarities": self.similarities_}

    def _restore(self, arrays: Mapping[str, Any]) -> None:
        self.similarities_ = arrays["similarities"]


def _blocks(columns: csr_array, met: csr_array) -> list[slice]:
    """Items that are looked at together, so that their products with all others take some hundred megabytes at most."""
    cells = (columns > 0) @ np.diff(met.indptr).astype(np.float64)  # the most that a row can have
    work = np.cumsum(np.minimum(cells, columns.shape[0]) + 1)
    cuts = np.searchsorted(work, np.arange(_BLOCK, work[-1], _BLOCK), side="right")
    bounds = np.unique([0, *cuts.tolist(), len(work)]).tolist()
    return [slice(start, end) for start, end in pairwise(bounds)]
