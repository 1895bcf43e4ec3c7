"""The ladder: several retrievers on one task, and what the numbers can and cannot tell.

Every candidate's metrics come with bootstrap intervals. Each is compared with the best simple baseline, and with the best of
all, by paired randomisation tests, corrected for the number of candidates (Holm). The verdict names a winner only where the
queries can tell it from all others; otherwise it names the cheapest of those that they cannot tell apart.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vicino import metrics, progress
from vicino.data.records import Recipe
from vicino.encoders.base import Truncation
from vicino.errors import EmptyInput, UnknownName, VicinoError
from vicino.evaluation.measure import Bench, Measurement, Tuning
from vicino.evaluation.tasks import RetrievalTask
from vicino.metrics import significance
from vicino.metrics.ranking import judge
from vicino.metrics.significance import Interval, Tally
from vicino.retrieval import from_recipe, parse

__all__ = ["LADDER", "METRICS", "Candidate", "Comparison", "Contest", "Verdict", "compare"]

log = logging.getLogger(__name__)

LADDER = ("bm25", "tfidf", "lsa", "minilm", "bm25+minilm", "bm25+minilm:tuned")
METRICS = ("nDCG@10", "Recall@100", "MRR@10", "judged@10")
ALPHA = 0.05
WHOLE = 1000  # ranks that a metric without a cutoff sees: the depth of TREC's runs

# What a candidate may raise without stopping the others; anything else is a fault of vicino itself.
FAILURES = (VicinoError, OSError, RuntimeError, ValueError, TypeError, LookupError, ImportError, MemoryError, ArithmeticError)


@dataclass(frozen=True)
class Contest:
    """One candidate against another, by the first metric: mean difference with interval, queries better / equal / worse,
    and the two-sided p corrected for the number of candidates."""

    against: str
    difference: Interval
    tally: Tally
    p: float
    detectable: float

    @property
    def clear(self) -> bool:
        """Whether the queries can tell the two apart."""
        return self.p < ALPHA


@dataclass(frozen=True, eq=False)
class Candidate:
    """One rung. A failed one has an `error` and nothing measured."""

    name: str
    recipe: Recipe | None = None
    simple: bool = False
    error: str = ""
    metrics: Mapping[str, Interval] | None = None
    values: NDArray[np.float64] | None = None
    found: Measurement | None = None
    against_baseline: Contest | None = None
    against_best: Contest | None = None

    @property
    def mean(self) -> float:
        """The first metric's mean over the queries."""
        return float(self.values.mean()) if self.values is not None else -np.inf

    @property
    def cost_seconds(self) -> float:
        """What using it costs: seconds to take these documents in and to answer a thousand queries one at a time."""
        return self.found.build_seconds + float(np.median(self.found.query_ms)) if self.found else np.inf

    @property
    def truncation(self) -> Truncation | None:
        return self.found.truncation if self.found else None

    @property
    def tuning(self) -> Tuning | None:
        return self.found.tuning if self.found else None


@dataclass(frozen=True)
class Verdict:
    """What to use (`pick`), what scored highest (`best`), which candidates the queries cannot tell from it (`tied`)."""

    pick: str
    best: str
    tied: tuple[str, ...]
    sentence: str


@dataclass(frozen=True, eq=False)
class Comparison:
    """The evidence: a task, its candidates in the order asked for, the best simple baseline, and the verdict."""

    task: RetrievalTask
    metric_names: tuple[str, ...]
    candidates: tuple[Candidate, ...]
    baseline: str
    verdict: Verdict
    seed: int
    folds: int

    def __getitem__(self, name: str) -> Candidate:
        for candidate in self.candidates:
            if candidate.name == name:
                return candidate
        raise UnknownName.among(name, (candidate.name for candidate in self.candidates), kind="candidate")

    @property
    def winner(self) -> Recipe:
        """The recipe of the verdict's pick."""
        recipe = self[self.verdict.pick].recipe
        if recipe is None:
            raise EmptyInput("the pick has no recipe", mend="run the comparison again")
        return recipe


def compare(
    task: RetrievalTask,
    *,
    candidates: Sequence[str] = LADDER,
    metric_names: Sequence[str] = METRICS,
    cache: Path | None = None,
    seed: int = 0,
    folds: int = 5,
) -> tuple[Comparison, Bench]:
    """Climb the ladder. The first metric decides; the `Bench` holds what was built.

    One failing candidate is reported and does not stop the others. Raises UnknownName for a name or metric that does not
    exist, before anything is measured, and EmptyInput when no candidate could be measured.
    """
    wanted = [metrics.parse(name) for name in metric_names]
    recipes = {name: parse(name, analyzer=task.analyzer) for name in dict.fromkeys(candidates)}
    depth = max(200, *(metric.cutoff or WHOLE for metric in wanted))
    bench = Bench(task, wanted[0], cache=cache, depth=min(depth, len(task.documents)), folds=folds, seed=seed)
    names = progress.track(list(recipes), "Climbing the ladder", unit="candidates")
    rungs = [_rung(name, recipes[name], bench, wanted, seed) for name in names]
    standing = [rung for rung in rungs if not rung.error]
    if not standing:
        raise EmptyInput(
            "no candidate could be measured: " + "; ".join(f"{r.name}: {r.error}" for r in rungs), mend="vicino doctor"
        )
    best = max(standing, key=lambda rung: rung.mean)
    baseline = max([rung for rung in standing if rung.simple] or [best], key=lambda rung: rung.mean)
    judged = _contests(rungs, baseline, best, seed)
    shown = tuple(metric.name for metric in wanted)
    verdict = _verdict(judged, best.name, baseline.name, shown[0], len(task.queries))
    return Comparison(task, shown, tuple(judged), baseline.name, verdict, seed, folds), bench


def _rung(name: str, recipe: Recipe, bench: Bench, wanted: Sequence[metrics.Metric], seed: int) -> Candidate:
    try:
        found = bench.measure(recipe)
        simple = from_recipe(recipe).simple
    except FAILURES as error:
        log.info("%s failed", name, exc_info=True)
        return Candidate(name, error=str(error) or type(error).__name__)
    judged = judge(found.hits.ids, bench.task.rows)
    values = {metric.name: metric(judged) for metric in wanted}
    intervals = {key: significance.bootstrap_interval(each, seed=seed) for key, each in values.items()}
    return Candidate(name, found.recipe, simple, metrics=intervals, values=values[wanted[0].name], found=found)


def _contests(rungs: Sequence[Candidate], baseline: Candidate, best: Candidate, seed: int) -> list[Candidate]:
    with_baseline = _against(rungs, baseline, seed)
    with_best = _against(rungs, best, seed)
    return [replace(rung, against_baseline=with_baseline.get(rung.name), against_best=with_best.get(rung.name)) for rung in rungs]


def _against(rungs: Sequence[Candidate], other: Candidate, seed: int) -> dict[str, Contest]:
    """Every measured candidate but `other` itself against `other`."""
    pairs = [(rung.name, rung.values, other.values) for rung in rungs if rung.values is not None and rung.name != other.name]
    corrected = significance.holm([significance.randomisation_test(a, b, seed=seed) for _, a, b in pairs if b is not None])
    return {
        name: Contest(
            other.name,
            significance.bootstrap_difference(a, b, seed=seed),
            significance.wins_ties_losses(a, b),
            p,
            significance.detectable_difference(a - b, level=ALPHA / len(pairs)) if len(a) > 1 else float("inf"),
        )
        for (name, a, b), p in zip(pairs, corrected, strict=True)
        if b is not None
    }


def _verdict(rungs: Sequence[Candidate], best: str, baseline: str, metric: str, queries: int) -> Verdict:
    standing = [rung for rung in rungs if not rung.error]
    failed = [rung.name for rung in rungs if rung.error]
    by_name = {rung.name: rung for rung in standing}
    tied = tuple(rung.name for rung in standing if rung.against_best is not None and not rung.against_best.clear)
    pick = _cheapest([by_name[name] for name in (best, *tied)])
    sentence = _sentence(by_name, pick, best, tied, baseline, metric, queries)
    return Verdict(
        pick.name, best, tied, sentence + (f" Not measured, because they failed: {_listed(failed)}." if failed else "")
    )


def _cheapest(contenders: Sequence[Candidate]) -> Candidate:
    """The cheapest to use, but never one that is clearly worse than the simple baseline.

    A fusion whose tuner answered "do not fuse" is one of its parts: where that stands beside it, that is named.
    """
    alone = [rung.recipe for rung in contenders if rung.tuning is None]
    named = [rung for rung in contenders if rung.tuning is None or rung.recipe not in alone]
    sound = [rung for rung in named if not _loses(rung.against_baseline)]
    return min(sound or named, key=lambda rung: rung.cost_seconds)


def _loses(contest: Contest | None) -> bool:
    return contest is not None and contest.clear and contest.difference.mean < 0


def _sentence(
    by_name: Mapping[str, Candidate],
    pick: Candidate,
    best: str,
    tied: tuple[str, ...],
    baseline: str,
    metric: str,
    queries: int,
) -> str:
    mean, low, high = by_name[best].metrics[metric]  # type: ignore[index]
    score = f"{metric} {mean:.3f} [{low:.3f}, {high:.3f}]"
    if len(by_name) == 1:
        return f"{best} was the only one measured: {score}."
    if not tied:
        text = f"{best} wins: {score}, better than every other candidate that was measured, beyond chance."
    else:
        blur = max(by_name[name].against_best.detectable for name in tied)  # type: ignore[union-attr]
        shown = f" (a true difference of {blur:.3f} would show four times in five)" if 0 < blur < np.inf else ""
        text = (
            f"{best} scores highest ({score}), but the {queries:,} queries cannot tell it from {_listed(tied)}{shown}; "
            f"{pick.name} is the cheapest of them: use {pick.name}."
        )
    contest = pick.against_baseline
    if not by_name[baseline].simple:  # nothing simple was measured
        return text
    if pick.name == baseline or contest is None:
        return text + " It is the simple baseline itself."
    sign = "above" if contest.difference.mean >= 0 else "below"
    p = f"p {'< .001' if contest.p < 0.001 else f'= {contest.p:.3f}'}"
    wins, ties, losses = contest.tally
    return text + (
        f" Against the best simple baseline, {baseline}, {pick.name} is {abs(contest.difference.mean):.3f} {sign} "
        f"({p}; better on {wins:,} queries, equal on {ties:,}, worse on {losses:,})."
    )


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
