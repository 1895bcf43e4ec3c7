"""Upkeep of a collection: files merged and old versions freed, indexes brought up to date, documents taken out.

All of it may be killed at any point: the table changes by whole commits, and what is kept beside it can be made again.
"""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any, Final

from vicino import artifacts, progress
from vicino.data.filters import And, Compare, Filter, In, IsNull, Not
from vicino.errors import ArtifactError, EmptyInput
from vicino.retrieval.indexing import upkeep
from vicino.retrieval.stored import LOCK, Stored
from vicino.store.base import Store
from vicino.store.collection import Collection
from vicino.store.lance_folder import files_of
from vicino.store.tenants import columns, kept_of, matching, require_tenant, tenants

__all__ = ["Deletion", "Maintained", "delete", "maintain", "repeated"]

_UPKEEP: Final = ".upkeep.lock"
_EVERYTHING: Final = Not(IsNull("document"))
_OF_PASSAGES: Final = {"key", "number", "start", "end", "text", "digest"}  # columns in which passages of one document differ
_AT_ONCE: Final = 10_000  # documents that one condition names


@dataclass(frozen=True)
class Maintained:
    """What `maintain` did: files of the table, and bytes with the kept indexes; so many tenants were indexed again.

    `busy`: another process is at it, and nothing was done.
    """

    collection: str
    files_before: int
    files_after: int
    bytes_before: int
    bytes_after: int
    reindexed: int
    seconds: float
    busy: bool = False

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Deletion:
    """What `delete` took away, or would take; `unknown` are ids that no document has."""

    documents: int
    passages: int
    unknown: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


# Maintenance ----------------------------------------------------------------------------------------------------------


def maintain(collection: Collection, *, keep_seconds: float = 600.0) -> Maintained:
    """Merge small files and drop deleted rows, bring what is kept of the indexes up to date, free old versions.

    Versions that somebody may have begun to read in the last `keep_seconds`, and snapshots, stay. One process does it at a
    time. Raises ArtifactError for a full disk, and what opening the models raises; nothing that is stored is lost.
    """
    began = time.monotonic()
    files, size = _extent(collection)
    with (
        _lock(collection, _UPKEEP, wait=False) as mine,
        progress.task("Maintaining", total=3, unit="steps") as bar,
    ):
        if not mine:
            return Maintained(collection.name, files, files, size, size, 0, time.monotonic() - began, busy=True)
        collection.store.maintain(keep_seconds=keep_seconds)
        bar.advance()
        upkeep(collection)
        reindexed = _reindex(collection)
        bar.advance()
        collection.store.maintain(keep_seconds=keep_seconds)  # what was written meanwhile
        bar.advance()
    files_after, size_after = _extent(collection)
    return Maintained(collection.name, files, files_after, size, size_after, reindexed, time.monotonic() - began)


def repeated(collection: Collection, seconds: float, *, keep_seconds: float = 600.0) -> Iterator[Maintained]:
    """`maintain` again and again, so many seconds after each has begun, for as long as one asks."""
    while True:
        began = time.monotonic()
        yield maintain(Collection.open(collection.folder.parent, collection.name), keep_seconds=keep_seconds)
        time.sleep(max(0.0, seconds - (time.monotonic() - began)))


def _reindex(collection: Collection) -> int:
    """Bring the kept indexes of all tenants up to date, and remove those of tenants who left; how many were out of date."""
    there = {kept_of(collection, one.name): one.name for one in tenants(collection)}
    _sweep(collection, {folder.name for folder in there})
    stale = 0
    for folder, tenant in progress.track(there.items(), "Indexing", unit="tenants"):
        if folder.is_dir():
            stale += Stored(collection, tenant=tenant).settle()
    return stale


def _sweep(collection: Collection, wanted: Iterable[str]) -> None:
    """Remove indexes of nobody, and what a process that was killed left behind: it held the lock."""
    with _lock(collection, LOCK):
        for folder in collection.folder.glob("kept*/*"):  # those of a model that stands by, too
            ours = re.fullmatch(r"[0-9a-f]{16}", folder.name) and folder.name not in wanted
            if ours or re.match(r"\.[0-9a-f]{16}\.", folder.name):
                shutil.rmtree(folder, ignore_errors=True)


def _extent(collection: Collection) -> tuple[int, int]:
    """Files of the table, and bytes of it and of the kept indexes."""
    stats = collection.store.stats()
    return stats.files, stats.bytes + files_of(collection.kept)[1]


# Deletion -------------------------------------------------------------------------------------------------------------


def delete(
    collection: Collection, *, tenant: str, where: Filter | None = None, ids: Sequence[str] | None = None, dry_run: bool = False
) -> Deletion:
    """Take documents of a tenant out: those of which a passage matches `where` and that `ids` names; without both, all.

    Documents go whole. Every search sees it at once; the space is free after `maintain`. With `dry_run` nothing goes. Raises
    UnknownName (a column or a tenant that is not there) and InputError for a filter that does not fit.
    """
    store = collection.store
    store.refresh()
    require_tenant(collection, tenant)
    if ids is not None and not ids:
        raise EmptyInput("no ids were given", mend="name at least one document")
    parts = [_EVERYTHING if where is None else where, *([In("document", tuple(dict.fromkeys(ids)))] if ids else [])]
    wanted = And(tuple(parts)) if len(parts) > 1 else parts[0]
    found = _documents(store, wanted, tenant)
    unknown = tuple(sorted(set(ids or ()) - {document for _, document in found}))
    conditions = [wanted] if not _OF_PASSAGES & set(columns(wanted)) else list(_by_name(sorted(found)))
    if dry_run:
        return Deletion(len(found), sum(store.count(where=each, tenant=tenant) for each in conditions), unknown)
    gone = [store.delete(each, tenant=tenant) for each in conditions] if found else []
    if where is None and ids is None:
        _forget(collection, tenant)
    return Deletion(sum(one.documents for one in gone), sum(one.rows for one in gone), unknown)


def _documents(store: Store, wanted: Filter, tenant: str) -> set[tuple[str, str]]:
    """Source and id of the documents of which a passage matches."""
    found: set[tuple[str, str]] = set()
    for batch in matching(store, ["source", "document"], wanted, tenant):
        found.update(zip(batch.column("source").to_pylist(), batch.column("document").to_pylist(), strict=True))
    return found


def _by_name(documents: Sequence[tuple[str, str]]) -> Iterator[Filter]:
    """Conditions that name documents: passages may match one by one, but half a document is never left."""
    for source in dict.fromkeys(source for source, _ in documents):
        names = [document for owner, document in documents if owner == source]
        for start in range(0, len(names), _AT_ONCE):
            yield And((Compare("source", "=", source), In("document", tuple(names[start : start + _AT_ONCE]))))


def _forget(collection: Collection, tenant: str) -> None:
    """Remove the indexes of a tenant who has gone."""
    with _lock(collection, LOCK):
        for folder in collection.folder.glob(f"kept*/{kept_of(collection, tenant).name}"):
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _lock(collection: Collection, name: str, *, wait: bool = True) -> Iterator[bool]:
    try:
        with artifacts.locked(collection.folder / name, wait=wait) as mine:
            yield mine
    except OSError as error:
        raise ArtifactError(
            f"cannot write {collection.folder}: {error}", mend=f"check its permissions, then: vicino maintain {collection.name}"
        ) from error
