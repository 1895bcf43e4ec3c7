"""A store in PostgreSQL with pgvector: one schema of a database, for any number of processes on any machines.

Every write is one transaction that takes the next version; writers queue for a row. Rows are written once and marked when they
die, so a reader keeps its version whatever others write, until `maintain` takes away what no kept version needs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace as with_changes
from functools import partial
from os import PathLike
from typing import TYPE_CHECKING, Any, ClassVar, Final, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from vicino.data.filters import Filter, Kind
from vicino.data.records import Hits
from vicino.errors import ArtifactError, InputError, UnknownName
from vicino.spaces import Space
from vicino.store.about import About, checked
from vicino.store.base import COLUMNS, Prepared, Removed, Row, Stats, Store, Upkeep
from vicino.store.postgres_commits import (
    add_column,
    commit,
    drop_column,
    fill,
    forget,
    free,
    put,
    require_full,
    take_turn,
)
from vicino.store.postgres_reading import (
    NARROW,
    batch,
    build_index,
    exactly,
    latest,
    nearby,
    require_indexable,
    scalar,
    seen,
    standing_index,
    state_at,
)
from vicino.store.postgres_server import Place, library
from vicino.store.postgres_sql import TABLES
from vicino.store.rows import check_keys, check_rows, misfit, missing, plain_table, vector_column
from vicino.store.server_state import State, require_tag

if TYPE_CHECKING:
    import pyarrow as pa
    from psycopg import Connection

__all__ = ["Postgres"]

T = TypeVar("T")

BATCH: Final = 1000  # rows read at once
OFTEN: Final = 64  # versions, after which old ones are looked at
WIDEST: Final = 16_000  # dimensions that pgvector keeps


class Postgres(Store):
    """The schema `vicino_NAME` of a database (format 1): see `postgres_server.Place` for its location."""

    scheme: ClassVar[str] = "postgresql"
    _place: Place

    def __init__(self, place: Place, state: State, *, pinned: bool = False) -> None:
        self._place, self._state, self._pinned = place, state, pinned

    # Opening ----------------------------------------------------------------------------------------------------------

    @classmethod
    def create(cls, location: str | PathLike[str], spaces: Sequence[Space]) -> Self:
        psycopg = library()
        place, state = Place.of(str(location)), State.first(spaces)
        for space in spaces:
            _require_width(space)

        def work(connection: Connection) -> None:
            if scalar(connection, "SHOW server_encoding") != "UTF8":
                raise ArtifactError(
                    f"{place}: the database does not keep UTF-8", mend="make one that does: createdb -E UTF8 NAME"
                )
            if not scalar(connection, "SELECT count(*) FROM pg_extension WHERE extname = 'vector'"):
                connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
            connection.execute(place.sql("CREATE SCHEMA {schema}"))
            for statement in TABLES:
                connection.execute(place.sql(statement))
            for space in spaces:
                add_column(connection, place, space)
            connection.execute(place.sql("INSERT INTO {schema}.turns VALUES ('commit'), ('upkeep')"))
            connection.execute(place.sql("INSERT INTO {schema}.commits VALUES (1)"))
            connection.execute(place.sql("INSERT INTO {schema}.about VALUES (1, %s)"), [state.to_json()])

        try:
            place.run(work)
        except ArtifactError as error:
            if isinstance(error.__cause__, psycopg.errors.DuplicateSchema):
                raise ArtifactError(
                    f"something is in {place} already", mend="choose another name, or open what is there"
                ) from error
            raise
        return cls(place, state)

    @classmethod
    def open(cls, location: str | PathLike[str]) -> Self:
        library()
        place = Place.of(str(location))

        def work(connection: Connection) -> State:
            there = scalar(connection, "SELECT to_regclass(%s)", [f'"{place.schema}".turns'])
            if there is None:
                raise ArtifactError(f"there is no store in {place}", mend="check the address and the name")
            return latest(connection, place)

        return cls(place, place.run(work))

    @property
    def _about(self) -> About:
        return self._state.about

    @property
    def columns(self) -> Mapping[str, Kind]:
        return {**COLUMNS, **self._state.kinds}

    @property
    def version(self) -> int:
        return self._state.version

    def refresh(self) -> bool:
        if self._pinned:
            return False
        before = self.version
        self._move(self._place.run(lambda connection: latest(connection, self._place)))
        return self.version > before

    def _move(self, state: State) -> None:
        """Read this version from now on, unless another thread moved on farther."""
        self._state = max(self._state, state, key=lambda each: each.version)

    def at(self, version: int | str) -> Self:
        def work(connection: Connection) -> State:
            tags: dict[str, int] = dict(connection.execute(self._place.sql("SELECT tag, version FROM {schema}.tags")).fetchall())
            if isinstance(version, str) and version not in tags:
                raise UnknownName.among(version, tags, kind="snapshot")
            number = tags[version] if isinstance(version, str) else version
            there = [row[0] for row in connection.execute(self._place.sql("SELECT version FROM {schema}.commits")).fetchall()]
            if number not in there:
                kept = f"kept are {len(there)} versions, {min(there)} to {max(there)}"
                raise UnknownName(f"there is no version {number} of {self._place} (any more)", mend=kept)
            return state_at(connection, self._place, number)

        return type(self)(self._place, self._place.run(work), pinned=True)

    def snapshot(self, tag: str) -> int:
        require_tag(tag)

        def work(connection: Connection) -> None:
            take_turn(connection, self._place)
            if scalar(connection, self._place.sql("SELECT count(*) FROM {schema}.tags WHERE tag = %s"), [tag]):
                raise InputError(f"there is a snapshot {tag!r} already", mend="choose another name")
            self._require_kept(connection)
            connection.execute(self._place.sql("INSERT INTO {schema}.tags VALUES (%s, %s)"), [tag, self.version])

        self._place.run(work)
        return self.version

    # Writing ----------------------------------------------------------------------------------------------------------

    def misfits(self, metadata: Mapping[str, Any]) -> str:
        return misfit(metadata, self._state.kinds)

    def replace(self, rows: Sequence[Row], vectors: Mapping[str, NDArray[Any]], *, tenant: str) -> int:
        self._must_write()
        if not rows:
            return self.version
        check_rows(rows, tenant)
        plain_table(rows)  # raises for what no store holds
        arrays = self._about.checked(vectors, len(rows))

        def work(connection: Connection) -> State:
            state = take_turn(connection, self._place)
            state.about.require_vectors(tuple(arrays), self._place)
            kinds = {**state.kinds, **missing(rows, state.kinds)}
            after = with_changes(state, version=state.version + 1, kinds=kinds)
            put(connection, self._place, rows, arrays, after.version)
            return commit(connection, self._place, state, after)

        self._write(work)
        return self.version

    def delete(self, where: Filter, *, tenant: str | None) -> Removed:
        self._must_write()
        self._state.checked(where, tenant)  # a filter that does not fit is an error before anything is locked
        found = Removed(0, 0)

        def work(connection: Connection) -> State:
            nonlocal found
            state = take_turn(connection, self._place)
            condition, values = seen(state, where, tenant)
            gone = (
                f"WITH gone AS (UPDATE {{schema}}.rows SET died = %s WHERE {condition} "
                "RETURNING tenant, source, document) SELECT count(*), count(DISTINCT (tenant, source, document)) FROM gone"
            )
            rows, documents = connection.execute(self._place.sql(gone), [state.version + 1, *values]).fetchone() or (0, 0)
            found = Removed(rows, documents)
            return commit(connection, self._place, state, state.after()) if rows else state

        self._write(work)
        return found

    def _write(self, work: Callable[[Connection], State]) -> None:
        self._must_write()
        self._move(self._place.run(work))
        if self.version % OFTEN == 0:
            self._prune(600.0)

    def _must_write(self) -> None:
        if self._pinned:
            raise InputError(f"version {self.version} of {self._place} cannot be changed", mend="write to the store itself")

    # Spaces -----------------------------------------------------------------------------------------------------------

    def add_space(self, space: Space) -> int:
        _require_width(space)

        def work(connection: Connection) -> State:
            state = take_turn(connection, self._place)
            after = state.after(state.about.adding(space, self._place))
            add_column(connection, self._place, space)
            return commit(connection, self._place, state, after)

        self._write(work)
        return self.version

    def fill(self, space: Space, keys: Sequence[str], vectors: NDArray[Any]) -> int:
        array, filled = checked(space, vectors, len(keys)), 0
        check_keys(keys)

        def work(connection: Connection) -> State:
            nonlocal filled
            state = take_turn(connection, self._place)
            state.about.require_filling(space, self._place, "fill")
            filled = fill(connection, self._place, space, keys, array)
            return commit(connection, self._place, state, state.after()) if filled else state

        self._write(work)
        return filled

    def serve(self, spaces: Sequence[Space], *, note: str) -> int:
        def work(connection: Connection) -> State:
            state = take_turn(connection, self._place)
            after = state.after(state.about.serving(spaces, note, self._place))
            require_full(connection, self._place, after.about.spaces)
            return commit(connection, self._place, state, after)

        self._write(work)
        return self.version

    def drop_space(self, space: Space) -> int:
        def work(connection: Connection) -> State:
            state = take_turn(connection, self._place)
            after = state.after(state.about.dropping(space, self._place))
            drop_column(connection, self._place, space)
            return commit(connection, self._place, state, after)

        self._write(work)
        return self.version

    # Reading ----------------------------------------------------------------------------------------------------------

    def _scan(
        self, columns: Sequence[str], where: Filter | None, tenant: str | None, space: Space | None, lacking: Space | None
    ) -> Iterator[pa.RecordBatch]:
        condition, values = seen(self._state, where, tenant)
        names = [f'"{name}"' for name in columns]
        if space:
            names.append(f'"{vector_column(space)}"')
            condition += f' AND "{vector_column(space)}" IS NOT NULL'
        if lacking:
            condition += f' AND "{vector_column(lacking)}" IS NULL'
        asked = f"SELECT {', '.join(names) or '1'} FROM {{schema}}.rows WHERE {condition}"

        def work(connection: Connection) -> Iterator[pa.RecordBatch]:
            self._begin_reading(connection)
            with connection.cursor("scan", binary=True) as cursor:
                cursor.execute(self._place.sql(asked), values)
                while rows := cursor.fetchmany(BATCH):
                    yield batch(columns, space, rows)

        return self._place.stream(work)

    def count(self, *, where: Filter | None = None, tenant: str | None) -> int:
        condition, values = seen(self._state, where, tenant)
        return self._read(
            lambda c: int(scalar(c, self._place.sql(f"SELECT count(*) FROM {{schema}}.rows WHERE {condition}"), values))
        )

    def _search(
        self,
        queries: NDArray[np.float32],
        k: int,
        space: Space,
        where: Filter | None,
        tenant: str | None,
        effort: int | None,
    ) -> Hits:
        rows = seen(self._state, where, tenant)
        how = exactly if effort is None else partial(nearby, effort=effort)
        found = self._read(lambda connection: how(connection, self._place, space, queries, k, rows))
        width = max((len(answer) for answer in found), default=0)
        ids = np.full((len(queries), width), None, dtype=object)
        scores = np.full((len(queries), width), -np.inf, dtype=np.float32)
        for at, answer in enumerate(found):
            ids[at, : len(answer)] = [key for key, _ in answer]
            scores[at, : len(answer)] = [score for _, score in answer]
        return Hits(ids, scores)

    def _read(self, work: Callable[[Connection], T]) -> T:
        def whole(connection: Connection) -> T:
            self._begin_reading(connection)
            return work(connection)

        return self._place.run(whole)

    def _begin_reading(self, connection: Connection) -> None:
        """One snapshot of the database, in which this version is kept."""
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        self._require_kept(connection)

    def _require_kept(self, connection: Connection) -> None:
        if not scalar(connection, self._place.sql("SELECT count(*) FROM {schema}.commits WHERE version = %s"), [self.version]):
            raise ArtifactError(
                f"version {self.version} of {self._place} was superseded long ago, and its rows were freed",
                mend="call refresh() to read the latest, or make a snapshot of a version that must stay",
            )

    # Upkeep -----------------------------------------------------------------------------------------------------------

    def maintain(self, *, keep_seconds: float = 600.0) -> Upkeep:
        """As `Store.maintain`; the space that is freed is the table's to use again. A server shows us no files: 0."""
        self._must_write()
        freed = self._prune(keep_seconds)
        if freed is not None:
            self._place.alone(self._place.sql("VACUUM (ANALYZE) {schema}.rows"))
        self.refresh()
        return Upkeep(0, 0, freed or 0)

    def build_index(self, space: Space, *, precision: str = "float16") -> bool:
        """An HNSW graph in the database, which a `search` with an effort uses and writes keep up; over half or whole floats.

        What it finds is compared exactly. False where another process is building it. Raises SpaceMismatch, and InputError for
        more dimensions than it takes.
        """
        self._about.require_column(space, self._place)
        require_indexable(space, precision)
        return build_index(self._place, space, precision, anew=True)

    def prepare(self, space: Space) -> bool:
        if self.prepared(space, 1) is not None or space.dim > NARROW["float16"][1]:
            return False
        return build_index(self._place, space, "float16", anew=False)

    def prepared(self, space: Space, k: int) -> Prepared | None:
        return self._read(lambda connection: standing_index(connection, self._place, space, k))

    def _prune(self, keep_seconds: float) -> int | None:
        """The bytes of the rows that no kept version needs, which are gone; None where another process is at it."""
        if not self._place.run(lambda connection: forget(connection, self._place, keep_seconds)):
            return None
        return self._place.run(lambda connection: free(connection, self._place))

    def stats(self) -> Stats:
        condition, values = seen(self._state, None, None)
        counted = (
            "SELECT coalesce(sum(n), 0)::int8, count(*) FROM "
            f"(SELECT count(*) AS n FROM {{schema}}.rows WHERE {condition} GROUP BY tenant, source, document) documents"
        )

        def work(connection: Connection) -> Stats:
            rows, documents = connection.execute(self._place.sql(counted), values).fetchone() or (0, 0)
            size = scalar(connection, "SELECT pg_total_relation_size(%s::regclass)", [f'"{self._place.schema}".rows'])
            return Stats(rows, documents, self.version, size, 0)

        return self._read(work)


def _require_width(space: Space) -> None:
    if space.dim > WIDEST:
        raise InputError(f"PostgreSQL keeps vectors of at most {WIDEST:,} dimensions, not of {space}", mend="cut them: --dim N")
