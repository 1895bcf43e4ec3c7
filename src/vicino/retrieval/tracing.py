"""What a search spent its time on, and what each retriever in it answered: nothing is noted until somebody asks.

Retrievers are made of others. `Retriever.search` opens a `stage` for each, whose time is its own alone, and says what it found.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar

from vicino.data.records import Hits

__all__ = ["Trace", "answered", "stage", "tracing"]


class Trace:
    """`seconds` of each stage, those of the stages in it left out; `answers`, what each retriever found last, by `id`."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self.answers: dict[int, Hits] = {}
        self._inside = [0.0]  # for each stage that is open, what the stages in it took

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """A block of work of its own."""
        began = time.perf_counter()
        self._inside.append(0.0)
        try:
            yield
        finally:
            whole = time.perf_counter() - began
            self.seconds[name] += whole - self._inside.pop()
            self._inside[-1] += whole


_open: ContextVar[Trace | None] = ContextVar("trace", default=None)


@contextmanager
def tracing() -> Iterator[Trace]:
    """Note what this thread's searches do while the block runs.

    >>> with tracing() as trace, stage("outer"):
    ...     with stage("inner"):
    ...         pass
    >>> sorted(trace.seconds)
    ['inner', 'outer']
    """
    trace = Trace()
    token = _open.set(trace)
    try:
        yield trace
    finally:
        _open.reset(token)


def stage(name: str) -> AbstractContextManager[None]:
    """A block of work whose time is noted, where somebody asked."""
    trace = _open.get()
    return nullcontext() if trace is None else trace.stage(name)


def answered(retriever: object, hits: Hits) -> None:
    """Note what a retriever found."""
    trace = _open.get()
    if trace is not None:
        trace.answers[id(retriever)] = hits
