"""What a client is told when something went wrong: OpenAI's error body, with what mends it and the request's id.

`{"error": {"message", "type", "param", "code", "mend", "request_id"}}`. What nobody foresaw is a 500 that tells nothing of the
inside; the log has it, under the same id.
"""

from __future__ import annotations

import errno
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from vicino.errors import (
    ArtifactError,
    EndpointError,
    InputError,
    InputTooLarge,
    MissingExtra,
    SpaceMismatch,
    UnknownName,
    VicinoError,
)

if TYPE_CHECKING:
    from starlette.responses import Response

__all__ = ["Busy", "Refused", "TimedOut", "answer", "body_of", "invalid", "status_of"]

_TYPES = {401: "authentication_error", 403: "permission_error", 404: "not_found_error", 429: "rate_limit_error"}
_STATUS: tuple[tuple[type[VicinoError], int, str], ...] = (  # the first that fits counts
    (UnknownName, 404, "not_found"),
    (InputTooLarge, 413, "too_large"),
    (InputError, 400, "invalid_value"),
    (SpaceMismatch, 409, "space_mismatch"),
    (EndpointError, 502, "upstream_failed"),
    (MissingExtra, 501, "not_installed"),
)
_FULL = (errno.ENOSPC, errno.EDQUOT)


class Refused(VicinoError):
    """What a server does not do, with the HTTP status that says so; `param` is the field that is wrong.

    >>> error = Refused(404, "there is no model 'gpt'", mend="ask /v1/models", code="model_not_found", param="model")
    >>> body_of(error, "r1")["error"]["type"], status_of(error)
    ('not_found_error', 404)
    """

    def __init__(
        self,
        status: int,
        what: str,
        *,
        mend: str,
        code: str,
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(what, mend=mend)
        self.status, self.code, self.param = status, code, param
        self.headers = dict(headers or {})


class Busy(Refused):
    """There is too much to do already: ask again after `retry_after` seconds."""

    def __init__(self, what: str, *, retry_after: float = 1.0) -> None:
        wait = max(1, math.ceil(retry_after))
        super().__init__(429, what, mend=f"ask again in {wait} s", code="overloaded", headers={"Retry-After": str(wait)})


class TimedOut(Refused):
    """It took longer than a request may."""

    def __init__(self, seconds: float) -> None:
        mend = "ask for less at a time, or start the server with a longer --time-limit"
        super().__init__(504, f"no answer within {seconds:g} s", mend=mend, code="timeout")


def status_of(error: BaseException) -> int:
    """The HTTP status of an error."""
    return _described(error)[0]


def body_of(error: BaseException, request_id: str = "") -> dict[str, Any]:
    """The JSON of an error: nothing of the inside where nobody meant it to be read."""
    status, code, param, what, mend = _described(error)
    kind = _TYPES.get(status, "invalid_request_error" if status < 500 else "server_error")
    inner = {"message": what, "type": kind, "param": param, "code": code, "mend": mend, "request_id": request_id}
    return {"error": {name: _readable(value) for name, value in inner.items()}}


def answer(error: BaseException, request_id: str = "") -> Response:
    """The response that tells an error: an ASGI application itself."""
    from starlette.responses import JSONResponse

    headers = {**getattr(error, "headers", {}), "Cache-Control": "no-store"}
    if status_of(error) == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return JSONResponse(body_of(error, request_id), status_of(error), headers=headers)


def _described(error: BaseException) -> tuple[int, str, str | None, str, str]:
    """Status, code, field, what is wrong, and what mends it."""
    if isinstance(error, Refused):
        return error.status, error.code, error.param, error.what, error.mend
    if _is_full(error):
        return (
            507,
            "disk_full",
            None,
            "the disk is full; nothing that was stored before is lost",
            "free some space, and ask again",
        )
    if isinstance(error, VicinoError):
        for kind, status, code in _STATUS:
            if isinstance(error, kind):
                return status, code, getattr(error, "param", None), error.what, error.mend
        code = "storage_failed" if isinstance(error, ArtifactError) else "failed"
        return 500, code, None, error.what, error.mend
    mend = "ask again; if it stays so, look for this request_id in the server's log"
    return 500, "internal_error", None, "something went wrong inside the server", mend


def _is_full(error: BaseException) -> bool:
    """Whether a full disk is the reason, anywhere in the chain of causes."""
    seen: set[int] = set()
    each: BaseException | None = error
    while each is not None and id(each) not in seen:
        if isinstance(each, OSError) and each.errno in _FULL:
            return True
        seen.add(id(each))
        each = each.__cause__ or each.__context__
    return False


def _readable(value: Any) -> Any:
    """Text that UTF-8 can hold: what came in may be quoted in what is wrong, lone surrogates too."""
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value


def invalid(errors: Sequence[Mapping[str, Any]]) -> Refused:
    """What pydantic found wrong with a request, without quoting it: the first field in words, the others counted.

    >>> invalid([{"loc": ("body", "k"), "msg": "Input should be greater than 0", "type": "greater_than"}]).what
    'k: Input should be greater than 0'
    """
    first = errors[0] if errors else {"loc": (), "msg": "the request cannot be read", "type": "invalid"}
    if first["type"] == "json_invalid":
        return Refused(400, "the body is no JSON", mend="send what a JSON writer makes", code="invalid_json")
    place = ".".join(str(part) for part in first["loc"][1:])  # without where it stood: body, query, path
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    what = f"{place}: {first['msg']}{more}" if place else f"{first['msg']}{more}"
    return Refused(400, what[:500], mend="see /docs for what this takes", code="invalid_request", param=place[:200] or None)
