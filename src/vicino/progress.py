"""Progress: silent until a face listens.

Long work wraps its loop in `track` or opens a `task`. Nothing is printed here: a face (command line, notebook, server)
calls `listen` and receives `Event` records, whose `version` changes when their fields do.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar, Literal, TypeVar

__all__ = ["Event", "Task", "bars", "listen", "task", "track"]

T = TypeVar("T")
State = Literal["start", "advance", "finish", "fail"]

_INTERVAL = 0.1  # seconds between two "advance" events of one task
_SHORT = 0.3  # seconds: a task over by then gets no bar
_listeners: list[Callable[[Event], None]] = []
_numbers = itertools.count(1)
_lock = threading.Lock()


@dataclass(frozen=True)
class Event:
    """One thing that happened to one task. `elapsed` is in seconds; `total` is None while it is unknown."""

    version: ClassVar[int] = 1
    number: int
    label: str
    state: State
    done: int
    total: int | None
    unit: str
    elapsed: float


class Task:
    """A running piece of work; `advance` it from any thread."""

    def __init__(self, label: str, total: int | None, unit: str) -> None:
        self.label, self.total, self.unit = label, total, unit
        self.number = next(_numbers)
        self.done = 0
        self._began = self._told = time.monotonic()

    def advance(self, by: int = 1) -> None:
        """Say that `by` more units are done."""
        with _lock:
            self.done += by
            now = time.monotonic()
            if now - self._told < _INTERVAL:
                return
            self._told = now
        self._tell("advance")

    def _tell(self, state: State) -> None:
        if _listeners:
            elapsed = time.monotonic() - self._began
            event = Event(self.number, self.label, state, self.done, self.total, self.unit, elapsed)
            for listener in tuple(_listeners):
                listener(event)


@contextmanager
def listen(listener: Callable[[Event], None]) -> Iterator[None]:
    """Send every event to `listener` while the block runs.

    >>> seen = []
    >>> with listen(lambda event: seen.append(event.state)):
    ...     total = sum(track([1, 2], "adding"))
    >>> total, seen
    (3, ['start', 'finish'])
    """
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)


@contextmanager
def task(label: str, *, total: int | None = None, unit: str = "items") -> Iterator[Task]:
    """A block of work that announces its start and its end; call `.advance(n)` inside."""
    work = Task(label, total, unit)
    work._tell("start")
    try:
        yield work
    except BaseException:
        work._tell("fail")
        raise
    work._tell("finish")


def track(items: Iterable[T], label: str, *, total: int | None = None, unit: str = "items") -> Iterator[T]:
    """Yield from `items`, one unit of progress each."""
    if total is None and isinstance(items, Sized):
        total = len(items)
    with task(label, total=total, unit=unit) as work:
        for item in items:
            yield item
            work.advance()


@contextmanager
def bars() -> Iterator[None]:
    """Draw every task as a bar with its speed and time left on standard error while the block runs."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TextColumn("{task.fields[unit]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as display:
        rows = {}

        def draw(event: Event) -> None:
            if event.number not in rows and event.state == "advance" and event.elapsed > _SHORT:
                rows[event.number] = display.add_task(event.label, total=event.total, unit=event.unit)
            if event.number in rows:
                display.update(rows[event.number], completed=event.done, total=event.total)
                if event.state in ("finish", "fail"):
                    display.remove_task(rows.pop(event.number))

        with listen(draw):
            yield
