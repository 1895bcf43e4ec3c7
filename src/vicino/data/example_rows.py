"""Tables of training examples, row by row: which column plays which part, and what of its cells can be learnt from.

Columns are named by the caller, else recognised by their names. Rows come from the readers of `rows.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from vicino import progress
from vicino.data.files import MAX_CHARACTERS, well_formed
from vicino.data.formats import kind_of
from vicino.data.readers import Reading
from vicino.data.rows import TABLES
from vicino.errors import EmptyInput, InputError, UnknownName, UnreadableSource

__all__ = ["PARTS", "ExampleRows", "Parts", "parts_of", "read_rows"]

Asked = Mapping[str, str | Sequence[str]]

# what `columns` may name; "text" is the only text of a row that has a class
PARTS = ("anchor", "positive", "negative", "score", "label", "text")

# the spelling that says most comes first
_ANCHOR = str.split(
    "anchor query question question1 sentence1 sentence_1 sentence_a text1 text_1 text_a premise claim intent prompt "
    "instruction q"
)
_POSITIVE = str.split(
    "positive positives pos answer document passage question2 sentence2 sentence_2 sentence_b text2 text_2 text_b hypothesis "
    "response context snippet code body content abstract text description a"
)
_SCORE = str.split("score similarity similarity_score label labels is_duplicate duplicate relevance class category target grade")
_ALONE = str.split("text sentence content body review comment message document passage question query title")
_TITLE = str.split("title headline heading subject")
_NEGATIVE = re.compile(r"(hard_?)?neg(ative)?s?_?(\d*)", re.IGNORECASE)

_LARGEST = 3e38  # what float32 can hold
_NO_NUMBER = "a score or label that is neither a number nor true or false"


@dataclass(frozen=True)
class Parts:
    """The columns of one table. `positive` is None where a row is one text and its class, which then stands in `score`."""

    anchor: str
    positive: str | None = None
    negatives: tuple[str, ...] = ()
    score: str | None = None

    def __str__(self) -> str:
        if self.positive is None:
            return f"text from {self.anchor}; class from {self.score}"
        told = {"positive": self.positive, "negatives": ", ".join(self.negatives), "score": self.score}
        return "; ".join([f"anchor from {self.anchor}", *(f"{part} from {name}" for part, name in told.items() if name)])


@dataclass(frozen=True)
class ExampleRows:
    """What a table holds, one entry an example; `values` are scores, or names of classes. `reading` counts what was left out."""

    parts: Parts
    reading: Reading
    anchors: list[str] = field(default_factory=list)
    positives: list[str] = field(default_factory=list)
    negatives: list[list[str]] = field(default_factory=list)
    values: list[float | str] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)

    def add(self, line: int, row: Mapping[str, Any], parts: Parts) -> str:
        """Take one row over; why not, where it cannot be."""
        value = _value(row.get(parts.score), parts) if parts.score else ""
        anchor = _texts(row.get(parts.anchor))
        positives = [""] if parts.positive is None else _texts(row.get(parts.positive))
        listed = [_texts(row.get(name)) for name in parts.negatives]
        if anchor is None or positives is None or None in listed:
            return "text that is not a string"
        if len(anchor) > 1:
            return "several anchors in a row"
        if not anchor or not positives:
            return "no text"
        if value is None:
            return _NO_NUMBER if parts.positive else "no class"
        for positive in positives:
            self.anchors.append(anchor[0])
            self.positives.append(positive)
            self.negatives.append([text for texts in listed for text in texts or ()])
            self.values.append(value)
            self.lines.append(line)
        return ""


def parts_of(asked: Asked, names: Sequence[str]) -> Parts:
    """The parts of a table whose columns are `names`, with those that are `asked` for.

    Where both texts are asked for, or a text and its label, nothing else is guessed. Raises UnknownName for a part that does
    not exist and for a column that is not there, UnreadableSource where a part is not recognised or could be two things; each
    lists the columns there are.

    >>> parts_of({}, ("Question", "answer", "negative_2", "negative_1", "id"))
    Parts(anchor='Question', positive='answer', negatives=('negative_1', 'negative_2'), score=None)
    >>> parts_of({}, ("text", "label"))
    Parts(anchor='text', positive=None, negatives=(), score='label')
    >>> parts_of({"anchor": "q", "positive": "url"}, ("q", "url", "score"))
    Parts(anchor='q', positive='url', negatives=(), score=None)
    """
    given = _given(asked, names)
    one = given.get("text")
    score = _only(given.get("score", ()) + given.get("label", ()), "score")
    free = [name for name in names if not any(name in taken for taken in given.values())]
    if one:
        if given.keys() & {"anchor", "positive", "negative"}:
            raise InputError("a row is one text with a class, or a pair", mend="give text and label, or anchor and positive")
        score = score or _first(free, _SCORE)
        if score is None:
            raise _unknown("label", names)
        return Parts(_only(one, "text") or "", score=score)
    if {"anchor", "positive"} <= given.keys():
        anchor, positive = (_only(given[part], part) for part in ("anchor", "positive"))
        return _pair(anchor or "", positive or "", given.get("negative", ()), score)
    return _recognised(given, free, names, score)


def _recognised(given: Mapping[str, tuple[str, ...]], free: list[str], names: Sequence[str], score: str | None) -> Parts:
    """What is not given, from the columns that are free."""
    negatives = given.get("negative") or tuple(sorted(filter(_NEGATIVE.fullmatch, free), key=_numbered))
    if score and "negative" not in given:
        negatives = ()  # a score that was asked for is meant
    score = score or (None if negatives else _first(free, _SCORE))
    free = [name for name in free if name not in negatives and name != score]
    anchor = _only(given.get("anchor", ()), "anchor") or _first(free, _ANCHOR)
    positive = _only(given.get("positive", ()), "positive") or _first([name for name in free if name != anchor], _POSITIVE)
    if anchor is None and positive is not None and (title := _first([name for name in free if name != positive], _TITLE)):
        if score is not None:
            raise UnreadableSource(
                f"the columns {title}, {positive} and {score} may be a pair with a score, or a text with a class",
                mend=f"say which: anchor={title}, positive={positive}, score={score}; or text={positive}, label={score}",
            )
        anchor = title
    if anchor and positive:
        return _pair(anchor, positive, negatives, score)
    alone = anchor or positive or _first(free, _ALONE)
    if score and alone and not negatives and not given.keys() & {"anchor", "positive"}:
        return Parts(alone, score=score)
    raise _unknown("positive" if anchor else "anchor", names)


def _pair(anchor: str, positive: str, negatives: tuple[str, ...], score: str | None) -> Parts:
    if negatives and score:
        raise InputError("a score has no use beside negatives", mend="name columns of negatives, or one of scores")
    return Parts(anchor, positive, negatives, score)


def _given(asked: Asked, names: Sequence[str]) -> dict[str, tuple[str, ...]]:
    given = {}
    for part, column in asked.items():
        if part not in PARTS:
            raise UnknownName.among(part, PARTS, kind="part of an example")
        given[part] = (column,) if isinstance(column, str) else tuple(column)
        for name in given[part]:
            if name not in names:
                raise UnknownName.among(name, names, kind="column")
    return {part: columns for part, columns in given.items() if columns}


def _only(columns: tuple[str, ...], part: str) -> str | None:
    if len(columns) > 1:
        raise InputError(f"{part} from {len(columns)} columns: {', '.join(columns)}", mend=f"name one column as {part}")
    return columns[0] if columns else None


def _first(names: Iterable[str], known: Sequence[str]) -> str | None:
    """The name that comes earliest in `known`, whatever its case."""
    places = {name: known.index(name.lower()) for name in names if name.lower() in known}
    return min(places, key=places.__getitem__, default=None)


def _numbered(name: str) -> tuple[int, str]:
    digits = re.sub(r"\D", "", name)
    return int(digits or 0), name


def _unknown(part: str, names: Sequence[str]) -> UnreadableSource:
    return UnreadableSource(
        f"no column is known to hold the {part} of an example among: {', '.join(names[:40])}",
        mend="say which column is what: anchor=COLUMN, positive=COLUMN (negative=, score=); or text=COLUMN, label=COLUMN",
    )


def read_rows(path: Path, columns: Asked) -> ExampleRows:
    """The examples of one table; a cell of JSON may hold several positives or negatives as a list.

    Rows that are broken, blank, not text or without a finite number are counted and left out, and so are rows whose columns make
    another kind of example than the first row's. Raises EmptyInput, UnreadableSource and what `parts_of` raises, with the path.
    """
    kind = kind_of(path.name)
    if kind not in TABLES:
        mend = f"give a file of {', '.join(TABLES)}, or a folder in BEIR's format"
        raise UnreadableSource(f"{path} is not a table of examples", mend=mend)
    reading = Reading(path, lambda *_: iter(()))

    def skip(line: int | None, reason: str) -> None:
        reading.skip(path.name, line, reason)

    try:
        rows = _collected(TABLES[kind](path, MAX_CHARACTERS, skip), columns, reading)
        if rows is not None and kind == "parquet":
            for name in _nested(path):
                skip(None, f"the column {name}: its cells hold lists, which are read from .jsonl only")
    except InputError as error:
        raise type(error)(f"{path}: {error.what}", mend=error.mend) from error
    if rows is None or not rows.anchors:
        if not reading.counts:
            raise EmptyInput(f"{path} holds no examples", mend="give rows of two texts, or of a text and its class")
        mend = "mend the rows that are named"
        if reading.counts[_NO_NUMBER]:
            mend = "give numbers; where texts have classes and no partners, name their columns: text=COLUMN, label=COLUMN"
        raise UnreadableSource(f"{path} holds no example that could be read; {reading.summary()}", mend=mend)
    return rows


def _collected(table: Iterable[tuple[int, Mapping[str, Any]]], columns: Asked, reading: Reading) -> ExampleRows | None:
    recognise = lru_cache(maxsize=256)(lambda names: parts_of(columns, names))  # nearly all rows have the same names
    rows: ExampleRows | None = None
    for line, row in progress.track(table, "reading examples", unit="rows"):
        try:
            parts = recognise(tuple(row))
        except InputError:
            if rows is None:
                raise
            parts = None
        rows = rows or ExampleRows(parts or Parts(""), reading)
        if parts is None or _kind(parts) != _kind(rows.parts):
            reading.skip(reading.path.name, line, "other columns than the first row's")
        elif reason := rows.add(line, row, parts):
            reading.skip(reading.path.name, line, reason)
    return rows


def _kind(parts: Parts) -> tuple[bool, bool]:
    return parts.positive is None, parts.score is None


def _texts(cell: object) -> list[str] | None:
    """The texts of a cell that are not blank: one, or those of a list; None where something else stands there."""
    if isinstance(cell, list):
        each = [None if isinstance(one, list) else _texts(one) for one in cell]
        return None if None in each else [text for texts in each for text in texts or ()]
    if cell is None or cell != cell:
        return []
    if isinstance(cell, bool) or not isinstance(cell, str | int | float):
        return None
    text = well_formed(str(cell))
    return [text] if text.strip() else []


def _value(cell: object, parts: Parts) -> float | str | None:
    """A finite number for two texts, the name of a class for one; None where it is none."""
    if parts.positive is None:
        name = None if isinstance(cell, list) else _texts(str(cell) if isinstance(cell, bool) else cell)
        return name[0].strip() if name else None
    if isinstance(cell, str):
        cell = {"true": 1.0, "false": 0.0}.get(cell.strip().lower(), cell)
    try:
        number = float(cell)  # type: ignore[arg-type]  # what is no number raises
    except (TypeError, ValueError, OverflowError):
        return None
    return number if abs(number) < _LARGEST else None  # not for NaN either


def _nested(path: Path) -> Iterator[str]:
    """The columns of a Parquet file that its reader leaves out."""
    import pyarrow.parquet as pq
    import pyarrow.types as types

    yield from (column.name for column in pq.read_schema(path) if types.is_nested(column.type))
