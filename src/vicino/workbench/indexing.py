"""The verb of indexes: the cheapest one that has the recall."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from pathlib import Path

from vicino.artifacts import home
from vicino.data.judged import read_queries
from vicino.retrieval import indexing
from vicino.retrieval.indexing import Decision, Standing
from vicino.store.collection import Collection

__all__ = ["index", "index_standing"]


def index(
    collection: str,
    *,
    recall: float,
    k: int | None = None,
    memory: int | None = None,
    queries: str | PathLike[str] | None = None,
    families: Sequence[str] | None = None,
    tenant: str = "",
) -> list[Decision]:
    """Choose the index that answers fastest with this recall, in at most `memory` bytes, and build it: one decision an encoder.

    `queries` is a file of queries, or a BEIR folder; without it passages that are left out of the index are asked for. `families`
    are names from `vicino.indexes.INDEXES`. The choice holds for all tenants, and for later builds; where a decision has no plan
    nothing changed. Raises what `vicino.retrieval.indexing.decide` and reading queries raise.
    """
    asked = None if queries is None else read_queries(Path(queries))
    return indexing.decide(_open(collection), recall=recall, k=k, memory=memory, queries=asked, families=families, tenant=tenant)


def index_standing(collection: str, *, tenant: str = "") -> list[Standing]:
    """What was chosen for a collection, and the measured recall of the indexes that are kept."""
    return indexing.standing(_open(collection), tenant=tenant)


def _open(collection: str) -> Collection:
    return Collection.open(home() / "collections", collection)
