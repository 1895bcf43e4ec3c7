"""Documents with an encoder's vectors, ranked exactly: what training measures with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from vicino import metrics
from vicino.data.records import Document, Hits, Query
from vicino.evaluation.tasks import RetrievalTask
from vicino.indexes.exact import Exact
from vicino.metrics.ranking import judge
from vicino.spaces import Space

__all__ = ["METRIC", "Embeds", "Searchable", "values"]

METRIC = "nDCG@10"


class Embeds(Protocol):
    """What makes vectors of documents and of questions: any encoder of text, or a network that is about to be one."""

    @property
    def space(self) -> Space:
        """Whose similarity ranks."""

    def encode_document(self, items: list[str], /, *, normalize_embeddings: bool) -> NDArray[np.float32]:
        """(n, d)."""

    def encode_query(self, items: list[str], /, *, normalize_embeddings: bool) -> NDArray[np.float32]:
        """(n, d)."""


class Searchable:
    """Documents, their `vectors` (n, d), and the k nearest of them for questions, by the similarity of the encoder's space.

    Where that is the cosine, all vectors have length one.
    """

    def __init__(self, encoder: Embeds, documents: Sequence[Document]) -> None:
        self.encoder, self.documents = encoder, documents
        self._unit = encoder.space.similarity == "cosine"
        self.vectors = encoder.encode_document([one.content for one in documents], normalize_embeddings=self._unit)
        self.index = Exact(similarity=encoder.space.similarity).build(self.vectors, [one.id for one in documents])

    def asked(self, queries: Sequence[Query]) -> NDArray[np.float32]:
        """The vectors of questions, (q, d)."""
        return self.encoder.encode_query([one.text for one in queries], normalize_embeddings=self._unit)

    def search(self, queries: Sequence[Query], k: int) -> Hits:
        """The k nearest documents of each question."""
        return self.index.search(self.asked(queries), k)


def values(hits: Hits, task: RetrievalTask) -> NDArray[np.float64]:
    """The metric of each question, (q,)."""
    return np.asarray(metrics.parse(METRIC)(judge(hits.ids, task.rows)), dtype=np.float64)
