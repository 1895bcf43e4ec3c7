"""What nobody judged: by hand, and as wide as any judging could make it."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from vicino.evaluation.unjudged import bounds
from vicino.metrics import parse
from vicino.metrics.ranking import judge


def test_bounds_by_hand():
    ranked = np.array([["x", "a", "y"], ["b", "x", None]], dtype=object)
    judged = judge(ranked, [{"a": 1, "y": 0}, {"b": 1}])
    assert bounds(judged, parse("P@2")) == (0.5, 1.0)
    assert bounds(judged, parse("MRR")) == (0.75, 1.0)
    assert bounds(judged, parse("P@1")) == (0.5, 1.0)
    known = judge(ranked[:, :1], [{"x": 0, "a": 1}, {"b": 2}])
    assert bounds(known, parse("P@1")) == (0.5, 0.5)  # all was judged


@pytest.mark.parametrize("name", ["nDCG@3", "Recall@3", "MAP@3", "MRR@3", "P@3", "success@1"])
def test_no_judging_leaves_the_bounds_upwards(name):
    """Every way to judge the three unknown documents, against the bound that was told without."""
    metric, ranked = parse(name), np.array([["u", "v", "a", "w"]], dtype=object)
    known = {"a": 1, "b": 2, "n": 0}
    low, high = bounds(judge(ranked, [known]), metric)
    assert low == metric(judge(ranked, [known]))[0]
    for grades in itertools.product([0, 1, 2], repeat=3):
        value = metric(judge(ranked, [known | dict(zip("uvw", grades, strict=True))]))[0]
        assert value <= high + 1e-12
