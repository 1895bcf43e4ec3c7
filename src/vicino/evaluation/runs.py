"""A TREC run as a candidate: what any system answered, checked against the task. And what may be compared with what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from vicino.data.judged import read_run
from vicino.data.records import Hits, Query, Recipe
from vicino.errors import InputError
from vicino.evaluation.measure import Measurement
from vicino.evaluation.tasks import RetrievalTask
from vicino.spaces import fingerprint

__all__ = ["FAMILY", "Run", "comparable", "is_run", "read"]

FAMILY = "run"  # the retriever that a run's recipe names: none that anybody can build
ENDINGS = (".run", ".trec")


@dataclass(frozen=True, eq=False)
class Run:
    """What some system answered: `hits` (queries, depth) in the task's order, and `notes` on what was odd about the file."""

    name: str
    hits: Hits
    notes: tuple[str, ...] = ()

    def measurement(self, depth: int) -> Measurement:
        """As if it had been measured, to `depth` ranks: how long the system took and how large it is, nobody knows (NaN, 0)."""
        recipe = Recipe(FAMILY, {"name": self.name, "answers": fingerprint([self.hits.ids.tolist(), self.hits.scores.tolist()])})
        hits = Hits(self.hits.ids[:, :depth], self.hits.scores[:, :depth])
        return Measurement(recipe, hits, np.nan, np.array([np.nan]), 0)


def is_run(name: str) -> bool:
    """Whether a candidate's name is that of a run file, be it there or not: by its ending, .run or .trec, compressed (.gz, .xz)
    or not."""
    return Path(name.removesuffix(".gz").removesuffix(".xz")).suffix.lower() in ENDINGS


def read(path: str | PathLike[str], task: RetrievalTask) -> Run:
    """The answers of a run file to a task's queries: equal scores keep the file's order, as with trec_eval.

    A query that the run does not answer found nothing, and queries that nobody judged are left out; the notes count both.
    Raises InputError, "not comparable", for a run that answers none of the queries, or names documents that are not among the
    task's; DuplicateIds for a document twice under one query, and UnreadableSource with the line for a score that is no number
    or not finite.
    """
    found = read_run(Path(path))
    answered = [query for query in task.queries if query.id in found]
    if not answered:
        raise InputError(
            f"not comparable, because {path} answers none of the {len(task.queries):,} queries of {task.name} (it answers "
            f"{next(iter(found))!r})",
            mend="give a run over the same queries, with their ids",
        )
    known = {document.id for document in task.documents}
    strange = [name for query in answered for name, _ in found[query.id] if name not in known]
    if strange:
        raise InputError(
            f"not comparable, because {path} found documents that {task.name} does not hold, {len(strange):,} in all (first: "
            f"{strange[0]!r})",
            mend="give a run over the same documents, with their ids",
        )
    hits = _hits(task.queries, found)
    return Run(str(path), hits, tuple(_notes(task, found, len(answered), hits)))


def _hits(queries: Sequence[Query], found: Mapping[str, Sequence[tuple[str, float]]]) -> Hits:
    rows = [found.get(query.id, ()) for query in queries]
    depth = max(len(row) for row in rows)
    ids = np.full((len(rows), depth), None, dtype=object)
    scores = np.full((len(rows), depth), -np.inf, dtype=np.float32)
    for place, row in enumerate(rows):
        ids[place, : len(row)] = [name for name, _ in row]
        scores[place, : len(row)] = [score for _, score in row]
    return Hits(ids, scores)


def _notes(task: RetrievalTask, found: Mapping[str, object], answered: int, hits: Hits) -> list[str]:
    missing, extra = len(task.queries) - answered, len(found) - answered
    notes = []
    if missing:
        notes.append(f"answers {answered:,} of {len(task.queries):,} queries; on the others it found nothing")
    if extra:
        notes.append(f"{extra:,} of its queries are not judged here, and left out")
    if hits.ids.shape[1] < 10:
        notes.append(f"holds {hits.ids.shape[1]} documents a query at most")
    return notes


def comparable(a: Mapping[str, Any], b: Mapping[str, Any]) -> str:
    """Why two reports (see `vicino.evaluation.report`) cannot be compared, "not comparable, because ..."; "" where they can.

    What was searched, asked and judged must be the same to the last character, for one changed judgement changes every mean,
    and the metric that decides must be the same.

    >>> here = {"task": {"name": "a", "fingerprint": "1", "documents": 10}, "metrics": [{"name": "nDCG@10"}]}
    >>> comparable(here, here)
    ''
    >>> comparable(here, {**here, "task": {"name": "b", "fingerprint": "2", "documents": 9}})
    'not comparable, because documents: 10 in a, 9 in b'
    """
    ours, theirs = a["task"], b["task"]
    metric, other = (report["metrics"][0]["name"] for report in (a, b))
    reasons = []
    if ours["fingerprint"] != theirs["fingerprint"]:
        reasons = [
            f"{count}: {ours[count]:,} in {ours['name']}, {theirs[count]:,} in {theirs['name']}"
            for count in ("documents", "queries", "judgements")
            if ours.get(count) != theirs.get(count)
        ]
        same = ours.get("documents_fingerprint") == theirs.get("documents_fingerprint")
        what = "the queries or what was judged of them are others" if same else "the documents' texts are others"
        reasons = reasons or [f"{what}, in {ours['name']} and {theirs['name']}"]
    if metric != other:
        reasons.append(f"one was decided by {metric}, the other by {other}")
    return f"not comparable, because {'; '.join(reasons)}" if reasons else ""
