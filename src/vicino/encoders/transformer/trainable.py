"""A network that learns: the same vectors as `network.Network`, with gradients, and as little work as that takes.

- Nothing is padded that need not be: a batch is cut into buckets of texts of about one length, and texts of one length attend
  together. All vectors of the batch come out at once, for losses that set each against all.
- The table of embeddings is read once a batch, a row for each id that occurs: its gradient, the largest of all, is made once.
- Dropout is off unless it is asked for: with few epochs it takes a third of the time and gives nothing.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from vicino.encoders.base import Role
from vicino.encoders.transformer import heads, opening
from vicino.encoders.transformer.acceleration import IDLE, UnusualAttention, pieces, unpadded_mask
from vicino.encoders.transformer.folder import Dense, ModelFolder, Normalize
from vicino.encoders.transformer.network import in_batches
from vicino.encoders.transformer.saving import write_folder, write_linear
from vicino.encoders.transformer.tokenising import Ids, Tokenizer, padded
from vicino.learning.devices import autocast, usual_precision

__all__ = ["Trainable", "set_dropout"]

_TOKENS = 4096  # of a bucket, padding included
_AT_ONCE = 1024  # texts
_ATTENTION = "vicino-training"  # the name under which transformers finds `_attend`


class Trainable(nn.Module):
    """The network of a folder with what follows it, in float32, all of it to be learnt.

    `limit` cuts texts shorter than the folder says; `dropout` replaces the network's own, and None keeps it. Raises what
    `network.Network` raises.
    """

    def __init__(self, folder: ModelFolder, *, limit: int | None = None, dropout: float | None = 0.0) -> None:
        super().__init__()
        self.folder = folder
        with opening.quiet():
            self.network = network = self._open().train().requires_grad_(True)
            longest = min(filter(None, (limit, folder.limit, opening.most_positions(network))), default=None)
            self.tokenizer = self._open_tokenizer(longest)
        if dropout is not None:
            set_dropout(network, dropout)
        self.steps = nn.ModuleList(_Dense(step) if isinstance(step, Dense) else _Normalize() for step in folder.steps[1:])
        self._install_attention()
        self._takes_rows = self._reads_rows_as_ids()

    def tower(self, role: Role) -> Trainable:  # noqa: ARG002 - where there are two networks, it decides
        """What reads texts of a role: this one network."""
        return self

    @property
    def width(self) -> int:
        """Of a vector."""
        return self.folder.width

    def ids(self, texts: Sequence[str], prompt: str = "") -> list[Ids]:
        """What `forward` takes: the tokens of each text after a prompt."""
        return self.tokenizer.ids([prompt + text for text in texts])

    def forward(self, ids: list[Ids], prompt: int = 0) -> Tensor:
        """Vectors (n, d) in float32, in the order of the texts; `prompt` is how many tokens of each the pooling leaves out."""
        vectors: list[Tensor] = []
        order: list[int] = []
        rows, places = self._rows(ids)
        for bucket in in_batches([len(own) for own in ids], _TOKENS):
            vectors.append(self._given([places[row] for row in bucket], rows, prompt))
            order += bucket
        found = torch.cat(vectors)[torch.from_numpy(np.argsort(order)).to(self._device)]
        with _as_they_are(found):
            for step in self.steps:
                found = step(found)
        return found

    def follow(self, matrix: NDArray[np.float32], layer: Path) -> None:
        """Give vectors @ `matrix` (d, d) from now on, through one more dense layer, which is written to the folder `layer`."""
        layer.mkdir(parents=True, exist_ok=True)
        step, at = write_linear(matrix, layer), len(self.folder.steps) - isinstance(self.folder.steps[-1], Normalize)
        self.folder = replace(self.folder, steps=(*self.folder.steps[:at], step, *self.folder.steps[at:]))
        self.steps.insert(at - 1, _Dense(step))

    def vectors(self, ids: list[Ids]) -> NDArray[np.float32]:
        """What `forward` gives, (n, d), without gradients or dropout: to look how good it is as it learns."""
        was = self.training
        self.eval()
        device = self._device
        try:
            with torch.inference_mode(), autocast(device, usual_precision(device)):
                found = [self(ids[start : start + _AT_ONCE]).cpu().numpy() for start in range(0, len(ids), _AT_ONCE)]
        finally:
            self.train(was)
        return np.concatenate(found)

    def save(self, target: Path) -> None:
        """Write a folder that vicino and sentence-transformers open, into an empty one; it is the same but for the weights."""
        write_folder(self.folder, target)
        for file in (*(target / each.name for each in self.folder.weights), target / "model.safetensors.index.json"):
            file.unlink(missing_ok=True)
        config = json.loads((target / "config.json").read_text("utf-8"))
        with opening.quiet():
            self.network.save_pretrained(str(target))
        for name in ("dtype", "torch_dtype"):  # all that has changed: the weights now are float32
            config.pop(name, None)
        (target / "config.json").write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        for place, step in enumerate(self.steps, start=2):
            if isinstance(step, _Dense):
                kept = {name: value.detach().cpu().contiguous() for name, value in step.state_dict().items()}
                save_file(kept, target / f"{place}_Dense" / "model.safetensors")

    def _open(self) -> Any:
        return opening.open_network(self.folder)

    def _open_tokenizer(self, limit: int | None) -> Tokenizer:
        return Tokenizer(opening.open_tokenizer(self.folder), limit, lower=self.folder.lower)

    @property
    def _device(self) -> torch.device:
        device: torch.device = next(self.network.parameters()).device
        return device

    def _rows(self, ids: list[Ids]) -> tuple[Tensor | None, list[Ids]]:
        """The embeddings of all ids that occur, and each text as places among them; the ids themselves where it must be."""
        if not self._takes_rows:
            return None, ids
        tokens = np.concatenate(ids)
        each = tokens.reshape(len(tokens), -1)[:, 0]  # of pairs, a token's type stands beside it
        known, places = np.unique(each, return_inverse=True)
        tokens = places.astype(np.int32) if tokens.ndim == 1 else np.stack([places, tokens[:, 1]], axis=1).astype(np.int32)
        table = self.network.get_input_embeddings()
        rows: Tensor = table(torch.from_numpy(known.astype(np.int64)).to(self._device))
        return rows, np.split(tokens, np.cumsum([len(own) for own in ids])[:-1])

    def _inputs(self, ids: list[Ids], rows: Tensor | None) -> tuple[dict[str, Tensor], Tensor]:
        """What the network takes for a bucket, longest first, and the lengths (n,)."""
        given, lengths = padded(ids, self.tokenizer.padding if rows is None else 0, self._device)
        if rows is not None:
            given["inputs_embeds"] = nn.functional.embedding(given.pop("input_ids"), rows)
        return given, lengths

    def _given(self, ids: list[Ids], rows: Tensor | None, prompt: int) -> Tensor:
        """What the network gives for a bucket, (n, d), in float32."""
        given, lengths = self._inputs(ids, rows)
        hidden: Tensor = self.network(**given).last_hidden_state
        with _as_they_are(hidden):
            return heads.pool(hidden, lengths, self.folder.pooling, prompt)

    def _install_attention(self) -> None:
        """Give the network `_attend`, where it asks transformers for its attention by name and `_attend` computes it."""
        own = getattr(self.network.config, "_attn_implementation", None)
        try:
            from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS
            from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
        except ImportError:  # transformers before 4.53 has no such register: torch's own attention serves
            return
        ALL_ATTENTION_FUNCTIONS.register(_ATTENTION, _attend)
        ALL_MASK_ATTENTION_FUNCTIONS.register(_ATTENTION, unpadded_mask)
        self._takes_rows = False
        try:
            self.network.set_attn_implementation(_ATTENTION)
            self._sample()
        except (UnusualAttention, ValueError):
            self.network.set_attn_implementation(own)

    def _reads_rows_as_ids(self) -> bool:
        """Whether the network makes the same of embeddings as of ids; MPNet, for one, does not."""
        self.eval()  # without dropout
        try:
            self._takes_rows = True
            by_rows = self._sample()
            self._takes_rows = False
            return torch.allclose(by_rows, self._sample(), atol=1e-5)
        except (TypeError, ValueError, RuntimeError):
            return False
        finally:
            self.train()

    def _sample(self) -> Tensor:
        """Vectors of two texts."""
        with torch.no_grad(), torch.random.fork_rng():
            found: Tensor = self(self._sample_ids())
        return found

    def _sample_ids(self) -> list[Ids]:
        return self.ids(["two texts", "of two different lengths"])


class _Normalize(nn.Module):
    def forward(self, vectors: Tensor) -> Tensor:
        return nn.functional.normalize(vectors)


class _Dense(nn.Module):
    """A dense layer of sentence-transformers: linear, activation, and perhaps what came in besides."""

    def __init__(self, step: Dense) -> None:
        super().__init__()
        for name, value in load_file(step.weights).items():
            layer, _, kind = name.partition(".")
            if not hasattr(self, layer):
                setattr(self, layer, nn.Module())
            getattr(self, layer).register_parameter(kind, nn.Parameter(value.float()))
        self._activate = getattr(nn, step.activation)()
        self._residual = step.residual

    def forward(self, vectors: Tensor) -> Tensor:
        linear: Any = self.linear
        found: Tensor = self._activate(nn.functional.linear(vectors, linear.weight, getattr(linear, "bias", None)))
        if self._residual:
            beside: Any = getattr(self, "residual", None)
            found = found + (vectors if beside is None else nn.functional.linear(vectors, beside.weight))
        return found


def set_dropout(network: nn.Module, share: float) -> None:
    """The same share everywhere; what is no module of its own (attention) asks the configuration or an attribute."""
    for module in network.modules():
        if isinstance(module, nn.Dropout):
            module.p = share
        for name in ("dropout", "dropout_prob", "attention_dropout", "attn_dropout"):
            if isinstance(vars(module).get(name), float):
                setattr(module, name, share)


def _attend(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    is_causal: bool | None = None,
    dropout: float = 0.0,
    **others: Any,
) -> tuple[Tensor, None]:
    """Attention of (n, heads, l, d) that can be differentiated; gives (n, l, heads, d). Raises UnusualAttention."""
    if any(given is not None and given is not False and name not in IDLE for name, given in others.items()):
        raise UnusualAttention
    if query.shape != key.shape or (attention_mask is not None and attention_mask.dim() != 2):
        raise UnusualAttention
    if dropout or (getattr(module, "is_causal", False) if is_causal is None else is_causal):
        raise UnusualAttention
    scaling = 1 / math.sqrt(query.shape[3]) if scaling is None else scaling
    n, heads_, longest, _ = value.shape
    found: Tensor = _Attention.apply(query, key, value, scaling, list(pieces(attention_mask, n, heads_, longest)))  # type: ignore[no-untyped-call]
    return found, None


class _Attention(torch.autograd.Function):
    """softmax(q kᵀ · scaling) v, text by text, in pieces that stay in the cache; the softmax is kept for the way back."""

    @staticmethod
    def forward(context: Any, query: Tensor, key: Tensor, value: Tensor, scaling: float, parts: list[Any]) -> Tensor:
        n, heads_, longest, d = value.shape
        out = value.new_zeros(n, longest, heads_, d)
        shares = []
        with _as_they_are(query):
            for rows, some, length in parts:
                q, k, v = (_taken(states, rows, some, length) for states in (query, key, value))
                shares.append(torch.softmax(torch.bmm(q * scaling, k.transpose(1, 2)), dim=-1))
                _put(out, torch.bmm(shares[-1], v), rows, some, length)
        context.save_for_backward(query, key, value, *shares)
        context.scaling, context.parts = scaling, parts
        return out

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        query, key, value, *shares = context.saved_tensors
        by_query, by_key, by_value = (
            torch.zeros_like(states, memory_format=torch.contiguous_format) for states in (query, key, value)
        )
        gradient = gradient.transpose(1, 2)
        for p, (rows, some, length) in zip(shares, context.parts, strict=True):
            q, k, v, g = (_taken(states, rows, some, length) for states in (query, key, value, gradient))
            place = rows, some, slice(length)
            by_value[place] = torch.bmm(p.transpose(1, 2), g).view(by_value[place].shape)
            scores = torch._softmax_backward_data(torch.bmm(g, v.transpose(1, 2)), p, -1, p.dtype) * context.scaling
            by_query[place] = torch.bmm(scores, k).view(by_query[place].shape)
            by_key[place] = torch.bmm(scores.transpose(1, 2), q).view(by_key[place].shape)
        return by_query, by_key, by_value, None, None


@contextmanager
def _as_they_are(states: Tensor) -> Iterator[None]:
    """No autocast: a softmax of bfloat16 stays one."""
    with torch.autocast(states.device.type, enabled=False):
        yield


def _taken(states: Tensor, rows: slice, some: slice, length: int) -> Tensor:
    """(n, heads, l, d) -> (rows · heads, length, d)."""
    return states[rows, some, :length].reshape(-1, length, states.shape[3])


def _put(out: Tensor, found: Tensor, rows: slice, some: slice, length: int) -> None:
    here = out[rows, :length, some]
    here.copy_(found.view(here.shape[0], here.shape[2], length, -1).transpose(1, 2))
