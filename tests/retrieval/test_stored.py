"""Search in a collection: new rows at once, filters, explanations, and indexes that are kept between processes."""

from __future__ import annotations

import shutil

import pytest

from vicino.catalog import Entry
from vicino.data.records import Document
from vicino.errors import InputError, SpaceMismatch, UnknownName
from vicino.retrieval.ingest import Source, ingest
from vicino.retrieval.stored import Stored
from vicino.store.collection import Collection

PARTED = [
    Document("long", "Tea is hot.\n\nThe cello sings.\n\nWings lift.", title="Mixed", metadata={"year": 1999, "lang": "en"}),
    Document("tea", "Green tea, black tea.\n\nTea leaves.\n\nMore tea.", metadata={"year": 2005, "lang": "de"}),
    Document("cello", "A cello has four strings.", metadata={"year": 2010, "lang": "en"}),
]


@pytest.fixture(scope="module", params=["bm25", "bm25+lsa(n_components=3)", "lsa(n_components=3,index=planned,worth=0)", "tfidf"])
def recipe(request, need) -> str:
    need(Entry("", "", "store"))
    return request.param


@pytest.fixture
def stored(tmp_path, recipe) -> Stored:
    ingest(tmp_path, "c", Source("s", PARTED), recipe=recipe, cut="paragraph")
    return Stored(Collection.open(tmp_path, "c"))


def test_a_document_is_found_once_by_its_best_passage(stored):
    found = stored.find("cello", 3)
    assert len({one.document for one in found}) == len(found)
    best = next(one for one in found if one.document == "long")
    whole = {document.id: document for document in PARTED}
    assert best.text == "The cello sings."
    assert whole["long"].text[best.start : best.end] == best.text
    assert (best.title, best.metadata, best.source) == ("Mixed", {"year": 1999, "lang": "en"}, "s")
    assert len(stored.find("tea cello wings strings leaves", 7, documents=False)) > len(
        stored.find("tea cello wings strings leaves", 7)
    )


def test_hits_name_documents(stored):
    hits = stored.search(["cello", "tea leaves"], 2)
    assert hits.ids.shape == (2, 2)
    assert hits.ids[1, 0] == "tea"
    assert list(hits.scores[0]) == sorted(hits.scores[0], reverse=True)


def test_what_was_ingested_is_found_at_once_and_what_vanished_is_not(stored, tmp_path):
    other = Stored(Collection.open(tmp_path, "c"))
    assert "harp" not in {one.document for one in stored.find("cello harp", 5)}
    ingest(tmp_path, "c", Source("more", [Document("harp", "A harp is no cello.")]))
    for search in (stored, other):
        assert "harp" in {one.document for one in search.find("cello harp", 5)}
    ingest(tmp_path, "c", Source("more", [Document("harp2", "A harp is still no cello.")]), prune=True)
    names = {one.document for one in stored.find("cello harp", 5)}
    assert "harp2" in names
    assert "harp" not in names


def test_a_failed_refresh_is_made_good_by_the_next(stored, tmp_path, monkeypatch):
    stored.find("tea", 1)
    ingest(tmp_path, "c", Source("more", [Document("harp", "A harp is no cello.")]))

    def fail(*_: object) -> None:
        raise InputError("a disk that is gone", mend="bring it back")

    with monkeypatch.context() as patch:
        patch.setattr(type(stored.retriever), "change", fail)
        with pytest.raises(InputError, match="disk"):
            stored.find("harp", 1)
    assert "harp" in {one.document for one in stored.find("cello harp", 5)}


def test_filters_restrict_without_missing_anything(stored):
    def names(where):
        return {one.document for one in stored.find("tea cello", 3, where=where)}

    assert names("lang = 'en'") == {"long", "cello"}
    assert names("year > 2000 and not lang = 'en'") == {"tea"}
    assert names("document in ('tea', 'cello') and year between 2006 and 2020") == {"cello"}
    assert names("year > 3000") == set()
    with pytest.raises(UnknownName, match="lang"):
        names("language = 'en'")
    with pytest.raises(InputError):
        names("year >")


def test_each_answer_says_why(stored):
    for one in stored.find("black tea", 2, explain=True):
        parts = [part["why"] for part in one.why["parts"] if part["why"]] if "parts" in one.why else [one.why]
        for part in parts:
            if "terms" in part:
                assert part["terms"].keys() <= {"black", "tea"}
            else:
                assert 0 <= part["percentile"] <= 100
    hits = stored.search("black tea", 2, explain=True)
    assert len(hits.why[0]) == len(hits.top())


def test_a_tenant_who_is_not_there_is_named_and_learns_of_nobody(stored, tmp_path):
    ingest(tmp_path, "c", Source("s", PARTED), tenant="secret")
    nobody = Stored(stored.collection, tenant="sacred")
    for ask in (lambda: nobody.find("tea"), lambda: nobody.search(["tea", "cello"], 3), lambda: nobody.search([], 3)):
        with pytest.raises(UnknownName, match="sacred") as caught:
            ask()
        assert "secret" not in str(caught.value)


def test_a_collection_of_tenants_asks_whose(stored, tmp_path):
    ingest(tmp_path, "c", Source("s", []), prune=True)
    assert stored.find("tea") == []  # an empty collection is no error
    ingest(tmp_path, "c", Source("s", PARTED), tenant="secret")
    with pytest.raises(InputError, match="belongs to tenants"):
        stored.find("tea")


def test_the_next_process_does_not_read_everything_again(stored, tmp_path, monkeypatch):
    before = [(one.document, one.score) for one in stored.find("black tea", 3)]
    read = []
    scan = type(stored.collection.store).scan

    def spy(self, columns, **options):
        read.append(tuple(columns))
        return scan(self, columns, **options)

    monkeypatch.setattr(type(stored.collection.store), "scan", spy)
    again = Stored(Collection.open(tmp_path, "c"))
    assert [(one.document, pytest.approx(one.score)) for one in again.find("black tea", 3)] == before
    assert ("key", "title", "text") not in read


def test_vectors_that_are_kept_are_indexed_without_their_model(stored, tmp_path):
    again = Stored(Collection.open(tmp_path, "c"))
    again.refresh()
    again.settle()
    sparse = [model for model in again.collection.models if model["sparse"]]
    assert len(again.collection.opened) == len(sparse)
    again.find("tea", 1)
    assert len(again.collection.opened) == len(again.collection.models)


def test_indexes_that_were_damaged_are_made_again(stored, tmp_path):
    before = [(one.document, one.score) for one in stored.find("black tea", 3)]
    for file in (tmp_path / "c" / "kept").rglob("manifest.json"):
        file.write_text("{}")
    again = Stored(Collection.open(tmp_path, "c"))
    assert [(one.document, pytest.approx(one.score)) for one in again.find("black tea", 3)] == before
    shutil.rmtree(tmp_path / "c" / "kept", ignore_errors=True)
    assert len(Stored(Collection.open(tmp_path, "c")).find("black tea", 3)) == len(before)


def test_a_model_that_moved_is_refused(tmp_path, need):
    need(Entry("", "", "store"))
    ingest(tmp_path, "c", Source("s", PARTED), recipe="lsa(n_components=3)", cut="whole")
    collection = Collection.open(tmp_path, "c")
    encoder = collection.encoder(0)
    arrays = dict(collection.about.arrays)
    arrays["canaries-0"] = -arrays["canaries-0"]
    object.__setattr__(collection.about, "arrays", arrays)
    collection._opened.clear()
    for ask in (lambda: collection.encoder(0), collection.open_models, lambda: Stored(collection).find("tea", 1)):
        with pytest.raises(SpaceMismatch, match=r"no longer gives(.|\n)*vicino ingest PATH --collection c-2"):
            ask()
    assert encoder.space == collection.spaces[0]
