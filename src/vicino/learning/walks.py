"""Random walks: a graph as sentences of nodes, that skip-gram learns from.

Perozzi, Al-Rfou and Skiena 2014, "DeepWalk: online learning of social representations"; Grover and Leskovec 2016, "node2vec:
scalable feature learning for networks". Equal input gives equal walks, whatever the number of threads: each walk draws from a
stream of its own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vicino import progress
from vicino.data.scratch import reserve, scratch
from vicino.errors import InputError

if TYPE_CHECKING:
    from vicino.learning.walks_kernels import Links

__all__ = ["Plan", "links", "walked", "walks"]

_BLOCK = 2048  # walks that a thread makes before it looks up
_IN_MEMORY = 1 << 31  # bytes of walks; more go to a file


@dataclass(frozen=True)
class Plan:
    """How to walk: `num_walks` walks from each node, of at most `walk_length` nodes.

    The return parameter `p` makes it p times less likely to step back at once than to go to a neighbour of the last node too;
    the in-out parameter `q` makes it q times less likely to go on to one that is not. With both 1, walks are DeepWalk's.
    Raises InputError where a value cannot be.
    """

    num_walks: int = 10
    walk_length: int = 80
    p: float = 1.0
    q: float = 1.0
    seed: int = 0
    threads: int = 1

    def __post_init__(self) -> None:
        for name, least in (("num_walks", 1), ("walk_length", 2), ("threads", 1), ("seed", 0)):
            value = getattr(self, name)
            if not isinstance(value, int) or value < least:
                raise InputError(f"{name}={value!r} cannot be", mend=f"give a whole number from {least} on")
        for name in ("p", "q"):
            value = getattr(self, name)
            if not (isinstance(value, int | float) and math.isfinite(value) and value > 0 and math.isfinite(1 / value)):
                raise InputError(f"{name}={value!r} cannot be", mend="give a number above 0, such as 0.25, 1 or 4")


def links(offsets: NDArray[np.int64], neighbours: NDArray[np.int32], weights: NDArray[np.float32] | None) -> Links:
    """What kernels draw neighbours from: compressed sparse rows as in `vicino.data.graphs.Graph`, with cells for weights."""
    from vicino.learning import walks_kernels as kernels

    if weights is None:
        return kernels.Links(offsets, neighbours, np.empty(0, np.float32), np.empty(0, np.uint64))
    return kernels.Links(offsets, neighbours, *kernels.weighed(offsets, weights))


def walks(
    offsets: NDArray[np.int64],
    neighbours: NDArray[np.int32],
    weights: NDArray[np.float32] | None,
    plan: Plan,
    *,
    room: NDArray[np.int32] | None = None,
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Walks over a graph in compressed sparse rows, sorted in each row; weights are positive.

    Returns (ids, offsets): walk w is `ids[offsets[w]:offsets[w + 1]]`. Pass after pass over all nodes, each in another order.
    A walk ends where no edge leads on; one from a node without edges is that node alone. `room` is where the walks are written,
    (num_walks · n, walk_length) int32, perhaps in a file.

    >>> ids, offsets = walks(np.array([0, 1, 2, 2]), np.array([1, 0], np.int32), None, Plan(num_walks=1, walk_length=4))
    >>> sorted(ids[a:b].tolist() for a, b in zip(offsets, offsets[1:]))
    [[0, 1, 0, 1], [1, 0, 1, 0], [2]]
    """
    from vicino.learning import walks_kernels as kernels

    n = len(offsets) - 1
    ids = np.empty((n * plan.num_walks, plan.walk_length), np.int32) if room is None else room
    lengths = np.empty(len(ids), np.int32)
    ways = links(offsets, neighbours, weights)
    bias = kernels.Bias(1 / plan.p, 1 / plan.q)

    def block(starts: NDArray[np.int32], first: int) -> int:
        some = slice(first, first + len(starts))
        kernels.walk(ways, starts, first, bias, plan.seed % 2**63, ids[some], lengths[some])
        return len(starts)

    with progress.task("walking", total=len(ids), unit="walks") as work, closing(_passes(block, n, plan)) as blocks:
        for made in blocks:
            work.advance(made)
    ends = np.zeros(len(ids) + 1, np.int64)
    np.cumsum(lengths, out=ends[1:])
    if ends[-1] < ids.size:
        kernels.close_gaps(ids, lengths)
    return ids.reshape(-1)[: ends[-1]], ends


@contextmanager
def walked(
    offsets: NDArray[np.int64], neighbours: NDArray[np.int32], weights: NDArray[np.float32] | None, plan: Plan
) -> Iterator[tuple[NDArray[np.int32], NDArray[np.int64]]]:
    """`walks`, in a temporary file for as long as the block runs where they would take more than 2 GB of memory.

    Raises ArtifactError where the disk has no room for them.
    """
    shape = ((len(offsets) - 1) * plan.num_walks, plan.walk_length)
    if 4 * shape[0] * shape[1] <= _IN_MEMORY:
        yield walks(offsets, neighbours, weights, plan)
        return
    with scratch("walks") as folder:
        reserve(folder / "walks", 4 * shape[0] * shape[1])
        room = np.memmap(folder / "walks", np.int32, "r+", shape=shape)
        yield walks(offsets, neighbours, weights, plan, room=room)


def _passes(block: Callable[[NDArray[np.int32], int], int], n: int, plan: Plan) -> Generator[int]:
    """Start from each node once, in another order in each pass; `block` takes nodes and the number of their first walk."""
    random = np.random.default_rng(plan.seed)
    with ThreadPoolExecutor(plan.threads) as pool:
        for number in range(plan.num_walks):
            order = random.permutation(n).astype(np.int32)
            places = range(0, n, _BLOCK)
            starts = [order[place : place + _BLOCK] for place in places]
            yield from pool.map(block, starts, [number * n + place for place in places])
