"""LlamaIndex: `VicinoEmbedding`, `VicinoRetriever`, `VicinoReranker`, answered by `vicino serve`. Extra: `vicino[llama-index]`.

>>> from vicino import Client
>>> VicinoRetriever("docs", client=Client("http://127.0.0.1:8765"), k=3).k  # nothing is asked yet
3
"""

from __future__ import annotations

import asyncio
from typing import Any

from vicino.adapters import described
from vicino.client import Client
from vicino.errors import InputError, MissingExtra

try:
    from llama_index.core.base.embeddings.base import BaseEmbedding
    from llama_index.core.bridge.pydantic import Field, PrivateAttr
    from llama_index.core.postprocessor.types import BaseNodePostprocessor
    from llama_index.core.retrievers import BaseRetriever
    from llama_index.core.schema import MetadataMode, NodeWithScore, QueryBundle, TextNode
except ImportError as error:
    raise MissingExtra.named("llama-index", needed_by="the adapters for LlamaIndex") from error

__all__ = ["VicinoEmbedding", "VicinoReranker", "VicinoRetriever"]


class VicinoEmbedding(BaseEmbedding):
    """Vectors of texts; a query is encoded as one, where the model tells queries and documents apart.

    `model_name` is by default the first encoder that is served. Raises what `Client.embed` raises.
    """

    model_name: str = Field("", description="A name of /v1/models.")
    embed_batch_size: int = Field(256, gt=0, le=2048, description="Texts of one request.")
    dimensions: int | None = None
    _client: Client = PrivateAttr()

    def __init__(self, client: Client | None = None, **fields: Any) -> None:
        super().__init__(**fields)
        self._client = client or Client()

    @classmethod
    def class_name(cls) -> str:
        """The name under which LlamaIndex writes it down."""
        return "VicinoEmbedding"

    def _get_query_embedding(self, query: str) -> list[float]:
        row: list[float] = self._client.embed(
            query, model=self.model_name or None, kind="query", dimensions=self.dimensions
        ).tolist()
        return row

    def _get_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        rows: list[list[float]] = self._client.embed(
            texts, model=self.model_name or None, kind="document", dimensions=self.dimensions
        ).tolist()
        return rows

    def _get_text_embedding(self, text: str) -> list[float]:
        return self._get_text_embeddings([text])[0]

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return await asyncio.to_thread(self._get_query_embedding, query)

    async def _aget_text_embedding(self, text: str) -> list[float]:
        return await asyncio.to_thread(self._get_text_embedding, text)

    async def _aget_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        return await asyncio.to_thread(self._get_text_embeddings, texts)


class VicinoRetriever(BaseRetriever):
    """The k best documents of a collection, each as a node of its best passage; the node's id is the document's.

    `options` are those of `Client.search`: `where`, `mode`, `weight`, `rerank` ... Raises what that raises.
    """

    def __init__(self, collection: str, *, client: Client | None = None, k: int = 10, **options: Any) -> None:
        super().__init__()
        self.collection, self.client, self.k, self.options = collection, client or Client(), k, options

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        found = self.client.search(self.collection, query_bundle.query_str, self.k, **self.options)
        return [
            NodeWithScore(node=TextNode(id_=one.document, text=one.text, metadata=described(one)), score=one.score)
            for one in found
        ]

    async def _aretrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        return await asyncio.to_thread(self._retrieve, query_bundle)


class VicinoReranker(BaseNodePostprocessor):
    """Nodes in the order of how well they answer, the first `top_n`, with the reranker's scores.

    `model` is by default the first reranker that is served. Raises InputError without a query, and what `Client.rerank` raises.
    """

    model: str | None = None
    top_n: int | None = None
    _client: Client = PrivateAttr()

    def __init__(self, client: Client | None = None, **fields: Any) -> None:
        super().__init__(**fields)
        self._client = client or Client()

    @classmethod
    def class_name(cls) -> str:
        """The name under which LlamaIndex writes it down."""
        return "VicinoReranker"

    def _postprocess_nodes(self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None) -> list[NodeWithScore]:
        if query_bundle is None:
            raise InputError("nodes are ranked for a query, and there is none", mend="give query_str=")
        if not nodes:
            return []
        texts = [one.node.get_content(metadata_mode=MetadataMode.NONE) for one in nodes]
        ranked = self._client.rerank(query_bundle.query_str, texts, model=self.model, top_n=self.top_n)
        return [NodeWithScore(node=nodes[one.index].node, score=one.score) for one in ranked]
