"""Static vectors: what they are made of, that they need no network afterwards, and what they refuse."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from vicino import encoders
from vicino.encoders.static import Static
from vicino.encoders.transformer import Transformer
from vicino.errors import EmptyInput, InputError, UnreadableSource

TEXTS = ["wings lift an aeroplane", "tea and water", "the wings of the world", "lift the tea"]


@pytest.fixture(scope="module")
def model(checkpoint) -> str:
    return str(checkpoint("bert"))


@pytest.fixture(scope="module")
def fitted(model) -> Static:
    """Only for looking."""
    return Static(model=model, n_components=8).fit(TEXTS)


def test_a_token_s_vector_is_what_the_transformer_makes_of_it_alone(model):
    """By hand: encode words one by one, take principal components, weigh by SIF."""
    static = Static(model=model, n_components=32, weighting="none").fit(TEXTS)
    plain = Transformer(model=model, precision="float32")
    words = ["wings", "tea", "water", "world"]
    expected = plain.encode(words)
    ids = [static.tokens(word).ids.tolist() for word in words]
    assert all(len(each) == 1 for each in ids)
    found = static.vectors_[[each[0] for each in ids]]  # turned about the mean: distances stay
    distances = np.linalg.norm(expected[:, None] - expected[None], axis=2)
    np.testing.assert_allclose(np.linalg.norm(found[:, None] - found[None], axis=2), distances, rtol=0.05)


def test_weights_are_those_of_sif(model):
    plain, sif = (Static(model=model, n_components=8, weighting=each, a=0.05).fit(TEXTS) for each in ("none", "sif"))
    ids = np.concatenate([plain.tokens(text).ids for text in TEXTS])
    shares = np.bincount(ids, minlength=len(plain.vectors_)) / len(ids)
    np.testing.assert_allclose(sif.vectors_, plain.vectors_ * (0.05 / (0.05 + shares))[:, None], rtol=1e-4, atol=1e-6)


def test_a_text_is_the_sum_of_its_tokens_at_length_one(fitted):
    for text in TEXTS:
        summed = fitted.vectors_[fitted.tokens(text).ids].sum(axis=0)
        np.testing.assert_allclose(fitted.encode(text), summed / np.linalg.norm(summed), atol=1e-5)
    assert not fitted.encode("").any()


def test_components_are_the_leading_ones(model):
    few, many = (Static(model=model, n_components=n, weighting="none").fit(TEXTS).vectors_ for n in (4, 32))
    np.testing.assert_allclose(np.abs(few), np.abs(many[:, :4]), atol=1e-3)
    spread = many.std(axis=0)
    assert (np.diff(spread) <= 1e-4).all()
    assert many.shape[1] == 32 == Static(model=model, n_components=999).fit(TEXTS).dim


def test_what_was_kept_needs_neither_torch_nor_the_model(fitted, model, tmp_path, python):
    copy = tmp_path / "model"
    shutil.copytree(model, copy)
    Static(model=str(copy), n_components=8).fit(TEXTS).save(tmp_path / "static")
    shutil.rmtree(copy)
    program = """
import sys
from vicino import encoders
vectors = encoders.load(sys.argv[1]).encode(["wings lift", "tea"])
print(vectors.shape, "torch" in sys.modules, "transformers" in sys.modules)
"""
    assert python(program, tmp_path / "static").strip() == "(2, 8) False False"
    np.testing.assert_allclose(encoders.load(tmp_path / "static").encode(TEXTS), fitted.encode(TEXTS), atol=1e-6)


@pytest.mark.parametrize("params", [{"n_components": 0}, {"n_components": 2.5}, {"a": 0}, {"weighting": "idf"}], ids=str)
def test_parameters_that_cannot_be_are_named(model, params):
    with pytest.raises(InputError):
        Static(model=model, **params).fit(TEXTS)


def test_texts_without_tokens_are_named(model):
    with pytest.raises(EmptyInput, match="zipf"):
        Static(model=model).fit(["", " "])
    assert Static(model=model, weighting="zipf").fit([""]).dim == 32


def test_a_model_without_a_fast_tokenizer_is_named(model, tmp_path):
    copy = tmp_path / "model"
    shutil.copytree(model, copy)
    plain = json.loads((copy / "tokenizer.json").read_text())
    (copy / "tokenizer.json").write_text(json.dumps({**plain, "model": {"type": "nothing"}}))
    with pytest.raises(UnreadableSource):
        Static(model=str(copy)).fit(TEXTS)
