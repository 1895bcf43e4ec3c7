"""What to run: documents, queries and judgements, checked and named by content."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from os import PathLike
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vicino.data import known_items, readers
from vicino.data.code import language_of_document
from vicino.data.formats import LANGUAGES
from vicino.data.judged import is_beir, read_judgements, read_queries, splits_of
from vicino.data.records import Document, Judgement, Query
from vicino.data.splits import group_queries
from vicino.errors import DuplicateIds, EmptyInput, InputError
from vicino.spaces import fingerprint

__all__ = ["RetrievalTask", "documents_id", "judged", "open_task", "synthetic"]


@dataclass(frozen=True, eq=False)
class RetrievalTask:
    """Judged retrieval. `qrels` maps a query's id to its documents' grades; `queries` are the judged ones only.

    `notes` says what was counted or dropped on the way, in words; `synthetic` says how the queries were made where no person
    wrote them, and is empty otherwise. `analyzer` ("words" or "code") is how the documents are best cut.
    """

    name: str
    documents: Sequence[Document]
    queries: Sequence[Query]
    qrels: Mapping[str, Mapping[str, int]]
    synthetic: str = ""
    notes: tuple[str, ...] = ()
    analyzer: str = "words"
    train: Mapping[str, Mapping[str, int]] = field(default_factory=dict)

    @cached_property
    def documents_fingerprint(self) -> str:
        """Sixteen digits that name the documents by content, in their order."""
        return documents_id(self.documents)

    @cached_property
    def fingerprint(self) -> str:
        """Sixteen digits that name documents, queries and judgements by content."""
        qrels = {query: dict(grades) for query, grades in self.qrels.items()}
        return fingerprint([self.documents_fingerprint, [[q.id, q.text] for q in self.queries], qrels])

    @cached_property
    def groups(self) -> NDArray[np.intp]:
        """The number of each query's group, (n,): those that share a relevant document or nearly repeat each other share it."""
        grades = ((query.id, *grade) for query, row in zip(self.queries, self.rows, strict=True) for grade in row.items())
        return group_queries(self.queries, [Judgement(*each) for each in grades])

    @property
    def rows(self) -> list[Mapping[str, int]]:
        """The grades of each query, in the order of `queries`."""
        return [self.qrels[query.id] for query in self.queries]


def documents_id(documents: Iterable[Document]) -> str:
    """Sixteen digits that name documents by content, in their order."""
    return fingerprint([[d.id, d.title, d.text] for d in documents])


def judged(
    name: str,
    documents: Iterable[Document],
    queries: Iterable[Query],
    judgements: Iterable[Judgement],
    *,
    synthetic: str = "",
    notes: Sequence[str] = (),
    train: Iterable[Judgement] = (),
) -> RetrievalTask:
    """Check the three against one another.

    Judgements of unknown documents or queries are dropped, and counted in the notes; so are queries without a relevant
    document. Raises DuplicateIds and EmptyInput.
    """
    listed, asked = list(documents), list(queries)
    _require_unique("document", [document.id for document in listed])
    _require_unique("query", [query.id for query in asked])
    if not listed:
        raise EmptyInput(f"{name} holds no documents", mend="point to a folder or file with text in it")
    notes = list(notes)
    qrels = _grades(judgements, {d.id for d in listed}, {q.id for q in asked}, notes)
    kept = [query for query in asked if any(grade > 0 for grade in qrels.get(query.id, {}).values())]
    if len(kept) < len(asked):
        notes.append(f"{len(asked) - len(kept):,} of {len(asked):,} queries have no relevant document here and are left out")
    if not kept:
        raise EmptyInput(
            f"no query of {name} has a relevant document", mend="check that the ids in qrels are those of the documents"
        )
    by_train: dict[str, dict[str, int]] = {}
    for judgement in train:
        by_train.setdefault(judgement.query_id, {})[judgement.document_id] = judgement.grade
    _note_leak(kept, qrels, by_train, notes)
    code = sum(language_of_document(document) in LANGUAGES for document in listed)
    analyzer = "code" if code > len(listed) / 2 else "words"
    return RetrievalTask(name, listed, kept, {q.id: qrels[q.id] for q in kept}, synthetic, tuple(notes), analyzer, by_train)


def open_task(
    path: str | PathLike[str],
    *,
    split: str | None = None,
    text: str | None = None,
    queries: int = 1000,
    seed: int = 0,
) -> RetrievalTask:
    """A task from a BEIR folder (its `split`, by default test), or from any folder or file of text.

    Without judgements, up to `queries` known-item queries are made (see `vicino.data.known_items`) and the task says so.
    Raises EmptyInput, UnreadableSource, UnknownName (no such split), DuplicateIds.
    """
    folder = Path(path)
    if is_beir(folder):
        return _open_beir(folder, split)
    if split is not None:
        raise InputError(f"{folder} has no splits", mend="leave out --split, or give a BEIR folder with qrels/")
    reading = readers.read_documents(folder, text=text)
    documents = list(reading)
    notes = [reading.summary()] if reading.counts else []
    return synthetic(folder.resolve().name, documents, notes=notes, queries=queries, seed=seed)


def synthetic(
    name: str, documents: Sequence[Document], *, notes: Sequence[str] = (), queries: int = 1000, seed: int = 0
) -> RetrievalTask:
    """A task of known-item queries made from the documents themselves."""
    made = known_items.known_items(documents, seed=seed, limit=queries)
    if not made.queries:
        raise EmptyInput(
            f"no queries could be made from {name}",
            mend="give documents of a few sentences, or judged queries in a BEIR folder",
        )
    return judged(name, made.documents, made.queries, made.judgements, synthetic=made.note, notes=notes)


def _open_beir(folder: Path, split: str | None) -> RetrievalTask:
    splits = splits_of(folder)
    chosen = split or ("test" if "test" in splits else splits[0])
    judgements = {name: read_judgements(folder, name) for name in dict.fromkeys([chosen, *splits])}
    reading = readers.read_documents(folder)
    documents, queries = list(reading), read_queries(folder)
    notes = [reading.summary()] if reading.counts else []
    elsewhere = {judgement.query_id for name in splits if name != chosen for judgement in judgements[name]}
    here = {judgement.query_id for judgement in judgements[chosen]}
    unjudged = sum(query.id not in here | elsewhere for query in queries)
    if unjudged:
        notes.append(f"{unjudged:,} of {len(queries):,} queries have no judgements and are left out")
    asked = [query for query in queries if query.id in here]
    train = judgements.get("train", []) if chosen != "train" else []
    return judged(f"{folder.resolve().name} ({chosen})", documents, asked, judgements[chosen], notes=notes, train=train)


def _require_unique(what: str, ids: list[str]) -> None:
    repeated = [name for name, count in Counter(ids).items() if count > 1]
    if repeated:
        raise DuplicateIds(
            f"{len(repeated):,} {what} ids repeat (first: {repeated[0]!r})", mend=f"give each {what} an id of its own"
        )


def _grades(
    judgements: Iterable[Judgement], documents: set[str], queries: set[str], notes: list[str]
) -> dict[str, dict[str, int]]:
    qrels: dict[str, dict[str, int]] = {}
    unknown: Counter[str] = Counter()
    for judgement in judgements:
        if judgement.query_id not in queries:
            unknown["query"] += 1
        elif judgement.document_id not in documents:
            unknown["document"] += 1
        else:
            qrels.setdefault(judgement.query_id, {})[judgement.document_id] = judgement.grade
    notes += [f"{count:,} judgements name a {what} that is not there; they are left out" for what, count in unknown.items()]
    return qrels


def _note_leak(
    queries: Sequence[Query], qrels: Mapping[str, Mapping[str, int]], train: Mapping[str, Mapping[str, int]], notes: list[str]
) -> None:
    """A model trained on the train split has seen the answers of these queries."""
    taught = {document for grades in train.values() for document, grade in grades.items() if grade > 0}
    shared = sum(any(grade > 0 and name in taught for name, grade in qrels[query.id].items()) for query in queries)
    if shared:
        notes.append(
            f"{shared:,} of {len(queries):,} queries have a relevant document that is relevant in the train split too: "
            "a model trained there has seen their answers"
        )
