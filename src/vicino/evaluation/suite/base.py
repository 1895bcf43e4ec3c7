"""One table for every task: what candidates answer, measured with intervals, and what the items can and cannot tell apart.

A `Task` holds the truth and its measures, and says how a candidate is asked. A candidate gives an `Outcome`: arrays, such as a
score for each pair. A `Measure` makes of an outcome a number for every draw of the items, so that correlations, areas under
curves and F1, which are no means, get bootstrap intervals as means do. All candidates are measured on the same draws: what is
compared are paired differences. Where a measure is a mean, the test is the paired randomisation test; elsewhere the share of
draws in which the sign of the difference changes, twice. Both are corrected for the number of candidates (Holm).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vicino import artifacts
from vicino.errors import ArtifactError, EmptyInput, InputError, UnknownName
from vicino.evaluation.compare import ALPHA, FAILURES
from vicino.evaluation.provenance import machine, made_with, versions
from vicino.metrics import resampled
from vicino.metrics.significance import Interval, holm, randomisation_test
from vicino.metrics.values import Values
from vicino.progress import track
from vicino.spaces import fingerprint

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
    "judge",
    "mean_of",
    "scored",
]

log = logging.getLogger(__name__)

SCHEMA = "vicino.table/1"
RESAMPLES = 2000
MARGIN = 0.01  # two that surely differ by less are the same
_CELLS = 2**20  # counts in memory at once: 8 MB

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

    `gain` is the difference from the best simple baseline by the first measure; `p` that of the test against the best (None for
    the best itself); `decision` beside the best: "best", "worse", "the same" (surely within `MARGIN`) or "not told apart".
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
        for rung in self.rungs:
            if rung.name == name:
                return rung
        raise UnknownName.among(name, (rung.name for rung in self.rungs), kind="candidate")

    def to_json(self) -> dict[str, Any]:
        """Everything, as plain data: schema `SCHEMA`, whatever the kind of task."""
        task = self.task
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
                "interval": f"percentile bootstrap over {task.unit}" + (" that hang together" if task.groups is not None else ""),
                "resamples": RESAMPLES,
                "level": 1 - ALPHA,
                "test": _TEST if task.measures[self.measures[0]].each else "paired bootstrap, two-sided",
                "correction": "Holm",
                "alpha": ALPHA,
                "margin": MARGIN,
            },
            "machine": machine(),
            "versions": versions(),
        }


_TEST = "paired randomisation, two-sided"


def judge(
    task: Task, candidates: Sequence[str] = (), *, measures: Sequence[str] | None = None, cache: Path | None = None
) -> Table:
    """Ask every candidate, and say what the items can tell. The first measure decides.

    What was answered is kept under `cache`, so that adding one candidate costs one candidate. One that fails is reported, and
    does not stop the others. Raises UnknownName for names and measures that cannot be, before anything is asked, and EmptyInput
    where none could be measured.
    """
    wanted = tuple(dict.fromkeys(measures or task.shown))
    for name in wanted:
        if name not in task.measures:
            raise UnknownName.among(name, task.measures, kind="measure")
    contenders = {name: task.prepare(name) for name in dict.fromkeys(candidates or task.ladder)}
    rungs: list[Rung] = []
    outcomes: dict[str, Outcome] = {}
    whole: dict[str, dict[str, float]] = {}
    for name, contender in track(list(contenders.items()), "Climbing the ladder", unit="candidates"):
        try:
            outcome, seconds, cached = _answered(contender, task, cache)
            whole[name] = _whole(outcome, task, wanted)
        except FAILURES as error:
            log.info("%s failed", name, exc_info=True)
            rungs.append(Rung(name, contender.simple, str(error) or type(error).__name__))
            continue
        outcomes[name] = outcome
        rungs.append(Rung(name, contender.simple, seconds=seconds, cached=cached))
    if not outcomes:
        told = "; ".join(f"{rung.name}: {rung.error}" for rung in rungs)
        raise EmptyInput(f"no candidate could be measured: {told}", mend="look at the data, then at the names")
    measured = _Measured(whole, _draws(task, outcomes, wanted), wanted)
    rungs = [replace(rung, metrics=measured.intervals(rung.name)) if rung.name in outcomes else rung for rung in rungs]
    return _verdict(task, wanted, rungs, measured, outcomes)


# How ----------------------------------------------------------------------------------------------------------------


def _answered(contender: Contender, task: Task, cache: Path | None) -> tuple[Outcome, float, bool]:
    """The outcome of a candidate, the seconds it took, and whether that was in an earlier run."""
    place = None
    if cache is not None and contender.identity:
        place = cache / "answered" / fingerprint([contender.identity, task.kind, task.fingerprint, task.seed, made_with()])
        try:
            kept = artifacts.read(place, kind="answers")
            return kept.arrays, float(kept.data["seconds"]), True
        except (ArtifactError, KeyError, TypeError) as error:  # not there, or damaged: it is made again
            log.debug("not recalled: %s", error)
    began = time.perf_counter()
    outcome = contender.answer()
    seconds = time.perf_counter() - began
    if place is not None:
        try:
            artifacts.write(place, kind="answers", data={"seconds": seconds}, arrays=dict(outcome))
        except ArtifactError as error:  # a full disk costs the next run its speed, and this one nothing
            log.warning("not kept: %s", error)
    return outcome, seconds, False


def _whole(outcome: Outcome, task: Task, wanted: Sequence[str]) -> dict[str, float]:
    """The measures of all items as they are. Raises InputError where one is undefined."""
    found = {name: float(task.measures[name].of(outcome, np.ones((1, task.size)))[0]) for name in wanted}
    for name, value in found.items():
        if not np.isfinite(value):
            raise InputError(f"{name} is undefined, as where all answers are equal", mend="leave this candidate out")
    return found


@dataclass(frozen=True, eq=False)
class _Measured:
    """For each candidate its values by measure, and (resamples,) values of the draws."""

    values: Mapping[str, Mapping[str, float]]
    draws: Mapping[tuple[str, str], Values]
    wanted: tuple[str, ...]

    def intervals(self, name: str) -> dict[str, Interval]:
        return {one: _interval(self.values[name][one], self.draws[one, name]) for one in self.wanted}

    def differences(self, a: str, b: str) -> tuple[float, Values]:
        """Of a above b, by the first measure."""
        one = self.wanted[0]
        drawn = self.draws[one, a] - self.draws[one, b]
        return self.values[a][one] - self.values[b][one], drawn[np.isfinite(drawn)]


def _interval(value: float, draws: Values, level: float = 1 - ALPHA) -> Interval:
    told = draws[np.isfinite(draws)]
    if not len(told):  # too few items for any draw to be like the whole
        return Interval(value, value, value)
    low, high = np.quantile(told, [(1 - level) / 2, (1 + level) / 2])
    return Interval(value, float(low), float(high))


def _draws(task: Task, outcomes: Mapping[str, Outcome], wanted: Sequence[str]) -> dict[tuple[str, str], Values]:
    """(resamples,) values by measure and candidate, of the same draws for all."""
    found: dict[tuple[str, str], list[Values]] = {(one, name): [] for one in wanted for name in outcomes}
    for counts in track(list(_blocks(task)), "drawing the items again", unit="blocks"):
        drawn = counts()
        for (one, name), each in found.items():
            each.append(task.measures[one].of(outcomes[name], drawn))
    return {pair: np.concatenate(each) for pair, each in found.items()}


def _blocks(task: Task) -> Iterator[Callable[[], Counts]]:
    """Draws with replacement of the items, or of what hangs together: (b, n) counts, so many at a time."""
    random = np.random.default_rng(task.seed)
    places = None if task.groups is None else np.unique(task.groups, return_inverse=True)[1]
    size = task.size if places is None else int(places.max()) + 1
    step = max(1, _CELLS // task.size)

    def drawn(rows: int) -> Counts:
        flat = random.integers(size, size=(rows, size)) + size * np.arange(rows)[:, None]
        counts = np.bincount(flat.ravel(), minlength=rows * size).reshape(rows, size).astype(np.float64)
        return counts if places is None else counts[:, places]

    for start in range(0, RESAMPLES, step):
        yield partial(drawn, min(step, RESAMPLES - start))


def _verdict(
    task: Task, wanted: tuple[str, ...], rungs: Sequence[Rung], measured: _Measured, outcomes: Mapping[str, Outcome]
) -> Table:
    first = wanted[0]
    standing = [rung for rung in rungs if not rung.error]
    best = max(standing, key=lambda rung: rung.metrics[first].mean)
    baseline = max([rung for rung in standing if rung.simple] or [best], key=lambda rung: rung.metrics[first].mean)
    others = [rung.name for rung in standing if rung is not best]
    corrected = holm([_p(task, first, outcomes, measured, best.name, name) for name in others])
    p = dict(zip(others, corrected, strict=True))
    level = 1 - 2 * ALPHA / max(len(others), 1)  # of two one-sided tests, for so many candidates
    judged = []
    for rung in rungs:
        if rung.error:
            judged.append(rung)
            continue
        gain = None if rung.name == baseline.name else _interval(*measured.differences(rung.name, baseline.name))
        apart = _interval(*measured.differences(rung.name, best.name), level)
        same = max(abs(apart.low), abs(apart.high)) < MARGIN
        beside = "the same" if same else "worse" if p.get(rung.name, 1.0) < ALPHA else "not told apart"
        each = task.measures[first].each
        values = None if each is None else each(outcomes[rung.name])
        decision = "best" if rung is best else beside
        judged.append(replace(rung, values=values, gain=gain, p=p.get(rung.name), decision=decision))
    pick, verdict = _sentence(judged, best.name, first, task)
    return Table(task, wanted, tuple(judged), baseline.name, pick, verdict)


def _p(task: Task, first: str, outcomes: Mapping[str, Outcome], measured: _Measured, best: str, other: str) -> float:
    """Two-sided p of "the two do not differ"."""
    each = task.measures[first].each
    if each is not None:
        a, b = each(outcomes[best]), each(outcomes[other])
        if task.groups is not None:  # a group is better or worse as a whole
            places = np.unique(task.groups, return_inverse=True)[1]
            a, b = (np.bincount(places, weights=values).astype(np.float64) for values in (a, b))
        return randomisation_test(a, b, seed=task.seed)
    _, drawn = measured.differences(best, other)
    rarer = min(np.count_nonzero(drawn <= 0), np.count_nonzero(drawn >= 0))
    return min(1.0, 2 * (1 + rarer) / (1 + len(drawn)))


def _sentence(rungs: Sequence[Rung], best: str, first: str, task: Task) -> tuple[str, str]:
    """What to use, and why: of those that are as good as the best a simple one, else the fastest."""
    standing = {rung.name: rung for rung in rungs if not rung.error}
    same, untold = ([rung for rung in standing.values() if rung.decision == each] for each in ("the same", "not told apart"))
    level = [standing[best], *same, *untold]
    simple = [rung for rung in level if rung.simple]
    pick = max(simple or level, key=lambda rung: rung.metrics[first].mean if simple else -rung.seconds)
    mean, low, high = standing[best].metrics[first]
    score = f"{first} {mean:.3f} [{low:.3f}, {high:.3f}]"
    if len(standing) == 1:
        told = f"{best} was the only one measured: {score}."
    elif len(level) == 1:
        told = f"{best} wins: {score}, better than every other candidate that was measured, beyond chance."
    else:
        told = f"{best} scores highest ({score})"
        told += f", but the {task.size:,} {task.unit} cannot tell it from {_names(untold)}" if untold else ""
        told += f"; surely within ±{MARGIN:g} of it: {_names(same)}" if same else ""
        told += f". {pick.name} is the {'best of the simple ones' if simple else 'fastest of them'}: use {pick.name}."
    failed = [rung for rung in rungs if rung.error]
    return pick.name, told + (f" Not measured, because they failed: {_names(failed)}." if failed else "")


def _names(rungs: Sequence[Rung]) -> str:
    return ", ".join(rung.name for rung in rungs)
