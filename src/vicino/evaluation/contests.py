"""The verdict: which of several systems to use, from their values on the same queries, and what these can and cannot tell.

Nothing is retrieved here: `settle` takes numbers. The p of every contest is corrected for all pairs, for the best of all and the
best simple baseline are chosen after having seen the means. "The same" is a finding of its own, by two one-sided tests, and not
the absence of another.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import ArrayLike

from vicino.errors import DimensionMismatch, InputError, UnknownName
from vicino.evaluation.spelling import listed
from vicino.metrics import significance
from vicino.metrics.significance import Interval, Tally
from vicino.metrics.values import Values, as_value_rows, as_values

__all__ = ["ALPHA", "MARGIN", "Contest", "Settled", "Verdict", "least", "named", "require_margin", "settle"]

ALPHA = 0.05
MARGIN = 0.01  # a difference of one point is the least that most people would change a system for
SHOWN = 6  # names in a sentence; all are in the table
UNSEEN = 1.0  # see `equivalence_test`
ALIKE = 2.0  # costs within this factor of each other are level: what is timed varies by as much on a busy machine

Name = TypeVar("Name")


class _Named(Protocol):
    """A candidate of any comparison."""

    @property
    def name(self) -> str: ...


Candidate = TypeVar("Candidate", bound=_Named)


@dataclass(frozen=True)
class Contest:
    """One candidate against another, by the first metric.

    The mean difference with its interval, queries better / equal / worse, the two-sided `p` of "no difference", corrected for
    all pairs of candidates, the difference that would be detected four times in five, and `same`, the p of "they differ by
    `margin` or more", corrected for the candidates (Holm).
    """

    against: str
    difference: Interval
    tally: Tally
    p: float
    detectable: float
    same: float = 1.0
    margin: float = MARGIN

    @property
    def clear(self) -> bool:
        """Whether the queries can tell the two apart."""
        return self.p < ALPHA

    @property
    def decision(self) -> str:
        """ "better", "worse", "the same" (within the margin, whatever the queries tell beyond) or "not told apart"."""
        if self.same < ALPHA:
            return "the same"
        if not self.clear:
            return "not told apart"
        return "better" if self.difference.mean > 0 else "worse"


@dataclass(frozen=True)
class Verdict:
    """What to use (`pick`), what scored highest (`best`), which candidates are not clearly worse than it (`tied`)."""

    pick: str
    best: str
    tied: tuple[str, ...]
    sentence: str


@dataclass(frozen=True)
class Settled:
    """The verdict, and what it rests on: each candidate's mean, and its contests with the baseline and with the best (None
    against itself), in the order of the names."""

    verdict: Verdict
    baseline: str
    intervals: tuple[Interval, ...]
    against_baseline: tuple[Contest | None, ...]
    against_best: tuple[Contest | None, ...]


def settle(
    names: Sequence[str],
    values: ArrayLike,
    *,
    costs: Sequence[float],
    simple: Sequence[bool],
    groups: ArrayLike | None = None,
    luck: ArrayLike | None = None,
    margin: float = MARGIN,
    metric: str = "quality",
    seed: int = 0,
) -> Settled:
    """Who is best, who cannot be told from it, and which of these to use: the cheapest (see `least`), but none that loses to the
    baseline or to another of these.

    `values` (m, n): a row for each name, a column for each query, in [0, 1]; higher is better. `costs` (m,) in any unit, inf for
    one that should not be named where another will do; `simple` (m,) says which are honest baselines, the best of which is *the*
    baseline (the best of all where there is none). `groups` and `luck` are those of `vicino.metrics.significance`, `margin` is
    what counts as the same, `metric` names the values in the sentence. Raises InputError, and what `as_value_rows` raises.

    >>> settled = settle(["words", "vectors"], [[0.2] * 40, [0.6] * 40], costs=[1, 9], simple=[True, False])
    >>> settled.verdict.pick, settled.against_baseline[1].decision
    ('vectors', 'better')
    """
    table = as_value_rows(values)
    if not len(names) == len(table) == len(costs) == len(simple) or len(set(names)) < len(names):
        raise DimensionMismatch(
            f"{len(names)} names, {len(table)} rows of values, {len(costs)} costs and {len(simple)} baselines do not fit",
            mend="give one of each for every candidate, and each name once",
        )
    require_margin(margin)
    means = table.mean(axis=1)
    best = int(means.argmax())
    baseline = max((place for place, plain in enumerate(simple) if plain), key=means.__getitem__, default=best)
    intervals = significance.bootstrap_intervals(
        np.concatenate([table, table - table[baseline], table - table[best]]), groups=groups, seed=seed
    )
    field = _Field(
        names,
        table,
        groups,
        np.zeros(len(table)) if luck is None else as_values(luck),
        significance.pairwise_tests(table, groups=groups, luck=luck, level=ALPHA, seed=seed),
        margin,
    )
    m = len(table)
    with_baseline = _contests(field, baseline, intervals[m : 2 * m])
    with_best = _contests(field, best, intervals[2 * m :])
    tied = [place for place, contest in enumerate(with_best) if contest and contest.decision != "worse"]
    pick = _cheapest([best, *tied], costs, with_baseline, field)
    told = _Telling(names, costs, intervals[:m], with_baseline, with_best, metric, table.shape[1], simple[baseline])
    verdict = Verdict(names[pick], names[best], tuple(names[place] for place in tied), _sentence(told, pick, best, tied))
    return Settled(verdict, names[baseline], tuple(intervals[:m]), with_baseline, with_best)


def least(places: Sequence[Name], costs: Callable[[Name], float], means: Callable[[Name], float]) -> Name:
    """The cheapest, and of several whose costs are within a factor of `ALIKE` of the least the one that scores highest.

    >>> least("abc", {"a": 3.0, "b": 2.0, "c": 9.0}.__getitem__, {"a": 0.6, "b": 0.5, "c": 0.7}.__getitem__)
    'a'
    """
    lowest = min(map(costs, places))
    return max((place for place in places if costs(place) <= ALIKE * lowest), key=lambda place: (means(place), -costs(place)))


def named(name: str, candidates: Sequence[Candidate]) -> Candidate:
    """The candidate of that name. Raises UnknownName."""
    for candidate in candidates:
        if candidate.name == name:
            return candidate
    raise UnknownName.among(name, (candidate.name for candidate in candidates), kind="candidate")


def require_margin(margin: float) -> None:
    """Raise InputError for a margin that is no share of the scale."""
    if not 0 <= margin < 1:
        raise InputError(f"a margin of {margin} cannot be", mend="give a share of the scale, such as 0.01")


@dataclass(frozen=True, eq=False)
class _Field:
    """Who meets: names, (m, n) values, and what all contests share."""

    names: Sequence[str]
    values: Values
    groups: ArrayLike | None
    luck: Values
    pairwise: significance.Pairwise
    margin: float


def _contests(field: _Field, other: int, differences: Sequence[Interval]) -> tuple[Contest | None, ...]:
    """Everyone but `other` against it."""
    places = [place for place in range(len(field.names)) if place != other]
    pairs = {place: (field.values[place], field.values[other]) for place in places}
    luck = field.luck + field.luck[other]
    level = min(ALPHA, 2 * NormalDist().cdf(-field.pairwise.critical))  # of few queries the largest is small, and tells nothing
    alone = (field.groups is not None and len(np.unique(np.asarray(field.groups))) < 2) or field.values.shape[1] < 2
    same = significance.holm(
        [
            significance.equivalence_test(*pair, field.margin, groups=field.groups, unseen=UNSEEN, luck=luck[place])
            for place, pair in pairs.items()
        ]
    )
    found: list[Contest | None] = [None] * len(field.names)
    for place, each in zip(places, same, strict=True):
        a, b = pairs[place]
        detectable = np.inf if alone else significance.detectable_difference(a - b, groups=field.groups, level=level)
        tally = significance.wins_ties_losses(a, b)
        p = float(field.pairwise.p[place, other])
        found[place] = Contest(field.names[other], differences[place], tally, p, detectable, each, field.margin)
    return tuple(found)


def _cheapest(contenders: Sequence[int], costs: Sequence[float], with_baseline: Sequence[Contest | None], field: _Field) -> int:
    """The cheapest to use, but never one that is clearly worse than the simple baseline, or than another of the contenders."""
    sound = [
        place
        for place in contenders
        if ((contest := with_baseline[place]) is None or contest.decision != "worse")
        and not any(_loses(place, other, field) for other in contenders)
    ]
    return least(sound or contenders, costs.__getitem__, field.values.mean(axis=1).__getitem__)


def _loses(place: int, other: int, field: _Field) -> bool:
    """Whether it is worse than another beyond chance, and by more than the margin."""
    behind = float((field.values[other] - field.values[place]).mean())
    return behind > field.margin and bool(field.pairwise.p[place, other] < ALPHA)


@dataclass(frozen=True)
class _Telling:
    """What a verdict's sentence speaks of."""

    names: Sequence[str]
    costs: Sequence[float]
    intervals: Sequence[Interval]
    with_baseline: Sequence[Contest | None]
    with_best: Sequence[Contest | None]
    metric: str
    queries: int
    has_baseline: bool


def _sentence(told: _Telling, pick: int, best: int, tied: Sequence[int]) -> str:
    mean, low, high = told.intervals[best]
    name, score = told.names[best], f"{told.metric} {mean:.3f} [{low:.3f}, {high:.3f}]"
    if len(told.names) == 1:
        return f"{name} was the only one measured: {score}."
    if tied:
        use = told.names[pick]
        text = f"{name} scores highest ({score}){_ties(told, tied)}; {_why(told, pick, [best, *tied])}: use {use}."
    else:
        text = f"{name} wins: {score}, better than every other candidate that was measured, beyond chance."
    return text + _beside_baseline(told, pick)


def _why(told: _Telling, pick: int, contenders: Sequence[int]) -> str:
    """Why the pick, and not another of those that are level."""
    use, costs = told.names[pick], [told.costs[place] for place in contenders]
    if told.costs[pick] == np.inf:
        return "what they cost is not known"
    if min(costs) == told.costs[pick]:
        return f"{use} is the cheapest of them"
    if ALIKE * min(costs) < told.costs[pick]:
        return f"{use} is the cheapest of them that is clearly worse than none"
    return f"{use} costs little more than the cheapest of them"


def _ties(told: _Telling, tied: Sequence[int]) -> str:
    """Which are the same, and which only cannot be told apart."""
    contests = {told.names[place]: contest for place in tied if (contest := told.with_best[place])}
    same = [name for name, contest in contests.items() if contest.decision == "the same"]
    blurred = {name: contest.detectable for name, contest in contests.items() if name not in same}
    text = ""
    if same:
        margin = contests[same[0]].margin
        text = f"; {listed(same, SHOWN)} {'is' if len(same) == 1 else 'are'} the same within ±{margin:g}"
    if blurred:
        largest = max(blurred.values())
        shown = f" (a true difference of {largest:.3f} would show four times in five)" if 0 < largest < np.inf else ""
        joined = ", and" if same else ", but"
        text += f"{joined} the {told.queries:,} queries cannot tell it from {listed(list(blurred), SHOWN)}{shown}"
    return text


def _beside_baseline(told: _Telling, pick: int) -> str:
    contest = told.with_baseline[pick]
    if not told.has_baseline:  # nothing simple was measured
        return ""
    if contest is None:
        return " It is the simple baseline itself."
    sign = "above" if contest.difference.mean >= 0 else "below"
    p = f"p {'< .001' if contest.p < 0.001 else f'= {contest.p:.3f}'}"
    wins, ties, losses = contest.tally
    same = f": the same within ±{contest.margin:g}" if contest.decision == "the same" else ""
    return (
        f" Against the best simple baseline, {contest.against}, {told.names[pick]} is {abs(contest.difference.mean):.3f} {sign} "
        f"({p}; better on {wins:,} queries, equal on {ties:,}, worse on {losses:,}){same}."
    )
