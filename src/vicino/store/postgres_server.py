"""The PostgreSQL server: where it is, its connections, and what goes wrong with it, by name.

A location is libpq's URL with the name of the store behind `#`: `postgresql://user@host:5432/database?sslmode=require#papers`.
It holds no password. That comes from the environment variable VICINO_POSTGRES_PASSWORD, else from where libpq looks
(PGPASSWORD, PGPASSFILE, ~/.pgpass).
"""

from __future__ import annotations

import atexit
import itertools
import logging
import os
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from vicino.errors import ArtifactError, EndpointError, InputError, MissingExtra
from vicino.spaces import fingerprint
from vicino.store.retrying import patiently

if TYPE_CHECKING:
    from psycopg import Connection
    from psycopg.sql import Composed
    from psycopg_pool import ConnectionPool

__all__ = ["PASSWORD", "Place", "library"]

PASSWORD: Final = "VICINO_POSTGRES_PASSWORD"
CONNECTIONS: Final = 8  # at most, of one process with one database
WAIT: Final = 5.0  # seconds, for a connection of the pool

T = TypeVar("T")

_pools: dict[tuple[int, str], ConnectionPool] = {}


@dataclass(frozen=True)
class Place:
    """A store's place: the database's URL, without a password, and the schema (a namespace in it) that is the store's own."""

    url: str
    name: str

    @classmethod
    def of(cls, location: str) -> Place:
        """Raises InputError for a location that is none, or that holds a password.

        >>> Place.of("postgresql://me@db.example/vectors#papers").schema
        'vicino_papers'
        """
        url, _, name = location.partition("#")
        example = "write it like postgresql://user@host:5432/database"
        try:
            parts = urlsplit(url)
            secret = parts.password is not None or any("password" in name.lower() for name, _ in parse_qsl(parts.query))
        except ValueError as error:
            raise InputError(f"{url!r} is no address of a database: {error}", mend=example) from error
        if secret:
            raise InputError(
                f"{_public(parts)} holds a password, which others could read",
                mend=f"leave it out of the address, and set {PASSWORD} (or use ~/.pgpass)",
            )
        if parts.scheme not in ("postgresql", "postgres") or not name:
            raise InputError(f"{location!r} is no place for a store", mend=f"{example}#name")
        return cls(url, unquote(name))

    @property
    def schema(self) -> str:
        """PostgreSQL cuts names of more than 63 bytes."""
        plain = f"vicino_{self.name}"
        return plain if len(plain.encode()) <= 63 else f"vicino_{fingerprint(self.name)}"

    def __str__(self) -> str:
        return f"{self.url}#{self.name}"

    def sql(self, statement: str) -> Composed:
        """A statement of ours, in which {schema} is the store's."""
        from psycopg.sql import SQL, Identifier

        return SQL(statement).format(schema=Identifier(self.schema))

    # Connections ------------------------------------------------------------------------------------------------------

    def run(self, work: Callable[[Connection], T]) -> T:
        """What `work` returns, in one transaction; all of it again where the connection breaks meanwhile.

        So `work` must be such that twice is as good as once. Raises EndpointError, ArtifactError.
        """

        def once() -> T:
            with self.connection() as connection:
                return work(connection)

        return self._patiently(once)

    def stream(self, work: Callable[[Connection], Iterator[T]]) -> Iterator[T]:
        """What `work` yields, in one transaction; what breaks after its first is raised."""
        held = ExitStack()

        def once() -> tuple[Iterator[T], list[T]]:
            with ExitStack() as stack:
                answers = work(stack.enter_context(self.connection()))
                first = list(itertools.islice(answers, 1))
                held.enter_context(stack.pop_all())
            return answers, first

        answers, first = self._patiently(once)
        try:
            with held:
                yield from first
                yield from answers
        except Exception as error:
            if not _passing(error):
                raise
            raise EndpointError(f"PostgreSQL at {self.url} broke off: {error}", mend="run the command again") from error

    def alone(self, statement: Composed) -> None:
        """Run a statement that must stand outside transactions, such as VACUUM."""

        def once() -> None:
            with self._named(), self._connect(autocommit=True) as connection:
                connection.execute(statement)

        self._patiently(once)

    def one_at_a_time(self, name: str, work: Callable[[Connection], bool]) -> bool:
        """What `work` says, done outside transactions; False where another process does what has this name."""

        def once() -> bool:
            with self._named(), self._connect(autocommit=True) as connection:
                if connection.execute("SELECT pg_try_advisory_lock(hashtext(%s))", [name]).fetchone() != (True,):
                    return False
                try:
                    return work(connection)
                finally:
                    if not connection.closed:
                        connection.execute("SELECT pg_advisory_unlock(hashtext(%s))", [name])

        return self._patiently(once)

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        """A connection of the pool, in one transaction."""
        from psycopg_pool import PoolTimeout

        with self._named():
            pool = self._pool()
            try:
                connection = pool.getconn()
            except PoolTimeout:
                self._connect().close()  # which raises what the pool keeps to itself
                raise
            try:
                with connection.transaction():
                    yield connection
            finally:
                pool.putconn(connection)

    def _pool(self) -> ConnectionPool:
        from psycopg_pool import ConnectionPool

        name = (os.getpid(), self.url)
        if name not in _pools:
            self._connect().close()  # what is wrong shows at once
            _pools[name] = ConnectionPool(
                self.url,
                kwargs=self._options(),
                min_size=0,
                max_size=CONNECTIONS,
                timeout=WAIT,
                reconnect_timeout=WAIT,
                check=ConnectionPool.check_connection,
                open=True,
            )
            logging.getLogger("psycopg.pool").setLevel(logging.ERROR)  # we tell it ourselves
            atexit.register(_pools[name].close)
        return _pools[name]

    def _connect(self, *, autocommit: bool = False) -> Connection:
        made: Connection = library().connect(self.url, autocommit=autocommit, **self._options())
        return made

    def _options(self) -> dict[str, Any]:
        password = os.environ.get(PASSWORD)
        return {"connect_timeout": 10, "client_encoding": "utf8", **({"password": password} if password else {})}

    # Errors -----------------------------------------------------------------------------------------------------------

    def _patiently(self, ask: Callable[[], T]) -> T:
        mend = f"see that it runs and can be reached: psql {self.url!r}"
        return patiently(ask, server=f"PostgreSQL at {self.url}", passing=_passing, mend=mend)

    @contextmanager
    def _named(self) -> Iterator[None]:
        """Turn what the server reports, and does not pass by itself, into ArtifactError."""
        psycopg = library()
        try:
            yield
        except psycopg.Error as error:
            if _passing(error):
                raise
            said = " ".join(str(error).split())[:300]
            for words, mend in _MENDS.items():
                if re.search(words, f"{error.sqlstate or ''} {said}"):
                    raise ArtifactError(f"{self}: {said}", mend=mend) from error
            raise ArtifactError(f"{self}: PostgreSQL says: {said}", mend="see the server's log for more") from error


def _public(parts: SplitResult) -> str:
    """An address without what it keeps secret."""
    return f"{parts.scheme}://{parts.hostname or ''}{parts.path}"


def library() -> ModuleType:
    """The package `psycopg`. Raises MissingExtra."""
    try:
        import psycopg
        import psycopg_pool  # noqa: F401 - both, or neither
    except ImportError as error:
        raise MissingExtra.named("postgres", needed_by="collections in PostgreSQL") from error
    return psycopg


_MENDS: Final = {
    r"password|pg_hba|28P01|28000": f"set {PASSWORD}, or write the password into ~/.pgpass; see the user's name in the address",
    r"role .* does not exist": "name a user that the server knows: postgresql://user@host/database",
    r"3D000|database .* does not exist": "make the database first: createdb NAME",
    r"extension|42704|type \"?(vector|halfvec)": "install pgvector on the server, then in the database: CREATE EXTENSION vector",
    r"42501|permission denied": "ask the owner of the database for the right to create and write in it",
    r"53100|No space left": "free some space on the server, then run the command again: nothing that was stored is lost",
    r"54000|too (large|long)": "cut the documents into smaller passages",
}
_HOPELESS: Final = re.compile(r"password|pg_hba|does not exist|certificate|SSL|invalid (connection|URI|port)|could not translate")
_STATES: Final = re.compile(r"08|57P0|53300|40001|40P01|55P03")  # connections, restarts, conflicts, locks


def _passing(error: Exception) -> bool:
    """Whether waiting may help: the connection was refused or broke, the server restarts, others are in the way."""
    from psycopg import InterfaceError, OperationalError
    from psycopg_pool import PoolTimeout

    if isinstance(error, PoolTimeout):
        return True
    state = getattr(error, "sqlstate", None)
    if state:
        return bool(_STATES.match(state))
    return isinstance(error, OperationalError | InterfaceError) and not _HOPELESS.search(str(error))
