"""Pools: what several systems found, in a table that a person judges by hand, one pair of a query and a document a row.

The table is blind: it names no system and no rank, and each query's documents stand in random order. A person writes a grade
into its column, in any spreadsheet; what was judged stays when more is pooled into the same file. Spärck Jones and van
Rijsbergen, "Report on the need for and provision of an 'ideal' information retrieval test collection", 1975.
"""

from __future__ import annotations

import csv
import hashlib
import os
import random
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from vicino.data.files import MAX_CHARACTERS, well_formed
from vicino.data.formats import kind_of
from vicino.data.records import Document, Judgement, Query
from vicino.data.rows import TABLES
from vicino.errors import ArtifactError, DuplicateIds, InputError, UnreadableSource

__all__ = ["GIVEN", "MADE", "Pool", "PoolRow", "pooled", "read_pool", "require_csv", "write_pool"]

GIVEN, MADE = "given", "made"  # who asked: a person, or a document of itself (see known_items)

_COLUMNS = ("grade", "query", "document", "query_id", "document_id", "origin", "check")
_NEEDED = ("grade", "query_id", "document_id")
_SHOWN = 4000  # characters of a document: a spreadsheet's cell holds 32,767
_CUT = " [...]"
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "'")  # what a spreadsheet would compute, and the sign that keeps it from it


@dataclass(frozen=True)
class PoolRow:
    """A query, a document as the judge sees it, and the grade: None while nobody judged. `more` are the judge's own columns."""

    query: Query
    document_id: str
    shown: str = ""
    grade: int | None = None
    origin: str = GIVEN
    more: Mapping[str, str] = field(default_factory=dict)

    @property
    def pair(self) -> tuple[str, str]:
        return self.query.id, self.document_id


@dataclass(frozen=True)
class Pool:
    """Rows in the order of the table; no pair stands twice."""

    rows: tuple[PoolRow, ...] = ()

    @cached_property
    def queries(self) -> list[Query]:
        """The queries, each once, in the order of the table."""
        return list({row.query.id: row.query for row in self.rows}.values())

    @cached_property
    def judgements(self) -> list[Judgement]:
        """What was judged so far."""
        return [Judgement(*row.pair, row.grade) for row in self.rows if row.grade is not None]

    @property
    def waiting(self) -> int:
        """How many pairs nobody judged yet."""
        return len(self.rows) - len(self.judgements)

    def with_rows(self, rows: Iterable[PoolRow]) -> Pool:
        """This pool, unchanged, and after it those of the rows whose pairs it lacks.

        >>> row = PoolRow(Query("q", "lift"), "d", grade=1)
        >>> Pool((row,)).with_rows([PoolRow(row.query, "d"), PoolRow(row.query, "e")]).waiting
        1
        """
        known = {row.pair for row in self.rows}
        return Pool((*self.rows, *(row for row in rows if row.pair not in known)))


def pooled(
    queries: Sequence[Query],
    found: Iterable[Sequence[Sequence[str]]],
    documents: Mapping[str, Document],
    *,
    judged: Mapping[str, Mapping[str, int]] | None = None,
    origin: str = GIVEN,
    seed: int = 0,
) -> list[PoolRow]:
    """The rows to judge: for each query, in random order, what any system found, in random order.

    `found` holds for each system, and in it for each of the `queries`, the ids of documents. Pairs in `judged` (query ->
    document -> grade) need no judge. What comes out depends on which pairs were found, and not on who found them.

    >>> documents = {name: Document(name, f"About {name}.") for name in "abc"}
    >>> rows = pooled([Query("q", "lift")], [[["a", "b"]], [["b", "c"]]], documents, judged={"q": {"c": 0}})
    >>> sorted(row.document_id for row in rows)
    ['a', 'b']
    """
    names: list[dict[str, None]] = [{} for _ in queries]
    for system in found:
        for kept, answers in zip(names, system, strict=True):
            kept.update(dict.fromkeys(answers))
    rows: list[PoolRow] = []
    order = list(range(len(queries)))
    random.Random(seed).shuffle(order)
    for place in order:
        query, known = queries[place], (judged or {}).get(queries[place].id, {})
        waiting = sorted(name for name in names[place] if name not in known)
        random.Random(f"{seed} {query.id}").shuffle(waiting)
        rows += [PoolRow(query, name, documents[name].content, origin=origin) for name in waiting]
    return rows


def read_pool(path: str | Path) -> Pool:
    """A table of judgements by hand (csv, tsv, jsonl, parquet): query_id, document_id, grade, and what else `write_pool` writes.

    An empty grade is one that is still to come. Raises UnreadableSource with the line for a grade that is no whole number, for
    ids that a spreadsheet changed, and for a broken row: what a person judged is never skipped; DuplicateIds for a pair that
    stands there twice.
    """
    source = Path(path)
    kind = kind_of(source.name)
    if kind not in TABLES:
        raise UnreadableSource(f"{source} is no table of judgements", mend=f"give a file of {', '.join(TABLES)}")

    def refuse(line: int | None, reason: str) -> None:
        raise UnreadableSource(f"{source}, line {line}: {reason}", mend="mend the line; judgements are never skipped")

    rows: dict[tuple[str, str], PoolRow] = {}
    try:
        for line, plain in TABLES[kind](source, MAX_CHARACTERS, refuse):
            row = _row(source, line, {name: _cell(value) for name, value in plain.items()})
            if row.pair in rows:
                raise DuplicateIds(
                    f"{source}, line {line}: query {row.query.id!r} and document {row.document_id!r} stand there already",
                    mend="keep one row for each pair",
                )
            rows[row.pair] = row
    except UnreadableSource as error:
        what = error.what if str(source) in error.what else f"{source}: {error.what}"
        raise UnreadableSource(what, mend=error.mend) from error
    return Pool(tuple(rows.values()))


def write_pool(path: str | Path, pool: Pool) -> None:
    """Write a csv for a spreadsheet, whole or not at all.

    Long documents are cut. A text that a spreadsheet would take for a formula is led by an apostrophe, which `read_pool` takes
    away. Raises InputError for another ending, ArtifactError for a full disk.

    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder, "pool.csv")
    ...     write_pool(file, Pool((PoolRow(Query("q", "=lift"), "007", "Wings lift.", more={"note": "?"}),)))
    ...     print(file.read_text("utf-8-sig"), read_pool(file).queries)
    grade,query,document,query_id,document_id,origin,check,note
    ,'=lift,Wings lift.,q,007,given,...,?
     [Query(id='q', text='=lift')]
    """
    target = Path(path)
    require_csv(target)
    more = list(dict.fromkeys(name for row in pool.rows for name in row.more))
    lines = [
        {
            **row.more,
            "grade": "" if row.grade is None else str(row.grade),
            "query": row.query.text,
            "document": row.shown if len(row.shown) <= _SHOWN + len(_CUT) else row.shown[:_SHOWN] + _CUT,
            "query_id": row.query.id,
            "document_id": row.document_id,
            "origin": row.origin,
            "check": _check(row.pair),
        }
        for row in pool.rows
    ]
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, part = tempfile.mkstemp(prefix=f".{target.stem}.", suffix=".csv", dir=target.parent)
        try:
            with open(handle, "w", encoding="utf-8-sig", newline="") as stream:  # the mark tells Excel that it is UTF-8
                writer = csv.DictWriter(stream, [*_COLUMNS, *more], restval="")
                writer.writeheader()
                writer.writerows({name: _guarded(text, name) for name, text in line.items()} for line in lines)
            os.chmod(part, 0o644)
            os.replace(part, target)
        finally:
            Path(part).unlink(missing_ok=True)
    except OSError as error:
        raise ArtifactError(f"cannot write {target}: {error}", mend="free some space or choose another folder") from error


def require_csv(path: Path) -> None:
    """Raise InputError unless `path` ends in .csv."""
    if path.suffix != ".csv":
        raise InputError(f"{path.name} has no known ending", mend="write a .csv file; every spreadsheet opens it")


# How ---------------------------------------------------------------------------------------------------------------


def _row(source: Path, line: int, cells: dict[str, str]) -> PoolRow:
    missing = [name for name in _NEEDED if name not in cells]
    if missing:
        raise UnreadableSource(f"{source} has no column {missing[0]}", mend=f"name its columns {', '.join(_NEEDED)}")
    pair = cells["query_id"], cells["document_id"]
    if cells.get("check", "") not in ("", _check(pair)):
        raise UnreadableSource(
            f"{source}, line {line}: the ids {pair[0]!r} and {pair[1]!r} are not those that were written",
            mend="a spreadsheet reads 007 as 7: import the columns query_id and document_id as text, not as numbers",
        )
    more = {name: text for name, text in cells.items() if name not in _COLUMNS}
    query = Query(pair[0], cells.get("query", ""))
    return PoolRow(
        query, pair[1], cells.get("document", ""), _grade(source, line, cells["grade"]), cells.get("origin") or GIVEN, more
    )


def _grade(source: Path, line: int, text: str) -> int | None:
    if not text.strip():
        return None
    try:
        grade = float(text)
    except ValueError:
        grade = float("nan")
    if not grade.is_integer():
        raise UnreadableSource(
            f"{source}, line {line}: {text!r} is no grade",
            mend="write a whole number: 0 for not relevant, 1 for relevant, 2 and more for better still",
        )
    return int(grade)


def _cell(value: Any) -> str:
    """A table's value as text, without the apostrophe that kept a spreadsheet from computing it."""
    text = "" if value is None or value != value else str(value)
    return text[1:] if text.startswith("'") and text[1:2] in _FORMULA else text


def _guarded(text: str, column: str) -> str:
    text = well_formed(text).replace("\0", "\ufffd")
    return "'" + text if text.startswith(_FORMULA) and column != "grade" else text


def _check(pair: tuple[str, str]) -> str:
    """Ten digits of a hash behind a letter, which no spreadsheet takes for a number."""
    return "c" + hashlib.blake2s("\0".join(pair).encode("utf-8", "replace"), digest_size=5).hexdigest()
