"""The page: built files that are read into memory once, under a policy that lets nothing else in.

What is served is a table of the files that `make page` made: an address is looked up there and never becomes a path on the disk.
Names of assets hold a hash of their content, so a browser may keep them for ever; `index.html` it must ask for each time.
"""

from __future__ import annotations

import hashlib
import mimetypes
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from importlib.resources.abc import Traversable

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

__all__ = ["BUILD", "PATHS", "POLICY", "page"]

_SCREENS = ("/", "/evidence", "/map", "/search", "/why")
PATHS = (*_SCREENS, "/icon.svg", "/assets/{name}")
BUILD = "make page"

# Scripts, styles and pictures come from this server's files and nowhere else, nothing is inline, nobody may frame the page, and
# it talks to this server only. Text of documents that were indexed could not run even if it became markup.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

_FOR_EVER = "public, max-age=31536000, immutable"
_UNBUILT = (
    '<!doctype html><html lang="en"><meta charset="utf-8"><title>vicino</title>'
    "<h1>The page is not built</h1>"
    f"<p>In the project's folder, with Node 20 or later: <code>{BUILD}</code>. A wheel of vicino holds the page already.</p>"
    '<p>The API works without it: <a href="/docs">/docs</a></p></html>'
)


@dataclass(frozen=True)
class _File:
    content: bytes
    kind: str
    tag: str


async def page(request: Request) -> Response:
    """A file of the page, or for the address of a screen the page itself: it reads the address then.

    Where nothing was built it answers 503 and says which command builds it; 404 for an asset that there is not.
    """
    asked = request.url.path
    built = _built()
    if not built:
        return HTMLResponse(_UNBUILT, status_code=503, headers={"Content-Security-Policy": POLICY, "Cache-Control": "no-store"})
    file = built.get("/index.html" if asked in _SCREENS else asked)
    if file is None:
        raise HTTPException(404, "the page has no such file; it was built anew, perhaps: reload it")
    headers = {
        "Content-Security-Policy": POLICY,
        "Cache-Control": _FOR_EVER if asked.startswith("/assets/") else "no-cache",
        "ETag": file.tag,
    }
    if request.headers.get("If-None-Match") == file.tag:
        return Response(status_code=304, headers=headers)
    return Response(file.content, media_type=file.kind, headers=headers)


def _built() -> dict[str, _File]:
    """Address -> file of the built page; nothing where it was not built, which is looked for again the next time."""
    found = _read()
    if not found:
        _read.cache_clear()
    return found


@lru_cache(maxsize=1)
def _read() -> dict[str, _File]:
    folder = files("vicino.server") / "page"
    if not (folder / "index.html").is_file():
        return {}
    listed = {f"/{one.name}": one for one in folder.iterdir() if one.is_file()}
    assets = folder / "assets"
    if assets.is_dir():
        listed |= {f"/assets/{one.name}": one for one in assets.iterdir() if one.is_file()}
    return {address: _file(one) for address, one in listed.items()}


def _file(one: Traversable) -> _File:
    content = one.read_bytes()
    kind = mimetypes.guess_type(one.name)[0] or "application/octet-stream"
    # Windows' registry may say another type of .js, which a browser told not to guess refuses
    kind = {"js": "text/javascript", "css": "text/css", "svg": "image/svg+xml"}.get(one.name.rpartition(".")[2], kind)
    return _File(content, kind, f'"{hashlib.sha256(content).hexdigest()[:16]}"')
