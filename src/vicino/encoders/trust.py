"""What a saved folder may make this machine do beyond arithmetic: run a named function, or send a key to a host.

A person who names a function or a host in this process has vouched for it. A folder that came from elsewhere has not: what it
names must stand in the environment's VICINO_TRUST, separated by commas. Otherwise opening data could run code.
"""

from __future__ import annotations

import os

from vicino.errors import InputError

__all__ = ["require_trusted", "vouch"]

_vouched: set[str] = set()


def vouch(name: str) -> None:
    """From now on this process trusts `name`."""
    _vouched.add(name)


def require_trusted(name: str, wish: str) -> None:
    """Raise InputError unless `name` is trusted; `wish` says who wants to do what.

    >>> vouch("example:embed")
    >>> require_trusted("example:embed", "the folder winner wants to run the function example:embed")
    """
    if name not in _vouched and name not in [each.strip() for each in os.environ.get("VICINO_TRUST", "").split(",")]:
        raise InputError(wish, mend=f"if you trust it: export VICINO_TRUST={name}")
