"""From anything with text in it to numbered pieces: the first half of reading a corpus, which sees every byte.

A piece is what `text.py` calls so. Bytes are cut into blocks where no piece can go on; threads number the pieces of a block, each
with a table of its own, in compiled code; then each distinct piece is analysed once.
"""

from __future__ import annotations

import os
import tempfile
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain, islice, pairwise
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vicino import progress
from vicino.data.files import MAX_CHARACTERS, opened, text_stream
from vicino.data.formats import kind_of
from vicino.data.judged import is_beir
from vicino.data.readers import Reading, _files, read_documents
from vicino.data.text import Analyzer, Vocabulary
from vicino.errors import InputError, MissingExtra, UnreadableSource

__all__ = ["Spool", "read_pieces"]

_BLOCK = 1 << 20  # bytes that are read at a time
_LISTS = 1 << 12  # lists likewise
_END = -1

Ids = NDArray[np.int32]


class Spool:
    """Streams of numbered pieces, in order, in a file that has no name; and what the pieces of each table stand for.

    `tables[t]` is, of each piece, its words, and how often it came. In a stream, -1 ends a sentence; there are `ends` of them.
    `undecodable` counts pieces that are not UTF-8, and `left_out` says what could not be read.
    """

    def __init__(self, folder: Path | None) -> None:
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - closed where the spool is
        self._blocks: list[tuple[int, int]] = []
        self.tables: list[tuple[list[list[int]], NDArray[np.int64]]] = []
        self.ends = 0
        self.undecodable = 0
        self.left_out = ""

    def __enter__(self) -> Spool:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def add(self, table: int, stream: Ids) -> None:
        """Put a stream of pieces, numbered by one of the tables, at the end."""
        stream.tofile(self._file)
        self._blocks.append((table, len(stream)))
        self.ends += int(np.count_nonzero(stream < 0))

    def __iter__(self) -> Iterator[tuple[int, Ids]]:
        self._file.seek(0)
        for table, length in self._blocks:
            yield table, np.fromfile(self._file, np.int32, length)


def read_pieces(
    source: Any, spool: Spool, found: Vocabulary, analyzer: Analyzer, *, lines: bool, threads: int, label: str
) -> None:
    """Put the pieces of a source on the spool, and their words, numbered as they come, in `found`.

    See `vicino.data.corpus.read_corpus` for what a source may be and what is raised.
    """
    tables = [_Table(number, lines) for number in range(threads)]
    if isinstance(source, str | os.PathLike):
        reading = Reading(Path(source), lambda *_: iter(()))
        _read_bytes(_path_blocks(reading.path, reading), tables, spool, label)
        spool.left_out = reading.summary()
        _analyse(tables, analyzer, found, spool)
        return
    items = _items(source)
    first = next(items, "")
    if isinstance(first, str):
        _read_bytes(_text_blocks(chain([first], items)), tables, spool, label)
        _analyse(tables, analyzer, found, spool)
    else:
        _read_tokens(chain([first], items), found, spool, label)


def _items(source: Any) -> Iterator[Any]:
    """Items that are all str, or all lists."""
    if not isinstance(source, Iterable) or isinstance(source, bytes):
        raise InputError(f"{type(source).__name__} is no text", mend="give a path, or a list of str or of lists of str")
    kind: Any = None
    for row, item in enumerate(source):
        kind = kind or (str if isinstance(item, str) else (list, tuple))
        if not isinstance(item, kind):
            wanted = "str" if kind is str else "list of str"
            raise InputError(f"item {row} is of type {type(item).__name__}, not {wanted}", mend="give items of one kind")
        yield item


# From a source to blocks of bytes -------------------------------------------------------------------------------------
# A block ends where no piece goes on; the byte 0 ends a sentence, and stands for nothing else.


def _path_blocks(path: Path, reading: Reading) -> Iterator[bytes]:
    """The blocks of a file or a folder. In a folder, what cannot be read is counted, and what was read of it ends there."""
    if not path.is_dir() or is_beir(path):
        yield from _file_blocks(path, reading)
        return
    for file in _files(path, reading):
        block = b""
        try:
            if kind_of(file.name) is None:
                reading.skip(file.name, None, "unknown kind of file")
                continue
            for block in _file_blocks(file, reading):
                yield block
        except (InputError, MissingExtra) as error:
            reading.skip(file.name, None, f"{error.what}; what comes before was read" if block else error.what)
            if block and not block.endswith(b"\0"):
                yield b"\0"


def _file_blocks(path: Path, reading: Reading) -> Iterator[bytes]:
    if path.is_dir() or kind_of(path.name) not in ("text", None):
        documents = read_documents(path)
        yield from _text_blocks(document.content for document in documents)
        for one in documents.skipped:
            reading.skip(one.path, one.line, one.reason)
        return
    try:
        with opened(path) as stream, text_stream(stream) as decoded:
            if decoded.encoding == "utf-16":
                yield from _uncut(text.encode() for text in iter(lambda: decoded.read(_BLOCK), ""))
            else:
                yield from _uncut(iter(lambda: stream.read(_BLOCK), b""))
    except UnreadableSource as error:
        raise UnreadableSource(f"{path}: {error.what}", mend=error.mend) from error


def _uncut(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes, cut after white space only (or after very many bytes without any), and a 0 at the end."""
    held: list[bytes] = []
    for chunk in chunks:
        cut = 1 + max(chunk.rfind(b"\n"), chunk.rfind(b" "))
        if cut or sum(map(len, held)) > MAX_CHARACTERS:
            yield b"".join([*held, chunk[:cut]]).replace(b"\0", b" ")
            held = [chunk[cut:]]
        else:
            held.append(chunk)
    yield b"".join(held).replace(b"\0", b" ") + b"\0"


def _text_blocks(texts: Iterable[str]) -> Iterator[bytes]:
    held: list[bytes] = []
    size = 0
    for text in texts:
        held += (text.replace("\0", " ").encode("utf-8", "surrogatepass"), b"\0")
        size += len(held[-2])
        if size > _BLOCK:
            yield b"".join(held)
            held, size = [], 0
    if held:
        yield b"".join(held)


# From bytes to numbered pieces ----------------------------------------------------------------------------------------


def _read_bytes(blocks: Iterable[bytes], tables: Sequence[_Table], spool: Spool, label: str) -> None:
    """Number all pieces, with as many threads as tables."""
    free: SimpleQueue[_Table] = SimpleQueue()
    for table in tables:
        free.put(table)

    def number(block: bytes) -> tuple[int, Ids]:
        table = free.get()
        try:
            return table.number, table.stream(block)
        finally:
            free.put(table)

    waiting: deque[Future[tuple[int, Ids]]] = deque()
    with progress.task(label, unit="bytes") as work, ThreadPoolExecutor(len(tables)) as pool:
        for block in blocks:
            waiting.append(pool.submit(number, block))
            if len(waiting) > 2 * len(tables):
                spool.add(*waiting.popleft().result())
            work.advance(len(block))
        for result in waiting:
            spool.add(*result.result())


class _Table:
    """The distinct pieces of the blocks that one thread has read."""

    def __init__(self, number: int, lines: bool) -> None:
        from vicino.data import corpus_kernels as kernels

        self.number = number
        self._kernels = kernels
        self._classes = np.array([_class_of(byte, lines) for byte in range(256)], np.uint8)
        self._n = 0
        self._pieces = kernels.Pieces(
            np.full(1 << 14, -1, np.int32),
            np.empty(1 << 13, np.uint64),
            np.zeros(1 << 13, np.int64),
            np.empty(1 << 13, np.int64),
            np.empty(1 << 16, np.uint8),
        )

    def stream(self, block: bytes) -> Ids:
        """The numbers of the block's pieces."""
        data, stream = np.frombuffer(block, np.uint8), np.empty(len(block), np.int32)
        at = total = 0
        while at < len(data):
            at, self._n, written = self._kernels.number_pieces(data, at, self._classes, self._pieces, self._n, stream[total:])
            total += written
            if at < len(data):
                self._enlarge(len(block))
        return stream[:total].copy()

    def _enlarge(self, needed: int) -> None:
        slots, hashes, starts, counts, spelling = self._pieces
        used = int(starts[self._n])
        self._pieces = self._kernels.Pieces(
            np.full(2 * len(slots), -1, np.int32),
            np.resize(hashes, 2 * len(hashes)),
            np.resize(starts, 2 * len(starts)),
            np.resize(counts, 2 * len(counts)),
            np.resize(spelling, max(2 * len(spelling), used + needed)),
        )
        self._kernels.fill_slots(self._pieces.slots, self._pieces.hashes, self._n)

    def spelled(self) -> tuple[list[bytes], NDArray[np.int64]]:
        """All pieces, and how often each came."""
        text, starts = self._pieces.spelling.tobytes(), self._pieces.starts[: self._n + 1].tolist()
        return [text[a:b] for a, b in pairwise(starts)], self._pieces.counts[: self._n]


def _class_of(byte: int, lines: bool) -> int:
    """0 for a byte that parts, 1 for one of a piece, 2 for one that ends a sentence."""
    if byte == 0 or (lines and byte in b"\n\r"):
        return 2
    return int(byte >= 128 or chr(byte).isalnum() or byte == ord("_"))


def _analyse(tables: Sequence[_Table], analyzer: Analyzer, found: Vocabulary, spool: Spool) -> None:
    """Give the spool the words of each piece of each table; each distinct piece is analysed once."""
    words_of: dict[bytes, list[int]] = {}
    for table in tables:
        pieces, counts = table.spelled()
        for piece, count in zip(pieces, counts.tolist(), strict=True):
            try:
                text = piece.decode()
            except UnicodeDecodeError:
                text = piece.decode(errors="replace")
                spool.undecodable += count
            if piece not in words_of:
                words_of[piece] = [found.add(term) for term in analyzer.terms(text)]
        spool.tables.append(([words_of[piece] for piece in pieces], counts))


def _read_tokens(lists: Iterable[Sequence[str]], found: Vocabulary, spool: Spool, label: str) -> None:
    """Number words that somebody else has cut."""
    counts = np.zeros(0, np.int64)
    left = iter(progress.track(lists, label, unit="lists"))
    while some := list(islice(left, _LISTS)):
        try:
            stream = np.concatenate([np.array([*map(found.add, words), _END], np.int32) for words in some])
        except TypeError as error:
            raise InputError(f"what is no str cannot be a word: {error}", mend="give lists of str") from error
        spool.add(0, stream)
        here = np.bincount(stream[stream >= 0], minlength=len(found))
        here[: len(counts)] += counts
        counts = here
    for word in found:
        if not isinstance(word, str):
            raise InputError(f"{word!r} is of type {type(word).__name__}, not str", mend="give lists of str")
    spool.tables.append(([[word] for word in range(len(found))], counts))
