"""Tiny checkpoints of several architectures, with tiny tokenizers, made on the spot: random weights, real formats."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from vicino.encoders import ENCODERS

WORDS = (
    "near far the a of to wings lift an aeroplane because air above them flows faster tea water boiling minutes query passage "
    "embedding best for my text bread dough violin cello which is what map world good every leaves something out"
)

PHRASES = [
    "near",
    "Wings lift an aeroplane because the air above them flows faster.",
    "Which embedding is best for my text?",
    "  tea  water \n\t near  ",
    "Straße naïve 東京都 Ελλάδα 🦜 e\u0301 \u202e …!?",
    "CELLO Violin cello",
    "a map of the world " * 40,
]


@pytest.fixture(scope="session")
def phrases() -> list[str]:
    """Texts that differ in length, script and tidiness; the last is longer than the tiny networks read."""
    return list(PHRASES)


@pytest.fixture(scope="session")
def sentence_transformers(wanted) -> Any:
    """The peer that vectors must equal."""
    wanted("sentence_transformers")
    import sentence_transformers

    return sentence_transformers


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory, need) -> Callable[..., Path]:
    """`checkpoint(family, **tokenizer_settings)`: the folder of a plain tiny checkpoint, made once."""
    need(ENCODERS.entry("transformer"))
    made: dict[str, Path] = {}

    def make(family: str, **settings: Any) -> Path:
        key = json.dumps([family, settings], sort_keys=True)
        if key not in made:
            made[key] = _save(family, settings, tmp_path_factory.mktemp(family.replace(" ", "_")))
        return made[key]

    return make


@pytest.fixture(scope="session")
def image_model(tmp_path_factory, need) -> Path:
    """The folder of a tiny network of images of 16 pixels to a side, with random weights."""
    need(ENCODERS.entry("image"))
    import torch

    from vicino.encoders.images import ImageEncoder
    from vicino.encoders.images.network import make_backbone

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        backbone = make_backbone("small", size=16, channels=3, width=48)
    return ImageEncoder.of_network(backbone).save(tmp_path_factory.mktemp("images") / "small")


@pytest.fixture
def sentence_folder(checkpoint, tmp_path) -> Callable[..., Path]:
    """`sentence_folder(family, pooling, ...)`: the same with modules.json beside it, in the old format."""
    import shutil

    def make(
        family: str, pooling: dict[str, Any], *, text: Any = None, whole: Any = None, normalize: bool = False, **settings: Any
    ) -> Path:
        folder = tmp_path / f"model-{len(list(tmp_path.iterdir()))}"
        shutil.copytree(checkpoint(family, **settings), folder)
        kinds = ["Transformer", "Pooling", *(["Normalize"] if normalize else [])]
        modules = [
            {"idx": n, "name": str(n), "path": f"{n}_{kind}" if n else "", "type": f"sentence_transformers.models.{kind}"}
            for n, kind in enumerate(kinds)
        ]
        write(folder / "modules.json", modules)
        write(folder / "1_Pooling" / "config.json", {"word_embedding_dimension": 32, **pooling})
        write(folder / "sentence_bert_config.json", text or {"max_seq_length": 24, "do_lower_case": False})
        write(folder / "config_sentence_transformers.json", whole or {})
        return folder

    return make


@pytest.fixture(scope="session")
def router(checkpoint, tmp_path_factory) -> Callable[..., Path]:
    """`router(query, document, ...)`: a folder of two networks laid out as sentence-transformers does it; where both are of one
    family their weights differ by a little. `after` are module kinds that follow the Router, `parameters` the Router's own."""
    import shutil

    import numpy as np
    from safetensors.numpy import load_file, save_file

    def make(
        query: str = "bert",
        document: str = "bert",
        *,
        after: tuple[str, ...] = (),
        whole: Any = None,
        limits: tuple[int, int] = (24, 24),
        seed: int = 0,
        **parameters: Any,
    ) -> Path:
        folder = tmp_path_factory.mktemp("router") / "model"
        types, structure = {}, {}
        for route, family, limit in zip(("query", "document"), (query, document), limits, strict=True):
            names = [f"{route}_0_Transformer", f"{route}_1_Pooling"]
            shutil.copytree(checkpoint(family), folder / names[0])
            write(folder / names[0] / "sentence_bert_config.json", {"max_seq_length": limit})
            write(folder / names[1] / "config.json", {"word_embedding_dimension": 32, "pooling_mode_mean_tokens": True})
            types |= {name: f"sentence_transformers.models.{name.rpartition('_')[2]}" for name in names}
            structure[route] = names
        file, random = folder / "query_0_Transformer" / "model.safetensors", np.random.default_rng(seed)
        moved = {name: each + random.normal(0, 0.001, each.shape).astype(each.dtype) for name, each in load_file(file).items()}
        save_file(moved, file, metadata={"format": "pt"})
        given = {"default_route": "document", "allow_empty_key": True, **parameters}
        write(folder / "router_config.json", {"types": types, "structure": structure, "parameters": given})
        kinds = ["Router", *after]
        modules = [
            {"idx": n, "name": str(n), "path": f"{n}_{kind}" if n else "", "type": f"sentence_transformers.models.{kind}"}
            for n, kind in enumerate(kinds)
        ]
        write(folder / "modules.json", modules)
        write(folder / "config_sentence_transformers.json", whole or {})
        return folder

    return make


def write(file: Path, content: Any) -> None:
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(content), encoding="utf-8")


def _save(family: str, settings: dict[str, Any], folder: Path) -> Path:
    import torch
    import transformers
    from transformers.utils import logging

    tokenizer = _tokenizer(family, settings)
    ids = {f"{name}_token_id": getattr(tokenizer, f"{name}_token_id") for name in ("pad", "bos", "eos")}
    torch.manual_seed(0)
    network = _NETWORKS[family](transformers, len(tokenizer), ids)
    for name, weights in network.named_parameters():  # larger than usual, so that attention attends
        if weights.dim() > 1:
            torch.nn.init.normal_(weights, std=0.25)
        elif "bias" in name:
            torch.nn.init.normal_(weights, std=0.1)
    bars = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    network.eval().save_pretrained(folder)
    if bars:
        logging.enable_progress_bar()
    tokenizer.save_pretrained(folder)
    return folder


def _bertlike(kind: str, transformers: Any, vocabulary: int, ids: dict[str, Any], **more: Any) -> Any:
    config = getattr(transformers, f"{kind}Config")(
        vocab_size=vocabulary,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=48,
        max_position_embeddings=50,
        **{key: value for key, value in ids.items() if value is not None},
        **more,
    )
    return getattr(transformers, f"{kind}Model")(config)


def _distilbert(transformers: Any, vocabulary: int, ids: dict[str, Any]) -> Any:
    config = transformers.DistilBertConfig(
        vocab_size=vocabulary,
        dim=32,
        n_layers=2,
        n_heads=4,
        hidden_dim=48,
        max_position_embeddings=50,
        pad_token_id=ids["pad_token_id"],
    )
    return transformers.DistilBertModel(config)


def _t5(transformers: Any, vocabulary: int, ids: dict[str, Any], *, gated: bool = False) -> Any:
    config = transformers.T5Config(
        vocab_size=vocabulary,
        d_model=32,
        d_kv=8,
        num_heads=4,
        d_ff=48,
        num_layers=2,
        feed_forward_proj="gated-gelu" if gated else "relu",
        pad_token_id=ids["pad_token_id"],
        eos_token_id=ids["eos_token_id"],
        decoder_start_token_id=ids["pad_token_id"],
    )
    return transformers.T5Model(config)  # with a decoder, as checkpoints come: only the encoder is to be used


def _gpt2(transformers: Any, vocabulary: int, ids: dict[str, Any]) -> Any:
    config = transformers.GPT2Config(vocab_size=vocabulary, n_embd=32, n_layer=2, n_head=4, n_positions=50, **ids)
    return transformers.GPT2Model(config)


_NETWORKS: dict[str, Callable[..., Any]] = {
    "bert": partial(_bertlike, "Bert"),
    "relu bert": partial(_bertlike, "Bert", hidden_act="relu"),
    "roberta": partial(_bertlike, "Roberta"),
    "xlm-roberta": partial(_bertlike, "XLMRoberta"),
    "mpnet": partial(_bertlike, "MPNet"),
    "modernbert": partial(_bertlike, "ModernBert", local_attention=8, global_attn_every_n_layers=2),
    "distilbert": _distilbert,
    "t5": _t5,
    "gated t5": partial(_t5, gated=True),
    "gpt2": _gpt2,
    "qwen2": partial(_bertlike, "Qwen2", num_key_value_heads=2),
    "llama": partial(_bertlike, "Llama", num_key_value_heads=4),
    "mistral": partial(_bertlike, "Mistral", num_key_value_heads=2, sliding_window=6),
}
_BYTES = ("roberta", "gpt2", "qwen2", "llama", "mistral", "modernbert")
_UNIGRAM = ("xlm-roberta", "t5", "gated t5")


def _tokenizer(family: str, settings: dict[str, Any]) -> Any:
    """WordPiece for BERT and its kin, byte-level BPE for decoders, Unigram for T5 and XLM-R."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    # Trainers of WordPiece and Unigram number pieces in another order each time, and with it the weights of the table: the luck
    # of a run. So their vocabularies are written down; a byte-level BPE comes out the same.
    cased = settings.pop("cased", False)
    text = "\n".join([WORDS, *PHRASES])
    letters = sorted(set(text if cased else text.lower()) - {" ", "\n", "\t"})
    words = list(dict.fromkeys((WORDS if cased else WORDS.lower()).split()))
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    if family in _BYTES:
        own = Tokenizer(models.BPE())
        own.pre_tokenizer, own.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        trainer = trainers.BpeTrainer(vocab_size=400, special_tokens=special, initial_alphabet=alphabet, show_progress=False)
        own.train_from_iterator([WORDS, *PHRASES] * 3, trainer)
        template = "<s> $A </s>" if family in ("roberta", "modernbert") else "$A </s>" if family == "qwen2" else None
    elif family in _UNIGRAM:
        whole = [f"▁{word}" for word in words]
        scores = dict.fromkeys(special, 0.0) | dict.fromkeys(["▁", *letters], -8.0) | dict.fromkeys(whole, -4.0)
        own = Tokenizer(models.Unigram(list(scores.items()), unk_id=special.index("<unk>")))
        own.pre_tokenizer = pre_tokenizers.Metaspace()
        own.add_special_tokens(special)
        template = "$A </s>" if "t5" in family else "<s> $A </s>"
    else:
        special = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]"]
        pieces = dict.fromkeys([*special, *letters, *(f"##{letter}" for letter in letters), *words])
        own = Tokenizer(models.WordPiece({piece: number for number, piece in enumerate(pieces)}, unk_token="[UNK]"))
        own.normalizer = normalizers.BertNormalizer(lowercase=not cased)
        own.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        own.add_special_tokens(special)
        template = "[CLS] $A [SEP]"
    if template:
        own.post_processor = processors.TemplateProcessing(
            single=template, special_tokens=[(token, own.token_to_id(token)) for token in special if token in template]
        )
    named = (
        {"pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]", "unk_token": "[UNK]", "mask_token": "[MASK]"}
        if special[0] == "[PAD]"
        else {"bos_token": "<s>", "pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
    )
    return PreTrainedTokenizerFast(tokenizer_object=own, **named, **settings)
