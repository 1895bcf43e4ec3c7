"""How often a study says what is not so: studies of candidates whose true quality is known, because their rankings are drawn.

A query has one to three relevant documents among twenty. A system's score of a document is a signal where it is relevant, noise
that all systems share, and noise of its own: systems of one signal are equally good, and rank differently. What the product does
with rankings is then done in full: its metric, its cross-fitted tuning of fusion weights, its choice of the best, of the
baseline and of a combination, its tests and their correction.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vicino import metrics
from vicino.data.records import Document, Hits, Query
from vicino.evaluation.contests import Settled, settle
from vicino.evaluation.factors import choose_combination, factors_of
from vicino.evaluation.measure import Bench
from vicino.evaluation.tasks import RetrievalTask
from vicino.metrics import significance
from vicino.metrics.ranking import judge
from vicino.retrieval.fused import combine, pool

Values = NDArray[np.float64]

DEPTH = 20  # documents of a query, all of which every system ranks
SIGNAL = 1.2
SHARED = 0.8  # of the noise's variance
UNEVEN = (0.0, 0.3, 0.6, 0.9, 1.2, 1.5)  # standard deviation of the systems' signals from query to query
GROUP = 4  # queries that hang together, where they do
COPIES = 0.7  # of their noise's variance is the group's
GAINS = (0.01, 0.02, 0.04)
MARGIN = 0.01
METRIC = metrics.parse("nDCG@10")
NAMES = ("plain", "system 1", "system 2", "system 3", "fusion 1", "fusion 2")
FAMILIES = ("minilm", "bm25", "tfidf", "lsa", "mean-of-words", "doc2vec")


@dataclass(frozen=True)
class World:
    """What is drawn: how many queries, whether they come in groups, and how unevenly good the systems are from query to query."""

    queries: int
    grouped: bool = False
    uneven: bool = False

    @property
    def groups(self) -> NDArray[np.int64] | None:
        return np.arange(self.queries) // GROUP if self.grouped else None


@cache
def task_of(queries: int) -> RetrievalTask:
    """Documents and judgements without a text: only ids are ranked."""
    names = _names(queries)
    rows = {f"q{row}": dict.fromkeys(names[row, : 1 + row % 3], 1) for row in range(queries)}
    documents = [Document(name, "") for name in names.ravel()]
    return RetrievalTask("drawn", documents, [Query(name, name) for name in rows], rows)


@cache
def _names(queries: int) -> NDArray[np.object_]:
    return np.array([[f"q{row}-{place}" for place in range(DEPTH)] for row in range(queries)], dtype=object)


@dataclass(frozen=True, eq=False)
class Study:
    """One study's noise, (queries, DEPTH): what all systems share stays for all that is drawn from it."""

    world: World
    rng: np.random.Generator

    def hits(self, systems: int, signals: Values | None = None) -> list[Hits]:
        """The rankings of so many systems; `signals` (systems,) are SIGNAL for all where none are given."""
        n = self.world.queries
        relevant = np.arange(DEPTH)[None, :] < (1 + np.arange(n) % 3)[:, None]
        shared = self._noise()
        found = []
        for place in range(systems):
            spread = UNEVEN[place % len(UNEVEN)] if self.world.uneven else 0.0
            signal = evened(spread) if signals is None else float(signals[place])
            own = signal + spread * self.rng.standard_normal((n, 1))
            scores = own * relevant + np.sqrt(SHARED) * shared + np.sqrt(1 - SHARED) * self._noise()
            order = np.argsort(-scores, axis=1)
            ids = np.take_along_axis(_names(n), order, axis=1)
            found.append(Hits(ids, np.take_along_axis(scores, order, axis=1).astype(np.float32)))
        return found

    def _noise(self) -> Values:
        alone: Values = self.rng.standard_normal((self.world.queries, DEPTH))
        if self.world.groups is None:
            return alone
        together = self.rng.standard_normal((self.world.queries // GROUP + 1, DEPTH))[self.world.groups]
        return np.asarray(np.sqrt(COPIES) * together + np.sqrt(1 - COPIES) * alone)

    def values(self, hits: Hits) -> Values:
        return METRIC(judge(hits.ids, task_of(self.world.queries).rows))


def six(study: Study, gain: float = 0.0) -> Values:
    """(6, n) values: a plain system, three others, and two fusions with tuned weights, each of a system of its own and of noise
    alone, by any weight at most as good as that system. `gain` is what system 1 is truly better by."""
    n = study.world.queries
    signals = None if gain == 0 else np.array([SIGNAL, gained(gain), *[SIGNAL] * 4])
    systems = study.hits(6, signals)
    bench = Bench(task_of(n), METRIC, depth=DEPTH)
    fused = []
    for system in systems[4:]:
        noise = study.hits(1, np.zeros(1))[0]
        pools = pool([system, noise], "convex", floors=[None, None])
        _, weights = bench._tune(pools, 2)
        fused.append(combine(pools, weights, DEPTH))
    return np.stack([study.values(hits) for hits in (*systems[:4], *fused)])


def told(settled: Settled, names: Sequence[str], lesser: Collection[str] = ()) -> dict[str, bool]:
    """Whether a study of equals names a winner, and whether it tells two apart; that one of the `lesser` is worse may be so."""
    claims = [
        (contest.against, name)[:: -1 if contest.decision == "better" else 1]  # who is above, who below
        for contests in (settled.against_best, settled.against_baseline)
        for name, contest in zip(names, contests, strict=True)
        if contest is not None and contest.decision in ("better", "worse")
    ]
    false = any(below not in lesser or above in lesser for above, below in claims)
    return {"winner": not settled.verdict.tied, "any": false}


def ladder_study(world: World, seed: int, gain: float = 0.0) -> dict[str, Any]:
    """A comparison of six, and of the planted gain: was it found, was it denied ("the same"), what would have been promised."""
    values = six(Study(world, np.random.default_rng(seed)), gain)
    simple = [name == NAMES[0] for name in NAMES]
    settled = settle(NAMES, values, costs=range(1, 7), simple=simple, groups=world.groups, margin=MARGIN, seed=seed)
    contest = settled.against_baseline[1]
    if not gain or contest is None:
        return told(settled, NAMES, lesser=NAMES[4:])
    z = NormalDist()
    critical = significance.pairwise_tests(values, groups=world.groups, seed=seed).critical
    error = contest.detectable / (critical + z.inv_cdf(0.8))  # how `detectable_difference` is made
    return {
        "found": contest.clear and contest.difference.mean > 0,
        "wrong": contest.clear and contest.difference.mean < 0,
        "same": contest.decision == "the same",
        "promised": 1 - z.cdf(critical - gain / error),
        "detectable": contest.detectable,
    }


def combination_study(world: World, seed: int) -> dict[str, Any]:
    """A full study's own selection: every level of every factor is equally good, and so is whatever is made of them."""
    study = Study(world, np.random.default_rng(seed))
    factors = factors_of(FAMILIES, default=FAMILIES[0])
    levels = list(dict.fromkeys(name for factor in factors for name in factor.names))
    drawn = [study.values(hits) for hits in study.hits(len(levels) + 8)]
    spare = drawn[len(levels) :]
    values = dict(zip(levels, drawn, strict=False))
    costs = {name: float(place) for place, name in enumerate(levels)}
    made: dict[str, Values] = {}

    def measure(design: Any) -> Values | None:
        if design.name not in made:
            made[design.name] = spare.pop() if spare else drawn[0]
        return made[design.name]

    found = choose_combination(factors, values, measure, costs=costs, sizes=costs, groups=world.groups, margin=MARGIN, seed=seed)
    rows, names = dict(values), levels
    if found.design.name not in rows:
        rows[found.design.name] = found.values
        names = [*levels, found.design.name]
    settled = settle(
        names,
        np.stack([rows[name] for name in names]),
        costs=[costs.get(name, 99.0) for name in names],
        simple=[name in ("bm25", "tfidf") for name in names],
        groups=world.groups,
        margin=MARGIN,
        seed=seed,
    )
    better = any(ruling.decision in ("better", "worse") for ruling in found.rulings.values())
    return {**told(settled, names), "factor": better, "combined": found.design.name not in levels}


# Equal truths, measured ---------------------------------------------------------------------------------------------------


@cache
def truth(signal: float, spread: float = 0.0) -> float:
    """The mean of a system over 60,000 queries; equal noise for all signals, so that differences are sharp."""
    world, total = World(300), 0.0
    for seed in range(200):
        rng = np.random.default_rng([seed, 7])
        relevant = np.arange(DEPTH)[None, :] < (1 + np.arange(300) % 3)[:, None]
        own = signal + spread * rng.standard_normal((300, 1))
        scores = own * relevant + rng.standard_normal((300, DEPTH))
        order = np.argsort(-scores, axis=1)
        ids = np.take_along_axis(_names(300), order, axis=1)
        total += float(METRIC(judge(ids, task_of(world.queries).rows)).mean())
    return total / 200


def gained(gain: float) -> float:
    """The signal of a system that is truly better by `gain`."""
    return _solved(lambda signal: truth(signal), truth(SIGNAL) + gain)


def evened(spread: float) -> float:
    """The signal of a system whose quality varies from query to query, and is SIGNAL's on the whole."""
    return SIGNAL if spread == 0 else _solved(lambda signal: truth(signal, spread), truth(SIGNAL))


_SOLVED: dict[tuple[float, float], float] = {}


def _solved(made: Callable[[float], float], wanted: float) -> float:
    low, high = 0.0, 6.0
    key = (made(low), wanted)
    if key not in _SOLVED:
        for _ in range(14):
            middle = (low + high) / 2
            low, high = (middle, high) if made(middle) < wanted else (low, middle)
        _SOLVED[key] = (low + high) / 2
    return _SOLVED[key]


# Many studies ---------------------------------------------------------------------------------------------------------------

WORLDS: Mapping[str, World] = {
    "even": World(200),
    "uneven": World(200, uneven=True),
    "few": World(30),
    "grouped": World(200, grouped=True),
}
POWER: Mapping[str, World] = {"300": World(300), "1000": World(1000)}
BLOCK = 100  # studies in a unit
FOR_POWER = 200  # a share that is far from 0 and 1 is known well enough from fewer


def share(times: int, of: int) -> dict[str, Any]:
    """A share with its 95 % interval. Wilson, "Probable inference", JASA 22, 1927."""
    z, p = 1.959964, times / of
    centre, half = (
        (p + z * z / (2 * of)) / (1 + z * z / of),
        z * np.sqrt(p * (1 - p) / of + (z / (2 * of)) ** 2) / (1 + z * z / of),
    )
    interval = [max(0.0, round(centre - half, 4)), round(centre + half, 4)]
    return {"times": times, "of": of, "share": round(p, 4), "interval": interval}


def alarms(units: Any, studies: int) -> dict[str, Any]:
    """False winners among equals, and planted gains found."""
    found: dict[str, Any] = {"ladder": {}, "combination": {}, "power": {}, "margin": MARGIN}
    for name, world in WORLDS.items():
        for kind, run in (("ladder", ladder_study), ("combination", combination_study)):
            rows = _many(units, f"{kind}-{name}", studies, lambda seed, world=world, run=run: run(world, seed))
            marks = [key for key in rows[0] if key != "combined"]
            found[kind][name] = {
                "queries": world.queries,
                **{key: share(sum(row[key] for row in rows), len(rows)) for key in marks},
            }
    for name, world in POWER.items():
        found["power"][name] = {"queries": world.queries, "gains": {}}
        for gain in GAINS:
            label = f"power-{name}-{round(100 * gain)}"
            rows = _many(
                units, label, min(studies, FOR_POWER), lambda seed, world=world, gain=gain: ladder_study(world, seed, gain)
            )
            found["power"][name]["gains"][f"{gain:g}"] = {
                **{key: share(sum(row[key] for row in rows), len(rows)) for key in ("found", "wrong", "same")},
                "promised": round(float(np.mean([row["promised"] for row in rows])), 4),
                "detectable": round(float(np.mean([row["detectable"] for row in rows])), 4),
            }
    return found


def _many(units: Any, name: str, studies: int, run: Callable[[int], dict[str, Any]]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for start in range(0, studies, BLOCK):
        end = min(start + BLOCK, studies)
        made = units.unit(
            f"alarms-{name}-{start}-{end}",
            lambda start=start, end=end: {"rows": [_plain(run(seed)) for seed in range(start, end)]},
        )
        rows += made["rows"]
    return rows


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    return {key: bool(value) if isinstance(value, bool | np.bool_) else float(value) for key, value in row.items()}
