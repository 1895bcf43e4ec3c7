"""What comparisons of every kind say alike: a table with lines around it, as text and as a page, and a verdict in a sentence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from vicino.evaluation.text import table

__all__ = ["Told", "page", "sentence", "text"]


class Told(NamedTuple):
    """Lines about the task, the head and the rows of the table, and lines beneath it."""

    about: list[str]
    head: list[str]
    rows: list[list[str]]
    beneath: list[str]


def text(told: Told, verdict: str, *, width: int) -> str:
    """The whole comparison for a terminal of so many characters."""
    first, *notes = told.about
    shown = table(told.head, told.rows, right=range(1, len(told.head)), width=width)
    return "\n".join([first, *(f"  {line}" for line in notes), "", shown, *(f"  {line}" for line in told.beneath), "", verdict])


def page(told: Told, verdict: str, *, title: str, command: str = "") -> str:
    """The same as one HTML file, that asks nothing of any other place; names are escaped."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    where = PackageLoader("vicino.evaluation", "")
    made = Environment(loader=where, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return made.get_template("ladder.html.j2").render(told._asdict(), title=title, verdict=verdict, command=command)


def sentence(
    best: str, score: str, tied: Sequence[str], *, pick: str, why: str, asked: str, alone: bool, failed: Sequence[str]
) -> str:
    """Who wins, or what the `asked` cannot tell apart and why the `pick` is taken of these; and who was not measured.

    >>> sentence("a", "kNN 0.9", [], pick="a", why="", asked="10 items", alone=True, failed=["b"])
    'a was the only one measured: kNN 0.9. Not measured, because they failed: b.'
    """
    if alone:
        told = f"{best} was the only one measured: {score}."
    elif not tied:
        told = f"{best} wins: {score}, better than every other candidate that was measured, beyond chance."
    else:
        told = f"{best} scores highest ({score}), but {asked} cannot tell it from {', '.join(tied)}; "
        told += f"{pick} {why}: use {pick}."
    return told + (f" Not measured, because they failed: {', '.join(failed)}." if failed else "")
