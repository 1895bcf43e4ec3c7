"""The compiled half of tiles: the nonzeros of one stripe of rows, put in tiles."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

__all__ = ["Cells", "cut_stripe"]

Array = NDArray[Any]

compiled = njit(cache=True, nogil=True, error_model="numpy")


class Cells(NamedTuple):
    """The nonzeros of tile (a, b) are `starts[a · k + b]` to `starts[a · k + b + 1]`, k = `firsts.size - 1` groups of words.

    Group g has the rows `firsts[g]` to `firsts[g + 1]` of vectors; `rows` and `columns` count from the first of them.
    """

    firsts: NDArray[np.int64]
    starts: NDArray[np.int64]
    rows: NDArray[np.uint16]
    columns: NDArray[np.uint16]
    values: NDArray[np.float32]


@compiled
def cut_stripe(starts: Array, columns: Array, values: Array, words: Array, k: int, out: tuple[Array, Array, Array]) -> Array:
    """The nonzeros of the rows `words`, tile by tile: rows and columns inside of the tile, and values, into `out`.

    Column c is in tile c mod k, as its column c div k. Returns how many each tile has.
    """
    sizes = np.zeros(k, np.int64)
    for word in words:
        for at in range(starts[word], starts[word + 1]):
            sizes[columns[at] % k] += 1
    ends = np.cumsum(sizes) - sizes
    for row in range(words.size):
        for at in range(starts[words[row]], starts[words[row] + 1]):
            tile = columns[at] % k
            place = ends[tile]
            out[0][place], out[1][place], out[2][place] = row, columns[at] // k, values[at]
            ends[tile] = place + 1
    return sizes
