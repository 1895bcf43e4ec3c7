"""The embedded store: one Lance table in a folder, for any number of processes that read and write.

Every write is one commit of Lance, which adds files and never changes one: who reads an older version is not disturbed.
Writers prepare their files side by side and queue for the commit alone. Search compares with every row that matches.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final, Self

import numpy as np
from numpy.typing import NDArray

from vicino.artifacts import locked
from vicino.data.filters import Compare, Filter, Kind, check
from vicino.data.records import Hits
from vicino.errors import (
    ArtifactCorrupt,
    ArtifactError,
    ArtifactTooNew,
    DuplicateIds,
    InputError,
    SpaceMismatch,
    UnknownName,
)
from vicino.spaces import Space
from vicino.store.base import COLUMNS, Removed, Row, Stats, Store, Upkeep
from vicino.store.lance_commits import commit, make_room, standing, used
from vicino.store.lance_folder import COMMIT, UPKEEP, check_written, files_of, latest, library, named, version_of
from vicino.store.lance_rows import kinds_of, misfit, plain_table, schema_of, sql, vector_column, with_metadata, with_vectors
from vicino.store.lance_upkeep import clean, compact, due
from vicino.vectors import as_vectors, distances, normalise, top_k

if TYPE_CHECKING:
    import pyarrow as pa
    from lance import LanceDataset

__all__ = ["FORMAT", "Lance"]

FORMAT: Final = 1
ABOUT: Final = b"vicino"  # the key in the schema's metadata: format and spaces, as JSON

LEFT: Final = {COMMIT, "_transactions", "_versions", "data"}  # what a `create` that was killed may leave
ATTEMPTS: Final = 5  # at a commit, while other processes change the columns
BATCH: Final = 1024  # rows: small enough to stay in the processor's cache while a search compares them
BATCH_BYTES: Final = 32 << 20
QUERIES: Final = 4096  # that are compared with a batch at once

_log = logging.getLogger(__name__)


class Lance(Store):
    """A folder with a Lance table (format 1) and two lock files."""

    scheme: ClassVar[str] = "lance"

    def __init__(self, data: LanceDataset, spaces: Sequence[Space], *, pinned: bool = False) -> None:
        self._data = data
        self._folder = Path(data.uri)
        self._spaces = tuple(spaces)
        self._pinned = pinned

    # Opening ----------------------------------------------------------------------------------------------------------

    @classmethod
    def create(cls, location: str | PathLike[str], spaces: Sequence[Space]) -> Self:
        folder, lance = Path(location).absolute(), library()
        for space in spaces:
            if space.similarity == "maxsim" or space.dim < 1:
                raise InputError(f"a store cannot keep vectors of {space}", mend="choose a model with one vector a passage")
        if len({space.id for space in spaces}) < len(spaces):
            raise DuplicateIds("two spaces have one id", mend="name each space once")
        about = {"format": FORMAT, "spaces": [space.to_json() for space in spaces]}
        schema = schema_of({}, spaces).with_metadata({ABOUT: json.dumps(about)})
        with named(folder, "write"):
            folder.mkdir(parents=True, exist_ok=True)
            with locked(folder / COMMIT):
                if _is_there(folder) or any(path.name not in LEFT for path in folder.iterdir()):
                    raise ArtifactError(f"something is in {folder} already", mend="choose another name, or open what is there")
                data = lance.write_dataset(schema.empty_table(), str(folder), schema=schema, mode="create")
        return cls(data, spaces)

    @classmethod
    def open(cls, location: str | PathLike[str]) -> Self:
        folder, lance = Path(location).absolute(), library()
        if not _is_there(folder):
            raise ArtifactError(f"there is no store in {folder}", mend="check the path")
        with named(folder, "read"):
            data = lance.dataset(str(folder))
        return cls(data, _spaces_of(data.schema, folder))

    @property
    def spaces(self) -> tuple[Space, ...]:
        return self._spaces

    @property
    def columns(self) -> Mapping[str, Kind]:
        return {**COLUMNS, **kinds_of(self._data.schema)}

    @property
    def version(self) -> int:
        return int(self._data.version)

    def refresh(self) -> bool:
        if self._pinned:
            return False
        before = self.version
        with named(self._folder, "read"):
            self._move(latest(self._data))
        return self.version > before

    def _move(self, data: LanceDataset) -> None:
        """Read this version from now on, unless another thread moved on farther."""
        self._data = max(self._data, data, key=lambda each: each.version)

    def at(self, version: int | str) -> Self:
        with named(self._folder, "read"):
            tags = self._data.tags.list()
            if isinstance(version, str) and version not in tags:
                raise UnknownName.among(version, tags, kind="snapshot")
            number = tags[version]["version"] if isinstance(version, str) else version
            there = {ref["version"] for ref in self._data.version_refs()}
            if number not in there:
                kept = f"kept are {len(there)} versions, {min(there)} to {max(there)}"
                raise UnknownName(f"there is no version {number} of {self._folder} (any more)", mend=kept)
            return type(self)(version_of(self._data, number), self._spaces, pinned=True)

    def snapshot(self, tag: str) -> int:
        if not re.fullmatch(r"[0-9A-Za-z][0-9A-Za-z._-]{0,99}", tag):
            raise InputError(f"{tag!r} names no snapshot", mend="use up to 100 letters, digits, dots, dashes and underscores")
        with named(self._folder, "write"), locked(self._folder / COMMIT):
            if tag in self._data.tags.list():
                raise InputError(f"there is a snapshot {tag!r} already", mend="choose another name")
            self._data.tags.create(tag, self.version)
        return self.version

    # Writing ----------------------------------------------------------------------------------------------------------

    def misfits(self, metadata: Mapping[str, Any]) -> str:
        return misfit(metadata, kinds_of(self._data.schema))

    def replace(self, rows: Sequence[Row], vectors: Mapping[str, NDArray[Any]], *, tenant: str) -> int:
        self._must_write()
        if not rows:
            return self.version
        _check_rows(rows, tenant)
        arrays = self._check_vectors(vectors, len(rows))
        with named(self._folder, "write"):
            self._move(self._replace(rows, with_vectors(plain_table(rows), arrays), tenant))
        self._tidy()
        return self.version

    def _replace(self, rows: Sequence[Row], plain: pa.Table, tenant: str) -> LanceDataset:
        from lance.fragment import write_fragments

        for _ in range(ATTEMPTS):
            data = make_room(latest(self._data), self._folder, rows, tenant)
            columns = used(rows, kinds_of(data.schema))
            table = with_metadata(plain, rows, columns)
            files = write_fragments(table, data, schema=table.schema)
            check_written(self._folder, files)
            with locked(self._folder / COMMIT):
                data = latest(data)
                if used(rows, kinds_of(data.schema)) == columns:  # no other process made room in one of them meanwhile
                    return commit(data, standing(data, rows, tenant), files)
        raise ArtifactError(f"cannot write {self._folder}: its columns keep changing", mend="run the command again")

    def delete(self, where: Filter, *, tenant: str | None) -> Removed:
        self._must_write()
        self._sql(where, tenant)  # a filter that does not fit is an error before anything is locked
        with named(self._folder, "write"):
            with locked(self._folder / COMMIT):
                data = latest(self._data)
                condition = _sql(where, tenant, data.schema)
                found = data.to_table(columns=["tenant", "source", "document"], filter=condition, with_row_address=True)
                if found.num_rows:
                    data = commit(data, found["_rowaddr"].to_numpy(), [])
            self._move(data)
        self._tidy()
        return Removed(found.num_rows, _documents(found.drop_columns("_rowaddr")))

    def _must_write(self) -> None:
        if self._pinned:
            raise InputError(f"version {self.version} of {self._folder} cannot be changed", mend="write to the store itself")

    def _check_vectors(self, vectors: Mapping[str, NDArray[Any]], n: int) -> dict[Space, NDArray[np.float32]]:
        own = {space.id: space for space in self._spaces}
        if vectors.keys() != own.keys():
            raise SpaceMismatch(
                f"the rows have vectors of {sorted(vectors) or 'no space'}, the store has columns for {sorted(own) or 'none'}",
                mend="encode with the models of this store, or make a new store for these",
            )
        arrays = {space: as_vectors(vectors[name], dim=space.dim) for name, space in own.items()}
        for array in arrays.values():
            if len(array) != n:
                raise InputError(f"{len(array)} vectors for {n} rows", mend="give one vector a row")
        return arrays

    # Reading ----------------------------------------------------------------------------------------------------------

    def scan(
        self, columns: Sequence[str], *, where: Filter | None = None, tenant: str | None, space: Space | None = None
    ) -> Iterator[pa.RecordBatch]:
        readable = (*COLUMNS, "metadata")
        for name in columns:
            if name not in readable:
                raise UnknownName.among(name, readable, kind="column to read")
        condition = self._sql(where, tenant)
        stored = [*columns, *([self._vectors_of(space)] if space else [])]
        return self._stream(stored, [*columns, *(["vector"] if space else [])], condition)

    def _stream(self, stored: list[str], names: list[str], condition: str | None) -> Iterator[pa.RecordBatch]:
        """Batches of a few megabytes, read a little ahead."""
        with self._reading():
            scanner = self._data.scanner(stored, filter=condition, batch_size_bytes=BATCH_BYTES, fragment_readahead=2)
            for batch in scanner.to_batches():
                yield batch.select(stored).rename_columns(names)

    def count(self, *, where: Filter | None = None, tenant: str | None) -> int:
        with self._reading():
            return int(self._data.count_rows(self._sql(where, tenant)))

    def search(
        self,
        vectors: Any,
        k: int,
        *,
        space: Space,
        where: Filter | None = None,
        tenant: str | None,
        exact: bool = True,  # noqa: ARG002 - it always is
    ) -> Hits:
        column = self._vectors_of(space)
        queries = as_vectors(vectors, dim=space.dim)
        if k < 1:
            raise InputError(f"k is {k}", mend="ask for at least one answer")
        condition = self._sql(where, tenant)
        parts = [queries[begin : begin + QUERIES] for begin in range(0, max(len(queries), 1), QUERIES)]
        found = [self._nearest(part, k, column, space.similarity, condition) for part in parts]
        width = max(ids.shape[1] for ids, _ in found)
        return Hits(
            np.concatenate([ids for ids, _ in found]).reshape(len(queries), width),
            np.concatenate([scores for _, scores in found]).reshape(len(queries), width),
        )

    def _nearest(
        self, queries: NDArray[np.float32], k: int, column: str, similarity: str, condition: str | None
    ) -> tuple[NDArray[np.object_], NDArray[np.float32]]:
        """The best k of every batch, and of all of them: ids and scores, (q, k')."""
        ids, scores = np.empty((len(queries), 0), dtype=object), np.empty((len(queries), 0), dtype=np.float32)
        with self._reading():
            scanner = self._data.scanner(["key", column], filter=condition, batch_size=BATCH)
            for batch in scanner.to_batches():
                stored = batch[column].flatten().to_numpy().reshape(batch.num_rows, queries.shape[1])
                places, near = top_k(_scores(queries, stored, similarity), k)
                names = np.array(batch["key"].to_pylist(), dtype=object)
                both, all_ids = np.hstack([scores, near]), np.hstack([ids, names[places]])
                best, scores = top_k(both, k)
                ids = np.take_along_axis(all_ids, best, axis=1)
        return ids, scores

    def _vectors_of(self, space: Space) -> str:
        if space not in self._spaces:
            listing = "; ".join(map(str, self._spaces)) or "none"
            raise SpaceMismatch(f"{self._folder} has no vectors of {space}", mend=f"use a space that it has: {listing}")
        return vector_column(space)

    def _sql(self, where: Filter | None, tenant: str | None) -> str | None:
        return _sql(where, tenant, self._data.schema)

    # Upkeep -----------------------------------------------------------------------------------------------------------

    def maintain(self, *, keep_seconds: float = 600.0) -> Upkeep:
        self._must_write()
        with named(self._folder, "write"), locked(self._folder / UPKEEP, wait=False) as mine:
            before, _ = files_of(self._folder)
            if not mine:
                return Upkeep(before, before, 0)
            self._move(compact(latest(self._data), self._folder, thoroughly=True))
            freed = clean(self._data, self._folder, keep_seconds)
            return Upkeep(before, files_of(self._folder)[0], freed)

    def _tidy(self) -> None:
        """Upkeep where it is due. The write before it stands, so what goes wrong here is only told to the log."""
        try:
            with named(self._folder, "write"):
                if not due(self._data):
                    return
                with locked(self._folder / UPKEEP, wait=False) as mine:
                    if mine:
                        self._move(compact(latest(self._data), self._folder))
                        clean(self._data, self._folder, 600.0, worthwhile=True)
        except ArtifactError as error:
            _log.warning("the upkeep of a store failed: %s", error)

    def stats(self) -> Stats:
        files, size = files_of(self._folder)
        with self._reading():
            documents = _documents(self._data.to_table(["tenant", "source", "document"]))
            return Stats(self._data.count_rows(), documents, self.version, size, files)

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """What goes wrong while reading, by name; a version that upkeep has freed is no damage."""
        try:
            with named(self._folder, "read"):
                yield
        except ArtifactCorrupt as error:
            with named(self._folder, "read"):
                superseded = "Not found" in error.what and self._data.latest_version > self.version
            if not superseded:
                raise
            raise ArtifactError(
                f"version {self.version} of {self._folder} was superseded long ago, and its files were freed",
                mend="call refresh() to read the latest, or make a snapshot of a version that must stay",
            ) from error


def _is_there(folder: Path) -> bool:
    """Whether a table was committed in the folder."""
    return any((folder / "_versions").glob("*.manifest"))


def _spaces_of(schema: pa.Schema, folder: Path) -> list[Space]:
    """What `create` wrote into the schema, checked against the columns."""
    try:
        about = json.loads((schema.metadata or {})[ABOUT])
        if about["format"] > FORMAT:
            raise ArtifactTooNew(
                f"{folder} has format {about['format']}; this vicino reads up to {FORMAT}", mend="pip install --upgrade vicino"
            )
        spaces = [Space.from_json(plain) for plain in about["spaces"]]
    except (KeyError, TypeError, ValueError) as error:
        raise ArtifactCorrupt(
            f"{folder} is no store of vicino's, or damaged: {error!r}", mend="restore it from a copy"
        ) from error
    for column in schema_of({}, spaces):
        if column.name not in schema.names or schema.field(column.name).type != column.type:
            raise ArtifactCorrupt(
                f"{folder} is damaged: its column {column.name!r} is not what it was", mend="restore it from a copy"
            )
    return spaces


def _sql(where: Filter | None, tenant: str | None, schema: pa.Schema) -> str | None:
    """The condition of a filter and a tenant; None for all rows. Raises UnknownName, InputError."""
    kinds = {**COLUMNS, **kinds_of(schema)}
    parts = [] if where is None else [check(where, kinds)]
    if tenant is not None:
        parts.append(Compare("tenant", "=", tenant))
    return " and ".join(sql(part, kinds) for part in parts) or None


def _documents(rows: pa.Table) -> int:
    """How many documents rows of the columns tenant, source, document are of."""
    return int(rows.group_by(rows.column_names).aggregate([]).num_rows)


def _check_rows(rows: Sequence[Row], tenant: str) -> None:
    for place, row in enumerate(rows):
        if row.tenant != tenant:
            raise InputError(
                f"row {place} is of the tenant {row.tenant!r}, not {tenant!r}", mend="write the rows of each tenant by themselves"
            )
    keys = {row.key for row in rows}
    if len(keys) < len(rows):
        raise DuplicateIds(f"{len(rows) - len(keys)} of {len(rows)} keys repeat", mend="give each row a key of its own")


def _scores(queries: NDArray[np.float32], stored: NDArray[np.float32], similarity: str) -> NDArray[np.float32]:
    """(q, d), (n, d) -> (q, n), larger is nearer, as `indexes.exact` has them."""
    if similarity == "euclidean":
        return -distances(queries, stored)
    if similarity == "cosine":
        return normalise(queries) @ normalise(stored).T
    return queries @ stored.T
