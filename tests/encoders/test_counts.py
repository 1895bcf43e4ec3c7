"""TF-IDF and LSA against values worked by hand and against scikit-learn's."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer

from vicino.data.text import Analyzer
from vicino.encoders.counts import LSA, TfIdf
from vicino.errors import EmptyInput, UnknownName
from vicino.vectors import normalise

WORDS = st.lists(st.sampled_from(["wing", "lift", "drag", "tea", "bread", "Über", "x²"]), max_size=8).map(" ".join)


def test_weights_by_hand():
    tfidf = TfIdf().fit(["wings lift wings", "wings drag"])
    assert tfidf.vocabulary_.terms == ["wings", "lift", "drag"]
    rare = 1 + math.log(3 / 2)  # in one of two documents; "wings" is in both: 1 + ln(3 / 3) = 1
    np.testing.assert_allclose(tfidf.idf_, [1, rare, rare])
    wings = 1 + math.log(2)  # twice in the first
    length = math.hypot(wings, rare)
    expected = [[wings / length, rare / length, 0], [1 / math.hypot(1, rare), 0, rare / math.hypot(1, rare)]]
    np.testing.assert_allclose(tfidf.encode(["wings lift wings", "wings drag"]).toarray(), expected, rtol=1e-6)
    plain = TfIdf(sublinear_tf=False).fit(["wings lift wings", "wings drag"]).encode(["wings lift wings"]).toarray()
    np.testing.assert_allclose(plain, [[2 / math.hypot(2, rare), rare / math.hypot(2, rare), 0]], rtol=1e-6)


@given(corpus=st.lists(WORDS, min_size=1, max_size=6).filter(any), asked=st.lists(WORDS, max_size=4), sublinear=st.booleans())
def test_vectors_are_those_of_scikit_learn(corpus, asked, sublinear):
    ours = TfIdf(sublinear_tf=sublinear, min_length=1).fit(corpus)
    theirs = TfidfVectorizer(analyzer=Analyzer().terms, sublinear_tf=sublinear).fit(corpus)
    columns = [theirs.vocabulary_[term] for term in ours.vocabulary_.terms]
    assert sorted(columns) == list(range(len(theirs.vocabulary_)))
    expected = theirs.transform([*corpus, *asked]).toarray()[:, columns]
    np.testing.assert_allclose(ours.encode([*corpus, *asked]).toarray(), expected, atol=1e-6)


def test_rows_are_in_canonical_form_without_stored_zeros(texts):
    rows = TfIdf().fit(texts).encode([*texts, "", "unknown", "wing wing lift"])
    assert rows.has_canonical_format
    assert (rows.data > 0).all()
    assert rows.indices.max() < rows.shape[1]


def test_rare_words_may_be_left_out():
    corpus = ["wings lift", "wings drag", "wings lift"]
    assert TfIdf(min_count=2).fit(corpus).vocabulary_.terms == ["wings", "lift"]
    assert TfIdf(min_count=2).fit([*corpus, "drag drag"]).vocabulary_.terms == ["wings", "lift", "drag"]
    with pytest.raises(EmptyInput, match="lower min_count"):
        TfIdf(min_count=4).fit(corpus)


def test_a_parameter_that_changes_nothing_is_the_same_space():
    corpus = ["wings lift", "wings lift wings"]
    assert TfIdf(min_count=2).fit(corpus).space == TfIdf(min_count=1).fit(corpus).space
    assert TfIdf(min_count=2).fit(corpus).space.id != LSA(min_count=2).fit(corpus).space.id


@pytest.mark.parametrize("family", [TfIdf, LSA])
@pytest.mark.parametrize("wrong", [{"analyzer": "wrods"}, {"stemmer": "klingon"}, {"stopwords": "klingon"}])
def test_a_way_to_cut_text_that_does_not_exist(family, wrong, texts):
    with pytest.raises(UnknownName):
        family(**wrong).fit(texts)


def test_what_was_never_seen_is_nothing(texts):
    assert TfIdf().fit(texts).encode(["zzyzx"]).nnz == 0
    assert not LSA().fit(texts).encode(["zzyzx"]).any()


def test_lsa_is_a_truncated_svd_of_tfidf(texts):
    rows = TfIdf().fit(texts).encode(texts)
    theirs = TruncatedSVD(3, algorithm="arpack").fit(rows)
    ours = LSA(n_components=3, n_iter=20).fit(texts)
    np.testing.assert_allclose(ours.singular_values_, theirs.singular_values_, rtol=1e-4)
    expected = normalise(theirs.transform(rows))
    np.testing.assert_allclose(ours.encode(texts) @ ours.encode(texts).T, expected @ expected.T, atol=1e-3)


def test_lsa_finds_what_shares_no_word():
    corpus = ["car engine", "automobile engine", "car wheel", "automobile wheel", "tea cup", "tea pot"]
    lsa = LSA(n_components=2).fit(corpus)
    car, automobile, tea = lsa.encode(["car", "automobile", "tea"])
    assert car @ automobile > 0.99
    assert abs(car @ tea) < 0.01


@pytest.mark.parametrize("repeats", [1, 3])
def test_lsa_has_no_more_dimensions_than_the_corpus(repeats):
    lsa = LSA(n_components=100).fit(["wings lift", "wings drag", "tea"] * repeats)
    assert lsa.dim == 3
    np.testing.assert_allclose(np.linalg.norm(lsa.encode(["lift tea", "wings"]), axis=1), 1, atol=1e-6)


def test_tokens_show_the_table_that_a_vector_is_made_of(texts):
    lsa = LSA(n_components=4).fit(texts)
    found = lsa.tokens("Tea, tea and zzyzx")
    assert found.pieces == ["tea", "tea", "and", "zzyzx"]
    assert found.known.tolist() == [True, True, True, False]
    assert found.ids[3] == -1
    weights = np.array([(1 + math.log(2)) / 2, (1 + math.log(2)) / 2, 1, 0]) * lsa.tfidf_.idf_[found.ids]
    np.testing.assert_allclose(normalise(weights @ found.rows), lsa.encode("Tea, tea and zzyzx"), atol=1e-5)
    assert lsa.tokens("").rows.shape == (0, 4)
    assert TfIdf().fit(texts).tokens("tea").rows is None
