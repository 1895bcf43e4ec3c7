"""How rows stand in PostgreSQL: the tables, text that it could not hold, and a filter as SQL with parameters.

Rows are never changed: they are `born` in one version and have `died` in a later one, and a reader of version v sees those with
`born <= v < died`. Metadata is kept as JSON, as it came, and what of it a filter can name stands once more in `fields` (jsonb).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from vicino.data.filters import And, Between, Compare, Condition, Contains, Filter, In, IsNull, Kind, Not, Or
from vicino.store.base import COLUMNS, Row
from vicino.store.rows import kind_of

__all__ = ["ALIVE", "TABLES", "TYPES", "condition", "escape", "from_binary", "records", "to_binary", "unescape"]

ALIVE: Final = 2**63 - 1  # when a row dies that is there

TYPES: Final[Mapping[str, str]] = {  # of the columns of `rows`, but for the vectors
    "born": "int8",
    "died": "int8",
    **{name: "int8" if kind == "integer" else "text" for name, kind in COLUMNS.items()},
    "metadata": "text",
    "fields": "jsonb",
}


def _column(name: str, kind: str) -> str:
    order = ' COLLATE "C"' if kind == "text" else ""  # by code point, as everywhere in vicino
    return f'"{name}" {kind}{order} NOT NULL'


# Hash indexes, because a name may be longer than what a B-tree holds.
TABLES: Final = (
    f"CREATE TABLE {{schema}}.rows ({', '.join(_column(name, kind) for name, kind in TYPES.items())})",
    "CREATE INDEX ON {schema}.rows USING hash (key)",
    "CREATE INDEX ON {schema}.rows USING hash (document)",
    "CREATE INDEX ON {schema}.rows (md5(tenant))",
    f"CREATE INDEX ON {{schema}}.rows (died) WHERE died < {ALIVE}",
    "CREATE TABLE {schema}.commits (version int8 PRIMARY KEY, at timestamptz NOT NULL DEFAULT clock_timestamp())",
    "CREATE TABLE {schema}.about (version int8 PRIMARY KEY, plain text NOT NULL)",
    "CREATE TABLE {schema}.tags (tag text PRIMARY KEY, version int8 NOT NULL)",
    "CREATE TABLE {schema}.turns (name text PRIMARY KEY)",  # whose rows are the locks of writers
)

# Text -----------------------------------------------------------------------------------------------------------------

# PostgreSQL's text cannot hold the character 0. It and the next five are written as two of them each, of which the first is
# 1 or 2 and the second 3, 4 or 5: so the order stays, and what is part of a text stays part of it.
_TWO: Final = {code: chr(1 + code // 3) + chr(3 + code % 3) for code in range(6)}
_ONE: Final = {two: chr(code) for code, two in _TWO.items()}
_RARE: Final = re.compile("[\x00-\x05]")


def escape(text: str) -> str:
    """Text as PostgreSQL can hold it; nearly always as it is.

    >>> unescape(escape("nul \\0 nul")) == "nul \\0 nul", "\\0" in escape("nul \\0 nul")
    (True, False)
    """
    return text.translate(_TWO) if _RARE.search(text) else text


def unescape(text: str) -> str:
    """What `escape` was given."""
    return re.sub("[\x01\x02].", lambda two: _ONE[two[0]], text, flags=re.DOTALL) if _RARE.search(text) else text


# Rows -----------------------------------------------------------------------------------------------------------------


def records(rows: Sequence[Row], version: int) -> Iterator[list[Any]]:
    """What COPY takes for each row, in the order of `TYPES`."""
    for row in rows:
        plain = [getattr(row, name) for name in COLUMNS]
        written = json.dumps(dict(row.metadata), ensure_ascii=False)
        values = [escape(value) if isinstance(value, str) else value for value in [*plain, written]]
        yield [version, ALIVE, *values, _fields(row.metadata)]


def _fields(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """What a filter can name; more does no harm."""
    named = {name: value for name, value in metadata.items() if kind_of(value) or value in ([], ())}
    return {escape(name): _escaped(value) for name, value in named.items()}


def _escaped(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [escape(item) for item in value]
    return escape(value) if isinstance(value, str) else value


def to_binary(vectors: NDArray[np.float32]) -> list[bytes]:
    """Rows of (n, d) as pgvector sends a `vector`: the width and a zero in 16 bits each, then big-endian float32."""
    n, dim = vectors.shape
    head = np.tile(np.array([dim, 0], dtype=">u2"), (n, 1)).view(np.uint8)
    body = vectors.astype(">f4").view(np.uint8).reshape(n, 4 * dim)
    return [line.tobytes() for line in np.hstack([head, body])]


def from_binary(values: Sequence[bytes], dim: int) -> NDArray[np.float32]:
    """What `to_binary` was given: (n, dim).

    >>> from_binary(to_binary(np.array([[1, -0.0]], dtype=np.float32)), 2).tolist()
    [[1.0, -0.0]]
    """
    flat = np.frombuffer(b"".join(value[4:] for value in values), dtype=">f4")
    return flat.astype(np.float32).reshape(len(values), dim)


# Filters --------------------------------------------------------------------------------------------------------------

_CASTS: Final[Mapping[Kind, tuple[str, str]]] = {
    "text": ("string", "(fields->>%s)"),
    "integer": ("number", "(fields->>%s)::numeric"),
    "number": ("number", "(fields->>%s)::float8"),
    "flag": ("boolean", "(fields->>%s)::bool"),
    "texts": ("array", "(fields->%s)"),
}


def condition(wanted: Filter, kinds: Mapping[str, Kind]) -> tuple[str, list[Any]]:
    """A checked filter as SQL with places for values, and the values: nothing of a caller's is code.

    >>> condition(Not(Compare("title", "=", "it's")), {"title": "text"})
    ('(NOT ("title" = %s))', ["it's"])
    """
    match wanted:
        case And(parts) | Or(parts):
            inner = [condition(part, kinds) for part in parts]
            word = " AND " if isinstance(wanted, And) else " OR "
            return f"({word.join(text for text, _ in inner)})", [value for _, values in inner for value in values]
        case Not(part):
            text, values = condition(part, kinds)
            return f"(NOT {text})", values
        case Condition():
            column, named = _named(wanted.column, kinds[wanted.column])
            test, values = _test(wanted, column, kinds[wanted.column])
            return f"({test})", [*named, *values]
    raise TypeError(f"{wanted!r} is no filter")


def _named(name: str, kind: Kind) -> tuple[str, list[Any]]:
    """The expression of a column, null where a row has nothing of this kind there."""
    if name in COLUMNS:
        return f'"{name}"', []
    sort, value = _CASTS[kind]
    order = ' COLLATE "C"' if kind == "text" else ""
    return f"(CASE WHEN jsonb_typeof(fields->%s) = '{sort}' THEN {value} END){order}", [escape(name), escape(name)]


def _test(wanted: Condition, column: str, kind: Kind) -> tuple[str, list[Any]]:
    match wanted:
        case IsNull():
            return f"{column} IS NULL", []
        case Compare(_, op, value):
            return f"{column} {'<>' if op == '!=' else op} %s", [_escaped(value)]
        case Between(_, low, high):
            return f"{column} BETWEEN %s AND %s", [_escaped(low), _escaped(high)]
        case In(_, values):
            return f"{column} = ANY(%s)", [[_escaped(value) for value in values]]
        case Contains(_, value) if kind == "texts":
            return f"{column} ? %s", [escape(value)]
        case Contains(_, value):
            return f"strpos({column}, %s) > 0", [escape(value)]
    raise TypeError(f"{wanted!r} is no condition")
