"""LangChain: its OpenAI class unchanged, and our adapters, against a live server."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

import vicino
from vicino import Client
from vicino.errors import UnknownName


@pytest.fixture(autouse=True)
def _installed(wanted) -> None:
    wanted("langchain_core")


def test_the_class_for_openai_works_unchanged(address, wanted, tiny, texts):
    wanted("langchain_openai")
    from langchain_openai import OpenAIEmbeddings

    made = OpenAIEmbeddings(model="tiny", base_url=f"{address}/v1", api_key="none", check_embedding_ctx_length=False)
    expected = vicino.load(tiny).encode(texts)
    np.testing.assert_allclose(made.embed_documents(texts), expected, atol=1e-6)
    np.testing.assert_allclose(made.embed_query(texts[0]), expected[0], atol=1e-6)


def test_embeddings_work_in_a_vector_store(address, tiny, texts):
    from langchain_core.vectorstores import InMemoryVectorStore

    from vicino.adapters.langchain import VicinoEmbeddings

    made = VicinoEmbeddings(Client(address))
    np.testing.assert_allclose(made.embed_documents(texts), vicino.load(tiny).encode_document(texts), atol=1e-6)
    assert made.embed_documents([]) == []
    store = InMemoryVectorStore.from_texts(texts, made)
    assert store.similarity_search(texts[3], k=1)[0].page_content == texts[3]
    found = asyncio.run(made.aembed_query(texts[1]))
    np.testing.assert_allclose(found, vicino.load(tiny).encode_query([texts[1]])[0], atol=1e-6)


def test_a_retriever_and_a_reranker_work_in_a_chain(address, texts):
    from langchain_core.documents import Document
    from langchain_core.runnables import RunnableLambda

    from vicino.adapters.langchain import VicinoReranker, VicinoRetriever

    client = Client(address)
    retriever = VicinoRetriever(client=client, collection="notes", k=4, options={"where": "lang = 'en'"})
    chain = retriever | RunnableLambda(lambda found: [one.id for one in found])
    direct = client.search("notes", "drag of a wing", 4, where="lang = 'en'")
    assert chain.invoke("drag of a wing") == [one.document for one in direct]
    assert asyncio.run(chain.ainvoke("drag of a wing")) == [one.document for one in direct]
    found = retriever.invoke("drag of a wing")
    assert found[0].metadata["lang"] == "en"
    assert found[0].metadata["title"] == direct[0].title
    assert found[0].metadata["score"] == direct[0].score
    reranker = VicinoReranker(client=client, top_n=2)
    ordered = reranker.compress_documents(found, "drag of a wing")
    assert [one.page_content for one in ordered] == [
        found[one.index].page_content for one in client.rerank("drag of a wing", [one.page_content for one in found], top_n=2)
    ]
    assert "relevance_score" not in found[0].metadata
    assert reranker.compress_documents([], "a") == []
    assert asyncio.run(reranker.acompress_documents([Document("a")], "a"))[0].page_content == "a"


def test_what_is_wrong_has_its_name(address):
    from vicino.adapters.langchain import VicinoEmbeddings, VicinoRetriever

    with pytest.raises(UnknownName):
        VicinoEmbeddings(Client(address), model="none").embed_query("a")
    with pytest.raises(UnknownName):
        VicinoRetriever(client=Client(address), collection="none").invoke("a")
