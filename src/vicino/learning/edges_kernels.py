"""The compiled half of LINE: one node after another, drawn by the weight of what leads to it, with a few of the nodes that do.

The inputs are the nodes that lead to it, drawn by weight; they meet the same targets: the node itself, and nodes drawn against
it. So each pair is drawn as often as its edge weighs, as in edge sampling, and negatives are drawn once for a few edges.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from vicino.learning.draw_kernels import GOLDEN, Array, Bits, Paths, aim, below, compiled, mixed
from vicino.learning.skipgram_kernels import JUDGED, Weights
from vicino.learning.walks_kernels import Links, neighbour
from vicino.learning.window_kernels import cross_entropy, fetch, grade, multiply, teach_rows, teach_targets

__all__ = ["Settings", "learn"]

_32 = np.uint64(32)
_LOW = np.uint64(0xFFFFFFFF)


class Settings(NamedTuple):
    """How many edges share their `negative` drawn nodes."""

    group: int
    negative: int


@compiled
def learn(
    links: Links,
    nodes: Array,
    weights: Weights,
    noise: Array,
    paths: Paths,
    settings: Settings,
    windows: int,
    rates: tuple[float, float],
    seed: int,
) -> tuple[float, int]:
    """Learn from `windows` groups of edges, the rate falling from `rates[0]` to `rates[1]`; `weights` change in place.

    `links` lead from each node to those that have an edge to it; `nodes` and `noise` are the cells by which to draw a node, and
    what is drawn against it. Returns the summed loss, in nats, of the pairs that were judged, and their number.
    """
    inputs, outputs = weights
    n, m = settings.group, 3 + settings.negative
    rows, targets, labels = np.empty(n, np.uint32), np.empty(m, np.uint32), np.empty(m, np.float32)
    X, O = np.zeros((n, inputs.shape[1]), np.float32), np.zeros((m, inputs.shape[1]), np.float32)  # noqa: E741
    G = np.zeros(n * m, np.float32)
    state: Bits = mixed(np.uint64(seed))
    judged, loss = 0, 0.0
    for window in range(windows):
        rate = np.float32(rates[0] + (rates[1] - rates[0]) * (window / windows))
        state += GOLDEN
        bits = mixed(state)
        node: Any = below(bits, np.uint64(nodes.size))
        cell = nodes[node]
        node = np.int64(cell >> _32 if (bits & _LOW) >= (cell & _LOW) else node)
        if links.offsets[node] == links.offsets[node + 1]:
            continue  # weighs nothing, and is drawn by rounding only
        for i in range(n):
            state += GOLDEN
            rows[i] = links.neighbours[neighbour(links, node, mixed(state))]
        m, state = aim(node, noise, paths, settings.negative, targets, labels, state)
        stride = m + (3 - m % 3) % 3
        fetch(inputs, rows, n, X)
        fetch(outputs, targets, m, O)
        multiply(X, n, O, G, stride)
        if window % JUDGED == 0:
            loss += cross_entropy(G, labels, n, m, stride)
            judged += n
        grade(G, labels, n, m, stride, rate)
        teach_targets(outputs, targets, m, X, n, G, stride)
        teach_rows(inputs, rows, n, O, G, stride)
    return loss, judged
