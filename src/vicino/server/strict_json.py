"""JSON from strangers: read to the letter of RFC 8259, and nothing of what Python's reader forgives.

Refused: what is not UTF-8, NaN and infinities, numbers too large for what holds them, a name twice in one object (readers differ
in which counts), more than `DEEPEST` levels or `MOST` objects and lists, and halves of surrogate pairs, which are no text and
cannot be written again.
"""

from __future__ import annotations

import asyncio
import json
import math
import re
from collections.abc import Callable, Coroutine
from typing import Any, NoReturn

import numpy as np
from fastapi import Request, Response
from fastapi.routing import APIRoute

from vicino.errors import InputError

__all__ = ["DEEPEST", "MOST", "StrictRoute", "loads"]

DEEPEST = 64
MOST = 500_000  # objects and lists in a body, and so many pairs: each takes memory that its two brackets do not
_QUICK = 1 << 18  # bytes that are read in a few milliseconds
_DIGITS = 20  # of the largest 64-bit number

_STRINGS = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)  # an open end too: never looks back
_ALL_BUT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


def loads(body: bytes) -> Any:
    """The value that a body of JSON says. Raises InputError.

    >>> loads(b'{"k": [1, 2.5, "\\\\ud83d\\\\ude00"]}')
    {'k': [1, 2.5, '😀']}
    >>> loads(b'{"k": 1, "k": 2}')
    Traceback (most recent call last):
    vicino.errors.InputError: the name 'k' stands twice in one object
      → send each name once
    """
    _require_modest(body)
    try:
        text = body.decode("utf-8-sig")
        value = json.loads(text, object_pairs_hook=_once, parse_constant=_no_number, parse_float=_finite, parse_int=_short)
    except UnicodeDecodeError as error:
        raise InputError(f"the body is not UTF-8 (byte {error.start:,})", mend="send JSON in UTF-8") from error
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise InputError(f"the body is not JSON: {error.msg} ({place})", mend="send JSON, as in /openapi.json") from error
    if _SURROGATE.search(body):
        _require_text(value)
    return value


class StrictRoute(APIRoute):
    """A route whose JSON bodies `loads` reads: what it refuses is told as every other error of vicino."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        inner = super().get_route_handler()
        if self.body_field is None:
            return inner

        async def handler(request: Request) -> Response:
            return await inner(await _read(request))

        return handler


async def _read(request: Request) -> Request:
    """The same request, its JSON read. FastAPI looks at the type that is declared, and so do we: else it is not JSON to it."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json")):
        body = await request.body()
        if body:
            # where Request.json keeps what it has read; a large one keeps others waiting less beside the loop
            request._json = loads(body) if len(body) <= _QUICK else await asyncio.to_thread(loads, body)
    return request


def _require_modest(body: bytes) -> None:
    if body.count(b'"') > 4 * MOST:
        raise InputError(f"the body has more than {2 * MOST:,} strings", mend="send it in several requests")
    if body.count(b"[") + body.count(b"{") <= DEEPEST:
        return  # and so for nearly all
    brackets = np.frombuffer(_STRINGS.sub(b"", body).translate(None, _ALL_BUT_BRACKETS), dtype=np.uint8)
    opening = (brackets == ord("[")) | (brackets == ord("{"))
    if len(brackets) > 2 * MOST:
        raise InputError(f"the body has more than {MOST:,} objects and lists", mend="send it in several requests")
    if np.cumsum(np.where(opening, 1, -1)).max(initial=0) > DEEPEST:
        raise InputError(f"the body has more than {DEEPEST} levels of brackets", mend="send it flatter")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                raise InputError(f"the name {name[:80]!r} stands twice in one object", mend="send each name once")
            seen.add(name)
    return found


def _no_number(word: str) -> NoReturn:
    raise InputError(f"{word} is no JSON", mend="send a finite number, or null")


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise InputError(f"the number {digits[:40]} is too large", mend="send one that a 64-bit float can hold")
    return number


def _short(digits: str) -> int:
    if len(digits.lstrip("-")) > _DIGITS:
        raise InputError(f"the number {digits[:40]} ... has {len(digits):,} digits", mend=f"send at most {_DIGITS} digits")
    return int(digits)


def _require_text(value: Any) -> None:
    waiting = [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, dict):
            waiting += [*each, *each.values()]
        elif isinstance(each, list):
            waiting += each
        elif isinstance(each, str):
            try:
                each.encode()
            except UnicodeEncodeError as error:
                half = f"\\u{ord(each[error.start]):04x}"
                raise InputError(f"{half} is half of a character", mend="send both halves of the surrogate pair") from error
