"""Measures of items that were drawn with replacement: each takes how often every item was drawn, so that it can be bootstrapped.

`counts` is (b, n): b draws of n items, as numbers of times; a row of ones is the data itself. What comes back is (b,), exactly
what the measure would be of the items repeated so often, and NaN where it is undefined for a draw, as for one without positives.
Nothing is sorted anew for each draw, which is why thousands of draws of thousands of items take seconds. The items' own values
must be finite: raises what `vicino.metrics.values.as_values` raises, and DimensionMismatch for counts of other items.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vicino.errors import DimensionMismatch, InputError
from vicino.metrics.values import Values, as_paired_values, as_values

__all__ = [
    "Clustered",
    "average_precision",
    "best_f1",
    "clustered",
    "f1_scores",
    "mean",
    "pearson",
    "roc_auc",
    "spearman",
]

Counts = NDArray[np.float64]  # (b, n)


class Clustered(NamedTuple):
    """How clusters that were found agree with groups that are known, each (b,).

    `purity` is the share of items in the commonest group of their cluster; `v_measure` the harmonic mean of homogeneity and
    completeness, which is also the mutual information normalised by the mean of the entropies (NMI); `ari` the adjusted Rand
    index, 0 by chance and 1 at most. Rosenberg and Hirschberg, "V-measure", EMNLP 2007; Hubert and Arabie 1985.
    """

    purity: Values
    v_measure: Values
    ari: Values


def mean(values: ArrayLike, counts: ArrayLike) -> Values:
    """The mean of the drawn.

    >>> mean([0.0, 1.0], [[1, 1], [0, 2]]).tolist()
    [0.5, 1.0]
    """
    own = as_values(values)
    drawn = _drawn(counts, len(own))
    found: Values = drawn @ own / drawn.sum(axis=1)
    return found


def pearson(a: ArrayLike, b: ArrayLike, counts: ArrayLike) -> Values:
    """Linear correlation of pairs, in [-1, 1]; NaN where a side is constant.

    >>> pearson([1, 2, 3], [1, 2, 6], [[1, 1, 1]]).round(4).tolist()
    [0.9449]
    """
    left, right = as_paired_values(a, b)
    return _correlation(left, right, _drawn(counts, len(left)))


def spearman(a: ArrayLike, b: ArrayLike, counts: ArrayLike) -> Values:
    """Rank correlation of pairs, in [-1, 1], equal values sharing their mean rank; NaN where a side is constant.

    >>> spearman([1, 2, 3, 4], [10, 30, 20, 40], [[1, 1, 1, 1]]).round(4).tolist()
    [0.8]
    """
    left, right = as_paired_values(a, b)
    drawn = _drawn(counts, len(left))
    return _correlation(_ranks(left, drawn), _ranks(right, drawn), drawn)


def roc_auc(truth: ArrayLike, scores: ArrayLike, counts: ArrayLike) -> Values:
    """How probably a positive is scored above a negative, equal scores counting half; NaN without one of both.

    >>> roc_auc([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8], [[1, 1, 1, 1], [1, 0, 1, 2]]).tolist()
    [0.75, 1.0]
    """
    right, wrong = _by_score(truth, scores, counts)
    over = wrong.sum(axis=1, keepdims=True) - wrong.cumsum(axis=1) + wrong / 2  # negatives below each score
    with np.errstate(invalid="ignore"):
        found: Values = (right * over).sum(axis=1) / (right.sum(axis=1) * wrong.sum(axis=1))
    return found


def average_precision(truth: ArrayLike, scores: ArrayLike, counts: ArrayLike, *, missed: ArrayLike = 0.0) -> Values:
    """The area under the curve of precision and recall as a sum of steps, equal scores together; NaN without positives.

    `missed` (b,) are positives that have no score, and are never found.

    >>> average_precision([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8], [[1, 1, 1, 1]]).round(4).tolist()
    [0.8333]
    """
    right, wrong = _by_score(truth, scores, counts)
    hits = right.cumsum(axis=1)
    precision = hits / np.maximum(hits + wrong.cumsum(axis=1), 1e-300)
    with np.errstate(invalid="ignore"):
        found: Values = (right * precision).sum(axis=1) / (right.sum(axis=1) + missed)
    return found


def best_f1(truth: ArrayLike, scores: ArrayLike, counts: ArrayLike, *, missed: ArrayLike = 0.0) -> Values:
    """F1 at the threshold that is best for what was drawn, in [0, 1]; NaN without positives. `missed` as above.

    >>> best_f1([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8], [[1, 1, 1, 1]]).tolist()
    [0.8]
    """
    right, wrong = _by_score(truth, scores, counts)
    hits = right.cumsum(axis=1)
    there = right.sum(axis=1) + missed
    with np.errstate(invalid="ignore"):
        found: Values = (2 * hits / (hits + wrong.cumsum(axis=1) + there[:, None])).max(axis=1)
    return np.where(there > 0, found, np.nan)


def f1_scores(truth: ArrayLike, told: ArrayLike, counts: ArrayLike) -> tuple[Values, Values]:
    """Micro- and macro-F1 of (n, k) indicators of labels: counted over all labels at once, and as the mean over labels.

    A label that no item has, and none was told, counts 0 in the mean, as in scikit-learn.

    >>> [each.round(4).tolist() for each in f1_scores([[1, 0], [0, 1]], [[1, 0], [1, 0]], [[1, 1]])]
    [[0.5], [0.3333]]
    """
    own, given = np.asarray(truth, dtype=np.bool_), np.asarray(told, dtype=np.bool_)
    if own.shape != given.shape or own.ndim != 2:
        raise DimensionMismatch(f"labels of shapes {own.shape} and {given.shape}", mend="give both as (n, k) indicators")
    drawn = _drawn(counts, len(own))
    hits, wrong = drawn @ (own & given), drawn @ (own ^ given)
    micro = 2 * hits.sum(axis=1) / np.maximum(2 * hits.sum(axis=1) + wrong.sum(axis=1), 1)
    return micro, (2 * hits / np.maximum(2 * hits + wrong, 1)).mean(axis=1)


def clustered(groups: ArrayLike, found: ArrayLike, counts: ArrayLike) -> Clustered:
    """How (n,) clusters agree with (n,) groups; the names of both do not matter.

    >>> [each.tolist() for each in clustered([0, 0, 1, 1], [5, 5, 2, 2], [[1, 1, 1, 1]])]
    [[1.0], [1.0], [1.0]]
    """
    own, given = (np.unique(np.asarray(each), return_inverse=True)[1] for each in (groups, found))
    if own.shape != given.shape or own.ndim != 1:
        raise DimensionMismatch(f"groups of shapes {own.shape} and {given.shape}", mend="give one of each for each item")
    drawn = _drawn(counts, len(own))
    names, places = np.unique(given * (own.max() + 1) + own, return_inverse=True)  # cells, those of a cluster together
    cells, groups_of, clusters_of = _sums(drawn, places), *reversed(np.divmod(names, own.max() + 1))
    rows, columns = _sums(drawn, own), _sums(drawn, given)
    n = drawn.sum(axis=1)
    first = np.flatnonzero(np.diff(clusters_of, prepend=-1))
    purity = np.maximum.reduceat(cells, first, axis=1).sum(axis=1) / n
    product = np.maximum(rows[:, groups_of] * columns[:, clusters_of], 1e-300)
    shared = (_plogp(cells) - cells * np.log(product)).sum(axis=1) / n + np.log(n)
    entropies = 2 * np.log(n) - (_plogp(rows).sum(axis=1) + _plogp(columns).sum(axis=1)) / n
    one = entropies < 1e-12  # one group and one cluster
    v_measure = np.where(one, 1.0, np.maximum(2 * shared, 0) / np.where(one, 1.0, entropies))
    same, in_rows, in_columns, all_pairs = ((each * (each - 1) / 2).sum(axis=-1) for each in (cells, rows, columns, n[:, None]))
    chance = in_rows * in_columns / np.maximum(all_pairs, 1)
    most = (in_rows + in_columns) / 2
    alike = np.abs(most - chance) < 1e-12  # nothing could agree better or worse
    return Clustered(purity, v_measure, np.where(alike, 1.0, (same - chance) / np.where(alike, 1.0, most - chance)))


def _drawn(counts: ArrayLike, n: int) -> Counts:
    drawn = np.asarray(counts, dtype=np.float64)
    if drawn.ndim != 2 or drawn.shape[1] != n:
        raise DimensionMismatch(f"counts of shape {drawn.shape} for {n} items", mend="give (b, n): a count an item and draw")
    return drawn


def _correlation(a: Values, b: Values, drawn: Counts) -> Values:
    """Of (n,) or (b, n) values."""
    n = np.maximum(drawn.sum(axis=1, keepdims=True), 1)
    left, right = (each - (drawn * each).sum(axis=1, keepdims=True) / n for each in (a, b))
    squares = [(drawn * each * each).sum(axis=1) for each in (left, right)]
    # what rounding leaves of the variance of a constant is no variance
    least = [1e-24 * n[:, 0] * np.square(np.max(np.abs(each))) for each in (a, b)]
    flat = (squares[0] <= least[0]) | (squares[1] <= least[1])
    with np.errstate(invalid="ignore", divide="ignore"):
        found = (drawn * left * right).sum(axis=1) / np.sqrt(squares[0] * squares[1])
    return np.where(flat, np.nan, np.clip(found, -1.0, 1.0))


def _ranks(values: Values, drawn: Counts) -> Values:
    """(b, n): the rank from 1 of each item among the drawn; equal values share their mean rank."""
    places = np.unique(values, return_inverse=True)[1]
    times = _sums(drawn, places)
    ranks: Values = (times.cumsum(axis=1) - (times - 1) / 2)[:, places]
    return ranks


def _sums(drawn: Counts, places: NDArray[np.int64]) -> Counts:
    """(b, u): counts by place, of which each of 0 to u - 1 is taken."""
    order = np.argsort(places, kind="stable")
    starts = np.flatnonzero(np.diff(places[order], prepend=-1))
    sums: Counts = np.add.reduceat(drawn[:, order], starts, axis=1)
    return sums


def _by_score(truth: ArrayLike, scores: ArrayLike, counts: ArrayLike) -> tuple[Counts, Counts]:
    """(b, u) counts of positives and negatives for each distinct score, the highest first."""
    labels, values = as_paired_values(truth, scores)
    if not np.isin(labels, (0, 1)).all():
        raise InputError("the labels are not 0 and 1", mend="give 1 for a positive, 0 for a negative")
    drawn = _drawn(counts, len(labels))
    places = np.unique(-values, return_inverse=True)[1]
    return _sums(drawn * labels, places), _sums(drawn * (1 - labels), places)


def _plogp(counts: Counts) -> Counts:
    return counts * np.log(np.maximum(counts, 1e-300))
