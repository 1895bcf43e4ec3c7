"""Reading rows from PostgreSQL: what a version says of itself, batches of rows, the nearest, and the index that finds them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from vicino.data.filters import Filter
from vicino.errors import InputError
from vicino.spaces import Space
from vicino.store.base import Prepared
from vicino.store.postgres_server import Place
from vicino.store.postgres_sql import condition, escape, from_binary, unescape
from vicino.store.rows import vector_column
from vicino.store.server_state import State, batch_of

if TYPE_CHECKING:
    import pyarrow as pa
    from psycopg import Connection

__all__ = [
    *("NARROW", "batch", "build_index", "exactly", "index_precision", "latest", "nearby"),
    *("require_indexable", "scalar", "seen", "standing_index", "state_at"),
]

NARROW: Final[Mapping[str, tuple[str, int]]] = {"float16": ("halfvec", 4_000), "float32": ("vector", 2_000)}  # of HNSW
OPERATORS: Final = {"cosine": "<=>", "dot": "<#>", "euclidean": "<->"}
CLASSES: Final = {"cosine": "cosine_ops", "dot": "ip_ops", "euclidean": "l2_ops"}
MORE: Final = 4  # times k rows are taken from the index, and compared exactly
LEAST_EFFORT: Final = 40  # rows that pgvector looks at by default (hnsw.ef_search)
MOST_EFFORT: Final = 1_000


def scalar(connection: Connection, statement: Any, values: Sequence[Any] = ()) -> Any:
    """The first column of the first row."""
    row = connection.execute(statement, values).fetchone()
    return row[0] if row else None


def latest(connection: Connection, place: Place) -> State:
    """The newest version."""
    return state_at(connection, place, scalar(connection, place.sql("SELECT max(version) FROM {schema}.commits")))


def state_at(connection: Connection, place: Place, version: int) -> State:
    """What the store said of itself at a version. Raises ArtifactCorrupt, ArtifactTooNew."""
    asked = place.sql("SELECT plain FROM {schema}.about WHERE version <= %s ORDER BY version DESC LIMIT 1")
    return State.from_json(version, str(scalar(connection, asked, [version])), place)


def seen(state: State, where: Filter | None, tenant: str | None) -> tuple[str, list[Any]]:
    """The condition of the rows of a version that match, and its values. Raises UnknownName, InputError."""
    parts = [condition(part, state.columns) for part in state.checked(where, tenant)]
    if tenant is not None:
        parts.append(("md5(tenant) = md5(%s)", [escape(tenant)]))  # which has an index
    values = [value for _, own in parts for value in own]
    return " AND ".join(["born <= %s AND died > %s", *(text for text, _ in parts)]), [state.version, state.version, *values]


def batch(columns: Sequence[str], space: Space | None, rows: Sequence[Sequence[Any]]) -> pa.RecordBatch:
    """Rows as they came, with the vector last where there is a space."""
    listed = list(zip(*rows, strict=True))
    plain = {
        name: [unescape(value) if isinstance(value, str) else value for value in values]
        for name, values in zip(columns, listed, strict=False)
    }
    return batch_of(plain, from_binary(listed[-1], space.dim) if space else None)


# The nearest ----------------------------------------------------------------------------------------------------------

Answer = list[tuple[str, float]]


def exactly(
    connection: Connection, place: Place, space: Space, queries: NDArray[np.float32], k: int, rows: tuple[str, list[Any]]
) -> list[Answer]:
    """The k nearest of each query, as keys and scores, after a comparison with every row that the condition leaves."""
    return [_compare(connection, place, space, query, k, f"{{schema}}.rows WHERE {rows[0]}", rows[1]) for query in queries]


def nearby(
    connection: Connection,
    place: Place,
    space: Space,
    queries: NDArray[np.float32],
    k: int,
    rows: tuple[str, list[Any]],
    *,
    effort: int = 0,
) -> list[Answer]:
    """As `exactly`, but of what the space's index finds; where that is less than k, or there is no index, of all.

    The index is read on until the condition has left enough (pgvector's iterative scan).
    """
    precision = index_precision(connection, place, space)
    if precision is None:
        return exactly(connection, place, space, queries, k, rows)
    kind, column, operator = NARROW[precision][0], vector_column(space), OPERATORS[space.similarity]
    connection.execute("SET LOCAL hnsw.iterative_scan = 'strict_order'")
    connection.execute(f"SET LOCAL hnsw.ef_search = {min(max(LEAST_EFFORT, MORE * k, effort), MOST_EFFORT)}")
    near = (
        f'(SELECT key, "{column}" FROM {{schema}}.rows WHERE {rows[0]} AND "{column}" IS NOT NULL '
        f'ORDER BY "{column}"::{kind}({space.dim}) {operator} %s::{kind}({space.dim}) LIMIT {MORE * k}) near WHERE true'
    )
    answers = []
    for query in queries:
        answer = _compare(connection, place, space, query, k, near, [*rows[1], _written(query)])
        few = len(answer) < k
        answers.append(exactly(connection, place, space, query[None], k, rows)[0] if few else answer)
    return answers


def _compare(
    connection: Connection, place: Place, space: Space, query: NDArray[np.float32], k: int, rows: str, values: list[Any]
) -> Answer:
    column = f'"{vector_column(space)}"'
    distance = f"{column} {OPERATORS[space.similarity]} %s::vector"
    if space.similarity == "cosine":
        distance = f"coalesce(nullif({distance}, 'NaN'), 1)"  # a vector of zeros is like none
    asked = f"SELECT key, {distance} AS distance FROM {rows} AND {column} IS NOT NULL ORDER BY distance, key LIMIT %s"
    found = connection.execute(place.sql(asked), [_written(query), *values, k]).fetchall()
    offset = 1.0 if space.similarity == "cosine" else 0.0
    return [(unescape(key), offset - distance) for key, distance in found]


def _written(vector: NDArray[np.float32]) -> str:
    return "[" + ",".join(f"{value:.9g}" for value in vector.tolist()) + "]"


# The index ------------------------------------------------------------------------------------------------------------


_STANDING: Final = (
    "pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace "
    "WHERE n.nspname = %s AND c.relname = %s AND i.indisvalid"
)


def _of_index(place: Place, space: Space) -> list[str]:
    return [place.schema, f"near_{vector_column(space)}"]


def require_indexable(space: Space, precision: str) -> None:
    """Raise InputError for what HNSW in pgvector cannot hold."""
    if precision not in NARROW:
        raise InputError(f"there is no index of {precision}", mend=f"choose one of {', '.join(NARROW)}")
    widest = NARROW[precision][1]
    if space.dim > widest:
        wider = "float16, which takes 4,000" if space.dim <= NARROW["float16"][1] else "exact search"
        raise InputError(f"an index of {precision} takes at most {widest:,} dimensions", mend=f"use {wider}")


def build_index(place: Place, space: Space, precision: str, *, anew: bool) -> bool:
    """An HNSW graph over the vectors of a space, while others read and write, `anew` even where one stands.

    False where another process is building it, or has built it.
    """
    kind, column = NARROW[precision][0], vector_column(space)
    drop = place.sql(f'DROP INDEX CONCURRENTLY IF EXISTS {{schema}}."near_{column}"')  # or what a failed build left
    expression = f'("{column}"::{kind}({space.dim})) {kind}_{CLASSES[space.similarity]}'
    create = place.sql(f'CREATE INDEX CONCURRENTLY "near_{column}" ON {{schema}}.rows USING hnsw ({expression})')

    def build(connection: Connection) -> bool:
        if not anew and index_precision(connection, place, space) is not None:
            return False
        connection.execute(drop)
        connection.execute(create)
        return True

    return place.one_at_a_time(f"{place.schema}.near_{column}", build)


def standing_index(connection: Connection, place: Place, space: Space, k: int) -> Prepared | None:
    """What is known of the index that stands."""
    size = scalar(connection, f"SELECT pg_relation_size(i.indexrelid) FROM {_STANDING}", _of_index(place, space))
    return None if size is None else Prepared(size, min(max(LEAST_EFFORT, MORE * k), MOST_EFFORT), MOST_EFFORT)


def index_precision(connection: Connection, place: Place, space: Space) -> str | None:
    """That of the index that stands, if one does."""
    made = scalar(connection, f"SELECT pg_get_indexdef(i.indexrelid) FROM {_STANDING}", _of_index(place, space))
    return None if made is None else "float16" if "halfvec" in made else "float32"
