"""Who may come in, and with what. `Guard` stands before everything: nothing of a body is read before it is known who sends it.

Without any key, on the loopback, everybody on this machine may do all. With keys (`vicino keys add`) each request to what is not
"open" needs one, as `Authorization: Bearer KEY` or `X-API-Key: KEY`; it says which scopes and which tenant.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import compile_path

from vicino.errors import InputError, VicinoError
from vicino.server.failures import Busy, Refused, answer
from vicino.server.keys import SCOPES, Key, Keyring, listed
from vicino.server.limits import Body, Buckets, require_plain_body
from vicino.server.origins import Origins, preflight
from vicino.server.page import PATHS
from vicino.server.settings import Settings

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["HEADERS", "Caller", "Guard", "caller_of", "require", "require_safe_start"]

log = logging.getLogger(__name__)

# What every answer says unless it says otherwise itself, as the page does. In an answer of the API nothing runs.
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "no-referrer",  # a deep link holds what was searched for
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}

_DESCRIBED = ("/docs", "/openapi.json")  # the same for everybody: what this server could be asked

# A wrong key costs a scrypt. Whoever guesses may do so 20 times, and then once in 5 s; nobody guesses 256 bits in that time.
_GUESSES, _GUESSES_PER_SECOND = 20, 0.2


@dataclass(frozen=True)
class Caller:
    """Who asks: a key's name, what it may, and whose documents it sees."""

    name: str
    scopes: frozenset[str]
    tenant: str

    def require(self, scope: str) -> None:
        """Raise Refused, a 401 or 403, for one who may not."""
        if scope == "open" or scope in self.scopes:
            return
        if not self.scopes:
            mend = "send the header Authorization: Bearer KEY; the operator makes one with: vicino keys add NAME"
            raise Refused(401, "this needs a key", mend=mend, code="no_key")
        mend = f"ask with a key of that scope: vicino keys add NAME --scope {scope}"
        raise Refused(403, f"this key may not: it takes the scope {scope}", mend=mend, code="scope_too_small")

    def tenant_for(self, asked: str | None) -> str:
        """The tenant whose documents a request is about: the caller's own, or for an admin the one asked for.

        Raises Refused, a 403, for anybody else who asks for another.

        >>> Caller("ops", frozenset({"read", "write", "admin"}), "").tenant_for("acme")
        'acme'
        """
        if asked is None or asked == self.tenant:
            return self.tenant
        if "admin" not in self.scopes:
            mend = "leave tenant out: the key says it"
            raise Refused(403, "this key is of another tenant", mend=mend, code="other_tenant", param="tenant")
        return asked


_EVERYBODY = Caller("local", frozenset(SCOPES), "")
_NOBODY = Caller("", frozenset(), "")


class _Endpoint(Protocol):
    """What is asked of a line of `app.ROUTES`."""

    @property
    def method(self) -> str: ...
    @property
    def path(self) -> str: ...
    @property
    def scope(self) -> str: ...


# Dependencies are `async`, though they await nothing: plain functions would each go through a thread, on every request.


async def caller_of(request: Request) -> Caller:
    """Who asks: a dependency of handlers. Nobody, where no Guard let them in."""
    found = request.scope.get("state", {}).get("caller")
    return found if isinstance(found, Caller) else _NOBODY


def require(scope: str) -> Callable[[Request], Awaitable[None]]:
    """A dependency that raises Refused unless the caller has this scope: what Guard looked at, once more where it counts."""

    async def check(request: Request) -> None:
        (await caller_of(request)).require(scope)

    return check


def require_safe_start(settings: Settings) -> None:
    """Raise InputError where others could reach the server and no key keeps them out, or the keys or names cannot be used."""
    Origins(settings)
    if not listed(settings.keys_file) and not settings.is_loopback:
        raise InputError(
            f"{settings.host} can be reached by others, and there is no key: everybody could read and write everything",
            mend="make a key first: vicino keys add NAME --scope admin. Or leave --host out: only this machine comes in then",
        )


class Guard:
    """The layer that lets in or refuses: names, origins, keys, scopes, rates, and bodies that stop at their limits.

    `routes` say which scope an address takes, and the page's files are open; what is in neither takes "read". The caller is then
    in `scope["state"]["caller"]`. Raises InputError for names in the settings that are none, and what `Keyring` raises.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        settings: Settings,
        routes: Sequence[_Endpoint],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.app, self.settings = app, settings
        self._origins = Origins(settings)
        self._ring = Keyring(settings.keys_file)
        told = [(route.method, route.path, route.scope) for route in routes]
        told += [("GET", path, "open") for path in (*PATHS, *_DESCRIBED)]
        self._routes = [(method, compile_path(path)[0], scope) for method, path, scope in told]
        self._rates = Buckets(settings.rate, settings.burst, clock=clock)
        self._guesses = Buckets(_GUESSES_PER_SECOND, _GUESSES, clock=clock)
        self._verifying = asyncio.Lock()  # one at a time: 16 MiB and one processor, however many come

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers, said = Headers(scope=scope), dict(HEADERS)
        body = Body(receive, most=self.settings.max_body_bytes, seconds=self.settings.body_limit_s)
        sending = _Sending(send, said, body)
        try:
            said.update(self._origins.require(scope["method"], headers))
            asks = preflight(scope["method"], headers)
            if asks is not None:
                await Response(status_code=204, headers=asks)(scope, receive, sending)
                return
            await self._let_in(scope, headers)
            require_plain_body(headers, self.settings.max_body_bytes)
            await self.app(scope, body, sending)
            if body.refusal is None or sending.begun:
                return
            refusal: VicinoError = body.refusal
        except VicinoError as error:
            if sending.begun:
                raise
            refusal = error
        body.refusal = None
        await answer(refusal, _id(scope))(scope, receive, sending)

    async def _let_in(self, scope: Scope, headers: Headers) -> None:
        """Say who asks, and that they may. Raises Refused."""
        scope.setdefault("state", {})["caller"] = _NOBODY
        needed = self._needed(scope["method"], scope["path"])
        if needed == "open":
            return
        caller, who = await self._caller(scope, headers)
        scope["state"]["caller"] = caller
        wait = self._rates.take(who)
        if wait:
            raise Busy(f"more than {self.settings.rate:g} requests a second of one key", retry_after=wait)
        caller.require(needed)

    def _needed(self, method: str, path: str) -> str:
        """The scope of the first route that fits, as the router takes it."""
        return next((scope for its, pattern, scope in self._routes if its == method and pattern.match(path)), "read")

    async def _caller(self, scope: Scope, headers: Headers) -> tuple[Caller, str]:
        """Who asks, and under which name their requests are counted."""
        try:
            self._ring.refresh()
        except VicinoError as error:  # the reason is for the operator: nobody has shown a key yet
            log.error("keys cannot be read, nobody gets in: %s", error)
            mend = "tell the operator: the server's log says why"
            raise Refused(503, "keys cannot be read", mend=mend, code="no_keys") from None
        address = _address(scope)
        if self.settings.is_loopback and not self._ring.closed:
            return _EVERYBODY, address
        text = _presented(headers)
        if text is None:
            return _NOBODY, address
        key = self._ring.known(text) or await self._verify(text, address)
        return Caller(key.name, key.scopes, key.tenant), f"key {key.id}"

    async def _verify(self, text: str, address: str) -> Key:
        """The key of a text that was not seen before. Raises Refused: a 401 for one that is none, a 429 for who guesses."""
        wait = self._guesses.take(address)  # taken before it is known to be wrong: many at once are as many guesses
        if wait:
            raise Busy("too many wrong keys from this address", retry_after=wait)
        async with self._verifying:
            key = self._ring.known(text) or await asyncio.to_thread(self._ring.verify, text)
        if key is None:
            mend = "check it; the operator makes another with: vicino keys add NAME"
            raise Refused(401, "this key is not known, or was revoked", mend=mend, code="invalid_key")
        self._guesses.give(address)
        return key


class _Sending:
    """An answer on its way out, with the headers that all have. It is dropped where the body was refused meanwhile."""

    def __init__(self, send: Send, said: dict[str, str], body: Body) -> None:
        self._send, self._said, self._body = send, said, body
        self.begun = False

    async def __call__(self, message: Message) -> None:
        if not self.begun and self._body.refusal is not None:
            return  # the handler took it for something else; Guard tells it as it is
        if message["type"] == "http.response.start":
            self.begun = True
            headers = MutableHeaders(raw=message.setdefault("headers", []))
            for name, value in self._said.items():
                headers.setdefault(name, value)
        await self._send(message)


def _presented(headers: Headers) -> str | None:
    """The key that a request shows; None for none, or for several."""
    shown = [value.partition(" ") for value in headers.getlist("authorization")]
    texts = [text.strip() for scheme, _, text in shown if scheme.lower() == "bearer"] + headers.getlist("x-api-key")
    return texts[0] if len(texts) == 1 and len(shown) <= 1 else None


def _address(scope: Scope) -> str:
    """The client's address; of IPv6 the network, for one has billions of them."""
    client = scope.get("client")
    try:
        address = ipaddress.ip_address(client[0] if client else "")
    except ValueError:
        return "unknown"
    if address.version == 6:
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address)


def _id(scope: Scope) -> str:
    return str(scope.get("state", {}).get("request_id", ""))
