"""hnsw-sq: HNSW over codes of one byte a number. FAISS makes the graph, a compiled walk of ours answers, the best are rescored.

Malkov and Yashunin 2018, "Efficient and robust approximate nearest neighbor search using Hierarchical Navigable Small World
graphs". A walk looks at hundreds of vectors that lie anywhere in memory: a quarter of the bytes is less to wait for, and rows are
put near to those that they link to (Cuthill and McKee 1969, "Reducing the Bandwidth of Sparse Symmetric Matrices"; that it helps:
Coleman et al. 2022, "Graph Reordering for Cache-Efficient Near Neighbor Search").
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from vicino.errors import ArtifactCorrupt
from vicino.indexes.graph_kernels import Layers
from vicino.indexes.hnsw import HNSW, require_graph
from vicino.indexes.int8 import Int8
from vicino.indexes.kept import aligned
from vicino.indexes.threads import threads_for

__all__ = ["HNSWSQ"]


class HNSWSQ(Int8):
    """`m` links a node, `ef_construction` candidates while building, `ef_search` while searching (`effort` overrides it).

    The walk compares codes of one byte a number (scalar quantisation); of its best a quarter more than were asked for, and at
    least four more, are rescored. With `keep="int8"` the vectors are given up and the codes are all that is kept: some 0.3 of
    HNSW's memory. The same vectors give the same graph.

    >>> HNSWSQ().build([[1.0, 0.0], [0.0, 1.0]], ["east", "north"]).search([[1.0, 2.0]], k=1).top()
    [('north', 0.8944271802902222)]
    """

    family: ClassVar[str] = "hnsw-sq"
    at_least: ClassVar[int] = 100

    def __init__(
        self, *, similarity: str = "cosine", keep: str = "float32", m: int = 16, ef_construction: int = 200, ef_search: int = 64
    ) -> None:
        self.similarity = similarity
        self.keep = keep
        self.m = m
        self.ef_construction = ef_construction
        self.ef_search = ef_search

    def _require_possible(self) -> None:
        super()._require_possible()
        require_graph(self.m, self.ef_construction)

    def _learn(self, vectors: NDArray[np.float32]) -> NDArray[np.int64]:
        made = HNSW(similarity=self.similarity, m=self.m, ef_construction=self.ef_construction)
        made._build(vectors)
        layers = _layers(made.graph_.hnsw)
        del made  # it holds the vectors too
        self.graph_, order = _near_their_links(layers)
        super()._learn(vectors)
        self.codes_ = None if self.codes_ is None else self.codes_.taken(order)
        return order

    def _candidates(self, queries: NDArray[np.float32], k: int, effort: int | None) -> NDArray[Any]:
        codes, n = self.kept_ if self.codes_ is None else self.codes_, len(self.graph_.links)
        wanted = min(n, k + max(4, k // 4))
        ef = min(n, max(wanted, effort or self.ef_search))
        threads = threads_for(len(queries))
        if threads == 1:
            return codes.along(queries, self.graph_, ef, wanted)
        with ThreadPoolExecutor(threads) as pool:
            parts = pool.map(lambda some: codes.along(some, self.graph_, ef, wanted), np.array_split(queries, threads))
            return np.concatenate(list(parts))

    def _codes(self) -> dict[str, Any]:
        return super()._codes() | self.graph_._asdict()

    def _recall_codes(self, arrays: Mapping[str, Any]) -> None:
        super()._recall_codes(arrays)
        graph = Layers(*(arrays[name] for name in Layers._fields))
        _require_whole(graph, len(self.kept_.values))
        self.graph_ = Layers(*map(aligned, graph))

    @property
    def _code_bytes(self) -> int:
        return super()._code_bytes + sum(array.nbytes for array in self.graph_)


def _layers(hnsw: Any) -> Layers:
    """The graph that FAISS made: its links lie row by row, of each those of the lowest layer first."""
    import faiss

    heights, flat = faiss.vector_to_array(hnsw.levels), faiss.vector_to_array(hnsw.neighbors)
    starts = faiss.vector_to_array(hnsw.offsets).astype(np.int64)
    widths = faiss.vector_to_array(hnsw.cum_nneighbor_per_level)
    entry = np.array([hnsw.entry_point], dtype=np.int32)

    def links(rows: NDArray[Any], layer: int) -> NDArray[np.int32]:
        found: NDArray[np.int32] = flat[starts[rows, None] + np.arange(widths[layer], widths[layer + 1])]
        return found

    tall = [np.flatnonzero(heights > layer).astype(np.int32) for layer in range(1, heights.max())]
    places = np.full(len(heights) + 1, -1, dtype=np.int32)  # in the layer below; the last is that of row -1
    layers: list[tuple[NDArray[np.int32], ...]] = []
    total = sum(map(len, tall))
    for layer, there in enumerate(tall, 1):
        rows = np.concatenate([entry, there[there != entry]])
        down = places[rows]
        total -= len(rows)
        places[:] = -1
        places[rows] = np.arange(total, total + len(rows))
        layers.append((rows, places[links(rows, layer)], down))
    if not layers:
        none = np.full((1, 1), -1, dtype=np.int32)
        layers.append((entry, none, none[0]))
    return Layers(links(np.arange(len(heights)), 0), *(np.concatenate(each[::-1]) for each in zip(*layers, strict=True)))


def _near_their_links(graph: Layers) -> tuple[Layers, NDArray[np.int64]]:
    """The same graph of rows in another order, and that order: near to each other are those that link to each other."""
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import reverse_cuthill_mckee

    n = len(graph.links)
    there = graph.links >= 0
    ends = np.concatenate([[0], np.cumsum(there.sum(axis=1))])
    linked = csr_array((np.ones(ends[-1], dtype=np.int8), graph.links[there], ends), shape=(n, n))
    order = reverse_cuthill_mckee(linked, symmetric_mode=False).astype(np.int64)
    place = np.full(n + 1, -1, dtype=np.int32)  # the last is that of row -1
    place[order] = np.arange(n)
    return graph._replace(links=aligned(place[graph.links[order]]), rows=place[graph.rows]), order


def _require_whole(graph: Layers, n: int) -> None:
    """Raise ArtifactCorrupt where a walk among n codes would leave the arrays, or never end."""
    links, rows, across, down = graph
    typed = all(isinstance(array, np.ndarray) and array.dtype == np.int32 and array.size for array in graph)
    if not typed or [links.ndim, rows.ndim, across.ndim, down.ndim] != [2, 1, 2, 1]:
        raise ArtifactCorrupt("the saved graph is none", mend="build the index again")
    p = len(rows)
    fits = len(links) == n and len(across) == len(down) == p
    if not (fits and links.max() < n and 0 <= rows.min() <= rows.max() < n and across.max() < p > down.max()):
        raise ArtifactCorrupt("the saved graph links to rows that are not there", mend="build the index again")
    if ((down >= 0) & (down <= np.arange(p))).any():
        raise ArtifactCorrupt("the saved graph has layers in no order", mend="build the index again")
