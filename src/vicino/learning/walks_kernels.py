"""The compiled half of random walks: one step after another, by a stream of random numbers that each walk has to itself.

A step is drawn by weight: without weights any neighbour will do, with them by the alias method, a cell an edge. What node2vec
wants beside that, to weigh a neighbour by where the walk came from, is done by rejection (Yang et al. 2019, "KnightKing: a fast
distributed graph random walk engine"): a neighbour is drawn, and kept by chance. So nothing is tabled a pair of edges, which
would not fit into memory, and a step costs a few draws, whatever the degrees.

Say M is the larger of 1 and 1/q. A neighbour x of the node u, reached from v, is kept with probability 1/q / M, or 1 / M where
v has an edge to x. To go back weighs 1/p: as far as that is above M it is drawn beside the neighbours, by its share of them all,
so that a small p does not make every other draw fail.

With a large p and q nearly all draws fail where v has no edge to any x, as in a tree. So after as many of them as u or v has
neighbours, whichever has fewer, and no fewer than 16, the neighbours are weighed, and one of them is drawn for good.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vicino.learning.draw_kernels import GOLDEN, Array, Bits, alias_table, below, compiled, inlined, mixed

__all__ = [
    *("Bias", "Links", "apart", "biased", "close_gaps", "neighbour", "place", "share", "walk", "weighed", "weighing", "weight"),
]

TRIES = 16  # draws that may be refused, at least, before neighbours are weighed
TOGETHER = 64  # walks that take their steps in turn: none waits for the memory that another one asked for

_11, _32 = np.uint64(11), np.uint64(32)
_LOW = np.uint64(0xFFFFFFFF)
_UNIT = 2.0**-53


class Links(NamedTuple):
    """Node i leads to `neighbours[offsets[i]:offsets[i + 1]]`, sorted, by their `shares` (of 1) and the alias `cells` of these.

    Both are empty where all links weigh the same.
    """

    offsets: NDArray[np.int64]
    neighbours: NDArray[np.int32]
    shares: NDArray[np.float32]
    cells: NDArray[np.uint64]


class Bias(NamedTuple):
    """node2vec's weights by where a walk came from: 1/p to go back, 1/q to go to what the last node has no link to."""

    back: float
    away: float


@compiled
def weighed(offsets: Array, weights: Array) -> tuple[Array, Array]:
    """Shares and cells of all links: (links,) float32 -> (links,) float32 and uint64; an alias counts from its node's first."""
    shares, cells = np.empty(weights.size, np.float32), np.empty(weights.size, np.uint64)
    for node in range(offsets.size - 1):
        begin, end = offsets[node], offsets[node + 1]
        if end > begin:
            own = weights[begin:end].astype(np.float64)
            shares[begin:end] = own / own.sum()
            cells[begin:end] = alias_table(own)
    return shares, cells


@inlined
def neighbour(links: Links, node: int, bits: Bits) -> Any:
    """The place in `neighbours` of one drawn by weight, from 64 random bits; the node must have one."""
    begin = links.offsets[node]
    drawn = below(bits, np.uint64(links.offsets[node + 1] - begin))
    if links.cells.size:
        cell = links.cells[begin + np.int64(drawn)]
        if (bits & _LOW) >= (cell & _LOW):
            drawn = cell >> _32
    return begin + np.int64(drawn)


@inlined
def place(links: Links, node: int, sought: int) -> int:
    """Where `sought` stands among the neighbours of a node; -1 where it does not."""
    low, high = links.offsets[node], links.offsets[node + 1]
    end = high
    while low < high:
        middle = (low + high) >> 1
        if links.neighbours[middle] < sought:
            low = middle + 1
        else:
            high = middle
    return low if low < end and links.neighbours[low] == sought else -1


@compiled
def biased(links: Links, last: int, node: int, bias: Bias, most: float, extra: float, state: Bits) -> tuple[int, Bits]:
    """The node after `node`, that was reached from `last`; and the next random state."""
    degree = links.offsets[node + 1] - links.offsets[node]
    if degree == 1:
        return links.neighbours[links.offsets[node]], state
    beside = 0.0  # how much the way back is drawn beside the neighbours, where all of these are drawn as much as `most`
    if extra > 0:
        beside = extra * share(links, node, last)
    least = min(1.0, bias.away)
    for _ in range(max(TRIES, min(degree, links.offsets[last + 1] - links.offsets[last]))):
        state += GOLDEN
        height = np.float64(mixed(state) >> _11) * _UNIT * (most + beside)
        if height >= most:
            return last, state
        state += GOLDEN
        drawn = links.neighbours[neighbour(links, node, mixed(state))]
        if drawn == last:
            if height < bias.back:
                return drawn, state
        elif height < least or height < (1.0 if place(links, last, drawn) >= 0 else bias.away):
            return drawn, state
    if links.offsets[last + 1] - links.offsets[last] < degree:
        drawn, state = apart(links, last, node, bias, state)
        if drawn >= 0:
            return drawn, state
    return weighing(links, last, node, bias, state)


@compiled
def apart(links: Links, last: int, node: int, bias: Bias, state: Bits) -> tuple[int, Bits]:
    """As `weighing`, at the cost of the row of `last`: the neighbours that are not in there weigh alike, and are drawn together.

    -1 where they are so few that one of them is not soon drawn.
    """
    begin, end = links.offsets[last], links.offsets[last + 1]
    both = share(links, node, last)
    known = both * bias.back
    for at in range(begin, end):
        if links.neighbours[at] != last:
            own = share(links, node, links.neighbours[at])
            both, known = both + own, known + own
    if both > 0.5:
        return -1, state
    state += GOLDEN
    height = np.float64(mixed(state) >> _11) * _UNIT * (known + (1 - both) * bias.away)
    while height >= known:
        state += GOLDEN
        drawn = links.neighbours[neighbour(links, node, mixed(state))]
        if drawn != last and place(links, last, drawn) < 0:
            return drawn, state
    height -= share(links, node, last) * bias.back
    if height < 0:
        return last, state
    for at in range(begin, end):
        if links.neighbours[at] != last:
            height -= share(links, node, links.neighbours[at])
            if height < 0:
                return links.neighbours[at], state
    return -1, state  # by rounding


@compiled
def weighing(links: Links, last: int, node: int, bias: Bias, state: Bits) -> tuple[int, Bits]:
    """As `biased`, but what is drawn is a height among what all neighbours weigh, one on top of the other."""
    begin, end = links.offsets[node], links.offsets[node + 1]
    even = 1.0 / (end - begin)
    total = 0.0
    for at in range(begin, end):
        total += weight(links, last, at, bias, even)
    state += GOLDEN
    height = np.float64(mixed(state) >> _11) * _UNIT * total
    for at in range(begin, end - 1):
        height -= weight(links, last, at, bias, even)
        if height < 0:
            return links.neighbours[at], state
    return links.neighbours[end - 1], state


@inlined
def share(links: Links, node: int, other: int) -> float:
    """The part of all draws at a node that another one has by its weight alone; 0 where it is no neighbour."""
    at = place(links, node, other)
    if at < 0:
        own = 0.0
    elif links.shares.size:
        own = np.float64(links.shares[at])
    else:
        own = 1.0 / (links.offsets[node + 1] - links.offsets[node])
    return own


@inlined
def weight(links: Links, last: int, at: int, bias: Bias, even: float) -> float:
    """The share of the link at a place (`even` where all weigh the same), times its factor for a walk that came from `last`."""
    drawn = links.neighbours[at]
    own = np.float64(links.shares[at]) if links.shares.size else even
    return own * (bias.back if drawn == last else 1.0 if place(links, last, drawn) >= 0 else bias.away)


@compiled
def walk(links: Links, starts: Array, first: int, bias: Bias, seed: int, ids: Array, lengths: Array) -> None:
    """Walk from each of `starts`, the number of the first walk being `first`; walk w fills `ids[w]`, (walks, length).

    A walk ends early where no link leads on. `lengths` (walks,) are told.
    """
    base: Bits = mixed(np.uint64(seed))
    most = max(1.0, bias.away)
    extra = max(bias.back - most, 0.0)
    is_plain = bias.back == 1.0 and bias.away == 1.0
    states = np.empty(TOGETHER, np.uint64)
    for begin in range(0, starts.size, TOGETHER):
        end = min(begin + TOGETHER, starts.size)
        for w in range(begin, end):
            states[w - begin] = mixed(base + np.uint64(first + w) * GOLDEN)
            ids[w, 0] = starts[w]
            lengths[w] = 1
        for length in range(1, ids.shape[1]):
            for w in range(begin, end):
                node = ids[w, length - 1]
                if lengths[w] < length or links.offsets[node + 1] == links.offsets[node]:
                    continue
                state: Bits = states[w - begin]
                if is_plain or length == 1:
                    state += GOLDEN
                    ids[w, length] = links.neighbours[neighbour(links, node, mixed(state))]
                else:
                    ids[w, length], state = biased(links, ids[w, length - 2], node, bias, most, extra, state)
                states[w - begin] = state
                lengths[w] = length + 1


@compiled
def close_gaps(ids: Array, lengths: Array) -> int:
    """Move walks together that fill only the first `lengths[w]` of each row, in place; returns how many numbers there are."""
    flat = ids.reshape(-1)
    at = 0
    for w in range(lengths.size):
        begin = w * ids.shape[1]
        for k in range(lengths[w]):
            flat[at] = flat[begin + k]
            at += 1
    return at
