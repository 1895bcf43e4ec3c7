"""Planned: an index that follows a collection, and plans each search by what it would cost.

Most indexes cannot change once they are built. Here rows that are newer are compared exactly and merged, rows that went are
passed over, and a restricted search is done in the cheaper of two ways: exactly over what is allowed, or in the index, asked for
as many more as the restriction will take away. A query that then has fewer than k answers is done again, exactly.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, ClassVar, Self, cast

import numpy as np
from numpy.typing import NDArray

from vicino import artifacts
from vicino.indexes import INDEXES, load
from vicino.indexes.base import Index
from vicino.indexes.exact import Exact
from vicino.vectors import top_k

__all__ = ["Planned"]

_SPARE = 1.3  # how many more are asked for than a restriction takes away on average
_SPARE_AT_LEAST = 8
_WORN = 0.25  # the share of rows that came or went at which the index should be built again


class Planned(Index):
    """`index`, a name from `INDEXES` with `index_params`, and beside it the rows that it does not hold yet.

    `worth` is how many vectors are compared in the time of one search in the index: so few are not indexed at all, and a
    restriction that leaves few is searched exactly (`vicino.indexes.choose` measures it). `effort` is that of a search for `k`; a
    search for more gets more in proportion. `restricted_effort` is that of a restricted search; without one, all of those are
    exact. What was measured of its recall is `recall_`.

    >>> index = Planned(worth=0).build([[1.0, 0.0], [0.0, 1.0]], ["east", "north"]).add([[-1.0, 0.0]], ["west"])
    >>> hits = index.remove(["north"]).search([[0.0, 1.0]])
    >>> sorted(hits.ids[0]), hits.how
    (['east', 'west'], 'hnsw, but 1 removed; 1 newer exactly')
    """

    family: ClassVar[str] = "planned"
    capabilities: ClassVar[frozenset[str]] = frozenset({"effort", "change"})

    def __init__(
        self,
        *,
        similarity: str = "cosine",
        index: str = "hnsw",
        index_params: Mapping[str, Any] | None = None,
        k: int = 10,
        effort: int | None = None,
        restricted_effort: int | None = None,
        worth: int = 2000,
    ) -> None:
        self.similarity = similarity
        self.index = index
        self.index_params = index_params
        self.k = k
        self.effort = effort
        self.restricted_effort = restricted_effort
        self.worth = worth

    inner_: Index | None = None  # over the first rows; None where all are compared exactly
    recall_: Mapping[str, Any] | None = None
    _gone = 0  # rows of `inner_` that were removed

    def build(self, vectors: Any, ids: Sequence[str] | None = None) -> Self:
        super().build(vectors, ids)
        self._name()
        return self

    def _require_possible(self) -> None:
        super()._require_possible()
        self._unbuilt()._require_possible()

    def _unbuilt(self) -> Index:
        return cast(Index, INDEXES[self.index].of(**{"similarity": self.similarity, **(self.index_params or {})}))

    def _build(self, vectors: NDArray[np.float32]) -> NDArray[np.int64] | None:
        inner = self._unbuilt()
        few = len(vectors) <= self.worth
        order = None if few else inner._build(vectors)
        self.inner_, self.recall_ = None if few else inner, None
        self.alive_, self._gone = np.ones(0 if few else len(vectors), dtype=bool), 0
        self.fresh_ = self._beside(vectors if few else vectors[:0])
        return order

    def _beside(self, vectors: NDArray[np.float32]) -> Exact:
        fresh = Exact(similarity=self.similarity)
        fresh._build(vectors)
        return fresh

    def _name(self) -> None:
        if self.inner_ is not None:
            self.inner_.ids_, self.inner_.dim_ = self._require_built()[: len(self.alive_)].copy(), self.dim_

    # Change ---------------------------------------------------------------------------------------------------------

    def _add(self, vectors: NDArray[np.float32]) -> None:
        self.fresh_._add(vectors)

    def _remove(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        held = len(self.alive_)
        self.alive_[rows[rows < held]] = False
        self._gone = held - int(self.alive_.sum())
        was = np.where(self.alive_, np.arange(held), -1)
        return np.concatenate([was, held + self.fresh_._remove(rows[rows >= held] - held)])

    def settle(self) -> Self:
        """Move the newer rows into the index, where that can take them in; else they stay. Raises NotFitted."""
        self._require_built()
        if self.inner_ is not None and "change" in self.inner_.capabilities and self.fresh:
            self.inner_._add(np.ascontiguousarray(self.fresh_.vectors_))
            self.alive_ = np.concatenate([self.alive_, np.ones(self.fresh, dtype=bool)])
            self.fresh_ = self._beside(self.fresh_.vectors_[:0])
            self._name()
        return self

    @property
    def fresh(self) -> int:
        """How many rows are compared exactly, because the index does not hold them."""
        return int(self.fresh_.vectors_.shape[0])

    @property
    def due(self) -> bool:
        """Whether the newer rows cost more than the index: maintenance should build it again."""
        return self.fresh > self.worth or self.worn

    @property
    def worn(self) -> bool:
        """Whether so much came or went that the index should be built again."""
        much = _WORN * len(self.alive_)
        return self.fresh > max(self.worth, much) or self._gone > much

    # Searching --------------------------------------------------------------------------------------------------------

    def _search(
        self, queries: Any, k: int, allow: NDArray[np.int64] | None, effort: int | None
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        return self._answer(queries, k, allow, effort)[:2]

    def _answer(
        self, queries: Any, k: int, allow: NDArray[np.int64] | None, effort: int | None
    ) -> tuple[NDArray[Any], NDArray[Any], str]:
        held = len(self.alive_)
        if self.inner_ is None:
            how = f"exact over {self.fresh:,}" if allow is None else f"exact over {len(allow):,} allowed"
            return *self.fresh_._search(queries, k, allow, None), how
        rows, scores, how = self._held(self.inner_, queries, k, None if allow is None else allow[allow < held], effort)
        newer = None if allow is None else allow[allow >= held] - held
        count = self.fresh if newer is None else len(newer)
        if count:
            more, their = self.fresh_._search(queries, k, newer, None)
            every = np.concatenate([rows, more + held], axis=1)
            best, scores = top_k(np.concatenate([np.where(rows < 0, -np.inf, scores), their], axis=1).astype(np.float32), k)
            rows = np.take_along_axis(every, best, axis=1)
            how += f"; {count:,} newer exactly"
        return rows, scores, how

    def _held(
        self, inner: Index, queries: Any, k: int, allow: NDArray[np.int64] | None, effort: int | None
    ) -> tuple[NDArray[Any], NDArray[Any], str]:
        """The answers of the index: rows with -1 for none."""
        effort = self.effort if effort is None else effort
        if allow is None:
            if not self._gone:
                effort = self._scaled(effort, k)
                return *inner._search(queries, k, None, effort), _said(inner, effort)
            wanted, wide = self.alive_, self._wide(k, len(self.alive_) - self._gone)
            effort, doing = self._scaled(effort, wide), f", but {self._gone:,} removed"
        else:
            wide = self._wide(k, len(allow))
            if self._few(len(allow), wide):
                return *inner._search(queries, k, allow, None), f"exact over {len(allow):,} allowed"
            wanted = np.zeros(len(self.alive_), dtype=bool)
            wanted[allow] = True
            effort = self._scaled(max(self.restricted_effort or 0, effort or 0), wide)
            doing = f", kept {len(allow):,} allowed of {wide:,} a query"
        rows, scores, short = _sifted(*inner._search(queries, wide, None, effort), wanted, k)
        how = _said(inner, effort) + doing
        if len(short):
            again, their = inner._search(queries[short], k, np.flatnonzero(wanted), None)
            rows[short], scores[short] = -1, -np.inf
            rows[short, : again.shape[1]], scores[short, : again.shape[1]] = again, their
            how += f"; {len(short):,} of {len(queries):,} queries again, exactly"
        return rows, scores, how

    def _wide(self, k: int, left: int) -> int:
        """How many to ask for so that k are left where only `left` of all rows may be answers."""
        n = len(self.alive_)
        return min(n, math.ceil(_SPARE * k * n / max(left, 1)) + max(k, _SPARE_AT_LEAST))

    def _few(self, allowed: int, wide: int) -> bool:
        """Whether comparing what is allowed costs no more than `wide` answers of the index."""
        return self.restricted_effort is None or allowed <= max(wide, self.worth * max(1.0, wide / self.k))

    def _scaled(self, effort: int | None, k: int) -> int | None:
        """The effort for k answers, of one for `self.k`."""
        return None if effort is None else min(math.ceil(effort * max(1.0, k / self.k)), max(effort, len(self.alive_)))

    def _size(self) -> int:
        return len(self.alive_) - self._gone + self.fresh

    # Kept and opened --------------------------------------------------------------------------------------------------

    def manifest(self) -> dict[str, Any]:
        said = super().manifest() | {"recall": None if self.recall_ is None else dict(self.recall_)}
        inner = None if self.inner_ is None else self.inner_.manifest()
        return said | {"inner": inner, "fresh": 0 if self.ids_ is None else self.fresh}

    def save(self, path: str | PathLike[str]) -> Path:
        newer = self._require_built()[len(self.alive_) :]
        arrays = {"fresh_ids": list(newer), **self._arrays()}
        parts = {} if self.inner_ is None else {"inner": self.inner_.save}
        return artifacts.write(path, kind="index", data=self.manifest(), arrays=arrays, parts=parts)

    def _arrays(self) -> dict[str, Any]:
        return {"fresh": self.fresh_.vectors_, "alive": self.alive_}

    def _restore(self, arrays: Mapping[str, Any]) -> None:
        self.alive_ = arrays["alive"]
        self._gone = int((~self.alive_).sum())
        self.fresh_ = self._beside(arrays["fresh"])

    @classmethod
    def _from_artifact(cls, saved: artifacts.Artifact) -> Self:
        index = cls(**saved.data["params"])
        index._restore(saved.arrays)
        index.dim_, index.recall_ = int(saved.data["dim"]), saved.data["recall"]
        index.ids_ = np.array(saved.arrays["fresh_ids"], dtype=object)
        if saved.data["inner"] is not None:
            index.inner_ = load(saved.path / "inner")
            held = index.inner_._require_built().copy()
            held[~index.alive_] = None
            index.ids_ = np.concatenate([held, index.ids_])
        return index

    @property
    def costly(self) -> bool:
        return self.inner_ is not None

    @property
    def nbytes(self) -> int:
        return self.fresh_.nbytes + self.alive_.nbytes + (0 if self.inner_ is None else self.inner_.nbytes)


def _said(inner: Index, effort: int | None) -> str:
    return inner.family if effort is None else f"{inner.family}, effort {effort:,}"


def _sifted(
    rows: NDArray[Any], scores: NDArray[Any], wanted: NDArray[np.bool_], k: int
) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.int64]]:
    """The first k wanted answers of each query (-1 after the last), and the queries that have fewer than there could be."""
    lacking = ((0, 0), (0, max(0, k - rows.shape[1])))
    rows, scores = np.pad(rows, lacking, constant_values=-1), np.pad(scores, lacking)
    kept = (rows >= 0) & wanted[rows]
    first = np.argsort(~kept, axis=1, kind="stable")[:, :k]
    there = np.take_along_axis(kept, first, axis=1)
    short = np.flatnonzero(there.sum(axis=1) < min(k, int(wanted.sum())))
    left = np.where(there, np.take_along_axis(rows, first, axis=1), -1)
    return left, np.where(there, np.take_along_axis(scores, first, axis=1), -np.inf).astype(np.float32), short
