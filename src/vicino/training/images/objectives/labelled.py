"""Objectives for images with classes: softmax, triplets, and classes by angles with a margin.

Identities (`Triplet`, `ArcFace`, `CosFace`) are classes of few images each, learnt in order to tell others apart that were never
seen: faces, products, places.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from vicino.encoders.images.network import Backbone
from vicino.errors import InputError
from vicino.learning.losses.margins import ClassMargins, softmax_classification
from vicino.learning.losses.triplets import batch_triplets
from vicino.training.images.batches import ClassBatches
from vicino.training.images.objectives.base import Batch, OfVectors, Options
from vicino.training.rules import Rule, between, count, one_of, share

__all__ = ["ArcFace", "CosFace", "Supervised", "Triplet"]

_PLACES = "small(pooling=flat)"  # faces are centred: where something is says who it is
# For some hundred images of faces: what is learnt for much longer no longer tells people apart who were not there.
_FEW = {**OfVectors.usual, "batch_size": 64, "epochs": 60}


class _Labelled(OfVectors):
    """An objective of the backbone's own vectors, and of labels."""

    needs_labels = True

    def embedded(self, batch: Batch) -> Tensor:
        """(b, dim)."""
        vectors: Tensor = self.backbone(self.view(batch["pixels"]))
        return vectors


@dataclass(frozen=True, kw_only=True, repr=False)
class _Smoothed(Options):
    """Those of `Options`, and `smoothing` and `dropout`."""

    shift: int = 2
    smoothing: float = 0.1
    dropout: float = 0.0

    rules: ClassVar[Mapping[str, Rule]] = {
        **Options.rules,
        "smoothing": between(0, 0.99, "give smoothing=0.1, or 0"),
        "dropout": between(0, 0.99, "give dropout=0.2, or 0"),
    }


class Supervised(_Labelled):
    """Classes by softmax on a linear head: the backbone's vector, the layer before the head, is the embedding.

    `smoothing` is the share of a label that is spread over all classes (Szegedy et al. 2016, "Rethinking the Inception
    architecture for computer vision"); `dropout` that of the vector's numbers which the head must do without.
    """

    Options = _Smoothed

    def __init__(self, backbone: Backbone, *, classes: int | None = None, recipe: Mapping[str, Any] | None = None) -> None:
        super().__init__(backbone, classes=classes, recipe=recipe)
        self.head = nn.Sequential(nn.Dropout(self.options.dropout), nn.Linear(backbone.dim, self.classes))

    def compared(self, batch: Batch, vectors: Tensor) -> Tensor:
        """The cross entropy."""
        return softmax_classification(self.head(vectors), batch["label"], smoothing=self.options.smoothing)


@dataclass(frozen=True, kw_only=True, repr=False)
class _FaceOptions(Options):
    crop: float = 0.7
    jitter: float = 0.2


@dataclass(frozen=True, kw_only=True, repr=False)
class _Mined(_FaceOptions):
    """Those of `Options`, and `margin`, `mining`, `each`."""

    margin: float = 0.2
    mining: str = "semi-hard"
    each: int = 4

    rules: ClassVar[Mapping[str, Rule]] = {
        **Options.rules,
        "margin": share("give margin=0.2"),
        "mining": one_of("semi-hard", "hard", "all"),
        "each": count(2, "give each=4, 2 or more"),
    }


class Triplet(_Labelled):
    """FaceNet: an image is nearer to each of its own class than to the others of the batch, by a `margin`.

    A batch has `each` images of as many classes as it holds; triplets are mined in it, "semi-hard" ones (as FaceNet does), "hard"
    ones or "all". Schroff, Kalenichenko and Philbin 2015, "FaceNet".
    """

    Options = _Mined
    backbone_name = _PLACES
    identities = True
    usual: ClassVar[Mapping[str, Any]] = _FEW

    def batches(
        self, pixels: NDArray[np.uint8], labels: NDArray[Any] | None, batch_size: int, *, rows: NDArray[np.int64] | None = None
    ) -> ClassBatches:
        """So many of each class; see `ClassBatches`. Raises InputError without labels."""
        if labels is None:
            raise InputError("triplets are made of classes", mend="give labels, or choose simclr")
        return ClassBatches(pixels, labels, batch_size, each=self.options.each, rows=rows)

    def compared(self, batch: Batch, vectors: Tensor) -> Tensor:
        """The mean over triplets, in cosine distances."""
        return batch_triplets(vectors, batch["label"], margin=self.options.margin, mining=self.options.mining)


@dataclass(frozen=True, kw_only=True, repr=False)
class _Scaled(_FaceOptions):
    scale: float = 32.0
    sample: float = 1.0

    rules: ClassVar[Mapping[str, Rule]] = {
        **Options.rules,
        "scale": share("give scale=32"),
        "sample": between(1e-6, 1, "give sample=1, or 0.1 of very many classes"),
    }


class _Margins(_Labelled):
    """Classes as directions; see `vicino.learning.losses.margins`."""

    backbone_name = _PLACES
    identities = True
    usual: ClassVar[Mapping[str, Any]] = _FEW

    def __init__(self, backbone: Backbone, *, classes: int | None = None, recipe: Mapping[str, Any] | None = None) -> None:
        super().__init__(backbone, classes=classes, recipe=recipe)
        arc, gap = self._margin()
        scale, sample = self.options.scale, self.options.sample
        self.margins = ClassMargins(backbone.dim, self.classes, arc=arc, gap=gap, scale=scale, sample=sample)

    @abstractmethod
    def _margin(self) -> tuple[float, float]:
        """The angle, and the cosine."""

    def compared(self, batch: Batch, vectors: Tensor) -> Tensor:
        """The cross entropy of cosines with their margin."""
        loss: Tensor = self.margins(vectors, batch["label"])
        return loss


@dataclass(frozen=True, kw_only=True, repr=False)
class _Arc(_Scaled):
    """Those of `Options`, and `arc`, `scale`, `sample`."""

    arc: float = 0.5

    rules: ClassVar[Mapping[str, Rule]] = {
        **_Scaled.rules,
        "arc": between(0, math.pi / 2, "give arc=0.5, an angle up to half of pi"),
    }


class ArcFace(_Margins):
    """A vector must be nearer to the direction of its class than to the others, by the angle `arc`.

    `scale` multiplies cosines; `sample` is the share of classes that a step meets, where there are very many. Deng, Guo, Xue and
    Zafeiriou 2019, "ArcFace"; An et al. 2021, "Partial FC".
    """

    Options = _Arc

    def _margin(self) -> tuple[float, float]:
        return self.options.arc, 0.0


@dataclass(frozen=True, kw_only=True, repr=False)
class _Gap(_Scaled):
    """Those of `Options`, and `gap`, `scale`, `sample`."""

    gap: float = 0.35

    rules: ClassVar[Mapping[str, Rule]] = {**_Scaled.rules, "gap": between(0, 1, "give gap=0.35, a cosine up to 1")}


class CosFace(_Margins):
    """The same by the cosine: that of a vector and its class must be larger than the others by the `gap`.

    Wang et al. 2018, "CosFace".
    """

    Options = _Gap

    def _margin(self) -> tuple[float, float]:
        return 0.0, self.options.gap
