"""Kept: the vectors that an approximate index keeps beside its codes, to score its candidates with."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from vicino.errors import ArtifactCorrupt, InputError
from vicino.indexes.exact import Exact
from vicino.indexes.graph_kernels import Layers, walk
from vicino.indexes.kept_kernels import LINE, best  # not at each search: a hundredth of one
from vicino.vectors import int8_steps

__all__ = ["Kept", "aligned", "require_precision"]

_BLOCK = 1 << 20  # numbers quantised at a time


@dataclass(frozen=True, eq=False)
class Kept:
    """(n, d) vectors as "float32", or as "int8" of a quarter the size: each dimension's range in 256 steps.

    int8 moves a cosine of texts by some 0.001; what is "exact" below is so over the vectors as they are kept.

    >>> kept = Kept.of(np.eye(3, dtype=np.float32), "dot", "int8")
    >>> kept.nbytes, kept.nearest(np.eye(3, dtype=np.float32), np.array([[0, 1]] * 3), 1)[0].tolist()
    (33, [[0], [1], [0]])
    """

    values: NDArray[Any]  # (n, d) float32 or int8
    similarity: str
    ranges: NDArray[np.float32] | None = None  # (2, d) of int8: the lowest and highest value
    _scale: NDArray[np.float32] = field(init=False, repr=False)
    _zero: NDArray[np.float32] = field(init=False, repr=False)  # what the number 0 stands for

    def __post_init__(self) -> None:
        steps, zero = np.ones(self.values.shape[1]), np.zeros(self.values.shape[1])
        if self.ranges is not None:
            steps = int8_steps(self.ranges)
            zero = self.ranges[0] + 128 * steps
        object.__setattr__(self, "_scale", steps.astype(np.float32))
        object.__setattr__(self, "_zero", zero.astype(np.float32))

    @classmethod
    def of(cls, vectors: NDArray[np.float32], similarity: str, precision: str) -> Self:
        """Keep a copy. Raises InputError for another precision."""
        if precision == "float32":
            return cls(vectors.copy() if similarity != "cosine" else vectors, similarity)  # unit rows are a copy already
        require_precision(precision)
        ranges = np.stack([vectors.min(axis=0), vectors.max(axis=0)])
        values, steps = _in_lines(vectors.shape, np.int8), int8_steps(ranges)
        rows = max(1, _BLOCK // vectors.shape[1])
        for begin in range(0, len(vectors), rows):
            values[begin : begin + rows] = np.rint((vectors[begin : begin + rows] - ranges[0]) / steps - 128)
        return cls(values, similarity, ranges)

    def nearest(self, queries: NDArray[np.float32], candidates: NDArray[Any], k: int) -> tuple[NDArray[Any], NDArray[Any]]:
        """The k best of each query's `candidates` (q, c; -1 for none): rows (q, k), scores (q, k), best first."""
        offsets = np.zeros(len(queries), dtype=np.float32) if self.ranges is None else queries @ self._zero
        return best(self.values, self._ready(queries), offsets, self._scale, self.similarity == "euclidean", candidates, k)

    def along(self, queries: NDArray[np.float32], graph: Layers, ef: int, k: int) -> NDArray[Any]:
        """The k best of the `ef` best that a walk along the links of a graph finds for each query: rows (q, k), -1 for none."""
        return walk(self.values, self._scale, self.similarity == "euclidean", graph, self._ready(queries), ef, k)

    def _ready(self, queries: NDArray[np.float32]) -> NDArray[np.float32]:
        """What the values are compared with."""
        if self.ranges is None:
            return queries
        return queries - self._zero if self.similarity == "euclidean" else queries * self._scale

    def among(self, queries: NDArray[np.float32], rows: NDArray[np.int64] | None, k: int) -> tuple[NDArray[Any], NDArray[Any]]:
        """The k best of these rows, all of them looked at; of all there are where `rows` is None."""
        if self.ranges is None:
            exact = Exact(similarity="dot" if self.similarity == "cosine" else self.similarity)
            exact.vectors_ = self.values
            return exact._search(queries, k, rows, None)
        rows = np.arange(len(self.values)) if rows is None else rows
        return self.nearest(queries, np.broadcast_to(rows, (len(queries), len(rows))), min(k, len(rows)))

    def arrays(self) -> dict[str, Any]:
        """What to save."""
        return {"kept": self.values} | ({} if self.ranges is None else {"kept_ranges": self.ranges})

    def taken(self, order: NDArray[np.int64]) -> Self:
        """The same rows in another order."""
        return type(self)(aligned(self.values[order]), self.similarity, self.ranges)

    @classmethod
    def restored(cls, arrays: Mapping[str, Any], similarity: str, shape: tuple[int, int]) -> Self:
        """Put back what `arrays` gave of (n, d) vectors. Raises ArtifactCorrupt where it is of others, KeyError without them."""
        values, ranges = arrays["kept"], arrays.get("kept_ranges")
        fits = isinstance(values, np.ndarray) and values.shape == shape and (ranges is None or np.shape(ranges) == (2, shape[1]))
        if not fits or values.dtype != (np.float32 if ranges is None else np.int8):
            raise ArtifactCorrupt("the saved vectors are not as many, or not as long, as it says", mend="build the index again")
        return cls(values if ranges is None else aligned(values), similarity, ranges)

    @property
    def nbytes(self) -> int:
        """The memory that it holds."""
        return int(self.values.nbytes + (0 if self.ranges is None else self.ranges.nbytes))


def require_precision(name: str) -> None:
    """Raise InputError for a way of keeping vectors that there is not."""
    if name not in ("float32", "int8"):
        raise InputError(f"vectors cannot be kept as {name!r}", mend="choose float32 or int8")


def aligned(array: NDArray[Any]) -> NDArray[Any]:
    """A copy of which row 0 begins where a line of memory does."""
    made = _in_lines(array.shape, array.dtype)
    made[...] = array
    return made


def _in_lines(shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
    """Room for an array that begins where a line of memory does, so that its rows lie in no more lines than they must."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    room = np.empty(size + LINE, dtype=np.uint8)
    start = -room.ctypes.data % LINE
    made: NDArray[Any] = room[start : start + size].view(dtype).reshape(shape)
    return made
