"""The index of a store (index=store) is measured, an effort is chosen for it, and who maintains it measures again."""

from __future__ import annotations

import json
import zlib
from dataclasses import replace

import numpy as np
import pytest

from vicino import cli, store
from vicino.catalog import Entry
from vicino.data.records import Document
from vicino.errors import InputError
from vicino.evaluation.checkup import look_at
from vicino.indexes.exact import Exact
from vicino.retrieval import chosen, store_recall
from vicino.retrieval.indexing import decide, standing
from vicino.retrieval.ingest import Source, ingest
from vicino.retrieval.maintenance import maintain
from vicino.retrieval.store_recall import measure
from vicino.retrieval.stored import Stored
from vicino.spaces import Space
from vicino.store.base import Prepared, Row
from vicino.store.collection import Collection
from vicino.store.lance import Lance

MOST = 64


@pytest.fixture(autouse=True, scope="module")
def _installed(need):
    need(Entry("", "", "store"))


@pytest.fixture
def efforts(monkeypatch):
    """A store with an index that finds an answer with effort / 64 of luck; what it was asked with."""
    asked, search, lucky_ones = [], Lance._search, {}

    def lucky(self, queries, k, space, where, tenant, effort):
        if effort is None:
            return search(self, queries, k, space, where, tenant, None)
        asked.append(effort)
        made = (self.version, space, tenant, max(effort, 2))
        if made not in lucky_ones:
            batches = [batch.to_pydict() for batch in self.scan(["key"], tenant=tenant, space=space)]
            held = {name: vector for each in batches for name, vector in zip(*each.values(), strict=True)}
            names = [name for name in held if zlib.crc32(name.encode()) % MOST < made[-1]]
            lucky_ones[made] = Exact(similarity=space.similarity).build([held[name] for name in names], names)
        return lucky_ones[made].search(queries, k)

    monkeypatch.setattr(Lance, "_search", lucky)
    monkeypatch.setattr(Lance, "prepared", lambda self, space, k: Prepared(1000, 4, MOST))
    monkeypatch.setattr(store_recall, "_ASKED", 50)
    monkeypatch.setattr(store_recall, "_FEW", 100)
    return asked


def documents(n):
    random = np.random.default_rng(0)
    words = ("wing", "lift", "drag", "tea", "water", "bread", "cello", "violin", "rain", "air")
    return [Document(f"d{number}", " ".join([*random.choice(words, 12), f"word{number}"])) for number in range(n)]


@pytest.fixture
def collection(tmp_path, efforts, monkeypatch):
    monkeypatch.setenv("VICINO_HOME", str(tmp_path))
    home = tmp_path / "collections"
    ingest(home, "there", Source("s", documents(400)), recipe="lsa(n_components=8,index=store)", cut="whole")
    return Collection.open(home, "there")


@pytest.mark.parametrize("given", [False, True])
@pytest.mark.parametrize("similarity", ["cosine", "dot", "euclidean"])
def test_what_is_counted_is_what_was_missed(tmp_path, efforts, similarity, given):
    space = Space("s", 8, similarity)
    kept = store.create(tmp_path / "rows", [space])
    vectors = (3 * np.random.default_rng(0).standard_normal((300, 8))).astype(np.float32)
    vectors[200:] = vectors[:100]  # of two that are the same either will do
    rows = [Row(f"k{n}", "us", "s", f"d{n}", 0, 0, 1, "", "x", "0", "0") for n in range(300)]
    kept.replace(rows, {space.id: vectors}, tenant="us")
    queries = np.random.default_rng(1).standard_normal((50, 8)).astype(np.float32) if given else None
    whole = measure(kept, space, tenant="us", k=10, start=MOST, queries=queries)
    assert (whole.measured.value, whole.measured.effort, whole.rows) == (1.0, MOST, 300)
    assert whole.asked == ("50 given questions" if given else "50 vectors of its own")
    efforts.clear()
    found = measure(kept, space, tenant="us", k=10, goal=0.4, queries=queries)
    assert list(dict.fromkeys(efforts)) == [4, 8, 16, 32]  # doubled until it is there
    assert found.measured.lower >= 0.4
    part = [zlib.crc32(f"k{n}".encode()) % MOST < 32 for n in range(300)]
    assert found.measured.value == pytest.approx(np.mean(part), abs=0.1)  # as lucky as it was made


def test_a_recall_is_chosen_and_what_searches_looks_as_far(collection, efforts):
    (decision,) = decide(collection, recall=0.4)
    assert decision.choice.plan.effort == 32
    (found,) = standing(collection)
    assert (found.own, found.plan["recall"], found.plan["effort"], found.under) == ("store", 0.4, 32, False)
    assert found.kept[0]["recall"]["asked"] == "50 vectors of its own"
    efforts.clear()
    Stored(collection).search(["black tea"], 5)
    assert set(efforts) == {32}
    (finding,) = (one for one in look_at(collection).findings if one.about == "index")
    assert finding.state == "ok"


@pytest.mark.parametrize(("recall", "told"), [("0.7", "has less at every effort"), ("0.99", "50 questions cannot prove that")])
def test_what_no_effort_has_is_refused_and_shown(collection, efforts, monkeypatch, capsys, recall, told):
    monkeypatch.setattr(Lance, "prepared", lambda self, space, k: Prepared(1000, 4, MOST // 2))
    with pytest.raises(SystemExit) as ended:
        cli.main(["index", "there", "--recall", recall, "--quiet"])
    assert ended.value.code == 1
    shown = capsys.readouterr()
    assert f"nothing has a recall of {recall}" in shown.err
    assert told in shown.out
    assert chosen.read(collection) == {}
    assert max(efforts) == (MOST // 2 if recall == "0.7" else 4)  # what cannot be told is not tried
    for more in ({"memory": 10**9}, {"families": ["hnsw"]}):
        with pytest.raises(InputError, match="the store's own index is the only one"):
            decide(collection, recall=0.4, **more)
    with pytest.raises(InputError, match="recall of 2 cannot be had"):
        decide(collection, recall=2)


def test_maintenance_measures_what_nobody_chose_and_again_when_much_has_changed(collection, efforts, caplog):
    maintain(collection)
    (found,) = standing(collection)
    assert (found.plan, found.under, found.kept[0]["vectors"]) == (None, False, 400)
    assert found.kept[0]["recall"]["effort"] == 4
    efforts.clear()
    maintain(collection)
    assert efforts == []  # nothing changed
    decide(collection, recall=0.4)
    efforts.clear()
    ingest(collection.folder.parent, "there", Source("s", documents(600)))
    maintain(collection)
    assert set(efforts) == {32}
    assert standing(collection)[0].kept[0]["vectors"] == 600


def test_who_lost_the_recall_is_told(collection, monkeypatch, caplog, capsys):
    decide(collection, recall=0.4)
    ingest(collection.folder.parent, "there", Source("s", documents(600)))
    monkeypatch.setattr(Lance, "prepared", lambda self, space, k: Prepared(1000, 1, 1))
    known = chosen.read(collection)
    chosen.write(collection, {space: replace(one, plan=replace(one.plan, effort=1)) for space, one in known.items()})
    maintain(collection)
    assert "has no recall of 0.4 any more at any effort" in caplog.text
    (found,) = standing(collection)
    assert found.under
    with pytest.raises(SystemExit) as ended:
        cli.main(["index", "there", "--json"])
    assert ended.value.code == 1
    assert json.loads(capsys.readouterr().out)[0]["under"] is True


def test_rows_that_were_replaced_are_measured_again_though_they_are_as_many(collection, efforts):
    maintain(collection)
    efforts.clear()
    others = [Document(one.id, f"{one.text} anew") for one in documents(400)]
    ingest(collection.folder.parent, "there", Source("s", others))
    maintain(collection)
    assert efforts


def test_who_chose_is_who_measures(collection, efforts):
    home = collection.folder.parent
    ingest(home, "there", Source("s", documents(120)), tenant="us")
    collection.refresh()
    decide(collection, recall=0.4, tenant="us")
    assert standing(collection)[0].kept[0]["vectors"] == 120
    efforts.clear()
    maintain(collection)
    assert efforts == []  # nothing of theirs changed
    ingest(home, "there", Source("more", documents(40)), tenant="us")
    maintain(collection)
    assert standing(collection)[0].kept[0]["vectors"] == 160


def test_few_rows_are_compared_and_nothing_can_be_missed(tmp_path, efforts, monkeypatch):
    ingest(tmp_path, "few", Source("s", documents(30)), recipe="lsa(n_components=4,index=store)", cut="whole")
    collection = Collection.open(tmp_path, "few")
    maintain(collection)
    assert chosen.read(collection) == {}
    (decision,) = decide(collection, recall=0.999)
    assert (decision.choice.plan.effort, decision.choice.finals[0].measured.lower) == (None, 1.0)
    Stored(collection).search(["black tea"], 5)
    assert efforts == []


def test_two_parts_of_one_space_have_each_its_own(tmp_path, efforts):
    ingest(tmp_path, "c", Source("s", documents(400)), recipe="lsa(n_components=8,index=store)+lsa(n_components=8)", cut="whole")
    collection = Collection.open(tmp_path, "c")
    maintain(collection)
    assert [len(one.kept) for one in standing(collection)] == [1, 0]
    Stored(collection).search(["black tea"], 5)


def test_a_choice_that_was_made_meanwhile_stays(collection):
    maintain(collection)
    before = chosen.read(collection)
    decide(collection, recall=0.4)
    chosen.write(collection, {name: replace(one, evidence={}) for name, one in before.items()}, known=before)
    assert [one.plan.recall for one in chosen.read(collection).values()] == [0.4]
