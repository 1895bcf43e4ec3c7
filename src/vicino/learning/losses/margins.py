"""Classes as directions: softmax classification, and margins that make each class keep to itself.

Logits are scale · cos(vector, class), but for a vector's own class scale · (cos(θ + arc) - gap), which it can only meet by coming
nearer. Deng, Guo, Xue and Zafeiriou 2019, "ArcFace" (arc = 0.5, scale = 64); Wang et al. 2018, "CosFace" (gap = 0.35).

With millions of classes their directions are the memory: each process then holds a shard of them, sees the vectors of all
processes, and of its classes may draw only a share at each step (An et al. 2021, "Partial FC").
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, distributed
from torch.nn import functional

from vicino.errors import DimensionMismatch, InputError

__all__ = ["ClassMargins", "softmax_classification", "with_margin"]


def softmax_classification(logits: Tensor, labels: Tensor, *, smoothing: float = 0.0) -> Tensor:
    """The cross entropy of (b, classes) logits and (b,) labels; `smoothing` spreads that share of a label over all classes.

    >>> float(softmax_classification(torch.zeros(1, 2), torch.tensor([0])))  # ln 2
    0.6931471824645996
    """
    return functional.cross_entropy(logits, labels, label_smoothing=smoothing)


def with_margin(cosines: Tensor, labels: Tensor, *, arc: float = 0.0, gap: float = 0.0) -> Tensor:
    """(b, classes) cosines, in which a vector's own class has cos(θ + arc) - gap; a label of -1 has no class here.

    Past θ = π - arc, where the cosine would rise again, cos θ - arc sin arc goes on falling (as ArcFace's authors do).

    >>> with_margin(torch.tensor([[0.5, 0.1]]), torch.tensor([0]), gap=0.35).round(decimals=2).tolist()
    [[0.15..., 0.10...]]
    """
    rows = torch.nonzero(labels >= 0).squeeze(1)
    own = cosines[rows, labels[rows]]
    sines = (1 - own.square()).clamp(min=1e-12).sqrt()
    turned = own * math.cos(arc) - sines * math.sin(arc)
    turned = torch.where(own > math.cos(math.pi - arc), turned, own - arc * math.sin(arc)) - gap
    return cosines.index_put((rows, labels[rows]), turned)


class ClassMargins(torch.nn.Module):
    """The directions of `classes` classes, (classes, dim), or this process's shard of them, and the loss against them.

    `arc` and `gap` are the margins, `scale` multiplies cosines. Where `torch.distributed` runs and `sharded` is asked for,
    process r of w holds the classes from r · ⌈classes / w⌉ on. `sample` is the share of a shard's classes that a step meets:
    those that the batch has, and others by chance.

    Sharded, the loss is the mean over the vectors of all processes, the same number on each, and gradients are those of the
    unsharded loss: whoever averages gradients over processes must multiply by their number.

    Raises InputError for parameters that cannot be.
    """

    def __init__(
        self,
        dim: int,
        classes: int,
        *,
        arc: float = 0.5,
        gap: float = 0.0,
        scale: float = 64.0,
        sample: float = 1.0,
        sharded: bool = False,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if classes < 2 or dim < 1 or not 0 <= arc < math.pi or scale <= 0 or not 0 < sample <= 1:
            raise InputError(
                f"{classes} classes in {dim} dimensions with arc={arc}, scale={scale}, sample={sample} cannot be",
                mend="give 2 classes or more, arc=0.5, scale=64, sample=1",
            )
        self.arc, self.gap, self.scale, self.sample = arc, gap, scale, sample
        self.sharded = sharded and distributed.is_initialized() and distributed.get_world_size() > 1
        rank, world = (distributed.get_rank(), distributed.get_world_size()) if self.sharded else (0, 1)
        each = -(-classes // world)
        self.first = min(rank * each, classes)
        held = min(each, classes - self.first)
        generator = torch.Generator().manual_seed(seed)
        directions = torch.randn(classes, dim, generator=generator) * 0.01
        self.directions = torch.nn.Parameter(directions[self.first : self.first + held].clone())
        self._chance = torch.Generator().manual_seed(seed + 1 + rank)

    def forward(self, vectors: Tensor, labels: Tensor) -> Tensor:
        """(b, dim) vectors and their (b,) labels -> the loss, (). Raises DimensionMismatch."""
        if vectors.ndim != 2 or vectors.shape[1] != self.directions.shape[1] or labels.shape != vectors.shape[:1]:
            raise DimensionMismatch(
                f"vectors {tuple(vectors.shape)} with labels {tuple(labels.shape)}",
                mend=f"give (b, {self.directions.shape[1]}) and (b,)",
            )
        return self.of_first(vectors, labels)

    def of_first(self, vectors: Tensor, labels: Tensor) -> Tensor:
        """The loss of the first dimensions of vectors, (b, m), against as many of the directions: what `matryoshka` takes."""
        if self.sharded:
            vectors, labels = _Gathered.apply(vectors), _gathered(labels)  # type: ignore[no-untyped-call]
        labels = labels - self.first
        labels = torch.where((labels >= 0) & (labels < len(self.directions)), labels, -1)
        directions, labels = self._drawn(labels)
        cosines = functional.normalize(vectors, dim=-1) @ functional.normalize(directions[:, : vectors.shape[1]], dim=-1).T
        logits = self.scale * with_margin(cosines, labels, arc=self.arc, gap=self.gap)
        if self.sharded:
            loss: Tensor = _ShardedCrossEntropy.apply(logits, labels)  # type: ignore[no-untyped-call]
            return loss
        return functional.cross_entropy(logits, labels)

    def _drawn(self, labels: Tensor) -> tuple[Tensor, Tensor]:
        """The directions that this step meets, and the labels among them."""
        n = len(self.directions)
        if self.sample == 1:
            return self.directions, labels
        order = torch.rand(n, generator=self._chance).to(labels.device)
        present = torch.unique(labels[labels >= 0])
        order[present] = 2  # before all others
        kept = order.topk(min(n, max(len(present), math.ceil(self.sample * n)))).indices.sort().values
        return self.directions[kept], torch.where(labels >= 0, torch.searchsorted(kept, labels.clamp(min=0)), -1)


def _gathered(local: Tensor) -> Tensor:
    """The rows of all processes, in their order; all have as many."""
    parts = [torch.empty_like(local) for _ in range(distributed.get_world_size())]
    distributed.all_gather(parts, local.contiguous())
    return torch.cat(parts)


class _Gathered(torch.autograd.Function):
    """`_gathered` with gradients: a row's is the sum of what all processes say of it."""

    @staticmethod
    def forward(_: Any, local: Tensor) -> Tensor:
        return _gathered(local)

    @staticmethod
    def backward(_: Any, gradient: Tensor) -> Tensor:
        gradient = gradient.contiguous()
        distributed.all_reduce(gradient)
        return gradient.chunk(distributed.get_world_size())[distributed.get_rank()]


class _ShardedCrossEntropy(torch.autograd.Function):
    """The mean cross entropy where each process has the logits of some classes, and -1 for labels that are not its own."""

    @staticmethod
    def forward(context: Any, logits: Tensor, labels: Tensor) -> Tensor:
        highest = logits.max(dim=1).values if logits.shape[1] else logits.new_full((len(logits),), -torch.inf)
        distributed.all_reduce(highest, distributed.ReduceOp.MAX)
        shares = (logits - highest[:, None]).exp()
        total = shares.sum(dim=1)
        distributed.all_reduce(total)
        rows = torch.nonzero(labels >= 0).squeeze(1)
        own = torch.zeros_like(highest)
        own[rows] = logits[rows, labels[rows]] - highest[rows]
        distributed.all_reduce(own)
        context.save_for_backward(shares / total[:, None], rows, labels[rows])
        return (total.log() - own).mean()

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, None]:
        shares, rows, labels = context.saved_tensors
        slopes = shares.clone()
        slopes[rows, labels] -= 1
        return slopes * gradient / len(slopes), None
