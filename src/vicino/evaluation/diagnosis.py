"""An encoder looked at on somebody's data: what silently ruins its vectors, with a value, a threshold, a cause and a mend.

Thresholds are rules of thumb: healthy sentence encoders stay well inside of them on the data sets that vicino is measured on, and
planted faults pass them. What a cure is worth is measured on the task, by a paired test, before anybody is told to use it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vicino import metrics
from vicino.data.near_duplicates import near_duplicates
from vicino.data.records import Document
from vicino.encoders import Encoder
from vicino.errors import InputError
from vicino.evaluation.doctor import Finding
from vicino.evaluation.gate import Check, check_means
from vicino.evaluation.tasks import RetrievalTask
from vicino.indexes.exact import Exact
from vicino.learning.isotropy import Affine, all_but_the_top, centring, whitening
from vicino.metrics import geometry
from vicino.metrics.calibration import calibrate, reliability, threshold_for
from vicino.metrics.ranking import judge
from vicino.metrics.shift import classifier_shift, mmd_shift

__all__ = ["CURES", "Diagnosis", "diagnose"]

SAMPLE = 5_000  # documents that are looked at
CONE, COLLAPSED = 0.5, 0.95  # mean cosine
FLAT = 0.1  # effective rank, as a share of the dimensions
HUBS = 4.0  # skewness
CUT = 0.05  # of all tokens
TWICE = 0.02  # of the documents are nearly another
SHARED = 0.01  # of the documents have the vector of another text
APART, CHANCE = 0.75, 0.01  # AUC and p of two domains
STRANGE = 0.95  # probability of being of the new domain
SEEN = 0.01  # of the queries that nearly repeat one of another split
TRUST = 0.1  # expected calibration error

CURES: Mapping[str, Callable[[NDArray[np.float32]], Affine]] = {
    "centring": centring,
    "all-but-the-top": all_but_the_top,
    "whitening": whitening,
}

Vectors = NDArray[np.float32]


@dataclass(frozen=True)
class Diagnosis:
    """The findings, and, where they were tried, what each cure does to the task's metric."""

    findings: tuple[Finding, ...]
    cures: tuple[Check, ...] = ()

    @property
    def healthy(self) -> bool:
        return all(finding.state != "problem" for finding in self.findings)

    def to_json(self) -> dict[str, Any]:
        return {"findings": [vars(one) for one in self.findings], "cures": [one.to_json() for one in self.cures]}


def diagnose(
    encoder: Encoder,
    task: RetrievalTask,
    *,
    reference: Sequence[Document] | None = None,
    cure: bool = False,
    metric: str = "nDCG@10",
    seed: int = 0,
) -> Diagnosis:
    """Look at an encoder on the documents and queries of a task, and with `cure` try the cures on a copy of its vectors.

    `reference` are documents of the domain that it was chosen on: a shift between them and those of the task is looked for. At
    most 5,000 documents of each are looked at. An encoder that must learn is fitted on the documents. Raises InputError for a
    sparse encoder.
    """
    if encoder.sparse:
        raise InputError("sparse vectors have no such faults", mend="choose an encoder with dense vectors, such as minilm")
    if not (encoder.pretrained or encoder.__sklearn_is_fitted__()):
        encoder.fit_whole(task.documents)
    documents = _drawn(task.documents, seed)
    vectors = _encoded(encoder, documents)
    findings = [*_values(vectors), *_shape(vectors, seed), *_texts(encoder, documents, vectors), *_leaks(task)]
    if reference is not None:
        findings += _domain(_encoded(encoder, _drawn(reference, seed)), vectors, documents, seed)
    cures: list[Check] = []
    if not task.synthetic or cure:
        everything = vectors if len(documents) == len(task.documents) else _encoded(encoder, task.documents)
        queries = np.asarray(encoder.encode_query([query.text for query in task.queries]), np.float32)
        found = _Ranked.of(everything, queries, task, encoder.similarity)
        findings += _calibration(found, task) if not task.synthetic else []
        if cure:
            before = found.values(metric, task)
            for name, learn in CURES.items():
                made = learn(everything)
                after = _Ranked.of(made(everything), made(queries), task, encoder.similarity).values(metric, task)
                cures.append(check_means(f"{metric} with {name}", before, after, groups=task.groups, seed=seed))
    return Diagnosis(tuple(findings), tuple(cures))


# What is looked at ----------------------------------------------------------------------------------------------------


def _finding(about: str, good: bool, value: str, threshold: str, cause: str, mend: str) -> Finding:
    return Finding(about, "ok" if good else "problem", value, "" if good else mend, threshold, "" if good else cause)


def _values(vectors: Vectors) -> Iterator[Finding]:
    odd = geometry.odd_norms(vectors)
    zero = int((~vectors.any(axis=1)).sum())
    yield _finding(
        "lengths",
        len(odd) <= 0.01 * len(vectors) and zero == 0,
        f"{len(odd):,} of {len(vectors):,} are odd, {zero:,} are zero",
        "1 % odd, none zero",
        "texts without a word that the model knows, or a few items that outshout the others",
        "look at these items; use cosine, or encode with normalize_embeddings=True",
    )
    dead = geometry.dead_dimensions(vectors)
    yield _finding(
        "dimensions",
        len(dead) == 0,
        f"{len(dead):,} of {vectors.shape[1]:,} hardly vary",
        "none",
        "units that died in training, or columns that were filled up",
        "train with a lower learning rate, or cut them off: they cost memory and say nothing",
    )


def _shape(vectors: Vectors, seed: int) -> Iterator[Finding]:
    cone = geometry.mean_cosine(vectors)
    cure = "centring, all-but-the-top or whitening: --fix measures them on your task"
    collapsed = cone > COLLAPSED
    yield _finding(
        "direction",
        cone < CONE,
        f"mean cosine of two documents {cone:.3f}",
        f"under {CONE}",
        "the training collapsed: all texts get one vector" if collapsed else "anisotropy: vectors share a direction",
        "go back to weights before the collapse, and train with a lower learning rate" if collapsed else cure,
    )
    shape = geometry.spectrum(vectors, centred=True)
    share = shape.effective_rank / min(vectors.shape)
    top = float(shape.shares[:3].sum())
    yield _finding(
        "rank",
        share > FLAT,
        f"effective rank {shape.effective_rank:.0f} of {vectors.shape[1]}, the top three directions hold {top:.0%}",
        f"over {FLAT:.0%}",
        "few directions carry everything",
        f"{cure}; fewer dimensions would do as well",
    )
    hubs = geometry.hubness(vectors, k=min(10, len(vectors) - 1), seed=seed)
    yield _finding(
        "hubs",
        hubs.skewness < HUBS,
        f"skewness of being a neighbour {hubs.skewness:.2f}; 1 % of documents take {hubs.top_share:.0%} of all places, "
        f"{hubs.orphans:.0%} are never found",
        f"under {HUBS:g}",
        "hubs: a few documents are near everything",
        cure,
    )


def _texts(encoder: Encoder, documents: Sequence[Document], vectors: Vectors) -> Iterator[Finding]:
    cut = encoder.truncation(documents)
    if cut is not None:
        yield _finding(
            "length limit",
            cut.share <= CUT,
            f"{cut.share:.1%} of all tokens lie beyond the limit of {cut.limit}; {cut.items_cut:,} documents are cut",
            f"{CUT:.0%}",
            "documents are longer than the model reads: the rest is never found",
            "cut them: vicino compare DATA --with ... on passages, or ingest --chunk passage",
        )
    pairs = near_duplicates([document.content for document in documents], threshold=0.9)
    twice = len(np.unique(pairs[:, 1])) if len(pairs) else 0
    yield _finding(
        "duplicates",
        twice <= TWICE * len(documents),
        f"{twice:,} of {len(documents):,} documents nearly repeat another",
        f"{TWICE:.0%}",
        "the same text under several ids: it fills the first places",
        "remove them before you ingest (vicino.data.near_duplicates)",
    )
    _, which, times = np.unique(vectors, axis=0, return_inverse=True, return_counts=True)
    texts = np.unique([document.content for document in documents], return_inverse=True)[1]
    distinct = np.bincount(np.unique(np.stack([which.ravel(), texts.ravel()]), axis=1)[0], minlength=len(times))
    shared = int(times[distinct > 1].sum())
    yield _finding(
        "one vector",
        shared <= SHARED * len(documents),
        f"{shared:,} of {len(documents):,} documents have the vector of another text",
        f"{SHARED:.0%}",
        "texts that begin alike and were cut, or words that the model does not know",
        "cut documents shorter, or choose a model that knows their words",
    )


def _leaks(task: RetrievalTask) -> Iterator[Finding]:
    """Queries whose relevant documents are relevant in the train split too."""
    if not task.train:
        return
    known = {name for grades in task.train.values() for name, grade in grades.items() if grade > 0}
    seen = sum(any(grade > 0 and name in known for name, grade in row.items()) for row in task.rows)
    yield _finding(
        "leakage",
        seen <= SEEN * len(task.queries),
        f"{seen:,} of {len(task.queries):,} queries have an answer that is an answer in the train split",
        f"{SEEN:.0%}",
        "a model that was trained on it remembers: its score says nothing of new questions",
        "report the clean queries beside all (vicino train gives such answers away)",
    )


def _domain(before: Vectors, now: Vectors, documents: Sequence[Document], seed: int) -> Iterator[Finding]:
    found = classifier_shift(before, now, seed=seed)
    mmd = mmd_shift(before, now, seed=seed)
    strange = np.argsort(-found.scores)[: int((found.scores > STRANGE).sum())]
    named = ", ".join(documents[row].id for row in strange[:5])
    yield _finding(
        "domain",
        found.distance < APART or found.p > CHANCE,
        f"a classifier tells it from the reference with AUC {found.distance:.3f} (p {found.p:.1g}; MMD p {mmd.p:.1g}); "
        f"{len(strange):,} of {len(now):,} documents are out of the old domain" + (f", such as {named}" if named else ""),
        f"AUC under {APART}, or p over {CHANCE}",
        "the data moved since the model was chosen",
        "choose again on the new data: vicino compare DATA; or train on it: vicino train text",
    )


def _calibration(found: _Ranked, task: RetrievalTask) -> Iterator[Finding]:
    """Whether one score means one thing: learnt from half of the queries, looked at on the others."""
    scores = found.scores[:, :10].astype(np.float64)
    told = np.array(
        [[row.get(name, 0) > 0 for name in ids] for ids, row in zip(found.ids[:, :10].tolist(), task.rows, strict=True)],
        np.float64,
    )
    half = np.arange(len(scores)) % 2 == 0
    sides = [(scores[side].ravel(), told[side].ravel()) for side in (half, ~half)]
    if any(not 0 < truth.sum() < len(truth) for _, truth in sides):
        return
    plain = reliability(calibrate(*sides[0])(sides[1][0]), sides[1][1])
    cut = threshold_for(*sides[0], 0.9)
    where = (
        "no score gives a precision of 90 %" if cut is None else f"from {cut[0]:.3f} on 90 % are relevant (recall {cut[1]:.0%})"
    )
    yield _finding(
        "scores",
        plain.error < TRUST,
        f"calibrated on half of the queries, off by {plain.error:.3f} on the others; {where}",
        f"under {TRUST}",
        "the same score means relevant for one query and not for another",
        "do not cut by score; rerank (vicino search --rerank), whose scores mean more",
    )


# How ------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Ranked:
    """The ten best documents of each query."""

    ids: NDArray[np.object_]
    scores: NDArray[np.float32]

    @classmethod
    def of(cls, documents: Vectors, queries: Vectors, task: RetrievalTask, similarity: Any) -> _Ranked:
        index = Exact(similarity=similarity).build(documents, [document.id for document in task.documents])
        hits = index.search(queries, min(10, len(documents)))
        return cls(hits.ids, hits.scores)

    def values(self, metric: str, task: RetrievalTask) -> NDArray[np.float64]:
        return metrics.parse(metric)(judge(self.ids, task.rows))


def _encoded(encoder: Encoder, documents: Sequence[Document]) -> Vectors:
    return np.asarray(encoder.encode_document(list(documents)), np.float32)


def _drawn(documents: Sequence[Document], seed: int) -> Sequence[Document]:
    if len(documents) <= SAMPLE:
        return documents
    rows = np.sort(np.random.default_rng(seed).choice(len(documents), SAMPLE, replace=False))
    return [documents[row] for row in rows.tolist()]
