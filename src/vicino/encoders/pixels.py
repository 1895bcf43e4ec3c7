"""Pixels as they are, and their principal components: the honest baselines of images. No network, no download."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from vicino import progress
from vicino.data.images import as_size, open_image, prepared
from vicino.encoders.base import Role
from vicino.encoders.images import OfImages
from vicino.errors import EmptyInput, ImageError, InputError
from vicino.learning.spectral import truncated_svd

__all__ = ["Eigenimages", "Pixels"]

_MOST = 64 * 64  # pixels of an image, where nobody named a size
_LOOKED_AT = 500  # images that settle size and channels
_AT_ONCE = 1024  # images in memory as floats


class Pixels(OfImages):
    """An image as its pixels, divided by 255: rows of height × width × channels.

    `size` is a side, or a height and a width, of which the middle of an image is cut; None: the median of what `fit` sees, with
    at most 64 × 64 pixels. `channels` is 1 for grey or 3; None: 3 where `fit` sees colours.

    >>> Pixels().fit([np.array([[0, 255], [51, 0]], np.uint8)]).encode(np.array([[1.0, 0.0], [0.2, 1.0]])).round(3).tolist()
    [1.0, 0.0, 0.20000000298023224, 1.0]
    """

    family: ClassVar[str] = "pixels"
    simple: ClassVar[bool] = True

    def __init__(self, *, size: int | tuple[int, int] | None = None, channels: Literal[1, 3] | None = None) -> None:
        self.size = size
        self.channels = channels

    shape_: tuple[int, int, int] | None = None

    def _fit(self, items: list[Any], y: Any, validation: Any) -> None:  # noqa: ARG002 - no labels are needed
        self.shape_ = _shape(items, self.size, self.channels)

    def _encode(self, items: list[Any], role: Role, batch_size: int, output_value: str) -> NDArray[np.float32]:  # noqa: ARG002
        shape = self._require("shape_")
        rows = np.empty((len(items), self.dim), dtype=np.float32)
        for part, pixels in _flat(items, shape):
            np.divide(pixels, 255, out=rows[part], dtype=np.float32)
        return rows

    @property
    def dim(self) -> int:
        height, width, channels = self._require("shape_")
        return int(height * width * channels)

    def _identity(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        return {"shape": list(self._require("shape_"))}, {}

    def _arrays(self) -> dict[str, Any]:
        return {"shape": np.array(self._require("shape_"), dtype=np.int64)}

    def _restore(self, folder: Path, data: Mapping[str, Any], arrays: Mapping[str, Any]) -> None:  # noqa: ARG002
        self.shape_ = _as_shape(arrays["shape"])


class Eigenimages(OfImages):
    """An image as its place along the directions in which images differ most: eigenfaces, where they are faces.

    Turk and Pentland 1991, "Eigenfaces for recognition": pixels of 0 to 1, less their mean over the images, projected on the
    leading `n_components` principal components (fewer where there are fewer images or pixels). With `whiten` each is divided by
    its standard deviation. `fit` looks at `sample` images at most, drawn by `seed`; the components are found by a randomised
    SVD with `n_iter` power iterations. `size` and `channels` are those of `Pixels`. Raises EmptyInput where all images are equal.

    >>> images = np.random.default_rng(0).integers(0, 256, (9, 5, 6), np.uint8)
    >>> Eigenimages(n_components=3).fit(images).encode(images).shape
    (9, 3)
    """

    family: ClassVar[str] = "eigenimages"
    simple: ClassVar[bool] = True

    def __init__(
        self,
        *,
        n_components: int = 128,
        size: int | tuple[int, int] | None = None,
        channels: Literal[1, 3] | None = None,
        whiten: bool = False,
        sample: int = 20_000,
        n_iter: int = 4,
        seed: int = 0,
    ) -> None:
        self.n_components = n_components
        self.size = size
        self.channels = channels
        self.whiten = whiten
        self.sample = sample
        self.n_iter = n_iter
        self.seed = seed

    components_: NDArray[np.float32] | None = None  # (pixels, n_components), unit columns
    mean_: NDArray[np.float32]
    deviations_: NDArray[np.float32]
    shape_: tuple[int, int, int]

    def _fit(self, items: list[Any], y: Any, validation: Any) -> None:  # noqa: ARG002 - as above
        if min(self.n_components, self.sample) < 1:
            raise InputError(f"{self.n_components} components of {self.sample} images", mend="give at least 1 of both")
        if len(items) > self.sample:
            drawn = np.random.default_rng(self.seed).choice(len(items), self.sample, replace=False)
            items = [items[row] for row in np.sort(drawn)]
        shape = _shape(items, self.size, self.channels)
        rows = np.empty((len(items), int(np.prod(shape))), dtype=np.float32)
        for part, pixels in _flat(items, shape):
            np.divide(pixels, 255, out=rows[part], dtype=np.float32)
        mean = rows.mean(axis=0, dtype=np.float64).astype(np.float32)
        rows -= mean
        if not rows.any():
            raise EmptyInput("all images are equal: nothing tells them apart", mend="give several different images")
        with progress.task("Finding principal components", total=1):
            components, values = truncated_svd(rows, self.n_components, iterations=self.n_iter, seed=self.seed)
        self.components_, self.mean_, self.shape_ = components, mean, shape
        self.deviations_ = (values / np.sqrt(max(len(rows) - 1, 1))).astype(np.float32)

    def _encode(self, items: list[Any], role: Role, batch_size: int, output_value: str) -> NDArray[np.float32]:  # noqa: ARG002
        components: NDArray[np.float32] = self._require("components_")
        directions = components / self.deviations_ if self.whiten else components
        # in float64, so that a row is the same whatever stands beside it
        directions, before = directions.astype(np.float64), self.mean_ @ directions.astype(np.float64)
        rows = np.empty((len(items), self.dim), dtype=np.float32)
        for part, pixels in _flat(items, self.shape_):
            rows[part] = pixels / 255.0 @ directions - before
        return rows

    @property
    def dim(self) -> int:
        return int(self._require("components_").shape[1])

    def _identity(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        arrays = self._arrays()
        if not self.whiten:
            del arrays["deviations"]
        return {"whiten": self.whiten}, arrays

    def _arrays(self) -> dict[str, Any]:
        components = self._require("components_")
        shape = np.array(self.shape_, dtype=np.int64)
        return {"components": components, "deviations": self.deviations_, "mean": self.mean_, "shape": shape}

    def _restore(self, folder: Path, data: Mapping[str, Any], arrays: Mapping[str, Any]) -> None:  # noqa: ARG002
        self.components_, self.deviations_, self.mean_ = (arrays[name] for name in ("components", "deviations", "mean"))
        self.shape_ = _as_shape(arrays["shape"])


def _shape(items: Sequence[Any], size: int | tuple[int, int] | None, channels: int | None) -> tuple[int, int, int]:
    """Height, width and channels: those asked for, else what is usual among the items."""
    if channels not in (None, 1, 3):
        raise InputError(f"{channels} channels", mend="ask for 1 (grey) or 3 (colours)")
    step = max(1, len(items) // _LOOKED_AT)
    if size is None or channels is None:
        shapes = np.array([_opened(row, items[row]).shape for row in range(0, len(items), step)])
        if size is None:
            height, width = np.median(shapes[:, :2], axis=0)
            less = min(1.0, float(np.sqrt(_MOST / (height * width))))
            size = max(1, int(height * less)), max(1, int(width * less))
        channels = channels or int(shapes[:, 2].max())
    return *as_size(size), channels


def _opened(row: int, item: Any) -> NDArray[np.uint8]:
    try:
        return open_image(item)
    except ImageError as error:
        raise ImageError(f"item {row}: {error.what}", mend=error.mend) from error


def _flat(items: Sequence[Any], shape: tuple[int, int, int]) -> Iterator[tuple[slice, NDArray[np.uint8]]]:
    """The pixels of some items at a time, a row an image. Raises ImageError, which names the item."""
    *size, channels = shape
    with progress.task("Encoding images", total=len(items), unit="images") as task:
        for at in range(0, len(items), _AT_ONCE):
            some = items[at : at + _AT_ONCE]
            try:
                made = prepared(some, (size[0], size[1]), 3 if channels == 3 else 1)
            except ImageError:
                _opened(at, some[0])  # says it better
                raise
            if made.broken:
                row, why = next(iter(made.broken.items()))
                raise ImageError(f"item {at + int(row)}: {why}", mend="leave it out, or mend it")
            task.advance(len(some))
            yield slice(at, at + len(some)), made.pixels.reshape(len(some), -1)


def _as_shape(array: NDArray[np.int64]) -> tuple[int, int, int]:
    height, width, channels = array.tolist()
    return height, width, channels
