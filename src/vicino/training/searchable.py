"""Documents with an encoder's vectors, ranked exactly: what training measures with."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vicino.data.records import Document, Hits, Query
from vicino.encoders.base import Encoder
from vicino.indexes.exact import Exact

__all__ = ["Searchable"]


class Searchable:
    """Documents, their `vectors` (n, d), and the k nearest of them for questions, by the similarity of the encoder's space.

    Where that is the cosine, all vectors have length one.
    """

    def __init__(self, encoder: Encoder, documents: Sequence[Document]) -> None:
        self.encoder, self.documents = encoder, documents
        self._unit = encoder.space.similarity == "cosine"
        self.vectors = encoder.encode_document([one.content for one in documents], normalize_embeddings=self._unit)
        self.index = Exact(similarity=encoder.space.similarity).build(self.vectors, [one.id for one in documents])

    def asked(self, queries: Sequence[Query]) -> NDArray[np.float32]:
        """The vectors of questions, (q, d)."""
        found: NDArray[np.float32] = self.encoder.encode_query([one.text for one in queries], normalize_embeddings=self._unit)
        return found

    def search(self, queries: Sequence[Query], k: int) -> Hits:
        """The k nearest documents of each question."""
        return self.index.search(self.asked(queries), k)
