"""LlamaIndex: its OpenAI class unchanged, and our adapters, against a live server."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

import vicino
from vicino import Client
from vicino.errors import InputError, UnknownName


@pytest.fixture(autouse=True)
def _installed(wanted) -> None:
    wanted("llama_index.core")


def test_the_class_for_openai_works_unchanged(address, wanted, tiny, texts):
    wanted("llama_index.embeddings.openai")
    from llama_index.embeddings.openai import OpenAIEmbedding

    made = OpenAIEmbedding(model_name="tiny", api_base=f"{address}/v1", api_key="none", max_retries=0)
    expected = vicino.load(tiny).encode(texts)
    np.testing.assert_allclose(made.get_text_embedding_batch(texts), expected, atol=1e-6)
    np.testing.assert_allclose(made.get_query_embedding(texts[0]), expected[0], atol=1e-6)


def test_embeddings_are_those_of_the_encoder(address, tiny, texts):
    from vicino.adapters.llama_index import VicinoEmbedding

    made = VicinoEmbedding(Client(address), model_name="tiny", embed_batch_size=5)
    expected = vicino.load(tiny).encode_document(texts)
    np.testing.assert_allclose(made.get_text_embedding_batch(texts), expected, atol=1e-6)
    np.testing.assert_allclose(asyncio.run(made.aget_text_embedding_batch(texts)), expected, atol=1e-6)
    np.testing.assert_allclose(VicinoEmbedding(Client(address)).get_text_embedding(texts[0]), expected[0], atol=1e-6)
    np.testing.assert_allclose(asyncio.run(made.aget_query_embedding(texts[0])), expected[0], atol=1e-6)
    with pytest.raises(UnknownName):
        VicinoEmbedding(Client(address), model_name="none").get_query_embedding("a")


def test_a_retriever_and_a_reranker_make_nodes(address):
    from vicino.adapters.llama_index import VicinoReranker, VicinoRetriever

    client = Client(address)
    retriever = VicinoRetriever("notes", client=client, k=4, where="lang = 'en'")
    direct = client.search("notes", "drag of a wing", 4, where="lang = 'en'")
    found = retriever.retrieve("drag of a wing")
    assert [(one.node.node_id, one.score) for one in found] == [(one.document, one.score) for one in direct]
    assert found[0].node.metadata["lang"] == "en"
    assert [one.node_id for one in asyncio.run(retriever.aretrieve("drag of a wing"))] == [one.document for one in direct]
    reranker = VicinoReranker(client, top_n=2)
    ordered = reranker.postprocess_nodes(found, query_str="drag of a wing")
    ranked = client.rerank("drag of a wing", [one.node.text for one in found], top_n=2)
    assert [(one.node_id, one.score) for one in ordered] == [(found[one.index].node_id, one.score) for one in ranked]
    assert reranker.postprocess_nodes([], query_str="a") == []
    with pytest.raises(InputError, match="query"):
        reranker.postprocess_nodes(found)
