"""What a server tells of itself: one JSON line a request, with an id, and figures for Prometheus.

Neither holds a query, a document's id, a key, or a path that is not in the table of routes.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from vicino.server import failures
from vicino.server.security import HEADERS

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["JsonLines", "Metrics", "Recording", "log_to"]

log = logging.getLogger("vicino.server")

_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_TEXTS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)


class JsonLines(logging.Formatter):
    """A record as one line of JSON: time (UTC), level, message, and the fields that were given as `extra={"fields": {...}}`."""

    def format(self, record: logging.LogRecord) -> str:
        told: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            told["error"] = self.formatException(record.exc_info)
        return json.dumps(told, default=str)


def log_to(stream: Any = None, level: int = logging.INFO) -> None:
    """Write what vicino and uvicorn tell to a stream, standard error by default; uvicorn's own line a request is left out."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonLines())
    for name in ("vicino", "uvicorn"):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(level)
    logging.getLogger("uvicorn.access").disabled = True


class Metrics:
    """The figures of one server, in a registry of their own."""

    def __init__(self) -> None:
        from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, PlatformCollector, ProcessCollector

        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        made: dict[str, Any] = {"registry": self.registry}
        labels = ("method", "route")
        self.requests = Counter("vicino_requests", "Requests answered.", (*labels, "status"), **made)
        self.seconds = Histogram("vicino_request_seconds", "Time to the last byte.", labels, buckets=_SECONDS, **made)
        self.in_flight = Gauge("vicino_requests_in_flight", "Requests being answered.", **made)
        self.abandoned = Counter("vicino_requests_abandoned", "Requests whose client went away.", **made)
        self.batches = Histogram("vicino_batch_texts", "Texts encoded together.", ("model",), buckets=_TEXTS, **made)
        self.encoding = Histogram("vicino_encode_seconds", "Time to encode a batch.", ("model",), buckets=_SECONDS, **made)
        self.queue = Gauge("vicino_queue_texts", "Texts that wait to be encoded.", ("model",), **made)
        self.tokens = Counter("vicino_tokens", "Tokens read.", ("model",), **made)
        self.loaded = Gauge("vicino_ready", "1 where models and indexes are loaded.", **made)

    def text(self) -> bytes:
        """What Prometheus reads."""
        from prometheus_client import generate_latest

        return generate_latest(self.registry)


class Recording:
    """The outermost layer: gives each request an id, tells of it when it is over, and turns what nobody foresaw into a 500.

    An id that a client sends in `X-Request-ID` is kept where it is a plain word. The path told is the route's, such as
    /api/collections/{name}: never what was asked.
    """

    def __init__(self, app: ASGIApp, *, metrics: Metrics, clock: Callable[[], float] = time.perf_counter) -> None:
        self.app, self.metrics, self.clock = app, metrics, clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began, request_id, status, size = self.clock(), _id_of(scope), 0, 0
        scope.setdefault("state", {})["request_id"] = request_id

        async def sending(message: Message) -> None:
            nonlocal status, size
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", []), (b"x-request-id", request_id.encode())]
            elif message["type"] == "http.response.body":
                size += len(message.get("body", b""))
            await send(message)

        self.metrics.in_flight.inc()
        try:
            await self.app(scope, receive, sending)
        except Exception as error:
            log.exception("failed", extra={"fields": {"request_id": request_id, "route": _route_of(scope)}})
            if status:
                raise  # the answer has begun: all that is left is to hang up
            answer = failures.answer(error, request_id)
            for name, value in HEADERS.items():  # it comes from outside of what adds them
                answer.headers.setdefault(name, value)
            await answer(scope, receive, sending)
        finally:
            self.metrics.in_flight.dec()
            self._tell(scope, request_id, status, size, self.clock() - began)

    def _tell(self, scope: Scope, request_id: str, status: int, size: int, seconds: float) -> None:
        method, route = _method_of(scope), _route_of(scope)
        if status:
            self.metrics.requests.labels(method, route, str(status)).inc()
            self.metrics.seconds.labels(method, route).observe(seconds)
        else:
            self.metrics.abandoned.inc()
        caller = scope["state"].get("caller")
        fields = {
            "request_id": request_id,
            "method": method,
            "route": route,
            "status": status or "abandoned",
            "ms": round(1000 * seconds, 2),
            "bytes": size,
            "caller": getattr(caller, "name", None),
        }
        failed = status >= 500 and status != 503  # not ready yet is nothing to warn of
        log.log(logging.WARNING if failed else logging.INFO, "request", extra={"fields": fields})


def _id_of(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _ID.fullmatch(value.decode("latin-1")):
            return str(value.decode("latin-1"))
    return uuid.uuid4().hex


def _route_of(scope: Scope) -> str:
    """The route's pattern; "other" where none was found: labels are few whatever is asked."""
    return getattr(scope.get("route"), "path", None) or "other"


def _method_of(scope: Scope) -> str:
    return scope["method"] if scope["method"] in ("GET", "HEAD", "POST", "DELETE", "PUT", "PATCH", "OPTIONS") else "other"
