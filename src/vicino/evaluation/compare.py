"""The ladder: several retrievers on one task, and what the numbers can and cannot tell.

What the queries could show is said before the run. Every candidate's metrics come with bootstrap intervals, and with what they
would be were the unjudged documents relevant; each candidate is tested against the best simple baseline and the best of all
(`vicino.evaluation.contests`). The verdict names a winner only where the queries can tell it from all others; otherwise it names
the cheapest of those that they cannot tell apart. A run file, made by any system, may compete as it is.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vicino import metrics, progress
from vicino.data.records import Hits, Recipe
from vicino.encoders.base import Truncation
from vicino.errors import EmptyInput, InputError, VicinoError
from vicino.evaluation import runs
from vicino.evaluation.contests import ALPHA as ALPHA
from vicino.evaluation.contests import MARGIN, Contest, Verdict, named, require_margin, settle
from vicino.evaluation.foreseen import Foreseen, announce, foresee, hanging_together
from vicino.evaluation.measure import Bench, Measurement, Tuning
from vicino.evaluation.seeds import reseeded
from vicino.evaluation.slices import Cut, Slice, cut, cut_by_judged, weigh_slices
from vicino.evaluation.spelling import listed
from vicino.evaluation.tasks import RetrievalTask
from vicino.evaluation.unjudged import bounds
from vicino.metrics import significance
from vicino.metrics.ranking import judge
from vicino.metrics.significance import Interval, Seeds
from vicino.retrieval import from_recipe, parse

if TYPE_CHECKING:
    from vicino.evaluation.study import Study

__all__ = ["LADDER", "METRICS", "Candidate", "Comparison", "compare", "enter", "require_sound", "rung", "weigh"]

log = logging.getLogger(__name__)

LADDER = ("bm25", "tfidf", "lsa", "minilm", "bm25+minilm", "bm25+minilm:tuned")
METRICS = ("nDCG@10", "Recall@100", "MRR@10", "judged@10")
TOP = 10  # ranks in which equal scores are looked for
WHOLE = 1000  # ranks that a metric without a cutoff sees: the depth of TREC's runs

# What a candidate may raise without stopping the others; anything else is a fault of vicino itself.
FAILURES = (VicinoError, OSError, RuntimeError, ValueError, TypeError, LookupError, ImportError, MemoryError, ArithmeticError)


@dataclass(frozen=True, eq=False)
class Candidate:
    """One rung. A failed one has an `error` and nothing measured.

    `values` are the first metric's, one a query. Of a family that learns with chance and was taught with several seeds they are
    means over the seeds, `seeds` holds the mean of each, and `levels` tells the luck of the queries from that of the seeds;
    `found` and `recipe` are the first seed's. `bounds` is where the first metric would be were all unjudged documents
    irrelevant, or ideal; None for a metric that asks how many were judged.
    `notes` say in words what is odd about the answers.
    """

    name: str
    recipe: Recipe | None = None
    simple: bool = False
    error: str = ""
    metrics: Mapping[str, Interval] | None = None
    values: NDArray[np.float64] | None = None
    found: Measurement | None = None
    against_baseline: Contest | None = None
    against_best: Contest | None = None
    bounds: tuple[float, float] | None = None
    seeds: tuple[float, ...] = ()
    levels: Seeds | None = None
    notes: tuple[str, ...] = ()

    @property
    def mean(self) -> float:
        """The first metric's mean over the queries."""
        return float(self.values.mean()) if self.values is not None else -np.inf

    @property
    def cost_seconds(self) -> float:
        """What using it costs: seconds to take these documents in and to answer a thousand queries one at a time.

        Infinite where nobody knows: of a run file.
        """
        if self.found is None or self.found.recipe.retriever == runs.FAMILY:
            return np.inf
        return self.found.build_seconds + float(np.median(self.found.query_ms))

    @property
    def luck(self) -> float:
        """The variance of the mean that comes of the seeds, 0 where one seed cannot show it."""
        return self.levels.seeds**2 / len(self.seeds) if self.levels else 0.0

    @property
    def truncation(self) -> Truncation | None:
        return self.found.truncation if self.found else None

    @property
    def tuning(self) -> Tuning | None:
        return self.found.tuning if self.found else None


@dataclass(frozen=True, eq=False)
class Comparison:
    """The evidence: a task, its candidates in the order asked for, the best simple baseline, and the verdict.

    `units` is how many queries speak for themselves: intervals and tests draw these, and keep together the queries that share
    their answers, which have one number in `unit_of` (n,). `slices` are of the pick, the worst first; `foreseen` was said before
    the run.
    """

    task: RetrievalTask
    metric_names: tuple[str, ...]
    candidates: tuple[Candidate, ...]
    baseline: str
    verdict: Verdict
    seed: int
    folds: int
    margin: float = MARGIN
    units: int = 0
    slices: tuple[Slice, ...] = ()
    foreseen: Foreseen | None = None
    study: Study | None = None
    unit_of: NDArray[np.intp] | None = None

    def __getitem__(self, name: str) -> Candidate:
        return named(name, self.candidates)

    @property
    def winner(self) -> Recipe:
        """The recipe of the verdict's pick. Raises InputError where that is a run file, which nobody can build."""
        recipe = self[self.verdict.pick].recipe
        if recipe is None:
            raise InputError(
                f"{self.verdict.pick} is a run file: it cannot be built",
                mend="compare the retriever that made it, or leave --save out",
            )
        return recipe


def compare(
    task: RetrievalTask,
    *,
    candidates: Sequence[str] = LADDER,
    metric_names: Sequence[str] = METRICS,
    cache: Path | None = None,
    seed: int = 0,
    folds: int = 5,
    seeds: int = 1,
    margin: float = MARGIN,
    by: Sequence[str] = (),
) -> tuple[Comparison, Bench]:
    """Climb the ladder. The first metric decides; the `Bench` holds what was built.

    A candidate that ends in .run or .trec is a file of answers. Families that learn with chance are taught with `seeds` seeds;
    differences within `margin` are the same; `by` names columns of queries' or documents' metadata to slice by, beside those
    slices that are always cut. One failing candidate is reported and does not stop the others. Raises UnknownName for a name,
    metric or column that does not exist, and InputError for an option out of range or a run of other data, before anything is
    measured; and EmptyInput when no candidate could be measured.
    """
    require_sound(seeds, margin)
    wanted = [metrics.parse(name) for name in metric_names]
    entrants = {name: enter(name, task) for name in dict.fromkeys(candidates)}
    cuts = cut(task, by)
    depth = max(200, *(metric.cutoff or WHOLE for metric in wanted))
    bench = Bench(task, wanted[0], cache=cache, depth=min(depth, len(task.documents)), folds=folds, seed=seed)
    units = hanging_together(task)
    foreseen = foresee(units, len(entrants), _known(entrants, bench))
    announce(foreseen)
    shown = f" (differences of {foreseen.difference:.3f} would show)" if np.isfinite(foreseen.difference) else ""
    names = progress.track(list(entrants), f"Climbing the ladder{shown}", unit="candidates")
    rungs = [rung(name, entrants[name], bench, wanted, seeds, units) for name in names]
    found = weigh(task, rungs, wanted, seed=seed, folds=folds, margin=margin, units=units, cuts=cuts)
    return replace(found, foreseen=foreseen), bench


def require_sound(seeds: int, margin: float) -> None:
    """Raise InputError for options that cannot be; ask before the work, not after it."""
    if seeds < 1:
        raise InputError(f"{seeds} seeds teach nothing", mend="give 1 seed, or 3 and more to see what luck does")
    require_margin(margin)


def enter(name: str, task: RetrievalTask) -> Recipe | runs.Run:
    """What a candidate's name means for a task: a recipe, or the answers of a run file. Raises UnknownName or InputError."""
    return runs.read(name, task) if runs.is_run(name) else parse(name, analyzer=task.analyzer)


def weigh(
    task: RetrievalTask,
    rungs: Sequence[Candidate],
    wanted: Sequence[metrics.Metric],
    *,
    seed: int,
    folds: int,
    margin: float = MARGIN,
    units: NDArray[np.intp] | None = None,
    cuts: Sequence[Cut] = (),
) -> Comparison:
    """The comparison of candidates that were measured already, by the first of the metrics `wanted`.

    `units` are those of `hanging_together`, made where they are not given; `cuts` those of `vicino.evaluation.slices.cut`.
    Raises EmptyInput where every candidate failed.
    """
    units = hanging_together(task) if units is None else units
    standing = [rung for rung in rungs if rung.values is not None]
    if not standing:
        raise EmptyInput(
            "no candidate could be measured: " + "; ".join(f"{r.name}: {r.error}" for r in rungs), mend="vicino doctor"
        )
    alone = [rung.recipe for rung in standing if rung.tuning is None]
    settled = settle(
        [rung.name for rung in standing],
        np.stack([rung.values for rung in standing if rung.values is not None]),
        # A fusion whose tuner answered "do not fuse" is one of its parts: where that stands beside it, that is named.
        costs=[np.inf if rung.tuning and rung.recipe in alone else rung.cost_seconds for rung in standing],
        simple=[rung.simple for rung in standing],
        groups=units,
        luck=[rung.luck for rung in standing],
        margin=margin,
        metric=wanted[0].name,
        seed=seed,
    )
    told = zip(settled.intervals, settled.against_baseline, settled.against_best, strict=True)
    judged = {
        rung.name: replace(
            rung,
            metrics={**(rung.metrics or {}), wanted[0].name: interval},
            against_baseline=baseline,
            against_best=best,
        )
        for rung, (interval, baseline, best) in zip(standing, told, strict=True)
    }
    verdict = replace(settled.verdict, sentence=settled.verdict.sentence + _aside(rungs, judged[settled.verdict.pick]))
    pick, baseline = judged[verdict.pick], judged[settled.baseline]
    slices = _slices(task, cuts, pick, None if pick is baseline else baseline, units, seed)
    return Comparison(
        task,
        tuple(metric.name for metric in wanted),
        tuple(judged.get(rung.name, rung) for rung in rungs),
        settled.baseline,
        verdict,
        seed,
        folds,
        margin,
        len(np.unique(units)),
        slices,
        unit_of=units,
    )


def _slices(
    task: RetrievalTask, cuts: Sequence[Cut], pick: Candidate, baseline: Candidate | None, units: NDArray[np.intp], seed: int
) -> tuple[Slice, ...]:
    """Those cut before the run, and those by what the pick found."""
    if pick.found is None or pick.values is None:
        return ()
    grades = (grade for row in task.rows for grade in row.values())
    cuts = [*cuts, *cut_by_judged(judge(pick.found.hits.ids, task.rows), grades)]
    return weigh_slices(cuts, pick.values, baseline.values if baseline else None, groups=units, seed=seed)


def rung(
    name: str, entrant: Recipe | runs.Run, bench: Bench, wanted: Sequence[metrics.Metric], seeds: int, units: NDArray[np.intp]
) -> Candidate:
    """Measure one candidate by the metrics `wanted`; one that fails has an `error`. `units` are those of `hanging_together`."""
    try:
        found, simple, notes = _measured(entrant, bench)
        taught = [found.hits, *_taught_again(entrant, bench, seeds)]
    except FAILURES as error:
        log.info("%s failed", name, exc_info=True)
        return Candidate(name, error=str(error) or type(error).__name__)
    tables = [judge(hits.ids, bench.task.rows) for hits in taught]
    values = {metric.name: np.stack([metric(table) for table in tables]) for metric in wanted}
    means = np.stack([each.mean(axis=0) for each in values.values()])
    intervals = significance.bootstrap_intervals(means, groups=units, seed=bench.seed)
    first = wanted[0]
    return Candidate(
        name,
        found.recipe if isinstance(entrant, Recipe) else None,
        simple,
        metrics=dict(zip(values, intervals, strict=True)),
        values=means[0],
        found=found,
        bounds=None if first.name.startswith("judged") else bounds(tables[0], first),
        seeds=tuple(values[first.name].mean(axis=1).tolist()) if len(taught) > 1 else (),
        levels=_levels(values[first.name], units),
        notes=(*notes, *_odd(found.hits)),
    )


def _levels(values: NDArray[np.float64], units: NDArray[np.intp]) -> Seeds | None:
    enough = len(values) > 1 and len(np.unique(units)) > 1
    return significance.seed_levels(values, groups=units) if enough else None


def _measured(entrant: Recipe | runs.Run, bench: Bench) -> tuple[Measurement, bool, tuple[str, ...]]:
    """What it did, whether it is a simple baseline, and what is odd about it."""
    if isinstance(entrant, runs.Run):
        return entrant.measurement(bench.depth), False, entrant.notes
    return bench.measure(entrant), from_recipe(entrant).simple, ()


def _taught_again(entrant: Recipe | runs.Run, bench: Bench, seeds: int) -> list[Hits]:
    """The answers of the same family with other seeds; none where it does not learn with chance."""
    if isinstance(entrant, runs.Run):
        return []
    others = [reseeded(entrant, number) for number in range(1, seeds)]
    return [bench.measure(other).hits for other in others if other is not None]


def _odd(hits: Hits) -> tuple[str, ...]:
    """What the scores say that the ranks do not."""
    best = hits.scores[:, :TOP]
    flat = int(np.count_nonzero((best == best[:, :1]).all(axis=1) & np.isfinite(best).all(axis=1))) if best.shape[1] > 1 else 0
    if 10 * flat < len(best) or not flat:
        return ()
    return (f"gives its {best.shape[1]} best answers one score on {flat:,} of {len(best):,} queries: their order says nothing",)


def _known(entrants: Mapping[str, Recipe | runs.Run], bench: Bench) -> dict[str, NDArray[np.float64]]:
    """The first metric's values of those candidates that were measured in an earlier run."""
    known = {name: bench.recall(entrant) for name, entrant in entrants.items() if isinstance(entrant, Recipe)}
    return {name: bench.metric(judge(found.hits.ids, bench.task.rows)) for name, found in known.items() if found is not None}


def _aside(rungs: Sequence[Candidate], pick: Candidate) -> str:
    """What the verdict's sentence adds: what luck did to the pick, and who failed."""
    failed = [rung.name for rung in rungs if rung.error]
    text = ""
    if pick.levels:
        text += (
            f" Other queries would move the mean of {pick.name} by {pick.levels.queries:.3f}, another seed of its training by "
            f"{pick.levels.seeds:.3f} (standard deviations; {len(pick.seeds)} seeds)."
        )
    return text + (f" Not measured, because they failed: {listed(failed, len(failed))}." if failed else "")
