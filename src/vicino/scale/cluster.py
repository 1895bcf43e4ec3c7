"""Joining a Ray cluster: one that is there, by its address, or one that lives on this machine for as long as the job does."""

from __future__ import annotations

import logging
import os
import re
import socket
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Final

from vicino import progress
from vicino.errors import EndpointError, InputError, MissingExtra

__all__ = ["LOCAL", "joined", "library", "require_address"]

LOCAL: Final = "ray"  # a cluster of this machine's processors
_WAITS: Final = (0.5, 1.0, 2.0, 4.0)  # seconds before another try
_PATIENCE: Final = 5.0  # seconds for one try
_SETTINGS: Final = {  # read when Ray is imported, and by what it starts
    "RAY_USAGE_STATS_ENABLED": "0",  # else it reports to its makers
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # a cluster started here listens to this machine alone, on Linux too
}
_MEMORY: Final = 128 << 20  # bytes of Ray's own store on this machine: only names of blocks and counts pass through it


def require_address(address: str) -> str:
    """The address, if it is one. Raises InputError.

    >>> require_address("ray://10.0.0.7:10001")
    'ray://10.0.0.7:10001'
    """
    if address != LOCAL and not re.fullmatch(r"ray://[^\s:/]+:\d{1,5}", address):
        raise InputError(
            f"{address!r} is no address of a Ray cluster",
            mend="give ray (this machine's processors), or ray://host:10001 (where ray start --head runs)",
        )
    return address


def library() -> ModuleType:
    """The package `ray`. Raises MissingExtra."""
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    try:
        import ray
    except ImportError as error:
        raise MissingExtra.named("scale", needed_by="jobs on a cluster") from error
    return ray


@contextmanager
def joined(address: str) -> Iterator[ModuleType]:
    """The library, joined to the cluster while the block runs; where this process joined one already, that one, as it is.

    Raises MissingExtra, and EndpointError where no cluster answers at the address after a few tries.
    """
    ray = library()
    if ray.is_initialized():
        yield ray
        return
    quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address == LOCAL:
        processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        here = {"num_cpus": processors, "object_store_memory": _MEMORY, "_node_ip_address": "127.0.0.1"}
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "lance is not fork-safe")  # Ray starts programs of its own
            _patiently(lambda: ray.init(address="local", include_dashboard=False, **here, **quiet), address)
    else:
        host, _, port = address.removeprefix("ray://").rpartition(":")
        _patiently(lambda: socket.create_connection((host, int(port)), timeout=_PATIENCE).close(), address)
        _patiently(lambda: ray.init(address, **quiet), address)
    try:
        yield ray
    finally:
        ray.shutdown()


def _patiently(join: Callable[[], object], address: str) -> None:
    """Try to join, and a few times again where nobody answers. Raises EndpointError."""
    with progress.task(f"Joining {address}", total=len(_WAITS) + 1, unit="tries") as bar:
        for wait in (*_WAITS, None):
            try:
                join()
            except (OSError, RuntimeError, ValueError, OverflowError) as error:
                if wait is None:
                    raise EndpointError(
                        f"no Ray cluster answers at {address}: {str(error)[:300]}", mend=_mend(address)
                    ) from error
                bar.advance()
                time.sleep(wait)
            else:
                return


def _mend(address: str) -> str:
    if address == LOCAL:
        return "see that this machine has memory to spare, or leave out --on"
    port = address.rpartition(":")[2]
    return f"start one there: ray start --head --ray-client-server-port={port}; or --on ray for this machine alone"
