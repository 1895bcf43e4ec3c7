"""Rows as columns of a Lance table, and a filter as Lance's SQL."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vicino.data.filters import And, Between, Compare, Condition, Contains, Filter, In, IsNull, Kind, Not, Or, Value
from vicino.spaces import Space
from vicino.store.base import Row
from vicino.store.rows import physical, types_of, vector_column

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["kinds_of", "sql", "with_metadata", "with_vectors"]


def kinds_of(schema: pa.Schema) -> dict[str, Kind]:
    """The metadata columns of a table. Where integers made room for other numbers, the numbers count."""
    kinds: dict[str, Kind] = {}
    for kind in types_of():  # "number" comes after "integer"
        kinds |= {name.removeprefix(f"{kind}_"): kind for name in schema.names if name.startswith(f"{kind}_")}
    return kinds


def with_metadata(table: pa.Table, rows: Sequence[Row], kinds: Mapping[str, Kind]) -> pa.Table:
    """A table with the metadata of its rows, which is known to fit: as JSON, and in columns."""
    import pyarrow as pa

    table = table.append_column("metadata", pa.array(_written([row.metadata for row in rows]), pa.large_string()))
    for name, kind in kinds.items():
        values = [row.metadata.get(name) for row in rows]
        if kind == "number":
            values = [None if value is None else value + 0.0 for value in values]  # -0.0 becomes 0.0: Arrow tells them apart
        table = table.append_column(physical(name, kind), pa.array(values, types_of()[kind]))
    return table


def _written(metadata: Sequence[Mapping[str, Any]]) -> list[str]:
    """Each as JSON. To write all at once is four times as fast, and they come apart at characters that JSON itself escapes."""
    text = json.JSONEncoder(ensure_ascii=False, separators=("\n", "\t"), default=dict).encode(metadata)
    apart = text[2:-2].replace("}\n{", "\r").replace("\n", ", ").replace("\t", ": ").split("\r")
    if len(apart) == len(metadata):
        return [f"{{{inside}}}" for inside in apart]
    write = json.JSONEncoder(ensure_ascii=False, default=dict).encode  # lists of objects came apart too
    return [write(each) for each in metadata]


def with_vectors(table: pa.Table, vectors: Mapping[Space, NDArray[np.float32]]) -> pa.Table:
    """A table with a column for the (n, d) vectors of each space."""
    import pyarrow as pa

    for space, array in vectors.items():
        column = pa.FixedSizeListArray.from_arrays(pa.array(array.ravel()), space.dim)
        table = table.append_column(vector_column(space), column)
    return table


# Filters --------------------------------------------------------------------------------------------------------------


def sql(wanted: Filter, kinds: Mapping[str, Kind], *, negated: bool = False) -> str:
    """A checked filter as Lance's SQL. Values are quoted, names come from the schema: nothing of a caller's is code.

    `not` is carried down to the comparisons, each of which says that its column holds something: nothing is left to the third
    truth value, which Lance's optimiser loses (`not (x in (1) and not x in (1))` is true for it where x is null).

    >>> sql(Not(Compare("lang", "=", "it's")), {"lang": "text"})
    "(`text_lang` is not null and not `text_lang` = 'it''s')"
    """
    if isinstance(wanted, Not):
        return sql(wanted.part, kinds, negated=not negated)
    if isinstance(wanted, And | Or):
        word = " and " if isinstance(wanted, And) != negated else " or "
        return "(" + word.join(sql(part, kinds, negated=negated) for part in wanted.parts) + ")"
    if not isinstance(wanted, Condition):
        raise TypeError(f"{wanted!r} is no filter")
    name = f"`{physical(wanted.column, kinds[wanted.column])}`"
    if isinstance(wanted, IsNull):
        return f"({name} is {'not ' if negated else ''}null)"
    return f"({name} is not null and {'not ' if negated else ''}{_test(wanted, name, kinds[wanted.column])})"


def _test(wanted: Condition, name: str, kind: Kind) -> str:
    match wanted:
        case Compare(_, op, value):
            return f"{name} {op} {_literal(value)}"
        case In(_, values):
            return f"{name} in ({', '.join(map(_literal, values))})"
        case Between(_, low, high):
            return f"({name} >= {_literal(low)} and {name} <= {_literal(high)})"
        case Contains(_, value):
            return f"{'array_has' if kind == 'texts' else 'contains'}({name}, {_literal(value)})"
    raise TypeError(f"{wanted!r} is no condition")


def _literal(value: Value) -> str:
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    if isinstance(value, bool):
        return str(value).lower()
    # A cast: the smallest integer is no literal of Lance's SQL.
    return f"cast('{float(value)!r}' as double)" if isinstance(value, float) else f"cast('{int(value)}' as bigint)"
