"""What rankings of items do beside being right: how much of the catalogue they show, and how much of it is only what is popular.

Whether they are right says `vicino.metrics.ranking`. Recommended items are rows, (u, k) int64, best first, -1 for none;
`popularity`, (items,), is how many users met each item.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vicino.errors import EmptyInput, InputError
from vicino.metrics.values import Values, as_values

__all__ = ["catalogue_coverage", "gini", "mean_popularity", "novelty"]


def catalogue_coverage(recommended: NDArray[Any], n_items: int) -> float:
    """The share of all items that anybody was recommended.

    Herlocker, Konstan, Terveen and Riedl 2004, "Evaluating collaborative filtering recommender systems".

    >>> catalogue_coverage(np.array([[0, 1], [1, -1]]), n_items=4)
    0.5
    """
    shown = _shown(recommended, n_items)
    return len(np.unique(shown)) / n_items


def gini(counts: ArrayLike) -> float:
    """How unevenly something is shared out: 0 where all (n,) counts are equal, near 1 where one has everything.

    Σ (2 i - n - 1) c_i / (n Σ c) over ascending counts; 0 where all are 0. Of how often each item is recommended it tells how
    much a recommender crowds. Raises InputError for negative counts, and what `as_values` raises.

    >>> gini([1, 1, 1, 1]), gini([0, 0, 0, 4])
    (0.0, 0.75)
    """
    ordered = np.sort(as_values(counts))
    if ordered[0] < 0:
        raise InputError(f"a count of {ordered[0]:g}", mend="give counts of at least 0")
    n, total = len(ordered), float(ordered.sum())
    return float((2 * np.arange(1, n + 1) - n - 1) @ ordered) / (n * total) if total else 0.0


def mean_popularity(recommended: NDArray[Any], popularity: NDArray[Any]) -> Values:
    """How many users met the items that each user was recommended, on average: (u,); 0 for a user without any.

    Set against the same of what users had met, it is a recommender's popularity bias (Abdollahpouri, Mansoury, Burke and Mobasher
    2019, "The unfairness of popularity bias in recommendation").

    >>> mean_popularity(np.array([[0, 1], [1, -1]]), np.array([10, 2]))
    array([6., 2.])
    """
    return _mean_of(recommended, popularity.astype(np.float64))


def novelty(recommended: NDArray[Any], popularity: NDArray[Any], n_users: int) -> Values:
    """How surprising the items are that each user was recommended, in bits: the mean of -log2(share of users who met it), (u,).

    An item that nobody met counts as met once. Vargas and Castells 2011, "Rank and relevance in novelty and diversity metrics for
    recommender systems". Raises InputError for an item that more users met than there are.

    >>> novelty(np.array([[0, 1]]), np.array([8, 2]), n_users=8)
    array([1.])
    """
    if len(popularity) and not 0 < popularity.max() <= n_users:
        raise InputError(f"an item that {popularity.max():g} of {n_users:,} users met", mend="count each user once an item")
    return _mean_of(recommended, -np.log2(np.maximum(popularity, 1) / n_users))


def _mean_of(recommended: NDArray[Any], values: Values) -> Values:
    _shown(recommended, len(values))
    there = recommended >= 0
    total: Values = np.where(there, values[recommended], 0.0).sum(axis=1) / np.maximum(there.sum(axis=1), 1)
    return total


def _shown(recommended: NDArray[Any], n_items: int) -> NDArray[Any]:
    if n_items < 1:
        raise EmptyInput("a catalogue without items", mend="give at least one item")
    if recommended.ndim != 2 or recommended.dtype.kind not in "iu" or (recommended.size and recommended.max() >= n_items):
        raise InputError(
            f"an array {recommended.shape} of {recommended.dtype} is not (u, k) rows of {n_items:,} items",
            mend="give the row of each recommended item, and -1 for none",
        )
    return recommended[recommended >= 0]
