"""Two sets of vectors: alarms that are true, alarms that are false as often as they may be, and which rows are strange."""

from __future__ import annotations

import numpy as np
import pytest

from vicino.errors import DimensionMismatch, InputError
from vicino.metrics.shift import classifier_shift, mmd_shift

BOTH = pytest.mark.parametrize("test", [classifier_shift, lambda a, b, seed=0: mmd_shift(a, b, rounds=199, seed=seed)])


def cloud(seed, n=120, mean=0.0):
    return np.random.default_rng(seed).normal(mean, 1, (n, 5))


@BOTH
def test_a_shift_is_found_and_says_which_rows_are_strange(test):
    mixed = np.concatenate([cloud(1, 60), cloud(2, 60, 2.0)])
    found = test(cloud(0), mixed)
    assert found.p < 0.01
    assert found.scores.shape == (120,)
    assert found.scores[60:].mean() > found.scores[:60].mean()


@BOTH
def test_the_same_is_rarely_accused(test):
    alarms = sum(test(cloud(2 * seed), cloud(2 * seed + 1), seed=seed).p < 0.05 for seed in range(20))
    assert alarms <= 4  # 5 % of 20 are 1; more than 4 come three times in a thousand


def test_mmd_is_that_of_its_definition():
    one, two = cloud(0, 25), cloud(1, 30, 0.5)
    both = np.concatenate([one, two])
    squares = ((both[:, None] - both[None]) ** 2).sum(axis=2)
    kernel = np.exp(-squares / np.median(squares[np.triu_indices(55, 1)]))
    inside = [(kernel[a:b, a:b].sum() - (b - a)) / ((b - a) * (b - a - 1)) for a, b in ((0, 25), (25, 55))]
    assert mmd_shift(one, two, rounds=9).distance == pytest.approx(sum(inside) - 2 * kernel[:25, 25:].mean(), abs=1e-6)


def test_what_differs_in_spread_alone_is_found_by_mmd():
    assert mmd_shift(cloud(0, 300), 2 * cloud(1, 300), rounds=199).p < 0.01


@BOTH
def test_what_cannot_be_compared_is_named(test):
    with pytest.raises(DimensionMismatch):
        test(cloud(0), cloud(1)[:, :3])
    with pytest.raises(InputError, match="at least 20"):
        test(cloud(0), cloud(1, 5))


def test_a_classifier_raises_no_more_false_alarms_than_it_says():
    random = np.random.default_rng(1)
    ps = [classifier_shift(random.normal(size=(60, 8)), random.normal(size=(60, 8)), seed=seed).p for seed in range(60)]
    assert np.mean(np.array(ps) < 0.05) <= 0.07  # .12 where the folds' scores are tested as one
