"""Vectors that stay where a collection's rows are, and are searched there: for more of them than this machine's memory holds."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from vicino.data.records import Hits
from vicino.errors import InputError
from vicino.indexes.base import Index

__all__ = ["AtStore", "Nearest"]

Nearest = Callable[[NDArray[np.float32], int, frozenset[str] | None], Hits]


class AtStore(Index):
    """What a collection's recipe calls index=store. Only the keys of rows are in memory; `nearest_` asks the store.

    A store answers by an index of its own where it has one (pgvector's HNSW, which `vicino maintain` builds), else exactly.
    """

    family: ClassVar[str] = "store"
    capabilities: ClassVar[frozenset[str]] = frozenset({"whole"})  # all scores at once are cheaper than part by part

    nearest_: Nearest

    def __init__(self, *, similarity: str = "cosine") -> None:
        self.similarity = similarity

    def hold(self, keys: Collection[str], dim: int, nearest: Nearest) -> Self:
        """From now on answer with these keys, by what `nearest(queries, k, among)` finds in the store."""
        self.ids_, self.dim_, self.nearest_ = np.array(list(keys), dtype=object), dim, nearest
        return self

    def search(
        self,
        queries: Any,
        k: int = 10,
        *,
        allow: Collection[str] | None = None,
        effort: int | None = None,  # noqa: ARG002 - that is the store's affair
    ) -> Hits:
        """As `Index.search`."""
        held = self._require_built()
        if k < 1:
            raise InputError(f"k is {k}", mend="ask for at least one answer")
        checked = self._check(queries, self.dim_)
        among = None if allow is None else frozenset(allow)
        k = min(k, len(held) if among is None else len(among))
        if k == 0:
            nothing = np.empty((len(checked), 0))
            return Hits(nothing.astype(object), nothing.astype(np.float32), how="nothing is there")
        how = "in the store" + ("" if among is None else f", among {len(among):,} allowed")
        return replace(self.nearest_(checked, k, among), how=how)

    def _build(self, vectors: Any) -> None:  # noqa: ARG002
        raise InputError("index=store is for collections: nothing else has a store", mend="leave index=store out here")

    def _search(
        self,
        queries: NDArray[np.float32],
        k: int,
        allow: NDArray[np.int64] | None,
        effort: int | None,  # noqa: ARG002
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        held = self._require_built()
        hits = self.nearest_(queries, k, None if allow is None else frozenset(held[allow]))
        row = {key: place for place, key in enumerate(held)}
        return np.array([[row.get(name, -1) for name in names] for names in hits.ids], dtype=np.int64), hits.scores

    def _arrays(self) -> dict[str, Any]:
        raise InputError("what is searched in a store is kept there", mend="vicino export saves a collection")

    def _restore(self, arrays: Mapping[str, Any]) -> None:  # noqa: ARG002
        raise InputError("what is searched in a store is kept there", mend="open the collection")

    @property
    def nbytes(self) -> int:
        return 0

    @property
    def costly(self) -> bool:
        return False
