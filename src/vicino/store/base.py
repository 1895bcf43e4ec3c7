"""Store: the contract of everything that keeps rows safe: passages of documents, their metadata and their vectors.

A row is one passage (a chunk) of one document. A document is named by its tenant, its source and its id; its rows are written
together, in one commit, and replace what it had before: no reader ever sees half of a document. Vectors stand in one column
for each space, so that vectors of two models cannot meet.

A collection changes its model in four steps: `add_space` gives a column that is `filling`, `fill` puts vectors there while the
others serve, `serve` makes it one that every row has, and `drop_space` gives up the one before it.

Every path takes a `tenant`, and nothing has a default for it: who forgets it finds out at once. Only upkeep passes `EVERYONE`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from os import PathLike
from typing import TYPE_CHECKING, Any, ClassVar, Final, Self

import numpy as np
from numpy.typing import NDArray

from vicino.data.filters import Filter, Kind
from vicino.data.records import Hits
from vicino.errors import InputError, UnknownName
from vicino.spaces import Space
from vicino.store.about import About
from vicino.vectors import as_vectors

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["COLUMNS", "EVERYONE", "Prepared", "Removed", "Row", "Stats", "Store", "Upkeep"]

EVERYONE: Final = None  # the tenant of work over all rows: building an index, compaction, export

# What can be named in a filter beside the metadata, and read by `scan` beside these and `metadata`.
COLUMNS: Mapping[str, Kind] = {
    "key": "text",
    "tenant": "text",
    "source": "text",
    "document": "text",
    "number": "integer",
    "start": "integer",
    "end": "integer",
    "title": "text",
    "text": "text",
    "digest": "text",
    "revision": "text",
}


@dataclass(frozen=True, slots=True)
class Row:
    """One passage. `key` names it by content, over all tenants; `text == document text[start:end]`, in characters.

    `number` counts the passages of a document; `digest` names what a model reads of the passage, `revision` the whole document
    with its metadata and the way it was cut.
    """

    key: str
    tenant: str
    source: str
    document: str
    number: int
    start: int
    end: int
    title: str
    text: str
    digest: str
    revision: str
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Removed:
    """What a deletion took away: rows, of so many documents (some of whose other rows may be left)."""

    rows: int
    documents: int


@dataclass(frozen=True)
class Stats:
    """How much there is; `bytes` and `files` count what is on disk, kept old versions included."""

    rows: int
    documents: int
    version: int
    bytes: int
    files: int


@dataclass(frozen=True)
class Upkeep:
    """What `maintain` did."""

    files_before: int
    files_after: int
    bytes_freed: int


@dataclass(frozen=True)
class Prepared:
    """An index that stands in a store: its bytes there, and the least and the most effort that it knows."""

    nbytes: int
    least: int
    most: int


class Store(ABC):
    """Rows of one collection. Several processes may read and write at once; each write is one atomic commit.

    An object reads one version (a snapshot) until `refresh` or its own write moves it on.
    """

    scheme: ClassVar[str]

    @classmethod
    @abstractmethod
    def create(cls, location: str | PathLike[str], spaces: Sequence[Space]) -> Self:
        """An empty store with one vector column for each space (none is fine). Raises ArtifactError where something is there."""

    @classmethod
    @abstractmethod
    def open(cls, location: str | PathLike[str]) -> Self:
        """Raises ArtifactError (nothing there), ArtifactCorrupt or ArtifactTooNew."""

    _place: Any  # where it is, for people

    @property
    @abstractmethod
    def _about(self) -> About:
        """What the version that is read says of itself."""

    @property
    def spaces(self) -> tuple[Space, ...]:
        """The spaces that are served: every row has a vector of each."""
        return self._about.spaces

    @property
    def filling(self) -> tuple[Space, ...]:
        """The spaces with a column in which rows may lack a vector: one to come, or the one before."""
        return self._about.filling

    @property
    def note(self) -> str:
        """What `serve` wrote last; "" before that. It belongs to the version that is read, as `spaces` and `filling` do."""
        return self._about.note

    @property
    @abstractmethod
    def columns(self) -> Mapping[str, Kind]:
        """What a filter may name: `COLUMNS` and the metadata met so far, with the kind of each."""

    @property
    @abstractmethod
    def version(self) -> int:
        """The version that is read; it grows with every commit."""

    @abstractmethod
    def refresh(self) -> bool:
        """Move on to the latest commit of any process; True where there was a newer one."""

    @abstractmethod
    def replace(self, rows: Sequence[Row], vectors: Mapping[str, NDArray[Any]], *, tenant: str) -> int:
        """From now on `rows` are all that there is of their documents; the new version. No rows: nothing happens.

        `vectors` maps the id of each space to (len(rows), dim) float32; those of `filling` may be left out, and the rows then
        lack them. What counts are the spaces of the latest version: who knows only older ones is refused. Metadata that a
        filter can name (text, numbers, flags, lists of text, under names that are identifiers) gets a column at its first
        appearance; integers make room for other numbers; all of it comes back in the column `metadata`, as JSON. Raises
        SpaceMismatch (a space without a column, or a served one without vectors), InvalidVectors, DimensionMismatch,
        DuplicateIds (keys that repeat, or that a passage of another document has), InputError (a row of another tenant; text
        with a lone surrogate; metadata of another kind than its column: see `misfits`), InputTooLarge, ArtifactError for a full
        disk; no row is written then.
        """

    @abstractmethod
    def misfits(self, metadata: Mapping[str, Any]) -> str:
        """Why `replace` would refuse a row with this metadata, in words; empty where it fits."""

    @abstractmethod
    def delete(self, where: Filter, *, tenant: str | None) -> Removed:
        """Remove the rows that match. Raises UnknownName for a column that is not there, InputError for another kind."""

    @abstractmethod
    def add_space(self, space: Space) -> int:
        """A column for one more space, in which no row has a vector yet: it is `filling`. The new version.

        Raises InputError where its id is there already, or where the store cannot keep such vectors.
        """

    @abstractmethod
    def fill(self, space: Space, keys: Sequence[str], vectors: NDArray[Any]) -> int:
        """Give rows their vectors (len(keys), dim) of a space that is `filling`, in one commit; how many rows there were.

        Keys of rows that are gone are passed over; a vector that is there already is written over. Raises SpaceMismatch (not
        filling, by the latest version), InvalidVectors, DimensionMismatch, DuplicateIds, InputError (not one vector a key).
        """

    @abstractmethod
    def serve(self, spaces: Sequence[Space], *, note: str) -> int:
        """From now on every row has vectors of `spaces`, all others are `filling`, and `note` stands: one commit; the version.

        Raises SpaceMismatch where a space has no column, or a row of the latest version lacks a vector of one: nothing changes.
        """

    @abstractmethod
    def drop_space(self, space: Space) -> int:
        """Give up the column of a space that is `filling`, with its vectors; the new version. Raises SpaceMismatch."""

    def scan(
        self,
        columns: Sequence[str],
        *,
        where: Filter | None = None,
        tenant: str | None,
        space: Space | None = None,
        lacking: Space | None = None,
    ) -> Iterator[pa.RecordBatch]:
        """The rows that match, streamed, in no promised order.

        `space` adds its column under the name "vector" (fixed-size lists); rows that lack a vector are left out. `lacking`
        leaves only rows without a vector of that space. `columns` are of `COLUMNS` and "metadata". Raises as `delete`, and
        SpaceMismatch for a space without a column.
        """
        for name in columns:
            if name not in (*COLUMNS, "metadata"):
                raise UnknownName.among(name, (*COLUMNS, "metadata"), kind="column to read")
        for each in filter(None, (space, lacking)):
            self._about.require_column(each, self._place)
        return self._scan(columns, where, tenant, space, lacking)

    @abstractmethod
    def _scan(
        self, columns: Sequence[str], where: Filter | None, tenant: str | None, space: Space | None, lacking: Space | None
    ) -> Iterator[pa.RecordBatch]:
        """`scan` of columns that are there. A filter that does not fit is an error before the first batch is asked for."""

    @abstractmethod
    def count(self, *, where: Filter | None = None, tenant: str | None) -> int:
        """How many rows match."""

    def search(
        self,
        vectors: Any,
        k: int,
        *,
        space: Space,
        where: Filter | None = None,
        tenant: str | None,
        effort: int | None = None,
    ) -> Hits:
        """The k nearest rows of each query (q, dim), over the version read: `Hits` of keys, fewer where fewer match.

        All are compared, or, with an `effort`, what an index of the store's finds that looks at so many (0: as many as it thinks
        right). Rows that lack a vector of `space` are not found. A filter never makes it miss an answer. Scores are larger for
        nearer, as in `Index`.
        Raises SpaceMismatch, InvalidVectors, DimensionMismatch, and as `delete`.
        """
        self._about.require_column(space, self._place)
        queries = as_vectors(vectors, dim=space.dim)
        if k < 1:
            raise InputError(f"k is {k}", mend="ask for at least one answer")
        return self._search(queries, k, space, where, tenant, effort)

    @abstractmethod
    def _search(
        self,
        queries: NDArray[np.float32],
        k: int,
        space: Space,
        where: Filter | None,
        tenant: str | None,
        effort: int | None,
    ) -> Hits:
        """`search` of queries (q, dim) that are sound."""

    def prepare(self, space: Space) -> bool:  # noqa: ARG002 - most have nothing to prepare
        """Build what makes a `search` of a space with an effort fast, unless it stands; whether anything was built."""
        return False

    def prepared(self, space: Space, k: int) -> Prepared | None:  # noqa: ARG002
        """What `prepare` built, for questions of k answers; None where a search with an effort compares all like any other."""
        return None

    @abstractmethod
    def snapshot(self, tag: str) -> int:
        """Name the version that is read, so that maintenance keeps it. Raises InputError for a tag that is taken."""

    @abstractmethod
    def at(self, version: int | str) -> Self:
        """A store that reads an older version, or a snapshot by its tag. It cannot write. Raises UnknownName."""

    @abstractmethod
    def maintain(self, *, keep_seconds: float = 600.0) -> Upkeep:
        """Merge small files and free what no version of the last `keep_seconds`, and no snapshot, needs.

        One process at a time; another that calls it meanwhile returns at once. This object then reads the latest version. Writes
        call it by themselves when small files pile up.
        """

    @abstractmethod
    def stats(self) -> Stats:
        """How much there is, over all tenants."""
