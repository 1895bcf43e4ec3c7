"""Splits that do not leak."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vicino.data.graphs import Graph
from vicino.data.records import Judgement, Query
from vicino.data.splits import folds, group_queries, groups, hold_out_edges, non_edges, sample, train_test
from vicino.errors import DimensionMismatch, InputError

relevant_sets = st.lists(st.frozensets(st.sampled_from("abcdefghijklmnop"), max_size=3), min_size=1, max_size=25)


def test_groups_hang_together_over_any_number_of_documents() -> None:
    # 0-1 share b, 1-3 share c, so 0 and 3 are one group though they share nothing
    assert groups([{"a", "b"}, {"b", "c"}, {"x"}, {"c", "d"}, set(), set()]).tolist() == [0, 0, 1, 0, 2, 3]
    assert groups([]).tolist() == []


@given(relevant_sets)
def test_groups_against_repeated_merging(relevant: list[frozenset[str]]) -> None:
    merged: list[tuple[set[int], set[str]]] = []
    for query, found in enumerate(relevant):
        touching = [one for one in merged if one[1] & found]
        merged = [one for one in merged if not one[1] & found]
        merged.append(({query}.union(*(one[0] for one in touching)), set(found).union(*(one[1] for one in touching))))
    labels = groups(relevant)
    assert {frozenset(np.flatnonzero(labels == label).tolist()) for label in set(labels.tolist())} == {
        frozenset(queries) for queries, _ in merged
    }


def test_what_is_alike_belongs_together_too() -> None:
    # 0 and 2 share a, 1 and 2 are alike, 3 is like nobody
    assert groups([{"a"}, {"b"}, {"a"}, {"c"}], alike=[0, 7, 7, 3]).tolist() == [0, 0, 0, 1]
    assert groups([{"0"}, set()], alike=[1, 0]).tolist() == [0, 1]  # a number is no document's id
    with pytest.raises(DimensionMismatch, match="1 numbers for 2 queries"):
        groups([set(), set()], alike=[0])


def test_queries_that_repeat_each_other_or_share_a_document() -> None:
    texts = ["wings lift an aeroplane", "what is tea?", "An aeroplane, wings lift!", "what is coffee made of", "what is it"]
    queries = [Query(str(number), text) for number, text in enumerate(texts)]
    judged = [
        Judgement("1", "d", 1),
        Judgement("3", "d", 2),
        Judgement("0", "e", 1),
        Judgement("4", "e", 0),
        Judgement("9", "e", 1),
    ]
    assert group_queries(queries, judged).tolist() == [0, 1, 0, 1, 2]
    assert group_queries(queries, []).tolist() == [0, 1, 0, 2, 3]
    assert group_queries([], judged).tolist() == []
    with pytest.raises(InputError, match="threshold"):
        group_queries(queries, judged, threshold=0.1)


@given(relevant_sets, st.integers(1, 5), st.integers(0, 3))
def test_no_document_is_relevant_in_two_folds(relevant: list[frozenset[str]], n_folds: int, seed: int) -> None:
    count = len(set(groups(relevant).tolist()))
    if count < n_folds:
        with pytest.raises(InputError, match=f"ask for 1 to {count} folds"):
            folds(relevant, n_folds, seed)
        return
    fold = folds(relevant, n_folds, seed)
    assert set(fold.tolist()) == set(range(n_folds))
    for one in range(n_folds):
        inside = set().union(*(relevant[query] for query in np.flatnonzero(fold == one)))
        outside = set().union(*(relevant[query] for query in np.flatnonzero(fold != one)))
        assert not inside & outside
    # greedy: no fold exceeds the smallest by more than the largest group
    sizes = np.bincount(fold)
    assert sizes.max() - sizes.min() <= np.bincount(groups(relevant)).max()
    assert np.array_equal(fold, folds(relevant, n_folds, seed))


def test_folds_are_even_where_they_can_be() -> None:
    relevant = [{f"d{query // 2}"} for query in range(20)]  # ten pairs
    assert np.bincount(folds(relevant, 5)).tolist() == [4] * 5
    assert {tuple(folds(relevant, 5, seed)) for seed in range(5)} != {tuple(folds(relevant, 5))}  # the seed matters


@given(relevant_sets, st.floats(0.1, 0.9), st.integers(0, 3))
def test_train_and_test_share_no_document(relevant: list[frozenset[str]], share: float, seed: int) -> None:
    try:
        test = train_test(relevant, test_share=share, seed=seed)
    except InputError:
        return  # tested below
    assert 0 < test.sum() <= share * len(relevant) + 1e-6
    tested = set().union(*(one for one, is_test in zip(relevant, test, strict=True) if is_test))
    trained = set().union(*(one for one, is_test in zip(relevant, test, strict=True) if not is_test))
    assert not tested & trained


def test_train_test_takes_the_share_where_groups_allow() -> None:
    assert train_test([{str(query)} for query in range(100)], test_share=0.29).sum() == 29
    for impossible in ([{"a"}, {"a"}], []):
        with pytest.raises(InputError, match="one side empty"):
            train_test(impossible, test_share=0.5)
    with pytest.raises(InputError):
        train_test([{"a"}, {"b"}], test_share=1.0)


@given(st.lists(st.integers()), st.integers(0, 20), st.integers(0, 5))
def test_sample_keeps_the_order(items: list[int], n: int, seed: int) -> None:
    places = sample(range(len(items)), n, seed)
    assert places == sorted(set(places))
    assert len(places) == min(n, len(items))
    assert sample(items, n, seed) == [items[place] for place in places]


def test_sample_of_less_than_nothing() -> None:
    with pytest.raises(InputError):
        sample([1], -1)


# Edges ----------------------------------------------------------------------------------------------------------------

some_edges = st.lists(st.tuples(st.integers(0, 14), st.integers(0, 14)), min_size=5, max_size=60)


def pairs_of(graph: Graph) -> set[frozenset[int]]:
    return {frozenset(pair) for pair in graph.edges()[0].tolist()}


def parts(graph: Graph) -> list[int]:
    from scipy.sparse.csgraph import connected_components

    return connected_components(graph.adjacency(), directed=False)[1].tolist()


@pytest.mark.parametrize("directed", [False, True])
@given(edges=some_edges, share=st.sampled_from([0.1, 0.3, 0.9]), seed=st.integers(0, 3))
def test_held_out_edges_are_in_no_direction_in_the_graph_that_is_left(directed, edges, share, seed):
    sources, targets = zip(*edges, strict=True)
    graph = Graph.of_edges(sources, targets, np.arange(1, len(edges) + 1), nodes=[str(n) for n in range(15)], directed=directed)
    try:
        split = hold_out_edges(graph, test_share=share, seed=seed)
    except InputError:
        plain = {pair for pair in pairs_of(graph) if len(pair) == 2}
        assert len(plain) == 15 - len(set(parts(graph))), "only a forest has nothing to hold out"
        return
    out = {frozenset(pair) for pair in split.held_out.tolist()}
    whole = pairs_of(graph)
    assert out | pairs_of(split.train) == whole
    assert not out & pairs_of(split.train)
    assert all(len(pair) == 2 for pair in out)  # no loops
    assert parts(split.train) == parts(graph)
    assert 0 < len(out) <= max(round(share * len(whole)), 1)
    assert split.train.n_edges + len(split.held_out) == graph.n_edges
    assert split.train.nodes == graph.nodes
    apart = {frozenset(pair) for pair in split.non_edges.tolist()}
    assert not apart & whole
    assert len(apart) == len(split.non_edges) == len(split.held_out)
    assert all(len(pair) == 2 for pair in apart)
    again = hold_out_edges(graph, test_share=share, seed=seed)
    np.testing.assert_array_equal(again.held_out, split.held_out)
    np.testing.assert_array_equal(again.non_edges, split.non_edges)


def test_the_share_is_held_out_where_the_graph_allows_it_and_weights_stay():
    random = np.random.default_rng(0)
    graph = Graph.of_edges(*random.integers(0, 100, (2, 1000)), random.random(1000), nodes=[str(n) for n in range(100)])
    split = hold_out_edges(graph, test_share=0.3)
    assert len(split.held_out) == round(0.3 * len(pairs_of(graph)))
    kept = split.train.adjacency().toarray()
    np.testing.assert_array_equal(kept, np.where(kept, graph.adjacency().toarray(), 0))
    other = hold_out_edges(graph, test_share=0.3, seed=1)
    assert not np.array_equal(other.held_out, split.held_out)


def test_every_non_edge_can_be_drawn_and_no_more():
    graph = Graph.of_edges([0, 1, 2, 2], [1, 2, 3, 2])
    assert sorted(map(tuple, non_edges(graph, 3).tolist())) == [(0, 2), (0, 3), (1, 3)]
    beside = np.array([[3, 0]])
    assert sorted(map(tuple, non_edges(graph, 2, beside=beside).tolist())) == [(0, 2), (1, 3)]
    with pytest.raises(InputError, match="3 non-edges asked for, and 2"):
        non_edges(graph, 3, beside=beside)


def test_what_cannot_be_held_out_is_named():
    path = Graph.of_edges([0, 1], [1, 2])
    with pytest.raises(InputError, match="hold the graph together"):
        hold_out_edges(path)
    with pytest.raises(InputError, match="non-edges"):
        hold_out_edges(Graph.of_edges([0, 1, 2], [1, 2, 0]))
    for share in (0, 1, float("nan")):
        with pytest.raises(InputError, match="test_share"):
            hold_out_edges(path, test_share=share)
