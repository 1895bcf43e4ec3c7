"""What a cross-encoder's folder says, read without torch, and writing one.

The format is that of transformers' sequence classification with one label, which sentence-transformers' `CrossEncoder` reads and
writes: the network at the root, and in `config.json` what follows the label ("activation_fn"); since its version 5.4 that stands
in `config_sentence_transformers.json`, beside a `modules.json` of one Transformer.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from vicino.encoders.transformer.folder import VOCABULARY, ModelFolder, read_folder
from vicino.encoders.transformer.modules import making_sense, read_json
from vicino.errors import UnknownName, UnreadableSource

__all__ = ["ACTIVATIONS", "PairFolder", "copy_weights", "is_cross_encoder", "read_pair_folder", "write_pair_folder"]

# From a logit to the score that the folder promises, by the last part of the class's name.
ACTIVATIONS = ("Identity", "Sigmoid", "Tanh")
_PATHS = {"Identity": "torch.nn.modules.linear.Identity"}  # the others are in torch.nn.modules.activation
_OLD = "sbert_ce_default_activation_function"  # where sentence-transformers kept it before version 4
_ABOUT = ("sentence_transformers", _OLD)
_MEND = "choose a cross-encoder of one label, such as cross-encoder/ms-marco-MiniLM-L6-v2, or train one: vicino train reranker"


@dataclass(frozen=True)
class PairFolder(ModelFolder):
    """A cross-encoder's folder; no steps follow the network but the activation."""

    activation: str = "Identity"

    @property
    def is_plain(self) -> bool:
        """Whether it is a network as it was pretrained, not made into a sentence encoder."""
        return not (self.path / "modules.json").is_file()

    @classmethod
    def of(cls, folder: ModelFolder, **changes: Any) -> PairFolder:
        """What another model's folder says of its network and its tokenizer. Raises UnreadableSource."""
        if folder.lower:
            raise UnreadableSource(f"{folder.path} has texts lowercased before its tokenizer, not by it", mend=_MEND)
        same = {each.name: getattr(folder, each.name) for each in fields(ModelFolder)}
        return cls(**{**same, "steps": (), "prompts": {}, "default_prompt_name": None, "truncate_dim": None, **changes})

    def identity(self) -> dict[str, Any]:
        """All that decides a score, by content."""
        found = super().identity()
        network = {key: value for key, value in found["network"].items() if key not in _ABOUT}
        return {**found, "network": network, "activation": self.activation}


def is_cross_encoder(folder: Path) -> bool:
    """Whether a folder's `config.json` says that its network gives classes, not vectors."""
    try:
        names = json.loads((folder / "config.json").read_text("utf-8"))["architectures"]
        return str(names[0]).endswith("ForSequenceClassification")
    except (OSError, ValueError, LookupError, TypeError, RecursionError):  # what is no such folder is told by those who read it
        return False


def read_pair_folder(path: Path) -> PairFolder:
    """Read and check the JSON files of a cross-encoder's folder.

    Raises UnknownName (a module or an activation that vicino does not have) or UnreadableSource (missing or broken files, another
    kind of model, several labels, a setting that would change the scores and is not supported).
    """
    with making_sense(path):
        return _read(path)


def _read(path: Path) -> PairFolder:
    folder = read_folder(path, task="sequence-classification")
    if not is_cross_encoder(folder.body):
        raise UnreadableSource(f"{path} holds no cross-encoder: its network gives no scores of pairs", mend=_MEND)
    labels = folder.config.get("id2label") or (0, 1)  # two where nothing is said, as in transformers
    if len(labels) != 1:
        raise UnreadableSource(f"{path} tells {len(labels)} classes apart, where one score is wanted", mend=_MEND)
    if folder.prompts.get(folder.default_prompt_name or ""):
        raise UnreadableSource(f"{path} puts a prompt before what it reads, which vicino does not do for pairs", mend=_MEND)
    return PairFolder.of(folder, activation=_activation(folder.config, read_json(path / "config_sentence_transformers.json")))


def _activation(config: Mapping[str, Any], whole: Mapping[str, Any]) -> str:
    """Sigmoid where nothing is said, as in sentence-transformers."""
    older = config.get("sentence_transformers") or {"activation_fn": config.get(_OLD)}
    stated = str(whole.get("activation_fn") or older.get("activation_fn") or "torch.nn.modules.activation.Sigmoid")
    name = stated.rpartition(".")[2]
    if not stated.startswith("torch.nn.") or name not in ACTIVATIONS:
        raise UnknownName.among(stated, ACTIVATIONS, kind="activation")
    return name


def copy_weights(folder: PairFolder, target: Path) -> None:
    """Copy the network's weights, byte for byte."""
    for file in (folder.body / "model.safetensors.index.json", *folder.weights):
        if file.is_file():
            shutil.copyfile(file, target / file.name)


def write_pair_folder(folder: PairFolder, target: Path) -> None:
    """Write everything that `folder` describes into `target`, but the weights, so that every sentence-transformers reads it."""
    for name in VOCABULARY:
        if (folder.body / name).is_file():
            shutil.copyfile(folder.body / name, target / name)
    path = _PATHS.get(folder.activation, f"torch.nn.modules.activation.{folder.activation}")
    told = {"sentence_transformers": {"activation_fn": path}, _OLD: path}
    _write(target / "config.json", {**folder.config, **folder.config_arguments, **told})
    tokenizer = read_json(folder.body / "tokenizer_config.json")
    limit = {} if folder.limit is None else {"model_max_length": folder.limit}
    _write(target / "tokenizer_config.json", {**tokenizer, **folder.tokenizer_arguments, **limit})


def _write(file: Path, content: Any) -> None:
    file.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
