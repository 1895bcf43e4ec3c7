"""Many images, of which each is opened when it is asked for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from vicino.data.images.opening import Pixels, open_image
from vicino.errors import DimensionMismatch, DuplicateIds

__all__ = ["Images"]


class Images(Sequence[Pixels]):
    """n images: `images[row]` is (h, w, c) uint8, opened then; a slice is `Images` again.

    `sources` are what `open_image` takes, one an image, or one array (n, h, w) or (n, h, w, c). `ids` name them (the path in
    its folder, or the row), `labels` are names of classes and `parts` says which split each belongs to, or None. `left_out`
    counts, by reason, what was not read. Raises DimensionMismatch for as many of one as not of the other, DuplicateIds.

    >>> images = Images(np.zeros((2, 4, 3), np.uint8), labels=["cat", "dog"])
    >>> len(images), images.ids, images[1].shape, images[1:].labels
    (2, ['0', '1'], (4, 3, 1), ['dog'])
    """

    def __init__(
        self,
        sources: Sequence[Any] | NDArray[Any],
        ids: Sequence[str] | None = None,
        labels: Sequence[str] | None = None,
        *,
        parts: Sequence[str] | None = None,
        left_out: Mapping[str, int] | None = None,
    ) -> None:
        self.sources = sources
        self.ids = [str(row) for row in range(len(sources))] if ids is None else list(ids)
        self.labels = None if labels is None else [str(label) for label in labels]
        self.parts = None if parts is None else list(parts)
        self.left_out = dict(left_out or {})
        for what, values in (("ids", self.ids), ("labels", self.labels), ("parts", self.parts)):
            if values is not None and len(values) != len(sources):
                raise DimensionMismatch(f"{len(sources):,} images and {len(values):,} {what}", mend="give one for each image")
        if len(set(self.ids)) < len(self.ids):
            raise DuplicateIds("two images have one id", mend="give each image an id of its own")

    def __len__(self) -> int:
        return len(self.sources)

    @overload
    def __getitem__(self, row: int) -> Pixels: ...

    @overload
    def __getitem__(self, row: slice) -> Images: ...

    def __getitem__(self, row: int | slice) -> Pixels | Images:
        if isinstance(row, slice):
            return self.subset(range(len(self))[row])
        return open_image(self.sources[row])

    def __repr__(self) -> str:
        classes = "no labels" if self.labels is None else f"{len(set(self.labels)):,} classes"
        return f"<{len(self):,} images, {classes}>"

    def subset(self, rows: Iterable[int]) -> Images:
        """The images of these rows, in their order."""
        chosen = [int(row) for row in rows]
        sources = self.sources[chosen] if isinstance(self.sources, np.ndarray) else [self.sources[row] for row in chosen]
        labels, parts = ([each[row] for row in chosen] if each is not None else None for each in (self.labels, self.parts))
        return Images(sources, [self.ids[row] for row in chosen], labels, parts=parts, left_out=self.left_out)
