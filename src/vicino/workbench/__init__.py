"""The whole story in verbs. Start reading here.

`compare` climbs the ladder, `ingest` keeps documents in a collection, `search` and `context` find them again, `embed` makes
vectors, `map` draws them, `evaluate` and `score` measure, `load` opens anything saved, `tokens` shows how text becomes numbers,
`demo` does it all on Python's own standard library. What teaches stands in `teaching`: `train` for words and nodes, `train_text`,
`train_classifier`, `train_tagger`, and what is asked of these. The command line calls nothing else.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from vicino import artifacts, encoders, indexes, progress, retrieval
from vicino.artifacts import home
from vicino.data import chunking, readers, writers
from vicino.data.judged import read_qrels, read_queries
from vicino.data.kinds import Kind, kind_of
from vicino.data.records import Document
from vicino.encoders import Encoder
from vicino.encoders.base import Tokens, Truncation
from vicino.encoders.transformer.crossing import KIND, CrossEncoder
from vicino.encoders.transformer.pair_folder import is_cross_encoder
from vicino.errors import ArtifactError, InputError
from vicino.evaluation import report
from vicino.evaluation.compare import LADDER, METRICS, Comparison
from vicino.evaluation.compare import compare as climb
from vicino.evaluation.demonstration import Demo, demonstrate
from vicino.evaluation.doctor import Finding, environment
from vicino.evaluation.scores import Scores, score_search
from vicino.evaluation.tasks import RetrievalTask, open_task
from vicino.indexes import Index
from vicino.retrieval import Retriever
from vicino.retrieval.context import Context, pack
from vicino.retrieval.ingest import Source, kind_for
from vicino.retrieval.ingest import ingest as keep
from vicino.retrieval.stored import Found, Stored
from vicino.store.changes import Summary
from vicino.store.collection import Collection
from vicino.vectors import as_vectors, quantise
from vicino.workbench.interactions import compare_interactions
from vicino.workbench.mapping import map  # noqa: A004 - the verb
from vicino.workbench.recommending import open_recommender, recommend, train_recommender
from vicino.workbench.seeing import compare_images
from vicino.workbench.teaching import (
    classify,
    neighbours,
    open_classifier,
    open_tagger,
    tag,
    train,
    train_classifier,
    train_images,
    train_reranker,
    train_tagger,
    train_text,
)

if TYPE_CHECKING:
    from vicino.retrieval.recommenders import Recommender
    from vicino.training.classifier import TextClassifier
    from vicino.training.tagger import Tagger

__all__ = [
    "Written",
    "classify",
    "collections",
    "compare",
    "compare_images",
    "compare_interactions",
    "context",
    "demo",
    "doctor",
    "embed",
    "embed_to_file",
    "evaluate",
    "ingest",
    "load",
    "map",
    "neighbours",
    "recommend",
    "score",
    "search",
    "tag",
    "tokens",
    "train",
    "train_classifier",
    "train_images",
    "train_recommender",
    "train_reranker",
    "train_tagger",
    "train_text",
]

Data = str | PathLike[str] | RetrievalTask


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
        bench.retriever(comparison.winner).save(save_to)
    return comparison


def evaluate(recipe: str | PathLike[str], data: Data, **options: Any) -> Comparison:
    """A saved recipe, or any candidate's name, built over `data` and measured: a comparison of one.

    `options` are those of `compare`.
    """
    return compare(data, candidates=[str(recipe)], **options)


def ingest(
    source: str | PathLike[str] | BinaryIO | Iterable[Document],
    collection: str,
    *,
    recipe: str | PathLike[str] | None = None,
    chunk: str | None = None,
    tenant: str = "",
    text: str | None = None,
    source_name: str | None = None,
    prune: bool = False,
    seed: int = 0,
) -> Summary:
    """Keep documents in a collection, or bring it in line with them: only what changed is embedded.

    `source` is a folder, a file, a stream of lines, or documents; what a folder or file no longer holds is removed (more
    than half of it only with `prune`). `source_name` is the name by which that is known, by default the path; documents
    without it are added to those that came so before, a stream needs it. `recipe` (a
    saved winner's folder, or a candidate's name) and `chunk` (a way of cutting, such as "passage(max_characters=800)") are
    fixed at the first time. Raises what `vicino.retrieval.ingest.ingest` raises; the same call goes on where a stopped one was.
    """
    kind = kind_for(_collections(), collection, recipe)
    cut = kind.require_cut(chunk)
    options: dict[str, Any] = {"recipe": recipe, "cut": cut, "tenant": tenant, "prune": prune, "seed": seed}
    return keep(_collections(), collection, _source(source, text, source_name, kind), **options)


def search(
    collection: str,
    query: str | Path,
    k: int = 10,
    *,
    tenant: str = "",
    where: str | None = None,
    explain: bool = False,
    rerank: str | PathLike[str] | None = None,
    depth: int = 100,
) -> list[Found]:
    """The k best documents of a collection for a query, each with its best passage; what was ingested last is found.

    A collection of images is asked by the `Path` of one. `where` is a filter, such as "lang = 'en' and year > 2020". `rerank` is
    a cross-encoder, a folder or a hub name, that reads the first `depth` passages together with the query and orders them
    anew. Raises UnknownName for a collection or column that is not there, InputError for words where a path is wanted and the
    other way, and what opening the cross-encoder raises.
    """
    question = _question(collection, query, rerank)
    return _stored(collection, tenant, rerank=rerank, depth=depth).find(question, k, where=where, explain=explain)


def context(
    collection: str,
    query: str | Path,
    tokens: int = 2000,
    *,
    tenant: str = "",
    where: str | None = None,
    k: int = 50,
    rerank: str | PathLike[str] | None = None,
    depth: int = 100,
) -> Context:
    """The best passages for a question, with their sources, in a budget of tokens: what to put before a language model.

    `rerank` and `depth` are those of `search`.
    """
    k = max(k, tokens // 10)  # enough of the shortest passages
    question = _question(collection, query, rerank)
    stored = _stored(collection, tenant, rerank=rerank, depth=depth)
    return pack(stored.find(question, k, where=where, documents=False), tokens)


def score(
    collection: str,
    queries: str | PathLike[str],
    qrels: str | PathLike[str],
    *,
    metrics: Sequence[str] = METRICS,
    tenant: str = "",
    seed: int = 0,
) -> Scores:
    """A collection, as it is, measured on judged queries: a file (or BEIR folder) of queries, and a file of judgements."""
    asked, judgements = read_queries(Path(queries)), list(read_qrels(Path(qrels)))
    stored = _stored(collection, tenant)
    return score_search(collection, stored.search, asked, judgements, documents=stored.documents, metric_names=metrics, seed=seed)


def collections() -> list[Mapping[str, Any]]:
    """What is kept: for each collection its name, recipe, way of cutting, and how much it holds."""
    opened = (Collection.open(_collections(), name) for name in Collection.names(_collections()))
    return [{"name": one.name, "recipe": one.recipe.to_json(), "cut": one.cut, **asdict(one.store.stats())} for one in opened]


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
    texts: bool = False,
) -> Written:
    """Embed a folder, a file, or the lines of a stream, and write the vectors with their space: `.parquet` or `.npy`.

    With `texts` a Parquet file says what was embedded too. Beside the space stand the precision, whether rows were normalised,
    and for int8 the ranges that were mapped on its 256 steps. Raises what reading, encoding and
    `vicino.data.writers.write_vectors` raise; nothing is written then.
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
    return Written(writers.write_vectors(out, items, vectors, made, texts=texts), len(items), made, cut, tuple(notes))


def doctor() -> list[Finding]:
    """What this machine has and lacks, with the command that mends each finding."""
    return environment(home())


def demo(*, budget: float = 240.0, seed: int = 0, folder: Path | None = None) -> Demo:
    """The whole story on Python's own standard library: see `vicino.evaluation.demonstration`."""
    return demonstrate(home(), budget=budget, seed=seed, folder=folder)


def tokens(text: str, *, encoder: str | PathLike[str] | Encoder = "minilm") -> Tokens:
    """How an encoder reads a text: pieces, ids, which are unknown, and the dense row of each."""
    return _ready(encoder, [text]).tokens(text)


def load(path: str | PathLike[str]) -> CrossEncoder | Encoder | Index | Recommender | Retriever | Tagger | TextClassifier:
    """Open anything that vicino saved, or a sentence-transformers folder.

    Raises ArtifactError (nothing there, or of an unknown kind), ArtifactCorrupt, ArtifactTooNew.
    """
    folder = Path(path)
    if not (folder / artifacts.MANIFEST).exists() and (folder / "config.json").exists():
        return CrossEncoder(model=str(folder)) if is_cross_encoder(folder) else encoders.make(folder)
    kinds: dict[str, Callable[[Path], CrossEncoder | Encoder | Index | Recommender | Retriever | Tagger | TextClassifier]] = {
        "classifier": open_classifier,
        "encoder": encoders.load,
        "index": indexes.load,
        KIND: CrossEncoder.load,
        "recommender": open_recommender,
        "retriever": retrieval.load,
        "tagger": open_tagger,
    }
    kind = artifacts.kind_of(folder)
    if kind not in kinds:
        raise ArtifactError(f"{folder} holds a {kind}, which cannot be opened by itself", mend=f"give one of: {', '.join(kinds)}")
    return kinds[kind](folder)


# How ---------------------------------------------------------------------------------------------------------------


def _collections() -> Path:
    return home() / "collections"


def _stored(collection: str, tenant: str, **reranking: Any) -> Stored:
    return Stored(Collection.open(_collections(), collection), tenant=tenant, **reranking)


def _question(collection: str, query: str | Path, rerank: object) -> str:
    kind = kind_of(Collection.open(_collections(), collection).accepts)
    return kind.require_question(query, reranked=rerank is not None)


def _source(source: Any, text: str | None, name: str | None, kind: Kind) -> Source:
    """Documents, and how to know that one of them is gone."""
    if isinstance(source, str | PathLike):
        path = Path(source)
        reading = kind.read(path, text)
        place = os.fsencode(path.resolve()).decode("utf-8", "backslashreplace")
        return Source(name or place, reading, reading.lacks, reading.summary)
    if hasattr(source, "read"):
        if name is None:
            raise InputError("a stream has no name by which it is known again", mend="give --source NAME (source_name=)")
        reading = readers.read_lines(source)
        return Source(name, reading, reading.lacks, reading.summary)
    return Source(name, source) if name else Source("documents", source, lacks=lambda _: False)  # others may come later


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
