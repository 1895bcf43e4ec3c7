"""From anything on disk to documents: a folder, one file, a BEIR folder. Streamed, bounded, and counting what it leaves out.

Bytes become text in `files.py`, whole files are read in `formats.py`, tables in `rows.py`, judgements in `judged.py`.
"""

from __future__ import annotations

import io
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from vicino.data.files import MAX_CHARACTERS, Lines, well_formed
from vicino.data.formats import WHOLE, kind_of
from vicino.data.judged import corpus_file, is_beir
from vicino.data.records import Document
from vicino.data.rows import TABLES, Columns, table_documents
from vicino.errors import DuplicateIds, EmptyInput, InputError, InputTooLarge, MissingExtra, UnreadableSource

__all__ = ["Reading", "Skipped", "distinct", "read_documents", "read_lines"]

_LEFT_OUT = frozenset({"node_modules", "__pycache__"})  # beside hidden folders and virtual environments
_SAMPLE = 100  # skipped things kept by name; the counts are exact
_TOLD = 5  # reasons in a summary
_EMPTY = "no text"  # read, and found to be nothing


@dataclass(frozen=True, slots=True)
class Skipped:
    """One thing that could not be read: a file, or one line (row) of it."""

    path: str
    line: int | None
    reason: str


class Reading(Iterable[Document]):
    """Documents that are read while you iterate, and what was left out so far.

    `counts` holds how many things were skipped for each reason, `skipped` the first 100 of them by name. Iterating again
    reads, and counts, again from the start. Iterating to the end raises EmptyInput where there was nothing to read, and
    UnreadableSource where there was something, but nothing of it could be read.
    """

    def __init__(self, path: Path, read: Callable[[Path, Reading], Iterator[Document]]) -> None:
        self.path = path
        self.counts: Counter[str] = Counter()
        self.skipped: list[Skipped] = []
        self._unread: set[str] = set()
        self._read = read

    def __iter__(self) -> Iterator[Document]:
        self.counts.clear()
        self.skipped.clear()
        self._unread.clear()
        empty = True
        for document in self._read(self.path, self):
            empty = False
            yield document
        if empty:
            raise self._nothing()

    def skip(self, path: str, line: int | None, reason: str) -> None:
        """Count something that was left out."""
        self.counts[reason] += 1
        if reason != _EMPTY:
            self._unread.add(path)
        if len(self.skipped) < _SAMPLE:
            self.skipped.append(Skipped(path, line, reason))

    def lacks(self, name: str) -> bool:
        """Whether a document of this id, which did not come, is surely not there: what it could stand in was read.

        >>> reading = Reading(Path.cwd(), lambda path, reading: iter(()))
        >>> reading.skip("b.jsonl", 7, "broken JSON")
        >>> reading.lacks("b.jsonl#9"), reading.lacks("c.txt")
        (False, True)
        """
        if not self.path.is_dir() or is_beir(self.path):
            return not self._unread
        return not any(name == place or name.startswith((f"{place}#", f"{place}/")) for place in self._unread)

    def summary(self) -> str:
        """What was left out, in one line; empty where nothing was.

        >>> reading = Reading(Path("x"), lambda path, reading: iter(()))
        >>> reading.skip("b.jsonl", 7, "broken JSON")
        >>> reading.summary()
        'skipped 1: broken JSON (1, first b.jsonl line 7)'
        """
        if not self.counts:
            return ""
        first = {one.reason: one for one in reversed(self.skipped)}
        told = [f"{why} ({n:,}{_place(first.get(why))})" for why, n in self.counts.most_common(_TOLD)]
        others = len(self.counts) - len(told)
        return f"skipped {self.counts.total():,}: {'; '.join(told)}" + (f"; {others} other reasons" if others else "")

    def _nothing(self) -> InputError:
        if self.counts:
            return UnreadableSource(
                f"{self.path} holds nothing that could be read; {self.summary()}", mend="mend the files that are named"
            )
        return EmptyInput(f"{self.path} holds no documents", mend=f"give a folder or a file of {_known_kinds()}")


def _place(one: Skipped | None) -> str:
    if one is None:
        return ""
    return f", first {one.path}" + (f" line {one.line}" if one.line is not None else "")


def _known_kinds() -> str:
    return ", ".join([*WHOLE, *TABLES])


def read_documents(
    path: str | Path,
    *,
    text: str | None = None,
    id: str | None = None,  # noqa: A002
    title: str | None = None,
    max_characters: int = MAX_CHARACTERS,
) -> Reading:
    """The documents of a folder (with all folders in it), of one file, or of a BEIR folder's corpus.

    Whole files: .txt, .rst, .md, .html, .pdf and source code, one document each, with the path from the folder as id.
    Tables: .jsonl, .csv, .tsv, .parquet, one document a row, with the id column or the line number as id (in a folder
    after the file's path: "notes/rows.csv#7"). `text`, `id` and `title` name columns that are not recognised by name.
    Text kinds may end in .gz or .xz. Hidden files and folders, node_modules, __pycache__ and virtual environments are
    left out, symbolic links to folders not followed.

    In a folder a file that cannot be read is skipped and counted, in a table a broken row; a document or a line of more
    than `max_characters` is never read whole. Raises UnreadableSource where the path, or a single file, cannot be read,
    MissingExtra where a single file needs one, UnknownName for a column that is not there, InputTooLarge for one
    document that is too large, DuplicateIds in a BEIR corpus; see `Reading` for what iterating raises.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     written = (Path(folder) / "wing.txt").write_text("Wings lift.")
    ...     list(read_documents(folder))
    [Document(id='wing.txt', text='Wings lift.', title='', metadata={'format': 'text'})]
    """
    root = Path(path)
    columns = Columns(text, id, title)
    if is_beir(root):
        return Reading(root, lambda root, reading: distinct(_beir_corpus(root, reading, max_characters)))
    if root.is_dir():
        return Reading(root, lambda root, reading: _folder(root, reading, columns, max_characters))
    if not root.exists():
        raise UnreadableSource(f"there is no {root}", mend="check the path; give a folder or a file")
    if kind_of(root.name) is None:
        raise UnreadableSource(f"{root}: unknown kind of file", mend=f"known by the ending are: {_known_kinds()}")
    return Reading(root, lambda root, reading: _single(root, reading, columns, max_characters))


def read_lines(stream: BinaryIO, *, max_characters: int = MAX_CHARACTERS) -> Reading:
    """One document a line of a stream of bytes, with the line's number as id; empty lines are passed over.

    A line that is not UTF-8, or longer than `max_characters` (it is never read whole), is skipped and counted. A stream can be
    iterated once. See `Reading` for what iterating raises.

    >>> import io
    >>> reading = read_lines(io.BytesIO(b"one\\n\\n\\xff\\nfour\\n"))
    >>> [(document.id, document.text) for document in reading], reading.summary()
    ([('1', 'one'), ('4', 'four')], 'skipped 1: bytes that are not UTF-8 (1, first standard input line 3)')
    """

    def read(path: Path, reading: Reading) -> Iterator[Document]:
        wrapper = io.TextIOWrapper(stream, "utf-8-sig", errors="surrogateescape")
        try:
            yield from _stream_lines(Lines(wrapper, max_characters), path, reading, max_characters)
        finally:
            wrapper.detach()  # or it would close the caller's stream

    return Reading(Path("standard input"), read)


def _stream_lines(lines: Lines, path: Path, reading: Reading, limit: int) -> Iterator[Document]:
    for line in lines:
        text = line.rstrip("\r\n")
        if lines.was_cut():
            reading.skip(str(path), lines.number, f"a line of more than {limit:,} characters")
        elif any("\udc80" <= character <= "\udcff" for character in text):
            reading.skip(str(path), lines.number, "bytes that are not UTF-8")
        elif text.strip():
            yield Document(str(lines.number), text)


def distinct(documents: Iterable[Document]) -> Iterator[Document]:
    """The same documents; raises DuplicateIds at the second one under an id.

    >>> [document.id for document in distinct([Document("a", "x"), Document("b", "x")])]
    ['a', 'b']
    """
    seen: set[str] = set()
    for document in documents:
        if document.id in seen:
            raise DuplicateIds(f"two documents have the id {document.id!r}", mend="give each document an id of its own")
        seen.add(document.id)
        yield document


def _beir_corpus(root: Path, reading: Reading, limit: int) -> Iterator[Document]:
    path = corpus_file(root)
    with _naming(path):
        yield from _file(path, path.name, reading, Columns(), limit, keep_empty=True)


def _single(path: Path, reading: Reading, columns: Columns, limit: int) -> Iterator[Document]:
    with _naming(path):
        yield from _file(path, path.name, reading, columns, limit)


def _folder(root: Path, reading: Reading, columns: Columns, limit: int) -> Iterator[Document]:
    for path in _files(root, reading):
        name = _portable(path.relative_to(root).as_posix())
        try:
            yield from _file(path, name, reading, columns, limit, prefix=f"{name}#")
        except (InputError, MissingExtra) as error:
            reading.skip(name, None, error.what)


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Say which file it was."""
    try:
        yield
    except (UnreadableSource, InputTooLarge) as error:
        raise type(error)(f"{path}: {error.what}", mend=error.mend) from error


def _file(
    path: Path, name: str, reading: Reading, columns: Columns, limit: int, *, prefix: str = "", keep_empty: bool = False
) -> Iterator[Document]:
    """One file's documents; `prefix` goes before the ids of a table's rows."""

    def skip(line: int | None, reason: str) -> None:
        reading.skip(name, line, reason)

    kind = kind_of(path.name)
    if kind in TABLES:
        yield from table_documents(path, columns, skip, limit=limit, prefix=prefix, keep_empty=keep_empty)
    elif kind in WHOLE:
        content = WHOLE[kind](path, limit)
        if content.text.strip():
            yield Document(name, well_formed(content.text), well_formed(content.title), content.metadata)
        else:
            skip(None, _EMPTY)
    else:
        skip(None, "unknown kind of file")


def _files(root: Path, reading: Reading) -> Iterator[Path]:
    """Every file under `root` that is not left out, in an order that does not depend on the file system."""

    def unreadable(error: OSError) -> None:
        place = _portable(os.path.relpath(error.filename, root))
        reading.skip(place, None, f"a folder that cannot be read: {(error.strerror or 'no reason given').lower()}")

    for here, folders, names in os.walk(root, onerror=unreadable):  # follows no links: no loops
        folders[:] = sorted(name for name in folders if _is_wanted(here, name))
        yield from (Path(here, name) for name in sorted(names) if not name.startswith("."))


def _is_wanted(here: str, name: str) -> bool:
    return not (name.startswith(".") or name in _LEFT_OUT or os.path.exists(os.path.join(here, name, "pyvenv.cfg")))


def _portable(name: str) -> str:
    """A file's name as valid Unicode: bytes that are no UTF-8 become \\xNN."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")
