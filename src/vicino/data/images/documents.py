"""Images as documents: what a collection keeps of an image is where it lies, and what its bytes are."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from vicino.data.images.opening import open_image, read_file
from vicino.data.images.sources import read_images
from vicino.data.readers import Reading
from vicino.data.records import Document
from vicino.errors import InputError, UnreadableSource

__all__ = ["image_documents"]

_TOGETHER = 256  # images that are opened at a time
_MOST_THREADS = 16


def image_documents(path: str | Path, *, text: str | None = None) -> Reading:
    """A document for each image file that `read_images` finds: its id is the id there, its text the full path of the file.

    The label, where there is one, and the SHA-256 of the bytes are metadata, so that an image that changed is noticed. An image
    that cannot be decoded is skipped and counted. `text` names the column of paths in a table.

    Iterating raises what `read_images` raises, and UnreadableSource for arrays of pixels, which lie in no files of their own.
    """
    return Reading(Path(path), lambda root, reading: _documents(root, reading, text))


def _documents(root: Path, reading: Reading, column: str | None) -> Iterator[Document]:
    images = read_images(root, columns=None if column is None else {"path": column})
    if isinstance(images.sources, np.ndarray):
        raise UnreadableSource(f"{root} holds arrays, not files of images", mend="give a folder of images, or a table of paths")
    for reason, count in images.left_out.items():
        reading.counts[reason] += count
    labels = images.labels or [""] * len(images)
    with ThreadPoolExecutor(min(_MOST_THREADS, os.cpu_count() or 1)) as pool:
        for at in range(0, len(images), _TOGETHER):
            part = slice(at, at + _TOGETHER)
            opened = pool.map(_stamped, images.sources[part])
            for name, label, source, stamp in zip(images.ids[part], labels[part], images.sources[part], opened, strict=True):
                if isinstance(stamp, InputError):
                    reading.skip(name, None, stamp.what.removeprefix(f"{source}: "))
                    continue
                place = os.fsencode(Path(source).resolve()).decode("utf-8", "replace")
                if not os.path.exists(place):
                    reading.skip(name, None, "a path that is not UTF-8")
                    continue
                yield Document(name, place, metadata={"sha256": stamp} | ({"label": label} if label else {}))


def _stamped(source: str | Path) -> str | InputError:
    """The digest of a file that is an image, or why it is none."""
    try:
        data = read_file(Path(source))
        open_image(data)
    except InputError as error:
        return error
    return hashlib.sha256(data).hexdigest()
