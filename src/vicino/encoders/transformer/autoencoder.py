"""An encoder and a decoder that writes texts again from their vectors alone: what TSDAE learns by.

Wang, Reimers and Gurevych 2021, "TSDAE: Using transformer-based sequential denoising auto-encoder for unsupervised sentence
embedding learning". The decoder is the same network once more: it shares all weights with the encoder but those of the layers by
which it attends to the vector, and of what makes words of its states. It is thrown away after training.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from vicino.encoders.transformer import opening
from vicino.encoders.transformer.folder import ModelFolder, Normalize
from vicino.encoders.transformer.network import in_batches
from vicino.encoders.transformer.tokenising import Ids, padded
from vicino.encoders.transformer.trainable import Trainable, set_dropout
from vicino.errors import InputError

__all__ = ["AutoEncoder"]

_TOKENS = 4096  # of a bucket, padding included
_LOGITS = 1 << 25  # that stand in memory at a time: a text of 256 tokens has 64 million over XLM-R's vocabulary


class AutoEncoder(nn.Module):
    """`encoder`, with a decoder of its own architecture, both to be learnt. `dropout` is that of the decoder; None keeps its own.

    New layers are drawn by `seed`; what makes words of states is the checkpoint's own where it has that. Raises InputError for
    an architecture that transformers has no such decoder of, and UnreadableSource.
    """

    def __init__(self, encoder: Trainable, *, dropout: float | None = 0.0, seed: int = 0) -> None:
        super().__init__()
        self.encoder = encoder
        folder = encoder.folder
        with opening.quiet(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.decoder = _open(folder).train().requires_grad_(True)
            same = folder.width == folder.token_width
            self.bridge = nn.Identity() if same else nn.Linear(folder.width, folder.token_width)
        if dropout is not None:
            set_dropout(self.decoder, dropout)
        # Vectors of length one would hardly be heard beside states, whose numbers have a variance of about one.
        self._length = math.sqrt(folder.width) if isinstance(folder.steps[-1], Normalize) else 1.0
        self._share()
        self._require()

    def forward(self, damaged: list[Ids], whole: list[Ids]) -> Tensor:
        """The cross entropy, summed over all tokens of `whole` but the first of each text, given the vectors of `damaged`: ()."""
        return self.decoded(self.encoder(damaged), whole)

    def decoded(self, vectors: Tensor, whole: list[Ids]) -> Tensor:
        """The same, given the vectors (n, d)."""
        memory = self.bridge(vectors * self._length)
        total: Tensor = memory.new_zeros((), dtype=torch.float32)
        step = max(1, _LOGITS // self.decoder.config.vocab_size)
        for bucket in in_batches([len(own) for own in whole], _TOKENS):
            given, lengths = padded([whole[row] for row in bucket], self.encoder.tokenizer.padding, memory.device)
            ids = given["input_ids"]
            states = self._states(ids[:, :-1], memory[bucket])
            real = torch.arange(1, ids.shape[1], device=ids.device) < lengths[:, None]
            targets = ids[:, 1:][real]
            for some, own in zip(torch.split(states[real], step), torch.split(targets, step), strict=True):
                # The logits are made once more on the way back: to keep them all would take more memory than all else together.
                total = total + checkpoint(self._cross_entropy, some, own, use_reentrant=False)
        return total

    def logits(self, vectors: Tensor, ids: Tensor) -> Tensor:
        """What follows each token of `ids` (n, l), given the vectors (n, d): (n, l, vocabulary)."""
        found: Tensor = self._words(self._states(ids, self.bridge(vectors * self._length)))
        return found

    def _states(self, ids: Tensor, memory: Tensor) -> Tensor:
        """(n, l) tokens and (n, d) vectors -> (n, l, d). Padding is on the right, where no token that counts looks."""
        states: Tensor = self.decoder.base_model(
            input_ids=ids, encoder_hidden_states=memory[:, None], use_cache=False
        ).last_hidden_state
        return states

    def _words(self, states: Any) -> Any:
        for layer in _head(self.decoder):
            states = layer(states)
        return states

    def _cross_entropy(self, states: Tensor, targets: Tensor) -> Tensor:
        return nn.functional.cross_entropy(self._words(states).float(), targets, reduction="sum")

    def _share(self) -> None:
        """Give the decoder the encoder's weights, those that are called the same: tied as in the paper."""
        own = dict(self.encoder.network.named_parameters())
        inner, outer = self.decoder.get_input_embeddings(), self.decoder.get_output_embeddings()
        tied = outer is not None and outer.weight is inner.weight
        for place, module in self.decoder.base_model.named_modules():
            for name in list(module._parameters):
                shared = own.get(f"{place}.{name}".removeprefix("."))
                if shared is not None:
                    module._parameters[name] = shared
        if tied:
            outer.weight = self.decoder.get_input_embeddings().weight

    def _require(self) -> None:
        """Raise InputError where what transformers opened is not such a decoder; it says so of some that are not."""
        self.eval()
        with torch.no_grad():
            (ids,) = self.encoder.ids(["two texts"])
            tokens = torch.from_numpy(ids.astype("int64"))[None].repeat(2, 1)
            tokens[1, -1] = tokens[0, 0]  # what comes last is not seen before
            vectors = torch.ones(2, self.encoder.folder.width)
            found, other = self.logits(vectors, tokens), self.logits(-vectors, tokens)
            plain = self.decoder(input_ids=tokens, encoder_hidden_states=self.bridge(vectors * self._length)[:, None]).logits
        self.train()
        fits = found.shape == plain.shape and torch.allclose(found, plain, atol=1e-4)
        causal = torch.allclose(found[0, :-1], found[1, :-1], atol=1e-4)
        if not fits or not causal or torch.equal(found, other):
            raise _no_decoder(self.encoder.folder)


def _open(folder: ModelFolder) -> Any:
    """The folder's network as a decoder that attends to something else besides; what it lacks of that is new."""
    from transformers import AutoConfig, AutoModelForCausalLM

    where = {"local_files_only": True, "trust_remote_code": False}
    with opening.explained(folder):
        config = AutoConfig.from_pretrained(str(folder.body), **where, **folder.config_arguments)
    if type(config) not in AutoModelForCausalLM._model_mapping or config.is_encoder_decoder:
        raise _no_decoder(folder)
    config.is_decoder, config.add_cross_attention, config.use_cache = True, True, False
    with opening.explained(folder):
        return AutoModelForCausalLM.from_pretrained(
            str(folder.body), config=config, dtype=torch.float32, use_safetensors=True, **where
        )


def _head(decoder: Any) -> Sequence[Any]:
    """The layers that make words of states."""
    return [child for child in decoder.children() if child is not decoder.base_model]


def _no_decoder(folder: ModelFolder) -> InputError:
    kind = folder.config.get("model_type", "this architecture")
    return InputError(
        f"transformers has no decoder of {kind} that attends to a vector, which tsdae wants",
        mend="begin with a BERT, RoBERTa, XLM-RoBERTa or ELECTRA, or give way=simcse",
    )
