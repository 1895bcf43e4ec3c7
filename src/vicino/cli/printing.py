"""How the commands speak: data to standard output, hints and progress to standard error."""

from __future__ import annotations

import json
import logging
import shlex
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import typer

__all__ = ["STOPPED", "bars", "print_json", "printable", "say", "size_text", "told", "typed", "width"]

_GOES_ON = "the same command goes on from there"
STOPPED = f"what was measured is kept, and {_GOES_ON}"


def width() -> int:
    """The terminal's width; plenty where the output goes to a file."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else 160


def print_json(plain: Any) -> None:
    """Data, for programs."""
    print(json.dumps(plain, ensure_ascii=False, indent=1, allow_nan=False))


def typed() -> str:
    """The command as it was typed."""
    return shlex.join(["vicino", *sys.argv[1:]])


def printable(text: str) -> str:
    """Text that others wrote, without what a terminal would obey; lines and tabs stay."""
    return "".join(each if each.isprintable() or each in "\n\t" else "\ufffd" for each in text)


def size_text(count: int) -> str:
    """Bytes as people read them.

    >>> size_text(340), size_text(2_500_000_000)
    ('340 B', '2.5 GB')
    """
    size = float(count)
    for unit in ("B", "KB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"


def say(text: str) -> None:
    """A hint, for people: to standard error."""
    print(text, file=sys.stderr)


class _Hints(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        say(record.getMessage())


@contextmanager
def told(module: str) -> Iterator[None]:
    """What a module logs while the block runs, said as a hint."""
    log, shown = logging.getLogger(module), _Hints()
    before = log.level
    log.addHandler(shown)
    log.setLevel(logging.INFO)
    try:
        yield
    finally:
        log.removeHandler(shown)
        log.setLevel(before)


@contextmanager
def bars(quiet: bool, stopped: str = STOPPED) -> Iterator[None]:
    """Long work: with progress bars unless told otherwise, and a word to whoever has stopped it."""
    from vicino import progress

    try:
        with nullcontext() if quiet else progress.bars():
            yield
    except KeyboardInterrupt:
        say(f"\nstopped; {stopped}" + (f":\n  {typed()}" if stopped.endswith(_GOES_ON) else ""))
        raise typer.Exit(130) from None
