"""/docs: what there is, as a page without scripts; the OpenAPI document has the rest."""

from __future__ import annotations

from html import escape

from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from vicino.server.page import POLICY

__all__ = ["listing"]


async def listing(request: Request) -> Response:
    """The table of routes for people."""
    rows = [
        f"<tr><td>{method}<td><code>{escape(route.path)}</code><td>{escape(route.summary or '')}"
        for route in request.app.routes
        if isinstance(route, APIRoute) and route.include_in_schema
        for method in sorted(route.methods or ())
    ]
    page = (
        '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        "<title>vicino: the API</title><h1>The API</h1>"
        '<p>With bodies, answers and examples: <a href="/openapi.json">/openapi.json</a></p>'
        f"<table><thead><tr><th>Method<th>Path<th>What for</thead><tbody>{''.join(rows)}</tbody></table></html>"
    )
    return HTMLResponse(page, headers={"Content-Security-Policy": POLICY, "Cache-Control": "no-store"})
