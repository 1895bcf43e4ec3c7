"""Time for a study: what a candidate will take, learnt from those before it, and an end that is kept."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from vicino import progress

__all__ = ["Clock", "OutOfTime"]


class OutOfTime(Exception):
    """The time that was given is over; what was being measured is given up."""


class Clock:
    """A budget in seconds (None: as long as it takes) by the clock `now`, and what kinds of work take, learnt as they are done.

    Work is announced with a guess, in seconds; the guesses of a kind are scaled by what the work of that kind took so far, and
    those of a kind that was never done by all work so far.

    >>> clock = Clock(60.0)
    >>> clock.learn("cutting", guess=10.0, took=30.0)
    >>> clock.foresee("cutting", 5.0), clock.fits(15.0), clock.fits(70.0)
    (15.0, True, False)
    """

    def __init__(self, budget: float | None = None, *, now: Callable[[], float] = time.monotonic) -> None:
        self.budget = budget
        self.now, self._began = now, now()
        self._known: dict[str, list[float]] = {}

    @property
    def spent(self) -> float:
        """Seconds since the start."""
        return self.now() - self._began

    @property
    def left(self) -> float:
        """Seconds to the end, without one infinity."""
        return float("inf") if self.budget is None else self.budget - self.spent

    def learn(self, kind: str, *, guess: float, took: float) -> None:
        """Remember what work of a kind took, and what it was guessed to take."""
        guessed, taken = self._known.get(kind, [0.0, 0.0])
        self._known[kind] = [guessed + guess, taken + took]

    def foresee(self, kind: str, guess: float) -> float:
        """What work will take, in seconds."""
        of = [self._known[kind]] if kind in self._known else list(self._known.values())
        guessed = sum(each[0] for each in of)
        return guess * sum(each[1] for each in of) / guessed if guessed else guess

    def fits(self, seconds: float) -> bool:
        """Whether so much can be done before the end."""
        return seconds <= self.left

    @contextmanager
    def watching(self, work: progress.Task, share: float = 1.0, *, ends: bool = True) -> Iterator[None]:
        """A block whose own progress moves `work` on, a unit a second, and which `ends` in `OutOfTime` when that share of what is
        left of the budget is over.

        The end is looked at whenever something inside moves on, so that what moves on seldom ends late.
        """
        thread, began, counted, end = threading.get_ident(), self.now(), 0, self.left * (1 - share)

        def tick(event: progress.Event) -> None:
            nonlocal counted
            if event.number == work.number or event.state != "advance" or threading.get_ident() != thread:
                return
            if ends and self.left < end:
                raise OutOfTime
            passed = int(self.now() - began)
            if passed > counted:
                counted, more = passed, passed - counted
                work.advance(more)

        with progress.listen(tick):
            yield
