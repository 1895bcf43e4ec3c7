"""The cheapest index that has the recall: measured on the vectors that it is for, not guessed.

Each family is built over a sample and searched at growing efforts, until the recall is there. What that will cost over all
vectors is estimated from two sizes of the sample; the best is then built over all and measured again, and only that counts.
A recall is had where its lower confidence bound is at least the target. Questions are those given, else vectors that the index
was not built from: an index finds what it holds more easily than what it never saw.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vicino import progress
from vicino.catalog import call
from vicino.errors import ArtifactError, EmptyInput, InputError, MissingExtra
from vicino.indexes import INDEXES
from vicino.indexes.base import Index
from vicino.indexes.exact import Exact
from vicino.indexes.planned import Planned
from vicino.indexes.recall import Judge, Measured, least_effort, lower_bound, require_goal
from vicino.vectors import as_vectors, normalise

__all__ = ["Choice", "Plan", "Trial", "build", "choose"]

log = logging.getLogger(__name__)

_CLEARLY = 1.5  # times faster than comparing all must an index be to be worth its building
_LEFT_OUT = 500  # vectors, at most, that are left out to be questions
_QUESTIONS = 1000  # that are asked at most
_LOW, _HIGH = (0.0, 0.5, 0.8), (1.1, 1.1, 1.5)  # the powers of n that seconds, bytes and build seconds can grow with
_RESTRICTED = 0.99  # the recall that a restricted search must have, whatever the target is
Float32 = NDArray[np.float32]


@dataclass(frozen=True)
class Plan:
    """What was chosen: what `Planned` is made of, for a `recall` at `k`; `index` is "exact" where nothing else was better.

    A `recall` of 0 asks for none: it is measured, the effort stays what it is, and what is restricted is searched exactly.
    """

    index: str
    params: Mapping[str, Any]
    recall: float
    k: int = 10
    effort: int | None = None
    restricted_effort: int | None = None
    worth: int = 2000

    def empty(self, similarity: str) -> Index:
        """The index, unbuilt."""
        if self.index == "exact":
            return Exact(similarity=similarity)
        return Planned(
            similarity=similarity,
            index=self.index,
            index_params=dict(self.params),
            k=self.k,
            effort=self.effort,
            restricted_effort=self.restricted_effort,
            worth=self.worth,
        )

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Trial:
    """One family over `rows` vectors; `of` says how many it will hold, and what is estimated is for these.

    `measured` is None where it could not be tried or never had the recall; `note` says why.
    """

    index: str
    rows: int
    of: int
    measured: Measured | None = None
    seconds: float = math.inf
    nbytes: int = 0
    build_seconds: float = 0.0
    note: str = ""

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"seconds": None if math.isinf(self.seconds) else self.seconds}


@dataclass(frozen=True, eq=False)
class Choice:
    """What was tried, and what came of it: `plan` and `index` are None where nothing has the recall within the memory.

    `asked` says what the questions were. `trials` are over a sample, `finals` over all vectors.
    """

    recall: float
    k: int
    memory: int | None
    asked: str
    trials: tuple[Trial, ...]
    finals: tuple[Trial, ...]
    plan: Plan | None = None
    index: Index | None = None

    def to_json(self) -> dict[str, Any]:
        return {
            "recall": self.recall,
            "k": self.k,
            "memory": self.memory,
            "asked": self.asked,
            "trials": [trial.to_json() for trial in self.trials],
            "finals": [trial.to_json() for trial in self.finals],
            "plan": None if self.plan is None else self.plan.to_json(),
        }


def choose(
    vectors: Any,
    queries: Any = None,
    *,
    recall: float,
    k: int = 10,
    ids: Sequence[str] | None = None,
    memory: int | None = None,
    similarity: str = "cosine",
    families: Sequence[str] | None = None,
    sample: int = 20_000,
) -> Choice:
    """The index over (n, d) `vectors` that answers fastest with recall@k of at least `recall`, in at most `memory` bytes.

    `queries` (q, d) are what will be asked; without them, up to 500 of the vectors ask for the others. `families` are names from
    `INDEXES`, with parameters if need be ("hnsw(m=32)"); by default all, and where `memory` counts their lean forms too. Up to
    `sample` vectors are tried; one family that cannot be tried here says so in its `Trial`. Raises EmptyInput, InputError (a
    recall that is no share, a similarity that does not exist), UnknownName, InvalidVectors, DimensionMismatch.

    >>> rng = np.random.default_rng(0)
    >>> choice = choose(rng.standard_normal((300, 8)), recall=0.99, families=["exact"])
    >>> choice.plan.index, choice.asked
    ('exact', '15 vectors that were left out')
    """
    require_goal(recall, k)
    Exact(similarity=similarity)._require_possible()
    held = _ready(vectors, None, similarity)
    if len(held) < 2:
        raise EmptyInput("there is nothing to choose for", mend="give at least two vectors")
    asked = None if queries is None else _ready(queries, held.shape[1], similarity)[:_QUESTIONS]
    if asked is not None and not len(asked):
        raise EmptyInput("there are no questions to measure with", mend="leave them out, or give some hundreds")
    made = [_plan(name, recall, k) for name in families or _families(lean=memory is not None)]
    rest, left = _left_out(len(held), asked)
    questions = held[left] if asked is None else asked
    part = rest[np.sort(np.random.default_rng(0).permutation(len(rest))[:sample])]
    trials = _try(made, held[part], questions, similarity, len(held))
    told = f"{len(questions)} {'vectors that were left out' if asked is None else 'given questions'}"
    choice = Choice(recall, k, memory, told, tuple(trial for _, trial in trials), ())
    return _finish(choice, trials, held, ids, asked, similarity)


def build(
    plan: Plan,
    vectors: Any,
    ids: Sequence[str] | None = None,
    *,
    similarity: str,
    queries: Any = None,
) -> Index:
    """The planned index over (n, d) `vectors`, measured: `recall_` says what it has.

    Where the planned effort no longer gives the recall it is raised; where no effort does, all is compared exactly, until there
    is twice as much; likewise where a plan without a recall does not fit the vectors. Each is logged as a warning. Raises what
    `Index.build` raises.
    """
    held = _ready(vectors, None, similarity)
    index = plan.empty(similarity)
    if not isinstance(index, Planned) or len(held) <= plan.worth:
        return index.build(held, ids)
    asked = None if queries is None or not len(queries) else _ready(queries, held.shape[1], similarity)[:_QUESTIONS]
    why = f"no longer has a recall of {plan.recall:g} over {len(held):,} vectors"
    try:
        made, found = _build(plan, held, ids, asked, similarity)
    except InputError as error:
        if plan.recall:
            raise
        found, why = None, error.what
    if found is None:
        log.warning("%s: %s; all are compared", plan.index, why)
        return replace(plan, worth=2 * len(held)).empty(similarity).build(held, ids)
    if found.effort != plan.effort:
        log.warning("%s needs an effort of %s, not %s, for a recall of %g", plan.index, found.effort, plan.effort, plan.recall)
    return made


# Trying ---------------------------------------------------------------------------------------------------------------


def _try(plans: Sequence[Plan], vectors: Float32, questions: Float32, similarity: str, total: int) -> list[tuple[Plan, Trial]]:
    """Every family over the sample; where that is not all, over a quarter of it too, to see how the costs grow."""
    judge = Judge(vectors, questions, plans[0].k, similarity)
    quarter = None if len(vectors) + len(questions) >= total else Judge(vectors[::4], questions, plans[0].k, similarity)
    tried = []
    for plan in progress.track(plans, f"Trying indexes on {len(vectors):,} vectors", unit="indexes"):
        try:
            found, trial = _try_one(plan, judge, quarter, similarity, total)
        except MissingExtra as error:
            found, trial = plan, Trial(_name(plan), 0, total, note=f"not installed: {error.mend}")
        except (ArtifactError, InputError) as error:  # no room for its files; vectors that are not for it
            found, trial = plan, Trial(_name(plan), 0, total, note=error.what)
        tried.append((found, trial))
    return tried


def _try_one(plan: Plan, judge: Judge, quarter: Judge | None, similarity: str, total: int) -> tuple[Plan, Trial]:
    n = len(judge.vectors)
    index, seconds = _bare(plan, judge.vectors, similarity)
    row = _rows(n)
    enough = judge.seconds() * max(1.0, total / n)  # slower than comparing all is no use
    found = least_effort(lambda effort: judge.measure(index, effort, row, plan.recall), index, plan.recall, 1, enough)
    trial = Trial(_name(plan), n, total, found, nbytes=index.nbytes, build_seconds=seconds)
    if found is None:
        few = lower_bound(np.ones(len(judge.queries))) < plan.recall
        why = f"{len(judge.queries)} questions cannot prove" if few else "comparing all is faster than it with"
        return plan, replace(trial, note=f"{why} a recall of {plan.recall:g}")
    powers = [0.0, 0.0, 0.0]
    if quarter is not None:
        small, less = _bare(plan, quarter.vectors, similarity)
        once = quarter.measure(small, found.effort, _rows(len(quarter.vectors)))
        ratios = found.seconds / once.seconds, index.nbytes / small.nbytes, seconds / less
        powers = [min(max(math.log(ratio, 4), low), high) for ratio, low, high in zip(ratios, _LOW, _HIGH, strict=True)]
    growth = [(total / n) ** power for power in powers]
    return replace(plan, effort=found.effort), replace(
        trial,
        seconds=found.seconds * growth[0],
        nbytes=int(index.nbytes * growth[1]),
        build_seconds=seconds * growth[2],
    )


# Building -------------------------------------------------------------------------------------------------------------


def _finish(
    choice: Choice,
    trials: Sequence[tuple[Plan, Trial]],
    vectors: Float32,
    ids: Sequence[str] | None,
    asked: Float32 | None,
    similarity: str,
) -> Choice:
    """Build the best over all vectors; where that has not what was hoped for, the next."""
    finals: list[Trial] = []
    for plan, trial in sorted(trials, key=lambda each: each[1].seconds / (_CLEARLY if each[0].index == "exact" else 1)):
        if trial.measured is None or (choice.memory is not None and trial.nbytes > choice.memory):
            continue
        began = time.perf_counter()
        index, found = _build(plan, vectors, ids, asked, similarity)
        spent, n = time.perf_counter() - began, len(vectors)
        final = Trial(trial.index, n, n, found, nbytes=index.nbytes, build_seconds=spent)
        if found is None:
            finals.append(replace(final, note=f"has no recall of {choice.recall:g} over all"))
            continue
        finals.append(replace(final, seconds=found.seconds))
        if choice.memory is None or index.nbytes <= choice.memory:
            return replace(choice, finals=tuple(finals), plan=_planned(plan, index), index=index)
        finals[-1] = replace(finals[-1], note=f"takes {index.nbytes:,} bytes")
        del index
    return replace(choice, finals=tuple(finals))


def _planned(plan: Plan, index: Index) -> Plan:
    """The plan, with what was found at building."""
    if not isinstance(index, Planned):
        return plan
    return replace(plan, effort=index.effort, restricted_effort=index.restricted_effort, worth=index.worth)


def _build(
    plan: Plan, vectors: Float32, ids: Sequence[str] | None, asked: Float32 | None, similarity: str
) -> tuple[Index, Measured | None]:
    """The index over all vectors, and what was measured at the least effort that has the recall, None where none has."""
    names = [str(row) for row in range(len(vectors))] if ids is None else list(ids)
    rest, left = _left_out(len(vectors), asked)
    judge = Judge(vectors[rest], vectors[left] if asked is None else asked, plan.k, similarity)
    index = replace(plan, worth=0).empty(similarity)
    if not isinstance(index, Planned):
        index.build(vectors, names)
        return index, Measured(None, 1.0, 1.0, judge.seconds())
    with progress.task(f"Building {plan.index} over {len(vectors):,} vectors", unit="indexes", total=1) as work:
        index.build(judge.vectors, [names[row] for row in rest])
        work.advance()
    row = {names[each]: number for number, each in enumerate(rest)}
    enough = judge.seconds()

    def least(goal: float, start: int) -> Measured | None:
        return least_effort(lambda effort: judge.measure(index, effort, row, goal), _inner(index), goal, start, enough)

    found = least(plan.recall, plan.effort or 1) if plan.recall else judge.measure(index, plan.effort, row)
    if found is not None:
        more = least(max(_RESTRICTED, plan.recall), found.effort or 1) if plan.recall else None
        if len(left):
            _take_in(index, vectors, names, left)
        index.effort, index.restricted_effort = found.effort, None if more is None else more.effort
        index.worth = _worth(judge, (more or found).seconds)
        who = f"{len(judge.queries)} {'vectors that were left out' if asked is None else 'given questions'}"
        index.recall_ = {**found.to_json(), "k": judge.k, "target": plan.recall, "rows": len(rest), "asked": who}
    return index, found


def _take_in(index: Planned, vectors: Float32, names: Sequence[str], left: NDArray[np.int64]) -> None:
    """Put those that asked into the index too: built again where it cannot change, for beside it they would slow each search."""
    if "change" in _inner(index).capabilities:
        index.add(vectors[left], [names[row] for row in left]).settle()
    else:
        index.build(vectors, names)


def _worth(judge: Judge, seconds: float) -> int:
    """How many vectors are compared in that time, where they must be gathered first."""
    n = len(judge.vectors)
    some = np.arange(0, n, max(1, n // 2000))
    return max(100, round(seconds / judge.seconds(some) * len(some)))


def _inner(index: Planned) -> Index:
    if index.inner_ is None:
        raise InputError(f"{len(index._require_built()):,} vectors are too few for an index", mend="choose exact")
    return index.inner_


def _bare(plan: Plan, vectors: Float32, similarity: str) -> tuple[Index, float]:
    """The family itself over `vectors`, and the seconds that it took."""
    index: Index = INDEXES[plan.index].of(**{"similarity": similarity, **plan.params})
    began = time.perf_counter()
    try:
        index.build(vectors)
    except ModuleNotFoundError as error:  # libraries are imported where they are used
        extra = INDEXES.entry(plan.index).extra
        if extra is None:
            raise
        raise MissingExtra.named(extra, needed_by=f"{plan.index} indexes") from error
    return index, time.perf_counter() - began


def _families(*, lean: bool) -> list[str]:
    """All that there are; `lean`: also those that can keep vectors in a byte a number, doing so."""
    names = [name for name in INDEXES if name != "planned"]
    return names + [f"{name}(keep=int8)" for name in names if lean and _keeps(name)]


def _keeps(name: str) -> bool:
    try:
        return "keep" in INDEXES[name].defaults()
    except MissingExtra:
        return False


def _plan(name: str, recall: float, k: int) -> Plan:
    family, params = call(name)
    INDEXES.entry(family)
    if family == "planned" or "similarity" in params:
        raise InputError(f"{name!r} is no index to choose", mend="name a family, such as hnsw(m=32): what it ranks by is given")
    with suppress(MissingExtra):  # its trial says so
        INDEXES[family].of(**params)
    return Plan(family, params, recall, k)


def _name(plan: Plan) -> str:
    inside = ",".join(f"{name}={value}" for name, value in plan.params.items())
    return f"{plan.index}({inside})" if inside else plan.index


def _rows(n: int) -> Mapping[str, int]:
    return {str(row): row for row in range(n)}


def _left_out(n: int, asked: Float32 | None) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The rows to build from, and those to ask with, each ascending."""
    if asked is not None:
        return np.arange(n), np.empty(0, dtype=np.int64)
    left = np.sort(np.random.default_rng(0).permutation(n)[: max(1, min(_LEFT_OUT, n // 20))])
    return np.setdiff1d(np.arange(n), left), left


def _ready(vectors: Any, dim: int | None, similarity: str) -> Float32:
    array = as_vectors(vectors, dim=dim)
    return normalise(array) if similarity == "cosine" else array
