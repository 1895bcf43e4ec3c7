"""What an experiment on people can tell: how many are needed before, what differs after, and what may be read meanwhile.

Users are what is drawn and what hangs together: every variance is one between users, however many events each has. The normal
approximation is good from some hundred users in each group, unless a few hold much of a metric and the groups differ in size:
see `nearly_normal` and `permuted_difference`.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from statistics import NormalDist
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vicino.errors import DimensionMismatch, InputError
from vicino.metrics.significance import Interval
from vicino.metrics.values import as_paired_values

__all__ = [
    "Difference",
    "Ratio",
    "always_valid",
    "difference",
    "equivalent",
    "mismatch",
    "nearly_normal",
    "permuted_difference",
    "ratio",
    "smallest_effect",
    "team_draft",
    "users_for_normal",
    "users_needed",
]

_NORMAL = NormalDist()
Users = tuple[ArrayLike, ArrayLike | None]  # what stands above and below the line, one number a user each
Item = TypeVar("Item", bound=Hashable)


# Before ---------------------------------------------------------------------------------------------------------------


def users_needed(
    variance: float | tuple[float, float], effect: float, *, level: float = 0.05, power: float = 0.8, share: float = 0.5
) -> int:
    """How many users, both groups together, so that a two-sided test at `level` finds a difference of `effect` with `power`.

    `variance` is that of the metric between users, one for both groups or one for each; that of a share p is p (1 - p). `share`
    of the users are in the second group. (z(1 - level / 2) + z(power))² (v₁ / (1 - share) + v₂ / share) / effect². Raises
    InputError for what cannot be. Cohen, "Statistical power analysis for the behavioral sciences", 1988.

    >>> users_needed((0.10 * 0.90, 0.11 * 0.89), 0.01)
    29497
    """
    first, second = variance if isinstance(variance, tuple) else (variance, variance)
    if not (effect and math.isfinite(effect)):
        raise InputError(f"an effect of {effect} cannot be found", mend="say which difference would matter, such as 0.01")
    if min(first, second) < 0 or not math.isfinite(first + second):
        raise InputError(f"{min(first, second)} is no variance", mend="give the variance between users, 0 or more")
    return math.ceil((_quantiles(level, power) / effect) ** 2 * (first / (1 - _share(share)) + second / share))


def smallest_effect(
    variance: float | tuple[float, float], users: int, *, level: float = 0.05, power: float = 0.8, share: float = 0.5
) -> float:
    """The reverse of `users_needed`: the smallest difference that so many users find with that power.

    >>> round(smallest_effect(0.09, 28_256), 4)
    0.01
    """
    if users < 2:
        raise InputError(f"{users} users show nothing", mend="give at least two, better thousands")
    first, second = variance if isinstance(variance, tuple) else (variance, variance)
    return _quantiles(level, power) * math.sqrt((first / (1 - _share(share)) + second / share) / users)


def _quantiles(level: float, power: float) -> float:
    return _NORMAL.inv_cdf(1 - _share(level) / 2) + _NORMAL.inv_cdf(_share(power))


def _share(value: float) -> float:
    if not 0 < value < 1:
        raise InputError(f"{value} is not between 0 and 1", mend="give a share such as 0.05 or 0.8")
    return value


# After ----------------------------------------------------------------------------------------------------------------


class Ratio(NamedTuple):
    """A metric of one group: its value, the variance of that value, the variance of one user, and how many users."""

    value: float
    variance: float
    spread: float
    users: int


class Difference(NamedTuple):
    """Second group minus first: an interval, its standard error, and p of "no difference", two-sided."""

    interval: Interval
    standard_error: float
    p: float


def ratio(numerators: ArrayLike, denominators: ArrayLike | None = None) -> Ratio:
    """Sum of `numerators` by sum of `denominators`, one of each a user (n,); without denominators the mean a user.

    The variance is the delta method's: of num - value · den between users, by n and the mean den squared. Clicks of one user are
    not independent, and a binomial interval over clicks would be too narrow. Raises InputError for fewer than two users or
    denominators that sum to nothing. Deng, Knoblich and Lu, "Applying the delta method in metric analytics", KDD 2018.

    >>> ratio([1, 0, 2], [2, 2, 2]).value
    0.5
    """
    plain = np.asarray(numerators, np.float64)
    num, den = as_paired_values(plain, np.ones_like(plain) if denominators is None else denominators)
    n, total = len(num), float(den.sum())
    if n < 2:
        raise InputError("one user has no spread", mend="wait for more users")
    if total <= 0:
        raise InputError("nothing stands below the line: the denominators sum to 0", mend="check what the metric divides by")
    value = float(num.sum()) / total
    spread = float(((num - value * den) ** 2).sum()) / (n - 1) / (total / n) ** 2
    return Ratio(value, spread / n, spread, n)


def users_for_normal(numerators: ArrayLike, denominators: ArrayLike | None = None) -> int:
    """How many users a group wants before a normal interval of its ratio (see `ratio`) holds: 355 times the squared skewness.

    A few users who spend much make the mean itself skewed, and one tail of the interval too short. That is the rule for one
    group; of two groups of one size most of the skewness cancels. Kohavi, Deng, Longbotham and Xu, "Seven rules of thumb for web
    site experimenters", KDD 2014. Raises as `ratio`.

    >>> users_for_normal([0, 1, 2, 3, 4]), users_for_normal([0] * 99 + [100])
    (0, 34439)
    """
    plain = np.asarray(numerators, np.float64)
    num, den = as_paired_values(plain, np.ones_like(plain) if denominators is None else denominators)
    off = num - ratio(num, den).value * den
    spread = float(off.std())
    return math.ceil(355 * (float(((off - off.mean()) ** 3).mean()) / spread**3) ** 2) if spread else 0


def nearly_normal(first: Users, second: Users) -> bool:
    """Whether the normal interval of `difference` holds for these users, each side what `ratio` takes.

    The rule of `users_for_normal` for two groups of n and m users: their difference is skewed by |1/n² - 1/m²| over the 3/2
    power of 1/n + 1/m: not at all where they are of one size, like one group where the other is far larger. Raises as `ratio`.

    >>> spent = [0] * 99 + [100]
    >>> nearly_normal((spent, None), (spent, None)), nearly_normal((spent * 9, None), (spent, None))
    (True, False)
    """
    (num, den), (other, below) = first, second
    n, m = len(np.asarray(num)), len(np.asarray(other))
    every = None if den is None or below is None else np.concatenate([den, below])
    return users_for_normal(np.concatenate([num, other]), every) * (n - m) ** 2 <= n * m * (n + m)


def difference(first: Ratio, second: Ratio, *, level: float = 0.95) -> Difference:
    """Second minus first, with its interval at `level`; equal groups without any spread have p = 1.

    >>> found = difference(ratio([0, 1] * 500), ratio([0, 1, 1, 1] * 250))
    >>> round(found.interval.mean, 2), round(found.interval.low, 2), found.p < 0.001
    (0.25, 0.21, True)
    """
    mean, error = second.value - first.value, math.sqrt(first.variance + second.variance)
    z = _NORMAL.inv_cdf((1 + _share(level)) / 2)
    far = abs(mean) / error if error else (math.inf if mean else 0.0)
    return Difference(Interval(mean, mean - z * error, mean + z * error), error, 2 * _NORMAL.cdf(-far))


def permuted_difference(
    first: Users, second: Users, *, level: float = 0.95, resamples: int = 5000, seed: int | np.random.Generator = 0
) -> Difference:
    """As `difference`, where a few users hold much: what chance does is counted by dividing all users anew, not assumed normal.

    Each side is what `ratio` takes. In each of `resamples` divisions into groups of these sizes the difference is taken by its
    standard error; the interval at `level` and p come from where the true division stands among them. If the groups are alike, p
    is exact for any sizes and any tails; if only their ratios are equal, as good as the normal one in large groups. Raises as
    `ratio`. Janssen, "Studentized permutation tests for non-i.i.d. hypotheses and the generalized Behrens-Fisher problem",
    Statistics & Probability Letters 36, 1997; Chung and Romano, "Exact and asymptotically robust permutation tests", Annals of
    Statistics 41(2), 2013.

    >>> found = permuted_difference(([0] * 900 + [50] * 100, None), ([0] * 70 + [50] * 30, None))
    >>> found.interval.low > 0, found.p < 0.01
    (True, True)
    """
    plain = difference(ratio(*first), ratio(*second), level=level)
    if not plain.standard_error:
        return plain
    table = np.concatenate([_moments(*first), _moments(*second)])
    rng = np.random.default_rng(seed)
    parts = _divided(table, len(np.asarray(second[0])), resamples, rng)
    drawn = np.sort(_studentised(table.sum(axis=0) - parts, parts))
    mean, error = plain.interval.mean, plain.standard_error
    tail = 1 + min(int((drawn <= mean / error).sum()), int((drawn >= mean / error).sum()))
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2], method="inverted_cdf").tolist()
    interval = Interval(mean, mean - high * error, mean - low * error)
    return Difference(interval, error, min(1.0, 2 * tail / (resamples + 1)))


def _moments(numerators: ArrayLike, denominators: ArrayLike | None) -> NDArray[np.float64]:
    """What sums of a group's users tell its `ratio` by: 1, num, den, num², num·den, den², one row a user (n, 6)."""
    num = np.asarray(numerators, np.float64)
    den = np.ones_like(num) if denominators is None else np.asarray(denominators, np.float64)
    return np.stack([np.ones_like(num), num, den, num * num, num * den, den * den], axis=1)


def _divided(table: NDArray[np.float64], size: int, resamples: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """The sums (resamples, 6) of `size` rows of the table, drawn without any of them coming twice.

    Those who are like most others (who bought nothing) need not be drawn one by one: only how many of them there are.
    """
    pairs = table[:, 1] + 1j * table[:, 2]  # num and den, which tell the rest
    kinds, times = np.unique(pairs, return_counts=True)
    alike = pairs == kinds[times.argmax()]
    others, usual = table[~alike], table[alike.argmax()]
    drawn = rng.hypergeometric(len(others), int(alike.sum()), size, size=resamples)
    sums = np.empty((resamples, table.shape[1]))
    for number, count in enumerate(drawn):
        sums[number] = others[rng.choice(len(others), count, replace=False, shuffle=False)].sum(axis=0)
    sums += (size - drawn)[:, None] * usual
    return sums


def _studentised(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    """Second minus first by its standard error, from the sums of `_moments`, (m, 6) each; 0 where nothing differs."""
    (value, variance), (other, theirs) = _ratios(first), _ratios(second)
    error = np.sqrt(variance + theirs)
    far: NDArray[np.float64] = np.divide(other - value, error, out=np.zeros_like(error), where=error > 0)
    return far


def _ratios(sums: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Ratios and their variances, as `ratio` tells them."""
    n, num, den, squared, product, below = sums.T
    value: NDArray[np.float64] = num / den
    off: NDArray[np.float64] = np.maximum(squared - 2 * value * product + value**2 * below, 0)
    variance: NDArray[np.float64] = off / (n - 1) * n / den**2
    return value, variance


def equivalent(found: Difference, margin: float, *, level: float = 0.05) -> float:
    """p of "they differ by `margin` or more": where it is under `level`, that they are the same is a finding.

    Two one-sided tests, the larger p. Raises InputError for a margin that is not positive. Schuirmann, "A comparison of the two
    one-sided tests procedure and the power approach", Journal of Pharmacokinetics and Biopharmaceutics 15, 1987.

    >>> equivalent(Difference(Interval(0.0, -0.01, 0.01), 0.005, 1.0), 0.02) < 0.001
    True
    """
    _share(level)
    if not margin > 0:
        raise InputError(f"a margin of {margin} cannot be", mend="say which difference would not matter, such as 0.01")
    mean, error = found.interval.mean, found.standard_error
    if not error:
        return 0.0 if abs(mean) < margin else 1.0
    return max(_NORMAL.cdf((mean - margin) / error), _NORMAL.cdf((-margin - mean) / error))


def mismatch(counts: Sequence[int], shares: Sequence[float] | None = None) -> float:
    """p of "users were given to the groups by these shares" (equal ones by default): chi-squared.

    Under .001 something loses users of one group, and no metric of such an experiment means anything. Raises DimensionMismatch,
    InputError. Fabijan et al., "Diagnosing sample ratio mismatch in online controlled experiments", KDD 2019.

    >>> mismatch([5000, 5050]) > 0.5, mismatch([5000, 5500]) < 0.001
    (True, True)
    """
    from scipy.stats import chisquare

    expected = np.ones(len(counts)) if shares is None else np.asarray(shares, np.float64)
    if len(expected) != len(counts):
        raise DimensionMismatch(f"{len(expected)} shares for {len(counts)} groups", mend="give one for each group")
    if len(counts) < 2 or sum(counts) == 0 or min(counts) < 0 or not (expected > 0).all():
        raise InputError("there are no two groups with users and shares", mend="give at least two groups, and shares above 0")
    return float(chisquare(counts, expected / expected.sum() * sum(counts)).pvalue)


# Meanwhile ------------------------------------------------------------------------------------------------------------


def always_valid(found: Difference, effect: float, *, level: float = 0.95) -> tuple[Interval, float]:
    """An interval and a p that stay true however often one looks and whenever one stops.

    The mixture sequential probability ratio test with a normal mixture of standard deviation `effect`: the difference that the
    experiment was planned for, fixed before. Wider than a fixed interval: the price of looking. Raises InputError for an effect
    of 0. Johari, Koomen, Pekelis and Walsh, "Peeking at A/B tests", KDD 2017; Robbins, "Statistical methods related to the law of
    the iterated logarithm", 1970.

    >>> interval, p = always_valid(Difference(Interval(0.02, 0.0004, 0.0396), 0.01, 0.046), effect=0.02)
    >>> interval.low < 0 < interval.high, p > 0.05
    (True, True)
    """
    if not (effect and math.isfinite(effect)):
        raise InputError(f"an effect of {effect} weighs nothing", mend="give the difference that you planned for (see plan)")
    mean, v, t = found.interval.mean, found.standard_error**2, effect**2
    if v == 0:
        return Interval(mean, mean, mean), 0.0 if mean else 1.0
    grown = 0.5 * math.log((v + t) / v)
    half = math.sqrt(2 * v * (v + t) / t * (grown - math.log(1 - _share(level))))
    p = math.exp(min(0.0, grown - t * mean**2 / (2 * v * (v + t))))
    return Interval(mean, mean - half, mean + half), p


def team_draft(
    first: Sequence[Item], second: Sequence[Item], k: int, *, seed: int | np.random.Generator = 0
) -> tuple[list[Item], NDArray[np.int8]]:
    """One list of k items out of two rankings, and which team each is of (0 or 1): show it, and count whose items are clicked.

    In each round a coin says which team picks first; each picks its best item that is not there yet. On large engines
    tenfold fewer searches told two rankings apart so than in two groups; how many it saves on yours, `benchmarks/abtest.py` draws
    (there half is not enough). Radlinski, Kurup and Joachims, "How does clickthrough data reflect
    retrieval quality?", CIKM 2008; Chapelle et al., "Large-scale validation and analysis of interleaved search evaluation",
    TOIS 30(1), 2012.

    >>> shown, teams = team_draft("abcd", "cadb", 3)
    >>> len(set(shown)), sorted(teams.tolist())[:1]
    (3, [0])
    """
    if k < 1:
        raise InputError(f"k is {k}", mend="ask for at least one item")
    random = np.random.default_rng(seed)
    rankings, places = (list(dict.fromkeys(first)), list(dict.fromkeys(second))), [0, 0]
    shown: list[Item] = []
    there: set[Item] = set()
    teams: list[int] = []
    while len(shown) < k:
        before, begins = len(shown), int(random.integers(2))
        for team in (begins, 1 - begins):
            ranking = rankings[team]
            while places[team] < len(ranking) and ranking[places[team]] in there:
                places[team] += 1
            if places[team] < len(ranking) and len(shown) < k:
                shown.append(ranking[places[team]])
                there.add(shown[-1])
                teams.append(team)
        if len(shown) == before:
            break
    return shown, np.array(teams, np.int8)
