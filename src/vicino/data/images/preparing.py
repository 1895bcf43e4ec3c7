"""Images as one array: decoded, brought to one size, and those that cannot be read named."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from vicino import progress
from vicino.data.images.collection import Images
from vicino.data.images.opening import Pixels, as_size, open_image, resized
from vicino.data.scratch import reserve
from vicino.errors import ArtifactError, EmptyInput, ImageError, InputError

__all__ = ["Prepared", "prepared", "readable", "told"]

_ROOM = 2**30  # bytes in memory; more goes to a file
_TOGETHER = 256  # images that are opened at a time
_MOST_THREADS = 16


@dataclass(frozen=True, eq=False)
class Prepared:
    """n images of one size: `pixels` (n, h, w, c) uint8, with their ids and, where there are, labels.

    `broken` says of each image that was left out why it could not be read.
    """

    pixels: Pixels
    ids: list[str]
    labels: list[str] | None = None
    broken: Mapping[str, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.pixels)

    def subset(self, rows: Iterable[int]) -> Prepared:
        """The images of these rows, in their order."""
        chosen = [int(row) for row in rows]
        labels = None if self.labels is None else [self.labels[row] for row in chosen]
        return Prepared(self.pixels[chosen], [self.ids[row] for row in chosen], labels)


def prepared(
    images: Images | Sequence[Any],
    size: int | tuple[int, int] | None,
    channels: Literal[1, 3],
    *,
    crop: bool = True,
    room: int = _ROOM,
) -> Prepared:
    """All images as (n, h, w, channels) uint8; `size` is a side, or a height and a width, or None: the one that all have.

    The proportions stay and what is too long is cut off on both sides, unless `crop` is False. More than `room` bytes go to a
    file among the temporary ones, that is gone with the array. An image that cannot be read is left out and named in `broken`.

    Raises EmptyInput for no images, ImageError where none could be read, InputError for images of several sizes where `size` is
    None, ArtifactError where the disk has no room, MissingExtra where Pillow is needed and not installed.

    >>> made = prepared([np.zeros((6, 4)), np.full((2, 2), np.nan)], 2, 3)
    >>> made.pixels.shape, made.ids, made.broken
    ((1, 2, 2, 3), ['0'], {'1': 'pixels that are NaN or infinite'})
    """
    if channels not in (1, 3):
        raise InputError(f"{channels} channels", mend="ask for 1 (grey) or 3 (colours)")
    given = images if isinstance(images, Images) else Images(images)
    if not len(given):
        raise EmptyInput("there are no images", mend="give at least one")
    ready = _as_it_is(given, size, channels)
    if ready is not None:
        return Prepared(ready, list(given.ids), given.labels)
    broken: dict[str, str] = {}
    whole: Pixels | None = None
    wanted = None if size is None else as_size(size)
    kept: list[int] = []
    with progress.task("Reading images", total=len(given), unit="images") as task:
        for row, opened in _opened(given, lambda image: _shaped(image, wanted, channels, crop)):
            task.advance()
            if isinstance(opened, InputError):
                broken[given.ids[row]] = _why(opened, given.sources[row])
                continue
            if whole is None:
                whole = _array((len(given), *opened.shape), room)
            if opened.shape != whole.shape[1:]:
                raise InputError(
                    f"images of {_sides(whole.shape[1:])} and {_sides(opened.shape)} pixels", mend="give a size for all of them"
                )
            whole[len(kept)] = opened
            kept.append(row)
    if whole is None:
        raise _none_of(len(given), broken)
    labels = None if given.labels is None else [given.labels[row] for row in kept]
    return Prepared(whole[: len(kept)], [given.ids[row] for row in kept], labels, broken)


def readable(images: Images) -> tuple[list[int], dict[str, str], list[int]]:
    """The rows of the images that can be read, of the others why not, by id, and the rows that repeat the pixels of an earlier
    one, which are not among the first; each is opened once.

    Raises ImageError where none can be read.

    >>> readable(Images([np.zeros((2, 2)), b"", np.zeros((2, 2))], ["a", "b", "c"]))
    ([0], {'b': 'a file of zero bytes'}, [2])
    """
    rows, broken, repeats, known = list[int](), dict[str, str](), list[int](), set[bytes]()
    with progress.task("Looking at images", total=len(images), unit="images") as task:
        for row, opened in _opened(images, lambda image: image):
            task.advance()
            if isinstance(opened, InputError):
                broken[images.ids[row]] = _why(opened, images.sources[row])
                continue
            stamp = hashlib.blake2b(repr(opened.shape).encode() + opened.tobytes(), digest_size=16).digest()
            (repeats if stamp in known else rows).append(row)
            known.add(stamp)
    if not rows:
        raise _none_of(len(images), broken)
    return rows, broken, repeats


def told(broken: Mapping[str, str]) -> str:
    """How many images could not be read, and why the first of them could not.

    >>> told({"a.png": "a file of zero bytes", "b.png": "a file of zero bytes"})
    'left out 2: they cannot be read; the first, a.png: a file of zero bytes'
    """
    name, why = next(iter(broken.items()))
    return f"left out {len(broken):,}: they cannot be read; the first, {name}: {why}"


def _none_of(n: int, broken: Mapping[str, str]) -> ImageError:
    first, why = next(iter(broken.items()))
    return ImageError(f"none of {n:,} images could be read; {first}: {why}", mend="look at the first, and mend it")


def _why(error: InputError, source: Any) -> str:
    """What is wrong, without the path: the id says which image it is."""
    return error.what.removeprefix(f"{source}: ") if isinstance(source, str | os.PathLike) else error.what


def _as_it_is(images: Images, size: int | tuple[int, int] | None, channels: int) -> Pixels | None:
    """The array that the images are already, where nothing is to be done."""
    array = images.sources
    if not isinstance(array, np.ndarray) or array.dtype != np.uint8 or array.ndim not in (3, 4) or not array.size:
        return None
    array = array[..., None] if array.ndim == 3 else array
    fits = array.shape[3] == channels and (size is None or as_size(size) == array.shape[1:3])
    return array if fits else None


def _shaped(image: Pixels, size: tuple[int, int] | None, channels: Literal[1, 3], crop: bool) -> Pixels:
    return resized(image, size or (image.shape[0], image.shape[1]), channels, crop=crop)


def _opened(images: Images, shape: Callable[[Pixels], Pixels]) -> Iterator[tuple[int, Pixels | InputError]]:
    """Each image in its order, or why there is none; files are decoded by several threads, as Pillow lets them."""

    def one(row: int) -> Pixels | InputError:
        try:
            return shape(open_image(images.sources[row]))
        except InputError as error:
            return error

    if isinstance(images.sources, np.ndarray):
        yield from ((row, one(row)) for row in range(len(images)))
        return
    with ThreadPoolExecutor(min(_MOST_THREADS, os.cpu_count() or 1)) as pool:
        for at in range(0, len(images), _TOGETHER):
            rows = range(at, min(at + _TOGETHER, len(images)))
            yield from zip(rows, pool.map(one, rows), strict=True)


def _array(shape: tuple[int, ...], room: int) -> Pixels:
    """Zeros, in memory or in a file without a name."""
    size = int(np.prod(shape, dtype=np.int64))
    if size <= room:
        return np.empty(shape, dtype=np.uint8)
    try:
        with tempfile.NamedTemporaryFile(prefix="vicino-images-") as file:  # the map keeps the room when the name goes
            reserve(Path(file.name), size)
            return np.memmap(file, np.uint8, "r+", shape=shape)
    except OSError as error:
        mend = "free some space, or set TMPDIR to a folder with room"
        raise ArtifactError(f"{tempfile.gettempdir()} cannot take {size:,} bytes: {error}", mend=mend) from error


def _sides(shape: tuple[int, ...]) -> str:
    return f"{shape[1]} × {shape[0]}"
