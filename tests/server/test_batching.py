"""Texts of many requests in one batch: each gets its own rows, whatever happens to the others."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from vicino.errors import InputError
from vicino.server.batching import Batcher
from vicino.server.failures import Busy


class Counting:
    """Encodes a text as its length and the kind; remembers the batches, and waits in the first where it is told to."""

    def __init__(self, *, hold: bool = False) -> None:
        self.batches: list[tuple[list[str], object]] = []
        self.open = threading.Event()
        self.begun = threading.Event()
        if not hold:
            self.open.set()

    def __call__(self, texts: Sequence[str], kind: object) -> np.ndarray:
        self.batches.append((list(texts), kind))
        self.begun.set()
        assert self.open.wait(30)
        if any("bad" in text for text in texts):
            raise InputError("a bad text", mend="leave it out")
        return np.array([[len(text), {"query": 1, "document": 2}.get(kind, 0)] for text in texts], dtype=np.float32)


def run(work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(asyncio.wait_for(work, 30))


@pytest.fixture
def pool():
    with ThreadPoolExecutor(1) as made:
        yield made


async def begun(encode: Counting) -> None:
    await asyncio.to_thread(encode.begun.wait, 30)


async def first(batcher: Batcher, encode: Counting) -> asyncio.Task[np.ndarray]:
    """A request that is being encoded, so that all others gather."""
    task = asyncio.create_task(batcher.encode(["x"]))
    await begun(encode)
    return task


def test_what_comes_in_meanwhile_is_encoded_together_and_handed_out_rightly(pool):
    encode = Counting(hold=True)

    async def work() -> None:
        batcher = Batcher(encode, pool)
        lone = await first(batcher, encode)
        texts = [["a" * n, "b" * (2 * n)] for n in range(1, 31)]
        tasks = [asyncio.create_task(batcher.encode(each)) for each in texts]
        await asyncio.sleep(0)
        assert batcher.waiting == 60
        encode.open.set()
        assert (await lone)[:, 0].tolist() == [1]
        for task, each in zip(tasks, texts, strict=True):
            assert (await task)[:, 0].tolist() == [len(text) for text in each]
        assert batcher.waiting == 0

    run(work())
    assert [len(texts) for texts, _ in encode.batches] == [1, 60]


def test_no_batch_is_larger_than_it_may_be_and_kinds_do_not_mix(pool):
    encode = Counting(hold=True)

    async def work() -> None:
        batcher = Batcher(encode, pool, max_batch=8)
        lone = await first(batcher, encode)
        kinds = [None, "query", "document"] * 7
        tasks = [asyncio.create_task(batcher.encode(["t"] * 3, kind)) for kind in kinds]
        await asyncio.sleep(0)
        encode.open.set()
        await lone
        for task, kind in zip(tasks, kinds, strict=True):
            assert (await task)[:, 1].tolist() == [{"query": 1, "document": 2}.get(kind, 0)] * 3

    run(work())
    assert max(len(texts) for texts, _ in encode.batches) <= 8
    assert sum(len(texts) for texts, _ in encode.batches) == 64


def test_a_short_request_does_not_wait_behind_a_long_one(pool):
    encode = Counting(hold=True)

    async def work() -> None:
        batcher = Batcher(encode, pool, max_batch=32)
        lone = await first(batcher, encode)
        long = asyncio.create_task(batcher.encode([f"long {n:04d}" for n in range(1000)]))
        await asyncio.sleep(0)
        short = asyncio.create_task(batcher.encode(["short"]))
        await asyncio.sleep(0)
        encode.open.set()
        await lone
        await short
        done = sum(len(texts) for texts, _ in encode.batches)
        assert done <= 1 + 2 * 32
        assert (await long)[:, 0].tolist() == [9] * 1000
        assert done < 1001

    run(work())


def test_rows_of_a_request_of_many_batches_come_back_in_its_order(pool):
    encode = Counting()
    texts = ["x" * n for n in range(1, 201)]

    async def work() -> np.ndarray:
        return await Batcher(encode, pool, max_batch=7).encode(texts)

    assert run(work())[:, 0].tolist() == list(range(1, 201))


def test_a_text_that_cannot_be_encoded_fails_its_own_request_only(pool):
    encode = Counting(hold=True)

    async def work() -> None:
        batcher = Batcher(encode, pool)
        lone = await first(batcher, encode)
        good = [asyncio.create_task(batcher.encode(["good", "texts"])) for _ in range(3)]
        bad = asyncio.create_task(batcher.encode(["fine", "a bad one"]))
        await asyncio.sleep(0)
        encode.open.set()
        await lone
        for task in good:
            assert (await task)[:, 0].tolist() == [4, 5]
        with pytest.raises(InputError, match="a bad text"):
            await bad
        assert batcher.waiting == 0
        assert (await batcher.encode(["after"])).tolist() == [[5, 0]]

    run(work())


def test_nobody_waits_any_more_so_nothing_is_encoded(pool):
    encode = Counting(hold=True)

    async def work() -> None:
        batcher = Batcher(encode, pool)
        lone = await first(batcher, encode)
        gone = [asyncio.create_task(batcher.encode(["gone"] * 5)) for _ in range(20)]
        stays = asyncio.create_task(batcher.encode(["stays"]))
        await asyncio.sleep(0)
        for task in gone:
            task.cancel()
        await asyncio.wait(gone)
        assert batcher.waiting == 1
        encode.open.set()
        await lone
        await stays
        await batcher.drain()

    run(work())
    assert [text for texts, _ in encode.batches for text in texts] == ["x", "stays"]


def test_too_much_is_refused_with_the_time_to_come_back(pool):
    encode = Counting(hold=True)

    async def work() -> None:
        batcher = Batcher(encode, pool, queue_limit=10, queue_bytes=100)
        lone = await first(batcher, encode)
        waits = asyncio.create_task(batcher.encode(["t"] * 8))
        await asyncio.sleep(0)
        with pytest.raises(Busy) as refused:
            await batcher.encode(["t"] * 3)
        assert refused.value.status == 429
        assert int(refused.value.headers["Retry-After"]) >= 1
        with pytest.raises(Busy):
            await batcher.encode(["t" * 101])
        fits = asyncio.create_task(batcher.encode(["t"] * 2))
        await asyncio.sleep(0)
        encode.open.set()
        await asyncio.gather(lone, waits, fits)
        assert len(await batcher.encode(["t"] * 50)) == 50  # an empty queue takes any one request

    run(work())


def test_draining_waits_for_what_was_accepted(pool):
    encode = Counting(hold=True)

    async def work() -> None:
        batcher = Batcher(encode, pool)
        lone = await first(batcher, encode)
        more = asyncio.create_task(batcher.encode(["more"]))
        await asyncio.sleep(0)
        encode.open.set()
        await batcher.drain()
        assert lone.done()
        assert (await more).tolist() == [[4, 0]]

    run(work())
