"""The embedded store: one Lance table in a folder, for any number of processes that read and write.

Every write is one commit of Lance, which adds files and never changes one: who reads an older version is not disturbed.
Writers prepare their files side by side and queue for the commit alone. Search compares with every row that matches.
"""

from __future__ import annotations

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
from vicino.data.filters import Compare, Filter, In, Kind, check
from vicino.data.records import Hits
from vicino.errors import ArtifactCorrupt, ArtifactError, InputError, UnknownName
from vicino.spaces import Space
from vicino.store import lance_spaces
from vicino.store.about import About, checked
from vicino.store.base import COLUMNS, Removed, Row, Stats, Store, Upkeep
from vicino.store.lance_commits import columns_of, commit, make_room, used
from vicino.store.lance_folder import COMMIT, UPKEEP, check_written, files_of, latest, library, named, opened, version_of
from vicino.store.lance_rows import kinds_of, sql, with_metadata, with_vectors
from vicino.store.lance_spaces import FORMAT, about_of
from vicino.store.lance_standing import Standing
from vicino.store.lance_upkeep import clean, compact, due
from vicino.store.rows import check_keys, check_rows, misfit, plain_table, vector_column
from vicino.vectors import Similarity, nearness, top_k

if TYPE_CHECKING:
    import pyarrow as pa
    from lance import LanceDataset

__all__ = ["FORMAT", "Lance"]

LEFT: Final = {COMMIT, "_transactions", "_versions", "data"}  # what a `create` that was killed may leave
ATTEMPTS: Final = 5  # at a commit, while other processes change the columns
BATCH: Final = 1024  # rows: small enough to stay in the processor's cache while a search compares them
BATCH_BYTES: Final = 32 << 20
PLACES: Final = 2_000  # of rows that one condition names
QUERIES: Final = 4096  # that are compared with a batch at once

_log = logging.getLogger(__name__)


class Lance(Store):
    """A folder with a Lance table (format 1, or 2 once its spaces changed) and two lock files."""

    scheme: ClassVar[str] = "lance"

    def __init__(self, data: LanceDataset, *, pinned: bool = False) -> None:
        self._data = data
        self._folder = self._place = Path(data.uri)
        self._pinned = pinned
        self._standing = Standing()
        self._kinds: tuple[LanceDataset | None, dict[str, Kind]] = None, {}

    # Opening ----------------------------------------------------------------------------------------------------------

    @classmethod
    def create(cls, location: str | PathLike[str], spaces: Sequence[Space]) -> Self:
        folder, lance = Path(location).absolute(), library()
        schema = lance_spaces.first(spaces)
        with named(folder, "write"):
            folder.mkdir(parents=True, exist_ok=True)
            with locked(folder / COMMIT):
                if _is_there(folder) or any(path.name not in LEFT for path in folder.iterdir()):
                    raise ArtifactError(f"something is in {folder} already", mend="choose another name, or open what is there")
                lance.write_dataset(schema.empty_table(), str(folder), schema=schema, mode="create")
                return cls(opened(folder))

    @classmethod
    def open(cls, location: str | PathLike[str]) -> Self:
        library()
        folder = Path(location).absolute()
        if not _is_there(folder):
            raise ArtifactError(f"there is no store in {folder}", mend="check the path")
        with named(folder, "read"):
            data = opened(folder)
        about_of(data.schema, folder)
        return cls(data)

    @property
    def _about(self) -> About:
        return about_of(self._data.schema, self._folder)

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
            return type(self)(version_of(self._data, number), pinned=True)

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
        data = self._data
        if self._kinds[0] is not data:  # it is asked for each document
            self._kinds = data, kinds_of(data.schema)
        return misfit(metadata, self._kinds[1])

    def replace(self, rows: Sequence[Row], vectors: Mapping[str, NDArray[Any]], *, tenant: str) -> int:
        self._must_write()
        if not rows:
            return self.version
        check_rows(rows, tenant)
        arrays = self._about.checked(vectors, len(rows))
        with named(self._folder, "write"):
            self._move(self._replace(rows, with_vectors(plain_table(rows), arrays), tenant, tuple(arrays)))
        self._tidy()
        return self.version

    def _replace(self, rows: Sequence[Row], plain: pa.Table, tenant: str, spaces: Sequence[Space]) -> LanceDataset:
        from lance.fragment import write_fragments

        names = used(rows)
        for _ in range(ATTEMPTS):
            data = latest(self._data)
            about_of(data.schema, self._folder).require_vectors(spaces, self._folder)
            data = make_room(data, self._folder, rows, tenant, self._standing)
            columns = columns_of(data, names)
            table = with_metadata(plain, rows, columns)
            files = write_fragments(table, data, schema=table.schema)
            check_written(self._folder, files)
            with locked(self._folder / COMMIT):
                data = latest(data)
                about_of(data.schema, self._folder).require_vectors(spaces, self._folder)
                if columns_of(data, names) == columns:  # no other process made room in one of them meanwhile
                    data = commit(data, self._standing.find(data, rows, tenant), files)
                    self._standing.wrote(data, rows)
                    return data
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

    # Spaces -----------------------------------------------------------------------------------------------------------

    def add_space(self, space: Space) -> int:
        self._must_write()
        with named(self._folder, "write"):
            self._move(lance_spaces.add(self._data, self._folder, space))
        return self.version

    def fill(self, space: Space, keys: Sequence[str], vectors: NDArray[Any]) -> int:
        self._must_write()
        array = checked(space, vectors, len(keys))
        check_keys(keys)
        with named(self._folder, "write"):
            data, filled = lance_spaces.fill(self._data, self._folder, space, keys, array)
            self._move(data)
        self._tidy()
        return filled

    def serve(self, spaces: Sequence[Space], *, note: str) -> int:
        self._must_write()
        with named(self._folder, "write"):
            self._move(lance_spaces.serve(self._data, self._folder, spaces, note))
        return self.version

    def drop_space(self, space: Space) -> int:
        self._must_write()
        with named(self._folder, "write"):
            self._move(lance_spaces.drop(self._data, self._folder, space))
        return self.version

    # Reading ----------------------------------------------------------------------------------------------------------

    def _scan(
        self, columns: Sequence[str], where: Filter | None, tenant: str | None, space: Space | None, lacking: Space | None
    ) -> Iterator[pa.RecordBatch]:
        condition = self._where(where, tenant, having=space, lacking=lacking)
        stored = [*columns, *([vector_column(space)] if space else [])]
        listed = where.values if isinstance(where, In) and where.column in ("key", "document") else None
        return self._stream(self._data, stored, [*columns, *(["vector"] if space else [])], condition, listed)

    def _stream(
        self, data: LanceDataset, stored: list[str], names: list[str], condition: str | None, listed: Sequence[Any] | None
    ) -> Iterator[pa.RecordBatch]:
        """Batches of a few megabytes, read a little ahead.

        Of the few keys or documents that are `listed` only where they stand: by the condition alone Lance would read all.
        """
        with self._reading():
            places = None if listed is None else self._standing.places(data, set(listed))
            if places is not None and len(places) <= PLACES:
                if not len(places):
                    return
                condition = f"_rowid in ({', '.join(map(str, places.tolist()))}) and {condition}"
            scanner = data.scanner(stored, filter=condition, batch_size_bytes=BATCH_BYTES, fragment_readahead=2)
            for batch in scanner.to_batches():
                yield batch.select(stored).rename_columns(names)

    def count(self, *, where: Filter | None = None, tenant: str | None) -> int:
        with self._reading():
            return int(self._data.count_rows(self._sql(where, tenant)))

    def _search(
        self,
        queries: NDArray[np.float32],
        k: int,
        space: Space,
        where: Filter | None,
        tenant: str | None,
        effort: int | None,  # noqa: ARG002 - all are compared
    ) -> Hits:
        condition = self._where(where, tenant, having=space)
        parts = [queries[begin : begin + QUERIES] for begin in range(0, max(len(queries), 1), QUERIES)]
        found = [self._nearest(part, k, vector_column(space), space.similarity, condition) for part in parts]
        width = max(ids.shape[1] for ids, _ in found)
        return Hits(
            np.concatenate([ids for ids, _ in found]).reshape(len(queries), width),
            np.concatenate([scores for _, scores in found]).reshape(len(queries), width),
        )

    def _nearest(
        self, queries: NDArray[np.float32], k: int, column: str, similarity: Similarity, condition: str | None
    ) -> tuple[NDArray[np.object_], NDArray[np.float32]]:
        """The best k of every batch, and of all of them: ids and scores, (q, k')."""
        ids, scores = np.empty((len(queries), 0), dtype=object), np.empty((len(queries), 0), dtype=np.float32)
        with self._reading():
            scanner = self._data.scanner(["key", column], filter=condition, batch_size=BATCH)
            for batch in scanner.to_batches():
                stored = batch[column].flatten().to_numpy().reshape(batch.num_rows, queries.shape[1])
                places, near = top_k(nearness(queries, stored, similarity), k)
                names = np.array(batch["key"].to_pylist(), dtype=object)
                both, all_ids = np.hstack([scores, near]), np.hstack([ids, names[places]])
                best, scores = top_k(both, k)
                ids = np.take_along_axis(all_ids, best, axis=1)
        return ids, scores

    def _where(
        self, where: Filter | None, tenant: str | None, *, having: Space | None, lacking: Space | None = None
    ) -> str | None:
        """The condition of rows that match, have a vector of one space and none of another; None for all rows."""
        there = [f"`{vector_column(having)}` is not null"] if having and having in self._about.filling else []
        empty = [f"`{vector_column(lacking)}` is null"] if lacking else []
        return " and ".join([*filter(None, [self._sql(where, tenant)]), *there, *empty]) or None

    def _sql(self, where: Filter | None, tenant: str | None) -> str | None:
        return _sql(where, tenant, self._data.schema)

    # Upkeep -----------------------------------------------------------------------------------------------------------

    def maintain(self, *, keep_seconds: float = 600.0) -> Upkeep:
        self._must_write()
        with named(self._folder, "write"), locked(self._folder / UPKEEP, wait=False) as mine:
            before, _ = files_of(self._folder)
            if not mine:
                return Upkeep(before, before, 0)
            self._move(compact(lance_spaces.sweep(self._data, self._folder), self._folder, thoroughly=True))
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
