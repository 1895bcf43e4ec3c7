"""Lexical retrieval: words, their analysis, and reasons that add up. The engine's formulas are tested beside it."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vicino.data.records import Document
from vicino.errors import InputError, UnknownName
from vicino.retrieval import load
from vicino.retrieval.lexical import Lexical


def documents(*texts: str) -> list[Document]:
    return [Document(f"d{row}", text) for row, text in enumerate(texts)]


def found(retriever: Lexical, query: str) -> list[str]:
    return [name for name, _ in retriever.search(query).top()]


def test_a_score_by_hand():
    retriever = Lexical(k1=1.2, b=0.75).build(documents("wings lift wings", "wings drag", "tea"))
    # "wings" is in 2 of 3: idf = ln(1 + (3 - 2 + .5) / (2 + .5)); the mean length is 2, d0 has 3 words, 2 of them "wings".
    idf = math.log(1 + 1.5 / 2.5)
    expected = {"d0": idf * 2 / (2 + 1.2 * (0.25 + 0.75 * 3 / 2)), "d1": idf * 1 / (1 + 1.2 * (0.25 + 0.75 * 2 / 2))}
    assert dict(retriever.search("wings").top()) == {name: pytest.approx(score, rel=1e-5) for name, score in expected.items()}


def test_without_a_word_in_common_there_is_no_answer():
    retriever = Lexical().build(documents("wings lift", "tea", "bread"))
    assert found(retriever, "tea") == ["d1"]
    assert found(retriever, "coffee") == []
    hits = retriever.search(["coffee", "tea bread"], k=3)
    assert hits.ids.shape[0] == 2
    assert [len(hits.top(row)) for row in range(2)] == [0, 2]


def test_equal_scores_keep_the_order_of_the_documents():
    retriever = Lexical().build(documents("tea cup", "bread", "tea pot", "tea bag"))
    assert found(retriever, "tea") == ["d0", "d2", "d3"]


@pytest.mark.parametrize(
    ("params", "query", "answers"),
    [
        ({}, "Wings", ["d0"]),
        ({}, "wing", []),
        ({"stemmer": "english"}, "wing", ["d0"]),
        ({}, "the", ["d0"]),
        ({"stopwords": "english"}, "the", []),
        ({}, "strasse", ["d1"]),
        ({}, "parse", []),
        ({"analyzer": "code"}, "parse", ["d2"]),
        ({}, "東京", ["d3"]),
    ],
)
def test_words_are_cut_as_the_parameters_say(params, query, answers):
    retriever = Lexical(**params).build(documents("the wings", "Straße", "parseHTTPBody()", "東京都"))
    assert found(retriever, query) == answers


def test_a_repeated_word_of_the_query_counts_again():
    retriever = Lexical().build(documents("tea", "bread", "wings"))
    once, twice = (retriever.search(query).top()[0][1] for query in ("tea", "tea tea"))
    assert twice == pytest.approx(2 * once)


@given(
    texts=st.lists(st.lists(st.sampled_from("abcdefgh"), max_size=8).map(" ".join), min_size=1, max_size=8),
    query=st.lists(st.sampled_from("abcdefghi"), max_size=5).map(" ".join),
)
def test_the_reasons_are_words_of_both_and_add_up(texts, query):
    hits = Lexical(min_length=1).build(documents(*texts)).search(query, k=9, explain=True)
    by_id = {document.id: set(document.text.split()) for document in documents(*texts)}
    assert {name for name, _ in hits.top()} == {name for name, words in by_id.items() if words & set(query.split())}
    for (name, score), why in zip(hits.top(), hits.why[0], strict=True):
        assert why["part"] == "bm25"
        assert set(why["terms"]) == set(query.split()) & by_id[name]
        assert sum(why["terms"].values()) == pytest.approx(score, rel=1e-4)


def test_documents_without_words_are_no_trouble():
    retriever = Lexical().build(documents("", "tea", "?!"))
    assert found(retriever, "tea") == ["d1"]
    assert found(Lexical().build(documents("", "!")), "tea") == []


@pytest.mark.parametrize(
    ("params", "error"),
    [
        ({"variant": "lucine"}, InputError),
        ({"k1": -1.0}, InputError),
        ({"b": 1.5}, InputError),
        ({"k1": float("nan")}, InputError),
        ({"k1": "much"}, InputError),
        ({"stemmer": "klingon"}, UnknownName),
    ],
)
def test_parameters_that_cannot_be_are_named(params, error):
    with pytest.raises(error):
        Lexical.of(**params).build(documents("tea"))


def test_the_recipe_says_everything_so_that_it_keeps_its_meaning():
    assert Lexical().recipe.params == Lexical.defaults()
    assert Lexical(k1=0.9, stemmer="english").recipe.params == {**Lexical.defaults(), "k1": 0.9, "stemmer": "english"}


def test_every_variant_is_kept_with_its_parameters(tmp_path):
    built = Lexical(k1=0.9, b=0.4, stemmer="english").build(documents("wings lift", "a wing", "tea"))
    opened = load(built.save(tmp_path / "saved"))
    assert repr(opened) == "Lexical(k1=0.9, b=0.4, stemmer='english')"
    assert opened.search("wings").top() == built.search("wings").top()


def test_a_large_collection_is_followed_without_reading_it_again(monkeypatch):
    """What is new stands in an engine of its own until a tenth has changed; nothing that is gone is found."""
    from vicino.retrieval import lexical

    monkeypatch.setattr(lexical, "_AT_ONCE", 0)
    shelf = {str(n): Document(str(n), f"word{n % 7} word{n % 11} common") for n in range(200)}

    class Shelf:
        def documents(self, keys):
            return [shelf[key] for key in sorted(keys, key=int)]

    follower = Lexical()
    follower.follow(set(shelf), Shelf())
    shelf["200"] = Document("200", "word3 fresh fresh")
    follower.follow(shelf.keys() - {"3"}, Shelf())
    assert follower.recent_ is not None
    assert follower.search("fresh").top() == [("200", pytest.approx(float(follower.search("fresh").scores[0, 0])))]
    found = [name for name, _ in follower.search("word3", 300).top()]
    assert "3" not in found
    assert "200" in found
    assert follower.search("fresh", explain=True).why[0][0]["terms"].keys() == {"fresh"}
    assert not follower.search("fresh", allow=["4"]).top()
    built = Lexical().build([document for key, document in shelf.items() if key != "3"])
    together = dict(follower.search("word3 common", 300).top())
    expected = dict(built.search("word3 common", 300).top())
    assert together.keys() == expected.keys()
    assert all(abs(together[name] - score) < 0.05 for name, score in expected.items())
    for n in range(201, 230):
        shelf[str(n)] = Document(str(n), "word3 more")
        follower.follow(shelf.keys() - {"3"}, Shelf())
    assert len(follower.ids_) < 231  # indexed anew on the way: the place of what was gone is free
