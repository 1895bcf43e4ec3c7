"""The server for ten minutes under everything at once, with faults; what it acknowledged is there, and what it answers is right.

    python benchmarks/soak.py [--minutes 10] [--seed 0] [--work DIR]

Prints one JSON object; exit code 1 where anything was lost, wrong, or grew. Clients of one `vicino serve`, a process on the
loopback, ask for vectors (compared with the encoder's own), search for what was acknowledged (it must come first, with the text
last written; what was removed must not come), write, replace and remove documents, and judge; others vanish in the middle of a
request or of an answer, or send bodies that are broken (refused with a 4xx). Meanwhile the collection is maintained, by the server
and by other processes, migrated to another encoder and back, and late, twice, the server is killed with -9 and started again.
Memory is that of the first server, from a fifth of its life on: the median of its last third beside that of its first.

A document's text holds a marker that no other has, so that a search for it has one right answer. Documents of which a write was
not acknowledged may be there or not; all others are counted at the end. Texts are drawn by `--seed`, the moments are not.
"""

from __future__ import annotations

import argparse
import json
import os
import random
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
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from rounds import machine
from vicino import encoders
from vicino.client import Client, ServerError
from vicino.data.records import Document
from vicino.encoders.counts import LSA
from vicino.errors import VicinoError
from vicino.retrieval.ingest import Source, ingest

COLLECTION = "soak"
KEPT, STEADY = 2000, 300  # documents that stay, and that come and go
NEAR = 0.9995
FLAT = 0.05
SERVER = """
import sys
from pathlib import Path
from vicino.server.running import serve
from vicino.server.settings import Settings
serve(Settings(port=int(sys.argv[2]), home=Path(sys.argv[1]), encoders=("tiny=" + sys.argv[3],), collections=("soak",)))
"""
COMMAND = "from vicino.cli import main; main()"
WORDS = (
    *(
        "wing",
        "air",
        "lift",
        "drag",
        "engine",
        "tea",
        "water",
        "leaf",
        "steam",
        "bread",
        "dough",
        "oven",
        "yeast",
        "violin",
        "cello",
    ),
    *(
        "string",
        "river",
        "rain",
        "cloud",
        "hill",
        "stone",
        "bridge",
        "ship",
        "sail",
        "harbour",
        "light",
        "glass",
        "mirror",
        "lens",
    ),
)


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


# What is known --------------------------------------------------------------------------------------------------------


@dataclass(eq=False)
class World:
    """What must be there, whatever happens: the text of each document, as last acknowledged; None where nobody knows."""

    home: Path
    seed: int
    texts: dict[str, str | None] = field(default_factory=dict)
    markers: dict[str, str] = field(default_factory=dict)  # of documents
    gone: dict[str, str] = field(default_factory=dict)  # marker -> document, of what was removed or replaced
    judged: dict[str, str] = field(default_factory=dict)  # id -> query
    busy: set[str] = field(default_factory=set)  # documents that a write is about
    wrong: list[str] = field(default_factory=list)
    acknowledged: int = 0
    over: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def encoder_folder(self) -> Path:
        return self.home / "tiny"

    def make(self) -> None:
        """The encoders and the collection before anybody asks."""
        chance = random.Random(self.seed)
        documents = []
        for number in range(KEPT + STEADY):
            name = f"d{number}" if number < KEPT else f"s{number - KEPT}"
            marker, text = drawn(chance)
            documents.append(Document(name, text))
            self.texts[name], self.markers[name] = text, marker
        LSA(n_components=48).fit([one.text for one in documents]).save(self.encoder_folder)
        LSA(n_components=32, seed=1).fit([one.text for one in documents]).save(self.home / "other")
        recipe = f"bm25+{self.encoder_folder}"
        ingest(self.home / "collections", COLLECTION, Source("api", documents, lacks=lambda _: False), recipe=recipe, cut="whole")
        encoder = encoders.make(self.encoder_folder)
        self.queries = [" ".join(chance.choices(WORDS, k=6)) for _ in range(500)]
        self.vectors = unit(encoder.encode(self.queries))

    def take(self, chance: random.Random) -> str | None:
        """A document of those that come and go that no other write is about."""
        with self.lock:
            free = [name for name in (f"s{number}" for number in range(STEADY)) if name not in self.busy]
            name = chance.choice(free) if free else None
            if name:
                self.busy.add(name)
            return name

    def known(self, chance: random.Random) -> tuple[str, str, str] | None:
        """A document, its marker and its text, that nobody is writing."""
        with self.lock:
            name = chance.choice(list(self.markers))
            text = self.texts.get(name)
            return None if text is None or name in self.busy else (name, self.markers[name], text)

    def still(self, name: str, text: str) -> bool:
        with self.lock:
            return name not in self.busy and self.texts.get(name) == text

    def count(self, client: Client) -> list[str]:
        """What was acknowledged and is not there, document by document, and what was removed and is."""
        lost = []
        for name, text in self.texts.items():
            if text is not None:
                found = client.search(COLLECTION, self.markers[name], 1, mode="lexical").results
                if not found or (found[0].document, found[0].text) != (name, text):
                    lost.append(f"{name}: {text[:60]!r}")
        for marker, name in list(self.gone.items())[-500:]:
            if any(marker in one.text for one in client.search(COLLECTION, marker, 1, mode="lexical")):
                lost.append(f"{name} came back: {marker}")
        kept = {one["id"] for one in client.judgments(COLLECTION)}
        return lost + [f"judgment {name}" for name in self.judged if name not in kept]


def drawn(chance: random.Random) -> tuple[str, str]:
    """A marker that no other text has, and a text with it."""
    marker = "q" + "".join(chance.choices("bcdfghjklmnpqrstvwxz", k=14))
    words = chance.choices(WORDS, k=chance.randrange(8, 40))
    words.insert(chance.randrange(len(words)), marker)
    return marker, " ".join(words)


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


# Clients --------------------------------------------------------------------------------------------------------------


class Worker:
    """One client after the other does one thing, until all is over."""

    def __init__(self, world: World, port: int, job: Callable[[Worker], None], seed: int) -> None:
        self.world, self.port, self.job = world, port, job
        self.chance = random.Random(seed)
        self.client = Client(f"http://127.0.0.1:{port}", key="", timeout=60, retries=2)
        self.done: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()

    def run(self) -> None:
        name = self.job.__name__
        while not self.world.over.is_set():
            try:
                self.job(self)
                self.done[name] += 1
            except (ServerError, ConnectionError, TimeoutError) as error:  # the server is being killed, or is full
                status = getattr(error, "status", 0)
                self.failed[f"{name} {status or type(error).__name__}"] += 1
                if status >= 500 and status not in (503, 504):
                    self.world.wrong.append(f"{name}: {error}")
                self.world.over.wait(0.2)
            except VicinoError as error:  # nobody asks for what is not there
                self.world.wrong.append(f"{name}: {error}")
            self.world.over.wait(self.chance.uniform(0, 0.05))


def embeds(worker: Worker) -> None:
    start = worker.chance.randrange(len(worker.world.queries) - 8)
    stop = start + worker.chance.randrange(1, 8)
    found = unit(worker.client.embed(worker.world.queries[start:stop], model="tiny"))
    if (found * worker.world.vectors[start:stop]).sum(axis=1).min() < NEAR:
        worker.world.wrong.append(f"vectors of {worker.world.queries[start:stop]}")


def searches(worker: Worker) -> None:
    known = worker.world.known(worker.chance)
    if known is None:
        return
    name, marker, text = known
    found = worker.client.search(COLLECTION, marker, 3, mode=worker.chance.choice(["lexical", "hybrid", "recipe"]), explain=True)
    right = found and marker in found[0].text and (found[0].document, found[0].text) == (name, text)
    if not right and worker.world.still(name, text):  # nobody wrote meanwhile
        first = f"{found[0].document} {found[0].text[:60]!r}" if found else "nothing"
        worker.world.wrong.append(f"a search for {name} ({marker}) found {first}")


def misses(worker: Worker) -> None:
    """What was removed, or replaced, is not found any more."""
    with worker.world.lock:
        marker = worker.chance.choice(list(worker.world.gone)) if worker.world.gone else None
    if marker and any(marker in one.text for one in worker.client.search(COLLECTION, marker, 3, mode="lexical")):
        worker.world.wrong.append(f"{marker} came back")


def writes(worker: Worker) -> None:
    """Replace a document, or write one that was removed; what is not acknowledged is in doubt until it is written again."""
    world, name = worker.world, worker.world.take(worker.chance)
    if name is None:
        return
    try:
        marker, text = drawn(worker.chance)
        with world.lock:
            before = world.markers.pop(name, None)
            world.texts[name] = None
        worker.client.ingest(COLLECTION, [Document(name, text)])
        with world.lock:
            world.texts[name], world.markers[name] = text, marker
            world.acknowledged += 1
            if before:
                world.gone[before] = name
    finally:
        with world.lock:
            world.busy.discard(name)


def removes(worker: Worker) -> None:
    world, name = worker.world, worker.world.take(worker.chance)
    if name is None:
        return
    try:
        with world.lock:
            before = world.markers.pop(name, None)
            world.texts[name] = None
        worker.client.delete(COLLECTION, ids=[name])
        with world.lock:
            world.acknowledged += 1
            if before:
                world.gone[before] = name
    finally:
        with world.lock:
            world.busy.discard(name)


def judges(worker: Worker) -> None:
    query = worker.chance.choice(worker.world.queries)
    name = worker.client.judge(COLLECTION, query, f"d{worker.chance.randrange(KEPT)}", worker.chance.randrange(4), source="api")
    with worker.world.lock:
        worker.world.judged[name] = query
        worker.world.acknowledged += 1
    worker.world.over.wait(1.0)


def vanishes(worker: Worker) -> None:
    """Send a part of a request, or all of it, and hang up."""
    body = json.dumps({"model": "tiny", "input": worker.world.queries[: worker.chance.randrange(1, 200)]}).encode()
    head = f"POST /v1/embeddings HTTP/1.1\r\nHost: 127.0.0.1:{worker.port}\r\nContent-Type: application/json\r\n"
    request = head.encode() + f"Content-Length: {len(body)}\r\n\r\n".encode() + body
    sent = request[: worker.chance.choice([10, len(head), len(head) + 40, len(request) // 2, len(request)])]
    with socket.create_connection(("127.0.0.1", worker.port), timeout=10) as connection:
        connection.sendall(sent)
        if worker.chance.random() < 0.3 and sent == request:
            connection.recv(10)
        if worker.chance.random() < 0.5:  # a reset, not an end
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")


BROKEN: tuple[tuple[str, bytes], ...] = (
    ("/v1/embeddings", b"{"),
    ("/v1/embeddings", b'{"model": "tiny", "input": [1, "a"]}'),
    ("/v1/embeddings", b'{"model": "none", "input": "a"}'),
    ("/v1/embeddings", b'{"model": "tiny", "input": ' + b"[" * 5000),
    ("/v1/embeddings", b"\xff\xfe\x00"),
    ("/api/search", b'{"collection": "soak", "query": "a", "k": 1e9}'),
    ("/api/search", b'{"collection": "soak", "query": "a", "k": NaN}'),
    ("/api/search", b'{"collection": "soak", "query": "a", "where": "(((" }'),
    ("/api/search", b'{"collection": "../soak", "query": "a"}'),
    ("/api/collections/soak/documents", b'{"documents": [{"id": 1}]}'),
    ("/api/judgments", b'{"collection": "soak", "query": "a", "document": "d0", "grade": 9}'),
)


def breaks(worker: Worker) -> None:
    """Ask for what cannot be: it is refused, and no more."""
    path, body = worker.chance.choice(BROKEN)
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{worker.port}\r\nContent-Type: application/json\r\nConnection: close\r\n"
    with socket.create_connection(("127.0.0.1", worker.port), timeout=60) as connection:
        connection.sendall(head.encode() + f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
        answer = connection.recv(1 << 16)
    if answer and not answer.startswith((b"HTTP/1.1 4", b"HTTP/1.1 503")):
        worker.world.wrong.append(f"{path} {body[:60]!r} was answered {answer[:60]!r}")


JOBS: list[Callable[[Worker], None]] = [embeds, searches, misses, writes, removes, judges, vanishes, breaks]


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
