"""Files that hold many images as one array: idx, as MNIST and its kin are given, and NumPy's .npz and .npy."""

from __future__ import annotations

import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vicino.data.files import opened
from vicino.data.images.collection import Images
from vicino.errors import DimensionMismatch, InputError, UnreadableSource

__all__ = ["PARTS", "idx_parts", "is_idx", "numpy_parts", "part_of", "read_idx"]

PARTS = ("train", "dev", "test")
_PARTS = {"training": "train", "val": "dev", "valid": "dev", "validation": "dev", "testing": "test", "t10k": "test"}
_IMAGES = ("images", "image", "x", "data", "pixels", "faces", "imgs", "img")
_LABELS = ("labels", "label", "y", "target", "targets", "classes", "class", "subject", "subjects", "identity", "person")
_IDX = re.compile(r"(.*?)(images?)[-._](idx\d)-\w+(\.gz)?", re.IGNORECASE)
_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_PIECE = 2**24  # bytes read at a time: what a header promises need not be there
_DAMAGE = (
    OSError,
    MemoryError,  # what a header promises need not be there
    ValueError,
    EOFError,
    TypeError,
    AttributeError,
    zipfile.BadZipFile,
    zlib.error,
)  # TypeError: .npy called .npz

Parts = Mapping[str, Callable[[], Images]]


def part_of(name: str) -> str | None:
    """The split that a name means, train, dev or test; None where it means none.

    >>> part_of("Validation"), part_of("cats")
    ('dev', None)
    """
    lower = name.lower()
    return lower if lower in PARTS else _PARTS.get(lower)


def is_idx(name: str) -> bool:
    """Whether a file of this name holds images in idx.

    >>> is_idx("train-images-idx3-ubyte.gz"), is_idx("train-labels-idx1-ubyte.gz")
    (True, False)
    """
    return _IDX.fullmatch(name) is not None


def idx_parts(files: Sequence[Path]) -> Parts:
    """The idx files of images among these, by split; nothing where there are none."""
    found: dict[str, Callable[[], Images]] = {}
    for path in sorted(files, key=lambda path: path.suffix == ".gz"):
        match = _IDX.fullmatch(path.name)
        if match:
            stem = match[1].rstrip("-._")
            found.setdefault(part_of(stem) or stem, _idx_reader(path, part_of(stem) or stem))
    return {name: found[name] for name in sorted(found, key=lambda name: (PARTS.index(name) if name in PARTS else 9, name))}


def read_idx(path: Path, part: str = "") -> Images:
    """The images of one idx file (LeCun's format), with the labels of the file beside it that is called so, if there is one.

    Raises UnreadableSource for what is damaged, cut off or not idx, DimensionMismatch for more or fewer labels than images.
    """
    match = _IDX.fullmatch(path.name)
    array = _read(path)
    if array.ndim not in (3, 4):
        raise UnreadableSource(f"{path}: idx of {array.ndim} dimensions", mend="images have three, or four with colours")
    beside = path.parent.iterdir() if match else ()
    wanted = f"{match[1]}labels" if match else ""
    named = sorted(file for file in beside if re.fullmatch(rf"{re.escape(wanted)}[-._]idx\d-\w+(\.gz)?", file.name, re.I))
    labels = _as_labels(_read(named[0]), len(array), named[0]) if named else None
    return _numbered(array, labels, part)


def numpy_parts(path: Path) -> Parts:
    """The images of a .npy file, or of an .npz file by split: arrays called images, x, data ..., x_train, test_images ...

    Raises UnreadableSource for what NumPy cannot open, InputError where it is not plain which array holds the images.
    """
    if path.suffix.lower() == ".npy":
        return {"": lambda: _numbered(_as_images(_mapped(path), path), None, "")}
    with _npz(path) as file:
        names = list(file)
    images, labels = _by_part(names, _IMAGES), _by_part(names, _LABELS)
    if not images:
        images = {"": _only_images(path, names)}
    if "" in images and len(images) > 1:
        del images[""]
    return {name: _npz_reader(path, images[name], labels.get(name), name) for name in (*PARTS, "") if name in images}


def _idx_reader(path: Path, part: str) -> Callable[[], Images]:
    return lambda: read_idx(path, part)


def _npz_reader(path: Path, images: str, labels: str | None, part: str) -> Callable[[], Images]:
    def read() -> Images:
        array = _as_images(_array(path, images), path)
        told = None if labels is None else _as_labels(_array(path, labels), len(array), path)
        return _numbered(array, told, part)

    return read


def _numbered(array: NDArray[Any], labels: list[str] | None, part: str) -> Images:
    return Images(array, [f"{part}/{row}" if part else str(row) for row in range(len(array))], labels)


def _read(path: Path) -> NDArray[Any]:
    try:
        with opened(path) as stream:
            head = stream.read(4)
            if len(head) < 4 or head[:2] != b"\0\0" or head[2] not in _TYPES or not 1 <= head[3] <= 8:
                raise UnreadableSource("not an idx file", mend="give the file as it was published")
            sides = stream.read(4 * head[3])
            shape = struct.unpack(f">{head[3]}I", sides) if len(sides) == 4 * head[3] else (0,)
            dtype = np.dtype(_TYPES[head[2]])
            size = int(np.prod([float(side) for side in shape])) * dtype.itemsize
            data = bytearray()
            while len(data) <= size and (piece := stream.read(min(_PIECE, size + 1 - len(data)))):
                data += piece
        if len(data) != size or not size:
            what = f"{size:,} bytes are promised and {'more are' if len(data) > size else f'{len(data):,} are'} there"
            raise UnreadableSource(what, mend="fetch the file again")
    except UnreadableSource as error:
        raise UnreadableSource(f"{path}: {error.what}", mend=error.mend) from error
    return np.frombuffer(data, dtype).reshape(shape).astype(dtype.newbyteorder("="), copy=False)


@contextmanager
def _npz(path: Path) -> Iterator[Mapping[str, NDArray[Any]]]:
    """The arrays of a file, each read when it is asked for."""
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            yield file
    except _DAMAGE as error:
        raise _unreadable(path, error) from error


def _array(path: Path, name: str) -> NDArray[Any]:
    with _npz(path) as file:
        return np.asarray(file[name])


def _mapped(path: Path) -> NDArray[Any]:
    try:
        return np.asarray(np.load(path, allow_pickle=False, mmap_mode="r"))
    except _DAMAGE as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> UnreadableSource:
    what = str(error).partition(".")[0] or type(error).__name__
    return UnreadableSource(f"{path}: {what}", mend="write it again with np.savez; arrays of objects are not read")


def _by_part(names: Sequence[str], known: Sequence[str]) -> dict[str, str]:
    """Part -> the array's name, of those whose name without the part is `known`; earlier in `known` goes first."""
    found: dict[str, str] = {}
    for word in known:
        for name in names:
            pieces = re.split(r"[_.\-]", name.lower())
            part = next((part for part in map(part_of, pieces) if part), "")
            if [piece for piece in pieces if not part_of(piece)] == [word]:
                found.setdefault(part, name)
    return found


def _only_images(path: Path, names: Sequence[str]) -> str:
    shaped = [name for name in names if _array(path, name).ndim in (3, 4)]
    if len(shaped) != 1:
        raise InputError(
            f"{path} holds {', '.join(names[:20]) or 'no arrays'}; none is called images",
            mend="call the arrays images and labels",
        )
    return shaped[0]


def _as_images(array: NDArray[Any], path: Path) -> NDArray[Any]:
    """(n, h, w) or (n, h, w, c); channels that come first are moved."""
    if array.ndim not in (3, 4) or not array.size:
        mend = "give (n, h, w) or (n, h, w, c): x.reshape(-1, 28, 28)"
        raise InputError(f"{path}: an array of shape {array.shape} is no images", mend=mend)
    first = array.ndim == 4 and array.shape[3] not in (1, 3, 4) and array.shape[1] in (1, 3, 4)
    return np.moveaxis(array, 1, -1) if first else array


def _as_labels(array: NDArray[Any], n: int, path: Path) -> list[str]:
    flat = array[:, 0] if array.ndim == 2 and array.shape[1] == 1 else array
    if flat.ndim != 1 or flat.dtype.kind not in "iuUb":
        mend = "give one class an image, as a number or a name"
        raise InputError(f"{path}: labels of shape {array.shape} and type {array.dtype}", mend=mend)
    if len(flat) != n:
        raise DimensionMismatch(f"{path}: {n:,} images and {len(flat):,} labels", mend="give one for each image")
    return [str(label) for label in flat.tolist()]
