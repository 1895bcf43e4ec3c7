"""Rescored: what all indexes share that find candidates in codes, and then score those with the vectors themselves."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from vicino.errors import InputError
from vicino.indexes.base import Index
from vicino.indexes.kept import Kept, require_precision
from vicino.indexes.kept_kernels import unit
from vicino.vectors import as_vectors

__all__ = ["Rescored"]


class Rescored(Index):
    """Candidates from `_candidates`, the best of them by the vectors kept as `keep` ("float32", or "int8": a quarter).

    A restricted search looks at all that is allowed. Under `at_least` vectors nothing but those is kept, and searched exactly:
    codes gain nothing there.
    """

    capabilities: ClassVar[frozenset[str]] = frozenset({"effort"})
    at_least: ClassVar[int] = 0
    keep: str
    coded_: bool = False

    @abstractmethod
    def _learn(self, vectors: NDArray[np.float32]) -> NDArray[np.int64] | None:
        """Make the codes of all vectors; the order they are put in, if another."""

    @abstractmethod
    def _candidates(self, queries: NDArray[np.float32], k: int, effort: int | None) -> NDArray[Any]:
        """Rows that may be the nearest, (q, c) integers, -1 for none."""

    @abstractmethod
    def _codes(self) -> dict[str, Any]:
        """The codes, to save."""

    @abstractmethod
    def _recall_codes(self, arrays: Mapping[str, Any]) -> None:
        """Put back what `_codes` gave."""

    @property
    @abstractmethod
    def _code_bytes(self) -> int:
        """The memory of the codes."""

    def _require_possible(self) -> None:
        super()._require_possible()
        require_precision(self.keep)

    def _build(self, vectors: NDArray[np.float32]) -> NDArray[np.int64] | None:
        kept = Kept.of(vectors, self.similarity, self.keep)
        coded = len(vectors) >= self.at_least
        order = self._learn(vectors) if coded else None
        self.kept_, self.coded_ = kept if order is None else kept.taken(order), coded
        return order

    def _check(self, vectors: Any, dim: int | None) -> Any:
        if self.similarity != "cosine" or hasattr(vectors, "tocsr"):
            return super()._check(vectors, dim)
        return unit(as_vectors(vectors, dim=dim))

    def _search(
        self, queries: NDArray[np.float32], k: int, allow: NDArray[np.int64] | None, effort: int | None
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        if effort is not None and effort < 1:
            raise InputError(f"effort is {effort}", mend="give 1 or more")
        if allow is not None or not self.coded_ or not len(queries):
            return self.kept_.among(queries, allow, k)
        return self.kept_.nearest(queries, self._candidates(queries, k, effort), k)

    def _arrays(self) -> dict[str, Any]:
        return self.kept_.arrays() | (self._codes() if self.coded_ else {})

    def _restore(self, arrays: Mapping[str, Any]) -> None:
        self.kept_ = Kept.restored(arrays, self.similarity, (len(self._require_built()), self.dim_))
        self.coded_ = len(self.kept_.values) >= self.at_least
        if self.coded_:
            self._recall_codes(arrays)

    @property
    def nbytes(self) -> int:
        return self.kept_.nbytes + (self._code_bytes if self.coded_ else 0)
