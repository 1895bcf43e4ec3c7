"""How good recommenders are: one task, several recommenders, intervals by user, and what the users can and cannot tell apart.

Each learns from what a split leaves (`vicino.data.interaction_splits`) and is asked for the items that were held out. Where a
baseline is named without parameters, these are chosen on a second split of what is left: nothing is ever chosen by what is asked.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vicino import metrics
from vicino.catalog import call
from vicino.data.interaction_splits import SPLITS, Held
from vicino.data.interactions import Interactions
from vicino.errors import EmptyInput, InputError, UnknownName
from vicino.evaluation.compare import ALPHA, FAILURES
from vicino.evaluation.contests import named
from vicino.evaluation.ladder_text import sentence
from vicino.metrics.ranking import judge
from vicino.metrics.recommendation import catalogue_coverage, gini, mean_popularity, novelty
from vicino.metrics.significance import Interval, bootstrap_difference, bootstrap_interval, pairwise_tests
from vicino.progress import track
from vicino.retrieval.recommenders import RECOMMENDERS, Recommender, make

__all__ = [
    "BASELINE",
    "LADDER",
    "METRICS",
    "Measured",
    "Ranked",
    "RecommendationTask",
    "Recommendations",
    "compare_recommenders",
    "measure",
]

log = logging.getLogger(__name__)

LADDER = ("popularity", "item-knn", "pure-svd", "ease", "als")
METRICS = ("nDCG@20", "Recall@20")
BASELINE = "popularity"

_FEW = 5  # interactions, or users, up to which somebody or something is new
_ASKED = 20_000  # users: more tell no more


@dataclass(frozen=True, eq=False)
class RecommendationTask:
    """What to learn from (`train`), what is asked (`held`), and how the two were parted: `split`, a name of `SPLITS`, and `seed`.

    >>> seen = Interactions.of(["ann", "ann", "bob", "bob"], ["tea", "rice", "tea", "rice"])
    >>> task = RecommendationTask.of(seen, name="kitchen")
    >>> len(task.train), len(task.held), [sorted(answers.values()) for answers in task.answers]
    (2, 2, [[1], [1]])
    """

    name: str
    train: Interactions
    held: Held
    split: str = "leave-one-out"
    seed: int = 0
    notes: tuple[str, ...] = ()

    @classmethod
    def of(
        cls, interactions: Interactions, *, name: str = "interactions", split: str = "leave-one-out", seed: int = 0
    ) -> RecommendationTask:
        """Part interactions; of more than 20,000 users so many are asked, by chance. Raises UnknownName, InputError."""
        if split not in SPLITS:
            raise UnknownName.among(split, SPLITS, kind="split")
        train, held = SPLITS[split](interactions, seed)
        notes = []
        if len(held) > _ASKED:
            chosen = np.sort(np.random.default_rng(seed).permutation(len(held))[:_ASKED]).tolist()
            notes.append(f"{_ASKED:,} of {len(held):,} users are asked")
            truth, seen = (tuple(each[row] for row in chosen) for each in (held.truth, held.seen))
            held = Held(held.users[chosen], truth, seen)
        return cls(name, train, held, split, seed, tuple(notes))

    @cached_property
    def answers(self) -> list[dict[str, int]]:
        """What is right for each user who is asked: item -> 1, as `vicino.metrics.ranking.judge` takes it."""
        return [{self.train.items[item]: 1 for item in items.tolist()} for items in self.held.truth]

    @cached_property
    def popularity(self) -> NDArray[np.int64]:
        """How many users met each item, in what is learnt from: (items,)."""
        return np.bincount(self.train.matrix().indices, minlength=len(self.train.items))

    def validation(self) -> RecommendationTask:
        """The same task on what is learnt from, parted once more: to choose by."""
        return RecommendationTask.of(self.train, name=f"{self.name}, validation", split=self.split, seed=self.seed + 1)


@dataclass(frozen=True, eq=False)
class Measured:
    """One recommender's answers, judged: intervals by user, and what they are beside being right.

    `coverage` is the share of the catalogue that anybody was shown, `crowding` the Gini coefficient of how often items were
    shown, `bias` how many times more popular the shown items are than what the users had met (1: no bias), `surprise` the bits of
    novelty. `new` holds the second metric (or the only one) of users and of items with 5 interactions or fewer, and how many
    users tell.
    """

    metrics: Mapping[str, Interval]
    values: NDArray[np.float64]
    coverage: float
    crowding: float
    bias: float
    surprise: float
    new: Mapping[str, tuple[int, Interval]]
    ms: float

    def to_json(self) -> dict[str, Any]:
        """The numbers, as JSON can say them."""
        plain = {name: getattr(self, name) for name in ("coverage", "crowding", "bias", "surprise", "ms")}
        new = {name: {"users": n, **interval._asdict()} for name, (n, interval) in self.new.items()}
        return {"metrics": {name: one._asdict() for name, one in self.metrics.items()}, **plain, "new": new}


@dataclass(frozen=True, eq=False)
class Ranked:
    """One rung: a recommender by name, its parameters and how many were tried, seconds, and what was measured, or the error.

    `p` is of the paired test against the best, corrected for the number of candidates; None for the best itself. `gain` is the
    mean difference from the baseline.
    """

    name: str
    params: Mapping[str, Any] = field(default_factory=dict)
    simple: bool = False
    tried: int = 0
    tuning_seconds: float = 0.0
    fit_seconds: float = 0.0
    found: Measured | None = None
    error: str = ""
    p: float | None = None
    gain: Interval | None = None

    @property
    def mean(self) -> float:
        """The first metric's mean."""
        return float(self.found.values.mean()) if self.found else -np.inf

    def to_json(self) -> dict[str, Any]:
        """The numbers, as JSON can say them."""
        told = ("name", "simple", "tried", "tuning_seconds", "fit_seconds", "error", "p")
        plain = {name: getattr(self, name) for name in told} | {"params": dict(self.params)}
        plain |= {"gain": self.gain._asdict() if self.gain else None}
        return plain | (self.found.to_json() if self.found else {})


@dataclass(frozen=True, eq=False)
class Recommendations:
    """The evidence: the task, what was asked for, the rungs in that order, and the verdict: `pick` and why."""

    task: RecommendationTask
    metric_names: tuple[str, ...]
    rungs: tuple[Ranked, ...]
    pick: str
    verdict: str

    def __getitem__(self, name: str) -> Ranked:
        return named(name, self.rungs)

    def to_json(self) -> dict[str, Any]:
        """Everything, as plain data."""
        task = self.task
        told = {"name": task.name, "split": task.split, "seed": task.seed, "notes": list(task.notes)}
        counts = {"users": len(task.train.users), "items": len(task.train.items), "learnt_from": len(task.train)}
        return {
            "schema": "vicino.recommendations/1",
            "task": told | counts | {"asked": len(task.held)},
            "metrics": list(self.metric_names),
            "candidates": [rung.to_json() for rung in self.rungs],
            "pick": self.pick,
            "verdict": self.verdict,
        }


def compare_recommenders(
    task: RecommendationTask, candidates: Sequence[str] = LADDER, *, metric_names: Sequence[str] = METRICS, tune: bool = True
) -> Recommendations:
    """Climb the ladder of recommenders; the first metric decides.

    Candidates are names, with parameters or without ("ease", "als(factors=32)"), or folders of saved recommenders, which learn
    anew from what is left, with the parameters that were saved. A name without parameters tries its family's grid on
    `task.validation()`, unless `tune` is False. One that fails is reported and does not stop the others. Raises UnknownName and
    InputError for names, parameters and metrics that cannot be, before anything is measured, and EmptyInput where none could be
    measured.
    """
    wanted = [metrics.parse(name) for name in metric_names]
    if not wanted or not candidates:
        raise InputError("nothing to measure", mend="name a metric, such as nDCG@20, and a candidate, such as ease")
    makers = {name: _maker(name) for name in dict.fromkeys(candidates)}
    rungs = []
    for name, made in track(list(makers.items()), "climbing the ladder", unit="candidates"):
        try:
            rungs.append(_rung(name, made, task, wanted, tune))
        except FAILURES as error:
            log.info("%s failed", name, exc_info=True)
            rungs.append(Ranked(name, error=str(error) or type(error).__name__))
    standing = [rung for rung in rungs if rung.found]
    if not standing:
        told = "; ".join(f"{rung.name}: {rung.error}" for rung in rungs)
        raise EmptyInput(f"no candidate could be measured: {told}", mend="look at the data, then at the names")
    judged = _told_apart(rungs, max(standing, key=lambda rung: rung.mean), task.seed)
    pick, verdict = _verdict(judged, wanted[0].name, len(task.held))
    return Recommendations(task, tuple(metric.name for metric in wanted), tuple(judged), pick, verdict)


def measure(recommender: Recommender, task: RecommendationTask, metric_names: Sequence[str] = METRICS) -> Measured:
    """Ask a recommender that learnt from `task.train`, and judge its answers. Items that a user met already are no answers.

    Raises UnknownName for a metric that does not exist, and for users whom the recommender does not know.
    """
    wanted = [metrics.parse(name) for name in metric_names]
    depth = max(metric.cutoff or 100 for metric in wanted)
    train, held = task.train, task.held
    began = time.perf_counter()
    hits = recommender.recommend([train.users[row] for row in held.users.tolist()], depth)
    ms = 1000 * (time.perf_counter() - began) / len(held)
    judged = judge(hits.ids, task.answers)
    values = {metric.name: metric(judged) for metric in wanted}
    shown = _rows(hits.ids[:, : wanted[0].cutoff], train)
    own = np.array([task.popularity[rows].mean() for rows in held.seen])
    return Measured(
        {name: bootstrap_interval(each, seed=task.seed) for name, each in values.items()},
        values[wanted[0].name],
        catalogue_coverage(shown, len(train.items)),
        gini(np.bincount(shown[shown >= 0], minlength=len(train.items))),
        float(mean_popularity(shown, task.popularity).mean() / own.mean()),
        float(novelty(shown, task.popularity, len(train.users)).mean()),
        _new(hits.ids, task, wanted[min(1, len(wanted) - 1)]),
        ms,
    )


def _new(ids: NDArray[np.object_], task: RecommendationTask, metric: metrics.Metric) -> dict[str, tuple[int, Interval]]:
    """A metric where little is known: of users with few interactions, and of items that few users met."""
    rare = {task.train.items[row] for row in np.flatnonzero(task.popularity <= _FEW).tolist()}
    answers = [{item: grade for item, grade in right.items() if item in rare} for right in task.answers]
    beginners = np.array([len(seen) <= _FEW for seen in task.held.seen])
    slices = {"users": (beginners, task.answers), "items": (np.array([bool(each) for each in answers]), answers)}
    return {
        name: (int(some.sum()), bootstrap_interval(metric(judge(ids, given))[some], seed=task.seed))
        for name, (some, given) in slices.items()
        if some.any()
    }


def _rows(ids: NDArray[np.object_], train: Interactions) -> NDArray[np.int64]:
    """The rows of items by id, -1 for none."""
    flat = [-1 if name is None else train.item_row(name) for name in ids.ravel().tolist()]
    return np.array(flat, np.int64).reshape(ids.shape)


def _maker(name: str) -> tuple[Callable[[Mapping[str, Any]], Recommender], Sequence[Mapping[str, Any]]]:
    """How a candidate is made, unfitted, with parameters; and which of them may be chosen among."""
    unfitted = make(name).clone()
    bare = not Path(name).is_dir() and not call(name)[1]
    grid = RECOMMENDERS[call(name)[0]].grid if bare else ()
    return lambda params: unfitted.clone().set_params(**params), grid


def _rung(
    name: str,
    made: tuple[Callable[[Mapping[str, Any]], Recommender], Sequence[Mapping[str, Any]]],
    task: RecommendationTask,
    wanted: Sequence[metrics.Metric],
    tune: bool,
) -> Ranked:
    maker, grid = made
    began = time.perf_counter()
    chosen: Mapping[str, Any] = {}
    if tune and grid:
        cut = task.validation()
        first = wanted[0]
        tries = track(grid, f"choosing parameters of {name}", unit="tries")
        scores = [float(first(judge(_asked(maker(params), cut, first), cut.answers)).mean()) for params in tries]
        chosen = grid[int(np.argmax(scores))]
    tuned = time.perf_counter()
    recommender = maker(chosen).fit(task.train)
    fitted = time.perf_counter()
    found = measure(recommender, task, [metric.name for metric in wanted])
    params = recommender.get_params()
    return Ranked(name, params, recommender.simple, len(grid) if chosen else 0, tuned - began, fitted - tuned, found)


def _asked(recommender: Recommender, task: RecommendationTask, metric: metrics.Metric) -> NDArray[np.object_]:
    users = [task.train.users[row] for row in task.held.users.tolist()]
    return recommender.fit(task.train).recommend(users, metric.cutoff or 100).ids


def _told_apart(rungs: Sequence[Ranked], best: Ranked, seed: int) -> list[Ranked]:
    """Each rung with its test against the best, and its gain over the baseline."""
    standing = [best, *(rung for rung in rungs if rung.found and rung is not best)]
    values = [rung.found.values for rung in standing if rung.found]
    tests = pairwise_tests(values, seed=seed).p[0]  # corrected for all pairs: the best was chosen after having seen the values
    p = dict(zip((rung.name for rung in standing[1:]), tests[1:].tolist(), strict=True))
    base = next((rung.found for rung in rungs if rung.name == BASELINE), None)
    told = []
    for rung in rungs:
        gain = None
        if base is not None and rung.found is not None and rung.name != BASELINE:
            gain = bootstrap_difference(rung.found.values, base.values, seed=seed)
        told.append(replace(rung, p=p.get(rung.name), gain=gain))
    return told


def _verdict(rungs: Sequence[Ranked], metric: str, users: int) -> tuple[str, str]:
    standing = sorted((rung for rung in rungs if rung.found), key=lambda rung: -rung.mean)
    best = standing[0]
    tied = [rung for rung in standing[1:] if rung.p is not None and rung.p >= ALPHA]
    pick = min([best, *tied], key=lambda rung: rung.fit_seconds)
    mean, low, high = best.found.metrics[metric]  # type: ignore[union-attr]
    return pick.name, sentence(
        best.name,
        f"{metric} {mean:.3f} [{low:.3f}, {high:.3f}]",
        [rung.name for rung in tied],
        pick=pick.name,
        why="learns fastest of them",
        asked=f"{users:,} users",
        alone=len(standing) == 1,
        failed=[rung.name for rung in rungs if rung.error],
    )
