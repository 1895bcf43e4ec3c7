"""Requests that may be sent again: who repeats one under the same key is told what it did, and nothing is done twice.

What a request did is kept on disk for a day, so that it holds over a restart. One that failed may be sent again. After the IETF's
draft, "The Idempotency-Key HTTP Header Field".
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vicino.artifacts import locked
from vicino.errors import ArtifactError
from vicino.server.failures import Refused

__all__ = ["Once", "Requests", "require_key"]

log = logging.getLogger(__name__)

_DAY = 24 * 3600.0
_LONGEST = 255


@dataclass(eq=False)
class Once:
    """One request: `did` is what it did when it was sent before, None where it is new; then `done` says what it did."""

    did: Mapping[str, Any] | None
    _write: Callable[[Mapping[str, Any]], None] = field(repr=False)

    def done(self, what: Mapping[str, Any]) -> None:
        """Keep what was done, for whoever asks again. That it cannot be kept fails nothing: it is done."""
        try:
            self._write(what)
        except OSError as error:
            log.warning("what a request did is not kept: %s", error)


class Requests:
    """What was done under which key, in a folder, for `keep_s` seconds."""

    def __init__(self, folder: Path, *, keep_s: float = _DAY, clock: Callable[[], float] = time.time) -> None:
        self.folder, self.keep_s, self._clock = folder, keep_s, clock

    @contextmanager
    def once(self, scope: Sequence[str], key: str, body: bytes) -> Iterator[Once]:
        """Take a key, within `scope` (whose it is, and of what), for a request with this body, for as long as the block runs.

        Raises Refused: a 409 while another request has the key, a 422 where it was used for another body; ArtifactError for a
        full disk.
        """
        name = hashlib.sha256(json.dumps([*scope, key]).encode()).hexdigest()[:32]
        digest = hashlib.sha256(body).hexdigest()
        file = self.folder / f"{name}.json"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._sweep()
            holding = locked(self.folder / f"{name}.lock", wait=False)
            mine = holding.__enter__()
        except OSError as error:
            raise ArtifactError(f"cannot note the request: {error}", mend="free some space, and send it again") from error
        try:
            if not mine:
                raise Refused(409, "a request with this key is running", mend="wait for its end", code="idempotency_running")
            before = self._read(file)
            if before is not None and before["body"] != digest:
                mend = "give every request a key of its own, such as a random UUID"
                raise Refused(422, "this key was used for another request", mend=mend, code="idempotency_mismatch")
            yield Once(None if before is None else before["did"], lambda did: self._keep(file, digest, did))
        finally:
            holding.__exit__(None, None, None)

    def _read(self, file: Path) -> dict[str, Any] | None:
        try:
            plain = json.loads(file.read_text(encoding="utf-8"))
            fresh = self._clock() - plain["at"] < self.keep_s
            return plain if fresh and isinstance(plain["did"], dict) and isinstance(plain["body"], str) else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _keep(self, file: Path, digest: str, did: Mapping[str, Any]) -> None:
        handle, part = tempfile.mkstemp(prefix=".", suffix=".part", dir=self.folder)
        try:
            with open(handle, "w", encoding="utf-8") as stream:
                json.dump({"at": self._clock(), "body": digest, "did": dict(did)}, stream)
                stream.flush()
                os.fsync(stream.fileno())
            os.replace(part, file)
        finally:
            Path(part).unlink(missing_ok=True)

    def _sweep(self) -> None:
        """Remove what is older than it is kept; once in a while is enough."""
        stamp = self.folder / "swept"
        now = self._clock()
        with suppress(OSError):
            if stamp.exists() and now - stamp.stat().st_mtime < self.keep_s / 24:
                return
            stamp.touch()
            os.utime(stamp, (now, now))
            for file in self.folder.iterdir():
                if file != stamp and now - file.stat().st_mtime > self.keep_s:
                    file.unlink(missing_ok=True)


def require_key(key: str) -> str:
    """A key as a client sent it. Raises Refused, a 400, for one that is none."""
    if not 0 < len(key) <= _LONGEST or not (key.isascii() and key.isprintable()):
        what = f"the Idempotency-Key is not 1 to {_LONGEST} printable characters"
        raise Refused(400, what, mend="send a random UUID", code="invalid_key", param="Idempotency-Key")
    return key
