"""A real HTTP server on the loopback that answers in the shapes of OpenAI, Cohere and Ollama, and misbehaves when told to.

Its vectors are hashed counts of words: texts with words in common are near, equal texts are equal, in every process.
"""

from __future__ import annotations

import base64
import json
import re
import threading
import zlib
from collections import deque
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

import numpy as np


class Endpoint(ThreadingHTTPServer):
    """`with Endpoint() as endpoint:` serves at `endpoint.url` until the block ends.

    `misbehave("500", "500")` spoils the next answers, in order; `requests` holds what was asked; `busiest` is the largest number
    of requests that were answered at one time. The attributes below may be set at any time.
    """

    daemon_threads = True
    request_queue_size = 64

    dim = 48  # of the vectors
    version = "1"  # another version is another model under the same name
    key: str | None = None  # what it wants as Bearer
    most_texts: int | None = None  # in one request
    longest_text: int | None = None  # in characters
    counts_tokens = True
    meet: threading.Barrier | None = None  # so many requests are answered at the same time, or none is
    watch: Callable[[int], None] = staticmethod(
        lambda count: None
    )  # told of each request, before its answer, how many there were

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.requests: list[dict[str, Any]] = []
        self.busiest = 0
        self.released = threading.Event()
        self._spoiled: deque[str] = deque()
        self._busy = 0
        self._lock = threading.Lock()

    def __enter__(self) -> Endpoint:
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self.released.set()
        self.shutdown()
        self.server_close()

    def misbehave(self, *how: str) -> None:
        """Answer the next requests so: see `_Handler._spoil`."""
        self._spoiled.extend(how)

    @property
    def texts(self) -> list[str]:
        """All that was asked so far, in order."""
        return [text for request in self.requests for text in request["texts"]]

    def vector(self, text: str, *, model: str = "test", dim: int | None = None, role: str = "") -> np.ndarray:
        """What the model gives for a text."""
        row = np.zeros(dim or self.dim, dtype=np.float32)
        for word in re.findall(r"\w+", text.lower()):
            number = zlib.crc32(f"{self.version} {model} {word}".encode("utf-8", "replace"))
            row[number % len(row)] += 1 if number >> 16 & 1 else -1
        row[0] += 0.25
        row[1] += 0.25 * (role == "query")
        return row

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is no news."""

    def begin(self, request: dict[str, Any]) -> str:
        """Note a request; how to spoil its answer."""
        with self._lock:
            self.requests.append(request)
            self._busy += 1
            self.busiest = max(self.busiest, self._busy)
            self.watch(len(self.requests))
            return self._spoiled.popleft() if self._spoiled else ""

    def end(self) -> None:
        with self._lock:
            self._busy -= 1


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # or each answer waits 40 ms for an acknowledgement
    server: Endpoint

    SHAPES: ClassVar[dict[str, tuple[str, str, str]]] = {  # end of the path: shape, field of texts, field of dimensions
        "/embeddings": ("openai", "input", "dimensions"),
        "/v2/embed": ("cohere", "texts", "output_dimension"),
        "/api/embed": ("ollama", "input", "dimensions"),
    }

    def log_message(self, *what: Any) -> None:
        """Nothing on standard error."""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        shape, texts, dimensions = next(
            (self.SHAPES[end] for end in self.SHAPES if self.path.endswith(end)), ("", "input", "dimensions")
        )
        role = str(body.get("input_type", "")).removeprefix("search_")
        asked = {"path": self.path, "headers": dict(self.headers), "body": body, "texts": body.get(texts, []), "role": role}
        how = self.server.begin(asked)
        try:
            if self.server.meet is not None:
                self.server.meet.wait(10)
            if self._refused(shape, asked) or (how and self._spoil(how)):
                return
            rows = [self.server.vector(text, model=body["model"], dim=body.get(dimensions), role=role) for text in asked["texts"]]
            self._send(200, self._answer(shape, how, rows, asked))
        finally:
            self.server.end()

    def _refused(self, shape: str, asked: dict[str, Any]) -> bool:
        server, texts = self.server, asked["texts"]
        given = self.headers.get("Authorization", "")
        if not shape:
            self._send(404, {"error": {"message": f"no such path: {self.path}"}})
        elif server.key and given != f"Bearer {server.key}":
            self._send(401, {"error": {"message": f"Incorrect API key provided: {given}", "code": "invalid_api_key"}})
        elif asked["body"]["model"] == "missing":
            self._send(404, {"error": f"model {asked['body']['model']!r} not found, try pulling it first"})
        elif "" in texts:
            self._send(400, {"error": {"message": "'$.input' is invalid: input cannot be an empty string"}})
        elif server.most_texts and len(texts) > server.most_texts:
            self._send(400, {"error": {"message": f"too many inputs: the maximum is {server.most_texts}"}})
        elif server.longest_text and max(map(len, texts)) > server.longest_text:
            self._send(413, {"error": {"message": "This model's maximum context length is exceeded"}})
        else:
            return False
        return True

    def _spoil(self, how: str) -> bool:
        """Answer wrongly, or not at all; False for what is done to a right answer later."""
        if how.isdigit():
            self._send(int(how), {"error": {"message": f"this is a {how}"}}, **({"Retry-After": "0"} if how == "429" else {}))
        elif how == "quota":
            self._send(429, {"error": {"message": "You exceeded your current quota", "code": "insufficient_quota"}})
        elif how.startswith("wait "):
            self._send(503, {"message": "later"}, **{"Retry-After": how.removeprefix("wait ")})
        elif how == "html":
            self._raw(200, b"<!doctype html><html><title>Sign in</title></html>", "text/html")
        elif how == "empty":
            self._raw(200, b"")
        elif how == "broken":
            self._raw(200, b'{"data": [{"index": 0, "embed')
        elif how == "cut":
            self._raw(200, b'{"data": [', promised=5000)
        elif how == "elsewhere":
            place = f"http://localhost:{self.server.server_port}/stolen?with=secrets"
            self._send(307, {}, Location=place)
        elif how == "slow":
            self.server.released.wait(30)
            self.close_connection = True
        elif how == "hang up":
            self.close_connection = True
        else:
            return False
        return True

    def _answer(self, shape: str, how: str, rows: list[np.ndarray], asked: dict[str, Any]) -> dict[str, Any]:
        if how == "few":
            rows = rows[:-1]
        if how == "wide":
            rows = [np.append(row, row) for row in rows]
        if how == "uneven":
            rows[-1] = np.append(rows[-1], 1)
        if how == "nan":
            rows[-1][2] = np.nan
        if how == "other shape":
            return {"vectors": []}
        tokens = sum(len(text.split()) for text in asked["texts"]) if self.server.counts_tokens else None
        if shape == "ollama":
            return {"model": asked["body"]["model"], "embeddings": [row.tolist() for row in rows], "prompt_eval_count": tokens}
        if shape == "cohere":
            meta = {"billed_units": {"input_tokens": tokens}} if tokens is not None else {}
            return {"id": "x", "embeddings": {"float": [row.tolist() for row in rows]}, "texts": asked["texts"], "meta": meta}
        packed = asked["body"].get("encoding_format") == "base64" and how != "floats"
        data = [
            {"object": "embedding", "index": place, "embedding": _packed(row) if packed else row.tolist()}
            for place, row in enumerate(rows)
        ]
        usage = {"prompt_tokens": tokens, "total_tokens": tokens} if tokens is not None else None
        return {"object": "list", "data": data[::-1] if how == "shuffled" else data, "usage": usage}

    def _send(self, status: int, plain: Any, **headers: str) -> None:
        self._raw(status, json.dumps(plain).encode(), **headers)

    def _raw(self, status: int, data: bytes, kind: str = "application/json", promised: int | None = None, **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(promised or len(data)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)
        if promised:
            self.close_connection = True


def _packed(row: np.ndarray) -> str:
    return base64.b64encode(row.astype("<f4").tobytes()).decode()
