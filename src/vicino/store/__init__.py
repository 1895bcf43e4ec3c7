"""Stores: rows, their metadata and their vectors, kept safe. `STORES` lists the kinds by scheme."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from os import PathLike
from typing import cast

from vicino.catalog import Catalog, Entry
from vicino.errors import InputError
from vicino.spaces import Space
from vicino.store.base import Store

__all__ = ["STORES", "Store", "create", "open", "place"]

STORES = Catalog(
    "store",
    {
        "lance": Entry("vicino.store.lance:Lance", "a folder, for any number of processes on this machine", "store"),
        "postgresql": Entry("vicino.store.postgres:Postgres", "a PostgreSQL server with pgvector", "postgres"),
        "milvus": Entry("vicino.store.milvus:Milvus", "a Milvus server, written to from one machine", "milvus"),
    },
)


def place(address: str, name: str) -> dict[str, str]:
    """The scheme and the location of a new store on a server: it is called `name`, unless the address says how (`#NAME`).

    Raises UnknownName, InputError.

    >>> place("postgresql://me@db.example/vectors#papers", "docs")
    {'scheme': 'postgresql', 'location': 'postgresql://me@db.example/vectors#papers'}
    """
    scheme, mark, _ = address.partition("://")
    if not mark or scheme == "lance":
        raise InputError(f"{address!r} is no server's address", mend="write it like postgresql://user@host/database")
    STORES.entry(scheme)
    # What a killed `create` left is in nobody's way, nor are the collections of somebody else.
    return {"scheme": scheme, "location": address if "#" in address else f"{address}#{name}-{secrets.token_hex(4)}"}


def create(location: str | PathLike[str], spaces: Sequence[Space], *, scheme: str = "lance") -> Store:
    """An empty store of a kind. Raises UnknownName, MissingExtra, and as `Store.create`."""
    return cast(Store, STORES[scheme].create(location, spaces))


def open(location: str | PathLike[str], *, scheme: str = "lance") -> Store:  # noqa: A001 - read as store.open
    """A store of a kind that is there. Raises UnknownName, MissingExtra, and as `Store.open`."""
    return cast(Store, STORES[scheme].open(location))
