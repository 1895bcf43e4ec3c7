"""How many threads an index takes, where its library does not ask OMP_NUM_THREADS itself."""

from __future__ import annotations

import os

__all__ = ["threads_for"]

_PER_THREAD = 64  # queries for which another thread is worth starting


def threads_for(items: int) -> int:
    """As many as OMP_NUM_THREADS allows, or as there are processors, if each has enough to do.

    >>> threads_for(1)
    1
    """
    if items < 2 * _PER_THREAD:
        return 1
    allowed = os.environ.get("OMP_NUM_THREADS", "")
    most = int(allowed) if allowed.isdigit() and int(allowed) else os.cpu_count() or 1
    return max(1, min(most, items // _PER_THREAD))
