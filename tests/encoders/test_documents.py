"""Doc2Vec: what is a document, what a new one becomes, what words know, and what is kept."""

from __future__ import annotations

import logging
import lzma

import numpy as np
import pytest

from vicino import artifacts, encoders, workbench
from vicino.data.corpus import read_corpus
from vicino.data.records import Document
from vicino.encoders.documents import Doc2Vec
from vicino.errors import ArtifactCorrupt, EmptyInput, InputError, UnknownName, UnreadableSource
from vicino.learning import documents_kernels as kernels
from vicino.learning import draw_kernels

# Two subjects that share no word but "the".
KITCHEN, SKY = ("tea", "coffee", "milk", "sugar", "cup"), ("kite", "plane", "wing", "cloud", "wind")
WAYS = {
    "bag": {},
    "bag and words": {"dbow_words": 1},
    "mean": {"dm": 1},
    "sum": {"dm": 1, "dm_mean": 0},
    "concat": {"dm": 1, "dm_concat": 1},
    "tree": {"hs": 1, "negative": 0},
}


def documents() -> list[str]:
    random = np.random.default_rng(0)
    return [" ".join(["the", *random.choice(subject, 7)]) for _ in range(100) for subject in (KITCHEN, SKY)]


def fitted(**params) -> Doc2Vec:
    return Doc2Vec(**{"vector_size": 20, "epochs": 30, "alpha": 0.05, "window": 2, **params}).fit(documents())


@pytest.fixture(scope="module")
def model() -> Doc2Vec:
    """Fitted; only for looking."""
    return fitted()


# What is a document ---------------------------------------------------------------------------------------------------


def test_every_source_gives_the_same_vectors(model, tmp_path):
    path, packed = tmp_path / "text.txt", tmp_path / "text.xz"
    path.write_text("\n".join(documents()), encoding="utf-8")
    packed.write_bytes(lzma.compress(path.read_bytes()))
    read_corpus(path, folder=tmp_path / "corpus")
    sources = [
        *(path, str(packed), tmp_path / "corpus", read_corpus(path)),
        iter(documents()),
        [Document(str(number), text.replace(" ", "\n")) for number, text in enumerate(documents())],
        [text.split() for text in documents()],
    ]
    for source in sources:
        again = model.clone().fit(source)
        assert again.space == model.space
        np.testing.assert_array_equal(again.document_vectors_, model.document_vectors_)


def test_the_documents_of_a_folder_are_its_files_and_rows(tmp_path):
    (tmp_path / "a.txt").write_text("tea\n\ncoffee\n")
    (tmp_path / "b.jsonl").write_text('{"text": "a kite\\na plane"}\n{"text": "a cloud"}\n')
    assert Doc2Vec(vector_size=4, epochs=1).fit(tmp_path).document_vectors_.shape == (3, 4)


def test_documents_keep_their_rows_and_those_without_words_are_zero(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"tea tea\n\nonce \xff\r\ntea")
    for source in (["tea tea", "", "once", "tea"], tmp_path / "a.txt"):
        found = Doc2Vec(vector_size=4, epochs=2, min_count=2).fit(source).document_vectors_
        assert found.any(axis=1).tolist() == [True, False, False, True]


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    (tmp_path / "a.txt.xz").write_bytes(lzma.compress(b"tea " * 9999)[:60])
    for name in ("a.txt.xz", "none.txt"):
        with pytest.raises(UnreadableSource, match=name):
            Doc2Vec().fit(tmp_path / name)


def test_no_line_of_a_file_is_held_whole(tmp_path, monkeypatch):
    (tmp_path / "a.txt").write_text("tea cup tea cup\nmilk\n")
    monkeypatch.setattr("vicino.encoders.documents.MAX_CHARACTERS", 8)
    corpus = Doc2Vec()._corpus(tmp_path / "a.txt")
    assert [[corpus.vocabulary.terms[word] for word in corpus[row]] for row in range(len(corpus))] == [
        *([["tea", "cup"]] * 2),
        ["milk"],
    ]


def test_a_long_document_is_not_cut():
    long = ["tea", "cup"] * 20_000
    assert len(Doc2Vec()._corpus([long])) == 1


@pytest.mark.parametrize(
    ("source", "error"), [([], EmptyInput), (["…"], EmptyInput), (5, InputError), ([5], InputError)], ids=str
)
def test_what_cannot_be_learnt_from_is_named(source, error):
    with pytest.raises(error):
        Doc2Vec().fit(source)


@pytest.mark.parametrize("params", [{"vector_size": 0}, {"window": 0}, {"negative": 0}, {"epochs": 0}, {"threads": 0}], ids=str)
def test_parameters_that_cannot_be_are_named(params):
    with pytest.raises(InputError):
        Doc2Vec(**params).fit(["a b"])


def test_small_corpora_are_read_more_often():
    assert [Doc2Vec()._recipe(words).epochs for words in (100, 2_000_000, 26_000_000)] == [1000, 20, 10]


# New documents --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
def test_a_new_document_is_near_those_of_its_subject(way):
    model = fitted(**WAYS[way])
    new = model.encode(["tea and milk and sugar in a cup", "the wind in a cloud, a kite, a plane"], normalize_embeddings=True)
    known = model.encode(documents(), normalize_embeddings=True)
    cosines = new @ known.T
    right = cosines[0, ::2].mean() + cosines[1, 1::2].mean()
    wrong = cosines[0, 1::2].mean() + cosines[1, ::2].mean()
    assert right > wrong + 0.1
    opened = model.document_vectors_
    assert opened.shape == (200, 20)
    assert (opened.any(axis=1)).all()


@pytest.mark.parametrize("way", WAYS)
def test_a_new_document_depends_on_nothing_beside_it(way):
    model = fitted(epochs=2, **WAYS[way])
    texts = documents()[:50]
    found = model.encode(texts)
    np.testing.assert_array_equal(model.encode(texts[::-1])[::-1], found)
    np.testing.assert_array_equal(model.encode(texts[3]), found[3])
    np.testing.assert_array_equal(model.infer_vector(texts[3]), found[3])
    np.testing.assert_array_equal(model.infer_vectors([text.split() for text in texts]), found)
    model.threads = 3
    np.testing.assert_array_equal(model.encode(texts), found)


def test_unknown_words_change_nothing_and_a_text_without_known_ones_is_zero(model):
    np.testing.assert_array_equal(model.encode("tea, beer; MILK!"), model.encode("tea milk"))
    assert not model.encode(["", "beer", "…"]).any()
    assert not model.infer_vector([]).any()
    assert model.infer_vectors([]).shape == (0, 20)


def test_epochs_and_rate_of_a_new_document(model):
    same = model.infer_vector("tea milk", epochs=30, alpha=0.05)
    np.testing.assert_array_equal(same, model.encode("tea milk"))
    more = model.infer_vector("tea milk", epochs=100)
    assert np.linalg.norm(more) > np.linalg.norm(same)
    assert np.linalg.norm(model.infer_vector("tea milk", alpha=0.01)) < np.linalg.norm(same)
    for wrong in ({"epochs": 0}, {"alpha": -1}):
        with pytest.raises(InputError):
            model.infer_vector("tea milk", **wrong)
    for wrong in (5, None, b"tea", ["tea", ["milk"]], ["tea", None], ["tea", 5]):
        with pytest.raises(InputError):
            model.infer_vector(wrong)


@pytest.mark.parametrize("way", ["bag", "mean", "tree"])
def test_a_second_text_makes_nothing_that_is_as_large_as_the_vocabulary(way, monkeypatch):
    model, made = fitted(epochs=2, **WAYS[way]), []
    first = model.encode("tea milk")
    monkeypatch.setattr(draw_kernels, "alias_table", made.append)
    monkeypatch.setattr(draw_kernels, "huffman", made.append)
    np.testing.assert_array_equal(model.encode("tea milk"), first)
    assert not made


@pytest.mark.parametrize(("way", "epochs"), [("bag", 100), ("mean", 120)])
def test_a_new_document_is_not_read_as_often_as_a_small_corpus(way, epochs):
    model = fitted(epochs=120, **WAYS[way])
    np.testing.assert_array_equal(model.encode("tea milk"), model.infer_vector("tea milk", epochs=epochs))
    assert (model.infer_vector("tea milk", epochs=epochs + 1) != model.encode("tea milk")).any()


# Words ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["bag", "bag and words", "mean"])
def test_words_of_a_subject_are_near(way):
    model = fitted(**WAYS[way])
    inside = [model.word_similarity("tea", word) for word in KITCHEN[1:]]
    assert min(inside) > max(model.word_similarity("tea", word) for word in SKY)
    assert {word for word, _ in model.most_similar("tea", topn=5)} <= {*KITCHEN, "the"}
    assert model["tea"].shape == (20,)
    with pytest.raises(UnknownName, match="coffee"):
        model["coffe"]


def test_where_words_have_no_vector_it_is_said():
    with pytest.raises(InputError, match="dbow_words=1"):
        fitted(epochs=1, **WAYS["tree"]).most_similar("tea")


# Kept -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
def test_a_saved_model_is_the_same_to_the_bit(way, tmp_path):
    model = fitted(epochs=None if way == "bag" else 3, **WAYS[way])
    opened = encoders.load(model.save(tmp_path / "model"))
    assert opened.recipe_ == model.recipe_
    assert opened.space == model.space
    for name in ("vectors_", "contexts_", "document_vectors_", "counts_"):
        np.testing.assert_array_equal(getattr(opened, name), getattr(model, name), strict=True)
    np.testing.assert_array_equal(opened.encode(documents()[:9]), model.encode(documents()[:9]))


@pytest.mark.parametrize("way", WAYS)
def test_a_folder_whose_arrays_do_not_belong_together_is_named(way, tmp_path):
    model = fitted(epochs=1, **WAYS[way])
    saved = artifacts.read(model.save(tmp_path / "model"))
    many = [f"t{number}" for number in range(9999)]
    for changes in (
        {"terms": many, "counts": np.ones(9999, np.int64)},
        {"terms": many},
        {"counts": model.counts_[:1]},
        {"counts": model.counts_[:0]},
        {"contexts": model.contexts_[:1]},
        {"contexts": np.ascontiguousarray(model.contexts_[:, :8])},
        {"documents": np.zeros((5, 8), np.float32)},
        {"epochs": np.zeros(2, np.int64)},
    ):
        arrays = {**saved.arrays, **changes}
        artifacts.write(saved.path, kind=saved.kind, data=saved.data, arrays=arrays)
        with pytest.raises(ArtifactCorrupt, match="do not belong to the rest"):
            encoders.load(saved.path)


def test_what_only_training_reads_is_not_of_the_space(model):
    assert fitted(threads=1, window=5).space == model.space


def test_what_was_interrupted_is_a_whole_model(monkeypatch, caplog):
    whole, calls = kernels.learn, []

    def learn(*arguments):
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return whole(*arguments)

    monkeypatch.setattr(kernels, "learn", learn)
    with caplog.at_level(logging.WARNING):
        model = fitted()
    assert (model.training_.ended, len(model.training_.losses)) == ("interrupted", 3)
    assert "epoch 3 is kept" in caplog.text
    assert model.encode("tea").any()


def test_it_is_trained_from_a_file_of_lines(tmp_path):
    (tmp_path / "text.txt").write_text("\n".join(documents()), encoding="utf-8")
    made = workbench.train(tmp_path / "text.txt", tmp_path / "model", family="doc2vec(vector_size=8)", epochs=2)
    assert made.document_vectors_.shape == (200, 8)
    assert workbench.neighbours(tmp_path / "model", "tea + milk", 3)
