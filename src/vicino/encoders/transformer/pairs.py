"""Networks that read a query and a document together: their scores fast, and with gradients.

The network is transformers' for sequence classification with one label. Its body is made fast, or learns, as that of an encoder
does; what comes after the body, a layer or two on one vector a pair, always is in float32: candidates of one query score so near
to one another that bfloat16 would rank many of them alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vicino.encoders.transformer import opening
from vicino.encoders.transformer.modules import read_json
from vicino.encoders.transformer.network import SAMPLE, Runner
from vicino.encoders.transformer.pair_folder import PairFolder, write_pair_folder
from vicino.encoders.transformer.tokenising import Ids, Tokenizer, padded
from vicino.encoders.transformer.trainable import Trainable
from vicino.errors import InputError

__all__ = ["PairNetwork", "TrainablePairs"]

# How far scores of a faster network may be off, as a share of how far those of different pairs are apart.
_ROUNDED, _EXACT = 0.05, 0.001


class PairNetwork(Runner):
    """The logits of pairs; see `network.Runner`."""

    _folder: PairFolder

    def logits(self, pairs: Sequence[tuple[str, str]], *, batch_size: int = 32) -> NDArray[np.float32]:
        """(n,) float32, in the order of the pairs."""
        found = np.empty(len(pairs), dtype=np.float32)

        def write(rows: NDArray[np.int64], ids: list[Ids]) -> None:
            found[rows] = self._scored(ids)

        self._for_each_batch(pairs, self._tokenizer.pairs, batch_size, write)
        return found

    def _open(self) -> Any:
        return _open(self._folder)

    def _open_tokenizer(self) -> Tokenizer:
        return _tokenizer(self._folder, self._network, self.limit)

    @property
    def _body(self) -> Any:
        return self._network.base_model

    def _scored(self, ids: list[Ids]) -> NDArray[np.float32]:
        given, _ = padded(ids, self._tokenizer.padding, self._device)
        found: NDArray[np.float32] = self._network(**given).logits[:, 0].float().cpu().numpy()
        return found

    def _sample(self) -> NDArray[np.float32]:
        """Logits of each text of the sample with the two that follow it, as one padded batch, longest pair first."""
        pairs = [(text, SAMPLE[(row + far) % len(SAMPLE)]) for row, text in enumerate(SAMPLE) for far in (1, 2)]
        ids = sorted(self._tokenizer.pairs(pairs), key=len, reverse=True)
        with torch.inference_mode():
            return self._scored(ids)

    def _is_near(self, fast: NDArray[np.float32], plain: NDArray[np.float32], dtype: torch.dtype) -> bool:
        off = float(np.sqrt(np.mean((fast - plain) ** 2)))
        return off <= (_ROUNDED if dtype == torch.bfloat16 else _EXACT) * float(plain.std()) + 1e-6


class TrainablePairs(Trainable):
    """A cross-encoder that learns: pairs in, logits (n, 1) out. See `trainable.Trainable`.

    With a `seed` the folder is that of another kind of model, whose network gets a new last layer of random weights; a pooling
    layer that it lacks begins with what the first token holds. Without one it is a cross-encoder's.
    """

    folder: PairFolder

    def __init__(
        self, folder: PairFolder, *, limit: int | None = None, dropout: float | None = 0.0, seed: int | None = None
    ) -> None:
        self._seed = seed
        super().__init__(folder, limit=limit, dropout=dropout)

    def pairs(self, pairs: Sequence[tuple[str, str]]) -> list[Ids]:
        """What `forward` takes: the tokens of each pair."""
        return self.tokenizer.pairs(pairs)

    def save(self, target: Path) -> None:
        """Write a folder that vicino and sentence-transformers open as a cross-encoder, into an empty one."""
        with opening.quiet():
            self.network.save_pretrained(str(target))
        config = read_json(target / "config.json")
        write_pair_folder(replace(self.folder, activation="Identity", limit=self.tokenizer.limit, config=config), target)

    def _open(self) -> Any:
        return _open(self.folder, self._seed)

    def _open_tokenizer(self, limit: int | None) -> Tokenizer:
        return _tokenizer(self.folder, self.network, limit)

    def _given(self, ids: list[Ids], rows: Tensor | None, prompt: int) -> Tensor:  # noqa: ARG002 - pairs have no prompt
        given, _ = self._inputs(ids, rows)
        found: Tensor = self.network(**given).logits
        return found.float()

    def _sample_ids(self) -> list[Ids]:
        return self.pairs([("two texts", "of two different lengths"), ("one", "other")])


class _Exact(nn.Linear):
    """A linear layer of float32, whatever comes in, and whatever autocast wants."""

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            return nn.functional.linear(x.float(), self.weight, self.bias)


def _open(folder: PairFolder, seed: int | None = None) -> Any:
    """The network in float32, from safetensors, with new weights after its body where there is a seed.

    Raises UnreadableSource, and InputError for a kind of network that cannot score.
    """
    from transformers import AutoConfig, AutoModelForSequenceClassification

    folder.weights  # noqa: B018 - names what is pickled
    where = {"local_files_only": True, "trust_remote_code": False}
    with opening.explained(folder):
        config = AutoConfig.from_pretrained(str(folder.body), **where, **folder.config_arguments)
    if type(config) not in AutoModelForSequenceClassification._model_mapping or config.is_encoder_decoder:
        raise InputError(f"a network of the kind {config.model_type} cannot score pairs", mend="choose another, such as minilm")
    config.use_cache, config.num_labels = False, 1
    with opening.explained(folder), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed or 0)
        network, report = AutoModelForSequenceClassification.from_pretrained(
            str(folder.body), config=config, dtype=torch.float32, use_safetensors=True, output_loading_info=True, **where
        )
    new = set() if seed is None else {name for name in report["missing_keys"] if _is_head(name, network)}
    opening.require_weights(folder, report, new.__contains__)
    if seed is not None:
        _pass_on(network, new if folder.is_plain else {*new, *(name for name in network.state_dict() if "pooler" in name)})
    for child in network.children():
        for module in child.modules() if child is not network.base_model else ():
            if type(module) is nn.Linear:
                module.__class__ = _Exact
    return network.eval().requires_grad_(False)


def _is_head(name: str, network: Any) -> bool:
    return "pooler" in name or not name.startswith(f"{network.base_model_prefix}.")


def _pass_on(network: nn.Module, names: set[str]) -> None:
    """Have square layers, of these that are to be learnt anew, begin by giving what they get."""
    for name, module in network.named_modules():
        if f"{name}.weight" in names and isinstance(module, nn.Linear) and module.in_features == module.out_features:
            nn.init.eye_(module.weight)
            nn.init.zeros_(module.bias)


def _tokenizer(folder: PairFolder, network: Any, limit: int | None) -> Tokenizer:
    typed = "token_type_ids" in signature(network.forward).parameters
    return Tokenizer(opening.open_tokenizer(folder), limit, lower=folder.lower, paired=True, typed=typed)
