"""Requests to one server over kept connections: sent again where that can help, and named where not.

The standard library is all that it needs, so that a client installs nothing. Redirections are not followed: a key never reaches
another host.
"""

from __future__ import annotations

import http.client
import json
import random
import selectors
import ssl
import time
import weakref
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any
from urllib.parse import SplitResult, quote, urlencode, urlsplit

from vicino import __version__
from vicino.errors import EndpointError, InputError, InputTooLarge, UnknownName, VicinoError

__all__ = ["Sender", "ServerError", "as_json", "path"]

_PASSES = (429, 502, 503, 504)
_BROKEN = (http.client.HTTPException, OSError)
_LONGEST_WAIT = 60.0  # seconds that a server may ask for
_KEPT = 8  # connections that are kept for the next request
_SHOWN = 300  # characters of what is not JSON
_LATER = "ask again later: what was answered before is kept"


class ServerError(EndpointError):
    """The server refused or failed. `status` is the HTTP status (0: no answer came), `request_id` what its log has."""

    status: int = 0
    code: str = ""
    request_id: str = ""


@dataclass(frozen=True)
class _Request:
    method: str
    where: str
    data: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    again: bool = True
    accepted: int = 200


def path(*parts: str, **asked: Any) -> str:
    """A path and its query, quoted; what is None is left out.

    >>> path("api", "collections", "a/b", "map", space="s 1", method=None)
    '/api/collections/a%2Fb/map?space=s+1'
    """
    query = urlencode({name: value for name, value in asked.items() if value is not None})
    return "/" + "/".join(quote(part, safe="") for part in parts) + (f"?{query}" if query else "")


def as_json(plain: Any) -> bytes:
    """What is sent. Raises InputError for what JSON cannot say.

    >>> as_json({"k": 3})
    b'{"k": 3}'
    """
    try:
        return json.dumps(plain, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(f"this is no JSON: {error}", mend="give text, finite numbers, lists and mappings") from error


class Sender:
    """Asks one server, from any thread. `key` goes into each request, and only over TLS or to this machine itself.

    Raises InputError for what is no address, and for a key that would travel in clear.
    """

    def __init__(self, url: str, *, key: str, timeout: float, retries: int, allow_http: bool) -> None:
        self._address = _address(url)
        self.url, self._key, self.timeout, self.retries = url.rstrip("/"), key, timeout, retries
        if key and self._address.scheme == "http" and not allow_http and not _is_loopback(self._address.hostname or ""):
            raise InputError(
                "the key would be sent in clear", mend="give an https:// url; on a network that you trust: allow_http=True"
            )
        self._tls = ssl.create_default_context() if self._address.scheme == "https" else None
        self._idle: deque[http.client.HTTPConnection] = deque()
        self._random = random.Random()
        self.close = weakref.finalize(self, _close, self._idle)  # also where nobody closes it

    def ask(self, method: str, where: str, body: Any = None, *, again: bool = True, accepted: int = 200) -> Any:
        """The JSON of an answer; one of the status `accepted` is no refusal.

        `again`: the same twice does no harm, so it is repeated where a connection broke. Raises UnknownName (404), InputTooLarge
        (413), InputError (what else is the caller's) and ServerError.
        """
        request = _Request(
            method, where, None if body is None else as_json(body), {"Content-Type": "application/json"}, again, accepted
        )
        with self._answer(request) as response:
            return _plain(response.read())

    def events(self, where: str, data: bytes, headers: Mapping[str, str]) -> Iterator[Mapping[str, Any]]:
        """The lines of an answer that is told line by line, as they come. Raises as `ask`, also for a line that is an error."""
        with self._answer(_Request("POST", where, data, headers)) as response:
            while line := response.readline():
                if not line.strip():
                    continue
                event = _plain(line)
                if event.get("event") == "error":
                    raise _failure(event.get("status", 500), event)
                yield event

    @contextmanager
    def _answer(self, request: _Request) -> Iterator[http.client.HTTPResponse]:
        """An answer that is not a refusal; its connection is kept where it was read to its end."""
        attempt = 0
        while True:
            connection = self._connection()
            try:
                response, wait = self._try(connection, request)
            except _BROKEN as error:
                connection.close()
                failure = self._broken(error)
                # where nobody listens, nothing was asked yet, and soon nobody will
                if not request.again or attempt >= self.retries or isinstance(error, ConnectionRefusedError | ssl.SSLError):
                    raise failure from error
                time.sleep(self._backoff(attempt))
            else:
                if isinstance(response, http.client.HTTPResponse):
                    break
                connection.close()
                if attempt >= self.retries or wait is None or wait > _LONGEST_WAIT:
                    raise response
                time.sleep(wait or self._backoff(attempt))
            attempt += 1
        try:
            yield response
        except _BROKEN as error:
            raise self._broken(error) from error
        finally:
            if response.isclosed() and not response.will_close and len(self._idle) < _KEPT:
                self._idle.append(connection)
            else:
                connection.close()

    def _try(
        self, connection: http.client.HTTPConnection, request: _Request
    ) -> tuple[http.client.HTTPResponse | VicinoError, float | None]:
        """An answer; or a refusal, and the seconds after which asking again can help: None for never, 0 for some."""
        sent = {"Accept": "application/json", "User-Agent": f"vicino/{__version__}", **request.headers}
        if self._key:
            sent["Authorization"] = f"Bearer {self._key}"
        with suppress(BrokenPipeError, ConnectionResetError):  # it may have refused before it had read all
            connection.request(request.method, self._address.path.rstrip("/") + request.where, request.data, sent)
        response = connection.getresponse()
        if response.status < 300 or response.status == request.accepted:
            return response, None
        failure = _failure(response.status, _refusal(response))
        if response.status not in _PASSES:
            return failure, None
        after = response.headers.get("Retry-After", "")
        return failure, float(after) if after.isdigit() else 0.0

    def _connection(self) -> http.client.HTTPConnection:
        """One that is kept and that the server did not close meanwhile, or a new one."""
        while self._idle:
            try:
                kept = self._idle.pop()
            except IndexError:  # another thread took the last one
                break
            if not _was_closed(kept):
                return kept
            kept.close()
        host, port = self._address.hostname or "", self._address.port
        if self._tls is not None:
            return http.client.HTTPSConnection(host, port, timeout=self.timeout, context=self._tls)
        return http.client.HTTPConnection(host, port, timeout=self.timeout)

    def _broken(self, error: Exception) -> ServerError:
        if isinstance(error, TimeoutError):
            return ServerError(f"{self.url}: no answer within {self.timeout:g} s", mend="give a larger timeout=, or ask for less")
        if isinstance(error, ConnectionRefusedError):
            return ServerError(f"nothing answers at {self.url}", mend="start the server (vicino serve), or check the url")
        return ServerError(f"{self.url}: the connection broke off ({error or type(error).__name__})", mend=_LATER)

    def _backoff(self, attempt: int) -> float:
        """Seconds: doubled each time, up to 8, and up to a half less by chance, so that clients do not come back together."""
        return min(8.0, 0.25 * 2.0 ** min(attempt, 5)) * self._random.uniform(0.5, 1.0)


def _address(url: str) -> SplitResult:
    try:
        address = urlsplit(url)
        sound = address.scheme in ("http", "https") and bool(address.hostname) and (address.port or 1) > 0
    except ValueError:
        sound = False
    if not sound:
        raise InputError(f"{url!r} is not the address of a server", mend='write it as "http://127.0.0.1:8765"')
    if address.username or address.password or address.query or address.fragment:
        raise InputError("the address holds more than host, port and path", mend="give the key as key=, or in VICINO_API_KEY")
    return address


def _close(connections: deque[http.client.HTTPConnection]) -> None:
    while connections:
        connections.pop().close()


def _was_closed(connection: http.client.HTTPConnection) -> bool:
    """Whether the server hung up, or says what nobody asked."""
    if connection.sock is None:
        return True
    with selectors.DefaultSelector() as waiting:
        waiting.register(connection.sock, selectors.EVENT_READ)
        return bool(waiting.select(0))


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _plain(data: bytes) -> Any:
    try:
        return json.loads(data) if data else None
    except (ValueError, RecursionError) as error:
        raise ServerError("the server's answer is no JSON, or was cut off", mend="check the url: is it vicino's?") from error


def _refusal(response: http.client.HTTPResponse) -> Mapping[str, Any]:
    """The body of a refusal; something in between may answer in its own words."""
    data = response.read(1 << 20)
    try:
        said = json.loads(data)
    except (ValueError, RecursionError):
        said = data.decode("utf-8", "replace").strip()[:_SHOWN]
    if isinstance(said, dict) and isinstance(said.get("error"), dict):
        return said
    place = f", and sends on to {response.headers['Location']}" if "Location" in response.headers else ""
    return {"error": {"message": f"the server answered {response.status}{place}: {said or response.reason}"}}


_KINDS: dict[int, type[VicinoError]] = {400: InputError, 404: UnknownName, 413: InputTooLarge, 415: InputError, 422: InputError}


def _failure(status: int, said: Mapping[str, Any]) -> VicinoError:
    """The error that a refusal means here."""
    told = said["error"]
    what, mend = str(told.get("message") or f"the server answered {status}"), str(told.get("mend") or _LATER)
    kind = _KINDS.get(status, ServerError)
    error = kind(what, mend=mend)
    if isinstance(error, ServerError):
        error.status, error.code, error.request_id = status, str(told.get("code") or ""), str(told.get("request_id") or "")
    return error
