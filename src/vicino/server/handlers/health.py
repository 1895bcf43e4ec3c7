"""Whether the server is alive, ready, and what it has done."""

from __future__ import annotations

from typing import Any

from fastapi import Depends
from starlette.responses import JSONResponse, Response

from vicino import __version__
from vicino.server.served import Served, served_of

__all__ = ["health", "metrics", "ready"]


async def health() -> dict[str, Any]:
    """The process answers: nothing else is looked at."""
    return {"status": "alive", "version": __version__}


async def ready(served: Served = Depends(served_of)) -> Response:
    """200 when models and indexes are loaded; before that 503, with what is missing."""
    state = served.ready()
    return JSONResponse(dict(state), 200 if state["ready"] else 503, headers={} if state["ready"] else {"Retry-After": "1"})


async def metrics(served: Served = Depends(served_of)) -> Response:
    """Figures for Prometheus, as text. No query, document or key is among them."""
    from prometheus_client import CONTENT_TYPE_LATEST

    return Response(served.metrics.text(), headers={"Content-Type": CONTENT_TYPE_LATEST})
