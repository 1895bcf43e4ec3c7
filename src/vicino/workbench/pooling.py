"""The verb that asks people: what several candidates find, in a table to be judged by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vicino.errors import InputError

if TYPE_CHECKING:
    from vicino.data.pools import Pool
    from vicino.data.records import Query
    from vicino.evaluation.tasks import RetrievalTask

__all__ = ["Pooled", "pool"]

TOPICS = 50  # queries that are usually judged: fewer tell little, more tire the judge


@dataclass(frozen=True)
class Pooled:
    """A table to judge: where it lies, how many pairs were `added`, how many of all are `judged` and how many are `waiting`."""

    path: str
    queries: int
    added: int
    judged: int
    waiting: int

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def pool(
    data: str | PathLike[str],
    *,
    to: str | PathLike[str],
    candidates: Sequence[str],
    depth: int = 10,
    queries: int | str | PathLike[str] = TOPICS,
    split: str | None = None,
    text: str | None = None,
    seed: int = 0,
    cache: bool = True,
) -> Pooled:
    """Write what the candidates find first into a csv, which a person judges: without names, in random order.

    `queries` is a file of them, asked of all documents of `data`; or how many to take, by `seed`, of the data's own (a BEIR
    folder), whose judged pairs are left out, or of known items where nobody asked. Of each query the first `depth` documents of
    every candidate are pooled. Where the file is there, its rows stay as they are and only new pairs are added, so that nothing
    is judged twice. `vicino.evaluation.silver.open_pooled` reads it. Raises InputError for no candidate, a depth below 1 or a
    pool of other queries, and what reading the data, `vicino.retrieval.parse` and `vicino.data.pools.read_pool` raise.
    """
    from vicino.data.pools import GIVEN, MADE, Pool, pooled, read_pool, require_csv, write_pool

    target = Path(to)
    require_csv(target)
    if depth < 1:
        raise InputError(f"a pool of depth {depth} holds nothing", mend="give --depth 1 or more; 10 is usual")
    standing = read_pool(target) if target.exists() else Pool()
    task = _asked(data, queries, split, text, seed)
    origin = MADE if task.synthetic else GIVEN
    _require_same(standing, task.queries, origin, target)
    found = _found(task, candidates, depth, seed, cache)
    documents = {document.id: document for document in task.documents}
    judged = {} if task.synthetic else task.qrels
    rows = pooled(task.queries, found, documents, judged=judged, origin=origin, seed=seed)
    whole = standing.with_rows(rows)
    write_pool(target, whole)
    return Pooled(str(target), len(whole.queries), len(whole.rows) - len(standing.rows), len(whole.judgements), whole.waiting)


def _asked(
    data: str | PathLike[str], queries: int | str | PathLike[str], split: str | None, text: str | None, seed: int
) -> RetrievalTask:
    """Documents and queries, and what is judged of them already."""
    from dataclasses import replace

    from vicino.data.judged import read_queries
    from vicino.data.readers import read_documents
    from vicino.data.splits import sample
    from vicino.evaluation.tasks import RetrievalTask, open_task

    if isinstance(queries, int):
        if queries < 1:
            raise InputError(f"a pool of {queries} queries holds nothing", mend=f"give --queries 1 or more; {TOPICS} is usual")
        task = open_task(data, split=split, text=text, seed=seed)
        return replace(task, queries=sample(task.queries, queries, seed))
    if split is not None:
        raise InputError("--split says nothing about a file of queries", mend="leave it out")
    documents = list(read_documents(Path(data), text=text))
    return RetrievalTask(Path(data).resolve().name, documents, read_queries(Path(queries)), {})


def _found(task: RetrievalTask, candidates: Sequence[str], depth: int, seed: int, cache: bool) -> list[list[list[str]]]:
    """For each candidate, and in it for each query, the ids of the first `depth` documents."""
    from vicino import metrics, progress
    from vicino.artifacts import home
    from vicino.evaluation.measure import Bench
    from vicino.retrieval import parse

    recipes = [parse(name, analyzer=task.analyzer) for name in dict.fromkeys(candidates)]
    if not recipes:
        raise InputError("nothing to pool", mend="name candidates that differ much: --with bm25,minilm")
    bench = Bench(task, metrics.parse("nDCG@10"), cache=home() / "cache" if cache else None, seed=seed)
    found = []
    for recipe in progress.track(recipes, "Pooling", unit="candidates"):
        hits = bench.retriever(recipe).search(task.queries, min(depth, len(task.documents)))
        found.append([[name for name, _ in hits.top(row)] for row in range(len(hits))])
    return found


def _require_same(standing: Pool, queries: Sequence[Query], origin: str, target: Path) -> None:
    """More may be added to a pool, but not of queries that have other texts under the same ids."""
    mend = "pool into another file, or give the --queries and the --seed of the first time"
    if any(row.origin != origin for row in standing.rows):
        raise InputError(f"{target} holds queries of another origin than {origin!r}", mend=mend)
    texts = {query.id: query.text for query in queries}
    for query in standing.queries:
        if query.text and " ".join(texts.get(query.id, query.text).split()) != " ".join(query.text.split()):
            raise InputError(f"{target} has another query under the id {query.id!r}: {query.text!r}", mend=mend)
