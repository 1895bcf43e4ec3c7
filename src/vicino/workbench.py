"""The whole story in verbs. Start reading here.

`compare` climbs the ladder, `embed` makes vectors, `evaluate` scores a saved recipe, `load` opens anything saved, `tokens`
shows how text becomes numbers, `demo` does it all on Python's own standard library. The command line calls nothing else.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from os import PathLike
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from vicino import artifacts, encoders, indexes, progress, retrieval
from vicino.data import chunking, readers, samples, splits, writers
from vicino.data.records import Document
from vicino.encoders import Encoder
from vicino.encoders.base import Tokens, Truncation
from vicino.errors import ArtifactError
from vicino.evaluation import report
from vicino.evaluation.compare import LADDER, METRICS, Comparison
from vicino.evaluation.compare import compare as climb
from vicino.evaluation.doctor import Finding, environment
from vicino.evaluation.measure import Bench
from vicino.evaluation.tasks import RetrievalTask, judged, open_task
from vicino.indexes import Index
from vicino.retrieval import Retriever
from vicino.vectors import as_vectors, quantise

__all__ = [
    "Answer",
    "Demo",
    "Written",
    "compare",
    "demo",
    "doctor",
    "embed",
    "embed_to_file",
    "evaluate",
    "home",
    "load",
    "tokens",
]

Data = str | PathLike[str] | RetrievalTask


def home() -> Path:
    """Where vicino keeps what it makes: the environment's VICINO_HOME, by default `.vicino` in the current folder."""
    return Path(os.environ.get("VICINO_HOME") or ".vicino")


def compare(
    data: Data,
    *,
    candidates: Sequence[str] = LADDER,
    metrics: Sequence[str] = METRICS,
    seed: int = 0,
    cache: bool = True,
    report_to: str | PathLike[str] | None = None,
    save_to: str | PathLike[str] | None = None,
    command: str = "",
    **reading: Any,
) -> Comparison:
    """Which candidate finds best on this data, with the evidence.

    `data` is a BEIR folder, a folder or file of text, or a task; `reading` holds options of
    `vicino.evaluation.tasks.open_task` (split, text, queries). `candidates` are names that `vicino.retrieval.parse` reads.
    `report_to` writes a report, HTML or JSON by the ending, which shows `command`; `save_to` keeps the winning retriever.
    Work is kept under `home()` unless `cache` is False, so that a second run takes seconds.
    """
    began = time.monotonic()
    if report_to is not None:
        report.require_ending(report_to)
    task = data if isinstance(data, RetrievalTask) else open_task(data, seed=seed, **reading)
    comparison, bench = climb(
        task, candidates=candidates, metric_names=metrics, cache=home() / "cache" if cache else None, seed=seed
    )
    if report_to is not None:
        report.write(report_to, report.to_json(comparison, seconds=time.monotonic() - began, command=command))
    if save_to is not None:
        _save_winner(comparison, bench, save_to)
    return comparison


def evaluate(recipe: str | PathLike[str], data: Data, **options: Any) -> Comparison:
    """A saved recipe, or any candidate's name, built over `data` and measured: a comparison of one.

    `options` are those of `compare`.
    """
    return compare(data, candidates=[str(recipe)], **options)


def embed(items: Any, *, encoder: str | PathLike[str] | Encoder = "minilm", chunk: str | None = None, **options: Any) -> Any:
    """From anything to vectors: texts, documents, or a `Path` to a folder or file -> (n, d) float32 rows.

    An encoder that must learn is fitted on the items first. `chunk` cuts documents by a method of `vicino.data.chunking`.
    `options` are those of `Encoder.encode`. One str is one text and gives one vector (d,).
    """
    single = isinstance(items, str | Document) and chunk is None
    listed = _listed(items, chunk)
    vectors = _ready(encoder, listed).encode_document(listed, **options)
    return vectors[0] if single else vectors


@dataclass(frozen=True)
class Written:
    """A file of vectors: how many, what they are (space, precision, ...), and what a length limit cut off on the way."""

    path: Path
    rows: int
    made: Mapping[str, Any]
    truncation: Truncation | None
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        cut = None if self.truncation is None else asdict(self.truncation)
        return {"path": str(self.path), "rows": self.rows, **self.made, "truncation": cut, "notes": self.notes}


def embed_to_file(
    source: Path | BinaryIO,
    out: Path,
    *,
    encoder: str | PathLike[str] | Encoder = "minilm",
    chunk: str | None = None,
    text: str | None = None,
    normalize_embeddings: bool | None = None,
    truncate_dim: int | None = None,
    precision: str = "float32",
) -> Written:
    """Embed a folder, a file, or the lines of a stream, and write the vectors with their space: `.parquet` or `.npy`.

    Beside the space stand the precision, whether rows were normalised, and for int8 the ranges that were mapped on its 256
    steps. Raises what reading, encoding and `vicino.data.writers.write_vectors` raise; nothing is written then.
    """
    writers.require_ending(out)
    items, notes = _read(source, text, chunk)
    encode = _ready(encoder, items)
    vectors = encode.encode_document(items, truncate_dim=truncate_dim, normalize_embeddings=normalize_embeddings)
    space = encode.space if truncate_dim is None else encode.space.truncated(truncate_dim)
    made = {"space": space.to_json(), "precision": precision, "normalized": bool(normalize_embeddings)}
    if precision != "float32":
        dense = as_vectors(vectors)
        ranges = np.stack([dense.min(axis=0), dense.max(axis=0)]) if precision == "int8" else None
        vectors = quantise(dense, precision, ranges=ranges)
        made |= {} if ranges is None else {"ranges": ranges.tolist()}
    cut = encode.truncation(items)
    if cut is not None and cut.items_cut:
        notes.append(
            f"{cut.items_cut:,} of {cut.items:,} items are longer than {cut.limit} tokens: {cut.share:.1%} of all tokens "
            "were cut (--chunk paragraph keeps them)"
        )
    return Written(writers.write_vectors(out, items, vectors, made), len(items), made, cut, tuple(notes))


def doctor() -> list[Finding]:
    """What this machine has and lacks, with the command that mends each finding."""
    return environment(home())


def tokens(text: str, *, encoder: str | PathLike[str] | Encoder = "minilm") -> Tokens:
    """How an encoder reads a text: pieces, ids, which are unknown, and the dense row of each."""
    return _ready(encoder, [text]).tokens(text)


def load(path: str | PathLike[str]) -> Encoder | Index | Retriever:
    """Open anything that vicino saved, or a sentence-transformers folder.

    Raises ArtifactError (nothing there, or of an unknown kind), ArtifactCorrupt, ArtifactTooNew.
    """
    folder = Path(path)
    if not (folder / artifacts.MANIFEST).exists() and (folder / "config.json").exists():
        return encoders.make(folder)
    kinds: dict[str, Callable[[Path], Encoder | Index | Retriever]] = {
        "encoder": encoders.load,
        "index": indexes.load,
        "retriever": retrieval.load,
    }
    kind = artifacts.kind_of(folder)
    if kind not in kinds:
        raise ArtifactError(f"{folder} holds a {kind}, which cannot be opened by itself", mend=f"give one of: {', '.join(kinds)}")
    return kinds[kind](folder)


# The demonstration --------------------------------------------------------------------------------------------------

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


def demo(*, budget: float = 240.0, seed: int = 0, folder: Path | None = None) -> Demo:
    """Climb the ladder on the documented functions of this Python's standard library, within about `budget` seconds.

    The speed of the slowest encoder is measured first, and the functions are sampled to fit. Writes the winner and the
    report under `folder` (by default `home() / "demo"`).
    """
    began = time.monotonic()
    place = folder or home() / "demo"
    task, sampled = _demo_task(budget, seed)
    comparison, bench = climb(task, cache=home() / "cache", seed=seed)
    winner = _save_winner(comparison, bench, place / "winner")
    retriever = retrieval.load(winner)
    seconds = time.monotonic() - began
    plain = report.to_json(comparison, seconds=seconds, command="vicino demo")
    report.write(place / "report.json", plain)
    page = report.write(place / "report.html", plain)
    return Demo(comparison, sampled, _ask(retriever, task, QUESTIONS), winner, page, seconds)


def _demo_task(budget: float, seed: int) -> tuple[RetrievalTask, str]:
    """The functions that can be encoded in about half the budget, and at most 2,000 of their first sentences as queries."""
    library = samples.standard_library()
    probe = splits.sample(library.documents, 96, seed=seed)
    encoder = encoders.make("minilm")
    encoder.encode(probe[:8])
    began = time.monotonic()
    encoder.encode(probe)
    speed = len(probe) / (time.monotonic() - began)
    fits = int(speed * budget / 2)
    fits = max(200, fits - fits % 500)  # in steps, so that a second run samples alike and finds what the first one kept
    documents = splits.sample(library.documents, fits, seed=seed)
    names = {document.id for document in documents}
    answers = {j.query_id: j for j in library.judgements if j.document_id in names}
    queries = splits.sample([query for query in library.queries if query.id in answers], 2000, seed=seed)
    task = judged(
        "Python's standard library",
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


def _ask(retriever: Retriever, task: RetrievalTask, questions: Sequence[str]) -> tuple[Answer, ...]:
    documents = {document.id: document for document in task.documents}
    hits = retriever.search(questions, 1)
    answers = []
    for row, question in enumerate(questions):
        for name, score in hits.top(row):
            about = documents[name].metadata
            answers.append(Answer(question, f"{about['path']}:{about['line']}", str(about["qualname"]), score))
    return tuple(answers)


def _save_winner(comparison: Comparison, bench: Bench, path: str | PathLike[str]) -> Path:
    return bench.retriever(comparison.winner).save(path)


def _ready(encoder: str | PathLike[str] | Encoder, items: Sequence[Any]) -> Encoder:
    """The encoder, fitted on the items where it has to learn and has not."""
    made = encoder if isinstance(encoder, Encoder) else encoders.make(encoder)
    return made if made.pretrained or made.__sklearn_is_fitted__() else made.fit(items)


def _listed(items: Any, chunk: str | None) -> list[Any]:
    if isinstance(items, PathLike):
        return _read(Path(items), None, chunk)[0]
    listed = [items] if isinstance(items, str | Document) else list(items)
    if chunk is None:
        return listed
    documents = (item if isinstance(item, Document) else Document(str(row), item) for row, item in enumerate(listed))
    return _cut(documents, chunk)


def _read(source: Path | BinaryIO, text: str | None, chunk: str | None) -> tuple[list[Any], list[str]]:
    """Documents or chunks, and what was skipped, in words."""
    reading = readers.read_documents(source, text=text) if isinstance(source, Path) else readers.read_lines(source)
    items = _cut(progress.track(reading, "Reading", unit="documents"), chunk)
    return items, [reading.summary()] if reading.counts else []


def _cut(documents: Iterable[Document], chunk: str | None) -> list[Any]:
    if chunk is None:
        return list(documents)
    return [piece for document in documents for piece in chunking.chunk(document, chunk)]
