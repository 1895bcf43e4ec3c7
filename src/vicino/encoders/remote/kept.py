"""What a model answered, kept on disk: text -> vector, so that nothing is paid for twice and nothing paid for is lost."""

from __future__ import annotations

import hashlib
import logging
import sqlite3
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

__all__ = ["Kept"]

log = logging.getLogger(__name__)

T = TypeVar("T")
_TOGETHER = 500  # keys in one question
_PATIENCE = 30.0  # seconds to wait for another process
_TABLE = "CREATE TABLE IF NOT EXISTS answers (key BLOB PRIMARY KEY, vector BLOB NOT NULL, tokens REAL NOT NULL)"


class Kept:
    """The vectors of one model in a SQLite file, for several threads and processes at once; a `put` is on disk when it returns.

    It never fails: a damaged file is set aside and begun anew; one that cannot be read or written keeps nothing from then on.
    Both are logged. Without a `path` nothing is kept.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._database: sqlite3.Connection | None = None

    def get(self, texts: Sequence[str], role: str) -> tuple[dict[str, NDArray[np.float32]], float]:
        """The vectors of the texts that are known, and the tokens that they cost."""
        named = {_key(text, role): text for text in texts}
        keys = list(named)
        rows = [row for start in range(0, len(keys), _TOGETHER) for row in self._rows(keys[start : start + _TOGETHER])]
        vectors = {named[key]: np.frombuffer(vector, dtype="<f4") for key, vector, _ in rows}
        return vectors, sum(tokens for *_, tokens in rows)

    def put(self, vectors: Mapping[str, NDArray[np.float32]], role: str, tokens: float) -> None:
        """Keep vectors that cost so many tokens together."""
        each = tokens / max(1, sum(map(len, vectors)))
        rows = [(_key(text, role), vector.astype("<f4").tobytes(), each * len(text)) for text, vector in vectors.items()]

        def write(database: sqlite3.Connection) -> None:
            with database:
                database.executemany("INSERT OR REPLACE INTO answers VALUES (?, ?, ?)", rows)

        self._guarded(write, None)

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            if self._database is not None:
                self._database.close()
                self._database = None

    def _rows(self, keys: list[bytes]) -> list[tuple[bytes, bytes, float]]:
        marks = ",".join("?" * len(keys))
        question = f"SELECT key, vector, tokens FROM answers WHERE key IN ({marks})"
        return self._guarded(lambda database: database.execute(question, keys).fetchall(), [])

    def _guarded(self, work: Callable[[sqlite3.Connection], T], otherwise: T) -> T:
        with self._lock:
            while self.path is not None:
                try:
                    if self._database is None:
                        self._database = _opened(self.path)
                    return work(self._database)
                except (sqlite3.OperationalError, OSError) as error:  # locked, full, not ours to write ...
                    self._give_up(error)
                except sqlite3.DatabaseError as error:
                    self._set_aside(self.path, error)
        return otherwise

    def _set_aside(self, path: Path, error: sqlite3.DatabaseError) -> None:
        if self._database is not None:
            self._database.close()
            self._database = None
        aside = path.with_suffix(".damaged")
        try:
            path.replace(aside)
            for end in ("-wal", "-shm"):
                path.with_name(path.name + end).unlink(missing_ok=True)
        except FileNotFoundError:  # another process was quicker
            return
        except OSError as failure:
            self._give_up(failure)
            return
        log.warning("%s is damaged (%s): set aside as %s, and begun anew", path, error, aside.name)

    def _give_up(self, error: Exception) -> None:
        log.warning("answers are no longer kept in %s: %s", self.path, error)
        self.path = None


def _opened(path: Path) -> sqlite3.Connection:
    path.parent.mkdir(parents=True, exist_ok=True)
    database = sqlite3.connect(path, timeout=_PATIENCE, check_same_thread=False)
    try:
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("PRAGMA synchronous=NORMAL")  # safe when the process is killed; the last words go when the power does
        database.execute(_TABLE)
    except sqlite3.Error:
        database.close()
        raise
    return database


def _key(text: str, role: str) -> bytes:
    return hashlib.sha256(f"{role}\0{text}".encode("utf-8", "surrogatepass")).digest()
