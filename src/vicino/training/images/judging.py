"""How good vectors of images are, by images that nothing in training gives away: as they are learnt, and in the end."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from vicino.data.images.opening import Pixels
from vicino.evaluation.gate import Check, check_means
from vicino.metrics.neighbours import knn_classes, nearest, recall_at_1
from vicino.training.images.material import Material, Parts, Rows

if TYPE_CHECKING:
    from torch import nn

__all__ = ["Judge"]

Embed = Callable[[Pixels], NDArray[Any]]  # (n, h, w, c) uint8 -> (n, d)

_NEIGHBOURS = 20
_MOST_KNOWN, _KNOWN_MEANWHILE = 50_000, 10_000  # images of known class, in the end and while it learns
_VIEW = 0.5  # the least share of an image that its view shows


class Judge:
    """What a training is judged by; `metric` and `judged_by` say it in words.

    By "classes", an image is right where most of its 20 nearest by cosine, of the images that are learnt from, are of its class;
    by "identities", where the nearest other image of those held back is of its class, which nothing was learnt from; by "views",
    where a view of it (a part, mirrored, of another contrast) is nearest to it among those held back.
    """

    def __init__(self, given: Material, parts: Parts, seed: int) -> None:
        self.given, self.parts, self.seed = given, parts, seed
        self.known = np.random.default_rng(seed).permutation(parts.learn)
        self.metric = "kNN accuracy" if parts.by == "classes" else "recall@1"
        held, classes = len(parts.judge), len(given.classes)
        self.judged_by = {
            "classes": f"{held:,} held-back images of {classes:,} classes",
            "identities": f"{held:,} images of {len(np.unique(self._labels(parts.judge))):,} classes that were held back whole",
            "views": f"views of {held:,} held-back images",
        }[parts.by]

    def right(self, embed: Embed, rows: Rows, known: int = _MOST_KNOWN) -> NDArray[np.float64]:
        """Of each image of `rows`, 1 where it is right and 0 where not, (m,)."""
        asked, labels = embed(self.given.pixels[rows]), self._labels(rows)
        if self.parts.by == "views":
            views = embed(_views(self.given.pixels[rows], self.seed))
            return np.asarray(nearest(asked, views, 1)[:, 0] == np.arange(len(rows)), dtype=np.float64)
        if self.parts.by == "identities":
            return recall_at_1(asked, labels)
        bank = self.known[:known]
        found = knn_classes(embed(self.given.pixels[bank]), self._labels(bank), asked, _NEIGHBOURS)
        return np.asarray(found == labels, dtype=np.float64)

    def chooser(self) -> Callable[[nn.Module], float]:
        """How good a network in training is, an objective with its `backbone`, by images of their own."""
        from vicino.encoders.images.network import vectors

        def choose(objective: Any) -> float:
            right = self.right(lambda pixels: vectors(objective.backbone, pixels), self.parts.choose, _KNOWN_MEANWHILE)
            return float(right.mean())

        return choose

    def check(self, before: Mapping[str, NDArray[np.float64]], after: NDArray[np.float64]) -> Check:
        """The best of what was there before, against what was learnt; images of one identity are drawn together."""
        best = max(before, key=lambda name: before[name].mean())
        groups = self._labels(self.parts.judge) if self.parts.by == "identities" else None
        return check_means(f"{self.metric}, from {best}", before[best], after, groups=groups, seed=self.seed)

    def baselines(self) -> dict[str, NDArray[np.float64]]:
        """What needs no network: pixels as they are, and their principal components; for each, what of the judged is right."""
        from vicino import encoders

        learnt = self.given.pixels[self.known[:_KNOWN_MEANWHILE]]
        fitted = {name: encoders.make(name, size=learnt.shape[1]).fit(learnt) for name in ("pixels", "eigenimages")}
        return {name: self.right(encoder.encode, self.parts.judge) for name, encoder in fitted.items()}

    def _labels(self, rows: Rows) -> NDArray[np.int64]:
        return np.zeros(len(rows), dtype=np.int64) if self.given.labels is None else self.given.labels[rows]


def _views(pixels: Pixels, seed: int) -> Pixels:
    """A view of each image, the same for the same seed."""
    import torch

    from vicino.encoders.images import augment

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        found = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
        found = augment.jitter(augment.crop(found, area=(_VIEW, 1.0), mirror=0.5), share=1.0)
        return cast(Pixels, (found * 255).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous().numpy())
