"""The three ways in which servers are asked for vectors: OpenAI's, Cohere's and Ollama's. A new one is two functions and a line.

OpenAI, "Create embeddings" (https://platform.openai.com/docs/api-reference/embeddings); Cohere, "Embed API (v2)"
(https://docs.cohere.com/reference/embed); Ollama, "Generate embeddings" (https://docs.ollama.com/api/embed).
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from vicino.errors import InvalidVectors

__all__ = ["SHAPES", "Answer", "Request", "Shape"]


@dataclass(frozen=True)
class Request:
    """What is asked: texts (never empty ones), by a model; `role` is "query" or "document"."""

    model: str
    texts: Sequence[str]
    role: str
    dimensions: int | None


@dataclass(frozen=True)
class Answer:
    """One vector a text, in the order of the texts, unchecked; and the tokens that were counted, None where none were."""

    vectors: Sequence[Any]
    tokens: float | None


@dataclass(frozen=True)
class Shape:
    """A server's manners.

    `url` is the server that the shape is named after, `model` its usual model, `keys` the environment variables that may hold a
    key for it. `batch_size` is how many texts a request may well hold; `has_roles` says that the server is told queries from
    documents.
    """

    url: str
    path: str
    model: str
    keys: tuple[str, ...]
    batch_size: int
    has_roles: bool
    body: Callable[[Request], dict[str, Any]]
    read: Callable[[Any], Answer]

    def answer(self, plain: Any, count: int) -> Answer:
        """Read a server's JSON. Raises InvalidVectors where it is of another shape, or not `count` vectors."""
        try:
            answer = self.read(plain)
            found = len(answer.vectors)
        except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
            raise InvalidVectors(
                f"an answer of another shape ({type(error).__name__}: {error})", mend=f"check shape=: one of {', '.join(SHAPES)}"
            ) from error
        if found != count:
            raise InvalidVectors(
                f"{found} vectors for {count} texts", mend="give a smaller batch_size; if it stays so, the server is wrong"
            )
        counted = isinstance(answer.tokens, int | float) and answer.tokens >= 0
        return answer if counted else replace(answer, tokens=None)


def _openai_body(request: Request) -> dict[str, Any]:
    return _plain(request, "input", "dimensions") | {"encoding_format": "base64"}


def _openai_answer(plain: Any) -> Answer:
    rows = plain["data"]
    vectors = {row.get("index", place): row["embedding"] for place, row in enumerate(rows)}
    in_order = [vectors[place] for place in range(len(rows))]
    return Answer([_unpacked(vector) for vector in in_order], (plain.get("usage") or {}).get("total_tokens"))


def _unpacked(vector: Any) -> Any:
    """Base64 of little-endian float32; servers that do not know it send numbers."""
    return np.frombuffer(base64.b64decode(vector, validate=True), dtype="<f4") if isinstance(vector, str) else vector


def _cohere_body(request: Request) -> dict[str, Any]:
    return _plain(request, "texts", "output_dimension") | {"input_type": f"search_{request.role}", "embedding_types": ["float"]}


def _cohere_answer(plain: Any) -> Answer:
    billed = (plain.get("meta") or {}).get("billed_units") or {}
    return Answer(plain["embeddings"]["float"], billed.get("input_tokens"))


def _ollama_body(request: Request) -> dict[str, Any]:
    return _plain(request, "input", "dimensions")


def _ollama_answer(plain: Any) -> Answer:
    return Answer(plain["embeddings"], plain.get("prompt_eval_count"))


def _plain(request: Request, texts: str, dimensions: str) -> dict[str, Any]:
    wanted = {} if request.dimensions is None else {dimensions: request.dimensions}
    return {"model": request.model, texts: list(request.texts), **wanted}


SHAPES = {
    "openai": Shape(
        "https://api.openai.com/v1",
        "/embeddings",
        "text-embedding-3-small",
        keys=("OPENAI_API_KEY",),
        batch_size=256,
        has_roles=False,
        body=_openai_body,
        read=_openai_answer,
    ),
    "cohere": Shape(
        "https://api.cohere.com",
        "/v2/embed",
        "embed-v4.0",
        keys=("COHERE_API_KEY", "CO_API_KEY"),
        batch_size=96,
        has_roles=True,
        body=_cohere_body,
        read=_cohere_answer,
    ),
    "ollama": Shape(
        "http://localhost:11434",
        "/api/embed",
        "",  # whatever was pulled
        keys=(),
        batch_size=64,
        has_roles=False,
        body=_ollama_body,
        read=_ollama_answer,
    ),
}
