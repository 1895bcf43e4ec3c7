"""The gate: whether what was trained may take the place of what it was trained from.

A trained model is accepted where it is better on what it was trained for, beyond the interval, and not much worse on anything
else that is looked at. Otherwise it is rejected, with the reason and what to try.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from vicino.errors import DimensionMismatch, InputError
from vicino.metrics import significance
from vicino.metrics.significance import Interval
from vicino.metrics.similarity import spearman
from vicino.metrics.spans import f1_of_counts
from vicino.metrics.values import as_values

__all__ = ["Check", "Gate", "check_correlation", "check_f1", "check_means", "decide"]

TOLERANCE = 0.01  # how much worse a control may be

_WHERE_WORSE = (
    "check that positives are what their anchors ask for: the lint names pairs that contradict each other",
    "lower the learning rate, or train for fewer epochs",
)
_WHERE_UNSURE = ("give more examples, or mine harder negatives",)
_RESAMPLES = 2000  # of pairs or sentences, where each resample is a correlation or an F1


@dataclass(frozen=True)
class Check:
    """A measure before and after training, on the same n things, with the interval of the difference."""

    name: str
    n: int
    before: float
    after: float
    difference: Interval
    detectable: float | None  # the smallest true difference that n things would show four times in five; None: one shows none

    def __str__(self) -> str:
        mean, low, high = self.difference
        return f"{self.name}: {self.before:.3f} -> {self.after:.3f} ({mean:+.3f} [{low:+.3f}, {high:+.3f}], n = {self.n:,})"

    def to_json(self) -> dict[str, Any]:
        """The numbers, as JSON can say them."""
        return {
            "name": self.name,
            "n": self.n,
            "before": self.before,
            "after": self.after,
            "difference": self.difference._asdict(),
            "detectable": self.detectable,
        }


@dataclass(frozen=True)
class Gate:
    """The decision, why, and what to try next where the answer is no."""

    accepted: bool
    gain: Check
    controls: tuple[Check, ...]
    reasons: tuple[str, ...]
    advice: tuple[str, ...]

    @property
    def sentence(self) -> str:
        """The decision in one line."""
        return f"{'accepted' if self.accepted else 'rejected'}: {'; '.join(self.reasons)}"

    def to_json(self) -> dict[str, Any]:
        """The decision and what it stands on."""
        return {
            "accepted": self.accepted,
            "sentence": self.sentence,
            "gain": self.gain.to_json(),
            "controls": [check.to_json() for check in self.controls],
            "advice": list(self.advice),
        }


def check_means(name: str, before: ArrayLike, after: ArrayLike, *, groups: ArrayLike | None = None, seed: int = 0) -> Check:
    """From a value of each query, before and after: (n,) each, in the same order. Raises what `bootstrap_difference` raises.

    `groups` (n,) numbers queries that succeed and fail together, which are drawn together for the interval.

    >>> str(check_means("nDCG@10", [0.4, 0.5, 0.6], [0.5, 0.6, 0.7]))
    'nDCG@10: 0.500 -> 0.600 (+0.100 [+0.100, +0.100], n = 3)'
    """
    old, new = as_values(before), as_values(after)
    difference = significance.bootstrap_difference(new, old, groups=groups, seed=seed)
    units = len(old) if groups is None else len(np.unique(groups))
    detectable = significance.detectable_difference(new - old, groups=groups) if units > 1 else None
    return Check(name, len(old), float(old.mean()), float(new.mean()), difference, detectable)


def check_correlation(name: str, truth: ArrayLike, before: ArrayLike, after: ArrayLike, *, seed: int = 0) -> Check:
    """Spearman's correlation with what people say, before and after: (n,) each; pairs are drawn anew for the interval.

    Raises DimensionMismatch for several lengths, InputError for fewer than three.
    """
    sides = [as_values(each) for each in (truth, before, after)]
    n = len(sides[0])
    if any(len(each) != n for each in sides):
        raise DimensionMismatch(f"{', '.join(str(len(each)) for each in sides)} values", mend="give the same pairs three times")
    if n < 3:
        raise InputError(f"a correlation of {n} pairs says nothing", mend="give at least three, better hundreds")
    told, old, new = sides
    random = np.random.default_rng(seed)
    drawn = [random.integers(0, n, n) for _ in range(_RESAMPLES)]
    differences = np.array([_apart(told[rows], old[rows], new[rows]) for rows in drawn])
    differences = differences[np.isfinite(differences)]
    low, high = np.quantile(differences, [0.025, 0.975])
    change = Interval(_apart(told, old, new), float(low), float(high))
    return Check(name, n, spearman(old, told), spearman(new, told), change, float(2.8 * differences.std()))


def check_f1(name: str, before: ArrayLike, after: ArrayLike, *, seed: int = 0) -> Check:
    """F1 of spans, before and after, from the counts of `vicino.metrics.spans.count_spans`: (n, 3) each, of the same sentences.

    F1 is one number of all sentences and no mean of theirs: these are drawn anew, and each draw has its own. Raises
    DimensionMismatch for two shapes, InputError for none.

    >>> str(check_f1("F1", [[0, 1, 1], [0, 0, 1]], [[1, 1, 1], [1, 1, 1]]))
    'F1: 0.000 -> 1.000 (+1.000 [+1.000, +1.000], n = 2)'
    """
    old, new = np.asarray(before), np.asarray(after)
    if old.shape != new.shape or old.ndim != 2 or old.shape[1] != 3:
        raise DimensionMismatch(f"counts of shapes {old.shape} and {new.shape}", mend="give (n, 3), of the same sentences twice")
    n = len(old)
    if n == 0:
        raise InputError("there are no sentences", mend="give at least one, better hundreds")
    random = np.random.default_rng(seed)
    sums = np.empty((_RESAMPLES, 2, 3))
    for row in range(_RESAMPLES):  # how often each sentence is drawn says it all
        times = np.bincount(random.integers(0, n, n), minlength=n)
        sums[row] = times @ old, times @ new
    scores = f1_of_counts(sums)
    differences = scores[:, 1] - scores[:, 0]
    low, high = np.quantile(differences, [0.025, 0.975])
    was, is_ = (float(f1_of_counts(each.sum(axis=0))) for each in (old, new))
    detectable = float(2.8 * differences.std()) if n > 1 else None
    return Check(name, n, was, is_, Interval(is_ - was, float(low), float(high)), detectable)


def decide(
    gain: Check,
    controls: Sequence[Check] = (),
    *,
    tolerance: float = TOLERANCE,
    where_worse: Sequence[str] = _WHERE_WORSE,
    where_unsure: Sequence[str] = _WHERE_UNSURE,
) -> Gate:
    """Accept where `gain` is above zero with its whole interval, and no control fell by more than `tolerance`.

    `where_worse` and `where_unsure` are what to try where it is not, beside what the numbers say themselves.

    >>> better = check_means("nDCG@10", [0.4, 0.5, 0.6], [0.5, 0.6, 0.7])
    >>> decide(better).accepted, decide(better, [check_means("other data", [0.9, 0.9], [0.8, 0.8])]).accepted
    (True, False)
    """
    reasons, advice = list[str](), list[str]()
    if gain.difference.low > 0:
        reasons.append(f"better than before beyond the interval, {gain}")
    elif gain.difference.high < 0:
        reasons.append(f"worse than before beyond the interval, {gain}")
        advice += where_worse
    else:
        reasons.append(f"no difference that {gain.n:,} held-out examples can show, {gain}")
        least = "" if not gain.detectable else f" (only a gain of {gain.detectable:.3f} would show on so few)"
        advice += [f"hold out more examples, or judge more{least}", *where_unsure]
    fallen = [check for check in controls if check.difference.mean < -tolerance]
    reasons += [f"worse by more than {tolerance:g} on other data, {check}" for check in fallen]
    if fallen:
        advice.append("lower the learning rate, train for fewer epochs, or mix in pairs of the other data")
    if controls and not fallen:
        reasons.append(f"nothing else fell by more than {tolerance:g} ({', '.join(check.name for check in controls)})")
    return Gate(gain.difference.low > 0 and not fallen, gain, tuple(controls), tuple(reasons), tuple(advice))


def _apart(truth: Any, before: Any, after: Any) -> float:
    """How much more `after` agrees with the truth; not a number where a draw is all of one value."""
    spread: Callable[[Any], float] = np.ptp
    if min(map(spread, (truth, before, after))) == 0:
        return float("nan")
    return spearman(after, truth) - spearman(before, truth)
