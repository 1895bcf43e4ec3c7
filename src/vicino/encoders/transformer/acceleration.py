"""How a network of transformers is made fast on a processor, whatever its architecture.

Three changes, none of which alters what is computed beyond rounding:

- **Packed linear layers.** The weights of every `nn.Linear` are put once into the layout that oneDNN wants for its product,
  and an activation that directly follows is computed in the same pass.
- **Attention by true lengths.** Texts of one length attend together, without padding and without masks, in pieces that stay in
  the processor's cache. A text's vector then does not depend on the texts beside it.
- **bfloat16** where the processor multiplies it natively: half the memory traffic and up to twice the products.

Whether the result still is the model's is not assumed but measured, when a network is opened (see `network.py`).
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

__all__ = [
    "IDLE",
    "UnusualAttention",
    "accelerate",
    "attend",
    "can_pack",
    "cast",
    "pack",
    "pieces",
    "unpadded_mask",
]

ATTENTION = "vicino"  # the name under which transformers finds `attend`
_SCORES = 1 << 19  # attention scores in one piece: 1 MB of bfloat16, which stays in the second-level cache
_LONG = 1 << 12  # tokens beyond which torch's own attention, slower and of constant memory, takes over
_PACK_FOR = 1024  # tokens in a product, roughly, when oneDNN chooses a layout

# (linear layer, activation) that follow one another: BERT and its many descendants, DistilBERT, T5.
_FOLLOWED = (("dense", "intermediate_act_fn"), ("lin1", "activation"), ("wi", "act"))
_FUSED = {  # what transformers and torch call the activations that oneDNN computes within a product
    "GELUActivation": ("gelu", "none"),
    "NewGELUActivation": ("gelu", "tanh"),
    "GELUTanh": ("gelu", "tanh"),
    "PytorchGELUTanh": ("gelu", "tanh"),
    "ReLU": ("relu", ""),
}
# Keywords that transformers hands to every attention and that change nothing here.
IDLE = {"dropout", "position_ids", "use_cache", "cache_position", "output_attentions", "output_hidden_states", "return_dict"}


class UnusualAttention(Exception):
    """An attention that `attend` does not compute (windows, caps, sinks): the network keeps its own."""


def accelerate(network: nn.Module, dtype: torch.dtype) -> None:
    """Cast, pack and rewire a network in place, for inference on the processor; it cannot be undone."""
    cast(network, dtype)
    if can_pack(dtype):
        pack(network)
    _install_attention(network)


def cast(network: nn.Module, dtype: torch.dtype) -> None:
    """Round the parameters to `dtype`; not the buffers: the frequencies of rotary positions must stay exact."""
    for parameter in network.parameters():
        if parameter.is_floating_point():
            parameter.data = parameter.data.to(dtype)


def pack(network: nn.Module) -> None:
    """Pack every linear layer, together with the activation that follows it where oneDNN computes that."""
    import torch

    for module in list(network.modules()):
        for layer, activation in _FOLLOWED:
            _pack_pair(module, layer, activation)
    for module in network.modules():
        if type(module) is torch.nn.Linear and "forward" not in vars(module):
            _pack(module, ("none", ""))


@functools.cache
def can_pack(dtype: torch.dtype) -> bool:
    """Whether this torch has oneDNN's packed products for `dtype`, and they are right."""
    import torch

    layer = torch.nn.Linear(8, 8).requires_grad_(False).to(dtype)
    x = torch.linspace(-1, 1, 24).reshape(3, 8).to(dtype)
    expected = torch.nn.functional.gelu(layer(x))
    try:
        _pack(layer, ("gelu", "none"))
        return torch.allclose(layer(x), expected, atol=1e-5 if dtype == torch.float32 else 2e-2)
    except (AttributeError, RuntimeError):
        return False


def _pack_pair(module: nn.Module, layer: str, activation: str) -> None:
    import torch

    linear, follower = getattr(module, layer, None), getattr(module, activation, None)
    fused = _FUSED.get(type(follower).__name__)
    if type(linear) is torch.nn.Linear and fused is not None:
        _pack(linear, fused)
        setattr(module, activation, torch.nn.Identity())


def _pack(linear: nn.Linear, fused: tuple[str, str]) -> None:
    import torch

    weight = linear.weight.detach()
    packed = torch.ops.mkldnn._reorder_linear_weight(weight.contiguous(), _PACK_FOR)
    kind, algorithm = fused
    linear.forward = functools.partial(_product, packed, linear.bias, kind, algorithm)  # type: ignore[method-assign]
    # Some networks ask a layer for the type of its weight: keep one that takes no memory.
    linear.weight = torch.nn.Parameter(weight.new_zeros(()).expand(weight.shape), requires_grad=False)


def _product(packed: Tensor, bias: Tensor | None, kind: str, algorithm: str, x: Tensor) -> Tensor:
    import torch

    found: Tensor = torch.ops.mkldnn._linear_pointwise(x, packed, bias, kind, [], algorithm)
    return found


def _install_attention(network: Any) -> None:
    """Give the network `attend`, where it asks transformers for its attention by name."""
    try:
        from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS
        from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
    except ImportError:  # transformers before 4.53 has no such register: torch's own attention serves
        return
    ALL_ATTENTION_FUNCTIONS.register(ATTENTION, attend)
    ALL_MASK_ATTENTION_FUNCTIONS.register(ATTENTION, unpadded_mask)
    network.set_attn_implementation(ATTENTION)


def unpadded_mask(*, mask_function: Any, attention_mask: Tensor | None = None, **_: Any) -> Tensor | None:
    """transformers asks for the mask of a batch: the (n, l) flags of real tokens are all that `attend` needs."""
    from transformers import masking_utils

    if mask_function not in (masking_utils.causal_mask_function, masking_utils.bidirectional_mask_function):
        raise UnusualAttention
    return attention_mask


def attend(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    is_causal: bool | None = None,
    position_bias: Tensor | None = None,
    **others: Any,
) -> tuple[Tensor, None]:
    """Attention of (n, heads, l, d) queries, keys and values; gives (n, l, heads, d).

    `attention_mask` is (n, l), true for real tokens, which come first; `position_bias` is (1 or n, heads, l, l) and is added to
    the scores. Padding gets zeros. Raises UnusualAttention for what it does not compute.
    """
    if any(given is not None and given is not False and name not in IDLE for name, given in others.items()):
        raise UnusualAttention
    if query.shape[2] != key.shape[2] or (attention_mask is not None and attention_mask.dim() != 2):
        raise UnusualAttention
    causal = getattr(module, "is_causal", False) if is_causal is None else is_causal
    groups = query.shape[1] // key.shape[1]
    if groups > 1:  # several heads of queries share one of keys (Ainslie et al. 2023, "GQA")
        key, value = key.repeat_interleave(groups, dim=1), value.repeat_interleave(groups, dim=1)
    n, heads, longest, d = value.shape
    scaling = 1 / math.sqrt(query.shape[3]) if scaling is None else scaling
    out = value.new_zeros(n, longest, heads, d)
    for rows, some, length in pieces(attention_mask, n, heads, longest):
        bias = None
        if position_bias is not None:
            bias = position_bias[rows if len(position_bias) > 1 else slice(None), some, :length, :length]
        q, k, v = (states[rows, some, :length] for states in (query, key, value))
        out[rows, :length, some] = _attended(q, k, v, scaling, bias, causal).transpose(1, 2)
    return out, None


def pieces(mask: Tensor | None, n: int, heads: int, longest: int) -> Iterator[tuple[slice, slice, int]]:
    """Rows of one length, heads, and the length: few enough of both for their scores to stay in the cache."""
    lengths = [longest] * n if mask is None else mask.sum(1).tolist()
    start = 0
    for length, same in itertools.groupby(lengths):
        stop = start + len(list(same))
        at_once = _SCORES // max(1, length * length)  # tables of scores: one for each row and head
        rows, some = max(1, at_once // heads), min(heads, max(1, at_once))
        if length:
            for row in range(start, stop, rows):
                for head in range(0, heads, some):
                    yield slice(row, min(row + rows, stop)), slice(head, head + some), length
        start = stop


def _attended(query: Tensor, key: Tensor, value: Tensor, scaling: float, bias: Tensor | None, causal: bool) -> Tensor:
    """Softmax attention of texts of one length: (n, heads, l, d) each -> (n, heads, l, d)."""
    import torch

    n, heads, length, d = value.shape
    if length > _LONG and bias is None:  # a table of scores would be too large
        return torch.nn.functional.scaled_dot_product_attention(query, key, value, is_causal=causal, scale=scaling)
    scaled = torch.mul(query, scaling, out=query.new_empty(query.shape))  # into contiguous memory, in one pass
    q, k, v = (states.reshape(n * heads, length, -1) for states in (scaled, key, value))
    scores = torch.bmm(q, k.transpose(1, 2))
    if bias is not None:
        scores.view(n, heads, length, length).add_(bias)
    if causal:
        future = torch.ones(length, length, dtype=torch.bool, device=scores.device).triu(1)
        scores.masked_fill_(future, -torch.inf)
    return torch.bmm(torch.softmax(scores, dim=-1), v).view(n, heads, length, d)
