"""word2vec's files of words and their vectors: the text format (GloVe's too) and the binary one (Mikolov et al. 2013).

No header is believed: memory grows with the rows that are really there, and what a file promises is held against its size first.
Words are read as UTF-8; other bytes are kept as lone surrogates, so that no two words become one.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from vicino import progress
from vicino.data.files import COMPRESSED, opened
from vicino.errors import DimensionMismatch, EmptyInput, UnreadableSource

__all__ = ["Rows", "read_word2vec_binary", "read_word2vec_text"]

Block = tuple[list[str], NDArray[np.float32]]  # words, and a row for each

_SQUEEZED = 1032  # deflate makes nothing smaller than by this factor
_LINE = 1 << 22  # bytes of one line of text, or of one word
_BLOCK = 1 << 20  # numbers read together
_AGAIN = "fetch or write the file again"


class Rows:
    """A matrix that grows with what is added, so that no header decides how much memory is taken.

    >>> rows = Rows(2)
    >>> rows.add(np.ones((3, 2), dtype=np.float32))
    >>> rows.done().shape
    (3, 2)
    """

    def __init__(self, dim: int, expected: int = 1024) -> None:
        self._matrix = np.empty((expected, dim), dtype=np.float32)  # untouched memory costs nothing
        self._count = 0

    def add(self, block: NDArray[np.float32]) -> None:
        """Copy rows in. Raises DimensionMismatch for rows of another width."""
        height, width = self._matrix.shape
        if block.shape[1] != width:
            raise DimensionMismatch(
                f"vectors of {width} and of {block.shape[1]} dimensions", mend="embed all items with one model"
            )
        end = self._count + len(block)
        if end > height:
            self._matrix.resize((max(end, 2 * height), width), refcheck=False)
        self._matrix[self._count : end] = block
        self._count = end

    def done(self) -> NDArray[np.float32]:
        """All rows that were added."""
        self._matrix.resize((self._count, self._matrix.shape[1]), refcheck=False)
        return self._matrix


def read_word2vec_text(path: Path) -> Block:
    """A word and its numbers a line; the first line may say how many (GloVe's files have none).

    Raises UnreadableSource and DimensionMismatch, which say the line, and EmptyInput for a first line that promises no words.
    """
    with opened(path) as stream:
        first = _line(stream)
        header = _header(first)
        dim = header[1] if header else len(first.split()) - 1
        if dim < 1:
            raise UnreadableSource("not word2vec's text format: its first line is no word with numbers", mend=_AGAIN)
        if header:
            _require_possible(path, *header, row_bytes=2 * dim + 2)
        lines = chain(enumerate([] if header else [first], 1), enumerate(iter(lambda: _line(stream), b""), 2))
        filled = ((number, line) for number, line in lines if not line.isspace())
        blocks = iter(lambda: list(islice(filled, max(1, _BLOCK // dim))), [])
        return _collected((_parsed(block, dim) for block in blocks), header, dim)


def read_word2vec_binary(path: Path) -> Block:
    """A first line with the numbers of words and dimensions; then each word, a space, and little-endian float32.

    Raises UnreadableSource, and EmptyInput for a first line that promises no words.
    """
    with opened(path) as stream:
        header = _header(stream.readline(64))
        if header is None or header[1] < 1:
            raise UnreadableSource(
                "not word2vec's binary format: its first line is not the number of words and of dimensions",
                mend="for a model of fastText, give its .vec file",
            )
        _require_possible(path, *header, row_bytes=4 * header[1] + 2)
        return _collected(_unpacked(stream, *header), header, header[1])


def _collected(blocks: Iterator[Block], header: tuple[int, int] | None, dim: int) -> Block:
    promised = header[0] if header else None
    words: list[str] = []
    rows = Rows(dim, promised or max(1, _BLOCK // dim))
    with progress.task("Reading vectors", total=promised, unit="words") as work:
        for names, block in blocks:
            words += names
            rows.add(block)
            work.advance(len(names))
    if promised not in (None, len(words)):
        raise UnreadableSource(f"{len(words):,} words, where its first line promises {promised:,}", mend=_AGAIN)
    return words, rows.done()


def _header(line: bytes) -> tuple[int, int] | None:
    """The number of words and of dimensions, or None for a line that says something else."""
    fields = line.split()
    plain = len(fields) == 2 and line.endswith(b"\n") and all(each.isdigit() and len(each) < 19 for each in fields)
    return (int(fields[0]), int(fields[1])) if plain else None


def _require_possible(path: Path, n: int, dim: int, *, row_bytes: int) -> None:
    """Hold the first line against the size of the file, before anything is made of it."""
    if n == 0:
        raise EmptyInput("no vectors in there: its first line promises 0 words", mend=_AGAIN)
    holds = path.stat().st_size * (_SQUEEZED if path.suffix.lower() in COMPRESSED else 1)
    if n * row_bytes > holds + 2:
        raise UnreadableSource(
            f"its first line promises {n:,} words of {dim:,} dimensions, which is more than the file holds", mend=_AGAIN
        )


# Text -----------------------------------------------------------------------------------------------------------------


def _line(stream: IO[bytes]) -> bytes:
    line = stream.readline(_LINE)
    if len(line) == _LINE:
        raise UnreadableSource(f"a line of more than {_LINE:,} bytes", mend="check that this is a file of vectors")
    return line


def _parsed(lines: list[tuple[int, bytes]], dim: int) -> Block:
    words, numbers = zip(*(_word_and_numbers(line, dim, number) for number, line in lines), strict=True)
    try:
        block: NDArray[np.float32] = np.loadtxt(numbers, dtype=np.float32, comments=None, ndmin=2)
    except ValueError as error:
        raise UnreadableSource(f"not numbers, counted from line {lines[0][0]} as row 0: {error}", mend=_AGAIN) from error
    return list(words), block


def _word_and_numbers(line: bytes, dim: int, number: int) -> tuple[str, str]:
    """A line in two; some files have words with spaces in them, and some end each line with one."""
    word, _, numbers = line.rstrip().partition(b" ")
    if numbers.count(b" ") + 1 != dim:
        word, *fields = line.rstrip().rsplit(None, dim) or [b""]
        if len(fields) != dim:
            raise DimensionMismatch(f"line {number} has {len(fields)} numbers after its word, not {dim}", mend=_AGAIN)
        numbers = b" ".join(fields)
    return word.decode("utf-8", "surrogateescape"), numbers.decode("ascii", "replace")


# Binary ---------------------------------------------------------------------------------------------------------------


def _unpacked(stream: IO[bytes], n: int, dim: int) -> Iterator[Block]:
    """Some writers end a row with a line break, which then stands before the next word."""
    held, done, size = b"", 0, 4 * dim
    while done < n:
        more = stream.read(max(_LINE, 2 * size))
        held += more
        words: list[str] = []
        vectors: list[bytes] = []
        at = 0
        while done + len(words) < n:
            space = held.find(b" ", at)
            if space < 0 or len(held) < space + 1 + size:
                break
            words.append(held[at:space].lstrip(b"\n").decode("utf-8", "surrogateescape"))
            vectors.append(held[space + 1 : space + 1 + size])
            at = space + 1 + size
        if not words and (not more or len(held) > _LINE + 2 * size):
            raise UnreadableSource(f"it ends or breaks off after {done:,} of {n:,} words", mend=_AGAIN)
        held, done = held[at:], done + len(words)
        yield words, np.frombuffer(b"".join(vectors), dtype="<f4").reshape(len(words), dim)
    if (held + stream.read(1)).strip():
        raise UnreadableSource(f"it goes on after the {n:,} words that its first line promises", mend=_AGAIN)
