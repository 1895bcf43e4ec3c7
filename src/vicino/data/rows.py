"""Tables of documents, one a row: JSON lines, CSV, TSV, Parquet. Streamed: one row, or one small batch, at a time.

Columns are recognised by their names, or named by the caller. What is neither text, id nor title becomes metadata, as
far as it is a small scalar.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import Any

from vicino.data.files import MAX_CHARACTERS, Lines, opened, text_stream, well_formed
from vicino.data.formats import kind_of
from vicino.data.records import Document
from vicino.errors import UnknownName, UnreadableSource

__all__ = ["TABLES", "Columns", "Row", "Skip", "column_names", "recognise", "row_documents", "table_documents"]

Row = tuple[int, Mapping[str, Any]]  # the line (Parquet: the row), counted from 1, and the values by column
Skip = Callable[[int | None, str], None]  # told the line and the reason of everything left out

_TEXT = str.split(
    "text body content contents document passage abstract article description summary sentence "
    "paragraph review comment message code snippet"
)
_ID = str.split("_id id doc_id docid docno document_id documentid pid uuid guid key")
_TITLE = str.split("title headline heading subject name")

_METADATA_LIMIT = 500  # characters
_BATCH = 256  # rows of Parquet in memory
_UNDECODABLE = "bytes that are not UTF-8"
_TOO_LONG = "a line that is too long"


@dataclass(frozen=True)
class Columns:
    """Which column is what; as a request, None means: recognise it by its name."""

    text: str | None = None
    id: str | None = None
    title: str | None = None


@lru_cache(maxsize=256)  # nearly all rows of a table have the same names
def recognise(asked: Columns, names: tuple[str, ...]) -> Columns:
    """`asked`, completed from the `names` of the columns that there are.

    Raises UnknownName for a requested column that is not there, UnreadableSource where no column of text is known.

    >>> recognise(Columns(), ("_id", "Title", "body"))
    Columns(text='body', id='_id', title='Title')
    """
    for wanted in (asked.text, asked.id, asked.title):
        if wanted is not None and wanted not in names:
            raise UnknownName.among(wanted, names, kind="column")
    free = [name for name in names if name not in (asked.text, asked.id, asked.title)]
    text = asked.text or _first(free, _TEXT) or (names[0] if len(names) == 1 else None)
    if text is None:
        raise UnreadableSource(
            f"no column is known to hold text among: {', '.join(names[:40])}",
            mend="say which one does: --text COLUMN (in Python: text=...)",
        )
    free = [name for name in free if name != text]
    return Columns(text, asked.id or _first(free, _ID), asked.title or _first(free, _TITLE))


def _first(names: Iterable[str], known: Sequence[str]) -> str | None:
    """The name that comes earliest in `known`, whatever its case."""
    places = {name: known.index(name.lower()) for name in names if name.lower() in known}
    return min(places, key=places.__getitem__, default=None)


def row_documents(
    rows: Iterable[Row], asked: Columns, skip: Skip, *, limit: int, prefix: str = "", keep_empty: bool = False
) -> Iterator[Document]:
    """A document for each row. Its id is `prefix` and the value of the id column, else the row's number.

    Rows without text and title are skipped unless `keep_empty`. Raises what `recognise` raises, for the first row.

    >>> rows = [(1, {"_id": 7, "text": "Wings lift.", "year": 1903}), (2, {"_id": 8, "text": None})]
    >>> list(row_documents(rows, Columns(), lambda line, reason: print(line, reason), limit=100))
    2 no text
    [Document(id='7', text='Wings lift.', title='', metadata={'year': 1903})]
    """
    first = True
    for number, row in rows:
        try:
            columns = recognise(asked, tuple(row))
        except (UnknownName, UnreadableSource):
            if first:
                raise
            skip(number, "no column of text")
            continue
        first = False
        text, title = (_as_text(row.get(name or "")) for name in (columns.text, columns.title))
        if text is None or title is None:
            skip(number, "text that is not a string")
        elif len(text) + len(title) > limit:
            skip(number, "a document that is too long")
        elif keep_empty or text.strip() or title.strip():
            name = well_formed(prefix + _id_of(row, columns, number))
            yield Document(name, well_formed(text), well_formed(title), _scalars(row, leave=columns))
        else:
            skip(number, "no text")


def _id_of(row: Mapping[str, Any], columns: Columns, number: int) -> str:
    if columns.id is None:
        return str(number)
    value = row.get(columns.id)
    return f"#{number}" if value in (None, "") else str(value)  # the sign keeps it apart from an id that is a number


def _as_text(value: object) -> str | None:
    """A string or a number as text, nothing (None, NaN) as empty text, and None for what is no text."""
    if value is None or value != value:
        return ""
    return str(value) if isinstance(value, str | int | float) else None


def _scalars(row: Mapping[str, Any], leave: Columns) -> dict[str, Any]:
    """The small scalars, and lists of short texts, among the remaining columns; BEIR's `metadata` object counts as columns."""
    kept: dict[str, Any] = {}
    inner = row.get("metadata")
    for name, value in {**(inner if isinstance(inner, dict) else {}), **row}.items():
        if name in (leave.text, leave.id, leave.title):
            continue
        if isinstance(value, str) and 0 < len(value) <= _METADATA_LIMIT:
            kept[well_formed(name)] = well_formed(value)
        elif isinstance(value, int) or (isinstance(value, float) and math.isfinite(value)):
            kept[well_formed(name)] = value
        elif _are_short_texts(value):
            kept[well_formed(name)] = [well_formed(each) for each in value]
    return kept


def _are_short_texts(value: object) -> bool:
    return (
        isinstance(value, list)
        and len(value) > 0
        and all(isinstance(each, str) for each in value)
        and sum(map(len, value)) <= _METADATA_LIMIT
    )


def _jsonl(path: Path, limit: int, skip: Skip) -> Iterator[Row]:
    """One JSON object a line; blank lines are nothing, all else is skipped with its line number."""
    with opened(path) as stream, text_stream(stream, newline="\n", errors="surrogateescape") as decoded:
        lines = Lines(decoded, limit)
        for line in lines:
            if lines.was_cut():
                skip(lines.number, _TOO_LONG)
            elif _escaped(line):
                skip(lines.number, _UNDECODABLE)
            elif not line.isspace():
                try:
                    row = json.loads(line)
                except (ValueError, RecursionError):
                    skip(lines.number, "broken JSON")
                    continue
                if isinstance(row, dict):
                    yield lines.number, row
                else:
                    skip(lines.number, "JSON that is not an object")


def _csv(path: Path, limit: int, skip: Skip) -> Iterator[Row]:
    """The first row names the columns; the separator is the one of , ; tab | that the first row has most of."""

    def fields(lines: Lines) -> Iterator[tuple[int, list[str]]]:
        first = next(lines, "")
        separator = max(",;\t|", key=first.count)
        # the limit is the process's; it is only ever raised, and each line is bounded by Lines already
        csv.field_size_limit(max(csv.field_size_limit(), limit))
        reader = csv.reader(chain((first,), lines), delimiter=separator)
        while True:
            start = reader.line_num + 1
            try:
                yield start, next(reader)
            except StopIteration:
                return
            except csv.Error:
                skip(start, _TOO_LONG if lines.was_cut() else "broken CSV")

    return _separated(path, limit, skip, fields)


def _tsv(path: Path, limit: int, skip: Skip) -> Iterator[Row]:
    """Tabs separate, quotes mean nothing (IANA's text/tab-separated-values): a stray quote swallows no lines."""

    def fields(lines: Lines) -> Iterator[tuple[int, list[str]]]:
        for line in lines:
            yield lines.number, line.rstrip("\r\n").split("\t")

    return _separated(path, limit, skip, fields)


def _separated(path: Path, limit: int, skip: Skip, fields: Callable[[Lines], Iterator[tuple[int, list[str]]]]) -> Iterator[Row]:
    with opened(path) as stream, text_stream(stream, errors="surrogateescape") as decoded:
        lines = Lines(decoded, limit)
        header: list[str] = []
        for number, row in fields(lines):
            if not any(row):
                continue
            if lines.was_cut():
                skip(number, _TOO_LONG)
            elif any(map(_escaped, row)):
                skip(number, _UNDECODABLE)
            elif not header:
                header = [name.strip() for name in row]
            elif len(row) != len(header):
                skip(number, "a row with another number of columns than the first")
            else:
                yield number, dict(zip(header, row, strict=True))


def _escaped(text: str) -> bool:
    """Whether `surrogateescape` met bytes here that are no UTF-8."""
    if text.isascii():
        return False
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


def _parquet(path: Path, limit: int, skip: Skip) -> Iterator[Row]:
    """Only columns of scalars are read: no embeddings, no nested values."""
    del limit, skip  # Parquet is read whole row by whole row, or not at all
    import pyarrow as pa
    import pyarrow.parquet as pq

    with opened(path) as stream:
        try:
            file = pq.ParquetFile(stream)
            fields = [field for field in file.schema_arrow if _is_scalar(field.type)]
            # as text: Python's own dates know no nanoseconds
            plain = pa.schema([field.with_type(pa.string()) if _is_day(field.type) else field for field in fields])
            batches = file.iter_batches(batch_size=_BATCH, columns=plain.names)
            yield from enumerate((row for batch in batches for row in batch.cast(plain).to_pylist()), start=1)
        except (pa.ArrowException, OSError) as error:
            mend = "write the file again, or give the data as .jsonl"
            raise UnreadableSource("not valid Parquet", mend=mend) from error


def _is_scalar(kind: Any) -> bool:
    import pyarrow.types as types

    if types.is_dictionary(kind):
        kind = kind.value_type
    tests = (types.is_string, types.is_large_string, types.is_integer, types.is_floating, types.is_boolean)
    return any(test(kind) for test in tests) or _is_day(kind)


def _is_day(kind: Any) -> bool:
    import pyarrow.types as types

    return bool(types.is_date(kind) or types.is_timestamp(kind))


TABLES: dict[str, Callable[[Path, int, Skip], Iterator[Row]]] = {
    "jsonl": _jsonl,
    "csv": _csv,
    "tsv": _tsv,
    "parquet": _parquet,
}


def table_documents(
    path: Path, asked: Columns, skip: Skip, *, limit: int, prefix: str = "", keep_empty: bool = False
) -> Iterator[Document]:
    """The documents of one file, read as its name says: a key of `TABLES`. See `row_documents`.

    Raises UnreadableSource where the file is not what its name says, or is no table.
    """
    kind = kind_of(path.name)
    if kind not in TABLES:
        raise UnreadableSource("not a table", mend=f"give a file of {', '.join(TABLES)}")
    rows = TABLES[kind](path, limit, skip)
    return row_documents(rows, asked, skip, limit=limit, prefix=prefix, keep_empty=keep_empty)


def column_names(path: Path) -> tuple[str, ...]:
    """The columns of a table's first row; none where the file is no table, or has no rows."""
    kind = kind_of(path.name)
    if kind not in TABLES or not path.is_file():
        return ()

    def ignore(line: int | None, reason: str) -> None:
        """Whoever reads the whole table is told."""

    first = next(iter(TABLES[kind](path, MAX_CHARACTERS, ignore)), None)
    return () if first is None else tuple(first[1])
