"""Images as batches of pixels: in any order, or so many of each of some classes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vicino.errors import DimensionMismatch, EmptyInput, InputError

__all__ = ["ClassBatches", "PixelBatches"]

Rows = NDArray[np.int64]


class PixelBatches:
    """Batches of b images: {"pixels": uint8 (b, c, h, w), "label": int64 (b,) where there are any}.

    `pixels` are uint8 (n, h, w, c), in memory or mapped from a file; `labels` (n,) number their classes. With `rows`, only these
    images are learnt from. The order depends on the number of an epoch and its seed. What is left at the end of an epoch is left
    out for it, so that all batches are as large.

    Raises EmptyInput for no images, DimensionMismatch for pixels of another shape or kind, and for labels of another length.

    >>> pixels = np.arange(5, dtype=np.uint8).reshape(5, 1, 1, 1)
    >>> batches = PixelBatches(pixels, np.array([0, 1, 0, 1, 0]), 2)
    >>> len(batches), [(tuple(each["pixels"].shape), len(each["label"])) for each in batches.epoch(0, 0)]
    (2, [((2, 1, 1, 1), 2), ((2, 1, 1, 1), 2)])
    """

    def __init__(
        self, pixels: NDArray[np.uint8], labels: NDArray[Any] | None, batch_size: int, *, rows: Rows | None = None
    ) -> None:
        if pixels.ndim != 4 or pixels.dtype != np.uint8:
            raise DimensionMismatch(f"pixels of shape {pixels.shape}, {pixels.dtype}", mend="give uint8 (n, h, w, c)")
        if labels is not None and len(labels) != len(pixels):
            raise DimensionMismatch(f"{len(pixels)} images with {len(labels)} labels", mend="give one label for each image")
        self.pixels, self.labels = pixels, None if labels is None else np.asarray(labels, dtype=np.int64)
        self.rows: Rows = np.arange(len(pixels)) if rows is None else np.asarray(rows, dtype=np.int64)
        if not len(self.rows):
            raise EmptyInput("no images to learn from", mend="give some hundred")
        self.batch_size = min(batch_size, len(self.rows))

    def __len__(self) -> int:
        """The number of batches in an epoch."""
        return len(self.rows) // self.batch_size

    def epoch(self, number: int, seed: int) -> Iterator[dict[str, Any]]:
        """The batches of an epoch, in the order that its number and the seed give."""
        import torch

        for rows in self.order(number, seed):
            # Strides stay those of (b, h, w, c): what torch calls channels_last, and convolves fastest on a processor.
            batch = {"pixels": torch.from_numpy(self.pixels[rows]).permute(0, 3, 1, 2)}
            if self.labels is not None:
                batch["label"] = torch.from_numpy(self.labels[rows])
            yield batch

    def order(self, number: int, seed: int) -> Iterator[Rows]:
        """The images of each batch of an epoch."""
        order = np.random.default_rng([seed, number]).permutation(self.rows)
        for start in range(0, len(self) * self.batch_size, self.batch_size):
            yield order[start : start + self.batch_size]


class ClassBatches(PixelBatches):
    """The same, but that each batch has `each` images of as many classes as `batch_size` holds: what triplets are made of.

    Classes come as often as one another, however many images they have; those of a class come in turn, and once more where it
    has fewer than are asked for. Where there are fewer classes than a batch holds, each gives more images. An epoch has as many
    batches as images fill.

    Hermans, Beyer and Leibe 2017, "In defense of the triplet loss" (P classes, K images). Raises what `PixelBatches` raises, and
    InputError for fewer than two classes, or no two images of each in a batch.

    >>> batches = ClassBatches(np.zeros((6, 1, 1, 1), dtype=np.uint8), np.array([0, 0, 0, 1, 1, 2]), 4, each=2)
    >>> [sorted(np.bincount(each["label"], minlength=3).tolist()) for each in batches.epoch(0, 0)]
    [[0, 2, 2]]
    """

    def __init__(
        self,
        pixels: NDArray[np.uint8],
        labels: NDArray[Any],
        batch_size: int,
        *,
        each: int = 4,
        rows: Rows | None = None,
    ) -> None:
        super().__init__(pixels, labels, batch_size, rows=rows)
        found = np.asarray(labels, dtype=np.int64)[self.rows]
        order = np.argsort(found, kind="stable")
        names, starts = np.unique(found[order], return_index=True)
        self.by_class = np.split(self.rows[order], starts[1:])
        if len(names) < 2 or each < 2 or batch_size < 2 * each:
            raise InputError(
                f"batches of {batch_size} images, {each} of each class, from {len(names)} classes cannot be",
                mend="give two classes or more, each=2 or more, and a batch_size of at least twice that",
            )
        self.at_once = min(len(names), batch_size // each)
        self.each = batch_size // self.at_once
        self.batch_size = self.at_once * self.each

    def __len__(self) -> int:
        """The number of batches in an epoch."""
        return max(1, len(self.rows) // self.batch_size)

    def order(self, number: int, seed: int) -> Iterator[Rows]:
        """The images of each batch of an epoch, class by class."""
        random = np.random.default_rng([seed, number])
        waiting: dict[int, Rows] = {}  # what of a class has not come yet
        classes: Rows = np.zeros(0, dtype=np.int64)
        for _ in range(len(self)):
            if len(classes) < self.at_once:
                classes = random.permutation(len(self.by_class))
            chosen, classes = classes[: self.at_once], classes[self.at_once :]
            yield np.concatenate([self._next(int(one), waiting, random) for one in chosen])

    def _next(self, one: int, waiting: dict[int, Rows], random: np.random.Generator) -> Rows:
        rows = waiting.get(one, self.by_class[one][:0])
        if len(rows) < self.each:  # begin anew rather than have an image twice
            rows = random.permutation(self.by_class[one])
            rows = np.resize(rows, max(len(rows), self.each))
        waiting[one] = rows[self.each :]
        return rows[: self.each]
