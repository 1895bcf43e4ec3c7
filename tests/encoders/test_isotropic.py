"""Isotropic: another encoder's vectors through the map that the doctor tries; what is kept of the inner encoder."""

from __future__ import annotations

import sys

import numpy as np
import pytest

import vicino
from vicino import encoders
from vicino.catalog import Entry, call, spell
from vicino.data.records import Document
from vicino.encoders import isotropic
from vicino.encoders.isotropic import Isotropic
from vicino.encoders.wrapped import Callable
from vicino.errors import EmptyInput, InputError, NotFitted, UnknownName
from vicino.learning.isotropy import CURES
from vicino.metrics.geometry import mean_cosine
from vicino.retrieval import from_recipe, parse
from vicino.vectors import normalise

MODEL = """
import zlib
import numpy as np

def _of(word, seed):
    return np.random.default_rng([seed, zlib.crc32(word.encode())]).normal(size=8) + 2

def embed(texts, seed=0):
    return [np.sum([_of(word, seed) for word in text.split()] or [np.zeros(8)], axis=0) for text in texts]

def ask(texts):
    return [2 * row + 1 for row in embed(texts)]
"""
NAME = "callable(function=cone_model:embed, query_function=cone_model:ask)"
THINGS = ("tea", "bread", "stone", "rain", "lamp")
TEXTS = [f"{shade} {thing} wine" for shade in ("red", "white", "black", "green") for thing in THINGS]


@pytest.fixture(autouse=True)
def cone(tmp_path, monkeypatch):
    """A module whose vectors all point one way."""
    (tmp_path / "cone_model.py").write_text(MODEL)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    sys.modules.pop("cone_model", None)


@pytest.mark.parametrize("cure", CURES)
def test_documents_and_queries_go_through_the_map_that_the_doctor_tries(cure):
    inner = encoders.make(NAME)
    documents, queries = inner.encode_document(TEXTS), inner.encode_query(TEXTS)
    learnt = CURES[cure](documents)
    even = Isotropic(encoder=NAME, cure=cure).fit(TEXTS)
    np.testing.assert_allclose(even.encode_document(TEXTS), normalise(learnt(documents)), atol=1e-3)
    np.testing.assert_allclose(even.encode_query(TEXTS), normalise(learnt(queries)), atol=1e-3)
    np.testing.assert_allclose(even.encode([Document("d", text) for text in TEXTS]), even.encode_document(TEXTS), atol=1e-5)
    assert not np.allclose(even.encode_query(TEXTS), even.encode_document(TEXTS), atol=0.1)
    assert mean_cosine(documents) > 0.5 > 0.1 > abs(mean_cosine(even.encode_document(TEXTS)))
    assert even.space != inner.space


def test_what_the_inner_encoder_knows_nothing_of_stays_zeros_under_the_cosine(monkeypatch):
    even = Isotropic(encoder=NAME, cure="centring").fit(TEXTS)
    assert even.similarity == "cosine"
    assert not even.encode("").any()
    monkeypatch.setattr(Callable, "similarity", "dot")  # lengths count: nothing is made a unit row
    loud = Isotropic(encoder=NAME, cure="centring").fit(TEXTS)
    assert loud.similarity == loud.space.similarity == "dot"
    assert loud.encode("").any()
    assert np.ptp(np.linalg.norm(loud.encode(TEXTS), axis=1)) > 0.1


def test_a_bounded_sample_teaches_block_by_block(monkeypatch):
    seen: list[int] = []
    encode = Callable.encode_document
    monkeypatch.setattr(Callable, "encode_document", lambda self, items: seen.append(len(items)) or encode(self, items))
    monkeypatch.setattr(isotropic, "_BLOCK", 6)
    whole = Isotropic(encoder=NAME, cure="centring").fit(TEXTS)
    assert seen == [6, 6, 6, 2]
    np.testing.assert_allclose(whole.map_.mean, encode(whole.inner, TEXTS).mean(axis=0), atol=1e-5)
    seen.clear()
    monkeypatch.setattr(isotropic, "_SAMPLE", 9)
    some = Isotropic(encoder=NAME, cure="centring").fit(TEXTS)
    assert seen == [6, 3]
    assert some.space != whole.space
    assert Isotropic(encoder=NAME, cure="centring").fit(iter(TEXTS)).space == some.space


def test_a_trained_folder_is_taken_as_it_is_and_by_its_full_path(tmp_path, monkeypatch):
    other = ["tea from stone", "bread and rain", "lamp and wine and bread", "green stone"]
    trained = encoders.make("lsa(n_components=3)").fit(other).save(tmp_path / "trained")
    monkeypatch.chdir(tmp_path)
    even = encoders.make("isotropic(encoder=trained,cure=centring)")
    assert even.encoder == str(trained)
    assert even.foundation == encoders.load(trained).space.id
    even.fit(TEXTS)
    assert even.inner.space == encoders.load(trained).space  # it learnt nothing new
    assert encoders.make("isotropic(encoder=lsa)").foundation == ""
    opened = vicino.load(even.save(tmp_path / "even"))
    assert opened.space == even.space
    assert parse("isotropic(encoder=trained)").params["encoder_params"] == {"encoder": "trained"}
    before = from_recipe(parse(f"isotropic(encoder={trained})")).identity()
    encoders.make("lsa(n_components=2)").fit(other).save(trained)
    assert from_recipe(parse(f"isotropic(encoder={trained})")).identity() != before  # another model under the same name


def test_it_is_a_candidate(tmp_path):
    name = f"isotropic(encoder={NAME}, cure=whitening)"
    retriever = from_recipe(parse(name))
    retriever.warm_up()
    with pytest.raises(NotFitted):  # what warms up leaves nothing behind
        _ = retriever.encoder_.space
    found = retriever.build([Document(text, text) for text in TEXTS])
    assert found.search([TEXTS[7]], 1).ids[0, 0] == TEXTS[7]
    assert call(spell(*call(name))) == call(name)
    again = vicino.load(found.save(tmp_path / "retriever"))
    assert again.search([TEXTS[7]], 1).ids[0, 0] == TEXTS[7]


def test_what_warms_up_needs_no_other_model(need):
    need(Entry("vicino.encoders.counts:LSA", ""))
    warm = encoders.make("isotropic(encoder=lsa(min_count=2))").sketch()
    assert warm.fit_whole(["one two", "two three"]).inner.family == "lsa"
    assert encoders.make(f"isotropic(encoder={NAME})").sketch().inner.function == "cone_model:embed"


def test_a_folder_from_elsewhere_runs_no_function(tmp_path):
    with pytest.raises(InputError, match="nobody_vouched"):
        encoders.make("isotropic(encoder=callable(function=nobody_vouched:embed))")._require_trust(tmp_path)


@pytest.mark.parametrize(
    ("params", "data", "error", "match"),
    [
        ({"encoder": "tfidf"}, TEXTS, InputError, "tfidf"),
        ({"encoder": NAME, "cure": "whitning"}, TEXTS, UnknownName, "whitening"),
        ({"encoder": "minilmm"}, TEXTS, UnknownName, "minilm"),
        ({"encoder": NAME}, ["tea", "tea", "tea"], EmptyInput, "all the same"),
        ({"encoder": NAME}, ["tea"], EmptyInput, "all the same"),
        ({"encoder": NAME}, [], EmptyInput, "nothing to learn"),
    ],
)
def test_what_cannot_be_is_named(params, data, error, match):
    with pytest.raises(error, match=match):
        Isotropic(**params).fit(data)
