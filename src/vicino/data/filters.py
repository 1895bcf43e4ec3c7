"""Filters: which rows are meant. vicino's own small tree; each store translates it into its own language.

A filter has the meaning that SQL gives it: a comparison with a value that is missing is neither true nor false but unknown,
`not` leaves unknown unknown, and only what is true matches. `matches` is that meaning, in Python. `parse` reads, and `str`
writes, a small SQL-like text.

>>> wanted = parse("lang = 'en' and (year between 2010 and 2020 or tags contains 'new') and not draft")
>>> matches(wanted, {"lang": "en", "year": 2015, "draft": False}), matches(wanted, {"lang": "en", "year": 2015})
(True, False)
"""

from __future__ import annotations

import math
import re
import reprlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from operator import eq, ge, gt, le, lt, ne
from typing import Any, Final, Literal, NoReturn

from vicino.errors import InputError, InputTooLarge, UnknownName

__all__ = [
    "And",
    "Between",
    "Compare",
    "Condition",
    "Contains",
    "Filter",
    "In",
    "IsNull",
    "Kind",
    "Not",
    "Or",
    "Value",
    "check",
    "from_json",
    "matches",
    "parse",
    "too_deep",
]

Kind = Literal["text", "integer", "number", "flag", "texts"]
Value = str | int | float | bool

# Limits that no person meets: they keep the libraries underneath, which recurse, from running out of stack.
DEEPEST: Final = 32  # filters within filters
LARGEST: Final = 1_000  # filters in all
MOST_VALUES: Final = 100_000  # values of one `in`

# As names of columns these stand in double quotes.
KEYWORDS: Final = frozenset({"and", "or", "not", "in", "is", "null", "between", "contains", "true", "false"})

_OPERATORS: Mapping[str, Callable[[Any, Any], bool]] = dict(
    zip(("=", "!=", "<", "<=", ">", ">="), (eq, ne, lt, le, gt, ge), strict=True)
)


class Filter:
    """Any filter. `str` gives a text that parses back to it, `to_json` plain data that `from_json` reads."""

    op: str
    depth = 1
    size = 1
    __match_args__: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain data: `op`, and the fields."""
        return {"op": self.op} | {name: _plain(getattr(self, name)) for name in self.__match_args__}


def _plain(value: Any) -> Any:
    if isinstance(value, Filter):
        return value.to_json()
    return [_plain(item) for item in value] if isinstance(value, tuple) else value


@dataclass(frozen=True)
class Condition(Filter):
    """A filter on one column."""

    column: str

    def __post_init__(self) -> None:
        if not isinstance(self.column, str) or not self.column:
            raise InputError(f"{self.column!r} names no column", mend="give the name as text, such as 'lang'")
        for name in self.__match_args__:
            value = getattr(self, name)
            for each in value if isinstance(value, tuple) else (value,):
                _check_value(each)


@dataclass(frozen=True)
class Compare(Condition):
    """`column op value`; `op` is one of = != < <= > >=. Text is ordered by code point."""

    op: str
    value: Value

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.op not in _OPERATORS:
            raise InputError(f"{self.op!r} compares nothing", mend=f"choose one of {' '.join(_OPERATORS)}")

    def __str__(self) -> str:
        return f"{_name(self.column)} {self.op} {_literal(self.value)}"


@dataclass(frozen=True)
class In(Condition):
    """The column holds one of the values: at least one, at most 100,000."""

    op = "in"
    values: tuple[Value, ...]

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.values:
            raise InputError(f"a list of no values for {self.column!r}", mend="give `in` at least one value")
        if len(self.values) > MOST_VALUES:
            raise InputTooLarge(f"{len(self.values):,} values for {self.column!r}", mend=f"give `in` at most {MOST_VALUES:,}")

    def __str__(self) -> str:
        return f"{_name(self.column)} in ({', '.join(map(_literal, self.values))})"


@dataclass(frozen=True)
class Between(Condition):
    """`low <= column <= high`."""

    op = "between"
    low: Value
    high: Value

    def __str__(self) -> str:
        return f"{_name(self.column)} between {_literal(self.low)} and {_literal(self.high)}"


@dataclass(frozen=True)
class Contains(Condition):
    """A list column holds the value, or a text column the substring (case counts)."""

    op = "contains"
    value: str

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.value, str):
            raise InputError(f"{self.column!r} cannot contain {self.value!r}", mend="give `contains` a text, such as 'new'")

    def __str__(self) -> str:
        return f"{_name(self.column)} contains {_literal(self.value)}"


@dataclass(frozen=True)
class IsNull(Condition):
    """The column holds nothing in this row. Never unknown."""

    op = "null"

    def __str__(self) -> str:
        return f"{_name(self.column)} is null"


@dataclass(frozen=True)
class _Joined(Filter):
    parts: tuple[Filter, ...]

    def __post_init__(self) -> None:
        if len(self.parts) < 2:
            raise InputError(f"`{self.op}` of {len(self.parts)} filters", mend="give at least two, or the one by itself")
        _measure(self, self.parts)

    def __str__(self) -> str:
        return f" {self.op} ".join(map(_inner, self.parts))


@dataclass(frozen=True)
class And(_Joined):
    """All of at least two filters."""

    op = "and"


@dataclass(frozen=True)
class Or(_Joined):
    """Any of at least two filters."""

    op = "or"


@dataclass(frozen=True)
class Not(Filter):
    """What the filter is false for; unknown stays unknown."""

    op = "not"
    part: Filter

    def __post_init__(self) -> None:
        _measure(self, (self.part,))

    def __str__(self) -> str:
        return f"not {_inner(self.part)}"


def matches(wanted: Filter, row: Mapping[str, Any]) -> bool:
    """Whether a row matches: the reference for every store. Missing, null and values of another kind are unknown.

    >>> matches(parse("not year = 2020"), {"year": 2021}), matches(parse("not year = 2020"), {})
    (True, False)
    """
    return _truth(wanted, row) is True


def _truth(wanted: Filter, row: Mapping[str, Any]) -> bool | None:
    match wanted:
        case And(parts):
            truths = {_truth(part, row) for part in parts}
            return False if False in truths else None if None in truths else True
        case Or(parts):
            truths = {_truth(part, row) for part in parts}
            return True if True in truths else None if None in truths else False
        case Not(part):
            truth = _truth(part, row)
            return None if truth is None else not truth
        case IsNull(column):
            return row.get(column) is None
        case Compare(column, op, value):
            return _compare(row.get(column), op, value)
        case Between(column, low, high):
            return _truth(And((Compare(column, ">=", low), Compare(column, "<=", high))), row)
        case In(column, values):
            truths = {_compare(row.get(column), "=", value) for value in values}
            return True if True in truths else None if None in truths else False
        case Contains(column, value):
            held = row.get(column)
            return value in held if isinstance(held, str | list | tuple) else None
    raise TypeError(f"{wanted!r} is no filter")


def _compare(held: Any, op: str, value: Value) -> bool | None:
    sort = next(types for types in (str, bool, int | float) if isinstance(value, types))  # a flag is an int too
    alike = isinstance(held, sort) and isinstance(held, bool) == isinstance(value, bool)
    return _OPERATORS[op](held, value) if alike and held == held else None  # NaN is not even itself


def check(wanted: Filter, columns: Mapping[str, Kind]) -> Filter:
    """The filter, with its values in the kinds of the columns: 2020.0 becomes 2020 for integers, 2020 a float for numbers.

    Raises UnknownName (a column that is not there) and InputError (a value or comparison that its kind has no use for).

    >>> check(parse("year >= 2020"), {"year": "number"})
    Compare(column='year', op='>=', value=2020.0)
    """
    match wanted:
        case And(parts) | Or(parts):
            return replace(wanted, parts=tuple(check(part, columns) for part in parts))
        case Not(part):
            return Not(check(part, columns))
        case Condition():
            if wanted.column not in columns:
                raise UnknownName.among(wanted.column, columns, kind="column")
            return _check_kind(wanted, columns[wanted.column])
    raise TypeError(f"{wanted!r} is no filter")


_KINDS: Mapping[Kind, tuple[str, str]] = {
    "text": ("text", "{} = 'en'"),
    "integer": ("whole numbers", "{} >= 2020"),
    "number": ("numbers", "{} < 0.5"),
    "flag": ("true or false", "{} = true"),
    "texts": ("lists of text", "{} contains 'new'"),
}


def _check_kind(wanted: Condition, kind: Kind) -> Filter:
    def fit(value: Value) -> Value:
        fitted = _fit(value, kind)
        return _unfit(wanted, kind) if fitted is None else fitted

    match wanted:
        case Compare(op=op, value=value):
            if kind == "flag" and op not in ("=", "!="):
                _unfit(wanted, kind)
            return replace(wanted, value=fit(value))
        case In(values=values):
            return replace(wanted, values=tuple(map(fit, values)))
        case Between(low=low, high=high):
            if kind == "flag":
                _unfit(wanted, kind)
            return replace(wanted, low=fit(low), high=fit(high))
        case Contains() if kind not in ("text", "texts"):
            _unfit(wanted, kind)
    return wanted


def _fit(value: Value, kind: Kind) -> Value | None:
    if kind in ("text", "flag"):
        return value if isinstance(value, str if kind == "text" else bool) else None
    if kind == "texts" or isinstance(value, str | bool):
        return None
    return float(value) if kind == "number" else int(value) if value == int(value) else None


def _unfit(wanted: Condition, kind: Kind) -> NoReturn:
    holds, example = _KINDS[kind]
    raise InputError(
        f"{reprlib.repr(str(wanted))}: the column {wanted.column!r} holds {holds}",
        mend=f"compare it like this: {example.format(_name(wanted.column))}",
    )


def from_json(plain: Any, _depth: int = 1) -> Filter:
    """What `to_json` gave. Raises InputError for anything else.

    >>> from_json(parse("year in (2019, 2020)").to_json())
    In(column='year', values=(2019, 2020))
    """
    if _depth > DEEPEST:
        too_deep()
    match plain:
        case {"op": "and" | "or" as op, "parts": [*parts]}:
            return (And if op == "and" else Or)(tuple(from_json(part, _depth + 1) for part in parts))
        case {"op": "not", "part": part}:
            return Not(from_json(part, _depth + 1))
        case {"op": "null", "column": column}:
            return IsNull(column)
        case {"op": "in", "column": column, "values": [*values]}:
            return In(column, tuple(values))
        case {"op": "between", "column": column, "low": low, "high": high}:
            return Between(column, low, high)
        case {"op": "contains", "column": column, "value": value}:
            return Contains(column, value)
        case {"op": str(op), "column": column, "value": value}:
            return Compare(column, op, value)
    raise InputError(
        f"{reprlib.repr(plain)} is no filter", mend='give plain data like {"op": "=", "column": "lang", "value": "en"}'
    )


def parse(text: str) -> Filter:
    """A filter from a small SQL-like text.

    Comparisons (`= != < <= > >=`), `in (…)`, `between … and …`, `contains`, `is null`, each with `not`; `and`, `or`, `not` and
    brackets; a flag may stand by itself. Text stands in single quotes, '' for one quote; a name that is no word, or a keyword,
    in double quotes. Raises InputError that points to the place, InputTooLarge.

    >>> parse("not draft and source in ('a', 'b')")
    And(parts=(Not(part=Compare(column='draft', op='=', value=True)), In(column='source', values=('a', 'b'))))
    """
    from vicino.data.filter_parser import Parser

    return Parser(text).filter()


def _name(column: str) -> str:
    bare = re.fullmatch(r"[^\W\d]\w*", column) and column.lower() not in KEYWORDS
    return column if bare else '"' + column.replace('"', '""') + '"'


def _literal(value: Value) -> str:  # float and int make plain ones of what derives from them
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    return str(value).lower() if isinstance(value, bool) else repr(float(value) if isinstance(value, float) else int(value))


def _inner(part: Filter) -> str:
    return f"({part})" if isinstance(part, And | Or) else str(part)


def _check_value(value: Any) -> None:
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise InputError(f"{reprlib.repr(value)} holds half a character", mend="remove the lone surrogate") from error
    elif not isinstance(value, bool | int | float):
        raise InputError(f"nothing can be compared with {value!r}", mend="give text, a number, or True or False")
    elif not math.isfinite(value) or (isinstance(value, int) and not -(2**63) <= value < 2**63):
        raise InputError(f"{reprlib.repr(value)} is out of range", mend="give a finite number; whole ones have 64 bits")


def _measure(joined: And | Or | Not | _Joined, parts: Sequence[Filter]) -> None:
    """Note depth and size, within their limits."""
    if not all(isinstance(part, Filter) for part in parts):
        raise InputError(f"`{joined.op}` of something that is no filter", mend="give filters; `parse` makes them from text")
    depth, size = 1 + max(part.depth for part in parts), 1 + sum(part.size for part in parts)
    if depth > DEEPEST:
        too_deep()
    if size > LARGEST:
        raise InputTooLarge(f"a filter of {size:,} parts", mend=f"use at most {LARGEST:,}; `in (…)` is one for many values")
    object.__setattr__(joined, "depth", depth)
    object.__setattr__(joined, "size", size)


def too_deep() -> NoReturn:
    """Raise InputTooLarge: filters within filters within filters."""
    raise InputTooLarge(f"a filter nested more than {DEEPEST} deep", mend="write it flatter")
