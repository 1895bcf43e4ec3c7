"""Seeded splits that do not leak: of queries, where those that share a relevant document stay on one side, and of edges.

Otherwise what is learnt from one query's document is asked again by its neighbour in the test, and memory passes for
understanding. Queries that hang together, over any number of shared documents, are one group: a connected component of
the graph of queries and their relevant documents. So are, where they are told apart by number, queries that repeat each other.

Edges that are to be told again are taken from the graph that is learnt from, in both directions, and those stay that hold it
together: of a node that lost all its edges nothing could be told.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from vicino.data.graphs import Graph
from vicino.data.near_duplicates import same_text
from vicino.data.records import Judgement, Query
from vicino.errors import DimensionMismatch, InputError

__all__ = ["EdgeSplit", "folds", "group_queries", "groups", "hold_out_edges", "non_edges", "sample", "train_test"]

T = TypeVar("T")


def group_queries(queries: Sequence[Query], judgements: Iterable[Judgement], *, threshold: float = 0.6) -> NDArray[np.intp]:
    """The number of each query's group, (n,): queries that share a relevant document, or nearly repeat each other, share it.

    Near repeats overlap in their words by `threshold` or more (see `near_duplicates`). For folds that keep the groups whole:
    `folds([{str(one)} for one in groups], 5)`. Raises InputError for a threshold that cannot be.

    >>> queries = [Query("1", "wings lift an aeroplane"), Query("2", "an aeroplane: wings lift it"), Query("3", "tea")]
    >>> group_queries(queries, [Judgement("3", "d", 1)])
    array([0, 0, 1])
    """
    relevant: dict[str, set[str]] = {}
    for one in judgements:
        if one.grade > 0:
            relevant.setdefault(one.query_id, set()).add(one.document_id)
    alike = same_text([query.text for query in queries], threshold=threshold)
    return groups([relevant.get(query.id, set()) for query in queries], alike=alike.tolist())


def groups(relevant: Sequence[Collection[str]], *, alike: Sequence[int] | None = None) -> NDArray[np.intp]:
    """For each query the number of its group, (n,): counted from 0 in the order of each group's first query.

    `relevant[i]` are the ids of query i's relevant documents; a query without any is a group of its own. `alike` numbers the
    queries, and those of one number belong together too. Raises DimensionMismatch where it has another length.

    >>> groups([{"a"}, {"b"}, {"a", "c"}, {"c"}, set()])
    array([0, 1, 0, 0, 2])
    >>> groups([{"a"}, {"b"}, set()], alike=[0, 1, 1])
    array([0, 1, 1])
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    if alike is not None and len(alike) != len(relevant):
        raise DimensionMismatch(f"{len(alike)} numbers for {len(relevant)} queries", mend="give one for each query")
    numbers: dict[object, int] = {}
    pairs = [(query, numbers.setdefault(one, len(numbers))) for query, found in enumerate(relevant) for one in found]
    pairs += [(query, numbers.setdefault((one,), len(numbers))) for query, one in enumerate(alike or ())]  # no id is a tuple
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


@dataclass(frozen=True, eq=False)
class EdgeSplit:
    """A graph to learn from, the edges that it lacks, and as many pairs of nodes that no edge joins in the whole graph.

    `held_out` and `non_edges` are (m, 2) rows of the graph's nodes.
    """

    train: Graph
    held_out: NDArray[np.int64]
    non_edges: NDArray[np.int64]


def hold_out_edges(graph: Graph, *, test_share: float = 0.2, seed: int = 0) -> EdgeSplit:
    """Take `test_share` of the edges out of a graph, so that what was connected stays so, and draw as many non-edges.

    Kept are a random spanning forest and all edges from a node to itself; where more is asked for than these leave, what they
    leave is held out. Of a directed graph two edges between the same nodes go together. Raises InputError where there is
    nothing to hold out, or where there are not as many non-edges.

    >>> square = Graph.of_edges([0, 1, 2, 3], [1, 2, 3, 0])
    >>> split = hold_out_edges(square, test_share=0.5)
    >>> split.train.n_edges, len(split.held_out), len(split.non_edges)
    (3, 1, 1)
    """
    if not 0 < test_share < 1:
        raise InputError(f"test_share={test_share!r} is no share", mend="give a number between 0 and 1, such as 0.2")
    edges, weights = graph.edges()
    joined = np.sort(edges, axis=1)
    keys = _keys(joined, len(graph))
    spare = _spare(joined, len(graph), np.random.default_rng(seed))
    if not len(spare):
        raise InputError("every edge is needed to hold the graph together", mend="bring a graph with a cycle at least")
    wanted = max(round(test_share * len(np.unique(keys))), 1)
    out = np.isin(keys, spare[:wanted])
    sources, targets = edges[~out].T
    train = Graph.of_edges(sources, targets, weights[~out], nodes=graph.nodes, directed=graph.directed)
    return EdgeSplit(train, edges[out], non_edges(graph, int(out.sum()), seed=seed))


def non_edges(graph: Graph, n: int, *, seed: int = 0, beside: NDArray[np.int64] | None = None) -> NDArray[np.int64]:
    """(n, 2) distinct pairs of different nodes that no edge joins in either direction, every choice equally likely.

    Pairs `beside` are left out too. Raises InputError where there are fewer.

    >>> non_edges(Graph.of_edges([0, 1], [1, 2]), 1).tolist()
    [[0, 2]]
    """
    size = len(graph)
    taken = graph.edges()[0] if beside is None else np.concatenate([graph.edges()[0], beside])
    known = np.unique(_keys(np.sort(taken[taken[:, 0] != taken[:, 1]], axis=1), size))
    free = size * (size - 1) // 2 - len(known)
    if n > free:
        raise InputError(f"{n:,} non-edges asked for, and {free:,} are there", mend="ask for fewer, or bring a sparser graph")
    random = np.random.default_rng(seed)
    found = np.empty(0, np.int64)
    while len(found) < n:
        pairs = np.sort(random.integers(size, size=(2 * n + 100, 2)), axis=1)
        keys = _keys(pairs[pairs[:, 0] < pairs[:, 1]], size)
        found = np.concatenate([found, keys[~np.isin(keys, known)]])
        found = found[np.sort(np.unique(found, return_index=True)[1])]  # in the order in which they came
    return np.column_stack(np.divmod(found[:n], size))


def _keys(pairs: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """A number for each pair of rows."""
    return pairs[:, 0] * size + pairs[:, 1]


def _spare(pairs: NDArray[np.int64], size: int, random: np.random.Generator) -> NDArray[np.int64]:
    """The keys of the edges that a random spanning forest does without, shuffled."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import minimum_spanning_tree

    keys = random.permutation(np.unique(_keys(pairs[pairs[:, 0] < pairs[:, 1]], size)))
    left, right = np.divmod(keys, size)
    forest = minimum_spanning_tree(coo_array((np.arange(1.0, len(keys) + 1), (left, right)), shape=(size, size)).tocsr())
    spare = np.delete(keys, forest.data.astype(np.int64) - 1)
    return random.permutation(spare)


def _shuffled(count: int, seed: int) -> list[int]:
    return random.Random(seed).sample(range(count), count)
