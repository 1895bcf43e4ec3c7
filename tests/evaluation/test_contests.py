"""The verdict over plain numbers: who wins, who is the same, who cannot be told apart, and how often it is wrong."""

from __future__ import annotations

import numpy as np
import pytest

from vicino.errors import DimensionMismatch, EmptyInput, InputError, InvalidVectors
from vicino.evaluation.contests import Contest, settle
from vicino.metrics.significance import Interval, Tally, bootstrap_difference, equivalence_test, holm, pairwise_tests

RANDOM = np.random.default_rng(7)
QUERIES = RANDOM.random(400) * 0.6


def system(gain: float, spread: float = 0.1, seed: int = 0) -> np.ndarray:
    return np.clip(QUERIES + gain + np.random.default_rng(seed).normal(0, spread, 400), 0, 1)


def told(values, names="abcdef", **options):
    values = np.asarray(values)
    options = {"costs": range(len(values)), "simple": [True] + [False] * (len(values) - 1)} | options
    return settle(list(names[: len(values)]), values, **options)


def test_the_numbers_are_those_of_the_tests():
    values = np.stack([system(0, seed=1), system(0.05, seed=2), system(0.06, seed=3)])
    groups = np.arange(400) // 2
    found = told(values, groups=groups, seed=5, margin=0.02)
    best = int(values.mean(axis=1).argmax())
    others = [place for place in range(3) if place != best]
    p = pairwise_tests(values, groups=groups, seed=5).p
    same = holm([equivalence_test(values[place], values[best], 0.02, groups=groups, unseen=1) for place in others])
    for place, each in zip(others, same, strict=True):
        contest = found.against_best[place]
        assert (contest.against, contest.p, contest.same, contest.margin) == ("abc"[best], p[place, best], each, 0.02)
        alone = bootstrap_difference(values[place], values[best], groups=groups, seed=5)
        assert contest.difference == pytest.approx(alone, abs=1e-12)
    assert found.against_best[best] is None
    assert found.baseline == "a"


def test_a_promised_difference_is_found_as_often_as_promised():
    """The truth lies just as far off as the contest says that four in five would show."""
    rng = np.random.default_rng(3)
    base, noise = rng.random(120), rng.normal(0, 0.2, (160, 120))
    promised = [told([base, base + row]).against_baseline[1].detectable for row in noise[:10]]
    gain = float(np.mean(promised))
    found = [told([base, base + row + gain]).against_baseline[1].decision == "better" for row in noise]
    assert 0.66 < np.mean(found) < 0.93


def test_equals_are_rarely_called_unequal_though_the_best_is_chosen_after_the_fact():
    rng = np.random.default_rng(4)
    wrong = winners = 0
    for seed in range(120):
        base = rng.random(40) * 0.5
        found = told(np.clip(base + rng.normal(0, 0.2, (6, 40)), 0, 1), seed=seed, simple=[True] * 3 + [False] * 3)
        contests = [contest for contest in (*found.against_best, *found.against_baseline) if contest]
        wrong += any(contest.clear for contest in contests)
        winners += not found.verdict.tied
    assert wrong / 120 <= 0.05 + 4 * (0.05 * 0.95 / 120) ** 0.5
    assert winners <= wrong


def test_decisions_have_four_words():
    interval, tally = Interval(0.1, 0.0, 0.2), Tally(1, 2, 3)
    assert Contest("x", interval, tally, 0.01, 0.1).decision == "better"
    assert Contest("x", Interval(-0.1, -0.2, 0.0), tally, 0.01, 0.1).decision == "worse"
    assert Contest("x", interval, tally, 0.2, 0.1).decision == "not told apart"
    assert Contest("x", interval, tally, 0.01, 0.1, same=0.01).decision == "the same"  # clear, and too small to matter


def test_a_difference_that_is_real_and_too_small_to_matter_is_the_same():
    found = told([system(0), system(0) + 0.003], costs=[1, 9])
    contest = found.against_baseline[1]
    assert contest.clear
    assert contest.decision == "the same"
    assert found.verdict.pick == "a"
    assert "; a is the same within ±0.01; a is the cheapest of them: use a." in found.verdict.sentence


def test_the_same_and_the_blurred_are_told_apart_in_words():
    swinging = np.clip(system(0) + RANDOM.normal(0, 0.4, 400), 0, 1)
    swinging += system(0.02).mean() - swinging.mean() - 0.012
    found = told([system(0.02), system(0.02) - 0.001, swinging], costs=[9, 5, 1])
    assert [contest and contest.decision for contest in found.against_best] == [None, "the same", "not told apart"]
    assert (
        "; b is the same within ±0.01, and the 400 queries cannot tell it from c (a true difference of" in found.verdict.sentence
    )
    assert found.verdict.pick == "c"


def test_cost_decides_between_ties_and_infinite_cost_is_named_last():
    same = system(0)
    assert told([same, same, same], costs=[3, 1, 2]).verdict.pick == "b"
    assert told([same, same, same], costs=[3, np.inf, np.inf]).verdict.pick == "a"
    assert told([same, same], costs=[np.inf, np.inf]).verdict.pick == "a"


def test_costs_that_differ_by_less_than_a_clock_does_decide_nothing():
    better = np.clip(system(0.02) + RANDOM.normal(0, 0.4, 400), 0, 1)  # which the queries cannot tell
    better += system(0).mean() - better.mean() + 0.002
    for costs, pick in (([1.0, 1.9], "b"), ([1.0, 2.1], "a")):
        found = told([system(0), better], costs=costs)
        assert [contest and contest.decision for contest in found.against_best] == ["not told apart", None]
        assert found.verdict.pick == pick
    assert "b costs little more than the cheapest of them: use b." in told([system(0), better], costs=[1, 1.9]).verdict.sentence


def test_luck_of_seeds_blurs_a_winner():
    values = [system(0, seed=1), system(0.03, seed=2)]
    assert told(values).verdict.tied == ()
    assert told(values, luck=[0, 0.03**2]).verdict.tied == ("a",)
    alike = [values[0], values[0]]
    assert told(alike, luck=[0, 0.03**2]).against_best[1].same > 0.3 > told(alike).against_best[1].same


def test_one_query_tells_nothing():
    found = told([[0.2], [0.9]])
    contest = found.against_best[0]
    assert (contest.p, contest.same, contest.detectable) == (1.0, 1.0, np.inf)
    assert contest.decision == "not told apart"
    assert found.verdict.pick == "a"
    assert "four times in five" not in found.verdict.sentence
    together = told([[0.2, 0.3], [0.9, 0.8]], groups=[4, 4])
    assert together.against_best[0].detectable == np.inf


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_all_ties_and_constant_values(value):
    found = told(np.full((3, 40), value))
    assert found.verdict.tied == ("b", "c")
    for contest in found.against_best[1:]:
        assert (contest.p, contest.tally, contest.difference) == (1.0, (0, 40, 0), (0, 0, 0))
        assert contest.decision == "not told apart"  # forty queries without a difference are no proof
    assert told(np.full((2, 2000), value)).against_best[1].decision == "the same"


def test_equal_seeds_settle_equally():
    values = [system(0, seed=1), system(0.01, seed=2)]
    assert told(values, seed=3) == told(values, seed=3)
    assert told(values, seed=3) != told(values, seed=4)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"values": [[0.1, np.nan], [0.1, 0.2]]}, InvalidVectors),
        ({"values": np.zeros((2, 0))}, EmptyInput),
        ({"costs": [1]}, DimensionMismatch),
        ({"simple": [True]}, DimensionMismatch),
        ({"names": "aa"}, DimensionMismatch),
        ({"margin": -0.1}, InputError),
        ({"margin": 1.0}, InputError),
        ({"luck": [0.1]}, InputError),
        ({"groups": [1]}, DimensionMismatch),
    ],
)
def test_what_does_not_fit_is_named(options, error):
    good = {"values": [[0.1, 0.2], [0.3, 0.2]]}
    with pytest.raises(error):
        told(**(good | options))


def test_one_that_loses_to_another_of_the_level_is_not_picked_for_its_price():
    """The best swings; the second is as good and steady, and the cheap one is clearly behind the second alone."""
    base, swing = QUERIES * 0.5 + 0.2, RANDOM.normal(0, 0.35, 400)
    best = base + 0.022 + swing - swing.mean()
    found = told([base, base + 0.02, best], costs=[1, 3, 9], simple=[False] * 3)
    assert [contest and contest.decision for contest in found.against_best] == ["not told apart", "not told apart", None]
    assert found.verdict.pick == "b"
    assert "b is the cheapest of them that is clearly worse than none: use b." in found.verdict.sentence


def test_what_nobody_knows_the_cost_of_is_not_called_cheap():
    found = told([system(0), system(0)], costs=[np.inf, np.inf])
    assert "; what they cost is not known: use a." in found.verdict.sentence
