"""Settings: everything that a server is told when it starts."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from pathlib import Path

from vicino.artifacts import home
from vicino.errors import InputError

__all__ = ["Settings"]

_MIB = 1 << 20


@dataclass(frozen=True)
class Settings:
    """What to serve, where, and the limits that keep memory and time bounded.

    `home` holds the collections, the studies and the keys. `collections` are the names to serve, None for all there are.
    `encoders` and `rerankers` are what `vicino.encoders.make` and `open_reranker` take, each as it is or as "NAME=WHAT";
    without any encoder, those of the collections that learnt nothing from them, else minilm. `allow_hosts` are the names in a
    `Host` header that are right beside those of the loopback, `origins` whose pages may ask.

    Sizes are in bytes, `queue_limit` and `max_batch` in texts, `wait_ms` is how long a text may wait for others to be encoded
    together with it, `rate` is in requests a second for each key with bursts of `burst` (0: no limit). `time_limit_s` holds for a
    request, `body_limit_s` for the arrival of its body, `shutdown_s` for what is being answered when the server is stopped.
    `any_dimensions` lets `dimensions` cut the vectors of models that were not trained for it.

    Raises InputError for limits that cannot be.

    >>> Settings(port=0).is_loopback, Settings(host="0.0.0.0").is_loopback
    (True, False)
    """

    host: str = "127.0.0.1"
    port: int = 8765
    home: Path = field(default_factory=home)
    collections: tuple[str, ...] | None = None
    encoders: tuple[str, ...] = ()
    rerankers: tuple[str, ...] = ()
    allow_hosts: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    max_body_bytes: int = 16 * _MIB
    max_texts: int = 2048
    max_text_bytes: int = _MIB
    max_k: int = 1000
    max_offset: int = 10_000
    queue_limit: int = 8192
    queue_bytes: int = 64 * _MIB
    max_batch: int = 256
    wait_ms: float = 2.0
    threads: int = 8
    time_limit_s: float = 60.0
    body_limit_s: float = 30.0
    shutdown_s: float = 30.0
    rate: float = 0.0
    burst: int = 100
    any_dimensions: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.port < 1 << 16:
            raise InputError(f"port {self.port} cannot be", mend="give one from 1 to 65535, or 0 for any that is free")
        for name in ("max_body_bytes", "max_texts", "max_text_bytes", "max_k", "queue_bytes", "max_batch", "threads", "burst"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}", mend="give at least 1")
        if self.queue_limit < self.max_texts:
            raise InputError(
                f"a queue of {self.queue_limit} texts has no room for one request of {self.max_texts}",
                mend="give a larger queue_limit, or a smaller max_texts",
            )
        for name in ("time_limit_s", "body_limit_s", "shutdown_s"):
            if not getattr(self, name) > 0:
                raise InputError(f"{name} is {getattr(self, name)}", mend="give seconds, more than 0")
        for name in ("wait_ms", "rate", "max_offset"):
            if not getattr(self, name) >= 0:
                raise InputError(f"{name} is {getattr(self, name)}", mend="give 0 or more")

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach the server."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    @property
    def keys_file(self) -> Path:
        """Where the keys are kept, hashed."""
        return self.home / "keys.json"

    @property
    def collections_folder(self) -> Path:
        """Where the collections are."""
        return self.home / "collections"

    @property
    def studies_folder(self) -> Path:
        """Where `vicino compare` writes what it found."""
        return self.home / "studies"
