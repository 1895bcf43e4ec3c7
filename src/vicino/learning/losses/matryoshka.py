"""Short vectors within long ones: a loss on the first 64 dimensions, the first 128 and so on, at once.

Kusupati et al. 2022, "Matryoshka representation learning".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from vicino.errors import InputError

__all__ = ["matryoshka"]


def matryoshka(
    loss: Callable[..., Tensor], *vectors: Tensor, dims: Sequence[int], weights: Sequence[float] | None = None
) -> Tensor:
    """The weighted mean of `loss(*vectors)` over vectors cut to each of `dims`; equal weights unless given.

    All `vectors` are (..., d); what else the loss needs is bound to it before, as with `functools.partial`. Raises InputError for
    dimensions that there are not, and for weights that do not fit.

    >>> from vicino.learning.losses.in_batch import info_nce
    >>> at = torch.eye(4)
    >>> bool(matryoshka(info_nce, at, at, dims=[4]) == info_nce(at, at))
    True
    """
    width = vectors[0].shape[-1] if vectors else 0
    if not dims or any(not 0 < dim <= width for dim in dims):
        raise InputError(f"vectors of {width} dimensions cannot be cut to {list(dims)}", mend=f"give dims from 1 to {width}")
    shares = [1.0] * len(dims) if weights is None else list(weights)
    if len(shares) != len(dims) or not sum(shares) > 0 or min(shares) < 0:
        raise InputError(f"weights {shares} for {len(dims)} dimensions", mend="give a positive weight for each")
    losses = [share * loss(*(each[..., :dim] for each in vectors)) for dim, share in zip(dims, shares, strict=True)]
    return torch.stack(losses).sum() / sum(shares)
