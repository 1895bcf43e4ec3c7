"""How good a search is that is there already: judged queries, intervals, and the time of each."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vicino import metrics, progress
from vicino.data.records import Hits, Judgement, Query
from vicino.errors import EmptyInput
from vicino.metrics import significance
from vicino.metrics.ranking import judge
from vicino.metrics.significance import Interval

__all__ = ["Scores", "judged_queries", "score_search"]


@dataclass(frozen=True)
class Scores:
    """Mean of each metric with its bootstrap interval; milliseconds of a query, median and 95th percentile."""

    name: str
    queries: int
    metrics: Mapping[str, Interval]
    ms: tuple[float, float]
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        return {
            "collection": self.name,
            "queries": self.queries,
            "metrics": {name: {"mean": i.mean, "low": i.low, "high": i.high} for name, i in self.metrics.items()},
            "query_ms": {"median": self.ms[0], "p95": self.ms[1]},
            "notes": self.notes,
        }


def score_search(
    name: str,
    search: Callable[[Query, int], Hits],
    queries: Sequence[Query],
    judgements: Iterable[Judgement],
    *,
    documents: Collection[str],
    metric_names: Sequence[str],
    seed: int = 0,
) -> Scores:
    """Ask every judged query that has an answer. Judged documents that the search does not hold count as missed, and are noted.

    Raises UnknownName for a metric, EmptyInput where no query is judged.
    """
    wanted = [metrics.parse(metric) for metric in metric_names]
    asked, rows = judged_queries(queries, judgements)
    depth = max(200, *(metric.cutoff or 1000 for metric in wanted))
    search(asked[0], depth)  # reading the collection is not the time of a query
    found, spent = [], []
    for query in progress.track(asked, "Asking", unit="queries"):
        began = time.perf_counter()
        found.append(list(dict.fromkeys(document for document, _ in search(query, depth).top())))  # one id, two sources
        spent.append(1000 * (time.perf_counter() - began))
    ids = np.full((len(found), max(1, *map(len, found))), None, dtype=object)
    for row, answers in enumerate(found):
        ids[row, : len(answers)] = answers
    table = judge(ids, rows)
    intervals = {metric.name: significance.bootstrap_interval(metric(table), seed=seed) for metric in wanted}
    notes = _notes(len(queries) - len(asked), rows, frozenset(documents))
    return Scores(name, len(asked), intervals, (float(np.median(spent)), float(np.percentile(spent, 95))), notes)


def judged_queries(queries: Sequence[Query], judgements: Iterable[Judgement]) -> tuple[list[Query], list[dict[str, int]]]:
    """The queries that have a relevant document, and the grades of each. Raises EmptyInput where there is none.

    >>> asked, grades = judged_queries([Query("1", "near"), Query("2", "far")], [Judgement("1", "a", 2), Judgement("2", "a", 0)])
    >>> [query.text for query in asked], grades
    (['near'], [{'a': 2}])
    """
    grades: dict[str, dict[str, int]] = {}
    for one in judgements:
        grades.setdefault(one.query_id, {})[one.document_id] = one.grade
    asked = [query for query in queries if any(grade > 0 for grade in grades.get(query.id, {}).values())]
    if not asked:
        raise EmptyInput("no query has a relevant document", mend="check that the ids in qrels are those of the queries")
    return asked, [grades[query.id] for query in asked]


def _notes(unjudged: int, rows: Sequence[Mapping[str, int]], documents: frozenset[str]) -> tuple[str, ...]:
    missing = sum(name not in documents for row in rows for name, grade in row.items() if grade > 0)
    notes = []
    if unjudged:
        notes.append(f"{unjudged:,} queries have no relevant document among the judgements and are left out")
    if missing:
        notes.append(f"{missing:,} relevant documents are not in the collection; they count as missed")
    return tuple(notes)
