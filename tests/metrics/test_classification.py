"""F1 and the area under the ROC curve, against scikit-learn and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import f1_score, roc_auc_score

from vicino.errors import DimensionMismatch, EmptyInput, InputError
from vicino.metrics.classification import as_indicators, by_class, macro_f1, micro_f1, roc_auc

shapes = st.tuples(st.integers(1, 20), st.integers(2, 6), st.integers(0, 2**32 - 1))


@given(shape=shapes)
def test_f1_is_that_of_scikit_learn(shape):
    n, k, seed = shape
    truth, told = np.random.default_rng(seed).integers(0, 2, (2, n, k))
    assert micro_f1(truth, told) == pytest.approx(f1_score(truth, told, average="micro", zero_division=0))
    assert macro_f1(truth, told) == pytest.approx(f1_score(truth, told, average="macro", zero_division=0))


@given(n=st.integers(2, 40), seed=st.integers(0, 2**32 - 1))
def test_the_area_is_that_of_scikit_learn_with_ties(n, seed):
    random = np.random.default_rng(seed)
    truth = np.append([0, 1], random.integers(0, 2, n))
    scores = random.integers(0, 5, len(truth)) / 4
    assert roc_auc(truth, scores) == pytest.approx(roc_auc_score(truth, scores))


def test_by_hand():
    truth, told = [[1, 1, 0], [0, 1, 0]], [[1, 0, 0], [0, 1, 1]]  # TP 2, FP 1, FN 1; F1 of the labels 1, 2/3 and 0
    assert micro_f1(truth, told) == pytest.approx(2 / 3)
    assert macro_f1(truth, told) == pytest.approx(5 / 9)
    assert roc_auc([1, 0, 1, 0], [3, 1, 1, 0]) == 3.5 / 4
    assert roc_auc([1, 0], [-np.finfo(float).max, np.finfo(float).max]) == 0


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda: as_indicators([1, 0]), InputError),
        (lambda: as_indicators([[2]]), InputError),
        (lambda: as_indicators(np.empty((0, 3))), EmptyInput),
        (lambda: micro_f1([[1, 0]], [[1]]), DimensionMismatch),
        (lambda: roc_auc([1, 1], [0.5, 0.6]), InputError),
        (lambda: roc_auc([0, 2], [0.5, 0.6]), InputError),
        (lambda: roc_auc([0, 1], [0.5, np.nan]), InputError),
        (lambda: roc_auc([0, 1], [0.5]), DimensionMismatch),
    ],
)
def test_what_cannot_be_judged_is_named(call, error):
    with pytest.raises(error):
        call()


def test_scores_of_classes_are_those_of_scikit_learn():
    from sklearn.metrics import precision_recall_fscore_support

    random = np.random.default_rng(0)
    truth, told = (random.choice(names, 200).tolist() for names in (["a", "b", "c"], ["a", "b", "c", "d"]))
    found = by_class(truth, told)
    peers = precision_recall_fscore_support(truth, told, labels=list(found), zero_division=0)
    np.testing.assert_allclose(np.array([found[name] for name in ("a", "b", "c")]).T, peers)
    assert list(found) == ["a", "b", "c"]  # nothing is asked of a class that the truth has not
    assert by_class(["a", "b"], ["a", "a"])["b"] == (0.0, 0.0, 0.0, 1)
    with pytest.raises(DimensionMismatch):
        by_class(["a"], [])
    with pytest.raises(EmptyInput):
        by_class([], [])
