"""Scores as probabilities: by hand, on scores whose truth is known, and what cannot be."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.isotonic import IsotonicRegression

from vicino.errors import DimensionMismatch, InputError
from vicino.metrics.calibration import calibrate, reliability, threshold_for


@pytest.fixture(scope="module")
def drawn():
    random = np.random.default_rng(0)
    scores = random.random(8000)
    return scores, (random.random(8000) < scores**2).astype(float)


def test_it_rises_and_finds_the_truth(drawn):
    made = calibrate(*drawn)
    assert (np.diff(made.probabilities) > 0).all()
    places = np.linspace(0.05, 0.95, 19)
    assert made(places) == pytest.approx(places**2, abs=0.1)
    oracle = IsotonicRegression(y_min=0, y_max=1).fit(*drawn)
    assert made(drawn[0]) == pytest.approx(oracle.predict(drawn[0]))


def test_what_was_calibrated_is_reliable_and_what_was_not_is_not(drawn):
    scores, truth = drawn
    half = slice(None, 4000), slice(4000, None)
    made = calibrate(scores[half[0]], truth[half[0]])
    after = reliability(made(scores[half[1]]), truth[half[1]])
    before = reliability(scores[half[1]], truth[half[1]])
    assert after.error < 0.05 < 0.1 < before.error
    assert before.counts.sum() == 4000
    assert before.error == pytest.approx(np.average(abs(before.predicted - before.observed), weights=before.counts))


def test_a_threshold_keeps_its_promise(drawn):
    scores, truth = drawn
    cut, recall = threshold_for(scores, truth, 0.8)
    passed = scores >= cut
    assert truth[passed].mean() >= 0.8
    assert recall == pytest.approx(truth[passed].sum() / truth.sum())
    lower = scores >= np.sort(scores[scores < cut])[-1]
    assert truth[lower].mean() < 0.8
    assert threshold_for([0.5, 0.5, 0.1], [1, 0, 1], 0.9) is None


def test_bins_and_their_intervals_by_hand():
    """Two bins of four: said .2 and .75 in the mean, true one of four and three of four; Wilson's interval with z = 1.96."""
    said, truth = [0.9, 0.1, 0.6, 0.2, 0.8, 0.3, 0.7, 0.2], [1, 0, 0, 1, 1, 0, 1, 0]
    found = reliability(said, truth, bins=2)
    assert found.predicted == pytest.approx([0.2, 0.75])
    assert found.observed.tolist() == [0.25, 0.75]
    assert found.counts.tolist() == [4, 4]
    assert found.error == pytest.approx((0.05 + 0) / 2)
    middle, half = (0.25 + 1.96**2 / 8) / (1 + 1.96**2 / 4), 1.96 * (0.25 * 0.75 / 4 + 1.96**2 / 64) ** 0.5 / (1 + 1.96**2 / 4)
    assert [found.low[0], found.high[0]] == pytest.approx([middle - half, middle + half], abs=1e-4)
    assert [found.low[1], found.high[1]] == pytest.approx([1 - middle - half, 1 - middle + half], abs=1e-4)


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda: calibrate([1, 2], [1, 1]), InputError),
        (lambda: calibrate([1, 2], [0.5, 1]), InputError),
        (lambda: calibrate([1, 2], [0]), DimensionMismatch),
        (lambda: threshold_for([1, 2], [0, 1], 0), InputError),
        (lambda: reliability([0.5], [1], bins=0), InputError),
        (lambda: reliability([0.5], [0.5]), InputError),
    ],
)
def test_what_cannot_be_is_named(call, error):
    with pytest.raises(error):
        call()
