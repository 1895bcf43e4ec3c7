"""/v1/embeddings and /v1/models, as OpenAI's clients ask them.

"Create embeddings" (https://platform.openai.com/docs/api-reference/embeddings), "List models".
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

import numpy as np
from fastapi import Depends
from numpy.typing import NDArray
from starlette.responses import JSONResponse, Response

from vicino.server.batching import Kind
from vicino.server.failures import Refused
from vicino.server.models import Reading, ServedEncoder, unknown
from vicino.server.schemas import EmbeddingsRequest
from vicino.server.served import Served, served_of
from vicino.vectors import normalise, truncate

__all__ = ["embeddings", "model", "models", "read", "require_fitting", "require_texts"]

_FEW = 1 << 14  # characters, or numbers, for which a thread costs more than it spares: less than a millisecond of work


async def embeddings(body: EmbeddingsRequest, served: Served = Depends(served_of)) -> Response:
    """Vectors of texts: one a text, in their order. Requests that come in together are encoded together.

    A text over the model's limit is refused, or with `truncate` cut and counted. `dimensions` keeps the first ones, at length 1,
    where the model was trained for it.
    """
    one = served.encoder(body.model)
    texts = _texts(body.input, served)
    if body.dimensions is not None:
        one.require_dimensions(body.dimensions, anyway=served.settings.any_dimensions)
    reading = await read(served, one, texts)
    require_fitting(reading, one, cut=body.truncate)
    vectors = await served.limited(served.batcher(body.model).encode(texts, _kind(body.input_type)))
    served.metrics.tokens.labels(one.name).inc(reading.tokens)
    given = (vectors, body, reading, one.encoder.space.id)
    plain = _answer(*given) if vectors.size <= _FEW else await served.run(_answer, *given)
    return Response(plain, media_type="application/json")


async def models(served: Served = Depends(served_of)) -> dict[str, Any]:
    """What `model` may be: encoders and rerankers."""
    return {"object": "list", "data": [one.to_json() for one in served.models.values()]}


async def model(name: str, served: Served = Depends(served_of)) -> dict[str, Any]:
    """One model."""
    if name not in served.models:
        raise unknown(name, served.models)
    return served.models[name].to_json()


async def read(served: Served, one: ServedEncoder, texts: Sequence[str]) -> Reading:
    """Count the tokens of some texts: a few at once, in a thread where it could last."""
    if one.is_open and sum(map(len, texts)) <= _FEW:
        return one.read(texts)
    return await served.run(one.read, texts)


def require_texts(texts: Sequence[str], served: Served, *, param: str) -> None:
    """Raise Refused for no texts, too many, an empty one or too long a one."""
    settings = served.settings
    if not texts:
        raise Refused(400, "there is nothing in the list", mend="give at least one text", code="empty_input", param=param)
    if len(texts) > settings.max_texts:
        mend = f"give at most {settings.max_texts:,} at a time"
        raise Refused(413, f"{len(texts):,} texts are too many", mend=mend, code="too_many_texts", param=param)
    for place, text in enumerate(texts):
        if not text.strip():
            mend = "leave it out, or give it some text"
            raise Refused(400, f"text {place} is empty", mend=mend, code="empty_input", param=f"{param}.{place}")
        if len(text) > settings.max_text_bytes or len(text.encode("utf-8", "surrogatepass")) > settings.max_text_bytes:
            what = f"text {place} is over {settings.max_text_bytes:,} bytes"
            raise Refused(413, what, mend="cut it into passages", code="text_too_large", param=f"{param}.{place}")


def require_fitting(reading: Reading, one: ServedEncoder, *, cut: bool, param: str = "input") -> None:
    """Raise Refused where texts are over the model's limit and nobody said to cut them."""
    if reading.cut_texts and not cut:
        texts = "1 text is" if reading.cut_texts == 1 else f"{reading.cut_texts:,} texts are"
        raise Refused(
            400,
            f"{texts} longer than the {reading.limit:,} tokens that {one.name} reads, by {reading.cut_tokens:,} together",
            mend='cut them into passages, or send "truncate": true to have their ends left out and counted',
            code="context_length_exceeded",
            param=param,
        )


def _texts(asked: Any, served: Served) -> list[str]:
    texts = [asked] if isinstance(asked, str) else asked
    if texts and not isinstance(texts[0], str):
        raise Refused(
            400,
            "token ids mean something only in the vocabulary that they come from: send texts "  # clients show no more than this
            "(LangChain: OpenAIEmbeddings(check_embedding_ctx_length=False))",
            mend="send texts",
            code="token_ids",
            param="input",
        )
    require_texts(texts, served, param="input")
    return list(texts)


def _kind(asked: str | None) -> Kind:
    if asked is None:
        return None
    return "query" if asked.endswith("query") else "document"


def _answer(vectors: NDArray[np.float32], body: EmbeddingsRequest, reading: Reading, space: str) -> bytes:
    if body.dimensions is not None and body.dimensions < vectors.shape[1]:
        vectors = normalise(truncate(vectors, body.dimensions))
        space = f"{space}[:{body.dimensions}]"
    packed = body.encoding_format == "base64"
    rows: Sequence[Any] = (
        [base64.b64encode(row.tobytes()).decode() for row in vectors.astype("<f4")] if packed else vectors.tolist()
    )
    usage = {"prompt_tokens": reading.tokens, "total_tokens": reading.tokens}
    usage |= {"truncated_texts": reading.cut_texts, "truncated_tokens": reading.cut_tokens}
    data = [{"object": "embedding", "index": place, "embedding": row} for place, row in enumerate(rows)]
    plain = {"object": "list", "data": data, "model": body.model, "usage": usage, "space": space}
    return bytes(JSONResponse(plain).body)
