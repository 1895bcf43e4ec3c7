"""Same or different: the curve is scikit-learn's, and the threshold lets in what it may and no more."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_curve

from vicino.errors import EmptyInput, InputError, InvalidVectors
from vicino.metrics.classification import roc_auc
from vicino.metrics.verification import roc, tar_at_far, threshold_at_far

RANDOM = np.random.default_rng(0)
SAME = RANDOM.integers(0, 2, 2000)
SCORES = (SAME + RANDOM.normal(size=2000)).round(2)  # with ties


def test_the_curve_is_that_of_scikit_learn():
    found = roc(SAME, SCORES)
    for ours, oracle in zip(found, roc_curve(SAME, SCORES, drop_intermediate=False), strict=True):
        np.testing.assert_allclose(ours, oracle)
    assert np.trapezoid(found.tar, found.far) == pytest.approx(roc_auc(SAME, SCORES))


@pytest.mark.parametrize("far", [0, 0.01, 0.1, 0.5, 1])
def test_as_many_are_let_in_as_may_be(far):
    curve = roc(SAME, SCORES)
    assert tar_at_far(SAME, SCORES, far) == curve.tar[curve.far <= far + 1e-12].max()
    different = SCORES[SAME == 0]
    threshold = threshold_at_far(different, far)
    assert (different >= threshold).mean() <= far
    assert far == 1 or (different >= np.nextafter(threshold, -np.inf)).mean() > far


def test_a_share_that_the_pairs_cannot_tell_is_refused():
    with pytest.raises(InputError, match=r"100 different pairs cannot tell a share of 0\.001"):
        threshold_at_far(np.arange(100), 1e-3)
    for far in (-0.1, 1.1):
        with pytest.raises(InputError):
            threshold_at_far(np.arange(100), far)


def test_one_kind_of_pairs_says_nothing():
    for same in ([1, 1], [0, 0], [0, 2]):
        with pytest.raises(InputError, match="both kinds"):
            roc(same, [0.1, 0.2])
        with pytest.raises(InputError, match="both kinds"):
            tar_at_far(same, [0.1, 0.2], 0.5)
    with pytest.raises(EmptyInput):
        roc([], [])
    with pytest.raises(InvalidVectors):
        roc([0, 1], [np.nan, 1])
