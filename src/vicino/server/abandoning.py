"""Requests whose client went away: what is still being done for them is given up."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["Attended"]


class Attended:
    """Cancels the work for a request when its client hangs up before the answer is whole.

    It listens for that once the body is in, so that nothing is taken from a handler that still reads it.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        await _Attending(self.app, scope, receive, send).run()


class _Attending:
    """One request."""

    def __init__(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        self.app, self.scope, self.receive, self.send = app, scope, receive, send
        self.first: Message | None = None
        self.watch: asyncio.Task[Message] | None = None
        self.work: asyncio.Task[None] | None = None
        self.answered = self.gone = False

    async def run(self) -> None:
        if not {name for name, _ in self.scope["headers"]} & {b"content-length", b"transfer-encoding"}:
            self.first = await self._next()  # a handler that wants no body would never ask
        self.work = asyncio.create_task(self._work())
        try:
            await self.work
        except asyncio.CancelledError:
            if not self.gone:  # it is the server that is being stopped
                raise
        finally:
            self.work.cancel()
            if self.watch is not None:
                self.watch.cancel()

    async def _work(self) -> None:
        await self.app(self.scope, self._receiving, self._sending)

    async def _receiving(self) -> Message:
        if self.first is not None:
            message, self.first = self.first, None
            return message
        if self.watch is not None:
            return await asyncio.shield(self.watch)
        return await self._next()

    async def _sending(self, message: Message) -> None:
        if message["type"] == "http.response.body" and not message.get("more_body", False):
            self.answered = True
        await self.send(message)

    async def _next(self) -> Message:
        message = await self.receive()
        if message["type"] == "http.request" and not message.get("more_body", False):
            self.watch = asyncio.create_task(self._watch())
        return message

    async def _watch(self) -> Message:
        """What comes after the body: that the client is gone, or that it has its answer."""
        message = await self.receive()
        if message["type"] == "http.disconnect" and not self.answered and self.work is not None:
            self.gone = True
            self.work.cancel()
        return message
