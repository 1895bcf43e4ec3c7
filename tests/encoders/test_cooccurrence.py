"""GloVe and Swivel: what they are fitted on, what they report, and how they follow the text."""

from __future__ import annotations

import logging

import numpy as np
import pytest

from vicino import encoders, workbench
from vicino.data.corpus import read_corpus
from vicino.encoders.cooccurrence import GloVe, Swivel, without_common
from vicino.errors import EmptyInput, InputError, UnknownName
from vicino.learning import glove_kernels
from vicino.progress import listen

# Two subjects that share no word but "the"; words of one subject are used alike.
KITCHEN, SKY = ("tea", "coffee", "milk", "sugar", "cup"), ("kite", "plane", "wing", "cloud", "wind")

every_family = pytest.mark.parametrize("family", [GloVe, Swivel])


def sentences() -> list[str]:
    random = np.random.default_rng(0)
    return [" ".join(["the", *random.permutation(subject)[:4]]) for _ in range(150) for subject in (KITCHEN, SKY)]


@every_family
def test_words_used_alike_are_near(family):
    words = family(vector_size=20).fit(sentences())
    assert {word for word, _ in words.most_similar("tea", topn=4)} == set(KITCHEN) - {"tea"}
    assert words.doesnt_match(["tea", "coffee", "kite", "cup"]) == "kite"
    np.testing.assert_allclose(words.encode("Tea, tea! Beer; CUP"), (words["tea"] * 2 + words["cup"]) / 3, atol=1e-6)


@every_family
def test_every_source_and_any_threads_give_the_same_vectors(family, tmp_path):
    path = tmp_path / "text.txt"
    path.write_text("\n".join(sentences()), encoding="utf-8")
    words = family(vector_size=8, epochs=3).fit(sentences())
    for source in (path, read_corpus(path), [sentence.split() for sentence in sentences()]):
        assert words.clone().fit(source).space == words.space
    assert words.clone().set_params(threads=3, memory=1).fit(path).space == words.space


@every_family
def test_how_many_pairs_were_counted_is_told(family, monkeypatch, tmp_path):
    monkeypatch.setattr("vicino.progress._INTERVAL", 0)
    events = []
    with listen(events.append):
        words = family(vector_size=8, epochs=2).fit(["a b c", "b a"])
    assert words.nonzeros_ == 6  # each of three words beside both others
    assert any(event.label.startswith("learning words from 6 pairs, loss ") for event in events)
    assert (words.training_.ended, len(words.training_.losses)) == ("whole", 2)
    assert encoders.load(words.save(tmp_path / "words")).nonzeros_ == 6


@pytest.mark.parametrize("name", ["glove", "swivel"])
def test_the_command_line_trains_them_by_name(name, tmp_path):
    path = tmp_path / "text.txt"
    path.write_text("\n".join(sentences()), encoding="utf-8")
    words = workbench.train(path, tmp_path / "words", family=f"{name}(vector_size=20)", epochs=30)
    assert words.get_params()["epochs"] == 30
    assert workbench.neighbours(tmp_path / "words", "tea - kite", 1)[0][0] in KITCHEN


def test_small_texts_are_met_more_often():
    assert [GloVe()._recipe(pairs).epochs for pairs in (100, 1_000_000, 70_000_000)] == [1000, 100, 10]
    assert [Swivel()._recipe(groups).epochs for groups in (1, 10, 400)] == [200, 100, 3]


def test_few_words_are_weighed_by_where_they_stand():
    """In two texts flat counts are all 1, and their logarithms 0: nothing to learn."""
    texts = ["red wine and white wine", "black tea or green tea"]
    assert (
        GloVe(vector_size=4, epochs=2).fit(texts).space == GloVe(vector_size=4, epochs=2, weighting="harmonic").fit(texts).space
    )
    many = sentences() * 7
    given, flat, harmonic = (GloVe(vector_size=4, epochs=2, weighting=way).fit(many).space for way in (None, "flat", "harmonic"))
    assert given == flat != harmonic


def test_frequent_words_of_larger_texts_are_thinned_out():
    def space(texts, sample):
        return GloVe(vector_size=4, epochs=2, sample=sample).fit(texts).space

    few, many = sentences(), sentences() * 7
    assert space(few, None) == space(few, 0) != space(few, 1e-3)
    assert space(many, None) == space(many, 1e-3) != space(many, 0)
    with pytest.raises(EmptyInput, match="sample=0"):
        GloVe(sample=1e-12).fit(["a b", "b a"])
    pairs = [GloVe(vector_size=4, epochs=1, sample=sample).fit(many).nonzeros_ for sample in (0, 1e-5)]
    assert pairs[0] != pairs[1]


@every_family
def test_the_vector_is_of_the_word_alone_or_of_both(family):
    def vectors(**changes) -> np.ndarray:
        return family(vector_size=4, epochs=5, **{"components": 0, **changes}).fit(sentences()).vectors_

    both = vectors()
    assert (vectors(sum_contexts=False) != both).any()
    np.testing.assert_array_equal(vectors(components=1), without_common(both, 1))
    assert abs(vectors(components=1).mean(axis=0)).max() < 1e-6 < abs(both.mean(axis=0)).max()


@every_family
def test_as_many_components_as_dimensions_are_named_before_anything_is_counted(family, monkeypatch):
    monkeypatch.setattr("vicino.encoders.cooccurrence.cooccurrence", None)
    for components in (4, 9):
        with pytest.raises(InputError, match=f"components={components}"):
            family(vector_size=4, components=components).fit(sentences())
    with pytest.raises(InputError, match="components=2"):
        without_common(np.eye(2, dtype=np.float32), 2)


def test_few_vectors_keep_what_they_have_in_common():
    few = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
    np.testing.assert_array_equal(without_common(few, 2), few)
    np.testing.assert_array_equal(without_common(np.tile(few, (2, 1)), 0), np.tile(few, (2, 1)))


@every_family
@pytest.mark.parametrize("source", [[], ["…"], ["one", "word"]], ids=str)
def test_what_cannot_be_learnt_from_is_named(family, source):
    with pytest.raises(EmptyInput):
        family().fit(source)


@every_family
@pytest.mark.parametrize(
    "params",
    [
        {"vector_size": 0},
        {"vector_size": "x"},
        {"window": 0},
        {"window": 10**9},
        {"epochs": 0},
        {"memory": 0},
        {"components": -1},
        {"learning_rate": -1},
        {"threads": 0},
    ],
    ids=str,
)
def test_parameters_that_cannot_be_are_named(family, params):
    with pytest.raises(InputError):
        family(**params).fit(["a b"])


def test_other_parameters_that_cannot_be_are_named():
    with pytest.raises(UnknownName, match="harmonic"):
        GloVe(weighting="harmony").fit(["a b"])
    with pytest.raises(InputError, match="x_max=0"):
        GloVe(x_max=0).fit(["a b"])
    with pytest.raises(InputError, match=r"sample=-1(.|\n)*such as 0.001"):
        GloVe(sample=-1).fit(["a b"])
    with pytest.raises(InputError, match="tiles of 0 words"):
        Swivel(shard_size=0).fit(["a b"])
    with pytest.raises(InputError, match="learning_rate"):
        GloVe(learning_rate=1e30).fit(sentences())


def test_what_was_interrupted_is_a_whole_model(monkeypatch, caplog):
    whole, calls = glove_kernels.learn, []

    def learn(*arguments):
        calls.append(1)
        if len(calls) > 3 * 8:
            raise KeyboardInterrupt
        return whole(*arguments)

    monkeypatch.setattr(glove_kernels, "learn", learn)
    with caplog.at_level(logging.WARNING):
        model = GloVe(vector_size=8).fit(sentences())
    assert model.training_.ended == "interrupted"
    assert model.encode("tea").any()


@every_family
def test_others_read_what_is_exported(family, tmp_path):
    words = family(vector_size=8, epochs=2).fit(sentences())
    again = encoders.make("ready", path=str(words.export(tmp_path / "vectors.bin", "word2vec-binary")))
    np.testing.assert_allclose(again.encode("tea"), words.encode("tea"), atol=1e-6)
