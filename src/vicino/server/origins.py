"""Which names this server answers to, and whose pages may ask it.

DNS rebinding: a page of evil.example whose name suddenly leads to 127.0.0.1 asks under its own name, which is in the `Host`
header; only known names are answered. Requests forged by other pages: a browser says whose page asks, in `Origin` (Fetch, 3.2)
or, where that is left out, in `Sec-Fetch-Site` (W3C Fetch Metadata). The page that this server gives has the server's own origin.
"""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING

from vicino.errors import InputError
from vicino.server.failures import Refused

if TYPE_CHECKING:
    from starlette.datastructures import Headers

    from vicino.server.settings import Settings

__all__ = ["Origins", "preflight"]

_HOST = re.compile(r"(\[[0-9a-fA-F:.]{2,45}\]|[0-9A-Za-z._-]{1,253})(?::([0-9]{1,5}))?", re.ASCII)
_PORTS = {"http": "80", "https": "443"}
_PREFLIGHT = {
    "Access-Control-Allow-Methods": "GET, POST, DELETE",
    "Access-Control-Allow-Headers": "Authorization, Content-Type, Idempotency-Key, X-API-Key, X-Request-ID",
    "Access-Control-Max-Age": "600",
    "Vary": "Origin",
}


class Origins:
    """The names and origins of one server's settings. Raises InputError for an origin or a host that is none.

    >>> from vicino.server.settings import Settings
    >>> known = Origins(Settings(allow_hosts=("search.example",)))
    >>> [known.answers_to(host) for host in ("localhost:8765", "Search.Example", "evil.example", "127.0.0.1.evil.example")]
    [True, True, False, False]
    """

    def __init__(self, settings: Settings) -> None:
        for host in settings.allow_hosts:
            if not _HOST.fullmatch(host) or ":" in host.rpartition("]")[2]:
                raise InputError(f"{host!r} is no name of a host", mend="give a name without port, such as search.example")
        self._hosts = {"localhost", settings.host.lower(), *(host.lower() for host in settings.allow_hosts)}
        self._is_loopback = settings.is_loopback
        self._listed = set()
        for origin in settings.origins:
            read = _split(origin)
            if read is None:
                raise InputError(
                    f"{origin!r} is no origin", mend="give scheme, name and port as a browser does: https://notes.example"
                )
            self._listed.add(read)

    def answers_to(self, host: str) -> bool:
        """Whether a `Host` header names this server. Beyond the loopback every IP address does: nobody can rebind one."""
        read = _HOST.fullmatch(host)
        if read is None:
            return False
        name = read[1].lower()
        try:
            address = ipaddress.ip_address(name.strip("[]"))
        except ValueError:
            return name in self._hosts
        return address.is_loopback or not self._is_loopback or name.strip("[]") in self._hosts

    def require(self, method: str, headers: Headers) -> dict[str, str]:
        """What the answer must say for the page that asks to read it. Raises Refused for another's name or page."""
        hosts = headers.getlist("host")
        if len(hosts) != 1 or not self.answers_to(hosts[0]):
            mend = "ask under the address that vicino serve printed, or start it with --allow-host NAME"
            raise Refused(421, "this server does not answer to that name", mend=mend, code="unknown_host")
        origins = headers.getlist("origin")
        if not origins:
            if headers.get("sec-fetch-site", "none") not in ("none", "same-origin") and not _is_visit(method, headers):
                raise _foreign()
            return {}
        asks = _split(origins[0]) if len(origins) == 1 else None
        if asks is None:
            raise _foreign()
        scheme, place = asks
        if place == _without_port(hosts[0].lower(), scheme):
            return {}
        if asks not in self._listed:
            raise _foreign()
        return {
            "Access-Control-Allow-Origin": origins[0],
            "Access-Control-Expose-Headers": "X-Request-ID, Retry-After",
            "Vary": "Origin",
        }


def preflight(method: str, headers: Headers) -> dict[str, str] | None:
    """What to answer to a browser that asks whether a listed page may ask; None where this is no such question."""
    asks = method == "OPTIONS" and "origin" in headers and "access-control-request-method" in headers
    return dict(_PREFLIGHT) if asks else None


def _is_visit(method: str, headers: Headers) -> bool:
    """Somebody followed a link to here: a window of its own, which the other page cannot read."""
    return method in ("GET", "HEAD") and (headers.get("sec-fetch-mode"), headers.get("sec-fetch-dest")) == (
        "navigate",
        "document",
    )


def _split(origin: str) -> tuple[str, str] | None:
    """Scheme, and host with the port where it is not the scheme's own; None for what is no origin ("null" is none)."""
    scheme, found, place = origin.lower().partition("://")
    if not found or scheme not in _PORTS or not _HOST.fullmatch(place):
        return None
    return scheme, _without_port(place, scheme)


def _without_port(place: str, scheme: str) -> str:
    return place.removesuffix(f":{_PORTS[scheme]}")


def _foreign() -> Refused:
    mend = "open the page that this server gives, or start it with --origin https://..., the origin of yours"
    return Refused(403, "a page of another origin may not ask this server", mend=mend, code="foreign_origin")
