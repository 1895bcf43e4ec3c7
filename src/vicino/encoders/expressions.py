"""Sums of words, as people type them: "king - man + woman", "pizza + 10*pineapple"."""

from __future__ import annotations

import math
import re

from vicino.errors import InputError

__all__ = ["parse_sum"]

_TERM = re.compile(
    r"""\s*(?P<sign>[+-](?=\s|$)|[+-](?=[\w"'(]))?\s*
        (?:(?P<weight>\d+(?:\.\d+)?|\.\d+)\s*\*\s*)?
        (?:"(?P<quoted>[^"]+)"|(?P<word>(?![+-](?:\s|$))[^\s*"]+))
        (?=\s|$)""",
    re.VERBOSE,
)


def parse_sum(text: str) -> list[tuple[str, float]]:
    """Words and their weights, in the order in which they stand.

    A sign stands before a word, with a space before it (a word may hold a hyphen); a weight before a `*`; a word with spaces or
    signs of its own in double quotes. Raises InputError, pointing to the place.

    >>> parse_sum("king - man + woman"), parse_sum('pizza + 10*pineapple - "new york"')
    ([('king', 1.0), ('man', -1.0), ('woman', 1.0)], [('pizza', 1.0), ('pineapple', 10.0), ('new york', -1.0)])
    """
    terms: list[tuple[str, float]] = []
    at = 0
    while text[at:].strip():
        match = _TERM.match(text, at)
        if match is None or (terms and not match["sign"]):
            raise _unclear(text, at)
        weight = float(match["weight"] or 1) * (-1 if match["sign"] == "-" else 1)
        if not math.isfinite(weight):
            raise _unclear(text, at)
        terms.append((match["quoted"] or match["word"], weight))
        at = match.end()
    if not terms:
        raise InputError("there is no word", mend='write a word, or a sum such as "king - man + woman"')
    return terms


def _unclear(text: str, at: int) -> InputError:
    at += len(text[at:]) - len(text[at:].lstrip())
    return InputError(
        f"this is no sum of words:\n    {text}\n    {' ' * at}^",
        mend='put + or - between words, and a weight before *: "king - man + 2*woman"; quote what holds spaces: \'"new york"\'',
    )
