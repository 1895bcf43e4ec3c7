"""The compiled half of rescoring: candidates scored against the vectors that are kept, and the best of them in order.

Sums are made in the order that is fastest (fastmath's "reassoc"): the last digit is the machine's, and the same on each run.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

__all__ = ["best"]

Array = NDArray[Any]

_fast = njit(cache=True, nogil=True, fastmath={"reassoc", "contract", "nsz"})  # infinities stay what they are


@_fast
def _product(vector: Array, query: Array) -> np.float32:
    total = np.float32(0)
    for column in range(len(query)):
        total += np.float32(vector[column]) * query[column]
    return total


@_fast
def _distance(vector: Array, query: Array, scale: Array) -> np.float32:
    """The squared distance of `query` and of `vector` times `scale`."""
    total = np.float32(0)
    for column in range(len(query)):
        apart = query[column] - np.float32(vector[column]) * scale[column]
        total += apart * apart
    return total


@_fast
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
        query, held = queries[number], 0
        for candidate in candidates[number]:
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
            for later in range(held - 1, place, -1):
                rows[number, later], scores[number, later] = rows[number, later - 1], scores[number, later - 1]
            rows[number, place], scores[number, place] = candidate, score
    return rows, scores
