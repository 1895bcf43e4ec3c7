"""/v1/rerank and /v2/rerank, in the shape that Cohere's and Jina's clients share.

Cohere, "Rerank API" (https://docs.cohere.com/reference/rerank); Jina, "Reranker API" (https://jina.ai/reranker).
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

import numpy as np
from fastapi import Depends
from numpy.typing import NDArray

from vicino.server.handlers.openai import read, require_texts
from vicino.server.models import unknown
from vicino.server.schemas import RerankRequest
from vicino.server.served import Served, served_of
from vicino.vectors import similarity

__all__ = ["rerank"]


async def rerank(body: RerankRequest, served: Served = Depends(served_of)) -> dict[str, Any]:
    """Documents in the order of how well they answer, best first.

    With a reranker scores are from 0 to 1; where `model` is an encoder they are the similarity of its vectors, and
    `scoring` says so. Texts over the model's limit lose their ends.
    """
    texts = [one if isinstance(one, str) else one.text for one in body.documents]
    require_texts(texts, served, param="documents")
    require_texts([body.query], served, param="query")
    name = body.model or next(iter(served.models), "")
    if name in served.rerankers:
        scores, order = await served.run(served.rerankers[name].score, body.query, texts)
        scoring, tokens = served.rerankers[name].open().family, 0
    else:
        scores, order, tokens = await _by_vectors(served, name, body.query, texts)
        scoring = served.encoder(name).encoder.space.similarity
    results = [
        {"index": int(place), "relevance_score": float(scores[place])}
        | ({"document": {"text": texts[place]}} if body.return_documents else {})
        for place in order[: body.top_n]
    ]
    return {
        "id": uuid.uuid4().hex,
        "object": "list",
        "model": name,
        "results": results,
        "scoring": scoring,
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
        "meta": {"api_version": {"version": "2"}, "billed_units": {"search_units": 1}},
    }


async def _by_vectors(
    served: Served, name: str, query: str, texts: Sequence[str]
) -> tuple[NDArray[np.float64], NDArray[np.intp], int]:
    """Scores (n,), places best first (n,), and the tokens that were read."""
    if name not in served.encoders:
        raise unknown(name, served.models)
    one, batcher = served.encoder(name), served.batcher(name)
    reading = await read(served, one, [query, *texts])
    asked = await served.limited(batcher.encode([query], "query"))
    told = await served.limited(batcher.encode(list(texts), "document"))
    scores = similarity(asked, told, one.encoder.space.similarity)[0]
    if one.encoder.space.similarity == "cosine":
        scores = np.clip(scores, -1, 1)  # rounding goes a little beyond
    return scores.astype(np.float64), np.argsort(-scores, kind="stable"), reading.tokens
