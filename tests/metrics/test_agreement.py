"""Where scikit-learn, scipy or ir-measures compute the same thing: equal to a billionth, ties and skewed classes included."""

from __future__ import annotations

import ir_measures
import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as sklearn_metrics

from vicino import metrics
from vicino.metrics import classification, experiments, ranking, significance, similarity, verification

WITHIN = 1e-9
RANDOM = np.random.default_rng(20)
TRUTH = RANDOM.random((300, 4)) < [0.5, 0.3, 0.1, 0.02]  # labels, of which an item may have several or none
TOLD = TRUTH ^ (RANDOM.random((300, 4)) < 0.2)
RELEVANT = RANDOM.random(300) < 0.2
SCORES = (RANDOM.random(300) + 0.4 * RELEVANT).round(2)  # with ties
A, B = RANDOM.random((2, 120)).round(2)


def near(value):
    return pytest.approx(value, abs=WITHIN, rel=WITHIN)


@pytest.mark.parametrize("average", ["micro", "macro"])
def test_f1(average):
    ours = getattr(classification, f"{average}_f1")
    assert ours(TRUTH, TOLD) == near(sklearn_metrics.f1_score(TRUTH, TOLD, average=average, zero_division=0))


def test_roc():
    assert classification.roc_auc(RELEVANT, SCORES) == near(sklearn_metrics.roc_auc_score(RELEVANT, SCORES))
    ours = verification.roc(RELEVANT, SCORES)
    far, tar, _ = sklearn_metrics.roc_curve(RELEVANT, SCORES, drop_intermediate=False)
    np.testing.assert_allclose([ours.far, ours.tar], [far, tar], rtol=0, atol=WITHIN)


def test_correlations():
    assert similarity.pearson(A, B) == near(stats.pearsonr(A, B).statistic)
    assert similarity.spearman(A, B) == near(stats.spearmanr(A, B).statistic)


def test_sample_ratio():
    assert experiments.mismatch([500, 560, 490]) == near(stats.chisquare([500, 560, 490]).pvalue)


@pytest.mark.parametrize("margin", [0.01, 0.1])
def test_equivalence(margin):
    above = stats.ttest_1samp(A - B, -margin, alternative="greater").pvalue
    below = stats.ttest_1samp(A - B, margin, alternative="less").pvalue
    assert significance.equivalence_test(A, B, margin) == near(max(above, below))


def test_randomisation_of_few():
    a, b = A[:12], B[:12]

    def apart(x, y, axis):
        return np.mean(x - y, axis=axis)

    theirs = stats.permutation_test((a, b), apart, permutation_type="samples", vectorized=True, n_resamples=np.inf).pvalue
    assert significance.randomisation_test(a, b) == near(theirs)


@pytest.mark.parametrize(
    ("name", "measure"),
    [
        ("nDCG@10", ir_measures.nDCG @ 10),
        ("Recall@20", ir_measures.R @ 20),
        ("MRR@10", ir_measures.RR @ 10),
        ("MAP", ir_measures.AP),
        ("P@5", ir_measures.P @ 5),
        ("success@3", ir_measures.Success @ 3),
        ("judged@10", ir_measures.Judged @ 10),
    ],
)
def test_rankings(name, measure):
    rng = np.random.default_rng(5)
    ids = [f"d{number}" for number in range(60)]
    ranked = np.array([rng.permutation(ids)[:30] for _ in range(40)], dtype=object)
    qrels = [{one: int(rng.integers(0, 4)) for one in rng.choice(ids, 12, replace=False)} for _ in range(40)]
    ours = metrics.parse(name)(ranking.judge(ranked, qrels))
    judgements = [ir_measures.Qrel(str(row), one, grade) for row, grades in enumerate(qrels) for one, grade in grades.items()]
    run = [ir_measures.ScoredDoc(str(row), one, -place) for row, names in enumerate(ranked) for place, one in enumerate(names)]
    theirs = {int(each.query_id): each.value for each in ir_measures.iter_calc([measure], judgements, run)}
    np.testing.assert_allclose(ours, [theirs[row] for row in range(40)], rtol=0, atol=WITHIN)
