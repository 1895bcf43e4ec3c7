"""The gate accepts what is better beyond chance and forgets nothing, and says why it does not."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.stats import spearmanr

from vicino.errors import DimensionMismatch, InputError, VicinoError
from vicino.evaluation.gate import check_correlation, check_f1, check_means, decide

RANDOM = np.random.default_rng(0)
BASE = RANDOM.random(200)
BETTER = BASE + 0.05 + 0.1 * RANDOM.normal(size=200)
SAME = BASE + 0.1 * RANDOM.permutation(np.repeat([-1, 1], 100))


def test_a_gain_beyond_the_interval_is_accepted():
    found = decide(check_means("nDCG@10", BASE, BETTER), [check_means("other", BASE, BASE - 0.009)])
    assert found.accepted
    assert found.sentence.startswith("accepted: better than before")
    assert "nothing else fell" in found.sentence
    assert not found.advice


@pytest.mark.parametrize(
    ("after", "says", "tries"),
    [(SAME, "no difference that 200", "hold out more"), (BASE - 0.1, "worse than before", "learning rate")],
    ids=["the same", "worse"],
)
def test_what_is_not_better_is_rejected(after, says, tries):
    found = decide(check_means("nDCG@10", BASE, after))
    assert not found.accepted
    assert says in found.sentence
    assert any(tries in each for each in found.advice)


def test_what_forgets_is_rejected_though_it_is_better():
    found = decide(
        check_means("nDCG@10", BASE, BETTER), [check_means("kept", BASE, BASE), check_means("lost", BASE, BASE - 0.02)]
    )
    assert not found.accepted
    assert "worse by more than 0.01 on other data, lost" in found.sentence
    assert "kept" not in found.sentence


def test_a_tolerance_may_be_wider():
    fallen = [check_means("lost", BASE, BASE - 0.02)]
    assert decide(check_means("nDCG@10", BASE, BETTER), fallen, tolerance=0.03).accepted


def test_a_check_by_hand():
    found = check_means("MRR", [0, 1, 0, 1], [1, 1, 0, 1])
    assert (found.before, found.after, found.difference.mean, found.n) == (0.5, 0.75, 0.25, 4)
    assert found.difference.low == 0
    assert not decide(found).accepted


def test_correlations_are_those_of_scipy_and_move_together():
    truth = RANDOM.random(300)
    before, after = truth + RANDOM.normal(size=300), truth + 0.5 * RANDOM.normal(size=300)
    found = check_correlation("STS", truth, before, after)
    assert found.before == pytest.approx(spearmanr(truth, before).statistic)
    assert found.after == pytest.approx(spearmanr(truth, after).statistic)
    assert found.difference.mean == pytest.approx(found.after - found.before)
    assert found.difference.low < found.difference.mean < found.difference.high
    same = check_correlation("STS", truth, before, before)
    assert same.difference == (0, 0, 0)


@pytest.mark.long
def test_an_interval_of_correlations_holds_the_truth_as_often_as_it_says():
    inside = 0
    for seed in range(24):
        random = np.random.default_rng(seed)
        truth = random.normal(size=150)
        before, after = truth + random.normal(size=150), truth + random.normal(size=150)
        low, high = check_correlation("STS", truth, before, after, seed=seed).difference[1:]
        inside += low <= 0 <= high
    assert inside >= 19  # 95 % of 24 are 23; fewer than 19 come once in two thousand


@pytest.mark.parametrize(
    ("values", "error"),
    [(([1, 2], [1, 2, 3], [1, 2, 3]), DimensionMismatch), (([1, 2], [1, 2], [1, 2]), InputError)],
)
def test_correlations_that_cannot_be_are_named(values, error):
    with pytest.raises(error):
        check_correlation("STS", *values)


def test_f1_is_that_of_all_sentences_together_and_its_interval_holds_the_truth():
    inside = 0
    for seed in range(60):
        random = np.random.default_rng(seed)
        there = random.integers(0, 4, 150)
        sides = [np.stack([random.binomial(there, share), there, there], axis=1) for share in (0.5, 0.6)]
        found = check_f1("F1", *sides, seed=seed)
        assert found.before == pytest.approx(sides[0][:, 0].sum() / there.sum())  # as many told as there are
        assert found.difference.mean == pytest.approx(found.after - found.before)
        inside += found.difference.low <= 0.1 <= found.difference.high
    assert inside >= 51  # 95 % of 60 are 57; fewer than 51 come once in a thousand
    assert check_f1("F1", sides[0], sides[0]).difference == (0, 0, 0)
    assert check_f1("F1", [[0, 0, 0]], [[0, 0, 0]]).detectable is None
    with pytest.raises(DimensionMismatch):
        check_f1("F1", sides[0], sides[1][1:])
    with pytest.raises(InputError):
        check_f1("F1", np.empty((0, 3)), np.empty((0, 3)))


def test_what_is_not_paired_is_named():
    with pytest.raises(VicinoError):
        check_means("nDCG@10", [1.0, 2.0], [1.0])


def test_json_can_say_it():
    found = decide(check_means("nDCG@10", BASE, BETTER), [check_means("other", BASE, BASE)])
    record = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert record["accepted"] is True
    assert record["gain"]["difference"]["low"] > 0
