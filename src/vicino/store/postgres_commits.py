"""What a write to PostgreSQL does in its transaction: take the turn, write, and commit under the next version."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from vicino.errors import DuplicateIds, SpaceMismatch
from vicino.spaces import Space
from vicino.store.base import Row
from vicino.store.postgres_reading import latest, scalar
from vicino.store.postgres_server import Place
from vicino.store.postgres_sql import ALIVE, TYPES, escape, records, to_binary, unescape
from vicino.store.rows import vector_column
from vicino.store.server_state import State

if TYPE_CHECKING:
    from psycopg import Connection

__all__ = ["LIVE", "add_column", "commit", "drop_column", "fill", "forget", "free", "put", "require_full", "take_turn"]

LIVE: Final = f"died = {ALIVE}"
OWN: Final = (  # the rows of some documents of a tenant: the tenant twice, the documents, the sources, the documents
    "md5(tenant) = md5(%s) AND tenant = %s AND document = ANY(%s) "
    "AND (source, document) IN (SELECT * FROM unnest(%s::text[], %s::text[]))"
)


def take_turn(connection: Connection, place: Place) -> State:
    """The latest version, which no other process can follow before this transaction ends."""
    connection.execute(place.sql("SELECT name FROM {schema}.turns WHERE name = 'commit' FOR UPDATE"))
    return latest(connection, place)


def commit(connection: Connection, place: Place, before: State, after: State) -> State:
    """From the end of this transaction on, there is one more version."""
    connection.execute(place.sql("INSERT INTO {schema}.commits VALUES (%s)"), [after.version])
    if after.to_json() != before.to_json():
        connection.execute(place.sql("INSERT INTO {schema}.about VALUES (%s, %s)"), [after.version, after.to_json()])
    return after


def put(
    connection: Connection, place: Place, rows: Sequence[Row], arrays: Mapping[Space, NDArray[np.float32]], version: int
) -> None:
    """Rows, all of one tenant, in the place of what there was of their documents. Raises DuplicateIds."""
    tenant = escape(rows[0].tenant)
    sources, documents = map(list, zip(*{(escape(row.source), escape(row.document)) for row in rows}, strict=True))
    own = [tenant, tenant, documents, sources, documents]
    asked = f"SELECT key, document FROM {{schema}}.rows WHERE {LIVE} AND key = ANY(%s) AND NOT ({OWN}) LIMIT 1"
    taken = connection.execute(place.sql(asked), [[escape(row.key) for row in rows], *own]).fetchone()
    if taken:
        key, document = map(unescape, taken)
        raise DuplicateIds(f"the key {key!r} is that of a passage of {document!r}", mend="make keys of all that names a row")
    connection.execute(place.sql(f"UPDATE {{schema}}.rows SET died = %s WHERE {LIVE} AND {OWN}"), [version, *own])
    names = ", ".join(f'"{name}"' for name in [*TYPES, *map(vector_column, arrays)])
    statement = place.sql(f"COPY {{schema}}.rows ({names}) FROM STDIN (FORMAT BINARY)")
    vectors = zip(*map(to_binary, arrays.values()), strict=True) if arrays else [()] * len(rows)
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        copy.set_types([*TYPES.values(), *["bytea"] * len(arrays)])  # whose bytes are sent as they are
        for record, ours in zip(records(rows, version), vectors, strict=True):
            copy.write_row([*record, *ours])


# Spaces ---------------------------------------------------------------------------------------------------------------


def add_column(connection: Connection, place: Place, space: Space) -> None:
    """A column of vectors, empty."""
    _alter(connection, place, f'ADD COLUMN "{vector_column(space)}" vector({space.dim})')


def drop_column(connection: Connection, place: Place, space: Space) -> None:
    """Give up a column, with its index."""
    _alter(connection, place, f'DROP COLUMN "{vector_column(space)}"')


def _alter(connection: Connection, place: Place, change: str) -> None:
    connection.execute("SET LOCAL lock_timeout = '5s'")  # who waits behind a long reader holds up all others; we come again
    connection.execute(place.sql(f"ALTER TABLE {{schema}}.rows {change}"))


def fill(connection: Connection, place: Place, space: Space, keys: Sequence[str], vectors: NDArray[np.float32]) -> int:
    """Vectors (n, d) for the rows of these keys; how many there are."""
    connection.execute("CREATE TEMPORARY TABLE filled (key text, vector vector) ON COMMIT DROP")
    with connection.cursor() as cursor, cursor.copy("COPY filled FROM STDIN (FORMAT BINARY)") as copy:
        copy.set_types(["text", "bytea"])
        for key, vector in zip(keys, to_binary(vectors), strict=True):
            copy.write_row([escape(key), vector])
    change = f'UPDATE {{schema}}.rows r SET "{vector_column(space)}" = f.vector FROM filled f WHERE r.key = f.key AND r.{LIVE}'
    return connection.execute(place.sql(change)).rowcount


def require_full(connection: Connection, place: Place, spaces: Sequence[Space]) -> None:
    """Raise SpaceMismatch where a row lacks a vector of one of these."""
    for space in spaces:
        asked = f'SELECT count(*) FROM {{schema}}.rows WHERE {LIVE} AND "{vector_column(space)}" IS NULL'
        lacking = scalar(connection, place.sql(asked))
        if lacking:
            raise SpaceMismatch(
                f"cannot serve {space}: {lacking:,} rows of {place} have no vector of it",
                mend="fill these rows first: scan(..., lacking=space) finds them",
            )


# Upkeep ---------------------------------------------------------------------------------------------------------------


def forget(connection: Connection, place: Place, keep_seconds: float) -> bool:
    """Forget the versions that nobody needs; False where another process is at it.

    A version is needed if it has a tag, or was the latest at any time within the last `keep_seconds`.
    """
    if not _is_ours(connection, place):
        return False
    take_turn(connection, place)  # so that nobody names one of these meanwhile
    old = (
        "DELETE FROM {schema}.commits c WHERE NOT EXISTS (SELECT FROM {schema}.tags t WHERE t.version = c.version) "
        "AND EXISTS (SELECT FROM {schema}.commits n WHERE n.version > c.version "
        "AND n.at <= clock_timestamp() - make_interval(secs => %s))"
    )
    connection.execute(place.sql(old), [keep_seconds])
    return True


def free(connection: Connection, place: Place) -> int | None:
    """Take away the rows that no version shows; their bytes. None where another process is at it."""
    rows = (
        f"WITH gone AS (DELETE FROM {{schema}}.rows r WHERE died < {ALIVE} AND NOT EXISTS (SELECT FROM {{schema}}.commits c "
        "WHERE c.version >= r.born AND c.version < r.died) RETURNING pg_column_size(r.*) AS size) "
        "SELECT coalesce(sum(size), 0)::int8 FROM gone"
    )
    return int(scalar(connection, place.sql(rows))) if _is_ours(connection, place) else None


def _is_ours(connection: Connection, place: Place) -> bool:
    lock = "SELECT name FROM {schema}.turns WHERE name = 'upkeep' FOR UPDATE SKIP LOCKED"
    return connection.execute(place.sql(lock)).fetchone() is not None
