"""Stores: rows, their metadata and their vectors, kept safe. `STORES` lists the kinds by scheme."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from typing import cast

from vicino.catalog import Catalog, Entry
from vicino.spaces import Space
from vicino.store.base import Store

__all__ = ["STORES", "Store", "create", "open"]

STORES = Catalog(
    "store",
    {
        "lance": Entry("vicino.store.lance:Lance", "a folder, for any number of processes on this machine", "store"),
    },
)


def create(location: str | PathLike[str], spaces: Sequence[Space], *, scheme: str = "lance") -> Store:
    """An empty store of a kind. Raises UnknownName, MissingExtra, and as `Store.create`."""
    return cast(Store, STORES[scheme].create(location, spaces))


def open(location: str | PathLike[str], *, scheme: str = "lance") -> Store:  # noqa: A001 - read as store.open
    """A store of a kind that is there. Raises UnknownName, MissingExtra, and as `Store.open`."""
    return cast(Store, STORES[scheme].open(location))
