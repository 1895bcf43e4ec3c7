"""Weighted means of word vectors: the weights, what all texts have in common, and where the words come from."""

from __future__ import annotations

import numpy as np
import pytest

from vicino import encoders
from vicino.data.corpus import read_corpus
from vicino.encoders.cooccurrence import GloVe
from vicino.encoders.means import MeanOfWords
from vicino.encoders.words import Word2Vec
from vicino.errors import InputError, NotFitted, UnknownName
from vicino.vectors import normalise

TEXTS = [
    "the red wine",
    "the white wine and the cheese",
    "the red tea",
    "the black tea and a cup",
    "the cup the cup",
    "a red kite",
]
VECTORS = {"the": [0, 0, 2], "red": [1, 0, 1], "wine": [0, 1, 1], "tea": [1, 1, 0], "cup": [2, 0, 0], "beer": [0, 3, 0]}


@pytest.fixture
def file(tmp_path):
    """Six words in three dimensions; `and`, `a` and others of the texts are not among them."""
    path = tmp_path / "words.vec"
    path.write_text("6 3\n" + "".join(f"{word} {' '.join(map(str, row))}\n" for word, row in VECTORS.items()))
    return path


def plain(text: str, weight) -> np.ndarray:
    """The mean over the known words, written out."""
    known = [word for word in text.split() if word in VECTORS]
    return np.sum([weight(word) * np.array(VECTORS[word]) for word in known], axis=0) / len(known)


def test_an_average(file):
    means = MeanOfWords(words=file, weighting="average").fit(TEXTS)
    np.testing.assert_allclose(means.encode(TEXTS), [plain(text, lambda word: 1) for text in TEXTS], atol=1e-6)
    np.testing.assert_allclose(means.encode("the wine, worked by hand"), [0, 0.5, 1.5], atol=1e-6)


def test_idf(file):
    def weight(word: str) -> float:
        return 1 + np.log((1 + len(TEXTS)) / (1 + sum(word in text.split() for text in TEXTS)))

    means = MeanOfWords(words=file, weighting="idf").fit(TEXTS)
    np.testing.assert_allclose(means.encode(TEXTS), [plain(text, weight) for text in TEXTS], atol=1e-6)
    assert means.weight("beer") == pytest.approx(1 + np.log(7))  # in no text
    np.testing.assert_allclose(means.encode("beer"), np.array(VECTORS["beer"]) * (1 + np.log(7)), rtol=1e-6)


@pytest.mark.parametrize("components", [0, 1, 2])
def test_smooth_inverse_frequency(file, components):
    words = " ".join(TEXTS).split()

    def weight(word: str) -> float:
        return 0.01 / (0.01 + words.count(word) / len(words))

    rows = np.array([plain(text, weight) for text in TEXTS])
    _, _, right = np.linalg.svd(rows, full_matrices=False)
    common = right[:components]
    means = MeanOfWords(words=file, a=0.01, components=components).fit(TEXTS)
    np.testing.assert_allclose(means.encode(TEXTS), rows - rows @ common.T @ common, atol=1e-5)
    new = plain("the beer", weight)
    np.testing.assert_allclose(means.encode("the beer"), new - new @ common.T @ common, atol=1e-5)
    assert means.weight("the") < means.weight("red") < means.weight("beer") == 1


def test_what_all_texts_have_in_common_no_longer_makes_them_alike(file):
    shared = [f"the the the {word}" for word in ("red", "wine", "tea", "cup")]
    average, sif = (
        normalise(MeanOfWords(words=file, **params).fit(shared).encode(shared)) for params in ({"weighting": "average"}, {})
    )
    assert (average @ average.T).min() > 0.7
    assert (sif @ sif.T).min() < 0.2


def test_a_text_without_known_words_is_zeros(file):
    means = MeanOfWords(words=file).fit(TEXTS)
    assert not means.encode(["", "unheard of", "?!"]).any()


def test_words_come_from_a_family_a_folder_a_file_or_an_encoder(file, tmp_path):
    learnt = Word2Vec(vector_size=8, epochs=3).fit(TEXTS)
    folder = learnt.save(tmp_path / "words")
    expected = MeanOfWords(words="word2vec(vector_size=8, epochs=3)").fit(TEXTS)
    for words in (folder, str(folder), learnt, Word2Vec(vector_size=8, epochs=3)):
        found = MeanOfWords(words=words).fit(TEXTS)
        np.testing.assert_array_equal(found.encode(TEXTS), expected.encode(TEXTS))
        assert found.space == expected.space
        opened = encoders.load(found.save(tmp_path / f"means-{found.words!s:.3}"))
        np.testing.assert_array_equal(opened.encode(TEXTS), expected.encode(TEXTS))
    assert MeanOfWords.of(words=str(file)).words == str(file.resolve())


@pytest.mark.parametrize("words", [Word2Vec(vector_size=12, epochs=2, analyzer="code"), GloVe(vector_size=12, weighting="flat")])
def test_a_copy_of_an_opened_one_learns_words_as_the_first_did(words, tmp_path):
    means = MeanOfWords(words=words).fit(TEXTS)
    opened = encoders.load(means.save(tmp_path / "means"))
    assert opened.clone().fit(TEXTS).space == means.space
    again = encoders.load(opened.save(tmp_path / "again"))
    assert (again.get_params(), again.space) == (opened.get_params(), means.space)


def test_words_that_have_learnt_do_not_learn_again(tmp_path):
    learnt = Word2Vec(vector_size=8, epochs=3).fit(TEXTS)
    before = learnt.vectors_.copy()
    means = MeanOfWords(words=learnt).fit(["another red text", "about tea"])
    np.testing.assert_array_equal(means.words_.vectors_, before)
    assert "another" not in means.words_
    assert means.weight("another") < 1  # yet it is known how often it comes


def test_it_learns_from_all_that_words_learn_from(tmp_path, file):
    path = tmp_path / "texts.txt"
    path.write_text("\n".join(TEXTS))
    expected = MeanOfWords(words=file).fit(TEXTS).encode(TEXTS)
    for data in (path, read_corpus(TEXTS), iter(TEXTS), [text.split() for text in TEXTS]):
        np.testing.assert_allclose(MeanOfWords(words=file).fit(data).encode(TEXTS), expected, atol=1e-6)


def test_bad_parameters_are_named(file):
    for params, message in (
        ({"weighting": "sift"}, "did you mean sif"),
        ({"a": 0.0}, "a=0.0"),
        ({"a": float("nan")}, "a=nan"),
        ({"components": -1}, "components=-1"),
        ({"components": 3}, "components=3 of vectors of 3"),
        ({"components": 8, "words": "word2vec(vector_size=8)"}, "components=8"),
        ({"words": "tfidf"}, "gives no vectors of words"),
        ({"words": "word3vec"}, "did you mean word2vec"),
    ):
        with pytest.raises((InputError, UnknownName), match=message):
            MeanOfWords(**{"words": file, **params}).fit(TEXTS)
    with pytest.raises(NotFitted):
        MeanOfWords().encode("tea")
