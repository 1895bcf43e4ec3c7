"""Folders that earlier formats wrote still open and still answer as they did. See tests/fixtures/make.py."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import vicino
from vicino import artifacts, encoders, indexes, retrieval
from vicino.catalog import Entry
from vicino.data.records import Document, Recipe
from vicino.encoders import ENCODERS
from vicino.retrieval.ingest import Source, ingest
from vicino.retrieval.migrate import roll_back
from vicino.retrieval.stored import Stored
from vicino.spaces import Space
from vicino.store.collection import Collection
from vicino.training.classifier import TextClassifier

FIXTURES = Path(__file__).parent / "fixtures"
BFLOAT16 = 0.05  # a processor that multiplies it gives other last digits
FORMATS = sorted(FIXTURES.glob("format-*"))


@pytest.fixture(params=FORMATS, ids=lambda folder: folder.name)
def folder(request) -> Path:
    return request.param


@pytest.fixture
def expected(folder) -> dict:
    return json.loads((folder / "expected.json").read_text(encoding="utf-8"))


def test_there_are_folders_of_every_format_so_far():
    assert [folder.name for folder in FORMATS] == [f"format-{number}" for number in range(1, artifacts.FORMAT + 1)]


@pytest.mark.parametrize("name", ["tfidf", "lsa", "isotropic"])
def test_encoders_give_the_vectors_they_gave(folder, expected, name):
    encoder = encoders.load(folder / name)
    vectors = encoder.encode(expected["queries"])
    rows = vectors.toarray() if encoder.sparse else vectors
    np.testing.assert_allclose(rows, expected[name]["vectors"], atol=1e-6)
    assert encoder.space == Space.from_json(expected[name]["space"])


@pytest.mark.parametrize("name", ["static", "static-arrays"])
def test_static_vectors_are_what_they_were_however_they_were_saved(folder, expected, name, need):
    need(ENCODERS.entry("static"))
    encoder = encoders.load(folder / name)
    np.testing.assert_allclose(encoder.encode(expected["queries"]), expected["static"]["vectors"], atol=1e-6)
    assert encoder.space == Space.from_json(expected["static"]["space"])


@pytest.mark.parametrize("name", ["pixels", "eigenimages", "image"])
def test_encoders_of_images_give_the_vectors_they_gave(folder, expected, name, need):
    need(ENCODERS.entry(name))
    encoder = encoders.load(folder / name)
    vectors = encoder.encode(np.array(expected[name]["images"], dtype=np.uint8))
    np.testing.assert_allclose(vectors, expected[name]["vectors"], atol=0.05)  # another Pillow may round otherwise in resizing
    assert encoder.space == Space.from_json(expected[name]["space"])


def test_an_index_gives_the_neighbours_it_gave(folder, expected):
    index = indexes.load(folder / "exact")
    hits = index.search(index.vectors_, 2)
    for row, answers in enumerate(expected["exact"]):
        assert hits.top(row) == [(name, pytest.approx(score, abs=1e-6)) for name, score in answers]


@pytest.mark.parametrize("name", ["hnsw", "int8", "binary", "truncated"])
def test_approximate_indexes_give_the_neighbours_they_gave(folder, expected, name, need):
    need(indexes.INDEXES.entry(name))
    index = indexes.load(folder / name)
    hits = index.search(indexes.load(folder / "exact").vectors_, 2)
    for row, answers in enumerate(expected[name]):
        near = {found: score for found, score in hits.top(row) if score > 1e-3}  # those at right angles are all alike
        assert near == {found: pytest.approx(score, abs=1e-5) for found, score in answers if score > 1e-3}


def test_a_graph_is_walked_as_it_was(folder, expected, need):
    need(indexes.INDEXES.entry("hnsw-sq"))
    index = indexes.load(folder / "hnsw-sq")
    hits = index.search(indexes.load(folder / "exact").vectors_, 3)
    for row, answers in enumerate(expected["hnsw-sq"]):
        assert hits.top(row) == [(name, pytest.approx(score, abs=1e-5)) for name, score in answers]


@pytest.mark.parametrize("name", ["lexical", "dense", "fused", "cut", "exemplar-lda"])
def test_retrievers_give_the_answers_they_gave(folder, expected, name):
    retriever = retrieval.load(folder / name)
    assert retriever.recipe == Recipe.from_json(expected[name]["recipe"])
    hits = retriever.search(expected["queries"], 3)
    for row, answers in enumerate(expected[name]["answers"]):
        given = [pair for pair in hits.top(row) if pair[1] > 1e-3]
        assert given == [(found, pytest.approx(score, abs=1e-5)) for found, score in answers]


def test_a_classifier_tells_what_it_told(folder, expected):
    opened = TextClassifier.load(folder / "classifier")
    assert opened.classes == expected["classifier"]["classes"]
    np.testing.assert_allclose(opened.probabilities(expected["queries"]), expected["classifier"]["probabilities"], atol=1e-6)


def test_a_collection_gives_the_answers_it_gave(folder, expected, tmp_path, need):
    need(Entry("", "", "store"))
    shutil.copytree(folder / "collection", tmp_path / "collection")  # opening keeps indexes, writing adds versions
    opened = Collection.open(tmp_path, "collection")
    assert opened.store.stats().rows == expected["collection"]["rows"]
    search = Stored(opened)
    for query, answers in zip(expected["queries"], expected["collection"]["answers"], strict=False):
        for found, answer in zip(search.find(query, 2, where="year < 2000"), answers, strict=True):
            assert found.to_json() == {**answer, "score": pytest.approx(answer["score"], abs=1e-5)}
    again = ingest(tmp_path, "collection", Source("two", [Document("mine", "My own green tea.")]), tenant="me")
    assert (again.changed, again.total_documents) == (1, 5)


def test_a_collection_whose_model_changed_serves_as_it_did_and_goes_back(folder, expected, tmp_path, need):
    need(Entry("", "", "store"))
    shutil.copytree(folder / "migrated", tmp_path / "migrated")
    opened = Collection.open(tmp_path, "migrated")
    assert opened.note == expected["migrated"]["note"]
    for query, answers in zip(expected["queries"], expected["migrated"]["answers"], strict=False):
        for found, answer in zip(Stored(opened).find(query, 2), answers, strict=True):
            assert found.to_json() == {**answer, "score": pytest.approx(answer["score"], abs=1e-5)}
    ingest(tmp_path, "migrated", Source("two", [Document("mine", "My own green tea.")]))
    assert "1 passages written since" in roll_back(Collection.open(tmp_path, "migrated"))
    assert Collection.open(tmp_path, "migrated").note == "about"


def test_a_cross_encoder_gives_the_scores_it_gave(folder, expected, need):
    need(ENCODERS.entry("transformer"))
    pairs = [(query, "Black tea steeps for four minutes.") for query in expected["queries"]]
    scores = vicino.load(folder / "cross-encoder").predict(pairs, logits=True)
    np.testing.assert_allclose(scores, expected["cross-encoder"], atol=BFLOAT16)


def test_two_towers_give_the_vectors_they_gave(folder, expected, need):
    need(ENCODERS.entry("towers"))
    pair = encoders.load(folder / "towers")
    assert pair.space == Space.from_json(expected["towers"]["space"])
    for role in ("query", "document"):
        vectors = getattr(pair, f"encode_{role}")(expected["queries"])
        np.testing.assert_allclose(vectors, expected["towers"][role], atol=BFLOAT16)


def test_a_tagger_sees_the_entities_it_saw(folder, expected, need):
    need(ENCODERS.entry("transformer"))
    found = vicino.load(folder / "tagger").tag(expected["queries"])
    assert [[entity._asdict() for entity in each] for each in found] == expected["tagger"]


@pytest.mark.parametrize("name", ["popularity", "item-knn", "pure-svd", "ease", "als", "two-tower"])
def test_recommenders_find_what_they_found(folder, expected, name):
    found = vicino.load(folder / name).recommend([*"abcd"], 4, seen=True)
    for row, answers in enumerate(expected[name]):
        assert dict(found.top(row)) == {item: pytest.approx(score, abs=1e-5) for item, score in answers}


def test_the_folders_are_small(folder):
    assert artifacts.folder_bytes(folder) < 200_000
