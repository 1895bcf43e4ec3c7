"""Index: the contract of everything that finds the nearest vectors."""

from __future__ import annotations

import ctypes
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from os import PathLike
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from vicino import artifacts
from vicino.data.records import Hits
from vicino.errors import DimensionMismatch, DuplicateIds, EmptyInput, InputError, InvalidVectors, NotFitted
from vicino.parameters import Parameterised
from vicino.vectors import as_vectors, normalise

__all__ = ["Index"]

_MANY = 1 << 20  # numbers: what fewer leave behind is not worth a millisecond


class Index(Parameterised, ABC):
    """Vectors in, nearest ids out.

    `capabilities` says what an index can do ("sparse", "exact", "effort", "change", ...) and `similarities` which ones it ranks
    by; nobody has to try and catch. Every index takes `similarity` as a parameter. One that can "change" takes vectors in, and
    gives them up, after it was built.
    """

    family: ClassVar[str]
    capabilities: ClassVar[frozenset[str]] = frozenset()
    similarities: ClassVar[frozenset[str]] = frozenset({"cosine", "dot", "euclidean"})
    similarity: str

    ids_: NDArray[np.object_] | None = None
    dim_: int = 0
    _places: _Places | None = None

    @abstractmethod
    def _build(self, vectors: Any) -> NDArray[np.int64] | None:
        """Take the checked vectors in (unit rows where the similarity is cosine); the order they are put in, if another."""

    @abstractmethod
    def _search(
        self, queries: Any, k: int, allow: NDArray[np.int64] | None, effort: int | None
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        """The nearest rows, best first: rows (q, k') int64 with -1 for none, scores (q, k') float32, larger is nearer."""

    def _add(self, vectors: Any) -> None:  # noqa: ARG002 - for those that can
        """Take more rows in, after those that are there. For indexes that can "change"."""
        raise self._fixed()

    def _remove(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:  # noqa: ARG002 - for those that can
        """Give up these rows (ascending); where each row that is there now was before, -1 for a place that holds nothing."""
        raise self._fixed()

    @abstractmethod
    def _arrays(self) -> dict[str, Any]:
        """What to save."""

    @abstractmethod
    def _restore(self, arrays: Mapping[str, Any]) -> None:
        """Put back what `_arrays` gave."""

    def build(self, vectors: Any, ids: Sequence[str] | None = None) -> Self:
        """Index (n, d) vectors (CSR where "sparse" is a capability) under `ids`, by default "0", "1", ...

        What was built before stays as it was where this fails; nobody may search meanwhile. Raises EmptyInput, InvalidVectors,
        DuplicateIds, InputError (a similarity that the index does not rank by).
        """
        self._require_possible()
        checked = self._check(vectors, None)
        n, dim = checked.shape
        if n == 0:
            raise EmptyInput("there are no vectors to index", mend="give at least one")
        names = _names([str(row) for row in range(n)] if ids is None else ids, n)
        before = dict(self.__dict__)
        try:
            order = self._build(checked)
        except BaseException:
            self.__dict__ = before
            raise
        self.ids_, self.dim_ = names if order is None else names[order], dim
        if n * dim >= _MANY:
            _give_back()
        return self

    def add(self, vectors: Any, ids: Sequence[str]) -> Self:
        """Take (n, d) more vectors in. Raises NotFitted, InputError (not for this index), and what `build` raises."""
        held = self._require_built()
        checked = self._check(vectors, self.dim_)
        names = _names(ids, checked.shape[0])
        twice = set(names) & set(held)
        if twice:
            raise DuplicateIds(f"{len(twice)} of {len(names)} ids are there already", mend="remove them first")
        if len(names):
            self._add(checked)
            self.ids_ = np.concatenate([held, names])
        return self

    def remove(self, ids: Collection[str]) -> Self:
        """Give vectors up; ids that are not there are passed over. Raises NotFitted, InputError (not for this index)."""
        held = self._require_built()
        rows = self._rows(frozenset(ids))
        if len(rows):
            was = self._remove(rows)
            left = held[was]
            left[was < 0] = None
            self.ids_ = left
        return self

    def search(self, queries: Any, k: int = 10, *, allow: Collection[str] | None = None, effort: int | None = None) -> Hits:
        """The k nearest of each query: (q, d) -> `Hits`. A k beyond the index gives all there is.

        `allow` restricts the answers to these ids; give a frozenset where many searches have the same. `effort` trades time for
        recall where "effort" is a capability. `how` says what was done. Raises NotFitted, InvalidVectors, DimensionMismatch.
        """
        held = self._require_built()
        if k < 1:
            raise InputError(f"k is {k}", mend="ask for at least one answer")
        checked = self._check(queries, self.dim_)
        rows = None if allow is None else self._rows(frozenset(allow))
        k = min(k, self._size())
        if k == 0:
            nothing = np.empty((checked.shape[0], 0))
            return Hits(nothing.astype(object), nothing.astype(np.float32), how="nothing is there")
        found, scores, how = self._answer(checked, k, rows, effort)
        return Hits.of_rows(held, found, scores, complete=None, how=how)

    def _answer(
        self, queries: Any, k: int, allow: NDArray[np.int64] | None, effort: int | None
    ) -> tuple[NDArray[Any], NDArray[Any], str]:
        """What `_search` gives, and how it was found, in words."""
        if allow is not None:
            how = f"exact over {len(allow):,} allowed"
        elif "exact" in self.capabilities:
            how = f"exact over {self._size():,}"
        else:
            how = self.family if effort is None else f"{self.family}, effort {effort:,}"
        return *self._search(queries, k, allow, effort), how

    def _size(self) -> int:
        """How many vectors can be found."""
        return len(self._require_built())

    def manifest(self) -> dict[str, Any]:
        """What this index is, as plain data."""
        size = 0 if self.ids_ is None else self._size()
        return {"index": self.family, "params": self.get_params(), "vectors": size, "dim": self.dim_}

    def save(self, path: str | PathLike[str]) -> Path:
        """Write the index to a folder, whole or not at all."""
        arrays = {"ids": ["" if name is None else name for name in self._require_built()], **self._arrays()}
        return artifacts.write(path, kind="index", data=self.manifest(), arrays=arrays)

    @classmethod
    def _from_artifact(cls, saved: artifacts.Artifact) -> Self:
        index = cls(**saved.data["params"])
        arrays = dict(saved.arrays)
        index.ids_, index.dim_ = np.array(arrays.pop("ids"), dtype=object), int(saved.data["dim"])
        index._restore(arrays)
        return index

    @property
    @abstractmethod
    def nbytes(self) -> int:
        """The memory that the index holds, ids apart."""

    @property
    def costly(self) -> bool:
        """Whether building took more than taking the vectors in, so that it is worth keeping."""
        return "exact" not in self.capabilities

    def _require_possible(self) -> None:
        """Raise InputError for a similarity that is not ranked by, or parameters that fit no vectors at all."""
        if self.similarity not in self.similarities:
            raise InputError(
                f"{type(self).__name__} does not rank by {self.similarity!r}",
                mend=f"choose one of {', '.join(sorted(self.similarities))}",
            )

    def _require_built(self) -> NDArray[np.object_]:
        if self.ids_ is None:
            raise NotFitted(f"{type(self).__name__} is empty", mend="call .build(vectors, ids) first")
        return self.ids_

    def _fixed(self) -> InputError:
        return InputError(f"{type(self).__name__} cannot change after it was built", mend="build it again")

    def _rows(self, names: frozenset[str]) -> NDArray[np.int64]:
        """Where these names are, ascending."""
        if self.ids_ is None:
            return np.empty(0, dtype=np.int64)
        if self._places is None or self._places.ids is not self.ids_:
            self._places = _Places(self.ids_)
        return self._places.rows(names)

    def _check(self, vectors: Any, dim: int | None) -> Any:
        if hasattr(vectors, "tocsr"):
            return self._check_sparse(vectors, dim)
        array = as_vectors(vectors, dim=dim)
        return normalise(array) if self.similarity == "cosine" else array

    def _check_sparse(self, vectors: Any, dim: int | None) -> Any:
        from scipy.sparse import csr_array

        if "sparse" not in self.capabilities:
            raise InputError(f"{type(self).__name__} takes dense vectors only", mend="use the exact index, or a dense encoder")
        rows = csr_array(vectors, dtype=np.float32)
        if dim is not None and rows.shape[1] != dim:
            raise DimensionMismatch(
                f"vectors of {rows.shape[1]} dimensions where {dim} are needed", mend="encode both sides with the same model"
            )
        if not np.isfinite(rows.data).all():
            raise InvalidVectors("the vectors hold NaN or infinite numbers", mend="look at the items, then encode them again")
        if self.similarity != "cosine":
            return rows
        lengths = np.sqrt((rows * rows).sum(axis=1))
        scale = np.repeat(np.where(lengths > 0, lengths, 1), np.diff(rows.indptr))
        return csr_array((rows.data / scale, rows.indices, rows.indptr), shape=rows.shape)


def _give_back() -> None:
    """Have glibc's allocator give the system what was freed: building leaves behind some times what a lean index holds."""
    with suppress(AttributeError, OSError, TypeError):  # other systems have other allocators
        ctypes.CDLL(None).malloc_trim(0)


class _Places:
    """Where each name is in `ids`; what was asked for last is remembered, as a filter is the same for many queries."""

    def __init__(self, ids: NDArray[np.object_]) -> None:
        self.ids = ids
        self._row = {name: row for row, name in enumerate(ids) if name is not None}
        self._last: tuple[frozenset[str], NDArray[np.int64]] | None = None

    def rows(self, names: frozenset[str]) -> NDArray[np.int64]:
        last = self._last  # another thread may put another one there
        if last is None or last[0] is not names:
            found = np.array([row for name in names if (row := self._row.get(name)) is not None], dtype=np.int64)
            self._last = last = names, np.sort(found)
        return last[1]


def _names(ids: Sequence[str], n: int) -> NDArray[np.object_]:
    """The ids as an array, known to be n different ones."""
    names = np.array([str(name) for name in ids], dtype=object)
    if len(names) != n:
        raise InputError(f"{len(names)} ids for {n} vectors", mend="give one id a vector")
    if len(set(names)) != n:
        raise DuplicateIds(f"{n - len(set(names))} of {n} ids repeat", mend="give each vector an id of its own")
    return names
