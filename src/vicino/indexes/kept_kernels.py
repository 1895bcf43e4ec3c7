"""The compiled half of rescoring: candidates scored against the vectors that are kept, and the best of them in order.

Candidates lie anywhere in memory, so that waiting for it is most of the work: the next ones are asked for ahead of time.

Sums are made in the order that is fastest (fastmath's "reassoc"): the last digit is the machine's, and the same on each run.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import njit, types
from numba.extending import intrinsic
from numpy.typing import NDArray

__all__ = ["LINE", "best", "compiled", "fetch", "unit"]

Array = NDArray[Any]

_AHEAD = 2  # candidates that are on their way while one is scored
LINE = 64  # bytes that a processor fetches at once

compiled = njit(cache=True, nogil=True, fastmath={"reassoc", "contract", "nsz"})  # infinities stay what they are


def _fetching(_: Any, address: Any) -> Any:
    """Ask for the line of memory at an address, without waiting for it: LLVM's prefetch, to read, to stay, of data."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:  # noqa: ARG001 - numba's signature
        pointer, number = ir.IntType(8).as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [pointer, number, number, number])
        prefetch = builder.module.declare_intrinsic("llvm.prefetch", [pointer], kind)
        builder.call(prefetch, [builder.inttoptr(args[0], pointer), number(0), number(3), number(1)])
        return context.get_dummy_value()

    return types.void(address), generate


_line: Any = intrinsic(_fetching)


@compiled
def fetch(matrix: Array, row: int) -> None:
    """Ask for all lines of a row, without waiting for them."""
    start = matrix.ctypes.data + row * matrix.strides[0]
    for address in range(start - start % LINE, start + matrix.strides[0], LINE):
        _line(address)


@compiled
def unit(vectors: Array) -> Array:
    """Rows divided by their Euclidean length, as a copy; zero rows stay zero. (n, d) float32."""
    made = np.empty_like(vectors)
    for row in range(len(vectors)):
        length = np.sqrt(_product(vectors[row], vectors[row]))
        if length == 0:
            length = np.float32(1)
        for column in range(vectors.shape[1]):
            made[row, column] = vectors[row, column] / length
    return made


@compiled
def _product(vector: Array, query: Array) -> np.float32:
    total = np.float32(0)
    for column in range(len(query)):
        total += np.float32(vector[column]) * query[column]
    return total


@compiled
def _distance(vector: Array, query: Array, scale: Array) -> np.float32:
    """The squared distance of `query` and of `vector` times `scale`."""
    total = np.float32(0)
    for column in range(len(query)):
        apart = query[column] - np.float32(vector[column]) * scale[column]
        total += apart * apart
    return total


@compiled
def best(
    vectors: Array, queries: Array, offsets: Array, scale: Array, euclidean: bool, candidates: Array, k: int
) -> tuple[Array, Array]:
    """The k best of each query's candidates, best first, ties by smaller row.

    `vectors` (n, d) float32 or int8, `queries` (q, d) float32, `offsets` (q,) added to a product, `scale` (d,) float32 of a
    vector's numbers where the distance counts, `candidates` (q, c) rows, -1 for none. Gives rows (q, k), -1 for none, and
    scores (q, k), larger is nearer.
    """
    rows = np.full((len(queries), k), -1, dtype=np.int64)
    scores = np.full((len(queries), k), -np.inf, dtype=np.float32)
    for number in range(len(queries)):
        query, held, some = queries[number], 0, candidates[number]
        for at in range(len(some)):
            candidate = some[at]
            later = some[at + _AHEAD] if at + _AHEAD < len(some) else -1
            if later >= 0 and later != candidate + _AHEAD:  # a processor sees by itself that all are read in order
                fetch(vectors, later)
            if candidate < 0:
                continue
            if euclidean:
                score = -np.sqrt(_distance(vectors[candidate], query, scale))
            else:
                score = _product(vectors[candidate], query) + offsets[number]
            place = held
            while place > 0 and (
                score > scores[number, place - 1] or (score == scores[number, place - 1] and candidate < rows[number, place - 1])
            ):
                place -= 1
            if place >= k:
                continue
            held = min(held + 1, k)
            for lower in range(held - 1, place, -1):
                rows[number, lower], scores[number, lower] = rows[number, lower - 1], scores[number, lower - 1]
            rows[number, place], scores[number, place] = candidate, score
    return rows, scores
