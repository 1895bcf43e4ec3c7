"""Granularity: what pieces are, how they are pooled, what is refused; a plain pooling over all pieces as the oracle."""

from __future__ import annotations

import json

import numpy as np
import pytest

from vicino import workbench
from vicino.data.chunking import chunk
from vicino.data.records import Document, Recipe
from vicino.encoders import make
from vicino.errors import ArtifactCorrupt, InputError, UnknownName
from vicino.evaluation.measure import Bench
from vicino.evaluation.tasks import RetrievalTask
from vicino.metrics import parse as metric
from vicino.retrieval import cut as cutting
from vicino.retrieval import from_recipe, load, parse
from vicino.retrieval.cut import Cut, Pieces, best_of
from vicino.retrieval.dense import Dense
from vicino.retrieval.text import reasons

LONG = [
    Document("wings", "Wings lift an aeroplane. The air above them flows faster. Tea is served on board."),
    Document("tea", "Black tea steeps in boiling water. Green tea turns bitter."),
    Document("kitchen", "Knead the bread dough. Tea is served on board. The oven is hot. Milk boils over. Salt melts."),
    Document("empty", ""),
    Document("titled", "", title="The hippopotamus"),
]
QUERY = "tea in boiling water"


def test_pieces_keep_their_places_and_share_their_texts():
    held = Pieces.of(LONG, "sentence")
    assert held.starts.tolist() == [0, 3, 5, 10, 11, 12]
    for at, document in enumerate(LONG):
        for piece in range(held.starts[at], held.starts[at + 1]):
            start, end = held.spans[piece]
            text = held.texts[held.rows[piece]]
            assert (document.text[start:end], document.title) == (text.text, text.title)
    assert len(held) == 12
    assert held.distinct == len(held.texts) == 11  # "Tea is served on board." stands in two documents
    first, pieces, documents = held.owners()
    shared = int(held.rows[2])
    assert documents[first[shared] : first[shared + 1]].tolist() == [0, 2]
    assert held.rows[pieces[first[shared] : first[shared + 1]]].tolist() == [shared, shared]


def test_the_same_words_under_another_title_are_another_text():
    pieces = Pieces.of([Document("a", "Tea.", title="One"), Document("b", "Tea.", title="Two")], "sentence")
    assert [(one.title, one.text) for one in pieces.texts] == [("One", "Tea."), ("Two", "Tea.")]


def test_the_best_n_by_hand():
    documents, scores = np.array([4, 1, 4, 4, 1]), np.array([0.9, 0.8, 0.5, 0.1, 0.0])
    sizes = np.array([1, 2, 1, 1, 4])
    for n, expected in ((1, [0.8, 0.9]), (2, [0.4, 0.7]), (3, [0.4, 0.5]), (9, [0.4, (0.9 + 0.5 + 0.1 - 1.0) / 4])):
        found, pooled, best = best_of(documents, scores, sizes, n, -1.0)
        assert found.tolist() == [1, 4]
        assert pooled.tolist() == pytest.approx(expected)
        assert best.tolist() == [1, 0]


@pytest.mark.parametrize("pool", ["max", "mean", "top1", "top2", "top3", "top99"])
@pytest.mark.parametrize("method", ["sentence", "window(size=3,overlap=1"])
def test_a_document_scores_what_its_pieces_score(pool, method, documents):
    listed = [*LONG[:3], *documents]
    name = f"lsa@{method},pool={pool})" if "(" in method else f"lsa@{method}(pool={pool})"
    made = from_recipe(parse(name)).build(listed)
    hits = made.search(QUERY, k=len(listed))
    encoder = made.inner.encoder_
    asked = encoder.encode_query(QUERY, normalize_embeddings=True)
    expected = {}
    for document in listed:
        pieces = [one.text for one in chunk(document, made.cut, **(made.options or {}))]
        scores = np.sort(encoder.encode_document(pieces, normalize_embeddings=True) @ asked)[::-1]
        several = {"max": 1, "mean": 99}.get(pool) or int(pool[3:])
        expected[document.id] = float(scores[:several].mean())
    assert dict(hits.top()) == pytest.approx(expected, abs=1e-4)
    assert hits.complete


def test_a_piece_that_lexical_search_does_not_find_counts_nothing():
    made = from_recipe(parse("bm25@sentence(pool=mean)")).build(LONG)
    best = from_recipe(parse("bm25@sentence")).build(LONG)
    mean, top = dict(made.search("bread", 5).top()), dict(best.search("bread", 5).top())
    assert mean.keys() == top.keys() == {"kitchen"}
    assert mean["kitchen"] == pytest.approx(top["kitchen"] / 5)  # one of its five sentences


def test_titles_and_documents_without_text_are_found():
    made = from_recipe(parse("bm25@sentence")).build(LONG)
    assert made.search("hippopotamus", 3).ids.tolist() == [["titled"] + [None] * 2]
    assert set(from_recipe(parse("lsa@sentence")).build(LONG).search("tea", 5).ids[0]) == {one.id for one in LONG}


def test_what_lies_deeper_is_looked_for(monkeypatch):
    many = Document("many", ". ".join(f"Tea number {n}" for n in range(400)) + ".")
    made = from_recipe(parse("lsa@sentence")).build([many, *LONG])
    assert len({name for name, _ in made.search("tea number", 6).top()}) == 6  # 400 pieces of one document come first
    monkeypatch.setattr(cutting, "_WHOLE", 4)
    shallow = from_recipe(parse("lsa@sentence(pool=mean)")).build(LONG).search(QUERY, 5)
    assert not shallow.complete
    assert shallow.ids[0, 0] == "tea"


def test_allowed_answers_may_share_pieces_with_others():
    made = from_recipe(parse("bm25@sentence")).build(LONG)
    assert made.search("served on board", 3).ids[0, :2].tolist() == ["wings", "kitchen"]
    assert [name for name, _ in made.search("served on board", 3, allow=["kitchen", "tea"]).top()] == ["kitchen"]
    assert not made.search("served on board", 3, allow=[]).top()


def test_an_explanation_names_the_best_piece_and_the_reasons_of_the_part():
    made = from_recipe(parse("bm25@sentence")).build(LONG)
    why = made.search("oven", 1, explain=True).why[0][0]
    best = why["best"]
    assert LONG[2].text[best["start"] : best["end"]] == "The oven is hot."
    assert why["pieces"] == 5
    assert set(best["why"]["terms"]) == {"oven"}
    assert json.loads(json.dumps(why)) == why
    told = list(reasons(why))
    assert told[0].startswith("sentence ")
    assert "oven" in told[1]


def test_a_text_is_embedded_once(monkeypatch):
    read: list[str] = []
    encode = Dense._build
    monkeypatch.setattr(
        Dense, "_build", lambda self, documents: (read.extend(d.content for d in documents), encode(self, documents))
    )
    from_recipe(parse("lsa@sentence")).build(LONG)
    assert sorted(read) == sorted(set(read))


def test_a_bench_embeds_a_cut_once_for_all_that_is_made_of_it(monkeypatch, tmp_path):
    built: list[int] = []
    build = Dense._build
    monkeypatch.setattr(Dense, "_build", lambda self, documents: (built.append(len(documents)), build(self, documents)))
    task = RetrievalTask("t", LONG, [], {})
    bench = Bench(task, metric("nDCG@10"), cache=tmp_path, depth=3)
    names = ["lsa@sentence", "lsa@sentence(pool=mean)", "lsa@sentence:lda", "lsa@sentence(pool=top2):svm", "lsa", "lsa:svm"]
    found = {name: bench.retriever(parse(name)) for name in names}
    assert sorted(built) == [5, 11]
    again = Bench(task, metric("nDCG@10"), cache=tmp_path, depth=3)
    for name, one in found.items():
        alone = from_recipe(parse(name)).build(LONG).search(QUERY, 3)
        for made in (one, again.retriever(parse(name))):
            hits = made.search(QUERY, 3)
            assert hits.ids.tolist() == alone.ids.tolist()
            np.testing.assert_array_equal(hits.scores, alone.scores)
    assert len(built) == 2 + len(names)  # those that stand alone; what was kept is opened


def test_a_saved_winner_opens_and_its_part_is_for_a_collection(tmp_path, monkeypatch):
    made = from_recipe(parse("bm25@sentence")).build(LONG)
    folder = made.save(tmp_path / "winner")
    assert load(folder).search("oven", 2).top() == made.search("oven", 2).top()
    assert parse(str(folder)) == made.recipe
    monkeypatch.setenv("VICINO_HOME", str(tmp_path / "home"))
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.txt").write_text("Tea. Milk.", encoding="utf-8")
    for name in (str(folder), "bm25@sentence", "bm25+bm25@sentence"):
        with pytest.raises(InputError, match="--chunk sentence") as caught:
            workbench.ingest(tmp_path / "docs", "notes", recipe=name)
        assert "cuts documents by sentence" in caught.value.what
    workbench.ingest(tmp_path / "docs", "notes", recipe=folder / "part-0", chunk="sentence")


def test_a_map_of_other_documents_is_noticed(tmp_path):
    from vicino import artifacts

    made = from_recipe(parse("bm25@sentence")).build(LONG)
    folder = made.save(tmp_path / "saved")
    saved = artifacts.read(folder)
    arrays = {**saved.arrays, "starts": saved.arrays["starts"][:-1]}
    artifacts.write(folder, kind="retriever", data=saved.data, arrays=arrays, parts={"part-0": made.inner.save})
    with pytest.raises(ArtifactCorrupt, match="its pieces"):
        load(folder)


def test_following_a_collection_is_refused():
    with pytest.raises(InputError, match="--chunk sentence"):
        from_recipe(parse("bm25@sentence")).follow(set(), None)


@pytest.mark.parametrize(
    ("name", "error", "says"),
    [
        ("bm25@sentense", UnknownName, "did you mean sentence"),
        ("bm25@window(sise=3)", UnknownName, "did you mean size"),
        ("bm25@sentence(pool=median)", InputError, "choose max, mean"),
        ("bm25@sentence(pool=top0)", InputError, "choose max, mean"),
        ("bm25@sentence(pool=3)", InputError, "pool=3"),
        ("bm25@window(size=0)", InputError, "0 <= overlap < size"),
        ("bm25@window(size=big)", InputError, "does not take"),
        ("bm25@window(tokenizer=5)", UnknownName, "tokenizer"),
        ("bm25@sentence@window", InputError, "cut once"),
    ],
)
def test_what_cannot_be_cut_is_named_before_the_work(name, error, says):
    with pytest.raises(error, match=says):
        from_recipe(parse(name))


def test_a_cut_needs_one_part_that_holds_its_pieces():
    with pytest.raises(InputError, match="wraps one"):
        Cut(parts=[]).build(LONG)
    with pytest.raises(InputError, match="does not hold these documents' pieces"):
        Cut.of_built([from_recipe(parse("bm25")).build(LONG)], LONG)


def test_truncation_is_counted_of_the_pieces(monkeypatch):
    monkeypatch.setattr(Dense, "truncation", lambda self, documents: [document.text for document in documents])
    assert from_recipe(parse("lsa@sentence")).truncation(LONG[1:2]) == LONG[1].text.replace(". ", ".|").split("|")


def test_a_baseline_that_is_cut_is_a_baseline_still():
    assert not from_recipe(parse("bm25@sentence")).simple
    assert not from_recipe(Recipe("cut", {}, (Recipe("exemplar-lda", {}, (parse("lsa"),)),))).simple
    assert make("lsa").simple
