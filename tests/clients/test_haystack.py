"""Haystack: our components in a pipeline that is written down and read again, against a live server."""

from __future__ import annotations

import numpy as np
import pytest

import vicino
from vicino import Client
from vicino.errors import UnknownName


@pytest.fixture(autouse=True)
def _installed(wanted) -> None:
    wanted("haystack")


def test_its_own_components_for_openai_work_unchanged(address, tiny, texts):
    from haystack.components.embedders import OpenAITextEmbedder
    from haystack.utils import Secret

    made = OpenAITextEmbedder(api_key=Secret.from_token("none"), model="tiny", api_base_url=f"{address}/v1")
    try:
        found = made.run(texts[0])
    finally:
        made.close()
    np.testing.assert_allclose(found["embedding"], vicino.load(tiny).encode(texts[:1])[0], atol=1e-6)


def test_embedders_work_with_a_document_store(address, tiny, texts):
    from haystack import Document, Pipeline
    from haystack.components.retrievers.in_memory import InMemoryEmbeddingRetriever
    from haystack.document_stores.in_memory import InMemoryDocumentStore

    from vicino.adapters.haystack import VicinoDocumentEmbedder, VicinoTextEmbedder

    embedder = VicinoDocumentEmbedder(address, model="tiny", meta_fields_to_embed=["title"])
    documents = [Document(content=text, meta={"title": f"Title {place}"}) for place, text in enumerate(texts)]
    made = embedder.run(documents)["documents"]
    expected = vicino.load(tiny).encode_document([f"Title {place}\n{text}" for place, text in enumerate(texts)])
    np.testing.assert_allclose([one.embedding for one in made], expected, atol=1e-6)
    assert documents[0].embedding is None
    assert embedder.run([]) == {"documents": []}
    store = InMemoryDocumentStore()
    store.write_documents(made)
    pipeline = Pipeline()
    pipeline.add_component("asked", VicinoTextEmbedder(address))
    pipeline.add_component("found", InMemoryEmbeddingRetriever(store, top_k=1))
    pipeline.connect("asked.embedding", "found.query_embedding")
    assert pipeline.run({"asked": {"text": texts[3]}})["found"]["documents"][0].content == texts[3]


def test_a_pipeline_of_retriever_and_ranker_is_written_down_without_its_key(address, monkeypatch):
    from haystack import Pipeline

    from vicino.adapters.haystack import VicinoRanker, VicinoRetriever

    monkeypatch.setenv("VICINO_API_KEY", "very secret")
    pipeline = Pipeline()
    pipeline.add_component("found", VicinoRetriever("notes", url=address, top_k=4, options={"mode": "lexical"}))
    pipeline.add_component("ranked", VicinoRanker(address, top_k=2))
    pipeline.connect("found.documents", "ranked.documents")
    written = pipeline.dumps()
    assert "very secret" not in written
    monkeypatch.delenv("VICINO_API_KEY")
    question = {"found": {"query": "drag of a wing", "where": "lang = 'en'"}, "ranked": {"query": "drag of a wing"}}
    answers = Pipeline.loads(written, allowed_modules=["vicino.adapters.haystack"]).run(question, include_outputs_from={"found"})
    direct = Client(address).search("notes", "drag of a wing", 4, where="lang = 'en'", mode="lexical")
    found = answers["found"]["documents"]
    assert [(one.meta["document"], one.score) for one in found] == [(one.document, one.score) for one in direct]
    ranked = Client(address).rerank("drag of a wing", [one.content for one in found], top_n=2)
    assert [one.content for one in answers["ranked"]["documents"]] == [found[one.index].content for one in ranked]


def test_what_is_wrong_has_its_name(address):
    from vicino.adapters.haystack import VicinoRanker, VicinoTextEmbedder

    with pytest.raises(UnknownName):
        VicinoTextEmbedder(address, model="none").run("a")
    assert VicinoRanker(address).run("a", []) == {"documents": []}
