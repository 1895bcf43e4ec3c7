"""A client of `vicino serve`: `vicino.Client()`. It needs nothing beside numpy, and may be used from several threads.

>>> from vicino import Client
>>> client = Client("http://127.0.0.1:8765")  # nothing is asked yet
>>> client
Client('http://127.0.0.1:8765')

`client.embed(["wings lift"])`, `client.search("docs", "how do wings lift?")`, `client.ingest("docs", documents)`.
"""

from __future__ import annotations

import base64
import os
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from vicino import progress
from vicino.client.results import Answer, Ranked, Result
from vicino.client.sending import Sender, ServerError, as_json, path
from vicino.data.records import Document
from vicino.errors import EmptyInput, InputError

__all__ = ["Answer", "Client", "Ranked", "Result", "ServerError"]

_TEXTS = 512  # of one request
_BYTES = 4 << 20  # of one request, as JSON; a server takes 16 MiB unless told otherwise
_RUNNING = 600.0  # seconds to wait for the end of a request whose answer broke off
_ADDED = (  # of the summaries of an ingest in several requests
    *("documents", "new", "changed", "unchanged", "removed", "kept_back", "unsure", "stale", "passages", "embedded", "reused"),
    *("tokens", "tokens_cut", "seconds", "encoding_seconds"),
)


class Client:
    """The verbs of one server.

    `url` is by default VICINO_URL, else http://127.0.0.1:8765; `key` is VICINO_API_KEY, else none: it travels over TLS or to this
    machine only, unless `allow_http`. `timeout` is in seconds for one answer. What is refused for a while (429, 502 to 504) or
    breaks off is asked again, up to `retries` times. Every method raises UnknownName (404), InputTooLarge (413), InputError for
    what else is wrong with what was asked, and ServerError where the server failed, was not there, or wants another key.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        key: str | None = None,
        timeout: float = 60.0,
        retries: int = 4,
        allow_http: bool = False,
    ) -> None:
        address = url or os.environ.get("VICINO_URL") or "http://127.0.0.1:8765"
        secret = os.environ.get("VICINO_API_KEY", "") if key is None else key
        self._sender = Sender(address, key=secret, timeout=timeout, retries=retries, allow_http=allow_http)

    def __repr__(self) -> str:
        return f"Client({self._sender.url!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the connections; the next request opens one again."""
        self._sender.close()

    # Models -----------------------------------------------------------------------------------------------------------

    def models(self) -> list[dict[str, Any]]:
        """The models that are served: `id`, `kind` ("encoder" or "reranker"), `dim`, `space` ..."""
        return list(self._sender.ask("GET", "/v1/models")["data"])

    def embed(
        self,
        texts: str | Iterable[str],
        *,
        model: str | None = None,
        kind: Literal["query", "document"] | None = None,
        dimensions: int | None = None,
        truncate: bool = False,
    ) -> NDArray[np.float32]:
        """The vectors of texts: (n, dim) float32 rows in their order, (dim,) for one str; sent in requests of bounded size.

        `model` is by default the first encoder that is served. `kind` matters to models with prompts or two towers. A text over
        the model's limit is refused, or with `truncate` loses its end. Raises EmptyInput for no texts.
        """
        single = isinstance(texts, str)
        asked = {"model": model or self._encoder(), "encoding_format": "base64", "truncate": truncate}
        asked |= {"input_type": kind} if kind else {}
        asked |= {"dimensions": dimensions} if dimensions else {}
        rows: list[NDArray[np.float32]] = []
        listed = [texts] if isinstance(texts, str) else texts
        with progress.task("embedding", total=len(listed) if isinstance(listed, Sequence) else None, unit="texts") as work:
            for some in _portions(listed, _size_of_text):
                data = self._sender.ask("POST", "/v1/embeddings", {**asked, "input": some})["data"]
                rows += [np.frombuffer(base64.b64decode(one["embedding"]), "<f4").astype(np.float32, copy=False) for one in data]
                work.advance(len(some))
        if not rows:
            raise EmptyInput("there are no texts", mend="give at least one")
        return rows[0].copy() if single else np.stack(rows)

    def rerank(self, query: str, documents: Sequence[str], *, model: str | None = None, top_n: int | None = None) -> list[Ranked]:
        """The documents' places, best first; `model` is by default the first reranker that is served, else the first encoder."""
        asked = {"query": query, "documents": list(documents), "model": model, "top_n": top_n}
        plain = self._sender.ask("POST", "/v1/rerank", {name: value for name, value in asked.items() if value is not None})
        return [Ranked(one["index"], one["relevance_score"]) for one in plain["results"]]

    def _encoder(self) -> str:
        for model in self.models():
            if model.get("kind") == "encoder":
                return str(model["id"])
        raise InputError("the server has no encoder", mend="start it with one: vicino serve --encoder minilm")

    # Collections ------------------------------------------------------------------------------------------------------

    def collections(self) -> list[dict[str, Any]]:
        """What is kept: `name`, `documents`, `passages`, `recipe`, `spaces`, `fields` ..."""
        return list(self._sender.ask("GET", "/api/collections")["collections"])

    def search(self, collection: str, query: str, k: int = 10, **options: Any) -> Answer:
        """The k best documents for a query, each with its best passage.

        `options` are those of POST /api/search: `offset`, `where` (a filter such as "lang = 'en' and year > 2020"), `mode`
        ("recipe", "lexical", "dense" or "hybrid"), `weight` (the share of dense, 0 to 1), `rerank` (a reranker that is served)
        and `depth`, `explain` (each result says why), `tenant`.
        """
        return Answer.from_json(self._sender.ask("POST", "/api/search", _search(collection, query, k, options)))

    def why_not(self, collection: str, query: str, document: str, k: int = 10, **options: Any) -> dict[str, Any]:
        """Why a document is not among the k best: its rank and state in each stage, and a verdict in words.

        `options` are those of `search`, and `source` where two sources have a document of that id.
        """
        asked = {**_search(collection, query, k, options), "document": document}
        return dict(self._sender.ask("POST", "/api/why-not", asked))

    def ingest(
        self,
        collection: str,
        documents: Iterable[Document | Mapping[str, Any]],
        *,
        source: str = "api",
        recipe: str | None = None,
        tenant: str | None = None,
        told: Callable[[Mapping[str, Any]], None] = lambda event: None,  # noqa: ARG005
    ) -> dict[str, Any]:
        """Add documents to a collection, or replace those of the same id and source; a new one is made by `recipe`.

        Documents are records or mappings with `id`, `text`, perhaps `title` and `metadata`; they are sent in requests of bounded
        size, each under a key of its own, so that one which broke off is repeated without harm. An encoder that must learn is
        taught by the first request (4 MiB). `told` hears what the server tells meanwhile. Returns the summary: `new`, `changed`,
        `unchanged`, `total_documents` ... What was acknowledged before an error stays. Raises EmptyInput for no documents.
        """
        where, summary = path("api", "collections", collection, "documents"), dict[str, Any]()
        fixed = {"source": source, "recipe": recipe, "tenant": tenant}
        fixed = {name: value for name, value in fixed.items() if value is not None}
        with progress.task("ingesting", unit="documents") as work:
            for some in _portions(map(_document, documents), len):
                data = as_json(fixed)[:-1] + b', "documents": [' + b", ".join(some) + b"]}"
                summary = _sum(summary, self._ingested(where, data, told))
                work.advance(len(some))
        if not summary:
            raise EmptyInput("there are no documents", mend="give at least one")
        return summary

    def _ingested(self, where: str, data: bytes, told: Callable[[Mapping[str, Any]], None]) -> Mapping[str, Any]:
        """One request's summary; where the answer breaks off, it is asked for again under the same key: nothing is done twice."""
        headers = {"Content-Type": "application/json", "Idempotency-Key": uuid.uuid4().hex}
        left, until = self._sender.retries, time.monotonic() + _RUNNING
        while True:
            try:
                for event in self._sender.events(where, data, headers):
                    told(event)
                    if event["event"] == "done":
                        summary: Mapping[str, Any] = event["summary"]
                        return summary
                raise ServerError(
                    "the server's answer ended too early", mend="send the same again: what is there is not repeated"
                )
            except ServerError as error:
                if error.code == "idempotency_running" and time.monotonic() < until:  # of the answer that broke off
                    time.sleep(1.0)
                elif error.status or not left:
                    raise
                else:
                    left -= 1

    def delete(
        self, collection: str, *, ids: Sequence[str] | None = None, where: str | None = None, **options: Any
    ) -> dict[str, Any]:
        """Remove documents by their ids, or by a filter; with both, those of both. `options` may hold `tenant`."""
        asked = {name: value for name, value in {"ids": ids, "where": where, **options}.items() if value is not None}
        return dict(self._sender.ask("DELETE", path("api", "collections", collection, "documents"), asked))

    def maintain(self, collection: str) -> dict[str, Any]:
        """Compact a collection and renew its indexes; searches go on meanwhile."""
        return dict(self._sender.ask("POST", path("api", "collections", collection, "maintain"), {}))

    # Evidence ---------------------------------------------------------------------------------------------------------

    def judge(self, collection: str, query: str, document: str, grade: int, **options: Any) -> str:
        """Keep that a document answers a query with a grade from 0 (not at all) to 3; the judgment's id.

        `options` are `source`, `rater`, `blind` and `configuration`. It is not repeated where the connection broke off.
        """
        asked = {"collection": collection, "query": query, "document": document, "grade": grade, **options}
        return str(self._sender.ask("POST", "/api/judgments", asked, again=False)["id"])

    def judgments(self, collection: str) -> list[dict[str, Any]]:
        """The judgments of a collection, oldest first."""
        found: list[dict[str, Any]] = []
        offset = None
        while True:
            page = self._sender.ask("GET", path("api", "judgments", collection=collection, format="json", offset=offset))
            found += page["judgments"]
            offset = page.get("next_offset")
            if offset is None:
                return found

    def unjudge(self, collection: str, judgment: str) -> None:
        """Take a judgment back, by its id."""
        self._sender.ask("DELETE", path("api", "judgments", judgment, collection=collection))

    def studies(self) -> list[dict[str, Any]]:
        """What `vicino compare` found: `id`, `name`, `pick`, `sentence` ..."""
        return list(self._sender.ask("GET", "/api/studies")["studies"])

    def study(self, name: str) -> dict[str, Any]:
        """One of them whole: the comparison's JSON."""
        return dict(self._sender.ask("GET", path("api", "studies", name)))

    def ready(self) -> dict[str, Any]:
        """Whether models and indexes are loaded: `ready`, and what is `waiting`, or `failed` and why. It does not wait."""
        return dict(self._sender.ask("GET", "/ready", accepted=503))


def _search(collection: str, query: str, k: int, options: Mapping[str, Any]) -> dict[str, Any]:
    asked = {"collection": collection, "query": query, "k": k, **options}
    return {name: value for name, value in asked.items() if value is not None}


def _document(one: Document | Mapping[str, Any]) -> bytes:
    return as_json(asdict(one) if isinstance(one, Document) else one)


def _size_of_text(text: str) -> int:
    return len(text) if text.isascii() else 6 * len(text)  # JSON escapes a character by six


def _portions(items: Iterable[Any], size: Callable[[Any], int]) -> Iterator[list[Any]]:
    """The items in lists of at most so many, and so large; one that is larger by itself is sent alone, and refused or not."""
    some: list[Any] = []
    held = 0
    for item in items:
        more = size(item)
        if some and (len(some) == _TEXTS or held + more > _BYTES):
            yield some
            some, held = [], 0
        some.append(item)
        held += more
    if some:
        yield some


def _sum(before: Mapping[str, Any], summary: Mapping[str, Any]) -> dict[str, Any]:
    """Two summaries as one: what was done is added up, what there is now is the later one's."""
    both = dict(summary)
    for name in _ADDED:
        if name in before and name in summary:
            both[name] = before[name] + summary[name]
    reasons = [each.get("refused") or {} for each in (before, summary)]
    both["refused"] = {why: sum(each.get(why, 0) for each in reasons) for why in {**reasons[0], **reasons[1]}}
    return both
