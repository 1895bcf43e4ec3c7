"""The server around its handlers: readiness, limits, abandoned requests, a good end, logs and figures."""

from __future__ import annotations

import io
import json
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from vicino.encoders.base import Encoder
from vicino.encoders.counts import LSA
from vicino.errors import ArtifactError, InputError, SpaceMismatch, UnknownName, VicinoError
from vicino.server import failures, logs
from vicino.server.failures import Busy, Refused, body_of, invalid, status_of
from vicino.server.served import Served
from vicino.server.settings import Settings
from vicino.store.collection import Collection


def until(what, seconds=30):
    """Wait until something is true."""
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end
        time.sleep(0.01)


class Held:
    """Holds every encoding of an encoder class until it is let go, and counts them."""

    def __init__(self, monkeypatch) -> None:
        self.open, self.calls = threading.Event(), []
        real = Encoder.encode

        def encode(encoder, inputs, **options):
            if inputs and inputs[0].startswith("held"):
                self.calls.append(list(inputs))
                assert self.open.wait(60)
            return real(encoder, inputs, **options)

        monkeypatch.setattr(LSA, "encode", encode)


@pytest.fixture
def held(monkeypatch):
    made = Held(monkeypatch)
    yield made
    made.open.set()


def ask(client, text="held", **settings):
    return client.post("/v1/embeddings", json={"model": "tiny", "input": text}, **settings)


def metric(client, name):
    lines = client.get("/metrics").text.splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith(name))


# Ready, alive -----------------------------------------------------------------------------------------------------------


def test_alive_at_once_and_ready_when_models_are_loaded(serving, tmp_path, tiny, monkeypatch):
    go = threading.Event()
    real = Encoder.encode

    def slow(encoder, inputs, **options):
        assert go.wait(60)
        return real(encoder, inputs, **options)

    monkeypatch.setattr(LSA, "encode", slow)
    with serving(home=tmp_path, encoders=[tiny], wait=False) as client:
        assert client.get("/health").json()["status"] == "alive"
        answer = client.get("/ready")
        assert (answer.status_code, answer.json()["waiting"]) == (503, ["tiny"])
        go.set()
        until(lambda: client.get("/ready").status_code == 200)
        assert client.get("/ready").json() == {"ready": True, "waiting": [], "failed": {}}


def test_a_model_that_cannot_be_loaded_is_said_and_the_server_is_not_ready(serving, tmp_path, tiny, monkeypatch):
    def fails(*_, **__):
        raise SpaceMismatch("its vectors moved", mend="bring the old one back")

    monkeypatch.setattr(LSA, "encode", fails)
    with serving(home=tmp_path, encoders=[tiny], wait=False) as client:
        until(lambda: not client.get("/ready").json()["waiting"])
        assert client.get("/ready").status_code == 503
        assert client.get("/ready").json()["failed"] == {"tiny": "its vectors moved"}
        answer = ask(client, "other")
        assert (answer.status_code, answer.json()["error"]["message"]) == (409, "its vectors moved")


def test_models_of_collections_are_open_before_the_first_question(serving, home, tiny, monkeypatch):
    opened = []
    encoder = Collection.encoder
    monkeypatch.setattr(Collection, "encoder", lambda self, number: opened.append(self.name) or encoder(self, number))
    with serving(home=home, encoders=[tiny]) as client:
        assert set(opened) == {"notes"}
        assert client.get("/ready").json()["failed"] == {}


def test_collections_are_loaded_and_one_that_is_damaged_does_not_hold_up_the_others(serving, home, tiny, keep, documents):
    keep(home, "broken", documents)
    with serving(home=home, encoders=[tiny]) as client:
        assert client.get("/ready").json()["failed"] == {}
    manifest = home / "collections" / "broken" / "about" / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"kind"', '"kinds"'))
    with serving(home=home, encoders=[tiny]) as client:
        assert list(client.get("/ready").json()["failed"]) == ["broken"]
    with pytest.raises(VicinoError), serving(home=home, encoders=[tiny], collections=["broken"]):
        pass


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"encoders": ("no-such-model",)}, "no encoder named"),
        ({"encoders": ("lsa",)}, "has not learnt yet"),
        ({"collections": ("nowhere",)}, "no collection named"),
        ({"encoders": ("a=minilm", "a=minilm")}, "would be called"),
    ],
)
def test_what_is_not_there_is_refused_before_anything_listens(tmp_path, settings, message):
    with pytest.raises((UnknownName, InputError), match=message):
        Served(Settings(home=tmp_path, **settings))


@pytest.mark.parametrize(
    "limits", [{"port": 70_000}, {"queue_limit": 10}, {"max_batch": 0}, {"time_limit_s": 0}, {"wait_ms": -1}, {"rate": -1.0}]
)
def test_limits_that_cannot_be_are_refused(limits):
    with pytest.raises(InputError):
        Settings(**limits)


def test_the_command_hands_limits_over(tmp_path, monkeypatch, capsys):
    from vicino import cli
    from vicino.server import running

    monkeypatch.setenv("VICINO_HOME", str(tmp_path))
    told = []
    monkeypatch.setattr(running, "serve", lambda settings, **_: told.append(settings))
    with pytest.raises(SystemExit) as stop:
        cli.main(["serve", "--max-body", "0.5", "--time-limit", "7", "--queue", "100"])
    assert stop.value.code in (0, None)
    assert (told[0].max_body_bytes, told[0].time_limit_s, told[0].max_texts) == (1 << 19, 7.0, 100)
    with pytest.raises(SystemExit) as stop:
        cli.main(["serve", "--max-body", "0"])
    assert stop.value.code == 2
    assert "max_body_bytes is 0" in capsys.readouterr().err


def test_a_port_that_is_taken_is_said(tmp_path, tiny):
    from vicino.server.running import running

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        settings = Settings(home=tmp_path, encoders=(str(tiny),), port=taken.getsockname()[1])
        with pytest.raises(InputError, match="cannot listen"), running(settings):
            pass


# Too much, too long, gone -------------------------------------------------------------------------------------------------


def test_a_full_queue_is_429_with_retry_after_and_goes_on_when_it_is_empty(serving, tmp_path, tiny, held):
    limits = {"queue_limit": 4, "max_texts": 4}
    with serving(home=tmp_path, encoders=[tiny], **limits) as client, ThreadPoolExecutor(4) as pool:
        first = pool.submit(ask, client)
        until(lambda: held.calls)
        second = pool.submit(ask, client, ["held"] * 3)
        until(lambda: metric(client, "vicino_queue_texts") == 3)
        answer = ask(client, ["held"] * 2)
        assert answer.status_code == 429
        assert int(answer.headers["Retry-After"]) >= 1
        assert answer.json()["error"]["code"] == "overloaded"
        held.open.set()
        assert [one.result().status_code for one in (first, second)] == [200, 200]
        assert ask(client, ["held"] * 4).status_code == 200


def test_what_lasts_too_long_is_504_and_the_server_goes_on(serving, tmp_path, tiny, held):
    with serving(home=tmp_path, encoders=[tiny], time_limit_s=0.2) as client:
        answer = ask(client)
        assert (answer.status_code, answer.json()["error"]["code"]) == (504, "timeout")
        held.open.set()
        until(lambda: ask(client, "other").status_code == 200)


def test_who_hangs_up_is_not_worked_for(serving, tmp_path, tiny, held):
    import httpx

    with serving(home=tmp_path, encoders=[tiny]) as client, ThreadPoolExecutor(1) as pool:
        first = pool.submit(ask, client)
        until(lambda: held.calls)
        for _ in range(5):
            with pytest.raises(httpx.ReadTimeout):
                ask(client, ["held and gone"] * 3, timeout=0.2)
        until(lambda: metric(client, "vicino_requests_abandoned_total") == 5)
        assert metric(client, "vicino_queue_texts") == 0
        held.open.set()
        assert first.result().status_code == 200
        assert ask(client, "held: after").status_code == 200
    assert held.calls == [["held"], ["held: after"]]


def test_the_end_finishes_what_was_accepted(tmp_path, tiny, held):
    import httpx

    from vicino.server.running import running

    settings = Settings(port=0, home=tmp_path, encoders=(str(tiny),))
    with ThreadPoolExecutor(9) as pool, httpx.Client(timeout=60) as client:
        with running(settings) as address:
            client.base_url = address
            asked = [pool.submit(ask, client, f"held {number}") for number in range(8)]
            until(lambda: sum(map(len, held.calls)) + metric(client, "vicino_queue_texts") == 8)
            pool.submit(lambda: (time.sleep(0.3), held.open.set()))
        assert [one.result().status_code for one in asked] == [200] * 8
        with pytest.raises(httpx.ConnectError):
            client.get("/health")


# What it tells ----------------------------------------------------------------------------------------------------------------


def test_a_request_is_one_line_with_its_id_and_nothing_that_was_asked(serving, tmp_path, tiny):
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logs.JsonLines())
    logger = logging.getLogger("vicino.server")
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        with serving(home=tmp_path, encoders=[tiny]) as client:
            mine = client.get("/v1/models/tiny?q=a-secret", headers={"X-Request-ID": "my-id.1"})
            assert mine.headers["x-request-id"] == "my-id.1"
            strange = client.get("/health", headers={"X-Request-ID": 'in"jected{}'})
            assert len(strange.headers["x-request-id"]) == 32
            ask(client, "a-secret text")
            client.get("/nowhere/a-secret")
            client.post("/v1/embeddings", json={"model": "a-secret", "input": "x"})
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    told = [line for line in lines if line["event"] == "request" and line["route"] != "/ready"]
    assert [(line["route"], line["status"]) for line in told] == [
        ("/v1/models/{name:path}", 200),
        ("/health", 200),
        ("/v1/embeddings", 200),
        ("other", 404),
        ("/v1/embeddings", 404),
    ]
    assert told[0]["request_id"] == "my-id.1"
    assert "a-secret" not in stream.getvalue()


def test_figures_hold_no_names_of_what_was_asked(client):
    ask(client, "a-secret text")
    client.get("/nowhere/a-secret")
    client.request("A-SECRET", "/health")
    client.post("/v1/embeddings", json={"model": "a-secret", "input": "x"})
    text = client.get("/metrics").text
    assert "secret" not in text.lower()
    assert 'vicino_requests_total{method="GET",route="other",status="404"}' in text
    assert metric(client, "vicino_tokens_total") > 0


def test_what_nobody_foresaw_is_a_500_that_tells_nothing(serving, tmp_path, tiny, monkeypatch):
    with serving(home=tmp_path, encoders=[tiny]) as client:

        def fails(*_, **__):
            raise RuntimeError("the password is hunter2")

        monkeypatch.setattr(LSA, "encode", fails)
        answer = ask(client)
        assert answer.status_code == 500
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "hunter2" not in answer.text
        assert answer.json()["error"]["request_id"] == answer.headers["x-request-id"]


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (UnknownName("no", mend="look"), 404),
        (InputError("no", mend="look"), 400),
        (SpaceMismatch("no", mend="look"), 409),
        (ArtifactError("no", mend="look"), 500),
        (OSError(28, "No space left on device"), 507),
        (Busy("no"), 429),
        (Refused(418, "no", mend="look", code="teapot"), 418),
        (KeyError("no"), 500),
    ],
)
def test_every_error_has_its_status_and_the_whole_body(error, status):
    assert status_of(error) == status
    body = json.loads(json.dumps(body_of(error, "r")))["error"]
    assert set(body) == {"message", "type", "param", "code", "mend", "request_id"}
    assert body["mend"]


def test_a_full_disk_is_known_whatever_it_was_wrapped_in():
    error = ArtifactError("cannot write", mend="free some space")
    assert status_of(error) == 500
    error.__cause__ = OSError(28, "No space left on device")
    assert status_of(error) == 507


def test_lone_surrogates_in_what_went_wrong_can_be_sent():
    assert json.loads(bytes(failures.answer(InputError("a \ud800 b", mend="x")).body))["error"]["message"] == "a ? b"
    assert invalid([]).status == 400


# Collections ------------------------------------------------------------------------------------------------------------------


def test_a_collection_stays_open_and_one_that_was_deleted_is_gone(home, tiny, keep, documents):
    served = Served(Settings(home=home, encoders=(str(tiny),)))
    with served.stored("notes", "") as first:
        assert first.find("tea", 2)
    with served.stored("notes", "") as again:
        assert again is first
    shutil.rmtree(home / "collections" / "notes")
    with pytest.raises(UnknownName, match="no collection named 'notes'"), served.stored("notes", ""):
        pass
    keep(home, "notes", documents[:3])
    with served.stored("notes", "") as new:
        assert new is not first
        assert len(new.find("tea", 20)) == 3


def test_models_are_loaded_once_for_requests_and_searches(tmp_path, checkpoint, keep, documents):
    folder = checkpoint("bert")
    keep(tmp_path, "networked", documents, recipe=str(folder))
    found = Served(Settings(home=tmp_path))
    (name,) = found.encoders
    given = Served(Settings(home=tmp_path, encoders=(f"mine={name}",)))
    for served, model in ((found, name), (given, "mine")):
        with served.stored("networked", "") as stored:
            assert stored.find("wings", 2)
            assert stored.collection.encoder(0) is served.encoders[model].encoder


def test_only_the_collections_that_were_named_are_served(home, tiny, keep, documents):
    keep(home, "private", documents)
    served = Served(Settings(home=home, encoders=(str(tiny),), collections=("notes",)))
    assert served.collection_names() == ["notes"]
    with pytest.raises(UnknownName) as refused:
        served.collection("private")
    assert "private" not in refused.value.mend
    with pytest.raises(UnknownName), served.stored("private", ""):
        pass


# As a process -----------------------------------------------------------------------------------------------------------------


def test_the_command_prints_its_address_answers_and_ends_well_on_sigterm(home, tiny):
    import httpx

    command = [sys.executable, "-c", "from vicino.cli import main; main()", "serve", "--port", "0", "--encoder", str(tiny)]
    environment = {**os.environ, "VICINO_HOME": str(home)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment) as process:
        try:
            address = process.stdout.readline().strip()
            assert address.startswith("http://127.0.0.1:")
            until(lambda: httpx.get(f"{address}/ready").status_code == 200)
            assert httpx.post(f"{address}/v1/embeddings", json={"model": "tiny", "input": "tea"}).status_code == 200
            process.send_signal(signal.SIGTERM)
            _, said = process.communicate(timeout=30)
        finally:
            process.kill()
    assert "Open http://127.0.0.1:" in said
    requests = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
    assert any(line.get("route") == "/v1/embeddings" and line["status"] == 200 for line in requests)
    assert process.returncode in (0, -signal.SIGTERM)
