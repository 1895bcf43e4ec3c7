"""Haystack: embedders, a retriever and a ranker, answered by `vicino serve`. Extra: `vicino[haystack]`.

>>> VicinoRetriever("docs", url="http://127.0.0.1:8765", top_k=3).top_k  # nothing is asked yet
3

They can be written into a pipeline's YAML: a key is named by its environment variable, and never written. Haystack reads only
modules that it is told to trust: `Pipeline.loads(text, allowed_modules=["vicino.adapters.haystack"])`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from vicino.adapters import described
from vicino.client import Client
from vicino.errors import MissingExtra

try:
    from haystack import Document, component, default_from_dict, default_to_dict
    from haystack.utils import Secret
except ImportError as error:
    raise MissingExtra.named("haystack", needed_by="the adapters for Haystack") from error

__all__ = ["VicinoDocumentEmbedder", "VicinoRanker", "VicinoRetriever", "VicinoTextEmbedder"]


def _key() -> Secret:
    return Secret.from_env_var("VICINO_API_KEY", strict=False)


class _Asking:
    """What the components share: a server, and how they are written down.

    They name it instead of `super()`: `@component` makes another class of each.
    """

    def __init__(self, url: str | None, api_key: Secret | None, **params: Any) -> None:
        self.url, self.api_key, self._params = url, api_key or _key(), params
        self.client = Client(url, key=self.api_key.resolve_value() or "")

    def to_dict(self) -> dict[str, Any]:
        """Plain data of which `from_dict` makes the same."""
        plain: dict[str, Any] = default_to_dict(self, url=self.url, api_key=self.api_key.to_dict(), **self._params)
        return plain

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Any:
        """The component that `to_dict` wrote."""
        given = data["init_parameters"]
        key = given.get("api_key")
        if isinstance(key, Mapping):
            data = {**data, "init_parameters": {**given, "api_key": Secret.from_dict(dict(key))}}
        return default_from_dict(cls, data)


@component
class VicinoTextEmbedder(_Asking):
    """The vector of a query. `model` is by default the first encoder that is served. Raises what `Client.embed` raises."""

    def __init__(
        self,
        url: str | None = None,
        *,
        api_key: Secret | None = None,
        model: str | None = None,
        dimensions: int | None = None,
    ) -> None:
        _Asking.__init__(self, url, api_key, model=model, dimensions=dimensions)
        self.model, self.dimensions = model, dimensions

    @component.output_types(embedding=list[float])
    def run(self, text: str) -> dict[str, Any]:
        """`embedding`: (dim,) numbers."""
        vector = self.client.embed(text, model=self.model, kind="query", dimensions=self.dimensions)
        return {"embedding": vector.tolist()}


@component
class VicinoDocumentEmbedder(_Asking):
    """Documents with their vectors. `meta_fields_to_embed` are put before the content, a line each.

    `model` is by default the first encoder that is served. Raises what `Client.embed` raises.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        api_key: Secret | None = None,
        model: str | None = None,
        dimensions: int | None = None,
        meta_fields_to_embed: list[str] | None = None,
    ) -> None:
        _Asking.__init__(self, url, api_key, model=model, dimensions=dimensions, meta_fields_to_embed=meta_fields_to_embed)
        self.model, self.dimensions, self.fields = model, dimensions, meta_fields_to_embed or []

    @component.output_types(documents=list[Document])
    def run(self, documents: list[Document]) -> dict[str, Any]:
        """`documents`: new ones, in the same order, each with an `embedding`."""
        if not documents:
            return {"documents": []}
        texts = [self._text(one) for one in documents]
        vectors = self.client.embed(texts, model=self.model, kind="document", dimensions=self.dimensions)
        made = [replace(one, embedding=vector.tolist()) for one, vector in zip(documents, vectors, strict=True)]
        return {"documents": made}

    def _text(self, document: Document) -> str:
        before = [str(document.meta[name]) for name in self.fields if document.meta.get(name) is not None]
        return "\n".join([*before, document.content or ""])


@component
class VicinoRetriever(_Asking):
    """The `top_k` best documents of a collection, each as its best passage.

    `options` are those of `Client.search`: `where`, `mode`, `weight`, `rerank` ... Raises what that raises.
    """

    def __init__(
        self,
        collection: str,
        *,
        url: str | None = None,
        api_key: Secret | None = None,
        top_k: int = 10,
        options: dict[str, Any] | None = None,
    ) -> None:
        _Asking.__init__(self, url, api_key, collection=collection, top_k=top_k, options=options)
        self.collection, self.top_k, self.options = collection, top_k, options or {}

    @component.output_types(documents=list[Document])
    def run(self, query: str, top_k: int | None = None, where: str | None = None) -> dict[str, Any]:
        """`documents`, best first, with scores; `where` is a filter such as "lang = 'en'"."""
        options = {**self.options, **({} if where is None else {"where": where})}
        found = self.client.search(self.collection, query, self.top_k if top_k is None else top_k, **options)
        documents = [
            Document(
                id=f"{one.source}/{one.document}",
                content=one.text,
                score=one.score,
                meta={"document": one.document, **described(one)},
            )
            for one in found
        ]
        return {"documents": documents}


@component
class VicinoRanker(_Asking):
    """Documents in the order of how well they answer, the first `top_k`.

    `model` is by default the first reranker that is served. Raises what `Client.rerank` raises.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        api_key: Secret | None = None,
        model: str | None = None,
        top_k: int | None = None,
    ) -> None:
        _Asking.__init__(self, url, api_key, model=model, top_k=top_k)
        self.model, self.top_k = model, top_k

    @component.output_types(documents=list[Document])
    def run(self, query: str, documents: list[Document], top_k: int | None = None) -> dict[str, Any]:
        """`documents`, best first, with the reranker's scores."""
        if not documents:
            return {"documents": []}
        ranked = self.client.rerank(query, [one.content or "" for one in documents], model=self.model, top_n=top_k or self.top_k)
        return {"documents": [replace(documents[one.index], score=one.score) for one in ranked]}
