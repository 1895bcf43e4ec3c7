"""Tenants never see each other: no answer, no count, no explanation, no error of one tells of another."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from vicino import workbench
from vicino.catalog import Entry
from vicino.data.records import Document
from vicino.errors import UnknownName
from vicino.retrieval.context import pack
from vicino.retrieval.ingest import Source, ingest
from vicino.retrieval.stored import Stored
from vicino.store.collection import Collection
from vicino.store.tenants import kept_of

RECIPE = "bm25+lsa(n_components=3,index=planned,worth=0)"
OURS = [Document(f"d{n}", f"Our tea number {n} steeps in a pot.", metadata={"colour": "green"}) for n in range(8)]
THEIRS = [Document(f"d{n}", f"Their zebra number {n} drinks tea.", metadata={"password": "hunter2"}) for n in range(8)]


@pytest.fixture
def collection(tmp_path, monkeypatch, need) -> Collection:
    need(Entry("", "", "store"))
    monkeypatch.setenv("VICINO_HOME", str(tmp_path))
    for tenant, documents in (("us", OURS), ("rivals", THEIRS)):
        ingest(tmp_path / "collections", "c", Source("s", documents), recipe=RECIPE, tenant=tenant)
    return Collection.open(tmp_path / "collections", "c")


def theirs(said: object) -> list[str]:
    """What of theirs stands in something that was said to us."""
    return [secret for secret in ("zebra", "Their", "hunter2", "password", "rivals") if secret in str(said)]


@pytest.mark.parametrize(
    "where",
    [
        *(None, "tenant = 'rivals'", "not tenant = 'us'", "tenant = 'us' or tenant = 'rivals'", "password = 'hunter2'"),
        *("document in ('d1', 'd2')", "text contains 'zebra'", "not password is null", "source = 's'"),
    ],
)
def test_search_and_context_under_any_filter(collection, where):
    search = Stored(collection, tenant="us")
    for documents in (True, False):
        assert theirs(search.find("zebra tea", 50, where=where, explain=True, documents=documents)) == []
    assert theirs(pack(search.find("zebra tea", 50, where=where, documents=False), 1000).to_json()) == []
    assert len(search.find("zebra tea", 50, where=where)) <= len(OURS)


def test_known_keys_open_nothing(collection):
    keys = [key for batch in collection.store.scan(["key"], tenant="rivals") for key in batch["key"].to_pylist()]
    search = Stored(collection, tenant="us")
    search.refresh()
    assert not set(keys) & search._places.keys()
    assert search.rows(keys) == {}
    assert search.find("tea", where=f"key in ({', '.join(map(repr, keys))})") == []


def test_the_indexes_of_a_tenant_hold_its_own_passages_alone(collection):
    search = Stored(collection, tenant="us")
    search.refresh()
    own = {key for batch in collection.store.scan(["key"], tenant="us") for key in batch["key"].to_pylist()}
    for part in (search.retriever, *search.retriever.parts):
        assert set(part.ids_.tolist()) - {None} == own
    Stored(collection, tenant="rivals").refresh()
    kept = kept_of(collection, "us")
    assert kept.is_dir()
    assert kept != kept_of(collection, "rivals")
    assert [file for file in kept.rglob("*") if file.is_file() and b"zebra" in file.read_bytes()] == []


def test_nothing_of_theirs_moves_our_scores(collection, tmp_path):
    before = [(one.document, one.score) for one in Stored(collection, tenant="us").find("tea pot", 8)]
    more = [Document(f"x{n}", "tea pot " * n, metadata={"colour": "red"}) for n in range(1, 30)]
    ingest(tmp_path / "collections", "c", Source("more", more), tenant="rivals")
    assert [(one.document, one.score) for one in Stored(collection, tenant="us").find("tea pot", 8)] == before


def test_explanations_are_of_ones_own(collection):
    (found,) = Stored(collection, tenant="us").find("number 3 tea", 1, explain=True)
    assert theirs(found.why) == []
    assert found.why


def test_errors_list_ones_own_columns(collection):
    with pytest.raises(UnknownName, match="color") as caught:
        Stored(collection, tenant="us").find("tea", where="color = 'green'")
    assert "colour" in str(caught.value)
    assert theirs(caught.value) == []
    with pytest.raises(UnknownName) as caught:
        workbench.delete("c", tenant="us", where="passwort = 'x'")
    assert theirs(caught.value) == []
    with pytest.raises(UnknownName) as caught:
        workbench.search("c", "tea", tenant="use")
    assert theirs(caught.value) == []


def test_an_export_of_a_tenant(collection, tmp_path):
    workbench.export_collection("c", tmp_path / "out", tenant="us")
    written = [file for file in Path(tmp_path / "out").rglob("*") if file.is_file()]
    rows = [file for file in written if "model" not in str(file)]  # what was taught learnt from the first who came
    assert rows
    workbench.export_collection("c", tmp_path / "out.parquet", tenant="us")
    import pyarrow.parquet as pq

    for row in pq.read_table(tmp_path / "out.parquet").to_pylist():
        row.pop("vector", None)
        assert theirs(json.dumps(row, default=str)) == []
    for file in (tmp_path / "out").rglob("*.parquet"):
        table = pq.read_table(file)
        if "tenant" in table.column_names:
            assert set(table["tenant"].to_pylist()) == {"us"}


def test_the_store_keeps_tenants_apart_by_vector(collection):
    space = collection.spaces[collection.stored[0]]
    (batch, *_) = collection.store.scan(["key"], tenant="rivals", space=space)
    theirs_first = np.array(batch["vector"][0].as_py(), dtype=np.float32)
    own = {key for each in collection.store.scan(["key"], tenant="us") for key in each["key"].to_pylist()}
    hits = collection.store.search(theirs_first[None], 100, space=space, tenant="us")
    assert set(hits.ids[0].tolist()) <= own
