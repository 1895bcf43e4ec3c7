"""Chance, compiled: random bits, draws by weight, and the Huffman tree of hierarchical softmax.

Random numbers are SplitMix64 (Steele, Lea and Flood 2014): 64 bits a draw, all bits good, and no draw waits for another.
Words are drawn by the alias method (Walker 1977; Vose 1991), a cell a word: 32 bits of alias above 32 bits of threshold.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

__all__ = [
    "GOLDEN",
    "Paths",
    "aim",
    "alias_table",
    "below",
    "compiled",
    "draw",
    "huffman",
    "inlined",
    "mixed",
    "no_paths",
    "oppose",
]

GOLDEN = np.uint64(0x9E3779B97F4A7C15)  # SplitMix64's step

_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_30, _27, _31, _32 = (np.uint64(shift) for shift in (30, 27, 31, 32))
_LOW = np.uint64(0xFFFFFFFF)
_ZERO, _ONE = np.float32(0), np.float32(1)

Array = NDArray[Any]
Bits = Any  # uint64; kernels know it, and no type checker does

_LOOSE = True
compiled = njit(cache=True, nogil=True, fastmath=_LOOSE, error_model="numpy")
inlined = njit(cache=True, nogil=True, fastmath=_LOOSE, error_model="numpy", inline="always")


class Paths(NamedTuple):
    """Word w's way through the Huffman tree: `targets[starts[w]:starts[w + 1]]`, each with the label it should be given.

    All are empty without hierarchical softmax.
    """

    starts: NDArray[np.int64]
    targets: NDArray[np.uint32]
    labels: NDArray[np.float32]


@inlined
def mixed(state: Bits) -> Bits:
    """The random 64 bits of a state; the next state is `state + GOLDEN`."""
    z = (state ^ (state >> _30)) * _FIRST
    z = (z ^ (z >> _27)) * _SECOND
    return z ^ (z >> _31)


@inlined
def below(bits: Bits, n: Bits) -> Bits:
    """A whole number under n < 2^32, from the upper half of 64 random bits."""
    return ((bits >> _32) * n) >> _32


@inlined
def draw(noise: Array, drawn: Array, state: Bits) -> Bits:
    """Fill `drawn` with words, by the cells of their alias table; returns the next random state."""
    for i in range(drawn.size):
        state += GOLDEN
        bits = mixed(state)
        word = below(bits, np.uint64(noise.size))
        cell = noise[word]
        if (bits & _LOW) >= (cell & _LOW):
            word = cell >> _32
        drawn[i] = word
    return state


@inlined
def oppose(centre: int, drawn: Array, paths: Paths, targets: Array, labels: Array) -> int:
    """Fill in the targets of a window, the words drawn against its centre among them, and their labels; returns how many."""
    m = 0
    if drawn.size:
        targets[0], labels[0] = centre, _ONE
        m = 1
    for i in range(drawn.size):
        if drawn[i] != centre:
            targets[m], labels[m] = drawn[i], _ZERO
            m += 1
    if paths.starts.size:
        for at in range(paths.starts[centre], paths.starts[centre + 1]):
            targets[m], labels[m] = paths.targets[at], paths.labels[at]
            m += 1
    return m


@inlined
def aim(centre: int, noise: Array, paths: Paths, negative: int, targets: Array, labels: Array, state: Bits) -> tuple[int, Bits]:
    """`draw`, and `oppose` what was drawn to the centre; returns how many targets there are, and the next random state."""
    drawn = targets[1 : negative + 1]  # where they are read from before their place is written to
    state = draw(noise, drawn, state)
    return oppose(centre, drawn, paths, targets, labels), state


@compiled
def alias_table(weights: Array) -> Array:
    """The cells by which to draw i with probability `weights[i]` / sum; (n,) float64 -> (n,) uint64."""
    n = weights.size
    scaled = weights * (n / weights.sum())
    cells = np.empty(n, np.uint64)
    order = np.empty(n, np.int64)  # the small ones from the left, the large ones from the right
    small, large = 0, n
    for i in range(n):
        if scaled[i] < 1:
            order[small] = i
            small += 1
        else:
            large -= 1
            order[large] = i
    while small > 0 and large < n:
        small -= 1
        little, big = order[small], order[large]
        cells[little] = (np.uint64(big) << _32) | np.uint64(scaled[little] * 4294967295.0)
        scaled[big] -= 1 - scaled[little]
        if scaled[big] < 1:
            large += 1
            order[small] = big
            small += 1
    for at in range(small):  # 1 but for rounding
        cells[order[at]] = (np.uint64(order[at]) << _32) | _LOW
    for at in range(large, n):
        cells[order[at]] = (np.uint64(order[at]) << _32) | _LOW
    return cells


@compiled
def huffman(counts: Array) -> Paths:
    """Every word's path in the Huffman tree of (n,) int64 `counts`; inner nodes are the targets n to 2n - 2, the root last."""
    n = counts.size
    order = np.argsort(counts, kind="mergesort")
    weight = np.empty(2 * n - 1, np.int64)
    weight[:n] = counts[order]
    parent = np.zeros(2 * n - 1, np.int64)
    second = np.zeros(2 * n - 1, np.float32)
    leaf, inner = 0, n
    for node in range(n, 2 * n - 1):
        for child in range(2):
            if leaf < n and (inner >= node or weight[leaf] <= weight[inner]):
                chosen = leaf
                leaf += 1
            else:
                chosen = inner
                inner += 1
            weight[node] = weight[chosen] if child == 0 else weight[node] + weight[chosen]
            parent[chosen] = node
            second[chosen] = child
    starts = np.zeros(n + 1, np.int64)
    for leaf in range(n):
        node = leaf
        while node != 2 * n - 2:
            starts[order[leaf] + 1] += 1
            node = parent[node]
    starts = np.cumsum(starts)
    targets = np.empty(starts[-1], np.uint32)
    labels = np.empty(starts[-1], np.float32)
    for leaf in range(n):
        at, node = starts[order[leaf]], leaf
        while node != 2 * n - 2:
            targets[at], labels[at] = parent[node], 1 - second[node]
            at += 1
            node = parent[node]
    return Paths(starts, targets, labels)


def no_paths() -> Paths:
    """The empty paths that say: no hierarchical softmax."""
    return Paths(np.empty(0, np.int64), np.empty(0, np.uint32), np.empty(0, np.float32))
