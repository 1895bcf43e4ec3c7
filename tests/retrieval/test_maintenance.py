"""Upkeep of a collection: space that comes back, indexes brought up to date, documents that go whole and at once."""

from __future__ import annotations

import random
import threading

import pytest

from vicino import artifacts
from vicino.catalog import Entry
from vicino.data.filters import parse
from vicino.data.records import Document
from vicino.errors import EmptyInput, InputError, UnknownName
from vicino.retrieval import maintenance
from vicino.retrieval.ingest import Source, ingest
from vicino.retrieval.maintenance import delete, maintain, repeated
from vicino.retrieval.stored import Stored
from vicino.store.collection import Collection
from vicino.store.lance_folder import files_of
from vicino.store.tenants import kept_of, tenants

RECIPE = "bm25+lsa(n_components=3,index=planned,worth=0)"


def text(number: int, edition: int = 0) -> Document:
    words = " ".join(f"word{(number * 7 + place) % 97}" for place in range(40))
    return Document(f"d{number}", f"Edition {edition} of {number}.\n\n{words}", metadata={"year": 2000 + number % 10})


@pytest.fixture
def collection(tmp_path, need) -> Collection:
    need(Entry("", "", "store"))
    ingest(tmp_path, "c", Source("s", [text(number) for number in range(60)]), recipe=RECIPE, cut="paragraph")
    return Collection.open(tmp_path, "c")


def size(collection: Collection) -> int:
    return files_of(collection.folder)[1]


def found(collection: Collection, query: str, **options) -> set[str]:
    return {one.document for one in Stored(collection, **options).find(query, 100)}


# Maintenance ----------------------------------------------------------------------------------------------------------


def test_the_space_of_what_was_deleted_comes_back(tmp_path, collection):
    long = [Document(f"long{number}", random.Random(number).randbytes(200_000).hex()) for number in range(5)]
    maintain(collection, keep_seconds=0)
    before = size(collection)
    ingest(tmp_path, "c", Source("long", long))
    assert size(collection) > before + 1_000_000
    delete(collection, tenant="", ids=[document.id for document in long])
    assert size(collection) > before + 1_000_000  # who reads the old version still can
    done = maintain(collection, keep_seconds=0)
    assert size(collection) < before + 20_000
    assert done.bytes_after < done.bytes_before - 1_000_000
    assert not done.busy


def test_the_space_of_what_was_overwritten_comes_back(tmp_path, collection):
    maintain(collection, keep_seconds=0)
    before = size(collection)
    for edition in range(1, 15):
        ingest(tmp_path, "c", Source("s", [text(number, edition) for number in range(60)]))
    assert size(collection) > 3 * before
    maintain(collection, keep_seconds=0)
    assert size(collection) < 1.5 * before
    assert collection.store.count(tenant="") == 120
    assert found(collection, "edition 14 of 7") >= {"d7"}


def test_kept_indexes_are_brought_up_to_date_and_those_of_nobody_go(tmp_path, collection, monkeypatch):
    ingest(tmp_path, "c", Source("s", [text(1)]), tenant="guest")
    for tenant in ("", "guest"):
        Stored(collection, tenant=tenant).find("word1", 1)
        assert kept_of(collection, tenant).is_dir()
    assert maintain(collection).reindexed == 0
    ingest(tmp_path, "c", Source("more", [Document("new", "Something else.")]))  # under the share at which a search keeps them
    collection.store.delete(parse("document = 'd1'"), tenant="guest")
    (left := collection.kept / f".{kept_of(collection, '').name}.killed").mkdir()
    (collection.folder / "kept-9" / kept_of(collection, "guest").name).mkdir(parents=True)  # of a model that stands by
    assert maintain(collection).reindexed == 1
    assert kept_of(collection, "").is_dir()
    assert not kept_of(collection, "guest").exists()
    assert not list((collection.folder / "kept-9").iterdir())
    assert not left.exists()
    read = []
    passages = maintenance.Stored(collection).retriever.parts[0]
    monkeypatch.setattr(type(passages), "_change", lambda self, removed, added, _: read.append((removed, added)))
    Stored(Collection.open(tmp_path, "c")).refresh()
    assert read in ([], [(set(), set())])  # the next process indexes nothing


def test_one_process_maintains_at_a_time(collection):
    with artifacts.locked(collection.folder / maintenance._UPKEEP):
        assert maintain(collection, keep_seconds=0).busy
    assert not maintain(collection, keep_seconds=0).busy


def test_maintenance_goes_on_beside_a_writer_and_a_reader(tmp_path, collection):
    stop, wrong = threading.Event(), []

    def read() -> None:
        search = Stored(Collection.open(tmp_path, "c"))
        while not stop.is_set():
            wrong.extend([] if len(search.find("word1", 60)) == 60 else ["a document is missing"])

    def write() -> None:
        for edition in range(1, 9):
            ingest(tmp_path, "c", Source("s", [text(number, edition) for number in range(60)]))

    threads = [threading.Thread(target=read), threading.Thread(target=write)]
    for thread in threads:
        thread.start()
    while threads[1].is_alive():
        maintain(collection)
    stop.set()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert {one.text for one in Stored(collection).find("edition", 60)} <= {f"Edition 8 of {n}." for n in range(60)}


def test_a_schedule_maintains_again_and_again(collection, monkeypatch):
    slept = []
    monkeypatch.setattr(maintenance.time, "sleep", slept.append)
    turns = repeated(collection, 3600, keep_seconds=0)
    assert [next(turns).collection for _ in range(3)] == ["c", "c", "c"]
    assert len(slept) == 2
    assert all(3000 < seconds <= 3600 for seconds in slept)


# Deletion -------------------------------------------------------------------------------------------------------------


def test_what_is_deleted_is_gone_at_once_for_everybody(tmp_path, collection):
    search = Stored(collection)
    other = Stored(Collection.open(tmp_path, "c"))
    assert {one.document for one in other.find("edition", 60)} >= {"d3", "d13"}
    done = delete(collection, tenant="", where=parse("year = 2003"))
    assert (done.documents, done.passages) == (6, 12)
    for reader in (search, other):
        left = {one.document for one in reader.find("edition", 60)}
        assert len(left) == 54
        assert not left & {"d3", "d13"}
        assert reader.find("edition", where="year = 2003") == []


def test_a_document_goes_whole(tmp_path, collection):
    done = delete(collection, tenant="", where=parse("text contains 'Edition 0 of 5.'"))
    assert (done.documents, done.passages) == (1, 2)
    assert ingest(tmp_path, "c", Source("s", [text(number) for number in range(60)])).new == 1  # and it can come back


def test_ids_and_a_filter_both_hold(collection):
    done = delete(collection, tenant="", where=parse("year = 2003"), ids=["d3", "d4", "nobody"])
    assert (done.documents, done.unknown) == (1, ("d4", "nobody"))


def test_a_dry_run_counts_and_takes_nothing(collection):
    version = collection.store.version
    for where, expected in (("year < 2002", (12, 24)), ("number = 0 and year < 2002", (12, 24)), ("year = 1900", (0, 0))):
        done = delete(collection, tenant="", where=parse(where), dry_run=True)
        assert (done.documents, done.passages) == expected
    assert collection.store.version == version


def test_the_same_id_of_several_sources(tmp_path, collection):
    ingest(tmp_path, "c", Source("other", [text(3)]))
    assert delete(collection, tenant="", ids=["d3"], where=parse("source = 'other'")).documents == 1
    assert delete(collection, tenant="", ids=["d3"]).documents == 1


@pytest.mark.parametrize(
    ("how", "error", "said"),
    [
        ({"where": parse("yaer = 2000"), "tenant": ""}, UnknownName, "year"),
        ({"where": parse("year = 'x'"), "tenant": ""}, InputError, "year"),
        ({"ids": [], "tenant": ""}, EmptyInput, "at least one"),
        ({"ids": ["d1"], "tenant": "nobody"}, UnknownName, "nobody"),
    ],
)
def test_what_cannot_be_deleted_is_named(collection, how, error, said):
    with pytest.raises(error, match=said):
        delete(collection, **how)
    assert collection.store.count(tenant="") == 120


# Tenants --------------------------------------------------------------------------------------------------------------


def test_a_tenant_leaves(tmp_path, collection):
    for tenant in ("a", "b"):
        ingest(tmp_path, "c", Source("s", [text(number) for number in range(5)]), tenant=tenant)
        Stored(collection, tenant=tenant).find("word1", 1)
    assert [(one.name, one.documents, one.passages) for one in tenants(collection)] == [("", 60, 120), ("a", 5, 10), ("b", 5, 10)]
    stands_by = [collection.folder / "kept-9" / kept_of(collection, name).name for name in ("a", "b")]  # of another model
    for folder in stands_by:
        folder.mkdir(parents=True)
    assert delete(collection, tenant="a").documents == 5
    assert not kept_of(collection, "a").exists()
    assert [folder.exists() for folder in stands_by] == [False, True]
    assert [one.name for one in tenants(collection)] == ["", "b"]
    with pytest.raises(UnknownName):
        found(collection, "word1", tenant="a")
    assert len(found(collection, "edition", tenant="b")) == 5


def test_no_deletion_reaches_another_tenant(tmp_path, collection):
    for tenant in ("a", "b"):
        ingest(tmp_path, "c", Source("s", [text(number) for number in range(5)]), tenant=tenant)
    for where in (
        "tenant = 'b'",
        "document = 'd1' or tenant = 'b'",
        "not tenant = 'a'",
        "key is not null and text contains 'of'",
    ):
        delete(collection, tenant="a", where=parse(where))
    assert [(one.name, one.documents) for one in tenants(collection)] == [("", 60), ("b", 5)]
