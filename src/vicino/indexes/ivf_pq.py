"""IVF-PQ: vectors in lists about centres, as codes of half a byte for four dimensions, through FAISS; the best rescored.

Jégou, Douze and Schmid 2011, "Product Quantization for Nearest Neighbor Search"; the codes are of 4 bits and scanned in
registers: André, Kermarrec and Le Scouarnec 2017, "Accelerated Nearest Neighbor Search with Quick ADC".
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from vicino.errors import ArtifactCorrupt, InputError
from vicino.indexes.foreign import Foreign

__all__ = ["IVFPQ"]


class IVFPQ(Foreign):
    """`nlist` lists, `m` codes of 4 bits a vector; the `nprobe` nearest lists are scanned (`effort` overrides it).

    The `depth` best are rescored: by default 10 for each answer and 2 for each list, 100 or more. `nlist` is by default twice the
    square root of the number of vectors, `m` a quarter of their dimensions, `nprobe` an eighth of the lists, at least 16. Small
    and quick to build; with `keep="int8"` it takes 0.3 of exact search's memory. The same vectors on the same machine with as
    many threads give the same index (FAISS seeds its k-means).

    >>> IVFPQ().build([[1.0, 0.0], [0.0, 1.0]], ["east", "north"]).search([[1.0, 2.0]], k=1).top()
    [('north', 0.8944271802902222)]
    """

    family: ClassVar[str] = "ivf-pq"
    package: ClassVar[str] = "faiss-cpu"
    steady: ClassVar[bool] = True
    at_least: ClassVar[int] = 1000

    def __init__(
        self,
        *,
        similarity: str = "cosine",
        keep: str = "float32",
        nlist: int | None = None,
        m: int | None = None,
        nprobe: int | None = None,
        depth: int | None = None,
    ) -> None:
        self.similarity = similarity
        self.keep = keep
        self.nlist = nlist
        self.m = m
        self.nprobe = nprobe
        self.depth = depth

    def _require_possible(self) -> None:
        super()._require_possible()
        for name in ("nlist", "m", "nprobe"):
            if (count := getattr(self, name)) is not None and count < 1:
                raise InputError(f"{name} is {count}", mend="give 1 or more, or None")

    def _learn(self, vectors: NDArray[np.float32]) -> None:
        import faiss

        n, dim = vectors.shape
        nlist = int(2 * n**0.5) if self.nlist is None else self.nlist
        m = -(-dim // 4) if self.m is None else self.m
        if nlist > n or m > dim:
            raise InputError(
                f"{nlist} lists and {m} codes do not fit {n:,} vectors of {dim} dimensions",
                mend="ask for fewer lists than vectors and codes than dimensions",
            )
        metric = faiss.METRIC_L2 if self.similarity == "euclidean" else faiss.METRIC_INNER_PRODUCT
        padded = _padded(vectors, m)
        centres = faiss.IndexFlat(padded.shape[1], metric)
        codes = faiss.IndexIVFPQFastScan(centres, padded.shape[1], nlist, m, 4, metric)
        codes.cp.min_points_per_centroid = codes.pq.cp.min_points_per_centroid = 1  # else it writes warnings to stderr
        codes.train(padded)
        codes.add(padded)
        self._hold(faiss.deserialize_index(faiss.serialize_index(codes)))  # as it will be opened: nothing but what is kept

    def _hold(self, lists: Any) -> None:
        self.lists_, self.nlist_, self.m_ = lists, lists.nlist, lists.pq.M  # FAISS takes microseconds to say them

    def _candidates(self, queries: NDArray[np.float32], k: int, effort: int | None) -> NDArray[Any]:
        probed = min(self.nlist_, effort or self.nprobe or max(16, self.nlist_ // 8))
        depth = min(len(self.kept_.values), max(k, self.depth or max(100, 10 * k, 2 * (effort or probed))))
        rows: NDArray[np.int64] = self.lists_.search(_padded(queries, self.m_), depth, params=_probing(probed))[1]
        if self.similarity != "euclidean" and rows.item(rows.argmin()) < 0:
            rows[~queries.any(axis=1)] = np.arange(depth)  # equally near to all; FAISS finds none
        return rows

    def _codes(self) -> dict[str, Any]:
        import faiss

        return {"lists": faiss.serialize_index(self.lists_)}

    def _recall_codes(self, arrays: Mapping[str, Any]) -> None:
        import faiss

        try:
            self._hold(faiss.deserialize_index(arrays["lists"]))
        except (KeyError, RuntimeError) as error:
            raise ArtifactCorrupt(f"the saved lists cannot be read: {error}", mend="build the index again") from error

    @property
    def _code_bytes(self) -> int:
        return int(self._codes()["lists"].nbytes)


@lru_cache(maxsize=64)  # FAISS takes microseconds to make them, and only reads them
def _probing(nprobe: int) -> Any:
    import faiss

    return faiss.SearchParametersIVF(nprobe=nprobe)


def _padded(vectors: NDArray[np.float32], parts: int) -> NDArray[np.float32]:
    """With zeros after the last dimension, so that they can be cut into equal parts."""
    lacking = -vectors.shape[1] % parts
    return np.pad(vectors, ((0, 0), (0, lacking))) if lacking else vectors
