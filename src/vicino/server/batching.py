"""Texts of many requests, encoded together: a network reads 64 short texts in little more time than one.

While a batch is being encoded the next one gathers, so that batches are as large as the load and a lone request hardly waits.
Requests take turns by a few texts, so that a long one does not hold up the short ones. What nobody waits for any more is
dropped before it costs anything, and what would be too much to hold is refused at the door.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from vicino.server.failures import Busy

__all__ = ["Batcher", "Encode", "Kind"]

Kind = Literal["query", "document"] | None
Encode = Callable[[Sequence[str], Kind], NDArray[np.float32]]

_TURN = 16  # texts that one request may put into a batch before the others had their turn
_PATIENCE = 0.1  # of the seconds of a batch, until the next one begins all the same
_FORGET = 0.8  # the weight of what is known of the speed, beside the last batch


@dataclass(eq=False)
class _Waiting:
    """A request's texts; `begun` are in a batch, the rows of `done` have come back."""

    texts: Sequence[str]
    kind: Kind
    nbytes: int
    answer: asyncio.Future[NDArray[np.float32]]
    begun: int = 0
    done: int = 0
    rows: list[tuple[int, NDArray[np.float32]]] = field(default_factory=list)

    @property
    def left(self) -> int:
        return len(self.texts) - self.begun


class Batcher:
    """Encodes what comes in together, in one thread of `executor` at a time; it lives in one event loop.

    `encode` is called with at most `max_batch` texts of one kind. At most `queue_limit` texts of `queue_bytes` together wait (of
    an empty queue one request is always taken). A batch waits at most `wait_s` until it is as large as the last one was, so that
    a lone client waits for nobody. `observe` hears of each batch: its texts and its seconds.
    """

    def __init__(
        self,
        encode: Encode,
        executor: Executor,
        *,
        max_batch: int = 256,
        wait_s: float = 0.002,
        queue_limit: int = 8192,
        queue_bytes: int = 64 << 20,
        observe: Callable[[int, float], None] = lambda texts, seconds: None,  # noqa: ARG005
    ) -> None:
        self._encode, self._executor, self._observe = encode, executor, observe
        self.max_batch, self.wait_s = max_batch, wait_s
        self.queue_limit, self.queue_bytes = queue_limit, queue_bytes
        self._queue: deque[_Waiting] = deque()
        self._texts = self._bytes = 0
        self._speed = 0.0  # texts a second, as far as is known
        self._last, self._took = 1, 0.0  # texts in the last batch, and its seconds
        self._running: asyncio.Task[None] | None = None

    @property
    def waiting(self) -> int:
        """How many texts wait, those being encoded not among them."""
        return self._texts

    async def encode(self, texts: Sequence[str], kind: Kind = None) -> NDArray[np.float32]:
        """The vectors of the texts, (n, dim), in their order.

        Raises Busy where too much waits already, and what the encoder raises. Who is cancelled costs nothing further.
        """
        if not texts:
            raise ValueError("no texts")  # whoever asks has refused that
        nbytes = sum(map(len, texts))
        if self._texts and (self._texts + len(texts) > self.queue_limit or self._bytes + nbytes > self.queue_bytes):
            raise Busy(f"{self._texts:,} texts wait to be encoded already", retry_after=self._texts / (self._speed or 100.0))
        one = _Waiting(texts, kind, nbytes, asyncio.get_running_loop().create_future())
        self._queue.append(one)
        self._texts += len(texts)
        self._bytes += nbytes
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(self._run())
        try:
            return await one.answer
        finally:
            self._leave(one)

    async def drain(self) -> None:
        """Wait until everything that was accepted is answered."""
        while self._running is not None and not self._running.done():
            await asyncio.wait([self._running])

    def _leave(self, one: _Waiting) -> None:
        """Forget what nobody waits for."""
        self._bytes -= one.nbytes
        self._texts -= one.left
        one.begun = len(one.texts)
        if one in self._queue:
            self._queue.remove(one)

    async def _run(self) -> None:
        while self._queue:
            await self._company()
            parts = self._gather()
            if parts:
                await self._one_batch(parts)

    async def _company(self) -> None:
        """Wait a little for as many texts as came together last."""
        end = time.perf_counter() + max(self.wait_s, _PATIENCE * self._took)
        while self.wait_s and self._texts < min(self._last, self.max_batch) and time.perf_counter() < end:
            await asyncio.sleep(self.wait_s)

    async def _one_batch(self, parts: Sequence[_Part]) -> None:
        texts = [text for one, start, stop in parts for text in one.texts[start:stop]]
        began = time.perf_counter()
        try:
            call = asyncio.get_running_loop().run_in_executor(self._executor, self._encode, texts, parts[0][0].kind)
            vectors = np.asarray(await call, dtype=np.float32)
        except Exception as error:  # noqa: BLE001 - it belongs to those who wait, whatever it is
            await self._fail(parts, error)
            return
        seconds = time.perf_counter() - began
        speed = len(texts) / max(seconds, 1e-6)
        self._speed = _FORGET * self._speed + (1 - _FORGET) * speed if self._speed else speed
        self._last, self._took = len(texts), seconds
        self._observe(len(texts), seconds)
        _hand_out(parts, vectors)

    async def _fail(self, parts: Sequence[_Part], error: Exception) -> None:
        """A text that cannot be encoded fails the request that it came with, and no other."""
        if len(parts) == 1:
            one = parts[0][0]
            if not one.answer.done():
                one.answer.set_exception(error)
            return
        for part in parts:
            if not part[0].answer.done():
                await self._one_batch([part])

    def _gather(self) -> list[_Part]:
        """The next batch: turn by turn, of the kind of the request that has waited longest."""
        queue = [one for one in self._queue if not one.answer.done()]
        taken: dict[_Waiting, int] = {}
        room = self.max_batch
        turn = [one for one in queue if one.kind == queue[0].kind]
        while room and turn:
            for one in turn:
                count = min(_TURN, room, one.left)
                if count:
                    taken.setdefault(one, one.begun)
                    one.begun += count
                    room -= count
            turn = [one for one in turn if one.left]
        parts = [(one, start, one.begun) for one, start in taken.items()]
        self._texts -= sum(stop - start for _, start, stop in parts)
        rest = [one for one in taken if one.left]  # who had a turn goes behind who had none
        self._queue = deque([one for one in queue if one not in taken] + rest)
        return parts


_Part = tuple[_Waiting, int, int]  # the texts from ... to of a request


def _hand_out(parts: Sequence[_Part], vectors: NDArray[np.float32]) -> None:
    """Give each request its rows; who has all of them is answered."""
    place = 0
    for one, start, stop in parts:
        one.rows.append((start, vectors[place : place + stop - start]))
        place += stop - start
        one.done += stop - start
        if one.done == len(one.texts) and not one.answer.done():
            one.answer.set_result(np.concatenate([rows for _, rows in sorted(one.rows, key=lambda part: part[0])]))
