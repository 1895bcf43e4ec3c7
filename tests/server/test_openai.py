"""/v1/embeddings, /v1/models and what they refuse, over a live server."""

from __future__ import annotations

import base64
import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import vicino
from vicino.server.models import ServedEncoder, named


def ask(client, **body):
    return client.post("/v1/embeddings", json={"model": "tiny", **body})


def error_of(answer, status):
    assert answer.status_code == status, answer.text
    plain = answer.json()["error"]
    assert set(plain) == {"message", "type", "param", "code", "mend", "request_id"}
    assert plain["request_id"] == answer.headers["x-request-id"]
    assert plain["mend"]
    return plain


def unpacked(text):
    return np.frombuffer(base64.b64decode(text, validate=True), dtype="<f4")


def test_vectors_are_those_of_the_encoder_as_numbers_and_as_base64(client, tiny, texts):
    plain = ask(client, input=texts).json()
    assert [each["index"] for each in plain["data"]] == list(range(len(texts)))
    assert {plain["object"], plain["data"][0]["object"]} == {"list", "embedding"}
    found = np.array([each["embedding"] for each in plain["data"]], dtype=np.float32)
    encoder = vicino.load(tiny)
    np.testing.assert_allclose(found, encoder.encode(texts), atol=1e-6)
    assert plain["space"] == encoder.space.id
    packed = ask(client, input=texts, encoding_format="base64").json()
    assert np.array_equal(np.stack([unpacked(each["embedding"]) for each in packed["data"]]), found)
    assert plain["usage"]["prompt_tokens"] == plain["usage"]["total_tokens"] > len(texts)


def test_one_text_is_a_list_of_one(client, texts):
    one, listed = ask(client, input=texts[0]).json(), ask(client, input=[texts[0]]).json()
    assert one["data"] == listed["data"]


@pytest.mark.parametrize(
    ("body", "status", "code", "param"),
    [
        ({"input": []}, 400, "empty_input", "input"),
        ({"input": ""}, 400, "empty_input", "input.0"),
        ({"input": ["a", "  \n"]}, 400, "empty_input", "input.1"),
        ({"input": [1, 2, 3]}, 400, "token_ids", "input"),
        ({"input": [[1, 2], [3]]}, 400, "token_ids", "input"),
        ({"input": "a", "model": "tinny"}, 404, "model_not_found", "model"),
        ({"input": "a", "model": "/etc"}, 404, "model_not_found", "model"),
        ({"input": "a", "dimensions": 4}, 400, "invalid_dimensions", "dimensions"),
        ({"input": "a", "dimensions": 9}, 400, "invalid_dimensions", "dimensions"),
        ({"input": "a", "dimensions": 0}, 400, "invalid_request", "dimensions"),
        ({"input": "a", "encoding_format": "hex"}, 400, "invalid_request", "encoding_format"),
        ({"input": ["a"] * 2049}, 413, "too_many_texts", "input"),
        ({"input": "a" * ((1 << 20) + 1)}, 413, "text_too_large", "input.0"),
        ({"input": "é" * (1 << 19) + "é"}, 413, "text_too_large", "input.0"),
        ({"input": {"a": 1}}, 400, "invalid_request", None),
        ({}, 400, "invalid_request", "input"),
    ],
)
def test_what_cannot_be_embedded_is_refused_in_openais_body(client, body, status, code, param):
    plain = error_of(ask(client, **body), status)
    assert plain["code"] == code
    assert plain["type"] == ("not_found_error" if status == 404 else "invalid_request_error")
    if param is not None:
        assert plain["param"] == param


def test_the_hint_names_the_near_model_and_the_way_to_send_texts(client):
    assert "did you mean tiny" in error_of(ask(client, input="a", model="tinny"), 404)["mend"]
    assert "check_embedding_ctx_length=False" in error_of(ask(client, input=[5]), 400)["message"]


def test_what_is_no_json_is_refused(client):
    for content in ("{", '{"input": ', "[" * 50_000, "\x00", "null", '"a"'):
        answer = client.post("/v1/embeddings", content=content, headers={"Content-Type": "application/json"})
        assert 400 <= answer.status_code < 500, content[:20]
        assert answer.json()["error"]["message"]


def test_all_dimensions_may_be_asked_for(client, texts):
    assert ask(client, input=texts[0], dimensions=8).json()["data"] == ask(client, input=texts[0]).json()["data"]


def test_dimensions_are_cut_and_of_length_one_where_that_was_allowed(serving, tmp_path, tiny, texts):
    with serving(home=tmp_path, encoders=[tiny], any_dimensions=True) as client:
        plain = ask(client, input=texts, dimensions=3).json()
        error_of(ask(client, input=texts, dimensions=9), 400)
        whole = ask(client, input=texts).json()
    found = np.array([each["embedding"] for each in plain["data"]])
    first = np.array([each["embedding"] for each in whole["data"]])[:, :3]
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(found, first / np.linalg.norm(first, axis=1, keepdims=True), atol=1e-5)
    assert plain["space"] != whole["space"]


def test_dimensions_that_a_model_was_trained_for_need_no_permission(tmp_path, checkpoint):
    import shutil

    folder = tmp_path / "trained"
    shutil.copytree(checkpoint("bert"), folder)
    one = ServedEncoder("trained", str(folder))
    with pytest.raises(vicino.errors.VicinoError, match="was not trained to be cut to 16"):
        one.require_dimensions(16, anyway=False)
    (folder / "training.json").write_text(json.dumps({"recipe": {"dims": [16, 8]}}))
    one.require_dimensions(16, anyway=False)
    one.require_dimensions(one.encoder.dim, anyway=False)
    with pytest.raises(vicino.errors.VicinoError, match="one of 8, 16, 32"):
        one.require_dimensions(12, anyway=False)


def test_a_text_over_the_limit_is_refused_or_cut_and_counted(serving, tmp_path, checkpoint):
    model = checkpoint("bert", model_max_length=16)
    with serving(home=tmp_path, encoders=[f"bert={model}"]) as client:
        long = "wings lift an aeroplane " * 20
        plain = error_of(ask(client, input=["near", long], model="bert"), 400)
        assert (plain["code"], plain["param"]) == ("context_length_exceeded", "input")
        assert "16 tokens" in plain["message"]
        cut = ask(client, input=["near", long], model="bert", truncate=True).json()
        short = ask(client, input="near", model="bert").json()
        listed = client.get("/v1/models/bert").json()
    assert cut["usage"]["truncated_texts"] == 1
    assert cut["usage"]["truncated_tokens"] > 50
    assert cut["usage"]["prompt_tokens"] == short["usage"]["prompt_tokens"] + 16
    assert (listed["limit"], listed["dim"], listed["kind"]) == (16, 32, "encoder")


@pytest.mark.long
def test_vectors_are_the_same_alone_and_in_company(serving, tmp_path, checkpoint, phrases):
    """32 threads ask at once for texts of all lengths, and each gets what the encoder says of its own text."""
    model = checkpoint("bert", model_max_length=24)
    alone = vicino.load(model)
    asked = [f"{phrase} {number}" for number in range(30) for phrase in phrases]
    with serving(home=tmp_path, encoders=[f"bert={model}"], rate=0.0) as client:

        def one(text):
            body = {"model": "bert", "input": text, "truncate": True, "encoding_format": "base64"}
            answer = client.post("/v1/embeddings", json=body)
            assert answer.status_code == 200, answer.text
            return unpacked(answer.json()["data"][0]["embedding"])

        with ThreadPoolExecutor(32) as pool:
            found = np.stack(list(pool.map(one, asked)))
        together = client.get("/metrics").text
    wanted = np.stack([alone.encode(text) for text in asked])
    cosines = (found * wanted).sum(axis=1) / np.linalg.norm(found, axis=1) / np.linalg.norm(wanted, axis=1)
    assert cosines.min() >= 0.9995
    batches = next(line for line in together.splitlines() if line.startswith("vicino_batch_texts_count"))
    assert float(batches.split()[-1]) < len(asked)


def test_prompts_of_queries_and_documents_are_used_where_asked_for(serving, tmp_path, checkpoint):
    import shutil

    folder = tmp_path / "prompted"
    shutil.copytree(checkpoint("bert"), folder)
    settings = {"prompts": {"query": "query near ", "document": "passage tea "}}
    (folder / "config_sentence_transformers.json").write_text(json.dumps(settings))
    made = vicino.load(folder)
    with serving(home=tmp_path, encoders=[folder]) as client:
        for kind, encode in (("query", made.encode_query), ("search_document", made.encode_document), (None, made.encode)):
            body = {"model": "prompted", "input": ["wings lift"]} | ({"input_type": kind} if kind else {})
            found = np.array(client.post("/v1/embeddings", json=body).json()["data"][0]["embedding"])
            wanted = encode(["wings lift"])[0]
            assert found @ wanted / np.linalg.norm(found) / np.linalg.norm(wanted) > 0.9995


def test_the_models_are_listed_as_openai_lists_them(client, tiny):
    plain = client.get("/v1/models").json()
    assert plain["object"] == "list"
    (one,) = plain["data"]
    assert (one["id"], one["object"], one["kind"], one["dim"]) == ("tiny", "model", "encoder", 8)
    assert one["space"] == vicino.load(tiny).space.id
    assert client.get("/v1/models/tiny").json() == one
    assert error_of(client.get("/v1/models/other"), 404)["code"] == "model_not_found"
    assert error_of(client.get("/v1/models/org/model"), 404)["code"] == "model_not_found"


def test_models_are_named_by_their_folder_or_as_the_person_says(tmp_path):
    (tmp_path / "mine").mkdir()
    assert named([str(tmp_path / "mine"), "a/b=minilm", "org/model"], "--encoder") == {
        "mine": str(tmp_path / "mine"),
        "a/b": "minilm",
        "org/model": "org/model",
    }
    with pytest.raises(vicino.errors.InputError, match="would be called 'x'"):
        named(["x=a", "x=b"], "--encoder")
