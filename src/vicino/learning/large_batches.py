"""Many negatives on little memory: gradients that are cached, and a queue of vectors of batches gone by.

A contrastive loss needs the vectors of a whole batch, not the network's memory of how it made them. `cached_backward` embeds a
batch in parts without that memory, takes the loss and its gradients with regard to the vectors, and then embeds each part once
more to carry its gradients back: the gradients of one large batch, at the memory of a part and a third more time (Gao, Zhang,
Han and Callan 2021, "Scaling deep contrastive learning batch size under memory limited setup").

`MemoryQueue` keeps the last vectors of a slow copy of the network (`follow`) as negatives of the next batches (He, Fan, Wu, Xie
and Girshick 2020, "Momentum contrast for unsupervised visual representation learning").
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor

from vicino.errors import DimensionMismatch, EmptyInput, InputError

__all__ = ["MemoryQueue", "cached_backward", "follow"]

Part = Callable[[], Tensor]  # embeds some items: () -> (n, d)


def cached_backward(
    towers: Sequence[Sequence[Part]],
    loss: Callable[..., Tensor],
    *,
    unsynchronised: Callable[[], AbstractContextManager[Any]] = nullcontext,
) -> Tensor:
    """Add the gradients of `loss(vectors of tower 0, vectors of tower 1, ...)` to all parameters; returns the loss, detached.

    Each tower is a sequence of parts, functions without arguments that embed some of its items, (n, d) each; all are called
    twice, with the same random numbers both times, so that dropout falls on the same units. Parameters of the loss itself
    (a temperature) have their gradients too. `unsynchronised` is the context in which all parts but the last are carried back:
    `no_sync` where several processes average gradients.

    Raises EmptyInput for a tower without parts.

    >>> network = torch.nn.Linear(2, 2)
    >>> items = torch.eye(2)
    >>> parts = [[lambda: network(items[:1]), lambda: network(items[1:])]]
    >>> cached_backward(parts, lambda vectors: vectors.square().sum()).shape, network.weight.grad.shape
    (torch.Size([]), torch.Size([2, 2]))
    """
    if not towers or not all(towers):
        raise EmptyInput("there is nothing to embed", mend="give each tower at least one part")
    chances, leaves = [], []
    with torch.no_grad():
        for tower in towers:
            chances.append([_Chance() for _ in tower])
            leaves.append([chance.kept(part) for chance, part in zip(chances[-1], tower, strict=True)])
    vectors = [torch.cat(parts).requires_grad_() for parts in leaves]
    found = loss(*vectors)
    found.backward()  # type: ignore[no-untyped-call]
    last = towers[-1][-1]
    for whole, parts, tower, states in zip(vectors, leaves, towers, chances, strict=True):
        slopes = torch.zeros_like(whole) if whole.grad is None else whole.grad
        each = torch.split(slopes, [len(part) for part in parts])
        for slope, part, chance in zip(each, tower, states, strict=True):
            with nullcontext() if part is last else unsynchronised():
                chance.again(part).backward(slope)  # type: ignore[no-untyped-call]
    return found.detach()


class _Chance:
    """The random numbers of a part, so that it can draw them again."""

    def kept(self, part: Part) -> Tensor:
        self.states = _random_states()
        return part()

    def again(self, part: Part) -> Tensor:
        now = _random_states()
        try:
            _set_random_states(self.states)
            return part()
        finally:
            _set_random_states(now)


def _random_states() -> tuple[Tensor, list[Tensor]]:
    return torch.get_rng_state(), torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []


def _set_random_states(states: tuple[Tensor, list[Tensor]]) -> None:
    torch.set_rng_state(states[0])
    if states[1]:
        torch.cuda.set_rng_state_all(states[1])


class MemoryQueue(torch.nn.Module):
    """The last `size` vectors that were pushed, the oldest overwritten first; saved with a network's state.

    They are kept as numbers of `dtype`: what belongs to vectors (ids) can go through a queue of its own. Raises InputError.

    >>> queue = MemoryQueue(3, 2)
    >>> queue.push(torch.tensor([[1.0, 1.0], [2.0, 2.0]]))
    >>> queue.push(torch.tensor([[3.0, 3.0], [4.0, 4.0]]))
    >>> queue.vectors[:, 0].tolist()
    [4.0, 2.0, 3.0]
    """

    def __init__(self, size: int, dim: int, *, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        if size < 1 or dim < 1:
            raise InputError(f"a queue of {size} vectors of {dim} dimensions cannot be", mend="give size=65536")
        self.register_buffer("room", torch.zeros(size, dim, dtype=dtype))
        self.register_buffer("pushed", torch.zeros((), dtype=torch.long))
        self.room: Tensor
        self.pushed: Tensor

    @property
    def vectors(self) -> Tensor:
        """What is in it, (n, dim) with n up to `size`; no gradient goes through."""
        return self.room[: min(int(self.pushed), len(self.room))]

    @torch.no_grad()
    def push(self, vectors: Tensor) -> None:
        """Take in (n, dim) vectors. Raises DimensionMismatch."""
        if vectors.ndim != 2 or vectors.shape[1] != self.room.shape[1]:
            raise DimensionMismatch(f"vectors of shape {tuple(vectors.shape)}", mend=f"give (n, {self.room.shape[1]})")
        kept = vectors[-len(self.room) :].to(self.room)
        first = int(self.pushed) + len(vectors) - len(kept)
        self.room[(first + torch.arange(len(kept), device=self.room.device)) % len(self.room)] = kept
        self.pushed += len(vectors)


@torch.no_grad()
def follow(slow: torch.nn.Module, fast: torch.nn.Module, *, momentum: float = 0.999) -> None:
    """Move each parameter of `slow` towards that of `fast`: momentum · slow + (1 - momentum) · fast; buffers are copied.

    Raises InputError for a momentum that is not from 0 to 1, or networks that are not alike.
    """
    if not 0 <= momentum <= 1:
        raise InputError(f"momentum={momentum} cannot be", mend="give 0.99 to 0.9999")
    pairs = [(list(each(slow)), list(each(fast))) for each in (torch.nn.Module.parameters, torch.nn.Module.buffers)]
    if any([one.shape for one in ours] != [one.shape for one in theirs] for ours, theirs in pairs):
        raise InputError("the two networks are not alike", mend="make the slow one with copy.deepcopy")
    for ours, theirs in zip(*pairs[0], strict=True):
        ours.lerp_(theirs, 1 - momentum)
    for ours, theirs in zip(*pairs[1], strict=True):
        ours.copy_(theirs)
