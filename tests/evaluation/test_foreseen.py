"""What is said before the run: by hand, from earlier runs, and which queries speak for themselves."""

from __future__ import annotations

import math

import numpy as np
import pytest

from vicino.evaluation.foreseen import SPREAD, foresee, hanging_together
from vicino.metrics.significance import detectable_difference


def test_a_usual_spread_by_hand():
    found = foresee(np.arange(400), 2)
    assert found.difference == pytest.approx((1.959964 + 0.841621) * SPREAD / 20, rel=1e-5)
    assert (found.queries, found.units, found.spread) == (400, 400, SPREAD)
    assert f"would show a true difference of {found.difference:.3f} four times in five" in found.sentence


def test_more_candidates_and_fewer_units_show_less():
    two, six = foresee(np.arange(100), 2), foresee(np.arange(100), 6)
    assert six.difference > 1.2 * two.difference
    twins = foresee(np.arange(100) // 4, 2)
    assert twins.units == 25
    assert twins.difference == pytest.approx(2 * two.difference)


def test_the_spread_of_earlier_candidates_is_used():
    rng = np.random.default_rng(0)
    base = rng.random(200)
    known = {"a": base, "b": base + rng.normal(0, 0.1, 200), "copy": base}
    found = foresee(np.arange(200), 2, known)
    assert found.spread == pytest.approx(0.1, abs=0.02)
    assert found.source == "of 2 pairs that were measured before"  # a and its copy tell nothing
    assert found.difference == pytest.approx(detectable_difference(known["b"] - base))
    assert foresee(np.arange(200), 2, {"a": base, "copy": base}).source == foresee(np.arange(200), 2).source


def test_one_query_shows_nothing():
    for units in (np.zeros(1, int), np.zeros(5, int)):
        found = foresee(units, 3)
        assert found.difference == math.inf
        assert "no difference at all" in found.sentence


def test_queries_hang_together_by_most_of_their_answers(by_hand):
    task = by_hand(
        {
            "first": {"a": 1, "b": 1},
            "other": {"b": 1, "a": 2, "c": 0},  # the same answers: what is not relevant does not count
            "half": {"a": 1},  # half the same
            "third": {"b": 1, "x": 1, "y": 1},  # a quarter of the first's and its own
            "alone": {"z": 1},
        }
    )
    assert hanging_together(task).tolist() == [0, 0, 0, 1, 2]
    assert task.groups.tolist() == [0, 0, 0, 0, 1]  # by any document, over any number of queries
