"""Clients of an HTTP server, as many as asked, in one process of their own: each sends its next request when it has its answer.

    python benchmarks/serve_load.py < JOB

JOB is JSON: `host`, `port`, `path`, `bodies` (JSON texts, taken in turn), `clients`, `seconds`. The requests are made beforehand
and answers are only counted, so that of two cores as little as may be goes to asking. Prints JSON: the milliseconds of each
answer that began after a tenth of the time, the seconds that these took, and how many answers had another status than 200.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
import time
from typing import Any

__all__ = ["load"]


def main() -> None:
    json.dump(asyncio.run(load(json.load(sys.stdin))), sys.stdout)


async def load(job: dict[str, Any]) -> dict[str, Any]:
    """Run one job."""
    head = f"POST {job['path']} HTTP/1.1\r\nHost: {job['host']}:{job['port']}\r\nContent-Type: application/json\r\n"
    requests = [f"{head}Content-Length: {len(body.encode())}\r\n\r\n{body}".encode() for body in job["bodies"]]
    turn = itertools.cycle(requests)
    began = time.perf_counter()
    counting, end = began + job["seconds"] / 10, began + job["seconds"]
    milliseconds: list[float] = []
    refused = 0

    async def client() -> None:
        nonlocal refused
        reader, writer = await asyncio.open_connection(job["host"], job["port"])
        try:
            while (sent := time.perf_counter()) < end:
                writer.write(next(turn))
                status = await _answer(reader)
                if status != 200:
                    refused += 1
                elif sent >= counting:
                    milliseconds.append(1000 * (time.perf_counter() - sent))
        finally:
            writer.close()

    await asyncio.gather(*(client() for _ in range(job["clients"])))
    return {"milliseconds": milliseconds, "seconds": time.perf_counter() - counting, "refused": refused}


async def _answer(reader: asyncio.StreamReader) -> int:
    """Read an answer to its end; its status."""
    head = await reader.readuntil(b"\r\n\r\n")
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            await reader.readexactly(int(value))
    return int(head[9:12])


if __name__ == "__main__":
    main()
