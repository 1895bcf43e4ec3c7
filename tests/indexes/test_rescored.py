"""Indexes of codes: what they keep, how little that is, their parameters, and files that another library's version wrote."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from vicino import artifacts, indexes
from vicino.errors import ArtifactCorrupt, ArtifactTooNew, DimensionMismatch, InputError
from vicino.indexes import INDEXES, foreign
from vicino.indexes.exact import Exact
from vicino.indexes.kept import Kept
from vicino.indexes.kept_kernels import unit

CODED = ("int8", "binary", "truncated", "ivf-pq", "quantised-graph", "hnsw-sq")
SIMILARITIES = ("cosine", "dot", "euclidean")
N, DIM = 3000, 48


@pytest.fixture(params=CODED)
def family(request, need):
    need(INDEXES.entry(request.param))
    return INDEXES[request.param]


@pytest.fixture(scope="module")
def vectors() -> np.ndarray:
    """In clusters, off the origin, of unlike lengths: as data are, and so that what is cut off at the wrong place shows."""
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((60, DIM)) * 2 + 1
    return (centres[rng.integers(60, size=N)] + rng.standard_normal((N, DIM)) * rng.uniform(0.2, 1, (N, 1))).astype(np.float32)


@pytest.fixture(scope="module")
def queries(vectors) -> np.ndarray:
    return vectors[::60] + np.random.default_rng(1).standard_normal((50, DIM)).astype(np.float32) / 10


def recall(found, expected) -> float:
    return float(np.mean([len(set(a) & set(b)) / len(b) for a, b in zip(found.ids.tolist(), expected.ids.tolist(), strict=True)]))


@pytest.mark.parametrize("similarity", SIMILARITIES)
@pytest.mark.parametrize("keep", ["float32", "int8"])
def test_their_answers_are_near_to_exact_ones(family, similarity, keep, vectors, queries, tmp_path):
    expected = Exact(similarity=similarity).build(vectors).search(queries)
    index = family(similarity=similarity, keep=keep).build(vectors)
    hits = index.search(queries, effort=N)
    assert recall(hits, expected) >= (0.95 if keep == "float32" else 0.8)
    true = Exact(similarity=similarity).build(vectors).search(queries, N)
    names = [dict(zip(ids, scores, strict=True)) for ids, scores in zip(true.ids, true.scores, strict=True)]
    wanted = [[each[name] for name in row] for each, row in zip(names, hits.ids, strict=True)]
    off = np.abs(expected.scores).max() * (1e-2 if keep == "int8" else 1e-5)
    np.testing.assert_allclose(hits.scores, wanted, atol=off)
    opened = indexes.load(index.save(tmp_path / "index"))
    again = opened.search(queries, effort=N)
    assert again.ids.tolist() == hits.ids.tolist()
    np.testing.assert_array_equal(again.scores, hits.scores)
    allowed = {str(row) for row in range(0, N, 7)}
    assert set(opened.search(queries, allow=allowed).ids.ravel()) <= allowed


def test_int8_takes_a_quarter_to_keep(family, vectors):
    whole, lean = (family(keep=keep).build(vectors).nbytes for keep in ("float32", "int8"))
    if family.family == "int8":
        assert lean == N * DIM + 2 * DIM * 4
    elif family.family == "hnsw-sq":  # its codes are all that is left
        assert whole - lean == N * DIM * 4
    else:
        assert whole - lean == N * DIM * 3 - 2 * DIM * 4


def test_what_it_says_of_its_memory_is_what_its_codes_take(vectors, need):
    need(INDEXES.entry("binary"))
    need(INDEXES.entry("ivf-pq"))
    bits = INDEXES["binary"](keep="int8").build(vectors)
    assert bits.nbytes == N * (DIM + DIM // 8) + 4 * (DIM * DIM + DIM) + 2 * DIM * 4
    lists = INDEXES["ivf-pq"](keep="int8", nlist=50).build(vectors)
    codes, numbers, centres = DIM // 4 / 2, 8, 50 * DIM * 4
    assert N * (DIM + codes + numbers) + centres < lists.nbytes < 1.5 * (N * (DIM + codes + numbers) + centres)


def test_more_effort_finds_no_less(family, vectors, queries):
    index = family().build(vectors)
    expected = Exact().build(vectors).search(queries)
    recalls = [recall(index.search(queries, effort=effort), expected) for effort in (1, 20, 400)]
    assert recalls == sorted(recalls)
    with pytest.raises(InputError, match="effort is 0"):
        index.search(queries, effort=0)


def test_another_precision_is_named(family, vectors):
    with pytest.raises(InputError, match="kept as 'int4'"):
        family(keep="int4").build(vectors)


@pytest.mark.parametrize(
    ("name", "params", "error"),
    [
        ("truncated", {"dims": DIM + 1}, DimensionMismatch),
        ("ivf-pq", {"nlist": N + 1}, InputError),
        ("ivf-pq", {"m": DIM + 1}, InputError),
        ("quantised-graph", {"degree": 32 * N}, InputError),
    ],
)
def test_parameters_that_do_not_fit_are_named(name, params, error, vectors, need):
    need(INDEXES.entry(name))
    with pytest.raises(error):
        INDEXES[name](**params).build(vectors)


@pytest.mark.parametrize("n", [2, N], ids=["few", "many"])
@pytest.mark.parametrize(
    ("name", "params", "error"),
    [
        ("truncated", {"dims": 0}, DimensionMismatch),
        ("ivf-pq", {"nlist": 0}, InputError),
        ("ivf-pq", {"m": 0}, InputError),
        ("ivf-pq", {"nprobe": -1}, InputError),
        ("hnsw-sq", {"m": 1}, InputError),
        ("hnsw-sq", {"ef_construction": 0}, InputError),
        ("quantised-graph", {"degree": 0}, InputError),
        ("quantised-graph", {"degree": 48}, InputError),
        ("quantised-graph", {"ef_construction": 0}, InputError),
    ],
)
def test_parameters_that_fit_no_vectors_are_named_also_where_few_need_no_codes(name, params, error, n, vectors, need):
    need(INDEXES.entry(name))
    with pytest.raises(error):
        INDEXES[name](**params).build(vectors[:n])


def test_a_prefix_is_compared_by_its_own_length():
    """What is done with Matryoshka vectors: cut, then normalise. The second one's prefix points where the query does."""
    vectors = np.array([[3.0, 1, 0, 0], [0.2, 0, 3, 3]], dtype=np.float32)
    index = INDEXES["truncated"](dims=2, turn=False, depth=1).build(vectors, ["long", "straight"])
    assert index.search([[1.0, 0, 0, 0]], k=1).top()[0][0] == "straight"


def test_turning_finds_what_lies_in_the_last_dimensions(vectors, queries):
    late = np.concatenate([np.random.default_rng(2).standard_normal((N, DIM)) / 100, vectors], axis=1).astype(np.float32)
    asked = np.concatenate([np.zeros_like(queries), queries], axis=1)
    expected = Exact().build(late).search(asked)
    plain, turned = (
        recall(INDEXES["truncated"](dims=40, turn=turn).build(late).search(asked), expected) for turn in (False, True)
    )
    assert plain < 0.5 < 0.9 < turned


# Kept -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("similarity", SIMILARITIES)
@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_candidates_are_ranked_as_by_sorting_them(similarity, precision, vectors, queries):
    kept = Kept.of(vectors, similarity, precision)
    candidates = np.random.default_rng(3).integers(-1, N, (len(queries), 40))
    candidates = np.array([np.where(np.isin(np.arange(40), np.unique(row, return_index=True)[1]), row, -1) for row in candidates])
    rows, scores = kept.nearest(queries, candidates, 15)
    values = vectors.astype(np.float64)
    if precision == "int8":
        values = kept.ranges[0] + (kept.values.astype(np.float64) + 128) * ((kept.ranges[1] - kept.ranges[0]) / 255.0)
    for query, row, score, given in zip(queries.astype(np.float64), rows, scores, candidates, strict=True):
        near = values @ query if similarity != "euclidean" else -np.sqrt(((values - query) ** 2).sum(axis=1))
        there = given[given >= 0]
        np.testing.assert_allclose(score, np.sort(near[there])[::-1][:15], rtol=1e-4, atol=1e-3)
        np.testing.assert_allclose(near[row], score, rtol=1e-4, atol=1e-3)


def test_fewer_candidates_than_answers_leave_places_empty():
    rows, scores = Kept.of(np.eye(3, dtype=np.float32), "dot", "float32").nearest(
        np.ones((1, 3), dtype=np.float32), np.array([[2, -1, 0]]), 4
    )
    assert rows.tolist() == [[0, 2, -1, -1]]  # equal scores: the earlier row first
    assert scores.tolist() == [[1, 1, -np.inf, -np.inf]]


def test_a_dimension_of_one_value_and_far_ones_survive_int8():
    vectors = np.array([[5, 1e4, 0], [5, 1.001e4, 0], [5, 1.002e4, 0]], dtype=np.float32)
    rows, scores = Kept.of(vectors, "euclidean", "int8").nearest(vectors, np.array([[0, 1, 2]] * 3), 1)
    assert rows.ravel().tolist() == [0, 1, 2]
    np.testing.assert_allclose(scores, 0, atol=0.1)


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_candidates_in_any_order_and_with_gaps_give_the_same(precision, vectors, queries):
    """Rows are asked for ahead of time, unless they come in order: neither may change what is found, nor reach beyond."""
    kept = Kept.of(vectors, "euclidean", precision)
    ahead = np.tile(np.concatenate([[N - 1, -1, 0], np.arange(1, 30), [-1, -1]]), (len(queries), 1))
    mixed = np.random.default_rng(4).permuted(ahead, axis=1)
    for count in (1, 2, 3, ahead.shape[1]):
        given, turned = ahead[:, :count], ahead[:, :count][:, ::-1]
        np.testing.assert_array_equal(kept.nearest(queries, given, 5), kept.nearest(queries, np.ascontiguousarray(turned), 5))
    np.testing.assert_array_equal(kept.nearest(queries, ahead, 5), kept.nearest(queries, mixed, 5))


def test_unit_rows_are_those_of_plain_arithmetic(vectors):
    some = np.concatenate([vectors[:100], np.zeros((1, DIM), dtype=np.float32)])
    some.flags.writeable = False
    lengths = np.linalg.norm(some.astype(np.float64), axis=1, keepdims=True)
    made = unit(some)
    np.testing.assert_allclose(made, some / np.where(lengths, lengths, 1), rtol=1e-6)
    assert made.dtype == np.float32
    np.testing.assert_array_equal(made, np.concatenate([unit(row[None]) for row in some]))


def test_one_query_a_call_in_many_threads_finds_what_one_call_finds(family, vectors, queries):
    index = family().build(vectors)
    efforts = [None, 20, 100]
    together = [index.search(queries, effort=effort) for effort in efforts]
    with ThreadPoolExecutor(4) as pool:
        for effort, all_ in zip(efforts, together, strict=True):
            alone = list(pool.map(lambda row, effort=effort: index.search(queries[row : row + 1], effort=effort), range(50)))
            scores = np.concatenate([each.scores for each in alone])
            assert np.isclose(scores, all_.scores, atol=1e-4).mean() >= 0.99  # of candidates as good one or the other is taken
            assert (np.concatenate([each.ids for each in alone]) == all_.ids).mean() >= 0.99


# Files of other versions --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["ivf-pq", "quantised-graph", "diskann"])
def test_the_librarys_version_is_kept_and_looked_at(name, vectors, need, tmp_path, monkeypatch):
    need(INDEXES.entry(name))
    family = INDEXES[name]
    folder = family().build(vectors).save(tmp_path / "index")
    here = foreign.version(family.package)
    assert artifacts.read(folder).data["library"] == {family.package: here}
    monkeypatch.setattr(foreign, "version", lambda _: "0.0.9")
    with pytest.raises(ArtifactTooNew, match=f"written by {family.package} {here}"):
        indexes.load(folder)
    monkeypatch.setattr(foreign, "version", lambda _: "999.1")
    if family.steady:
        assert indexes.load(folder).search(vectors[:1], 1).ids.tolist() == [["0"]]
    else:
        with pytest.raises(ArtifactCorrupt, match="build the index again"):
            indexes.load(folder)


@pytest.mark.parametrize(("name", "array"), [("ivf-pq", "lists"), ("quantised-graph", "graph")])
def test_codes_that_cannot_be_read_are_damage(name, array, vectors, need, tmp_path):
    need(INDEXES.entry(name))
    folder = INDEXES[name]().build(vectors).save(tmp_path / "index")
    saved = artifacts.read(folder)
    for harmed in (saved.arrays[array][:50], None):
        arrays = {each: value for each, value in saved.arrays.items() if each != array}
        arrays |= {} if harmed is None else {array: harmed}
        artifacts.write(folder, kind="index", data=saved.data, arrays=arrays)
        with pytest.raises(ArtifactCorrupt, match="build the index again"):
            indexes.load(folder)


@pytest.mark.parametrize("similarity", ["cosine", "dot", "euclidean"])
def test_a_query_of_zeros_has_answers_too(family, similarity, vectors):
    hits = family(similarity=similarity).build(vectors).search(np.zeros((2, vectors.shape[1])), 5)
    assert hits.complete
    assert np.isfinite(hits.scores).all()
