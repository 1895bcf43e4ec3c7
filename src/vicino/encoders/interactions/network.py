"""Two towers of tables, in torch, and what they learn by: each user's items must score above what the user did not meet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from vicino.encoders.interactions.examples import NOTHING
from vicino.learning.loop import InParts
from vicino.learning.losses.in_batch import FalseNegatives, info_nce

__all__ = ["Known", "Towers", "full_softmax", "in_batch_softmax"]

_SPREAD = 0.1  # the standard deviation that numbers begin with
_NEVER = -1e9  # a logit that no sum feels, and that has a gradient still


class Known(nn.Module):
    """What is known of some things in tokens: a vector a token, of which each thing has the mean."""

    def __init__(self, tokens: Sequence[Sequence[int]], count: int, dim: int) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.randn(count, dim) * _SPREAD)
        flat = np.fromiter((token for each in tokens for token in each), np.int64)
        self.register_buffer("tokens", torch.from_numpy(flat), persistent=False)
        lengths = np.array([len(each) for each in tokens], np.int64)
        self.register_buffer("lengths", torch.from_numpy(lengths), persistent=False)
        self.register_buffer("first", torch.from_numpy(np.cumsum(lengths) - lengths), persistent=False)
        self.tokens: Tensor
        self.lengths: Tensor
        self.first: Tensor

    def forward(self, rows: Tensor) -> Tensor:
        """(n,) -> (n, d), zeros where nothing is known."""
        lengths = self.lengths[rows]
        ends = lengths.cumsum(0)
        shift = torch.repeat_interleave(self.first[rows] - (ends - lengths), lengths)
        picked = self.tokens[torch.arange(int(ends[-1]) if len(ends) else 0, device=rows.device) + shift]
        return functional.embedding_bag(picked, self.table, ends - lengths, mode="mean")


class Towers(nn.Module):
    """A row a user and a row an item; a user is that row and the sum of the history's items over the root of their number.

    So a user of a short history is led by what all users of like histories share, and one of a long history by it. What is known
    of users and items in tokens is added to their rows. Of an example's history each item is left out by a chance of `dropout`.
    """

    def __init__(self, users: int, items: int, dim: int, *, dropout: float, known: dict[str, Known]) -> None:
        super().__init__()
        self.user = nn.Parameter(torch.randn(users, dim) * _SPREAD)
        self.item = nn.Parameter(torch.randn(items, dim) * _SPREAD)
        self.known = nn.ModuleDict(known)
        self.dropout = dropout

    def items(self, rows: Tensor) -> Tensor:
        """(n,) -> (n, d)."""
        found = functional.embedding(rows, self.item)
        return found + self.known["item"](rows) if "item" in self.known else found

    def users(self, rows: Tensor, history: Tensor) -> Tensor:
        """(b,) and the rows of items (b, h), filled up with NOTHING -> (b, d)."""
        there = history != NOTHING
        if self.training and self.dropout:
            there &= torch.rand(history.shape, device=history.device) >= self.dropout
        found = functional.embedding(rows, self.user)
        if "user" in self.known:
            found = found + self.known["user"](rows)
        weight = there / there.sum(dim=1, keepdim=True).clamp(min=1).sqrt()
        return found + self._of_history(history.clamp(min=0), weight.to(found.dtype))

    def _of_history(self, history: Tensor, weight: Tensor) -> Tensor:
        if "item" not in self.known:
            return functional.embedding_bag(history, self.item, per_sample_weights=weight, mode="sum")
        distinct, place = torch.unique(history, return_inverse=True)
        return functional.embedding_bag(place, self.items(distinct), per_sample_weights=weight, mode="sum")

    @torch.no_grad()
    def tables(self) -> dict[str, NDArray[np.float32]]:
        """What is learnt, as arrays: the rows of users and items, what is known added, and the tokens'."""
        rows = {"user": self.user, "item": self.item}
        found = {}
        for kind, own in rows.items():
            whole = own.detach()
            if kind in self.known:
                known = self.known[kind]
                whole = whole + known(torch.arange(len(own), device=own.device))
                found[f"{kind}_tokens"] = known.get_parameter("table").detach()
            found[kind] = whole
        return {name: np.array(each.cpu().numpy(), np.float32) for name, each in found.items()}


def full_softmax(temperature: float) -> Any:
    """The loss of each target against all items that the user did not meet: (network, batch) -> ()."""

    def loss(network: Towers, batch: dict[str, Tensor]) -> Tensor:
        target, history = batch["target"], batch["history"]
        n = len(network.item)
        every = network.items(torch.arange(n, device=target.device))
        users = functional.normalize(network.users(batch["user"], history), dim=-1)
        logits = users @ functional.normalize(every, dim=-1).T / temperature
        met = torch.zeros(len(target), n + 1, dtype=torch.bool, device=target.device)
        met.scatter_(1, torch.cat([target, history], dim=1) % (n + 1), True)  # -1 becomes the last
        others = logits.masked_fill(met[:, :n], _NEVER).logsumexp(dim=1, keepdim=True)
        own = logits.gather(1, target.clamp(min=0))
        each = functional.softplus(others - own) * (target != NOTHING)
        return each.sum(dim=1).mean() / target.shape[1]  # each interaction counts alike, and it is a mean over examples

    return loss


def in_batch_softmax(temperature: float, *, log_q: bool) -> InParts:
    """The loss of each target against the other candidates of a batch that the user did not meet.

    With `log_q`, candidates that are drawn often are not pushed away for it: see `vicino.learning.losses.in_batch.info_nce`.
    """

    def users(network: Towers, batch: dict[str, Tensor]) -> Tensor:
        return network.users(batch["user"], batch["history"])

    def targets(network: Towers, batch: dict[str, Tensor]) -> Tensor:
        return network.items(batch["target"].clamp(min=0).flatten())

    def negatives(network: Towers, batch: dict[str, Tensor]) -> Tensor:
        return network.items(batch["negative"].clamp(min=0).flatten()) if "negative" in batch else network.item[:0]

    def of(network: Towers, batch: dict[str, Tensor], asked: Tensor, found: Tensor, hard: Tensor) -> Tensor:  # noqa: ARG001
        target = batch["target"]
        real, real_hard = (batch[name].flatten() != NOTHING if name in batch else None for name in ("target", "negative"))
        asked = asked.repeat_interleave(target.shape[1], dim=0)[real]
        names, chances = [target.flatten()[real]], [batch["target_log_q"].flatten()[real]]
        if real_hard is not None:
            hard = hard[real_hard]
            names.append(batch["negative"].flatten()[real_hard])
            chances.append(batch["negative_log_q"].flatten()[real_hard])
        met = _met(batch, torch.cat(names)).repeat_interleave(target.shape[1], dim=0)[real]
        return info_nce(
            asked,
            found[real],
            negatives=hard,
            temperature=temperature,
            left_out=FalseNegatives(margin=0.5, guide=met.float()),  # 1 for what was met, the own target too
            log_q=torch.cat(chances) if log_q else None,
        )

    return InParts([users, targets, negatives], of)


def _met(batch: dict[str, Tensor], candidates: Tensor) -> Tensor:
    """Whether each example's user met each candidate, as far as the example tells: (b, candidates)."""
    distinct, place = torch.unique(candidates, return_inverse=True)
    known = torch.cat([batch["target"], batch["history"]], dim=1)
    at = torch.searchsorted(distinct, known).clamp(max=len(distinct) - 1)
    at = torch.where(distinct[at] == known, at, len(distinct))
    met = torch.zeros(len(known), len(distinct) + 1, dtype=torch.bool, device=known.device)
    return met.scatter_(1, at, True)[:, place]
