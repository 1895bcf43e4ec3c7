"""From token vectors to one vector a text: pooling, dense layers and normalisation, in float32.

Batches are padded on the right: token j of text i is real where j < lengths[i]. Values equal sentence-transformers'; a text
without any token has the zero vector under every pooling.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from vicino.encoders.transformer.folder import Dense, Pooling, Step
from vicino.errors import UnreadableSource

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["after_pooling", "pool"]


def pool(tokens: Tensor, lengths: Tensor, pooling: Pooling, prompt: int) -> Tensor:
    """(n, l, d) token vectors and (n,) lengths -> (n, d * number of modes) float32.

    `prompt` is how many tokens the prompt took: they are left out where the pooling does not include them.
    """
    import torch

    tokens = tokens.float()
    start = 0 if pooling.include_prompt else prompt
    places = torch.arange(tokens.shape[1], device=tokens.device)[None, :]
    mask = (places >= start) & (places < lengths[:, None])  # (n, l)
    first = torch.where(lengths > start, start, 0)
    vectors = {
        "cls": lambda: _take(tokens, first),
        "max": lambda: tokens.masked_fill(~mask[..., None], -torch.inf).amax(1),
        "mean": lambda: _sum(tokens, mask) / mask.sum(1).clamp(min=1)[:, None],
        "mean_sqrt_len_tokens": lambda: _sum(tokens, mask) / mask.sum(1).clamp(min=1).sqrt()[:, None],
        "weightedmean": lambda: _weighted_mean(tokens, mask * (places + 1)),
        "lasttoken": lambda: _take(tokens, (lengths - 1).clamp(min=0)) * (lengths > start)[:, None],
    }
    pooled = torch.cat([vectors[mode]() for mode in pooling.modes], dim=1)
    return pooled.masked_fill((lengths == 0)[:, None], 0)


def after_pooling(steps: Sequence[Step]) -> Callable[[Tensor], Tensor]:
    """The steps after the pooling, as one function on (n, d) float32 tensors. Raises UnreadableSource."""
    import torch

    functions = [_dense(step) if isinstance(step, Dense) else torch.nn.functional.normalize for step in steps]

    def run(vectors: Tensor) -> Tensor:
        for function in functions:
            vectors = function(vectors)
        return vectors

    return run


def _take(tokens: Tensor, places: Tensor) -> Tensor:
    """The token at one place of each text."""
    import torch

    return tokens[torch.arange(len(tokens), device=tokens.device), places]


def _sum(tokens: Tensor, weights: Tensor) -> Tensor:
    """(n, l, d) and (n, l) -> (n, d), as a product of matrices: no (n, l, d) copy is made."""
    return (weights[:, None, :].float() @ tokens)[:, 0]


def _weighted_mean(tokens: Tensor, weights: Tensor) -> Tensor:
    """Later tokens count more (Muennighoff 2022, "SGPT"): token j weighs j + 1."""
    return _sum(tokens, weights) / weights.sum(1).clamp(min=1)[:, None]


def _dense(step: Dense) -> Callable[[Tensor], Tensor]:
    import torch
    from safetensors.torch import load_file
    from torch.nn.functional import linear

    try:
        activate = getattr(torch.nn, step.activation)()
    except (AttributeError, TypeError) as error:
        raise UnreadableSource(f"torch.nn.{step.activation} is not a plain activation", mend="choose another model") from error
    weights = {name: value.float() for name, value in load_file(step.weights).items()}
    if "linear.weight" not in weights:
        raise UnreadableSource(f"{step.weights} does not hold a dense layer", mend="download or save the model again")

    def run(vectors: Tensor) -> Tensor:
        here = {name: value.to(vectors.device) for name, value in weights.items()}
        found: Tensor = activate(linear(vectors, here["linear.weight"], here.get("linear.bias")))
        if step.residual:
            found = found + (linear(vectors, here["residual.weight"]) if "residual.weight" in here else vectors)
        return found

    return run
