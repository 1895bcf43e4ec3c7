"""Tenants: who keeps documents in a collection, and where what is made of them alone is kept.

A tenant is never told of another: only the operator's listing names them all.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vicino.data.filters import And, Condition, Filter, IsNull, Not, Or
from vicino.errors import InputError, UnknownName
from vicino.store.base import COLUMNS, EVERYONE, Store
from vicino.store.collection import Collection

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Tenant", "columns", "kept_of", "matching", "require_tenant", "tenants"]


@dataclass(frozen=True)
class Tenant:
    """How much a tenant keeps."""

    name: str
    documents: int
    passages: int


def tenants(collection: Collection) -> list[Tenant]:
    """Everybody who has documents in the collection, by name. For who keeps the collection, not for a tenant."""
    passages, documents = Counter[str](), dict[str, set[tuple[str, str]]]()
    for batch in collection.store.scan(["tenant", "source", "document"], tenant=EVERYONE):
        named = [batch.column(name).to_pylist() for name in ("tenant", "source", "document")]
        passages.update(named[0])
        for tenant, source, document in zip(*named, strict=True):
            documents.setdefault(tenant, set()).add((source, document))
    return [Tenant(name, len(documents[name]), passages[name]) for name in sorted(passages)]


def require_tenant(collection: Collection, tenant: str) -> None:
    """Raise UnknownName where this tenant has nothing, InputError where nobody is named and everything is somebody's.

    An empty collection is no error.
    """
    store = collection.store
    if store.count(tenant=tenant) or not store.count(tenant=EVERYONE):
        return
    if not tenant:
        raise InputError(f"what is in the collection {collection.name!r} belongs to tenants", mend="say whose: --tenant NAME")
    raise UnknownName(
        f"the tenant {tenant!r} has nothing in the collection {collection.name!r}",
        mend="check the name; who keeps the collection sees all of them with: vicino collections --tenants NAME",
    )


def matching(store: Store, names: Sequence[str], where: Filter, tenant: str) -> Iterator[pa.RecordBatch]:
    """As `scan`, for a filter that a tenant wrote: an UnknownName lists the columns alone in which this tenant has something."""
    try:
        yield from store.scan(names, where=where, tenant=tenant)
    except UnknownName as error:
        own = [name for name in store.columns if name in COLUMNS or store.count(where=Not(IsNull(name)), tenant=tenant)]
        lacking = next(name for name in columns(where) if name not in store.columns)
        raise UnknownName.among(lacking, own, kind="column") from error


def columns(wanted: Filter) -> Iterator[str]:
    """The columns that a filter names.

    >>> from vicino.data.filters import parse
    >>> list(columns(parse("lang = 'en' and not year < 2000")))
    ['lang', 'year']
    """
    if isinstance(wanted, Condition):
        yield wanted.column
    elif isinstance(wanted, Not):
        yield from columns(wanted.part)
    elif isinstance(wanted, And | Or):
        for part in wanted.parts:
            yield from columns(part)


def kept_of(collection: Collection, tenant: str) -> Path:
    """The folder of the indexes of one tenant, which its rows can make again."""
    return collection.kept / hashlib.sha256(tenant.encode()).hexdigest()[:16]
