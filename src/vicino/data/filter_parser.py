"""Reading a filter from text: words, then a descent through or, and, not, and the conditions."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NoReturn

from vicino.data.filters import (
    DEEPEST,
    KEYWORDS,
    And,
    Between,
    Compare,
    Contains,
    Filter,
    In,
    IsNull,
    Not,
    Or,
    Value,
    too_deep,
)
from vicino.errors import InputError, InputTooLarge

__all__ = ["Parser"]

LONGEST: Final = 100_000  # characters
SHOWN: Final = 60  # characters around a mistake

EXAMPLE: Final = "lang = 'en' and (year between 2010 and 2020 or tags contains 'new') and not draft"

_TOKEN = re.compile(
    r"""\s*+(?:(?P<text>'(?:[^']|'')*+')
    |(?P<number>[+-]?(?:[0-9]++(?:\.[0-9]*+)?+|\.[0-9]++)(?:[eE][+-]?[0-9]++)?+(?!\w))
    |(?P<name>"(?:[^"]|"")*+")
    |(?P<word>[^\W\d]\w*+)
    |(?P<sign><>|!=|<=|>=|==|[=<>(),])
    |(?P<end>\Z))""",
    re.VERBOSE,
)
_OPERATORS: Mapping[str, str] = {op: op for op in ("=", "!=", "<", "<=", ">", ">=")} | {"<>": "!=", "==": "="}


@dataclass(frozen=True)
class _Token:
    """`kind` is text, number, name, word, sign or end; keywords stand in `value` in lower case."""

    kind: str
    value: str
    place: int


class Parser:
    """One reading of one text; `filter` gives the tree. Raises InputError and InputTooLarge."""

    def __init__(self, text: str) -> None:
        if len(text) > LONGEST:
            raise InputTooLarge(f"a filter of {len(text):,} characters", mend=f"write one of at most {LONGEST:,}")
        self._text = text
        self._tokens = self._cut()
        self._next = 0

    def filter(self) -> Filter:
        """The whole text as one filter."""
        found = self._or(1)
        if self._peek.kind != "end":
            self._fail("`and`, `or` or the end")
        return found

    # Words ------------------------------------------------------------------------------------------------------------

    def _cut(self) -> list[_Token]:
        tokens: list[_Token] = []
        place = 0
        while not tokens or tokens[-1].kind != "end":
            match = _TOKEN.match(self._text, place)
            if match is None:
                start = place + len(self._text[place:]) - len(self._text[place:].lstrip())
                self._fail("a name, a value or a comparison", _Token("", "", start))
            kind = str(match.lastgroup)
            value = match[kind]
            if kind == "word" and value.lower() in KEYWORDS:
                kind, value = "keyword", value.lower()
            tokens.append(_Token(kind, value, match.start(match.lastgroup or 0)))
            place = match.end()
        return tokens

    @property
    def _peek(self) -> _Token:
        return self._tokens[self._next]

    def _take(self, *values: str) -> str:
        """The next sign or keyword where it is one of `values`; empty where it is not."""
        token = self._peek
        if token.kind not in ("sign", "keyword") or token.value not in values:
            return ""
        self._next += 1
        return token.value

    def _need(self, value: str) -> None:
        if not self._take(value):
            self._fail(f"`{value}`")

    def _fail(self, expected: str, token: _Token | None = None) -> NoReturn:
        place = (token or self._peek).place
        begin = max(0, place - SHOWN)
        around = self._text[begin : place + SHOWN]
        shown = "".join(character if character.isprintable() else "·" for character in around)
        raise InputError(
            f"this filter cannot be read: {expected} should stand where the mark is\n    {shown}\n    {' ' * (place - begin)}^",
            mend=f"write it like this: {EXAMPLE}",
        )

    # The descent ------------------------------------------------------------------------------------------------------

    def _or(self, depth: int) -> Filter:
        parts = [self._and(depth)]
        while self._take("or"):
            parts.append(self._and(depth))
        return parts[0] if len(parts) == 1 else Or(tuple(parts))

    def _and(self, depth: int) -> Filter:
        parts = [self._not(depth)]
        while self._take("and"):
            parts.append(self._not(depth))
        return parts[0] if len(parts) == 1 else And(tuple(parts))

    def _not(self, depth: int) -> Filter:
        if depth > DEEPEST:
            too_deep()
        if self._take("not"):
            return Not(self._not(depth + 1))
        if self._take("("):
            inner = self._or(depth + 1)
            self._need(")")
            return inner
        return self._condition()

    def _condition(self) -> Filter:
        column = self._column()
        if self._take("is"):
            inverted = self._take("not")
            self._need("null")
            return Not(IsNull(column)) if inverted else IsNull(column)
        if op := self._take(*_OPERATORS):
            return Compare(column, _OPERATORS[op], self._value())
        if self._take("not"):
            found = self._set(column) or self._fail("`in`, `between` or `contains`")
            return Not(found)
        return self._set(column) or Compare(column, "=", True)

    def _set(self, column: str) -> Filter | None:
        if self._take("in"):
            self._need("(")
            values = [self._value()]
            while self._take(","):
                values.append(self._value())
            self._need(")")
            return In(column, tuple(values))
        if self._take("between"):
            low = self._value()
            self._need("and")
            return Between(column, low, self._value())
        if self._take("contains"):
            if self._peek.kind != "text":
                self._fail("a text in single quotes")
            return Contains(column, str(self._value()))
        return None

    def _column(self) -> str:
        token = self._peek
        if token.kind not in ("word", "name") or token.value == '""':
            self._fail("the name of a column")
        self._next += 1
        return token.value if token.kind == "word" else token.value[1:-1].replace('""', '"')

    def _value(self) -> Value:
        token = self._peek
        if token.kind == "text":
            value: Value = token.value[1:-1].replace("''", "'")
        elif token.kind == "number":
            value = self._number(token)
        elif token.kind == "keyword" and token.value in ("true", "false"):
            value = token.value == "true"
        else:
            self._fail("a value (text in single quotes, a number, true or false)")
        self._next += 1
        return value

    def _number(self, token: _Token) -> int | float:
        if re.fullmatch(r"[+-]?[0-9]{1,30}", token.value):
            return int(token.value)
        return float(token.value)
