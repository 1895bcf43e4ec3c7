"""Exact search: identical to brute force, ties, blocks and far-off vectors included."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of
from scipy.sparse import csr_array

from vicino.indexes import exact
from vicino.indexes.exact import Exact

# Whole numbers: their products and sums are exact in float32, so that ties are ties.
WHOLE = st.integers(-3, 3)


@given(
    vectors=arrays_of.arrays(np.float32, st.tuples(st.integers(1, 9), st.just(3)), elements=WHOLE),
    queries=arrays_of.arrays(np.float32, st.tuples(st.integers(1, 4), st.just(3)), elements=WHOLE),
    k=st.integers(1, 12),
    similarity=st.sampled_from(["dot", "euclidean"]),
    sparse=st.booleans(),
)
def test_answers_and_ties_are_those_of_a_stable_sort(vectors, queries, k, similarity, sparse):
    if similarity == "dot":
        scores = queries.astype(float) @ vectors.T.astype(float)
    else:
        scores = -np.sqrt(((queries[:, None].astype(float) - vectors[None]) ** 2).sum(axis=2))
    best = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    index = Exact(similarity=similarity).build(csr_array(vectors) if sparse else vectors)
    assert index.search(queries, k=k).ids.tolist() == [[str(row) for row in each] for each in best]


@pytest.mark.parametrize("similarity", ["cosine", "dot", "euclidean"])
@pytest.mark.parametrize("sparse", [False, True])
def test_equal_vectors_tie_and_the_earlier_row_comes_first(similarity, sparse):
    row = np.random.default_rng(0).standard_normal(48).astype(np.float32)
    vectors = np.repeat(row[None], 37, axis=0)
    index = Exact(similarity=similarity).build(csr_array(vectors) if sparse else vectors)
    for queries in (row[None], np.repeat(row[None], 5, axis=0)):
        hits = index.search(queries, k=9)
        assert hits.ids.tolist() == [[str(place) for place in range(9)]] * len(queries)


@pytest.mark.parametrize("cells", [1, 7, 100, 1 << 24])
def test_blocks_do_not_show(monkeypatch, cells):
    rng = np.random.default_rng(1)
    vectors, queries = rng.integers(-9, 9, (30, 5)), rng.integers(-9, 9, (17, 5))
    expected = Exact(similarity="dot").build(vectors).search(queries, k=4)
    monkeypatch.setattr(exact, "_CELLS", cells)
    assert Exact(similarity="dot").build(vectors).search(queries, k=4).ids.tolist() == expected.ids.tolist()


def test_small_distances_far_from_the_origin_are_told_apart():
    rng = np.random.default_rng(2)
    vectors = (1000 + rng.standard_normal((200, 64)) / 100).astype(np.float32)
    queries = vectors[:20] + np.float32(0.001)
    hits = Exact(similarity="euclidean").build(vectors).search(queries, k=5)
    slow = np.sqrt(((queries[:, None].astype(float) - vectors[None]) ** 2).sum(axis=2))
    assert hits.ids.tolist() == [[str(row) for row in each] for each in np.argsort(slow, axis=1, kind="stable")[:, :5]]


def test_its_size_is_that_of_its_numbers():
    assert Exact().build(np.eye(3)).nbytes == 3 * 3 * 4
    grown = Exact().build(np.eye(8), list("abcdefgh")).add(np.eye(8)[:1], ["i"])
    assert grown.nbytes == grown.remove(["a", "b"]).nbytes == (8 + 1 + 2) * 8 * 4  # the free places too
    assert Exact().build(np.eye(8)).remove(["3"]).nbytes == 8 * 8 * 4
    assert Exact().build(csr_array(np.eye(3))).nbytes == 3 * 4 + 3 * 4 + 4 * 4  # data, columns, row starts


@pytest.mark.parametrize("offset", [0.0, 50.0, 3000.0])
def test_a_rough_look_first_loses_no_near_one(offset):
    """Far from the origin float32 cannot tell neighbours apart: what it leaves to float64 must still hold them all."""
    random = np.random.default_rng(0)
    rows = (random.normal(size=(5000, 24)) + offset).astype(np.float32)
    rows[100:140] = rows[7]  # ties go to the earlier row
    asked = (rows[:40] + 0.1 * random.normal(size=(40, 24))).astype(np.float32)
    found = Exact(similarity="euclidean").build(rows).search(asked, 10)
    slow = np.sqrt(((asked[:, None].astype(np.float64) - rows[None].astype(np.float64)) ** 2).sum(axis=2))
    order = np.argsort(slow, axis=1, kind="stable")[:, :10]
    assert found.ids.tolist() == order.astype(str).tolist()
    np.testing.assert_allclose(-found.scores, np.take_along_axis(slow, order, axis=1), rtol=1e-3)


def test_what_was_added_and_removed_is_looked_at_roughly_too():
    random = np.random.default_rng(1)
    rows = random.normal(size=(6000, 8)).astype(np.float32)
    index = Exact(similarity="euclidean").build(rows[:4000], [str(row) for row in range(4000)])
    index.search(rows[:1], 3)
    index.add(rows[4000:], [str(row) for row in range(4000, 6000)])
    index.search(rows[:1], 3)
    index.remove([str(row) for row in range(1000)])
    assert index.search(rows[3000:3005], 1).ids.ravel().tolist() == [str(row) for row in range(3000, 3005)]
    assert index.search(rows[5000:5005], 1).ids.ravel().tolist() == [str(row) for row in range(5000, 5005)]
    assert not set(index.search(rows[:5], 5).ids.ravel()) & {str(row) for row in range(1000)}
