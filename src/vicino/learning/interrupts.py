"""Ctrl-C that waits for the end of a step, so that what is saved is whole."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

__all__ = ["Interrupts", "interrupts"]


@dataclass
class Interrupts:
    """Whether Ctrl-C was pressed. While `at_once` is set it raises KeyboardInterrupt, as usual; so does a second one."""

    asked: bool = False
    at_once: bool = False


@contextmanager
def interrupts() -> Iterator[Interrupts]:
    """A block in which a first Ctrl-C only asks. Outside the main thread, or where SIGINT is ignored, nothing changes.

    >>> with interrupts() as ctrl_c:
    ...     signal.raise_signal(signal.SIGINT)
    ...     ctrl_c.asked
    True
    """
    found = Interrupts()
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(before):
        yield found
        return

    def ask(*_: Any) -> None:
        if found.asked or found.at_once:
            raise KeyboardInterrupt
        found.asked = True

    signal.signal(signal.SIGINT, ask)
    try:
        yield found
    finally:
        signal.signal(signal.SIGINT, before)
