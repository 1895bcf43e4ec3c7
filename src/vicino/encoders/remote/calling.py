"""One request to a server that may be slow, busy or broken: sent again where that can help, named where not."""

from __future__ import annotations

import ipaddress
import json
import logging
import random
import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

from vicino.errors import EndpointError, InputError, InputTooLarge, MissingExtra, VicinoError

if TYPE_CHECKING:
    import urllib3

__all__ = ["Caller", "Patience", "is_loopback"]

log = logging.getLogger(__name__)

_MAY_PASS = (408, 409, 425, 429)  # and all of 5xx
_TOO_MUCH = re.compile(r"too (many|large|long|big)|\bmax|limit|exceed|at most|longer", re.IGNORECASE)
_OF_WHAT = re.compile(r"input|text|token|batch|context|sequence|length|request|payload|body|content", re.IGNORECASE)
_LARGEST = 1 << 29  # bytes of one answer
_LONGEST_WAIT = 300.0  # seconds that a server may ask for
_SHOWN = 300  # characters of a server's message
_LATER = "run the same again later: what was answered is kept"
_MENDS = {
    401: "export the right key, and name its variable: key_env=NAME",
    403: "check that this key may use this model",
    404: "check url= and model=; with Ollama: ollama pull MODEL",
}


@dataclass(frozen=True)
class Patience:
    """Seconds for one answer, and how often a request is sent again; `seed` makes the waits in between repeatable."""

    timeout: float = 60.0
    retries: int = 6
    seed: int | None = None


@dataclass(frozen=True)
class _Failure:
    """Why there is no answer. `wait` is the seconds that the server asked for, if any."""

    what: str
    mend: str
    kind: type[VicinoError] = EndpointError
    may_pass: bool = False
    wait: float | None = None


class Caller:
    """POST of JSON to one address, from any thread. Redirections are not followed, so that a key never reaches another host.

    Goes through the proxy that the environment names, but never to this machine itself. Raises MissingExtra and InputError.
    """

    def __init__(self, url: str, patience: Patience, *, connections: int = 4) -> None:
        self.url, self._patience = url, patience
        self._random = random.Random(patience.seed)
        self._reached = False  # whether anything ever answered there
        self._pool: urllib3.PoolManager = _pool(urlsplit(url), connections)

    def post(self, body: Mapping[str, Any], *, key: str, stop: threading.Event, retried: Callable[[], None]) -> Any:
        """The JSON of the server's answer. `retried` is called before each repetition; `stop`, once set, ends the waiting.

        Raises InputTooLarge (fewer or shorter texts may do), InputError (the same again will not do) and EndpointError (the
        server failed, however often it was asked).
        """
        data = json.dumps(body).encode()
        attempt = 0
        while True:
            answer = self._ask(data, key)
            if not isinstance(answer, _Failure):
                return answer
            pause = self._backoff(attempt) if answer.wait is None else answer.wait
            what = f"{self.url}: {answer.what}"
            what = what.replace(key, "***") if key else what  # some servers repeat it
            if attempt >= self._patience.retries or not answer.may_pass or pause > _LONGEST_WAIT:
                raise answer.kind(what, mend=answer.mend)
            log.info("%s; asking again in %.1f s", what, pause)
            if stop.wait(pause):
                raise answer.kind(what, mend=answer.mend)
            attempt += 1
            retried()

    def _backoff(self, attempt: int) -> float:
        """Seconds: doubled each time, up to 30; up to a half less by chance, so that clients do not come back together."""
        return min(30.0, 0.5 * 2.0 ** min(attempt, 9)) * self._random.uniform(0.5, 1.0)

    def _ask(self, data: bytes, key: str) -> Any:
        """The JSON of one answer, or a `_Failure`."""
        from urllib3 import exceptions

        headers = {"Content-Type": "application/json", "Accept": "application/json", "User-Agent": "vicino"}
        if key:
            headers["Authorization"] = f"Bearer {key}"
        timeout = self._patience.timeout
        try:
            with self._pool.request(
                "POST", self.url, body=data, headers=headers, timeout=timeout, retries=False, preload_content=False
            ) as response:
                self._reached = True
                return _judged(response, _read(response, timeout))
        except exceptions.SSLError as error:
            return _Failure(f"its certificate is not accepted ({error})", "check the url, or export SSL_CERT_FILE=authority.pem")
        except exceptions.NewConnectionError:  # a mistyped url is said at once; who answered before is waited for
            return _Failure("nothing answers there", "start the server, or check url=", may_pass=self._reached)
        except (exceptions.TimeoutError, TimeoutError):
            return _Failure(f"no answer within {timeout:g} s", "give a larger timeout=, or a smaller batch_size=", may_pass=True)
        except exceptions.HTTPError as error:
            return _Failure(f"the connection broke off ({type(error).__name__})", _LATER, may_pass=True)


def _pool(address: SplitResult, connections: int) -> urllib3.PoolManager:
    try:
        import urllib3
    except ImportError as error:
        raise MissingExtra.named("remote", needed_by="remote encoders") from error
    host = address.hostname or ""
    proxy = None if is_loopback(host) or proxy_bypass(host) else getproxies().get(address.scheme)
    if not proxy:
        return urllib3.PoolManager(maxsize=connections)
    account = urlsplit(proxy)
    given = f"{unquote(account.username or '')}:{unquote(account.password or '')}"
    headers = urllib3.make_headers(proxy_basic_auth=given) if account.username else None
    try:
        return urllib3.ProxyManager(proxy, maxsize=connections, proxy_headers=headers)
    except urllib3.exceptions.HTTPError as error:
        raise InputError(
            f"the proxy for {address.scheme} is not an http:// one", mend=f"export {address.scheme}_proxy=http://HOST:PORT"
        ) from error


def _judged(response: urllib3.BaseHTTPResponse, data: bytes) -> Any:
    """What a status and a body mean: JSON, or a `_Failure`."""
    if 300 <= response.status < 400:
        place = urlsplit(response.headers.get("Location", ""))
        where = f"{place.scheme}://{place.netloc.rpartition('@')[2]}{place.path}"
        return _Failure(f"it sends on to {where}", "give the url of the server itself")
    if response.status >= 400:
        return _refused(response.status, _message(data), response.headers.get("Retry-After"))
    if data.lstrip()[:1] == b"<":
        return _Failure(
            f"a web page instead of JSON: {_message(data)}", "check url=: it is that of the API, often with /v1", InputError
        )
    try:
        plain = json.loads(data)
    except (ValueError, RecursionError):
        what = "JSON that is broken or cut off" if data.strip() else "an empty answer"
        return _Failure(what, _LATER, may_pass=True)
    if isinstance(plain, dict) and plain.get("error"):  # some gateways say 200 and mean something else
        code = plain["error"].get("code") if isinstance(plain["error"], dict) else None
        return _refused(code if isinstance(code, int) else 400, _message(data), response.headers.get("Retry-After"))
    return plain


def _refused(status: int, said: str, retry_after: str | None) -> _Failure:
    what = f"{status}, {said}"
    if status == 413 or (status in (400, 422) and _TOO_MUCH.search(said) and _OF_WHAT.search(said)):
        return _Failure(what, "give a smaller batch_size=, or shorter texts", InputTooLarge)
    if status == 429 and "insufficient_quota" in said:
        return _Failure(what, "look at the plan and the bill of this account", InputError)
    if status in _MAY_PASS or status >= 500:
        return _Failure(what, _LATER, may_pass=True, wait=_seconds(retry_after))
    return _Failure(what, _MENDS.get(status, "change what the server complains of"), InputError)


def is_loopback(host: str) -> bool:
    """Whether a host is this machine.

    >>> is_loopback("localhost"), is_loopback("127.0.0.1"), is_loopback("example.org")
    (True, True, False)
    """
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _read(response: urllib3.BaseHTTPResponse, timeout: float) -> bytes:
    """The whole body; a server that sends drop by drop has no more time than one that is silent."""
    pieces, size, end = [], 0, time.monotonic() + timeout
    while size < _LARGEST and (piece := response.read1(1 << 16)):
        if time.monotonic() > end:
            raise TimeoutError
        pieces.append(piece)
        size += len(piece)
    return b"".join(pieces)


def _message(data: bytes) -> str:
    """What a server says in its own words: the text inside JSON, or the first line."""
    try:
        said = json.loads(data)
    except (ValueError, RecursionError):
        said = re.sub(r"<[^<>]*>|\s+", " ", data[:5000].decode("utf-8", "replace")).strip()
    while isinstance(said, dict) and said:
        code = f" ({said['code']})" if isinstance(said.get("code"), str) else ""
        said = next((said[name] for name in ("error", "message", "detail") if name in said), str(said))
        said = f"{said}{code}" if isinstance(said, str) else said
    return str(said)[:_SHOWN] or "no word why"


def _seconds(retry_after: str | None) -> float | None:
    """A Retry-After header, in seconds or as a date (RFC 9110, 10.2.3)."""
    from urllib3.exceptions import InvalidHeader
    from urllib3.util import Retry

    try:
        return Retry().parse_retry_after(retry_after) if retry_after else None
    except InvalidHeader:
        return None
