"""HNSW: effort buys recall, and what may be missing is said."""

from __future__ import annotations

import numpy as np
import pytest

from vicino import artifacts, indexes
from vicino.errors import ArtifactCorrupt, InputError
from vicino.indexes import INDEXES
from vicino.indexes.exact import Exact


@pytest.fixture(scope="module")
def HNSW(need):  # noqa: N802 - it is the class
    need(INDEXES.entry("hnsw"))
    return INDEXES["hnsw"]


@pytest.fixture(scope="module")
def vectors() -> np.ndarray:
    return np.random.default_rng(0).standard_normal((1500, 48)).astype(np.float32)


def recall(found, expected) -> float:
    pairs = zip(found.ids.tolist(), expected.ids.tolist(), strict=True)
    return float(np.mean([len(set(a) & set(b)) / len(b) for a, b in pairs]))


def test_more_effort_finds_no_less(HNSW, vectors):
    queries = np.random.default_rng(1).standard_normal((60, 48)).astype(np.float32)
    expected = Exact().build(vectors).search(queries, k=10)
    index = HNSW(m=4, ef_construction=20, ef_search=10).build(vectors)
    low, high = recall(index.search(queries), expected), recall(index.search(queries, effort=1500), expected)
    assert low < 0.9 < high
    assert HNSW(m=4, ef_construction=20, ef_search=1500).build(vectors).search(queries).ids.tolist() == (
        index.search(queries, effort=1500).ids.tolist()
    )


def test_the_number_of_threads_does_not_matter(HNSW, vectors):
    import faiss

    before = faiss.omp_get_max_threads()
    graphs = []
    for threads in (1, 2):
        faiss.omp_set_num_threads(threads)
        graphs.append(HNSW().build(vectors)._arrays()["graph"].tobytes())
        assert faiss.omp_get_max_threads() == threads
    faiss.omp_set_num_threads(before)
    assert graphs[0] == graphs[1]


def test_answers_that_the_graph_did_not_reach_are_owned_up_to(HNSW):
    # Two far clusters by dot product, few links: a walk may end before it has seen k of them.
    rng = np.random.default_rng(2)
    vectors = np.concatenate([rng.standard_normal((300, 8)) * 0.01 + 5, rng.standard_normal((300, 8)) * 0.01 - 5])
    index = HNSW(similarity="euclidean", m=2, ef_construction=2, ef_search=2).build(vectors)
    hits = index.search(vectors[:20], k=600)
    missing = hits.ids == None  # noqa: E711 - elementwise
    assert missing.any()
    assert not hits.complete
    assert (hits.scores[missing] == -np.inf).all()
    assert all(len(hits.top(row)) == int((~missing[row]).sum()) for row in range(20))
    assert index.search(vectors[:1], k=5, allow={"1", "2"}).complete


def test_a_graph_that_cannot_be_read_is_damage(HNSW, tmp_path):
    folder = HNSW().build(np.eye(3)).save(tmp_path / "index")
    saved = artifacts.read(folder)
    arrays = {"ids": ["0", "1", "2"], "graph": saved.arrays["graph"][:50]}
    artifacts.write(folder, kind="index", data=saved.data, arrays=arrays)
    with pytest.raises(ArtifactCorrupt, match="build the index again"):
        indexes.load(folder)


def test_what_one_search_was_told_is_not_told_to_another(HNSW, vectors):
    """FAISS's parameters are kept by their effort: what was removed of one index is there in the other."""
    whole, less = HNSW().build(vectors), HNSW().build(vectors)
    gone = {str(row) for row in range(100)}
    less.remove(gone)
    before = {effort: whole.search(vectors[:100], 5, effort=effort).ids.tolist() for effort in (80, 40)}
    for effort, expected in [*before.items()] * 2:
        assert not set(less.search(vectors[:100], 5, effort=effort).ids.ravel()) & gone
        assert whole.search(vectors[:100], 5, effort=effort).ids.tolist() == expected
        assert {name for row in expected for name in row} & gone


@pytest.mark.parametrize("params", [{"m": 0}, {"m": 1}, {"m": -1}, {"ef_construction": 0}])
def test_parameters_that_would_end_the_process_are_named(HNSW, vectors, params):
    with pytest.raises(InputError, match="cannot be"):
        HNSW(**params).build(vectors)
