"""Tables of who did what: csv, tsv, dat, jsonl and parquet -> columns of names, numbers, times and texts.

Text is read in blocks by pyarrow, some million rows a second; nothing that cannot be read is passed over.
"""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vicino.data.files import COMPRESSED, MAX_CHARACTERS, Lines, opened, text_stream, well_formed
from vicino.data.rows import TABLES
from vicino.data.text import Vocabulary
from vicino.errors import EmptyInput, InputError, UnreadableSource

__all__ = ["ENDINGS", "Table", "plain_name", "seconds"]

ENDINGS = (".csv", ".tsv", ".dat", ".data", ".jsonl", ".ndjson", ".parquet")

_SEPARATORS = {".csv": (",", ";", "\t", "|"), ".tsv": ("\t",)}  # others: as MovieLens and HetRec have them
_OTHERS = ("::", "\t", ",", ";", "|", " ")
_UNIT = "\x1f"  # stands for a separator of two characters, which pyarrow does not know
_UNNAMED = ("user", "item", "weight", "time")  # the columns of a table whose first line is no header
_NUMBER = re.compile(r"\s*-?\d+(\.\d*)?([eE][+-]?\d+)?\s*")
_BLOCK = 1 << 22  # characters


def plain_name(column: str) -> str:
    """A column's name as it is compared: userId, user_id and "User ID" are the same.

    >>> plain_name("User_ID")
    'userid'
    """
    return re.sub(r"[\W_]+", "", column).casefold()


class Table:
    """One table on disk: the `names` of its columns, and what stands in them.

    A text table without a first line of names, as MovieLens has them, has the columns user, item, weight and time. Whatever is
    raised names the file, and where it can the row. Raises UnreadableSource where the file is no such table, EmptyInput where it
    has no rows.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        name = Path(self.path.name.lower())
        self.kind = Path(name.stem).suffix if name.suffix in COMPRESSED else name.suffix
        if self.kind not in ENDINGS or (self.kind == ".parquet" and self.kind != name.suffix):
            known = ", ".join(ENDINGS)
            raise UnreadableSource(f"{path}: not a table of interactions", mend=f"give a file that ends in one of: {known}")
        with self._named():
            self.names: tuple[str, ...] = self._find_names()
        if not self.names:
            raise EmptyInput(f"{path}: no rows", mend="give a table with at least one row")

    def names_in(self, column: str) -> tuple[list[str], NDArray[np.int64]]:
        """The distinct names of a column in the order in which they come, and for each row which of them, (n,).

        Raises InputError for a row without one.
        """
        with self._named():
            encoded = self._strings(column).dictionary_encode().unify_dictionaries().combine_chunks()
            known = Vocabulary()
            numbers = np.array([known.add(well_formed(name.strip())) for name in encoded.dictionary.to_pylist()], np.int64)
            rows = numbers[encoded.indices.to_numpy()] if len(numbers) else np.empty(0, np.int64)
            if "" in known:
                row = int(np.argmax(rows == known[""]))
                raise InputError(f"row {row + 1} has no {column}", mend="name it, or leave the row out")
        return known.terms, rows

    def numbers_in(self, column: str) -> NDArray[np.float64]:
        """A column of numbers, (n,); NaN where a row has none. Raises UnreadableSource for what is no number."""
        import pyarrow as pa
        import pyarrow.compute as pc

        with self._named():
            strings = self._strings(column)
            try:
                return np.asarray(_blank_to_null(strings).cast(pa.float64()).to_numpy(), np.float64)
            except pa.ArrowInvalid:
                whole = pc.match_substring_regex(pc.fill_null(strings, ""), f"^({_NUMBER.pattern}|\\s*|(?i:nan))$").to_numpy()
                row = int(np.argmin(whole))
                raise UnreadableSource(
                    f"row {row + 1}: {column} is {str(strings[row])[:60]!r}, no number", mend="give numbers of more than 0"
                ) from None

    def times_in(self, column: str) -> NDArray[np.float64]:
        """A column of times as seconds since 1970, (n,): numbers are taken as they are; dates are ISO 8601, UTC where no zone is.

        Raises UnreadableSource for what is no time.
        """
        import pyarrow as pa

        with self._named():
            strings = self._strings(column)
            try:
                times = np.asarray(strings.cast(pa.float64()).to_numpy(), np.float64)
            except pa.ArrowInvalid:
                encoded = strings.dictionary_encode().unify_dictionaries().combine_chunks()
                distinct = [seconds(text or "") for text in encoded.dictionary.to_pylist()]
                times = np.array([*distinct, np.nan])[encoded.indices.fill_null(len(distinct)).to_numpy()]
            wrong = np.flatnonzero(~np.isfinite(times))
            if len(wrong):
                shown = str(strings[int(wrong[0])])[:60]
                mend = "give seconds since 1970, or dates such as 2024-05-31 or 2024-05-31T12:00:00"
                raise UnreadableSource(f"row {wrong[0] + 1}: {column} is {shown!r}, no time", mend=mend)
        return times

    def texts_in(self, column: str) -> list[str]:
        """A column as texts, (n,); empty where a row has none."""
        with self._named():
            return [well_formed(text or "").strip() for text in self._strings(column).to_pylist()]

    # Columns as pyarrow's chunked arrays of strings --------------------------------------------------------------------

    def _strings(self, column: str) -> Any:
        import pyarrow as pa

        found = self._columns[column]
        if pa.types.is_date(found.type):
            found = found.cast(pa.timestamp("us"))
        if pa.types.is_timestamp(found.type):
            found = pa.chunked_array([chunk.cast(pa.int64()) for chunk in found.cast(pa.timestamp("us")).chunks], pa.int64())
            return pa.chunked_array([_in_seconds(chunk) for chunk in found.chunks], pa.string())
        return found.cast(pa.string())

    @cached_property
    def _columns(self) -> Any:
        """The whole table; columns that hold more than one value in a cell are left out."""
        import pyarrow as pa

        readers: dict[str, Callable[[], Any]] = {".parquet": self._parquet, ".jsonl": self._json, ".ndjson": self._json}
        try:
            table = readers.get(self.kind, self._separated)()
        except pa.ArrowException as error:
            told = str(error).partition("\n")[0]
            raise UnreadableSource(f"a row that does not fit: {told[:200]}", mend="give all rows as many columns") from error
        if not table.num_rows:
            raise EmptyInput("no rows", mend="give a table with at least one row")
        return table

    @contextmanager
    def _named(self) -> Iterator[None]:
        try:
            yield
        except InputError as error:
            raise type(error)(f"{self.path}: {error.what}", mend=error.mend) from error

    def _find_names(self) -> tuple[str, ...]:
        if self.kind == ".parquet":
            return tuple(self._columns.column_names)
        if self.kind in (".jsonl", ".ndjson"):
            return tuple(str(name) for name in next(self._objects(), {}))
        first, _ = self._first_line()
        cells = self._cells(first) if first else []
        if len(set(map(plain_name, cells))) < len(cells) and not self._is_data(cells):
            raise UnreadableSource(f"several columns of one name among {', '.join(cells)}", mend="rename one of them")
        return _UNNAMED[: len(cells)] if self._is_data(cells) else tuple(cells)

    # Text --------------------------------------------------------------------------------------------------------------

    def _first_line(self) -> tuple[str, int]:
        """The first line that is not blank, and its number."""
        with opened(self.path) as stream, text_stream(stream, newline="\n") as decoded:
            lines = Lines(decoded, MAX_CHARACTERS)
            return next(((line.rstrip("\r\n"), lines.number) for line in lines if line.strip()), ("", 0))

    def _separator(self, line: str) -> str:
        choices = _SEPARATORS.get(self.kind, _OTHERS)
        return max(choices, key=line.count) if self.kind == ".csv" else next((one for one in choices if one in line), choices[0])

    def _cells(self, line: str) -> list[str]:
        separator = self._separator(line)
        cells = next(csv.reader([line], delimiter=separator)) if self.kind == ".csv" else line.split(separator)
        return [cell.strip() for cell in cells]

    def _is_data(self, cells: Sequence[str]) -> bool:
        """Whether the first line is an interaction: it has a number where a weight would stand, or is two numbers."""
        return 2 <= len(cells) <= len(_UNNAMED) and all(map(_NUMBER.fullmatch, cells[2:] or cells))

    def _separated(self) -> Any:
        import pyarrow as pa
        from pyarrow import csv as tables

        first, number = self._first_line()
        separator = self._separator(first)
        skipped = number - 1 if self._is_data(self._cells(first)) else number
        with opened(self.path) as stream, text_stream(stream, newline="") as decoded:
            for _ in range(skipped):
                decoded.readline()
            source = io.BufferedReader(_Encoded(decoded, separator), buffer_size=_BLOCK)
            if not source.peek(1):
                return pa.table({name: pa.array([], pa.string()) for name in self.names})
            return tables.read_csv(
                source,
                tables.ReadOptions(column_names=list(self.names), use_threads=False, block_size=2 * _BLOCK),
                tables.ParseOptions(
                    delimiter=separator if len(separator) == 1 else _UNIT,
                    quote_char='"' if self.kind == ".csv" else False,
                    newlines_in_values=self.kind == ".csv",
                ),
                tables.ConvertOptions(
                    column_types=dict.fromkeys(self.names, pa.string()), null_values=[], strings_can_be_null=False
                ),
            )

    # JSON lines and Parquet ---------------------------------------------------------------------------------------------

    def _objects(self) -> Iterator[dict[str, Any]]:
        def refuse(line: int | None, reason: str) -> None:
            raise UnreadableSource(f"line {line}: {reason}", mend="write one JSON object a line")

        for _, row in TABLES["jsonl"](self.path, MAX_CHARACTERS, refuse):
            yield dict(row)

    def _json(self) -> Any:
        import pyarrow as pa

        columns: dict[str, list[str]] = {name: [] for name in self.names}
        for row in self._objects():
            for name, values in columns.items():
                values.append(_as_text(row.get(name)))
        return pa.table({name: pa.array(values, pa.string()) for name, values in columns.items()})

    def _parquet(self) -> Any:
        import pyarrow as pa
        import pyarrow.parquet as pq

        with opened(self.path) as stream:
            try:
                file = pq.ParquetFile(stream)
                plain = [field.name for field in file.schema_arrow if not pa.types.is_nested(field.type)]
                return file.read(columns=plain)
            except (pa.ArrowException, OSError) as error:
                raise UnreadableSource("not valid Parquet", mend="write the file again, or give it as .csv") from error


class _Encoded(io.RawIOBase):
    """Decoded text as UTF-8 for pyarrow, whole lines at a time, with a separator that it knows."""

    def __init__(self, text: io.TextIOWrapper, separator: str) -> None:
        self._text, self._separator, self._left = text, separator, b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._left and (text := self._text.read(_BLOCK)):
            text += self._text.readline()
            self._left = (text.replace(self._separator, _UNIT) if len(self._separator) > 1 else text).encode()
        given = self._left[: len(buffer)]
        self._left = self._left[len(given) :]
        buffer[: len(given)] = given
        return len(given)


def _as_text(value: Any) -> str:
    """A value of JSON as a cell; lists of texts as "a|b"."""
    if isinstance(value, list):
        return "|".join(_as_text(each) for each in value)
    return "" if value is None or isinstance(value, dict) else well_formed(str(value))


def _blank_to_null(strings: Any) -> Any:
    import pyarrow as pa
    import pyarrow.compute as pc

    trimmed = pc.utf8_trim_whitespace(strings)
    return pc.if_else(pc.equal(trimmed, ""), pa.scalar(None, pa.string()), trimmed)


def _in_seconds(microseconds: Any) -> Any:
    """A pyarrow array of microseconds as texts of seconds, null where there is none."""
    import pyarrow as pa

    return pa.array([None if one is None else repr(one / 1e6) for one in microseconds.to_pylist()], pa.string())


def seconds(text: str) -> float:
    """A number, or a date of ISO 8601 (UTC where no zone is), as seconds since 1970; NaN for neither.

    >>> seconds("1970-01-02"), seconds("12.5"), seconds("soon")
    (86400.0, 12.5, nan)
    """
    try:
        return float(text)
    except ValueError:
        pass
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        return float("nan")
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
