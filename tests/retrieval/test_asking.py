"""Questions to a collection: the parts of its recipe asked apart, pages, times, and reasons that add up."""

from __future__ import annotations

import numpy as np
import pytest

from vicino.catalog import Entry
from vicino.data.records import Document
from vicino.errors import InputError, UnknownName
from vicino.retrieval.asking import Asking, ask, view
from vicino.retrieval.fused import Fused
from vicino.retrieval.ingest import Source, ingest
from vicino.retrieval.stored import Stored
from vicino.store.collection import Collection

PARTED = [
    Document("long", "Tea is hot.\n\nThe cello sings.\n\nWings lift.", title="Mixed", metadata={"year": 1999, "lang": "en"}),
    Document("tea", "Green tea, black tea.\n\nTea leaves.\n\nMore tea.", metadata={"year": 2005, "lang": "de"}),
    Document("cello", "A cello has four strings.", metadata={"year": 2010, "lang": "en"}),
    Document("harp", "A harp has many strings, and no bow.", metadata={"year": 2011, "lang": "en"}),
]
RECIPE = "bm25+lsa(n_components=3)"


@pytest.fixture(scope="module")
def home(tmp_path_factory, need):
    need(Entry("", "", "store"))
    folder = tmp_path_factory.mktemp("home")
    ingest(folder, "c", Source("s", PARTED), recipe=RECIPE, cut="paragraph")
    ingest(folder, "words", Source("s", PARTED), recipe="bm25", cut="paragraph")
    ingest(folder, "two", Source("s", PARTED), recipe="lsa(n_components=2)+lsa(n_components=3)", cut="paragraph")
    ingest(folder, "graph", Source("s", PARTED), recipe="lsa(n_components=3,index=planned,worth=0)", cut="paragraph")
    return folder


@pytest.fixture(scope="module")
def stored(home) -> Stored:
    """Only for looking."""
    return Stored(Collection.open(home, "c"))


def named(answer):
    return [one.document for one in answer.results]


def test_as_the_recipe_does_it_is_what_find_does(stored):
    answer = ask(stored, Asking("tea leaves", k=3))
    found = stored.find("tea leaves", 3)
    assert [(one.document, one.score, one.text) for one in answer.results] == [
        (one.document, one.score, one.text) for one in found
    ]
    assert [one.rank for one in answer.results] == [1, 2, 3]
    assert answer.results[0].metadata == {"year": 2005, "lang": "de"}


def test_one_part_alone_ranks_as_it_does(stored):
    lexical, dense = stored.retriever.parts
    for mode, part in (("lexical", lexical), ("dense", dense)):
        keys = [key for key, _ in part.search("tea strings", 100).top()]
        wanted = list(dict.fromkeys(stored.document_of(key)[1] for key in keys))
        assert named(ask(stored, Asking("tea strings", k=9, mode=mode))) == wanted
        assert len(wanted) > 1


@pytest.mark.parametrize(("weight", "mode"), [(0.0, "lexical"), (1.0, "dense")])
def test_all_weight_on_one_side_is_that_side_alone(stored, weight, mode):
    both = named(ask(stored, Asking("tea strings", k=9, mode="hybrid", weight=weight)))
    assert both == named(ask(stored, Asking("tea strings", k=9, mode=mode)))


def test_a_hybrid_without_a_weight_is_fused_as_the_recipe_is(stored, home):
    made = view(stored, Asking("tea", mode="hybrid"))
    assert isinstance(made, Fused)
    assert (made.method, made.weights, made.depth) == ("rrf", None, stored.retriever.depth)
    assert named(ask(stored, Asking("tea", mode="hybrid"))) == named(ask(stored, Asking("tea")))
    weighed = view(stored, Asking("tea", mode="hybrid", weight=0.25))
    assert (weighed.method, weighed.weights) == ("convex", [0.75, 0.25])


def test_pages_are_cut_from_one_ranking(stored):
    whole = ask(stored, Asking("tea strings cello", k=4))
    assert whole.next_offset is None
    pages, offset = [], 0
    while offset is not None:
        page = ask(stored, Asking("tea strings cello", k=1, offset=offset))
        pages += page.results
        offset = page.next_offset
    assert pages == list(whole.results)
    assert ask(stored, Asking("tea", k=2, offset=50)).results == []


def test_filters_hold_and_times_are_told(stored):
    answer = ask(stored, Asking("tea strings", k=9, where="lang = 'en' and year > 2000"))
    assert set(named(answer)) == {"cello", "harp"}
    assert set(answer.timing) == {"lexical_ms", "embed_ms", "dense_ms", "fuse_ms", "fetch_ms", "total_ms"}
    assert "dense_ms" not in ask(stored, Asking("tea", mode="lexical")).timing


def test_a_space_is_asked_by_its_encoder_or_its_id(home):
    stored = Stored(Collection.open(home, "two"))
    first, second = stored.collection.spaces
    assert named(ask(stored, Asking("strings", k=2, mode="dense"))) == named(ask(stored, Asking("strings", k=2)))
    by_id = ask(stored, Asking("strings", k=2, mode="dense", space=second.id, explain=True))
    alone = stored.retriever.parts[1].search("strings", 1).top()[0]
    assert by_id.results[0].score == pytest.approx(alone[1])
    assert first.dim != second.dim


# Reasons --------------------------------------------------------------------------------------------------------------


def test_reasons_add_up(stored):
    answer = ask(stored, Asking("tea leaves strings", k=4, mode="hybrid", weight=0.4, explain=True))
    assert len(answer.results) == 4
    for one in answer.results:
        fusion = one.why["fusion"]
        assert fusion["sum"] == pytest.approx(one.score, abs=1e-5)
        assert [part["product"] for part in fusion["parts"]] == [part["weight"] * part["share"] for part in fusion["parts"]]
        assert [part["name"] for part in fusion["parts"]] == ["bm25", "lsa"]
        lexical = one.why["lexical"]
        assert sum(term["weight"] for term in lexical["terms"]) == pytest.approx(lexical["score"], abs=1e-5)
        passage, text = one.why["passage"], next(each.text for each in PARTED if each.id == one.document)
        assert (passage["start"], passage["end"]) == (one.start, one.end)
        assert passage["before"].split() == text[: one.start].split()
        assert passage["after"].split() == text[one.end :].split()
    best = next(one for one in answer.results if one.document == "tea")
    assert {term["term"]: term["count"] for term in best.why["lexical"]["terms"]} == {"tea": 1, "leaves": 1}


@pytest.mark.parametrize("name", ["c", "graph"])
def test_dense_ranks_and_percentiles_are_those_of_all_documents(home, name):
    stored = Stored(Collection.open(home, name))
    answer = ask(stored, Asking("strings of a cello", k=4, mode="dense", explain=True))
    keys, vectors = stored.vectors(stored.collection.spaces[0])
    encoder = stored.collection.encoder(0)
    query = np.asarray(encoder.encode_query(["strings of a cello"]))[0]
    cosines = vectors @ query / (np.linalg.norm(vectors, axis=1) * np.linalg.norm(query) + 1e-30)
    best: dict[str, float] = {}
    for key, cosine in zip(keys, cosines, strict=True):
        document = stored.document_of(key)[1]
        best[document] = max(best.get(document, -2.0), float(cosine))
    for one in answer.results:
        told = one.why["dense"][0]
        assert told["score"] == pytest.approx(best[one.document], abs=1e-5)
        lower = sum(value < best[one.document] - 1e-6 for value in best.values())
        assert told["percentile"] == pytest.approx(100 * lower / 4, abs=0.01)
        assert told["rank"] == 1 + sum(cosine > best[one.document] + 1e-6 for cosine in cosines)


def test_what_only_one_part_found_has_no_rank_in_the_other(stored):
    answer = ask(stored, Asking("leaves", k=4, explain=True))
    other = next(one for one in answer.results if one.document == "cello")
    assert other.why["lexical"] == {"score": 0.0, "rank": None, "terms": []}
    assert [part["rank"] is None for part in other.why["fusion"]["parts"]] == [True, False]


def test_newer_rows_and_older_ones_are_explained_alike(tmp_path, need):
    need(Entry("", "", "store"))
    ingest(tmp_path, "c", Source("s", PARTED[:3]), recipe=RECIPE, cut="paragraph")
    stored = Stored(Collection.open(tmp_path, "c"))
    ask(stored, Asking("harp strings", explain=True))
    ingest(tmp_path, "c", Source("more", PARTED[3:]))
    found = ask(stored, Asking("harp strings", explain=True)).results[0]
    assert found.document == "harp"
    assert {term["term"] for term in found.why["lexical"]["terms"]} == {"harp", "strings"}
    assert found.why["lexical"]["rank"] == 1


def test_a_reranker_tells_where_it_moved_things(stored, crossing):
    from vicino.encoders.transformer.crossing import CrossEncoder

    reader = CrossEncoder.load(crossing)
    before = named(ask(stored, Asking("tea strings", k=4)))
    answer = ask(stored, Asking("tea strings", k=4, explain=True, depth=9), reranker=reader)
    assert sorted(named(answer)) == sorted(before)
    assert "rerank_ms" in answer.timing
    for one in answer.results:
        moved = one.why["rerank"]
        assert moved["after"] == one.rank
        assert moved["before"] == before.index(one.document) + 1
        assert moved["score"] == pytest.approx(one.score, abs=1e-5)
    scores = [one.score for one in answer.results]
    assert scores == sorted(scores, reverse=True)


# Bad input ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "error", "said"),
    [
        ({"k": 0}, InputError, "cannot be"),
        ({"offset": -1}, InputError, "cannot be"),
        ({"weight": 0.5}, InputError, "says nothing"),
        ({"weight": 1.5, "mode": "hybrid"}, InputError, "the weight is"),
        ({"mode": "magic"}, UnknownName, "mode"),
        ({"space": "lsa"}, InputError, "chooses no space"),
        ({"mode": "dense", "space": "lsi"}, UnknownName, "did you mean lsa"),
        ({"where": "langue = 'en'"}, UnknownName, "did you mean lang"),
    ],
)
def test_what_cannot_be_is_named(stored, wrong, error, said):
    with pytest.raises(error, match=said):
        ask(stored, Asking("tea", **wrong))


def test_a_recipe_without_that_part_says_so(home):
    words, graph = (Stored(Collection.open(home, name)) for name in ("words", "graph"))
    with pytest.raises(InputError, match="has no vectors"):
        ask(words, Asking("tea", mode="hybrid"))
    with pytest.raises(InputError, match="has no BM25"):
        ask(graph, Asking("tea", mode="lexical"))


def test_an_empty_collection_answers_nothing(tmp_path, need):
    from vicino.retrieval.maintenance import delete

    need(Entry("", "", "store"))
    ingest(tmp_path, "c", Source("s", PARTED), recipe=RECIPE)
    stored = Stored(Collection.open(tmp_path, "c"))
    assert ask(stored, Asking("tea")).results
    delete(Collection.open(tmp_path, "c"), tenant="")
    for mode in ("recipe", "lexical", "dense", "hybrid"):
        answer = ask(stored, Asking("tea", mode=mode, explain=True))
        assert (answer.results, answer.next_offset) == ([], None)
