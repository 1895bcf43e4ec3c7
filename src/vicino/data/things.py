"""Things to put on a map: items as an encoder takes them, with a caption, a label and a picture where there are any.

What is read depends on what the encoder accepts: `READERS` is the table. Too many are sampled by chance, with a seed, while they
are read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from vicino import progress
from vicino.data.files import MAX_CHARACTERS, opened, text_stream
from vicino.data.formats import kind_of
from vicino.data.readers import Reading, read_documents
from vicino.data.records import Document
from vicino.data.rows import TABLES
from vicino.errors import EmptyInput, InputError, UnknownName, UnreadableSource

__all__ = ["READERS", "THUMBNAIL", "Asked", "Things", "read_things", "sample"]

_LABEL = str.split("label labels class category topic genre group target tag species language lang kind type")
_NAME = str.split("name node word user item term token id _id key")
_CAPTION = 300  # characters
THUMBNAIL = 40  # pixels, of a side

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Things:
    """n things of `total` that there were. `labels` are "" where one has none; `pictures` are (n, side, side, 3) uint8."""

    ids: Sequence[str]
    items: Sequence[Any]
    captions: Sequence[str]
    labels: Sequence[str] | None = None
    pictures: NDArray[np.uint8] | None = None
    total: int = 0
    notes: tuple[str, ...] = field(default=())

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, rows: Sequence[int], note: str) -> Things:
        """Some of them, and why."""
        ids, items, captions = ([part[row] for row in rows] for part in (self.ids, self.items, self.captions))
        labels = None if self.labels is None else [self.labels[row] for row in rows]
        pictures = None if self.pictures is None else self.pictures[list(rows)]
        return Things(ids, items, captions, labels, pictures, self.total, (*self.notes, note))


@dataclass(frozen=True)
class Asked:
    """How to read: at most `n` things, drawn by `seed`; which column holds text, and which labels (None: known by name)."""

    n: int = 20_000
    seed: int = 0
    text: str | None = None
    label: str | None = None

    def __post_init__(self) -> None:
        if self.n < 1:
            raise InputError(f"{self.n} things cannot be drawn", mend="ask for at least one (--n)")


def read_things(accepts: Iterable[str], path: str | Path, asked: Asked | None = None) -> Things:
    """What `path` holds, read as the first kind of `READERS` that an encoder accepts.

    Raises UnknownName where no kind can be read, EmptyInput for nothing to draw, and what the reader of the kind raises.
    """
    kinds = [kind for kind in READERS if kind in set(accepts)]
    if not kinds:
        known = f"what can be read is {', '.join(READERS)}"
        raise UnknownName(f"no reader of {', '.join(sorted(accepts))}", mend=f"choose another encoder: {known}")
    things = READERS[kinds[0]](Path(path), asked or Asked())
    if not len(things):
        raise EmptyInput(f"{path} holds nothing to draw", mend="give a folder or a file that does")
    return things


def sample(things: Iterable[T], n: int, seed: int) -> tuple[list[T], int]:
    """At most n of them by chance, in their order, and how many there were; only n are held (Vitter 1985, algorithm R).

    >>> sample("abc", 5, seed=0), len(sample(range(1000), 10, seed=0)[0])
    ((['a', 'b', 'c'], 3), 10)
    """
    draw = np.random.default_rng(seed)
    kept: list[tuple[int, T]] = []
    total = 0
    for total, thing in enumerate(things, start=1):
        if total <= n:
            kept.append((total, thing))
        elif (place := int(draw.integers(total))) < n:
            kept[place] = (total, thing)
    return [thing for _, thing in sorted(kept, key=lambda pair: pair[0])], total


# The kinds ------------------------------------------------------------------------------------------------------------


def _texts(path: Path, asked: Asked) -> Things:
    reading = read_documents(path, text=asked.text)
    documents, total = sample(progress.track(reading, "Reading", unit="documents"), asked.n, asked.seed)
    captions = [_short(document.content) for document in documents]
    labels = _labels_of(documents, asked.label)
    return Things([each.id for each in documents], documents, captions, labels, None, total, _left_out(reading))


def _left_out(reading: Reading) -> tuple[str, ...]:
    return (reading.summary(),) if reading.counts else ()


def _labels_of(documents: Sequence[Document], asked: str | None) -> list[str] | None:
    """By a column; where none is known, by the folder that a file stands in, if they stand in several."""
    columns = {name for document in documents for name in document.metadata}
    column = _column(columns, asked, _LABEL)
    if column is not None:
        return [_word(document.metadata.get(column)) for document in documents]
    folders = [document.id.partition("#")[0].rpartition("/")[0] for document in documents]
    return folders if "format" in columns and len(set(folders)) > 1 else None


def _column(columns: Iterable[str], asked: str | None, known: Sequence[str]) -> str | None:
    """The column asked for, or the first one known by name. Raises UnknownName."""
    names = {name.lower(): name for name in sorted(columns)}
    if asked is not None and asked not in names.values():
        raise UnknownName.among(asked, names.values(), kind="column")
    return asked or next((names[name] for name in known if name in names), None)


def _names(path: Path, asked: Asked) -> Things:
    """A table of names, with labels where a column is known to hold them; or one name a line."""
    skipped = Counter[str]()
    rows, total = sample(_named_rows(path, asked, skipped), asked.n, asked.seed)
    names = [name for name, _ in rows]
    labels = [label for _, label in rows]
    notes = tuple(f"skipped {count:,}: {reason}" for reason, count in skipped.most_common())
    return Things(names, names, names, labels if any(labels) else None, None, total, notes)


def _named_rows(path: Path, asked: Asked, skipped: Counter[str]) -> Iterable[tuple[str, str]]:
    kind = kind_of(path.name)
    if not path.is_file():
        raise UnreadableSource(f"there is no file {path}", mend="give a table of names and labels, or one name a line")
    if kind not in TABLES:
        with opened(path) as stream, text_stream(stream) as lines:
            yield from ((line.strip(), "") for line in lines if line.strip())
        return

    def skip(line: int | None, reason: str) -> None:  # noqa: ARG001 - the count is told, not the places
        skipped[reason] += 1

    columns: tuple[str, str | None] | None = None
    for _, row in TABLES[kind](path, MAX_CHARACTERS, skip):
        if columns is None:
            columns = (_column(row, None, _NAME) or next(iter(row)), _column(row, asked.label, _LABEL))
        name, label = _word(row.get(columns[0])), _word(row.get(columns[1] or ""))
        if name:
            yield name, label


def _images(path: Path, asked: Asked) -> Things:
    from vicino.data.images import prepared, read_images, told

    images = read_images(path)
    rows, total = sample(range(len(images)), asked.n, asked.seed)
    drawn = images.subset(rows)
    small = prepared(drawn, THUMBNAIL, 3)
    readable = drawn.subset(row for row, name in enumerate(drawn.ids) if name not in small.broken)
    skipped = (f"skipped {count:,}: {reason}" for reason, count in images.left_out.items())
    notes = (*skipped, *([told(small.broken)] if small.broken else ()))
    return Things(readable.ids, list(readable.sources), readable.ids, readable.labels, small.pixels, total, notes)


READERS: Mapping[str, Callable[[Path, Asked], Things]] = {
    "text": _texts,
    "id": _texts,
    "image": _images,
    "node": _names,
    "word": _names,
    "item": _names,
    "user": _names,
}


def _short(text: str) -> str:
    """Text in one line."""
    line = " ".join(text[: 4 * _CAPTION].split())
    return line if len(line) <= _CAPTION else f"{line[:_CAPTION]}…"


def _word(value: object) -> str:
    if value is None or value != value:
        return ""
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value).strip()
