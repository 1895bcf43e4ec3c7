"""What tests of significance draw: sums by group, means of what was drawn, signs; by hand, and against plain loops."""

from __future__ import annotations

import numpy as np
import pytest

from vicino.errors import DimensionMismatch
from vicino.metrics.draws import EXACT_UP_TO, drawn_means, group_sums, sign_patterns


def test_sums_by_group_keep_the_order_where_each_is_alone():
    table = np.array([[1.0, 2.0, 4.0], [0.0, 1.0, 0.0]])
    sums, sizes = group_sums(table, [9, 3, 9])
    assert (sums.tolist(), sizes.tolist()) == ([[2.0, 5.0], [1.0, 0.0]], [1.0, 2.0])
    sums, sizes = group_sums(table, [9, 3, 5])
    assert (sums.tolist(), sizes.tolist()) == (table.tolist(), [1.0, 1.0, 1.0])
    with pytest.raises(DimensionMismatch, match="groups of shape"):
        group_sums(table, [1, 2])


@pytest.mark.parametrize("distinct", [400, 3])  # drawn one by one, or counted
def test_means_are_those_of_units_drawn_with_replacement(distinct):
    rng = np.random.default_rng(0)
    sums = rng.integers(0, distinct, size=(2, 400)) / distinct
    sizes = rng.integers(1, 3, size=400).astype(float)
    means = drawn_means(sums, sizes, 5000, np.random.default_rng(1))
    assert means.shape == (2, 5000)
    drawn = rng.integers(400, size=(5000, 400))
    by_hand = sums[:, drawn].sum(axis=2) / sizes[drawn].sum(axis=1)
    np.testing.assert_allclose(means.mean(axis=1), by_hand.mean(axis=1), rtol=0.01)
    np.testing.assert_allclose(means.std(axis=1), by_hand.std(axis=1), rtol=0.08)
    assert np.corrcoef(means)[0, 1] == pytest.approx(np.corrcoef(by_hand)[0, 1], abs=0.08)  # the same draws for both rows


def test_few_differences_have_every_pattern_once():
    patterns = np.concatenate(list(sign_patterns(5, 10, np.random.default_rng(0), width=10**6)))
    assert len({tuple(row) for row in patterns.tolist()}) == len(patterns) == 32


def test_many_differences_have_as_many_fair_patterns_as_asked():
    patterns = np.concatenate(list(sign_patterns(EXACT_UP_TO + 1, 20_000, np.random.default_rng(0))))
    assert patterns.shape == (20_000, EXACT_UP_TO + 1)
    assert set(np.unique(patterns)) == {0.0, 1.0}
    np.testing.assert_allclose(patterns.mean(axis=0), 0.5, atol=0.02)
