"""Experiments on users: how many are needed before, and what to decide after.

`plan` says how many users find a difference that matters; `read` reads a log and decides, metric by metric: better, worse, the
same within a margin, or not told apart yet. A log whose groups are not what they should be is not read at all.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vicino.data.experiment_logs import Interleaved, Log
from vicino.errors import EmptyInput, InputError, UnknownName
from vicino.metrics.experiments import (
    Difference,
    Ratio,
    always_valid,
    difference,
    equivalent,
    mismatch,
    nearly_normal,
    permuted_difference,
    ratio,
    smallest_effect,
    users_for_normal,
    users_needed,
)
from vicino.metrics.significance import Interval, holm

__all__ = ["Compared", "Plan", "Preference", "Reading", "plan", "prefer", "read"]

_BROKEN = 0.001  # p of the shares under which a log is not read
_FEW = 100  # users of a group, under which the normal approximation is not trusted
_LEVEL = 0.05
_ANEW = "its groups differ in size and few users make most of it: its interval comes from dividing all users anew, 5,000 times"
_CONTROLS = ("control", "baseline", "default", "old")

Decision = Literal["better", "worse", "the same", "not told apart"]


# Before ---------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Plan:
    """So many `users` in all find a difference of `effect` in a metric that is `baseline` now; they come in `days`."""

    baseline: float
    effect: float
    level: float
    power: float
    groups: int
    users: int
    days: float | None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def plan(
    baseline: float,
    effect: float,
    *,
    spread: float | None = None,
    level: float = _LEVEL,
    power: float = 0.8,
    groups: int = 2,
    per_day: float | None = None,
) -> Plan:
    """How many users an experiment needs. `baseline` is a share (0 to 1), or a mean whose standard deviation is `spread`.

    Of several groups each is compared with the first, at a level shared among these comparisons. Raises InputError.

    >>> plan(0.10, 0.01, per_day=1000)
    Plan(baseline=0.1, effect=0.01, level=0.05, power=0.8, groups=2, users=29498, days=29.498)
    """
    if groups < 2:
        raise InputError(f"{groups} group compares nothing", mend="plan for at least two")
    if per_day is not None and not per_day > 0:
        raise InputError(f"{per_day} users a day never come", mend="give how many users take part a day")
    if spread is None:
        after = baseline + effect
        if not (0 < baseline < 1 and 0 < after < 1):
            raise InputError(
                f"shares of {baseline} before and {after} after cannot be",
                mend="give shares, or --spread for a mean of other numbers",
            )
        variance = (baseline * (1 - baseline), after * (1 - after))
    else:
        if not spread > 0:
            raise InputError(f"a spread of {spread} cannot be", mend="give the metric's standard deviation between users")
        variance = (spread**2, spread**2)
    pair = users_needed(variance, effect, level=level / (groups - 1), power=power)
    users = math.ceil(pair / 2) * groups
    return Plan(baseline, effect, level, power, groups, users, None if per_day is None else users / per_day)


# After ----------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Compared:
    """One metric of one group beside the control's: the interval of the difference, what it decides, and what could be found.

    `p` is corrected for all comparisons of the reading. `smallest` is the difference that so many users find four times in five;
    `more` how many users more, both groups together, the planned effect (or the margin) still needs.
    """

    metric: str
    group: str
    control: float
    value: float
    difference: Interval
    p: float
    decision: Decision
    smallest: float
    more: int | None

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"difference": list(self.difference)}


@dataclass(frozen=True)
class Reading:
    """What a log says. `broken` is why it must not be read, and there are no comparisons then."""

    groups: Mapping[str, int]
    control: str
    shares_p: float
    looked: bool
    level: float
    compared: tuple[Compared, ...]
    notes: tuple[str, ...]
    broken: str = ""

    @property
    def verdict(self) -> str:
        """The decision in a sentence: by the first metric, with what speaks against it."""
        if self.broken:
            return f"Do not read this experiment: {self.broken}."
        first = self.compared[0].metric
        told = [one for one in self.compared if one.metric == first]
        better = max((one for one in told if one.decision == "better"), key=lambda one: one.difference.mean, default=None)
        if better is not None:
            against = [one.metric for one in self.compared if one.group == better.group and one.decision == "worse"]
            sentence = f"{better.group} is better: {first} {better.control:.4g} -> {better.value:.4g} ({_told(better)})"
            return sentence + (f", but {', '.join(against)} got worse: weigh them." if against else ": take it.")
        if all(one.decision == "worse" for one in told):
            return f"Keep {self.control}: {first} got worse ({'; '.join(f'{one.group} {_told(one)}' for one in told)})."
        if all(one.decision in ("the same", "worse") for one in told):
            worse = [one.group for one in told if one.decision == "worse"]
            but = f", but not {', '.join(worse)}, where it got worse" if worse else ""
            return f"{first} is the same within the margin: take whichever is simpler or cheaper{but}."
        open_ = [one for one in told if one.decision == "not told apart"]
        more = [one.more for one in open_ if one.more]
        wait = f" About {max(more):,} users more would tell." if more else ""
        found = max(one.smallest for one in open_)
        would = f" (a difference of {found:.2g} would be found)" if found else ", for it is the same for every user"
        return f"Not decided: {first} is not told apart from {self.control}{would}.{wait}"

    def to_json(self) -> dict[str, Any]:
        plain = asdict(self)
        return {**plain, "compared": [one.to_json() for one in self.compared], "verdict": self.verdict}


def _told(one: Compared) -> str:
    mean, low, high = one.difference
    return f"{mean:+.3g} [{low:+.3g}, {high:+.3g}]"


def read(
    log: Log,
    metrics: Sequence[str],
    *,
    control: str | None = None,
    shares: Sequence[float] | None = None,
    effect: float | None = None,
    margin: float | None = None,
    peek: bool = False,
    level: float = _LEVEL,
) -> Reading:
    """Compare each group with the control (by default "control", "baseline" or the first by name), metric by metric.

    A metric is "purchase" (the share of users who did it at all), "purchase/user" (how often), "click/impression" (a ratio of
    counts), "click/session", or "value:purchase/user" (sums of values). The first one decides, others may speak against it.
    `shares` are what the groups were planned to have, in the order of their names. With `peek` the intervals hold however often
    one looks, and `effect`, the difference that was planned for, is needed. `margin` is a difference that would not matter.
    Raises InputError, UnknownName.
    """
    if control is None:
        control = next((name for name in log.groups if name.casefold() in _CONTROLS), log.groups[0])
    if control not in log.groups:
        raise UnknownName.among(control, log.groups, kind="group in the log")
    if not metrics:
        raise InputError("nothing is measured", mend="name a metric, such as purchase or click/impression")
    if peek and effect is None:
        raise InputError("looking before the end needs the planned effect", mend="give --effect (see vicino abtest plan)")
    values = {metric: _parts(log, metric) for metric in metrics}
    sizes = {name: int(size) for name, size in zip(log.groups, log.sizes, strict=True)}
    p = mismatch(list(sizes.values()), shares)
    few = [f"{name} ({size:,})" for name, size in sizes.items() if size < _FEW]
    broken = f"it has under {_FEW} users in {', '.join(few)}" if few else ""
    if p < _BROKEN:
        broken = "its groups have "
        broken += f"{', '.join(f'{size:,} ({name})' for name, size in sizes.items())} users, which those shares give by chance "
        broken += f"with p = {p:.1g}: something loses users of one group"
    if broken:
        return Reading(sizes, control, p, peek, level, (), log.notes, broken)
    pairs = [
        _Pair(metric, name, _of(log, values[metric], control), _of(log, values[metric], name))
        for metric in metrics
        for name in log.groups
        if name != control
    ]
    asked = _Asked(level / len(pairs), effect, margin, peek)
    shown = [asked.interval(pair) for pair in pairs]
    compared = tuple(
        asked.decided(pair, interval, p, p < level)
        for pair, (interval, _), p in zip(pairs, shown, holm([p for _, p in shown]), strict=True)
    )
    notes = (
        *log.notes,
        *(note for metric in metrics if "/" in metric for note in _heavy(metric, values[metric], min(log.sizes))),
        *(f"{each}: {_ANEW}" for each in dict.fromkeys(pair.metric for pair in pairs if pair.heavy and not peek)),
        *(
            f"{metric}: every user in the log did it: it must hold those too who did not, by another event such as a view"
            for metric in metrics
            if "/" not in metric and values[metric][0].all()
        ),
    )
    return Reading(sizes, control, p, peek, level, compared, notes)


def _heavy(metric: str, parts: _Sides, users: int) -> Iterator[str]:
    """A warning where a few users hold so much of a metric that a normal interval is not to be trusted."""
    wanted = users_for_normal(*parts)
    if wanted > users:
        most = float(parts[0].max() / parts[0].sum())
        yield f"{metric}: a few users hold much of it (one has {most:.1%}); a normal interval is exact from {wanted:,} a group"


def _of(log: Log, parts: _Sides, group: str) -> _Sides:
    rows = log.group_of == log.groups.index(group)
    return parts[0][rows], None if parts[1] is None else parts[1][rows]


class _Pair(NamedTuple):
    """One metric of the control's users and of a group's."""

    metric: str
    group: str
    before: _Sides
    after: _Sides

    @property
    def ratios(self) -> tuple[Ratio, Ratio]:
        return ratio(*self.before), ratio(*self.after)

    @property
    def heavy(self) -> bool:
        """Whether a few users hold too much of it for a normal interval."""
        return not nearly_normal(self.before, self.after)

    def difference(self, level: float) -> Difference:
        if self.heavy:
            return permuted_difference(self.before, self.after, level=level)
        return difference(*self.ratios, level=level)


@dataclass(frozen=True)
class _Asked:
    """What a comparison is asked for, at its share of the level (Bonferroni; which differ at all is told by Holm)."""

    level: float
    effect: float | None
    margin: float | None
    peek: bool

    def interval(self, pair: _Pair) -> tuple[Interval, float]:
        if self.peek:
            return always_valid(difference(*pair.ratios), self.effect or 0, level=1 - self.level)
        found = pair.difference(1 - self.level)
        return found.interval, found.p

    def decided(self, pair: _Pair, interval: Interval, p: float, differs: bool) -> Compared:
        before, after = pair.ratios
        users = before.users + after.users
        about: dict[str, Any] = {"level": self.level, "share": after.users / users}
        spread = (before.spread, after.spread)
        decision: Decision = "not told apart"
        if differs:
            decision = "better" if interval.mean > 0 else "worse"
        elif self.margin is not None and self._same(pair, interval, self.margin):
            decision = "the same"
        wanted = self.effect if self.effect is not None else self.margin
        more = max(0, users_needed(spread, wanted, **about) - users) if wanted else None
        smallest = smallest_effect(spread, users, **about)
        return Compared(pair.metric, pair.group, before.value, after.value, interval, p, decision, smallest, more)

    def _same(self, pair: _Pair, interval: Interval, margin: float) -> bool:
        """Two one-sided tests; where one looks early, the interval that holds then lies within the margin."""
        if not (self.peek or pair.heavy):
            return equivalent(difference(*pair.ratios), margin) < self.level
        low, high = interval[1:] if self.peek else pair.difference(1 - 2 * self.level).interval[1:]
        return -margin < low and high < margin


# Interleaved ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Preference:
    """Of users who took more results of one ranking than of the other, the share who took the second's: an interval, and p."""

    teams: tuple[str, str]
    users: int
    undecided: int
    share: Interval
    p: float
    notes: tuple[str, ...]

    @property
    def verdict(self) -> str:
        first, second = self.teams
        if self.p >= _LEVEL:
            return f"Not decided: {self.share.mean:.1%} of {self.users:,} users preferred {second} (p = {self.p:.3f})."
        better, share = (second, self.share.mean) if self.share.mean > 0.5 else (first, 1 - self.share.mean)
        return f"{better} is better: {share:.1%} of {self.users:,} users took more of its results (p = {self.p:.2g})."

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "share": list(self.share), "verdict": self.verdict}


def prefer(log: Interleaved) -> Preference:
    """Which of two interleaved rankings users prefer: a sign test over users, with Wilson's interval.

    A user counts once, however much was clicked. Raises EmptyInput where nobody preferred either. Wilson, "Probable inference,
    the law of succession, and statistical inference", Journal of the American Statistical Association 22, 1927.

    >>> prefer(Interleaved(("a", "b"), np.array([[0, 2], [1, 3], [2, 1], [1, 1], [0, 1]]))).share.mean
    0.75
    """
    from scipy.stats import binomtest

    credit = np.sign(log.wins[:, 1] - log.wins[:, 0])
    n, second = int((credit != 0).sum()), int((credit > 0).sum())
    if not n:
        raise EmptyInput("no user took more of one ranking than of the other", mend="wait for more clicks")
    test = binomtest(second, n)
    low, high = test.proportion_ci(0.95, method="wilson")
    share = Interval(second / n, float(low), float(high))
    return Preference(log.teams, n, len(credit) - n, share, float(test.pvalue), log.notes)


# Metrics by name ------------------------------------------------------------------------------------------------------

_Sides = tuple[NDArray[np.float64], NDArray[np.float64] | None]


def _parts(log: Log, metric: str) -> _Sides:
    """Above and below the line of a metric, one number a user each. Raises InputError, UnknownName."""
    above, slash, below = metric.partition("/")
    if not above or (slash and not below):
        raise InputError(f"{metric!r} is no metric", mend="write purchase, purchase/user, click/impression or click/session")
    if not slash:
        if above.startswith("value:"):
            raise InputError(f"{metric!r} is divided by nothing", mend=f"write {metric}/user or {metric}/session")
        return (log.counts(above) > 0).astype(np.float64), None
    below_by: Mapping[str, Callable[[], NDArray[np.float64] | None]] = {"user": lambda: None, "session": lambda: log.sessions}
    sums = log.sums(above.removeprefix("value:")) if above.startswith("value:") else log.counts(above)
    return sums, below_by.get(below, lambda: log.counts(below))()
