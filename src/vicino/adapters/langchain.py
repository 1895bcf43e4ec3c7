"""LangChain: `VicinoEmbeddings`, `VicinoRetriever` and `VicinoReranker`, answered by `vicino serve`. Extra: `vicino[langchain]`.

>>> from vicino import Client
>>> VicinoRetriever(client=Client("http://127.0.0.1:8765"), collection="docs", k=3).k  # nothing is asked yet
3

Asynchronous methods are LangChain's own: the same calls, in its threads.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from vicino.adapters import described
from vicino.client import Client
from vicino.errors import MissingExtra

try:
    from langchain_core.callbacks import CallbackManagerForRetrieverRun, Callbacks
    from langchain_core.documents import BaseDocumentCompressor, Document
    from langchain_core.embeddings import Embeddings
    from langchain_core.retrievers import BaseRetriever
    from pydantic import ConfigDict, Field
except ImportError as error:
    raise MissingExtra.named("langchain", needed_by="the adapters for LangChain") from error

__all__ = ["VicinoEmbeddings", "VicinoReranker", "VicinoRetriever"]


class VicinoEmbeddings(Embeddings):
    """Vectors of texts; a query is encoded as one, where the model tells queries and documents apart.

    `model` is by default the first encoder that is served. Raises what `Client.embed` raises.
    """

    def __init__(self, client: Client | None = None, *, model: str | None = None, dimensions: int | None = None) -> None:
        self.client, self.model, self.dimensions = client or Client(), model, dimensions

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """(n, dim) numbers."""
        if not texts:
            return []
        vectors = self.client.embed(texts, model=self.model, kind="document", dimensions=self.dimensions)
        rows: list[list[float]] = vectors.tolist()
        return rows

    def embed_query(self, text: str) -> list[float]:
        """(dim,) numbers."""
        row: list[float] = self.client.embed(text, model=self.model, kind="query", dimensions=self.dimensions).tolist()
        return row


class VicinoRetriever(BaseRetriever):
    """The k best documents of a collection: `page_content` is the best passage, `id` the document's.

    `options` are those of `Client.search`: `where`, `mode`, `weight`, `rerank` ... Raises what that raises.
    """

    client: Client = Field(default_factory=Client)
    collection: str
    k: int = 10
    options: Mapping[str, Any] = Field(default_factory=dict)

    def _get_relevant_documents(self, query: str, *, run_manager: CallbackManagerForRetrieverRun) -> list[Document]:  # noqa: ARG002
        found = self.client.search(self.collection, query, self.k, **self.options)
        return [
            Document(page_content=one.text, id=one.document, metadata={"score": one.score, **described(one)}) for one in found
        ]


class VicinoReranker(BaseDocumentCompressor):
    """Documents in the order of how well they answer, the first `top_n`; `relevance_score` is put into their metadata.

    `model` is by default the first reranker that is served. Raises what `Client.rerank` raises.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    client: Client = Field(default_factory=Client)
    model: str | None = None
    top_n: int | None = None

    def compress_documents(
        self,
        documents: Sequence[Document],
        query: str,
        callbacks: Callbacks | None = None,  # noqa: ARG002
    ) -> Sequence[Document]:
        """New documents; those that were given stay as they are."""
        if not documents:
            return []
        ranked = self.client.rerank(query, [one.page_content for one in documents], model=self.model, top_n=self.top_n)
        return [_scored(documents[one.index], one.score) for one in ranked]


def _scored(document: Document, score: float) -> Document:
    return document.model_copy(update={"metadata": {**document.metadata, "relevance_score": score}})
