"""Documents over HTTP: kept before they are acknowledged, once however often they are sent, refused where they cannot be."""

from __future__ import annotations

import errno
import json
import threading

import pytest

from vicino.retrieval.stored import Stored
from vicino.server.handlers import ingesting
from vicino.store.collection import Collection
from vicino.store.lance import Lance

LINES = {"Content-Type": "application/x-ndjson"}


@pytest.fixture
def client(home, serving, tiny):
    with serving(home=home, encoders=[tiny]) as client:
        yield client


def send(client, documents, name="notes", headers=None, **more):
    return client.post(f"/api/collections/{name}/documents", json={"documents": documents, **more}, headers=headers)


def last(answer):
    assert answer.status_code == 200, answer.text
    return json.loads(answer.text.splitlines()[-1])


def test_documents_are_kept_replaced_and_taken_out(client, home):
    first = last(
        send(client, [{"id": "a", "text": "A zebra."}, {"id": "b", "text": "A lion.", "title": "Cat", "metadata": {"legs": 4}}])
    )
    assert first["event"] == "done"
    assert (first["summary"]["new"], first["summary"]["total_documents"]) == (2, 14)
    again = last(send(client, [{"id": "a", "text": "A zebra."}, {"id": "b", "text": "An old lion."}]))["summary"]
    assert (again["unchanged"], again["changed"], again["removed"]) == (1, 1, 0)
    stored = Stored(Collection.open(home / "collections", "notes"))
    assert {"a", "b", "d3"} <= stored.documents
    found = client.post("/api/search", json={"collection": "notes", "query": "old lion", "k": 1}).json()["results"][0]
    assert (found["document"], found["title"], found["source"]) == ("b", "", "api")
    gone = client.request("DELETE", "/api/collections/notes/documents", json={"where": "year < 2003", "ids": ["d1", "d9", "nix"]})
    assert gone.json() == {"documents": 1, "passages": 1, "unknown": ["d9", "nix"]}
    assert client.post("/api/collections/notes/maintain").json()["busy"] is False


def test_lines_are_read_too(client):
    body = b'{"id": "a", "text": "A zebra."}\n\n{"id": "b", "text": "Ein L\xc3\xb6we."}\n'
    path = "/api/collections/notes/documents"
    assert last(client.post(path, content=body, headers=LINES, params={"source": "zoo"}))["summary"]["new"] == 2
    found = client.post("/api/search", json={"collection": "notes", "query": "Löwe", "k": 1}).json()["results"][0]
    assert (found["document"], found["source"]) == ("b", "zoo")


def test_a_key_makes_a_request_one(client, home, serving, tiny, monkeypatch):
    key = {"Idempotency-Key": "0b5c-1"}
    first = last(send(client, [{"id": "a", "text": "A zebra."}], headers=key))
    monkeypatch.setattr(ingesting, "ingest", None)  # it is not asked again
    again = last(send(client, [{"id": "a", "text": "A zebra."}], headers=key))
    assert (again["summary"], again["replayed"]) == (first["summary"], True)
    with serving(home=home, encoders=[tiny]) as other:
        assert last(send(other, [{"id": "a", "text": "A zebra."}], headers=key))["replayed"] is True
    other_body = send(client, [{"id": "a", "text": "A lion."}], headers=key)
    assert (other_body.status_code, other_body.json()["error"]["code"]) == (422, "idempotency_mismatch")
    assert send(client, [{"id": "a", "text": "x"}], headers={"Idempotency-Key": ""}).status_code == 400


def test_progress_is_told_while_it_works(client, monkeypatch):
    monkeypatch.setattr("vicino.progress._INTERVAL", 0.0)
    answer = send(client, [{"id": f"n{number}", "text": f"Note {number}."} for number in range(50)])
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert answer.headers["content-type"].startswith("application/x-ndjson")
    assert {line["event"] for line in lines[:-1]} == {"progress"}
    assert any(line["label"] == "Reading" and line["total"] for line in lines[:-1])
    assert lines[-1]["summary"]["new"] == 50


def test_a_new_collection_is_made_by_a_recipe_of_what_is_served(client, tiny):
    made = last(send(client, [{"id": "a", "text": "A zebra."}, {"id": "b", "text": "A lion."}], name="zoo", recipe="bm25+tiny"))
    assert made["summary"]["collection"] == "zoo"
    about = next(one for one in client.get("/api/collections").json()["collections"] if one["name"] == "zoo")
    assert (about["label"], about["spaces"][0]["dim"]) == (f"bm25+{tiny.name}", 8)


@pytest.mark.parametrize(
    "recipe",
    [
        "callable(function=os:getcwd)",
        "remote(url=http://127.0.0.1:9)",
        "/etc",
        "org/model",
        "bm25>org/model",
        "bm25+ready(path=/etc/passwd)",
        "transformer(model=/tmp)",
        "bm25+",
    ],
)
def test_a_recipe_cannot_name_what_is_on_this_machine(client, home, recipe):
    answer = send(client, [{"id": "a", "text": "A zebra."}], name="zoo", recipe=recipe)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_recipe")
    assert not (home / "collections" / "zoo").exists()


@pytest.mark.parametrize(
    ("body", "headers", "status", "said"),
    [
        (b'{"documents": []}', {}, 400, "documents"),
        (b'{"documents": [{"id": "a"}]}', {}, 400, "documents.0.text"),
        (b'{"documents": [{"id": "", "text": "x"}]}', {}, 400, "documents.0.id"),
        (b'{"documents": [{"id": "a", "text": "x", "metadata": {"n": NaN}}]}', {}, 400, "NaN"),
        (b'{"documents": [{"id": "a", "text": "\\ud800"}]}', {}, 400, "half of a character"),
        (b'{"id": "a", "text": "x"}\n{"id": "b"}', LINES, 400, "line 2"),
        (b'{"id": "a", "text": "x"}\nno', LINES, 400, "line 2"),
        (b"", LINES, 400, "documents"),
        (b"a,b", {"Content-Type": "text/csv"}, 415, "text/csv"),
    ],
)
def test_what_cannot_be_read_changes_nothing(client, body, headers, status, said):
    answer = client.post(
        "/api/collections/notes/documents", content=body, headers={"Content-Type": "application/json", **headers}
    )
    assert answer.status_code == status, answer.text
    assert said in answer.json()["error"]["message"]
    assert client.get("/api/collections").json()["collections"][0]["documents"] == 12


def test_names_and_sizes_have_limits(home, serving, tiny):
    with serving(home=home, encoders=[tiny], max_text_bytes=100, collections=["notes"]) as client:
        assert send(client, [{"id": "a", "text": "x" * 101}]).status_code == 413
        assert send(client, [{"id": "a", "text": "ß" * 60}]).status_code == 413
        assert send(client, [{"id": "a", "text": "x"}], name="others").status_code == 404
    with serving(home=home, encoders=[tiny]) as client:
        for name in ("..", "%2e%2e%2fx", ".hidden", "a b"):
            assert send(client, [{"id": "a", "text": "x"}], name=name).status_code in (400, 404, 405)
        nothing = client.request("DELETE", "/api/collections/notes/documents", json={})
        assert nothing.json()["error"]["message"] == "it is not said which documents go"
    assert sorted(path.name for path in (home / "collections").iterdir() if not path.name.startswith(".")) == ["notes"]


def test_a_full_disk_loses_nothing(client, home, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Lance, "replace", full)
        answer = send(client, [{"id": "a", "text": "A zebra."}], headers={"Idempotency-Key": "k"})
        assert (answer.status_code, answer.json()["error"]["code"]) == (507, "disk_full")
        assert "nothing that was stored before is lost" in answer.json()["error"]["message"]
    assert client.get("/api/collections").json()["collections"][0]["documents"] == 12
    assert last(send(client, [{"id": "a", "text": "A zebra."}], headers={"Idempotency-Key": "k"}))["summary"]["new"] == 1


def test_what_fails_in_the_middle_is_the_last_line(client, monkeypatch):
    monkeypatch.setattr("vicino.progress._INTERVAL", 0.0)
    real = Lance.replace

    def fail(store, rows, vectors, *, tenant):
        real(store, rows, vectors, tenant=tenant)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Lance, "replace", fail)
    answer = send(client, [{"id": "a", "text": "A zebra."}])
    assert answer.status_code == 200
    told = last(answer)
    assert (told["event"], told["error"]["code"]) == ("error", "disk_full")
    monkeypatch.setattr(Lance, "replace", real)
    assert last(send(client, [{"id": "a", "text": "A zebra."}]))["summary"]["unchanged"] == 1  # what was committed stays


def test_only_so_many_write_at_once(home, serving, tiny, monkeypatch):
    held, begun = threading.Event(), threading.Event()
    real = ingesting.ingest

    def slow(*given, **more):
        begun.set()
        assert held.wait(60)
        return real(*given, **more)

    with serving(home=home, encoders=[tiny], threads=2) as client:
        monkeypatch.setattr(ingesting, "ingest", slow)
        answers = []
        thread = threading.Thread(target=lambda: answers.append(send(client, [{"id": "a", "text": "A zebra."}])))
        thread.start()
        assert begun.wait(60)
        busy = send(client, [{"id": "b", "text": "A lion."}])
        assert (busy.status_code, busy.headers["retry-after"]) == (429, "5")
        assert client.post("/api/search", json={"collection": "notes", "query": "tea"}).status_code == 200  # others go on
        held.set()
        thread.join(60)
        assert last(answers[0])["summary"]["new"] == 1
        assert last(send(client, [{"id": "b", "text": "A lion."}]))["summary"]["new"] == 1


def test_an_image_collection_takes_no_paths_from_outside(client, monkeypatch):
    monkeypatch.setattr(Collection, "accepts", property(lambda _: [frozenset({"image"})]))
    answer = send(client, [{"id": "a", "text": "/etc/passwd"}])
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "not_by_words")
