"""quantised-graph: a graph whose links carry their neighbours' bits, so that one look tells how near all of them are.

Gou, Gao, Xu and Long 2025, "SymphonyQG: Towards Symphonious Integration of Quantization and Graph for Approximate Nearest
Neighbor Search", through its authors' library rabitqlib. The fastest of all here, at more than twice HNSW's memory.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from vicino.errors import ArtifactCorrupt, InputError
from vicino.indexes.foreign import Foreign
from vicino.indexes.threads import threads_for

__all__ = ["QuantisedGraph"]

_LEAST_DIM = 64  # the library turns vectors by fast Hadamard transforms of at least so many


class QuantisedGraph(Foreign):
    """`degree` links a node (a multiple of 32), `ef_construction` while building, `ef_search` while searching (`effort`).

    The graph holds each vector in 8 bits a number; of the `ef_search` best by these, a quarter more than were asked for, and at
    least four more, are rescored.
    Not deterministic: the library turns the vectors at random and takes no seed. Two builds answer alike within what `ef_search`
    misses; an index that was saved answers as it did.

    >>> QuantisedGraph().build([[1.0, 0.0], [0.0, 1.0]], ["east", "north"]).search([[1.0, 2.0]], k=1).top()
    [('north', 0.8944271802902222)]
    """

    family: ClassVar[str] = "quantised-graph"
    capabilities: ClassVar[frozenset[str]] = frozenset({"effort", "unseeded"})
    package: ClassVar[str] = "rabitqlib"
    steady: ClassVar[bool] = False
    at_least: ClassVar[int] = 1000

    def __init__(
        self,
        *,
        similarity: str = "cosine",
        keep: str = "float32",
        degree: int = 32,
        ef_construction: int = 200,
        ef_search: int = 64,
    ) -> None:
        self.similarity = similarity
        self.keep = keep
        self.degree = degree
        self.ef_construction = ef_construction
        self.ef_search = ef_search

    def _require_possible(self) -> None:
        super()._require_possible()
        if self.degree < 32 or self.degree % 32:
            raise InputError(f"degree is {self.degree}", mend="give a multiple of 32, less than the number of vectors")
        if self.ef_construction < 1:
            raise InputError(f"ef_construction is {self.ef_construction}", mend="give 1 or more; 200 is usual")

    def _learn(self, vectors: NDArray[np.float32]) -> None:
        from rabitqlib import SymqgIndex

        if self.degree >= len(vectors):
            raise InputError(f"degree is {self.degree}", mend="give a multiple of 32, less than the number of vectors")
        padded = _padded(vectors)
        metric = "l2" if self.similarity == "euclidean" else "ip"
        graph = SymqgIndex(padded.shape[1], self.degree, metric, 8)
        graph.build(padded, self.ef_construction, num_threads=threads_for(len(vectors)))
        self.graph_ = graph

    def _candidates(self, queries: NDArray[np.float32], k: int, effort: int | None) -> NDArray[Any]:
        n = self.graph_.num_points
        wanted = min(n, k + max(4, k // 4))  # 8 bits a number hardly err: twice as many gave no better recall
        ef = min(n, max(wanted, effort or self.ef_search))
        rows, _ = self.graph_.search(_padded(queries), wanted, ef, num_threads=threads_for(len(queries)))
        return np.asarray(rows, dtype=np.int64)

    def _codes(self) -> dict[str, Any]:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, "graph")
            self.graph_.save(str(file))
            return {"graph": np.fromfile(file, dtype=np.uint8)}

    def _recall_codes(self, arrays: Mapping[str, Any]) -> None:
        from rabitqlib import SymqgIndex

        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, "graph")
            try:
                arrays["graph"].tofile(file)
                self.graph_ = SymqgIndex.load(str(file))
            except (KeyError, RuntimeError, ValueError) as error:
                raise ArtifactCorrupt(f"the saved graph cannot be read: {error}", mend="build the index again") from error

    @property
    def _code_bytes(self) -> int:
        return int(self._codes()["graph"].nbytes)


def _padded(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    lacking = _LEAST_DIM - vectors.shape[1]
    return np.pad(vectors, ((0, 0), (0, lacking))) if lacking > 0 else vectors
