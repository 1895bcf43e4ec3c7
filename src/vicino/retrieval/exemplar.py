"""Exemplar scoring: not what is nearest to the query, but what a classifier of it against the whole collection ranks first.

The positive is the query itself, as its encoder sees it: for a question, the vector of its text, which lies near its answers and
is none of them; for "more like this", a document's own. Every document counts as a negative, those that answer the query too,
which is why their cost is kept soft. What all documents share then counts against a document, and what sets the query apart
counts for it. Malisiewicz, Gupta and Efros 2011 (the SVM), Hariharan, Malik and Ramanan 2012 (its closed form).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from vicino import artifacts, progress
from vicino.data.records import Document, Hits
from vicino.errors import ArtifactCorrupt, InputError
from vicino.indexes import Index
from vicino.indexes.exact import Exact
from vicino.indexes.rescored import Rescored
from vicino.learning.exemplar import Moments, lda, svm
from vicino.learning.isotropy import Affine
from vicino.retrieval.base import Retriever
from vicino.retrieval.dense import Dense
from vicino.retrieval.wrapping import Wrapping

__all__ = ["Exemplar", "ExemplarLDA", "ExemplarSVM"]

_HARDEST = 3  # documents that an explanation names

Float32 = NDArray[np.float32]
Told = dict[str, Any]


class Exemplar(Wrapping):
    """`parts` is one dense retriever. A method writes `_weigh`: a query's positives -> the direction to rank by.

    Scores are the cosine (of a "dot" space: the product) of a document with that direction, whatever its length. `feedback`
    documents, the nearest, count as positives too: pseudo-relevance feedback (Rocchio 1971).

    Raises InputError for what has no vectors to weigh: BM25, sparse vectors, distances, an index that keeps none.
    """

    method: ClassVar[str]
    feedback: int
    moments_: Moments | None = None

    @property
    def _dense(self) -> Dense:
        inner = self.inner
        if not isinstance(inner, Dense):
            raise InputError(
                f"{inner.family} has no vectors for an exemplar to weigh", mend=f"name an encoder: minilm:{self.method}"
            )
        return inner

    def _require_sound(self) -> None:
        super()._require_sound()
        self._dense  # noqa: B018 - for its error
        if self.feedback < 0:
            raise InputError(f"feedback is {self.feedback}", mend="give 0 or more documents")

    @classmethod
    def of_built(cls, parts: Sequence[Retriever], documents: Sequence[Document], **params: Any) -> Exemplar:  # noqa: ARG003
        """Over a dense retriever that holds these documents already."""
        made = cls.of(parts=parts, **params)
        made._require_sound()
        made._take_up()
        made._counted()
        return made

    def _build(self, documents: Sequence[Document]) -> None:
        self._require_sound()
        self.inner.build(documents)
        self._take_up()
        self._counted()

    def _take_up(self) -> None:
        super()._take_up()
        self.moments_ = None  # of what came and went is counted anew when somebody asks

    def _vectors(self) -> Float32:
        index = self._dense._require_index()
        vectors = _kept(index)
        if vectors is None or index.similarity not in ("cosine", "dot"):
            raise InputError(
                f"an exemplar weighs every vector, and the index {index.family!r} by {index.similarity} of "
                f"{self._dense.encoder} does not give them",
                mend="leave the index out, and choose an encoder of dense vectors, such as lsa or minilm",
            )
        return vectors

    def _counted(self) -> Moments:
        if self.moments_ is None:
            self.moments_ = Moments.of(self._vectors())
        return self.moments_

    @abstractmethod
    def _weigh(self, positives: Float32, rows: NDArray[np.int64], moments: Moments) -> tuple[NDArray[Any], Told]:
        """The direction (d,) of positives (p, d), of which all but the first are the documents `rows`; and what is told of it."""

    # Searching --------------------------------------------------------------------------------------------------------

    def _search(self, queries: list[str], k: int, explain: bool, allow: Collection[str] | None) -> Hits:
        dense, index, moments = self._dense, self._dense._require_index(), self._counted()
        vectors = index._check(dense.encoder_.encode_query(queries), index.dim_)
        weighed = np.empty_like(vectors)
        told: list[Told] = []
        for row in progress.track(range(len(queries)), f"Weighing by {self.method}", unit="queries"):
            near = index.search(vectors[[row]], self.feedback) if self.feedback else None
            rows = np.empty(0, np.int64) if near is None else index._rows(frozenset(name for name, _ in near.top()))
            weighed[row], more = self._weigh(np.vstack([vectors[[row]], self._vectors()[rows]]), rows, moments)
            told.append(more)
        hits = index.search(weighed, k, allow=allow)
        how = f"{self.method} against {moments.n:,}; {hits.how}"
        if not explain:
            return replace(hits, how=how)
        why = [dense._explain(row, weighed[[row]], hits) for row in range(len(hits))]
        reasons = []
        for row, own in enumerate(why):
            places = [int(index._rows(frozenset([name]))[0]) for name, _ in hits.top(row)]
            nearness = (self._vectors()[places] @ vectors[row]).tolist()
            reasons.append([{**one, "weighs": {**told[row], "nearness": near}} for one, near in zip(own, nearness, strict=True)])
        return replace(hits, why=reasons, how=how)

    # Kept -------------------------------------------------------------------------------------------------------------

    @property
    def nbytes(self) -> int:
        return self.inner.nbytes + self._counted().second.nbytes

    def _write(self, folder: Path) -> None:
        moments = self._counted()
        arrays = {"mean": moments.mean, "second": moments.second}
        artifacts.write(folder, kind="retriever", data=self._data(), arrays=arrays, parts={"part-0": self.inner.save})

    @classmethod
    def _from_artifact(cls, saved: artifacts.Artifact) -> Exemplar:
        made = cls._reopened(saved)
        made.ids_ = made.inner._require_built()
        moments = Moments(len(made.ids_), saved.arrays["mean"], saved.arrays["second"])
        if moments.second.shape != (made._vectors().shape[1],) * 2:
            raise ArtifactCorrupt(f"{saved.path} is damaged: it was counted over other vectors", mend="make it again")
        made.moments_ = moments
        return made


class ExemplarSVM(Exemplar):
    """A linear SVM of the query against every document: `vicino.learning.exemplar.svm`, with its `C` and `balanced`.

    An explanation says how many documents push back ("active"), the hardest of them with what they weigh, and what the query
    weighs ("query").
    """

    family: ClassVar[str] = "exemplar-svm"
    method: ClassVar[str] = "svm"

    def __init__(
        self,
        *,
        parts: Sequence[Retriever],
        C: float = 0.1,
        balanced: bool = True,
        feedback: int = 0,
    ) -> None:
        self.parts = parts
        self.C = C
        self.balanced = balanced
        self.feedback = feedback

    def _require_sound(self) -> None:
        super()._require_sound()
        if not (self.C > 0 and np.isfinite(self.C)):
            raise InputError(f"C is {self.C!r}", mend="give a number above 0, such as 0.1")

    def _weigh(self, positives: Float32, rows: NDArray[np.int64], moments: Moments) -> tuple[NDArray[Any], Told]:
        if len(rows) >= moments.n:  # everything was called relevant: nothing is left to set it apart from
            return positives.mean(axis=0), {"method": self.method, "active": 0, "query": 0.0, "hardest": []}
        made = svm(self._vectors(), positives, C=self.C, balanced=self.balanced, without=rows, moments=moments)
        ids = self._dense._require_index()._require_built()
        order = np.argsort(-made.duals, kind="stable")[:_HARDEST]
        hardest = [[str(ids[made.active[at]]), float(made.duals[at])] for at in order]
        return made.weights, {
            "method": self.method,
            "active": len(made.active),
            "query": float(made.pulls[0]),
            "hardest": hardest,
        }


class ExemplarLDA(Exemplar):
    """Fisher's discriminant of the query against every document: `vicino.learning.exemplar.lda`, with its `shrinkage`.

    The covariance is counted once, when documents come in; a query then costs hardly more than without.
    """

    family: ClassVar[str] = "exemplar-lda"
    method: ClassVar[str] = "lda"
    _made_of: Moments | None = None
    _map: Affine

    def __init__(self, *, parts: Sequence[Retriever], shrinkage: float = 0.1, feedback: int = 0) -> None:
        self.parts = parts
        self.shrinkage = shrinkage
        self.feedback = feedback

    def _require_sound(self) -> None:
        super()._require_sound()
        if not 0 <= self.shrinkage <= 1:
            raise InputError(f"shrinkage is {self.shrinkage}", mend="give a number from 0 to 1, such as 0.1")

    def _weigh(self, positives: Float32, rows: NDArray[np.int64], moments: Moments) -> tuple[NDArray[Any], Told]:  # noqa: ARG002
        if self._made_of is not moments:
            self._made_of, self._map = moments, lda(moments, shrinkage=self.shrinkage)
        return self._map(positives.mean(axis=0, keepdims=True))[0], {
            "method": self.method,
            "documents": moments.n,
            "shrinkage": self.shrinkage,
        }


def _kept(index: Index) -> Float32 | None:
    """The (n, d) float32 vectors that an index holds, where it holds them as they are."""
    found = index.vectors_ if isinstance(index, Exact) else index.kept_.values if isinstance(index, Rescored) else None
    return found if isinstance(found, np.ndarray) and found.dtype == np.float32 else None
