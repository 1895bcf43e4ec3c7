"""Indexes: vectors -> neighbours."""

from __future__ import annotations

from os import PathLike
from typing import cast

from vicino import artifacts
from vicino.catalog import Catalog, Entry
from vicino.indexes.base import Index

__all__ = ["INDEXES", "Index", "load"]

INDEXES = Catalog(
    "index",
    {
        "exact": Entry("vicino.indexes.exact:Exact", "compares with every vector; always right"),
        "hnsw": Entry("vicino.indexes.hnsw:HNSW", "a layered graph of neighbours (Malkov and Yashunin 2018)", "store"),
    },
)


def load(path: str | PathLike[str]) -> Index:
    """Open any saved index. Raises ArtifactError, ArtifactCorrupt or ArtifactTooNew."""
    saved = artifacts.read(path, kind="index")
    return cast(Index, INDEXES[saved.data["index"]]._from_artifact(saved))
