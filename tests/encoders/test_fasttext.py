"""FastText: words that nobody met have vectors, and are told from those that were learnt."""

from __future__ import annotations

import numpy as np
import pytest

from vicino import artifacts, encoders
from vicino.encoders.fasttext import FastText
from vicino.encoders.words import UnknownWord
from vicino.errors import ArtifactCorrupt, InputError

# Two subjects; the words of each share an ending, and are used with each other only.
KITCHEN, SKY = (
    ("teaspoon", "icespoon", "bigspoon", "jamspoon", "eggspoon"),
    ("airplane", "seaplane", "warplane", "jetplane", "oldplane"),
)
UNSEEN = ("soupspoon", "biplane")


def sentences() -> list[str]:
    random = np.random.default_rng(0)
    return [" ".join(["the", *random.permutation(subject)[:4]]) for _ in range(100) for subject in (KITCHEN, SKY)]


@pytest.fixture(scope="module")
def words() -> FastText:
    """Fitted; only for looking."""
    return FastText(vector_size=20, epochs=20, alpha=0.05, min_count=2).fit([*sentences(), "雪 met once"])


def test_a_learnt_word_is_the_mean_of_its_own_row_and_its_n_grams(words):
    ngrams = words._subwords().of(["teaspoon"])
    rows = words.ngrams_[np.searchsorted(words.buckets_, ngrams.buckets)]
    own = words.own_[words.vocabulary_.get("teaspoon")]
    np.testing.assert_allclose(words["teaspoon"], np.mean([own, *rows], axis=0), atol=1e-6)


def test_words_used_alike_are_near(words):
    assert {word for word, _ in words.most_similar("teaspoon", topn=4)} == set(KITCHEN) - {"teaspoon"}


@pytest.mark.parametrize(("unseen", "kin", "others"), [(UNSEEN[0], KITCHEN, SKY), (UNSEEN[1], SKY, KITCHEN)])
def test_an_unseen_word_is_near_those_that_are_spelled_alike(words, unseen, kin, others):
    assert unseen not in words
    assert {word for word, _ in words.most_similar(unseen, topn=5)} == set(kin)
    assert min(words.word_similarity(unseen, word) for word in kin) > max(words.word_similarity(unseen, word) for word in others)
    assert words.doesnt_match([unseen, *kin[:2], others[0]]) == others[0]


def test_lookup_says_who_has_a_vector(words):
    vectors, known = words.lookup(["teaspoon", "soupspoon", "xyz", ""])
    assert known.tolist() == [True, True, False, False]
    np.testing.assert_array_equal(vectors[0], words["teaspoon"])
    np.testing.assert_array_equal(vectors[1], words["soupspoon"])
    assert not vectors[2:].any()


@pytest.mark.parametrize("name", ["xyz", "", "雪", 5, None])
def test_a_word_without_a_learnt_n_gram_is_unknown(words, name):
    with pytest.raises(UnknownWord) as caught:
        words[name]
    assert isinstance(caught.value, KeyError)
    with pytest.raises(UnknownWord):
        words.most_similar(["teaspoon", name])


def test_texts_of_unseen_words_are_encoded(words):
    [unseen, both, nothing] = words.encode(["soupspoon", "soupspoon teaspoon xyz", "xyz"])
    np.testing.assert_allclose(unseen, words["soupspoon"], atol=1e-6)
    np.testing.assert_allclose(both, (words["soupspoon"] + words["teaspoon"]) / 2, atol=1e-6)
    assert not nothing.any()


def test_tokens_tell_learnt_words_from_others(words):
    found = words.tokens("the soupspoon")
    assert (found.pieces, found.ids[1], found.known.tolist()) == (["the", "soupspoon"], -1, [True, False])


def test_kept_and_opened_it_says_the_same(words, tmp_path):
    words.save(tmp_path / "words")
    opened = encoders.load(tmp_path / "words")
    assert opened.space == words.space
    for word in ("teaspoon", *UNSEEN):
        np.testing.assert_array_equal(opened[word], words[word])


@pytest.mark.parametrize("wrong", ["few n-grams", "narrow n-grams", "few own", "falling buckets", "no buckets"])
def test_a_folder_whose_arrays_do_not_belong_together_is_named(words, wrong, tmp_path):
    changes = {
        "few n-grams": {"ngrams": words.ngrams_[:1]},
        "narrow n-grams": {"ngrams": words.ngrams_[:, :4]},
        "few own": {"own": words.own_[:1]},
        "falling buckets": {"buckets": words.buckets_[::-1]},
        "no buckets": {"buckets": words.buckets_[:0]},
    }[wrong]
    saved = artifacts.read(words.save(tmp_path / "words"))
    arrays = {name: array for name, array in {**saved.arrays, **changes}.items() if np.size(array)}
    artifacts.write(saved.path, kind=saved.kind, data=saved.data, arrays=arrays)
    with pytest.raises(ArtifactCorrupt, match="do not belong to the rest"):
        encoders.load(saved.path)


def test_more_text_brings_new_words_and_new_n_grams(tmp_path):
    words = FastText(vector_size=8, epochs=3).fit(sentences())
    words.save(tmp_path / "words")
    again = encoders.load(tmp_path / "words")
    for each in (words, again):
        before = each["teaspoon"]
        each.partial_fit(["the zebra met the teaspoon"] * 20)
        assert "zebra" in each
        assert each.lookup(["zebras"])[1].all()
        assert not np.array_equal(each["teaspoon"], before)
    np.testing.assert_array_equal(words["zebra"], again["zebra"])
    assert words.space == again.space


def test_one_thread_gives_the_same_twice():
    first, second = (FastText(vector_size=8, epochs=2, seed=4).fit(sentences()) for _ in range(2))
    np.testing.assert_array_equal(first.vectors_, second.vectors_)
    assert first.space == second.space


@pytest.mark.parametrize("params", [{"sg": 0}, {"sg": 0, "cbow_mean": 0}, {"hs": 1, "negative": 0}, {"threads": 2}], ids=str)
def test_every_way_of_learning_finds_the_two_subjects(params):
    model = FastText(vector_size=20, epochs=30, alpha=0.05, **params).fit(sentences())
    assert {word for word, _ in model.most_similar("soupspoon", topn=5)} == set(KITCHEN)


def test_vectors_from_a_file_know_their_own_words_only(words, tmp_path):
    opened = FastText.import_(words.export(tmp_path / "vectors.txt"))
    np.testing.assert_allclose(opened["teaspoon"], words["teaspoon"], rtol=1e-6)
    with pytest.raises(UnknownWord):
        opened["soupspoon"]


@pytest.mark.parametrize("params", [{"min_n": 0}, {"min_n": 4, "max_n": 3}, {"bucket": 0}, {"bucket": 2**33}], ids=str)
def test_parameters_that_cannot_be_are_named_before_anything_is_read(params):
    with pytest.raises(InputError):
        FastText(**params).fit("no such file")


@pytest.mark.long
def test_compiled_code_gives_the_same_bits_when_it_was_just_made_and_when_it_was_kept(python, tmp_path):
    """Copies of one function, compiled in several places, must round alike."""
    program = """
import hashlib
from vicino.encoders import FastText
words = FastText(vector_size=20, epochs=20).fit(["red wine and white wine", "red tea and white tea"] * 5)
print(hashlib.sha256(words.vectors_.tobytes()).hexdigest())
"""
    made, kept = (python(program, NUMBA_CACHE_DIR=str(tmp_path)) for _ in range(2))
    assert made == kept
    assert list(tmp_path.rglob("*.nbc"))
