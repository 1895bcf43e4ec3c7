"""The server for ten minutes under everything at once, with faults; what it acknowledged is there, and what it answers is right.

    python benchmarks/soak.py [--minutes 10] [--seed 0] [--work DIR]

Prints one JSON object; exit code 1 where anything was lost, wrong, or grew. Clients of one `vicino serve`, a process on the
loopback, ask for vectors (compared with the encoder's own), search for what was acknowledged (it must come first, with the text
last written; what was removed must not come), write, replace and remove documents, and judge; others vanish in the middle of a
request or of an answer, or send bodies that are broken (refused with a 4xx). Meanwhile the collection is maintained, by the
server and by other processes, migrated to another encoder and back, and late, twice, the server is killed and started again.
Memory is that of the first server, from a fifth of its life on: the median of its last third beside that of its first.

A document's text holds a marker that no other has, so that a search for it has one right answer. Documents of which a write was
not acknowledged may be there or not; all others are counted at the end. Texts are drawn by `--seed`, the moments are not.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rounds import machine
from soak_clients import COLLECTION, JOBS, Worker, World
from vicino.client import Client, ServerError

FLAT = 0.05
SERVER = """
import sys
from pathlib import Path
from vicino.server.running import serve
from vicino.server.settings import Settings
serve(Settings(port=int(sys.argv[2]), home=Path(sys.argv[1]), encoders=("tiny=" + sys.argv[3],), collections=("soak",)))
"""
COMMAND = "from vicino.cli import main; main()"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=Path, help="a folder for what is kept meanwhile, which then stays")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        report = soak(options.work or Path(folder), 60 * options.minutes, options.seed)
    report = {
        "benchmark": "soak",
        "machine": machine(),
        "parameters": {"minutes": options.minutes, "seed": options.seed},
        **report,
    }
    print(json.dumps(report, indent=1))
    raise SystemExit(0 if report["sound"] else 1)


def soak(home: Path, seconds: float, seed: int) -> dict[str, Any]:
    world = World(home, seed)
    world.make()
    server = Server(home, world.encoder_folder)
    try:
        server.start()
        workers = [Worker(world, server.port, each, seed + place) for place, each in enumerate(JOBS * 2)]
        threads = [threading.Thread(target=worker.run, daemon=True) for worker in workers]
        for thread in threads:
            thread.start()
        operator = Operator(home, server, world, seconds)
        operator.run()
        world.over.set()
        for thread in threads:
            thread.join(120)
            if thread.is_alive():
                world.wrong.append("a client hangs")
        lost = world.count(Client(f"http://127.0.0.1:{server.port}", key=""))
    finally:
        server.stop()
    memory = server.memory()
    grew = memory.get("grew")
    asked = sum((worker.done for worker in workers), Counter())
    return {
        "sound": not world.wrong and not lost and (grew is None or abs(grew) <= FLAT),
        "seconds": round(seconds),
        "requests": dict(sorted(asked.items())),
        "acknowledged_writes": world.acknowledged,
        "wrong_answers": world.wrong[:20],
        "lost": lost[:20],
        "operator": operator.did,
        "not_answered": dict(sorted(sum((worker.failed for worker in workers), Counter()).items())),
        "memory": memory,
    }


# The server, and who looks after it -----------------------------------------------------------------------------------


class Server:
    """The process, and how much memory it has."""

    def __init__(self, home: Path, encoder: Path) -> None:
        self.home, self.encoder = home, encoder
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.sizes: list[tuple[float, int]] = []  # seconds and bytes of the first process
        self.first = True

    def start(self) -> None:
        command = [sys.executable, "-c", SERVER, str(self.home), str(self.port), str(self.encoder)]
        log = (self.home / "server.log").open("ab")
        with log:
            self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=log)
        until = time.monotonic() + 300
        client = Client(f"http://127.0.0.1:{self.port}", key="", retries=0)
        while True:
            try:
                if client.ready()["ready"]:
                    return
            except ServerError:
                pass
            if self.process.poll() is not None or time.monotonic() > until:
                raise SystemExit((self.home / "server.log").read_text()[-3000:])
            time.sleep(0.1)

    def kill(self) -> None:
        self.first = False
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.kill()

    def sample(self) -> None:
        if self.first:
            pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
            self.sizes.append((time.monotonic(), pages * os.sysconf("SC_PAGE_SIZE")))

    def memory(self) -> dict[str, Any]:
        """Megabytes in the first and the last third of the first process's life, after its first fifth."""
        settled = [size for _, size in self.sizes[len(self.sizes) // 5 :]]
        third = len(settled) // 3
        if not third:
            return {"samples": len(self.sizes)}
        early, late = statistics.median(settled[:third]), statistics.median(settled[-third:])
        told = {"samples": len(self.sizes), "early_mb": round(early / 1e6, 1), "late_mb": round(late / 1e6, 1)}
        return {**told, "most_mb": round(max(settled) / 1e6, 1), "grew": round(late / early - 1, 4)}


class Operator:
    """Maintains, migrates and kills, at set shares of the time."""

    def __init__(self, home: Path, server: Server, world: World, seconds: float) -> None:
        self.home, self.server, self.world, self.seconds = home, server, world, seconds
        self.did: list[str] = []
        self.children: list[tuple[str, subprocess.Popen[str]]] = []

    def run(self) -> None:
        there = str(self.home / "other")
        plan: list[tuple[float, str, Callable[[], None]]] = [
            (0.10, "maintain", self.maintain),
            (0.20, "migrate", lambda: self.command("migrate", COLLECTION, "--to", there, "--force")),
            (0.35, "maintain by another process", lambda: self.command("maintain", COLLECTION)),
            (0.45, "roll back", lambda: self.command("migrate", COLLECTION, "--rollback")),
            (0.60, "maintain", self.maintain),
            (0.75, "kill -9", self.kill),
            (0.85, "maintain by another process", lambda: self.command("maintain", COLLECTION)),
            (0.90, "kill -9", self.kill),
        ]
        began = time.monotonic()
        while time.monotonic() - began < self.seconds:
            if plan and time.monotonic() - began >= plan[0][0] * self.seconds:
                share, name, act = plan.pop(0)
                told(f"{round(share * self.seconds)} s: {name}")
                self.did.append(f"{round(time.monotonic() - began)} s: {name}")
                act()
            self.server.sample()
            if self.server.process.poll() is not None:
                raise SystemExit("the server ended by itself: " + (self.home / "server.log").read_text()[-3000:])
            time.sleep(min(2.0, self.seconds / 100))
        for name, child in self.children:
            told_by, _ = child.communicate(timeout=300)
            if child.returncode:
                self.world.wrong.append(f"{name} failed: {told_by[-400:]}")

    def command(self, *words: str) -> None:
        environment = {**os.environ, "VICINO_HOME": str(self.home)}
        command = [sys.executable, "-c", COMMAND, *words, "--quiet"]
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        child = subprocess.Popen(command, env=environment, text=True, **pipes)
        self.children.append((" ".join(words[:2]), child))

    def maintain(self) -> None:
        Client(f"http://127.0.0.1:{self.server.port}", key="", timeout=300).maintain(COLLECTION)

    def kill(self) -> None:
        self.server.kill()
        time.sleep(0.5)
        self.server.start()


def told(what: str) -> None:
    print(f"{what} ...", file=sys.stderr)


if __name__ == "__main__":
    main()
