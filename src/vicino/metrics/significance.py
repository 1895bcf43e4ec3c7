"""What the values of n queries can tell about queries that nobody asked yet.

Every function takes one value a query (two for a paired comparison, in the same order) and asks nothing about their
distribution, except `detectable_difference`. Equal seeds give equal results. Values must be finite: NaN and infinity
raise InvalidVectors, nothing at all raises EmptyInput, pairs of unequal length raise DimensionMismatch.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vicino.errors import DimensionMismatch, InputError
from vicino.metrics.values import Values, as_paired_values, as_values

__all__ = [
    "TIE",
    "Interval",
    "Tally",
    "bootstrap_difference",
    "bootstrap_interval",
    "detectable_difference",
    "holm",
    "randomisation_test",
    "wins_ties_losses",
]

TIE = 1e-9  # two metric values nearer than this differ by rounding, not by merit
EXACT_UP_TO = 13  # 2^13 sign patterns are fewer than the 10,000 that would be drawn
FEW = 50  # to draw one count costs about as much as to draw fifty values (measured: 30 to 50)
BLOCK = 2**18  # numbers in memory at once: 2 MB of float64, which stays in the processor's cache


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


def bootstrap_interval(
    values: ArrayLike, *, groups: ArrayLike | None = None, resamples: int = 10_000, level: float = 0.95, seed: int = 0
) -> Interval:
    """Confidence interval of the mean: percentile bootstrap over queries.

    `groups` (n,) numbers what hangs together, such as queries that share an answer: groups are then drawn, with all their
    values, for queries that succeed and fail together tell less than as many that do not. Raises DimensionMismatch.

    Draws n of the n values with replacement `resamples` times and takes the middle `level` of the means. Somewhat too
    narrow below some twenty values, and a point where all values are equal. Efron, "Bootstrap methods: another look at
    the jackknife", Annals of Statistics 7(1), 1979.

    >>> mean, low, high = bootstrap_interval([0.0, 1.0] * 50)
    >>> mean, round(low, 2), round(high, 2)
    (0.5, 0.4, 0.6)
    """
    sample = as_values(values)
    _require_count(resamples, "resamples")
    _require_share(level, "level")
    rng = np.random.default_rng(seed)
    means = _resampled_means(sample, resamples, rng) if groups is None else _grouped_means(sample, groups, resamples, rng)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(sample.mean()), float(low), float(high))


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


def randomisation_test(a: ArrayLike, b: ArrayLike, *, rounds: int = 10_000, seed: int = 0, tolerance: float = TIE) -> float:
    """p of "a and b do not differ", two-sided: were a and b alike, each query's difference could as well be negative.

    The share of sign patterns whose mean difference is at least as far from 0 as the observed one. All patterns are
    tried where at most 13 differences exceed `tolerance`; otherwise `rounds` random ones, and the observed pattern is
    counted among them, so that p is never 0: (1 + as extreme) / (1 + rounds). Smucker, Allan and Carterette, "A
    comparison of statistical significance tests for information retrieval evaluation", CIKM 2007; the correction:
    Phipson and Smyth, "Permutation p-values should never be zero", 2010.

    >>> randomisation_test([0.9, 0.8, 0.7], [0.4, 0.4, 0.4])  # +++ and --- out of 8 patterns
    0.25
    """
    _require_count(rounds, "rounds")
    differences = _differences(a, b)
    differences = differences[np.abs(differences) > tolerance]
    n = len(differences)
    if n <= EXACT_UP_TO:
        patterns = _all_patterns(n)
        return _count_extreme(patterns, differences) / len(patterns)
    rng = np.random.default_rng(seed)
    blocks = (_random_patterns(rng, rows, n) for rows in _blocks(rounds, n))
    return (1 + sum(_count_extreme(patterns, differences) for patterns in blocks)) / (1 + rounds)


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
    sums = _sums(sample - sample.mean(), groups)[0] if groups is not None else sample - sample.mean()
    if len(sums) < 2:
        raise InputError("one difference has no spread", mend="give the differences of at least two queries")
    normal = NormalDist()
    standard_error = math.sqrt(float(sums @ sums) * len(sums) / (len(sums) - 1)) / len(sample)
    return (normal.inv_cdf(1 - level / 2) + normal.inv_cdf(power)) * standard_error


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


def _resampled_means(sample: Values, resamples: int, rng: np.random.Generator) -> Values:
    """(resamples,) means of as many values as there are, drawn with replacement."""
    n = len(sample)
    distinct, counts = np.unique(sample, return_counts=True)
    if FEW * len(distinct) > n:
        return np.concatenate([sample[rng.integers(n, size=(rows, n))].mean(axis=1) for rows in _blocks(resamples, n)])
    # Few distinct values, as of MRR@10 with one relevant document a query: how often each is drawn says it all.
    drawn = (rng.multinomial(n, counts / n, size=rows) for rows in _blocks(resamples, len(distinct)))
    return np.concatenate([times @ distinct / n for times in drawn])


def _grouped_means(sample: Values, groups: ArrayLike, resamples: int, rng: np.random.Generator) -> Values:
    """(resamples,) means of the values of as many groups as there are, drawn with replacement."""
    sums, sizes = _sums(sample, groups)
    drawn = (rng.integers(len(sums), size=(rows, len(sums))) for rows in _blocks(resamples, len(sums)))
    return np.concatenate([sums[rows].sum(axis=1) / sizes[rows].sum(axis=1) for rows in drawn])


def _sums(sample: Values, groups: ArrayLike) -> tuple[Values, NDArray[np.int64]]:
    """The sum of each group's values, and how many they are."""
    numbers = np.asarray(groups)
    if numbers.shape != sample.shape:
        raise DimensionMismatch(f"groups of shape {numbers.shape} for {len(sample)} values", mend="give one for each value")
    of = np.unique(numbers, return_inverse=True)[1]
    return np.bincount(of, weights=sample).astype(np.float64), np.bincount(of).astype(np.int64)


def _count_extreme(patterns: NDArray[Any], differences: Values) -> int:
    """How many (rounds, n) patterns, 1 to keep a difference and 0 to negate it, take the sum as far from 0 as it is."""
    observed = differences.sum()
    sums = 2 * (patterns @ differences) - observed
    # Sums of the same numbers in another order differ in the last bits; equal must still count as "as far".
    rounding = 1e-12 * np.abs(differences).sum()
    return int(np.count_nonzero(np.abs(sums) >= abs(observed) - rounding))


def _all_patterns(n: int) -> NDArray[np.int64]:
    """(2^n, n) of every pattern: the binary digits of 0, 1, 2 ..."""
    return np.arange(2**n)[:, None] >> np.arange(n) & 1


def _random_patterns(rng: np.random.Generator, rounds: int, n: int) -> NDArray[np.uint8]:
    """(rounds, n) of fair 0 and 1, eight from each random byte."""
    width = -(-n // 8)
    packed = np.frombuffer(rng.bytes(rounds * width), dtype=np.uint8).reshape(rounds, width)
    return np.unpackbits(packed, axis=1, count=n)


def _blocks(rows: int, columns: int) -> Iterator[int]:
    """Cut (rows, columns) of work into blocks of about BLOCK numbers: yields how many rows each has."""
    step = max(1, BLOCK // columns)
    return (min(step, rows - start) for start in range(0, rows, step))


def _require_count(count: int, name: str) -> None:
    if count < 1:
        raise InputError(f"{name} is {count}", mend=f"give {name} of at least 1; 10,000 is usual")


def _require_share(share: float, name: str) -> None:
    if not 0 < share < 1:
        raise InputError(f"{name} is {share}", mend=f"give a {name} between 0 and 1")
