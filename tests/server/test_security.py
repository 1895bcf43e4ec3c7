"""Attacks, each tried: names and origins, keys, scopes, rates, bodies, hostile JSON, paths; and what is said and logged."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import socket
from dataclasses import dataclass
from urllib.parse import quote

import pytest

httpx = pytest.importorskip("httpx")
pytest.importorskip("fastapi")

from vicino import cli  # noqa: E402
from vicino.errors import InputError, VicinoError  # noqa: E402
from vicino.server import keys, logs  # noqa: E402
from vicino.server.app import ROUTES  # noqa: E402
from vicino.server.limits import Body, Buckets  # noqa: E402
from vicino.server.page import POLICY  # noqa: E402
from vicino.server.security import Guard, require_safe_start  # noqa: E402
from vicino.server.settings import Settings  # noqa: E402
from vicino.server.strict_json import DEEPEST, MOST, loads  # noqa: E402

EVIL = "https://evil.example"


@dataclass(frozen=True)
class Line:
    method: str
    path: str
    scope: str


LINES = (
    Line("GET", "/open", "open"),
    Line("GET", "/read", "read"),
    Line("POST", "/read", "read"),
    Line("POST", "/write", "write"),
    Line("DELETE", "/things/{name}", "admin"),
)


async def echo(scope, receive, send):
    """Reads the whole body, and says who asked and how much came."""
    size, more = 0, True
    while more:
        message = await receive()
        size, more = size + len(message.get("body", b"")), message.get("more_body", False)
    caller = scope["state"]["caller"]
    told = {"name": caller.name, "scopes": sorted(caller.scopes), "tenant": caller.tenant, "size": size}
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": json.dumps(told).encode()})


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def guard(home, app=echo, clock=None, **settings):
    return Guard(app, settings=Settings(home=home, port=0, **settings), routes=LINES, clock=clock or Clock())


def ask(app, path="/read", method="GET", *, key=None, headers=(), content=None, address="127.0.0.1"):
    """One request within this process; `headers` are pairs, of which one name may stand twice."""
    every = [*headers, *([("Authorization", f"Bearer {key}")] if key else [])]

    async def go():
        transport = httpx.ASGITransport(app=app, client=(address, 1))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return await client.request(method, path, headers=every, content=content)

    return asyncio.run(go())


def told(reply):
    """The error that a reply tells, known to have all its fields."""
    error = reply.json()["error"]
    assert set(error) == {"message", "type", "param", "code", "mend", "request_id"}
    assert error["message"]
    assert error["mend"]
    return error


# Names: DNS rebinding -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "evil.example:8765",
        "localhost@evil.example",
        "localhost:80@evil.example",
        "localhost, evil.example",
        "127.1",
        "2130706433",
        "0x7f.1",
        "192.168.1.5",
        "[::ffff:10.0.0.1]",
        "localhost:",
        "localhost:x",
        "local host",
        "",
        "loc\u0430lhost".encode(),
    ],
)
def test_a_name_that_is_not_ours_gets_no_answer(tmp_path, host):
    reply = ask(guard(tmp_path), headers=[("Host", host)])
    assert reply.status_code == 421
    assert told(reply)["code"] == "unknown_host"


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8765", "127.0.0.1", "127.0.0.1:1", "[::1]:80", "127.9.9.9"])
def test_names_of_the_loopback_are_ours_by_any_port(tmp_path, host):
    assert ask(guard(tmp_path), headers=[("Host", host)]).status_code == 200


def test_names_that_the_operator_listed_are_ours(tmp_path):
    app = guard(tmp_path, allow_hosts=("Search.Example",))
    assert ask(app, headers=[("Host", "search.example:443")]).status_code == 200
    assert ask(app, headers=[("Host", "x.search.example")]).status_code == 421


def test_beyond_the_loopback_addresses_are_ours_and_names_only_where_listed(tmp_path):
    _, text = keys.add(tmp_path / "keys.json", "ci")
    app = guard(tmp_path, host="0.0.0.0")
    assert ask(app, key=text, headers=[("Host", "192.168.1.5:8765")]).status_code == 200
    assert ask(app, key=text, headers=[("Host", "evil.example")]).status_code == 421


@pytest.mark.parametrize(
    "wrong", [{"allow_hosts": ("a b",)}, {"allow_hosts": ("a:80",)}, {"origins": ("*",)}, {"origins": ("null",)}]
)
def test_settings_that_name_no_host_or_origin_are_refused_at_the_start(tmp_path, wrong):
    with pytest.raises(InputError, match="is no"):
        require_safe_start(Settings(home=tmp_path, **wrong))


# Origins: pages of others ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "headers",
    [
        [("Origin", EVIL)],
        [("Origin", "null")],  # a sandboxed frame, a file
        [("Origin", "http://localhost:3000")],  # another program on this machine
        [("Origin", "http://localhost.evil.example")],
        [("Origin", "file://")],
        [("Origin", "chrome-extension://abcdef")],
        [("Origin", "http://localhost"), ("Origin", EVIL)],
        [("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Mode", "no-cors"), ("Sec-Fetch-Dest", "image")],
        [("Sec-Fetch-Site", "same-site"), ("Sec-Fetch-Mode", "no-cors"), ("Sec-Fetch-Dest", "script")],
        [("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Mode", "navigate"), ("Sec-Fetch-Dest", "iframe")],
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_page_of_another_origin_may_not_ask(tmp_path, headers, method):
    reply = ask(guard(tmp_path), "/read", method, headers=headers)
    assert reply.status_code == 403
    assert told(reply)["code"] == "foreign_origin"
    assert "access-control-allow-origin" not in reply.headers


def test_our_own_page_programs_and_links_may(tmp_path):
    app = guard(tmp_path)
    own = [("Origin", "http://localhost:8765"), ("Host", "localhost:8765"), ("Sec-Fetch-Site", "same-origin")]
    link = [("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Mode", "navigate"), ("Sec-Fetch-Dest", "document")]
    for headers in ([], own, link, [("Origin", "https://localhost")], [("Sec-Fetch-Site", "none")]):
        assert ask(app, headers=headers).status_code == 200
    assert ask(app, method="POST", headers=link).status_code == 403  # a form on another page


def test_a_listed_page_may_ask_read_and_look_ahead(tmp_path):
    _, text = keys.add(tmp_path / "keys.json", "page")
    app = guard(tmp_path, origins=("https://notes.example",))
    reply = ask(app, key=text, headers=[("Origin", "https://notes.example")])
    assert reply.status_code == 200
    assert reply.headers["access-control-allow-origin"] == "https://notes.example"
    assert "Origin" in reply.headers["vary"]
    assert "access-control-allow-credentials" not in reply.headers
    for origin in ("http://notes.example", "https://notes.example:8443", "https://x.notes.example", EVIL):
        assert ask(app, key=text, headers=[("Origin", origin)]).status_code == 403
    before = [("Origin", "https://notes.example"), ("Access-Control-Request-Method", "POST")]
    allowed = ask(app, "/write", "OPTIONS", headers=before)  # browsers send no key with this
    assert (allowed.status_code, allowed.content) == (204, b"")
    assert "POST" in allowed.headers["access-control-allow-methods"]
    assert "Authorization" in allowed.headers["access-control-allow-headers"]
    assert ask(app, "/write", "OPTIONS", headers=[("Origin", EVIL), before[1]]).status_code == 403
    refused = ask(app, headers=before[:1])
    assert refused.status_code == 401
    assert refused.headers["access-control-allow-origin"] == "https://notes.example"  # so that the page can say why


def test_no_socket_is_opened_for_a_page(tmp_path):
    sent = []

    async def send(message):
        sent.append(message)

    asyncio.run(guard(tmp_path)({"type": "websocket", "path": "/read", "headers": []}, None, send))
    assert sent == [{"type": "websocket.close", "code": 1008}]


# Keys and scopes ------------------------------------------------------------------------------------------------------


def test_without_any_key_everybody_on_this_machine_may_do_all(tmp_path):
    reply = ask(guard(tmp_path), key="sk-whatever-a-client-must-be-given")
    assert reply.json() == {"name": "local", "scopes": ["admin", "read", "write"], "tenant": "", "size": 0}


def test_beyond_the_loopback_nothing_is_open_without_a_key(tmp_path):
    assert ask(guard(tmp_path, host="0.0.0.0"), address="10.1.2.3").status_code == 401


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "search.example"])
def test_beyond_the_loopback_a_server_does_not_start_without_a_key(tmp_path, host):
    with pytest.raises(InputError, match="there is no key") as caught:
        require_safe_start(Settings(home=tmp_path, host=host))
    assert "vicino keys add" in caught.value.mend
    keys.add(tmp_path / "keys.json", "ci")
    require_safe_start(Settings(home=tmp_path, host=host))
    keys.revoke(tmp_path / "keys.json", "ci")
    with pytest.raises(InputError):
        require_safe_start(Settings(home=tmp_path, host=host))


def test_the_command_refuses_to_serve_others_without_a_key(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("VICINO_HOME", str(tmp_path))
    with pytest.raises(SystemExit) as stop:
        cli.main(["serve", "--host", "0.0.0.0", "--port", "0"])
    assert stop.value.code == 2
    assert "vicino keys add" in capsys.readouterr().err


def test_a_key_says_who_asks_and_opens_what_its_scope_holds(tmp_path):
    texts = {scope: keys.add(tmp_path / "keys.json", scope, scope=scope, tenant="acme")[1] for scope in keys.SCOPES}
    app = guard(tmp_path)
    assert ask(app, key=texts["write"]).json() == {"name": "write", "scopes": ["read", "write"], "tenant": "acme", "size": 0}
    assert ask(app, headers=[("X-API-Key", texts["read"])]).json()["name"] == "read"
    wanted = {
        "/read": ("GET", "read"),
        "/write": ("POST", "write"),
        "/things/x": ("DELETE", "admin"),
        "/nowhere": ("GET", "read"),
    }
    for path, (method, needed) in wanted.items():
        for scope, text in texts.items():
            enough = keys.SCOPES.index(scope) >= keys.SCOPES.index(needed)
            reply = ask(app, path, method, key=text)
            assert reply.status_code == (200 if enough else 403)
            assert enough or told(reply)["code"] == "scope_too_small"
    assert ask(app, "/open").json()["name"] == ""


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("Authorization", "")],
        [("Authorization", "Bearer")],
        [("Authorization", "Bearer ")],
        [("Authorization", "Basic {key}")],
        [("Authorization", "{key}")],
        [("Authorization", "Bearer {key}"), ("Authorization", "Bearer {key}")],
        [("Authorization", "Bearer {key}"), ("X-API-Key", "{key}")],
        [("Authorization", "Bearer {key}, Bearer {key}")],
        [("Cookie", "key={key}")],
        [("X-API-Key", "vicino_000000000000_" + "a" * 43)],
        [("X-Forwarded-For", "127.0.0.1"), ("X-Real-IP", "127.0.0.1")],
    ],
)
def test_what_is_no_key_opens_nothing(tmp_path, headers):
    _, text = keys.add(tmp_path / "keys.json", "ci", scope="admin")
    reply = ask(guard(tmp_path), headers=[(name, value.format(key=text)) for name, value in headers])
    assert reply.status_code == 401
    assert reply.headers["www-authenticate"] == "Bearer"
    assert text not in reply.text
    assert ask(guard(tmp_path), f"/read?api_key={text}&key={text}").status_code == 401


def test_a_revoked_key_opens_nothing_at_once_and_the_last_one_closes_the_server(tmp_path):
    file = tmp_path / "keys.json"
    _, text = keys.add(file, "ci")
    app = guard(tmp_path)
    assert ask(app, key=text).status_code == 200
    keys.revoke(file, "ci")
    assert ask(app, key=text).status_code == 401
    assert ask(app).status_code == 401
    file.unlink()
    assert ask(app).status_code == 401


def test_a_key_made_while_the_server_runs_closes_it(tmp_path):
    app = guard(tmp_path)
    assert ask(app).status_code == 200
    _, text = keys.add(tmp_path / "keys.json", "ci")
    assert ask(app).status_code == 401
    assert ask(app, key=text).status_code == 200


def test_keys_that_cannot_be_read_let_nobody_in_and_tell_nobody_why(tmp_path, caplog):
    file = tmp_path / "keys.json"
    _, text = keys.add(file, "ci")
    app = guard(tmp_path)
    file.write_text("{")
    reply = ask(app, key=text)
    assert reply.status_code == 503
    assert str(tmp_path) not in reply.text
    assert str(file) in caplog.text


def test_whoever_guesses_is_slowed_down_and_others_are_not(tmp_path, monkeypatch):
    _, text = keys.add(tmp_path / "keys.json", "ci")
    clock = Clock()
    app = guard(tmp_path, clock=clock)
    verified = []
    real = keys.Keyring.verify
    monkeypatch.setattr(
        keys.Keyring, "verify", lambda ring, shown: verified.append(1) or (real(ring, shown) if shown == text else None)
    )
    assert ask(app, key=text, address="10.0.0.9").status_code == 200
    wrong = "vicino_000000000000_" + "a" * 43
    codes = [ask(app, key=wrong, address="10.0.0.9").status_code for _ in range(30)]
    assert codes == [401] * 20 + [429] * 10
    assert len(verified) == 21  # what is refused so costs nothing
    reply = ask(app, key=wrong, address="10.0.0.9")
    assert int(reply.headers["retry-after"]) >= 1
    assert ask(app, key=text, address="10.0.0.9").status_code == 200  # a key that was seen before is no guess
    assert ask(app, key=wrong, address="10.0.0.8").status_code == 401
    clock.now += 6
    assert ask(app, key=wrong, address="10.0.0.9").status_code == 401


def test_a_network_of_ipv6_guesses_as_one(tmp_path, monkeypatch):
    keys.add(tmp_path / "keys.json", "ci")
    monkeypatch.setattr(keys.Keyring, "verify", lambda ring, shown: None)
    app = guard(tmp_path)
    codes = [ask(app, key=f"guess{n}", address=f"2001:db8::{n:x}").status_code for n in range(25)]
    assert codes == [401] * 20 + [429] * 5
    assert ask(app, key="guess", address="2001:db9::1").status_code == 401


def test_right_keys_that_come_together_cost_one_scrypt(tmp_path, monkeypatch):
    _, text = keys.add(tmp_path / "keys.json", "ci")
    app, calls = guard(tmp_path), []
    real = keys.Keyring.verify
    monkeypatch.setattr(keys.Keyring, "verify", lambda ring, shown: calls.append(1) or real(ring, shown))

    async def go():
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            many = [client.get("/read", headers={"Authorization": f"Bearer {text}"}) for _ in range(15)]
            return [reply.status_code for reply in await asyncio.gather(*many)]

    assert asyncio.run(go()) == [200] * 15
    assert len(calls) == 1


# Rates ----------------------------------------------------------------------------------------------------------------


def test_a_key_has_its_own_rate(tmp_path):
    file, clock = tmp_path / "keys.json", Clock()
    ann, bob = keys.add(file, "ann")[1], keys.add(file, "bob")[1]
    app = guard(tmp_path, clock=clock, rate=2.0, burst=3)
    assert [ask(app, key=ann).status_code for _ in range(5)] == [200, 200, 200, 429, 429]
    assert ask(app, key=bob).status_code == 200
    reply = ask(app, key=ann, address="10.0.0.1")  # from elsewhere it is the same key
    assert (reply.status_code, reply.headers["retry-after"]) == (429, "1")
    assert told(reply)["type"] == "rate_limit_error"
    clock.now += 1.0
    assert [ask(app, key=ann).status_code for _ in range(3)] == [200, 200, 429]


def test_buckets_fill_up_to_their_burst_and_stay_few():
    clock = Clock()
    buckets = Buckets(1.0, 2, most=100, clock=clock)
    for number in range(1000):
        buckets.take(str(number))
    assert len(buckets._kept) == 100
    clock.now += 1e9
    assert [buckets.take("a") for _ in range(3)] == [0.0, 0.0, 1.0]
    buckets.give("a")
    assert buckets.take("a") == 0.0
    assert [Buckets(0, 1).take("a") for _ in range(3)] == [0.0] * 3


# Bodies ---------------------------------------------------------------------------------------------------------------


async def chunks(*sizes):
    for size in sizes:
        yield b"x" * size


def test_a_body_stops_at_its_limit_whatever_is_said_of_its_length(tmp_path):
    app = guard(tmp_path, max_body_bytes=1000)
    assert ask(app, method="POST", content=b"x" * 1000).json()["size"] == 1000
    assert ask(app, method="POST", content=chunks(600, 400)).json()["size"] == 1000
    for content in (b"x" * 1001, chunks(600, 401), chunks(*[100] * 50)):
        reply = ask(app, method="POST", content=content)
        assert reply.status_code == 413
        assert told(reply)["code"] == "too_large"
        assert reply.headers["connection"] == "close"


def test_a_handler_that_takes_it_for_something_else_does_not_change_what_is_told(tmp_path):
    async def forgiving(scope, receive, send):
        try:
            await echo(scope, receive, send)
        except VicinoError:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"all is well"})

    reply = ask(guard(tmp_path, forgiving, max_body_bytes=10), method="POST", content=chunks(11))
    assert reply.status_code == 413


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ([("Content-Encoding", "gzip")], 415),
        ([("Content-Encoding", "deflate, gzip")], 415),
        ([("Content-Encoding", "zstd")], 415),
        ([("Content-Encoding", "identity")], 200),
        ([("Content-Length", "5"), ("Content-Length", "6")], 400),
        ([("Content-Length", "5"), ("Transfer-Encoding", "chunked")], 400),
        ([("Content-Length", "-5")], 400),
        ([("Content-Length", "+5")], 400),
        ([("Content-Length", "5,5")], 400),
        ([("Content-Length", "\u0665".encode())], 400),
        ([("Content-Length", "9" * 5000)], 413),
    ],
)
def test_bodies_that_are_packed_or_of_unclear_length_are_not_read(tmp_path, headers, status):
    read = []

    async def reading(scope, receive, send):
        read.append(1)
        await echo(scope, receive, send)

    reply = ask(guard(tmp_path, reading), method="POST", headers=headers, content=chunks(5))
    assert reply.status_code == status
    assert bool(read) == (status == 200)


def test_nothing_of_a_body_is_read_before_it_is_known_who_sends_it(tmp_path):
    keys.add(tmp_path / "keys.json", "ci")

    async def never():
        raise AssertionError("it was read")
        yield b""

    assert ask(guard(tmp_path), "/write", "POST", content=never()).status_code == 401


def test_a_body_that_does_not_come_is_given_up():
    async def go():
        async def never():
            await asyncio.Event().wait()

        body = Body(never, most=10, seconds=0.02)
        with pytest.raises(Exception, match="did not arrive within") as caught:
            await body()
        assert caught.value.status == 408
        with pytest.raises(type(caught.value)):
            await body()

    asyncio.run(go())


def test_who_reads_slowly_on_this_side_takes_nothing_of_the_clients_time():
    async def go():
        messages = [{"type": "http.request", "body": b"x", "more_body": True} for _ in range(3)] + [{"type": "http.request"}]

        async def ready():
            return messages.pop(0)

        body = Body(ready, most=10, seconds=0.02)
        while True:
            message = await body()
            await asyncio.sleep(0.02)
            if not message.get("more_body"):
                return

    asyncio.run(go())


# Hostile JSON ---------------------------------------------------------------------------------------------------------

HOSTILE = {
    "NaN": b'{"model": "tiny", "input": "x", "dimensions": NaN}',
    "Infinity": b'{"model": "tiny", "input": "x", "dimensions": -Infinity}',
    "a float too large": b'{"model": "tiny", "input": "x", "dimensions": 1e999}',
    "an integer too long": b'{"model": "tiny", "input": "x", "dimensions": ' + b"9" * 30 + b"}",
    "an integer that takes Python long": b'{"model": "tiny", "input": "x", "dimensions": ' + b"9" * 200_000 + b"}",
    "a name twice": b'{"model": "tiny", "input": "x", "input": "y"}',
    "a name twice, deep inside": b'{"model": "tiny", "input": [{"a": 1, "a": 2}]}',
    "half a character": b'{"model": "tiny", "input": "\\ud800"}',
    "half a character as a name": b'{"model": "tiny", "input": "x", "\\uDC00": 1}',
    "halves in the wrong order": b'{"model": "tiny", "input": ["\\ude00\\ud83d"]}',
    "surrogates in UTF-8": b'{"model": "tiny", "input": "\xed\xa0\x80"}',
    "not UTF-8": b'{"model": "tiny", "input": "\xff"}',
    "UTF-16": '{"model": "tiny", "input": "x"}'.encode("utf-16"),
    "too deep": b'{"model": "tiny", "input": ' + b"[" * 100 + b"]" * 100 + b"}",
    "as deep as the stack": b"[" * 200_000,
    "deep objects": b'{"a":' * 5000 + b"1" + b"}" * 5000,
    "many lists": b"[" + b"[]," * (MOST + 1) + b"[]]",
    "many strings": b"[" + b'"",' * (2 * MOST + 1) + b'""]',
    "an open string": b'{"model": "tiny", "input": "' + b"[" * 1000,
    "an open string of quotes": b"[" * 70 + b'\\"' * 100_000,
    "two values": b'{"model": "tiny", "input": "x"} {}',
    "nothing but space": b"   ",
    "a control character": b'{"model": "tiny", "input": "\x00"}',
    "single quotes": b"{'model': 'tiny', 'input': 'x'}",
    "a comma too many": b'{"model": "tiny", "input": ["x",]}',
}


@pytest.mark.parametrize("body", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_json_is_refused(body):
    with pytest.raises(InputError) as caught:
        loads(body)
    assert len(caught.value.what) < 300
    assert caught.value.mend


@pytest.mark.parametrize("body", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_json_is_a_400_and_the_server_lives(client, body):
    reply = client.post("/v1/embeddings", content=body, headers={"Content-Type": "application/json"})
    assert reply.status_code == 400
    told(reply)
    assert client.get("/health").status_code == 200


def test_plain_json_is_read_as_python_reads_it():
    values = [
        {"a": [1, -2, 2.5, 1e300, -0.0, None, True, "é 😀 \u0000 \ud7ff", {}], "b": {"a": "[{[{" * 100}},
        [[[]]],
        "x",
        12345678901234567890,
        {"quotes": '"\\"[' * 50, "deep": json.loads("[" * (DEEPEST - 1) + "]" * (DEEPEST - 1))},
        [{"id": str(n), "text": "a \\ b"} for n in range(1000)],
    ]
    for value in values:
        for text in (json.dumps(value), json.dumps(value, ensure_ascii=False)):
            assert loads(text.encode()) == value
    assert loads(b'\xef\xbb\xbf{"a": 1}') == {"a": 1}


def test_other_types_of_body_are_not_taken_for_json(client):
    """What a form on another page can send without asking a browser first is none of ours."""
    good = b'{"model": "tiny", "input": "x"}'
    assert client.post("/v1/embeddings", content=good, headers={"Content-Type": "application/json"}).status_code == 200
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/zip", ""):
        assert client.post("/v1/embeddings", content=good, headers={"Content-Type": kind}).status_code == 400


# Too much, through the front door ---------------------------------------------------------------------------------------


def embeddings(client, **body):
    return client.post("/v1/embeddings", json={"model": "tiny", **body})


def test_too_many_texts_too_long_ones_and_huge_dimensions_are_refused(serving, tmp_path, tiny):
    with serving(home=tmp_path, encoders=[tiny], max_texts=5, queue_limit=5, max_text_bytes=100) as client:
        assert embeddings(client, input=["wing"] * 5).status_code == 200
        assert embeddings(client, input=["wing"] * 6).status_code in (400, 413)
        assert embeddings(client, input="wing " * 30).status_code in (400, 413)
        assert embeddings(client, input="é" * 60).status_code in (400, 413)  # 120 bytes
        assert embeddings(client, input="wing", dimensions=10**15).status_code == 400
        assert embeddings(client, input="wing", dimensions=-1).status_code == 400
        assert client.post("/v1/rerank", json={"query": "a", "documents": ["b"] * 6}).status_code in (400, 413)
        assert embeddings(client, input="wing").status_code == 200


# On the wire ------------------------------------------------------------------------------------------------------------


def wire(client, raw, *, wait=20.0):
    """What comes back for these bytes, until the server hangs up or has answered whole."""
    got = b""
    with socket.create_connection((client.base_url.host, client.base_url.port), timeout=wait) as connection:
        connection.sendall(raw)
        while True:
            try:
                part = connection.recv(65536)
            except ConnectionResetError:
                break
            if not part:
                break
            got += part
            head, found, rest = got.partition(b"\r\n\r\n")
            if found and any(line == f"content-length: {len(rest)}".encode() for line in head.lower().split(b"\r\n")):
                break
    return got


@pytest.fixture(scope="module")
def small(tmp_path_factory, serving, tiny):
    """A server with small limits."""
    home = tmp_path_factory.mktemp("small")
    with serving(home=home, encoders=[tiny], max_body_bytes=10_000, body_limit_s=0.3) as client:
        yield client


def test_chunks_without_end_are_cut_off(small):
    head = (
        b"POST /v1/embeddings HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    reply = wire(small, head + b"3e8\r\n" + b"x" * 1000 + b"\r\n" + (b"3e8\r\n" + b"x" * 1000 + b"\r\n") * 10)
    assert reply.startswith(b"HTTP/1.1 413 ")
    assert small.get("/health").status_code == 200


def test_a_length_over_the_limit_is_refused_before_anything_is_sent(small):
    reply = wire(small, b"POST /v1/embeddings HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999\r\n\r\n")
    assert reply.startswith(b"HTTP/1.1 413 ")


def test_a_body_that_trickles_is_given_up(small):
    head = b"POST /v1/embeddings HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"
    reply = wire(small, head)
    assert reply.startswith(b"HTTP/1.1 408 ")
    assert small.get("/health").status_code == 200


@pytest.mark.parametrize(
    "raw",
    [
        b"GET /health HTTP/1.1\r\n\r\n",
        b"GET /health HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n",
        b"GET http://evil.example/health HTTP/1.1\r\nHost: evil.example\r\n\r\n",
        b"GET /health HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 200_000 + b"\r\n\r\n",
        b"GET /" + b"a" * 200_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /health HTTP/1.1\r\nHost : localhost\r\n\r\n",
        b"POST /v1/embeddings HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx",
        b"POST /v1/embeddings HTTP/1.1\r\nHost: localhost\r\nContent-Length: x\r\n\r\nx",
        b"POST /v1/embeddings HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        b"POST /v1/embeddings HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
        b"CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example:443\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 this is TLS\r\n\r\n",
        b"GET /health HTTP/1.1\r\nHost: localhost\r\nX-Request-ID: a\r\nSet-Cookie: b\r\nContent-Encoding: gzip\r\n\r\nGET",
    ],
    ids=range(13),
)
def test_malformed_requests_are_refused_and_the_server_lives(small, raw):
    first = wire(small, raw).split(b"\r\n")[0]
    assert not first.startswith(b"HTTP/1.1 5")
    assert first.startswith(b"HTTP/1.1 4") or raw.startswith(b"GET /health") or not first
    assert small.get("/health").status_code == 200


def test_what_a_client_calls_its_request_puts_nothing_into_the_answer(client):
    for wanted in ("a\tb", "a b", "é", "<script>", "a" * 65):
        reply = client.get("/health", headers={"X-Request-ID": wanted.encode()})
        assert reply.headers["x-request-id"] != wanted
    assert client.get("/health", headers={"X-Request-ID": "abc-1"}).headers["x-request-id"] == "abc-1"


# Paths ------------------------------------------------------------------------------------------------------------------

PATHS = [
    "/../keys.json",
    "/../../../../../../etc/passwd",
    "/assets/../../keys.json",
    "/assets/..%2f..%2fkeys.json",
    "/assets/%2e%2e/%2e%2e/keys.json",
    "/assets/..%5c..%5ckeys.json",
    "/assets//etc/passwd",
    "/assets/%2fetc%2fpasswd",
    "/assets/index.html%00.css",
    "/%2e%2e/keys.json",
    "/page.py",
    "/assets/../page.py",
    "/.vicino/keys.json",
    "/keys.json",
    "/v1/models/../../keys.json",
    "/v1/models/..%2f..%2fkeys.json",
    "/v1/models//etc/passwd",
    "/api/collections/..%2f..%2fkeys.json/map",
    "/api/collections/..%2f/map/coordinates",
    "/api/collections/.%2e/map/field/lang",
    "/api/collections/notes%00/map",
    "/api/collections/notes%2f..%2fnotes/map",
    "/api/studies/..%2f..%2fkeys",
    "/api/studies/..%2fkeys.json",
    "/api/studies/%2e%2e%2fkeys",
    "/api/studies/.%00",
    "/api/studies//etc/passwd",
    "/api/judgments?collection=../notes",
    "/api/judgments?collection=..%2f..",
    "/api/search?collection=..%2fcollections%2fnotes&query=tea",
]


@pytest.mark.parametrize("path", PATHS)
def test_no_path_leads_out_of_what_is_served(client, path):
    line = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"  # httpx would tidy it up
    reply = wire(client, line.encode())
    status = int(reply.split()[1])
    assert 400 <= status < 500
    assert b"root:" not in reply
    assert b'"digest"' not in reply
    assert b"__all__" not in reply


NAMES = ["../x", "..", ".hidden", "a/b", "a\\b", "", " ", "a\x00b", "a\nb", "x" * 101, "C:\\x", "\u202ex"]


def test_no_collection_is_made_under_a_name_that_is_a_path(serving, tmp_path, tiny):
    home = tmp_path / "inner" / "home"
    home.mkdir(parents=True)
    before = sorted(tmp_path.rglob("*"))
    body = {"documents": [{"id": "../../x", "text": "tea"}], "recipe": "bm25"}
    with serving(home=home, encoders=[tiny]) as client:
        for name in NAMES:
            reply = client.post(f"/api/collections/{quote(name, safe='')}/documents", json=body)
            assert 400 <= reply.status_code < 500, name
        assert sorted(tmp_path.rglob("*")) == before
        made = client.post("/api/collections/fine/documents", json=body)
        assert json.loads(made.text.splitlines()[-1])["event"] == "done"
    assert not (tmp_path / "x").exists()
    assert [path.name for path in (home / "collections").iterdir() if not path.name.startswith(".")] == ["fine"]


# What every answer says -----------------------------------------------------------------------------------------------


def test_every_answer_says_how_a_browser_must_treat_it(client):
    replies = [
        client.get("/"),
        client.get("/health"),
        client.get("/docs"),
        client.get("/nowhere"),
        client.post("/v1/embeddings", content=b"{"),
        client.get("/health", headers={"Host": "evil.example"}),
        client.get("/health", headers={"Origin": EVIL}),
        client.request("PATCH", "/health"),
    ]
    for reply in replies:
        headers = reply.headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cross-origin-opener-policy"] == "same-origin"
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert headers["x-request-id"]
        assert "server" not in headers
        assert len(headers.get_list("content-security-policy")) == 1
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
    assert {reply.headers["cache-control"] for reply in replies[1:]} == {"no-store"}


def test_the_page_runs_its_own_files_and_nothing_inline(client):
    policy = client.get("/").headers["content-security-policy"]
    rules = {rule.split()[0]: rule.split()[1:] for rule in policy.split("; ")}
    assert policy == POLICY
    assert rules["script-src"] == rules["style-src"] == rules["connect-src"] == ["'self'"]
    assert rules["base-uri"] == rules["form-action"] == rules["frame-ancestors"] == rules["default-src"] == ["'none'"]
    assert not {"'unsafe-inline'", "'unsafe-eval'", "*", "http:", "https:", "data:"} & {
        word for rule in rules.values() for word in rule
    }


def test_logs_and_errors_hold_no_key_and_nothing_that_was_asked(serving, tmp_path, tiny):
    file = tmp_path / "keys.json"
    _, text = keys.add(file, "ci")
    secret = text.rpartition(text[:20])[2]
    wrong = text[:-8] + "zzzzzzzz"
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logs.JsonLines())
    handler.addFilter(lambda record: not record.name.startswith("http"))  # the client's own
    watched = [logging.getLogger(name) for name in ("", "vicino", "uvicorn", "uvicorn.error", "uvicorn.access")]
    levels = [each.level for each in watched]
    for each in watched:
        each.addHandler(handler)
        each.setLevel(logging.DEBUG)
    told_of = []
    try:
        with serving(home=tmp_path, encoders=[tiny]) as client:
            for key in (text, wrong):
                bearer = {"Authorization": f"Bearer {key}"}
                told_of += [
                    client.post("/v1/embeddings", json={"model": "tiny", "input": "zanzibar"}, headers=bearer),
                    client.post("/v1/embeddings", json={"model": 7, "input": {"zanzibar": 1}}, headers=bearer),
                    client.post("/v1/embeddings", content=b'{"zanzibar', headers=bearer),
                    client.get(f"/api/search?collection=none&query=zanzibar&api_key={key}", headers=bearer),
                    client.get(f"/zanzibar/{key}", headers={"X-API-Key": key}),
                ]
    finally:
        for each, level in zip(watched, levels, strict=True):
            each.removeHandler(handler)
            each.setLevel(level)
    lines = stream.getvalue()
    assert lines.count('"event": "request"') >= 10
    assert '"caller": "ci"' in lines
    for hidden in (secret[-20:], wrong[-20:], text[:30], "zanzibar"):
        assert hidden not in lines
    for reply in told_of:
        assert secret[-20:] not in reply.text
        assert wrong[-20:] not in reply.text


# Every route ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def keyed(tmp_path_factory, serving, tiny):
    """A server with a key of each scope: client, and key by scope."""
    home = tmp_path_factory.mktemp("keyed")
    texts = {scope: keys.add(home / "keys.json", scope, scope=scope)[1] for scope in keys.SCOPES}
    with serving(home=home, encoders=[tiny]) as client:
        yield client, texts


@pytest.mark.parametrize("route", ROUTES, ids=[f"{route.method} {route.path}" for route in ROUTES])
def test_every_route_takes_its_scope_and_no_less(keyed, route):
    client, texts = keyed
    address = route.path.replace(":path", "").replace("{", "").replace("}", "")

    def status(**headers):
        reply = client.request(route.method, address, headers={name.replace("_", "-"): value for name, value in headers.items()})
        return reply.status_code

    if route.scope == "open":
        assert status() == 200
        return
    assert status() == 401
    assert status(Authorization="Bearer vicino_000000000000_" + "a" * 43) in (401, 429)
    for scope, text in texts.items():
        enough = keys.SCOPES.index(scope) >= keys.SCOPES.index(route.scope)
        assert (status(Authorization=f"Bearer {text}") not in (401, 403)) == enough


def test_what_writes_is_never_only_read():
    reading = {"/v1/embeddings", "/v1/rerank", "/v2/rerank", "/api/search", "/api/why-not"}  # POST for their bodies' sake
    for route in ROUTES:
        if route.method != "GET" and route.path not in reading and not route.path.endswith(("/map/points", "/map/neighbours")):
            assert route.scope in ("write", "admin"), route.path


def test_a_closed_server_still_shows_its_page_and_what_there_is_to_ask(keyed):
    client, _ = keyed
    assert client.get("/health").status_code == 200
    assert client.get("/docs").status_code == 200
    assert client.get("/openapi.json").status_code == 200
    assert client.get("/").status_code in (200, 503)  # built, or not
    assert client.get("/nowhere").status_code == 401
