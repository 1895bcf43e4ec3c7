"""Significance: worked by hand, against scipy where it has the same thing, and by simulation where truth is known."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from vicino.errors import DimensionMismatch, EmptyInput, InputError, InvalidVectors
from vicino.metrics.significance import (
    Tally,
    bootstrap_difference,
    bootstrap_interval,
    bootstrap_intervals,
    detectable_difference,
    equivalence_test,
    holm,
    pairwise_tests,
    randomisation_test,
    seed_levels,
    wins_ties_losses,
)

SHARES = st.lists(st.floats(0, 1), min_size=1, max_size=40)
PAIRS = st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=40)


# --- bootstrap --------------------------------------------------------------------------------------------------------


def test_bootstrap_of_two_values_by_hand():
    # Means of two draws from {0, 1}: 0, 1/2, 1 with chances 1/4, 1/2, 1/4.
    assert bootstrap_interval([0.0, 1.0], level=0.95) == (0.5, 0.0, 1.0)
    assert bootstrap_interval([0.0, 1.0], level=0.4) == (0.5, 0.5, 0.5)


def test_bootstrap_of_zeros_and_ones_is_binomial():
    interval = bootstrap_interval([1.0] * 60 + [0.0] * 140)
    exact = stats.binom.ppf([0.025, 0.975], 200, 0.3) / 200
    assert (interval.low, interval.high) == pytest.approx(tuple(exact), abs=1 / 200)


@pytest.mark.parametrize("decimals", [16, 1])  # distinct values are drawn one by one, eleven are counted
def test_bootstrap_agrees_with_scipy(decimals):
    values = np.random.default_rng(5).beta(2, 3, size=800).round(decimals)
    theirs = stats.bootstrap((values,), np.mean, method="percentile", n_resamples=10_000, rng=7).confidence_interval
    ours = bootstrap_interval(values)
    # Both are random estimates of one interval: they agree to a small part of its width.
    assert (ours.low, ours.high) == pytest.approx(tuple(theirs), abs=0.03 * (ours.high - ours.low))


def test_bootstrap_intervals_hold_the_true_mean_as_often_as_they_say():
    rng = np.random.default_rng(11)
    intervals = [bootstrap_interval(rng.exponential(size=80), resamples=1000, level=0.9) for _ in range(400)]
    coverage = np.mean([low <= 1 <= high for _, low, high in intervals])
    assert 0.85 <= coverage <= 0.93  # skewed values: a little below 0.9 is known and expected


@given(values=SHARES, seed=st.integers(0, 5))
def test_bootstrap_is_ordered_bounded_and_repeatable(values, seed):
    interval = bootstrap_interval(values, resamples=200, seed=seed)
    assert min(values) - 1e-12 <= interval.low <= interval.high <= max(values) + 1e-12
    assert interval.mean == pytest.approx(np.mean(values))
    assert interval == bootstrap_interval(values, resamples=200, seed=seed)


def test_another_seed_is_another_draw():
    values = np.random.default_rng(0).random(50)
    assert bootstrap_interval(values, seed=1) != bootstrap_interval(values, seed=2)


def test_a_higher_level_is_a_wider_interval():
    values = np.random.default_rng(0).random(50)
    narrow, wide = bootstrap_interval(values, level=0.8), bootstrap_interval(values, level=0.99)
    assert wide.low < narrow.low < narrow.high < wide.high


def test_a_paired_difference_knows_that_queries_differ_in_difficulty():
    rng = np.random.default_rng(3)
    difficulty = rng.random(100)
    better = difficulty + 0.05 + rng.normal(0, 0.01, 100)
    paired = bootstrap_difference(better, difficulty)
    assert 0.04 < paired.low < paired.mean < paired.high < 0.06
    assert bootstrap_interval(better).low < bootstrap_interval(difficulty).high  # unpaired, nothing could be said


@pytest.mark.parametrize("decimals", [16, 3])  # all values distinct, and a thousand distinct ones
def test_bootstrap_of_a_hundred_thousand_queries_fits_in_little_memory(decimals):
    values = np.random.default_rng(0).random(100_000).round(decimals)
    assert peak_megabytes(lambda: bootstrap_interval(values, resamples=100)) < 30  # at once it would take 160


# --- randomisation test -----------------------------------------------------------------------------------------------


def test_randomisation_by_hand():
    # Differences 3, 2, -1 (and a tie, which no sign changes). Sums of the 8 patterns: ±6, ±4, ±2, ±0; observed 4.
    assert randomisation_test([3, 2, 0, 5], [0, 0, 1, 5]) == 4 / 8


def test_no_difference_is_no_evidence():
    assert randomisation_test([0.3, 0.4], [0.3, 0.4]) == 1.0
    # Rounding alone, always in one direction, must not become significant.
    assert randomisation_test(np.full(100, 0.3), np.full(100, 0.1 + 0.2)) == 1.0


@pytest.mark.parametrize("count", [2, 5, 9, 13])
def test_few_differences_are_enumerated_as_scipy_does(count):
    a, b = np.random.default_rng(count).random((2, count))
    assert randomisation_test(a, b) == pytest.approx(exact_by_scipy(a, b), abs=1e-12)


@pytest.mark.parametrize("seed", range(4))
def test_many_differences_are_sampled_near_the_exact_p(seed):
    rng = np.random.default_rng(seed)
    b = rng.random(15)
    a = b + rng.normal(0.15, 0.4, 15)
    exact = exact_by_scipy(a, b)
    error = 4 * (exact * (1 - exact) / 10_000) ** 0.5 + 1e-4  # four standard errors, and the +1
    assert randomisation_test(a, b) == pytest.approx(exact, abs=error)


def test_the_sampled_p_is_never_zero():
    b = np.random.default_rng(0).random(200)
    assert randomisation_test(b + 0.5, b, rounds=999) == 1 / 1000


def test_equal_systems_are_called_different_as_rarely_as_promised():
    rng = np.random.default_rng(21)
    p_values = np.array([randomisation_test(*rng.random((2, 30)), rounds=400) for _ in range(600)])
    for level in (0.05, 0.2, 0.5):
        assert np.mean(p_values <= level) == pytest.approx(level, abs=4 * (level * (1 - level) / 600) ** 0.5)


@given(pairs=PAIRS)
def test_randomisation_is_a_probability_the_same_both_ways(pairs):
    a, b = np.array(pairs).T
    p = randomisation_test(a, b, rounds=100)
    assert 0 < p <= 1
    assert p == randomisation_test(a, b, rounds=100) == randomisation_test(b, a, rounds=100)


def test_randomisation_fits_in_little_memory():
    a, b = np.random.default_rng(0).random((2, 100_000))
    assert peak_megabytes(lambda: randomisation_test(a, b, rounds=300)) < 30  # at once it would take 240


# --- Holm -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("p_values", "corrected"),
    [
        ([], []),
        ([0.03], [0.03]),
        ([0.01, 0.02, 0.03, 0.04], [0.04, 0.06, 0.06, 0.06]),  # 4·.01, 3·.02, then 2·.03 and 1·.04 held up at .06
        ([0.04, 0.001, 0.03], [0.06, 0.003, 0.06]),
        ([0.6, 0.5], [1.0, 1.0]),
        ([0.02, 0.02], [0.04, 0.04]),
    ],
)
def test_holm_by_hand(p_values, corrected):
    assert holm(p_values) == pytest.approx(corrected)


@given(p_values=st.lists(st.integers(0, 100).map(lambda percent: percent / 100), max_size=8))
def test_holm_rejects_exactly_what_stepping_down_rejects(p_values):
    level = 0.0501  # no multiple of a hundredth: no rounding at the border
    rejected, left = set(), len(p_values)
    for index in sorted(range(len(p_values)), key=p_values.__getitem__):
        if p_values[index] > level / left:
            break
        rejected.add(index)
        left -= 1
    assert {index for index, p in enumerate(holm(p_values)) if p <= level} == rejected


@pytest.mark.parametrize("p", [-0.1, 1.1, float("nan")])
def test_holm_takes_only_probabilities(p):
    with pytest.raises(InputError, match="not a probability"):
        holm([0.5, p])


# --- power ------------------------------------------------------------------------------------------------------------


def test_detectable_difference_by_hand():
    # s = √(2 · 0.01 · 5 / 9), z = 1.959964 + 0.841621
    expected = (1.959964 + 0.841621) * (0.1 / 9) ** 0.5 / 10**0.5
    assert detectable_difference([0.1, -0.1] * 5) == pytest.approx(expected, rel=1e-6)


def test_a_detectable_difference_is_detected_as_often_as_promised():
    rng = np.random.default_rng(2)
    noise = rng.normal(0, 0.3, size=(4000, 150))
    true = detectable_difference(noise[0] * 0.3 / noise[0].std(ddof=1))
    p_values = stats.ttest_1samp(noise + true, 0, axis=1).pvalue
    assert np.mean(p_values < 0.05) == pytest.approx(0.8, abs=0.02)


def test_more_queries_show_smaller_differences():
    differences = np.random.default_rng(0).normal(size=50)
    assert detectable_difference(np.tile(differences, 4)) == pytest.approx(detectable_difference(differences) / 2, rel=0.02)


def test_one_difference_has_no_spread():
    with pytest.raises(InputError, match="spread"):
        detectable_difference([0.1])


# --- wins, ties, losses -----------------------------------------------------------------------------------------------


def test_wins_ties_losses_by_hand():
    assert wins_ties_losses([1, 0.3, 0.2, 0], [0, 0.1 + 0.2, 0.9, 0.5]) == Tally(wins=1, ties=1, losses=2)
    assert wins_ties_losses([0.50, 0.7], [0.52, 0.2], tolerance=0.05) == Tally(wins=1, ties=1, losses=0)


@given(pairs=PAIRS)
def test_every_query_is_counted_once_and_sides_mirror(pairs):
    a, b = np.array(pairs).T
    tally = wins_ties_losses(a, b)
    assert sum(tally) == len(pairs)
    assert wins_ties_losses(b, a) == tally[::-1]


# --- bad input --------------------------------------------------------------------------------------------------------

ON_ONE = [bootstrap_interval, detectable_difference]
ON_TWO = [bootstrap_difference, randomisation_test, wins_ties_losses]
BAD = [
    ([], EmptyInput),
    ([0.1, float("nan")], InvalidVectors),
    ([0.1, float("inf")], InvalidVectors),
    ([[0.1], [0.2]], InvalidVectors),
    (["a lot", "little"], InvalidVectors),
]


@pytest.mark.parametrize(("values", "error"), BAD)
@pytest.mark.parametrize("function", ON_ONE)
def test_bad_values_are_named(function, values, error):
    with pytest.raises(error):
        function(values)


@pytest.mark.parametrize(("values", "error"), BAD)
@pytest.mark.parametrize("function", ON_TWO)
def test_bad_pairs_are_named(function, values, error):
    good = [0.5] * len(values)
    with pytest.raises(error):
        function(values, good)
    with pytest.raises(error):
        function(good, values)


@pytest.mark.parametrize("function", ON_TWO)
def test_pairs_of_unequal_length(function):
    with pytest.raises(DimensionMismatch, match="2 values cannot be paired with 3"):
        function([0.1, 0.2], [0.1, 0.2, 0.3])


@pytest.mark.parametrize(
    ("function", "options"),
    [
        (bootstrap_interval, {"resamples": 0}),
        (bootstrap_interval, {"level": 1.0}),
        (bootstrap_interval, {"level": 95}),
        (detectable_difference, {"level": 0.0}),
        (detectable_difference, {"power": 1.0}),
        (lambda values, **options: randomisation_test(values, values, **options), {"rounds": 0}),
    ],
)
def test_options_out_of_range(function, options):
    with pytest.raises(InputError, match=next(iter(options))):
        function([0.1, 0.2], **options)


# --- oracles ----------------------------------------------------------------------------------------------------------


def exact_by_scipy(a, b):
    def mean_difference(x, y, axis):
        return np.mean(x - y, axis=axis)

    result = stats.permutation_test(
        (a, b), mean_difference, permutation_type="samples", vectorized=True, n_resamples=np.inf, batch=4096
    )
    return result.pvalue


def peak_megabytes(action):
    tracemalloc.start()
    try:
        action()
        return tracemalloc.get_traced_memory()[1] / 1e6
    finally:
        tracemalloc.stop()


# --- groups -----------------------------------------------------------------------------------------------------------


def test_groups_are_drawn_whole_by_hand():
    # Two groups, of the values 0, 0 and 1: drawn twice the first, one of each (2 of 4 times), twice the second.
    mean, low, high = bootstrap_interval([0.0, 0.0, 1.0], groups=["a", "a", "b"], level=0.95)
    assert (mean, low, high) == (pytest.approx(1 / 3), 0.0, 1.0)
    assert bootstrap_interval([0.0, 0.0, 1.0], groups=[5, 5, 9], level=0.4).low == pytest.approx(1 / 3)


def test_groups_of_one_change_nothing():
    values = np.random.default_rng(0).normal(size=60)
    assert detectable_difference(values, groups=np.arange(60)) == pytest.approx(detectable_difference(values))
    plain, grouped = bootstrap_interval(values), bootstrap_interval(values, groups=np.arange(60)[::-1])
    np.testing.assert_allclose(grouped, plain, atol=0.02)


def test_what_hangs_together_tells_less():
    once = np.random.default_rng(1).normal(0.1, 1, size=50)
    values, groups = np.repeat(once, 4), np.repeat(np.arange(50), 4)
    np.testing.assert_allclose(bootstrap_interval(values, groups=groups), bootstrap_interval(once), atol=0.02)
    assert detectable_difference(values, groups=groups) == pytest.approx(detectable_difference(once))
    apart, together = bootstrap_difference(values, 0 * values), bootstrap_difference(values, 0 * values, groups=groups)
    assert together.high - together.low > 1.7 * (apart.high - apart.low)


def test_groups_that_do_not_fit_are_named():
    with pytest.raises(DimensionMismatch, match="groups"):
        bootstrap_interval([0.1, 0.2], groups=[1])
    with pytest.raises(InputError, match="no spread"):
        detectable_difference([0.1, 0.2], groups=[1, 1])


# --- several systems --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("groups", [None, np.arange(90) // 3])
def test_several_are_drawn_as_each_alone(groups):
    table = np.random.default_rng(4).random((3, 90))
    together = bootstrap_intervals(table, groups=groups, seed=2)
    for row, found in zip(table, together, strict=True):
        assert found == pytest.approx(bootstrap_interval(row, groups=groups, seed=2), abs=1e-12)


def test_several_share_their_draws():
    row = np.random.default_rng(4).random(90)
    low, high = bootstrap_intervals([row, row + 1])
    assert np.subtract(high, low) == pytest.approx([1, 1, 1])


def test_a_bootstrap_of_groups_agrees_with_one_by_hand():
    rng = np.random.default_rng(8)
    values, groups = rng.random(200), rng.integers(0, 40, size=200)
    members = [values[groups == group] for group in np.unique(groups)]
    drawn = [np.concatenate([members[g] for g in rng.integers(len(members), size=len(members))]).mean() for _ in range(4000)]
    found = bootstrap_interval(values, groups=groups)
    assert found[1:] == pytest.approx(np.quantile(drawn, [0.025, 0.975]), abs=0.08 * (found.high - found.low))


def test_two_systems_are_tested_as_a_pair():
    rng = np.random.default_rng(6)
    for size in (9, 60):
        a, b = rng.random((2, size))
        assert pairwise_tests([a, b]).p.tolist() == [[1, randomisation_test(a, b)], [randomisation_test(a, b), 1]]


def test_all_pairs_by_hand():
    # Differences a-b 3 and 1, a-c 2 and 0, b-c -1 and -1. Of the four patterns of signs, in standard deviations of each pair:
    # a-b ±4, ±2 of √10; a-c ±2 of 2; b-c ±2, 0 of √2. Observed: 1.26, 1, 1.41; the largest of each pattern: 1.41, 1.
    found = pairwise_tests([[3, 1], [0, 0], [1, 1]])
    # b-c leads: two of four patterns reach 1.41 (++ and --). Then a-b: 1.26 is reached by the same two. Then a-c: by all.
    assert found.p.tolist() == [[1, 0.5, 1], [0.5, 1, 0.5], [1, 0.5, 1]]


def test_correction_for_all_pairs_forgives_likeness():
    rng = np.random.default_rng(3)
    base = rng.random(100)
    other = base + rng.normal(0.06, 0.2, 100)
    alone = randomisation_test(other, base)
    copies = pairwise_tests([base, other, *(other + rng.normal(0, 1e-6, 100) for _ in range(5))]).p[0, 1]
    apart = pairwise_tests([base, other, *rng.random((5, 100))]).p[0, 1]
    assert alone <= copies < apart  # six systems that are one cost little; six different ones much


def test_equals_are_rarely_told_apart_whichever_pair_one_picks():
    rng = np.random.default_rng(12)
    found = [pairwise_tests(rng.random((5, 1)) * 0 + rng.random((5, 40)), rounds=400, seed=seed).p.min() for seed in range(400)]
    share = np.mean(np.array(found) < 0.05)
    assert share <= 0.05 + 4 * (0.05 * 0.95 / 400) ** 0.5
    assert np.mean(np.array(found) < 0.3) > 0.15  # and not because nothing is ever found


def test_the_critical_value_is_that_of_one_pair_or_of_the_range():
    rng = np.random.default_rng(1)
    assert pairwise_tests(rng.normal(0.5, 0.1, (2, 300))).critical == pytest.approx(1.96, abs=0.08)
    tukey = stats.studentized_range.ppf(0.95, 6, np.inf) / 2**0.5
    assert pairwise_tests(rng.normal(0.5, 0.1, (6, 300))).critical == pytest.approx(tukey, abs=0.12)
    assert pairwise_tests([[0.1, 0.2]]).p.tolist() == [[1.0]]


def test_groups_change_sides_together():
    a, b = np.repeat([0.9, 0.8, 0.7], 4), np.repeat([0.4, 0.4, 0.4], 4)
    groups = np.repeat([7, 3, 5], 4)
    assert randomisation_test(a, b, groups=groups) == 2 / 8
    assert pairwise_tests([a, b], groups=groups).p[0, 1] == 2 / 8
    assert randomisation_test(a, b) == 2 / 2**12


def test_luck_that_queries_do_not_show_makes_p_larger():
    rng = np.random.default_rng(5)
    b = rng.random(80)
    a = b + rng.normal(0.1, 0.2, 80)
    plain, lucky = (pairwise_tests([a, b], luck=luck).p[0, 1] for luck in (None, [0.05**2, 0.05**2]))
    assert plain < 0.01 < lucky
    with pytest.raises(InputError, match="luck"):
        pairwise_tests([a, b], luck=[0.1])


# --- the same ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("margin", [0.0, 0.01, 0.05, 0.3])
@pytest.mark.parametrize("shift", [-0.04, 0.0, 0.02])
def test_equivalence_is_two_one_sided_t_tests_of_scipy(margin, shift):
    rng = np.random.default_rng(9)
    b = rng.random(60)
    a = b + rng.normal(shift, 0.1, 60)
    above = stats.ttest_1samp(a - b, -margin, alternative="greater").pvalue
    below = stats.ttest_1samp(a - b, margin, alternative="less").pvalue
    assert equivalence_test(a, b, margin) == pytest.approx(max(above, below), abs=1e-9)
    assert equivalence_test(b, a, margin) == pytest.approx(max(above, below), abs=1e-9)


def test_equivalence_of_groups_is_that_of_their_sums():
    rng = np.random.default_rng(2)
    b = rng.random(50)
    a = b + rng.normal(0, 0.05, 50)
    apart = equivalence_test(a, b, 0.02)
    assert equivalence_test(a, b, 0.02, groups=np.arange(50)) == apart
    assert equivalence_test(np.tile(a, 3), np.tile(b, 3), 0.02, groups=np.tile(np.arange(50), 3)) == pytest.approx(apart)


def test_few_queries_without_a_difference_are_no_proof():
    same = np.full(30, 0.4)
    assert equivalence_test(same, same, 0.01) == 0  # what the textbook says
    assert equivalence_test(same, same, 0.01, unseen=1) > 0.3
    # Imagined: a sum of squares of one. s = √(1 / 599), t = .01 · √600 · √599
    many = np.full(600, 0.4)
    assert equivalence_test(many, many, 0.01, unseen=1) == pytest.approx(stats.t.sf(0.01 * (600 * 599) ** 0.5, 599), rel=1e-9)
    assert equivalence_test([0.4], [0.4], 0.01) == 1
    assert equivalence_test(same, same + 0.01, 0.01) == 1


def test_rare_large_differences_are_seldom_taken_for_none():
    """One query in a hundred is lost outright: exactly the margin. Of 250 queries most often one or more of them shows it."""
    rng = np.random.default_rng(14)
    lost = rng.random((2000, 250)) < 0.01
    wrong = np.mean([equivalence_test(np.zeros(250), row, 0.01, unseen=1) < 0.05 for row in lost])
    assert wrong < 0.1  # none shows in .081 of them
    careless = np.mean([equivalence_test(np.zeros(250), row, 0.01) < 0.05 for row in lost])
    assert careless >= wrong


def test_unequal_systems_are_called_the_same_as_rarely_as_promised():
    rng = np.random.default_rng(15)
    noise = rng.normal(0.02, 0.1, size=(1500, 200))
    assert np.mean([equivalence_test(row, np.zeros(200), 0.02) < 0.05 for row in noise]) == pytest.approx(0.05, abs=0.025)
    alike = rng.normal(0, 0.1, size=(200, 200))
    assert np.mean([equivalence_test(row, np.zeros(200), 0.03) < 0.05 for row in alike]) > 0.9


@pytest.mark.parametrize("options", [{"margin": -0.1}, {"margin": float("nan")}, {"margin": 0.1, "unseen": -1}])
def test_margins_that_cannot_be(options):
    with pytest.raises(InputError, match="margin"):
        equivalence_test([0.1, 0.2], [0.1, 0.2], **options)


# --- seeds ------------------------------------------------------------------------------------------------------------


def test_seeds_by_hand():
    # Means of the seeds .6 and .8; of the queries over seeds .6 and .8: standard deviation .1414, over √2 queries.
    found = seed_levels([[0.5, 0.7], [0.7, 0.9]])
    assert found == pytest.approx((0.7, 0.1, 0.02**0.5, (0.01 + 0.01) ** 0.5))
    with pytest.raises(InputError, match="spread"):
        seed_levels([[0.5, 0.7]])
    with pytest.raises(InputError, match="spread"):
        seed_levels([[0.5], [0.7]])


def test_luck_of_seeds_and_luck_of_queries_are_told_apart():
    rng = np.random.default_rng(10)
    queries, seeds = rng.normal(0, 0.3, 4000), rng.normal(0, 0.05, 400)
    found = seed_levels(0.5 + queries + seeds[:, None])
    assert found.queries == pytest.approx(0.3 / 4000**0.5, rel=0.05)
    assert found.seeds == pytest.approx(0.05, rel=0.15)
    still = seed_levels(np.tile(0.5 + queries, (3, 1)))
    assert still.seeds == pytest.approx(0, abs=1e-12)
    assert still.both == pytest.approx(still.queries)


# --- rows -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("function", [bootstrap_intervals, pairwise_tests, seed_levels])
@pytest.mark.parametrize(
    ("rows", "error"),
    [
        ([], EmptyInput),
        ([[]], EmptyInput),
        ([[0.1, 0.2], [0.3]], DimensionMismatch),
        (np.zeros(4), InvalidVectors),
        ([0.1, 0.2], InvalidVectors),
        ([[0.1, float("nan")], [0.1, 0.2]], InvalidVectors),
    ],
)
def test_bad_rows_are_named(function, rows, error):
    with pytest.raises(error):
        function(rows)


def test_several_of_many_queries_fit_in_little_memory():
    table = np.random.default_rng(0).random((3, 100_000))
    assert peak_megabytes(lambda: bootstrap_intervals(table, resamples=50)) < 60  # at once it would take 120 for each
    assert peak_megabytes(lambda: pairwise_tests(table, rounds=100)) < 60
