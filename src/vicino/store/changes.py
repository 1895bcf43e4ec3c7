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
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import IO, Any, NamedTuple, Self

from vicino import progress
from vicino.catalog import call
from vicino.data import chunking
from vicino.data.code import language_of_document
from vicino.data.files import well_formed
from vicino.data.filters import Compare
from vicino.data.formats import LANGUAGES
from vicino.data.records import Document
from vicino.errors import ArtifactError, InputError
from vicino.store.base import Row, Store
from vicino.store.collection import Collection
from vicino.store.writing import FEW, Work, Write, named, take_each

__all__ = ["Changes", "Piece", "Summary", "read_changes", "revisions", "write_changes"]

_BATCH = 1024  # passages embedded and committed together
_STAMP = "sha256"  # in the metadata: of what the text only names, such as a file of an image
_DIGITS = 32  # hexadecimal, of SHA-256: 128 bits
_BLOCK, _LONG = 64, 1 << 20  # documents, or characters of them, that are spooled together

_json = json.JSONEncoder(sort_keys=True).encode


class Piece(NamedTuple):
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

    def rows(self, source: str, tenant: str) -> Iterator[Row]:
        """The passages as rows. Equal passages of one document are told apart by their order."""
        document, times = self.document, dict[str, int]()
        outside = [document.metadata[_STAMP]] if _STAMP in document.metadata else []
        names = [_json(tenant), _json(source), _json(document.id)]
        for number, (start, end) in enumerate(self.spans):
            text = document.text[start:end]
            digest = _digest([_json(document.title), _json(text), *map(_json, outside)])
            before = times.get(digest, 0)
            times[digest] = before + 1
            key = _digest([*names, _json(digest), str(before)])
            place = (number, start, end)
            yield Row(key, tenant, source, document.id, *place, document.title, text, digest, self.revision, document.metadata)

    def plain(self) -> list[Any]:
        """This as what JSON can say."""
        document = self.document
        return [document.id, document.text, document.title, document.metadata, self.revision, self.is_new, self.spans]

    @classmethod
    def of_plain(cls, plain: Sequence[Any]) -> Piece:
        """What `plain` said."""
        name, text, title, metadata, revision, is_new, spans = plain
        return cls(Document(name, text, title, metadata), revision, is_new, tuple([(start, end) for start, end in spans]))

    def to_line(self) -> str:
        """This as one line of JSON."""
        return json.dumps(self.plain())

    @classmethod
    def of_line(cls, line: str) -> Piece:
        """What `to_line` wrote."""
        return cls.of_plain(json.loads(line))


@contextmanager
def _spooling() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ArtifactError(f"cannot spool what changed: {error}", mend="free some space, or set TMPDIR elsewhere") from error


class Changes:
    """What is new or changed in a source, as `Piece` records spooled to disk until it is closed, and what is not.

    A line of the spool is a block of them: JSON is written and read at thrice the speed in large pieces.
    """

    def __init__(self, known: Mapping[str, str]) -> None:
        self.documents = self.unchanged = self.passages = self._code = 0
        self.refused: Counter[str] = Counter()
        self.known = known
        self.vanished = list(known)
        self._held: list[Piece] = []  # of the block that is not written yet
        self._characters = 0  # in these
        self._blocks: list[int] = []  # the passages of each block that is written
        with _spooling():
            self._spool: IO[str] = tempfile.TemporaryFile("w+", encoding="utf-8", errors="surrogatepass")  # noqa: SIM115

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):  # of a full disk: what it still had to write is not wanted
            self._spool.close()

    def add(self, piece: Piece) -> None:
        """Keep one for the second pass. Raises ArtifactError for a full disk."""
        self._held.append(piece)
        self._characters += len(piece.document.text)
        if len(self._held) == _BLOCK or self._characters >= _LONG:
            self._write()
        self.passages += len(piece.spans)
        self._code += language_of_document(piece.document) in LANGUAGES

    def _write(self) -> None:
        """Spool what is held."""
        with _spooling():
            self._spool.write(f"{json.dumps([piece.plain() for piece in self._held])}\n")
        self._blocks.append(sum(len(piece.spans) for piece in self._held))
        self._held, self._characters = [], 0

    @property
    def analyzer(self) -> str:
        """How these documents are best read: "code" where most are that, else "words"."""
        return "code" if self._code > (self.documents - self.unchanged) / 2 else "words"

    def __iter__(self) -> Iterator[Piece]:
        for block in self._lines():
            yield from map(Piece.of_plain, json.loads(block))

    def _lines(self) -> IO[str]:
        """The spool from its beginning: a block in each line."""
        if self._held:
            self._write()
        with _spooling():
            self._spool.seek(0)  # it writes what is left
        return self._spool

    def sample(self, limit: int, *, seed: int = 0) -> list[Document]:
        """At most `limit` passages, drawn evenly: what an encoder learns from (Vitter 1985, algorithm R)."""
        draw, kept = random.Random(seed), list(range(min(limit, self.passages)))
        for number in range(limit, self.passages):
            if (place := draw.randrange(number + 1)) < limit:
                kept[place] = number
        return self._passages(kept)

    def _passages(self, numbers: Sequence[int]) -> list[Document]:
        """Those of these numbers, counted as they come. Only the blocks that hold some are read."""
        wanted, found, first = set(numbers), dict[int, Document](), 0
        for block, count in zip(self._lines(), self._blocks, strict=True):
            if not wanted.isdisjoint(range(first, first + count)):
                passages = (passage for plain in json.loads(block) for passage in Piece.of_plain(plain).passages())
                found.update(each for each in enumerate(passages, first) if each[0] in wanted)
            first += count
        return [found[number] for number in numbers]


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
    spans_of = chunking.cutter(method, **options)
    spans_of(Document("", "x"))  # what is wrong with it shows before anything is read
    changes = Changes(known)
    try:
        _compare(documents, changes, cut, spans_of)
    except BaseException:
        changes.__exit__()
        raise
    return changes


def _compare(documents: Iterable[Document], changes: Changes, cut: str, spans_of: chunking.Cutter) -> None:
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
        revision = _digest([_json(document.title), _json(document.text), _json(document.metadata), _json(cut)])
        if known.get(document.id) == revision:
            changes.unchanged += 1
            continue
        spans = tuple(spans_of(document)) or ((0, len(document.text)),)  # a title alone
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
    write: Write = take_each,
) -> Summary:
    """The second pass: embed what changed, commit it, and remove what vanished from the source.

    `lacks` says whether a document that did not come is surely not there (a file that cannot be read today is). More than half
    of a source is removed only with `prune`. `write` does the work, here by default, or elsewhere (`vicino.scale`). Raises what
    encoding and the store raise; what was committed stays.
    """
    began = time.monotonic()
    work = Work(collection, source, tenant)
    with progress.task("Ingesting", total=changes.passages, unit="passages") as bar:
        for passages in write(work, _batches(changes, batch)):
            bar.advance(passages)
    collection.store.refresh()
    gone = [name for name in changes.vanished if prune or lacks(name)]
    held_back = len(gone) > len(changes.known) / 2 and not prune
    if not held_back:
        for start in range(0, len(gone), FEW):
            collection.store.delete(named(gone[start : start + FEW], source), tenant=tenant)
    stats, done = collection.store.stats(), work.tally
    return Summary(
        collection=collection.name,
        source=source,
        documents=changes.documents,
        new=done.new,
        changed=done.changed,
        unchanged=changes.unchanged,
        refused=dict(changes.refused + Counter(done.refused)),
        removed=0 if held_back else len(gone),
        kept_back=len(gone) if held_back else 0,
        unsure=len(changes.vanished) - len(gone),
        stale=done.stale,
        passages=done.passages,
        embedded=done.embedded,
        reused=done.reused,
        tokens=done.tokens,
        tokens_cut=done.tokens_cut,
        limit=done.limit,
        seconds=time.monotonic() - began,
        encoding_seconds=done.encoding_seconds,
        total_documents=stats.documents,
        total_passages=stats.rows,
        usage="; ".join(str(encoder.usage) for encoder in collection.opened if encoder.usage is not None),
    )


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


def _digest(values: Iterable[str]) -> str:
    """What names a list of values, each of them JSON already: `json` takes much longer for a list than for its texts alone."""
    return hashlib.sha256(f"[{', '.join(values)}]".encode()).hexdigest()[:_DIGITS]


def _plain(document: Document) -> Document:
    """The document as every store can hold it: well-formed text, and metadata that JSON can say. Raises InputError."""
    if not (
        isinstance(document, Document)
        and isinstance(document.id, str)
        and isinstance(document.text, str)
        and isinstance(document.title, str)
    ):
        raise InputError(
            f"{str(document)[:60]!r} is no document",
            mend='give Document(id, text) records, of text: Document("1", "Wings lift.")',
        )
    metadata = {well_formed(str(name)): _value(value) for name, value in document.metadata.items()}
    return Document(well_formed(document.id), well_formed(document.text), well_formed(document.title), metadata)


def _value(value: Any) -> Any:
    if isinstance(value, str):  # most are
        return well_formed(str(value))
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {well_formed(str(name)): _value(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_value(inner) for inner in value]
    return well_formed(str(value))
