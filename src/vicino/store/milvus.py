"""A store in Milvus: a few tables of a database, for any number of readers, and for the writers of one machine.

`milvus_tables` says how a write is made one, and old versions stay readable, on a server without transactions. Writers of one
user on one machine queue for a lock file; let one machine write: another's commit is refused only where it is noticed. Filters
are tested here, on what the server sends of a tenant; a search without one is the server's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace as with_changes
from os import PathLike
from typing import TYPE_CHECKING, Any, ClassVar, Final, Self

import numpy as np
from numpy.typing import NDArray

from vicino.data.filters import And, Filter, Kind, matches
from vicino.data.records import Hits
from vicino.errors import ArtifactError, DuplicateIds, InputError, SpaceMismatch, UnknownName
from vicino.spaces import Space
from vicino.store.about import About, checked
from vicino.store.base import Removed, Row, Stats, Store, Upkeep
from vicino.store.milvus_server import STRONG, Place
from vicino.store.milvus_tables import (
    ALIVE,
    PLAIN,
    View,
    bury,
    claim,
    commit,
    document_of,
    documents_of,
    entries,
    look,
    make,
    numbers,
    of_keys,
    put_commit,
    require_short,
    short,
    values_of,
    vector_entries,
    vectors_of,
)
from vicino.store.milvus_upkeep import forget, free
from vicino.store.rows import check_keys, check_rows, misfit, missing, plain_table
from vicino.store.server_state import State, batch_of, require_tag
from vicino.vectors import similarity, top_k

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Milvus"]

MOST: Final = 16_000  # answers that Milvus gives to a query
OFTEN: Final = 64  # versions, after which old ones are looked at
ABOUT_A_ROW: Final = 512  # bytes, without its vectors


class Milvus(Store):
    """Tables whose names begin with the store's (format 1): see `milvus_server.Place` for its location."""

    scheme: ClassVar[str] = "milvus"
    _place: Place

    def __init__(self, place: Place, view: View, *, pinned: bool = False) -> None:
        self._place, self._view, self._pinned = place, view, pinned

    # Opening ----------------------------------------------------------------------------------------------------------

    @classmethod
    def create(cls, location: str | PathLike[str], spaces: Sequence[Space]) -> Self:
        place, state = Place.of(str(location)), State.first(spaces)
        with place.turn("commit"):
            if place.there("commits") and numbers(place)[0]:
                raise ArtifactError(f"something is in {place} already", mend="choose another name, or open what is there")
            for space in spaces:
                make(place, vectors_of(space), space)
            make(place, "rows")
            make(place, "commits")
            put_commit(place, f"c{state.version:x}", state.version, state.to_json())
        return cls(place, View(state))

    @classmethod
    def open(cls, location: str | PathLike[str]) -> Self:
        place = Place.of(str(location))
        if not place.there("commits"):
            raise ArtifactError(f"there is no store in {place}", mend="check the address and the name")
        return cls(place, look(place))

    @property
    def _about(self) -> About:
        return self._view.state.about

    @property
    def columns(self) -> Mapping[str, Kind]:
        return self._view.state.columns

    @property
    def version(self) -> int:
        return self._view.state.version

    def refresh(self) -> bool:
        if self._pinned:
            return False
        before = self.version
        self._move(look(self._place))
        return self.version > before

    def _move(self, view: View) -> None:
        """Read this version from now on, as it is seen now, unless another thread moved on farther."""
        self._view = max(view, self._view, key=lambda each: each.state.version)

    def at(self, version: int | str) -> Self:
        tags, number = self._tags(), version
        if isinstance(version, str):
            if version not in tags:
                raise UnknownName.among(version, tags, kind="snapshot")
            number = tags[version]
        there = numbers(self._place)[0]
        if number not in there:
            kept = f"kept are {len(there)} versions, {min(there)} to {max(there)}"
            raise UnknownName(f"there is no version {number} of {self._place} (any more)", mend=kept)
        return type(self)(self._place, look(self._place, int(number)), pinned=True)

    def _tags(self) -> dict[str, int]:
        pages = self._place.read("commits", "version < 0", ["id", "version"])
        return {row["id"][1:]: -row["version"] for page in pages for row in page}

    def snapshot(self, tag: str) -> int:
        require_tag(tag)
        with self._place.turn("commit"):
            if tag in self._tags():
                raise InputError(f"there is a snapshot {tag!r} already", mend="choose another name")
            self._require_kept()
            put_commit(self._place, f"t{tag}", -self.version)
        return self.version

    # Writing ----------------------------------------------------------------------------------------------------------

    def misfits(self, metadata: Mapping[str, Any]) -> str:
        return misfit(metadata, self._view.state.kinds)

    def replace(self, rows: Sequence[Row], vectors: Mapping[str, NDArray[Any]], *, tenant: str) -> int:
        self._must_write()
        if not rows:
            return self.version
        check_rows(rows, tenant)
        plain_table(rows)  # raises for what no store holds
        arrays = self._about.checked(vectors, len(rows))
        with self._writing() as (view, finish):
            view.state.about.require_vectors(tuple(arrays), self._place)
            kinds = {**view.state.kinds, **missing(rows, view.state.kinds)}
            require_short(rows)
            documents = {document_of(row) for row in rows}
            self._require_free(view, rows, documents)
            gone, number = list(documents_of(self._place, view, documents)), claim(self._place)
            self._place.put("rows", entries(rows, number), 2 * max(len(row.text) for row in rows))
            for space, array in arrays.items():
                self._place.put(vectors_of(space), vector_entries(rows, array, number), 4 * space.dim)
            bury(self._place, self._tables(view), gone, number)
            finish(with_changes(view.state, version=number, kinds=kinds))
        return self.version

    def _require_free(self, view: View, rows: Sequence[Row], own: set[str]) -> None:
        """Raise DuplicateIds where a key is that of a passage of another document."""
        for row in of_keys(self._place, view, [row.key for row in rows], ["document_id", "key", "document"]):
            if row["document_id"] not in own:
                raise DuplicateIds(
                    f"the key {row['key']!r} is that of a passage of {row['document']!r}",
                    mend="make keys of all that names a row",
                )

    def delete(self, where: Filter, *, tenant: str | None) -> Removed:
        self._must_write()
        self._view.state.checked(where, tenant)  # a filter that does not fit is an error before anything is locked
        with self._writing() as (view, finish):
            found = [row for page in self._pages(view, ["document_id"], where, tenant) for row in page]
            if found:
                number = claim(self._place)
                bury(self._place, self._tables(view), [row["id"] for row in found], number)
                finish(with_changes(view.state, version=number))
        return Removed(len(found), len({row["document_id"] for row in found}))

    def _tables(self, view: View) -> list[str]:
        return ["rows", *map(vectors_of, view.state.about.columns)]

    @contextmanager
    def _writing(self) -> Iterator[tuple[View, Callable[[State], None]]]:
        """The latest version, which no other process of this machine can follow in this block, and how to commit the next."""
        self._must_write()

        def finish(state: State) -> None:
            commit(self._place, state)
            self._move(look(self._place))

        with self._place.turn("commit"):
            view = look(self._place)
            yield view, finish
            self._move(view)
        if self.version % OFTEN == 0:
            self._prune(600.0)

    def _must_write(self) -> None:
        if self._pinned:
            raise InputError(f"version {self.version} of {self._place} cannot be changed", mend="write to the store itself")

    # Spaces -----------------------------------------------------------------------------------------------------------

    def add_space(self, space: Space) -> int:
        with self._writing() as (view, finish):
            after = view.state.after(view.state.about.adding(space, self._place))
            make(self._place, vectors_of(space), space)
            finish(with_changes(after, version=claim(self._place)))
        return self.version

    def fill(self, space: Space, keys: Sequence[str], vectors: NDArray[Any]) -> int:
        array = checked(space, vectors, len(keys))
        check_keys(keys)
        which = {short(key): at for at, key in enumerate(keys)}
        with self._writing() as (view, finish):
            view.state.about.require_filling(space, self._place, "fill")
            found = list(of_keys(self._place, view, keys, ["id", "tenant_id", "document_id", "key_id"]))
            if found:
                number = claim(self._place)
                filled = [{**row, "born": number, "died": ALIVE, "vector": array[which[row["key_id"]]].tolist()} for row in found]
                self._place.put(vectors_of(space), filled, 4 * space.dim)
                finish(with_changes(view.state, version=number))
        return len(found)

    def serve(self, spaces: Sequence[Space], *, note: str) -> int:
        with self._writing() as (view, finish):
            after = view.state.after(view.state.about.serving(spaces, note, self._place))
            rows = self._place.count("rows", view.condition())
            for space in after.about.spaces:
                lacking = rows - self._place.count(vectors_of(space), view.condition())
                if lacking:
                    raise SpaceMismatch(
                        f"cannot serve {space}: {lacking:,} rows of {self._place} have no vector of it",
                        mend="fill these rows first: scan(..., lacking=space) finds them",
                    )
            finish(with_changes(after, version=claim(self._place)))
        return self.version

    def drop_space(self, space: Space) -> int:
        with self._writing() as (view, finish):
            after = view.state.after(view.state.about.dropping(space, self._place))
            finish(with_changes(after, version=claim(self._place)))
            self._place.ask("drop_collection", vectors_of(space))
        return self.version

    # Reading ----------------------------------------------------------------------------------------------------------

    def _scan(
        self, columns: Sequence[str], where: Filter | None, tenant: str | None, space: Space | None, lacking: Space | None
    ) -> Iterator[pa.RecordBatch]:
        self._view.state.checked(where, tenant)
        return self._stream(columns, where, tenant, space, lacking)

    def _stream(
        self, columns: Sequence[str], where: Filter | None, tenant: str | None, space: Space | None, lacking: Space | None
    ) -> Iterator[pa.RecordBatch]:
        view = self._view
        self._require_kept()
        for page in self._pages(view, columns, where, tenant):
            rows, vectors = page, None
            if lacking:
                there = self._vectors(view, lacking, rows)
                rows = [row for row in rows if row["id"] not in there]
            if space:
                found = self._vectors(view, space, rows)
                rows = [row for row in rows if row["id"] in found]
                vectors = np.array([found[row["id"]] for row in rows], dtype=np.float32).reshape(-1, space.dim)
            if rows:
                yield batch_of({name: [row[name] for row in rows] for name in columns}, vectors)
        self._require_kept()  # else upkeep may have taken rows away meanwhile

    def _vectors(self, view: View, space: Space, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        ids = [row["id"] for row in rows]
        return {row["id"]: row["vector"] for row in self._place.pick(vectors_of(space), ids, ["id", "vector"], view.condition())}

    def _pages(
        self, view: View, columns: Sequence[str], where: Filter | None, tenant: str | None
    ) -> Iterator[list[dict[str, Any]]]:
        """The rows of a version that match, page by page, with their ids."""
        parts = view.state.checked(where, tenant)
        wanted = And(tuple(parts)) if len(parts) > 1 else parts[0] if parts else None
        fields = dict.fromkeys(["id", *columns, *(PLAIN if where is not None else ["tenant"])])
        for page in self._place.read("rows", view.condition(tenant), [*fields]):
            yield page if wanted is None else [row for row in page if matches(wanted, values_of(row))]

    def count(self, *, where: Filter | None = None, tenant: str | None) -> int:
        if where is None:
            self._require_kept()
            return self._place.count("rows", self._view.condition(tenant))
        self._view.state.checked(where, tenant)
        return sum(len(page) for page in self._pages(self._view, [], where, tenant))

    def _search(
        self,
        queries: NDArray[np.float32],
        k: int,
        space: Space,
        where: Filter | None,
        tenant: str | None,
        effort: int | None,  # noqa: ARG002 - all are compared
    ) -> Hits:
        if where is None and k <= MOST:
            return self._ask(queries, k, space, tenant)
        ids, scores = np.empty((len(queries), 0), dtype=object), np.empty((len(queries), 0), dtype=np.float32)
        for batch in self.scan(["key"], where=where, tenant=tenant, space=space):
            stored = batch.column("vector").flatten().to_numpy(zero_copy_only=False).reshape(-1, space.dim)
            names = np.broadcast_to(np.array(batch.column("key").to_pylist(), dtype=object), (len(queries), len(stored)))
            best, scores = top_k(np.hstack([scores, similarity(queries, stored, space.similarity)]), k)
            ids = np.take_along_axis(np.hstack([ids, names]), best, axis=1)
        return Hits(ids, scores)

    def _ask(self, queries: NDArray[np.float32], k: int, space: Space, tenant: str | None) -> Hits:
        """The server's answer, compared once more: its numbers are its own."""
        self._require_kept()
        answers = []
        for query in queries:
            (found,) = self._place.ask(
                "search",
                vectors_of(space),
                data=[query.tolist()],
                anns_field="vector",
                limit=min(k + 8, MOST),  # a few more, which may be as near in our numbers
                filter=self._view.condition(tenant),
                output_fields=["id", "vector"],
                consistency_level=STRONG,
            )
            stored = np.array([hit["entity"]["vector"] for hit in found], dtype=np.float32).reshape(-1, space.dim)
            scores = similarity(query[None], stored, space.similarity) if len(stored) else np.empty((1, 0), dtype=np.float32)
            places, best = top_k(scores, k)
            answers.append(([found[at]["id"] for at in places[0].tolist()], best[0]))
        wanted = sorted({each for ids, _ in answers for each in ids})
        keys = {row["id"]: row["key"] for row in self._place.pick("rows", wanted, ["id", "key"])}
        width = max((len(ids) for ids, _ in answers), default=0)
        ids = np.full((len(queries), width), None, dtype=object)
        scores = np.full((len(queries), width), -np.inf, dtype=np.float32)
        for row, (listed, near) in enumerate(answers):
            ids[row, : len(listed)], scores[row, : len(listed)] = [keys[each] for each in listed], near
        return Hits(ids, scores)

    def _require_kept(self) -> None:
        if not any(self._place.pick("commits", [f"c{self.version:x}"], ["id"])):
            look(self._place, self.version)  # which says so

    # Upkeep -----------------------------------------------------------------------------------------------------------

    def maintain(self, *, keep_seconds: float = 600.0) -> Upkeep:
        """As `Store.maintain`; what is freed is the server's to compact. It shows us no files: 0."""
        self._must_write()
        freed = self._prune(keep_seconds)
        self.refresh()
        return Upkeep(0, 0, freed)

    def _prune(self, keep_seconds: float) -> int:
        """Take away what no kept version shows; about how many bytes that was."""
        with self._place.turn("upkeep", wait=False) as mine:
            if not mine:
                return 0
            with self._place.turn("commit"):
                view = look(self._place)
                forget(self._place, self._tables(view), list(self._tags().values()), keep_seconds)
            vectors = {vectors_of(space): 4 * space.dim for space in view.state.about.columns}
            return free(self._place, view, {"rows": ABOUT_A_ROW, **vectors})

    def stats(self) -> Stats:
        """As `Store.stats`, but for bytes and files, which a server does not show: 0."""
        self._require_kept()
        pages = self._place.read("rows", self._view.condition(), ["document_id"])
        documents = Counter(row["document_id"] for page in pages for row in page)
        return Stats(documents.total(), len(documents), self.version, 0, 0)
