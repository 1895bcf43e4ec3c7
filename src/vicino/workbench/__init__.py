"""The whole story in verbs. Start reading here.

`compare` climbs the ladder, `ingest` keeps documents in a collection, `search` and `context` find them again, `embed` makes
vectors, `map` draws them, `evaluate` and `score` measure, `load` opens anything saved, `tokens` shows how text becomes numbers,
`demo` does it all on Python's own standard library. What teaches stands in `teaching`: `train` for words and nodes, `train_text`,
`train_classifier`, `train_tagger`, and what is asked of these. The command line calls nothing else.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from vicino import artifacts, encoders, indexes, retrieval
from vicino.artifacts import home
from vicino.data import readers
from vicino.data.judged import read_qrels, read_queries
from vicino.data.kinds import Kind, kind_of
from vicino.data.records import Document
from vicino.encoders import Encoder
from vicino.encoders.transformer.crossing import KIND, CrossEncoder
from vicino.encoders.transformer.pair_folder import is_cross_encoder
from vicino.errors import ArtifactError, InputError, VicinoError
from vicino.evaluation.compare import METRICS
from vicino.evaluation.demonstration import Demo, demonstrate
from vicino.evaluation.doctor import Finding, environment
from vicino.evaluation.scores import Scores, score_search
from vicino.indexes import Index
from vicino.retrieval import Retriever
from vicino.retrieval.context import Context, pack
from vicino.retrieval.indexing import standing
from vicino.retrieval.ingest import Source, kind_for
from vicino.retrieval.ingest import ingest as keep
from vicino.retrieval.stored import Answers, Stored
from vicino.scale import writing_on
from vicino.store.changes import Summary
from vicino.store.collection import Collection
from vicino.workbench.abtesting import abtest_interleaved, abtest_plan, abtest_read
from vicino.workbench.comparing import compare, compare_reports, evaluate
from vicino.workbench.diagnosing import doctor_collection, doctor_model
from vicino.workbench.embedding import Written, embed, embed_to_file, tokens
from vicino.workbench.exchanging import export_collection, import_collection
from vicino.workbench.indexing import index, index_standing
from vicino.workbench.interactions import compare_interactions
from vicino.workbench.mapping import map  # noqa: A004 - the verb
from vicino.workbench.migrating import adapt_queries, finish_migration, lineage, migrate, roll_back
from vicino.workbench.pooling import Pooled, pool
from vicino.workbench.recommending import open_recommender, recommend, train_recommender
from vicino.workbench.seeing import compare_images
from vicino.workbench.tasks import compare_task
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
from vicino.workbench.upkeep import delete, maintain, maintained, tenants

if TYPE_CHECKING:
    from vicino.retrieval.recommenders import Recommender
    from vicino.training.classifier import TextClassifier
    from vicino.training.tagger import Tagger

__all__ = [
    "Pooled",
    "Written",
    "abtest_interleaved",
    "abtest_plan",
    "abtest_read",
    "adapt_queries",
    "classify",
    "collections",
    "compare",
    "compare_images",
    "compare_interactions",
    "compare_reports",
    "compare_task",
    "context",
    "delete",
    "demo",
    "doctor",
    "doctor_collection",
    "doctor_model",
    "embed",
    "embed_to_file",
    "evaluate",
    "export_collection",
    "finish_migration",
    "import_collection",
    "index",
    "index_standing",
    "ingest",
    "lineage",
    "load",
    "maintain",
    "maintained",
    "map",
    "migrate",
    "neighbours",
    "pool",
    "recommend",
    "roll_back",
    "score",
    "search",
    "tag",
    "tenants",
    "tokens",
    "train",
    "train_classifier",
    "train_images",
    "train_recommender",
    "train_reranker",
    "train_tagger",
    "train_text",
]


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
    **elsewhere: Any,
) -> Summary:
    """Keep documents in a collection, or bring it in line with them: only what changed is embedded.

    `source` is a folder, a file, a stream of lines, or documents; what a folder or file no longer holds is removed (more
    than half of it only with `prune`). `source_name` is the name by which that is known, by default the path; documents
    without it are added to those that came so before, a stream needs it. `recipe` (a
    saved winner's folder, or a candidate's name) and `chunk` (a way of cutting, such as "passage(max_characters=800)") are
    fixed at the first time. `elsewhere` holds `at`, the address of a server that keeps the rows (fixed too), and `on`, the Ray
    cluster whose workers embed (see `vicino.scale.cluster`). Raises what `vicino.retrieval.ingest.ingest` and, with `on`,
    `vicino.scale.jobs` raise; the same call goes on where a stopped one was.
    """
    writing = writing_on(elsewhere.pop("on", None))
    kind = kind_for(_collections(), collection, recipe)
    cut = kind.require_cut(chunk)
    options: dict[str, Any] = {"recipe": recipe, "cut": cut, "tenant": tenant, "prune": prune, "seed": seed, **elsewhere}
    return keep(_collections(), collection, _source(source, text, source_name, kind), **options, **writing)


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
) -> Answers:
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
    """What is kept: for each collection its name, recipe, way of cutting, chosen indexes, and how much it holds.

    One that cannot be opened, as its server is away, has a name and an `error` alone.
    """
    return [_about(name) for name in Collection.names(_collections())]


def _about(name: str) -> Mapping[str, Any]:
    try:
        one = Collection.open(_collections(), name)
        indexes = [each.brief() for each in standing(one) if each.plan is not None]
        return {"name": name, "recipe": one.recipe.to_json(), "cut": one.cut, "indexes": indexes, **asdict(one.store.stats())}
    except VicinoError as error:
        return {"name": name, "error": str(error)}


def doctor(collection: str | None = None) -> list[Finding]:
    """What this machine has and lacks, or what is wrong with a collection, with the command that mends each finding."""
    return environment(home()) if collection is None else list(doctor_collection(collection).findings)


def demo(*, budget: float = 240.0, seed: int = 0, folder: Path | None = None) -> Demo:
    """The whole story on Python's own standard library: see `vicino.evaluation.demonstration`."""
    return demonstrate(home(), budget=budget, seed=seed, folder=folder)


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
