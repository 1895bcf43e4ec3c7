"""How well labels are told: F1 over several labels an item, each class's by itself, and the area under the ROC curve.

Labels are (n, k) indicators: entry (i, c) says whether item i has label c. Where an item has one class, it is told by its name.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vicino.errors import DimensionMismatch, EmptyInput, InputError
from vicino.metrics.values import as_paired_values

__all__ = ["ClassScore", "as_indicators", "by_class", "macro_f1", "micro_f1", "roc_auc"]


class ClassScore(NamedTuple):
    """How well one class was told, each in [0, 1], and how many items have it."""

    precision: float
    recall: float
    f1: float
    items: int


def by_class(truth: Sequence[object], told: Sequence[object]) -> dict[str, ClassScore]:
    """The scores of each class that the truth has, by its name in order: (n,) names each. The mean of the F1 is macro-F1.

    A class that was never told has precision 0. Raises DimensionMismatch for two lengths, EmptyInput for nothing.

    >>> by_class(["a", "a", "b"], ["a", "b", "b"])["b"]
    ClassScore(precision=0.5, recall=1.0, f1=0.6666666666666666, items=1)
    """
    if len(truth) != len(told):
        raise DimensionMismatch(f"{len(truth)} classes and {len(told)} that were told", mend="give both for the same items")
    if not len(truth):
        raise EmptyInput("there are no classes", mend="give at least one item")
    names, places = np.unique([*map(str, truth), *map(str, told)], return_inverse=True)
    own, given = places[: len(truth)], places[len(truth) :]
    items, said, right = (np.bincount(each, minlength=len(names)) for each in (own, given, own[own == given]))
    return {
        str(names[row]): ClassScore(
            float(right[row] / max(said[row], 1)),
            float(right[row] / items[row]),
            float(2 * right[row] / (items[row] + said[row])),
            int(items[row]),
        )
        for row in np.flatnonzero(items).tolist()
    }


def micro_f1(truth: ArrayLike, told: ArrayLike) -> float:
    """2 TP / (2 TP + FP + FN), counted over all labels at once, in [0, 1]: frequent labels decide.

    (n, k) indicators each. Raises DimensionMismatch for two shapes, EmptyInput, InputError for what is no indicator.

    >>> micro_f1([[1, 0], [0, 1]], [[1, 0], [1, 0]])
    0.5
    """
    hits, wrong = _counted(truth, told)
    return float(2 * hits.sum() / max(2 * hits.sum() + wrong.sum(), 1))


def macro_f1(truth: ArrayLike, told: ArrayLike) -> float:
    """The mean over labels of each label's F1, in [0, 1]: rare labels count as much as frequent ones.

    A label that no item has, and none was told, counts 0, as in scikit-learn. Raises what `micro_f1` raises.

    >>> round(macro_f1([[1, 0], [0, 1]], [[1, 0], [1, 0]]), 4)  # F1 2/3 and 0
    0.3333
    """
    hits, wrong = _counted(truth, told)
    return float(np.mean(2 * hits / np.maximum(2 * hits + wrong, 1)))


def roc_auc(truth: ArrayLike, scores: ArrayLike) -> float:
    """How probably a positive is scored above a negative, in [0, 1]; equal scores count half.

    (n,) of 0 or 1, and (n,) scores. The U statistic of Mann and Whitney 1947, over the number of pairs. Raises InputError
    where one side is empty, and what `vicino.metrics.values.as_paired_values` raises.

    >>> roc_auc([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])
    0.75
    """
    labels, values = as_paired_values(truth, scores)
    if not np.isin(labels, (0, 1)).all() or len(np.unique(labels)) < 2:
        raise InputError("the labels are not 0 and 1, both of them", mend="give at least one positive and one negative")
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[places]  # from 1; equal scores share their mean rank
    positives = int(labels.sum())
    over = ranks[labels == 1].sum() - positives * (positives + 1) / 2
    return float(over / (positives * (len(labels) - positives)))


def as_indicators(labels: ArrayLike) -> NDArray[np.bool_]:
    """`labels` as (n, k) of bool. Raises EmptyInput, and InputError for another shape or other values than 0 and 1.

    >>> as_indicators([[1, 0]]).tolist()
    [[True, False]]
    """
    array = np.asarray(labels)
    if array.ndim != 2 or not np.isin(array, (0, 1)).all():
        raise InputError(
            f"labels of shape {array.shape} are no (n, k) of 0 and 1", mend="give a column a label, 1 where it holds"
        )
    if array.size == 0:
        raise EmptyInput("there are no labels", mend="give at least one item and one label")
    return array.astype(np.bool_)


def _counted(truth: ArrayLike, told: ArrayLike) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """For each label how often it was told rightly, and how often it was told or not told wrongly."""
    left, right = as_indicators(truth), as_indicators(told)
    if left.shape != right.shape:
        raise DimensionMismatch(
            f"labels of shapes {left.shape} and {right.shape}", mend="give both for the same items and labels"
        )
    return (left & right).sum(axis=0), (left ^ right).sum(axis=0)
