"""The short names of `--with`: what they mean, and what a wrong one is told."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vicino.data.records import Document, Recipe
from vicino.encoders import make
from vicino.errors import InputError, UnknownName, VicinoError
from vicino.retrieval import from_recipe, parse

BM25, LSA, TFIDF = Recipe("lexical"), Recipe("dense", {"encoder": "lsa"}), Recipe("dense", {"encoder": "tfidf"})


@pytest.mark.parametrize(
    ("name", "recipe"),
    [
        ("bm25", BM25),
        (" bm25 ", BM25),
        ("bm25()", BM25),
        ("bm25(k1=0.9,b=0.4)", Recipe("lexical", {"k1": 0.9, "b": 0.4})),
        ("bm25(stemmer=english)", Recipe("lexical", {"stemmer": "english"})),
        ("lsa", LSA),
        ("lsa(n_components=64)", Recipe("dense", {"encoder": "lsa", "encoder_params": {"n_components": 64}})),
        ("lsa(index=hnsw)", Recipe("dense", {"encoder": "lsa", "index": "hnsw"})),
        (
            'lsa(index=hnsw,index_params={"m":8,"ef_search":9},seed=1)',
            Recipe(
                "dense",
                {"encoder": "lsa", "index": "hnsw", "index_params": {"m": 8, "ef_search": 9}, "encoder_params": {"seed": 1}},
            ),
        ),
        ("org/model", Recipe("dense", {"encoder": "org/model"})),
        ("bm25+lsa", Recipe("fused", {}, (BM25, LSA))),
        ("bm25+lsa:rrf", Recipe("fused", {}, (BM25, LSA))),
        ("bm25 + lsa:tuned", Recipe("fused", {"method": "convex"}, (BM25, LSA))),
        ("bm25(k1=1)+lsa+tfidf:tuned", Recipe("fused", {"method": "convex"}, (Recipe("lexical", {"k1": 1}), LSA, TFIDF))),
        ("bm25@sentence", Recipe("cut", {"cut": "sentence"}, (BM25,))),
        ("lsa @ paragraph(pool=mean)", Recipe("cut", {"cut": "paragraph", "pool": "mean"}, (LSA,))),
        (
            "bm25(k1=1)@window(size=50,overlap=25,pool=top3)",
            Recipe(
                "cut",
                {"cut": "window", "options": {"size": 50, "overlap": 25}, "pool": "top3"},
                (Recipe("lexical", {"k1": 1}),),
            ),
        ),
        ("lsa:svm", Recipe("exemplar-svm", {}, (LSA,))),
        ("lsa:svm(C=0.5,feedback=3)", Recipe("exemplar-svm", {"C": 0.5, "feedback": 3}, (LSA,))),
        ("lsa@sentence:lda", Recipe("cut", {"cut": "sentence"}, (Recipe("exemplar-lda", {}, (LSA,)),))),
        ("org/model@sentence", Recipe("cut", {"cut": "sentence"}, (Recipe("dense", {"encoder": "org/model"}),))),
        (
            "bm25@sentence+lsa:svm:tuned",
            Recipe("fused", {"method": "convex"}, (parse("bm25@sentence"), Recipe("exemplar-svm", {}, (LSA,)))),
        ),
        ("bm25@sentence>org/model", Recipe("reranked", {"reranker": "org/model"}, (parse("bm25@sentence"),))),
        ("lsa(index=int8,keep=int8)", Recipe("dense", {"encoder": "lsa", "index": "int8", "index_params": {"keep": "int8"}})),
        (
            "lsa(index=truncated,dims=64,seed=1)",  # what both have is the encoder's
            Recipe(
                "dense", {"encoder": "lsa", "index": "truncated", "index_params": {"dims": 64}, "encoder_params": {"seed": 1}}
            ),
        ),
        (
            "minilm(index=exact,precision=bfloat16)",
            Recipe("dense", {"encoder": "minilm", "index": "exact", "encoder_params": {"precision": "bfloat16"}}),
        ),
    ],
)
def test_a_name_means_a_recipe(name, recipe):
    assert parse(name) == recipe


@pytest.mark.parametrize(
    ("name", "recipe"),
    [
        ("bm25", Recipe("lexical", {"analyzer": "code"})),
        ("bm25(analyzer=words)", Recipe("lexical", {"analyzer": "words"})),
        ("lsa", Recipe("dense", {"encoder": "lsa", "encoder_params": {"analyzer": "code"}})),
        ("minilm", Recipe("dense", {"encoder": "minilm"})),  # has a tokeniser of its own
        ("org/model", Recipe("dense", {"encoder": "org/model"})),
    ],
)
def test_code_is_cut_as_code_where_nothing_else_is_said(name, recipe):
    assert parse(name, analyzer="code") == recipe


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("bm52", "did you mean bm25"),
        ("tf-idf", "did you mean tfidf"),
        ("mini-lm", "did you mean minilm"),
        ("bm25+minilmm", "did you mean minilm"),
        ("nothing at all", "There are: bm25"),
    ],
)
def test_an_unknown_name_is_met_with_the_nearest(name, says):
    with pytest.raises(UnknownName, match=says):
        parse(name)


@pytest.mark.parametrize(
    "name",
    [
        *("", " ", "+", ":tuned", "bm25(", "bm25)", "bm25(k1)", "bm25:tuned", "bm25:rrf", "(k1=1)", "bm25:best"),
        *("@sentence", "bm25@", "bm25@wrong", ":svm", "lsa:svm(C)", "lsa:svm:svm:", "@", ":"),
    ],
)
def test_what_is_no_name_is_refused(name):
    with pytest.raises(InputError):
        parse(name)


@pytest.mark.parametrize(
    ("name", "says"), [("bm25(k=1)", "k1"), ("lsa(components=2)", "n_components"), ("tfidf(idx=1)", "There are")]
)
def test_a_parameter_that_does_not_exist_is_named_before_the_work(name, says):
    with pytest.raises(UnknownName, match=says):
        from_recipe(parse(name)).simple  # noqa: B018 - what `compare` asks before it builds anything


@given(st.text(max_size=20))
def test_any_text_is_a_candidate_or_refused_by_name(name):
    try:
        assert isinstance(parse(name), Recipe)
    except VicinoError:
        return


def test_folders_are_told_by_what_they_hold(tmp_path, texts, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make("lsa").fit(texts).save("my-lsa")
    from_recipe(parse("tfidf")).build([Document("a", "tea")]).save("winner")
    for folder in ("bm25", "lsa", "plain"):
        (tmp_path / folder).mkdir()
    assert parse("my-lsa") == Recipe("dense", {"encoder": "my-lsa"})
    assert parse("winner") == from_recipe(TFIDF).recipe
    assert parse("plain") == Recipe("dense", {"encoder": "plain"})
    assert parse("bm25") == BM25  # a folder that happens to have a known name does not shadow it
    assert parse("lsa") == LSA
    assert parse("bm25+my-lsa").parts[1].params == {"encoder": "my-lsa"}
    assert parse("my-lsa@sentence:lda").parts[0].parts == (parse("my-lsa"),)
    assert parse("winner@sentence").parts == (parse("winner"),)
    (tmp_path / "me@home").mkdir()
    assert parse("me@home") == Recipe("dense", {"encoder": "me@home"})


def test_a_saved_encoder_is_not_taught_again(tmp_path, texts, documents):
    saved = make("lsa", n_components=4).fit(texts[:6])
    folder = saved.save(tmp_path / "lsa")
    retriever = from_recipe(parse(str(folder))).build(documents)
    assert retriever.encoder_.space == saved.space
