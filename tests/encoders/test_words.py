"""Word2Vec: what it is fitted on, what words and texts it knows, what it refuses, and what others read of it."""

from __future__ import annotations

import logging

import numpy as np
import pytest

from vicino import artifacts, encoders
from vicino.data.corpus import Rules, read_corpus
from vicino.data.records import Document
from vicino.data.text import Vocabulary
from vicino.encoders.words import Word2Vec
from vicino.errors import ArtifactCorrupt, EmptyInput, InputError, NotFitted, UnknownName, UnreadableSource
from vicino.learning import skipgram_kernels as kernels

# Two subjects that share no word but "the"; words of one subject are used alike.
KITCHEN, SKY = ("tea", "coffee", "milk", "sugar", "cup"), ("kite", "plane", "wing", "cloud", "wind")


def sentences() -> list[str]:
    random = np.random.default_rng(0)
    return [" ".join(["the", *random.permutation(subject)[:4]]) for _ in range(150) for subject in (KITCHEN, SKY)]


@pytest.fixture(scope="module")
def words() -> Word2Vec:
    """Fitted; only for looking."""
    return Word2Vec(vector_size=20, epochs=40, alpha=0.05).fit(sentences())


# What it is fitted on -------------------------------------------------------------------------------------------------


def test_every_source_gives_the_same_words_and_vectors(words, tmp_path):
    path = tmp_path / "text.txt"
    path.write_text("\n".join(sentences()), encoding="utf-8")
    read_corpus(path, folder=tmp_path / "corpus")
    sources = [
        path,
        str(path),
        iter(sentences()),
        [Document("a", "\n".join(sentences()))],
        [sentence.split() for sentence in sentences()],
        read_corpus(path),
        tmp_path / "corpus",
    ]
    for source in sources:
        again = words.clone().fit(source)
        assert again.space == words.space
        np.testing.assert_array_equal(again.vectors_, words.vectors_)


@pytest.mark.parametrize(
    ("source", "error"),
    [
        ("no such file", UnreadableSource),
        ([], EmptyInput),
        (["…"], EmptyInput),
        (["one", "word"], EmptyInput),
        (5, InputError),
        ([5], InputError),
    ],
    ids=str,
)
def test_what_cannot_be_learnt_from_is_named(source, error):
    with pytest.raises(error):
        Word2Vec().fit(source)


def test_a_vocabulary_that_min_count_empties_is_named():
    with pytest.raises(EmptyInput, match="lower min_count"):
        Word2Vec(min_count=9).fit(["a b", "a c"])


@pytest.mark.parametrize(
    "params",
    [
        *({"vector_size": 0}, {"vector_size": 2.5}, {"vector_size": "x"}, {"window": 0}, {"window": 10**9}),
        *({"negative": 0}, {"negative": 10**9}, {"epochs": -1}, {"min_count": 0}),
    ],
    ids=str,
)
def test_parameters_that_cannot_be_are_named(params):
    with pytest.raises(InputError):
        Word2Vec(**params).fit(["a b"])


def test_small_texts_are_read_more_often():
    assert [Word2Vec()._recipe(words).epochs for words in (100, 200_000, 26_000_000)] == [1000, 200, 5]
    assert [Word2Vec(sg=sg)._recipe(1).alpha for sg in (1, 0)] == [0.025, 0.05]


# Words ----------------------------------------------------------------------------------------------------------------


def test_a_word_has_a_vector_of_its_own(words):
    assert "tea" in words
    assert "beer" not in words
    assert words["tea"].shape == (20,)
    words["tea"][:] = 0
    assert words["tea"].any()


def test_words_used_alike_are_near(words):
    assert {word for word, _ in words.most_similar("tea", topn=4)} == set(KITCHEN) - {"tea"}
    cosines = [cosine for _, cosine in words.most_similar(["tea", "milk"], topn=3)]
    assert cosines == sorted(cosines, reverse=True)
    assert words.most_similar("tea", topn=1)[0][1] == pytest.approx(words.word_similarity("tea", words.most_similar("tea")[0][0]))
    assert words.doesnt_match(["tea", "coffee", "kite", "cup"]) == "kite"
    assert words.word_similarity("tea", "tea") == pytest.approx(1)


def test_arithmetic_by_hand():
    """Unit vectors along the axes: (1, 1, 0) - 2 · (0, 0, 1) is nearest to what points there."""
    model = Word2Vec(vector_size=3)
    model.vectors_ = np.array([[2, 0, 0], [0, 3, 0], [0, 0, 1], [1, 1, -2], [1, 1, 0]], np.float32)
    model._take(Vocabulary("abcde"), np.ones(5, np.int64))
    assert [word for word, _ in model.most_similar(["a", "b"])] == ["e", "d", "c"]
    found = model.most_similar(["a", "b"], "c", weights=[1, 1, 2])
    assert [word for word, _ in found] == ["d", "e"]
    assert [cosine for _, cosine in found] == pytest.approx([1, 2 / np.sqrt(2) / np.sqrt(6)], abs=1e-6)
    assert (
        model.most_similar("a", topn=1) == [("d", pytest.approx(1 / np.sqrt(6)))] or model.most_similar("a", topn=1)[0][0] == "e"
    )


def encoders_vocabulary(text: str):
    from vicino.data.text import Vocabulary

    return Vocabulary(text.split())


def test_unknown_words_are_named_with_near_spellings(words):
    for use in (lambda: words["coffe"], lambda: words.most_similar("coffe"), lambda: words.word_similarity("tea", "coffe")):
        with pytest.raises(KeyError, match="did you mean coffee") as caught:
            use()
        assert isinstance(caught.value, UnknownName)
        assert "11 words are known" in str(caught.value)
    with pytest.raises(KeyError):
        words[""]


def test_questions_that_cannot_be_answered_are_named(words):
    with pytest.raises(InputError, match="at least one word"):
        words.most_similar()
    with pytest.raises(InputError, match="1 words with 2 weights"):
        words.most_similar("tea", weights=[1, 2])
    for weight in (float("nan"), float("inf")):
        with pytest.raises(InputError, match="no numbers to multiply with"):
            words.most_similar("tea", weights=[weight])
    with pytest.raises(InputError, match="list of words"):
        words.doesnt_match("tea")
    for ask in (lambda model: "tea" in model, lambda model: model["tea"], lambda model: model.most_similar("tea")):
        with pytest.raises(NotFitted):
            ask(Word2Vec())


# Texts ----------------------------------------------------------------------------------------------------------------


def test_a_text_is_the_mean_of_its_known_words(words):
    expected = (words["tea"] * 2 + words["cup"]) / 3
    np.testing.assert_allclose(words.encode("Tea, tea! Beer; CUP"), expected, atol=1e-6)
    assert not words.encode("beer").any()


# Going on -------------------------------------------------------------------------------------------------------------


def test_more_text_brings_new_words_and_keeps_the_old_ones(words):
    model = words.clone().fit(sentences())
    more = [f"the lemonade {' '.join(KITCHEN[:2])}", f"the glider {' '.join(SKY[:2])}"] * 60
    model.partial_fit(more)
    assert model.vocabulary_.terms[:11] == words.vocabulary_.terms
    assert {"lemonade", "glider"} == set(model.vocabulary_.terms[11:])
    assert model.counts_[model.vocabulary_["tea"]] == words.counts_[words.vocabulary_["tea"]] + 60
    assert model.word_similarity("lemonade", "tea") > model.word_similarity("lemonade", "kite")
    assert model.word_similarity("glider", "kite") > model.word_similarity("glider", "tea")
    assert model.space != words.space
    assert words.clone().partial_fit(sentences()).space == words.space


@pytest.mark.parametrize("params", [{"hs": 1, "negative": 0}, {"sg": 0}], ids=str)
def test_every_kind_goes_on(params):
    model = Word2Vec(vector_size=8, epochs=2, **params).fit(sentences())
    for more in (["the tea and cup"], read_corpus(["a new text"], Rules(min_count=1))):
        assert np.isfinite(model.partial_fit(more).vectors_).all()
    assert {"and", "new", "text"} < set(model.vocabulary_)


def test_an_opened_model_goes_on_as_the_first_would(words, tmp_path):
    opened = encoders.load(words.save(tmp_path / "words"))
    first = words.clone().fit(sentences())
    for model in (opened, first):
        model.partial_fit(["the tea and the lemonade"])
    np.testing.assert_array_equal(opened.vectors_, first.vectors_)


def test_what_was_interrupted_is_a_whole_model(words, monkeypatch, caplog):
    whole, calls = kernels.learn, []

    def learn(*arguments):
        calls.append(1)
        if len(calls) > 3:
            raise KeyboardInterrupt
        return whole(*arguments)

    monkeypatch.setattr(kernels, "learn", learn)
    with caplog.at_level(logging.WARNING):
        model = words.clone().fit(sentences())
    assert (model.training_.ended, len(model.training_.losses)) == ("interrupted", 3)
    assert "epoch 3 is kept" in caplog.text
    assert model.encode("tea").any()


@pytest.mark.parametrize(
    "changes",
    [
        {"vectors": np.zeros((5, 20), np.float32)},
        {"vectors": np.zeros(11, np.float32)},
        {"vectors": np.zeros((11, 20))},
        {"counts": np.ones(12, np.int64)},
        {"contexts": np.zeros((1, 20), np.float32)},
        {"contexts": np.zeros((11, 16), np.float32)},
        {"terms": ["tea"] * 11},
        {"terms": np.zeros(11)},
    ],
    ids=lambda changes: f"{next(iter(changes))} {np.shape(next(iter(changes.values())))}",
)
def test_a_folder_whose_arrays_do_not_belong_together_is_named(words, changes, tmp_path):
    """Its SHA-256 is right: somebody made it again."""
    saved = artifacts.read(words.save(tmp_path / "words"))
    artifacts.write(saved.path, kind=saved.kind, data=saved.data, arrays={**saved.arrays, **changes})
    with pytest.raises(ArtifactCorrupt, match=next(iter(changes))):
        encoders.load(saved.path)


# Files of others ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("form", "name"), [("word2vec", "a.txt"), ("word2vec-binary", "a.bin"), ("glove", "a.vec")])
def test_what_is_exported_is_read_back_to_the_bit(words, form, name, tmp_path):
    path = words.export(tmp_path / "deep" / name, form)
    again = Word2Vec.import_(path)
    assert again.vocabulary_.terms == words.vocabulary_.terms
    np.testing.assert_array_equal(again.vectors_, words.vectors_)
    assert again.encode("tea").tolist() == words.encode("tea").tolist()
    assert encoders.load(again.save(tmp_path / "again"))["tea"].tolist() == words["tea"].tolist()
    with pytest.raises(InputError, match="came from a file"):
        again.partial_fit(["more text"])


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # gensim leaves a file without header open
@pytest.mark.parametrize(
    ("form", "binary", "header"), [("word2vec", False, True), ("word2vec-binary", True, True), ("glove", False, False)]
)
def test_gensim_reads_it_to_the_bit(words, form, binary, header, tmp_path):
    keyed = pytest.importorskip("gensim.models").KeyedVectors
    model = words.clone().fit([*sentences(), "Straße 東京"])
    path = model.export(tmp_path / "vectors", form)
    read = keyed.load_word2vec_format(str(path), binary=binary, no_header=not header)
    assert read.index_to_key == model.vocabulary_.terms
    np.testing.assert_array_equal(read.vectors, model.vectors_)


def test_what_cannot_be_exported_is_named(words, tmp_path):
    with pytest.raises(UnknownName, match="word2vec-binary"):
        words.export(tmp_path / "a", format="binary")
    spaced = Word2Vec(vector_size=4, epochs=1).fit([["New York", "is"]])
    with pytest.raises(InputError, match="New York"):
        spaced.export(tmp_path / "a")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("form", ["word2vec", "word2vec-binary", "glove"])
def test_words_that_are_not_utf8_are_exported_as_they_came(form, tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"2 2\na " + bytes(8) + b"caf\xe9 " + bytes(8))
    model = Word2Vec.import_(path)
    again = model.export(tmp_path / ("b.bin" if "binary" in form else "b.txt"), form)
    assert b"\ncaf\xe9 " in again.read_bytes() or form == "word2vec-binary"
    assert Word2Vec.import_(again).vocabulary_.terms == model.vocabulary_.terms


def test_a_word_that_is_no_text_is_named(tmp_path):
    model = Word2Vec(vector_size=4, epochs=1).fit([["\ud800", "is"]])
    with pytest.raises(InputError, match="no text"):
        model.export(tmp_path / "a.txt")
    assert list(tmp_path.iterdir()) == []


def test_a_hostile_header_is_named_before_memory_is_taken(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"1000000000000 300\nking " + bytes(1200))
    with pytest.raises(UnreadableSource, match="more than the file holds"):
        Word2Vec.import_(path)


def test_whoever_goes_on_at_once_takes_no_half_training(monkeypatch):
    """The ladder would crown it, and keep it as if it were whole."""
    whole, calls = kernels.learn, []

    def learn(*arguments):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return whole(*arguments)

    monkeypatch.setattr(kernels, "learn", learn)
    with pytest.raises(KeyboardInterrupt):
        Word2Vec(vector_size=4, epochs=5).fit_whole(sentences())
    calls.clear()
    assert Word2Vec(vector_size=4, epochs=5).fit(sentences()).training_.ended == "interrupted"
    calls[:] = [1] * 5
    assert Word2Vec(vector_size=4, epochs=5).fit_whole(sentences()).training_.ended == "whole"
