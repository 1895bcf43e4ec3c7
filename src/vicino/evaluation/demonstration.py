"""The demonstration: the ladder on Python's own standard library, and a collection that answers with what won."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vicino import encoders
from vicino.data import samples, splits
from vicino.errors import InputError, SpaceMismatch
from vicino.evaluation import report
from vicino.evaluation.compare import Comparison, compare
from vicino.evaluation.tasks import RetrievalTask, judged
from vicino.retrieval.ingest import Source, ingest
from vicino.retrieval.stored import Stored
from vicino.store.base import EVERYONE
from vicino.store.collection import Collection

__all__ = ["COLLECTION", "QUESTIONS", "Answer", "Demo", "demonstrate"]

COLLECTION = "demo"
QUESTIONS = (
    "delete a directory together with everything inside it",
    "the middle value of a list of numbers",
    "turn a JSON string into Python objects",
)


@dataclass(frozen=True)
class Answer:
    """One document that answers a question: where it stands, and its first line."""

    question: str
    place: str
    name: str
    score: float


@dataclass(frozen=True, eq=False)
class Demo:
    """What the demonstration made."""

    comparison: Comparison
    sampled: str
    answers: tuple[Answer, ...]
    winner: Path
    report: Path
    seconds: float


def demonstrate(home: Path, *, budget: float = 240.0, seed: int = 0, folder: Path | None = None) -> Demo:
    """Climb the ladder on the documented functions of this Python's standard library, within about `budget` seconds.

    The speed of the slowest encoder is measured first, and the functions are sampled to fit. Writes the winner and the report
    under `folder` (by default `home / "demo"`), and brings the collection "demo" in line with the functions and the winner.
    """
    began = time.monotonic()
    _require_own(home / "collections")
    place = folder or home / "demo"
    task, sampled = _task(budget, seed)
    comparison, bench = compare(task, cache=home / "cache", seed=seed)
    winner = bench.retriever(comparison.winner).save(place / "winner")
    answers = _ask(_collection(home / "collections", task, winner), QUESTIONS)
    seconds = time.monotonic() - began
    plain = report.to_json(comparison, seconds=seconds, command="vicino demo")
    report.write(place / "report.json", plain)
    page = report.write(place / "report.html", plain)
    return Demo(comparison, sampled, answers, winner, page, seconds)


SOURCE = "Python's standard library"


def _require_own(home: Path) -> None:
    """Raise InputError where a collection of this name holds documents of somebody's."""
    if COLLECTION in Collection.names(home):
        batches = Collection.open(home, COLLECTION).store.scan(["source"], tenant=EVERYONE)
        if {source for batch in batches for source in batch.column("source").to_pylist()} - {SOURCE}:
            raise InputError(
                f"the collection {COLLECTION!r} holds documents of yours",
                mend=f"rename the folder {home / COLLECTION}, or set VICINO_HOME elsewhere",
            )


def _collection(home: Path, task: RetrievalTask, winner: Path) -> Collection:
    """The collection of these functions; made anew where an earlier demonstration had another winner."""
    source = Source(SOURCE, task.documents)
    try:
        ingest(home, COLLECTION, source, recipe=winner, cut="whole", prune=True)
    except (InputError, SpaceMismatch):
        shutil.rmtree(home / COLLECTION)
        ingest(home, COLLECTION, source, recipe=winner, cut="whole")
    return Collection.open(home, COLLECTION)


def _task(budget: float, seed: int) -> tuple[RetrievalTask, str]:
    """The functions that can be encoded in about a third of the budget (they are encoded twice), and at most 2,000 of their
    first sentences as queries."""
    library = samples.standard_library()
    probe = splits.sample(library.documents, 96, seed=seed)
    encoder = encoders.make("minilm")
    encoder.encode(probe[:8])
    began = time.monotonic()
    encoder.encode(probe)
    speed = len(probe) / (time.monotonic() - began)
    fits = int(speed * budget / 3)
    fits = max(200, fits - fits % 500)  # in steps, so that a second run samples alike and finds what the first one kept
    documents = splits.sample(library.documents, fits, seed=seed)
    names = {document.id for document in documents}
    answers = {j.query_id: j for j in library.judgements if j.document_id in names}
    queries = splits.sample([query for query in library.queries if query.id in answers], 2000, seed=seed)
    task = judged(
        SOURCE,
        documents,
        queries,
        [answers[query.id] for query in queries],
        synthetic=library.note,
    )
    sampled = (
        f"{len(documents):,} of {len(library.documents):,} documented functions and {len(queries):,} of {len(library.queries):,} "
        f"first sentences; minilm reads about {speed:.0f} functions a second here"
    )
    return task, sampled


def _ask(collection: Collection, questions: Sequence[str]) -> tuple[Answer, ...]:
    search = Stored(collection)
    answers = []
    for question in questions:
        for found in search.find(question, 1):
            about = found.metadata
            answers.append(Answer(question, f"{about['path']}:{about['line']}", str(about["qualname"]), found.score))
    return tuple(answers)
