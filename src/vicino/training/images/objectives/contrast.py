"""Objectives without labels by contrast: two views of an image belong together, and all other images apart."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from vicino.encoders.images.network import Backbone
from vicino.learning.devices import gathered
from vicino.learning.large_batches import MemoryQueue, follow
from vicino.learning.losses.in_batch import info_nce, nt_xent
from vicino.training.images.objectives.base import Batch, Objective, OfVectors, Options, projection
from vicino.training.rules import Rule, between, count, share

__all__ = ["MoCo", "SimCLR"]


@dataclass(frozen=True, kw_only=True, repr=False)
class _Views(Options):
    """Strong changes, for what they leave alike is what is learnt; and the head that compares."""

    crop: float = 0.3
    jitter: float = 0.8
    blur: float = 0.0
    grey: float = 0.2
    temperature: float = 0.1
    hidden_dim: int = 256
    projection_dim: int = 64

    rules: ClassVar[Mapping[str, Rule]] = {
        **Options.rules,
        "temperature": share("give temperature=0.1"),
        "hidden_dim": count(1, "give hidden_dim=256"),
        "projection_dim": count(1, "give projection_dim=64"),
    }


class SimCLR(OfVectors):
    """Two views of each image must find one another among those of the whole batch.

    They are compared behind a head with a layer of `hidden_dim` units and `projection_dim` numbers, by cosines over
    `temperature`. Larger batches have more to tell apart: `small_batch` of the loop makes them fit.

    Chen, Kornblith, Norouzi and Hinton 2020, "A simple framework for contrastive learning of visual representations".
    """

    Options = _Views
    backbone_name = "small(width=64,pooling=flat)"

    def __init__(self, backbone: Backbone, *, classes: int | None = None, recipe: Mapping[str, Any] | None = None) -> None:
        super().__init__(backbone, classes=classes, recipe=recipe)
        self.head = projection(backbone.dim, self.options.hidden_dim, self.options.projection_dim)

    def embedded(self, batch: Batch) -> Tensor:
        """(b, 2 · projection_dim): both views' vectors, side by side."""
        both = torch.cat([self.view(batch["pixels"]), self.view(batch["pixels"])])
        left, right = self.head(self.backbone(both)).chunk(2)
        return torch.cat([left, right], dim=1)

    def compared(self, batch: Batch, vectors: Tensor) -> Tensor:  # noqa: ARG002 - views are all that is told apart
        """NT-Xent."""
        return nt_xent(*vectors.chunk(2, dim=1), temperature=self.options.temperature)


@dataclass(frozen=True, kw_only=True, repr=False)
class _Queued(_Views):
    """Those of `SimCLR`, and `queue_size` and `momentum`."""

    queue_size: int = 4096
    momentum: float = 0.99

    rules: ClassVar[Mapping[str, Rule]] = {
        **_Views.rules,
        "queue_size": count(1, "give queue_size=4096"),
        "momentum": between(0, 1, "give momentum=0.99"),
    }


class MoCo(Objective):
    """A view must find the other, as a slow copy of the network sees it, among `queue_size` vectors of batches gone by.

    The copy follows with `momentum` at each step (version 2: a head with a hidden layer, strong views). The keys of the batch are
    candidates beside the queue: batch normalisation may tell which vectors came together, but among those not which belong to one
    image, and needs no shuffling between devices. The queue should be smaller than the images are many.

    He, Fan, Wu, Xie and Girshick 2020, "Momentum contrast for unsupervised visual representation learning"; Chen, Fan, Girshick
    and He 2020, "Improved baselines with momentum contrastive learning".
    """

    Options = _Queued
    backbone_name = SimCLR.backbone_name

    def __init__(self, backbone: Backbone, *, classes: int | None = None, recipe: Mapping[str, Any] | None = None) -> None:
        super().__init__(backbone, classes=classes, recipe=recipe)
        self.head = projection(backbone.dim, self.options.hidden_dim, self.options.projection_dim)
        self.slow = copy.deepcopy(nn.Sequential(self.backbone, self.head)).requires_grad_(False)
        self.queue = MemoryQueue(self.options.queue_size, self.options.projection_dim)

    def forward(self, batch: Batch) -> Tensor:
        """InfoNCE against the queue; moves the copy before and the queue after."""
        with torch.no_grad():
            follow(self.slow, nn.Sequential(self.backbone, self.head), momentum=self.options.momentum)
            keys = self.slow(self.view(batch["pixels"])).float()
        queries = self.head(self.backbone(self.view(batch["pixels"]))).float()
        with torch.autocast(queries.device.type, enabled=False):
            loss = info_nce(queries, keys, negatives=self.queue.vectors, temperature=self.options.temperature)
        self.queue.push(gathered(keys))
        return loss
