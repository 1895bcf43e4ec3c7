"""The server under load, on the loopback: embeddings beside plain servers, and hybrid search of 100,000 chunks.

    python benchmarks/serve.py --data DIR [--rounds 5] [--seconds 6] [--only embeddings,search] [--home DIR]

Prints one JSON object; paragraphs of Wikipedia are what is asked and kept. "embeddings": requests of one text each, queries of
eight words and passages of 300 characters, at 1, 8 and 64 clients, to vicino (`/v1/embeddings`, which encodes together what comes
in together) and in turn to servers on the same web framework which encode each request by itself, as one writes them in an
afternoon: "plain" has vicino's encoder, "sentence-transformers" that package's, with the same weights. Their handlers run in
threads, as FastAPI's do, of which one at a time encodes (without that lock they are slower: `--no-lock`). All answer in base64 as
OpenAI's client asks; the lowest cosine between their vectors and vicino's stands beside.

"search": milliseconds of `/api/search` at 1 and 8 clients, and which share of them is ours: all but embedding the query, BM25 and
the vector index, as the server times them. With `--home` the collection is made once and kept there.

Clients, in a process of their own, have the same cores as the servers: figures are those of both together.
"""

from __future__ import annotations

import argparse
import base64
import http.client
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from ingest import paragraphs
from rounds import machine, ratio
from vicino.data.records import Document
from vicino.retrieval.ingest import Source, ingest
from vicino.store.collection import Collection

CLIENTS = (1, 8, 64)
TEXTS, CHUNKS, QUERIES, K = 512, 100_000, 500, 10
LONGEST = 300  # characters of a text, and of a chunk: three sentences or so
MODEL, COLLECTION = "minilm", "wiki"
SERVER = """
import sys
from pathlib import Path
from vicino.server.running import serve
from vicino.server.settings import Settings
serve(Settings(port=0, home=Path(sys.argv[1]), encoders=("minilm",)), told=lambda address: print(address, flush=True))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="the folder that holds enwiki-2015-slice/")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=6.0, help="of each measurement")
    parser.add_argument("--only", metavar="A,B", default="embeddings,search", help="some of the parts")
    parser.add_argument("--chunks", type=int, default=CHUNKS)
    parser.add_argument("--recipe", default=f"bm25+{MODEL}")
    parser.add_argument("--home", type=Path, help="where the collection is kept for the next time")
    parser.add_argument("--no-lock", action="store_true", help="let the plain servers encode in several threads")
    parser.add_argument("--plain", help=argparse.SUPPRESS)  # the process of its own
    options = parser.parse_args()
    if options.plain:
        plain_server(options.plain, lock=not options.no_lock)
        return
    with tempfile.TemporaryDirectory() as folder:
        home = options.home or Path(folder)
        parts = {"embeddings": lambda: embeddings(options, Path(folder)), "search": lambda: search(options, home)}
        parameters = {"rounds": options.rounds, "seconds": options.seconds, "chunks": options.chunks, "recipe": options.recipe}
        report: dict[str, Any] = {"benchmark": "serve", "machine": machine(), "parameters": {"model": MODEL, **parameters}}
        report |= {name: parts[name]() for name in options.only.split(",")}
    print(json.dumps(report, indent=1))


# Embeddings -----------------------------------------------------------------------------------------------------------


def embeddings(options: argparse.Namespace, home: Path) -> dict[str, Any]:
    documents = list(paragraphs(options.data, TEXTS))
    texts = {
        "queries": [" ".join(one.text.split()[:8]) for one in documents],
        "passages": [one.text[:LONGEST] for one in documents],
    }
    lock = ["--no-lock"] if options.no_lock else []
    commands = {OURS: [sys.executable, "-c", SERVER, str(home)]}
    commands |= {name: [sys.executable, __file__, "--data", "-", "--plain", name, *lock] for name in PLAIN}
    with ExitStack() as running:
        addresses = {name: running.enter_context(listening(command)) for name, command in commands.items()}
        return {"plain_ones_encode_in_turn": not options.no_lock} | {
            name: asked_for(addresses, each, options) for name, each in texts.items()
        }


def asked_for(addresses: Mapping[str, str], texts: Sequence[str], options: argparse.Namespace) -> dict[str, Any]:
    """All servers asked for the same texts, by few clients and by many."""
    bodies = [json.dumps({"model": MODEL, "input": text, "encoding_format": "base64"}) for text in texts]
    vectors = {name: encoded(address, bodies) for name, address in addresses.items()}  # and warm
    return {
        "texts": len(texts),
        "characters_a_text": round(statistics.mean(map(len, texts))),
        "clients": {str(clients): contest(addresses, bodies, clients, options) for clients in CLIENTS},
        "lowest_cosine": {name: round(float((vectors[OURS] * vectors[name]).sum(axis=1).min()), 6) for name in PLAIN},
    }


def contest(addresses: Mapping[str, str], bodies: Sequence[str], clients: int, options: argparse.Namespace) -> dict[str, Any]:
    """All servers in every round; whoever began a round ends the next."""
    rounds: dict[str, list[dict[str, float]]] = {name: [] for name in addresses}
    for number in range(options.rounds):
        for name in list(addresses) if number % 2 == 0 else reversed(list(addresses)):
            rounds[name].append(asked(addresses[name], "/v1/embeddings", bodies, clients, options.seconds))
            told(f"{clients} clients, round {number + 1}, {name}: {rounds[name][-1]['requests_a_second']:.0f} requests a second")
    speeds = {name: [one["requests_a_second"] for one in each] for name, each in rounds.items()}
    summed = {
        name: {key: round(statistics.median(one[key] for one in each), 1) for key in each[0]} for name, each in rounds.items()
    }
    return {**summed, "times_the_requests": {name: ratio(speeds[OURS], speeds[name]) for name in PLAIN}}


def plain_server(name: str, *, lock: bool) -> None:
    """FastAPI, one request, one encode."""
    import contextlib
    import threading

    import uvicorn
    from fastapi import FastAPI, Response

    encode = PLAIN[name]()
    encode(["warm"])
    turn: Any = threading.Lock() if lock else contextlib.nullcontext()
    app = FastAPI()

    @app.post("/v1/embeddings")
    def embed(body: dict[str, Any]) -> Response:
        with turn:
            vectors = encode([body["input"]])
        row = base64.b64encode(np.asarray(vectors[0], "<f4").tobytes()).decode()
        plain = {"object": "list", "data": [{"object": "embedding", "index": 0, "embedding": row}], "model": MODEL}
        return Response(json.dumps(plain), media_type="application/json")

    @app.get("/ready")
    def ready() -> dict[str, bool]:
        return {"ready": True}

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    print(f"http://127.0.0.1:{port}", flush=True)
    uvicorn.run(app, port=port, log_level="warning")  # not on a socket made here: that would answer with Nagle's delay


def _ours() -> Callable[[list[str]], Any]:
    from vicino import encoders

    return encoders.make(MODEL).encode


def _theirs() -> Callable[[list[str]], Any]:
    import sentence_transformers

    from vicino.encoders.transformer.sources import MINILM, find

    model = sentence_transformers.SentenceTransformer(str(find(MINILM)), device="cpu")
    return lambda texts: model.encode(texts, show_progress_bar=False)


OURS = "vicino"
PLAIN: dict[str, Callable[[], Callable[[list[str]], Any]]] = {"plain": _ours, "sentence-transformers": _theirs}


def encoded(address: str, bodies: Sequence[str]) -> np.ndarray:
    """The vectors of all, asked by 32 clients at once so that they are encoded together where possible: (n, dim), unit rows."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(32) as pool:
        answers = list(pool.map(lambda body: post(address, "/v1/embeddings", body), bodies))
    rows = np.stack([np.frombuffer(base64.b64decode(one["data"][0]["embedding"]), "<f4") for one in answers])
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


# Search ---------------------------------------------------------------------------------------------------------------


def search(options: argparse.Namespace, home: Path) -> dict[str, Any]:
    documents = list(paragraphs(options.data, options.chunks + QUERIES))
    kept = [Document(one.id, one.text[:LONGEST], metadata=one.metadata) for one in documents[: options.chunks]]
    seconds = made(home, kept, options.recipe)
    questions = [" ".join(one.text.split()[:8]) for one in documents[options.chunks :]]
    asking = {"collection": COLLECTION, "k": K, "mode": "hybrid"}
    bodies = [json.dumps({**asking, "query": question}) for question in questions]
    with listening([sys.executable, "-c", SERVER, str(home)]) as address:
        shares = ours(address, bodies)
        clients = {str(count): asked(address, "/api/search", bodies, count, options.seconds * options.rounds) for count in (1, 8)}
    return {"chunks": len(kept), "ingest_seconds": seconds, "queries": len(questions), "clients": clients, **shares}


def made(home: Path, documents: Sequence[Document], recipe: str) -> float | None:
    """The collection, unless it is there; the seconds that it took."""
    if COLLECTION in Collection.names(home / "collections"):
        there = Collection.open(home / "collections", COLLECTION).store.stats().documents
        if there != len(documents):
            raise SystemExit(f"{home} keeps {there:,} chunks and not {len(documents):,}: give another --home")
        return None
    told(f"{len(documents):,} chunks")
    began = time.perf_counter()
    ingest(home / "collections", COLLECTION, Source("wiki", documents), recipe=recipe, cut="whole")
    return round(time.perf_counter() - began, 1)


def ours(address: str, bodies: Sequence[str]) -> dict[str, Any]:
    """One query after the other: where the time goes, by the server's own clock and the client's."""
    for body in bodies[:20]:
        post(address, "/api/search", body)
    spent, rows = [], []
    for body in bodies:
        began = time.perf_counter()
        answer = post(address, "/api/search", body)
        spent.append(1000 * (time.perf_counter() - began))
        rows.append(answer["timing"])
    index = [sum(row.get(name, 0.0) for name in ("embed_ms", "lexical_ms", "dense_ms")) for row in rows]
    shares = [1 - used / whole for used, whole in zip(index, spent, strict=True)]
    names = sorted({name for row in rows for name in row})
    return {
        "stages_ms": {name: round(statistics.median(row.get(name, 0.0) for row in rows), 2) for name in names},
        "client_ms": round(statistics.median(spent), 2),
        "share_that_is_ours": round(statistics.median(shares), 3),
    }


# Both -----------------------------------------------------------------------------------------------------------------


@contextmanager
def listening(command: Sequence[str]) -> Iterator[str]:
    """A server in a process of its own, ready: its address."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=os.environ)
    try:
        address = process.stdout.readline().strip()
        if not address:
            raise SystemExit(f"no server: {' '.join(command)[:300]}")
        until = time.monotonic() + 600
        while True:
            try:
                if post(address, "/ready").get("ready"):
                    break
            except OSError:
                pass
            if time.monotonic() > until:
                raise SystemExit("the server is not ready after ten minutes")
            time.sleep(0.2)
        yield address
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def post(address: str, path: str, body: str | None = None) -> Any:
    """One request by itself."""
    place = urlsplit(address)
    connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=120)
    try:
        connection.request("GET" if body is None else "POST", path, body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        plain = json.loads(response.read())
        if response.status not in (200, 503):
            raise SystemExit(f"{path}: {response.status} {plain}")
        return plain
    finally:
        connection.close()


def asked(address: str, path: str, bodies: Sequence[str], clients: int, seconds: float) -> dict[str, float]:
    """So many clients for so many seconds, in a process of their own."""
    place = urlsplit(address)
    job = {"host": place.hostname, "port": place.port, "path": path, "bodies": bodies, "clients": clients, "seconds": seconds}
    command = [sys.executable, str(Path(__file__).with_name("serve_load.py"))]
    done = json.loads(subprocess.run(command, input=json.dumps(job), capture_output=True, check=True, text=True).stdout)
    if done["refused"] or not done["milliseconds"]:
        raise SystemExit(f"{path} at {clients} clients: {done['refused']} refused, {len(done['milliseconds'])} answered")
    ordered = np.sort(done["milliseconds"])
    places = {f"p{share}_ms": round(float(np.percentile(ordered, share)), 2) for share in (50, 95, 99)}
    return {"requests_a_second": round(len(ordered) / done["seconds"], 1), **places}


def told(what: str) -> None:
    print(f"{what} ...", file=sys.stderr)


if __name__ == "__main__":
    main()
