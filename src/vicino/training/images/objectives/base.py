"""What all objectives share: a backbone that is kept, heads that are not, views of images, and a loss for the training loop."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from vicino.encoders.images import augment
from vicino.encoders.images.network import Backbone
from vicino.errors import InputError
from vicino.learning.loop import InParts, Loss
from vicino.parameters import Parameterised
from vicino.training.images.batches import PixelBatches
from vicino.training.rules import Rule, between, count, require

__all__ = ["Objective", "OfVectors", "Options", "projection"]

Batch = Mapping[str, Tensor]


@dataclass(frozen=True, kw_only=True, repr=False)
class Options(Parameterised):
    """What can be chosen of every objective: how an image is changed before it is seen, anew each time.

    `crop` is the least share of its area that is kept (1: all of it), `flip` the probability that it is mirrored, `shift` by how
    many pixels it is moved at most, `jitter` the strength of changes of brightness, contrast and colour, `blur` and `grey` the
    probabilities of these. Raises InputError for values that cannot be.

    >>> Options.of(crop=0.5)
    Options(crop=0.5)
    """

    crop: float = 1.0
    flip: float = 0.5
    shift: int = 0
    jitter: float = 0.0
    blur: float = 0.0
    grey: float = 0.0

    rules: ClassVar[Mapping[str, Rule]] = {
        "crop": between(0.01, 1, "give crop=0.2, a share of the area, or 1"),
        "flip": between(0, 1, "give flip=0.5, a probability"),
        "shift": count(0, "give shift=2, or 0"),
        "jitter": between(0, 1, "give jitter=0.4, a strength up to 1"),
        "blur": between(0, 1, "give blur=0.5, a probability"),
        "grey": between(0, 1, "give grey=0.2, a probability"),
    }

    def __post_init__(self) -> None:
        require(self, self.rules)

    def seen(self, pixels: Tensor) -> Tensor:
        """Bytes (b, c, h, w) -> float in 0..1, each image changed by its own draw from torch's generator."""
        pixels = pixels.float() / 255
        if self.crop < 1:
            pixels = augment.crop(pixels, area=(self.crop, 1.0), mirror=self.flip)
        elif self.flip:
            pixels = augment.flip(pixels, self.flip)
        if self.shift:
            pixels = augment.shift(pixels, self.shift)
        if self.jitter:
            pixels = augment.jitter(pixels, brightness=self.jitter, contrast=self.jitter, saturation=self.jitter)
        if self.blur:
            pixels = augment.blur(pixels, share=self.blur)
        return augment.grey(pixels, self.grey) if self.grey else pixels


class Objective(nn.Module, ABC):
    """What a `backbone` learns by: called with a batch of `PixelBatches`, it gives the loss, (), that is to fall.

    `classes` is the number of them, where there are labels; `recipe` are options by name, those of the class's `Options`. Train
    it by `vicino.learning.loop.fit(objective, batches, objective.loss, settings)`, and keep `objective.backbone`. All that it
    changes by itself (a slow copy, a queue) are buffers and parameters, so that a checkpoint knows them.

    Of each kind, `needs_labels` says whether it cannot do without, `identities` whether what it learns is meant for classes that
    it never saw, `backbone_name` which backbone it is usually for, and `usual` what its author would set the loop to.

    Raises InputError for options that cannot be, fewer than two classes where they are needed, and a backbone that does not do;
    UnknownName for what is no option.
    """

    Options: ClassVar[type[Options]] = Options
    needs_labels: ClassVar[bool] = False
    identities: ClassVar[bool] = False
    backbone_name: ClassVar[str] = "small"
    usual: ClassVar[Mapping[str, Any]] = {"batch_size": 256, "learning_rate": 2e-3, "weight_decay": 0.05, "schedule": "cosine"}

    def __init__(self, backbone: Backbone, *, classes: int | None = None, recipe: Mapping[str, Any] | None = None) -> None:
        super().__init__()
        self.options: Any = self.Options.of(**(recipe or {}))
        if self.needs_labels and (classes is None or classes < 2):
            raise InputError(
                f"{type(self).__name__} learns from classes, and there are {classes or 'none'}",
                mend="give images of two classes or more, or choose an objective without labels, such as simclr",
            )
        self.backbone, self.classes = backbone, classes or 0

    @abstractmethod
    def forward(self, batch: Batch) -> Tensor:
        """The loss of a batch, ()."""

    @property
    def loss(self) -> Loss:
        """What the training loop wants: (network, batch) -> (), the network being an objective like this one, or its copy."""
        return _of_examples

    def batches(
        self, pixels: NDArray[np.uint8], labels: NDArray[Any] | None, batch_size: int, *, rows: NDArray[np.int64] | None = None
    ) -> PixelBatches:
        """Batches as this objective wants them, of images uint8 (n, h, w, c); see `PixelBatches`."""
        return PixelBatches(pixels, labels, batch_size, rows=rows)

    def reconstruct(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8] | None:  # noqa: ARG002 - most paint nothing
        """Images as they come back from their vectors, uint8 (n, h, w, c) -> the same shape; None where nothing is painted."""
        return None

    def view(self, pixels: Tensor) -> Tensor:
        """Bytes (b, c, h, w) -> what the backbone reads, each image changed by its own draw."""
        return self.backbone.normalised(self.options.seen(pixels))


def _of_examples(network: Any, batch: Batch) -> Tensor:
    loss: Tensor = network(batch)
    return loss


class OfVectors(Objective):
    """An objective of one vector an image: batches may be embedded in parts, by gradient caching or several processes."""

    @abstractmethod
    def embedded(self, batch: Batch) -> Tensor:
        """(b, d): the vectors of a batch, or of a part of it."""

    @abstractmethod
    def compared(self, batch: Batch, vectors: Tensor) -> Tensor:
        """The loss of the vectors of the whole batch, in float32, ()."""

    def forward(self, batch: Batch) -> Tensor:
        """The loss of a batch, ()."""
        return self.compared(batch, self.embedded(batch).float())

    @property
    def loss(self) -> Loss:
        """The same in the parts that the training loop can take apart."""
        return InParts((lambda network, batch: network.embedded(batch),), lambda network, *given: network.compared(*given))


def projection(dim: int, hidden: int, out: int) -> nn.Sequential:
    """The head on which views are compared, and which is not kept: (b, dim) -> (b, out)."""
    return nn.Sequential(nn.Linear(dim, hidden, bias=False), nn.BatchNorm1d(hidden), nn.ReLU(), nn.Linear(hidden, out))
