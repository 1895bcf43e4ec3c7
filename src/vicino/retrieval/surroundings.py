"""What stands around a passage in its document, put together from its other passages: no store keeps the whole text."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from vicino.data.filters import In
from vicino.store.base import Store

__all__ = ["AROUND", "Piece", "around", "surroundings"]

AROUND = 300  # characters on each side
_BLANK = 20  # characters that are missing between two passages and can only have been blank lines
_AT_ONCE = 1000  # passages that are read

_Named = tuple[str, str]  # the source and the id of a document


class Piece(NamedTuple):
    """A passage: `text == document text[start:end]`, in characters."""

    start: int
    end: int
    text: str


def surroundings(
    store: Store, rows: Mapping[str, Mapping[str, Any]], *, tenant: str, size: int = AROUND
) -> dict[str, tuple[str, str]]:
    """For each passage, by key, what stands before and after it. `rows` have source, document, start, end and text.

    Only passages that are near one of these are read, however long their documents are.
    """
    if not rows:
        return {}
    spans: defaultdict[_Named, list[tuple[int, int]]] = defaultdict(list)
    for row in rows.values():
        spans[row["source"], row["document"]].append((row["start"] - size, row["end"] + size))
    there = In("document", tuple({document for _, document in spans}))
    near = [
        row["key"]
        for batch in store.scan(["key", "source", "document", "start", "end"], where=there, tenant=tenant)
        for row in batch.to_pylist()
        if any(row["start"] < end and row["end"] > start for start, end in spans.get((row["source"], row["document"]), ()))
    ]
    pieces: defaultdict[_Named, list[Piece]] = defaultdict(list)
    for begin in range(0, len(near), _AT_ONCE):
        some = In("key", tuple(near[begin : begin + _AT_ONCE]))
        for batch in store.scan(["source", "document", "start", "end", "text"], where=some, tenant=tenant):
            for row in batch.to_pylist():
                pieces[row["source"], row["document"]].append(Piece(row["start"], row["end"], row["text"]))
    return {key: around(pieces[row["source"], row["document"]], row["start"], row["end"], size=size) for key, row in rows.items()}


def around(pieces: Iterable[Piece], start: int, end: int, *, size: int = AROUND) -> tuple[str, str]:
    """At most `size` characters before `start` and after `end`, joined from pieces that may overlap.

    What no piece holds is left blank where it is short, as between two paragraphs, and else an ellipsis.

    >>> around([Piece(0, 9, "One. Two."), Piece(5, 16, "Two. Three."), Piece(17, 22, "Four.")], 10, 16, size=6)
    (' Two. ', ' Four.')
    """
    pieces = list(pieces)
    before, after = "", ""
    at = start
    while len(before) < size and (left := [one for one in pieces if one.start < at]):
        one = max(left, key=lambda one: (min(one.end, at), -one.start))
        before = one.text[: max(0, at - one.start)] + _between(at - one.end) + before
        at = one.start
    at = end
    while len(after) < size and (left := [one for one in pieces if one.end > at]):
        one = min(left, key=lambda one: (max(one.start, at), -one.end))
        after += _between(one.start - at) + one.text[max(0, at - one.start) :]
        at = one.end
    return before[max(0, len(before) - size) :], after[:size]


def _between(missing: int) -> str:
    """What stands for so many characters that are not kept."""
    if missing <= 0:
        return ""
    if missing > _BLANK:
        return " … "
    return " " if missing == 1 else "\n"
