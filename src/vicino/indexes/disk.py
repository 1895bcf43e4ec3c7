"""disk: vectors and their codes in files, through Lance's IVF-PQ; little of it in memory, and several processes may read it.

Jégou, Douze and Schmid 2011, "Product Quantization for Nearest Neighbor Search". Centres and codebooks are learnt by FAISS, which
is seeded and many times faster at it; Lance codes all vectors by them, searches, and rescores the best from its files.
"""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from vicino import artifacts
from vicino.errors import ArtifactCorrupt, InputError
from vicino.indexes.on_disk import BLOCK, InFiles, among
from vicino.vectors import top_k

__all__ = ["Disk"]

_AT_LEAST = 1000  # vectors; fewer are compared one by one
_SAMPLE = 1 << 16  # vectors to learn codebooks from


class Disk(InFiles):
    """`nlist` lists, `m` codes of a byte a vector; the `nprobe` nearest lists are read (`effort` overrides it).

    Ten candidates for each answer are rescored, more with more effort. By default `nlist` is the square root of the number of
    vectors, `m` a quarter of their dimensions, `nprobe` an eighth of the lists, at least 16. Memory holds ids and at most `cache`
    bytes of codes. What was built lies in a temporary folder until it is saved; an opened index reads the folder where it is,
    whose files are checked once, at opening. A process that was forked cannot search it: Lance has threads of its own.

    >>> Disk().build([[1.0, 0.0], [0.0, 1.0]], ["east", "north"]).search([[0.0, 1.0]], k=1).top()
    [('north', 1.0)]
    """

    family: ClassVar[str] = "disk"
    capabilities: ClassVar[frozenset[str]] = frozenset({"effort", "disk"})
    part: ClassVar[str] = "table"

    def __init__(
        self,
        *,
        similarity: str = "cosine",
        nlist: int | None = None,
        m: int | None = None,
        nprobe: int | None = None,
        cache: int = 1 << 28,
    ) -> None:
        self.similarity = similarity
        self.nlist = nlist
        self.m = m
        self.nprobe = nprobe
        self.cache = cache

    def _require_possible(self) -> None:
        super()._require_possible()
        if self.cache < 0:
            raise InputError(f"cache is {self.cache}", mend="give 0 bytes or more")
        for name in ("nlist", "m", "nprobe"):
            if (count := getattr(self, name)) is not None and count < 1:
                raise InputError(f"{count} as {name}: so few do not fit any vectors", mend="give 1 or more, or None")

    def _build(self, vectors: NDArray[np.float32]) -> None:
        n, dim = vectors.shape
        nlist = int(n**0.5) if self.nlist is None else self.nlist
        m = -(-dim // 4) if self.m is None else self.m
        if not 1 <= nlist <= n or not 1 <= m <= dim:
            raise InputError(
                f"{nlist} lists and {m} codes do not fit {n:,} vectors of {dim} dimensions",
                mend="ask for fewer lists than vectors and codes than dimensions",
            )
        folder = Path(tempfile.mkdtemp(prefix="vicino-disk-"))
        gone = weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        try:
            some = np.flatnonzero(vectors.any(axis=1)) if self.similarity == "cosine" else np.arange(n)
            self._write(folder / self.part, vectors, some, min(nlist, max(1, len(some))), m)
            self._open(folder / self.part, n, dim)
        except BaseException:
            gone()
            raise

    def _write(self, path: Path, vectors: NDArray[np.float32], some: NDArray[np.int64], nlist: int, m: int) -> None:
        """A table of these rows: by cosine zero vectors are like nothing, which no distance can say."""
        import lance
        import pyarrow as pa

        n, dim = len(some), vectors.shape[1]
        width = dim + -dim % m
        kind = pa.list_(pa.float32(), width)

        def batches() -> Iterator[pa.RecordBatch]:
            for begin in range(0, n, BLOCK):
                rows = some[begin : begin + BLOCK]
                block = _padded(vectors[rows], width)
                yield pa.record_batch(
                    [pa.array(rows), pa.FixedSizeListArray.from_arrays(pa.array(block.ravel()), type=kind)], schema
                )

        schema = pa.schema({"row": pa.int64(), "vector": kind})
        table = lance.write_dataset(pa.RecordBatchReader.from_batches(schema, batches()), path, max_rows_per_file=1 << 30)
        if n < _AT_LEAST:
            return
        centres, books = self._learnt(_padded(vectors[_sample(some, max(_SAMPLE, 64 * nlist))], width), nlist, m)
        table.create_index(
            "vector",
            "IVF_PQ",
            metric=self._metric,
            num_partitions=nlist,
            num_sub_vectors=m,
            ivf_centroids=centres,
            pq_codebook=books,
        )

    def _learnt(self, sample: NDArray[np.float32], nlist: int, m: int) -> tuple[NDArray[Any], NDArray[Any]]:
        """Centres (nlist, d) and codebooks (m, 256, d / m); these of what is left of a vector without its centre, but by dot."""
        import faiss

        dim = sample.shape[1]
        means = faiss.Kmeans(dim, nlist, min_points_per_centroid=1, seed=0)
        means.train(sample)
        some = sample[:: max(1, len(sample) // _SAMPLE)]
        if self.similarity != "dot":
            some = some - means.centroids[means.index.search(some, 1)[1][:, 0]]
        codes = faiss.ProductQuantizer(dim, m, 8)
        codes.cp.min_points_per_centroid = 1
        codes.train(np.ascontiguousarray(some))
        return means.centroids, faiss.vector_to_array(codes.centroids).reshape(m, 256, dim // m)

    def _open(self, folder: Path, n: int, dim: int) -> None:
        import lance

        self.folder_, self.files_ = folder, None
        self.table_ = lance.dataset(folder, index_cache_size_bytes=self.cache, metadata_cache_size_bytes=1 << 24)
        self.width_ = int(self.table_.schema.field("vector").type.list_size)
        if self.width_ < dim:
            raise ValueError(f"its vectors have {self.width_} dimensions")
        self.zero_ = np.empty(0, dtype=np.int64)  # rows that the table lacks
        if self.table_.count_rows() < n:
            there = self.table_.to_table(columns=["row"])["row"].to_numpy()
            self.zero_ = np.setdiff1d(np.arange(n), there)
        self.lists_ = 0
        if n - len(self.zero_) >= _AT_LEAST:
            described = self.table_.stats.index_stats("vector_idx")
            self.lists_ = int(described["indices"][0]["num_partitions"])

    @property
    def _metric(self) -> str:
        return "dot" if self.similarity == "dot" else "l2"  # unit rows: by distance as by cosine

    def _search(
        self, queries: NDArray[np.float32], k: int, allow: NDArray[np.int64] | None, effort: int | None
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        if effort is not None and effort < 1:
            raise InputError(f"effort is {effort}", mend="give 1 or more")
        if allow is not None:
            return self._among(queries, k, allow)
        found = np.full((len(queries), k), -1, dtype=np.int64)
        scores = np.full((len(queries), k), -np.inf, dtype=np.float32)
        probed = min(self.lists_, effort or self.nprobe or max(16, self.lists_ // 8))
        how = {"column": "vector", "k": k, "metric": self._metric, "nprobes": max(1, probed), "use_index": bool(self.lists_)}
        refine = max(10, -(-2 * (effort or probed) // k)) if self.lists_ else None
        for number, query in enumerate(_padded(queries, self.width_)):
            nearest = how | {"q": query, "refine_factor": refine}
            table = self._read(self.table_.to_table, columns=["row", "_distance"], nearest=nearest)
            rows, distances = (table[name].to_numpy() for name in ("row", "_distance"))
            found[number, : len(rows)], scores[number, : len(rows)] = rows, self._scores(distances)
        if self.similarity == "cosine":
            scores[(found >= 0) & ~queries.any(axis=1, keepdims=True)] = 0
        return self._with_zeros(found, scores, self.zero_, k)

    def _with_zeros(
        self, rows: NDArray[np.int64], scores: NDArray[np.float32], zero: NDArray[np.int64], k: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """The k best of these answers and of rows that score 0."""
        if not len(zero):
            return rows, scores
        rows = np.concatenate([rows, np.broadcast_to(zero[:k], (len(rows), len(zero[:k])))], axis=1)
        places, best = top_k(np.pad(scores, ((0, 0), (0, len(zero[:k])))), k)
        return np.take_along_axis(rows, places, axis=1), best

    def _read(self, how: Callable[..., Any], **what: Any) -> Any:
        try:
            return how(**what)
        except OSError as error:
            raise ArtifactCorrupt(
                f"{self.folder_} can no longer be read: {error}", mend="open the index again, or build it"
            ) from error

    def _scores(self, distances: NDArray[np.float32]) -> NDArray[np.float32]:
        """Lance gives squared distances, and one less the product."""
        if self.similarity == "euclidean":
            return -np.sqrt(np.maximum(distances, np.float32(0)))
        return 1 - distances if self.similarity == "dot" else 1 - distances / np.float32(2)

    def _among(self, queries: NDArray[np.float32], k: int, allow: NDArray[np.int64]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Exact over these rows."""
        zero = np.intersect1d(allow, self.zero_)
        rows, scores = among(queries, k, np.setdiff1d(allow, zero), self.similarity, self._vectors)
        return self._with_zeros(rows, scores, zero, k)

    def _vectors(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        places = rows - np.searchsorted(self.zero_, rows)
        taken = self._read(self.table_.take, indices=places, columns=["vector"])
        flat: NDArray[np.float32] = taken["vector"].combine_chunks().flatten().to_numpy()
        return flat.reshape(len(rows), -1)[:, : self.dim_]

    @property
    def nbytes(self) -> int:
        """The codes, as many as the cache takes; ids apart."""
        codes = artifacts.folder_bytes(self.folder_ / "_indices") if self.lists_ else 0
        return int(min(self.cache, codes))


def _padded(vectors: NDArray[np.float32], width: int) -> NDArray[np.float32]:
    lacking = width - vectors.shape[1]
    return np.pad(vectors, ((0, 0), (0, lacking))) if lacking else vectors


def _sample(rows: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    if len(rows) <= most:
        return rows
    return rows[np.sort(np.random.default_rng(0).choice(len(rows), most, replace=False))]
