"""The compiled half of `near_duplicates`: MinHash keys of texts, and the pairs of texts with equal keys that are alike."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

__all__ = ["alike", "band_keys"]

Array = NDArray[Any]

_33 = np.uint64(33)
_FIRST, _SECOND = np.uint64(0xFF51AFD7ED558CCD), np.uint64(0xC4CEB9FE1A85EC53)


@njit(cache=True, nogil=True, inline="always")
def _mixed(number: Any) -> Any:
    """A hash of a number (the finaliser of MurmurHash3)."""
    number = (number ^ (number >> _33)) * _FIRST
    number = (number ^ (number >> _33)) * _SECOND
    return number ^ (number >> _33)


@njit(cache=True, nogil=True)
def band_keys(words: Array, starts: Array, texts: Array, factors: Array, shifts: Array) -> Array:
    """(t,) uint64: for each of the `texts` a hash of the least hashes of its words, one least hash for each factor and shift."""
    keys = np.zeros(texts.size, np.uint64)
    for place in range(texts.size):
        own = words[starts[texts[place]] : starts[texts[place] + 1]]
        key = np.uint64(0)
        for row in range(factors.size):
            least = np.uint64(0xFFFFFFFFFFFFFFFF)
            for word in own:
                least = min(least, _mixed(np.uint64(word) * factors[row] + shifts[row]))
            key = _mixed(key ^ least)
        keys[place] = key
    return keys


@njit(cache=True, nogil=True)
def alike(words: Array, starts: Array, runs: Array, texts: Array, border: int, crowd: int, threshold: float) -> Array:
    """(m, 2) rows of texts within a run whose words overlap by `threshold`, the lower row first.

    `runs` are where the runs of `texts` begin and, at last, end; texts of a run are in order. Of a run of more than `crowd`,
    neighbours are compared, and each with the first. With a `border`, only texts below it with others.
    """
    found = np.empty((1024, 2), np.int64)
    n = 0
    for run in range(runs.size - 1):
        first, end = runs[run], runs[run + 1]
        for right in range(first + 1, end):
            b = texts[right]
            step = max(right - 1 - first, 1) if end - first > crowd else 1  # the first and the neighbour, or all
            for left in range(first, right, step):
                a = texts[left]
                if (border and not a < border <= b) or not _overlap(words, starts, a, b, threshold):
                    continue
                if n == len(found):
                    larger = np.empty((2 * n, 2), np.int64)
                    larger[:n] = found
                    found = larger
                found[n, 0], found[n, 1] = a, b
                n += 1
    return found[:n]


@njit(cache=True, nogil=True)
def _overlap(words: Array, starts: Array, a: int, b: int, threshold: float) -> bool:
    """Whether shared words by all words of two texts, Jaccard's likeness, is `threshold` or more."""
    i, j = starts[a], starts[b]
    m, n = starts[a + 1] - i, starts[b + 1] - j
    if min(m, n) < threshold * max(m, n):
        return False
    shared = 0
    while i < starts[a + 1] and j < starts[b + 1]:
        if words[i] == words[j]:
            shared, i, j = shared + 1, i + 1, j + 1
        elif words[i] < words[j]:
            i += 1
        else:
            j += 1
    return bool(shared / (m + n - shared) >= threshold)
