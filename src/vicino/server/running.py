"""A server as a process: it listens, says where, and ends well."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import uvicorn
from fastapi import FastAPI

from vicino.errors import InputError
from vicino.server import logs
from vicino.server.app import build
from vicino.server.security import require_safe_start
from vicino.server.settings import Settings

__all__ = ["running", "serve"]

_BACKLOG = 512
_IDLE_S = 30  # seconds for which a connection is kept between two requests


def serve(settings: Settings, *, told: Callable[[str], None] = lambda address: None) -> None:  # noqa: ARG005
    """Serve until SIGINT or SIGTERM; then nothing new is taken, and what was accepted is answered.

    `told` hears the address once it listens. Raises InputError where that cannot be (the port is taken; others could reach it and
    there is no key) and what `app.build` raises.
    """
    require_safe_start(settings)
    server = _server(build(settings), settings)
    listening = _listen(settings)
    try:
        logs.log_to()
        told(_address(settings, listening))
        server.run(sockets=[listening])
    except KeyboardInterrupt:  # uvicorn raises the signal again once all is over
        pass
    finally:
        listening.close()


@contextmanager
def running(settings: Settings) -> Iterator[str]:
    """A server in a thread of this process, while the block runs: its address. It is listening, perhaps not ready yet."""
    require_safe_start(settings)
    server = _server(build(settings), settings)
    listening = _listen(settings)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, name="server", daemon=True)
    thread.start()
    try:
        yield _address(settings, listening)
    finally:
        server.should_exit = True
        thread.join(settings.shutdown_s + 5)
        listening.close()


def _server(app: FastAPI, settings: Settings) -> uvicorn.Server:
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,  # logs.Recording tells of requests, without what was asked
        ws="none",
        lifespan="on",
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=_IDLE_S,
        timeout_graceful_shutdown=max(1, round(settings.shutdown_s)),
        h11_max_incomplete_event_size=1 << 18,  # the longest address and headers
    )
    return uvicorn.Server(config)


def _listen(settings: Settings) -> socket.socket:
    """A socket that listens already, so that the address told is one that answers. Raises InputError."""
    try:
        family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
        # The protocol is named, for asyncio switches Nagle's algorithm off only then: it costs 40 ms an answer.
        listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((settings.host, settings.port))
        listening.listen(_BACKLOG)
    except OSError as error:
        listening.close()
        what = f"cannot listen on {settings.host}, port {settings.port}: {error.strerror or error}"
        raise InputError(what, mend="choose another: --port 0 takes any that is free") from error
    return listening


def _address(settings: Settings, listening: socket.socket) -> str:
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return f"http://{host}:{listening.getsockname()[1]}"
