"""Learning from a matrix in tiles: those that share no vectors at the same time, all of them each epoch, in a new order.

k tiles that have no group of rows and none of columns in common are a stratum: whoever learns from them writes on different
vectors (Gemulla, Nijkamp, Haas and Sismanis 2011, "Large-scale matrix factorization with distributed stochastic gradient
descent"). So threads need no locks and no luck: their number changes no digit.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from vicino import progress
from vicino.errors import InputError

__all__ = ["Descent", "Training", "strata"]

logger = logging.getLogger(__name__)

# From tiles (m, 2) and a seed for each, the summed loss of each.
Learn = Callable[[NDArray[np.int64], NDArray[np.int64]], NDArray[np.float64]]


@dataclass
class Training:
    """How it went: the mean loss of each whole epoch, and what ended it."""

    losses: list[float] = field(default_factory=list)
    ended: Literal["whole", "interrupted", "diverged"] = "whole"


class _Diverged(ArithmeticError):
    """Numbers that are not finite; never leaves this module."""


@dataclass(frozen=True)
class Descent:
    """`epochs` over k by k tiles with some `threads`, which `weights` are changed by, where they are.

    `sizes` (k, k) is what each tile counts for: in the progress events, in `unit`s, and in the mean loss.
    """

    sizes: NDArray[np.int64]
    weights: Sequence[NDArray[Any]]
    epochs: int
    seed: int
    threads: int
    label: str
    unit: str
    rate: float

    def run(self, learn: Learn) -> Training:
        """Learn from all tiles in each epoch. The loss so far stands in the label of the progress events.

        Ctrl-C, and a loss or weights that are no longer finite, put back the last whole epoch and end the training early, as
        `Training.ended` says. Raises InputError where it diverged before there was one, and KeyboardInterrupt likewise.
        """
        training = Training()
        kept = [each.copy() for each in self.weights]
        with (
            progress.task(self.label, total=self.epochs * int(self.sizes.sum()), unit=self.unit) as work,
            ThreadPoolExecutor(self.threads) as pool,
        ):
            for number in range(self.epochs):
                try:
                    training.losses.append(self._epoch(number, learn, pool, work))
                except KeyboardInterrupt:
                    training.ended = "interrupted"
                except _Diverged:
                    training.ended = "diverged"
                if training.ended != "whole":
                    break
                for old, new in zip(kept, self.weights, strict=True):
                    np.copyto(old, new)
        if training.ended != "whole":
            for old, new in zip(kept, self.weights, strict=True):
                np.copyto(new, old)
            self._tell(training)
        return training

    def _epoch(self, number: int, learn: Learn, pool: ThreadPoolExecutor, work: progress.Task) -> float:
        """Learn from everything once; returns the mean loss. Raises _Diverged."""
        random = np.random.default_rng([self.seed, number])
        loss, judged = 0.0, 0
        parts = 1 if self.threads == 1 else 2 * self.threads
        for stratum in strata(len(self.sizes), random):
            seeds = random.integers(2**62, size=len(stratum))
            shares = [share for share in np.array_split(np.arange(len(stratum)), parts) if len(share)]
            jobs = [pool.submit(learn, stratum[share], seeds[share]) for share in shares]
            try:
                found = np.concatenate([job.result() for job in jobs])
            finally:
                for job in jobs:
                    job.cancel()
            loss, judged = loss + float(found.sum()), judged + int(self.sizes[stratum[:, 0], stratum[:, 1]].sum())
            if not math.isfinite(loss):
                raise _Diverged
            work.label = f"{self.label}, loss {loss / max(judged, 1):.4f}"
            work.advance(int(self.sizes[stratum[:, 0], stratum[:, 1]].sum()))
        if not all(np.isfinite(each).all() for each in self.weights):
            raise _Diverged
        return loss / max(judged, 1)

    def _tell(self, training: Training) -> None:
        whole = len(training.losses)
        if whole:
            logger.warning("training %s in epoch %d of %d: epoch %d is kept", training.ended, whole + 1, self.epochs, whole)
        elif training.ended == "interrupted":
            raise KeyboardInterrupt
        else:
            mend = f"lower learning_rate, which is {self.rate:g}"
            raise InputError("the vectors grew past all bounds in the first epoch", mend=mend)


def strata(k: int, random: np.random.Generator) -> Iterator[NDArray[np.int64]]:
    """All k² tiles by chance, in k strata: arrays (k, 2) in which no group of rows and none of columns comes twice.

    >>> [stratum.tolist() for stratum in strata(2, np.random.default_rng(0))]
    [[[0, 0], [1, 1]], [[0, 1], [1, 0]]]
    """
    rows, columns = random.permutation(k), random.permutation(k)
    for turn in random.permutation(k):
        yield np.stack([rows, np.roll(columns, -turn)], axis=1)
