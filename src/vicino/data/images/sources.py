"""Where images lie: folders, idx and NumPy files, tables of paths -> `Images`, with their labels and splits."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from vicino.data.files import MAX_CHARACTERS
from vicino.data.formats import kind_of
from vicino.data.images import arrays
from vicino.data.images.collection import Images
from vicino.data.rows import TABLES
from vicino.errors import EmptyInput, InputError, UnknownName, UnreadableSource

__all__ = ["read_images", "splits_of"]

_SUFFIXES = (
    *(".avif", ".bmp", ".gif", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg", ".mpo"),
    *(".pbm", ".pgm", ".png", ".pnm", ".ppm", ".tga", ".tif", ".tiff", ".webp"),
)
_COLUMNS = {  # what a table's columns are called
    "path": str.split("path file filename file_name filepath file_path image image_path image_file img"),
    "label": str.split("label class class_name label_name category target identity person subject y"),
    "split": str.split("split part set subset fold partition"),
    "id": str.split("id image_id uid uuid"),
}

Parts = Mapping[str, Callable[[], Images]]  # by name; "" where there are no parts


def read_images(path: str | Path, *, split: str | None = None, columns: Mapping[str, str] | None = None) -> Images:
    """The images of a folder or file, each opened when it is asked for; those of files of arrays are in memory.

    A folder of folders: each folder is a class, and what lies in it, however deep, is of that class; where the folders are
    called train, test (val, dev ...), these are the splits and hold the classes. Images that lie in the folder itself have no
    labels. A folder may also hold idx files, as MNIST's (`train-images-idx3-ubyte`, with or without .gz), or one file of the
    following. A file: .npz or .npy of arrays (`images`, `labels`; `x_train` ...), idx, or a table (.csv, .tsv, .jsonl,
    .parquet) with a column of paths, and perhaps of labels, splits and ids; `columns` says which is which where their names do
    not: {"path": "photo", "label": "who"}.

    `split` takes one part; without, all are taken. Raises UnreadableSource, EmptyInput, UnknownName for a split or column that
    is not there, and InputError for arrays that fit neither images nor labels.
    """
    parts = _parts(Path(path), dict(columns or {}))
    if split is not None:
        name = arrays.part_of(split) or split
        if name not in parts:
            raise UnknownName.among(split, [name for name in parts if name], kind="split")
        parts = {name: parts[name]}
    images = _joined({name: read() for name, read in parts.items()})
    if not len(images):
        what = "; ".join(f"{why} ({n:,})" for why, n in images.left_out.items())
        raise EmptyInput(f"{path} holds no images" + (f": {what}" if what else ""), mend=f"known are {', '.join(_SUFFIXES)}")
    return images


def splits_of(path: str | Path, *, columns: Mapping[str, str] | None = None) -> list[str]:
    """The names of the splits that `read_images` can take one by one; none where the images are in one part.

    "validation" and "val" are called dev. Raises what `read_images` raises for a path.
    """
    return [name for name in _parts(Path(path), dict(columns or {})) if name]


def _joined(parts: Mapping[str, Images]) -> Images:
    if len(parts) == 1:
        return next(iter(parts.values()))
    several = list(parts.values())
    held = [images.sources for images in several]
    alike = [each for each in held if isinstance(each, np.ndarray)]
    whole = len(alike) == len(held) and len({(each.dtype, each.shape[1:]) for each in alike}) == 1
    labelled = all(images.labels is not None for images in several)
    names = list(chain.from_iterable([name] * len(images) for name, images in parts.items()))
    ids = list(chain.from_iterable(images.ids for images in several))
    labels = list(chain.from_iterable(images.labels or () for images in several)) if labelled else None
    left_out = sum((Counter(images.left_out) for images in several), Counter())
    return Images(
        np.concatenate(alike) if whole else list(chain.from_iterable(held)), ids, labels, parts=names, left_out=left_out
    )


def _parts(path: Path, columns: dict[str, str]) -> Parts:
    unknown = set(columns) - set(_COLUMNS)
    if unknown:
        raise UnknownName.among(min(unknown), _COLUMNS, kind="part of a table of images")
    if path.is_dir():
        return _of_folder(path, columns)
    if not path.is_file():
        raise UnreadableSource(f"there is no {path}", mend="give a folder of images, or a file of arrays or of paths")
    if path.suffix.lower() in (".npz", ".npy"):
        return arrays.numpy_parts(path)
    if arrays.is_idx(path.name):
        return {"": lambda: arrays.read_idx(path)}
    if kind_of(path.name) in TABLES:
        return _of_table(path, columns)
    if path.name.lower().endswith(_SUFFIXES):
        return {"": lambda: Images([path], [_portable(path.name)])}
    mend = "give a folder, .npz, .npy, an idx file, or a table: .csv, .tsv, .jsonl, .parquet"
    raise UnreadableSource(f"{path}: unknown kind of file", mend=mend)


def _of_folder(root: Path, columns: dict[str, str]) -> Parts:
    try:
        inside = sorted(each for each in root.iterdir() if not each.name.startswith("."))
    except OSError as error:
        raise UnreadableSource(f"{root} cannot be read: {error.strerror}", mend="check that you may read it") from error
    idx = arrays.idx_parts([each for each in inside if each.is_file()])
    if idx:
        return idx
    folders = [each for each in inside if each.is_dir()]
    loose = any(each.name.lower().endswith(_SUFFIXES) for each in inside if each.is_file())
    if not folders and not loose:
        held = [each for each in inside if each.suffix.lower() in (".npz", ".npy") or kind_of(each.name) in TABLES]
        if len(held) == 1:
            return _parts(held[0], columns)
    named = {arrays.part_of(each.name): each for each in folders}
    if folders and not loose and len(named) == len(folders) and None not in named:
        order = sorted((name, folder) for name, folder in named.items() if name)
        order.sort(key=lambda pair: arrays.PARTS.index(pair[0]))
        return {name: _reader(root, folder) for name, folder in order}
    return {"": _reader(root, root)}


def _reader(root: Path, folder: Path) -> Callable[[], Images]:
    return lambda: _class_folders(root, folder)


def _class_folders(root: Path, folder: Path) -> Images:
    """The images under `folder`; their ids begin at `root`, their classes are the folders in `folder`."""
    left_out: Counter[str] = Counter()
    paths = list(_image_files(folder, left_out))
    inner = [path.relative_to(folder).parts for path in paths]
    labels = [_portable(parts[0]) for parts in inner] if inner and all(len(parts) > 1 for parts in inner) else None
    ids = [_portable(path.relative_to(root).as_posix()) for path in paths]
    return Images(paths, ids, labels, left_out=left_out)


def _image_files(folder: Path, left_out: Counter[str]) -> Iterator[Path]:
    """In an order that does not depend on the file system; hidden ones are nothing, links to folders are not followed."""

    def unreadable(error: OSError) -> None:
        left_out[f"a folder that cannot be read: {error.strerror or type(error).__name__}"] += 1

    for here, folders, names in os.walk(folder, onerror=unreadable):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(name for name in names if not name.startswith(".")):
            if name.lower().endswith(_SUFFIXES):
                yield Path(here, name)
            else:
                left_out["not an image, by its name"] += 1


def _of_table(path: Path, columns: dict[str, str]) -> Parts:
    """The rows of a table by their split; paths are relative to the table's folder."""
    left_out: Counter[str] = Counter()

    def skip(line: int | None, reason: str) -> None:  # noqa: ARG001 - as `TABLES` calls it
        left_out[reason] += 1

    rows: dict[str, list[tuple[str, Path, Any]]] = {}
    seen: set[str] = set()
    found: dict[str, str] | None = None
    for number, row in TABLES[kind_of(path.name) or ""](path, MAX_CHARACTERS, skip):
        found = _recognised(row, columns, path) if found is None else found
        place = row.get(found["path"])
        label, part = (row.get(found.get(what, "")) for what in ("label", "split"))
        if not isinstance(place, str) or not place or "\0" in place:
            left_out["a row without a path"] += 1
        elif "label" in found and label in (None, ""):
            left_out["a row without a label"] += 1
        else:
            named = str(part or "")
            name = str(row.get(found.get("id", "")) or (f"{place}#{number}" if place in seen else place))
            seen.add(place)
            rows.setdefault(arrays.part_of(named) or named, []).append((name, path.parent / place, label))
    if found is None:
        raise EmptyInput(f"{path} holds no rows", mend="give a table with a column of paths to images")
    labelled = "label" in found
    told = dict(left_out)
    order = sorted(rows, key=_order)  # the first part tells what was left out, so that all together count it once
    parts = {name: _table_reader(rows[name], labelled, {} if place else told) for place, name in enumerate(order)}
    return parts or {"": lambda: _none(told)}


def _order(part: str) -> tuple[int, str]:
    return (arrays.PARTS.index(part) if part in arrays.PARTS else len(arrays.PARTS)), part


def _table_reader(rows: list[tuple[str, Path, Any]], labelled: bool, left_out: Mapping[str, int]) -> Callable[[], Images]:
    def read() -> Images:
        labels = [str(label) for _, _, label in rows] if labelled else None
        return Images([place for _, place, _ in rows], [name for name, _, _ in rows], labels, left_out=left_out)

    return read


def _none(left_out: Mapping[str, int]) -> Images:
    return Images([], left_out=left_out)


def _recognised(row: Mapping[str, Any], columns: dict[str, str], path: Path) -> dict[str, str]:
    for name in columns.values():
        if name not in row:
            raise UnknownName.among(name, row, kind="column")
    lower = {name.lower(): name for name in reversed(list(row))}
    found = {what: next((lower[name] for name in names if name in lower), "") for what, names in _COLUMNS.items()}
    found = {what: name for what, name in (found | columns).items() if name}
    if "path" not in found:
        raise InputError(
            f"{path}: no column is known to hold paths among: {', '.join(list(row)[:40])}",
            mend='say which one does: --column path=NAME (columns={"path": NAME})',
        )
    return found


def _portable(name: str) -> str:
    """A file's name as valid Unicode: bytes that are no UTF-8 become \\xNN."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")
