"""LDA as an encoder: what it finds, what it says of its topics, and what comes later."""

from __future__ import annotations

import numpy as np
import pytest

from vicino import encoders
from vicino.encoders.counts import TfIdf
from vicino.encoders.topics import LDA
from vicino.errors import EmptyInput, InputError, NotFitted, UnknownName

KITCHEN = ("tea", "water", "bread", "dough", "oven", "cup")
SKY = ("wing", "lift", "drag", "engine", "cloud", "pilot")


@pytest.fixture(scope="module")
def corpus() -> list[str]:
    """Documents of one of two subjects, eight words each."""
    rng = np.random.default_rng(0)
    return [" ".join(rng.choice(SKY if number % 2 else KITCHEN, 8)) for number in range(40)]


@pytest.fixture(scope="module")
def lda(corpus) -> LDA:
    return LDA(n_components=2).fit(corpus)


@pytest.mark.parametrize("learner", ["batch", "scvb0", "online"])
def test_two_subjects_are_two_topics(corpus, learner):
    lda = LDA(n_components=2, learner=learner, chunksize=10).fit(corpus)
    words = sorted(sorted(lda.top_words(topic, 6)) for topic in range(2))
    assert words == [sorted(KITCHEN), sorted(SKY)]
    kitchen = lda.mixtures(["tea bread", "wing lift"]).argmax(axis=1)
    assert kitchen[0] != kitchen[1]
    assert lda.training_.ended == "whole"


def test_vectors_are_centred_log_ratios(lda):
    shares = lda.mixtures(["tea wing tea", "cup"])
    np.testing.assert_allclose(shares.sum(axis=1), 1, rtol=1e-6)
    ratio = np.log(shares[:, 0] / shares[:, 1])  # of two topics: (l, -l) / 2, and of length one
    expected = np.sign(ratio)[:, None] * np.array([1, -1]) / np.sqrt(2)
    np.testing.assert_allclose(lda.encode(["tea wing tea", "cup"]), expected, rtol=1e-5)


def test_what_shares_no_word_may_be_near(corpus):
    lda = LDA(n_components=4).fit(corpus)
    tea, oven, pilot = lda.encode(["tea tea water", "oven dough bread", "pilot cloud"])
    assert tea @ oven > tea @ pilot + 0.5


def test_a_text_without_known_words_is_nothing(lda):
    assert not lda.encode(["", "zzyzx", "the and"]).any()
    np.testing.assert_allclose(lda.mixtures(["", "zzyzx"]), [[0.5, 0.5]] * 2)


def test_no_more_topics_than_documents():
    assert LDA().fit(["tea cup", "wing lift", "bread dough"]).dim == 3
    assert LDA(n_components=4, alpha=(0.1, 0.2, 0.3, 0.4)).fit(["tea cup", "wing lift"]).dim == 4


def test_a_prior_for_each_topic_is_kept(tmp_path, corpus):
    lda = LDA(n_components=2, alpha=(0.1, 0.4)).fit(corpus)
    np.testing.assert_allclose(lda.mixtures([""]), [[0.2, 0.8]], rtol=1e-6)
    opened = encoders.load(lda.save(tmp_path / "lda"))
    np.testing.assert_array_equal(opened.mixtures(corpus), lda.mixtures(corpus))
    assert opened.fit(corpus).space == lda.space


def test_threads_and_passes_that_change_nothing_are_the_same_space(corpus, lda):
    assert LDA(n_components=2, threads=2).fit(corpus).space == lda.space
    assert LDA(n_components=2, stopwords=None).fit(corpus).space != lda.space


def test_learning_batch_by_batch(corpus, tmp_path):
    lda = LDA(n_components=2, seed=1).partial_fit(corpus[:20])
    early = lda.space
    opened = encoders.load(lda.save(tmp_path / "lda"))
    for _ in range(5):
        lda.partial_fit(corpus[20:])
        opened.partial_fit(corpus[20:])
    assert lda.space != early
    assert opened.space == lda.space
    assert lda.seen_ == 120
    assert sorted(sorted(lda.top_words(topic, 6)) for topic in range(2)) == [sorted(KITCHEN), sorted(SKY)]


def test_more_after_fit_moves_the_topics_a_little(corpus):
    lda = LDA(n_components=2, chunksize=10).fit(corpus)
    before = lda.topics_.distributions
    lda.partial_fit(["tea unheard tea", "cup tea"])
    assert lda.vocabulary_.get("unheard") < 0
    assert 0.01 < np.abs(lda.topics_.distributions - before).sum() < 1
    with pytest.raises(EmptyInput):
        lda.partial_fit(["zzyzx"])


def test_rare_words_may_be_left_out(corpus):
    texts = [*corpus, "tea kettle"]
    assert "kettle" in LDA(n_components=2).fit(texts).vocabulary_
    assert "kettle" not in LDA(n_components=2, min_count=2).fit(texts).vocabulary_
    with pytest.raises(EmptyInput, match="lower min_count"):
        LDA(min_count=100).fit(texts)


def test_words_are_counted_as_tfidf_counts_them(texts):
    assert LDA(stopwords=None).fit(texts).vocabulary_.terms == TfIdf().fit(texts).vocabulary_.terms


def test_tokens_show_what_topic_a_word_speaks_of(lda):
    found = lda.tokens("Tea, wing and zzyzx tea")
    assert found.pieces == ["tea", "wing", "zzyzx", "tea"]  # "and" is a stop word
    assert found.known.tolist() == [True, True, False, True]
    np.testing.assert_allclose(found.rows.sum(axis=1), [1, 1, 0, 1], rtol=1e-6)
    assert found.rows[0].argmax() != found.rows[1].argmax()
    assert lda.tokens("").rows.shape == (0, 2)


def test_topics_that_there_are_not_are_named(lda):
    for wrong in (2, -1, "tea"):
        with pytest.raises(InputError, match="topics are 0 to 1"):
            lda.top_words(wrong)
    for use in (lambda: LDA().top_words(0), lambda: LDA().mixtures(["tea"])):
        with pytest.raises(NotFitted):
            use()


def test_parameters_that_cannot_be_are_named(corpus):
    with pytest.raises(UnknownName, match="batch"):
        LDA(learner="bacth").fit(corpus)
    with pytest.raises(InputError, match="alpha"):
        LDA(n_components=3, alpha=(0.1, 0.1)).fit(corpus)
