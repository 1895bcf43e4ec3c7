"""The compiled half of walking a layered graph: from the entry down to the lowest layer, and there from the best to its links.

Codes lie anywhere in memory, so that waiting for them is most of the work: those of a node's links are asked for before the first
is scored. What is called here takes all links of a node at once: to hand arrays on costs as much as to score five of them.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vicino.indexes.kept_kernels import LINE, compiled, fetch

__all__ = ["Layers", "walk"]

Array = NDArray[Any]

_SEEN = 1 << 11  # places at first for the rows that a walk has seen
_AHEAD = 16  # lines of memory that are on their way while codes are scored


class Layers(NamedTuple):
    """A layered graph of n rows, all int32; where a node has fewer links than there are places, -1 is in the last.

    Above the lowest layer a row has a place in each layer that it is in, the entry the first, and no layer before a higher one.
    """

    links: Array  # (n, degree) rows, in the lowest layer
    rows: Array  # (p,) of the places
    across: Array  # (p, degree) places, in the same layer
    down: Array  # (p,) the place of the same row one layer below, -1 where that is the lowest


@compiled
def _score(codes: Array, rows: Array, count: int, query: Array, scale: Array, euclidean: bool, near: Array) -> None:
    """How near the first `count` rows are: the product, or the squared distance, negative."""
    ahead = min(count, max(2, _AHEAD * LINE // codes.strides[0]))
    for at in range(-ahead, count):
        if at + ahead < count:
            fetch(codes, rows[at + ahead])
        if at < 0:
            continue
        row, total = rows[at], np.float32(0)
        if euclidean:
            for column in range(codes.shape[1]):
                apart = query[column] - np.float32(codes[row, column]) * scale[column]
                total -= apart * apart
        else:
            for column in range(codes.shape[1]):
                total += np.float32(codes[row, column]) * query[column]
        near[at] = total


@compiled
def _descend(
    codes: Array, graph: Layers, query: Array, scale: Array, euclidean: bool, some: Array, near: Array
) -> tuple[int, float]:
    """The row of the lowest layer where a walk begins, the nearest of its layer as far as links tell, and how near it is."""
    place = 0
    some[0] = graph.rows[0]
    _score(codes, some, 1, query, scale, euclidean, near)
    nearest = near[0]
    while True:
        count = 0
        while count < graph.across.shape[1] and graph.across[place, count] >= 0:
            some[count] = graph.rows[graph.across[place, count]]
            count += 1
        _score(codes, some, count, query, scale, euclidean, near)
        better = -1
        for each in range(count):
            if near[each] > nearest:
                nearest, better = near[each], graph.across[place, each]
        if better < 0:
            better = graph.down[place]
        if better < 0:
            return graph.rows[place], nearest
        place = better


@compiled
def _put(seen: Array, row: int) -> bool:
    """Put a row in a table, -1 where there is none; whether it was not there."""
    last = len(seen) - 1
    at = (row * 0x9E3779B1 >> 8) & last
    while seen[at] >= 0 and seen[at] != row:
        at = (at + 1) & last
    new = bool(seen[at] < 0)
    seen[at] = row
    return new


@compiled
def _unseen(links: Array, here: int, seen: Array, some: Array) -> int:
    """Put the rows that a node links to in the table of those that were seen; how many were not, which `some` begins with."""
    count = 0
    for column in range(links.shape[1]):
        row = links[here, column]
        if row < 0:
            break
        if _put(seen, row):
            some[count] = row
            count += 1
    return count


@compiled
def _wider(seen: Array) -> Array:
    """The same rows in a table of twice the places."""
    wide = np.full(2 * len(seen), -1, dtype=np.int32)
    for row in seen:
        if row >= 0:
            _put(wide, row)
    return wide


@compiled
def _merge(rows: Array, scores: Array, held: int, some: Array, near: Array, count: int) -> tuple[int, int]:
    """Put new rows among the `held` best; how many those are then, and the highest place that a new one took."""
    ef, new = len(rows), 0
    for each in range(count):
        row, score = some[each], near[each]
        if held == ef and score <= scores[ef - 1]:
            continue
        place = new
        while place > 0 and near[place - 1] < score:
            some[place], near[place] = some[place - 1], near[place - 1]
            place -= 1
        some[place], near[place] = row, score
        new += 1
    old, total = held - 1, min(held + new, ef)
    place = held + new - 1
    while new > 0:
        if old >= 0 and scores[old] < near[new - 1]:
            if place < ef:
                rows[place], scores[place] = rows[old], scores[old]
            old -= 1
        else:
            new -= 1
            if place < ef:
                rows[place], scores[place] = some[new], near[new]
        place -= 1
    return total, place + 1


@compiled
def walk(codes: Array, scale: Array, euclidean: bool, graph: Layers, queries: Array, ef: int, k: int) -> Array:
    """The k best of the `ef` best rows that a walk for each query finds, best first, -1 where there are fewer: (q, k) int32.

    `codes` (n, d) int8, `scale` (d,) and `queries` (q, d) float32 are as in `best`; k is at most `ef`.
    """
    found = np.full((len(queries), k), -1, dtype=np.int32)
    rows, scores = np.empty(ef, dtype=np.int32), np.empty(ef, dtype=np.float32)
    degree = max(graph.links.shape[1], graph.across.shape[1])
    some, near = np.empty(degree, dtype=np.int32), np.empty(degree, dtype=np.float32)
    seen = np.empty(_SEEN, dtype=np.int32)
    for number in range(len(queries)):
        query = queries[number]
        some[0], near[0] = _descend(codes, graph, query, scale, euclidean, some, near)
        seen[:] = -1
        _put(seen, some[0])
        held, _ = _merge(rows, scores, 0, some, near, 1)
        at, count = 0, 1
        while at < held:
            here = rows[at]
            if here < 0:  # ~row: its links were looked at
                at += 1
                continue
            rows[at] = ~here
            while 2 * (count + degree) > len(seen):
                seen = _wider(seen)
            then = rows[min(at + 1, held - 1)]
            fetch(graph.links, max(then, 0))  # unless one of these is nearer
            new = _unseen(graph.links, here, seen, some)
            _score(codes, some, new, query, scale, euclidean, near)
            held, highest = _merge(rows, scores, held, some, near, new)
            count, at = count + new, min(at + 1, highest)
        for place in range(min(k, held)):
            found[number, place] = ~rows[place]
    return found
