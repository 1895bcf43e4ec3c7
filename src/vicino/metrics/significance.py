"""What the values of n queries can tell about queries that nobody asked yet.

Every function takes one value a query (a row of them for each system where several are compared, in the same order) and asks
nothing about their distribution, except `detectable_difference`, `equivalence_test` and `seed_levels`, which trust that means
of many values are normal. Equal seeds give equal results. Values must be finite: NaN and infinity raise InvalidVectors,
nothing at all raises EmptyInput, lists of unequal length raise DimensionMismatch.

`groups` (n,), wherever they are asked for, number what hangs together, such as queries that share their answers: groups are
then drawn, or change sides, with all their values, for queries that succeed and fail together tell less than as many that do
not. Groups of another length raise DimensionMismatch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from vicino.errors import InputError
from vicino.metrics.draws import EXACT_UP_TO, drawn_means, group_sums, sign_patterns
from vicino.metrics.values import Values, as_paired_values, as_value_rows, as_values

__all__ = [
    "TIE",
    "Interval",
    "Pairwise",
    "Seeds",
    "Tally",
    "bootstrap_difference",
    "bootstrap_interval",
    "bootstrap_intervals",
    "detectable_difference",
    "equivalence_test",
    "holm",
    "pairwise_tests",
    "randomisation_test",
    "seed_levels",
    "wins_ties_losses",
]

TIE = 1e-9  # two metric values nearer than this differ by rounding, not by merit


class Interval(NamedTuple):
    """A mean, and the range that holds the true mean with the stated confidence."""

    mean: float
    low: float
    high: float


class Tally(NamedTuple):
    """Queries on which the first is better, equal, worse."""

    wins: int
    ties: int
    losses: int


class Pairwise(NamedTuple):
    """Every system against every other: `p` (m, m), corrected for all pairs, and how many standard errors two means must lie
    apart for the likeliest pair to be told apart (`critical`)."""

    p: Values
    critical: float


class Seeds(NamedTuple):
    """Where the luck of a mean comes from: `queries` is its standard error from the queries that were asked, `seeds` the
    standard deviation of the means of several seeds, `both` the standard error of the mean over queries and seeds."""

    mean: float
    queries: float
    seeds: float
    both: float


def bootstrap_interval(
    values: ArrayLike, *, groups: ArrayLike | None = None, resamples: int = 10_000, level: float = 0.95, seed: int = 0
) -> Interval:
    """Confidence interval of the mean: percentile bootstrap over queries.

    Draws n of the n values with replacement `resamples` times and takes the middle `level` of the means. Somewhat too
    narrow below some twenty values, and a point where all values are equal. Efron, "Bootstrap methods: another look at
    the jackknife", Annals of Statistics 7(1), 1979.

    >>> mean, low, high = bootstrap_interval([0.0, 1.0] * 50)
    >>> mean, round(low, 2), round(high, 2)
    (0.5, 0.4, 0.6)
    """
    return bootstrap_intervals(as_values(values)[None, :], groups=groups, resamples=resamples, level=level, seed=seed)[0]


def bootstrap_intervals(
    values: ArrayLike, *, groups: ArrayLike | None = None, resamples: int = 10_000, level: float = 0.95, seed: int = 0
) -> list[Interval]:
    """`bootstrap_interval` of each row of (m, n) values: the same queries are drawn for all m, and only once.

    >>> easy, hard = bootstrap_intervals([[0.5, 1.0] * 50, [0.0, 0.5] * 50])
    >>> easy.mean, hard.mean, round(easy.low - hard.low, 9)  # the same draws
    (0.75, 0.25, 0.5)
    """
    table = as_value_rows(values)
    _require_count(resamples, "resamples")
    _require_share(level, "level")
    means = drawn_means(*group_sums(table, groups), resamples, np.random.default_rng(seed))
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2], axis=1).tolist()
    return [Interval(*each) for each in zip(table.mean(axis=1).tolist(), low, high, strict=True)]


def bootstrap_difference(
    a: ArrayLike,
    b: ArrayLike,
    *,
    groups: ArrayLike | None = None,
    resamples: int = 10_000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Confidence interval of mean(a) - mean(b), paired: queries, or their `groups`, are drawn, and both values stay together.

    >>> mean, low, high = bootstrap_difference([0.9, 0.5, 0.4], [0.8, 0.4, 0.3])
    >>> round(mean, 3), round(low, 3), round(high, 3)
    (0.1, 0.1, 0.1)
    """
    return bootstrap_interval(_differences(a, b), groups=groups, resamples=resamples, level=level, seed=seed)


def randomisation_test(
    a: ArrayLike, b: ArrayLike, *, groups: ArrayLike | None = None, rounds: int = 10_000, seed: int = 0, tolerance: float = TIE
) -> float:
    """p of "a and b do not differ", two-sided: were a and b alike, each query's difference could as well be negative.

    The share of sign patterns whose mean difference is at least as far from 0 as the observed one. All patterns are
    tried where at most 13 differences exceed `tolerance`; otherwise `rounds` random ones, and the observed pattern is
    counted among them, so that p is never 0: (1 + as extreme) / (1 + rounds). Smucker, Allan and Carterette, "A
    comparison of statistical significance tests for information retrieval evaluation", CIKM 2007; the correction:
    Phipson and Smyth, "Permutation p-values should never be zero", 2010.

    >>> randomisation_test([0.9, 0.8, 0.7], [0.4, 0.4, 0.4])  # +++ and --- out of 8 patterns
    0.25
    """
    pair = np.stack(as_paired_values(a, b))
    return float(pairwise_tests(pair, groups=groups, rounds=rounds, seed=seed, tolerance=tolerance).p[0, 1])


def pairwise_tests(
    values: ArrayLike,
    *,
    groups: ArrayLike | None = None,
    luck: ArrayLike | None = None,
    rounds: int = 10_000,
    level: float = 0.05,
    seed: int = 0,
    tolerance: float = TIE,
) -> Pairwise:
    """`randomisation_test` of every pair of the rows of (m, n) values, corrected for all m (m - 1) / 2 of them.

    The chance that any pair of equals is told apart stays below p, whichever pair one picks after having seen the means: the
    best of several against the next, say. The same sign patterns are drawn for all pairs; a pair's sum is measured in its own
    standard deviation over patterns, √(Σ d²); and the largest of all pairs that are not told apart yet is what a pair must
    exceed (step-down max-T), which forgives pairs for resembling each other, as correcting each p apart does not. With two
    rows this is `randomisation_test`. `critical` is that largest at `level`. `luck` (m,) is the variance of each mean that
    these queries cannot show, such as that of seeds: it adds to the deviation in which the observed sum is measured.

    Westfall and Young, "Resampling-based multiple testing", 1993; for systems of retrieval: Carterette, "Multiple testing in
    statistical analysis of systems-based information retrieval experiments", ACM TOIS 30(1), 2012. Raises InputError.

    >>> values = [[0.9, 0.8, 0.7, 0.9], [0.4, 0.4, 0.4, 0.4], [0.4, 0.4, 0.4, 0.4]]
    >>> pairwise_tests(values).p.tolist()
    [[1.0, 0.125, 0.125], [0.125, 1.0, 1.0], [0.125, 1.0, 1.0]]
    """
    table = as_value_rows(values)
    _require_count(rounds, "rounds")
    _require_share(level, "level")
    m, n = table.shape
    left, right = np.triu_indices(m, 1)
    p = np.ones((m, m))
    if not len(left):
        return Pairwise(p, NormalDist().inv_cdf(1 - level / 2))
    sums = group_sums(table - table.mean(axis=0), groups)[0]
    sums = sums[:, np.ptp(sums, axis=0) > tolerance]
    differences = np.abs(sums[left].sum(axis=1) - sums[right].sum(axis=1))
    deviation = np.sqrt([float(np.square(sums[i] - sums[j]).sum()) for i, j in zip(left, right, strict=True)])
    unequal = deviation > tolerance
    scale = np.divide(1, deviation, out=np.zeros(len(left)), where=unequal)
    hidden = _luck(luck, m)
    observed = differences * unequal / np.sqrt(deviation**2 + n * n * (hidden[left] + hidden[right]) + ~unequal)
    order = np.argsort(-observed, kind="stable")
    # Sums of the same numbers in another order differ in the last bits; equal must still count as "as far".
    border = observed[order] - 1e-10
    count, largest, drawn = np.zeros(len(left)), [], 0
    for patterns in sign_patterns(sums.shape[1], rounds, np.random.default_rng(seed), width=len(left)):
        flipped = (2 * (patterns @ sums.T) - sums.sum(axis=1)).T  # (m, patterns)
        far = np.abs(flipped[left] - flipped[right]) * scale[:, None]
        rest = np.maximum.accumulate(far[order[::-1]], axis=0)[::-1]  # the largest of this pair and of all that come after
        count += np.count_nonzero(rest >= border[:, None], axis=1)
        largest.append(rest[0])
        drawn += len(patterns)
    own = 0 if sums.shape[1] <= EXACT_UP_TO else 1
    corrected = np.empty(len(left))
    corrected[order] = np.maximum.accumulate((own + count) / (own + drawn))
    p[left, right] = p[right, left] = np.where(unequal, corrected, 1.0)
    return Pairwise(p, float(np.quantile(np.concatenate(largest), 1 - level)))


def equivalence_test(
    a: ArrayLike,
    b: ArrayLike,
    margin: float,
    *,
    groups: ArrayLike | None = None,
    unseen: float = 0.0,
    luck: float = 0.0,
) -> float:
    """p of "the true means differ by `margin` or more": a small one is evidence that a and b are the same, within it.

    Two one-sided paired t tests, of "lower by the margin" and "higher by the margin"; p is the larger. A single value, or
    group, tells nothing: 1. `unseen` imagines what few queries do not show: that much of a query is won outright by a and as
    much lost, half of it each way, so that thirty queries without any difference are no proof that there is none (1 is the
    careful choice for values in [0, 1]; 0 the textbook's test). `luck` is a variance as in `pairwise_tests`, of both together.

    Schuirmann, "A comparison of the two one-sided tests procedure and the power approach", 1987; imagined pairs: Agresti and
    Min, "Simple improved confidence intervals for comparing matched proportions", Statistics in Medicine 24, 2005. Raises
    InputError for a margin, `unseen` or `luck` below 0.

    >>> round(equivalence_test([0.50, 0.61, 0.70, 0.79], [0.51, 0.60, 0.70, 0.80], 0.05), 4)
    0.0011
    """
    if min(margin, unseen, luck) < 0 or not math.isfinite(margin + unseen + luck):
        raise InputError(f"margin={margin}, unseen={unseen}, luck={luck} cannot be", mend="give numbers of at least 0")
    from scipy.special import stdtr

    sample = _differences(a, b)
    mean = float(sample.mean())
    sums = group_sums(sample[None, :] - mean, groups)[0][0]
    if len(sums) < 2:
        return 1.0
    error = math.hypot(_standard_error(sums, len(sample), unseen), math.sqrt(luck))
    if error == 0:
        return 0.0 if abs(mean) < margin else 1.0
    return float(stdtr(len(sums) - 1, (abs(mean) - margin) / error))


def seed_levels(values: ArrayLike, *, groups: ArrayLike | None = None) -> Seeds:
    """What several seeds of one model tell of luck, apart from what the queries tell: (s, n) values, a row for each seed.

    `queries` is the standard error of the queries' means over seeds, `seeds` the standard deviation of the s means, and
    `both` = √(queries² + seeds² / s). Queries that go now this way, now that, from seed to seed count in both, so that `both`
    is rather too large. Raises InputError for a single seed or query. Reimers and Gurevych, "Reporting score distributions
    makes a difference", EMNLP 2017.

    >>> seed_levels([[0.5, 0.7], [0.7, 0.9]])
    Seeds(mean=0.7, queries=0.1..., seeds=0.141..., both=0.141...)
    """
    table = as_value_rows(values)
    over_seeds = table.mean(axis=0)
    sums = group_sums(over_seeds[None, :] - over_seeds.mean(), groups)[0][0]
    if len(table) < 2 or len(sums) < 2:
        raise InputError("one seed, or one query, has no spread", mend="give the values of two seeds or more, on two queries")
    queries, seeds = _standard_error(sums, table.shape[1]), float(table.mean(axis=1).std(ddof=1))
    return Seeds(float(over_seeds.mean()), queries, seeds, math.hypot(queries, seeds / math.sqrt(len(table))))


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values corrected for being several, in the order given: the chance of any false alarm stays below the level.

    The i-th smallest of m is multiplied by m - i + 1, made monotone, and capped at 1. No values give none. Raises
    InputError for what is not a probability. Holm, "A simple sequentially rejective multiple test procedure",
    Scandinavian Journal of Statistics 6(2), 1979.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    wrong = [p for p in p_values if not 0 <= p <= 1]
    if wrong:
        raise InputError(f"{wrong[0]} is not a probability", mend="give p-values from 0 to 1")
    corrected = [0.0] * len(p_values)
    largest = 0.0
    for position, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - position) * p_values[index]))
        corrected[index] = largest
    return corrected


def detectable_difference(
    differences: ArrayLike, *, groups: ArrayLike | None = None, level: float = 0.05, power: float = 0.8
) -> float:
    """The smallest true mean difference that a paired test at `level` would detect with probability `power`.

    (z(1 - level / 2) + z(power)) · s / √n, s the standard deviation of the n differences: a normal approximation, good
    from some thirty queries on. A smaller difference than this may be real, and these queries could not show it. For
    m comparisons under Holm's correction, `level / m` is the careful choice. `groups` are those of `bootstrap_interval`;
    the standard error is then that of their sums. Raises InputError for a single difference, or group. Cohen, "Statistical
    power analysis for the behavioral sciences", 1988.

    >>> round(detectable_difference([0.1, -0.1] * 50), 4)  # 2.8016 · 0.1005 / 10
    0.0282
    """
    sample = as_values(differences)
    _require_share(level, "level")
    _require_share(power, "power")
    sums = group_sums(sample[None, :] - sample.mean(), groups)[0][0]
    if len(sums) < 2:
        raise InputError("one difference has no spread", mend="give the differences of at least two queries")
    normal = NormalDist()
    return (normal.inv_cdf(1 - level / 2) + normal.inv_cdf(power)) * _standard_error(sums, len(sample))


def wins_ties_losses(a: ArrayLike, b: ArrayLike, tolerance: float = TIE) -> Tally:
    """On how many queries a is better than, equal to (within `tolerance`), and worse than b.

    >>> wins_ties_losses([1.0, 0.5, 0.0, 0.9], [0.0, 0.5, 0.5, 0.1])
    Tally(wins=2, ties=1, losses=1)
    """
    differences = _differences(a, b)
    wins, losses = int((differences > tolerance).sum()), int((differences < -tolerance).sum())
    return Tally(wins, len(differences) - wins - losses, losses)


def _differences(a: ArrayLike, b: ArrayLike) -> Values:
    left, right = as_paired_values(a, b)
    return left - right


def _standard_error(centred: Values, n: int, imagined: float = 0.0) -> float:
    """Of the mean of n values, from the sums (units,) of their distances from it, and a sum of squares that is imagined."""
    units = len(centred)
    return math.sqrt((float(centred @ centred) + imagined) * units / (units - 1)) / n


def _luck(luck: ArrayLike | None, m: int) -> Values:
    hidden = np.zeros(m) if luck is None else as_values(luck)
    if len(hidden) != m or (hidden < 0).any():
        raise InputError(f"luck of {len(hidden)} values for {m} rows", mend="give one variance, at least 0, for each row")
    return hidden


def _require_count(count: int, name: str) -> None:
    if count < 1:
        raise InputError(f"{name} is {count}", mend=f"give {name} of at least 1; 10,000 is usual")


def _require_share(share: float, name: str) -> None:
    if not 0 < share < 1:
        raise InputError(f"{name} is {share}", mend=f"give a {name} between 0 and 1")
