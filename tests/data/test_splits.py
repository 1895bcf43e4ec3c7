"""Splits that do not leak."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vicino.data.splits import folds, groups, sample, train_test
from vicino.errors import InputError

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
