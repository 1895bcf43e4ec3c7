"""A catalogue: short names for classes and functions that are imported only when asked for.

`call` reads "name(key=value, ...)", the way in which names are given parameters everywhere, and `spell` writes it.

`ENCODERS`, `INDEXES`, `RETRIEVERS` and `METRICS` are catalogues. Listing one imports nothing heavy; asking for an entry
imports its module, and names the extra to install where that fails.
"""

from __future__ import annotations

import importlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from vicino.errors import InputError, MissingExtra, UnknownName

__all__ = ["Catalog", "Entry", "call", "spell", "split"]

_MORE = '["a, b", 2]'  # what may follow a text that stands bare
_STRING = re.compile(r'(?<=[=,:(\[{ ])"(?:[^"\\]|\\.)*"|.', re.DOTALL)  # of JSON, where a value begins, or else one character


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

    def attribute(self, name: str) -> Any:
        """The object that is called `name` in its module, for a package's `__getattr__`. Raises AttributeError.

        >>> Catalog("codec", {"json": Entry("json:dumps", "plain text")}).attribute("dumps")({})
        '{}'
        """
        for short, entry in self._entries.items():
            if entry.target.partition(":")[2] == name:
                return self[short]
        raise AttributeError(f"no {self.kind} is called {name!r}")

    def name_of(self, target: type) -> str:
        """The short name under which a class is listed. Raises UnknownName."""
        where = f"{target.__module__}:{target.__qualname__}"
        for name, entry in self._entries.items():
            if entry.target == where:
                return name
        raise UnknownName.among(where, self._entries, kind=self.kind)


def split(text: str, mark: str) -> list[str]:
    """Split at the marks (one character) outside brackets of any kind, and outside JSON's strings.

    >>> split("bm25(k1=0.9,b=0.4),lsa", ",")
    ['bm25(k1=0.9,b=0.4)', 'lsa']
    """
    parts, depth = [""], 0
    for piece in _STRING.findall(text):
        depth += (piece in "([{") - (piece in ")]}")
        if piece == mark and depth <= 0:
            parts.append("")
        else:
            parts[-1] += piece
    return [part.strip() for part in parts if part.strip()]


def call(text: str) -> tuple[str, dict[str, Any]]:
    """A name with parameters: values are JSON where they can be, text otherwise. Raises InputError.

    >>> call("lsa(n_components=2, stemmer=english)")
    ('lsa', {'n_components': 2, 'stemmer': 'english'})
    """
    match = re.fullmatch(r"([^()]+)(?:\((.*)\))?", text.strip())
    if match is None:
        raise InputError(f"{text!r} is not a name", mend="write a name, such as bm25 or bm25(k1=0.9,b=0.4)")
    parameters = {}
    for piece in split(match[2] or "", ","):
        key, equals, value = (part.strip() for part in piece.partition("="))
        if not equals or not key:
            raise InputError(f"{piece!r} is not a parameter", mend="write name=value, such as k1=0.9")
        try:
            parameters[key] = json.loads(value)
        except ValueError:
            parameters[key] = value
    return match[1].strip(), parameters


def spell(name: str, params: Mapping[str, Any]) -> str:
    """What `call` reads back as this name with these parameters: texts stand bare where they can, all else is JSON.

    >>> spell("lsa", {"n_components": 2, "stemmer": "english"}), spell("lsa", {})
    ('lsa(n_components=2, stemmer=english)', 'lsa')
    >>> call(spell("callable", {"function": "mine:embed", "name": "5"}))
    ('callable', {'function': 'mine:embed', 'name': '5'})
    """
    told = ", ".join(f"{key}={_bare(value)}" for key, value in params.items())
    return f"{name}({told})" if told else name


def _bare(value: Any) -> str:
    """A value in a call: as it is, where it is read back so."""
    if isinstance(value, str):
        try:
            if call(f"name(key={value}, more={_MORE})") == ("name", {"key": value, "more": json.loads(_MORE)}):
                return value
        except InputError:
            pass
    return json.dumps(value)
