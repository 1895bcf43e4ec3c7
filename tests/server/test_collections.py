"""Collections over HTTP: search, reasons, judgments, studies, maps; and who sees what."""

from __future__ import annotations

import json
import shutil
import threading
import time

import numpy as np
import pytest

from vicino.catalog import Entry
from vicino.data.pools import read_pool
from vicino.data.records import Document
from vicino.retrieval import maps
from vicino.retrieval.stored import Stored
from vicino.server import keys
from vicino.store.collection import Collection


def fails(answer, status, code):
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (status, code), answer.text
    assert error["mend"]
    return error


def measured(client, path="/api/collections/notes/map", **params):
    """What is told of a map once its neighbours are counted, which begins when it was drawn."""
    end = time.monotonic() + 60
    while (info := client.get(path, params=params).json())["measuring"]:
        assert time.monotonic() < end
        time.sleep(0.02)
    return info


def test_collections_say_what_they_are(client):
    (one,) = client.get("/api/collections").json()["collections"]
    assert (one["name"], one["documents"], one["passages"], one["label"]) == ("notes", 12, 12, "bm25+lsa")
    assert one["fields"] == {"lang": "text", "year": "integer"}
    assert (one["accepts"], one["spaces"][0]["dim"], one["spaces"][0]["encoder"]) == (["text"], 3, "lsa")


def test_a_search_is_that_of_the_collection(client):
    asked = {"collection": "notes", "query": "boiling tea water", "k": 3}
    answer = client.post("/api/search", json=asked)
    plain = answer.json()
    assert [one["document"] for one in plain["results"]][:2] == ["d3", "d4"]
    assert plain["results"][0]["text"] == "Black tea steeps in boiling water for four minutes."
    assert plain["results"][0]["metadata"] == {"lang": "en", "year": 2003}
    assert "why" not in plain["results"][0]
    assert plain["timing"]["total_ms"] > 0
    assert plain["next_offset"] == 3
    by_get = client.get("/api/search", params={**asked, "explain": "false"}).json()
    assert by_get["results"] == plain["results"]
    assert by_get["configuration"] == plain["configuration"]
    rest = client.post("/api/search", json={**asked, "offset": 3}).json()
    assert [one["rank"] for one in rest["results"]] == [4, 5, 6]


def test_filters_modes_and_reasons_come_through(client):
    asked = {"collection": "notes", "query": "boiling tea", "where": "lang = 'de' and year > 2000", "explain": True}
    found = client.post("/api/search", json={**asked, "mode": "hybrid", "weight": 0.3}).json()["results"]
    assert {one["metadata"]["lang"] for one in found} == {"de"}
    why = found[0]["why"]
    assert set(why) == {"lexical", "dense", "fusion", "passage"}
    assert why["fusion"]["sum"] == pytest.approx(found[0]["score"], abs=1e-5)
    assert why["passage"] == {"start": 0, "end": found[0]["end"], "before": "", "after": ""}  # the document is one passage
    lost = client.post("/api/why-not", json={"collection": "notes", "query": "tea", "document": "d3", "where": "lang = 'de'"})
    assert lost.json()["stages"][0]["state"] == "out"
    assert "lang = 'de'" in lost.json()["verdict"]


def test_what_is_wrong_with_a_search_has_a_name(client):
    def ask(**more):
        return client.post("/api/search", json={"collection": "notes", "query": "tea", **more})

    assert "did you mean notes" in fails(ask(collection="nots"), 404, "collection_not_found")["mend"]
    assert "did you mean lang" in fails(ask(where="lung = 1"), 400, "invalid_value")["mend"]
    fails(ask(where="lang = "), 400, "invalid_value")
    fails(ask(where="(" * 200), 400, "invalid_value")
    fails(ask(k=5000), 400, "too_large")
    fails(ask(offset=500_000), 400, "too_large")
    fails(ask(k=10**30), 400, "invalid_value")
    fails(ask(query=""), 400, "invalid_request")
    fails(ask(query="   "), 400, "empty_input")
    fails(ask(rerank="/etc/passwd"), 404, "model_not_found")
    fails(ask(weight=0.5), 400, "invalid_value")
    fails(ask(surprise=1), 400, "invalid_request")
    fails(ask(collection="../notes"), 404, "collection_not_found")
    fails(client.post("/api/why-not", json={"collection": "notes", "query": "tea", "document": "d99"}), 404, "not_found")


def test_what_is_ingested_elsewhere_is_found_at_once_by_two_servers(home, serving, tiny, keep):
    asked = {"collection": "notes", "query": "zebra"}
    with serving(home=home, encoders=[tiny]) as one, serving(home=home, encoders=[tiny]) as other:
        for server in (one, other):
            assert "z" not in [each["document"] for each in server.post("/api/search", json=asked).json()["results"]]
        one.post("/api/collections/notes/documents", json={"documents": [{"id": "z", "text": "A zebra crossing."}]})
        for server in (other, one):
            assert server.post("/api/search", json=asked).json()["results"][0]["document"] == "z"
        other.request("DELETE", "/api/collections/notes/documents", json={"ids": ["z"]})
        for server in (one, other):
            assert "z" not in [each["document"] for each in server.post("/api/search", json=asked).json()["results"]]


def test_a_collection_that_is_deleted_or_made_anew_while_served(home, serving, tiny, keep):
    asked = {"collection": "notes", "query": "tea"}
    with serving(home=home, encoders=[tiny]) as client:
        assert client.post("/api/search", json=asked).json()["results"]
        assert measured(client)["n"] == 12
        shutil.rmtree(home / "collections" / "notes")
        fails(client.post("/api/search", json=asked), 404, "collection_not_found")
        fails(client.get("/api/collections/notes/map/coordinates"), 404, "collection_not_found")
        fails(client.post("/api/judgments", json={**asked, "document": "d3", "grade": 1}), 404, "collection_not_found")
        assert client.get("/api/collections").json() == {"collections": []}
        keep(home, "notes", [Document("new", "Tea, again.")], recipe="bm25+lsa(n_components=1)")
        assert [one["document"] for one in client.post("/api/search", json=asked).json()["results"]] == ["new"]
        assert client.get("/api/collections/notes/map").json()["n"] == 1


def test_a_collection_that_vanishes_in_the_middle_of_a_search_is_a_404(home, serving, tiny, monkeypatch):
    real = Stored.rows

    def vanish(stored, wanted):
        shutil.rmtree(home / "collections" / "notes", ignore_errors=True)
        return real(stored, wanted)

    with serving(home=home, encoders=[tiny]) as client:
        monkeypatch.setattr(Stored, "rows", vanish)
        fails(client.post("/api/search", json={"collection": "notes", "query": "tea"}), 404, "collection_not_found")


def test_images_are_not_asked_by_naming_a_file(client, monkeypatch):
    monkeypatch.setattr(Collection, "accepts", property(lambda _: [frozenset({"image"})]))
    fails(client.post("/api/search", json={"collection": "notes", "query": "/etc/passwd"}), 400, "not_by_words")


# Judgments and studies ------------------------------------------------------------------------------------------------


def test_judgments_are_kept_told_and_taken_back(home, serving, tiny, tmp_path):
    said = {"collection": "notes", "query": "boiling tea", "document": "d3", "grade": 3, "blind": True, "rater": "ann"}
    with serving(home=home, encoders=[tiny]) as client:
        kept = client.post("/api/judgments", json={**said, "configuration": {"mode": "dense"}})
        assert kept.status_code == 201
        client.post("/api/judgments", json={**said, "document": "d4", "grade": 0})
        told = client.get("/api/judgments", params={"collection": "notes"}).json()["judgments"]
        assert [(one["document"], one["grade"], one["source"]) for one in told] == [("d3", 3, "tests"), ("d4", 0, "tests")]
        assert told[0]["configuration"] == {"mode": "dense"}
        table = client.get("/api/judgments", params={"collection": "notes", "format": "csv"})
        (tmp_path / "said.csv").write_bytes(table.content)
        assert [(row.document_id, row.grade) for row in read_pool(tmp_path / "said.csv").rows] == [("d3", 3), ("d4", 0)]
        assert "Black tea steeps" in table.text
        lines = client.get("/api/judgments", params={"collection": "notes", "format": "qrels"}).text.splitlines()
        assert [line.split()[2:] for line in lines] == [["d3", "3"], ["d4", "0"]]
        page = client.get("/api/judgments", params={"collection": "notes", "limit": 1}).json()
        assert (len(page["judgments"]), page["next_offset"]) == (1, 1)
        assert client.delete(f"/api/judgments/{told[0]['id']}").status_code == 200
        assert client.delete(f"/api/judgments/{told[1]['id']}", params={"collection": "notes"}).status_code == 200
        fails(client.delete(f"/api/judgments/{told[0]['id']}"), 404, "not_found")
        assert client.get("/api/judgments", params={"collection": "notes"}).json()["judgments"] == []
        fails(client.post("/api/judgments", json={**said, "document": "d99"}), 404, "not_found")
        fails(client.post("/api/judgments", json={**said, "grade": 4}), 400, "invalid_request")


def test_studies_are_those_of_the_home(home, serving, tiny):
    assert not (home / "studies").exists()
    with serving(home=home, encoders=[tiny]) as client:
        assert client.get("/api/studies").json() == {"studies": []}
        fails(client.get("/api/studies/nothing"), 404, "not_found")
        fails(client.get("/api/studies/..%2Fkeys"), 404, "not_found")


# Maps -----------------------------------------------------------------------------------------------------------------


def test_a_map_its_fields_its_points_and_what_is_near(client):
    info = client.get("/api/collections/notes/map").json()
    assert (info["n"], info["of"], info["method"], info["state"], info["stale"]) == (12, 12, "pca", "ready", False)
    where = np.frombuffer(client.get("/api/collections/notes/map/coordinates").content, "<f4").reshape(-1, 2)
    assert where.shape == (12, 2)
    fields = {field["name"]: field for field in info["fields"]}
    codes = np.frombuffer(client.get("/api/collections/notes/map/field/lang").content, "<u2")
    years = np.frombuffer(client.get("/api/collections/notes/map/field/year").content, "<f4")
    points = client.post("/api/collections/notes/map/points", json={"rows": list(range(12))}).json()["points"]
    assert [fields["lang"]["values"][code] for code in codes] == [point["metadata"]["lang"] for point in points]
    assert years.tolist() == [point["metadata"]["year"] for point in points]
    assert fields["year"]["values"] is None
    row = next(point["row"] for point in points if point["document"] == "d3")
    near = client.post("/api/collections/notes/map/neighbours", json={"row": row, "k": 1}).json()
    assert points[near["rows"][0]]["document"] == "d4"
    asked = client.post("/api/collections/notes/map/neighbours", json={"query": "boiling tea", "k": 2}).json()
    assert {points[place]["document"] for place in asked["rows"]} == {"d3", "d4"}
    assert asked["share_kept"] is None
    assert asked["scores"] == sorted(asked["scores"], reverse=True)


def test_how_many_neighbours_a_map_keeps_is_told_when_it_is_counted(home, serving, tiny, monkeypatch):
    path, go, real, counted = "/api/collections/notes/map", threading.Event(), maps.measured, []

    def wait(collection, *given):
        if not collection.folder.is_relative_to(home):  # the map of a test before this one
            return real(collection, *given)
        assert go.wait(60)
        counted.append(given)
        return real(collection, *given)

    monkeypatch.setattr(maps, "measured", wait)
    with serving(home=home, encoders=[tiny]) as client:
        first = client.get(path).json()
        assert (first["state"], first["kept"], first["measuring"]) == ("ready", None, True)
        where = client.get(f"{path}/coordinates").content
        assert client.get(path).json()["measuring"]
        go.set()
        told = measured(client)
        assert 0 <= told["kept"] <= 1
        assert {**told, "kept": None, "measuring": True} == first
        assert client.get(f"{path}/coordinates").content == where
    with serving(home=home, encoders=[tiny]) as client:
        assert client.get(path).json() == told  # it was kept
    assert len(counted) == 1


def test_a_map_that_cannot_be_measured_is_a_map(home, serving, tiny, monkeypatch):
    monkeypatch.setattr(maps, "measured", lambda *_: 1 / 0)
    with serving(home=home, encoders=[tiny]) as client:
        assert client.get("/api/collections/notes/map").json()["n"] == 12
        told = measured(client)
        assert (told["state"], told["kept"]) == ("ready", None)


def test_what_is_wrong_with_a_map_has_a_name(client):
    path = "/api/collections/notes/map"
    fails(client.get(path, params={"method": "umap"}), 404, "not_found")
    fails(client.get(path, params={"space": "minilm"}), 404, "not_found")
    fails(client.get(f"{path}/field/colour"), 404, "not_found")
    fails(client.post(f"{path}/points", json={"rows": [12]}), 400, "invalid_value")
    fails(client.post(f"{path}/points", json={"rows": [-1]}), 400, "invalid_value")
    fails(client.post(f"{path}/points", json={"rows": []}), 400, "invalid_request")
    fails(client.post(f"{path}/neighbours", json={"k": 2}), 400, "invalid_value")
    fails(client.get("/api/collections/nots/map"), 404, "collection_not_found")


@pytest.mark.long
def test_tsne_is_made_in_the_background_and_found_again(home, serving, tiny, need):
    need(Entry("", "", "map"))
    path = "/api/collections/notes/map"
    with serving(home=home, encoders=[tiny]) as client:
        fails(client.get(path, params={"method": "tsne"}), 404, "map_not_made")
        begun = client.post(path)
        assert (begun.status_code, begun.json()["state"]) == (202, "making")
        end = time.monotonic() + 60
        while (info := client.get(path, params={"method": "tsne"}).json())["state"] == "making":
            assert 0 <= info["progress"] <= 1
            assert time.monotonic() < end
            time.sleep(0.02)
        assert (info["n"], info["method"], info["stale"]) == (12, "tsne", False)
        client.post("/api/collections/notes/documents", json={"documents": [{"id": "z", "text": "A zebra."}]})
        assert client.get(path, params={"method": "tsne"}).json()["stale"] is True
        assert client.get(path, params={"method": "pca"}).json()["n"] == 13
    with serving(home=home, encoders=[tiny]) as client:
        assert client.get(path).json()["method"] == "tsne"  # the best that was made
        content = client.get(f"{path}/coordinates").content
        assert len(content) == 12 * 2 * 4


# Tenants --------------------------------------------------------------------------------------------------------------


def test_a_tenant_sees_nothing_of_others(home, serving, tiny, keep):
    keep(home, "shared", [Document("mine", "Tea for ann.", metadata={"colour": "red"})], tenant="ann")
    keep(home, "shared", [Document("theirs", "Tea for bob.", metadata={"shape": "round"})], tenant="bob")
    ann, eve, root = (
        {"Authorization": f"Bearer {keys.add(home / 'keys.json', name, scope=scope, tenant=tenant)[1]}"}
        for name, scope, tenant in (("ann", "write", "ann"), ("eve", "write", "eve"), ("root", "admin", ""))
    )
    asked = {"collection": "shared", "query": "tea", "k": 9}
    with serving(home=home, encoders=[tiny], wait=False) as client:
        found = client.post("/api/search", json=asked, headers=ann).json()["results"]
        assert [one["document"] for one in found] == ["mine"]
        assert [one["name"] for one in client.get("/api/collections", headers=ann).json()["collections"]] == ["shared"]
        (one,) = client.get("/api/collections", headers=ann).json()["collections"]
        assert (one["documents"], one["fields"]) == (1, {"colour": "text"})
        fails(client.post("/api/search", json={**asked, "tenant": "bob"}, headers=ann), 403, "other_tenant")
        there = client.post("/api/search", json=asked, headers=eve)
        nowhere = client.post("/api/search", json={**asked, "collection": "nowhere"}, headers=eve)
        assert fails(there, 404, "collection_not_found")["mend"] == fails(nowhere, 404, "collection_not_found")["mend"]
        assert client.get("/api/collections", headers=eve).json() == {"collections": []}
        why = {**asked, "document": "theirs"}
        fails(client.post("/api/why-not", json=why, headers=ann), 404, "not_found")
        fails(client.post("/api/judgments", json={**why, "grade": 1, "k": 1}, headers=ann), 400, "invalid_request")
        judged = {"collection": "shared", "query": "tea", "document": "mine", "grade": 1}
        name = client.post("/api/judgments", json=judged, headers=ann).json()["id"]
        bobs = client.get("/api/judgments", params={"collection": "shared", "tenant": "bob"}, headers=root)
        assert bobs.json()["judgments"] == []
        fails(client.delete(f"/api/judgments/{name}", headers=eve), 404, "not_found")
        assert client.get("/api/collections/shared/map", headers=ann).json()["n"] == 1
        gone = client.request("DELETE", "/api/collections/shared/documents", json={"ids": ["theirs"]}, headers=ann)
        assert gone.json() == {"documents": 0, "passages": 0, "unknown": ["theirs"]}
        fails(client.post("/api/collections/shared/maintain", headers=ann), 403, "scope_too_small")
        assert client.get("/api/studies", headers=ann).json() == {"studies": []}
        for tenant, wanted in (("ann", "mine"), ("bob", "theirs")):
            found = client.post("/api/search", json={**asked, "tenant": tenant}, headers=root).json()["results"]
            assert [one["document"] for one in found] == [wanted]
        kept = client.post("/api/collections/shared/documents", json={"documents": [{"id": "e", "text": "x y"}]}, headers=eve)
        assert json.loads(kept.text.splitlines()[-1])["summary"]["total_documents"] == 1
