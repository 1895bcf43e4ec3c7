"""Lineage: what was embedded with what, by whom, when: `lineage.jsonl` in a collection's folder, to which lines are only added.

A line stands for one committed batch, or for one decision (a switch, a way back). Which batch a row's vector comes from is told
by the row's key: a line holds the first `DIGITS` digits of each key's name, and the last line with a key, for a space, counts.
A line that a killed process left half written is passed over; one that it could not write at all leaves its batch untold.
"""

from __future__ import annotations

import functools
import getpass
import hashlib
import itertools
import json
import os
import re
import socket
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vicino.artifacts import locked
from vicino.errors import ArtifactError

if TYPE_CHECKING:
    from vicino.store.collection import Collection

__all__ = ["DIGITS", "FILE", "Line", "adopt", "append", "last_of", "read", "told"]

FILE = "lineage.jsonl"
DIGITS = 12  # hexadecimal, of 48 bits: among a million keys two share them once in five hundred collections
_NAMES = re.compile(f"[0-9a-f]{{{DIGITS},}}")
_PACKAGES = ("vicino", "numpy", "pylance", "torch", "transformers", "sentence-transformers")


@dataclass(frozen=True)
class Line:
    """One batch or decision. `stamp` names it by content; `rows` and `documents` count what it wrote at the store's `version`.

    `model` is the name, space and arithmetic of each encoder; `note` says what else there is to say, in words.
    """

    action: str
    time: str
    user: str
    pid: int
    tenant: str | None
    source: str
    model: Sequence[Mapping[str, Any]]
    rows: int
    documents: int
    version: int
    versions: Mapping[str, str]
    note: str = ""
    keys: str = field(default="", repr=False)
    stamp: str = ""

    def holds(self, key: str) -> bool:
        """Whether the batch wrote the row of this key."""
        short = _short(key)
        return any(self.keys[at : at + DIGITS] == short for at in range(0, len(self.keys), DIGITS))

    def to_json(self) -> dict[str, Any]:
        """All but the keys."""
        return {name: value for name, value in vars(self).items() if name != "keys"}


def append(
    folder: Path,
    action: str,
    *,
    model: Sequence[Mapping[str, Any]],
    version: int,
    tenant: str | None = None,
    source: str = "",
    keys: Iterable[str] = (),
    documents: int = 0,
    note: str = "",
) -> str:
    """Add a line about what was committed; its stamp. It is on the disk when this returns.

    Raises ArtifactError where it cannot be written: what was committed stays.
    """
    shortened = [_short(key) for key in keys]
    plain: dict[str, Any] = {
        "action": action,
        "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "user": _user(),
        "pid": os.getpid(),
        "tenant": tenant,
        "source": source,
        "model": [dict(each) for each in model],
        "rows": len(shortened),
        "documents": documents,
        "version": version,
        "versions": _versions(),
        "note": note,
        "keys": "".join(shortened),
    }
    text = json.dumps(plain, ensure_ascii=True, sort_keys=True)
    plain["stamp"] = hashlib.sha256(text.encode()).hexdigest()[:16]
    try:
        _write(folder / FILE, json.dumps(plain, ensure_ascii=True).encode())
    except OSError as error:
        raise ArtifactError(
            f"cannot write {folder / FILE}: {error}", mend="free some space, then run the command again: the rows are kept"
        ) from error
    return str(plain["stamp"])


def adopt(folder: Path, other: Path) -> None:
    """Add what was written down in `other`, in so far as it is not known yet, without the keys: which rows came from there, an
    import says for itself. Raises ArtifactError."""
    known = {line.stamp for line in read(folder)}
    new = [json.dumps({**vars(line), "keys": ""}).encode() for line in read(other) if line.stamp not in known]
    try:
        if new:
            _write(folder / FILE, b"\n".join(new))
    except OSError as error:
        raise ArtifactError(f"cannot write {folder / FILE}: {error}", mend="free some space, then import again") from error


def told(collection: Collection, numbers: Sequence[int] | None = None) -> list[dict[str, Any]]:
    """The models whose vectors are stored, or some of them, as lines have them."""
    listed = []
    for number in collection.stored if numbers is None else numbers:
        model = collection.models[number]
        entry = {"name": model["name"], "space": collection.spaces[number].id, "arithmetic": collection.arithmetic(number)}
        if "asks" in model:
            entry["asks"] = {name: model["asks"][name] for name in ("name", "space", "map")}
            entry["declared"] = "queries are in this space by declaration: a learnt map brings them there, not its own model"
        listed.append(entry)
    return listed


def read(folder: Path, *, tenant: str | None = None) -> Iterator[Line]:
    """The lines, oldest first; with a `tenant`, its own only. None where there is no file. Raises ArtifactError."""
    try:
        with (folder / FILE).open("rb") as lines:
            for text in lines:
                line = _parse(text)
                if line is not None and tenant in (None, line.tenant):
                    yield line
    except FileNotFoundError:
        return
    except OSError as error:
        raise ArtifactError(f"cannot read {folder / FILE}: {error}", mend="check its permissions") from error


def last_of(lines: Iterable[Line], keys: Iterable[str]) -> dict[str, dict[str, Line]]:
    """For each key and space the last batch that wrote its vector; under the space "" for rows without vectors."""
    wanted = {_short(key): key for key in keys}
    found: dict[str, dict[str, Line]] = {}
    for line in lines:
        for at in range(0, len(line.keys), DIGITS):
            key = wanted.get(line.keys[at : at + DIGITS])
            if key is not None:
                spaces = [str(each["space"]) for each in line.model] or [""]
                found.setdefault(key, {}).update(dict.fromkeys(spaces, line))
    return found


def _write(path: Path, line: bytes) -> None:
    """One write at the end, after a line that was torn on a line of its own."""
    with locked(path.with_name(f".{path.name}.lock")):
        handle = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            size = os.fstat(handle).st_size
            torn = size > 0 and os.pread(handle, 1, size - 1) != b"\n"
            data = (b"\n" if torn else b"") + line + b"\n"
            while data:
                data = data[os.write(handle, data) :]
            os.fsync(handle)
        finally:
            os.close(handle)


def _parse(text: bytes) -> Line | None:
    """None for a line that was torn, or that is written another way: by a newer vicino, or in what somebody else exported."""
    try:
        plain = json.loads(text)
        line = Line(**{name: plain[name] for name in Line.__dataclass_fields__})
        texts = (line.action, line.time, line.user, line.source, line.note, line.keys, line.stamp, line.tenant or "")
        numbers = (line.rows, line.documents, line.version)
        models = [(each["name"], each["space"]) for each in line.model]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    whole = all(isinstance(each, str) for each in (*texts, *itertools.chain(*models)))
    return line if whole and all(isinstance(each, int) for each in numbers) else None


def _short(key: str) -> str:
    """The digits that stand for a key: those that name it, where it is a name by content already."""
    if _NAMES.fullmatch(key):
        return key[:DIGITS]
    return hashlib.sha256(key.encode()).hexdigest()[:DIGITS]


@functools.cache
def _versions() -> dict[str, str]:
    """What is installed of what can change vectors."""
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def _user() -> str:
    try:
        return f"{getpass.getuser()}@{socket.gethostname()}"
    except (KeyError, OSError):  # a number without a name, as in a container
        return f"{os.getuid()}@{socket.gethostname()}"
