"""The verbs of upkeep: collections maintained, documents and tenants taken out, tenants listed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from vicino.artifacts import home
from vicino.data.filters import parse
from vicino.errors import InputError
from vicino.retrieval import maintenance
from vicino.retrieval.maintenance import Deletion, Maintained
from vicino.store import tenants as store_tenants
from vicino.store.collection import Collection

__all__ = ["delete", "maintain", "maintained", "tenants"]


def maintain(collection: str, *, keep_seconds: float = 600.0) -> Maintained:
    """Merge a collection's files, bring its indexes up to date, free versions that nobody began to read for `keep_seconds`.

    Safe to kill at any point, and beside writers and readers; one process does it at a time, others are told that it is `busy`.
    Raises UnknownName, and ArtifactError for a full disk.
    """
    return maintenance.maintain(_open(collection), keep_seconds=_positive("keep", keep_seconds, least=0.0))


def maintained(collection: str, every_seconds: float, *, keep_seconds: float = 600.0) -> Iterator[Maintained]:
    """`maintain` on a schedule: what each turn did, for as long as one iterates. Raises as `maintain`."""
    _positive("every", every_seconds, least=1.0)
    return maintenance.repeated(_open(collection), every_seconds, keep_seconds=_positive("keep", keep_seconds, least=0.0))


def delete(
    collection: str,
    *,
    tenant: str = "",
    where: str | None = None,
    ids: Sequence[str] | None = None,
    everything: bool = False,
    dry_run: bool = False,
) -> Deletion:
    """Take documents out of a collection for good: those that a filter matches, that `ids` names (both: that and that), or all.

    A document goes whole, also where the filter is about one passage of it. Every search sees it at once; `maintain` frees the
    space. With `dry_run` it is only counted. Raises InputError where it is not said what, UnknownName for a collection, a tenant
    or a column that is not there.
    """
    if everything == (where is not None or ids is not None):
        raise InputError("it is not said which documents go", mend="give where (--where) or ids (--ids), or all of them (--all)")
    wanted = None if where is None else parse(where)
    return maintenance.delete(_open(collection), tenant=tenant, where=wanted, ids=ids, dry_run=dry_run)


def tenants(collection: str) -> list[dict[str, Any]]:
    """Who keeps how much in a collection: name, documents, passages. For its operator: tenants must not see it."""
    return [asdict(one) for one in store_tenants.tenants(_open(collection))]


def _open(collection: str) -> Collection:
    return Collection.open(home() / "collections", collection)


def _positive(name: str, seconds: float, *, least: float) -> float:
    if not least <= seconds < float("inf"):
        raise InputError(f"{name} is {seconds} seconds", mend=f"give at least {least:g}")
    return seconds
