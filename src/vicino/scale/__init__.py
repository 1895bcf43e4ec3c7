"""Past one machine: the same ingest, embedded and committed by the workers of a Ray cluster. Ray is loaded when a job begins."""

from __future__ import annotations

from typing import Any

from vicino.scale.cluster import require_address
from vicino.scale.jobs import spread

__all__ = ["writing_on"]


def writing_on(address: str | None) -> dict[str, Any]:
    """The options of `vicino.store.changes.write_changes` that give the work to a cluster; none where there is no address.

    Raises InputError for an address that is neither "ray" nor "ray://host:port".

    >>> writing_on(None)
    {}
    """
    return {} if address is None else {"write": spread(require_address(address))}
