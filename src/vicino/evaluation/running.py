"""A study as it runs: what was measured, what was not and why, and what is still to come."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from vicino import progress
from vicino.data.records import Hits, Recipe
from vicino.errors import EmptyInput
from vicino.evaluation.budget import Clock, OutOfTime
from vicino.evaluation.compare import FAILURES, WHOLE, Candidate, enter
from vicino.evaluation.compare import rung as rung_of
from vicino.evaluation.factors import Combined, Design, Factor, choose_combination
from vicino.evaluation.foreseen import Foreseen, foresee, hanging_together
from vicino.evaluation.measure import Bench
from vicino.evaluation.runs import Run
from vicino.evaluation.spelling import seconds
from vicino.metrics import Metric
from vicino.metrics.ranking import judge

__all__ = ["Running"]

log = logging.getLogger(__name__)

# What a candidate may take before anything of its kind was measured: seconds for a million characters, and for a query.
GUESSES = {
    "first": (3.0, 0.01),  # of all: a report wants something to say
    "default": (10.0, 0.02),
    "family": (3.0, 0.01),
    "fusion": (0.0, 0.03),
    "precision": (1.0, 0.02),
    "scoring": (1.0, 0.1),
    "granularity": (15.0, 0.05),
    "reranking": (0.0, 1.0),
    "combination": (1.0, 0.1),
}
_SHARE = {"default": 0.5}  # of the time that is left: one that takes longer leaves none for its own study
RESERVE = 0.1  # the share of the budget that is kept for the combination


class Running:
    """Candidates by name: `rungs` were tried (one that failed has an error), `left_out` were not, for want of time.

    `levels` are the names of all that the questions ask for; the others were tried as combinations.
    """

    def __init__(self, bench: Bench, wanted: Sequence[Metric], clock: Clock, work: progress.Task, seeds: int) -> None:
        self.bench, self.wanted, self.clock, self.work, self.seeds = bench, wanted, clock, work, seeds
        self.units = hanging_together(bench.task)
        self.rungs: dict[str, Candidate] = {}
        self.left_out: dict[str, str] = {}
        self.levels: set[str] = set()
        self.characters = sum(len(document.content) for document in bench.task.documents) / 1e6

    @property
    def values(self) -> dict[str, NDArray[np.float64]]:
        """The first metric of each query, (n,), by the names of what was measured."""
        return {name: rung.values for name, rung in self.rungs.items() if rung.values is not None}

    @property
    def costs(self) -> dict[str, float]:
        """Seconds, as `Candidate.cost_seconds`; infinite for a fusion whose tuner answered that one part is better alone."""
        alone = [rung.recipe for rung in self.rungs.values() if rung.tuning is None]
        return {
            name: math.inf if rung.tuning and rung.recipe in alone else rung.cost_seconds
            for name, rung in self.rungs.items()
            if rung.found is not None
        }

    @property
    def sizes(self) -> dict[str, float]:
        """Bytes that searching takes, by the names of what was measured."""
        return {name: float(rung.found.index_bytes) for name, rung in self.rungs.items() if rung.found is not None}

    @property
    def skipped(self) -> dict[str, str]:
        """Why what was not measured was not."""
        return {name: rung.error for name, rung in self.rungs.items() if rung.error} | self.left_out

    def foreseen(self, names: Sequence[str]) -> Foreseen:
        """What the queries will be able to tell of so many candidates, from those that were measured in an earlier run."""
        known = {}
        for name in names:
            try:
                entrant = enter(name, self.bench.task)
                found = self.bench.recall(entrant) if isinstance(entrant, Recipe) else None
            except FAILURES:
                continue
            if found is not None:
                ranks = found.hits.ids[:, : self.bench.metric.cutoff or WHOLE]
                known[name] = self.bench.metric(judge(ranks, self.bench.task.rows))
        return foresee(self.units, len(names), known)

    def first(self, lexical: str, dense: Sequence[str]) -> str:
        """Measure the lexical candidate, whatever it takes, then those that make vectors until one can be: the default.

        With a budget, which may be too short for all of these, it is the lexical one. Raises EmptyInput.
        """
        mend = "name a family that works here: --with lsa,bm25"
        if not dense:
            raise EmptyInput("there is no default for the study: no family makes vectors", mend=mend)
        floor = self.measure(Design(lexical), "first")
        for place, name in enumerate(dense):  # the first is the dear one, as a rule: the others are guessed as any family is
            if self.measure(Design(name), "family" if place else "default") is not None:
                return name
        if self.clock.budget is not None and floor is not None:
            return lexical
        why = "; ".join(f"{name}: {told}" for name, told in self.skipped.items())
        raise EmptyInput(f"no default for the study could be measured ({why})", mend=mend)

    def measure_all(self, factors: Sequence[Factor]) -> None:
        """Every level, as far as the time goes."""
        kinds = {level.name: (factor.name, level) for factor in reversed(factors) for level in factor.levels}
        self.levels = set(kinds)
        order = dict.fromkeys(name for factor in factors for name in factor.names)
        plan = [kinds[name] for name in order if name not in self.rungs]
        for at, (kind, level) in enumerate(plan):
            rest = sum(self.clock.foresee(kind, self._guess(kind)) for kind, _ in plan[at:])
            self.work.total = math.ceil(min(self.clock.spent + rest, self.clock.budget or math.inf))
            self.measure(level, kind)

    def measure(self, design: Design, kind: str) -> NDArray[np.float64] | None:
        """The first metric of each query, (n,); None where the design could not be measured."""
        name = design.name
        if name not in self.rungs and name not in self.left_out:
            try:
                self._climb(name, kind)
            except FAILURES as error:
                log.info("%s failed", name, exc_info=True)
                self.rungs[name] = Candidate(name, error=str(error) or type(error).__name__)
        return self.values.get(name)

    def _climb(self, name: str, kind: str) -> None:
        entrant = enter(name, self.bench.task)
        kept = isinstance(entrant, Run) or self.bench.recall(entrant) is not None
        guess, began = self._guess(kind), self.clock.spent
        expected = self.clock.foresee(kind, guess)
        reserve = 0.0 if kind in ("default", "combination") else RESERVE * (self.clock.budget or 0.0)
        if not (kept or kind == "first" or self.clock.fits(expected + reserve)):
            self.left_out[name] = f"it would take about {seconds(expected)}, longer than the budget leaves"
            return
        try:
            share = _SHARE.get(kind, 1.0)
            with nullcontext() if kept else self.clock.watching(self.work, share, ends=kind != "first"):
                rung = rung_of(name, entrant, self.bench, self.wanted, self.seeds, self.units)
        except OutOfTime:
            self.left_out[name] = f"given up after {seconds(self.clock.spent - began)}, longer than the budget allows"
            return
        self.rungs[name] = rung
        if not kept:
            self.clock.learn(kind, guess=guess, took=self.clock.spent - began)
        elif kind == "default" and rung.found is not None:
            self.clock.learn(kind, guess=guess, took=rung.found.build_seconds)

    def combine(self, factors: Sequence[Factor], *, folds: int, margin: float) -> Combined:
        """The combination, and what it does for queries that had no say in it, which is measured here."""
        combined = choose_combination(
            factors,
            self.values,
            lambda design: self.measure(design, "combination"),
            costs=self.costs,
            sizes=self.sizes,
            groups=self.units,
            folds=folds,
            margin=margin,
            seed=self.bench.seed,
        )
        self.measure(combined.design, "combination")
        return combined

    def entrants(self, combined: Combined) -> list[Candidate]:
        """What the comparison is of: all levels that were tried, and the combination, each query of which is answered by what the
        other folds chose."""
        name = combined.design.name
        levels = [rung for each, rung in self.rungs.items() if each in self.levels]
        rung = self.rungs.get(name)
        if name in self.levels or rung is None or rung.found is None:
            return levels
        hits = _stitched(combined, self.rungs)
        scored = rung_of(name, Run(name, hits), self.bench, self.wanted, 1, self.units)
        found = replace(rung.found, hits=hits)
        return [*levels, replace(scored, recipe=rung.recipe, simple=rung.simple, found=found)]

    def _guess(self, kind: str) -> float:
        of_text, of_query = GUESSES[kind]
        return of_text * self.characters + of_query * len(self.bench.task.queries)


def _stitched(combined: Combined, rungs: Mapping[str, Candidate]) -> Hits:
    hits = [found.hits for name in combined.chosen if (found := rungs[name].found) is not None]
    ids, scores = hits[0].ids.copy(), hits[0].scores.copy()
    for number, each in enumerate(hits):
        own = combined.fold == number
        ids[own], scores[own] = each.ids[own], each.scores[own]
    return Hits(ids, scores)
