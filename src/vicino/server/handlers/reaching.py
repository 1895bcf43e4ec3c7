"""How handlers reach a collection: only what the caller's tenant has there, and one answer for all that is not for him.

A tenant is never told whether a collection of others is there: what is not his is not there.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from vicino.errors import UnknownName, VicinoError
from vicino.retrieval.stored import Stored
from vicino.server.failures import Refused
from vicino.server.served import Served
from vicino.store.base import EVERYONE
from vicino.store.collection import Collection

__all__ = ["collection_of", "not_found", "reached"]


def collection_of(served: Served, name: str, tenant: str) -> Collection:
    """A collection in which the tenant has something, opened anew. Blocks. Raises Refused, a 404, and what opening raises."""
    with _found(served, name, tenant):
        collection = served.collection(name)
        _require_own(served, name, tenant, empty=not collection.store.count(tenant=tenant), whole=collection)
        return collection


@contextmanager
def reached(served: Served, name: str, tenant: str) -> Iterator[Stored]:
    """A collection that answers the tenant, up to date, and the caller's alone meanwhile. Blocks. Raises as `collection_of`."""
    with _found(served, name, tenant), served.stored(name, tenant) as stored:
        stored.refresh()
        _require_own(served, name, tenant, empty=stored.empty, whole=stored.collection)
        yield stored


@contextmanager
def _found(served: Served, name: str, tenant: str) -> Iterator[None]:
    """What goes wrong because the collection is not there, or was deleted meanwhile, is a 404."""
    if name not in served.collection_names():
        raise not_found(served, name, tenant)
    try:
        yield
    except (VicinoError, OSError, RuntimeError, ValueError) as error:
        if name in served.collection_names():
            raise
        raise not_found(served, name, tenant) from error


def _require_own(served: Served, name: str, tenant: str, *, empty: bool, whole: Collection) -> None:
    """Nobody's empty collection is everybody's; one that others have filled is not there for a tenant without a share."""
    if empty and (tenant or whole.store.count(tenant=EVERYONE)):
        raise not_found(served, name, tenant)


def not_found(served: Served, name: str, tenant: str) -> Refused:
    """The 404 of a collection; who has no tenant may hear which ones there are."""
    error = UnknownName.among(name[:200], [] if tenant else served.collection_names(), kind="collection")
    mend = "GET /api/collections lists those that you may search" if tenant else error.mend
    return Refused(404, error.what, mend=mend, code="collection_not_found", param="collection")
