"""What benchmarks/soak.py knows to be there, and its clients: each does one thing over and over, and says what was not right."""

from __future__ import annotations

import json
import random
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from vicino import encoders
from vicino.client import Client, ServerError
from vicino.data.records import Document
from vicino.encoders.counts import LSA
from vicino.errors import VicinoError
from vicino.retrieval.ingest import Source, ingest

__all__ = ["COLLECTION", "JOBS", "Worker", "World"]

COLLECTION = "soak"
KEPT, STEADY = 2000, 300  # documents that stay, and that come and go
NEAR = 0.9995  # the cosine of a right vector
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
    """Replace a document, or write one that was removed."""
    name = worker.world.take(worker.chance)
    if name is not None:
        marker, text = drawn(worker.chance)
        with changing(worker.world, name, marker, text):
            worker.client.ingest(COLLECTION, [Document(name, text)])


def removes(worker: Worker) -> None:
    name = worker.world.take(worker.chance)
    if name is not None:
        with changing(worker.world, name):
            worker.client.delete(COLLECTION, ids=[name])


@contextmanager
def changing(world: World, name: str, marker: str = "", text: str | None = None) -> Iterator[None]:
    """A document that was taken becomes this text with this marker, or goes; not acknowledged, it is in doubt until the next."""
    try:
        with world.lock:
            before = world.markers.pop(name, None)
            world.texts[name] = None
        yield
        with world.lock:
            world.texts[name] = text
            world.acknowledged += 1
            if marker:
                world.markers[name] = marker
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
