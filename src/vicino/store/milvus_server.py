"""The Milvus server: where it is, its tables, and what goes wrong with it, by name.

A location is `milvus://host:19530/database#papers`, or `milvus://host:19530/database?secure=true#papers` for TLS. A token or
user:password comes from the environment variable VICINO_MILVUS_TOKEN, never from the address.
"""

from __future__ import annotations

import logging
import os
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs, unquote, urlsplit

from vicino.artifacts import locked
from vicino.errors import ArtifactError, EndpointError, InputError, MissingExtra
from vicino.spaces import fingerprint
from vicino.store.retrying import patiently

if TYPE_CHECKING:
    from pymilvus import MilvusClient
    from pymilvus.exceptions import MilvusException

__all__ = ["TOKEN", "Place"]

TOKEN: Final = "VICINO_MILVUS_TOKEN"
CONNECT: Final = 5.0  # seconds
ANSWER: Final = 30.0  # seconds, in which the client asks again by itself
STRONG: Final = "Strong"  # who reads after a write sees it
PAGE: Final = 1_000  # rows read or written at once
PAGE_BYTES: Final = 16 << 20

_clients: dict[tuple[int, str], MilvusClient] = {}


@dataclass(frozen=True)
class Place:
    """A store's place: the server's URL, and the name that its tables (Milvus says collections) begin with."""

    url: str
    name: str

    @classmethod
    def of(cls, location: str) -> Place:
        """Raises InputError for a location that is none, or that holds a password."""
        url, _, name = location.partition("#")
        example = "write it like milvus://host:19530 or milvus://host:19530/database"
        try:
            parts = urlsplit(url)
            there = (parts.scheme, bool(parts.hostname), parts.port is not None, bool(name))
        except ValueError as error:
            raise InputError(f"{url!r} is no address of a server: {error}", mend=example) from error
        if "@" in parts.netloc:
            raise InputError(
                f"milvus://{parts.hostname} comes with a user or a password, which others could read",
                mend=f"leave it out of the address, and set {TOKEN}=user:password",
            )
        if parts.query not in ("", "secure=true", "secure=false"):  # it could be a token, or TLS that is not
            raise InputError(
                f"milvus://{parts.hostname} comes with more than an address: {', '.join(parse_qs(parts.query)) or parts.query!r}",
                mend=f"write ?secure=true for TLS, and nothing else; a token or user:password goes into {TOKEN}",
            )
        if there != ("milvus", True, True, True):
            raise InputError(f"{location!r} is no place for a store", mend=f"{example}#name")
        return cls(url, unquote(name))

    def __str__(self) -> str:
        return f"{self.url}#{self.name}"

    def table(self, what: str) -> str:
        """The name of one of the store's tables: Milvus takes letters, digits and underscores."""
        plain = re.sub(r"[^0-9A-Za-z]", "_", self.name)[:80]
        return f"vicino_{plain}_{fingerprint(self.name)[:8]}_{what}"

    @contextmanager
    def turn(self, what: str, *, wait: bool = True) -> Iterator[bool]:
        """Hold a lock among the processes of this user on this machine: Milvus has none."""
        folder = Path(tempfile.gettempdir()) / f"vicino-{os.getuid()}"
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise ArtifactError(f"cannot write {folder}: {error}", mend="set TMPDIR to a folder that you may write to") from error
        with locked(folder / f"{fingerprint(str(self))}.{what}", wait=wait) as mine:
            yield mine

    # Asking -----------------------------------------------------------------------------------------------------------

    def client(self) -> MilvusClient:
        """A connection of this process. Raises EndpointError, MissingExtra."""
        try:
            from pymilvus import MilvusClient
            from pymilvus.exceptions import MilvusException
        except ImportError as error:
            raise MissingExtra.named("milvus", needed_by="collections in Milvus") from error
        name = (os.getpid(), self.url)
        if name not in _clients:
            logging.getLogger("pymilvus").setLevel(logging.CRITICAL)  # we tell it ourselves
            parts = urlsplit(self.url)
            kind = "https" if parse_qs(parts.query).get("secure") == ["true"] else "http"
            uri, database = f"{kind}://{parts.netloc}", unquote(parts.path.strip("/"))

            def connect() -> MilvusClient:
                made = MilvusClient(uri=uri, db_name=database, token=os.environ.get(TOKEN, ""), timeout=CONNECT)
                made.list_collections(timeout=CONNECT)
                return made

            def passing(error: Exception) -> bool:
                return isinstance(error, MilvusException) and _is_away(error)

            mend = "see that it runs and can be reached at this host and port"
            with self.named():
                _clients[name] = patiently(connect, server=f"Milvus at {self.url}", passing=passing, mend=mend)
        return _clients[name]

    @contextmanager
    def named(self) -> Iterator[None]:
        """Turn what the server reports into ArtifactError, and its silence into EndpointError."""
        from pymilvus.exceptions import MilvusException

        try:
            yield
        except MilvusException as error:
            said = " ".join(str(error.message).split())[:300]
            if _is_away(error):
                _clients.pop((os.getpid(), self.url), None)
                raise EndpointError(
                    f"Milvus at {self.url} does not answer: {said}", mend="see that it runs, then run the command again"
                ) from error
            mend = f"set {TOKEN}=user:password" if re.search("auth|permission", said, re.IGNORECASE) else "see the server's log"
            raise ArtifactError(f"{self}: Milvus says: {said}", mend=mend) from error

    def ask(self, verb: str, what: str, **options: Any) -> Any:
        """What the client's `verb` says of one of the store's tables; a table that the server has let go of is loaded first.

        Raises EndpointError, ArtifactError.
        """
        client, table = self.client(), self.table(what)
        with self.named():
            try:
                return getattr(client, verb)(table, timeout=ANSWER, **options)
            except Exception as error:
                if not _RELEASED.search(str(error)):
                    raise
            client.load_collection(table, timeout=ANSWER)
            return getattr(client, verb)(table, timeout=ANSWER, **options)

    def there(self, what: str) -> bool:
        """Whether there is such a table."""
        return bool(self.ask("has_collection", what))

    def read(self, what: str, condition: str, fields: Sequence[str]) -> Iterator[list[dict[str, Any]]]:
        """Pages of the rows of a table that match, as they are now."""
        options = {"filter": condition, "output_fields": list(fields), "batch_size": PAGE, "consistency_level": STRONG}
        pages = self.ask("query_iterator", what, **options)
        while True:
            with self.named():
                rows = pages.next()
            if not rows:
                pages.close()
                return
            yield rows

    def pick(self, what: str, ids: Sequence[str], fields: Sequence[str], condition: str = "") -> Iterator[dict[str, Any]]:
        """The rows of a table with these ids, which need no quoting."""
        for begin in range(0, len(ids), PAGE):
            listed = ", ".join(f'"{each}"' for each in ids[begin : begin + PAGE])
            wanted = f"id in [{listed}]" + (f" and {condition}" if condition else "")
            yield from self.ask("query", what, filter=wanted, output_fields=list(fields), consistency_level=STRONG)

    def count(self, what: str, condition: str) -> int:
        """How many rows of a table match."""
        found = self.ask("query", what, filter=condition, output_fields=["count(*)"], consistency_level=STRONG)
        return int(found[0]["count(*)"])

    def put(self, what: str, rows: Sequence[Mapping[str, Any]], size: int = 1) -> None:
        """Write rows, of about `size` bytes each, in the place of those of their ids; pages of them, one after the other."""
        step = max(1, min(PAGE, PAGE_BYTES // max(size, 1)))
        for begin in range(0, len(rows), step):
            self.ask("upsert", what, data=[dict(row) for row in rows[begin : begin + step]])

    def remove(self, what: str, ids: Sequence[str]) -> None:
        """Take rows out of a table."""
        for begin in range(0, len(ids), PAGE):
            self.ask("delete", what, ids=list(ids[begin : begin + PAGE]))


_RELEASED: Final = re.compile("released|not loaded|NotLoad")
_AWAY: Final = re.compile("UNAVAILABLE|DEADLINE|server unavailable|Fail connecting|Retry (timeout|run out)")


def _is_away(error: MilvusException) -> bool:
    """Whether the server did not answer at all."""
    return bool(_AWAY.search(f"{error.code} {error}"))
