"""index=store: vectors stay in the store and are searched there, and the answers are those of exact search."""

from __future__ import annotations

import numpy as np
import pytest

from vicino import workbench
from vicino.catalog import Entry
from vicino.data.records import Document
from vicino.errors import InputError
from vicino.retrieval import from_recipe
from vicino.retrieval import parse as parsed
from vicino.retrieval import stored_passages as module
from vicino.retrieval.indexing import decide
from vicino.retrieval.ingest import Source, ingest
from vicino.retrieval.maintenance import maintain
from vicino.retrieval.scoring import score_all
from vicino.retrieval.stored import Stored
from vicino.store.collection import Collection

WORDS = ("wing", "lift", "drag", "tea", "water", "bread", "cello", "violin", "rain", "air")
QUESTIONS = ["wing and lift", "black tea", "a cello in the rain"]


@pytest.fixture(autouse=True, scope="module")
def _installed(need):
    need(Entry("", "", "store"))


def documents(n: int, *, start: int = 0) -> list[Document]:
    made = []
    for number in range(start, start + n):
        words = np.random.default_rng(number).choice(WORDS, 12)
        made.append(Document(f"d{number}", " ".join([*words, f"word{number}"]), metadata={"n": number}))
    return made


@pytest.fixture
def both(tmp_path):
    """The same collection twice: searched exactly, and in its store."""
    for name, index in (("here", ""), ("there", ",index=store")):
        recipe = f"bm25+lsa(n_components=6{index})"
        for tenant, part in (("", documents(80)), ("us", documents(20, start=500))):
            ingest(tmp_path, name, Source("s", part), recipe=recipe, cut="whole", tenant=tenant)
    return tmp_path


def opened(home, name, tenant="") -> Stored:
    return Stored(Collection.open(home, name), tenant=tenant)


def require_same_answers(home, **options):
    for tenant in ("", "us"):
        here, there = (opened(home, name, tenant).search(QUESTIONS, 10, **options) for name in ("here", "there"))
        assert here.ids.tolist() == there.ids.tolist()
        np.testing.assert_allclose(here.scores, there.scores, atol=1e-5)
        assert "in the store" in there.how or here.ids.size == 0


def test_answers_are_those_of_exact_search_and_no_vector_is_read(both, monkeypatch):
    def read(*_):
        raise AssertionError("vectors were read")

    here = opened(both, "here").search(QUESTIONS, 10)
    monkeypatch.setattr(module.StoredPassages, "vectors", read)
    there = opened(both, "there").search(QUESTIONS, 10)
    assert here.ids.tolist() == there.ids.tolist()
    assert opened(both, "there").dense[0].index_ is None  # nothing happens before the first question


@pytest.mark.parametrize("few", [1000, 5])
@pytest.mark.parametrize("where", ["n < 3", "n > 20", "n > 1000", "n >= 0"])
def test_a_filter_misses_nothing(both, monkeypatch, few, where):
    monkeypatch.setattr(module, "_NAMED", few)
    require_same_answers(both, where=where)


def test_what_comes_and_goes_is_noticed(both, monkeypatch):
    asked = opened(both, "there")
    asked.search(QUESTIONS, 10)
    asked.keep()
    monkeypatch.setattr(Stored, "keep", lambda *_: pytest.fail("a small change is no reason to write all indexes anew"))
    ingest(both, "there", Source("s", [*documents(80), *documents(1, start=900)]))
    asked.search(QUESTIONS, 10)
    monkeypatch.undo()
    for name in ("here", "there"):
        ingest(both, name, Source("s", [*documents(79)[2:], *documents(3, start=900)]), prune=True)
    here, there = opened(both, "here").search(QUESTIONS, 10), asked.search(QUESTIONS, 10)
    assert here.ids.tolist() == there.ids.tolist()
    assert {"d0", "d1", "d79"} & asked.documents == set()
    maintain(Collection.open(both, "there"))
    require_same_answers(both)


def test_reasons_are_given_without_fetching_all(both):
    (answer,) = opened(both, "there").find("black tea", 1, explain=True)
    part = next(one for one in answer.why["parts"] if "cosine" in str(one))
    assert "percentile" not in part["why"]
    from vicino.retrieval.text import found_text

    assert "lsa: cosine" in found_text([answer], width=100)


def test_scores_of_all_are_those_of_exact_search(both):
    made = []
    for name in ("here", "there"):
        stored = opened(both, name)
        stored.refresh()
        (leaf,) = stored.dense
        scoring = score_all(leaf, "black tea", stored.census(leaf))
        made.append({key.split(":")[0]: scoring.score(key) for key in sorted(scoring.census.row)})
    here, there = (sorted(each.values()) for each in made)
    np.testing.assert_allclose(here, there, atol=1e-5)


def test_where_it_cannot_be_is_said(both, tmp_path):
    with pytest.raises(InputError, match="searched in its store"):
        decide(Collection.open(both, "there"), recall=0.9)
    with pytest.raises(InputError, match="for collections"):
        from_recipe(parsed("lsa(n_components=2,index=store)")).build(documents(5))
    for recipe, what in (
        ("tfidf(index=store)", "counts words"),
        ('lsa(n_components=2,index=store,index_params={"similarity":"dot"})', "ranks by cosine"),
        ('lsa(n_components=2,index=store,index_params={"m":8})', "m"),
        ("lsa(n_components=2,index=nowhere)", "nowhere"),
    ):
        with pytest.raises(InputError, match=what):  # before anything is embedded
            ingest(tmp_path, "never", Source("s", documents(5)), recipe=recipe, cut="whole")
    assert "never" not in Collection.names(tmp_path)


def test_maintenance_has_the_store_build_its_index_before_anybody_asked(both, monkeypatch):
    prepared = []
    collection = Collection.open(both, "there")
    monkeypatch.setattr(type(collection.store), "prepare", lambda self, space: prepared.append(space))
    maintain(collection)
    maintain(Collection.open(both, "here"))
    assert prepared == list(collection.spaces)


def test_a_collection_is_exported_and_comes_back(tmp_path, monkeypatch):
    monkeypatch.setenv("VICINO_HOME", str(tmp_path))
    home = tmp_path / "collections"
    ingest(home, "there", Source("s", documents(40)), recipe="lsa(n_components=6,index=store)", cut="whole")
    workbench.export_collection("there", tmp_path / "out")
    workbench.import_collection(tmp_path / "out", "again")
    before, after = (opened(home, name).search(QUESTIONS, 10) for name in ("there", "again"))
    np.testing.assert_allclose(after.scores, before.scores, atol=1e-5)
    assert "in the store" in after.how
