"""The command that puts collections and encoders behind HTTP."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from typing import Annotated, Any

import typer

from vicino.cli.app import app
from vicino.cli.printing import say

__all__ = ["require_extra", "serve"]


@app.command()
def serve(
    collection: Annotated[list[str] | None, typer.Option(metavar="NAME", help="Only these collections (default: all).")] = None,
    encoder: Annotated[
        list[str] | None,
        typer.Option(metavar="[NAME=]WHAT", help="A model of /v1/embeddings: minilm, a folder, a hub name. May be repeated."),
    ] = None,
    reranker: Annotated[
        list[str] | None,
        typer.Option(metavar="[NAME=]WHAT", help="A reranker: late=minilm, a folder or a hub name. May be repeated."),
    ] = None,
    host: Annotated[
        str, typer.Option(help="Where to listen; beyond this machine only with a key: vicino keys add.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0 for any that is free.")] = 8765,
    allow_host: Annotated[
        list[str] | None, typer.Option(help="A name under which the server is asked for, such as a proxy's.")
    ] = None,
    origin: Annotated[
        list[str] | None, typer.Option(help="A page elsewhere that may ask, such as https://notes.example.")
    ] = None,
    max_batch: Annotated[int, typer.Option(help="Texts that are encoded together.")] = 256,
    wait_ms: Annotated[float, typer.Option(help="How long a text may wait for others.")] = 2.0,
    queue: Annotated[int, typer.Option(help="Texts that may wait; for more the answer is 429.")] = 8192,
    threads: Annotated[int, typer.Option(help="Searches and other work at a time.")] = 8,
    time_limit: Annotated[float, typer.Option(help="Seconds for one request.")] = 60.0,
    max_body: Annotated[float, typer.Option(metavar="MIB", help="The largest body of a request, in MiB.")] = 16.0,
    rate: Annotated[float, typer.Option(help="Requests a second for each key; 0 for no limit.")] = 0.0,
    burst: Annotated[int, typer.Option(help="Requests that a key may have saved up.")] = 100,
    any_dimensions: Annotated[
        bool, typer.Option("--any-dimensions", help="Let `dimensions` cut the vectors of models that were not trained for it.")
    ] = False,
) -> None:
    """Serve collections and encoders over HTTP, with a page to look at them, until Ctrl-C.

    The address is printed; one JSON line a request goes to standard error. See /docs of the address for the API.
    """
    require_extra()
    from vicino.server.running import serve as run
    from vicino.server.settings import Settings

    given: dict[str, Any] = {
        "collections": tuple(collection) if collection else None,
        "encoders": tuple(encoder or ()),
        "rerankers": tuple(reranker or ()),
        "allow_hosts": tuple(allow_host or ()),
        "origins": tuple(origin or ()),
    }
    limits: dict[str, Any] = {"max_batch": max_batch, "wait_ms": wait_ms, "threads": threads, "time_limit_s": time_limit}
    limits |= {"queue_limit": queue, "max_texts": min(Settings.max_texts, queue), "max_body_bytes": int(max_body * (1 << 20))}
    settings = replace(Settings(), host=host, port=port, rate=rate, burst=burst, any_dimensions=any_dimensions, **given, **limits)
    run(settings, told=_told)
    say("stopped; what was accepted is answered")


def require_extra() -> None:
    """Raise MissingExtra where what serves is not installed."""
    from vicino.errors import MissingExtra

    if not all(importlib.util.find_spec(name) for name in ("fastapi", "uvicorn", "prometheus_client")):
        raise MissingExtra.named("serve", needed_by="servers")


def _told(address: str) -> None:
    print(address, flush=True)
    say(f"Open {address} in a browser, or {address}/docs for the API. Ctrl-C ends it.")
