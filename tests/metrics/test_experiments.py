"""Experiments: worked examples, other implementations, and thousands of simulated ones in which the truth is known."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from vicino.errors import DimensionMismatch, EmptyInput, InputError, InvalidVectors
from vicino.metrics.experiments import (
    Difference,
    always_valid,
    difference,
    equivalent,
    mismatch,
    permuted_difference,
    ratio,
    smallest_effect,
    team_draft,
    users_for_normal,
    users_needed,
)
from vicino.metrics.significance import Interval

RUNS = 2000


def test_a_mean_is_compared_as_welch_does_with_many_users():
    random = np.random.default_rng(0)
    one, two = random.normal(0, 1, 4000), random.normal(0.05, 3, 5000)
    found = difference(ratio(one), ratio(two))
    welch = stats.ttest_ind(two, one, equal_var=False)
    assert found.p == pytest.approx(welch.pvalue, rel=0.01)
    low, high = welch.confidence_interval()
    assert found.interval == pytest.approx((two.mean() - one.mean(), low, high), abs=1e-4)


def test_a_ratio_has_the_spread_that_drawing_users_anew_has():
    random = np.random.default_rng(1)
    shown = random.poisson(4, 3000) + 1
    clicked = random.binomial(shown, random.beta(1, 5, 3000))  # clicks of one user hang together
    found = ratio(clicked, shown)
    rows = random.integers(0, 3000, (4000, 3000))
    drawn = clicked[rows].sum(axis=1) / shown[rows].sum(axis=1)
    assert found.value == clicked.sum() / shown.sum()
    assert math.sqrt(found.variance) == pytest.approx(drawn.std(), rel=0.06)
    by_click = math.sqrt(found.value * (1 - found.value) / shown.sum())
    assert math.sqrt(found.variance) > 1.2 * by_click  # what a binomial interval over clicks would promise


def test_users_needed_is_what_the_textbook_says_and_has_a_reverse():
    # (1.96 + 0.8416)^2 (.1 .9 / .5 + .11 .89 / .5) / .01^2
    assert users_needed((0.09, 0.0979), 0.01) == 29_497
    assert users_needed(4.0, 0.1, power=0.9) == 16_812  # 2 (1.96 + 1.2816)^2 4 / .1^2, both groups
    for share in (0.5, 0.1):
        users = users_needed((0.09, 0.0979), 0.01, share=share)
        assert smallest_effect((0.09, 0.0979), users, share=share) == pytest.approx(0.01, rel=1e-4)


def simulated(random, effect, users, base=0.1):
    """Conversions of both groups of so many users each, in RUNS experiments."""
    return [random.binomial(1, share, (RUNS, users)).cumsum(axis=1) for share in (base, base + effect)]


def at(sums, users):
    """The comparison of each experiment after the first so many users of each group."""
    one, two = (each[:, users - 1] / users for each in sums)
    error = np.sqrt((one * (1 - one) + two * (1 - two)) / (users - 1))
    return two - one, error


@pytest.fixture(scope="module")
def alike():
    return simulated(np.random.default_rng(0), 0.0, 2000)


def wrong(means, errors):
    """The share of experiments that claim a difference, by the functions that `read` calls."""
    pairs = zip(means, errors, strict=True)
    found = [Difference(Interval(m, m - 1.96 * e, m + 1.96 * e), e, 2 * stats.norm.sf(abs(m) / e)) for m, e in pairs]
    return np.array([one.p < 0.05 for one in found]), np.array([always_valid(one, 0.03)[1] < 0.05 for one in found])


@pytest.mark.long
def test_one_look_gives_five_false_alarms_in_a_hundred_and_twenty_looks_many_more_unless_they_are_allowed_for(alike):
    looks = [wrong(*at(alike, users)) for users in range(100, 2001, 100)]
    once = looks[-1][0].mean()
    peeking = np.any([fixed for fixed, _ in looks], axis=0).mean()
    allowed = np.any([valid for _, valid in looks], axis=0).mean()
    assert 0.03 < once < 0.07  # four standard errors around .05
    assert peeking > 0.15
    assert allowed <= 0.05


def test_what_was_planned_is_found_as_often_as_was_promised():
    variance = (0.1 * 0.9, 0.13 * 0.87)
    users = users_needed(variance, 0.03) // 2
    sums = simulated(np.random.default_rng(3), 0.03, users)
    found = wrong(*at(sums, users))[0].mean()
    assert 0.76 < found < 0.84


def test_an_always_valid_interval_and_its_p_say_the_same():
    for mean in np.linspace(-0.2, 0.2, 21):
        for error in (0.01, 0.05):
            interval, p = always_valid(Difference(Interval(mean, 0, 0), error, 1.0), 0.05)
            assert (p < 0.05) == (interval.low > 0 or interval.high < 0)
            assert interval.high - interval.mean > 1.96 * error
    assert always_valid(Difference(Interval(0.0, 0, 0), 0.0, 1.0), 0.1)[1] == 1


def test_the_same_is_found_and_not_only_nothing():
    tight = Difference(Interval(0.001, -0.009, 0.011), 0.005, 0.84)
    assert equivalent(tight, 0.02) < 0.001
    assert equivalent(tight, 0.005) > 0.05
    assert equivalent(Difference(Interval(0.03, 0, 0), 0.001, 0), 0.02) > 0.99
    one_sided = stats.norm.sf((0.02 - 0.001) / 0.005)
    assert equivalent(tight, 0.02) == pytest.approx(one_sided)


def test_lost_users_are_noticed():
    assert mismatch([10_000, 10_100]) > 0.4
    assert mismatch([10_000, 10_600]) < 1e-4
    assert mismatch([990, 9_010], [1, 9]) > 0.01
    assert mismatch([10_000, 10_100]) == pytest.approx(stats.chisquare([10_000, 10_100]).pvalue)


# Users who are simulated one by one --------------------------------------------------------------------------------------


def clicking(random, users, lift=0.0):
    """Clicks and what was shown: a user's taste makes his clicks hang together."""
    shown = random.poisson(19, users) + 1
    return random.binomial(shown, np.clip(random.beta(1, 4, users) + lift, 0, 1)), shown


def spending(random, users, lift=0.0):
    """Most spend nothing, a few much."""
    return (random.random(users) < 0.1) * random.lognormal(3, 1, users) * (1 + lift), None


def alarms(draw, sizes, lift=0.0, runs=500):
    random = np.random.default_rng(7)
    pairs = ((ratio(*draw(random, sizes[0])), ratio(*draw(random, sizes[1], lift))) for _ in range(runs))
    return np.mean([difference(*pair).p < 0.05 for pair in pairs])


@pytest.mark.parametrize(("draw", "sizes"), [(clicking, (500, 500)), (clicking, (1800, 200)), (spending, (1500, 1500))])
def test_ratios_raise_false_alarms_no_more_often_than_they_may(draw, sizes):
    assert 0.01 < alarms(draw, sizes) < 0.09  # four standard errors around .05


def test_clicks_are_not_independent_and_a_binomial_interval_over_them_is_wrong():
    random, wrong = np.random.default_rng(8), 0
    for _ in range(400):
        (a, n), (b, m) = clicking(random, 1000), clicking(random, 1000)
        pooled = (a.sum() + b.sum()) / (n.sum() + m.sum())
        error = math.sqrt(pooled * (1 - pooled) * (1 / n.sum() + 1 / m.sum()))
        wrong += abs(a.sum() / n.sum() - b.sum() / m.sum()) > 1.96 * error
    assert wrong / 400 > 0.15


def test_a_ratio_is_found_as_often_as_was_planned():
    many = [ratio(*clicking(np.random.default_rng(9), 200_000, lift)) for lift in (0.0, 0.02)]
    users = users_needed((many[0].spread, many[1].spread), many[1].value - many[0].value)
    assert 0.72 < alarms(clicking, (users // 2, users // 2), 0.02) < 0.88


def test_a_few_who_hold_much_want_many_users():
    spent = np.random.default_rng(0).lognormal(3, 2, 3000)
    assert users_for_normal(spent) == math.ceil(355 * stats.skew(spent) ** 2)
    assert users_for_normal(np.random.default_rng(0).normal(size=5000)) < 100
    assert users_for_normal([1, 1, 1]) == 0
    bought, _ = spending(np.random.default_rng(1), 600)
    assert users_for_normal(bought) > 600  # and 600 of these raise 8 % of false alarms beside 5,400
    clicked, shown = clicking(np.random.default_rng(1), 5000)
    off = clicked - clicked.sum() / shown.sum() * shown
    assert users_for_normal(clicked, shown) == math.ceil(355 * stats.skew(off) ** 2)


def test_dividing_users_anew_is_exact_where_all_divisions_can_be_counted():
    one, two = [1.0, 5.0, 2.0, 9.0, 0.0], [3.0, 7.0, 30.0]
    found = permuted_difference((one, None), (two, None), resamples=20_000)
    every = np.array([*one, *two])
    divisions = [np.isin(np.arange(8), few) for few in itertools.combinations(range(8), 3)]
    far = np.array([stats.ttest_ind(every[part], every[~part], equal_var=False).statistic for part in divisions])
    true = stats.ttest_ind(two, one, equal_var=False).statistic
    assert found.p == pytest.approx(2 * min((far >= true - 1e-9).mean(), (far <= true + 1e-9).mean()), abs=0.01)
    low, high = np.quantile(far, [0.025, 0.975], method="inverted_cdf") * found.standard_error
    assert found.interval.low == pytest.approx(found.interval.mean - high, abs=0.3)
    assert found.interval.high == pytest.approx(found.interval.mean - low, abs=0.3)


def test_dividing_users_anew_agrees_with_the_normal_curve_where_that_holds():
    random = np.random.default_rng(5)
    first, second = clicking(random, 3000), clicking(random, 2000, 0.01)
    plain, anew = difference(ratio(*first), ratio(*second)), permuted_difference(first, second, seed=1)
    assert anew.interval.mean == plain.interval.mean
    assert anew.interval[1:] == pytest.approx(plain.interval[1:], abs=0.15 * plain.standard_error)
    assert anew.p == pytest.approx(plain.p, abs=0.03)
    assert permuted_difference(first, second, seed=1) == anew


@pytest.mark.long
def test_dividing_users_anew_raises_no_more_false_alarms_than_it_may_in_a_small_group():
    random, wrong, normal = np.random.default_rng(6), 0, 0
    for _ in range(300):
        first, second = spending(random, 1800), spending(random, 200)
        wrong += permuted_difference(first, second, resamples=400).p < 0.05
        normal += difference(ratio(*first), ratio(*second)).p < 0.05
    assert wrong / 300 < 0.09  # three standard errors over .05
    assert normal > wrong


# Interleaving -----------------------------------------------------------------------------------------------------------


def test_a_list_holds_the_best_of_both_fairly():
    first, second = list("abcdef"), list("fedcba")
    picks = np.zeros(2)
    for seed in range(400):
        shown, teams = team_draft(first, second, 4, seed=seed)
        assert len(set(shown)) == 4
        assert (teams == 0).sum() == 2  # of every two, one each
        assert {shown[0], shown[1]} == {"a", "f"}
        picks[teams[0]] += 1
    assert 150 < picks[0] < 250


def test_lists_that_end_early_or_agree():
    assert team_draft([], [], 3)[0] == []
    shown, teams = team_draft("ab", "abcde", 10, seed=1)
    assert sorted(shown) == list("abcde")
    assert len(teams) == 5
    assert team_draft("abc", "abc", 3)[0] == ["a", "b", "c"]
    assert team_draft("abc", "bca", 3, seed=5)[0] == team_draft("abc", "bca", 3, seed=5)[0]


def test_users_who_click_at_random_prefer_neither():
    random, credit = np.random.default_rng(0), 0
    for _ in range(2000):
        _, teams = team_draft(random.permutation(10).tolist(), random.permutation(10).tolist(), 10, seed=random)
        credit += 2 * int(teams[random.integers(10)]) - 1
    assert abs(credit) < 4 * math.sqrt(2000)


def test_the_better_ranking_is_preferred_by_users_who_saw_both_as_one():
    random, credit = np.random.default_rng(0), []
    for _ in range(600):
        worse, better = random.permutation(20), np.argsort(random.permutation(20) - 10 * (np.arange(20) < 5))
        shown, teams = team_draft(worse.tolist(), better.tolist(), 10, seed=random)
        taken = (np.array(shown) < 5) & (random.random(10) < 0.3)
        wins = np.bincount(teams[taken], minlength=2)
        credit.append(np.sign(wins[1] - wins[0]))
    decided = np.array([each for each in credit if each])
    assert stats.binomtest(int((decided > 0).sum()), len(decided)).pvalue < 1e-6
    assert (decided > 0).mean() > 0.7


# What is refused --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda: ratio([1.0]), InputError),
        (lambda: ratio([]), EmptyInput),
        (lambda: ratio([1.0, np.nan]), InvalidVectors),
        (lambda: ratio([1, 2], [0, 0]), InputError),
        (lambda: ratio([1, 2], [1, 1, 1]), DimensionMismatch),
        (lambda: users_needed(0.1, 0.0), InputError),
        (lambda: users_needed(0.1, math.inf), InputError),
        (lambda: users_needed(-0.1, 0.1), InputError),
        (lambda: users_needed(0.1, 0.1, power=1.0), InputError),
        (lambda: smallest_effect(0.1, 1), InputError),
        (lambda: users_for_normal([1.0]), InputError),
        (lambda: equivalent(Difference(Interval(0, 0, 0), 1, 1), 0), InputError),
        (lambda: mismatch([1]), InputError),
        (lambda: mismatch([0, 0]), InputError),
        (lambda: mismatch([1, 2], [1]), DimensionMismatch),
        (lambda: mismatch([1, 2], [1, 0]), InputError),
        (lambda: always_valid(Difference(Interval(0, 0, 0), 1, 1), 0), InputError),
        (lambda: team_draft("a", "b", 0), InputError),
    ],
)
def test_what_cannot_be_is_named(call, error):
    with pytest.raises(error):
        call()
