"""One table for every task: what candidates answer, measured with intervals, and what the items can and cannot tell apart.

A `Task` holds the truth and its measures, and says how a candidate is asked. A candidate gives an `Outcome`: arrays, such as a
score for each pair. A `Measure` makes of an outcome a number for every draw of the items, so that correlations, areas under
curves and F1, which are no means, get bootstrap intervals as means do. All candidates are measured on the same draws: what is
compared are paired differences. How that is done stands in `vicino.evaluation.suite.judging`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vicino.errors import InputError
from vicino.evaluation.compare import ALPHA
from vicino.evaluation.contests import named
from vicino.evaluation.provenance import machine, versions
from vicino.metrics import resampled
from vicino.metrics.significance import Interval
from vicino.metrics.values import Values

__all__ = [
    "MARGIN",
    "RESAMPLES",
    "SCHEMA",
    "Contender",
    "Measure",
    "Outcome",
    "Rung",
    "Table",
    "Task",
    "mean_of",
    "scored",
]

SCHEMA = "vicino.table/1"
RESAMPLES = 2000
MARGIN = 0.01  # two that surely differ by less are the same

Outcome = Mapping[str, NDArray[Any]]  # of one candidate, array by array
Counts = NDArray[np.float64]  # (b, n): how often each of n items was drawn


@dataclass(frozen=True)
class Measure:
    """What it says, `of(outcome, counts) -> (b,)`, and `each(outcome) -> (n,)` where it is the mean of one value an item."""

    summary: str
    of: Callable[[Outcome, Counts], Values]
    each: Callable[[Outcome], Values] | None = None


def mean_of(summary: str, each: Callable[[Outcome], Values]) -> Measure:
    """The measure that is the mean of one value an item.

    >>> right = mean_of("share told rightly", lambda outcome: outcome["right"])
    >>> right.of({"right": np.array([1.0, 0.0])}, np.array([[1, 1], [2, 0]])).tolist()
    [0.5, 1.0]
    """
    return Measure(summary, lambda outcome, counts: resampled.mean(each(outcome), counts), each)


def scored(summary: str, of: Callable[[Any, Any, Counts], Values], truth: NDArray[Any]) -> Measure:
    """The measure `of(truth, scores, counts)` of an outcome that has one score an item."""
    return Measure(summary, lambda outcome, counts: of(truth, outcome["scores"], counts))


@dataclass(frozen=True)
class Contender:
    """A candidate that is known to exist: `answer` makes its outcome.

    `identity` names by content all that decides the outcome, so that it can be kept; "" where nothing is to be kept.
    """

    answer: Callable[[], Outcome]
    simple: bool = False
    identity: str = ""


@dataclass(frozen=True, eq=False)
class Task:
    """n items (`unit` is what they are called) with what is true of them, as a kind of task asks.

    `about` says what is asked, `measures` are all that there are (those of `shown` by default; the first decides), `ladder` the
    candidates where nobody names any, and `prepare` makes a contender of a name, or raises UnknownName. `groups` (n,) numbers
    what hangs together, as pairs of one text: groups are drawn, with all their items. `fingerprint` names the truth by content.
    """

    kind: str
    name: str
    about: str
    unit: str
    size: int
    measures: Mapping[str, Measure]
    shown: tuple[str, ...]
    ladder: tuple[str, ...]
    prepare: Callable[[str], Contender]
    fingerprint: str
    groups: NDArray[np.int64] | None = None
    seed: int = 0
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.size < 2:
            raise InputError(f"{self.size} {self.unit} tell nothing", mend="give some hundred")


@dataclass(frozen=True, eq=False)
class Rung:
    """One candidate: what was measured, the seconds that its answers took, or the error.

    `gain` is the difference from the best simple baseline by the first measure; `p` that of the test against the best, corrected
    for all pairs (None for the best itself); `decision` beside the best: "best", "worse", "the same" (surely within `MARGIN`) or
    "not told apart".
    `values` (n,) are those of the items, where the first measure is their mean.
    """

    name: str
    simple: bool = False
    error: str = ""
    metrics: Mapping[str, Interval] = field(default_factory=dict)
    values: Values | None = None
    gain: Interval | None = None
    p: float | None = None
    decision: str = ""
    seconds: float = 0.0
    cached: bool = False

    def to_json(self) -> dict[str, Any]:
        """The numbers, as JSON can say them."""
        told = ("name", "simple", "error", "p", "decision", "seconds", "cached")
        plain = {name: getattr(self, name) for name in told}
        metrics = {name: interval._asdict() for name, interval in self.metrics.items()}
        values = None if self.values is None else np.asarray(self.values, dtype=float).tolist()
        return plain | {"metrics": metrics, "gain": self.gain and self.gain._asdict(), "values": values}


@dataclass(frozen=True, eq=False)
class Table:
    """The evidence: the task, the measures, the rungs in the order asked for, the best simple one, and the verdict."""

    task: Task
    measures: tuple[str, ...]
    rungs: tuple[Rung, ...]
    baseline: str
    pick: str
    verdict: str

    def __getitem__(self, name: str) -> Rung:
        return named(name, self.rungs)

    def to_json(self) -> dict[str, Any]:
        """Everything, as plain data: schema `SCHEMA`, whatever the kind of task."""
        task = self.task
        together = " that hang together" if task.groups is not None else ""
        told = ("kind", "name", "about", "unit", "size", "seed", "fingerprint")
        return {
            "schema": SCHEMA,
            "task": {name: getattr(task, name) for name in told} | {"notes": list(task.notes)},
            "metrics": [{"name": name, "summary": task.measures[name].summary} for name in self.measures],
            "candidates": [rung.to_json() for rung in self.rungs],
            "baseline": self.baseline,
            "pick": self.pick,
            "verdict": self.verdict,
            "statistics": {
                "interval": f"percentile bootstrap about the value, over {task.unit}{together}",
                "resamples": RESAMPLES,
                "level": 1 - ALPHA,
                "test": _TEST if task.measures[self.measures[0]].each else "paired bootstrap, two-sided",
                "correction": "step-down maximum over all pairs of candidates",
                "equivalence": "two one-sided tests, Holm",
                "alpha": ALPHA,
                "margin": MARGIN,
            },
            "machine": machine(),
            "versions": versions(),
        }


_TEST = "paired randomisation, two-sided"
