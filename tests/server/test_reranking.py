"""/v1/rerank and /v2/rerank: a cross-encoder's order, or an encoder's."""

from __future__ import annotations

import numpy as np
import pytest

import vicino
from vicino.encoders.rerankers import open_reranker
from vicino.encoders.transformer.crossing import CrossEncoder

QUERY = "how do wings lift"


def test_a_cross_encoders_order_is_its_own(serving, tmp_path, tiny, crossing, texts):
    with serving(home=tmp_path, encoders=[tiny], rerankers=[f"cross={crossing}"]) as client:
        plain = client.post("/v1/rerank", json={"query": QUERY, "documents": texts}).json()
        same = client.post("/v2/rerank", json={"query": QUERY, "documents": [{"text": text} for text in texts], "model": "cross"})
        first = client.post("/v1/rerank", json={"query": QUERY, "documents": texts, "top_n": 2, "return_documents": True}).json()
        kinds = {one["id"]: one["kind"] for one in client.get("/v1/models").json()["data"]}
    assert kinds == {"cross": "reranker", "tiny": "encoder"}
    logits = CrossEncoder.load(crossing).predict([(QUERY, text) for text in texts], logits=True)
    order = [one["index"] for one in plain["results"]]
    assert sorted(order) == list(range(len(texts)))
    np.testing.assert_allclose(logits[order], np.sort(logits)[::-1], atol=1e-3)
    scores = [one["relevance_score"] for one in plain["results"]]
    assert all(0 <= score <= 1 for score in scores)
    np.testing.assert_allclose(scores, 1 / (1 + np.exp(-logits[order])), atol=1e-3)
    assert (plain["model"], plain["scoring"]) == ("cross", "cross-encoder")
    assert same.json()["results"] == plain["results"]
    assert [one["index"] for one in first["results"]] == order[:2]
    assert [one["document"]["text"] for one in first["results"]] == [texts[place] for place in order[:2]]
    assert "document" not in plain["results"][0] or plain["results"][0]["document"] is None


def test_an_encoder_that_is_served_as_a_reranker_compares_tokens(serving, tmp_path, tiny, checkpoint, texts):
    with serving(home=tmp_path, encoders=[tiny], rerankers=[f"late={checkpoint('bert')}"]) as client:
        plain = client.post("/v1/rerank", json={"query": QUERY, "documents": texts, "model": "late"}).json()
    assert plain["scoring"] == "late-interaction"
    scores = open_reranker(checkpoint("bert")).predict([(QUERY, text) for text in texts])
    found = {one["index"]: one["relevance_score"] for one in plain["results"]}
    np.testing.assert_allclose([found[place] for place in range(len(texts))], np.clip(scores, 0, 1), atol=1e-5)
    assert [one["relevance_score"] for one in plain["results"]] == sorted(found.values(), reverse=True)


def test_an_encoder_ranks_by_its_similarity_and_says_so(client, tiny, texts):
    plain = client.post("/v1/rerank", json={"query": QUERY, "documents": texts, "model": "tiny"}).json()
    assert plain["scoring"] == "cosine"
    made = vicino.load(tiny)
    query, told = made.encode_query([QUERY]), made.encode_document(texts)
    cosines = (told @ query[0]) / np.linalg.norm(told, axis=1) / np.linalg.norm(query[0])
    found = {one["index"]: one["relevance_score"] for one in plain["results"]}
    np.testing.assert_allclose([found[place] for place in range(len(texts))], cosines, atol=1e-5)
    scores = [one["relevance_score"] for one in plain["results"]]
    assert scores == sorted(scores, reverse=True)
    assert plain["usage"]["total_tokens"] > len(texts)


@pytest.mark.parametrize(
    ("body", "status", "param"),
    [
        ({"query": "", "documents": ["a"]}, 400, "query.0"),
        ({"query": " ", "documents": ["a"]}, 400, "query.0"),
        ({"query": "a", "documents": []}, 400, "documents"),
        ({"query": "a", "documents": ["a", ""]}, 400, "documents.1"),
        ({"query": "a", "documents": ["a"] * 2049}, 413, "documents"),
        ({"query": "a", "documents": ["a"], "top_n": 0}, 400, "top_n"),
        ({"query": "a", "documents": ["a"], "model": "other"}, 404, "model"),
        ({"documents": ["a"]}, 400, "query"),
    ],
)
def test_what_cannot_be_ranked_is_refused(client, body, status, param):
    answer = client.post("/v1/rerank", json=body)
    assert answer.status_code == status, answer.text
    assert answer.json()["error"]["param"] == param
