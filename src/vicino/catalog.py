"""A catalogue: short names for classes and functions that are imported only when asked for.

`ENCODERS`, `INDEXES`, `RETRIEVERS` and `METRICS` are catalogues. Listing one imports nothing heavy; asking for an entry
imports its module, and names the extra to install where that fails.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from vicino.errors import MissingExtra, UnknownName

__all__ = ["Catalog", "Entry"]


@dataclass(frozen=True)
class Entry:
    """Where an object lives (`package.module:Name`), a line about it, and the extra it needs, if any."""

    target: str
    summary: str
    extra: str | None = None


class Catalog(Mapping[str, Any]):
    """name -> object, imported when asked.

    >>> codecs = Catalog("codec", {"json": Entry("json:dumps", "plain text")})
    >>> codecs["json"]([1])
    '[1]'
    >>> list(codecs), codecs.entry("json").summary
    (['json'], 'plain text')
    """

    def __init__(self, kind: str, entries: Mapping[str, Entry]) -> None:
        self.kind = kind
        self._entries = dict(entries)

    def entry(self, name: str) -> Entry:
        """The entry under `name`, without importing it. Raises UnknownName."""
        try:
            return self._entries[name]
        except KeyError:
            raise UnknownName.among(name, self._entries, kind=self.kind) from None

    def __getitem__(self, name: str) -> Any:
        entry = self.entry(name)
        module, _, attribute = entry.target.partition(":")
        try:
            return getattr(importlib.import_module(module), attribute)
        except ImportError as error:
            if entry.extra is None:
                raise
            raise MissingExtra.named(entry.extra, needed_by=f"{self.kind} {name!r} and its kin") from error

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def name_of(self, target: type) -> str:
        """The short name under which a class is listed. Raises UnknownName."""
        where = f"{target.__module__}:{target.__qualname__}"
        for name, entry in self._entries.items():
            if entry.target == where:
                return name
        raise UnknownName.among(where, self._entries, kind=self.kind)
