"""One suite for every entry of INDEXES, each under every similarity: a new index joins by its line in the catalogue."""

from __future__ import annotations

from operator import methodcaller
from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn.base import clone

from vicino import indexes
from vicino.errors import (
    ArtifactError,
    DimensionMismatch,
    DuplicateIds,
    EmptyInput,
    InputError,
    InvalidVectors,
    NotFitted,
    UnknownName,
)
from vicino.indexes import INDEXES, Index

N, DIM, QUERIES = 2000, 32, 50
SIMILARITIES = ("cosine", "dot", "euclidean")
# Normal random vectors are the hardest there are: nothing in them is near. These find so much of them with their default effort.
ROUGH = {"ivf-pq": 0.5, "quantised-graph": 0.5, "binary": 0.5, "disk": 0.5, "diskann": 0.8}


@pytest.fixture(scope="module", params=list(INDEXES))
def family(request, need) -> type[Index]:
    """Each entry whose extra is installed."""
    need(INDEXES.entry(request.param))
    return INDEXES[request.param]


@pytest.fixture(scope="module", params=SIMILARITIES)
def similarity(request, family) -> str:
    """Each similarity that the index ranks by."""
    if request.param not in family.similarities:
        with pytest.raises(InputError, match="does not rank by"):
            family(similarity=request.param).build(np.eye(3))
        pytest.skip(f"{family.__name__} does not rank by {request.param}")
    return request.param


@pytest.fixture(scope="module")
def vectors() -> np.ndarray:
    return np.random.default_rng(7).standard_normal((N, DIM)).astype(np.float32)


@pytest.fixture(scope="module")
def queries() -> np.ndarray:
    return np.random.default_rng(8).standard_normal((QUERIES, DIM)).astype(np.float32)


@pytest.fixture(scope="module")
def index(family, similarity, vectors) -> Index:
    """A built index; only for looking."""
    return family(similarity=similarity).build(vectors, [f"v{row}" for row in range(N)])


def oracle(vectors: np.ndarray, queries: np.ndarray, similarity: str) -> np.ndarray:
    """Every score, in float64 and without tricks: (queries, vectors)."""
    left, right = queries.astype(np.float64), vectors.astype(np.float64)
    if similarity == "euclidean":
        return -np.sqrt(((left[:, None] - right[None]) ** 2).sum(axis=2))
    if similarity == "cosine":
        left /= np.linalg.norm(left, axis=1, keepdims=True)
        right /= np.linalg.norm(right, axis=1, keepdims=True)
    return left @ right.T


def share(found: np.ndarray, best: np.ndarray) -> float:
    """The recall: the mean share of `best` (q, k) that is among `found`."""
    return float(np.mean([len(set(a) & set(b)) / len(b) for a, b in zip(found.tolist(), best.tolist(), strict=True)]))


# What is found --------------------------------------------------------------------------------------------------------


def test_obvious_neighbours_are_found(family, similarity):
    index = family(similarity=similarity).build([[1, 0, 0], [0, 1, 0], [0, 0, 1]], ["x", "y", "z"])
    hits = index.search([[0.9, 0.1, 0.2], [0, 0.2, 0.9]], k=3)
    assert hits.ids.tolist() == [["x", "z", "y"], ["z", "y", "x"]]
    assert hits.scores.dtype == np.float32


def test_answers_are_those_of_brute_force(index, similarity, vectors, queries):
    hits = index.search(queries, k=10)
    scores = oracle(vectors, queries, similarity)
    best = np.argsort(-scores, axis=1, kind="stable")[:, :10]
    found = np.array([[int(name[1:]) for name in row] for row in hits.ids])
    if "exact" in index.capabilities:
        np.testing.assert_array_equal(found, best)
    assert share(found, best) >= ROUGH.get(index.family, 0.95)
    np.testing.assert_allclose(hits.scores, np.take_along_axis(scores, found, axis=1), atol=1e-4)
    assert (np.diff(hits.scores, axis=1) <= 0).all()


def test_with_effort_all_is_found(index, similarity, vectors, queries):
    best = np.argsort(-oracle(vectors, queries, similarity), axis=1, kind="stable")[:, :10]
    efforts = (1, 10, N) if "effort" in index.capabilities else (None,)
    hits = [index.search(queries, k=10, effort=effort) for effort in efforts]
    names = np.array([f"v{row}" for row in range(N)], dtype=object)[best]
    recalls = [share(each.ids, names) for each in hits]
    assert recalls == sorted(recalls)
    assert recalls[-1] >= 0.99


def test_every_vector_finds_itself(index, similarity, vectors):
    asked = vectors[:200]
    if similarity == "dot":  # by which a longer vector may be nearer than the same one
        vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        index, asked = index.clone().build(vectors, [f"v{row}" for row in range(N)]), vectors[:200]
    found = index.search(asked, k=1).ids[:, 0].tolist()
    assert found == [f"v{row}" for row in range(200)]


@pytest.mark.parametrize("k", [3, 4, 1000])
def test_a_k_beyond_the_index_gives_all_there_is(family, similarity, k):
    hits = family(similarity=similarity).build(np.eye(3, dtype=np.float32)).search([[1, 0.5, 0.25]], k=k)
    assert hits.ids.tolist() == [["0", "1", "2"]]
    assert hits.complete


def test_one_vector_is_an_index(family, similarity):
    assert family(similarity=similarity).build([[1.0, 2.0]], ["only"]).search([[2.0, 1.0]], k=5).ids.tolist() == [["only"]]


def test_no_queries_have_no_answers(index):
    hits = index.search(np.empty((0, DIM)), k=5)
    assert len(hits) == 0
    assert hits.ids.shape == hits.scores.shape


def test_ids_are_texts_and_default_to_the_rows(family):
    assert family().build(np.eye(2)).search(np.eye(2), k=1).ids.tolist() == [["0"], ["1"]]
    assert family().build(np.eye(2), [7, 8]).search(np.eye(2), k=1).ids.tolist() == [["7"], ["8"]]


def test_zero_vectors_do_not_disturb(family, similarity):
    index = family(similarity=similarity).build([[0, 0], [1, 0], [0, 1]], ["zero", "x", "y"])
    assert index.search([[1, 0]], k=1).top()[0][0] == "x"
    assert np.isfinite(index.search([[0, 0]], k=3).scores).all()


def test_the_caller_may_change_what_was_given(family, similarity):
    given = np.eye(3, dtype=np.float32)
    index = family(similarity=similarity).build(given)
    given[:] = given[::-1].copy()
    assert index.search([[1, 0.2, 0.1]], k=1).top()[0][0] == "0"


# Restricted search ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("share", [0.01, 0.5, 1.0])
@pytest.mark.parametrize("kind", [set, list, tuple, dict.fromkeys])
def test_a_restricted_search_is_exact_over_what_is_allowed(index, similarity, vectors, queries, share, kind):
    rows = np.sort(np.random.default_rng(9).choice(N, int(N * share), replace=False))
    hits = index.search(queries, k=10, allow=kind(f"v{row}" for row in rows))
    scores = oracle(vectors[rows], queries, similarity)
    best = rows[np.argsort(-scores, axis=1, kind="stable")[:, :10]]
    assert hits.ids.tolist() == [[f"v{row}" for row in each] for each in best]
    assert hits.complete


def test_allowing_little_nothing_or_strangers(index, queries):
    assert index.search(queries[:1], k=10, allow={"v3", "v5", "nobody"}).ids.shape == (1, 2)
    for nobody in (set(), {"nobody"}):
        assert index.search(queries, k=10, allow=nobody).ids.shape == (QUERIES, 0)
        assert index.search(queries, k=10, allow=nobody).top(0) == []


# What is refused ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wrong", [[1.0, 2.0], [["a"]], [[np.nan, 1.0]], [[np.inf, 1.0]], [[]], 3])
def test_what_are_not_vectors_is_named(family, wrong):
    with pytest.raises(InvalidVectors):
        family().build(wrong)
    with pytest.raises(InvalidVectors):
        family().build(np.eye(2)).search(wrong)


def test_another_width_is_named(index):
    with pytest.raises(DimensionMismatch, match=f"31 dimensions where {DIM} are needed"):
        index.search(np.zeros((1, DIM - 1)))


def test_nothing_to_index_is_named(family):
    with pytest.raises(EmptyInput):
        family().build(np.empty((0, 3)))


def test_ids_that_do_not_fit_are_named(family):
    with pytest.raises(DuplicateIds, match="1 of 3 ids repeat"):
        family().build(np.eye(3), ["a", "b", "a"])
    with pytest.raises(DuplicateIds):
        family().build(np.eye(2), [1, "1"])
    with pytest.raises(InputError, match="2 ids for 3 vectors"):
        family().build(np.eye(3), ["a", "b"])


def test_a_refused_build_leaves_the_old_index_as_it_was(family):
    index = family().build(np.eye(3), ["a", "b", "c"])
    for vectors, ids in ((np.eye(4), ["a"] * 4), (np.empty((0, 4)), []), (np.full((1, 4), np.nan), ["a"])):
        with pytest.raises(InputError):
            index.build(vectors, ids)
        assert index.search([[0, 1, 0]], k=1).ids.tolist() == [["b"]]


@pytest.mark.parametrize("k", [0, -1])
def test_less_than_one_is_not_asked_for(index, queries, k):
    with pytest.raises(InputError, match="k is"):
        index.search(queries, k=k)


def test_a_similarity_that_does_not_exist_is_named(family):
    with pytest.raises(InputError, match="does not rank by 'maxism'"):
        family(similarity="maxism").build(np.eye(2))


def test_an_empty_index_says_so(family, tmp_path):
    for use in (lambda: family().search(np.eye(2)), lambda: family().save(tmp_path / "a")):
        with pytest.raises(NotFitted, match=r"call \.build"):
            use()
    assert list(tmp_path.iterdir()) == []


# Sparse rows ----------------------------------------------------------------------------------------------------------


def test_sparse_rows_are_ranked_like_dense_ones_or_refused(family, similarity):
    rng = np.random.default_rng(3)
    vectors = rng.standard_normal((40, 12)).astype(np.float32) * (rng.random((40, 12)) < 0.4)
    queries = rng.standard_normal((6, 12)).astype(np.float32) * (rng.random((6, 12)) < 0.4)
    index = family(similarity=similarity)
    if "sparse" not in family.capabilities:
        with pytest.raises(InputError, match="dense vectors only"):
            index.build(csr_array(vectors))
        return
    expected = index.clone().build(vectors).search(queries, k=40)
    index.build(csr_array(vectors))
    for asked in (csr_array(queries), csr_array(queries).tocsc(), queries):
        hits = index.search(asked, k=40)
        np.testing.assert_allclose(hits.scores, expected.scores, atol=1e-6)
    assert index.search(csr_array(queries), k=3, allow={"1", "2"}).ids.shape == (6, 2)
    with pytest.raises(DimensionMismatch):
        index.search(csr_array(np.eye(5)))
    with pytest.raises(InvalidVectors):
        index.search(csr_array(np.array([[np.nan] + [0.0] * 11])))
    with pytest.raises(EmptyInput):
        family(similarity=similarity).build(csr_array((0, 12)))


# Building again, parameters -------------------------------------------------------------------------------------------


def test_two_builds_give_the_same(index, vectors, queries):
    again = index.clone().build(vectors, [f"v{row}" for row in range(N)])
    if "unseeded" not in index.capabilities:
        equal(again.search(queries), index.search(queries))
        return
    found, best = again.search(queries, effort=N), index.search(queries, effort=N)
    assert share(found.ids, best.ids) >= 0.99


def test_another_build_replaces_the_first(family, similarity, queries):
    index = family(similarity=similarity).build(np.eye(5), list("abcde")).build(np.eye(3), list("xyz"))
    assert index.search(np.eye(3), k=5).ids.shape == (3, 3)
    assert set(index.search(np.eye(3), k=5).ids.ravel()) == set("xyz")


@pytest.mark.parametrize("copy", [methodcaller("clone"), clone], ids=["own", "scikit-learn"])
def test_a_clone_is_empty(index, queries, copy):
    twin = copy(index)
    assert twin.get_params() == index.get_params()
    with pytest.raises(NotFitted):
        twin.search(queries)


def test_a_changed_parameter_asks_for_another_build(family):
    index = family().build(np.eye(3)).set_params(similarity="dot")
    with pytest.raises(NotFitted):
        index.search(np.eye(3))
    with pytest.raises(UnknownName, match="did you mean similarity"):
        index.set_params(similarty="dot")


def test_effort_is_for_those_that_have_it(index, queries):
    equal(index.search(queries, k=10, effort=N), index.search(queries, k=10, effort=N))


# Kept and opened ------------------------------------------------------------------------------------------------------


def files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.rglob("*") if file.is_file())


def equal(left: indexes.base.Hits, right: indexes.base.Hits) -> None:
    assert left.ids.tolist() == right.ids.tolist()
    np.testing.assert_array_equal(left.scores, right.scores, strict=True)


def test_a_saved_index_answers_the_same_to_the_bit(index, queries, tmp_path):
    opened = indexes.load(index.save(tmp_path / "index"))
    assert type(opened) is type(index)
    assert opened.manifest() == index.manifest()
    assert opened.nbytes == index.nbytes >= (0 if "disk" in index.capabilities else N * DIM * 4)
    equal(opened.search(queries), index.search(queries))
    allowed = {"v1", "v2", "v3"}
    equal(opened.search(queries, allow=allowed), index.search(queries, allow=allowed))
    again = opened.save(tmp_path / "again")
    for file in files(tmp_path / "index"):
        assert (again / file.relative_to(tmp_path / "index")).read_bytes() == file.read_bytes()


def test_the_manifest_says_what_it_is(index, similarity):
    said = index.manifest()
    assert (said["index"], said["vectors"], said["dim"]) == (index.family, N, DIM)
    assert said["params"]["similarity"] == similarity


def test_odd_ids_are_kept(family, tmp_path):
    ids = ["", "a/b", "\ud800", "東京", "a\nb"]
    opened = indexes.load(family().build(np.eye(5), ids).save(tmp_path / "index"))
    assert opened.search(np.eye(5), k=1).ids[:, 0].tolist() == ids


def test_damage_is_noticed(family, tmp_path):
    folder = family().build(np.eye(3)).save(tmp_path / "index")
    for file in files(folder):
        whole = file.read_bytes()
        at = min(20, len(whole) - 1)
        for harm in (whole[:-3], whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :], b""):
            file.write_bytes(harm)
            with pytest.raises(ArtifactError):
                indexes.load(folder)
        file.write_bytes(whole)
    assert indexes.load(folder).search(np.eye(3), k=1).ids.shape == (3, 1)


# Change -----------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def changed(family, similarity, vectors, index) -> Index:
    """Built over the first half, then changed until it holds rows 100 to 1,899."""
    if "change" not in family.capabilities:
        with pytest.raises(InputError, match="cannot change"):
            index.add(vectors[:1], ["one more"])
        pytest.skip(f"{family.__name__} cannot change")
    names = [f"v{row}" for row in range(N)]
    made = family(similarity=similarity).build(vectors[: N // 2], names[: N // 2])
    made.remove(names[:50])
    for start in range(N // 2, N, 250):
        made.add(vectors[start : start + 250], names[start : start + 250])
    return made.remove(names[50:100] + names[N - 100 :] + ["a stranger"])


def test_a_changed_index_answers_as_one_built_over_what_it_holds(changed, similarity, vectors, queries):
    expected = INDEXES["exact"](similarity=similarity).build(vectors[100 : N - 100], [f"v{row}" for row in range(100, N - 100)])
    found, wanted = changed.search(queries, 10), expected.search(queries, 10)
    shared = [len(set(a) & set(b)) / 10 for a, b in zip(found.ids, wanted.ids, strict=True)]
    assert np.mean(shared) >= (1 if "exact" in changed.capabilities else 0.95)
    assert changed.manifest()["vectors"] == N - 200
    everything = changed.search(queries[:1], N).top()
    assert len({name for name, _ in everything}) == len(everything) <= N - 200


def test_a_changed_index_is_saved_as_it_is(changed, queries, tmp_path):
    opened = indexes.load(changed.save(tmp_path / "index"))
    assert opened.search(queries, 10).ids.tolist() == changed.search(queries, 10).ids.tolist()
    assert opened.manifest() == changed.manifest()


def test_everything_can_go_and_come_back(changed, family, similarity, vectors, queries):
    made = family(similarity=similarity).build(vectors[:3], ["a", "b", "c"])
    assert made.remove(["a", "b", "c"]).search(queries, 5).ids.shape == (QUERIES, 0)
    made.add(vectors[:3], ["c", "b", "a"])
    assert made.search(vectors[:3], 1).ids.ravel().tolist() == ["c", "b", "a"] or similarity == "dot"


def test_what_cannot_be_added_leaves_the_index_as_it_was(changed, vectors, queries):
    before = changed.search(queries, 5).ids.tolist()
    with pytest.raises(DuplicateIds, match="there already"):
        changed.add(vectors[:1], ["v500"])
    with pytest.raises(DimensionMismatch):
        changed.add(vectors[:1, :-1], ["new"])
    with pytest.raises(InvalidVectors):
        changed.add(np.full((1, DIM), np.nan), ["new"])
    assert changed.search(queries, 5).ids.tolist() == before
    assert changed.add(np.empty((0, DIM)), []).search(queries, 5).ids.tolist() == before


def test_the_callers_vectors_are_never_written_to(changed, family, similarity):
    given = np.eye(4, dtype=np.float32)
    family(similarity=similarity).build(given, list("abcd")).remove(["a"]).add(given[:1], ["e"])
    np.testing.assert_array_equal(given, np.eye(4))
