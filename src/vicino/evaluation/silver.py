"""Judgements where nobody judged before: pooled ones by hand, and how far those that data makes of itself can be trusted.

`open_pooled` makes a task of data and a pool (see `vicino.data.pools`), and says whose judgements it holds. `calibrate` asks,
where people did judge, whether queries made of the documents would have chosen the same candidate.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vicino.data import known_items, readers
from vicino.data.judged import is_beir
from vicino.data.pools import GIVEN, MADE, Pool, read_pool
from vicino.data.records import Judgement, Query
from vicino.data.splits import sample
from vicino.errors import DimensionMismatch, EmptyInput, InputError
from vicino.evaluation.compare import LADDER, METRICS, compare
from vicino.evaluation.foreseen import hanging_together
from vicino.evaluation.tasks import RetrievalTask, judged, open_task, synthetic
from vicino.metrics.significance import Interval, bootstrap_difference, bootstrap_interval, pairwise_tests
from vicino.metrics.values import Values

__all__ = ["Agreement", "agreement", "calibrate", "open_pooled", "with_judgements"]

ALPHA = 0.05


@dataclass(frozen=True)
class Agreement:
    """How far silver judgements rank candidates as gold ones do.

    `gold` and `silver` are each candidate's mean with interval. `same_winner` is the share of resamples of both sets of queries
    in which both have the same best candidate, `kendall` tau-b between the two rankings, over the same resamples. `loss` is
    what choosing by silver costs: gold's mean of gold's best less that of silver's best. Of the `pairs` of candidates that gold
    can tell apart (see `pairwise_tests`), silver has `in_order` in the same order; `denied` is how many of them silver's own
    tests put into the opposite order beyond chance.
    """

    candidates: tuple[str, ...]
    gold: tuple[Interval, ...]
    silver: tuple[Interval, ...]
    gold_queries: int
    silver_queries: int
    gold_winner: str
    silver_winner: str
    same_winner: float
    kendall: Interval
    loss: Interval
    pairs: int
    in_order: int
    denied: int

    def to_json(self) -> dict[str, Any]:
        """Plain data; intervals are lists of mean, low and high."""
        return asdict(self)


def open_pooled(
    path: str | PathLike[str],
    judgements: str | PathLike[str],
    *,
    split: str | None = None,
    text: str | None = None,
    queries: int = 1000,
    seed: int = 0,
) -> RetrievalTask:
    """Data and what was judged by hand in a pool's file, as one task. The other options are those of `open_task`.

    A BEIR folder keeps its own judgements, and the pool's are added. Of other data, the pool's own queries are asked of the
    whole documents; where the pool was made of known items, these are made again and the pool's judgements added, and the task
    says so in `synthetic`. Raises what `open_task` and `vicino.data.pools.read_pool` raise, EmptyInput where nothing is judged,
    and InputError for a pool of other data or another seed.
    """
    folder, pool = Path(path), read_pool(Path(judgements))
    if not pool.judgements:
        mend = "write grades into its column grade: 0 for not relevant, 1 for relevant, 2 and more for better still"
        raise EmptyInput(f"nothing in {judgements} is judged yet", mend=mend)
    origins = {row.origin for row in pool.rows}
    if len(origins) > 1 or not origins <= {GIVEN, MADE}:
        mend = "pool queries that people asked, and those that were made, into a file each"
        raise InputError(f"{judgements} mixes queries of several origins: {', '.join(sorted(origins))}", mend=mend)
    if is_beir(folder):
        if MADE in origins:
            raise InputError(f"{judgements} was pooled on other data: its queries were made", mend="give the data that it is of")
        return with_judgements(open_task(folder, split=split, seed=seed), pool)
    if split is not None:
        raise InputError(f"{folder} has no splits", mend="leave out --split, or give a BEIR folder with qrels/")
    reading = readers.read_documents(folder, text=text)
    documents = list(reading)
    name = folder.resolve().name
    notes = [reading.summary()] if reading.counts else []
    if MADE not in origins:
        notes.append(f"{_counted(pool)} were made by hand, in a pool")
        return judged(name, documents, pool.queries, pool.judgements, notes=notes)
    made = known_items.known_items(documents, seed=seed)
    _require_same(pool, made.queries, judgements)
    chosen = {query.id for query in (*sample(made.queries, queries, seed), *pool.queries)}
    asked = [query for query in made.queries if query.id in chosen]
    own = [judgement for judgement in made.judgements if judgement.query_id in chosen]
    return with_judgements(judged(name, made.documents, asked, own, synthetic=made.note, notes=notes), pool)


def with_judgements(task: RetrievalTask, pool: Pool) -> RetrievalTask:
    """The task with a pool's judgements added; where both judged a pair, the pool's grade counts, and the notes say how often.

    Queries that the task lacks join it with what the pool says of them. Raises EmptyInput where the pool has no text for one.
    """
    asked = {query.id: query for query in task.queries}
    for query in pool.queries:
        if query.id not in asked and not query.text:
            raise EmptyInput(f"the pool's query {query.id!r} has no text", mend="keep the pool's column query")
        asked.setdefault(query.id, query)
    grades = {(query, name): grade for query, row in task.qrels.items() for name, grade in row.items()}
    by_hand = {(one.query_id, one.document_id): one.grade for one in pool.judgements}
    differ = sum(grades.get(pair, grade) != grade for pair, grade in by_hand.items())
    told = f"{_counted(pool)} were made by hand, in a pool, and added to the {len(grades):,} {_kind(task)}"
    if differ:
        told += f"; {differ:,} pairs have another grade by hand, which counts"
    merged = [Judgement(*pair, grade) for pair, grade in (grades | by_hand).items()]
    synthetic = f"{task.synthetic}; {told}" if task.synthetic else ""
    notes = task.notes if task.synthetic else (*task.notes, told)
    made = judged(task.name, task.documents, list(asked.values()), merged, synthetic=synthetic, notes=notes)
    return replace(made, analyzer=task.analyzer, train=task.train)


def calibrate(
    task: RetrievalTask,
    *,
    candidates: Sequence[str] = LADDER,
    metric: str = METRICS[0],
    cache: Path | None = None,
    queries: int = 1000,
    seed: int = 0,
) -> Agreement:
    """Whether known items of a judged task's documents rank the candidates as its judgements do.

    Both tasks are measured as `compare` does. Candidates that fail on either are left out. Raises EmptyInput for a task that no
    person judged, or whose documents give no known items; InputError where fewer than two candidates are left.
    """
    if task.synthetic:
        raise EmptyInput(
            f"{task.name} has no judgements by people to compare with", mend="give judged data, such as a BEIR folder"
        )
    made = synthetic(task.name, task.documents, queries=queries, seed=seed)
    both = [compare(each, candidates=candidates, metric_names=[metric], cache=cache, seed=seed)[0] for each in (task, made)]
    tables = [{one.name: one.values for one in each.candidates if one.values is not None} for each in both]
    names = [name for name in tables[0] if name in tables[1]]
    gold, silver = (np.stack([table[name] for name in names]) for table in tables)
    return agreement(names, gold, silver, gold_groups=hanging_together(task), seed=seed)


def agreement(
    names: Sequence[str],
    gold: ArrayLike,
    silver: ArrayLike,
    *,
    gold_groups: ArrayLike | None = None,
    resamples: int = 2_000,
    seed: int = 0,
) -> Agreement:
    """Compare two rankings of m candidates: `gold` is (m, n) values of n queries, `silver` (m, s) of s others.

    `gold_groups` (n,) numbers gold's queries that hang together, which are drawn together. Raises InputError for fewer than two
    candidates, DimensionMismatch for shapes that do not fit.

    >>> found = agreement(["a", "b"], [[0.9, 0.8] * 20, [0.1, 0.3] * 20], [[0.5, 0.6] * 20, [0.2, 0.1] * 20])
    >>> found.same_winner, found.kendall.mean, found.pairs, found.in_order
    (1.0, 1.0, 1, 1)
    """
    tables = [np.asarray(each, dtype=np.float64) for each in (gold, silver)]
    if len(names) < 2:
        raise InputError(f"{len(names)} candidates have no order", mend="name two candidates or more")
    if any(table.ndim != 2 or len(table) != len(names) or not table.shape[1] for table in tables):
        shapes = " and ".join(str(table.shape) for table in tables)
        raise DimensionMismatch(
            f"values of shape {shapes} for {len(names)} candidates", mend="give (candidates, queries) of each"
        )
    rng = np.random.default_rng(seed)
    means = [_resampled(tables[0], gold_groups, resamples, rng), _resampled(tables[1], None, resamples, rng)]
    observed = [table.mean(axis=1) for table in tables]
    best, chosen = (int(each.argmax()) for each in observed)
    order, other = (_signs(each[None, :])[0] for each in observed)
    told, denies = _told_apart(tables[0], gold_groups, seed), _told_apart(tables[1], None, seed)
    low, high = np.quantile(_kendall(*means), [ALPHA / 2, 1 - ALPHA / 2])
    return Agreement(
        tuple(names),
        gold=tuple(bootstrap_interval(row, groups=gold_groups, seed=seed) for row in tables[0]),
        silver=tuple(bootstrap_interval(row, seed=seed) for row in tables[1]),
        gold_queries=tables[0].shape[1],
        silver_queries=tables[1].shape[1],
        gold_winner=names[best],
        silver_winner=names[chosen],
        same_winner=float((means[0].argmax(axis=1) == means[1].argmax(axis=1)).mean()),
        kendall=Interval(float(_kendall(*(each[None, :] for each in observed))[0]), float(low), float(high)),
        loss=bootstrap_difference(tables[0][best], tables[0][chosen], groups=gold_groups, seed=seed),
        pairs=int(told.sum()),
        in_order=int((told & (order == other)).sum()),
        denied=int((told & denies & (order == -other)).sum()),
    )


# How ---------------------------------------------------------------------------------------------------------------


def _resampled(values: Values, groups: ArrayLike | None, resamples: int, rng: np.random.Generator) -> Values:
    """(resamples, m) means of as many groups of queries as there are, drawn with replacement; the same for all candidates."""
    group = np.arange(values.shape[1]) if groups is None else np.unique(groups, return_inverse=True)[1]
    sums = np.stack([np.bincount(group, weights=row) for row in values], axis=1)  # (groups, m)
    sizes = np.bincount(group)
    drawn = (rng.integers(len(sizes), size=len(sizes)) for _ in range(resamples))
    return np.stack([sums[rows].sum(axis=0) / sizes[rows].sum() for rows in drawn])


def _signs(means: Values) -> Values:
    """(r, pairs) of which candidate of each pair is above: 1, -1, or 0 for neither."""
    left, right = np.triu_indices(means.shape[1], k=1)
    signs: Values = np.sign(np.round(means[:, left] - means[:, right], 12))
    return signs


def _kendall(left: Values, right: Values) -> Values:
    """Tau-b of each row's two rankings, (r,); 0 where one of them has no order. Kendall, Biometrika 33(3), 1945."""
    one, other = _signs(left), _signs(right)
    scale = np.sqrt((one**2).sum(axis=1) * (other**2).sum(axis=1))
    taus: Values = np.divide((one * other).sum(axis=1), scale, out=np.zeros(len(one)), where=scale > 0)
    return taus


def _told_apart(values: Values, groups: ArrayLike | None, seed: int) -> NDArray[np.bool_]:
    """(pairs,) of bool: which two candidates the queries can tell apart, corrected for all pairs."""
    p = pairwise_tests(values, groups=groups, seed=seed).p
    return np.asarray(p[np.triu_indices(len(values), k=1)] < ALPHA)


def _kind(task: RetrievalTask) -> str:
    return "known items" if task.synthetic else "judgements of the data"


def _counted(pool: Pool) -> str:
    return f"{len(pool.judgements):,} judgements of {len({one.query_id for one in pool.judgements}):,} queries"


def _require_same(pool: Pool, made: list[Query], source: str | PathLike[str]) -> None:
    texts: Mapping[str, str] = {query.id: known_items.normalised(query.text) for query in made}
    for query in pool.queries:
        if texts.get(query.id) != known_items.normalised(query.text):
            raise InputError(
                f"{source} judges a query that is not made of this data: {query.text!r}",
                mend="give the data and the --seed with which it was pooled",
            )
