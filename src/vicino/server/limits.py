"""How often, how much, how slowly: buckets of tokens for those who ask, and a body that stops at its limit."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING

from vicino.server.failures import Refused

if TYPE_CHECKING:
    from starlette.datastructures import Headers
    from starlette.types import Message, Receive

__all__ = ["Body", "Buckets", "require_plain_body"]


class Buckets:
    """A bucket of tokens for everybody who asks: `burst` at once, `rate` a second for ever; a rate of 0 has no limit.

    At most `most` are kept, those that asked last: memory stays bounded whoever asks.

    >>> now = 0.0
    >>> buckets = Buckets(2.0, 2, clock=lambda: now)
    >>> [buckets.take("ann") for _ in range(3)]
    [0.0, 0.0, 0.5]
    """

    def __init__(self, rate: float, burst: int, *, most: int = 10_000, clock: Callable[[], float] = time.monotonic) -> None:
        self.rate, self.burst, self.most, self.clock = rate, burst, most, clock
        self._kept: OrderedDict[str, tuple[float, float]] = OrderedDict()  # who -> tokens, and when that was so

    def take(self, who: str) -> float:
        """0.0 where there was a token, else the seconds until there is one."""
        if not self.rate:
            return 0.0
        tokens = self._now(who)
        self._keep(who, tokens - 1 if tokens >= 1 else tokens)
        return 0.0 if tokens >= 1 else (1 - tokens) / self.rate

    def give(self, who: str) -> None:
        """Put a token back."""
        if self.rate:
            self._keep(who, min(self.burst, self._now(who) + 1))

    def _now(self, who: str) -> float:
        tokens, when = self._kept.get(who, (float(self.burst), self.clock()))
        return min(self.burst, tokens + self.rate * (self.clock() - when))

    def _keep(self, who: str, tokens: float) -> None:
        self._kept[who] = (tokens, self.clock())
        self._kept.move_to_end(who)
        if len(self._kept) > self.most:
            self._kept.popitem(last=False)


def require_plain_body(headers: Headers, most: int) -> None:
    """Raise Refused for a body that is packed, of an unclear length, or said to be longer than `most` bytes.

    Nothing is ever unpacked here, so no few bytes become many.
    """
    if headers.get("content-encoding", "identity").strip().lower() not in ("", "identity"):
        mend = "send it as it is, without a Content-Encoding"
        raise Refused(415, "the body is compressed", mend=mend, code="compressed_body", headers={"Accept-Encoding": "identity"})
    lengths = headers.getlist("content-length")
    if not lengths:
        return
    if len(lengths) > 1 or "transfer-encoding" in headers or not (lengths[0].isascii() and lengths[0].isdigit()):
        raise Refused(400, "the length of the body is unclear", mend="send one Content-Length, or chunks", code="unclear_length")
    if len(lengths[0]) > 15 or int(lengths[0]) > most:
        raise _too_large(most)


class Body:
    """A request's body as it comes in, which raises Refused past `most` bytes, or when it let us wait `seconds` in all.

    Only waiting counts: who reads slowly on this side takes nothing of the client's time. `refusal` is what was raised, which
    the handler between may have taken for something else.
    """

    def __init__(self, receive: Receive, *, most: int, seconds: float) -> None:
        self._receive, self._most, self._left = receive, most, seconds
        self._seconds, self._size, self._ended = seconds, 0, False
        self.refusal: Refused | None = None

    async def __call__(self) -> Message:
        """The next message, as ASGI has it."""
        if self.refusal is not None:
            raise self.refusal
        if self._ended:
            return await self._receive()  # that the client went away: for which one may wait for ever
        message = await self._timely()
        self._ended = message["type"] != "http.request" or not message.get("more_body", False)
        self._size += len(message.get("body", b""))
        if self._size > self._most:
            raise self._refused(_too_large(self._most))
        return message

    async def _timely(self) -> Message:
        began = time.monotonic()
        try:
            async with asyncio.timeout(self._left):
                return await self._receive()
        except TimeoutError:
            what = f"the body did not arrive within {self._seconds:g} s"
            raise self._refused(Refused(408, what, mend="send it faster, or less of it", code="slow_body")) from None
        finally:
            self._left = max(0.0, self._left - (time.monotonic() - began))

    def _refused(self, refusal: Refused) -> Refused:
        refusal.headers["Connection"] = "close"  # the rest of it is never read
        self.refusal = refusal
        return refusal


def _too_large(most: int) -> Refused:
    mend = f"send at most {most:,} bytes at a time, or start the server with a larger limit"
    return Refused(413, f"the body is larger than {most:,} bytes", mend=mend, code="too_large", headers={"Connection": "close"})
