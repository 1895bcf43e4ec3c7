"""What a retriever that follows a collection sees of its store: the passages of one tenant."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vicino.data.filters import In
from vicino.data.records import Document, Hits
from vicino.spaces import Space
from vicino.store.base import Store

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["StoredPassages"]

_NAMED = 20_000  # keys that a search in the store names; of more, the nearest of all are sifted
_FEW = 1000  # keys that are asked for by name; for more, all rows are read


@dataclass(frozen=True)
class StoredPassages:
    """The passages of one tenant in a store."""

    store: Store
    tenant: str

    def places(self, keys: AbstractSet[str]) -> Iterator[tuple[str, tuple[str, str]]]:
        """The source and the document of each key."""
        for batch in self._scan(["key", "source", "document"], keys, None):
            for key, source, document in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                if key in keys:
                    yield key, (source, document)

    def documents(self, keys: AbstractSet[str]) -> Iterator[Document]:
        """The passages as documents named by key."""
        for batch in self._scan(["key", "title", "text"], keys, None):
            for key, title, text in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                if key in keys:
                    yield Document(key, text, title)

    def vectors(self, keys: AbstractSet[str], space: Space) -> tuple[list[str], NDArray[np.float32]]:
        """Keys and their vectors (n, dim)."""
        names: list[str] = []
        vectors = np.empty((len(keys), space.dim), dtype=np.float32)
        for batch in self._scan(["key"], keys, space):
            found = batch.column("key").to_pylist()
            wanted = [at for at, key in enumerate(found) if key in keys]
            values = batch.column("vector").flatten().to_numpy(zero_copy_only=False).reshape(-1, space.dim)
            vectors[len(names) : len(names) + len(wanted)] = values[wanted]
            names += [found[at] for at in wanted]
        return names, vectors[: len(names)]

    def nearest(
        self, vectors: NDArray[np.float32], k: int, space: Space, among: frozenset[str] | None, effort: int | None
    ) -> Hits:
        """The k nearest of these keys (None: of all), as the store finds them with an `effort` (see `Store.search`)."""
        asked: dict[str, Any] = {"space": space, "tenant": self.tenant, "effort": effort}
        if among is None:
            return self.store.search(vectors, k, **asked)
        if len(among) <= _NAMED:
            return self.store.search(vectors, k, where=In("key", tuple(sorted(among))), **asked)
        total = self.store.count(tenant=self.tenant)
        wide = 2 * k * total // len(among)
        while True:
            hits = self.store.search(vectors, min(wide, total), **asked)
            kept = np.array([[name in among for name in row] for row in hits.ids], dtype=bool)
            if wide >= total or (kept.sum(axis=1) >= k).all():
                return _first(hits, kept, k)
            wide *= 4

    def _scan(self, columns: Sequence[str], keys: AbstractSet[str], space: Space | None) -> Iterator[pa.RecordBatch]:
        if not keys:
            return iter(())
        where = In("key", tuple(sorted(keys))) if len(keys) <= _FEW else None
        return self.store.scan(columns, where=where, tenant=self.tenant, space=space)


def _first(hits: Hits, kept: NDArray[np.bool_], k: int) -> Hits:
    """The first k of what is kept of each row, (n, width) both."""
    rows = np.argsort(~kept, axis=1, kind="stable")[:, :k]
    there = np.take_along_axis(kept, rows, axis=1)
    ids = np.take_along_axis(hits.ids, rows, axis=1)
    ids[~there] = None
    scores = np.where(there, np.take_along_axis(hits.scores, rows, axis=1), np.float32(-np.inf))
    return Hits(ids, scores)
