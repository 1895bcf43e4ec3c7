"""Measures of resampled items, against scikit-learn and scipy on the items repeated as often as they were drawn."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as oracle

from vicino.errors import DimensionMismatch, InputError, InvalidVectors
from vicino.metrics import resampled

RANDOM = np.random.default_rng(0)
N = 120
TRUTH = RANDOM.integers(0, 2, N)
SCORES = np.round(RANDOM.normal(size=N) + TRUTH, 1)  # with ties
GROUPS = RANDOM.integers(0, 5, N)
FOUND = np.where(RANDOM.random(N) < 0.6, GROUPS, RANDOM.integers(0, 7, N))
OWN, TOLD = RANDOM.random((2, N, 4)) < 0.3
DRAWN = np.stack([np.ones(N, int), *(np.bincount(RANDOM.integers(N, size=N), minlength=N) for _ in range(8))])


def purity(truth, found):
    table = oracle.cluster.contingency_matrix(truth, found)
    return table.max(axis=0).sum() / table.sum()


def best_f1(truth, scores):
    precision, recall, _ = oracle.precision_recall_curve(truth, scores)
    return np.max(2 * precision * recall / np.maximum(precision + recall, 1e-12))


CASES = {
    "mean": (lambda w: resampled.mean(SCORES, w), lambda r: SCORES[r].mean()),
    "pearson": (lambda w: resampled.pearson(TRUTH, SCORES, w), lambda r: stats.pearsonr(TRUTH[r], SCORES[r])[0]),
    "spearman": (lambda w: resampled.spearman(GROUPS, SCORES, w), lambda r: stats.spearmanr(GROUPS[r], SCORES[r])[0]),
    "roc_auc": (lambda w: resampled.roc_auc(TRUTH, SCORES, w), lambda r: oracle.roc_auc_score(TRUTH[r], SCORES[r])),
    "average_precision": (
        lambda w: resampled.average_precision(TRUTH, SCORES, w),
        lambda r: oracle.average_precision_score(TRUTH[r], SCORES[r]),
    ),
    "best_f1": (lambda w: resampled.best_f1(TRUTH, SCORES, w), lambda r: best_f1(TRUTH[r], SCORES[r])),
    "micro_f1": (lambda w: resampled.f1_scores(OWN, TOLD, w)[0], lambda r: oracle.f1_score(OWN[r], TOLD[r], average="micro")),
    "macro_f1": (lambda w: resampled.f1_scores(OWN, TOLD, w)[1], lambda r: oracle.f1_score(OWN[r], TOLD[r], average="macro")),
    "purity": (lambda w: resampled.clustered(GROUPS, FOUND, w).purity, lambda r: purity(GROUPS[r], FOUND[r])),
    "v_measure": (
        lambda w: resampled.clustered(GROUPS, FOUND, w).v_measure,
        lambda r: oracle.v_measure_score(GROUPS[r], FOUND[r]),
    ),
    "nmi": (
        lambda w: resampled.clustered(GROUPS, FOUND, w).v_measure,
        lambda r: oracle.normalized_mutual_info_score(GROUPS[r], FOUND[r]),
    ),
    "ari": (lambda w: resampled.clustered(GROUPS, FOUND, w).ari, lambda r: oracle.adjusted_rand_score(GROUPS[r], FOUND[r])),
}


@pytest.mark.parametrize("name", CASES)
def test_counts_are_items_repeated(name):
    ours, theirs = CASES[name]
    repeated = [theirs(np.repeat(np.arange(N), times)) for times in DRAWN]
    np.testing.assert_allclose(ours(DRAWN), repeated, rtol=0, atol=1e-9)


def test_missed_positives_are_never_found():
    # three of four positives have a score, all above the negative: precision is 1 up to a recall of 3/4
    truth, scores = [1, 1, 1, 0], [4.0, 3.0, 2.0, 1.0]
    assert resampled.average_precision(truth, scores, np.ones((1, 4)), missed=[1.0])[0] == pytest.approx(0.75)
    assert resampled.best_f1(truth, scores, np.ones((1, 4)), missed=[1.0])[0] == pytest.approx(2 * 3 / (3 + 4))


def test_what_is_undefined_is_nan_and_warns_of_nothing():
    none = np.array([[1.0, 1.0, 0.0, 0.0]])  # draws the negatives only
    truth, scores = [0, 0, 1, 1], [0.1, 0.2, 0.3, 0.4]
    for of in (resampled.roc_auc, resampled.average_precision, resampled.best_f1):
        assert np.isnan(of(truth, scores, none)).all()
    assert np.isnan(resampled.spearman([1, 1, 1], [1, 2, 3], np.ones((1, 3)))).all()
    assert np.isnan(resampled.pearson([0.1, 0.1, 0.1], [1, 2, 3], np.ones((1, 3)))).all()


def test_one_group_in_one_cluster_agrees_and_constant_clusters_tell_nothing():
    alike = resampled.clustered([0, 0, 0], [1, 1, 1], np.ones((1, 3)))
    assert [float(each[0]) for each in alike] == [1.0, 1.0, 1.0]
    flat = resampled.clustered([0, 0, 1, 1], [0, 0, 0, 0], np.ones((1, 4)))
    assert float(flat.purity[0]) == 0.5
    assert float(flat.v_measure[0]) == pytest.approx(0, abs=1e-12)
    assert float(flat.ari[0]) == pytest.approx(0, abs=1e-12)


def test_what_does_not_fit_is_named():
    with pytest.raises(DimensionMismatch):
        resampled.mean([1.0, 2.0], np.ones((1, 3)))
    with pytest.raises(DimensionMismatch):
        resampled.clustered([0, 1], [0], np.ones((1, 2)))
    with pytest.raises(DimensionMismatch):
        resampled.f1_scores([[1, 0]], [[1]], np.ones((1, 1)))
    with pytest.raises(InputError, match="not 0 and 1"):
        resampled.roc_auc([0, 2], [0.1, 0.2], np.ones((1, 2)))
    with pytest.raises(InvalidVectors, match="NaN"):
        resampled.average_precision([0, 1], [0.1, np.nan], np.ones((1, 2)))
