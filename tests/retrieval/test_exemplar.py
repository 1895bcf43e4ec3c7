"""Exemplar scoring: that it ranks by what the classifier says, what feedback adds, what is told of it, what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from vicino.errors import ArtifactCorrupt, InputError
from vicino.learning.exemplar import Moments, lda, svm
from vicino.retrieval import from_recipe, load, parse
from vicino.retrieval.dense import Dense
from vicino.retrieval.exemplar import ExemplarLDA, ExemplarSVM
from vicino.retrieval.text import reasons

QUERY = "black tea in boiling water"


def vectors_of(made, documents):
    """(n, d) unit vectors of the documents, and the query's."""
    encoder = made.inner.encoder_
    held = encoder.encode_document(documents, normalize_embeddings=True)
    return held, encoder.encode_query(QUERY, normalize_embeddings=True)


@pytest.mark.parametrize("name", ["lsa:svm", "lsa:svm(C=2.5)", "lsa:svm(balanced=false)", "lsa:lda", "lsa:lda(shrinkage=0.6)"])
def test_documents_are_ranked_by_the_classifier(name, documents):
    made = from_recipe(parse(name)).build(documents)
    held, asked = vectors_of(made, documents)
    if isinstance(made, ExemplarSVM):
        weights = svm(held, asked[None], C=made.C, balanced=made.balanced).weights
    else:
        weights = lda(Moments.of(held), shrinkage=made.shrinkage)(asked[None])[0]
    expected = held @ weights / np.linalg.norm(weights)
    found = dict(made.search(QUERY, 12).top())
    assert found == pytest.approx({one.id: float(score) for one, score in zip(documents, expected, strict=True)}, abs=2e-3)


@pytest.mark.parametrize("method", ["svm", "lda"])
def test_feedback_makes_positives_of_the_nearest(method, documents):
    made = from_recipe(parse(f"lsa:{method}(feedback=2)")).build(documents)
    held, asked = vectors_of(made, documents)
    near = np.argsort(-(held @ asked))[:2]
    positives = np.vstack([asked, held[np.sort(near)]])
    if method == "svm":
        weights = svm(held, positives, without=near).weights
    else:
        weights = lda(Moments.of(held))(positives.mean(axis=0, keepdims=True))[0]
    found = dict(made.search(QUERY, 12).top())
    expected = held @ weights / np.linalg.norm(weights)
    assert found == pytest.approx({one.id: float(score) for one, score in zip(documents, expected, strict=True)}, abs=2e-3)


def test_feedback_of_everything_is_the_mean_of_everything(documents):
    made = from_recipe(parse("lsa:svm(feedback=99)")).build(documents)
    assert made.search(QUERY, 12).ids.shape == (1, 12)
    assert made.search(QUERY, 1, explain=True).why[0][0]["weighs"]["active"] == 0


@pytest.mark.parametrize("index", ["exact", "int8", "truncated"])
def test_any_index_that_keeps_its_vectors_will_do(index, documents):
    plain = from_recipe(parse("lsa:lda")).build(documents).search(QUERY, 12)
    other = from_recipe(parse(f"lsa(index={index}):lda")).build(documents).search(QUERY, 12)
    assert other.ids[0, :3].tolist() == plain.ids[0, :3].tolist()


def test_an_explanation_says_what_the_svm_weighs(documents):
    made = from_recipe(parse("lsa:svm")).build(documents)
    hits = made.search(QUERY, 3, explain=True)
    first = hits.why[0][0]
    weighs = first["weighs"]
    held, asked = vectors_of(made, documents)
    fitted = svm(held, asked[None])
    assert weighs["active"] == len(fitted.active)
    assert weighs["query"] == pytest.approx(float(fitted.pulls[0]), rel=0.01)
    names = [documents[row].id for row in fitted.active[np.argsort(-fitted.duals)[:3]]]
    assert {name for name, _ in weighs["hardest"]} == set(names)
    place = int(hits.ids[0, 0][1:])
    assert weighs["nearness"] == pytest.approx(float(held[place] @ asked), abs=1e-5)
    told = list(reasons(first))
    assert told[0].startswith("lsa: cosine")
    assert "svm: the query weighs" in told[1]
    assert (
        "decorrelated by 12"
        in list(reasons(from_recipe(parse("lsa:lda")).build(documents).search(QUERY, explain=True).why[0][0]))[1]
    )


def test_how_it_was_found_is_told(documents):
    assert from_recipe(parse("lsa:lda")).build(documents).search(QUERY).how == "lda against 12; exact over 12"


def test_it_is_never_a_simple_baseline(documents):
    assert not from_recipe(parse("lsa:svm")).simple
    assert from_recipe(parse("lsa:svm")).floor is None


@pytest.mark.parametrize("name", ["bm25:svm", "bm25+lsa:svm", "bm25:lda", "bm25@sentence:svm"])
def test_what_has_no_vectors_is_refused_before_the_work(name):
    if name == "bm25+lsa:svm":
        assert [part.retriever for part in parse(name).parts] == ["lexical", "exemplar-svm"]
        return
    with pytest.raises(InputError, match="no vectors for an exemplar"):
        from_recipe(parse(name))


@pytest.mark.parametrize(
    "name", ["tfidf:svm", "lsa(index=int8,keep=int8):lda", 'lsa(index_params={"similarity":"euclidean"}):svm']
)
def test_vectors_that_cannot_be_weighed_are_refused(name, documents):
    with pytest.raises(InputError, match="weighs every vector"):
        from_recipe(parse(name)).build(documents)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("lsa:svm(C=0)", "C is"),
        ("lsa:svm(C=-1)", "C is"),
        ("lsa:svm(C=big)", "C='big'"),
        ("lsa:svm(feedback=-1)", "feedback"),
        ("lsa:lda(shrinkage=2)", "shrinkage"),
        ("lsa:lda(feedback=1.5)", "feedback"),
    ],
)
def test_a_value_that_cannot_be_is_named(name, says):
    with pytest.raises(InputError, match=says):
        from_recipe(parse(name))


def test_one_document_is_a_collection_too(documents):
    for name in ("lsa(n_components=1):svm", "lsa(n_components=1):lda"):
        assert from_recipe(parse(name)).build(documents[:2]).search("aeroplane", 2).top()[0][0] in ("d0", "d1")


def test_counts_of_other_vectors_are_noticed(documents, tmp_path):
    from vicino import artifacts

    made = from_recipe(parse("lsa:lda")).build(documents)
    folder = made.save(tmp_path / "saved")
    saved = artifacts.read(folder)
    arrays = {"mean": saved.arrays["mean"][:-1], "second": saved.arrays["second"][:-1, :-1].copy()}
    artifacts.write(folder, kind="retriever", data=saved.data, arrays=arrays, parts={"part-0": made.inner.save})
    with pytest.raises(ArtifactCorrupt, match="other vectors"):
        load(folder)


def test_it_may_be_put_over_what_was_built(documents):
    dense = Dense(encoder="lsa").build(documents)
    made = ExemplarLDA.of_built([dense], documents)
    assert made.search(QUERY).ids.tolist() == from_recipe(parse("lsa:lda")).build(documents).search(QUERY).ids.tolist()
    assert made.nbytes > dense.nbytes
