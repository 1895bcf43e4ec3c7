"""Learning from a matrix in tiles: those that share no vectors at the same time, all of them each epoch, in a new order.

k tiles that have no group of rows and none of columns in common are a stratum: whoever learns from them writes on different
vectors (Gemulla, Nijkamp, Haas and Sismanis 2011, "Large-scale matrix factorization with distributed stochastic gradient
descent"). So threads need no locks and no luck: their number changes no digit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from vicino.learning.epochs import Job

__all__ = ["Learn", "Tour", "strata"]

# From tiles (m, 2) and a seed for each, the summed loss of each.
Learn = Callable[[NDArray[np.int64], NDArray[np.int64]], NDArray[np.float64]]


@dataclass(frozen=True)
class Tour:
    """The waves of `vicino.learning.epochs.Epochs`: a stratum each, in some `parts`.

    `sizes` (k, k) is what each tile counts for.
    """

    sizes: NDArray[np.int64]
    learn: Learn
    seed: int
    parts: int

    def waves(self, epoch: int) -> Iterator[list[Job]]:
        """All tiles by chance, stratum by stratum."""
        random = np.random.default_rng([self.seed, epoch])
        for stratum in strata(len(self.sizes), random):
            seeds = random.integers(2**62, size=len(stratum))
            shares = [share for share in np.array_split(np.arange(len(stratum)), self.parts) if len(share)]
            yield [
                partial(_learnt, self.learn, stratum[share], seeds[share], int(self.sizes[tuple(stratum[share].T)].sum()))
                for share in shares
            ]


def _learnt(learn: Learn, tiles: NDArray[np.int64], seeds: NDArray[np.int64], size: int) -> tuple[int, float, int]:
    return size, float(learn(tiles, seeds).sum()), size


def strata(k: int, random: np.random.Generator) -> Iterator[NDArray[np.int64]]:
    """All k² tiles by chance, in k strata: arrays (k, 2) in which no group of rows and none of columns comes twice.

    >>> [stratum.tolist() for stratum in strata(2, np.random.default_rng(0))]
    [[[0, 0], [1, 1]], [[0, 1], [1, 0]]]
    """
    rows, columns = random.permutation(k), random.permutation(k)
    for turn in random.permutation(k):
        yield np.stack([rows, np.roll(columns, -turn)], axis=1)
