"""The official clients of OpenAI and Cohere, unchanged, against a live server."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import vicino


@pytest.fixture
def openai_client(address, wanted) -> Iterator[Any]:
    wanted("openai")
    import openai

    with openai.OpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0) as client:
        yield client


def test_openai_gets_the_vectors_of_the_encoder_by_default_and_as_numbers(openai_client, tiny, texts):
    expected = vicino.load(tiny).encode(texts)
    answer = openai_client.embeddings.create(model="tiny", input=texts)  # it asks for base64, and unpacks it
    np.testing.assert_allclose([one.embedding for one in answer.data], expected, atol=1e-6)
    assert [one.index for one in answer.data] == list(range(len(texts)))
    assert answer.usage.prompt_tokens == answer.usage.total_tokens > 0
    assert answer.model == "tiny"
    plain = openai_client.embeddings.create(model="tiny", input=texts[0], encoding_format="float")
    np.testing.assert_allclose(plain.data[0].embedding, expected[0], atol=1e-6)


def test_openai_lists_models(openai_client):
    assert {one.id for one in openai_client.models.list()} == {"tiny", "rr"}
    assert openai_client.models.retrieve("tiny").owned_by == "vicino"


def test_openai_understands_what_is_refused(openai_client):
    import openai

    with pytest.raises(openai.NotFoundError) as unknown:
        openai_client.embeddings.create(model="text-embedding-3-small", input="a")
    assert (unknown.value.code, unknown.value.param) == ("model_not_found", "model")
    assert unknown.value.request_id
    with pytest.raises(openai.BadRequestError, match="token ids"):
        openai_client.embeddings.create(model="tiny", input=[1, 2, 3])
    with pytest.raises(openai.BadRequestError, match="nothing in the list"):
        openai_client.embeddings.create(model="tiny", input=[])
    with pytest.raises(openai.BadRequestError, match="not trained to be cut"):
        openai_client.embeddings.create(model="tiny", input="a", dimensions=3)
    with pytest.raises(openai.NotFoundError):
        openai_client.chat.completions.create(model="tiny", messages=[{"role": "user", "content": "hello"}])


def test_openai_asks_many_at_once(address, wanted, tiny, texts):
    wanted("openai")
    import openai

    async def ask() -> list[Any]:
        async with openai.AsyncOpenAI(base_url=f"{address}/v1", api_key="none") as client:
            return await asyncio.gather(*(client.embeddings.create(model="tiny", input=text) for text in texts * 4))

    found = np.array([one.data[0].embedding for one in asyncio.run(ask())])
    np.testing.assert_allclose(found, np.concatenate([vicino.load(tiny).encode(texts)] * 4), atol=1e-6)


@pytest.mark.parametrize("version", ["Client", "ClientV2"])
def test_cohere_reranks(address, wanted, crossing, texts, version):
    wanted("cohere")
    import cohere
    import httpx

    with httpx.Client() as connections:  # it does not close its own
        client = getattr(cohere, version)(api_key="none", base_url=address, httpx_client=connections)
        answer = client.rerank(model="rr", query="the violin", documents=texts[:6], top_n=3)
        with pytest.raises(cohere.NotFoundError):
            client.rerank(model="rerank-v3.5", query="a", documents=["b"])
    scores = vicino.load(crossing).predict([("the violin", text) for text in texts[:6]])
    assert [one.index for one in answer.results] == list(np.argsort(-scores)[:3])
    assert all(0 <= one.relevance_score <= 1 for one in answer.results)
