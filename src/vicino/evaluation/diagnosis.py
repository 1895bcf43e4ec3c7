"""An encoder looked at on somebody's data: what silently ruins its vectors, with a value, a threshold, a cause and a mend.

What is looked for stands in `vicino.evaluation.symptoms`. What a cure is worth is measured on the task, by a paired test, before
anybody is told to use it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vicino.data.known_items import normalised
from vicino.data.records import Document
from vicino.encoders import Encoder
from vicino.errors import InputError
from vicino.evaluation import symptoms
from vicino.evaluation.cures import UNNAMED, Cure, Ranked, Target, advice, try_cures
from vicino.evaluation.doctor import Finding
from vicino.evaluation.symptoms import Mends, finding
from vicino.evaluation.tasks import RetrievalTask
from vicino.vectors import Similarity

__all__ = ["Diagnosis", "diagnose"]

SAMPLE = 5_000  # documents that are looked at
SEEN = 0.01  # of the queries that have an answer of the train split
TOLD = 0.1  # of the queries that stand word by word in their answer
_WORDS = 5  # that a query has at least, to be told from a name

_MENDS = Mends(
    cure="vicino doctor model DATA --fix, which names the command that applies the best",
    model="vicino compare DATA --with minilm,OTHER",
    cut="vicino compare DATA --with minilm,minilm@paragraph, or vicino ingest PATH --chunk passage",
    choose="vicino compare DATA; or train on it: vicino train text",
    metric="make the index again with",
)

Vectors = NDArray[np.float32]


@dataclass(frozen=True)
class Diagnosis:
    """The findings, and, where they were tried, what each cure does to the vectors and to the task's metric."""

    findings: tuple[Finding, ...]
    cures: tuple[Cure, ...] = ()

    @property
    def healthy(self) -> bool:
        return all(one.state != "problem" for one in self.findings)

    @property
    def advice(self) -> tuple[str, ...]:
        """What to do after cures were tried, one sentence a model."""
        return advice(self.cures)

    def to_json(self) -> dict[str, Any]:
        findings, cures = [one.to_json() for one in self.findings], [one.to_json() for one in self.cures]
        return {"findings": findings, "cures": cures, "advice": list(self.advice)}


def diagnose(
    encoder: Encoder,
    task: RetrievalTask,
    *,
    reference: Sequence[Document] | None = None,
    similarity: Similarity | None = None,
    cure: bool = False,
    metric: str = "nDCG@10",
    precision: float = 0.9,
    target: Target = UNNAMED,
    seed: int = 0,
) -> Diagnosis:
    """Look at an encoder on the documents and queries of a task, and with `cure` try the cures on a copy of its vectors.

    `reference` are documents of the domain that it was chosen on: a shift between them and those of the task is looked for.
    `similarity` is what the user's index ranks by, where that may be another metric than the one the encoder was trained for. At
    most 5,000 documents of each are looked at. An encoder that must learn is fitted on the documents. `precision` is the share of
    relevant answers that a threshold of scores is looked for, `target` what the commands that apply a cure call the encoder.
    Raises InputError for a sparse encoder.
    """
    if encoder.sparse:
        raise InputError("sparse vectors have no such faults", mend="choose an encoder with dense vectors, such as minilm")
    if not (encoder.pretrained or encoder.__sklearn_is_fitted__()):
        encoder.fit_whole(task.documents)
    documents = _drawn(task.documents, seed)
    vectors = _encoded(encoder, documents)
    trained = encoder.similarity
    findings = [
        symptoms.lengths(vectors, _MENDS),
        *symptoms.shape(vectors, _MENDS, seed=seed),
        symptoms.metric(vectors, trained, similarity or trained, _MENDS),
        *_texts(encoder, documents, vectors),
        *_leaks(task),
    ]
    if reference is not None:
        before, names = _encoded(encoder, _drawn(reference, seed)), [document.id for document in documents]
        findings.append(symptoms.domain(before, vectors, names, _MENDS, earlier="the reference", seed=seed))
    cures: tuple[Cure, ...] = ()
    if not task.synthetic or cure:
        everything = vectors if len(documents) == len(task.documents) else _encoded(encoder, task.documents)
        queries = np.asarray(encoder.encode_query([query.text for query in task.queries]), np.float32)
        if not task.synthetic:
            ranked = Ranked.of(everything, queries, task, trained)
            scores = list(ranked.scores.astype(np.float64))
            told = symptoms.calibration(scores, list(ranked.relevant(task)), precision=precision)
            findings += [] if told is None else [told]
        if cure:
            cures = try_cures(everything, queries, task, trained, target=target, metric=metric, seed=seed)
    return Diagnosis(tuple(findings), cures)


def _texts(encoder: Encoder, documents: Sequence[Document], vectors: Vectors) -> Iterator[Finding]:
    cut = encoder.truncation(documents)
    if cut is not None:
        yield symptoms.length_limit(cut, _MENDS)
    texts = [document.content for document in documents]
    yield symptoms.repeats(texts, "remove them before you ingest (vicino.data.near_duplicates finds the pairs)")
    yield symptoms.one_vector(vectors, texts, _MENDS)


def _leaks(task: RetrievalTask) -> Iterator[Finding]:
    """Queries that say nothing of new questions: answered in the train split, or copied out of their answers."""
    known = {name for grades in task.train.values() for name, grade in grades.items() if grade > 0}
    if known:
        seen = sum(any(grade > 0 and name in known for name, grade in row.items()) for row in task.rows)
        yield finding(
            "leakage",
            seen <= SEEN * len(task.queries),
            f"{seen:,} of {len(task.queries):,} queries have an answer that is an answer in the train split",
            f"up to {SEEN:.0%}",
            "a model that was trained on it remembers: its score says nothing of new questions",
            "report the clean queries beside all (vicino train gives such answers away)",
        )
    texts = {document.id: document for document in task.documents}
    asked = [(normalised(query.text), row) for query, row in zip(task.queries, task.rows, strict=True)]
    long = [(words, row) for words, row in asked if words.count(" ") >= _WORDS - 1]
    copied = sum(
        any(grade > 0 and f" {words} " in f" {normalised(texts[name].content)} " for name, grade in row.items())
        for words, row in long
    )
    yield finding(
        "copied queries",
        copied <= TOLD * len(task.queries),
        f"{copied:,} of {len(task.queries):,} queries (of {_WORDS} words or more) stand word by word in an answer",
        f"up to {TOLD:.0%}",
        "the question was left in the document: whatever compares words wins, and users do not ask so",
        "take it out of the document, or let vicino make the queries: vicino compare FOLDER, without qrels",
    )


def _encoded(encoder: Encoder, documents: Sequence[Document]) -> Vectors:
    return np.asarray(encoder.encode_document(list(documents)), np.float32)


def _drawn(documents: Sequence[Document], seed: int) -> Sequence[Document]:
    if len(documents) <= SAMPLE:
        return documents
    rows = np.sort(np.random.default_rng(seed).choice(len(documents), SAMPLE, replace=False))
    return [documents[row] for row in rows.tolist()]
