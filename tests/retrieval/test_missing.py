"""Why a document is not among the answers: every way in which it can be lost."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from vicino.catalog import Entry
from vicino.data.records import Document, Hits
from vicino.errors import InputError, UnknownName
from vicino.indexes.exact import Exact
from vicino.retrieval.asking import Asking, ask
from vicino.retrieval.ingest import Source, ingest
from vicino.retrieval.missing import STAGES, why_not
from vicino.retrieval.stored import Stored
from vicino.store.collection import Collection

TEXTS = {
    "tea": "Green tea, black tea, tea leaves.",
    "kettle": "Tea wants a kettle of boiling water.",
    "cello": "A cello has four strings.",
    "harp": "A harp has many strings, and no bow.",
    "wing": "Wings lift an aeroplane.",
}


@pytest.fixture(scope="module")
def stored(tmp_path_factory, need) -> Stored:
    """Only for looking."""
    need(Entry("", "", "store"))
    folder = tmp_path_factory.mktemp("home")
    documents = [Document(name, text, metadata={"long": len(text) > 30}) for name, text in TEXTS.items()]
    ingest(folder, "c", Source("s", documents), recipe="bm25+lsa(n_components=4)", cut="whole")
    ingest(folder, "c", Source("other", [Document("tea", "Another tea, from elsewhere.")]))
    return Stored(Collection.open(folder, "c"))


def stages(missing):
    assert [stage.stage for stage in missing.stages] == list(STAGES)
    return {stage.stage: stage for stage in missing.stages}


def test_what_is_shown_is_said_to_be(stored):
    shown = [one.document for one in ask(stored, Asking("kettle of water", k=3)).results]
    found = why_not(stored, Asking("kettle of water", k=3), "kettle")
    assert found.rank == shown.index("kettle") + 1 == 1
    assert stages(found)["truncation"].state == "passed"
    assert found.verdict == "'kettle' is there, at place 1."


def test_a_filter_takes_it_out_before_anything_looks(stored):
    found = why_not(stored, Asking("strings", where="long = true"), "cello")
    assert (found.rank, stages(found)["filter"].state) == (None, "out")
    assert {stage.state for stage in found.stages[1:]} == {"not asked"}
    assert "long = true" in found.verdict
    assert stages(why_not(stored, Asking("strings", where="long = true"), "harp"))["filter"].state == "passed"


def test_words_that_are_not_shared_find_nothing(stored):
    found = why_not(stored, Asking("strings", mode="lexical"), "wing")
    assert (found.rank, stages(found)["lexical"].state) == (None, "missed")
    assert "shares no word" in found.verdict


def test_what_stands_below_the_last_one_shown_has_its_place(stored):
    whole = [one.document for one in ask(stored, Asking("tea strings", k=9)).results]
    last = why_not(stored, Asking("tea strings", k=1), whole[-1], source="s")
    assert last.rank == len(whole)
    cut = stages(last)["truncation"]
    assert (cut.state, cut.rank) == ("out", last.rank)
    assert cut.needed > cut.score
    assert f"place {last.rank}" in last.verdict
    second = why_not(stored, Asking("tea strings", k=1, offset=1), whole[1], source="s" if whole[1] == "tea" else None)
    assert stages(second)["truncation"].state == "passed"


@pytest.mark.parametrize("mode", ["lexical", "dense"])
def test_of_one_part_the_place_is_exact_however_little_was_asked_for(stored, mode):
    whole = ask(stored, Asking("strings of tea", k=9, mode=mode)).results
    for place, one in enumerate(whole, start=1):
        found = why_not(stored, Asking("strings of tea", k=1, mode=mode), one.document, source=one.source)
        assert found.rank == place
        assert stages(found)[mode].score == pytest.approx(one.score, abs=1e-6)


def test_a_fusion_without_it_says_that_no_part_handed_it_on(stored):
    found = why_not(stored, Asking("strings", k=1, mode="hybrid", weight=0.0), "wing")
    assert stages(found)["lexical"].state == "missed"
    assert found.rank is None


def test_an_index_that_passed_it_by_is_named(stored, monkeypatch):
    stored.refresh()
    place = {name: key for key, (_, name) in stored._places.items()}
    real = Exact.search

    def forgetful(index, queries, k=10, **options):
        hits = real(index, queries, k, **options)
        left = [pair for pair in hits.top() if pair[0] != place["harp"]]
        ids = np.array([[name for name, _ in left]], dtype=object)
        return replace(hits, ids=ids, scores=np.array([[score for _, score in left]], dtype=np.float32))

    monkeypatch.setattr(Exact, "search", forgetful)
    assert "harp" not in [one.document for one in ask(stored, Asking("many strings", k=3, mode="dense")).results]
    found = why_not(stored, Asking("many strings", k=3, mode="dense"), "harp")
    assert found.rank is None
    assert (stages(found)["dense"].state, stages(found)["index"].state) == ("passed", "missed")
    assert "passed it by" in found.verdict
    assert isinstance(found.stages[2].rank, int)


def test_a_reranker_reads_only_so_many(stored, crossing):
    from vicino.encoders.transformer.crossing import CrossEncoder

    reader = CrossEncoder.load(crossing)
    order = [one.document for one in ask(stored, Asking("tea strings", k=9)).results]
    source = {"source": "s"} if order[-1] == "tea" else {}
    unread = why_not(stored, Asking("tea strings", k=9, depth=1), order[-1], reranker=reader, **source)
    assert stages(unread)["rerank"].state == "missed"
    everything = why_not(stored, Asking("tea strings", k=9, depth=50), order[-1], reranker=reader, **source)
    read = stages(everything)["rerank"]
    assert (read.state, read.rank) == ("passed", everything.rank)
    shown = [one.document for one in ask(stored, Asking("tea strings", k=9, depth=50), reranker=reader).results]
    assert shown[everything.rank - 1] == order[-1]


def test_a_model_that_did_not_read_all_of_it_says_so(stored, monkeypatch):
    from vicino.encoders.base import Truncation
    from vicino.retrieval.dense import Dense

    monkeypatch.setattr(Dense, "truncation", lambda _, documents: Truncation.of(np.array([300] * len(documents)), 256))
    say = stages(why_not(stored, Asking("strings"), "harp"))["dense"].say
    assert "only the first 256 of its 300 tokens" in say


def test_what_is_not_there_and_what_is_there_twice_are_errors(stored):
    with pytest.raises(UnknownName, match="no document 'lute'"):
        why_not(stored, Asking("strings"), "lute")
    with pytest.raises(InputError, match="several sources") as caught:
        why_not(stored, Asking("strings"), "tea")
    assert "'other', 's'" in caught.value.mend
    assert why_not(stored, Asking("tea"), "tea", source="other").source == "other"


def test_hits_of_nothing_are_no_place():
    from vicino.retrieval.explaining import document_ranks

    nothing = Hits(np.empty((1, 0), dtype=object), np.empty((1, 0), dtype=np.float32))
    assert document_ranks(None, nothing) == document_ranks(None, None) == {}
