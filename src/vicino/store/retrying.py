"""Asking a server that may be away for a moment: a few more times, each after a longer pause."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Generator
from contextlib import closing
from typing import Final, TypeVar

from vicino import progress
from vicino.errors import EndpointError

__all__ = ["patiently"]

T = TypeVar("T")

PAUSES: Final = [0.2, 0.5, 1.0, 2.0, 4.0]  # seconds between two attempts, each a little more or less

_log = logging.getLogger(__name__)


def patiently(ask: Callable[[], T], *, server: str, passing: Callable[[Exception], bool], mend: str) -> T:
    """What `ask` returns. It is called again while it raises what is `passing`, with a pause between; what is not, is raised.

    `server` is what is asked, for people; `mend` is what to do where it stays away. Raises EndpointError then.

    >>> def ask(answers=iter([False, True])):
    ...     if not next(answers):
    ...         raise ConnectionError
    ...     return "here"
    >>> patiently(ask, server="the server", passing=lambda error: isinstance(error, ConnectionError), mend="start it")
    'here'
    """
    reason: Exception | None = None
    with closing(_attempts(server)) as attempts:
        for _ in attempts:
            try:
                return ask()
            except Exception as error:
                if not passing(error):
                    raise
                reason = error
                _log.info("%s is away: %s", server, _brief(error))
    raise EndpointError(f"{server} does not answer ({len(PAUSES) + 1} attempts): {_brief(reason)}", mend=mend) from reason


def _attempts(server: str) -> Generator[None]:
    """One for each attempt: the first at once, the others after pauses that people see."""
    yield
    with progress.task(f"Waiting for {server}", total=len(PAUSES), unit="attempts") as bar:
        for pause in PAUSES:
            time.sleep(pause * random.uniform(0.8, 1.2))  # so that many clients do not come back all at once
            bar.advance()
            yield


def _brief(error: Exception | None) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
