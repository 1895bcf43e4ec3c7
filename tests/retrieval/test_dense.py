"""Dense retrieval: one space, the encoder taught by the documents, and a model that moved noticed."""

from __future__ import annotations

import numpy as np
import pytest

from vicino import artifacts, encoders, retrieval
from vicino.data.records import Document, Recipe
from vicino.encoders import ENCODERS
from vicino.errors import ArtifactCorrupt, InputError, SpaceMismatch, UnknownName
from vicino.retrieval import from_recipe
from vicino.retrieval.dense import Dense


@pytest.mark.parametrize("encoder", ["tfidf", "lsa"])
def test_scores_are_those_of_the_encoder(encoder, documents, texts):
    hits = Dense(encoder=encoder).build(documents).search("black tea", k=12)
    made = encoders.make(encoder).fit(documents)
    vectors, query = made.encode(texts), made.encode("black tea")
    vectors, query = (each.toarray() if made.sparse else each for each in (vectors, query))
    scores = (vectors @ query.reshape(-1)).ravel()
    best = np.argsort(-scores, kind="stable")
    np.testing.assert_allclose(hits.scores[0], scores[best], atol=1e-5)
    assert hits.ids[0, :2].tolist() == [f"d{row}" for row in best[:2]]


def test_encoder_and_index_take_their_parameters(documents):
    retriever = Dense(encoder="lsa", encoder_params={"n_components": 3}).build(documents)
    assert retriever.encoder_.dim == 3
    assert retriever.index_.dim_ == 3
    assert retriever.recipe.params["encoder_params"] == retriever.encoder_.get_params()
    assert from_recipe(retriever.recipe).recipe == retriever.recipe


def test_a_changed_parameter_opens_another_encoder(documents):
    retriever = Dense(encoder="lsa").build(documents)
    retriever.set_params(encoder="tfidf").build(documents)
    assert retriever.encoder_.family == "tfidf"
    assert retriever.recipe.params["encoder"] == "tfidf"


def test_other_documents_teach_the_encoder_anew(documents):
    retriever = Dense(encoder="lsa").build(documents[:4]).build(documents)
    assert retriever.encoder_.space == encoders.make("lsa").fit(documents).space


def test_warming_up_does_not_depend_on_the_parameters():
    Dense(encoder="lsa", encoder_params={"min_count": 50}).warm_up()


def test_baselines_are_called_simple():
    assert Dense(encoder="tfidf").simple
    assert Dense(encoder="lsa").simple


@pytest.mark.parametrize(
    ("params", "error"),
    [
        ({"encoder": "lsaa"}, UnknownName),
        ({"encoder": "lsa", "index": "exat"}, UnknownName),
        ({"encoder": "lsa", "index_params": {"mm": 8}}, UnknownName),
        ({"encoder": "lsa", "index_params": {"similarity": "maxsim"}}, InputError),
        ({"encoder": "tfidf", "index": "hnsw"}, InputError),
    ],
)
def test_what_does_not_exist_or_fit_is_named(params, error, documents):
    with pytest.raises(error):
        Dense(**params).build(documents)


def test_an_answer_says_its_score_and_how_rare_it_is(documents):
    hits = Dense(encoder="tfidf").build(documents).search("black tea steeps in boiling water", k=12, explain=True)
    first, last = hits.why[0][0], hits.why[0][-1]
    assert first["part"] == "tfidf"
    assert first["cosine"] == pytest.approx(hits.scores[0, 0])
    assert first["percentile"] == pytest.approx(100 * 11 / 12, abs=0.01)  # eleven of twelve score lower
    assert last["percentile"] == 0


def test_a_swapped_encoder_is_noticed(documents, texts, tmp_path):
    folder = Dense(encoder="lsa").build(documents).save(tmp_path / "saved")
    encoders.make("lsa").fit(texts[:5]).save(folder / "encoder")
    with pytest.raises(ArtifactCorrupt, match="its part encoder"):
        retrieval.load(folder)


def test_an_encoder_of_another_space_is_refused_even_where_the_folder_is_sound(documents, texts, tmp_path):
    retriever = Dense(encoder="lsa").build(documents)
    retriever.encoder_ = encoders.make("lsa").fit(texts[:5])
    with pytest.raises(SpaceMismatch, match="cannot search"):
        retriever.search("tea")
    folder = retriever.save(tmp_path / "saved")
    with pytest.raises(SpaceMismatch, match="cannot open this retriever"):
        retrieval.load(folder)


def test_a_model_that_moved_under_the_same_name_is_noticed(documents, tmp_path):
    folder = Dense(encoder="lsa").build(documents).save(tmp_path / "saved")
    saved = artifacts.read(folder)
    parts = {
        "encoder": encoders.load(folder / "encoder").save,
        "index": retrieval.load(folder).index_.save,
    }
    canaries = {"canaries": saved.arrays["canaries"][::-1].copy()}
    artifacts.write(folder, kind="retriever", data=saved.data, arrays=canaries, parts=parts)
    with pytest.raises(SpaceMismatch, match="no longer gives the vectors"):
        retrieval.load(folder)


@pytest.mark.parametrize("encoder", ["tfidf", "lsa"])
def test_documents_without_words_do_not_sound_the_alarm(encoder, tmp_path):
    documents = [Document("empty", ""), Document("a", "tea and water"), Document("b", "bread and tea")]
    folder = Dense(encoder=encoder).build(documents).save(tmp_path / "saved")
    assert retrieval.load(folder).search("water", k=1).top()[0][0] == "a"


def test_a_pretrained_model_is_opened_not_taught(need, documents, tmp_path):
    need(ENCODERS.entry("minilm"))
    retriever = Dense().build(documents)
    assert retriever.recipe == from_recipe(Recipe("dense")).recipe
    assert retriever.search("string instruments", k=4).ids[0, 0] in ("d7", "d8", "d11")  # no word in common
    assert retriever.truncation(documents).items_cut == 0
    assert not retriever.simple
    opened = retrieval.load(retriever.save(tmp_path / "saved"))
    assert opened.identity() == retriever.identity() == Dense().identity()
    assert opened.search("string instruments").ids.tolist() == retriever.search("string instruments").ids.tolist()


def test_a_file_that_changed_under_the_same_name_is_another_identity(texts, tmp_path):
    folder = str(encoders.make("lsa").fit(texts).save(tmp_path / "lsa"))
    before = from_recipe(Recipe("dense", {"encoder": folder})).identity()
    assert from_recipe(Recipe("dense", {"encoder": folder})).identity() == before
    encoders.make("lsa").fit(texts[:5]).save(folder)
    assert from_recipe(Recipe("dense", {"encoder": folder})).identity() != before


def test_a_baseline_is_simple_as_it_is():
    assert not Dense(encoder="lsa", index="int8").simple
