"""Seeded splits of queries that do not leak: queries that share a relevant document stay on one side.

Otherwise what is learnt from one query's document is asked again by its neighbour in the test, and memory passes for
understanding. Queries that hang together, over any number of shared documents, are one group: a connected component of
the graph of queries and their relevant documents.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Collection, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from vicino.errors import InputError

__all__ = ["folds", "groups", "sample", "train_test"]

T = TypeVar("T")


def groups(relevant: Sequence[Collection[str]]) -> NDArray[np.intp]:
    """For each query the number of its group, (n,): counted from 0 in the order of each group's first query.

    `relevant[i]` are the ids of query i's relevant documents; a query without any is a group of its own.

    >>> groups([{"a"}, {"b"}, {"a", "c"}, {"c"}, set()])
    array([0, 1, 0, 0, 2])
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    numbers: dict[str, int] = {}
    pairs = [(query, numbers.setdefault(one, len(numbers))) for query, found in enumerate(relevant) for one in found]
    queries, documents = np.array(pairs, dtype=np.intp).reshape(-1, 2).T
    size = len(relevant) + len(numbers)
    edges = coo_array((np.ones(len(pairs)), (queries, documents + len(relevant))), shape=(size, size))
    labels = connected_components(edges.tocsr(), directed=False)[1][: len(relevant)]
    first: dict[int, int] = {}
    return np.array([first.setdefault(int(label), len(first)) for label in labels], dtype=np.intp)


def folds(relevant: Sequence[Collection[str]], n_folds: int, seed: int = 0) -> NDArray[np.intp]:
    """For each query its fold, (n,) of 0 to n_folds - 1; a group (see `groups`) is never parted.

    The largest groups are placed first, each into the smallest fold, so folds are as even as the groups allow. Raises
    InputError where there are fewer groups than folds.

    >>> folds([{"a"}, {"b"}, {"a"}, {"c"}], n_folds=2).tolist() in ([0, 1, 0, 1], [1, 0, 1, 0])
    True
    """
    group = groups(relevant)
    count = int(group.max(initial=-1)) + 1
    if not 1 <= n_folds <= count:
        raise InputError(
            f"{len(relevant)} queries in {count} groups cannot make {n_folds} folds",
            mend=f"ask for 1 to {count} folds, or bring queries that share fewer relevant documents",
        )
    sizes = Counter(group.tolist())
    fold_of: dict[int, int] = {}
    filled = [0] * n_folds
    for number in sorted(_shuffled(count, seed), key=lambda number: -sizes[number]):
        smallest = filled.index(min(filled))
        fold_of[number] = smallest
        filled[smallest] += sizes[number]
    return np.array([fold_of[number] for number in group.tolist()], dtype=np.intp)


def train_test(relevant: Sequence[Collection[str]], *, test_share: float = 0.2, seed: int = 0) -> NDArray[np.bool_]:
    """Which queries are for the test, (n,) of bool: at most `test_share` of them; groups are never parted.

    The share falls short where large groups do not fit. Raises InputError where one side would be empty.

    >>> train_test([{"a"}, {"a"}, {"b"}, {"c"}], test_share=0.25).sum()
    np.int64(1)
    """
    group = groups(relevant)
    sizes = Counter(group.tolist())
    room = int(test_share * len(group) + 1e-9)  # 0.29 * 100 is 28.999...
    chosen = []
    for number in _shuffled(len(sizes), seed):
        if sizes[number] <= room:
            chosen.append(number)
            room -= sizes[number]
    test = np.isin(group, chosen)
    if test.all() or not test.any():
        raise InputError(
            f"a test share of {test_share} of {len(group)} queries in {len(sizes)} groups leaves one side empty",
            mend="choose another test_share, or bring queries that share fewer relevant documents",
        )
    return test


def sample(items: Sequence[T], n: int, seed: int = 0) -> list[T]:
    """`n` of the items in their order, every choice equally likely; all of them where there are no more.

    >>> sample("abcdef", 3, seed=1) == sample("abcdef", 3, seed=1), sample("ab", 5)
    (True, ['a', 'b'])
    """
    if n < 0:
        raise InputError(f"cannot take {n} items", mend="give a number of at least 0")
    if n >= len(items):
        return list(items)
    return [items[place] for place in sorted(random.Random(seed).sample(range(len(items)), n))]


def _shuffled(count: int, seed: int) -> list[int]:
    return random.Random(seed).sample(range(count), count)
