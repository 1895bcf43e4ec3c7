"""Ingest: documents into a collection, only as far as they changed.

Two passes. `read_changes` reads the source, compares each document with what the collection holds, and spools what is new or
changed to a temporary file; then all work is known, and `write_changes` embeds and commits it in batches, each of whole
documents. A killed run leaves every batch that it committed; the same command finds those unchanged and goes on.
"""

from __future__ import annotations

import hashlib
import json
import math
import random
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Any, Self

import numpy as np
from numpy.typing import NDArray

from vicino import progress
from vicino.catalog import call
from vicino.data import chunking
from vicino.data.code import language_of_document
from vicino.data.files import well_formed
from vicino.data.filters import And, Compare, Filter, In
from vicino.data.formats import LANGUAGES
from vicino.data.records import Document
from vicino.errors import ArtifactError, InputError
from vicino.spaces import Space
from vicino.store.base import Row, Store
from vicino.store.collection import Collection

__all__ = ["Changes", "Piece", "Summary", "read_changes", "revisions", "write_changes"]

_BATCH = 1024  # passages embedded and committed together
_FEW = 500  # documents in one condition
_STAMP = "sha256"  # in the metadata: of what the text only names, such as a file of an image
_DIGITS = 32  # hexadecimal, of SHA-256: 128 bits


@dataclass(frozen=True)
class Piece:
    """A changed document, whether the collection had another revision of it, and where it is cut."""

    document: Document
    revision: str
    is_new: bool
    spans: tuple[tuple[int, int], ...]

    def passages(self) -> list[Document]:
        """What models read: each passage under the title of its document; one that is in one piece keeps its id."""
        document = self.document
        if len(self.spans) == 1:
            return [document]
        return [
            Document(f"{document.id}:{start}-{end}", document.text[start:end], document.title, document.metadata)
            for start, end in self.spans
        ]

    def rows(self, source: str, tenant: str) -> list[Row]:
        """The passages as rows. Equal passages of one document are told apart by their order."""
        document, times = self.document, Counter[str]()
        outside = [document.metadata[_STAMP]] if _STAMP in document.metadata else []
        rows = []
        for number, (start, end) in enumerate(self.spans):
            text = document.text[start:end]
            digest = _digest([document.title, text, *outside])
            key = _digest([tenant, source, document.id, digest, times[digest]])
            times[digest] += 1
            place = (number, start, end)
            rows.append(
                Row(key, tenant, source, document.id, *place, document.title, text, digest, self.revision, document.metadata)
            )
        return rows


class Changes:
    """What is new or changed in a source, as `Piece` records spooled to disk until it is closed, and what is not."""

    def __init__(self, known: Mapping[str, str]) -> None:
        self.documents = self.unchanged = self.passages = self._code = 0
        self.refused: Counter[str] = Counter()
        self.known = known
        self.vanished = list(known)
        self._spool: IO[str] = tempfile.TemporaryFile("w+", encoding="utf-8", errors="surrogatepass")  # noqa: SIM115 - gone with it

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._spool.close()

    def add(self, piece: Piece) -> None:
        """Keep one for the second pass. Raises ArtifactError for a full disk."""
        document = piece.document
        plain = [document.id, document.text, document.title, document.metadata, piece.revision, piece.is_new, piece.spans]
        try:
            self._spool.write(json.dumps(plain) + "\n")
        except OSError as error:
            raise ArtifactError(f"cannot spool what changed: {error}", mend="free some space, or set TMPDIR elsewhere") from error
        self.passages += len(piece.spans)
        self._code += language_of_document(document) in LANGUAGES

    @property
    def analyzer(self) -> str:
        """How these documents are best read: "code" where most are that, else "words"."""
        return "code" if self._code > (self.documents - self.unchanged) / 2 else "words"

    def __iter__(self) -> Iterator[Piece]:
        self._spool.flush()
        self._spool.seek(0)
        for line in self._spool:
            name, text, title, metadata, revision, is_new, spans = json.loads(line)
            yield Piece(Document(name, text, title, metadata), revision, is_new, tuple((start, end) for start, end in spans))

    def sample(self, limit: int, *, seed: int = 0) -> list[Document]:
        """At most `limit` passages, drawn evenly: what an encoder learns from (Vitter 1985, algorithm R)."""
        draw, kept = random.Random(seed), []
        passages = (passage for piece in self for passage in piece.passages())
        for number, passage in enumerate(passages):
            if number < limit:
                kept.append(passage)
            elif (place := draw.randrange(number + 1)) < limit:
                kept[place] = passage
        return kept


@dataclass(frozen=True)
class Summary:
    """What an ingest did: documents = new + changed + unchanged + refused.

    `passages` are those of new and changed documents; where vectors are stored, passages = embedded + reused. `removed`
    documents vanished from the source; `kept_back` ones did too, but were more than half of it. `skipped` says what could
    not be read at all; `unsure` documents did not come, and may stand in that. `stale` refused ones answer with what they said
    before. `tokens_cut` of `tokens` were over the model's `limit`; `usage` says what servers were asked for.
    """

    collection: str
    source: str
    documents: int
    new: int
    changed: int
    unchanged: int
    refused: Mapping[str, int]
    removed: int
    kept_back: int
    unsure: int
    stale: int
    passages: int
    embedded: int
    reused: int
    tokens: int
    tokens_cut: int
    limit: int | None
    seconds: float
    encoding_seconds: float
    total_documents: int
    total_passages: int
    skipped: str = ""
    usage: str = ""


def revisions(store: Store, *, source: str, tenant: str) -> dict[str, str]:
    """The revision of each document that came from `source`."""
    found: dict[str, str] = {}
    where = Compare("source", "=", source)
    for batch in store.scan(["document", "revision"], where=where, tenant=tenant):
        found.update(zip(batch.column("document").to_pylist(), batch.column("revision").to_pylist(), strict=True))
    return found


def read_changes(documents: Iterable[Document], *, cut: str, known: Mapping[str, str]) -> Changes:
    """The first pass: what of `documents` is not in `known` (id -> revision), cut as `cut` says, such as "window(size=200)".

    Raises UnknownName or InputError for a way of cutting that does not exist, and what iterating `documents` raises.
    """
    method, options = call(cut)
    chunking.chunk(Document("", "x"), method, **options)  # what is wrong with it shows before anything is read
    changes = Changes(known)
    try:
        _compare(documents, changes, cut)
    except BaseException:
        changes.__exit__()
        raise
    return changes


def _compare(documents: Iterable[Document], changes: Changes, cut: str) -> None:
    method, options = call(cut)
    known, seen = changes.known, set[str]()
    for raw in progress.track(documents, "Reading", unit="documents"):
        document = _plain(raw)
        changes.documents += 1
        if document.id in seen:
            changes.refused["an id that came before"] += 1
            continue
        if not document.content.strip():
            changes.refused["no text"] += 1
            continue
        seen.add(document.id)
        revision = _digest([document.title, document.text, document.metadata, cut])
        if known.get(document.id) == revision:
            changes.unchanged += 1
            continue
        chunks = chunking.chunk(document, method, **options)
        spans = tuple((chunk.start, chunk.end) for chunk in chunks) or ((0, len(document.text)),)  # a title alone
        changes.add(Piece(document, revision, document.id not in known, spans))
    changes.vanished = [name for name in known if name not in seen]


def write_changes(
    collection: Collection,
    changes: Changes,
    *,
    source: str,
    tenant: str,
    prune: bool = False,
    lacks: Callable[[str], bool] = lambda name: True,  # noqa: ARG005
    batch: int = _BATCH,
) -> Summary:
    """The second pass: embed what changed, commit it, and remove what vanished from the source.

    `lacks` says whether a document that did not come is surely not there (a file that cannot be read today is). More than half
    of a source is removed only with `prune`. Raises what encoding and the store raise; what was committed stays.
    """
    began = time.monotonic()
    work = _Work(collection, source, tenant)
    with progress.task("Ingesting", total=changes.passages, unit="passages") as bar:
        for pieces in _batches(changes, batch):
            work.take(pieces)
            bar.advance(sum(len(piece.spans) for piece in pieces))
    gone = [name for name in changes.vanished if prune or lacks(name)]
    held_back = len(gone) > len(changes.known) / 2 and not prune
    if not held_back:
        for start in range(0, len(gone), _FEW):
            collection.store.delete(_named(gone[start : start + _FEW], source), tenant=tenant)
    stats = collection.store.stats()
    return Summary(
        collection=collection.name,
        source=source,
        documents=changes.documents,
        new=work.new,
        changed=work.changed,
        unchanged=changes.unchanged,
        refused=dict(changes.refused + work.refused),
        removed=0 if held_back else len(gone),
        kept_back=len(gone) if held_back else 0,
        unsure=len(changes.vanished) - len(gone),
        stale=work.stale,
        passages=work.passages,
        embedded=work.embedded,
        reused=work.reused,
        tokens=work.tokens,
        tokens_cut=work.tokens_cut,
        limit=work.limit,
        seconds=time.monotonic() - began,
        encoding_seconds=work.encoding_seconds,
        total_documents=stats.documents,
        total_passages=stats.rows,
        usage="; ".join(str(encoder.usage) for encoder in collection.opened if encoder.usage is not None),
    )


class _Work:
    """The second pass, batch by batch, and what it counted."""

    def __init__(self, collection: Collection, source: str, tenant: str) -> None:
        self.collection, self.source, self.tenant = collection, source, tenant
        self.new = self.changed = self.passages = self.embedded = self.reused = self.tokens = self.tokens_cut = 0
        self.stale = 0
        self.limit: int | None = None
        self.refused: Counter[str] = Counter()
        self.encoding_seconds = 0.0
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
        self.refused[why] += 1
        self.stale += not piece.is_new

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
        self.encoding_seconds += time.monotonic() - began
        if number == self.collection.stored[0]:
            self._fresh = {rows[at].key for at in missing}
            cut = encoder.truncation(unread) if unread else None
            if cut is not None:
                self.tokens, self.tokens_cut, self.limit = self.tokens + cut.tokens, self.tokens_cut + cut.tokens_cut, cut.limit
        return vectors

    def _had(self, space: Space, documents: Sequence[str]) -> dict[tuple[str, str], NDArray[np.float32]]:
        """The vectors that these documents have, by document and digest."""
        had: dict[tuple[str, str], NDArray[np.float32]] = {}
        for start in range(0, len(documents), _FEW):
            where = _named(documents[start : start + _FEW], self.source)
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
        self.new, self.changed = self.new + fresh, self.changed + len(pieces) - fresh
        self.passages += len(rows)
        embedded = sum(row.key in self._fresh for row in rows)
        if self.collection.stored:
            self.embedded, self.reused = self.embedded + embedded, self.reused + len(rows) - embedded


def _batches(pieces: Iterable[Piece], size: int) -> Iterator[list[Piece]]:
    """Whole documents, `size` passages or a little more together."""
    batch: list[Piece] = []
    passages = 0
    for piece in pieces:
        batch.append(piece)
        passages += len(piece.spans)
        if passages >= size:
            yield batch
            batch, passages = [], 0
    if batch:
        yield batch


def _named(documents: Sequence[str], source: str) -> Filter:
    return And((Compare("source", "=", source), In("document", tuple(documents))))


def _digest(plain: Any) -> str:
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()[:_DIGITS]


def _plain(document: Document) -> Document:
    """The document as every store can hold it: well-formed text, and metadata that JSON can say. Raises InputError."""
    if not isinstance(document, Document) or not all(
        isinstance(each, str) for each in (document.id, document.text, document.title)
    ):
        raise InputError(
            f"{str(document)[:60]!r} is no document",
            mend='give Document(id, text) records, of text: Document("1", "Wings lift.")',
        )
    metadata = {well_formed(str(name)): _value(value) for name, value in document.metadata.items()}
    return Document(well_formed(document.id), well_formed(document.text), well_formed(document.title), metadata)


def _value(value: Any) -> Any:
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {well_formed(str(name)): _value(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_value(inner) for inner in value]
    return well_formed(str(value))
