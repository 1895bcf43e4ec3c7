"""Writing: whole documents embedded and committed, a batch at a time, and what that counted.

The process that reads the source does it, or many on other machines: each batch is one commit that may be repeated.
"""

from __future__ import annotations

import itertools
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vicino.data.filters import And, Compare, Filter, In
from vicino.data.records import Document
from vicino.errors import InputError
from vicino.spaces import Space
from vicino.store import lineage
from vicino.store.base import Row
from vicino.store.collection import Collection

if TYPE_CHECKING:
    from vicino.store.changes import Piece

__all__ = ["FEW", "Tally", "Work", "Write", "named", "take_each"]

# Writes batches of whole documents, counts in the work's tally, and yields the number of passages of each that is committed.
Write = Callable[["Work", Iterator[list["Piece"]]], Iterator[int]]

FEW = 500  # documents in one condition
_TOGETHER = 16  # batches
_QUICK = 2.0  # seconds in which a commit of so many is not missed


@dataclass
class Tally:
    """What was written; the fields are those of `vicino.store.changes.Summary`.

    >>> both = Tally(new=1, refused=Counter(["no text"]), limit=256) + Tally(new=2, refused=Counter(["no text"]))
    >>> both.new, both.refused["no text"], both.limit
    (3, 2, 256)
    """

    new: int = 0
    changed: int = 0
    stale: int = 0
    passages: int = 0
    embedded: int = 0
    reused: int = 0
    tokens: int = 0
    tokens_cut: int = 0
    encoding_seconds: float = 0.0
    limit: int | None = None
    refused: Counter[str] = field(default_factory=Counter)

    def __add__(self, other: Tally) -> Tally:
        sums = {each.name: getattr(self, each.name) + getattr(other, each.name) for each in fields(self) if each.name != "limit"}
        return Tally(**sums, limit=self.limit or other.limit)


class Work:
    """The second pass, batch by batch, and what it counted."""

    def __init__(self, collection: Collection, source: str, tenant: str) -> None:
        self.collection, self.source, self.tenant = collection, source, tenant
        self.tally = Tally()
        self._fresh: set[str] = set()  # the keys of the batch that got new vectors

    def take(self, pieces: Sequence[Piece]) -> None:
        """Embed and commit whole documents; what the store cannot hold is counted and left out."""
        store = self.collection.store
        fitting = []
        for piece in pieces:
            why = store.misfits(piece.document.metadata)
            if why:
                self._refuse(piece, why)
            else:
                fitting.append(piece)
        rows = [row for piece in fitting for row in piece.rows(self.source, self.tenant)]
        passages = [passage for piece in fitting for passage in piece.passages()]
        vectors = {}
        for number in self.collection.stored:
            vectors[self.collection.spaces[number].id] = self._embed(number, fitting, rows, passages)
        self._commit(fitting, rows, vectors)

    def _refuse(self, piece: Piece, why: str) -> None:
        self.tally.refused[why] += 1
        self.tally.stale += not piece.is_new

    def _embed(
        self, number: int, pieces: Sequence[Piece], rows: Sequence[Row], passages: Sequence[Document]
    ) -> NDArray[np.float32]:
        """A vector for each row: the one that the same text of the same document had, else a new one."""
        space, encoder = self.collection.spaces[number], self.collection.encoder(number)
        had = self._had(space, [piece.document.id for piece in pieces if not piece.is_new])
        missing = [at for at, row in enumerate(rows) if (row.document, row.digest) not in had]
        vectors = np.empty((len(rows), space.dim), dtype=np.float32)
        for at, row in enumerate(rows):
            if (row.document, row.digest) in had:
                vectors[at] = had[row.document, row.digest]
        unread = [passages[at] for at in missing]
        began = time.monotonic()
        if unread:
            vectors[missing] = encoder.encode_document(unread)
        self.tally.encoding_seconds += time.monotonic() - began
        if number == self.collection.stored[0]:
            self._fresh = {rows[at].key for at in missing}
            cut = encoder.truncation(unread) if unread else None
            if cut is not None:
                self.tally += Tally(tokens=cut.tokens, tokens_cut=cut.tokens_cut, limit=cut.limit)
        return vectors

    def _had(self, space: Space, documents: Sequence[str]) -> dict[tuple[str, str], NDArray[np.float32]]:
        """The vectors that these documents have, by document and digest."""
        had: dict[tuple[str, str], NDArray[np.float32]] = {}
        for start in range(0, len(documents), FEW):
            where = named(documents[start : start + FEW], self.source)
            for batch in self.collection.store.scan(["document", "digest"], where=where, tenant=self.tenant, space=space):
                vectors = batch.column("vector").flatten().to_numpy(zero_copy_only=False).reshape(-1, space.dim)
                names = zip(batch.column("document").to_pylist(), batch.column("digest").to_pylist(), strict=True)
                had.update(zip(names, vectors, strict=True))
        return had

    def _commit(self, pieces: Sequence[Piece], rows: Sequence[Row], vectors: Mapping[str, NDArray[np.float32]]) -> None:
        """One commit; where the store refuses something in it, two halves, down to the document that it refuses."""
        try:
            self.collection.store.replace(rows, vectors, tenant=self.tenant)
        except InputError as error:
            if len(pieces) == 1:
                self._refuse(pieces[0], error.what)
                return
            half = len(pieces) // 2
            at = sum(len(piece.spans) for piece in pieces[:half])
            self._commit(pieces[:half], rows[:at], {name: array[:at] for name, array in vectors.items()})
            self._commit(pieces[half:], rows[at:], {name: array[at:] for name, array in vectors.items()})
            return
        fresh = sum(piece.is_new for piece in pieces)
        self.tally += Tally(new=fresh, changed=len(pieces) - fresh, passages=len(rows))
        if self.collection.stored:
            embedded = sum(row.key in self._fresh for row in rows)
            self.tally += Tally(embedded=embedded, reused=len(rows) - embedded)
        self._tell(rows, len(pieces))

    def _tell(self, rows: Sequence[Row], documents: int) -> None:
        """A line of lineage: what got new vectors, or is new where no vectors are kept."""
        keys = [row.key for row in rows if row.key in self._fresh or not self.collection.stored]
        lineage.append(
            self.collection.folder,
            "ingest",
            model=lineage.told(self.collection),
            version=self.collection.store.version,
            tenant=self.tenant,
            source=self.source,
            keys=keys,
            documents=documents,
        )


def named(documents: Sequence[str], source: str) -> Filter:
    """The rows of these documents, at most `FEW`, of a source."""
    return And((Compare("source", "=", source), In("document", tuple(documents))))


def take_each(work: Work, batches: Iterator[list[Piece]]) -> Iterator[int]:
    """Write them here, one after the other; up to `_TOGETHER` in one commit where that takes no time: vectors that are ready."""
    together = 1
    while held := list(itertools.islice(batches, together)):
        began = time.monotonic()
        pieces = list(itertools.chain.from_iterable(held))
        work.take(pieces)
        if time.monotonic() - began < _QUICK:
            together = min(2 * together, _TOGETHER)
        yield sum(len(piece.spans) for piece in pieces)
