"""Groups found and groups known: names do not matter, chance is nothing, and what is apart is found."""

from __future__ import annotations

import numpy as np
import pytest

from vicino.errors import DimensionMismatch
from vicino.metrics.clustering import agreement, k_means

RANDOM = np.random.default_rng(0)


def test_agreement_by_hand():
    assert agreement(["a", "a", "b"], [1, 1, 0]) == (1, 1)
    assert agreement([0, 0, 1, 1], [0, 1, 0, 1]).ari == pytest.approx(-0.5)
    assert agreement([0, 0, 1, 1], [0, 1, 0, 1]).nmi == pytest.approx(0)
    chance = agreement(RANDOM.integers(0, 4, 4000), RANDOM.integers(0, 4, 4000))
    assert abs(chance.ari) < 0.02
    with pytest.raises(DimensionMismatch):
        agreement([0, 1], [0])


def test_directions_that_are_apart_are_found_whatever_their_length():
    groups = RANDOM.integers(0, 3, 90)
    vectors = (np.eye(3)[groups] * 9 + RANDOM.normal(size=(90, 3)) * 0.3) * RANDOM.uniform(0.1, 50, (90, 1))
    assert k_means(vectors, groups, seed=1) == k_means(vectors, groups.astype(str), seed=1) == (1, 1)
    assert k_means(np.ones((6, 2)), [0, 1, 2] * 2).ari == 0  # there is nothing to tell them apart
    with pytest.raises(DimensionMismatch):
        k_means(vectors, groups[:5])
