"""The chosen index of a collection: kept, noticed, followed, measured again, and never another tenant's business."""

from __future__ import annotations

import json
import logging
import shutil
from dataclasses import replace

import numpy as np
import pytest

from vicino import artifacts
from vicino.catalog import Entry
from vicino.data.records import Document, Query
from vicino.errors import EmptyInput, InputError, UnknownName
from vicino.indexes.recall import Judge
from vicino.retrieval import chosen
from vicino.retrieval.indexing import decide, standing
from vicino.retrieval.ingest import Source, ingest
from vicino.retrieval.maintenance import maintain
from vicino.retrieval.stored import Stored
from vicino.store.collection import Collection

WORDS = [
    *("tea", "leaf", "water", "cup", "wing", "lift", "air", "drag", "cello", "bow"),
    *("string", "tune", "bread", "dough", "yeast", "oven", "ice", "lake", "fish", "snow"),
]
RECIPE = "lsa(n_components=8)"


def documents(count: int, *, start: int = 0) -> list[Document]:
    """Texts of a few words each; a document is its own best answer."""
    texts = []
    for number in range(start, start + count):
        rng = np.random.default_rng(number)
        subject = rng.integers(5) * 4
        words = [*rng.choice(WORDS[subject : subject + 4], 5), *rng.choice(WORDS, 4), f"word{number}", f"odd{number % 97}"]
        texts.append(Document(f"d{number}", " ".join(words), metadata={"serial": number}))
    return texts


@pytest.fixture(autouse=True)
def _times(monkeypatch, need):
    """Whatever the clock says, an index is faster than comparing all, and worth 50 vectors."""
    need(Entry("", "", "store"))
    monkeypatch.setattr(Judge, "seconds", lambda self, rows=None: 1.0)
    monkeypatch.setattr("vicino.indexes.choose._worth", lambda judge, seconds: 50)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A collection of 600 documents, as it was ingested."""
    home = tmp_path_factory.mktemp("made")
    ingest(home, "c", Source("s", documents(600)), recipe=RECIPE, cut="whole")
    return home


@pytest.fixture
def home(made, tmp_path):
    shutil.copytree(made, tmp_path / "home")
    return tmp_path / "home"


def opened(home, tenant="") -> Stored:
    return Stored(Collection.open(home, "c"), tenant=tenant)


def choose(home, **options):
    return decide(Collection.open(home, "c"), recall=0.9, families=["hnsw"], **options)


def how(stored, text="tea cello word7") -> str:
    return stored.search(text, 3).how


def test_the_choice_is_kept_and_the_next_process_builds_nothing(home, monkeypatch):
    before = [(one.document, round(one.score, 4)) for one in opened(home).find("word7 odd7 tea", 3)]
    (one,) = choose(home)
    assert one.choice.plan.index == "hnsw"
    assert one.passages == 600
    monkeypatch.setattr("vicino.indexes.choose.build", lambda *args, **options: pytest.fail("built again"))
    again = opened(home)
    assert [(one.document, round(one.score, 4)) for one in again.find("word7 odd7 tea", 3)] == before
    assert how(again).startswith("hnsw, effort")
    (found,) = standing(Collection.open(home, "c"))
    assert found.plan["recall"] == 0.9
    assert found.kept[0]["recall"]["lower"] >= 0.9
    assert found.kept[0]["vectors"] == 600
    assert not found.under
    json.dumps(found.to_json())


def test_a_search_that_runs_notices_a_choice(home):
    running = opened(home)
    assert how(running) == "exact over 600"
    choose(home)
    assert how(running).startswith("hnsw")


def test_what_the_recipe_ranks_by_is_what_is_chosen_measured_and_kept(tmp_path):
    recipe = 'lsa(n_components=8,index_params={"similarity":"dot"})'
    ingest(tmp_path, "c", Source("s", documents(600)), recipe=recipe, cut="whole")
    exact = opened(tmp_path).search([Query("q", "tea leaf water")], 10)
    (decision,) = decide(Collection.open(tmp_path, "c"), recall=0.9, families=["int8"])
    assert decision.choice.index.similarity == "dot"
    again = opened(tmp_path)
    found = again.search([Query("q", "tea leaf water")], 10)
    assert [leaf.similarity for leaf in again.dense] == ["dot"]
    assert len(set(found.ids[0]) & set(exact.ids[0])) >= 9  # a recall of .9 was asked for
    np.testing.assert_allclose(found.scores[:, :5], exact.scores[:, :5], atol=1e-5)
    assert found.scores.max() < 0.99  # no cosines


def test_what_is_new_is_found_at_once_and_measured_when_it_is_much(home):
    choose(home)
    running = opened(home)
    ingest(home, "c", Source("more", documents(20, start=600)))
    assert running.find("word605 " + documents(1, start=605)[0].text, 1)[0].document == "d605"
    assert how(running).endswith("; 20 newer exactly")
    ingest(home, "c", Source("much", documents(200, start=700)))
    assert "newer" not in how(running)
    (found,) = standing(Collection.open(home, "c"))
    assert found.kept[0]["vectors"] == 820
    assert found.kept[0]["recall"]["lower"] >= 0.9
    ingest(home, "c", Source("much", []), prune=True)
    assert {one.document for one in running.find("odd7 tea", 400)} <= {f"d{number}" for number in range(620)}


def test_maintenance_builds_again_what_newer_rows_slow_down(home):
    choose(home)
    ingest(home, "c", Source("more", documents(60, start=600)))
    assert how(opened(home)).endswith("; 60 newer exactly")
    maintain(Collection.open(home, "c"))
    assert "newer" not in how(opened(home))


@pytest.mark.parametrize("index", ["hnsw", "int8,keep=int8"])
def test_the_recipes_own_index_is_measured_and_follows_what_changes(tmp_path, index):
    ingest(tmp_path, "c", Source("s", documents(2100)), recipe=f"lsa(n_components=8,index={index})", cut="whole")
    family = index.partition(",")[0]
    asked = opened(tmp_path).search([Query("q", documents(1, start=7)[0].text)], 10)
    assert asked.how.startswith(family)
    (found,) = standing(Collection.open(tmp_path, "c"))
    assert (found.plan, found.own, found.under) == (None, family, False)
    (kept,) = found.kept
    assert kept["vectors"] == 2100
    assert kept["recall"]["asked"] == "105 vectors that were left out"
    assert kept["recall"]["rows"] == 1995
    assert 0.5 < kept["recall"]["lower"] < kept["recall"]["value"] <= 1
    ingest(tmp_path, "c", Source("more", documents(3, start=3000)))
    running = opened(tmp_path)
    assert running.find(documents(1, start=3001)[0].text, 1)[0].document == "d3001"
    assert how(running).endswith("; 3 newer exactly")
    ingest(tmp_path, "c", Source("more", []), prune=True)
    assert "newer" not in how(running)
    assert "d3001" not in [hit.document for hit in running.find(documents(1, start=3001)[0].text, 10)]


def test_searching_with_a_reranker_and_without_has_one_index(tmp_path, monkeypatch):
    ingest(tmp_path, "c", Source("s", documents(2100)), recipe="lsa(n_components=8,index=hnsw)", cut="whole")
    opened(tmp_path).refresh()
    monkeypatch.setattr("vicino.indexes.choose.build", lambda *args, **options: pytest.fail("built again"))
    Stored(Collection.open(tmp_path, "c"), rerank="lsa", depth=70).refresh()
    opened(tmp_path).refresh()


def test_each_part_of_a_recipe_shows_its_own_index(tmp_path):
    parts = [
        "lsa(n_components=8,index=hnsw)",
        "lsa(n_components=8,index=int8)",
        "tfidf",
        "lsa(n_components=8,seed=3,index=hnsw,m=8)",
    ]
    ingest(tmp_path, "c", Source("s", documents(2100)), recipe="+".join(parts), cut="whole")
    opened(tmp_path).refresh()
    found = standing(Collection.open(tmp_path, "c"))
    assert [one.own for one in found] == ["hnsw", "int8", "hnsw"]
    assert found[0].space == found[1].space != found[2].space
    kept = [[(each["params"]["index"], each["params"]["index_params"]) for each in one.kept] for one in found]
    assert kept == [[("hnsw", {})], [("int8", {})], [("hnsw", {"m": 8})]]


def test_a_recipes_index_that_does_not_fit_its_vectors_is_none_with_a_warning(tmp_path, caplog):
    ingest(tmp_path, "c", Source("s", documents(2100)), recipe="lsa(n_components=8,index=ivf-pq,m=999)", cut="whole")
    with caplog.at_level(logging.WARNING):
        assert how(opened(tmp_path)) == "exact over 2,100"
    assert "ivf-pq: " in caplog.text
    assert "all are compared" in caplog.text
    with caplog.at_level(logging.WARNING):
        caplog.clear()
        assert how(opened(tmp_path)) == "exact over 2,100"
    assert "all are compared" not in caplog.text  # it is remembered


@pytest.mark.parametrize("index", ["int8,keep=bogus", "truncated,dims=0", "disk,nlist=0", "hnsw,m=1"])
def test_an_index_that_can_never_be_is_named_before_anything_is_embedded(tmp_path, index):
    with pytest.raises(InputError):
        ingest(tmp_path, "c", Source("s", documents(3)), recipe=f"lsa(n_components=8,index={index})", cut="whole")
    assert not Collection.names(tmp_path)


def test_few_passages_need_no_index_of_the_recipe_but_one_that_can_be(tmp_path):
    ingest(tmp_path, "c", Source("s", documents(30)), recipe="lsa(n_components=8,index=ivf-pq)", cut="whole")
    assert how(opened(tmp_path)) == "exact over 30"
    with pytest.raises(InputError, match="nlist is 0"):
        ingest(tmp_path, "d", Source("s", documents(30)), recipe="lsa(n_components=8,index=ivf-pq,nlist=0)", cut="whole")
    assert Collection.names(tmp_path) == ["c"]


def test_a_filter_misses_nothing(home):
    choose(home)
    found = opened(home).find("tea cello word7", 20, where="serial < 40")
    assert opened(home).search("tea", 3, where="serial < 40").how == "exact over 40 allowed"
    shutil.rmtree(home / "c" / "chosen")
    exact = opened(home).find("tea cello word7", 20, where="serial < 40")
    np.testing.assert_allclose([one.score for one in found], [one.score for one in exact], rtol=1e-5)
    with pytest.raises(UnknownName, match="did you mean serial"):
        opened(home).find("tea", 3, where="seral < 40")
    with pytest.raises(UnknownName, match=r"There are(.|\n)*serial"):
        opened(home).find("tea", 3, where="year < 40")


def test_the_questions_that_were_given_measure_every_later_build(home):
    queries = [Query(str(number), text) for number, text in enumerate(["tea leaf", "wing lift", "cello bow", "ice snow"] * 10)]
    (one,) = choose(home, queries=queries)
    assert one.choice.asked == "40 given questions"
    ingest(home, "c", Source("much", documents(200, start=700)))
    opened(home).find("tea", 1)
    (found,) = standing(Collection.open(home, "c"))
    assert (found.kept[0]["vectors"], found.kept[0]["recall"]["asked"]) == (800, "40 given questions")


def test_a_small_tenant_is_searched_exactly_whatever_was_chosen(home):
    ingest(home, "c", Source("s", documents(30, start=5000)), tenant="small")
    choose(home)
    small = opened(home, "small")
    assert how(small) == "exact over 30"
    assert small.find(documents(1, start=5003)[0].text, 1)[0].document == "d5003"


@pytest.mark.parametrize("recipe", [RECIPE, f"bm25+{RECIPE}"])
def test_another_tenants_documents_change_no_score(tmp_path, recipe):
    ingest(tmp_path, "c", Source("s", documents(200)), recipe=recipe, cut="whole", tenant="a")
    decide(Collection.open(tmp_path, "c"), recall=0.9, families=["hnsw"], tenant="a")
    running = opened(tmp_path, "a")

    def answers(stored):
        return [(one.document, one.score) for text in ("tea cello", "word7 odd9 snow") for one in stored.find(text, 8)]

    before = answers(running)
    ingest(tmp_path, "c", Source("s", documents(300, start=100)), tenant="b")
    assert answers(running) == before
    again = answers(opened(tmp_path, "a"))
    assert [name for name, _ in again] == [name for name, _ in before]
    np.testing.assert_allclose([score for _, score in again], [score for _, score in before], rtol=1e-5)


def test_an_index_that_lost_its_recall_says_so_and_is_made_good(home, caplog):
    choose(home)
    collection = Collection.open(home, "c")
    (space,) = (space.id for space in collection.spaces)
    one = chosen.read(collection)[space]
    chosen.write(collection, {space: replace(one, plan=replace(one.plan, effort=1, params={"m": 2, "ef_construction": 4}))})
    with caplog.at_level(logging.WARNING, "vicino"):
        said = how(opened(home))
    assert "needs an effort of" in caplog.text or "no longer has a recall" in caplog.text
    assert said == "exact over 600" or int(said.rpartition(" ")[2]) > 1
    (found,) = standing(collection)
    assert not found.under


def test_that_no_effort_has_the_recall_is_found_out_once(home, monkeypatch, caplog):
    choose(home)
    collection = Collection.open(home, "c")
    (space,) = (space.id for space in collection.spaces)
    one = chosen.read(collection)[space]
    poor = replace(one.plan, recall=0.999, params={"m": 2, "ef_construction": 4})
    chosen.write(collection, {space: replace(one, plan=poor)})
    with caplog.at_level(logging.WARNING, "vicino"):
        before = [(found.document, found.score) for found in opened(home).find("word7 tea", 5)]
    assert "no longer has a recall" in caplog.text
    monkeypatch.setattr("vicino.indexes.choose.build", lambda *args, **options: pytest.fail("tried again"))
    again = opened(home)
    assert [(found.document, found.score) for found in again.find("word7 tea", 5)] == before
    assert how(again) == "exact over 600"


@pytest.mark.parametrize("harm", ["truncated", "newer", "gone"])
def test_an_index_that_cannot_be_read_is_made_again_with_a_warning(home, caplog, harm):
    choose(home)
    before = [(one.document, one.score) for one in opened(home).find("word7 tea", 5)]
    folder = next((home / "c" / "kept").glob("*/index/inner"))
    if harm == "truncated":
        file = folder / "arrays.safetensors"
        file.write_bytes(file.read_bytes()[:-100])
    elif harm == "newer":
        file = folder / artifacts.MANIFEST
        file.write_text(json.dumps(json.loads(file.read_text()) | {"format": artifacts.FORMAT + 1}))
    else:
        shutil.rmtree(folder)
    with caplog.at_level(logging.WARNING, "vicino"):
        after = [(one.document, one.score) for one in opened(home).find("word7 tea", 5)]
    assert "indexing again" in caplog.text
    assert [name for name, _ in after] == [name for name, _ in before]
    assert how(opened(home)).startswith("hnsw")  # and kept: the next process has it


def test_a_choice_that_cannot_be_read_is_none_with_a_warning(home, caplog):
    choose(home)
    (home / "c" / "chosen" / "manifest.json").write_text("{}")
    with caplog.at_level(logging.WARNING, "vicino"):
        assert how(opened(home)) == "exact over 600"
    assert "vicino index c" in caplog.text
    choose(home)
    assert how(opened(home)).startswith("hnsw")


def test_another_model_begins_anew(home):
    running = opened(home)
    before = [one.document for one in running.find("word7 tea", 5)]
    collection = Collection.open(home, "c")
    shutil.copytree(home / "c" / "about", home / "c" / "about-2")
    collection.store.serve(collection.store.spaces, note="about-2")
    assert [one.document for one in running.find("word7 tea", 5)] == before
    assert running.collection.note == "about-2"
    assert not running.refresh()


def test_nothing_changes_where_nothing_has_the_recall(home):
    (one,) = decide(Collection.open(home, "c"), recall=0.9, memory=100)
    assert one.choice.plan is None
    assert not (home / "c" / "chosen").exists()
    assert how(opened(home)) == "exact over 600"
    (found,) = standing(Collection.open(home, "c"))
    assert found.plan is None


def test_what_cannot_be_chosen_for_is_named(tmp_path, home):
    with pytest.raises(UnknownName, match="stranger"):
        choose(home, tenant="stranger")
    ingest(home, "c", Source("s", []), prune=True)
    with pytest.raises(EmptyInput):
        choose(home)
    for recipe in ("bm25", "tfidf"):
        ingest(tmp_path, recipe, Source("s", documents(20)), recipe=recipe, cut="whole")
        with pytest.raises(InputError, match="not searched by dense vectors"):
            decide(Collection.open(tmp_path, recipe), recall=0.9)
