"""No tenant sees, changes or counts what is another's: every route is asked by a key of one about the documents of another.

Whatever of the owner's could be told has the word "zanzibar" in it, or is the id of the document that everybody asks about.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote_plus

import pytest

pytest.importorskip("fastapi")

from vicino.data.records import Document
from vicino.server import keys
from vicino.server.app import ROUTES

SECRET = "zanzibar"
ASKED, NONE = "doc-7341", "doc-7342"  # one of the owner's, and one that nobody has
OWN = [
    Document(
        ASKED, "Zanzibar cloves dry in the sun for a week.", "Of zanzibar", {"lang": "zanzibari", "year": 1964, "zanzibarite": 1}
    ),
    Document("zanzibar-2", "The zanzibar ferry leaves at noon.", "Zanzibar two", {"lang": "zanzibari", "year": 1965}),
    Document(
        "zanzibar-3", "A zanzibar door has brass studs and a lintel.", "Zanzibar three", {"lang": "zanzibari", "year": 1966}
    ),
]
GUEST = [
    Document("g1", "Black tea steeps in boiling water for a week.", "Tea", {"lang": "en", "year": 1999}),
    Document("g2", "The cello sings an octave below the viola.", "Cello", {"lang": "en", "year": 2001}),
]


@dataclass(frozen=True)
class House:
    """A server, the keys by who has them, and the id of a judgment of the owner's."""

    client: Any
    texts: dict[str, str]
    judgment: str

    def ask(self, who: str, method: str, path: str, **given: Any) -> Any:
        return self.client.request(method, path, headers={"Authorization": f"Bearer {self.texts[who]}"}, **given)


@pytest.fixture(scope="module")
def house(tmp_path_factory, serving, tiny, keep):
    home = tmp_path_factory.mktemp("home")
    for tenant, documents in (("owner", OWN), ("guest", GUEST)):
        keep(home, "both", documents, tenant=tenant)
    keep(home, "zanzibar-only", OWN, tenant="owner")
    texts = {
        tenant: keys.add(home / "keys.json", tenant, scope="write", tenant=tenant)[1] for tenant in ("owner", "guest", "nobody")
    }
    texts["admin"] = keys.add(home / "keys.json", "admin", scope="admin")[1]
    with serving(home=home, encoders=[tiny]) as client:
        made = House(client, texts, "")
        judged = {"collection": "both", "query": "zanzibar?", "document": ASKED, "grade": 3, "rater": "zanzibar rater"}
        reply = made.ask("owner", "POST", "/api/judgments", json=judged)
        assert reply.status_code == 201, reply.text
        yield House(client, texts, reply.json()["id"])


@dataclass(frozen=True)
class Probe:
    """What is asked: path parameters, query, body; and whether the owner is told the secret there, and so could anybody be."""

    path: str
    params: dict[str, Any] = field(default_factory=dict)
    json: Any = None
    tells: bool = True


BOTH = "/api/collections/both"

# Of every route what would tell most. Those of models know no documents: they stand here, so that no new route is forgotten.
PROBES: dict[tuple[str, str], list[Probe]] = {
    ("GET", "/metrics"): [Probe("/metrics", tells=False)],
    ("GET", "/v1/models"): [Probe("/v1/models", tells=False)],
    ("GET", "/v1/models/{name:path}"): [Probe("/v1/models/tiny", tells=False)],
    ("POST", "/v1/embeddings"): [Probe("/v1/embeddings", json={"model": "tiny", "input": "cloves"}, tells=False)],
    ("POST", "/v1/rerank"): [Probe("/v1/rerank", json={"query": "cloves", "documents": ["a"]}, tells=False)],
    ("POST", "/v2/rerank"): [Probe("/v2/rerank", json={"query": "cloves", "documents": ["a"]}, tells=False)],
    ("GET", "/api/collections"): [Probe("/api/collections")],
    ("GET", "/api/search"): [Probe("/api/search", {"collection": "both", "query": "cloves ferry", "explain": "true", "k": 100})],
    ("POST", "/api/search"): [
        Probe("/api/search", json={"collection": "both", "query": "cloves ferry week", "mode": mode, "explain": True, "k": 100})
        for mode in ("recipe", "lexical", "dense", "hybrid")
    ],
    ("POST", "/api/why-not"): [
        Probe("/api/why-not", json={"collection": "both", "query": "cloves", "document": ASKED}, tells=False)
    ],
    ("GET", "/api/judgments"): [
        Probe("/api/judgments", {"collection": "both", "format": form}) for form in ("json", "csv", "qrels")
    ],
    ("POST", "/api/judgments"): [
        Probe("/api/judgments", json={"collection": "both", "query": "tea", "document": ASKED, "grade": 0}, tells=False)
    ],
    ("DELETE", "/api/judgments/{id}"): [Probe("/api/judgments/{judgment}", tells=False)],
    ("GET", "/api/studies"): [Probe("/api/studies", tells=False)],
    ("GET", "/api/studies/{id}"): [Probe("/api/studies/x", tells=False)],
    ("POST", "/api/collections/{name}/documents"): [],  # see test_who_writes_under_anothers_id_...
    ("DELETE", "/api/collections/{name}/documents"): [
        Probe(f"{BOTH}/documents", json={"ids": [ASKED]}, tells=False),
        Probe(f"{BOTH}/documents", json={"where": "lang = 'zanzibari'"}, tells=False),
    ],
    ("POST", "/api/collections/{name}/maintain"): [Probe(f"{BOTH}/maintain", tells=False)],
    ("GET", "/api/collections/{name}/map"): [Probe(f"{BOTH}/map", {"method": "pca"})],
    ("POST", "/api/collections/{name}/map"): [Probe(f"{BOTH}/map", {"method": "pca"})],
    ("GET", "/api/collections/{name}/map/coordinates"): [Probe(f"{BOTH}/map/coordinates", {"method": "pca"}, tells=False)],
    ("GET", "/api/collections/{name}/map/field/{field}"): [
        Probe(f"{BOTH}/map/field/{name}", {"method": "pca"}, tells=False) for name in ("lang", "year", "zanzibarite")
    ],
    ("POST", "/api/collections/{name}/map/points"): [Probe(f"{BOTH}/map/points", {"method": "pca"}, {"rows": [0, 1]})],
    ("POST", "/api/collections/{name}/map/neighbours"): [
        Probe(f"{BOTH}/map/neighbours", {"method": "pca"}, {"query": "cloves", "k": 100}, tells=False)
    ],
}
KEYED = [route for route in ROUTES if route.scope != "open"]
EVERY = [(route, probe) for route in KEYED for probe in PROBES.get((route.method, route.path), [])]
every_probe = pytest.mark.parametrize(
    ("route", "probe"), EVERY, ids=[f"{route.method} {probe.path} {number}" for number, (route, probe) in enumerate(EVERY)]
)


def ask(house, who, route, probe):
    given = {"params": probe.params} if probe.params else {}
    given |= {"json": probe.json} if probe.json is not None else {}
    return house.ask(who, route.method, probe.path.format(judgment=house.judgment), **given)


def tells(reply):
    """Whether anything of the owner's is in a reply that was not in its question: errors quote what was asked."""
    asked = unquote_plus(str(reply.request.url)) + reply.request.content.decode()
    text = str(reply.headers) + reply.text
    return any(word in text.lower().replace("zanzibarite", "") for word in (SECRET, ASKED) if word not in asked)


def test_every_route_is_tried():
    assert {(route.method, route.path) for route in KEYED} == set(PROBES)


@every_probe
def test_what_is_anothers_is_not_told(house, route, probe):
    if probe.tells:  # so that this test can fail
        assert tells(ask(house, "owner", route, probe))
    for who in ("guest", "nobody"):
        reply = ask(house, who, route, probe)
        assert reply.status_code < 500
        assert not tells(reply), reply.text
        if route.scope == "admin":
            assert reply.status_code == 403


NAMED = [(route, probe) for route, probe in EVERY if probe.path.startswith(BOTH) and route.scope != "admin"]
NO_TENANT = ("/v1", "/v2", "/metrics", "/api/studies", f"{BOTH}/maintain")
WHOSE = [(route, probe) for route, probe in EVERY if not probe.path.startswith(NO_TENANT)]


@pytest.mark.parametrize(("route", "probe"), NAMED, ids=[f"{route.method} {probe.path}" for route, probe in NAMED])
def test_who_has_nothing_in_a_collection_is_told_that_there_is_none(house, route, probe):
    there = ask(house, "nobody", route, probe)
    lacking = house.ask("nobody", route.method, probe.path.replace("both", "none"), params=probe.params, json=probe.json)
    assert there.status_code == lacking.status_code == 404
    told = [json.dumps({**reply.json()["error"], "request_id": ""}) for reply in (there, lacking)]
    assert told[0].replace("both", "none") == told[1]


@pytest.mark.parametrize(("route", "probe"), WHOSE, ids=[f"{route.method} {probe.path}" for route, probe in WHOSE])
def test_no_key_but_an_admins_may_name_a_tenant(house, route, probe):
    body, params = probe.json, dict(probe.params)
    if isinstance(body, dict) and "/map" not in probe.path:
        body = body | {"tenant": "owner"}
    else:
        params["tenant"] = "owner"
    reply = house.ask("guest", route.method, probe.path.format(judgment=house.judgment), params=params, json=body)
    assert reply.status_code == 403, reply.text
    assert not tells(reply)


def test_a_map_has_the_points_of_its_tenant_alone(house):
    for who, n in (("owner", len(OWN)), ("guest", len(GUEST))):
        told = house.ask(who, "GET", f"{BOTH}/map", params={"method": "pca"}).json()
        assert (told["n"], told["of"]) == (n, n)
        assert ("zanzibarite" in {each["name"] for each in told["fields"]}) == (who == "owner")
        assert len(house.ask(who, "GET", f"{BOTH}/map/coordinates", params={"method": "pca"}).content) == 8 * n
        near = house.ask(
            who, "POST", f"{BOTH}/map/neighbours", params={"method": "pca"}, json={"query": "cloves", "k": 100}
        ).json()
        assert sorted(near["rows"]) == list(range(n))
        points = house.ask(who, "POST", f"{BOTH}/map/points", params={"method": "pca"}, json={"rows": near["rows"]}).json()
        assert {each["document"] for each in points["points"]} == {each.id for each in (OWN if who == "owner" else GUEST)}


def test_who_writes_under_anothers_id_has_a_document_of_their_own(house):
    body = {"documents": [{"id": ASKED, "text": "The cello is mine now."}], "source": "tests"}  # as the owner's is named
    reply = house.ask("guest", "POST", f"{BOTH}/documents", json=body)
    assert json.loads(reply.text.splitlines()[-1])["event"] == "done"
    try:
        for who, text in (("owner", OWN[0].text), ("guest", "The cello is mine now.")):
            found = house.ask(who, "POST", "/api/search", json={"collection": "both", "query": "cloves cello", "k": 100}).json()
            assert [each["text"] for each in found["results"] if each["document"] == ASKED] == [text]
        refused = house.ask("guest", "POST", f"{BOTH}/documents", json={**body, "tenant": "owner"})
        assert refused.status_code == 403
    finally:
        gone = house.ask("guest", "DELETE", f"{BOTH}/documents", json={"ids": [ASKED]}).json()
    assert (gone["documents"], gone["unknown"]) == (1, [])


def test_an_admin_names_the_tenant_that_is_meant(house):
    body = {"collection": "both", "query": "cloves ferry", "tenant": "owner"}
    assert tells(house.ask("admin", "POST", "/api/search", json=body))
    assert not tells(house.ask("admin", "POST", "/api/search", json={**body, "tenant": "guest"}))


FILTERS = [
    "tenant = 'owner'",
    "tenant != 'guest'",
    "tenant is not null",
    "not (tenant = 'guest')",
    "lang = 'zanzibari'",
    "lang = 'x' or tenant = 'owner'",
    "lang = 'x' or year > 0",
    "lang = 'x' or not lang = 'x'",
    "year > 0) or (tenant = 'owner'",
    "lang = 'x'' or tenant = ''owner'",
    "lang = 'x' or '1' = '1'",
    "lang = 'x'; drop table rows; --",
    "lang = 'x' union select * from rows",
    "lang = 'x' /* */ or 1 = 1",
    "lang = 'x\\' or 1=1 --'",
    "true",
    "1 = 1",
    "lang in ('x') or true",
    "lang in (select lang from rows)",
    "\"tenant\" = 'owner'",
    "`tenant` = 'owner'",
    "tenant\u0000 = 'owner'",
    "document = 'doc-7341'",
    "key is not null",
    "metadata like '%zan%'",
    "(" * 20_000 + "year > 0" + ")" * 20_000,
    "not " * 20_000 + "year > 0",
    "year > 0" + " or year > 0" * 8_000,
    "year > " + "9" * 5_000,
    "year > 1e999",
    "year > nan",
    "lang = '" + "x" * 90_000 + "'",
    "",
    " ",
]


@pytest.mark.parametrize("where", FILTERS, ids=range(len(FILTERS)))
def test_no_filter_reaches_beyond_the_tenant(house, where):
    for method in ("GET", "POST"):
        asked = {"collection": "both", "query": "cloves tea week", "k": 100, "where": where}
        if method == "GET" and len(where) > 5_000:
            continue  # longer than an address may be
        given = {"params": asked} if method == "GET" else {"json": asked}
        reply = house.ask("guest", method, "/api/search", **given)
        assert reply.status_code in (200, 400, 404, 413), reply.text
        if reply.status_code == 200:
            found = reply.json()["results"]
            assert {each["document"] for each in found} <= {"g1", "g2"}
        else:
            assert not tells(reply)
        asked = {"collection": "both", "query": "cloves", "document": ASKED, "where": where}
        assert not tells(house.ask("guest", "POST", "/api/why-not", json=asked))


def test_a_document_of_anothers_is_as_one_that_is_not_there(house):
    """Not even the difference between "not yours" and "not there" is told."""
    for path, body in (
        ("/api/why-not", {"collection": "both", "query": "cloves"}),
        ("/api/judgments", {"collection": "both", "query": "cloves", "grade": 1}),
    ):
        told = []
        for name in (ASKED, NONE):
            reply = house.ask("guest", "POST", path, json={**body, "document": name})
            plain = reply.json()
            plain.get("error", {}).pop("request_id", None)
            plain.pop("timing", None)
            told.append((reply.status_code, json.dumps(plain).replace(name, "")))
        assert told[0] == told[1]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("k", 10**9),
        ("k", 0),
        ("k", -1),
        ("k", 10**19),
        ("offset", 10**12),
        ("offset", -1),
        ("depth", 10**9),
        ("weight", 2),
        ("k", 1.5),
    ],
)
def test_huge_pages_are_refused(house, field, value):
    body = {"collection": "both", "query": "tea", field: value}
    for reply in (
        house.ask("guest", "POST", "/api/search", json=body),
        house.ask("guest", "GET", "/api/search", params=body),
        house.ask("guest", "POST", "/api/why-not", json={**body, "document": "g1"}),
    ):
        assert reply.status_code == 400
        assert reply.json()["error"]["mend"]


def test_after_all_that_was_tried_the_owner_has_everything(house):
    for route, probe in EVERY:
        if route.method == "DELETE":
            ask(house, "guest", route, probe)
    body = {"collection": "both", "query": "cloves ferry brass", "k": 100}
    found = house.ask("owner", "POST", "/api/search", json=body).json()["results"]
    assert {each["document"] for each in found} == {each.id for each in OWN}
    assert {each["text"] for each in found} <= {each.text for each in OWN}
    kept = house.ask("owner", "GET", "/api/judgments", params={"collection": "both"}).json()["judgments"]
    assert [(each["id"], each["grade"]) for each in kept] == [(house.judgment, 3)]
    own = house.ask("guest", "POST", "/api/search", json=body).json()["results"]
    assert {each["document"] for each in own} == {"g1", "g2"}
