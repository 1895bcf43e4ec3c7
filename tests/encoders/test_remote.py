"""A model behind an endpoint, against a real server on the loopback that speaks three shapes and misbehaves when told to."""

from __future__ import annotations

import base64
import logging
import signal
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vicino import encoders, retrieval
from vicino.artifacts import home
from vicino.data.records import Document
from vicino.encoders import ENCODERS
from vicino.encoders.remote import Remote, Usage, calling
from vicino.encoders.remote.calling import Caller, Patience
from vicino.errors import (
    DimensionMismatch,
    InputError,
    InputTooLarge,
    InvalidVectors,
    MissingExtra,
    SpaceMismatch,
    UnknownName,
    VicinoError,
)
from vicino.retrieval import from_recipe, parse

KEY = "sk-Geheim-0123456789"
WAYS = {"openai": "/v1", "cohere": "", "ollama": ""}


@pytest.fixture(autouse=True)
def alone(need, tmp_path, monkeypatch) -> None:
    """A home of its own, no keys, and no waiting."""
    need(ENCODERS.entry("remote"))
    monkeypatch.setenv("VICINO_HOME", str(tmp_path / "home"))
    for name in ("OPENAI_API_KEY", "COHERE_API_KEY", "CO_API_KEY", "VICINO_TRUST"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("vicino.encoders.trust._vouched", set())
    monkeypatch.setattr(Caller, "_backoff", lambda self, attempt: 0.0)


@pytest.fixture
def remote(endpoint):
    """A maker of encoders that ask the endpoint."""

    def make(shape: str = "openai", **params: Any) -> Remote:
        return Remote(**{"url": endpoint.url + WAYS.get(shape, ""), "model": "test", "shape": shape, **params})

    return make


def expected(endpoint: Any, texts: list[str], **how: Any) -> np.ndarray:
    return np.stack([endpoint.vector(text, **how) for text in texts])


# Three shapes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", WAYS)
def test_each_shape_gives_the_vectors_of_the_server(endpoint, remote, shape, texts):
    encoder = remote(shape, batch_size=5)
    role = {"role": "document"} if shape == "cohere" else {}
    np.testing.assert_array_equal(encoder.encode(texts), expected(endpoint, texts, **role))
    assert encoder.dim == endpoint.dim
    assert {request["body"]["model"] for request in endpoint.requests} == {"test"}


@pytest.mark.parametrize(("shape", "field"), [("openai", "dimensions"), ("cohere", "output_dimension"), ("ollama", "dimensions")])
def test_fewer_dimensions_are_asked_for(endpoint, remote, shape, field):
    encoder = remote(shape, dimensions=7)
    assert encoder.dim == 7
    assert endpoint.requests == []
    assert encoder.encode("tea").shape == (7,)
    assert endpoint.requests[0]["body"][field] == 7


def test_what_openai_is_asked_and_may_answer(endpoint, remote):
    encoder = remote()
    endpoint.misbehave("shuffled", "floats")
    np.testing.assert_array_equal(encoder.encode(["tea", "bread"]), expected(endpoint, ["tea", "bread"]))
    np.testing.assert_array_equal(encoder.encode(["wings", "drag"]), expected(endpoint, ["wings", "drag"]))
    body = endpoint.requests[1]["body"]
    assert body == {"model": "test", "input": ["wings", "drag"], "encoding_format": "base64"}
    assert "Authorization" not in endpoint.requests[1]["headers"]


def test_cohere_is_told_queries_from_documents(endpoint, remote):
    encoder = remote("cohere")
    for method, role in ((encoder.encode_query, "query"), (encoder.encode_document, "document"), (encoder.encode, "document")):
        np.testing.assert_array_equal(method(["tea"]), expected(endpoint, ["tea"], role=role))
    assert [request["body"]["input_type"] for request in endpoint.requests] == ["search_query", "search_document"]
    assert endpoint.requests[0]["body"]["embedding_types"] == ["float"]


def test_prompts_stand_before_the_texts(endpoint, remote):
    encoder = remote(prompts={"query": "ask: "})
    assert encoder.encode_query("tea").tolist() == endpoint.vector("ask: tea").tolist()
    assert encoder.encode_document("tea").tolist() == endpoint.vector("tea").tolist()


def test_texts_that_servers_refuse_are_sent_otherwise(endpoint, remote):
    assert np.isfinite(remote().encode(["", "\ud800 lone", " "])).all()
    assert endpoint.texts[1:] == [" ", "\ufffd lone"]  # the empty one, and the one with a lone surrogate, once each


# Batches and threads --------------------------------------------------------------------------------------------------


def test_a_request_holds_so_many_texts_and_characters(endpoint, remote, monkeypatch):
    encoder = remote(batch_size=3, max_concurrent=1, cache=False)
    encoder.encode([f"text {number}" for number in range(8)])
    assert [len(request["texts"]) for request in endpoint.requests] == [3, 3, 2]
    endpoint.requests.clear()
    monkeypatch.setattr("vicino.encoders.remote._CHARACTERS", 20)
    encoder.encode(["a" * 15, "b" * 5, "c" * 30, "d", "e"])
    assert [len(request["texts"]) for request in endpoint.requests] == [2, 1, 2]


def test_so_many_requests_are_under_way_and_never_more(endpoint, remote):
    encoder = remote(batch_size=1, max_concurrent=3)
    _ = encoder.dim
    endpoint.meet = threading.Barrier(3)  # unless three meet, none is answered
    encoder.encode([f"text {number}" for number in range(12)])
    assert endpoint.busiest == 3


def test_equal_texts_are_asked_once(endpoint, remote):
    encoder = remote(cache=False)
    np.testing.assert_array_equal(
        encoder.encode(["tea", "bread", "tea", "tea"]), expected(endpoint, ["tea", "bread", "tea", "tea"])
    )
    assert endpoint.texts == ["tea", "bread"]


def test_the_batch_size_of_encode_is_not_used(endpoint, remote):
    remote(cache=False).encode(["a", "b", "c"], batch_size=1)
    assert len(endpoint.requests) == 1


# What may pass is tried again -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "trouble",
    [
        ["429"],
        ["500", "500"],
        ["408", "409", "425", "502", "503", "504"],
        ["hang up"],
        ["cut"],
        ["empty"],
        ["broken"],
        ["wait 0"],
    ],
    ids=" ".join,
)
def test_what_may_pass_is_tried_again(endpoint, remote, trouble):
    encoder = remote()
    endpoint.misbehave(*trouble)
    assert encoder.encode("tea").tolist() == endpoint.vector("tea").tolist()
    assert len(endpoint.requests) == encoder.usage.requests == 1 + len(trouble)
    assert encoder.usage.retries == len(trouble)


def test_a_silent_server_is_asked_again_after_the_timeout(endpoint, remote):
    encoder = remote(timeout=0.2)
    endpoint.misbehave("slow")
    assert encoder.encode("tea").tolist() == endpoint.vector("tea").tolist()
    endpoint.misbehave("slow")
    with pytest.raises(VicinoError, match=r"no answer within 0\.2 s\n.*timeout"):
        remote(timeout=0.2, retries=0).encode("bread")


@pytest.mark.parametrize("trouble", ["500", "429", "hang up", "cut", "empty", "broken"])
def test_it_is_tried_only_so_often(endpoint, remote, trouble):
    endpoint.misbehave(*[trouble] * 4)
    with pytest.raises(VicinoError, match=rf"^{endpoint.url}/v1/embeddings: .*\n.*later") as caught:
        remote(retries=2).encode("tea")
    assert not isinstance(caught.value, InputError)
    assert len(endpoint.requests) == 3


@pytest.mark.parametrize("status", ["400", "401", "402", "403", "404", "405", "422", "quota"])
def test_what_will_not_pass_is_named_at_once(endpoint, remote, status):
    endpoint.misbehave(status, status)
    with pytest.raises(InputError, match=r"this is a|insufficient_quota") as caught:
        remote().encode("tea")
    assert caught.value.mend
    assert len(endpoint.requests) == 1


@pytest.mark.parametrize(
    ("status", "said", "kind"),
    [
        (413, "Payload Too Large", InputTooLarge),
        (400, "This model's maximum context length is 8192 tokens, however you requested 9000 tokens", InputTooLarge),
        (400, "Invalid 'input': array too long. Expected an array with maximum length 2048", InputTooLarge),
        (400, "Requested 300001 tokens, max 300000 tokens per request", InputTooLarge),
        (400, "invalid request: total number of texts must be at most 96, received 97", InputTooLarge),
        (422, "`inputs` must have less than 512 tokens. Given: 600: exceeds", InputTooLarge),
        (400, "Invalid value for 'dimensions': must be at most 1536", InputError),
        (400, "'$.input' is invalid. Please check the API reference", InputError),
        (404, "the model exceeds the text limit", InputError),
    ],
)
def test_what_servers_say_of_too_much_is_understood(status, said, kind):
    assert calling._refused(status, said, None).kind is kind


def test_a_server_that_asks_for_an_hour_is_not_waited_for(endpoint, remote):
    endpoint.misbehave("wait 3600")
    with pytest.raises(VicinoError, match="503, later"):
        remote().encode("tea")
    assert len(endpoint.requests) == 1


def test_retry_after_is_seconds_or_a_date(monkeypatch):
    monkeypatch.undo()
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=100), usegmt=True)
    assert calling._seconds("7") == 7
    assert 90 < calling._seconds(soon) <= 100
    assert calling._seconds(format_datetime(datetime.now(UTC) - timedelta(days=1), usegmt=True)) == 0
    assert calling._seconds("soon") is calling._seconds(None) is None


def test_waits_double_differ_and_are_repeatable_under_a_seed(monkeypatch):
    monkeypatch.undo()
    first, again = (Caller("http://127.0.0.1:1", Patience(seed=1)) for _ in range(2))
    waits = [first._backoff(attempt) for attempt in range(12)]
    assert waits == [again._backoff(attempt) for attempt in range(12)]
    assert waits != [Caller("http://127.0.0.1:1", Patience(seed=2))._backoff(attempt) for attempt in range(12)]
    for attempt, wait in enumerate(waits):
        assert 0.5 * min(30, 0.5 * 2**attempt) <= wait <= min(30, 0.5 * 2**attempt)


def test_where_nothing_listens_is_said_at_once():
    with pytest.raises(VicinoError, match=r"^http://127\.0\.0\.1:9/v1/embeddings: nothing answers there\n.*start the server"):
        Remote(url="http://127.0.0.1:9/v1", model="m").encode("tea")


def test_an_error_stops_the_batches_that_wait(endpoint, remote):
    encoder = remote(batch_size=1, max_concurrent=2)
    _ = encoder.dim
    endpoint.misbehave("403", "403")
    with pytest.raises(InputError, match="this is a 403"):
        encoder.encode([f"text {number}" for number in range(200)])
    assert len(endpoint.requests) < 50


# Too much -------------------------------------------------------------------------------------------------------------


def test_a_batch_that_is_too_large_is_halved(endpoint, remote):
    endpoint.most_texts = 3
    texts = [f"text number {number}" for number in range(17)]
    encoder = remote(max_concurrent=1, cache=False)
    np.testing.assert_array_equal(encoder.encode(texts), expected(endpoint, texts))
    assert [len(request["texts"]) for request in endpoint.requests][:4] == [17, 8, 4, 2]


def test_a_text_that_is_too_long_is_named_and_the_others_are_kept(endpoint, remote):
    endpoint.longest_text = 50
    texts = ["tea", "bread", "long " * 20, "wings", "drag"]
    with pytest.raises(InputTooLarge, match=r"a text of 100 characters is refused, 'long long.*413.*context length"):
        remote(max_concurrent=1).encode(texts)
    endpoint.longest_text = None
    endpoint.requests.clear()
    remote(max_concurrent=1).encode(texts)
    assert {"tea", "bread"} & set(endpoint.texts) == set()


# Wrong answers --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("trouble", "error", "says"),
    [
        ("few", InvalidVectors, "1 vectors for 2 texts"),
        ("wide", DimensionMismatch, "vectors of 96 dimensions, where 48"),
        ("uneven", InvalidVectors, "not vectors"),
        ("nan", InvalidVectors, "NaN"),
        ("html", InputError, "a web page instead of JSON: Sign in"),
        ("other shape", InvalidVectors, "an answer of another shape"),
        ("elsewhere", VicinoError, "it sends on to http://localhost:[0-9]+/stolen\n"),
    ],
)
@pytest.mark.parametrize("shape", WAYS)
def test_a_wrong_answer_is_named_and_what_came_before_is_kept(endpoint, remote, monkeypatch, shape, trouble, error, says):
    encoder = remote(shape, batch_size=2, max_concurrent=1)
    _ = encoder.dim
    endpoint.misbehave("", "", trouble)
    texts = [f"text number {number}" for number in range(8)]
    with pytest.raises(error, match=f"^{endpoint.url}/[a-z0-9/]+: .*{says}"):
        encoder.encode(texts)
    endpoint.requests.clear()
    again = remote(shape, batch_size=2, max_concurrent=1)
    assert len(again.encode(texts)) == 8
    assert set(endpoint.texts) & set(texts[:4]) == set()
    assert set(texts[4:]) <= set(endpoint.texts)


@pytest.mark.parametrize(
    "plain", [[], 5, None, "text", {}, {"data": 5}, {"data": [5]}, {"data": [{"index": "x"}]}, {"data": [{}]}]
)
@pytest.mark.parametrize("shape", WAYS)
def test_json_of_any_kind_is_named(endpoint, remote, monkeypatch, shape, plain):
    monkeypatch.setattr(endpoint.RequestHandlerClass, "_answer", lambda self, *what: plain)
    with pytest.raises(InvalidVectors, match=r"an answer of another shape \(.*\n.*openai, cohere, ollama"):
        remote(shape).encode("tea")


@pytest.mark.parametrize(("code", "kind"), [(429, VicinoError), (None, InputError), ("odd", InputError), (401, InputError)])
def test_an_error_inside_a_good_answer_is_one(endpoint, remote, monkeypatch, code, kind):
    monkeypatch.setattr(endpoint.RequestHandlerClass, "_answer", lambda self, *what: {"error": {"message": "no", "code": code}})
    with pytest.raises(kind, match=f"{code if isinstance(code, int) else 400}, no") as caught:
        remote(retries=1).encode("tea")
    assert isinstance(caught.value, InputError) == (kind is InputError)


@pytest.mark.parametrize("tokens", ["many", -5, None, [1], {}])
def test_tokens_that_are_no_number_are_estimated(endpoint, remote, monkeypatch, tokens):
    monkeypatch.setattr(
        endpoint.RequestHandlerClass, "_answer", lambda self, *what: {"embeddings": [[1, 2]], "prompt_eval_count": tokens}
    )
    encoder = remote("ollama", cache=False)
    encoder.encode("x" * 12)
    assert encoder.usage == Usage(requests=1, tokens=3, estimated=True)


def test_a_width_other_than_the_one_asked_for_is_named(endpoint, remote):
    endpoint.misbehave("wide")
    with pytest.raises(DimensionMismatch, match="vectors of 14 dimensions, where 7 were asked for"):
        remote(dimensions=7).encode("tea")


# Keys -----------------------------------------------------------------------------------------------------------------


def test_the_key_comes_from_the_variable_that_is_named(endpoint, remote, monkeypatch):
    endpoint.key = KEY
    encoder = remote(key_env="MY_KEY")
    with pytest.raises(InputError, match=r"127\.0\.0\.1 needs a key, and MY_KEY is not set\n.*export MY_KEY="):
        encoder.encode("tea")
    monkeypatch.setenv("MY_KEY", f" {KEY}\n")
    assert encoder.encode("tea").tolist() == endpoint.vector("tea").tolist()
    assert endpoint.requests[0]["headers"]["Authorization"] == f"Bearer {KEY}"


def test_a_usual_key_goes_to_its_own_server_only(endpoint, remote, monkeypatch):
    for name in ("OPENAI_API_KEY", "COHERE_API_KEY"):
        monkeypatch.setenv(name, KEY)
    for shape in WAYS:
        remote(shape).encode("tea")
    assert all("Authorization" not in request["headers"] for request in endpoint.requests)
    assert Remote()._key() == Remote(shape="cohere")._key() == KEY
    monkeypatch.delenv("COHERE_API_KEY")
    monkeypatch.setenv("CO_API_KEY", "other")
    assert Remote(shape="cohere")._key() == "other"
    monkeypatch.delenv("CO_API_KEY")
    with pytest.raises(InputError, match=r"api\.cohere\.com needs a key, and COHERE_API_KEY is not set"):
        Remote(shape="cohere").encode("tea")


def test_a_wrong_key_is_named_without_showing_it(endpoint, remote, monkeypatch):
    endpoint.key = "another"
    monkeypatch.setenv("MY_KEY", KEY)
    with pytest.raises(
        InputError, match=r"401, Incorrect API key provided: Bearer \*\*\* \(invalid_api_key\)\n.*key_env"
    ) as caught:
        remote(key_env="MY_KEY").encode("tea")
    assert KEY not in repr(caught.value)
    for odd in ("two words", "naïve", "a\nb"):
        monkeypatch.setenv("MY_KEY", odd)
        with pytest.raises(InputError, match="what stands in MY_KEY is no key"):
            remote(key_env="MY_KEY").encode("tea")


def test_a_key_does_not_travel_unencrypted(monkeypatch):
    monkeypatch.setenv("MY_KEY", KEY)
    with pytest.raises(InputError, match=r"MY_KEY would travel unencrypted to example\.org\n.*allow_http"):
        Remote(url="http://example.org/v1", model="m", key_env="MY_KEY").encode("tea")
    assert Remote(url="http://example.org/v1", model="m", key_env="MY_KEY", allow_http=True)._key() == KEY
    for here in ("localhost", "127.0.0.1", "[::1]"):
        assert Remote(url=f"http://{here}:5/v1", model="m", key_env="MY_KEY")._key() == KEY


def test_a_key_is_not_sent_to_where_a_server_redirects(endpoint, remote, monkeypatch):
    monkeypatch.setenv("MY_KEY", KEY)
    endpoint.misbehave("elsewhere")
    with pytest.raises(VicinoError, match="it sends on to"):
        remote(key_env="MY_KEY").encode("tea")
    assert [request["path"] for request in endpoint.requests] == ["/v1/embeddings"]


def test_the_key_stands_nowhere(endpoint, remote, monkeypatch, caplog, tmp_path, documents):
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("MY_KEY", KEY)
    endpoint.key = KEY
    recipe = parse(f"remote(url={endpoint.url}/v1,model=test,key_env=MY_KEY)")
    endpoint.misbehave("500", "429")
    retriever = from_recipe(recipe).build(documents)
    encoder = retriever.encoder_
    retriever.save(tmp_path / "retriever")
    encoder.save(tmp_path / "encoder")
    said = [repr(encoder), str(encoder.get_params()), str(encoder.usage), str(vars(encoder)), str(retriever.recipe), caplog.text]
    for trouble in ("401", "400", "403", "503", "html", "few", "elsewhere"):
        endpoint.misbehave(trouble)
        with pytest.raises(VicinoError) as caught:
            remote(key_env="MY_KEY", retries=0).encode(f"a text for {trouble}")
        said += [str(caught.value), repr(caught.value)]
    assert endpoint.requests[-1]["headers"]["Authorization"].endswith(KEY)
    assert len(caplog.records) > 2
    for text in said:
        assert KEY not in text
    kept = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert any(file.suffix == ".sqlite" for file in kept)
    for file in kept:
        assert KEY.encode() not in file.read_bytes(), file


# Kept answers ---------------------------------------------------------------------------------------------------------


def test_what_was_answered_is_not_asked_again(endpoint, remote, texts):
    first = remote().encode(texts)
    endpoint.requests.clear()
    again = remote()
    np.testing.assert_array_equal(again.encode(texts[::-1]), first[::-1])
    np.testing.assert_array_equal(again.encode_query(texts), first)  # a role that the server is not told is no difference
    assert again.dim == endpoint.dim
    assert endpoint.requests == []
    assert again.usage == Usage(cached=24, spared=again.usage.spared)
    again.encode([*texts, "one more"])
    assert len(endpoint.texts) == 2  # and the one that tells whether the model is the same


@pytest.mark.parametrize(
    "change", [{"model": "other"}, {"dimensions": 9}, {"shape": "ollama"}, {"prompts": {"document": "x "}}], ids=str
)
def test_answers_to_other_questions_are_not_mixed_up(endpoint, remote, change):
    remote().encode("tea")
    endpoint.requests.clear()
    encoder = remote().set_params(**change)
    how = {"model": change.get("model", "test"), "dim": change.get("dimensions")}
    assert encoder.encode("tea").tolist() == endpoint.vector("x tea" if "prompts" in change else "tea", **how).tolist()
    assert endpoint.requests


def test_roles_are_kept_apart_where_the_server_is_told(endpoint, remote):
    remote("cohere").encode_document("tea")
    assert remote("cohere").encode_query("tea").tolist() == endpoint.vector("tea", role="query").tolist()


def test_without_a_cache_nothing_is_kept(endpoint, remote):
    for _ in range(2):
        remote(cache=False).encode("tea")
    assert endpoint.texts == ["tea", "tea"]
    assert not home().exists()


def only_file() -> Path:
    (file,) = (home() / "cache" / "remote").glob("*.sqlite")
    return file


@pytest.mark.parametrize("damage", [b"not a database at all" * 999, b"SQLite format 3\x00" + b"\xff" * 5000])
def test_a_damaged_file_is_set_aside_and_begun_anew(endpoint, remote, caplog, damage):
    remote().encode("tea")
    only_file().write_bytes(damage)
    assert remote().encode("tea").tolist() == endpoint.vector("tea").tolist()
    assert "set aside" in caplog.text
    assert only_file().with_suffix(".damaged").read_bytes() == damage
    endpoint.requests.clear()
    remote().encode("tea")
    assert endpoint.requests == []


def test_a_page_that_was_overwritten_is_noticed(endpoint, remote, caplog):
    texts = [f"text number {number}" for number in range(400)]
    remote().encode(texts)
    data = bytearray(only_file().read_bytes())
    data[4096:-4096] = b"\xa5" * len(data[4096:-4096])
    only_file().write_bytes(bytes(data))
    np.testing.assert_array_equal(remote().encode(texts), expected(endpoint, texts))
    assert "set aside" in caplog.text


def test_where_nothing_can_be_kept_it_works_and_says_so(endpoint, remote, caplog, monkeypatch, tmp_path):
    (tmp_path / "a file").write_text("in the way")
    monkeypatch.setenv("VICINO_HOME", str(tmp_path / "a file"))
    assert remote().encode("tea").tolist() == endpoint.vector("tea").tolist()
    assert "answers are no longer kept" in caplog.text


CHILD = """
import sys
from vicino.encoders.remote import Remote
encoder = Remote(url=sys.argv[1], model="test", batch_size=2, max_concurrent=int(sys.argv[3]))
texts = [f"text number {number}" for number in range(int(sys.argv[2]))]
print(encoder.encode(texts).sum())
"""


def child(endpoint: Any, count: int, threads: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", CHILD, f"{endpoint.url}/v1", str(count), str(threads)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize("after", [2, 5, 9])
def test_a_killed_process_loses_nothing_that_was_answered(endpoint, remote, after):
    running: list[subprocess.Popen[str]] = []
    endpoint.watch = lambda count: running[0].send_signal(signal.SIGKILL) if count == after else None
    running.append(child(endpoint, 24, 1))
    running[0].communicate(timeout=60)
    assert running[0].returncode == -signal.SIGKILL
    answered = {text for request in endpoint.requests[: after - 1] for text in request["texts"]}
    endpoint.watch = lambda count: None
    endpoint.requests.clear()
    texts = [f"text number {number}" for number in range(24)]
    np.testing.assert_array_equal(remote().encode(texts), expected(endpoint, texts))
    assert answered & set(endpoint.texts) <= {"Is this still the same model?"}
    assert len(answered) == 2 * (after - 1)


def test_several_processes_keep_answers_at_once(endpoint):
    running = [child(endpoint, 60, 3) for _ in range(4)]
    said = [each.communicate(timeout=60) for each in running]
    assert [each.returncode for each in running] == [0] * 4, said
    assert len({out for out, _ in said}) == 1
    assert all("no longer kept" not in err and "set aside" not in err for _, err in said)
    endpoint.requests.clear()
    child(endpoint, 60, 3).communicate(timeout=60)
    assert endpoint.requests == []


# A model that changes silently ----------------------------------------------------------------------------------------


def test_another_model_under_the_same_name_is_noticed_before_it_mixes(endpoint, remote, texts):
    before = remote().encode(texts)
    endpoint.version = "2"
    other = remote()
    np.testing.assert_array_equal(other.encode(texts), before)  # known
    with pytest.raises(SpaceMismatch, match=r"test at 127\.0\.0\.1:\d+ no longer gives.*another model now\n.*rm .*\.sqlite"):
        other.encode("a new text")
    endpoint.version = "1"
    assert remote().encode("a new text").tolist() == endpoint.vector("a new text").tolist()  # nothing of the other was kept
    endpoint.version, endpoint.dim = "1", 50
    with pytest.raises(SpaceMismatch, match="another model now"):
        remote().encode("another new text")
    only_file().unlink()
    assert remote().encode(texts).shape == (len(texts), 50)


def test_the_canaries_of_a_retriever_notice_it_without_a_cache(endpoint, documents, tmp_path):
    retriever = from_recipe(parse(f"remote(url={endpoint.url}/v1,model=test,cache=false)")).build(documents)
    folder = retriever.save(tmp_path / "saved")
    retrieval.load(folder)
    endpoint.version = "2"
    with pytest.raises(SpaceMismatch, match="no longer gives the vectors"):
        retrieval.load(folder)


# What it costs --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", WAYS)
def test_tokens_and_money_are_counted(endpoint, remote, shape):
    encoder = remote(shape, price_per_million=2.0, cache=False)
    assert encoder.usage == Usage(money=0.0)
    encoder.encode(["one two three", "four five"])
    assert encoder.usage == Usage(requests=1, tokens=5, money=5 * 2.0 / 1e6)
    assert encoder.set_params(price_per_million=None).usage.money is None
    endpoint.counts_tokens = False
    encoder.encode(["x" * 40])
    assert encoder.usage == Usage(requests=2, tokens=15, estimated=True)
    assert str(encoder.usage) == "2 requests, 15 tokens (estimated)"


def test_what_the_cache_spared_is_counted(endpoint, remote):
    remote().encode(["one two three", "four five six"])
    encoder = remote(price_per_million=1.0)
    encoder.encode(["one two three", "four five six", "seven"])
    assert encoder.usage.cached == 2
    assert encoder.usage.spared == 6
    assert encoder.usage.tokens == 1 + 6  # and the known text of six words


# Parameters -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("params", "error", "says"),
    [
        ({"shape": "opneai"}, UnknownName, "did you mean openai"),
        ({"shape": "ollama", "model": ""}, InputError, r"no model was named\n.*remote\(shape=ollama,model=NAME\)"),
        ({"url": "127.0.0.1:5/v1"}, InputError, "not one of a server"),
        ({"url": "ftp://example.org"}, InputError, "not one of a server"),
        ({"url": "https://"}, InputError, "not one of a server"),
        ({"url": "https://example.org:port/"}, InputError, "not one of a server"),
        ({"url": "https://[example.org/"}, InputError, "not one of a server"),
        ({"url": "https://me:Geheim@example.org/v1"}, InputError, r"the url of example\.org holds more.*\n.*key_env"),
        ({"url": "https://Geheim@example.org/v1"}, InputError, "holds more than host and path"),
        ({"url": "https://example.org/v1?key=Geheim"}, InputError, "holds more than host and path"),
        ({"url": "https://example.org/v1#Geheim"}, InputError, "holds more than host and path"),
        ({"batch_size": 0}, InputError, r"cannot be\n.*or more"),
        ({"max_concurrent": 0}, InputError, r"cannot be\n.*or more"),
        ({"dimensions": 0}, InputError, r"cannot be\n.*or more"),
        ({"retries": -1}, InputError, r"cannot be\n.*or more"),
        ({"batch_size": "many"}, InputError, r"cannot be\n.*or more"),
        ({"timeout": 0.0}, InputError, r"cannot be\n.*or more"),
    ],
)
def test_parameters_that_cannot_be_are_named(endpoint, remote, params, error, says):
    for use in (lambda encoder: encoder.encode("tea"), lambda encoder: encoder.dim, lambda encoder: encoder.space):
        with pytest.raises(error, match=says) as caught:
            use(remote(**params))
        assert "Geheim" not in str(caught.value)
    assert endpoint.requests == []


def test_the_space_is_where_and_what_without_the_key(endpoint, remote, monkeypatch):
    first = remote(dimensions=8).space
    same = {"batch_size": 3, "max_concurrent": 1, "timeout": 5.0, "price_per_million": 1.0, "cache": False, "prompts": {}}
    assert remote(dimensions=8, **same).space == remote(dimensions=8, url=f"{endpoint.url}/v1/").space == first
    assert (
        Remote(dimensions=8).space == Remote(url="https://API.openai.com/v1", model="text-embedding-3-small", dimensions=8).space
    )
    assert remote(dimensions=8, url=f"{endpoint.url}/v2").space != first


def test_a_missing_extra_is_named(remote, monkeypatch):
    monkeypatch.setitem(sys.modules, "urllib3", None)
    with pytest.raises(MissingExtra, match=r"vicino\[remote\]"):
        remote().encode("tea")


def test_the_loopback_is_reached_without_a_proxy(endpoint, remote, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert remote().encode("tea").tolist() == endpoint.vector("tea").tolist()


def test_a_proxy_is_used_where_one_is_named(endpoint, monkeypatch):
    monkeypatch.setenv("http_proxy", endpoint.url)
    monkeypatch.delenv("no_proxy", raising=False)
    encoder = Remote(url="http://embeddings.example/v1", model="test")
    assert encoder.encode("tea").tolist() == endpoint.vector("tea").tolist()
    assert endpoint.requests[0]["path"] == "http://embeddings.example/v1/embeddings"


def test_a_proxy_may_want_a_password(endpoint, monkeypatch):
    monkeypatch.setenv("http_proxy", endpoint.url.replace("//", "//me:pass%20word@"))
    monkeypatch.delenv("no_proxy", raising=False)
    Remote(url="http://embeddings.example/v1", model="test").encode("tea")
    assert endpoint.requests[0]["headers"]["proxy-authorization"] == "Basic " + base64.b64encode(b"me:pass word").decode()
    monkeypatch.setenv("http_proxy", "socks5://127.0.0.1:5")
    with pytest.raises(InputError, match=r"the proxy for http is not an http:// one\n.*export http_proxy="):
        Remote(url="http://embeddings.example/v1", model="other").encode("tea")


# Where an encoder can stand -------------------------------------------------------------------------------------------


def test_a_retriever_with_a_remote_model(endpoint, documents, tmp_path):
    retriever = from_recipe(parse(f"bm25+remote(url={endpoint.url}/v1,model=test,price_per_million=1)")).build(documents)
    hits = retriever.search("black tea", 3)
    assert hits.ids[0, 0] == "d3"
    opened = retrieval.load(retriever.save(tmp_path / "saved"))
    assert opened.search("black tea", 3).ids.tolist() == hits.ids.tolist()


def test_a_folder_sends_no_key_to_a_host_that_nobody_named(endpoint, remote, monkeypatch, tmp_path):
    monkeypatch.setenv("MY_KEY", KEY)
    encoder = remote(key_env="MY_KEY")
    encoder.encode("tea")
    folder = encoder.save(tmp_path / "saved")
    assert encoders.load(folder).encode("tea").shape == (endpoint.dim,)
    monkeypatch.setattr("vicino.encoders.trust._vouched", set())
    with pytest.raises(InputError, match=r"wants to send the key in MY_KEY to 127\.0\.0\.1\n.*VICINO_TRUST=127\.0\.0\.1"):
        encoders.load(folder)
    monkeypatch.setenv("VICINO_TRUST", "127.0.0.1")
    assert encoders.load(folder).encode("tea").shape == (endpoint.dim,)


def test_documents_are_sent_with_their_titles(endpoint, remote):
    remote(cache=False).encode_document([Document("a", "wings", title="Lift")])
    assert endpoint.texts == ["Lift\nwings"]
