"""Coverage, crowding, popularity and novelty of what is recommended, worked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from vicino.errors import EmptyInput, InputError, InvalidVectors
from vicino.metrics.recommendation import catalogue_coverage, gini, mean_popularity, novelty

SHOWN = np.array([[0, 1, 2], [0, 1, -1], [0, -1, -1], [-1, -1, -1]])
MET = np.array([16, 4, 0, 2, 1])


def test_coverage_counts_each_item_once():
    assert catalogue_coverage(SHOWN, 5) == pytest.approx(3 / 5)
    assert catalogue_coverage(np.empty((0, 3), np.int64), 5) == 0


def test_gini_is_the_area_between_the_lorenz_curve_and_the_diagonal():
    counts = np.random.default_rng(0).integers(0, 9, 40)
    differences = np.abs(counts[:, None] - counts[None, :]).sum()
    assert gini(counts) == pytest.approx(differences / (2 * 40 * counts.sum()))
    assert gini([0, 0]) == 0
    assert gini([5]) == 0


def test_popularity_and_novelty_are_means_over_what_is_there():
    np.testing.assert_allclose(mean_popularity(SHOWN, MET), [20 / 3, 10, 16, 0])
    np.testing.assert_allclose(novelty(SHOWN, MET, 16), [(0 + 2 + 4) / 3, 1, 0, 0])  # an item nobody met counts as met once


def test_what_cannot_be_is_refused():
    for broken in (SHOWN.astype(float), SHOWN[0], np.array([[5]])):
        with pytest.raises(InputError):
            catalogue_coverage(broken, 5)
        with pytest.raises(InputError):
            mean_popularity(broken, MET)
    with pytest.raises(EmptyInput):
        catalogue_coverage(SHOWN, 0)
    with pytest.raises(InputError, match="8 users"):
        novelty(SHOWN, MET, 8)
    with pytest.raises(InputError, match="-1"):
        gini([1, -1])
    with pytest.raises(InvalidVectors):
        gini([np.nan])
