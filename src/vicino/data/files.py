"""Bytes on disk -> text: gzip and xz opened, encodings recognised, every read bounded.

What fails here raises UnreadableSource or InputTooLarge with the reason alone; `readers.py` adds the path, or counts the
reason where one bad file must not stop a folder.
"""

from __future__ import annotations

import codecs
import gzip
import io
import lzma
import re
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

from vicino.errors import InputTooLarge, UnreadableSource

__all__ = [
    "COMPRESSED",
    "MAX_CHARACTERS",
    "Lines",
    "opened",
    "read_html_source",
    "read_text",
    "refuse_larger",
    "text_stream",
    "well_formed",
]

MAX_CHARACTERS = 20_000_000  # of one document, or of one line of a table
COMPRESSED: dict[str, Callable[[Path, str], io.BufferedIOBase]] = {".gz": gzip.GzipFile, ".xz": lzma.LZMAFile}

_SURROGATES = re.compile("[\ud800-\udfff]")
_CHARSET = re.compile(rb"""<meta[^<>]{0,200}?charset\s*=\s*["']?([\w.:-]{1,40})""", re.IGNORECASE)
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_HEAD = 4096  # bytes looked at to tell text from binary


@contextmanager
def opened(path: Path) -> Iterator[io.BufferedReader]:
    """The bytes of a regular file, decompressed where its name ends in .gz or .xz.

    Raises UnreadableSource for everything that goes wrong on the way, also inside the block: no such file, no
    permission, damaged or truncated compression, undecodable bytes.
    """
    again = "fetch or compress the file again"
    try:
        if not path.is_file():  # a pipe would wait for ever
            raise UnreadableSource("not a regular file", mend="give a file or a folder that exists")
        decompress = COMPRESSED.get(path.suffix.lower())
        with decompress(path, "rb") if decompress else path.open("rb") as raw:
            # GzipFile and LZMAFile do all that BufferedReader asks of a raw stream
            yield raw if isinstance(raw, io.BufferedReader) else io.BufferedReader(cast(io.RawIOBase, raw))
    except EOFError as error:
        raise UnreadableSource("compressed data that ends too early", mend=again) from error
    except (gzip.BadGzipFile, zlib.error, lzma.LZMAError) as error:
        raise UnreadableSource("not valid compressed data", mend=again) from error
    except UnicodeError as error:
        mend = "convert it to UTF-8, for example with: iconv -f WINDOWS-1252 -t UTF-8"
        raise UnreadableSource("bytes that are not UTF-8", mend=mend) from error
    except OSError as error:
        reason = (error.strerror or type(error).__name__).lower()
        raise UnreadableSource(reason, mend="check that the file exists and that you may read it") from error


def text_stream(stream: io.BufferedReader, *, newline: str = "", errors: str = "strict") -> io.TextIOWrapper:
    """Decode UTF-8, with or without a byte order mark, or UTF-16 with one. Raises UnreadableSource for binary data."""
    head = stream.peek(_HEAD)[:_HEAD]
    if head.startswith(_UTF16):
        return io.TextIOWrapper(stream, "utf-16", newline=newline)
    _refuse_binary(b"\0" in head)
    return io.TextIOWrapper(stream, "utf-8-sig", errors=errors, newline=newline)


def read_text(path: Path, limit: int = MAX_CHARACTERS) -> str:
    """All the text of a file; at most `limit` + 1 characters of it are ever read.

    Raises UnreadableSource for binary or undecodable data and InputTooLarge for more than `limit` characters.
    """
    with opened(path) as stream, text_stream(stream) as decoded:
        text = decoded.read(limit + 1)
        refuse_larger(len(text), limit)
        _refuse_binary("\0" in text)
        return text


def read_html_source(path: Path, limit: int = MAX_CHARACTERS) -> str:
    """The source of a web page: as `read_text`, and where that fails in the charset that the page itself declares."""
    with opened(path) as stream:
        data = stream.read(limit + 1)
        refuse_larger(len(data), limit)
        if data.startswith(_UTF16):
            return data.decode("utf-16")
        _refuse_binary(b"\0" in data)
        try:
            return data.decode("utf-8-sig")
        except UnicodeDecodeError:
            declared = _CHARSET.search(data, 0, _HEAD)
            if declared is None:
                raise
            return _decode_as(data, declared[1].decode("ascii", "replace"))


def _decode_as(data: bytes, charset: str) -> str:
    try:
        return data.decode(charset)
    except LookupError as error:
        raise UnreadableSource("a charset that Python does not know", mend="convert it to UTF-8") from error


def _refuse_binary(binary: bool) -> None:
    if binary:
        raise UnreadableSource("binary data", mend="give files of text; .pdf and .parquet are known by their names")


def refuse_larger(size: int, limit: int) -> None:
    """Raises InputTooLarge where `size` is above `limit`, both in characters."""
    if size > limit:
        raise InputTooLarge(f"a document of more than {limit:,} characters", mend="split the file, or raise max_characters")


class Lines(Iterator[str]):
    """The lines of a text stream, of which at most `limit` + 1 characters are ever in memory.

    `number` is the line last given, counted from 1. Of a line that is too long only the beginning is given, and `cut`
    stays true until `was_cut` is asked.

    >>> lines = Lines(io.StringIO("one\\ntwenty-two\\n"), limit=5)
    >>> [(line, lines.number, lines.was_cut()) for line in lines]
    [('one\\n', 1, False), ('twenty', 2, True)]
    """

    def __init__(self, stream: IO[str], limit: int) -> None:
        self.number = 0
        self._stream, self._limit, self._cut = stream, limit, False

    def __next__(self) -> str:
        line = self._stream.readline(self._limit + 1)
        if not line:
            raise StopIteration
        self.number += 1
        if len(line) > self._limit and not line.endswith(("\n", "\r")):
            self._cut = True
            while (rest := self._stream.readline(_HEAD)) and not rest.endswith(("\n", "\r")):
                pass
        return line

    def was_cut(self) -> bool:
        """Whether a line was cut since this was last asked."""
        cut, self._cut = self._cut, False
        return cut


def well_formed(text: str) -> str:
    """`text` with each lone surrogate, which no tokeniser and no file can take, replaced by U+FFFD.

    >>> well_formed("half an emoji: \\ud83d") == "half an emoji: \\ufffd"
    True
    """
    return text if text.isascii() else _SURROGATES.sub("\ufffd", text)
