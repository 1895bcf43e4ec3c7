"""diskann: a graph of neighbours in files, through zvec's DiskANN; codes in memory say which of its nodes are worth reading.

Jayaram Subramanya, Devvrit, Kadekodi, Krishaswamy and Simhadri 2019, "DiskANN: Fast Accurate Billion-point Nearest Neighbor
Search on a Single Node". A graph made for inner products loses answers where lengths differ (zvec 0.8: recall .71 where
distances had 1.0), so all is ranked by distance: rows get one more number that makes them equally long, by which the nearest row
is that of the largest product (Bachrach et al. 2014, "Speeding Up the Xbox Recommender System Using a Euclidean Transformation
for Inner-Product Spaces").
"""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from vicino import artifacts
from vicino.errors import ArtifactCorrupt, ArtifactError, InputError, MissingExtra
from vicino.indexes.foreign import require_readable, written_by
from vicino.indexes.kept import Kept
from vicino.indexes.on_disk import InFiles, among
from vicino.indexes.threads import threads_for

__all__ = ["DiskANN"]

_AT_LEAST = 1000  # vectors; fewer are compared one by one
_GRAPH, _VECTORS = "graph", "vectors.npy"
_PUT = 1000  # rows that zvec takes at a time
_WIDEST = 20_000  # dimensions that it takes, less one for products
_LIFTED = 2  # times as many candidates where rows got that one: 1 of 12 graphs lost one of 50 best answers, 0 of 40 with these


class DiskANN(InFiles):
    """`max_degree` links a node, `build_list_size` candidates while building, `list_size` while searching (`effort`).

    Memory holds ids and `m` codes of a byte a vector, by default one for four dimensions. The files hold every vector twice: in
    the graph, and in rows for restricted searches and exact scores. Several threads and processes may search the same folder,
    which is only read; what was built lies in a temporary folder until it is saved. Building takes some four times as long as
    HNSW's, and cannot be interrupted while zvec links the graph.
    Not deterministic: zvec takes no seed. Two builds answer alike within what `list_size` misses; an index that was saved answers
    as it did.

    >>> DiskANN().build([[1.0, 0.0], [0.0, 1.0]], ["east", "north"]).search([[0.0, 1.0]], k=1).top()
    [('north', 1.0)]
    """

    family: ClassVar[str] = "diskann"
    part: ClassVar[str] = "files"
    capabilities: ClassVar[frozenset[str]] = frozenset({"effort", "disk", "unseeded"})
    package: ClassVar[str] = "zvec"
    steady: ClassVar[bool] = False
    _end: weakref.finalize[Any, Any] | None = None

    def __init__(
        self,
        *,
        similarity: str = "cosine",
        max_degree: int = 64,
        build_list_size: int = 64,
        list_size: int = 64,
        m: int | None = None,
    ) -> None:
        self.similarity = similarity
        self.max_degree = max_degree
        self.build_list_size = build_list_size
        self.list_size = list_size
        self.m = m

    def _build(self, vectors: NDArray[np.float32]) -> None:
        zvec = _zvec()
        dim = vectors.shape[1]
        m = self._codes(dim)
        if not (4 <= self.max_degree <= 100 and 10 <= self.build_list_size <= 100 and 1 <= m <= min(dim, 1024)):  # zvec's limits
            raise InputError(
                f"a graph of max_degree={self.max_degree}, build_list_size={self.build_list_size} and m={m} cannot be",
                mend="give 4 to 100 links, 10 to 100 candidates, and as many codes as dimensions at most",
            )
        if dim >= _WIDEST:
            raise InputError(f"{dim:,} dimensions are too many for DiskANN", mend=f"shorten them to less than {_WIDEST:,}")
        folder = Path(tempfile.mkdtemp(prefix="vicino-diskann-"))
        try:
            self._require_room(folder, *vectors.shape)
            np.save(folder / _VECTORS, vectors)
            if len(vectors) >= _AT_LEAST:
                self._write(zvec, folder / _GRAPH, vectors, m)
            self._open(folder, *vectors.shape, temporary=True)
        except BaseException as error:
            shutil.rmtree(folder, ignore_errors=True)
            if isinstance(error, OSError | RuntimeError):
                raise _unwritten(folder, str(error)) from error
            raise

    def _require_room(self, folder: Path, n: int, dim: int) -> None:
        """Where the disk fills up while zvec writes, the process dies (SIGBUS): its files are mapped into memory."""
        node = 4 * (dim + 1) + 4 * (self.max_degree + 1)  # of which only whole ones lie in a page
        wanted = n * (8 * dim + 2 * node + self._codes(dim) + 64) + (1 << 25)
        free = shutil.disk_usage(folder).free
        if free < wanted:
            raise _unwritten(folder, f"{free >> 20:,} MB are free, {wanted >> 20:,} are needed")

    def _write(self, zvec: Any, path: Path, vectors: NDArray[np.float32], m: int) -> None:
        """The graph of these rows, each under its number."""
        lift = _lift(vectors, self.similarity)
        width = vectors.shape[1] + (lift is not None)
        metric = zvec.MetricType.L2
        field = zvec.VectorSchema("vector", zvec.DataType.VECTOR_FP32, width, zvec.FlatIndexParam(metric_type=metric))
        made = zvec.create_and_open(str(path), zvec.CollectionSchema(name="rows", fields=[], vectors=[field]))
        try:
            for begin in range(0, len(vectors), _PUT):
                block = vectors[begin : begin + _PUT]
                if lift is not None:
                    block = np.column_stack([block, lift[begin : begin + _PUT]])
                rows = [zvec.Doc(id=str(row), vectors={"vector": vector}) for row, vector in enumerate(block, begin)]
                if not all(status.ok() for status in made.insert(rows)):
                    raise _unwritten(path, "zvec did not take all rows")
            made.flush()
            graph = zvec.DiskAnnIndexParam(
                metric_type=metric, max_degree=self.max_degree, list_size=self.build_list_size, pq_chunk_num=m
            )
            made.create_index("vector", graph, zvec.IndexOption(concurrency=threads_for(len(vectors))))
        finally:
            made.close()

    def _open(self, folder: Path, n: int, dim: int, *, temporary: bool = False) -> None:
        """Take the place of what was open, if all can be opened."""
        vectors = np.load(folder / _VECTORS, mmap_mode="r", allow_pickle=False).view(np.ndarray)
        if vectors.shape != (n, dim) or vectors.dtype != np.float32:
            raise ValueError(f"{_VECTORS} holds {vectors.shape} {vectors.dtype}")
        graph: Any = _opened(folder / _GRAPH, n, dim) if n >= _AT_LEAST else None
        if self._end is not None:
            self._end()
        self._end = weakref.finalize(self, _close, graph, folder if temporary else None, os.getpid())
        self.folder_, self.files_, self.graph_ = folder, None, graph
        self.kept_ = Kept.restored({"kept": vectors}, self.similarity, (n, dim))

    def _search(
        self, queries: NDArray[np.float32], k: int, allow: NDArray[np.int64] | None, effort: int | None
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        if effort is not None and effort < 1:
            raise InputError(f"effort is {effort}", mend="give 1 or more")
        vectors = self.kept_.values
        wanted = max(k, effort or self.list_size)
        if allow is None and self.graph_ is not None and len(queries) and wanted < len(vectors):
            return self.kept_.nearest(queries, self._candidates(queries, k, wanted), k)
        rows = np.arange(len(vectors)) if allow is None else allow
        return among(queries, k, rows, self.similarity, lambda block: vectors[block])

    def _candidates(self, queries: NDArray[np.float32], k: int, list_size: int) -> NDArray[np.int64]:
        """The k rows that the graph gives for each query, -1 for none."""
        import zvec

        threads = threads_for(len(queries))
        width = self.graph_.schema.vector("vector").dimension
        param: Any = zvec.DiskAnnQueryParam(list_size=list_size * (_LIFTED if width > queries.shape[1] else 1))
        asked = np.pad(queries, ((0, 0), (0, width - queries.shape[1])))

        def one(query: NDArray[np.float32]) -> NDArray[np.int64]:
            found: NDArray[np.int64] = self.graph_.query_internal_ids(zvec.Query("vector", vector=query, param=param), topk=k)
            return found

        try:
            with ThreadPoolExecutor(threads) as pool:
                places = np.stack(list((map if threads == 1 else pool.map)(one, asked)))
            names = self.graph_.resolve_internal_ids(places.ravel())
            rows = np.array([-1 if name is None else int(name) for name in names], dtype=np.int64)
            if rows.max() >= len(self.kept_.values):
                raise ValueError("it names a row that is not there")
        except (RuntimeError, ValueError) as error:
            raise ArtifactCorrupt(
                f"{self.folder_} can no longer be read: {error}", mend="open the index again, or build it"
            ) from error
        return rows.reshape(places.shape)

    def manifest(self) -> dict[str, Any]:
        return super().manifest() | written_by(self.package)

    @classmethod
    def _from_artifact(cls, saved: artifacts.Artifact) -> Self:
        _zvec()
        require_readable(saved, cls.package, steady=cls.steady)
        return super()._from_artifact(saved)

    def _codes(self, dim: int) -> int:
        return min(1024, -(-dim // 4)) if self.m is None else self.m

    @property
    def nbytes(self) -> int:
        """The codes and their books; ids apart."""
        if self.graph_ is None:
            return 0
        n, dim = map(int, self.kept_.values.shape)
        return n * self._codes(dim) + 256 * dim * 4


def _lift(vectors: NDArray[np.float32], similarity: str) -> NDArray[np.float32] | None:
    """What one more number (n,) makes all rows equally long; None where distances rank as the similarity does without it."""
    if similarity == "euclidean":
        return None
    if similarity == "cosine":  # unit rows, and zeros, which are like nothing
        lift = ~vectors.any(axis=1)
    else:
        squares = np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64)
        lift = np.sqrt(squares.max() - squares)
    return np.asarray(lift, dtype=np.float32) if lift.any() else None


def _unwritten(path: Path, why: str) -> ArtifactError:
    return ArtifactError(f"cannot write {path}: {why}", mend="free some space, or set TMPDIR to a folder that has it")


def _opened(path: Path, n: int, dim: int) -> Any:
    """The graph of n rows, for reading only: so can others at the same time. Raises RuntimeError, ValueError."""
    zvec = _zvec()
    graph = zvec.open(str(path), zvec.CollectionOption(read_only=True))
    field = graph.schema.vector("vector")
    if graph.stats.doc_count != n or field is None or field.dimension not in (dim, dim + 1):
        graph.close()
        raise ValueError(f"{_GRAPH} is of other vectors")
    return graph


def _close(graph: Any, temporary: Path | None, process: int) -> None:
    """Give the files back, in the process that opened them: one that it forked shares its lock and its folder."""
    if os.getpid() != process:
        return
    if graph is not None:
        graph.close()
    if temporary is not None:
        shutil.rmtree(temporary, ignore_errors=True)


def _zvec() -> Any:
    """The library, which would write its complaints to standard output; whoever began it before us keeps their settings."""
    try:
        import zvec
    except ImportError as error:
        raise MissingExtra.named("zvec", needed_by="DiskANN indexes") from error
    with suppress(RuntimeError):
        zvec.init(log_level=zvec.LogLevel.FATAL)
    return zvec
