"""The compiled half of GloVe: one nonzero after another, each a step of AdaGrad on two vectors and two biases."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from vicino.learning.tiles_kernels import Cells

__all__ = ["Side", "Weighing", "learn", "shuffled"]

_GOLDEN, _FIRST, _SECOND = (np.uint64(x) for x in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))
_30, _27, _31, _32 = (np.uint64(shift) for shift in (30, 27, 31, 32))
_ZERO = np.float32(0)

Array = NDArray[Any]

_LOOSE = {"reassoc", "contract", "arcp", "nsz"}  # sums in any order, but what is not finite is meant
compiled = njit(cache=True, nogil=True, fastmath=_LOOSE, error_model="numpy")


class Side(NamedTuple):
    """The words, or the contexts: `vectors` (n, width) and `biases` (n,), and beside each one plus its squared steps so far."""

    vectors: NDArray[np.float32]
    biases: NDArray[np.float32]
    vector_squares: NDArray[np.float32]
    bias_squares: NDArray[np.float32]


class Weighing(NamedTuple):
    """What the kernel must know of the parameters; see `vicino.learning.glove.Recipe`."""

    x_max: float
    alpha: float
    rate: float


@compiled
def shuffled(n: int, seed: int) -> Array:
    """The numbers 0 to n - 1 in random order (Fisher and Yates), by SplitMix64 (Steele, Lea and Flood 2014)."""
    order = np.arange(n).astype(np.uint32)
    state = np.uint64(seed)
    for at in range(n - 1, 0, -1):
        state += _GOLDEN
        z = (state ^ (state >> _30)) * _FIRST
        z = (z ^ (z >> _27)) * _SECOND
        z = z ^ (z >> _31)
        other = ((z >> _32) * np.uint64(at + 1)) >> _32
        order[at], order[other] = order[other], order[at]
    return order


@compiled
def learn(cells: Cells, tiles: Array, seeds: Array, words: Side, contexts: Side, weighing: Weighing) -> Array:
    """Learn from the tiles (m, 2), one after another; returns the summed cost of each, every nonzero's before its step."""
    W, b, GW, gb = words
    C, c, GC, gc = contexts
    k = cells.firsts.size - 1
    rate = np.float32(weighing.rate)
    costs = np.zeros(tiles.shape[0])
    for tile in range(tiles.shape[0]):
        top, left = tiles[tile]
        begin, end = cells.starts[top * k + left], cells.starts[top * k + left + 1]
        for at in shuffled(end - begin, seeds[tile]):
            i = np.uint64(cells.firsts[top] + cells.rows[begin + at])  # numba tests signed indices for being negative
            j = np.uint64(cells.firsts[left] + cells.columns[begin + at])
            x = np.float64(cells.values[begin + at])
            z = _ZERO
            for d in range(W.shape[1]):
                z += W[i, d] * C[j, d]
            off = np.float64(z) + b[i] + c[j] - np.log(x)
            weighed = off * ((x / weighing.x_max) ** weighing.alpha if x < weighing.x_max else 1.0)
            costs[tile] += 0.5 * weighed * off
            g = rate * np.float32(weighed)
            for d in range(W.shape[1]):
                w, v = W[i, d], C[j, d]
                dw, dv = g * v, g * w
                W[i, d] = w - dw / np.sqrt(GW[i, d])
                C[j, d] = v - dv / np.sqrt(GC[j, d])
                GW[i, d] += dw * dw
                GC[j, d] += dv * dv
            b[i] -= g / np.sqrt(gb[i])
            c[j] -= g / np.sqrt(gc[j])
            gb[i] += g * g
            gc[j] += g * g
    return costs
