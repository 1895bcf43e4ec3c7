"""Epoch after epoch: what all trainers share that read everything again and again, and change weights where they are.

An epoch is cut into jobs, and these into waves: the jobs of a wave may run at the same time. Whoever learns without locks (Recht,
Ré, Wright and Niu 2011, "Hogwild!") has one wave; whoever must not write on the same weights twice has more.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor, wait
from contextlib import closing, nullcontext
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from vicino import progress
from vicino.errors import InputError

__all__ = ["Epochs", "Job", "Training"]

logger = logging.getLogger(__name__)

# A job tells how many items it learnt from, its loss, and of how many of what the loss is the sum.
Job = Callable[[], tuple[int, float, int]]


@dataclass
class Training:
    """How it went: the mean loss of each whole epoch, and what ended it."""

    losses: list[float] = field(default_factory=list)
    ended: Literal["whole", "interrupted", "diverged"] = "whole"


class _Diverged(ArithmeticError):
    """Numbers that are not finite; never leaves this module."""


@dataclass(frozen=True)
class Epochs:
    """So many `epochs`, each over `size` items, by some `threads`, which change `weights`.

    `label` and `unit` are for the progress events, and the loss so far stands in the label. `mend` says what helps where the
    weights grow past all bounds. `partial` is whether fewer epochs than these are worth keeping.
    """

    weights: Sequence[NDArray[Any]]
    epochs: int
    size: int
    threads: int
    label: str
    unit: str
    mend: str
    partial: bool = True

    def run(self, waves: Callable[[int], Iterable[Iterable[Job]]], pool: Executor | None = None) -> Training:
        """Do the jobs of all waves of each epoch; `waves` takes its number. In `pool` where there is one, else in threads.

        Ctrl-C, and a loss or weights that are no longer finite, put back the last whole epoch and end the training early, as
        `Training.ended` says. Raises InputError where it diverged before there was one (or `partial` is False), and
        KeyboardInterrupt likewise.

        >>> weights = np.zeros(1)
        >>> def job():
        ...     weights[0] += 1
        ...     return 1, 0.5, 1
        >>> Epochs([weights], 3, 2, 1, "counting", "jobs", "").run(lambda epoch: [[job, job]]).losses, weights
        ([0.5, 0.5, 0.5], array([6.]))
        """
        training = Training()
        kept = [each.copy() for each in self.weights]
        alone = self.threads == 1 and pool is None
        own = ThreadPoolExecutor(self.threads) if pool is None and not alone else nullcontext(pool)
        with progress.task(self.label, total=self.epochs * self.size, unit=self.unit) as work, own as workers:
            for number in range(self.epochs):
                try:
                    training.losses.append(self._epoch(waves(number), workers, work))
                    if number + 1 < self.epochs:
                        _copy(self.weights, kept)
                except KeyboardInterrupt:
                    training.ended = "interrupted"
                except _Diverged:
                    training.ended = "diverged"
                if training.ended != "whole":
                    if len(training.losses) == number:  # else the epoch was whole, and only its copy was not
                        _whatever_comes(lambda: _copy(kept, self.weights))
                    self._tell(training)
                    break
        return training

    def _epoch(self, waves: Iterable[Iterable[Job]], pool: Executor | None, work: progress.Task) -> float:
        """Learn from everything once; returns the mean loss. Raises _Diverged."""
        loss, judged = 0.0, 0
        for wave in waves:
            with closing(_done(wave, pool)) as results:
                for items, here, n in results:
                    loss, judged = loss + here, judged + n
                    if not math.isfinite(loss):
                        raise _Diverged
                    work.label = f"{self.label}, loss {loss / max(judged, 1):.3f}"
                    work.advance(items)
        if not all(np.isfinite(each).all() for each in self.weights):
            raise _Diverged
        return loss / max(judged, 1)

    def _tell(self, training: Training) -> None:
        whole = len(training.losses)
        if whole and self.partial:
            logger.warning("training %s in epoch %d of %d: epoch %d is kept", training.ended, whole + 1, self.epochs, whole)
        elif training.ended == "interrupted":
            raise KeyboardInterrupt
        else:
            raise InputError(f"the vectors grew past all bounds in epoch {whole + 1}", mend=self.mend)


def _done(jobs: Iterable[Job], pool: Executor | None) -> Generator[tuple[int, float, int]]:
    """What the jobs tell, in order. None runs any longer when this is closed."""
    if pool is None:
        for job in jobs:
            yield job()
        return
    futures = [pool.submit(job) for job in jobs]
    try:
        for future in futures:
            yield future.result()
    finally:
        for future in futures:
            future.cancel()
        _whatever_comes(lambda: wait(futures))


def _whatever_comes(do: Callable[[], object]) -> None:
    """Do it to its end, however often Ctrl-C is pressed: it takes less than a second, and half of it would be worse."""
    while True:
        try:
            do()
        except KeyboardInterrupt:
            continue
        return


def _copy(sources: Sequence[NDArray[Any]], targets: Sequence[NDArray[Any]]) -> None:
    for source, target in zip(sources, targets, strict=True):
        np.copyto(target, source)
