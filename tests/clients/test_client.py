"""`vicino.Client` against a live server, and against servers that are slow, busy or broken."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

import vicino
from vicino import Client, client
from vicino.client import ServerError, sending
from vicino.data.records import Document
from vicino.errors import EmptyInput, InputError, InputTooLarge, UnknownName


@pytest.fixture
def asking(address) -> Iterator[Client]:
    with Client(address, key="") as made:
        yield made


# A live server --------------------------------------------------------------------------------------------------------


def test_vectors_are_those_of_the_encoder(asking, tiny, texts):
    encoder = vicino.load(tiny)
    np.testing.assert_allclose(asking.embed(texts), encoder.encode(texts), atol=1e-6)
    one = asking.embed(texts[0], model="tiny", kind="query")
    assert one.shape == (8,)
    assert one.dtype == np.float32
    assert asking.embed(iter(texts[:3])).shape == (3, 8)
    assert {one["id"]: one["kind"] for one in asking.models()} == {"tiny": "encoder", "rr": "reranker"}


def test_many_texts_go_in_several_requests_and_keep_their_order(asking, texts, monkeypatch):
    monkeypatch.setattr(client, "_TEXTS", 5)
    whole = asking.embed(texts)
    monkeypatch.setattr(client, "_BYTES", 150)
    np.testing.assert_allclose(asking.embed(texts), whole, atol=1e-6)
    assert [len(each) for each in client._portions(["a" * 100, "b" * 100, "é"], client._size_of_text)] == [1, 2]


def test_threads_share_a_client(asking, texts):
    alone = asking.embed(texts)
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(asking.embed, texts * 4))
    np.testing.assert_allclose(np.stack(together), np.concatenate([alone] * 4), atol=1e-6)


def test_a_search_answers_with_records_that_say_why(asking, documents_of_notes):
    answer = asking.search("notes", "How do wings lift an aeroplane?", 3, explain=True)
    texts = {one.id: one.text for one in documents_of_notes}
    assert answer[0].document == "d0"
    assert [one.rank for one in answer] == [1, 2, 3]
    assert all(one.text == texts[one.document][one.start : one.end] for one in answer)
    assert answer[0].why
    assert len(answer) == len(list(answer)) == 3
    assert answer.timing["total_ms"] > 0
    after = asking.search("notes", "How do wings lift an aeroplane?", 3, offset=answer.next_offset)
    assert not {one.document for one in after} & {one.document for one in answer}
    assert all(one.metadata["lang"] == "en" for one in asking.search("notes", "wings", where="lang = 'en'"))
    missed = asking.why_not("notes", "How do wings lift an aeroplane?", "d3", 1)
    assert missed["verdict"]
    assert "notes" in {one["name"] for one in asking.collections()}


def test_documents_are_kept_found_changed_and_removed(asking, monkeypatch):
    monkeypatch.setattr(client, "_TEXTS", 2)
    events = []
    notes = [Document("a", "The heron stands in the reeds."), {"id": "b", "text": "Otters dive for mussels."}]
    summary = asking.ingest("birds", [*notes, Document("c", "A kite hovers.")], recipe="bm25", told=events.append)
    assert (summary["documents"], summary["new"], summary["total_documents"]) == (3, 3, 3)
    assert [event["event"] for event in events].count("done") == 2
    assert asking.search("birds", "mussels", 1)[0].document == "b"
    again = asking.ingest("birds", [notes[0], Document("b", "Otters sleep on their backs.")])
    assert (again["unchanged"], again["changed"], again["new"]) == (1, 1, 0)
    assert not len(asking.search("birds", "mussels", 1))
    assert asking.delete("birds", ids=["a"])["documents"] == 1
    assert not len(asking.search("birds", "heron", 1))
    assert asking.maintain("birds")["collection"] == "birds"


def test_judgments_are_kept_and_taken_back(asking):
    name = asking.judge("notes", "wings", "d0", 3, rater="ada")
    (kept,) = [one for one in asking.judgments("notes") if one["id"] == name]
    assert (kept["query"], kept["document"], kept["grade"], kept["rater"]) == ("wings", "d0", 3, "ada")
    asking.unjudge("notes", name)
    assert name not in {one["id"] for one in asking.judgments("notes")}
    assert asking.studies() == []
    with pytest.raises(UnknownName):
        asking.study("none")


def test_reranking_orders_by_the_served_cross_encoder(asking, crossing, texts):
    ranked = asking.rerank("the violin", texts[:6], top_n=4)
    scores = vicino.load(crossing).predict([("the violin", text) for text in texts[:6]])
    assert [one.index for one in ranked] == list(np.argsort(-scores)[:4])
    assert [one.score for one in ranked] == sorted((one.score for one in ranked), reverse=True)


def test_what_is_wrong_has_a_name_here_too(asking):
    with pytest.raises(UnknownName, match="tinny"):
        asking.embed("a", model="tinny")
    with pytest.raises(UnknownName, match="nowhere"):
        asking.search("nowhere", "a")
    with pytest.raises(InputError, match="empty"):
        asking.embed(["a", ""])
    with pytest.raises(InputError) as bad:
        asking.search("notes", "a", where="lang = ")
    assert bad.value.mend
    with pytest.raises(EmptyInput):
        asking.embed([])
    with pytest.raises(EmptyInput):
        asking.ingest("notes", [])
    with pytest.raises(InputError, match="JSON"):
        asking.ingest("notes", [{"id": "x", "text": "y", "metadata": {"z": float("nan")}}])
    with pytest.raises(InputTooLarge):
        asking.embed("a " * (1 << 20))


def test_a_server_that_is_not_ready_says_so_without_being_asked_again(serving, tiny, tmp_path):
    with serving(home=tmp_path, encoders=[tiny]) as there, Client(str(there.base_url)) as made:
        assert made.ready() == {"ready": True, "waiting": [], "failed": {}}


# A server that misbehaves ---------------------------------------------------------------------------------------------

Answering = Callable[[BaseHTTPRequestHandler], object]


@pytest.fixture
def scripted() -> Iterator[Callable[..., Client]]:
    """`scripted(first, second, ...)`: a client of a server that answers its requests so, in turn; `client.seen` has them."""
    running = []

    def start(*script: Answering, **options) -> Client:
        seen = []

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"] or 0))
                seen.append((self.path, dict(self.headers), body))
                script[min(len(seen), len(script)) - 1](self)

            do_GET = do_POST  # noqa: N815 - http.server asks for that name

            def log_message(self, *_):
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        made = Client(f"http://127.0.0.1:{server.server_port}", **{"timeout": 5.0, **options})
        made.seen = seen
        running.append((server, made))
        return made

    yield start
    for server, made in running:
        made.close()
        server.shutdown()
        server.server_close()


def says(status: int, plain: object, **headers: str) -> Answering:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        data = plain if isinstance(plain, bytes) else json.dumps(plain).encode()
        handler.send_response(status)
        for name, value in {"Content-Length": str(len(data)), **headers}.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(data)

    return answer


def hangs_up(handler: BaseHTTPRequestHandler) -> None:
    handler.close_connection = True


def refusal(**told: object) -> dict[str, object]:
    return {"error": {"message": "no", "type": "x", "param": None, "code": "c", "mend": "yes", "request_id": "r1", **told}}


MODELS = says(200, {"data": [{"id": "m", "kind": "encoder"}]})


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch):
    monkeypatch.setattr(sending.time, "sleep", lambda seconds: None)


def test_what_is_busy_or_breaks_off_is_asked_again(scripted):
    asking = scripted(says(429, refusal(), Retry_After="1"), hangs_up, says(503, b"<html>"), MODELS)
    assert asking.models() == [{"id": "m", "kind": "encoder"}]
    assert len(asking.seen) == 4


@pytest.mark.parametrize(
    ("status", "kind"), [(400, InputError), (404, UnknownName), (413, InputTooLarge), (401, ServerError), (500, ServerError)]
)
def test_what_is_refused_for_good_is_not(scripted, status, kind):
    asking = scripted(says(status, refusal()))
    with pytest.raises(kind) as refused:
        asking.models()
    assert (refused.value.what, refused.value.mend) == ("no", "yes")
    assert len(asking.seen) == 1
    if kind is ServerError:
        assert (refused.value.status, refused.value.code, refused.value.request_id) == (status, "c", "r1")


def test_patience_ends(scripted):
    asking = scripted(says(429, refusal(), Retry_After="1"), retries=2)
    with pytest.raises(ServerError, match="no"):
        asking.models()
    assert len(asking.seen) == 3
    hours = scripted(says(429, refusal(), Retry_After="7200"))
    with pytest.raises(ServerError):
        hours.models()
    assert len(hours.seen) == 1


def test_a_judgment_is_not_sent_twice(scripted):
    asking = scripted(hangs_up)
    with pytest.raises(ServerError, match="broke off"):
        asking.judge("notes", "q", "d", 1)
    assert len(asking.seen) == 1


def test_an_ingest_that_breaks_off_is_asked_for_again_under_the_same_key(scripted):
    def breaks(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        handler.wfile.write(b'{"event": "progress", "label": "x", "done": 1, "total": 2}\n')
        handler.close_connection = True

    def done(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        handler.wfile.write(b'{"event": "done", "summary": {"documents": 1, "refused": {}}}\n')
        handler.close_connection = True

    asking = scripted(breaks, says(409, refusal(code="idempotency_running")), done)
    assert asking.ingest("notes", [Document("a", "b")])["documents"] == 1
    assert len({headers["Idempotency-Key"] for _, headers, _ in asking.seen}) == 1
    assert len(asking.seen) == 3
    other = scripted(breaks, retries=1)
    with pytest.raises(ServerError, match="too early"):
        other.ingest("notes", [Document("a", "b")])


def test_an_error_in_the_middle_of_an_answer_is_raised(scripted):
    def fails(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        handler.wfile.write(json.dumps({"event": "error", **refusal(message="the disk is full")}).encode() + b"\n")
        handler.close_connection = True

    with pytest.raises(ServerError, match="the disk is full"):
        scripted(fails).ingest("notes", [Document("a", "b")])


def test_a_connection_that_the_server_closed_meanwhile_is_not_used_again(scripted):
    def once(handler: BaseHTTPRequestHandler) -> None:
        MODELS(handler)
        handler.close_connection = True  # without having said so

    asking = scripted(once, once, retries=0)
    asking.models()
    (kept,) = asking._sender._idle
    assert kept.sock.recv(1) == b""  # wait until it is closed: the client must notice by itself
    asking.models()
    assert len(asking.seen) == 2


def test_a_key_reaches_only_the_server_that_it_is_for(scripted, monkeypatch):
    asking = scripted(says(307, b"", Location="http://127.0.0.1:9/stolen"), key="secret")
    with pytest.raises(ServerError, match=r"sends on to http://127\.0\.0\.1:9/stolen"):
        asking.models()
    assert asking.seen[0][1]["Authorization"] == "Bearer secret"
    with pytest.raises(InputError, match="in clear"):
        Client("http://example.org", key="secret")
    assert "secret" not in repr(Client("https://example.org", key="secret"))
    Client("http://10.0.0.1", key="secret", allow_http=True)
    monkeypatch.setenv("VICINO_API_KEY", "from the environment")
    with pytest.raises(InputError, match="in clear"):
        Client("http://example.org")


def test_what_is_no_answer_of_a_vicino_is_said(scripted):
    with pytest.raises(ServerError, match="no JSON"):
        scripted(says(200, b"<html>hello</html>")).models()
    with pytest.raises(ServerError, match="answered 418: short and stout"):
        scripted(says(418, b"short and stout")).models()
    nobody = Client("http://127.0.0.1:1", retries=3)
    with pytest.raises(ServerError, match="nothing answers") as refused:
        nobody.models()
    assert "vicino serve" in refused.value.mend


def test_a_slow_answer_is_given_up(scripted):
    go = threading.Event()
    asking = scripted(lambda handler: go.wait(20), timeout=0.05, retries=0)
    try:
        with pytest.raises(ServerError, match=r"no answer within 0\.05 s"):
            asking.models()
    finally:
        go.set()


@pytest.mark.parametrize(
    "url", ["localhost:8765", "ftp://a", "http://", "http://a:99999", "http://u:p@a", "http://a/?q=1", "//a"]
)
def test_an_address_that_is_none_is_refused_at_once(url):
    with pytest.raises(InputError):
        Client(url)


def test_the_environment_says_where(monkeypatch):
    monkeypatch.setenv("VICINO_URL", "http://localhost:1234/base/")
    assert repr(Client()) == "Client('http://localhost:1234/base')"
