"""How candidates of a task are measured and judged: asked once, measured on the same draws of the items, told apart or not.

Where a measure is a mean, the test is the paired randomisation test; elsewhere the share of draws whose difference lies as far
from their mean as the observed one does from 0. Both are corrected for all pairs of candidates, for the best is known only after
having seen the values.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import NormalDist

import numpy as np

from vicino import artifacts
from vicino.errors import ArtifactError, EmptyInput, InputError, UnknownName
from vicino.evaluation.compare import ALPHA, FAILURES
from vicino.evaluation.contests import UNSEEN
from vicino.evaluation.provenance import made_with
from vicino.evaluation.suite.base import MARGIN, RESAMPLES, Contender, Counts, Outcome, Rung, Table, Task
from vicino.metrics.significance import TIE, Interval, equivalence_test, holm, pairwise_tests
from vicino.metrics.values import Values
from vicino.progress import track
from vicino.spaces import fingerprint

__all__ = ["judge"]

log = logging.getLogger(__name__)

_CELLS = 2**20  # counts in memory at once: 8 MB


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


def _interval(value: float, draws: Values) -> Interval:
    """The middle of the draws, moved to where the value is.

    What was drawn twice agrees with itself: draws of a V-measure, or of the best F1, lie higher than what is drawn from, and
    their own quantiles may leave the value out. No end lies beyond what was drawn, so that 1 stays the most there is.
    """
    told = draws[np.isfinite(draws)]
    if not len(told):  # too few items for any draw to be like the whole
        return Interval(value, value, value)
    least, most = float(told.min()), float(told.max())
    low, high = (value - np.median(told) + np.quantile(told, [ALPHA / 2, 1 - ALPHA / 2])).tolist()
    return Interval(value, max(low, least) if least <= value else low, min(high, most) if value <= most else high)


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
    names = [rung.name for rung in standing]
    p = dict(zip(names, _p(task, first, outcomes, measured, names)[names.index(best.name)].tolist(), strict=True))
    same = holm([_p_same(task, first, outcomes, measured, (best.name, name)) for name in others])
    alike = {name for name, chance in zip(others, same, strict=True) if chance < ALPHA}
    judged = []
    for rung in rungs:
        if rung.error:
            judged.append(rung)
            continue
        gain = None if rung.name == baseline.name else _interval(*measured.differences(rung.name, baseline.name))
        beside = "the same" if rung.name in alike else "worse" if p[rung.name] < ALPHA else "not told apart"
        each = task.measures[first].each
        values = None if each is None else each(outcomes[rung.name])
        decision = "best" if rung is best else beside
        judged.append(replace(rung, values=values, gain=gain, p=None if rung is best else p[rung.name], decision=decision))
    pick, verdict = _sentence(judged, best.name, first, task)
    return Table(task, wanted, tuple(judged), baseline.name, pick, verdict)


def _p(task: Task, first: str, outcomes: Mapping[str, Outcome], measured: _Measured, names: Sequence[str]) -> Values:
    """(m, m) two-sided p of "the two do not differ", corrected for all pairs: the best was chosen after having seen the values.

    Of what is no mean: the draws' differences about their own mean, in standard deviations; the largest of all pairs that are not
    told apart yet is what a pair must exceed, as in `pairwise_tests`.
    """
    each = task.measures[first].each
    if each is not None:
        return pairwise_tests(np.stack([each(outcomes[name]) for name in names]), groups=task.groups, seed=task.seed).p
    p = np.ones((len(names), len(names)))
    left, right = np.triu_indices(len(names), 1)
    if not len(left):
        return p
    whole = np.array([measured.values[name][first] for name in names])
    drawn = np.stack([measured.draws[first, name] for name in names])
    drawn = drawn[:, np.isfinite(drawn).all(axis=0)]
    if not drawn.shape[1]:
        return p
    observed, far = whole[left] - whole[right], drawn[left] - drawn[right]
    spread = np.maximum(far.std(axis=1), TIE)
    apart = np.where(np.abs(observed) > TIE, np.abs(observed) / spread, 0.0)
    order = np.argsort(-apart, kind="stable")
    beyond = (np.abs(far - far.mean(axis=1, keepdims=True)) / spread[:, None])[order]
    largest = np.maximum.accumulate(beyond[::-1], axis=0)[::-1]  # of this pair and of all that come after
    counts = np.count_nonzero(largest >= apart[order][:, None], axis=1)
    p[left[order], right[order]] = np.maximum.accumulate((1 + counts) / (1 + far.shape[1]))
    return np.minimum(p, p.T)


def _p_same(task: Task, first: str, outcomes: Mapping[str, Outcome], measured: _Measured, pair: tuple[str, str]) -> float:
    """p of "they differ by `MARGIN` or more". What few items do not show is imagined, as in `equivalence_test`."""
    each = task.measures[first].each
    if each is not None:
        a, b = (each(outcomes[name]) for name in pair)
        return equivalence_test(a, b, MARGIN, groups=task.groups, unseen=UNSEEN)
    difference, drawn = measured.differences(*pair)
    spread = float(drawn.std()) if len(drawn) else UNSEEN
    return NormalDist().cdf((abs(difference) - MARGIN) / math.hypot(spread, UNSEEN / task.size))


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
