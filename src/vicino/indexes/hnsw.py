"""HNSW: approximate search on a layered graph of neighbours, through FAISS.

Malkov and Yashunin 2018, "Efficient and robust approximate nearest neighbor search using Hierarchical Navigable Small World
graphs". A restricted search (`allow`) is done exactly over the allowed rows: a filtered walk of the graph loses answers.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from vicino.errors import ArtifactCorrupt, InputError
from vicino.indexes.base import Index
from vicino.indexes.exact import Exact

__all__ = ["HNSW", "require_graph"]

_GONE = 0.25  # the share of removed nodes at which a graph is built again


class HNSW(Index):
    """`m` links a node, `ef_construction` candidates while building, `ef_search` while searching (`effort` overrides it).

    Building is done by one thread, so that the same vectors give the same graph. What is removed stays in the graph, to walk
    over, and is never found; when a quarter of the graph is such, it is built again.
    """

    family: ClassVar[str] = "hnsw"
    capabilities: ClassVar[frozenset[str]] = frozenset({"effort", "change"})

    def __init__(self, *, similarity: str = "cosine", m: int = 16, ef_construction: int = 200, ef_search: int = 64) -> None:
        self.similarity = similarity
        self.m = m
        self.ef_construction = ef_construction
        self.ef_search = ef_search

    def _require_possible(self) -> None:
        super()._require_possible()
        require_graph(self.m, self.ef_construction)

    def _build(self, vectors: NDArray[np.float32]) -> None:
        import faiss

        metric = faiss.METRIC_L2 if self.similarity == "euclidean" else faiss.METRIC_INNER_PRODUCT
        self.graph_ = faiss.IndexHNSWFlat(vectors.shape[1], self.m, metric)
        self.gone_ = np.zeros(0, dtype=bool)
        self._add(vectors)

    def _add(self, vectors: NDArray[np.float32]) -> None:
        import faiss

        self.graph_.hnsw.efConstruction = self.ef_construction
        threads = faiss.omp_get_max_threads()
        faiss.omp_set_num_threads(1)
        try:
            self.graph_.add(vectors)
        finally:
            faiss.omp_set_num_threads(threads)
        self._mark(np.concatenate([self.gone_, np.zeros(len(vectors), dtype=bool)]))

    def _mark(self, gone: NDArray[np.bool_]) -> None:
        """What was removed, and what every search needs to know of it."""
        self.gone_, self.lost_ = gone, int(gone.sum())
        self.there_ = np.packbits(~gone, bitorder="little") if self.lost_ else None

    def _remove(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        self.gone_[rows] = True
        was = np.arange(len(self.gone_))
        if self.gone_.mean() > _GONE:
            was = was[~self.gone_]
            self._build(self._vectors()[was].copy())
        self._mark(self.gone_)
        was[self.gone_] = -1
        return was

    def _search(
        self, queries: NDArray[np.float32], k: int, allow: NDArray[np.int64] | None, effort: int | None
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        if allow is not None:
            exact = Exact(similarity="dot" if self.similarity == "cosine" else self.similarity)
            exact.vectors_ = self._vectors()
            return exact._search(queries, k, allow, None)
        ef = max(k, self.ef_search if effort is None else effort)
        scores, rows = self.graph_.search(queries, k, params=self._walking(ef))
        if self.similarity == "euclidean":
            scores = -np.sqrt(np.maximum(scores, 0))
        return rows, scores

    def _walking(self, ef: int) -> Any:
        """How FAISS is to search: past what was removed."""
        import faiss

        if self.there_ is None:
            return _plainly(ef)
        return faiss.SearchParametersHNSW(efSearch=ef, sel=faiss.IDSelectorBitmap(self.there_))

    def _vectors(self) -> NDArray[np.float32]:
        import faiss

        stored: NDArray[np.float32] = faiss.rev_swig_ptr(
            faiss.downcast_index(self.graph_.storage).get_xb(), self.graph_.ntotal * self.graph_.d
        ).reshape(self.graph_.ntotal, self.graph_.d)
        return stored

    def _arrays(self) -> dict[str, Any]:
        import faiss

        gone = {"gone": self.gone_} if self.lost_ else {}
        return {"graph": faiss.serialize_index(self.graph_), **gone}

    def _restore(self, arrays: Mapping[str, Any]) -> None:
        import faiss

        try:
            self.graph_ = faiss.deserialize_index(arrays["graph"])
        except RuntimeError as error:
            raise ArtifactCorrupt(f"the saved graph cannot be read: {error}", mend="build the index again") from error
        self._mark(arrays.get("gone", np.zeros(self.graph_.ntotal, dtype=bool)))
        if self.ids_ is not None:
            self.ids_[self.gone_] = None

    def _size(self) -> int:
        return len(self.gone_) - self.lost_

    @property
    def nbytes(self) -> int:
        return int(self._arrays()["graph"].nbytes)


def require_graph(m: int, ef_construction: int) -> None:
    """Raise InputError for what would make FAISS end the process."""
    if m < 2 or ef_construction < 1:
        raise InputError(f"a graph of m={m} and ef_construction={ef_construction} cannot be", mend="give 2 links or more, and 1")


@lru_cache(maxsize=64)  # FAISS takes microseconds to make them, and only reads them
def _plainly(ef: int) -> Any:
    import faiss

    return faiss.SearchParametersHNSW(efSearch=ef)
