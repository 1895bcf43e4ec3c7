"""Documents into a collection: what changed and only that, what is refused, and what outlives a killed process."""

from __future__ import annotations

import io
import json
import random
import shutil
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from vicino import encoders, workbench
from vicino.catalog import Entry
from vicino.data.records import Document
from vicino.encoders.counts import LSA
from vicino.errors import EmptyInput, InputError, SpaceMismatch, UnknownName
from vicino.retrieval import from_recipe, parse
from vicino.retrieval.ingest import Source, default_recipe, ingest
from vicino.retrieval.stored import Stored
from vicino.store.base import EVERYONE
from vicino.store.changes import Summary
from vicino.store.collection import Collection

RECIPE = "bm25+lsa(n_components=4)"


@pytest.fixture(autouse=True)
def _store(need):
    need(Entry("", "", "store"))


@pytest.fixture
def counted(monkeypatch) -> list[str]:
    """What LSA was asked to encode as documents since the last look (clear it)."""
    seen: list[str] = []
    encode = LSA.encode_document

    def spy(self, inputs, **options):
        seen.extend(item if isinstance(item, str) else item.content for item in inputs)
        return encode(self, inputs, **options)

    monkeypatch.setattr(LSA, "encode_document", spy)
    return seen


def put(home: Path, documents, name: str = "c", *, source: str = "s", **options) -> Summary:
    options.setdefault("recipe", None if name in Collection.names(home) else RECIPE)
    return ingest(home, name, Source(source, documents), **options)


def rows(home: Path, name: str = "c") -> list[dict]:
    """Everything that is stored, vectors too, in a fixed order."""
    store = Collection.open(home, name).store
    columns = ["key", "tenant", "source", "document", "number", "start", "end", "title", "text", "digest", "revision", "metadata"]
    found = [row for batch in store.scan(columns, tenant=EVERYONE, space=store.spaces[0]) for row in batch.to_pylist()]
    return sorted(found, key=lambda row: row["key"])


def adds_up(summary: Summary) -> bool:
    documents = summary.new + summary.changed + summary.unchanged + sum(summary.refused.values())
    return documents == summary.documents and summary.embedded + summary.reused == summary.passages


# What changed, and only that ------------------------------------------------------------------------------------------


def test_a_second_time_nothing_is_embedded(tmp_path, documents, counted):
    first = put(tmp_path, documents)
    assert (first.new, first.passages, first.embedded, first.total_documents) == (12, 12, 12, 12)
    before = rows(tmp_path)
    counted.clear()
    second = put(tmp_path, documents)
    assert (second.unchanged, second.passages, second.removed) == (12, 0, 0)
    assert rows(tmp_path) == before
    assert len(counted) <= 3  # the canaries
    assert adds_up(first)
    assert adds_up(second)


def test_of_a_changed_document_only_the_changed_passages_are_embedded(tmp_path, documents, counted):
    long = Document("long", "One about tea.\n\nTwo about wings.\n\nThree about cellos.")
    put(tmp_path, [*documents, long], cut="paragraph")
    before = {row["text"]: row for row in rows(tmp_path) if row["document"] == "long"}
    counted.clear()
    edited = replace(long, text="A new beginning.\n\nOne about tea.\n\nThree about cellos.")
    summary = put(tmp_path, [*documents, edited])
    assert (summary.changed, summary.unchanged, summary.passages, summary.embedded, summary.reused) == (1, 12, 3, 1, 2)
    assert [text for text in counted if "beginning" in text] == ["A new beginning."]
    after = {row["text"]: row for row in rows(tmp_path) if row["document"] == "long"}
    assert sorted(after) == ["A new beginning.", "One about tea.", "Three about cellos."]
    assert after["One about tea."]["vector"] == before["One about tea."]["vector"]
    assert after["One about tea."]["start"] == edited.text.index("One")
    assert adds_up(summary)


def test_changed_metadata_is_stored_without_embedding(tmp_path, documents):
    put(tmp_path, documents)
    labelled = [replace(document, metadata={"year": 2000 + at}) for at, document in enumerate(documents)]
    summary = put(tmp_path, labelled)
    assert (summary.changed, summary.embedded, summary.reused) == (12, 0, 12)
    found = Stored(Collection.open(tmp_path, "c")).search("tea", 5, where="year = 2003")
    assert [name for name, _ in found.top()] == ["d3"]


def test_equal_passages_of_one_document_are_all_kept(tmp_path, documents):
    put(tmp_path, [*documents, Document("echo", "Again.\n\nAgain.\n\nAgain.")], cut="paragraph")
    assert sorted(row["number"] for row in rows(tmp_path) if row["document"] == "echo") == [0, 1, 2]


def test_what_vanished_from_its_source_goes_and_nothing_else(tmp_path, documents):
    put(tmp_path, documents[:6], source="one")
    put(tmp_path, documents[6:], source="two")
    summary = put(tmp_path, documents[:4], source="one")
    assert (summary.removed, summary.unchanged, summary.total_documents) == (2, 4, 10)
    assert {row["document"] for row in rows(tmp_path)} == {f"d{n}" for n in (0, 1, 2, 3, 6, 7, 8, 9, 10, 11)}


def test_more_than_half_goes_only_when_told(tmp_path, documents):
    put(tmp_path, documents)
    summary = put(tmp_path, documents[:5])
    assert (summary.removed, summary.kept_back, summary.total_documents) == (0, 7, 12)
    assert put(tmp_path, documents[:6]).removed == 6
    assert put(tmp_path, documents[:1], prune=True).total_documents == 1


def test_what_cannot_be_read_today_has_not_vanished(tmp_path, monkeypatch):
    """A broken file keeps what it said; an emptied or a deleted one does not."""
    monkeypatch.setenv("VICINO_HOME", str(tmp_path / "home"))
    folder = tmp_path / "texts"
    folder.mkdir()
    for name in ("gone", "empty", "fine"):
        (folder / f"{name}.txt").write_text(f"about {name}")
    (folder / "table.jsonl").write_text(
        '{"id": "a", "text": "row a"}\n{"id": "b", "text": "row b"}\n{"id": "c", "text": "row c"}'
    )
    workbench.ingest(folder, "c", recipe=RECIPE)
    (folder / "gone.txt").unlink()
    (folder / "empty.txt").write_text("")
    (folder / "table.jsonl").write_text('{"id": "a", "text": "row a"}\n{"id": "b", "te')
    summary = workbench.ingest(folder, "c")
    assert (summary.removed, summary.kept_back) == (2, 0)
    names = {row["document"] for row in rows(tmp_path / "home" / "collections")}
    assert names == {"fine.txt", "table.jsonl#a", "table.jsonl#b", "table.jsonl#c"}
    assert "broken JSON" in summary.skipped
    assert adds_up(summary)


def test_the_same_document_under_two_tenants_is_two(tmp_path, documents):
    put(tmp_path, documents, tenant="a")
    put(tmp_path, [replace(documents[0], text="secret tea")], tenant="b")
    assert len(rows(tmp_path)) == 13
    collection = Collection.open(tmp_path, "c")
    assert [found.text for found in Stored(collection, tenant="b").find("tea", 20)] == ["secret tea"]
    assert "secret tea" not in {found.text for found in Stored(collection, tenant="a").find("secret tea", 20)}
    with pytest.raises(UnknownName):
        Stored(collection, tenant="c").find("tea")


# What is refused ------------------------------------------------------------------------------------------------------


def test_documents_that_cannot_be_kept_are_counted_and_the_rest_is_kept(tmp_path, documents):
    odd = [
        Document("d0", "an id that came before"),
        Document("blank", " \n"),
        Document("title", "", title="Only a title"),
        Document("\ud800", "lone \ud800 surrogates", metadata={"k\ud800": "v\ud800", "when": np.float32(1), "nan": float("nan")}),
        Document("year", "a number", metadata={"year": 1999}),
        Document("words", "not a number", metadata={"year": "last year"}),
    ]
    summary = put(tmp_path, [*documents, *odd])
    assert adds_up(summary)
    assert summary.refused["no text"] == summary.refused["an id that came before"] == 1
    assert sum(summary.refused.values()) == 3
    assert any("year" in why for why in summary.refused)
    assert summary.total_documents == 15
    again = put(tmp_path, [*documents, *odd])
    assert (again.unchanged, again.new) == (15, 0)


def test_other_ways_to_ask_an_existing_collection_are_named(tmp_path, documents):
    put(tmp_path, documents, cut="whole")
    before = rows(tmp_path)
    with pytest.raises(InputError, match=r"cuts documents by 'whole'(.|\n)*--collection c-2"):
        put(tmp_path, documents, cut="sentence")
    with pytest.raises(InputError, match="another recipe"):
        put(tmp_path, documents, recipe="bm25+lsa(n_components=3)")
    fitted = encoders.make("lsa", n_components=5).fit(documents).save(tmp_path / "fitted")
    with pytest.raises(SpaceMismatch, match=r"another space(.|\n)*vicino ingest PATH --collection c-2"):
        put(tmp_path, documents, recipe=str(fitted))
    assert put(tmp_path, documents, recipe=RECIPE).unchanged == 12
    assert rows(tmp_path) == before


@pytest.mark.parametrize("cut", ["paragraf", "window(size=0)", "window(sise=3)", "paragraph("])
def test_a_way_of_cutting_that_cannot_be_is_named_before_anything_is_read(tmp_path, cut):
    def read():
        pytest.fail("it read")
        yield

    with pytest.raises(InputError):
        put(tmp_path, read(), cut=cut)


def test_nothing_to_ingest_makes_nothing(tmp_path):
    with pytest.raises(EmptyInput, match="holds no text"):
        put(tmp_path, [])
    with pytest.raises(InputError, match="no name for a collection"):
        put(tmp_path, [Document("a", "text")], name="../evil")
    assert Collection.names(tmp_path) == []
    with pytest.raises(UnknownName, match="vicino ingest PATH --collection c"):
        Collection.open(tmp_path, "c")


def test_an_emptied_source_goes_only_when_told(tmp_path, monkeypatch):
    monkeypatch.setenv("VICINO_HOME", str(tmp_path / "home"))
    folder = tmp_path / "texts"
    folder.mkdir()
    (folder / "a.txt").write_text("about a")
    workbench.ingest(folder, "c", recipe="bm25")
    (folder / "a.txt").unlink()
    with pytest.raises(EmptyInput):
        workbench.ingest(folder, "c")
    summary = workbench.ingest(folder, "c", prune=True)
    assert (summary.removed, summary.total_documents) == (1, 0)


def test_what_broken_rows_hold_back_is_counted_and_goes_when_told(tmp_path, monkeypatch):
    monkeypatch.setenv("VICINO_HOME", str(tmp_path / "home"))
    rows_of = [f'{{"id": "{n}", "text": "row {n}"}}' for n in range(5)]
    table = tmp_path / "t.jsonl"
    table.write_text("\n".join([*rows_of, "{broken"]))
    workbench.ingest(table, "c", recipe="bm25")
    table.write_text("\n".join([*rows_of[:4], "{broken"]))
    assert (workbench.ingest(table, "c").unsure, workbench.ingest(table, "c", prune=True).removed) == (1, 1)


def test_a_changed_document_that_is_refused_is_told_to_be_stale(tmp_path):
    put(tmp_path, [Document("a", "salary 100", metadata={"year": 2020}), Document("b", "other")], recipe="bm25")
    summary = put(tmp_path, [Document("a", "salary 200", metadata={"year": "2020"}), Document("b", "other")])
    assert (summary.stale, sum(summary.refused.values())) == (1, 1)


def test_documents_without_a_name_for_their_source_are_added(tmp_path, monkeypatch, documents):
    monkeypatch.setenv("VICINO_HOME", str(tmp_path))
    workbench.ingest(documents[:6], "c", recipe="bm25")
    assert workbench.ingest(documents[6:], "c").total_documents == 12
    with pytest.raises(InputError, match="--source NAME"):
        workbench.ingest(io.BytesIO(b"a line"), "c")
    with pytest.raises(InputError, match=r"Document\(id, text\)"):
        workbench.ingest(["only a text"], "c")
    with pytest.raises(InputError, match="not learnt yet"):
        workbench.ingest(documents, "d", recipe="bm25+lsa:tuned")


def test_a_collection_from_elsewhere_runs_no_function_that_nobody_vouched_for(tmp_path, monkeypatch, documents, python):
    (tmp_path / "mine.py").write_text("def embed(texts):\n    return [[1.0, len(text)] for text in texts]\n")
    program = """
import sys
from pathlib import Path
from vicino.errors import InputError
from vicino.retrieval.stored import Stored
from vicino.store.collection import Collection
try:
    print(len(Stored(Collection.open(Path(sys.argv[1]), "c")).find("tea", 3)))
except InputError as error:
    print(error.mend)
"""
    monkeypatch.chdir(tmp_path)
    put(tmp_path / "home", documents, recipe="callable(function=mine:embed)")
    assert python(program, tmp_path / "home") == "3\n"
    shutil.copytree(tmp_path / "home" / "c", tmp_path / "given" / "c")
    assert "VICINO_TRUST=mine:embed" in python(program, tmp_path / "given")
    assert python(program, tmp_path / "given", VICINO_TRUST="mine:embed") == "3\n"


# Recipes --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("recipe", ["bm25", "bm25(k1=0.9,stemmer=english)", "tfidf", "lsa(n_components=4)", "bm25+tfidf", RECIPE])
def test_a_collection_ranks_exactly_as_the_recipe_that_was_compared(tmp_path, documents, recipe):
    built = from_recipe(parse(recipe)).build(documents)
    put(tmp_path, documents, recipe=recipe, cut="whole")
    stored = Stored(Collection.open(tmp_path, "c"))
    for query in ("black tea", "violin and cello", "wings of bread"):
        expected, found = built.search(query, 5).top(), stored.search(query, 5).top()
        assert [name for name, _ in found] == [name for name, _ in expected]
        assert [score for _, score in found] == pytest.approx([score for _, score in expected], abs=1e-5)


def test_a_saved_winner_is_taken_with_its_fitted_encoders(tmp_path, documents):
    winner = from_recipe(parse("lsa(n_components=4)")).build(documents)
    folder = winner.save(tmp_path / "winner")
    summary = put(tmp_path, documents[:3], recipe=folder, cut="whole")
    assert summary.embedded == 3
    collection = Collection.open(tmp_path, "c")
    assert collection.spaces == [winner.encoder_.space]
    assert put(tmp_path, documents, recipe=folder).new == 9
    found = Stored(collection).search("black tea", 12)
    assert dict(found.top()) == pytest.approx(dict(winner.search("black tea", 12).top()), abs=1e-5)


def test_code_is_read_as_code(tmp_path):
    source = [Document(f"{n}.py", f"def parseBody{n}():\n    return {n}", metadata={"format": "code"}) for n in range(3)]
    put(tmp_path, source, recipe="bm25")
    assert Collection.open(tmp_path, "c").recipe.params["analyzer"] == "code"
    assert put(tmp_path, source, recipe="bm25").unchanged == 3


def test_without_a_word_a_recipe_that_is_installed_is_taken(monkeypatch):
    from vicino.retrieval import ingest as module

    monkeypatch.setattr(module, "find_spec", lambda name: None)
    assert default_recipe() == "bm25"


# Killed, and several at once ------------------------------------------------------------------------------------------

KILLED = """
import json, os, signal, sys
from pathlib import Path
from vicino.data.records import Document
from vicino.retrieval.ingest import Source, ingest
from vicino.store import changes
changes._BATCH = 4
home, at = Path(sys.argv[1]), int(sys.argv[2])
documents = [Document(*each) for each in json.loads(Path(sys.argv[3]).read_text())]
calls = 0
def count(frame, event, argument):
    global calls
    calls += 1
    if calls == at:
        os.kill(os.getpid(), signal.SIGKILL)
sys.setprofile(count)
ingest(home, "c", Source("s", documents), recipe="bm25+lsa(n_components=4)", cut="paragraph")
sys.setprofile(None)
print(calls)
"""


@pytest.mark.long
def test_killed_at_any_moment_and_run_again_it_holds_the_same_rows(tmp_path, documents, python):
    """Six seeded moments, counted in calls and not in seconds; hundreds, at random times, are in tests/crash."""
    listed = [[f"{copy}-{d.id}", f"{d.text}\n\nCopy {copy}."] for copy in range(3) for d in documents]
    spool = tmp_path / "documents.json"
    spool.write_text(json.dumps(listed))
    calls = int(python(KILLED, tmp_path / "whole", -1, spool))
    expected = rows(tmp_path / "whole")
    assert len(expected) == 72
    source = [Document(*each) for each in listed]
    for number, at in enumerate(random.Random(0).sample(range(1, calls), 6)):
        home = tmp_path / str(number)
        died = subprocess.run([sys.executable, "-c", KILLED, home, str(at), spool], capture_output=True, check=False)
        assert died.returncode == -signal.SIGKILL
        put(home, source, cut=None if Collection.names(home) else "paragraph")
        assert rows(home) == expected
        assert Collection.open(home, "c").store.stats().documents == 36


WRITER = """
import sys
from pathlib import Path
from vicino.data.records import Document
from vicino.retrieval.ingest import Source, ingest
from vicino.store import changes
changes._BATCH = 8
home, name = Path(sys.argv[1]), sys.argv[2]
documents = [Document(f"{name}{n}", f"{name} number {n}\\n\\nis about {'tea' if n % 2 else 'wings'}") for n in range(80)]
print(ingest(home, "c", Source(name, documents), recipe="bm25", cut="paragraph").new)
"""

READER = """
import sys
from pathlib import Path
from vicino.retrieval.stored import Stored
from vicino.store.collection import Collection
home, seen = Path(sys.argv[1]), 0
while "c" not in Collection.names(home):
    pass
stored = Stored(Collection.open(home, "c"))
while seen < 160:
    stored.refresh()
    parts = {}
    for found in stored.find("number about", 400, documents=False):
        parts.setdefault(found.document, []).append(found)
    assert all(len(both) == 2 for both in parts.values()), "half a document"
    assert len(parts) >= seen, "something was lost"
    seen = len(parts)
print(seen)
"""


@pytest.mark.long
def test_two_ingest_and_one_searches_and_nothing_is_lost_or_torn(tmp_path, python):
    with ThreadPoolExecutor(3) as pool:
        runs = [pool.submit(python, WRITER, tmp_path, name) for name in ("left", "right")]
        reader = pool.submit(python, READER, tmp_path)
        assert [int(run.result()) for run in runs] == [80, 80]
        assert int(reader.result()) == 160
    assert Collection.open(tmp_path, "c").store.stats().rows == 320
