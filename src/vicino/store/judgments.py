"""Judgments: what people said of the answers of a collection, one line of JSON each, in `judgments.jsonl` of its folder.

Lines are only ever added, each forced to the disk before anybody is told that it is kept; one that was torn by a power failure is
passed over. To take a judgment back is a line too. Several processes may write: the file is locked for as long as a line takes.
"""

from __future__ import annotations

import hashlib
import json
import os
import statistics
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from vicino.artifacts import locked
from vicino.data.pools import Pool, PoolRow
from vicino.data.records import Query
from vicino.errors import ArtifactError, InputError, UnknownName

__all__ = ["HIGHEST", "NAME", "Judgment", "add", "pool_of", "qrels_of", "query_id", "read", "remove"]

NAME: Final = "judgments.jsonl"
HIGHEST: Final = 3
_LOCK: Final = ".judgments.lock"
_LONGEST: Final = 1 << 20  # bytes of a line: what is longer was not written here


@dataclass(frozen=True)
class Judgment:
    """How well a document answers a query, from 0 (not at all) to 3. A `blind` rater did not see which search found it.

    `configuration` is the search that showed it. `id` and `created` are given when it is kept.

    Raises InputError for a grade that is none, and for no query or no document.
    """

    query: str
    document: str
    grade: int
    source: str = ""
    rater: str = ""
    blind: bool = False
    configuration: Mapping[str, Any] | None = None
    tenant: str = ""
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    created: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))

    def __post_init__(self) -> None:
        if not isinstance(self.grade, int) or isinstance(self.grade, bool) or not 0 <= self.grade <= HIGHEST:
            raise InputError(f"the grade is {self.grade!r}", mend=f"give 0 (not relevant) to {HIGHEST} (answers it fully)")
        if not self.query.strip() or not self.document:
            raise InputError("a judgment is about a query and a document", mend="give both")

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def add(folder: Path, judgment: Judgment) -> str:
    """Keep one in a collection's folder; its id, once it is on disk. Raises ArtifactError for a full disk."""
    _append(folder, judgment.to_json())
    return judgment.id


def remove(folder: Path, name: str, *, tenant: str) -> None:
    """Take one back. Raises UnknownName where the tenant has none of this id, ArtifactError for a full disk."""
    if name not in {judgment.id for judgment in read(folder, tenant=tenant)}:
        raise UnknownName(f"there is no judgment {name[:40]!r}", mend="list them: GET /api/judgments?collection=NAME")
    _append(folder, {"removed": name})


def read(folder: Path, *, tenant: str) -> Iterator[Judgment]:
    """A tenant's judgments, in the order in which they were made; those that were taken back are left out."""
    kept: dict[str, Judgment] = {}
    for plain in _lines(folder / NAME):
        if "removed" in plain:
            kept.pop(str(plain["removed"]), None)
        elif plain.get("tenant") == tenant:
            judgment = _judgment(plain)
            if judgment is not None:
                kept[judgment.id] = judgment
    yield from kept.values()


def query_id(query: str) -> str:
    """A name for a query by its text; spaces and case do not count.

    >>> query_id("How do  wings lift?") == query_id("how do wings lift?")
    True
    """
    return "q" + hashlib.sha256(" ".join(query.casefold().split()).encode("utf-8", "replace")).hexdigest()[:12]


def pool_of(judgments: Iterable[Judgment], shown: Mapping[tuple[str, str], str] | None = None) -> Pool:
    """As the table that `vicino compare --judgements` reads: a pair of a query and a document once.

    Of each rater the last word counts, and of several raters the lower median. `shown` is what a reader of the table sees of each
    (source, document).

    >>> [row.grade for row in pool_of([Judgment("q", "d", 1, rater="a"), Judgment("q", "d", 3, rater="a")]).rows]
    [3]
    """
    grades: dict[tuple[str, str], dict[str, int]] = {}
    firsts: dict[tuple[str, str], Judgment] = {}
    for judgment in judgments:
        pair = query_id(judgment.query), judgment.document
        grades.setdefault(pair, {})[judgment.rater] = judgment.grade
        firsts.setdefault(pair, judgment)
    texts: dict[str, str] = {}
    rows = []
    for pair, one in firsts.items():
        query = Query(pair[0], texts.setdefault(pair[0], one.query))
        text = (shown or {}).get((one.source, one.document), "")
        rows.append(PoolRow(query, one.document, text, statistics.median_low(grades[pair].values())))
    return Pool(tuple(rows))


def qrels_of(pool: Pool) -> str:
    """As TREC writes judgements, a line each: query, 0, document, grade. Raises InputError for an id with a space in it."""
    lines = []
    for judgement in pool.judgements:
        if any(character.isspace() for character in judgement.document_id):
            what = f"TREC's format parts fields by spaces, and the id {judgement.document_id!r} has one"
            raise InputError(what, mend="ask for format=csv, which can hold it")
        lines.append(f"{judgement.query_id} 0 {judgement.document_id} {judgement.grade}\n")
    return "".join(lines)


# How ------------------------------------------------------------------------------------------------------------------


def _append(folder: Path, plain: Mapping[str, Any]) -> None:
    line = json.dumps(plain, ensure_ascii=True, allow_nan=False).encode() + b"\n"
    if len(line) > _LONGEST:
        raise InputError(f"a judgment of {len(line):,} bytes", mend=f"keep it under {_LONGEST:,}: leave out the configuration")
    try:
        with locked(folder / _LOCK):
            _write(folder / NAME, line)
    except OSError as error:
        raise ArtifactError(f"cannot keep the judgment: {error}", mend="free some space, and send it again") from error


def _write(file: Path, line: bytes) -> None:
    """Add a line, whole or not at all, behind one that may have been torn."""
    handle = os.open(file, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        size = os.fstat(handle).st_size
        torn = size > 0 and os.pread(handle, 1, size - 1) != b"\n"
        try:
            whole = (b"\n" if torn else b"") + line
            while whole:
                whole = whole[os.write(handle, whole) :]
            os.fsync(handle)
        except OSError:
            os.ftruncate(handle, size)  # a full disk took half of it
            raise
    finally:
        os.close(handle)


def _lines(file: Path) -> Iterator[dict[str, Any]]:
    """Each line that is whole."""
    try:
        with file.open("rb") as stream:
            while line := stream.readline(_LONGEST + 1):
                try:
                    plain = json.loads(line)
                except (ValueError, RecursionError):
                    continue
                if isinstance(plain, dict):
                    yield plain
    except FileNotFoundError:
        return
    except OSError as error:
        raise ArtifactError(f"{file} cannot be read: {error}", mend="check its permissions") from error


def _judgment(plain: Mapping[str, Any]) -> Judgment | None:
    """What a line says; None for one that was not written here."""
    try:
        return Judgment(**plain)
    except (TypeError, AttributeError, InputError):
        return None
