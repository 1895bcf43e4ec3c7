"""Fusion worked by hand: reciprocal ranks, scaled scores, ties, weights, reasons."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vicino.data.records import Document, Hits, Recipe
from vicino.errors import InputError, UnknownName
from vicino.metrics import parse as metric
from vicino.retrieval import from_recipe
from vicino.retrieval.dense import Dense
from vicino.retrieval.fused import Fused, combine, metric_by_weights, pool, weight_grid


def hits(*rows: dict[str, float], width: int = 0) -> Hits:
    """Answers as {id: score}, best first, padded to the longest or to `width`."""
    width = max(width, *map(len, rows))
    ids = [[*row, *[None] * (width - len(row))] for row in rows]
    scores = [[*row.values(), *[-np.inf] * (width - len(row))] for row in rows]
    return Hits(
        np.array(ids, dtype=object).reshape(len(rows), width), np.array(scores, dtype=np.float32).reshape(len(rows), width)
    )


LEXICAL = hits({"a": 9.0, "b": 6.0, "c": 3.0})
DENSE = hits({"c": 0.8, "d": 0.4})


def test_reciprocal_ranks_by_hand():
    found = combine(pool([LEXICAL, DENSE], "rrf"), np.ones(2), 10)
    assert found.top() == [
        ("c", pytest.approx(1 / 63 + 1 / 61)),
        ("a", pytest.approx(1 / 61)),
        ("b", pytest.approx(1 / 62)),  # found second by both parts; the earlier part's comes first
        ("d", pytest.approx(1 / 62)),
    ]
    sharp = combine(pool([LEXICAL, DENSE], "rrf", rrf_k=0), np.ones(2), 1)
    assert sharp.top() == [("c", pytest.approx(1 / 3 + 1))]


def test_scaled_scores_by_hand():
    found = combine(pool([LEXICAL, DENSE], "convex"), np.array([0.6, 0.4]), 10)
    assert found.top() == [("a", pytest.approx(0.6)), ("c", pytest.approx(0.4)), ("b", pytest.approx(0.3)), ("d", 0)]


def test_scores_are_scaled_from_the_lowest_possible_where_it_is_known():
    whole = hits({"a": 9.0, "b": 6.0, "c": 3.0}, width=9)  # found all that it could
    full = hits({"c": 0.8, "d": 0.4})  # would have found more if asked
    (one,) = pool([whole, full], "convex", floors=[0.0, -1.0])
    assert one.ids.tolist() == ["a", "b", "c", "d"]
    np.testing.assert_allclose(one.shares[:, 0], [1, 2 / 3, 1 / 3, 0])  # d scores nothing: the floor
    np.testing.assert_allclose(one.shares[:, 1], [1.4 / 1.8, 1.4 / 1.8, 1, 1.4 / 1.8])  # at most what the last one found has
    (other,) = pool([whole, full], "convex", floors=[None, -1.0])
    np.testing.assert_allclose(other.shares[:, 0], [1, 0.5, 0, 0])
    np.testing.assert_allclose(other.shares[:, 1], one.shares[:, 1])


def test_a_part_whose_scores_are_all_alike_gives_them_all_one():
    (only,) = pool([hits({"a": 5.0, "b": 5.0})], "convex")
    assert only.shares.tolist() == [[1], [1]]


def test_a_part_that_found_nothing_takes_no_part():
    for method in ("rrf", "convex"):
        found = combine(pool([hits({}), DENSE], method), np.ones(2), 10)
        assert found.ids.tolist() == [["c", "d"]]
        assert combine(pool([hits({}), hits({})], method), np.ones(2), 10).ids.shape == (1, 0)


def test_each_query_may_have_weights_of_its_own():
    pools = pool([hits({"a": 1.0}, {"a": 1.0}), hits({"b": 1.0}, {"b": 1.0})], "convex")
    found = combine(pools, np.array([[1.0, 0.0], [0.0, 1.0]]), 1)
    assert found.ids.tolist() == [["a"], ["b"]]


@given(
    st.lists(st.dictionaries(st.sampled_from("abcdefg"), st.floats(-5, 5, width=32), max_size=6), min_size=1, max_size=3),
    st.sampled_from(["rrf", "convex"]),
    st.integers(1, 8),
)
def test_fusion_finds_the_union_ranked_and_in_bounds(parts, method, k):
    listed = [hits(dict(sorted(part.items(), key=lambda pair: -pair[1]))) for part in parts]
    found = combine(pool(listed, method), np.full(len(parts), 1 / len(parts)), k)
    names = [name for name, _ in found.top()]
    union = set().union(*parts)
    assert len(names) == len(set(names)) == min(k, len(union))
    assert set(names) <= union
    scores = found.scores[0].tolist()
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= score <= 1 for score in scores)


def test_what_cannot_be_fused_is_named():
    with pytest.raises(UnknownName, match="rrf"):
        pool([LEXICAL, DENSE], "rff")
    with pytest.raises(InputError, match="different numbers of queries"):
        pool([LEXICAL, hits({"a": 1.0}, {"b": 1.0})], "rrf")


# Weights --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("parts", "size"), [(1, 1), (2, 21), (3, 66), (4, 286)])
def test_the_grid_is_convex_without_repeats_and_begins_with_each_part_alone(parts, size):
    grid = weight_grid(parts)
    assert grid.shape == (size, parts)  # C(21, 1), C(12, 2), C(13, 3)
    assert grid[:parts].tolist() == np.eye(parts).tolist()
    np.testing.assert_allclose(grid.sum(axis=1), 1)
    assert len(np.unique(grid.round(9), axis=0)) == size
    assert (grid >= 0).all()


def test_the_metric_of_every_weight_by_hand():
    # The first query's answer is found by part 0 only, the second's by part 1 only.
    parts = [hits({"a": 2.0, "x": 1.0}, {"x": 2.0, "y": 1.0}), hits({"x": 2.0, "y": 1.0}, {"b": 2.0, "x": 1.0})]
    grid = np.array([[1.0, 0.0], [0.0, 1.0], [0.9, 0.1]])
    table = metric_by_weights(pool(parts, "convex"), [{"a": 1}, {"b": 1}], metric("MRR"), grid, depth=10)
    assert table.tolist() == [[1, 0, 1], [0, 1, 0.5]]


def test_a_part_of_no_weight_takes_no_part():
    (one,) = pool([hits({"a": 3.0, "b": 3.0, "c": 1.0}), hits({"d": 2.0, "c": 2.0, "b": 1.0})], "convex")
    assert combine([one], np.array([1.0, 0.0]), 9).ids.tolist() == [["a", "b", "c", None]]
    assert combine([one], np.array([0.0, 1.0]), 9).ids.tolist() == [["d", "c", "b", None]]  # its own order, ties too
    assert combine([one], np.array([0.5, 0.5]), 9).ids.tolist() == [["a", "b", "c", "d"]]


@given(
    st.lists(st.dictionaries(st.sampled_from("abcdefg"), st.integers(0, 3), max_size=6), min_size=2, max_size=3),
    st.integers(0, 2),
    st.sampled_from(["rrf", "convex"]),
)
def test_one_part_alone_is_that_part(parts, which, method):
    listed = [hits(dict(sorted(part.items(), key=lambda pair: -pair[1]))) for part in parts]
    which %= len(parts)
    alone = combine(pool(listed, method), np.eye(len(parts))[which], 9)
    assert [name for name, _ in alone.top()] == [name for name, _ in listed[which].top()]


# The retriever --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def parts(documents) -> list[Dense]:
    return [Dense(encoder=name).build(documents) for name in ("tfidf", "lsa")]


def test_the_parts_are_asked_and_combined(parts):
    fused = Fused.of_built(parts, method="convex", weights=[0.25, 0.75])
    answers, floors = [part.search(["tea"], 200) for part in parts], [part.floor for part in parts]
    assert floors == [-1.0, -1.0]
    expected = combine(pool(answers, "convex", floors=floors), np.array([0.25, 0.75]), 5)
    found = fused.search("tea", k=5)
    assert found.ids.tolist() == expected.ids.tolist()
    np.testing.assert_array_equal(found.scores, expected.scores)


def test_a_shallow_depth_is_deepened_to_k(parts):
    assert len(Fused.of_built(parts, depth=1).search("tea", k=12).top()) == 12


def test_the_reasons_add_up(parts):
    for options in ({}, {"method": "convex", "weights": [0.3, 0.7]}):
        hits = Fused.of_built(parts, **options).search("black tea", k=5, explain=True)
        for (_, score), why in zip(hits.top(), hits.why[0], strict=True):
            assert why["method"] == options.get("method", "rrf")
            assert sum(part["adds"] for part in why["parts"]) == pytest.approx(score, rel=1e-5)
            assert [part["why"]["part"] for part in why["parts"] if part["why"]] == [
                name for name, part in zip(("tfidf", "lsa"), why["parts"], strict=True) if part["rank"]
            ]


def test_parts_of_other_documents_do_not_fuse(parts, documents):
    with pytest.raises(InputError, match="different documents"):
        Fused.of_built([parts[0], Dense(encoder="lsa").build(documents[:5])])


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"method": "rff"}, "did you mean rrf"),
        ({"weights": [1.0]}, "do not fit 2 parts"),
        ({"weights": [1.0, -1.0]}, "do not fit"),
        ({"weights": [0.0, 0.0]}, "not all 0"),
        ({"rrf_k": -1}, "rrf_k 0 or more"),
        ({"depth": 0}, "depth 1 or more"),
        ({"weights": [1.0, float("nan")]}, "do not fit"),
        ({"weigths": [1.0, 1.0]}, "did you mean weights"),
    ],
)
def test_options_that_do_not_exist_or_fit_are_named(parts, documents, options, says):
    with pytest.raises(InputError, match=says):
        Fused.of_built(parts, **options)
    plain = Recipe("fused", options, tuple(part.recipe for part in parts))
    with pytest.raises(InputError, match=says):
        from_recipe(plain).build(documents)


def test_nothing_to_fuse_is_named(documents):
    with pytest.raises(InputError, match="nothing to fuse"):
        from_recipe(Recipe("fused")).build(documents)


def test_fusions_may_be_fused(documents):
    inner = Recipe("fused", {}, (Recipe("dense", {"encoder": "tfidf"}), Recipe("dense", {"encoder": "lsa"})))
    outer = from_recipe(Recipe("fused", {}, (inner, Recipe("dense", {"encoder": "tfidf"})))).build(documents)
    assert outer.search("black tea", k=1).top()[0][0] == "d3"
    assert outer.search("black tea", k=1, explain=True).why[0][0]["parts"][0]["why"]["method"] == "rrf"


def test_a_document_that_no_part_finds_is_no_answer():
    documents = [Document("a", "tea"), Document("b", "bread")]
    fused = from_recipe(Recipe("fused", {}, (Recipe("dense", {"encoder": "tfidf"}),))).build(documents)
    assert fused.nbytes > 0
    assert not fused.simple
