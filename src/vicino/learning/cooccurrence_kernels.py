"""The compiled half of counting: all neighbours of one word at a time, in one dense row of sums.

The text is indexed by its words first. A row of sums then stays in the cache while all occurrences of its word are visited,
nothing is hashed or sorted, and rows come out complete and in order. Rows of several runs are added up in the same way.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

__all__ = ["add_rows", "count_rows", "drained", "indexed", "laid"]

_SHIFT = 5  # a mark stands for 32 columns

Array = NDArray[Any]

compiled = njit(cache=True, nogil=True, error_model="numpy")


@compiled
def laid(ids: Array, offsets: Array, begin: int, end: int, margin: int) -> tuple[Array, int, int]:
    """The tokens from `begin` to `end` with -1 before, between and after sentences, and up to `margin` tokens more at each side.

    Returns them as int32, and the places in there that `begin` and `end` have.
    """
    first, last = max(begin - margin, 0), min(end + margin, ids.size)
    sentence = np.searchsorted(offsets, first, side="right")  # the next one's number
    after = np.searchsorted(offsets, last, side="right")
    text = np.empty(last - first + int(after - sentence) + 2, np.int32)
    text[0] = -1
    size, start, stop = 1, 1, 1
    for at in range(first, last):
        if sentence < offsets.size and offsets[sentence] == at:
            while sentence < offsets.size and offsets[sentence] == at:
                sentence += 1
            text[size] = -1
            size += 1
        if at == begin:
            start = size
        text[size] = ids[at]
        size += 1
        if at == end - 1:
            stop = size
    text[size] = -1
    return text[: size + 1], start, stop


@compiled
def indexed(text: Array, start: int, stop: int, n: int) -> tuple[Array, Array]:
    """Where each word stands in text[start:stop]: word w at `places[starts[w]:starts[w + 1]]`, int32, ascending."""
    starts = np.zeros(n + 2, np.int64)
    for at in range(start, stop):
        starts[text[at] + 2] += 1  # -1 is counted before all words
    starts[1] = 0
    for word in range(n):
        starts[word + 2] += starts[word + 1]
    places = np.empty(starts[n + 1], np.int32)
    for at in range(start, stop):
        word = text[at]
        if word >= 0:
            places[starts[word + 1]] = at
            starts[word + 1] += 1
    return places, starts[: n + 1]


@compiled
def drained(sums: Array, marks: Array, columns: Array, values: Array, size: int, unit: float) -> int:
    """Move the sums of marked columns, over `unit`, to the end of `columns` and `values`; returns the new end."""
    for mark in range(marks.size):
        if marks[mark]:
            marks[mark] = 0
            for column in range(mark << _SHIFT, min((mark + 1) << _SHIFT, sums.size)):
                if sums[column] > 0:
                    columns[size] = column
                    values[size] = sums[column] / unit
                    sums[column] = 0
                    size += 1
    return size


@compiled
def count_rows(
    text: Array,
    index: tuple[Array, Array],
    span: tuple[int, int],
    weights: Array,
    both: bool,
    unit: float,
    out: tuple[Array, Array],
) -> Array:
    """The neighbours of the words of a span: `weights[d]` for one d + 1 words away, before it or on `both` sides.

    `text` as of `laid`, its `index` as of `indexed`. Fills `out`, columns and values; returns the length of each row.
    """
    places, starts = index
    n = starts.size - 1
    sums, marks = np.zeros(n), np.zeros((n >> _SHIFT) + 1, np.uint8)
    lengths = np.empty(span[1] - span[0], np.int64)
    size = 0
    for word in range(span[0], span[1]):
        before = size
        for place in places[starts[word] : starts[word + 1]]:
            for d in range(weights.size):
                other = text[place - d - 1]
                if other < 0:
                    break
                sums[other] += weights[d]
                marks[other >> _SHIFT] = 1
            if both:
                for d in range(weights.size):
                    other = text[place + d + 1]
                    if other < 0:
                        break
                    sums[other] += weights[d]
                    marks[other >> _SHIFT] = 1
        size = drained(sums, marks, out[0], out[1], size, unit)
        lengths[word - span[0]] = size - before
    return lengths


@compiled
def add_rows(runs: Array, columns: Array, values: Array, span: tuple[int, int], unit: float, out: tuple[Array, Array]) -> Array:
    """The rows of a span, each the sum of that row in all runs: row w of run r is at `runs[r, w]` to `runs[r, w + 1]`."""
    n = runs.shape[1] - 1
    sums, marks = np.zeros(n), np.zeros((n >> _SHIFT) + 1, np.uint8)
    lengths = np.empty(span[1] - span[0], np.int64)
    size = 0
    for word in range(span[0], span[1]):
        before = size
        for run in range(runs.shape[0]):
            for at in range(runs[run, word], runs[run, word + 1]):
                sums[columns[at]] += values[at]
                marks[columns[at] >> _SHIFT] = 1
        size = drained(sums, marks, out[0], out[1], size, unit)
        lengths[word - span[0]] = size - before
    return lengths
